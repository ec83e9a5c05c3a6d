"""Which rules match a path? The patterns of all rules at once, looked up instead of tried one after
the other.

A pattern is filed under its literal leading folder, and there by what its last segment pins down:
nothing (`dir/**`), a file name, an extension, or no more than a regular expression, compiled when
the first path reaches it. For a path's folder the few shelves that apply are merged once; the paths
of that folder then cost a slice and one or two dictionary look-ups each. A path is any string
without a NUL.
"""

import re
from collections.abc import Callable, Iterable, Sequence

from toolkit.formats.glob import (
    GLOBSTAR,
    STAR,
    PatternError,
    Plain,
    alternatives,
    folder_regex,
    names_itself,
    regex,
)

Hit = tuple[int, int]
"""The index of a rule in the list given, and of the positive pattern that matched first (-1: the
rule has only `!` patterns).
"""


class _Regex:
    """A regular expression that is compiled on first use: most rules are never reached."""

    __slots__ = ("_match", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self._match: Callable[[str], object] | None = None

    def __call__(self, path: str) -> bool:
        # Compiling costs more than everything else that is done for most rules.
        if self._match is None:
            self._match = re.compile(self.source).fullmatch
        return self._match(path) is not None


_Entry = tuple[int, _Regex | None]


class _Shelf:
    """The patterns with one literal leading folder. The `own_` ones are for files in that very
    folder, not below.
    """

    __slots__ = (
        "below",
        "extensions",
        "folders",
        "loose",
        "names",
        "own_extensions",
        "own_loose",
        "own_names",
    )

    def __init__(self) -> None:
        self.below: list[int] = []
        self.folders: list[tuple[int, _Regex]] = []
        self.names: dict[str, list[_Entry]] = {}
        self.extensions: dict[str, list[tuple[str, int, _Regex | None]]] = {}
        self.loose: list[tuple[int, _Regex]] = []
        self.own_names: dict[str, list[_Entry]] = {}
        self.own_extensions: dict[str, list[tuple[str, int, _Regex | None]]] = {}
        self.own_loose: list[tuple[int, _Regex]] = []


class _Merged:
    """Everything that can match a file of one folder: a pattern id each, or what has to hold for
    it.
    """

    __slots__ = ("always", "extensions", "loose", "names", "plain")

    def __init__(self, always: tuple[int, ...], shelves: Sequence[tuple[_Shelf, bool]]) -> None:
        self.always = always
        self.names: dict[str, list[_Entry]] = {}
        self.extensions: dict[str, list[tuple[str, int, _Regex | None]]] = {}
        self.loose: list[tuple[int, _Regex]] = []
        for shelf, is_own in shelves:
            self._add(shelf.names, shelf.extensions, shelf.loose)
            if is_own:
                self._add(shelf.own_names, shelf.own_extensions, shelf.own_loose)
        self.plain = not (self.names or self.extensions or self.loose)

    def _add(
        self,
        names: dict[str, list[_Entry]],
        extensions: dict[str, list[tuple[str, int, _Regex | None]]],
        loose: list[tuple[int, _Regex]],
    ) -> None:
        for name, entries in names.items():
            self.names[name] = self.names.get(name, []) + entries
        for extension, suffixes in extensions.items():
            self.extensions[extension] = self.extensions.get(extension, []) + suffixes
        self.loose += loose


class Matcher:
    """Matches paths against lists of patterns, `!` patterns excluding, whatever their order.

    `lists` holds one sequence of patterns a rule. Raises PatternError with the index of the list
    and the pattern as attributes `rule` and `pattern` set.
    """

    def __init__(self, lists: Iterable[Sequence[str]]) -> None:
        self._shelves: dict[str, _Shelf] = {}
        self._deepest = 0
        self._patterns: list[
            tuple[int, int, bool]
        ] = []  # pattern id -> rule, index in the rule, negative
        self._merged: dict[str, _Merged] = {}
        self._shared: dict[tuple[object, ...], _Merged] = {}
        self._hits: dict[tuple[int, ...], tuple[Hit, ...]] = {}
        for rule, patterns in enumerate(lists):
            self._add_rule(rule, patterns)

    def match(self, path: str) -> tuple[Hit, ...]:
        """The rules that match, in the order they were given."""
        cut = path.rfind("/")
        folder = path[:cut] if cut > 0 else ""
        merged = self._merged.get(folder) or self._merge(folder)
        ids = merged.always
        if not merged.plain:
            ids = self._narrow(merged, ids, path, path[cut + 1 :])
        # Many paths match the same patterns, so each set of patterns is resolved once.
        hits = self._hits.get(ids)
        if hits is None:
            return self._resolve(ids)
        return hits

    @staticmethod
    def _narrow(merged: _Merged, ids: tuple[int, ...], path: str, name: str) -> tuple[int, ...]:
        # Lists, not generators, in here: this runs for each path, and they are faster.
        entries = merged.names.get(name)
        if entries:
            ids += tuple([pattern_id for pattern_id, test in entries if test is None or test(path)])
        if merged.extensions:
            suffixes = merged.extensions.get(name[name.rfind(".") :])
            if suffixes:
                ids += tuple(
                    [
                        pattern_id
                        for suffix, pattern_id, test in suffixes
                        if name.endswith(suffix) and (test is None or test(path))
                    ]
                )
        for pattern_id, test in merged.loose:
            if test(path):
                ids += (pattern_id,)
        return ids

    def _resolve(self, ids: tuple[int, ...]) -> tuple[Hit, ...]:
        first: dict[int, int] = {}
        excluded: set[int] = set()
        for pattern_id in ids:
            rule, index, negative = self._patterns[pattern_id]
            if negative:
                excluded.add(rule)
            elif index < first.get(rule, index + 1):
                first[rule] = index
        hits = tuple(sorted((rule, index) for rule, index in first.items() if rule not in excluded))
        self._hits[ids] = hits
        return hits

    def _merge(self, folder: str) -> _Merged:
        """What applies in a folder: the shelves of the folder and of its ancestors, as deep as any
        pattern's literal folder.
        """
        shelves: list[tuple[_Shelf, bool]] = []
        below: list[int] = []
        in_folders: list[int] = []
        for ancestor in self._ancestors(folder):
            shelf = self._shelves.get(ancestor)
            if shelf is not None:
                shelves.append((shelf, ancestor == folder))
                below += shelf.below
                in_folders += [pattern_id for pattern_id, test in shelf.folders if test(folder)]
        key = (tuple(in_folders), *((id(shelf), is_own) for shelf, is_own in shelves))
        # Folders with the same shelves share one merge: there are far more folders than rules.
        merged = self._shared.get(key)
        if merged is None:
            merged = self._shared[key] = _Merged((*below, *in_folders), shelves)
        if len(folder) < 4096:  # a longer name is an attack on memory, not a folder
            self._merged[folder] = merged
        return merged

    def _ancestors(self, folder: str) -> list[str]:
        ancestors, start = [""], 0
        for _ in range(self._deepest):
            slash = folder.find("/", start)
            if slash < 0:
                break
            ancestors.append(folder[:slash])
            start = slash + 1
        if folder and ancestors[-1] != folder and len(ancestors) <= self._deepest:
            ancestors.append(folder)
        return ancestors

    def _add_rule(self, rule: int, patterns: Sequence[str]) -> None:
        for index, pattern in enumerate(patterns):
            negative = pattern.startswith("!")
            try:
                plains = alternatives(pattern[1:] if negative else pattern)
            except PatternError as error:
                error.rule, error.pattern = rule, index  # type: ignore[attr-defined]
                raise
            pattern_id = self._new_id(rule, index, negative)
            for plain in plains:
                self._file(pattern_id, plain)
        if patterns and all(pattern.startswith("!") for pattern in patterns):
            # A rule of exclusions alone matches everything else.
            self._shelf("").below.append(self._new_id(rule, -1, False))

    def _new_id(self, rule: int, index: int, negative: bool) -> int:
        self._patterns.append((rule, index, negative))
        return len(self._patterns) - 1

    def _shelf(self, folder: str) -> _Shelf:
        shelf = self._shelves.get(folder)
        if shelf is None:
            shelf = self._shelves[folder] = _Shelf()
            self._deepest = max(self._deepest, folder.count("/") + 1 if folder else 0)
        return shelf

    def _file(self, pattern_id: int, plain: Plain) -> None:
        """Put one plain alternative on the shelf of its literal leading folder."""
        literal = 0
        while (
            literal < len(plain)
            and isinstance(plain[literal], str)
            and plain[literal] is not GLOBSTAR
        ):
            literal += 1
        lead, rest = plain[:literal], plain[literal:]
        if not rest:
            self._file_path(pattern_id, lead)
        elif rest == (GLOBSTAR,):
            self._file_tree(pattern_id, lead)
        elif rest[-1] is GLOBSTAR:
            self._file_folders(pattern_id, lead, plain)
        else:
            self._file_tail(pattern_id, lead, rest, plain)

    def _file_tree(self, pattern_id: int, lead: Plain) -> None:
        """`dir/**`: everything below the folder, and a submodule (or file) of its name."""
        self._shelf("/".join(lead)).below.append(pattern_id)  # type: ignore[arg-type]
        if lead:
            self._file_path(pattern_id, lead)

    def _file_path(self, pattern_id: int, lead: Plain) -> None:
        """`dir/name`: this path and no other."""
        *folders, name = lead
        self._shelf("/".join(folders)).own_names.setdefault(name, []).append((pattern_id, None))  # type: ignore[arg-type]

    def _file_folders(self, pattern_id: int, lead: Plain, plain: Plain) -> None:
        """`**/dir/**`: decided by the folder alone, but for a submodule (or file) that the rest
        names.
        """
        shelf = self._shelf("/".join(lead))  # type: ignore[arg-type]
        shelf.folders.append((pattern_id, _Regex(folder_regex(plain))))
        if names_itself(plain):
            self._file_name(shelf, pattern_id, plain[-2], regex(plain[:-1]), own_folder=False)

    def _file_tail(self, pattern_id: int, lead: Plain, rest: Plain, plain: Plain) -> None:
        shelf = self._shelf("/".join(lead))  # type: ignore[arg-type]
        last = rest[-1]
        if len(rest) == 1:
            self._file_name(shelf, pattern_id, last, _own_test(last, plain), own_folder=True)
        elif len(rest) == 2 and rest[0] is GLOBSTAR:
            self._file_name(shelf, pattern_id, last, _own_test(last, plain), own_folder=False)
        else:
            self._file_name(shelf, pattern_id, last, regex(plain), own_folder=False)

    def _file_name(
        self,
        shelf: _Shelf,
        pattern_id: int,
        last: str | tuple[str, ...],
        test: str | None,
        own_folder: bool,
    ) -> None:
        """File by what `last` pins down; `test` is the regular expression that must hold besides
        (None: nothing).
        """
        names, extensions, loose = shelf.names, shelf.extensions, shelf.loose
        if own_folder:
            names, extensions, loose = shelf.own_names, shelf.own_extensions, shelf.own_loose
        checked = None if test is None else _Regex(test)
        suffix = _suffix(last)
        if isinstance(last, str):
            names.setdefault(last, []).append((pattern_id, checked))
        elif suffix:
            extension = suffix[suffix.rfind(".") :]
            extensions.setdefault(extension, []).append((suffix, pattern_id, checked))
        else:
            loose.append((pattern_id, checked or _Regex("(?s:.*)")))


def _own_test(last: str | tuple[str, ...], plain: Plain) -> str | None:
    """What has to hold besides the look-up for a pattern that is a folder and one last segment."""
    if isinstance(last, str) or (last[0] is STAR and _suffix(last) == "".join(last[1:])):
        return None
    return regex(plain)


def _suffix(last: str | tuple[str, ...]) -> str:
    """The literal end of a segment from its first dot on, empty where there is none: `*.test.ts` ->
    `.test.ts`.
    """
    if isinstance(last, str):
        return ""
    start = len(last)
    while start and last[start - 1][0] != "\0":
        start -= 1
    literal = "".join(last[start:])
    dot = literal.find(".")
    if dot >= 0:
        return literal[dot:]
    return ""
