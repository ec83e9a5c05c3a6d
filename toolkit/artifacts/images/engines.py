"""Docker, podman and buildah: started with a login of their own and a few chosen environment
variables; Ctrl-C stops them.
"""

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from toolkit.artifacts.images.bases import same_labels
from toolkit.artifacts.images.builtin import context_folder, dockerfile_text, dockerignore_text
from toolkit.artifacts.images.containers import test_image
from toolkit.artifacts.images.probes import PROBE_S, Engine
from toolkit.artifacts.images.types import Builder, BuildLog, Pushed, Recipe, pushed
from toolkit.errors import ProgramFailed, TagTaken
from toolkit.formats.build_stages import declared
from toolkit.formats.dockerfile import parse
from toolkit.ports import process, usage
from toolkit.ports.registry import connected
from toolkit.ports.registry_address import RegistryAddress

_COPIED_SETTINGS = (
    "auths",
    "credsStore",
    "credHelpers",
    "currentContext",
    "cliPluginsExtraDirs",
    "proxies",
)
_LINKED_FOLDERS = ("contexts", "cli-plugins", "buildx")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ERROR = re.compile(r"(?:\S+ )?(?:error|failed|denied|cannot|fatal)\b", re.IGNORECASE)
_LONGEST_REASON = 300


def engine_builder(installed: Engine) -> Builder:
    """The builder that uses an engine."""
    return Docker(installed) if installed.name == "docker" else PodmanEngine(installed)


class Docker:
    """Builds with `docker buildx` where it is there, else with `docker build` and `docker push`."""

    name = "docker"

    def __init__(self, installed: Engine) -> None:
        self._engine = installed

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
                stdin=registry.password.reveal(),
            )
            # The daemon works and pushes, and its client waits for it.
            usage.exclude(f"what the daemon of {self.name} does and sends", sends=True)
            image = f"{_server(registry)}/{registry.repository}:{tag}"
            new_tag = _Tag(registry, tag, log)
            buildx = self._has_buildx(runner.env)
            if buildx and recipe.test is None:
                digest = self._buildx(runner, recipe, image, folder, new_tag)
            else:
                words = ["buildx", "build", "--load", "--progress=plain"] if buildx else ["build"]
                digest = self._build(runner, words, recipe, image, new_tag)
        return _checked(self.name, registry, tag, digest, log)

    def alike(self, registry: RegistryAddress, digest: str, recipe: Recipe) -> bool:
        """By its labels."""
        return same_labels(registry, digest, recipe)

    def _has_buildx(self, env: Mapping[str, str]) -> bool:
        return process.run([self._engine.path, "buildx", "version"], "/", env, PROBE_S).code == 0

    def _buildx(
        self, runner: "_Runner", recipe: Recipe, image: str, folder: str, tag: "_Tag"
    ) -> str:
        metadata = os.path.join(folder, "metadata.json")
        runner.log.phase("building and pushing")
        options = ["--push", "--progress=plain", "--metadata-file", metadata, "--tag", image]
        with tag.being_pushed():
            runner.run(
                "buildx",
                "build",
                *options,
                *_options(recipe),
                os.path.join(recipe.root, recipe.context),
            )
        document = _json(metadata)
        if not isinstance(document, dict):
            document = {}
        return _digest(self.name, str(document.get("containerimage.digest", "")))

    def _build(
        self, runner: "_Runner", words: Sequence[str], recipe: Recipe, image: str, tag: "_Tag"
    ) -> str:
        runner.log.phase("building")
        context = os.path.join(recipe.root, recipe.context)
        runner.run(*words, "--tag", image, *_options(recipe), context)
        built = image
        if recipe.test is not None:
            built = _digest(self.name, self._inspected(runner, "{{.Id}}", image), "built")
            test_image(self._engine, runner.env, built, recipe.test, runner.log)
            runner.run("tag", built, image)  # another build, not tested, may have taken it
        tag.refuse_taken()  # a build takes its time
        runner.log.phase("pushing")
        with tag.being_pushed():
            runner.run("push", image)
        output = self._inspected(runner, "{{json .RepoDigests}}", built)
        repository = image.rpartition(":")[0]
        # An image that was pushed elsewhere before has a digest for each of its repositories.
        for reference in re.findall(r'"([^"]+)"', output):
            if reference.startswith(f"{repository}@"):
                return _digest(self.name, reference)
        return _digest(self.name, "")

    def _inspected(self, runner: "_Runner", form: str, image: str) -> str:
        words = [self._engine.path, "image", "inspect", "--format", form, image]
        return process.run(words, "/", runner.env, 30).out.decode("utf-8", "replace")

    def _config(self, folder: str, server: str) -> str:
        """A configuration folder of our own with the person's settings, so that the password is in
        no file that stays.
        """
        personal = os.environ.get("DOCKER_CONFIG")
        personal = personal or os.path.join(os.path.expanduser("~"), ".docker")
        temporary = os.path.join(folder, "config")
        os.mkdir(temporary, 0o700)
        settings: dict[str, Any] = {}
        personal_settings = _json(os.path.join(personal, "config.json"))
        if isinstance(personal_settings, dict):
            for key in _COPIED_SETTINGS:
                if key in personal_settings:
                    settings[key] = personal_settings[key]
        # An empty helper for this registry: docker then stores the login in our file.
        settings["credHelpers"] = {**(settings.get("credHelpers") or {}), server: ""}
        path = os.path.join(temporary, "config.json")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as file:
            json.dump(settings, file)
        for name in _LINKED_FOLDERS:
            linked = os.path.join(personal, name)
            if os.path.isdir(linked):
                os.symlink(os.path.abspath(linked), os.path.join(temporary, name))
        return temporary


