"""One run at a time per target: locks on this machine and, if there is a bucket, in it. A run gets
all of its locks or none.
"""

from collections.abc import Callable, Mapping, Sequence
from random import SystemRandom
from threading import Event, Thread
from typing import Any, Protocol

from toolkit.advice import NextCommand
from toolkit.errors import CloudError, LockLost, Refused, Stopped
from toolkit.operations import JobAction, Location
from toolkit.ports import debug
from toolkit.ports.aws.s3 import Bucket
from toolkit.ports.clock import Clock
from toolkit.ports.ports import Ports
from toolkit.record.flocks import Flocks
from toolkit.record.holder import Holder, StopRequest, holder, lock_held_error, stop_request_of
from toolkit.record.leases import EXPIRY_S, RENEW_S, RETRY_S, Lease, Leases
from toolkit.record.state import NONE, Store

__all__ = (
    "HeldLocks",
    "Holder",
    "Locks",
    "StopRequest",
    "holder",
    "lock_name",
    "open_locks",
)

SILENT_S = 0.4
"""How long to wait before reporting that it waits, in seconds."""
PAUSE_S, LONGEST_S = 1.0, 16.0
"""The first and the longest pause between two tries, in seconds."""
ALMOST_ZERO_S = 0.001
"""What is nothing, in seconds: a sum of parts is rarely exact."""

STOP_REQUEST_S = EXPIRY_S + RENEW_S
"""How long to wait for a holder that was asked to stop: it reads the request at its next renewal,
and then stops renewing its lease.
"""
STOP_REQUEST_POLL_S = 1.0
"""How often a holder looks whether it was asked to stop, in seconds of the machine's own clock."""

HolderListener = Callable[[str, Holder], None]
RandomBetween = Callable[[float, float], float]


class HeldLock(Protocol):
    """One lock that this process holds."""

    @property
    def name(self) -> str: ...
    @property
    def previous(self) -> Holder | None: ...
    @property
    def stop_request(self) -> StopRequest | None: ...
    def check(self) -> None: ...
    def release(self) -> str | None: ...


class LockBackend(Protocol):
    """Locks on this machine, or in a bucket."""

    @property
    def where(self) -> str: ...
    def attempt(self, name: str, holder: Holder) -> tuple[Any, Holder | None, float | None]: ...
    def request_stop(self, name: str, id: str, stop: StopRequest) -> bool: ...
    def show(self) -> list[tuple[str, Holder]]: ...
    def force(self, name: str, id: str) -> bool: ...


def lock_name(location: Location, target: str) -> str:
    """The lock of a target in a location: `dev/eu-west-1/app`."""
    return f"{location.environment or NONE}/{location.region or NONE}/{target}"


def open_locks(store: Store, location: Location, ports: Ports) -> "Locks":
    """The locks of a project, including those in the location's bucket if it has one."""
    sides: list[LockBackend] = [Flocks(store)]
    if location.store:
        sides.append(
            Leases(Bucket(ports.aws(location), location.store, location.account), ports.clock)
        )
    return Locks(sides, ports.clock)


class Locks:
    """All locks of a project. Each is taken on this machine first, then in the bucket."""

    def __init__(
        self, sides: Sequence[LockBackend], clock: Clock, chance: RandomBetween | None = None
    ) -> None:
        self._sides, self._clock, self._chance = sides, clock, chance or SystemRandom().uniform

    def take(
        self,
        names: Sequence[str],
        holder: Holder,
        timeout_s: float,
        on_wait: HolderListener,
        stop: Event | None = None,
        on_stop_request: HolderListener | None = None,
    ) -> "HeldLocks":
        """Take all these locks, or none. Every run takes them in the same order, so that no two
        wait for each other.

        `on_wait` is called once with the holder of the lock. With `on_stop_request`, a holder that
        deploys is asked to stop, which is reported to it, and `take` waits for it longer. Raises
        LockHeld after `timeout_s` (0: at once), Stopped once `stop` is set, CloudError, Refused,
        StateDamaged, FileProblem.
        """
        wait = _LockWait(self._clock, timeout_s, on_wait, stop, self._chance, on_stop_request)
        got = HeldLocks(self._clock)
        try:
            for side in self._sides:
                # In one order for all: two runs that want the same two locks would wait for each
                # other.
                for name in sorted(set(names)):
                    got.add(self._take_lock(side, name, holder, wait))
        except BaseException:
            # All or none: what was taken already goes back.
            got.release()
            raise
        return got

    def _take_lock(
        self, side: LockBackend, name: str, holder: Holder, wait: "_LockWait"
    ) -> HeldLock:
        pause = PAUSE_S
        while True:
            attempted, by, remaining_s = side.attempt(name, holder)
            debug.tell("lock", name, where=side.where, held_by=by.run if by else None)
            if attempted is not None:
                lock: HeldLock = attempted
                return lock
            may_ask = by is not None and wait.may_ask(by)
            if by and may_ask and side.request_stop(name, by.id, stop_request_of(holder)):
                wait.has_asked(name, by)
            wait.wait(name, by, pause, remaining_s)
            # Who was asked to stop does so at some moment soon: that is not to be missed by much.
            pause = min(pause * 2, PAUSE_S if wait.yields else LONGEST_S)

    def show(self) -> list[tuple[str, Holder | None, str]]:
        """Every lock with its holder, and whether it is local or remote. Raises CloudError,
        StateDamaged, FileProblem.
        """
        locks: list[tuple[str, Holder | None, str]] = []
        for side in self._sides:
            for name, by in side.show():
                locks.append((name, by, side.where))
        return locks

    def force_release(self, name: str, id: str) -> tuple[str, ...]:
        """Release an abandoned lock by the id that `show` gave; returns where it was: local,
        remote. Raises Refused, CloudError.
        """
        locations = tuple(side.where for side in self._sides if side.force(name, id))
        if not locations:
            raise Refused(f"{name} is not locked", ("see", NextCommand("lock show")))
        return locations


