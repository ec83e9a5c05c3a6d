"""Write toolkit/templates/replacements.json.gz: what replaces a resource, by cfn-lint's schemas and
by CDK's specification. `scripts/replacements` brings both.

    python scripts/replacements.py CFN_LINT_WHEEL SERVICE_SPEC_DB [OUTPUT]
"""

import gzip
import json
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).parents[1] / "toolkit" / "templates" / "replacements.json.gz"
NEVER, MAYBE, ALWAYS, UNKNOWN = "n", "m", "a", "?"
DEEPEST = 8
"""How deep properties are followed: some types hold themselves."""

Words = dict[str, dict[str, str]]
"""Type -> path of a property -> what a source says. Of paths below another, only those about which
it says something else; `*` stands for any number or key.
"""


def cfn_lint(wheel: Path) -> Words:
    """What cfn-lint's schemas say, of all regions: the worst that any says."""
    words: Words = defaultdict(dict)
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            if not name.startswith("cfnlint/data/schemas/resources/"):
                continue
            schema = json.loads(archive.read(name))
            own = words[schema["typeName"]]
            for prop in schema.get("properties", {}):
                own.setdefault(prop, NEVER)
            for key, word in (
                ("conditionalCreateOnlyProperties", MAYBE),
                ("createOnlyProperties", ALWAYS),
            ):
                for pointer in schema.get(key, ()):
                    path = pointer.removeprefix("/properties/").replace("/items/", "/*/")
                    raise_to(own, path.replace("/properties/", "/"), word)
    return words


def raise_to(words: dict[str, str], path: str, word: str) -> None:
    """The worse of two words counts."""
    order = (NEVER, MAYBE, ALWAYS)
    words[path] = max(words.get(path, NEVER), word, key=order.index)


def service_spec(path: Path) -> Words:
    """What CDK's specification says."""
    schema = json.loads(gzip.decompress(path.read_bytes()))["schema"]
    types = {entity["$id"]: entity for entity in schema["typeDefinition"]["entities"]}
    words: Words = {}
    for resource in schema["resource"]["entities"]:
        own: dict[str, str] = {}
        for name, prop in resource["properties"].items():
            own[name] = word = {"yes": ALWAYS, "maybe": MAYBE}.get(
                prop.get("causesReplacement"), NEVER
            )
            if word != ALWAYS:
                for below, inner in nested(prop["type"], types, ()):
                    raise_to(own, f"{name}/{below}", inner)
        words[resource["cloudFormationType"]] = own
    return words


def nested(
    type: dict[str, Any], types: dict[str, Any], outer: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """The paths below a property that replace the resource, and the word of each."""
    if type["type"] in ("array", "map"):
        for below, word in nested(type["element"], types, outer):
            yield f"*/{below}", word
    elif type["type"] == "union":
        for inner in type["types"]:
            yield from nested(inner, types, outer)
    elif type["type"] == "ref" and len(outer) < DEEPEST:
        key = type["reference"]["$ref"]
        if key not in outer:
            yield from properties(types[key]["properties"], types, (*outer, key))


def properties(
    named: dict[str, Any], types: dict[str, Any], outer: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """The properties of a nested type that replace the resource, and those below them."""
    for name, prop in named.items():
        word = {"yes": ALWAYS, "maybe": MAYBE}.get(prop.get("causesReplacement"))
        if word:
            yield name, word
        if word != ALWAYS:
            for below, inner in nested(prop["type"], types, outer):
                yield f"{name}/{below}", inner


def plain(words: dict[str, str]) -> dict[str, str]:
    """Without paths below another of the same word."""
    kept: dict[str, str] = {}
    for path in sorted(words):
        steps = path.split("/")
        above = ("/".join(steps[:end]) for end in range(len(steps) - 1, 0, -1))
        nearest = next((kept[outer] for outer in above if outer in kept), None)
        if nearest != words[path] and nearest != ALWAYS:
            kept[path] = words[path]
    return kept


def table(lint: Words, spec: Words) -> dict[str, dict[str, list[str]]]:
    """Type -> two letters, what cfn-lint and what CDK says -> the paths of which they say so."""
    types: dict[str, dict[str, list[str]]] = {}
    for type in sorted({*lint, *spec}):
        sources = [plain(source[type]) if type in source else None for source in (lint, spec)]
        own: dict[str, list[str]] = defaultdict(list)
        for path in sorted({*(sources[0] or ()), *(sources[1] or ())}):
            letters = "".join(
                UNKNOWN if source is None else source.get(path, "-") for source in sources
            )
            own[letters].append(path)
        types[type] = dict(sorted(own.items()))
    return types


def main(wheel: str, database: str, output: str = str(OUTPUT)) -> None:
    data = table(cfn_lint(Path(wheel)), service_spec(Path(database)))
    text = json.dumps(data, separators=(",", ":"), sort_keys=True)
    Path(output).write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{len(data)} types, {Path(output).stat().st_size // 1000} kB")


if __name__ == "__main__":
    main(*sys.argv[1:])
