"""What an image takes from the repository, as patterns of a rule."""

from collections.abc import Iterable, Sequence
from posixpath import join as joined

from msgspec import Struct

from toolkit.formats.patterns import (
    everything_in,
    literal,
    literal_prefix,
    patterns_for_paths,
    simplify,
    within,
)
from toolkit.impact.matcher import Matcher
from toolkit.init.images.contexts import ignore_file
from toolkit.init.images.dockerignore import allowed_patterns, excluded_patterns
from toolkit.init.images.sources import CopySource, copy_sources
from toolkit.init.tree import TrackedFiles


class ImageInputs(Struct, frozen=True):
    """What one Dockerfile is built from: patterns (`!` for what stays out), and sources that are
    not in git.
    """

    dockerfile: str
    context: str
    patterns: tuple[str, ...]
    missing_sources: tuple[str, ...] = ()

    @property
    def positive(self) -> tuple[str, ...]:
        """The patterns of what goes in, whatever is left out again."""
        return tuple(pattern for pattern in self.patterns if not pattern.startswith("!"))


def read_image(tree: TrackedFiles, dockerfile: str, context: str) -> ImageInputs:
    """The patterns of all that goes into an image: its sources, its Dockerfile, and the two files
    that may be its .dockerignore.
    """
    ignore = ignore_file(dockerfile, context, tree)
    ignored = (tree.read(ignore) if ignore else None) or ""
    source_patterns: list[str] = []
    missing: list[str] = []
    for source in copy_sources(tree.read(dockerfile) or ""):
        patterns, is_missing = _source_patterns(tree, context, source, allowed_patterns(ignored))
        source_patterns += patterns
        if is_missing:
            missing.append(source.source)
    # In git or not: each of the three counts as soon as it exists.
    always = patterns_for_paths(
        (dockerfile, f"{dockerfile}.dockerignore", joined(context, ".dockerignore"))
    )
    included = simplify([*source_patterns, *always])
    excluded = [within(context, pattern) for pattern in excluded_patterns(ignored)]
    exclusions = _useful_exclusions(tree.below(context), included, dict.fromkeys(excluded), always)
    patterns = (*included, *(f"!{pattern}" for pattern in exclusions))
    return ImageInputs(dockerfile, context, patterns, tuple(dict.fromkeys(missing)))


def _source_patterns(
    tree: TrackedFiles, context: str, source: CopySource, allowed: tuple[str, ...] | None
) -> tuple[tuple[str, ...], bool]:
    """A source as patterns from the root, and whether it has to be built first: then the nearest
    existing folder counts. `allowed` is what the .dockerignore lets in again (None: everything).
    """
    if source.patterns == ("**",):
        return _whole_context(tree, context, ("**",) if allowed is None else allowed), False
    path = within(context, source.patterns[0].removesuffix("/**"))
    prefix = literal_prefix(path)
    if prefix != path:
        if not tree.is_folder(prefix):
            return (everything_in(tree.nearest(prefix)),), True
        if _names_files(tree, path):
            return (path,), False
        return tuple(within(context, pattern) for pattern in source.patterns), False
    if path in tree:
        return (literal(path),), False
    return (everything_in(tree.nearest(path)),), not tree.is_folder(path)


def _whole_context(tree: TrackedFiles, context: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    patterns = []
    for pattern in allowed:
        path = within(context, pattern)
        prefix = literal_prefix(path)
        # `file/**`, as .dockerignore has it, would not match the file itself.
        patterns.append(literal(prefix) if prefix in tree else path)
    return tuple(patterns)


def _names_files(tree: TrackedFiles, pattern: str) -> bool:
    """Whether a pattern like `package*.json` is one for files: it ends in an extension, and no
    folder here has such a name.
    """
    _, dot, extension = pattern.rpartition("/")[2].rpartition(".")
    if not dot or not extension.isalnum():
        return False
    # `COPY *.json` may also mean folders of such names, with all that is in them.
    files, inside = Matcher([[pattern]]), Matcher([[f"{pattern}/**"]])
    return not any(
        inside.match(path) and not files.match(path) for path in tree.below(literal_prefix(pattern))
    )


def _useful_exclusions(
    paths: Iterable[str],
    included: Sequence[str],
    exclusions: Iterable[str],
    always: Sequence[str],
) -> list[str]:
    """The exclusions that take something away from these paths, and nothing that has to stay."""
    listed = list(exclusions)
    stays = Matcher([always])
    matcher = Matcher([included, *([pattern] for pattern in listed)])
    useful: set[int] = set()
    harmful: set[int] = set()
    for path in paths:
        hits = [index for index, _ in matcher.match(path)]
        # Index 0 is what is included; the exclusions follow.
        if len(hits) > 1 and hits[0] == 0:
            if stays.match(path):
                harmful.update(hits[1:])
            else:
                useful.update(hits[1:])
    return [pattern for index, pattern in enumerate(listed, 1) if index in useful - harmful]
