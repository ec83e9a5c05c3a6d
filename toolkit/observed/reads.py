"""Lookups -> what a command read that was there before it: the order decides what is generated."""

from collections.abc import Iterable
from posixpath import dirname, normpath

from toolkit.operations import Lookup, LookupKind

_SEEN = frozenset(
    (
        LookupKind.OPENED,
        LookupKind.RAN,
        LookupKind.LISTED,
        LookupKind.MISSING,
        LookupKind.CHECKED,
    )
)


class Reads:
    """Takes the lookups of one run, as they come, and keeps each path once.

    `roots` are the names of the repository's folder: what lies elsewhere is only counted
    (`outside`). `opened`, `listed`, `missing` and `checked` hold what was there before the run, or
    was looked for before it was made; of `opened` the names by which it was asked for, where they
    are others. `made` is what the run itself made, `generated` what it read of that, `programs`
    what was started.
    """

    def __init__(self, roots: Iterable[str]) -> None:
        self._roots = tuple(f"{root.rstrip('/')}/" for root in roots)
        self._bare = frozenset(root.rstrip("/") for root in self._roots)
        self._files: dict[str, int] = {}
        self._folders: dict[str, int] = {}
        self.opened: dict[str, set[str]] = {}
        self.listed: set[str] = set()
        self.missing: set[str] = set()
        self.checked: set[str] = set()
        self.made: set[str] = set()
        self.generated: set[str] = set()
        self.programs: set[str] = set()
        self.outside: set[str] = set()

    def take(self, lookup: Lookup) -> None:
        """Add a lookup."""
        kind, path = lookup.kind, lookup.path
        if kind is LookupKind.RAN:
            self.programs.add(path)
        if lookup.to:
            self._take_copy(lookup)
            return
        if not self._is_inside(path):
            if kind is LookupKind.OPENED:
                self.outside.add(path)
            if not (lookup.named and self._is_inside(lookup.named)):
                return
        if kind not in _SEEN:
            if kind is not LookupKind.APPENDED:
                times = self._folders if kind is LookupKind.FOLDER else self._files
                times.setdefault(path, lookup.ended)
            self.made.add(path)
        elif not self._was_made(path, lookup.began):
            self._see(kind, path, lookup.named)
        elif kind is LookupKind.OPENED:
            self.generated.add(path)

    def _see(self, kind: LookupKind, path: str, named: str) -> None:
        if kind is LookupKind.LISTED:
            self.listed.add(path)
        elif kind is LookupKind.MISSING:
            self.missing.add(path)
        elif kind is LookupKind.CHECKED:
            self.checked.add(path)
        else:
            names = self.opened.setdefault(path, set())
            if named and named != path:
                names.add(named)

    def _take_copy(self, lookup: Lookup) -> None:
        """A file or folder that has got another name. Only the name is new where its content was
        there before.
        """
        was_made = self._was_made(lookup.path, lookup.began)
        if self._is_inside(lookup.path) and not was_made:
            self._see(LookupKind.OPENED, lookup.path, lookup.path)
        if self._is_inside(lookup.to):
            if was_made:  # it may be a file or a folder
                self._files.setdefault(lookup.to, lookup.ended)
                self._folders.setdefault(lookup.to, lookup.ended)
            self.made.add(lookup.to)

    def _was_made(self, path: str, moment: int) -> bool:
        """Whether a path was made in this run before a moment: itself, or a folder around it."""
        if self._files.get(path, moment) < moment:
            return True
        folders = self._folders
        if not folders:
            return False
        while path and path not in self._bare:
            if folders.get(path, moment) < moment:
                return True
            path = dirname(path) if path != "/" else ""
        return False

    def _is_inside(self, path: str) -> bool:
        if "/../" in path or path.endswith("/.."):
            path = normpath(path)
        return path.startswith(self._roots) or path in self._bare
