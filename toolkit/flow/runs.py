"""A run from its first line on disk to its last: begun, gone on with, and looked back at."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from shlex import join
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from toolkit.errors import Exit, Preempted, Refused, StateDamaged, ToolkitError
from toolkit.flow import deploy
from toolkit.flow.stores import really, store_for
from toolkit.model import GOOD, Job, Location, RunResult
from toolkit.ports import processes
from toolkit.ports.aws.client import check_account
from toolkit.ports.aws.s3 import Bucket
from toolkit.ports.ports import Ports
from toolkit.record import history
from toolkit.record.history import Summary
from toolkit.record.journal import Journal, new_run_id, path_of, read
from toolkit.record.ledger import BEGUN, IN_RECORD, Ledger, Record, open_ledger
from toolkit.record.locks import HeldLocks, Holder, StopRequest, holder, lock_name, open_locks
from toolkit.record.mirror import Mirror, claim_run
from toolkit.record.shared_runs import SharedRun, SharedRuns
from toolkit.record.state import Store
from toolkit.run import jobs as making
from toolkit.run.execute import Execution, RunContext, RunOptions, unchanged_advice
from toolkit.run.recover import RunState, recover_state
from toolkit.run.run_journal import StoredRunJournal
from toolkit.run.step import Verify, no_checks
from toolkit.run.step_journal import Listener
from toolkit.run.stop import Stop


def as_it_is(job: Job) -> Job:
    """A job where its run has it."""
    return job


class RunRequest(Struct, frozen=True):
    """How a run is to be carried out, whatever it deploys. `command` is the command line,
    `lock_timeout_s` 0 means not to wait.

    `still` raises StalePlan, right before a job is begun, if its files are no longer those that it
    is to deploy; `verify` says whether a step that went well passes its checks, and `checked` that
    this is wanted: for the process that goes on with it, perhaps. `advise` makes of what to do next
    what has to be said where the job is, and `placed` has the job where this machine reaches it.
    """

    run: str
    command: Sequence[str]
    parallel: int
    fail_fast: bool
    lock_timeout_s: int
    redact: Callable[[str], str]
    still: Callable[[Job], None]
    verify: Verify = no_checks
    checked: bool = True
    advise: Callable[[Job, str], str] = unchanged_advice
    placed: Callable[[Job], Job] = as_it_is
    preempts: bool = False
    """Whether a run that deploys one of its targets is asked to stop: this one undoes it."""
    facts: Mapping[str, Any] = {}
    """What else the journal's first line has to say: how the alarms were."""


class RunControl(Protocol):
    """Whom a run speaks to, and who may stop it."""

    @property
    def listener(self) -> Listener: ...
    @property
    def stop(self) -> Stop: ...


def new_id(ports: Ports) -> str:
    """A name for a run that is about to be."""
    return new_run_id(ports.clock.now())


def start(
    request: RunRequest, prepared: deploy.PreparedRun, ports: Ports, told: RunControl
) -> RunResult:
    """Carry out what was prepared. Nothing is changed before it is on disk. Raises ToolkitError
    where not even that was possible.
    """
    jobs = (*prepared.jobs, *prepared.standby)
    store = store_for(prepared.rules, ports, jobs[0].location.profile)
    with _locked(store, jobs, request, ports, told) as held:
        facts: dict[str, Any] = {
            **processes.facts(),
            "command": list(request.command),
            "project": prepared.rules.project,
            "root": ports.root,
            "rules": prepared.rules.file,
            "environment": jobs[0].location.environment,
            "commit": jobs[0].version.commit,
            "checked": request.checked,
            IN_RECORD: True,
            "jobs": [making.pack(job) for job in jobs],
            **request.facts,
        }
        journal = Journal.create(store, request.run, facts, ports.clock)
        try:
            with _shared(store, journal, jobs, ports, told) as mirror:
                orders = RunOptions(jobs, request.parallel, request.fail_fast)
                ran = _carry_out(store, journal, orders, request, ports, told, held, mirror)
        finally:
            journal.close()
    return _with_left(ran, prepared.left)


def _with_left(ran: RunResult, left: Sequence[tuple[str, str]]) -> RunResult:
    """The same, but not wholly done where targets were left that this run could not deploy."""
    if not left or ran.exit != Exit.OK:
        return replace(ran, left=tuple(left))
    return replace(ran, left=tuple(left), status="partial", exit=Exit.PARTLY)


