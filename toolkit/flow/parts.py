"""Targets that stand for several things: their parts when they are deployed, what is recorded of
them, and what no target covers.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from graphlib import TopologicalSorter
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING

from msgspec.structs import replace

from toolkit import targets
from toolkit.errors import ToolkitError
from toolkit.flow.aws_options import cli_options
from toolkit.flow.good_deploys import recorded_deploy_of
from toolkit.flow.rulebook import find_environment, variables_of
from toolkit.model import Rules
from toolkit.operations import Job, JobAction, Preview, RecordedDeploy, Uncovered
from toolkit.ports.background import BackgroundTask, Timeout
from toolkit.ports.ports import Ports
from toolkit.run import jobs as run_jobs
from toolkit.targets.base import Kind

if TYPE_CHECKING:  # `diff` asks for records, and synthesizes nothing
    from toolkit.ports.program_runs import ProgramLog

RECORD_S = 20.0
"""How long a record may take to be read, in seconds."""
MOST_AT_ONCE = 16
"""How many targets are asked for their parts at the same time."""


def has_parts(job: Job) -> bool:
    """Whether the job's target stands for several things."""
    return targets.kind(job.kind).has_parts(job.settings)


def with_parts(jobs: Sequence[Job], ports: Ports) -> tuple[Job, ...]:
    """The jobs, each of a target with parts behind a job for every part, which it waits for. What
    waits for the target still waits for the job of the whole. Raises ToolkitError.
    """
    several = [job for job in jobs if job.action == JobAction.DEPLOY and has_parts(job)]
    if not several:
        return tuple(jobs)

    def ask(job: Job) -> tuple[str, ...]:
        try:
            return targets.kind(job.kind).parts(job, ports)
        except ToolkitError as problem:
            problem.aws_options = cli_options(job.location)
            raise

    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(len(several), MOST_AT_ONCE)) as pool:
        names = dict(zip((job.step for job in several), pool.map(ask, several), strict=True))
    expanded: list[Job] = []
    for job in jobs:
        if job.step not in names:
            expanded.append(job)
            continue
        parts = [run_jobs.part_job(job, name) for name in names[job.step]]
        needs = sorted({*job.needs, *(part.step for part in parts)})
        whole = replace(job, parts=names[job.step], needs=tuple(needs), estimate_s=0)
        expanded += [*parts, whole]
    return tuple(expanded)


def with_shares(jobs: Sequence[Job], previews: Mapping[str, Preview]) -> tuple[Job, ...]:
    """The jobs, each part with its share of the time that its whole target is said to take: those
    that change something and wait for each other share it. Pure.
    """
    by_step = {job.step: job for job in jobs}
    shares: dict[str, int] = {}
    for whole in jobs:
        if whole.parts is None:
            continue
        parts = {
            step: by_step[step]
            for step in whole.needs
            if step in by_step and by_step[step].part and by_step[step].target == whole.target
        }
        waits = {step: parts.keys() & job.needs for step, job in parts.items()}
        # How many that change something come one after the other, up to each part.
        behind: dict[str, int] = {}
        for step in TopologicalSorter(waits).static_order():
            own = not (step in previews and previews[step].unchanged)
            behind[step] = own + max((behind[before] for before in waits[step]), default=0)
            shares[step] = own
        longest = max(behind.values(), default=0)
        for step, job in parts.items():
            shares[step] *= ceil(job.estimate_s / max(longest, 1))
    return tuple(replace(job, estimate_s=shares.get(job.step, job.estimate_s)) for job in jobs)


def with_recorded(
    jobs: Iterable[Job], rules: Rules, ports: Ports, within_s: float = RECORD_S
) -> tuple[Job, ...]:
    """The jobs, those of targets with parts with what is recorded of them: only that says which
    parts are live. A record that cannot be read, or not in time, raises nothing: the job has the
    reason.
    """
    until = monotonic() + within_s
    tasks: dict[str, BackgroundTask[RecordedDeploy | None]] = {}
    every = tuple(jobs)
    for job in every:
        if has_parts(job):
            tasks[job.step] = BackgroundTask(partial(recorded_deploy_of, job, rules, ports))
    recorded: dict[str, RecordedDeploy | None] = {}
    for step, task in tasks.items():
        try:
            recorded[step] = task.within(until - monotonic())
        except Timeout:
            late = f"the record was not read within {within_s:g} s"
            recorded[step] = RecordedDeploy(problem=late)
        except ToolkitError as problem:
            recorded[step] = RecordedDeploy(problem=str(problem))
    return tuple(
        replace(job, recorded=recorded[job.step]) if job.step in recorded else job for job in every
    )


def uncovered(
    jobs: Sequence[Job], rules: Rules, ports: Ports, log: "ProgramLog"
) -> tuple[Uncovered, ...]:
    """What the programs of these jobs' targets say is to be deployed, and no target does in any
    environment. Raises Refused, and what `log` raises.
    """
    every: list[Uncovered] = []
    for name in dict.fromkeys(job.kind for job in jobs):
        kind = targets.kind(name)
        if type(kind).uncovered is not Kind.uncovered:
            asked = [job for job in jobs if job.kind == name]
            every += kind.uncovered(asked, jobs_everywhere(name, rules), ports, log)
    return tuple(dict.fromkeys(every))


def uncovered_everywhere(rules: Rules, ports: Ports, log: "ProgramLog") -> tuple[Uncovered, ...]:
    """The same for all targets, in all environments."""
    kinds = dict.fromkeys(target.kind for target in rules.targets.values() if not target.members)
    jobs: list[Job] = []
    for name in kinds:
        if type(targets.kind(name)).uncovered is not Kind.uncovered:
            jobs += jobs_everywhere(name, rules)
    return uncovered(jobs, rules, ports, log)


def jobs_everywhere(kind: str, rules: Rules) -> tuple[Job, ...]:
    """A job without a run for each target of a kind, in each location of each environment. Raises
    Refused.
    """
    chosen = [target for target in rules.targets.values() if target.kind == kind]
    names: list[str | None] = [*rules.environments] or [None]
    jobs: list[Job] = []
    for name in names:
        environment = find_environment(name, rules)
        jobs += run_jobs.jobs_without_run(
            chosen,
            run_jobs.locations(environment, None, None),
            variables_of(environment),
            rules.targets,
        )
    return tuple(jobs)


def with_uncovered(
    previews: Mapping[str, Preview], jobs: Sequence[Job], rules: Rules, ports: Ports
) -> dict[str, Preview]:
    """The previews, the first with a warning for each thing that the programs behind them say is to
    be deployed, and no target does. What they say is known from the previews already; where it is
    not, that is no reason to deploy nothing.
    """
    from toolkit.ports.program_runs import SilentLog

    noted = dict(previews)
    for name in dict.fromkeys(job.kind for job in jobs):
        asked = [
            job
            for job in jobs
            if (job.kind, job.action) == (name, JobAction.DEPLOY) and job.step in previews
        ]
        warnings: list[str] = []
        with suppress(ToolkitError):
            lacking = uncovered(asked, rules, ports, SilentLog())
            warnings = [words_of(thing) for thing in lacking if not thing.unknown]
        if warnings:
            first = noted[asked[0].step]
            noted[asked[0].step] = replace(first, warnings=(*first.warnings, *warnings))
    return noted


def words_of(thing: Uncovered) -> str:
    """What no target covers, in words."""
    return f"no target covers {thing.what} {thing.name} of {thing.source}{thing.where}"
