"""What somebody else has put where the sandbox has its environment and its state: nothing of it is
run, trusted or overwritten.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

from tests.security.test_folders import SPOIL, Spoil
from tests.support.run import process
from toolkit.errors import StateDamaged
from toolkit.sandbox import box, environment

PROGRAM = """\
#!/bin/sh
touch "$HOME/planted-ran"
exec sleep 60
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with an environment that is ready, as far as can be seen."""
    result = tmp_path / "cache"
    monkeypatch.setenv("TOOLKIT_CACHE_DIR", str(result))
    monkeypatch.setenv("TOOLKIT_STATE_DIR", str(tmp_path / "state"))
    result.mkdir(mode=0o700)
    monkeypatch.setattr(environment, "_create", lambda *_: pytest.fail("it was made"))
    ready = Path(environment.LOCK).read_bytes()
    digest = hashlib.sha256(sys.version.encode() + ready).hexdigest()[:16]
    planted = result / f"sandbox-{digest}"
    (planted / "bin").mkdir(parents=True, mode=0o700)
    planted.chmod(0o700)
    (planted / "bin/python").write_text(PROGRAM)
    (planted / "bin/python").chmod(0o755)
    (planted / "ready").touch()
    return result


def test_an_environment_in_a_folder_of_ours_is_taken(cache: Path) -> None:
    assert environment.python(str(cache), print).startswith(str(cache))


@pytest.mark.parametrize("spoil", SPOIL)
@pytest.mark.parametrize("which", ["cache", "environment"])
def test_a_planted_environment_is_not_run(cache: Path, spoil: Spoil, which: str) -> None:
    [inside] = cache.iterdir()
    spoil(cache if which == "cache" else inside)
    with pytest.raises(StateDamaged, match=r"toolkit's cache.*TOOLKIT_CACHE_DIR"):
        environment.python(str(cache), print)


def test_sandbox_up_does_not_run_what_was_planted(cache: Path, tmp_path: Path) -> None:
    cache.chmod(0o777)
    (tmp_path / "empty").mkdir()
    result = process(tmp_path / "empty", "sandbox", "up")
    assert result.code != 0
    assert "TOOLKIT_CACHE_DIR" in result.err
    assert not (Path(os.environ["HOME"]) / "planted-ran").exists()


@pytest.mark.parametrize("spoil", SPOIL)
@pytest.mark.parametrize("which", ["state", "sandbox"])
def test_a_planted_sandbox_is_neither_trusted_nor_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Spoil, which: str
) -> None:
    state = tmp_path / "state"
    monkeypatch.setenv("TOOLKIT_STATE_DIR", str(state))
    (state / "sandbox").mkdir(parents=True, mode=0o700)
    state.chmod(0o700)
    (state / "sandbox/sandbox.json").write_text(
        '{"server": {"pid": 1, "born": "x", "port": 1, "token": "x", "folder": "/"}}'
    )
    spoil(state if which == "state" else state / "sandbox")
    for ask in (box.load, box.stop_sandbox):
        with pytest.raises(StateDamaged, match="toolkit's state"):
            ask()


def test_the_sandboxs_lock_does_not_empty_what_a_link_leads_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLKIT_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "state").mkdir(mode=0o700)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "state/sandbox.lock").symlink_to(victim)
    with pytest.raises(Exception, match=r"sandbox\.lock"), box.exclusive():
        pass
    assert victim.read_text() == "mine"
