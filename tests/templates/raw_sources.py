"""Pairs of templates that differ in one property, and whether the resource is replaced by the very
words of the two sources: nothing of scripts/replacements.py or of toolkit is used to read them.

    python -m tests.templates.raw_sources CFN_LINT_WHEEL SERVICE_SPEC_DB

writes those of the quick tests into tests/data/replacements.json.gz.
"""

import gzip
import json
import os
import random
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from tests.support.run import ROOT

SAMPLES = ROOT / "tests/data/replacements.json.gz"
DEEPEST = 4
NO, MAYBE, YES, UNKNOWN = "no", "maybe", "yes", "unknown"
"""What a source says of a change: UNKNOWN where it has no such type or property."""


class Mutation(Struct, frozen=True):
    """Two templates whose resource `It` differs at a path, and what each source says of that."""

    type: str
    path: tuple[str, ...]
    cfn_lint: str
    cdk: str
    values: tuple[Any, Any]

    @property
    def before(self) -> dict[str, Any]:
        """The older template."""
        return template(self.type, self.path, self.values[0])

    @property
    def after(self) -> dict[str, Any]:
        """The newer template."""
        return template(self.type, self.path, self.values[1])


def template(type: str, path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A template whose one resource has this value at a path, none for None."""
    properties: dict[str, Any] = {}
    if value is not None:
        for step in reversed(path):
            value = [value] if step == "*" else {step: value}
        properties = value
    return {"Resources": {"It": {"Type": type, "Properties": properties}}}


class CfnLint:
    """The schemas of the resource types, as cfn-lint brings them."""

    def __init__(self, wheel: str) -> None:
        self._schemas: dict[str, list[dict[str, Any]]] = defaultdict(list)
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name.startswith("cfnlint/data/schemas/resources/"):
                    schema = json.loads(archive.read(name))
                    self._schemas[schema["typeName"]].append(schema)  # of several regions

    def paths(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Everything that it names as deciding."""
        for type, schemas in self._schemas.items():
            for schema in schemas:
                for key in ("createOnlyProperties", "conditionalCreateOnlyProperties"):
                    for pointer in schema.get(key, ()):
                        yield type, steps(pointer)

    def word(self, type: str, path: tuple[str, ...]) -> str:
        """What it says of a change at a path."""
        schemas = self._schemas.get(type, [])
        if not any(path[0] in schema.get("properties", {}) for schema in schemas):
            return UNKNOWN
        for key, word in (
            ("createOnlyProperties", YES),
            ("conditionalCreateOnlyProperties", MAYBE),
        ):
            for schema in schemas:
                if any(begins(steps(pointer), path) for pointer in schema.get(key, ())):
                    return word
        return NO


def steps(pointer: str) -> tuple[str, ...]:
    """`/properties/Disks/items/properties/Key` as `("Disks", "*", "Key")`."""
    words = pointer.split("/")[2:]
    return tuple("*" if word in ("items", "*") else word for word in words if word != "properties")


def begins(outer: tuple[str, ...], path: tuple[str, ...]) -> bool:
    """Whether a path is another one, or below it."""
    return outer == path[: len(outer)]


class Cdk:
    """The specification that the CDK is made from."""

    def __init__(self, database: str) -> None:
        schema = json.loads(gzip.decompress(Path(database).read_bytes()))["schema"]
        self._types = {each["$id"]: each for each in schema["typeDefinition"]["entities"]}
        entities = schema["resource"]["entities"]
        self._resources = {each["cloudFormationType"]: each["properties"] for each in entities}

    def paths(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """All properties, also nested ones."""
        for type, properties in self._resources.items():
            for path in self._below(properties, ()):
                yield type, path

    def _below(self, properties: Any, outer: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for name, prop in properties.items():
            path = (*outer, name)
            yield path
            if len(path) < DEEPEST:
                for stars, inner in self._inner(prop["type"]):
                    yield from self._below(inner, (*path, *stars))

    def _inner(self, type: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
        """The properties of what a type holds, behind its lists and maps."""
        if type["type"] in ("array", "map"):
            for stars, inner in self._inner(type["element"]):
                yield ("*", *stars), inner
        elif type["type"] == "union":
            for each in type["types"]:
                yield from self._inner(each)
        elif type["type"] == "ref":
            yield (), self._types[type["reference"]["$ref"]]["properties"]

    def word(self, type: str, path: tuple[str, ...]) -> str:
        """What it says of a change at a path: the worst of the properties on the way there."""
        if type not in self._resources or path[0] not in self._resources[type]:
            return UNKNOWN
        words = set(self._words(self._resources[type], path))
        return YES if "yes" in words else MAYBE if "maybe" in words else NO

    def _words(self, properties: Any, path: tuple[str, ...]) -> Iterator[str]:
        prop = properties.get(path[0])
        if prop is None:
            return
        yield prop.get("causesReplacement", "no")
        for stars, inner in self._inner(prop["type"]):
            rest = path[1:]
            if rest[: len(stars)] == stars and len(rest) > len(stars):
                yield from self._words(inner, rest[len(stars) :])


def mutations(wheel: str, database: str, number: int, seed: int = 14) -> Iterator[Mutation]:
    """Mutations of all sorts, the rarer ones as often as the common ones."""
    lint, cdk = CfnLint(wheel), Cdk(database)
    order = random.Random(seed)
    sorts: dict[tuple[str, str], list[tuple[str, tuple[str, ...]]]] = defaultdict(list)
    for type, path in sorted({*lint.paths(), *cdk.paths()}):
        if path:
            sorts[lint.word(type, path), cdk.word(type, path)].append((type, path))
    names = sorted(sorts)
    for count in range(number):
        words = names[count % len(names)]
        type, path = order.choice(sorts[words])
        values = order.choice([("a", "b"), (None, "b"), ("a", None), (1, 2), ("a", {"Ref": "X"})])
        yield Mutation(type, path, *words, values)


def _sources() -> tuple[str, str] | None:
    folder = os.environ.get("TOOLKIT_TEST_CDK", "")
    if not folder:
        return None
    [wheel] = Path(folder).glob("cfn_lint-*.whl")
    return str(wheel), f"{folder}/node_modules/@aws-cdk/aws-service-spec/db.json.gz"


SOURCES = _sources()
"""Where scripts/test has put the wheel and the database; None if it has not."""


def samples() -> list[Mutation]:
    """Those of the quick tests."""
    text = gzip.decompress(SAMPLES.read_bytes())
    return msgspec.json.decode(text, type=list[Mutation])


if __name__ == "__main__":
    made = msgspec.json.encode([*mutations(sys.argv[1], sys.argv[2], 600)])
    SAMPLES.write_bytes(gzip.compress(made, 9, mtime=0))
