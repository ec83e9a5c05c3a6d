"""The example project, as a repository of its own: toolkit compares commits."""

import os
import shutil

from toolkit.errors import FileProblem, GitError, GitMissing, UsageError
from toolkit.ports import disk, files, process

PACKAGED = os.path.join(os.path.dirname(__file__), "example")
"""Where an installed package has it."""
IN_CHECKOUT = os.path.join(os.path.dirname(__file__), "..", "..", "examples", "car-rental")
LEFTOVERS = ("dist", "cdk.out", ".venv", "node_modules", "__pycache__", "*.pyc", ".*_cache")
"""What a checkout's own example may have made beside its files."""
AUTHOR = ("-c", "user.name=toolkit", "-c", "user.email=toolkit@example.invalid")
PLAIN = (
    *("-c", "commit.gpgsign=false", "-c", "init.defaultBranch=main"),
    *("-c", "init.templateDir=", "-c", f"core.hooksPath={os.devnull}"),
    *("-c", f"core.excludesFile={os.devnull}", "-c", "core.autocrlf=false"),
)
"""Nothing of what a person has git do at their own commits."""
ORIGIN = "./.git/origin.git"
STEPS = (
    ("init", "-q"),
    ("add", "-A"),
    ("commit", "-q", "-m", "Car rental"),
    # A team has a remote, which says what is new in a clone, and whose rules.toml decides.
    ("clone", "-q", "--bare", ".", ORIGIN),
    ("remote", "add", "origin", ORIGIN),
    ("fetch", "-q", "origin"),
    ("branch", "-q", "--set-upstream-to=origin/main"),
    ("remote", "set-head", "origin", "main"),
)


def write_example(folder: str) -> None:
    """Write the example into a folder that is not there yet, or is empty, and commit it. Raises
    UsageError, FileProblem, GitMissing, GitError.
    """
    program = process.which("git")
    if program is None:
        raise GitMissing()
    if os.path.lexists(folder) and (not files.is_folder(folder) or os.listdir(folder)):
        raise UsageError(f"{folder} is not empty", "name a folder that does not exist")
    source = PACKAGED if files.is_folder(PACKAGED) else IN_CHECKOUT
    is_new = not os.path.lexists(folder)
    try:
        _write(program, source, folder)
    except BaseException:
        if is_new:  # else a second try would find it taken
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _write(program: str, source: str, folder: str) -> None:
    try:
        ignored = shutil.ignore_patterns(*LEFTOVERS)
        shutil.copytree(source, folder, ignore=ignored, dirs_exist_ok=True)
    except shutil.Error as error:
        raise FileProblem(path=folder, reason=str(error.args[0][0][2])) from None
    except OSError as error:
        raise FileProblem(path=folder, reason=disk.error_text(error)) from None
    for words in (*STEPS, *_identity(program)):
        done = process.run([program, *AUTHOR, *PLAIN, *words], folder, process.child_environment())
        if done.code:
            raise GitError(verb=words[0], reason=done.err.decode("utf-8", "replace").strip())


def _identity(program: str) -> tuple[tuple[str, ...], ...]:
    """A name to commit with in the example, for a person who has not told git theirs."""
    known = process.run([program, "config", "user.email"], "/", process.child_environment())
    if known.code == 0:
        return ()
    return (
        ("config", "user.name", "You"),
        ("config", "user.email", "you@example.invalid"),
    )
