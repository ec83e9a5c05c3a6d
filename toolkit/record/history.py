"""The runs of a project, read from their journals: how they ended, what they left open, what they
deployed.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Any

import msgspec
from msgspec import Struct

from toolkit.errors import FileProblem, StateDamaged
from toolkit.exits import Exit
from toolkit.formats.documents import as_mapping
from toolkit.model import AWS
from toolkit.operations import GOOD, DeployedState, JobAction, RunStatus, Verdict
from toolkit.ports import disk, processes
from toolkit.ports.disk import Disk
from toolkit.record import journal, state
from toolkit.record.journal import EntryState, JournalEntry
from toolkit.record.ledger import BEGUN, IN_RECORD, Record, Scope, merge
from toolkit.record.run_index import RunIndex
from toolkit.record.state import Store

LOGS = "logs"
STOPPED = (129, 130, 143)
MESSAGE, MESSAGE_MOST = "message", 1000
"""The fact of a run that says why, in the words of who began it, and how many characters it may
have: no more are read, for it may be a colleague's.
"""
SEARCHED = 500
"""How many runs `good_deploys` looks through, the newest first."""


class Summary(Struct, frozen=True):
    """One run in a line. `steps` are step, target, verdict (None: none yet); times are ISO 8601 in
    UTC.

    `problem` says what the damage is of one that is damaged.
    """

    run: str
    started: str
    ended: str | None
    command: str
    user: str
    environment: str | None
    steps: tuple[tuple[str, str, str | None], ...]
    status: RunStatus
    exit: int | None = None
    commit: str | None = None
    open: tuple[str, ...] = ()
    """Steps with an intent or an answer of the cloud, and no outcome, but for builds: these change
    nothing that runs.
    """
    problem: str | None = None
    host: str = ""
    """The machine that wrote last, as it says itself."""
    before: Mapping[str, str] = {}
    """Step -> the run of the newest good deploy that was recorded when it began."""
    in_record: bool = False
    """Whether what it begins stands in the record."""
    several: tuple[str, ...] = ()
    """Its environments, where it has several: then `environment` is None."""
    message: str = ""
    """Why, in the words of who began it."""

    @property
    def environments(self) -> tuple[str, ...]:
        """The environments that it deploys to."""
        return self.several if self.environment is None else (self.environment,)


def runs(store: Store, most: int = 20) -> list[Summary]:
    """The newest runs, newest first, damaged ones included. Raises FileProblem."""
    names = run_names(store)
    return list(_summaries(store, names[:most], names))


def run_summary(store: Store, run: str) -> Summary:
    """One run. Raises Refused if there is no such run, StateDamaged, FileProblem."""
    entries = journal.read(store, run)
    return summarize(run, entries, _is_running(store, run, entries))


def unfinished(store: Store) -> list[Summary]:
    """The runs that did not end, have open steps or cannot be read, newest first. Raises
    FileProblem. A run that is still going is among them.

    A run whose process ended before its first line was complete left nothing behind, and is not
    listed.
    """
    names = run_names(store)
    return [
        run
        for run in _summaries(store, names, names, unfinished=True)
        if (run.ended is None or run.open) and (run.started or run.problem)
    ]


def summarize(run: str, entries: Sequence[JournalEntry], alive: bool) -> Summary:
    """A run from its journal's lines. Pure."""
    first: Mapping[str, Any] = entries[0].facts if entries else {}
    jobs: list[Mapping[str, Any]] = []
    for entry in entries:
        if entry.state == EntryState.RUN:
            jobs.extend(_jobs(entry.facts))
    targets = {str(job.get("step")): str(job.get("target", job.get("step"))) for job in jobs}
    undoing = {str(job.get("step")) for job in jobs if job.get("undoes")}
    builds = {str(job.get("step")) for job in jobs if _is_build(job)}
    verdicts, begun = _step_verdicts(entries, [step for step in targets if step not in undoing])
    end = _end(entries)
    ended, code = None, None
    if end is not None:
        ended, code = end.at, end.facts.get("exit")
    # A step that undoes another, or that only builds, is listed, but does not decide how the run
    # ended: where a build failed, what needs it was skipped.
    deciding = verdicts.keys() - undoing - builds
    planned_verdicts = [word for step, word in verdicts.items() if step in deciding]
    named = [_string(_location(job).get("environment")) for job in jobs]
    environments = tuple(dict.fromkeys(name for name in named if name is not None))
    several = environments if len(environments) > 1 else ()
    commits = (_string(_version(job).get("commit")) for job in jobs)
    recorded_runs = {str(job.get("step")): _recorded(job) for job in jobs}
    taken_back = any(entry.facts.get(IN_RECORD) is False for entry in entries)
    return Summary(
        run=run,
        started=entries[0].at if entries else "",
        ended=ended,
        command=journal.command(first),
        user=str(first.get("user", "")),
        environment=_string(first.get("environment"))
        or (None if several else next(iter(environments), None)),
        several=several,
        steps=tuple((step, targets.get(step, step), verdict) for step, verdict in verdicts.items()),
        status=_status(planned_verdicts, bool(begun), code, end is not None, alive),
        exit=code if isinstance(code, int) else None,
        commit=_string(first.get("commit")) or next(commits, None),
        open=tuple(step for step in begun if step not in builds),
        host=_string(journal.last_writer(entries).get("host")) or "",
        in_record=first.get(IN_RECORD) is True and not taken_back,
        message=message_of(first),
        before={step: recorded for step, recorded in recorded_runs.items() if recorded},
    )


