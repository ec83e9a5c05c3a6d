"""CloudFormation and SAM templates become stacks, and the folders of their functions rules."""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from posixpath import basename, dirname, normpath
from posixpath import join as joined

from msgspec import Struct

from toolkit.init.documents import load_yaml
from toolkit.init.draft import DraftRule, DraftTarget
from toolkit.init.evidence import Evidence, Stack, StackImage, TargetNames, merge_evidence, slug
from toolkit.init.images.apps import read_image
from toolkit.init.patterns import everything_in, literal, simplify
from toolkit.init.stacks.code import plain_name
from toolkit.init.tests_and_docs import test_patterns
from toolkit.init.tree import TrackedFiles

_ENDINGS = (".yaml", ".yml", ".json", ".template")
_LOOKS_RIGHT = re.compile(r"AWSTemplateFormatVersion|AWS::")
_NOT_TEMPLATES = re.compile(
    r"(?:\A|/)(?:\.github|\.circleci|\.vscode)/|(?:package(?:-lock)?|tsconfig|cdk|cdk\.context)\.json\Z"
)
_LOCAL_CODE = ("CodeUri", "ContentUri", "Code", "Content", "DefinitionUri")
_NESTED = ("TemplateURL", "Location")
_VALUES = {
    ("AWS::ECS::Cluster", "ClusterName"): "cluster",
    ("AWS::ECS::Service", "ServiceName"): "service",
    ("AWS::ECR::Repository", "RepositoryName"): "repository",
    ("AWS::S3::Bucket", "BucketName"): "bucket",
}
_PARAMETERS = re.compile(
    r"(?:\A|[._-])param(?:eter)?s?\.(?:json|ya?ml|toml|ini|env)\Z", re.IGNORECASE
)
_OF_PARAMETERS = {"param", "params", "parameter", "parameters"}
_HOLE = re.compile(r"\$\{(\w+)\}")


class Template(Struct, frozen=True):
    """One template: its resources as type and properties, its parameters' defaults, and whether it
    is SAM's.
    """

    path: str
    serverless: bool
    resources: tuple[tuple[str, Mapping[str, object], Mapping[str, object]], ...]
    names: frozenset[str]
    defaults: Mapping[str, str]
    common: Mapping[str, object]
    required: tuple[str, ...] = ()
    """The parameters that have no default: somebody has to say their values."""


def find_templates(tree: TrackedFiles, names: TargetNames) -> Evidence:
    """A stack for each template that no other one nests."""
    read = {
        path: _read_template(path, tree.read(path) or "")
        for path in tree.candidates
        if _may_be_template(path)
    }
    good = [one for one in read.values() if isinstance(one, Template)]
    nested = {inner for one in good for inner in _nested_paths(tree, one)}
    single = len([one for one in good if one.path not in nested]) == 1
    outer = [one for one in good if one.path not in nested]
    called = _stack_names(tree, names.project, outer, single)
    parts = [_stack_evidence(tree, names, one, good, called[one.path]) for one in outer]
    return merge_evidence(
        (
            *parts,
            Evidence(
                notes=tuple(
                    f"{path}: could not be read ({one})"
                    for path, one in read.items()
                    if isinstance(one, str)
                )
            ),
        )
    )


def _may_be_template(path: str) -> bool:
    return path.endswith(_ENDINGS) and not _NOT_TEMPLATES.search(path)


def _read_template(path: str, text: str) -> Template | str | None:
    """The template in a text; None if it is none, and what is wrong with it if it cannot be
    read.
    """
    if not _LOOKS_RIGHT.search(text):
        return None
    try:
        document = json.loads(text) if text.lstrip().startswith("{") else load_yaml(text)
    except (ValueError, RecursionError) as error:
        return f"{error}" if "AWSTemplateFormatVersion" in text else None
    resources = document.get("Resources") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(resources, dict):
        return None
    listed = tuple(
        (kind, _mapping(one.get("Properties")), _mapping(one.get("Metadata")))
        for one in resources.values()
        if isinstance(one, dict)
        and isinstance(kind := one.get("Type"), str)
        and kind.startswith(("AWS::", "Custom::", "Alexa::"))
    )
    if not listed:
        return None
    parameters = _mapping(document.get("Parameters"))
    defaults = {
        name: one["Default"]
        for name, one in parameters.items()
        if isinstance(one, dict) and isinstance(one.get("Default"), str)
    }
    return Template(
        path,
        "AWS::Serverless" in str(document.get("Transform", ""))[:1000],
        listed,
        frozenset(map(str, (*resources, *parameters))),
        defaults,
        _mapping(_mapping(document.get("Globals")).get("Function")),
        tuple(
            sorted(
                str(name)
                for name, one in parameters.items()
                if isinstance(one, dict) and "Default" not in one
            )
        ),
    )


