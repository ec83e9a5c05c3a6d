"""CloudFormation and SAM templates become stacks, and the folders of their functions rules."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from posixpath import basename, dirname, normpath
from posixpath import join as joined
from typing import NamedTuple

from msgspec import Struct

from toolkit.formats import toml
from toolkit.formats.documents import as_mapping, load_yaml
from toolkit.init.draft import DraftRule, DraftTarget
from toolkit.init.evidence import Evidence, Stack, StackImage, TargetNames, merge_evidence, slug
from toolkit.init.images.apps import read_image
from toolkit.init.patterns import everything_in, literal, simplify
from toolkit.init.stacks.code import plain_name
from toolkit.init.tests_and_docs import test_patterns
from toolkit.init.tree import TrackedFiles, clean_path

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


class TemplateResource(NamedTuple):
    """One resource of a template."""

    type: str
    properties: Mapping[str, object]
    metadata: Mapping[str, object]


class Template(Struct, frozen=True):
    """One template: its resources, its parameters' defaults, and whether it is SAM's."""

    path: str
    serverless: bool
    resources: tuple[TemplateResource, ...]
    names: frozenset[str]
    defaults: Mapping[str, str]
    common: Mapping[str, object]
    required: tuple[str, ...] = ()
    """The parameters that have no default: somebody has to say their values."""


def find_templates(tree: TrackedFiles, names: TargetNames) -> Evidence:
    """A stack for each template that no other one nests."""
    templates: list[Template] = []
    unread: list[str] = []
    for path in tree.candidates:
        if not _may_be_template(path):
            continue
        try:
            template = _read_template(path, tree.read(path) or "")
        except ValueError as error:
            unread.append(f"{path}: could not be read ({error})")
            continue
        if template:
            templates.append(template)
    # A nested template is deployed with the one that names it.
    nested: set[str] = set()
    for template in templates:
        nested.update(_nested_paths(tree, template))
    outer = [template for template in templates if template.path not in nested]
    stack_names = _stack_names(tree, names.project, outer)
    parts = []
    for template in outer:
        parts.append(_stack_evidence(tree, names, template, templates, stack_names[template.path]))
    return merge_evidence((*parts, Evidence(notes=tuple(unread))))


def _may_be_template(path: str) -> bool:
    return path.endswith(_ENDINGS) and not _NOT_TEMPLATES.search(path)


def _read_template(path: str, text: str) -> Template | None:
    """The template in a text; None if it is none. Raises ValueError for one that cannot be read."""
    if not _LOOKS_RIGHT.search(text):
        return None
    try:
        document = json.loads(text) if text.lstrip().startswith("{") else load_yaml(text)
    except (ValueError, RecursionError) as error:
        if "AWSTemplateFormatVersion" in text:
            raise ValueError(str(error)) from None
        return None
    table = as_mapping(document)
    listed = _resources(as_mapping(table.get("Resources")))
    if not listed:
        return None
    parameters = as_mapping(table.get("Parameters"))
    defaults: dict[str, str] = {}
    required: list[str] = []
    for name, parameter in parameters.items():
        if not isinstance(parameter, dict):
            continue
        if "Default" not in parameter:
            required.append(str(name))
        elif isinstance(parameter["Default"], str):
            defaults[name] = parameter["Default"]
    return Template(
        path,
        "AWS::Serverless" in str(table.get("Transform", ""))[:1000],
        listed,
        frozenset(map(str, (*as_mapping(table.get("Resources")), *parameters))),
        defaults,
        as_mapping(as_mapping(table.get("Globals")).get("Function")),
        tuple(sorted(required)),
    )


def _resources(table: Mapping[str, object]) -> tuple[TemplateResource, ...]:
    resources = []
    for value in table.values():
        entry = as_mapping(value)
        kind = entry.get("Type")
        if isinstance(kind, str) and kind.startswith(("AWS::", "Custom::", "Alexa::")):
            properties = as_mapping(entry.get("Properties"))
            resources.append(TemplateResource(kind, properties, as_mapping(entry.get("Metadata"))))
    return tuple(resources)


def _stack_names(tree: TrackedFiles, project: str, templates: list[Template]) -> dict[str, str]:
    """What each template's stack is probably called. Those that would get the same name are named
    after their whole paths.
    """
    names: dict[str, str] = {}
    for template in templates:
        word = _descriptive_name(template)
        guess = f"{project}-{word}" if word and len(templates) > 1 else project
        names[template.path] = _configured_name(tree, template) or guess
    counts = Counter(names.values())
    for template in templates:
        is_ambiguous = counts[names[template.path]] > 1
        if is_ambiguous and _configured_name(tree, template) is None:
            names[template.path] = f"{project}-{slug(template.path.rpartition('.')[0])}"
    return names


def _stack_evidence(
    tree: TrackedFiles, names: TargetNames, template: Template, every: list[Template], guess: str
) -> Evidence:
    configured = _configured_name(tree, template)
    name = names.short(configured or _descriptive_name(template) or guess)
    parts = _with_nested(tree, template, every)
    patterns: list[str] = []
    folders: set[str] = set()
    dockerfiles: list[str] = []
    for part in parts:
        patterns.append(literal(part.path))
        patterns += _parameter_files(tree, part, every)
        patterns += _code_patterns(tree, part)
        folders.update(_code_folders(tree, part))
        dockerfiles += _dockerfiles(tree, part)
    folders.discard("")
    tests: list[str] = []
    for folder in sorted(folders):
        tests += test_patterns(tree, folder)
    kind = "a SAM template" if template.serverless else "a CloudFormation template"
    comment = f"From {template.path}."
    if template.serverless:
        comment += " `sam build` comes first."
    settings = {"stack": guess, "template": template.path}
    target = DraftTarget(name, "stack", settings, comment=(comment,))
    exclusions = [f"!{test}" for test in tests]
    notes = [f"{template.path}: {kind}; stack `{name}`"]
    notes += [f"{template.path}: deploys {folder} with `{name}`" for folder in sorted(folders)]
    return Evidence(
        stacks=(Stack(target, any(map(_runs_containers, parts)), _stack_values(parts)),),
        targets=(target,),
        rules=(DraftRule(f"Stack {name}", (*simplify(patterns), *exclusions), (name,)),),
        notes=tuple(notes),
        questions=tuple(_stack_questions(tree, template, name, None if configured else guess)),
        taken=frozenset((*folders, *dockerfiles)),
        tests=tuple(tests),
        images=tuple(StackImage(path, dirname(path), (name,)) for path in dockerfiles),
    )


def _runs_containers(template: Template) -> bool:
    return any(resource.type == "AWS::ECS::Service" for resource in template.resources)


def _stack_questions(
    tree: TrackedFiles, template: Template, target: str, guess: str | None
) -> Iterator[str]:
    """`guess` is the stack's name where it is one."""
    if guess is not None:
        yield (
            f"targets.{target}.stack: the name of the stack of {template.path} (drafted as"
            f" `{guess}`)"
        )
    if template.required:
        yield (
            f"targets.{target}.parameters: {template.path} needs values for"
            f" {', '.join(template.required)}, which have no default"
        )
    for path in _missing_paths(tree, template):
        yield (
            f"{template.path} deploys {path}, which is not in git: which rule should name its "
            "source?"
        )


