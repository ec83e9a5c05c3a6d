"""After a deploy: what is live has to answer, and to pass its checks, before anybody says that it went well."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from time import monotonic

from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.errors import CloudError, Refused, ToolkitError
from toolkit.flow import checks as flow
from toolkit.flow.previous import good_before, previous, wishes
from toolkit.flow.rounds import Round, Terms
from toolkit.impact.reading import seconds
from toolkit.model import Checks, Job, Live, Outcome, Result, Rules, Sign
from toolkit.ports.world import World
from toolkit.record.ledger import Record
from toolkit.run import overtaken
from toolkit.run.desk import Desk
from toolkit.run.jobs import imagined, make, may_answer_for, places, token
from toolkit.run.stop import Stop
from toolkit.targets.base import Watched
from toolkit.verify import addresses
from toolkit.verify.base import Around
from toolkit.verify.select import Task
from toolkit.verify.values import Veil

TRY_S = 10.0
"""How long one try of a health address may take."""
PAUSES_S = (0.5, 1.0, 2.0)
"""The pauses between tries; the last one from then on."""


class Proof(Struct, frozen=True):
    """What a step has to pass besides its health addresses: checks, with all that they need. `others` are the jobs whose program may
    answer at an address instead of this one's, by address."""

    scene: flow.Scene
    names: tuple[str, ...]
    settle_s: float
    others: Mapping[str, tuple[Job, ...]] = {}


def proofs(rules: Rules, jobs: Sequence[Job], world: World, redact: Callable[[str], str] = str) -> dict[str, Proof]:
    """What each step has to pass; a step that nothing is said of is left out. Everything that is missing shows here, before a deploy.

    Raises RulesError, Refused, CloudError.
    """
    wanted = {job.undoes or job.step: job for job in jobs if is_proved(job)}
    if not wanted:
        return {}
    found = flow.load(rules)
    made: dict[str, Proof] = {}
    for step, job in wanted.items():
        names = flow.of_deploy(found, flow.deciding(job.settings, found), job.place.environment)
        there = rules.environments.get(job.place.environment or "")
        try:
            scene = flow.scene(rules, found, names, there, [job.place], world, redact=redact)
            flow.tasks(found, names, scene)
        except Refused as problem:
            raise Refused(str(problem), f"{problem.facts['next']}; without any check: --no-checks") from None
        made[step] = Proof(scene, names, float(seconds(job.settings.settle) or 0), _others(job, rules))
    return made


def is_proved(job: Job) -> bool:
    """Whether anything says if a deploy of it is well."""
    return isinstance(job.settings, Watched) and bool(job.settings.health or job.settings.checks)


def _others(job: Job, rules: Rules) -> dict[str, tuple[Job, ...]]:
    """For each address, the jobs of those whose program may answer there instead."""
    there = rules.environments.get(job.place.environment or "")
    watched = [target for target in rules.targets.values() if isinstance(target.settings, Watched)]
    everywhere = imagined(watched, places(there, job.place.profile, None), there.vars if there else {})
    may = [other for other in everywhere if may_answer_for(job, other)]
    return {url: tuple(other for other in may if url in other.settings.health) for url in job.settings.health}


