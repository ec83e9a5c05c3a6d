"""What `toolkit diff` found, as text for people and as a document for programs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from toolkit.advice import NextCommand, SameOptions
from toolkit.exits import Exit
from toolkit.formats.words import count
from toolkit.model import (
    Base,
    BaseChoice,
    BaseKind,
    ChangeOrigin,
    DiffResult,
    Direction,
    Plan,
    Reason,
    Standing,
    Step,
    TargetState,
    Trust,
)
from toolkit.show.advice import (
    NO_OPTIONS,
    advice_lines,
    command_line,
    commands_line,
    sentence,
    shown_command,
)
from toolkit.show.style import Role, marked
from toolkit.show.table import room, table
from toolkit.show.text import (
    clipped,
    duration,
    line,
    listing,
    quote,
    shortened,
    wrapped,
)

WIDTH = 80
GOES_BACK = "GOES BACK, see above"
ROLES: dict[str, Role] = {
    TargetState.CLEAN: Role.GOOD,
    TargetState.DUE: Role.WARNING,
    TargetState.UNKNOWN: Role.WARNING,
}


def text(
    answer: DiffResult,
    width: int = WIDTH,
    verbose: bool = False,
    people: Sequence[str] = (),
    templates: Sequence[str] = (),
) -> str:
    """The whole answer: what was compared, the table, what was left out, and the recommendation
    last.

    Verbose it has every step's reasons, and `people`: lines about who changed what. `templates` are
    those about what templates become.
    """
    return "\n".join(_lines(answer, width, verbose, people, templates))


def _lines(
    answer: DiffResult,
    width: int,
    verbose: bool,
    people: Sequence[str],
    templates: Sequence[str],
) -> Iterator[str]:
    for told in answer.told_first:
        yield from wrapped(f"note: {line(told)}", width)
    yield from wrapped(compared(answer.base), width)
    yield from wrapped(summary(answer), width)
    if answer.counts is not None and answer.counts.first and answer.first_base is not None:
        files = count(answer.counts.first, "file")
        since = f"{files} changed since {_named(answer.first_base)}"
        yield from wrapped(f"{since}, which counts for targets without a record.", width)
    for name, standing in answer.standings.items():
        if standing.backwards:
            yield from wrapped(behind(name, standing), width)
            yield from advice_lines(standing.fetch, answer.same, width, "")
    yield ""
    if first_steps(answer):
        yield _table(answer, width)
        yield ""
    if verbose:
        yield from why(answer, width)
        yield from people
        if people:
            yield ""
    yield from templates
    yield from _left_out(answer, width)
    for note in answer.notes:
        yield from advice_lines(note, answer.same, width, "note: ")
    if not answer.refusal:
        yield from _recommended(answer, width)


def first_steps(answer: DiffResult) -> tuple[Step, ...]:
    """The steps that are shown one by one: those that something calls for. Targets without a
    recorded deploy are only listed, where it is known what the changes call for: a newcomer would
    drown in them.
    """
    return answer.plan.steps if answer.first is None else answer.first.steps


def behind(name: str, standing: Standing) -> str:
    """That deploying HEAD takes something out of what is live, and what; or that this cannot be
    ruled out.
    """
    live = standing.live[:7]
    if standing.direction is Direction.UNKNOWN:
        return f"{name}: live is {live}, which is not in this clone: this may go back"
    where = "with what your HEAD does not have"
    if standing.direction is Direction.BEHIND:
        where = "ahead of your HEAD"
    return (
        f"{name}: live is {live}, {where}: this goes back and removes "
        f"{count(len(standing.lost), 'commit')}"
    )


def _recommended(answer: DiffResult, width: int) -> Iterator[str]:
    """The commands: the smallest for what changed, and where nothing is known of other targets,
    what makes sure of all of them.
    """
    plan, first = answer.plan, answer.first
    unknown = list(answer.unrecorded)
    if first is not None:
        covered = _covered(answer, first)
        unknown = [name for name in unknown if name not in covered]
    if first is not None and unknown and first.steps:
        about = ""
        if first.estimate_s:
            about = f", about {duration(first.estimate_s)}"
        heading = "For these changes"
        if answer.base.kind == BaseKind.LIVE:
            heading = "Recommended"
        yield f"{heading}{about}:"
        yield f"  {shown_recommendation(first, answer.same)}"
    if first is None or not unknown:
        yield _heading(answer)
        yield f"  {shown_recommendation(plan, answer.same)}"
        if not answer.unrecorded:
            return
    if unknown:
        yield from _ways_to_be_sure(answer, unknown, width)


def _ways_to_be_sure(answer: DiffResult, unknown: Sequence[str], width: int) -> Iterator[str]:
    """What to do about targets of which nothing is known: words, then a command for each way."""
    ways: dict[str, str] = {}
    if answer.first is not None and not answer.instructions.keys() >= set(unknown):
        words = "deploy everything"
        if answer.plan.by_hand:
            words = "deploy what toolkit can"
        ways[words] = shown_recommendation(answer.plan, answer.same)
    if answer.base.kind != BaseKind.LIVE and set(unknown) - set(answer.live_not_asked):
        ways["ask AWS what is live"] = shown_command(NextCommand("diff", ("live",)), answer.same)
    text = f"No deploy is recorded for {', '.join(unknown)}."
    if ways:
        text += f" To be sure, {', or '.join(ways)}:"
    yield from wrapped(text, width)
    for command in ways.values():
        yield f"  {command}"
    yield from _way_to_record(answer, unknown, width)


def _way_to_record(answer: DiffResult, unknown: Sequence[str], width: int) -> Iterator[str]:
    """For whoever knows what is live."""
    commit = answer.head.commit
    if commit is None:
        return
    name = f"HEAD ({commit[:7]})"
    if answer.first_base is not None:
        commit, name = answer.first_base.commits[0], _named(answer.first_base)
    yield from wrapped(f"If you know that {name} is live, record it:", width)
    record = NextCommand("record set", (*unknown, commit[:12]))
    yield f"  {shown_command(record, answer.same)}"


def _named(base: Base) -> str:
    """`origin/main (0d294c7)`."""
    commits = ", ".join(commit[:7] for commit in base.commits)
    if base.name is None:
        return commits
    return f"{quote(base.name)} ({commits})"


def recommendation(plan: Plan, same: SameOptions) -> str:
    """What to run, in one line, for programs; or who has to do it by hand."""
    by_hand = ", ".join(step.target for step in plan.steps)
    return commands_line(plan.commands, same) or f"by hand: {by_hand}"


def shown_recommendation(plan: Plan, same: SameOptions) -> str:
    """The same for a terminal."""
    commands = " && ".join(shown_command(command, same) for command in plan.commands)
    return commands or line(recommendation(plan, same))


def _covered(answer: DiffResult, plan: Plan) -> set[str]:
    """The targets that a plan deploys, groups written out."""
    targets: set[str] = set()
    for step in plan.steps:
        targets.update(_names(answer, step))
    return targets


def _heading(answer: DiffResult) -> str:
    """What stands above the recommendation: how long it takes, beside a full deploy; or that there
    is nothing to do.
    """
    plan = answer.plan
    if not plan.steps:
        unmatched = len(answer.impact.unmatched)
        if unmatched:
            return f"No rule calls for a deploy ({count(unmatched, 'path')} without a rule). Next:"
        return "Nothing to deploy. Next:"
    if not plan.estimate_s:
        return "Recommended:"
    full = ""
    if plan.full_estimate_s != plan.estimate_s:
        full = f" (a full deploy: {duration(plan.full_estimate_s)})"
    return f"Recommended, about {duration(plan.estimate_s)}{full}:"


def compared(base: Base) -> str:
    """The first line: with what, and why with that."""
    if base.kind == BaseKind.NONE:
        return f"Compared with nothing: {line(base.chosen)}."
    if base.kind == BaseKind.PATHS:
        return f"The paths of {quote(base.name or '')}, whatever changed in them."
    commits, chosen = line(", ".join(commit[:7] for commit in base.commits)), line(base.chosen)
    if base.chosen == BaseChoice.NOT_RECORDED:
        since = ""
        if base.name:
            since = f" Changes since {quote(base.name)} ({commits}, merge base)."
        return f"Nothing is recorded as deployed.{since}"
    if base.kind in (BaseKind.LAST, BaseKind.LIVE):
        return f"Compared with {chosen} ({commits})." if commits else f"Compared with {chosen}."
    how = "merge base" if base.chosen == BaseChoice.UPSTREAM else chosen
    if base.name in base.commits:
        return f"Changes since {commits} ({how}), whatever is deployed."
    return f"Changes since {quote(base.name or '')} ({commits}, {how}), whatever is deployed."


def summary(answer: DiffResult) -> str:
    """How many files changed, where those changes stand, and on what."""
    head, touched = answer.head, answer.impact.touched
    if answer.counts is not None:
        touched = answer.counts.recorded
    text = f"{count(len(touched), 'file')} changed"
    if head.branch:
        text += f" on {quote(head.branch)}"
    elif head.commit:
        text += f" at {head.commit[:7]}"
    origins = Counter(match.change.origin for match in touched)
    origins.pop(ChangeOrigin.GIVEN, None)
    kinds = ", ".join(f"{origins[origin]:,} {origin}" for origin in ChangeOrigin if origins[origin])
    if kinds:
        text += f" ({kinds})"
    if head.commit and head.dirty is None:
        text += ", uncommitted files not checked"
    if answer.environment:
        text += f", environment {answer.environment}"
    return f"{text}."


def why(answer: DiffResult, width: int = WIDTH) -> Iterator[str]:
    """Every step's reasons, and for each the steps that it waits for."""
    for step in answer.plan.steps:
        action = step.action
        if step.command is None:
            action = "by hand"
        yield f"{step.target}: {action}"
        for reason in step.because:
            yield from advice_lines(reason, answer.same, width, "  because ")
        for name in _names(answer, step):
            if name in answer.failed_before:
                failure = line(f"{name}: {answer.failed_before[name]}")
                yield from wrapped(f"  but {failure}", width, "    ")
        if step.needs:
            yield f"  after {', '.join(step.needs)}"
        yield ""


