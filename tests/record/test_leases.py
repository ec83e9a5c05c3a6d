"""Locks in a bucket: one holder, whatever the network, the clocks and the others do (T5, T7, H4,
H7, S34).
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from time import monotonic

import pytest

from tests.record.bucket import BucketState
from tests.record.parts import ROUNDS, SkippingClock, make_store, seeded, someone
from tests.support.sandbox import Cloud
from toolkit.errors import LockHeld, LockLost, Refused, ToolkitError, Unreachable
from toolkit.ports import processes
from toolkit.ports.aws.s3 import Bucket
from toolkit.record.flocks import Flocks
from toolkit.record.holder import Holder, decode, holder
from toolkit.record.leases import EXPIRY_S, FENCE_S, RENEW_S, Lease, Leases
from toolkit.record.locks import HeldLocks, Locks

APP, API = "dev/eu-west-1/app", "dev/eu-west-1/api"
KEY = f"team/locks/{APP}.lock"


@pytest.fixture
def clock(s3: BucketState) -> SkippingClock:
    """One time for everybody."""
    s3.clock = SkippingClock()
    return s3.clock


@pytest.fixture
def locks(bucket: Bucket, clock: SkippingClock) -> Locks:
    return Locks([Leases(bucket, clock)], clock, lambda low, high: high)


def nobody(name: str, by: Holder) -> None:
    pytest.fail(f"told of {name}")


def take(locks: Locks, id: str, timeout_s: float = 0, *names: str) -> HeldLocks:
    return locks.take(names or (APP,), someone(id), timeout_s, lambda *_: None)


def attempt(bucket: Bucket, clock: SkippingClock, id: str) -> Lease | None:
    return Leases(bucket, clock).attempt(APP, someone(id))[0]


@pytest.fixture
def mine(bucket: Bucket, clock: SkippingClock) -> Lease:
    lease = attempt(bucket, clock, "mine")
    assert lease is not None
    return lease


def holder_of(s3: BucketState) -> str:
    return decode(s3.body(KEY), "").id


def until_renewed(s3: BucketState, before: bytes) -> None:
    """Wait for the heart, which is another thread."""
    end = monotonic() + 10
    while s3.body(KEY) == before:
        assert monotonic() < end, "it was not renewed"


def test_one_run_holds_a_target_until_it_releases_it(s3: BucketState, locks: Locks) -> None:
    first = take(locks, "1")
    with pytest.raises(LockHeld, match="ada@elsewhere"):
        take(locks, "2")
    first.check_fence()
    assert first.release() == ()
    assert first.release() == ()
    assert not s3.objects
    take(locks, "2").release()


def test_all_locks_are_taken_or_none(s3: BucketState, locks: Locks) -> None:
    first = take(locks, "1")
    with pytest.raises(LockHeld):
        take(locks, "2", 0, "a/a/a", APP, "z/z/z")
    assert list(s3.objects) == [KEY]
    first.release()


def test_the_lock_of_this_machine_comes_first(
    s3: BucketState, bucket: Bucket, clock: SkippingClock, tmp_path: Path
) -> None:
    both = Locks([Flocks(make_store(tmp_path / "store")), Leases(bucket, clock)], clock)
    first = take(both, "1")
    assert [(name, where) for name, _, where in both.show()] == [(APP, "local"), (APP, "remote")]
    calls = len(s3.calls)
    with pytest.raises(LockHeld):
        take(both, "2")
    assert len(s3.calls) == calls
    first.release()
    assert both.show() == []


def test_a_held_lock_is_renewed_by_itself(
    s3: BucketState, locks: Locks, clock: SkippingClock
) -> None:
    held = take(locks, "1")
    for _ in range(5):
        clock.until_somebody_waits()
        before = s3.body(KEY)
        clock.pass_(RENEW_S)
        until_renewed(s3, before)
    with pytest.raises(LockHeld):
        take(locks, "2")
    held.check_fence()
    held.release()
    assert not s3.objects


def test_each_renewal_has_an_etag_of_its_own(s3: BucketState, mine: Lease) -> None:
    """Otherwise who saw it expired could still take it by the etag of before."""
    etags = {s3.objects[KEY][1]}
    for _ in range(5):
        mine.renew()
        etags.add(s3.objects[KEY][1])
    assert len(etags) == 6


def test_an_expired_lock_is_taken_over_with_its_tokens(
    s3: BucketState, bucket: Bucket, locks: Locks, clock: SkippingClock
) -> None:
    Leases(bucket, clock).attempt(APP, someone("gone", tokens=("t1", "t2")))
    clock.pass_(EXPIRY_S)
    with pytest.raises(LockHeld):
        take(locks, "2")
    clock.pass_(1)
    held = take(locks, "2")
    assert [(item.id, item.tokens) for item in held.previous] == [("gone", ("t1", "t2"))]
    held.release()


def test_nobody_waits_longer_than_expiry_and_one_renewal(
    bucket: Bucket, locks: Locks, clock: SkippingClock
) -> None:
    attempt(bucket, clock, "gone")
    began = clock.elapsed()
    take(locks, "2", 1000).release()
    assert EXPIRY_S < clock.elapsed() - began <= EXPIRY_S + RENEW_S


def test_a_dead_process_of_this_machine_holds_nothing(
    bucket: Bucket, locks: Locks, clock: SkippingClock
) -> None:
    """K11."""
    me = processes.current_process()
    dead = someone("dead", host=me.host, boot=me.boot, pid=1 << 22, started="1")
    Leases(bucket, clock).attempt(APP, dead)
    held = take(locks, "2")
    assert [item.id for item in held.previous] == ["dead"]
    held.release()
    alive = holder("r", "toolkit", clock.now())
    Leases(bucket, clock).attempt(APP, alive)
    with pytest.raises(LockHeld):
        take(locks, "3")


def test_expiry_is_judged_by_the_servers_clock(
    s3: BucketState, bucket: Bucket, mine: Lease
) -> None:
    """H5: the other machine's clock is wrong by a day."""
    wrong = SkippingClock()
    wrong.jump(86400)
    assert Leases(bucket, wrong).attempt(APP, someone("2"))[0] is None
    assert holder_of(s3) == "mine"


