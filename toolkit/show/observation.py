"""What `rules observe` saw, and what the rules make of it."""

from collections.abc import Iterator, Mapping, Sequence
from shlex import join
from typing import Any

from toolkit.formats.words import count
from toolkit.model import Rules
from toolkit.operations import (
    EvidenceProblem,
    InputUse,
    MissedInput,
    ObservedCommand,
    ObservedInputs,
    ObservedPatterns,
)
from toolkit.show.table import table
from toolkit.show.text import line, quote

MOST = 20
"""How many paths are listed for people; --json has all."""
_USES = {
    InputUse.READ: "read",
    InputUse.LISTED: "folder listed",
    InputUse.MISSING: "looked for, does not exist",
    InputUse.LOCKED: "says which packages were read",
}


def observed(observation: ObservedCommand) -> Iterator[str]:
    """What a command looked up, in a few lines."""
    inputs = observation.inputs
    yield line(
        f"observed: {join(observation.command)} ({ended(observation.code)}, {observation.means})"
    )
    yield (
        f"  {count(len(inputs.read), 'source file')} read, {count(len(inputs.listed), 'folder')}"
        f" listed, {count(len(inputs.missing), 'name')} looked for in vain"
    )
    others = (
        (inputs.generated, "file that it made itself", "files that it made itself"),
        (len(inputs.dependencies), "folder of packages", "folders of packages"),
        (inputs.outside, "file outside the repository", "files outside the repository"),
    )
    parts = [
        f"{number:,} {word if number == 1 else words}" for number, word, words in others if number
    ]
    if parts:
        yield f"  besides: {', '.join(parts)}"
    if inputs.ignored:
        yield (
            f"note: git ignores {count(len(inputs.ignored), 'file')} that it read, so no rule can"
            " see a change; if a build step makes them, observe it with that step:"
        )
        yield from _paths(inputs.ignored)
    if inputs.uses_git:
        yield "note: it reads git's own files, so its result may depend on the branch or the commit"
    for words in observation.hidden:
        yield line(f"warning: not seen: {words}")
    if inputs.warm:
        yield line(f"hint: delete {' '.join(inputs.warm[:5])} and observe it again")


def ended(code: int) -> str:
    """How the command ended."""
    return f"ended by signal {-code}" if code < 0 else f"exit code {code}"


def _paths(paths: Sequence[str]) -> Iterator[str]:
    yield from (f"  {quote(path)}" for path in paths[:MOST])
    if len(paths) > MOST:
        yield f"  and {len(paths) - MOST:,} more (--json has all)"


def missed(
    target: str, inputs: Sequence[MissedInput], rules: Rules, is_whole: bool
) -> Iterator[str]:
    """What would not deploy a target, with the line of rules.toml that decides. `is_whole`: all
    that was looked up was seen.
    """
    certain = [each for each in inputs if not each.in_doubt]
    doubtful = [each for each in inputs if each.in_doubt]
    if not certain:
        rest = "was looked up" if is_whole else "was seen, which is not everything"
        yield f"{quote(target)}: the rules match all that {rest}"
    else:
        yield line(
            f"{quote(target)}: {count(len(certain), 'input')} that would not deploy it: a missed"
            " deploy in waiting"
        )
        yield from _rows(certain, rules)
    if doubtful:
        folders = ", ".join(quote(f"{each.path}/") for each in doubtful[:MOST])
        more = f" and {len(doubtful) - MOST:,} more" if len(doubtful) > MOST else ""
        yield line(
            f"in doubt: it listed {folders}{more}, where not every new file would deploy"
            f" {target} (--strict counts this as missed)"
        )


def _rows(inputs: Sequence[MissedInput], rules: Rules) -> Iterator[str]:
    for each in inputs[:MOST]:
        where = f"{rules.file}:{each.line}: " if each.line else ""
        use = _USES[each.use]
        path = f"{each.path}/" if each.use is InputUse.LISTED else each.path
        if each.use is InputUse.LISTED:
            use += f"; a new {quote(each.example)}"
        yield line(f"  {quote(path)} ({use}): {where}{each.why}")
    if len(inputs) > MOST:
        yield f"  and {len(inputs) - MOST:,} more (--json has all)"


def proposed(patterns: Sequence[ObservedPatterns], rules: Rules, new_rules: Sequence[str]) -> str:
    """What to add to rules.toml, to be pasted."""
    lines: list[str] = []
    for each in patterns:
        if each.line is not None:
            lines.append(line(f"add to `paths` of rule {each.rule} ({rules.file}:{each.line}):"))
            lines += [f"  {_pattern(pattern)}," for pattern in each.patterns]
    for text in new_rules:
        lines += [f"add to {quote(rules.file)}:", *(f"  {row}" for row in text.splitlines())]
    return "\n".join(lines)


def _pattern(pattern: str) -> str:
    from toolkit.formats.toml import string

    try:
        return string(pattern)
    except ValueError:  # the pattern has `?` where a byte is not UTF-8, so this never happens
        return quote(pattern)


def matched(counts: Sequence[tuple[str, int]], inputs: ObservedInputs) -> str:
    """Whose rules match what was read."""
    total = len(inputs.read)
    rows = [(quote(name), f"{number:,}", f"{total - number:,}") for name, number in counts]
    if not rows:
        return "no rule matches any of the files that were read"
    return table(("target", "matched", "not matched"), rows, right=(1, 2))


def problems(listed: Sequence[EvidenceProblem], file: str) -> Iterator[str]:
    """Why the recorded evidence does not hold. `file` is the one that it stands in."""
    for each in listed:
        yield line(f"{file}: {each.target}: {each.problem}")


def document(
    observation: ObservedCommand | None,
    targets: Sequence[tuple[str, Sequence[MissedInput], Sequence[ObservedPatterns]]],
    expired: Sequence[EvidenceProblem],
    matches: Mapping[str, int],
    code: int,
) -> dict[str, Any]:
    """The same for programs. Without a command `observed` is null: the evidence was checked."""
    return {
        "toolkit": 1,
        "command": "rules observe",
        "status": "failed" if code else "done",
        "exit": code,
        "observed": None if observation is None else _observed(observation),
        "targets": [
            {
                "target": target,
                "missed": [_missed(each) for each in missed],
                "patterns": [
                    {"rule": each.rule, "line": each.line, "patterns": each.patterns}
                    for each in patterns
                ],
            }
            for target, missed, patterns in targets
        ],
        "matched": dict(matches),
        "evidence": [{"target": each.target, "problem": each.problem} for each in expired],
    }


def _observed(observation: ObservedCommand) -> dict[str, Any]:
    inputs = observation.inputs
    return {
        "words": observation.command,
        "folder": observation.folder,
        "ended": observation.code,
        "means": observation.means,
        "hidden": observation.hidden,
        "source": inputs.read,
        "listed": inputs.listed,
        "missing": inputs.missing,
        "checked": inputs.checked,
        "ignored": inputs.ignored,
        "dependency": inputs.dependencies,
        "locks": inputs.locks,
        "warm": inputs.warm,
        "generated": inputs.generated,
        "outside": inputs.outside,
        "git": inputs.uses_git,
    }


def _missed(each: MissedInput) -> dict[str, Any]:
    return {
        "path": each.path,
        "use": each.use,
        "example": each.example,
        "why": each.why,
        "line": each.line,
        "pattern": each.pattern,
        "doubt": each.in_doubt,
    }
