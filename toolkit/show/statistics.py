"""How long runs took and how many went well, as people and programs read it."""

from collections.abc import Sequence
from typing import Any

from toolkit.formats.words import count
from toolkit.show.table import table
from toolkit.show.text import duration, line

HEADERS = ("what", "ended", "success", "median", "p90", "was success", "was median", "was p90")


def text(
    rows: Sequence[Any], days: int, unreadable: int = 0, sources: Sequence[str] = ("this machine",)
) -> str:
    """A row for all runs and one for each step and phase, beside what it was in as many days
    before. `sources` are whose journals these are.
    """
    whose = " and ".join(map(line, sources))
    lines = [f"The last {days} days, and as many days before, by the journals of {whose}:", ""]
    cells = [_cells(row) for row in rows]
    lines.append(table(HEADERS, cells, range(1, len(HEADERS))))
    unknown = sum(row.now.unknown for row in rows[:1])
    if unknown:
        lines += ["", f"{count(unknown, 'run')} with no known end: counted neither way."]
    if unreadable:
        lines += ["", f"{count(unreadable, 'journal')} could not be read: not counted."]
    return "\n".join(lines)


def _cells(row: Any) -> tuple[str, ...]:
    now, before = row.now, row.before
    return (
        line(row.name),
        str(now.good + now.bad),
        _share(now.success),
        _time(now.median_s),
        _time(now.p90_s),
        _share(before.success),
        _time(before.median_s),
        _time(before.p90_s),
    )


def _share(share: float | None) -> str:
    """A share in per cent, never rounded up to all of them."""
    if share is None:
        return "-"
    return f"{int(share * 100)} %"


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else duration(round(seconds))


def document(
    rows: Sequence[Any],
    days: int,
    unreadable: int,
    sources: Sequence[str],
    problems: Sequence[str] = (),
) -> dict[str, Any]:
    """The same for programs. `problems` say which journals are missing."""
    return {
        "toolkit": 1,
        "command": "history",
        "status": "ok",
        "exit": 0,
        "days": days,
        "unreadable": unreadable,
        "sources": list(sources),
        "problems": list(problems),
        "statistics": [
            {"name": row.name, "now": _period(row.now), "before": _period(row.before)}
            for row in rows
        ],
    }


def _period(period: Any) -> dict[str, Any]:
    return {
        "good": period.good,
        "bad": period.bad,
        "unknown": period.unknown,
        "success": period.success,
        "median_s": period.median_s,
        "p90_s": period.p90_s,
    }
