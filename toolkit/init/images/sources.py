"""What a Dockerfile takes from its build context, as patterns relative to the context."""

from collections.abc import Iterator

from msgspec import Struct

from toolkit.formats.build_context import context_sources
from toolkit.formats.dockerfile import UNKNOWN, parse
from toolkit.formats.patterns import from_go, is_exact_in_go, simplify, within


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

    ARGs count with their defaults, since a deploy gives them no others, and what nobody declares
    counts as not set.
    """
    sources = []
    for source in context_sources(parse(text), undeclared=None):
        patterns = _source_patterns(source.path)
        without: list[str] = []
        for exclude in source.excludes:
            without += _exclusions(patterns, exclude)
        is_uncertain = UNKNOWN in source.path
        line = source.instruction.line
        sources.append(CopySource(source.word, line, patterns, is_uncertain, tuple(without)))
    return tuple(sources)


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
