"""`toolkit sandbox`: up, down, status, reset."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from tests.sandbox.test_engine import eventually
from tests.support.run import ROOT, Result, process
from tests.support.sandbox import CACHE
from toolkit.ports.aws.client import Aws
from toolkit.sandbox import box, server

EXAMPLE = ROOT / "examples" / "car-rental"

SMALL = """\
version = 1
environment = "dev"
[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]
profile = "car-rental-dev"
[environments.prod]
account = "222222222222"
regions = ["eu-west-1"]
[targets.web]
kind = "site"
source = "dist"
bucket = "car-rental-web"
"""
"""Rules without a service: nothing has to start."""


@pytest.fixture
def location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with small rules, and a state folder of its own; what is left running ends."""
    monkeypatch.setenv("TOOLKIT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("TOOLKIT_CACHE_DIR", str(CACHE))
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "rules.toml").write_text(SMALL)
    yield folder
    with box.exclusive():
        box.stop_sandbox()


@pytest.fixture
def example(location: Path) -> Path:
    """The same with the example's rules and Dockerfile: with services."""
    (location / "backend").mkdir()
    (location / "smoke").mkdir()
    for name in ("rules.toml", "backend/Dockerfile", "smoke/checks.toml"):
        shutil.copy(EXAMPLE / name, location / name)
    return location


def sandbox(folder: Path, *args: str) -> Result:
    return process(folder, "sandbox", *args)


def env(folder: Path, *args: str) -> dict[str, str]:
    by_name: dict[str, str] = sandbox(folder, "up", "--json", *args).json["env"]
    return by_name


