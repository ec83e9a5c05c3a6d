"""A run that dies at any point one likes, in this process: from that point on nothing that it still
does has an effect.
"""

import errno
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from tests.run import simulated
from tests.run.simulated import BUILD, DIAMOND, Settings, Told
from tests.support.record import recorded
from tests.support.report import Crash
from toolkit import targets
from toolkit.errors import Refused, StateDamaged
from toolkit.gates.bake import BakeCheck, bake
from toolkit.operations import Job, Outcome, RunResult, Verdict
from toolkit.ports import disk
from toolkit.ports.clock import Clock
from toolkit.record import journal, ledger, locks
from toolkit.record.flocks import Flock, Flocks
from toolkit.record.journal import Journal, JournalEntry
from toolkit.record.ledger import BEGUN, LocalLedger, Record
from toolkit.record.state import open_store
from toolkit.run.request import StepReport

Point = tuple[str, str, int]
"""Whose it is (a step, or a part of the run), what happens there, and for the how-manyth time."""


class Points:
    """Counts the points that are passed, and crashes at one of them."""

    def __init__(self) -> None:
        self._lock = RLock()
        self.begin(None)

    def begin(self, fatal: Point | None, full: range = range(0)) -> None:
        """A new process, which dies at `fatal`, and whose disk is full for these of its writes,
        counted from 0.
        """
        self.full, self.writes = full, 0
        self.passed: list[Point] = []
        self.fatal, self.dead = fatal, False
        self._counts: dict[tuple[str, str], int] = {}

    def __call__(self, where: str, what: str) -> None:
        with self._lock:
            if self.dead:
                raise Crash
            self._counts[where, what] = self._counts.get((where, what), 0) + 1
            point = (where, what, self._counts[where, what])
            self.passed.append(point)
            if point == self.fatal:
                self.dead = True
                raise Crash


