"""What never calls for a deploy: tests that stand beside the code, and the files that only people
(and their machines) read.
"""

import re
from collections.abc import Iterator, Sequence
from posixpath import basename, dirname

from toolkit.impact.matcher import Matcher
from toolkit.init.images.contexts import is_compose
from toolkit.init.patterns import below, literal, plain_lead, within
from toolkit.init.tree import TrackedFiles

_TEST_FOLDERS = ("tests", "test", "__tests__", "src/test")
_TEST_SUFFIX = re.compile(r"\.(?:test|spec)\.[cm]?[jt]sx?\Z|_test\.go\Z")
_TEST_FILE = re.compile(
    r"\Atest_.*\.py\Z|_test\.py\Z|\Aconftest\.py\Z|Tests?\.(?:java|kt|cs)\Z", re.DOTALL
)
_PYTHON_TEST = re.compile(r"\bdef test|\bunittest\b|\bTestCase\b")

_FOR_PEOPLE = (
    ".github/**",
    ".gitlab-ci.yml",
    ".circleci/**",
    "LICENSE*",
    "**/.gitignore",
    ".gitignore",
    ".gitattributes",
    ".editorconfig",
    ".pre-commit-config.yaml",
    ".vscode/**",
    ".idea/**",
    ".devcontainer/**",
    "CODEOWNERS",
    "renovate.json",
)
_READ_BY_PEOPLE = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "CODE_OF_CONDUCT.md",
    "SECURITY.md",
    "CLAUDE.md",
    "AGENTS.md",
)

_FEW = 50
_MOST_NOTES = 30


def tests_in(tree: TrackedFiles, folder: str) -> tuple[str, ...]:
    """Patterns for what are obviously tests in a folder of code, by their names and, where names
    may lie, by their content.
    """
    return tuple(dict.fromkeys((*_test_folders(tree, folder), *_test_files(tree, folder))))


def looks_like_test(path: str) -> bool:
    """Whether a file's name is that of a test."""
    name = basename(path)
    return bool(_TEST_SUFFIX.search(name) or _TEST_FILE.search(name))


def for_people(tree: TrackedFiles, shipped: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The `ignore` patterns that match something here, given the patterns of the rules whose files
    are deployed themselves.

    None of them can hide such a file, now or later, since notes may be part of the code (a prompt,
    a page): only a rule that takes the whole repository is not heeded. So with docs/: where a rule
    names it, it is a site or a part of an image.
    """
    named = [tuple(one for one in patterns if one != "**") for patterns in shipped]
    ships = Matcher(named)
    docs = () if any(map(ships.match, tree.below("docs"))) else ("docs/**",)
    whole = any("**" in patterns for patterns in shipped)
    wanted = (*_notes(tree, ships, _tops(named), whole), *docs, *_FOR_PEOPLE)
    each = Matcher((one,) for one in wanted)
    present, hiding = set[int](), set[int]()
    for path in tree.paths:
        hits = {rule for rule, _ in each.match(path)}
        present |= hits
        hiding |= hits if ships.match(path) else set()
    kept = [one for at, one in enumerate(wanted) if at in present - hiding]
    return tuple(one for one in kept if f"**/{one}" not in kept)


def left_over(tree: TrackedFiles, rules: Sequence[Sequence[str]]) -> Iterator[str]:
    """Patterns for the tests in the root or beside what is deployed, and for compose files, as far
    as no rule has them.
    """
    matcher = Matcher([one for one in paths if not one.startswith("!")] for paths in rules)
    free = [path for path in tree.paths if not matcher.match(path)]
    folders = {
        path[: path.index(f"/{name}/") + len(name) + 1]
        for path in free
        for name in _TEST_FOLDERS
        if f"/{name}/" in path
    }
    folders |= {name for name in _TEST_FOLDERS if tree.is_folder(name)}
    for folder in sorted(folders):
        beside = not dirname(folder) or any(map(matcher.match, tree.below(dirname(folder))))
        if (
            beside
            and any(map(looks_like_test, tree.below(folder)))
            and not any(map(matcher.match, tree.below(folder)))
        ):
            yield below(folder)
    yield from (literal(path) for path in free if is_compose(path))


def _tops(lists: Sequence[Sequence[str]]) -> set[str]:
    """The folders of the root that patterns name; the empty one, if there may be any."""
    inside = [
        one for patterns in lists for one in patterns if "/" in one and one[0] not in "!{"
    ]  # `{` names single files (see `one_of`)
    return {plain_lead(one).partition("/")[0] for one in inside}


def _notes(tree: TrackedFiles, ships: Matcher, tops: set[str], whole: bool) -> tuple[str, ...]:
    """Patterns for Markdown that is for people: all of it where nothing is deployed, else in the
    root, in folders without anything that is deployed, and beside it the files with the usual
    names.
    """
    if not tops and not whole:
        return ("**/*.md",)
    notes = [
        path
        for path in tree.paths
        if path.endswith(".md")
        and "/" in path
        and not path.startswith("docs/")
        and not ships.match(path)
    ]
    apart = (
        {path.split("/")[0] for path in notes} - tops
        if "" not in tops and not whole
        else set[str]()
    )
    beside = [
        path
        for path in notes
        if path.split("/")[0] not in apart and basename(path) in _READ_BY_PEOPLE
    ]
    return (
        "*.md",
        *(within(literal(top), "**/*.md") for top in sorted(apart)),
        *map(literal, beside[:_MOST_NOTES]),
    )


def _test_folders(tree: TrackedFiles, folder: str) -> Iterator[str]:
    for name in _TEST_FOLDERS:
        tests = f"{folder}/{name}" if folder else name
        if tree.is_folder(tests) and any(map(looks_like_test, tree.below(tests))):
            yield below(tests)


def _test_files(tree: TrackedFiles, folder: str) -> Iterator[str]:
    suffixes: set[str] = set()
    inner, python = False, []
    for path in tree.below(folder):
        name = basename(path)
        suffixes.update(found[0] for found in [_TEST_SUFFIX.search(name)] if found)
        inner |= "/__tests__/" in path[len(folder) :]
        if name.startswith("test_") and name.endswith(".py"):
            python.append(path)
    if inner:
        yield within(folder, "**/__tests__/**")
    yield from (within(folder, f"**/*{suffix}") for suffix in sorted(suffixes))
    if python and all(_PYTHON_TEST.search(tree.read(path) or "") for path in python[:_FEW]):
        yield within(folder, "**/test_*.py")
