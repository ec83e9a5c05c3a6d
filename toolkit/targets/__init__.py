"""The kinds: one file each. A new kind is its file, its line here, and its golden test."""

from importlib import import_module
from typing import cast

from toolkit.targets.base import Kind

KINDS = {
    "app": "toolkit.targets.app",
    "stack": "toolkit.targets.stack",
    "function": "toolkit.targets.function",
    "site": "toolkit.targets.site",
    "group": "toolkit.targets.group",
    "manual": "toolkit.targets.manual",
}


def kind(name: str) -> Kind:
    """The kind of that name, loaded when it is asked for. Raises KeyError."""
    return cast(Kind, import_module(KINDS[name]))
