"""Regular expressions on what a stranger answers: RE2 takes time that grows with the text, whatever
the pattern. Pure.
"""

from typing import Any

from toolkit.errors import ProbeRefused
from toolkit.formats.variables import sample

LONGEST = 1000
"""Characters of a pattern."""
MOST_WORK = 500_000_000
"""The size of a compiled pattern, times the characters of a text: at most a few seconds, where RE2
has to try each of its instructions at each character. It seldom does.
"""
_USUAL = 64 << 10
"""So many characters a pattern of rules.toml has to be able to go through."""


def problem(pattern: str) -> str | None:
    """What is wrong with a pattern of rules.toml, None if nothing is."""
    return plain_problem(sample(pattern))


def plain_problem(pattern: str) -> str | None:
    """The same for a pattern that holds no names."""
    if len(pattern) > LONGEST:
        return f"a regular expression of {len(pattern)} characters; {LONGEST} are the most"
    try:
        size = _compiled(pattern).programsize
    except ValueError as error:
        return f"{pattern!r} is not a regular expression of RE2: {error}"
    if size * _USUAL > MOST_WORK:
        return f"{pattern!r} is too large a regular expression: repeat less in it"
    return None


def search(pattern: str, text: str) -> Any:
    """The first match anywhere in a text, None if there is none. Raises ValueError for what is not
    a pattern once its values are filled in, ProbeRefused for one that is too large for the text.
    """
    compiled = _compiled(pattern)
    if compiled.programsize * len(text) > MOST_WORK:
        raise ProbeRefused(
            "a regular expression is too large for a text of this length",
            "repeat less in it, or lower `body_limit`",
        )
    # Half a character cannot be encoded, and RE2 works on bytes.
    return compiled.search(text.encode("utf-8", "replace").decode())


def is_match(pattern: str, text: str) -> bool:
    """Whether a pattern matches anywhere in a text. Raises ValueError as `search` does."""
    return search(pattern, text) is not None


def _compiled(pattern: str) -> Any:
    import re2  # type: ignore[import-untyped]

    options = re2.Options()
    options.log_errors = False  # RE2 itself would write to standard error
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        words = error.args[0]
        if isinstance(words, bytes):
            words = words.decode("utf-8", "replace")
        raise ValueError(str(words)) from None
