"""The variables of our environment that a CDK app gets, and those that its source reads besides."""

import os
import re
from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from toolkit.errors import FileProblem
from toolkit.ports.files import read_inside

MOST_FILES = 2000
"""The most source files of an app that are read."""
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
    """The variables of an environment that match a name or a prefix (`TEAM_*`)."""
    return {name: value for name, value in environment.items() if _matches(name, patterns)}


def _matches(name: str, patterns: Sequence[str]) -> bool:
    for pattern in patterns:
        if name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1])):
            return True
    return False


def reads(folder: str, root: str) -> EnvironmentReads:
    """The variables that the source of an app in a folder of the repository at `root` reads. Its
    packages, and links that lead out of the repository, are left out.
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
        for match in _NAMED.finditer(text):
            names.add(match[match.lastindex or 0])
        for members in _UNPACKED.findall(text):
            for member in members.split(","):
                if name := re.match(r"\s*([A-Za-z_]\w*)", member):
                    names.add(name[1])
        others = others or _UNNAMED.search(_UNPACKED.sub("", text)) is not None
    return EnvironmentReads(frozenset(names), others)


def not_handed_on(
    patterns: Sequence[str],
    passed: Collection[str],
    folder: str,
    environment: Mapping[str, str],
    root: str,
) -> list[str]:
    """Warnings about variables that an app reads but does not get: names, never values. `passed`
    are those that it gets anyway.
    """
    read = reads(folder, root)
    received = {*passed, *handed_on(patterns, environment)}
    lacking = sorted(name for name in read.names if name in environment and name not in received)
    warnings = []
    if lacking:
        listed = ", ".join(f'"{name}"' for name in [*patterns, *lacking])
        warnings.append(
            f"the CDK app reads {', '.join(lacking)}, which is set here and not handed on to it; "
            f"to hand it on: pass_env = [{listed}] in rules.toml"
        )
    if read.others:
        has = f"only {', '.join(patterns)}" if patterns else "none"
        warnings.append(
            "the CDK app reads variables whose names cannot be told from its source; of those set"
            f" here it is given {has} (pass_env)"
        )
    return warnings


def _sources(folder: str) -> list[str]:
    """The app's own source files, in order."""
    sources: list[str] = []
    for current, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if name not in _NOT_ITS_OWN)
        for name in sorted(names):
            if name.endswith(_SOURCES) and not name.endswith(".d.ts"):
                sources.append(os.path.join(current, name))
                if len(sources) == MOST_FILES:
                    return sources
    return sources
