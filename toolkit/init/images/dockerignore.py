"""What a .dockerignore keeps out of an image: order counts there, `!` takes back in, and the root
is the build context.
"""

from collections.abc import Callable

from msgspec import Struct

from toolkit.formats import dockerignore
from toolkit.formats.patterns import from_go, is_exact_in_go, literal_prefix


class IgnoreLine(Struct, frozen=True):
    """One line: our patterns for it and for what lies below, whether it takes back in, and whether
    the patterns say just that.
    """

    patterns: tuple[str, ...]
    back: bool
    exact: bool

    @property
    def everything(self) -> bool:
        return self.exact and self.patterns[0] in ("*", "**", "**/*")


def excluded_patterns(text: str) -> tuple[str, ...]:
    """Patterns, relative to the context, of what surely stays out. A rule may add each as
    `!pattern`.

    Left away, so that more is kept: what our dialect has no pattern for, and what a later `!` may
    take back in.
    """
    lines = _read_lines(text)
    backs = [(number, line) for number, line in enumerate(lines) if line.back]
    patterns: list[str] = []
    for number, line in enumerate(lines):
        if line.back or not line.exact:
            continue
        if all(back < number or _are_disjoint(line, other) for back, other in backs):
            patterns += line.patterns
    return tuple(patterns)


def allowed_patterns(text: str) -> tuple[str, ...] | None:
    """For a list that shuts everything out first: patterns of all that it may let back in. None for
    other lists.
    """
    patterns: list[str] | None = None
    for line in _read_lines(text):
        if line.everything and not line.back:
            patterns = []
        elif line.back and patterns is not None:
            patterns += line.patterns
    if patterns is None:
        return None
    return tuple(patterns)


def exclusion_check(text: str) -> Callable[[str], bool]:
    """A function that tells whether a path of the context stays out. A file that docker refuses
    keeps nothing out.
    """
    return dockerignore.parse_if_possible(text).keeps_out


def _read_lines(text: str) -> tuple[IgnoreLine, ...]:
    lines = dockerignore.lines(text.replace("\0", ""))
    return tuple(_read_line(path, back) for _, path, back in lines if path)


def _read_line(path: str, back: bool) -> IgnoreLine:
    """A leading `**x` means `**/x` here; a `**` in the middle of a name has no pattern of ours."""
    if path.startswith("**") and path[2:3] not in ("", "/", "*"):
        path = f"**/{path[2:]}"
    pattern = from_go(path)
    is_exact = is_exact_in_go(path) and (pattern != "**" or path == "**")
    if back and not is_exact:
        return IgnoreLine(("**",), back, is_exact)
    if pattern.endswith("/**"):
        return IgnoreLine((f"{pattern}/*",), back, is_exact)
    if pattern == "**":
        return IgnoreLine((pattern,), back, is_exact)
    return IgnoreLine(_with_below(pattern), back, is_exact)


def _with_below(pattern: str) -> tuple[str, ...]:
    """`name/**` is the name itself, too, unless it ends in a star."""
    if pattern.endswith("*"):
        return (pattern, f"{pattern}/**")
    return (f"{pattern}/**",)


def _are_disjoint(line: IgnoreLine, other: IgnoreLine) -> bool:
    """Whether two lines surely have no path in common: their literal folders part."""
    left = literal_prefix(line.patterns[0]).split("/")
    right = literal_prefix(other.patterns[0]).split("/")
    for name, other_name in zip(left, right, strict=False):
        if name != other_name and name and other_name:
            return True
    return False
