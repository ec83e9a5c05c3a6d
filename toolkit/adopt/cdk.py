"""A CDK app becomes stacks, a group of them, and rules: for each stack's own file, for its assets, and for the rest of the folder."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from posixpath import basename, dirname
from posixpath import join as joined

from msgspec import Struct

from toolkit.adopt.bundles import bundle
from toolkit.adopt.code import Asset, CodeFile, Made, plain
from toolkit.adopt.draft import DraftRule, DraftTarget
from toolkit.adopt.images import image
from toolkit.adopt.parts import Names, Part, Stack, together
from toolkit.adopt.patterns import below, literal, simplest
from toolkit.adopt.python_code import read_python, read_python_loosely
from toolkit.adopt.quiet import looks_like_test, tests_in
from toolkit.adopt.script_code import read_script
from toolkit.adopt.stages import merged_stages
from toolkit.adopt.tree import Tree

_SCRIPTS = (".ts", ".mts", ".js", ".mjs", ".cjs")
_OTHER_LANGUAGES = {".java": "Java", ".cs": "C#", ".go": "Go", ".kt": "Kotlin", ".fs": "F#"}
_OF_CDK = re.compile(r"cdk|Stack|onstruct")
_RUNS_CONTAINERS = re.compile(r"(?:Fargate|Ec2|External)Service\Z")
_NAMED_FOR_CONTAINERS = re.compile(r"fargate|ecs", re.IGNORECASE)
_NEVER_OURS = {"NestedStack", "CfnStack", "CfnStackSet", "StackSet", "ProductStack"}


class Deployed(Struct, frozen=True):
    """A stack that an app makes: the object, the stack's name, its target, the file that makes it and the one of its class."""

    made: Made
    name: str
    target: str
    maker: str
    file: str


def cdk_apps(tree: Tree, names: Names) -> Part:
    """All CDK apps of the repository."""
    configs = [path for path in tree.paths if basename(path) == "cdk.json"]
    folders = [dirname(path) for path in configs]
    return together(_app(tree, names, folder, [one for one in folders if one != folder]) for folder in folders)


def _app(tree: Tree, names: Names, folder: str, others: Sequence[str]) -> Part:
    config, problem = _config(tree, joined(folder, "cdk.json"))
    files, unread = _files(tree, folder, [one for one in others if one.startswith(f"{folder}/") or not folder])
    app = _App(tree, names, folder, files)
    found = (*((problem,) if problem else ()), *unread)
    return together((app.part(), Part(found=found, variables=config)))


def _config(tree: Tree, path: str) -> tuple[dict[str, str], str | None]:
    """The strings of an app's context, and what is wrong with its cdk.json."""
    try:
        config = json.loads(tree.read(path) or "")
        context = config.get("context", {}) if isinstance(config, dict) else None
    except (ValueError, RecursionError):
        context = None
    if not isinstance(context, dict):
        return {}, f"{path}: could not be read"
    return {name.lower(): value for name, value in context.items() if isinstance(value, str) and plain(value) is not None}, None


def _files(tree: Tree, folder: str, others: Sequence[str]) -> tuple[list[CodeFile], list[str]]:
    """The app's code, without its tests, and what could not be read."""
    files, unread = [], []
    for path in sorted(tree.below(folder), key=lambda one: (one.count("/"), one)):
        if not path.endswith((".py", *_SCRIPTS)) or _is_aside(tree, path, folder) or any(path.startswith(f"{one}/") for one in others):
            continue
        text = tree.read(path)
        if text is None or not _OF_CDK.search(text):
            continue
        if not path.endswith(".py"):
            files.append(read_script(path, text, folder))
            continue
        try:
            files.append(read_python(path, text, folder))
        except ValueError as error:
            unread.append(f"{path}: could not be read ({error}); its stacks are guessed from how its lines look")
            files.append(read_python_loosely(path, text))
    return files, unread


def _is_aside(tree: Tree, path: str, folder: str) -> bool:
    """Tests, declarations, and what a compiler wrote beside its source."""
    inner = path[len(folder) :].strip("/").split("/")
    if path.endswith(".d.ts") or looks_like_test(path) or {"test", "tests", "__tests__"} & set(inner[:-1]):
        return True
    return path.endswith(".js") and f"{path[:-3]}.ts" in tree


class _App:
    def __init__(self, tree: Tree, names: Names, folder: str, files: list[CodeFile]) -> None:
        self.tree, self.names, self.folder, self.files = tree, names, folder, files
        self.bases = {name: bases for one in files for name, bases in one.bases.items()}
        self.homes = {name: one.path for one in files for name in one.bases}
        self.calls: dict[str, set[str]] = {}
        for one in files:
            for within, called in one.calls.items():
                self.calls.setdefault(within, set()).update(called)
        made, self.stages = merged_stages(list(self._made()))
        self.stacks = self._deployed(made)
        self.needs = self._needs()

    def part(self) -> Part:
        if not self.stacks:
            return self._unknown()
        targets = [self._target(one) for one in self.stacks]
        every = tuple(one.target for one in self.stacks)
        group = self.names.new("infra" if not self.folder else basename(self.folder) if self.names.has("infra") else "infra") if every[1:] else ""
        infra = DraftTarget(group, "group", {"members": list(every)})
        assets = together(self._assets())
        where = self.folder or "the root"
        return Part(
            stacks=tuple(self._stack(one, target) for one, target in zip(self.stacks, targets, strict=True)),
            targets=(*targets, *((infra,) if group else ())),
            rules=(*assets.rules, *self._own_files(every), self._rest((group,) if group else every)),
            found=(f"{joined(self.folder, 'cdk.json')}: a CDK app; stacks {', '.join(f'`{one}`' for one in every)}", *assets.found),
            questions=(*self._questions(where), *assets.questions),
            stages=self.stages,
            taken=assets.taken,
            regions=frozenset(one for file in self.files for one in file.regions),
            accounts=frozenset(one for file in self.files for one in file.accounts),
            tests=(*assets.tests, *self._tests()),
        )
