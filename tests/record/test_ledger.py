"""What is live: nothing that went well is forgotten, in whatever order and from wherever it is written."""

import errno
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.record.bucket import S3
from tests.record.parts import Broken, store
from toolkit.errors import FileProblem, NotAllowed, StateDamaged, ToolkitError
from toolkit.model import GOOD
from toolkit.ports.aws.s3 import Bucket
from toolkit.record.ledger import KEPT, Ledger, Local, Record, Shared, added, decoded, encoded, merged
from toolkit.record.state import Store

KEY = "team/live/dev/eu-west-1/app.json"


def record(run: str, verdict: str = "succeeded", when: str = "2026-11-20T12:00:00+00:00", target: str = "app", n: int = 0) -> Record:
    return Record(target, "dev", "eu-west-1", f"v-{run}", "abc", "fff", run, when, verdict, {"image": "app@sha256:1"}, n)


@pytest.fixture
def here(tmp_path: Path) -> Store:
    return store(tmp_path / "store")


@pytest.fixture
def shared(here: Store, bucket: Bucket) -> Shared:
    return Shared(Local(here), bucket)


RECORDS = st.lists(
    st.builds(
        record, st.sampled_from("abcdefgh"), st.sampled_from(("succeeded", "unchanged", "failed", "in-doubt")),
        st.sampled_from(("2026-11-20T11", "2026-11-20T12", "2026-11-20T13")), n=st.integers(1, 9),
    ), max_size=12,
)  # fmt: skip


@given(st.lists(RECORDS, max_size=4))
def test_merging_loses_no_good_deploy_and_never_minds_the_order(lists: list[list[Record]]) -> None:
    found = merged(*lists)
    everything = [one for records in lists for one in records]
    newest = {run: max((one for one in everything if one.run == run), key=lambda one: (one.n, one.when, one.verdict)) for run in "abcdefgh" if any(one.run == run for one in everything)}  # fmt: skip  # noqa: E501
    assert {one.run for one in found} >= {run for run, one in newest.items() if one.verdict in GOOD}
    assert all(one == newest[one.run] for one in found)
    assert found == merged(*reversed(lists)) == merged(found, *lists)
    assert [one.n for one in found] == sorted((one.n for one in found), reverse=True)
    assert all(one.verdict in GOOD for one in found[1:])


@given(st.lists(st.sampled_from(("succeeded", "failed")), max_size=KEPT + 20))
def test_the_last_fifty_good_ones_are_kept_and_the_newest(verdicts: list[str]) -> None:
    records: tuple[Record, ...] = ()
    for number, verdict in enumerate(verdicts):
        records = added(records, record(f"r{number}", verdict))
    good = [f"r{number}" for number, verdict in enumerate(verdicts) if verdict == "succeeded"][::-1][:KEPT]
    assert [one.run for one in records if one.verdict == "succeeded"] == good
    assert [one.run for one in records[:1]] == [f"r{len(verdicts) - 1}"] * bool(verdicts)


def test_a_wrong_clock_does_not_change_what_is_live(here: Store) -> None:
    """H5: order is by what was written after what."""
    ledger = Local(here)
    ledger.put(record("early", when="2026-11-20T13:00:00+00:00"))
    ledger.put(record("late", when="2026-11-20T12:00:00+00:00"))
    assert [one.run for one in ledger.get("dev", "eu-west-1", "app")] == ["late", "early"]


def test_a_run_that_is_resumed_corrects_its_own_record(here: Store) -> None:
    ledger = Local(here)
    ledger.put(record("a", "in-doubt"))
    ledger.put(record("a", "succeeded"))
    assert [(one.run, one.verdict) for one in ledger.get("dev", "eu-west-1", "app")] == [("a", "succeeded")]


def test_targets_and_places_have_records_of_their_own(here: Store) -> None:
    ledger = Local(here)
    for one in (record("a"), record("b", target="api"), replace(record("c"), environment=None, region=None)):
        ledger.put(one)
    assert {name: [one.run for one in records] for name, records in ledger.all().items()} == {
        ("dev", "eu-west-1", "app"): ["a"], ("dev", "eu-west-1", "api"): ["b"], (None, None, "app"): ["c"],
    }  # fmt: skip
    assert ledger.get("prod", "eu-west-1", "app") == ()
    assert ledger.behind is None


