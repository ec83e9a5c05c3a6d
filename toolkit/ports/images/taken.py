"""Which files of a build context go into an image, whether git tracks them or not: what the
Dockerfile copies and .dockerignore does not keep out.

Where a Dockerfile cannot be followed with certainty, everything in its context counts: a variable
that only the build knows, a heredoc, a base image that may have ONBUILD instructions.
"""

import os
import re
from collections.abc import Iterator, Mapping

from toolkit.errors import Refused
from toolkit.ports import files
from toolkit.ports.images.context import inside, is_wild
from toolkit.ports.images.dockerfile import (
    Instruction,
    Parsed,
    json_list,
    parse,
    refuse_heredocs,
    split,
)
from toolkit.ports.images.evaluate import REMOTE
from toolkit.ports.images.ignore import Ignore, Wildcard
from toolkit.ports.images.ignore import parse as parse_ignore
from toolkit.ports.images.stages import (
    BuildArguments,
    expand,
    global_args,
    needed,
    platform,
    stages,
)

EVERYTHING = ("",)
_LARGEST = 1 << 20
_LONGEST = 1 << 16
_MOST_STAGES = 500
"""Letters and stages of a Dockerfile that is followed; of a longer one everything counts."""
_SYNTAX = re.compile(r"\s*#\s*syntax\s*=\s*(\S*)", re.IGNORECASE)
_COPIES_NOTHING = (
    "ARG",
    "CMD",
    "COPY",
    "ADD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
)
"""The instructions that take nothing from the context, or are handled before."""


def copied(text: str, stage: str | None, args: Mapping[str, str]) -> tuple[str, ...]:
    """The paths and patterns that an image copies, relative to the build context's root, which is
    the empty path. Never raises Refused.
    """
    if len(text) > _LONGEST:
        return EVERYTHING
    try:
        syntax = _SYNTAX.match(text)
        if syntax and not syntax[1].startswith(
            ("docker/dockerfile", "docker.io/docker/dockerfile")
        ):
            return EVERYTHING
        parsed = parse(text)
        refuse_heredocs(parsed)
        froms = [each for each in parsed.instructions if each.keyword == "FROM"]
        if len(froms) > _MOST_STAGES:
            return EVERYTHING
        arguments = global_args(parsed, args, platform(None))
        all_stages = stages(parsed, arguments.values, platform(None))
        sources: dict[str, None] = dict.fromkeys(_mounts(text))
        for used in needed(all_stages, stage):
            # The images named onbuild copy everything when they are built upon.
            if isinstance(used.base, str) and "onbuild" in used.base.lower():
                return EVERYTHING
            variables = _Variables(arguments)
            for instruction in used.instructions:
                sources.update(dict.fromkeys(_sources(instruction, variables, parsed)))
        return tuple(sources)
    except (Refused, KeyError, RecursionError):
        return EVERYTHING


class _Variables(dict[str, str]):
    """The variables of a stage. Reading one that is not known raises KeyError."""

    def __init__(self, arguments: BuildArguments) -> None:
        super().__init__()
        self.arguments = arguments

    def get(self, name: str, default: object = None) -> str:
        """The value; KeyError if it is not known."""
        return self[name]


def _sources(instruction: Instruction, variables: _Variables, parsed: Parsed) -> Iterator[str]:
    if instruction.keyword == "ARG":
        _declare(instruction, variables, parsed)
    elif instruction.keyword == "ENV":
        _set_env(instruction, variables, parsed)
    elif instruction.keyword in ("COPY", "ADD") and "from" not in instruction.flags:
        if "parents" in instruction.flags:
            raise KeyError("parents")  # its sources may contain pivot points (`/./`)
        words = json_list(instruction.rest)
        if words is None:
            words = instruction.rest.split()
        for word in words[:-1]:
            source = expand(instruction, word, variables, parsed.escape)
            if not (instruction.keyword == "ADD" and REMOTE.match(source)):
                yield inside(source)
    elif instruction.keyword not in _COPIES_NOTHING:
        raise KeyError(instruction.keyword)  # not an instruction that we know


def _mounts(text: str) -> Iterator[str]:
    """What `RUN --mount=type=bind` shows to a command, in all stages."""
    for mount in re.findall(r"--mount=(\S+)", text):
        fields: dict[str, str] = {}
        for field in mount.strip("\"'").split(","):
            name, _, value = field.partition("=")
            fields[name.lower()] = value
        if fields.get("type", "bind") == "bind" and "from" not in fields:
            source = fields.get("source") or fields.get("src") or "."
            yield "" if "$" in source else inside(source)


