"""YAML that strangers wrote, read as plain data: the only file that knows of a YAML library.

What a text can do to its reader is bounded before anybody walks through the result: its length, its
depth (the C parser does not survive a deep one), what its `<<` merges copy, and what its aliases
stand for once written out. A value that holds itself is refused.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

LONGEST = 256 * 1024
"""The most bytes of a document."""

DEEPEST = 100
"""The most lists and mappings inside each other."""

_TOO_DEEP = f"more than {DEEPEST} lists and mappings are inside each other"

MOST_MERGED = 10_000
"""The most entries that the `<<` merges of one document may copy."""

MOST_VALUES = 250_000
"""The most values that a document may stand for when its aliases are written out."""


def load_yaml(text: str) -> object:
    """The one document in a text, as mappings, lists, strings, numbers, booleans and None.

    Scalars mean what they mean in YAML 1.2: `on` and `no` are strings, and so are dates. The value
    of a tag that nobody knows (`!Ref name`) is read as if the tag were not there. Raises
    ValueError, in one line.
    """
    import yaml

    if len(text.encode("utf-8", "surrogatepass")) > LONGEST:
        raise ValueError(f"it has more than {LONGEST // 1024} kB")
    value = _read(text, yaml.load)
    _count_values(value, {}, 0)
    return value


def compose_yaml(text: str, most: int | None = None) -> Any:
    """The one document in a text as nodes, which say where they stand; None for an empty text.
    Raises ValueError, in one line, also for more than `most` values.
    """
    import yaml

    return _read(text, yaml.compose, most)


def _read(text: str, read: Callable[..., Any], most: int | None = None) -> Any:
    import yaml

    try:
        # Events come without recursion, so the depth can be measured before anything is built.
        _refuse_size(text, most)
        return read(text, _loader())
    except yaml.YAMLError as error:
        raise ValueError(_in_one_line(error)) from None
    except RecursionError:
        raise ValueError("a value holds itself") from None
    # A tag that does not fit: `!!int x`.
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"a value cannot be read: {reason}") from None


@lru_cache(maxsize=1)
def _loader() -> type[Any]:
    """A safe loader with YAML 1.2's scalars, plain data for unknown tags, and a limit on merges."""
    import yaml

    # The C loader is much faster, but is not in every build of the library.
    base: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]
        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - add_implicit_resolver fills it, for this class only
        merged = 0

        def flatten_mapping(self, node: Any) -> None:
            for key, value in node.value:
                if key.tag == "tag:yaml.org,2002:merge":
                    is_list = isinstance(value, yaml.SequenceNode)
                    for source in value.value if is_list else [value]:
                        self._count_merge(source)
            super().flatten_mapping(node)

        def _count_merge(self, node: Any) -> None:
            if isinstance(node, yaml.MappingNode):
                self.flatten_mapping(node)
                self.merged += len(node.value) + 1
                if self.merged > MOST_MERGED:
                    raise yaml.YAMLError(f"its merges copy more than {MOST_MERGED} entries")

    for tag, pattern, first in _SCALARS:
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), first)
    Loader.add_constructor(None, _construct_untagged)
    return Loader


_SCALARS = (
    ("null", r"(?:~|null|Null|NULL|)\Z", ["~", "n", "N", ""]),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)\Z", list("tTfF")),
    ("int", r"(?:[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+)\Z", list("-+0123456789")),
    (
        "float",
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+)\Z",
        list("-+0123456789."),
    ),
    ("float", r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z", list("-+.")),
    ("merge", r"<<\Z", ["<"]),
)
"""Tag, regular expression and first characters of the scalars that are more than strings."""


def as_mapping(value: object) -> Mapping[str, Any]:
    """A part of a document, empty if it is not a mapping: anything may stand anywhere."""
    return value if isinstance(value, Mapping) else {}


def _construct_untagged(loader: Any, node: Any) -> Any:
    import yaml

    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


def _refuse_size(text: str, most: int | None) -> None:
    """Raises YAMLError for a text that is too deep, or stands for more than `most` values."""
    import yaml

    depth = values = 0
    for event in yaml.parse(text, _loader()):
        values += isinstance(event, yaml.NodeEvent)
        if most is not None and values > 2 * most:  # keys are nodes, too
            raise yaml.MarkedYAMLError(f"it has more than {most:,} values")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise yaml.MarkedYAMLError(_TOO_DEEP)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _in_one_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    message = getattr(error, "problem", None) or getattr(error, "context", None) or str(error)
    where = f"line {mark.line + 1}: " if mark else ""
    return where + " ".join(message.split())


def _count_values(value: object, counts: dict[int, int], depth: int) -> int:
    """How many values one value stands for, with every alias written out. `counts` holds those of
    the collections that were counted already, by id.
    """
    if not isinstance(value, dict | list | set | tuple):
        return 1
    count = counts.get(id(value))
    if count == 0:
        raise ValueError("a value holds itself")
    if depth > DEEPEST:
        raise ValueError(_TOO_DEEP)
    if count is None:
        counts[id(value)] = 0  # marks what is being counted: to meet it again inside is a circle
        inner = value.values() if isinstance(value, dict) else value
        count = 1 + sum(_count_values(member, counts, depth + 1) for member in inner)
        counts[id(value)] = count
    if count > MOST_VALUES:
        raise ValueError(f"its aliases stand for more than {MOST_VALUES} values")
    return count
