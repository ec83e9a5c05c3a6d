"""What every target is compared with by `last` and `live`: the record of deploys, or the cloud
itself.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain

from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.changes.names import generated_in, is_commit
from toolkit.errors import Exit, Refused, ToolkitError
from toolkit.flow import rivals
from toolkit.flow.compare import UNRECORDED, FailedRun, Points, RecordedBase, Records
from toolkit.flow.stores import existing_store, really, store_for
from toolkit.model import GOOD, Job, LiveVersion, Location, Rules, Verdict
from toolkit.ports.aws.endpoint import region as default_region
from toolkit.ports.aws.s3 import Bucket
from toolkit.ports.ports import Ports
from toolkit.record.history import run_summary, unfinished
from toolkit.record.journal import is_run_name
from toolkit.record.ledger import BEGUN, Ledger, Record, open_ledger
from toolkit.record.state import Store
from toolkit.run import jobs as making

Told = Callable[[str], None]
AtWork = Callable[[Record], bool]
"""Whether the run that has begun a deploy is still at it."""
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
"""A commit's whole id: what others write into the record could be the name of a branch, which is
always up to date.
"""


class OpenRun(Struct, frozen=True):
    """A run that has begun to deploy a target, and the run of the last good deploy that it knew
    (`base`, empty: none, or nobody knows).
    """

    run: str
    base: str = ""


GONE = "nothing of it is live, though its deploy is recorded (run {run})"
EARLIER = (
    "an earlier version of toolkit recorded a deploy, and nothing has been seen of it since"
    " (toolkit diff live)"
)


def reader(
    ports: Ports,
    told: Told,
    look: bool = False,
    profile: str | None = None,
    region: str | None = None,
) -> Records:
    """The records of a project. `told` hears of what could not be read: then what this machine
    knows has to do.

    With `look`, what is about to be called up to date is looked at, and what is live is the base
    where nothing is recorded: for a deploy, with the `profile` that it is for. Its `region` counts
    where rules.toml names none: else every region has to be up to date.
    """

    def read(how: str, rules: Rules, environment: str | None) -> Points:
        found = rules.environments.get(environment) if environment else None
        where = making.locations(
            found, profile, None if found is not None and found.regions else region
        )
        if (
            look or how == "live"
        ):  # not another account's record, where rules.toml leaves it to the credentials
            # Only of AWS do account and region have to be known, so that targets of others alone
            # need no credentials.
            kinds = {rules.targets[name].kind for name in leaves(rules)}
            if any(targets.kind(kind).provider == "aws" for kind in kinds):
                where = tuple(really(location, ports) for location in where)
        else:
            where = tuple(
                replace(location, region=location.region or default_region(location.profile))
                for location in where
            )
        variables = found.vars if found else {}
        shared = any(location.store for location in where)
        find = store_for if shared else existing_store
        store = find(rules, ports, where[0].profile)
        if how == "live":
            return _live(rules, where, variables, store, ports, told)
        points = _last(store, rules, where, variables, ports, told)
        return _looked_at(points, rules, where, variables, store, ports) if look else points

    return read


def leaves(rules: Rules) -> list[str]:
    """The targets that are deployed themselves."""
    return [name for name, target in rules.targets.items() if not target.members]


def _last(
    store: Store | None,
    rules: Rules,
    where: Sequence[Location],
    variables: Mapping[str, str],
    ports: Ports,
    told: Told,
) -> Points:
    """The last good deploy of each target in each place, and for those without one that nothing is
    recorded.

    A record that cannot be read leaves everything unknown: what it would have said may be less than
    what any other base says.
    """
    if store is None:
        return {}
    points: dict[str, tuple[RecordedBase, ...]] = {}
    try:
        left = _left_open(store, where[0].environment)
        for location in where:
            others = rivals.beside(location, rules, leaves(rules), store, ports)
            ledger = open_ledger(store, location, ports)
            known = _points_of(
                ledger,
                location,
                rules,
                variables,
                left,
                others,
                told,
                worker(store, location, rules, ports),
            )
            for name in leaves(rules):
                points[name] = (*points.get(name, ()), known[name])
    except ToolkitError as problem:
        told("to compare with something else, name it: toolkit diff COMMIT")
        unknown = RecordedBase(
            None, "", unknown=f"the record of what is live cannot be read: {problem}"
        )
        return dict.fromkeys(leaves(rules), (unknown,))
    return points


def _points_of(
    ledger: Ledger,
    location: Location,
    rules: Rules,
    variables: Mapping[str, str],
    left: Mapping[str, Sequence[OpenRun]],
    beside: rivals.OtherEnvironments,
    told: Told,
    at_work: AtWork,
) -> dict[str, RecordedBase]:
    """What is recorded of each target in one place. Raises ToolkitError."""
    contents = ledger.all()
    if ledger.behind:
        told(f"the shared record cannot be read, so this machine's own is used: {ledger.behind}")
    names = leaves(rules)
    missing = [
        name for name in names if name not in contents.records and name not in contents.damaged
    ]
    before = ledger.legacy_records() if missing else {}
    earlier = [name for name in missing if name in before]
    if earlier:
        told(f"{', '.join(earlier)}: {EARLIER}")
    points: dict[str, RecordedBase] = {}
    writers = rivals.changed(chain(beside.records, *contents.records.values()))
    open_ = unended(contents.records, at_work)
    for name in names:
        if name in contents.damaged:
            points[name] = RecordedBase(None, "", unknown=contents.damaged[name])
        elif name in earlier:
            points[name] = RecordedBase(None, "", unknown=EARLIER)
        else:
            records = contents.records.get(name, ())
            points[name] = point(records, left.get(name, ()), location, open_.get(name, ""))
            good = next((record for record in records if record.verdict in GOOD), None)
            if good is None or points[name].since is not None or points[name].unknown is not None:
                continue
            mine = good.writes or rivals.writes_of(
                name, rules, location, variables
            )  # a person only says what is live
            unread = next(
                (
                    beside.unread[thing.what, thing.name]
                    for thing in mine
                    if (thing.what, thing.name) in beside.unread
                ),
                None,
            )
            if unread is not None:
                points[name] = replace(points[name], since=unread)
                continue
            rival = rivals.rival(good, mine, writers)
            if rival is not None:
                points[name] = replace(
                    points[name],
                    since=f"{rival.target} (run {rival.run}) has changed the same thing since",
                )
    return points


def unended(records: Mapping[str, Sequence[Record]], at_work: AtWork) -> dict[str, str]:
    """Of the targets that a run has begun to deploy, and whose end nobody has recorded, that in
    words.
    """
    begun = [found[0] for found in records.values() if found and found[0].verdict == BEGUN]
    with ThreadPoolExecutor(max(min(len(begun), 16), 1)) as pool:
        alive = list(pool.map(at_work, begun))
    words: dict[str, str] = {}
    for record, still in zip(begun, alive, strict=True):
        who = (
            record.who if len(record.who.split()) == 1 else "somebody"
        )  # others write there, and more words may read as a command
        working = f"run {record.run} of {who} is deploying it"
        words[record.target] = working if still else _left(record.run)
    return words


def _left(run: str) -> str:
    way = (
        f" (toolkit resume {run})" if is_run_name(run) else ""
    )  # others may write there, and it is a command
    return f"run {run} has begun to deploy it, and its end is not known{way}"


def worker(store: Store, location: Location, rules: Rules, ports: Ports) -> AtWork:
    """Whether the run that has begun a deploy is still at it, by its lock. Where nobody can tell,
    it is not.
    """
    named = rules.environments.get(location.environment or "")
    # Where rules.toml names no region, a lock has one only if the command line did.
    locations = (
        (location,)
        if named is not None and named.regions
        else (location, replace(location, region=None))
    )

    def at_work(record: Record) -> bool:
        from toolkit.record.locks import lock_name  # a deploy is rarely open
        from toolkit.record.shared_runs import SharedRuns

        with suppress(ToolkitError):
            if location.store:
                shelf = SharedRuns(Bucket(ports.aws(location), location.store, location.account))
                return any(
                    shelf.at_work(record.run, lock_name(there, record.target))
                    for there in locations
                )
            return run_summary(store, record.run).status == "running"
        return False

    return at_work


def _left_open(store: Store, environment: str | None) -> dict[str, list[OpenRun]]:
    """Target -> the runs of this machine that have begun to deploy it there, have not written down
    how that ended, and of which the record does not tell: they are of an earlier version of
    toolkit, or could not write there.
    """
    left: dict[str, list[OpenRun]] = {}
    for run in unfinished(store):
        if run.environment != environment or run.in_record:
            continue  # what stands in the record is seen there, and what came after it
        for step, target, _ in run.steps:
            if step in run.open:
                left.setdefault(target, []).append(OpenRun(run.run, run.before.get(step, "")))
    return left


def _is_open(begun: OpenRun, records: Sequence[Record]) -> bool:
    """Whether what a run has begun may be live. Pure.

    The names of runs say nothing: each has the clock of its own machine. But a run begins only what
    nobody else has deployed since it was prepared, and holds the lock from then on. So a good
    deploy that the record has above the one that the run knew came after it.
    """
    if any(record.run == begun.run for record in records):
        return False
    known = next((record.n for record in records if record.run == begun.base), None)
    return known is None or not any(
        record.n > known and record.verdict in GOOD for record in records
    )


def point(
    records: Sequence[Record], left: Sequence[OpenRun], location: Location, unended: str = ""
) -> RecordedBase:
    """What to compare with: the last good deploy. What came after it may be live though nobody
    calls it good.

    `left` are the runs that may have come after it unrecorded, `unended` is said of one that is
    recorded as begun.
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
    failed = _failed(records)
    if good is None:
        if since is not None:
            return RecordedBase(None, "", unknown=since, failed=failed)
        where = location.region or "that region"
        return replace(UNRECORDED, unknown=f"no deploy to {where} is recorded")
    whole = good.commit is not None and _COMMIT.fullmatch(good.commit) is not None
    unknown = None if whole else f"what is live of it ({good.version}) is not a commit"
    return RecordedBase(
        good.commit,
        good.fingerprint,
        not is_commit(good.version, good.commit),
        unknown,
        since,
        settings=good.settings,
        run=good.run,
        generated=generated_in(good.version),
        failed=failed,
    )


