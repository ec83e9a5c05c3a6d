"""How a target of the kind `command` is deployed: the team's own program does it.

A program has no token, and nobody but `live` can say what became of one that was interrupted. So
what was begun and did not end is in doubt until `live` prints the version.
"""

from collections.abc import Mapping, Sequence
from shlex import join
from typing import Any

from toolkit.errors import ProgramFailed, ToolkitError
from toolkit.model import (
    Finding,
    Inputs,
    Job,
    LiveVersion,
    Observation,
    PlannedCall,
    Preview,
    Verdict,
)
from toolkit.ports import processes
from toolkit.ports.ports import Ports
from toolkit.targets import base
from toolkit.targets.command import program
from toolkit.targets.command.settings import CommandSettings, commands

MOST_LINES = 200
"""So many lines of what `plan` writes are shown."""


class CommandKind(base.Kind):
    """What a program of the team's own deploys: terraform, helm, serverless, a script."""

    action = "deploy"
    estimate_s = 60
    provider = "command"
    live_starts_programs = True
    Settings = CommandSettings

    def problem(self, settings: CommandSettings) -> str | None:
        """A plan that tells changes apart has to be there."""
        if settings.changes is not None and not settings.plan:
            return "`changes` is an exit code of `plan`, and there is no `plan`"
        for name, words in commands(settings):
            if "\0" in "".join(words):
                return f"`{name}` holds a NUL character"
        return None

    def inputs(self, settings: CommandSettings) -> Inputs:
        """The folder that its programs run in; for the root, what rules say."""
        return Inputs() if settings.folder in ("", ".") else Inputs(folders=(settings.folder,))

    def programs(self, settings: CommandSettings) -> tuple[str, ...]:
        """Each word of `live` and `health` that may name a file: a program, or its script."""
        words = (*settings.live, *settings.health)
        return tuple(dict.fromkeys(program.possible_file(settings, word) for word in words))

    def irreversible(self, settings: CommandSettings) -> tuple[str, str] | None:
        """Without `rollback` nobody knows how."""
        if settings.rollback:
            return None
        return "it has no `rollback`", "check out the commit that was good, and deploy it"

    def restorable(
        self, job: Job, details: Sequence[Mapping[str, str]], ports: Ports
    ) -> tuple[bool | None, ...]:
        """Only its program knows."""
        return tuple(None for _ in details)

    def preview(self, job: Job, ports: Ports) -> Preview:
        """What would be run, and what `plan` says of it."""
        env = program.environment(job)
        words = _words(job)
        call = PlannedCall("run", {"command": join(words), "folder": job.settings.folder})
        live = self.live(job, ports) if job.settings.live else None
        if not job.settings.plan or job.action != "deploy":
            return Preview((call,), live=live)
        lines: list[str] = []
        plan = program.start(job, job.settings.plan, ports.root, env)
        ended = program.run(plan, ports.clock, job.deadline_s, lines.append, _unstoppable)
        if ended.code == 0 and job.settings.changes is not None:
            return Preview((), unchanged=True, live=live)
        if ended.code not in (0, job.settings.changes):
            raise ProgramFailed(
                program=job.settings.plan[0],
                reason=f"`{join(job.settings.plan)}` {program.how(ended)}"
                + (f": {ended.last[-1]}" if ended.last else ""),
            )
        return Preview((call,), warnings=tuple(lines[-MOST_LINES:]), live=live)

    def apply(self, job: Job, ports: Ports, report: base.Report) -> None:
        """Run `deploy`, or `rollback`, to its end.

        One that an earlier process began is never run a second time here: `observe` has said that
        nothing of it is there.
        """
        env, words = program.environment(job), _words(job)
        if job.action == "deploy" and job.settings.changes is not None:
            report.phase(f"running {join(job.settings.plan)}")
            plan = program.start(job, job.settings.plan, ports.root, env)
            ended = program.run(plan, ports.clock, job.deadline_s, report.log, report.check)
            if ended.code == 0:
                report.keep(unchanged=True)
                return
            if ended.code != job.settings.changes:
                raise ProgramFailed(
                    program=job.settings.plan[0],
                    reason=f"`{join(job.settings.plan)}` {program.how(ended)}",
                )
        report.phase(f"running {join(words)}")
        report.intend("run", command=join(words), folder=job.settings.folder)
        child = program.start(job, words, ports.root, env)
        report.keep(process=_identity(child.pid), code=None, unchanged=False)
        ended = program.run(child, ports.clock, job.deadline_s, report.log, report.check)
        report.keep(code=ended.code, how=program.how(ended))

    def observe(
        self,
        job: Job,
        receipt: Mapping[str, Any],
        ports: Ports,
        before: Observation | None = None,
    ) -> Observation:
        """By its exit code and what `live` prints; by `live` alone where it was interrupted."""
        live = LiveVersion(job.version.name, job.version.commit, job.version.fingerprint)
        if receipt.get("unchanged"):
            return Observation("done", Verdict.UNCHANGED, live=live)
        code = receipt.get("code")
        if code == 0:
            return self._ended_well(job, ports, live)
        if isinstance(code, int) and code > 0:
            words = join(_words(job))
            return Observation("failed", cause=f"`{words}` {receipt.get('how')}; see its log")
        if "process" not in receipt:
            return Observation("absent", sure=True)
        if _is_alive(receipt["process"]):
            return Observation("running", phase="its program is still running")
        return self._interrupted(job, ports, receipt, live)

    def _ended_well(self, job: Job, ports: Ports, live: LiveVersion) -> Observation:
        """Exit code 0 is what the program says. `live`, where it is there, is what is observed."""
        if not job.settings.live:
            return Observation("done", Verdict.SUCCEEDED, live=live)
        try:
            version = program.version(job, ports.root, ports.clock)
        except ToolkitError as problem:
            return Observation("unknown", cause=f"it ended well, but {problem}")
        if version is not None and _is_version(version, job):
            return Observation("done", Verdict.SUCCEEDED, live=live)
        printed = version or "nothing"
        cause = f"`{join(job.settings.live)}` prints {printed}, and not what was deployed"
        return Observation("failed", cause=cause)

    def _interrupted(
        self, job: Job, ports: Ports, receipt: Mapping[str, Any], live: LiveVersion
    ) -> Observation:
        """Nobody saw its end."""
        cause = f"`{join(_words(job))}` {receipt.get('how') or 'was interrupted'}"
        if not job.settings.live:
            return Observation("unknown", cause=f"{cause}, and it has no `live` to ask")
        try:
            version = program.version(job, ports.root, ports.clock)
        except ToolkitError as problem:
            return Observation("unknown", cause=f"{cause}, and {problem}")
        if version is not None and _is_version(version, job):
            return Observation("done", Verdict.SUCCEEDED, live=live)
        if version is not None and job.recorded is not None and version == job.recorded.version:
            return Observation("absent", cause=f"{cause}; {version} runs as before")
        printed = version or "nothing"
        return Observation("unknown", cause=f"{cause}, and `live` prints {printed}")

    def abandon(
        self, job: Job, receipt: Mapping[str, Any], ports: Ports, report: base.Report
    ) -> None:
        """Nothing of it is ever doomed: it has ended, or nobody knows."""

    def live(self, job: Job, ports: Ports) -> LiveVersion | None:
        """What `live` prints."""
        if not job.settings.live:
            return None
        version = program.version(job, ports.root, ports.clock)
        if version is None:
            return None
        recorded = job.recorded
        is_ours = bool(job.version.name) and _is_version(version, job)
        commit = job.version.commit if is_ours else None
        fingerprint = job.version.fingerprint if is_ours else None
        if recorded is not None and recorded.version == version:
            return LiveVersion(version, commit, fingerprint, run=recorded.run)
        return LiveVersion(version, commit, fingerprint)

    def health(self, job: Job, ports: Ports, tell: base.Tell) -> LiveVersion | None:
        """What `health` says, and which version `live` prints."""
        words = job.settings.health
        if words:
            tell(_well(job, words, ports))
        try:
            live = self.live(job, ports)
        except ToolkitError as problem:
            tell(Finding("version", "unknown", "could not be read", cause=str(problem)))
            return None
        if live is not None:
            tell(Finding("version", "ok", live.version or ""))
        return live


