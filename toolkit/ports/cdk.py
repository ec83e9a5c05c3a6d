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
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, BinaryIO

from msgspec import Struct
from msgspec.structs import replace

from toolkit.advice import ShellCommand
from toolkit.errors import FileProblem, ProgramFailed, Refused
from toolkit.operations import Location
from toolkit.ports import causes, cdk_environment, cdk_packages, process
from toolkit.ports.cdk_assembly import CdkAsset
from toolkit.ports.disk import exclusive, write
from toolkit.ports.files import own_cache, read, within
from toolkit.ports.program_runs import ProgramEnd, ProgramLog, run_program

CLI = "npm install --save-dev aws-cdk@2.1148.1"
SCHEME = "3"
CODE = "code"
"""How the code of a plain template is packed: like a folder of a CDK app, without NO_CODE."""
NO_CODE = frozenset((".git", "__pycache__", ".aws-sam", ".DS_Store"))
UNUSED_S = 24 * 3600
"""An assembly that was not used for this long is deleted by the next synth."""
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
    # The order of Python's sets gets into what some libraries write: it is the same each time.
    "PYTHONHASHSEED": "0",
    "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1",
    "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
}
_TRUE_BY_DEFAULT = {
    "pathMetadata": "aws:cdk:enable-path-metadata",
    "assetMetadata": "aws:cdk:enable-asset-metadata",
    "versionReporting": "aws:cdk:version-reporting",
}
"""Settings of cdk.json, and the context key under which the CLI passes them to an app."""


class SynthOptions(StrEnum):
    """How an app is synthesized."""

    CLI = "cli"
    APP = "app"


class CdkApp(Struct, frozen=True):
    """An app in a folder of a repository, and the location to synthesize it for. `pass_env` names
    the variables of our environment that it gets. `fresh`: the folder is toolkit's own checkout of
    a commit, where the assembly may lie inside of it, and account and region may be empty: unknown.
    """

    root: str
    folder: str
    location: Location
    account: str
    region: str
    context: Mapping[str, str] = {}
    pass_env: tuple[str, ...] = ()
    fresh: bool = False

    def __hash__(self) -> int:
        return hash((self.path, self.account, self.region))

    @property
    def path(self) -> str:
        """The folder with cdk.json."""
        return os.path.join(self.root, self.folder)


def synthesized(app: CdkApp, cache: str, log: ProgramLog, again: bool = False) -> str:
    """The folder of the app's assembly, from the cache if nothing has changed; `again`: of another
    run with the same files, which shows what differs from run to run. Raises Refused, FileProblem,
    ProgramFailed, and what `log` raises.
    """
    for name in ("cdk.json", "cdk.context.json"):
        within(app.root, os.path.join(app.folder, name))
    settings = _settings(app.path)
    if app.fresh:
        return _synthesized_inside(app, settings, log)
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
            _build(app, settings, os.path.join(cache_folder, f"{identity}.built"), log)
        ready = os.path.join(app.path, argv[0])
        if way is SynthOptions.APP and len(argv) == 1 and os.path.isdir(ready):
            return _ready(ready)
        assembly = os.path.join(cache_folder, _key(app, settings, identity))
        if again:
            assembly += ".again"
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


def _synthesized_inside(app: CdkApp, settings: Mapping[str, Any], log: ProgramLog) -> str:
    """The assembly of a checkout of toolkit's own, where the CDK puts it. The app is started by
    itself, as the CLI would start it: it takes two thirds of the time, and makes the same assembly.
    """
    into = os.path.join(app.path, "cdk.out")
    shutil.rmtree(into, ignore_errors=True)
    way = SynthOptions.APP
    try:
        argv = _command_line(_words(settings, "app"), app.path)
        if settings.get("build"):
            _run_build(app, settings, log)
    except Refused:  # it needs a shell: then the CLI starts it, which has one
        argv, way = _program(app, settings)
        if way is SynthOptions.APP:
            raise
    ready = os.path.join(app.path, argv[0])
    if way is SynthOptions.APP and len(argv) == 1 and os.path.isdir(ready):
        return _ready(ready)
    _run(app, settings, argv, way, into, log)
    return into


def is_strict(app: CdkApp) -> bool:
    """Whether cdk.json says that a warning is as bad as an error. Raises FileProblem."""
    return _settings(app.path).get("strict") is True


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


def _run_build(app: CdkApp, settings: Mapping[str, Any], log: ProgramLog) -> None:
    words = _command_line(_words(settings, "build"), app.path)
    env = _environment(app)
    argv = [_find_program(words[0], app.path, env["PATH"]), *words[1:]]
    end = run_program(argv, app.path, env, log)
    if end.code:
        raise _failed(app, "the `build` in cdk.json", end)


def _build(app: CdkApp, settings: Mapping[str, Any], note: str, log: ProgramLog) -> None:
    """Run the `build` of cdk.json, unless no file has changed since the last time. `note` is the
    file with the digest of all files after that build, which includes those that it wrote.
    """
    if _read_note(note) == _digest(app.root, settings):
        return
    _run_build(app, settings, log)
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
    log: ProgramLog,
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
    end = run_program(argv, app.path, env, log)
    if end.code or not os.path.isfile(os.path.join(into, "manifest.json")):
        shutil.rmtree(into, ignore_errors=True)
        if not end.code:
            end = replace(end, lines=(*end.lines, "it wrote no manifest.json"))
        name = "cdk synth" if way is SynthOptions.CLI else "the CDK app"
        raise _failed(app, name, end)


def _ready(assembly: str) -> str:
    """An assembly that `app` names instead of a program: the CLI starts nothing either."""
    if not os.path.isfile(os.path.join(assembly, "manifest.json")):
        raise FileProblem(
            path=assembly,
            reason="the `app` in cdk.json names this folder, and it has no manifest.json",
        )
    return assembly


def _failed(app: CdkApp, program: str, end: ProgramEnd) -> ProgramFailed:
    """The error for an app or a build that failed: its cause, and the command to try it by hand."""
    problem = ProgramFailed(program=program, reason=causes.cause(end.lines, end.code))
    problem.output = end.output
    words = _contexts(app.context)
    if app.location.profile:
        words = [*words, "--profile", app.location.profile]
    by_hand = (f"try it in {app.folder}:", ShellCommand("npx cdk synth", tuple(words)))
    problem.next = cdk_packages.advice(app.root, app.folder, end.lines) or by_hand
    return problem


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
    the variables that rules.toml names. Its own programs come first on PATH: those of a .venv
    beside it, and of its node packages.
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
    if app.region:
        env |= dict.fromkeys(("AWS_REGION", "AWS_DEFAULT_REGION", "CDK_DEFAULT_REGION"), app.region)
    if app.account:
        env["CDK_DEFAULT_ACCOUNT"] = app.account
    profile = app.location.profile or os.environ.get("AWS_PROFILE")
    if profile:
        env["AWS_PROFILE"] = profile
    env.setdefault("PATH", os.defpath)
    own = [os.path.join(app.path, ".venv", "bin"), *_node_programs(app)]
    env["PATH"] = os.pathsep.join([*filter(os.path.isdir, own), env["PATH"]])
    return env


def _node_programs(app: CdkApp) -> Iterator[str]:
    """Where the programs of an app's node packages are, as npm has them on PATH: `tsx app.ts`."""
    folder = os.path.normpath(app.path)
    while True:
        yield os.path.join(folder, "node_modules", ".bin")
        if folder == os.path.normpath(app.root) or folder == os.path.dirname(folder):
            return
        folder = os.path.dirname(folder)


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
