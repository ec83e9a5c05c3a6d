"""A run from its first line on disk to its last: started, resumed, and shown in retrospect."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from shlex import join
from typing import Any

from msgspec.structs import replace

from toolkit.advice import NextCommand
from toolkit.errors import Preempted, Refused, StateDamaged, ToolkitError
from toolkit.flow import deploy
from toolkit.flow.run_stories import shared_runs
from toolkit.flow.stores import resolved_location, store_for
from toolkit.formats.documents import as_mapping
from toolkit.operations import GOOD, Job, Location, Verdict
from toolkit.ports import processes
from toolkit.ports.aws.client import check_account
from toolkit.ports.ports import Ports
from toolkit.record.history import message_of
from toolkit.record.journal import (
    EntryState,
    Journal,
    has_foreign_lines,
    new_run_id,
    path_of,
    read,
)
from toolkit.record.ledger import BEGUN, IN_RECORD, Ledger, Record, open_ledger
from toolkit.record.locks import HeldLocks, Holder, StopRequest, holder, lock_name, open_locks
from toolkit.record.mirror import Mirror, claim_run
from toolkit.record.shared_runs import SharedRun
from toolkit.record.state import Store
from toolkit.run import jobs as run_jobs
from toolkit.run.execute import Execution
from toolkit.run.recover import RunState, recover_state, with_quoted_advice
from toolkit.run.request import RunRequest
from toolkit.run.run_journal import StoredRunJournal

NEWEST = "newest"
"""The fact of a run that says which run had deployed each step's target last when it began."""


def new_id(ports: Ports) -> str:
    """A name for a new run."""
    return new_run_id(ports.clock.now())


@contextmanager
def start(request: RunRequest, prepared: deploy.PreparedRun) -> Iterator[Execution]:
    """What was prepared, ready to be carried out: as long as this lasts, the locks are ours.
    Nothing is changed before it is on disk. Raises ToolkitError where not even that was possible.
    """
    jobs, ports = (*prepared.jobs, *prepared.standby), request.ports
    request = replace(request, left=tuple(prepared.left))
    environments = list(dict.fromkeys(job.location.environment for job in jobs))
    store = store_for(prepared.rules, ports, jobs[0].location.profile)
    with ExitStack() as stack:
        locks = stack.enter_context(_locked(request, store, jobs))
        facts: dict[str, Any] = {
            **processes.facts(),
            "command": list(request.command),
            "project": prepared.rules.project,
            "root": ports.root,
            "rules": prepared.rules.file,
            "environment": environments[0] if len(environments) == 1 else None,
            "commit": jobs[0].version.commit,
            "checked": request.checked,
            IN_RECORD: True,
            NEWEST: dict(prepared.newest),
            "jobs": [run_jobs.pack(job) for job in jobs],
            **request.facts,
        }
        journal = stack.enter_context(
            closing(Journal.create(store, request.run, facts, ports.clock))
        )
        mirror = stack.enter_context(_shared(request, store, journal, jobs))
        fresh = RunState(jobs, facts, {}, {}, ended=False)
        with _open_run(request, store, journal, fresh) as run_journal:
            yield Execution(request, run_journal, _fence(locks, mirror), jobs)


@contextmanager
def resume(
    request: RunRequest, store: Store, theirs: SharedRun | None = None
) -> Iterator[Execution]:
    """An interrupted run, ready to be gone on with: what is open is observed first, what was never
    begun is begun. Raises ToolkitError.

    `theirs` is the run as another machine has left it in the bucket: it is copied to this machine
    once its locks are ours, and not before.
    """
    clock = request.ports.clock
    with ExitStack() as stack:
        if theirs is None:
            journal = stack.enter_context(closing(Journal.reopen(store, request.run, clock)))
            state = recover_state(journal.entries, clock.now(), journal.path)
            locks = stack.enter_context(_locked(request, store, _jobs_to_lock(request, state)))
        else:
            state = recover_state(theirs.entries, clock.now(), request.run)
            locks = stack.enter_context(_locked(request, store, _jobs_to_lock(request, state)))
            journal = stack.enter_context(
                closing(Journal.copied(store, request.run, theirs.data, clock))
            )
        first = recover_state(journal.entries, clock.now(), journal.path)
        jobs = _relocated(first, request).jobs
        mirror = stack.enter_context(_shared(request, store, journal, jobs, claim=True))
        state = _continued(request, store, journal, first)
        with _open_run(request, store, journal, state) as run_journal:
            fence = _fence(locks, mirror)
            yield Execution(request, run_journal, fence, state.jobs, state.done, state.begun)


def _jobs_to_lock(request: RunRequest, state: RunState) -> Sequence[Job]:
    """The open jobs of a run. Raises Refused if it has ended, WrongAccount."""
    state = _relocated(state, request)
    _refuse_ended(state, request.run)
    _refuse_other_account(state.jobs, request.ports)
    return state.open


def _continued(request: RunRequest, store: Store, journal: Journal, first: RunState) -> RunState:
    """With the locks: from now on no other process continues the run. What the bucket knows of it
    is newer, if anything is.
    """
    ports = request.ports
    state = recover_state(journal.entries, ports.clock.now(), journal.path)
    # We hold the locks of `first`: other steps would run without one.
    if state.jobs != first.jobs:
        raise StateDamaged(
            path=journal.path, reason="the run of this name in the bucket has other steps"
        )
    _refuse_ended(state, request.run)
    _give_up_superseded(journal, _relocated(state, request), store, ports)
    journal.append(EntryState.NOTE, **processes.facts(), command=list(request.command))
    return _relocated(run_state(store, request.run, ports), request)


