"""Docker, podman and buildah: started with a login of their own, a few known variables, and an ear
for a Ctrl-C.
"""

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from toolkit.errors import Missing, ProgramFailed, Refused, RegistryError, TagTaken
from toolkit.ports import process
from toolkit.ports.images.bases import described
from toolkit.ports.images.builtin import context_folder, dockerfile_text, dockerignore_text
from toolkit.ports.images.dockerfile import parse
from toolkit.ports.images.registry import connected
from toolkit.ports.images.stages import declared
from toolkit.ports.images.types import BuildLog, Pushed, Recipe, RegistryAddress, pushed

PROBE_S = 2.0
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
DOCKER = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY")
CONTAINERS = (
    "XDG_RUNTIME_DIR",
    "XDG_DATA_HOME",
    "CONTAINER_HOST",
    "CONTAINERS_CONF",
    "CONTAINERS_REGISTRIES_CONF",
    "CONTAINERS_STORAGE_CONF",
    "STORAGE_DRIVER",
    "BUILDAH_ISOLATION",
)
"""What an engine may know of our environment besides what every child may: docs/images.md lists
it.
"""

_KEPT_CONFIG = (
    "auths",
    "credsStore",
    "credHelpers",
    "currentContext",
    "cliPluginsExtraDirs",
    "proxies",
)
_KEPT_FOLDERS = ("contexts", "cli-plugins", "buildx")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ERROR = re.compile(r"(?:\S+ )?(?:error|failed|denied|cannot|fatal)\b", re.IGNORECASE)
_LONGEST_REASON = 300


class Engine(Struct, frozen=True):
    """An installed program: its name, where it is, the question that shows whether it is usable,
    and the variables that it may know.
    """

    name: str
    path: str
    probe: tuple[str, ...]
    variables: tuple[str, ...]

    def usable(self) -> bool:
        """Whether it answers within two seconds: a docker without its daemon does not."""
        return process.run([self.path, *self.probe], "/", self.environment(), PROBE_S).code == 0

    def environment(self, **more: str) -> dict[str, str]:
        """What its process may know."""
        known = {
            name: os.environ[name] for name in (*self.variables, *PROXIES) if name in os.environ
        }
        return process.child_environment(**known, **more)


def engine(name: str) -> Engine | None:
    """The engine of this name if it is installed, None if it is not."""
    probes = {
        "docker": ("version", "--format", "{{.Server.Version}}"),
        "podman": ("info",),
        "buildah": ("info",),
    }
    path = process.which(name)
    return (
        Engine(name, path, probes[name], DOCKER if name == "docker" else CONTAINERS)
        if path
        else None
    )