def _configured_name(tree: TrackedFiles, template: Template) -> str | None:
    """What samconfig.toml beside the template calls the stack."""
    try:
        config = toml.tables(tree.read(joined(dirname(template.path), "samconfig.toml")) or "")
    except toml.TomlError:
        return None
    default = as_mapping(config.get("default"))
    for command in ("deploy", "global"):
        name = as_mapping(as_mapping(default.get(command)).get("parameters")).get("stack_name")
        if isinstance(name, str) and name and plain_name(name) and "{" not in name:
            return name
    return None


def _descriptive_name(template: Template) -> str:
    """After the file, or after its folder where the file's name says nothing."""
    stem = basename(template.path).partition(".")[0]
    if stem in ("template", "main", "stack", "cloudformation"):
        return basename(dirname(template.path))
    return stem


def _nested_paths(tree: TrackedFiles, template: Template) -> Iterator[str]:
    for resource in template.resources:
        for key in _NESTED:
            path = _local_path(template, resource.properties.get(key))
            if path is not None and path in tree and path != template.path:
                yield path


def _with_nested(tree: TrackedFiles, template: Template, every: list[Template]) -> list[Template]:
    by_path = {other.path: other for other in every}
    templates, waiting = {template.path: template}, [template]
    while waiting:
        for path in _nested_paths(tree, waiting.pop()):
            if path in by_path and path not in templates:
                templates[path] = by_path[path]
                waiting.append(by_path[path])
    return list(templates.values())


def _code_patterns(tree: TrackedFiles, template: Template) -> Iterator[str]:
    """Patterns for what the template's functions, layers and definitions are made of."""
    config = joined(dirname(template.path), "samconfig.toml")
    if config in tree:
        yield literal(config)
    for dockerfile in _dockerfiles(tree, template):
        yield from read_image(tree, dockerfile, dirname(dockerfile)).positive
    for path in _existing_paths(tree, template):
        if path in tree:
            yield literal(path)
        else:
            yield everything_in(path)


