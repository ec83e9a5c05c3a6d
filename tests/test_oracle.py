"""Real CI path filters, imported, give the real answer on every commit and for every path of their
repositories' history.
"""

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from toolkit import flow
from toolkit.impact.touch import RuleBook
from toolkit.init.draft import draft_to_toml
from toolkit.init.filters.workflows import import_filters
from toolkit.model import Change, ChangeStatus

_ORACLE = Path(__file__).parents[2] / "shared" / "oracle"
_LETTERS = {"A": "added", "M": "modified", "D": "deleted", "T": "type-changed"}


def _oracles() -> Iterator[Any]:
    for file in sorted(_ORACLE.glob("*.json.gz")):
        data = json.loads(gzip.decompress(file.read_bytes()))
        for item in data["filters"]:
            yield pytest.param(data, item, id=f"{data['repo']}:{item['file']}:{item['name']}")


@pytest.mark.skipif(not _ORACLE.is_dir(), reason="the oracle is not here")
@pytest.mark.parametrize(("data", "document"), list(_oracles()))
def test_an_imported_filter_answers_as_the_real_one_on_every_commit_and_path(
    data: Mapping[str, Any], document: Mapping[str, Any]
) -> None:
    result = import_filters([(document["file"], _workflow(document))])
    assert (result.count, result.inexact) == (1, ())
    book = flow.rule_book(flow.read_rules(draft_to_toml(result.draft).encode(), "rules.toml"))
    paths, commits = data["paths"], data["commits"]
    changed = [
        [(paths[path], _LETTERS[letter]) for letter, path in changes] for _, changes in commits
    ]
    assert [
        position for position, changes in enumerate(changed) if _matches(book, changes)
    ] == document["expected"]
    if document["path_hits"] is not None:
        hit = {
            position for position, path in enumerate(paths) if _matches(book, [(path, "modified")])
        }
        ignored = document["style"] == "paths-ignore"  # there, a hit is a path that does not count
        assert (set(range(len(paths))) - hit if ignored else hit) == set(document["path_hits"])


def _matches(book: RuleBook, changes: Sequence[tuple[str, str]]) -> bool:
    return any(book.matching(Change(path, ChangeStatus(status))) for path, status in changes)


def _workflow(document: Mapping[str, Any]) -> str:
    """The filter as it stands in a workflow file."""
    if document["style"] != "dorny":
        event = document["name"].rpartition(":")[2]
        return yaml.safe_dump(
            {
                "on": {event: {document["style"]: document["patterns"]}},
                "jobs": {"build": {"steps": []}},
            }
        )
    items = [item for letters, patterns in document["items"] for item in _items(letters, patterns)]
    step = {
        "uses": "dorny/paths-filter@v3",
        "with": {"filters": yaml.safe_dump({document["name"]: items})},
    }
    return yaml.safe_dump({"on": "push", "jobs": {"changes": {"steps": [step]}}})


def _items(letters: Sequence[str] | None, patterns: Sequence[str]) -> Iterator[object]:
    if letters is None:
        yield from patterns
    else:
        yield {"|".join(_LETTERS[letter] for letter in letters): list(patterns)}
