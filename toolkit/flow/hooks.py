"""The programs that a team runs before a deploy: tests, a linter, a copy of sources from another
machine. They run once it is agreed to and before the run begins, so that nothing is changed yet.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from shlex import join

from msgspec import Struct

from toolkit.errors import ProgramFailed, Stopped, ToolkitError
from toolkit.flow.deploy_versions import is_named
from toolkit.flow.stores import store_for
from toolkit.model import Rules, Target
from toolkit.operations import Job, JobAction
from toolkit.plan.graph import Graph
from toolkit.ports import commands
from toolkit.ports.commands import Command, Surroundings
from toolkit.ports.ports import Ports
from toolkit.record.history import StepLog
from toolkit.run.events import EventStream, HookBegan, HookEnded, LogLine, PhaseChanged
from toolkit.run.stop import Stop

BEFORE = ":before"
"""How the name of what runs before a target's deploy ends. No target has a colon in its name."""


class Hook(Struct, frozen=True):
    """What runs before a target is deployed to an environment, in order."""

    step: str
    commands: tuple[Command, ...]
    deadline_s: int


class HookRun(Struct, frozen=True):
    """What the hooks of a run work with."""

    run: str
    rules: Rules
    ports: Ports
    events: EventStream
    stop: Stop
    parallel: int
    redact: Callable[[str], str]


def hooks_of(jobs: Sequence[Job], rules: Rules, ports: Ports) -> tuple[Hook, ...]:
    """The hooks of the targets that these jobs deploy, and of the groups that these are in. Nothing
    is started. Raises Refused for a program that does not exist.
    """
    hooks: list[Hook] = []
    environments = list(dict.fromkeys(job.location.environment for job in jobs))
    for environment in environments:
        for target, job in _with_hooks(jobs, rules, environment):
            step = f"{target.name}{BEFORE}"
            if len(environments) > 1:
                step = f"{target.name}@{environment}{BEFORE}"
            facts = {**commands.job_facts(job), "TOOLKIT_TARGET": target.name}
            facts.pop("TOOLKIT_REGION", None)  # once for all regions
            passed = commands.required_variables(target.name, target.hooks.env)
            around = Surroundings(target.name, ".", passed, facts)
            programs = [commands.find(around, words, ports.root) for words in target.hooks.before]
            hooks.append(Hook(step, tuple(programs), target.hooks.deadline_s))
    return tuple(hooks)


def _with_hooks(
    jobs: Sequence[Job], rules: Rules, environment: str | None
) -> Iterator[tuple[Target, Job]]:
    """The targets with hooks, of which something is deployed from the working tree, each with a job
    of that.
    """
    by_target: dict[str, Job] = {}
    for job in jobs:
        deploys = job.action == JobAction.DEPLOY and not is_named(job)
        if deploys and job.location.environment == environment:
            by_target.setdefault(job.target, job)
    graph = Graph(rules.targets)
    for name, target in rules.targets.items():
        deployed = sorted(graph.leaves(name) & by_target.keys())
        if target.hooks.before and deployed:
            yield target, by_target[deployed[0]]


def run_hooks(request: HookRun, hooks: Sequence[Hook]) -> None:
    """Run them side by side, the programs of each in order. Where one fails, the others are ended.
    Raises ProgramFailed, Stopped, Refused.
    """
    with ThreadPoolExecutor(min(len(hooks), request.parallel)) as pool:
        problems = list(pool.map(lambda hook: _problem_of(request, hook), hooks))
    failures = [problem for problem in problems if problem is not None]
    # The others were only ended because of the first that failed.
    for problem in failures:
        if not isinstance(problem, Stopped):
            raise problem
    if failures:
        raise failures[0]


def _problem_of(request: HookRun, hook: Hook) -> ToolkitError | None:
    """Run the programs of a hook; what went wrong, None if nothing did."""
    clock, publish = request.ports.clock, request.events.publish
    began, problem = clock.elapsed(), None
    publish(HookBegan(hook.step))
    try:
        _run(request, hook)
    except ToolkitError as failure:
        problem = failure
        request.stop.ask(problem=failure)
    cause, stopped = "", isinstance(problem, Stopped)
    if isinstance(problem, ProgramFailed):
        cause = problem.facts["reason"]  # the hook's name stands before it already
    elif problem is not None and not stopped:
        cause = str(problem)
    took_s = round(clock.elapsed() - began, 2)
    publish(HookEnded(hook.step, took_s, request.redact(cause), stopped))
    return problem


def _run(request: HookRun, hook: Hook) -> None:
    store = store_for(request.rules, request.ports, None)
    log = StepLog(store, request.run, hook.step, request.redact)

    def write(line: str) -> None:
        log.write(line)
        request.events.publish(LogLine(hook.step, request.redact(line)))

    try:
        for command in hook.commands:
            shown = join(command.words)
            request.stop.check()
            request.events.publish(PhaseChanged(hook.step, f"running {shown}"))
            log.write(f"-- {shown}")
            clock, check = request.ports.clock, request.stop.check
            try:
                commands.run_well(command, clock, hook.deadline_s, write, check)
            except ProgramFailed as problem:
                raise ProgramFailed(
                    f"nothing was deployed; its whole log: {log.path}",
                    program=hook.step,
                    reason=request.redact(problem.facts["reason"]),
                ) from None
    finally:
        log.close()
