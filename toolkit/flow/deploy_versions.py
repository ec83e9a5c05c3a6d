"""The version of each target that a deploy puts live: what lies in the working tree, what a person
named, or what is put back.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from toolkit import targets
from toolkit.changes import detect
from toolkit.errors import Refused
from toolkit.flow.rulebook import target_settings, uncounted_plan
from toolkit.flow.selection import DeployRequest
from toolkit.flow.versions import TargetVersions, target_versions, versions_at_commit
from toolkit.model import Rules, Target, Version, named_image
from toolkit.operations import Job
from toolkit.ports.git import Git


def deploy_versions(
    request: DeployRequest,
    chosen: Sequence[Target],
    rules: Rules,
    environment: str | None,
    git: Git | None,
) -> TargetVersions:
    """What would be deployed of each of these targets. Raises Refused where that lies in a working
    tree and there is none.
    """
    if request.version is not None:
        return TargetVersions(dict.fromkeys((target.name for target in chosen), request.version))
    named, from_files = _named_versions(request, chosen), targets_from_files(request, chosen)
    content = TargetVersions({})
    if from_files:
        content = _versions_of_files(request, from_files, rules, environment, git)
    settings = target_settings(rules, environment) if named else {}
    versions = dict(content.versions)
    for version in set(named.values()):
        own = {target: settings[target] for target in named if named[target] == version}
        if git is not None and not git.bare and git.has(version):
            versions |= versions_at_commit(own, rules, environment, git, version).versions
        else:
            versions |= dict.fromkeys(own, Version(version, None, named_image(version)))
    return replace(content, versions=versions)


def is_named(job: Job) -> bool:
    """Whether a person has named the version to deploy, such as an image's tag."""
    return targets.kind(job.kind).version_named(job.options) is not None


def targets_from_files(request: DeployRequest, chosen: Sequence[Target]) -> list[Target]:
    """Those of the targets that are deployed from the working tree."""
    if request.version is not None:
        return []
    named = _named_versions(request, chosen)
    return [target for target in chosen if target.name not in named]


def _named_versions(request: DeployRequest, chosen: Sequence[Target]) -> dict[str, str]:
    """The versions that a person named, by target."""
    named: dict[str, str] = {}
    for target in chosen:
        kind = targets.kind(target.kind)
        version = kind.version_named(request.options.get(target.kind) or kind.Options())
        if version is not None:
            named[target.name] = version
    return named


def _versions_of_files(
    request: DeployRequest,
    chosen: Sequence[Target],
    rules: Rules,
    environment: str | None,
    git: Git | None,
) -> TargetVersions:
    repository = working_tree(git, chosen)
    tree = detect.look(repository, uncounted_plan(request.plan, rules, repository))
    settings = target_settings(rules, environment)
    own = {target.name: settings[target.name] for target in chosen}
    return target_versions(own, rules, environment, repository, tree)


def working_tree(git: Git | None, chosen: Sequence[Target]) -> Git:
    """The repository to deploy these targets from. Raises Refused where it has no working tree."""
    if git is not None and not git.bare:
        return git
    hint = "run it in a git repository"
    for words in {targets.kind(target.kind).by_name: None for target in chosen}:
        if words:
            hint += f", or name what is to be deployed: {' '.join(words)}"
    raise Refused("there is no working tree to deploy from", hint)