def message_of(facts: Mapping[str, Any]) -> str:
    """The message in the facts of a run's first line, empty if there is none. Pure."""
    return (_string(facts.get(MESSAGE)) or "")[:MESSAGE_MOST]


def _step_verdicts(
    entries: Sequence[JournalEntry], planned: Sequence[str]
) -> tuple[dict[str, str | None], tuple[str, ...]]:
    """The verdict of each step (None: none yet), and the steps that were begun and have none."""
    verdicts: dict[str, str | None] = dict.fromkeys(planned)
    begun: dict[str, None] = {}
    for entry in entries:
        if entry.step is None:
            continue
        if entry.state == EntryState.OUTCOME:
            verdicts[entry.step] = str(entry.facts.get("verdict", Verdict.IN_DOUBT))
            begun.pop(entry.step, None)
        elif entry.state in (EntryState.INTENT, EntryState.ACCEPTED):
            verdicts.setdefault(entry.step, None)
            begun[entry.step] = None
    return verdicts, tuple(begun)


def _end(entries: Sequence[JournalEntry]) -> JournalEntry | None:
    """The line that ends a run, None if there is none. Only notes may follow it."""
    last = next((entry for entry in reversed(entries) if entry.state != EntryState.NOTE), None)
    return last if last is not None and last.state == EntryState.END else None


def _status(
    verdicts: Sequence[str | None], begun: bool, code: Any, ended: bool, alive: bool
) -> RunStatus:
    if not ended:
        return RunStatus.RUNNING if alive else RunStatus.INTERRUPTED
    if begun or Verdict.IN_DOUBT in verdicts or code == Exit.IN_DOUBT:
        return RunStatus.IN_DOUBT
    if code in STOPPED:
        return RunStatus.CANCELLED
    good = [verdict in GOOD for verdict in verdicts]
    if code == 2 and Verdict.CANCELLED in verdicts and not any(good):
        return RunStatus.CANCELLED  # nobody agreed to it
    if code == 0 or (code is None and all(good)):
        return RunStatus.SUCCEEDED
    return RunStatus.PARTIAL if any(good) else RunStatus.FAILED


