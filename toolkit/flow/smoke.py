"""`smoke-test`: the checks of rules.toml against the live system."""

from collections.abc import Callable
from time import monotonic

from msgspec import Struct

from toolkit.checks.select import Task
from toolkit.errors import Exit
from toolkit.flow import checks as flow
from toolkit.flow.rounds import PARALLEL, CheckOptions, CheckRun, status, together
from toolkit.flow.rulebook import environment
from toolkit.flow.stores import store_for
from toolkit.flow.trusted import agree, load_trusted, told
from toolkit.model import Check, Checks, Result
from toolkit.ports.git import Git
from toolkit.ports.ports import Ports
from toolkit.record.history import StepLog
from toolkit.record.journal import new_run_id
from toolkit.record.state import Store
from toolkit.run.jobs import locations
from toolkit.run.stop import Stop


class SmokeTestRequest(Struct, frozen=True, kw_only=True):
    """What a person asked for. `timeout_s` is for all of it; `redact` takes what looks like a
    secret out of what is told.
    """

    folder: str
    rules: str | None = None
    environment: str | None = None
    profile: str | None = None
    region: str | None = None
    only: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    url: str | None = None
    timeout_s: float = 300.0
    retry_s: float = 0.0
    repeat: int = 1
    parallel: int = PARALLEL
    load: bool = False
    allowed: bool = False
    redact: Callable[[str], str] = str


class SmokeTestResult(Struct, frozen=True):
    """What came of it. `status` is passed, failed, unknown or cancelled."""

    run: str
    environment: str | None
    status: str
    exit: int
    results: tuple[Result, ...]
    took_s: float


class SmokeTestSetup(Struct, frozen=True):
    """Everything that is there before the first check is asked."""

    run: str
    found: Checks
    names: tuple[str, ...]
    scene: flow.CheckSetup
    tasks: tuple[Task, ...]
    log: Callable[[Task], StepLog | None]
    store: Store | None = None
    first: tuple[str, ...] = ()
    """What is told before anything else."""


def listed(request: SmokeTestRequest, git: Git | None) -> tuple[Check, ...]:
    """The checks that are meant; nothing is needed to say that. Raises RulesError, UsageError,
    Refused.
    """
    rules = load_trusted(request.folder, request.rules, git, request.allowed)
    found = flow.load(rules)
    return tuple(
        found.checks[name]
        for name in flow.chosen(
            found, request.only, request.tags, environment(request.environment, rules)
        )
    )


def prepare(request: SmokeTestRequest, git: Git | None, ports: Ports) -> SmokeTestSetup:
    """The checks that are meant, and what they need. Raises RulesError, UsageError, Refused,
    CloudError before anything is asked.
    """
    rules = load_trusted(request.folder, request.rules, git, request.allowed)
    name = environment(request.environment, rules)
    agree(rules, name)
    there = rules.environments.get(name) if name else None
    found = flow.load(rules)
    names = flow.chosen(found, request.only, request.tags, name)
    where = locations(there, request.profile, request.region)
    scene = flow.scene(
        rules, found, names, there, where, ports, request.url, request.redact, request.timeout_s
    )
    run = new_run_id(ports.clock.now())
    tasks = flow.tasks(found, names, scene)
    kept = request.load or any(task.check.check_type == "command" for task in tasks)
    store = (
        store_for(rules, ports, request.profile or (there.profile if there else None))
        if kept
        else None
    )

    def log(task: Task) -> StepLog | None:
        return (
            StepLog(store, run, task.name, scene.veil.over)
            if store is not None and task.check.check_type == "command"
            else None
        )

    stage = SmokeTestSetup(run, found, names, scene, tasks, log, store, told(rules, name))
    if request.load:
        from toolkit.flow import loads

        loads.check(stage)
    return stage


def smoke(
    request: SmokeTestRequest,
    stage: SmokeTestSetup,
    ports: Ports,
    stop: Stop,
    told: Callable[[Result], None],
) -> SmokeTestResult:
    """Carry them out, `repeat` times. Never raises for what a check meets."""
    began = monotonic()
    terms = CheckOptions(
        began + request.timeout_s, stop, request.retry_s, request.parallel, told, stage.log
    )
    rounds: list[tuple[Result, ...]] = []
    last = CheckRun((), stage.scene, ports, terms)
    while len(rounds) < request.repeat and not (rounds and stop.asked):
        last = CheckRun(stage.tasks, stage.scene, ports, terms)
        rounds.append(last.carry_out())
    results = together(rounds)
    if request.load and stage.store is not None:
        from toolkit.flow import loads

        for result in loads.carry_out(stage, stage.store, last, results, ports, stop):
            told(result)
            results = (*results, result)
    word = status(results)
    took = round(monotonic() - began, 2)
    if stop.signal is not None:
        return SmokeTestResult(
            stage.run, stage.scene.environment, "cancelled", 128 + stop.signal, results, took
        )
    code = Exit.OK if word == "passed" else Exit.FAILED
    return SmokeTestResult(stage.run, stage.scene.environment, word, code, results, took)
