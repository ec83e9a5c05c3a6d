"""Docker, podman and buildah as programs: what they are told, what they may know, how they end."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.artifacts.images.server import Answer, RegistryRequest, scripted
from tests.artifacts.images.support import DIGEST, Engines, Said, folder
from toolkit.artifacts.images import (
    Pushed,
    Recipe,
    RegistryAddress,
    SecretText,
    builder,
    check_recipe,
)
from toolkit.artifacts.images.engines import reason
from toolkit.errors import ProgramFailed, Refused, TagTaken
from toolkit.ports.registry import MANIFEST, digest_of

PASSWORD = "canary-password"


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engines:
    result = Engines(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(result.home))
    monkeypatch.delenv("TOOLKIT_BUILDER")
    monkeypatch.setattr("tempfile.tempdir", str(folder(tmp_path / "tmp", {})))
    return result


@pytest.fixture
def to(engines: Engines) -> Iterator[RegistryAddress]:
    """A registry that has the image as soon as an engine has pushed it."""

    def answer(registry_request: RegistryRequest) -> Answer:
        return (
            (200, {"Docker-Content-Digest": DIGEST}, b"")
            if (engines.home / "pushed").exists()
            else (404, {}, b"")
        )

    with scripted(answer) as server:
        yield RegistryAddress(
            "1.dkr.ecr.eu-west-1.amazonaws.com", server.url, "app", "AWS", SecretText(PASSWORD)
        )


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    text = "FROM x\nARG DECLARED\nRUN <<EOF\nmake\nEOF\n"
    root = folder(tmp_path / "repository", {"backend/Dockerfile": text, "backend/a": ""})
    return Recipe(
        str(root),
        "backend",
        "backend/Dockerfile",
        "linux/arm64",
        "app",
        {"DECLARED": "1", "OTHER": "2"},
        {"toolkit:commit": "abc"},
    )


def server(registry: RegistryAddress) -> str:
    return registry.address.removeprefix("http://")


def options(recipe: Recipe) -> list[str]:
    return [
        "--file",
        f"{recipe.root}/backend/Dockerfile",
        "--platform",
        "linux/arm64",
        "--target",
        "app",
        "--build-arg",
        "DECLARED=1",
        "--label",
        "toolkit:commit=abc",
        f"{recipe.root}/backend",
    ]


def test_docker_builds_and_pushes_with_buildx(
    engines: Engines, to: RegistryAddress, recipe: Recipe
) -> None:
    engines.install("docker")
    message = Said()
    assert builder().build_and_push(recipe, to, "v1", message) == Pushed(
        DIGEST, f"{to.host}/app@{DIGEST}"
    )
    argv = engines.called("docker", "buildx", "build")["argv"]
    assert argv[3:5] == ["--push", "--progress=plain"]
    assert argv[7:] == ["--tag", f"{server(to)}/app:v1", *options(recipe)]
    assert message.phases == ["signing in", "building and pushing", "checking the registry"]
    assert "#1 building" in message.lines


def test_docker_without_buildx_builds_and_then_pushes(
    engines: Engines, to: RegistryAddress, recipe: Recipe
) -> None:
    engines.install("docker", old="yes")
    assert builder().build_and_push(recipe, to, "v1", Said()).digest == DIGEST
    image = f"{server(to)}/app:v1"
    assert engines.called("docker", "build")["argv"] == [
        "docker",
        "build",
        "--tag",
        image,
        *options(recipe),
    ]
    assert engines.called("docker", "push")["argv"] == ["docker", "push", image]


@pytest.mark.parametrize("name", ["podman", "buildah"])
def test_podman_and_buildah_build_sign_in_and_push(
    engines: Engines, to: RegistryAddress, recipe: Recipe, name: str
) -> None:
    engines.install(name)
    assert builder(name).build_and_push(recipe, to, "v1", Said()).digest == DIGEST
    image = f"{server(to)}/app:v1"
    assert engines.called(name, "build")["argv"] == [
        name,
        "build",
        "--tag",
        image,
        *options(recipe),
    ]
    assert engines.called(name, "login")["argv"] == [
        name,
        "login",
        "--tls-verify=false",
        "--username",
        "AWS",
        "--password-stdin",
        server(to),
    ]
    push = engines.called(name, "push")["argv"]
    assert (push[2:4], push[5:]) == (
        ["--tls-verify=false", "--digestfile"],
        [image, f"docker://{image}"],
    )
    assert "REGISTRY_AUTH_FILE" not in engines.called(name, "build")["env"], (
        "bases are pulled with the person's own login"
    )


@pytest.mark.parametrize("name", ["docker", "podman", "buildah"])
def test_the_password_is_on_standard_input_only_and_nothing_of_it_stays(
    engines: Engines, to: RegistryAddress, recipe: Recipe, name: str, tmp_path: Path
) -> None:
    """S23."""
    engines.install(name)
    message = Said()
    builder(name).build_and_push(recipe, to, "v1", message)
    assert engines.called(name, "login")["given"] == PASSWORD
    for call in engines.calls:
        assert PASSWORD not in json.dumps({**call, "given": ""})
        assert call["given"] == "" or call["argv"][1] == "login"
    assert PASSWORD not in f"{message.lines} {message.phases}"
    assert list((tmp_path / "tmp").iterdir()) == []
    auth = "DOCKER_CONFIG" if name == "docker" else "REGISTRY_AUTH_FILE"
    assert engines.called(name, "login")["env"][auth].startswith(str(tmp_path / "tmp"))


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("docker", {"DOCKER_HOST", "DOCKER_CONTEXT"}),
        ("podman", {"XDG_RUNTIME_DIR", "STORAGE_DRIVER"}),
    ],
)
def test_an_engine_knows_a_few_variables(
    engines: Engines,
    to: RegistryAddress,
    recipe: Recipe,
    name: str,
    lines: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """S32."""
    engines.install(name)
    for variable in (
        "AWS_SECRET_ACCESS_KEY",
        "LD_LIBRARY_PATH",
        "GIT_DIR",
        "PYTHONPATH",
        "DOCKER_DEFAULT_PLATFORM",
        *lines,
        "https_proxy",
    ):
        monkeypatch.setenv(variable, "/x")
    builder(name).build_and_push(recipe, to, "v1", Said())
    always = {
        "HOME",
        "PATH",
        "TMPDIR",
        "USER",
        "LOGNAME",
        "SSH_AUTH_SOCK",
        "XDG_CONFIG_HOME",
        "LC_ALL",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
    }
    always |= {"http_proxy", "https_proxy", "no_proxy", "LC_CTYPE"}  # LC_CTYPE: Python's own
    ours = (
        {"DOCKER_CONFIG", "BUILDX_NO_DEFAULT_ATTESTATIONS"}
        if name == "docker"
        else {"REGISTRY_AUTH_FILE"}
    )
    for call in engines.calls:
        assert set(call["env"]) <= always | ours | lines
    assert lines | {"https_proxy"} <= set(engines.called(name, "login")["env"])
    assert all(item["sid"] for item in engines.calls)


def test_docker_keeps_the_settings_of_the_person_but_not_our_login(
    engines: Engines,
    to: RegistryAddress,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engines.install("docker")
    mine = {
        "auths": {"hub": {"auth": "x"}},
        "credsStore": "desktop",
        "currentContext": "colima",
        "HttpHeaders": {"a": "b"},
    }
    home = folder(
        tmp_path / "docker",
        {"config.json": json.dumps(mine), "contexts/meta/x": "", "cli-plugins/docker-buildx": ""},
    )
    monkeypatch.setenv("DOCKER_CONFIG", str(home))
    builder("docker").build_and_push(recipe, to, "v1", Said())
    value = engines.called("docker", "login")["config"]
    assert value == {key: mine[key] for key in ("auths", "credsStore", "currentContext")} | {
        "credHelpers": {server(to): ""}
    }
    assert json.loads((home / "config.json").read_text()) == mine


def test_programs_in_the_working_directory_are_not_run(
    engines: Engines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S9."""
    for location in (tmp_path / "here", tmp_path / "here/sub"):
        for name in ("docker", "podman", "buildah"):
            folder(location, {f"{name}*": f"#!/bin/sh\ntouch {tmp_path}/planted\n"})
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("PATH", f".:sub:./sub::{engines.home}")
    assert builder().name == "built-in"
    assert not (tmp_path / "planted").exists()


