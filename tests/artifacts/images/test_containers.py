"""The container test: an image is started on this machine before it is pushed. The engine is a
stand-in; test_podman.py has the real one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.json import encode
from msgspec.structs import replace

from tests.artifacts.images.server import Answer, RegistryRequest, scripted
from tests.artifacts.images.support import DIGEST, ID, Engines, Said, folder
from toolkit.artifacts.images import (
    ImageTest,
    Recipe,
    RegistryAddress,
    SecretText,
    builder,
    check_recipe,
)
from toolkit.errors import ProgramFailed, Refused
from toolkit.ports.processes import current_process, process_of

pytestmark = pytest.mark.real_time
ANSWERS = ImageTest(port=8080, path="/health", deadline_s=20)
ENDS = ImageTest(command=("check", "-v"), deadline_s=20)
BUILDERS = [("docker", ""), ("docker", "yes"), ("podman", "")]
"""With buildx, without, and podman."""


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engines]:
    result = Engines(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(result.home))
    monkeypatch.delenv("TOOLKIT_BUILDER")
    monkeypatch.setattr("tempfile.tempdir", str(folder(tmp_path / "tmp", {})))
    yield result
    for name in result.containers:  # of a test that has failed
        with suppress(ProcessLookupError):
            os.kill(json.loads((result.home / "containers" / name).read_text())["pid"], 9)


@pytest.fixture
def to(engines: Engines) -> Iterator[RegistryAddress]:
    """A registry that has the image as soon as an engine has pushed it."""

    def answer(registry_request: RegistryRequest) -> Answer:
        pushed = (engines.home / "pushed").exists()
        return (200, {"Docker-Content-Digest": DIGEST}, b"") if pushed else (404, {}, b"")

    with scripted(answer) as server:
        yield RegistryAddress("1.example.com", server.url, "app", "AWS", SecretText("password"))


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    root = folder(tmp_path / "repository", {"Dockerfile": "FROM x\n", "a": ""})
    return Recipe(str(root), ".", "Dockerfile", test=ANSWERS)


def install(engines: Engines, name: str, to: RegistryAddress, **settings: str) -> None:
    engines.install(name, repository=f"{to.address.removeprefix('http://')}/app", **settings)


def verbs(engines: Engines, name: str) -> list[str]:
    """The commands that matter, in order."""
    words = [call["argv"][1] for call in engines.calls if call["argv"][0] == name]
    return [word for word in words if word in ("buildx", "build", "run", "push")]


def pushed(engines: Engines) -> bool:
    return (engines.home / "pushed").exists()


def failure(to: RegistryAddress, recipe: Recipe, log: Said | None = None) -> str:
    with pytest.raises(ProgramFailed) as error:
        builder().build_and_push(recipe, to, "v1", log or Said())
    return str(error.value)


@pytest.mark.parametrize(("name", "old"), BUILDERS)
def test_what_answers_is_pushed_and_no_container_stays(
    engines: Engines, to: RegistryAddress, recipe: Recipe, name: str, old: str
) -> None:
    install(engines, name, to, serves="200", old=old, says="listening")
    message = Said()
    assert builder().build_and_push(recipe, to, "v1", message).digest == DIGEST
    assert [word for word in verbs(engines, name) if word != "buildx"][-2:] == ["run", "push"]
    run = engines.called(name, "run")["argv"]
    assert run[run.index("--publish") + 1] == "127.0.0.1::8080", "nobody else can reach it"
    assert run[-1] == ID, "the very image, not what has its tag by now"
    assert "testing the container" in message.phases
    assert "listening" in message.lines
    assert any("answered GET /health at port 8080 with status 200" in x for x in message.lines)
    assert engines.containers == []


@pytest.mark.slow("engines", keep=3)
@pytest.mark.parametrize(("name", "old"), BUILDERS)
@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        (
            {"serves": "503"},
            "the container did not answer GET /health at port 8080 with status 200 within 2 s: it"
            " answered 503",
        ),
        (
            {"says": "ValueError: no database", "exits": "3"},
            "the container ended with exit code 3 before it answered GET /health at port 8080 with"
            " status 200: ValueError: no database",
        ),
        (
            {"stays": "yes"},
            "the container did not answer GET /health at port 8080 with status 200 within 2 s: it"
            " did not start",
        ),
    ],
)
def test_what_does_not_answer_is_not_pushed(
    engines: Engines,
    to: RegistryAddress,
    recipe: Recipe,
    name: str,
    old: str,
    settings: dict[str, str],
    cause: str,
) -> None:
    install(engines, name, to, old=old, **settings)
    recipe = replace(recipe, test=replace(ANSWERS, deadline_s=2))
    assert failure(to, recipe) == f"the container test failed: {cause}"
    assert not pushed(engines)
    assert "push" not in verbs(engines, name)
    assert engines.containers == []


def test_another_status_can_be_the_right_one(
    engines: Engines, to: RegistryAddress, recipe: Recipe
) -> None:
    install(engines, "podman", to, serves="401")
    recipe = replace(recipe, test=replace(ANSWERS, status=401))
    assert builder().build_and_push(recipe, to, "v1", Said()).digest == DIGEST


def test_without_a_port_it_has_to_end_well_in_time(
    engines: Engines, to: RegistryAddress, recipe: Recipe
) -> None:
    recipe = replace(recipe, test=replace(ENDS, deadline_s=2))
    install(engines, "podman", to, says="E: 1 of 3 failed", exits="1")
    assert failure(to, recipe) == (
        "the container test failed: the container ended with exit code 1: E: 1 of 3 failed"
    )
    install(engines, "podman", to, stays="yes")
    assert "the container did not end within 2 s" in failure(to, recipe)
    assert (pushed(engines), engines.containers) == (False, [])
    (engines.home / "podman.stays").unlink()
    install(engines, "podman", to, exits="0")
    assert builder().build_and_push(recipe, to, "v1", Said()).digest == DIGEST
    run = engines.calls[-1 - [call["argv"][1] for call in engines.calls[::-1]].index("run")]
    words = run["argv"]
    assert words[words.index("--entrypoint") + 1 :] == ["check", ID, "-v"]
    assert "--publish" not in words


def test_a_run_that_is_to_stop_pushes_nothing_and_leaves_no_container(
    engines: Engines, to: RegistryAddress, recipe: Recipe
) -> None:
    install(engines, "docker", to, serves="503")

    class Stops(Said):
        def check(self) -> None:
            if "GET /health" in self.lines:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        builder().build_and_push(recipe, to, "v1", Stops())
    assert (pushed(engines), engines.containers) == (False, [])


def test_a_container_whose_toolkit_was_killed_is_removed_and_no_other(
    engines: Engines, to: RegistryAddress, recipe: Recipe
) -> None:
    install(engines, "podman", to, serves="200")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    dead = process_of(ended.pid)
    ended.wait()
    elsewhere = replace(current_process(), host="other", boot="other", pid=1)
    owners = {"dead": dead, "mine": current_process(), "elsewhere": elsewhere, "odd": {"pid": "x"}}
    sleepers: list[subprocess.Popen[bytes]] = []
    for name, owner in owners.items():
        sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        sleepers.append(sleeper)
        labels = [f"toolkit.container-test={name}", f"toolkit.process={encode(owner).decode()}"]
        entry: dict[str, Any] = {"pid": sleeper.pid, "labels": labels}
        folder(engines.home / "containers", {name: json.dumps(entry)})
    try:
        message = Said()
        builder().build_and_push(recipe, to, "v1", message)
        assert engines.containers == ["elsewhere", "mine", "odd"]
        assert "removing container dead, whose test was killed" in message.lines
        assert sleepers[0].wait(10) == -9
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()


def test_a_container_that_cannot_be_removed_is_told(
    engines: Engines, to: RegistryAddress, recipe: Recipe
) -> None:
    install(engines, "docker", to, serves="200", clings="yes")
    message = Said()
    builder().build_and_push(recipe, to, "v1", message)
    (name,) = engines.containers
    told = f"container {name} could not be removed: try `docker rm --force {name}`"
    assert f"warning: {told}" in message.lines
    (engines.home / "containers" / name).unlink()


def test_values_that_are_passed_on_reach_the_container_and_no_log(
    engines: Engines, to: RegistryAddress, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(engines, "docker", to, exits="4")
    monkeypatch.setenv("DB_PASSWORD", "canary-of-the-test")
    test = ImageTest(env={"MODE": "test"}, pass_env=("DB_PASSWORD",))
    message = Said()
    cause = failure(to, replace(recipe, test=test), message)
    assert engines.called("docker", "run")["env"]["DB_PASSWORD"] == "canary-of-the-test"
    assert {"MODE=test", "DB_PASSWORD={DB_PASSWORD}"} <= {*message.lines}
    assert "canary" not in f"{cause} {message.lines} {message.phases}"
    assert all("canary" not in f"{call['argv']}" for call in engines.calls), "others see arguments"


def test_a_foreign_processor_is_told(engines: Engines, to: RegistryAddress, recipe: Recipe) -> None:
    install(engines, "podman", to, serves="200", platform="linux/s390x")
    message = Said()
    builder().build_and_push(recipe, to, "v1", message)
    assert any(line.startswith("the image is for linux/s390x, and") for line in message.lines)


@pytest.mark.parametrize("name", ["built-in", "buildah"])
def test_a_builder_that_runs_no_containers_is_refused_before_the_build(
    engines: Engines, recipe: Recipe, name: str
) -> None:
    engines.install("buildah")
    with pytest.raises(Refused) as refused:
        check_recipe(recipe, name)
    assert str(refused.value) == (
        f"the container test needs docker or podman, but {name} would build the image"
    )
    assert "--fast" in f"{refused.value.next}"
    check_recipe(replace(recipe, test=None), "buildah")


@pytest.mark.parametrize(
    ("host", "refused"),
    [
        ("ssh://ci@build.example.com", "build.example.com"),
        ("tcp://docker:2375", "docker"),
        ("tcp://127.0.0.1:2375", None),
        ("npipe:////./pipe/docker_engine", None),
        ("unix:///run/docker.sock", None),
    ],
)
def test_an_engine_on_another_machine_cannot_be_asked(
    engines: Engines, recipe: Recipe, host: str, refused: str | None
) -> None:
    engines.install("docker", host=host)
    if refused is None:
        check_recipe(recipe, "docker")
    else:
        with pytest.raises(Refused, match=f"docker would run it on {refused}"):
            check_recipe(recipe, "docker")
    check_recipe(replace(recipe, test=ENDS), "docker")


def test_podman_on_another_machine_cannot_be_asked(
    engines: Engines, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines.install("podman")
    monkeypatch.setenv("CONTAINER_HOST", "ssh://core@localhost:52001/run/podman.sock")
    check_recipe(recipe, "podman")  # a virtual machine's: its ports are those of this machine
    monkeypatch.setenv("CONTAINER_HOST", "ssh://root@far.example.com/run/podman.sock")
    with pytest.raises(Refused, match="podman would run it on far"):
        check_recipe(recipe, "podman")


def test_a_variable_that_is_not_set_is_refused_before_the_build(
    engines: Engines, recipe: Recipe
) -> None:
    engines.install("podman")
    with pytest.raises(Refused, match="NO_SUCH is not set, and the container test needs it"):
        check_recipe(replace(recipe, test=replace(ANSWERS, pass_env=("NO_SUCH",))), "podman")
