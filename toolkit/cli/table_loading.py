"""What tables need, without what they hardly ever need: a third of all that `diff` would load."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

from toolkit.show import table


def load() -> None:
    """Load what a table needs. Only where no other thread loads anything."""
    with suppress(Exception), _without_slow_imports():
        table.load()


@contextmanager
def _without_slow_imports() -> Iterator[None]:
    """Two thirds of the time of `import tabulate` go into packages for its own version, and for
    cells in wide characters. A version of it that needs more of them is loaded as usual, later.
    """
    metadata = ModuleType("importlib.metadata")
    metadata.__dict__.update(version=lambda name: "", PackageNotFoundError=ImportError)
    hidden: dict[str, Any] = {"importlib.metadata": metadata, "wcwidth": None}
    hidden = {name: module for name, module in hidden.items() if name not in sys.modules}
    sys.modules |= hidden
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
