"""A CDK app becomes stacks, a group of them, and rules: for a stack's own file, for the code it
deploys, for the rest of the folder.
"""

import json
import re
from collections.abc import Mapping, Sequence
from posixpath import basename, dirname, normpath
from posixpath import join as joined

from msgspec import Struct

from toolkit.init.draft import DraftRule, DraftTarget
from toolkit.init.evidence import Evidence, Stack, TargetNames, merge_evidence
from toolkit.init.patterns import everything_in, literal, simplify
from toolkit.init.stacks.bundles import MANIFESTS, reachable_files
from toolkit.init.stacks.code import CodeFile, plain_name
from toolkit.init.stacks.deployed_code import deployed_code
from toolkit.init.stacks.program import (
    AppProgram,
    StackSource,
    closure,
    is_named_for_containers,
    merge_stages,
)
from toolkit.init.stacks.python_code import read_python, read_python_loosely
from toolkit.init.stacks.script_code import read_script
from toolkit.init.stacks.shared import own_manifests, remove_shared
from toolkit.init.tests_and_docs import looks_like_test, test_patterns
from toolkit.init.tree import TrackedFiles

MOST_CODE = 500
"""The most files of one app that are looked at."""

_SCRIPTS = (".ts", ".mts", ".js", ".mjs", ".cjs")
_OTHER_LANGUAGES = {".java": "Java", ".cs": "C#", ".go": "Go", ".kt": "Kotlin", ".fs": "F#"}
_OF_CDK = re.compile(r"cdk|Stack|\bConstruct\b|\bconstructs\b")
_ROOT_FILES = {*MANIFESTS, "tsconfig.json", "setup.py"}
_IMPORTS_CDK = re.compile(r"aws[-_]cdk|constructs?\Z", re.IGNORECASE)


class CdkAppSource(Struct, frozen=True):
    """One CDK app: its folder, what its code says, its stacks, and the target of each (by the
    stack's name).
    """

    folder: str
    program: AppProgram
    stacks: tuple[StackSource, ...]
    targets: Mapping[str, str]
    needs: Mapping[str, tuple[str, ...]]

    @property
    def every(self) -> tuple[str, ...]:
        """The targets of all stacks."""
        return tuple(self.targets.values())


def find_cdk_apps(tree: TrackedFiles, names: TargetNames) -> Evidence:
    """All CDK apps of the repository."""
    folders = [dirname(path) for path in tree.candidates if basename(path) == "cdk.json"]
    return merge_evidence(
        _app_evidence(tree, names, folder, [one for one in folders if one != folder])
        for folder in folders
    )


def _app_evidence(
    tree: TrackedFiles, names: TargetNames, folder: str, others: Sequence[str]
) -> Evidence:
    config = joined(folder, "cdk.json")
    context, command, problem = _read_config(tree, config)
    files, unread = _read_code(
        tree, folder, command, [one for one in others if one.startswith(f"{folder}/") or not folder]
    )
    program = AppProgram(files)
    stacks, stages = merge_stages(program.stacks())
    found = (*((problem,) if problem else ()), *unread)
    if not stacks:
        return merge_evidence((Evidence(notes=found), _manual_app(tree, names, folder)))
    named = [one.name for one in stacks]
    app = CdkAppSource(
        folder,
        program,
        tuple(stacks),
        {name: names.short(name, named) for name in named},
        program.needs(stacks),
    )
    group = names.new("infra") if len(stacks) > 1 else ""
    listed = ", ".join(f"`{one}`" for one in app.every)
    code = deployed_code(
        tree,
        folder,
        program,
        {one.class_name: _targets_of(app, one.class_name) for one in stacks},
        app.every,
    )
    rest = _whole_app_rule(tree, app, (group,) if group else app.every)
    narrow = remove_shared(tree, folder, _app_code(app), rest, code.rules) if group else code.rules
    whole = DraftTarget(
        group, "group", {"members": list(app.every)}, comment=(f"All stacks of {config}.",)
    )
    described = [_describe_stack(app, one) for one in stacks]
    return merge_evidence(
        (
            Evidence(
                notes=found,
                variables={name: value for file in files for name, value in file.defaults.items()}
                | context,
            ),
            Evidence(
                stacks=tuple(described),
                targets=(*(one.target for one in described), *((whole,) if group else ())),
                rules=(*narrow, *_stack_file_rules(app), rest),
                notes=(f"{config}: a CDK app; stacks {listed}",),
                questions=tuple(_name_question(app, one) for one in stacks if not one.sure),
                stages=stages,
                regions=frozenset(one for file in files for one in file.regions),
                accounts=frozenset(one for file in files for one in file.accounts),
                tests=test_patterns(tree, folder) if folder else (),
            ),
            Evidence(
                notes=code.notes,
                questions=code.questions,
                taken=code.taken,
                tests=code.tests,
                images=code.images,
            ),
        )
    )


