"""What is live: nothing that went well is forgotten, in whatever order and from wherever it is
written.
"""

import errno
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.record.bucket import OWNER, BucketState
from tests.record.parts import Broken, make_store
from toolkit.errors import (
    AnotherProject,
    FileProblem,
    NotAllowed,
    Refused,
    StateDamaged,
    ToolkitError,
)
from toolkit.exits import Exit
from toolkit.operations import GOOD, DeployedState
from toolkit.ports.aws.s3 import Bucket
from toolkit.ports.disk import Disk
from toolkit.record.ledger import (
    BEGUN,
    FEWEST,
    FILE_MOST,
    MAX_GOOD_DEPLOYS,
    Ledger,
    LedgerContents,
    LocalLedger,
    Record,
    Scope,
    SharedLedger,
    add,
    decode,
    encode,
    merge,
)
from toolkit.record.state import Store
from toolkit.show.advice import sentence

SCOPE = Scope(account=OWNER, region="eu-west-1", environment="dev")
KEY = f"team/record/aws/-/{OWNER}/eu-west-1/dev/app.json"
HERE = f"record/aws/-/{OWNER}/eu-west-1/dev"


def record(
    run: str,
    verdict: str = "succeeded",
    when: str = "2026-11-20T12:00:00+00:00",
    target: str = "app",
    n: int = 0,
) -> Record:
    return Record(
        target,
        "dev",
        "eu-west-1",
        f"v-{run}",
        "abc",
        "fff",
        run,
        when,
        verdict,
        {"image": "app@sha256:1"},
        n,
        account=OWNER,
    )


def local(store: Store, disk: Disk | None = None) -> LocalLedger:
    return LocalLedger(store, SCOPE, disk)


def runs(records: Sequence[Record]) -> list[str]:
    return [record.run for record in records]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "store")


@pytest.fixture
def shared(store: Store, bucket: Bucket) -> SharedLedger:
    return SharedLedger(local(store), bucket)


RECORDS = st.lists(
    st.builds(
        record,
        st.sampled_from("abcdefgh"),
        st.sampled_from(("succeeded", "unchanged", "failed", "in-doubt")),
        st.sampled_from(("2026-11-20T11", "2026-11-20T12", "2026-11-20T13")),
        n=st.integers(1, 9),
    ),
    max_size=12,
)


@given(st.lists(RECORDS, max_size=4))
def test_merging_loses_no_good_deploy_and_never_minds_the_order(lists: list[list[Record]]) -> None:
    items = merge(*lists)
    everything = [item for records in lists for item in records]
    newest = {
        run: max(
            (item for item in everything if item.run == run),
            key=lambda item: (item.n, item.when, item.verdict),
        )
        for run in "abcdefgh"
        if any(item.run == run for item in everything)
    }
    assert {item.run for item in items} >= {
        run for run, item in newest.items() if item.verdict in GOOD
    }
    assert all(item == newest[item.run] for item in items)
    assert items == merge(*reversed(lists)) == merge(items, *lists)
    assert [item.n for item in items] == sorted((item.n for item in items), reverse=True)
    assert all(item.verdict in GOOD for item in items[1:])


@given(st.lists(st.sampled_from(("succeeded", "failed")), max_size=MAX_GOOD_DEPLOYS + 20))
def test_the_last_fifty_good_ones_are_kept_and_the_newest(verdicts: list[str]) -> None:
    records: tuple[Record, ...] = ()
    for number, verdict in enumerate(verdicts):
        records = add(records, record(f"r{number}", verdict))
    good = [f"r{number}" for number, verdict in enumerate(verdicts) if verdict == "succeeded"][
        ::-1
    ][:MAX_GOOD_DEPLOYS]
    assert [item.run for item in records if item.verdict == "succeeded"] == good
    assert [item.run for item in records[:1]] == [f"r{len(verdicts) - 1}"] * bool(verdicts)


def test_what_is_very_long_is_kept_without_the_oldest_so_that_it_can_be_read_again() -> None:
    stacks = {f"stack Stack-{number}": "r" * 20 for number in range(2000)}
    records = [replace(record(f"r{n:02}", n=n), detail=stacks) for n in range(50, 0, -1)]
    data = encode(records)
    assert len(data) <= FILE_MOST
    kept, _ = decode(data, "file")
    assert [entry.run for entry in kept] == [entry.run for entry in records][: len(kept)]
    assert len(kept) >= FEWEST