def _table(answer: DiffResult, width: int) -> str:
    whole = _table_with(answer, width, answer.same)
    if all(len(text) <= width for text in whole.splitlines()):
        return whole
    # What all commands repeat, such as a long --rules, is in the recommended one below.
    return _table_with(answer, width, NO_OPTIONS)


def _table_with(answer: DiffResult, width: int, same: SameOptions) -> str:
    headers = ("target", "state", "files", "reason", "command", "estimate")
    steps = first_steps(answer)
    rows = [_row(answer, step, same) for step in steps]
    space = room(rows, headers, 3, width)
    fitting: list[tuple[str, ...]] = []
    for row, step in zip(rows, steps, strict=True):
        reason, is_path = _reason(answer, step)
        # A path is shortened in its middle, a sentence behind a word: -v has all of it.
        reason = clipped(reason, space) if is_path else shortened(reason, space)
        state = marked(row[1], ROLES.get(row[1]))
        if reason == GOES_BACK:
            reason = marked(reason, Role.BAD)
        fitting.append((row[0], state, row[2], reason, *row[4:]))
    return table(headers, fitting, right=(2,))


def _names(answer: DiffResult, step: Step) -> tuple[str, ...]:
    """A step's target, and what it covers."""
    return (step.target, *sorted(answer.covered.get(step.target, ())))