class _LockWait:
    """How long one call of `take` waits, and what it reports in the meantime."""

    def __init__(
        self,
        clock: Clock,
        timeout_s: float,
        on_wait: HolderListener,
        stop: Event | None,
        chance: RandomBetween,
        on_stop_request: HolderListener | None = None,
    ) -> None:
        self._clock, self._stop, self._chance = clock, stop, chance
        self._on_wait, self._on_stop_request = on_wait, on_stop_request
        self._asked_ids = set[str]()
        self._began = clock.elapsed()
        self._until = self._began + timeout_s
        self._said = False

    @property
    def yields(self) -> bool:
        """Whether somebody was asked to stop."""
        return bool(self._asked_ids)

    def may_ask(self, by: Holder) -> bool:
        """Whether this holder is to be asked to stop, and was not yet."""
        if self._on_stop_request is None or by.problem or by.id in self._asked_ids:
            return False
        return by.action != JobAction.ROLLBACK  # two that undo something would only undo each other

    def has_asked(self, name: str, by: Holder) -> None:
        """Note that a holder was asked to stop: wait for it as long as that may take."""
        self._asked_ids.add(by.id)
        self._until = max(self._until, self._clock.elapsed() + STOP_REQUEST_S)
        self._said = True
        if self._on_stop_request is not None:
            self._on_stop_request(name, by)

    def wait(self, name: str, by: Holder | None, pause: float, remaining_s: float | None) -> None:
        """Wait before the next try: about `pause` seconds, but not longer than the lock lasts.
        Raises LockHeld, Stopped.
        """
        by = by or Holder("somebody", "", 0, "", "", "", "")
        now = self._clock.elapsed()
        if now >= self._until - ALMOST_ZERO_S:
            raise lock_held_error(name, by)
        if not self._said and now - self._began >= SILENT_S - ALMOST_ZERO_S:
            self._on_wait(name, by)
            self._said = True
        # At random, so that those who wait do not all try at the same moment.
        seconds = min(self._chance(pause / 2, pause), self._until - now)
        if remaining_s is not None:
            # One that nobody renews is free then, however long the pause would be.
            seconds = min(seconds, max(remaining_s, 0.0) + 1.0)
        if not self._said:
            seconds = min(seconds, self._began + SILENT_S - now)
        if self._clock.wait(max(seconds, ALMOST_ZERO_S), self._stop):
            raise Stopped()


class HeldLocks:
    """Locks that this process holds. `lost` is set when one is lost. `previous` are holders that
    ended without releasing theirs: their calls in flight have to be settled before new ones are
    made.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._locks: list[HeldLock] = []
        self._leases: list[Lease] = []
        self._ended = Event()
        self._renewer: Thread | None = None
        self._listener: Thread | None = None
        self._reason: Mapping[str, str] = {}
        self.lost = Event()

    @property
    def names(self) -> tuple[str, ...]:
        """The targets, sorted."""
        return tuple(sorted({lock.name for lock in self._locks}))

    @property
    def previous(self) -> tuple[Holder, ...]:
        """The holders that ended without releasing one of these locks, each once."""
        holders = [lock.previous for lock in self._locks if lock.previous is not None]
        return tuple({holder.id: holder for holder in holders}.values())

    def add(self, lock: HeldLock) -> None:
        """Add a lock. The first one that has to be renewed starts the thread for it."""
        self._locks.append(lock)
        if isinstance(lock, Lease):
            # A new list: the renewing thread may be going through the old one.
            self._leases = [*self._leases, lock]
            if self._renewer is None:
                self._renewer = Thread(target=self._beat, name="leases", daemon=True)
                self._renewer.start()

    def _beat(self) -> None:
        pause = RENEW_S
        while not self._clock.wait(pause, self._ended) and not self.lost.is_set():
            pause = self.renew()

    def listen(self, on_request: Callable[[StopRequest], None]) -> None:
        """Call `on_request` once, in a thread of its own, when somebody asks this run to stop."""

        def hear() -> None:
            while not self._ended.wait(STOP_REQUEST_POLL_S):
                for lock in list(self._locks):
                    if (request := lock.stop_request) is not None:
                        on_request(request)
                        return

        self._listener = Thread(target=hear, name="wishes", daemon=True)
        self._listener.start()

    def renew(self) -> float:
        """Renew the leases; returns the seconds until the next renewal. A loss is remembered for
        `check_fence`.
        """
        pause = RENEW_S
        for lease in self._leases:
            try:
                lease.renew()
            except LockLost as problem:
                self._lose(problem)
            except (CloudError, Refused):
                pause = RETRY_S  # `check_fence` gives up when this goes on for too long
        return pause

    def check_fence(self) -> None:
        """Call this right before every new effect. Raises LockLost if it must not be made, and from
        then on always.
        """
        if not self.lost.is_set():
            for lock in list(self._locks):
                try:
                    lock.check()
                except LockLost as problem:
                    self._lose(problem)
        if self.lost.is_set():
            raise LockLost(**self._reason)

    def _lose(self, problem: LockLost) -> None:
        if not self.lost.is_set():
            self._reason = problem.facts
            self.lost.set()

    def release(self) -> tuple[str, ...]:
        """Release all that are still ours; returns, in words, those that could not be released:
        they expire. Calling it twice is harmless.
        """
        self._ended.set()
        if self._renewer is not None:
            self._renewer.join()
            self._renewer = None
        if self._listener is not None:
            self._listener.join()
            self._listener = None
        problems = [lock.release() for lock in reversed(self._locks)]
        return tuple(problem for problem in problems if problem is not None)
