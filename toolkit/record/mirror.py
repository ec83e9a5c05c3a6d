"""One run's journal and logs on their way to the bucket, behind the run: what is on this machine's
disk counts, and is sent when it can be.

Nothing waits for it but the first line, without which no colleague could go on, the outcome of a
step that is undone next, and the end. A lagging copy is safe: whoever goes on with the run looks
for each effect by its token before it makes it.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Condition, Thread
from time import monotonic

from toolkit.errors import CloudError, FileProblem, LockHeld, LockLost, Refused, StateDamaged
from toolkit.model import Verdict
from toolkit.record import disk, history
from toolkit.record.journal import Journal, JournalEntry
from toolkit.record.shelf import LOG_MOST, SharedRun, SharedRuns, common
from toolkit.record.state import Store

AGAIN_S, LONGEST_S = 1.0, 20.0
"""The first and the longest pause after a copy could not be sent, in seconds."""
LOGS_S = 10.0
"""How often a log that grows is sent, in seconds."""
FLUSH_S = 20.0
"""How long the end of a run waits for the last of it to be sent, in seconds."""
BARRIER_S = 15.0
"""How long a line that has to be in the bucket first is waited for, in seconds: a bad version has
to go back, bucket or not.
"""
UNSENT = "unsent"
"""The folder of marks: a run in it is not wholly in the bucket."""


def comes_first(entry: JournalEntry, undoing: frozenset[str]) -> bool:
    """Whether a line has to be in the bucket before the run goes on: the outcome of a step that is
    undone next, and what the steps that undo others are about to do. Who does not know of these
    would take what was undone for never done, or for somebody else's work. Pure.
    """
    if entry.state == "outcome":
        return entry.facts.get("verdict") == Verdict.UNHEALTHY
    return entry.state == "intent" and entry.step in undoing


class Mirror:
    """The copy of one run. `taken` says who goes on with the run elsewhere, None if nobody does."""

    def __init__(
        self,
        shelf: SharedRuns,
        store: Store,
        journal: Journal,
        steps: tuple[str, ...],
        undoing: frozenset[str] = frozenset(),
    ) -> None:
        """`steps` are all of the run's, `undoing` those of them that undo another one."""
        self._shelf, self._store, self._journal, self._steps, self._undoing = (
            shelf,
            store,
            journal,
            steps,
            undoing,
        )
        self._etag: str | None = None
        self._sent = 0
        self._logs: dict[str, tuple[int, str | None]] = {}
        self._logs_at = 0.0
        self._changed = Condition()
        self._closing = False
        self._until = 0.0
        self._thread: Thread | None = None
        self._problem: str | None = None
        self.taken: str | None = None

    def begin(self, over: SharedRun | None = None) -> str | None:
        """Send what there is, and then all that comes, from a thread of its own; in words what kept
        the first of it from being sent.

        `over` is what is in the bucket already, which the journal begins with. Raises LockLost if
        somebody else goes on with it.
        """
        if over is not None:
            self._etag, self._sent = over.etag, len(over.data)
        self._mark()
        problem = self._once()
        self.check()
        self._thread = Thread(target=self._work, name="mirror", daemon=True)
        self._thread.start()
        self._journal.watcher = self._wake
        return problem

    def fetch_logs(self) -> None:
        """Have on this machine what another one wrote of the logs, so that they are written on."""
        for step in self._steps:
            with suppress(CloudError, Refused, OSError, StateDamaged, FileProblem):
                path = history.log_path(self._store, self._journal.run, step)
                found = self._shelf.log(self._journal.run, step)
                if found is None:
                    continue
                self._logs[step] = (0, found[1])
                if not os.path.lexists(path):
                    self._store.room(history.LOGS)
                    self._store.room(os.path.join(history.LOGS, self._journal.run))
                    disk.replace(path, found[0], disk.Disk())

    def check(self) -> None:
        """Raises LockLost if somebody else goes on with the run."""
        if self.taken is not None:
            raise LockLost(target=self._journal.run, reason=f"{self.taken} has taken the run over")

    def close(self) -> str | None:
        """Send the rest, and end; in words what could not be sent, which later commands send. Twice
        is harmless.
        """
        self._journal.watcher = None
        with self._changed:
            self._closing = True
            self._until = monotonic() + FLUSH_S
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(FLUSH_S)
            self._thread = None
        if self.taken is not None:
            self._unmark()
            return None
        if self._behind() or self._problem is not None:
            why = self._problem or "it was too slow"
            return (
                f"run {self._journal.run} is not wholly in the bucket yet ({why}): `toolkit"
                " history` sends it"
            )
        self._unmark()
        return None

    def _wake(self, entry: JournalEntry) -> None:
        with self._changed:
            self._changed.notify_all()
            if comes_first(entry, self._undoing):
                self._changed.wait_for(
                    lambda: not self._behind() or self.taken is not None, BARRIER_S
                )

    def _behind(self) -> bool:
        return self._sent != self._journal.size

    def _work(self) -> None:
        pause = AGAIN_S
        while self.taken is None:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._behind(), LOGS_S)
                closing = self._closing
            problem = self._once(logs=closing)
            if closing and ((problem is None and not self._behind()) or monotonic() >= self._until):
                return
            if problem is None:
                pause = AGAIN_S
                continue
            with self._changed:
                self._changed.wait_for(lambda: self._closing and not closing, pause)  # noqa: B023 (asked at once)
            pause = min(pause * 2, LONGEST_S)

    def _once(self, logs: bool = False) -> str | None:
        """Send what is new of the journal, and of the logs if they are due; in words what went
        wrong.
        """
        self._problem = None
        try:
            self._send_journal()
            if self.taken is None and (logs or monotonic() - self._logs_at >= LOGS_S):
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
        etag = self._shelf.put(self._journal.run, data, self._etag)
        if etag is None:
            etag = self._lost_answer(data)
        if etag is not None:
            with self._changed:
                self._etag, self._sent = etag, size
                self._changed.notify_all()

    def _lost_answer(self, data: bytes) -> str | None:
        """Another object is there: our own of before, whose answer was lost, or that of whoever
        goes on with the run.
        """
        found = self._shelf.get(self._journal.run)
        if found is None:
            return self._shelf.put(self._journal.run, data, None)
        if data.startswith(found.data):
            self._etag = found.etag
            return self._shelf.put(self._journal.run, data, found.etag)
        self.taken = found.writer
        return None

    def _send_logs(self) -> None:
        for step in self._steps:
            path = history.log_path(self._store, self._journal.run, step)
            size, etag = self._logs.get(step, (0, None))
            with suppress(OSError):
                now = os.stat(path).st_size
                if now == size:
                    continue
                with open(path, "rb") as file:
                    file.seek(max(now - LOG_MOST - 1, 0))
                    data = file.read(LOG_MOST + 1)
                new = self._shelf.put_log(self._journal.run, step, data, etag)
                if (
                    new is None
                ):  # an answer was lost, or somebody else has written there: theirs stays
                    found = self._shelf.log(self._journal.run, step)
                    if found is None or data.startswith(found[0]):
                        new = self._shelf.put_log(
                            self._journal.run, step, data, found[1] if found else None
                        )
                if new is not None:
                    self._logs[step] = (now, new)

    def _mark(self) -> None:
        with suppress(FileProblem, StateDamaged):
            self._store.room(UNSENT)
            disk.replace(self._store.path(UNSENT, self._journal.run), b"", disk.Disk())

    def _unmark(self) -> None:
        with suppress(OSError):
            os.unlink(self._store.path(UNSENT, self._journal.run))


