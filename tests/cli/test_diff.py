"""`toolkit diff`: what it says, to people (golden) and to programs."""

import os
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.support.repo import RULES, Repo
from tests.support.run import Toolkit, process


def test_changes_of_every_kind_are_told_in_one_screen(
    repo: Repo, toolkit: Toolkit, snapshot: SnapshotAssertion
) -> None:
    base = repo.git("rev-parse", "HEAD")
    repo.commit("a change", {"backend/src/app.py": "new\n", "backend/src/views/list.py": "new\n"})
    repo.write(
        {
            "cdk/stacks/fargate_stack.py": "new\n",
            "README.md": "new\n",
            "notes.txt": "new\n",
            "smoke/test.py": "new\n",
        }
    )
    repo.git("add", "notes.txt")
    assert toolkit(repo.path, "diff", base).out == snapshot


def test_nothing_changed_recommends_the_narrowest_check(
    repo: Repo, toolkit: Toolkit, snapshot: SnapshotAssertion
) -> None:
    assert toolkit(repo.path, "diff", "HEAD").out == snapshot


def test_verbose_adds_reasons_and_people(
    repo: Repo, toolkit: Toolkit, snapshot: SnapshotAssertion
) -> None:
    repo.commit("Faster search", {"backend/src/app.py": "new\n"})
    assert toolkit(repo.path, "diff", "-v", "HEAD~1").out == snapshot


def test_an_unknown_base_makes_everything_due_and_says_so(
    repo: Repo, toolkit: Toolkit, snapshot: SnapshotAssertion
) -> None:
    assert toolkit(repo.path, "diff").out == snapshot


def test_a_long_table_fits_eighty_columns(repo: Repo, toolkit: Toolkit) -> None:
    deep = (
        "backend/src/"
        + "/".join(f"a-rather-long-folder-name-{position}" for position in range(8))
        + "/file.py"
    )
    repo.write({deep: "x", "lambda/login/handler.py": "x", "cdk/stacks/fargate_stack.py": "x"})
    out = toolkit(repo.path, "diff", "HEAD").out
    assert "..." in out
    assert max(len(line) for line in out.splitlines()) <= 80


def test_a_branch_is_compared_with_what_it_goes_back_to(
    repo: Repo, toolkit: Toolkit, tmp_path: Path
) -> None:
    clone = repo.clone(tmp_path / "clone")
    base = clone.git("rev-parse", "HEAD")
    clone.git("checkout", "-q", "-b", "feature")
    clone.commit("one", {"backend/src/app.py": "new\n"})
    json = toolkit(clone.path, "diff", "--json", "change").json
    assert json["base"] == {
        "kind": "ref",
        "name": "origin/main",
        "commit": base,
        "chosen": "upstream merge base",
    }
    assert json["recommendation"] == "toolkit deploy-app app"


