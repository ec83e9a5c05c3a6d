"""`toolkit rules check`, `match`, `replay`, `schema`, and `explain`."""

import json
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.support.repo import RULES, Repo
from tests.support.run import Toolkit, process


def test_check_of_good_rules_says_so_in_a_line(repo: Repo, toolkit: Toolkit) -> None:
    result = toolkit(repo.path, "rules", "check", "--strict")
    assert result.code == 0
    assert result.out.splitlines() == [
        "rules.toml: no errors (5 rules, 4 targets, 6 tracked files)",
        "rules.toml:30: dead-exclusion: '!backend/**/*.test.ts' excludes no tracked file",
    ]


def test_check_finds_what_is_odd_with_its_line_and_a_hint(
    repo: Repo, toolkit: Toolkit, snapshot: SnapshotAssertion
) -> None:
    odd = """
[[rules]]
name = "Typo"
paths = ["lamda/**"]
deploy = ["api"]

[[rules]]
name = "Folder"
paths = ["lambda", "backend/**"]
deploy = ["api"]

[[rules]]
name = "Only readme"
paths = ["README.md"]
deploy = ["api"]

[[rules]]
name = "Late"
paths = ["cdk/stacks/**"]
deploy = ["infra"]
"""
    repo.commit(
        "odd",
        {"rules.toml": RULES + odd, "notes/one.txt": "", "notes/two.txt": "", "alone.txt": ""},
    )
    result = toolkit(repo.path, "rules", "check")
    assert result.code == 0
    assert result.out == snapshot
    assert toolkit(repo.path, "rules", "check", "--strict").code == 1


WRONG_INCLUDES = {
    "a key": (
        '[checks.up]\nhttp = "GET /"\nexpekt = 2\n',
        "smoke/up.toml:3: checks.up.expekt: unknown key",
    ),
    "syntax": ("[checks.up\n", "smoke/up.toml:1: "),
    "a name that stands for nothing": (
        '[checks.up]\nhttp = "GET /{nobody}"\n',
        "smoke/up.toml:1: checks.up: ",
    ),
    "missing": (None, "smoke/up.toml"),
}


@pytest.mark.parametrize("repository", [True, False], ids=["repository", "folder"])
@pytest.mark.parametrize("wrong", WRONG_INCLUDES)
def test_check_tells_what_is_wrong_in_an_included_file(
    tmp_path: Path, toolkit: Toolkit, wrong: str, repository: bool
) -> None:
    text, message = WRONG_INCLUDES[wrong]
    rules = RULES.replace(
        "version = 1\n", 'version = 1\ninclude = ["smoke/fine.toml", "smoke/up.toml"]\n'
    )
    texts = {
        "rules.toml": rules,
        "smoke/fine.toml": '[checks.fine]\nhttp = "GET /"\n',
        **({"smoke/up.toml": text} if text else {}),
    }
    if repository:
        Repo.make(tmp_path, texts, rules)
    for name, content in texts.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    result = toolkit(tmp_path, "rules", "check")
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert toolkit(tmp_path, "rules", "check", "--json").json["status"] == "error"
    (tmp_path / "smoke/up.toml").write_text('[checks.up]\nhttp = "GET /"\n')
    assert toolkit(tmp_path, "rules", "check").code == 0


def test_check_tells_what_is_wrong_in_all_included_files(repo: Repo, toolkit: Toolkit) -> None:
    names = ("key", "syntax", "missing", "fine")
    included = ", ".join(f'"smoke/{name}.toml"' for name in names)
    repo.write(
        {
            "rules.toml": RULES.replace("version = 1\n", f"version = 1\ninclude = [{included}]\n"),
            "smoke/key.toml": '[checks.up]\nhttp = "GET /"\nexpekt = 2\n[checks.down]\nhttq = 1\n',
            "smoke/syntax.toml": "[checks.up\n",
            "smoke/fine.toml": '[checks.fine]\nhttp = "GET /"\n',
        }
    )
    result = toolkit(repo.path, "rules", "check")
    lines = result.err.splitlines()
    assert (result.code, len(lines)) == (2, 6)
    beginnings = (
        "error: smoke/key.toml:3: checks.up",
        "smoke/key.toml:4: checks.down",
        "smoke/syntax.toml:1:",
        "smoke/missing.toml: No such file",
    )
    for line, beginning in zip(lines, beginnings, strict=False):
        assert line.strip().startswith(beginning)
    problems = toolkit(repo.path, "rules", "check", "--json").json["error"]["problems"]
    assert [problem["file"] for problem in problems] == [
        "smoke/key.toml",
        "smoke/key.toml",
        "smoke/syntax.toml",
        "smoke/missing.toml",
    ]


def test_check_tells_every_name_that_stands_for_nothing(repo: Repo, toolkit: Toolkit) -> None:
    repo.write(
        {
            "rules.toml": (
                RULES.replace(
                    "version = 1\n", 'version = 1\ninclude = ["a.toml", "b.toml"]\n'
                ).replace("cluster = ", 'checks = ["nope"]\ncluster = ', 1)
            ),
            "a.toml": '[checks.a]\nhttp = "GET /{nobody}"\n',
            "b.toml": '[checks.b]\nhttp = "GET /{nothing}"\n',
        }
    )
    problems = toolkit(repo.path, "rules", "check", "--json").json["error"]["problems"]
    assert [(problem["file"], problem["key"]) for problem in problems] == [
        ("a.toml", "checks.a"),
        ("b.toml", "checks.b"),
        ("rules.toml", "targets.app.checks"),
    ]


