"""Which programs are there, and in which versions?"""

import os
import re
from concurrent.futures import ThreadPoolExecutor

from toolkit.ports import process

PROGRAMS = (
    ("git", True),
    ("docker", False),
    ("podman", False),
    ("buildah", False),
    ("node", False),
    ("cdk", False),
)
"""Each program, and whether toolkit cannot do without it."""

PATIENCE_S = 5.0

_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?")


def versions() -> list[tuple[str, str | None, bool]]:
    """Name, version (None: not found; empty: it gave none), needed. They are asked side by side."""
    with ThreadPoolExecutor(len(PROGRAMS)) as pool:
        found = list(pool.map(_version, [name for name, _ in PROGRAMS]))
    return [
        (name, version, needed) for (name, needed), version in zip(PROGRAMS, found, strict=True)
    ]


def _version(name: str) -> str | None:
    """Asked in the root folder, so that nothing of the repository can change the answer."""
    program = process.which(name)
    if program is None:
        return None
    done = process.run([program, "--version"], os.sep, process.child_environment(), PATIENCE_S)
    found = _VERSION.search(done.out.decode("utf-8", "replace"))
    return found[0] if found else ""