class Verifier:
    """Holds each step that went well against its proof (`run.step.Verify`). `standby` are the steps that put others back."""

    def __init__(self, rules: Rules, wanted: Mapping[str, Proof], world: World, stop: Stop, standby: Sequence[Job] = ()) -> None:
        self._rules, self._wanted, self._world, self._stop = rules, wanted, world, stop
        self._undone = {job.undoes for job in standby}
        self._checks = flow.load(rules) if wanted else Checks()

    def __call__(self, job: Job, outcome: Outcome, desk: Desk) -> Outcome:
        """The outcome, which is no longer good if something does not answer as it should. Raises Stopped, Superseded, LockLost."""
        proof = self._wanted.get(job.undoes or job.step)
        if proof is None:
            return outcome
        wrong = _addresses(job, proof, self._world, desk)
        bad = () if wrong else self._bad(proof, desk)
        desk.check()
        self._still_runs(job, outcome, desk)
        if wrong is not None and wrong.status == "unknown":
            return _in_doubt(outcome, f"{wrong.cause}{f' ({wrong.next})' if wrong.next else ''}")
        if wrong is not None:
            return self._failed(job, outcome, f"it is live, but {wrong.cause}")
        failed = next((result for result in bad if result.status == "failed"), None)
        if failed is not None:
            return self._failed(job, outcome, f"it is live, but check {failed.check} did not pass: {failed.cause}", failed)
        unknown = next((result for result in bad if result.status == "unknown"), None)
        return outcome if unknown is None else _in_doubt(outcome, f"check {unknown.check} could not be asked: {unknown.cause}")

    def _bad(self, proof: Proof, desk: Desk) -> Sequence[Result]:
        """What its checks have to say against it."""
        tasks = flow.tasks(self._checks, proof.names, proof.scene)
        if not tasks:
            return ()
        desk.phase(f"asking {len(tasks)} checks" if len(tasks) > 1 else "asking 1 check")
        # No sooner than if each waited for the one before it: every check has its own time, however long the others took.
        longest = sum(max(task.check.retry_s, proof.settle_s) + task.check.timeout_s for task in tasks)
        terms = Terms(
            monotonic() + longest, self._stop, proof.settle_s,
            told=lambda result: desk.log(_line(result)), log=lambda task: _Lines(task, desk, proof.scene.veil),
        )  # fmt: skip
        return [result for result in Round(tasks, proof.scene, self._world, terms).carry_out() if result.status != "passed"]

    def _still_runs(self, job: Job, outcome: Outcome, desk: Desk) -> None:
        """What was asked has to have been what was deployed. Nobody else may have put something else there, with our lock or without."""
        desk.fenced()
        if outcome.live is None:
            return
        try:
            overtaken.check(job, targets.kind(job.kind), outcome.live, self._world)
        except CloudError as problem:
            desk.log(f"whether it runs still cannot be seen: {problem}")

    def _failed(self, job: Job, outcome: Outcome, cause: str, result: Result | None = None) -> Outcome:
        """It is live, and failed. What only runs as it did before is left alone: nothing of this run has made it so."""
        look = f"toolkit smoke-test --only {result.check}" if result is not None else f"toolkit health {job.target}"
        changed = outcome.verdict == "succeeded"
        way = look
        if not job.undoes and job.action != "rollback" and not (changed and job.step in self._undone):
            back = self._previous(job)
            if back:
                way = f"toolkit rollback {job.target}, or look: {look}"
            elif back is False and changed and self._puts_back(job):
                cause = f"{cause}; no good version is recorded that could be put back"
        shown = result.shown if result is not None else ()
        return replace(outcome, verdict="failed", cause=cause, next=way, log=shown, unverified=changed)

    def _previous(self, job: Job) -> bool | None:
        """Whether there is a version to go back to; None where that cannot be, or is not known."""
        if targets.kind(job.kind).irreversible(job.settings) is not None:
            return None
        try:
            return good_before(previous(job, self._rules, self._world), job.version) is not None
        except ToolkitError:
            return None

    def _puts_back(self, job: Job) -> bool:
        there = self._rules.environments.get(job.place.environment or "")
        return there is not None and there.rollback == "on-failure"


def _in_doubt(outcome: Outcome, why: str) -> Outcome:
    """Nobody could ask: that is no reason to put anything back, and none to say that it is well."""
    return replace(
        outcome, verdict="in-doubt", cause=f"it is live, but {why}",
        next="toolkit resume, or without its checks: toolkit resume --no-checks", open=True,
    )  # fmt: skip


class _Lines:
    """The output of a check that is a suite of its own goes into the log of the step that it decides about."""

    path = ""

    def __init__(self, task: Task, desk: Desk, veil: Veil) -> None:
        self._name, self._desk, self._veil = task.name, desk, veil

    def write(self, line: str) -> None:
        """Add a line."""
        self._desk.log(f"check {self._name}: {self._veil.over(line)}")

    def close(self) -> None:
        """The step's log goes on."""


def _addresses(job: Job, proof: Proof, world: World, desk: Desk) -> Sign | None:
    """An address that does not answer as it should, None if all do. They are asked again until they had time to settle."""
    until = monotonic() + proof.settle_s
    around = Around(proof.scene.policy, world.aws, job.place, TRY_S)
    for url in job.settings.health:
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

        def others(url: str = url) -> Iterator[Live | None]:
            for other in proof.others.get(url, ()):
                with suppress(ToolkitError):
                    yield targets.kind(other.kind).live(other, world)

        def ask(url: str = url) -> tuple[Sign, str]:
            return desk.ask(lambda: addresses.sign(url, around))

        desk.phase(f"asking {addresses.shown(url)}")
        wrong = addresses.wait_until_well(url, ask, job.version, again, others)
        if wrong is not None:
            return replace(wrong, cause=proof.scene.veil.over(wrong.cause))
    return None


def _line(result: Result) -> str:
    """One check for the step's log."""
    return f"check {result.check}: {result.status}{f': {result.cause}' if result.cause else ''}"


def undoing_of(job: Job, record: Record, rules: Rules) -> Job:
    """The step that puts a version back."""
    step = f"{job.step}:rollback"
    version = replace(job.version, name=record.version, commit=record.commit, fingerprint=record.fingerprint, dirty=False)
    there = rules.environments.get(job.place.environment or "")
    variables = there.vars if there else {}
    [as_it_was] = make("", [rules.targets[job.target]], [job.place], variables, {job.target: version}, {job.target: ()}, "", {})
    return replace(
        job, step=step, action="rollback", settings=as_it_was.settings, version=version, wishes=wishes(record), needs=(), undoes=job.step,
        token=token(job.run, step, record.fingerprint),
    )  # fmt: skip