def test_a_wrong_clock_does_not_change_what_is_live(store: Store) -> None:
    """H5: order is by what was written after what."""
    ledger = local(store)
    ledger.put(record("early", when="2026-11-20T13:00:00+00:00"))
    ledger.put(record("late", when="2026-11-20T12:00:00+00:00"))
    assert [item.run for item in ledger.get("app")] == ["late", "early"]


def test_a_run_that_is_resumed_corrects_its_own_record(store: Store) -> None:
    ledger = local(store)
    ledger.put(record("a", "in-doubt"))
    ledger.put(record("a", "succeeded"))
    assert [(item.run, item.verdict) for item in ledger.get("app")] == [("a", "succeeded")]


def test_targets_have_records_of_their_own(store: Store) -> None:
    ledger = local(store)
    for record_ in (record("a"), record("b", target="api")):
        ledger.put(record_)
    assert {name: runs(records) for name, records in ledger.all().records.items()} == {
        "app": ["a"],
        "api": ["b"],
    }
    assert ledger.behind is None


def begins(run: str, verdict: str = BEGUN) -> Record:
    """A run that is about to change what runs."""
    return record(run, verdict)


def told(records: Sequence[Record]) -> list[tuple[str, str, bool]]:
    return [(item.run, item.verdict, item.unsure) for item in records]


def test_a_deploy_that_has_begun_stands_above_all_others_until_its_end_is_known(
    store: Store,
) -> None:
    ledger = local(store)
    ledger.put(record("a"))
    ledger.begin(begins("b"))
    assert told(ledger.get("app")) == [("b", BEGUN, True), ("a", "succeeded", False)]
    ledger.put(record("b"))
    assert told(ledger.get("app")) == [("b", "succeeded", False), ("a", "succeeded", False)]


def test_a_deploy_that_is_said_to_begin_twice_stands_there_once(store: Store) -> None:
    ledger = local(store)
    ledger.put(record("a"))
    ledger.begin(begins("b"))
    before = ledger.get("app")
    ledger.begin(begins("b"))
    assert ledger.get("app") == before


def test_a_deploy_that_goes_on_after_its_end_was_recorded_is_in_doubt_again(store: Store) -> None:
    ledger = local(store)
    ledger.put(record("a"))
    for verdict in ("rolled-back", "succeeded"):
        ledger.put(record("b", verdict))
        ledger.begin(begins("b"))
        assert told(ledger.get("app")) == [("b", BEGUN, True), ("a", "succeeded", False)]


@pytest.mark.parametrize("others", [1, 2])
def test_what_was_in_doubt_before_several_deploys_began_stays_so_when_they_give_way(
    store: Store, others: int
) -> None:
    ledger = local(store)
    ledger.put(record("a"))
    ledger.put(replace(record("b", "failed"), unsure=True))
    for number in range(others):
        ledger.begin(begins(f"c{number}"))
        ledger.put(record(f"c{number}", "rolled-back"))
    assert told(ledger.get("app")) == [
        (f"c{others - 1}", "rolled-back", True),
        ("a", "succeeded", False),
    ]


def test_the_end_of_a_deploy_counts_more_than_its_beginning_whatever_time_it_was() -> None:
    ended = record("b", "failed", when="2026-11-20T11:00:00+00:00", n=2)
    beginning = record("b", BEGUN, when="2026-11-20T12:00:00+00:00", n=2)
    assert merge([beginning], [ended]) == merge([ended], [beginning]) == (ended,)


def test_a_deploy_that_begins_on_a_copy_of_a_store_that_is_not_named_any_more_leaves_it_in_doubt(
    store: Store, shared: SharedLedger
) -> None:
    """Others went on writing there."""
    shared.put(record("a"))
    local(store).begin(begins("b"))
    local(store).put(record("b", "rolled-back"))
    assert told(local(store).get("app")) == [("b", "rolled-back", True), ("a", "succeeded", False)]


def test_a_deploy_that_has_begun_is_known_to_all_who_share_the_bucket(
    store: Store, bucket: Bucket
) -> None:
    theirs = Store(f"{store.folder}-theirs")
    Path(theirs.folder).mkdir(mode=0o700)
    SharedLedger(local(theirs), bucket).put(record("a"))
    SharedLedger(local(store), bucket).begin(begins("b"))
    assert told(SharedLedger(local(theirs), bucket).all().records["app"]) == [
        ("b", BEGUN, True),
        ("a", "succeeded", False),
    ]
    assert told(local(store).get("app")) == [("b", BEGUN, True), ("a", "succeeded", False)]


