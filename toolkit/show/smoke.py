"""What checks found, as people and programs read it: a table, and under it each failure with what
was expected.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from toolkit.formats.words import count
from toolkit.model import Check
from toolkit.operations import CheckStatus, Result
from toolkit.show.advice import advice_lines, sentence
from toolkit.show.junit import JUnitCase, JUnitVerdict
from toolkit.show.style import Role, marked
from toolkit.show.table import room, table
from toolkit.show.text import clipped, duration, line, wrapped

WIDTH = 80
WORDS = {
    CheckStatus.PASSED: "ok",
    CheckStatus.FAILED: "FAILED",
    CheckStatus.SKIPPED: "skipped",
    CheckStatus.UNKNOWN: "unknown",
}
ROLES = {
    CheckStatus.PASSED: Role.GOOD,
    CheckStatus.FAILED: Role.BAD,
    CheckStatus.SKIPPED: Role.WARNING,
    CheckStatus.UNKNOWN: Role.WARNING,
}
VERDICTS = {
    CheckStatus.PASSED: JUnitVerdict.PASSED,
    CheckStatus.FAILED: JUnitVerdict.FAILED,
    CheckStatus.SKIPPED: JUnitVerdict.SKIPPED,
    CheckStatus.UNKNOWN: JUnitVerdict.ERROR,
}


def name(result: Result) -> str:
    """A check with the place that it was asked at, where there are several."""
    return f"{_with_row(result)} at {result.at}" if result.at else _with_row(result)


def _with_row(result: Result) -> str:
    """A check with the row of data that it was made with, if it has any."""
    return f"{result.check} (row {result.row})" if result.row else result.check


def detail(result: Result) -> str:
    """What is worth knowing of one: how often it passed, if it was made several times."""
    if result.repeats is None:
        return result.detail
    times, passed = result.repeats
    return f"{passed} of {times} passed"


def took(seconds: float) -> str:
    """`12ms`, `1.2s`, `1m5s`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 60:
        return f"{seconds:.1f}s"
    return duration(round(seconds))


def text(
    results: Sequence[Result],
    environment: str | None,
    took_s: float,
    width: int = WIDTH,
    verbose: bool = False,
) -> str:
    """The whole answer."""
    return "\n".join(_lines(results, environment, took_s, width, verbose))


def _lines(
    results: Sequence[Result], environment: str | None, took_s: float, width: int, verbose: bool
) -> Iterator[str]:
    for location in dict.fromkeys(result.at for result in results):
        if location:
            yield clipped(f"{line(location)}:", width)
        yield _table([result for result in results if result.at == location], width)
        yield ""
    for result in results:
        if result.status.is_bad:
            yield from problem(result, width)
        elif result.figures or (verbose and detail(result)):
            yield from wrapped(f"{line(name(result))}: {line(detail(result))}", width)
    yield summary(results, environment, took_s)


def _table(results: Sequence[Result], width: int) -> str:
    """What was asked at one place."""
    headers = ("check", "result", "request", "took")
    rows: list[tuple[str, str, str, str]] = []
    for result in results:
        time = ""
        if result.tries:
            time = took(result.took_s)
        word = marked(WORDS[result.status], ROLES[result.status])
        rows.append((line(_with_row(result)), word, line(result.asks), time))
    space = room(rows, headers, 2, width)
    return table(headers, [(*row[:2], clipped(row[2], space), row[3]) for row in rows])


def problem(result: Result, width: int = WIDTH) -> Iterator[str]:
    """One that did not pass: what was asked, what was expected and what came, the answer's
    beginning, and what to do.
    """
    heading = f"{line(name(result))}: {line(result.asks)}"
    if result.tries > 1:
        heading += f" ({count(result.tries, 'try', 'tries')})"
    if result.repeats:
        heading += f", {detail(result)}"
    yield from wrapped(heading, width)
    if not result.misses:
        yield from wrapped(f"  {line(result.cause)}", width, "    ")
    for miss in result.misses:
        yield f"  {line(miss.what)}"
        yield f"    expected: {line(miss.wanted)}"
        yield f"    got: {line(miss.found)}"
    if result.shown:
        yield "  response:"
        yield from (f"  | {line(text)}" for text in result.shown)
    if result.log:
        yield f"  log: {line(result.log)}"
    yield from advice_lines(result.next, result.same, width, "  next: ")
    yield ""


def summary(results: Sequence[Result], environment: str | None, took_s: float) -> str:
    """The last line."""
    statuses = [result.status for result in results]
    text = f"{statuses.count(CheckStatus.PASSED)} of {count(len(results), 'check')} passed"
    if results and all(status == CheckStatus.PASSED for status in statuses):
        text = marked(text, Role.GOOD)
    for status in (CheckStatus.FAILED, CheckStatus.UNKNOWN, CheckStatus.SKIPPED):
        if status in statuses:
            number = count(statuses.count(status), status, status)
            text += f", {marked(number, ROLES[status])}"
    if environment:
        text += f" in {environment}"
    return f"{text}, {took(took_s)}."


def document(smoke_test: Any) -> dict[str, Any]:
    """The same for programs (docs/json.md)."""
    return {
        "toolkit": 1,
        "command": "smoke-test",
        "status": smoke_test.status,
        "exit": int(smoke_test.exit),
        "environment": smoke_test.environment,
        "took_s": smoke_test.took_s,
        "checks": [_result_document(result) for result in smoke_test.results],
    }


def _result_document(result: Result) -> dict[str, Any]:
    """One result for programs."""
    return {
        "check": result.check,
        "at": result.at or None,
        "row": result.row or None,
        "status": result.status,
        "asked": result.asks,
        "cause": result.cause or None,
        "next": sentence(result.next, result.same) or None,
        "took_s": result.took_s,
        "tries": result.tries,
        "detail": detail(result) or None,
        "log": result.log or None,
        "expected": [
            {"what": miss.what, "expected": miss.wanted, "got": miss.found}
            for miss in result.misses
        ],
        "answer": list(result.shown),
        "figures": dict(result.figures) or None,
    }


def cases(results: Sequence[Result], environment: str | None) -> list[JUnitCase]:
    """The same for JUnit."""
    suite = "smoke-test"
    if environment:
        suite = f"smoke-test {environment}"
    cases: list[JUnitCase] = []
    for result in results:
        verdict = VERDICTS[result.status]
        text = ""
        if result.status.is_bad:
            text = "\n".join(problem(result))
        case = JUnitCase(suite, name(result), verdict, result.took_s, result.cause, text)
        cases.append(case)
    return cases


def listed(checks: Sequence[Check], width: int = WIDTH) -> str:
    """The checks that there are, for --list."""
    rows = [
        (line(check.name), line(", ".join(check.tags)) or "-", line(check.asks)) for check in checks
    ]
    headers = ("check", "tags", "asks")
    space = room(rows, headers, 2, width)
    return table(headers, [(*row[:2], clipped(row[2], space)) for row in rows])
