"""Where a deploy could be missed, or an answer could be more certain than it is: found by review,
each once.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.repo import RULES, Repo
from tests.support.run import ROOT, Toolkit, process
from toolkit.cli import main

IGNORES_LAMBDA = RULES.replace('ignore = ["**/*.md"]', 'ignore = ["**/*.md", "lambda/**"]')


def steps(by_name: dict[str, object]) -> list[str]:
    plan = by_name["plan"]
    assert isinstance(plan, dict)
    return [step["target"] for step in plan["steps"]]


def test_committed_counts_with_the_committed_rules_too(repo: Repo, toolkit: Toolkit) -> None:
    repo.commit("lambda", {"lambda/login/handler.py": "new\n"})
    repo.write({"rules.toml": IGNORES_LAMBDA})
    assert steps(toolkit(repo.path, "diff", "--json", "--committed", "HEAD~1").json) == ["api"]
    assert steps(toolkit(repo.path, "diff", "--json", "HEAD~1..HEAD").json) == ["api"]


def test_rules_behind_a_link_count_when_the_file_behind_it_changes(
    tmp_path: Path, toolkit: Toolkit
) -> None:
    repo = Repo.make(
        tmp_path / "repo", {"conf/rules.toml": RULES, "lambda/a.py": "a\n"}, rules=None
    )
    (repo.path / "rules.toml").symlink_to("conf/rules.toml")
    repo.commit("link")
    repo.commit("hide", {"conf/rules.toml": IGNORES_LAMBDA, "lambda/a.py": "new\n"})
    assert steps(toolkit(repo.path, "diff", "--json", "HEAD~1").json) == ["api"]


def test_rules_that_were_moved_still_count_with_what_they_said(
    repo: Repo, toolkit: Toolkit
) -> None:
    repo.git("rm", "-q", "rules.toml")
    repo.commit(
        "moved", {".toolkit/rules.toml": IGNORES_LAMBDA, "lambda/login/handler.py": "new\n"}
    )
    actual = toolkit(repo.path, "diff", "--json", "HEAD~1").json
    assert steps(actual) == ["api"]
    assert actual["unmatched"] == []


def test_an_old_fallback_counts_with_the_old_rules(repo: Repo, toolkit: Toolkit) -> None:
    repo.commit(
        "fall back",
        {"rules.toml": RULES.replace("version = 1", 'version = 1\nunmatched = "infra"')},
    )
    repo.commit("warn", {"rules.toml": RULES, "odd.txt": "new\n"})
    assert steps(toolkit(repo.path, "diff", "--json", "HEAD~1").json) == ["infra"]


def test_an_old_group_stands_for_the_members_that_it_had(repo: Repo, toolkit: Toolkit) -> None:
    smaller = RULES.replace('members = ["api", "fargate"]', 'members = ["api"]')
    repo.commit("smaller", {"rules.toml": smaller, "cdk/app.py": "new\n"})
    actual = toolkit(repo.path, "diff", "--json", "HEAD~1").json
    assert actual["states"] == {"app": "clean", "api": "due", "fargate": "due", "infra": "due"}
    renamed = (
        RULES.replace("[targets.infra]", "[targets.all]")
        .replace('deploy = ["infra"]', 'deploy = ["all"]')
        .replace('"cdk/**"', '"cdk/x"')
    )
    repo.commit("renamed", {"rules.toml": renamed, "cdk/app.py": "newer\n"})
    assert toolkit(repo.path, "diff", "--json", "HEAD~2").json["states"]["fargate"] == "due"


def test_a_list_of_paths_with_the_rules_themselves_makes_everything_due(repo: Repo) -> None:
    actual = process(repo.path, "diff", "--json", "--paths-from", "-", given=b"rules.toml\n").json
    assert (actual["status"], steps(actual)) == ("unknown", ["infra", "app"])


def test_an_empty_list_of_paths_is_remarked_upon(repo: Repo) -> None:
    assert process(repo.path, "diff", "--json", "--paths-from", "-").json["notes"] == [
        "the list of paths is empty"
    ]


def test_a_folder_in_a_list_of_paths_is_refused(repo: Repo) -> None:
    result = process(repo.path, "diff", "--paths-from", "-", given=b"backend/\n")
    assert (result.code, "'backend/' is a folder" in result.err) == (2, True)


def test_a_list_of_paths_works_in_a_bare_repository(repo: Repo, tmp_path: Path) -> None:
    bare = repo.clone(tmp_path / "bare.git", "--bare")
    (tmp_path / "rules.toml").write_text(RULES)
    result = process(
        bare.path,
        "diff",
        "-q",
        "--rules",
        "../rules.toml",
        "--paths-from",
        "-",
        given=b"lambda/x.py\n",
    )
    assert result.out == "toolkit deploy-stack api --rules ../rules.toml\n"


@pytest.mark.parametrize("ref", ["HEAD@{1", "HEAD@{2.years.ago}", "HEAD^{/first"])
def test_a_ref_that_git_would_guess_at_is_refused(repo: Repo, toolkit: Toolkit, ref: str) -> None:
    repo.commit("second")
    assert toolkit(repo.path, "diff", ref).code == 2


def test_what_merge_bases_disagree_about_counts_for_every_limited_rule(
    tmp_path: Path, toolkit: Toolkit
) -> None:
    limited = RULES.replace('name = "Lambda"', 'name = "Lambda"\nchanges = ["modified"]')
    repo = Repo.make(tmp_path / "repo", {"a": "a"}, limited)
    repo.git("checkout", "-q", "-b", "one")
    first = repo.commit("one", {"lambda/x.py": "one\n"})
    repo.git("checkout", "-q", "-b", "two", "main")
    two = repo.commit("two", {"b": "b"})
    repo.git("merge", "-q", "--no-ff", "-m", "m2", first)
    repo.git("checkout", "-q", "one")
    repo.git("merge", "-q", "--no-ff", "-m", "m1", two)
    repo.commit("edit", {"lambda/x.py": "edited\n"})
    actual = toolkit(repo.path, "diff", "--json", "two...one").json
    assert [(change["path"], change["status"]) for change in actual["changes"]] == [
        ("b", "added"),
        ("lambda/x.py", "unknown"),
    ]
    assert steps(actual) == ["api"]


def test_edits_that_the_index_hides_are_named(repo: Repo, toolkit: Toolkit) -> None:
    repo.git("update-index", "--assume-unchanged", "backend/src/app.py")
    repo.git("update-index", "--skip-worktree", "cdk/app.py")
    repo.write({"backend/src/app.py": "new\n"})
    assert notes(toolkit(repo.path, "diff", "--json", "HEAD").json) == [
        "'backend/src/app.py' is changed, though assume-unchanged or skip-worktree hides it"
        " from git"
    ]
    repo.write({"cdk/app.py": "new\n"})
    [note] = notes(toolkit(repo.path, "diff", "--json", "HEAD").json)
    assert note.startswith("'backend/src/app.py' and 1 more are changed")


def notes(document: Any) -> list[str]:
    return [note for note in document["notes"] if "hides" in note]


def test_edits_inside_of_a_repository_that_no_gitmodules_names_count(
    repo: Repo, toolkit: Toolkit
) -> None:
    inner = Repo.make(repo.path / "lambda" / "inner", {"f": "f"}, rules=None)
    repo.commit("with a repository inside")
    inner.write({"f": "new"})
    assert steps(toolkit(repo.path, "diff", "--json", "HEAD").json) == ["api"]


def test_dirty_is_said_of_the_working_tree_also_when_it_equals_the_base(
    repo: Repo, toolkit: Toolkit
) -> None:
    repo.commit("change", {"backend/src/app.py": "new\n"})
    repo.write({"backend/src/app.py": "app\n"})
    actual = toolkit(repo.path, "diff", "--json", "HEAD~1").json
    assert (actual["changes"], actual["head"]["dirty"]) == ([], True)


def test_a_plan_inside_of_the_working_tree_does_not_make_itself_stale(
    repo: Repo, toolkit: Toolkit
) -> None:
    repo.write({"backend/src/app.py": "new\n"})
    sources = []
    for _ in range(2):
        toolkit(repo.path, "diff", "-q", "--out", "plan.json", "HEAD")
        sources.append(json.loads((repo.path / "plan.json").read_text())["source"])
    assert sources[0] == sources[1]


def test_quiet_still_warns_of_what_has_to_be_known(repo: Repo, toolkit: Toolkit) -> None:
    repo.write({"odd.txt": "x", "lambda/x.py": "x"})
    result = toolkit(repo.path, "diff", "-q", "HEAD")
    assert result.out == "toolkit deploy-stack api\n"
    assert result.err == "warning: no rule matches odd.txt\n"


def test_what_a_person_deploys_is_told_inside_of_a_group_too(
    tmp_path: Path, toolkit: Toolkit
) -> None:
    manual = '[targets.dns]\nkind = "manual"\ninstructions = "Ask Ben."\n\n[targets.infra]'
    rules = RULES.replace("[targets.infra]", manual).replace(
        '"fargate"]\n\n[[rules]]', '"fargate", "dns"]\n\n[[rules]]'
    )
    repo = Repo.make(tmp_path / "repo", {"cdk/app.py": "x"}, rules)
    repo.write({"cdk/app.py": "new"})
    assert "by hand: dns: Ask Ben." in toolkit(repo.path, "diff", "HEAD").out


@pytest.mark.parametrize("args", [("-e", ""), ("--rules", ""), ("-C", "")])
def test_an_empty_option_is_an_unset_variable_and_refused(
    repo: Repo, toolkit: Toolkit, args: tuple[str, str]
) -> None:
    assert toolkit(repo.path, "diff", "HEAD", *args).code == 2


def test_a_range_with_three_dots_has_no_history_to_replay(repo: Repo, toolkit: Toolkit) -> None:
    assert toolkit(repo.path, "rules", "replay", "HEAD...HEAD").code == 2


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("status", "'diff' or 'health'"),
        ("plan", "'diff'"),
        ("apply", "'deploy'"),
        ("undo", "'rollback'"),
        ("dif", "'diff'"),
    ],
)
def test_what_other_tools_call_it_is_an_unknown_command_with_a_suggestion(
    repo: Repo, toolkit: Toolkit, word: str, meant: str
) -> None:
    actual = toolkit(repo.path, word)
    assert (actual.code, actual.err.splitlines()[0]) == (
        2,
        f"error: There is no command {word!r}. Did you mean {meant}?",
    )


def test_every_suggestion_is_a_command() -> None:
    for words in main.ELSEWHERE.values():
        assert set(words) <= main.COMMANDS.keys()


def test_a_word_of_no_tool_has_no_suggestion(repo: Repo, toolkit: Toolkit) -> None:
    assert toolkit(repo.path, "xyzzy").err.splitlines()[0] == "error: There is no command 'xyzzy'."


def test_toolkit_alone_prints_its_help(repo: Repo) -> None:
    result = process(repo.path)
    assert (result.code, result.err.splitlines()[0]) == (
        2,
        "Usage: toolkit [OPTIONS] COMMAND [ARGS]...",
    )


def test_an_error_with_json_reaches_a_pipe(repo: Repo) -> None:
    assert process(repo.path, "diff", "--json", "nonsense").json["error"]["code"] == "unknown-ref"


@pytest.mark.parametrize(
    ("streams", "code"), [("<&-", 0), (">&-", 0), ("2>&-", 0), (">/dev/full", 2)]
)
def test_closed_or_full_streams_are_no_bug(repo: Repo, streams: str, code: int) -> None:
    script = f'"{sys.executable}" -m toolkit diff --json HEAD {streams}'
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=repo.path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
    )
    assert done.returncode == code
    assert b"bug" not in done.stderr


def test_groups_of_groups_take_no_time(repo: Repo, toolkit: Toolkit) -> None:
    """26 levels of two groups, each of both of the level below: 2**26 ways down."""
    below = ["api", "fargate"]
    tables = []
    for level in range(26):
        names = [f"g{level}a", f"g{level}b"]
        tables += [
            f'[targets.{name}]\nkind = "group"\nmembers = {json.dumps(below)}\n' for name in names
        ]
        below = names
    rules = RULES.replace("[[rules]]", "\n".join(tables) + "\n[[rules]]", 1).replace(
        'deploy = ["infra"]', 'deploy = ["g25a"]'
    )
    repo.write({"rules.toml": rules, "cdk/app.py": "new\n"})
    assert steps(toolkit(repo.path, "diff", "--json", "HEAD").json) == ["g25a"]


def test_a_folder_is_not_explained_as_if_it_were_a_file(repo: Repo, toolkit: Toolkit) -> None:
    assert "is a folder" in toolkit(repo.path, "explain", "backend").err
