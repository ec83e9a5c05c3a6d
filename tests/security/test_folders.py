"""Folders that somebody else has made, or can write to: nothing in them is run, trusted or
overwritten.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.repo import Repo
from toolkit.artifacts.images import bases
from toolkit.artifacts.images.context import FileForm
from toolkit.errors import StateDamaged
from toolkit.ports import cdk, files
from toolkit.ports.program_runs import SilentLog

Spoil = Callable[[Path], None]


def writable(path: Path) -> None:
    path.chmod(0o777)


def group(path: Path) -> None:
    path.chmod(0o770)


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def foreign(path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    os.chown(path, 12345, -1)


SPOIL = [writable, group, link, foreign]


@pytest.mark.parametrize("spoil", SPOIL)
def test_a_planted_assembly_is_not_deployed(tmp_path: Path, spoil: Spoil) -> None:
    root = tmp_path / "repo"
    (root / "cdk").mkdir(parents=True)
    (root / "cdk/cdk.json").write_text('{"app": "true"}')
    receipt = tmp_path / "cache/cdk"
    receipt.mkdir(parents=True, mode=0o700)
    spoil(receipt)
    from toolkit.operations import Location

    app = cdk.CdkApp(str(root), "cdk", Location(), "111111111111", "eu-west-1")
    with pytest.raises(StateDamaged, match="toolkit's cache"):
        cdk.synthesized(app, str(tmp_path / "cache"), SilentLog())


@pytest.mark.parametrize("spoil", SPOIL)
def test_what_a_planted_cache_says_of_a_base_image_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Spoil
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("TOOLKIT_CACHE_DIR", str(cache))
    digest = f"sha256:{'0' * 64}"
    bases._write_cache(digest, [("a", FileForm.FILE, "")])
    assert bases._read_cache(digest) == [("a", FileForm.FILE, "")]
    spoil(cache / "bases")
    assert bases._read_cache(digest) is None
    bases._write_cache(digest, [])


def test_a_crash_log_is_for_nobody_else_to_read(tmp_path: Path) -> None:
    repo = Repo.make(tmp_path / "repo", {"a": "1"})
    script = (
        "import os; os.umask(0); from toolkit.cli import crash; raise"
        " SystemExit(crash.report(ValueError('x'), ['diff']))"
    )
    import subprocess
    import sys

    env = {
        **os.environ,
        "TOOLKIT_STATE_DIR": str(tmp_path / "state"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, cwd=repo.path, capture_output=True, text=True
    )
    assert done.returncode == 3
    [log] = (tmp_path / "state").glob("crash-*.log")
    assert log.stat().st_mode & 0o777 == 0o600
    assert log.parent.stat().st_mode & 0o777 == 0o700
    log.parent.chmod(0o777)
    again = subprocess.run(
        [sys.executable, "-c", script], env=env, cwd=repo.path, capture_output=True, text=True
    )
    assert again.returncode == 3
    assert len([*log.parent.glob("crash-*.log")]) == 1
    assert "ValueError" in again.stderr


def test_a_folder_is_made_for_us_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        own_cache = files.own_cache(str(tmp_path / "a/cache"), "one", "two")
    finally:
        os.umask(before)
    assert own_cache == str(tmp_path / "a/cache/one/two")
    assert [
        os.stat(path).st_mode & 0o777
        for path in (own_cache, os.path.dirname(own_cache), tmp_path / "a/cache")
    ] == [0o700] * 3
