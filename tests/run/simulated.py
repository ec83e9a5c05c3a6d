"""A cloud that forgets nothing, and a kind for it: with a client token or without one, with one or
two calls, shown late or at once.

The cloud is a file of lines, so that it outlives any process. A call with a token counts once
however often it is made; one without counts each time, and who wants to know whether it was made
has to look.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Condition, Event
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct
from msgspec.structs import replace

from toolkit.advice import Advice
from toolkit.model import Rules, Target, Version
from toolkit.operations import (
    Artifact,
    Job,
    JobAction,
    LiveVersion,
    Location,
    Observation,
    Outcome,
    Preview,
    RunResult,
    StepState,
    Verdict,
)
from toolkit.ports.ports import Ports
from toolkit.record.shared_runs import SharedRun
from toolkit.record.state import Store
from toolkit.run.events import LogLine, Notice, PhaseChanged, RunEvent, StepBegan, StepEnded
from toolkit.run.request import RunRequest
from toolkit.run.stop import Stop
from toolkit.show.advice import sentence
from toolkit.targets import base

if TYPE_CHECKING:
    from toolkit.flow.deploy import PreparedRun

KIND, PROJECT = "simulated", None
START = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


class Settings(base.KindSettings, frozen=True, kw_only=True):
    """`calls` are made one after the other; the last one takes `takes_s`. What was called is to be
    seen `late_s` later. `artifact` is what is built first, of all that name it.
    """

    calls: tuple[str, ...] = ("move",)
    tokened: bool = True
    late_s: float = 0.0
    takes_s: float = 3.0
    fails: bool = False
    artifact: str = ""


class Effect(Struct, frozen=True):
    """One call that the cloud took. `token` is its client token, `tag` what can be found again by
    looking.
    """

    target: str
    call: str
    token: str
    tag: str
    at: float


class SimulatedCloud:
    """The calls that were taken, in order. `point` is told before and after each call."""

    def __init__(
        self,
        file: Path,
        now: Callable[[], float],
        point: Callable[[str, str], None] = lambda where, what: None,
    ) -> None:
        self._file, self._now, self._point = file, now, point

    def account(self) -> str:
        """Whose it is."""
        return "111111111111"

    region_name = "eu-west-1"

    def warm(self, *services: str) -> None:
        """There is nothing to warm."""

    def call(self, target: str, call: str, token: str, tag: str) -> str:
        """Take a call: what the cloud calls it."""
        self._point(target, f"before {call}")
        line = (
            json.dumps(
                {"target": target, "call": call, "token": token, "tag": tag, "at": self._now()}
            )
            + "\n"
        )
        descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)
        self._point(target, f"after {call}")
        return f"{call}-{tag}"

    def look(self, target: str, late_s: float) -> list[Effect]:
        """The calls of a target that are to be seen by now."""
        self._point(target, "look")
        now = self._now()
        return [
            effect
            for effect in self.effects()
            if effect.target == target and now - effect.at >= late_s
        ]

    def effects(self) -> list[Effect]:
        """All calls that had an effect: those with one token are one."""
        if not self._file.exists():
            return []
        items: list[Effect] = []
        for line in self._file.read_text().splitlines():
            effect = Effect(**json.loads(line))
            if not (
                effect.token
                and any(
                    (effect.token, effect.target, effect.call)
                    == (second.token, second.target, second.call)
                    for second in items
                )
            ):
                items.append(effect)
        return items


def preview(job: Job, ports: Ports) -> Preview:
    """Nothing is known to fail."""
    key = job.settings.artifact
    return Preview((), artifact=Artifact("image", key, key) if key else None)


def build(job: Job, ports: Ports, report: base.Report) -> None:
    """One call, unless it is there: the artifact is one of the cloud's targets."""
    cloud, key = _cloud(job, ports), job.settings.artifact
    if not cloud.look(key, job.settings.late_s):
        report.prepare(f"simulated:{BUILD}", target=key)
        cloud.call(key, BUILD, job.token if job.settings.tokened else "", job.token)
    report.keep(**{BUILD: job.token})


