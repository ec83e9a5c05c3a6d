"""CDK: synthesizes an app into an assembly of templates and assets, which is cached until a file
changes.

The CDK's own CLI does it if it is installed, else the app is started as the CLI would start it,
after its `build`. The cache key says which of the two it was. Nothing is looked up in AWS: what an
app deploys has to be in the repository.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import stat
import time
import zipfile
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, BinaryIO, Protocol, TypeVar

import msgspec
from msgspec import Struct

from toolkit.advice import ShellCommand
from toolkit.errors import FileProblem, Missing, ProgramFailed, Refused
from toolkit.operations import Location
from toolkit.ports import causes, cdk_environment, cdk_packages, process
from toolkit.ports.aws.names import partition, suffix
from toolkit.ports.disk import exclusive, write
from toolkit.ports.files import is_inside, own_cache, read, within

CLI = "npm install --save-dev aws-cdk@2.1148.1"
SCHEME = "2"
MOST_LINES = 400
"""How many of the last lines of a failed program are searched for the cause."""
CODE = "code"
"""How the code of a plain template is packed: like a folder of a CDK app, without NO_CODE."""
NO_CODE = frozenset((".git", "__pycache__", ".aws-sam", ".DS_Store"))
USUAL_QUALIFIER = "hnb659fds"
"""The qualifier of `cdk bootstrap` by default."""
UNUSED_S = 24 * 3600
"""An assembly that was not used for this long is deleted by the next synth."""

STACK, STAGE = "aws:cloudformation:stack", "cdk:cloud-assembly"
"""The types of a stack, and of a stage, which is an assembly inside another."""
DEEPEST = 30
"""How deep stages may lie in each other: the CDK's own apps have two or three."""
_IGNORED = frozenset(
    (".git", "__pycache__", "cdk.out", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis")
)
_INSTALLED = frozenset(("node_modules", ".venv", "venv"))
_SHELL = re.compile(r"[|&;<>()$`\\*?\[\]#~{}\n]|^\s*\w+=")
_AWS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CA_BUNDLE",
    "AWS_ENDPOINT_URL",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
)
_QUIET = {
    "CI": "1",
    "NO_COLOR": "1",
    "CDK_DISABLE_CLI_TELEMETRY": "1",
    "CDK_VALIDATION": "false",
    "PYTHONDONTWRITEBYTECODE": "1",
    "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1",
    "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
}
_TRUE_BY_DEFAULT = {
    "pathMetadata": "aws:cdk:enable-path-metadata",
    "assetMetadata": "aws:cdk:enable-asset-metadata",
    "versionReporting": "aws:cdk:version-reporting",
}
"""Settings of cdk.json, and the context key under which the CLI passes them to an app."""

Shape = TypeVar("Shape")


class SynthOptions(StrEnum):
    """How an app is synthesized."""

    CLI = "cli"
    APP = "app"


class SynthLog(Protocol):
    """Watches a synth: `check` is called all the time and may raise, `log` gets each line that the
    app writes.
    """

    def check(self) -> None: ...
    def log(self, line: str) -> None: ...


class SilentLog:
    """Drops everything."""

    def check(self) -> None:
        """Never raises."""

    def log(self, line: str) -> None:
        """Dropped."""


class CdkApp(Struct, frozen=True):
    """An app in a folder of a repository, and the location to synthesize it for. `pass_env` names
    the variables of our environment that it gets.
    """

    root: str
    folder: str
    location: Location
    account: str
    region: str
    context: Mapping[str, str] = {}
    pass_env: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The folder with cdk.json."""
        return os.path.join(self.root, self.folder)


class CdkAsset(Struct, frozen=True):
    """A file or folder that the template needs in a bucket. `path` is absolute; a folder is
    zipped.
    """

    name: str
    path: str
    packaging: str
    bucket: str
    key: str
    text: str = ""
    """The content, where it is not a file: a template."""


class StackArtifact(Struct, frozen=True):
    """One stack of an assembly. `template` is its text, and `stored` where it would lie in S3."""

    name: str
    template: str
    stored: tuple[str, str] | None
    assets: tuple[CdkAsset, ...]
    role: str | None
    tags: Mapping[str, str]
    parameters: Mapping[str, str]
    protected: bool
    bootstrap: tuple[str, int] | None
    """The parameter that holds the bootstrap's version, and the version that is needed."""
    warnings: tuple[str, ...] = ()
    """The app's warnings about this stack."""


