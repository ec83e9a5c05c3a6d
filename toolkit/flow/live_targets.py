"""The targets that a question about what runs now is about: in each location of an environment, and
with the account that rules.toml names.
"""

from collections.abc import Sequence

from msgspec import Struct

from toolkit.errors import UsageError
from toolkit.flow.rulebook import environment_name, find_environment, variables_of
from toolkit.flow.selection import require_target
from toolkit.model import AWS, ProjectRequest, Rules
from toolkit.operations import Job
from toolkit.plan.graph import Graph
from toolkit.ports.aws.client import check_account
from toolkit.ports.ports import Ports
from toolkit.run import jobs as run_jobs


class LiveTargets(Struct, frozen=True):
    """Jobs without a run or a version, and the rules that they were made from."""

    rules: Rules
    environment: str | None
    jobs: tuple[Job, ...]


def live_targets(request: ProjectRequest, names: Sequence[str], rules: Rules) -> LiveTargets:
    """The named targets, groups written out, by default all; in the environment's locations. Raises
    UsageError, Refused.
    """
    for name in names:
        require_target(name, rules)
    environment = environment_name(request.environment, rules)
    settings = find_environment(environment, rules)
    graph = Graph(rules.targets)
    leaves = set[str]()
    for name in names or rules.targets:
        leaves |= graph.leaves(name)
    locations = run_jobs.locations(settings, request.profile, request.region)
    targets = [target for name, target in rules.targets.items() if name in leaves]
    jobs = run_jobs.jobs_without_run(targets, locations, variables_of(settings))
    return LiveTargets(rules, environment, jobs)


def only_job(live: LiveTargets, target: str) -> Job:
    """The job of a target that is asked for alone. Raises UsageError where it is a group, or in
    several regions.
    """
    if live.rules.targets[target].members:
        members = ", ".join(job.target for job in live.jobs)
        raise UsageError(f"{target} is a group", f"name one of its members: {members}")
    if len(live.jobs) > 1:
        regions = ", ".join(str(job.location.region) for job in live.jobs)
        raise UsageError(f"{target} is in several regions", f"choose one with --region: {regions}")
    return live.jobs[0]


def require_account(job: Job, ports: Ports) -> None:
    """Raises WrongAccount where the credentials are for another account than the environment's,
    CloudError.
    """
    if job.location.provider == AWS:
        check_account(ports.aws(job.location), job.location)
