"""The name of a version: the commit, and what else is in it. An image has it as its tag.

`COMMIT` holds that commit and nothing else. `COMMIT-dirty-DIGEST` holds uncommitted files,
`COMMIT-incomplete-DIGEST` lacks something of the commit, `COMMIT-unmerged-DIGEST` has a merge in it
that is not finished. After each of them, `-generated-DIGEST` tells of files that git ignores and
the build takes: the same commit with other such files is another version. At the end,
`-inputs-DIGEST` tells of the versions of inputs outside git that rules.toml declares.
"""

import re

DIRTY, INCOMPLETE, UNMERGED = "dirty", "incomplete", "unmerged"
LETTERS = 12
"""Letters of a digest in a name."""

_GENERATED = re.compile(r"-generated-([0-9a-f]{12})$")
_INPUTS = re.compile(r"-inputs-[0-9a-f]{12}$")


def name(commit: str, state: str = "", digest: str = "", generated: str = "") -> str:
    """The name of a version. `state` is empty where the files are as committed."""
    version = commit
    if state:
        version += f"-{state}-{digest[:LETTERS]}"
    if generated:
        version += f"-generated-{generated[:LETTERS]}"
    return version


def with_inputs(version: str, digest: str) -> str:
    """The name of a version that is built with inputs outside git."""
    return f"{version}-inputs-{digest[:LETTERS]}"


def without_inputs(version: str) -> str:
    """What a version's name says of its files."""
    return _INPUTS.sub("", version)


def is_commit(version: str, commit: str | None) -> bool:
    """Whether a version holds its commit, whole, and no other files but what git ignores."""
    return commit is not None and _GENERATED.sub("", without_inputs(version)) == commit


def generated_in(version: str) -> str:
    """What a version's name says of the files that git ignores: the beginning of their digest,
    empty where there were none.
    """
    match = _GENERATED.search(without_inputs(version))
    return match[1] if match else ""
