"""`container_test` and `--fast`: whole commands, with a scripted AWS and its registry. Those that
run containers need podman.
"""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.artifacts.images.support import Engines
from tests.cli.test_builds import FILES, RULES, ShopProcesses, TwoApps, verdicts
from tests.support.aws import Endpoint, Remote
from tests.support.podman import Podman
from tests.support.podman import podman as podman
from tests.support.run import Toolkit

ANSWERS = '{ port = 8080, path = "/ok", deadline = "20s" }'
SKIPPED = "the container test is skipped (--fast)"
PUSHES = ("registry:StartUpload", "registry:PutManifest", "ecs:UpdateService")


BUILD = 'build = { context = "app" }\n'
TESTED = RULES.replace(BUILD, f"{BUILD}container_test = {ANSWERS}\n")


@pytest.fixture
def shop(tmp_path: Path, aws_endpoint: Endpoint, toolkit: Toolkit) -> TwoApps:
    shop = TwoApps(tmp_path, aws_endpoint, toolkit)
    (shop.repo.path / "rules.toml").write_text(TESTED)
    shop.repo.commit()
    return shop


def test_where_nothing_can_run_a_container_the_deploy_is_refused_before_it_begins(
    shop: TwoApps,
) -> None:
    refused = shop("deploy", "--all", "--yes")
    assert refused.code == 2
    assert "the container test needs docker or podman, but built-in would build" in refused.err
    assert "skip the test with --fast" in refused.err
    assert shop.endpoint.calls.count(*PUSHES, "cloudformation:CreateChangeSet") == 0
    # what it advises works, says what it left out, and keeps that
    done = shop("deploy", "--all", "--yes", "--fast", "--json")
    assert done.code == 0, done.err
    assert f"[worker:build] {SKIPPED}" in done.err
    assert verdicts(done)["web"] == "succeeded"
    shown = shop("logs", done.json["run"], "worker:build")
    assert "container_test=skipped (--fast)" in shown.out


@pytest.mark.parametrize("command", ["deploy", "deploy-app"])
def test_an_image_that_was_pushed_untested_is_not_deployed_as_if_it_were(
    shop: TwoApps, command: str
) -> None:
    assert shop("deploy", "web", "--only-build", "--fast", "--yes").code == 0
    before = shop.running("web")
    refused = shop(command, "web", "--yes")
    assert refused.code == 2
    assert f"image {shop.repo.head} was pushed without a container test" in refused.err
    assert shop.running("web") == before
    assert shop(command, "web", "--yes", "--fast").code == 0
    assert shop.running("web") == shop.image("web") != before


def test_without_a_container_test_nothing_is_skipped(shop: TwoApps) -> None:
    shop.repo.write({"rules.toml": RULES})
    shop.repo.commit()
    done = shop("deploy", "web", "--yes", "--fast")
    assert done.code == 0, done.err
    assert SKIPPED not in done.err


@pytest.mark.parametrize(
    ("options", "test"),
    [((), "200 at port 8080, /ok"), (("--fast",), "skipped (--fast)")],
)
def test_a_dry_run_says_what_is_tested(
    shop: TwoApps,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    test: str,
) -> None:
    engines = Engines(tmp_path / "bin")
    engines.install("podman")
    monkeypatch.setenv("PATH", f"{engines.home}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TOOLKIT_BUILDER", "podman")
    shown = shop("deploy", "web", "--test", "--json", *options)
    assert shown.code == 0, shown.err
    build = next(step for step in shown.json["steps"] if step["step"] == "web:build")
    assert [call["container_test"] for call in build["calls"]] == [test]
    text = " ".join(shop("deploy", "web", "--test", *options).out.split())
    assert f"container_test={test}" in text
    assert [call["argv"][1] for call in engines.calls if call["argv"][1] in ("run", "build")] == []


# With podman

SERVES = (
    'FROM scratch\nCOPY busybox /bin/busybox\nCOPY www /www\nCMD ["/bin/busybox", "httpd", "-f",'
    ' "-p", "8080", "-h", "/www"]\n'
)


class Town(ShopProcesses):
    """An app whose image podman builds and tests."""

    def __init__(self, remote: Remote, folder: Path, podman: Podman) -> None:
        files = {**FILES, "app/Dockerfile": SERVES, "app/www/ok": "ok\n"}
        own = {**podman.environment, "TOOLKIT_BUILDER": "podman"}
        super().__init__(remote, folder, ("web",), files, TESTED, **own)
        self.podman = podman
        shutil.copy(podman.busybox, self.repo.path / "app" / "busybox")
        self.repo.commit()

    def never_answers(self) -> None:
        """From now on the page is missing."""
        self.repo.write({"app/www/ok2": "ok\n"})
        (self.repo.path / "app/www/ok").unlink()
        self.repo.commit()

    def until_it_runs(self, child: "subprocess.Popen[bytes]") -> str:
        """The id of the container that is being tested."""
        until = time.monotonic() + 60
        while not (running := self.podman.containers("--filter", "status=running")):
            assert time.monotonic() < until
            assert child.poll() is None, child.communicate()
            time.sleep(0.05)
        return running[0]


@pytest.fixture
def town(aws_process: Remote, tmp_path: Path, podman: Podman) -> Town:
    return Town(aws_process, tmp_path, podman)


@pytest.mark.slow("engines")
def test_an_image_whose_container_answers_is_pushed_and_deployed(town: Town) -> None:
    done = town.ended("deploy-app", "web", "--yes", "--json")
    assert done.code == 0, done.err
    assert verdicts(done) == {"web:build": "succeeded", "web": "succeeded"}
    log = town.ended("logs", done.json["run"], "web:build").out
    assert "the container answered GET /ok at port 8080 with status 200" in log
    assert town.podman.containers() == []
    calls = town.remote.calls()
    assert (calls.applied("registry:PutManifest"), calls.applied("ecs:UpdateService")) == (1, 1)


@pytest.mark.slow("engines")
def test_an_image_whose_container_does_not_answer_is_not_pushed(town: Town) -> None:
    town.never_answers()
    rules = (town.repo.path / "rules.toml").read_text().replace("20s", "3s")
    town.repo.write({"rules.toml": rules})
    town.repo.commit()
    done = town.ended("deploy-app", "web", "--yes", "--json")
    assert done.code == 1
    assert verdicts(done) == {"web:build": "failed", "web": "skipped"}
    cause = next(step["cause"] for step in done.json["steps"] if step["step"] == "web:build")
    assert cause == (
        "the container test failed: the container did not answer GET /ok at port 8080 with status"
        " 200 within 3 s: it answered 404"
    )
    assert town.podman.containers() == []
    assert town.remote.calls().count("registry:StartUpload", "registry:PutManifest") == 0


@pytest.mark.slow("engines")
def test_a_stopped_deploy_leaves_no_container_and_a_killed_one_leaves_it_to_the_next(
    town: Town,
) -> None:
    town.never_answers()
    with town.started("deploy-app", "web", "--yes") as child:
        town.until_it_runs(child)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert child.returncode == 130, (out, err)
    assert town.podman.containers() == []
    with town.started("deploy-app", "web", "--yes") as child:
        left = town.until_it_runs(child)
        child.kill()
        child.communicate(timeout=60)
    assert town.podman.containers() == [left]
    town.repo.write({"app/www/ok": "ok\n"})
    town.repo.commit()
    done = town.ended("deploy-app", "web", "--yes", "--json")
    assert done.code == 0, done.err
    log = town.ended("logs", done.json["run"], "web:build").out
    assert f"removing container {left}, whose test was killed" in log
    assert town.podman.containers() == []
