"""A container engine without containers: it really runs an image's program, as a process with the
image's files, environment and folder.

Nothing is isolated; it is for a person's own images. It runs in the emulator's process, so it uses
the standard library only. The names are those of the `docker` package, as far as the emulator uses
them.
"""

import os
import re
import shutil
import signal
import sys
import sysconfig
import tempfile
import time
import uuid
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from threading import Event, Lock, Thread
from typing import Any, NamedTuple

from toolkit.sandbox import layers

PULL_S, START_S = 0.1, 0.15
"""How long a pull and a start take at least, so that their states can be seen."""

SLOWEST_S, LONG_S = 20.0, 10.0
"""The longest pause before a crashing program is started again, and after how long a program no
longer counts as crashing.
"""

DRAIN_S = 3.0
"""How long a stop waits at most until the requests have ended that a task has."""

CHUNK = 1 << 20
SHELL = "/bin/sh"

OWN = ("python", "python3", "node", "sh")
"""Programs that are taken from this machine: the bases of the sandbox are stubs without any."""

_GUARD = """
cd -- "$1" || exit 127
shift
"$@" 3<&- & program=$!
trap 'kill -TERM $program 2>/dev/null' TERM
(trap '' TERM; read -r nothing <&3; kill -KILL 0) & guard=$!
while wait $program; code=$?; kill -0 $program 2>/dev/null; do :; done
kill -KILL $guard
exit $code
"""
"""Runs the program, and ends with everything in its group when the pipe at 3 is closed: when the
emulator is gone, however it went.
"""


class DockerException(Exception):
    """What went wrong, in the engine's words."""


class APIError(DockerException):
    """The engine refused."""


class NotFound(APIError):
    """There is no such thing."""


class ImageNotFound(NotFound):
    """There is no such image."""


class StoredImage(NamedTuple):
    """An image of the store: its manifest's digest, the `config` part of its configuration, and its
    layers.
    """

    id: str
    config: Mapping[str, Any]
    layers: Sequence[bytes]

    def tag(self, *_: Any, **__: Any) -> bool:
        """It has all tags that the store knows."""
        return True


class ImageList:
    """The images that there are. `find` raises ImageNotFound."""

    def __init__(self, find: Callable[[str], StoredImage]) -> None:
        self.get = find

    def pull(self, name: str, **_: Any) -> StoredImage:
        """The image. Raises ImageNotFound."""
        time.sleep(PULL_S)
        return self.get(name)

    def get_registry_data(self, name: str, **_: Any) -> StoredImage:
        """The image, whose id is the manifest's digest. Raises ImageNotFound."""
        return self.get(name)


class ContainerList:
    """What was started and not yet removed. `network` is the part of the loopback that its tasks
    get addresses of, `secret` what they sign their own calls of AWS with.
    """

    def __init__(self, find: Callable[[str], StoredImage], network: str, secret: str = "") -> None:
        self._find, self._network, self.secret = find, network, secret
        self._containers: dict[str, Container] = {}
        self._crashes: dict[str, int] = {}
        self._lock = Lock()
        self.lifeline = os.pipe()[0]
        self._asked: Counter[str] = Counter()
        """How many requests a load balancer has open with each address."""
        self._draining: set[str] = set()

    def list(self, **_: Any) -> Sequence["Container"]:
        """All of them."""
        with self._lock:
            return [*self._containers.values()]

    def get(self, name: str) -> "Container":
        """One by its id. Raises NotFound."""
        with self._lock:
            if name in self._containers:
                return self._containers[name]
        raise NotFound(f"no such container: {name}")

    def run(self, image_name: str, **options: Any) -> "Container":
        """Start a program. Raises ImageNotFound, APIError."""
        image = self._find(image_name)
        container = Container(image, options, self)
        time.sleep(START_S + self.pause(container.what))
        with self._lock:
            container.set_address(self._address())
            self._containers[container.id] = container
        try:
            container.start()
        except APIError:
            container.remove()
            raise
        return container

    def ended(self, container: "Container") -> None:
        """Note that a program has ended. If it crashed at once, its next start is delayed."""
        crashed = (
            container.code != 0
            and not container.stopped
            and time.monotonic() - container.since < LONG_S
        )
        self._crashes[container.what] = self._crashes.get(container.what, 0) + 1 if crashed else 0

    @contextmanager
    def asking(self, address: str) -> Iterator[None]:
        """A load balancer has a request open with a task."""
        with self._lock:
            self._asked[address] += 1
        try:
            yield
        finally:
            with self._lock:
                self._asked[address] -= 1

    def is_draining(self, address: str) -> bool:
        """Whether a task is about to be stopped, and gets no more requests."""
        return address in self._draining

    def drain(self, container: "Container") -> None:
        """Let the requests end that a task has, before it is stopped."""
        self._draining.add(container.address)
        until = time.monotonic() + DRAIN_S
        while self._asked[container.address] and time.monotonic() < until:
            time.sleep(0.01)

    def forget(self, container: "Container") -> None:
        """It was removed."""
        with self._lock:
            self._draining.discard(container.address)
            self._containers.pop(container.id, None)

    def pause(self, what: str) -> float:
        """A service keeps starting what crashes: slower and slower, as ECS does."""
        crashes = self._crashes.get(what, 0)
        return 0.0 if crashes < 4 else min(0.25 * 2.0 ** (crashes - 4), SLOWEST_S)

    def _address(self) -> str:
        """A loopback address that no other task has: several may use the same port. The lock is
        held.
        """
        if not sys.platform.startswith("linux"):
            return "127.0.0.1"  # elsewhere only this one is there
        taken = {container.address for container in self._containers.values()}
        free = (f"{self._network}.{last}" for last in range(2, 255))
        return next(address for address in free if address not in taken)


