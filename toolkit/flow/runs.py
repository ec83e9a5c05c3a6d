"""A run from its first line on disk to its last: started, resumed, and shown in retrospect."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from shlex import join
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from toolkit.errors import Exit, Preempted, Refused, StateDamaged, ToolkitError
from toolkit.flow import deploy
from toolkit.flow.stores import resolved_location, store_for
from toolkit.model import GOOD, Job, Location, RunResult, RunStatus, Verdict
from toolkit.ports import processes
from toolkit.ports.aws.client import check_account
from toolkit.ports.aws.s3 import Bucket
from toolkit.ports.ports import Ports
from toolkit.record import history
from toolkit.record.history import Summary
from toolkit.record.journal import EntryState, Journal, JournalEntry, new_run_id, path_of, read
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


def same_job(job: Job) -> Job:
    """A job as it is: its run was begun on this machine."""
    return job


class RunRequest(Struct, frozen=True):
    """How a run is to be carried out, whatever it deploys. `command` is the command line,
    `lock_timeout_s` 0 means not to wait.

    `still` raises StalePlan, right before a job is begun, if its files are no longer those that it
    is to deploy; `verify` makes a step that went well pass its gate, and `checked` says that this
    is wanted, also for a process that resumes the run. `advise` adds to a next command the options
    for the job's location, and `placed` gives a job the profile that this machine uses.
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
    placed: Callable[[Job], Job] = same_job
    preempts: bool = False
    """Whether a run that deploys one of its targets is asked to stop: this one undoes it."""
    facts: Mapping[str, Any] = {}
    """What else the journal's first line has to say: how the alarms were."""


class RunControl(Protocol):
    """Who hears of a run's progress, and what may stop it."""

    @property
    def listener(self) -> Listener: ...
    @property
    def stop(self) -> Stop: ...


class _RunContext(Struct, frozen=True):
    """What every part of a run works with."""

    request: RunRequest
    ports: Ports
    store: Store
    control: RunControl

    def tell(self, words: str) -> None:
        """Tell the listener something that is about the run and not about a step."""
        self.control.listener.told("toolkit", words)


def new_id(ports: Ports) -> str:
    """A name for a new run."""
    return new_run_id(ports.clock.now())


def start(
    request: RunRequest, prepared: deploy.PreparedRun, ports: Ports, control: RunControl
) -> RunResult:
    """Carry out what was prepared. Nothing is changed before it is on disk. Raises ToolkitError
    where not even that was possible.
    """
    jobs = (*prepared.jobs, *prepared.standby)
    store = store_for(prepared.rules, ports, jobs[0].location.profile)
    context = _RunContext(request, ports, store, control)
    with _locked(context, jobs) as locks:
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
            with _shared(context, journal, jobs) as mirror:
                options = RunOptions(jobs, request.parallel, request.fail_fast)
                result = _carry_out(context, journal, options, locks, mirror)
        finally:
            journal.close()
    result = replace(result, left=tuple(prepared.left))
    if prepared.left and result.exit == Exit.OK:  # all of it went well, but it was not everything
        return replace(result, status=RunStatus.PARTIAL, exit=Exit.PARTLY)
    return result


def resume(
    request: RunRequest,
    ports: Ports,
    store: Store,
    control: RunControl,
    theirs: SharedRun | None = None,
) -> RunResult:
    """Continue an interrupted run: what is open is observed first, what was never begun is begun.
    Raises ToolkitError.

    `theirs` is the run as another machine has left it in the bucket: it is copied to this machine
    once its locks are ours, and not before.
    """
    context = _RunContext(request, ports, store, control)
    if theirs is None:
        journal = Journal.reopen(store, request.run, ports.clock)
        try:
            state = recover_state(journal.entries, ports.clock.now(), journal.path)
            with _locked(context, _jobs_to_lock(context, state)) as locks:
                return _continue(context, journal, locks)
        finally:
            journal.close()
    state = recover_state(theirs.entries, ports.clock.now(), request.run)
    with _locked(context, _jobs_to_lock(context, state)) as locks:
        journal = Journal.copied(store, request.run, theirs.data, ports.clock)
        try:
            return _continue(context, journal, locks)
        finally:
            journal.close()


def _jobs_to_lock(context: _RunContext, state: RunState) -> Sequence[Job]:
    """The open jobs of a run. Raises Refused if it has ended, WrongAccount."""
    state = _relocated(state, context.request)
    _refuse_ended(state, context.request.run)
    _refuse_other_account(state.jobs, context.ports)
    return state.open


