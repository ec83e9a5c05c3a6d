"""What a plan depends on, as digests: if one of them has changed, the plan is stale."""

import hashlib
import os
import stat

from toolkit.changes.detect import uncommitted
from toolkit.errors import GitError
from toolkit.model import Answer, Change
from toolkit.ports.git import Git


def of(answer: Answer, root: str | None) -> dict[str, str | None]:
    """The commit, the rules, and the uncommitted content behind an answer. `root` is the working tree, None if there is none."""
    uncommitted = [one.change for one in answer.impact.touched if one.change.origin in ("staged", "unstaged", "untracked")]
    return {
        "head": answer.head.commit,
        "rules": _digest(answer.rules.text.encode()),
        "tree": None if root is None else _tree(uncommitted, root),
    }


def _tree(changes: list[Change], root: str) -> str:
    found = hashlib.sha256()
    for change in changes:
        name = change.path.encode("utf-8", "surrogateescape")
        found.update(b"%d %b %b\0" % (len(name), name, _content(os.path.join(root, change.path)).encode()))
    return found.hexdigest()


def _content(path: str) -> str:
    """Mode and digest of one file; a link counts by where it points, a repository by what is in it, anything else by its type alone."""
    try:
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            return f"link {_digest(os.fsencode(os.readlink(path)))}"
        if stat.S_ISDIR(mode):
            return f"repository {_repository(path)}"
        if not stat.S_ISREG(mode):
            return f"other {stat.S_IFMT(mode)}"
        with open(path, "rb", opener=_no_link) as file:
            return f"{mode & 0o111 != 0} {hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as error:
        return f"missing {error.errno}"


def _repository(path: str) -> str:
    """What is checked out in a submodule, or in an untracked repository, and what nobody has committed there yet."""
    try:
        git = Git.open(path)
        return f"{git.head} {_tree(uncommitted(git), path)}" if git.root == os.path.realpath(path) else ""
    except GitError:
        return ""


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
