"""What checks found, as people and programs read it: a table, and under it each failure with what
was expected.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from toolkit.model import Check, Result
from toolkit.show.junit import JUnitCase
from toolkit.show.table import room, table
from toolkit.show.text import clipped, count, duration, line, wrapped

WIDTH = 80
WORDS = {"passed": "ok", "failed": "FAILED", "skipped": "skipped", "unknown": "unknown"}


def name(result: Result) -> str:
    """A check with the place that it was asked at, where there are several."""
    return f"{result.check} at {result.at}" if result.at else result.check


def took(seconds: float) -> str:
    """`12ms`, `1.2s`, `1m5s`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    return f"{seconds:.1f}s" if seconds < 60 else duration(round(seconds))


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
    for at in dict.fromkeys(one.at for one in results):
        if at:
            yield clipped(f"{line(at)}:", width)
        yield _table([one for one in results if one.at == at], width)
        yield ""
    for result in results:
        if result.status in ("failed", "unknown"):
            yield from problem(result, width)
        elif result.figures or (verbose and result.detail):
            yield from wrapped(f"{line(name(result))}: {line(result.detail)}", width)
    yield summary(results, environment, took_s)


def _table(results: Sequence[Result], width: int) -> str:
    """What was asked at one place."""
    headers = ("check", "result", "asked", "took")
    rows = [
        (line(one.check), WORDS[one.status], line(one.asks), took(one.took_s) if one.tries else "")
        for one in results
    ]
    space = room(rows, headers, 2, width)
    return table(headers, [(*row[:2], clipped(row[2], space), row[3]) for row in rows])


def problem(result: Result, width: int = WIDTH) -> Iterator[str]:
    """One that did not pass: what was asked, what was expected (-) and what came (+), the answer's
    beginning, and what to do.
    """
    tries = f" ({count(result.tries, 'try', 'tries')})" if result.tries > 1 else ""
    often = f", {result.detail}" if result.detail.endswith(" passed") else ""
    yield from wrapped(f"{line(name(result))}: {line(result.asks)}{tries}{often}", width)
    if not result.misses:
        yield from wrapped(f"  {line(result.cause)}", width, "    ")
    for miss in result.misses:
        yield f"  {line(miss.what)}"
        yield f"  - {line(miss.wanted)}"
        yield f"  + {line(miss.found)}"
    if result.shown:
        yield "  it said:"
        yield from (f"  | {line(one)}" for one in result.shown)
    if result.log:
        yield f"  log: {line(result.log)}"
    if result.next:
        yield from wrapped(f"  next: {line(result.next)}", width)
    yield ""


def summary(results: Sequence[Result], environment: str | None, took_s: float) -> str:
    """The last line."""
    good = sum(result.status == "passed" for result in results)
    others = [
        count(number, word, word)
        for word in ("failed", "unknown", "skipped")
        if (number := sum(result.status == word for result in results))
    ]
    where = f" in {environment}" if environment else ""
    passed = f"{good} of {count(len(results), 'check')} passed"
    return f"{', '.join((passed, *others))}{where}, {took(took_s)}."


def document(smoked: Any) -> dict[str, Any]:
    """The same for programs (docs/json.md)."""
    return {
        "toolkit": 1,
        "command": "smoke-test",
        "status": smoked.status,
        "exit": int(smoked.exit),
        "environment": smoked.environment,
        "took_s": smoked.took_s,
        "checks": [result(one) for one in smoked.results],
    }


def result(one: Result) -> dict[str, Any]:
    """One result for programs."""
    return {
        "check": one.check,
        "at": one.at or None,
        "status": one.status,
        "asked": one.asks,
        "cause": one.cause or None,
        "next": one.next or None,
        "took_s": one.took_s,
        "tries": one.tries,
        "detail": one.detail or None,
        "log": one.log or None,
        "expected": [
            {"what": miss.what, "expected": miss.wanted, "got": miss.found} for miss in one.misses
        ],
        "answer": list(one.shown),
        "figures": dict(one.figures) or None,
    }


def cases(results: Sequence[Result], environment: str | None) -> list[JUnitCase]:
    """The same for JUnit."""
    verdicts = {"unknown": "error"}
    return [
        JUnitCase(
            f"smoke-test {environment}" if environment else "smoke-test",
            name(one),
            verdicts.get(one.status, one.status),
            one.took_s,
            one.cause,
            "\n".join(problem(one)) if one.status in ("failed", "unknown") else "",
        )
        for one in results
    ]


def listed(checks: Sequence[Check], width: int = WIDTH) -> str:
    """The checks that there are, for --list."""
    rows = [(line(one.name), line(", ".join(one.tags)) or "-", line(one.asks)) for one in checks]
    headers = ("check", "tags", "asks")
    space = room(rows, headers, 2, width)
    return table(headers, [(*row[:2], clipped(row[2], space)) for row in rows])