def _read_config(tree: TrackedFiles, path: str) -> tuple[dict[str, str], str, str | None]:
    """The strings of an app's context, the command that runs it, and what is wrong with its
    cdk.json.
    """
    try:
        config = json.loads(tree.read(path) or "")
    except (ValueError, RecursionError):
        config = None
    context = config.get("context", {}) if isinstance(config, dict) else None
    if not isinstance(context, dict):
        return {}, "", f"{path}: could not be read"
    strings = {
        name.lower(): value
        for name, value in context.items()
        if isinstance(value, str) and plain_name(value) is not None
    }
    return strings, str(config.get("app", "")), None


def _read_code(
    tree: TrackedFiles, folder: str, command: str, others: Sequence[str]
) -> tuple[list[CodeFile], list[str]]:
    """The app's code, without its tests and other apps, and what could not be read. What the
    command's file imports comes first.
    """
    listed = [
        path
        for path in tree.below(folder)
        if path.endswith((".py", *_SCRIPTS))
        and not _is_not_source(tree, path, folder)
        and not any(path.startswith(f"{one}/") for one in others)
    ]
    entries = [
        path
        for word in command.split()
        for end in ("", ".py", ".ts")
        if (path := normpath(joined(folder, word) + end)) in tree
    ]
    first = {path: at for at, path in enumerate(reachable_files(tree, entries, folder))}
    files, unread = [], []
    for path in sorted(listed, key=lambda one: (first.get(one, len(first)), one.count("/"), one))[
        :MOST_CODE
    ]:
        text = tree.read(path)
        if text is None or not _OF_CDK.search(text):
            continue
        if not path.endswith(".py"):
            files.append(read_script(path, text, folder))
            continue
        try:
            files.append(read_python(path, text, folder))
        except ValueError as error:
            unread.append(
                f"{path}: could not be read ({error}); its stacks are guessed from how its lines"
                " look"
            )
            files.append(read_python_loosely(path, text))
    return files, unread


def _is_not_source(tree: TrackedFiles, path: str, folder: str) -> bool:
    """Tests, declarations, and what a compiler wrote beside its source."""
    inner = path[len(folder) :].strip("/").split("/")
    if (
        path.endswith(".d.ts")
        or looks_like_test(path)
        or {"test", "tests", "__tests__"} & set(inner[:-1])
    ):
        return True
    return path.endswith(".js") and f"{path[:-3]}.ts" in tree


def _describe_stack(app: CdkAppSource, one: StackSource) -> Stack:
    by_calls = any(app.program.runs_containers(other) for other in app.stacks)
    target = DraftTarget(
        app.targets[one.name],
        "stack",
        {"stack": one.name, "cdk": app.folder or "."},
        tuple(app.targets[name] for name in app.needs[one.name]),
        (f"{one.class_name} in {one.home}.",),
    )
    runs = (
        app.program.runs_containers(one)
        if by_calls
        else is_named_for_containers(f"{one.class_name} {one.name}")
    )
    return Stack(target, runs, app.program.values(one))


def _name_question(app: CdkAppSource, one: StackSource) -> str:
    return (
        f"targets.{app.targets[one.name]}.stack: the stack's name, which {one.maker} computes"
        f" (drafted as `{one.name}`)"
    )


def _targets_of(app: CdkAppSource, kind: str) -> tuple[str, ...]:
    return tuple(app.targets[one.name] for one in app.stacks if one.class_name == kind)