def _row(answer: DiffResult, step: Step, same: SameOptions) -> tuple[str, str, str, str, str, str]:
    files = len({reason.path for reason in _reasons(answer, step) if reason.path})
    state, reason = answer.states[step.target], _reason(answer, step)[0]
    command = "by hand"
    if step.command:
        command = shown_command(step.command, same).removeprefix("toolkit ")
    estimate = "-"
    if step.estimate_s:
        estimate = duration(step.estimate_s)
    return step.target, state, str(files), reason, command, estimate


def _reason(answer: DiffResult, step: Step) -> tuple[str, bool]:
    """What most matters of why a step is due, and whether that is a path."""
    names = _names(answer, step)
    if any(name in answer.standings and answer.standings[name].backwards for name in names):
        return GOES_BACK, False
    for name in names:
        if name in answer.failed_before:
            return line(answer.failed_before[name]), False
    reasons = _reasons(answer, step)
    for reason in reasons:
        if reason.path:
            return quote(reason.path), True
    # Nothing has changed, but what is live is another version, or nothing is known of it.
    if reasons:
        alone = not answer.covered.get(step.target)
        return line(sentence((alone and reasons[0].short) or reasons[0].rule)), False
    return "unknown, so due", False


def _reasons(answer: DiffResult, step: Step) -> list[Reason]:
    """Why a step's targets are called for: first what the changes say."""
    reasons: list[Reason] = []
    for name in _names(answer, step):
        reasons += answer.reasons.get(name, ())
        reasons += answer.impact.targets.get(name, ())
    return reasons


def _left_out(answer: DiffResult, width: int) -> Iterator[str]:
    clean = [name for name, state in answer.states.items() if state == TargetState.CLEAN]
    if clean and answer.plan.steps:
        yield from wrapped(f"clean: {', '.join(clean)}", width)
    for instruction in by_hand(answer):
        yield from wrapped(instruction, width)
    unmatched, ignored = answer.impact.unmatched, answer.impact.ignored
    if unmatched:
        policy = "no rule says what to do"
        if answer.rules.fallback is not None:
            policy = f"falls back to {answer.rules.fallback}"
        yield f"unmatched: {count(len(unmatched), 'path')} ({policy})"
        yield from (f"  {path}" for path in listing(unmatched, 10))
    if ignored:
        yield f"ignored: {count(len(ignored), 'path')}"
    for check in answer.plan.checks:
        reasons = answer.impact.checks[check]
        text = f"{check}: called for by {quote(reasons[0].path)}"
        if len(reasons) > 1:
            text += f" and {len(reasons) - 1:,} more"
        yield text