def _well(job: Job, words: Sequence[str], ports: Ports) -> Finding:
    command = join(words)
    try:
        ended = program.look(job, words, ports.root, ports.clock)
    except ToolkitError as problem:
        return Finding("health", "unknown", "could not be run", cause=str(problem))
    if ended.code == 0:
        return Finding("health", "ok", command)
    cause = f"`{command}` {program.how(ended)}"
    if ended.last:
        cause += f": {ended.last[-1].strip()}"
    status = "failing" if ended.code is not None and ended.code > 0 else "unknown"
    return Finding("health", status, program.how(ended), cause=cause)


def _words(job: Job) -> tuple[str, ...]:
    """What this step runs."""
    back = job.action == "rollback" or bool(job.undoes)
    words: tuple[str, ...] = job.settings.rollback if back else job.settings.deploy
    return words


def _is_version(version: str, job: Job) -> bool:
    """Whether a printed version is that of the job: its name, or its commit from 7 digits on."""
    if version == job.version.name:
        return True
    commit = job.version.commit or ""
    return commit == job.version.name and len(version) >= 7 and commit.startswith(version)


def _identity(pid: int) -> dict[str, Any]:
    """Which process it is, for one that looks after it later."""
    this = processes.process_of(pid)
    return {"host": this.host, "boot": this.boot, "pid": this.pid, "started": this.started}


def _is_alive(facts: Any) -> bool:
    try:
        return processes.is_running(processes.Process(**facts)) is True
    except TypeError:
        return False  # not what we wrote


def _unstoppable() -> None:
    """For what is run before there is a run that could be stopped: Ctrl-C ends toolkit itself."""


kind = CommandKind()