def _failed(records: Sequence[Record]) -> FailedRun | None:
    """What the last run was to deploy and did not get to be good, or what it took back."""
    if not records:
        return None
    last, before = records[0], records[1] if len(records) > 1 else None
    if last.tried is not None:
        put_back = last.is_rollback and last.verdict in GOOD
        back = put_back or (last.verdict == Verdict.ROLLED_BACK and not last.is_rollback)
        ended = (
            "failed and was rolled back"
            if back
            else "was unhealthy"
            if last.verdict == Verdict.UNHEALTHY
            else "failed"
        )
        run = last.tried.run or last.run
        if run != last.run:
            ended = (
                f"was not good, and was rolled back by run {last.run}"
                if put_back
                else "was not good"
            )
        return FailedRun(
            run, ended, last.tried.version, last.tried.fingerprint, last.tried.settings
        )
    if last.is_rollback and last.verdict in GOOD and before is not None:
        return FailedRun(
            before.run,
            f"was rolled back by run {last.run}",
            before.version,
            before.fingerprint,
            before.settings,
        )
    return None


def _live(
    rules: Rules,
    where: Sequence[Location],
    variables: Mapping[str, str],
    store: Store | None,
    ports: Ports,
    told: Told,
) -> Points:
    """What the cloud says runs. A target that cannot be asked is unknown, and so due; so is one
    that is not what its own tags say, as far as the record knows that run.
    """
    known = {location: _records_in(store, location, ports, told) for location in where}
    seen = look(leaves(rules), rules, where, variables, ports, starts_programs=False)
    unasked = [
        live
        for live in seen.values()
        if isinstance(live, ToolkitError) and live.exit == Exit.CREDENTIALS
    ]
    if unasked and len(unasked) == len(
        seen
    ):  # nobody could be asked: that is what has to be fixed, and no answer
        raise unasked[0]
    points: dict[str, tuple[RecordedBase, ...]] = {}
    for location in where:
        for name in leaves(rules):
            if (name, location.region) not in seen:
                continue
            live = seen[name, location.region]
            if isinstance(live, ToolkitError):
                one = RecordedBase(None, "", unknown=f"what is live could not be checked: {live}")
            elif live is None:
                one = RecordedBase(None, "", unknown="nothing is live of it")
            else:
                one = _confirmed(live, name, location, store, ports)
                one = replace(one, since=contradiction(live, known[location].get(name, ())) or None)
            points[name] = (*points.get(name, ()), one)
    return points