def _parameter_files(
    tree: TrackedFiles, template: Template, every: list[Template]
) -> Iterator[str]:
    """The files of parameters beside a template: those that are called like it, and those that are
    called like none of its neighbours.
    """
    home = dirname(template.path)
    own_stem = basename(template.path).partition(".")[0]
    neighbours = [other for other in every if dirname(other.path) == home]
    stems = {basename(other.path).partition(".")[0] for other in neighbours}
    for path in tree.below(home):
        folder, _, name = path[len(home) :].lstrip("/").rpartition("/")
        is_in_folder = folder.split("/")[0].lower() in _OF_PARAMETERS
        if not is_in_folder and (folder or not _PARAMETERS.search(name)):
            continue
        matching = [stem for stem in stems if re.match(rf"{re.escape(stem)}(?:[._-]|\Z)", name)]
        if matching and max(matching, key=len) != own_stem:
            continue
        if matching or not folder:
            yield literal(path)
        else:
            yield everything_in(dirname(path))


def _code_folders(tree: TrackedFiles, template: Template) -> Iterator[str]:
    yield from (path for path in _existing_paths(tree, template) if tree.is_folder(path))
    yield from (dirname(path) for path in _dockerfiles(tree, template))


def _existing_paths(tree: TrackedFiles, template: Template) -> Iterator[str]:
    """The tracked files and folders that resources name; one that has to be built first counts as
    the folder above it.
    """
    for path in _named_paths(template):
        nearest = tree.nearest(path)
        if nearest == path or not _is_too_wide(template, nearest):
            yield nearest


def _missing_paths(tree: TrackedFiles, template: Template) -> Iterator[str]:
    """The paths that resources name, of which nothing is in git that could stand for them."""
    for path in dict.fromkeys(_named_paths(template)):
        nearest = tree.nearest(path)
        if nearest != path and _is_too_wide(template, nearest):
            yield path


def _is_too_wide(template: Template, folder: str) -> bool:
    return not folder or f"{dirname(template.path)}/".startswith(f"{folder}/")


def _named_paths(template: Template) -> Iterator[str]:
    for resource in template.resources:
        properties = resource.properties
        if resource.type == "AWS::Serverless::Function":
            properties = {**template.common, **properties}
            if properties.get("PackageType") == "Image":
                continue  # its Dockerfile stands in its metadata
        if "InlineCode" in properties:
            continue
        for key in _LOCAL_CODE:
            path = _local_path(template, properties.get(key))
            if path is not None:
                yield path


def _dockerfiles(tree: TrackedFiles, template: Template) -> Iterator[str]:
    """The Dockerfiles of functions that are images."""
    for resource in template.resources:
        folder = _local_path(template, resource.metadata.get("DockerContext"))
        name = resource.metadata.get("Dockerfile", "Dockerfile")
        if folder is not None and isinstance(name, str):
            path = normpath(joined(folder, name))
            if path in tree:
                yield path


def _local_path(template: Template, value: object) -> str | None:
    """A path of this repository that a property names, relative to its template."""
    if (
        not isinstance(value, str)
        or not value
        or "://" in value
        or "${" in value
        or len(value) > 400
        or value in template.names
    ):
        return None
    path = clean_path(joined(dirname(template.path), value))
    if path.startswith("/") or path.split("/")[0] == "..":
        return None
    return path


def _stack_values(templates: list[Template]) -> dict[str, tuple[str, ...]]:
    names: dict[str, list[str]] = {}
    for template in templates:
        for resource in template.resources:
            for (resource_type, key), word in _VALUES.items():
                if resource.type == resource_type:
                    name = _resource_name(template, resource.properties.get(key))
                    if name:
                        names.setdefault(word, []).append(name)
    return {word: tuple(dict.fromkeys(listed)) for word, listed in names.items()}


def _resource_name(template: Template, value: object) -> str | None:
    """A name as it stands, with a parameter's default, or with `{parameter}` for a hole in it."""
    if not isinstance(value, str):
        return None
    if value in template.names:
        return plain_name(template.defaults.get(value))
    if set(_HOLE.sub("", value)) & set("{}"):
        return None
    filled = _HOLE.sub(
        lambda hole: template.defaults.get(hole[1]) or f"{{{hole[1].lower()}}}", value
    )
    if "$" in filled:
        return None
    return plain_name(filled)