def built(
    job: Job, receipt: Mapping[str, Any], ports: Ports, before: Observation | None = None
) -> Observation:
    """Whether it is there."""
    seen = _cloud(job, ports).look(job.settings.artifact, job.settings.late_s)
    return Observation(StepState.DONE if seen else StepState.ABSENT)


def apply(job: Job, ports: Ports, report: base.Report) -> None:
    """One call after the other, those that were made before left out."""
    settings, cloud = job.settings, _cloud(job, ports)
    for call in settings.calls:
        if call in report.receipt:
            continue
        result = (
            []
            if settings.tokened
            else [
                effect
                for effect in cloud.look(job.target, settings.late_s)
                if effect.tag == job.token
            ]
        )
        if not any(item.call == call for item in result):
            intend = report.intend if call == settings.calls[-1] else report.prepare
            intend(f"simulated:{call}", target=job.target)
            cloud.call(job.target, call, job.token if settings.tokened else "", job.token)
        report.keep(**{call: job.token})


def observe(
    job: Job, receipt: Mapping[str, Any], ports: Ports, before: Observation | None = None
) -> Observation:
    """By the last of its calls."""
    settings, cloud = job.settings, _cloud(job, ports)
    ours = {
        effect.call: effect.at
        for effect in cloud.look(job.target, settings.late_s)
        if effect.tag == job.token
    }
    if not ours.keys() >= set(settings.calls):
        return Observation(StepState.ABSENT)
    if ports.clock.elapsed() - ours[settings.calls[-1]] < settings.takes_s:
        return Observation(StepState.RUNNING, phase="moving")
    if settings.fails:
        return Observation(StepState.FAILED, Verdict.FAILED, cause="it was not to be")
    version = job.version
    return Observation(
        StepState.DONE,
        Verdict.SUCCEEDED,
        live=LiveVersion(
            version.name, version.commit, version.fingerprint, job.run, detail={"sha256": job.token}
        ),
    )


def abandon(job: Job, receipt: Mapping[str, Any], ports: Ports, report: base.Report) -> None:
    """Nothing of it is ever doomed."""


def live(job: Job, ports: Ports) -> LiveVersion | None:
    """What the last call put there."""
    settings = job.settings
    last = [
        effect
        for effect in _cloud(job, ports).look(job.target, settings.late_s)
        if effect.call == settings.calls[-1]
    ]
    return LiveVersion(None, detail={"sha256": last[-1].tag}) if last else None


def permissions(job: Job) -> tuple[()]:
    """None."""
    return ()


def _cloud(job: Job, ports: Ports) -> SimulatedCloud:
    return cast(SimulatedCloud, ports.aws(job.location))


BUILD = "build"
DIAMOND = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}


def prepared(
    run: str,
    needs: Mapping[str, Iterable[str]],
    settings: Mapping[str, Settings],
    unproved: Iterable[str] = (),
) -> "PreparedRun":
    """A run of steps of this kind, as `flow.deploy` prepares one. Those that are `unproved` have a
    version that can be put back.
    """
    from toolkit.flow.builds import with_builds
    from toolkit.flow.deploy import PreparedRun
    from toolkit.run import jobs as run_jobs

    targets = [
        Target(name, KIND, settings.get(name, Settings()), "deploy", 60, deadline_s=3600)
        for name in needs
    ]
    versions = {name: Version(f"v-{name}", "c0ffee", f"print-{name}") for name in needs}
    jobs = run_jobs.make_jobs(
        run_jobs.JobRequest(
            run,
            targets,
            [Location("dev", "eu-west-1", "111111111111")],
            {},
            versions,
            JobAction.DEPLOY,
            {},
        )
    )
    jobs = tuple(replace(job, needs=tuple(needs[job.target])) for job in jobs)
    nowhere = cast(Ports, None)
    standby = tuple(back(job) for job in jobs if job.step in unproved)
    jobs, _ = with_builds(jobs, {job.step: preview(job, nowhere) for job in jobs})
    rules = Rules(
        "rules.toml",
        "",
        PROJECT,
        "dev",
        {},
        (),
        "warn",
        {target.name: target for target in targets},
        (),
    )
    return PreparedRun(rules, jobs, {}, (), standby)


