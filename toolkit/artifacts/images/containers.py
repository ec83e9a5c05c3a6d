"""Runs an image that was just built on this machine, before it is pushed: its container has to
answer, or to end well. No container stays behind: one whose toolkit was killed is removed by the
next test.
"""

import os
import re
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from secrets import token_hex
from time import monotonic
from urllib.parse import urlsplit

import msgspec

from toolkit.artifacts.images.probes import PROBE_S, Engine, engine
from toolkit.artifacts.images.types import BuildLog, ImageTest
from toolkit.errors import ProbeError, ProgramFailed, Refused
from toolkit.formats.redaction import hidden_parts, without
from toolkit.ports import causes, process
from toolkit.ports.commands import LAST, SHORTEST, required_variables
from toolkit.ports.net import http
from toolkit.ports.net.policy import Policy
from toolkit.ports.processes import Process, current_process, is_running

RUNNERS = ("docker", "podman")
"""The engines that run containers."""
NAME = "toolkit.container-test"
"""The label of a container that is tested: its name."""
OWNER = "toolkit.process"
"""The label that says which process tests it."""
ASK_S = 2.0
"""How long one request may take."""
PAUSE_S = 0.3
"""How long after one request the next is sent."""
PATIENCE_S = 20.0
"""How long one command of the engine may take."""
_FIX = "fix what it reports, or skip the test with --fast"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def check_engine(test: ImageTest, builder_name: str) -> None:
    """Check that the builder can run the container here, too. Raises Refused."""
    installed = engine(builder_name) if builder_name in RUNNERS else None
    if installed is None:
        raise Refused(
            f"the container test needs docker or podman, but {builder_name} would build the image",
            "install podman or docker, or skip the test with --fast",
        )
    host = _remote_host(installed)
    required_variables("the container test", test.pass_env)
    if test.port is not None and host:
        raise Refused(
            f"the container test asks the container on this machine, but {builder_name} would run "
            f"it on {host}",
            "use an engine on this machine, or skip the test with --fast",
        )


