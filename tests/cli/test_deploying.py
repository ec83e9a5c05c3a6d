"""Deploying for real: real processes, a real registry, an emulated AWS whose tasks really run. One
system for the whole file, in order.
"""

import json
import re
import signal
import sys
from collections.abc import Iterator

import pexpect
import pytest
from syrupy.assertion import SnapshotAssertion

from tests.cli.town import CRASH, FAILING, FILES, Town, eventually, main, queue

pytestmark = [pytest.mark.slow("sandbox"), pytest.mark.sandbox]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    created = Town(tmp_path_factory.mktemp("town"))
    yield created
    created.down()


def same(text: str) -> str:
    """Without what is different every time."""
    text = re.sub(r"\b[0-9a-f]{40}\b", "COMMIT", text)
    text = re.sub(r"\b[0-9a-f]{12}\b", "SHORT", text)
    text = re.sub(r"\d{8}-\d{6}-\w{4}", "RUN", text)
    text = re.sub(
        r"(?<=done )( +SHORT) +\d+s$", r"\1", text, flags=re.MULTILINE
    )  # how long it took, if that was worth telling
    text = re.sub(r"(rolled back +SHORT +)\d+s", r"\1Ns", text)
    text = re.sub(r"\bin \d+s\b", "in Ns", text)
    text = re.sub(r"-[0-9A-F]{13}\b", "-ID", text)
    text = re.sub(r"http://127\.0\.0\.1:\d+", "SANDBOX", text)
    return re.sub(r"tk-[0-9a-f]{24}", "tk-TOKEN", text)


def test_nothing_is_deployed_without_somebody_to_say_yes(town: Town) -> None:
    """S26: no terminal, no --yes."""
    refused = town("deploy-app")
    assert (refused.code, refused.err.splitlines()[-3:]) == (
        2,
        [
            "error: confirmation needed, but this is not a terminal",
            "hint: add --yes:",
            "  toolkit deploy-app --yes",
        ],
    )
    assert (town.revisions(), town.answer()) == (1, "sandbox: nothing deployed\n")


def test_dry_run_prints_every_call_and_makes_none(town: Town, snapshot: SnapshotAssertion) -> None:
    dry = town("deploy", "--all", "--dry-run")
    assert dry.code == 0
    assert same(dry.out) == snapshot
    assert town.revisions() == 1
    assert town.cloud("cloudformation").list_stacks()["StackSummaries"] == []
    steps = town("deploy-app", "--dry-run", "--json").json["steps"]
    assert {step["step"]: [call["call"] for call in step["calls"]] for step in steps} == {
        "app:build": ["ecr:PutImage"],
        "app": ["ecs:RegisterTaskDefinition", "ecs:UpdateService"],
    }


def test_everything_is_deployed_each_after_what_it_needs(
    town: Town, snapshot: SnapshotAssertion
) -> None:
    done = town("deploy", "--all", "--yes")
    assert (done.code, town.answer()) == (0, "version one")
    assert same(done.out) == snapshot
    lines = done.err.splitlines()
    queue_done, app_begun = (
        next(position for position, item in enumerate(lines) if item.startswith(words))
        for words in ("[queue] done", "[app] deploying")
    )
    assert queue_done < app_begun
    # Its image needs no stack.
    assert lines.index("[app:build] done") < app_begun


def test_what_was_deployed_is_clean_and_deploying_it_again_changes_nothing(town: Town) -> None:
    assert town("diff", "--json").json["status"] == "clean"
    before = town.revisions()
    again = town("deploy", "--all", "--yes", "--json")
    assert (
        again.code,
        again.json["status"],
        {step["verdict"] for step in again.json["steps"]},
    ) == (0, "unchanged", {"unchanged"})
    assert town.revisions() == before
    assert town("deploy", "--yes").out == f"{town.elsewhere}Nothing to deploy.\n"


