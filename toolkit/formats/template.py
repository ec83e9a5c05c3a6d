"""A template as data, with where each of its values stands, so that a value can be replaced and all
else stays as it was written. Pure.

What a text can do to its reader is bounded: its depth, and how many values its aliases stand for.
CloudFormation's short functions (`!Sub x`) become mappings of their own name, so that nobody takes
what they are about for a plain value.
"""

import json
import re
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

from msgspec import Struct

from toolkit.formats.documents import DEEPEST, compose_yaml

MOST_VALUES = 100_000
"""The most values of a template, with its aliases written out."""
LONGEST_YAML, LONGEST_JSON = 1_000_000, 4_000_000
"""The most characters of a template whose data are read: CloudFormation takes at most a million
bytes, and the CDK writes more before it is told so.
"""
MOST_BITS = 1024
"""The most bits of a whole number: more than any that is meant, and Python writes no huge ones."""
MOST_DATA = {"YAML": 30_000, "JSON": 300_000}
"""The most values of such a template: as many as are read within a second."""

Path = tuple[str | int, ...]
"""Where a value stands: keys and numbers, from the top."""


class Document(Struct, frozen=True):
    """A template: `text` as it was written, `data` what it says. `spans` are where its values stand
    in the text, None for JSON.
    """

    text: str
    data: Mapping[str, Any]
    spans: Mapping[Path, tuple[int, int]] | None

    def replaced(self, values: Mapping[Path, Any]) -> str:
        """The text with other values in these places: JSON is written again, in YAML each value is
        put where the old one stands.
        """
        if not values:
            return self.text
        if self.spans is None:
            data = json.loads(self.text)
            for path, value in values.items():
                holder = data
                for step in path[:-1]:
                    holder = holder[step]
                holder[path[-1]] = value
            return json.dumps(data, indent=1)
        text = self.text
        spans = {
            self.spans[path]: value for path, value in values.items()
        }  # an alias is written once
        for (start, end), value in sorted(spans.items(), reverse=True):
            text = f"{text[:start]}{json.dumps(value)}{text[end:]}"
        return text


def read_template(text: str) -> Document:
    """A template's text, JSON or YAML. Raises ValueError, in one line, for what is neither, or no
    mapping.
    """
    try:
        data = json.loads(text)
        spans = None
    except (ValueError, RecursionError):
        data, spans = _yaml(text)
    if not isinstance(data, Mapping):
        raise ValueError("it is not a mapping")
    return Document(text, data, spans)


def template_data(text: str) -> dict[str, Any]:
    """What a template says, JSON or YAML: mappings with texts as keys, lists, texts, numbers,
    booleans and None, so that `80` and `"80"` differ. What CloudFormation takes for true (`yes`,
    `on`) is true.

    Raises ValueError, in one line, for what is neither, no mapping, too long or too deep, or cannot
    be written as JSON again (a number that is none, half a character).
    """
    if len(text) > LONGEST_JSON:
        raise ValueError(f"it has more than {LONGEST_JSON // 1000:,} kB")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        if len(text) > LONGEST_YAML:
            raise ValueError(f"it has more than {LONGEST_YAML // 1000:,} kB") from None
        most = MOST_DATA["YAML"]
        node = compose_yaml(text, most)
        data = None if node is None else _Reader(typed=True, most=most).plain(node, (), 0)
    if not isinstance(data, dict):
        raise ValueError("it is not a mapping")
    refuse_unwritable(data)
    return data


def refuse_unwritable(data: Any) -> None:
    """Raises ValueError, in one line, for what cannot be written as JSON again, is too deep, or too
    much.
    """
    waiting: list[tuple[int, Any]] = [(0, data)]
    most = MOST_DATA["JSON"]
    for _ in range(most):
        if not waiting:
            return
        depth, value = waiting.pop()
        if depth > DEEPEST:
            raise ValueError(f"more than {DEEPEST} lists and mappings are inside each other")
        if isinstance(value, dict | list) and len(value) > most:
            break
        if isinstance(value, dict):
            waiting += [(depth + 1, inner) for inner in value.values()]
            waiting += [(depth + 1, key) for key in value]
        elif isinstance(value, list):
            waiting += [(depth + 1, inner) for inner in value]
        elif isinstance(value, str) and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ValueError("a text in it holds half a character") from None
        elif isinstance(value, int | float) and not _is_writable(value):
            raise ValueError("a number in it is too large, or is none")
    raise ValueError(f"it has more than {most:,} values")


def _is_writable(number: int | float) -> bool:
    if isinstance(number, int):
        return number.bit_length() <= MOST_BITS
    return isfinite(number)


def texts(value: Any) -> Iterator[str]:
    """Every text in a value, keys included."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            waiting += [*value.values(), *value]
        elif isinstance(value, list | tuple):
            waiting += value


def _yaml(text: str) -> tuple[Any, Mapping[Path, tuple[int, int]]]:
    node = compose_yaml(text)
    reader = _Reader()
    if node is None:
        return None, reader.spans
    return reader.plain(node, (), 0), reader.spans


_TRUE = frozenset(("true", "yes", "on"))
_FALSE = frozenset(("false", "no", "off"))
_OCTAL = re.compile(r"[-+]?0[0-7]+")


class _Reader:
    """Turns the nodes of a YAML text into plain values: everything except a list or a mapping is
    its text, or with `typed` what CloudFormation takes it for.
    """

    def __init__(self, typed: bool = False, most: int = MOST_VALUES) -> None:
        self.spans: dict[Path, tuple[int, int]] = {}
        self._typed, self._most, self._values = typed, most, 0

    def plain(self, node: Any, path: Path, depth: int) -> Any:
        """A node's value."""
        self._values += 1
        if self._values > self._most or depth > DEEPEST:
            raise ValueError(
                f"its aliases stand for more than {self._most} values, or for themselves"
            )
        if not self._typed:
            self.spans[path] = (node.start_mark.index, node.end_mark.index)
        if node.tag.startswith("!") and node.tag != "!":
            name = node.tag[1:] if node.tag in ("!Ref", "!Condition") else f"Fn::{node.tag[1:]}"
            inner = (*path, name)
            return {inner[-1]: self._inside(node, inner, depth + 1)}
        return self._inside(node, path, depth)

    def _inside(self, node: Any, path: Path, depth: int) -> Any:
        if isinstance(node.value, str):
            if node.tag == "tag:yaml.org,2002:null":
                return None
            if self._typed and not node.style:
                return _typed(node.tag, node.value)
            return node.value
        if node.id == "mapping":
            return {
                _key(key): self.plain(value, (*path, _key(key)), depth + 1)
                for key, value in node.value
            }
        return [
            self.plain(value, (*path, number), depth + 1) for number, value in enumerate(node.value)
        ]


def _key(node: Any) -> str:
    """A key, which is always taken for a text. Raises ValueError for a list or mapping."""
    if not isinstance(node.value, str):
        raise ValueError(f"line {node.start_mark.line + 1}: a key is not a text")
    return node.value


def _typed(tag: str, text: str) -> Any:
    """A scalar without quotes. Raises ValueError for a number with too many digits."""
    kind = tag.rpartition(":")[2]
    if kind == "str":
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        return int(text, 8) if _OCTAL.fullmatch(text) else text
    if kind == "bool":
        return text.lower() in _TRUE
    if kind == "int":
        return int(text, 0) if text.lstrip("-+").isdigit() or text[:2] in ("0x", "0o") else text
    if kind == "float":
        number = float(text) if text[-1:] not in "fFnN" else None
        return text if number is None or not isfinite(number) else number
    return text
