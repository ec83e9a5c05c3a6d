"""The sorts of checks: one file each. A new sort is its file, its line here, and its test."""

from importlib import import_module
from typing import cast

from toolkit.checks.base import CheckType

SORTS = {
    "http": "toolkit.checks.http",
    "websocket": "toolkit.checks.websocket",
    "tcp": "toolkit.checks.tcp",
    "tls": "toolkit.checks.tls",
    "dns": "toolkit.checks.dns",
    "aws": "toolkit.checks.aws",
    "command": "toolkit.checks.command",
}
"""Name -> module. The name is the key that makes a table of rules.toml a check of that sort."""


def sort(name: str) -> CheckType:
    """The sort of that name, loaded when it is asked for. Raises KeyError."""
    return cast(CheckType, import_module(SORTS[name]))
