"""What proves that something is deployed? All tracked paths of a repository and a few texts in, a
draft of rules.toml out.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from posixpath import basename, dirname

from msgspec import Struct
from msgspec.structs import replace

from toolkit.formats import toml
from toolkit.formats.documents import as_mapping
from toolkit.init.account import Account
from toolkit.init.account_evidence import with_account
from toolkit.init.configs import configured_evidence
from toolkit.init.deploy_steps.reader import read_evidence
from toolkit.init.draft import Draft, printable
from toolkit.init.draft_builder import Question, build_draft
from toolkit.init.evidence import UNKNOWN, CdkDeploy, Evidence, Place, Sighting
from toolkit.init.filters.workflows import import_filters
from toolkit.init.images.contexts import is_compose, is_dockerfile
from toolkit.init.names import slug
from toolkit.init.shell import ROOT
from toolkit.init.steps import is_workflow, read_jobs
from toolkit.init.templates import Templates
from toolkit.init.tools import RIFF_RAFF
from toolkit.init.tree import MOST_READ, TrackedFiles, is_ours
from toolkit.init.units import Unit, join_units

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
_JOBS = re.compile(r"^jobs\s*:", re.MULTILINE)
_SEEN_FILES = (
    (re.compile(r"(?:\A|/)Chart\.yaml\Z"), "a Helm chart"),
    (re.compile(r"(?:\A|/)appspec\.ya?ml\Z"), "CodeDeploy"),
    (re.compile(r"(?:\A|/)Jenkinsfile[^/]*\Z"), "Jenkins, whose steps are not read"),
    (
        re.compile(
            r"(?:\A|/)(?:netlify\.toml|vercel\.json|amplify\.yml|fly\.toml|app\.yaml|Procfile)\Z"
        ),
        "a host that takes it from git, or its own command",
    ),
    (re.compile(r"(?:\A|/)kustomization\.ya?ml\Z"), "Kubernetes"),
)
_PROVIDER = re.compile(r'^[ \t]*provider[ \t]+"', re.MULTILINE)
_MOST_SEEN = 100


class Seen(Struct, frozen=True):
    """Something that nothing drafted stands for: where, and what it is."""

    where: str
    what: str


class RepositoryDraft(Struct, frozen=True):
    """A draft, a line for each target with what proves it, what was seen besides, and what only a
    person can fill in, the most important first.
    """

    draft: Draft
    notes: tuple[str, ...] = ()
    seen: tuple[Seen, ...] = ()
    questions: tuple[Question, ...] = ()


def draft_repository(
    paths: Sequence[str],
    read: Callable[[str], str | None],
    project: str = "",
    more: Sequence[Evidence] = (),
    account: Account | None = None,
) -> RepositoryDraft:
    """Draft the rules of a repository. `read` gives a tracked file's text, or None if it is
    missing, too large or binary. `more` is evidence from elsewhere (an assembly), `account` what
    runs in an account.

    `project` is what to call it, if nothing in the repository does. What stands in tests and
    examples proves nothing.
    """
    tree = TrackedFiles(filter(is_ours, paths), read)
    name = slug(project) or _project_name(tree) or "project"
    # The folders of project templates are called `{{name}}`.
    plain = tree.with_candidates(lambda path: "{" not in path)
    main = plain.with_candidates(lambda path: not _SECOND & set(path.split("/")[:-1]))
    evidence, unread = gather_evidence(main)
    evidence = [*more, *evidence]
    templates = Templates(main)
    if account is not None:
        evidence = with_account(main, evidence, templates, account, name)
    units, sightings = join_units(tree, evidence, templates)
    built = build_draft(tree, name, units, [entry.place for entry in evidence])
    notes = [
        _note(unit, target.name) for unit, target in zip(units, built.draft.targets, strict=False)
    ]
    drafted = {place for unit in units for place in unit.places}
    sightings = [sighting for sighting in sightings if sighting.place not in drafted]
    seen = [
        *(Seen(sighting.place.where, sighting.what) for sighting in sightings),
        *_seen_files(main, units, sightings, templates, evidence),
        *_filters(main),
        *(Seen(*line.split(": ", 1)) for line in (*unread, *templates.unread)),
    ]
    if tree.capped:
        seen.append(
            Seen(f"{MOST_READ:,} files", "were read, and no more: every rule is for all files")
        )
    return RepositoryDraft(
        built.draft,
        tuple(map(printable, notes)),
        tuple(Seen(_plain(entry.where), _plain(entry.what)) for entry in dict.fromkeys(seen)),
        tuple(replace(question, text=_plain(question.text)) for question in built.questions),
    )


def cdk_folders(paths: Sequence[str]) -> list[str]:
    """The folders of CDK apps, without those in tests and examples."""
    folders = []
    for path in filter(is_ours, paths):
        if basename(path) == "cdk.json" and not _SECOND & set(path.split("/")[:-1]):
            folders.append(dirname(path))
    return folders


def gather_evidence(tree: TrackedFiles) -> tuple[list[Evidence], list[str]]:
    """All evidence of the repository's own files, and the files that could not be read."""
    packages: dict[str, str] = {}
    for path in tree.candidates:
        if basename(path) == "package.json":
            try:
                named = as_mapping(json.loads(tree.read(path) or "")).get("name")
            except (ValueError, RecursionError):
                continue
            if isinstance(named, str):
                packages.setdefault(named, dirname(path))
    jobs, unread = read_jobs(tree)
    evidence: list[Evidence] = []
    for job in jobs:
        for entry in read_evidence(tree, job, packages):
            if job.trial and not isinstance(entry, Sighting):
                entry = Sighting(entry.place, "deploys for a test or a pull request alone")
            evidence.append(entry)
    by_others = any(isinstance(entry, Sighting) and RIFF_RAFF in entry.what for entry in evidence)
    for entry in configured_evidence(tree):
        if by_others and isinstance(entry, CdkDeploy):
            # It takes the templates of an app to CloudFormation, and the code to buckets.
            what = f"a CDK app, which {RIFF_RAFF} deploys, and no `cdk deploy`"
            entry = Sighting(entry.place, what)
        evidence.append(entry)
    return evidence, unread


