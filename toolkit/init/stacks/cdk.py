"""A CDK app becomes stacks, a group of them, and rules: for a stack's own file, for the code it
deploys, for the rest of the folder.
"""

import json
import re
from collections.abc import Mapping, Sequence
from posixpath import basename, dirname, normpath
from posixpath import join as joined

from msgspec import Struct
from msgspec.structs import replace

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
from toolkit.init.tree import TrackedFiles, folder_prefix

MOST_CODE = 500
"""The most files of one app that are read."""

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
    parts = []
    for folder in folders:
        start = folder_prefix(folder)
        inner = [other for other in folders if other != folder and other.startswith(start)]
        parts.append(_app_evidence(tree, names, folder, inner))
    return merge_evidence(parts)


def _app_evidence(
    tree: TrackedFiles, names: TargetNames, folder: str, inner_apps: Sequence[str]
) -> Evidence:
    config = joined(folder, "cdk.json")
    context, command, problem = _read_config(tree, config)
    files, unread = _read_code(tree, folder, command, inner_apps)
    program = AppProgram(files)
    stacks, stages = merge_stages(program.stacks())
    problems = Evidence(notes=((problem, *unread) if problem else tuple(unread)))
    if not stacks:
        return merge_evidence((problems, _manual_app(tree, names, folder)))
    stack_names = [stack.name for stack in stacks]
    app = CdkAppSource(
        folder,
        program,
        tuple(stacks),
        {name: names.short(name, stack_names) for name in stack_names},
        program.needs(stacks),
    )
    # A change that may touch every stack deploys the group.
    group = names.new("infra") if len(stacks) > 1 else ""
    owners = {stack.class_name: _targets_of(app, stack.class_name) for stack in stacks}
    code = deployed_code(tree, folder, program, owners, app.every)
    whole_app = _whole_app_rule(tree, app, (group,) if group else app.every)
    if group:
        code_rules = remove_shared(tree, folder, _app_code(app), whole_app, code.rules)
    else:
        code_rules = list(code.rules)
    described = [_describe_stack(app, stack) for stack in stacks]
    targets = [stack.target for stack in described]
    if group:
        comment = (f"All stacks of {config}.",)
        targets.append(DraftTarget(group, "group", {"members": list(app.every)}, comment=comment))
    listed = ", ".join(f"`{target}`" for target in app.every)
    stacks_evidence = Evidence(
        stacks=tuple(described),
        targets=tuple(targets),
        rules=(*code_rules, *_stack_file_rules(app), whole_app),
        notes=(f"{config}: a CDK app; stacks {listed}",),
        questions=tuple(_name_question(app, stack) for stack in stacks if not stack.sure),
        stages=stages,
        tests=test_patterns(tree, folder) if folder else (),
    )
    code_evidence = replace(code, rules=())  # its rules are among those of the stacks
    # The context of cdk.json overrides the defaults in the code.
    values = (_values_in_code(files), Evidence(variables=context))
    return merge_evidence((problems, *values, stacks_evidence, code_evidence))


def _values_in_code(files: Sequence[CodeFile]) -> Evidence:
    variables: dict[str, str] = {}
    regions: set[str] = set()
    accounts: set[str] = set()
    for file in files:
        variables |= file.defaults
        regions |= file.regions
        accounts |= file.accounts
    return Evidence(variables=variables, regions=frozenset(regions), accounts=frozenset(accounts))


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
    strings: dict[str, str] = {}
    for name, value in context.items():
        if isinstance(value, str) and plain_name(value) is not None:
            strings[name.lower()] = value
    return strings, str(config.get("app", "")), None


def _read_code(
    tree: TrackedFiles, folder: str, command: str, inner_apps: Sequence[str]
) -> tuple[list[CodeFile], list[str]]:
    """The app's code, without its tests and other apps, and what could not be read. What the
    command's file imports comes first.
    """
    files, unread = [], []
    for path in _code_paths(tree, folder, command, inner_apps):
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


def _code_paths(
    tree: TrackedFiles, folder: str, command: str, inner_apps: Sequence[str]
) -> list[str]:
    """The files to read, those that the command's file imports first, then those near the root."""
    paths = []
    for path in tree.below(folder):
        if not path.endswith((".py", *_SCRIPTS)) or _is_not_source(tree, path, folder):
            continue
        if not any(path.startswith(f"{app}/") for app in inner_apps):
            paths.append(path)
    entries = []
    for word in command.split():
        for ending in ("", ".py", ".ts"):
            path = normpath(joined(folder, word) + ending)
            if path in tree:
                entries.append(path)
    reached = reachable_files(tree, entries, folder)
    order = {path: index for index, path in enumerate(reached)}
    paths.sort(key=lambda path: (order.get(path, len(order)), path.count("/"), path))
    return paths[:MOST_CODE]


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


def _describe_stack(app: CdkAppSource, stack: StackSource) -> Stack:
    target = DraftTarget(
        app.targets[stack.name],
        "stack",
        {"stack": stack.name, "cdk": app.folder or "."},
        tuple(app.targets[name] for name in app.needs[stack.name]),
        (f"{stack.class_name} in {stack.home}.",),
    )
    # The names of stacks only count where no call anywhere in the app shows a container service.
    if any(app.program.runs_containers(other) for other in app.stacks):
        containers = app.program.runs_containers(stack)
    else:
        containers = is_named_for_containers(f"{stack.class_name} {stack.name}")
    return Stack(target, containers, app.program.values(stack))


