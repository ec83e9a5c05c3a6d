"""YAML whose texts know their lines, for evidence that can be looked up."""

from collections.abc import Mapping
from typing import Any

from toolkit.formats.documents import compose_yaml

_MOST_NODES = 50_000
_DEEPEST = 60


class Text(str):
    """A scalar of a document; `line` counts from 1 and is where its content begins."""

    line: int = 0


def located_yaml(text: str) -> object:
    """The document with every scalar as a Text, None for an empty one. Raises ValueError."""
    return _Reader().plain(compose_yaml(text), 0)


def texts(value: object) -> list[Text]:
    """The texts of a list, or the one that stands there alone."""
    if isinstance(value, Text):
        return [value]
    if isinstance(value, list):
        return [entry for entry in value if isinstance(entry, Text)]
    return []


def table(value: object) -> Mapping[str, Any]:
    """A mapping; an empty one for everything else."""
    return value if isinstance(value, dict) else {}


class _Reader:
    def __init__(self) -> None:
        self._nodes = 0

    def plain(self, node: Any, depth: int) -> Any:
        """A node as plain data. Aliases are written out, up to a limit."""
        self._nodes += 1
        if self._nodes > _MOST_NODES or depth > _DEEPEST:
            raise ValueError("it is too large or too deep")
        if node is None:
            return None
        if node.id == "scalar":
            text = Text(node.value)
            text.line = node.start_mark.line + 1 + (node.style in ("|", ">"))
            return text
        if node.id == "sequence":
            return [self.plain(entry, depth + 1) for entry in node.value]
        mapping: dict[str, Any] = {}
        for key, value in node.value:
            inner = self.plain(value, depth + 1)
            if key.id != "scalar":
                continue
            if key.value == "<<":
                for merged in inner if isinstance(inner, list) else [inner]:
                    mapping = {**table(merged), **mapping}
            else:
                name = Text(key.value)
                name.line = key.start_mark.line + 1
                mapping[name] = inner
        return mapping
