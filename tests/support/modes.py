"""How thorough a run is: `scripts/test`, `scripts/test --all` (ALL=1), or the long modes of the
properties, which take hours (NIGHT=1).
"""

import os
from typing import TypeVar

T = TypeVar("T")


def by_mode(quick: T, complete: T, night: T) -> T:
    """What holds for this run."""
    if os.environ.get("NIGHT"):
        return night
    return complete if os.environ.get("ALL") else quick