def _stack_file_rules(app: CdkAppSource) -> list[DraftRule]:
    """A rule for each file whose change can only touch some of the stacks."""
    reasons = {
        path: _touched_targets(app, path) for path in dict.fromkeys(one.home for one in app.stacks)
    }
    grouped: dict[tuple[str, ...], list[str]] = {}
    for path, touched in reasons.items():
        if touched and len(touched) < len(app.stacks):
            grouped.setdefault(tuple(one for one in app.every if one in touched), []).append(
                literal(path)
            )
    return [
        DraftRule(f"Stack {', '.join(targets)}", tuple(paths), targets, ships=False)
        for targets, paths in grouped.items()
    ]


def _touched_targets(app: CdkAppSource, path: str) -> set[str]:
    """The targets that a change of a stack's file can touch: its stacks, those that are given
    something of theirs, and those whose files import it. None at all stands for every one: the file
    makes stacks, or something else imports it.
    """
    makers = {one.maker for one in app.stacks}
    touched_files, waiting = {path}, [path]
    while waiting:
        for importer in _importers(app.program.files, waiting.pop(), makers):
            if importer not in {one.home for one in app.stacks}:
                return set()
            if importer not in touched_files:
                touched_files.add(importer)
                waiting.append(importer)
    if touched_files & makers:
        return set()
    names = {one.name for one in app.stacks if one.home in touched_files}
    return {app.targets[one.name] for one in app.stacks if closure(one.name, app.needs) & names}


def _importers(files: Sequence[CodeFile], path: str, makers: set[str]) -> list[str]:
    """The files, other than those that make the stacks, which import a file or a class of it."""
    defined = next(frozenset(one.bases) for one in files if one.path == path)
    stem = basename(path).rpartition(".")[0]
    words = defined | {basename(dirname(path)) if stem in ("index", "__init__") else stem}
    return [
        one.path
        for one in files
        if one.path != path
        and one.path not in makers
        and one.imports & words
        and (one.bases or one.calls)
    ]


def _whole_app_rule(tree: TrackedFiles, app: CdkAppSource, deploy: tuple[str, ...]) -> DraftRule:
    """The rest of the folder, which may touch every stack. For an app in the root: the folders and
    files of its code.
    """
    manifests = own_manifests(tree, app.folder, _app_code(app))
    if app.folder:
        above = [literal(path) for path in manifests if not path.startswith(f"{app.folder}/")]
        tests = [f"!{one}" for one in test_patterns(tree, app.folder)]
        return DraftRule(
            "Infrastructure", (everything_in(app.folder), *above, *tests), deploy, ships=False
        )
    code = reachable_files(tree, _app_code(app), "")
    files = [
        path
        for path in tree.paths
        if "/" not in path and (path in code or path.startswith("cdk.") or path in _ROOT_FILES)
    ]
    folders = [everything_in(dirname(path)) for path in code if dirname(path)]
    return DraftRule(
        "Infrastructure", simplify([*folders, *map(literal, files)]), deploy, ships=False
    )


def _app_code(app: CdkAppSource) -> list[str]:
    """The files of an app that make something of the CDK's."""
    ours = {path for one in app.stacks for path in (one.home, one.maker)}
    return [
        one.path
        for one in app.program.files
        if one.path in ours or any(map(_IMPORTS_CDK.match, one.imports))
    ]


def _manual_app(tree: TrackedFiles, names: TargetNames, folder: str) -> Evidence:
    """An app whose stacks cannot be read: a person deploys it, until the draft says better."""
    config, name = joined(folder, "cdk.json"), names.new("infra")
    endings = {path[path.rfind(".") :] for path in tree.below(folder)}
    language = next((word for ending, word in _OTHER_LANGUAGES.items() if ending in endings), None)
    told = (
        f"a CDK app in {language}, which is not read"
        if language
        else "a CDK app; no stack was found in it"
    )
    manual = DraftTarget(
        name,
        "manual",
        {"instructions": f"cd {folder or '.'} && cdk deploy --all"},
        comment=(f"{config}: {told}.",),
    )
    rest = (
        [everything_in(folder)]
        if folder
        else [literal(path) for path in tree.paths if "/" not in path and path.startswith("cdk.")]
    )
    return Evidence(
        targets=(manual,),
        rules=(DraftRule("Infrastructure", tuple(rest), (name,), ships=False),),
        notes=(f"{config}: {told}",),
        questions=(
            f"targets.{name}: {config} is {told}: name its stacks as targets of kind `stack`",
        ),
    )
