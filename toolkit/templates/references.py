"""What the values of a template refer to."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from toolkit.templates.model import Path

_SUBSTITUTED = re.compile(r"\$\{([^!${}][^${}]*)\}")
_INTRINSIC = re.compile(r"Ref|Condition|Fn::.+")
_NAMED = frozenset(("Ref", "Condition"))
_FIRST = frozenset(("Fn::FindInMap", "Fn::If"))
"""The functions whose first argument is the name of a mapping or condition."""


def is_intrinsic(value: Any) -> bool:
    """Whether a value is a function of CloudFormation, so that what it comes to is not known."""
    return (
        isinstance(value, Mapping)
        and len(value) == 1
        and all(_INTRINSIC.fullmatch(key) for key in value)
    )


def references(value: Any) -> Iterator[tuple[str, str]]:
    """What a value refers to: the logical id of a resource, parameter, mapping or condition, and
    the attribute of the resource, empty for its Ref.
    """
    if isinstance(value, list):
        for inner in value:
            yield from references(inner)
        return
    if not isinstance(value, Mapping):
        return
    for key, inner in value.items():
        yield from _entry_references(key, inner)


def _entry_references(key: str, inner: Any) -> Iterator[tuple[str, str]]:
    if key in _NAMED and isinstance(inner, str):
        yield inner, ""
    elif key == "Fn::GetAtt":
        parts = inner.split(".", 1) if isinstance(inner, str) else inner
        if isinstance(parts, list) and parts and isinstance(parts[0], str):
            yield parts[0], ".".join(part for part in parts[1:] if isinstance(part, str))
    elif key == "Fn::Sub":
        yield from _substituted(inner)
    elif key == "DependsOn":
        names = inner if isinstance(inner, list) else [inner]
        yield from ((name, "") for name in names if isinstance(name, str))
    else:
        if key in _FIRST and isinstance(inner, list) and inner and isinstance(inner[0], str):
            yield inner[0], ""
        yield from references(inner)


def _substituted(value: Any) -> Iterator[tuple[str, str]]:
    text, names = value, {}
    if isinstance(value, list) and len(value) == 2 and isinstance(value[1], Mapping):
        text, names = value
        yield from references(dict(names))
    if isinstance(text, str):
        for match in _SUBSTITUTED.finditer(text):
            name, _, attribute = match[1].strip().partition(".")
            if name not in names:
                yield name, attribute


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """A value with the logical ids that it refers to replaced."""
    if not names:
        return value
    return _renamed(value, lambda name: names.get(name, name))


def _renamed(value: Any, new: Callable[[str], str]) -> Any:
    if isinstance(value, list):
        return [_renamed(inner, new) for inner in value]
    if not isinstance(value, Mapping):
        return value
    return {key: _renamed_entry(key, inner, new) for key, inner in value.items()}


def _renamed_entry(key: str, inner: Any, new: Callable[[str], str]) -> Any:
    if key == "Ref" and isinstance(inner, str):
        return new(inner)
    if key == "Fn::GetAtt":
        if isinstance(inner, str):
            name, dot, attribute = inner.partition(".")
            return f"{new(name)}{dot}{attribute}"
        if isinstance(inner, list) and inner and isinstance(inner[0], str):
            return [new(inner[0]), *inner[1:]]
    if key == "DependsOn":
        if isinstance(inner, str):
            return new(inner)
        if isinstance(inner, list):
            return [new(name) if isinstance(name, str) else name for name in inner]
    if key == "Fn::Sub":
        text, *more = inner if isinstance(inner, list) and inner else [inner]
        if isinstance(text, str):
            text = _SUBSTITUTED.sub(lambda match: _renamed_place(match[1], new), text)
        return [text, *_renamed(more, new)] if isinstance(inner, list) else text
    return _renamed(inner, new)


def _renamed_place(place: str, new: Callable[[str], str]) -> str:
    name, dot, attribute = place.partition(".")
    return f"${{{new(name)}{dot}{attribute}}}"


def words(value: Any) -> str:
    """A value as a person reads it: functions of CloudFormation as `${Name.Attribute}`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(words, value))}]"
    if not isinstance(value, Mapping):
        return str(value)
    if is_intrinsic(value):
        [(verb, inner)] = value.items()
        if verb == "Ref":
            return f"${{{words(inner)}}}"
        if verb == "Fn::GetAtt":
            parts = inner if isinstance(inner, list) else [inner]
            return f"${{{'.'.join(map(words, parts))}}}"
        if verb == "Fn::Sub":
            return words(inner[0] if isinstance(inner, list) and inner else inner)
        if verb == "Fn::Join" and isinstance(inner, list) and len(inner) == 2:
            parts = inner[1] if isinstance(inner[1], list) else [inner[1]]
            return words(inner[0]).join(map(words, parts))
        return f"{verb.removeprefix('Fn::')}({words(inner)})"
    return f"{{{', '.join(f'{key}: {words(inner)}' for key, inner in value.items())}}}"


def before_intrinsic(path: Path) -> tuple[Path, bool]:
    """A path as far as no function of CloudFormation stands in it, and whether there is one."""
    for number, step in enumerate(path):
        if isinstance(step, str) and _INTRINSIC.fullmatch(step):
            return path[:number], True
    return path, False


def replaced(value: Any, replace: Callable[[str], str]) -> Any:
    """A value with all of its texts replaced, keys included."""
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, Mapping):
        return {replace(key): replaced(inner, replace) for key, inner in value.items()}
    if isinstance(value, list):
        return [replaced(inner, replace) for inner in value]
    return value
