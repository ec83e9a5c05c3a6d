"""What does a repository already say about its parts? All its tracked paths and a few texts in, a
draft of rules.toml out.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from posixpath import basename, normpath

from msgspec import Struct
from msgspec.structs import replace

from toolkit.init.assembly import assembled
from toolkit.init.draft import Draft, DraftTarget
from toolkit.init.filters.workflows import imported
from toolkit.init.frontends import sites
from toolkit.init.images.apps import apps
from toolkit.init.images.contexts import is_compose, is_dockerfile
from toolkit.init.parts import SurveyPart, TargetNames, slug, together
from toolkit.init.patterns import shown
from toolkit.init.stacks.cdk import cdk_apps
from toolkit.init.stacks.templates import templates
from toolkit.init.tree import MOST_READ, TrackedFiles

_NEVER = {
    "node_modules",
    "vendor",
    "third_party",
    "bower_components",
    "site-packages",
    ".venv",
    "venv",
    "__pycache__",
}
_NEVER |= {"cdk.out", ".aws-sam", ".terraform", ".next", ".devcontainer", "devcontainer"}
_SECOND = {
    "tests",
    "test",
    "__tests__",
    "testdata",
    "fixtures",
    "examples",
    "example",
    "samples",
    "sample",
    "demos",
}
_CHECKS = {"smoke", "smoke-test", "smoke-tests", "smoke_test", "smoke_tests", "smoketests", "e2e"}
_WORKFLOW = re.compile(r"\.github/workflows/[^/]+\.ya?ml\Z")
_JOBS = re.compile(r"^jobs\s*:", re.MULTILINE)
_NOT_UNDERSTOOD = (
    (re.compile(r"(?:\A|/)serverless\.(?:ya?ml|json|ts|js)\Z"), "a Serverless Framework service"),
    (re.compile(r"\.tf\Z"), "Terraform"),
    (re.compile(r"(?:\A|/)copilot/"), "AWS Copilot"),
    (re.compile(r"(?:\A|/)Pulumi\.yaml\Z"), "Pulumi"),
)


class Survey(Struct, frozen=True):
    """A draft, a line for each thing that was found, and what only a person can fill in."""

    draft: Draft
    found: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()


def survey(paths: Sequence[str], read: Callable[[str], str | None], project: str = "") -> Survey:
    """Draft the rules of a repository. `read` gives a tracked file's text, or None if it is
    missing, too large or binary.

    `project` is what to call it, if nothing in the repository does. Tests and examples count only
    where nothing else does.
    """
    tree = TrackedFiles(filter(_is_ours, paths), read)
    _read_first(tree)
    named = slug(project) or _project(tree) or "project"
    plain = tree.looking_at(
        lambda path: "{" not in path
    )  # the folders of project templates are called `{{name}}`
    part = _look(plain.looking_at(lambda path: not _SECOND & set(path.split("/")[:-1])), named)
    if not part.targets:
        part = _look(plain, named)
    filters, seen = _filters(tree)
    if not part.targets:
        part = together((part, filters))
    checks = _checks(tree)
    draft, questions = assembled(tree, named, part, checks)
    checked = [f"{folder}/: checks of the live system" for folder in checks]
    capped = (
        [f"only the first {MOST_READ} files that might say something were read"]
        if tree.capped
        else []
    )
    found = (*part.found, *checked, *seen, *_others(tree), *capped)
    return Survey(draft, tuple(map(shown, found)), tuple(map(shown, questions)))


def images_of_stacks(
    paths: Sequence[str], read: Callable[[str], str | None]
) -> Iterator[tuple[str, str, str, str]]:
    """The Dockerfiles that stacks build by themselves: each with its build context, and with the
    CDK app's folder (or the template) and the name of a stack that builds it.
    """
    tree = TrackedFiles(filter(_is_ours, paths), read).looking_at(lambda path: "{" not in path)
    names = TargetNames("")
    part = together((cdk_apps(tree, names), templates(tree, names)))
    stacks = {one.name: one.settings for one in part.targets}
    for image in part.images:
        for settings in (stacks[target] for target in image.targets):
            yield (
                image.dockerfile,
                image.context,
                normpath(str(settings.get("cdk") or settings["template"])),
                str(settings["stack"]),
            )


def _is_ours(path: str) -> bool:
    """Not vendored, and a name that git and a rules.toml can hold."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    segments = path.split("/")
    return (
        "\0" not in path
        and {"", ".", ".."}.isdisjoint(segments)
        and _NEVER.isdisjoint(segments[:-1])
    )


