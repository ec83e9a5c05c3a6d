"""What `toolkit diff` found, as text for people and as a document for programs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from toolkit.errors import Exit
from toolkit.model import Answer, Base, Head, Step
from toolkit.show.table import room, table
from toolkit.show.text import clipped, count, duration, line, listing, quote, wrapped

WIDTH = 80
UPSTREAM = "upstream merge base"


def text(answer: Answer, width: int = WIDTH, verbose: bool = False, people: Sequence[str] = ()) -> str:
    """The whole answer: what was compared, the table, what was left out, and the recommendation last.

    Verbose it has every step's reasons, and `people`: lines about who changed what.
    """
    return "\n".join(_lines(answer, width, verbose, people))


def _lines(answer: Answer, width: int, verbose: bool, people: Sequence[str]) -> Iterator[str]:
    yield from wrapped(compared(answer.base, answer.head), width)
    yield from wrapped(summary(answer), width)
    yield ""
    if answer.plan.steps:
        yield _table(answer, width)
        yield ""
    if verbose:
        yield from why(answer, width)
        yield from (*people, *([""] if people else []))
    yield from _left_out(answer, width)
    yield from (part for note in answer.notes for part in wrapped(f"note: {line(note)}", width))
    if not answer.refusal:
        yield _heading(answer)
        yield f"  {line(answer.plan.recommendation)}"


def _heading(answer: Answer) -> str:
    """What stands above the recommendation: how long it takes, beside a full deploy; or that there is nothing to do."""
    plan = answer.plan
    if not plan.steps:
        unmatched = answer.impact.unmatched
        return (
            f"No rule calls for a deploy ({count(len(unmatched), 'path')} without a rule). Next:"
            if unmatched
            else "Nothing to deploy. Next:"
        )
    if not plan.estimate_s:
        return "Recommended:"
    full = f" (a full deploy: {duration(plan.full_estimate_s)})" if plan.full_estimate_s != plan.estimate_s else ""
    return f"Recommended, about {duration(plan.estimate_s)}{full}:"


def compared(base: Base, head: Head) -> str:
    """The first line: with what, and why with that."""
    if base.kind == "none":
        return f"Compared with nothing: {base.chosen}."
    if base.kind == "paths":
        return f"The paths of {quote(base.name or '')}, whatever has changed in them."
    commits = ", ".join(commit[:7] for commit in base.commits)
    if base.kind in ("last", "live"):
        return f"Compared with {base.chosen} ({commits})." if commits else f"Compared with {base.chosen}."
    if base.name in base.commits:
        return f"Compared with {commits} ({base.chosen})."
    if base.chosen == UPSTREAM:
        return f"Compared with {quote(base.name or '')} ({commits}, merge base); no deploy is recorded."
    return f"Compared with {quote(base.name or '')} ({commits}, {base.chosen})."


def summary(answer: Answer) -> str:
    """How many files changed, where those changes stand, and on what."""
    head, touched = answer.head, answer.impact.touched
    origins = Counter(one.change.origin for one in touched)
    kinds = ", ".join(f"{origins[name]:,} {name}" for name in ("committed", "staged", "unstaged", "untracked") if origins[name])
    on = f" on {quote(head.branch)}" if head.branch else f" at {head.commit[:7]}" if head.commit else ""
    unlooked = ", uncommitted files not looked at" if head.commit and head.dirty is None else ""
    where = f", environment {answer.environment}" if answer.environment else ""
    return f"{count(len(touched), 'file')} changed{on}{f' ({kinds})' if kinds else ''}{unlooked}{where}."


def why(answer: Answer, width: int = WIDTH) -> Iterator[str]:
    """Every step's reasons, and for each the steps that it waits for."""
    for step in answer.plan.steps:
        yield f"{step.target}: {step.action}"
        yield from (part for one in step.because for part in wrapped(f"  because {line(one)}", width, "    "))
        if step.needs:
            yield f"  after {', '.join(step.needs)}"
        yield ""


def _table(answer: Answer, width: int) -> str:
    headers = ("target", "state", "files", "reason", "command", "estimate")
    rows = [_row(answer, step) for step in answer.plan.steps]
    space = room(rows, headers, 3, width)
    return table(headers, [(*row[:3], clipped(row[3], space), *row[4:]) for row in rows], right=(2,))


