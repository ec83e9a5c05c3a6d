"""What happened, as people and programs read it: runs, their steps, and locks."""

from collections.abc import Sequence
from typing import Any

from toolkit.show.run import WORDS
from toolkit.show.table import room, table
from toolkit.show.text import clipped, line, quote, wrapped

WIDTH = 80


def runs(summaries: Sequence[Any], width: int = WIDTH, this_host: str = "") -> str:
    """The runs, newest first: one row each. Those of other machines than `this_host` are marked
    with theirs.
    """
    if not summaries:
        return "No runs are recorded here yet."
    headers = ("run", "status", "environment", "by", "steps")
    rows: list[tuple[str, str, str, str, str]] = []
    for summary in summaries:
        environment, author = _environments(summary), line(_author(summary, this_host))
        steps = ", ".join(line(step) for step, _, _ in summary.steps) or "-"
        rows.append((line(summary.run), summary.status, environment, author, steps))
    space = room(rows, headers, 4, width)
    return table(headers, [(*row[:4], clipped(row[4], space)) for row in rows])


def _environments(summary: Any) -> str:
    return line(", ".join(summary.environments) or "-")


def _author(summary: Any, this_host: str) -> str:
    """Who made a run, and where if that is another machine."""
    user = summary.user or "-"
    if summary.host and this_host and summary.host != this_host:
        return f"{user}@{summary.host}"
    return str(user)


def run(summary: Any, steps: Sequence[tuple[str, str, str]], this_host: str = "") -> str:
    """One run: what was asked, when, by whom (and where, if that is not `this_host`), and each
    step's end. `steps` are step, verdict and cause.
    """
    status = summary.status
    if summary.exit is not None:
        status += f" (exit {summary.exit})"
    lines = [
        f"run         {line(summary.run)}",
        f"status      {status}",
        f"command     {line(summary.command)}",
        f"environment {_environments(summary)}",
        f"commit      {line(summary.commit or '-')}",
        f"by          {line(_author(summary, this_host))}",
        f"started     {line(summary.started)}",
        f"ended       {line(summary.ended or '-')}",
    ]
    if steps:
        rows = [
            (line(step), WORDS.get(verdict, verdict) or "open", line(cause))
            for step, verdict, cause in steps
        ]
        lines += ["", table(("step", "verdict", "cause"), rows)]
    return "\n".join(lines)


def runs_document(summaries: Sequence[Any]) -> dict[str, Any]:
    """The runs for programs."""
    return {
        "toolkit": 1,
        "command": "history",
        "status": "ok",
        "exit": 0,
        "runs": [_summary_document(summary) for summary in summaries],
    }


def _summary_document(summary: Any) -> dict[str, Any]:
    """One run for programs."""
    return {
        "run": summary.run,
        "status": summary.status,
        "exit": summary.exit,
        "command": summary.command,
        "environment": summary.environment,
        "environments": list(summary.environments),
        "commit": summary.commit,
        "user": summary.user,
        "host": summary.host or None,
        "started": summary.started,
        "ended": summary.ended,
        "steps": [
            {"step": step, "target": target, "verdict": verdict}
            for step, target, verdict in summary.steps
        ],
    }


def locks(held: Sequence[tuple[str, Any, str]], width: int = WIDTH) -> str:
    """The locks that are held: name, holder, and whether on this machine or in the bucket."""
    if not held:
        return "Nothing is locked."
    lines: list[str] = []
    for name, holder, where in held:
        text = f"{quote(name)}: {line(holder.who)}@{line(holder.host)}"
        if holder.since:
            text += f" since {line(holder.since)}"
        lines += wrapped(f"{text} ({where})", width)
        lines += wrapped(f"  run {line(holder.run)}, id {line(holder.id)}", width)
        for detail in (holder.command, holder.problem):
            if detail:
                lines += wrapped(f"  {line(detail)}", width, "    ")
    return "\n".join(lines)


def locks_document(held: Sequence[tuple[str, Any, str]]) -> dict[str, Any]:
    """The locks for programs."""
    locks = [
        {
            "name": name,
            "where": where,
            "user": holder.who,
            "host": holder.host,
            "pid": holder.pid,
            "run": holder.run,
            "since": holder.since,
            "id": holder.id,
            "command": holder.command,
            "problem": holder.problem or None,
        }
        for name, holder, where in held
    ]
    return {"toolkit": 1, "command": "lock show", "status": "ok", "exit": 0, "locks": locks}


def run_document(summary: Any, steps: Sequence[tuple[str, str, str]]) -> dict[str, Any]:
    """One run for programs. `steps` are step, verdict and cause."""
    causes = {step: cause for step, _, cause in steps}
    document = _summary_document(summary)
    for step in document["steps"]:
        step["cause"] = causes.get(step["step"]) or None
    return {"toolkit": 1, "command": "show", "status": "ok", "exit": 0, "run": document}


def deploy_label(record: Any, live: bool, gone: bool | None = None) -> str:
    """One good deploy in a line of a list to choose from."""
    label = f"{_version(record)}  {_minute(record)}  run {line(record.run)}"
    if live:
        label += "  (live)"
    if gone:
        label += "  (image gone)"
    return label


def deploys(records: Sequence[Any], gone: Sequence[bool | None]) -> str:
    """The good deploys of a target, newest first; those that cannot be put back any more are
    marked.
    """
    if not records:
        return "No good deploy is recorded."
    words = {True: "gone", False: "", None: "could not be checked"}
    rows = [
        (_version(record), _minute(record), line(record.run), words[is_gone])
        for record, is_gone in zip(records, gone, strict=True)
    ]
    if not any(row[3] for row in rows):
        return table(("version", "when", "run"), [row[:3] for row in rows])
    return table(("version", "when", "run", "image"), rows)


def deploys_document(records: Sequence[Any], gone: Sequence[bool | None]) -> list[dict[str, Any]]:
    """The good deploys for programs."""
    return [
        {
            "version": record.version,
            "commit": record.commit,
            "when": record.when,
            "run": record.run,
            "detail": dict(record.detail),
            "gone": is_gone,
        }
        for record, is_gone in zip(records, gone, strict=True)
    ]


def _minute(record: Any) -> str:
    return line(record.when[:16].replace("T", " "))


def _version(record: Any) -> str:
    version = record.version
    if record.commit:
        version = version.replace(record.commit, record.commit[:12])
    return line(version)
