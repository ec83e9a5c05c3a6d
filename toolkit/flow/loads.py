"""`smoke-test --load`: after the checks, a small load with the requests of those that want one,
held against the last good run.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from toolkit.checks import http, load
from toolkit.checks.select import Task
from toolkit.checks.tries import hidden
from toolkit.checks.values import filled
from toolkit.errors import ToolkitError, UsageError
from toolkit.flow.rounds import CheckRun
from toolkit.model import Load, Result
from toolkit.ports import load as port
from toolkit.ports.ports import Ports
from toolkit.record import loads as record
from toolkit.record.history import StepLog
from toolkit.record.loads import LoadRecord
from toolkit.record.state import Store
from toolkit.run.stop import Stop

if TYPE_CHECKING:  # smoke.py tells the story, and comes here where a load is wanted
    from toolkit.flow.smoke import SmokeTestSetup

SUFFIX = " (load)"
"""What the name of a load's result ends with."""


def check(stage: "SmokeTestSetup") -> None:
    """Everything that a load needs is there. Raises UsageError, Refused."""
    if not any(task.check.load for task in stage.tasks):
        raise UsageError(
            "none of these checks has `load`",
            "give one of them `load = {}` in rules.toml, or leave --load out",
        )
    port.require_locust()


def carry_out(
    stage: "SmokeTestSetup",
    store: Store,
    last: CheckRun,
    results: tuple[Result, ...],
    ports: Ports,
    stop: Stop,
) -> Iterator[Result]:
    """One load after the other: two at once would only measure each other. `last` is the round
    before, whose values are used.
    """
    passed = {
        task.name
        for task, result in zip(stage.tasks, results, strict=True)
        if result.status == "passed"
    }
    for task in stage.tasks:
        wanted = task.check.load
        if wanted is None:
            continue
        name = task.check.name + SUFFIX
        if task.name not in passed or stop.asked:
            cause = "it was stopped" if stop.asked else f"check {task.check.name} did not pass"
            yield Result(
                name,
                "skipped",
                stage.scene.veil.over(task.check.asks),
                task.at,
                cause=cause,
                tries=0,
            )
        else:
            yield _one(name, task, wanted, stage, store, last, ports, stop)


def _one(
    name: str,
    task: Task,
    wanted: Load,
    stage: "SmokeTestSetup",
    store: Store,
    last: CheckRun,
    ports: Ports,
    stop: Stop,
) -> Result:
    veil, environment = stage.scene.veil, stage.scene.environment
    settings = filled(task.check.settings, last.known(task))
    asks = f"{wanted.users} users for {wanted.seconds}s: {veil.over(task.check.asks)}"
    log = StepLog(store, stage.run, name, veil.over)
    try:
        before = record.read(store, environment, task.name)
        comparable = before if before is not None and before.asks == asks else None
        given = load.encode_job(
            http.request(settings, task.base),
            stage.scene.policy,
            settings.expect.status,
            task.check.timeout_s,
        )
        found = port.run(given, wanted.users, wanted.seconds, log.write, lambda: stop.asked)
        then = (
            None
            if comparable is None
            else load.LastLoad(comparable.p50, comparable.p95, comparable.p99)
        )
        bad = hidden(load.load_mismatches(found, wanted, then), veil)
        if not bad:
            now = ports.clock.now().isoformat(timespec="seconds")
            record.save(
                store,
                environment,
                task.name,
                LoadRecord(asks, now, found.p50, found.p95, found.p99, round(found.rate, 2)),
            )
    except ToolkitError as problem:
        return Result(
            name,
            "unknown" if stop.asked or not problem.is_observed else "failed",
            asks,
            task.at,
            cause=veil.over(str(problem)),
            log=log.path,
        )
    finally:
        log.close()
    cause = f"{bad[0].what}: expected {bad[0].wanted}, got {bad[0].found}" if bad else ""
    figures = {
        "requests": float(found.requests),
        "errors": float(found.errors),
        "rate": round(found.rate, 2),
    }
    figures |= {"p50_ms": found.p50, "p95_ms": found.p95, "p99_ms": found.p99}
    return Result(
        name,
        "failed" if bad else "passed",
        asks,
        task.at,
        cause,
        misses=bad,
        detail=load.words(found, then),
        took_s=round(found.seconds, 2),
        log=log.path,
        figures=figures,
    )
