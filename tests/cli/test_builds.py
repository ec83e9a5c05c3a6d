"""What is built once for several targets and regions, and begins at once: whole commands, with a
scripted AWS and its registry.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.aws import Endpoint, Remote
from tests.support.builders import CountingBuilder
from tests.support.repo import Repo
from tests.support.run import ROOT, Result, Toolkit
from toolkit.artifacts import images
from toolkit.errors import ProgramFailed
from toolkit.flow import runs

RULES = """\
version = 1
project = "shop"
environment = "dev"

[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]

[targets.web]
kind = "app"
cluster = "main"
service = "web"
repository = "web"
build = { context = "app" }
needs = ["queue"]

[targets.worker]
kind = "app"
cluster = "main"
service = "worker"
repository = "worker"
build = { context = "app" }

[targets.queue]
kind = "stack"
stack = "Queue"
template = "infra/queue.json"

[[rules]]
name = "All"
paths = ["**"]
deploy = ["web", "worker", "queue"]
"""
FILES = {
    "app/Dockerfile": 'FROM scratch\nCOPY hello /hello\nCMD ["/hello"]\n',
    "app/hello": "hello",
    "infra/queue.json": json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}),
}
EU, US = "eu-west-1", "us-east-1"
DEPLOY = ("deploy", "--all", "--yes")


class TwoApps:
    """Two apps with a repository each and one build, and a stack that one of them needs."""

    def __init__(self, folder: Path, endpoint: Endpoint, toolkit: Toolkit) -> None:
        self.endpoint, self._toolkit = endpoint, toolkit
        self.repo = Repo.make(folder / "repo", FILES, RULES)
        self.provide(EU)
        endpoint.calls.clear()

    def provide(self, region: str) -> None:
        """What is there before, in a region."""
        ecr, ecs = self.endpoint.at(region, "ecr"), self.endpoint.at(region, "ecs")
        for name in ("web", "worker"):
            uri = ecr.repository(name).uri
            ecs.service(name, f"{uri}@{ecr.image(name, 'old').digest}", cluster="main")

    def __call__(self, *args: str) -> Result:
        return self._toolkit(self.repo.path, *args)

    def rules(self, before: str, after: str) -> None:
        """Other rules, committed."""
        path = self.repo.path / "rules.toml"
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))
        self.repo.commit()

    def image(self, name: str, region: str = EU) -> str:
        """The digest that a repository has for the commit."""
        found = self.endpoint.at(region, "ecr").repository(name).found(self.repo.head)
        return "" if found is None else str(found.digest)

    def running(self, name: str, region: str = EU) -> str:
        """The digest that a service runs."""
        ecs = self.endpoint.at(region, "ecs")
        body = ecs.definitions[ecs.find(name).definition].body
        return str(body["containerDefinitions"][0]["image"].partition("@")[2])


def verdicts(done: Result) -> dict[str, str]:
    """The verdict of each step of a run with --json."""
    return {step["step"]: step["verdict"] for step in done.json["steps"]}


@pytest.fixture
def shop(tmp_path: Path, aws_endpoint: Endpoint, toolkit: Toolkit) -> TwoApps:
    return TwoApps(tmp_path, aws_endpoint, toolkit)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> CountingBuilder:
    counted = CountingBuilder()
    monkeypatch.setattr(images, "builder", lambda name=None: counted)
    return counted


# Once


def test_two_apps_with_two_repositories_share_one_build_and_run_one_digest(
    shop: TwoApps, engine: CountingBuilder
) -> None:
    done = shop(*DEPLOY, "--json")
    assert done.code == 0, done.err
    assert verdicts(done) == dict.fromkeys(("queue", "worker:build", "web", "worker"), "succeeded")
    digests = [shop.image("web"), shop.image("worker"), shop.running("web"), shop.running("worker")]
    assert (engine.builds, len(set(digests))) == (1, 1)
    [build] = [step for step in done.json["steps"] if step["action"] == "build"]
    assert build["outputs"] == {"image": f"worker@{digests[0]}"}


def test_two_regions_share_one_build_and_run_one_digest(
    shop: TwoApps, engine: CountingBuilder
) -> None:
    shop.provide(US)
    shop.rules(f'regions = ["{EU}"]', f'regions = ["{EU}", "{US}"]')
    done = shop("deploy-app", "worker", "--yes", "--json")
    assert (done.code, list(verdicts(done))) == (
        0,
        [f"worker@{EU}:build", f"worker@{EU}", f"worker@{US}"],
    )
    digests = {shop.image("worker", EU), shop.running("worker", EU)}
    digests |= {shop.image("worker", US), shop.running("worker", US)}
    assert (engine.builds, len(digests)) == (1, 1)


def test_two_environments_share_one_build_and_run_one_digest(
    shop: TwoApps, engine: CountingBuilder
) -> None:
    shop.provide(US)
    staging = f'[environments.staging]\naccount = "111111111111"\nregions = ["{US}"]\n\n'
    shop.rules("[targets.web]", f"{staging}[targets.web]")
    words = ("deploy", "worker", "--env", "dev", "--env", "staging", "--yes", "--json")
    done = shop(*words)
    assert done.code == 0, done.err
    assert list(verdicts(done)) == ["worker@dev:build", "worker@dev", "worker@staging"]
    assert (engine.builds, shop.running("worker", EU)) == (1, shop.running("worker", US))


def test_what_is_built_in_another_way_is_another_build(
    shop: TwoApps, engine: CountingBuilder
) -> None:
    shop.rules(
        'repository = "worker"\nbuild = { context = "app" }',
        'repository = "worker"\nbuild = { context = "app", args = { COLOUR = "blue" } }',
    )
    done = shop(*DEPLOY, "--json")
    assert (done.code, engine.builds) == (0, 2)
    assert {"web:build", "worker:build"} < verdicts(done).keys()
    assert shop.image("web") != shop.image("worker")


def test_what_is_there_needs_no_build(shop: TwoApps, engine: CountingBuilder) -> None:
    assert shop(*DEPLOY).code == 0
    done = shop(*DEPLOY, "--json", "--force")
    assert (done.code, engine.builds) == (0, 1)
    assert set(verdicts(done)) == {"worker", "queue", "web"}


def test_the_dry_run_has_the_build_as_a_step_and_its_push_once(
    shop: TwoApps, engine: CountingBuilder
) -> None:
    shop.rules('repository = "worker"', 'repository = "web"')
    steps = shop("deploy", "--all", "--dry-run", "--json").json["steps"]
    pushes = [
        step["step"] for step in steps for call in step["calls"] if "PutImage" in call["call"]
    ]
    needs = {step["step"]: step["needs"] for step in steps}
    assert pushes == ["worker:build"]
    assert needs == {
        "queue": [],
        "worker:build": [],
        "web": ["queue", "worker:build"],
        "worker": ["worker:build"],
    }
    [line] = [
        line
        for line in shop("deploy", "--all", "--dry-run").out.splitlines()
        if line.startswith("  worker:build ")
    ]
    assert line.endswith("  image for worker, web, included in their times")
    assert engine.builds == 0


def test_another_repository_of_a_run_shows_its_own_push(
    shop: TwoApps, engine: CountingBuilder
) -> None:
    steps = shop("deploy", "--all", "--dry-run", "--json").json["steps"]
    pushes = [
        step["step"] for step in steps for call in step["calls"] if "PutImage" in call["call"]
    ]
    assert pushes == ["worker:build", "web"]


# At once


def test_a_build_begins_beside_the_stack_that_its_app_needs(
    shop: TwoApps, engine: CountingBuilder
) -> None:
    cloud = shop.endpoint.cloudformation

    def stack_is_going() -> None:
        until = time.monotonic() + 20
        while not shop.endpoint.calls.count("cloudformation:CreateChangeSet"):
            assert time.monotonic() < until
            time.sleep(0.01)

    assert cloud is not None
    engine.before = stack_is_going
    done = shop(*DEPLOY)
    assert done.code == 0, done.err
    lines = done.err.splitlines()
    order = ["[worker:build] building", "[queue] done", "[web] deploying"]
    places = [
        next(place for place, line in enumerate(lines) if line.startswith(words)) for words in order
    ]
    assert places == sorted(places), done.err


# What does not go well


def failing() -> None:
    raise ProgramFailed(program="counted", reason="no space left")


def test_a_build_that_fails_skips_what_needs_it_and_the_run_has_failed(
    shop: TwoApps, engine: CountingBuilder
) -> None:
    engine.before = failing
    done = shop("deploy-app", "worker", "--yes", "--json")
    assert (done.code, done.json["status"]) == (1, "failed")
    assert verdicts(done) == {"worker:build": "failed", "worker": "skipped"}
    assert done.json["steps"][0]["cause"] == "counted failed: no space left"
    assert shop.endpoint.calls.count("ecs:UpdateService") == 0
    runs = shop("history", "--json").json["runs"]
    assert [run["status"] for run in runs] == ["failed"]


def test_beside_a_build_that_fails_the_others_are_deployed(
    shop: TwoApps, engine: CountingBuilder
) -> None:
    engine.before = failing
    done = shop(*DEPLOY, "--json")
    assert (done.code, done.json["status"]) == (4, "partial")
    assert verdicts(done) == {
        "queue": "succeeded",
        "worker:build": "failed",
        "web": "skipped",
        "worker": "skipped",
    }


def test_a_good_build_makes_no_failed_deploy_a_partial_success_nor_a_good_deploy(
    shop: TwoApps, engine: CountingBuilder
) -> None:
    shop.endpoint.ecs.next("breaker", "worker", cause="exit")
    done = shop("deploy-app", "worker", "--yes", "--json")
    assert verdicts(done)["worker:build"] == "succeeded"
    assert (done.code, done.json["status"]) == (1, "failed"), done.err
    assert [run["status"] for run in shop("history", "--json").json["runs"]] == ["failed"]
    listed = shop("rollback", "worker", "--list", "--json")
    assert listed.json.get("versions", []) == []


@pytest.mark.parametrize("is_ours", [True, False], ids=["of the target", "of nothing"])
def test_a_commit_before_the_build_counts_by_what_is_in_it(
    shop: TwoApps, engine: CountingBuilder, monkeypatch: pytest.MonkeyPatch, is_ours: bool
) -> None:
    start = runs.start

    @contextmanager
    def committed_meanwhile(*args: Any) -> Iterator[Any]:
        if is_ours:
            shop.repo.commit(files={"app/hello": "changed"})
        else:
            shop.repo.git("commit", "-q", "--allow-empty", "-m", "x")
        with start(*args) as execution:
            yield execution

    monkeypatch.setattr(runs, "start", committed_meanwhile)
    done = shop("deploy-app", "worker", "--yes", "--json")
    if is_ours:
        assert (done.code, engine.builds) == (1, 0)
        assert "have changed since" in done.json["steps"][0]["cause"]
    else:
        assert (done.code, engine.builds) == (0, 1), done.err


def test_files_that_change_before_the_build_are_not_built(
    shop: TwoApps, engine: CountingBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = runs.start

    @contextmanager
    def changed_meanwhile(*args: Any) -> Iterator[Any]:
        (shop.repo.path / "app/hello").write_text("changed")
        with start(*args) as execution:
            yield execution

    monkeypatch.setattr(runs, "start", changed_meanwhile)
    done = shop("deploy-app", "worker", "--yes", "--json")
    assert (done.code, engine.builds) == (1, 0)
    assert verdicts(done) == {"worker:build": "failed", "worker": "skipped"}
    assert "have changed since" in done.json["steps"][0]["cause"]


def test_a_build_that_nobody_needs_any_more_is_skipped(
    shop: TwoApps, engine: CountingBuilder
) -> None:
    shop.rules("[targets.worker]", "[targets.first]")
    shop.rules('"worker", "queue"', '"first", "queue"')
    shop.rules('service = "worker"', 'service = "worker"\nneeds = ["queue"]')
    shop.endpoint.fault("cloudformation:CreateChangeSet", times=None, kind="denied")
    done = shop("deploy", "--all", "--yes", "--json", "--parallel", "1")
    text = verdicts(done)
    assert (text["queue"], text["web"], text["first"]) == ("failed", "skipped", "skipped")
    assert (done.code, engine.builds) == (1, 0 if text["first:build"] == "skipped" else 1)


# Killed


class ShopProcesses:
    """Apps, and toolkit in processes of their own, in an AWS that nobody kills."""

    def __init__(
        self,
        remote: Remote,
        folder: Path,
        apps: Sequence[str],
        files: Mapping[str, str],
        rules: str,
        **environment: str,
    ) -> None:
        self.remote = remote
        self.repo = Repo.make(folder / "repo", files, rules)
        for name in apps:
            uri = remote.do("ecr", "repository", name)["uri"]
            old = remote.do("ecr", "image", name, "old")["digest"]
            remote.do("ecs", "service", name, f"{uri}@{old}", cluster="main")
        self._environment = {
            **os.environ,
            **remote.environment,
            **environment,
            "TOOLKIT_STATE_DIR": str(folder / "state"),
            "PYTHONPATH": str(ROOT),
        }

    def started(self, *words: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "toolkit", *words],
            cwd=self.repo.path,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def ended(self, *words: str) -> Result:
        with self.started(*words) as child:
            out, err = child.communicate(timeout=120)
        return Result(child.returncode, out.decode(), err.decode())


class KilledShop(ShopProcesses):
    """The two apps, whose deploy is killed."""

    def __init__(self, remote: Remote, folder: Path) -> None:
        super().__init__(
            remote, folder, ("web", "worker"), FILES, RULES, TOOLKIT_BUILDER="built-in"
        )

    def killed_at(self, call: str, *words: str) -> None:
        """Begin a command, and kill it while the answer to such a call is on its way."""
        self.remote.latency(3, call)
        with self.started(*words) as child:
            until = time.monotonic() + 60
            while not self.remote.calls().count(call):
                assert time.monotonic() < until
                assert child.poll() is None, child.communicate()
                time.sleep(0.01)
            child.send_signal(signal.SIGKILL)
        self.remote.latency(0, call)


@pytest.mark.slow("kills", keep=1)
@pytest.mark.parametrize(
    "call", ["registry:HeadManifest", "registry:PutUpload", "registry:PutManifest"]
)
def test_a_build_that_was_killed_is_gone_on_with_and_pushed_once(
    aws_process: Remote, tmp_path: Path, call: str
) -> None:
    shop = KilledShop(aws_process, tmp_path)
    shop.killed_at(call, "deploy-app", "worker", "--yes")
    before = aws_process.calls().applied("registry:PutManifest")
    resumed = shop.ended("resume", "--yes", "--json")
    assert resumed.code == 0, resumed.err
    assert verdicts(resumed) == {"worker:build": "succeeded", "worker": "succeeded"}
    calls = aws_process.calls()
    assert calls.applied("registry:PutManifest") == 1, before
    assert calls.applied("ecs:UpdateService") == 1
    assert shop.ended("resume", "--yes").code == 2  # nothing is open any more


def test_what_was_pushed_before_a_kill_is_not_pushed_again(
    aws_process: Remote, tmp_path: Path
) -> None:
    shop = KilledShop(aws_process, tmp_path)
    shop.killed_at("ecs:RegisterTaskDefinition", *DEPLOY, "--parallel", "1")
    resumed = shop.ended("resume", "--yes", "--json")
    assert resumed.code == 0, resumed.err
    assert verdicts(resumed)["worker:build"] == "succeeded"
    calls = aws_process.calls()
    assert calls.applied("registry:PutManifest") == 2  # one for each repository
    assert "[worker:build]" not in resumed.err


# Without a deploy


def test_only_build_puts_the_image_where_each_app_needs_it_and_deploys_nothing(
    shop: TwoApps, engine: CountingBuilder
) -> None:
    before = shop.running("web"), shop.running("worker")
    done = shop("deploy", "--all", "--only-build", "--yes", "--json")
    assert done.code == 0, done.err
    assert verdicts(done) == {"web:build": "succeeded", "worker:build": "succeeded"}
    assert engine.builds == 1
    assert shop.image("web") == shop.image("worker") != ""
    assert (shop.running("web"), shop.running("worker")) == before
    due = {step["target"] for step in shop("diff", "--json").json["plan"]["steps"]}
    assert due == {"web", "worker", "queue"}
    # then it is there for whoever builds nothing
    done = shop("deploy", "--all", "--skip-build", "--yes", "--json")
    assert done.code == 0, done.err
    assert verdicts(done) == dict.fromkeys(("queue", "web", "worker"), "succeeded")
    assert engine.builds == 1
    done = shop("deploy", "--all", "--only-build", "--yes")
    assert done.code == 0
    assert done.out.endswith("Nothing to build.\n")


def test_skip_build_is_refused_where_something_is_not_built_yet(
    shop: TwoApps, engine: CountingBuilder
) -> None:
    refused = shop("deploy", "web", "--skip-build", "--yes")
    assert refused.code == 2
    assert f"image {shop.repo.head} of web is not built yet" in refused.err
    assert "  toolkit deploy web --only-build\n" in refused.err
    assert shop("deploy", "web", "--only-build", "--yes").code == 0
    assert shop("deploy", "web", "--skip-build", "--yes").code == 0
    assert engine.builds == 1


def test_a_build_alone_that_fails_is_a_failed_run(
    shop: TwoApps, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(CountingBuilder):
        def build_and_push(self, *args: Any) -> Any:
            raise ProgramFailed(program="docker", reason="no such base image")

    monkeypatch.setattr(images, "builder", lambda name=None: Broken())
    done = shop("deploy", "web", "--only-build", "--yes", "--json")
    assert done.code == 1
    assert (done.json["status"], verdicts(done)) == ("failed", {"web:build": "failed"})


def test_both_options_of_builds_are_refused(shop: TwoApps) -> None:
    refused = shop("deploy", "web", "--only-build", "--skip-build", "--yes")
    assert refused.code == 2
    assert "--only-build and --skip-build cannot be combined" in refused.err


def test_a_dry_run_of_a_build_says_that_nothing_is_deployed(
    shop: TwoApps, engine: CountingBuilder
) -> None:
    done = shop("deploy", "web", "--only-build", "--dry-run")
    assert "Build, and deploy nothing, for dev (account 111111111111, eu-west-1):\n" in done.out
    assert "  web:build  " in done.out
    assert "ecs:" not in done.out
