"""Which variables of our environment a CDK app is given, and which of the others it is seen to
read.
"""

import os
import re
from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from toolkit.errors import FileProblem
from toolkit.ports.files import read_inside

MOST_FILES = 2000
"""The most source files of an app that are looked into."""
MOST_BYTES = 512 * 1024
"""The most bytes of one of them."""

_SOURCES = (
    ".py",
    ".ts",
    ".mts",
    ".cts",
    ".tsx",
    ".js",
    ".mjs",
    ".cjs",
    ".java",
    ".kt",
    ".cs",
    ".fs",
    ".go",
    ".sh",
)
_NOT_ITS_OWN = frozenset(
    (
        "node_modules",
        ".venv",
        "venv",
        "cdk.out",
        "__pycache__",
        ".git",
        "test",
        "tests",
        "__tests__",
        "target",
        "obj",
    )
)

_NAMED = re.compile(
    r"""process\.env\.([A-Za-z_]\w*)"""
    r"""|process\.env(?:\?\.)?\[\s*['"`]([A-Za-z_]\w*)['"`]\s*\]"""
    r"""|environ(?:\[|\.(?:get|pop|setdefault)\(|\.__getitem__\()\s*['"]([A-Za-z_]\w*)['"]"""
    r"""|(?:getenv|GetEnvironmentVariable|Getenv|LookupEnv)\(\s*['"]([A-Za-z_]\w*)['"]"""
)
_UNPACKED = re.compile(r"\{([^{}]{0,2000})\}\s*=\s*process\.env\b(?!\s*[.\[])")
"""`const { STAGE, TEAM: team = "x" } = process.env`."""
_UNNAMED = re.compile(
    r"""process\.env\b(?!\s*(?:\?\.)?\s*[.\[]\s*['"`]?[A-Za-z_])"""
    r"""|process\.env\[\s*[A-Za-z_$]"""
    r"""|environ\[\s*[A-Za-z_f]|environ\.get\(\s*[A-Za-z_f]|(?:getenv|GetEnvironmentVariable|Getenv|LookupEnv)\(\s*[A-Za-z_f]"""
    r"""|environ\.(?:items|copy|values|keys)\(|\*\*os\.environ|dict\(os\.environ\)"""
)
"""A read of a variable whose name is only known when the app runs."""


class EnvironmentReads(Struct, frozen=True):
    """The variables that an app's source reads. `others`: it also reads some whose names cannot be
    told from it.
    """

    names: frozenset[str]
    others: bool


def handed_on(patterns: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of an environment that are named, by their names or by the beginnings of their
    names (`TEAM_*`).
    """
    return {
        name: value
        for name, value in environment.items()
        if any(_fits(name, pattern) for pattern in patterns)
    }


def _fits(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def reads(folder: str, root: str) -> EnvironmentReads:
    """What the source of an app in a folder of the repository at `root` reads.

    Its packages, what it only names when it runs, and what a link out of the repository leads to
    are not looked into.
    """
    names: set[str] = set()
    others = False
    for path in _sources(folder):
        try:
            text = read_inside(root, path, MOST_BYTES)[:MOST_BYTES].decode("utf-8", "replace")
        except FileProblem:
            continue
        if "env" not in text and "Env" not in text:
            continue
        names |= {name for found in _NAMED.findall(text) for name in found if name}
        for members in _UNPACKED.findall(text):
            names |= {
                found[1]
                for member in members.split(",")
                if (found := re.match(r"\s*([A-Za-z_]\w*)", member))
            }
        others = others or _UNNAMED.search(_UNPACKED.sub("", text)) is not None
    return EnvironmentReads(frozenset(names), others)


def not_handed_on(
    patterns: Sequence[str],
    known: Collection[str],
    folder: str,
    environment: Mapping[str, str],
    root: str,
) -> list[str]:
    """What a person has to know before an app runs without a part of the environment: names, never
    values. `known` are the variables that the app is given anyway.
    """
    found = reads(folder, root)
    given = {*known, *handed_on(patterns, environment)}
    lacking = sorted(name for name in found.names if name in environment and name not in given)
    said = []
    if lacking:
        listed = ", ".join(f'"{name}"' for name in [*patterns, *lacking])
        said.append(
            f"the CDK app reads {', '.join(lacking)}, which is set here and not handed on to it; "
            f"to hand it on: pass_env = [{listed}] in rules.toml"
        )
    if found.others:
        has = f"only {', '.join(patterns)}" if patterns else "none"
        said.append(
            "the CDK app reads variables whose names cannot be told from its source; of those set"
            f" here it is given {has} (pass_env)"
        )
    return said


def _sources(folder: str) -> list[str]:
    """The app's own source files, in order."""
    found: list[str] = []
    for here, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(one for one in folders if one not in _NOT_ITS_OWN)
        for name in sorted(names):
            if name.endswith(_SOURCES) and not name.endswith(".d.ts"):
                found.append(os.path.join(here, name))
                if len(found) == MOST_FILES:
                    return found
    return found
