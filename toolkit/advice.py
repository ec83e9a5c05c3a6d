"""What to do about a problem, as data: words, and commands that are rendered where they are shown
(show/advice.py).
"""

from collections.abc import Callable

from msgspec import Struct


class NextCommand(Struct, frozen=True, tag="toolkit"):
    """A command of toolkit that somebody may want to run next. The options that make it act on the
    same rules.toml, environment and region are added where it is rendered (show/advice.py).
    """

    command: str
    arguments: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class ShellCommand(Struct, frozen=True, tag="shell"):
    """A command of another program: a line of shell, and words, which are quoted where it is
    rendered. They take the places of the `{}` in the line; the others follow it.
    """

    line: str
    words: tuple[str, ...] = ()


Command = NextCommand | ShellCommand

Advice = str | Command | tuple[str | Command, ...]
"""What to do about a problem: words, a command, or words and commands in turn."""


def advice_parts(advice: Advice) -> tuple[str | Command, ...]:
    """The words and commands of an advice; none where it is empty."""
    if isinstance(advice, tuple):
        return advice
    return (advice,) if advice else ()


def changed_advice(advice: Advice, change: Callable[[str], str]) -> Advice:
    """An advice with every text in it changed: secrets removed, names filled in."""
    if isinstance(advice, tuple):
        return tuple(_changed_part(part, change) for part in advice)
    return _changed_part(advice, change)


def _changed_part(part: str | Command, change: Callable[[str], str]) -> str | Command:
    if isinstance(part, str):
        return change(part)
    if isinstance(part, ShellCommand):
        return ShellCommand(change(part.line), tuple(map(change, part.words)))
    arguments, options = map(change, part.arguments), map(change, part.options)
    return NextCommand(part.command, tuple(arguments), tuple(options))


class SameOptions(Struct, frozen=True):
    """What a next command has to be told to act on the same rules.toml, environment and region as
    the command that prints it; None where it does so without. `aws` are the options for commands of
    the AWS CLI.
    """

    rules: str | None = None
    env: str | None = None
    region: str | None = None
    aws: tuple[str, ...] = ()
