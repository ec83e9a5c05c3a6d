"""After a deploy: what is live has to answer, and to pass its checks, before anybody says that it went well."""

from collections.abc import Callable, Collection, Mapping, Sequence
from time import monotonic

from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.flow import checks as flow
from toolkit.flow.rounds import Round, Terms
from toolkit.impact.reading import seconds
from toolkit.model import Job, Outcome, Result, Rules
from toolkit.ports.world import World
from toolkit.record.ledger import Record
from toolkit.run.desk import Desk
from toolkit.run.jobs import token
from toolkit.run.step import Verify
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
    """What a step has to pass: health addresses, and checks with all that they need."""

    scene: flow.Scene
    urls: tuple[str, ...]
    names: tuple[str, ...]
    settle_s: float


def proofs(rules: Rules, jobs: Sequence[Job], world: World, redact: Callable[[str], str] = str) -> dict[str, Proof]:
    """What each step has to pass; a step that nothing is said of is left out. Everything that is missing shows here, before a deploy.

    Raises RulesError, Refused, CloudError.
    """
    wanted = {job.step: job for job in jobs if isinstance(job.settings, Watched) and (job.settings.health or job.settings.checks)}
    if not wanted:
        return {}
    found = flow.load(rules)
    made: dict[str, Proof] = {}
    for step, job in wanted.items():
        names = flow.of_deploy(found, flow.of_target(rules, found, job.target), job.place.environment)
        there = rules.environments.get(job.place.environment or "")
        scene = flow.scene(rules, found, names, there, [job.place], world, redact=redact)
        flow.tasks(found, names, scene)
        made[step] = Proof(scene, job.settings.health, names, float(seconds(job.settings.settle) or 0))
    return made


def verifier(rules: Rules, wanted: Mapping[str, Proof], world: World, stop: Stop, standby: Sequence[Job] = ()) -> Verify:
    """What holds a step that went well against its proof. `standby` are the steps that put others back."""
    undone = {job.undoes for job in standby}
    found = flow.load(rules) if wanted else None

    def verify(job: Job, outcome: Outcome, desk: Desk) -> Outcome:
        proof = wanted.get(job.undoes or job.step)
        if proof is None or found is None:
            return outcome
        began = monotonic()
        why = _addresses(job, proof, world, desk, began + proof.settle_s)
        if why:
            return _failed(job, outcome, f"it is live, but {why}", undone)
        tasks = flow.tasks(found, proof.names, proof.scene)
        if not tasks:
            return outcome
        desk.phase(f"asking {len(tasks)} checks" if len(tasks) > 1 else "asking 1 check")
        longest = sum(task.check.timeout_s for task in tasks)
        terms = Terms(
            monotonic() + proof.settle_s + longest, stop, proof.settle_s,
            told=lambda result: desk.log(_line(result)), log=lambda task: _Lines(task, desk, proof.scene.veil),
        )  # fmt: skip
        results = Round(tasks, proof.scene, world, terms).carry_out()
        desk.check()
        bad = [result for status in ("failed", "unknown") for result in results if result.status == status]
        if not bad:
            return outcome
        return _failed(job, outcome, f"it is live, but check {bad[0].check} did not pass: {bad[0].cause}", undone, bad[0])

    return verify


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


def _addresses(job: Job, proof: Proof, world: World, desk: Desk, until: float) -> str:
    """Why an address does not answer as it should, empty if all do. They are asked again until then."""
    around = Around(proof.scene.policy, world.aws, job.place, TRY_S)
    for url in proof.urls:
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

        desk.phase(f"asking {addresses.shown(url)}")
        why = addresses.wait_until_well(url, around, job.version, again)
        if why:
            return proof.scene.veil.over(why)
    return ""


def _line(result: Result) -> str:
    """One check for the step's log."""
    return f"check {result.check}: {result.status}{f': {result.cause}' if result.cause else ''}"


def _failed(job: Job, outcome: Outcome, cause: str, undone: Collection[str], result: Result | None = None) -> Outcome:
    """It is live, and failed. What only runs as it did before is left alone: nothing of this run has made it so."""
    look = f"toolkit smoke-test --only {result.check}" if result is not None else f"toolkit health {job.target}"
    changed = outcome.verdict == "succeeded"
    reversible = targets.kind(job.kind).irreversible(job.settings) is None and not job.undoes
    by_hand = reversible and not (changed and job.step in undone)
    way = f"toolkit rollback {job.target}, or look: {look}" if by_hand else look
    shown = result.shown if result is not None else ()
    return replace(outcome, verdict="failed", cause=cause, next=way, log=shown, unverified=changed)


def undoing_of(job: Job, records: Sequence[Record]) -> Job | None:
    """The step that puts the last good version back, None where none is recorded. `records` are the newest first."""
    from toolkit.flow.rollback import good_before, wishes

    record = good_before(records, job.version.name)
    if record is None:
        return None
    step = f"{job.step}:rollback"
    version = replace(job.version, name=record.version, commit=record.commit, fingerprint=record.fingerprint, dirty=False)
    return replace(
        job, step=step, action="rollback", version=version, wishes=wishes(record), needs=(), undoes=job.step,
        token=token(job.run, step, record.fingerprint),
    )  # fmt: skip
