"""Texts without the values that nobody may see."""

import re
from collections.abc import Mapping

LOOKS_SECRET = re.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|-----BEGIN [A-Z ]*PRIVATE"
    r" KEY-----|\bxox[abprs]-|\bgh[pousr]_\w{20,}|://[^/\s:@]+:[^/\s@]+@"
)
"""Texts that are a credential, or hold one."""
SECRET_NAME = re.compile(
    r"(?i)(?:passw(?:or)?d|passphrase|secret|token|credentials?|(?:api|access|private|secret)_?-?key)$"
)
"""Names of settings whose values are secret."""


def hidden_parts(value: str, shortest: int) -> set[str]:
    """What must not be seen of a value: it, and each of its lines, for programs and logs are read
    line by line. A part of fewer than `shortest` characters would be found in other words.
    """
    parts = {value, *(line.strip() for line in value.splitlines())}
    return {part for part in parts if len(part) >= shortest}


def without(text: str, replacements: Mapping[str, str]) -> str:
    """A text with every value replaced; longer ones first, for one may hold another."""
    for value in sorted(replacements, key=len, reverse=True):
        text = text.replace(value, replacements[value])
    return text
