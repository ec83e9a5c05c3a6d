"""`rules replay --snapshots`: commits that changed a committed template snapshot, beside what
today's rules would have called for. Nothing is run.
"""

import re
from collections.abc import Iterator, Sequence

from toolkit.flow.replays import TodaysRules
from toolkit.flow.syntheses import synthesis_folders
from toolkit.formats.template_snapshots import ENDINGS, template_snapshots
from toolkit.model import Rules
from toolkit.ports.git import Git, TreeChange
from toolkit.templates.refinement import ReplayedTemplates

_TEST = re.compile(
    r"(?:.*/)?(?:tests?|__tests__|spec|e2e)/.*|.*\.(?:test|spec)\.[a-z]+|(?:.*/)?test_[^/]*|.*_test\.[a-z]+"
)
"""What tests are made of, and their snapshots."""


def replay_snapshots(
    git: Git, rules: Rules, revisions: Sequence[str], limit: int | None
) -> Iterator[ReplayedTemplates]:
    """The commits of a first-parent history, newest first, in which a template snapshot changed
    together with something other than tests: a template has changed, and here are the causes. A
    commit that changes none proves nothing, so it is not among them.
    """
    today = TodaysRules(git, rules)
    folders = synthesis_folders(rules)
    for commit, changes in git.log(revisions, limit):
        causes = [change for change in changes if not _is_of_tests(change.path)]
        entries = _changed_entries(git, commit, changes) if causes else {}
        if not entries:
            continue
        called = {
            change.path: set[str]().union(*map(today.graph.leaves, today.call(change).targets))
            for change in causes
        }
        row = _replayed(commit, entries, folders, called)
        if row.changed or row.unknown:
            yield row


def _is_of_tests(path: str) -> bool:
    return path.endswith(ENDINGS) or _TEST.fullmatch(path) is not None


def _changed_entries(
    git: Git, commit: str, changes: Sequence[TreeChange]
) -> dict[str, dict[str, None]]:
    """Of each snapshot file, the entries whose template a commit has changed: not those that it
    adds or removes, which is a matter of the tests.
    """
    paths = [
        change.path for change in changes if change.letter == "M" and change.path.endswith(ENDINGS)
    ]
    changed: dict[str, dict[str, None]] = {}
    if not paths:
        return changed
    contents = git.blobs([(at, path) for path in paths for at in (f"{commit}^", commit)])
    for path, before, after in zip(paths, contents[::2], contents[1::2], strict=True):
        earlier = template_snapshots(path, before or b"")
        for name, template in template_snapshots(path, after or b"").items():
            if earlier.get(name, template) != template:
                changed.setdefault(path, {})[name] = None
    return changed


def _replayed(
    commit: str,
    entries: dict[str, dict[str, None]],
    folders: dict[str, tuple[str, ...]],
    called: dict[str, set[str]],
) -> ReplayedTemplates:
    every_called = set[str]().union(*called.values())
    changed: set[str] = set()
    unknown: dict[str, str] = {}
    for path, names in entries.items():
        candidates = _candidates(path, folders)
        for name in names:
            meant = _named(name, path, candidates)
            changed.update(meant)
            if not meant:
                why = f"a template in {path} changed, which does not say whose it is"
                if every_called.isdisjoint(candidates):
                    why += ", and no rule calls for any that it may be of"
                unknown |= dict.fromkeys(candidates, why)
    unknown = {name: why for name, why in unknown.items() if name not in changed}
    planned = every_called & {*changed, *unknown}
    without_rule = {
        name: tuple(sorted(path for path, targets in called.items() if name not in targets))
        for name in sorted(changed - planned)
    }
    return ReplayedTemplates(commit, frozenset(planned), frozenset(changed), unknown, without_rule)


def _candidates(path: str, folders: dict[str, tuple[str, ...]]) -> list[str]:
    """The targets that a snapshot may be of: those whose app is nearest above it, else all."""
    above: dict[int, list[str]] = {}
    for name, programs in folders.items():
        for folder in programs:
            prefix = "" if folder in ("", ".") else f"{folder}/"
            if path.startswith(prefix):
                above.setdefault(len(prefix), []).append(name)
    return above[max(above)] if above else [*folders]


def _named(entry: str, path: str, candidates: Sequence[str]) -> list[str]:
    """Those of the targets that an entry is of: the only one, else those that it or its file
    names.
    """
    if len(candidates) == 1:
        return [*candidates]
    words = _word(f"{path} {entry}")
    return [name for name in candidates if f" {_word(name)} " in f" {words} "]


def _word(text: str) -> str:
    """In lower case, with single spaces between what letters and digits spell."""
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))
