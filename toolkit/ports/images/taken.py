"""Which files of a build context go into an image, whatever git thinks of them: what the Dockerfile
copies and .dockerignore does not keep out.

Where a Dockerfile cannot be followed to the letter, everything in its context counts: a variable
that only the build knows, a heredoc, a base image that may have orders of its own.
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
    no_heredocs,
    parse,
    split,
)
from toolkit.ports.images.ignore import Ignore, Wildcard
from toolkit.ports.images.ignore import parse as parse_ignore
from toolkit.ports.images.stages import expand, global_args, needed, platform, stages

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
"""The instructions that take nothing from the context, or are looked at before."""
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*://|git@", re.IGNORECASE)


def copied(text: str, stage: str | None, args: Mapping[str, str]) -> tuple[str, ...]:
    """The sources of an image, from the build context's root, which is the empty one: paths and
    patterns. Never raises Refused.
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
        no_heredocs(parsed)
        if sum(one.keyword == "FROM" for one in parsed.instructions) > _MOST_STAGES:
            return EVERYTHING
        known = global_args(parsed, args, platform(None))
        every = stages(parsed, known, platform(None))
        found: dict[str, None] = dict.fromkeys(_mounts(text))
        for one in needed(every, stage):
            if isinstance(one.base, str) and "onbuild" in one.base.lower():
                return EVERYTHING
            variables = _Variables(known, args)
            for instruction in one.instructions:
                found.update(dict.fromkeys(_of(instruction, variables, parsed)))
        return tuple(found)
    except (Refused, KeyError, RecursionError):
        return EVERYTHING


class _Variables(dict[str, str]):
    """What is known in a stage. Asked for anything else it raises KeyError."""

    def __init__(self, outside: Mapping[str, str], given: Mapping[str, str]) -> None:
        super().__init__()
        self.outside, self.given = outside, given

    def get(self, name: str, default: object = None) -> str:
        """The value; KeyError if it is not known."""
        return self[name]


def _of(one: Instruction, variables: _Variables, parsed: Parsed) -> Iterator[str]:
    if one.keyword == "ARG":
        _declare(one, variables, parsed)
    elif one.keyword == "ENV":
        _set(one, variables, parsed)
    elif one.keyword in ("COPY", "ADD") and "from" not in one.flags:
        if "parents" in one.flags:
            raise KeyError("parents")  # its sources have marks of their own
        words = json_list(one.rest)
        for word in (one.rest.split() if words is None else words)[:-1]:
            source = expand(one, word, variables, parsed.escape)
            if not (one.keyword == "ADD" and _ELSEWHERE.match(source)):
                yield inside(source)
    elif one.keyword not in _COPIES_NOTHING:
        raise KeyError(one.keyword)  # another language than ours


def _mounts(text: str) -> Iterator[str]:
    """What `RUN --mount=type=bind` shows to a command, in all stages."""
    for mount in re.findall(r"--mount=(\S+)", text):
        fields = {
            name.lower(): value
            for name, _, value in (field.partition("=") for field in mount.strip("\"'").split(","))
        }
        if fields.get("type", "bind") == "bind" and "from" not in fields:
            source = fields.get("source") or fields.get("src") or "."
            yield "" if "$" in source else inside(source)


def _declare(one: Instruction, variables: _Variables, parsed: Parsed) -> None:
    for word in split(one.rest, parsed.escape):
        name, has_default, default = word.partition("=")
        if name in variables.given and "{" not in variables.given[name]:
            variables[name] = variables.given[name]
        elif name in variables.given:
            variables.pop(name, None)  # `{version}` and its like are filled in later
        elif has_default:
            _keep(one, name, default, variables, parsed)
        elif name in variables.outside:
            variables[name] = variables.outside[name]
        else:
            variables[name] = ""


def _set(one: Instruction, variables: _Variables, parsed: Parsed) -> None:
    words = split(one.rest, parsed.escape)
    if words and "=" not in words[0]:
        name, value = [*one.rest.split(None, 1), ""][:2]
        _keep(one, name, value, variables, parsed)
        return
    for word in words:
        name, _, value = word.partition("=")
        _keep(one, name, value, variables, parsed)


def _keep(one: Instruction, name: str, value: str, variables: _Variables, parsed: Parsed) -> None:
    """Keep a value; one that only the build knows makes its name unknown, which matters only to who
    asks for it.
    """
    try:
        variables[name] = expand(one, value, variables, parsed.escape)
    except KeyError:
        variables.pop(name, None)


class BuildInputs:
    """What a build takes of its context. `context` and `dockerfile` are paths from `root`, the real
    ones.
    """

    def __init__(
        self, root: str, context: str, dockerfile: str, stage: str | None, args: Mapping[str, str]
    ) -> None:
        self.root, self.context = root, context
        text = files.text_inside(root, dockerfile, _LARGEST)
        self.sources = EVERYTHING if text is None else copied(text, stage, args)
        try:
            self._patterns = [Wildcard(one, deep=False) for one in self.sources if is_wild(one)]
        except re.error:  # the build itself will say so
            self.sources, self._patterns = EVERYTHING, []
        self._plain = frozenset(self._real())
        self._ignores = tuple(_ignores(root, context, dockerfile))

    def keeps_out(self, path: str) -> bool:
        """Whether what says which files stay out of the build keeps this one out, whichever program
        builds. The path is the context's.
        """
        return bool(self._ignores) and all(one.keeps_out(path) for one in self._ignores)

    def enters(self, folder: str) -> bool:
        """Whether anything in a folder of the context may go into the build."""
        return (
            not folder
            or not self._ignores
            or not all(one.keeps_out(folder) and not one.takes_back for one in self._ignores)
        )

    def folders(self) -> tuple[str, ...]:
        """The files and folders of the context to look in, from its root: the sources, or all of it
        if one is a pattern.
        """
        return EVERYTHING if self._patterns or "" in self._plain else tuple(sorted(self._plain))

    def takes(self, path: str) -> bool:
        """Whether a file or link of the context goes into the image."""
        if self.keeps_out(path):
            return False
        above = [path]
        while "/" in above[-1]:
            above.append(above[-1].rpartition("/")[0])
        if "" in self._plain or any(one in self._plain for one in above):
            return True
        return any(one.matches(each) for one in self._patterns for each in above)

    def _real(self) -> tuple[str, ...]:
        """The sources that are no patterns, and where those lead that are links."""
        found: dict[str, None] = {}
        start = os.path.realpath(os.path.join(self.root, self.context))
        for source in self.sources:
            if not is_wild(source):
                found[source] = None
                real = os.path.relpath(os.path.realpath(os.path.join(start, source)), start)
                if real.split(os.sep)[0] != "..":
                    found["" if real == "." else real] = None
        return tuple(found)


def _ignores(root: str, context: str, dockerfile: str) -> Iterator[Ignore]:
    """The files that may say what stays out: docker reads the one of the Dockerfile's name, podman
    and buildah their own.
    """
    own = files.text_inside(root, f"{dockerfile}.dockerignore", _LARGEST)
    shared = files.text_inside(root, os.path.join(context, ".dockerignore"), _LARGEST)
    theirs = files.text_inside(root, os.path.join(context, ".containerignore"), _LARGEST)
    for text in dict.fromkeys(
        (own if own is not None else shared or "", *([theirs] if theirs is not None else []))
    ):
        try:
            yield parse_ignore(text)
        except Refused:
            yield Ignore()  # nobody knows what it keeps out, so nothing
