"""`smoke-test --load`: after the checks, a small load with the requests of those that have `load`,
compared with the last good run.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from toolkit.checks import http, load
from toolkit.checks.select import Task
from toolkit.checks.tries import hidden
from toolkit.errors import ToolkitError, UsageError
from toolkit.flow.check_run import CheckRun
from toolkit.flow.checks import CheckSetup
from toolkit.formats.variables import fill_check
from toolkit.model import Load
from toolkit.operations import CheckStatus, Result
from toolkit.ports import load as port
from toolkit.ports.ports import Ports
from toolkit.record import loads as record
from toolkit.record.history import StepLog
from toolkit.record.loads import LoadRecord
from toolkit.record.state import Store
from toolkit.run.stop import Stop

SUFFIX = " (load)"
"""What the name of a load's result ends with."""


def check_prerequisites(tasks: Sequence[Task]) -> None:
    """Raises UsageError, Refused where something that a load needs is missing."""
    if not any(task.check.load for task in tasks):
        raise UsageError(
            "none of these checks has `load`",
            "give one of them `load = {}` in rules.toml, or leave --load out",
        )
    port.require_locust()


class LoadContext(Struct, frozen=True):
    """What every load runs with. `last` is the check run before, whose values are used."""

    run: str
    setup: CheckSetup
    store: Store
    last: CheckRun
    ports: Ports
    stop: Stop


def run_loads(
    tasks: Sequence[Task], results: Sequence[Result], context: LoadContext
) -> Iterator[Result]:
    """One load after the other: two at once would only measure each other. `results` are those of
    the check run before.
    """
    stop = context.stop
    passed = set[str]()
    for task, result in zip(tasks, results, strict=True):
        if result.status == CheckStatus.PASSED:
            passed.add(task.name)
    for task in tasks:
        settings = task.check.load
        if settings is None:
            continue
        if task.name in passed and not stop.asked:
            yield _run_load(task, settings, context)
            continue
        cause = "it was stopped" if stop.asked else f"check {task.check.name} did not pass"
        asks = context.setup.redactor.over(task.check.asks)
        yield Result(
            task.check.name + SUFFIX, CheckStatus.SKIPPED, asks, task.at, cause=cause, tries=0
        )


def _run_load(task: Task, wanted: Load, context: LoadContext) -> Result:
    setup, store, stop = context.setup, context.store, context.stop
    redactor, environment = setup.redactor, setup.environment
    name = task.check.name + SUFFIX
    settings = fill_check(task.check.settings, context.last.values_for(task))
    asks = f"{wanted.users} users for {wanted.seconds}s: {redactor.over(task.check.asks)}"
    log = StepLog(store, context.run, name, redactor.over)
    try:
        before = record.read(store, environment, task.name)
        last: load.LastLoad | None = None
        if before is not None and before.asks == asks:  # another load has other figures
            last = load.LastLoad(before.p50, before.p95, before.p99)
        request = load.encode_job(
            http.request(settings, task.base, task.check.contents),
            setup.policy,
            settings.expect.status,
            task.check.timeout_s,
        )
        report = port.run(request, wanted.users, wanted.seconds, log.write, lambda: stop.asked)
        misses = hidden(load.load_mismatches(report, wanted, last), redactor)
        rate = round(report.rate, 2)
        if not misses:
            now = context.ports.clock.now().isoformat(timespec="seconds")
            entry = LoadRecord(asks, now, report.p50, report.p95, report.p99, rate)
            record.save(store, environment, task.name, entry)
    except ToolkitError as problem:
        is_unknown = stop.asked or not problem.is_observed
        status = CheckStatus.UNKNOWN if is_unknown else CheckStatus.FAILED
        cause = redactor.over(str(problem))
        return Result(name, status, asks, task.at, cause=cause, log=log.path)
    finally:
        log.close()
    status, cause = CheckStatus.PASSED, ""
    if misses:
        status = CheckStatus.FAILED
        cause = f"{misses[0].what}: expected {misses[0].wanted}, got {misses[0].found}"
    return Result(
        name,
        status,
        asks,
        task.at,
        cause,
        misses=misses,
        detail=load.words(report, last),
        took_s=round(report.seconds, 2),
        log=log.path,
        figures={
            "requests": float(report.requests),
            "errors": float(report.errors),
            "rate": rate,
            "p50_ms": report.p50,
            "p95_ms": report.p95,
            "p99_ms": report.p99,
        },
    )
