"""What does a repository already say about its parts? All its tracked paths and a few texts in, a draft of rules.toml out."""

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from posixpath import basename, dirname
from posixpath import join as joined

from msgspec import Struct
from msgspec.structs import replace

from toolkit.adopt.cdk import cdk_apps
from toolkit.adopt.code import VARIABLE
from toolkit.adopt.draft import Draft, DraftRule, DraftTarget
from toolkit.adopt.filters import Imported, imported
from toolkit.adopt.frontends import sites
from toolkit.adopt.images import apps
from toolkit.adopt.parts import Names, Part, slug, together
from toolkit.adopt.patterns import below, sayable, shown, simplest
from toolkit.adopt.quiet import for_people
from toolkit.adopt.templates import templates
from toolkit.adopt.tree import MOST_READ, Tree
from toolkit.impact.matcher import Matcher

_NEVER = {"node_modules", "vendor", "third_party", "bower_components", "cdk.out", ".aws-sam", ".terraform", ".venv", "venv", "site-packages"}
_NEVER |= {".devcontainer", "devcontainer", ".next", "__pycache__"}
_SECOND = {"tests", "test", "__tests__", "testdata", "fixtures", "examples", "example", "samples", "sample", "demos"}
_CHECKS = {"smoke", "smoke-tests", "smoke_tests", "smoke-test", "smoketests", "e2e"}
_STAGES = {"env", "environment", "stage", "env_name", "envname", "environment_name", "stage_name", "stagename", "deploy_env"}
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d\Z")
_ACCOUNT = re.compile(r"[0-9]{12}\Z")
_NOT_UNDERSTOOD = (
    (re.compile(r"(?:\A|/)serverless\.(?:ya?ml|json|ts|js)\Z"), "a Serverless Framework service"),
    (re.compile(r"\.tf\Z"), "Terraform"),
    (re.compile(r"(?:\A|/)copilot/"), "AWS Copilot"),
    (re.compile(r"(?:\A|/)Pulumi\.yaml\Z"), "Pulumi"),
)
_WORKFLOW = re.compile(r"\.github/workflows/[^/]+\.ya?ml\Z")


class Survey(Struct, frozen=True):
    """A draft, a line for each thing that was found, and what only a person can fill in."""

    draft: Draft
    found: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()


def survey(paths: Sequence[str], read: Callable[[str], str | None], project: str = "") -> Survey:
    """Draft the rules of a repository. `read` gives a tracked file's text, or None if it is missing, too large or binary.

    `project` is what to call it, if nothing in the repository does. Tests and examples count only where nothing else does.
    """
    whole = Tree(filter(_is_ours, paths), read)
    named = slug(project) or _project(whole) or "project"
    own = whole.only(lambda path: not _SECOND & set(path.split("/")[:-1]))
    part = _look(own, named)
    if not part.targets and len(own.paths) < len(whole.paths):
        part = _look(whole, named)
    filters, seen = _filters(whole)
    if not part.targets and filters.found:
        part = together((part, Part(targets=filters.draft.targets, rules=filters.draft.rules)))
    checks = _checks(whole)
    capped = (f"more than {MOST_READ} files look as if they said something: the rest was not read",) if whole.capped or own.capped else ()
    return Survey(
        _draft(whole, named, part, checks),
        tuple(map(shown, (*part.found, *(f"{folder}/: checks of the live system" for folder in checks), *seen, *_others(whole), *capped))),
        tuple(map(shown, (*part.questions, *_about_environments(part)))),
    )


def _is_ours(path: str) -> bool:
    """Not vendored, and a name that a rules.toml can hold."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in path and not _NEVER & set(path.split("/")[:-1])


def _look(tree: Tree, project: str) -> Part:
    """All that is deployed: stacks first, since they may take images and front ends with them, then images, then sites."""
    names = Names(project)
    infra = together((cdk_apps(tree, names), templates(tree, names)))
    images = apps(tree, names, infra.stacks, infra.taken)
    front = sites(tree, names, infra.stacks, infra.taken, [rule.paths for rule in images.rules])
    return together((images, front, infra))
