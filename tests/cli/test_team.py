"""A team for a month: what is recorded, where, by whom; and what nobody may take out without saying
so.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from tests.support.aws import Endpoint
from tests.support.repo import Repo
from tests.support.run import ROOT, Result, Toolkit

pytestmark = pytest.mark.slow("records", keep=36, of="file")

RULES = """\
version = 1
project = "team"
environment = "dev"

[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]
store = "s3://state/team"

[targets.queue]
kind = "stack"
stack = "Queue"
template = "queue.json"

[targets.page]
kind = "manual"
instructions = "upload it"

[[rules]]
name = "Queue"
paths = ["queue.json"]
deploy = ["queue"]

[[rules]]
name = "Page"
paths = ["page/**"]
deploy = ["page"]
"""


def template(count: int) -> str:
    return json.dumps(
        {
            "Resources": {
                "Service": {"Type": "AWS::ECS::Service", "Properties": {"DesiredCount": count}}
            }
        }
    )


class Team:
    """A remote, and colleagues who each have a clone and a machine; they share a bucket."""

    def __init__(
        self, endpoint: Endpoint, toolkit: Toolkit, patch: pytest.MonkeyPatch, folder: Path
    ) -> None:
        self.endpoint, self.toolkit, self.patch, self.folder = endpoint, toolkit, patch, folder
        endpoint.s3.bucket("state")
        self.origin = Repo.make(
            folder / "origin", {"queue.json": template(1), "page/a": "1"}, RULES
        )
        self.origin.git("config", "receive.denyCurrentBranch", "ignore")

    def colleague(self, name: str, *options: str) -> tuple[Repo, Callable[..., Result]]:
        """Their clone, and how they run a command."""
        clone = self.origin.clone(self.folder / name, *options)

        def run(*words: str, **env: str) -> Result:
            with self.patch.context() as patch:
                patch.setenv("TOOLKIT_STATE_DIR", str(self.folder / f"state-{name}"))
                for variable, value in env.items():
                    patch.setenv(variable, value)
                return self.toolkit(clone.path, *words)

        return clone, run

    def ready(self) -> None:
        """The next change of the stack goes well."""
        if "Queue" not in self.endpoint.cloudformation.stacks:
            self.endpoint.cloudformation.stack(
                "Queue", "UPDATE_COMPLETE", {"Service": "AWS::ECS::Service"}
            )
        self.endpoint.cloudformation.next("success", "Queue", looks=1)
        self.endpoint.cloudformation.next_change_set("complete", stack="Queue", looks=1)


@pytest.fixture
def team(
    aws_endpoint: Endpoint, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Team:
    return Team(aws_endpoint, toolkit, monkeypatch, tmp_path)


def deployed(team: Team, run: Callable[..., Result], *words: str) -> Result:
    team.ready()
    done = run("deploy-stack", "queue", "--yes", "--json", *words)
    assert done.code == 0, done
    return done


def states(run: Callable[..., Result], *words: str, **env: str) -> dict[str, str]:
    by_name: dict[str, str] = run("diff", "--json", *words, **env).json["states"]
    return by_name


def test_what_a_colleague_deployed_is_known_to_all_who_share_the_store(team: Team) -> None:
    _, ada = team.colleague("ada")
    _, bob = team.colleague("bob")
    deployed(team, ada)
    assert states(bob)["queue"] == "clean"
    shown = bob("record", "show", "--json").json["targets"]
    [row] = [row for row in shown if row["target"] == "queue"]
    assert row["good"]["account"] == "111111111111"
    assert "@" in row["good"]["who"]


def test_a_stale_clone_does_not_take_a_colleagues_work_out(team: Team) -> None:
    """J2."""
    clone, ada = team.colleague("ada")
    _, bob = team.colleague("bob")
    deployed(team, ada)
    newer = clone.commit("more of it", {"queue.json": template(2)})
    clone.git("push", "-q", "origin", "HEAD:main")
    deployed(team, ada)
    shown = bob("diff").out
    assert f"queue: live is {newer[:7]}, which is not in this clone: this may go back" in shown
    assert "GOES BACK" in shown
    refused = bob("deploy-stack", "queue", "--yes")
    assert (refused.code, "add" in refused.err or "--allow-backwards" in refused.err) == (
        2,
        True,
    ), refused
    assert newer[:7] in refused.err
    calls = team.endpoint.calls.count("ExecuteChangeSet")
    assert bob("deploy", "--yes", "--without", "page").code == 2
    assert team.endpoint.calls.count("ExecuteChangeSet") == calls


def test_the_command_that_is_named_for_a_stale_clone_gets_what_is_missing(team: Team) -> None:
    """P15: fetched, but not merged, it is still told what would go back; merged, nothing is to be
    deployed.
    """
    clone, ada = team.colleague("ada")
    behind, bob = team.colleague("bob")
    clone.commit("more of it", {"queue.json": template(2)})
    clone.git("push", "-q", "origin", "HEAD:main")
    deployed(team, ada)
    fetch = bob("diff", "--json").json["standings"]["queue"]["fetch"]
    subprocess.run(fetch.replace("'", "").split(), cwd=behind.path, check=True, capture_output=True)
    notes = bob("diff", "--json").json
    assert (notes["standings"]["queue"]["direction"], notes["standings"]["queue"]["backwards"]) == (
        "behind",
        True,
    )
    assert (
        "ahead of your HEAD: this goes back and removes 1 commit"
        in bob("deploy-stack", "queue", "--yes").err
    )
    behind.git("merge", "-q", "origin/main")
    assert states(bob)["queue"] == "clean"


def test_a_target_that_was_renamed_together_with_its_files_is_told_and_the_others_stay_clean(
    team: Team,
) -> None:
    clone, ada = team.colleague("ada")
    deployed(team, ada)
    ada("record", "set", "page", "HEAD", "--yes")
    renamed = RULES.replace("targets.queue", "targets.jobs").replace(
        'deploy = ["queue"]', 'deploy = ["jobs"]'
    )
    clone.commit("renamed", {"rules.toml": renamed, "queue.json": template(2)})
    answer = ada("diff", "--json")
    assert answer.json["states"] == {"jobs": "unknown", "page": "clean"}
    assert any(
        "no longer in rules.toml" in note and "queue" in note for note in answer.json["notes"]
    )


def test_what_another_name_of_the_target_has_deployed_since_is_no_clean_answer(team: Team) -> None:
    """The record of the old name is still there, and HEAD is what it says: the stack holds what the
    new name put there.
    """
    clone, ada = team.colleague("ada")
    deployed(team, ada)
    renamed = RULES.replace("targets.queue", "targets.jobs").replace(
        'deploy = ["queue"]', 'deploy = ["jobs"]'
    )
    commit = clone.commit("renamed", {"rules.toml": renamed, "queue.json": template(2)})
    team.ready()
    assert ada("deploy-stack", "jobs", "--yes").code == 0
    clone.git("revert", "--no-edit", commit)
    answer = ada("diff", "--json").json
    assert answer["states"]["queue"] == "due"
    assert "jobs (run" in json.dumps(answer["plan"])
    deployed(team, ada)
    assert states(ada)["queue"] == "clean"


def test_what_another_environment_has_put_into_the_same_stack_is_no_clean_answer(
    team: Team,
) -> None:
    clone, ada = team.colleague("ada")
    location = 'account = "111111111111"\nregions = ["eu-west-1"]\nstore = "s3://state/team"\n'
    clone.commit(
        "trial",
        {
            "rules.toml": RULES.replace(
                "[targets.queue]", f"[environments.trial]\n{location}\n[targets.queue]"
            )
        },
    )
    clone.git("push", "-q", "origin", "HEAD:main")
    deployed(team, ada)
    first = clone.head
    clone.commit("more of it", {"queue.json": template(2)})
    deployed(team, ada, "--env", "trial")
    clone.git("checkout", "-q", "--detach", first)
    assert states(ada)["queue"] == "due"
    assert states(ada, "--env", "trial")["queue"] == "due"


def test_who_means_to_go_back_says_so(team: Team) -> None:
    clone, ada = team.colleague("ada")
    first = clone.head
    clone.commit("a bad idea", {"queue.json": template(2)})
    deployed(team, ada)
    clone.git("checkout", "-q", "--detach", first)
    assert ada("deploy-stack", "queue", "--yes").code == 2
    assert "goes back" in ada("deploy-stack", "queue", "--dry-run").err
    assert (
        "would be refused" not in ada("deploy-stack", "queue", "--dry-run", "--allow-backwards").err
    )
    deployed(team, ada, "--allow-backwards")
    assert states(ada)["queue"] == "clean"


def gone_back(team: Team) -> Callable[..., Result]:
    """A colleague whose HEAD is behind what is live."""
    clone, ada = team.colleague("ada")
    first = clone.head
    clone.commit("a bad idea", {"queue.json": template(2)})
    deployed(team, ada)
    clone.git("checkout", "-q", "--detach", first)
    return ada


@pytest.mark.parametrize("words", [(), ("--json",)], ids=["text", "json"])
def test_a_refusal_of_going_back_is_told_once(team: Team, words: tuple[str, ...]) -> None:
    refused = gone_back(team)("deploy-stack", "queue", "--yes", *words)
    assert (refused.code, refused.err.count("this goes back")) == (2, 1)
    assert "error: queue: live is " in refused.err
    assert "hint: merge or rebase onto what is live; or add --allow-backwards:\n" in refused.err
    words = ("deploy-stack queue --yes", *words, "--allow-backwards")
    assert refused.err.splitlines()[-1] == f"  toolkit {' '.join(words)}"


def test_a_dry_run_says_that_going_back_would_be_refused(team: Team) -> None:
    tried = gone_back(team)("deploy-stack", "queue", "--dry-run")
    assert (tried.code, tried.err.count("this goes back")) == (0, 1)
    assert (
        "with --yes this deploy would be refused (exit 2): merge or rebase onto what is live; or"
        " add --allow-backwards" in " ".join(tried.err.split())
    )


def test_a_dry_run_with_the_consent_says_no_such_thing(team: Team) -> None:
    tried = gone_back(team)("deploy-stack", "queue", "--dry-run", "--allow-backwards")
    assert (tried.code, "this goes back" in tried.err, "refused" in tried.err) == (0, True, False)


@pytest.mark.parametrize("way", ["revert", "squash"])
def test_a_revert_or_a_squash_needs_no_consent(team: Team, way: str) -> None:
    clone, ada = team.colleague("ada")
    first = clone.head
    deployed(team, ada)
    live = clone.commit("of a branch", {"queue.json": template(2)})
    deployed(team, ada)
    if way == "revert":
        clone.git("revert", "--no-edit", live)
    else:
        clone.git("reset", "-q", "--hard", first)
        clone.commit("squashed", {"queue.json": template(2)})
        clone.commit("and more", {"queue.json": template(3)})
    deployed(team, ada)
    assert states(ada)["queue"] == "clean"


def test_an_environment_may_allow_to_go_back(team: Team) -> None:
    clone, ada = team.colleague("ada")
    rules = RULES.replace(
        'regions = ["eu-west-1"]\n', 'regions = ["eu-west-1"]\nbackwards = "allow"\n'
    )
    first = clone.commit("may go back", {"rules.toml": rules})
    clone.git("push", "-q", "origin", "HEAD:main")
    clone.commit("a bad idea", {"queue.json": template(2)})
    deployed(team, ada)
    clone.git("checkout", "-q", "--detach", first)
    deployed(team, ada)
    assert (
        "goes back" in ada("deploy-stack", "queue", "--dry-run").err
        or states(ada)["queue"] == "clean"
    )


def test_the_same_commands_for_another_endpoint_know_nothing(team: Team) -> None:
    """A1, J1: what was tried in a sandbox is never taken for what AWS runs."""
    clone, ada = team.colleague("ada")
    clone.commit(
        "without a store", {"rules.toml": RULES.replace('store = "s3://state/team"\n', "")}
    )
    clone.git("push", "-q", "origin", "HEAD:main")
    deployed(team, ada)
    assert states(ada)["queue"] == "clean"
    assert states(ada, AWS_ENDPOINT_URL="http://127.0.0.1:9")["queue"] == "unknown"
    assert states(ada, AWS_ENDPOINT_URL="")["queue"] == "unknown"
    assert ada("history", "--json", AWS_ENDPOINT_URL="").json["runs"] == []
    assert len(ada("history", "--json").json["runs"]) == 1


def test_ci_without_a_store_takes_what_is_live_as_its_base(team: Team) -> None:
    """A3: a fresh machine is not told that there is nothing to deploy, and does not deploy
    everything each time either.
    """
    clone, _ = team.colleague("ada")
    clone.commit(
        "without a store", {"rules.toml": RULES.replace('store = "s3://state/team"\n', "")}
    )
    clone.git("push", "-q", "origin", "HEAD:main")
    _, first = team.colleague("ci1")
    team.ready()
    assert first("deploy", "--yes", "--without", "page").code == 0
    assert team.endpoint.calls.count("ExecuteChangeSet") == 1
    _, second = team.colleague("ci2", "--depth=1")
    assert states(second) == {"queue": "unknown", "page": "unknown"}
    done = second("deploy", "--yes", "--without", "page")
    assert done.code == 0, done
    assert team.endpoint.calls.count("ExecuteChangeSet") == 1


@pytest.fixture
def unshared(team: Team) -> Team:
    """The same team without a store: CI's machines know nothing of each other."""
    clone, _ = team.colleague("eve")
    clone.commit(
        "without a store", {"rules.toml": RULES.replace('store = "s3://state/team"\n', "")}
    )
    clone.git("push", "-q", "origin", "HEAD:main")
    return team


