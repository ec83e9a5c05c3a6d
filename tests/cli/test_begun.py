"""A deploy that was begun, and of which nobody wrote down how it ended: no machine calls its target
clean, whatever the clocks say.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.cli.test_team import RULES, Team, deployed, states, template
from tests.support.aws import Endpoint
from tests.support.repo import Repo
from tests.support.run import ROOT, Result, Toolkit

Run = Callable[..., Result]

PROGRAM = """\
import sys
from datetime import timedelta
from toolkit.ports import clock
now = clock.SystemClock.now
clock.SystemClock.now = lambda self: now(self) + timedelta(seconds={skew})
from toolkit.cli.main import run
sys.exit(run(["deploy-stack", "queue", "--yes"]))
"""
HOUR = 3600


@pytest.fixture
def team(
    aws_endpoint: Endpoint, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch, tmp_path: str
) -> Team:
    from pathlib import Path

    return Team(aws_endpoint, toolkit, monkeypatch, Path(tmp_path))


@contextmanager
def at_work(team: Team, name: str, clone: Repo, skew: int = 0, looks: int = 500) -> Iterator[str]:
    """A colleague's deploy of the queue that has begun to change it, on a machine whose clock is
    wrong by these seconds; killed at the end. The name of its run.
    """
    cloud = team.endpoint.cloudformation
    cloud.next("success", "Queue", looks=looks)
    cloud.next_change_set("complete", stack="Queue", looks=1)
    before = team.endpoint.calls.count("ExecuteChangeSet")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TOOLKIT_STATE_DIR": str(team.folder / f"state-{name}"),
    }
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(skew=skew)],
        cwd=clone.path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        until = time.monotonic() + 60
        while (
            team.endpoint.calls.count("ExecuteChangeSet") == before
            and time.monotonic() < until
            and child.poll() is None
        ):
            time.sleep(0.05)
        assert team.endpoint.calls.count("ExecuteChangeSet") > before, child.communicate(
            timeout=60
        )[0]
        [run] = [
            key for key in team.endpoint.s3.buckets["state"].objects if key.startswith("team/runs/")
        ][-1:]
        yield run.removeprefix("team/runs/").removesuffix(".jsonl")
    finally:
        child.kill()
        child.communicate()


def left_by(team: Team, name: str, clone: Repo, skew: int = 0, looks: int = 500) -> str:
    """The same, and its machine died then."""
    runs = {
        key for key in team.endpoint.s3.buckets["state"].objects if key.startswith("team/runs/")
    }
    with at_work(team, name, clone, skew, looks):
        pass
    [run] = {
        key for key in team.endpoint.s3.buckets["state"].objects if key.startswith("team/runs/")
    } - runs
    return run.removeprefix("team/runs/").removesuffix(".jsonl")


def begin(team: Team) -> tuple[Repo, Run, Repo, Run]:
    """Ada and bob, who has deployed the first version."""
    clone, ada = team.colleague("ada")
    theirs, bob = team.colleague("bob")
    deployed(team, bob)
    assert (states(ada)["queue"], states(bob)["queue"]) == ("clean", "clean")
    return clone, ada, theirs, bob


@pytest.mark.slow("crashes", keep=1)
@pytest.mark.parametrize("skew", [0, -HOUR, HOUR], ids=["right", "behind", "ahead"])
def test_a_deploy_that_died_in_the_middle_is_clean_to_nobody_whatever_its_clock_said(
    team: Team, skew: int
) -> None:
    clone, ada, _, bob = begin(team)
    first = clone.head
    clone.commit("more of it", {"queue.json": template(2)})
    run = left_by(team, "ada", clone, skew)
    clone.git("checkout", "-q", first)
    for who in (ada, bob):
        assert states(who)["queue"] == "due"
        output = who("diff").out
        assert (
            f"run {run} has started to deploy it, and its end is not known: toolkit resume {run}"
            in " ".join(output.split())
        ), output


def test_a_deploy_that_goes_on_is_told_with_who_does_it_and_is_not_clean(team: Team) -> None:
    clone, ada, _, bob = begin(team)
    first = clone.head
    clone.commit("more of it", {"queue.json": template(2)})
    with at_work(team, "ada", clone):
        clone.git("checkout", "-q", first)
        for who in (ada, bob):
            assert states(who)["queue"] == "due"
            output = who("diff").out
            assert (" is deploying it" in output, "its end is not known" in output) == (
                True,
                False,
            ), output
        assert "is deploying it" in bob("health", "queue").out


@pytest.mark.slow("crashes")
def test_a_deploy_that_goes_on_is_told_as_that_where_rules_toml_names_no_region(team: Team) -> None:
    """Its lock is that of no region then."""
    rules = RULES.replace('regions = ["eu-west-1"]\n', "")
    team.origin.commit("no regions", {"rules.toml": rules})
    clone, _, _, bob = begin(team)
    clone.commit("more of it", {"queue.json": template(2)})
    with at_work(team, "ada", clone):
        output = bob("diff", "--json").out
        assert (" is deploying it" in output, "its end is not known" in output) == (True, False), (
            output
        )


def test_a_deploy_that_ended_is_clean_to_all(team: Team) -> None:
    clone, ada, theirs, bob = begin(team)
    clone.commit("more of it", {"queue.json": template(2)})
    clone.git("push", "-q", "origin", "HEAD:main")
    deployed(team, ada)
    theirs.git("pull", "-q", "origin", "main")
    assert (states(ada)["queue"], states(bob)["queue"]) == ("clean", "clean")
    record = bob("record", "show", "--json").json["targets"][0]
    assert (record["good"]["verdict"], record["last"]) == ("succeeded", None)


@pytest.mark.slow("crashes")
@pytest.mark.parametrize("skew", [-HOUR, HOUR], ids=["behind", "ahead"])
def test_a_deploy_that_died_and_that_a_colleague_went_on_with_is_clean_to_all(
    team: Team, skew: int
) -> None:
    clone, ada, theirs, bob = begin(team)
    clone.commit("more of it", {"queue.json": template(2)})
    clone.git("push", "-q", "origin", "HEAD:main")
    run = left_by(team, "ada", clone, skew, looks=8)
    theirs.git("pull", "-q", "origin", "main")
    assert (states(ada)["queue"], states(bob)["queue"]) == ("due", "due")
    done = bob("resume", run, "--yes")
    assert done.code == 0, done
    assert (states(ada)["queue"], states(bob)["queue"]) == ("clean", "clean")


@pytest.mark.slow("crashes")
@pytest.mark.parametrize("skew", [-HOUR, HOUR], ids=["behind", "ahead"])
def test_a_deploy_that_died_and_that_a_later_good_one_came_after_is_clean_to_all(
    team: Team, skew: int
) -> None:
    clone, ada, theirs, bob = begin(team)
    clone.commit("more of it", {"queue.json": template(2)})
    clone.git("push", "-q", "origin", "HEAD:main")
    run = left_by(team, "ada", clone, skew, looks=4)
    theirs.git("pull", "-q", "origin", "main")
    team.endpoint.cloudformation.next("success", "Queue", looks=1)
    team.endpoint.cloudformation.next_change_set("complete", stack="Queue", looks=1)
    theirs.commit("and more", {"queue.json": template(3)})
    done = bob("deploy-stack", "queue", "--yes")
    assert done.code == 0, done
    theirs.git("push", "-q", "origin", "HEAD:main")
    clone.git("pull", "-q", "origin", "main")
    assert (states(ada)["queue"], states(bob)["queue"]) == ("clean", "clean")
    executed = team.endpoint.calls.count("ExecuteChangeSet")
    again = ada("resume", run, "--yes")  # an older version is not put over a newer one
    assert ("superseded" in again.out, team.endpoint.calls.count("ExecuteChangeSet")) == (
        True,
        executed,
    ), again


@pytest.mark.slow("crashes")
def test_a_deploy_that_died_is_clean_to_nobody_though_its_shared_journal_is_damaged(
    team: Team,
) -> None:
    clone, ada, _, bob = begin(team)
    first = clone.head
    clone.commit("more of it", {"queue.json": template(2)})
    run = left_by(team, "ada", clone)
    team.endpoint.s3.put("state", f"team/runs/{run}.jsonl", b"noise\n")
    clone.git("checkout", "-q", first)
    assert (states(ada)["queue"], states(bob)["queue"]) == ("due", "due")


def test_the_very_first_deploy_that_died_leaves_its_target_unknown_to_all(team: Team) -> None:
    clone, ada = team.colleague("ada")
    _, bob = team.colleague("bob")
    team.endpoint.cloudformation.stack("Queue", "UPDATE_COMPLETE", {"Service": "AWS::ECS::Service"})
    left_by(team, "ada", clone)
    assert (states(ada)["queue"], states(bob)["queue"]) == ("unknown", "unknown")


def test_nothing_is_changed_where_the_record_cannot_be_told_of_it(team: Team) -> None:
    """Nobody else would know."""
    clone, ada, _, bob = begin(team)
    clone.commit("more of it", {"queue.json": template(2)})
    team.ready()
    executed = team.endpoint.calls.count("ExecuteChangeSet")
    team.endpoint.fault("s3:PutObject", None, "denied", resource="queue.json")
    done = ada("deploy-stack", "queue", "--yes")
    assert (done.code == 0, team.endpoint.calls.count("ExecuteChangeSet")) == (
        False,
        executed,
    ), done
    assert states(bob)["queue"] == "clean"


def test_health_tells_of_a_deploy_that_died(team: Team) -> None:
    clone, _, _, bob = begin(team)
    clone.commit("more of it", {"queue.json": template(2)})
    run = left_by(team, "ada", clone)
    signs = [
        sign
        for item in bob("health", "queue", "--json").json["checkups"]
        for sign in item["signs"]
        if sign["what"] == "record"
    ]
    assert [sign["status"] for sign in signs] == ["warning"]
    assert f"run {run} has started to deploy it" in signs[0]["cause"]


@pytest.mark.slow("crashes", keep=1)
@pytest.mark.parametrize(
    ("open_", "more"), [(False, 0), (True, 1)], ids=["nothing open", "one left"]
)
def test_what_is_open_costs_no_request_but_the_look_at_its_lock(
    team: Team, open_: bool, more: int
) -> None:
    clone, _, _, bob = begin(team)
    if open_:
        clone.commit("more of it", {"queue.json": template(2)})
        left_by(team, "ada", clone)
    before = len(list(team.endpoint.calls))
    states(bob)
    lines = [call.operation for call in list(team.endpoint.calls)[before:]]
    # The record of the queue; the list of records, and that of an earlier version's (nothing is
    # recorded of the page).
    assert sorted(lines) == ["GetObject"] * (1 + more) + ["ListObjectsV2"] * 2
