"""What `init` saw, drafted, and leaves to be filled in."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from toolkit.advice import NextCommand, ShellCommand
from toolkit.formats.words import count
from toolkit.model import Rules
from toolkit.show.advice import advice_lines
from toolkit.show.text import line, quote


class CoverageRow(Protocol):
    """How many tracked files are matched, ignored or neither, and the folders with most of the
    last.
    """

    @property
    def matched(self) -> int: ...
    @property
    def ignored(self) -> int: ...
    @property
    def unmatched(self) -> int: ...
    @property
    def folders(self) -> tuple[tuple[str, int], ...]: ...


def text(
    parts: Sequence[str],
    questions: Sequence[str],
    covered: CoverageRow,
    rules: Rules,
    written: str | None,
) -> str:
    """What was found, how much of it the draft covers, what to fill in, and what to do next."""
    return "\n".join(_lines(parts, questions, covered, rules, written))


def _lines(
    parts: Sequence[str],
    questions: Sequence[str],
    covered: CoverageRow,
    rules: Rules,
    written: str | None,
) -> Iterator[str]:
    if parts:
        yield "Found:"
    else:
        yield "Found nothing that toolkit can deploy; the draft has no targets yet."
    yield from (f"  {line(part)}" for part in parts)
    if written:
        yield (
            f"Wrote {quote(written)}: {count(len(rules.targets), 'target')},"
            f" {count(len(rules.rules), 'rule')}."
        )
    total = covered.matched + covered.ignored + covered.unmatched
    shares = (
        f"{covered.matched:,} match a rule, {covered.ignored:,} are ignored, {covered.unmatched:,}"
        " unmatched"
    )
    yield f"Of {count(total, 'tracked file')} {shares}."
    yield from (f"  {number:>6,}  {quote(folder)}" for folder, number in covered.folders)
    if questions:
        yield "To fill in:"
        yield from (f"  {line(question)}" for question in questions)
    if written:
        check, diff = NextCommand("rules check"), NextCommand("diff")
        yield from advice_lines(("read it, then run", check, "and", diff), before="Next: ")
        # What judges a deploy is read at the trusted base.
        words = "Then commit it, for a deploy goes by what is committed"
        commit = ShellCommand("git add {} && git commit -m {}", (written, f"Add {written}"))
        yield from advice_lines((words, commit), before="")


def document(
    parts: Sequence[str],
    questions: Sequence[str],
    covered: CoverageRow,
    rules: Rules,
    text: str,
    written: str | None,
) -> dict[str, Any]:
    """The same for programs."""
    return {
        "toolkit": 1,
        "command": "init",
        "status": "done",
        "exit": 0,
        "written": written,
        "rules": text,
        "targets": list(rules.targets),
        "found": list(parts),
        "questions": list(questions),
        "coverage": {
            "matched": covered.matched,
            "ignored": covered.ignored,
            "unmatched": covered.unmatched,
            "folders": [{"folder": folder, "files": number} for folder, number in covered.folders],
        },
    }