class Docker:
    """Builds with `docker buildx` where it is there, else with `docker build` and `docker push`."""

    name = "docker"

    def __init__(self, found: Engine) -> None:
        self._engine = found

    def build_and_push(
        self, recipe: Recipe, registry: RegistryAddress, tag: str, log: BuildLog
    ) -> Pushed:
        """Build and push. Raises ProgramFailed, TagTaken if the tag is taken, and what `log.check`
        raises.
        """
        _Tag(registry, tag, log).refuse_taken()
        with tempfile.TemporaryDirectory(prefix="toolkit-docker-") as folder:
            config = self._config(folder, _server(registry))
            runner = _Runner(
                self._engine,
                self._engine.environment(DOCKER_CONFIG=config, BUILDX_NO_DEFAULT_ATTESTATIONS="1"),
                log,
            )
            log.phase("signing in")
            runner.run(
                "login",
                "--username",
                registry.user,
                "--password-stdin",
                _server(registry),
                given=registry.password.reveal(),
            )
            image = f"{_server(registry)}/{registry.repository}:{tag}"
            build = self._buildx if self._has_buildx(runner.env) else self._build
            digest = build(runner, recipe, image, folder, _Tag(registry, tag, log))
        return _checked(self.name, registry, tag, digest, log)

    def alike(self, registry: RegistryAddress, digest: str, recipe: Recipe) -> bool:
        """By its labels."""
        return _alike(registry, digest, recipe)

    def _has_buildx(self, env: Mapping[str, str]) -> bool:
        return process.run([self._engine.path, "buildx", "version"], "/", env, PROBE_S).code == 0

    def _buildx(
        self, runner: "_Runner", recipe: Recipe, image: str, folder: str, tag: "_Tag"
    ) -> str:
        told = os.path.join(folder, "metadata.json")
        runner.log.phase("building and pushing")
        options = ["--push", "--progress=plain", "--metadata-file", told, "--tag", image]
        with tag.being_pushed():
            runner.run(
                "buildx",
                "build",
                *options,
                *_options(recipe),
                os.path.join(recipe.root, recipe.context),
            )
        document = _json(told)
        return _digest(
            self.name,
            str(document.get("containerimage.digest", "")) if isinstance(document, dict) else "",
        )

    def _build(
        self, runner: "_Runner", recipe: Recipe, image: str, folder: str, tag: "_Tag"
    ) -> str:
        runner.log.phase("building")
        runner.run(
            "build", "--tag", image, *_options(recipe), os.path.join(recipe.root, recipe.context)
        )
        tag.refuse_taken()  # a build takes its time
        runner.log.phase("pushing")
        with tag.being_pushed():
            runner.run("push", image)
        asked = [self._engine.path, "image", "inspect", "--format", "{{json .RepoDigests}}", image]
        said = process.run(asked, "/", runner.env, 30).out.decode("utf-8", "replace")
        repository = image.rpartition(":")[0]
        return _digest(
            self.name,
            next(
                (one for one in re.findall(r'"([^"]+)"', said) if one.startswith(f"{repository}@")),
                "",
            ),
        )

    def _config(self, folder: str, server: str) -> str:
        """A configuration of our own, so that the password is in no file that stays. What the
        person has set for their engine counts.
        """
        own = os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")
        made = os.path.join(folder, "config")
        os.mkdir(made, 0o700)
        found = _json(os.path.join(own, "config.json"))
        kept: dict[str, Any] = (
            {key: found[key] for key in _KEPT_CONFIG if key in found}
            if isinstance(found, dict)
            else {}
        )
        kept["credHelpers"] = {
            **(kept.get("credHelpers") or {}),
            server: "",
        }  # docker then keeps this login in our file
        with open(
            os.open(os.path.join(made, "config.json"), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600),
            "w",
        ) as file:
            json.dump(kept, file)
        for name in _KEPT_FOLDERS:
            if os.path.isdir(os.path.join(own, name)):
                os.symlink(os.path.abspath(os.path.join(own, name)), os.path.join(made, name))
        return made


class PodmanEngine:
    """Podman and buildah, whose commands are the same."""

    def __init__(self, found: Engine) -> None:
        self.name = found.name
        self._engine = found

    def build_and_push(
        self, recipe: Recipe, registry: RegistryAddress, tag: str, log: BuildLog
    ) -> Pushed:
        """Build and push. Raises ProgramFailed, TagTaken if the tag is taken, and what `log.check`
        raises.
        """
        theirs = _Tag(registry, tag, log)
        theirs.refuse_taken()
        image = f"{_server(registry)}/{registry.repository}:{tag}"
        insecure = ["--tls-verify=false"] if urlsplit(registry.address).scheme == "http" else []
        with tempfile.TemporaryDirectory(prefix="toolkit-podman-") as folder:
            runner = _Runner(self._engine, self._engine.environment(), log)
            log.phase("building")
            runner.run(
                "build",
                "--tag",
                image,
                *_options(recipe),
                os.path.join(recipe.root, recipe.context),
            )
            login = {**runner.env, "REGISTRY_AUTH_FILE": os.path.join(folder, "auth.json")}
            runner = _Runner(self._engine, login, log)
            log.phase("signing in")
            words = [
                "login",
                *insecure,
                "--username",
                registry.user,
                "--password-stdin",
                _server(registry),
            ]
            runner.run(*words, given=registry.password.reveal())
            theirs.refuse_taken()  # a build takes its time
            log.phase("pushing")
            told = os.path.join(folder, "digest")
            with theirs.being_pushed():
                runner.run("push", *insecure, "--digestfile", told, image, f"docker://{image}")
            digest = _digest(self.name, _text(told))
        return _checked(self.name, registry, tag, digest, log)

    def alike(self, registry: RegistryAddress, digest: str, recipe: Recipe) -> bool:
        """By its labels."""
        return _alike(registry, digest, recipe)


