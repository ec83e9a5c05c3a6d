"""`diff --templates`: which stacks really change, by what their app makes of them; against a real
(emulated) AWS, in real repositories, with an app that is a program of its own.
"""

import json
import sys
from pathlib import Path

import pytest

from tests.support.assemblies import APP, RULES
from tests.support.repo import Repo
from tests.support.run import Result, Toolkit
from tests.support.sandbox import Cloud
from tests.support.stacks import update_by_hand
from toolkit.ports import process

pytestmark = pytest.mark.sandbox

FILES = {
    "cdk/cdk.json": json.dumps({"app": f"{sys.executable} app.py"}),
    "cdk/app.py": APP,
    "cdk/Net.stack.json": json.dumps({"DelaySeconds": 1}),
    "cdk/Jobs.stack.json": json.dumps({"DelaySeconds": 2}),
    "src/main.py": "print()",
}


class Shop:
    """A repository with an app of two stacks, and what toolkit says of it."""

    def __init__(self, folder: Path, toolkit: Toolkit, home: Path) -> None:
        self.repo = Repo.make(folder, FILES, RULES)
        self._toolkit, self._home = toolkit, home

    def __call__(self, *args: str) -> Result:
        return self._toolkit(self.repo.path, *args)

    def deploy(self) -> None:
        done = self("deploy", "--all", "--yes")
        assert done.code == 0, done.out + done.err

    def refined(self, *args: str) -> dict[str, object]:
        """State by target, as templates say."""
        document = self("diff", *args, "--templates", "--json").json
        return {name: target["state"] for name, target in document["templates"]["targets"].items()}

    def due(self, *args: str) -> list[str]:
        result = self("diff", *args, "--json")
        assert result.code == 0, result.err
        document = result.json
        return [step["target"] for step in document["plan"]["steps"]]

    @property
    def runs(self) -> int:
        """How often the app was started."""
        ran = self._home / "ran"
        return len(ran.read_text()) if ran.exists() else 0