def resume(
    request: RunRequest,
    ports: Ports,
    store: Store,
    told: RunControl,
    theirs: SharedRun | None = None,
) -> RunResult:
    """Go on with a run that was left: what is open is looked at first, what was never begun is
    begun. Raises ToolkitError.

    `theirs` is the run as another machine has left it in the bucket: it is copied here once its
    locks are ours, and not before.
    """
    if theirs is None:
        journal = Journal.reopen(store, request.run, ports.clock)
        try:
            return _resume(request, ports, store, told, journal)
        finally:
            journal.close()
    found = _placed(recover_state(theirs.entries, ports.clock.now(), request.run), request)
    _refuse_ended(found, request.run)
    _same_account(found.jobs, ports)
    with _locked(store, found.open, request, ports, told) as held:
        journal = Journal.copied(store, request.run, theirs.data, ports.clock)
        try:
            return _go_on(request, ports, store, told, journal, held)
        finally:
            journal.close()


def _resume(
    request: RunRequest, ports: Ports, store: Store, told: RunControl, journal: Journal
) -> RunResult:
    found = _placed(recover_state(journal.entries, ports.clock.now(), journal.path), request)
    _refuse_ended(found, request.run)
    _same_account(found.jobs, ports)
    with _locked(store, found.open, request, ports, told) as held:
        return _go_on(request, ports, store, told, journal, held)


def _go_on(
    request: RunRequest,
    ports: Ports,
    store: Store,
    told: RunControl,
    journal: Journal,
    held: HeldLocks,
) -> RunResult:
    """With the locks: from now on nobody else goes on with it. What the bucket knows of it is
    newer, if anything is.
    """
    first = recover_state(journal.entries, ports.clock.now(), journal.path)
    with _shared(store, journal, first.jobs, ports, told, claim=True) as mirror:
        found = recover_state(journal.entries, ports.clock.now(), journal.path)
        if found.jobs != first.jobs:
            raise StateDamaged(
                path=journal.path, reason="the run of this name in the bucket has other steps"
            )
        _refuse_ended(found, request.run)
        _give_up_overtaken(journal, found, store, ports)
        journal.append("note", **processes.facts(), command=list(request.command))
        found = _placed(left_of(store, request.run, ports), request)
        orders = RunOptions(
            found.jobs, request.parallel, request.fail_fast, found.done, found.begun
        )
        return _carry_out(store, journal, orders, request, ports, told, held, mirror)


def _refuse_ended(found: RunState, run: str) -> None:
    if found.ended:
        raise Refused(f"run {run} has ended", f"see `toolkit show {run}`")


def _placed(found: RunState, request: RunRequest) -> RunState:
    """With the jobs where this machine reaches them: a profile is a name that only its own machine
    knows.
    """
    return replace(found, jobs=tuple(request.placed(job) for job in found.jobs))


@contextmanager
def _shared(
    store: Store,
    journal: Journal,
    jobs: Sequence[Job],
    ports: Ports,
    told: RunControl,
    claim: bool = False,
) -> Iterator[Mirror | None]:
    """While the run goes on, its journal and logs are sent to the bucket of its place, if it has
    one.

    With `claim` what is there already is taken over first. All of it is sent, or is marked as
    unsent, before the locks are let go. Raises StateDamaged, LockLost, CloudError.
    """
    shelf = shelf_in(jobs[0].location if jobs else Location(), ports)
    if shelf is None:
        yield None
        return
    mirror = Mirror(
        shelf,
        store,
        journal,
        tuple(job.step for job in jobs),
        frozenset(job.step for job in jobs if job.undoes),
    )
    if claim:
        over = claim_run(shelf, journal)
        mirror.fetch_logs()
    else:
        over = None
    problem = mirror.begin(over)
    if problem:
        told.listener.told("toolkit", f"colleagues cannot see this run yet: {problem}")
    try:
        yield mirror
    finally:
        unsent = mirror.close()
        if unsent:
            told.listener.told("toolkit", unsent)
        elif mirror.taken_over_by:
            told.listener.told(
                "toolkit",
                f"{mirror.taken_over_by} has taken the run over: see `toolkit show {journal.run}`",
            )


def shelf_in(location: Location, ports: Ports) -> SharedRuns | None:
    """Where the runs of a place are shared, None where they are not."""
    return (
        SharedRuns(Bucket(ports.aws(location), location.store, location.account))
        if location.store
        else None
    )


class RunStory(Struct, frozen=True):
    """A run looked back at: its line in the history, and for each step its verdict (empty: open)
    and the cause.
    """

    summary: Summary
    steps: tuple[tuple[str, str, str], ...]


def look_at(store: Store, run: str) -> RunStory:
    """One run. Raises Refused, StateDamaged, FileProblem."""
    entries = read(store, run)
    ends = {entry.step: entry.facts for entry in entries if entry.state == "outcome"}
    found = history.run_summary(store, run)
    steps = tuple(
        (step, verdict or "", str(ends.get(step, {}).get("cause", "")))
        for step, _, verdict in found.steps
    )
    return RunStory(found, steps)