def _records_in(
    store: Store | None, location: Location, ports: Ports, told: Told
) -> Mapping[str, tuple[Record, ...]]:
    if store is None:
        return {}
    try:
        return open_ledger(store, location, ports).all().records
    except ToolkitError as problem:
        told(f"what is live cannot be held against its record: {problem}")
        return {}


def look(
    names: Collection[str],
    rules: Rules,
    where: Sequence[Location],
    variables: Mapping[str, str],
    ports: Ports,
    starts_programs: bool = True,
) -> dict[tuple[str, str | None], LiveVersion | ToolkitError | None]:
    """What runs of these targets in each place, asked side by side; of what cannot be asked, the
    reason.
    """
    wanted = [
        rules.targets[name]
        for name in names
        if targets.kind(rules.targets[name].kind).runnable(rules.targets[name].settings) is None
    ]
    jobs = making.jobs_without_run(wanted, where, variables)
    with ThreadPoolExecutor(max(min(len(jobs), 16), 1)) as pool:
        seen = list(pool.map(lambda job: _seen(job, ports, starts_programs), jobs))
    return {(job.target, job.location.region): live for job, live in zip(jobs, seen, strict=True)}


def _seen(job: Job, ports: Ports, starts_programs: bool) -> LiveVersion | ToolkitError | None:
    kind = targets.kind(job.kind)
    if kind.live_starts_programs and not starts_programs:
        what = f"what is live of {job.target} is said by a program, and `diff` starts none"
        return Refused(what, f"deploy it: toolkit deploy {job.target}")
    try:
        live: LiveVersion | None = kind.live(job, ports)
    except ToolkitError as problem:
        return problem
    return live


