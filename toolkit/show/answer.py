"""What `toolkit diff` found, as text for people and as a document for programs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from toolkit.errors import Exit
from toolkit.model import Base, DiffResult, Direction, Head, Plan, Reason, Standing, Step, Trust
from toolkit.show.table import room, table
from toolkit.show.text import (
    clipped,
    count,
    duration,
    line,
    listing,
    quote,
    shortened,
    with_command,
    wrapped,
)

WIDTH = 80
UPSTREAM, NOT_RECORDED = "upstream merge base", "nothing is recorded as deployed"


def text(
    answer: DiffResult, width: int = WIDTH, verbose: bool = False, people: Sequence[str] = ()
) -> str:
    """The whole answer: what was compared, the table, what was left out, and the recommendation
    last.

    Verbose it has every step's reasons, and `people`: lines about who changed what.
    """
    return "\n".join(_lines(answer, width, verbose, people))


def _lines(answer: DiffResult, width: int, verbose: bool, people: Sequence[str]) -> Iterator[str]:
    yield from (
        part for note in answer.told_first for part in wrapped(f"note: {line(note)}", width)
    )
    yield from wrapped(compared(answer.base, answer.head), width)
    yield from wrapped(summary(answer), width)
    for name, standing in answer.standings.items():
        if standing.backwards:
            yield from wrapped(behind(name, standing), width)
            yield from [f"  {standing.fetch}"] if standing.fetch else ()
    yield ""
    if first_steps(answer):
        yield _table(answer, width)
        yield ""
    if verbose:
        yield from why(answer, width)
        yield from (*people, *([""] if people else []))
    yield from _left_out(answer, width)
    yield from (
        part for note in answer.notes for part in with_command(f"note: {line(note)}", width)
    )
    if not answer.refusal:
        yield from _recommended(answer, width)


def first_steps(answer: DiffResult) -> tuple[Step, ...]:
    """The steps that are shown one by one: those that something calls for. Targets of which no
    deploy is recorded are only listed, where it can be told what the changes call for.
    """
    return answer.plan.steps if answer.first is None else answer.first.steps


def behind(name: str, standing: Standing) -> str:
    """That deploying HEAD takes something out of what is live, and what; or that nobody can say
    that it does not.
    """
    live = standing.live[:7]
    if standing.direction is Direction.UNKNOWN:
        return f"{name}: live is {live}, which is not in this clone: this may go back"
    where = (
        "ahead of your HEAD"
        if standing.direction is Direction.BEHIND
        else "with what your HEAD does not have"
    )
    return (
        f"{name}: live is {live}, {where}: this goes back and takes"
        f" {count(len(standing.lost), 'commit')} out"
    )


def _recommended(answer: DiffResult, width: int) -> Iterator[str]:
    """The commands: the smallest for what changed, and where nothing is known of other targets,
    what makes sure of all of them.
    """
    plan, first = answer.plan, answer.first
    unknown = [
        name for name in answer.unrecorded if first is None or name not in _covered(answer, first)
    ]
    if first is not None and unknown and first.steps:
        yield (
            f"For these changes, about {duration(first.estimate_s)}:"
            if first.estimate_s
            else "For these changes:"
        )
        yield f"  {line(first.recommendation)}"
    if first is None or not unknown:
        yield _heading(answer)
        yield f"  {line(plan.recommendation)}"
        if not answer.unrecorded:
            return
    if unknown:
        names = ", ".join(unknown)
        sure = "deploy everything, " if first is not None else ""
        sure += "ask AWS what is live, or record what you know"
        yield from wrapped(
            f"Nothing is known of {names}: no deploy is recorded. To be sure, {sure}:", width
        )
        if first is not None:
            yield f"  {line(plan.recommendation)}"
        yield f"  toolkit diff live{answer.options}"
        yield f"  toolkit record set{answer.options} {unknown[0]} COMMIT"


def _covered(answer: DiffResult, plan: Plan) -> set[str]:
    """The targets that a plan deploys, groups written out."""
    return {
        name for step in plan.steps for name in (step.target, *answer.covered.get(step.target, ()))
    }


def _heading(answer: DiffResult) -> str:
    """What stands above the recommendation: how long it takes, beside a full deploy; or that there
    is nothing to do.
    """
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
    full = (
        f" (a full deploy: {duration(plan.full_estimate_s)})"
        if plan.full_estimate_s != plan.estimate_s
        else ""
    )
    return f"Recommended, about {duration(plan.estimate_s)}{full}:"


def compared(base: Base, head: Head) -> str:
    """The first line: with what, and why with that."""
    if base.kind == "none":
        return f"Compared with nothing: {line(base.chosen)}."
    if base.kind == "paths":
        return f"The paths of {quote(base.name or '')}, whatever has changed in them."
    commits, chosen = line(", ".join(commit[:7] for commit in base.commits)), line(base.chosen)
    if base.chosen == NOT_RECORDED:
        since = f" Changes since {quote(base.name)} ({commits}, merge base)." if base.name else ""
        return f"Nothing is recorded as deployed.{since}"
    if base.kind in ("last", "live"):
        return f"Compared with {chosen} ({commits})." if commits else f"Compared with {chosen}."
    how = "merge base" if base.chosen == UPSTREAM else chosen
    if base.name in base.commits:
        return f"Changes since {commits} ({how}), whatever is deployed."
    return f"Changes since {quote(base.name or '')} ({commits}, {how}), whatever is deployed."


def summary(answer: DiffResult) -> str:
    """How many files changed, where those changes stand, and on what."""
    head, touched = answer.head, answer.impact.touched
    origins = Counter(one.change.origin for one in touched)
    kinds = ", ".join(
        f"{origins[name]:,} {name}"
        for name in ("committed", "staged", "unstaged", "untracked")
        if origins[name]
    )
    on = (
        f" on {quote(head.branch)}"
        if head.branch
        else f" at {head.commit[:7]}"
        if head.commit
        else ""
    )
    unlooked = ", uncommitted files not looked at" if head.commit and head.dirty is None else ""
    where = f", environment {answer.environment}" if answer.environment else ""
    return (
        f"{count(len(touched), 'file')}"
        f" changed{on}{f' ({kinds})' if kinds else ''}{unlooked}{where}."
    )


def why(answer: DiffResult, width: int = WIDTH) -> Iterator[str]:
    """Every step's reasons, and for each the steps that it waits for."""
    for step in answer.plan.steps:
        yield f"{step.target}: {step.action}"
        yield from (
            part
            for one in step.because
            for part in with_command(f"  because {line(one)}", width, "    ")
        )
        for name in _names(answer, step):
            if name in answer.failed_before:
                yield from wrapped(
                    f"  but {line(f'{name}: {answer.failed_before[name]}')}", width, "    "
                )
        if step.needs:
            yield f"  after {', '.join(step.needs)}"
        yield ""


