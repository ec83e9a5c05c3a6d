"""Which two points are compared: what a person asked for, or the best guess, always with the words
that say how it was chosen.
"""

from toolkit.errors import MissingCommit, UnknownBase, UnknownRef, UsageError
from toolkit.model import Base
from toolkit.ports.git import Git

RECORDED = ("last", "live")
"""The words for bases that come from the record or from the cloud, and not from git."""

CHANGE = "change"
"""The word for where this branch parted from the one that it goes into: what does this change call
for?
"""

NOTHING = Base("none", None, (), "no deploy is recorded, and there is no upstream")


def choose(asked: str | None, git: Git) -> tuple[Base, str | None]:
    """The base, and the commit to compare it with: None is the working tree.

    Raises UnknownRef, MissingCommit, NoCommits, and UsageError for `last` and `live`, which need a
    record of deploys.
    """
    head = git.require_head()
    if asked is None:
        return _by_default(git, head), None
    if asked == CHANGE:
        return _by_default(git, head, git.target_branch()), None
    if asked in RECORDED:
        raise UsageError(
            f"nothing is recorded as deployed, so there is no `{asked}` to compare with",
            "name a commit: toolkit diff origin/main",
        )
    if ".." in asked:
        return _range(asked, git)
    try:
        return Base("ref", asked, (git.resolve(asked),), "as asked"), None
    except (UnknownRef, MissingCommit):
        from difflib import get_close_matches

        near = get_close_matches(asked.lower(), (*RECORDED, CHANGE), 1)
        if not near:
            raise
        raise UnknownBase(ref=asked, near=near[0]) from None


def split(asked: str) -> tuple[str, str]:
    """The two sides of `A..B` or `A...B`, HEAD where one is left out; an empty left side where it
    is no range. Raises UnknownRef.
    """
    left, dots, right = asked.partition("..." if "..." in asked else "..")
    if ".." in right or right.startswith("."):
        raise UnknownRef(ref=asked)
    return (left or "HEAD", right or "HEAD") if dots else ("", left)


def _range(asked: str, git: Git) -> tuple[Base, str]:
    """`A..B` compares the trees of A and B, `A...B` that of B with what it was built upon."""
    left, right = split(asked)
    start, end = git.resolve(left), git.resolve(right)
    if "..." in asked:
        return (
            Base("range", asked, git.merge_bases(start, end), "merge base of the two, as asked"),
            end,
        )
    return Base("range", asked, (start,), "as asked"), end


def _by_default(git: Git, head: str, into: str | None = None) -> Base:
    mainline = into or git.mainline()
    if mainline is None:
        return NOTHING
    return Base(
        "ref", _short(mainline), git.merge_bases(head, git.resolve(mainline)), "upstream merge base"
    )


def _short(ref: str) -> str:
    for prefix in ("refs/remotes/", "refs/heads/"):
        if ref.startswith(prefix):
            return ref.removeprefix(prefix)
    return ref
