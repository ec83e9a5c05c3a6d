"""CloudFormation and SAM templates: what they are made of, and what they run."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from posixpath import basename, dirname, normpath
from posixpath import join as joined
from typing import Any, NamedTuple

from msgspec import Struct

from toolkit.formats.documents import as_mapping, load_yaml
from toolkit.formats.patterns import everything_in, literal
from toolkit.init.images.inputs import read_image
from toolkit.init.tree import TrackedFiles, clean_path

_ENDINGS = (".yaml", ".yml", ".json", ".template")
_LOOKS_RIGHT = re.compile(r"AWSTemplateFormatVersion|AWS::")
_HAS_RESOURCES = re.compile(r"^[\"' ]*Resources[\"']?\s*:", re.MULTILINE)
_NOT_TEMPLATES = re.compile(
    r"(?:\A|/)(?:\.github|\.circleci|\.vscode)/|(?:\A|/)appspec[^/]*\Z"
    r"|(?:package(?:-lock)?|tsconfig|cdk|cdk\.context)\.json\Z"
)
LOCAL_CODE = (
    "CodeUri",
    "ContentUri",
    "Code",
    "Content",
    "DefinitionUri",
    "SchemaUri",
    "DefinitionS3Location",
    "BodyS3Location",
    "Location",
    "SourceBundle",
)
NESTED = ("TemplateURL", "Location")
_MOST_TEXTS = 2000


class TemplateResource(NamedTuple):
    """One resource of a template."""

    type: str
    properties: Mapping[str, object]
    metadata: Mapping[str, object]


class Template(Struct, frozen=True):
    """One template: its resources, its parameters' defaults, and whether it is SAM's. `required`
    are the parameters without a default.
    """

    path: str
    serverless: bool
    resources: tuple[TemplateResource, ...]
    names: frozenset[str]
    defaults: Mapping[str, str]
    common: Mapping[str, object]
    required: tuple[str, ...] = ()


class TemplateInputs(Struct, frozen=True):
    """What the stack of a template is made of: patterns, the folders of its code, and images as
    Dockerfile and context. `unknown` names what only a person can say.
    """

    patterns: tuple[str, ...]
    folders: tuple[str, ...]
    images: tuple[tuple[str, str], ...]
    unknown: tuple[str, ...] = ()


class TemplateService(Struct, frozen=True):
    """An ECS service of a template, and the texts that its containers' images are made of."""

    path: str
    cluster: str
    service: str
    images: tuple[str, ...]


class Templates(Mapping[str, Template]):
    """The templates of a repository by their paths, each read when it is asked for."""

    def __init__(self, tree: TrackedFiles) -> None:
        self._tree = tree
        self._read: dict[str, Template | None] = {}
        self.unread: list[str] = []
        """Notes about those that could not be read."""

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The files that look like templates."""
        return tuple(
            path
            for path in self._tree.candidates
            if path.endswith(_ENDINGS)
            and not _NOT_TEMPLATES.search(path)
            and _LOOKS_RIGHT.search(text := self._tree.read(path) or "")
            and _HAS_RESOURCES.search(text)
        )

    def __getitem__(self, path: str) -> Template:
        if path not in self._read:
            self._read[path] = None
            try:
                self._read[path] = _read_template(path, self._tree.read(path) or "")
            except ValueError as error:
                self.unread.append(f"{path}: could not be read ({error})")
        template = self._read[path]
        if template is None:
            raise KeyError(path)
        return template

    def __iter__(self) -> Iterator[str]:
        return (path for path in self.paths if self.get(path) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


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
    listed = tuple(_resources(as_mapping(table.get("Resources"))))
    if not listed:
        return None
    parameters = as_mapping(table.get("Parameters"))
    defaults = {
        str(name): as_mapping(parameter)["Default"]
        for name, parameter in parameters.items()
        if isinstance(as_mapping(parameter).get("Default"), str)
    }
    required = sorted(
        str(name)
        for name, parameter in parameters.items()
        if isinstance(parameter, dict) and "Default" not in parameter
    )
    return Template(
        path,
        "AWS::Serverless" in str(table.get("Transform", ""))[:1000],
        listed,
        frozenset(map(str, (*as_mapping(table.get("Resources")), *parameters))),
        defaults,
        as_mapping(as_mapping(table.get("Globals")).get("Function")),
        tuple(required),
    )


def _resources(table: Mapping[str, object]) -> Iterator[TemplateResource]:
    for value in table.values():
        entry = as_mapping(value)
        kind = entry.get("Type")
        if isinstance(kind, str) and kind.startswith(("AWS::", "Custom::", "Alexa::")):
            properties = as_mapping(entry.get("Properties"))
            yield TemplateResource(kind, properties, as_mapping(entry.get("Metadata")))


def template_inputs(tree: TrackedFiles, templates: Templates, path: str) -> TemplateInputs:
    """What the stack of one template is made of, with all templates that it nests."""
    parts = {path: templates[path]}
    waiting = [path]
    patterns: list[str] = []
    unknown: list[str] = []
    while waiting:
        nested, missing = _nested(tree, templates, parts[waiting.pop()])
        unknown += missing
        for other in nested:
            if other not in parts and other in templates:
                parts[other] = templates[other]
                waiting.append(other)
            patterns.append(literal(other))
    folders: dict[str, None] = {}
    images: dict[tuple[str, str], None] = {}
    for part in parts.values():
        patterns += _own_patterns(tree, part)
        for code in _named_paths(part):
            nearest = tree.nearest(code)
            if nearest in tree:
                patterns.append(literal(nearest))
            else:
                patterns.append(everything_in(nearest))
                folders[nearest] = None
        for dockerfile, context in _dockerfiles(tree, part):
            patterns += read_image(tree, dockerfile, context).positive
            images[dockerfile, context] = None
    if unknown:
        patterns.append("**")
    return TemplateInputs(
        tuple(dict.fromkeys(patterns)), tuple(folders), tuple(images), tuple(unknown)
    )


def _own_patterns(tree: TrackedFiles, template: Template) -> Iterator[str]:
    """The template's folder; in the root, the template and what configures its build."""
    home = dirname(template.path)
    yield everything_in(home) if home else literal(template.path)
    for name in ("samconfig.toml", "Makefile", "requirements.txt", "package.json"):
        if joined(home, name) in tree:
            yield literal(joined(home, name))
    # A Makefile may take anything from its folder, and more.
    if any(resource.metadata.get("BuildMethod") == "makefile" for resource in template.resources):
        yield "**"


