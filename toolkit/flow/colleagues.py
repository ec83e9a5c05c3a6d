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
from toolkit.flow.runs import RunStory, shelf_in
from toolkit.model import Environment, Job, Location, Rules
from toolkit.ports import processes
from toolkit.ports.background import BackgroundTask, Timeout
from toolkit.ports.ports import Ports
from toolkit.record import history, mirror
from toolkit.record.history import Summary
from toolkit.record.journal import Journal, JournalEntry, last_writer
from toolkit.record.locks import lock_name
from toolkit.record.shared_runs import SharedRun, SharedRuns, location_of
from toolkit.record.state import Store
from toolkit.run import jobs as making
from toolkit.run.recover import RunState, recover_state

WAIT_S = 20.0
"""How long the buckets may take to say what is in them, in seconds."""
LOOKED_AT = 100
"""How many of the newest runs are looked at for those of one environment."""
SIDE_BY_SIDE = 8
BETWEEN = b"-- as the bucket has it, from another machine:\n"

Found = TypeVar("Found")


class SharedStore(Struct, frozen=True):
    """One bucket, and an environment that shares its runs there."""

    location: Location
    shelf: SharedRuns


class ColleagueRun(Struct, frozen=True):
    """A run as a bucket has it."""

    room: SharedStore
    run: SharedRun


def rooms(
    rules: Rules, ports: Ports, profile: str | None = None, only: str | None = None
) -> list[SharedStore]:
    """The buckets of all environments, or of one only, each once. Raises Refused for what is no
    address.
    """
    found: dict[tuple[str, str | None], SharedStore] = {}
    for name, environment in rules.environments.items():
        if only not in (None, name):
            continue
        location = _location(environment, profile)
        shelf = shelf_in(location, ports)
        if shelf is not None and environment.store is not None:
            found.setdefault(
                (environment.store.rstrip("/"), environment.account), SharedStore(location, shelf)
            )
    return list(found.values())


def _location(environment: Environment, profile: str | None) -> Location:
    return making.locations(environment, profile, None)[0]


def listed(
    rules: Rules, ports: Ports, stores: Sequence[Store], most: int, environment: str | None = None
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
        rooms(rules, ports, only=environment), lambda room: _summaries(room, ports, looked)
    ):
        if problem:
            notes.append(f"the runs in {room.location.store} could not be read: {problem}")
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


def send(rules: Rules, ports: Ports, stores: Sequence[Store]) -> list[str]:
    """Send what was left of this machine's runs; what went wrong, in words."""

    def shelf_of(journal: Journal) -> SharedRuns | None:
        location = location_of(journal.entries)
        return None if location is None else shelf_in(location, ports)

    if not any(one.store for one in rules.environments.values()):
        return []
    return [
        words for store in stores for words in mirror.send_unsent_runs(store, shelf_of).values()
    ]


def _asked(
    locations: Sequence[SharedStore], ask: Callable[[SharedStore], Found]
) -> Iterator[tuple[SharedStore, Found | None, str]]:
    """What each bucket says, all asked side by side, or why it does not."""
    until = monotonic() + WAIT_S
    asides = [(room, BackgroundTask(lambda room=room: ask(room))) for room in locations]  # type: ignore[misc]
    for room, aside in asides:
        try:
            yield room, aside.within(until - monotonic()), ""
        except Timeout:
            yield room, None, f"no answer within {WAIT_S:g} s"
        except (CloudError, Refused) as problem:
            yield room, None, str(problem)


def _summaries(room: SharedStore, ports: Ports, most: int) -> list[Summary]:
    names = room.shelf.names(most, f"{ports.clock.now():%Y%m}")
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        return [
            one for one in pool.map(lambda name: _summary(room, name[0]), names) if one is not None
        ]


def _summary(room: SharedStore, run: str) -> Summary | None:
    """One run in the bucket; a damaged one costs only itself."""
    try:
        found = room.shelf.get(run)
        return None if found is None else told(ColleagueRun(room, found))
    except StateDamaged as problem:
        return Summary(run, "", None, "", "", None, (), "damaged", problem=str(problem))


def told(shared: ColleagueRun) -> Summary:
    """A run in a line. Whether it is at work, its lock says. Raises CloudError, Refused."""
    found = history.summarize(shared.run.run, shared.run.entries, False)
    if found.ended is None and _at_work(shared):
        return replace(found, status="running")
    return found


def _at_work(shared: ColleagueRun) -> bool:
    jobs = shared.run.entries[0].facts.get("jobs") if shared.run.entries else None
    first = jobs[0] if isinstance(jobs, list) and jobs and isinstance(jobs[0], dict) else {}
    location = location_of(shared.run.entries)
    if location is None or not isinstance(first.get("target"), str):
        return False
    return shared.room.shelf.at_work(shared.run.run, lock_name(location, first["target"]))


