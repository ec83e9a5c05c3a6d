"""A run that is asked to stop by one that undoes it: the wish stands in the lock, and is bounded by
one lease (J6).
"""

import json
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep

import pytest

from tests.record.bucket import BucketState
from tests.record.parts import SkippingClock, make_store, someone
from toolkit.errors import LockHeld, LockLost, Stopped
from toolkit.operations import JobAction
from toolkit.ports.aws.s3 import Bucket
from toolkit.record.flocks import Flocks
from toolkit.record.holder import (
    Holder,
    StopRequest,
    decode,
    encode,
    stop_request_in,
    with_stop_request,
)
from toolkit.record.leases import EXPIRY_S, RENEW_S, Lease, Leases
from toolkit.record.locks import STOP_REQUEST_S, HeldLocks, Locks

APP, API = "dev/eu-west-1/app", "dev/eu-west-1/api"
KEY = f"team/locks/{APP}.lock"
WISH = StopRequest("bob", "laptop", "r2", "toolkit rollback app")
SOON_S = 10.0


@pytest.fixture
def clock(s3: BucketState) -> SkippingClock:
    """One time for everybody."""
    s3.clock = SkippingClock()
    return s3.clock


@pytest.fixture
def locks(bucket: Bucket, clock: SkippingClock) -> Locks:
    return Locks([Leases(bucket, clock)], clock, lambda low, high: high)


def local(tmp_path: Path, clock: SkippingClock) -> Locks:
    return Locks([Flocks(make_store(tmp_path / "store"))], clock, lambda low, high: high)


def quiet(name: str, by: Holder) -> None:
    """Nobody is told."""


def undoing(id: str = "2") -> Holder:
    return someone(
        id,
        who="bob",
        host="laptop",
        run="r2",
        command="toolkit rollback app",
        action=JobAction.ROLLBACK,
    )


class Ear:
    """What a holder hears, and what it does then: let everything go."""

    def __init__(self, held: HeldLocks, lets_go: bool = True) -> None:
        self.heard: list[StopRequest] = []
        self.event = Event()
        self._held, self._lets_go = held, lets_go
        held.listen(self._hear)

    def _hear(self, wish: StopRequest) -> None:
        self.heard.append(wish)
        if self._lets_go:
            Thread(target=self._held.release).start()
        self.event.set()


def lease_of(held: HeldLocks) -> Lease:
    return held._leases[0]


# in a bucket


def test_a_holder_hears_at_its_next_renewal_that_it_is_to_stop(
    bucket: Bucket, clock: SkippingClock, locks: Locks
) -> None:
    held = locks.take([APP], someone("1"), 0, quiet)
    assert Leases(bucket, clock).request_stop(APP, "1", WISH)
    assert lease_of(held).stop_request is None
    held.renew()
    assert lease_of(held).stop_request == WISH
    held.check_fence()  # it is ours still
    held.release()


def test_the_wish_stays_in_the_lock_for_whoever_looks(
    s3: BucketState, bucket: Bucket, clock: SkippingClock, locks: Locks
) -> None:
    held = locks.take([APP], someone("1"), 0, quiet)
    Leases(bucket, clock).request_stop(APP, "1", WISH)
    held.renew()
    clock.pass_(RENEW_S)
    before = s3.objects[KEY][2]
    held.renew()
    assert s3.objects[KEY][2] == before, "who was asked to stop does not renew"
    assert (stop_request_in(s3.body(KEY)), decode(s3.body(KEY), "").id) == (WISH, "1")
    held.release()


def test_a_wish_is_written_once_for_each_write_makes_the_lease_last_longer(
    s3: BucketState, bucket: Bucket, clock: SkippingClock, locks: Locks
) -> None:
    held = locks.take([APP], someone("1"), 0, quiet)
    leases = Leases(bucket, clock)
    assert leases.request_stop(APP, "1", WISH)
    written = s3.body(KEY), s3.objects[KEY][2]
    clock.pass_(5)
    assert leases.request_stop(APP, "1", StopRequest("carol", "desk", "r3", "toolkit rollback app"))
    assert (s3.body(KEY), s3.objects[KEY][2]) == written
    held.release()


def test_another_holder_is_not_asked_in_place_of_the_one_that_was_meant(
    bucket: Bucket, clock: SkippingClock, locks: Locks
) -> None:
    held = locks.take([APP], someone("1"), 0, quiet)
    leases = Leases(bucket, clock)
    assert not leases.request_stop(APP, "another", WISH)
    assert not leases.request_stop(API, "1", WISH)
    held.renew()
    assert lease_of(held).stop_request is None
    held.release()