def _stack_names(
    tree: TrackedFiles, project: str, outer: list[Template], single: bool
) -> dict[str, str]:
    """What each template's stack is probably called. Those that would be called the same are called
    after their whole paths.
    """
    found: dict[str, str] = {}
    for one in outer:
        word = _descriptive_name(one)
        found[one.path] = _configured_name(tree, one) or (
            project if single or not word else f"{project}-{word}"
        )
    several = {name for name, number in Counter(found.values()).items() if number > 1}
    for one in outer:
        if found[one.path] in several and _configured_name(tree, one) is None:
            found[one.path] = f"{project}-{slug(one.path.rpartition('.')[0])}"
    return found


def _stack_evidence(
    tree: TrackedFiles, names: TargetNames, one: Template, every: list[Template], guess: str
) -> Evidence:
    named = _configured_name(tree, one)
    word = _descriptive_name(one)
    target = names.short(named or word or guess)
    inside = _with_nested(tree, one, every)
    patterns = [
        pattern
        for part in inside
        for pattern in (
            literal(part.path),
            *_parameter_files(tree, part, every),
            *_code_patterns(tree, part),
        )
    ]
    folders = sorted({folder for part in inside for folder in _code_folders(tree, part) if folder})
    tests = tuple(test for folder in folders for test in test_patterns(tree, folder))
    missing = tuple(
        f"{one.path} deploys {path}, which is not in git: which rule shall name its source?"
        for path in _missing_paths(tree, one)
    )
    kind = "a SAM template" if one.serverless else "a CloudFormation template"
    comment = (f"From {one.path}." + (" `sam build` comes first." if one.serverless else ""),)
    return Evidence(
        stacks=(
            Stack(
                DraftTarget(
                    target, "stack", {"stack": guess, "template": one.path}, comment=comment
                ),
                any(
                    resource == "AWS::ECS::Service"
                    for part in inside
                    for resource, _, _ in part.resources
                ),
                _stack_values(inside),
            ),
        ),
        targets=(
            DraftTarget(target, "stack", {"stack": guess, "template": one.path}, comment=comment),
        ),
        rules=(
            DraftRule(
                f"Stack {target}", (*simplify(patterns), *(f"!{test}" for test in tests)), (target,)
            ),
        ),
        notes=(
            f"{one.path}: {kind}; stack `{target}`",
            *(f"{one.path}: deploys {folder} with `{target}`" for folder in folders),
        ),
        questions=(
            *(
                ()
                if named
                else (
                    (
                        f"targets.{target}.stack: the name of the stack of {one.path} (drafted as"
                        f" `{guess}`)"
                    ),
                )
            ),
            *(
                (
                    (
                        f"targets.{target}.parameters: {one.path} needs values for"
                        f" {', '.join(one.required)}, which have no default"
                    ),
                )
                if one.required
                else ()
            ),
            *missing,
        ),
        taken=frozenset(
            (*folders, *(dockerfile for part in inside for dockerfile in _dockerfiles(tree, part)))
        ),
        tests=tests,
        images=tuple(
            StackImage(path, dirname(path), (target,))
            for part in inside
            for path in _dockerfiles(tree, part)
        ),
    )


def _configured_name(tree: TrackedFiles, one: Template) -> str | None:
    """What samconfig.toml beside the template calls the stack."""
    try:
        config = tomllib.loads(tree.read(joined(dirname(one.path), "samconfig.toml")) or "")
    except (tomllib.TOMLDecodeError, RecursionError):
        return None
    default = _mapping(config.get("default"))
    found = (
        _mapping(_mapping(default.get(command)).get("parameters")).get("stack_name")
        for command in ("deploy", "global")
    )
    return next(
        (
            name
            for name in found
            if isinstance(name, str) and name and plain_name(name) and "{" not in name
        ),
        None,
    )


def _descriptive_name(one: Template) -> str:
    """What a template is called: after its file, or after its folder where that says nothing."""
    stem = basename(one.path).partition(".")[0]
    return (
        stem
        if stem not in ("template", "main", "stack", "cloudformation")
        else basename(dirname(one.path))
    )


def _nested_paths(tree: TrackedFiles, one: Template) -> Iterator[str]:
    for _, properties, _ in one.resources:
        for key in _NESTED:
            path = _local_path(one, properties.get(key))
            if path is not None and path in tree and path != one.path:
                yield path


def _with_nested(tree: TrackedFiles, one: Template, every: list[Template]) -> list[Template]:
    by_path = {other.path: other for other in every}
    found, waiting = {one.path: one}, [one]
    while waiting:
        for path in _nested_paths(tree, waiting.pop()):
            if path in by_path and path not in found:
                found[path] = by_path[path]
                waiting.append(by_path[path])
    return list(found.values())


