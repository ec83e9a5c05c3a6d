"""What every target is compared with by `last` and `live`: the record of deploys, or the cloud itself."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.changes.names import generated_in, is_commit
from toolkit.errors import Exit, ToolkitError
from toolkit.flow.compare import UNRECORDED, Point, Points, Records
from toolkit.flow.stores import existing_store, really, store_for
from toolkit.model import GOOD, Job, Live, Place, Rules
from toolkit.ports.aws.s3 import Bucket
from toolkit.ports.world import World
from toolkit.record.history import one, unfinished
from toolkit.record.journal import is_run, read
from toolkit.record.ledger import BEGUN, IN_RECORD, Ledger, Record, open_ledger
from toolkit.record.state import Store
from toolkit.run import jobs as making

Told = Callable[[str], None]
AtWork = Callable[[Record], bool]
"""Whether the run that has begun a deploy is still at it."""
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
"""A commit's whole id: what others write into the record could be the name of a branch, which is always up to date."""


class Begun(Struct, frozen=True):
    """A run that has begun to deploy a target, and the run of the last good deploy that it knew (`base`, empty: none, or nobody knows)."""

    run: str
    base: str = ""


GONE = "nothing of it is live, though its deploy is recorded (run {run})"
EARLIER = "an earlier version of toolkit recorded a deploy, and nothing has been seen of it since (toolkit diff live)"


def reader(world: World, told: Told, look: bool = False) -> Records:
    """The records of a project. `told` hears of what could not be read: then what this machine knows has to do.

    With `look`, what is about to be called up to date is looked at, and what is live is the base where nothing is recorded: for a deploy.
    """

    def read(how: str, rules: Rules, environment: str | None) -> Points:
        found = rules.environments.get(environment) if environment else None
        where = making.places(found, None, None)
        variables = found.vars if found else {}
        shared = any(place.store for place in where)
        find = store_for if shared else existing_store
        store = find(rules, world, where[0].profile)
        if how == "live":
            return _live(rules, where, variables, store, world)
        points = _last(store, rules, where, world, told)
        return _looked_at(points, rules, where, variables, store, world) if look else points

    return read


def leaves(rules: Rules) -> list[str]:
    """The targets that are deployed themselves."""
    return [name for name, target in rules.targets.items() if not target.members]


def _last(store: Store | None, rules: Rules, where: Sequence[Place], world: World, told: Told) -> Points:
    """The last good deploy of each target in each place, and for those without one that nothing is recorded.

    A record that cannot be read leaves everything unknown: what it would have said may be less than what any other base says.
    """
    if store is None:
        return {}
    points: dict[str, tuple[Point, ...]] = {}
    try:
        left = _left_open(store, where[0].environment)
        for place in where:
            known = _points_of(open_ledger(store, place, world), place, rules, left, told, worker(store, place, world))
            for name in leaves(rules):
                points[name] = (*points.get(name, ()), known[name])
    except ToolkitError as problem:
        told("to compare with something else, name it: toolkit diff COMMIT")
        unknown = Point(None, "", unknown=f"the record of what is live cannot be read: {problem}")
        return dict.fromkeys(leaves(rules), (unknown,))
    return points


def _points_of(
    ledger: Ledger, place: Place, rules: Rules, left: Mapping[str, Sequence[Begun]], told: Told, at_work: AtWork
) -> dict[str, Point]:  # fmt: skip
    """What is recorded of each target in one place. Raises ToolkitError."""
    contents = ledger.all()
    if ledger.behind:
        told(f"the shared record cannot be read, so this machine's own is used: {ledger.behind}")
    names = leaves(rules)
    missing = [name for name in names if name not in contents.records and name not in contents.damaged]
    before = ledger.before() if missing else {}
    earlier = [name for name in missing if name in before]
    if earlier:
        told(f"{', '.join(earlier)}: {EARLIER}")
    points: dict[str, Point] = {}
    open_ = unended(contents.records, at_work)
    for name in names:
        if name in contents.damaged:
            points[name] = Point(None, "", unknown=contents.damaged[name])
        elif name in earlier:
            points[name] = Point(None, "", unknown=EARLIER)
        else:
            points[name] = point(contents.records.get(name, ()), left.get(name, ()), place, open_.get(name, ""))
    return points


def unended(records: Mapping[str, Sequence[Record]], at_work: AtWork) -> dict[str, str]:
    """Of the targets that a run has begun to deploy, and whose end nobody has recorded, that in words."""
    begun = [found[0] for found in records.values() if found and found[0].verdict == BEGUN]
    with ThreadPoolExecutor(max(min(len(begun), 16), 1)) as pool:
        alive = list(pool.map(at_work, begun))
    words: dict[str, str] = {}
    for record, still in zip(begun, alive, strict=True):
        working = f"run {record.run} of {record.who or 'somebody'} is deploying it"
        words[record.target] = working if still else _left(record.run)
    return words


