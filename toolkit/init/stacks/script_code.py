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
    AssetKind,
    CodeAsset,
    CodeFile,
    CreatedObject,
    all_known,
    folder_of,
    path_from_root,
    placeholder,
    without_braces,
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

_FILE_OPTION = re.compile(r"""\bfile\s*:\s*['"`]([^'"`\n]{1,200})['"`]""")

_STACK_NAME_OPTION = re.compile(r"\bstackName\s*:")

_Find = Callable[[str, int], str | None]


def read_script(path: str, text: str, folder: str) -> CodeFile:
    """What the file says, for an app whose cdk.json is in `folder`."""
    return _Reader(path, text, folder).read()


class _Outline:
    """A text without comments, and with strings blanked in `bare` (same length): where each bracket
    closes, and its commas.
    """

    def __init__(self, text: str) -> None:
        # Both keep the length and the lines, so that a position means the same in each.
        self.text = _SKIPPED.sub(_without_comment, text)
        self.bare = _blank_strings(text)
        self.close: dict[int, int] = {}
        self.commas: dict[int, list[int]] = {}
        waiting: list[int] = []
        for match in re.finditer(r"[(){}\[\],]", self.bare):
            position = match.start()
            if match[0] in "([{":
                waiting.append(position)
            elif match[0] == ",":
                if waiting:
                    self.commas.setdefault(waiting[-1], []).append(position)
            elif waiting:
                self.close[waiting.pop()] = position

    def arguments(self, opening: int) -> list[str]:
        """What stands between the brackets, split at its own commas; nothing if it is never
        closed.
        """
        if opening not in self.close:
            return []
        bounds = [opening, *self.commas.get(opening, [])[:20], self.close[opening]]
        return [
            self.text[start + 1 : min(end, start + 2000)].strip() for start, end in pairwise(bounds)
        ]

    def expression(self, start: int) -> str:
        """The expression that begins at `start`, up to a comma, a semicolon, a closing bracket or
        the end of a line that ends it.
        """
        end = start
        while end < min(len(self.bare), start + LONGEST_TEXT):
            char = self.bare[end]
            if char in ",;)}]" or (char == "\n" and self.bare[start:end].strip()):
                break
            end = self.close.get(end, end) + 1
        return self.text[start : min(end, start + LONGEST_TEXT)].strip()