def test_the_first_engine_that_answers_is_taken(engines: Engines) -> None:
    assert builder().name == "built-in"
    engines.install("buildah")
    assert builder().name == "buildah"
    engines.install("podman")
    assert builder().name == "podman"
    engines.install("docker", down="yes")
    assert builder().name == "podman"
    assert builder("built-in").name == "built-in"


def test_an_engine_that_was_asked_for_and_cannot_be_used_is_refused(engines: Engines) -> None:
    engines.install("docker", down="yes")
    with pytest.raises(Refused, match="docker does not answer"):
        builder("docker")
    with pytest.raises(Refused, match="podman is not installed"):
        builder("podman")
    with pytest.raises(Refused, match="`kaniko` builds no images"):
        builder("kaniko")


def test_a_failed_build_tells_its_last_words(
    engines: Engines, to: RegistryAddress, recipe: Recipe
) -> None:
    engines.install("docker", fails="yes")
    with pytest.raises(ProgramFailed) as error:
        builder().build_and_push(recipe, to, "v1", Said())
    assert (
        str(error.value)
        == 'docker buildx failed: ERROR: failed to solve: process "/bin/sh -c make" did not'
        " complete"
    )


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], "exit code 1"),
        (["a", "b", "", "---"], "b"),
        (["Error: x", "at y"], "Error: x"),
        (["ok", "denied: no", "see logs"], "denied: no"),
    ],
)
def test_the_reason_is_the_last_line_that_says_something(lines: list[str], why: str) -> None:
    assert reason(lines, 1) == why


