"""How a target of the kind `command` is deployed: the team's own program does it.

A program has no token, and nobody but `live` can tell the result of one that was interrupted. So
what was begun and did not end is in doubt until `live` prints the version.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from shlex import join
from typing import Any

from toolkit.errors import ProgramFailed, Refused, ToolkitError
from toolkit.formats.commits import is_commit_id
from toolkit.model import Inputs
from toolkit.operations import (
    Finding,
    HealthStatus,
    Job,
    JobAction,
    LiveVersion,
    Observation,
    PlannedCall,
    Preview,
    StepState,
    Verdict,
)
from toolkit.ports import causes, commands, processes, usage
from toolkit.ports.ports import Ports
from toolkit.targets import base
from toolkit.targets.command import program
from toolkit.targets.command import settings as command_settings
from toolkit.targets.command.settings import CommandSettings

MOST_LINES = 200
"""So many lines of what `plan` writes are shown."""
WRITTEN = (".terraform", ".serverless", ".sst", ".wrangler", "node_modules")
"""Folders that such programs write, already when they plan, or that a package manager fills from
what a committed file says.
"""
LAG_S = 10.0
"""For how long `live` may print another version after `deploy` has ended well, in seconds."""


class CommandKind(base.Kind):
    """Something that your own program deploys: terraform, helm, serverless, a script."""

    action = "deploy"
    estimate_s = 60
    provider = "command"
    live_starts_programs = True
    Settings = CommandSettings

    def problem(self, settings: CommandSettings) -> str | None:
        """A plan that tells changes apart has to be there."""
        if settings.changes is not None and not settings.plan:
            return "`changes` is an exit code of `plan`, and there is no `plan`"
        for name, words in command_settings.commands(settings):
            if "\0" in "".join(words):
                return f"`{name}` holds a NUL character"
        return None

    def inputs(self, settings: CommandSettings) -> Inputs:
        """The folder that its programs run in, without what they write there themselves. In the
        root, they may read anything.
        """
        folder = os.path.normpath(settings.folder)
        if folder == ".":
            return Inputs(everything=True)
        return Inputs(folders=(folder,), built=tuple(f"{folder}/{name}" for name in WRITTEN))

    def programs(self, settings: CommandSettings) -> tuple[str, ...]:
        """Their folder, for a program reads what lies beside it (a Makefile, a module); and each
        word of `live` and `health` that may name a file elsewhere.
        """
        paths = [settings.folder]
        for word in (*settings.live, *settings.health):
            paths.append(os.path.join(settings.folder, word))
        return tuple(dict.fromkeys(os.path.normpath(path) for path in paths))

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
        words = _words(job)
        program.find(job, words, ports.root)  # what is known to fail is refused now
        call = PlannedCall("run", {"command": join(words), "folder": job.settings.folder})
        warnings: list[str] = []
        live: LiveVersion | None = None
        try:
            live = self.live(job, ports)
        except ToolkitError as problem:
            # Before its first deploy there may be nothing that could answer.
            warnings.append(f"what is live could not be read: {problem}")
        if not job.settings.plan or job.action != JobAction.DEPLOY:
            return Preview((call,), tuple(warnings), live=live)
        lines: list[str] = []
        changes = _plan(job, ports, lines.append, commands.never_stopped)
        if not changes:
            return Preview((), tuple(warnings), unchanged=True, live=live)
        if len(lines) > MOST_LINES:
            # The end of a plan has its sum; what is left out is said in its place.
            left_out = len(lines) - MOST_LINES
            lines[:left_out] = [f"({left_out} more lines before these)"]
        return Preview((call,), tuple(warnings), live=live, plan=tuple(lines))

    def apply(self, job: Job, ports: Ports, report: base.Report) -> None:
        """Run `deploy`, or `rollback`, to its end.

        One that an earlier process began is never run a second time here: `observe` has said that
        nothing of it is there.
        """
        words = _words(job)
        command = program.find(job, words, ports.root)
        # Again, although the preview has run it: time has passed since then.
        if job.action == JobAction.DEPLOY and job.settings.changes is not None:
            report.phase(f"running {join(job.settings.plan)}")
            if not _plan(job, ports, report.log, report.check):
                report.keep(unchanged=True)
                return
        report.phase(f"running {join(words)}")
        usage.exclude(f"what {os.path.basename(words[0])} sends", sends=True)
        report.intend("run", command=join(words), folder=job.settings.folder)
        # On disk before it is started: whoever finds only this knows that it may be running.
        report.keep(started=True, process=None, code=None, ended="")
        try:
            child = commands.start(command)
        except Refused:
            report.turned_away()
            report.keep(started=False)
            raise
        try:
            report.keep(process=_identity(child.pid))
        except BaseException:
            child.stop()  # nobody would read what it writes, nor see its end
            raise
        ended = commands.run(command, child, ports.clock, job.deadline_s, report.log, report.check)
        cause = causes.cause(ended.last, ended.code)
        report.keep(code=ended.code, ended=commands.describe(ended), cause=cause)

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
            return Observation(StepState.DONE, Verdict.UNCHANGED, live=live)
        if not receipt.get("started"):
            return Observation(StepState.ABSENT, sure=True)
        code = receipt.get("code")
        if code == 0:
            return self._ended_well(job, ports, live, before)
        # A negative code is a signal: nobody knows how far the program came.
        if isinstance(code, int) and code > 0:
            reason = f"`{join(_words(job))}` {receipt.get('ended')}"
            cause = str(receipt.get("cause") or "")
            if cause and cause not in reason:
                reason += f": {cause}"
            return Observation(StepState.FAILED, cause=reason)
        runs = _is_running(receipt.get("process"))
        if runs:
            return Observation(StepState.RUNNING, phase="its program is still running")
        return self._interrupted(job, ports, receipt, live, runs is None)

    def _ended_well(
        self, job: Job, ports: Ports, live: LiveVersion, before: Observation | None
    ) -> Observation:
        """Exit code 0 is what the program says. `live`, where there is one, is what is observed."""
        if not job.settings.live:
            return Observation(StepState.DONE, Verdict.SUCCEEDED, live=live)
        try:
            version = program.read_version(job, ports.root, ports.clock)
        except ToolkitError as problem:
            return Observation(StepState.UNKNOWN, cause=f"it succeeded, but {problem}")
        if version is not None and _is_version(version, job):
            return Observation(StepState.DONE, Verdict.SUCCEEDED, live=live)
        now = ports.clock.elapsed()
        since = now if before is None or before.mark is None else float(before.mark)
        command, printed = join(job.settings.live), version or "nothing"
        if now - since < LAG_S:
            phase = f"waiting for `{command}`, which prints {printed[:20]}"
            return Observation(StepState.RUNNING, phase=phase, mark=since)
        cause = f"`{command}` prints {printed}, not the version that was deployed"
        return Observation(StepState.FAILED, cause=cause)

    def _interrupted(
        self,
        job: Job,
        ports: Ports,
        receipt: Mapping[str, Any],
        live: LiveVersion,
        may_run: bool,
    ) -> Observation:
        """Nobody saw its end. `may_run`: nobody can tell from here whether it still runs, so that
        the version before says nothing: it must not be begun a second time beside itself.
        """
        cause = f"`{join(_words(job))}` {receipt.get('ended') or 'was interrupted'}"
        if not job.settings.live:
            return Observation(
                StepState.UNKNOWN, cause=f"{cause}, and it has no `live` command to ask"
            )
        try:
            version = program.read_version(job, ports.root, ports.clock)
        except ToolkitError as problem:
            return Observation(StepState.UNKNOWN, cause=f"{cause}, and {problem}")
        if version is not None and _is_version(version, job):
            return Observation(StepState.DONE, Verdict.SUCCEEDED, live=live)
        is_former = job.recorded is not None and version == job.recorded.version
        if is_former and not may_run:
            return Observation(StepState.ABSENT, cause=f"{cause}; {version} runs as before")
        cause += f", and `live` prints {version or 'nothing'}"
        if may_run:
            cause += "; whether it still runs cannot be known from here"
        return Observation(StepState.UNKNOWN, cause=cause)

    def abandon(
        self, job: Job, receipt: Mapping[str, Any], ports: Ports, report: base.Report
    ) -> None:
        """Nothing of it is ever doomed: it has ended, or nobody knows."""

    def can_tell_live(self, settings: CommandSettings) -> bool:
        """Only its `live` command can."""
        return bool(settings.live)

    def live(self, job: Job, ports: Ports) -> LiveVersion | None:
        """What `live` prints."""
        if not job.settings.live:
            return None
        version = program.read_version(job, ports.root, ports.clock)
        if version is None:
            return None
        recorded = job.recorded
        commit = version if is_commit_id(version) else None
        fingerprint = None
        if job.version.name and _is_version(version, job):
            commit, fingerprint = job.version.commit, job.version.fingerprint
        if recorded is not None and recorded.version == version:
            return LiveVersion(version, commit, fingerprint, run=recorded.run)
        return LiveVersion(version, commit, fingerprint)

    def health(self, job: Job, ports: Ports, tell: base.Tell) -> LiveVersion | None:
        """What `health` says, and which version `live` prints."""
        words = job.settings.health
        if words:
            tell(_run_health(job, words, ports))
        try:
            live = self.live(job, ports)
        except ToolkitError as problem:
            tell(Finding("version", HealthStatus.UNKNOWN, "could not be read", cause=str(problem)))
            return None
        if live is not None:
            tell(Finding("version", HealthStatus.OK, live.version or ""))
        return live


def _plan(job: Job, ports: Ports, log: Callable[[str], None], check: Callable[[], None]) -> bool:
    """Run `plan`: whether something would change. Raises Refused, ProgramFailed, and what `check`
    raises.
    """
    words, changes = job.settings.plan, job.settings.changes
    command = program.find(job, words, ports.root)
    ended = commands.run(command, commands.start(command), ports.clock, job.deadline_s, log, check)
    if ended.code not in (0, changes):
        reason = f"`{join(words)}` {commands.describe(ended)}"
        if ended.last:
            reason += f": {ended.last[-1]}"
        raise ProgramFailed(program=words[0], reason=reason)
    return changes is None or ended.code == changes


def _run_health(job: Job, words: Sequence[str], ports: Ports) -> Finding:
    command = join(words)
    try:
        ended, _ = program.look(job, words, ports.root, ports.clock)
    except ToolkitError as problem:
        return Finding("health", HealthStatus.UNKNOWN, "could not be run", cause=str(problem))
    if ended.code == 0:
        return Finding("health", HealthStatus.OK, command)
    cause = f"`{command}` {commands.describe(ended)}"
    if ended.last:
        cause += f": {ended.last[-1].strip()}"
    # What could not be started, or was ended by a signal, says nothing of the target.
    has_failed = ended.code is not None and ended.code > 0
    status = HealthStatus.FAILING if has_failed else HealthStatus.UNKNOWN
    return Finding("health", status, commands.describe(ended), cause=cause)


def _words(job: Job) -> tuple[str, ...]:
    """What this step runs."""
    back = job.action == JobAction.ROLLBACK or bool(job.undoes)
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


def _is_running(facts: Any) -> bool | None:
    """Whether the process still runs; None where that cannot be known: it is another machine's, or
    its number was never written down.
    """
    if not facts:
        return None
    try:
        return processes.is_running(processes.Process(**facts))
    except TypeError:
        return None  # not what we wrote


kind = CommandKind()