def use(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, profile: str) -> Aws:
    """What a command of ours would make of these variables."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Aws(profile, "eu-west-1")


def kept() -> box.Box:
    result = box.load()
    assert result is not None
    return result


def test_up_makes_what_the_example_needs_and_status_tells_where_services_answer(
    example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = env(example)
    dev, prod = (
        use(variables, monkeypatch, "car-rental-dev"),
        use(variables, monkeypatch, "car-rental-prod"),
    )
    assert (dev.account(), prod.account()) == ("111111111111", "222222222222")
    for aws, suffix in ((dev, ""), (prod, "-prod")):
        [json] = aws.read(
            "ecs", "describe_services", cluster=f"car-rental{suffix}", services=[f"backend{suffix}"]
        )["services"]
        assert (json["status"], json["deployments"][0]["rolloutState"]) == ("ACTIVE", "COMPLETED")
        assert aws.read(
            "ecr",
            "describe_images",
            repositoryName=f"car-rental-backend{suffix}",
            imageIds=[{"imageTag": "latest"}],
        )
        assert [
            item["Name"]
            for item in aws.read("s3", "list_buckets")["Buckets"]
            if "web" in item["Name"]
        ] == [f"car-rental-web{suffix}"]
    json = sandbox(example, "status", "--json").json
    urls = [item["url"] for item in json["provisioned"] if item["what"] == "service"]
    assert len(urls) == 2
    for url in urls:
        eventually(partial(answers, url + "health"))
    text = sandbox(example, "status").out
    assert json["url"] in text
    assert urls[0] in text


def answers(url: str) -> bool:
    completed_process = subprocess.run(
        [
            sys.executable,
            "-c",
            (
                "import sys, urllib.request as u;"
                " sys.stdout.buffer.write(u.urlopen(sys.argv[1]).read())"
            ),
            url,
        ],
        capture_output=True,
        env={"NO_PROXY": "*", "PATH": os.environ["PATH"]},
    )
    return completed_process.stdout == b"sandbox: nothing deployed\n"


def test_up_twice_is_one_sandbox_and_says_so(location: Path) -> None:
    first = sandbox(location, "up")
    again = sandbox(location, "up")
    assert (first.code, again.code) == (0, 0)
    assert first.out == again.out
    assert "already up" in again.err


def test_a_shell_can_read_the_lines_of_up_and_of_down(location: Path) -> None:
    script = """
        eval "$("$@" sandbox up 2>/dev/null)"
        echo "$AWS_ACCESS_KEY_ID $AWS_ENDPOINT_URL"
        eval "$("$@" sandbox down)"
        echo "${AWS_REGION-unset}"
    """
    command = ["sh", "-ec", script, "sh", sys.executable, "-m", "toolkit"]
    done = subprocess.run(
        command,
        cwd=location,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    lines = done.stdout.splitlines()
    assert lines[0].startswith("111111111111 http://127.0.0.1:")
    assert lines[1:] == ["unset"]


def test_the_account_is_that_of_the_environment_that_is_named(location: Path) -> None:
    assert env(location, "--env", "prod")["AWS_ACCESS_KEY_ID"] == "222222222222"


def test_down_ends_it_and_everything_that_it_started_and_again_is_no_error(example: Path) -> None:
    env(example)
    kept_server = kept().server
    tasks = eventually(lambda: children(kept_server))
    assert sandbox(example, "down").code == 0
    assert not server.is_running(kept_server)
    eventually(lambda: not any(os.path.exists(f"/proc/{pid}/cwd") and alive(pid) for pid in tasks))
    assert not os.path.exists(box.folder())
    again = sandbox(example, "down")
    assert (again.code, again.out) == (0, "")
    assert "was not running" in again.err


def test_a_shell_that_still_has_the_variables_is_told_to_drop_them(
    example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = env(example)
    assert set(exported) == set(box.VARIABLES)
    assert sandbox(example, "down").code == 0
    monkeypatch.setenv("AWS_CONFIG_FILE", exported["AWS_CONFIG_FILE"])
    again = sandbox(example, "down")
    assert again.out == f"unset {' '.join(box.VARIABLES)}\n"


def children(of: server.Server) -> list[int]:
    """The processes of its tasks: they have their own sessions, and their files in its folder."""
    result = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.readlink(f"/proc/{name}/cwd").startswith(
                os.path.join(of.folder, "task-")
            ):
                result.append(int(name))
        except OSError:
            continue
    return result if len(result) >= 2 else []


def alive(pid: int) -> bool:
    try:
        return b") Z " not in Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False


def test_a_killed_one_is_told_as_not_running_takes_its_tasks_along_and_is_started_anew(
    example: Path,
) -> None:
    first = env(example)
    old = kept().server
    tasks = eventually(lambda: children(old))
    os.kill(old.pid, signal.SIGKILL)
    eventually(lambda: not server.is_running(old))
    result = sandbox(example, "status")
    assert result.code == 1
    assert "not running; it has crashed" in result.err
    eventually(lambda: not any(alive(pid) for pid in tasks))
    assert env(example) == first
    assert sandbox(example, "status").code == 0


def test_a_state_file_with_a_pid_that_is_somebody_elses_by_now_does_no_harm(location: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    ) as stranger:
        os.makedirs(box.folder(), mode=0o700)
        stale = server.Server(stranger.pid, "1", 1, "token", box.folder())
        box.save(box.Box(stale, "2026-01-01T00:00:00+00:00", "eu-west-1"))
        assert sandbox(location, "status").code == 1
        assert sandbox(location, "down").code == 0
        assert stranger.poll() is None
        stranger.communicate(b"\n")
    assert stranger.returncode == 0


def test_reset_empties_it_and_makes_everything_anew(
    location: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = env(location)
    aws = use(variables, monkeypatch, "car-rental-dev")
    where: dict[str, Any] = {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}
    aws.write("s3", "create_bucket", Bucket="left-over", **where)
    result = sandbox(location, "reset", "--json")
    assert result.json["env"] == variables
    names = [item["Name"] for item in aws.read("s3", "list_buckets")["Buckets"]]
    assert "left-over" not in names
    assert "car-rental-web" in names


def test_what_holds_the_secret_is_for_nobody_else_to_read(location: Path) -> None:
    before = os.umask(0)
    try:
        secret = env(location)["AWS_SECRET_ACCESS_KEY"]
    finally:
        os.umask(before)
    holders = [
        path
        for path in Path(box.folder()).rglob("*")
        if path.is_file() and secret.encode() in path.read_bytes()
    ]
    assert {path.name for path in holders} == {"sandbox.json", "aws-credentials"}
    assert {path.stat().st_mode & 0o777 for path in holders} == {0o600}
    assert Path(box.folder()).stat().st_mode & 0o777 == 0o700
    assert secret not in sandbox(location, "status", "--json").out


def test_the_secret_is_another_one_after_down_and_the_same_after_reset_and_a_crash(
    location: Path,
) -> None:
    first = env(location)["AWS_SECRET_ACCESS_KEY"]
    assert sandbox(location, "reset", "--json").json["env"]["AWS_SECRET_ACCESS_KEY"] == first
    os.killpg(kept().server.pid, signal.SIGKILL)
    assert env(location)["AWS_SECRET_ACCESS_KEY"] == first
    sandbox(location, "down")
    again = env(location)["AWS_SECRET_ACCESS_KEY"]
    assert again != first
    assert len(again) >= 40


def test_reset_without_one_is_refused(location: Path) -> None:
    result = sandbox(location, "reset")
    assert result.code == 2
    assert "toolkit sandbox up" in result.err


def test_without_rules_it_starts_empty(location: Path, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    result = sandbox(tmp_path / "nothing", "up", "--json")
    assert (result.code, result.json["status"], result.json["provisioned"]) == (0, "started", [])
    assert "no rules.toml" in result.err


def test_a_stack_takes_the_place_of_the_service_that_was_made_beforehand(
    example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws = use(env(example), monkeypatch, "car-rental-dev")
    service = {
        "Cluster": "car-rental",
        "ServiceName": "backend",
        "TaskDefinition": "backend",
        "DesiredCount": 0,
        "LaunchType": "FARGATE",
    }
    template = msgspec.json.encode(
        {"Resources": {"It": {"Type": "AWS::ECS::Service", "Properties": service}}}
    ).decode()
    aws.write("cloudformation", "create_stack", StackName="s", TemplateBody=template)

    def created() -> bool:
        status = aws.read("cloudformation", "describe_stacks", StackName="s")["Stacks"][0][
            "StackStatus"
        ]
        assert status in ("CREATE_IN_PROGRESS", "CREATE_COMPLETE")
        return bool(status == "CREATE_COMPLETE")

    eventually(created)
    [actual] = aws.read("ecs", "describe_services", cluster="car-rental", services=["backend"])[
        "services"
    ]
    assert (actual["desiredCount"], actual["loadBalancers"]) == (0, [])


def test_a_start_that_fails_names_its_log(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(Exception, match=f"see {tmp_path}/log"):
        server.start("/bin/false", str(tmp_path), "eu-west-1")
    assert time.monotonic() - started < 5


def answered(url: str, host: str) -> tuple[int, bytes]:
    """What the sandbox says under a host's name."""
    split = urlsplit(url)
    connection = http.client.HTTPConnection(split.hostname or "", split.port, timeout=10)
    try:
        connection.request("GET", "/cars?x=1", headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_the_addresses_of_rules_toml_lead_to_their_services_also_after_a_reset_and_a_restart(
    example: Path,
) -> None:
    variables = env(example)
    url = variables["AWS_ENDPOINT_URL"]
    port = url.rpartition(":")[2]
    assert (
        variables["TOOLKIT_CONNECT_TO"]
        == f"api.dev.example.com=127.0.0.1:{port},api.example.com=127.0.0.1:{port}"
    )

    def all_answer() -> bool:
        hosts = ("api.dev.example.com", "API.example.com:80")
        return all(answered(url, host) == (200, b"sandbox: nothing deployed\n") for host in hosts)

    eventually(all_answer)
    assert answered(url, "other.example.com")[0] == 403
    assert sandbox(example, "reset").code == 0
    eventually(all_answer)
    os.killpg(kept().server.pid, signal.SIGKILL)
    assert env(example)["AWS_ENDPOINT_URL"] == url
    eventually(all_answer)


def test_nobody_without_the_token_can_name_a_host(example: Path) -> None:
    url = env(example)["AWS_ENDPOINT_URL"]
    split = urlsplit(url)
    for headers in ({}, {"X-Toolkit-Token": "guessed"}):
        connection = http.client.HTTPConnection(split.hostname or "", split.port, timeout=10)
        connection.request(
            "POST", "/_toolkit/hosts", b'{"evil.example.com": "/_service/1/2/3/4"}', headers
        )
        connection.getresponse().read()
        connection.close()
    assert answered(url, "evil.example.com")[0] == 403
