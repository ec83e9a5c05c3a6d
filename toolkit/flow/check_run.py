"""One run of checks by one deadline: independent checks at the same time, captured values handed
on to the checks that use them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from random import SystemRandom
from statistics import median
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from toolkit.checks.base import CheckContext
from toolkit.checks.select import Task
from toolkit.checks.tries import carry_out
from toolkit.checks.values import generated
from toolkit.flow.checks import CheckSetup
from toolkit.flow.decisions import tell_result
from toolkit.operations import CheckStatus, Result
from toolkit.ports.ports import Ports
from toolkit.run.schedule import Schedule
from toolkit.run.stop import Stop

if TYPE_CHECKING:
    from http.cookiejar import CookieJar

PARALLEL = 8
SHORTEST_COOKIE = 8
"""The value of a shorter cookie is not a secret: `theme=dark`."""


class CheckLog(Protocol):
    """Where a child's output goes; `path` is its own file, empty if it has none."""

    @property
    def path(self) -> str: ...
    def write(self, line: str) -> None: ...
    def close(self) -> None: ...


class CheckOptions(Struct, frozen=True):
    """How checks are run. `until` is of time.monotonic(); every check is tried again for `retry_s`
    seconds at least. `on_result` hears of each result, `log` gives the file for a child's output.
    """

    until: float
    stop: Stop
    retry_s: float = 0.0
    parallel: int = PARALLEL
    on_result: Callable[[Result], None] = lambda result: None
    log: Callable[[Task], "CheckLog | None"] = lambda task: None


class CheckRun:
    """The tasks of one run, and their results so far."""

    def __init__(
        self, tasks: Sequence[Task], setup: CheckSetup, ports: Ports, options: CheckOptions
    ) -> None:
        self._tasks = {task.name: task for task in tasks}
        self._setup, self._ports, self._options = setup, ports, options
        self._lock = Lock()
        self._results: dict[str, Result] = {}
        self.values: dict[str, Mapping[str, Any]] = {}
        """Task -> what it has captured."""
        self._jars: dict[str, CookieJar] = {}
        self._generated = generated(ports.clock.now(), SystemRandom())

    def carry_out(self) -> tuple[Result, ...]:
        """The results in the order of the tasks. Never raises for what a check meets."""
        waits = {name: task.waits for name, task in self._tasks.items()}
        schedule = Schedule(
            waits, {name: task.check.timeout_s for name, task in self._tasks.items()}
        )
        with ThreadPoolExecutor(self._options.parallel) as pool:
            running: dict[Future[None], str] = {}
            while True:
                while (
                    len(running) < self._options.parallel and (name := schedule.next()) is not None
                ):
                    running[pool.submit(self._work, name)] = name
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    schedule.succeeded(running.pop(future))
                    future.result()
        return tuple(self._results[name] for name in self._tasks)

    def values_for(self, task: Task) -> dict[str, Any]:
        """Every value that a task can use."""
        location = {"url": task.base.rstrip("/"), "region": task.location.region or ""}
        values: dict[str, Any] = {**self._generated, **location, **self._setup.values}
        # Last, so that a captured value wins over a variable of the same name.
        for giver in task.gives:
            values |= self.values.get(giver, {})
        return {**values, **task.row_values}

    def jar(self, task: Task) -> "CookieJar":
        """The cookies of all that came before it."""
        from http.cookiejar import CookieJar  # it loads OpenSSL, and a page of help runs no check

        jar = CookieJar()
        for name in sorted(task.waits):
            for cookie in self._jars.get(name, ()):
                jar.set_cookie(cookie)
        return jar

    def _work(self, name: str) -> None:
        """One task. What waits for it decides for itself, so that what cleans up is not skipped
        with the rest.
        """
        task = self._tasks[name]
        result = replace(self._result(task), at=task.at, row=task.row)
        with self._lock:
            self._results[name] = result
        tell_result(result)
        self._options.on_result(result)

    def _result(self, task: Task) -> Result:
        check, options = task.check, self._options
        for name in sorted(task.needs | task.gives):
            if self._results[name].status != CheckStatus.PASSED:
                cause = f"it waits for {name}, which did not pass"
                return Result(check.name, CheckStatus.SKIPPED, check.asks, cause=cause, tries=0)
        if check.always:  # what cleans up has its own time, also after the deadline or a stop
            return self._try(task, monotonic() + check.timeout_s)
        if monotonic() >= options.until:
            cause = "the time was up before it could run"
            return Result(check.name, CheckStatus.UNKNOWN, check.asks, cause=cause, tries=0)
        if options.stop.asked:
            cause = "it was stopped"
            return Result(check.name, CheckStatus.UNKNOWN, check.asks, cause=cause, tries=0)
        return self._try(task, options.until)

    def _try(self, task: Task, until: float) -> Result:
        check, jar = task.check, self.jar(task)
        redactor, stop = self._setup.redactor, self._options.stop
        log = self._options.log(task)
        context = CheckContext(
            policy=self._setup.policy,
            aws=self._ports.aws,
            location=task.location,
            seconds=check.timeout_s,
            base=task.base,
            jar=jar,
            root=self._setup.root,
            log=log.write if log is not None else lambda line: None,
            stopped=lambda: stop.asked and not check.always,
            contents=check.contents,
        )
        retrying = replace(check, retry_s=max(check.retry_s, self._options.retry_s))
        try:
            tried = carry_out(
                retrying,
                self.values_for(task),
                context,
                redactor,
                until,
                self._pause,
            )
        finally:
            if log is not None:
                log.close()
        with self._lock:
            self.values[task.name], self._jars[task.name] = tried.values, jar
        for cookie in jar:  # what opens a session is a secret, captured or not
            redactor.hide(cookie.name, cookie.value or "", SHORTEST_COOKIE)
        return replace(tried.result, log=log.path) if log is not None else tried.result

    def _pause(self, seconds: float) -> None:
        self._ports.clock.wait(seconds, self._options.stop.event)


def combine_runs(runs: Sequence[Sequence[Result]]) -> tuple[Result, ...]:
    """Several runs as one: a check has passed if it did so every time; else its first bad result is
    shown. Pure.
    """
    if len(runs) == 1:
        return tuple(runs[0])
    return tuple(_combined(results) for results in zip(*runs, strict=True))


def _combined(results: Sequence[Result]) -> Result:
    good = sum(result.status == CheckStatus.PASSED for result in results)
    worst = results[-1]
    # the last one that there is counts
    for status in (CheckStatus.SKIPPED, CheckStatus.UNKNOWN, CheckStatus.FAILED):
        worst = next((result for result in results if result.status == status), worst)
    took = median(result.took_s for result in results)
    return replace(
        worst,
        repeats=(len(results), good),
        took_s=round(took, 3),
        tries=sum(result.tries for result in results),
    )


def overall_status(results: Iterable[Result]) -> CheckStatus:
    """The word for all of them: failed, unknown or passed. What was skipped was skipped for one
    that failed, or is unknown. Pure.
    """
    statuses = {result.status for result in results}
    bad = (status for status in CheckStatus if status.is_bad and status in statuses)
    return next(bad, CheckStatus.PASSED)
