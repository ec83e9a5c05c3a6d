"""`rules replay --snapshots`: commits that changed a committed template snapshot, beside what
today's rules would have called for. Nothing is run.
"""

import re
from collections.abc import Iterator, Sequence

from toolkit.flow.replays import TodaysRules
from toolkit.flow.syntheses import synthesis_folders
from toolkit.formats.template_snapshots import ENDINGS, MOST_BYTES, template_snapshots
from toolkit.model import Rules
from toolkit.ports.git import Git, TreeChange
from toolkit.templates.refinement import ReplayedTemplates, beside_rules

_TEST = re.compile(
    r"(?:.*/)?(?:tests?|__tests__|spec|e2e)/.*|.*\.(?:test|spec)\.[a-z]+|(?:.*/)?test_[^/]*|.*_test\.[a-z]+"
)
"""What tests are made of, and their snapshots."""
UNREADABLE = f"cannot be read: this clone has no such file, or it has over {MOST_BYTES >> 20} MB"


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
        row = _replayed(commit, entries, folders, today.called_by_path(causes))
        if row.changed or row.unknown:
            yield row


def _is_of_tests(path: str) -> bool:
    return path.endswith(ENDINGS) or _TEST.fullmatch(path) is not None


def _changed_entries(
    git: Git, commit: str, changes: Sequence[TreeChange]
) -> dict[str, dict[str, None] | None]:
    """Of each snapshot file, the entries whose template a commit has changed: not those that it
    adds or removes, which is a matter of the tests. None for a file that cannot be read.
    """
    paths = [
        change.path for change in changes if change.letter == "M" and change.path.endswith(ENDINGS)
    ]
    changed: dict[str, dict[str, None] | None] = {}
    if not paths:
        return changed
    contents = git.blobs([(at, path) for path in paths for at in (f"{commit}^", commit)])
    for path, before, after in zip(paths, contents[::2], contents[1::2], strict=True):
        if before is None or after is None or max(len(before), len(after)) > MOST_BYTES:
            changed[path] = None
            continue
        earlier = template_snapshots(path, before)
        names = [
            name
            for name, template in template_snapshots(path, after).items()
            if earlier.get(name, template) != template
        ]
        if names:
            changed[path] = dict.fromkeys(names)
    return changed


def _replayed(
    commit: str,
    entries: dict[str, dict[str, None] | None],
    folders: dict[str, tuple[str, ...]],
    called: dict[str, set[str]],
) -> ReplayedTemplates:
    every_called = set[str]().union(*called.values())
    changed: set[str] = set()
    unknown: dict[str, str] = {}
    for path, names in entries.items():
        candidates = _candidates(path, folders)
        if names is None:
            unknown |= dict.fromkeys(candidates, f"{path} changed, and {UNREADABLE}")
        for name in names or ():
            meant = _named(name, path, candidates)
            changed.update(meant)
            if not meant:
                why = f"a template in {path} changed, which does not say whose it is"
                if every_called.isdisjoint(candidates):
                    why += ", and no rule calls for any that it may be of"
                unknown |= dict.fromkeys(candidates, why)
    unknown = {name: why for name, why in unknown.items() if name not in changed}
    return beside_rules(commit, called, changed, unknown, {*changed, *unknown})


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
