"""What does a Dockerfile take from its build context? COPY, ADD and bind mounts, as patterns
relative to the context.
"""

import re
from collections.abc import Iterator

from msgspec import Struct

from toolkit.init.images.instructions import (
    Instruction,
    escape_of,
    expanded,
    instructions,
    is_heredoc,
    words,
)
from toolkit.init.patterns import UNKNOWN, exact, from_go, simplest, within

_REMOTE = re.compile(r"(?:https?|git|ssh)://|git@", re.IGNORECASE)


class CopySource(Struct, frozen=True):
    """One source of a Dockerfile's line, as written, and our patterns for it, relative to the build
    context.

    `uncertain`: a part is only known when the image is built, and the patterns are wider than it
    will be. `without` are patterns of what `--exclude` leaves away.
    """

    source: str
    line: int
    patterns: tuple[str, ...]
    uncertain: bool = False
    without: tuple[str, ...] = ()


def sources(text: str) -> tuple[CopySource, ...]:
    """All that the image may take from its context, in the order of the lines, for any text.

    ARGs count with their defaults, since a deploy gives them no others. ONBUILD is somebody else's
    context.
    """
    return tuple(_Reader(text).read())


class _Scope:
    """The variables of one stage: ENV goes before ARG, a base stage's are inherited, a base image's
    unknown.
    """

    def __init__(self, base: "_Scope | None" = None) -> None:
        self.env: dict[str, str] = dict(base.env) if base else {}
        self.args: dict[str, str | None] = dict(base.args) if base else {}

    def value(self, name: str) -> str | None:
        return self.env[name] if name in self.env else self.args.get(name)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.escape = escape_of(text)
        self.globals = self.scope = _Scope()
        self.stages: dict[str, _Scope] = {}

    def read(self) -> Iterator[CopySource]:
        for one in instructions(self.text):
            if one.keyword == "FROM":
                self._from(one)
            elif one.keyword == "ARG":
                self._arg(one)
            elif one.keyword == "ENV":
                self._env(one)
            elif one.keyword in ("COPY", "ADD"):
                yield from self._copy(one)
            elif one.keyword == "RUN":
                yield from self._mounts(one)

    def _expanded(self, word: str) -> str:
        return expanded(word, self.scope.value, self.escape)

    def _from(self, one: Instruction) -> None:
        self.scope = self.globals
        image, *alias = one.flags()[1].split() or [""]
        self.scope = _Scope(self.stages.get(self._expanded(image).lower()))
        if len(alias) == 2 and alias[0].lower() == "as":
            self.stages[alias[1].lower()] = self.scope

    def _arg(self, one: Instruction) -> None:
        for name, value in _pairs(one.rest, self.escape):
            inherited = self.globals.args.get(name) if self.scope is not self.globals else None
            self.scope.args[name] = inherited if value is None else self._expanded(value)

    def _env(self, one: Instruction) -> None:
        first = one.rest.split(None, 1)
        if first and "=" not in first[0]:
            self.scope.env[first[0]] = self._expanded(first[1]) if len(first) > 1 else ""
            return
        fresh = {name: self._expanded(value or "") for name, value in _pairs(one.rest, self.escape)}
        self.scope.env.update(fresh)

    def _copy(self, one: Instruction) -> Iterator[CopySource]:
        flags, rest = one.flags()
        if any(name == "from" and self._expanded(value) for name, value in flags):
            return
        excludes = tuple(value for name, value in flags if name == "exclude")
        for word in words(rest)[:-1]:
            if not is_heredoc(word) and not (
                one.keyword == "ADD" and _REMOTE.match(self._expanded(word))
            ):
                yield self._source(word, one.line, excludes)

    def _mounts(self, one: Instruction) -> Iterator[CopySource]:
        for name, value in one.flags()[0]:
            fields = _fields(value) if name == "mount" else {"type": "other"}
            if fields.get("type", "bind") == "bind" and not self._expanded(fields.get("from", "")):
                yield self._source(
                    fields.get("source", fields.get("src", ".")) or ".", one.line, ()
                )

    def _source(self, word: str, line: int, excludes: tuple[str, ...]) -> CopySource:
        path = self._expanded(word)
        if self.escape == "`":
            path = path.replace("\\", "/")
        patterns = _patterns(path)
        without = tuple(
            pattern for one in excludes for pattern in _without(patterns, self._expanded(one))
        )
        return CopySource(word, line, patterns, UNKNOWN in path, without)


def _patterns(path: str) -> tuple[str, ...]:
    """A source may be a file or a folder, unless it ends in a slash; a folder brings all that it
    holds.
    """
    pattern = from_go(path)
    if pattern == "**" or pattern.endswith("/**"):
        return (pattern,)
    folder = path.rsplit("/", 1)[-1] in ("", ".")
    return (
        (f"{pattern}/**",) if folder and not pattern.endswith("*") else (pattern, f"{pattern}/**")
    )


def _without(taken: tuple[str, ...], exclude: str) -> Iterator[str]:
    """What `--exclude` surely leaves away: below one plain folder, by a name at any depth, or by
    path for the whole context.
    """
    pattern = from_go(exclude)
    folder = taken[-1].removesuffix("**").rstrip("/")
    plain = not set(folder) & set("*?[{\\")
    if plain and exact(exclude) and pattern != "**" and (not folder or pattern.startswith("**/")):
        yield from (within(folder, one) for one in simplest((pattern, f"{pattern}/**")))


def _pairs(rest: str, escape: str) -> Iterator[tuple[str, str | None]]:
    """`NAME=value` words (the value as written, quotes and escapes in it), or names alone
    (None).
    """
    mark = re.escape(escape)
    for word in re.findall(
        rf"(?:\"[^\"{mark}]*(?:{mark}.[^\"{mark}]*)*[\"{mark}]?|'[^']*'?|{mark}.|[^\s\"'])+",
        rest,
        re.DOTALL,
    ):
        name, equals, value = word.partition("=")
        yield name, value if equals else None


def _fields(mount: str) -> dict[str, str]:
    """The parts of `type=bind,source=…`."""
    return {
        name.lower(): value
        for name, _, value in (field.partition("=") for field in mount.split(","))
    }
