"""What would be deployed of each target: its version, the files of the commit that are missing in
it, and the generated files that it takes besides.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from toolkit.artifacts.images.taken import BuildInputs
from toolkit.changes import completeness, fingerprint, generated, inputs, names
from toolkit.changes.completeness import Gap, GapReason
from toolkit.changes.detect import WorkingTree
from toolkit.flow.build_inputs import linked_files, target_inputs
from toolkit.flow.rulebook import fallback_targets, path_owners, rules_path
from toolkit.model import Inputs, Rules, Version
from toolkit.ports.git import Git


class TargetVersions(Struct, frozen=True):
    """The version of each target. `gaps` is what of the commit is not on disk and matters to it,
    `generated` are the files that its build takes and git does not know; targets without any are
    left out.
    """

    versions: Mapping[str, Version]
    gaps: Mapping[str, tuple[Gap, ...]] = {}
    generated: Mapping[str, tuple[str, ...]] = {}


class _Sources(Struct, frozen=True):
    """What decides which files belong to which target."""

    built_from: Mapping[str, Inputs]
    linked: Mapping[str, inputs.Linked]
    owners: fingerprint.PathOwners
    users: inputs.InputTargets


def _sources(rules: Rules, named: str | None, git: Git, tree: inputs.FileTree) -> _Sources:
    own, linked = target_inputs(rules, named), linked_files(rules)
    by_rules = path_owners(rules, rules_path(rules, git))
    users = inputs.used(own, linked, tree)
    owners = fingerprint.PathOwners(by_rules, users.by, fallback_targets(rules))
    return _Sources(own, linked, owners, users)


def target_versions(
    settings: Mapping[str, bytes],
    rules: Rules,
    named: str | None,
    git: Git,
    tree: WorkingTree,
    without_generated: bool = False,
) -> TargetVersions:
    """What would be deployed of the targets that `settings` has, from the working tree. Names
    `without_generated` say nothing of what git ignores: no such file is read.
    """
    sources = _sources(rules, named, git, inputs.WorkTree(git.root))
    versions = fingerprint.versions(settings, sources.owners, git, tree.paths)
    gaps = _gaps_by_target(versions, completeness.gaps(git, tree), sources, git)
    files: dict[str, tuple[str, ...]] = {}
    if not without_generated:
        files = _generated(versions, sources.built_from, sources.linked, git, tree)
    for name, version in versions.items():
        digest = generated.digest(git.root, files.get(name, ()))
        versions[name] = _named(version, gaps.get(name, ()), digest)
    return TargetVersions(versions, gaps, files)


def versions_at_commit(
    settings: Mapping[str, bytes], rules: Rules, named: str | None, git: Git, commit: str
) -> TargetVersions:
    """What a commit holds of the targets that `settings` has, under the rules of today."""
    sources = _sources(rules, named, git, inputs.CommitTree(git, commit))
    return TargetVersions(fingerprint.versions(settings, sources.owners, git, (), commit))


def generated_files(
    rules: Rules, named: str | None, git: Git, tree: WorkingTree
) -> dict[str, tuple[str, ...]]:
    """For each target the files that its build takes and git does not know; targets without any are
    left out.
    """
    own = target_inputs(rules, named)
    return _generated(own, own, linked_files(rules), git, tree)


def commit_gaps(
    rules: Rules, named: str | None, git: Git, tree: WorkingTree
) -> dict[str, tuple[Gap, ...]]:
    """For each target what of the commit is not on disk and matters to it; targets without any are
    left out.
    """
    gaps = completeness.gaps(git, tree)
    if not gaps:
        return {}
    sources = _sources(rules, named, git, inputs.WorkTree(git.root))
    return _gaps_by_target(sources.built_from, gaps, sources, git)


def generated_digests(files: Mapping[str, tuple[str, ...]], git: Git) -> dict[str, str]:
    """The digest of each target's generated files."""
    return {name: generated.digest(git.root, paths) for name, paths in files.items()}


