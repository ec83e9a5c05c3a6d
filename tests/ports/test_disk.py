"""What a file promises: whole, on the disk, ours, and locked by one process at a time."""

import errno
import fcntl
import os
import stat
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from toolkit.errors import FileProblem, StateDamaged, Stopped
from toolkit.ports import disk


def test_a_file_is_on_the_disk_with_its_name_before_its_writer_goes_on(tmp_path: Path) -> None:
    class SyncedDisk(disk.Disk):
        def __init__(self) -> None:
            self.synced: list[str] = []

        def sync(self, descriptor: int) -> None:
            is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
            self.synced.append("folder" if is_folder else "file")
            if is_folder:
                assert os.listdir(tmp_path) == ["f"]
            super().sync(descriptor)

    watched = SyncedDisk()
    disk.write(str(tmp_path / "f"), b"x", disk=watched)
    assert watched.synced == ["file", "folder"]
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600


def test_threads_that_write_one_file_do_not_meet(tmp_path: Path) -> None:
    path, problems = str(tmp_path / "f"), list[BaseException]()

    def write(number: int) -> None:
        try:
            for _ in range(20):
                disk.write(path, b"%d" % number * 1000)
        except BaseException as problem:
            problems.append(problem)

    threads = [Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert os.listdir(tmp_path) == ["f"]
    assert len({*(tmp_path / "f").read_bytes()}) == 1


def test_a_folder_that_one_may_write_to_but_not_read_takes_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def refuse(path: str, flags: int, *more: Any, **options: Any) -> int:
        if flags & os.O_DIRECTORY:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return opened(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", refuse)
    disk.write(str(tmp_path / "f"), b"x")
    assert (tmp_path / "f").read_bytes() == b"x"


@pytest.mark.parametrize("name", ["x" * 300, "file/below"])
def test_a_name_that_cannot_be_is_a_declared_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileProblem):
        disk.write(str(tmp_path / name), b"x")


def test_a_file_system_that_became_read_only_is_a_declared_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(FileProblem, match="Read-only"):
        disk.write(str(tmp_path / "x"), b"x")


def test_who_waits_for_a_lock_attends_to_other_things_and_may_give_up(tmp_path: Path) -> None:
    path, looks = str(tmp_path / "lock"), list[int]()

    def attend() -> None:
        looks.append(1)
        if len(looks) == 3:
            raise Stopped

    with disk.exclusive(path), pytest.raises(Stopped), disk.exclusive(path, attend):
        pytest.fail("two hold it")
    assert len(looks) == 3
    with disk.exclusive(path, attend):
        assert len(looks) == 3


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("theirs")
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    with (
        pytest.raises(StateDamaged, match="it is a link"),
        disk.exclusive(str(tmp_path / "lock")),
    ):
        pytest.fail("it was followed")
    assert (tmp_path / "victim").read_text() == "theirs"


def test_a_file_system_without_locks_is_told_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileProblem, match="TOOLKIT_STATE_DIR"), disk.exclusive(str(tmp_path / "l")):
        pytest.fail("it was locked")
    assert len(os.listdir("/proc/self/fd")) == before, "the file is still open"