def _continue(context: _RunContext, journal: Journal, locks: HeldLocks) -> RunResult:
    """With the locks: from now on no other process continues the run. What the bucket knows of it
    is newer, if anything is.
    """
    request, ports, store = context.request, context.ports, context.store
    first = recover_state(journal.entries, ports.clock.now(), journal.path)
    with _shared(context, journal, first.jobs, claim=True) as mirror:
        state = recover_state(journal.entries, ports.clock.now(), journal.path)
        if state.jobs != first.jobs:
            raise StateDamaged(
                path=journal.path, reason="the run of this name in the bucket has other steps"
            )
        _refuse_ended(state, request.run)
        _give_up_superseded(journal, state, store, ports)
        journal.append(EntryState.NOTE, **processes.facts(), command=list(request.command))
        state = _relocated(run_state(store, request.run, ports), request)
        options = RunOptions(
            state.jobs, request.parallel, request.fail_fast, state.done, state.begun
        )
        return _carry_out(context, journal, options, locks, mirror)


def _refuse_ended(state: RunState, run: str) -> None:
    if state.ended:
        raise Refused(f"run {run} has ended", f"see `toolkit show {run}`")


def _relocated(state: RunState, request: RunRequest) -> RunState:
    """With the jobs where this machine reaches them: a profile is a name that only its own machine
    knows.
    """
    return replace(state, jobs=tuple(request.placed(job) for job in state.jobs))


@contextmanager
def _shared(
    context: _RunContext, journal: Journal, jobs: Sequence[Job], claim: bool = False
) -> Iterator[Mirror | None]:
    """While the run goes on, its journal and logs are sent to the bucket of its location, if it has
    one.

    With `claim` what is in the bucket already is taken over first. All of it is sent, or is marked
    as unsent, before the locks are released. Raises StateDamaged, LockLost, CloudError.
    """
    shelf = shared_runs(jobs[0].location if jobs else Location(), context.ports)
    if shelf is None:
        yield None
        return
    mirror = Mirror(
        shelf,
        context.store,
        journal,
        tuple(job.step for job in jobs),
        frozenset(job.step for job in jobs if job.undoes),
    )
    over = None
    if claim:
        over = claim_run(shelf, journal)
        mirror.fetch_logs()
    problem = mirror.begin(over)
    if problem:
        context.tell(f"colleagues cannot see this run yet: {problem}")
    try:
        yield mirror
    finally:
        unsent = mirror.close()
        if unsent:
            context.tell(unsent)
        elif mirror.taken_over_by:
            context.tell(
                f"{mirror.taken_over_by} has taken the run over: see `toolkit show {journal.run}`"
            )


def shared_runs(location: Location, ports: Ports) -> SharedRuns | None:
    """Where the runs of a location are shared, None where they are not."""
    if not location.store:
        return None
    return SharedRuns(Bucket(ports.aws(location), location.store, location.account))


class RunStory(Struct, frozen=True):
    """A run in retrospect: its line in the history, and for each step its verdict (empty: open) and
    the cause.
    """

    summary: Summary
    steps: tuple[tuple[str, str, str], ...]


def story_of(summary: Summary, entries: Sequence[JournalEntry]) -> RunStory:
    """The story of a run with this journal. Pure."""
    causes: dict[str, str] = {}
    for entry in entries:
        if entry.state == EntryState.OUTCOME and entry.step is not None:
            causes[entry.step] = str(entry.facts.get("cause", ""))
    return RunStory(
        summary,
        tuple((step, verdict or "", causes.get(step, "")) for step, _, verdict in summary.steps),
    )


def run_story(store: Store, run: str) -> RunStory:
    """One run. Raises Refused, StateDamaged, FileProblem."""
    entries = read(store, run)
    return story_of(history.run_summary(store, run), entries)


def run_state(store: Store, run: str, ports: Ports) -> RunState:
    """What is still to do of a run; nothing is changed. Raises Refused, StateDamaged."""
    return recover_state(read(store, run), ports.clock.now(), path_of(store, run))


