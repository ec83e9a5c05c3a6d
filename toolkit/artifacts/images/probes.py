"""Which of docker, podman and buildah are installed and work."""

import os

from msgspec import Struct

from toolkit.ports import process

PROBE_S = 2.0
NAMED_S = 20.0
"""How long an engine may take to answer that somebody has named: no other takes its place."""
PROBES = {
    "docker": ("version", "--format", "{{.Server.Version}}"),
    "podman": ("info",),
    "buildah": ("info",),
}
"""What each engine is asked to find out whether it works."""
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


class Engine(Struct, frozen=True):
    """An installed program: its name, its path, the arguments that probe whether it is usable, and
    the environment variables that it gets.
    """

    name: str
    path: str
    probe: tuple[str, ...]
    variables: tuple[str, ...]

    def usable(self, patience_s: float = PROBE_S) -> bool:
        """Whether it answers in this time: a docker without its daemon does not."""
        return process.run([self.path, *self.probe], "/", self.environment(), patience_s).code == 0

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of its process."""
        passed = {
            name: os.environ[name] for name in (*self.variables, *PROXIES) if name in os.environ
        }
        return process.child_environment(**passed, **more)


def engine(name: str) -> Engine | None:
    """The engine of this name if it is installed, None if it is not."""
    path = process.which(name)
    if not path:
        return None
    return Engine(name, path, PROBES[name], DOCKER if name == "docker" else CONTAINERS)
