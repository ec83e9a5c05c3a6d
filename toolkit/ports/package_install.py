"""The packages that the programs of a checkout need, installed as the lock files of its commit say:
with another commit's packages another commit is synthesized.
"""

import hashlib
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from msgspec import Struct

from toolkit.errors import ProgramFailed, Refused
from toolkit.ports import causes, process
from toolkit.ports.checkout import Checkout
from toolkit.ports.program_runs import ProgramLog, run_program

MANIFESTS = frozenset(
    (
        "package.json",
        "package-lock.json",
        "npm-shrinkwrap.json",
        "pnpm-lock.yaml",
        "pnpm-workspace.yaml",
        "yarn.lock",
        "bun.lock",
        "bun.lockb",
        ".npmrc",
        ".yarnrc",
        ".yarnrc.yml",
        ".nvmrc",
        ".node-version",
        ".python-version",
        "pyproject.toml",
        "setup.py",
        "setup.cfg",
        "uv.lock",
        "poetry.lock",
        "pdm.lock",
        "Pipfile.lock",
    )
)
"""The files that decide what is installed, besides `requirements*.txt` and `constraints*.txt`."""
_NODE_LOCKS: Mapping[str, tuple[str, ...]] = {
    "pnpm-lock.yaml": ("pnpm", "install", "--frozen-lockfile"),
    "yarn.lock": ("yarn", "install", "--frozen-lockfile"),
    "bun.lock": ("bun", "install", "--frozen-lockfile"),
    "bun.lockb": ("bun", "install", "--frozen-lockfile"),
    "package-lock.json": ("npm", "ci", "--no-audit", "--no-fund"),
    "npm-shrinkwrap.json": ("npm", "ci", "--no-audit", "--no-fund"),
}
_OTHER_LOCKS = ("poetry.lock", "pdm.lock", "Pipfile.lock")
"""Python's lock files that nothing is installed from here."""
_UNLOCKED = ("npm", "install", "--no-audit", "--no-fund", "--no-package-lock")
_PROGRAMS = ("node", "npm", "pnpm", "yarn", "bun", "python3", "uv", "poetry", "cdk")
_PASSED_ON = (
    "npm_config_registry",
    "NPM_CONFIG_REGISTRY",
    "NPM_CONFIG_USERCONFIG",
    "PIP_INDEX_URL",
    "PIP_CONFIG_FILE",
    "UV_INDEX_URL",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
)


class Installation(Struct, frozen=True):
    """A command that installs packages, in a folder."""

    folder: str
    argv: tuple[str, ...]


def key(tree: Iterable[tuple[str, str]]) -> str:
    """The digest of all that decides which packages a commit needs: the files of its `tree` (path,
    and the id of its content) that name them, and the programs that install and run them.
    """
    digest = hashlib.sha256()
    for path, content in sorted(tree):
        name = os.path.basename(path)
        listed = name.endswith(".txt") and name.startswith(("requirements", "constraints"))
        if name in MANIFESTS or listed:
            digest.update(f"{path}\0{content}\0".encode("utf-8", "surrogateescape"))
    digest.update(programs().encode())
    return digest.hexdigest()[:32]


def programs() -> str:
    """What identifies the programs of this machine that packages are installed and run with."""
    stamps = [sys.platform, os.uname().machine]
    for name in _PROGRAMS:
        path = process.which(name)
        if path is not None:
            status = os.stat(path)
            stamps.append(f"{os.path.realpath(path)} {status.st_size} {status.st_mtime_ns}")
    return "\n".join(stamps)


def prepare(held: Checkout, packages: str, folders: Sequence[str], log: ProgramLog) -> None:
    """Have the packages of these folders' programs in a checkout. `packages` is their key: what was
    installed for it before is taken. Raises ProgramFailed, Refused, and what `log` raises.
    """
    wanted = dict.fromkeys(
        chain.from_iterable(installations(held.path, folder) for folder in folders)
    )
    # Of one commit, other programs need other packages.
    words = ["\0".join((each.folder, *each.argv)) for each in wanted]
    own = hashlib.sha256("\n".join((packages, *sorted(words))).encode("utf-8", "surrogateescape"))
    if held.put_back(own.hexdigest()):
        return
    for installation in wanted:
        _install(installation, log)
    held.note_installed(own.hexdigest())


def installations(root: str, folder: str) -> list[Installation]:
    """What has to be installed for a program in a folder: by the nearest lock file of node, and the
    nearest file that names Python's packages. Raises Refused.
    """
    around = list(_folders_around(root, folder))
    commands: list[Installation] = []
    for path in around:
        lock = next((name for name in _NODE_LOCKS if _has(path, name)), None)
        if lock is not None:
            commands.append(Installation(path, _NODE_LOCKS[lock]))
            break
    else:
        bare = next((path for path in around if _has(path, "package.json")), None)
        if bare is not None:
            commands.append(Installation(bare, _UNLOCKED))
    # A program of node has nothing to do with Python's packages of a folder around it.
    for path in around[:1] if commands else around:
        python = _python(path)
        if python:
            # In the folder of the program: that is where a .venv is looked for.
            commands += [Installation(around[0], words) for words in python]
            break
    return commands


def _folders_around(root: str, folder: str) -> Iterable[str]:
    """A folder and those around it, up to the checkout's."""
    path = os.path.normpath(os.path.join(root, folder))
    if not os.path.isdir(path):
        path = os.path.dirname(path)
    while path.startswith(root):
        yield path
        if path == root:
            return
        path = os.path.dirname(path)


def _python(folder: str) -> list[tuple[str, ...]]:
    """The commands that make a .venv with what a folder's files name; none if they name nothing.
    Raises Refused.
    """
    python = os.path.join(".venv", "bin", "python")
    make = ("python3", "-m", "venv", ".venv")
    if _has(folder, "uv.lock"):
        return [("uv", "sync", "--frozen", "--project", folder)]
    for name in ("requirements.txt", "requirements-dev.txt"):
        if _has(folder, name):
            path = os.path.join(folder, name)
            return [make, (python, "-m", "pip", "install", "--quiet", "-r", path)]
    other = next((name for name in _OTHER_LOCKS if _has(folder, name)), None)
    if other is not None:
        # With the packages of whoever runs toolkit, each commit would become the same.
        raise Refused(
            f"toolkit does not install packages from {other}",
            "commit a uv.lock or a requirements.txt beside the app",
        )
    return []


def _has(folder: str, name: str) -> bool:
    return os.path.isfile(os.path.join(folder, name))


def _install(installation: Installation, log: ProgramLog) -> None:
    program, *rest = installation.argv
    path = program if os.sep in program else process.which(program)
    if path is None:
        raise Refused(
            f"{program} is not installed, and the packages of a commit are installed with it",
            f"install {program}",
        )
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    env = process.child_environment(**{**passed, "CI": "1", "NO_COLOR": "1"})
    env["UV_PROJECT_ENVIRONMENT"] = os.path.join(installation.folder, ".venv")
    end = run_program([path, *rest], installation.folder, env, log)
    if end.code:
        problem = ProgramFailed(program=program, reason=causes.cause(end.lines, end.code))
        problem.output = end.output
        raise problem
