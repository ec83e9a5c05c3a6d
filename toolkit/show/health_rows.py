"""The rows of `health`: what they are called and compared by, how they are ordered, and since when
they are as they are.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from toolkit.model import TargetState
from toolkit.operations import CREDENTIALS, Depth, Finding, HealthReport, HealthStatus
from toolkit.show.text import clipped, line

WIDTH = 80
BAD = tuple(status for status in HealthStatus if status != HealthStatus.OK)
"""What is listed as a problem, the worst first."""
_RANKS = {status: rank for rank, status in enumerate(HealthStatus)}
ORDER = (
    "service",
    "stack",
    "function",
    "bucket",
    "deployment",
    "alias",
    "index",
    "distribution",
    "errors",
    "log",
    "tasks",
    "image",
    "targets",
    "certificate",
    "drift",
    "alarms",
    "record",
)


RowKey = tuple[str, str | None, str | None, str]


class HealthView(Struct, frozen=True, kw_only=True):
    """How the answer is shown. `named`: it was asked for by name, so what is healthy is listed,
    too. `height`: nothing may be longer than this many lines. `changes` are the rows that are
    marked in the table, with the status that they had before.
    """

    now: datetime
    width: int = WIDTH
    verbose: bool = False
    named: bool = False
    height: int | None = None
    changes: Mapping[RowKey, HealthStatus] = {}


def row_key(report: HealthReport) -> RowKey:
    """What tells the row of a report from all others."""
    return report.kind, report.environment, report.region, report.name


class WatchedRows:
    """Which rows have another status than before, since somebody began to watch them."""

    def __init__(self) -> None:
        self._statuses: dict[RowKey, HealthStatus] = {}
        self.changes: dict[RowKey, HealthStatus] = {}
        """The rows that have changed, with the status before the last change."""

    def update(self, checkups: Sequence[HealthReport]) -> None:
        """Take note of what was checked just now."""
        for report in checkups:
            key, status = row_key(report), report.status
            before = self._statuses.get(key, status)
            if before != status:
                self.changes[key] = before
            self._statuses[key] = status


class RowNames:
    """What to call the rows: with environment and region only where there are several."""

    def __init__(self, checkups: Sequence[HealthReport]) -> None:
        self._environments = len({report.environment for report in checkups}) > 1
        self._regions = len({report.region for report in checkups}) > 1

    def of(self, report: HealthReport) -> str:
        """`prod app@eu-west-1`."""
        name = report.name
        if self._environments and report.environment:
            name = f"{report.environment} {name}"
        if self._regions and report.region:
            name = f"{name}@{report.region}"
        return name


def by_status(checkups: Sequence[HealthReport]) -> list[HealthReport]:
    """The worst first; of the same status the credentials, which may be the cause of all else."""
    return sorted(checkups, key=lambda report: (_RANKS[report.status], report.kind != CREDENTIALS))


def cause_of(finding: Finding) -> str:
    """Why it is as it is."""
    return finding.cause or finding.detail


def ordered(findings: Sequence[Finding]) -> list[Finding]:
    """The target itself first, then what it depends on; addresses last. They come in as they are
    answered.
    """
    return sorted(findings, key=_place)


def _place(finding: Finding) -> tuple[int, int, str]:
    what = finding.what.partition(" ")[0]
    index = ORDER.index(what) if what in ORDER else len(ORDER)
    depth = Depth.ALARM if finding.depth is None else finding.depth
    return depth, index, finding.what


def live_name(report: HealthReport) -> str:
    """`3e8a51c`, with `due` where HEAD is another; `-` where nothing is known to run, `unknown`
    where something does.
    """
    if report.live is None:
        return "-"
    version, commit = report.live.version or "unknown", report.live.commit
    if commit and version.startswith(commit):
        short = version[:7]
        # What a build took besides the commit is no edit that somebody has to hear of here.
        if version != commit and not version.startswith(f"{commit}-generated-"):
            short += "+"
    else:
        short = clipped(version, 10)
    return line(f"{short} due" if report.state == TargetState.DUE else short)


def deployed_by(report: HealthReport, now: datetime) -> str:
    """`3h ago by ada`; empty where no recorded deploy is known to be what is live."""
    if report.deployed is None:
        return ""
    who = report.deployed.who.partition("@")[0]
    when = age(report.deployed.when, now)
    return f"{when} by {who}".strip() if who else when


def earliest(times: Iterable[str | None]) -> str | None:
    """The first of several moments, None if none can be read."""
    moments: dict[datetime, str] = {}
    for since in times:
        moment = _moment(since)
        if moment is not None and since is not None:
            moments[moment] = since
    return moments[min(moments)] if moments else None


def _moment(since: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(since or "")
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def age(since: str | None, now: datetime) -> str:
    """`3d ago`, empty if it is not known."""
    moment = _moment(since)
    if moment is None:
        return ""
    lasted = _rounded(now - moment)
    return f"{lasted} ago" if lasted else "just now"


def duration(since: str | None, now: datetime) -> str:
    """`for 3d`, empty if it is not known."""
    moment = _moment(since)
    if moment is None:
        return ""
    return f"for {_rounded(now - moment) or 'less than a minute'}"


def _rounded(time: timedelta) -> str:
    """`3d`, empty below a minute."""
    seconds = time.total_seconds()
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return ""


def deploy_line(report: HealthReport, now: datetime) -> str:
    """`live: 3e8a51c, deployed 3h ago by ada (run 20261127-…)`."""
    run = f" (run {report.deployed.run})" if report.deployed and report.deployed.run else ""
    return line(f"live: {live_name(report)}, deployed {deployed_by(report, now)}{run}")