class _Disk(disk.Disk):
    """A disk that is fast, and on which a line can be torn."""

    def __init__(self, points: Points) -> None:
        self._points = points

    def write(self, descriptor: int, data: bytes) -> int:
        if self._points.dead:
            raise Crash
        self._points.writes += 1
        if self._points.writes - 1 in self._points.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        try:
            self._points("disk", "torn")
        except Crash:
            os.write(descriptor, data[: len(data) // 2])
            raise
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """Nobody pulls the plug here."""


class Setting(Struct, frozen=True):
    """What is to be run. What is `unproved` goes live, does not pass its checks, and gives way to
    the version before; what is `baked` has to stay good for a while. `builds` are steps that build,
    with what they build.
    """

    needs: Mapping[str, tuple[str, ...]]
    settings: Mapping[str, simulated.Settings]
    parallel: int = 1
    unproved: frozenset[str] = frozenset()
    baked: frozenset[str] = frozenset()
    builds: Mapping[str, str] = {}

    def verify(self, job: Job, outcome: Outcome, desk: StepReport) -> Outcome:
        """As the gates do."""
        if job.step in self.baked:
            assert bake(10.0, [BakeCheck(lambda: None, 2.0)], desk, desk._clock) is None  # type: ignore[attr-defined]
        return (
            replace(outcome, verdict=Verdict.UNHEALTHY, cause="its checks")
            if job.step in self.unproved
            else outcome
        )

    @property
    def steps(self) -> list[tuple[str, str]]:
        """Every step that may have an effect, with its target."""
        return [
            *((name, name) for name in self.needs),
            *((f"{name}:rollback", name) for name in sorted(self.unproved)),
            *self.builds.items(),
        ]


class CrashStage:
    """One run of a setting, from its first process to its last, in a folder of its own."""

    def __init__(self, setting: Setting, points: Points, folder: Path, clock: Clock) -> None:
        self._setting, self._points, self._clock = setting, points, clock
        self.cloud = simulated.SimulatedCloud(folder / "cloud", self._clock.elapsed, points)
        self._ports = simulated.ports(folder, self._clock, self.cloud)
        self._run = 0
        self.listener = simulated.Listener()
        self.store = open_store(simulated.PROJECT, str(folder))

    @property
    def run(self) -> str:
        """The name of the run: another one where nothing was left of the first."""
        return f"run-{self._run}"

    def process(self, fatal: Point | None, full: range = range(0)) -> RunResult | None:
        """A process that begins the run, or goes on with what is left of it; None if it dies. The
        points it passes are in `points`.
        """
        self._points.begin(fatal, full)
        begun = self.begun()
        self.listener = simulated.Listener()
        request = Told(self.listener).request(
            self.run,
            self._ports,
            parallel=self._setting.parallel,
            verify=self._setting.verify,
        )
        try:
            if begun:
                return simulated.resumed(request, self.store)
            expected = simulated.prepared(
                self.run, self._setting.needs, self._setting.settings, self._setting.unproved
            )
            return simulated.started(request, expected)
        except Crash:
            return None

    def begun(self) -> bool:
        """Whether there is a run to go on with. What died before its first line was whole has done
        nothing, and another one is begun.
        """
        try:
            if self.entries():
                return True
            self._run += 1
        except StateDamaged:
            self._run += 1
        except Refused:
            pass
        assert not self.cloud.effects(), "something was done before the run was on disk"
        return False

    def entries(self) -> tuple[JournalEntry, ...]:
        """The journal's lines."""
        return journal.read(self.store, self.run)

    def ended(self) -> bool:
        """Whether the journal says that the run is over."""
        try:
            return any(entry.state == "end" for entry in self.entries())
        except (Refused, StateDamaged):
            return False

    def records(self) -> dict[str, Record]:
        """What is recorded of each target."""
        return {name: records[0] for name, records in recorded(self.store, "dev").items()}

    def outcomes(self) -> list[tuple[str, str]]:
        """Step and verdict of each outcome on disk."""
        return [
            (str(entry.step), entry.facts["verdict"])
            for entry in self.entries()
            if entry.state == "outcome"
        ]

    def says_no_more_than_is_true(self) -> None:
        """P1 and P7: nothing in the cloud without an intent, nothing good on disk that is not so in
        the cloud.
        """
        effects = self.cloud.effects()
        over = {
            name
            for name in (*self._setting.needs, *self._setting.builds.values())
            if all(
                any(
                    (effect.target, effect.call) == (name, call) and self._over(effect, call)
                    for effect in effects
                )
                for call in self._setting.settings[name].calls
            )
        }
        try:
            entries = self.entries()
        except (Refused, StateDamaged):
            entries = ()
        targets = dict(self._setting.steps)
        intents = {
            (targets[str(entry.step)], entry.facts["call"])
            for entry in entries
            if entry.state == "intent"
        }
        assert {(effect.target, f"simulated:{effect.call}") for effect in effects} <= intents, (
            "an effect without an intent"
        )
        ends = {
            targets[str(entry.step)]
            for entry in entries
            if entry.state == "outcome" and entry.facts["verdict"] != "skipped"
        }
        assert ends <= over, "an outcome of what is not over"
        records = self.records()
        assert {name for name, record in records.items() if record.verdict != BEGUN} <= over, (
            "a record of what is not over"
        )
        changed = {
            effect.target
            for effect in effects
            if effect.call == self._setting.settings[effect.target].calls[-1]
            and effect.target in self._setting.needs
        }
        assert changed <= records.keys(), "an effect that the record knows nothing of"

    def _over(self, effect: simulated.Effect, call: str) -> bool:
        settings = self._setting.settings[effect.target]
        return call != settings.calls[-1] or self._clock.elapsed() - effect.at >= settings.takes_s

    def is_exact(self, ran: RunResult | None) -> None:
        """What an uninterrupted run would have left: each effect once, in order, each step's one
        outcome, and the record of it.

        `ran` is what the last process said, None if it died after its last word on disk.
        """
        unproved = self._setting.unproved
        bad = {
            name for name, settings in self._setting.settings.items() if settings.fails
        } | unproved
        skipped = {
            name for name, needs in self._setting.needs.items() if self._waits_for(name) & bad
        }
        verdicts = {
            name: (
                "skipped"
                if name in skipped
                else "unhealthy"
                if name in unproved
                else "failed"
                if name in bad
                else "succeeded"
            )
            for name in self._setting.needs
        }
        ends = verdicts | {f"{name}:rollback": "succeeded" for name in unproved}
        ends |= dict.fromkeys(self._setting.builds, "succeeded")
        assert sorted(self.outcomes()) == sorted(ends.items()), (
            "not exactly one outcome for each step"
        )
        end = (
            ("succeeded", 0)
            if not bad
            else ("partial", 4)
            if "succeeded" in verdicts.values()
            else ("failed", 1)
        )
        assert [
            (entry.facts["status"], entry.facts["exit"])
            for entry in self.entries()
            if entry.state == "end"
        ] == [end]
        if ran is not None:
            assert {outcome.step: outcome.verdict for outcome in ran.outcomes} == ends
            assert (ran.status, int(ran.exit)) == end
        effects = self.cloud.effects()
        expected = [
            (name, call)
            for _, name in self._setting.steps
            if name not in skipped
            for call in self._setting.settings[name].calls
        ]
        assert sorted((effect.target, effect.call) for effect in effects) == sorted(expected), (
            "an effect was lost, or came twice"
        )
        began = {
            name: min(effect.at for effect in effects if effect.target == name)
            for name in verdicts
            if name not in skipped
        }
        for name in began:
            for need in self._setting.needs[name]:
                over = (
                    max(effect.at for effect in effects if effect.target == need)
                    + self._setting.settings[need].takes_s
                )
                assert began[name] >= over, f"{name} began before {need} was over"
        for name in began:
            if key := self._setting.settings[name].artifact:
                [built] = [effect.at for effect in effects if effect.target == key]
                assert began[name] >= built, f"{name} began before {key} was built"
        document = {
            name: (record.verdict, record.version, record.run)
            for name, record in self.records().items()
        }
        now = {
            name: (verdict, f"v-{name}", self.run)
            for name, verdict in verdicts.items()
            if verdict != "skipped"
        }
        assert document == now | {name: ("succeeded", f"old-{name}", self.run) for name in unproved}

    def _waits_for(self, name: str) -> set[str]:
        needs = set(self._setting.needs[name])
        return needs.union(*(self._waits_for(need) for need in needs))


class Failpoints:
    """Puts points around everything that a run does outside of itself, for as long as it is
    entered.
    """

    def __init__(self, points: Points) -> None:
        self._points = points
        self._patch = pytest.MonkeyPatch()
        self._held: list[Flock] = []

    def __enter__(self) -> "Failpoints":
        points, patch = self._points, self._patch
        patch.setitem(targets.KINDS, simulated.KIND, simulated.__name__)
        for module in (journal, ledger):
            patch.setattr(module, "Disk", lambda: _Disk(points))
        self._around(
            Journal,
            "append",
            lambda result, state, step=None, **facts: (step or "run", f"append {state}"),
        )
        self._around(LocalLedger, "put", lambda result, record: (record.target, "record"))
        self._around(
            LocalLedger, "begin", lambda result, record: (record.target, "record of the beginning")
        )
        self._around(locks.Locks, "take", lambda result, *rest: ("locks", "take"))
        self._around(Flock, "release", lambda result: (result.name, "release"))
        attempt, unlink = Flocks.attempt, os.unlink

        def attempted(flocks: Flocks, name: str, holder: Any) -> Any:
            points(name, "before lock")
            got = attempt(flocks, name, holder)
            if got[0] is not None:
                self._held.append(got[0])
            points(name, "after lock")
            return got

        def unlinked(path: Any, **more: Any) -> None:
            if points.dead:
                raise Crash
            unlink(path, **more)

        patch.setattr(Flocks, "attempt", attempted)
        patch.setattr(os, "unlink", unlinked)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._patch.undo()

    def bury(self) -> None:
        """What the system does for a dead process: its locks are free, whatever is in the files."""
        for flock in self._held:
            if flock._descriptor >= 0:
                os.close(flock._descriptor)
                flock._descriptor = -1
        self._held.clear()

    def _around(self, owner: Any, name: str, named: Callable[..., tuple[str, str]]) -> None:
        really, points = getattr(owner, name), self._points

        def around(*args: Any, **more: Any) -> Any:
            where, what = named(*args, **more)
            points(where, f"before {what}")
            result = really(*args, **more)
            points(where, f"after {what}")
            return result

        self._patch.setattr(owner, name, around)


def begin(
    setting: Setting, folder: Path, points: Points | None = None, clock: Clock | None = None
) -> CrashStage:
    """A stage in a folder that is made for it; no time passes in it, unless it has another
    clock.
    """
    folder.mkdir()
    return CrashStage(setting, points or Points(), folder, clock or simulated.Impatient())


TWO = ("register", "move")
SETTINGS = {
    "tokens": Setting(
        DIAMOND,
        {"a": Settings(), "b": Settings(calls=TWO), "c": Settings(), "d": Settings(calls=TWO)},
    ),
    "looks": Setting(
        DIAMOND,
        {
            "a": Settings(tokened=False, late_s=4.0),
            "b": Settings(tokened=False, late_s=8.0, calls=TWO),
            "c": Settings(tokened=False),
            "d": Settings(tokened=False, calls=TWO),
        },
    ),
    "failing": Setting(
        DIAMOND,
        {
            "a": Settings(calls=TWO),
            "b": Settings(tokened=False, late_s=4.0, fails=True),
            "c": Settings(),
            "d": Settings(),
        },
    ),
    "side by side": Setting(
        DIAMOND,
        {
            "a": Settings(tokened=False),
            "b": Settings(tokened=False, late_s=4.0, calls=TWO),
            "c": Settings(calls=TWO),
            "d": Settings(tokened=False, late_s=8.0),
        },
        parallel=4,
    ),
    "undone": Setting(
        DIAMOND,
        {
            "a": Settings(calls=TWO),
            "b": Settings(calls=TWO),
            "c": Settings(tokened=False, late_s=4.0),
            "d": Settings(),
        },
        unproved=frozenset({"b"}),
    ),
    "baked": Setting(
        DIAMOND,
        {
            "a": Settings(calls=TWO),
            "b": Settings(tokened=False, late_s=4.0),
            "c": Settings(calls=TWO),
            "d": Settings(),
        },
        baked=frozenset({"b", "d"}),
    ),
    "built": Setting(
        DIAMOND,
        {
            "a": Settings(),
            "b": Settings(tokened=False, late_s=4.0, artifact="image"),
            "c": Settings(calls=TWO, artifact="image"),
            "d": Settings(artifact="bundle"),
            "image": Settings(calls=(BUILD,), tokened=False, takes_s=0.0),
            "bundle": Settings(calls=(BUILD,), takes_s=0.0),
        },
        parallel=2,
        builds={"b:build": "image", "d:build": "bundle"},
    ),
}
"""Runs of every flavour: with tokens, found by looking, one that fails, several steps at a time,
one that is put back, and one that builds what several steps need.
"""
