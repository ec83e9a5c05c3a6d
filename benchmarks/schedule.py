"""Plans of pretend steps, to see what scheduling them costs: the steps only wait."""

import time
from collections.abc import Callable, Mapping
from random import Random
from threading import Lock
from typing import Any, cast
from unittest.mock import patch

from toolkit import targets
from toolkit.model import Version
from toolkit.operations import Job, JobAction, Location, Observation, Outcome, StepState
from toolkit.ports.clock import SystemClock
from toolkit.ports.ports import Ports
from toolkit.record.journal import Journal
from toolkit.record.state import Store
from toolkit.run.events import RunEvent
from toolkit.run.execute import Execution
from toolkit.run.request import RunRequest
from toolkit.run.stop import Stop
from toolkit.targets.base import Report

Plan = Mapping[str, tuple[str, ...]]
"""Each step, and those that it waits for."""


def chain(steps: int) -> Plan:
    """One after the other."""
    return {str(at): (str(at - 1),) if at else () for at in range(steps)}


def diamonds(steps: int) -> Plan:
    """Again and again one step, eight that wait for it, and one that waits for these."""
    found: dict[str, tuple[str, ...]] = {}
    last: tuple[str, ...] = ()
    while len(found) < steps:
        at, wide = len(found), (len(found) % 9) == 1
        names = [str(at + more) for more in range(min(8 if wide else 1, steps - at))]
        found |= dict.fromkeys(names, last)
        last = tuple(names)
    return found


def layers(steps: int, chance: Random) -> Plan:
    """Twenty layers at most, each step waiting for one to three of the layer before."""
    wide = max(steps // 20, 2)
    found: dict[str, tuple[str, ...]] = {}
    for at in range(steps):
        start = at // wide * wide
        before = [str(one) for one in range(start - wide, start)] if start else []
        found[str(at)] = tuple(chance.sample(before, min(len(before), chance.randint(1, 3))))
    return found


def regions(accounts: int, regions: int, stacks: int, chance: Random) -> Plan:
    """The same stacks in each region of each account: every stack needs up to three of the stacks
    before it there, and its own of the region before.
    """
    plan: dict[str, tuple[str, ...]] = {}
    for account in range(accounts):
        for region in range(regions):
            for stack in range(stacks):
                before = chance.sample(range(stack), min(stack, chance.randint(0, 3)))
                needs = [f"{account} {region} {need}" for need in before]
                if region:
                    needs.append(f"{account} {region - 1} {stack}")
                plan[f"{account} {region} {stack}"] = tuple(needs)
    return plan


def durations(plan: Plan, chance: Random, critical_s: float) -> dict[str, float]:
    """Pretend seconds for each step, so that the longest way through the plan takes
    `critical_s`.
    """
    found = {step: chance.uniform(0.5, 1.5) for step in plan}
    longest = critical_path(plan, found)
    return {step: seconds * critical_s / longest for step, seconds in found.items()}


def critical_path(plan: Plan, takes: Mapping[str, float]) -> float:
    """The seconds that the plan takes if nothing else did; its steps stand in the order of their
    needs.
    """
    over: dict[str, float] = {}
    for step, needs in plan.items():
        over[step] = takes[step] + max((over[need] for need in needs), default=0.0)
    return max(over.values())


def overhead(
    plan: Plan, takes: Mapping[str, float], folder: str | None = None
) -> tuple[float, float]:
    """The seconds that the plan took, each step in a thread as soon as it may, over the seconds
    that its critical path took in them. With a folder, a journal is written in it: three lines a
    step, each on disk before the step goes on.

    A pretend step is what its sleep really took: what the system adds to a sleep is not the
    scheduler's.
    """
    lock, really = Lock(), dict[str, float]()

    def work(step: str) -> bool:
        start = time.perf_counter()
        time.sleep(takes[step])
        with lock:
            really[step] = time.perf_counter() - start
        return True

    return _timed(plan, takes, work, len(plan), folder), critical_path(plan, really)


def bare(plan: Plan, parallel: int) -> float:
    """The seconds that a plan takes whose steps do nothing."""
    return _timed(plan, dict.fromkeys(plan, 1.0), lambda step: True, parallel, None)


def _timed(
    plan: Plan,
    takes: Mapping[str, float],
    work: Callable[[str], bool],
    parallel: int,
    folder: str | None,
) -> float:
    ports = Ports("/", "/", SystemClock(), lambda profile, region: cast(Any, None))
    request = RunRequest(run="run", ports=ports, events=_Nobody(), stop=Stop(), parallel=parallel)
    jobs = [_job(step, needs, takes[step]) for step, needs in plan.items()]
    journal = _NoJournal() if folder is None else _StepLines(folder)
    start = time.perf_counter()
    with patch.object(targets, "kind", lambda name: _Pretend(work)):
        assert Execution(request, journal, lambda: None, jobs).carry_out().exit == 0
    took = time.perf_counter() - start
    journal.journal.close()
    return took


def _job(step: str, needs: tuple[str, ...], takes_s: float) -> Job:
    weight, version, place = round(takes_s * 1e6), Version("v1", "c1", "f1"), Location("dev")
    return Job(
        step, step, "pretend", JobAction.DEPLOY, place, None, version, "run", "token", needs, weight
    )


class _Pretend:
    """A kind whose steps only wait."""

    def __init__(self, work: Callable[[str], bool]) -> None:
        self._work = work

    def apply(self, job: Job, ports: Ports, report: Report) -> None:
        report.intend("work")
        self._work(job.step)
        report.keep(done=True)

    def observe(self, *_: object) -> Observation:
        return Observation(StepState.DONE)


class _NoJournal:
    """A journal and logs that nobody keeps."""

    @property
    def journal(self) -> Any:
        return self

    def append(self, state: str, step: str | None = None, **facts: Any) -> None: ...
    def log(self, step: str) -> "_NoJournal":
        return self

    def write(self, line: str) -> None: ...
    def close(self) -> None: ...
    def announce(self, job: Job) -> None: ...
    def has_announced(self, job: Job) -> bool:
        return False

    def record(self, job: Job, outcome: Outcome) -> None: ...


class _StepLines(_NoJournal):
    """A real journal, and logs that nobody keeps."""

    def __init__(self, folder: str) -> None:
        self._journal = Journal.create(Store(folder), "run", {})

    @property
    def journal(self) -> Journal:
        return self._journal


class _Nobody:
    """A stream of events that nobody listens to."""

    def publish(self, event: RunEvent) -> None: ...