class _Properties(Struct, frozen=True, rename="camel"):
    """What an artifact's properties have to be like, as far as they are used."""

    directory_name: str | None = None
    file: str | None = None
    template_file: str | None = None
    stack_name: str | None = None
    stack_template_asset_object_url: str = ""
    cloud_formation_execution_role_arn: str | None = None
    requires_bootstrap_stack_version: int | None = None
    bootstrap_stack_version_ssm_parameter: str | None = None
    tags: dict[str, str] | None = None
    parameters: dict[str, str] | None = None


class _Artifact(Struct, frozen=True, rename="camel"):
    """What an artifact has to be like, as far as it is used."""

    type: str = ""
    environment: str = ""
    properties: _Properties = _Properties()
    dependencies: tuple[str, ...] = ()
    metadata: dict[str, Any] | None = None
    additional_metadata_file: str | None = None


class _Manifest(Struct, frozen=True):
    """What manifest.json has to be like, as far as it is used."""

    artifacts: dict[str, _Artifact] = {}
    missing: list[dict[str, Any]] | None = None


class _Destination(Struct, frozen=True, rename="camel"):
    """Where an asset goes."""

    bucket_name: str
    object_key: str


class _Source(Struct, frozen=True):
    """What an asset is made from: a path, or a program that prints one."""

    path: str | None = None
    packaging: str = "file"
    executable: Any = None


class _FileAsset(Struct, frozen=True, rename="camel"):
    """A file or folder of an asset manifest."""

    source: _Source
    destinations: dict[str, _Destination] = {}
    display_name: str | None = None


class _ImageAsset(Struct, frozen=True, rename="camel"):
    """An image of an asset manifest."""

    display_name: str | None = None


class _AssetManifest(Struct, frozen=True, rename="camel"):
    """The assets of a stack."""

    files: dict[str, _FileAsset] = {}
    docker_images: dict[str, _ImageAsset] = {}


class StageAssembly(Struct, frozen=True):
    """An app's assembly, or that of a stage in it: its folder, its manifest, the path of the
    stage's artifact (empty for the app's own), and the remarks about the stages around it.
    """

    folder: str
    manifest: Mapping[str, Any]
    stage: str
    remarks: list["Remark"]


class _StackEntry(Struct, frozen=True):
    """A stack in a manifest. `remarks` are those about the stages around it."""

    folder: str
    manifest: Mapping[str, Any]
    entry: Mapping[str, Any]
    remarks: list["Remark"]

    def dependencies(self) -> Iterator[Mapping[str, Any]]:
        """The artifacts that it depends on."""
        for name in self.entry.get("dependencies", ()):
            yield self.manifest["artifacts"].get(name, {})


class Level(StrEnum):
    """The kind of a remark that an app makes about a construct, as in its metadata."""

    WARNING = "aws:cdk:warning"
    ERROR = "aws:cdk:error"


class Remark(Struct, frozen=True):
    """A remark of an app about one of its constructs."""

    level: Level
    text: str


def synthesized(app: CdkApp, cache: str, log: SynthLog) -> str:
    """The folder of the app's assembly, from the cache if nothing has changed. Raises Refused,
    FileProblem, ProgramFailed, and what `log` raises.
    """
    for name in ("cdk.json", "cdk.context.json"):
        within(app.root, os.path.join(app.folder, name))
    settings = _settings(app.path)
    argv, way = _program(app, settings)
    build = settings.get("build") if way is SynthOptions.APP else None
    cache_folder = own_cache(cache, "cdk")
    identity = _identity(app, settings, way, argv)
    lock = identity
    if build:
        # A build writes into the app's own folder: never two at once there.
        path = app.path.encode("utf-8", "surrogateescape")
        lock = hashlib.sha256(path).hexdigest()[:32]
    with exclusive(os.path.join(cache_folder, f"{lock}.lock"), log.check):
        if build:
            _build(app, settings, build, os.path.join(cache_folder, f"{identity}.built"), log)
        ready = os.path.join(app.path, argv[0])
        if way is SynthOptions.APP and len(argv) == 1 and os.path.isdir(ready):
            return _ready(ready)
        assembly = os.path.join(cache_folder, _key(app, settings, identity))
        if os.path.isfile(os.path.join(assembly, "manifest.json")):
            os.utime(assembly)  # used now, so not to be pruned
            return assembly
        _prune(cache_folder)
        # Renamed when it is complete, so that a crash leaves no half assembly in the cache.
        new = f"{assembly}.{os.getpid()}.new"
        shutil.rmtree(new, ignore_errors=True)
        _run(app, settings, argv, way, new, log)
        shutil.rmtree(assembly, ignore_errors=True)
        os.rename(new, assembly)
    return assembly


