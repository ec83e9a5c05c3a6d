"""Objects under conditions, and what a refusal means."""

import pytest

from tests.record.bucket import OWNER, BucketState
from toolkit.errors import Missing, NotAllowed, Refused, Unreachable
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.s3 import Bucket


def test_an_object_is_made_changed_and_deleted_by_its_etag_only(
    s3: BucketState, bucket: Bucket
) -> None:
    assert bucket.get("a", 100) is None
    first = bucket.put("a", b"one", None)
    assert first is not None
    assert bucket.put("a", b"two", None) is None
    assert bucket.put("a", b"two", '"other"') is None
    second = bucket.put("a", b"two", first)
    assert second is not None
    assert not bucket.delete("a", first)
    actual = bucket.get("a", 100)
    assert actual is not None
    assert (actual.body, actual.etag) == (b"two", second)
    assert bucket.delete("a", second)
    assert not s3.objects
    assert not bucket.delete("a", second)
    assert bucket.put("a", b"three", second) is None, "what is gone is not changed"
    assert s3.owners == {OWNER}


def test_an_object_is_read_up_to_a_bound_and_aged_by_the_servers_clock(
    s3: BucketState, bucket: Bucket
) -> None:
    s3.put("team/a", b"x" * 1_000_000)
    s3.clock.pass_(90)
    actual = bucket.get("a", 10)
    assert actual is not None
    assert len(actual.body) == 11
    assert (actual.now - actual.modified).total_seconds() == 90


def test_keys_are_those_below_the_prefix(s3: BucketState, bucket: Bucket) -> None:
    for key in ("team/live/a", "team/live/b", "team/locks/c", "live/d"):
        s3.put(key, b"")
    assert list(bucket.keys("live/")) == ["live/a", "live/b"]


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("s3://state", "s3://state/k"),
        ("s3://state/", "s3://state/k"),
        ("s3://state/a/b", "s3://state/a/b/k"),
        ("s3://state/a/", "s3://state/a/k"),
    ],
)
def test_an_address_is_a_bucket_and_a_prefix(address: str, named: str) -> None:
    assert Bucket(Aws(), address).address("k") == named


@pytest.mark.parametrize("address", ["state", "s3:/state", "s3://", "https://state"])
def test_another_address_is_refused(address: str) -> None:
    with pytest.raises(Refused, match="not an address of a store"):
        Bucket(Aws(), address)


def test_a_refusal_names_the_action_and_the_place(s3: BucketState, bucket: Bucket) -> None:
    s3.refuse["PUT"] = (403, "AccessDenied")
    with pytest.raises(NotAllowed) as problem:
        bucket.put("a", b"", None)
    assert problem.value.facts == {
        "action": "s3:PutObject",
        "resource": "s3://state/team/*",
        "denied": "",
    }


def test_a_bucket_of_another_account_is_not_used(s3: BucketState, aws: Aws) -> None:
    """S29."""
    with pytest.raises(NotAllowed):
        Bucket(aws, "s3://state", "999999999999").put("a", b"", None)
    assert not s3.objects


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        ((404, "NoSuchBucket"), Missing, "there is no bucket state"),
        ((501, "NotImplemented"), Refused, "does not do conditional writes"),
        ((400, "MalformedXML"), None, "MalformedXML"),
    ],
)
def test_what_a_store_says_is_told_in_our_words(
    s3: BucketState,
    bucket: Bucket,
    answer: tuple[int, str],
    error: type[Exception] | None,
    words: str,
) -> None:
    s3.refuse = dict.fromkeys(("PUT", "GET", "DELETE"), answer)
    for use in (
        lambda: bucket.put("a", b"", None),
        lambda: bucket.get("a", 1),
        lambda: bucket.delete("a", '"x"'),
    ):
        with pytest.raises(error or Exception, match=words):
            use()
    with pytest.raises(error or Exception, match=words):
        list(bucket.keys(""))


def test_a_write_without_patience_is_tried_once(s3: BucketState, bucket: Bucket) -> None:
    s3.lose = ["PUT"]
    with pytest.raises(Unreachable):
        bucket.put("a", b"one", None, patient=False)
    assert s3.calls == ["PUT team/a"]


def test_a_lost_answer_to_a_patient_write_looks_like_somebody_elses(
    s3: BucketState, bucket: Bucket
) -> None:
    s3.lose = ["PUT"]
    assert bucket.put("a", b"one", None) is None
    assert s3.body("team/a") == b"one"