# The holder stops itself


def test_after_a_sleep_that_nobody_used_it_goes_on(
    s3: BucketState, mine: Lease, clock: SkippingClock
) -> None:
    """H7, first half."""
    clock.pass_(86400)
    mine.check()
    assert holder_of(s3) == "mine"
    assert attempt_fails(s3)


def attempt_fails(s3: BucketState) -> bool:
    return (s3.clock.now() - s3.objects[KEY][2]).total_seconds() < 2


def test_after_a_sleep_in_which_somebody_took_it_nothing_new_is_begun(
    bucket: Bucket, mine: Lease, clock: SkippingClock
) -> None:
    """H7, second half."""
    clock.pass_(EXPIRY_S + 1)
    assert attempt(bucket, clock, "other") is not None
    with pytest.raises(LockLost, match="ada has taken it over"):
        mine.check()
    mine.release()
    assert attempt(bucket, clock, "third") is None, "the other's lock is not released by us"


def test_a_lock_that_somebody_released_is_lost_for_good(
    s3: BucketState, locks: Locks, clock: SkippingClock
) -> None:
    """H4."""
    held = take(locks, "1")
    [(name, by, _)] = locks.show()
    assert by is not None
    assert locks.force_release(name, by.id) == ("remote",)
    clock.pass_(FENCE_S + 1)
    for _ in range(2):
        with pytest.raises(LockLost, match="someone has released it"):
            held.check_fence()
    assert held.lost.is_set()
    assert held.release() == ()