def artifact(
    assembly: str, name: str, account: str, region: str, strict: bool = False
) -> StackArtifact:
    """The stack of an assembly that has this name. Raises FileProblem, Refused: also for an error
    that the app notes about the stack, with `strict` for a warning.
    """
    stacks: dict[str, _StackEntry] = {}
    for stage in assemblies(assembly):
        _refuse_lookups(stage.manifest)
        for key, entry in stage.manifest.get("artifacts", {}).items():
            if entry.get("type") == STACK:
                stack_name = entry.get("properties", {}).get("stackName") or key
                stacks[stack_name] = _StackEntry(stage.folder, stage.manifest, entry, stage.remarks)
    if name not in stacks:
        raise Refused(
            f"the CDK app has no stack {name}",
            f"it has {', '.join(sorted(stacks)) or 'none'}; correct `stack` or `context`",
        )
    stack = stacks[name]
    remarks = [*stack.remarks, *_remarks(stack.folder, stack.entry)]
    for dependency in stack.dependencies():
        if dependency.get("type") != STACK:  # another stack's remarks are about its own deploy
            remarks += _remarks(stack.folder, dependency)
    _refuse_remarks(name, remarks, strict)
    _refuse_other_location(name, stack.entry, account, region)
    warnings = [remark.text for remark in remarks if remark.level is Level.WARNING]
    return _artifact(name, stack, account, region, tuple(dict.fromkeys(warnings)))


def is_strict(app: CdkApp) -> bool:
    """Whether cdk.json says that a warning is as bad as an error. Raises FileProblem."""
    return _settings(app.path).get("strict") is True


def _remarks(folder: str, artifact: Mapping[str, Any]) -> list[Remark]:
    """The remarks in an artifact's metadata, which is in the manifest, or since 2025 in a file
    beside it.
    """
    metadata: list[tuple[str, Any]] = list((artifact.get("metadata") or {}).items())
    file = artifact.get("additionalMetadataFile")
    if file:
        metadata += _json(_inside(folder, file)).items()
    remarks = []
    for path, entries in metadata:
        if not isinstance(entries, list):
            continue
        for entry in entries:
            if not isinstance(entry, dict) or entry.get("type") not in list(Level):
                continue
            text = entry.get("data")
            if not isinstance(text, str):
                text = json.dumps(text, sort_keys=True)
            remarks.append(Remark(Level(entry["type"]), f"{path}: {' '.join(text.split())}"))
    return remarks


def _refuse_remarks(name: str, remarks: Sequence[Remark], strict: bool) -> None:
    """Raises Refused with all errors that the app notes about a stack, with `strict` also for
    warnings.
    """
    bad = list(dict.fromkeys(remark.text for remark in remarks if remark.level is Level.ERROR))
    if bad:
        raise Refused(
            f"the CDK app says that {name} must not be deployed: {'; '.join(bad)}",
            "fix what it says, then deploy again",
        )
    warned = list(dict.fromkeys(remark.text for remark in remarks))
    if strict and warned:
        raise Refused(
            f"the CDK app warns about {name}, and cdk.json is `strict`: {'; '.join(warned)}",
            "fix what it says, then deploy again",
        )


def pack(asset: CdkAsset, into: BinaryIO) -> None:
    """Write an asset's file, or its folder as a zip whose bytes depend on names, modes and contents
    only. Raises FileProblem, Refused.
    """
    try:
        if asset.packaging not in ("zip", CODE):
            with open(asset.path, "rb") as file:
                shutil.copyfileobj(file, into)
            return
        without = NO_CODE if asset.packaging == CODE else frozenset()
        with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, path in files_of(asset.path, without):
                # One time for all: the zip of equal files has to have equal bytes.
                entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                executable = os.stat(path).st_mode & stat.S_IXUSR
                entry.external_attr = (0o100755 if executable else 0o100644) << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                with open(path, "rb") as file, archive.open(entry, "w", force_zip64=True) as slot:
                    shutil.copyfileobj(file, slot)
    except OSError as error:
        raise FileProblem(path=asset.path, reason=error.strerror or str(error)) from None


