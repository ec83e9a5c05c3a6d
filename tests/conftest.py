"""Fixtures, and the rule that no test touches the person's own files."""

import os
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler.loadscope import LoadScopeScheduling  # type: ignore[import-untyped]

from tests.support.aws.fixtures import aws_endpoint as aws_endpoint
from tests.support.aws.fixtures import aws_process as aws_process
from tests.support.aws.models import share_models
from tests.support.clock import hurry
from tests.support.modes import by_mode
from tests.support.repo import Repo
from tests.support.run import ROOT, Toolkit

share_models()
pytest_plugins = ["tests.support.sandbox", "tests.support.slow"]
settings.register_profile(
    "toolkit", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
for profile, examples in {"quick": 20, "complete": 300, "night": 5000}.items():
    settings.register_profile(
        profile, parent=settings.get_profile("toolkit"), max_examples=examples
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or by_mode("quick", "complete", "night"))


STORY = "for the whole file"
"""What the docstring of a file says whose tests are run by one worker: they are one story, in which
each goes on from where the one before has left its system, or share what takes long to make.
"""


def _is_a_story(path: Path) -> bool:
    with path.open() as file:
        return STORY in " ".join(file.read(500).split())


TOGETHER = frozenset(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "tests").rglob("test_*.py")
    if _is_a_story(path)
)


class _Stories(LoadScopeScheduling):  # type: ignore[misc]
    """Gives every test to whichever worker is free, but a story as a whole to one."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file in TOGETHER else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """For `-n 2`. xdist's own groups (`--dist loadgroup`) do nothing with pytest 9.2."""
    return _Stories(config, log)


@pytest.fixture(scope="session", autouse=True)
def _signals_as_in_a_terminal() -> None:
    """Who starts the tests with `nohup` or `&` has them ignored, and children would inherit it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A new folder each time; pytest's own names are found by reading a folder of thousands."""
    folder = tmp_path_factory.mktemp("homes")
    return (folder / str(number) for number in count())


@pytest.fixture(autouse=True)
def _own_home(_homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of the test's own: no git configuration, no AWS account, no state of the person who
    runs it.
    """
    home = next(_homes)
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    for name in [name for name in os.environ if name.startswith(("AWS_", "TOOLKIT_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("TOOLKIT_BUILDER", "built-in")  # whatever engine is installed here


@pytest.fixture(autouse=True)
def _hurried_clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock goes faster, but for a test with the mark `real_time`."""
    if request.node.get_closest_marker("real_time") is None:
        hurry(monkeypatch)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """A repository with the design's decision table and a file of each part."""
    return Repo.make(
        tmp_path / "repo",
        {
            "backend/src/app.py": "app\n",
            "lambda/login/handler.py": "login\n",
            "cdk/app.py": "cdk\n",
            "cdk/stacks/fargate_stack.py": "fargate\n",
            "smoke/test.py": "smoke\n",
            "README.md": "readme\n",
        },
    )


@pytest.fixture
def toolkit(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Toolkit:
    """Runs toolkit in this process: `toolkit(folder, "diff", "--json")`."""
    return Toolkit(capsys, monkeypatch)