def _note(unit: Unit, name: str) -> str:
    place = unit.places[0] if unit.places else Place("", 0, "")
    return f"{name} ({unit.kind}): {place.where}{': ' if place.words else ''}{_plain(place.words)}"


def _seen_files(
    tree: TrackedFiles,
    units: Sequence[Unit],
    sightings: Sequence[Sighting],
    templates: Templates,
    evidence: Sequence[Evidence],
) -> Iterator[Seen]:
    """What looks like something that is deployed, and is no part of a draft."""
    used = {
        str(build.get("dockerfile"))
        for unit in units
        for build in (unit.settings.get("build"), unit.settings.get("image"))
        if isinstance(build, dict)
    }
    used |= {str(unit.settings.get("template")) for unit in units}
    spoken = " ".join(sighting.what for sighting in sightings)
    patterns = {pattern for unit in units for pattern in unit.patterns}
    has_app = any(isinstance(entry, CdkDeploy) for entry in evidence)
    applied = {unit.settings.get("folder") for unit in units}
    used_files = {place.file for unit in units for place in unit.places}
    looks_like = frozenset(templates.paths)
    count = 0
    for path in tree.candidates:
        what = ""
        if is_dockerfile(path) and path not in used and path not in spoken:
            what = "an image"
            if has_app:
                what = "an image; a stack of the CDK app may build it"
        elif (
            path in looks_like
            and path not in used_files
            and path not in used
            and path not in patterns
        ):
            what = "a CloudFormation template"
        elif path.endswith(".tf"):
            if dirname(path) not in applied and _PROVIDER.search(tree.read(path) or ""):
                applied.add(dirname(path))
                what = "Terraform without a backend"
        elif is_compose(path) and path not in spoken:
            what = "containers for this machine"
        else:
            what = next((words for pattern, words in _SEEN_FILES if pattern.search(path)), "")
        if what:
            count += 1
            if count > _MOST_SEEN:
                return
            yield Seen(path, f"{what}; nothing says that it is deployed")


def _filters(tree: TrackedFiles) -> Iterator[Seen]:
    """The path filters of CI, which `rules import` reads."""
    for path in tree.candidates:
        if not is_workflow(path):
            continue
        text = tree.read(path) or ""
        if not _JOBS.search(text):
            continue
        count = import_filters([(path, text)]).count
        if count:
            yield Seen(
                path,
                f"{count} path filter{'s' * (count > 1)}; `toolkit rules import {path}` drafts"
                " rules from them",
            )


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


def _plain(text: str) -> str:
    return printable(text.replace(UNKNOWN, "…").replace(ROOT, ""))
