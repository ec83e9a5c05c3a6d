"""How long runs took, and how many went well: of the last 30 days, and of the 30 days before. What
has no known end counts neither way, and nothing counts twice. What more than one process worked on
counts, but how long it took does not: a pause is in it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from math import ceil
from statistics import median
from typing import Any

from msgspec import Struct

from toolkit.errors import FileProblem, StateDamaged
from toolkit.formats.documents import as_mapping
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
    """All runs, or one part of them: the step of a target or the build of what it deploys
    (`app deploy`), or a phase of that (`app deploy: rollout`).
    """

    name: str
    now: Period
    before: Period


class Statistics(Struct, frozen=True):
    """The rows, all runs first, and how many journals could not be read."""

    rows: tuple[Row, ...]
    unreadable: int = 0


class ReadRun(Struct, frozen=True):
    """A run whose journal was read: its lines, none where it could not be read."""

    name: str
    entries: tuple[JournalEntry, ...] = ()
    is_running: bool = False


def local_runs(stores: Iterable[Store]) -> Iterator[ReadRun]:
    """The runs that have a journal on this machine. Raises FileProblem."""
    for store in stores:
        for name in run_names(store):
            try:
                entries = journal.read(store, name)
            except (StateDamaged, FileProblem):
                entries = ()
            yield ReadRun(name, entries, journal.being_written(store, name))


def may_count(name: str, now: datetime) -> bool:
    """Whether a run of this name may be of the last two months. Pure."""
    return name[:8] >= f"{now - timedelta(days=2 * DAYS):%Y%m%d}"


def statistics(
    runs: Iterable[ReadRun], now: datetime, environment: str | None = None
) -> Statistics:
    """The statistics of these runs, in one environment or in all. Of several journals of one run
    the longest counts: another machine may have resumed it. Pure.
    """
    middle, first = now - timedelta(days=DAYS), now - timedelta(days=2 * DAYS)
    rows: dict[str, tuple[Period, Period]] = {ALL_RUNS: (Period(), Period())}
    longest: dict[str, ReadRun] = {}
    for run in runs:
        known = longest.get(run.name)
        if known is None or len(run.entries) > len(known.entries):
            longest[run.name] = run
    unreadable = 0
    for run in longest.values():
        began = _moment(run.entries[0].at) if run.entries else None
        if began is None:
            unreadable += 1
        elif began >= first:
            _add_run(rows, int(began < middle), run, environment)
    return Statistics(tuple(Row(name, *periods) for name, periods in rows.items()), unreadable)


def _add_run(
    rows: dict[str, tuple[Period, Period]],
    index: int,
    run: ReadRun,
    environment: str | None,
) -> None:
    entries = run.entries
    summary = summarize(run.name, entries, run.is_running)
    if environment is not None and environment not in summary.environments:
        return
    names = _row_names(entries, environment)
    resumes = [entry.n for entry in entries[1:] if "pid" in entry.facts]
    # The last outcome of a step is how it ended: before that, it was in doubt.
    ends = {entry.step: entry for entry in entries if entry.state == EntryState.OUTCOME}
    begins = {entry.step: entry.n for entry in reversed(entries)}
    for step, end in ends.items():
        if step not in names:
            continue
        verdict = str(end.facts.get("verdict", ""))
        is_whole = not any(begins[step] < resume < end.n for resume in resumes)
        took_s = _seconds(end.facts.get("took_s")) if is_whole else None
        row = rows.setdefault(names[step], (Period(), Period()))
        row[index].add(verdict, took_s)
        for phase, phase_s in as_mapping(end.facts.get("phases")).items() if is_whole else ():
            row = rows.setdefault(f"{names[step]}: {phase}", (Period(), Period()))
            row[index].add(verdict, _seconds(phase_s))
    whole = rows[ALL_RUNS][index]
    verdicts = {verdict for _, _, verdict in summary.steps}
    if summary.status in _UNKNOWN_RUNS:
        whole.unknown += 1
    elif summary.status in _BAD_RUNS:
        whole.bad += 1
    elif summary.status == RunStatus.SUCCEEDED and Verdict.SUCCEEDED in verdicts:
        whole.good += 1
        began, ended = _moment(summary.started), _moment(summary.ended or "")
        if began is not None and ended is not None and not resumes:
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


def _row_names(entries: Sequence[JournalEntry], environment: str | None) -> dict[str | None, str]:
    """Step -> the row that it belongs to: its target's, whatever the environment and region; builds
    and rollbacks have rows of their own, and so has each part of a target. The step that only looks
    at all parts has none.
    """
    names: dict[str | None, str] = {}
    for job in _jobs(entries):
        place = job.get("place")
        named = place.get("environment") if isinstance(place, dict) else None
        if environment is not None and named != environment:
            continue
        if job.get("parts") is not None:
            continue
        action, target = str(job.get("action", "deploy")), str(job.get("target", ""))
        if job.get("part"):
            target += f":{job['part']}"
        names[str(job.get("step"))] = f"{target} {action}"
    return names


def _jobs(entries: Sequence[JournalEntry]) -> Iterable[Mapping[str, Any]]:
    for entry in entries:
        jobs = entry.facts.get("jobs") if entry.state == EntryState.RUN else None
        for job in jobs if isinstance(jobs, list) else ():
            if isinstance(job, dict):
                yield job
