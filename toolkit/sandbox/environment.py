"""The emulator's own Python environment: its pins must not hold back those of toolkit, so it is
not a dependency of toolkit. It is created on first use, from the hashed list beside this file, and
again when the list or the Python changes.
"""

import hashlib
import os
import shutil
import sys
from collections.abc import Callable

from toolkit.errors import ProgramFailed
from toolkit.ports import disk, files, process

LOCK = os.path.join(os.path.dirname(__file__), "requirements.txt")
PATIENCE_S = 600.0

_PASSED_ON = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
)
"""What pip may need to reach a package index, besides its own PIP_*."""


def python(cache: str, tell: Callable[[str], None]) -> str:
    """The interpreter that has the emulator, set up below the folder `cache` if it is not there.
    Raises ProgramFailed, FileProblem.
    """
    digest = hashlib.sha256(sys.version.encode() + files.read(LOCK)).hexdigest()[:16]
    folder = os.path.join(cache, f"sandbox-{digest}")
    program, ready = os.path.join(folder, "bin", "python"), os.path.join(folder, "ready")
    files.own_cache(cache)
    if os.path.lexists(folder):
        files.own_cache(cache, os.path.basename(folder))  # its programs are run
    if os.path.exists(ready):
        return program
    with disk.exclusive(os.path.join(cache, "sandbox.lock")):
        if not os.path.exists(ready):
            tell("setting up the sandbox's own Python environment (once) ...")
            _create(folder, program, cache)
            disk.write(ready, b"")
    return program


def _create(folder: str, program: str, cache: str) -> None:
    pip = [program, "-m", "pip"]
    _clear(folder)
    if process.run([sys.executable, "-m", "venv", folder], cache, _environment(), PATIENCE_S).code:
        # Debian's python3 without python3-venv has no pip to put into an environment: ours fills it
        # from outside.
        _clear(folder)
        _run("venv", [sys.executable, "-m", "venv", "--without-pip", folder], cache)
        pip = [sys.executable, "-m", "pip", "--python", program]
    install = [
        "install",
        "-qq",
        "--disable-pip-version-check",
        "--no-deps",
        "--require-hashes",
        "-r",
        LOCK,
    ]
    _run("pip", [*pip, *install], cache)


def _clear(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder, 0o700)


def _run(name: str, argv: list[str], cache: str, **more: str) -> None:
    done = process.run(argv, cache, _environment(**more), PATIENCE_S)
    if done.code:
        lines = done.err.decode("utf-8", "replace").strip().splitlines()
        reason = lines[-1] if lines else f"it ended with {done.code}"
        raise ProgramFailed(program=name, reason=reason)


def _environment(**more: str) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or name.startswith("PIP_")
    }
    return process.child_environment(**inherited, **more)
