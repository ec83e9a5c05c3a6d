"""How everything is, as people and programs read it: a table, and under it each problem once, with
its cause and the next command.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from toolkit.model import Finding, HealthReport
from toolkit.show.junit import JUnitCase
from toolkit.show.run import live
from toolkit.show.smoke import took
from toolkit.show.table import room, table
from toolkit.show.text import clipped, count, line, shortened, wrapped

WIDTH = 80
GOOD = "ok"
BAD = ("failing", "unknown", "warning")
"""What has to be told, the worst first."""
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
    notes: Sequence[str],
    took_s: float,
    now: datetime,
    width: int = WIDTH,
    verbose: bool = False,
) -> str:
    """The whole answer."""
    return "\n".join(_lines(checkups, notes, took_s, now, width, verbose))


def _lines(
    checkups: Sequence[HealthReport],
    notes: Sequence[str],
    took_s: float,
    now: datetime,
    width: int,
    verbose: bool,
) -> Iterator[str]:
    names = RowNames(checkups)
    headers = ("target", "status", "live", "since", "detail")
    rows = [
        (line(names.of(one)), one.status, _live(one), age(_since(one), now), line(detail(one)))
        for one in sorted(checkups, key=lambda one: one.kind == "credentials")
    ]
    space = room(rows, headers, 4, width)
    yield table(headers, [(*row[:4], shortened(row[4], space)) for row in rows])
    yield ""
    if verbose:
        yield from _signs(checkups, names, now, width)
    told = set[tuple[str, str]]()
    for word in BAD:
        yield from _problems(word, checkups, names, now, width, told)
    yield from (part for note in notes for part in wrapped(f"note: {line(note)}", width))
    yield from wrapped(summary(checkups, took_s), width)


class RowNames:
    """What to call the rows: with environment and region only where there are several."""

    def __init__(self, checkups: Sequence[HealthReport]) -> None:
        self._environments = len({one.environment for one in checkups}) > 1
        self._regions = len({one.region for one in checkups}) > 1

    def of(self, one: HealthReport) -> str:
        """`prod app@eu-west-1`."""
        name = (
            f"{one.environment} {one.name}" if self._environments and one.environment else one.name
        )
        return f"{name}@{one.region}" if self._regions and one.region else name


def detail(one: HealthReport) -> str:
    """The most important words on it: of what is wrong, else of the first things that were looked
    at.
    """
    worst = [sign for sign in ordered(one.signs) if sign.status == one.status and sign.detail]
    if one.status != "ok":
        more = f" (+{len(worst) - 1})" if len(worst) > 1 else ""
        return (worst[0].detail if worst else "nothing was seen") + more
    return ", ".join(list(dict.fromkeys(sign.detail for sign in worst))[:2])


def ordered(signs: Sequence[Finding]) -> list[Finding]:
    """The thing itself first, then what it stands on; addresses last. They come in as they are
    answered.
    """
    last = len(ORDER)
    return sorted(
        signs, key=lambda sign: (ORDER.index(sign.what) if sign.what in ORDER else last, sign.what)
    )


def _live(one: HealthReport) -> str:
    """`3e8a51c`, with `due` where HEAD is another; `-` where nothing is known to run."""
    if one.live is None:
        return "-"
    version = one.live.version or "?"
    short = (
        version[:7]
        if one.live.commit and version.startswith(one.live.commit)
        else clipped(version, 10)
    )
    commit = one.live.commit
    more = commit and version != commit and version.startswith(commit)
    dirty = "+" if more and not version.startswith(f"{commit}-generated-") else ""
    return line(f"{short}{dirty}{' due' if one.state == 'due' else ''}")


def _since(one: HealthReport) -> str | None:
    signs = [sign.since for sign in ordered(one.signs) if sign.status == one.status and sign.since]
    return (
        signs[0]
        if signs and one.status != "ok"
        else (one.live.since if one.live else next(iter(signs), None))
    )


def age(since: str | None, now: datetime) -> str:
    """`3d ago`, empty if nobody knows."""
    try:
        seconds = (now - datetime.fromisoformat(since)).total_seconds() if since else None
    except (ValueError, TypeError):
        return ""
    if seconds is None:
        return ""
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit} ago"
    return "just now"


def _signs(
    checkups: Sequence[HealthReport], names: RowNames, now: datetime, width: int
) -> Iterator[str]:
    """Everything that was looked at."""
    for one in checkups:
        yield line(names.of(one))
        for sign in ordered(one.signs):
            when = age(sign.since, now)
            yield from wrapped(
                f"  {line(sign.what)}: {sign.status},"
                f" {line(sign.detail)}{f' ({when})' if when else ''}",
                width,
                "    ",
            )
    yield ""


def _problems(
    word: str,
    checkups: Sequence[HealthReport],
    names: RowNames,
    now: datetime,
    width: int,
    told: set[tuple[str, str]],
) -> Iterator[str]:
    """Each problem once, with all that have it; of one that was `told` with a worse word, only who
    else has it.
    """
    whose: dict[tuple[str, str], list[tuple[str, Finding]]] = {}
    for one in checkups:
        for sign in ordered(one.signs):
            if sign.status == word:
                whose.setdefault((sign.cause or sign.detail, sign.next), []).append(
                    (names.of(one), sign)
                )
    for (cause, next_), found in whose.items():
        said = list(dict.fromkeys(name for name, _ in found))
        more = f" and {len(said) - MOST_NAMES} more" if len(said) > MOST_NAMES else ""
        when = age(found[0][1].since, now)
        heading = f"{', '.join(said[:MOST_NAMES])}{more}: {word}{f' since {when}' if when else ''}"
        if (cause, next_) in told:
            yield from wrapped(f"{line(heading)}, for the same reason", width)
            yield ""
            continue
        told.add((cause, next_))
        yield from wrapped(line(heading), width)
        yield from wrapped(f"  {line(cause)}", width, "  ")
        if next_:
            yield from wrapped(f"  next: {line(next_)}", width, "    ")
        yield ""


def summary(checkups: Sequence[HealthReport], took_s: float) -> str:
    """The last line."""
    words = [one.status for one in checkups]
    others = [
        f"{words.count(word)} {word}" for word in ("failing", "unknown", "warning") if word in words
    ]
    due = sum(one.state == "due" for one in checkups)
    behind = (
        f"; {count(due, 'target is', 'targets are')} due, see `toolkit diff live`" if due else ""
    )
    return f"{', '.join((f'{words.count(GOOD)} {GOOD}', *others))} in {took(took_s)}{behind}."


def document(looked: Any) -> dict[str, Any]:
    """The same for programs (docs/json.md)."""
    return {
        "toolkit": 1,
        "command": "health",
        "status": looked.status,
        "exit": int(looked.exit),
        "environments": list(looked.environments),
        "took_s": looked.took_s,
        "notes": [*looked.first, *looked.notes],
        "checkups": [_checkup(one) for one in looked.checkups],
    }


def _checkup(one: HealthReport) -> dict[str, Any]:
    return {
        "name": one.name,
        "kind": one.kind,
        "environment": one.environment,
        "region": one.region,
        "status": one.status,
        "state": one.state or None,
        "live": None if one.live is None else live(one.live),
        "signs": [
            {
                "what": sign.what,
                "status": sign.status,
                "detail": sign.detail,
                "since": sign.since,
                "cause": sign.cause or None,
                "next": sign.next or None,
            }
            for sign in ordered(one.signs)
        ],
    }


def cases(checkups: Sequence[HealthReport]) -> list[JUnitCase]:
    """The same for JUnit: a warning passes."""
    verdicts = {"ok": "passed", "warning": "passed", "failing": "failed", "unknown": "error"}
    return [
        JUnitCase(
            f"health {one.environment}" if one.environment else "health",
            f"{one.name}@{one.region}" if one.region else one.name,
            verdicts[one.status],
            message=detail(one) if one.status in ("failing", "unknown") else "",
            text="\n".join(
                f"{sign.what}: {sign.status}: {sign.cause or sign.detail}; next: {sign.next or '-'}"
                for sign in one.signs
                if sign.status in ("failing", "unknown")
            ),
        )
        for one in checkups
    ]
