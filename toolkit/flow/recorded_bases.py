"""What every target is compared with by `last` and `live`: the record of deploys, or the cloud
itself.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.advice import Advice, Command, NextCommand, advice_parts
from toolkit.changes.names import generated_in, is_commit
from toolkit.errors import Refused, ToolkitError
from toolkit.exits import Exit
from toolkit.flow import shared_resources
from toolkit.flow.compare import UNRECORDED, FailedRun, Points, RecordedBase, Records
from toolkit.flow.parts import with_recorded
from toolkit.flow.rulebook import find_environment, variables_of
from toolkit.flow.stores import existing_store, resolved_location, store_for
from toolkit.formats.commits import is_commit_id
from toolkit.model import AWS, BaseKind, DeclaredInput, Resource, Rules, Target
from toolkit.operations import (
    GOOD,
    Drift,
    Job,
    LiveVersion,
    Location,
    RecordOrigin,
    RunStatus,
    Verdict,
)
from toolkit.ports.aws.endpoint import region as default_region
from toolkit.ports.aws.s3 import Bucket
from toolkit.ports.ports import Ports
from toolkit.record import history
from toolkit.record.journal import is_run_name
from toolkit.record.ledger import BEGUN, Record, open_ledger
from toolkit.record.state import Store
from toolkit.run import jobs as run_jobs

if TYPE_CHECKING:  # most targets declare no inputs
    from toolkit.flow.declared_inputs import InputComparison

AtWork = Callable[[Record], bool]
"""Whether the run that has begun a deploy is still working on it."""


class OpenRun(Struct, frozen=True):
    """A run that has begun to deploy a target, and the run of the last good deploy that it knew
    (`base`, empty: none, or unknown).
    """

    run: str
    base: str = ""


class _Reading(Struct, frozen=True):
    """What is read: in each location, the targets of its provider. `tell` hears of what could not
    be read: then what this machine knows has to do.
    """

    rules: Rules
    environment: str | None
    places: Mapping[Location, Sequence[str]]
    variables: Mapping[str, str]
    store: Store | None
    ports: Ports
    tell: Callable[[Advice], None]


DRIFT_S = 600
"""How long a look for drift may take, in seconds."""
GONE = "it is not live, although its deploy is recorded (run {run})"
EARLIER: tuple[str | Command, ...] = (
    "an earlier version of toolkit recorded a deploy, which has not been checked since",
    "(",
    NextCommand("diff", ("live",)),
    ")",
)


def records_reader(
    ports: Ports,
    tell: Callable[[Advice], None],
    look: bool = False,
    profile: str | None = None,
    region: str | None = None,
    drift: bool = False,
) -> Records:
    """The records of a project. `tell` hears of what could not be read: then what this machine
    knows has to do.

    With `look`, what is about to be called up to date is compared with what is live, and what is
    live is the base where nothing is recorded: for a deploy, with the `profile` that it is for. Its
    `region` counts where rules.toml has none: else every region has to be up to date. With `drift`,
    what is live is looked at part by part.
    """

    def read(how: str, rules: Rules, name: str | None) -> Points:
        environment = find_environment(name, rules)
        has_regions = environment is not None and environment.regions
        locations = run_jobs.locations(environment, profile, None if has_regions else region)
        leaves = [rules.targets[leaf] for leaf in leaf_targets(rules)]
        places = run_jobs.by_location(leaves, locations)
        asked = look or how == BaseKind.LIVE
        # Not another account's record, where rules.toml leaves it to the credentials.
        resolve = partial(resolved_location, ports=ports) if asked else _with_default_region
        shared = any(location.store for location in locations)
        find = store_for if shared else existing_store
        reading = _Reading(
            rules,
            name,
            {resolve(location): names for location, names in places.items()},
            variables_of(environment),
            find(rules, ports, locations[0].profile),
            ports,
            tell,
        )
        if how == BaseKind.LIVE:
            points = _live(reading)
            if drift:
                points = _with_drift(points, reading)
            return _with_inputs(points, reading, asked)
        points = _last(reading)
        if look:
            points = _compared_with_live(points, reading)
        return _with_inputs(points, reading, asked)

    return read


def _with_default_region(location: Location) -> Location:
    """The location with the region of AWS's own settings, where rules.toml has none: what can be
    known without asking AWS.
    """
    if location.provider != AWS or location.region:
        return location
    return replace(location, region=default_region(location.profile))


def leaf_targets(rules: Rules) -> list[str]:
    """The targets that are deployed themselves."""
    return [name for name, target in rules.targets.items() if not target.members]


def _with_inputs(points: Points, reading: _Reading, asked: bool) -> Points:
    """The points of targets that declare inputs outside git, with what has changed of these.
    Without `asked` AWS is not: then what was seen last counts.
    """
    declaring = [name for name in points if reading.rules.targets[name].declared_inputs]
    if not declaring:
        return points
    from toolkit.flow import declared_inputs as inputs  # most targets declare none
    from toolkit.model import InputSource

    places = {
        name: [location for location, names in reading.places.items() if name in names]
        for name in declaring
    }
    declared = {
        (name, location): inputs.inputs_of(reading.rules.targets[name], location, reading.variables)
        for name in declaring
        for location in places[name]
    }
    to_read: list[tuple[Location, DeclaredInput]] = []
    for (_, location), several in declared.items():
        to_read += [(location, each) for each in several if asked or each.source is InputSource.ENV]
    readings = inputs.read_inputs(to_read, reading.ports)
    inputs.remember(readings, reading.ports)
    moment = reading.ports.clock.now()
    compared = dict(points)
    for name in declaring:
        if len(points[name]) != len(places[name]):
            continue  # the record could not be read at all: it is unknown already
        by_location: list[RecordedBase] = []
        for location, point in zip(places[name], points[name], strict=True):
            if point.unknown is None:
                recorded = inputs.RecordedInputs()
                record = _record_of(point.run, name, location, reading)
                if record is not None:
                    recorded = inputs.recorded_inputs(record)
                now = {
                    text: known for (place, text), known in readings.items() if place == location
                }
                seen = inputs.last_seen(location, recorded.account, reading.ports)
                comparison = inputs.compare_inputs(
                    declared[name, location], recorded, now, seen, moment
                )
                point = with_input_changes(point, comparison)
            by_location.append(point)
        compared[name] = tuple(by_location)
    return compared


def _record_of(run: str, name: str, location: Location, reading: _Reading) -> Record | None:
    """What is recorded of the good deploy by that run; of the last one where the run is unknown."""
    if reading.store is None:
        return None
    with suppress(ToolkitError):
        return good_record(open_ledger(reading.store, location, reading.ports).get(name), run)
    return None


def good_record(records: Iterable[Record], run: str) -> Record | None:
    """The good deploy by that run; the newest, where the run is unknown. Pure."""
    good = (record for record in records if record.verdict in GOOD)
    return next((record for record in good if run in ("", record.run)), None)


def with_input_changes(point: RecordedBase, comparison: "InputComparison") -> RecordedBase:
    """What is compared with, and how its inputs outside git stand to it. Pure."""
    return replace(
        point,
        due_for=(*point.due_for, *comparison.changed),
        unsure_of=(*point.unsure_of, *comparison.unknown),
        notes=(*point.notes, *comparison.notes),
    )


def _last(reading: _Reading) -> Points:
    """The last good deploy of each target in each location, and for those without one that nothing
    is recorded.

    A record that cannot be read leaves everything unknown: what it would have said may be less than
    what any other base says.
    """
    store = reading.store
    if store is None:
        return {}
    points: dict[str, tuple[RecordedBase, ...]] = {}
    try:
        open_runs = _open_runs(store, reading.environment)
        for location in reading.places:
            for name, point in _points_of(reading, store, location, open_runs).items():
                points[name] = (*points.get(name, ()), point)
    except ToolkitError as problem:
        compare = NextCommand("diff", ("COMMIT",))
        reading.tell(("to compare with something else, run:", compare))
        unknown = f"the record of what is live cannot be read: {problem}"
        names = leaf_targets(reading.rules)
        return dict.fromkeys(names, (RecordedBase(None, "", unknown=unknown),))
    return points


def _points_of(
    reading: _Reading,
    store: Store,
    location: Location,
    open_runs: Mapping[str, Sequence[OpenRun]],
) -> dict[str, RecordedBase]:
    """What is recorded of each target in one location. Raises ToolkitError."""
    rules, ports = reading.rules, reading.ports
    names = reading.places[location]
    others = shared_resources.other_environments(location, rules, names, store, ports)
    ledger = open_ledger(store, location, ports)
    contents = ledger.all()
    if ledger.behind:
        reading.tell(
            f"the shared record cannot be read, so this machine's copy is used: {ledger.behind}"
        )
    missing = [
        name for name in names if name not in contents.records and name not in contents.damaged
    ]
    before = ledger.legacy_records() if missing else {}
    earlier = [name for name in missing if name in before]
    if earlier:
        reading.tell((f"{', '.join(earlier)}:", *EARLIER))
    writers = shared_resources.writers_by_resource(
        chain(others.records, *contents.records.values())
    )
    unended = unfinished_deploys(contents.records, work_check(store, location, rules, ports))
    points: dict[str, RecordedBase] = {}
    for name in names:
        records = contents.records.get(name, ())
        if name in contents.damaged:
            points[name] = RecordedBase(None, "", unknown=contents.damaged[name])
            continue
        if name in earlier:
            points[name] = RecordedBase(None, "", unknown=EARLIER)
            continue
        point = recorded_base(records, open_runs.get(name, ()), location, unended.get(name, ""))
        good = _last_good(records)
        if good is not None and point.since is None and point.unknown is None:
            # What a person said is live has no writes: then those of today's rules count.
            writes = good.writes or shared_resources.writes_of(
                name, rules, location, reading.variables
            )
            point = replace(point, since=_changed_by_another(good, writes, others, writers))
        points[name] = point
    return points


def _last_good(records: Iterable[Record]) -> Record | None:
    """The newest good deploy; `records` are the newest first."""
    return next((record for record in records if record.verdict in GOOD), None)


def _changed_by_another(
    good: Record,
    writes: Sequence[Resource],
    others: shared_resources.OtherEnvironments,
    writers: shared_resources.Writers,
) -> str | None:
    """Which other target, or environment, may have changed what this deploy wrote; None if none."""
    for resource in writes:
        unread = others.unread.get((resource.what, resource.name))
        if unread is not None:
            return unread
    rival = shared_resources.rival_deploy(good, writes, writers)
    if rival is None:
        return None
    return f"{rival.target} (run {rival.run}) has changed the same thing since"


def unfinished_deploys(
    records: Mapping[str, Sequence[Record]], at_work: AtWork
) -> dict[str, Advice]:
    """The targets whose newest deploy has begun and has no recorded end, each with that in
    words.
    """
    begun: list[Record] = []
    for newest_first in records.values():
        if newest_first and newest_first[0].verdict == BEGUN:
            begun.append(newest_first[0])
    if not begun:
        return {}
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(len(begun), 16)) as pool:
        working = list(pool.map(at_work, begun))
    words: dict[str, Advice] = {}
    for record, is_working in zip(begun, working, strict=True):
        if is_working:
            # Others write there, and more words than a name may read as a command.
            who = record.who if len(record.who.split()) == 1 else "somebody"
            words[record.target] = f"run {record.run} of {who} is deploying it"
        else:
            words[record.target] = _open_end(record.run)
    return words


def _open_end(run: str) -> Advice:
    words = f"run {run} has started to deploy it, and its end is not known"
    # Others may write there, and a command is pasted: only what is the name of a run goes in.
    return (words, "(", NextCommand("resume", (run,)), ")") if is_run_name(run) else words


def work_check(store: Store, location: Location, rules: Rules, ports: Ports) -> AtWork:
    """Whether the run that has begun a deploy is still working on it, by its lock. Where that
    cannot be read, it is not.
    """
    environment = find_environment(location.environment, rules)
    locations = [location]
    if environment is None or not environment.regions:
        # Where rules.toml has no region, a lock has one only if the command line did.
        locations.append(replace(location, region=None))

    def at_work(record: Record) -> bool:
        from toolkit.record.locks import lock_name  # a deploy is rarely open
        from toolkit.record.shared_runs import SharedRuns

        with suppress(ToolkitError):
            if not location.store:
                return history.run_summary(store, record.run).status == RunStatus.RUNNING
            shelf = SharedRuns(Bucket(ports.aws(location), location.store, location.account))
            return any(
                shelf.at_work(record.run, lock_name(place, record.target)) for place in locations
            )
        return False

    return at_work


def _open_runs(store: Store, environment: str | None) -> dict[str, list[OpenRun]]:
    """Target -> the runs of this machine that have begun to deploy it, have not written down how
    that ended, and are not in the record: they are of an earlier version of toolkit, or could not
    write there.
    """
    open_runs: dict[str, list[OpenRun]] = {}
    for run in history.unfinished(store):
        if run.environment != environment or run.in_record:
            continue  # the record itself says so, and what came after it
        for step, target, _ in run.steps:
            if step in run.open:
                open_run = OpenRun(run.run, run.before.get(step, ""))
                open_runs.setdefault(target, []).append(open_run)
    return open_runs


def _is_open(begun: OpenRun, records: Sequence[Record]) -> bool:
    """Whether what a run has begun may be live. Pure.

    The names of runs say nothing: each has the clock of its own machine. But a run begins only what
    nobody else has deployed since it was prepared, and holds the lock from then on. So a good
    deploy that the record has above the one that the run knew came after it.
    """
    if any(record.run == begun.run for record in records):
        return False
    base = next((record.n for record in records if record.run == begun.base), None)
    return base is None or not any(record.n > base and record.verdict in GOOD for record in records)


def recorded_base(
    records: Sequence[Record],
    open_runs: Sequence[OpenRun],
    location: Location,
    unended: Advice = "",
) -> RecordedBase:
    """What to compare with: the last good deploy. What came after it may be live though it is not
    good.

    `open_runs` may have come after it unrecorded; `unended` is in words what is recorded as begun.
    """
    good = _last_good(records)
    since: Advice | None
    if unended:
        since = unended
    elif records and records[0].unsure:
        last = records[0]
        since = f"its last deploy (run {last.run}) ended as {last.verdict}, and may be live"
    else:
        since = next((_open_end(run.run) for run in open_runs if _is_open(run, records)), None)
    failed = _failed_run(records)
    if good is None:
        if since is not None:
            return RecordedBase(None, "", unknown=since, failed=failed)
        where = location.region or "that region"
        return replace(UNRECORDED, unknown=f"no deploy to {where} is recorded")
    unknown = None
    if good.commit is None or not is_commit_id(good.commit):
        unknown = f"its live version ({good.version}) is not a commit"
    return RecordedBase(
        good.commit,
        good.fingerprint,
        not is_commit(good.version, good.commit),
        unknown,
        since,
        settings=good.settings,
        run=good.run,
        # A person who says what is live names a commit.
        generated=None if good.origin == RecordOrigin.SET else generated_in(good.version),
        failed=failed,
    )


def _failed_run(records: Sequence[Record]) -> FailedRun | None:
    """What the last run tried to deploy without success, or what it took back; None if the last
    deploy is good.
    """
    if not records:
        return None
    last, tried = records[0], records[0].tried
    put_back = last.is_rollback and last.verdict in GOOD
    if tried is not None:
        run = tried.run or last.run
        if run != last.run and put_back:
            ended = f"was not good, and was rolled back by run {last.run}"
        elif run != last.run:
            ended = "was not good"
        elif put_back or (last.verdict == Verdict.ROLLED_BACK and not last.is_rollback):
            ended = "failed and was rolled back"
        elif last.verdict == Verdict.UNHEALTHY:
            ended = "was unhealthy"
        else:
            ended = "failed"
        return FailedRun(run, ended, tried.version, tried.fingerprint, tried.settings)
    if put_back and len(records) > 1:
        before = records[1]
        ended = f"was rolled back by run {last.run}"
        return FailedRun(before.run, ended, before.version, before.fingerprint, before.settings)
    return None


def _live(reading: _Reading) -> Points:
    """What the cloud says is live. A target that cannot be asked is unknown, and so due; so is one
    that is not what its own tags say, as far as the record knows that run.
    """
    records = {location: _records_in(reading, location) for location in reading.places}
    answers = _live_versions(reading, starts_programs=False)
    refused = [
        answer
        for answer in answers.values()
        if isinstance(answer, ToolkitError) and answer.exit == Exit.CREDENTIALS
    ]
    if refused and len(refused) == len(answers):
        raise refused[0]  # nothing could be asked: that has to be fixed, and is no answer
    points: dict[str, tuple[RecordedBase, ...]] = {}
    for location, names in reading.places.items():
        for name in names:
            if (name, location) not in answers:
                continue
            live = answers[name, location]
            if isinstance(live, ToolkitError):
                point = RecordedBase(None, "", unknown=f"what is live could not be checked: {live}")
            elif live is None:
                point = RecordedBase(None, "", unknown="it is not live")
            else:
                since = contradiction(live, records[location].get(name, ())) or live.outdated
                point = replace(_confirmed(live, name, location, reading), since=since or None)
                point = with_movement(point, live)
            points[name] = (*points.get(name, ()), point)
    return points


def with_movement(point: RecordedBase, live: LiveVersion) -> RecordedBase:
    """What is live, with what is in flight or stuck: what will be live then is not known. Pure."""
    moves = tuple(words for words in (live.stuck, live.in_flight) if words)
    if not moves:
        return point
    if point.unknown is not None and live.commit is None and not live.doubt:
        return replace(point, unknown=moves[0])
    return replace(point, unsure_of=(*point.unsure_of, *moves))


def _with_drift(points: Points, reading: _Reading) -> Points:
    """The points, with the drift of what is live: looked for in all targets at the same time."""
    placed = {
        location: [reading.rules.targets[name] for name in names if name in points]
        for location, names in reading.places.items()
    }
    jobs: list[Job] = []
    for location, chosen in placed.items():
        jobs += run_jobs.jobs_without_run(
            chosen, [location], reading.variables, reading.rules.targets
        )
    if not jobs:
        return points
    jobs = list(with_recorded(jobs, reading.rules, reading.ports))
    from concurrent.futures import ThreadPoolExecutor

    until = reading.ports.clock.elapsed() + DRIFT_S

    def look(job: Job) -> Drift | None:
        try:
            drift: Drift | None = targets.kind(job.kind).drift(job, reading.ports, until)
        except ToolkitError as problem:
            return Drift(unknown=f"its drift could not be detected: {problem}")
        return drift

    with ThreadPoolExecutor(min(len(jobs), 16)) as pool:
        places = [(job.target, job.location) for job in jobs]
        found = dict(zip(places, pool.map(look, jobs), strict=True))
    checked: dict[str, tuple[RecordedBase, ...]] = {}
    for name, several in points.items():
        locations = [location for location, names in reading.places.items() if name in names]
        by_location: list[RecordedBase] = []
        for location, point in zip(locations, several, strict=True):
            drift = found.get((name, location))
            by_location.append(point if drift is None else _drifted(point, drift))
        checked[name] = tuple(by_location)
    return checked


def _drifted(point: RecordedBase, drift: Drift) -> RecordedBase:
    due_for, unsure_of = list(point.due_for), list(point.unsure_of)
    if drift.differences:
        words = f"it drifted, which a deploy does not undo: {', '.join(drift.differences)};"
        due_for.append((words, *advice_parts(drift.next)))
    if drift.unknown:
        unsure_of.append(drift.unknown)
    notes = (*point.notes, *drift.notes)
    return replace(point, due_for=tuple(due_for), unsure_of=tuple(unsure_of), notes=notes)


def _records_in(reading: _Reading, location: Location) -> Mapping[str, tuple[Record, ...]]:
    if reading.store is None:
        return {}
    try:
        return open_ledger(reading.store, location, reading.ports).all().records
    except ToolkitError as problem:
        reading.tell(f"what is live cannot be compared with its record: {problem}")
        return {}


def _live_versions(
    reading: _Reading, starts_programs: bool = True
) -> dict[tuple[str, Location], LiveVersion | ToolkitError | None]:
    """What is live of each target in each location, asked in parallel; the error where it cannot
    be asked.
    """
    jobs: list[Job] = []
    for location, names in reading.places.items():
        askable: list[Target] = []
        for name in names:
            target = reading.rules.targets[name]
            kind = targets.kind(target.kind)
            if kind.runnable(target.settings) is None and kind.can_tell_live(target.settings):
                askable.append(target)
        every = reading.rules.targets
        jobs += run_jobs.jobs_without_run(askable, [location], reading.variables, every)
    jobs = list(with_recorded(jobs, reading.rules, reading.ports))
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max(min(len(jobs), 16), 1)) as pool:
        answers = list(
            pool.map(lambda job: _live_version(job, reading.ports, starts_programs), jobs)
        )
    return {(job.target, job.location): answer for job, answer in zip(jobs, answers, strict=True)}


def _live_version(
    job: Job, ports: Ports, starts_programs: bool
) -> LiveVersion | ToolkitError | None:
    kind = targets.kind(job.kind)
    if kind.live_starts_programs and not starts_programs:
        what = f"only a program can tell what is live of {job.target}, and `diff` starts none"
        return Refused(what, ("deploy it:", NextCommand("deploy", (job.target,))))
    try:
        live: LiveVersion | None = kind.live(job, ports)
        if live is not None and job.consumed:
            are_current = kind.uses_current_outputs(job, ports)
            outdated = live.outdated or run_jobs.outdated_outputs(job, are_current)
            live = replace(live, outdated=outdated)
    except ToolkitError as problem:
        return problem
    return live


def _confirmed(live: LiveVersion, name: str, location: Location, reading: _Reading) -> RecordedBase:
    """What is live, as something to compare with. What an earlier version of toolkit recorded
    counts from now on, if this is it.
    """
    if reading.store is not None and live.run is not None:
        _adopt(live, name, location, reading.store, reading.ports)
    return live_base(live)


def _adopt(live: LiveVersion, name: str, location: Location, store: Store, ports: Ports) -> None:
    """Record what an earlier version of toolkit had recorded, and is seen to be live. Where that
    fails, it is done the next time.
    """
    with suppress(ToolkitError):
        resolved = resolved_location(location, ports)
        ledger = open_ledger(store, resolved, ports)
        if ledger.get(name):
            return
        for record in ledger.legacy_records().get(name, ()):
            if record.verdict in GOOD and (record.version, record.run) == (live.version, live.run):
                ledger.put(
                    replace(
                        record,
                        account=resolved.account,
                        region=resolved.region,
                        endpoint=store.endpoint,
                        deployed=live.deployed,
                        detail={**record.detail, **live.detail},
                    )
                )
                return


def live_base(live: LiveVersion) -> RecordedBase:
    """What is live, as something to compare with."""
    if live.doubt:
        return RecordedBase(None, "", unknown=live.doubt, notes=live.notes)
    if live.commit is None:
        return RecordedBase(
            None, "", unknown="its live version was not deployed by toolkit", notes=live.notes
        )
    version = live.version or ""
    return RecordedBase(
        live.commit,
        live.fingerprint or "",
        not is_commit(version, live.commit),
        settings=live.settings or "",
        run=live.run or "",
        generated=generated_in(version),
        since=live.outdated or None,
        notes=live.notes,
    )


def _compared_with_live(points: Points, reading: _Reading) -> Points:
    """The recorded points, compared with what is live: gone or changed is due, and where nothing is
    recorded, what is live is the base.

    What could not be asked is not called up to date either: the deploy itself says what is wrong.
    """
    answers = _live_versions(reading)
    compared: dict[str, tuple[RecordedBase, ...]] = {}
    for name in leaf_targets(reading.rules):
        locations = [location for location, names in reading.places.items() if name in names]
        recorded = points.get(name) or (UNRECORDED,) * len(locations)
        if len(recorded) != len(locations):  # the record could not be read at all
            compared[name] = recorded
            continue
        by_location: list[RecordedBase] = []
        for location, point in zip(locations, recorded, strict=True):
            if (name, location) in answers:  # else toolkit cannot ask about it
                live = answers[name, location]
                point = _against_live(point, live, name, location, reading)
            by_location.append(point)
        compared[name] = tuple(by_location)
    return compared


def _against_live(
    recorded: RecordedBase,
    live: LiveVersion | ToolkitError | None,
    name: str,
    location: Location,
    reading: _Reading,
) -> RecordedBase:
    if isinstance(live, ToolkitError):
        if recorded.unknown is not None:
            return recorded
        return replace(recorded, since=f"what is live could not be checked: {live}")
    if recorded.unknown is not None:
        if live is None or recorded.since is not None or live.commit is None:
            return recorded
        return _confirmed(live, name, location, reading)
    if live is None:
        return replace(recorded, since=GONE.format(run=recorded.run))
    records: Collection[Record] = ()
    if reading.store is not None:
        records = open_ledger(reading.store, location, reading.ports).get(name)
    why = live.doubt or changed_outside(live, records, recorded.run) or live.outdated
    return replace(recorded, since=why) if why else recorded


def changed_outside(live: LiveVersion, records: Collection[Record], run: str) -> str:
    """Why what is live is not what `run` put there, the last good deploy when the record was read,
    empty if it is. Pure.
    """
    good = _last_good(records)
    if good is None:
        return ""
    if good.run != run:
        return f"run {good.run} has deployed it in the meantime"
    why = contradiction(live, records)
    if why:
        return why
    same = good.deployed.same(live.deployed)
    if same is False:
        return f"what runs is not what run {good.run} deployed"
    if same is None and live.version != good.version:
        version = live.version or "something that toolkit did not deploy"
        return f"{version[:20]} runs, and run {good.run} deployed {good.version[:20]}"
    return ""


def contradiction(live: LiveVersion, records: Iterable[Record]) -> str:
    """Why what is live is not what the run that its tags name put there, as that is recorded; empty
    if it is, or that is not known. Pure.
    """
    for record in records:
        if record.run != live.run or record.verdict not in GOOD:
            continue
        if record.deployed.same(live.deployed) is False:
            return f"what runs is not what run {record.run} deployed"
        same_commit = _may_be_same(record.commit, live.commit)
        if not same_commit or not _may_be_same(record.fingerprint, live.fingerprint):
            return (
                f"run {record.run} is recorded as {record.version[:20]}, but what runs "
                f"reports {str(live.version)[:20]}"
            )
    return ""


def _may_be_same(recorded: str | None, tagged: str | None) -> bool:
    """Also where either of them is missing."""
    return not recorded or not tagged or recorded == tagged