def good_deploys(
    store: Store, target: str, scope: Scope, recorded: Iterable[Record] = ()
) -> list[Record]:
    """The successful deploys of a target, newest first: those in the record and those in the
    journals on this machine. Raises FileProblem.
    """
    records = merge(recorded)
    # What the record has of a run is better than its journal, unless it only says "begun".
    recorded_runs = {record.run for record in records if record.verdict != BEGUN}
    good = [record for record in records if record.verdict in GOOD]
    for run in run_names(store)[:SEARCHED]:
        if run in recorded_runs:
            continue
        for record in _successes(store, run):
            if record.target == target and _belongs_to(record, scope):
                _insert_by_time(good, record)
    return good


def _insert_by_time(records: list[Record], record: Record) -> None:
    """Put it before the first older one. A sort would reorder the others, whose order is that of
    the record and not of any clock.
    """
    for index, older in enumerate(records):
        if older.when < record.when:
            records.insert(index, record)
            return
    records.append(record)


def _belongs_to(record: Record, scope: Scope) -> bool:
    """Whether a deploy was made in this scope. Journals of earlier versions may lack the
    account.
    """
    if (record.provider, record.endpoint, record.environment) != (
        scope.provider,
        scope.endpoint,
        scope.environment,
    ):
        return False
    if scope.provider != AWS:
        return (scope.account, scope.region) == (record.account, record.region)
    same_account = None in (scope.account, record.account) or scope.account == record.account
    return same_account and (scope.region is None or scope.region == record.region)


def _successes(store: Store, run: str) -> list[Record]:
    """The successful deploys in one journal; none if it cannot be read, which `runs` reports.
    Unchanged targets were not deployed: if that is news, the record has it.
    """
    try:
        entries = journal.read(store, run)
    except (StateDamaged, FileProblem):
        return []
    jobs: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        if entry.state == EntryState.RUN:
            deploys = [
                job for job in _jobs(entry.facts) if not _is_build(job) and not job.get("part")
            ]
            jobs.update({str(job.get("step")): job for job in deploys})
    records: list[Record] = []
    for entry in entries:
        if entry.state != EntryState.OUTCOME or entry.step not in jobs:
            continue
        if entry.facts.get("verdict") == Verdict.SUCCEEDED:
            records.append(_record(jobs[entry.step], run, entry, store.endpoint))
    return records


def _record(job: Mapping[str, Any], run: str, entry: JournalEntry, endpoint: str | None) -> Record:
    location, version = _location(job), _version(job)
    live = as_mapping(entry.facts.get("live"))
    detail = as_mapping(entry.facts.get("detail") or live.get("detail"))
    return Record(
        target=str(job.get("target", "")),
        environment=_string(location.get("environment")),
        region=_string(location.get("region")),
        version=str(version.get("name", "")),
        commit=_string(version.get("commit")),
        fingerprint=str(version.get("fingerprint", "")),
        run=run,
        when=entry.at,
        verdict=str(entry.facts["verdict"]),
        detail={str(key): str(value) for key, value in detail.items()},
        provider=_string(location.get("provider")) or AWS,
        endpoint=endpoint,
        account=_string(location.get("account")),
        settings=str(version.get("settings", "")),
        inputs={str(key): str(text) for key, text in as_mapping(job.get("inputs")).items()},
        deployed=_deployed(live.get("deployed")),
    )


def _deployed(facts: Any) -> DeployedState:
    try:
        return msgspec.convert(facts, DeployedState) if facts else DeployedState()
    except msgspec.ValidationError:
        return DeployedState()


