"""Which stacks of a CDK app a target of several stacks stands for. Pure."""

import posixpath
import re
from collections.abc import Sequence

from msgspec.structs import replace

from toolkit.formats import glob
from toolkit.formats.variables import fill, names
from toolkit.model import Resource
from toolkit.targets.stack.settings import StackSettings

ALL = "*"
NOT = "!"
_WILD = frozenset("*?[]{}()\\")


def problem(settings: StackSettings) -> str | None:
    """What is wrong with the patterns of a target, None if nothing is."""
    if not any(not pattern.startswith(NOT) for pattern in settings.patterns):
        return '`stacks` needs a pattern that matches stacks, such as "*"'
    for pattern in settings.patterns:
        plain = pattern.removeprefix(NOT)
        try:
            glob.alternatives(fill(plain, dict.fromkeys(names(plain), "x")))
        except glob.PatternError as error:
            return f"the pattern {pattern!r} in `stacks` cannot be used: {error}"
    return None


def matches(patterns: Sequence[str], name: str, path: str) -> bool:
    """Whether the patterns match a stack, by its name or its path in the app. One that is just that
    counts more than one that takes it out.
    """
    if any(pattern in (name, path) for pattern in patterns):
        return True
    matching = [pattern for pattern in patterns if _matches(pattern.removeprefix(NOT), name, path)]
    return bool(matching) and not any(pattern.startswith(NOT) for pattern in matching)


def _matches(pattern: str, name: str, path: str) -> bool:
    try:
        plains = glob.alternatives(pattern)
    except glob.PatternError:  # a variable has made it invalid
        return False
    expressions = [glob.regex(plain) for plain in plains]
    return any(
        re.fullmatch(expression, text) for expression in expressions for text in (name, path)
    )


def is_name(pattern: str) -> bool:
    """Whether a pattern is the name or the path of one stack."""
    return not pattern.startswith(NOT) and not _WILD.intersection(pattern)


def same_app(settings: StackSettings, other: StackSettings) -> bool:
    """Whether both are of one CDK app."""
    if settings.cdk is None or other.cdk is None:
        return False
    return posixpath.normpath(settings.cdk) == posixpath.normpath(other.cdk)


def without_others(
    settings: StackSettings, earlier: Sequence[StackSettings], later: Sequence[StackSettings]
) -> StackSettings:
    """The settings without the stacks that other targets of the same app stand for: a name counts
    more than a pattern, `"*"` is what is left, and else the target that comes first counts.
    """
    if not settings.patterns:
        return settings
    own = set(settings.patterns)
    taken: dict[str, None] = {}
    for other in (*earlier, *later):
        if not same_app(settings, other):
            continue
        if other.stack is not None:
            taken |= dict.fromkeys((other.stack, other.stack.replace("/", "-")))
        for pattern in other.patterns:
            if pattern.startswith(NOT) or pattern in own or pattern == ALL:
                continue
            if is_name(pattern) or ALL in own or other in earlier:
                taken[pattern] = None
    excluded = [f"{NOT}{pattern}" for pattern in taken]
    return replace(settings, stacks=(*settings.patterns, *excluded))


def resources(settings: StackSettings) -> tuple[Resource, ...]:
    """What a target of several stacks writes, as rules.toml has it: the stacks that it names, and
    the patterns, each of which only one target of an app may have.
    """
    app = posixpath.normpath(settings.cdk or "")
    context = [f"{name}={value}" for name, value in sorted(settings.context.items())]
    what = " ".join((f"stacks of {app}", *context))
    return tuple(
        Resource("stack", pattern.replace("/", "-"))
        if is_name(pattern)
        else Resource(what, pattern)
        for pattern in settings.patterns
        if not pattern.startswith(NOT)
    )


def iam_names(settings: StackSettings) -> tuple[str, ...]:
    """The names of the stacks as IAM can be told them: of a pattern that it does not know, or that
    is about paths, all stacks.
    """
    names = dict.fromkeys(
        pattern if is_name(pattern) or _WILD.isdisjoint(pattern.replace("*", "")) else ALL
        for pattern in settings.patterns
        if not pattern.startswith(NOT)
    )
    plain = [ALL if "/" in name and not is_name(name) else name.replace("/", "-") for name in names]
    return (ALL,) if ALL in plain else tuple(dict.fromkeys(plain))
