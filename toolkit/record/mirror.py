"""Sends one run's journal and logs to the bucket while it runs. What is on this machine's disk
counts, and is sent when that is possible.

The run waits only for the first line, without which no colleague could continue it, for the outcome
of a step that is undone next, and for the end. A copy that lags behind is safe: whoever continues
the run looks for each effect by its token before making it.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Condition, Thread
from time import monotonic

from toolkit.advice import Advice, NextCommand
from toolkit.errors import CloudError, FileProblem, LockHeld, LockLost, Refused, StateDamaged
from toolkit.operations import Verdict
from toolkit.ports import disk
from toolkit.record import history
from toolkit.record.journal import EntryState, Journal, JournalEntry
from toolkit.record.shared_runs import LOG_MOST, SharedRun, SharedRuns, common_length
from toolkit.record.state import Store

RETRY_S, LONGEST_S = 1.0, 20.0
"""The first and the longest pause after a copy could not be sent, in seconds."""
LOGS_S = 10.0
"""How often a log that grows is sent, in seconds."""
FLUSH_S = 20.0
"""How long the end of a run waits for the last of it to be sent, in seconds."""
BARRIER_S = 15.0
"""How long to wait for a line that has to be in the bucket first, in seconds: a bad version has to
be rolled back with or without the bucket.
"""
UNSENT = "unsent"
"""The folder of marks: a run in it is not wholly in the bucket."""


def must_be_shared_first(entry: JournalEntry, undoing: frozenset[str]) -> bool:
    """Whether a line has to be in the bucket before the run goes on: the outcome of a step that is
    undone next, and the intents of steps that undo others. Without these, another machine would
    take what was undone for never done, or for somebody else's work. Pure.
    """
    if entry.state == EntryState.OUTCOME:
        return entry.facts.get("verdict") == Verdict.UNHEALTHY
    return entry.state == EntryState.INTENT and entry.step in undoing


class Mirror:
    """The copy of one run in the bucket. `taken_over_by` is who continues the run elsewhere, None
    if nobody does.
    """

    def __init__(
        self,
        shared_runs: SharedRuns,
        store: Store,
        journal: Journal,
        steps: tuple[str, ...],
        undoing: frozenset[str] = frozenset(),
    ) -> None:
        """`steps` are all of the run's, `undoing` those that undo another one."""
        self._shared_runs, self._store, self._journal = shared_runs, store, journal
        self._steps, self._undoing = steps, undoing
        self._etag: str | None = None
        self._sent = 0
        self._logs: dict[str, tuple[int, str | None]] = {}
        self._logs_at = 0.0
        self._changed = Condition()
        self._closing = False
        self._until = 0.0
        self._thread: Thread | None = None
        self._problem: str | None = None
        self.taken_over_by: str | None = None

    def begin(self, over: SharedRun | None = None) -> str | None:
        """Send what there is now, and start a thread that sends what follows; returns why the first
        part could not be sent, None if it was.

        `over` is what the bucket has already, which the journal begins with. Raises LockLost if
        somebody else continues the run.
        """
        if over is not None:
            self._etag, self._sent = over.etag, len(over.data)
        # Before the first attempt: a process that dies in it leaves the mark for `toolkit history`.
        self._mark()
        problem = self._once()
        self.check()
        self._thread = Thread(target=self._work, name="mirror", daemon=True)
        self._thread.start()
        self._journal.watcher = self._wake
        return problem

    def fetch_logs(self) -> None:
        """Download the logs that another machine wrote, so that they are continued."""
        for step in self._steps:
            with suppress(CloudError, Refused, OSError, StateDamaged, FileProblem):
                path = history.log_path(self._store, self._journal.run, step)
                shared = self._shared_runs.log(self._journal.run, step)
                if shared is None:
                    continue
                self._logs[step] = (0, shared[1])
                if not os.path.lexists(path):
                    self._store.subfolder(history.LOGS)
                    self._store.subfolder(os.path.join(history.LOGS, self._journal.run))
                    disk.write(path, shared[0])

    def check(self) -> None:
        """Raises LockLost if somebody else continues the run."""
        if self.taken_over_by is not None:
            raise LockLost(
                target=self._journal.run,
                reason=f"{self.taken_over_by} has taken the run over",
            )

    def close(self) -> Advice:
        """Send the rest and stop; returns what could not be sent and what sends it, if anything.
        Calling it twice is harmless.
        """
        # No line may start a new wait while the last ones are sent.
        self._journal.watcher = None
        with self._changed:
            self._closing = True
            self._until = monotonic() + FLUSH_S
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(FLUSH_S)
            self._thread = None
        if self.taken_over_by is not None:
            self._unmark()
            return ""
        if self._behind() or self._problem is not None:
            why = self._problem or "it was too slow"
            behind = f"run {self._journal.run} is not completely in the bucket yet ({why})"
            return f"{behind}; to send it:", NextCommand("history")
        self._unmark()
        return ""

    def _wake(self, entry: JournalEntry) -> None:
        with self._changed:
            self._changed.notify_all()
            if must_be_shared_first(entry, self._undoing):
                self._changed.wait_for(
                    lambda: not self._behind() or self.taken_over_by is not None, BARRIER_S
                )

    def _behind(self) -> bool:
        return self._sent != self._journal.size

    def _work(self) -> None:
        pause = RETRY_S
        while self.taken_over_by is None:
            with self._changed:
                # Without a new line the logs are still sent from time to time.
                self._changed.wait_for(lambda: self._closing or self._behind(), LOGS_S)
                closing = self._closing
            problem = self._once(logs=closing)
            if closing and ((problem is None and not self._behind()) or monotonic() >= self._until):
                return
            if problem is None:
                pause = RETRY_S
                continue
            with self._changed:
                self._changed.wait_for(lambda: self._closing and not closing, pause)  # noqa: B023 (asked at once)
            pause = min(pause * 2, LONGEST_S)

    def _once(self, logs: bool = False) -> str | None:
        """Send what is new of the journal, and of the logs if they are due; returns what went
        wrong.
        """
        self._problem = None
        try:
            self._send_journal()
            if self.taken_over_by is None and (logs or monotonic() - self._logs_at >= LOGS_S):
                self._logs_at = monotonic()
                self._send_logs()
        except (CloudError, Refused, FileProblem, StateDamaged) as problem:
            self._problem = str(problem)
        return self._problem

    def _send_journal(self) -> None:
        size = self._journal.size
        if size == self._sent:
            return
        data = self._journal.content(size)
        etag = self._shared_runs.put(self._journal.run, data, self._etag)
        if etag is None:
            etag = self._lost_answer(data)
        if etag is not None:
            with self._changed:
                self._etag, self._sent = etag, size
                self._changed.notify_all()

    def _lost_answer(self, data: bytes) -> str | None:
        """The object is not the one we wrote last: either our own write, whose answer was lost, or
        that of somebody who continues the run.
        """
        shared = self._shared_runs.get(self._journal.run)
        if shared is None:
            return self._shared_runs.put(self._journal.run, data, None)
        # The bucket has the beginning of ours: it was our own write.
        if data.startswith(shared.data):
            self._etag = shared.etag
            return self._shared_runs.put(self._journal.run, data, shared.etag)
        self.taken_over_by = shared.writer
        return None

    def _send_logs(self) -> None:
        for step in self._steps:
            with suppress(OSError):
                self._send_log(step)

    def _send_log(self, step: str) -> None:
        run = self._journal.run
        path = history.log_path(self._store, run, step)
        sent_size, sent_etag = self._logs.get(step, (0, None))
        size = os.stat(path).st_size
        if size == sent_size:
            return
        with open(path, "rb") as file:
            # One byte more than is kept: by it, `put_log` sees that the log is longer.
            file.seek(max(size - LOG_MOST - 1, 0))
            data = file.read(LOG_MOST + 1)
        etag = self._shared_runs.put_log(run, step, data, sent_etag)
        if etag is None:
            # An answer was lost, or somebody else has written there: theirs stays.
            shared = self._shared_runs.log(run, step)
            if shared is None:
                etag = self._shared_runs.put_log(run, step, data, None)
            elif data.startswith(shared[0]):
                etag = self._shared_runs.put_log(run, step, data, shared[1])
        if etag is not None:
            self._logs[step] = (size, etag)

    def _mark(self) -> None:
        with suppress(FileProblem, StateDamaged):
            self._store.subfolder(UNSENT)
            disk.write(self._store.path(UNSENT, self._journal.run), b"")

    def _unmark(self) -> None:
        with suppress(OSError):
            os.unlink(self._store.path(UNSENT, self._journal.run))


