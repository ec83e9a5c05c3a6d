"""File names from strangers: every one is seen, and none does anything (S1, S2, S11 to S13)."""

import os
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from tests.security.names import NAMES, everywhere, has_command, is_inert, made, oracle, repository
from tests.support.repo import RULES, Repo
from tests.support.run import ROOT, Toolkit, process


def test_a_name_that_is_no_utf8_hides_nothing_beside_it(repo: Repo, toolkit: Toolkit) -> None:
    """S1: GitPython's diff answers [] here."""
    repo.commit("latin-1", {b"backend/src/caf\xe9.txt": "x", "backend/src/app.py": "new\n"})
    changes = toolkit(repo.path, "diff", "--json", "HEAD~1..HEAD").json["changes"]
    assert [change["path"] for change in changes] == [
        "backend/src/app.py",
        "backend/src/caf\udce9.txt",
    ]
    assert {change["path"] for change in changes} == set(
        oracle(repo, "diff", "-z", "--name-only", "HEAD~1", "HEAD")
    )


def test_odd_names_are_the_same_set_as_git_tells(repo: Repo, toolkit: Toolkit) -> None:
    """S2, for committed, uncommitted and untracked files."""
    repository(repo)
    committed = set(oracle(repo, "diff", "-z", "--name-only", "--no-renames", "HEAD~1", "HEAD"))
    dirty = {
        *oracle(repo, "diff", "-z", "--name-only", "HEAD"),
        *oracle(repo, "ls-files", "-o", "-z"),
    }
    assert len(committed) == 3 * len(NAMES)
    assert len(dirty) == 2 * len(NAMES)
    assert {
        item["path"]
        for item in toolkit(repo.path, "diff", "--json", "HEAD~1..HEAD").json["changes"]
    } == committed
    assert {
        item["path"] for item in toolkit(repo.path, "diff", "--json", "HEAD").json["changes"]
    } == dirty
    assert {
        item["path"] for item in toolkit(repo.path, "diff", "--json", "HEAD~1").json["changes"]
    } == committed | dirty


def test_odd_names_go_where_the_rules_send_them(repo: Repo, toolkit: Toolkit) -> None:
    repository(repo)
    changes = toolkit(repo.path, "diff", "--json", "HEAD~1..HEAD").json["changes"]
    assert {change["path"] for change in changes if change["targets"] == ["app"]} == {
        f"backend/src/{os.fsdecode(name)}" for name in NAMES.values()
    }


@pytest.mark.parametrize(
    "args",
    [
        ("diff", "HEAD~1..HEAD"),
        ("diff", "HEAD~1"),
        ("diff", "-v", "HEAD~1"),
        ("diff", "-v", "HEAD"),
        ("diff", "-q", "HEAD~1"),
        ("diff", "--json", "HEAD~1"),
        ("rules", "check"),
        ("rules", "check", "--json"),
        ("rules", "replay"),
        ("rules", "replay", "--json"),
        ("init", "--out", "-", "--force"),
        ("doctor",),
    ],
    ids=" ".join,
)
def test_odd_names_are_inert_in_every_output(
    repo: Repo, toolkit: Toolkit, args: tuple[str, ...]
) -> None:
    """S2, S13: text, table and JSON."""
    repository(repo)
    actual = toolkit(repo.path, *args)
    assert actual.code in (0, 1)
    assert actual.out
    assert is_inert(actual.out + actual.err)
    assert not has_command(actual.out + actual.err)
    assert not made(repo.path.parent, "x")


def test_a_command_that_ci_systems_find_anywhere_is_disarmed_in_json(
    repo: Repo, toolkit: Toolkit
) -> None:
    """S2: `toolkit diff --json` in a job's log is a line that the runner reads, too."""
    repo.write({"a##[error]x": "x", "##vso[task.setvariable variable=x]y": "x"})
    actual = toolkit(repo.path, "diff", "--json", "HEAD")
    assert [item["path"] for item in actual.json["changes"]] == [
        "##vso[task.setvariable variable=x]y",
        "a##[error]x",
    ]
    assert not has_command(actual.out)


@pytest.mark.slow("hostile input", keep=8)
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_an_odd_name_is_explained_by_itself(repo: Repo, toolkit: Toolkit, name: bytes) -> None:
    repo.commit("one", {b"backend/src/" + name: "x"})
    actual = toolkit(repo.path, "explain", "--", f"backend/src/{os.fsdecode(name)}")
    assert "deploys app" in actual.out
    assert "last touched by" in actual.out
    assert is_inert(actual.out)


def test_odd_names_are_inert_as_given_paths(repo: Repo) -> None:
    text = b"\0".join(os.fsencode(name) for name in everywhere(""))
    for args in (
        ("diff", "-z", "--paths-from", "-"),
        ("rules", "match", "-z", "-"),
        ("rules", "match", "-z", "--json", "-"),
    ):
        result = process(repo.path, *args, given=text)
        assert result.code == 0, result.err
        assert is_inert(result.out + result.err)
        assert not has_command(result.out)
    assert not made(repo.path.parent, "x")


def test_odd_names_survive_gits_own_quotes(repo: Repo) -> None:
    """What `git diff --name-only` prints without -z comes back as the very bytes."""
    repository(repo)
    repo.git("config", "core.quotepath", "true")
    expected = set(oracle(repo, "diff", "-z", "--name-only", "HEAD~1", "HEAD"))
    listed = subprocess.run(
        ["git", "diff", "--name-only", "HEAD~1", "HEAD"],
        cwd=repo.path,
        capture_output=True,
        check=True,
    ).stdout
    result = process(repo.path, "diff", "--json", "--paths-from", "-", given=listed)
    assert {item["path"] for item in result.json["changes"]} == expected


