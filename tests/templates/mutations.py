"""Pairs of templates that differ in one property of one resource, drawn from what the two sources
say of replacement.
"""

import gzip
import json
import random
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from tests.support.run import ROOT

DATA = json.loads(gzip.decompress((ROOT / "toolkit/templates/replacements.json.gz").read_bytes()))


class Mutation(Struct, frozen=True):
    """Two templates whose resource `It` differs at a path; `words` are what cfn-lint and the CDK
    say of it (n, m, a; `?` and `-` for what one does not know).
    """

    type: str
    path: str
    words: str
    before: dict[str, Any]
    after: dict[str, Any]


def mutations(number: int, seed: int = 14) -> Iterator[Mutation]:
    """Mutations of all sorts, the rarer ones as often as the common ones."""
    order = random.Random(seed)
    sorts: dict[str, list[tuple[str, str]]] = {}
    for type, words in sorted(DATA.items()):
        for letters, paths in sorted(words.items()):
            sorts.setdefault(letters, []).extend((type, path) for path in paths)
    names = sorted(sorts)
    for count in range(number):
        words = names[count % len(names)]
        type, path = order.choice(sorts[words])
        values = order.choice([("a", "b"), (None, "b"), ("a", None), (1, 2), ("a", {"Ref": "X"})])
        yield Mutation(type, path, words, *(template(type, path, value) for value in values))


def template(type: str, path: str, value: Any) -> dict[str, Any]:
    """A template whose one resource has this value at a path, none for None."""
    properties: dict[str, Any] = {}
    if value is not None:
        for step in reversed(path.split("/")):
            value = [value] if step == "*" else {step: value}
        properties = value
    return {"Resources": {"It": {"Type": type, "Properties": properties}}}