def test_the_next_holder_is_not_asked_by_a_wish_of_before(
    bucket: Bucket, clock: SkippingClock, locks: Locks, s3: BucketState
) -> None:
    first = Leases(bucket, clock).attempt(APP, someone("1"))[0]
    assert first is not None
    Leases(bucket, clock).request_stop(APP, "1", WISH)
    clock.pass_(EXPIRY_S + 1)
    second = locks.take([APP], someone("2"), 0, quiet)
    assert stop_request_in(s3.body(KEY)) is None
    second.renew()
    assert lease_of(second).stop_request is None
    second.release()


class _Walking(SkippingClock):
    """A clock on which a wait takes a moment, so that somebody else has one to listen."""

    def wait(self, seconds: float, wake: Event | None = None) -> bool:
        sleep(0.05)
        return super().wait(seconds, wake)


def test_who_undoes_gets_the_lock_once_its_holder_has_let_go(
    s3: BucketState, bucket: Bucket
) -> None:
    s3.clock = clock = _Walking()
    locks = Locks([Leases(bucket, clock)], clock, lambda low, high: high)
    held = locks.take([APP], someone("1"), 0, quiet)
    ear = Ear(held)
    lines: list[tuple[str, str]] = []
    got: list[HeldLocks] = []
    taking = Thread(
        target=lambda: got.append(
            locks.take(
                [APP],
                undoing(),
                0,
                quiet,
                on_stop_request=lambda name, by: lines.append((name, by.id)),
            )
        )
    )
    taking.start()
    taking.join(SOON_S)
    assert (got[0].names, lines, [item.who for item in ear.heard]) == (
        (APP,),
        [(APP, "1")],
        ["bob"],
    )
    got[0].release()


def test_a_holder_that_has_heard_renews_no_more_and_is_waited_for_no_longer_than_its_lease(
    s3: BucketState, bucket: Bucket, clock: SkippingClock, locks: Locks
) -> None:
    held = locks.take([APP], someone("1"), 0, quiet)
    ear = Ear(held, lets_go=False)  # it hangs
    began = clock.elapsed()
    second = locks.take([APP], undoing(), 0, quiet, on_stop_request=quiet)
    assert clock.elapsed() - began <= STOP_REQUEST_S
    assert decode(s3.body(KEY), "").id == "2"
    assert ear.event.wait(SOON_S) or not ear.heard
    clock.pass_(EXPIRY_S)
    with pytest.raises(LockLost):
        held.check_fence()
    second.release()
    held.release()


def test_a_dead_holder_that_was_asked_is_taken_over_within_one_lease(
    bucket: Bucket, clock: SkippingClock, locks: Locks
) -> None:
    assert Leases(bucket, clock).attempt(APP, someone("1"))[0] is not None  # nobody renews it
    clock.pass_(EXPIRY_S - 10)
    began = clock.elapsed()
    second = locks.take([APP], undoing(), 0, quiet, on_stop_request=quiet)
    assert clock.elapsed() - began <= STOP_REQUEST_S
    assert [by.id for by in second.previous] == ["1"]
    second.release()


def test_a_holder_of_the_version_before_is_asked_for_one_lease_and_no_longer(
    s3: BucketState, clock: SkippingClock, locks: Locks
) -> None:
    """It knows nothing of wishes, and renews."""
    held = locks.take([APP], someone("1"), 0, quiet)
    lease = lease_of(held)
    renew = lease.renew

    def forgetful(older_than_s: float | None = None) -> None:
        renew(older_than_s)
        lease.stop_request = None

    lease.renew = forgetful  # type: ignore[method-assign]
    stop = Event()

    def beat() -> None:
        while not stop.wait(0.3):
            held.renew()

    beating = Thread(target=beat)
    beating.start()
    began = clock.elapsed()
    try:
        with pytest.raises(LockHeld, match="ada@elsewhere"):
            locks.take([APP], undoing(), 0, quiet, on_stop_request=quiet)
    finally:
        stop.set()
        beating.join()
        held.release()
    assert STOP_REQUEST_S <= clock.elapsed() - began < STOP_REQUEST_S + 2 * RENEW_S


@pytest.mark.parametrize("action", ["", "deploy"])
def test_without_a_wish_nobody_is_asked(s3: BucketState, locks: Locks, action: str) -> None:
    held = locks.take([APP], someone("1"), 0, quiet)
    with pytest.raises(LockHeld):
        locks.take([APP], someone("2", action=action), 0, quiet)
    assert stop_request_in(s3.body(KEY)) is None
    held.release()


