"""What outlives the process that carries out a run: its journal, a log for each step, and what is live from now on."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Lock
from typing import Any

from toolkit.errors import FileProblem
from toolkit.model import Job, Outcome
from toolkit.ports.clock import Clock
from toolkit.record.history import StepLog
from toolkit.record.journal import Journal
from toolkit.record.ledger import GOOD, Ledger, Record
from toolkit.record.state import Store


class Pages:
    """A journal that several steps write to: a line that a full disk did not take is written before the next one, whoever's that is."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = Lock()
        self._owed: tuple[str, str | None, dict[str, Any]] | None = None

    def append(self, state: str, step: str | None = None, **facts: Any) -> None:
        """Write one line, and return when it is on disk. Raises FileProblem; the line then comes late, or never."""
        line = (state, step, facts)
        with self._lock:
            if self._owed is not None and self._owed != line:
                with suppress(FileProblem):
                    self._write(*self._owed)
                    self._owed = None
            try:
                self._write(*line)
            except FileProblem:
                self._owed = self._owed or line
                raise
            if self._owed == line:
                self._owed = None

    def _write(self, state: str, step: str | None, facts: Mapping[str, Any]) -> None:
        self._journal.append(state, step, **facts)


class Papers:
    """The book of one run (`run.execute.Book`). `ledgers` has the record of each step's place."""

    def __init__(self, store: Store, journal: Journal, ledgers: Mapping[str, Ledger], clock: Clock, redact: Callable[[str], str]) -> None:
        self._store, self._run, self._ledgers, self._clock, self._redact = store, journal.run, ledgers, clock, redact
        self.journal = Pages(journal)

    def log(self, step: str) -> StepLog:
        """The log of one step; a later process writes on behind what is there."""
        return StepLog(self._store, self._run, step, self._redact)

    def record(self, job: Job, outcome: Outcome) -> None:
        """Write down how it ended, and what was seen to be live. Raises ToolkitError."""
        live = outcome.live
        other = live is not None and live.version not in (None, job.version.name) and outcome.verdict not in GOOD
        self._ledgers[job.step].put(
            Record(
                target=job.target,
                environment=job.place.environment,
                region=job.place.region,
                version=(live.version if live else None) or job.version.name,
                commit=live.commit if live and other else job.version.commit,
                fingerprint=live.fingerprint or "" if live and other else job.version.fingerprint,
                run=job.run,
                when=self._clock.now().isoformat(timespec="seconds"),
                verdict=outcome.verdict,
                detail=dict(live.detail) if live else {},
            )
        )