def by_hand(answer: DiffResult) -> list[str]:
    """What only a person can deploy, with the instructions, also where it is part of a group."""
    lines: list[str] = []
    for name in answer.plan.by_hand:
        text, instruction = f"by hand: {name}", answer.instructions.get(name)
        if instruction:
            text += f": {line(instruction)}"
        lines.append(text)
    return lines


def status(answer: DiffResult, exit_code: bool) -> tuple[str, int]:
    """The status word, and the exit code that goes with it."""
    if answer.refusal:
        return "refused", Exit.USAGE
    pending = bool(answer.plan.steps)
    word = "clean"
    if pending:
        word = "pending"
    if TargetState.UNKNOWN in answer.states.values():
        word = "unknown"
    return word, Exit.PENDING if exit_code and pending else Exit.OK


def trusted(trust: Trust, environment: str | None) -> dict[str, Any] | None:
    """Where the judges come from, and what differs here; None where rules.toml itself is
    trusted.
    """
    if not trust.ref:
        return None
    differences = [
        {
            "what": difference.what,
            "here": difference.here,
            "trusted": difference.trusted,
            "effect": str(difference.effect),
        }
        for difference in trust.about(environment)
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
    head, plan, impact = answer.head, answer.plan, answer.impact
    notes = [*(sentence(note, answer.same) for note in answer.notes), *by_hand(answer)]
    if answer.refusal:
        notes.append(answer.refusal)
    return {
        "toolkit": 1,
        "command": "diff",
        "status": word,
        "exit": int(code),
        "base": _base_document(answer.base),
        "head": {"commit": head.commit, "branch": head.branch, "dirty": head.dirty},
        "environment": answer.environment,
        "rules": answer.rules.file,
        "trusted": trusted(answer.rules.trust, answer.environment),
        "changes": [
            {
                "path": match.change.path,
                "status": match.change.status,
                "old_path": match.change.old_path,
                "origin": match.change.origin,
                "rules": match.rules,
                "targets": match.targets,
            }
            for match in impact.touched
        ],
        "ignored": impact.ignored,
        "unmatched": impact.unmatched,
        "states": answer.states,
        "impact": {name: _reasons_document(reasons) for name, reasons in impact.targets.items()},
        "plan": {
            "steps": [
                {
                    "target": step.target,
                    "action": step.action,
                    "command": step.command and command_line(step.command, answer.same),
                    "needs": step.needs,
                    "estimate_s": step.estimate_s,
                    "because": [sentence(reason, answer.same) for reason in step.because],
                }
                for step in plan.steps
            ],
            "checks": plan.checks,
            "estimate_s": plan.estimate_s,
            "full_estimate_s": plan.full_estimate_s,
        },
        "unrecorded": answer.unrecorded,
        "first": None if answer.first is None else _first_document(answer.first, answer.same),
        "standings": {
            name: {
                "direction": standing.direction,
                "live": standing.live,
                "lost": standing.lost,
                "backwards": standing.backwards,
                "fetch": sentence(standing.fetch),
            }
            for name, standing in answer.standings.items()
        },
        "failed_before": dict(answer.failed_before),
        "recommendation": None if answer.refusal else recommendation(plan, answer.same),
        "notes": notes,
    }


def _base_document(base: Base) -> dict[str, Any]:
    document: dict[str, Any] = {
        "kind": base.kind,
        "name": base.name,
        "commit": base.commits[0] if base.commits else None,
        "chosen": base.chosen,
    }
    if base.each:
        document["targets"] = {name: list(commits) for name, commits in base.each.items()}
    return document


def _reasons_document(reasons: Sequence[Reason]) -> list[dict[str, Any]]:
    return [
        {
            "path": reason.path,
            "rule": sentence(reason.rule),
            "pattern": reason.pattern,
            "line": reason.line,
        }
        for reason in reasons
    ]


def _first_document(first: Plan, same: SameOptions) -> dict[str, Any]:
    return {
        "targets": [step.target for step in first.steps],
        "estimate_s": first.estimate_s,
        "recommendation": recommendation(first, same),
    }
