"""The packages that a CDK app itself needs: whether they are installed, and the command that
installs them.
"""

import json
import os
import re
from collections.abc import Sequence

from toolkit.advice import Advice, ShellCommand, advice_parts
from toolkit.errors import FileProblem
from toolkit.ports import process
from toolkit.ports.files import read_inside

_SAYS_SO = re.compile(
    r"ModuleNotFoundError: No module named '(?P<python>[^']{1,200})'"
    r"|.{0,200}Cannot find (?:module|package) '(?P<node>[^']{1,200})'"
)
"""What Python and Node write where a module cannot be found."""

_PACKAGE = re.compile(r"[A-Za-z0-9@][A-Za-z0-9._/@-]{0,80}")
_PATIENCE_S = 10.0
_FIND_CDK = "import importlib.util, sys; sys.exit(0 if importlib.util.find_spec('aws_cdk') else 9)"
_LIST_PACKAGES = """
import importlib.metadata
for distribution in importlib.metadata.distributions():
    print(distribution.metadata["Name"])
"""
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
    return f"the CDK app's packages are not installed: {_some(names)} ({file})"


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
    """What to do about an app that failed, where it says that a module cannot be found: install
    what is not installed, or fix the import or the list of packages; empty otherwise.
    """
    match = next((match for line in written if (match := _SAYS_SO.match(line))), None)
    if match is None:
        return ""
    file, command = manifest(root, folder), install(root, folder)
    name, path = match["python"] or match["node"], os.path.join(root, folder)
    is_own = name.startswith((".", "/"))
    if match["python"]:
        is_own = _is_own_python(path, name)
    if is_own:
        return f"add the module {name!r} to {folder}, or correct its import"
    if not command:
        return ""
    if match["python"]:
        lacking = _lacking_python(root, path, file)
    else:
        lacking = _lacking_node(root, file, name)
    if lacking is None:
        words = f"{name!r} is not installed; install the packages in {file}:"
    elif lacking:
        words = f"install {_some(lacking)}, listed in {file}:"
    else:
        words = f"no package in {file} provides {name!r}; add the one that does, then:"
    return (words, *advice_parts(command))


def _some(names: Sequence[str]) -> str:
    text = ", ".join(names[:_MOST_NAMES])
    if len(names) > _MOST_NAMES:
        text += f" and {len(names) - _MOST_NAMES} more"
    return text


def _is_own_python(path: str, name: str) -> bool:
    """Whether the first part of a module's name is a module of the app's own folder."""
    own = os.path.join(path, name.partition(".")[0])
    return os.path.isdir(own) or os.path.isfile(f"{own}.py")


def _lacking_python(root: str, path: str, file: str) -> list[str] | None:
    """The packages of a list that are not installed; None where that is not known."""
    names = _python_names(root, file)
    installed = _installed_python(path)
    if installed is None:
        return None
    lacking = [name for name in names if _normal(name) not in installed]
    if not lacking and _has_more(root, file):
        return None
    return lacking


def _installed_python(path: str) -> set[str] | None:
    """The packages in the .venv beside an app, or else in the path of `python3`; None if that
    cannot be found out.
    """
    libraries = os.path.join(path, ".venv", "lib")
    installed: list[str] = []
    if os.path.isdir(libraries):
        for version in os.listdir(libraries):
            packages = os.path.join(libraries, version, "site-packages")
            if os.path.isdir(packages):  # `aws_cdk_lib-2.275.0.dist-info`
                installed += [name.partition("-")[0] for name in os.listdir(packages)]
    else:
        python = process.which("python3")
        if python is None:
            return None
        # Isolated (-I) and in the root folder, so that nothing in the repository is imported.
        argv = [python, "-I", "-c", _LIST_PACKAGES]
        answer = process.run(argv, os.sep, process.child_environment(), _PATIENCE_S)
        if answer.code:
            return None
        installed += answer.out.decode("utf-8", "replace").split()
    return set(map(_normal, installed))


def _normal(name: str) -> str:
    """A package's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _has_more(root: str, file: str) -> bool:
    """Whether a list of packages goes on in another file."""
    try:
        text = read_inside(root, os.path.join(root, file), 1 << 20).decode("utf-8", "replace")
    except FileProblem:
        return True
    return any(line.strip().startswith("-r") for line in text.splitlines())


def _lacking_node(root: str, file: str, name: str) -> list[str] | None:
    """The package of a module, if the manifest names it; none if it does not. None where that is
    not known.
    """
    depth = 1
    if name.startswith("@"):
        depth = 2
    package = "/".join(name.split("/")[:depth])
    try:
        document = json.loads(read_inside(root, os.path.join(root, file), 1 << 20))
        named = {**document.get("dependencies", {}), **document.get("devDependencies", {})}
    except (FileProblem, ValueError, AttributeError, TypeError):
        return None
    return [each for each in (package,) if each in named]
