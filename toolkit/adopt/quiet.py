"""What never calls for a deploy: tests that stand beside the code, and the files that only people read."""

import re
from collections.abc import Iterator, Sequence
from posixpath import basename

from toolkit.adopt.patterns import below, within
from toolkit.adopt.tree import Tree
from toolkit.impact.matcher import Matcher

_TEST_FOLDERS = ("tests", "test", "__tests__", "src/test")
_TEST_SUFFIX = re.compile(r"\.(?:test|spec)\.[cm]?[jt]sx?\Z|_test\.go\Z")
_TEST_FILE = re.compile(r"\Atest_.*\.py\Z|_test\.py\Z|\Aconftest\.py\Z|Tests?\.(?:java|kt|cs)\Z", re.DOTALL)
_PYTHON_TEST = re.compile(r"\bdef test|\bunittest\b|\bTestCase\b")

_FOR_PEOPLE = (
    ".github/**",
    ".gitlab-ci.yml",
    ".circleci/**",
    "LICENSE*",
    "**/.gitignore",
    ".gitattributes",
    ".editorconfig",
    ".pre-commit-config.yaml",
    ".vscode/**",
    ".idea/**",
    ".devcontainer/**",
    "CODEOWNERS",
    "renovate.json",
)
_READ_BY_PEOPLE = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md", "CLAUDE.md", "AGENTS.md")

_FEW = 50


def tests_in(tree: Tree, folder: str) -> tuple[str, ...]:
    """Patterns for what are obviously tests in a folder of code, by their names and, where names may lie, by their content."""
    return tuple(dict.fromkeys((*_test_folders(tree, folder), *_test_files(tree, folder))))


def looks_like_test(path: str) -> bool:
    """Whether a file's name is that of a test."""
    name = basename(path)
    return bool(_TEST_SUFFIX.search(name) or _TEST_FILE.search(name))


def for_people(tree: Tree, deployed: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The `ignore` patterns that match something here, given the patterns of the rules that deploy.

    Notes in the middle of code may be part of it (a prompt, a page): then only those with the usual names are let go. So with
    docs/: where a rule names it, it is a site or a part of an image.
    """
    rules = [tuple(one for one in patterns if one != "**") for patterns in deployed]
    by_name, whole = Matcher(rules), any("**" in patterns for patterns in deployed)
    docs = () if any(map(by_name.match, tree.below("docs"))) else ("docs/**",)
    notes = [path for path in tree.paths if path.endswith(".md") and "/" in path and not (docs and path.startswith("docs/"))]
    in_code = any(basename(path) not in _READ_BY_PEOPLE and (whole or by_name.match(path)) for path in notes)
    names = ("*.md", *(f"**/{name}" for name in _READ_BY_PEOPLE)) if in_code else ("**/*.md",)
    wanted = (*names, *docs, *_FOR_PEOPLE)
    matcher = Matcher((one,) for one in wanted)
    present = {rule for path in tree.paths for rule, _ in matcher.match(path)}
    return tuple(one for at, one in enumerate(wanted) if at in present)


def _test_folders(tree: Tree, folder: str) -> Iterator[str]:
    for name in _TEST_FOLDERS:
        tests = f"{folder}/{name}" if folder else name
        if tree.is_folder(tests) and any(map(looks_like_test, tree.below(tests))):
            yield below(tests)


def _test_files(tree: Tree, folder: str) -> Iterator[str]:
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