def _code_patterns(tree: TrackedFiles, one: Template) -> Iterator[str]:
    """Patterns for what the template's functions, layers and definitions are made of."""
    config = joined(dirname(one.path), "samconfig.toml")
    if config in tree:
        yield literal(config)
    for dockerfile in _dockerfiles(tree, one):
        yield from read_image(tree, dockerfile, dirname(dockerfile)).positive
    for path in _existing_paths(tree, one):
        yield literal(path) if path in tree else everything_in(path)


def _parameter_files(tree: TrackedFiles, one: Template, every: list[Template]) -> Iterator[str]:
    """The files of parameters beside a template: those that are called like it, and those that are
    called like none of its neighbours.
    """
    home = dirname(one.path)
    stems = {
        basename(other.path).partition(".")[0] for other in every if dirname(other.path) == home
    }
    for path in tree.below(home):
        folder, _, rest = path[len(home) :].lstrip("/").rpartition("/")
        if folder.split("/")[0].lower() not in _OF_PARAMETERS and (
            folder or not _PARAMETERS.search(rest)
        ):
            continue
        called = [stem for stem in stems if re.match(rf"{re.escape(stem)}(?:[._-]|\Z)", rest)]
        if not called or max(called, key=len) == basename(one.path).partition(".")[0]:
            yield literal(path) if called or not folder else everything_in(dirname(path))


def _code_folders(tree: TrackedFiles, one: Template) -> Iterator[str]:
    yield from (path for path in _existing_paths(tree, one) if tree.is_folder(path))
    yield from (dirname(path) for path in _dockerfiles(tree, one))


def _existing_paths(tree: TrackedFiles, one: Template) -> Iterator[str]:
    """The tracked files and folders that resources name; one that has to be built first counts as
    the folder above it.
    """
    for path in _named_paths(one):
        if path in tree or tree.is_folder(path):
            yield path
        elif not _is_too_wide(one, found := tree.nearest(path)):
            yield found


def _missing_paths(tree: TrackedFiles, one: Template) -> Iterator[str]:
    """The paths that resources name, of which nothing is in git that could stand for them."""
    for path in dict.fromkeys(_named_paths(one)):
        if path not in tree and not tree.is_folder(path) and _is_too_wide(one, tree.nearest(path)):
            yield path


def _is_too_wide(one: Template, folder: str) -> bool:
    return not folder or f"{dirname(one.path)}/".startswith(f"{folder}/")


def _named_paths(one: Template) -> Iterator[str]:
    for kind, properties, _ in one.resources:
        is_function = kind == "AWS::Serverless::Function"
        given = {**one.common, **properties} if is_function else properties
        if "InlineCode" not in given and not (is_function and given.get("PackageType") == "Image"):
            yield from (
                path
                for key in _LOCAL_CODE
                if (path := _local_path(one, given.get(key))) is not None
            )


def _dockerfiles(tree: TrackedFiles, one: Template) -> Iterator[str]:
    """The Dockerfiles of functions that are images."""
    for _, _, metadata in one.resources:
        folder, name = (
            _local_path(one, metadata.get("DockerContext")),
            metadata.get("Dockerfile", "Dockerfile"),
        )
        if (
            folder is not None
            and isinstance(name, str)
            and (path := normpath(joined(folder, name))) in tree
        ):
            yield path


def _local_path(one: Template, value: object) -> str | None:
    """A path of this repository that a property names, relative to its template."""
    if (
        not isinstance(value, str)
        or not value
        or "://" in value
        or "${" in value
        or len(value) > 400
        or value in one.names
    ):
        return None
    path = normpath(joined(dirname(one.path), value))
    if path.startswith("/") or path.split("/")[0] == "..":
        return None
    return "" if path == "." else path


def _stack_values(inside: list[Template]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for one in inside:
        for kind, properties, _ in one.resources:
            for (resource, key), word in _VALUES.items():
                name = _resource_name(one, properties.get(key)) if resource == kind else None
                if name:
                    found.setdefault(word, []).append(name)
    return {word: tuple(dict.fromkeys(names)) for word, names in found.items()}


def _resource_name(one: Template, value: object) -> str | None:
    """A name as it stands, with a parameter's default, or with `{parameter}` for a hole in it."""
    if not isinstance(value, str):
        return None
    if value in one.names:
        return plain_name(one.defaults.get(value))
    if set(_HOLE.sub("", value)) & set("{}"):
        return None
    filled = _HOLE.sub(lambda hole: one.defaults.get(hole[1]) or f"{{{hole[1].lower()}}}", value)
    return plain_name(filled) if "$" not in filled else None


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
