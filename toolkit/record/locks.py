"""One run at a time on a target: locks on this machine and, where a bucket is named, in it. All of
them or none.
"""

from collections.abc import Callable, Mapping, Sequence
from random import SystemRandom
from threading import Event, Thread
from typing import Any, Protocol

from toolkit.errors import CloudError, LockLost, Refused, Stopped
from toolkit.model import Location
from toolkit.ports.aws.s3 import Bucket
from toolkit.ports.clock import Clock
from toolkit.ports.ports import Ports
from toolkit.record.flocks import Flocks
from toolkit.record.holder import Holder, StopRequest, held, holder, wish
from toolkit.record.leases import AGAIN_S, EXPIRY_S, RENEW_S, Lease, Leases
from toolkit.record.state import NONE, Store

__all__ = (
    "ROLLBACK",
    "HeldLocks",
    "Holder",
    "Locks",
    "StopRequest",
    "holder",
    "lock_name",
    "open_locks",
)

QUIET_S = 0.4
"""For how long nobody is told that somebody waits, in seconds."""
PAUSE_S, LONGEST_S = 1.0, 16.0
"""The first and the longest pause between two tries, in seconds."""
LEAST_S = 0.001
"""What is nothing, in seconds: a sum of parts is rarely exact."""

ROLLBACK = "rollback"
"""The action of a holder that nobody asks to stop: it undoes something itself."""
YIELDS_S = EXPIRY_S + RENEW_S
"""How long a holder that was asked to stop is waited for: it reads that at its next renewal, and
renews its lease no more.
"""
WISHES_S = 1.0
"""How often a holder looks whether it was asked to stop, in seconds of the machine's own clock."""

Told = Callable[[str, Holder], None]
Chance = Callable[[float, float], float]


class HeldLock(Protocol):
    """One lock that is ours."""

    @property
    def name(self) -> str: ...
    @property
    def previous(self) -> Holder | None: ...
    @property
    def wish(self) -> StopRequest | None: ...
    def check(self) -> None: ...
    def release(self) -> str | None: ...


class LockBackend(Protocol):
    """Locks of one kind."""

    @property
    def where(self) -> str: ...
    def attempt(self, name: str, holder: Holder) -> tuple[Any, Holder | None, float | None]: ...
    def ask(self, name: str, id: str, stop: StopRequest) -> bool: ...
    def show(self) -> list[tuple[str, Holder]]: ...
    def force(self, name: str, id: str) -> bool: ...


def lock_name(location: Location, target: str) -> str:
    """The lock of a target in a place: `dev/eu-west-1/app`."""
    return f"{location.environment or NONE}/{location.region or NONE}/{target}"


def open_locks(store: Store, location: Location, ports: Ports) -> "Locks":
    """The locks of a project; those in the place's bucket, too, if it has one."""
    sides: list[LockBackend] = [Flocks(store)]
    if location.store:
        sides.append(
            Leases(Bucket(ports.aws(location), location.store, location.account), ports.clock)
        )
    return Locks(sides, ports.clock)


class Locks:
    """What can be locked, first here and then in the bucket."""

    def __init__(
        self, sides: Sequence[LockBackend], clock: Clock, chance: Chance | None = None
    ) -> None:
        self._sides, self._clock, self._chance = sides, clock, chance or SystemRandom().uniform

    def take(
        self,
        names: Sequence[str],
        holder: Holder,
        timeout_s: float,
        told: Told,
        stop: Event | None = None,
        asked: Told | None = None,
    ) -> "HeldLocks":
        """All these locks, or none. Everybody takes them in the same order, so that nobody waits in
        a circle.

        `told` hears once who is waited for. With `asked` a holder that deploys is asked to stop,
        and waited for a while longer; `asked` hears of it. Raises LockHeld after `timeout_s` (0: at
        once), Stopped once `stop` is set, CloudError, Refused, StateDamaged, FileProblem.
        """
        wait = _Wait(self._clock, timeout_s, told, stop, self._chance, asked)
        got = HeldLocks(self._clock)
        try:
            for side in self._sides:
                for name in sorted(set(names)):
                    got.add(self._one(side, name, holder, wait))
        except BaseException:
            got.release()
            raise
        return got

    def _one(self, side: LockBackend, name: str, holder: Holder, wait: "_Wait") -> HeldLock:
        pause = PAUSE_S
        while True:
            grip, by, left = side.attempt(name, holder)
            if grip is not None:
                found: HeldLock = grip
                return found
            if by is not None and wait.may_ask(by) and side.ask(name, by.id, wish(holder)):
                wait.has_asked(name, by)
            wait.a_while(name, by, pause, left)
            pause = min(pause * 2, PAUSE_S if wait.yields else LONGEST_S)

    def show(self) -> list[tuple[str, Holder | None, str]]:
        """Every lock, who holds it, and whether it is local or remote. Raises CloudError,
        StateDamaged, FileProblem.
        """
        return [(name, by, side.where) for side in self._sides for name, by in side.show()]

    def force_release(self, name: str, id: str) -> tuple[str, ...]:
        """Release a lock that nobody else will, by the id that `show` gave. Where it was: local,
        remote. Raises Refused, CloudError.
        """
        locations = tuple(side.where for side in self._sides if side.force(name, id))
        if not locations:
            raise Refused(f"{name} is not locked", "see `toolkit lock show`")
        return locations