def _refuse_ended(state: RunState, run: str) -> None:
    if state.ended:
        raise Refused(f"run {run} has ended", ("see", NextCommand("show", (run,))))


def _relocated(state: RunState, request: RunRequest) -> RunState:
    """With the jobs where this machine reaches them: a profile is a name that only its own machine
    knows.
    """
    return replace(state, jobs=tuple(request.placed(job) for job in state.jobs))


@contextmanager
def _shared(
    request: RunRequest,
    store: Store,
    journal: Journal,
    jobs: Sequence[Job],
    claim: bool = False,
) -> Iterator[Mirror | None]:
    """While the run goes on, its journal and logs are sent to the bucket of its location, if it has
    one.

    With `claim` what is in the bucket already is taken over first. All of it is sent, or is marked
    as unsent, before the locks are released. Raises StateDamaged, LockLost, CloudError.
    """
    shelf = shared_runs(jobs[0].location if jobs else Location(), request.ports)
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
    over = None
    if claim:
        over = claim_run(shelf, journal)
        mirror.fetch_logs()
    problem = mirror.begin(over)
    if problem:
        request.tell(f"colleagues cannot see this run yet: {problem}")
    try:
        yield mirror
    finally:
        unsent = mirror.close()
        if unsent:
            request.tell(unsent)
        # Whoever continues it sends the rest; ours is kept beside the journal.
        elif mirror.taken_over_by:
            over_by = f"{mirror.taken_over_by} has taken the run over: see"
            request.tell((over_by, NextCommand("show", (journal.run,))))


def run_state(store: Store, run: str, ports: Ports) -> RunState:
    """What is still to do of a run; nothing is changed. Raises Refused, StateDamaged."""
    state = recover_state(read(store, run), ports.clock.now(), path_of(store, run))
    return with_quoted_advice(state) if has_foreign_lines(store, run) else state


def _give_up_superseded(journal: Journal, state: RunState, store: Store, ports: Ports) -> None:
    """End the steps whose target a later run has deployed: to continue them would put an older
    version back over a newer one.
    """
    for job in state.open:
        if job.is_build:  # it changes nothing that runs, and is skipped if nobody needs it
            continue
        records = open_ledger(store, job.location, ports).get(job.target)
        later = _later_deploy(job, records, state)
        if later is not None:
            cause = f"run {later.run} has deployed {job.target} since"
            if later.verdict == Verdict.UNCHANGED:
                cause = f"run {later.run} has seen since that {job.target} is as it should be"
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
    # Not every kind's record says what it has put there, and then the job has none of it.
    base = str(as_mapping(state.facts.get(NEWEST)).get(job.step, ""))
    if not base and job.recorded is not None:
        base = job.recorded.run
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
def _locked(request: RunRequest, store: Store, jobs: Sequence[Job]) -> Iterator[HeldLocks]:
    """The locks of all targets, or none of them. Raises LockHeld, Stopped."""

    def waiting(name: str, holder: Holder) -> None:
        request.tell(f"waiting for {holder.who}, who is deploying {name}: {holder.command}")

    def stopping(name: str, holder: Holder) -> None:
        request.tell(f"asked {holder.who} to stop, who is deploying {name}: {holder.command}")

    def yield_to(wish: StopRequest) -> None:
        who, words = wish.who or "somebody", wish.command or "another run"
        request.tell(
            f"{who} asked this run to stop: {words}; nothing new is started, and what runs in "
            "AWS continues"
        )
        request.stop.ask(problem=Preempted(who=who, command=words, run=wish.run))

    # Without jobs, only the journal's last line was missing, and nothing is left to be locked.
    location = jobs[0].location if jobs else Location()
    action = next((job.action for job in jobs if not job.is_build), "")
    command, tokens = join(request.command), tuple(job.token for job in jobs)
    us = holder(request.run, command, request.ports.clock.now(), tokens, action)
    names = list(dict.fromkeys(lock_name(job.location, job.target) for job in jobs))
    locks = open_locks(store, location, request.ports).take(
        names,
        us,
        request.lock_timeout_s,
        waiting,
        request.stop.event,
        stopping if request.preempts else None,
    )
    locks.listen(yield_to)
    for previous in locks.previous:
        if previous.run != request.run:
            request.tell(
                f"run {previous.run} of {previous.who} never released it; waiting for what it "
                "started in AWS"
            )
    try:
        yield locks
    finally:
        for problem in locks.release():
            request.tell(problem)


@contextmanager
def _open_run(
    request: RunRequest, store: Store, journal: Journal, state: RunState
) -> Iterator[StoredRunJournal]:
    """What outlives the process. A problem says that the run is left open."""
    ports = request.ports
    try:
        locations = {job.step: resolved_location(job.location, ports) for job in state.jobs}
        ledgers: Mapping[str, Ledger] = {
            step: open_ledger(store, location, ports) for step, location in locations.items()
        }
        with suppress(ToolkitError):  # each step says what it could not do
            deploy.warm_clients(state.jobs, ports)
        run_journal = StoredRunJournal(
            store, journal, ledgers, locations, ports.clock, request.redact
        )
        run_journal.message = message_of(state.facts)
        run_journal.wholes = {job.step: job for job in state.jobs if job.parts is not None}
        yield run_journal
    except Exception:
        resume_it = NextCommand("resume", (request.run,))
        request.tell((f"run {request.run} is left open; continue with:", resume_it))
        raise


def _fence(locks: HeldLocks, mirror: Mirror | None) -> Callable[[], None]:
    """Raises LockLost once the targets, or the run itself, belong to somebody else."""

    def check() -> None:
        locks.check_fence()
        if mirror is not None:
            mirror.check()

    return check