def test_the_heart_finds_out_by_itself(s3: BucketState, locks: Locks, clock: SkippingClock) -> None:
    held = take(locks, "1")
    clock.until_somebody_waits()
    del s3.objects[KEY]
    clock.pass_(RENEW_S)
    assert held.lost.wait(10)
    with pytest.raises(LockLost):
        held.check_fence()
    held.release()


def test_without_a_network_it_stops_itself_long_before_others_may_begin(
    s3: BucketState, mine: Lease, clock: SkippingClock
) -> None:
    s3.refuse["PUT"] = (503, "ServiceUnavailable")
    with pytest.raises(Unreachable):
        mine.renew()
    clock.pass_(FENCE_S)
    mine.check()
    clock.pass_(1)
    with pytest.raises(LockLost, match="could not be renewed for 61 s"):
        mine.check()
    assert clock.elapsed() - 1000 < EXPIRY_S


def test_a_lost_answer_to_a_renewal_is_not_a_lost_lock(
    s3: BucketState, mine: Lease, clock: SkippingClock
) -> None:
    s3.lose = ["PUT"]
    with pytest.raises(Unreachable):
        mine.renew()
    mine.renew()
    clock.pass_(FENCE_S + 1)
    mine.check()
    assert mine.release() is None
    assert not s3.objects


def test_a_lost_answer_to_the_first_write_is_not_somebody_elses_lock(
    s3: BucketState, bucket: Bucket, clock: SkippingClock
) -> None:
    s3.lose = ["PUT"]
    lease = attempt(bucket, clock, "mine")
    assert lease is not None
    lease.renew()
    lease.release()
    assert not s3.objects


def test_what_cannot_be_released_is_told_not_raised(s3: BucketState, locks: Locks) -> None:
    held = take(locks, "1")
    s3.refuse["DELETE"] = (403, "AccessDenied")
    [notes] = held.release()
    assert APP in notes
    assert "s3:DeleteObject" in notes


# T7


def test_whatever_the_clocks_do_who_may_act_is_who_holds_it(
    s3: BucketState, bucket: Bucket, clock: SkippingClock
) -> None:
    """Jumps of an hour, sleeps up to a day, a network that comes and goes, and others who want it,
    in any order.
    """
    with seeded("clocks") as chance:
        for _ in range(6 * ROUNDS):
            s3.refuse.clear()
            s3.objects.clear()
            skipping_clock = SkippingClock()
            leases = Leases(bucket, skipping_clock)
            lease, _, _ = leases.attempt(APP, someone("mine"))
            assert lease is not None
            for _ in range(25):
                what = chance.choice(("jump", "sleep", "work", "network", "other", "renew"))
                if what == "jump":
                    skipping_clock.jump(chance.choice((-3600, 3600)))
                elif what in ("sleep", "work"):
                    seconds = (
                        chance.choice((1, 30, 61, 119, 122, 86400))
                        if what == "sleep"
                        else chance.uniform(0, 30)
                    )
                    skipping_clock.pass_(seconds)
                    clock.pass_(seconds)
                elif what == "network":
                    s3.refuse = {} if s3.refuse else {"PUT": (403, "AccessDenied")}
                elif what == "other" and not s3.refuse:
                    attempt(bucket, clock, "other")
                elif what == "renew":
                    with suppress(ToolkitError):
                        lease.renew()
                try:
                    lease.check()
                except LockLost:
                    continue
                assert holder_of(s3) == "mine"
                assert (clock.now() - s3.objects[KEY][2]).total_seconds() <= FENCE_S + 1


# T5


