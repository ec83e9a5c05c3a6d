"""What would be deployed of each target: what it is built from, its version, and what that version
lacks or has besides its commit.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from toolkit.changes import completeness, fingerprint, generated, inputs, names
from toolkit.changes.completeness import Gap, GapReason
from toolkit.changes.detect import WorkingTree
from toolkit.flow.rulebook import fallback, owners, rules_path
from toolkit.flow.sources import inputs_of, linked_of
from toolkit.model import Inputs, Rules, Version
from toolkit.ports.git import Git
from toolkit.ports.images.taken import BuildInputs


class TargetVersions(Struct, frozen=True):
    """The version of each target. `gaps` is what of the commit is not on disk and matters to it,
    `generated` are the files that its build takes and git does not know; targets without any are
    left out.
    """

    versions: Mapping[str, Version]
    gaps: Mapping[str, tuple[Gap, ...]] = {}
    generated: Mapping[str, tuple[str, ...]] = {}


def contents(
    settings: Mapping[str, bytes],
    rules: Rules,
    named: str | None,
    git: Git,
    seen: WorkingTree,
    uncommitted: Iterable[str],
    without_generated: bool = False,
) -> TargetVersions:
    """What would be deployed of the targets that `settings` has, from the working tree. `seen` is a
    look at it. Names `without_generated` say nothing of what git ignores: no such file is read.
    """
    own = inputs_of(rules, named)
    linked = linked_of(rules)
    owned = owners(rules, rules_path(rules, git))
    users = inputs.used(own, linked, inputs.WorkTree(git.root))
    path_owners = fingerprint.PathOwners(owned, users.by, fallback(rules))
    versions = fingerprint.versions(settings, path_owners, git, uncommitted)
    every = completeness.gaps(git, seen)
    lacking = {
        name: gaps
        for name in versions
        if (gaps := _mattering(name, every, own[name], linked[name], owned, users, git))
    }
    besides = {} if without_generated else _generated(versions, own, linked, git, seen)
    made = {
        name: _named(
            version, lacking.get(name, ()), generated.digest(git.root, besides.get(name, ()))
        )
        for name, version in versions.items()
    }
    return TargetVersions(made, lacking, besides)


def at_commit(
    settings: Mapping[str, bytes], rules: Rules, named: str | None, git: Git, commit: str
) -> TargetVersions:
    """What a commit holds of the targets that `settings` has, under the rules of today."""
    users = inputs.used(inputs_of(rules, named), linked_of(rules), inputs.CommitTree(git, commit))
    owned = owners(rules, rules_path(rules, git))
    path_owners = fingerprint.PathOwners(owned, users.by, fallback(rules))
    return TargetVersions(fingerprint.versions(settings, path_owners, git, (), commit))


def generated_of(
    rules: Rules, named: str | None, git: Git, seen: WorkingTree
) -> dict[str, tuple[str, ...]]:
    """For each target the files that its build takes and git does not know; targets without any are
    left out.
    """
    own = inputs_of(rules, named)
    return _generated(own, own, linked_of(rules), git, seen)


def gaps_of(
    rules: Rules, named: str | None, git: Git, seen: WorkingTree
) -> dict[str, tuple[Gap, ...]]:
    """For each target what of the commit is not on disk and matters to it; targets without any are
    left out.
    """
    every = completeness.gaps(git, seen)
    if not every:
        return {}
    own, linked = inputs_of(rules, named), linked_of(rules)
    owned = owners(rules, rules_path(rules, git))
    users = inputs.used(own, linked, inputs.WorkTree(git.root))
    return {
        name: gaps
        for name in own
        if (gaps := _mattering(name, every, own[name], linked[name], owned, users, git))
    }


def digests(found: Mapping[str, tuple[str, ...]], git: Git) -> dict[str, str]:
    """The digest of each target's generated files."""
    return {name: generated.digest(git.root, paths) for name, paths in found.items()}


def _generated(
    wanted: Iterable[str],
    own: Mapping[str, Inputs],
    linked: Mapping[str, inputs.Linked],
    git: Git,
    seen: WorkingTree,
) -> dict[str, tuple[str, ...]]:
    takers = [name for name in wanted if own[name].images or own[name].folders or own[name].files]
    if not takers:
        return {}
    known = generated.IgnoredFiles(git, seen)
    return {
        name: paths for name in takers if (paths := generated.paths(own[name], linked[name], known))
    }


def _named(version: Version, gaps: tuple[Gap, ...], besides: str) -> Version:
    """A version by what is really in it."""
    if not gaps:
        return replace(
            version,
            name=(
                version.name
                if not besides
                else f"{version.name}{names.name('', generated=besides)}"
            ),
            generated=besides,
        )
    made = hashlib.sha256(version.fingerprint.encode())
    for gap in gaps:
        made.update(
            f"\0{gap.path}\0{gap.why}\0{gap.detail}\0{gap.state}".encode("utf-8", "surrogateescape")
        )
    state = (
        names.UNMERGED if any(gap.why == GapReason.UNMERGED for gap in gaps) else names.INCOMPLETE
    )
    name = names.name(str(version.commit), state, made.hexdigest(), besides)
    return replace(version, name=name, fingerprint=made.hexdigest(), generated=besides)


def _mattering(
    name: str,
    every: Collection[Gap],
    own: Inputs,
    linked: inputs.Linked,
    owned: fingerprint.Owners,
    users: inputs.InputTargets,
    git: Git,
) -> tuple[Gap, ...]:
    """The gaps that concern a target: its rules' files, what it is built from, and where that is
    not known, what no rule knows.
    """
    if not every or own == Inputs():
        return ()  # nothing of the repository is in what it deploys
    takes = _takes(own, linked, git)
    bounded = bool(own.images or own.folders or own.files) and not own.everything

    def concerns(gap: Gap) -> bool:
        owners_of_it = owned(gap.top or gap.path)
        by_rules = not bounded if owners_of_it is None else name in owners_of_it
        return (
            by_rules
            or name in users.by(gap.top or gap.path)
            or name in users.by(gap.path)
            or takes(gap)
        )

    return tuple(gap for gap in every if concerns(gap))


def _takes(own: Inputs, linked: inputs.Linked, git: Git) -> Callable[[Gap], bool]:
    """Whether a gap is in what a target's build takes."""
    tree = inputs.WorkTree(git.root)
    folders = inputs.code(own, linked, tree)
    builds: list[BuildInputs] = []
    for image in own.images:
        context, dockerfile = (
            inputs.follow(image.context, tree)[1],
            inputs.follow(image.dockerfile, tree)[1],
        )
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
