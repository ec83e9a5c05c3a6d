"""Locks in a bucket: an object that is made only where there is none, and renewed only by who made
it.

How old one is, is the server's word alone (`Date` less `LastModified`). Who holds one stops by
itself long before others may take it, by a clock that counts the time asleep, too.
"""

from datetime import datetime
from threading import Lock

from toolkit.errors import CloudError, LockLost, NotAllowed, Refused
from toolkit.ports.aws.s3 import Bucket, StoredObject
from toolkit.ports.clock import Clock
from toolkit.record import state
from toolkit.record.holder import BODY_MOST, Holder, StopRequest, asking, decoded, encoded, wish_in

RENEW_S, AGAIN_S = 20.0, 5.0
"""How often a lease is renewed, and how soon again where that failed, in seconds."""
FENCE_S = 60.0
"""For how long after a renewal its holder may begin something new, in seconds."""
EXPIRY_S = 120.0
"""After how long without renewal others may take it, in seconds."""
ROOM = "locks/"
_TRIES = 4
_ASKS = 20


class Lease:
    """A lock that this process holds, as long as it is renewed. `previous` is who let it expire,
    None if nobody did.
    """

    def __init__(self, name: str, key: str, bucket: Bucket, holder: Holder, clock: Clock) -> None:
        self.name, self.previous = name, None
        self._key, self._bucket, self._holder, self._clock = key, bucket, holder, clock
        self._etag, self._beat = "", 0
        self._good: tuple[datetime, float] = (clock.now(), clock.elapsed())
        self._calls = Lock()
        self._released = False
        self.wish: StopRequest | None = None
        """That we stop, as somebody has written into it. It is read when a renewal finds that
        somebody has.
        """

    previous: Holder | None

    def taken(self, etag: str, since: tuple[datetime, float], previous: Holder | None) -> "Lease":
        """It is ours, asked for at `since`."""
        self._etag, self._good, self.previous = etag, since, previous
        return self

    def check(self) -> None:
        """Raises LockLost if nothing new must be begun. One that is too old, as after a sleep, is
        renewed once before that is said.
        """
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
        """Say that we are still here; with `older_than_s` only if that was said longer ago. Raises
        LockLost, CloudError.

        Who was asked to stop does not renew any more: whatever becomes of it, the lease is free
        soon.
        """
        with self._calls:
            if (
                self._released
                or self.wish is not None
                or (older_than_s is not None and self._age() <= older_than_s)
            ):
                return
            for _ in range(_TRIES):
                since = (self._clock.now(), self._clock.elapsed())
                self._beat += 1
                etag = self._bucket.put(
                    self._key,
                    encoded(self._holder, self.name, self._beat),
                    self._etag,
                    patient=False,
                )
                if etag is not None:
                    self._etag, self._good = etag, since
                    return
                there = self._still_ours()
                self._etag = (
                    there.etag
                )  # an answer was lost: that renewal is there, and is not counted
                if wish_in(there.body) is not None:
                    return
            raise LockLost(target=self.name, reason="somebody else writes to it")

    def _still_ours(self) -> StoredObject:
        found = self._bucket.get(self._key, BODY_MOST)
        if found is None:
            raise LockLost(target=self.name, reason="somebody has released it")
        by = decoded(found.body, found.etag)
        if by.id != self._holder.id:
            raise LockLost(target=self.name, reason=f"{by.who} has taken it over")
        self.wish = wish_in(found.body) or self.wish
        return found

    def _age(self) -> float:
        """Seconds since the last renewal, by the clock that says more: one of them may have been
        set back, or stood still.
        """
        wall, steady = self._good
        return max((self._clock.now() - wall).total_seconds(), self._clock.elapsed() - steady)

    def release(self) -> str | None:
        """Let it go, if it is still ours; what went wrong, in words, if anything did. Twice is
        harmless.
        """
        with self._calls:
            if self._released:
                return None
            self._released = True
            try:
                if not self._bucket.delete(self._key, self._etag):
                    self._bucket.delete(self._key, self._still_ours().etag)
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
        self._proved = False

    def attempt(
        self, name: str, holder: Holder
    ) -> tuple[Lease | None, Holder | None, float | None]:
        """The lock, or else who has it, and for how many seconds at least without renewal. Raises
        CloudError, Refused.
        """
        key = key_of(name)
        lease = Lease(name, key, self._bucket, holder, self._clock)
        body = encoded(holder, name)
        previous: Holder | None = None
        by, left = holder, 0.0
        for left_tries in reversed(range(_TRIES)):
            since = (self._clock.now(), self._clock.elapsed())
            etag = self._bucket.put(key, body, None)
            if etag is None:
                found = self._seen(key, left_tries == 0)
                if found is None:
                    continue
                by, left = (
                    decoded(found.body, found.etag),
                    EXPIRY_S - (found.now - found.modified).total_seconds(),
                )
                if by.id == holder.id:  # the answer to our own write was lost
                    etag = found.etag
                elif left >= 0 and not by.ended:
                    return None, by, left
                else:
                    previous = by
                    etag = self._bucket.put(key, body, found.etag)
            if etag is not None:
                self._prove(key, body, etag)
                return lease.taken(etag, since, previous), None, None
        return None, by, left

    def ask(self, name: str, id: str, stop: StopRequest) -> bool:
        """Ask the holder with this id to stop; whether it is asked now, by whomever. Raises
        CloudError.

        It is written once: each write makes the lease last longer.
        """
        key = key_of(name)
        for _ in range(_ASKS):  # its holder may renew it at this very moment
            found = self._bucket.get(key, BODY_MOST)
            if found is None or decoded(found.body, found.etag).id != id:
                return False
            if wish_in(found.body) is not None:
                return True
            body = asking(found.body, stop)
            if body is not None and self._bucket.put(key, body, found.etag) is not None:
                return True
        return False

    def _seen(self, key: str, finally_: bool) -> StoredObject | None:
        """What is there, None if it was released in between. Without the right to list, a missing
        object is forbidden: that is the answer only if it stays.
        """
        try:
            return self._bucket.get(key, BODY_MOST)
        except NotAllowed:
            if finally_:
                raise
            return None

    def _prove(self, key: str, body: bytes, etag: str) -> None:
        """Be sure, once, that the store minds conditions: one that ignores them gives everybody
        every lock. Raises Refused.
        """
        if self._proved:
            return
        again = self._bucket.put(key, body, None)
        if again is not None:
            self._bucket.delete(key, again)
            raise self._bucket.unfit()
        self._proved = True

    def show(self) -> list[tuple[str, Holder]]:
        """What is held. Raises CloudError."""
        found: list[tuple[str, Holder]] = []
        for key in self._bucket.keys(ROOM):
            there = self._bucket.get(key, BODY_MOST) if key.endswith(".lock") else None
            if there is not None:
                found.append((_name(key), decoded(there.body, there.etag.strip('"'))))
        return found

    def force(self, name: str, id: str) -> bool:
        """Release somebody else's lock; False if there is none. Raises Refused if its holder is
        another one by now, CloudError.
        """
        found = self._bucket.get(key_of(name), BODY_MOST)
        if found is None:
            return False
        if decoded(found.body, found.etag.strip('"')).id != id or not self._bucket.delete(
            key_of(name), found.etag
        ):
            raise Refused(
                f"{name} has another holder now, or was just renewed",
                f"see `toolkit lock show {name}`",
            )
        return True


def key_of(name: str) -> str:
    """Where the lock of that name is."""
    return f"{ROOM}{'/'.join(state.file_name(part) for part in name.split('/'))}.lock"


def _name(key: str) -> str:
    return "/".join(
        state.words(part) for part in key.removeprefix(ROOM).removesuffix(".lock").split("/")
    )