def test_odd_words_in_rules_are_inert_in_every_output(repo: Repo, toolkit: Toolkit) -> None:
    """S13: names of rules, patterns and instructions are a stranger's words as well."""
    bad = "\\u001b]0;pwn\\u0007\\n::error::x\\u202e"
    rules = RULES.replace("App code", f"A{bad}").replace(
        '"backend/src/**"', f'"backend/src/**", "never{bad}"'
    )
    rules += (
        f'\n[targets.hand]\nkind = "manual"\ninstructions = "do {bad}"\n[[rules]]\nname ='
        ' "B"\npaths = ["by-hand"]\ndeploy = ["hand"]\n'
    )
    repo.commit("rules", {"rules.toml": rules, "backend/src/app.py": "new\n", "by-hand": "x"})
    for args in (
        ("diff", "-v", "HEAD~1"),
        ("explain", "backend/src/app.py"),
        ("rules", "check"),
        ("rules", "match", "backend/src/x"),
    ):
        actual = toolkit(repo.path, *args)
        assert actual.code == 0
        assert "\\u001b" in actual.out or "\\x1b" in actual.out
        assert is_inert(actual.out + actual.err)


def test_odd_words_in_wrong_rules_are_inert(repo: Repo, toolkit: Toolkit) -> None:
    bad = "\\u001b]0;pwn\\u0007\\n::error::x\\u202e"
    repo.write(
        {
            "rules.toml": (
                f'version = 1\nproject = "{bad}"\nunmatched = "{bad}"\n"{bad}" ='
                f' 1\n[targets."{bad}"]\nkind = "{bad}"\n'
            )
        }
    )
    actual = toolkit(repo.path, "rules", "check")
    assert actual.code == 2
    assert is_inert(actual.out + actual.err)


def test_odd_words_in_commits_are_inert(repo: Repo, toolkit: Toolkit) -> None:
    repo.write({"backend/src/app.py": "new\n"})
    repo.git("add", "-A")
    repo.git(
        "-c",
        "user.name=x",
        "commit",
        "-q",
        "--author",
        "\x1b]0;pwn\x07\u202eEve <e@example.com>",
        "-m",
        "\x1b[2K::error::x\u202e",
    )
    repo.git("branch", "-m", "x\u202ey")
    for args in (("diff", "-v", "HEAD~1"), ("explain", "backend/src/app.py")):
        actual = toolkit(repo.path, *args)
        assert "Eve" in actual.out
        assert is_inert(actual.out)


def test_an_odd_folder_around_the_repository_is_inert(tmp_path: Path, toolkit: Toolkit) -> None:
    """The rules file is named by its whole path where it is far above."""
    repo = Repo.make(tmp_path / "\x1b]0;pwn\x07\n::error::x\u202e", {"a/b/c/d/e/f": "x"})
    for args in (("diff", "HEAD"), ("rules", "check"), ("explain", "f"), ("diff", "HEAD", "-v")):
        actual = toolkit(repo.path / "a/b/c/d/e", *args)
        assert actual.code == 0
        assert is_inert(actual.out + actual.err)
    repo.write({"rules.toml": "x = 1\n"})
    assert is_inert(toolkit(repo.path / "a/b/c/d/e", "diff", "HEAD").err)


def test_an_odd_option_is_inert_in_the_question(repo: Repo) -> None:
    """S13: the labels that questionary shows hold the options that a command repeats."""
    bad = "\x1b]0;pwn\x07\u202e.toml"
    repo.write({bad: RULES, "backend/src/app.py": "new\n"})
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    args = ["-m", "toolkit", "diff", "HEAD", "--rules", bad]
    child = pexpect.spawn(
        sys.executable,
        args,
        cwd=str(repo.path),
        env=env,
        dimensions=(40, 200),
        encoding="utf-8",
        timeout=20,
    )
    child.expect_exact("What now?")
    child.expect_exact("nothing")
    shown = child.before or ""
    child.close(force=True)
    assert "deploy-app app --rules" in shown
    assert "]0;pwn" in shown
    assert "\x1b]0;pwn" not in shown
    assert "\u202e" not in shown


def test_files_of_a_ci_system_are_never_written(
    repo: Repo, toolkit: Toolkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S11, S12: there is no CI output yet, so nothing can be injected, also not through a link."""
    repository(repo)
    named = {}
    for variable in (
        "GITHUB_OUTPUT",
        "GITHUB_ENV",
        "GITHUB_PATH",
        "GITHUB_STEP_SUMMARY",
        "GITHUB_STATE",
    ):
        named[variable] = tmp_path / variable
        named[variable].write_text("kept=1\n")
        (tmp_path / f"link-{variable}").symlink_to(named[variable])
        monkeypatch.setenv(variable, str(tmp_path / f"link-{variable}"))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("CI", "true")
    for args in (
        ("diff", "HEAD~1"),
        ("diff", "--json"),
        ("rules", "check"),
        ("rules", "replay", "--json"),
        ("explain", "backend/src/app.py"),
    ):
        assert toolkit(repo.path, *args).code == 0
    assert {path.read_text() for path in named.values()} == {"kept=1\n"}
