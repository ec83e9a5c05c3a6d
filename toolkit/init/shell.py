"""Shell text as commands: which program is started, with which words, in which folder.

Nothing is run. Variables that the text sets are filled in, a loop over words is written out, and
what only a run would tell is UNKNOWN. A variable that nobody sets here becomes `{name}`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from posixpath import join as joined

from msgspec import Struct

from toolkit.init.evidence import UNKNOWN
from toolkit.init.tree import clean_path

LONGEST = 100_000
"""The most characters of one text that are read."""
_MOST_COMMANDS = 2000
_DEEPEST = 8
_MOST_VALUES = 30
"""The most values of a loop's variable that are followed."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_KEYWORDS = {"then", "do", "else", "elif", "if", "while", "until", "!", "{", "(", "time"}
_DECLARES = {"export", "local", "readonly", "declare", "typeset"}
_SCRIPT_FOLDER = re.compile(
    r"dirname.*?(?:\$\{?0|BASH_SOURCE)[^)]*\)?[\"']?((?:/\.\.)*)", re.DOTALL
)
_TOP_LEVEL = re.compile(r"git rev-parse --show-toplevel[\s)\"']*((?:/\.\.)*)")
_ROOT_VARIABLES = {
    "GITHUB_WORKSPACE",
    "CI_PROJECT_DIR",
    "CODEBUILD_SRC_DIR",
    "BITBUCKET_CLONE_DIR",
    "CIRCLE_WORKING_DIRECTORY",
}

_OPENED, _CLOSED = "\ufff7", "\ufff8"
"""A subshell begins and ends: the folder outside stays what it was."""
_HOME, _HERE = "\ufff9", "\ufffa"

ROOT = "\ufffb"
"""What a word begins with that is a path from the repository's root."""


class Variable(Struct, frozen=True):
    """`$name` in a word; `default` is what `${name:-default}` falls back to."""

    name: str
    default: str | None = None


Part = str | Variable
Word = tuple[Part, ...]


class ShellCommand(Struct, frozen=True):
    """A command with its words filled in. `line` counts from the first line of its text; `source`
    is that line; `folder` is where it runs, None where only a run would tell.
    """

    line: int
    source: str
    words: tuple[str, ...]
    folder: str | None


class Shell:
    """One shell: what one text sets, the next one finds."""

    def __init__(
        self, folder: str, variables: Mapping[str, str] | None = None, home: str | None = None
    ) -> None:
        """`home` is the folder of the script, if the texts are one."""
        known: dict[str, tuple[str, ...]] = {}
        for name, value in (variables or {}).items():
            known[name] = (value,)
        self._state = _State(known, folder, home)

    def read(self, text: str, line: int = 1) -> Iterator[ShellCommand]:
        """All commands of a text in their order, those in substitutions too. `line` is that of its
        beginning.
        """
        text = text[:LONGEST]
        lines = text.split("\n")
        count = 0
        for number, words in _Lexer(text, 1).commands():
            for filled in self._state.fill(words):
                # A continued line is one command, and is shown by its first line.
                source = lines[number - 1].strip() if number <= len(lines) else ""
                folder = self._state.folder
                yield ShellCommand(line + number - 1, source, filled, folder)
                self._state.follow(filled)
                count += 1
                if count >= _MOST_COMMANDS:
                    return


