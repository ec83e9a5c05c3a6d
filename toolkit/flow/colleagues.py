"""The runs that colleagues have begun with the same store: listed, looked at, and gone on with.

What stands in a bucket, others may have written. So it only says what was begun and how far that
came: what may be deployed, where, and with which settings, is what rules.toml here says.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from toolkit.errors import CloudError, FileProblem, Refused, StateDamaged, ToolkitError
from toolkit.flow.runs import Story, shelf_in
from toolkit.model import Environment, Job, Place, Rules
from toolkit.ports.aside import Aside, Late
from toolkit.ports.world import World
from toolkit.record import history, mirror, who
from toolkit.record.history import Summary
from toolkit.record.journal import Entry, Journal
from toolkit.record.locks import lock_name
from toolkit.record.shelf import SharedRun, Shelf, last_writer, place_of
from toolkit.record.state import Store
from toolkit.run import jobs as making
from toolkit.run.settle import Left, left

WAIT_S = 20.0
"""How long the buckets may take to say what is in them, in seconds."""
LOOKED_AT = 100
"""How many of the newest runs are looked at for those of one environment."""
SIDE_BY_SIDE = 8
BETWEEN = b"-- as the bucket has it, from another machine:\n"

Found = TypeVar("Found")


class Room(Struct, frozen=True):
    """One bucket, and an environment that shares its runs there."""

    place: Place
    shelf: Shelf


class Shared(Struct, frozen=True):
    """A run as a bucket has it."""

    room: Room
    run: SharedRun


def rooms(
    rules: Rules, world: World, profile: str | None = None, only: str | None = None
) -> list[Room]:
    """The buckets of all environments, or of one only, each once. Raises Refused for what is no
    address.
    """
    found: dict[tuple[str, str | None], Room] = {}
    for name, environment in rules.environments.items():
        if only not in (None, name):
            continue
        place = _place(environment, profile)
        shelf = shelf_in(place, world)
        if shelf is not None and environment.store is not None:
            found.setdefault(
                (environment.store.rstrip("/"), environment.account), Room(place, shelf)
            )
    return list(found.values())


def _place(environment: Environment, profile: str | None) -> Place:
    return making.places(environment, profile, None)[0]


def listed(
    rules: Rules, world: World, stores: Sequence[Store], most: int, environment: str | None = None
) -> tuple[list[Summary], list[str]]:
    """The newest runs of this machine and of all that share a store with it, newest first, all or
    those in an environment; and what has to be said besides: what of it could not be read. Raises
    FileProblem.
    """
    looked = most if environment is None else max(most, LOOKED_AT)
    found: dict[str, Summary] = {
        one.run: one for store in stores for one in history.runs(store, looked)
    }
    notes: list[str] = []
    for room, theirs, problem in _asked(
        rooms(rules, world, only=environment), lambda room: _summaries(room, world, looked)
    ):
        if problem:
            notes.append(f"the runs in {room.place.store} could not be read: {problem}")
        for one in theirs or ():
            mine = found.get(one.run)
            if mine is None or _says_more(one, mine):
                found[one.run] = one
    newest = sorted(found.values(), key=lambda one: one.run, reverse=True)
    return [
        one for one in newest if environment in (None, one.environment) or one.status == "damaged"
    ][:most], notes


def _says_more(theirs: Summary, mine: Summary) -> bool:
    """Whether the bucket knows more of a run than its journal here: another machine has gone on
    with it.
    """
    if mine.status == "running" or theirs.status == "damaged" or (mine.ended and not theirs.ended):
        return False
    return mine.host != theirs.host or (theirs.ended is not None and mine.ended is None)


def send(rules: Rules, world: World, stores: Sequence[Store]) -> list[str]:
    """Send what was left of this machine's runs; what went wrong, in words."""

    def shelf_of(journal: Journal) -> Shelf | None:
        place = place_of(journal.entries)
        return None if place is None else shelf_in(place, world)

    if not any(one.store for one in rules.environments.values()):
        return []
    return [words for store in stores for words in mirror.catch_up(store, shelf_of).values()]