def _generated(
    names: Iterable[str],
    own: Mapping[str, Inputs],
    linked: Mapping[str, inputs.Linked],
    git: Git,
    tree: WorkingTree,
) -> dict[str, tuple[str, ...]]:
    takers = [name for name in names if own[name].images or own[name].folders or own[name].files]
    if not takers:
        return {}
    ignored = generated.IgnoredFiles(git, tree)
    return {
        name: paths
        for name in takers
        if (paths := generated.paths(own[name], linked[name], ignored))
    }


def _named(version: Version, gaps: tuple[Gap, ...], generated: str) -> Version:
    """A version with a name that says what is really in it. `generated` is the digest of its
    generated files, empty if it takes none.
    """
    if not gaps:
        suffix = names.name("", generated=generated) if generated else ""
        return replace(version, name=f"{version.name}{suffix}", generated=generated)
    digest = hashlib.sha256(version.fingerprint.encode())
    for gap in gaps:
        text = f"\0{gap.path}\0{gap.why}\0{gap.detail}\0{gap.state}"
        digest.update(text.encode("utf-8", "surrogateescape"))
    state = names.INCOMPLETE
    if any(gap.why == GapReason.UNMERGED for gap in gaps):
        state = names.UNMERGED
    content = digest.hexdigest()
    name = names.name(str(version.commit), state, content, generated)
    return replace(version, name=name, fingerprint=content, generated=generated)


def _gaps_by_target(
    names: Iterable[str], gaps: Collection[Gap], sources: _Sources, git: Git
) -> dict[str, tuple[Gap, ...]]:
    """The gaps that concern each target; targets without any are left out."""
    by_target: dict[str, tuple[Gap, ...]] = {}
    for name in names:
        own = sources.built_from[name]
        if not gaps or own == Inputs():
            continue  # nothing of the repository is in what it deploys
        takes = _takes(own, sources.linked[name], git)
        concerning = [gap for gap in gaps if _has_path_of(name, gap, sources) or takes(gap)]
        if concerning:
            by_target[name] = tuple(concerning)
    return by_target


def _has_path_of(name: str, gap: Gap, sources: _Sources) -> bool:
    """Whether a gap's path belongs to a target: by the rules, as something that it is built from,
    or, where that is not known, because no rule matches the path.
    """
    own, path = sources.built_from[name], gap.top or gap.path
    owners = sources.owners.rules(path)
    if owners is None:
        bounded = bool(own.images or own.folders or own.files) and not own.everything
        by_rules = not bounded
    else:
        by_rules = name in owners
    users = sources.users
    return by_rules or name in users.by(path) or name in users.by(gap.path)


def _takes(own: Inputs, linked: inputs.Linked, git: Git) -> Callable[[Gap], bool]:
    """Whether a gap is in what a target's build takes."""
    tree = inputs.WorkTree(git.root)
    folders = inputs.code(own, linked, tree)
    builds: list[BuildInputs] = []
    for image in own.images:
        context = inputs.follow(image.context, tree)[1]
        dockerfile = inputs.follow(image.dockerfile, tree)[1]
        if context is not None and dockerfile is not None:
            builds.append(BuildInputs(git.root, context, dockerfile, image.stage, image.args))

    def takes(gap: Gap) -> bool:
        if any(_is_in(gap.path, folder) or _is_in(folder, gap.path) for folder in folders):
            return True
        return any(_in_build(gap, build) for build in builds)

    return takes


def _in_build(gap: Gap, build: BuildInputs) -> bool:
    if build.context and _is_in(build.context, gap.path):
        return True  # the context is in a submodule that is not there
    if not _is_in(gap.path, build.context):
        return False
    path = gap.path[len(build.context) + 1 :] if build.context else gap.path
    if gap.why != GapReason.SUBMODULE:
        return build.takes(path)
    below = any(_is_in(source, path) for source in build.folders())
    return build.enters(path) and (below or build.takes(path) or build.takes(f"{path}/any"))


def _is_in(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(f"{folder}/")
