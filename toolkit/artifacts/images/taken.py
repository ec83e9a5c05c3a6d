"""Which files of a build context go into an image, whether git tracks them or not: what the
Dockerfile copies and .dockerignore does not keep out.

Where a Dockerfile cannot be followed with certainty, everything in its context counts: a variable
that only the build knows, a heredoc, a base image that may have ONBUILD instructions.
"""

import os
import re
from collections.abc import Iterator, Mapping
from glob import iglob

from toolkit.artifacts.images.context import inside, is_wild
from toolkit.errors import Refused
from toolkit.formats.build_context import context_sources
from toolkit.formats.build_stages import global_args, needed, platform, stages
from toolkit.formats.dockerfile import UNKNOWN, Dockerfile, parse, refuse_heredocs
from toolkit.formats.dockerignore import Ignore, Wildcard, parse_if_possible
from toolkit.ports import files

EVERYTHING = ("",)
CACHES = frozenset(("__pycache__", ".DS_Store", ".aws-sam"))
"""What programs leave in folders of code, and nothing reads that was deployed: no package of a
folder has it.
"""
_LARGEST = 1 << 20
_LONGEST = 1 << 16
_MOST_STAGES = 500
"""Letters and stages of a Dockerfile that is followed; of a longer one everything counts."""
_MOST_MATCHES = 10_000
"""Paths that a pattern is followed to; of one that matches more everything counts."""
_SYNTAXES = ("docker/dockerfile", "docker.io/docker/dockerfile")
_KNOWN = (
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
"""The instructions of which is known what they take from the context."""


def copied(text: str, stage: str | None, args: Mapping[str, str]) -> tuple[str, ...]:
    """The paths and patterns that an image copies, relative to the build context's root, which is
    the empty path. Never raises Refused.
    """
    if len(text) > _LONGEST:
        return EVERYTHING
    dockerfile = parse(text)
    try:
        numbers = _followed(dockerfile, stage, args)
    except Refused:
        return EVERYTHING
    # `{version}` and its like are filled in later.
    passed = {name: UNKNOWN if "{" in value else value for name, value in args.items()}
    sources: dict[str, None] = {}
    for source in context_sources(dockerfile, passed):
        if source.stage in numbers:
            # With --parents, sources may contain pivot points (`/./`).
            if UNKNOWN in source.path or "parents" in source.instruction.flags:
                return EVERYTHING
            sources[inside(source.path)] = None
    return tuple(sources)


def _followed(dockerfile: Dockerfile, stage: str | None, args: Mapping[str, str]) -> frozenset[int]:
    """The numbers of the stages that count. Raises Refused if something in them may copy in a way
    that is not known here.
    """
    refuse_heredocs(dockerfile)
    syntax = dockerfile.directives.get("syntax", _SYNTAXES[0])
    if not syntax.startswith(_SYNTAXES):
        raise Refused(f"{syntax} may read a Dockerfile otherwise")
    froms = [each for each in dockerfile.instructions if each.keyword == "FROM"]
    if len(froms) > _MOST_STAGES:
        raise Refused("the Dockerfile has too many stages")
    arguments = global_args(dockerfile, args, platform(None))
    if "BUILDKIT_SYNTAX" in args:
        raise Refused("another frontend may read a Dockerfile otherwise")
    every = stages(dockerfile, arguments.values, platform(None))
    bases, used = {each.base for each in every}, needed(every, stage)
    for each in used:
        # The images named onbuild copy everything when they are built upon.
        if isinstance(each.base, str) and "onbuild" in each.base.lower():
            raise each.start.refuse("its ONBUILD instructions are not known")
        for instruction in each.instructions:
            is_trigger = instruction.keyword == "ONBUILD" and each.number in bases
            if is_trigger or instruction.keyword not in _KNOWN:
                raise instruction.refuse("this instruction is not known")
    return frozenset(each.number for each in used)


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
        """The sources that are no patterns; of links, also those that match a pattern or lead to
        what does, their targets.
        """
        sources: dict[str, None] = {}
        start = os.path.realpath(os.path.join(self.root, self.context))
        for source in self.sources:
            if not is_wild(source):
                sources[source] = None
            for path in _on_disk(start, source) if is_wild(source) else (source,):
                real = os.path.relpath(os.path.realpath(os.path.join(start, path)), start)
                if real == ".":
                    sources[""] = None
                elif real != path and real.split(os.sep)[0] != "..":
                    sources[real] = None
        return tuple(sources)


def _on_disk(start: str, pattern: str) -> Iterator[str]:
    """What a pattern matches in a folder; all of the folder where that cannot be told."""
    if "\\" in pattern:
        yield ""
        return
    pattern = pattern.replace("[^", "[!")
    for count, path in enumerate(iglob(pattern, root_dir=start, include_hidden=True)):
        if count == _MOST_MATCHES:
            yield ""
            return
        yield path


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
    yield from map(parse_if_possible, texts)
