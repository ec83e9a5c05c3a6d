"""What a whole CDK app is made of: no rule of a single stack may have it, or the other stacks would
be forgotten.
"""

from collections.abc import Iterable, Sequence
from posixpath import dirname
from posixpath import join as joined

from msgspec.structs import replace

from toolkit.impact.matcher import Matcher
from toolkit.init.draft import DraftRule
from toolkit.init.patterns import everything_in, literal, literal_prefix
from toolkit.init.stacks.bundles import MANIFESTS, reachable_files
from toolkit.init.tree import TrackedFiles

_UNPINNED = {"package.json", "pyproject.toml", "go.mod"}
"""Manifests that leave the versions to a lock file, which may stand in a folder above (a
workspace).
"""

_OF_SCRIPTS, _OF_PYTHON = MANIFESTS[:7], MANIFESTS[9:]


def own_manifests(tree: TrackedFiles, folder: str, code: Iterable[str]) -> list[str]:
    """What pins the libraries of an app: the manifests in its folder, and those above it up to the
    nearest lock file.
    """
    names = _OF_PYTHON if all(path.endswith(".py") for path in code) else _OF_SCRIPTS
    manifests: list[str] = []
    current = folder
    while True:
        present = [name for name in names if joined(current, name) in tree]
        manifests += [joined(current, name) for name in present]
        if not _UNPINNED.issuperset(present):
            return manifests
        if not current:  # no lock file anywhere: what lies above is not the app's
            return [path for path in manifests if dirname(path) == folder]
        current = dirname(current)


def remove_shared(
    tree: TrackedFiles,
    folder: str,
    code: Sequence[str],
    rest: DraftRule,
    rules: Sequence[DraftRule],
) -> list[DraftRule]:
    """The rules of single stacks, without what the app's code reaches and its manifests, as far as
    `rest` has them.
    """
    whole = Matcher([rest.paths])
    shared = [
        path
        for path in (*own_manifests(tree, folder, code), *reachable_files(tree, code, folder))
        if whole.match(path)
    ]
    return [_without_shared_paths(rule, folder, shared) for rule in rules]


def _without_shared_paths(rule: DraftRule, folder: str, shared: Sequence[str]) -> DraftRule:
    literals = {literal(path) for path in shared}
    paths = tuple(pattern for pattern in rule.paths if pattern not in literals)
    matcher = Matcher([paths])
    prefixes = []
    for pattern in paths:
        if pattern not in ("**", "!**"):
            prefixes.append(literal_prefix(pattern.removeprefix("!")))
    still_matched = [path for path in shared if matcher.match(path)]
    exclusions = dict.fromkeys(
        f"!{_widest_exclusion(path, folder, prefixes)}" for path in still_matched
    )
    return replace(rule, paths=(*paths, *exclusions))


def _widest_exclusion(path: str, folder: str, prefixes: Sequence[str]) -> str:
    """The app's folder, or the file's, if the rule names nothing inside; else the file alone."""
    for candidate in (folder, dirname(path)):
        if not candidate or not candidate.startswith(folder):
            continue
        start = f"{candidate}/"
        if not any(f"{prefix}/".startswith(start) for prefix in prefixes):
            if path.startswith(start):
                return everything_in(candidate)
            return literal(path)
    return literal(path)
