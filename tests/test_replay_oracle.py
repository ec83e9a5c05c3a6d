"""Real CI path filters, imported and replayed over real histories: the same answer on every commit.

The histories are recorded in ../shared/oracle (its README says how); they are made anew here as git
repositories, commit by commit.
"""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.repo import Repo
from tests.support.run import ROOT, Toolkit

ORACLE = ROOT.parent / "shared" / "oracle"
FILES = sorted(ORACLE.glob("*.json.gz"))

pytestmark = pytest.mark.skipif(not FILES, reason="../shared/oracle is not here")

EVENTS = {"paths": "paths", "paths-ignore": "paths-ignore"}


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.name.removesuffix(".json.gz"))
def recorded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], Repo]:
    """The recording, and its history as a bare repository."""
    data = json.loads(gzip.decompress(request.param.read_bytes()))
    repo = Repo(tmp_path_factory.mktemp("history"))
    repo.git("init", "-q", "--bare", "-b", "main")
    repo.git("fast-import", "--quiet", given=history(data))
    return data, repo


def history(data: dict[str, Any]) -> bytes:
    """All commits for git's fast-import, oldest first, upon one that holds every file which the
    recording finds there.
    """
    commits = [
        [(letter, data["paths"][index]) for letter, index in changes]
        for _, changes in reversed(data["commits"])
    ]
    first: dict[str, str] = {}
    for changes in commits:
        for letter, path in changes:
            first.setdefault(path, letter)
    modes: dict[str, str] = {}
    out = [
        _commit([_write(path, b"before", modes) for path, letter in first.items() if letter != "A"])
    ]
    for number, changes in enumerate(commits):
        lines = [f"D {_quoted(path)}\n".encode() for letter, path in changes if letter == "D"]
        lines += [
            _write(path, b"%d" % number, modes, letter == "T")
            for letter, path in changes
            if letter != "D"
        ]
        out.append(_commit(lines))
    return b"".join(out)


def _commit(lines: list[bytes]) -> bytes:
    return (
        b"commit refs/heads/main\ncommitter Ada <ada@example.com> 1767225600 +0000\ndata 1\nx\n"
        + b"".join(lines)
    )


def _write(path: str, content: bytes, modes: dict[str, str], turn: bool = False) -> bytes:
    mode = modes.get(path, "100644")
    if turn:
        mode = "100644" if mode == "120000" else "120000"
    modes[path] = mode
    return b"M %s inline %s\ndata %d\n%s\n" % (
        mode.encode(),
        _quoted(path).encode(),
        len(content),
        content,
    )


def _quoted(path: str) -> str:
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def workflow(document: dict[str, Any]) -> dict[str, Any]:
    """The filter as it stands in a workflow (JSON is YAML, too)."""
    if document["style"] in EVENTS:
        return {"on": {"push": {EVENTS[document["style"]]: document["patterns"]}}, "jobs": {}}
    words = {"A": "added", "M": "modified", "D": "deleted"}
    items: list[Any] = []
    for letters, patterns in document["items"]:
        key = "|".join(words[letter] for letter in letters) if letters else None
        items += [{key: patterns}] if key else patterns
    step = {
        "uses": "dorny/paths-filter@v3",
        "with": {"filters": json.dumps({document["name"]: items})},
    }
    return {"on": "push", "jobs": {"changes": {"steps": [step]}}}


def test_replay_of_every_imported_filter_gives_the_recorded_answers(
    recorded: tuple[dict[str, Any], Repo], toolkit: Toolkit, tmp_path: Path
) -> None:
    data, repo = recorded
    for actual in data["filters"]:
        (tmp_path / "workflow.yml").write_text(json.dumps(workflow(actual)))
        rules = tmp_path / "rules.toml"
        imported = toolkit(
            tmp_path, "rules", "import", "workflow.yml", "--out", str(rules), "--force"
        )
        assert (imported.code, imported.err) == (0, "")
        replayed = [
            json.loads(line)
            for line in toolkit(
                repo.path, "rules", "replay", "--json", "--rules", str(rules)
            ).out.splitlines()
        ]
        assert len(replayed) == len(data["commits"]) + 1
        assert {position for position, item in enumerate(replayed[:-1]) if item["targets"]} == set(
            actual["expected"]
        ), (actual["file"], actual["name"])
