"""`run-task`: a command that is run once with what is live of a target. Its call is on disk before
it is made, and the task is found by its token before it is made again; how it ended is what was
observed.

It is no run of the history: it deploys nothing, and `resume` would have nothing to restore. It has
a journal of the same form in a folder of its own, by which `run-task --attach` finds it again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from toolkit import targets as kinds
from toolkit.errors import Refused, ToolkitError
from toolkit.flow.live_targets import live_targets, only_job, require_account
from toolkit.flow.rulebook import chosen_environment
from toolkit.flow.stores import store_for
from toolkit.formats.documents import as_mapping
from toolkit.model import ProjectRequest, Rules
from toolkit.operations import Job
from toolkit.ports import processes
from toolkit.ports.ports import Ports
from toolkit.record import journal
from toolkit.record.history import run_names
from toolkit.record.journal import EntryState, Journal, JournalEntry
from toolkit.record.state import Store
from toolkit.run.one_off import OneOffTask, TaskListener, TaskOutcome, was_begun
from toolkit.run.stop import Stop
from toolkit.targets.base import Kind, TaskRunner

FOLDER = "tasks"
NAMED_MOST = 50
"""How many of the last tasks are searched for such as have no known end."""


class TaskRequest(ProjectRequest, frozen=True, kw_only=True):
    """What a person asked for. `attach` is the name of a task that was started before; `timeout_s`
    is after how long the task is stopped. `redact` hides what looks like a secret.
    """

    target: str = ""
    command: tuple[str, ...] = ()
    container: str | None = None
    attach: str | None = None
    timeout_s: float = 3600.0
    redact: Callable[[str], str] = str


class PreparedTask(Struct, frozen=True):
    """A task that can be started, or watched. `unfinished` are the names of earlier ones of this
    target whose end is not known.
    """

    name: str
    rules: Rules
    job: Job
    runner: TaskRunner
    store: Store
    container: str | None = None
    unfinished: tuple[str, ...] = ()
    entries: tuple[JournalEntry, ...] = ()
    """What the journal has of one that was started before."""


def prepare_task(request: TaskRequest, rules: Rules, ports: Ports) -> PreparedTask:
    """What would be started. Reads only. Raises UsageError, Refused, CloudError."""
    job = _job(request, request.target, rules)
    runner = _runner(job, ports, request.container)
    store = _tasks_of(store_for(rules, ports, job.location.profile))
    name = journal.new_run_id(ports.clock.now())
    unfinished = tuple(_unfinished(store, job, ports.clock.now()))
    return PreparedTask(name, rules, job, runner, store, request.container, unfinished=unfinished)


def prepare_attach(request: TaskRequest, rules: Rules, ports: Ports) -> PreparedTask:
    """A task that was started before by this machine. Raises Refused if there is none, or it has
    ended, and as `prepare_task` does.
    """
    name = str(request.attach)
    environment = rules.environments.get(chosen_environment(request.environment, rules) or "")
    profile = request.profile
    if profile is None and environment is not None:
        profile = environment.profile
    store = _tasks_of(store_for(rules, ports, profile))
    entries = _read_task(store, name)
    facts = entries[0].facts
    if _end(entries) is not None:
        raise Refused(f"task {name} has ended", "start it again with its command")
    place = as_mapping(facts.get("place"))
    located = ProjectRequest(
        folder=request.folder,
        environment=place.get("environment"),
        profile=request.profile,
        region=place.get("region"),
    )
    container = facts.get("container")
    job = _job(located, str(facts.get("target", "")), rules)
    return PreparedTask(
        name, rules, job, _runner(job, ports, container), store, container, entries=entries
    )


def _job(request: ProjectRequest, target: str, rules: Rules) -> Job:
    chosen_environment(request.environment, rules)  # nothing is started in no environment
    return only_job(live_targets(request, (target,), rules), target)


def _runner(job: Job, ports: Ports, container: str | None) -> TaskRunner:
    require_account(job, ports)
    runner = kinds.kind(job.kind).task_runner(job, ports, container)
    if runner is None:
        able = kinds.names_of(lambda kind: type(kind).task_runner != Kind.task_runner)
        raise Refused(
            f"toolkit cannot run a command in target {job.target} (kind {job.kind})",
            f"name a target of kind {able}",
        )
    return runner


def _tasks_of(store: Store) -> Store:
    """Where the journals of one-off tasks are: apart from those of the runs."""
    return Store(store.subfolder(FOLDER), store.endpoint, store.project)


def _read_task(store: Store, name: str) -> tuple[JournalEntry, ...]:
    try:
        return journal.read(store, name)
    except Refused:
        raise Refused(
            f"this machine has started no task {name}", "attach to it where it was started"
        ) from None


def _end(entries: Sequence[JournalEntry]) -> JournalEntry | None:
    return next((entry for entry in entries if entry.state == EntryState.END), None)


def _unfinished(store: Store, job: Job, now: datetime) -> Iterator[str]:
    """The tasks of the last day of a target in its location that nobody has seen the end of, and
    nobody watches.
    """
    since = (now - timedelta(days=1)).isoformat()
    for name in run_names(store)[:NAMED_MOST]:
        with suppress(ToolkitError):  # what cannot be read is no reason not to start another one
            entries = journal.read(store, name)
            facts = entries[0].facts
            is_same = (facts.get("target"), facts.get("place")) == (job.target, _place(job))
            is_open = entries[0].at > since and was_begun(entries) and _end(entries) is None
            if is_same and is_open and not journal.being_written(store, name):
                yield name


def _place(job: Job) -> dict[str, str | None]:
    return {"environment": job.location.environment, "region": job.location.region}


def run_task(
    prepared: PreparedTask,
    request: TaskRequest,
    ports: Ports,
    stop: Stop,
    listener: TaskListener,
) -> TaskOutcome:
    """Start the task, unless it was started, and watch it to its end; a request to stop and the
    deadline stop it. Raises LockHeld, and Refused, CloudError, FileProblem where nothing was
    started.
    """
    if prepared.entries:
        opened = Journal.reopen(prepared.store, prepared.name, ports.clock)
        entries = opened.entries
        token = str(entries[0].facts.get("token", ""))
    else:
        entries, token = (), _new_token()
        facts = _facts(prepared, request, token)
        opened = Journal.create(prepared.store, prepared.name, facts, ports.clock)
    task = OneOffTask(prepared.runner, opened, token, ports.clock, stop, listener)
    try:
        if entries:
            return task.watch_started(entries, request.timeout_s)
        return task.start_and_watch(request.command, request.timeout_s)
    finally:
        opened.close()


def _new_token() -> str:
    """The token by which the task is found again: see `TaskRunner.start`."""
    import secrets  # only here: most commands start nothing

    return f"toolkit-{secrets.token_hex(12)}"


def _facts(prepared: PreparedTask, request: TaskRequest, token: str) -> dict[str, Any]:
    import shlex

    return {
        **processes.facts(),
        "target": prepared.job.target,
        "place": _place(prepared.job),
        "container": prepared.container,
        "token": token,
        "command": request.redact(shlex.join(request.command)),
    }
