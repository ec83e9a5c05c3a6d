"""Texts without the values that nobody may see."""

from collections.abc import Mapping


def without(text: str, replacements: Mapping[str, str]) -> str:
    """A text with every value replaced; longer ones first, for one may hold another."""
    for value in sorted(replacements, key=len, reverse=True):
        text = text.replace(value, replacements[value])
    return text