def _left(run: str) -> str:
    way = f" (toolkit resume {run})" if is_run(run) else ""  # others may write there, and it is a command
    return f"run {run} has begun to deploy it, and its end is not known{way}"


def worker(store: Store, place: Place, world: World) -> AtWork:
    """Whether the run that has begun a deploy is still at it, by its lock. Where nobody can tell, it is not."""

    def at_work(record: Record) -> bool:
        from toolkit.record.locks import lock_name  # a deploy is rarely open
        from toolkit.record.shelf import Shelf

        with suppress(ToolkitError):
            if place.store:
                return Shelf(Bucket(world.aws(place), place.store, place.account)).at_work(record.run, lock_name(place, record.target))
            return one(store, record.run).status == "running"
        return False

    return at_work


def _left_open(store: Store, environment: str | None) -> dict[str, list[Begun]]:
    """Target -> the runs of this machine that have begun to deploy it there, have not written down how that ended, and are of a version
    of toolkit that did not write down in the record what it began."""
    left: dict[str, list[Begun]] = {}
    for run in unfinished(store):
        if run.environment != environment or not run.open:
            continue
        first = read(store, run.run)[0].facts
        if first.get(IN_RECORD) is True:
            continue  # the record says it, or something newer
        for step, target, _ in run.steps:
            if step in run.open:
                left.setdefault(target, []).append(Begun(run.run, _base_of(first, step)))
    return left


def _base_of(first: Mapping[str, Any], step: str) -> str:
    """The run of the last good deploy that was recorded when a run was prepared, empty if nobody knows."""
    jobs = first.get("jobs")
    for job in jobs if isinstance(jobs, list) else ():
        if isinstance(job, dict) and job.get("step") == step and isinstance(job.get("recorded"), dict):
            return str(job["recorded"].get("run", ""))
    return ""


def _is_open(begun: Begun, records: Sequence[Record]) -> bool:
    """Whether what a run has begun may be live. Pure.

    The names of runs say nothing: each has the clock of its own machine. But a run begins only what nobody else has deployed since it was
    prepared, and holds the lock from then on. So a good deploy that the record has above the one that the run knew came after it.
    """
    if any(record.run == begun.run for record in records):
        return False
    known = next((record.n for record in records if record.run == begun.base), None)
    return known is None or not any(record.n > known and record.verdict in GOOD for record in records)


def point(records: Sequence[Record], left: Sequence[Begun], place: Place, unended: str = "") -> Point:
    """What to compare with: the last good deploy. What came after it may be live though nobody calls it good.

    `left` are the runs that may have come after it unrecorded, `unended` is said of one that is recorded as begun.
    """
    good = next((record for record in records if record.verdict in GOOD), None)
    last = records[0] if records else None
    since: str | None
    if unended:
        since = unended
    elif last is not None and last.unsure:
        since = f"its last deploy (run {last.run}) ended as {last.verdict}, and may be live"
    else:
        since = next((_left(begun.run) for begun in left if _is_open(begun, records)), None)
    if good is None:
        if since is not None:
            return Point(None, "", unknown=since)
        where = place.region or "that region"
        return replace(UNRECORDED, unknown=f"no deploy to {where} is recorded")
    whole = good.commit is not None and _COMMIT.fullmatch(good.commit) is not None
    unknown = None if whole else f"what is live of it ({good.version}) is not a commit"
    return Point(
        good.commit,
        good.fingerprint,
        not is_commit(good.version, good.commit),
        unknown,
        since,
        settings=good.settings,
        run=good.run,
        generated=generated_in(good.version),
    )


def _live(
    rules: Rules, where: Sequence[Place], variables: Mapping[str, str], store: Store | None, world: World
) -> Points:  # fmt: skip
    """What the cloud says runs. A target that cannot be asked is unknown, and so due."""
    seen = look(leaves(rules), rules, where, variables, world)
    unasked = [live for live in seen.values() if isinstance(live, ToolkitError) and live.exit == Exit.CREDENTIALS]
    if unasked and len(unasked) == len(seen):  # nobody could be asked: that is what has to be fixed, and no answer
        raise unasked[0]
    points: dict[str, tuple[Point, ...]] = {}
    for place in where:
        for name in leaves(rules):
            if (name, place.region) not in seen:
                continue
            live = seen[name, place.region]
            if isinstance(live, ToolkitError):
                one = Point(None, "", unknown=f"what is live could not be checked: {live}")
            elif live is None:
                one = Point(None, "", unknown="nothing is live of it")
            else:
                one = _confirmed(live, name, place, store, world)
            points[name] = (*points.get(name, ()), one)
    return points


