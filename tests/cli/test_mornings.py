"""Mornings with `toolkit health`: another client has changed something at night, and each thing is
found, caused, and fixed by the command that is printed. One system for the whole file, in order.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pexpect
import pytest
from syrupy.assertion import SnapshotAssertion

from tests.cli.test_wellbeing import main, same
from tests.cli.town import CRASH, DOCKERFILE, Town, eventually
from tests.support.run import Result
from tests.support.screen_reader import assert_in_order

pytestmark = [pytest.mark.slow("sandbox"), pytest.mark.sandbox]

RULES = """\
version = 1
project = "mornings"
environment = "dev"

[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]

[targets.app]
kind = "app"
cluster = "town"
service = "web"
repository = "web"
build = { context = "app", args = { VERSION = "{commit}" } }
health = ["http://web.example.com/health"]
settle = "2s"

[targets.queue]
kind = "stack"
stack = "TownQueue"
template = "queue.json"

[targets.topic]
kind = "stack"
stack = "TownTopic"
template = "topic.json"

[checks.jobs]
aws = "queue:jobs"
"""
QUEUE = '{"Resources": {"Jobs": {"Type": "AWS::SQS::Queue"}}}'
TOPIC = '{"Resources": {"News": {"Type": "AWS::SNS::Topic"}}}'
FILES = {
    "app/Dockerfile": DOCKERFILE,
    "app/main.py": main("hello"),
    "queue.json": QUEUE,
    "topic.json": TOPIC,
}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    created = Town(tmp_path_factory.mktemp("town"), RULES, FILES)
    deployed = created("deploy", "--all", "--yes")
    assert deployed.code == 0, deployed.out + deployed.err
    yield created
    created.down()


def commands(done: Result) -> list[str]:
    """The commands as they are printed, whole on their lines."""
    lines = [row.strip() for row in done.out.splitlines() if row.startswith("    ")]
    return [row for row in lines if row.startswith(("toolkit ", "aws "))]


def run_as_printed(town: Town, command: str) -> None:
    """In a shell, where `toolkit` is this one, and `aws` knows as much as is needed."""
    folder = town.folder / "bin"
    folder.mkdir(exist_ok=True)
    for name, module in (("toolkit", "toolkit"), ("aws", "tests.support.aws_cli")):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n')
        script.chmod(0o755)
    env = {**town.env, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-c", f"{command} --yes" if " deploy" in command else command],
        cwd=town.repo.path,
        env=env,
        capture_output=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def is_well(town: Town) -> bool:
    done = town("health", "--json")
    return bool(done.json["status"] == "ok")


def all_well(town: Town) -> None:
    eventually(lambda: is_well(town), 30)


def test_nothing_is_wrong(town: Town, snapshot: SnapshotAssertion) -> None:
    done = town("health")
    assert done.code == 0
    assert same(done.out) == snapshot


def scale_to_none(town: Town) -> None:
    town.cloud("ecs").update_service(cluster="town", service="web", desiredCount=0)
    eventually(lambda: town.answer() != "hello")


def test_somebody_has_scaled_a_service_to_nothing_at_night(
    town: Town, snapshot: SnapshotAssertion
) -> None:
    scale_to_none(town)
    done = town("health")
    assert done.code == 1
    assert same(done.out) == snapshot
    quiet = town("health", "-q")
    assert (quiet.code, quiet.out.splitlines()[0]) == (1, "app: failing")
    [command] = commands(done)
    run_as_printed(town, command)
    all_well(town)
    assert town.answer() == "hello"


@pytest.mark.parametrize("breaks", ["stacks", "image", "queue"])
def test_what_somebody_has_deleted_or_changed_is_restored_by_the_printed_command(
    town: Town, breaks: str
) -> None:
    if breaks == "stacks":
        for name in ("TownQueue", "TownTopic"):
            town.cloud("cloudformation").delete_stack(StackName=name)
        expected = "toolkit deploy queue topic"
    elif breaks == "image":
        ecr = town.cloud("ecr")
        images = ecr.list_images(repositoryName="web")["imageIds"]
        digests = [{"imageDigest": image["imageDigest"]} for image in images]
        ecr.batch_delete_image(repositoryName="web", imageIds=digests)
        expected = "toolkit deploy-app app"
    else:
        sqs = town.cloud("sqs")
        sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName="jobs")["QueueUrl"])
        done = town("health", "jobs")
        assert (done.code, commands(done)) == (1, [])
        assert "correct its name in rules.toml, or create it first" in " ".join(done.out.split())
        sqs.create_queue(QueueName="jobs")
        all_well(town)
        return
    done = town("health")
    [command] = commands(done)
    assert command.startswith(expected)
    run_as_printed(town, command)
    all_well(town)


def test_a_version_that_crashes_is_fixed_by_what_its_log_says(town: Town) -> None:
    rules = RULES.replace('health = ["http://web.example.com/health"]\n', "")
    slowly = "import time\ntime.sleep(4)\n"
    town.repo.commit(files={"app/main.py": slowly + CRASH, "rules.toml": rules})
    town("deploy-app", "--yes", "--no-checks")

    def crashed() -> bool:
        return "no database here" in town("health", "app").out

    eventually(crashed, 40)
    done = town("health", "app")
    assert done.code in (0, 1)
    assert "    | no database here\n" in done.out
    assert " exited with code 3" in done.out
    town.repo.commit(files={"app/main.py": main("hello"), "rules.toml": RULES})
    run_as_printed(town, next(text for text in commands(done) if text.startswith("toolkit ")))
    all_well(town)


class SingleSignOn(http.server.BaseHTTPRequestHandler):
    """Gives the sandbox's keys to whoever has signed in."""

    keys: ClassVar[dict[str, str | int]] = {}

    def do_GET(self) -> None:
        """The credentials of a role."""
        body = json.dumps({"roleCredentials": self.keys}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def single_sign_on(town: Town) -> Iterator[Path]:
    """The keys come from a login, which has expired; the file of the login."""
    SingleSignOn.keys = {
        "accessKeyId": town.env["AWS_ACCESS_KEY_ID"],
        "secretAccessKey": town.env["AWS_SECRET_ACCESS_KEY"],
        "sessionToken": town.env.get("AWS_SESSION_TOKEN", "token"),
        "expiration": int((time.time() + 3600) * 1000),
    }
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), SingleSignOn)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    before, home = town.env, town.folder / "home"
    cache = home / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    config = home / ".aws" / "config"
    config.write_text(
        "[profile town-dev]\nregion = eu-west-1\nsso_session = town\n"
        "sso_account_id = 111111111111\nsso_role_name = Admin\n"
        "[sso-session town]\nsso_start_url = https://town.example.com\nsso_region = eu-west-1\n"
    )
    token = cache / f"{hashlib.sha1(b'town').hexdigest()}.json"  # noqa: S324 (as the CLI names it)
    log_in(token, -timedelta(hours=1))
    kept = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    town.env = {name: value for name, value in before.items() if name not in kept}
    town.env |= {
        "HOME": str(home),
        "AWS_PROFILE": "town-dev",
        "AWS_CONFIG_FILE": str(config),
        "AWS_ENDPOINT_URL_SSO": f"http://127.0.0.1:{server.server_port}",
        "AWS_CLI_SIGN_IN": f"{sys.executable} -m tests.cli.test_mornings {token}",
    }
    yield token
    town.env = before
    server.shutdown()
    server.server_close()


