"""Tables of a TOML file become structs, or problems: each with its line, the key, and what was
expected. What rules.toml and the files that it includes have in common.
"""

import re
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

import msgspec
from msgspec import Meta

from toolkit.errors import Problem
from toolkit.formats import toml
from toolkit.formats.durations import seconds

MOST_PROBLEMS = 20

MOST_COMPARED = 500
LONGEST_COMPARED = 40
"""How many words, and how long ones, are compared to find the nearest one."""

NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*"
_NAME = re.compile(NAME)
_CREDENTIAL = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|hooks\.slack\.com/services/|api\.render\.com/deploy/|-----BEGIN"
    r" [A-Z ]*PRIVATE KEY"
)
_CREDENTIAL_MARKS = ("AKIA", "ASIA", "hooks.slack.com", "api.render.com", "PRIVATE KEY")


class TooMany(Exception):
    """There are more problems than anybody reads at once, and finding the nearest word for each
    takes time.
    """


class FileReader:
    """One file's text, and the problems that were found in it."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        self.problems: list[Problem] = []
        self._lines: toml.TomlLines | None = None

    def line(self, *keys: str | int) -> int | None:
        """The line of a value."""
        # Reading the positions takes time; a file without problems needs none.
        if self._lines is None:
            self._lines = toml.TomlLines(self.text)
        return self._lines.line_of(*keys)

    def add_problem(self, message: str, *keys: str | int) -> None:
        """A problem at these keys. Raises TooMany."""
        self.problems.append(Problem(self.line(*keys), _dotted(keys), message))
        # A hostile file has thousands, and looking up names for each would take minutes.
        if len(self.problems) == MOST_PROBLEMS:
            raise TooMany

    def refuse_credentials(self) -> None:
        """A problem if the text holds what looks like a credential."""
        # The marks are found far faster than the expression searches a long text.
        if not any(mark in self.text for mark in _CREDENTIAL_MARKS):
            return
        credential = _CREDENTIAL.search(self.text)
        if credential:
            line = self.text.count("\n", 0, credential.start()) + 1
            message = (
                "this looks like a credential; keep it in the environment or in a secret store"
            )
            self.problems.append(Problem(line, "", message))

    def convert(
        self, table: object, into: type[Any], *keys: str | int, common: tuple[str, ...] = ()
    ) -> Any:
        """The table as a struct, None (and a problem) if it does not fit. `common` are keys that
        are read elsewhere: a hint may name them.
        """
        try:
            return msgspec.convert(table, into)
        except msgspec.ValidationError as error:
            path, message = _explain(str(error), into, common)
            self.add_problem(message, *keys, *path)
            return None

    def convert_named(
        self,
        name: str,
        table: object,
        into: type[Any],
        section: str,
        common: tuple[str, ...] = (),
    ) -> Any:
        """The same for a table that somebody gave a name."""
        if not _NAME.fullmatch(name):
            self.add_problem(
                "a name is made of letters, digits, `_`, `-` and `.`, with `/` between parts",
                section,
                name,
            )
            return None
        return self.convert(table, into, section, name, common=common)

    def check_word(self, word: str, words: Collection[str], what: str, *keys: str | int) -> None:
        """A problem unless the word is one of these."""
        if word not in words:
            self.add_unknown_word(word, words, what, *keys)

    def add_unknown_word(
        self, word: str, words: Collection[str], what: str, *keys: str | int
    ) -> None:
        """A problem: the word is none of these."""
        choice = f"there are {list_words(words)}" if words else "there is none"
        self.add_problem(f"unknown {what} {word!r}; {nearest(word, words) or choice}", *keys)

    def duration(self, text: object, default: int, *keys: str | int) -> int:
        """A duration in seconds."""
        if text is None:
            return default
        duration = seconds(text) if isinstance(text, str) else None
        if duration is None:
            self.add_problem('expected a duration such as "2m30s"', *keys)
        return duration or 0


def _explain(message: str, into: type[Any], common: tuple[str, ...]) -> tuple[list[str | int], str]:
    """msgspec's words in ours: the path of the value below the table, and what was expected,
    with the nearest valid key.
    """
    reason, _, location = message.partition(" - at `")
    path: list[str | int] = []
    for key, index in re.findall(r"\.(\w+)|\[(\d+)\]", location):
        path.append(int(index) if index else key)
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", reason, re.DOTALL)
    if unknown:
        key = unknown[1]
        words = tuple(_fields(into, path)) if path else (*_fields(into, path), *common)
        hint = nearest(key, words) or f"there are {list_words(words)}"
        return [*path, key], f"unknown key; {hint}"
    missing = re.fullmatch(r"Object missing required field `(.*)`", reason)
    if missing:
        return path, f"`{missing[1]}` is missing"
    if " matching regex " in reason:
        described = _described(into, path)
        return path, f"expected {described[:1].lower()}{described[1:].rstrip('.')}"
    for ours, theirs in (
        ("an array", "array"),
        ("a table", "object"),
        ("text", "str"),
        ("a number", "int"),
        ("true or false", "bool"),
    ):
        reason = re.sub(rf"`{theirs}(?: \| null)?`", ours, reason)
    return path, reason[:1].lower() + reason[1:]


def _fields(into: type[Any], path: list[str | int]) -> Iterator[str]:
    """The keys of the struct that stands at a path below another one."""
    for part in annotations(annotation(into, path)):
        if hasattr(part, "__struct_fields__"):
            yield from part.__struct_fields__


def _described(into: type[Any], path: list[str | int]) -> str:
    """In words, what the pattern of the text at a path wants."""
    for part in annotations(annotation(into, path)):
        if isinstance(part, Meta) and part.pattern and part.description:
            return part.description
    return "something else"


def annotation(into: Any, path: list[str | int]) -> Any:
    """The annotation of the value that stands at a path below a struct."""
    from typing import get_type_hints

    for key in path:
        struct = next(
            (part for part in annotations(into) if hasattr(part, "__struct_fields__")), None
        )
        if isinstance(key, str) and struct is not None:
            into = get_type_hints(struct, include_extras=True).get(key, into)
    return into


def annotations(hint: Any) -> Iterator[Any]:
    """An annotation and everything inside it."""
    from typing import get_args

    yield hint
    for part in (*get_args(hint), *getattr(hint, "__metadata__", ())):
        yield from annotations(part)


def base_url_problem(url: str) -> str | None:
    """Why paths cannot be put behind an address, None if they can."""
    if not re.match("https?://", url):
        return "does not begin with http:// or https://"
    if "?" in url or "#" in url:
        return "has a `?` or `#` in it: a path behind that would not be asked"
    return None if re.match(r"https?://[^/:@\s]", url) else "has no host"


def nearest(word: str, words: Collection[str]) -> str:
    """`did you mean 'app'?`, empty if nothing is similar."""
    from difflib import get_close_matches

    # Comparing takes time, and a hostile file could ask for very much of it.
    if len(word) > LONGEST_COMPARED or len(words) > MOST_COMPARED:
        return ""
    by_lower: dict[str, str] = {}
    for candidate in words:
        by_lower.setdefault(candidate.lower(), candidate)
    short = [lower for lower in by_lower if len(lower) <= LONGEST_COMPARED]
    close = get_close_matches(word.lower(), short, 1, 0.6)
    if close:
        return f"did you mean {by_lower[close[0]]!r}?"
    return ""


def list_words(words: Collection[str]) -> str:
    """The first of them, and how many more."""
    first = ", ".join(islice(words, 8))
    if len(words) > 8:
        return f"{first} and {len(words) - 8} more"
    return first


def type_of(value: object) -> str:
    """What a value of TOML is, in words."""
    return {
        str: "text",
        int: "a number",
        bool: "true or false",
        list: "an array",
        dict: "a table",
    }.get(type(value), type(value).__name__)


def _dotted(keys: tuple[str | int, ...]) -> str:
    """`rules[3].paths[0]` for ("rules", 3, "paths", 0)."""
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}"
    return text.removeprefix(".")
