"""The sorts of checks: one file each. A new sort is its file, its line here, and its test."""

from importlib import import_module
from typing import cast

from toolkit.verify.base import Sort

SORTS = {
    "http": "toolkit.verify.http",
    "websocket": "toolkit.verify.websocket",
    "tcp": "toolkit.verify.tcp",
    "tls": "toolkit.verify.tls",
    "dns": "toolkit.verify.dns",
    "aws": "toolkit.verify.aws",
    "command": "toolkit.verify.command",
}
"""Name -> module. The name is the key that makes a table of rules.toml a check of that sort."""


def sort(name: str) -> Sort:
    """The sort of that name, loaded when it is asked for. Raises KeyError."""
    return cast(Sort, import_module(SORTS[name]))