def log_in(token: Path, end: timedelta) -> None:
    """What `aws sso login` leaves behind."""
    expires = datetime.now(UTC) + end
    document = {
        "startUrl": "https://town.example.com",
        "region": "eu-west-1",
        "accessToken": "token",
        "expiresAt": f"{expires:%Y-%m-%dT%H:%M:%SZ}",
    }
    token.write_text(json.dumps(document))


def test_a_login_has_expired(town: Town, single_sign_on: Path, snapshot: SnapshotAssertion) -> None:
    assert single_sign_on.exists()
    done = town("health")
    assert done.code == 7
    assert same(done.out) == snapshot
    signs = {
        sign["what"]: sign["status"]
        for report in town("health", "--json").json["checkups"]
        for sign in report["signs"]
    }
    assert signs["http://web.example.com/health"] == "ok"  # it needs no credentials
    command = next(text for text in commands(done) if text.startswith("aws "))
    run_as_printed(town, command)
    all_well(town)


# The screens


def shown(town: Town, columns: int, rows: int, **env: str) -> tuple[str, int | None]:
    """What a terminal of this size is sent, and the exit code."""
    sizes = ("COLUMNS", "LINES")  # they would hide the terminal's own
    usual = {name: value for name, value in town.env.items() if name not in sizes}
    child = pexpect.spawn(
        sys.executable,
        ["-m", "toolkit", "health"],
        cwd=str(town.repo.path),
        env={**usual, "TERM": "xterm", **env},
        dimensions=(rows, columns),
        timeout=60,
        encoding="utf-8",
    )
    child.expect(pexpect.EOF)
    child.close()
    return str(child.before).replace("\r\n", "\n"), child.exitstatus