def look(
    names: Collection[str], rules: Rules, where: Sequence[Place], variables: Mapping[str, str], world: World
) -> dict[tuple[str, str | None], Live | ToolkitError | None]:
    """What runs of these targets in each place, asked side by side; of what cannot be asked, the reason."""
    wanted = [
        rules.targets[name] for name in names if targets.kind(rules.targets[name].kind).runnable(rules.targets[name].settings) is None
    ]
    jobs = making.imagined(wanted, where, variables)
    with ThreadPoolExecutor(max(min(len(jobs), 16), 1)) as pool:
        seen = list(pool.map(lambda job: _seen(job, world), jobs))
    return {(job.target, job.place.region): live for job, live in zip(jobs, seen, strict=True)}


def _seen(job: Job, world: World) -> Live | ToolkitError | None:
    try:
        live: Live | None = targets.kind(job.kind).live(job, world)
    except ToolkitError as problem:
        return problem
    return live


def _confirmed(live: Live, name: str, place: Place, store: Store | None, world: World) -> Point:
    """What is live, as something to compare with. What an earlier version of toolkit recorded counts from now on, if this is it."""
    if store is not None and live.run is not None:
        _adopt(live, name, place, store, world)
    return point_of(live)


def _adopt(live: Live, name: str, place: Place, store: Store, world: World) -> None:
    """Record what an earlier version of toolkit had recorded, and is seen to run. Where that fails, it is seen again the next time."""
    with suppress(ToolkitError):
        there = really(place, world)
        ledger = open_ledger(store, there, world)
        if ledger.get(name):
            return
        for record in ledger.before().get(name, ()):
            if record.verdict in GOOD and (record.version, record.run) == (live.version, live.run):
                ledger.put(
                    replace(
                        record,
                        account=there.account,
                        region=there.region,
                        endpoint=store.endpoint,
                        deployed=live.deployed,
                        detail={**record.detail, **live.detail},
                    )
                )
                return


def point_of(live: Live) -> Point:
    """What is live, as something to compare with."""
    if live.doubt:
        return Point(None, "", unknown=live.doubt)
    if live.commit is None:
        return Point(None, "", unknown="what is live of it was not put there by toolkit")
    version = live.version or ""
    return Point(
        live.commit,
        live.fingerprint or "",
        not is_commit(version, live.commit),
        settings=live.settings or "",
        run=live.run or "",
        generated=generated_in(version),
    )


def _looked_at(
    points: Points, rules: Rules, where: Sequence[Place], variables: Mapping[str, str], store: Store | None, world: World
) -> Points:  # fmt: skip
    """The same, held against what is live: gone or changed is due, and where nothing is recorded, what is live is the base.

    What could not be looked at is not called up to date either: the deploy itself says what is wrong.
    """
    seen = look(leaves(rules), rules, where, variables, world)
    looked: dict[str, tuple[Point, ...]] = {}
    for name in leaves(rules):
        known = points.get(name) or (UNRECORDED,) * len(where)
        if len(known) != len(where):  # the record could not be read at all
            looked[name] = known
            continue
        each: list[Point] = []
        for place, recorded in zip(where, known, strict=True):
            each.append(_against_live(recorded, seen.get((name, place.region), _UNASKED), name, place, store, world))
        looked[name] = tuple(each)
    return looked


_UNASKED = ToolkitError()
"""For a target that this version of toolkit cannot ask about."""


def _against_live(
    recorded: Point, live: Live | ToolkitError | None, name: str, place: Place, store: Store | None, world: World
) -> Point:  # fmt: skip
    if isinstance(live, ToolkitError):
        if live is _UNASKED or recorded.unknown is not None:
            return recorded
        return replace(recorded, since=f"what is live could not be checked: {live}")
    if recorded.unknown is not None:
        if live is None or recorded.since is not None or live.commit is None:
            return recorded
        return _confirmed(live, name, place, store, world)
    if live is None:
        return replace(recorded, since=GONE.format(run=recorded.run))
    records = open_ledger(store, place, world).get(name) if store is not None else ()
    why = changed(live, records, recorded.run)
    return replace(recorded, since=why) if why else recorded


def changed(live: Live, records: Iterable[Record], run: str) -> str:
    """Why what runs is not what `run` put there, the last good deploy when the record was read, empty if it is. Pure."""
    good = next((record for record in records if record.verdict in GOOD), None)
    if good is None:
        return ""
    if good.run != run:
        return f"run {good.run} has deployed it meanwhile"
    same = good.deployed.same(live.deployed)
    if same is False:
        return f"what runs is not what run {good.run} deployed: it was changed outside toolkit"
    if same is None and live.version != good.version:
        runs = live.version or "something that toolkit did not deploy"
        return f"{runs[:20]} runs, and run {good.run} deployed {good.version[:20]}"
    return ""