@pytest.mark.parametrize(
    ("files", "deploys"),
    [
        pytest.param({"README.md": "words"}, 0, id="another file"),
        pytest.param({"queue.json": template(2)}, 1, id="the template"),
        pytest.param(
            {"rules.toml": RULES.replace('store = "s3://state/team"', "vars = {size = '2'}")},
            0,
            id="an unused variable",
        ),
        pytest.param(
            {
                "rules.toml": (
                    RULES.replace('store = "s3://state/team"\n', "").replace(
                        'template = "queue.json"', 'template = "queue.json"\noutputs = ["Arn"]'
                    )
                )
            },
            1,
            id="the settings",
        ),
    ],
)
def test_a_shallow_clone_in_ci_without_a_store_deploys_what_has_changed(
    unshared: Team, files: dict[str, str], deploys: int
) -> None:
    """The commit that is live is not in the clone: content and settings say whether that
    matters.
    """
    unshared.ready()
    _, first = unshared.colleague("ci1")
    assert first("deploy", "--yes", "--without", "page").code == 0
    clone, _ = unshared.colleague("ada")
    clone.commit("goes on", files)
    clone.git("push", "-q", "origin", "HEAD:main")
    unshared.ready()
    shallow, second = unshared.colleague("ci2", "--depth=1")
    assert shallow.git("rev-list", "--count", "HEAD") == "1"
    done = second("deploy", "--dry-run", "--without", "page")
    assert done.code == 0, done
    assert ("queue" in done.out.partition("Deploy to")[2]) == bool(deploys), done


