"""Reads a TypeScript or JavaScript file of a CDK app, by its brackets and a few linear regular
expressions. Nothing is run.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from posixpath import join as joined

from toolkit.init.stacks.code import (
    ASSET_ARGUMENTS,
    ASSET_CALLS,
    LONGEST_TEXT,
    MOST_NAMED,
    REPOSITORY_LOOKUPS,
    STACK_VALUES,
    VARIABLE,
    CodeAsset,
    CodeFile,
    CreatedObject,
    folder_of,
    path_from_root,
)

DEEPEST = 40
"""How deep an expression is followed."""

_QUOTED = (  # the end of the text ends a string, so that it never has to back off
    r"{0}[^{0}\\\n]*(?:\\.[^{0}\\\n]*)*(?:{0}|(?=\n)|\\?\Z)"
)
_STRING = rf"""{_QUOTED.format("'")}|{_QUOTED.format('"')}|`[^`\\]*(?:\\.[^`\\]*)*(?:`|\\?\Z)"""
_COMMENT = r"//[^\n]*|/\*(?:.*?\*/|.*\Z)"
_SKIPPED = re.compile(f"({_COMMENT})|({_STRING})", re.DOTALL)
_CLASS = re.compile(r"\bclass\s+(\w+)(?:<[^<>{}]{0,200}>)?\s+extends\s+(?:\w+\.)?(\w+)")
_NEW = re.compile(r"\bnew\s+(?:\w+\.)?(\w+)\s*\(")
_HELD = re.compile(r"\b(\w+)\s*(?::[^=;\n]{1,100})?(?<![=!<>])=\s*\Z")
_CONSTANT = re.compile(r"\b(?:const|let|var)\s+(\w+)\s*(?::[^=;\n]{1,100})?=(?!=)")
_CALL = re.compile(rf"\b(\w+)\s*\.\s*({'|'.join((*ASSET_CALLS, *REPOSITORY_LOOKUPS))})\s*\(")
_ARGUMENT = re.compile(
    rf"\b({'|'.join((*ASSET_ARGUMENTS, *STACK_VALUES, 'region', 'account'))})\s*:"
)
_AFTER = re.compile(r"\b(\w+)\s*\.\s*addDependency\s*\(\s*(?:this\.)?(\w+)")
_IMPORT = re.compile(r"""(?:\bfrom|\brequire\s*\(|\bimport\s*\(?)\s*['"]([^'"\n]{1,300})['"]""")
_IMPORTED = re.compile(r"\bimport\s*(?:type\s*)?(?:\w+\s*,\s*)?\{([^{}]{0,2000})\}")
_WORDS = re.compile(r"\w+")
_LITERAL = re.compile(r"""(['"])((?:(?!\1)[^\\\n])*)\1|`([^`\\]*)`""")
_HOLE = re.compile(r"\$\{([^{}]*)\}")
_LOOKUP = re.compile(r"""(?:tryGetContext|getContext|valueFromLookup)\s*\(\s*['"](\w+)['"]""")
_FALLBACK = re.compile(r"\?\?|\|\|")
_DOTTED = re.compile(r"(?:\w+[?!]?\.)*(\w+)!?")
_JOINED = re.compile(r"(?:path\s*\.\s*)?(?:join|resolve)\s*\(")


def read_script(path: str, text: str, folder: str) -> CodeFile:
    """What the file says, for an app whose cdk.json is in `folder`."""
    return _Reader(path, text, folder).read()


class _Outline:
    """A text without comments, and with strings blanked in `bare` (same length): where each bracket
    closes, and its commas.
    """

    def __init__(self, text: str) -> None:
        self.text = _SKIPPED.sub(
            lambda found: _blank(found[0]) if found[1] is not None else found[0], text
        )
        self.bare = _SKIPPED.sub(lambda found: _blank(found[0]), text)
        self.close: dict[int, int] = {}
        self.commas: dict[int, list[int]] = {}
        waiting: list[int] = []
        for found in re.finditer(r"[(){}\[\],]", self.bare):
            at = found.start()
            if found[0] in "([{":
                waiting.append(at)
            elif found[0] == ",":
                if waiting:
                    self.commas.setdefault(waiting[-1], []).append(at)
            elif waiting:
                self.close[waiting.pop()] = at

    def arguments(self, opening: int) -> list[str]:
        """What stands between the brackets, split at its own commas; nothing if it is never
        closed.
        """
        if opening not in self.close:
            return []
        bounds = [opening, *self.commas.get(opening, [])[:20], self.close[opening]]
        return [self.text[a + 1 : min(b, a + 2000)].strip() for a, b in pairwise(bounds)]

    def expression(self, at: int) -> str:
        """The expression that starts at `at`, up to a comma, a semicolon, a closing bracket or the
        end of a line that ends it.
        """
        end = at
        while end < min(len(self.bare), at + LONGEST_TEXT):
            char = self.bare[end]
            if char in ",;)}]" or (char == "\n" and self.bare[at:end].strip()):
                break
            end = self.close.get(end, end) + 1
        return self.text[at : min(end, at + LONGEST_TEXT)].strip()


class _Reader:
    def __init__(self, path: str, text: str, folder: str) -> None:
        self.path, self.folder = path, folder
        self.outline = _Outline(text)
        self.classes = [
            (found.start(), found[1], found[2])
            for found in _first_matches(_CLASS, self.outline.bare)
        ]
        self.starts = [start for start, _, _ in self.classes]
        self.ends = [self._end(start) for start in self.starts]
        self.lines = [found.start() for found in re.finditer("\n", text)]
        self.values = _Values(path, folder, self.outline)

    def read(self) -> CodeFile:
        bare, text = self.outline.bare, self.outline.text
        calls: dict[str, set[str]] = {}
        for found in _first_matches(_NEW, bare):
            calls.setdefault(self._within(found.start()), set()).add(found[1])
        arguments = [(found[1], found) for found in _first_matches(_ARGUMENT, bare)]
        modules = [found[1] for found in _first_matches(_IMPORT, text)]
        words = [
            word for found in _first_matches(_IMPORTED, bare) for word in _WORDS.findall(found[1])
        ]
        return CodeFile(
            self.path,
            bases={name: (base,) for _, name, base in self.classes},
            calls={within: frozenset(names) for within, names in calls.items()},
            made=tuple(self._made(found) for found in _first_matches(_NEW, bare)),
            assets=tuple(self._assets(arguments)),
            imports=frozenset((*words, *(_stem(module) for module in modules))),
            relative=tuple(module for module in modules if module.startswith(".")),
            values=tuple(self._named(arguments)),
            after=tuple((found[1], found[2]) for found in _first_matches(_AFTER, bare)),
            regions=self._literals(arguments, "region"),
            accounts=self._literals(arguments, "account"),
            defaults=self.values.defaults,
        )

    def _end(self, start: int) -> int:
        opening = self.outline.bare.find("{", start)
        return self.outline.close.get(opening, len(self.outline.bare))

    def _within(self, at: int) -> str:
        found = bisect_right(self.starts, at) - 1
        return self.classes[found][1] if found >= 0 and at < self.ends[found] else ""

    def _made(self, found: re.Match[str]) -> CreatedObject:
        given = self.outline.arguments(found.end() - 1)
        named = re.search(r"\bstackName\s*:", given[2]) if len(given) > 2 else None
        written = (
            _upto_comma(given[2][named.end() :]) if named else given[1] if len(given) > 1 else None
        )
        before = _HELD.search(self.outline.bare, max(0, found.start() - 200), found.start())
        return CreatedObject(
            found[1],
            self.values.text(written) if written else None,
            before[1] if before else "",
            frozenset(word for one in given for word in _WORDS.findall(one)),
            self._within(found.start()),
            given[:1] == ["this"],
        )

    def _assets(self, arguments: list[tuple[str, re.Match[str]]]) -> Iterator[CodeAsset]:
        for found in _first_matches(_CALL, self.outline.bare):
            receiver, called = found[1], found[2]
            given = self.outline.arguments(found.end() - 1)
            if (
                called not in ASSET_CALLS
                or not given
                or (called == "asset" and receiver != "Source")
            ):
                continue
            what = "image" if "Image" in receiver else ASSET_CALLS[called]
            yield self._asset(what, given[0], given[1:], found.start())
        for name, found in arguments:
            if name in ASSET_ARGUMENTS:
                asset = self._asset(
                    ASSET_ARGUMENTS[name], self.outline.expression(found.end()), [], found.start()
                )
                if asset.path is not None:
                    yield asset

    def _asset(self, what: str, value: str, options: list[str], at: int) -> CodeAsset:
        raw = self.values.path(value)
        file = (
            re.search(r"""\bfile\s*:\s*['"`]([^'"`\n]{1,200})['"`]""", options[0])
            if options
            else None
        )
        path = None if raw is None else path_from_root(raw, self.folder)
        return CodeAsset(
            what,
            path,
            file[1] if file else None,
            self._within(at),
            bisect_right(self.lines, at) + 1,
        )

    def _named(self, arguments: list[tuple[str, re.Match[str]]]) -> Iterator[tuple[str, str, str]]:
        written = [
            (STACK_VALUES[name], self.outline.expression(found.end()), found)
            for name, found in arguments
            if name in STACK_VALUES
        ]
        for found in _first_matches(_CALL, self.outline.bare):
            given = (
                self.outline.arguments(found.end() - 1) if found[2] in REPOSITORY_LOOKUPS else []
            )
            if len(given) > 2:
                written.append(("repository", given[2], found))
        for word, value, found in written:
            name = self.values.text(value)
            if name:
                yield self._within(found.start()), word, name

    def _literals(self, arguments: list[tuple[str, re.Match[str]]], name: str) -> frozenset[str]:
        """The values of an argument; one that is computed counts as an empty one."""
        written = (
            _LITERAL.fullmatch(self.outline.expression(found.end()))
            for argument, found in arguments
            if argument == name
        )
        return frozenset(found[2] or "" if found else "" for found in written)


class _Values:
    """What an expression comes to, as far as this file tells. A name that is declared more than
    once is not followed.
    """

    def __init__(self, path: str, folder: str, outline: _Outline) -> None:
        self.here, self.folder = folder_of(path), folder
        self.declared: dict[str, str | None] = {}
        for found in _first_matches(_CONSTANT, outline.bare):
            self.declared[found[1]] = (
                None if found[1] in self.declared else outline.expression(found.end())
            )
        self.defaults: dict[str, str] = {}
        self._texts: dict[str, str | None] = {}
        self._paths: dict[str, str | None] = {}

    def text(self, written: str, depth: int = 0) -> str | None:
        """A string with `{name}` for what is only known when the app runs; None where not even that
        can be said.
        """
        parts = _split_sum(written) if depth < DEEPEST else []
        found = (
            self._piece(written.strip(), depth)
            if len(parts) == 1
            else _concatenate(parts, lambda one: self.text(one, depth + 1))
        )
        return found if found is None or len(found) <= LONGEST_TEXT else None

    def path(self, written: str, depth: int = 0) -> str | None:
        """A path: from `/`, which is the repository's root, where `__dirname` is part of it, else
        as written.
        """
        parts = _split_sum(written) if depth < DEEPEST else []
        found = (
            self._step(written.strip(), depth)
            if len(parts) == 1
            else _concatenate(parts, lambda one: self.path(one, depth + 1))
        )
        return found if found is None or len(found) <= LONGEST_TEXT else None

    def _piece(self, written: str, depth: int) -> str | None:
        literal = _LITERAL.fullmatch(written)
        if literal and literal[3] is not None:
            return _fill_template(literal[3], lambda one: self.text(one, depth + 1))
        if literal:
            return literal[2] if not set(literal[2]) & set("{}") else None
        options = _FALLBACK.split(written)
        if len(options) > 1:
            return self._with_default(options, depth)
        if lookup := _LOOKUP.search(written):
            return _placeholder(lookup[1])
        dotted = _DOTTED.fullmatch(written)
        if not dotted:
            return None
        known = (
            self._remembered(self._texts, dotted[1], depth, self.text)
            if dotted[1] == dotted[0]
            else None
        )
        return _placeholder(dotted[1]) if known is None else known

    def _with_default(self, options: list[str], depth: int) -> str | None:
        """The first of `a ?? b || 'c'`, remembering what it is where the environment or the context
        does not say.
        """
        found = self.text(options[0], depth + 1)
        hole, literal = VARIABLE.fullmatch(found or ""), _LITERAL.fullmatch(options[-1].strip())
        if hole and literal and literal[2]:
            self.defaults.setdefault(hole[1], literal[2])
        return found

    def _step(self, written: str, depth: int) -> str | None:
        literal = _LITERAL.fullmatch(written)
        if literal and literal[3] is not None:
            return _fill_template(literal[3], lambda one: self.path(one, depth + 1))
        if literal:
            return literal[2]
        if written == "__dirname":
            return self.here
        if written.replace(" ", "") == "process.cwd()":
            return f"/{self.folder}"
        call = _JOINED.match(written)
        if call and written.endswith(")"):
            return self._joined(_Outline(written).arguments(call.end() - 1), depth)
        return self._remembered(self._paths, written, depth, self.path)

    def _joined(self, parts: list[str], depth: int) -> str | None:
        found = [self.path(part, depth + 1) for part in parts if part]
        return None if None in found or not found else joined(*(one or "" for one in found))

    def _remembered(
        self,
        memory: dict[str, str | None],
        name: str,
        depth: int,
        find: Callable[[str, int], str | None],
    ) -> str | None:
        if name not in memory:
            memory[name] = (
                None  # while it is looked for: a name that stands for itself is not known
            )
            value = self.declared.get(name)
            memory[name] = find(value, depth + 1) if value else None
        return memory[name]


def _first_matches(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    return islice(pattern.finditer(text), MOST_NAMED)


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _stem(module: str) -> str:
    """The last name of a module: `../lib/api-stack.js` -> `api-stack`."""
    return re.sub(r"\.[cm]?[jt]sx?\Z", "", module.rpartition("/")[2])


def _split_sum(written: str) -> list[str]:
    """The parts of a sum; one for anything else."""
    bare = _SKIPPED.sub(lambda found: _blank(found[0]), written)
    parts, depth, start = [], 0, 0
    for at, char in enumerate(bare):
        depth += (char in "([{") - (char in ")]}")
        if char == "+" and depth == 0:
            parts.append(written[start:at])
            start = at + 1
    return [*parts, written[start:]]


def _upto_comma(written: str) -> str:
    return _Outline(written).expression(0)


def _concatenate(parts: list[str], find: Callable[[str], str | None]) -> str | None:
    found = [find(part) for part in parts]
    return None if None in found or not found else "".join(one or "" for one in found)


def _fill_template(template: str, find: Callable[[str], str | None]) -> str | None:
    """A template literal with its `${…}` filled in."""
    pieces = _HOLE.split(template)
    fixed, holes = pieces[::2], [find(one) for one in pieces[1::2]]
    if None in holes or any(set(one) & set("{}`") for one in fixed):
        return None
    return "".join(a + (b or "") for a, b in zip(fixed, [*holes, ""], strict=True))


def _placeholder(name: str) -> str | None:
    return f"{{{name.lower()}}}" if name.isascii() and name.isidentifier() else None
