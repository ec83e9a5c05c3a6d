"""What changed? Git's records become changes: one path each, a rename as its old path and its new
one.
"""

import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import compress
from operator import attrgetter

from msgspec import Struct
from msgspec.structs import replace

from toolkit.errors import UsageError
from toolkit.model import Change, ChangeOrigin, ChangeStatus
from toolkit.ports import files
from toolkit.ports.git import GITLINK, FileState, Git, IndexEntry, TreeChange

_STATUS = {
    "A": ChangeStatus.ADDED,
    "D": ChangeStatus.DELETED,
    "M": ChangeStatus.MODIFIED,
    "T": ChangeStatus.TYPE_CHANGED,
    "?": ChangeStatus.ADDED,
    "u": ChangeStatus.CONFLICTED,
}


_UNKNOWN, _GIVEN = ChangeStatus.UNKNOWN, ChangeOrigin.GIVEN
_STAGED, _UNSTAGED = ChangeOrigin.STAGED, ChangeOrigin.UNSTAGED
_UNTRACKED = ChangeOrigin.UNTRACKED
"""By themselves, for each of many paths: Python 3.11 takes long to find a member in its class."""
_PATH = attrgetter("path")


class WorkingTree(Struct, frozen=True):
    """One look at the working tree: what git says of its files, submodules with uncommitted files,
    and what is changed though the index hides it from git (assume-unchanged, skip-worktree).
    """

    states: tuple[FileState, ...]
    submodules: tuple[str, ...]
    hidden: tuple[FileState, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """Everything that is not as committed, sorted."""
        return tuple(
            sorted({*(state.path for state in (*self.states, *self.hidden)), *self.submodules})
        )

    @property
    def unmerged(self) -> tuple[str, ...]:
        """The paths that a merge left in conflict, sorted."""
        return tuple(sorted(state.path for state in self.states if state.tree == "u"))


def look(git: Git, without: str | None = None) -> WorkingTree:
    """Look at the working tree. `without` is a file in it that does not count."""
    with Look(git) as begun:
        return begun.finish(without)


class Look:
    """A look at the working tree that has begun: git is at work until it is finished. As a context
    manager it leaves no git behind.
    """

    def __init__(self, git: Git, meanwhile: Callable[[], object] | None = None) -> None:
        """`meanwhile` is done while git keeps us waiting, if it does."""
        self._git, self._meanwhile = git, meanwhile
        self._started = git.start_status()

    def __enter__(self) -> "Look":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End git, at any moment: it writes nothing."""
        self._started.__exit__()

    def finish(self, without: str | None = None) -> WorkingTree:
        """The working tree, once. `without` is a file in it that does not count."""
        git = self._git
        submodules, hidden = self._started.index()
        # `git status` is told to ignore what is uncommitted inside of submodules (ports/git.py).
        dirty = tuple(path for path in submodules if git.is_dirty_inside(path, _hides_a_change))
        changed = changed_in_hiding(git, hidden)
        if self._meanwhile is not None and self._started.is_running:
            self._meanwhile()
        states = tuple(state for state in self._started.states() if state.path != without)
        return WorkingTree(states, dirty, changed)


def _hides_a_change(git: Git, hidden: Sequence[IndexEntry]) -> bool:
    return bool(changed_in_hiding(git, hidden))


def changed_in_hiding(git: Git, hidden: Sequence[IndexEntry]) -> tuple[FileState, ...]:
    """Which of the entries that the index hides are not on disk as they are in it: git was told not
    to look, so we do.
    """
    if not hidden:
        return ()
    counts = git.is_set("core.filemode", True)
    letters = {
        entry.path: _letter(os.path.join(git.root, entry.path), entry, counts) for entry in hidden
    }
    ids = {entry.path: entry.object_id for entry in hidden}
    stored = git.stored([path for path, letter in letters.items() if letter == "?"])
    for path, object_id in stored.items():  # line ends and filters may be all that differs
        letters[path] = "" if object_id == ids[path] else "M"
    states: list[FileState] = []
    for path, letter in letters.items():
        if letter:
            # Where git cannot say what it would store, the file counts as modified.
            states.append(FileState(path, ".", "M" if letter == "?" else letter))
    return tuple(states)


def _letter(path: str, entry: IndexEntry, modes_count: bool) -> str:
    """How a path on disk differs from its entry: D, T, M, empty if it does not, `?` if git has to
    be asked.
    """
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return "D"
    # A submodule that is checked out is a folder; its content is looked at elsewhere.
    if entry.mode == GITLINK:
        return "" if stat.S_ISDIR(mode) else "T"
    is_file, is_link = stat.S_ISREG(mode), stat.S_ISLNK(mode)
    if (entry.mode == "120000") != is_link or not (is_file or is_link):
        return "T"
    if is_file and modes_count and (entry.mode == "100755") != bool(mode & 0o100):
        return "M"
    if files.blob_id(path, len(entry.object_id)) == entry.object_id:
        return ""
    return "M" if is_link else "?"  # no filter is applied to a link


def between(diffs: Iterable[Iterable[TreeChange]]) -> list[Change]:
    """The changes between two commits; with several diffs (criss-cross merge bases) what is in any
    of them.

    Where they disagree about what happened to a path, its status is unknown, which every rule lets
    through.
    """
    changes: dict[str, Change] = {}
    for diff in diffs:
        for change in _committed(diff):
            before = changes.setdefault(change.path, change)
            if before.status is not change.status:
                changes[change.path] = replace(before, status=ChangeStatus.UNKNOWN)
    return _sorted(changes.values())


NetStatuses = Callable[[Sequence[str]], Mapping[str, ChangeStatus]]
"""How some paths of the working tree stand against the base; those that are as there are left
out.
"""


def in_work_tree(
    committed: Collection[Change],
    git: Git,
    bases: Sequence[str],
    working_tree: WorkingTree | None = None,
    net_statuses: NetStatuses | None = None,
) -> list[Change]:
    """The changes between the base and the working tree, which is what would be deployed.

    A committed change that the working tree takes back is none; git is only asked about that where
    there is doubt. `net_statuses` knows what git would say.
    """
    working_tree = working_tree or look(git)
    changes = {change.path: change for change in committed}
    # By state and not by path: what is removed from the index alone has two.
    doubtful = [_is_doubtful(state, changes) for state in working_tree.states]
    paths = [state.path for state in compress(working_tree.states, doubtful)]
    net: Mapping[str, ChangeStatus] = {}
    if paths and net_statuses is not None:
        net = net_statuses(paths)
    elif paths:  # a git call that reads these files: only where it is needed
        diffs = (git.diff_work_tree(base, paths) for base in bases)
        net = {change.path: change.status for change in between(diffs)}
    for state, is_doubtful in zip(working_tree.states, doubtful, strict=True):
        before = changes.pop(state.path, None)
        if not is_doubtful:
            changes[state.path] = _uncommitted(state, before)
        elif state.path in net:
            status = net[state.path]
            moved = before.old_path if before and status == ChangeStatus.ADDED else None
            changes[state.path] = Change(state.path, status, moved, _origin(state))
    return _sorted(_with_submodules(changes, working_tree))


class TreeComparisons:
    """The working tree against many bases. Git is asked once about the bases at which the paths in
    doubt are the same.
    """

    def __init__(self, git: Git, working_tree: WorkingTree) -> None:
        self._git, self._tree = git, working_tree
        self._paths = frozenset(state.path for state in working_tree.states)
        self._known: dict[tuple[object, ...], Mapping[str, ChangeStatus]] = {}

    def changes(self, diffs: Mapping[str, Sequence[TreeChange]]) -> list[Change]:
        """The changes between some bases, each with what differs between it and HEAD, and the
        working tree.
        """
        committed = between(diffs.values())
        tree = self._tree
        if not (tree.states or tree.submodules or tree.hidden):
            return committed
        return in_work_tree(
            committed, self._git, (), tree, lambda paths: self._statuses(paths, diffs)
        )

    def _statuses(
        self, paths: Sequence[str], diffs: Mapping[str, Sequence[TreeChange]]
    ) -> Mapping[str, ChangeStatus]:
        merged: dict[str, ChangeStatus] = {}
        for base, diff in diffs.items():
            for path, status in self._against(base, diff, paths).items():
                before = merged.setdefault(path, status)
                if before is not status:
                    merged[path] = _UNKNOWN
        return merged

    def _against(
        self, base: str, diff: Sequence[TreeChange], paths: Sequence[str]
    ) -> Mapping[str, ChangeStatus]:
        # What is not in the difference is as it is in HEAD.
        at_base = {
            change.path: (change.old_mode, change.old_id)
            for change in diff
            if change.path in self._paths
        }
        key = tuple((path, at_base.get(path)) for path in paths)
        known = self._known.get(key)
        if known is None:
            asked = frozenset(paths)
            changes = between([self._git.diff_work_tree(base, paths)])
            known = {change.path: change.status for change in changes if change.path in asked}
            self._known[key] = known
        return known


def _is_doubtful(state: FileState, committed: Mapping[str, Change]) -> bool:
    """Whether a path's state against HEAD and the index does not yet say how it stands against the
    base.

    That is so where something else happened to it as well; and a file that is gone may never have
    been more than announced (`add -N`).
    """
    return state.tree not in "?u" and (
        state.tree == "D" or state.path in committed or "." not in (state.index, state.tree)
    )


def uncommitted(git: Git, working_tree: WorkingTree | None = None) -> list[Change]:
    """What differs between HEAD and the working tree."""
    working_tree = working_tree or look(git)
    changes: dict[str, Change] = {}
    for state in working_tree.states:
        changes[state.path] = _uncommitted(state, changes.get(state.path))
    return _sorted(_with_submodules(changes, working_tree))


def _with_submodules(changes: dict[str, Change], working_tree: WorkingTree) -> Iterable[Change]:
    """A submodule is one path; edits inside it that nobody has committed yet change what is built
    from it all the same.

    So do edits that the index hides from git.
    """
    for path in working_tree.submodules:
        changes.setdefault(path, Change(path, ChangeStatus.MODIFIED, origin=ChangeOrigin.UNSTAGED))
    for state in working_tree.hidden:
        changes[state.path] = Change(state.path, status(state.tree), origin=ChangeOrigin.UNSTAGED)
    return changes.values()


def listed(data: bytes, separator: bytes) -> list[Change]:
    """The changes that a list of paths names: separated by line ends (git's quotes are undone), or
    by NUL. Raises UsageError.
    """
    # Written without -z: the whole list would be one path.
    if separator == b"\0" and data.endswith(b"\n") and separator not in data:
        raise UsageError("no path ends in NUL", "leave -z out, or write the list with -z")
    # Some editors and shells begin a file with a byte order mark.
    records = data.removeprefix(b"\xef\xbb\xbf").split(separator)
    if separator == b"\n":
        # Lines that were written on Windows end in CR LF.
        records = [_unquoted(record.removesuffix(b"\r")) for record in records]
    if any(b"\0" in record for record in records):
        raise UsageError(
            "a path has a NUL in it, which no path can have",
            "add -z if the paths are separated by NUL",
        )
    paths = (record.decode("utf-8", "surrogateescape") for record in records if record)
    return _sorted(
        {path: Change(path, _UNKNOWN, origin=_GIVEN) for path in map(relative, paths)}.values()
    )


def relative(path: str) -> str:
    """A path as git writes it. Raises UsageError where it cannot be one of the repository."""
    while path.startswith("./"):
        path = path[2:]
    if path.endswith("/"):
        raise UsageError(
            f"{path!r} is a folder",
            "list the files in it (git status --untracked-files=all), or a submodule without "
            "the slash",
        )
    if not path or path.startswith("/") or {"", ".", ".."}.intersection(path.split("/")):
        raise UsageError(
            f"{path!r} is not a path in the repository",
            "write it relative to the repository's root, as `git diff --name-only` does",
        )
    return path


def status(letter: str) -> ChangeStatus:
    """Git's letter in our words."""
    return _STATUS.get(letter, _UNKNOWN)


def _committed(diff: Iterable[TreeChange]) -> Iterator[Change]:
    """A deleted file whose very content was added elsewhere was moved: both paths count, and the
    new one says where from.
    """
    changes = list(diff)
    # Submodules are left out: two of them may well be at the same commit.
    gone = {
        change.old_id: change.path
        for change in changes
        if change.letter == "D" and change.old_mode != GITLINK
    }
    for change in changes:
        moved = gone.get(change.new_id) if gone and change.letter == "A" else None
        yield Change(change.path, _STATUS.get(change.letter, _UNKNOWN), moved)


def _uncommitted(state: FileState, before: Change | None) -> Change:
    """What became of a path that git told one thing of; `before` is a file that was deleted, and is
    back untracked.
    """
    letters = {state.index, state.tree} - {"."}
    # In this order: what was staged and then deleted is deleted.
    known = (_STATUS[letter] for letter in "DuAT?M" if letter in letters)
    status = next(known, _UNKNOWN)
    was_deleted = before is not None and before.status == ChangeStatus.DELETED
    if was_deleted and status == ChangeStatus.ADDED:
        status = ChangeStatus.MODIFIED
    return Change(state.path, status, origin=_origin(state))


def _origin(state: FileState) -> ChangeOrigin:
    if state.index == "?":
        return _UNTRACKED
    return _STAGED if state.tree == "." else _UNSTAGED


def _sorted(changes: Iterable[Change]) -> list[Change]:
    return sorted(changes, key=_PATH)


_OCTAL = re.compile(rb"[0-3][0-7]{2}")
_ESCAPES = {b"a": 7, b"b": 8, b"t": 9, b"n": 10, b"v": 11, b"f": 12, b"r": 13, b'"': 34, b"\\": 92}


def _unquoted(record: bytes) -> bytes:
    """Undo the quotes that git puts around a name with unusual bytes; leave any other name as it
    is.
    """
    if len(record) < 2 or not (record.startswith(b'"') and record.endswith(b'"')):
        return record
    out, index, inside = bytearray(), 0, record[1:-1]
    while index < len(inside):
        char = inside[index : index + 1]
        if char != b"\\":
            out += char
            index += 1
        elif inside[index + 1 : index + 2] in _ESCAPES:
            out.append(_ESCAPES[inside[index + 1 : index + 2]])
            index += 2
        elif octal := _OCTAL.match(inside, index + 1):
            out.append(int(octal[0], 8))
            index += 4
        else:
            return record
    return bytes(out)
