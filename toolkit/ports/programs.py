"""The programs that are installed, with their versions."""

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
    ("aws", False),
)
"""Each program, and whether toolkit cannot do without it."""

PATIENCE_S = 5.0

_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?")


def versions() -> list[tuple[str, str | None, bool]]:
    """Name, version (None: not found; empty: it printed none), required. They run in parallel."""
    with ThreadPoolExecutor(len(PROGRAMS)) as pool:
        versions = pool.map(_version, [name for name, _ in PROGRAMS])
        return [
            (name, version, required)
            for (name, required), version in zip(PROGRAMS, versions, strict=True)
        ]


def _version(name: str) -> str | None:
    """It runs in the root folder, so that nothing in the repository can change the answer."""
    program = process.which(name)
    if program is None:
        return None
    done = process.run([program, "--version"], os.sep, process.child_environment(), PATIENCE_S)
    version = _VERSION.search(done.out.decode("utf-8", "replace"))
    return version[0] if version else ""