def test_a_stack_that_another_tool_changed_is_due_in_ci_though_it_has_our_tags(
    unshared: Team,
) -> None:
    unshared.ready()
    _, first = unshared.colleague("ci1")
    assert first("deploy", "--yes", "--without", "page").code == 0
    clone, _ = unshared.colleague("ada")
    clone.commit("goes on", {"README.md": "words"})
    clone.git("push", "-q", "origin", "HEAD:main")
    unshared.endpoint.cloudformation.stacks["Queue"].template = template(7)
    _, second = unshared.colleague("ci2", "--depth=1")
    done = second("deploy", "--dry-run", "--without", "page")
    assert "queue" in done.out.partition("Deploy to")[2], done


def test_what_is_gone_from_aws_is_deployed_though_the_record_says_that_it_is_live(
    team: Team,
) -> None:
    """J1: after somebody has emptied the account, "nothing to deploy" is said no more."""
    _, ada = team.colleague("ada")
    ada("record", "set", "page", "HEAD", "--yes")
    deployed(team, ada)
    assert states(ada)["queue"] == "clean"
    team.endpoint.cloudformation.stacks.clear()
    planned = ada("deploy", "--dry-run")
    assert "Nothing to deploy" not in planned.out + planned.err
    assert "queue" in planned.out