def _table(answer: DiffResult, width: int) -> str:
    headers = ("target", "state", "files", "reason", "command", "estimate")
    steps = first_steps(answer)
    rows = [_row(answer, step) for step in steps]
    space = room(rows, headers, 3, width)
    fitted = [_fitted(*_reason(answer, step), space) for step in steps]
    return table(
        headers,
        [(*row[:3], reason, *row[4:]) for row, reason in zip(rows, fitted, strict=True)],
        right=(2,),
    )


def _fitted(reason: str, is_path: bool, space: int) -> str:
    """A path is shortened in its middle, a sentence behind a word: -v has all of it."""
    return clipped(reason, space) if is_path else shortened(reason, space)


def _names(answer: DiffResult, step: Step) -> tuple[str, ...]:
    """A step's target, and what it covers."""
    return (step.target, *sorted(answer.covered.get(step.target, ())))


def _row(answer: DiffResult, step: Step) -> tuple[str, str, str, str, str, str]:
    reasons = [reason for name in _names(answer, step) for reason in _reasons(answer, name)]
    files = len({reason.path for reason in reasons if reason.path})
    command = (step.command or "by hand").removeprefix("toolkit ")
    estimate = duration(step.estimate_s) if step.estimate_s else "-"
    return (
        step.target,
        answer.states[step.target],
        str(files),
        _reason(answer, step)[0],
        command,
        estimate,
    )


