"""What uses the targets of an environment in ways that their deploys do not reach."""

from collections.abc import Mapping

from toolkit import targets
from toolkit.errors import CloudError
from toolkit.flow.rulebook import environment_name, find_environment, variables_of
from toolkit.flow.trusted import load_trusted
from toolkit.model import ProjectRequest
from toolkit.ports.git import Git
from toolkit.ports.ports import Ports
from toolkit.run.jobs import jobs_without_run, locations
from toolkit.targets.base import Kind


def find_bypasses(
    request: ProjectRequest, git: Git | None, ports: Ports
) -> tuple[Mapping[str, tuple[str, ...]], tuple[str, ...]]:
    """Target -> a line for each thing that uses it so, or why that could not be checked; targets
    without any are left out. And what to do about it, as their kinds say. Raises RulesError,
    UsageError, and CloudError where nothing can be asked.
    """
    rules = load_trusted(request.folder, request.rules, git, request.allowed)
    environment = find_environment(environment_name(request.environment, rules), rules)
    asked = [
        target
        for target in rules.targets.values()
        if type(targets.kind(target.kind)).bypasses is not Kind.bypasses
    ]
    places = locations(environment, request.profile, request.region)
    by_target: dict[str, list[str]] = {}
    fixes: dict[str, None] = {}
    for job in jobs_without_run(asked, places, variables_of(environment)):
        kind = targets.kind(job.kind)
        try:
            lines = kind.bypasses(job, ports)
            if lines and kind.bypass_fix:
                fixes[kind.bypass_fix] = None
        except CloudError as problem:
            lines = (f"who uses it could not be checked: {problem}",)
        if lines:
            by_target.setdefault(job.target, []).extend(lines)
    return {name: tuple(lines) for name, lines in by_target.items()}, tuple(fixes)