def test_a_change_outside_toolkit_that_kept_the_tags_is_no_clean_answer_of_what_is_live(
    team: Team,
) -> None:
    """CloudFormation keeps the tags where an update names none."""
    _, ada = team.colleague("ada")
    deployed(team, ada)
    assert states(ada, "live")["queue"] == "clean"
    team.endpoint.cloudformation.stacks["Queue"].template = template(9)
    answer = ada("diff", "live", "--json").json
    assert answer["states"]["queue"] == "due"
    assert "what runs is not what run" in json.dumps(answer["plan"])


@pytest.mark.parametrize("words", [("diff", "live", "--json"), ("deploy", "--dry-run", "--json")])
def test_a_record_that_names_another_commit_than_what_its_run_put_there_is_not_believed(
    team: Team, words: tuple[str, ...]
) -> None:
    clone, ada = team.colleague("ada")
    deployed(team, ada)
    ada("record", "set", "page", "HEAD", "--yes")
    head = clone.commit("more of it", {"queue.json": template(2)})
    objects = team.endpoint.s3.buckets["state"].objects
    [key] = [name for name in objects if name.endswith("/queue.json")]
    team.endpoint.s3.put(
        "state", key, objects[key].body.replace(team.origin.head.encode(), head.encode())
    )
    message = ada(*words)
    assert "queue" in json.dumps(message.json.get("plan") or message.json["steps"]), message


def test_a_profile_of_the_command_line_is_looked_at_and_not_the_account_that_is_recorded(
    team: Team,
) -> None:
    """Where rules.toml names no account, the credentials say which is meant."""
    clone, ada = team.colleague("ada")
    clone.commit("any account", {"rules.toml": RULES.replace('account = "111111111111"\n', "")})
    clone.git("push", "-q", "origin", "HEAD:main")
    deployed(team, ada)
    ada("record", "set", "page", "HEAD", "--yes")
    assert ada("deploy", "--yes").out.endswith("Nothing to deploy.\n")
    message = ada("deploy", "--yes", "--profile", "no-such-profile")
    assert (message.code, "Nothing to deploy" in message.out) == (7, False), message


def test_the_region_that_is_meant_is_looked_at_where_the_rules_name_none(team: Team) -> None:
    clone, ada = team.colleague("ada")
    clone.commit("any region", {"rules.toml": RULES.replace('regions = ["eu-west-1"]\n', "")})
    clone.git("push", "-q", "origin", "HEAD:main")
    deployed(team, ada)
    ada("record", "set", "page", "HEAD", "--yes")
    assert ada("deploy", "--yes").out.endswith("Nothing to deploy.\n")
    for message in (
        ada("deploy", "--dry-run", "--without", "page", "--region", "us-west-2"),
        ada("deploy", "--dry-run", "--without", "page", AWS_REGION="us-west-2"),
    ):
        assert "cloudformation:CreateChangeSet" in message.out, message
    assert states(ada)["queue"] == "clean"
    assert states(ada, AWS_REGION="us-west-2")["queue"] == "unknown"


def test_nothing_to_deploy_is_said_where_everything_is_recorded_and_live(team: Team) -> None:
    _, ada = team.colleague("ada")
    ada("record", "set", "page", "HEAD", "--yes")
    deployed(team, ada)
    assert ada("deploy", "--yes").out.endswith("\nNothing to deploy.\n")


