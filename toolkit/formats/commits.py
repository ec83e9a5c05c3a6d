"""The ids of git's commits. Pure."""

import re

_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def is_commit_id(text: str) -> bool:
    """Whether it is a commit's whole id. What others write could be the name of a branch, which is
    always up to date, or an option of git.
    """
    return _ID.fullmatch(text) is not None