def _asked(
    places: Sequence[Room], ask: Callable[[Room], Found]
) -> Iterator[tuple[Room, Found | None, str]]:
    """What each bucket says, all asked side by side, or why it does not."""
    until = monotonic() + WAIT_S
    asides = [(room, Aside(lambda room=room: ask(room))) for room in places]  # type: ignore[misc]
    for room, aside in asides:
        try:
            yield room, aside.within(until - monotonic()), ""
        except Late:
            yield room, None, f"no answer within {WAIT_S:g} s"
        except (CloudError, Refused) as problem:
            yield room, None, str(problem)


def _summaries(room: Room, world: World, most: int) -> list[Summary]:
    names = room.shelf.names(most, f"{world.clock.now():%Y%m}")
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        return [
            one for one in pool.map(lambda name: _summary(room, name[0]), names) if one is not None
        ]


def _summary(room: Room, run: str) -> Summary | None:
    """One run in the bucket; a damaged one costs only itself."""
    try:
        found = room.shelf.get(run)
        return None if found is None else told(Shared(room, found))
    except StateDamaged as problem:
        return Summary(run, "", None, "", "", None, (), "damaged", problem=str(problem))


def told(shared: Shared) -> Summary:
    """A run in a line. Whether it is at work, its lock says. Raises CloudError, Refused."""
    found = history.summary(shared.run.run, shared.run.entries, False)
    if found.ended is None and _at_work(shared):
        return replace(found, status="running")
    return found


def _at_work(shared: Shared) -> bool:
    jobs = shared.run.entries[0].facts.get("jobs") if shared.run.entries else None
    first = jobs[0] if isinstance(jobs, list) and jobs and isinstance(jobs[0], dict) else {}
    place = place_of(shared.run.entries)
    if place is None or not isinstance(first.get("target"), str):
        return False
    return shared.room.shelf.at_work(shared.run.run, lock_name(place, first["target"]))


def found_in(run: str, rules: Rules, world: World, profile: str | None = None) -> Shared | None:
    """A run as a bucket has it, None if none has. Raises StateDamaged, CloudError, Refused, and
    Refused where no bucket answers in time.
    """
    problems: list[Exception] = []
    for room in rooms(rules, world, profile):
        try:
            found = Aside(lambda room=room: room.shelf.get(run)).within(WAIT_S)  # type: ignore[misc]
        except Late:
            problems.append(
                Refused(
                    f"{room.place.store} did not answer within {WAIT_S:g} s",
                    "check the network, and try again",
                )
            )
            continue
        except (CloudError, Refused, StateDamaged) as problem:
            problems.append(problem)
            continue
        if found is not None:
            return Shared(room, found)
    if problems:
        raise problems[0]
    return None


def newer(
    run: str, store: Store, rules: Rules, world: World, profile: str | None = None
) -> tuple[Shared | None, str]:
    """The run as a bucket has it, where this machine has none of that name or one that another
    machine has gone on with; in words, why that could not be found out where there is one here.
    Raises what `found_in` raises where there is none here.
    """
    mine = _entries_here(store, run)
    try:
        shared = found_in(run, rules, world, profile)
    except ToolkitError as problem:
        if mine is None:
            raise
        return None, str(problem)
    if shared is None or mine is None:
        return shared, ""
    theirs = shared.run.entries
    behind = theirs[: len(mine)] == tuple(mine) and len(theirs) > len(mine)
    apart = theirs != tuple(mine)[: len(theirs)] and not behind
    return (shared if behind or apart else None), ""


def _entries_here(store: Store, run: str) -> tuple[Entry, ...] | None:
    from toolkit.record import journal

    try:
        return journal.read(store, run)
    except Refused:
        return None
    except (StateDamaged, FileProblem):
        return ()


