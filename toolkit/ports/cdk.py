"""CDK: an app becomes an assembly of templates and assets, once for the same files.

The CDK's own CLI makes it if it is there, else the app is started as the CLI would start it, its
`build` before it. The two are never mixed up: which one it was is part of what the assembly is kept
under. Nothing is looked up in AWS: what an app deploys has to be in the repository.
"""

import fcntl
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
from typing import Any, BinaryIO, Protocol

from msgspec import Struct

from toolkit.errors import FileProblem, Missing, ProgramFailed, Refused
from toolkit.model import Location
from toolkit.ports import causes, cdk_environment, cdk_packages, process
from toolkit.ports.aws.partition import partition, suffix
from toolkit.ports.files import own_cache, read, within, write

CLI = "npm install --save-dev aws-cdk@2.1148.1"
SCHEME = "2"
MOST_LINES = 400
"""How many of the last lines of a failed program are searched for the cause."""
CODE = "code"
"""How a program is packed that no CDK app has staged: like a folder of one, without NO_CODE."""
NO_CODE = frozenset((".git", "__pycache__", ".aws-sam", ".DS_Store"))
USUAL_QUALIFIER = "hnb659fds"
"""What `cdk bootstrap` puts into its names where nobody chose another one."""
KEPT_S = 24 * 3600
"""An assembly that nobody has asked for in this time is deleted by the next synth."""