def files_of(folder: str, without: Collection[str] = ()) -> list[tuple[str, str]]:
    """Every file of a folder (or the file itself), as its name in the archive and its real path.
    Links are followed within the folder only.
    """
    if os.path.isfile(folder):
        return [(os.path.basename(folder), os.path.realpath(folder))]
    root, files = os.path.realpath(folder), []
    for current, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if name not in without)
        links = [name for name in folders if os.path.islink(os.path.join(current, name))]
        for name in sorted([*names, *links]):
            path = os.path.join(current, name)
            real = os.path.realpath(path)
            if name in without:
                continue
            if not real.startswith(os.path.join(root, "")) or not os.path.isfile(real):
                raise Refused(
                    f"{path} is a link that leaves its folder, or no file",
                    "take it out of the asset",
                )
            files.append((os.path.relpath(path, folder), real))
    return files


def content(path: str) -> str:
    """The digest of a program's files as CODE packs them: their names, whether they are executable,
    and their contents. Raises FileProblem, Refused.
    """
    whole = hashlib.sha256()
    try:
        for name, file in files_of(path, NO_CODE):
            executable = bool(os.stat(file).st_mode & stat.S_IXUSR)
            whole.update(f"{name}\0{executable}\0".encode("utf-8", "surrogateescape"))
            with open(file, "rb") as opened:
                whole.update(hashlib.file_digest(opened, "sha256").digest())
    except OSError as error:
        raise FileProblem(path=path, reason=error.strerror or str(error)) from None
    return whole.hexdigest()


def _settings(folder: str) -> dict[str, Any]:
    """cdk.json. Raises FileProblem."""
    path = os.path.join(folder, "cdk.json")
    try:
        settings = json.loads(read(path))
    except ValueError:
        raise FileProblem(path=path, reason="it is not JSON") from None
    if not isinstance(settings, dict):
        raise FileProblem(path=path, reason="it names no `app`")
    command = settings.get("app")
    if isinstance(command, list) and all(isinstance(word, str) for word in command):
        settings["app"] = " ".join(command)  # as the CLI does
    if not isinstance(settings.get("app"), str):
        raise FileProblem(path=path, reason="it names no `app`")
    if not isinstance(settings.get("build", ""), str):
        raise FileProblem(path=path, reason="its `build` is not a command line")
    return settings


def _program(app: CdkApp, settings: Mapping[str, Any]) -> tuple[list[str], SynthOptions]:
    """The command line to start, and which of the two ways that is. A CLI that the repository pins
    goes before the one on PATH.
    """
    for location in (app.path, app.root):
        path = os.path.join(location, "node_modules", ".bin", "cdk")
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return _cli(path, app.context), SynthOptions.CLI
    cli = process.which("cdk")
    if cli:
        return _cli(cli, app.context), SynthOptions.CLI
    return _command_line(_words(settings, "app"), app.path), SynthOptions.APP


def _words(settings: Mapping[str, Any], setting: str) -> list[str]:
    """A command line of cdk.json as words. Raises Refused for one that only a shell can read."""
    text = settings[setting]
    words = None if _SHELL.search(text) else _split(text)
    if words is None:
        raise Refused(
            f"the `{setting}` in cdk.json needs a shell, and toolkit starts none",
            f"install the CDK's own CLI: {CLI}",
        )
    if not words:
        raise Refused(
            f"the `{setting}` in cdk.json is empty",
            "say how the app is started, for example `python3 app.py`",
        )
    return words


def _split(text: str) -> list[str] | None:
    try:
        return shlex.split(text)
    except ValueError:  # a quote that is not closed
        return None


def _command_line(words: list[str], folder: str) -> list[str]:
    """The words that start a program, as the CLI understands them: a script that is not executable
    is run by Node.
    """
    path = os.path.join(folder, words[0])
    if not os.path.isfile(path):
        return words
    if words[0].endswith(".js") and not os.access(path, os.X_OK):
        return ["node", *words]
    return [path, *words[1:]]