def _give_up_superseded(journal: Journal, state: RunState, store: Store, ports: Ports) -> None:
    """End the steps whose target a later run has deployed: to continue them would put an older
    version back over a newer one.
    """
    for job in state.open:
        records = open_ledger(store, job.location, ports).get(job.target)
        later = _later_deploy(job, records, state)
        if later is not None:
            cause = f"run {later.run} has deployed {job.target} since"
            journal.append(
                EntryState.OUTCOME,
                job.step,
                verdict=Verdict.SUPERSEDED,
                cause=cause,
                next="",
                took_s=0.0,
            )


def _later_deploy(job: Job, records: Sequence[Record], state: RunState) -> Record | None:
    """The newest good deploy of a job's target, if it came after what the job's run did or would
    do, by the record's own order: clocks differ. Pure.
    """
    good = next((record for record in records if record.verdict in GOOD), None)
    if good is None:
        return None
    acted = job.step in state.begun and state.begun[job.step].acted
    base = job.recorded.run if job.recorded is not None else ""
    ours = next((record for record in records if record.run == job.run), None)
    # Where nothing was done, the place of a begun deploy in the record says nothing.
    if ours is not None and (acted or ours.verdict != BEGUN):
        is_later = good.n > ours.n
    elif acted and state.facts.get(IN_RECORD) is True:
        is_later = good.run != base  # it was recorded as begun, and is not any more
    elif base:
        is_later = good.run != base
    else:
        is_later = good.run > job.run  # nothing but the names of the runs is known
    return good if is_later else None


def _refuse_other_account(jobs: Sequence[Job], ports: Ports) -> None:
    """A run is resumed in the account that it was begun in. Raises WrongAccount."""
    for location in {job.location for job in jobs}:
        check_account(ports.aws(location), location)


@contextmanager
def _locked(context: _RunContext, jobs: Sequence[Job]) -> Iterator[HeldLocks]:
    """The locks of all targets, or none of them. Raises LockHeld, Stopped."""
    request, ports, control = context.request, context.ports, context.control

    def waiting(name: str, holder: Holder) -> None:
        context.tell(f"waiting for {holder.who}, who is deploying {name}: {holder.command}")

    def stopping(name: str, holder: Holder) -> None:
        context.tell(f"asked {holder.who} to stop, who is deploying {name}: {holder.command}")

    def yield_to(wish: StopRequest) -> None:
        who, words = wish.who or "somebody", wish.command or "another run"
        context.tell(
            f"{who} asked this run to stop: {words}; nothing new is begun, what runs in AWS goes on"
        )
        control.stop.ask(problem=Preempted(who=who, command=words, run=wish.run))

    action, location = "", Location()
    if jobs:  # else only the journal's last line was missing, and nothing is left to be locked
        action, location = jobs[0].action, jobs[0].location
    command, tokens = join(request.command), tuple(job.token for job in jobs)
    us = holder(request.run, command, ports.clock.now(), tokens, action)
    names = list(dict.fromkeys(lock_name(job.location, job.target) for job in jobs))
    locks = open_locks(context.store, location, ports).take(
        names,
        us,
        request.lock_timeout_s,
        waiting,
        control.stop.event,
        stopping if request.preempts else None,
    )
    locks.listen(yield_to)
    for previous in locks.previous:
        if previous.run != request.run:
            context.tell(
                f"run {previous.run} of {previous.who} never released it; what it began in AWS is"
                " waited for"
            )
    try:
        yield locks
    finally:
        for problem in locks.release():
            context.tell(problem)


def _carry_out(
    context: _RunContext,
    journal: Journal,
    options: RunOptions,
    locks: HeldLocks,
    mirror: Mirror | None,
) -> RunResult:
    request, ports, store = context.request, context.ports, context.store

    def check_fence() -> None:
        locks.check_fence()
        if mirror is not None:
            mirror.check()

    try:
        locations = {job.step: resolved_location(job.location, ports) for job in options.jobs}
        ledgers: Mapping[str, Ledger] = {
            step: open_ledger(store, location, ports) for step, location in locations.items()
        }
        run_journal = StoredRunJournal(
            store, journal, ledgers, locations, ports.clock, request.redact
        )
        with suppress(ToolkitError):  # each step says what it could not do
            deploy.warm_clients(options.jobs, ports)
        services = RunContext(
            ports,
            run_journal,
            context.control.listener,
            context.control.stop,
            check_fence,
            still=request.still,
            redact=request.redact,
            verify=request.verify,
            advise=request.advise,
        )
        return Execution(request.run, options, services).carry_out()
    except Exception:
        context.tell(f"run {request.run} is left open; go on with: toolkit resume {request.run}")
        raise
