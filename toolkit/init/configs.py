"""Configurations that say by themselves what is deployed: cdk.json, samconfig.toml, serverless.yml,
render.yaml, Copilot's manifests, Terraform with a backend.
"""

import re
from collections.abc import Callable, Iterator
from posixpath import basename, dirname
from posixpath import join as joined

from toolkit.formats import toml
from toolkit.formats.documents import as_mapping
from toolkit.init.evidence import CdkDeploy, CommandDeploy, Evidence, Place, Sighting, StackDeploy
from toolkit.init.located_yaml import Text, located_yaml, table
from toolkit.init.tree import TrackedFiles, clean_path

_SERVERLESS = re.compile(r"(?:\A|/)serverless\.(?:ya?ml|json|ts|js|mjs|cjs)\Z")
_RENDER = re.compile(r"(?:\A|/)render\.ya?ml\Z")
_COPILOT = re.compile(r"(?:\A|/)copilot/([^/]+)/manifest\.ya?ml\Z")
_COPILOT_ENVIRONMENT = re.compile(r"(?:\A|/)copilot/environments/")
_BACKEND = re.compile(r'^[ \t]*(?:backend[ \t]+"(\w+)"|cloud)[ \t]*\{', re.MULTILINE)
_RENDER_KINDS = {"web", "worker", "pserv", "cron", "private", "static"}


def configured_evidence(tree: TrackedFiles) -> Iterator[Evidence]:
    """What all such files say."""
    for path in tree.candidates:
        name = basename(path)
        if name == "cdk.json":
            yield CdkDeploy(Place(path, 1, ""), dirname(path))
        elif name == "samconfig.toml":
            yield from _samconfig(tree, path)
        elif _SERVERLESS.search(path):
            yield from _serverless(tree, path)
        elif _RENDER.search(path):
            yield from _read_located(tree, path, _render)
        elif _COPILOT.search(path) and not _COPILOT_ENVIRONMENT.search(path):
            yield from _copilot(path)
        elif path.endswith(".tf"):
            yield from _terraform(tree, path)
        elif name == "Pulumi.yaml":
            yield from _pulumi(tree, path)


def _samconfig(tree: TrackedFiles, path: str) -> Iterator[Evidence]:
    text = tree.read(path) or ""
    try:
        config = toml.tables(text)
    except toml.TomlError:
        yield Sighting(Place(path, 1, ""), "could not be read as TOML")
        return
    lines = text.split("\n")
    for environment, commands in config.items():
        parameters: dict[str, object] = {}
        for command in ("global", "build", "deploy"):
            parameters |= as_mapping(
                as_mapping(as_mapping(commands).get(command)).get("parameters")
            )
        stack = parameters.get("stack_name")
        if not isinstance(stack, str) or not stack or set(stack) & set("{}"):
            continue
        template = _sam_template(tree, dirname(path), parameters)
        line = next((at for at, row in enumerate(lines, 1) if stack in row), 1)
        region = parameters.get("region")
        place = Place(
            path,
            line,
            f'stack_name = "{stack}"',
            environment="" if environment == "default" else environment,
            region=region if isinstance(region, str) else "",
        )
        if template is None:
            yield Sighting(place, f"names the stack {stack}, whose template is not in git")
        else:
            yield StackDeploy(place, template, stack)


def _sam_template(tree: TrackedFiles, folder: str, parameters: dict[str, object]) -> str | None:
    names = ["template.yaml", "template.yml", "template.json"]
    for key in ("template_file", "template"):
        named = parameters.get(key)
        if isinstance(named, str) and ".aws-sam" not in named:
            names.insert(0, named)
    for name in names:
        path = clean_path(joined(folder, name))
        if path in tree:
            return path
    return None


def _serverless(tree: TrackedFiles, path: str) -> Iterator[Evidence]:
    # `serverless.ts` may be anything; a service has a provider.
    text = tree.read(path) or ""
    if "provider" not in text or "service" not in text:
        return
    words = ("npx", "serverless", "deploy")
    yield CommandDeploy(Place(path, 1, ""), "serverless", dirname(path), words)


def _read_located(
    tree: TrackedFiles, path: str, read: Callable[[str, object], Iterator[Evidence]]
) -> Iterator[Evidence]:
    try:
        document = located_yaml(tree.read(path) or "")
    except ValueError as error:
        yield Sighting(Place(path, 1, ""), f"could not be read ({error})")
        return
    yield from read(path, document)


def _render(path: str, document: object) -> Iterator[Evidence]:
    """Each service of a blueprint of Render."""
    services = table(document).get("services")
    for value in services if isinstance(services, list) else []:
        service = table(value)
        name, kind = service.get("name"), str(service.get("type") or "")
        if not isinstance(name, Text) or kind not in _RENDER_KINDS:
            continue
        folder = str(service.get("rootDir") or "")
        if clean_path(folder or ".").split("/")[0] == "..":
            yield Sighting(Place(path, name.line, ""), f"{name}, whose folder is not in git")
            continue
        variable = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        words = ("render", "deploys", "create", f"{{{variable}_id}}", "--wait", "--confirm")
        place = Place(path, name.line, f"name: {name}")
        inputs = [path]
        for key in ("dockerfilePath", "dockerContext", "staticPublishPath"):
            named = service.get(key)
            if isinstance(named, Text):
                inputs.append(clean_path(joined(folder if key[0] == "s" else "", str(named))))
        inside = tuple(entry for entry in inputs if entry.split("/")[0] != "..")
        yield CommandDeploy(place, "render", clean_path(folder or "."), words, str(name), inside)


def _copilot(path: str) -> Iterator[Evidence]:
    match = _COPILOT.search(path)
    name = match[1] if match else ""
    folder = path[: path.index("copilot/")].rstrip("/")
    words = ("copilot", "deploy", "--name", name, "--env", "{stage}")
    yield CommandDeploy(Place(path, 1, ""), "copilot", folder, words, name)


def _terraform(tree: TrackedFiles, path: str) -> Iterator[Evidence]:
    """A folder with a backend holds a state: it is applied, and no module of another."""
    text = tree.read(path) or ""
    match = _BACKEND.search(text)
    if match:
        line = text.count("\n", 0, match.start()) + 1
        words = ("terraform", "apply", "-input=false", "-auto-approve")
        place = Place(path, line, match[0].strip())
        yield CommandDeploy(place, "terraform", dirname(path), words)


def _pulumi(tree: TrackedFiles, path: str) -> Iterator[Evidence]:
    folder = dirname(path)
    stacks = [
        other
        for other in tree.below(folder)
        if dirname(other) == folder and re.fullmatch(r"Pulumi\.[^/]+\.yaml", basename(other))
    ]
    if stacks:
        words = ("pulumi", "up", "--yes", "--stack", "{pulumi_stack}")
        yield CommandDeploy(Place(path, 1, ""), "pulumi", folder, words)
    else:
        yield Sighting(
            Place(path, 1, ""), "Pulumi without a stack: nothing says that it is deployed"
        )