def _confirmed(
    live: LiveVersion, name: str, location: Location, store: Store | None, ports: Ports
) -> RecordedBase:
    """What is live, as something to compare with. What an earlier version of toolkit recorded
    counts from now on, if this is it.
    """
    if store is not None and live.run is not None:
        _adopt(live, name, location, store, ports)
    return point_of(live)


def _adopt(live: LiveVersion, name: str, location: Location, store: Store, ports: Ports) -> None:
    """Record what an earlier version of toolkit had recorded, and is seen to run. Where that fails,
    it is seen again the next time.
    """
    with suppress(ToolkitError):
        there = really(location, ports)
        ledger = open_ledger(store, there, ports)
        if ledger.get(name):
            return
        for record in ledger.legacy_records().get(name, ()):
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


def point_of(live: LiveVersion) -> RecordedBase:
    """What is live, as something to compare with."""
    if live.doubt:
        return RecordedBase(None, "", unknown=live.doubt, notes=live.notes)
    if live.commit is None:
        return RecordedBase(
            None, "", unknown="what is live of it was not deployed by toolkit", notes=live.notes
        )
    version = live.version or ""
    return RecordedBase(
        live.commit,
        live.fingerprint or "",
        not is_commit(version, live.commit),
        settings=live.settings or "",
        run=live.run or "",
        generated=generated_in(version),
        notes=live.notes,
    )


