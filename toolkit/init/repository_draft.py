"""What does a repository already say about its parts? All its tracked paths and a few texts in, a
draft of rules.toml out.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from posixpath import basename

from msgspec import Struct
from msgspec.structs import replace

from toolkit.formats import toml
from toolkit.formats.documents import as_mapping
from toolkit.init.draft import Draft, DraftTarget
from toolkit.init.draft_builder import build_draft
from toolkit.init.evidence import Evidence, TargetNames, merge_evidence, slug
from toolkit.init.filters.workflows import import_filters
from toolkit.init.frontends import find_sites
from toolkit.init.images.apps import find_apps
from toolkit.init.images.contexts import is_compose, is_dockerfile
from toolkit.init.patterns import printable
from toolkit.init.stacks.cdk import find_cdk_apps
from toolkit.init.stacks.templates import find_templates
from toolkit.init.tree import MOST_READ, TrackedFiles, is_ours

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


class RepositoryDraft(Struct, frozen=True):
    """A draft, a line for each thing that was found, and what only a person can fill in."""

    draft: Draft
    notes: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()


def draft_repository(
    paths: Sequence[str], read: Callable[[str], str | None], project: str = ""
) -> RepositoryDraft:
    """Draft the rules of a repository. `read` gives a tracked file's text, or None if it is
    missing, too large or binary.

    `project` is what to call it, if nothing in the repository does. Tests and examples count only
    where nothing else does.
    """
    tree = TrackedFiles(filter(is_ours, paths), read)
    _read_first(tree)
    name = slug(project) or _project_name(tree) or "project"
    # The folders of project templates are called `{{name}}`.
    plain = tree.with_candidates(lambda path: "{" not in path)
    main = plain.with_candidates(lambda path: not _SECOND & set(path.split("/")[:-1]))
    evidence = _gather_evidence(main, name)
    # Examples and tests have Dockerfiles and stacks, too, but are rarely what is deployed.
    if not evidence.targets:
        evidence = _gather_evidence(plain, name)
    filters, filter_notes = _ci_filters(tree)
    if not evidence.targets:
        evidence = merge_evidence((evidence, filters))
    checks = _check_folders(tree)
    draft, questions = build_draft(tree, name, evidence, checks)
    notes = [*evidence.notes]
    notes += [f"{folder}/: checks of the live system" for folder in checks]
    notes += filter_notes
    notes += _unsupported_tools(tree)
    if tree.capped:
        notes.append(f"only the first {MOST_READ} files that might say something were read")
    return RepositoryDraft(draft, tuple(map(printable, notes)), tuple(map(printable, questions)))


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


def _gather_evidence(tree: TrackedFiles, project: str) -> Evidence:
    """All that is deployed: stacks first, since they may take images and front ends with them, then
    images, then sites.
    """
    # The names are shared, so that no two kinds of targets get the same one.
    names = TargetNames(project)
    infra = merge_evidence((find_cdk_apps(tree, names), find_templates(tree, names)))
    images = find_apps(tree, names, infra.stacks, infra.taken)
    rules = [rule.paths for rule in (*images.rules, *infra.rules)]
    front = find_sites(tree, names, infra.stacks, infra.taken, rules)
    return _with_distinct_names(merge_evidence((images, front, infra)))


_CALLED = {
    "stack": ("stack",),
    "app": ("service", "cluster"),
    "site": ("bucket",),
    "function": ("function",),
}
"""For each kind the setting that names what it deploys, and where that is."""


def _with_distinct_names(evidence: Evidence) -> Evidence:
    """No two targets with the same name for what they deploy: only a person knows which of them has
    it.
    """
    first: dict[tuple[object, ...], str] = {}
    targets: list[DraftTarget] = []
    questions: list[str] = []
    for target in evidence.targets:
        keys = _CALLED.get(target.kind, ())
        identity = (
            target.kind,
            *(target.settings.get(key) for key in keys),
            target.settings.get("container"),
        )
        holder = first.setdefault(identity, target.name)
        if not keys or holder == target.name:
            targets.append(target)
            continue
        key = keys[0]
        name = target.settings[key]
        new_name = f"{name}-{target.name}"
        targets.append(replace(target, settings={**target.settings, key: new_name}))
        questions.append(
            f"targets.{target.name}.{key}: `{name}` is what {holder} deploys (drafted as"
            f" `{new_name}`)"
        )
    return replace(evidence, targets=tuple(targets), questions=(*evidence.questions, *questions))


def _project_name(tree: TrackedFiles) -> str:
    """What the repository's own package is called."""
    for path, load, keys in (
        ("package.json", json.loads, ("name",)),
        ("pyproject.toml", toml.tables, ("project", "name")),
    ):
        try:
            value: object = load(tree.read(path) or "")
        except (ValueError, RecursionError):
            continue
        for key in keys:
            value = as_mapping(value).get(key)
        if isinstance(value, str):
            return slug(value.rpartition("/")[2])
    return ""


def _ci_filters(tree: TrackedFiles) -> tuple[Evidence, list[str]]:
    """What the path filters of CI say, as evidence that is used where nothing else was found, and
    how to import them.
    """
    workflows: list[tuple[str, str]] = []
    notes: list[str] = []
    for path in tree.paths:
        if not _WORKFLOW.match(path):
            continue
        text = tree.read(path) or ""
        if not _JOBS.search(text):
            continue
        workflows.append((path, text))
        count = import_filters([(path, text)]).count
        if count:
            notes.append(
                f"{path}: {count} path filter{'s' * (count > 1)}; `toolkit rules import {path}`"
                " drafts rules from them"
            )
    draft = import_filters(workflows).draft
    rules = []
    for rule in draft.rules:
        # A rule that only excludes matches everything else; the draft says so.
        if all(pattern[0] == "!" for pattern in rule.paths):
            rule = replace(rule, paths=("**", *rule.paths))
        rules.append(rule)
    return Evidence(targets=draft.targets, rules=tuple(rules), ignore=draft.ignore), notes


def _check_folders(tree: TrackedFiles) -> list[str]:
    """The folders, at most three deep, whose names are those of checks of the live system."""
    candidates: set[str] = set()
    for path in tree.paths:
        segments = path.split("/")
        candidates.update("/".join(segments[:depth]) for depth in (1, 2, 3))
    folders: list[str] = []
    for folder in sorted(candidates):
        if (
            basename(folder) in _CHECKS
            and tree.is_folder(folder)
            and not any(folder.startswith(f"{outer}/") for outer in folders)
        ):
            folders.append(folder)
    return folders


def _unsupported_tools(tree: TrackedFiles) -> Iterator[str]:
    for pattern, name in _NOT_UNDERSTOOD:
        paths = [path for path in tree.paths if pattern.search(path)]
        if paths:
            more = ""
            if paths[1:]:
                more = f" and {len(paths) - 1} more"
            yield f"{paths[0]}{more}: {name}, found but not understood"
