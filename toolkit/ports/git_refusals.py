"""Explains git's own refusals: the cause, and the next command that fixes it. Pure, except that
`unusable` reads `.git`.
"""

import os
import re

from toolkit.advice import Advice, ShellCommand
from toolkit.errors import (
    DamagedRepository,
    GitConfigProblem,
    GitError,
    GitLocked,
    GitTooOld,
    NotOurs,
    Unreadable,
)

_OWNER = re.compile(r"detected dubious ownership in repository at '(.+)'")
_VERBS = r"(?:unable to access|failed to read|cannot open|could not open|[Uu]nable to open|open\()"
_DENIED = re.compile(_VERBS + r""" ?['"]?([^'"\n]*?)['")]*: .*Permission denied""")
_LOCK = re.compile(r"Unable to create '(.+\.lock)': File exists")
_CONFIG = re.compile(
    r"bad (?:config|numeric config|boolean config).*? (?:in|for) .+|bad config line \d+ in .+"
)
_VERSION = re.compile(
    r"Expected git repo version <= \d+, found \d+|unknown repository extensions? found:?.*",
    re.DOTALL,
)
_INDEX = re.compile(
    r"index file (?:smaller|corrupt)|bad index |unknown index entry|bad signature 0x|index uses .+"
    r" extension"
)
_LOOSE = re.compile(r"\(stored in (.+?)\) is corrupt|object file (\S+) is empty")
_CORRUPT = re.compile(
    r"is corrupt|bad object HEAD|inflate: |packfile .+ (?:cannot be|is truncated|index)|unable to"
    r" read [0-9a-f]{40}|is not a valid pack"
)
_GONE = re.compile(r"not a git repository: (.+)")
_NO_FILE = re.compile(r"invalid gitfile format: (.+)")


def refusal(verb: str, err: str, folder: str, remote: str | None) -> GitError | None:
    """The error for what a failed git wrote, None if it is not a refusal that we know. `folder` is
    where git was started; `remote` is the remote to fetch from.
    """
    text = "\n".join(
        part for part in err.splitlines() if not part.startswith(("warning:", "hint:"))
    )
    owner = _OWNER.search(text)
    if owner:
        return NotOurs(folder=owner[1])
    if "Permission denied" in text:
        denied = _DENIED.search(text)
        path = denied[1] if denied and os.path.isabs(denied[1]) else os.path.join(folder, ".git")
        return Unreadable(folder=path, path=path)
    lock = _LOCK.search(text)
    if lock:
        return GitLocked(lock=lock[1])
    config = _CONFIG.search(text)
    if config:
        return GitConfigProblem(reason=config[0].partition("\n")[0])
    if _VERSION.search(text):
        return GitTooOld(reason=" ".join(text.removeprefix("fatal: ").split()))
    return _damage(verb, text, folder, remote)


def _damage(verb: str, text: str, folder: str, remote: str | None) -> GitError | None:
    first = text.removeprefix("fatal: ").removeprefix("error: ").partition("\n")[0]
    fix: Advice
    if _INDEX.search(text):
        again = 'rm "$(git -C {} rev-parse --absolute-git-dir)/index" && git -C {} reset -q'
        command = ShellCommand(again, (folder, folder))
        fix = ("make it again, your files stay as they are:", command)
        return DamagedRepository(fix, folder=folder, reason=f"its index: {first}")
    gone = _GONE.search(text)
    if gone and not gone[1].startswith("(or any"):
        fix = (
            "if it is a worktree, in the repository that it belongs to:",
            ShellCommand("git worktree repair", (folder,)),
        )
        reason = f"its .git leads to {gone[1]}, which does not exist"
        return DamagedRepository(fix, folder=folder, reason=reason)
    broken = _NO_FILE.search(text)
    if broken:
        fix = ("see what it is:", ShellCommand("ls -l", (broken[1],)))
        return DamagedRepository(fix, folder=folder, reason=f"{broken[1]} is not one of git's")
    loose = _LOOSE.search(text)
    if not (_CORRUPT.search(text) or loose):
        return None
    command = ShellCommand("git -C {} fsck --full", (folder,))
    fix = ("see what is damaged:", command, "; then clone it again")
    if remote:
        commands = "git -C {} fetch --refetch --no-filter"
        words: tuple[str, ...] = (folder, remote)
        if loose:
            commands = f"rm -f -- {{}} && {commands}"
            words = (os.path.join(folder, loose[1] or loose[2]), *words)
        fix = ("get it again:", ShellCommand(commands, words))
    return DamagedRepository(fix, folder=folder, reason=first)


def unusable(folder: str) -> GitError | None:
    """Why git finds no repository although a folder, or one above it, has a `.git`; None if none
    has one.
    """
    root = os.path.abspath(folder)
    while not os.path.lexists(os.path.join(root, ".git")):
        if root == os.path.dirname(root):
            return None
        root = os.path.dirname(root)
    path = os.path.join(root, ".git")
    is_folder = os.path.isdir(path)
    if not os.access(path, os.R_OK | os.X_OK if is_folder else os.R_OK):
        return Unreadable(folder=path, path=path)
    head = os.path.join(path, "HEAD")
    if os.path.exists(head) and not os.access(head, os.R_OK):
        return Unreadable(folder=head, path=path)
    reason = "git does not take its .git for one"
    if is_folder:
        for name in ("HEAD", "objects", "refs"):
            if not os.path.exists(os.path.join(path, name)):
                reason = f"its .git has no {name}"
                break
    return DamagedRepository(
        "clone it again, or restore .git from a copy", folder=root, reason=reason
    )