class _State:
    """The variables and the folder, as they are between two commands."""

    def __init__(
        self, variables: dict[str, tuple[str, ...]], folder: str, home: str | None
    ) -> None:
        self.variables = variables
        self.folder: str | None = folder
        self._start, self._home = folder, home
        self._outer: list[str | None] = []

    def fill(self, words: Sequence[Word]) -> Iterator[tuple[str, ...]]:
        """The words with values; once for each value of a loop's variable."""
        if words[0] == (_OPENED,):
            self._outer.append(self.folder)
            return
        if words[0] == (_CLOSED,):
            if self._outer:
                self.folder = self._outer.pop()
            return
        words = self._without_keywords(words)
        if not words:
            return
        if words[0] == ("for",):
            self._loop(words)
            return
        loops = sorted(
            {
                part.name
                for word in words
                for part in word
                if isinstance(part, Variable) and len(self.variables.get(part.name, ())) > 1
            }
        )[:2]
        for values in product(*(self.variables[name] for name in loops)):
            chosen = dict(zip(loops, values, strict=True))
            filled = [self._text(word, chosen) for word in words]
            rest = self._assign(words, filled)
            if rest:
                yield tuple(rest)

    def follow(self, words: tuple[str, ...]) -> None:
        """`cd` changes the folder of what comes next."""
        if words[0] in ("cd", "pushd") and len(words) > 1:
            self.folder = self._after_cd(words[1])
        elif words[0] == "popd":
            self.folder = self._start

    def _after_cd(self, path: str) -> str | None:
        if path.startswith(ROOT):
            return clean_path(path[1:].lstrip("/"))
        if UNKNOWN in path or "{" in path or path.startswith(("~", "-", "/")):
            return None
        return None if self.folder is None else clean_path(joined(self.folder, path))

    def _without_keywords(self, words: Sequence[Word]) -> Sequence[Word]:
        index = 0
        while index < len(words) and len(words[index]) == 1 and words[index][0] in _KEYWORDS:
            index += 1
        return words[index:]

    def _loop(self, words: Sequence[Word]) -> None:
        """`for name in a b c`: the variable has each of the words."""
        texts = [self._text(word, {}) for word in words]
        if len(texts) > 3 and texts[2] == "in" and _NAME.fullmatch(texts[1]):
            values: list[str] = []
            for text in texts[3 : 3 + _MOST_VALUES]:
                values += text.split() or [text]
            self.variables[texts[1]] = tuple(values[:_MOST_VALUES])

    def _assign(self, words: Sequence[Word], filled: list[str]) -> list[str]:
        """The words behind assignments; an assignment without a command sets its variables."""
        start = 1 if filled[0] in _DECLARES else 0
        index = start
        assigned: dict[str, str] = {}
        while index < len(filled):
            match = _ASSIGNMENT.match(filled[index])
            if not match or not isinstance(words[index][0], str):
                break
            assigned[match[1]] = filled[index][match.end() :]
            index += 1
        if index == len(filled) or start:
            for name, value in assigned.items():
                # What a run would tell keeps the name that the person gave it.
                known = value if UNKNOWN not in value else ""
                self.variables[name] = (known,) if known else ()
            return [] if start or index == len(filled) else filled[index:]
        return filled[index:]

    def _text(self, word: Word, chosen: Mapping[str, str]) -> str:
        text = "".join(
            part if isinstance(part, str) else self._value(part, chosen) for part in word
        )
        for mark, folder in ((_HERE, self.folder), (_HOME, self._home)):
            if mark in text:
                text = UNKNOWN + text.replace(mark, "") if folder is None else text
                text = text.replace(mark, ROOT + (f"{folder}/" if folder else ""))
        if ROOT in text:
            return _rooted(text)
        return text

    def _value(self, variable: Variable, chosen: Mapping[str, str]) -> str:
        if variable.name in chosen:
            return chosen[variable.name]
        values = self.variables.get(variable.name, ())
        if values:
            return values[0]
        if variable.name in _ROOT_VARIABLES:
            return ROOT
        if variable.name == "PWD":
            return _HERE
        if variable.default:
            return variable.default
        if not _NAME.fullmatch(variable.name):
            return UNKNOWN
        return as_variable(variable.name)


def as_variable(name: str) -> str:
    """A variable that nobody sets here, as rules.toml writes one: `ECS_CLUSTER` is
    `{ecs_cluster}`.
    """
    plain = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_").lower()
    if not _NAME.fullmatch(plain):
        return UNKNOWN
    return "{" + plain[:60] + "}"