def test_the_first_deploy_that_begins_with_a_store_takes_this_machines_record_there(
    store: Store, shared: SharedLedger
) -> None:
    local(store).put(record("a"))
    shared.begin(begins("b"))
    assert told(shared.get("app")) == [("b", BEGUN, True), ("a", "succeeded", False)]


def test_an_end_that_could_not_be_sent_is_sent_when_the_next_deploy_begins(
    store: Store, shared: SharedLedger, s3: BucketState
) -> None:
    shared.put(record("a"))
    shared.begin(begins("b"))
    local(store).put_copy(record("b"))  # the bucket was away
    assert told(shared.get("app"))[0] == ("b", BEGUN, True)
    shared.begin(begins("c"))
    assert told(shared.get("app")) == [
        ("c", BEGUN, True),
        ("b", "succeeded", False),
        ("a", "succeeded", False),
    ]


def test_a_deploy_whose_record_is_damaged_is_not_said_to_have_begun(
    shared: SharedLedger, s3: BucketState
) -> None:
    s3.put(KEY, b"{")
    with pytest.raises(StateDamaged):
        shared.begin(begins("b"))
    assert s3.body(KEY) == b"{"


ELSEWHERE = {
    "another provider": Scope("render", None, OWNER, "eu-west-1", "dev"),
    "another endpoint": Scope("aws", "http://127.0.0.1:4566", OWNER, "eu-west-1", "dev"),
    "another account": Scope("aws", None, "222222222222", "eu-west-1", "dev"),
    "another region": Scope("aws", None, OWNER, "eu-central-1", "dev"),
    "another environment": Scope("aws", None, OWNER, "eu-west-1", "prod"),
    "no environment": Scope("aws", None, OWNER, "eu-west-1", None),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_deploy_to_another_place_is_not_seen(store: Store, bucket: Bucket, name: str) -> None:
    for ledger, second in (
        (local(store), LocalLedger(store, ELSEWHERE[name])),
        (
            SharedLedger(local(store), bucket),
            SharedLedger(LocalLedger(store, ELSEWHERE[name]), bucket),
        ),
    ):
        ledger.put(record("a"))
        assert second.get("app") == ()
        assert second.all() == LedgerContents()


def test_where_no_account_is_named_the_only_one_counts_and_of_several_none(
    store: Store, bucket: Bucket
) -> None:
    anywhere = Scope(environment="dev")
    local(store).put(record("a"))
    SharedLedger(local(store), bucket).put(record("a"))
    for ledger in (
        LocalLedger(store, anywhere),
        SharedLedger(LocalLedger(store, anywhere), bucket),
    ):
        assert runs(ledger.get("app")) == ["a"]
        ledger.put(replace(record("b"), account="222222222222"))
        with pytest.raises(
            Refused, match="app is recorded in 111111111111 eu-west-1, 222222222222 eu-west-1"
        ):
            ledger.get("app")
        assert "app is recorded in" in sentence(ledger.all().damaged["app"])
        assert ledger.all().records == {}


def test_nothing_was_deployed_yet(store: Store, shared: SharedLedger) -> None:
    assert local(store).all() == shared.all() == LedgerContents()


@pytest.mark.parametrize("number", range(1, 4))
def test_a_full_disk_leaves_the_record_of_before(store: Store, number: int) -> None:
    """T8."""
    local(store).put(record("a"))
    disk = Broken(number, errno.ENOSPC, times=100)
    with suppress(FileProblem):
        local(store, disk).put(record("b"))
    assert disk.failed
    assert [item.run for item in local(store).get("app")][-1] == "a"
    assert [path.name for path in Path(store.path(HERE)).iterdir()] == ["app.json"]


def test_many_writers_lose_nothing(store: Store, bucket: Bucket, s3: BucketState) -> None:
    """The bucket's file is read again whenever somebody else was faster."""
    ledgers: list[Ledger] = [local(store), SharedLedger(local(store), bucket)]
    for ledger in ledgers:
        threads = [
            Thread(target=ledger.put, args=(record(f"r{number}", target="app"),))
            for number in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        actual = ledger.get("app")
        assert {item.run for item in actual} == {f"r{number}" for number in range(8)}
        assert sorted(item.n for item in actual) == list(range(1, 9)) or ledger is not ledgers[0]


def test_the_bucket_is_the_truth_and_the_copy_follows(
    store: Store, shared: SharedLedger, s3: BucketState
) -> None:
    shared.put(record("a"))
    s3.put(KEY, encode(add(decode(s3.body(KEY), "x")[0], record("b"))))
    assert [item.run for item in shared.get("app")] == ["b", "a"]
    assert [item.run for item in local(store).get("app")] == ["b", "a"]
    assert [item.run for item in shared.all().records["app"]] == ["b", "a"]
    assert shared.behind is None


def test_without_the_bucket_the_copy_answers_and_says_so(
    shared: SharedLedger, s3: BucketState
) -> None:
    shared.put(record("a"))
    s3.refuse["GET"] = (500, "InternalError")
    assert [item.run for item in shared.get("app")] == ["a"]
    assert "s3:GetObject" in (shared.behind or "")


def test_what_the_bucket_could_not_take_comes_with_the_next_one(
    shared: SharedLedger, s3: BucketState
) -> None:
    s3.refuse["PUT"] = (403, "AccessDenied")
    with pytest.raises(NotAllowed):
        shared.put(record("a"))
    s3.refuse.clear()
    shared.put(record("b"))
    assert [item.run for item in decode(s3.body(KEY), "x")[0]] == ["b", "a"]


def test_a_damaged_copy_does_not_keep_a_record_from_the_bucket(
    store: Store, shared: SharedLedger, s3: BucketState
) -> None:
    shared.put(record("a"))
    Path(store.path(HERE, "app.json")).write_text("{")
    shared.put(record("b"))
    assert [item.run for item in shared.get("app")] == ["b", "a"]
    with pytest.raises(StateDamaged):
        local(store).get("app")


HOSTILE = {
    "no JSON": b"{",
    "nothing": b"",
    "a list": b"[]",
    "another version": b'{"v": 3, "records": []}',
    "another target": encode([record("a", target="db")]),
    "another account": encode([replace(record("a"), account="222222222222")]),
    "a field of another type": encode([record("a")]).replace(b'"when": "', b'"when": 1, "x": "'),
    "null": b"null",
    "a field without end": encode([replace(record("a"), who="x" * 5000)]),
    "ten megabytes": b" " * 10_000_000,
    "deep nesting": b"[" * 100_000,
    "too many": encode([record(f"r{number}") for number in range(1001)]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_record_that_makes_no_sense_is_named_and_left_alone(
    store: Store, shared: SharedLedger, s3: BucketState, name: str
) -> None:
    s3.put(KEY, HOSTILE[name])
    with pytest.raises(
        StateDamaged, match=r"s3://state/team/record/aws/-/111111111111/eu-west-1/dev/app\.json"
    ):
        shared.get("app")
    with pytest.raises(ToolkitError):
        shared.put(record("b"))
    assert s3.body(KEY) == HOSTILE[name]


def test_a_damaged_object_costs_only_its_own_target(
    store: Store, shared: SharedLedger, s3: BucketState
) -> None:
    shared.put(record("a"))
    shared.put(record("b", target="api"))
    s3.put(KEY, b"{")
    Path(store.path(HERE, "app.json")).write_text("{")
    for contents in (local(store).copies(), shared.all()):
        assert runs(contents.records["api"]) == ["b"]
        assert sentence(contents.damaged["app"]).startswith("its record is damaged: ")


def test_repair_puts_a_damaged_object_aside_and_takes_this_machines_copy(
    store: Store, shared: SharedLedger, s3: BucketState
) -> None:
    shared.put(record("a"))
    s3.put(KEY, b"{")
    done = shared.repair("app")
    assert "this machine's copy (1 deploys) took its place" in done
    assert runs(shared.get("app")) == ["a"]
    [aside] = [key for key in s3.objects if key.startswith("team/damaged/")]
    assert s3.body(aside) == b"{"


def test_repair_without_a_copy_leaves_nothing_recorded(
    store: Store, shared: SharedLedger, s3: BucketState
) -> None:
    s3.put(KEY, b"{")
    assert "it has no record now" in shared.repair("app")
    assert shared.all() == LedgerContents()
    assert shared.repair("app") == "nothing in the store is damaged"


def test_the_record_of_another_project_is_told_apart_from_a_damaged_one(
    store: Store, bucket: Bucket, tmp_path: Path
) -> None:
    theirs = SharedLedger(local(make_store(tmp_path / "theirs")), bucket, "crm")
    theirs.put(record("c1"))
    ledger_contents = SharedLedger(local(store), bucket, "shop").all()
    assert (list(ledger_contents.damaged), list(ledger_contents.foreign)) == (["app"], ["app"])
    assert runs(theirs.get("app")) == ["c1"]


PROGRAM = "$(touch${IFS}x)"
"""A name that is one word, and a program to a shell."""


def test_a_name_that_others_chose_is_quoted_in_the_command_that_repairs_it(
    store: Store, bucket: Bucket, s3: BucketState, tmp_path: Path
) -> None:
    theirs = SharedLedger(local(make_store(tmp_path / "theirs")), bucket, "crm")
    theirs.put(record("c1", target=PROGRAM))
    ours = SharedLedger(local(store), bucket, "shop")
    with pytest.raises(AnotherProject) as refused:
        ours.get(PROGRAM)
    assert refused.value.exit == Exit.USAGE
    assert sentence(refused.value.next).endswith(f"toolkit record repair '{PROGRAM}'")
    [key] = s3.objects
    s3.put(key, b"{")
    [why] = ours.all().damaged.values()
    assert sentence(why).endswith(f"toolkit record repair '{PROGRAM}'")


@pytest.mark.parametrize("field", ["run", "verdict", "version", "target"])
def test_a_name_with_blanks_is_none_for_in_a_sentence_it_could_read_as_a_command(
    store: Store, field: str
) -> None:
    forged = replace(record("r1"), **{field: "x: toolkit lock release app"})
    with pytest.raises(StateDamaged):
        decode(encode([forged]), "app.json")


def test_what_is_found_unchanged_says_when_it_was_seen_and_is_no_deploy(store: Store) -> None:
    ledger = local(store)
    first = record("r1")
    ledger.put(first)
    ledger.put(replace(first, run="r2", verdict="unchanged", when="2026-11-21T12:00:00+00:00"))
    [only] = ledger.get("app")
    assert (only.run, only.when, only.seen) == (
        "r1",
        "2026-11-20T12:00:00+00:00",
        "2026-11-21T12:00:00+00:00",
    )


def test_repair_on_this_machine_keeps_what_was_damaged(store: Store) -> None:
    local(store).put(record("a"))
    path = Path(store.path(HERE, "app.json"))
    path.write_text("{")
    local(store).repair("app")
    assert Path(f"{path}.damaged").read_text() == "{"
    assert local(store).all() == LedgerContents()
    local(store).put(record("b"))
    assert runs(local(store).get("app")) == ["b"]


def test_adopting_a_store_keeps_what_this_machine_recorded(
    store: Store, shared: SharedLedger, s3: BucketState
) -> None:
    local(store).put(record("a"))
    assert runs(shared.get("app")) == ["a"]
    assert runs(shared.all().records["app"]) == ["a"]
    shared.put(record("b"))
    assert runs(decode(s3.body(KEY), "x")[0]) == ["b", "a"]


def test_a_copy_of_a_store_that_was_emptied_is_not_taken_for_the_record(
    store: Store, shared: SharedLedger, s3: BucketState
) -> None:
    shared.put(record("a"))
    s3.objects.clear()
    assert shared.get("app") == ()
    assert shared.all() == LedgerContents()


def test_the_time_is_that_of_the_store(shared: SharedLedger) -> None:
    shared.put(record("a", when="1999-01-01T00:00:00+00:00"))
    assert shared.get("app")[0].when == "2026-11-20T12:00:00+00:00"


def test_a_template_lies_beside_the_record_under_its_digest(
    store: Store, shared: SharedLedger, s3: BucketState
) -> None:
    shared.put(replace(record("a"), deployed=DeployedState(template="t", body="Resources: {}\n")))
    [receipt] = shared.get("app")
    assert (receipt.deployed.body, receipt.deployed.template) == ("", "t")
    assert b"Resources" not in s3.body(KEY)
    assert shared.body(receipt.body) == local(store).body(receipt.body) == "Resources: {}\n"
    Path(store.path("bodies", receipt.body)).unlink()
    assert shared.body(receipt.body) == "Resources: {}\n"
    assert local(store).body(receipt.body), "it is kept on this machine again"
    Path(store.path("bodies", receipt.body)).unlink()
    s3.put(f"team/bodies/{receipt.body}", b"another")
    with pytest.raises(StateDamaged):
        shared.body(receipt.body)


def test_a_run_that_changed_nothing_records_nothing_new(store: Store) -> None:
    ledger = local(store)
    ledger.put(replace(record("a"), version="v", deployed=DeployedState(definition="d")))
    ledger.put(
        replace(record("b", "unchanged"), version="v", deployed=DeployedState(definition="d"))
    )
    assert runs(ledger.get("app")) == ["a"]


def test_a_foreign_definition_under_the_same_version_is_not_recorded_as_good(store: Store) -> None:
    ledger = local(store)
    ledger.put(replace(record("a"), version="v", deployed=DeployedState(definition="d")))
    ledger.put(
        replace(record("b", "unchanged"), version="v", deployed=DeployedState(definition="foreign"))
    )
    assert [(item.run, item.deployed.definition) for item in ledger.get("app")] == [("a", "d")]


def test_what_is_seen_unchanged_after_a_doubt_ends_it(store: Store) -> None:
    ledger = local(store)
    ledger.put(replace(record("a"), version="v"))
    ledger.put(replace(record("b", "failed"), version="w", unsure=True))
    ledger.put(replace(record("c", "unchanged"), version="v"))
    assert [(item.run, item.unsure) for item in ledger.get("app")] == [("c", False), ("a", False)]


OLD = {
    "v": 1,
    "records": [
        {
            "target": "app",
            "environment": "dev",
            "region": "eu-west-1",
            "version": "v1",
            "commit": "c1",
            "fingerprint": "old",
            "run": "r1",
            "when": "2026-11-20T12:00:00+00:00",
            "verdict": "succeeded",
            "detail": {"image": "app@sha256:1"},
            "n": 1,
            "unsure": False,
        }
    ],
}


def test_what_an_earlier_version_recorded_is_no_record_and_can_still_be_read(
    store: Store, shared: SharedLedger, s3: BucketState
) -> None:
    Path(store.subfolder("live"), "dev%2Feu-west-1%2Fapp.json").write_text(json.dumps(OLD))
    Path(store.subfolder("live"), "dev%2Feu-west-1%2Fapi.json").write_text("{")
    s3.put("team/live/dev/eu-west-1/app.json", json.dumps(OLD).encode())
    for ledger in (local(store), shared):
        assert ledger.all() == LedgerContents()
        [earlier] = ledger.legacy_records()["app"]
        assert (earlier.version, earlier.fingerprint, earlier.origin) == ("v1", "", "seen")


def test_what_an_earlier_version_recorded_says_nothing_of_another_endpoint(store: Store) -> None:
    Path(store.subfolder("live"), "dev%2Feu-west-1%2Fapp.json").write_text(json.dumps(OLD))
    assert (
        LocalLedger(
            store, Scope(endpoint="http://127.0.0.1:4566", environment="dev")
        ).legacy_records()
        == {}
    )
    assert LocalLedger(store, Scope(environment="prod")).legacy_records() == {}
    assert (
        LocalLedger(store, Scope(environment="dev", region="eu-central-1")).legacy_records() == {}
    )


def test_a_target_whose_name_is_as_long_as_names_may_be_is_kept(store: Store) -> None:
    name = "ä" * 120
    local(store).put(record("a", target=name))
    assert runs(local(store).get(name)) == ["a"]
    assert list(local(store).all().records) == [name]


def test_a_copy_of_a_store_that_is_not_named_any_more_is_no_record(
    store: Store, shared: SharedLedger
) -> None:
    """Others went on writing to it."""
    shared.put(record("a"))
    contents = local(store).all()
    assert (
        contents.records,
        "a copy of s3://state/team/" in sentence(contents.damaged["app"]),
    ) == ({}, True)
    local(store).put(record("b"))
    assert runs(local(store).all().records["app"]) == ["b", "a"]


def test_what_this_machine_recorded_before_there_was_a_store_does_not_come_above_what_others_did(
    store: Store, bucket: Bucket
) -> None:
    """The order of two histories is not comparable."""
    for run in ("a1", "a2", "a3"):
        local(store).put(record(run))
    theirs = Store(f"{store.folder}-theirs")
    Path(theirs.folder).mkdir(mode=0o700)
    SharedLedger(local(theirs), bucket).put(record("b"))
    SharedLedger(local(store), bucket).put(record("c"))
    assert runs(SharedLedger(local(theirs), bucket).get("app")) == ["c", "b"]
    assert runs(local(store).get("app")) == ["c", "b"]
