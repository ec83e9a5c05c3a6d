"""What does an image take from its build context? COPY, ADD and bind mounts of a Dockerfile, with
their variables filled in as far as anybody knows them before the build.
"""

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from toolkit.formats.build_stages import PLATFORM_ARGUMENTS, mounts
from toolkit.formats.dockerfile import (
    UNKNOWN,
    Dockerfile,
    Instruction,
    expand,
    is_heredoc,
    split,
    split_at_spaces,
)

_VARIABLE = re.compile(r"\$\{?(\w+)")
REMOTE = re.compile(r"(?:https?|git|ssh)://|git@", re.IGNORECASE)
"""What ADD fetches from the network."""


class ContextSource(Struct, frozen=True):
    """One source, as written and filled in. UNKNOWN in `path` stands for what only the build knows;
    `excludes` are the patterns of its `--exclude`.
    """

    word: str
    path: str
    stage: int
    instruction: Instruction
    excludes: tuple[str, ...] = ()


def context_sources(
    dockerfile: Dockerfile,
    passed: Mapping[str, str] | None = None,
    undeclared: str | None = UNKNOWN,
) -> Iterator[ContextSource]:
    """All that the stages may take from the context, in the order of the lines, for any text.

    `passed` are the build's arguments; UNKNOWN in one is what nobody knows yet. `undeclared` is the
    value of a variable that the Dockerfile does not declare: a base image may set it. ONBUILD is
    somebody else's context.
    """
    return _Reader(dockerfile, passed or {}, undeclared).read()


class _Scope:
    """The variables of one stage. A stage that it is based on hands on its own, ARGs included."""

    def __init__(self, base: "_Scope | None" = None) -> None:
        self.env: dict[str, str] = dict(base.env) if base else {}
        self.args: dict[str, str | None] = dict(base.args) if base else {}


class _Reader:
    def __init__(
        self, dockerfile: Dockerfile, passed: Mapping[str, str], undeclared: str | None
    ) -> None:
        self._dockerfile, self._passed, self._undeclared = dockerfile, passed, undeclared
        self._globals = self._scope = _Scope()
        self._stages: dict[str, _Scope] = {}
        self._stage = -1

    def read(self) -> Iterator[ContextSource]:
        for instruction in self._dockerfile.instructions:
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

    def _expand(self, word: str) -> str:
        return expand(word, self._value, self._dockerfile.escape, guess=True)

    def _value(self, name: str) -> str | None:
        scope = self._scope
        return scope.env[name] if name in scope.env else scope.args.get(name, self._undeclared)

    def _from(self, instruction: Instruction) -> None:
        # Before FROM, only the global ARGs count in its own line.
        self._scope = self._globals
        image, *alias = split_at_spaces(instruction.rest) or [""]
        self._scope = _Scope(self._stages.get(self._expand(image).lower()))
        self._stage += 1
        if len(alias) == 2 and alias[0].lower() == "as":
            self._stages[alias[1].lower()] = self._scope

    def _arg(self, instruction: Instruction) -> None:
        scope, names = self._scope, set[str]()
        for word in split(instruction.rest, self._dockerfile.escape):
            name, has_default, default = word.partition("=")
            name = self._expand(name)
            value = self._globals.args.get(name)
            if name in self._passed:
                value = self._passed[name]
            elif has_default:
                value = self._expand(default)
                if not names.isdisjoint(_VARIABLE.findall(default)):
                    value = UNKNOWN  # BuildKit's versions differ in what it sees
            elif name in PLATFORM_ARGUMENTS:
                value = UNKNOWN
            names.add(name)
            scope.args[name] = value
            if name in scope.env and value is not None:
                # ENV wins, says docker's reference; BuildKit lets the later one win.
                scope.env[name] = UNKNOWN

    def _env(self, instruction: Instruction) -> None:
        words = split(instruction.rest, self._dockerfile.escape)
        pairs = [word.partition("=")[::2] for word in words]
        if words and "=" not in words[0]:
            name, value = [*split_at_spaces(instruction.rest, 1), ""][:2]
            pairs = [(name, value)]
        # The values of one ENV all see the variables from before it, not each other.
        fresh = {self._expand(name): self._expand(value) for name, value in pairs}
        scope = self._scope
        if any(UNKNOWN in name for name in fresh):
            scope.env = dict.fromkeys((*scope.env, *scope.args), UNKNOWN)
        scope.env.update(fresh)

    def _copy(self, instruction: Instruction) -> Iterator[ContextSource]:
        # `--from` copies out of another stage or image, not out of the context.
        if self._expand(instruction.flags.get("from", "")):
            return
        excludes = tuple(
            self._expand(value) for name, value in instruction.options if name == "exclude"
        )
        for word in instruction.words[:-1]:
            source = self._source(word, instruction, excludes)
            is_remote = instruction.keyword == "ADD" and REMOTE.match(source.path)
            if not is_remote and not is_heredoc(word):
                yield source

    def _mounts(self, instruction: Instruction) -> Iterator[ContextSource]:
        for fields in mounts(instruction):
            kind = self._expand(fields.get("type", "bind")).lower()
            is_bind = kind == "bind" or UNKNOWN in kind
            if is_bind and not self._expand(fields.get("from", "")):
                source = fields.get("source", fields.get("src", ".")) or "."
                yield self._source(source, instruction)

    def _source(
        self, word: str, instruction: Instruction, excludes: tuple[str, ...] = ()
    ) -> ContextSource:
        path = self._expand(word)
        if self._dockerfile.escape == "`":
            path = path.replace("\\", "/")
        return ContextSource(word, path, self._stage, instruction, excludes)