class PodmanEngine:
    """Podman and buildah, whose commands are the same."""

    def __init__(self, installed: Engine) -> None:
        self.name = installed.name
        self._engine = installed

    def build_and_push(
        self, recipe: Recipe, registry: RegistryAddress, tag: str, log: BuildLog
    ) -> Pushed:
        """Build and push. Raises ProgramFailed, TagTaken if the tag is taken, and what `log.check`
        raises.
        """
        new_tag = _Tag(registry, tag, log)
        new_tag.refuse_taken()
        image = f"{_server(registry)}/{registry.repository}:{tag}"
        usage.exclude(f"what {self.name} sends", sends=True)
        insecure = ["--tls-verify=false"] if urlsplit(registry.address).scheme == "http" else []
        with tempfile.TemporaryDirectory(prefix="toolkit-podman-") as folder:
            runner = _Runner(self._engine, self._engine.environment(), log)
            log.phase("building")
            context, built = os.path.join(recipe.root, recipe.context), image
            if recipe.test is None:
                runner.run("build", "--tag", image, *_options(recipe), context)
            else:
                file = os.path.join(folder, "id")
                runner.run("build", "--iidfile", file, "--tag", image, *_options(recipe), context)
                built = _digest(self.name, _text(file), "built")  # the tag may move
                test_image(self._engine, runner.env, built, recipe.test, log)
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
            runner.run(*words, stdin=registry.password.reveal())
            new_tag.refuse_taken()  # a build takes its time
            log.phase("pushing")
            file = os.path.join(folder, "digest")
            with new_tag.being_pushed():
                runner.run("push", *insecure, "--digestfile", file, built, f"docker://{image}")
            digest = _digest(self.name, _text(file))
        return _checked(self.name, registry, tag, digest, log)

    def alike(self, registry: RegistryAddress, digest: str, recipe: Recipe) -> bool:
        """By its labels."""
        return same_labels(registry, digest, recipe)


class _Runner:
    """Runs one engine's commands and logs their output."""

    def __init__(self, installed: Engine, env: Mapping[str, str], log: BuildLog) -> None:
        self._engine, self.env, self.log = installed, env, log

    def run(self, *words: str, stdin: str | None = None) -> None:
        """Run a command to its end. Raises ProgramFailed with the reason from its output, and what
        `check` raises, after the program has ended.
        """
        output: list[str] = []
        try:
            program = process.LineProgram(
                [self._engine.path, *words],
                "/",
                self.env,
                None if stdin is None else stdin.encode(),
            )
        except OSError as error:
            raise ProgramFailed(
                program=self._engine.name, reason=error.strerror or str(error)
            ) from None
        lines = program.lines()
        try:
            for line in lines:
                self.log.check()
                if line is not None and (text := line.decode("utf-8", "replace").rstrip()):
                    output = [*output[-200:], text]
                    self.log.log(text)
        finally:
            getattr(lines, "close", lambda: None)()
        if program.code != 0:
            raise ProgramFailed(
                program=f"{self._engine.name} {words[0]}", reason=reason(output, program.code)
            )


def reason(output: Sequence[str], code: int | None) -> str:
    """Why a program failed: its last line that looks like an error, else its last line, else its
    exit code. Pure.
    """
    lines = [line.strip() for line in output if re.search(r"\w", line)]
    for line in reversed(lines):
        if _ERROR.match(line):
            return line[:_LONGEST_REASON]
    return lines[-1][:_LONGEST_REASON] if lines else f"exit code {code}"


def _options(recipe: Recipe) -> list[str]:
    """The options that all engines understand. Raises Refused or FileProblem for files outside of
    the repository.
    """
    # An engine follows every link, so the three are read here first: that refuses foreign files.
    context_folder(recipe)
    dockerignore_text(recipe)
    arguments = declared(parse(dockerfile_text(recipe)))
    options = ["--file", os.path.join(recipe.root, recipe.dockerfile)]
    if recipe.platform:
        options += ["--platform", recipe.platform]
    if recipe.target:
        options += ["--target", recipe.target]
    for name, value in sorted(recipe.args.items()):
        if name in arguments:
            options += ["--build-arg", f"{name}={value}"]
    for name, value in sorted(recipe.labels.items()):
        options += ["--label", f"{name}={value}"]
    return options


def _server(registry: RegistryAddress) -> str:
    """The registry's host and port as the engine reaches it, which may differ from the host in
    image names.
    """
    return urlsplit(registry.address).netloc or registry.host


class _Tag:
    """A tag that an image is about to get. An engine makes another digest each time, so an existing
    tag cannot be pushed again.
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
                    "deploy that image by its tag, or commit and deploy again",
                )
        finally:
            client.close()

    @contextmanager
    def being_pushed(self) -> Iterator[None]:
        """Raises TagTaken where a push fails because somebody else was faster: engines only repeat
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
        in_registry = client.digest(registry.repository, tag)
    finally:
        client.close()
    if in_registry != digest:
        raise TagTaken(
            f"{program} says that it pushed {digest}, but the registry has"
            f" {in_registry or 'nothing'} under this tag",
            "push it again",
        )
    log.log(f"pushed {digest}")
    return pushed(registry, digest)


def _digest(program: str, words: str, done: str = "pushed") -> str:
    digest = _DIGEST.search(words)
    if not digest:
        raise ProgramFailed(program=program, reason=f"it does not say which digest it has {done}")
    return digest[0]


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