def test_what_is_left_out_is_named_where_there_is_nothing_else_to_deploy(team: Team) -> None:
    clone, ada = team.colleague("ada")
    deployed(team, ada)
    ada("record", "set", "page", "HEAD", "--yes")
    clone.commit("more of it", {"queue.json": template(2)})
    message = ada("deploy", "--yes", "--without", "queue")
    assert message.out.endswith("Nothing else to deploy: --without leaves out queue.\n"), message


def test_rules_of_another_name_that_are_new_do_not_make_forgotten_what_was_in_force(
    team: Team,
) -> None:
    """Whoever adds a file of rules could have a change of the day before ignored in it."""
    clone, ada = team.colleague("ada")
    ada("record", "set", "page", "queue", "HEAD", "--yes")
    clone.commit("another page", {"page/a": "2"})
    clone.commit(
        "rules for the CI",
        {"ci.toml": RULES.replace("version = 1\n", 'version = 1\nignore = ["page/**"]\n')},
    )
    clone.git("push", "-q", "origin", "HEAD:main")
    assert states(ada, "--rules", "ci.toml") == {"page": "due", "queue": "clean"}


def test_the_name_of_an_image_is_none_for_a_stack_which_is_deployed_from_its_files(
    team: Team,
) -> None:
    """P11: recorded as that commit, HEAD would be called clean though uncommitted files are
    live.
    """
    clone, ada = team.colleague("ada")
    deployed(team, ada)
    clone.write({"queue.json": template(2)})
    team.ready()
    done = ada("deploy", "queue", "--no-build", "--image", clone.head, "--yes", "--json")
    assert (done.code, "-dirty-" in done.json["steps"][0]["version"]) == (0, True), done
    clone.git("checkout", "-q", "--", "queue.json")
    assert states(ada)["queue"] == "due"


def test_a_named_image_lets_no_uncommitted_template_into_a_protected_environment(
    team: Team,
) -> None:
    clone, ada = team.colleague("ada")
    clone.commit(
        "protected", {"rules.toml": RULES.replace("regions =", "protected = true\nregions =")}
    )
    clone.git("push", "-q", "origin", "HEAD:main")
    clone.write({"queue.json": template(2)})
    team.ready()
    message = ada("deploy", "queue", "--no-build", "--image", "v1", "--confirm", "dev", "--yes")
    assert (message.code, "the files are not as committed" in message.err) == (2, True), message


@pytest.mark.parametrize("change", ["commit", "endpoint"])
def test_a_plan_is_stale_also_where_an_image_is_named(
    team: Team, tmp_path: Path, change: str
) -> None:
    clone, ada = team.colleague("ada")
    plan = str(tmp_path / "plan.json")
    assert ada("diff", "--out", plan).code == 0
    if change == "commit":
        clone.commit("more of it", {"queue.json": template(2)})
    env = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"} if change == "endpoint" else {}
    message = ada(
        "deploy", "--plan", plan, "--without", "page", "--no-build", "--image", "v1", "--yes", **env
    )
    assert (message.code, "the plan is stale" in message.err) == (2, True), message


def test_a_commit_that_a_person_says_is_live_is_what_a_target_is_compared_with(team: Team) -> None:
    clone, ada = team.colleague("ada")
    assert states(ada)["page"] == "unknown"
    assert ada("record", "set", "page", "HEAD").code == 2  # nobody is asked here
    message = ada("record", "set", "page", "HEAD", "--yes")
    assert (message.code, "\npage: recorded as live at" in message.out) == (0, True)
    assert states(ada)["page"] == "clean"
    clone.commit("another page", {"page/a": "2"})
    assert states(ada)["page"] == "due"


def test_what_is_set_has_to_be_a_target_and_a_commit(team: Team) -> None:
    _, ada = team.colleague("ada")
    assert ada("record", "set", "pages", "HEAD", "--yes").code == 2
    assert ada("record", "set", "page", "nowhere", "--yes").code == 2


def test_a_damaged_record_costs_only_its_target_and_is_repaired_by_the_command_that_is_named(
    team: Team,
) -> None:
    """J10."""
    _, ada = team.colleague("ada")
    deployed(team, ada)
    ada("record", "set", "page", "HEAD", "--yes")
    [key] = [
        name for name in team.endpoint.s3.buckets["state"].objects if name.endswith("/page.json")
    ]
    team.endpoint.s3.put("state", key, b"{}")
    actual = ada("diff", "--json").json
    assert (actual["states"]["page"], actual["states"]["queue"]) == ("unknown", "clean")
    assert "toolkit record repair page" in json.dumps(actual)
    assert "page" in ada("record", "repair", "page").out
    assert states(ada)["page"] == "clean"
    assert ada("record", "repair").out.endswith("\nNothing is damaged.\n")