_UNSEEN = frozenset(
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
"""Settings of cdk.json, and the context key that an app knows them by: the CLI hands them on like
this.
"""


class SynthOptions(StrEnum):
    """How an app is synthesized."""

    CLI = "cli"
    APP = "app"


class SynthLog(Protocol):
    """What watches a synth: `check` is called all the time and may raise, `log` is given each line
    that the app writes.
    """

    def check(self) -> None: ...
    def log(self, line: str) -> None: ...


class SilentLog:
    """For a synth that nobody watches."""

    def check(self) -> None:
        """Go on."""

    def log(self, line: str) -> None:
        """Nobody reads it."""


class CdkApp(Struct, frozen=True):
    """An app in a folder of a repository, and what it is to be synthesized for. `pass_env` names
    the variables of our environment that it is given.
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
    """What is stored, where it is no file: a template."""


class Artifact(Struct, frozen=True):
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
    """What the app warns of about this stack."""


class Level(StrEnum):
    """What kind of remark an app has made about a construct, as its metadata calls it."""

    WARNING = "aws:cdk:warning"
    ERROR = "aws:cdk:error"


class Remark(Struct, frozen=True):
    """What an app says about one of its constructs."""

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
    kept = own_cache(cache, "cdk")
    whose = _identity(app, settings, way, argv)
    # A build writes into the app's own folder: never two at once there.
    lock = (
        hashlib.sha256(app.path.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        if build
        else whose
    )
    with _exclusively(os.path.join(kept, f"{lock}.lock"), log.check):
        if build:
            _build(app, settings, build, os.path.join(kept, f"{whose}.built"), log)
        if (
            way is SynthOptions.APP
            and len(argv) == 1
            and os.path.isdir(os.path.join(app.path, argv[0]))
        ):
            return _ready(os.path.join(app.path, argv[0]))
        made = os.path.join(kept, _key(app, settings, whose))
        if os.path.isfile(os.path.join(made, "manifest.json")):
            os.utime(made)
            return made
        _prune(kept)
        new = f"{made}.{os.getpid()}.new"
        shutil.rmtree(new, ignore_errors=True)
        _run(app, settings, argv, way, new, log)
        shutil.rmtree(made, ignore_errors=True)
        os.rename(new, made)
    return made


def artifact(assembly: str, name: str, account: str, region: str, strict: bool = False) -> Artifact:
    """The stack of an assembly that has this name. Raises Refused, also where the app itself says
    that it must not be deployed (with `strict` a warning is enough), or FileProblem.
    """
    stacks: dict[str, tuple[str, dict[str, Any], dict[str, Any], list[Remark]]] = {}
    for folder, manifest, outer in _manifests(assembly):
        _refuse_lookups(manifest)
        for one, found in manifest.get("artifacts", {}).items():
            if found.get("type") == "aws:cloudformation:stack":
                stacks[found.get("properties", {}).get("stackName") or one] = (
                    folder,
                    manifest,
                    found,
                    outer,
                )
    if name not in stacks:
        raise Refused(
            f"the CDK app has no stack {name}",
            f"it has {', '.join(sorted(stacks)) or 'none'}; correct `stack` or `context`",
        )
    folder, manifest, found, outer = stacks[name]
    remarks = [*outer, *_remarks(folder, found)]
    for needed in found.get("dependencies", ()):
        other = manifest["artifacts"].get(needed, {})
        if (
            other.get("type") != "aws:cloudformation:stack"
        ):  # another stack's remarks are about its own deploy
            remarks += _remarks(folder, other)
    _refuse_remarks(name, remarks, strict)
    _refuse_other_location(name, found, account, region)
    warnings = tuple(
        dict.fromkeys(remark.text for remark in remarks if remark.level is Level.WARNING)
    )
    return _artifact(name, folder, manifest, found, account, region, warnings)


def is_strict(app: CdkApp) -> bool:
    """Whether cdk.json says that a warning is as bad as an error. Raises FileProblem."""
    return _settings(app.path).get("strict") is True


def _remarks(folder: str, found: Mapping[str, Any]) -> list[Remark]:
    """What an artifact's metadata say; they stand in the manifest, or since 2025 in a file beside
    it.
    """
    every: list[tuple[str, Any]] = list((found.get("metadata") or {}).items())
    more = found.get("additionalMetadataFile")
    if more:
        every += _json(_inside(folder, str(more))).items()
    remarks = []
    for path, entries in every:
        for entry in entries if isinstance(entries, list) else ():
            level = entry.get("type") if isinstance(entry, dict) else None
            if level in (Level.WARNING, Level.ERROR):
                data = entry.get("data")
                text = data if isinstance(data, str) else json.dumps(data, sort_keys=True)
                remarks.append(Remark(Level(level), f"{path}: {' '.join(text.split())}"))
    return remarks


def _refuse_remarks(name: str, remarks: Sequence[Remark], strict: bool) -> None:
    """Raise Refused where the app says that a stack must not be deployed, with all that it says."""
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
        with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, path in files_of(
                asset.path, NO_CODE if asset.packaging == CODE else frozenset()
            ):
                entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                entry.external_attr = (
                    0o100755 if os.stat(path).st_mode & stat.S_IXUSR else 0o100644
                ) << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                with open(path, "rb") as file, archive.open(entry, "w", force_zip64=True) as slot:
                    shutil.copyfileobj(file, slot)
    except OSError as error:
        raise FileProblem(path=asset.path, reason=error.strerror or str(error)) from None


def files_of(folder: str, without: Collection[str] = ()) -> list[tuple[str, str]]:
    """Every file of a folder by its name in the archive; a file is all of its own. Links are
    followed inside of it only.
    """
    if os.path.isfile(folder):
        return [(os.path.basename(folder), os.path.realpath(folder))]
    root, found = os.path.realpath(folder), []
    for here, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(one for one in folders if one not in without)
        for name in sorted(
            [*names, *(one for one in folders if os.path.islink(os.path.join(here, one)))]
        ):
            path = os.path.join(here, name)
            real = os.path.realpath(path)
            if name in without:
                continue
            if not real.startswith(os.path.join(root, "")) or not os.path.isfile(real):
                raise Refused(
                    f"{path} is a link that leaves its folder, or no file",
                    "take it out of the asset",
                )
            found.append((os.path.relpath(path, folder), real))
    return found


def content(path: str) -> str:
    """The digest of a program's files as CODE packs them: their names, whether they can be run, and
    what is in them. Raises FileProblem, Refused.
    """
    whole = hashlib.sha256()
    try:
        for name, file in files_of(path, NO_CODE):
            whole.update(
                f"{name}\0{bool(os.stat(file).st_mode & stat.S_IXUSR)}\0".encode(
                    "utf-8", "surrogateescape"
                )
            )
            with open(file, "rb") as opened:
                whole.update(hashlib.file_digest(opened, "sha256").digest())
    except OSError as error:
        raise FileProblem(path=path, reason=error.strerror or str(error)) from None
    return whole.hexdigest()


def _settings(folder: str) -> dict[str, Any]:
    """cdk.json. Raises FileProblem."""
    path = os.path.join(folder, "cdk.json")
    try:
        found = json.loads(read(path))
    except ValueError:
        raise FileProblem(path=path, reason="it is not JSON") from None
    if (
        isinstance(found, dict)
        and isinstance(found.get("app"), list)
        and all(isinstance(word, str) for word in found["app"])
    ):
        found["app"] = " ".join(found["app"])  # as the CLI does
    if not isinstance(found, dict) or not isinstance(found.get("app"), str):
        raise FileProblem(path=path, reason="it names no `app`")
    if not isinstance(found.get("build", ""), str):
        raise FileProblem(path=path, reason="its `build` is not a command line")
    return found


def _program(app: CdkApp, settings: Mapping[str, Any]) -> tuple[list[str], SynthOptions]:
    """What to start, and which of the two ways it is. A CLI that the repository pins goes before
    the one on PATH.
    """
    for location in (app.path, app.root):
        path = os.path.join(location, "node_modules", ".bin", "cdk")
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return _cli(path, app.context), SynthOptions.CLI
    found = process.which("cdk")
    if found:
        return _cli(found, app.context), SynthOptions.CLI
    return _started(_words(settings, "app"), app.path), SynthOptions.APP


def _words(settings: Mapping[str, Any], setting: str) -> list[str]:
    """A command line of cdk.json as words. Raises Refused for one that only a shell can read."""
    text = settings[setting]
    words = [] if _SHELL.search(text) else _split(text)
    if _SHELL.search(text) or words is None:
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


def _started(words: list[str], folder: str) -> list[str]:
    """The words that start a program, as the CLI understands them: a script that is not executable
    itself is given to Node.
    """
    path = os.path.join(folder, words[0])
    if not os.path.isfile(path):
        return words
    if words[0].endswith(".js") and not os.access(path, os.X_OK):
        return ["node", *words]
    return [path, *words[1:]]


def _cli(program: str, context: Mapping[str, str]) -> list[str]:
    """The CLI's command line. Errors that the app notes about one of its stacks are looked at here,
    for each stack by itself: the CLI refuses all stacks for an error in one, and looks at none in a
    stage.
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
    return [
        word for name, value in sorted(context.items()) for word in ("--context", f"{name}={value}")
    ]


def _build(app: CdkApp, settings: Mapping[str, Any], build: str, note: str, log: SynthLog) -> None:
    """Run the `build` of cdk.json, unless no file has changed since it was run. `note` is the file
    that says when that was.

    The files that it writes are among those: what is asked is how they stood when it had ended.
    """
    if _noted(note) == _digest(app.root, settings):
        return
    words = _started(_words({"build": build}, "build"), app.path)
    env = _environment(app)
    code, said = _ended([_found(words[0], app.path, env["PATH"]), *words[1:]], app.path, env, log)
    if code:
        raise _failed(app, "the `build` in cdk.json", said, code)
    write(note, _digest(app.root, settings).encode())


def _noted(path: str) -> str:
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
        argv = [_found(argv[0], app.path, env["PATH"]), *argv[1:]]
    code, said = _ended(argv, app.path, env, log)
    if code or not os.path.isfile(os.path.join(into, "manifest.json")):
        shutil.rmtree(into, ignore_errors=True)
        wrote = said if code else [*said, "it wrote no manifest.json"]
        raise _failed(app, "cdk synth" if way is SynthOptions.CLI else "the CDK app", wrote, code)


def _ready(assembly: str) -> str:
    """An assembly that `app` names instead of a program: the CLI starts nothing either."""
    if not os.path.isfile(os.path.join(assembly, "manifest.json")):
        raise FileProblem(
            path=assembly,
            reason="the `app` in cdk.json names this folder, and it has no manifest.json",
        )
    return assembly


def _failed(app: CdkApp, program: str, said: Sequence[str], code: int | None) -> ProgramFailed:
    """The error for an app or a build that failed: the line that says why, and the same thing to be
    tried by hand.
    """
    problem = ProgramFailed(program=program, reason=causes.cause(said, code))
    words = [
        "npx",
        "cdk",
        "synth",
        *_contexts(app.context),
        *(["--profile", app.location.profile] if app.location.profile else []),
    ]
    tried = f"try it in {app.folder}: {' '.join(shlex.quote(word) for word in words)}"
    advice = cdk_packages.advice(app.root, app.folder, said) or tried
    problem.hint = advice.replace("{", "{{").replace("}", "}}")
    return problem


def _ended(
    argv: list[str], folder: str, env: Mapping[str, str], log: SynthLog
) -> tuple[int | None, list[str]]:
    """Run it to its end: its exit code, and the last lines that it wrote. Output of any length is
    read.
    """
    said: deque[str] = deque(maxlen=MOST_LINES)
    try:
        program = process.LineProgram(argv, folder, env)
    except OSError as error:
        return 127, [error.strerror or str(error)]
    try:
        for line in program.lines():
            log.check()
            if line is not None and line.strip():
                text = line[-2000:].decode("utf-8", "replace").rstrip()
                said.append(text)
                log.log(text)
    finally:
        program.stop()
    return program.code, list(said)


def _found(program: str, folder: str, path: str) -> str:
    """The program that the app is started with: on PATH, or in the app's folder if it is named with
    a slash.
    """
    if os.sep in program:
        return os.path.join(folder, program)
    for location in path.split(os.pathsep):
        at = os.path.join(location, program)
        if os.path.isabs(location) and os.path.isfile(at) and os.access(at, os.X_OK):
            return at
    raise Refused(
        f"there is no program {program} on PATH to start the CDK app with",
        "install it, or correct `app` in cdk.json",
    )


def not_handed_on(app: CdkApp) -> list[str]:
    """What a person has to know before an app runs with a part of the environment: one line for
    each thing.
    """
    known = {*_environment(app), "CDK_OUTDIR", "CDK_CONTEXT_JSON"}
    return cdk_environment.not_handed_on(app.pass_env, known, app.path, os.environ, app.root)


def _environment(app: CdkApp) -> dict[str, str]:
    """What an app may know: where it is deployed to, the credentials of whoever deploys, and the
    variables that rules.toml names. A .venv beside it comes first on PATH.
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
    own = os.path.join(app.path, ".venv", "bin")
    env["PATH"] = os.pathsep.join(
        [*([own] if os.path.isdir(own) else []), env.get("PATH", os.defpath)]
    )
    return env


def _context(folder: str, settings: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """What the CLI would hand to the app: its own settings, cdk.context.json, cdk.json, and what
    was given, the last one wins.
    """
    path = os.path.join(folder, "cdk.context.json")
    try:
        remembered = json.loads(read(path)) if os.path.exists(path) else {}
    except ValueError:
        raise FileProblem(path=path, reason="it is not JSON") from None
    said = {name: True for setting, name in _TRUE_BY_DEFAULT.items() if settings.get(setting, True)}
    return {
        **said,
        "aws:cdk:bundling-stacks": ["**"],
        **remembered,
        **settings.get("context", {}),
        **given,
    }


def _identity(
    app: CdkApp, settings: Mapping[str, Any], way: SynthOptions, argv: Sequence[str]
) -> str:
    """What an assembly is made of besides files, as a digest."""
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


def _key(app: CdkApp, settings: Mapping[str, Any], whose: str) -> str:
    """What an assembly is kept under: everything that it may be made of.

    An app may read any file of the repository, and no rule says which. So each of them counts, by
    the stamps that the system gives it: reading all of them would take longer than the app.
    """
    return hashlib.sha256(f"{whose}\0{_digest(app.root, settings)}".encode()).hexdigest()[:32]


def _digest(root: str, settings: Mapping[str, Any]) -> str:
    """The digest of all files' stamps."""
    found = hashlib.sha256()
    for line in _stamps(root, settings.get("output")):
        found.update(line.encode("utf-8", "surrogateescape") + b"\0")
    return found.hexdigest()


def _stamps(root: str, output: Any) -> Iterator[str]:
    """Name, size and times of every file below a folder, in order. What is installed counts by the
    stamps of its folders.
    """
    folders = [root]
    while folders:
        here = folders.pop()
        try:
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError as error:
            yield f"{here} {error.errno}"
            continue
        for entry in entries:
            if entry.name in _UNSEEN or entry.name == output:
                continue
            try:
                found = entry.stat(follow_symlinks=False)
            except OSError as error:
                yield f"{entry.path} {error.errno}"
                continue
            if entry.name in _INSTALLED:
                yield from _installed(entry.path)
            elif stat.S_ISDIR(found.st_mode):
                folders.append(entry.path)
            else:
                yield (
                    f"{entry.path} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
                    f" {found.st_mode}"
                )


def _installed(folder: str) -> Iterator[str]:
    """What tells one state of installed packages from another: an installer changes these."""
    libraries = [
        os.path.join(folder, "lib", one, "site-packages")
        for one in _names(os.path.join(folder, "lib"))
    ]
    for path in (
        folder,
        os.path.join(folder, ".package-lock.json"),
        os.path.join(folder, ".yarn-integrity"),
        *libraries,
    ):
        try:
            found = os.stat(path)
        except OSError:
            continue
        yield f"{path} {found.st_mtime_ns} {found.st_ctime_ns}"


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


class _exclusively:  # noqa: N801 (reads like a function)
    """Hold a file's lock, so that two steps of one app do not synthesize it twice. `attend` may
    raise while another one does.
    """

    def __init__(self, path: str, attend: Callable[[], None]) -> None:
        self._path, self._attend = path, attend

    def __enter__(self) -> None:
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                except BlockingIOError:
                    self._attend()
                    time.sleep(0.1)
        except BaseException:
            os.close(self._file)
            raise

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


def _prune(kept: str) -> None:
    """Delete what has not been asked for since yesterday. A lock's file stays while it may be held:
    it is empty.
    """
    for name in _names(kept):
        path = os.path.join(kept, name)
        try:
            if os.path.isdir(path) and os.stat(path).st_mtime < time.time() - KEPT_S:
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue


def _manifests(
    assembly: str, outer: Sequence[Remark] = ()
) -> Iterator[tuple[str, dict[str, Any], list[Remark]]]:
    """The manifests of an assembly and of those inside it (an app's stages), with their folders and
    what is said about the stages.
    """
    manifest = _json(os.path.join(assembly, "manifest.json"))
    yield assembly, manifest, list(outer)
    for found in manifest.get("artifacts", {}).values():
        if found.get("type") == "cdk:cloud-assembly":
            inside = _inside(assembly, found["properties"]["directoryName"])
            yield from _manifests(inside, [*outer, *_remarks(assembly, found)])


def _json(path: str) -> dict[str, Any]:
    try:
        found = json.loads(read(path))
    except ValueError:
        raise FileProblem(path=path, reason="it is not JSON") from None
    if not isinstance(found, dict):
        raise FileProblem(path=path, reason="it is not a JSON object")
    return found


def _inside(folder: str, name: str) -> str:
    """A path that an assembly names. Raises Refused if it leads out of it: an asset that was not
    staged is read where it is.
    """
    path = name if os.path.isabs(name) else os.path.join(folder, name)
    if not os.path.exists(path):
        raise FileProblem(path=path, reason="the assembly names it, and it is not there")
    return path


def _refuse_lookups(manifest: Mapping[str, Any]) -> None:
    missing = [str(one.get("key")) for one in manifest.get("missing") or ()]
    if missing:
        raise Refused(
            f"the CDK app has to look up {', '.join(missing)}",
            "run `npx cdk synth` once with credentials, and commit cdk.context.json",
        )


def _refuse_other_location(name: str, found: Mapping[str, Any], account: str, region: str) -> None:
    wanted = str(found.get("environment", "")).removeprefix("aws://").split("/")
    if len(wanted) == 2 and (
        wanted[0] not in ("unknown-account", account) or wanted[1] not in ("unknown-region", region)
    ):
        raise Refused(
            f"the CDK app puts stack {name} into account {wanted[0]}, region {wanted[1]}, not into"
            f" {account}, {region}",
            "correct `env` in the app, or the environment in rules.toml",
        )


def _artifact(
    name: str,
    folder: str,
    manifest: Mapping[str, Any],
    found: Mapping[str, Any],
    account: str,
    region: str,
    warnings: tuple[str, ...],
) -> Artifact:
    said = found.get("properties", {})

    def filled(text: str) -> str:
        return placed(text, account, region)

    assets: list[CdkAsset] = []
    images: list[str] = []
    for one in found.get("dependencies", ()):
        other = manifest["artifacts"].get(one, {})
        if other.get("type") == "cdk:asset-manifest":
            listed = _json(os.path.join(folder, other["properties"]["file"]))
            images += [
                str(image.get("displayName") or key)
                for key, image in listed.get("dockerImages", {}).items()
            ]
            assets += _assets(folder, listed, filled)
    if images:
        raise Refused(
            f"stack {name} builds the image {', '.join(images)}, which toolkit does not do for a"
            " stack",
            f"deploy it with the CDK's own CLI: npx cdk deploy {name}",
        )
    template = _inside(folder, said["templateFile"])
    stored = _stored(filled(said.get("stackTemplateAssetObjectUrl", "")))
    version = said.get("requiresBootstrapStackVersion")
    parameter = said.get("bootstrapStackVersionSsmParameter")
    return Artifact(
        name=name,
        template=read(template).decode("utf-8", "replace"),
        stored=stored,
        assets=tuple(asset for asset in assets if (asset.bucket, asset.key) != stored),
        role=(
            filled(said["cloudFormationExecutionRoleArn"])
            if said.get("cloudFormationExecutionRoleArn")
            else None
        ),
        tags=said.get("tags") or {},
        parameters=said.get("parameters") or {},
        protected=bool(said.get("terminationProtection")),
        bootstrap=(str(parameter), int(version)) if version and parameter else None,
        warnings=warnings,
    )


def _assets(folder: str, listed: Mapping[str, Any], filled: Callable[[str], str]) -> list[CdkAsset]:
    found = []
    for key, one in listed.get("files", {}).items():
        if "executable" in one["source"]:
            raise Refused(
                f"asset {key} is made by a program of its own",
                "deploy it with the CDK's own CLI: npx cdk deploy",
            )
        path = _inside(folder, one["source"]["path"])
        packaging = one["source"].get("packaging", "file")
        for location in one.get("destinations", {}).values():
            name = str(one.get("displayName") or key)
            found.append(
                CdkAsset(
                    name,
                    path,
                    packaging,
                    filled(location["bucketName"]),
                    filled(location["objectKey"]),
                )
            )
    return found


def _stored(address: str) -> tuple[str, str] | None:
    """Bucket and key of an s3:// address."""
    found = re.fullmatch(r"s3://([^/]+)/(.+)", address)
    return (found[1], found[2]) if found else None


def placed(text: str, account: str, region: str) -> str:
    """A name of the assembly with account, region and partition filled in."""
    known = {
        "AWS::AccountId": account,
        "AWS::Region": region,
        "AWS::Partition": partition(region),
        "AWS::URLSuffix": suffix(region),
    }
    for name, value in known.items():
        text = text.replace(f"${{{name}}}", value)
    return text


def not_bootstrapped(
    account: str, region: str, profile: str | None = None, parameter: str = ""
) -> Missing:
    """The error for an account that the CDK was never used in. `parameter` is the one that an app
    looks for: it has the qualifier.
    """
    problem = Missing(what="CDK bootstrap", name=f"in account {account}", where=f", {region}")
    problem.hint = f"run: {bootstrap_command(account, region, profile, parameter)}"
    return problem


def bootstrap_command(
    account: str, region: str, profile: str | None = None, parameter: str = ""
) -> str:
    """The command that prepares an account and region for an app."""
    words = ["npx", "cdk", "bootstrap", f"aws://{account}/{region}"]
    named = re.fullmatch(r"/cdk-bootstrap/([A-Za-z0-9_-]{1,10})/version", parameter)
    if named and named[1] != USUAL_QUALIFIER:
        words += ["--qualifier", named[1], "--toolkit-stack-name", f"CDKToolkit-{named[1]}"]
    return " ".join([*words, *(["--profile", shlex.quote(profile)] if profile else [])])
