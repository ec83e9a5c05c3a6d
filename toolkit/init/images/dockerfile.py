"""What does a Dockerfile take from its build context? COPY, ADD and bind mounts, as patterns
relative to the context.
"""

import re
from collections.abc import Iterator

from msgspec import Struct

from toolkit.init.images.instructions import (
    Instruction,
    escape_character,
    expand,
    instructions,
    is_heredoc,
    split_words,
)
from toolkit.init.patterns import UNKNOWN, from_go, is_exact_in_go, simplify, within

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


def copy_sources(text: str) -> tuple[CopySource, ...]:
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
        self.env: dict[str, str] = {}
        self.args: dict[str, str | None] = {}
        if base:
            self.env.update(base.env)
            self.args.update(base.args)

    def value(self, name: str) -> str | None:
        if name in self.env:
            return self.env[name]
        return self.args.get(name)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.escape = escape_character(text)
        self.globals = self.scope = _Scope()
        self.stages: dict[str, _Scope] = {}

    def read(self) -> Iterator[CopySource]:
        for instruction in instructions(self.text):
            if instruction.keyword == "FROM":
                self._from(instruction)
            elif instruction.keyword == "ARG":
                self._arg(instruction)
            elif instruction.keyword == "ENV":
                self._env(instruction)
            elif instruction.keyword in ("COPY", "ADD"):
                yield from self._copy(instruction)
            elif instruction.keyword == "RUN":
                yield from self._mounts(instruction)

    def _expanded(self, word: str) -> str:
        return expand(word, self.scope.value, self.escape)

    def _from(self, instruction: Instruction) -> None:
        # Before FROM, only the global ARGs count in its own line.
        self.scope = self.globals
        image, *alias = instruction.flags()[1].split() or [""]
        self.scope = _Scope(self.stages.get(self._expanded(image).lower()))
        if len(alias) == 2 and alias[0].lower() == "as":
            self.stages[alias[1].lower()] = self.scope

    def _arg(self, instruction: Instruction) -> None:
        is_global = self.scope is self.globals
        for name, value in _name_value_pairs(instruction.rest, self.escape):
            if value is not None:
                self.scope.args[name] = self._expanded(value)
            elif is_global:
                self.scope.args[name] = None
            else:  # `ARG NAME` in a stage takes over the default of the global one
                self.scope.args[name] = self.globals.args.get(name)

    def _env(self, instruction: Instruction) -> None:
        first = instruction.rest.split(None, 1)
        if first and "=" not in first[0]:
            self.scope.env[first[0]] = self._expanded(first[1]) if len(first) > 1 else ""
            return
        # The values of one ENV all see the variables from before it, not each other.
        fresh: dict[str, str] = {}
        for name, value in _name_value_pairs(instruction.rest, self.escape):
            fresh[name] = self._expanded(value or "")
        self.scope.env.update(fresh)

    def _copy(self, instruction: Instruction) -> Iterator[CopySource]:
        flags, rest = instruction.flags()
        # `--from` copies out of another stage or image, not out of the context.
        if any(name == "from" and self._expanded(value) for name, value in flags):
            return
        excludes = tuple(value for name, value in flags if name == "exclude")
        for word in split_words(rest)[:-1]:
            if not is_heredoc(word) and not (
                instruction.keyword == "ADD" and _REMOTE.match(self._expanded(word))
            ):
                yield self._source(word, instruction.line, excludes)

    def _mounts(self, instruction: Instruction) -> Iterator[CopySource]:
        for name, value in instruction.flags()[0]:
            if name != "mount":
                continue
            fields = _mount_fields(value)
            if fields.get("type", "bind") == "bind" and not self._expanded(fields.get("from", "")):
                source = fields.get("source", fields.get("src", ".")) or "."
                yield self._source(source, instruction.line, ())

    def _source(self, word: str, line: int, excludes: tuple[str, ...]) -> CopySource:
        path = self._expanded(word)
        if self.escape == "`":
            path = path.replace("\\", "/")
        patterns = _source_patterns(path)
        without: list[str] = []
        for exclude in excludes:
            without += _exclusions(patterns, self._expanded(exclude))
        return CopySource(word, line, patterns, UNKNOWN in path, tuple(without))


def _source_patterns(path: str) -> tuple[str, ...]:
    """A source may be a file or a folder, unless it ends in a slash; a folder brings all that it
    holds.
    """
    pattern = from_go(path)
    if pattern == "**" or pattern.endswith("/**"):
        return (pattern,)
    is_folder = path.rsplit("/", 1)[-1] in ("", ".")
    if is_folder and not pattern.endswith("*"):
        return (f"{pattern}/**",)
    return (pattern, f"{pattern}/**")


def _exclusions(source: tuple[str, ...], exclude: str) -> Iterator[str]:
    """What `--exclude` surely leaves away: below one plain folder, by a name at any depth, or by
    path for the whole context.
    """
    pattern = from_go(exclude)
    folder = source[-1].removesuffix("**").rstrip("/")
    is_plain = not set(folder) & set("*?[{\\")
    if (
        is_plain
        and is_exact_in_go(exclude)
        and pattern != "**"
        and (not folder or pattern.startswith("**/"))
    ):
        for excluded in simplify((pattern, f"{pattern}/**")):
            yield within(folder, excluded)


def _name_value_pairs(rest: str, escape: str) -> Iterator[tuple[str, str | None]]:
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


def _mount_fields(mount: str) -> dict[str, str]:
    """The parts of `type=bind,source=…`."""
    fields: dict[str, str] = {}
    for field in mount.split(","):
        name, _, value = field.partition("=")
        fields[name.lower()] = value
    return fields