def _cli(program: str, context: Mapping[str, str]) -> list[str]:
    """The CLI's command line. It ignores errors that the app notes about its stacks: `artifact`
    checks them for each stack, while the CLI refuses all stacks for an error in one, and checks
    none in a stage.
    """
    return [
        program,
        "synth",
        "--quiet",
        "--no-notices",
        "--no-lookups",
        "--ignore-errors",
        *_contexts(context),
    ]


def _contexts(context: Mapping[str, str]) -> list[str]:
    words: list[str] = []
    for name, value in sorted(context.items()):
        words += ["--context", f"{name}={value}"]
    return words


def _build(app: CdkApp, settings: Mapping[str, Any], build: str, note: str, log: SynthLog) -> None:
    """Run the `build` of cdk.json, unless no file has changed since the last time. `note` is the
    file with the digest of all files after that build, which includes those that it wrote.
    """
    if _read_note(note) == _digest(app.root, settings):
        return
    words = _command_line(_words({"build": build}, "build"), app.path)
    env = _environment(app)
    argv = [_find_program(words[0], app.path, env["PATH"]), *words[1:]]
    code, output = _run_program(argv, app.path, env, log)
    if code:
        raise _failed(app, "the `build` in cdk.json", output, code)
    write(note, _digest(app.root, settings).encode())


def _read_note(path: str) -> str:
    try:
        return read(path, 100).decode("ascii", "replace")
    except FileProblem:
        return ""


def _run(
    app: CdkApp,
    settings: Mapping[str, Any],
    argv: list[str],
    way: SynthOptions,
    into: str,
    log: SynthLog,
) -> None:
    env = _environment(app)
    if way is SynthOptions.CLI:
        argv = [*argv, "--output", into]
    else:
        env |= {
            "CDK_OUTDIR": into,
            "CDK_CONTEXT_JSON": json.dumps(_context(app.path, settings, app.context)),
        }
        argv = [_find_program(argv[0], app.path, env["PATH"]), *argv[1:]]
    code, output = _run_program(argv, app.path, env, log)
    if code or not os.path.isfile(os.path.join(into, "manifest.json")):
        shutil.rmtree(into, ignore_errors=True)
        if not code:
            output.append("it wrote no manifest.json")
        name = "cdk synth" if way is SynthOptions.CLI else "the CDK app"
        raise _failed(app, name, output, code)


def _ready(assembly: str) -> str:
    """An assembly that `app` names instead of a program: the CLI starts nothing either."""
    if not os.path.isfile(os.path.join(assembly, "manifest.json")):
        raise FileProblem(
            path=assembly,
            reason="the `app` in cdk.json names this folder, and it has no manifest.json",
        )
    return assembly


def _failed(app: CdkApp, program: str, output: Sequence[str], code: int | None) -> ProgramFailed:
    """The error for an app or a build that failed: its cause, and the command to try it by hand."""
    problem = ProgramFailed(program=program, reason=causes.cause(output, code))
    words = _contexts(app.context)
    if app.location.profile:
        words = [*words, "--profile", app.location.profile]
    by_hand = (f"try it in {app.folder}:", ShellCommand("npx cdk synth", tuple(words)))
    problem.next = cdk_packages.advice(app.root, app.folder, output) or by_hand
    return problem


def _run_program(
    argv: list[str], folder: str, env: Mapping[str, str], log: SynthLog
) -> tuple[int | None, list[str]]:
    """Run a program to its end: its exit code, and the last lines of its output, of any length."""
    output: deque[str] = deque(maxlen=MOST_LINES)
    try:
        program = process.LineProgram(argv, folder, env)
    except OSError as error:
        return 127, [error.strerror or str(error)]
    try:
        for line in program.lines():
            log.check()
            if line is not None and line.strip():
                text = line[-2000:].decode("utf-8", "replace").rstrip()
                output.append(text)
                log.log(text)
    finally:
        program.stop()
    return program.code, list(output)


def _find_program(program: str, folder: str, path: str) -> str:
    """The path of the program that starts the app: on PATH, or from the app's folder if it has a
    slash.
    """
    if os.sep in program:
        return os.path.join(folder, program)
    for location in path.split(os.pathsep):
        candidate = os.path.join(location, program)
        if os.path.isabs(location) and os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    raise Refused(
        f"there is no program {program} on PATH to start the CDK app with",
        "install it, or correct `app` in cdk.json",
    )