def test_check_tells_of_a_target_that_names_no_check(repo: Repo, toolkit: Toolkit) -> None:
    named = RULES.replace("cluster = ", 'checks = ["nope"]\ncluster = ', 1)
    assert named != RULES
    repo.write({"rules.toml": named})
    result = toolkit(repo.path, "rules", "check")
    assert result.code == 2
    assert "'nope' is neither a check nor a tag" in result.err


def test_match_needs_no_repository(
    tmp_path: Path, toolkit: Toolkit, snapshot: SnapshotAssertion
) -> None:
    (tmp_path / "rules.toml").write_text(RULES)
    assert (
        toolkit(
            tmp_path,
            "rules",
            "match",
            "backend/src/a.py",
            "./cdk/stacks/fargate_stack.py",
            "smoke/x",
            "a.md",
            "zz",
        ).out
        == snapshot
    )


def test_match_reads_paths_from_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(RULES)
    result = process(
        tmp_path, "rules", "match", "-z", "--json", "-", given=b"lambda/a\nb\0caf\xe9\0"
    )
    assert [(item["path"], item["targets"]) for item in result.json["paths"]] == [
        ("caf\udce9", []),
        ("lambda/a\nb", ["api"]),
    ]


def test_explain_says_why_and_why_not(
    repo: Repo, toolkit: Toolkit, snapshot: SnapshotAssertion
) -> None:
    assert (
        toolkit(
            repo.path / "cdk",
            "explain",
            "stacks/fargate_stack.py",
            "../backend/src/a.test.ts",
            "../README.md",
        ).out
        == snapshot
    )


def test_explain_names_the_line_of_the_deciding_pattern(repo: Repo, toolkit: Toolkit) -> None:
    rules = toolkit(repo.path, "explain", "--json", "backend/a.test.ts").json["paths"][0]["rules"]
    assert RULES.splitlines()[rules[0]["line"] - 1] == 'name = "App code"'
    excluded = toolkit(repo.path, "explain", "--json", "backend/src/a.test.ts").json["paths"][0][
        "rules"
    ][0]
    assert (excluded["hit"], excluded["pattern"]) == (False, "!backend/**/*.test.ts")
    assert RULES.splitlines()[excluded["line"] - 1].startswith("paths = ")


def test_replay_tells_what_each_commit_would_have_deployed_newest_first(
    repo: Repo, toolkit: Toolkit
) -> None:
    commit = repo.commit("app", {"backend/src/app.py": "1\n"})
    repo.git("checkout", "-q", "-b", "side")
    repo.commit("lambda", {"lambda/login/handler.py": "1\n"})
    repo.git("checkout", "-q", "main")
    repo.git("merge", "-q", "--no-ff", "-m", "merge", "side")
    merge = repo.git("rev-parse", "HEAD")
    last = repo.commit(
        "both and more",
        {
            "cdk/app.py": "1\n",
            "cdk/stacks/fargate_stack.py": "1\n",
            "smoke/test.py": "1\n",
            "odd.txt": "1\n",
        },
    )
    lines = [
        json.loads(line)
        for line in toolkit(repo.path, "rules", "replay", "--json").out.splitlines()
    ]
    assert lines[:3] == [
        {"commit": last, "targets": ["infra"], "run": ["smoke-test"], "unmatched": 1},
        {"commit": merge, "targets": ["api"], "run": [], "unmatched": 0},
        {"commit": commit, "targets": ["app"], "run": [], "unmatched": 0},
    ]
    assert len(lines) == 4


def test_replay_sums_up_for_people(
    repo: Repo, toolkit: Toolkit, snapshot: SnapshotAssertion
) -> None:
    for position in range(5):
        repo.commit("app", {"backend/src/app.py": f"{position}\n"})
    repo.commit("infra", {"cdk/app.py": "1\n", "notes/odd.txt": "1\n"})
    repo.commit("docs", {"README.md": "1\n"})
    assert toolkit(repo.path, "rules", "replay", "HEAD~7..HEAD").out == snapshot


@pytest.mark.parametrize(
    ("args", "commits"), [((), 4), (("-n", "2"), 2), (("HEAD~1..HEAD",), 1), (("HEAD~1",), 3)]
)
def test_replay_of_a_range_or_of_the_newest(
    repo: Repo, toolkit: Toolkit, args: tuple[str, ...], commits: int
) -> None:
    for position in range(3):
        repo.commit("app", {"backend/src/app.py": f"{position}\n"})
    assert len(toolkit(repo.path, "rules", "replay", "--json", *args).out.splitlines()) == commits


def test_replay_works_in_a_bare_repository(repo: Repo, toolkit: Toolkit, tmp_path: Path) -> None:
    bare = repo.clone(tmp_path / "bare.git", "--bare")
    (tmp_path / "rules.toml").write_text(RULES)
    result = toolkit(
        bare.path, "rules", "replay", "--json", "--rules", str(tmp_path / "rules.toml")
    )
    assert json.loads(result.out)["targets"] == ["app", "infra"]


def test_the_schema_accepts_the_example_and_refuses_a_typo(
    toolkit: Toolkit, tmp_path: Path
) -> None:
    actual = toolkit(tmp_path, "rules", "schema").json
    app = actual["$defs"]["app"]
    assert app["required"] == ["kind", "cluster", "service", "repository"]
    assert app["additionalProperties"] is False
    assert set(actual["properties"]) == {
        "version",
        "project",
        "environment",
        "ignore",
        "unmatched",
        "templates",
        "environments",
        "targets",
        "rules",
        "accept",
        "include",
        "checks",
        "secrets",
    }


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_each_shell(
    toolkit: Toolkit, tmp_path: Path, shell: str
) -> None:
    result = toolkit(tmp_path, "completion", shell)
    assert result.code == 0
    assert "_TOOLKIT_COMPLETE" in result.out
