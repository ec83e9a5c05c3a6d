"""What happened, as people and programs read it: runs, their steps, and locks."""

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.operations import RunStatus, Usage
from toolkit.show import usage
from toolkit.show.run import verdict_word
from toolkit.show.style import Role, marked
from toolkit.show.table import room, table
from toolkit.show.text import clipped, line, quote, shortened, wrapped

WIDTH = 80
STEPS_MOST = 16
"""How wide the steps are in a table that has messages."""
ROLES = {
    RunStatus.SUCCEEDED: Role.GOOD,
    RunStatus.UNCHANGED: Role.GOOD,
    RunStatus.RUNNING: Role.WARNING,
    RunStatus.CANCELLED: Role.WARNING,
    RunStatus.INTERRUPTED: Role.BAD,
    RunStatus.IN_DOUBT: Role.BAD,
    RunStatus.PARTIAL: Role.BAD,
    RunStatus.FAILED: Role.BAD,
    RunStatus.DAMAGED: Role.BAD,
}


def runs(summaries: Sequence[Any], width: int = WIDTH, this_host: str = "") -> str:
    """The runs, newest first: one row each. Those of other machines than `this_host` are marked
    with theirs.
    """
    if not summaries:
        return "No runs are recorded here yet."
    headers = ("run", "status", "environment", "by", "steps")
    rows: list[tuple[str, ...]] = []
    for summary in summaries:
        environment, author = _environments(summary), line(_author(summary, this_host))
        steps = ", ".join(line(step) for step, _, _ in summary.steps) or "-"
        rows.append((line(summary.run), _status(summary), environment, author, steps))
    messages = [line(summary.message) for summary in summaries]
    if any(messages):
        return _with_messages(headers, rows, messages, width)
    space = room(rows, headers, 4, width)
    return table(headers, [(*row[:4], clipped(row[4], space)) for row in rows])


def _with_messages(
    headers: Sequence[str], rows: Sequence[tuple[str, ...]], messages: Sequence[str], width: int
) -> str:
    """The table with one more column: why. The steps give way to it."""
    rows = [(*row[:4], clipped(row[4], STEPS_MOST)) for row in rows]
    rows = [(*row, message) for row, message in zip(rows, messages, strict=True)]
    headers = (*headers, "message")
    space = room(rows, headers, 5, width)
    return table(headers, [(*row[:5], shortened(row[5], space)) for row in rows])


def _status(summary: Any) -> str:
    return marked(summary.status, ROLES.get(summary.status))


def _environments(summary: Any) -> str:
    return line(", ".join(summary.environments) or "-")


def _author(summary: Any, this_host: str) -> str:
    """Who made a run, and where if that is another machine."""
    user = summary.user or "-"
    if summary.host and this_host and summary.host != this_host:
        return f"{user}@{summary.host}"
    return str(user)


def run(
    summary: Any,
    steps: Sequence[tuple[str, str, str]],
    this_host: str = "",
    step_usage: Mapping[str, Usage] | None = None,
    whole: Usage | None = None,
    width: int = WIDTH,
) -> str:
    """One run: what was asked, when, by whom (and where, if that is not `this_host`), each step's
    end, and what they and the `whole` run have taken on that machine. `steps` are step, verdict and
    cause.
    """
    status = _status(summary)
    if summary.exit is not None:
        status += f" (exit {summary.exit})"
    message: list[str] = []
    if summary.message:
        message.append(f"message     {line(summary.message)}")
    lines = [
        f"run         {line(summary.run)}",
        f"status      {status}",
        f"command     {line(summary.command)}",
        f"environment {_environments(summary)}",
        f"commit      {line(summary.commit or '-')}",
        f"by          {line(_author(summary, this_host))}",
        *message,
        f"started     {line(summary.started)}",
        f"ended       {line(summary.ended or '-')}",
    ]
    if steps:
        rows = [
            (line(step), verdict_word(verdict) or marked("open", Role.WARNING), line(cause))
            for step, verdict, cause in steps
        ]
        lines += ["", table(("step", "verdict", "cause"), rows)]
    taken = usage.lines(step_usage or {}, whole, width)
    if taken:
        lines += ["", *taken]
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
        "message": summary.message or None,
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


def run_document(
    summary: Any,
    steps: Sequence[tuple[str, str, str]],
    step_usage: Mapping[str, Usage],
    whole: Usage | None,
) -> dict[str, Any]:
    """One run for programs. `steps` are step, verdict and cause."""
    causes = {step: cause for step, _, cause in steps}
    document = _summary_document(summary)
    document["usage"] = usage.document(whole)
    for step in document["steps"]:
        step["cause"] = causes.get(step["step"]) or None
        step["usage"] = usage.document(step_usage.get(step["step"]))
    return {"toolkit": 1, "command": "show", "status": "ok", "exit": 0, "run": document}


def deploy_labels(
    records: Sequence[Any],
    live: Sequence[Sequence[str]],
    gone: Sequence[bool | None],
    needs: str,
) -> list[str]:
    """Good deploys, a line each of a list to choose from: what each is stands at its end. `live` is
    where each is live: in nothing, or in regions, with an empty name where it runs everywhere.
    `needs` is what may be gone: `image`.
    """
    marks = [_mark(where, is_gone, needs) for where, is_gone in zip(live, gone, strict=True)]
    rows = [(_version(record), _minute(record), f"run {line(record.run)}") for record in records]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=True)), mark))
        for row, mark in zip(rows, marks, strict=True)
    ]


def _mark(live: Sequence[str], gone: bool | None, needs: str) -> str:
    """What a good deploy is now."""
    marks: list[str] = []
    if live:
        regions = ", ".join(region for region in live if region)
        marks.append(f"live in {line(regions)}" if regions else "live")
    if gone:
        marks.append(f"{needs} gone")
    elif not live:
        marks.append("good" if gone is False else f"good, {needs} not checked")
    return ", ".join(marks)


def deploys(records: Sequence[Any], gone: Sequence[bool | None], needs: str) -> str:
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
    return table(("version", "when", "run", needs), rows)


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
