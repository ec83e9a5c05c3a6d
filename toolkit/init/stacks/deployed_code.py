"""The code that stacks deploy themselves (Lambda folders, images built by the CDK, sites it
uploads), as rules.
"""

from collections.abc import Mapping, Sequence
from posixpath import join as joined

from toolkit.init.draft import DraftRule
from toolkit.init.evidence import Evidence, StackImage
from toolkit.init.images.apps import read_image
from toolkit.init.patterns import everything_in, literal, simplify
from toolkit.init.stacks.bundles import bundle_patterns, manifest_patterns
from toolkit.init.stacks.code import AssetKind, CodeAsset
from toolkit.init.stacks.program import AppProgram
from toolkit.init.tests_and_docs import test_patterns
from toolkit.init.tree import TrackedFiles


class _CodeRule:
    """What becomes one rule: the patterns and tests of all code that the same stacks deploy."""

    def __init__(self) -> None:
        self.patterns: list[str] = []
        self.tests: list[str] = []

    def to_rule(self, targets: tuple[str, ...]) -> DraftRule:
        exclusions = [f"!{test}" for test in dict.fromkeys(self.tests)]
        return DraftRule(
            f"Code of {', '.join(targets)}", (*simplify(self.patterns), *exclusions), targets
        )


def deployed_code(
    tree: TrackedFiles,
    folder: str,
    program: AppProgram,
    owners: Mapping[str, tuple[str, ...]],
    every: Sequence[str],
) -> Evidence:
    """Rules for the assets of an app: `owners` are the targets of each stack class, `every` those
    of the whole app.
    """
    rules: dict[tuple[str, ...], _CodeRule] = {}
    taken: set[str] = set()
    images: list[StackImage] = []
    notes: list[str] = []
    questions: list[str] = []
    for file in program.files:
        for asset in file.assets:
            source = _asset_source(tree, folder, asset)
            if source is None:
                questions.append(_source_question(file.path, asset))
                continue
            targets = _asset_targets(program, asset, file.path, owners, every)
            rule = rules.setdefault(targets, _CodeRule())
            rule.patterns += _asset_patterns(tree, source, asset)
            if source and tree.is_folder(source):
                rule.tests += test_patterns(tree, source)
            if asset.what == AssetKind.IMAGE:
                dockerfile = _dockerfile_of(source, asset)
                taken.add(dockerfile)
                if dockerfile in tree:
                    images.append(StackImage(dockerfile, source, targets))
            else:
                taken.add(source)
            listed = ", ".join(f"`{target}`" for target in targets)
            what = source or "the whole repository"
            notes.append(f"{file.path}:{asset.line}: deploys {what} with {listed}")
    tests: list[str] = []
    for rule in rules.values():
        tests += rule.tests
    return Evidence(
        rules=tuple(rule.to_rule(targets) for targets, rule in rules.items()),
        notes=tuple(dict.fromkeys(notes)),
        questions=tuple(dict.fromkeys(questions)),
        taken=frozenset(taken - {""}),
        images=tuple(images),
        tests=tuple(dict.fromkeys(tests)),
    )


def _source_question(path: str, asset: CodeAsset) -> str:
    what = "a folder that it computes"
    if asset.path:
        what = f"{asset.path}, which is not in git"
    return f"{path}:{asset.line} deploys {what}: which rule should name its source?"


def _dockerfile_of(source: str, asset: CodeAsset) -> str:
    return joined(source, asset.dockerfile or "Dockerfile")


def _asset_source(tree: TrackedFiles, folder: str, asset: CodeAsset) -> str | None:
    """What an asset is made of: the path itself, or the nearest folder above what has to be built
    first (but not the app).
    """
    if asset.path is None:
        return None
    source = tree.nearest(asset.path)
    holds_app = not source or folder == source or folder.startswith(f"{source}/")
    if holds_app and source != asset.path:
        return None
    return source


def _asset_targets(
    program: AppProgram,
    asset: CodeAsset,
    path: str,
    owners: Mapping[str, tuple[str, ...]],
    every: Sequence[str],
) -> tuple[str, ...]:
    """The stacks in whose code an asset stands, or whose code makes the object that has it; all, if
    that shows none.
    """
    targets: set[str] = set()
    for class_name, class_targets in owners.items():
        if asset.within:
            is_owner = asset.within in program.reach(class_name)
        else:
            is_owner = program.homes.get(class_name) == path
        if is_owner:
            targets.update(class_targets)
    return tuple(target for target in every if target in targets) or tuple(every)


def _asset_patterns(tree: TrackedFiles, source: str, asset: CodeAsset) -> tuple[str, ...]:
    is_entry = asset.what == AssetKind.ENTRY
    dockerfile = _dockerfile_of(source, asset)
    if asset.what == AssetKind.IMAGE and dockerfile in tree:
        return read_image(tree, dockerfile, source).positive
    if source in tree:
        if is_entry:
            return bundle_patterns(tree, source)
        return (literal(source),)
    if is_entry:
        return (everything_in(source), *manifest_patterns(tree, source))
    return (everything_in(source),)
