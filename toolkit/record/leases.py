"""Locks in a bucket: an object that is created only if there is none, and renewed only by its
creator.

Its age comes from the server alone (`Date` minus `LastModified`). A holder stops by itself long
before others may take its lock, by a clock that also runs while the machine sleeps.
"""

from datetime import datetime
from threading import Lock

from toolkit.advice import NextCommand
from toolkit.errors import CloudError, LockLost, NotAllowed, Refused
from toolkit.ports.aws.s3 import Bucket, StoredObject
from toolkit.ports.clock import Clock
from toolkit.record import state
from toolkit.record.holder import (
    BODY_MOST,
    Holder,
    StopRequest,
    decode,
    encode,
    stop_request_in,
    with_stop_request,
)

RENEW_S, RETRY_S = 20.0, 5.0
"""How often a lease is renewed, and how soon again where that failed, in seconds."""
FENCE_S = 60.0
"""For how long after a renewal its holder may begin something new, in seconds."""
EXPIRY_S = 120.0
"""After how long without renewal others may take it, in seconds."""
FOLDER = "locks/"
_TRIES = 4
_ASKS = 20


class Lease:
    """A lock that this process holds for as long as it renews it. `previous` is the holder that let
    it expire, None if there was none.
    """

    def __init__(self, name: str, key: str, bucket: Bucket, holder: Holder, clock: Clock) -> None:
        self.name, self.previous = name, None
        self._key, self._bucket, self._holder, self._clock = key, bucket, holder, clock
        self._etag, self._beat = "", 0
        # Both clocks: see `_age`.
        self._good: tuple[datetime, float] = (clock.now(), clock.elapsed())
        self._calls = Lock()
        self._released = False
        self.stop_request: StopRequest | None = None
        """That we stop, as somebody has written into it. It is read when a renewal fails: an etag
        that is not ours says that somebody has written.
        """

    previous: Holder | None

    def acquired(
        self, etag: str, since: tuple[datetime, float], previous: Holder | None
    ) -> "Lease":
        """Note that the lock is ours, as requested at `since`."""
        self._etag, self._good, self.previous = etag, since, previous
        return self

    def check(self) -> None:
        """Raises LockLost if nothing new may be started. A lease that is too old, as after a sleep,
        gets one renewal first.
        """
        # FENCE_S is far below EXPIRY_S: a call that is on its way then is over before others may
        # begin.
        if self._age() <= FENCE_S:
            return
        try:
            self.renew(FENCE_S)
        except (CloudError, Refused) as problem:
            raise LockLost(
                target=self.name,
                reason=f"it could not be renewed for {self._age():.0f} s: {problem}",
            ) from None
        if self._age() > FENCE_S:
            raise LockLost(target=self.name, reason="its renewal took too long")

    def renew(self, older_than_s: float | None = None) -> None:
        """Renew it; with `older_than_s` only if the last renewal is older. Raises LockLost,
        CloudError.

        Once somebody asked the holder to stop it renews no more: the lease is free soon, whatever
        happens here.
        """
        with self._calls:
            if self._released or self.stop_request is not None:
                return
            if older_than_s is not None and self._age() <= older_than_s:
                return
            for _ in range(_TRIES):
                since = (self._clock.now(), self._clock.elapsed())
                # Without a count, two renewals would have the same content, and so the same etag.
                self._beat += 1
                body = encode(self._holder, self.name, self._beat)
                etag = self._bucket.put(self._key, body, self._etag, patient=False)
                if etag is not None:
                    self._etag, self._good = etag, since
                    return
                # An answer was lost: that renewal is in the bucket, and does not count.
                stored = self._read_own()
                self._etag = stored.etag
                if stop_request_in(stored.body) is not None:
                    return
            raise LockLost(target=self.name, reason="someone else writes to it")

    def _read_own(self) -> StoredObject:
        stored = self._bucket.get(self._key, BODY_MOST)
        if stored is None:
            raise LockLost(target=self.name, reason="someone has released it")
        by = decode(stored.body, stored.etag)
        if by.id != self._holder.id:
            raise LockLost(target=self.name, reason=f"{by.who} has taken it over")
        self.stop_request = stop_request_in(stored.body) or self.stop_request
        return stored

    def _age(self) -> float:
        """Seconds since the last renewal, by the clock that shows more: one may have been set back,
        the other may stand still while the machine sleeps.
        """
        wall, steady = self._good
        return max((self._clock.now() - wall).total_seconds(), self._clock.elapsed() - steady)

    def release(self) -> str | None:
        """Release it if it is still ours; returns what went wrong, None if nothing did. Calling it
        twice is harmless.
        """
        with self._calls:
            if self._released:
                return None
            self._released = True
            try:
                # Only under our etag: the lock may have expired and belong to another run by now. A
                # stop request changes the etag, too, so it is read once more.
                if not self._bucket.delete(self._key, self._etag):
                    self._bucket.delete(self._key, self._read_own().etag)
            except LockLost:
                return None
            except (CloudError, Refused) as problem:
                return (
                    f"the lock of {self.name} stays until it expires, in {EXPIRY_S:.0f} s:"
                    f" {problem}"
                )
            return None