def not_handed_on(app: CdkApp) -> list[str]:
    """Warnings, one line each, about variables that the app reads but does not get."""
    passed = {*_environment(app), "CDK_OUTDIR", "CDK_CONTEXT_JSON"}
    return cdk_environment.not_handed_on(app.pass_env, passed, app.path, os.environ, app.root)


def _environment(app: CdkApp) -> dict[str, str]:
    """The environment of an app: where it is deployed to, the credentials of whoever deploys, and
    the variables that rules.toml names. A .venv beside it comes first on PATH.
    """
    env = {
        **process.child_environment(**_QUIET),
        **cdk_environment.handed_on(app.pass_env, os.environ),
    }
    env |= {
        name: os.environ[name]
        for name in os.environ
        if name in _AWS or name.startswith("AWS_ENDPOINT_URL_")
    }
    env |= {"AWS_REGION": app.region, "AWS_DEFAULT_REGION": app.region}
    env |= {"CDK_DEFAULT_ACCOUNT": app.account, "CDK_DEFAULT_REGION": app.region}
    profile = app.location.profile or os.environ.get("AWS_PROFILE")
    if profile:
        env["AWS_PROFILE"] = profile
    env.setdefault("PATH", os.defpath)
    venv = os.path.join(app.path, ".venv", "bin")
    if os.path.isdir(venv):
        env["PATH"] = f"{venv}{os.pathsep}{env['PATH']}"
    return env


def _context(
    folder: str, settings: Mapping[str, Any], context: Mapping[str, str]
) -> dict[str, Any]:
    """The context that the CLI would pass to the app. Later sources win: the CLI's own settings,
    cdk.context.json, cdk.json, rules.toml.
    """
    path = os.path.join(folder, "cdk.context.json")
    try:
        remembered = {}
        if os.path.exists(path):
            remembered = json.loads(read(path))
    except ValueError:
        raise FileProblem(path=path, reason="it is not JSON") from None
    defaults = {
        name: True for setting, name in _TRUE_BY_DEFAULT.items() if settings.get(setting, True)
    }
    return {
        **defaults,
        "aws:cdk:bundling-stacks": ["**"],
        **remembered,
        **settings.get("context", {}),
        **context,
    }


def _identity(
    app: CdkApp, settings: Mapping[str, Any], way: SynthOptions, argv: Sequence[str]
) -> str:
    """A digest of all that decides about an assembly besides files."""
    parts = [
        SCHEME,
        way,
        *argv,
        json.dumps(settings, sort_keys=True),
        app.path,
        app.account,
        app.region,
        app.location.profile or "",
    ]
    parts += [f"{name}={value}" for name, value in sorted(app.context.items())]
    parts += [
        f"env {name}={value}"
        for name, value in sorted(cdk_environment.handed_on(app.pass_env, os.environ).items())
    ]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _key(app: CdkApp, settings: Mapping[str, Any], identity: str) -> str:
    """The cache key of an assembly.

    An app may read any file of the repository, and nothing says which, so all of them count: by
    their size and times, since reading all of them would take longer than the app.
    """
    return hashlib.sha256(f"{identity}\0{_digest(app.root, settings)}".encode()).hexdigest()[:32]