def test_what_is_live_can_be_read_back_from_aws_by_anybody(town: Town) -> None:
    ecs, commit = town.cloud("ecs"), town.repo.head
    running = ecs.describe_services(cluster="town", services=["web"])["services"][0][
        "taskDefinition"
    ]
    tags = {
        tag["key"]: tag["value"]
        for tag in ecs.describe_task_definition(taskDefinition=running, include=["TAGS"])["tags"]
    }
    assert (tags["toolkit:commit"], tags.keys() >= {"toolkit:fingerprint", "toolkit:run"}) == (
        commit,
        True,
    )
    stack = town.cloud("cloudformation").describe_stacks(StackName="TownQueue")["Stacks"][0]
    assert {tag["Key"]: tag["Value"] for tag in stack["Tags"]}["toolkit:commit"] == commit
    live = town("diff", "live", "--json")
    assert (live.json["status"], live.json["base"]["targets"]["app"]) == ("clean", [commit])


def test_the_second_version_answers_after_its_deploy(town: Town) -> None:
    town.repo.commit(files={"app/main.py": main("version two")})
    assert town("diff", "--json").json["recommendation"] == "toolkit deploy-app app"
    done = town("deploy", "--yes", "--json")
    assert (done.code, [step["step"] for step in done.json["steps"]], town.answer()) == (
        0,
        ["app:build", "app"],
        "version two",
    )