def _remote_host(installed: Engine) -> str:
    """The machine that runs an engine's containers; empty if it is this one."""
    environment = installed.environment()
    address = environment.get("CONTAINER_HOST", "")
    if installed.name == "docker":
        words = ["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
        answer = process.run([installed.path, *words], "/", environment, PROBE_S)
        address = answer.out.decode("utf-8", "replace").strip()
        if answer.code != 0:  # too old for contexts
            address = environment.get("DOCKER_HOST", "")
    with suppress(ValueError):
        host = urlsplit(address).hostname or ""
        return "" if host in _LOOPBACK else host
    return address


def test_image(
    installed: Engine, env: Mapping[str, str], image: str, test: ImageTest, log: BuildLog
) -> None:
    """Start a container of the image (its id) and wait until it has passed. It is gone afterwards.

    Raises ProgramFailed with the cause if it does not pass, and what `log.check` raises.
    """
    log.phase("testing the container")
    commands = _Commands(installed, env)
    commands.remove_abandoned(log)
    _Test(commands, image, test, log).carry_out()


class _Commands:
    """The short commands of an engine."""

    def __init__(self, installed: Engine, env: Mapping[str, str]) -> None:
        self.engine, self.env = installed, env

    def answer(self, *words: str) -> str | None:
        """What a command writes, None if it fails."""
        done = process.run([self.engine.path, *words], "/", self.env, PATIENCE_S)
        return done.out.decode("utf-8", "replace").strip() if done.code == 0 else None

    def containers(self, name: str | None = None) -> list[str] | None:
        """The ids of the tested container of this name, or of all that are tested; None if they
        cannot be listed.
        """
        label = NAME if name is None else f"{NAME}={name}"
        listed = self.answer("ps", "--all", "--quiet", "--filter", f"label={label}")
        return None if listed is None else listed.split()

    def remove(self, container: str) -> None:
        """Remove a container, whatever it does."""
        self.answer("kill", container)  # `rm --force` of podman asks it to end, and waits
        self.answer("rm", "--force", "--volumes", container)

    def remove_abandoned(self, log: BuildLog) -> None:
        """Remove the containers whose toolkit was killed."""
        for container in self.containers() or ():
            label = f'{{{{index .Config.Labels "{OWNER}"}}}}'
            owner = self.answer("inspect", "--format", label, container)
            with suppress(msgspec.DecodeError):
                if is_running(msgspec.json.decode(owner or "", type=Process)) is False:
                    log.log(f"removing container {container}, whose test was killed")
                    self.remove(container)


class _Test:
    """The test of one container."""

    def __init__(self, commands: _Commands, image: str, test: ImageTest, log: BuildLog) -> None:
        self._commands, self._image, self._test, self._log = commands, image, test, log
        self._name = f"toolkit-test-{token_hex(8)}"
        self._passed_on = {name: os.environ[name] for name in test.pass_env if name in os.environ}
        self._hidden: dict[str, str] = {}
        for name, value in self._passed_on.items():
            self._hidden |= dict.fromkeys(hidden_parts(value, SHORTEST), f"{{{name}}}")
        self._last = deque[str](maxlen=LAST)
        self._problem = "it did not start"
        self._address = ""

    def carry_out(self) -> None:
        """Start it, wait, and remove it in any case. Raises ProgramFailed."""
        self._tell_processor()
        engine = self._commands.engine
        try:
            # its attached client: what it writes and its exit code are the container's
            program = process.LineProgram(
                [engine.path, *self._run_words()], "/", {**self._passed_on, **self._commands.env}
            )
        except OSError as error:
            raise ProgramFailed(program=engine.name, reason=error.strerror or str(error)) from None
        try:
            with closing(program.lines()) as lines:  # type: ignore[type-var]
                try:
                    if self._is_answered(lines):
                        return
                finally:
                    self._remove()  # which ends the client, too
        finally:
            self._remove()  # a client that was ended may just have created it
        self._refuse_bad_end(program.code)

    def _run_words(self) -> list[str]:
        test = self._test
        owner = msgspec.json.encode(current_process()).decode()
        words = ["run", "--rm", "--pull=never", "--name", self._name]
        words += ["--label", f"{NAME}={self._name}", "--label", f"{OWNER}={owner}"]
        if test.port is not None:
            words += ["--publish", f"127.0.0.1::{test.port}"]
        for name, value in test.env.items():
            words += ["--env", f"{name}={value}"]
        for name in self._passed_on:
            words += ["--env", name]
        if not test.command:
            return [*words, self._image]
        program, *arguments = test.command
        return [*words, "--entrypoint", program, self._image, *arguments]

    def _tell_processor(self) -> None:
        """Say where the container needs emulation, which may be slow, or not be there."""
        platform = self._commands.answer(
            "image", "inspect", "--format", "{{.Os}}/{{.Architecture}}", self._image
        )
        machine = os.uname().machine
        if platform and platform.rpartition("/")[2] != _MACHINES.get(machine, machine):
            self._log.log(
                f"the image is for {platform}, and this machine is {machine}: its container runs "
                "only where the engine emulates that"
            )

    def _is_answered(self, lines: Iterator[bytes | None]) -> bool:
        """Whether it has answered as it should; False where it has ended before. Raises
        ProgramFailed at the deadline.
        """
        began = monotonic()
        ask_at = began
        for line in lines:
            if line is not None:
                text = without(line.decode("utf-8", "replace").rstrip(), self._hidden)
                self._last.append(text)
                self._log.log(text)
            self._log.check()
            if self._test.port is not None and monotonic() >= ask_at:
                if self._answers():
                    took_s = monotonic() - began
                    self._log.log(f"the container answered {self._subject()} in {took_s:.1f} s")
                    return True
                ask_at = monotonic() + PAUSE_S
            if monotonic() - began >= self._test.deadline_s:
                raise self._late()
        return False

    def _subject(self) -> str:
        return f"GET {self._test.path} at port {self._test.port} with status {self._test.status}"

    def _late(self) -> ProgramFailed:
        within = f"within {self._test.deadline_s} s"
        if self._test.port is None:
            return self._failed(f"the container did not end {within}")
        reason = f"the container did not answer {self._subject()} {within}: {self._problem}"
        return ProgramFailed(_FIX, program="the container test", reason=reason)

    def _answers(self) -> bool:
        """Whether the address answers as it should; else `_problem` says how it does."""
        if not self._address:
            published = self._commands.answer("port", self._name, f"{self._test.port}/tcp")
            port = re.search(r":(\d+)\s*$", published or "")
            if port is None:
                return False
            self._address = f"http://127.0.0.1:{port[1]}{self._test.path}"
        policy = Policy(("127.0.0.1",), private=True)
        try:
            response = http.ask(http.HttpRequest("GET", self._address), policy, ASK_S, follow=False)
        except ProbeError as problem:
            self._problem = str(problem)
            return False
        self._problem = f"it answered {response.status}"
        return response.status == self._test.status

    def _refuse_bad_end(self, code: int | None) -> None:
        """Raises ProgramFailed where it has ended, and was not to, or not so."""
        if self._test.port is None and code == 0:
            self._log.log("the container ended with exit code 0")
            return
        reason = f"the container ended with exit code {code}"
        if self._test.port is not None:
            reason += f" before it answered {self._subject()}"
        raise self._failed(reason, code)

    def _failed(self, reason: str, code: int | None = None) -> ProgramFailed:
        """The failure, with the cause from what the container wrote."""
        if self._last:
            reason += f": {causes.cause(self._last, code)}"
        return ProgramFailed(_FIX, program="the container test", reason=reason)

    def _remove(self) -> None:
        """Remove the container. Where that fails, it is said how a person does it."""
        for _ in range(3):
            containers = self._commands.containers(self._name)
            if containers == []:
                return
            for container in containers or [self._name]:
                self._commands.remove(container)
        if self._commands.containers(self._name) != []:
            engine = self._commands.engine.name
            self._log.log(
                f"warning: container {self._name} could not be removed: "
                f"try `{engine} rm --force {self._name}`"
            )