def _row(answer: Answer, step: Step) -> tuple[str, str, str, str, str, str]:
    reasons = [
        reason for name in (step.target, *sorted(answer.covered.get(step.target, ()))) for reason in answer.impact.targets.get(name, ())
    ]
    files = len({reason.path for reason in reasons if reason.path})
    reason = next((quote(reason.path) for reason in reasons if reason.path), "unknown, so due")
    command = (step.command or "by hand").removeprefix("toolkit ")
    return step.target, answer.states[step.target], str(files), reason, command, duration(step.estimate_s) if step.estimate_s else "-"


def _left_out(answer: Answer, width: int) -> Iterator[str]:
    clean = [name for name, state in answer.states.items() if state == "clean"]
    if clean and answer.plan.steps:
        yield from wrapped(f"clean: {', '.join(clean)}", width)
    yield from (part for one in by_hand(answer) for part in wrapped(one, width))
    unmatched, ignored = answer.impact.unmatched, answer.impact.ignored
    if unmatched:
        policy = f"falls back to {answer.rules.unmatched}" if answer.rules.unmatched not in ("warn", "fail") else "no rule says what to do"
        yield f"unmatched: {count(len(unmatched), 'path')} ({policy})"
        yield from (f"  {one}" for one in listing(unmatched, 10))
    if ignored:
        yield f"ignored: {count(len(ignored), 'path')}"
    for check in answer.plan.checks:
        reasons = answer.impact.checks[check]
        yield f"{check}: called for by {quote(reasons[0].path)}" + (f" and {len(reasons) - 1:,} more" if len(reasons) > 1 else "")


def by_hand(answer: Answer) -> list[str]:
    """What only a person can deploy, with the instructions, also where it is part of a group."""
    told = answer.instructions
    return [f"by hand: {name}" + (f": {line(said)}" if (said := told.get(name)) else "") for name in answer.plan.by_hand]


def status(answer: Answer, exit_code: bool) -> tuple[str, int]:
    """The status word, and the exit code that goes with it."""
    if answer.refusal:
        return "refused", Exit.USAGE
    pending = bool(answer.plan.steps)
    word = "unknown" if "unknown" in answer.states.values() else "pending" if pending else "clean"
    return word, Exit.PENDING if exit_code and pending else Exit.OK


def document(answer: Answer, exit_code: bool) -> dict[str, Any]:
    """The answer for programs (docs/json.md)."""
    word, code = status(answer, exit_code)
    base, head, plan, impact = answer.base, answer.head, answer.plan, answer.impact
    return {
        "toolkit": 1,
        "command": "diff",
        "status": word,
        "exit": int(code),
        "base": {
            "kind": base.kind,
            "name": base.name,
            "commit": base.commits[0] if base.commits else None,
            "chosen": base.chosen,
            **({"targets": {name: list(commits) for name, commits in base.each.items()}} if base.each else {}),
        },
        "head": {"commit": head.commit, "branch": head.branch, "dirty": head.dirty},
        "environment": answer.environment,
        "rules": answer.rules.file,
        "changes": [
            {
                "path": one.change.path,
                "status": one.change.status,
                "old_path": one.change.old_path,
                "origin": one.change.origin,
                "rules": one.rules,
                "targets": one.targets,
            }
            for one in impact.touched
        ],
        "ignored": impact.ignored,
        "unmatched": impact.unmatched,
        "states": answer.states,
        "impact": {
            name: [{"path": one.path, "rule": one.rule, "pattern": one.pattern, "line": one.line} for one in reasons]
            for name, reasons in impact.targets.items()
        },
        "plan": {
            "steps": [
                {
                    "target": step.target,
                    "action": step.action,
                    "command": step.command,
                    "needs": step.needs,
                    "estimate_s": step.estimate_s,
                    "because": step.because,
                }
                for step in plan.steps
            ],
            "checks": plan.checks,
            "estimate_s": plan.estimate_s,
            "full_estimate_s": plan.full_estimate_s,
        },
        "recommendation": None if answer.refusal else plan.recommendation,
        "notes": [*answer.notes, *by_hand(answer), *([answer.refusal] if answer.refusal else [])],
    }
