"""Local code and nested templates of a template, packaged by content as `aws cloudformation
package` does: each is put into a bucket under its digest, and the template is given that address
instead.

What is left out of an archive decides nothing: caches of Python, git's folder, and what `sam build`
made.
"""

import hashlib
import json
import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct

from toolkit.errors import FileProblem, NoTemplate, Refused
from toolkit.formats import toml
from toolkit.formats.documents import as_mapping
from toolkit.formats.template import Document, Path, read_template
from toolkit.ports import cdk, cdk_assembly, files
from toolkit.targets.stack import template as templates

DEEPEST = 10
"""The most templates that are nested in each other."""
BUILT = os.path.join(".aws-sam", "build")
"""Where `sam build` puts what it makes, beside the template."""


class ReferenceForm(StrEnum):
    """How a property names what lies in a bucket."""

    URI = "s3://BUCKET/KEY"
    PARTS = "a mapping with bucket and key"
    TEMPLATE = "the address of a nested template"


class PackagedProperty(Struct, frozen=True):
    """A property that may name a local file or folder. `bucket` and `key` are what its parts are
    called; `zipped`: a file is put into an archive, too; `code`: a program, whose packages have to
    be in it.
    """

    type: str
    path: tuple[str, ...]
    form: ReferenceForm = ReferenceForm.URI
    bucket: str = ""
    key: str = ""
    zipped: bool = False
    code: bool = False


def _bucket_and_key(
    type: str, path: tuple[str, ...], prefix: str, zipped: bool = False, code: bool = False
) -> PackagedProperty:
    return PackagedProperty(
        type, path, ReferenceForm.PARTS, f"{prefix}Bucket", f"{prefix}Key", zipped, code
    )


PROPERTIES = (
    PackagedProperty("AWS::Serverless::Function", ("CodeUri",), zipped=True, code=True),
    PackagedProperty("AWS::Serverless::LayerVersion", ("ContentUri",), zipped=True, code=True),
    PackagedProperty("AWS::Serverless::Api", ("DefinitionUri",)),
    PackagedProperty("AWS::Serverless::HttpApi", ("DefinitionUri",)),
    PackagedProperty("AWS::Serverless::GraphQLApi", ("SchemaUri",)),
    PackagedProperty("AWS::Serverless::Application", ("Location",), ReferenceForm.TEMPLATE),
    _bucket_and_key("AWS::Serverless::StateMachine", ("DefinitionUri",), ""),
    _bucket_and_key("AWS::Lambda::Function", ("Code",), "S3", zipped=True, code=True),
    _bucket_and_key("AWS::Lambda::LayerVersion", ("Content",), "S3", zipped=True, code=True),
    _bucket_and_key("AWS::ApiGateway::RestApi", ("BodyS3Location",), ""),
    _bucket_and_key("AWS::ElasticBeanstalk::ApplicationVersion", ("SourceBundle",), "S3"),
    _bucket_and_key("AWS::StepFunctions::StateMachine", ("DefinitionS3Location",), ""),
    _bucket_and_key("AWS::CodeCommit::Repository", ("Code", "S3"), "", zipped=True),
    PackagedProperty("AWS::AppSync::GraphQLSchema", ("DefinitionS3Location",)),
    PackagedProperty("AWS::AppSync::Resolver", ("RequestMappingTemplateS3Location",)),
    PackagedProperty("AWS::AppSync::Resolver", ("ResponseMappingTemplateS3Location",)),
    PackagedProperty("AWS::AppSync::Resolver", ("CodeS3Location",)),
    PackagedProperty("AWS::AppSync::FunctionConfiguration", ("RequestMappingTemplateS3Location",)),
    PackagedProperty("AWS::AppSync::FunctionConfiguration", ("ResponseMappingTemplateS3Location",)),
    PackagedProperty("AWS::AppSync::FunctionConfiguration", ("CodeS3Location",)),
    PackagedProperty("AWS::Glue::Job", ("Command", "ScriptLocation")),
    PackagedProperty("AWS::CloudFormation::Stack", ("TemplateURL",), ReferenceForm.TEMPLATE),
    PackagedProperty("AWS::CloudFormation::StackSet", ("TemplateURL",), ReferenceForm.TEMPLATE),
)
"""What `aws cloudformation package` and `sam package` know of."""

_GLOBAL_CODE = PackagedProperty("Globals", ("CodeUri",), zipped=True, code=True)
_INCLUDED = PackagedProperty("AWS::Include", ("Location",))
_REMOTE = re.compile(r"(?:s3|https?)://|\{\{resolve:|\d{12}\.dkr\.ecr\.")


