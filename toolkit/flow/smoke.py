"""`smoke-test`: the checks of rules.toml against the live system."""

from collections.abc import Callable, Sequence
from time import monotonic

from msgspec import Struct
from msgspec.structs import replace

from toolkit.advice import SameOptions
from toolkit.checks.select import Task
from toolkit.exits import Exit
from toolkit.flow import checks as flow
from toolkit.flow.aws_options import located_options
from toolkit.flow.check_run import PARALLEL, CheckOptions, CheckRun, combine_runs, overall_status
from toolkit.flow.rulebook import (
    environment_name,
    find_environment,
)
from toolkit.flow.stores import store_for
from toolkit.flow.trusted import load_trusted, require_rules_consent, trust_notice
from toolkit.model import Check, Checks, CheckTypeName, ProjectRequest, Rules
from toolkit.operations import CheckStatus, Location, Result, RunStatus
from toolkit.ports.git import Git
from toolkit.ports.ports import Ports
from toolkit.record.history import StepLog
from toolkit.record.journal import new_run_id
from toolkit.record.state import Store
from toolkit.run.jobs import locations
from toolkit.run.stop import Stop


class SmokeTestRequest(ProjectRequest, frozen=True, kw_only=True):
    """What a person asked for. `timeout_s` is for all of it; `redact` removes what looks like a
    secret from what is shown.
    """

    only: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    url: str | None = None
    timeout_s: float = 300.0
    retry_s: float = 0.0
    repeat: int = 1
    parallel: int = PARALLEL
    load: bool = False
    redact: Callable[[str], str] = str


class SmokeTestResult(Struct, frozen=True):
    """How it ended. `status` is PASSED, FAILED or UNKNOWN, or CANCELLED if it was stopped."""

    run: str
    environment: str | None
    status: CheckStatus | RunStatus
    exit: int
    results: tuple[Result, ...]
    took_s: float


class SmokeTestSetup(Struct, frozen=True):
    """Everything that is needed for the first check."""

    run: str
    checks: Checks
    names: tuple[str, ...]
    setup: flow.CheckSetup
    tasks: tuple[Task, ...]
    log: Callable[[Task], StepLog | None]
    store: Store | None = None
    first: tuple[str, ...] = ()
    """Notices to show before anything else."""
    same: SameOptions = SameOptions()
    """What next commands have to repeat."""


def list_checks(request: SmokeTestRequest, git: Git | None) -> tuple[Check, ...]:
    """The checks that the request is for; no credentials are needed. Raises RulesError, UsageError,
    Refused.
    """
    rules = load_trusted(request.folder, request.rules, git, request.allowed)
    checks = flow.load_checks(rules)
    environment = environment_name(request.environment, rules)
    names = flow.choose_checks(checks, request.only, request.tags, environment)
    return tuple(checks.checks[name] for name in names)


def prepare(request: SmokeTestRequest, git: Git | None, ports: Ports) -> SmokeTestSetup:
    """The checks that the request is for, and what they need. Raises RulesError, UsageError,
    Refused, CloudError before any check is made.
    """
    rules = load_trusted(request.folder, request.rules, git, request.allowed)
    name = environment_name(request.environment, rules)
    require_rules_consent(rules, name)
    environment = find_environment(name, rules)
    places = locations(environment, request.profile, request.region)
    checks = flow.load_checks(rules)
    names = flow.choose_checks(checks, request.only, request.tags, name)
    selection = flow.CheckSelection(
        rules,
        checks,
        names,
        environment,
        places,
        request.url,
        request.redact,
        request.timeout_s,
    )
    setup = flow.check_setup(selection, ports)
    run = new_run_id(ports.clock.now())
    tasks = flow.check_tasks(checks, names, setup)
    # A store is made only for what writes there: the logs of commands, the figures of loads.
    store: Store | None = None
    if request.load or any(task.check.check_type == CheckTypeName.COMMAND for task in tasks):
        profile = request.profile or (environment.profile if environment else None)
        store = store_for(rules, ports, profile)

    def log(task: Task) -> StepLog | None:
        if store is None or task.check.check_type != CheckTypeName.COMMAND:
            return None
        return StepLog(store, run, task.name, setup.redactor.over)

    notice = trust_notice(rules, name)
    same = _same_options(rules, request, places)
    prepared = SmokeTestSetup(run, checks, names, setup, tasks, log, store, notice, same)
    if request.load:
        from toolkit.flow import load_test

        load_test.check_prerequisites(prepared.tasks)
    return prepared


def _same_options(
    rules: Rules, request: SmokeTestRequest, places: Sequence[Location]
) -> SameOptions:
    """What next commands have to repeat. Of several regions they name none: all are asked."""
    place = places[0]
    if len(places) > 1:
        place = replace(place, region=None)
    return located_options(rules, request.rules, place)


def run_smoke_test(
    request: SmokeTestRequest,
    prepared: SmokeTestSetup,
    ports: Ports,
    stop: Stop,
    on_result: Callable[[Result], None],
) -> SmokeTestResult:
    """Run the checks, `repeat` times. Never raises for what a check meets."""
    began = monotonic()
    options = CheckOptions(
        began + request.timeout_s,
        stop,
        request.retry_s,
        request.parallel,
        on_result,
        prepared.log,
    )
    runs: list[tuple[Result, ...]] = []
    last = CheckRun((), prepared.setup, ports, options)
    while len(runs) < request.repeat and not (runs and stop.asked):
        last = CheckRun(prepared.tasks, prepared.setup, ports, options)
        runs.append(last.carry_out())
    results = combine_runs(runs)
    if request.load and prepared.store is not None:
        from toolkit.flow import load_test

        context = load_test.LoadContext(
            prepared.run, prepared.setup, prepared.store, last, ports, stop
        )
        for result in load_test.run_loads(prepared.tasks, results, context):
            on_result(result)
            results = (*results, result)
    status: CheckStatus | RunStatus = overall_status(results)
    code: int = Exit.OK if status == CheckStatus.PASSED else Exit.FAILED
    if stop.signal is not None:
        status, code = RunStatus.CANCELLED, 128 + stop.signal
    results = tuple(replace(result, same=prepared.same) for result in results)
    took = round(monotonic() - began, 2)
    return SmokeTestResult(prepared.run, prepared.setup.environment, status, code, results, took)
