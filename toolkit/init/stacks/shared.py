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
    found: list[str] = []
    at = folder
    while True:
        here = [name for name in names if joined(at, name) in tree]
        found += [joined(at, name) for name in here]
        if not _UNPINNED.issuperset(here):
            return found
        if not at:
            return [path for path in found if dirname(path) == folder]
        at = dirname(at)


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
    paths = tuple(one for one in rule.paths if one not in literals)
    matcher, leads = (
        Matcher([paths]),
        [literal_prefix(one.removeprefix("!")) for one in paths if one not in ("**", "!**")],
    )
    swallowed = [path for path in shared if matcher.match(path)]
    away = dict.fromkeys(f"!{_widest_exclusion(path, folder, leads)}" for path in swallowed)
    return replace(rule, paths=(*paths, *away))


def _widest_exclusion(path: str, folder: str, leads: Sequence[str]) -> str:
    """The app's folder, or the file's, if the rule names nothing inside; else the file alone."""
    for one in (folder, dirname(path)):
        if (
            one
            and one.startswith(folder)
            and not any(f"{lead}/".startswith(f"{one}/") for lead in leads)
        ):
            return everything_in(one) if path.startswith(f"{one}/") else literal(path)
    return literal(path)