class PackageBucket(Struct, frozen=True):
    """Where packages go. `address` begins the address of what lies in it."""

    name: str
    prefix: str
    address: str


class LocalReference(Struct, frozen=True):
    """A value of a template that names a local file or folder: where it stands, and the resource
    that it belongs to.
    """

    position: Path
    resource_name: str
    spec: PackagedProperty
    value: str
    resource: Mapping[str, Any]

    @property
    def label(self) -> str:
        """`Api.CodeUri`."""
        return f"{self.resource_name}.{'.'.join(self.spec.path)}"


class PackagedTemplate(Struct, frozen=True):
    """A template that names no local file any more, and what has to lie in its bucket for it."""

    text: str
    assets: tuple[cdk_assembly.CdkAsset, ...]
    notes: tuple[str, ...] = ()


def package_template(
    root: str, template: str, text: str, bucket: Callable[[], PackageBucket]
) -> PackagedTemplate:
    """A template of the repository with all that it names locally. `bucket` says where that goes,
    and is asked only if there is any.

    Raises Refused for what is not there, leaves the repository, or has to be built first, and
    FileProblem. A text that cannot be read is left as it is: CloudFormation says what is wrong with
    it.
    """
    try:
        parsed = read_template(text)
    except ValueError:
        return PackagedTemplate(text, ())
    _refuse_images(template, parsed)
    named = list(_local_references(parsed))
    if not named:
        return PackagedTemplate(text, ())
    if _is_built(template):
        lacking = []
    else:
        lacking = [why for local in named if (why := _build_reason(root, template, local))]
    if lacking:
        built = os.path.join(os.path.dirname(template), BUILT, "template.yaml")
        if not os.path.isfile(os.path.join(root, built)):
            raise Refused(f"{template}: {lacking[0]}", f"run: {_sam_build(template)}")
        newer = _newer_file(root, template, named, built)
        if newer:
            raise Refused(
                f"{newer} has changed since `sam build` made {built}",
                f"run: {_sam_build(template)}",
            )
        built_template = package_template(root, built, _text(root, built), bucket)
        return PackagedTemplate(
            built_template.text,
            built_template.assets,
            (
                f"{template} is deployed from the output of `sam build`: {built}",
                *built_template.notes,
            ),
        )
    return _Packager(root, bucket()).package(template, parsed, named, (template,))


def _refuse_images(template: str, parsed: Document) -> None:
    """Raise Refused for a function whose image SAM would build, and push."""
    for name, resource in as_mapping(parsed.data.get("Resources")).items():
        declaration = as_mapping(resource)
        metadata = as_mapping(declaration.get("Metadata"))
        is_function = declaration.get("Type") == "AWS::Serverless::Function"
        has_image = bool(as_mapping(declaration.get("Properties")).get("ImageUri"))
        is_built = "Dockerfile" in metadata or "DockerContext" in metadata
        if is_function and is_built and not has_image:
            raise Refused(
                f"{template}: {name} is an image, which toolkit does not build for a stack",
                f"deploy it with SAM's own CLI: {_sam_build(template)}, then sam deploy --guided",
            )