def back(job: Job) -> Job:
    """What puts the version before a step back."""
    from toolkit.run import jobs as run_jobs

    step = f"{job.step}:rollback"
    version = Version(f"old-{job.target}", "0ld", "old print")
    token = run_jobs.step_token(job.run, step, version.fingerprint)
    return replace(
        job, step=step, action="rollback", version=version, token=token, needs=(), undoes=job.step
    )


def ports(root: Path, clock: Any, cloud: Any) -> Ports:
    """The ports of a run: the clock, and one cloud everywhere."""
    return Ports(root=str(root), cache=str(root), clock=clock, clouds=lambda profile, region: cloud)


class Impatient:
    """A clock on which every wait is over at once, and took as long as it should."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._passed = 1000.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.elapsed())

    def elapsed(self) -> float:
        with self._changed:
            return self._passed

    def wait(self, seconds: float, wake: Event | None = None) -> bool:
        self.pass_(max(seconds, 0.0))
        return wake is not None and wake.is_set()

    def pass_(self, seconds: float) -> None:
        with self._changed:
            self._passed += seconds


class Hurried:
    """The machine's clock, many times faster, and the same in every process."""

    def __init__(self, times: float) -> None:
        self._times = times

    def now(self) -> datetime:
        return START + timedelta(seconds=self.elapsed())

    def elapsed(self) -> float:
        return monotonic() * self._times

    def wait(self, seconds: float, wake: Event | None = None) -> bool:
        if wake is not None:
            return wake.wait(seconds / self._times)
        sleep(seconds / self._times)
        return False


class Listener:
    """Whoever shows a run: it keeps what it is told, at once and in the thread that says it.
    `answer` is what it says when it is asked.
    """

    def __init__(self, answer: bool | None = None) -> None:
        self.answer = answer
        self.told_: list[tuple[str, str]] = []
        self.began_: list[str] = []
        self.ended_: list[Outcome] = []
        self.phases: list[str] = []
        self.lines: list[str] = []
        self.others: list[RunEvent] = []

    def publish(self, event: RunEvent) -> None:
        match event:
            case StepBegan(job):
                self.began(job)
            case PhaseChanged(step, phase):
                self.phase(step, phase)
            case LogLine(step, text):
                self.line(step, text)
            case Notice(step, text):
                self.told(step, text)
            case StepEnded(outcome):
                self.ended(outcome)
            case _:
                self.others.append(event)

    def began(self, job: Job) -> None:
        self.began_.append(job.step)

    def phase(self, step: str, words: str) -> None:
        self.phases.append(words)

    def line(self, step: str, text: str) -> None:
        self.lines.append(text)

    def told(self, step: str, text: Advice) -> None:
        self.told_.append((step, sentence(text)))

    def ended(self, outcome: Outcome) -> None:
        self.ended_.append(outcome)

    def asked(self, step: str, question: str) -> bool | None:
        return self.answer


class Told:
    """Whom a run speaks to, and who may stop it."""

    def __init__(self, listener: Listener | None = None, stop: Stop | None = None) -> None:
        self.listener, self.stop = listener or Listener(), stop or Stop()

    def request(self, run: str, ports: Ports, **fields: Any) -> RunRequest:
        """How to carry out a run, one step at a time unless said otherwise."""
        return RunRequest(
            run=run,
            ports=ports,
            events=self.listener,
            ask=self.listener.asked,
            stop=self.stop,
            **fields,
        )


def started(request: RunRequest, prepared: "PreparedRun") -> RunResult:
    """How a run ends that is begun now."""
    from toolkit.flow import runs

    with runs.start(request, prepared) as execution:
        return execution.carry_out()


def resumed(request: RunRequest, store: Store, theirs: SharedRun | None = None) -> RunResult:
    """How a run ends that is gone on with now."""
    from toolkit.flow import runs

    with runs.resume(request, store, theirs) as execution:
        return execution.carry_out()


class Simulated(base.Kind):
    """The kind of these targets."""

    content_details = ("sha256",)
    Settings = Settings
    preview = staticmethod(preview)
    apply = staticmethod(apply)
    observe = staticmethod(observe)
    abandon = staticmethod(abandon)
    build = staticmethod(build)
    built = staticmethod(built)
    live = staticmethod(live)
    permissions = staticmethod(permissions)


kind = Simulated()
