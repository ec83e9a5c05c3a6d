"""`rules replay --snapshots`: committed template snapshots say which rules miss a change."""

from pathlib import Path

import pytest

from tests.support.repo import Repo
from tests.support.run import Toolkit
from toolkit.formats.template_snapshots import MOST_BYTES

RULES = """version = 1
project = "shop"
unmatched = "warn"
[targets.network]
kind = "stack"
cdk = "infra"
stack = "Network"
[targets.web]
kind = "stack"
cdk = "infra"
stack = "Web"
[[rules]]
name = "network"
paths = ["infra/network.ts"]
deploy = ["network"]
[[rules]]
name = "web"
paths = ["infra/web.ts"]
deploy = ["web"]
"""
SNAPSHOT = "infra/test/__snapshots__/stacks.test.ts.snap"


def jest(**sizes: int) -> str:
    """A snapshot file with an entry for each."""
    return "".join(
        f'exports[`{name} 1`] = `\n{{\n  "Resources": {{ "size": {size} }},\n}}\n`;\n\n'
        for name, size in sizes.items()
    )


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    files = {
        "infra/cdk.json": "{}",
        "infra/network.ts": "1",
        "infra/web.ts": "1",
        "infra/util.ts": "1",
        SNAPSHOT: jest(network=1, web=1, both=1),
    }
    return Repo.make(tmp_path / "repo", files, RULES)


def commit(repo: Repo, **files: str) -> None:
    names = {"network": "infra/network.ts", "web": "infra/web.ts", "util": "infra/util.ts"}
    names |= {"snapshot": SNAPSHOT, "test": "infra/test/stacks.test.ts"}
    for key, text in files.items():
        repo.write({names[key]: text})
    repo.commit("change")


def test_a_change_that_only_the_snapshot_shows_is_a_miss_with_the_files_that_need_a_rule(
    repo: Repo, toolkit: Toolkit
) -> None:
    commit(repo, util="2", snapshot=jest(network=2, web=1, both=1))
    result = toolkit(repo.path, "rules", "replay", "--snapshots")
    assert result.code == 0
    assert "miss a change in 1" in result.out
    assert "changes network, and no rule says so" in result.out
    assert "infra/util.ts" in result.out


def test_a_change_that_a_rule_calls_for_is_exact(repo: Repo, toolkit: Toolkit) -> None:
    commit(repo, web="2", snapshot=jest(network=1, web=2, both=1))
    result = toolkit(repo.path, "rules", "replay", "--snapshots", "--json")
    assert (result.json["changed"], result.json["planned"]) == (["web"], ["web"])
    assert (result.json["missed"], result.json["unknown"]) == ([], {})


def test_an_entry_that_names_no_target_proves_a_change_of_one_that_is_not_known(
    repo: Repo, toolkit: Toolkit
) -> None:
    commit(repo, util="2", snapshot=jest(network=1, web=1, both=2))
    result = toolkit(repo.path, "rules", "replay", "--snapshots", "--json")
    why = f"a template in {SNAPSHOT} changed, which does not say whose it is"
    none = f"{why}, and no rule calls for any that it may be of"
    assert result.json["unknown"] == {"network": none, "web": none}
    assert result.json["changed"] == []


@pytest.mark.parametrize(
    "files",
    [
        {"test": "2", "snapshot": jest(network=2, web=1, both=1)},
        {"util": "2"},
        {"util": "2", "snapshot": jest(network=1, web=1, both=1, new=1)},
        {"util": "2", "snapshot": jest(network=1)},
    ],
    ids=["only tests", "no snapshot", "an entry that is new", "entries that are gone"],
)
def test_what_changes_no_template_proves_nothing(
    repo: Repo, toolkit: Toolkit, files: dict[str, str]
) -> None:
    commit(repo, **files)
    result = toolkit(repo.path, "rules", "replay", "--snapshots")
    assert (result.code, result.out) == (
        0,
        "No commit changes a template snapshot and something besides tests.\n",
    )


def test_templates_and_snapshots_are_two_questions(repo: Repo, toolkit: Toolkit) -> None:
    result = toolkit(repo.path, "rules", "replay", "--snapshots", "--templates")
    assert result.code == 2
    assert "use one of them" in result.err


def test_a_partial_clone_without_the_snapshots_is_told_how_to_get_them(
    repo: Repo, toolkit: Toolkit, tmp_path: Path
) -> None:
    commit(repo, util="2", snapshot=jest(network=2, web=1, both=1))
    repo.git("config", "uploadpack.allowFilter", "true")
    clone = repo.clone(tmp_path / "clone", "--filter=blob:none")
    result = toolkit(clone.path, "rules", "replay", "--snapshots")
    assert result.code == 2
    assert "git fetch --refetch" in result.err


def test_a_snapshot_that_leads_nowhere_leaves_its_targets_unknown(
    repo: Repo, toolkit: Toolkit
) -> None:
    for place in ("before", "after"):
        (repo.path / SNAPSHOT).unlink()
        (repo.path / SNAPSHOT).symlink_to(place)
        commit(repo, util=place)
    result = toolkit(repo.path, "rules", "replay", "--snapshots", "-n", "1", "--json")
    why = f"{SNAPSHOT} changed, and cannot be read"
    assert set(result.json["unknown"]) == {"network", "web"}
    assert result.json["unknown"]["web"].startswith(why)


def test_a_snapshot_that_is_too_large_leaves_its_targets_unknown(
    repo: Repo, toolkit: Toolkit
) -> None:
    commit(repo, util="2", snapshot=jest(network=2) + " " * MOST_BYTES)
    result = toolkit(repo.path, "rules", "replay", "--snapshots", "--json")
    assert result.json["unknown"]["web"].endswith("or it has over 16 MB")
