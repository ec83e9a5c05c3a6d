"""What an answer was drawn from, as digests: if one of them has changed, a plan made of it is
stale.
"""

import hashlib
import os
from collections.abc import Sequence

from toolkit.changes.detect import look
from toolkit.errors import GitError
from toolkit.model import DiffResult, Rules
from toolkit.ports import files
from toolkit.ports.aws.endpoint import endpoint
from toolkit.ports.git import Git


def of(answer: DiffResult, root: str | None, without: str | None = None) -> dict[str, str | None]:
    """The commit, the rules, and the uncommitted content behind an answer.

    `root` is the working tree, None if there is none; `without` is a path in it that does not
    count: the plan's own file.
    """
    paths = [path for path in answer.uncommitted if path != without]
    return digests(answer.head.commit, answer.rules, paths, root, answer.environment)


def digests(
    head: str | None,
    rules: Rules,
    uncommitted: Sequence[str],
    root: str | None,
    environment: str | None,
    profile: str | None = None,
) -> dict[str, str | None]:
    """The same from its parts. The endpoint is one of them: a plan made for a sandbox must not be
    carried out in AWS. `profile` is one that is used instead of the environment's.
    """
    settings = rules.environments.get(environment or "")
    if profile is None and settings is not None:
        profile = settings.profile
    return {
        "head": head,
        "rules": hashlib.sha256(rules.text.encode()).hexdigest(),
        "tree": None if root is None else _tree(uncommitted, root),
        "environment": environment,
        "endpoint": endpoint(profile) or "AWS",
    }


def _tree(paths: Sequence[str], root: str) -> str:
    whole = hashlib.sha256()
    for path in paths:
        name = path.encode("utf-8", "surrogateescape")
        whole.update(b"%d %b %b\0" % (len(name), name, content(os.path.join(root, path)).encode()))
    return whole.hexdigest()


def content(path: str) -> str:
    """A digest of one path: of a repository inside (a submodule, or one that is not tracked) what
    is in it.
    """
    return f"repository {_repository(path)}" if files.is_folder(path) else files.digest(path)


def _repository(path: str) -> str:
    """What is checked out in a repository, and what nobody has committed there yet."""
    try:
        git = Git.open(path)
        if git.root != os.path.realpath(path):
            return ""  # a folder of the repository around it
        return f"{git.head} {_tree(list(look(git).paths), path)}"
    except GitError:
        return ""
