"""After a deploy: what is live has to answer, and to pass its checks, before anybody says that it
went well.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.checks import addresses
from toolkit.checks.base import CheckContext
from toolkit.checks.select import Task
from toolkit.checks.values import Redactor
from toolkit.errors import CloudError, Expired, Refused, StateDamaged, ToolkitError
from toolkit.flow import alarmed
from toolkit.flow import checks as flow
from toolkit.flow.baked import BakeCheck, BakeFailure, bake
from toolkit.flow.previous import good_before, previous, wishes
from toolkit.flow.rounds import CheckOptions, CheckRun
from toolkit.impact.reading import seconds
from toolkit.model import (
    Checks,
    Finding,
    Job,
    LiveVersion,
    Observation,
    Outcome,
    Preview,
    Result,
    Rules,
    Verdict,
    Version,
)
from toolkit.ports.ports import Ports
from toolkit.record.ledger import Record
from toolkit.run import superseded
from toolkit.run.jobs import (
    JobRequest,
    jobs_without_run,
    locations,
    make_jobs,
    may_answer_for,
    step_token,
)
from toolkit.run.step_journal import StepJournal
from toolkit.run.stop import Stop
from toolkit.targets.base import JudgedSettings

TRY_S = 10.0
"""How long one try of a health address may take."""
CONFIRM_S = 2.0
"""For how long something that was good before is asked again while it bakes, before it counts as
wrong.
"""
RUNS_EVERY_S, ADDRESSES_EVERY_S, CHECKS_EVERY_S = 5.0, 5.0, 30.0
"""How often what runs, addresses and checks are asked while it bakes. Checks may leave something
behind: they are asked seldom.
"""
PAUSES_S = (0.5, 1.0, 2.0)
"""The pauses between tries; the last one from then on."""


class Gate(Struct, frozen=True):
    """What a step has to pass besides its health addresses: checks, with all that they need, and
    alarms that do not go red. `others` are the jobs whose program may answer at an address instead
    of this one's, by address. Times are in seconds.
    """

    scene: flow.CheckSetup
    names: tuple[str, ...]
    settle_s: float
    others: Mapping[str, tuple[Job, ...]] = {}
    alarms: alarmed.AlarmBaseline = alarmed.AlarmBaseline()
    bake_s: float = 0.0


Baselines = Mapping[str, alarmed.AlarmBaseline]
"""Step -> how its alarms were before the deploy."""


def proofs(
    rules: Rules,
    jobs: Sequence[Job],
    ports: Ports,
    redact: Callable[[str], str] = str,
    baselines: Baselines | None = None,
) -> dict[str, Gate]:
    """What each step has to pass; a step that nothing is said of is left out. Everything that is
    missing shows here, before a deploy.

    `baselines` are those of the process that began the run: what is red by now may be of its
    making. Raises RulesError, Refused, CloudError.
    """
    wanted = {job.undoes or job.step: job for job in jobs if is_proved(job)}
    if not wanted:
        return {}
    found = flow.load(rules)
    made: dict[str, Gate] = {}
    for step, job in wanted.items():
        names = flow.of_deploy(found, flow.deciding(job.settings, found), job.location.environment)
        there = rules.environments.get(job.location.environment or "")
        try:
            scene = flow.scene(rules, found, names, there, [job.location], ports, redact=redact)
            flow.tasks(found, names, scene)
        except Refused as problem:
            raise Refused(
                str(problem), f"{problem.facts['next']}; without any check: --no-checks"
            ) from None
        alarms = (
            _before(job, ports)
            if baselines is None
            else baselines.get(step, alarmed.AlarmBaseline())
        )
        settle_s, bake_s = (
            float(seconds(words) or 0) for words in (job.settings.settle, job.settings.bake)
        )
        made[step] = Gate(scene, names, settle_s, _others(job, rules), alarms, bake_s)
    return made


def _before(job: Job, ports: Ports) -> alarmed.AlarmBaseline:
    """How the alarms of a job are before its deploy. Whoever may not look would not know afterwards
    either: raises Refused.
    """
    try:
        return alarmed.before(job, ports)
    except CloudError as problem:
        why = f"the alarms of {job.target} could not be checked: {problem}"
        raise Refused(why, f"{problem.next}; without checks and alarms: --no-checks") from None


def baselines(proofs: Mapping[str, Gate]) -> dict[str, Any]:
    """How the alarms were, for the journal."""
    return {
        step: msgspec.to_builtins(proof.alarms)
        for step, proof in proofs.items()
        if proof.alarms.names
    }


def read_baselines(facts: Mapping[str, Any], path: str) -> Baselines:
    """The same out of a journal; of one of the version before, no alarm counts. Raises
    StateDamaged.
    """
    try:
        return msgspec.convert(facts.get("alarms") or {}, dict[str, alarmed.AlarmBaseline])
    except msgspec.ValidationError as problem:
        raise StateDamaged(
            path=path, reason=f"what it says of alarms cannot be read: {problem}"
        ) from None


def with_warnings(
    previews: Mapping[str, Preview], proofs: Mapping[str, Gate]
) -> dict[str, Preview]:
    """The previews with what is to be said of alarms before anybody agrees."""
    told = dict(previews)
    for step, preview in previews.items():
        if step in proofs and not preview.unchanged:
            told[step] = replace(
                preview, warnings=(*preview.warnings, *alarmed.warnings(proofs[step].alarms))
            )
    return told


def is_proved(job: Job) -> bool:
    """Whether anything says if a deploy of it is well."""
    if not isinstance(job.settings, JudgedSettings):
        return False
    return bool(
        job.settings.addresses
        or job.settings.checks
        or job.settings.alarms
        or seconds(job.settings.bake)
    )


def _others(job: Job, rules: Rules) -> dict[str, tuple[Job, ...]]:
    """For each address, the jobs of those whose program may answer there instead."""
    there = rules.environments.get(job.location.environment or "")
    watched = [
        target for target in rules.targets.values() if isinstance(target.settings, JudgedSettings)
    ]
    everywhere = jobs_without_run(
        watched, locations(there, job.location.profile, None), there.vars if there else {}
    )
    may = [other for other in everywhere if may_answer_for(job, other)]
    return {
        url: tuple(other for other in may if url in other.settings.addresses)
        for url in job.settings.addresses
    }


class Verifier:
    """Holds each step that went well against its proof (`run.step.Verify`). `standby` are the steps
    that put others back.
    """

    def __init__(
        self,
        rules: Rules,
        wanted: Mapping[str, Gate],
        ports: Ports,
        stop: Stop,
        standby: Sequence[Job] = (),
    ) -> None:
        self._rules, self._wanted, self._ports, self._stop = rules, wanted, ports, stop
        self._undone = {job.undoes for job in standby}
        self._checks = flow.load(rules) if wanted else Checks()

    def __call__(self, job: Job, outcome: Outcome, desk: StepJournal) -> Outcome:
        """The outcome, which is no longer good if something does not answer as it should. Raises
        Stopped, Superseded, LockLost.
        """
        proof = self._wanted.get(job.undoes or job.step)
        if proof is None:
            return outcome
        wrong = self._judged(job, proof, outcome, desk)
        desk.check()
        self._still_runs(job, outcome, desk)
        if wrong is None:
            return outcome
        if wrong.unknown:
            return _in_doubt(outcome, wrong)
        if wrong.verdict is not Verdict.UNHEALTHY:  # it is not live any more
            return replace(
                outcome,
                verdict=wrong.verdict,
                cause=wrong.cause,
                next=wrong.next,
                log=wrong.shown,
                live=None,
            )
        return self._failed(job, outcome, wrong)

    def _judged(
        self, job: Job, proof: Gate, outcome: Outcome, desk: StepJournal
    ) -> BakeFailure | None:
        """What is wrong with it: by what answers, then by its alarms as long as they may still
        ring, and then while it bakes.
        """
        clock = self._ports.clock
        settled_at = clock.elapsed() + proof.settle_s
        wrong = _addresses(job, proof, self._ports, desk, proof.settle_s) or self._checked(
            proof, desk, proof.settle_s
        )
        if wrong is not None or outcome.verdict is not Verdict.SUCCEEDED:
            return wrong  # what only runs as it did before has nothing to settle
        names = proof.alarms.counted
        if job.undoes:  # what it undoes has made them ring
            red = alarmed.look(job, names, self._ports, desk)
            names = () if red is not None else names
        wrong = alarmed.settled(job, names, self._ports, desk, settled_at)
        if wrong is not None or job.undoes or not proof.bake_s:
            return wrong
        looks = [
            BakeCheck(_Running(job, self._ports, desk), RUNS_EVERY_S),
            BakeCheck(
                lambda: alarmed.look(job, names, self._ports, desk) if names else None,
                alarmed.EVERY_S,
            ),
            BakeCheck(
                lambda: _addresses(job, proof, self._ports, desk, CONFIRM_S),
                ADDRESSES_EVERY_S,
                ADDRESSES_EVERY_S,
            ),
            BakeCheck(
                lambda: self._checked(proof, desk, CONFIRM_S), CHECKS_EVERY_S, CHECKS_EVERY_S
            ),
        ]
        return bake(proof.bake_s, looks, desk, clock)

    def _checked(self, proof: Gate, desk: StepJournal, settle_s: float) -> BakeFailure | None:
        """What its checks have to say against it: one that failed, else one that could not be
        asked.
        """
        bad = self._bad(proof, desk, settle_s)
        for result in bad:
            if result.status == "failed":
                return BakeFailure(
                    f"check {result.check} did not pass: {result.cause}",
                    check=result.check,
                    shown=result.shown,
                )
        for result in bad:
            if result.status == "unknown":
                return BakeFailure(
                    f"check {result.check} could not be asked: {result.cause}",
                    unknown=True,
                    check=result.check,
                )
        return None

    def _bad(self, proof: Gate, desk: StepJournal, settle_s: float) -> Sequence[Result]:
        """The checks that did not pass."""
        tasks = flow.tasks(self._checks, proof.names, proof.scene)
        if not tasks:
            return ()
        desk.phase(f"asking {len(tasks)} checks" if len(tasks) > 1 else "asking 1 check")
        # No sooner than if each waited for the one before it: every check has its own time, however
        # long the others took.
        longest = sum(max(task.check.retry_s, settle_s) + task.check.timeout_s for task in tasks)
        terms = CheckOptions(
            monotonic() + longest,
            self._stop,
            settle_s,
            told=lambda result: desk.log(_line(result)),
            log=lambda task: _Lines(task, desk, proof.scene.veil),
        )
        return [
            result
            for result in CheckRun(tasks, proof.scene, self._ports, terms).carry_out()
            if result.status != "passed"
        ]

    def _still_runs(self, job: Job, outcome: Outcome, desk: StepJournal) -> None:
        """What was asked has to have been what was deployed. Nobody else may have put something
        else there, with our lock or without.
        """
        desk.check_fence()
        if outcome.live is None:
            return
        try:
            superseded.check_still_live(job, targets.kind(job.kind), outcome.live, self._ports)
        except CloudError as problem:
            desk.log(f"whether it still runs could not be checked: {problem}")

    def _failed(self, job: Job, outcome: Outcome, wrong: BakeFailure) -> Outcome:
        """It is live, and not good. What only runs as it did before is left alone: nothing of this
        run has made it so.
        """
        cause = f"it is live, but {wrong.cause}"
        look = wrong.next or (
            f"toolkit smoke-test --only {wrong.check}"
            if wrong.check
            else f"toolkit health {job.target}"
        )
        changed = outcome.verdict is Verdict.SUCCEEDED
        way = look
        if (
            not job.undoes
            and job.action != "rollback"
            and not (changed and job.step in self._undone)
        ):
            back = self._previous(job)
            if back:
                way = f"toolkit rollback {job.target}, or look: {look}"
            elif back is False and changed and self._puts_back(job):
                cause = f"{cause}; no good version is recorded that could be put back"
        return replace(
            outcome,
            verdict=Verdict.UNHEALTHY,
            cause=cause,
            next=way,
            log=wrong.shown,
            untouched=not changed,
        )

    def _previous(self, job: Job) -> bool | None:
        """Whether there is a version to go back to; None where that cannot be, or is not known."""
        if targets.kind(job.kind).irreversible(job.settings) is not None:
            return None
        try:
            return good_before(previous(job, self._rules, self._ports), job.version) is not None
        except ToolkitError:
            return None

    def _puts_back(self, job: Job) -> bool:
        there = self._rules.environments.get(job.location.environment or "")
        return there is not None and there.rollback == "on-failure"


def _in_doubt(outcome: Outcome, wrong: BakeFailure) -> Outcome:
    """Nobody could ask: that is no reason to put anything back, and none to say that it is well."""
    return replace(
        outcome,
        verdict="in-doubt",
        cause=f"it is live, but {wrong.cause}",
        next="toolkit resume, or without its checks: toolkit resume --no-checks",
        open=True,
    )


class _Lines:
    """The output of a check that is a suite of its own goes into the log of the step that it
    decides about.
    """

    path = ""

    def __init__(self, task: Task, desk: StepJournal, veil: Redactor) -> None:
        self._name, self._desk, self._veil = task.name, desk, veil

    def write(self, line: str) -> None:
        """Add a line."""
        self._desk.log(f"check {self._name}: {self._veil.over(line)}")

    def close(self) -> None:
        """The step's log goes on."""


