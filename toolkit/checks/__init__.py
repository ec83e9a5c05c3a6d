"""The check types: one file each. A new check type is its file, its line here, and its test."""

from importlib import import_module
from typing import cast

from toolkit.checks.base import CheckType

CHECK_TYPES = {
    "http": "toolkit.checks.http",
    "websocket": "toolkit.checks.websocket",
    "tcp": "toolkit.checks.tcp",
    "tls": "toolkit.checks.tls",
    "dns": "toolkit.checks.dns",
    "aws": "toolkit.checks.aws",
    "command": "toolkit.checks.command",
}
"""Name -> module. The name is the key that makes a table of rules.toml a check of that type."""


def check_type(name: str) -> CheckType:
    """The check type of that name, loaded on first use. Raises KeyError."""
    return cast(CheckType, import_module(CHECK_TYPES[name]))
