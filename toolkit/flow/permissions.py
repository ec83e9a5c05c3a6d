"""`permissions`: what IAM has to allow for these targets. No call is made for it."""

from collections.abc import Sequence

from toolkit import targets as kinds
from toolkit.checks import aws, secrets
from toolkit.checks.values import filled
from toolkit.flow import checks
from toolkit.flow.deploy import known
from toolkit.flow.rulebook import environment, load_rules
from toolkit.model import Environment, Location, Rules, Statement
from toolkit.plan.graph import Graph
from toolkit.ports.git import Git
from toolkit.record.permissions import statements as record
from toolkit.run import jobs as making


def permissions(
    folder: str,
    named: str | None,
    asked: str | None,
    region: str | None,
    targets: Sequence[str],
    git: Git | None,
) -> tuple[Statement, ...]:
    """The statements of every target, and those of the record; equal ones once. Raises
    UsageError.
    """
    rules = load_rules(folder, named, git)
    name = environment(asked, rules)
    found = rules.environments.get(name) if name else None
    for target in targets:
        known(target, rules)
    graph = Graph(rules.targets)
    leaves = sorted(
        set[str]().union(*(graph.leaves(target) for target in targets or rules.targets))
    )
    wanted = [rules.targets[leaf] for leaf in leaves]
    locations = making.locations(found, None, region)
    jobs = making.jobs_without_run(wanted, locations, found.vars if found else {})
    own = [statement for job in jobs for statement in kinds.kind(job.kind).permissions(job)]
    shared = [statement for location in locations for statement in record(location)]
    shared += [] if targets else _of_checks(rules, found, locations)
    needed: list[Statement] = []
    for statement in (*own, *shared):
        if statement not in needed:
            needed.append(statement)
    return tuple(needed)


def _of_checks(
    rules: Rules, found: Environment | None, locations: Sequence[Location]
) -> list[Statement]:
    """What checks ask AWS, and where their secrets come from."""
    there, variables = checks.load(rules), found.vars if found else {}
    asked = [
        check
        for check in there.checks.values()
        if check.check_type == "aws" and check.uses <= variables.keys()
    ]
    own = [
        statement
        for check in asked
        for statement in aws.permissions(filled(check.settings, variables))
    ]
    given = [
        statement
        for location in locations
        for secret in there.secrets.values()
        for statement in secrets.permissions(
            secret, location.region or "*", location.account or "*", variables
        )
    ]
    return own + given