def _name_question(app: CdkAppSource, stack: StackSource) -> str:
    return (
        f"targets.{app.targets[stack.name]}.stack: the stack's name, which {stack.maker} computes"
        f" (drafted as `{stack.name}`)"
    )


def _targets_of(app: CdkAppSource, class_name: str) -> tuple[str, ...]:
    return tuple(app.targets[stack.name] for stack in app.stacks if stack.class_name == class_name)


def _stack_file_rules(app: CdkAppSource) -> list[DraftRule]:
    """A rule for each file whose change can only touch some of the stacks."""
    paths_by_targets: dict[tuple[str, ...], list[str]] = {}
    for path in dict.fromkeys(stack.home for stack in app.stacks):
        touched = _touched_targets(app, path)
        if touched and len(touched) < len(app.stacks):
            targets = tuple(target for target in app.every if target in touched)
            paths_by_targets.setdefault(targets, []).append(literal(path))
    return [
        DraftRule(f"Stack {', '.join(targets)}", tuple(paths), targets, ships=False)
        for targets, paths in paths_by_targets.items()
    ]


def _touched_targets(app: CdkAppSource, path: str) -> set[str]:
    """The targets that a change of a stack's file can touch: its stacks, those that get something
    from them, and those whose files import it. An empty set stands for every target: the file makes
    stacks, or something else imports it.
    """
    makers = {stack.maker for stack in app.stacks}
    homes = {stack.home for stack in app.stacks}
    files, waiting = {path}, [path]
    while waiting:
        for importer in _importers(app.program.files, waiting.pop(), makers):
            if importer not in homes:
                return set()
            if importer not in files:
                files.add(importer)
                waiting.append(importer)
    if files & makers:
        return set()
    changed = {stack.name for stack in app.stacks if stack.home in files}
    targets: set[str] = set()
    for stack in app.stacks:
        if closure(stack.name, app.needs) & changed:
            targets.add(app.targets[stack.name])
    return targets


def _importers(files: Sequence[CodeFile], path: str, makers: set[str]) -> list[str]:
    """The files, other than those that make the stacks, which import a file or a class of it."""
    classes = next(frozenset(file.bases) for file in files if file.path == path)
    module = basename(path).rpartition(".")[0]
    if module in ("index", "__init__"):  # these are imported by the name of their folder
        module = basename(dirname(path))
    words = classes | {module}
    importers = []
    # The files that make the stacks import all of them anyway.
    for file in files:
        if file.path == path or file.path in makers:
            continue
        if file.imports & words and (file.bases or file.calls):
            importers.append(file.path)
    return importers


def _whole_app_rule(tree: TrackedFiles, app: CdkAppSource, deploy: tuple[str, ...]) -> DraftRule:
    """The rest of the folder, which may touch every stack. For an app in the root: the folders and
    files of its code.
    """
    if app.folder:
        manifests = own_manifests(tree, app.folder, _app_code(app))
        above = [literal(path) for path in manifests if not path.startswith(f"{app.folder}/")]
        tests = [f"!{pattern}" for pattern in test_patterns(tree, app.folder)]
        patterns = (everything_in(app.folder), *above, *tests)
        return DraftRule("Infrastructure", patterns, deploy, ships=False)
    code = reachable_files(tree, _app_code(app), "")
    files = []
    for path in tree.paths:
        is_ours = path in code or path.startswith("cdk.") or path in _ROOT_FILES
        if "/" not in path and is_ours:
            files.append(literal(path))
    folders = [everything_in(dirname(path)) for path in code if dirname(path)]
    return DraftRule("Infrastructure", simplify([*folders, *files]), deploy, ships=False)


def _app_code(app: CdkAppSource) -> list[str]:
    """The files of an app that make something of the CDK's."""
    ours: set[str] = set()
    for stack in app.stacks:
        ours |= {stack.home, stack.maker}
    return [
        file.path
        for file in app.program.files
        if file.path in ours or any(map(_IMPORTS_CDK.match, file.imports))
    ]


def _manual_app(tree: TrackedFiles, names: TargetNames, folder: str) -> Evidence:
    """An app whose stacks cannot be read: a person deploys it, until the draft says better."""
    config, name = joined(folder, "cdk.json"), names.new("infra")
    endings = {path[path.rfind(".") :] for path in tree.below(folder)}
    languages = [word for ending, word in _OTHER_LANGUAGES.items() if ending in endings]
    if languages:
        description = f"a CDK app in {languages[0]}, which is not read"
    else:
        description = "a CDK app; no stack was found in it"
    target = DraftTarget(
        name,
        "manual",
        {"instructions": f"cd {folder or '.'} && cdk deploy --all"},
        comment=(f"{config}: {description}.",),
    )
    patterns = []
    if folder:
        patterns.append(everything_in(folder))
    else:
        for path in tree.paths:
            if "/" not in path and path.startswith("cdk."):
                patterns.append(literal(path))
    return Evidence(
        targets=(target,),
        rules=(DraftRule("Infrastructure", tuple(patterns), (name,), ships=False),),
        notes=(f"{config}: {description}",),
        questions=(
            f"targets.{name}: {config} is {description}: name its stacks as targets of kind"
            " `stack`",
        ),
    )
