"""A podman of the tests' own: its images and containers are in a folder that goes away."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolkit.ports import process

_CONTAINERS = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
cgroupns = "host"
[engine]
runtime = "{runtime}"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
_STORAGE = """\
[storage]
driver = "vfs"
runroot = "{folder}/run"
graphroot = "{folder}/images"
"""


class Podman:
    """Podman, and a static program to build images of."""

    def __init__(self, path: str, busybox: str, folder: Path) -> None:
        self._path, self.busybox = path, busybox
        runtime = "runc" if shutil.which("runc") else "crun"
        (folder / "containers.conf").write_text(_CONTAINERS.format(runtime=runtime))
        (folder / "storage.conf").write_text(_STORAGE.format(folder=folder))
        self.environment = {
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        }

    def __call__(self, *words: str) -> str:
        """What a command writes."""
        done = subprocess.run(
            [self._path, *words],
            env={**os.environ, **self.environment},
            capture_output=True,
            check=True,
            timeout=60,
        )
        return done.stdout.decode().strip()

    def containers(self, *words: str) -> list[str]:
        """The ids of all containers."""
        return self("ps", "--all", "--quiet", *words).split()


@pytest.fixture
def podman(tmp_path: Path) -> Iterator[Podman]:
    """Skips the test where it is not installed."""
    path, busybox = process.which("podman"), process.which("busybox")
    if path is None or busybox is None:
        pytest.skip("podman or busybox is not here")
    folder = tmp_path / "podman"
    folder.mkdir()
    podman = Podman(path, busybox, folder)
    yield podman
    for container in podman.containers():
        podman("kill", container)
        podman("rm", "--force", container)
    podman("rmi", "--all", "--force")
    shutil.rmtree(folder, ignore_errors=True)