def test_a_record_that_a_colleague_filled_with_escapes_is_shown_without_them(team: Team) -> None:
    """G6."""
    _, ada = team.colleague("ada")
    deployed(team, ada)
    [key] = [
        name for name in team.endpoint.s3.buckets["state"].objects if name.endswith("/queue.json")
    ]
    body = json.loads(team.endpoint.s3.buckets["state"].objects[key].body)
    for record in body["records"]:
        record |= {
            "commit": "\x1b[31mred\x1b[0m",
            "version": "\x1b]0;title\x07",
            "who": "\x1b[2J",
            "run": "\x1b[1A",
        }
    team.endpoint.s3.put("state", key, json.dumps(body).encode())
    for words in (
        ("diff",),
        ("diff", "-v"),
        ("record", "show"),
        ("deploy-stack", "queue", "--dry-run"),
        ("health",),
    ):
        message = ada(*words)
        assert "\x1b" not in message.out + message.err, words
        assert "\x07" not in message.out + message.err, words
        assert message.code != 3, message


def test_a_plan_of_another_endpoint_is_stale_here(team: Team, tmp_path: Path) -> None:
    """A1: what was planned for a sandbox is not deployed to AWS."""
    _, ada = team.colleague("ada")
    plan = str(tmp_path / "plan.json")
    assert ada("diff", "--out", plan).code == 0
    message = ada(
        "deploy",
        "--plan",
        plan,
        "--yes",
        "--without",
        "page",
        AWS_ENDPOINT_URL="http://127.0.0.1:9",
    )
    assert (message.code, "it was made for another endpoint" in message.err) == (2, True), message


@pytest.mark.slow("sweeps", keep=2)
@pytest.mark.parametrize("change", ["commit", "environment", "endpoint", "tree", "source"])
def test_a_plan_without_steps_is_stale_like_any_other(
    team: Team, tmp_path: Path, change: str
) -> None:
    """It said "Nothing to deploy" for whatever there was by then."""
    clone, ada = team.colleague("ada")
    both = RULES.replace(
        "[targets.queue]", '[environments.prod]\naccount = "222222222222"\n\n[targets.queue]'
    )
    clone.commit("prod", {"rules.toml": both})
    clone.git("push", "-q", "origin", "HEAD:main")
    deployed(team, ada)
    ada("record", "set", "page", "HEAD", "--yes")
    plan, more, env = tmp_path / "plan.json", list[str](), dict[str, str]()
    assert ada("diff", "--out", str(plan)).code == 0
    assert ada("deploy", "--plan", str(plan), "--yes").out.endswith("Nothing to deploy.\n")
    match change:
        case "commit":
            clone.commit("more of it", {"queue.json": template(2)})
        case "tree":
            clone.write({"queue.json": template(2)})
        case "environment":
            more = ["--env", "prod"]
        case "endpoint":
            env = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
        case "source":
            plan.write_text(json.dumps({**json.loads(plan.read_text()), "source": {}}))
    message = ada("deploy", "--plan", str(plan), "--yes", *more, **env)
    assert (message.code, "the plan is stale" in message.err, message.out) == (2, True, ""), message


def test_a_plan_without_steps_is_held_against_what_is_live(team: Team, tmp_path: Path) -> None:
    _, ada = team.colleague("ada")
    deployed(team, ada)
    ada("record", "set", "page", "HEAD", "--yes")
    plan = str(tmp_path / "plan.json")
    ada("diff", "--out", plan)
    team.endpoint.cloudformation.stacks.clear()
    message = ada("deploy", "--plan", plan, "--yes")
    assert (message.code, "the plan has no steps, and queue is due" in message.err) == (2, True), (
        message
    )


def test_a_plan_of_what_changed_since_a_commit_does_not_say_that_nothing_is_due(
    team: Team, tmp_path: Path
) -> None:
    clone, ada = team.colleague("ada")
    deployed(team, ada)
    clone.commit("more of it", {"queue.json": template(2)})
    plan = str(tmp_path / "plan.json")
    assert ada("diff", "HEAD", "--out", plan).code == 0
    message = ada("deploy", "--plan", plan, "--yes")
    assert (message.code, "queue" in message.err, "Nothing to deploy" in message.out) == (
        2,
        True,
        False,
    ), message


def test_a_plan_for_no_environment_is_stale_in_any(team: Team, tmp_path: Path) -> None:
    clone, ada = team.colleague("ada")
    several = RULES.replace('environment = "dev"\n', "") + "[environments.other]\n"
    clone.commit("no default", {"rules.toml": several})
    clone.git("push", "-q", "origin", "HEAD:main")
    plan = str(tmp_path / "plan.json")
    assert ada("diff", "--out", plan).code == 0
    message = ada("deploy", "--plan", plan, "--yes", "--without", "page", "--env", "dev")
    assert (message.code, "it was made for another environment" in message.err) == (2, True), (
        message
    )


@pytest.mark.parametrize(("location", "dirty"), [("plan.json", False), ("infra/plan.json", True)])
def test_a_plan_that_is_written_into_what_is_deployed_is_in_the_name(
    team: Team, location: str, dirty: bool
) -> None:
    """P11: where no rule knows it, it is no change."""
    clone, ada = team.colleague("ada")
    rules = RULES.replace('paths = ["queue.json"]', 'paths = ["queue.json", "infra/**"]')
    clone.commit("infra", {"rules.toml": rules, "infra/a": "1"})
    clone.git("push", "-q", "origin", "HEAD:main")
    assert ada("diff", "--out", location).code == 0
    team.ready()
    done = ada("deploy", "--plan", location, "--yes", "--without", "page", "--json")
    [step] = done.json["steps"]
    assert (done.code, "-dirty-" in step["version"]) == (0, dirty), done


