"""What never calls for a deploy: tests that stand beside the code, and the files that only people
(and their machines) read.
"""

import re
from collections.abc import Iterator, Sequence
from posixpath import basename, dirname

from toolkit.impact.matcher import Matcher
from toolkit.init.images.contexts import is_compose
from toolkit.init.patterns import everything_in, literal, literal_prefix, within
from toolkit.init.tree import TrackedFiles, folder_prefix

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


def test_patterns(tree: TrackedFiles, folder: str) -> tuple[str, ...]:
    """Patterns for what are obviously tests in a folder of code, by their names and, where names
    may lie, by their content.
    """
    return tuple(dict.fromkeys((*_test_folders(tree, folder), *_test_files(tree, folder))))


def looks_like_test(path: str) -> bool:
    """Whether a file's name is that of a test."""
    name = basename(path)
    return bool(_TEST_SUFFIX.search(name) or _TEST_FILE.search(name))


def documentation_patterns(
    tree: TrackedFiles, shipped: Sequence[tuple[str, ...]]
) -> tuple[str, ...]:
    """The `ignore` patterns that match something here, given the patterns of the rules whose files
    are deployed themselves.

    None of them can hide such a file, now or later, since notes may be part of the code (a prompt,
    a page): only a rule that takes the whole repository does not count. So with docs/: where a rule
    names it, it is a site or a part of an image.
    """
    specific = [tuple(pattern for pattern in rule if pattern != "**") for rule in shipped]
    ships = Matcher(specific)
    ships_everything = any("**" in rule for rule in shipped)
    patterns = [
        *_markdown_patterns(tree, ships, _named_top_folders(specific), ships_everything),
    ]
    if not any(map(ships.match, tree.below("docs"))):
        patterns.append("docs/**")
    patterns += _FOR_PEOPLE
    matcher = Matcher([pattern] for pattern in patterns)
    # A pattern that matches a deployed file would hide its changes.
    present: set[int] = set()
    hiding: set[int] = set()
    for path in tree.paths:
        hits = {index for index, _ in matcher.match(path)}
        present |= hits
        if ships.match(path):
            hiding |= hits
    useful = [pattern for index, pattern in enumerate(patterns) if index in present - hiding]
    return tuple(pattern for pattern in useful if f"**/{pattern}" not in useful)


def leftover_test_patterns(tree: TrackedFiles, rules: Sequence[Sequence[str]]) -> Iterator[str]:
    """Patterns for the tests in the root or beside what is deployed, and for compose files, as far
    as no rule has them.
    """
    matcher = Matcher(
        [pattern for pattern in patterns if not pattern.startswith("!")] for patterns in rules
    )
    unmatched = [path for path in tree.paths if not matcher.match(path)]
    folders = {name for name in _TEST_FOLDERS if tree.is_folder(name)}
    for path in unmatched:
        for name in _TEST_FOLDERS:
            start = path.find(f"/{name}/")
            if start >= 0:
                folders.add(path[: start + len(name) + 1])
    for folder in sorted(folders):
        parent = dirname(folder)
        is_beside_code = not parent or any(map(matcher.match, tree.below(parent)))
        if (
            is_beside_code
            and any(map(looks_like_test, tree.below(folder)))
            and not any(map(matcher.match, tree.below(folder)))
        ):
            yield everything_in(folder)
    yield from (literal(path) for path in unmatched if is_compose(path))


def _named_top_folders(lists: Sequence[Sequence[str]]) -> set[str]:
    """The folders of the root that patterns name; the empty one, if it may be any of them."""
    folders: set[str] = set()
    for patterns in lists:
        for pattern in patterns:
            # A leading `{` names single files (see `patterns_for_paths`).
            if "/" in pattern and pattern[0] not in "!{":
                folders.add(literal_prefix(pattern).partition("/")[0])
    return folders


def _markdown_patterns(
    tree: TrackedFiles, ships: Matcher, tops: set[str], ships_everything: bool
) -> tuple[str, ...]:
    """Patterns for Markdown that is for people: all of it where nothing is deployed, else in the
    root, in folders without anything that is deployed, and beside it the files with the usual
    names.
    """
    if not tops and not ships_everything:
        return ("**/*.md",)
    notes = []
    for path in tree.paths:
        is_note = path.endswith(".md") and "/" in path and not path.startswith("docs/")
        if is_note and not ships.match(path):
            notes.append(path)
    undeployed: set[str] = set()
    if "" not in tops and not ships_everything:
        undeployed = {path.split("/")[0] for path in notes} - tops
    beside_code = []
    for path in notes:
        if path.split("/")[0] not in undeployed and basename(path) in _READ_BY_PEOPLE:
            beside_code.append(path)
    return (
        "*.md",
        *(within(literal(folder), "**/*.md") for folder in sorted(undeployed)),
        *map(literal, beside_code[:_MOST_NOTES]),
    )


def _test_folders(tree: TrackedFiles, folder: str) -> Iterator[str]:
    for name in _TEST_FOLDERS:
        tests = folder_prefix(folder) + name
        if tree.is_folder(tests) and any(map(looks_like_test, tree.below(tests))):
            yield everything_in(tests)


def _test_files(tree: TrackedFiles, folder: str) -> Iterator[str]:
    suffixes: set[str] = set()
    has_test_folders = False
    python_tests = []
    for path in tree.below(folder):
        name = basename(path)
        suffix = _TEST_SUFFIX.search(name)
        if suffix:
            suffixes.add(suffix[0])
        has_test_folders |= "/__tests__/" in path[len(folder) :]
        if name.startswith("test_") and name.endswith(".py"):
            python_tests.append(path)
    if has_test_folders:
        yield within(folder, "**/__tests__/**")
    yield from (within(folder, f"**/*{suffix}") for suffix in sorted(suffixes))
    # `test_connection.py` may be part of the program, so a few of the files are read.
    samples = [tree.read(path) or "" for path in python_tests[:_FEW]]
    if samples and all(_PYTHON_TEST.search(text) for text in samples):
        yield within(folder, "**/test_*.py")