class _Lexer:
    """Splits a text into commands and words, as a shell does, without running anything."""

    def __init__(self, text: str, line: int, depth: int = 0) -> None:
        self._text, self._line, self._depth = text, line, depth
        self._at = 0
        self._heredocs: list[tuple[str, bool]] = []
        self._inner: list[tuple[int, tuple[Word, ...]]] = []

    def commands(self) -> Iterator[tuple[int, tuple[Word, ...]]]:
        """Each command: its line, and its words. Those of a substitution come before it."""
        words: list[Word] = []
        line = self._line
        while self._at < len(self._text):
            char = self._text[self._at]
            if self._skip_blank(char):
                continue
            if char == "\n":
                self._at += 1
                self._line += 1
                yield from self._command(line, words)
                words = []
                self._skip_heredocs()
            elif char in ";&|()":
                self._at += 1
                yield from self._command(line, words)
                words = []
                if char in "()":
                    yield line, ((_OPENED if char == "(" else _CLOSED,),)
            elif char in "<>":
                self._redirect()
            else:
                if not words:
                    line = self._line
                word = self._word()
                if self._text[self._at : self._at + 1] in ("<", ">") and word in (("1",), ("2",)):
                    continue
                words.append(word)
        yield from self._command(line, words)

    def _skip_blank(self, char: str) -> bool:
        """Skip spaces, a continued line, a comment."""
        if char in " \t\r":
            self._at += 1
        elif self._text.startswith("\\\n", self._at):
            self._at, self._line = self._at + 2, self._line + 1
        elif char == "#":
            end = self._text.find("\n", self._at)
            self._at = len(self._text) if end < 0 else end
        else:
            return False
        return True

    def _command(self, line: int, words: list[Word]) -> Iterator[tuple[int, tuple[Word, ...]]]:
        yield from self._inner
        self._inner = []
        if words:
            yield line, tuple(words)

    def _redirect(self) -> None:
        text = self._text
        if text.startswith("<<<", self._at):
            self._at += 3
            return
        if text.startswith("<<", self._at):
            match = re.compile(r"<<(-?)\s*[\\'\"]?([\w.-]+)['\"]?").match(text, self._at)
            if match:
                self._heredocs.append((match[2], bool(match[1])))
                self._at = match.end()
                return
        while self._at < len(text) and text[self._at] in "<>&|":
            self._at += 1
        while self._at < len(text) and text[self._at] in " \t":
            self._at += 1
        if self._at < len(text) and text[self._at] not in "\n;&|()":
            self._word()

    def _skip_heredocs(self) -> None:
        for word, tabs in self._heredocs:
            while self._at < len(self._text):
                end = self._text.find("\n", self._at)
                end = len(self._text) if end < 0 else end
                content = self._text[self._at : end]
                self._at, self._line = min(end + 1, len(self._text)), self._line + 1
                if (content.lstrip("\t") if tabs else content) == word:
                    break
        self._heredocs = []

    def _word(self) -> Word:
        parts: list[Part] = []
        while self._at < len(self._text):
            char = self._text[self._at]
            if char in " \t\r\n;&|()<>":
                break
            if char == "'":
                end = self._text.find("'", self._at + 1)
                end = len(self._text) if end < 0 else end
                self._add(parts, self._text[self._at + 1 : end])
                self._line += self._text.count("\n", self._at, end)
                self._at = end + 1
            elif char == '"':
                self._at += 1
                self._quoted(parts)
            elif char == "\\":
                following = self._text[self._at + 1 : self._at + 2]
                if following == "\n":
                    self._line += 1
                else:
                    self._add(parts, following)
                self._at += 2
            elif char in "$`":
                self._expansion(parts)
            else:
                self._add(parts, char)
                self._at += 1
        return tuple(parts) or ("",)

    def _quoted(self, parts: list[Part]) -> None:
        self._add(parts, "")
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == '"':
                self._at += 1
                return
            if char == "\\":
                following = self._text[self._at + 1 : self._at + 2]
                self._line += following == "\n"
                if following != "\n":
                    self._add(parts, following)
                self._at += 2
            elif char in "$`":
                self._expansion(parts)
            else:
                self._line += char == "\n"
                self._add(parts, char)
                self._at += 1

    def _expansion(self, parts: list[Part]) -> None:
        text, start = self._text, self._at
        if text[start] == "`":
            end = text.find("`", start + 1)
            end = len(text) if end < 0 else end
            self._substitution(parts, text[start + 1 : end])
            self._at = end + 1
        elif text.startswith("$(", start):
            end = _closing(text, start + 1, "(", ")")
            inner = text[start + 2 : end]
            if inner.startswith("("):  # arithmetic
                self._add(parts, UNKNOWN)
            else:
                self._substitution(parts, inner)
            self._line += text.count("\n", start, end)
            self._at = end + 1
        elif text.startswith("${", start):
            end = _closing(text, start + 1, "{", "}")
            parts.append(_variable(text[start + 2 : end]))
            self._at = end + 1
        elif match := re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-])").match(text, start):
            parts.append(Variable(match[1]))
            self._at = match.end()
        else:
            self._add(parts, "$")
            self._at += 1

    def _substitution(self, parts: list[Part], inner: str) -> None:
        self._add(parts, _folder_of(inner) or UNKNOWN)
        if self._depth < _DEEPEST:
            self._inner += [
                (self._line, ((_OPENED,),)),
                *_Lexer(inner, self._line, self._depth + 1).commands(),
                (self._line, ((_CLOSED,),)),
            ]

    def _add(self, parts: list[Part], text: str) -> None:
        if parts and isinstance(parts[-1], str):
            parts[-1] += text
        else:
            parts.append(text)


def _folder_of(inner: str) -> str | None:
    """The folder that a substitution prints, for the usual ways to ask for it."""
    if inner.strip() == "pwd":
        return _HERE
    for pattern, mark in ((_SCRIPT_FOLDER, _HOME), (_TOP_LEVEL, ROOT)):
        match = pattern.search(inner[:500])
        if match:
            return mark + match[1]
    return None


def _rooted(text: str) -> str:
    """A word in which a path from the root stands somewhere, with that path in its short form."""
    start, _, path = text.rpartition(ROOT)
    clean = clean_path(path.lstrip("/") or ".")
    ending = "/" if path.endswith("/") and clean else ""
    return f"{start.replace(ROOT, '')}{ROOT}{clean}{ending}"


def _variable(inner: str) -> Variable:
    """What stands in `${...}`."""
    match = _NAME.match(inner)
    if not match:
        return Variable("")
    rest = inner[match.end() :]
    if not rest:
        return Variable(match[0])
    default = re.fullmatch(r":?[-=]([\w./:@ -]*)", rest)
    if default:
        return Variable(match[0], default[1])
    if rest.startswith((":?", "?")):
        return Variable(match[0])
    return Variable("")  # `${x%.*}` and the like


def _closing(text: str, start: int, opening: str, closing: str) -> int:
    """Where the bracket at `start` is closed; the end of the text, if it is not."""
    depth = 0
    quote = ""
    index = start
    while index < len(text):
        char = text[index]
        if quote:
            if char == "\\" and quote == '"':
                index += 1
            elif char == quote:
                quote = ""
        elif char in "'\"" and opening == "(":
            quote = char
        elif char == "\\":
            index += 1
        elif char == opening:
            depth += 1
        elif char == closing:
            depth -= 1
            if not depth:
                return index
        index += 1
    return len(text)