def test_nothing_was_deployed_yet(here: Store, shared: Shared) -> None:
    assert Local(here).all() == shared.all() == {}


@pytest.mark.parametrize("at", range(1, 4))
def test_a_full_disk_leaves_the_record_of_before(here: Store, at: int) -> None:
    """T8."""
    Local(here).put(record("a"))
    disk = Broken(at, errno.ENOSPC, times=100)
    with suppress(FileProblem):
        Local(here, disk).put(record("b"))
    assert disk.failed
    assert [one.run for one in Local(here).get("dev", "eu-west-1", "app")][-1] == "a"
    assert sorted(path.suffix for path in Path(here.path("live")).iterdir()) == ["", ".json"]


def test_many_writers_lose_nothing(here: Store, bucket: Bucket, s3: S3) -> None:
    """The bucket's file is read again whenever somebody else was faster."""
    ledgers: list[Ledger] = [Local(here), Shared(Local(here), bucket)]
    for ledger in ledgers:
        threads = [Thread(target=ledger.put, args=(record(f"r{number}", target="app"),)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = ledger.get("dev", "eu-west-1", "app")
        assert {one.run for one in found} == {f"r{number}" for number in range(8)}
        assert sorted(one.n for one in found) == list(range(1, 9)) or ledger is not ledgers[0]


def test_the_bucket_is_the_truth_and_the_copy_follows(here: Store, shared: Shared, s3: S3) -> None:
    shared.put(record("a"))
    s3.put(KEY, encoded(added(decoded(s3.body(KEY), "x"), record("b"))))
    assert [one.run for one in shared.get("dev", "eu-west-1", "app")] == ["b", "a"]
    assert [one.run for one in Local(here).get("dev", "eu-west-1", "app")] == ["b", "a"]
    assert [one.run for one in shared.all()["dev", "eu-west-1", "app"]] == ["b", "a"]
    assert shared.behind is None


def test_without_the_bucket_the_copy_answers_and_says_so(shared: Shared, s3: S3) -> None:
    shared.put(record("a"))
    s3.refuse["GET"] = (500, "InternalError")
    assert [one.run for one in shared.get("dev", "eu-west-1", "app")] == ["a"]
    assert "s3:GetObject" in (shared.behind or "")


def test_what_the_bucket_could_not_take_comes_with_the_next_one(shared: Shared, s3: S3) -> None:
    s3.refuse["PUT"] = (403, "AccessDenied")
    with pytest.raises(NotAllowed):
        shared.put(record("a"))
    s3.refuse.clear()
    shared.put(record("b"))
    assert [one.run for one in decoded(s3.body(KEY), "x")] == ["b", "a"]


def test_a_damaged_copy_does_not_keep_a_record_from_the_bucket(here: Store, shared: Shared, s3: S3) -> None:
    shared.put(record("a"))
    next(Path(here.path("live")).glob("*.json")).write_text("{")
    shared.put(record("b"))
    assert [one.run for one in shared.get("dev", "eu-west-1", "app")] == ["b", "a"]
    with pytest.raises(StateDamaged):
        Local(here).get("dev", "eu-west-1", "app")


HOSTILE = {
    "no JSON": b"{",
    "nothing": b"",
    "a list": b"[]",
    "another version": b'{"v": 2, "records": []}',
    "another target": encoded([record("a", target="db")]),
    "ten megabytes": b" " * 10_000_000,
    "deep nesting": b"[" * 100_000,
    "too many": encoded([record(f"r{number}") for number in range(1001)]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_record_that_makes_no_sense_is_named_and_left_alone(here: Store, shared: Shared, s3: S3, name: str) -> None:
    s3.put(KEY, HOSTILE[name])
    with pytest.raises(StateDamaged, match=r"s3://state/team/live/dev/eu-west-1/app\.json"):
        shared.get("dev", "eu-west-1", "app")
    with pytest.raises(ToolkitError):
        shared.put(record("b"))
    assert s3.body(KEY) == HOSTILE[name]