def earlier_version(team: Team) -> None:
    """The record as the version before would have left it: by environment and region only, other
    digests, no account.
    """
    objects = team.endpoint.s3.buckets["state"].objects
    [key] = [name for name in objects if name.endswith("/queue.json")]
    [record, *_] = json.loads(objects.pop(key).body)["records"]
    names = ("target", "environment", "region", "version", "commit", "run", "when", "verdict")
    old = {name: record[name] for name in names} | {
        "fingerprint": "of then",
        "detail": {},
        "n": 1,
        "unsure": False,
    }
    team.endpoint.s3.put(
        "state",
        "team/live/dev/eu-west-1/queue.json",
        json.dumps({"v": 1, "records": [old]}).encode(),
    )


@pytest.mark.parametrize("words", [("diff", "live"), ("deploy", "--dry-run", "--without", "page")])
def test_what_an_earlier_version_recorded_counts_once_it_was_seen_live(
    team: Team, words: tuple[str, ...]
) -> None:
    _, ada = team.colleague("ada")
    deployed(team, ada)
    earlier_version(team)
    _, bob = team.colleague("bob")
    first = bob("diff", "--json")
    assert first.json["states"]["queue"] == "unknown"
    assert first.err.count("an earlier version of toolkit recorded a deploy") == 1
    bob(*words)
    assert states(bob)["queue"] == "clean"


def test_what_an_earlier_version_recorded_and_does_not_run_any_more_stays_unknown(
    team: Team,
) -> None:
    clone, ada = team.colleague("ada")
    deployed(team, ada)
    earlier_version(team)
    clone.commit("another", {"queue.json": template(2)})
    deployed(team, ada)
    [key] = [
        name
        for name in team.endpoint.s3.buckets["state"].objects
        if name.endswith("/queue.json") and "record/" in name
    ]
    team.endpoint.s3.buckets["state"].objects.pop(key)
    _, bob = team.colleague("bob")
    bob("diff", "live")
    assert states(bob)["queue"] == "unknown"


def test_what_is_live_in_a_protected_environment_is_said_with_its_name(team: Team) -> None:
    clone, ada = team.colleague("ada")
    clone.commit(
        "protected", {"rules.toml": RULES.replace("regions =", "protected = true\nregions =")}
    )
    clone.git("push", "-q", "origin", "HEAD:main")
    refused = ada("record", "set", "page", "HEAD", "--yes")
    assert (refused.code, "--confirm dev" in refused.err) == (2, True), refused
    assert ada("record", "set", "page", "HEAD", "--yes", "--confirm", "prod").code == 2
    assert states(ada)["page"] == "unknown"
    assert ada("record", "set", "page", "HEAD", "--confirm", "dev").code == 0
    assert states(ada)["page"] == "clean"


def test_only_yes_is_a_yes(team: Team) -> None:
    """`maybe` and `nay` had a y in them, and were taken for one."""
    clone, ada = team.colleague("ada")
    command = [sys.executable, "-m", "toolkit", "record", "set", "page", "HEAD"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TOOLKIT_STATE_DIR": str(team.folder / "state-ada"),
        "TERM": "xterm",
    }
    child = pexpect.spawn(
        command[0],
        command[1:],
        cwd=str(clone.path),
        env=environment,
        timeout=60,
        dimensions=(24, 80),
    )
    for answer in ("maybe", "nay", "no"):
        child.expect("y/N")
        child.send(f"{answer}\r")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 2
    assert states(ada)["page"] == "unknown"


def test_either_all_of_what_is_said_is_recorded_or_nothing(team: Team) -> None:
    clone, ada = team.colleague("ada")
    clone.commit(
        "regions", {"rules.toml": RULES.replace('["eu-west-1"]', '["eu-west-1", "us-east-1"]')}
    )
    clone.git("push", "-q", "origin", "HEAD:main")
    assert ada("record", "set", "page", "HEAD", "--yes").code == 0
    keys = [key for key in team.endpoint.s3.buckets["state"].objects if key.endswith("/page.json")]
    before = {
        key: team.endpoint.s3.buckets["state"].objects[key].body
        for key in keys
        if "eu-west-1" in key
    }
    [second] = [key for key in keys if "us-east-1" in key]
    team.endpoint.s3.put("state", second, b"{}")
    message = ada("record", "set", "page", "HEAD", "--yes")
    assert (message.code, "toolkit record repair page" in message.err) == (2, True), message
    assert {key: team.endpoint.s3.buckets["state"].objects[key].body for key in before} == before