def _reason(answer: DiffResult, step: Step) -> tuple[str, bool]:
    """What most matters of why a step is due, and whether that is a path."""
    names = _names(answer, step)
    if any(name in answer.standings and answer.standings[name].backwards for name in names):
        return "GOES BACK, see above", False
    for name in names:
        if name in answer.failed_before:
            return line(answer.failed_before[name]), False
    reasons = [reason for name in names for reason in _reasons(answer, name)]
    path = next((reason.path for reason in reasons if reason.path), None)
    if path is not None:
        return quote(path), True
    # nothing that changed, but what is live, or that nothing is known of it
    return (
        next(
            (line(reason.rule.removeprefix(f"{step.target}: ")) for reason in reasons),
            "unknown, so due",
        ),
        False,
    )


def _reasons(answer: DiffResult, name: str) -> tuple[Reason, ...]:
    """Why a target is called for: first what the changes say."""
    return (*answer.reasons.get(name, ()), *answer.impact.targets.get(name, ()))


def _left_out(answer: DiffResult, width: int) -> Iterator[str]:
    clean = [name for name, state in answer.states.items() if state == "clean"]
    if clean and answer.plan.steps:
        yield from wrapped(f"clean: {', '.join(clean)}", width)
    yield from (part for one in by_hand(answer) for part in wrapped(one, width))
    unmatched, ignored = answer.impact.unmatched, answer.impact.ignored
    if unmatched:
        policy = (
            f"falls back to {answer.rules.unmatched}"
            if answer.rules.unmatched not in ("warn", "fail")
            else "no rule says what to do"
        )
        yield f"unmatched: {count(len(unmatched), 'path')} ({policy})"
        yield from (f"  {one}" for one in listing(unmatched, 10))
    if ignored:
        yield f"ignored: {count(len(ignored), 'path')}"
    for check in answer.plan.checks:
        reasons = answer.impact.checks[check]
        yield f"{check}: called for by {quote(reasons[0].path)}" + (
            f" and {len(reasons) - 1:,} more" if len(reasons) > 1 else ""
        )


def by_hand(answer: DiffResult) -> list[str]:
    """What only a person can deploy, with the instructions, also where it is part of a group."""
    told = answer.instructions
    return [
        f"by hand: {name}" + (f": {line(said)}" if (said := told.get(name)) else "")
        for name in answer.plan.by_hand
    ]


def status(answer: DiffResult, exit_code: bool) -> tuple[str, int]:
    """The status word, and the exit code that goes with it."""
    if answer.refusal:
        return "refused", Exit.USAGE
    pending = bool(answer.plan.steps)
    word = "unknown" if "unknown" in answer.states.values() else "pending" if pending else "clean"
    return word, Exit.PENDING if exit_code and pending else Exit.OK


def trusted(trust: Trust, environment: str | None) -> dict[str, Any] | None:
    """Where the judges come from, and what differs here; None where rules.toml itself is
    trusted.
    """
    if not trust.ref:
        return None
    differences = [
        {"what": one.what, "here": one.here, "trusted": one.trusted, "effect": str(one.effect)}
        for one in trust.about(environment)
    ]
    return {
        "ref": trust.ref,
        "commit": trust.commit or None,
        "allowed": trust.allowed,
        "differences": differences,
    }


def document(answer: DiffResult, exit_code: bool) -> dict[str, Any]:
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
            **(
                {"targets": {name: list(commits) for name, commits in base.each.items()}}
                if base.each
                else {}
            ),
        },
        "head": {"commit": head.commit, "branch": head.branch, "dirty": head.dirty},
        "environment": answer.environment,
        "rules": answer.rules.file,
        "trusted": trusted(answer.rules.trust, answer.environment),
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
            name: [
                {"path": one.path, "rule": one.rule, "pattern": one.pattern, "line": one.line}
                for one in reasons
            ]
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
        "unrecorded": answer.unrecorded,
        "first": (
            None
            if answer.first is None
            else {
                "targets": [step.target for step in answer.first.steps],
                "estimate_s": answer.first.estimate_s,
                "recommendation": answer.first.recommendation,
            }
        ),
        "standings": {
            name: {
                "direction": standing.direction,
                "live": standing.live,
                "lost": standing.lost,
                "backwards": standing.backwards,
                "fetch": standing.fetch,
            }
            for name, standing in answer.standings.items()
        },
        "failed_before": dict(answer.failed_before),
        "recommendation": None if answer.refusal else plan.recommendation,
        "notes": [*answer.notes, *by_hand(answer), *([answer.refusal] if answer.refusal else [])],
    }