def plain(text: str) -> str:
    """Without what draws the spinner and removes it again."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", text)
    text = re.sub(r"[-|/\\] checking \.\.\.\n*", "", text)
    return same(text)


def test_the_screens_are_as_they_were_read(town: Town, snapshot: SnapshotAssertion) -> None:
    scale_to_none(town)
    try:
        for columns, rows in ((80, 24), (120, 40)):
            text, code = shown(town, columns, rows)
            assert code == 1
            assert plain(text) == snapshot(name=f"{columns}x{rows}")
            assert_in_order(plain(text))
        usual = plain(shown(town, 80, 24)[0])
        for env in ({"TERM": "dumb"}, {"NO_COLOR": "1"}, {"LANG": "C", "LC_ALL": "C"}):
            text, _ = shown(town, 80, 24, **env)
            assert plain(text) == usual, env
        assert same(town("health").out) == usual
    finally:
        town.cloud("ecs").update_service(cluster="town", service="web", desiredCount=1)
    all_well(town)


def tmux(*words: str) -> str:
    done = subprocess.run(
        ["tmux", "-L", f"toolkit-{os.getpid()}", "-f", "/dev/null", *words],
        capture_output=True,
        check=True,
        env={**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm"},
    )
    return done.stdout.decode()


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (120, 40)])
def test_a_watch_fits_the_screen_marks_what_changes_and_leaves_its_last_line(
    town: Town, columns: int, rows: int
) -> None:
    many = "".join(
        f'[targets.gone{number}]\nkind = "stack"\nstack = "Gone{number}"\ntemplate = "t.json"\n'
        for number in range(50)
    )
    rules = town.folder / "many.toml"
    rules.write_text(RULES + many)
    words = [sys.executable, "-m", "toolkit", "health", "--watch", "--interval", "1s"]
    names = ("PATH", "PYTHONPATH", "HOME", *(name for name in town.env if "TOOLKIT" in name))
    names += tuple(name for name in town.env if name.startswith("AWS_"))
    env = [f"{name}={town.env[name]}" for name in names if name in town.env]
    shutil.copy(rules, town.repo.path / "many.toml")
    command = ["env", *env, *words, "--rules", "many.toml"]
    size = ("-x", str(columns), "-y", str(rows))
    script = town.folder / "watch.sh"
    script.write_text(
        f"trap : INT\ncd {town.repo.path}\n{subprocess.list2cmdline(command)}\n"
        "echo ended: $?\nsleep 60\n"
    )
    tmux("new-session", "-d", *size, "sh", str(script))
    try:
        last = r"\d+ ok, \d+ failing in "

        def screen() -> str:
            return tmux("capture-pane", "-p")

        eventually(lambda: re.search(last, screen()) is not None, 60)
        text = screen()
        assert len(text.rstrip("\n").splitlines()) <= rows
        assert "  failing  " in text
        assert "... and " in text
        scale_to_none(town)
        eventually(lambda: "failing (was ok)" in screen(), 60)
        assert re.search(r"app +failing \(was ok\)", screen())
        tmux("send-keys", "C-c")
        eventually(lambda: "ended: 0" in screen(), 30)
        ended = screen().rstrip().splitlines()
        assert re.search(last, "\n".join(ended[-4:]))
        assert "Traceback" not in screen()
    finally:
        tmux("kill-server")
        town.cloud("ecs").update_service(cluster="town", service="web", desiredCount=1)
        (town.repo.path / "many.toml").unlink()
    all_well(town)


if __name__ == "__main__":
    log_in(Path(sys.argv[1]), timedelta(hours=8))
