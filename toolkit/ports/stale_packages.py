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
from toolkit.formats.toml import TomlError, lock_tables
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
    locks = ("npm-shrinkwrap.json", "package-lock.json")  # in npm's own order
    lock = next(name for name in locks if os.path.isfile(os.path.join(path, name)))
    wanted = _npm_packages(root, os.path.join(path, lock))
    installed = _npm_packages(root, os.path.join(path, "node_modules", ".package-lock.json"))
    if wanted is None or installed is None:
        return False
    for name, package in wanted.items():
        # Those of a workspace stand under it: packages/api/node_modules/zod.
        if "node_modules/" not in name or package.get("link"):
            continue
        there = installed.get(name)
        if there is None and (package.get("optional") or package.get("peer")):
            continue
        if there is None or there.get("version") != package.get("version"):
            return False
        both = (package.get("integrity"), there.get("integrity"))
        if all(both) and both[0] != both[1]:
            return False
        # A commit of git may have the version of the one before.
        address = str(package.get("resolved"))
        if address.startswith("git") and address != str(there.get("resolved")):
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
    """Yarn 1 notes which packages it has installed, a later one only that it has: not before the
    lock file was written.
    """
    with suppress(FileProblem, ValueError, TypeError, KeyError, RecursionError):
        note, text = (
            read_inside(root, os.path.relpath(os.path.join(path, name), root), _LONGEST)
            for name in (os.path.join("node_modules", ".yarn-integrity"), "yarn.lock")
        )
        # It does not write the note again where all is there, however new the lock file is.
        installed = json.loads(note)["lockfileEntries"]
        return bool(installed == _yarn_packages(text.decode("utf-8", "replace")))
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


_YARN_NAME = re.compile(r'"([^"]+)"|([^\s",]+)')


def _yarn_packages(text: str) -> dict[str, str]:
    """What is asked for -> where it comes from, as Yarn 1 writes it into its lock file."""
    packages: dict[str, str] = {}
    names: list[str] = []
    for row in text.splitlines():
        if row.startswith("  resolved "):
            packages |= dict.fromkeys(names, row.removeprefix("  resolved ").strip().strip('"'))
        elif row and not row.startswith((" ", "#")):
            listed = row.rstrip().removesuffix(":")
            names = [quoted or bare for quoted, bare in _YARN_NAME.findall(listed)]
            packages |= dict.fromkeys(names, "")
    return packages


_NODE_LOCKS: Mapping[str, Callable[[str, str], bool]] = {
    "pnpm-lock.yaml": _pnpm_is_installed,
    "yarn.lock": _yarn_is_installed,
    "npm-shrinkwrap.json": _npm_is_installed,
    "package-lock.json": _npm_is_installed,
}
_PYTHON_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock")
_PINNED = re.compile(
    r"([A-Za-z0-9._-]{1,100})(?:\[[^\]]*\])?\s*==\s*([A-Za-z0-9.!+_-]{1,60})\s*(?:[;#\\].*)?$"
)


def _stale_python(root: str, folder: str) -> str:
    """The same for the .venv of an app, and the versions that its lock file or the requirements.txt
    beside it names.
    """
    path = os.path.normpath(os.path.join(root, folder))
    venvs = [os.path.join(path, ".venv")]
    file = os.path.join(folder, "requirements.txt")
    while not os.path.isfile(os.path.join(root, file)):
        lock = next((name for name in _PYTHON_LOCKS if os.path.isfile(f"{path}/{name}")), None)
        if lock is not None:
            file = os.path.relpath(os.path.join(path, lock), root)
            venvs.append(os.path.join(path, ".venv"))
            break
        if path == os.path.normpath(root) or os.path.dirname(path) == path:
            return ""
        path = os.path.dirname(path)
    installed = next(filter(None, map(_python_versions, venvs)), {})
    shown = os.path.normpath(file)
    try:
        text = read_inside(root, file, _LONGEST).decode("utf-8", "replace")
        wanted = _pinned(text) if file.endswith(".txt") else _locked(text)
    except FileProblem:
        return ""
    except TomlError:
        return f"{shown} cannot be read"
    for name, versions in wanted.items() if installed else ():
        there = installed.get(name)
        if there is not None and there not in versions:
            return f"{name} {there} is installed, and {shown} says {' or '.join(sorted(versions))}"
    return ""


def _pinned(text: str) -> dict[str, set[str]]:
    """Name -> the versions of it in a requirements.txt that pins them."""
    wanted: dict[str, set[str]] = {}
    for row in text.splitlines():
        match = _PINNED.match(row.strip())
        if match is not None:
            wanted.setdefault(_python_name(match[1]), set()).add(match[2])
    return wanted


def _locked(text: str) -> dict[str, set[str]]:
    """The same of a lock file, which may hold several versions of a package: for other machines.
    Raises TomlError.
    """
    wanted: dict[str, set[str]] = {}
    packages = lock_tables(text).get("package")
    for package in packages if isinstance(packages, list) else ():
        if not isinstance(package, dict) or not isinstance(package.get("version"), str):
            continue
        source = package.get("source")
        if isinstance(source, dict) and source.keys() & {"editable", "virtual", "directory"}:
            continue  # its version is what its own files say
        wanted.setdefault(_python_name(str(package.get("name"))), set()).add(package["version"])
    return wanted


def _python_name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _python_versions(venv: str) -> dict[str, str]:
    """Name -> version of what is installed in a virtual environment, as its folders say."""
    versions: dict[str, str] = {}
    with suppress(OSError):
        for python in os.listdir(os.path.join(venv, "lib")):
            packages = os.path.join(venv, "lib", python, "site-packages")
            for entry in os.listdir(packages):
                name, _, version = entry.removesuffix(".dist-info").rpartition("-")
                if entry.endswith(".dist-info") and name:
                    versions[_python_name(name)] = version
    return versions