def _jobs(facts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    jobs = facts.get("jobs")
    if not isinstance(jobs, list):
        return []
    return [job for job in jobs if isinstance(job, dict) and "step" in job]


def _is_build(job: Mapping[str, Any]) -> bool:
    return job.get("action") == JobAction.BUILD


def _location(job: Mapping[str, Any]) -> Mapping[str, Any]:
    return as_mapping(job.get("place"))


def _version(job: Mapping[str, Any]) -> Mapping[str, Any]:
    return as_mapping(job.get("version"))


def _recorded(job: Mapping[str, Any]) -> str:
    """The run whose deploy was recorded as live when a job was prepared, empty if none was."""
    return _string(as_mapping(job.get("recorded")).get("run")) or ""


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def run_names(store: Store) -> list[str]:
    """The runs that have a journal, newest first."""
    try:
        files = os.listdir(store.path(journal.FOLDER))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise FileProblem(path=store.path(journal.FOLDER), reason=disk.error_text(error)) from None
    return sorted(
        (file.removesuffix(".jsonl") for file in files if file.endswith(".jsonl")), reverse=True
    )


def _summaries(
    store: Store, names: Sequence[str], every: Sequence[str], unfinished: bool = False
) -> Iterator[Summary]:
    """Summaries of these runs, of `every` there is; of those that may be `unfinished` only, if that
    is asked. Runs that ended are read once and kept in an index, which is only a cache.
    """
    index = RunIndex(store, Summary)
    for name in names:
        try:
            stat = os.stat(store.path(journal.FOLDER, f"{name}.jsonl"), follow_symlinks=False)
        except FileNotFoundError:
            continue
        if unfinished and index.is_done(name, stat):
            continue
        run = index.get(name, stat)
        if run is None:
            run = _read_summary(store, name)
            if run.ended is not None and journal.is_run_name(name):
                index.add(name, stat, run, is_open=bool(run.open or run.problem))
        yield run
    index.save(every)


def _read_summary(store: Store, run: str) -> Summary:
    try:
        return run_summary(store, run)
    except (StateDamaged, FileProblem) as problem:
        return Summary(run, "", None, "", "", None, (), RunStatus.DAMAGED, problem=str(problem))


def _is_running(store: Store, run: str, entries: Sequence[JournalEntry]) -> bool:
    """Whether the process that wrote last may write more: by what it says of itself, else by its
    lock on the journal.
    """
    if _end(entries) is not None:
        return False
    facts = journal.last_writer(entries)
    fields = {name: facts.get(name) for name in ("host", "boot", "pid", "started")}
    try:
        running = processes.is_running(msgspec.convert(fields, processes.Process))
    except msgspec.ValidationError:
        running = None
    return journal.being_written(store, run) if running is None else running


def log_path(store: Store, run: str, step: str) -> str:
    """The path of a step's log, which may not exist. Raises Refused for an invalid run name."""
    journal.path_of(store, run)
    return store.path(LOGS, run, f"{state.file_name(step)}.log")


def log_names(store: Store, run: str) -> list[str]:
    """The names that have a log on this machine, sorted: the steps of a run, and the hooks before
    it. Raises Refused for an invalid run name.
    """
    try:
        files = os.listdir(os.path.dirname(log_path(store, run, "")))
    except FileNotFoundError:
        return []
    return sorted(state.decode_file_name(name.removesuffix(".log")) for name in files)


class StepLog:
    """The log of one step, without secrets. A full disk ends the log, not the deploy; `problem`
    says so.
    """

    def __init__(
        self,
        store: Store,
        run: str,
        step: str,
        redact: Callable[[str], str],
        disk_: Disk | None = None,
    ) -> None:
        self._redact, self._disk = redact, disk_ or Disk()
        self._lock = Lock()
        self._descriptor = -1
        self.problem: str | None = None
        self.path = log_path(store, run, step)
        try:
            store.subfolder(LOGS)
            store.subfolder(os.path.join(LOGS, run))
            self._descriptor = disk.open_own(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        except (OSError, FileProblem, StateDamaged) as error:
            self.problem = str(error)

    def write(self, line: str) -> None:
        """Add a line, or several if there are line breaks in it. Thread-safe."""
        data = _bytes(self._redact(line).rstrip("\n") + "\n")
        with self._lock:
            if self._descriptor < 0 or self.problem is not None:
                return
            try:
                disk.write_all(self._disk, self._descriptor, data)
            except OSError as error:
                self.problem = f"{self.path}: {disk.error_text(error)}"

    def close(self) -> None:
        """Close the file. Calling it twice is harmless."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1


def _bytes(text: str) -> bytes:
    """The bytes that the text was decoded from, also where they were not UTF-8."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")
