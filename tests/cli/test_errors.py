"""Wrong input: one line, a hint, the documented exit code, never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repo import RULES, Repo
from tests.support.run import Toolkit, process


@pytest.mark.parametrize(
    ("args", "text", "hint"),
    [
        (("diff", "nonsense"), "nonsense is not a commit of this repository", "git branch --all"),
        (("diff", "HEAD~99"), "HEAD~99 is not a commit", "git branch"),
        (("diff", "0" * 40), "all-zero id", "git branch"),
        (("diff", "1" * 40), "is not in this clone", f"git fetch origin {'1' * 40}"),
        (("diff", "--rules", "no.toml"), "no.toml: No such file or directory", ""),
        (("diff", "-e", "prod", "HEAD"), "has no environment 'prod'", "it has none"),
        (("diff", "-z", "HEAD"), "-z needs --paths-from", "add --paths-from"),
        (("diff", "HEAD", "--paths-from", "x"), "cannot be combined", "leave one of them out"),
        (("-C", "nowhere", "diff"), "cannot run in 'nowhere'", "-C DIR"),
        (("diff", "-C", "README.md"), "cannot run in 'README.md'", "-C DIR"),
        (("dif",), "There is no command 'dif'. Did you mean 'diff'?", "toolkit --help"),
        (("diff", "--jsn"), "No such option", "toolkit diff --help"),
        (("explain", "../x"), "is not in the repository", ""),
    ],
)
def test_a_wrong_command_line_is_told_in_a_line(
    repo: Repo, toolkit: Toolkit, args: tuple[str, ...], text: str, hint: str
) -> None:
    result = toolkit(repo.path, *args)
    assert result.code == 2
    assert text in result.err.splitlines()[0]
    assert result.err.startswith("error: ")
    assert hint in result.err
    assert not result.out


def test_an_error_with_json_is_a_document_too(repo: Repo, toolkit: Toolkit) -> None:
    json = toolkit(repo.path, "diff", "--json", "nonsense").json
    assert (json["toolkit"], json["command"], json["status"], json["exit"]) == (
        1,
        "diff",
        "error",
        2,
    )
    assert json["error"]["code"] == "unknown-ref"


@pytest.mark.parametrize("before", [True, False])
def test_what_to_do_next_means_the_same_rules(repo: Repo, toolkit: Toolkit, before: bool) -> None:
    repo.write({"other.toml": "nonsense"})
    named = ("--rules", "other.toml")
    args = (*named, "diff", "HEAD") if before else ("diff", "HEAD", *named)
    assert (
        "hint: fix it, then run:\n  toolkit rules check --rules other.toml\n"
        in toolkit(repo.path, *args).err
    )
    assert (
        toolkit(repo.path, *args, "--json")
        .json["error"]["hint"]
        .endswith("`toolkit rules check --rules other.toml`")
    )


def test_a_wrong_option_with_json_is_a_document_too(repo: Repo, toolkit: Toolkit) -> None:
    assert toolkit(repo.path, "diff", "--json", "--nonsense").json["error"]["code"] == "usage"


def test_every_problem_of_a_rules_file_has_its_line(repo: Repo, toolkit: Toolkit) -> None:
    repo.write(
        {
            "rules.toml": (
                RULES.replace('kind = "app"', 'kind = "ap"').replace(
                    'deploy = ["api"]', 'deploy = ["apo"]'
                )
            )
        }
    )
    result = toolkit(repo.path, "diff", "HEAD")
    assert result.code == 2
    assert "rules.toml:5: targets.app.kind: unknown kind 'ap'; did you mean 'app'?" in result.err
    assert (
        "rules.toml:36: rules[1].deploy[0]: unknown target 'apo'; did you mean 'app'?" in result.err
    )
    problems = toolkit(repo.path, "rules", "check", "--json").json["error"]["problems"]
    assert [problem["line"] for problem in problems] == [5, 36]


def test_no_rules_file_points_to_init(tmp_path: Path, toolkit: Toolkit) -> None:
    repo = Repo.make(tmp_path / "bare", {"a": "a"}, rules=None)
    result = toolkit(repo.path, "diff", "HEAD")
    assert result.code == 2
    assert "toolkit init" in result.err


def test_a_rules_file_above_the_repository_is_not_taken(tmp_path: Path, toolkit: Toolkit) -> None:
    (tmp_path / "rules.toml").write_text(RULES)
    repo = Repo.make(tmp_path / "inner", {"a": "a"}, rules=None)
    assert "there is no rules.toml" in toolkit(repo.path, "diff", "HEAD").err


def test_outside_of_a_repository_is_told(tmp_path: Path, toolkit: Toolkit) -> None:
    result = toolkit(tmp_path, "diff")
    assert (result.code, "is not in a git repository" in result.err) == (2, True)


def test_a_repository_without_commits_is_told(tmp_path: Path, toolkit: Toolkit) -> None:
    repo = Repo.make(tmp_path / "new", rules=None)
    result = toolkit(repo.path, "diff")
    assert (result.code, "has no commits yet" in result.err) == (2, True)


def test_a_bug_exits_with_three_and_names_a_log_without_secrets(repo: Repo, tmp_path: Path) -> None:
    broken = tmp_path / "broken" / "sitecustomize.py"
    broken.parent.mkdir()
    broken.write_text(
        "import toolkit.flow\ndef bug(*args): raise ValueError('token=hunter2hunter2"
        " AKIAABCDEFGHIJKLMNOP')\ntoolkit.flow.diff = bug\n"
    )
    from tests.support.run import ROOT

    state = tmp_path / "state"
    result = process(
        repo.path,
        "diff",
        PYTHONPATH=f"{broken.parent}:{ROOT}",
        XDG_STATE_HOME=str(state),
        MY_API_KEY="hunter2hunter2",
    )
    assert result.code == 3
    assert "Traceback" not in result.err
    (log,) = (state / "toolkit").glob("crash-*.log")
    assert str(log) in result.err
    assert "ValueError" in log.read_text()
    assert "hunter2" not in log.read_text()
    assert "AKIA" not in log.read_text()


def test_a_reader_that_has_enough_is_no_error(repo: Repo) -> None:
    import subprocess
    import sys

    from tests.support.run import ROOT

    script = (
        f'"{sys.executable}" -m toolkit rules schema | head -1; "{sys.executable}" -m toolkit rules'
        " replay --json | true"
    )
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=repo.path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
    )
    assert done.stdout == b"{\n"
    assert done.stderr == b""


def test_who_stops_it_while_it_is_being_loaded_sees_no_traceback() -> None:
    script = (
        "import sys\n"
        "class Impatient:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'toolkit.cli.output': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Impatient())\n"
        "from toolkit.__main__ import start\n"
        "start()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's full device")
def test_a_full_disk_behind_json_is_an_error_and_no_bug(repo: Repo) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "toolkit", "diff", "--json", "HEAD"]
        done = subprocess.run(
            command, cwd=repo.path, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (
        2,
        "error: standard output: No space left on device\n",
    )