class Leases:
    """The locks in one bucket."""

    where = "remote"

    def __init__(self, bucket: Bucket, clock: Clock) -> None:
        self._bucket, self._clock = bucket, clock
        self._conditions_work = False

    def attempt(
        self, name: str, holder: Holder
    ) -> tuple[Lease | None, Holder | None, float | None]:
        """Try to lock: the lock, or else its holder and how many seconds the lock lasts if it is
        not renewed. Raises CloudError, Refused.
        """
        key = lock_key(name)
        lease = Lease(name, key, self._bucket, holder, self._clock)
        body = encode(holder, name)
        previous: Holder | None = None
        by, remaining_s = holder, 0.0
        # Each try may be overtaken: by a release, a renewal, or another run that takes an expired
        # lock.
        for tries_left in reversed(range(_TRIES)):
            since = (self._clock.now(), self._clock.elapsed())
            etag = self._bucket.put(key, body, None)
            if etag is None:
                stored = self._read(key, tries_left == 0)
                if stored is None:
                    continue
                by = decode(stored.body, stored.etag)
                remaining_s = EXPIRY_S - (stored.now - stored.modified).total_seconds()
                if by.id == holder.id:  # the answer to our own write was lost
                    etag = stored.etag
                # An ended holder of this machine is not waited for: nobody will renew its lock.
                elif remaining_s >= 0 and not by.ended:
                    return None, by, remaining_s
                else:
                    previous = by
                    etag = self._bucket.put(key, body, stored.etag)
            if etag is not None:
                self._check_conditional_writes(key, body)
                return lease.acquired(etag, since, previous), None, None
        return None, by, remaining_s

    def request_stop(self, name: str, id: str, stop: StopRequest) -> bool:
        """Ask the holder with this id to stop; whether it has been asked now, by us or another run.
        Raises CloudError.

        It is written only once: each write makes the lease last longer.
        """
        key = lock_key(name)
        for _ in range(_ASKS):  # its holder may renew it at this very moment
            stored = self._bucket.get(key, BODY_MOST)
            if stored is None or decode(stored.body, stored.etag).id != id:
                return False
            if stop_request_in(stored.body) is not None:
                return True
            body = with_stop_request(stored.body, stop)
            if body is not None and self._bucket.put(key, body, stored.etag) is not None:
                return True
        return False

    def _read(self, key: str, finally_: bool) -> StoredObject | None:
        """The object, None if it was released in between. Without the permission to list, a missing
        object looks forbidden: that is believed only at the last try.
        """
        try:
            return self._bucket.get(key, BODY_MOST)
        except NotAllowed:
            if finally_:
                raise
            return None

    def _check_conditional_writes(self, key: str, body: bytes) -> None:
        """Make sure, once, that the store supports conditional writes: one that ignores conditions
        would give every lock to everybody. Raises Refused.
        """
        if self._conditions_work:
            return
        # The object exists, so this write has to be refused.
        again = self._bucket.put(key, body, None)
        if again is not None:
            self._bucket.delete(key, again)
            raise self._bucket.unfit()
        self._conditions_work = True

    def show(self) -> list[tuple[str, Holder]]:
        """The locks and their holders. Raises CloudError."""
        locks: list[tuple[str, Holder]] = []
        for key in self._bucket.keys(FOLDER):
            if not key.endswith(".lock"):
                continue
            stored = self._bucket.get(key, BODY_MOST)
            if stored is not None:  # it may have been released since the list was made
                locks.append((_lock_name(key), decode(stored.body, stored.etag.strip('"'))))
        return locks

    def force(self, name: str, id: str) -> bool:
        """Release somebody else's lock; False if there is none. Raises Refused if it has another
        holder by now, CloudError.
        """
        key = lock_key(name)
        stored = self._bucket.get(key, BODY_MOST)
        if stored is None:
            return False
        same_holder = decode(stored.body, stored.etag.strip('"')).id == id
        # By its etag: a renewal in this very moment must not be deleted.
        if not same_holder or not self._bucket.delete(key, stored.etag):
            raise Refused(
                f"{name} has another holder now, or was just renewed",
                ("see", NextCommand("lock show", (name,))),
            )
        return True


def lock_key(name: str) -> str:
    """The key of the lock with that name."""
    return f"{FOLDER}{'/'.join(state.file_name(part) for part in name.split('/'))}.lock"


def _lock_name(key: str) -> str:
    return "/".join(
        state.decode_file_name(part)
        for part in key.removeprefix(FOLDER).removesuffix(".lock").split("/")
    )