class _Packager:
    """Packages one template and those that are nested in it."""

    def __init__(self, root: str, bucket: PackageBucket) -> None:
        self._root, self._bucket = root, bucket

    def package(
        self, template: str, parsed: Document, named: list[LocalReference], outer: tuple[str, ...]
    ) -> PackagedTemplate:
        """A template whose local values are known. `outer` are the templates that it is nested in,
        and itself.
        """
        assets: list[cdk_assembly.CdkAsset] = []
        values: dict[Path, Any] = {}
        for local in named:
            path = _path_inside(self._root, template, local)
            if local.spec.form is ReferenceForm.TEMPLATE:
                nested = self._nested(os.path.relpath(path, self._root), local, outer)
                assets += nested
                values[local.position] = f"{self._bucket.address}{nested[-1].key}"
                continue
            asset = self._asset(local, path)
            assets.append(asset)
            parts = {local.spec.bucket: asset.bucket, local.spec.key: asset.key}
            if local.spec.form is ReferenceForm.PARTS:
                values[local.position] = parts
            else:
                values[local.position] = f"s3://{asset.bucket}/{asset.key}"
        return PackagedTemplate(parsed.replaced(values), tuple(dict.fromkeys(assets)))

    def _nested(
        self, template: str, local: LocalReference, outer: tuple[str, ...]
    ) -> list[cdk_assembly.CdkAsset]:
        """The assets of a nested template; its own text is the last of them."""
        # A template that nests itself would be packaged for ever.
        if template in outer or len(outer) == DEEPEST:
            raise Refused(
                f"{outer[-1]}: {local.label} nests {template} in itself", "take one of them out"
            )
        text = _text(self._root, template)
        try:
            parsed = read_template(text)
        except ValueError as error:
            raise NoTemplate(path=template, reason=str(error)) from None
        inner = self.package(template, parsed, list(_local_references(parsed)), (*outer, template))
        digest = hashlib.sha256(inner.text.encode()).hexdigest()
        key = f"{self._bucket.prefix}templates/{digest}.template"
        return [
            *inner.assets,
            cdk_assembly.CdkAsset(local.label, "", "text", self._bucket.name, key, inner.text),
        ]

    def _asset(self, local: LocalReference, path: str) -> cdk_assembly.CdkAsset:
        if os.path.isdir(path) or (local.spec.zipped and not zipfile.is_zipfile(path)):
            key = f"{self._bucket.prefix}artifacts/{cdk.content(path)}.zip"
            return cdk_assembly.CdkAsset(local.label, path, cdk.CODE, self._bucket.name, key)
        key = f"{self._bucket.prefix}artifacts/{_digest(path)}{os.path.splitext(path)[1]}"
        return cdk_assembly.CdkAsset(local.label, path, "file", self._bucket.name, key)


def _local_references(parsed: Document) -> Iterator[LocalReference]:
    """Every value of a template that names a local file or folder."""
    yield from _resource_references(parsed.data.get("Resources"), ("Resources",))
    function = as_mapping(parsed.data.get("Globals")).get("Function")
    if isinstance(function, Mapping):
        yield from _property_references(
            _GLOBAL_CODE, "Globals.Function", function, ("Globals", "Function"), {}
        )
    yield from _include_references(parsed.data, ())


def _resource_references(resources: Any, position: Path) -> Iterator[LocalReference]:
    for name, resource in as_mapping(resources).items():
        if name.startswith("Fn::ForEach::") and isinstance(resource, list) and len(resource) == 3:
            yield from _resource_references(resource[2], (*position, name, 2))
            continue
        declaration = as_mapping(resource)
        properties = declaration.get("Properties")
        if not isinstance(properties, Mapping):
            continue
        for spec in PROPERTIES:
            if declaration.get("Type") == spec.type:
                yield from _property_references(
                    spec, name, properties, (*position, name, "Properties"), resource
                )


def _property_references(
    spec: PackagedProperty, name: str, holder: Any, position: Path, resource: Mapping[str, Any]
) -> Iterator[LocalReference]:
    value = holder
    for step in spec.path:
        value = as_mapping(value).get(step)
    if isinstance(value, str) and value and not _REMOTE.match(value):
        yield LocalReference((*position, *spec.path), name, spec, value, resource)