def unsent_runs(store: Store) -> list[str]:
    """The runs that are not completely in their bucket."""
    try:
        return sorted(os.listdir(store.path(UNSENT)))
    except OSError:
        return []


def claim_run(shared_runs: SharedRuns, journal: Journal) -> SharedRun | None:
    """Make the journal of a run whose locks we hold agree with the bucket, which is right where
    they differ: only a holder of the locks has written to it. Lines that only this machine has are
    kept beside the journal. Returns the run in the bucket, None if there is none.

    Raises StateDamaged if it is another run, CloudError, Refused, FileProblem.
    """
    shared = shared_runs.get(journal.run)
    if shared is None:
        return None
    local = journal.content(journal.size)
    same = common_length(local, shared.data)
    if same == 0:
        raise StateDamaged(path=journal.path, reason="the bucket has another run of this name")
    # The bucket has lines that this machine does not.
    if same < len(shared.data):
        # Lines of ours that nobody else has seen: their effects are found by their tokens.
        if same < len(local):
            disk.write(f"{journal.path}.superseded", local)
        journal.adopt(same, shared.data[same:])
    return shared


def send_unsent_runs(
    store: Store, shared_runs_of: Callable[[Journal], SharedRuns | None]
) -> Mapping[str, Advice]:
    """Send what is missing of earlier runs; returns why a run could not be sent."""
    problems: dict[str, Advice] = {}
    for run in unsent_runs(store):
        try:
            journal = Journal.reopen(store, run)
        except LockHeld:
            continue  # its own process still sends it
        except (FileProblem, StateDamaged, Refused) as problem:
            problems[run] = str(problem)
            continue
        try:
            unsent = _send_rest(store, journal, shared_runs_of(journal))
        except (CloudError, Refused, FileProblem, StateDamaged) as problem:
            unsent = str(problem)
        finally:
            journal.close()
        if unsent:
            problems[run] = unsent
    return problems


def _send_rest(store: Store, journal: Journal, shared_runs: SharedRuns | None) -> Advice:
    """Send what is missing of one run; returns what could not be sent, empty if all was."""
    if shared_runs is None:
        return ""
    steps = tuple(dict.fromkeys(entry.step for entry in journal.entries if entry.step))
    mirror = Mirror(shared_runs, store, journal, steps)
    shared = shared_runs.get(journal.run)
    if shared is not None and not journal.content(journal.size).startswith(shared.data):
        mirror.taken_over_by = shared.writer  # the bucket is right
    else:
        with suppress(LockLost):
            mirror.begin(shared)
    return mirror.close()
