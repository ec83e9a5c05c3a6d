"""How everything is, as people and programs read it: a table, and under it each problem once, with
its cause and the next command.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from toolkit.advice import Advice, NextCommand, SameOptions
from toolkit.model import TargetState
from toolkit.operations import CREDENTIALS, Finding, HealthReport, HealthStatus
from toolkit.show.advice import advice_lines, sentence
from toolkit.show.junit import JUnitCase, JUnitVerdict
from toolkit.show.run import live_document
from toolkit.show.smoke import took
from toolkit.show.table import room, table
from toolkit.show.text import clipped, count, line, shortened, wrapped

WIDTH = 80
BAD = tuple(status for status in HealthStatus if status != HealthStatus.OK)
"""What is listed as a problem, the worst first."""
VERDICTS = {
    HealthStatus.OK: JUnitVerdict.PASSED,
    HealthStatus.WARNING: JUnitVerdict.PASSED,
    HealthStatus.FAILING: JUnitVerdict.FAILED,
    HealthStatus.UNKNOWN: JUnitVerdict.ERROR,
}
MOST_NAMES = 6
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
    "targets",
    "tasks",
    "image",
    "certificate",
    "drift",
    "alarms",
    "record",
)


def text(
    checkups: Sequence[HealthReport],
    notes: Sequence[Advice],
    took_s: float,
    now: datetime,
    width: int = WIDTH,
    verbose: bool = False,
) -> str:
    """The whole answer."""
    return "\n".join(_lines(checkups, notes, took_s, now, width, verbose))


def _lines(
    checkups: Sequence[HealthReport],
    notes: Sequence[Advice],
    took_s: float,
    now: datetime,
    width: int,
    verbose: bool,
) -> Iterator[str]:
    names = RowNames(checkups)
    headers = ("target", "status", "live", "since", "detail")
    rows: list[tuple[str, str, str, str, str]] = []
    for report in sorted(checkups, key=lambda report: report.kind == CREDENTIALS):
        name, since = line(names.of(report)), age(_since(report), now)
        rows.append((name, report.status, _live(report), since, line(detail(report))))
    space = room(rows, headers, 4, width)
    yield table(headers, [(*row[:4], shortened(row[4], space)) for row in rows])
    yield ""
    if verbose:
        yield from _all_findings(checkups, names, now, width)
    explained = set[tuple[str, str]]()
    for status in BAD:
        for problem in _problems(status, checkups, names):
            yield from _problem_lines(problem, now, width, problem.key in explained)
            explained.add(problem.key)
    for note in notes:
        yield from advice_lines(note, _anywhere(checkups), width, "note: ")
    yield from wrapped(summary(checkups, took_s), width)
    due = next((report for report in checkups if report.state == TargetState.DUE), None)
    if due is not None:
        see = ("See what is due:", NextCommand("diff", ("live",)))
        yield from advice_lines(see, due.same, width, "")


def _anywhere(checkups: Sequence[HealthReport]) -> SameOptions:
    """What commands repeat that are about no report or name their environment themselves."""
    return SameOptions(rules=next((report.same.rules for report in checkups), None))


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


def detail(report: HealthReport) -> str:
    """The most important words on it: of what is wrong, else of the first things that were
    checked.
    """
    details = [
        finding.detail
        for finding in ordered(report.findings)
        if finding.status == report.status and finding.detail
    ]
    if report.status == HealthStatus.OK:
        return ", ".join(list(dict.fromkeys(details))[:2])
    if not details:
        return "nothing was checked"
    more = f" (+{len(details) - 1})" if len(details) > 1 else ""
    return details[0] + more


def ordered(findings: Sequence[Finding]) -> list[Finding]:
    """The target itself first, then what it depends on; addresses last. They come in as they are
    answered.
    """
    return sorted(findings, key=_place)


def _place(finding: Finding) -> tuple[int, str]:
    index = ORDER.index(finding.what) if finding.what in ORDER else len(ORDER)
    return index, finding.what


def _live(report: HealthReport) -> str:
    """`3e8a51c`, with `due` where HEAD is another; `-` where nothing is known to run."""
    if report.live is None:
        return "-"
    version, commit = report.live.version or "?", report.live.commit
    if commit and version.startswith(commit):
        short = version[:7]
        # What a build took besides the commit is no edit that somebody has to hear of here.
        if version != commit and not version.startswith(f"{commit}-generated-"):
            short += "+"
    else:
        short = clipped(version, 10)
    return line(f"{short} due" if report.state == TargetState.DUE else short)


def _since(report: HealthReport) -> str | None:
    """Since when it is as it is: of what is wrong, else of what is live."""
    times = [
        finding.since
        for finding in ordered(report.findings)
        if finding.status == report.status and finding.since
    ]
    if report.live is not None and (report.status == HealthStatus.OK or not times):
        return report.live.since
    return times[0] if times else None


def age(since: str | None, now: datetime) -> str:
    """`3d ago`, empty if it is not known."""
    if not since:
        return ""
    try:
        seconds = (now - datetime.fromisoformat(since)).total_seconds()
    except (ValueError, TypeError):
        return ""
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit} ago"
    return "just now"


def _all_findings(
    checkups: Sequence[HealthReport], names: RowNames, now: datetime, width: int
) -> Iterator[str]:
    """Everything that was checked."""
    for report in checkups:
        yield line(names.of(report))
        for finding in ordered(report.findings):
            text = f"  {line(finding.what)}: {finding.status}, {line(finding.detail)}"
            when = age(finding.since, now)
            if when:
                text += f" ({when})"
            yield from wrapped(text, width, "    ")
    yield ""


class _Problem(Struct):
    """One cause and its next command, with all rows that have it."""

    status: HealthStatus
    cause: str
    next: Advice
    same: SameOptions
    since: str | None
    names: list[str]

    @property
    def key(self) -> tuple[str, str]:
        return self.cause, sentence(self.next, self.same)


def _problems(
    status: HealthStatus, checkups: Sequence[HealthReport], names: RowNames
) -> Iterable[_Problem]:
    """The problems of one status, each once."""
    problems: dict[tuple[str, str], _Problem] = {}
    for report in checkups:
        name = names.of(report)
        for finding in ordered(report.findings):
            if finding.status != status:
                continue
            cause = finding.cause or finding.detail
            problem = _Problem(status, cause, finding.next, report.same, finding.since, [])
            problem = problems.setdefault(problem.key, problem)
            if name not in problem.names:
                problem.names.append(name)
    return problems.values()


def _problem_lines(
    problem: _Problem, now: datetime, width: int, is_explained: bool
) -> Iterator[str]:
    """The rows that have it, its cause and next command; only the rows where the cause was
    explained before, with a worse status.
    """
    names = ", ".join(problem.names[:MOST_NAMES])
    if len(problem.names) > MOST_NAMES:
        names += f" and {len(problem.names) - MOST_NAMES} more"
    heading, when = f"{names}: {problem.status}", age(problem.since, now)
    if when:
        heading += f" since {when}"
    if is_explained:
        yield from wrapped(f"{line(heading)}, for the same reason", width)
    else:
        yield from wrapped(line(heading), width)
        yield from wrapped(f"  {line(problem.cause)}", width, "  ")
        yield from advice_lines(problem.next, problem.same, width, "  next: ")
    yield ""


def summary(checkups: Sequence[HealthReport], took_s: float) -> str:
    """The last line."""
    statuses = [report.status for report in checkups]
    counts = [f"{statuses.count(HealthStatus.OK)} {HealthStatus.OK}"]
    counts += [f"{statuses.count(status)} {status}" for status in BAD if status in statuses]
    text = f"{', '.join(counts)} in {took(took_s)}"
    due = sum(report.state == TargetState.DUE for report in checkups)
    if due:
        text += f"; {count(due, 'target is', 'targets are')} due"
    return f"{text}."


def document(result: Any) -> dict[str, Any]:
    """The same for programs (docs/json.md)."""
    return {
        "toolkit": 1,
        "command": "health",
        "status": result.status,
        "exit": int(result.exit),
        "environments": list(result.environments),
        "took_s": result.took_s,
        "notes": [
            *result.first,
            *(sentence(note, _anywhere(result.checkups)) for note in result.notes),
        ],
        "checkups": [_report_document(report) for report in result.checkups],
    }


def _report_document(report: HealthReport) -> dict[str, Any]:
    return {
        "name": report.name,
        "kind": report.kind,
        "environment": report.environment,
        "region": report.region,
        "status": report.status,
        "state": report.state,
        "live": None if report.live is None else live_document(report.live),
        "signs": [
            {
                "what": finding.what,
                "status": finding.status,
                "detail": finding.detail,
                "since": finding.since,
                "cause": finding.cause or None,
                "next": sentence(finding.next, report.same) or None,
            }
            for finding in ordered(report.findings)
        ],
    }


def cases(checkups: Sequence[HealthReport]) -> list[JUnitCase]:
    """The same for JUnit: a warning passes."""
    cases: list[JUnitCase] = []
    for report in checkups:
        suite = f"health {report.environment}" if report.environment else "health"
        name = f"{report.name}@{report.region}" if report.region else report.name
        message = detail(report) if report.status.is_bad else ""
        text = "\n".join(_case_lines(report))
        cases.append(JUnitCase(suite, name, VERDICTS[report.status], message=message, text=text))
    return cases


def _case_lines(report: HealthReport) -> Iterator[str]:
    for finding in report.findings:
        if finding.status.is_bad:
            cause = finding.cause or finding.detail
            next_ = sentence(finding.next, report.same) or "-"
            yield f"{finding.what}: {finding.status}: {cause}; next: {next_}"