def test_of_many_runs_one_acts_whoever_sleeps_or_crashes(
    s3: BucketState, bucket: Bucket, clock: SkippingClock
) -> None:
    """An effect is made only after `check_fence`. Once another run has made one, those before it
    never make one again.
    """
    ports, acted, problems = Lock(), list[str](), list[BaseException]()
    rounds = 12 * ROUNDS

    def run(number: int, seed: int) -> None:
        from random import Random

        chance, mine = Random(seed), Locks([Leases(bucket, clock)], clock)
        try:
            for turn in range(rounds):
                id = f"{number}-{turn}"
                try:
                    held = mine.take([APP], someone(id), 0, nobody)
                except LockHeld:
                    with ports:
                        clock.pass_(chance.choice((1, 20, 61)))
                    continue
                crashed = chance.random() < 0.3
                try:
                    for _ in range(3):
                        with ports:
                            held.check_fence()
                            acted.append(id)
                        with ports:
                            clock.pass_(chance.choice((0, 5, 30)))
                except LockLost:
                    pass
                if crashed:
                    held._leases.clear()
                    held._locks = []
                held.release()
        except BaseException as problem:
            problems.append(problem)

    with seeded("leases") as chance:
        threads = [
            Thread(target=run, args=(number, chance.randrange(1 << 30))) for number in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not problems, problems
        order = [id for before, id in zip([None, *acted], acted, strict=False) if id != before]
        assert len(order) == len(set(order)), "somebody acted again after somebody else"
        assert len(order) > 4
        began = clock.elapsed()
        take(Locks([Leases(bucket, clock)], clock), "last", 1000).release()
        assert clock.elapsed() - began <= EXPIRY_S + RENEW_S


# Stores that are not fit, bodies that make no sense


def test_a_store_that_minds_no_conditions_is_refused(s3: BucketState, locks: Locks) -> None:
    s3.conditional = False
    with pytest.raises(Refused, match="does not do conditional writes"):
        take(locks, "1")
    assert not s3.objects


def test_a_store_that_does_not_know_conditions_is_refused(s3: BucketState, locks: Locks) -> None:
    s3.refuse["PUT"] = (501, "NotImplemented")
    with pytest.raises(Refused, match="does not do conditional writes"):
        take(locks, "1")


HOSTILE = {
    "ten megabytes": b"x" * 10_000_000,
    "no JSON": b"\x1b[2K{{{",
    "nothing": b"",
    "wrong types": b'{"who": 1}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_body_that_makes_no_sense_is_a_lock_all_the_same(
    s3: BucketState, locks: Locks, clock: SkippingClock, name: str
) -> None:
    """S34."""
    s3.put(KEY, HOSTILE[name])
    with pytest.raises(LockHeld, match="somebody since an unknown time"):
        take(locks, "1")
    [(actual, by, where)] = locks.show()
    assert (actual, where) == (APP, "remote")
    assert by is not None
    assert by.problem
    with pytest.raises(Refused, match="another holder"):
        locks.force_release(APP, "other")
    assert locks.force_release(APP, by.id) == ("remote",)
    s3.put(KEY, HOSTILE[name])
    clock.pass_(EXPIRY_S + 1)
    take(locks, "2").release()


def test_the_embedded_aws_keeps_the_same_promises(cloud: Cloud, clock: SkippingClock) -> None:
    """The same calls against another implementation of S3: conditions, etags, dates, release."""
    aws = cloud.aws()
    aws.write(
        "s3",
        "create_bucket",
        Bucket="team-state",
        CreateBucketConfiguration={"LocationConstraint": "eu-west-1"},
    )
    bucket = Bucket(aws, "s3://team-state/x", "111111111111")
    locks = Locks([Leases(bucket, clock)], clock)
    first = take(locks, "1", 0, APP, API)
    assert first.renew() == RENEW_S
    assert [(name, by and by.id) for name, by, _ in locks.show()] == [(API, "1"), (APP, "1")]
    with pytest.raises(LockHeld):
        take(locks, "2")
    assert locks.force_release(API, "1") == ("remote",)
    clock.pass_(FENCE_S + 1)
    with pytest.raises(LockLost, match="released"):
        first.check_fence()
    first.release()
    assert locks.show() == []
    for client in aws._clients.values():
        client.close()


@pytest.fixture(autouse=True)
def _no_heart_is_left() -> Iterator[None]:
    import threading

    before = threading.enumerate()  # tests of machines that die leave theirs behind
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    assert "leases" not in [thread.name for thread in left]