def left_of(store: Store, run: str, ports: Ports) -> RunState:
    """What is left of a run, which is left as it is. Raises Refused, StateDamaged."""
    return recover_state(read(store, run), ports.clock.now(), path_of(store, run))


def _give_up_overtaken(journal: Journal, found: RunState, store: Store, ports: Ports) -> None:
    """Steps whose target a later run has deployed are over: going on would put an older version
    back over a newer one.
    """
    for job in found.open:
        records = open_ledger(store, job.location, ports).get(job.target)
        later = _later(job, records, found)
        if later is not None:
            cause = f"run {later.run} has deployed {job.target} since"
            journal.append(
                "outcome", job.step, verdict="superseded", cause=cause, next="", took_s=0.0
            )


def _later(job: Job, records: Sequence[Record], found: RunState) -> Record | None:
    """The newest good deploy of a job's target, if it came after what the job's run did or would
    do, by the record's own order: clocks differ. Pure.
    """
    good = next((record for record in records if record.verdict in GOOD), None)
    if good is None:
        return None
    acted = job.step in found.begun and found.begun[job.step].acted
    known = job.recorded.run if job.recorded is not None else ""
    ours = next((record for record in records if record.run == job.run), None)
    if ours is not None and (
        acted or ours.verdict != BEGUN
    ):  # where nothing was done, its place says nothing
        return good if good.n > ours.n else None
    if acted and found.facts.get(IN_RECORD) is True:
        return good if good.run != known else None  # it was recorded as begun, and is not any more
    if known:
        return good if good.run != known else None
    return good if good.run > job.run else None  # nothing else is known


def _same_account(jobs: Sequence[Job], ports: Ports) -> None:
    """A run goes on in the account that it was begun in. Raises WrongAccount."""
    for location in {job.location for job in jobs}:
        check_account(ports.aws(location), location)


@contextmanager
def _locked(
    store: Store, jobs: Sequence[Job], request: RunRequest, ports: Ports, told: RunControl
) -> Iterator[HeldLocks]:
    """The locks of all targets, or none of them. Raises LockHeld, Stopped."""

    def waiting(name: str, other: Holder) -> None:
        told.listener.told(
            "toolkit", f"waiting for {other.who}, who is deploying {name}: {other.command}"
        )

    def asked(name: str, other: Holder) -> None:
        told.listener.told(
            "toolkit", f"asked {other.who} to stop, who is deploying {name}: {other.command}"
        )

    def yields(wish: StopRequest) -> None:
        who, words = wish.who or "somebody", wish.command or "another run"
        told.listener.told(
            "toolkit",
            f"{who} asked this run to stop: {words}; nothing new is begun, what runs in AWS"
            " goes on",
        )
        told.stop.ask(problem=Preempted(who=who, command=words, run=wish.run))

    action = jobs[0].action if jobs else ""
    us = holder(
        request.run,
        join(request.command),
        ports.clock.now(),
        tuple(job.token for job in jobs),
        action,
    )
    names = list(dict.fromkeys(lock_name(job.location, job.target) for job in jobs))
    location = (
        jobs[0].location if jobs else Location()
    )  # only the last line was missing: nothing is left to be locked
    ask = asked if request.preempts else None
    held = open_locks(store, location, ports).take(
        names, us, request.lock_timeout_s, waiting, told.stop.event, ask
    )
    held.listen(yields)
    for other in held.previous:
        if other.run == request.run:
            continue
        told.listener.told(
            "toolkit",
            f"run {other.run} of {other.who} never released it; what it began in AWS is waited for",
        )
    try:
        yield held
    finally:
        for problem in held.release():
            told.listener.told("toolkit", problem)


def _carry_out(
    store: Store,
    journal: Journal,
    orders: RunOptions,
    request: RunRequest,
    ports: Ports,
    told: RunControl,
    held: HeldLocks,
    mirror: Mirror | None,
) -> RunResult:
    def check_fence() -> None:
        held.check_fence()
        if mirror is not None:
            mirror.check()

    try:
        locations = {job.step: really(job.location, ports) for job in orders.jobs}
        ledgers: Mapping[str, Ledger] = {
            step: open_ledger(store, location, ports) for step, location in locations.items()
        }
        papers = StoredRunJournal(store, journal, ledgers, locations, ports.clock, request.redact)
        with suppress(ToolkitError):  # each step says what it could not do
            deploy.warm(orders.jobs, ports)
        context = RunContext(
            ports,
            papers,
            told.listener,
            told.stop,
            check_fence,
            still=request.still,
            redact=request.redact,
            verify=request.verify,
            advise=request.advise,
        )
        return Execution(request.run, orders, context).carry_out()
    except Exception:
        told.listener.told(
            "toolkit", f"run {request.run} is left open; go on with: toolkit resume {request.run}"
        )
        raise
