"""One round of checks: what does not depend on each other side by side, captured values handed on,
all of it by one deadline.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from http.cookiejar import CookieJar
from random import SystemRandom
from statistics import median
from threading import Lock
from time import monotonic
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from toolkit.checks.base import CheckContext
from toolkit.checks.select import Task
from toolkit.checks.tries import carry_out
from toolkit.checks.values import generated
from toolkit.flow.checks import CheckSetup
from toolkit.flow.decisions import tell_result
from toolkit.model import Result
from toolkit.ports.ports import Ports
from toolkit.run.schedule import Schedule
from toolkit.run.stop import Stop
from toolkit.run.workers import WorkerPool

PARALLEL = 8
SHORTEST_COOKIE = 8
"""The value of a shorter cookie is no secret: `theme=dark`."""


class CheckLog(Protocol):
    """Where a child's output goes; `path` is its own file, empty if it has none."""

    @property
    def path(self) -> str: ...
    def write(self, line: str) -> None: ...
    def close(self) -> None: ...


class CheckOptions(Struct, frozen=True):
    """How a round is carried out. `until` is of time.monotonic(); every check is tried again for
    `retry_s` seconds at least. `told` hears of each result, `log` gives the file for a child's
    output.
    """

    until: float
    stop: Stop
    retry_s: float = 0.0
    parallel: int = PARALLEL
    told: Callable[[Result], None] = lambda result: None
    log: Callable[[Task], "CheckLog | None"] = lambda task: None


class CheckRun:
    """The tasks of one round, and what has come of them so far."""

    def __init__(
        self, tasks: Sequence[Task], scene: CheckSetup, ports: Ports, terms: CheckOptions
    ) -> None:
        self._tasks = {task.name: task for task in tasks}
        self._scene, self._ports, self._terms = scene, ports, terms
        self._lock = Lock()
        self._results: dict[str, Result] = {}
        self.values: dict[str, Mapping[str, str]] = {}
        """Task -> what it has captured."""
        self._jars: dict[str, CookieJar] = {}
        self._generated = generated(ports.clock.now(), SystemRandom())

    def carry_out(self) -> tuple[Result, ...]:
        """The results in the order of the tasks. Never raises for what a check meets."""
        waits = {name: task.waits for name, task in self._tasks.items()}
        schedule = Schedule(
            waits, {name: task.check.timeout_s for name, task in self._tasks.items()}
        )
        WorkerPool(
            schedule,
            self._work,
            lambda step, other: None,
            lambda: False,
            self._terms.parallel,
            False,
        ).carry_out()
        return tuple(self._results[name] for name in self._tasks)

    def known(self, task: Task) -> dict[str, str]:
        """Every value that a task can use."""
        location = {"url": task.base.rstrip("/"), "region": task.location.region or ""}
        given = {
            name: value
            for giver in task.gives
            for name, value in self.values.get(giver, {}).items()
        }
        return {**self._generated, **location, **self._scene.known, **given}

    def jar(self, task: Task) -> CookieJar:
        """The cookies of all that came before it."""
        jar = CookieJar()
        for other in sorted(task.waits):
            for cookie in self._jars.get(other, ()):
                jar.set_cookie(cookie)
        return jar

    def _work(self, name: str) -> bool:
        """One task. What waits for it decides for itself, so that what cleans up is not skipped
        with the rest.
        """
        task = self._tasks[name]
        result = replace(self._result(task), at=task.at)
        with self._lock:
            self._results[name] = result
        tell_result(result)
        self._terms.told(result)
        return True

    def _result(self, task: Task) -> Result:
        check = task.check
        missing = sorted(
            one for one in task.needs | task.gives if self._results[one].status != "passed"
        )
        if missing:
            return Result(
                check.name,
                "skipped",
                check.asks,
                cause=f"it waits for {missing[0]}, which did not pass",
                tries=0,
            )
        over = monotonic() >= self._terms.until
        if (over or self._terms.stop.asked) and not check.always:
            return Result(
                check.name,
                "unknown",
                check.asks,
                cause="there was no time left for it" if over else "it was stopped",
                tries=0,
            )
        return self._tried(
            task, monotonic() + check.timeout_s if check.always else self._terms.until
        )

    def _tried(self, task: Task, until: float) -> Result:
        check, log, jar = task.check, self._terms.log(task), self.jar(task)
        around = CheckContext(
            policy=self._scene.policy,
            aws=self._ports.aws,
            location=task.location,
            seconds=check.timeout_s,
            base=task.base,
            jar=jar,
            root=self._scene.root,
            log=log.write if log is not None else lambda line: None,
            stopped=(lambda: False) if check.always else lambda: self._terms.stop.asked,
        )
        retrying = replace(check, retry_s=max(check.retry_s, self._terms.retry_s))
        try:
            tried = carry_out(
                retrying,
                self.known(task),
                around,
                self._scene.veil,
                until,
                self._pause,
            )
        finally:
            if log is not None:
                log.close()
        with self._lock:
            self.values[task.name], self._jars[task.name] = tried.values, jar
        for cookie in jar:  # what opens a session is a secret, captured or not
            self._scene.veil.hide(cookie.name, cookie.value or "", SHORTEST_COOKIE)
        return replace(tried.result, log=log.path) if log is not None else tried.result

    def _pause(self, seconds: float) -> None:
        self._ports.clock.wait(seconds, self._terms.stop.event)


def together(rounds: Sequence[Sequence[Result]]) -> tuple[Result, ...]:
    """Several rounds as one: a check has passed if it did so every time; else its first bad end is
    told. Pure.
    """
    if len(rounds) == 1:
        return tuple(rounds[0])
    return tuple(_together(results) for results in zip(*rounds, strict=True))


def _together(results: Sequence[Result]) -> Result:
    good = sum(result.status == "passed" for result in results)
    worst = next(
        (
            result
            for status in ("failed", "unknown", "skipped")
            for result in results
            if result.status == status
        ),
        results[-1],
    )
    took = median(result.took_s for result in results)
    return replace(
        worst,
        detail=f"{good} of {len(results)} passed",
        took_s=round(took, 3),
        tries=sum(result.tries for result in results),
    )


def status(results: Iterable[Result]) -> str:
    """The word for all of them: failed, unknown or passed. What was skipped was skipped for one
    that failed, or is unknown. Pure.
    """
    found = {result.status for result in results}
    return next((word for word in ("failed", "unknown") if word in found), "passed")
