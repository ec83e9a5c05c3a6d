"""The kinds: one folder each. A new kind is its folder, its line here, and its golden test."""

from importlib import import_module
from typing import cast

from toolkit.targets.base import Kind

KINDS = {
    "app": "toolkit.targets.app.kind",
    "stack": "toolkit.targets.stack.kind",
    "function": "toolkit.targets.function.kind",
    "site": "toolkit.targets.site.kind",
    "group": "toolkit.targets.group.kind",
    "manual": "toolkit.targets.manual.kind",
}


def kind(name: str) -> Kind:
    """The kind of that name, loaded when it is asked for. Raises KeyError."""
    return cast(Kind, import_module(KINDS[name]))