def log(run: str, step: str, rules: Rules, world: World, here: bytes | None) -> bytes | None:
    """What a step said: what is `here`, and what another machine has written besides. A bucket that
    does not answer adds nothing.
    """
    found = here
    for _, theirs, _ in _asked(rooms(rules, world), lambda room: room.shelf.log(run, step)):
        if theirs is None or (found or b"").startswith(theirs[0]):
            continue
        found = (
            theirs[0]
            if theirs[0].startswith(found or b"")
            else (found or b"") + BETWEEN + theirs[0]
        )
    return found


def story(shared: Shared) -> Story:
    """A run looked back at. Raises CloudError, Refused."""
    ends = {entry.step: entry.facts for entry in shared.run.entries if entry.state == "outcome"}
    summary = told(shared)
    return Story(
        summary,
        tuple(
            (step, verdict or "", str(ends.get(step, {}).get("cause", "")))
            for step, _, verdict in summary.steps
        ),
    )


def left_of(shared: Shared, rules: Rules, world: World, profile: str | None) -> Left:
    """What is left of a colleague's run, with its jobs where this machine reaches them. Raises
    Refused where they are not what rules.toml here says, StateDamaged.
    """
    found = left(shared.run.entries, world.clock.now(), shared.run.run)
    for job in found.jobs:
        _check(job, shared, rules)
    return replace(found, jobs=tuple(placed(rules, profile)(job) for job in found.jobs))


def placed(rules: Rules, profile: str | None, consents: Sequence[str] = ()) -> Callable[[Job], Job]:
    """What has a job where this machine reaches it: with the profile that is used here, and without
    these `consents`, which somebody else may have given.
    """

    def here(job: Job) -> Job:
        environment = rules.environments.get(job.place.environment or "")
        named = profile or (environment.profile if environment else None)
        wishes = {name: value for name, value in job.wishes.items() if name not in consents}
        return replace(job, place=replace(job.place, profile=named), wishes=wishes)

    return here


def _check(job: Job, shared: Shared, rules: Rules) -> None:
    """A job has to be of a target, in a place, and with the settings that rules.toml here has.
    Raises Refused.
    """
    run, facts = shared.run.run, last_writer(shared.run.entries[:1])
    environment, target = (
        rules.environments.get(job.place.environment or ""),
        rules.targets.get(job.target),
    )
    where = (
        next(
            (
                one
                for one in making.places(environment, None, None)
                if one.region == job.place.region
            ),
            None,
        )
        if environment
        else None
    )
    here = (where.account, where.protected, (where.store or "").rstrip("/")) if where else None
    there = (job.place.account, job.place.protected, (job.place.store or "").rstrip("/"))
    same = (
        target is not None and environment is not None and here == there and target.kind == job.kind
    )
    if same and target is not None and environment is not None:
        variables: Mapping[str, str] = {
            "region": job.place.region or "",
            **environment.vars,
            **making.known(job.version),
        }
        same = making.filled(target.settings, variables) == job.settings
    if (
        not same
        or job.run != run
        or job.token != making.token(run, job.step, job.version.fingerprint)
    ):
        commit = facts.get("commit") or job.version.commit
        next_ = (
            f"go on with it where rules.toml is as it was then: git checkout {commit}"
            if isinstance(commit, str)
            else ""
        )
        raise Refused(
            f"step {job.step} of run {run} is not what rules.toml here says",
            next_ or "see `toolkit show`",
        )


def settle(store: Store, shared: Shared) -> None:
    """Have the journal here say what became of its run elsewhere. What is not to be done now is
    left for the next time.
    """
    with suppress(ToolkitError):
        journal = Journal.reopen(store, shared.run.run)
        try:
            mirror.claimed(shared.room.shelf, journal)
        finally:
            journal.close()


def is_ours(entries: Sequence[Entry]) -> bool:
    """Whether a run was last written by this machine."""
    return last_writer(entries).get("host") in (None, who.this().host)