def unsent(store: Store) -> list[str]:
    """The runs that are not wholly in their bucket."""
    try:
        return sorted(os.listdir(store.path(UNSENT)))
    except OSError:
        return []


def claimed(shelf: SharedRuns, journal: Journal) -> SharedRun | None:
    """What the bucket has of a run whose locks are ours, with the journal brought to the same: the
    bucket is right where they differ, for only who held the locks has written to it. What is only
    here is kept beside the journal. None if the bucket has nothing.

    Raises StateDamaged where it is another run, CloudError, Refused, FileProblem.
    """
    found = shelf.get(journal.run)
    if found is None:
        return None
    here = journal.content(journal.size)
    same = common(here, found.data)
    if same == 0:
        raise StateDamaged(
            path=journal.path, reason="the run of this name in the bucket is another one"
        )
    if same < len(found.data):
        if same < len(here):
            disk.replace(f"{journal.path}.superseded", here, disk.Disk())
        journal.adopt(same, found.data[same:])
    return found


def catch_up(store: Store, shelf_of: Callable[[Journal], SharedRuns | None]) -> Mapping[str, str]:
    """Send what was left of earlier runs; of each run that could not be sent, why."""
    problems: dict[str, str] = {}
    for run in unsent(store):
        try:
            journal = Journal.reopen(store, run)
        except LockHeld:
            continue  # its own process still sends it
        except (FileProblem, StateDamaged, Refused) as problem:
            problems[run] = str(problem)
            continue
        try:
            left = _sent(store, journal, shelf_of(journal))
        except (CloudError, Refused, FileProblem, StateDamaged) as problem:
            left = str(problem)
        finally:
            journal.close()
        if left:
            problems[run] = left
    return problems


def _sent(store: Store, journal: Journal, shelf: SharedRuns | None) -> str | None:
    """Send one run's rest; in words what could not be sent."""
    if shelf is None:
        return None
    steps = tuple(dict.fromkeys(entry.step for entry in journal.entries if entry.step))
    mirror = Mirror(shelf, store, journal, steps)
    found = shelf.get(journal.run)
    if found is not None and not journal.content(journal.size).startswith(found.data):
        mirror.taken = found.writer  # the bucket is right
    else:
        with suppress(LockLost):
            mirror.begin(found)
    return mirror.close()
