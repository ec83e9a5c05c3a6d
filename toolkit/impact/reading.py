"""Tables of a TOML file become structs, or problems: each with its line, the key, and what was
expected. What rules.toml and the files that it includes have in common.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Meta

from toolkit.errors import Problem
from toolkit.impact import toml

MOST_PROBLEMS = 20

MOST_COMPARED = 500
LONGEST_COMPARED = 40
"""How many words, and how long ones, are looked at for the nearest one."""

NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*"
_NAME = re.compile(NAME)
_DURATION = re.compile(r"(?:(\d{1,3})h)?(?:(\d{1,4})m)?(?:(\d{1,5})s)?")
_CREDENTIAL = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|hooks\.slack\.com/services/|api\.render\.com/deploy/|-----BEGIN"
    r" [A-Z ]*PRIVATE KEY"
)
_CREDENTIAL_MARKS = ("AKIA", "ASIA", "hooks.slack.com", "api.render.com", "PRIVATE KEY")


class TooMany(Exception):
    """There are more problems than anybody reads at once, and finding the nearest word for each
    takes time.
    """


def seconds(duration: str) -> int | None:
    """`2m30s` in seconds, None if it is no duration."""
    found = _DURATION.fullmatch(duration)
    if not found or not duration:
        return None
    hours, minutes, rest = (int(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + rest


class FileReader:
    """One file's text, and the problems that were found in it."""

    def __init__(self, text: str, file: str, common: tuple[str, ...] = ()) -> None:
        """`common` are keys that a table of settings may have besides those of its struct."""
        self.text, self.file = text, file
        self.problems: list[Problem] = []
        self._common = common
        self._lines: toml.TomlLines | None = None

    def line(self, *keys: str | int) -> int | None:
        """The line of a value."""
        if self._lines is None:
            self._lines = toml.TomlLines(self.text)
        return self._lines.of(*keys)

    def wrong(self, message: str, *keys: str | int) -> None:
        """A problem at these keys. Raises TooMany."""
        self.problems.append(Problem(self.line(*keys), _dotted(keys), message))
        if len(self.problems) == MOST_PROBLEMS:
            raise TooMany

    def refuse_credentials(self) -> None:
        """A problem if the text holds what looks like a credential."""
        found = (
            _CREDENTIAL.search(self.text)
            if any(mark in self.text for mark in _CREDENTIAL_MARKS)
            else None
        )
        if found:
            line = self.text.count("\n", 0, found.start()) + 1
            message = (
                "this looks like a credential; keep it in the environment or in a secret store"
            )
            self.problems.append(Problem(line, "", message))

    def convert(self, table: object, into: type[Any], *keys: str | int) -> Any:
        """The table as a struct, None (and a problem) if it does not fit."""
        try:
            return msgspec.convert(table, into)
        except msgspec.ValidationError as error:
            path, message = self._explain(str(error), into)
            self.wrong(message, *keys, *path)
            return None

    def named(self, name: str, table: object, into: type[Any], section: str) -> Any:
        """The same for a table that somebody gave a name."""
        if not _NAME.fullmatch(name):
            self.wrong(
                "a name is made of letters, digits, `_`, `-` and `.`, with `/` between parts",
                section,
                name,
            )
            return None
        return self.convert(table, into, section, name)

    def known(self, word: str, words: tuple[str, ...], what: str, *keys: str | int) -> None:
        """A problem unless the word is one of these."""
        if word not in words:
            self.unknown(word, words, what, *keys)

    def unknown(self, word: str, words: tuple[str, ...], what: str, *keys: str | int) -> None:
        """A problem: the word is none of these."""
        there = f"there are {listed(words)}" if words else "there is none"
        self.wrong(f"unknown {what} {word!r}; {nearest(word, words) or there}", *keys)

    def duration(self, given: object, default: int, *keys: str | int) -> int:
        """A duration in seconds."""
        if given is None:
            return default
        found = seconds(given) if isinstance(given, str) else None
        if found is None:
            self.wrong('expected a duration such as "2m30s"', *keys)
        return found or 0

    def _explain(self, message: str, into: type[Any]) -> tuple[list[str | int], str]:
        """msgspec's words in ours: the path of the value below the table, and what was expected,
        with the nearest valid key.
        """
        path = [
            int(index) if index else key
            for key, index in re.findall(r"\.(\w+)|\[(\d+)\]", message.partition(" - at `")[2])
        ]
        said = message.partition(" - at `")[0]
        unknown = re.fullmatch(r"Object contains unknown field `(.*)`", said, re.DOTALL)
        if unknown:
            words = (
                *_fields(into, path),
                *(self._common if into.__name__ == "Settings" and not path else ()),
            )
            return [
                *path,
                unknown[1],
            ], f"unknown key; {nearest(unknown[1], words) or 'there are ' + listed(words)}"
        missing = re.fullmatch(r"Object missing required field `(.*)`", said)
        if missing:
            return path, f"`{missing[1]}` is missing"
        if " matching regex " in said:
            described = _described(into, path)
            return path, f"expected {described[:1].lower()}{described[1:].rstrip('.')}"
        for ours, theirs in (
            ("an array", "array"),
            ("a table", "object"),
            ("text", "str"),
            ("a number", "int"),
            ("true or false", "bool"),
        ):
            said = re.sub(rf"`{theirs}(?: \| null)?`", ours, said)
        return path, said[:1].lower() + said[1:]


def _fields(into: type[Any], path: list[str | int]) -> Iterator[str]:
    """The keys of the struct that stands at a path below another one."""
    for part in annotations(annotation(into, path)):
        if hasattr(part, "__struct_fields__"):
            yield from part.__struct_fields__


def _described(into: type[Any], path: list[str | int]) -> str:
    """In words, what the pattern of the text at a path wants."""
    metas = [
        part
        for part in annotations(annotation(into, path))
        if isinstance(part, Meta) and part.pattern
    ]
    return next((meta.description for meta in metas if meta.description), "something else")


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


def wrong_base(url: str) -> str | None:
    """Why paths cannot be put behind an address, None if they can."""
    if not re.match("https?://", url):
        return "does not begin with http:// or https://"
    if "?" in url or "#" in url:
        return "has a `?` or `#` in it: a path behind that would not be asked"
    return None if re.match(r"https?://[^/:@\s]", url) else "has no host"


def nearest(word: str, words: tuple[str, ...]) -> str:
    """`did you mean 'app'?`, empty if nothing is near."""
    from difflib import get_close_matches

    if len(word) > LONGEST_COMPARED or len(words) > MOST_COMPARED:
        return ""
    close = get_close_matches(
        word.lower(), [one.lower() for one in words if len(one) <= LONGEST_COMPARED], 1, 0.6
    )
    return next(
        (f"did you mean {one!r}?" for one in words if close and one.lower() == close[0]), ""
    )


def listed(words: tuple[str, ...]) -> str:
    """The first of them, and how many more."""
    shown = ", ".join(words[:8])
    return f"{shown} and {len(words) - 8} more" if len(words) > 8 else shown


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
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(
        "."
    )
