"""How long the runs of this machine took, and how many went well: of the last 30 days, and of the
30 days before. What has no known end counts neither way.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from math import ceil
from statistics import median
from typing import Any

from msgspec import Struct

from toolkit.errors import FileProblem, StateDamaged
from toolkit.operations import RunStatus, Verdict
from toolkit.record import journal
from toolkit.record.history import run_names, summarize
from toolkit.record.journal import EntryState, JournalEntry
from toolkit.record.state import Store

DAYS = 30
LONGEST_S = 10**8
ALL_RUNS = "all runs"
_BAD = (Verdict.FAILED, Verdict.UNHEALTHY, Verdict.ROLLED_BACK)
_BAD_RUNS = (RunStatus.FAILED, RunStatus.PARTIAL)
_UNKNOWN_RUNS = (RunStatus.IN_DOUBT, RunStatus.INTERRUPTED, RunStatus.DAMAGED)


class Period(Struct):
    """What happened in some time: how many ended well and badly, how many have no known end, and
    how long those took that ended well, in seconds.
    """

    good: int = 0
    bad: int = 0
    unknown: int = 0
    took_s: list[float] = []

    @property
    def success(self) -> float | None:
        """The share that ended well of all that ended; None where none has."""
        if not self.good + self.bad:
            return None
        return self.good / (self.good + self.bad)

    @property
    def median_s(self) -> float | None:
        """How long half of them took at most."""
        return median(self.took_s) if self.took_s else None

    @property
    def p90_s(self) -> float | None:
        """How long nine of ten took at most."""
        if not self.took_s:
            return None
        return sorted(self.took_s)[ceil(0.9 * len(self.took_s)) - 1]

    def add(self, verdict: str, took_s: float | None) -> None:
        """One more step. What changed nothing, or was never begun, counts neither way."""
        if verdict == Verdict.SUCCEEDED:
            self.good += 1
            if took_s is not None:
                self.took_s.append(took_s)
        elif verdict in _BAD:
            self.bad += 1
        elif verdict == Verdict.IN_DOUBT:
            self.unknown += 1


class Row(Struct, frozen=True):
    """All runs, or one phase of them: the step of a target, or the build of what it deploys."""

    name: str
    now: Period
    before: Period


class Statistics(Struct, frozen=True):
    """The rows, all runs first, and how many journals could not be read."""

    rows: tuple[Row, ...]
    unreadable: int = 0


def statistics(
    stores: Iterable[Store], now: datetime, environment: str | None = None
) -> Statistics:
    """The statistics of the runs of this machine, in one environment or in all. Raises
    FileProblem.
    """
    middle, first = now - timedelta(days=DAYS), now - timedelta(days=2 * DAYS)
    rows: dict[str, tuple[Period, Period]] = {ALL_RUNS: (Period(), Period())}
    unreadable = 0
    for store in stores:
        for name in run_names(store):
            try:
                entries = journal.read(store, name)
            except (StateDamaged, FileProblem):
                unreadable += 1
                continue
            began = _moment(entries[0].at) if entries else None
            if began is None:
                unreadable += 1
                continue
            if began < first:
                continue
            index = 0
            if began < middle:
                index = 1
            is_running = journal.being_written(store, name)
            _add_run(rows, index, name, entries, is_running, environment)
    return Statistics(tuple(Row(name, *periods) for name, periods in rows.items()), unreadable)


def _add_run(
    rows: dict[str, tuple[Period, Period]],
    index: int,
    name: str,
    entries: Sequence[JournalEntry],
    is_running: bool,
    environment: str | None,
) -> None:
    summary = summarize(name, entries, is_running)
    if environment is not None and environment not in summary.environments:
        return
    phases = _phases(entries, environment)
    for entry in entries:
        if entry.state == EntryState.OUTCOME and entry.step in phases:
            row = rows.setdefault(phases[entry.step], (Period(), Period()))
            row[index].add(str(entry.facts.get("verdict", "")), _seconds(entry.facts.get("took_s")))
    whole = rows[ALL_RUNS][index]
    verdicts = {verdict for _, _, verdict in summary.steps}
    if summary.status in _UNKNOWN_RUNS:
        whole.unknown += 1
    elif summary.status in _BAD_RUNS:
        whole.bad += 1
    elif summary.status == RunStatus.SUCCEEDED and Verdict.SUCCEEDED in verdicts:
        whole.good += 1
        began, ended = _moment(summary.started), _moment(summary.ended or "")
        if began is not None and ended is not None:
            whole.took_s.append(max((ended - began).total_seconds(), 0.0))


def _moment(text: str) -> datetime | None:
    """A moment of a journal, None for what is none: some of its lines may be a colleague's."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _seconds(took: object) -> float | None:
    """A time of a journal, None for what is none."""
    if not isinstance(took, (int, float)) or not 0 <= took <= LONGEST_S:
        return None
    return float(took)


def _phases(entries: Sequence[JournalEntry], environment: str | None) -> dict[str | None, str]:
    """Step -> the row that it belongs to: its target's, whatever the environment and region; builds
    and rollbacks have rows of their own.
    """
    phases: dict[str | None, str] = {}
    for job in _jobs(entries):
        place = job.get("place")
        named = place.get("environment") if isinstance(place, dict) else None
        if environment is not None and named != environment:
            continue
        action, target = str(job.get("action", "deploy")), str(job.get("target", ""))
        phases[str(job.get("step"))] = f"{target} {action}"
    return phases


def _jobs(entries: Sequence[JournalEntry]) -> Iterable[Mapping[str, Any]]:
    for entry in entries:
        jobs = entry.facts.get("jobs") if entry.state == EntryState.RUN else None
        for job in jobs if isinstance(jobs, list) else ():
            if isinstance(job, dict):
                yield job