class _Reader:
    def __init__(self, path: str, text: str, folder: str) -> None:
        self.path, self.folder = path, folder
        self.outline = _Outline(text)
        self.classes = [
            (match.start(), match[1], match[2])
            for match in _first_matches(_CLASS, self.outline.bare)
        ]
        self.starts = [start for start, _, _ in self.classes]
        self.ends = [self._end(start) for start in self.starts]
        self.lines = [match.start() for match in re.finditer("\n", text)]
        self.values = _Values(path, folder, self.outline)

    def read(self) -> CodeFile:
        bare, text = self.outline.bare, self.outline.text
        calls: dict[str, set[str]] = {}
        for match in _first_matches(_NEW, bare):
            calls.setdefault(self._class_at(match.start()), set()).add(match[1])
        arguments = [(match[1], match) for match in _first_matches(_ARGUMENT, bare)]
        modules = [match[1] for match in _first_matches(_IMPORT, text)]
        imports = {_stem(module) for module in modules}
        for match in _first_matches(_IMPORTED, bare):
            imports.update(_WORDS.findall(match[1]))
        return CodeFile(
            self.path,
            bases={name: (base,) for _, name, base in self.classes},
            calls={within: frozenset(names) for within, names in calls.items()},
            made=tuple(map(self._created_object, _first_matches(_NEW, bare))),
            assets=tuple(self._assets(arguments)),
            imports=frozenset(imports),
            relative=tuple(module for module in modules if module.startswith(".")),
            values=tuple(self._stack_values(arguments)),
            after=tuple((match[1], match[2]) for match in _first_matches(_AFTER, bare)),
            regions=self._literals(arguments, "region"),
            accounts=self._literals(arguments, "account"),
            defaults=self.values.defaults,
        )

    def _class_at(self, position: int) -> str:
        index = bisect_right(self.starts, position) - 1
        if index >= 0 and position < self.ends[index]:
            return self.classes[index][1]
        return ""

    def _created_object(self, match: re.Match[str]) -> CreatedObject:
        arguments = self.outline.arguments(match.end() - 1)
        name = _name_argument(arguments)
        start = match.start()
        variable = _HELD.search(self.outline.bare, max(0, start - 200), start)
        uses: set[str] = set()
        for argument in arguments:
            uses.update(_WORDS.findall(argument))
        return CreatedObject(
            match[1],
            self.values.text(name) if name else None,
            variable[1] if variable else "",
            frozenset(uses),
            self._class_at(start),
            arguments[:1] == ["this"],
        )

    def _end(self, start: int) -> int:
        opening = self.outline.bare.find("{", start)
        return self.outline.close.get(opening, len(self.outline.bare))

    def _assets(self, arguments: list[tuple[str, re.Match[str]]]) -> Iterator[CodeAsset]:
        for match in _first_matches(_CALL, self.outline.bare):
            receiver, method = match[1], match[2]
            values = self.outline.arguments(match.end() - 1)
            is_other_asset = method == "asset" and receiver != "Source"
            if method not in ASSET_CALLS or not values or is_other_asset:
                continue
            what = AssetKind.IMAGE if "Image" in receiver else ASSET_CALLS[method]
            yield self._asset(what, values[0], values[1:], match.start())
        for name, match in arguments:
            if name in ASSET_ARGUMENTS:
                value = self.outline.expression(match.end())
                asset = self._asset(ASSET_ARGUMENTS[name], value, [], match.start())
                if asset.path is not None:
                    yield asset

    def _asset(self, what: AssetKind, value: str, options: list[str], position: int) -> CodeAsset:
        raw = self.values.path(value)
        path = None if raw is None else path_from_root(raw, self.folder)
        file = _FILE_OPTION.search(options[0]) if options else None
        return CodeAsset(
            what,
            path,
            file[1] if file else None,
            self._class_at(position),
            bisect_right(self.lines, position) + 1,
        )

    def _stack_values(
        self, arguments: list[tuple[str, re.Match[str]]]
    ) -> Iterator[tuple[str, str, str]]:
        named = []
        for name, match in arguments:
            if name in STACK_VALUES:
                value = self.outline.expression(match.end())
                named.append((STACK_VALUES[name], value, match.start()))
        for match in _first_matches(_CALL, self.outline.bare):
            if match[2] in REPOSITORY_LOOKUPS:
                values = self.outline.arguments(match.end() - 1)
                if len(values) > 2:
                    named.append(("repository", values[2], match.start()))
        for word, value, position in named:
            text = self.values.text(value)
            if text:
                yield self._class_at(position), word, text

    def _literals(self, arguments: list[tuple[str, re.Match[str]]], name: str) -> frozenset[str]:
        """The values of an argument; one that is computed counts as an empty one."""
        values: set[str] = set()
        for argument, match in arguments:
            if argument == name:
                value = _LITERAL.fullmatch(self.outline.expression(match.end()))
                values.add(value[2] or "" if value else "")
        return frozenset(values)


