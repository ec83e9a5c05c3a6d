"""A template as data, with where each of its values stands, so that a value can be replaced and all
else stays as it was written. Pure.

What a text can do to its reader is bounded: its depth, and how many values its aliases stand for.
CloudFormation's short functions (`!Sub x`) become mappings of their own name, so that nobody takes
what they are about for a plain value.
"""

import json
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from toolkit.formats.documents import DEEPEST, compose_yaml

MOST_VALUES = 100_000
"""The most values of a template, with its aliases written out."""

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


def _yaml(text: str) -> tuple[Any, Mapping[Path, tuple[int, int]]]:
    node = compose_yaml(text)
    reader = _Reader()
    if node is None:
        return None, reader.spans
    return reader.plain(node, (), 0), reader.spans


class _Reader:
    """Turns the nodes of a YAML text into plain values."""

    def __init__(self) -> None:
        self.spans: dict[Path, tuple[int, int]] = {}

    def plain(self, node: Any, path: Path, depth: int) -> Any:
        """A node's value; everything except a list or a mapping is its text."""
        self.spans[path] = (node.start_mark.index, node.end_mark.index)
        if len(self.spans) > MOST_VALUES or depth > DEEPEST:
            raise ValueError(
                f"its aliases stand for more than {MOST_VALUES} values, or for themselves"
            )
        if node.tag.startswith("!"):
            name = "Ref" if node.tag == "!Ref" else f"Fn::{node.tag[1:]}"
            inner = (*path, name)
            return {inner[-1]: self._inside(node, inner, depth + 1)}
        return self._inside(node, path, depth)

    def _inside(self, node: Any, path: Path, depth: int) -> Any:
        if isinstance(node.value, str):
            if node.tag != "tag:yaml.org,2002:null":
                return node.value
            return None
        if node.id == "mapping":
            return {
                str(key.value): self.plain(value, (*path, str(key.value)), depth + 1)
                for key, value in node.value
            }
        return [
            self.plain(value, (*path, number), depth + 1) for number, value in enumerate(node.value)
        ]
