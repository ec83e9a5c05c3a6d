"""A plan in a file: what it was drawn from, and whether that is still so.

A plan with steps is judged by the targets that it deploys: what else has changed since is no part
of it. One without steps says that nothing is due, and is judged by everything.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from toolkit import targets
from toolkit.advice import NextCommand
from toolkit.changes import detect, source
from toolkit.errors import StalePlan
from toolkit.flow.compare import Records
from toolkit.flow.deploy_versions import targets_from_files, working_tree
from toolkit.flow.rulebook import find_environment, target_settings
from toolkit.flow.selection import DeployRequest, named_targets
from toolkit.flow.versions import target_versions, versions_at_commit
from toolkit.model import DiffResult, Rules, Target
from toolkit.plan.graph import Graph
from toolkit.ports.aws.endpoint import region as default_region
from toolkit.ports.git import Git

TARGETS = "targets"
"""The field of a plan's source that says what each of its targets is deployed from."""
REGIONS = "regions"
"""The field that says where its targets are deployed; empty where nobody says."""
PLACE = ("environment", "endpoint")
"""The other fields that say where a plan is for."""
WORDS = {
    "head": "HEAD is another commit",
    "rules": "rules.toml has changed",
    "tree": "uncommitted files have changed",
    "environment": "it was made for another environment",
    "endpoint": "it was made for another endpoint",
}


def plan_source(answer: DiffResult, git: Git | None, plan: str | None) -> dict[str, Any]:
    """What the plan of an answer was drawn from: digests of everything, and of what each of its
    targets is deployed from, where git has that. `plan` is its own file, as git names it.
    """
    drawn: dict[str, Any] = source.of(answer, None if git is None else git.root, plan)
    drawn[REGIONS] = _regions(answer.rules, answer.environment)
    commit = answer.head.commit
    if git is None or git.bare or commit is None:
        return drawn
    rules, environment = answer.rules, answer.environment
    graph = Graph(rules.targets)
    leaves = set[str]().union(*(graph.leaves(step.target) for step in answer.plan.steps))
    names = [name for name in leaves if can_be_deployed(rules.targets[name])]
    only_at = commit if answer.head.dirty is None else None  # it is about commits alone
    drawn[TARGETS] = _contents(names, rules, environment, git, plan, only_at)
    return drawn


def _contents(
    names: Sequence[str],
    rules: Rules,
    environment: str | None,
    git: Git,
    plan: str | None,
    commit: str | None = None,
) -> dict[str, dict[str, str]]:
    """What each of these targets is deployed from: as it is in the working tree, or at a commit. A
    plan file cannot hold its own digest.
    """
    settings = target_settings(rules, environment)
    own = {name: settings[name] for name in sorted(names)}
    if commit is not None:
        versions = versions_at_commit(own, rules, environment, git, commit).versions
    else:
        tree = detect.look(git, plan)
        versions = target_versions(own, rules, environment, git, tree, True).versions
    return {
        name: {"fingerprint": version.fingerprint, "settings": version.settings}
        for name, version in versions.items()
    }


def can_be_deployed(target: Target) -> bool:
    """Whether this version of toolkit deploys it."""
    return targets.kind(target.kind).runnable(target.settings) is None


def check_plan(
    request: DeployRequest,
    chosen: Sequence[Target],
    rules: Rules,
    environment: str | None,
    git: Git | None,
) -> None:
    """Raises StalePlan where the plan of a request was drawn from something else than what would be
    deployed now. A target whose version a person named is deployed as they want it.
    """
    assert request.source is not None  # noqa: S101 (only called for a plan)
    repository = working_tree(git, chosen)
    planned = request.source.get(TARGETS, {})
    by_target = bool(request.targets) and TARGETS in request.source
    paths: list[str] = []
    if not by_target:
        paths = [path for path in detect.look(repository).paths if path != request.plan]
    head, root = repository.require_head(), repository.root
    now = source.digests(head, rules, paths, root, environment, request.profile)
    keys = PLACE if by_target else tuple(now)
    stale = [WORDS[key] for key in keys if _differs(key, request.source, now)]
    if _is_for_other_regions(request.source, rules, environment, request):
        stale.append("it was made for other regions")
    if by_target and not stale:
        names = [target.name for target in targets_from_files(request, chosen)]
        contents = _contents(names, rules, environment, repository, request.plan)
        changed = [name for name in contents if contents[name] != planned.get(name)]
        if changed:
            stale.append(f"the files or settings of {', '.join(changed)} have changed")
        graph = Graph(rules.targets)
        leaves = set[str]().union(*(graph.leaves(name) for name in request.targets))
        if gone := sorted(planned.keys() - leaves):
            stale.append(f"{', '.join(gone)} is no longer part of what it deploys")
    if stale:
        raise StalePlan(
            f"the plan is stale: {', '.join(stale)}",
            ("create it again:", NextCommand("diff", options=("--out", "FILE"))),
        )


def check_empty_plan(
    request: DeployRequest,
    rules: Rules,
    environment: str | None,
    git: Git | None,
    records: Records | None,
) -> None:
    """A plan without steps has to be true still, like any other plan. Raises StalePlan where
    something is due by now.
    """
    check_plan(request, (), rules, environment, git)
    due, _ = named_targets(replace(request, source=None), environment, rules, git, records)
    graph = Graph(rules.targets)
    without = set[str]().union(*(graph.leaves(target) for target in request.without))
    leaves = set[str]().union(*(graph.leaves(target) for target in due)) - without
    names = sorted(leaf for leaf in leaves if can_be_deployed(rules.targets[leaf]))
    if names:
        verb = "is" if len(names) == 1 else "are"
        raise StalePlan(
            f"the plan has no steps, and {', '.join(names)} {verb} due",
            ("deploy what is due now:", NextCommand("deploy")),
        )


def _regions(
    rules: Rules, environment: str | None, request: DeployRequest | None = None
) -> list[str]:
    """The regions that are deployed to: those of the request or of rules.toml, else that of AWS's
    own settings; none where nobody says.
    """
    settings = find_environment(environment, rules)
    profile = None if settings is None else settings.profile
    if request is not None and request.region is not None:
        return [request.region]
    if settings is not None and settings.regions:
        return list(settings.regions)
    region = default_region((request and request.profile) or profile)
    return [] if region is None else [region]


def _is_for_other_regions(
    planned: Mapping[str, Any], rules: Rules, environment: str | None, request: DeployRequest
) -> bool:
    """Whether a plan was made for other regions than what is deployed to now."""
    regions = planned.get(REGIONS)
    if regions is None:
        return False  # an earlier version wrote none
    if not regions:  # nobody said where; only rules.toml may say otherwise by now
        settings = find_environment(environment, rules)
        return settings is not None and bool(settings.regions)
    return any(region not in regions for region in _regions(rules, environment, request))


def _differs(key: str, planned: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a plan was made from something else. A plan from a list of paths, or from a bare
    repository, was made from no commit or no files, and says so with null.
    """
    if key in ("head", "tree") and planned.get(key, "") is None:
        return False
    return key not in planned or planned[key] != now[key]
