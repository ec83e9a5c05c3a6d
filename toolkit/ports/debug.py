"""The debug log: what toolkit does, line by line, for whoever has to find out why.

It is off unless `--debug` or TOOLKIT_DEBUG asks for it (cli/debugging.py): then `sink` takes each
line. Whoever tells something hands over plain facts; the sink quotes them and takes secrets out.
"""

from collections.abc import Callable, Mapping, Sequence
from time import monotonic

Sink = Callable[[str, Sequence[str], Mapping[str, object]], None]

VARIABLE = "TOOLKIT_DEBUG"
"""Names the file that the lines go to."""

sink: Sink | None = None
"""Where lines go: None while nobody wants them."""

on_stderr = False
"""Whether they go to stderr: then nothing is redrawn there."""

MOST_ARGUMENTS = 40
"""The most arguments of a program that are written."""
MOST_ITEMS = 50
"""The most lines that are written of a long list, such as the reasons of a target."""

_secrets: set[str] = set()


def tell(topic: str, /, *words: str, **facts: object) -> None:
    """A line: what it is about, what happened, and facts by name. None and "" are left out."""
    if sink is not None:
        sink(topic, words, facts)


def now() -> float:
    """When something begins, for `since`; 0 while nobody wants to know."""
    return monotonic() if sink is not None else 0.0


def since(began: float) -> str:
    """How long it took, in milliseconds: `12.3`."""
    return f"{(monotonic() - began) * 1000:.1f}"


def hide(value: str) -> None:
    """From now on this value is taken out of every line."""
    if sink is not None and value:
        _secrets.add(value)


def secrets() -> frozenset[str]:
    """The values to take out."""
    return frozenset(_secrets.copy())


def program_started(argv: Sequence[str], folder: str = "") -> None:
    """A program that may run for long: how it ends is another line."""
    if sink is not None:
        topic, words = _shown(argv)
        tell(topic, *words, folder=folder, state="started")


def program_ended(argv: Sequence[str], folder: str, code: int | None, began: float) -> None:
    """A program, its exit code, and how long it ran."""
    if sink is not None:
        topic, words = _shown(argv)
        tell(topic, *words, folder=folder, exit=code, ms=since(began))


def _shown(argv: Sequence[str]) -> tuple[str, list[str]]:
    """The topic and the words of a program. Git's begin at its command: the options before it are
    the same each time (ports/git.py).
    """
    words = list(argv)
    topic = "program"
    if words and words[0].rpartition("/")[2] == "git":
        topic, words = "git", words[1:]
        while words and words[0].startswith("-"):
            words = words[2:] if words[0] == "-c" else words[1:]
    more = len(words) - MOST_ARGUMENTS
    return topic, [*words[:MOST_ARGUMENTS], *([f"({more} more)"] if more > 0 else [])]