class _Values:
    """What an expression comes to, as far as this file tells. A name that is declared more than
    once is not followed.
    """

    def __init__(self, path: str, folder: str, outline: _Outline) -> None:
        self.own_folder, self.folder = folder_of(path), folder
        self.declared: dict[str, str | None] = {}
        for match in _first_matches(_CONSTANT, outline.bare):
            name = match[1]
            is_again = name in self.declared
            self.declared[name] = None if is_again else outline.expression(match.end())
        self.defaults: dict[str, str] = {}
        self._texts: dict[str, str | None] = {}
        self._paths: dict[str, str | None] = {}

    def text(self, written: str, depth: int = 0) -> str | None:
        """A string with `{name}` for what is only known when the app runs; None where even that is
        unknown.
        """
        return self._evaluate(written, depth, self._text_term, self.text)

    def path(self, written: str, depth: int = 0) -> str | None:
        """A path: from `/`, which is the repository's root, where `__dirname` is part of it, else
        as written.
        """
        return self._evaluate(written, depth, self._path_term, self.path)

    def _evaluate(self, written: str, depth: int, term: _Find, find: _Find) -> str | None:
        """A sum of terms, or a single one; None if it is too deep or too long."""
        if depth >= DEEPEST:
            return None
        parts = _split_sum(written)
        if len(parts) == 1:
            value = term(written.strip(), depth)
        else:
            value = _concatenate(parts, lambda part: find(part, depth + 1))
        return None if value is None or len(value) > LONGEST_TEXT else value

    def _text_term(self, written: str, depth: int) -> str | None:
        literal = _LITERAL.fullmatch(written)
        if literal and literal[3] is not None:
            return _fill_template(literal[3], lambda hole: self.text(hole, depth + 1))
        if literal:
            return without_braces(literal[2])
        options = _FALLBACK.split(written)
        if len(options) > 1:
            return self._with_default(options, depth)
        lookup = _LOOKUP.search(written)
        if lookup:
            return placeholder(lookup[1])
        dotted = _DOTTED.fullmatch(written)
        if not dotted:
            return None
        if dotted[1] == dotted[0]:
            value = self._remembered(self._texts, dotted[1], depth, self.text)
            if value is not None:
                return value
        return placeholder(dotted[1])

    def _with_default(self, options: list[str], depth: int) -> str | None:
        """The first of `a ?? b || 'c'`, remembering what it is where the environment or the context
        does not say.
        """
        text = self.text(options[0], depth + 1)
        variable = VARIABLE.fullmatch(text or "")
        literal = _LITERAL.fullmatch(options[-1].strip())
        if variable and literal and literal[2]:
            self.defaults.setdefault(variable[1], literal[2])
        return text

    def _path_term(self, written: str, depth: int) -> str | None:
        literal = _LITERAL.fullmatch(written)
        if literal and literal[3] is not None:
            return _fill_template(literal[3], lambda hole: self.path(hole, depth + 1))
        if literal:
            return literal[2]
        if written == "__dirname":
            return self.own_folder
        if written.replace(" ", "") == "process.cwd()":
            return f"/{self.folder}"
        call = _JOINED.match(written)
        if call and written.endswith(")"):
            return self._joined(_Outline(written).arguments(call.end() - 1), depth)
        return self._remembered(self._paths, written, depth, self.path)

    def _joined(self, parts: list[str], depth: int) -> str | None:
        paths = all_known([self.path(part, depth + 1) for part in parts if part])
        if paths:
            return joined(*paths)
        return None

    def _remembered(
        self, memory: dict[str, str | None], name: str, depth: int, find: _Find
    ) -> str | None:
        if name not in memory:
            # Marked as unknown while it is looked for: a name may stand for itself.
            memory[name] = None
            value = self.declared.get(name)
            if value:
                memory[name] = find(value, depth + 1)
        return memory[name]


def _first_matches(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    return islice(pattern.finditer(text), MOST_NAMED)


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _without_comment(match: re.Match[str]) -> str:
    """A comment as blanks, a string as it is."""
    if match[1] is None:
        return match[0]
    return _blank(match[0])


def _blank_strings(text: str) -> str:
    """The text with comments and strings as blanks."""
    return _SKIPPED.sub(lambda match: _blank(match[0]), text)


def _name_argument(arguments: list[str]) -> str | None:
    """The name of a construct: its `stackName`, else its id, which is the second argument."""
    if len(arguments) > 2:
        option = _STACK_NAME_OPTION.search(arguments[2])
        if option:
            return _Outline(arguments[2][option.end() :]).expression(0)
    if len(arguments) > 1:
        return arguments[1]
    return None


def _stem(module: str) -> str:
    """The last name of a module: `../lib/api-stack.js` -> `api-stack`."""
    return re.sub(r"\.[cm]?[jt]sx?\Z", "", module.rpartition("/")[2])


def _split_sum(written: str) -> list[str]:
    """The parts of a sum; one for anything else."""
    parts, depth, start = [], 0, 0
    for position, char in enumerate(_blank_strings(written)):
        depth += (char in "([{") - (char in ")]}")
        if char == "+" and depth == 0:
            parts.append(written[start:position])
            start = position + 1
    return [*parts, written[start:]]


def _concatenate(parts: list[str], find: Callable[[str], str | None]) -> str | None:
    texts = all_known([find(part) for part in parts])
    if texts is None:
        return None
    return "".join(texts)


def _fill_template(template: str, find: Callable[[str], str | None]) -> str | None:
    """A template literal with its `${…}` filled in."""
    pieces = _HOLE.split(template)
    fixed, holes = pieces[::2], pieces[1::2]  # the pattern has one group: every second piece
    values = all_known([find(hole) for hole in holes]) if holes else []
    if values is None or any(set(text) & set("{}`") for text in fixed):
        return None
    pieces[1::2] = values
    return "".join(pieces)