def found_in(
    run: str, rules: Rules, ports: Ports, profile: str | None = None
) -> ColleagueRun | None:
    """A run as a bucket has it, None if none has. Raises StateDamaged, CloudError, Refused, and
    Refused where no bucket answers in time.
    """
    problems: list[Exception] = []
    for room in rooms(rules, ports, profile):
        try:
            found = BackgroundTask(lambda room=room: room.shelf.get(run)).within(WAIT_S)  # type: ignore[misc]
        except Timeout:
            problems.append(
                Refused(
                    f"{room.location.store} did not answer within {WAIT_S:g} s",
                    "check the network, and try again",
                )
            )
            continue
        except (CloudError, Refused, StateDamaged) as problem:
            problems.append(problem)
            continue
        if found is not None:
            return ColleagueRun(room, found)
    if problems:
        raise problems[0]
    return None


def newer(
    run: str, store: Store, rules: Rules, ports: Ports, profile: str | None = None
) -> tuple[ColleagueRun | None, str]:
    """The run as a bucket has it, where this machine has none of that name or one that another
    machine has gone on with; in words, why that could not be found out where there is one here.
    Raises what `found_in` raises where there is none here.
    """
    mine = _entries_here(store, run)
    try:
        shared = found_in(run, rules, ports, profile)
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


def _entries_here(store: Store, run: str) -> tuple[JournalEntry, ...] | None:
    from toolkit.record import journal

    try:
        return journal.read(store, run)
    except Refused:
        return None
    except (StateDamaged, FileProblem):
        return ()


def log(run: str, step: str, rules: Rules, ports: Ports, here: bytes | None) -> bytes | None:
    """What a step said: what is `here`, and what another machine has written besides. A bucket that
    does not answer adds nothing.
    """
    found = here
    for _, theirs, _ in _asked(rooms(rules, ports), lambda room: room.shelf.log(run, step)):
        if theirs is None or (found or b"").startswith(theirs[0]):
            continue
        found = (
            theirs[0]
            if theirs[0].startswith(found or b"")
            else (found or b"") + BETWEEN + theirs[0]
        )
    return found


def story(shared: ColleagueRun) -> RunStory:
    """A run looked back at. Raises CloudError, Refused."""
    ends = {entry.step: entry.facts for entry in shared.run.entries if entry.state == "outcome"}
    summary = told(shared)
    return RunStory(
        summary,
        tuple(
            (step, verdict or "", str(ends.get(step, {}).get("cause", "")))
            for step, _, verdict in summary.steps
        ),
    )


def left_of(shared: ColleagueRun, rules: Rules, ports: Ports, profile: str | None) -> RunState:
    """What is left of a colleague's run, with its jobs where this machine reaches them. Raises
    Refused where they are not what rules.toml here says, StateDamaged.
    """
    found = recover_state(shared.run.entries, ports.clock.now(), shared.run.run)
    for job in found.jobs:
        _check(job, shared, rules)
    return replace(found, jobs=tuple(placed(rules, profile)(job) for job in found.jobs))


def placed(rules: Rules, profile: str | None, consents: Sequence[str] = ()) -> Callable[[Job], Job]:
    """What has a job where this machine reaches it: with the profile that is used here, and without
    these `consents`, which somebody else may have given.
    """

    def here(job: Job) -> Job:
        environment = rules.environments.get(job.location.environment or "")
        named = profile or (environment.profile if environment else None)
        wishes = {name: value for name, value in job.wishes.items() if name not in consents}
        return replace(job, location=replace(job.location, profile=named), wishes=wishes)

    return here


def _check(job: Job, shared: ColleagueRun, rules: Rules) -> None:
    """A job has to be of a target, in a place, and with the settings that rules.toml here has.
    Raises Refused.
    """
    run, facts = shared.run.run, last_writer(shared.run.entries[:1])
    environment, target = (
        rules.environments.get(job.location.environment or ""),
        rules.targets.get(job.target),
    )
    where = (
        next(
            (
                one
                for one in making.locations(environment, None, None)
                if one.region == job.location.region
            ),
            None,
        )
        if environment
        else None
    )
    here = (where.account, where.protected, (where.store or "").rstrip("/")) if where else None
    there = (job.location.account, job.location.protected, (job.location.store or "").rstrip("/"))
    same = (
        target is not None and environment is not None and here == there and target.kind == job.kind
    )
    if same and target is not None and environment is not None:
        variables: Mapping[str, str] = {
            "region": job.location.region or "",
            **environment.vars,
            **making.version_variables(job.version),
        }
        same = making.fill_settings(target.settings, variables) == job.settings
    if (
        not same
        or job.run != run
        or job.token != making.step_token(run, job.step, job.version.fingerprint)
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


def settle(store: Store, shared: ColleagueRun) -> None:
    """Have the journal here say what became of its run elsewhere. What is not to be done now is
    left for the next time.
    """
    with suppress(ToolkitError):
        journal = Journal.reopen(store, shared.run.run)
        try:
            mirror.claim_run(shared.room.shelf, journal)
        finally:
            journal.close()


def is_ours(entries: Sequence[JournalEntry]) -> bool:
    """Whether a run was last written by this machine."""
    return last_writer(entries).get("host") in (None, processes.current_process().host)
