"""What the code of a CDK app says of its stacks, in the words of no language: two readers fill this
in.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from posixpath import dirname
from posixpath import join as joined

from msgspec import Struct

from toolkit.init.tree import clean_path

STACK_VALUES = {
    "cluster_name": "cluster",
    "clusterName": "cluster",
    "service_name": "service",
    "serviceName": "service",
    "repository_name": "repository",
    "repositoryName": "repository",
    "bucket_name": "bucket",
    "bucketName": "bucket",
}
"""Arguments that name what a stack makes, and our word for each."""

REPOSITORY_LOOKUPS = ("from_repository_name", "fromRepositoryName")


class AssetKind(StrEnum):
    """What is deployed with a stack: a path as it is, an image, or code that is bundled."""

    PATH = "path"
    IMAGE = "image"
    ENTRY = "entry"


ASSET_CALLS = {
    "from_asset": AssetKind.PATH,
    "fromAsset": AssetKind.PATH,
    "from_image_asset": AssetKind.IMAGE,
    "fromImageAsset": AssetKind.IMAGE,
    "from_docker_build": AssetKind.PATH,
    "fromDockerBuild": AssetKind.PATH,
    "asset": AssetKind.PATH,
}
"""Calls whose first argument is a folder (or file) that is deployed with the stack."""

ASSET_ARGUMENTS = {"entry": AssetKind.ENTRY, "directory": AssetKind.IMAGE}
"""Arguments that are such a folder or file, of the constructs that bundle or build it."""

MOST_NAMED = 2000
"""The most calls that are read in one file."""

LONGEST_TEXT = 400
"""Longer names and paths are not names and paths."""

VARIABLE = re.compile(r"\{(\w+)\}")


def without_braces(text: str) -> str | None:
    """A literal text; None if it has braces, which would read as variables."""
    if set(text) & set("{}"):
        return None
    return text


def placeholder(name: str) -> str | None:
    """`{name}` for a variable; None if its name cannot be one in rules.toml."""
    if name.isascii() and name.isidentifier():
        return f"{{{name.lower()}}}"
    return None


def all_known(values: Sequence[str | None]) -> list[str] | None:
    """The values; None if one of them is unknown, or if there are none."""
    known = [value for value in values if value is not None]
    return known if known and len(known) == len(values) else None


class CreatedObject(Struct, frozen=True):
    """An object that the code makes: its class, its name (`Api{suffix}`; None if computed), the
    variable that holds it, the variables that it is given, the class in whose code it is made, and
    whether that code is its scope (`self`, `this`).
    """

    class_name: str
    name: str | None
    variable: str
    uses: frozenset[str]
    within: str
    inside: bool


class CodeAsset(Struct, frozen=True):
    """A path that is deployed with a stack; `path` is None if it is computed."""

    what: AssetKind
    path: str | None
    dockerfile: str | None
    within: str
    line: int


class CodeFile(Struct, frozen=True):
    """One file. `bases`: class -> the names it extends; `calls`: class -> the names called in it;
    `values`: class, word, name; `after`: variables of stacks, a later and an earlier one;
    `defaults`: variable -> what it is if nothing else says so.
    """

    path: str
    bases: Mapping[str, tuple[str, ...]] = {}
    calls: Mapping[str, frozenset[str]] = {}
    made: tuple[CreatedObject, ...] = ()
    assets: tuple[CodeAsset, ...] = ()
    imports: frozenset[str] = frozenset()
    relative: tuple[str, ...] = ()
    values: tuple[tuple[str, str, str], ...] = ()
    after: tuple[tuple[str, str], ...] = ()
    regions: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    defaults: Mapping[str, str] = {}


def path_from_root(path: str, folder: str) -> str | None:
    """A path as code writes it, relative to `folder` unless it starts with `/` (our root), from the
    repository's root.
    """
    if "\0" in path or len(path) > LONGEST_TEXT:
        return None
    absolute = path.startswith("/")
    clean = clean_path(path.lstrip("/") if absolute else joined(folder, path))
    return None if clean.split("/")[0] == ".." else clean


def folder_of(path: str) -> str:
    """The folder of a file, as the absolute path that `path_from_root` takes."""
    return f"/{dirname(path)}"


def plain_name(text: str | None) -> str | None:
    """A name as it may stand in rules.toml: short, printable, and with no braces of its own."""
    if (
        text is None
        or len(text) > LONGEST_TEXT
        or not text.isprintable()
        or set(VARIABLE.sub("", text)) & set("{}")
    ):
        return None
    return text
