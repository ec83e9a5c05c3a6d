"""What happened, as people and programs read it: runs, their steps, and locks."""

from collections.abc import Sequence
from typing import Any

from toolkit.show.run import WORDS
from toolkit.show.table import room, table
from toolkit.show.text import clipped, line, quote, with_command, wrapped

WIDTH = 80


def runs(found: Sequence[Any], width: int = WIDTH, here: str = "") -> str:
    """The runs, newest first: one row each. Those of other machines than `here` are marked with
    theirs.
    """
    if not found:
        return "No run is recorded here yet."
    headers = ("run", "status", "environment", "by", "steps")
    rows = [
        (line(one.run), one.status, line(one.environment or "-"), line(_by(one, here)), _steps(one))
        for one in found
    ]
    space = room(rows, headers, 4, width)
    return table(headers, [(*row[:4], clipped(row[4], space)) for row in rows])


def _by(one: Any, here: str) -> str:
    """Who made a run, and where if that is another machine."""
    return (
        f"{one.user or '-'}@{one.host}"
        if one.host and here and one.host != here
        else one.user or "-"
    )


def _steps(one: Any) -> str:
    return ", ".join(line(step) for step, _, _ in one.steps) or "-"


def run(one: Any, lines: Sequence[tuple[str, str, str]], here: str = "") -> str:
    """One run: what was asked, when, by whom (and where, if that is not `here`), and each step's
    end. `lines` are step, verdict and cause.
    """
    said = [
        f"run         {line(one.run)}",
        f"status      {one.status}" + (f" (exit {one.exit})" if one.exit is not None else ""),
        f"command     {line(one.command)}",
        f"environment {line(one.environment or '-')}",
        f"commit      {line(one.commit or '-')}",
        f"by          {line(_by(one, here))}",
        f"started     {line(one.started)}",
        f"ended       {line(one.ended or '-')}",
    ]
    if lines:
        said += [
            "",
            table(
                ("step", "verdict", "cause"),
                [
                    (line(step), WORDS.get(word, word) or "open", line(cause))
                    for step, word, cause in lines
                ],
            ),
        ]
    return "\n".join(said)


def runs_document(found: Sequence[Any]) -> dict[str, Any]:
    """The runs for programs."""
    return {
        "toolkit": 1,
        "command": "history",
        "status": "ok",
        "exit": 0,
        "runs": [summary(one) for one in found],
    }


def summary(one: Any) -> dict[str, Any]:
    """One run for programs."""
    return {
        "run": one.run,
        "status": one.status,
        "exit": one.exit,
        "command": one.command,
        "environment": one.environment,
        "commit": one.commit,
        "user": one.user,
        "host": one.host or None,
        "started": one.started,
        "ended": one.ended,
        "steps": [
            {"step": step, "target": target, "verdict": verdict}
            for step, target, verdict in one.steps
        ],
    }


def locks(found: Sequence[tuple[str, Any, str]], width: int = WIDTH) -> str:
    """The locks that are held: name, holder, and whether on this machine or in the bucket."""
    if not found:
        return "Nothing is locked."
    said: list[str] = []
    for name, by, where in found:
        since = f" since {line(by.since)}" if by.since else ""
        said += wrapped(f"{quote(name)}: {line(by.who)}@{line(by.host)}{since} ({where})", width)
        said += wrapped(f"  run {line(by.run)}, id {line(by.id)}", width)
        said += [
            part
            for words in (by.command, by.problem)
            if words
            for part in with_command(f"  {line(words)}", width, "    ")
        ]
    return "\n".join(said)


def locks_document(found: Sequence[tuple[str, Any, str]]) -> dict[str, Any]:
    """The locks for programs."""
    held = [
        {
            "name": name,
            "where": where,
            "user": by.who,
            "host": by.host,
            "pid": by.pid,
            "run": by.run,
            "since": by.since,
            "id": by.id,
            "command": by.command,
            "problem": by.problem or None,
        }
        for name, by, where in found
    ]
    return {"toolkit": 1, "command": "lock show", "status": "ok", "exit": 0, "locks": held}


def run_document(one: Any, steps: Sequence[tuple[str, str, str]]) -> dict[str, Any]:
    """One run for programs."""
    causes = {step: cause for step, _, cause in steps}
    found = summary(one)
    found["steps"] = [
        {**step, "cause": causes.get(step["step"]) or None} for step in found["steps"]
    ]
    return {"toolkit": 1, "command": "show", "status": "ok", "exit": 0, "run": found}


def good(record: Any, live: bool, gone: bool | None = None) -> str:
    """One good deploy in a line of a list to choose from."""
    marks = ("  (live)" if live else "") + ("  (image gone)" if gone else "")
    return (
        f"{_version(record)}  {line(record.when[:16].replace('T', ' '))}  run"
        f" {line(record.run)}{marks}"
    )


def good_table(records: Sequence[Any], gone: Sequence[bool | None]) -> str:
    """The good deploys of a target, newest first; those that cannot be put back any more are
    marked.
    """
    if not records:
        return "No good deploy is recorded."
    words = {True: "gone", False: "", None: "could not be checked"}
    rows = [
        (_version(one), line(one.when[:16].replace("T", " ")), line(one.run), words[away])
        for one, away in zip(records, gone, strict=True)
    ]
    if not any(row[3] for row in rows):
        return table(("version", "when", "run"), [row[:3] for row in rows])
    return table(("version", "when", "run", "image"), rows)


def goods(records: Sequence[Any], gone: Sequence[bool | None]) -> list[dict[str, Any]]:
    """The good deploys for programs."""
    return [
        {
            "version": one.version,
            "commit": one.commit,
            "when": one.when,
            "run": one.run,
            "detail": dict(one.detail),
            "gone": away,
        }
        for one, away in zip(records, gone, strict=True)
    ]


def _version(record: Any) -> str:
    short = (
        record.version.replace(record.commit, record.commit[:12])
        if record.commit
        else record.version
    )
    return line(short)
