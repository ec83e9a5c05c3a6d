"""The packages that a CDK app itself needs: whether they are installed, and the command that
installs them.
"""

import os
import re
from collections.abc import Sequence

from toolkit.advice import Advice, ShellCommand, advice_parts
from toolkit.errors import FileProblem
from toolkit.ports import process
from toolkit.ports.files import read_inside

SAYS_SO = re.compile(
    r"ModuleNotFoundError: No module named '|.{0,200}Cannot find (?:module|package) '"
)
"""What Python and Node write where a package is not installed."""

_PACKAGE = re.compile(r"[A-Za-z0-9@][A-Za-z0-9._/@-]{0,80}")
_PATIENCE_S = 10.0
_FIND_CDK = "import importlib.util, sys; sys.exit(0 if importlib.util.find_spec('aws_cdk') else 9)"
_MOST_NAMES = 4


def manifest(root: str, folder: str) -> str:
    """The file of an app's folder that names its packages, from the repository's root; empty if
    there is none.
    """
    for name in ("requirements.txt", "package.json"):
        if os.path.isfile(os.path.join(root, folder, name)):
            return os.path.normpath(os.path.join(folder, name))
    return ""


def install(root: str, folder: str) -> Advice:
    """The command that installs an app's packages where toolkit looks for them, for the working
    directory; empty if no file lists any.
    """
    file, path = manifest(root, folder), os.path.join(root, folder)
    relative = os.path.relpath(path)
    if file.endswith("requirements.txt"):
        venv = os.path.join(relative, ".venv")
        pip, requirements = os.path.join(venv, "bin", "pip"), "requirements.txt"
        command = "{} install -r"
        words: tuple[str, ...] = (pip, os.path.join(relative, requirements))
        if not os.path.isdir(os.path.join(path, ".venv")):
            command, words = f"python3 -m venv {{}} && {command}", (venv, *words)
        return ShellCommand(command, words)
    if file:
        locked = os.path.isfile(os.path.join(path, "package-lock.json"))
        return ShellCommand(f"npm {'ci' if locked else 'install'} --prefix", (relative,))
    return ""


def missing(root: str, folder: str) -> str:
    """The packages that an app needs and that are not installed, in words; empty if they are, or
    that is not known. Nothing in the repository is run.
    """
    file, path = manifest(root, folder), os.path.join(root, folder)
    if not file:
        return ""
    if file.endswith("requirements.txt"):
        names = [] if _has_python(path) else _python_names(root, file)
    else:
        names = [] if _has_node(root, path) else ["node_modules"]
    if not names:
        return ""
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return (
        f"the CDK app's packages are not installed: {', '.join(names[:_MOST_NAMES])}{more} ({file})"
    )


def _python_names(root: str, file: str) -> list[str]:
    try:
        text = read_inside(root, os.path.join(root, file), 1 << 20).decode("utf-8", "replace")
    except FileProblem:
        return []
    matches = [_PACKAGE.match(line.strip()) for line in text.splitlines()]
    return [match[0] for match in matches if match is not None]


def _has_python(path: str) -> bool:
    """Whether the CDK's library is in the .venv beside an app, or else in the path of `python3`.
    True if that cannot be found out.
    """
    libraries = os.path.join(path, ".venv", "lib")
    if os.path.isdir(libraries):
        return any(
            os.path.isdir(os.path.join(libraries, name, "site-packages", "aws_cdk"))
            for name in os.listdir(libraries)
        )
    python = process.which("python3")
    if python is None:
        return False
    # Isolated (-I) and in the root folder, so that nothing in the repository is imported.
    argv = [python, "-I", "-c", _FIND_CDK]
    return process.run(argv, os.sep, process.child_environment(), _PATIENCE_S).code != 9


def _has_node(root: str, path: str) -> bool:
    """Whether there is a node_modules with the CDK's library beside an app, or above it."""
    while True:
        if os.path.isdir(os.path.join(path, "node_modules", "aws-cdk-lib")):
            return True
        if os.path.realpath(path) == os.path.realpath(root) or os.path.dirname(path) == path:
            return False
        path = os.path.dirname(path)


def advice(root: str, folder: str, written: Sequence[str]) -> Advice:
    """What to do about an app that failed, where it says that a package is not there; empty
    otherwise.
    """
    if not any(SAYS_SO.match(line) for line in written):
        return ""
    command = install(root, folder)
    if not command:
        return ""
    return (f"install what {manifest(root, folder)} names:", *advice_parts(command))
