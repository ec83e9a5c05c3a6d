"""Whether the packages that are installed for a program are those of its lock file. Nothing in the
repository is run for it.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from toolkit.errors import FileProblem
from toolkit.ports.files import read_inside

_LONGEST = 64 << 20
"""The most bytes of a lock file."""


def stale(root: str, folder: str) -> str:
    """What says that other packages are installed for an app than its lock file or its list names,
    in words; empty if nothing does. What is made with other packages is not what the files say.
    """
    path = os.path.normpath(os.path.join(root, folder))
    while True:
        for lock, is_installed in _NODE_LOCKS.items():
            if os.path.isfile(os.path.join(path, lock)):
                shown = os.path.relpath(os.path.join(path, lock), root)
                return "" if is_installed(root, path) else f"what is installed differs from {shown}"
        if path == os.path.normpath(root) or os.path.dirname(path) == path:
            return _stale_python(root, folder)
        path = os.path.dirname(path)


def _npm_is_installed(root: str, path: str) -> bool:
    """npm writes down in node_modules what it has installed. Optional packages may be missing: they
    are for other machines.
    """
    wanted = _npm_packages(root, os.path.join(path, "package-lock.json"))
    installed = _npm_packages(root, os.path.join(path, "node_modules", ".package-lock.json"))
    if wanted is None or installed is None:
        return False
    for name, package in wanted.items():
        if not name.startswith("node_modules/") or package.get("link"):
            continue
        there = installed.get(name)
        if there is None and (package.get("optional") or package.get("peer")):
            continue
        if there is None or there.get("version") != package.get("version"):
            return False
    return True


def _npm_packages(root: str, path: str) -> dict[str, dict[str, Any]] | None:
    try:
        packages = json.loads(read_inside(root, os.path.relpath(path, root), _LONGEST))["packages"]
    except (FileProblem, ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(packages, dict):
        return None
    return {name: own for name, own in packages.items() if isinstance(own, dict)}


def _pnpm_is_installed(root: str, path: str) -> bool:
    """pnpm keeps a copy of the lock file that it has installed."""
    try:
        wanted, installed = (
            read_inside(root, os.path.relpath(os.path.join(path, name), root), _LONGEST)
            for name in ("pnpm-lock.yaml", os.path.join("node_modules", ".pnpm", "lock.yaml"))
        )
    except FileProblem:
        return False
    return wanted == installed


def _yarn_is_installed(root: str, path: str) -> bool:
    """Yarn only notes that it has installed something: not before the lock file was written."""
    try:
        lock = os.stat(os.path.join(path, "yarn.lock")).st_mtime_ns
    except OSError:
        return False
    notes = (".yarn-integrity", ".yarn-state.yml")
    for name in notes:
        with suppress(OSError):
            if os.stat(os.path.join(path, "node_modules", name)).st_mtime_ns >= lock:
                return True
    return os.path.isfile(os.path.join(path, ".pnp.cjs"))


_NODE_LOCKS: Mapping[str, Callable[[str, str], bool]] = {
    "pnpm-lock.yaml": _pnpm_is_installed,
    "yarn.lock": _yarn_is_installed,
    "package-lock.json": _npm_is_installed,
}
_PINNED = re.compile(
    r"([A-Za-z0-9._-]{1,100})(?:\[[^\]]*\])?\s*==\s*([A-Za-z0-9.!+_-]{1,60})\s*(?:[;#\\].*)?$"
)


def _stale_python(root: str, folder: str) -> str:
    """The same for the .venv beside an app and the versions that requirements.txt pins."""
    file = os.path.join(folder, "requirements.txt")
    installed = _python_versions(os.path.join(root, folder, ".venv"))
    if not installed:
        return ""
    try:
        text = read_inside(root, file, 1 << 20).decode("utf-8", "replace")
    except FileProblem:
        return ""
    for row in text.splitlines():
        match = _PINNED.match(row.strip())
        if match is None:
            continue
        name, version = re.sub(r"[-_.]+", "-", match[1]).lower(), match[2]
        if installed.get(name, version) != version:
            there = f"{name} {installed[name]} is installed"
            return f"{there}, and {os.path.normpath(file)} says {version}"
    return ""


def _python_versions(venv: str) -> dict[str, str]:
    """Name -> version of what is installed in a virtual environment, as its folders say."""
    versions: dict[str, str] = {}
    with suppress(OSError):
        for python in os.listdir(os.path.join(venv, "lib")):
            packages = os.path.join(venv, "lib", python, "site-packages")
            for entry in os.listdir(packages):
                name, _, version = entry.removesuffix(".dist-info").rpartition("-")
                if entry.endswith(".dist-info") and name:
                    versions[re.sub(r"[-_.]+", "-", name).lower()] = version
    return versions