class _Running:
    """What the kind itself says of its step, look after look."""

    def __init__(self, job: Job, ports: Ports, desk: StepJournal) -> None:
        self._job, self._ports, self._desk = job, ports, desk
        self._seen: Observation | None = None

    def __call__(self) -> BakeFailure | None:
        """What is wrong with what runs."""
        job, desk, kind = self._job, self._desk, targets.kind(self._job.kind)
        try:
            self._seen = seen = desk.ask(
                lambda: kind.observe(job, desk.receipt, self._ports, self._seen)
            )
        except Expired:
            raise
        except CloudError as problem:
            return BakeFailure(f"what runs could not be checked: {problem}", unknown=True)
        for line in seen.lines:
            desk.log(line)
        if seen.state == "done":
            return None
        if seen.state == "failed":
            gone = seen.verdict in (Verdict.ROLLED_BACK, Verdict.SUPERSEDED)
            verdict = seen.verdict if gone and seen.verdict is not None else Verdict.UNHEALTHY
            return BakeFailure(
                seen.cause or "it does not run any more",
                shown=seen.log,
                next=seen.next,
                verdict=verdict,
            )
        running = seen.state == "running"
        return BakeFailure(
            seen.cause or seen.phase or "AWS does not say how it is",
            unknown=not running,
            may_pass=running,
        )