def test_a_version_that_crashes_is_rolled_back_and_told_with_its_cause(
    town: Town, snapshot: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.repo.commit(files={"app/main.py": CRASH})
    monkeypatch.setitem(town.env, "AWS_REGION", "us-east-1")  # which the AWS CLI would ask
    failed = town("deploy-app", "--yes")
    assert (failed.code, town.answer()) == (1, "version two")
    assert same(failed.out) == snapshot
    assert "exited with code 3" in failed.out
    assert "no database here" in failed.out
    assert (
        town("diff", "--json").json["recommendation"] == "toolkit deploy-app app"
    )  # it is as due as before


def test_an_image_that_cannot_be_pulled_is_told_and_what_ran_runs_on(town: Town) -> None:
    layer = {
        "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
        "digest": "sha256:" + "1" * 64,
        "size": 10,
    }
    config = {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": "sha256:" + "2" * 64,
        "size": 10,
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": [layer],
    }
    town.cloud("ecr").put_image(
        repositoryName="web", imageTag="hollow", imageManifest=json.dumps(manifest)
    )
    failed = town("deploy-app", "--no-build", "--image", "hollow", "--yes", "--json")
    [step] = failed.json["steps"]
    assert (failed.code, step["verdict"], town.answer()) == (1, "rolled-back", "version two")
    assert "CannotPullContainerError" in step["cause"]


def test_an_image_that_is_not_there_is_refused_before_anything_happens(town: Town) -> None:
    before = town.revisions()
    refused = town("deploy-app", "--no-build", "--image", "v99", "--yes")
    assert (
        refused.code,
        "there is no image v99 in repository web" in refused.err,
        town.revisions(),
    ) == (2, True, before)


def test_a_template_that_fails_is_rolled_back_and_only_its_dependents_are_skipped(
    town: Town,
) -> None:
    town.repo.commit(
        files={
            "app/main.py": main("version three"),
            "infra/topic.json": FAILING,
            "infra/queue.json": queue(60),
        }
    )
    done = town("deploy", "--yes", "--json")
    verdicts = {step["target"]: step["verdict"] for step in done.json["steps"]}
    assert verdicts == {"app": "succeeded", "queue": "succeeded", "topic": "rolled-back"}
    assert (done.code, done.json["status"], town.answer()) == (4, "partial", "version three")
    cause = next(step["cause"] for step in done.json["steps"] if step["target"] == "topic")
    assert "Tap" in cause
    assert "cancelled" not in cause
    assert town("diff", "--json").json["recommendation"] == "toolkit deploy-stack topic"


def test_rollback_puts_the_last_good_version_back_and_not_just_the_previous_revision(
    town: Town,
) -> None:
    """The revisions before are, newest first: version three (live), the hollow image, the crash,
    and version two.
    """
    good = town("rollback", "app", "--list", "--json").json["versions"]
    assert [item["version"][:7] for item in good][:2] == [
        item["version"][:7] for item in good if item["version"]
    ][:2]
    done = town("rollback", "app", "--yes")
    assert (done.code, town.answer()) == (0, "version two")
    assert town("rollback", "app", "--to", town.repo.head[:10], "--yes").code == 0
    assert town.answer() == "version three"


def test_a_stack_is_not_rolled_back_by_pretending(town: Town) -> None:
    """Its older template is in git, and nowhere else."""
    refused = town("rollback", "queue", "--yes")
    assert (refused.code, "check out the commit that was good" in refused.err) == (2, True)


def test_a_rollback_to_what_never_was_good_is_refused(town: Town) -> None:
    refused = town("rollback", "app", "--to", "hollow", "--yes")
    assert (
        refused.code,
        "no good deploy of hollow is recorded" in refused.err.replace("'", ""),
    ) == (2, True)


def test_the_first_ctrl_c_leaves_the_deployment_to_aws_and_resume_sees_it_through(
    town: Town,
) -> None:
    town.repo.commit(files={"app/main.py": main("version four")})
    before = town.revisions()
    with town.started("deploy-app", "--yes") as child:
        assert child.stderr is not None
        until(child.stderr, b"moving web")
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate(timeout=10)
    assert (child.returncode, b"toolkit resume" in out) == (130, True)
    assert town("history", "--json").json["runs"][0]["status"] == "interrupted"
    resumed = town("resume", "--yes", "--json")
    adopted = {step["step"]: step["adopted"] for step in resumed.json["steps"]}
    assert (resumed.code, adopted, town.answer()) == (
        0,
        {"app:build": False, "app": True},
        "version four",
    )
    assert town.revisions() == before + 1


@pytest.mark.parametrize(
    "moment", ["checking the service", "building image", "pushing", "registering", "moving web"]
)
def test_a_run_that_was_killed_is_resumed_without_doing_anything_twice(
    town: Town, moment: str
) -> None:
    text = f"killed while {moment}"
    town.repo.commit(files={"app/main.py": main(text)})
    before = town.revisions()
    with town.started("deploy-app", "--yes") as child:
        assert child.stderr is not None
        until(child.stderr, moment.encode())
        child.send_signal(signal.SIGKILL)
    assert "its process has ended" in town("lock", "show").out
    resumed = town("resume", "--yes", "--json")
    assert [step["step"] for step in resumed.json["steps"]] == ["app:build", "app"]
    assert (resumed.code, {step["verdict"] for step in resumed.json["steps"]}, town.answer()) == (
        0,
        {"succeeded"},
        text,
    )
    assert town.revisions() == before + 1
    assert town("diff", "--json").json["states"]["app"] == "clean"
    assert town("resume", "--yes").code == 2  # nothing is open any more


def test_two_runs_on_one_target_at_once_are_one_run_and_a_refusal_that_names_the_other(
    town: Town,
) -> None:
    town.repo.commit(files={"app/main.py": main("version six")})
    with town.started("deploy-app", "--yes") as child:
        assert child.stderr is not None
        until(child.stderr, b"building")
        towns = town("deploy-app", "--yes")
        waited = town("deploy-app", "--yes", "--lock-timeout", "60s")
        assert child.wait(60) == 0
        child.communicate()
    assert (towns.code, "toolkit deploy-app --yes" in towns.err, "is locked by" in towns.err) == (
        6,
        True,
        True,
    )
    assert (waited.code, town.answer()) == (0, "version six"), waited.out + waited.err


def test_another_account_is_refused_before_any_call_that_changes_something(town: Town) -> None:
    """S28: the environment is account 222222222222, the credentials are of 111111111111."""
    refused = town(
        "deploy-app", "--env", "prod", "--yes", "--confirm", "prod", "--profile", "sandbox"
    )
    assert (refused.code, "111111111111" in refused.err, "222222222222" in refused.err) == (
        7,
        True,
        True,
    )


def test_a_protected_environment_asks_for_its_name(town: Town) -> None:
    refused = town("deploy-app", "--env", "prod", "--yes")
    assert (refused.code, refused.err.splitlines()[-3:]) == (
        2,
        [
            "error: environment prod is protected",
            "hint: add --confirm prod:",
            "  toolkit deploy-app --env prod --yes --confirm prod",
        ],
    )
    assert town("deploy-app", "--env", "prod", "--yes", "--confirm", "production").code == 2


def test_uncommitted_files_are_part_of_the_version_and_refused_in_a_protected_environment(
    town: Town,
) -> None:
    town.repo.write({"app/main.py": main("not committed")})
    refused = town("deploy-app", "--env", "prod", "--yes", "--confirm", "prod")
    assert (refused.code, "the files are not as committed" in refused.err) == (2, True)
    done = town("deploy-app", "--yes", "--json")
    assert re.fullmatch(rf"{town.repo.head}-dirty-[0-9a-f]{{12}}", done.json["steps"][0]["version"])
    assert town.answer() == "not committed"
    assert town("diff", "--json").json["states"]["app"] == "clean"
    town.repo.git("checkout", "-q", "--", "app/main.py")
    assert town("diff", "--json").json["states"]["app"] == "due"


def test_a_plan_file_is_carried_out_as_long_as_it_is_true(town: Town) -> None:
    town.repo.commit(files={"app/main.py": main("planned")})
    assert town("diff", "--out", str(town.folder / "plan.json")).code == 0
    done = town("deploy", "--plan", str(town.folder / "plan.json"), "--yes", "--json")
    assert ([step["target"] for step in done.json["steps"]][:1], town.answer()) == (
        ["app"],
        "planned",
    )
    town.repo.commit(files={"app/main.py": main("later")})
    stale = town("deploy", "--plan", str(town.folder / "plan.json"), "--yes")
    assert (stale.code, "the files or settings of app have changed" in stale.err) == (2, True)


def test_what_is_chosen_at_the_end_of_diff_is_run(town: Town) -> None:
    town.repo.commit(
        files={"app/main.py": main("chosen"), "infra/topic.json": FILES["infra/topic.json"]}
    )
    child = pexpect.spawn(
        sys.executable,
        ["-m", "toolkit", "diff"],
        cwd=str(town.repo.path),
        env={**town.env, "TERM": "xterm"},
        dimensions=(24, 80),
        encoding="utf-8",
        timeout=60,
    )
    child.expect_exact("What now?")
    child.expect_exact("nothing")
    child.send("\r")
    child.expect_exact("$ toolkit deploy-app app")
    child.expect("2 of 2 steps done")
    child.expect(pexpect.EOF)
    child.close()
    assert (child.exitstatus, town.answer()) == (0, "chosen")


def test_what_happened_can_be_read_afterwards(town: Town) -> None:
    runs = town("history", "-n", "100", "--json").json["runs"]
    crashed = next(
        run
        for run in runs
        if run["status"] == "failed" and run["command"] == "toolkit deploy-app --yes"
    )
    shown = town("show", crashed["run"])
    assert (shown.code, "exited with code 3" in shown.out) == (0, True)
    assert "ecs:UpdateService" in town("logs", crashed["run"], "app").out
    assert town("logs", crashed["run"], "nothing").code == 2
    assert town("show", "20200101-000000-none").code == 2
    assert town("lock", "show").out == f"{town.elsewhere}Nothing is locked.\n"


def test_tags_that_another_tool_took_away_are_put_back_by_the_command_that_health_prints(
    town: Town,
) -> None:
    town("deploy-stack", "queue", "--yes")
    cloud = town.cloud("cloudformation")
    cloud.update_stack(
        StackName="TownQueue", UsePreviousTemplate=True, Tags=[{"Key": "team", "Value": "x"}]
    )
    eventually(
        lambda: (
            cloud.describe_stacks(StackName="TownQueue")["Stacks"][0]["StackStatus"]
            == "UPDATE_COMPLETE"
        ),
        30,
    )
    text = " ".join(town("health", "queue").out.split())
    command = "toolkit deploy-stack queue --force"
    assert ("another tool has removed toolkit's tags" in text, command in text) == (True, True)
    plain = town("deploy-stack", "queue", "--yes")
    assert (plain.code, f"to add them: {command}" in " ".join(plain.err.split())) == (0, True)
    assert town(*command.split()[1:], "--yes").code == 0
    assert "tags" not in town("health", "queue").out
    tags = cloud.describe_stacks(StackName="TownQueue")["Stacks"][0]["Tags"]
    assert {"toolkit:run", "team"} <= {tag["Key"] for tag in tags}


def until(stream: object, words: bytes) -> None:
    """Read the lines of a child until one has these words."""
    chunks: list[bytes] = []

    def remote() -> bool:
        chunks.append(stream.readline())  # type: ignore[attr-defined]
        assert chunks[-1], b"".join(chunks).decode()
        return words in chunks[-1]

    eventually(remote, 30)
