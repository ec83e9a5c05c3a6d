"""`{name}` in texts, and what it stands for. Targets know plain names; in checks days can be added
(`{day+2}`), and doubled braces are plain ones.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

import msgspec

from toolkit.errors import Refused

NAME = r"[A-Za-z_][A-Za-z0-9_]*"

DATES = frozenset(("today", "day"))
"""The values that days can be added to."""

_VARIABLE = re.compile(rf"\{{({NAME})\}}")
# Compiled where they are used: `diff` reads no check.
_IN_CHECK = rf"\{{\{{|\}}\}}|\{{({NAME})(?:\+(\d{{1,6}}))?\}}"
_QUOTES = r"""[\x00-\x1f"'\\]"""


def names(text: str) -> frozenset[str]:
    """The names in a text."""
    return frozenset(_VARIABLE.findall(text)) if "{" in text else frozenset()


def fill(text: str, variables: Mapping[str, str]) -> str:
    """The text with every `{name}` of a known variable replaced."""
    if "{" not in text:
        return text
    return _VARIABLE.sub(lambda match: variables.get(match[1], match[0]), text)


def fill_all(value: Any, variables: Mapping[str, str]) -> Any:
    """The same for all texts in tables and lists; keys stay."""
    if isinstance(value, str):
        return fill(value, variables)
    if isinstance(value, dict):
        return {key: fill_all(inner, variables) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [fill_all(inner, variables) for inner in value]
    return value


def fill_settings(settings: Any, variables: Mapping[str, str]) -> Any:
    """The settings with every `{name}` of a known variable replaced. Raises Refused if they are
    invalid then.
    """
    try:
        return msgspec.convert(fill_all(msgspec.to_builtins(settings), variables), type(settings))
    except msgspec.ValidationError as problem:
        used = names(repr(settings))
        empty = sorted(name for name in used & variables.keys() if not variables[name].strip())
        what = f"a setting is not valid: {problem}"
        if empty:
            what = f"`{{{empty[0]}}}` is empty, and a name needs it"
        raise Refused(
            f"{what}, once the variables are filled in",
            "fill it in in rules.toml, under `vars` of the environment",
        ) from None


def names_in_check(value: Any) -> frozenset[str]:
    """The names anywhere in a part of a check."""
    return frozenset(name for name, _ in _uses(value))


def dated_in_check(value: Any) -> dict[str, str]:
    """The names in a part of a check that days are added to, each as it is written."""
    return {name: f"{name}+{days}" for name, days in _uses(value) if days}


def _uses(value: Any) -> list[tuple[str, str | None]]:
    text = msgspec.json.encode(value).decode()
    return [(match[1], match[2]) for match in re.finditer(_IN_CHECK, text) if match[1]]


def fill_check(settings: Any, variables: Mapping[str, str]) -> Any:
    """A part of a check with every name replaced; in a JSON path so that no value ends the text
    that it stands in. Raises KeyError for an unknown name, ValueError or OverflowError for a value
    that does not fit.
    """

    def put(match: re.Match[str]) -> str:
        if not match[1]:
            return match[0][0]  # a doubled brace
        value = variables[match[1]]
        if match[2]:
            return (date.fromisoformat(value) + timedelta(days=int(match[2]))).isoformat()
        return value

    def put_into_path(match: re.Match[str]) -> str:
        return re.sub(_QUOTES, lambda char: f"\\u{ord(char[0]):04x}", put(match))

    return msgspec.convert(
        _replace(msgspec.to_builtins(settings), put, put_into_path), type(settings)
    )


_Put = Callable[[re.Match[str]], str]


def _replace(value: Any, put: _Put, put_into_path: _Put) -> Any:
    if isinstance(value, str):
        return re.sub(_IN_CHECK, put, value)
    if isinstance(value, (list, tuple)):
        return [_replace(element, put, put_into_path) for element in value]
    if not isinstance(value, dict):
        return value
    table: dict[str, Any] = {}
    for key, inner in value.items():
        insert = put_into_path if key.startswith("$") else put
        table[re.sub(_IN_CHECK, insert, key)] = _replace(inner, put, put_into_path)
    return table