def neighbour(team: Team, folder: Path, **changes: str) -> Callable[..., Result]:
    """Another project whose rules.toml names the same bucket, account and target."""
    text = RULES
    for old, new in changes.items():
        text = text.replace(f'{old} = "team"', f'{old} = "{new}"')
    second = Repo.make(folder / "neighbour", {"queue.json": template(3), "page/a": "1"}, text)

    def run(*words: str) -> Result:
        with team.patch.context() as patch:
            patch.setenv("TOOLKIT_STATE_DIR", str(folder / "state-neighbour"))
            return team.toolkit(second.path, *words)

    return run


def test_what_another_project_recorded_in_the_same_bucket_is_not_ours(
    team: Team, tmp_path: Path
) -> None:
    _, ada = team.colleague("ada")
    deployed(team, ada)
    shop = neighbour(team, tmp_path, project="shop")
    assert states(shop)["queue"] == "unknown"
    assert "its record belongs to project team" in json.dumps(shop("diff", "--json").json)
    calls = team.endpoint.calls.count("ExecuteChangeSet")
    team.ready()
    refused = shop("deploy-stack", "queue", "--yes", "--allow-backwards")
    assert (refused.code, team.endpoint.calls.count("ExecuteChangeSet")) == (1, calls), refused
    assert "give each project its own prefix" in refused.err + refused.out
    assert states(ada)["queue"] == "clean"


def test_a_project_with_another_name_begins_its_record_anew_where_somebody_says_so(
    team: Team, tmp_path: Path
) -> None:
    _, ada = team.colleague("ada")
    deployed(team, ada)
    shop = neighbour(team, tmp_path, project="shop")
    assert shop("record", "repair", "queue").code == 0
    deployed(team, shop, "--allow-backwards")
    assert states(shop)["queue"] == "clean"
    assert states(ada)["queue"] == "unknown"


def test_repair_without_a_name_leaves_the_records_of_another_project(
    team: Team, tmp_path: Path
) -> None:
    _, ada = team.colleague("ada")
    deployed(team, ada)
    shop = neighbour(team, tmp_path, project="shop")
    assert shop("record", "repair").out.endswith("Nothing is damaged.\n")
    assert states(ada)["queue"] == "clean"


def shared_stack(team: Team, more: str = "") -> tuple[Repo, Callable[..., Result]]:
    """Two environments of one account that deploy to the same stack."""
    clone, ada = team.colleague("ada")
    location = 'account = "111111111111"\nregions = ["eu-west-1"]\n' + (
        more or 'store = "s3://state/team"\n'
    )
    clone.commit(
        "trial",
        {
            "rules.toml": RULES.replace(
                "[targets.queue]", f"[environments.trial]\n{location}\n[targets.queue]"
            )
        },
    )
    clone.git("push", "-q", "origin", "HEAD:main")
    return clone, ada


def test_an_environment_that_found_the_same_thing_unchanged_is_no_reason_for_ever(
    team: Team,
) -> None:
    _, ada = shared_stack(team)
    deployed(team, ada)
    team.endpoint.clock.advance(5)
    assert ada("deploy-stack", "queue", "--yes", "--env", "trial").code == 0
    assert states(ada)["queue"] == "due"
    team.endpoint.clock.advance(5)
    assert ada("deploy-stack", "queue", "--yes").code == 0
    assert states(ada)["queue"] == "clean"


def test_another_environments_record_that_cannot_be_read_costs_only_what_is_shared(
    team: Team,
) -> None:
    _, ada = shared_stack(team, 'store = "s3://nowhere/team"\n')
    deployed(team, ada)
    ada("record", "set", "page", "HEAD", "--yes")
    answer = ada("diff", "--json").json
    assert answer["states"] == {"queue": "due", "page": "clean"}
    assert "the deploys of environment trial cannot be read" in json.dumps(answer)


def test_a_plan_without_steps_is_not_stale_for_what_a_person_deploys(
    team: Team, tmp_path: Path
) -> None:
    _, ada = team.colleague("ada")
    deployed(team, ada)
    plan = str(tmp_path / "plan.json")
    assert ada("diff", "HEAD", "--out", plan).code == 0
    done = ada("deploy", "--plan", plan, "--yes")
    assert (done.code, done.out.endswith("Nothing to deploy.\n")) == (0, True), done


def test_what_a_person_says_is_live_is_up_to_date_whatever_git_ignores_beside_it(
    team: Team,
) -> None:
    """`diff` said so, and `deploy` said the contrary for ever."""
    clone, ada = team.colleague("ada")
    page = '[targets.page]\nkind = "command"\ndeploy = ["./upload"]\nfolder = "page"\n'
    page += 'live = ["git", "rev-parse", "HEAD"]\n'
    rules = RULES.replace('[targets.page]\nkind = "manual"\ninstructions = "upload it"\n', page)
    assert rules != RULES
    clone.commit("a command", {"rules.toml": rules, ".gitignore": "page/built\n"})
    clone.git("push", "-q", "origin", "HEAD:main")
    clone.write({"page/built": "made here"})
    deployed(team, ada)
    ada("record", "set", "page", "HEAD", "--yes")
    assert states(ada)["page"] == "clean"
    done = ada("deploy", "--yes")
    assert (done.code, done.out.endswith("Nothing to deploy.\n")) == (0, True), done
