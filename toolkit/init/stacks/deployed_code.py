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
from toolkit.init.stacks.code import CodeAsset
from toolkit.init.stacks.program import AppProgram
from toolkit.init.tests_and_docs import test_patterns
from toolkit.init.tree import TrackedFiles


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
    patterns: dict[tuple[str, ...], list[str]] = {}
    tests: dict[tuple[str, ...], list[str]] = {}
    taken: set[str] = set()
    images: list[StackImage] = []
    found: list[str] = []
    questions: list[str] = []
    for file in program.files:
        for asset in file.assets:
            where = _asset_source(tree, folder, asset)
            if where is None:
                what = (
                    f"{asset.path}, which is not in git"
                    if asset.path
                    else "a folder that it computes"
                )
                questions.append(
                    f"{file.path}:{asset.line} deploys {what}: which rule shall name its source?"
                )
                continue
            targets = _asset_targets(program, asset, file.path, owners, every)
            patterns.setdefault(targets, []).extend(_asset_patterns(tree, where, asset))
            tests.setdefault(targets, []).extend(
                test_patterns(tree, where) if where and tree.is_folder(where) else ()
            )
            dockerfile = joined(where, asset.dockerfile or "Dockerfile")
            taken.add(dockerfile if asset.what == "image" else where)
            images += (
                [StackImage(dockerfile, where, targets)]
                if asset.what == "image" and dockerfile in tree
                else []
            )
            listed = ", ".join(f"`{one}`" for one in targets)
            found.append(
                f"{file.path}:{asset.line}: deploys {where or 'the whole repository'} with {listed}"
            )
    return Evidence(
        rules=tuple(_code_rule(targets, patterns[targets], tests[targets]) for targets in patterns),
        notes=tuple(dict.fromkeys(found)),
        questions=tuple(dict.fromkeys(questions)),
        taken=frozenset(taken - {""}),
        images=tuple(images),
        tests=tuple(dict.fromkeys(one for listed in tests.values() for one in listed)),
    )


def _asset_source(tree: TrackedFiles, folder: str, asset: CodeAsset) -> str | None:
    """What an asset is made of: the path itself, or the nearest folder above what has to be built
    first (but not the app).
    """
    if asset.path is None:
        return None
    found = tree.nearest(asset.path)
    above_app = not found or folder == found or folder.startswith(f"{found}/")
    return None if above_app and found != asset.path else found


def _asset_targets(
    program: AppProgram,
    asset: CodeAsset,
    path: str,
    owners: Mapping[str, tuple[str, ...]],
    every: Sequence[str],
) -> tuple[str, ...]:
    """The stacks in whose code an asset stands, or whose code makes the object that has it; all, if
    none can be seen to.
    """
    kinds = [
        kind
        for kind in owners
        if (
            asset.within in program.reach(kind) if asset.within else program.homes.get(kind) == path
        )
    ]
    mine = {target for kind in kinds for target in owners[kind]}
    return tuple(one for one in every if one in mine) or tuple(every)


def _asset_patterns(tree: TrackedFiles, where: str, asset: CodeAsset) -> tuple[str, ...]:
    dockerfile = joined(where, asset.dockerfile or "Dockerfile")
    if asset.what == "image" and dockerfile in tree:
        return read_image(tree, dockerfile, where).positive
    if where in tree:
        return bundle_patterns(tree, where) if asset.what == "entry" else (literal(where),)
    return (
        everything_in(where),
        *(manifest_patterns(tree, where) if asset.what == "entry" else ()),
    )


def _code_rule(
    targets: tuple[str, ...], patterns: Sequence[str], tests: Sequence[str]
) -> DraftRule:
    return DraftRule(
        f"Code of {', '.join(targets)}",
        (*simplify(patterns), *(f"!{one}" for one in dict.fromkeys(tests))),
        targets,
    )