def _addresses(
    job: Job, proof: Gate, ports: Ports, desk: StepJournal, settle_s: float
) -> BakeFailure | None:
    """An address that does not answer as it should, None if all do. They are asked again until they
    had time to settle.
    """
    until = monotonic() + settle_s
    around = CheckContext(proof.scene.policy, ports.aws, job.location, TRY_S)
    for url in job.settings.addresses:
        tries = 0

        def again(why: str) -> bool:
            nonlocal tries
            left = until - monotonic()
            if left <= 0:
                return False
            desk.phase(f"waiting: {why}")
            desk.wait(min(PAUSES_S[min(tries, len(PAUSES_S) - 1)], left))
            tries += 1
            return True

        def others(url: str = url) -> Iterator[LiveVersion | None]:
            for other in proof.others.get(url, ()):
                with suppress(ToolkitError):
                    yield targets.kind(other.kind).live(other, ports)

        def ask(url: str = url) -> tuple[Finding, str]:
            return desk.ask(lambda: addresses.check_address(url, around))

        desk.phase(f"asking {addresses.without_query(url)}")
        wrong = addresses.wait_until_healthy(url, ask, job.version, again, others)
        if wrong is not None:
            unknown = wrong.status == "unknown"
            more = f" ({wrong.next})" if unknown and wrong.next else ""
            return BakeFailure(proof.scene.veil.over(wrong.cause) + more, unknown=unknown)
    return None


def _line(result: Result) -> str:
    """One check for the step's log."""
    return f"check {result.check}: {result.status}{f': {result.cause}' if result.cause else ''}"


def undoing_of(job: Job, record: Record, rules: Rules) -> Job:
    """The step that puts a version back."""
    step = f"{job.step}:rollback"
    version = Version(record.version, record.commit, record.fingerprint, settings=record.settings)
    there = rules.environments.get(job.location.environment or "")
    variables = there.vars if there else {}
    [as_it_was] = make_jobs(
        JobRequest(
            "",
            [rules.targets[job.target]],
            [job.location],
            variables,
            {job.target: version},
            {job.target: ()},
            "",
            {},
        )
    )
    return replace(
        job,
        step=step,
        action="rollback",
        settings=as_it_was.settings,
        version=version,
        wishes=wishes(record),
        needs=(),
        undoes=job.step,
        token=step_token(job.run, step, record.fingerprint),
    )