def _declare(instruction: Instruction, variables: _Variables, parsed: Parsed) -> None:
    passed, values = variables.arguments.passed, variables.arguments.values
    for word in split(instruction.rest, parsed.escape):
        name, has_default, default = word.partition("=")
        if name in passed and "{" not in passed[name]:
            variables[name] = passed[name]
        elif name in passed:
            variables.pop(name, None)  # `{version}` and its like are filled in later
        elif has_default:
            _set(instruction, name, default, variables, parsed)
        else:
            variables[name] = values.get(name, "")


def _set_env(instruction: Instruction, variables: _Variables, parsed: Parsed) -> None:
    words = split(instruction.rest, parsed.escape)
    if words and "=" not in words[0]:
        name, value = [*instruction.rest.split(None, 1), ""][:2]
        _set(instruction, name, value, variables, parsed)
        return
    for word in words:
        name, _, value = word.partition("=")
        _set(instruction, name, value, variables, parsed)


def _set(
    instruction: Instruction, name: str, value: str, variables: _Variables, parsed: Parsed
) -> None:
    """Set a variable. A value that only the build knows makes it unknown, which matters only where
    it is used.
    """
    try:
        variables[name] = expand(instruction, value, variables, parsed.escape)
    except KeyError:
        variables.pop(name, None)


class BuildInputs:
    """The files that a build takes from its context. `context` and `dockerfile` are real paths
    (links followed) from `root`.
    """

    def __init__(
        self, root: str, context: str, dockerfile: str, stage: str | None, args: Mapping[str, str]
    ) -> None:
        self.root, self.context = root, context
        text = files.text_inside(root, dockerfile, _LARGEST)
        self.sources = EVERYTHING if text is None else copied(text, stage, args)
        try:
            self._patterns = [
                Wildcard(source, deep=False) for source in self.sources if is_wild(source)
            ]
        except re.error:  # the build itself will say so
            self.sources, self._patterns = EVERYTHING, []
        self._plain = frozenset(self._plain_sources())
        self._ignores = tuple(_ignores(root, context, dockerfile))

    def keeps_out(self, path: str) -> bool:
        """Whether a path of the context stays out of the build, whichever program builds."""
        return bool(self._ignores) and all(ignore.keeps_out(path) for ignore in self._ignores)

    def enters(self, folder: str) -> bool:
        """Whether anything in a folder of the context may go into the build."""
        if not folder or not self._ignores:
            return True
        return any(ignore.takes_back or not ignore.keeps_out(folder) for ignore in self._ignores)

    def folders(self) -> tuple[str, ...]:
        """The files and folders of the context to search, from its root: the sources, or all of it
        if one of them is a pattern.
        """
        if self._patterns or "" in self._plain:
            return EVERYTHING
        return tuple(sorted(self._plain))

    def takes(self, path: str) -> bool:
        """Whether a file or link of the context goes into the image."""
        if self.keeps_out(path):
            return False
        if "" in self._plain:
            return True
        while path:
            if path in self._plain or any(pattern.matches(path) for pattern in self._patterns):
                return True
            path = path.rpartition("/")[0]  # a folder that is copied takes all in it along
        return False

    def _plain_sources(self) -> tuple[str, ...]:
        """The sources that are no patterns; of links also their targets."""
        sources: dict[str, None] = {}
        start = os.path.realpath(os.path.join(self.root, self.context))
        for source in self.sources:
            if not is_wild(source):
                sources[source] = None
                real = os.path.relpath(os.path.realpath(os.path.join(start, source)), start)
                if real == ".":
                    sources[""] = None
                elif real.split(os.sep)[0] != "..":
                    sources[real] = None
        return tuple(sources)


def _ignores(root: str, context: str, dockerfile: str) -> Iterator[Ignore]:
    """The files that may say what stays out: docker reads the one of the Dockerfile's name, podman
    and buildah their own.
    """
    for_docker = files.text_inside(root, f"{dockerfile}.dockerignore", _LARGEST)
    if for_docker is None:
        for_docker = files.text_inside(root, os.path.join(context, ".dockerignore"), _LARGEST)
    texts = [for_docker or ""]
    for_podman = files.text_inside(root, os.path.join(context, ".containerignore"), _LARGEST)
    if for_podman is not None and for_podman not in texts:
        texts.append(for_podman)
    for text in texts:
        try:
            yield parse_ignore(text)
        except Refused:
            yield Ignore()  # it cannot be read, so it is not trusted to keep anything out
