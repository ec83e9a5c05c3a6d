"""The embedded AWS for tests: one process a test worker, emptied for every test that asks for
`cloud`.

toolkit works without the room `toolkit/sandbox`, and so do its tests: where that folder is missing,
and only there, those that need it are left out. They stand in tests/sandbox, ask for the emulator,
or have the mark `sandbox`. Outside of tests/sandbox this is the only file that imports the room.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.run import ROOT
from toolkit.operations import Location, Provision
from toolkit.ports.aws.client import Aws

ROOM = ROOT / "toolkit" / "sandbox"
IS_HERE = any(ROOM.glob("*.py"))
if IS_HERE:
    from toolkit.sandbox import environment, images, provision, server

CACHE = ROOT / ".cache"
ACCOUNT, REGION = "111111111111", "eu-west-1"
LEFT_OUT = "toolkit/sandbox is not here: the tests that need it are left out"


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """The room's own tests do not even load without it."""
    room_tests = ROOT / "tests" / "sandbox"
    gone = not IS_HERE and room_tests in (collection_path, *collection_path.parents)
    return gone or None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs the room, where it is not here."""
    without = [] if IS_HERE else [item for item in items if needs_room(item)]
    if without:
        items[:] = [item for item in items if item not in without]
        config.hook.pytest_deselected(items=without)


def needs_room(item: pytest.Item) -> bool:
    """Whether a test runs in a sandbox."""
    fixtures = {"emulator", "strict_emulator"} & set(getattr(item, "fixturenames", ()))
    return bool(fixtures) or item.get_closest_marker("sandbox") is not None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """That something was left out."""
    if not IS_HERE:
        terminalreporter.write_line(LEFT_OUT)


def prepare(cache: Path) -> None:
    """Set up the sandbox's own Python environment in a cache of toolkit's."""
    environment.python(str(cache), lambda line: print(line, file=sys.stderr))


class Emulator:
    """A running emulator. An access key of twelve digits is an account; accounts see nothing of
    each other.
    """

    def __init__(self, process: server.Server) -> None:
        self.process = process
        self.url, self.secret = process.url, process.token
        self.registry = images.SandboxRegistry(process.port, process.token)

    def env(self, account: str = ACCOUNT, region: str = REGION) -> dict[str, str]:
        """The environment variables with which AWS tools mean this emulator and nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": account,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def push(
        self,
        repository: str,
        tag: str,
        pushed: images.SandboxImage | None = None,
        account: str = ACCOUNT,
        region: str = REGION,
    ) -> str:
        """Push an image into a repository that is there (`images.image(files, command, env)` makes
        one; else the sandbox's first image, on port 8080); its digest.
        """
        pushed = pushed or images.first_image(8080)
        return images.push_image(self.registry, repository, tag, pushed, account, region)

    def provide(self, aws: Aws, location: Location, *provisions: Provision) -> None:
        """Create what targets need, as `toolkit sandbox up` does, and wait until it runs."""
        parts = [provision.PlannedPart(location, each) for each in provisions]
        provision.make_parts(parts, lambda _: aws, self.registry, lambda _: None)
        provision.wait_for_services(parts, lambda _: aws)

    def reset(self) -> None:
        """Forget everything, and end every task."""
        server.empty(self.process)


class Cloud:
    """An empty emulator with this process's environment set to it: `cloud.aws()` is what the
    product would make.
    """

    def __init__(self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        self.emulator, self._monkeypatch = emulator, monkeypatch
        self.url = emulator.url

    def enter(self, account: str = ACCOUNT, region: str = REGION) -> None:
        """Set the environment for this account and region until the test ends."""
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            self._monkeypatch.delenv(name, raising=False)
        for name, value in self.emulator.env(account, region).items():
            self._monkeypatch.setenv(name, value)

    def aws(self, account: str = ACCOUNT, region: str = REGION) -> Aws:
        """The calls of this account and region. Several of them work side by side: each reads its
        account here and now.
        """
        self.enter(account, region)
        created = Aws(None, region)
        created.account()
        return created


def _started(folder: Path, enforce: bool = False) -> Iterator[Emulator]:
    python = environment.python(str(CACHE), lambda line: print(line, file=sys.stderr))
    process = server.start(
        python, str(folder), REGION, server.StartOptions(enforce=enforce, tied=True)
    )
    try:
        yield Emulator(process)
    finally:
        server.end(process)


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """The emulator of this test worker. What is in it is whatever the tests before have left: see
    `cloud`.
    """
    yield from _started(tmp_path_factory.mktemp("emulator"))


@pytest.fixture(scope="session")
def strict_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """The same with IAM policies enforced; the key `test` with the secret `test` is root."""
    yield from _started(tmp_path_factory.mktemp("strict"), enforce=True)


@pytest.fixture
def cloud(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """The emulator, empty, with the environment of this process set to account 111111111111 in
    eu-west-1.
    """
    emulator.reset()
    created = Cloud(emulator, monkeypatch)
    created.enter()
    return created
