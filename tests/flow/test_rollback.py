"""Which versions can be put back, in one region and in several, and which one is."""

from pathlib import Path

import pytest

from tests.support.record import KnownAws, put
from toolkit.errors import Refused, Unreachable, UsageError
from toolkit.flow.deploy import Order, prepare
from toolkit.flow.previous import good_before
from toolkit.flow.rollback import Candidate, candidates, orders, pick
from toolkit.model import Job, Live, Preview, Version
from toolkit.ports.clock import Real
from toolkit.ports.world import World
from toolkit.record.ledger import Local, Record, scope_of
from toolkit.record.state import open_store
from toolkit.targets import app

RULES = """\
version = 1
project = "p"
environment = "dev"
[environments.dev]
regions = ["eu", "us"]
[targets.app]
kind = "app"
cluster = "c"
service = "s"
repository = "r"
"""


class Coasts:
    """An app in two regions: what was deployed to each of them, and what runs there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "rules.toml").write_text(RULES)
        self.live: dict[str, Live | Exception] = {}
        self.world = World(str(folder), str(folder), Real(), lambda profile, region: KnownAws(profile, region or "eu"))
        self.at = 0

    def deployed(self, version: str, *regions: str, verdict: str = "succeeded", digest: str = "") -> None:
        self.at += 1
        for region in regions:
            detail = {"digest": digest or f"sha256:{version}-{region}", "task definition": f"{region}:{self.at}"}
            record = Record("app", "dev", region, version, version, "f", f"run-{self.at}", f"2026-11-20T{self.at:02}", verdict, detail)
            put(open_store("p", self.world.root), record)
            self.live[region] = Live(version, version, detail=detail)

    def runs(self, job: Job, world: World) -> Live:
        live = self.live[job.place.region or ""]
        if isinstance(live, Exception):
            raise live
        return live

    def found(self, look: bool = True, region: str | None = None) -> list[Candidate]:
        order = Order(folder=str(self.folder), targets=("app",), action="rollback", region=region)
        return candidates(order, None, self.world, look)

    def versions(self, region: str | None = None) -> list[str]:
        return [one.record.version for one in self.found(False, region)]

    def picked(self, wanted: str | None = None, region: str | None = None) -> str:
        return pick(self.found(region=region), wanted).record.version


@pytest.fixture
def coasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Coasts:
    monkeypatch.setenv("TOOLKIT_STATE_DIR", str(tmp_path / "state"))
    made = Coasts(tmp_path)
    monkeypatch.setattr(app, "live", made.runs)
    return made


def test_the_newest_good_version_that_does_not_run_is_put_back(coasts: Coasts) -> None:
    for version in ("v1", "v2", "v3"):
        coasts.deployed(version, "eu", "us")
    assert (coasts.versions(), coasts.picked()) == (["v3", "v2", "v1"], "v2")


def test_after_a_version_that_runs_and_is_not_good_it_is_the_newest_good_one(coasts: Coasts) -> None:
    coasts.deployed("v1", "eu", "us")
    coasts.deployed("v2", "eu", "us")
    coasts.deployed("v3", "eu", "us", verdict="failed")
    assert coasts.picked() == "v2"


def test_each_region_gets_what_was_deployed_there(coasts: Coasts) -> None:
    coasts.deployed("v1", "eu", "us")
    coasts.deployed("v2", "eu", "us")
    said = orders(pick(coasts.found(), None))
    assert (said["wishes"]["version"], {region: one["task_definition"] for region, one in said["each"].items()}) == (
        "v1", {"eu": "eu:1", "us": "us:1"},
    )  # fmt: skip
    assert {region: one["image_digest"] for region, one in said["each"].items()} == {"eu": "sha256:v1-eu", "us": "sha256:v1-us"}


def test_the_steps_of_a_rollback_know_what_was_deployed_in_their_region(coasts: Coasts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "preview", lambda job, world: Preview(()))
    coasts.deployed("v1", "eu", "us")
    coasts.deployed("v2", "eu", "us")
    order = Order(folder=str(coasts.folder), targets=("app",), action="rollback", **orders(pick(coasts.found(), None)))
    jobs = prepare(order, "run", None, coasts.world).jobs
    assert [(job.step, job.version.name, job.wishes["task_definition"]) for job in jobs] == [
        ("app@eu", "v1", "eu:1"),
        ("app@us", "v1", "us:1"),
    ]


def test_a_version_has_to_have_been_good_in_every_region(coasts: Coasts) -> None:
    coasts.deployed("v1", "eu", "us")
    coasts.deployed("v2", "eu")
    coasts.deployed("v2", "us", verdict="failed")
    assert (coasts.versions(), coasts.versions("eu"), coasts.versions("us")) == (["v1"], ["v2", "v1"], ["v1"])
    assert (coasts.picked(), coasts.picked(region="us")) == ("v1", "v1")


def test_the_one_that_runs_in_some_regions_goes_to_the_others(coasts: Coasts) -> None:
    coasts.deployed("v1", "eu", "us")
    coasts.deployed("v2", "eu", "us")
    coasts.deployed("v3", "us", verdict="failed")
    assert coasts.picked() == "v2"
    coasts.deployed("v4", "eu", "us")
    coasts.live = {"eu": Live("v2", detail={"digest": "sha256:v2-eu"}), "us": Live("v9")}
    assert coasts.picked() == "v2"


def test_where_regions_run_different_good_versions_somebody_has_to_say_which(coasts: Coasts) -> None:
    coasts.deployed("v1", "eu", "us")
    coasts.deployed("v2", "eu", "us")
    coasts.live["eu"] = Live("v1", "v1", detail={"digest": "sha256:v1-eu"})
    with pytest.raises(Refused, match=r"the regions run different versions \(v2 in us, v1 in eu\)"):
        coasts.picked()
    assert (coasts.picked("v1"), coasts.picked(region="us")) == ("v1", "v1")


def test_a_tag_that_means_another_image_now_can_go_back_to_the_image_it_meant(coasts: Coasts) -> None:
    coasts.deployed("stable", "eu", "us", digest="sha256:a")
    coasts.deployed("stable", "eu", "us", verdict="failed", digest="sha256:b")
    found = pick(coasts.found(), None)
    assert {record.detail["digest"] for record in found.each.values()} == {"sha256:a"}


def test_where_the_cloud_cannot_be_asked_the_newest_good_one_is_taken_for_live(coasts: Coasts) -> None:
    coasts.deployed("v1", "eu", "us")
    coasts.deployed("v2", "eu", "us")
    coasts.live = dict.fromkeys(("eu", "us"), Unreachable(call="ecs", reason="timed out"))
    assert coasts.picked() == "v1"


def test_a_shared_record_that_cannot_be_read_is_no_ground_to_choose_from(coasts: Coasts, monkeypatch: pytest.MonkeyPatch) -> None:
    class Behind(Local):
        behind = "s3 does not answer"

    coasts.deployed("v1", "eu", "us")
    monkeypatch.setattr("toolkit.flow.previous.open_ledger", lambda store, place, world: Behind(store, scope_of(store, place)))
    with pytest.raises(Unreachable, match="s3 does not answer"):
        coasts.found()


def test_what_is_named_has_to_have_been_good_and_to_be_one(coasts: Coasts) -> None:
    for version in ("aa1", "aa2", "b"):
        coasts.deployed(version, "eu", "us")
    assert (coasts.picked("aa2"), coasts.picked("run-1"), coasts.picked("b")) == ("aa2", "aa1", "b")
    with pytest.raises(UsageError, match="'aa' is the beginning of several versions"):
        coasts.picked("aa")
    with pytest.raises(Refused, match="no good deploy of 'c' is recorded"):
        coasts.picked("c")


def test_where_nothing_else_was_good_nothing_is_put_back(coasts: Coasts) -> None:
    coasts.deployed("v1", "eu", "us")
    with pytest.raises(Refused, match="no other good deploy is recorded"):
        coasts.picked()


def record(version: str, verdict: str = "succeeded", digest: str = "a") -> Record:
    return Record("app", None, None, version, None, "f", "r", "w", verdict, {"digest": digest})


@pytest.mark.parametrize(
    ("records", "deployed", "back"),
    [
        ([record("v1")], Version("v2", "v2", "f"), "v1"),
        ([record("v2"), record("v1")], Version("v2", "v2", "f"), "v1"),
        ([record("v3", "failed"), record("v1")], Version("v2", "v2", "f"), "v1"),
        ([record("v2")], Version("v2", "v2", "f"), None),
        ([record("")], Version("v2", "v2", "f"), None),
        ([record("stable"), record("v1")], Version("stable", None, "image stable"), "stable"),
        ([], Version("v2", "v2", "f"), None),
    ],
)
def test_what_a_deploy_goes_back_to_is_the_last_good_deploy_of_another_version(
    records: list[Record], deployed: Version, back: str | None
) -> None:
    found = good_before(records, deployed)
    assert (found and found.version) == back