def template_services(templates: Templates) -> Iterator[TemplateService]:
    """The ECS services of all templates."""
    for path in templates.paths:
        template = templates.get(path)
        if template is None:
            continue
        images: list[str] = []
        for resource in template.resources:
            if resource.type == "AWS::ECS::TaskDefinition":
                containers = resource.properties.get("ContainerDefinitions")
                for container in containers if isinstance(containers, list) else []:
                    image = as_mapping(container).get("Image")
                    images += [template.defaults.get(text, text) for text in _texts_in(image)]
        clusters = [
            resource.properties.get("ClusterName")
            for resource in template.resources
            if resource.type == "AWS::ECS::Cluster"
        ]
        named = [name for name in (_plain(template, cluster) for cluster in clusters) if name]
        for resource in template.resources:
            if resource.type == "AWS::ECS::Service":
                cluster = _plain(template, resource.properties.get("Cluster"))
                if not cluster and len(named) == 1:
                    cluster = named[0]
                service = _plain(template, resource.properties.get("ServiceName"))
                yield TemplateService(path, cluster, service, tuple(images))


def _plain(template: Template, value: object) -> str:
    """A name that the template says; empty where only the stack would tell."""
    if not isinstance(value, str) or len(value) > 200:
        return ""
    text = template.defaults.get(value, "") if value in template.names else value
    text = re.sub(r"\$\{(\w+)\}", lambda hole: template.defaults.get(hole[1], "\0"), text)
    return "" if set(text) & set("\0${}") else text


def _nested(
    tree: TrackedFiles, templates: Templates, template: Template
) -> tuple[list[str], list[str]]:
    """The templates that this one nests, and what of them is not in git.

    An https address names a file that was uploaded before: every tracked file of that name counts.
    """
    nested: list[str] = []
    missing: list[str] = []
    for resource in template.resources:
        if resource.type not in ("AWS::CloudFormation::Stack", "AWS::Serverless::Application"):
            continue
        for key in NESTED:
            value = resource.properties.get(key)
            if value is None or (key == "Location" and isinstance(value, dict)):
                continue  # an application of the serverless repository
            path = _local_path(template, value)
            if path is not None and path in tree:
                nested.append(path)
                continue
            names = [basename(text) for text in _texts_in(value) if "." in basename(text)]
            alike = [other for other in templates.paths if basename(other) in names]
            nested += alike
            if not alike:
                missing.append(f"{template.path} nests a template that is not in git")
    return nested, missing


def _texts_in(value: object, depth: int = 0) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth < 10 and isinstance(value, list | dict):
        for inner in list(value.values() if isinstance(value, dict) else value)[:_MOST_TEXTS]:
            yield from _texts_in(inner, depth + 1)


def _named_paths(template: Template) -> Iterator[str]:
    for resource in template.resources:
        properties: Mapping[str, Any] = resource.properties
        if resource.type == "AWS::Serverless::Function":
            properties = {**template.common, **properties}
            if properties.get("PackageType") == "Image":
                continue  # its Dockerfile stands in its metadata
        if "InlineCode" in properties:
            continue
        for key in LOCAL_CODE:
            path = _local_path(template, properties.get(key))
            if path is not None and resource.type != "AWS::CloudFormation::Stack":
                yield path


def _dockerfiles(tree: TrackedFiles, template: Template) -> Iterator[tuple[str, str]]:
    """The Dockerfiles of functions that are images, and their contexts."""
    for resource in template.resources:
        folder = _local_path(template, resource.metadata.get("DockerContext"))
        name = resource.metadata.get("Dockerfile", "Dockerfile")
        if folder is not None and isinstance(name, str):
            path = normpath(joined(folder, name))
            if path in tree:
                yield path, folder


def _local_path(template: Template, value: object) -> str | None:
    """A path of this repository that a property names, relative to its template."""
    if (
        not isinstance(value, str)
        or not value
        or "://" in value
        or "${" in value
        or len(value) > 400
        or value in template.names
        or "\n" in value
    ):
        return None
    path = clean_path(joined(dirname(template.path), value))
    if path.startswith("/") or path.split("/")[0] == "..":
        return None
    return path
