"""What every target is compared with by `last` and `live`: the record of deploys, or the cloud itself."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from toolkit import targets
from toolkit.errors import Exit, ToolkitError
from toolkit.flow.compare import Point, Points, Records
from toolkit.model import GOOD, Job, Live, Place, Rules
from toolkit.ports.world import World
from toolkit.record.history import unfinished
from toolkit.record.ledger import Record, open_ledger
from toolkit.record.state import Store, existing, open_store
from toolkit.run import jobs as making

NEVER = "no deploy to {region} is recorded"
Told = Callable[[str], None]


def reader(world: World, told: Told) -> Records:
    """The records of a project. `told` hears of what could not be read: then what this machine knows has to do."""

    def read(how: str, rules: Rules, environment: str | None) -> Points:
        found = rules.environments.get(environment) if environment else None
        where = making.places(found, None, None)
        if how == "live":
            return _live(rules, where, found.vars if found else {}, world)
        shared = any(place.store for place in where)
        store = open_store(rules.project, world.root) if shared else existing(rules.project, world.root)
        return {} if store is None else _last(store, rules, where, world, told)

    return read


def _last(store: Store, rules: Rules, where: tuple[Place, ...], world: World, told: Told) -> Points:
    """The last good deploy of each target in each place; one that is missing in a region where others are is told as that.

    A record that cannot be read leaves everything unknown: what it would have said may be less than what any other base says.
    """
    known: dict[tuple[str, str | None], Point] = {}
    leaves = [name for name, target in rules.targets.items() if not target.members]
    try:
        left = _left_open(store, where[0].environment)
        for place in where:
            records = _records(store, place, world, told)
            points = {name: _point(records.get(name, ()), left.get(name, "")) for name in records.keys() | left.keys()}
            known |= {(name, place.region): point for name, point in points.items() if point is not None}
    except ToolkitError as problem:
        told("to compare with something else, name it: toolkit diff COMMIT")
        return dict.fromkeys(leaves, (Point(None, "", unknown=f"the record of what is live cannot be read: {problem}"),))
    return {
        name: tuple(known.get((name, place.region)) or _never(place) for place in where)
        for name in leaves
        if any((name, place.region) in known for place in where)
    }


def _records(store: Store, place: Place, world: World, told: Told) -> dict[str, tuple[Record, ...]]:
    """The records of each target of one place, newest first. Raises ToolkitError."""
    ledger = open_ledger(store, place, world)
    found = ledger.all()
    if ledger.behind:
        told(f"the shared record cannot be read, so this machine's own is used: {ledger.behind}")
    return {
        target: records
        for (environment, region, target), records in found.items()
        if (environment, region) == (place.environment, place.region)
    }


def _left_open(store: Store, environment: str | None) -> dict[str, str]:
    """Target -> the newest run of this machine that has begun to deploy it there, and has not written down how that ended."""
    runs = [run for run in unfinished(store) if run.environment == environment]
    return {target: run.run for run in reversed(runs) for step, target, _ in run.steps if step in run.open}


def _point(records: Sequence[Record], left_open: str) -> Point | None:
    """What to compare with: the last good deploy. What came after it may be live though nobody calls it good."""
    good = next((record for record in records if record.verdict in GOOD), None)
    last, since = records[0] if records else None, None
    if last is not None and last.unsure:
        since = f"its last deploy (run {last.run}) ended as {last.verdict}, and may be live"
    if left_open > max((record.run for record in records), default=""):
        since = f"run {left_open} has begun to deploy it, and its end is not known (toolkit resume)"
    if good is None:
        return None if since is None else Point(None, "", unknown=since)
    unknown = None if good.commit else f"what is live of it ({good.version}) is no commit"
    return Point(good.commit, good.fingerprint, good.version != good.commit, unknown, since)


def _never(place: Place) -> Point:
    return Point(None, "", unknown=NEVER.format(region=place.region or "that region"))


def _live(rules: Rules, where: tuple[Place, ...], variables: Mapping[str, str], world: World) -> Points:
    """What the cloud says runs. A target that cannot be asked is unknown, and so due."""
    wanted = [target for target in rules.targets.values() if targets.kind(target.kind).runnable(target.settings) is None]
    jobs = making.imagined(wanted, where, variables)
    with ThreadPoolExecutor(max(min(len(jobs), 16), 1)) as pool:
        found = list(pool.map(lambda job: _seen(job, world), jobs))
    unasked = [seen for seen in found if isinstance(seen, ToolkitError) and seen.exit == Exit.CREDENTIALS]
    if unasked and len(unasked) == len(found):  # nobody could be asked: that is what has to be fixed, and no answer
        raise unasked[0]
    points: dict[str, tuple[Point, ...]] = {}
    for job, seen in zip(jobs, found, strict=True):
        point = Point(None, "", unknown=f"what is live cannot be seen: {seen}") if isinstance(seen, ToolkitError) else seen
        points[job.target] = (*points.get(job.target, ()), point)
    return points


def _seen(job: Job, world: World) -> Point | ToolkitError:
    try:
        live: Live | None = targets.kind(job.kind).live(job, world)
    except ToolkitError as problem:
        return problem
    return Point(None, "", unknown="nothing is live of it") if live is None else point_of(live)


def point_of(live: Live) -> Point:
    """What is live, as something to compare with."""
    if live.commit is None:
        return Point(None, "", unknown="what is live of it was not put there by toolkit")
    return Point(live.commit, live.fingerprint or "", live.version != live.commit)