PULL_REQUESTS = {
    "GitHub": ("GITHUB_BASE_REF", "release"),
    "GitLab": ("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "release"),
    "Bitbucket": ("BITBUCKET_PR_DESTINATION_BRANCH", "release"),
    "Jenkins": ("CHANGE_TARGET", "release"),
    "Azure": ("SYSTEM_PULLREQUEST_TARGETBRANCH", "refs/heads/release"),
}


@pytest.mark.parametrize("name", PULL_REQUESTS)
def test_a_pull_request_is_compared_with_the_branch_that_it_goes_into(
    repo: Repo, toolkit: Toolkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    repo.git("branch", "release")
    repo.commit("on the mainline", {"lambda/login/handler.py": "2\n"})
    clone = repo.clone(tmp_path / "clone")
    clone.git("checkout", "-q", "--detach", "origin/main")
    monkeypatch.setenv(*PULL_REQUESTS[name])
    assert toolkit(clone.path, "diff", "-q", "change").out == "toolkit deploy-stack api\n"


def test_without_any_record_the_changes_come_first_and_everything_is_in_the_plan(
    repo: Repo, toolkit: Toolkit, tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    clone = repo.clone(tmp_path / "clone")
    clone.git("checkout", "-q", "-b", "feature")
    clone.commit("one", {"backend/src/app.py": "new\n"})
    assert toolkit(clone.path, "diff").out == snapshot
    actual = toolkit(clone.path, "diff", "--json", "--exit-code")
    assert (actual.code, actual.json["status"]) == (10, "unknown")
    assert {step["target"] for step in actual.json["plan"]["steps"]} == {"app", "infra"}
    assert actual.json["first"]["targets"] == ["app"]


def test_a_fresh_clone_of_the_mainline_is_not_called_clean(
    repo: Repo, toolkit: Toolkit, tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    """A3: in CI, "nothing to deploy" for ever."""
    clone = repo.clone(tmp_path / "clone")
    assert toolkit(clone.path, "diff").out == snapshot
    assert toolkit(clone.path, "diff", "-q", "--exit-code").code == 10


def test_a_pushed_branch_is_not_compared_with_its_own_copy(
    repo: Repo, toolkit: Toolkit, tmp_path: Path
) -> None:
    repo.git("config", "receive.denyCurrentBranch", "ignore")
    clone = repo.clone(tmp_path / "clone")
    clone.git("checkout", "-q", "-b", "feature")
    clone.commit("one", {"backend/src/app.py": "new\n"})
    clone.git("push", "-q", "-u", "origin", "feature")
    assert [
        step["target"]
        for step in toolkit(clone.path, "diff", "--json", "change").json["plan"]["steps"]
    ] == ["app"]


def test_json_has_the_documented_shape(repo: Repo, toolkit: Toolkit) -> None:
    repo.write({"backend/src/app.py": "new\n"})
    json = toolkit(repo.path, "diff", "--json", "HEAD").json
    head = repo.git("rev-parse", "HEAD")
    assert list(json)[:4] == ["toolkit", "command", "status", "exit"]
    assert (json["toolkit"], json["command"], json["status"], json["exit"]) == (
        1,
        "diff",
        "pending",
        0,
    )
    assert json["head"] == {"commit": head, "branch": "main", "dirty": True}
    assert json["changes"] == [
        {
            "path": "backend/src/app.py",
            "status": "modified",
            "old_path": None,
            "origin": "unstaged",
            "rules": ["App code"],
            "targets": ["app"],
        }
    ]
    assert json["impact"]["app"] == [
        {"path": "backend/src/app.py", "rule": "App code", "pattern": "backend/src/**", "line": 30}
    ]
    assert RULES.splitlines()[29] == 'paths = ["backend/src/**", "!backend/**/*.test.ts"]'
    assert json["plan"]["steps"] == [
        {
            "target": "app",
            "action": "deploy-app",
            "command": "toolkit deploy-app app",
            "needs": [],
            "estimate_s": 150,
            "because": [
                'backend/src/app.py matches backend/src/** of rule "App code" (rules.toml:30)'
            ],
        }
    ]
    assert (json["plan"]["estimate_s"], json["plan"]["full_estimate_s"]) == (150, 690)


@pytest.mark.parametrize(
    ("args", "changed", "code"),
    [
        ((), True, 0),
        (("--exit-code",), True, 10),
        (("--exit-code",), False, 0),
        (("--exit-code", "--json"), True, 10),
    ],
)
def test_the_exit_code_tells_of_pending_changes_only_if_asked(
    repo: Repo, toolkit: Toolkit, args: tuple[str, ...], changed: bool, code: int
) -> None:
    if changed:
        repo.write({"backend/src/app.py": "new\n"})
    assert toolkit(repo.path, "diff", "HEAD", *args).code == code


def test_committed_does_not_look_at_the_working_tree(repo: Repo, toolkit: Toolkit) -> None:
    repo.write({"backend/src/app.py": "new\n", "backend/src/new.py": "new\n"})
    json = toolkit(repo.path, "diff", "--json", "--committed", "HEAD").json
    assert json["changes"] == []
    assert json["head"]["dirty"] is None


def test_paths_can_come_from_elsewhere_and_need_no_repository(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "rules.toml").write_text(RULES)
    result = process(
        tmp_path / "alone",
        "diff",
        "--json",
        "-z",
        "--paths-from",
        "-",
        given=b"backend/src/a\nb.py\0lambda/x.py\0",
    )
    assert [change["path"] for change in result.json["changes"]] == [
        "backend/src/a\nb.py",
        "lambda/x.py",
    ]
    assert result.json["recommendation"] == "toolkit deploy api app"


def test_unmatched_paths_are_listed_and_refused_where_the_rules_say_fail(
    repo: Repo, toolkit: Toolkit
) -> None:
    repo.commit(
        "stricter", {"rules.toml": RULES.replace("version = 1", 'version = 1\nunmatched = "fail"')}
    )
    repo.write({"backend/src/app.py": "new\n", "notes.txt": "new\n"})
    result = toolkit(repo.path, "diff", "--json", "HEAD")
    assert (result.code, result.json["status"], result.json["unmatched"]) == (
        2,
        "refused",
        ["notes.txt"],
    )
    assert result.json["recommendation"] is None
    text = toolkit(repo.path, "diff", "HEAD")
    assert "  notes.txt" in text.out
    assert "add a rule" in text.err


def test_a_changed_rules_file_counts_with_its_old_and_its_new_rules(
    repo: Repo, toolkit: Toolkit
) -> None:
    base = repo.git("rev-parse", "HEAD")
    moved = RULES.replace('"backend/src/**"', '"server/**"')
    repo.commit(
        "other rules", {"rules.toml": moved, "backend/src/app.py": "new\n", "server/x.py": "new\n"}
    )
    json = toolkit(repo.path, "diff", "--json", base).json
    assert [(item["path"], item["targets"]) for item in json["changes"]] == [
        ("backend/src/app.py", ["app"]),
        ("rules.toml", []),
        ("server/x.py", ["app"]),
    ]
    assert "its old and its new rules both count" in json["notes"][0]


def test_rules_that_cannot_be_read_at_the_base_make_everything_due(
    repo: Repo, toolkit: Toolkit
) -> None:
    base = repo.commit("broken", {"rules.toml": "version = 1\nnonsense = 1\n"})
    repo.commit("mended", {"rules.toml": RULES})
    json = toolkit(repo.path, "diff", "--json", base).json
    assert json["status"] == "unknown"
    assert [step["target"] for step in json["plan"]["steps"]] == ["infra", "app"]


def test_commands_repeat_the_environment_and_the_rules_that_were_named(
    repo: Repo, toolkit: Toolkit
) -> None:
    with_environments = RULES.replace(
        "version = 1", 'version = 1\nenvironment = "dev"\nenvironments = { dev = {}, prod = {} }'
    )
    repo.write({"other rules.toml": with_environments, "backend/src/app.py": "new\n"})
    json = toolkit(
        repo.path, "diff", "--json", "--rules", "other rules.toml", "-e", "prod", "HEAD"
    ).json
    assert json["recommendation"] == "toolkit deploy-app app --rules 'other rules.toml' --env prod"


def test_a_plan_file_holds_the_answer_and_what_it_depends_on(repo: Repo, toolkit: Toolkit) -> None:
    import json

    repo.write({"backend/src/app.py": "new\n"})
    toolkit(repo.path, "diff", "-q", "--out", "../plan.json", "HEAD")
    plan = json.loads((repo.path.parent / "plan.json").read_text())
    repo.write({"backend/src/app.py": "newer\n"})
    toolkit(repo.path, "diff", "-q", "--out", "../plan.json", "HEAD")
    newer = json.loads((repo.path.parent / "plan.json").read_text())
    assert plan["plan"] == newer["plan"]
    assert plan["source"]["tree"] != newer["source"]["tree"]
    assert plan["source"]["head"] == newer["source"]["head"]


def test_a_target_for_people_is_reported_with_its_instructions(
    repo: Repo, toolkit: Toolkit
) -> None:
    target = '[targets.dns]\nkind = "manual"\ninstructions = "Ask Ben."\n'
    rules = f'version = 1\n{target}[[rules]]\nname = "DNS"\npaths = ["dns/**"]\ndeploy = ["dns"]\n'
    repo.commit("by hand", {"rules.toml": rules})
    repo.write({"dns/zone": "x"})
    out = toolkit(repo.path, "diff", "HEAD").out
    assert "by hand: dns: Ask Ben." in out
    assert out.endswith("  by hand: dns\n")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("chnage", "change"),
        ("Change", "change"),
        ("lats", "last"),
        ("lst", "last"),
        ("liv", "live"),
        ("LIVE", "live"),
    ],
)
def test_a_word_that_is_nearly_one_of_diffs_own_is_told(
    repo: Repo, toolkit: Toolkit, typed: str, meant: str
) -> None:
    actual = toolkit(repo.path, "diff", typed)
    assert (actual.code, actual.err.splitlines()[1:]) == (
        2,
        ["hint: did you mean:", f"  toolkit diff {meant}"],
    )
    assert toolkit(repo.path, "diff", typed, "--json").json["error"]["code"] == "unknown-ref"


def test_a_ref_that_is_nearly_a_word_wins(repo: Repo, toolkit: Toolkit) -> None:
    repo.git("branch", "chnage")
    assert toolkit(repo.path, "diff", "chnage").code == 0


def test_a_ref_that_is_like_no_word_is_told_as_before(repo: Repo, toolkit: Toolkit) -> None:
    assert "git branch --all" in toolkit(repo.path, "diff", "feature/x").err


RECORDED = """
[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]
"""


@pytest.fixture
def recorded(repo: Repo, toolkit: Toolkit) -> Repo:
    """A repository that has no remote, and one target in the record."""
    repo.commit("rules", {"rules.toml": RULES + RECORDED})
    assert toolkit(repo.path, "record", "set", "app", "HEAD", "--yes").code == 0
    return repo


def test_verbose_tells_reasons_without_a_path_in_a_repository_without_a_remote(
    recorded: Repo, toolkit: Toolkit
) -> None:
    """K1: nothing travels to git as an empty path."""
    for words in (("diff",), ("diff", "-v")):
        result = toolkit(recorded.path, *words)
        assert (result.code, result.err) == (0, "")
        assert "no deploy to eu-west-1 is" in result.out


def test_verbose_works_where_the_recorded_commit_is_not_in_the_clone(
    recorded: Repo, toolkit: Toolkit
) -> None:
    """J3, with the reason in the text."""
    [record] = files_of(Path(os.environ["XDG_STATE_HOME"]), "app.json")
    record.write_text(record.read_text().replace(recorded.head, "1" * 40))
    assert toolkit(recorded.path, "diff").code == 0
    verbose = toolkit(recorded.path, "diff", "-v")
    assert verbose.code == 0
    assert "because app: its content differs from what was deployed at 111111111111" in verbose.out
    assert "not in this clone" in verbose.out


def files_of(folder: Path, name: str) -> list[Path]:
    return [path for path in folder.rglob(name) if "record" in path.parts]