def _include_references(value: Any, position: Path) -> Iterator[LocalReference]:
    """`Fn::Transform: {Name: AWS::Include, Parameters: {Location: part.yaml}}`, wherever it
    stands.
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if (
                key == "Fn::Transform"
                and isinstance(inner, Mapping)
                and inner.get("Name") == "AWS::Include"
            ):
                yield from _property_references(
                    _INCLUDED,
                    "AWS::Include",
                    inner.get("Parameters"),
                    (*position, key, "Parameters"),
                    {},
                )
            else:
                yield from _include_references(inner, (*position, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _include_references(inner, (*position, number))


def _path_inside(root: str, template: str, local: LocalReference) -> str:
    """The absolute path of what a template names, relative to its own folder. Raises Refused."""
    path = os.path.normpath(os.path.join(root, os.path.dirname(template), local.value))
    if not files.is_inside(path, root) and os.path.realpath(path) != os.path.realpath(root):
        raise Refused(
            f"{template}: {local.label} names {local.value}, which is outside of the repository",
            "put it into the repository",
        )
    files.within(root, path)
    if local.spec.form is ReferenceForm.TEMPLATE:
        exists = os.path.isfile(path)
    else:
        exists = os.path.exists(path)
    if not exists:
        raise Refused(
            f"{template}: {local.label} names {local.value}, which does not exist",
            "correct it in the template, or create it first",
        )
    return path


def _text(root: str, template: str) -> str:
    text = files.text_inside(root, template, templates.LONGEST)
    if text is None:
        raise NoTemplate(
            path=template,
            reason="it is missing, longer than 1 MB, no text, or a link that leaves the repository",
        )
    return text


def _digest(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileProblem(path=path, reason=error.strerror or str(error)) from None


# --- what has to be built first


def _is_built(template: str) -> bool:
    return f"{os.sep}{BUILT}{os.sep}" in f"{os.sep}{template}"


def _sam_build(template: str) -> str:
    """The command that builds a template, into the folder beside it."""
    folder, name = os.path.split(template)
    if not folder:
        if name in ("template.yaml", "template.yml"):
            return "sam build"
        return f"sam build --template-file {name}"
    return f"sam build --template-file {template} --build-dir {os.path.join(folder, BUILT)}"


def _build_reason(root: str, template: str, local: LocalReference) -> str:
    """Why a program cannot be packaged as it lies there, empty if it can: its packages would not be
    in it.
    """
    if not local.spec.code:
        return ""
    metadata = local.resource.get("Metadata")
    if isinstance(metadata, Mapping) and metadata.get("BuildMethod"):
        return f"{local.label} has to be built: its BuildMethod is {metadata['BuildMethod']}"
    folder = _path_inside(root, template, local)
    if not os.path.isdir(folder):
        return ""
    for name, needs in _MANIFESTS.items():
        path = os.path.join(folder, name)
        if os.path.isfile(path) and needs(root, path):
            where = os.path.normpath(os.path.join(os.path.dirname(template), local.value, name))
            return f"{local.label} needs what {where} names, and that is not installed in it"
    return ""


def _needs_python(root: str, path: str) -> bool:
    requirements = [line for line in _lines(root, path) if line and not line.startswith("#")]
    return bool(requirements) and not _has_installed(path)


def _needs_project(root: str, path: str) -> bool:
    try:
        project = toml.tables("\n".join(_lines(root, path))).get("project")
    except toml.TomlError:
        return True
    return (
        isinstance(project, dict) and bool(project.get("dependencies")) and not _has_installed(path)
    )


def _needs_node(root: str, path: str) -> bool:
    try:
        manifest = json.loads("\n".join(_lines(root, path)))
    except (ValueError, RecursionError):
        return True
    return (
        isinstance(manifest, dict)
        and bool(manifest.get("dependencies"))
        and not os.path.isdir(os.path.join(os.path.dirname(path), "node_modules"))
    )


def _needs_ruby(root: str, path: str) -> bool:
    return not os.path.isdir(os.path.join(os.path.dirname(path), "vendor", "bundle"))


def _has_installed(path: str) -> bool:
    """Whether pip has installed something beside a file (`pip install --target .`)."""
    try:
        return any(name.endswith(".dist-info") for name in os.listdir(os.path.dirname(path)))
    except OSError:
        return False


def _always(root: str, path: str) -> bool:
    return True


_MANIFESTS: Mapping[str, Callable[[str, str], bool]] = {
    "requirements.txt": _needs_python,
    "pyproject.toml": _needs_project,
    "package.json": _needs_node,
    "Gemfile": _needs_ruby,
    "pom.xml": _always,
    "build.gradle": _always,
    "build.gradle.kts": _always,
    "go.mod": _always,
    "Cargo.toml": _always,
}
"""The file that names a program's packages, and whether they still have to be installed. Compiled
languages always have to be built.
"""


def _lines(root: str, path: str) -> list[str]:
    """The lines of a file of the repository. Raises FileProblem, also for a link that leads out of
    it.
    """
    return [
        line.strip()
        for line in files.read_inside(root, path, 1 << 20).decode("utf-8", "replace").splitlines()
    ]


def _newer_file(root: str, template: str, named: list[LocalReference], built: str) -> str:
    """A file that is newer than what was built of it, from the repository's root; empty if there is
    none.

    A file counts from when it was last changed or put there, whichever is later: a checkout makes
    all of them new, and what was built before is then built again.
    """
    built_at = os.stat(os.path.join(root, built)).st_mtime_ns
    for path in (
        os.path.join(root, template),
        *(_path_inside(root, template, local) for local in named),
    ):
        for _, each in cdk.files_of(path, cdk.NO_CODE):
            status = os.stat(each)
            if (
                stat.S_ISREG(status.st_mode)
                and max(status.st_mtime_ns, status.st_ctime_ns) > built_at
            ):
                return os.path.relpath(each, os.path.realpath(root))
    return ""
