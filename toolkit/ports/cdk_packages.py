"""The packages that a CDK app itself needs: whether they are installed, and the command that
installs them.
"""

import os
import re
import shlex
from collections.abc import Sequence

from toolkit.errors import FileProblem
from toolkit.ports import process
from toolkit.ports.files import read_inside

SAYS_SO = re.compile(
    r"ModuleNotFoundError: No module named '|.{0,200}Cannot find (?:module|package) '"
)
"""What Python and Node write where a package is not installed."""

_PACKAGE = re.compile(r"[A-Za-z0-9@][A-Za-z0-9._/@-]{0,80}")
_PATIENCE_S = 10.0
_ASKS = "import importlib.util, sys; sys.exit(0 if importlib.util.find_spec('aws_cdk') else 9)"
_MOST_NAMES = 4


def manifest(root: str, folder: str) -> str:
    """The file of an app's folder that names its packages, from the repository's root; empty if
    there is none.
    """
    for name in ("requirements.txt", "package.json"):
        if os.path.isfile(os.path.join(root, folder, name)):
            return os.path.normpath(os.path.join(folder, name))
    return ""


def install(root: str, folder: str) -> str:
    """The command that installs an app's packages where toolkit looks for them, from where the
    person stands; empty if no file names any.
    """
    named, path = manifest(root, folder), os.path.join(root, folder)
    here = shlex.quote(os.path.relpath(path))
    if named.endswith("requirements.txt"):
        venv = shlex.quote(os.path.join(os.path.relpath(path), ".venv"))
        make = "" if os.path.isdir(os.path.join(path, ".venv")) else f"python3 -m venv {venv} && "
        return (
            f"{make}{venv}/bin/pip install -r"
            f" {shlex.quote(os.path.join(os.path.relpath(path), 'requirements.txt'))}"
        )
    if named:
        locked = os.path.isfile(os.path.join(path, "package-lock.json"))
        return f"npm {'ci' if locked else 'install'} --prefix {here}"
    return ""


def missing(root: str, folder: str) -> str:
    """Which packages an app needs that are not installed, in words; empty where they are, or nobody
    can tell. Nothing of the repository is run.
    """
    named, path = manifest(root, folder), os.path.join(root, folder)
    if not named or (
        _has_python(path) if named.endswith("requirements.txt") else _has_node(root, path)
    ):
        return ""
    names = _python_names(root, named) if named.endswith("requirements.txt") else ["node_modules"]
    if not names:
        return ""
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return (
        f"the CDK app's packages are not installed: {', '.join(names[:_MOST_NAMES])}{more}"
        f" ({named})"
    )


def _python_names(root: str, named: str) -> list[str]:
    try:
        lines = (
            read_inside(root, os.path.join(root, named), 1 << 20)
            .decode("utf-8", "replace")
            .splitlines()
        )
    except FileProblem:
        return []
    found = [_PACKAGE.match(line.strip()) for line in lines]
    return [match[0] for match in found if match is not None]


def _has_python(path: str) -> bool:
    """Whether the CDK's library is in the .venv beside an app, or else where `python3` looks. What
    cannot be asked counts as there.
    """
    libraries = os.path.join(path, ".venv", "lib")
    if os.path.isdir(libraries):
        return any(
            os.path.isdir(os.path.join(libraries, one, "site-packages", "aws_cdk"))
            for one in os.listdir(libraries)
        )
    python = process.which("python3")
    if python is None:
        return False
    return (
        process.run(
            [python, "-I", "-c", _ASKS], os.sep, process.child_environment(), _PATIENCE_S
        ).code
        != 9
    )


def _has_node(root: str, path: str) -> bool:
    """Whether there is a node_modules with the CDK's library beside an app, or above it."""
    while True:
        if os.path.isdir(os.path.join(path, "node_modules", "aws-cdk-lib")):
            return True
        if os.path.realpath(path) == os.path.realpath(root) or os.path.dirname(path) == path:
            return False
        path = os.path.dirname(path)


def advice(root: str, folder: str, written: Sequence[str]) -> str:
    """What to do about an app that failed, where it says that a package is not there; empty
    otherwise.
    """
    if not any(SAYS_SO.match(line) for line in written):
        return ""
    command = install(root, folder)
    return f"install what {manifest(root, folder)} names: {command}" if command else ""