class EngineClient:
    """What the emulator takes for a connection to an engine."""

    def __init__(self, find: Callable[[str], StoredImage], network: str, secret: str = "") -> None:
        self.images, self.containers = ImageList(find), ContainerList(find, network, secret)

    def ping(self) -> bool:
        """It is there."""
        return True


class Container:
    """A program that runs, or has run."""

    def __init__(
        self, image: StoredImage, options: Mapping[str, Any], owner: ContainerList
    ) -> None:
        self.id = uuid.uuid4().hex * 2
        self.name, self.labels = str(options.get("name", "")), options.get("labels") or {}
        self.what = f"{image.id} {self.labels.get('com.amazonaws.ecs.task-definition-family')}"
        self.attrs: dict[str, Any] = {"State": {}, "Labels": self.labels}
        self.address = ""
        self.code: int | None = None
        self.stopped, self.since = False, time.monotonic()
        self._image, self._options, self._owner = image, options, owner
        self._folder = tempfile.mkdtemp(prefix="task-")
        self._log = os.open(
            os.path.join(self._folder, "log"),
            os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC,
            0o600,
        )
        weakref.finalize(self, os.close, self._log)  # as long as anybody may read it
        self._done = Event()
        self._pid = 0

    def set_address(self, address: str) -> None:
        """Give it an address."""
        self.address = address
        self.attrs["NetworkSettings"] = {"Networks": {"sandbox": {"IPAddress": address}}}

    def start(self) -> None:
        """Unpack the image and start its program. Raises APIError."""
        root = os.path.join(self._folder, "root")
        os.mkdir(root)
        try:
            layers.unpack(self._image.layers, root)
            argv, folder, env = command(
                self._image.config,
                with_access_key(self._options, self._owner.secret),
                root,
                self.address,
            )
            os.makedirs(folder, exist_ok=True)
        except (layers.BadLayer, OSError) as problem:
            raise APIError(f"failed to register layer: {problem}") from None
        self.since = time.monotonic()
        self._pid = os.posix_spawn(
            SHELL,
            [SHELL, "-c", _GUARD, SHELL, folder, *argv],
            env,
            setsid=True,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, self._log, 1),
                (os.POSIX_SPAWN_DUP2, self._log, 2),
                (os.POSIX_SPAWN_DUP2, self._owner.lifeline, 3),
            ],
        )
        Thread(target=self._collect, daemon=True).start()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return not self._done.is_set()

    @property
    def status(self) -> str:
        """The same in Docker's words: `running` or `exited`."""
        return "running" if self.is_running else "exited"

    def reload(self) -> None:
        """It is never out of date."""

    def wait(self, **_: Any) -> dict[str, int | None]:
        """Its exit code, when it has ended."""
        self._done.wait()
        return {"StatusCode": self.code}

    def logs(self, stream: bool = False, tail: int | None = None, **_: Any) -> Any:
        """All that it wrote: at once, the last lines, or as it comes."""
        if stream:
            return self._follow()
        lines = self._written(0).splitlines(keepends=True)
        return b"".join(lines if tail is None else lines[-tail:])

    def _follow(self) -> Iterator[bytes]:
        """Whole lines, until the program has ended and everything is read."""
        position, rest = 0, b""
        while True:
            ended = self._done.is_set()
            new = self._written(position)
            position += len(new)
            lines = (rest + new).splitlines(keepends=True)
            rest = b""
            if lines and not lines[-1].endswith(b"\n") and not ended:
                rest = lines.pop()  # the rest of this line comes later
            yield from lines
            if ended:
                return
            self._done.wait(0.05)

    def _written(self, start: int) -> bytes:
        """The log from `start` on. It is read by its descriptor, since the file may be removed by
        now.
        """
        content = bytearray()
        while chunk := os.pread(self._log, CHUNK, start + len(content)):
            content += chunk
        return bytes(content)

    def stop(self, timeout: float = 10, **_: Any) -> None:
        """Ask the program to end, and end it after `timeout` seconds."""
        self.stopped = True
        if self._pid and not self._done.is_set():
            self._owner.drain(self)
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGTERM)
        if self._pid and not self._done.wait(timeout):
            self.kill()

    def kill(self, **_: Any) -> None:
        """End the program and all that it started."""
        self.stopped = True
        if self._pid and not self._done.is_set():
            with suppress(ProcessLookupError):  # it has just ended
                os.killpg(self._pid, signal.SIGKILL)
            self._done.wait()

    def remove(self, **_: Any) -> None:
        """Forget it, with its files."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._owner.forget(self)

    def _collect(self) -> None:
        """Wait for the end. Until it is collected the process group's id is ours, so no other group
        can be killed.
        """
        # WNOWAIT leaves it uncollected, so that its group's id stays ours until the group is
        # killed.
        os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)
        with suppress(
            ProcessLookupError, PermissionError
        ):  # nothing else is left in it; macOS says EPERM then
            os.killpg(self._pid, signal.SIGKILL)
        _, status = os.waitpid(self._pid, 0)
        code = os.waitstatus_to_exitcode(status)
        self.code = code if code >= 0 else 128 - code
        self._owner.ended(self)
        self._done.set()


def with_access_key(options: Mapping[str, Any], secret: str) -> Mapping[str, Any]:
    """A task's options with an access key of its account. The emulator would have the task ask for
    one, and get one that our guard does not know.
    """
    environment = dict(options.get("environment") or {})
    labels = options.get("labels") or {}
    arn = str(labels.get("com.amazonaws.ecs.task-arn", "")).split(":")
    if len(arn) < 5 or "AWS_CONTAINER_CREDENTIALS_FULL_URI" not in environment:
        return options
    for name in ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"):
        environment.pop(name, None)
    key = {"AWS_ACCESS_KEY_ID": arn[4], "AWS_SECRET_ACCESS_KEY": secret}
    return {**options, "environment": {**key, **environment}}


def command(
    config: Mapping[str, Any], options: Mapping[str, Any], root: str, address: str
) -> tuple[list[str], str, dict[str, str]]:
    """What to run: arguments, folder and environment, with the image's own paths below `root`.
    Raises APIError.
    """
    image_env = dict(entry.partition("=")[::2] for entry in config.get("Env") or ())
    words = [
        *(config.get("Entrypoint") or ()),
        *(options.get("command") or config.get("Cmd") or ()),
    ]
    if not words:
        raise APIError("no command specified")
    inside = os.path.normpath("/" + (config.get("WorkingDir") or "")).lstrip("/")
    program = _program(words[0], image_env.get("PATH", "/usr/local/bin:/usr/bin:/bin"), root)
    arguments = [_path_in_image(word, root) for word in words[1:]]
    env = _environment(image_env, options.get("environment") or {}, root, address)
    return [program, *arguments], os.path.join(root, inside), env


def _environment(
    image_env: Mapping[str, str], task_env: Mapping[str, Any], root: str, address: str
) -> dict[str, str]:
    """The variables of a program: the image's, over them the task's, and what this machine needs
    to be different.
    """
    variables = dict(image_env)
    for name, value in task_env.items():
        variables[str(name)] = str(value).replace("host.docker.internal", "127.0.0.1")
    for name, value in variables.items():
        parts = [_path_in_image(part, root) for part in value.split(os.pathsep)]
        variables[name] = os.pathsep.join(parts)
    if "HOST" in variables:
        variables["HOST"] = address
    path = os.pathsep.join((os.path.dirname(python()), os.environ.get("PATH", os.defpath)))
    return {**variables, "PATH": path, "HOME": root, "HOSTNAME": address}


def _program(name: str, path: str, root: str) -> str:
    """The image's own program, or this machine's for those that every base has. Raises APIError."""
    base = os.path.basename(name)
    plain = re.sub(r"^python3\.\d+$", "python3", base)
    if plain in OWN:
        program = python() if plain.startswith("python") else shutil.which(plain)
        if program:
            return program
    candidates = [name]
    if "/" not in name:
        candidates = [f"{folder}/{name}" for folder in path.split(":")]
    for candidate in candidates:
        inside = _path_in_image(candidate, root)
        if inside != candidate and os.access(inside, os.X_OK):
            return inside
    raise APIError(f'exec: "{name}": executable file not found in $PATH')


def python() -> str:
    """The Python that the emulator's environment was made with: without that environment's
    packages.
    """
    version = sysconfig.get_python_version()
    for name in (f"python{version}", "python3", "python"):
        program = os.path.join(sys.base_prefix, "bin", name)
        if os.access(program, os.X_OK):
            return program
    return sys.executable


def _path_in_image(path: str, root: str) -> str:
    """The path on this machine of an absolute path that the image has; anything else unchanged."""
    inside = os.path.join(root, path.lstrip("/"))
    return inside if path.startswith("/") and os.path.exists(inside) else path
