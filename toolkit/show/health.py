"""How everything is, as people and programs read it: a table with the worst first, and under it
each problem once, with its cause and the next command.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from toolkit.advice import NextCommand, SameOptions
from toolkit.formats.words import count
from toolkit.model import TargetState
from toolkit.operations import HealthLocation, HealthReport, HealthResult, HealthStatus
from toolkit.show.advice import advice_lines, sentence
from toolkit.show.health_problems import follows, lead, problem_lines
from toolkit.show.health_rows import (
    BAD,
    WIDTH,
    HealthView,
    RowNames,
    age,
    by_status,
    cause_of,
    deploy_line,
    deployed_by,
    earliest,
    live_name,
    ordered,
    row_key,
)
from toolkit.show.junit import JUnitCase, JUnitVerdict
from toolkit.show.run import live_document
from toolkit.show.smoke import took
from toolkit.show.style import Role, marked
from toolkit.show.table import room, table
from toolkit.show.text import line, shortened, wrapped

ROLES = {
    HealthStatus.OK: Role.GOOD,
    HealthStatus.WARNING: Role.WARNING,
    HealthStatus.UNKNOWN: Role.WARNING,
    HealthStatus.FAILING: Role.BAD,
}
WIDE = 100
"""From which width on the table says who deployed what."""
VERDICTS = {
    HealthStatus.OK: JUnitVerdict.PASSED,
    HealthStatus.WARNING: JUnitVerdict.PASSED,
    HealthStatus.FAILING: JUnitVerdict.FAILED,
    HealthStatus.UNKNOWN: JUnitVerdict.ERROR,
}


def text(result: HealthResult, view: HealthView) -> str:
    """The whole answer."""
    checkups = by_status(result.checkups)
    names = RowNames(checkups)
    header = location_lines(result.locations, view.width)
    listed = [report for report in checkups if _is_listed(report, view)]
    rows = _table_lines(listed, names, view) if listed else []
    more = list(_all_findings(checkups, names, view)) if view.verbose else []
    more += problem_lines(checkups, names, view)
    for note in result.notes:
        more += advice_lines(note, _anywhere(checkups), view.width, "note: ")
    last = [*wrapped(summary(checkups, result.took_s), view.width), *_due_lines(checkups, view)]
    if view.height is not None:
        return "\n".join(_fitted([*header, ""], rows, more, last, view))
    return "\n".join([*header, "", *rows, *([""] if rows else []), *more, *last])


def location_lines(locations: Sequence[HealthLocation], width: int = WIDTH) -> list[str]:
    """Where it was checked, and with whose credentials: a line for each environment."""
    by_environment: dict[str | None, list[HealthLocation]] = {}
    for location in locations:
        by_environment.setdefault(location.environment, []).append(location)
    lines: list[str] = []
    for environment, members in by_environment.items():
        lines += wrapped(line(_location_line(environment, members)), width)
    return lines


def _location_line(environment: str | None, locations: Sequence[HealthLocation]) -> str:
    """`dev (account 111111111111, eu-west-1) as ada`."""
    first = locations[0]
    account = first.account or first.caller_account
    parts = [f"account {account}"] if account else []
    parts += dict.fromkeys(location.region for location in locations if location.region)
    text = f"{environment} ({', '.join(parts)})" if environment and parts else ", ".join(parts)
    text = text or environment or "no environment"
    callers = dict.fromkeys(_caller(location) for location in locations if location.caller)
    if callers:
        return f"{text} as {', '.join(callers)}"
    return f"{text}, profile {first.profile}" if first.profile else text


def _caller(location: HealthLocation) -> str:
    if location.account in (None, location.caller_account):
        return location.caller
    return f"{location.caller} of account {location.caller_account}"


def _is_listed(report: HealthReport, view: HealthView) -> bool:
    """Whether it has a row. What is healthy is only counted, unless somebody wants to see it."""
    return (
        view.verbose
        or view.named
        or report.status != HealthStatus.OK
        or row_key(report) in view.changes
    )


def _table_lines(checkups: Sequence[HealthReport], names: RowNames, view: HealthView) -> list[str]:
    headers = ["target", "status", "live", "since", "detail"]
    rows: list[list[str]] = []
    for report in checkups:
        since = age(_since(report), view.now)
        row = [line(names.of(report)), _status(report, view), live_name(report), since, ""]
        if view.width >= WIDE:
            row.insert(3, line(deployed_by(report, view.now)))
        rows.append(row)
    if view.width >= WIDE:
        headers.insert(3, "deployed")
    column = len(headers) - 1
    space = room(rows, headers, column, view.width)
    for row, report in zip(rows, checkups, strict=True):
        text, more = detail(report)
        row[column] = shortened(line(text), space - len(more)) + more
    return table(headers, rows).splitlines()


def _status(report: HealthReport, view: HealthView) -> str:
    """`failing`; `failing (was ok)` where that has changed."""
    status, was = marked(report.status, ROLES[report.status]), view.changes.get(row_key(report))
    return status if was is None else f"{status} (was {was})"


def _fitted(
    header: Sequence[str],
    rows: Sequence[str],
    more: Sequence[str],
    last: Sequence[str],
    view: HealthView,
) -> list[str]:
    """All of it in so many lines, none of them wider than the screen: the last lines always stand
    there, then the worst rows, then what explains them.
    """
    height = view.height or 0
    last = [text[: view.width] for text in last][-max(height - 2, 1) :]
    space = height - len(last)
    first = [text[: view.width] for text in header][: max(space - 4, 0)]
    space -= len(first)
    if rows:
        rows = _cut(rows, space - 1, "rows")
        space -= len(rows) + 1
        rows = [*rows, ""]
    explained = _cut(_for_screen(more, view.width), space, "lines; without --watch all are shown")
    return [*first, *rows, *explained, *last]


def _cut(lines: Sequence[str], most: int, what: str) -> list[str]:
    """The first lines, and how many more there are."""
    if len(lines) <= most:
        return list(lines)
    if most <= 0:
        return []
    shown = list(lines[: most - 1])
    return [*shown, f"... and {len(lines) - len(shown)} more {what}"]


def _for_screen(lines: Sequence[str], width: int) -> list[str]:
    """Without what is cut at the edge of a screen that is redrawn: half a command must not be
    pasted.
    """
    return [text if len(text) <= width else f"{text[: width - 4]} ..." for text in lines]


def _due_lines(checkups: Sequence[HealthReport], view: HealthView) -> list[str]:
    due = next((report for report in checkups if report.state == TargetState.DUE), None)
    if due is None:
        return []
    see = ("See what is due:", NextCommand("diff", ("live",)))
    return advice_lines(see, due.same, view.width, "")


def names_text(result: HealthResult, view: HealthView) -> str:
    """What is not well by name, the worst first, and the last line: the whole answer of -q."""
    checkups = by_status(result.checkups)
    names = RowNames(checkups)
    lines = [
        f"{line(names.of(report))}: {report.status}"
        for report in checkups
        if report.status != HealthStatus.OK
    ]
    last = summary(checkups, result.took_s)
    if view.height is not None:
        lines = [text[: view.width] for text in _cut(lines, view.height - 1, "names")]
        last = last[: view.width]
    return "\n".join([*lines, last])


def _anywhere(checkups: Sequence[HealthReport]) -> SameOptions:
    """What commands repeat that are about no report or name their environment themselves."""
    return SameOptions(rules=next((report.same.rules for report in checkups), None))


def detail(report: HealthReport) -> tuple[str, str]:
    """The most important words on it: the cause of what is wrong, else the first things that were
    checked; and how many more causes there are, as ` (+1)`.
    """
    findings = [finding for finding in ordered(report.findings) if finding.status == report.status]
    if report.status == HealthStatus.OK:
        details = dict.fromkeys(finding.detail for finding in findings if finding.detail)
        return ", ".join(list(details)[:2]), ""
    leading = lead(report)
    causes: dict[str, None] = {}
    for finding in findings:
        if cause_of(finding) and (leading is None or not follows(finding, leading)):
            causes[cause_of(finding)] = None
    if not causes:
        return "nothing was checked", ""
    return next(iter(causes)), f" (+{len(causes) - 1})" if len(causes) > 1 else ""


def _since(report: HealthReport) -> str | None:
    """Since when it is as it is: of what is wrong, as far as that is known; else of what is
    live.
    """
    if report.status == HealthStatus.OK:
        return report.live.since if report.live is not None else None
    return earliest(finding.since for finding in report.findings if finding.status == report.status)


def _all_findings(
    checkups: Sequence[HealthReport], names: RowNames, view: HealthView
) -> Iterator[str]:
    """Everything that was checked."""
    for report in checkups:
        yield line(names.of(report))
        for finding in ordered(report.findings):
            text = f"  {line(finding.what)}: {finding.status}, {line(finding.detail)}"
            when = age(finding.since, view.now)
            if when:
                text += f" ({when})"
            yield from wrapped(text, view.width, "    ")
        if report.deployed is not None:
            yield from wrapped(f"  {deploy_line(report, view.now)}", view.width, "    ")
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


def document(result: HealthResult) -> dict[str, Any]:
    """The same for programs (docs/json.md)."""
    return {
        "toolkit": 1,
        "command": "health",
        "status": result.status,
        "exit": int(result.exit),
        "environments": list(result.environments),
        "locations": [_location_document(location) for location in result.locations],
        "took_s": result.took_s,
        "notes": [
            *result.first,
            *(sentence(note, _anywhere(result.checkups)) for note in result.notes),
        ],
        "checkups": [_report_document(report) for report in result.checkups],
    }


def _location_document(location: HealthLocation) -> dict[str, Any]:
    return {
        "environment": location.environment,
        "account": location.account,
        "region": location.region,
        "caller": location.caller or None,
        "caller_account": location.caller_account or None,
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
        "deployed": _deployed_document(report),
        "signs": [
            {
                "what": finding.what,
                "status": finding.status,
                "detail": finding.detail,
                "since": finding.since,
                "cause": finding.cause or None,
                "next": sentence(finding.next, report.same) or None,
                "log": list(finding.log),
            }
            for finding in ordered(report.findings)
        ],
    }


def _deployed_document(report: HealthReport) -> dict[str, Any] | None:
    deployed = report.deployed
    if deployed is None:
        return None
    return {"who": deployed.who or None, "when": deployed.when or None, "run": deployed.run or None}


def cases(checkups: Sequence[HealthReport]) -> list[JUnitCase]:
    """The same for JUnit: a warning passes."""
    cases: list[JUnitCase] = []
    for report in checkups:
        suite = "health"
        if report.environment:
            suite = f"health {report.environment}"
        name = f"{report.name}@{report.region}" if report.region else report.name
        message = ""
        if report.status.is_bad:
            message = detail(report)[0]
        text = "\n".join(_case_lines(report))
        cases.append(JUnitCase(suite, name, VERDICTS[report.status], message=message, text=text))
    return cases


def _case_lines(report: HealthReport) -> Iterator[str]:
    for finding in report.findings:
        if finding.status.is_bad:
            cause = finding.cause or finding.detail
            next_ = sentence(finding.next, report.same) or "-"
            yield f"{finding.what}: {finding.status}: {cause}; next: {next_}"