def test_a_run_that_is_to_stop_ends_the_program(
    engines: Engines, to: RegistryAddress, recipe: Recipe
) -> None:
    engines.install("docker", slow="yes")

    class Stops(Said):
        def check(self) -> None:
            if (engines.home / "started").exists() and (engines.home / "started").read_text():
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        builder().build_and_push(recipe, to, "v1", Stops())
    with pytest.raises(ProcessLookupError):
        os.kill(int((engines.home / "started").read_text()), 0)


def test_a_tag_that_is_taken_is_refused_before_the_build(
    engines: Engines, to: RegistryAddress, recipe: Recipe
) -> None:
    engines.install("docker")
    (engines.home / "pushed").touch()
    with pytest.raises(Refused, match="has this tag already"):
        builder().build_and_push(recipe, to, "v1", Said())
    assert [call["argv"][1] for call in engines.calls] == ["version"]


@pytest.mark.parametrize(
    ("name", "old"), [("docker", ""), ("docker", "yes"), ("podman", ""), ("buildah", "")]
)
@pytest.mark.parametrize("overtaken", ["at the push", "meanwhile"])
def test_a_tag_that_somebody_else_takes_during_the_build_is_told_as_that(
    engines: Engines, to: RegistryAddress, recipe: Recipe, name: str, old: str, overtaken: str
) -> None:
    engines.install(name, old=old, overtaken=overtaken)
    with pytest.raises(TagTaken, match="has this tag already"):
        builder(name).build_and_push(recipe, to, "v1", Said())
    pushes = [call for call in engines.calls if call["argv"][1] == "push"]
    assert len(pushes) == (0 if overtaken == "meanwhile" or (name == "docker" and not old) else 1)


def labelled(labels: object) -> Callable[[RegistryRequest], Answer]:
    """A registry whose image has these labels."""
    config = json.dumps({"config": {"Labels": labels}}).encode()
    manifest = json.dumps({"config": {"digest": digest_of(config)}}).encode()

    def answer(registry_request: RegistryRequest) -> Answer:
        body = config if "/blobs/" in registry_request.path else manifest
        return 200, {"Docker-Content-Digest": digest_of(body), "Content-Type": MANIFEST}, body

    return answer


@pytest.mark.parametrize(
    ("labels", "alike"),
    [
        ({"toolkit:commit": "abc", "more": "x"}, True),
        ({"toolkit:commit": "abd"}, False),
        ({}, False),
        (None, False),
        (["x"], False),
    ],
)
def test_whose_labels_are_ours_was_built_from_the_same(
    recipe: Recipe, engines: Engines, labels: object, alike: bool
) -> None:
    engines.install("podman")
    with scripted(labelled(labels)) as server:
        to = RegistryAddress(
            "1.dkr.ecr.eu-west-1.amazonaws.com", server.url, "app", "AWS", SecretText(PASSWORD)
        )
        assert builder().alike(to, "v1", recipe) is alike


@pytest.mark.parametrize("name", ["docker", "podman"])
def test_what_the_engine_says_must_be_what_the_registry_has(
    engines: Engines, to: RegistryAddress, recipe: Recipe, name: str
) -> None:
    engines.install(name, digest="sha256:" + "e" * 64)
    with pytest.raises(Refused, match="but the registry has sha256:ddd"):
        builder(name).build_and_push(recipe, to, "v1", Said())


def test_an_engine_that_names_no_digest_has_failed(
    engines: Engines, to: RegistryAddress, recipe: Recipe
) -> None:
    engines.install("docker", digest="")
    with pytest.raises(ProgramFailed, match="which digest"):
        builder().build_and_push(recipe, to, "v1", Said())


def test_a_recipe_for_an_engine_needs_a_dockerfile_and_a_context(recipe: Recipe) -> None:
    check_recipe(recipe, "docker")
    with pytest.raises(Refused, match="no Dockerfile `x`"):
        check_recipe(Recipe(recipe.root, "backend", "x"), "docker")
    with pytest.raises(Refused, match="`nowhere` is not a folder"):
        check_recipe(Recipe(recipe.root, "nowhere", "backend/Dockerfile"), "podman")