@pytest.fixture
def shop(cloud: Cloud, tmp_path: Path, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> Shop:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    which = process.which
    monkeypatch.setattr(process, "which", lambda name: None if name == "cdk" else which(name))
    return Shop(tmp_path / "shop", toolkit, home)


@pytest.fixture
def deployed(shop: Shop) -> Shop:
    shop.deploy()
    return shop


def test_a_changed_file_that_changes_no_template_calls_for_nothing(deployed: Shop) -> None:
    deployed.repo.commit("a comment", {"cdk/app.py": f"# why\n{APP}"})
    assert deployed.due() == ["infra"]
    assert deployed.refined() == {"net": "unchanged", "jobs": "unchanged"}
    answer = deployed("diff", "--templates")
    assert deployed.due("--templates") == []
    assert "jobs, net: unchanged, so left out" in answer.out
    assert "Nothing to deploy" in answer.out


def test_only_the_stack_that_changes_is_left(deployed: Shop) -> None:
    deployed.repo.commit("longer", {"cdk/Jobs.stack.json": json.dumps({"DelaySeconds": 9})})
    assert deployed.due() == ["infra"]
    assert deployed.due("--templates") == ["jobs"]
    answer = deployed("diff", "--templates")
    assert "DelaySeconds: 2 -> 9" in answer.out
    assert answer.out.rstrip().endswith("toolkit deploy-stack jobs")
    assert "about 2m" in answer.out


def test_uncommitted_files_count_as_a_deploy_would_take_them(deployed: Shop) -> None:
    deployed.repo.write({"cdk/Net.stack.json": json.dumps({"DelaySeconds": 9})})
    assert deployed.due("--templates") == ["net"]
    assert deployed.due("--templates", "--committed") == []


def test_a_template_that_somebody_changed_by_hand_is_seen_in_what_is_live(
    deployed: Shop, cloud: Cloud
) -> None:
    assert deployed.refined("live") == {"net": "unchanged", "jobs": "unchanged"}
    update_by_hand(cloud.aws(), "Net", '"DelaySeconds": 1', '"DelaySeconds": 77')
    assert deployed.refined("live") == {"net": "changed", "jobs": "unchanged"}
    assert deployed.refined() == {"net": "unchanged", "jobs": "unchanged"}  # as recorded
    assert "DelaySeconds: 77 -> 1" in deployed("diff", "live", "--templates").out
    assert deployed.due("live", "--templates") == ["net"]


def test_what_no_rule_called_for_is_added_with_the_file_that_needs_one(deployed: Shop) -> None:
    values = {"values.json": json.dumps({"Jobs": {"DelaySeconds": 7}})}
    deployed.repo.commit("a value", values)
    assert deployed.due() == ["net"]
    assert deployed.due("--templates") == ["jobs"]
    answer = deployed("diff", "--templates")
    assert "no rule in rules.toml sends what changed to jobs" in answer.out
    assert "values.json" in answer.out
    document = deployed("diff", "--templates", "--json").json["templates"]
    assert document["added"] == {"jobs": ["values.json"]}
    assert document["dropped"] == ["net"]


def test_an_app_that_fails_is_unknown_so_due(deployed: Shop) -> None:
    deployed.repo.commit("docs", {"cdk/broken": ""})
    answer = deployed("diff", "--templates")
    assert deployed.due("--templates") == ["infra"]
    assert "jobs, net: unknown, so due" in answer.out
    assert "NameError: name 'bucket' is not defined" in answer.out
    document = deployed("diff", "--templates", "--json").json
    assert document["status"] == "unknown"
    assert document["states"]["net"] == "unknown"


def test_a_lookup_that_nobody_has_answered_is_unknown_though_the_app_ends_well(
    deployed: Shop,
) -> None:
    deployed.repo.commit("a lookup", {"cdk/lookup": ""})
    assert deployed.refined() == {"net": "unknown", "jobs": "unknown"}


def test_what_differs_from_run_to_run_is_unknown_and_not_changed_for_ever(deployed: Shop) -> None:
    deployed.repo.commit("a random key", {"cdk/unstable": ""})
    assert deployed.refined() == {"net": "unknown", "jobs": "unknown"}
    answer = deployed("diff", "--templates")
    assert "Queue" in answer.out


def test_without_being_asked_for_no_program_of_the_repository_runs(deployed: Shop) -> None:
    deployed.repo.commit("a comment", {"cdk/app.py": f"# why\n{APP}"})
    before = deployed.runs
    deployed("diff")
    deployed("diff", "HEAD~1")
    deployed("explain", "--plan")
    assert deployed.runs == before


def test_a_person_can_always_ask_for_it_by_a_variable(
    deployed: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed.repo.commit("a comment", {"cdk/app.py": f"# why\n{APP}"})
    monkeypatch.setenv("TOOLKIT_TEMPLATES", "1")
    assert deployed.due() == []
    assert deployed.due("--no-templates") == ["infra"]
    listed = deployed("diff", "--paths-from", "/dev/null", "--json")
    assert listed.code == 0, "the variable is no reason to refuse a list of paths"
    assert deployed("diff", "--paths-from", "/dev/null", "--templates").code == 2


def test_a_second_answer_runs_nothing_again(deployed: Shop) -> None:
    deployed.repo.commit("longer", {"cdk/Jobs.stack.json": json.dumps({"DelaySeconds": 9})})
    deployed("diff", "--templates")
    before = deployed.runs
    assert deployed.due("--templates") == ["jobs"]
    assert deployed.runs == before


def test_what_a_change_calls_for_is_compared_commit_with_commit(shop: Shop) -> None:
    shop.repo.commit("longer", {"cdk/Jobs.stack.json": json.dumps({"DelaySeconds": 9})})
    shop.repo.commit("a comment", {"cdk/app.py": f"# why\n{APP}"})
    assert shop.due("HEAD~1") == ["infra"]
    assert shop.due("HEAD~1", "--templates") == []
    assert shop.due("HEAD~2", "--templates") == ["jobs"]
    assert shop.due("HEAD~2..HEAD~1", "--templates") == ["jobs"]
    before = shop.runs
    shop.due("HEAD~2", "--templates")
    assert shop.runs == before, "commits never change, so what they become is kept"


def test_uncommitted_files_count_against_a_commit_too(shop: Shop) -> None:
    shop.repo.write({"cdk/Net.stack.json": json.dumps({"DelaySeconds": 9}), "cdk/new.txt": "x"})
    assert shop.due("HEAD", "--templates") == ["net"]
    assert shop.due("HEAD", "--templates", "--committed") == []


def test_a_base_that_cannot_be_synthesized_leaves_what_the_rules_say(shop: Shop) -> None:
    shop.repo.commit("broken", {"cdk/broken": ""})
    (shop.repo.path / "cdk" / "broken").unlink()
    shop.repo.commit("fixed")
    assert shop.refined("HEAD~1") == {"net": "not compared", "jobs": "not compared"}
    assert shop.due("HEAD~1", "--templates") == ["infra"]


def test_where_nothing_is_recorded_the_default_base_is_synthesized(
    shop: Shop, tmp_path: Path
) -> None:
    origin = shop.repo.clone(tmp_path / "origin", "--bare")
    shop.repo.git("remote", "add", "origin", str(origin.path))
    shop.repo.git("fetch", "-q", "origin")
    shop.repo.git("remote", "set-head", "origin", "main")
    shop.repo.git("checkout", "-q", "-b", "topic", "--track", "origin/main")
    shop.repo.commit("longer", {"cdk/Jobs.stack.json": json.dumps({"DelaySeconds": 9})})
    result = shop("diff", "--templates", "--json")
    assert result.code == 0, result.err
    document = result.json
    assert document["first"]["targets"] == ["jobs"]
    assert [step["target"] for step in document["plan"]["steps"]] == ["infra"], "all are unknown"


def test_other_settings_are_due_whatever_the_template_says(deployed: Shop) -> None:
    rules = RULES.replace('stack = "Net"', 'stack = "Net"\ncontext = { colour = "red" }')
    deployed.repo.commit("a setting", {"rules.toml": rules})
    assert "net" in deployed.due("--templates")


def test_a_deploy_that_did_not_end_well_is_not_compared(deployed: Shop) -> None:
    deployed.repo.commit("bad", {"cdk/Jobs.stack.json": json.dumps({"DelaySeconds": -5})})
    assert deployed("deploy-stack", "jobs", "--yes").code != 0
    deployed.repo.commit("good again", {"cdk/Jobs.stack.json": FILES["cdk/Jobs.stack.json"]})
    assert deployed.refined()["jobs"] == "not compared"
    assert deployed.due("--templates") == deployed.due()


def test_a_replay_says_which_changes_the_rules_would_have_missed(shop: Shop) -> None:
    shop.repo.commit("a value", {"values.json": json.dumps({"Jobs": {"DelaySeconds": 7}})})
    missed = shop.repo.head
    shop.repo.commit("a comment", {"cdk/app.py": f"# why\n{APP}"})
    shop.repo.commit("a program", {"src/main.py": "print(1)"})
    both = ("cdk/Net.stack.json", "cdk/Jobs.stack.json")
    shop.repo.commit("both", dict.fromkeys(both, '{"FifoQueue": 1}'))
    answer = shop("rules", "replay", "--templates", "-n", "4")
    assert answer.code == 0, answer.err
    lines = " ".join(answer.out.split())
    assert "4 commits: the rules are exact for 2, too wide for 1, and miss a change in 1." in lines
    assert f"missed: {missed[:7]} changes jobs, and no rule says so" in lines
    assert "add a rule that deploys jobs for one of: values.json" in lines
    rows = [
        json.loads(row) for row in shop("rules", "replay", "--templates", "--json").out.splitlines()
    ]
    assert [sorted(row["changed"]) for row in rows] == [["jobs", "net"], [], [], ["jobs"], []]
    assert [row["unneeded"] for row in rows[1:3]] == [[], ["jobs", "net"]]
    assert set(rows[-1]["unknown"]) == {"jobs", "net"}, "there is nothing before the first commit"


def test_a_second_replay_runs_nothing(shop: Shop) -> None:
    shop.repo.commit("a comment", {"cdk/app.py": f"# why\n{APP}"})
    shop("rules", "replay", "--templates")
    before = shop.runs
    shop("rules", "replay", "--templates")
    assert shop.runs == before == 2


def test_a_submodule_that_has_moved_is_unknown_since_it_is_not_checked_out(
    shop: Shop, tmp_path: Path
) -> None:
    inner = Repo.make(tmp_path / "inner", {"a": "b"}, rules=None)
    add = ("-c", "protocol.file.allow=always", "submodule", "add", str(inner.path), "lib")
    shop.repo.git(*add)
    shop.repo.commit("with a submodule")
    shop.repo.commit("longer", {"cdk/Jobs.stack.json": json.dumps({"DelaySeconds": 9})})
    assert shop.refined("HEAD~1") == {"net": "unchanged", "jobs": "changed"}
    assert shop.refined("HEAD~2") == {"net": "unknown", "jobs": "unknown"}
    answer = shop("rules", "replay", "--templates", "-n", "2")
    assert "the submodule lib has changed" in answer.out


def test_files_that_git_cannot_take_leave_the_stacks_unknown_and_the_answer_whole(
    shop: Shop,
) -> None:
    shop.repo.write({"cdk/Jobs.stack.json": json.dumps({"DelaySeconds": 9})})
    shop.repo.git("init", "-q", "vendor/inner")  # a repository without commits
    assert shop.refined("HEAD") == {"net": "unknown", "jobs": "unknown"}
    answer = shop("diff", "HEAD", "--templates")
    assert answer.code == 0, answer.err
    assert "vendor/inner" in answer.out


def test_settings_that_differ_since_a_commit_are_due_whatever_the_templates_say(
    shop: Shop,
) -> None:
    rules = RULES.replace('stack = "Net"', 'stack = "Net"\nparameters = { Colour = "red" }')
    shop.repo.commit("a parameter", {"rules.toml": rules})
    assert shop.due("HEAD~1") == shop.due("HEAD~1", "--templates") == ["net"]


def test_commits_are_compared_without_an_account_too(shop: Shop) -> None:
    anywhere = RULES.replace('account = "111111111111"\n', "").replace('"eu-west-1"', "")
    shop.repo.commit("anywhere", {"rules.toml": anywhere})
    shop.repo.commit("longer", {"cdk/Jobs.stack.json": json.dumps({"DelaySeconds": 9})})
    assert shop.refined("HEAD~1") == {"net": "unchanged", "jobs": "changed"}


def test_a_replay_does_not_call_changed_what_differs_from_run_to_run(shop: Shop) -> None:
    shop.repo.commit("a random key", {"cdk/unstable": ""})
    shop.repo.commit("a comment", {"cdk/app.py": f"# why\n{APP}"})
    rows = shop("rules", "replay", "--templates", "--json", "-n", "1").out.splitlines()
    [row] = map(json.loads, rows)
    assert (row["changed"], sorted(row["unknown"])) == ([], ["jobs", "net"])


def test_a_target_with_hooks_is_not_compared_since_they_may_change_what_is_synthesized(
    shop: Shop,
) -> None:
    hooked = RULES.replace(
        "[targets.jobs]", '[targets.net.hooks]\nbefore = [["true"]]\n[targets.jobs]'
    )
    shop.repo.commit("hooks", {"rules.toml": hooked})
    shop.repo.commit("longer", {"cdk/Jobs.stack.json": json.dumps({"DelaySeconds": 9})})
    assert shop.refined("HEAD~1") == {"net": "not compared", "jobs": "changed"}
    [row] = map(
        json.loads, shop("rules", "replay", "--templates", "--json", "-n", "1").out.splitlines()
    )
    assert (row["changed"], list(row["unknown"])) == (["jobs"], ["net"])


def test_a_target_that_is_unknown_is_no_change_that_a_rule_has_missed(deployed: Shop) -> None:
    """Nothing has changed that a rule could have named."""
    (deployed.repo.path / ".git" / "info" / "exclude").write_text("cdk/broken\n")
    (deployed.repo.path / "cdk" / "broken").write_text("")
    document = deployed("diff", "--templates", "--json").json
    assert document["states"]["net"] == "unknown"
    assert document["templates"]["added"] == {}


def test_what_a_failed_app_has_written_is_shown_without_secrets(shop: Shop) -> None:
    secret = "api_token=4f5d2c1b9a8e7f6d5c4b3a29"
    shop.repo.commit("broken", {"cdk/broken": f"RuntimeError: no access with {secret}"})
    for args in (("diff", "HEAD~1"), ("rules", "replay"), ("rules", "check")):
        for more in ((), ("--json",)):
            result = shop(*args, "--templates", *more)
            assert "RuntimeError" in result.out, args
            assert "4f5d2c1b9a8e7f6d5c4b3a29" not in result.out + result.err


def test_what_a_failed_app_has_written_is_shown_whole(shop: Shop) -> None:
    written = [f"line {number} of a long trace" for number in range(60)]
    shop.repo.commit("broken", {"cdk/broken": "\n".join([*written, "TypeError: no bucket"])})
    answer = shop("diff", "HEAD~1", "--templates")
    assert all(f"      {line}" in answer.out.splitlines() for line in written)
    assert answer.out.count("line 59 of") == 1  # not once for each stack
    document = shop("diff", "HEAD~1", "--templates", "--json").json
    targets = document["templates"]["targets"]
    assert [targets[name]["output"][:60] for name in ("net", "jobs")] == [written, written]


REMARKS = {
    "/Jobs/Queue": [
        {"type": "aws:cdk:info", "data": "is a queue"},
        {"type": "aws:cdk:warning", "data": f"is {'very ' * 60}old"},
        {"type": "aws:cdk:error", "data": "has api_token=4f5d2c1b9a8e7f6d5c4b3a29"},
        {"type": "aws:cdk:logicalId", "data": "Queue"},
    ]
}


def test_what_an_app_remarks_is_shown_whole_also_when_it_is_asked_again(deployed: Shop) -> None:
    deployed.repo.commit("remarks", {"cdk/Jobs.remarks.json": json.dumps(REMARKS)})
    assert deployed.refined() == {"net": "unchanged", "jobs": "unchanged"}
    for args in (("HEAD~1",), ("HEAD~1",), ()):
        told = " ".join(deployed("diff", *args, "--templates").out.split())
        assert "error: /Jobs/Queue: has api_token=[redacted] warning: /Jobs/Queue: is very" in told
        assert told.count("very ") == 60
        assert "info: /Jobs/Queue: is a queue" in told
        assert "logicalId" not in told
        document = deployed("diff", *args, "--templates", "--json").json
        told_of = {name: each["remarks"] for name, each in document["templates"]["targets"].items()}
        assert [each["level"] for each in told_of["jobs"]] == ["info", "warning", "error"]
        assert told_of["net"] == []


def test_remarks_about_what_has_to_be_looked_up_are_shown(deployed: Shop) -> None:
    files = {"cdk/Jobs.remarks.json": json.dumps(REMARKS), "cdk/lookup": ""}
    deployed.repo.commit("a lookup", files)
    assert "info: /Jobs/Queue: is a queue" in deployed("diff", "--templates").out
