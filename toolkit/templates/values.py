"""Values that differ, as people may see them: shortened around what differs, without secrets."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from toolkit.formats.redaction import LOOKS_SECRET, SECRET_NAME
from toolkit.templates.clean import canonical
from toolkit.templates.model import Path, ValueDifference
from toolkit.templates.references import before_intrinsic, words

LONGEST_VALUE = 60
"""The most characters of a value that are shown."""
MOST_VALUES = 200
"""The most values of a resource or part that are told."""
HIDDEN = "(hidden)"
_HASH = re.compile(r"[0-9a-f]{64}")
NOTHING: Any = object()
"""Stands for a value that is not there: None is a value."""


def is_secret(name: str | int) -> bool:
    """Whether a value of this name may be a secret."""
    return isinstance(name, str) and SECRET_NAME.search(name) is not None


def same(before: Any, after: Any) -> bool:
    """Whether two values have the same content."""
    if before is NOTHING or after is NOTHING:
        return before is after
    return canonical(before) == canonical(after)


def value_differences(
    before: Any, after: Any, path: Path = (), hidden: bool = False
) -> tuple[ValueDifference, ...]:
    """The values that differ, the most deeply nested ones; at most MOST_VALUES. `hidden` are those
    that nobody may see.
    """
    differences: dict[Path, ValueDifference] = {}
    for place, was, now, secret in differing(before, after, path, hidden):
        if len(differences) == MOST_VALUES:
            break
        known, is_function = before_intrinsic(place)
        if is_function:  # a person reads `${Name.Arn}` better than a part of it
            was, now = (_at(value, known[len(path) :]) for value in (before, after))
        if known not in differences:
            differences[known] = ValueDifference(known, *_shown(was, now, secret))
    return tuple(differences.values())


def _at(value: Any, path: Path) -> Any:
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return NOTHING
    return value


def differing(
    before: Any, after: Any, path: Path, hidden: bool = False
) -> Iterator[tuple[Path, Any, Any, bool]]:
    """The values that differ, the most deeply nested ones: where, before, after (NOTHING for one
    that is not there), and whether nobody may see it.
    """
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        named = _named_pair(before) or _named_pair(after)
        for key in dict.fromkeys((*before, *after)):
            secret = hidden or is_secret(key) or (named and key in ("Value", "value"))
            was, now = before.get(key, NOTHING), after.get(key, NOTHING)
            yield from differing(was, now, (*path, key), secret)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (was, now) in enumerate(zip(before, after, strict=True)):
            yield from differing(was, now, (*path, number), hidden)
    elif not same(before, after):
        yield path, before, after, hidden


def _named_pair(value: Mapping[str, Any]) -> bool:
    """Whether a value is `{Name: DB_PASSWORD, Value: ...}`, as containers have them."""
    return any(is_secret(str(value.get(key))) for key in ("Name", "name", "Key", "key"))


def _shown(before: Any, after: Any, hidden: bool) -> tuple[str | None, str | None]:
    """Two values for people: shortened around what differs, without secrets."""
    if hidden:
        return _present(before, HIDDEN), _present(after, HIDDEN)
    if before is NOTHING or after is NOTHING:
        old, new = (_present(value, words(_bare(value))) for value in (before, after))
        return _cut(old, 0), _cut(new, 0)
    if isinstance(before, list) and isinstance(after, list):
        before, after = _apart(before, after)
    was, now = words(_bare(before)), words(_bare(after))
    if was == now:  # 80 and "80", or two secrets
        was, now = f"{was} ({_kind(before)})", f"{now} ({_kind(after)})"
    start = len(_common(was, now))
    return _cut(was, start), _cut(now, start)


def _present(value: Any, text: str) -> str | None:
    return None if value is NOTHING else text


def _bare(value: Any) -> Any:
    """A value without the secrets that stand in it."""
    if value is NOTHING:
        return ""
    if isinstance(value, Mapping):
        named = _named_pair(value)
        return {
            key: HIDDEN if is_secret(key) or (named and key in ("Value", "value")) else _bare(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_bare(inner) for inner in value]
    if isinstance(value, str):
        return HIDDEN if LOOKS_SECRET.search(value) else _HASH.sub(_beginning, value)
    return value


def _beginning(hash: re.Match[str]) -> str:
    return f"{hash[0][:12]}…"


def _apart(before: list[Any], after: list[Any]) -> tuple[list[Any], list[Any]]:
    """What two lists have that the other one has not; the lists themselves if that is nothing."""
    was, now = [canonical(value) for value in before], [canonical(value) for value in after]
    either = {*was} & {*now}
    lost = [value for value, text in zip(before, was, strict=True) if text not in either]
    gained = [value for value, text in zip(after, now, strict=True) if text not in either]
    return (lost, gained) if lost or gained else (before, after)


def _kind(value: Any) -> str:
    """What a value is, where its text does not tell it apart."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "number"
    if value is None:
        return "empty"
    return "text" if isinstance(value, str) else "other"


def _common(was: str, now: str) -> str:
    """What two texts begin with."""
    end = next((n for n, (a, b) in enumerate(zip(was, now, strict=False)) if a != b), None)
    return was[:end] if end is not None else min(was, now, key=len)


def _cut(text: str | None, start: int) -> str | None:
    """A text of at most LONGEST_VALUE characters in which what is at `start` can be seen."""
    if text is None or len(text) <= LONGEST_VALUE:
        return text
    begin = max(0, min(start - LONGEST_VALUE // 3, len(text) - LONGEST_VALUE))
    end = begin + LONGEST_VALUE
    return f"{'…' if begin else ''}{text[begin:end]}{'…' if end < len(text) else ''}"