def _looked_at(
    points: Points,
    rules: Rules,
    where: Sequence[Location],
    variables: Mapping[str, str],
    store: Store | None,
    ports: Ports,
) -> Points:
    """The same, held against what is live: gone or changed is due, and where nothing is recorded,
    what is live is the base.

    What could not be looked at is not called up to date either: the deploy itself says what is
    wrong.
    """
    seen = look(leaves(rules), rules, where, variables, ports)
    looked: dict[str, tuple[RecordedBase, ...]] = {}
    for name in leaves(rules):
        known = points.get(name) or (UNRECORDED,) * len(where)
        if len(known) != len(where):  # the record could not be read at all
            looked[name] = known
            continue
        each: list[RecordedBase] = []
        for location, recorded in zip(where, known, strict=True):
            each.append(
                _against_live(
                    recorded,
                    seen.get((name, location.region), _UNASKED),
                    name,
                    location,
                    store,
                    ports,
                )
            )
        looked[name] = tuple(each)
    return looked


_UNASKED = ToolkitError()
"""For a target that this version of toolkit cannot ask about."""


def _against_live(
    recorded: RecordedBase,
    live: LiveVersion | ToolkitError | None,
    name: str,
    location: Location,
    store: Store | None,
    ports: Ports,
) -> RecordedBase:
    if isinstance(live, ToolkitError):
        if live is _UNASKED or recorded.unknown is not None:
            return recorded
        return replace(recorded, since=f"what is live could not be checked: {live}")
    if recorded.unknown is not None:
        if live is None or recorded.since is not None or live.commit is None:
            return recorded
        return _confirmed(live, name, location, store, ports)
    if live is None:
        return replace(recorded, since=GONE.format(run=recorded.run))
    records = open_ledger(store, location, ports).get(name) if store is not None else ()
    why = changed(live, records, recorded.run)
    return replace(recorded, since=why) if why else recorded


def changed(live: LiveVersion, records: Collection[Record], run: str) -> str:
    """Why what runs is not what `run` put there, the last good deploy when the record was read,
    empty if it is. Pure.
    """
    good = next((record for record in records if record.verdict in GOOD), None)
    if good is None:
        return ""
    if good.run != run:
        return f"run {good.run} has deployed it meanwhile"
    why = contradiction(live, records)
    if why:
        return why
    same = good.deployed.same(live.deployed)
    if same is False:
        return f"what runs is not what run {good.run} deployed: it was changed outside toolkit"
    if same is None and live.version != good.version:
        runs = live.version or "something that toolkit did not deploy"
        return f"{runs[:20]} runs, and run {good.run} deployed {good.version[:20]}"
    return ""


def contradiction(live: LiveVersion, records: Iterable[Record]) -> str:
    """Why what runs is not what the run that its tags name put there, as that is recorded; empty if
    it is, or nobody knows. Pure.
    """
    for record in records:
        if record.run != live.run or record.verdict not in GOOD:
            continue
        if record.deployed.same(live.deployed) is False:
            return (
                f"what runs is not what run {record.run} deployed: it was changed outside toolkit"
            )
        for recorded, tagged in (
            (record.commit, live.commit),
            (record.fingerprint, live.fingerprint),
        ):
            if recorded and tagged and recorded != tagged:
                return (
                    f"run {record.run} is recorded as {record.version[:20]}, and what it put there"
                    f" says {str(live.version)[:20]}"
                )
    return ""
