"""Which versions can be put back, in one region and in several, and which one is."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.record import KnownAws, put
from toolkit.errors import Refused, Unreachable, UsageError
from toolkit.flow.deploy import prepare
from toolkit.flow.good_deploys import last_good_before
from toolkit.flow.rollback import (
    RollbackChoice,
    deploying_run,
    offered,
    pick_candidate,
    request_fields,
    rollback_choice,
)
from toolkit.flow.selection import DeployRequest
from toolkit.model import Version
from toolkit.operations import Job, JobAction, LiveVersion, Location, Preview
from toolkit.ports.clock import SystemClock
from toolkit.ports.ports import Ports
from toolkit.record.ledger import LocalLedger, Record, scope_of
from toolkit.record.locks import holder, open_locks
from toolkit.record.state import open_store
from toolkit.show.advice import sentence
from toolkit.targets.app.kind import kind as app

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
        self.live: dict[str, LiveVersion | Exception] = {}
        self.images: dict[str, bool | None] = {}
        self.ports = Ports(
            str(folder),
            str(folder),
            SystemClock(),
            lambda profile, region: KnownAws(profile, region or "eu"),
        )
        self.at = 0

    def deployed(
        self,
        version: str,
        *regions: str,
        verdict: str = "succeeded",
        digest: str = "",
        when: str = "",
        action: str = "",
    ) -> None:
        self.at += 1
        for region in regions:
            detail = {
                "digest": digest or f"sha256:{version}-{region}",
                "task definition": f"{region}:{self.at}",
            }
            detail |= {"action": action} if action else {}
            moment = when or f"2026-11-20T{self.at:02}"
            record = Record(
                "app",
                "dev",
                region,
                version,
                version,
                "f",
                f"run-{self.at}",
                moment,
                verdict,
                detail,
            )
            put(open_store("p", self.ports.root), record)
            self.live[region] = LiveVersion(version, version, detail=detail)

    def runs(self, job: Job, ports: Ports) -> LiveVersion:
        live = self.live[job.location.region or ""]
        if isinstance(live, Exception):
            raise live
        return live

    def kept(
        self, job: Job, details: Sequence[Mapping[str, str]], ports: Ports
    ) -> tuple[bool | None, ...]:
        return tuple(self.images.get(detail["digest"], True) for detail in details)

    def choice(self, busy: bool = False, region: str | None = None) -> RollbackChoice:
        order = DeployRequest(
            folder=str(self.folder), targets=("app",), action=JobAction.ROLLBACK, region=region
        )
        return rollback_choice(order, None, self.ports, busy=busy)

    def chosen(self, expected: str | None = None, busy: bool = False) -> str:
        return pick_candidate(self.choice(busy), expected).record.version

    def found(self, look: bool = True, region: str | None = None) -> RollbackChoice:
        order = DeployRequest(
            folder=str(self.folder), targets=("app",), action=JobAction.ROLLBACK, region=region
        )
        return replace(rollback_choice(order, None, self.ports, look), back="")

    def versions(self, region: str | None = None) -> list[str]:
        return [candidate.record.version for candidate in self.found(False, region).candidates]

    def picked(self, expected: str | None = None, region: str | None = None) -> str:
        return pick_candidate(self.found(region=region), expected).record.version


@pytest.fixture
def coasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Coasts:
    monkeypatch.setenv("TOOLKIT_STATE_DIR", str(tmp_path / "state"))
    created = Coasts(tmp_path)
    monkeypatch.setattr(app, "live", created.runs)
    monkeypatch.setattr(app, "restorable", created.kept)
    return created


def test_the_newest_good_version_that_does_not_run_is_put_back(coasts: Coasts) -> None:
    for version in ("v1", "v2", "v3"):
        coasts.deployed(version, "eu", "us")
    assert (coasts.versions(), coasts.picked()) == (["v3", "v2", "v1"], "v2")
    assert menu(coasts) == ["v2", "v3", "v1"]


def menu(coasts: Coasts) -> list[str]:
    return [candidate.record.version for candidate in offered(coasts.found())]


def test_the_menu_begins_with_what_is_recommended_and_ends_with_what_is_gone(
    coasts: Coasts,
) -> None:
    for version in ("v1", "v2", "v3", "v4"):
        coasts.deployed(version, "eu", "us", digest=f"sha256:{version}")
    coasts.images = {"sha256:v3": False}
    assert menu(coasts) == ["v2", "v4", "v1", "v3"]


def test_the_menu_has_a_version_once_however_often_it_was_built(coasts: Coasts) -> None:
    for digest in ("a", "b", "c"):
        coasts.deployed("v1", "eu", "us", digest=f"sha256:{digest}")
    coasts.deployed("v2", "eu", "us", digest="sha256:d")
    assert menu(coasts) == ["v1", "v2"]


def test_the_menu_begins_with_what_is_live_where_nothing_else_is_recommended(
    coasts: Coasts,
) -> None:
    for version in ("v1", "v2"):
        coasts.deployed(version, "eu", "us")
    choice = replace(coasts.found(), back="v2 was restored by run-7")
    assert [candidate.record.version for candidate in offered(choice)] == ["v2", "v1"]


def test_after_a_version_that_runs_and_is_not_good_it_is_the_newest_good_one(
    coasts: Coasts,
) -> None:
    coasts.deployed("v1", "eu", "us")
    coasts.deployed("v2", "eu", "us")
    coasts.deployed("v3", "eu", "us", verdict="failed")
    assert coasts.picked() == "v2"


def test_each_region_gets_what_was_deployed_there(coasts: Coasts) -> None:
    coasts.deployed("v1", "eu", "us")
    coasts.deployed("v2", "eu", "us")
    fields = request_fields(pick_candidate(coasts.found(), None))
    assert (
        fields["version"].name,
        {region: item["task definition"] for region, item in fields["restored"].items()},
    ) == (
        "v1",
        {"eu": "eu:1", "us": "us:1"},
    )
    assert {region: item["digest"] for region, item in fields["restored"].items()} == {
        "eu": "sha256:v1-eu",
        "us": "sha256:v1-us",
    }


def test_the_steps_of_a_rollback_know_what_was_deployed_in_their_region(
    coasts: Coasts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "preview", lambda job, ports: Preview(()))
    coasts.deployed("v1", "eu", "us")
    coasts.deployed("v2", "eu", "us")
    order = DeployRequest(
        folder=str(coasts.folder),
        targets=("app",),
        action=JobAction.ROLLBACK,
        **request_fields(pick_candidate(coasts.found(), None)),
    )
    jobs = prepare(order, "run", None, coasts.ports).jobs
    assert [(job.step, job.version.name, job.restore.task_definition) for job in jobs] == [
        ("app@eu", "v1", "eu:1"),
        ("app@us", "v1", "us:1"),
    ]


def test_a_run_is_found_though_a_newer_one_deployed_the_same_version(coasts: Coasts) -> None:
    coasts.deployed("v1", "eu", "us", digest="sha256:v1")
    coasts.deployed("v1", "eu", "us", digest="sha256:v1")
    assert coasts.versions().count("v1") >= 1
    assert [
        candidate.record.version
        for candidate in coasts.found(False).candidates
        if not candidate.older
    ] == ["v1"]
    chosen = pick_candidate(coasts.found(), "run-1")
    assert {region: record.detail["task definition"] for region, record in chosen.each.items()} == {
        "eu": "eu:1",
        "us": "us:1",
    }
    assert pick_candidate(coasts.found(), "v1").record.run == "run-2"


def test_a_run_that_deployed_one_region_only_is_no_older_candidate_of_both(coasts: Coasts) -> None:
    coasts.deployed("v1", "eu", digest="sha256:v1")
    coasts.deployed("v1", "eu", "us", digest="sha256:v1")
    with pytest.raises(Refused, match="no good deploy of 'run-1' is recorded"):
        pick_candidate(coasts.found(), "run-1")
    assert pick_candidate(coasts.found(region="eu"), "run-1").record.run == "run-1"


def test_a_version_has_to_have_been_good_in_every_region(coasts: Coasts) -> None:
    coasts.deployed("v1", "eu", "us")
    coasts.deployed("v2", "eu")
    coasts.deployed("v2", "us", verdict="failed")
    assert (coasts.versions(), coasts.versions("eu"), coasts.versions("us")) == (
        ["v1"],
        ["v2", "v1"],
        ["v1"],
    )
    assert (coasts.picked(), coasts.picked(region="us")) == ("v1", "v1")


def test_the_one_that_runs_in_some_regions_goes_to_the_others(coasts: Coasts) -> None:
    coasts.deployed("v1", "eu", "us")
    coasts.deployed("v2", "eu", "us")
    coasts.deployed("v3", "us", verdict="failed")
    assert coasts.picked() == "v2"
    coasts.deployed("v4", "eu", "us")
    coasts.live = {
        "eu": LiveVersion("v2", detail={"digest": "sha256:v2-eu"}),
        "us": LiveVersion("v9"),
    }
    assert coasts.picked() == "v2"


def test_where_regions_run_different_good_versions_somebody_has_to_say_which(
    coasts: Coasts,
) -> None:
    coasts.deployed("v1", "eu", "us")
    coasts.deployed("v2", "eu", "us")
    coasts.live["eu"] = LiveVersion("v1", "v1", detail={"digest": "sha256:v1-eu"})
    with pytest.raises(Refused, match=r"the regions run different versions \(v2 in us, v1 in eu\)"):
        coasts.picked()
    assert (coasts.picked("v1"), coasts.picked(region="us")) == ("v1", "v1")


def test_a_tag_that_means_another_image_now_can_go_back_to_the_image_it_meant(
    coasts: Coasts,
) -> None:
    coasts.deployed("stable", "eu", "us", digest="sha256:a")
    coasts.deployed("stable", "eu", "us", verdict="failed", digest="sha256:b")
    candidate = pick_candidate(coasts.found(), None)
    assert {record.detail["digest"] for record in candidate.each.values()} == {"sha256:a"}


def test_where_the_cloud_cannot_be_asked_the_newest_good_one_is_taken_for_live(
    coasts: Coasts,
) -> None:
    coasts.deployed("v1", "eu", "us")
    coasts.deployed("v2", "eu", "us")
    coasts.live = dict.fromkeys(("eu", "us"), Unreachable(call="ecs", reason="timed out"))
    assert coasts.picked() == "v1"


def test_a_shared_record_that_cannot_be_read_is_no_ground_to_choose_from(
    coasts: Coasts, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Behind(LocalLedger):
        behind = "s3 does not answer"

    coasts.deployed("v1", "eu", "us")
    monkeypatch.setattr(
        "toolkit.flow.good_deploys.open_ledger",
        lambda store, location, ports: Behind(store, scope_of(store, location)),
    )
    with pytest.raises(Unreachable, match="s3 does not answer"):
        coasts.found()


def test_what_is_named_has_to_have_been_good_and_to_be_one(coasts: Coasts) -> None:
    for version in ("aa1", "aa2", "b"):
        coasts.deployed(version, "eu", "us")
    assert (coasts.picked("aa2"), coasts.picked("run-1"), coasts.picked("b")) == ("aa2", "aa1", "b")
    with pytest.raises(UsageError, match="'aa' matches several versions"):
        coasts.picked("aa")
    with pytest.raises(Refused, match="no good deploy of 'c' is recorded"):
        coasts.picked("c")


def test_where_nothing_else_was_good_nothing_is_put_back(coasts: Coasts) -> None:
    coasts.deployed("v1", "eu", "us")
    with pytest.raises(Refused, match="no other good deploy is recorded"):
        coasts.picked()


def test_the_order_is_that_of_the_record_whatever_the_clocks_of_the_deploying_machines_say(
    coasts: Coasts,
) -> None:
    coasts.deployed("v1", "eu", "us", when="2027-01-01T00")
    coasts.deployed("v2", "eu", "us", when="2026-01-01T00")
    coasts.deployed("v3", "eu", "us", when="2025-01-01T00")
    assert (coasts.versions(), coasts.picked()) == (["v3", "v2", "v1"], "v2")


@pytest.mark.parametrize("verdict", ["failed", "rolled-back", "unhealthy", "superseded"])
def test_after_a_bad_version_gave_way_by_itself_nobody_is_taken_further_back_without_a_word(
    coasts: Coasts, verdict: str
) -> None:
    coasts.deployed("v1", "eu", "us")
    coasts.deployed("v2", "eu", "us")
    before = dict(coasts.live)
    coasts.deployed("v3", "eu", "us", verdict=verdict)
    coasts.live = before
    with pytest.raises(
        Refused,
        match=(
            f"app runs v2, the last good version: run run-3 has ended as {verdict}, and v3 is not"
            " live"
        ),
    ) as no:
        coasts.chosen()
    assert (
        sentence(no.value.next)
        == "to go further back, choose the version: toolkit rollback app --to run-1"
    )
    assert coasts.chosen("v1") == "v1"


def test_further_back_than_a_rollback_is_not_what_it_has_taken_out(coasts: Coasts) -> None:
    coasts.deployed("v1", "eu", "us")
    coasts.deployed("v2", "eu", "us")
    coasts.deployed("v3", "eu", "us")
    coasts.deployed("v2", "eu", "us", action="rollback")
    with pytest.raises(Refused, match="which run run-4 has restored") as no:
        coasts.chosen()
    assert (
        sentence(no.value.next)
        == "to go further back, choose the version: toolkit rollback app --to run-1"
    )
    assert coasts.chosen("run-3") == "v3"


def test_a_deploy_that_has_only_begun_is_not_said_to_have_given_way(coasts: Coasts) -> None:
    coasts.deployed("v1", "eu", "us")
    coasts.deployed("v2", "eu", "us")
    before = dict(coasts.live)
    coasts.deployed("v3", "eu", "us", verdict="begun")
    coasts.live = before
    assert coasts.versions() == ["v2", "v1"]
    assert coasts.chosen() == "v1"


def test_what_runs_and_is_not_good_gives_way_to_the_last_good_version(coasts: Coasts) -> None:
    coasts.deployed("v1", "eu", "us")
    coasts.deployed("v2", "eu", "us")
    coasts.deployed("v3", "eu", "us", verdict="unhealthy")
    assert coasts.chosen() == "v2"


def test_a_second_rollback_says_that_there_was_one(coasts: Coasts) -> None:
    coasts.deployed("v1", "eu", "us")
    coasts.deployed("v2", "eu", "us")
    coasts.deployed("v3", "eu", "us")
    assert coasts.chosen() == "v2"
    coasts.deployed("v2", "eu", "us", action="rollback")
    with pytest.raises(Refused, match="app runs v2, which run run-4 has restored"):
        coasts.chosen()
    assert coasts.chosen("v1") == "v1"


def test_after_a_rollback_and_another_good_deploy_it_goes_back_as_ever(coasts: Coasts) -> None:
    coasts.deployed("v1", "eu", "us")
    coasts.deployed("v1", "eu", "us", action="rollback")
    coasts.deployed("v2", "eu", "us")
    assert coasts.chosen() == "v1"


def test_while_a_bad_version_is_being_deployed_the_one_that_still_serves_is_what_to_go_back_to(
    coasts: Coasts,
) -> None:
    coasts.deployed("v1", "eu", "us")
    coasts.deployed("v2", "eu", "us")
    assert (coasts.chosen(), coasts.chosen(busy=True)) == ("v1", "v2")
    coasts.live = {
        region: replace(live, moving=True)
        for region, live in coasts.live.items()
        if isinstance(live, LiveVersion)
    }
    assert coasts.chosen() == "v2"


def test_versions_whose_image_is_gone_are_skipped_and_marked(coasts: Coasts) -> None:
    for version in ("v1", "v2", "v3"):
        coasts.deployed(version, "eu", "us")
    coasts.images = {"sha256:v2-us": False}
    assert [
        (candidate.record.version, candidate.gone) for candidate in coasts.choice().candidates
    ] == [
        ("v3", False),
        ("v2", True),
        ("v1", False),
    ]
    assert (coasts.chosen(), coasts.chosen("v2")) == ("v1", "v2")
    coasts.images |= {"sha256:v1-eu": False}
    with pytest.raises(Refused, match="the images of all other good versions are gone"):
        coasts.chosen()


def test_an_image_that_nobody_could_look_for_is_not_taken_for_gone(
    coasts: Coasts, monkeypatch: pytest.MonkeyPatch
) -> None:
    coasts.deployed("v1", "eu", "us")
    coasts.deployed("v2", "eu", "us")
    coasts.images = {"sha256:v1-eu": None}
    assert ([candidate.gone for candidate in coasts.choice().candidates], coasts.chosen()) == (
        [False, None],
        "v1",
    )

    def blind(
        job: Job, details: Sequence[Mapping[str, str]], ports: Ports
    ) -> tuple[bool | None, ...]:
        raise Unreachable(call="ecr", reason="timed out")

    monkeypatch.setattr(app, "restorable", blind)
    assert ([candidate.gone for candidate in coasts.choice().candidates], coasts.chosen()) == (
        [None, None],
        "v1",
    )


def test_who_is_at_work_on_a_target_is_known_by_its_lock(coasts: Coasts) -> None:
    order = DeployRequest(folder=str(coasts.folder), targets=("app",), action=JobAction.ROLLBACK)
    locks = open_locks(open_store("p", coasts.ports.root), Location("dev", "us"), coasts.ports)
    assert deploying_run(order, None, coasts.ports) is None
    for action, name, known_names in (
        ("deploy", "app", True),
        ("", "app", True),
        ("rollback", "app", False),
        ("deploy", "api", False),
    ):
        by = holder("run-1", "toolkit deploy app", coasts.ports.clock.now(), action=action)
        held = locks.take([f"dev/us/{name}"], by, 0, lambda name, by: None)
        assert (deploying_run(order, None, coasts.ports) is not None) is known_names, (action, name)
        held.release()
    assert deploying_run(order, None, coasts.ports) is None


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
    before = last_good_before(records, deployed)
    assert (before and before.version) == back
