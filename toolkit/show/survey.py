"""What `init` saw, drafted, and leaves to be filled in."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from toolkit.advice import NextCommand, ShellCommand
from toolkit.formats.words import count
from toolkit.model import LintFinding, Rules, Tally
from toolkit.show.advice import advice_lines
from toolkit.show.text import line, quote

MOST_SEEN = 20
"""The most things that were seen and not drafted that are listed; --json has all."""


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


MOST_QUESTIONS = 10
"""The most questions that are asked at once."""


class SeenRow(Protocol):
    """Something that nothing drafted stands for: where it is, and what it is."""

    @property
    def where(self) -> str: ...
    @property
    def what(self) -> str: ...


class QuestionRow(Protocol):
    """What only a person knows."""

    @property
    def text(self) -> str: ...


class ProofRows(Protocol):
    """What `rules check`, `doctor` and a replay of history say of the draft: the variables that are
    still empty, findings, sources of images that no rule knows, and what commits called for.
    """

    @property
    def holes(self) -> tuple[str, ...]: ...
    @property
    def findings(self) -> tuple[LintFinding, ...]: ...
    @property
    def uncovered(self) -> tuple[str, ...]: ...
    @property
    def history(self) -> Tally | None: ...


class DraftRows(Protocol):
    """A line for each target with its evidence, what was seen besides, and the questions."""

    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def seen(self) -> Sequence[SeenRow]: ...
    @property
    def questions(self) -> Sequence[QuestionRow]: ...


def text(
    drafted: DraftRows, covered: CoverageRow, rules: Rules, proof: ProofRows, written: str | None
) -> str:
    """What is drafted and why, what is not, how much of it the draft covers, what its own checks
    say, what to fill in, and what to do next.
    """
    return "\n".join(_lines(drafted, covered, rules, proof, written))


def _lines(
    drafted: DraftRows, covered: CoverageRow, rules: Rules, proof: ProofRows, written: str | None
) -> Iterator[str]:
    parts, seen, questions = drafted.notes, drafted.seen, drafted.questions
    if parts:
        yield "Deployed from here:"
    else:
        yield (
            "Nothing here says that anything is deployed: no CI step, script or configuration that"
            " toolkit knows. The draft has no targets yet."
        )
    yield from (f"  {line(part)}" for part in parts)
    if seen:
        yield "Seen, but not drafted:"
        yield from (f"  {line(row.where)}: {line(row.what)}" for row in seen[:MOST_SEEN])
    if len(seen) > MOST_SEEN:
        yield f"  and {len(seen) - MOST_SEEN} more"
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
    if rules.targets:
        yield from _proof_lines(proof, rules)
    if questions:
        yield "To fill in:"
        yield from (f"  {line(question.text)}" for question in questions[:MOST_QUESTIONS])
    if len(questions) > MOST_QUESTIONS:
        yield f"  and {len(questions) - MOST_QUESTIONS} more"
    if written:
        check, diff = NextCommand("rules check"), NextCommand("diff")
        yield from advice_lines(("read it, then run", check, "and", diff), before="Next: ")
        # What judges a deploy is read at the trusted base.
        words = "Then commit it, for a deploy goes by what is committed"
        commit = ShellCommand("git add {} && git commit -m {}", (written, f"Add {written}"))
        yield from advice_lines((words, commit), before="")


def _proof_lines(proof: ProofRows, rules: Rules) -> Iterator[str]:
    checks = count(len(proof.findings), "finding") if proof.findings else "no findings"
    if proof.holes:
        checks = f"{count(len(proof.holes), 'name')} to fill in, {checks}"
    images = count(len(proof.uncovered), "line") if proof.uncovered else ""
    covered = "the rules cover what each Dockerfile copies"
    if images:
        covered = f"{images} of Dockerfiles copy files that no rule sends to their app"
    yield f"Checked: {checks} (rules check); {covered} (doctor)."
    yield from (f"  {line(finding.message)}" for finding in proof.findings[:3])
    yield from (f"  {line(row)}" for row in proof.uncovered[:3])
    history = proof.history
    if history is None:
        return
    yield (
        f"Over {'the last ' if history.commits > 1 else ''}{count(history.commits, 'commit')},"
        f" {history.deploying} would have deployed something:"
    )
    for name, number, _ in history.targets[:10]:
        everything = name == rules.unmatched and rules.targets[name].members
        why = " (files that no rule matches)" if everything else ""
        yield f"  {number:>6,}  {quote(name)}{why}"
    if not history.targets:
        yield "       0  targets"


def document(
    drafted: DraftRows,
    covered: CoverageRow,
    rules: Rules,
    proof: ProofRows,
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
        "found": list(drafted.notes),
        "seen": [{"where": row.where, "what": row.what} for row in drafted.seen],
        "questions": [question.text for question in drafted.questions],
        "proof": {
            "holes": list(proof.holes),
            "findings": [finding.message for finding in proof.findings],
            "uncovered": list(proof.uncovered),
            "replay": None if proof.history is None else _replay(proof.history),
        },
        "coverage": {
            "matched": covered.matched,
            "ignored": covered.ignored,
            "unmatched": covered.unmatched,
            "folders": [{"folder": folder, "files": number} for folder, number in covered.folders],
        },
    }


def _replay(history: Tally) -> dict[str, Any]:
    return {
        "commits": history.commits,
        "deploying": history.deploying,
        "targets": {name: number for name, number, _ in history.targets},
        "unmatched": [
            {"folder": folder, "changes": number} for folder, number in history.unmatched
        ],
    }