class _Runner:
    """Runs one engine's commands and tells what they say."""

    def __init__(self, found: Engine, env: Mapping[str, str], log: BuildLog) -> None:
        self._engine, self.env, self.log = found, env, log

    def run(self, *words: str, given: str | None = None) -> None:
        """Run a command to its end. Raises ProgramFailed with its last words, and what `check`
        raises, after it has ended the program.
        """
        said: list[str] = []
        try:
            talking = process.LineProgram(
                [self._engine.path, *words],
                "/",
                self.env,
                None if given is None else given.encode(),
            )
        except OSError as error:
            raise ProgramFailed(
                program=self._engine.name, reason=error.strerror or str(error)
            ) from None
        lines = talking.lines()
        try:
            for line in lines:
                self.log.check()
                if line is not None and (text := line.decode("utf-8", "replace").rstrip()):
                    said = [*said[-200:], text]
                    self.log.log(text)
        finally:
            _close(lines)
        if talking.code != 0:
            raise ProgramFailed(
                program=f"{self._engine.name} {words[0]}", reason=reason(said, talking.code)
            )


def _close(lines: Iterator[bytes | None]) -> None:
    getattr(lines, "close", lambda: None)()


def reason(said: Sequence[str], code: int | None) -> str:
    """The last line of a failed program that tells why; its exit code if it said nothing. Pure."""
    told = [line.strip() for line in said if re.search(r"\w", line)]
    why = next(
        (line for line in reversed(told) if _ERROR.match(line)),
        told[-1] if told else f"exit code {code}",
    )
    return why[:_LONGEST_REASON]


def _options(recipe: Recipe) -> list[str]:
    """What all engines understand. Raises Refused or FileProblem for what is not the repository's:
    an engine follows every link.
    """
    context_folder(recipe)
    dockerignore_text(recipe)
    wanted = declared(parse(dockerfile_text(recipe)))
    options = ["--file", os.path.join(recipe.root, recipe.dockerfile)]
    options += ["--platform", recipe.platform] if recipe.platform else []
    options += ["--target", recipe.target] if recipe.target else []
    for name, value in sorted(recipe.args.items()):
        options += ["--build-arg", f"{name}={value}"] if name in wanted else []
    for name, value in sorted(recipe.labels.items()):
        options += ["--label", f"{name}={value}"]
    return options


def _server(registry: RegistryAddress) -> str:
    """What the engine has to call the registry: the host of image names, unless that is not where
    it is.
    """
    return urlsplit(registry.address).netloc or registry.host


def _alike(registry: RegistryAddress, digest: str, recipe: Recipe) -> bool:
    """Whether the labels of an image say that it was built from the very same: from the same
    commit, in the same way. Equal files do not give an engine equal digests, so nothing else can be
    compared.
    """
    client = connected(registry, lambda: None)
    try:
        labels = described(client, registry.repository, digest)["labels"]
    except (Missing, Refused, RegistryError):  # what cannot be read is not known to be equal
        return False
    finally:
        client.close()
    return (
        isinstance(labels, dict)
        and bool(recipe.labels)
        and all(labels.get(name) == value for name, value in recipe.labels.items())
    )


class _Tag:
    """A tag that an image is about to get. An engine gives another digest each time, so one that is
    there cannot be pushed again.
    """

    def __init__(self, registry: RegistryAddress, tag: str, log: BuildLog) -> None:
        self._registry, self._tag, self._log = registry, tag, log

    def refuse_taken(self) -> None:
        """Raises TagTaken if an image has it."""
        client = connected(self._registry, self._log.check)
        try:
            if client.digest(self._registry.repository, self._tag) is not None:
                raise TagTaken(
                    "an image has this tag already, and a build would put another one in its place",
                    "deploy that image with --no-build --image TAG, or commit and deploy again",
                )
        finally:
            client.close()

    @contextmanager
    def being_pushed(self) -> Iterator[None]:
        """A push that is turned away since somebody else was faster says so: engines only repeat
        the registry's words.
        """
        try:
            yield
        except ProgramFailed:
            self.refuse_taken()
            raise


def _checked(
    program: str, registry: RegistryAddress, tag: str, digest: str, log: BuildLog
) -> Pushed:
    """Ask the registry itself what it has."""
    log.phase("checking the registry")
    client = connected(registry, log.check)
    try:
        found = client.digest(registry.repository, tag)
    finally:
        client.close()
    if found != digest:
        raise TagTaken(
            f"{program} says that it pushed {digest}, but the registry has {found or 'nothing'}"
            " under this tag",
            "push it again",
        )
    log.log(f"pushed {digest}")
    return pushed(registry, digest)


def _digest(program: str, words: str) -> str:
    found = _DIGEST.search(words)
    if not found:
        raise ProgramFailed(program=program, reason="it does not say which digest it has pushed")
    return found[0]


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(1 << 20)
    except (OSError, UnicodeDecodeError):
        return ""


def _json(path: str) -> Any:
    try:
        return json.loads(_text(path))
    except ValueError:
        return None
