"""What a .dockerignore keeps out of an image: order counts there, `!` takes back in, and the root
is the build context.
"""

from collections.abc import Callable

from msgspec import Struct

from toolkit.impact.matcher import Matcher
from toolkit.init.patterns import exact, from_go, plain_lead


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


def ignore_lines(text: str) -> tuple[IgnoreLine, ...]:
    """The lines that mean something, in order."""
    found = []
    for raw in text.removeprefix("\ufeff").replace("\0", "").split("\n"):
        line = "" if raw.startswith("#") else raw.strip()
        back = line.startswith("!")
        path = "/".join(
            one for one in line.removeprefix("!").strip().split("/") if one not in ("", ".")
        )
        if path:
            found.append(_line(path, back))
    return tuple(found)


def excluded(text: str) -> tuple[str, ...]:
    """Patterns, relative to the context, of what surely stays out. A rule may add each as
    `!pattern`.

    Left away, so that more is kept: what our dialect cannot say, and what a later `!` may take back
    in.
    """
    lines = ignore_lines(text)
    backs = [(at, line) for at, line in enumerate(lines) if line.back]
    return tuple(
        pattern
        for at, line in enumerate(lines)
        if not line.back
        and line.exact
        and all(later < at or _apart(line, back) for later, back in backs)
        for pattern in line.patterns
    )


def allowed(text: str) -> tuple[str, ...] | None:
    """For a list that shuts everything out first: patterns of all that it may let back in. None for
    other lists.
    """
    lines = ignore_lines(text)
    last = max(
        (at for at, line in enumerate(lines) if line.everything and not line.back), default=None
    )
    if last is None:
        return None
    return tuple(pattern for line in lines[last + 1 :] if line.back for pattern in line.patterns)


def keeps_out(text: str) -> Callable[[str], bool]:
    """Whether a path of the context stays out: the last line that matches it, or a folder above it,
    decides.
    """
    lines = ignore_lines(text)
    matcher = Matcher(line.patterns if line.back or line.exact else () for line in lines)

    def answer(path: str) -> bool:
        hits = matcher.match(path)
        return bool(hits) and not lines[hits[-1][0]].back

    return answer


def _line(path: str, back: bool) -> IgnoreLine:
    """A leading `**x` means `**/x` here; a `**` in the middle of a name cannot be said."""
    if path.startswith("**") and path[2:3] not in ("", "/", "*"):
        path = f"**/{path[2:]}"
    pattern = from_go(path)
    said = exact(path) and (pattern != "**" or path == "**")
    if back and not said:
        return IgnoreLine(("**",), back, said)
    if pattern.endswith("/**"):
        return IgnoreLine((f"{pattern}/*",), back, said)
    return IgnoreLine((pattern,) if pattern == "**" else _with_below(pattern), back, said)


def _with_below(pattern: str) -> tuple[str, ...]:
    """`name/**` is the name itself, too, unless it ends in a star."""
    return (pattern, f"{pattern}/**") if pattern.endswith("*") else (f"{pattern}/**",)


def _apart(one: IgnoreLine, other: IgnoreLine) -> bool:
    """Whether two lines can be seen to have no path in common: their literal folders part."""
    pairs = zip(*(plain_lead(line.patterns[0]).split("/") for line in (one, other)), strict=False)
    return any(left != right and left and right for left, right in pairs)
