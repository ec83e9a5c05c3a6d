"""Is on disk what the commit says? "Clean according to git" is not "complete on disk": git leaves
things out, and does not call that a change.

A submodule that is not checked out, files that a sparse checkout leaves out, pointers of Git LFS
whose content was never fetched, filters that were never applied, edits that git was told not to
see: each is a gap. So is a merge that is not finished.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import StrEnum

from msgspec import Struct

from toolkit.advice import Advice, ShellCommand
from toolkit.changes.detect import WorkingTree, changed_in_hiding
from toolkit.errors import GitError
from toolkit.ports import files
from toolkit.ports.git import GITLINK, FileState, Git, IndexEntry

FILE, LINK, PROGRAM = "100644", "120000", "100755"
ASSUMED, SKIPPED = "assume-unchanged", "skip-worktree"
DEEPEST = 16
"""How many submodules may lie in each other."""

_POINTERS = (
    b"version https://git-lfs.github.com/spec/",
    b"version https://hawser.github.com/spec/",
)
_LOCKED = b"\0GITCRYPT\0"
_LARGEST_WITH_MARKERS = 1 << 22


class GapReason(StrEnum):
    """Why a path is not on disk as the commit has it."""

    UNMERGED = "unmerged"
    SUBMODULE = "submodule"
    SPARSE = "sparse"
    POINTER = "lfs"
    FILTER = "filter"
    HIDDEN = "hidden"
    SYMLINK = "symlink"
    MODE = "mode"


class Gap(Struct, frozen=True):
    """One path that is not on disk as the commit has it. `detail` is the filter's name, or what
    hides it, `state` a digest of what is there instead.

    `inside` is the submodule that it belongs to, `top` the outermost one, which is the path that
    rules know; both from the repository's root, and empty outside of one.
    """

    path: str
    why: GapReason
    detail: str = ""
    state: str = ""
    inside: str = ""
    top: str = ""


def gaps(git: Git, working_tree: WorkingTree) -> tuple[Gap, ...]:
    """All of them, sorted by path. `working_tree` is what git itself reports as changed."""
    by_path = {gap.path: gap for gap in _repository_gaps(git, working_tree, "", "", 0)}
    # git counts a conflict as resolved once the file is added, with markers in it or not.
    for path in working_tree.paths:
        if path not in by_path and _has_markers(os.path.join(git.root, path)):
            by_path[path] = Gap(path, GapReason.UNMERGED)
    return tuple(by_path[path] for path in sorted(by_path))


def _repository_gaps(
    git: Git, working_tree: WorkingTree | None, inside: str, top: str, depth: int
) -> Iterator[Gap]:
    """The gaps of one repository: the outer one, or a submodule that is checked out."""
    links, modes = git.is_set("core.symlinks", True), git.is_set("core.filemode", True)
    regular: list[IndexEntry] = []
    hidden: list[IndexEntry] = []
    for entry in git.entries():
        if entry.flag == "H" and entry.mode == FILE:
            regular.append(entry)  # most are like this, and nothing of it has to be looked at
            continue
        path, on_disk = os.path.join(inside, entry.path), os.path.join(git.root, entry.path)
        if entry.flag in "Mm":
            yield Gap(path, GapReason.UNMERGED, inside=inside, top=top)
        elif entry.mode == GITLINK:
            yield from _submodule_gaps(git, entry, path, inside, top, depth)
        elif entry.flag in "Ss" and not os.path.lexists(on_disk):
            yield Gap(path, GapReason.SPARSE, inside=inside, top=top)
        else:
            if entry.flag == "S" or entry.flag.islower():
                hidden.append(entry)
            if entry.mode != LINK:
                regular.append(entry)
                if entry.mode == PROGRAM and not modes and not os.access(on_disk, os.X_OK):
                    yield Gap(path, GapReason.MODE, inside=inside, top=top)
            elif not links and not os.path.islink(on_disk):
                yield Gap(path, GapReason.SYMLINK, inside=inside, top=top)
    # Of the outer repository it has been read already; of a submodule nobody has asked yet.
    states = changed_in_hiding(git, hidden) if working_tree is None else working_tree.hidden
    assumed = {entry.path for entry in hidden if entry.flag == "h"}
    yield from _hidden_gaps(git, states, assumed, inside, top)
    yield from _unfiltered(git, regular, inside, top)


def _hidden_gaps(
    git: Git, states: Iterable[FileState], assumed: Collection[str], inside: str, top: str
) -> Iterator[Gap]:
    """What has changed although git was told not to look; `assumed` are the paths for which that
    was by assume-unchanged.
    """
    for state in states:
        digest = files.digest(os.path.join(git.root, state.path))
        path = os.path.join(inside, state.path)
        hidden_by = ASSUMED if state.path in assumed else SKIPPED
        yield Gap(path, GapReason.HIDDEN, hidden_by, digest, inside, top)


def _submodule_gaps(
    git: Git, entry: IndexEntry, path: str, inside: str, top: str, depth: int
) -> Iterator[Gap]:
    """What is missing of a submodule, and in it. Being at another commit is a change, not a gap:
    git reports that itself.
    """
    folder = os.path.join(git.root, entry.path)
    if os.path.islink(folder) or (os.path.lexists(folder) and not os.path.isdir(folder)):
        return  # git calls that a change
    submodule = open_own(folder) if depth < DEEPEST else None
    if submodule is None or submodule.head is None:
        state = str(sorted(_names(folder)))
        yield Gap(path, GapReason.SUBMODULE, state=state, inside=inside, top=top)
        return
    yield from _repository_gaps(submodule, None, path, top or path, depth + 1)


def open_own(folder: str) -> Git | None:
    """The repository of a folder, None if it has none of its own that can be read."""
    if not os.path.lexists(os.path.join(folder, ".git")):
        return None
    try:
        git = Git.open(folder)
    except GitError:
        return None
    # With a broken .git git takes the repository around it, which is another one.
    same = os.path.realpath(git.root) == os.path.realpath(folder)
    return git if same else None


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _unfiltered(git: Git, entries: Sequence[IndexEntry], inside: str, top: str) -> Iterator[Gap]:
    """The files on disk that are still as git stores them, though .gitattributes names a filter
    that makes something else of them.
    """
    filters = git.filter_of([entry.path for entry in entries])
    if not filters:
        return
    commands = git.filters()
    ids = {entry.path: entry.object_id for entry in entries}
    for path, name in filters.items():
        why = _unapplied(os.path.join(git.root, path), ids[path], name, commands.get(name, {}))
        if why is not None:
            yield Gap(os.path.join(inside, path), why, name, ids[path], inside, top)


def _unapplied(path: str, object_id: str, name: str, commands: dict[str, str]) -> GapReason | None:
    """Why a file is not what its filter makes of it; None where nothing says that it is not."""
    start = files.beginning(path, 64)
    if start.startswith(_POINTERS):
        return GapReason.POINTER
    if start.startswith(_LOCKED):
        return GapReason.FILTER
    if name == "lfs" or not start:
        return None  # its content, or nothing: an empty file is one to every filter
    smudges = commands.get("process") or commands.get("smudge")
    if commands and (smudges is None or smudges.split() == ["cat"]):
        return None  # it only works on what is committed
    return GapReason.FILTER if files.blob_id(path, len(object_id)) == object_id else None


def _has_markers(path: str) -> bool:
    """Whether a file has what a merge writes between two sides that it could not join."""
    data = files.beginning(path, _LARGEST_WITH_MARKERS)
    if b"<<<<<<< " not in data or b">>>>>>> " not in data:
        return False
    markers = [b"<<<<<<< ", b"=======", b">>>>>>> "]  # in this order, or it is other text
    for line in data.splitlines():
        if line.startswith(markers[0]):
            markers.pop(0)
        if not markers:
            return True
    return False


def describe(incomplete: Sequence[Gap]) -> tuple[str, Advice]:
    """What is wrong in one line, and what fixes the first of at least one gap."""
    first = incomplete[0]
    rest = len(incomplete) - 1
    more = ""
    if rest:
        more = f", and {rest} more {'path' if rest == 1 else 'paths'}"
    return f"{_words(first)}{more}", _fix(first)


def _words(gap: Gap) -> str:
    path = repr(gap.path)
    if gap.why == GapReason.UNMERGED:
        return f"{path} has an unresolved merge conflict"
    if gap.why == GapReason.SUBMODULE:
        return f"submodule {path} is not checked out"
    if gap.why == GapReason.SPARSE:
        return f"{path} is left out by a sparse checkout"
    if gap.why == GapReason.POINTER:
        return f"{path} is a Git LFS pointer, not the file itself"
    if gap.why == GapReason.FILTER:
        return f"filter {gap.detail!r} was not applied to {path}"
    if gap.why == GapReason.HIDDEN:
        return f"{path} was changed, and {gap.detail} hides that from git"
    if gap.why == GapReason.SYMLINK:
        return f"{path} is a text file instead of a symbolic link (core.symlinks is false)"
    return f"{path} is not executable (core.fileMode is false)"


def _fix(gap: Gap) -> Advice:
    """What fixes it. Commands are run from the repository's root."""
    git, path = "git", gap.path
    inside: tuple[str, ...] = ()
    if gap.inside:
        git, path, inside = "git -C {}", os.path.relpath(gap.path, gap.inside), (gap.inside,)
    if gap.why == GapReason.UNMERGED:
        return "resolve it and commit, or abandon the merge:", ShellCommand("git merge --abort")
    if gap.why == GapReason.SUBMODULE:
        return ShellCommand("git submodule update --init --recursive")
    if gap.why == GapReason.SPARSE:
        return ShellCommand(f"{git} sparse-checkout disable", inside)
    if gap.why == GapReason.POINTER:
        return ShellCommand(f"{git} lfs pull", inside)
    again, words = f"rm -- {{}} && {git} checkout --", (gap.path, *inside, path)
    if gap.why == GapReason.FILTER:
        how = f"set up filter {gap.detail!r} in git's configuration, then:"
        return how, ShellCommand(again, words)
    if gap.why == GapReason.HIDDEN:
        return ShellCommand(f"{git} update-index --no-{gap.detail} --", (*inside, path))
    if gap.why == GapReason.SYMLINK:
        return ShellCommand(f"{git} config core.symlinks true && {again}", (*inside, *words))
    return ShellCommand("chmod +x --", (gap.path,))
