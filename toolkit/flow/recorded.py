"""What every target is compared with by `last` and `live`: the record of deploys, or the cloud itself."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from toolkit import targets
from toolkit.errors import ToolkitError
from toolkit.flow.compare import Point, Points, Records
from toolkit.model import GOOD, Job, Live, Place, Rules
from toolkit.ports.world import World
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
    for place in where:
        try:
            known |= {(record.target, place.region): _point(record) for record in _records(store, place, world, told)}
        except ToolkitError as problem:
            told("to compare with something else, name it: toolkit diff COMMIT")
            return dict.fromkeys(leaves, (Point(None, "", unknown=f"the record of what is live cannot be read: {problem}"),))
    return {
        name: tuple(known.get((name, place.region)) or _never(place) for place in where)
        for name in leaves
        if any((name, place.region) in known for place in where)
    }


def _records(store: Store, place: Place, world: World, told: Told) -> list[Record]:
    """The newest good record of each target of one place. Raises ToolkitError."""
    ledger = open_ledger(store, place, world)
    found = ledger.all()
    if ledger.behind:
        told(f"the shared record cannot be read, so this machine's own is used: {ledger.behind}")
    kept = [records for (environment, region, _), records in found.items() if (environment, region) == (place.environment, place.region)]
    good = (next((record for record in records if record.verdict in GOOD), None) for records in kept)
    return [record for record in good if record is not None]


def _point(record: Record) -> Point:
    unknown = None if record.commit else f"what is live of it ({record.version}) is no commit"
    return Point(record.commit, record.fingerprint, record.version != record.commit, unknown)


def _never(place: Place) -> Point:
    return Point(None, "", unknown=NEVER.format(region=place.region or "that region"))


def _live(rules: Rules, where: tuple[Place, ...], variables: Mapping[str, str], world: World) -> Points:
    """What the cloud says runs. A target that cannot be asked is unknown, and so due."""
    wanted = [target for target in rules.targets.values() if targets.kind(target.kind).runnable(target.settings) is None]
    jobs = making.imagined(wanted, where, variables)
    with ThreadPoolExecutor(max(min(len(jobs), 16), 1)) as pool:
        found = list(pool.map(lambda job: _seen(job, world), jobs))
    points: dict[str, tuple[Point, ...]] = {}
    for job, point in zip(jobs, found, strict=True):
        points[job.target] = (*points.get(job.target, ()), point)
    return points


def _seen(job: Job, world: World) -> Point:
    try:
        live: Live | None = targets.kind(job.kind).live(job, world)
    except ToolkitError as problem:
        return Point(None, "", unknown=f"what is live cannot be seen: {problem}")
    return Point(None, "", unknown="nothing is live of it") if live is None else point_of(live)


def point_of(live: Live) -> Point:
    """What is live, as something to compare with."""
    if live.commit is None:
        return Point(None, "", unknown="what is live of it was not put there by toolkit")
    return Point(live.commit, live.fingerprint or "", live.version != live.commit)
