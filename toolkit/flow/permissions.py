"""`permissions`: what IAM has to allow for these targets. No call is made for it."""

from collections.abc import Mapping, Sequence

from toolkit import targets as kinds
from toolkit.checks import aws, secrets
from toolkit.flow import checks
from toolkit.flow.declared_inputs import permissions as input_permissions
from toolkit.flow.rulebook import (
    environment_name,
    find_environment,
    load_rules,
    variables_of,
)
from toolkit.flow.selection import require_target
from toolkit.formats.variables import fill_check
from toolkit.model import CheckTypeName, Rules
from toolkit.operations import Location, Statement
from toolkit.plan.graph import Graph
from toolkit.ports.git import Git
from toolkit.record.permissions import statements as record
from toolkit.run import jobs as run_jobs


def permissions(
    folder: str,
    named: str | None,
    environment: str | None,
    region: str | None,
    targets: Sequence[str],
    git: Git | None,
) -> tuple[Statement, ...]:
    """The statements of every target, and those of the record; equal ones once. Raises
    UsageError.
    """
    rules = load_rules(folder, named, git)
    name = environment_name(environment, rules)
    place = find_environment(name, rules)
    for target in targets:
        require_target(target, rules)
    graph = Graph(rules.targets)
    leaves = sorted(
        set[str]().union(*(graph.leaves(target) for target in targets or rules.targets))
    )
    locations = run_jobs.locations(place, None, region)
    variables = variables_of(place)
    jobs = run_jobs.jobs_without_run([rules.targets[leaf] for leaf in leaves], locations, variables)
    statements: list[Statement] = []
    for job in jobs:
        statements += kinds.kind(job.kind).permissions(job)
    statements += input_permissions(rules, leaves, locations, variables)
    for location in locations:
        statements += record(location)
    if not targets:
        statements += _of_checks(rules, variables, locations)
    needed: list[Statement] = []
    for statement in statements:
        if statement not in needed:
            needed.append(statement)
    return tuple(needed)


def _of_checks(
    rules: Rules, variables: Mapping[str, str], locations: Sequence[Location]
) -> list[Statement]:
    """What checks ask AWS, and where their secrets come from."""
    loaded = checks.load_checks(rules)
    statements: list[Statement] = []
    for check in loaded.checks.values():
        if check.check_type != CheckTypeName.AWS:
            continue
        for row in check.rows or ({},):
            values = {**variables, **row}
            if check.uses <= values.keys():
                statements += aws.permissions(fill_check(check.settings, values))
    for location in locations:
        for secret in loaded.secrets.values():
            statements += secrets.permissions(secret, location, variables)
    return statements
