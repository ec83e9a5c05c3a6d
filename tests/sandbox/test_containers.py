"""The engine that needs none: what it runs, with which files and variables, and how it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.test_engine import eventually
from toolkit.sandbox import containers, images


def image(program: str, **config: Any) -> containers.StoredImage:
    """An image of one Python program."""
    stored_image = images.image({"app/main.py": program}, [], {})
    layer = next(blob for blob in stored_image.blobs.values() if blob.startswith(b"\x1f\x8b"))
    return containers.StoredImage(
        stored_image.digest, {"Cmd": ["python", "-u", "/app/main.py"], **config}, [layer]
    )


@pytest.fixture
def engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, containers.StoredImage]]:
    """Images by name, which `run` runs; what is left of them ends."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(containers, "START_S", 0.0)
    stored_images: dict[str, containers.StoredImage] = {}
    RUNNING[:] = [containers.ContainerList(stored_images.__getitem__, "127.99.99")]
    yield stored_images
    for item in RUNNING[0].list():
        item.remove()
    os.close(RUNNING[0].lifeline)
    assert not list(tmp_path.iterdir())


RUNNING: list[containers.ContainerList] = []


def run(
    stored_images: dict[str, containers.StoredImage],
    stored_image: containers.StoredImage,
    **options: Any,
) -> containers.Container:
    stored_images["it"] = stored_image
    return RUNNING[0].run("it", **options)


@pytest.mark.parametrize(
    ("config", "options", "words"),
    [
        ({"Cmd": ["sh", "-c", "x"]}, {}, ["-c", "x"]),
        ({"Entrypoint": ["python"], "Cmd": ["-m", "a"]}, {}, ["-m", "a"]),
        ({"Entrypoint": ["python3.12"], "Cmd": ["-m", "a"]}, {"command": ["-m", "b"]}, ["-m", "b"]),
        ({"Cmd": ["/usr/local/bin/python3", "-V"]}, {}, ["-V"]),
    ],
)
def test_programs_of_the_base_are_this_machines(
    tmp_path: Path, config: Any, options: Any, words: list[str]
) -> None:
    argv, _, _ = containers.command(config, options, str(tmp_path), "127.0.0.2")
    assert argv[1:] == words
    assert os.access(argv[0], os.X_OK)
    assert not argv[0].startswith(str(tmp_path))


def test_paths_of_the_image_are_where_its_files_are_and_nothing_else_is_moved(
    tmp_path: Path,
) -> None:
    (tmp_path / "app" / "src").mkdir(parents=True)
    config = {
        "Env": ["PYTHONPATH=/app/src:/opt/other", "A=/app"],
        "WorkingDir": "/new/place",
        "Cmd": ["sh", "/app/src", "/etc/passwd"],
    }
    argv, folder, env = containers.command(
        config, {"environment": {"A": "task", "B": "x"}}, str(tmp_path), "127.0.0.2"
    )
    assert env["PYTHONPATH"] == f"{tmp_path}/app/src:/opt/other"
    assert (env["A"], env["B"]) == ("task", "x")
    assert folder == f"{tmp_path}/new/place"
    assert argv[1:] == [f"{tmp_path}/app/src", "/etc/passwd"]


@pytest.mark.parametrize("folder", ["../../etc", "/../etc", "a/../../etc"])
def test_a_working_directory_is_inside(tmp_path: Path, folder: str) -> None:
    _, actual, _ = containers.command(
        {"Cmd": ["sh"], "WorkingDir": folder}, {}, str(tmp_path), "127.0.0.2"
    )
    assert actual == f"{tmp_path}/etc"


def test_the_address_is_given_only_to_a_program_that_asks_for_a_host(tmp_path: Path) -> None:
    config = {"Cmd": ["sh"], "Env": ["HOST=0.0.0.0"]}
    assert containers.command(config, {}, str(tmp_path), "127.0.0.2")[2]["HOST"] == "127.0.0.2"
    assert "HOST" not in containers.command({"Cmd": ["sh"]}, {}, str(tmp_path), "127.0.0.2")[2]


def test_nothing_of_our_own_environment_is_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "mine")
    assert (
        "AWS_SECRET_ACCESS_KEY"
        not in containers.command({"Cmd": ["sh"]}, {}, str(tmp_path), "127.0.0.2")[2]
    )


@pytest.mark.parametrize("config", [{"Cmd": ["nope"]}, {"Cmd": ["/bin/ls"]}, {}])
def test_a_program_that_the_image_does_not_have_is_refused(tmp_path: Path, config: Any) -> None:
    with pytest.raises(containers.APIError):
        containers.command(config, {}, str(tmp_path), "127.0.0.2")


def test_a_program_is_asked_to_end_and_may_say_goodbye(
    engine: dict[str, containers.StoredImage],
) -> None:
    program = (
        "import signal, sys\nsignal.signal(15, lambda *_:"
        " sys.exit(print('bye')))\nprint('up')\nsignal.pause()\n"
    )
    container = run(engine, image(program))
    eventually(lambda: container.logs() == b"up\n")
    container.stop(timeout=5)
    assert (container.logs(), container.code, container.status) == (b"up\nbye\n", 0, "exited")


def test_one_that_does_not_listen_is_ended_with_all_that_it_started(
    engine: dict[str, containers.StoredImage],
) -> None:
    program = (
        "import os, signal\nsignal.signal(15,"
        " signal.SIG_IGN)\nos.fork()\nprint(os.getpid())\nsignal.pause()\n"
    )
    container = run(engine, image(program))
    pids = eventually(
        lambda: (
            [int(line) for line in container.logs().split()]
            if container.logs().count(b"\n") == 2
            else []
        )
    )
    container.stop(timeout=0.1)
    assert container.code == 137
    eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))


def test_a_log_is_read_as_it_comes_also_after_the_files_are_gone(
    engine: dict[str, containers.StoredImage],
) -> None:
    container = run(engine, image("print('one')\nprint('two', end='')\n"))
    lines = container.logs(stream=True)
    assert next(lines) == b"one\n" if container.wait() else b""
    container.remove()
    assert list(lines) == [b"two"]
    assert container.logs(tail=1) == b"two"


def test_tasks_have_addresses_of_their_own(engine: dict[str, containers.StoredImage]) -> None:
    sleeping = image("import signal\nsignal.pause()\n")
    first, second = run(engine, sleeping), run(engine, sleeping)
    assert {first.address, second.address} == {"127.99.99.2", "127.99.99.3"}
    first.remove()
    assert run(engine, sleeping).address == "127.99.99.2"


def test_what_keeps_crashing_is_started_more_and_more_slowly(
    engine: dict[str, containers.StoredImage],
) -> None:
    crashing, pauses = image("raise SystemExit(1)\n"), []
    for _ in range(5):
        container = run(engine, crashing)
        container.wait()
        pauses.append(RUNNING[0].pause(container.what))
    assert pauses[:3] == [0, 0, 0]
    assert 0 < pauses[3] < pauses[4] <= containers.SLOWEST_S
