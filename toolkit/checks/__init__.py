"""The check types: one file each. A new check type is its file, its line in model.CheckTypeName,
and its test.
"""

from importlib import import_module
from typing import cast

from toolkit.checks.base import CheckType
from toolkit.model import CheckTypeName


def check_type(name: str) -> CheckType:
    """The check type of that name, loaded on first use. Raises ValueError."""
    return cast(CheckType, import_module(f"toolkit.checks.{CheckTypeName(name)}"))