class _Wait:
    """The patience of one `take`."""

    def __init__(
        self,
        clock: Clock,
        timeout_s: float,
        told: Told,
        stop: Event | None,
        chance: Chance,
        asked: Told | None = None,
    ) -> None:
        self._clock, self._told, self._stop, self._chance, self._asked = (
            clock,
            told,
            stop,
            chance,
            asked,
        )
        self._asked_ids = set[str]()
        self._began = clock.elapsed()
        self._until = self._began + timeout_s
        self._said = False

    @property
    def yields(self) -> bool:
        """Whether somebody was asked to stop."""
        return bool(self._asked_ids)

    def may_ask(self, by: Holder) -> bool:
        """Whether this holder is to be asked to stop, and was not yet. Two that undo something
        would only undo each other.
        """
        return (
            self._asked is not None
            and by.action != ROLLBACK
            and not by.problem
            and by.id not in self._asked_ids
        )

    def has_asked(self, name: str, by: Holder) -> None:
        """It was asked: it is waited for as long as that may take."""
        self._asked_ids.add(by.id)
        self._until = max(self._until, self._clock.elapsed() + YIELDS_S)
        self._said = True
        if self._asked is not None:
            self._asked(name, by)

    def a_while(self, name: str, by: Holder | None, pause: float, left: float | None) -> None:
        """Wait before the next try: about `pause` seconds, but not longer than the lock lasts.
        Raises LockHeld, Stopped.
        """
        by = by or Holder("somebody", "", 0, "", "", "", "")
        now = self._clock.elapsed()
        if now >= self._until - LEAST_S:
            raise held(name, by)
        if not self._said and now - self._began >= QUIET_S - LEAST_S:
            self._told(name, by)
            self._said = True
        seconds = min(self._chance(pause / 2, pause), self._until - now)
        if left is not None:
            seconds = min(seconds, max(left, 0.0) + 1.0)
        if not self._said:
            seconds = min(seconds, self._began + QUIET_S - now)
        if self._clock.wait(max(seconds, LEAST_S), self._stop):
            raise Stopped()


class HeldLocks:
    """Locks that are ours. `lost` is set when one of them is no more; `previous` are those who left
    one behind without release, whose calls in flight have to be settled before new ones are made.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._grips: list[HeldLock] = []
        self._leases: list[Lease] = []
        self._ended = Event()
        self._heart: Thread | None = None
        self._ear: Thread | None = None
        self._reason: Mapping[str, str] = {}
        self.lost = Event()

    @property
    def names(self) -> tuple[str, ...]:
        """The targets, sorted."""
        return tuple(sorted({grip.name for grip in self._grips}))

    @property
    def previous(self) -> tuple[Holder, ...]:
        """Who held one of them and ended without release, each once."""
        return tuple(
            {
                grip.previous.id: grip.previous for grip in self._grips if grip.previous is not None
            }.values()
        )

    def add(self, grip: HeldLock) -> None:
        """One more. The first that has to be renewed starts the heart."""
        self._grips.append(grip)
        if isinstance(grip, Lease):
            self._leases = [*self._leases, grip]
            if self._heart is None:
                self._heart = Thread(target=self._beat, name="leases", daemon=True)
                self._heart.start()

    def _beat(self) -> None:
        pause = RENEW_S
        while not self._clock.wait(pause, self._ended) and not self.lost.is_set():
            pause = self.renew()

    def listen(self, asked: Callable[[StopRequest], None]) -> None:
        """Tell `asked`, in a thread of its own and once, when somebody asks this run to stop."""

        def hear() -> None:
            while not self._ended.wait(WISHES_S):
                for grip in list(self._grips):
                    if (found := grip.wish) is not None:
                        asked(found)
                        return

        self._ear = Thread(target=hear, name="wishes", daemon=True)
        self._ear.start()

    def renew(self) -> float:
        """Renew what has to be renewed; when to do it next, in seconds. A loss is kept for
        `fenced`.
        """
        pause = RENEW_S
        for lease in self._leases:
            try:
                lease.renew()
            except LockLost as problem:
                self._lose(problem)
            except (CloudError, Refused):
                pause = AGAIN_S  # `fenced` gives up when this goes on for too long
        return pause

    def fenced(self) -> None:
        """To be called right before every new effect. Raises LockLost if it must not be made any
        more; it never may be again then.
        """
        if not self.lost.is_set():
            for grip in list(self._grips):
                try:
                    grip.check()
                except LockLost as problem:
                    self._lose(problem)
        if self.lost.is_set():
            raise LockLost(**self._reason)

    def _lose(self, problem: LockLost) -> None:
        if not self.lost.is_set():
            self._reason = problem.facts
            self.lost.set()

    def release(self) -> tuple[str, ...]:
        """Let all of them go that are still ours; in words what could not be, which others get when
        it expires. Twice is harmless.
        """
        self._ended.set()
        if self._heart is not None:
            self._heart.join()
            self._heart = None
        if self._ear is not None:
            self._ear.join()
            self._ear = None
        problems = [grip.release() for grip in reversed(self._grips)]
        return tuple(problem for problem in problems if problem is not None)
