"""`{name}` in texts, and what it stands for. Targets know plain names; in checks days can be added
(`{day+2}`), and doubled braces are plain ones.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from enum import StrEnum
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import UNSET, Struct

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


def as_text(value: Any) -> str:
    """A value where it stands among other text: what is no text as JSON has it."""
    if isinstance(value, str):
        return value
    import json  # `diff` fills in texts only

    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def fill_check(settings: Any, variables: Mapping[str, Any]) -> Any:
    """A part of a check with every name replaced; in a JSON path and in a regular expression so
    that no value ends the text that it stands in. A text that is exactly one name becomes the value
    with its type wherever more than text is allowed.

    Raises KeyError for an unknown name, ValueError or OverflowError for a value that does not fit.
    """
    filled = _Filler(variables).fill(settings, type(settings))
    return msgspec.convert(filled, type(settings))


class Fill(StrEnum):
    """How the names in a part of a check are filled in, as `Meta(extra={FILL: ...})` says."""

    CONDITIONS = "conditions"
    """Path or name -> condition."""
    CONDITION = "condition"
    PLACE = "place"
    """Where a value is captured: a JSON path, or what it is called."""


FILL = "fill"
_VALUES = (Any, int, float)
"""A field of one of these types may have a value with its type."""
_PLAIN_VALUES = ("equals", "not", "contains", "excludes")
"""What stands behind these keys of a condition is a value, and not a condition itself."""


class _Filler:
    """Replaces the names in settings by their values, as the types of the fields allow."""

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self._variables = variables

    def fill(self, value: Any, hint: Any) -> Any:
        """A value that a field of the type `hint` holds, as built-in types."""
        how, members = _members(hint)
        if how is not None:
            return self._special(value, how)
        if isinstance(value, Struct):
            fields = {}
            for field in msgspec.structs.fields(value):
                inner = getattr(value, field.name)
                if inner is not UNSET:
                    fields[field.encode_name] = self.fill(inner, field.type)
            return fields
        if any(member in _VALUES for member in members):
            return self._value(msgspec.to_builtins(value))
        if isinstance(value, Mapping):
            inside = _inside(members, Mapping)
            return {self._text(key): self.fill(inner, inside) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            inside = _inside(members, tuple)
            return [self.fill(element, inside) for element in value]
        return self._text(value) if isinstance(value, str) else value

    def _special(self, value: Any, how: Fill) -> Any:
        if how is Fill.PLACE:
            return {self._text(key): self._place(inner) for key, inner in value.items()}
        value = msgspec.to_builtins(value)
        if how is Fill.CONDITION:
            return self._condition(value)
        return {self._place(key): self._condition(inner) for key, inner in value.items()}

    def _condition(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return self._value(value)
        condition = {}
        for key, inner in value.items():
            if key == "matches" and isinstance(inner, str):
                condition[key] = self._text(inner, re.escape)
            else:
                is_value = key in _PLAIN_VALUES
                condition[key] = self._value(inner) if is_value else self._condition(inner)
        return condition

    def _place(self, text: str) -> str:
        """A JSON path, in which no value ends the text that it stands in, or a plain name."""
        if text.startswith("$"):
            return self._text(text, _quoted)
        return self._text(text, re.escape if text.startswith("regex:") else str)

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            single = re.fullmatch(rf"\{{({NAME})\}}", value)
            return self._variables[single[1]] if single else self._text(value)
        if isinstance(value, (list, tuple)):
            return [self._value(element) for element in value]
        if isinstance(value, dict):
            return {self._text(key): self._value(inner) for key, inner in value.items()}
        return value

    def _text(self, text: str, write: Callable[[str], str] = str) -> str:
        def put(match: re.Match[str]) -> str:
            if not match[1]:
                return match[0][0]  # a doubled brace
            value = as_text(self._variables[match[1]])
            if match[2]:
                value = (date.fromisoformat(value) + timedelta(days=int(match[2]))).isoformat()
            return write(value)

        return re.sub(_IN_CHECK, put, text)


def _quoted(value: str) -> str:
    return re.sub(_QUOTES, lambda char: f"\\u{ord(char[0]):04x}", value)


def _members(hint: Any) -> tuple[Fill | None, tuple[Any, ...]]:
    """How a type says that it is filled in, if it does, and the types that it is a union of."""
    if get_origin(hint) is Annotated:
        for note in hint.__metadata__:
            if isinstance(note, msgspec.Meta) and note.extra and FILL in note.extra:
                return note.extra[FILL], ()
        return _members(hint.__origin__)
    if get_origin(hint) in (Union, UnionType):
        members: list[Any] = []
        for member in get_args(hint):
            how, inner = _members(member)
            if how is not None:
                return how, ()
            members += inner
        return None, tuple(members)
    return None, (hint,)


def _inside(members: tuple[Any, ...], container: type) -> Any:
    """The type of what a mapping, or a tuple, of one of these types holds; text if none says so."""
    for member in members:
        origin, args = get_origin(member), get_args(member)
        if isinstance(origin, type) and issubclass(origin, container) and args:
            return args[1] if container is Mapping else args[0]
    return str


def sample(text: str) -> str:
    """A text of a check with an `x` for each name, to see whether it can be valid."""
    return re.sub(_IN_CHECK, lambda match: "x" if match[1] else match[0][0], text)
