"""Which two points are compared: what a person asked for, or the best guess, always with the words
that say how it was chosen.
"""

from toolkit.advice import NextCommand
from toolkit.errors import MissingCommit, UnknownBase, UnknownRef, UsageError
from toolkit.model import Base, BaseChoice, BaseKind
from toolkit.ports.git import Git

RECORDED = (BaseKind.LAST, BaseKind.LIVE)
"""The words for bases that come from the record or from the cloud, and not from git."""

CHANGE = "change"
"""The word for where this branch parted from the one that it goes into: what does this change call
for?
"""

NOTHING = Base(BaseKind.NONE, None, (), BaseChoice.NOTHING)


def is_range(revision: str | None) -> bool:
    """Whether a revision names both points: then the working tree is none of them."""
    return revision is not None and ".." in revision


def choose(revision: str | None, git: Git) -> tuple[Base, str | None]:
    """The base, and the commit to compare it with: None is the working tree.

    Raises UnknownRef, MissingCommit, NoCommits, and UsageError for `last` and `live`, which need a
    record of deploys.
    """
    head = git.require_head()
    if revision is None:
        return _by_default(git, head), None
    if revision == CHANGE:
        return _by_default(git, head, git.target_branch()), None
    if revision in RECORDED:
        raise UsageError(
            f"nothing is recorded as deployed, so there is no `{revision}` to compare with",
            ("compare with a commit:", NextCommand("diff", ("origin/main",))),
        )
    if is_range(revision):
        return _range(revision, git)
    try:
        return Base(BaseKind.REF, revision, (git.resolve(revision),), BaseChoice.ASKED), None
    except (UnknownRef, MissingCommit):
        from difflib import get_close_matches

        near = get_close_matches(revision.lower(), (*RECORDED, CHANGE), 1)
        if not near:
            raise
        raise UnknownBase(ref=revision, near=near[0]) from None


def split(revision: str) -> tuple[str, str]:
    """The two sides of `A..B` or `A...B`, HEAD where one is left out; an empty left side where it
    is not a range. Raises UnknownRef.
    """
    dots = "..." if "..." in revision else ".."
    start, separator, end = revision.partition(dots)
    if ".." in end or end.startswith("."):
        raise UnknownRef(ref=revision)
    if not separator:
        return "", start
    return start or "HEAD", end or "HEAD"


def _range(revision: str, git: Git) -> tuple[Base, str]:
    """`A..B` compares the trees of A and B, `A...B` that of B with what it was built upon."""
    sides = split(revision)
    start, end = git.resolve(sides[0]), git.resolve(sides[1])
    if "..." not in revision:
        return Base(BaseKind.RANGE, revision, (start,), BaseChoice.ASKED), end
    bases = git.merge_bases(start, end)
    return Base(BaseKind.RANGE, revision, bases, BaseChoice.MERGE_BASE), end


def _by_default(git: Git, head: str, into: str | None = None) -> Base:
    mainline = into or git.mainline()
    if mainline is None:
        return NOTHING
    bases = git.merge_bases(head, git.resolve(mainline))
    return Base(BaseKind.REF, _short(mainline), bases, BaseChoice.UPSTREAM)


def _short(ref: str) -> str:
    for prefix in ("refs/remotes/", "refs/heads/"):
        if ref.startswith(prefix):
            return ref.removeprefix(prefix)
    return ref