def _read_first(tree: TrackedFiles) -> None:
    """Read what says most before anything else, so that a flood of other files cannot crowd it
    out.
    """
    for path in tree.candidates:
        if (
            basename(path) in ("cdk.json", "package.json")
            or is_dockerfile(path)
            or is_compose(path)
            or _WORKFLOW.match(path)
        ):
            tree.read(path)


def _look(tree: TrackedFiles, project: str) -> SurveyPart:
    """All that is deployed: stacks first, since they may take images and front ends with them, then
    images, then sites.
    """
    names = TargetNames(project)
    infra = together((cdk_apps(tree, names), templates(tree, names)))
    images = apps(tree, names, infra.stacks, infra.taken)
    front = sites(
        tree,
        names,
        infra.stacks,
        infra.taken,
        [rule.paths for rule in (*images.rules, *infra.rules)],
    )
    return _apart(together((images, front, infra)))


_CALLED = {
    "stack": ("stack",),
    "app": ("service", "cluster"),
    "site": ("bucket",),
    "function": ("function",),
}
"""For each kind the setting that names what it deploys, and where that is."""


def _apart(part: SurveyPart) -> SurveyPart:
    """No two targets with the same name for what they deploy: which of them has it, only a person
    knows.
    """
    first: dict[tuple[object, ...], str] = {}
    changed: dict[str, DraftTarget] = {}
    questions: list[str] = []
    for target in part.targets:
        keys = _CALLED.get(target.kind, ())
        name = (
            target.kind,
            *(target.settings.get(key) for key in keys),
            target.settings.get("container"),
        )
        other = first.setdefault(name, target.name)
        if not keys or other == target.name:
            continue
        was = target.settings[keys[0]]
        settings = {**target.settings, keys[0]: f"{was}-{target.name}"}
        changed[target.name] = replace(target, settings=settings)
        questions.append(
            f"targets.{target.name}.{keys[0]}: `{was}` is what {other} deploys (drafted as"
            f" `{settings[keys[0]]}`)"
        )
    targets = tuple(changed.get(one.name, one) for one in part.targets)
    return replace(part, targets=targets, questions=(*part.questions, *questions))


def _project(tree: TrackedFiles) -> str:
    """What the repository's own package is called."""
    for path, load, keys in (
        ("package.json", json.loads, ("name",)),
        ("pyproject.toml", tomllib.loads, ("project", "name")),
    ):
        try:
            value = load(tree.read(path) or "")
        except (ValueError, RecursionError):
            continue
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, str):
            return slug(value.rpartition("/")[2])
    return ""


def _filters(tree: TrackedFiles) -> tuple[SurveyPart, list[str]]:
    """What the path filters of CI say, as a part that is used where nothing else was found, and how
    to import them.
    """
    workflows = [
        (path, text)
        for path in tree.paths
        if _WORKFLOW.match(path) and _JOBS.search(text := tree.read(path) or "")
    ]
    counts = [(path, imported([(path, text)]).found) for path, text in workflows]
    seen = [
        f"{path}: {count} path filter{'s' * (count > 1)}; `toolkit rules import {path}` drafts"
        " rules from them"
        for path, count in counts
        if count
    ]
    draft = imported(workflows).draft
    rules = [
        one if any(path[0] != "!" for path in one.paths) else replace(one, paths=("**", *one.paths))
        for one in draft.rules
    ]
    return SurveyPart(targets=draft.targets, rules=tuple(rules), ignore=draft.ignore), seen


def _checks(tree: TrackedFiles) -> list[str]:
    """The folders, at most three deep, that are called like checks of the live system."""
    found: list[str] = []
    for folder in sorted(
        {"/".join(path.split("/")[:deep]) for path in tree.paths for deep in (1, 2, 3)}
    ):
        if (
            basename(folder) in _CHECKS
            and tree.is_folder(folder)
            and not any(folder.startswith(f"{one}/") for one in found)
        ):
            found.append(folder)
    return found


def _others(tree: TrackedFiles) -> Iterator[str]:
    for pattern, name in _NOT_UNDERSTOOD:
        paths = [path for path in tree.paths if pattern.search(path)]
        if paths:
            yield (
                f"{paths[0]}{f' and {len(paths) - 1} more' if paths[1:] else ''}: {name}, seen and"
                " not understood"
            )
