"""The name of a version: the commit, and what else is in it. An image has it as its tag.

`COMMIT` holds that commit and nothing else. `COMMIT-dirty-DIGEST` holds uncommitted files,
`COMMIT-incomplete-DIGEST` lacks something of the commit, `COMMIT-unmerged-DIGEST` has a merge in it
that is not finished. After each of them, `-generated-DIGEST` tells of files that git ignores and
the build takes: the same commit with other such files is another version.
"""

import re

DIRTY, INCOMPLETE, UNMERGED = "dirty", "incomplete", "unmerged"
LETTERS = 12
"""Letters of a digest in a name."""

_GENERATED = re.compile(r"-generated-([0-9a-f]{12})$")


def name(commit: str, state: str = "", digest: str = "", generated: str = "") -> str:
    """The name of a version. `state` is empty where the files are as committed."""
    version = commit
    if state:
        version += f"-{state}-{digest[:LETTERS]}"
    if generated:
        version += f"-generated-{generated[:LETTERS]}"
    return version


def is_commit(version: str, commit: str | None) -> bool:
    """Whether a version holds its commit, whole, and nothing else but what git ignores."""
    return commit is not None and _GENERATED.sub("", version) == commit


def generated_in(version: str) -> str:
    """What a version's name says of the files that git ignores: the beginning of their digest,
    empty where there were none.
    """
    match = _GENERATED.search(version)
    return match[1] if match else ""