def test_two_that_undo_something_do_not_undo_each_other(s3: BucketState, locks: Locks) -> None:
    held = locks.take([APP], undoing("1"), 0, quiet)
    with pytest.raises(LockHeld):
        locks.take(
            [APP],
            undoing("2"),
            0,
            quiet,
            on_stop_request=lambda name, by: pytest.fail("it was asked"),
        )
    assert stop_request_in(s3.body(KEY)) is None
    held.release()


def test_who_waits_for_a_holder_to_stop_can_be_stopped_itself(locks: Locks) -> None:
    held = locks.take([APP], someone("1"), 0, quiet)
    stop = Event()
    with pytest.raises(Stopped):
        locks.take([APP], undoing(), 0, quiet, stop, on_stop_request=lambda name, by: stop.set())
    held.release()


BODIES = [
    b"",
    b"{",
    b"[]",
    b'{"stop": 1}',
    b'{"stop": {"who": 7}}',
    b'{"stop": {}}',
    b"\xff\xfe",
    b'{"stop": ' + b"[" * 100_000,
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_what_is_no_wish_stops_nobody(body: bytes) -> None:
    assert stop_request_in(body) is None


def test_a_wish_of_endless_words_is_none() -> None:
    assert (
        stop_request_in(
            json.dumps(
                {"stop": {"who": "a" * 5000, "host": "h", "run": "r", "command": "c"}}
            ).encode()
        )
        is None
    )


def test_asking_keeps_all_that_stands_in_a_lock() -> None:
    body = encode(someone("1", tokens=("t",)), APP, 7)
    data = with_stop_request(body, WISH)
    assert data is not None
    assert (decode(data, ""), stop_request_in(data)) == (decode(body, ""), WISH)
    assert with_stop_request(b"no JSON", WISH) is None
    assert with_stop_request(b"[]", WISH) is None


# on this machine


def test_a_holder_on_this_machine_hears_within_a_moment_and_the_other_gets_the_lock(
    tmp_path: Path,
) -> None:
    clock = SkippingClock()
    held = local(tmp_path, clock).take([APP], someone("1"), 0, quiet)
    ear = Ear(held)
    asker = Locks(
        [Flocks(make_store(tmp_path / "store"))], _Patient(ear.event), lambda low, high: high
    )
    second = asker.take([APP], undoing(), 0, quiet, on_stop_request=quiet)
    assert [item.command for item in ear.heard] == ["toolkit rollback app"]
    assert not list((tmp_path / "store" / "locks").glob("*.stop"))
    second.release()


class _Patient(SkippingClock):
    """Time that stands still until somebody has heard."""

    def __init__(self, heard: Event) -> None:
        super().__init__()
        self._heard = heard

    def wait(self, seconds: float, wake: Event | None = None) -> bool:
        self._heard.wait(SOON_S)
        end = monotonic() + 0.01
        while monotonic() < end:
            pass
        self.pass_(0.01)
        return wake is not None and wake.is_set()


def test_a_wish_for_a_holder_before_stops_nobody_after_it(tmp_path: Path) -> None:
    clock = SkippingClock()
    locks = local(tmp_path, clock)
    first = locks.take([APP], someone("1"), 0, quiet)
    Flocks(make_store(tmp_path / "store")).request_stop(APP, "1", WISH)
    assert first._locks[0].stop_request == WISH
    second = Flocks(make_store(tmp_path / "store")).attempt(API, someone("2"))[0]
    assert second is not None
    assert second.stop_request is None
    first.release()
    again = locks.take([APP], someone("3"), 0, quiet)
    assert again._locks[0].stop_request is None
    again.release()
    second.release()


def test_a_damaged_or_foreign_wish_beside_a_lock_stops_nobody(tmp_path: Path) -> None:
    held = local(tmp_path, SkippingClock()).take([APP], someone("1"), 0, quiet)
    [lock] = (tmp_path / "store" / "locks").glob("*.lock")
    beside = lock.with_name(f"{lock.name}.stop")
    for body in (
        b"",
        b"\x00",
        b'{"id": "1", "stop": 1}',
        encode(someone("other"), APP, stop=WISH),
    ):
        beside.write_bytes(body)
        assert held._locks[0].stop_request is None, body
    beside.unlink()
    beside.symlink_to(tmp_path / "elsewhere")
    assert held._locks[0].stop_request is None
    held.release()


def test_locks_that_are_shown_are_no_wishes(tmp_path: Path) -> None:
    locks = local(tmp_path, SkippingClock())
    held = locks.take([APP], someone("1"), 0, quiet)
    Flocks(make_store(tmp_path / "store")).request_stop(APP, "1", WISH)
    assert [name for name, _, _ in locks.show()] == [APP]
    held.release()