def _digest(root: str, settings: Mapping[str, Any]) -> str:
    """The digest of the stamps of all files."""
    digest = hashlib.sha256()
    for line in _stamps(root, settings.get("output")):
        digest.update(line.encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()


def _stamps(root: str, output: Any) -> Iterator[str]:
    """Name, size and times of every file below a folder, in order. Installed packages count by
    their folders only.
    """
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            yield f"{folder} {error.errno}"
            continue
        for entry in entries:
            if entry.name in _IGNORED or entry.name == output:
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError as error:
                yield f"{entry.path} {error.errno}"
                continue
            if entry.name in _INSTALLED:
                yield from _installed(entry.path)
            elif stat.S_ISDIR(status.st_mode):
                folders.append(entry.path)
            else:
                yield (
                    f"{entry.path} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
                    f" {status.st_mode}"
                )


def _installed(folder: str) -> Iterator[str]:
    """The stamps of what every installer changes in a folder of packages."""
    libraries = [
        os.path.join(folder, "lib", name, "site-packages")
        for name in _names(os.path.join(folder, "lib"))
    ]
    for path in (
        folder,
        os.path.join(folder, ".package-lock.json"),
        os.path.join(folder, ".yarn-integrity"),
        *libraries,
    ):
        try:
            status = os.stat(path)
        except OSError:
            continue
        yield f"{path} {status.st_mtime_ns} {status.st_ctime_ns}"


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _prune(cache_folder: str) -> None:
    """Delete the assemblies that were not used since yesterday. Lock files stay, since they may be
    held; they are empty.
    """
    for name in _names(cache_folder):
        path = os.path.join(cache_folder, name)
        try:
            if os.path.isdir(path) and os.stat(path).st_mtime < time.time() - UNUSED_S:
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue


def assemblies(assembly: str) -> Iterator[StageAssembly]:
    """An app's assembly and those of the stages in it, each after the one around it. Raises
    FileProblem, also where two stages have one folder: the CDK gives each its own.
    """
    seen: set[str] = set()
    waiting: list[tuple[int, str, str, list[Remark]]] = [(0, assembly, "", [])]
    while waiting:
        depth, folder, stage, outer = waiting.pop()
        real = os.path.realpath(folder)
        if depth > DEEPEST:
            raise FileProblem(path=folder, reason=f"it is inside more than {DEEPEST} stages")
        if real in seen:
            raise FileProblem(path=folder, reason="it is the folder of two stages")
        seen.add(real)
        manifest = _manifest(folder)
        yield StageAssembly(folder, manifest, stage, outer)
        stages: list[tuple[int, str, str, list[Remark]]] = []
        for key, artifact in manifest.get("artifacts", {}).items():
            if artifact.get("type") == STAGE:
                inside = _inside(folder, _property(folder, artifact, "directoryName"))
                remarks = [*outer, *_remarks(folder, artifact)]
                stages.append((depth + 1, inside, os.path.join(folder, key), remarks))
        waiting += reversed(stages)


def _manifest(assembly: str) -> dict[str, Any]:
    """What an assembly consists of, with the types that the CDK writes. Raises FileProblem."""
    path = os.path.join(assembly, "manifest.json")
    manifest = _json(path)
    _converted(manifest, _Manifest, path)
    return manifest


def _converted(document: Mapping[str, Any], shape: type[Shape], path: str) -> Shape:
    """The content of a file as a struct. Raises FileProblem."""
    try:
        return msgspec.convert(document, shape)
    except msgspec.ValidationError as problem:
        raise FileProblem(path=path, reason=f"it is not as the CDK writes it: {problem}") from None


def _property(folder: str, artifact: Mapping[str, Any], name: str) -> str:
    """A property that an artifact of its type always has. Raises FileProblem."""
    value: str | None = artifact.get("properties", {}).get(name)
    if value is None:
        path = os.path.join(folder, "manifest.json")
        raise FileProblem(path=path, reason=f"an artifact in it has no {name}")
    return value


def _json(path: str) -> dict[str, Any]:
    try:
        document = json.loads(read(path))
    except (ValueError, RecursionError):
        raise FileProblem(path=path, reason="it is not JSON") from None
    if not isinstance(document, dict):
        raise FileProblem(path=path, reason="it is not a JSON object")
    return document


def _inside(folder: str, name: str) -> str:
    """The path of what an assembly names in its folder. Raises FileProblem."""
    path = _existing(folder, name)
    if not is_inside(path, folder):
        raise FileProblem(path=path, reason="the assembly names it, but it is outside of it")
    return path


def _existing(folder: str, name: str) -> str:
    """The path of an asset: one of a stage lies in the app's assembly, and one that was not staged
    has an absolute path. Raises FileProblem if nothing is there.
    """
    path = os.path.join(folder, name)  # which is the name itself if that is absolute
    if not os.path.exists(path):
        raise FileProblem(path=path, reason="the assembly names it, but it does not exist")
    return path


_BY_CLI = "deploy it with the CDK's own CLI:"


def _refuse_lookups(manifest: Mapping[str, Any]) -> None:
    missing = [str(lookup.get("key")) for lookup in manifest.get("missing") or ()]
    if missing:
        raise Refused(
            f"the CDK app has to look up {', '.join(missing)}",
            (
                "run",
                ShellCommand("npx cdk synth"),
                "once with credentials, and commit cdk.context.json",
            ),
        )


def _refuse_other_location(name: str, stack: Mapping[str, Any], account: str, region: str) -> None:
    parts = str(stack.get("environment", "")).removeprefix("aws://").split("/")
    if len(parts) != 2:
        return
    if parts[0] not in ("unknown-account", account) or parts[1] not in ("unknown-region", region):
        raise Refused(
            f"the CDK app puts stack {name} into account {parts[0]}, region {parts[1]}, not into"
            f" {account}, {region}",
            "correct `env` in the app, or the environment in rules.toml",
        )


def _artifact(
    name: str, stack: _StackEntry, account: str, region: str, warnings: tuple[str, ...]
) -> StackArtifact:
    properties = stack.entry.get("properties", {})

    def filled(text: str) -> str:
        return placed(text, account, region)

    assets: list[CdkAsset] = []
    images: list[str] = []
    for dependency in stack.dependencies():
        if dependency.get("type") == "cdk:asset-manifest":
            path = _inside(stack.folder, _property(stack.folder, dependency, "file"))
            manifest = _converted(_json(path), _AssetManifest, path)
            for key, image in manifest.docker_images.items():
                images.append(image.display_name or key)
            assets += _assets(stack.folder, manifest, filled)
    if images:
        raise Refused(
            f"stack {name} builds the image {', '.join(images)}, which toolkit does not do for a"
            " stack",
            (_BY_CLI, ShellCommand("npx cdk deploy", (name,))),
        )
    template = _inside(stack.folder, _property(stack.folder, stack.entry, "templateFile"))
    stored = _stored(filled(properties.get("stackTemplateAssetObjectUrl", "")))
    role = properties.get("cloudFormationExecutionRoleArn")
    version = properties.get("requiresBootstrapStackVersion")
    parameter = properties.get("bootstrapStackVersionSsmParameter")
    return StackArtifact(
        name=name,
        template=read(template).decode("utf-8", "replace"),
        stored=stored,
        assets=tuple(asset for asset in assets if (asset.bucket, asset.key) != stored),
        role=filled(role) if role else None,
        tags=properties.get("tags") or {},
        parameters=properties.get("parameters") or {},
        protected=bool(properties.get("terminationProtection")),
        bootstrap=(str(parameter), int(version)) if version and parameter else None,
        warnings=warnings,
    )


def _assets(folder: str, manifest: _AssetManifest, filled: Callable[[str], str]) -> list[CdkAsset]:
    assets = []
    for key, file in manifest.files.items():
        if file.source.executable is not None or file.source.path is None:
            raise Refused(
                f"asset {key} is made by a program of its own",
                (_BY_CLI, ShellCommand("npx cdk deploy")),
            )
        path = _existing(folder, file.source.path)
        for location in file.destinations.values():
            assets.append(
                CdkAsset(
                    file.display_name or key,
                    path,
                    file.source.packaging,
                    filled(location.bucket_name),
                    filled(location.object_key),
                )
            )
    return assets


def _stored(address: str) -> tuple[str, str] | None:
    """Bucket and key of an s3:// address."""
    parts = re.fullmatch(r"s3://([^/]+)/(.+)", address)
    return (parts[1], parts[2]) if parts else None


def placed(text: str, account: str, region: str) -> str:
    """A name of the assembly with account, region and partition filled in."""
    values = {
        "AWS::AccountId": account,
        "AWS::Region": region,
        "AWS::Partition": partition(region),
        "AWS::URLSuffix": suffix(region),
    }
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    return text


def not_bootstrapped(
    account: str, region: str, profile: str | None = None, parameter: str = ""
) -> Missing:
    """The error for an account and region without `cdk bootstrap`. `parameter` is the name of the
    one that an app requires, which contains the qualifier.
    """
    return Missing(
        ("run:", bootstrap_command(account, region, profile, parameter)),
        what="CDK bootstrap",
        name=f"in account {account}",
        where=f", {region}",
    )


def bootstrap_command(
    account: str, region: str, profile: str | None = None, parameter: str = ""
) -> ShellCommand:
    """The command that prepares an account and region for an app."""
    words = [f"aws://{account}/{region}"]
    match = re.fullmatch(r"/cdk-bootstrap/([A-Za-z0-9_-]{1,10})/version", parameter)
    if match and match[1] != USUAL_QUALIFIER:
        words += ["--qualifier", match[1], "--toolkit-stack-name", f"CDKToolkit-{match[1]}"]
    if profile:
        words += ["--profile", profile]
    return ShellCommand("npx cdk bootstrap", tuple(words))
