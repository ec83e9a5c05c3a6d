"""The language of what people read (docs/style.md): words that must not come back, and summaries
that say what a command does.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import pages
from tests.support.run import ROOT
from toolkit.cli.main import COMMANDS

NOT_AGAIN = {
    r"\bmend(?:s|ed|ing)?\b": "fix",
    r"\banew\b": "again",
    r"(?<!here )\bis no (?!longer\b|good\b|such\b)": "is not a, or: invalid X, unknown X",
    r"(?:cannot|could not) be seen\b": "could not be checked",
    r"\bnot looked at\b": "not checked",
    r"\blooked at\b": "checked",
    r"\bbehind toolkit's back\b": "outside toolkit",
    r"\bput (?:it|there) (?:live|by toolkit)\b": "roll out, deployed by",
    r"\b(?:that|which) (?:is|are) meant\b": "to use",
    r"\bmeant from\b": "relative to",
    r"\ba line a path\b|\bobject a commit\b|\bentry a changed path\b": "per path, per commit",
    r"\btrouble of its own\b": "is having problems",
    r"\basks for fewer calls\b": "is throttling",
    r"\bnobody is here\b": "this is not a terminal",
    r"\bGo on\?": "Continue?",
    r"\bmay not [a-z0-9-]+:[A-Z{]": "not allowed to call",
    r"\bto be agreed to\b": "waiting for confirmation",
    r"\bis no time\b": "invalid --timeout '20'",
    r"\bin a circle:": "loop",
    r"\bfor every morning\b": "say what it checks",
    r"\bcannot be meant\b": "invalid",
    r"\b(?:go|goes|going|gone|went) on with\b": "continue",
    r"\bwhat (?:has )?became of\b": "the result of, what happened to",
    r"\bput (?:it|them|yours) back\b": "restore",
    r"\btaken back\b": "rolled back",
    r"\bsays? yes in advance\b": "confirms this in advance",
    r"\bnobody has agreed\b": "this was not confirmed",
    r"\b(?:is|are) (?:told|waited for)\b": "toolkit shows, toolkit waits for",
    r"\bmeanwhile\b": "in the meantime",
    r"\b(?:asked|run|runs) side by side\b": "in parallel",
    r"\bis at work\b": "is running",
    r"\bknows no narrower\b": "has no narrower",
    r"\bno good (?:answer|message)\b": "unexpected, invalid",
    r"\bare others\b": "have changed, differ",
    r"\bof then\b": "at that time",
    r"\bcannot be said\b": "cannot be expressed",
    r"\bshall\b": "should, has to",
    r"\b(?:that|which) is there\b": "existing, that exists",
    r"\bif not given\b": "by default",
    r"\bexclude each other\b": "cannot be combined",
    r"\bdid not go well\b": "failed, did not end well",
    r"\bnothing new is begun\b": "nothing new is started",
}
"""What must not come back, and what to write instead."""

EXAMPLES = ROOT / "docs" / "style.md"
"""The one page that quotes what not to write."""

PAGES = [
    page
    for page in [*pages.PAGES, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
    if page != EXAMPLES
]


def literals(path: Path) -> Iterator[str]:
    """The strings of a file that may be shown: all but docstrings, except those of commands and of
    errors, which are their texts.
    """
    tree = ast.parse(path.read_text())
    hidden = set[int]()
    for node in ast.walk(tree):
        shown = isinstance(node, ast.FunctionDef) and any(
            "click" in ast.unparse(item) for item in node.decorator_list
        )
        shown |= isinstance(node, ast.ClassDef) and path.name == "errors.py"
        if shown or not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            continue
        hidden |= {
            id(part.value)
            for part in node.body
            if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)
        }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in hidden
        ):
            yield node.value


def wrong(text: str) -> list[str]:
    """What stands in a text that must not, each with what to write instead."""
    return [
        f"{result[0]!r} (write: {better})"
        for pattern, better in NOT_AGAIN.items()
        for result in re.finditer(pattern, " ".join(text.split()))
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_none_of_these_words(page: Path) -> None:
    assert not wrong(page.read_text())


def test_no_help_text_and_no_message_has_any_of_these_words() -> None:
    document = {
        f"{path.relative_to(ROOT)}: {text[:60]!r}": words
        for path in sorted((ROOT / "toolkit").rglob("*.py"))
        for text in literals(path)
        if (words := wrong(text))
    }
    assert not document


def summaries() -> dict[str, str]:
    """The first line of each command's help, and the lines of the lists of commands."""
    result = dict(
        re.findall(r"^## (.+)\n\n```text\nUsage: .*\n\n  (.+)$", reference(), re.MULTILINE)
    )
    result |= {f"{name} (in the list)": text for name, (_, text) in COMMANDS.items()}
    return result


def reference() -> str:
    return pages.generated()[ROOT / "docs" / "commands.md"]


def test_a_summary_is_a_sentence_in_the_imperative() -> None:
    texts = summaries()
    assert len(texts) > 50
    begins = re.compile(r"(?!What|Who|Which|Is|The|An|A|One|This|Tells|Programs)[A-Z][a-z]+\b")
    assert not [name for name, text in texts.items() if not begins.match(text)]
    assert not [text for text in texts.values() if re.match(r"\w+(?:es|ps|ns|ws)\b", text)]


@pytest.mark.parametrize("pattern", NOT_AGAIN)
def test_each_pattern_finds_what_the_guide_says_not_to_write(pattern: str) -> None:
    """Or a pattern that can never match would guard nothing."""
    guide = EXAMPLES.read_text()
    assert re.search(pattern, " ".join(guide.split()))
