"""A stranger's repository runs nothing: not from its configuration, attributes, hooks, submodules
or remotes (S4 to S8, S10).
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.security.hostile import Hostile
from tests.support.repo import RULES, Repo
from tests.support.run import Toolkit, process
from toolkit.cli.main import COMMANDS
from toolkit.cli.rules import RulesGroup

VERBS: list[tuple[str, ...]] = [
    ("diff",),
    ("diff", "HEAD"),
    ("diff", "HEAD~1"),
    ("diff", "--committed", "HEAD~1"),
    ("diff", "HEAD~1..HEAD"),
    ("diff", "HEAD~1...HEAD"),
    ("diff", "-v", "HEAD~1"),
    ("diff", "-q", "HEAD~1"),
    ("diff", "--json", "HEAD~1"),
    ("diff", "--exit-code", "HEAD~1"),
    ("diff", "--out", os.devnull + "/no", "HEAD~1"),
    ("diff", "--paths-from", "backend/src/app.py"),
    ("explain", "backend/src/app.py", "sub", "nothing"),
    ("explain", "--json", "backend/src/app.py"),
    ("rules", "check"),
    ("rules", "match", "backend/src/app.py"),
    ("rules", "replay"),
    ("rules", "replay", "HEAD~1..HEAD"),
    ("rules", "observe", "--check"),
    ("rules", "replay", "--json", "-n", "1"),
    ("rules", "import", "rules.toml"),
    ("rules", "schema"),
    ("init", "--out", "-"),
    ("doctor",),
    ("completion", "bash"),
    ("health",),
    ("health-check", "--all-environments", "--json"),
    ("smoke-test",),
    ("deploy", "--dry-run"),
    ("deploy", "--all", "--dry-run", "--json"),
    ("deploy", "--all", "--yes"),
    ("deploy-app", "--dry-run"),
    ("deploy-app", "--yes", "--builder", "built-in"),
    ("deploy-app", "--no-build", "--image", "v1", "--yes"),
    ("deploy-stack", "api", "--dry-run"),
    ("deploy-stack", "api", "--yes"),
    ("rollback", "app", "--list"),
    ("rollback", "app", "--yes"),
    ("resume", "--yes"),
    ("history",),
    ("show", "20260101-000000-aaaa"),
    ("logs", "20260101-000000-aaaa", "app"),
    ("lock", "show"),
    ("lock", "release", "app", "--yes"),
    ("permissions", "--json"),
    ("deploy-function", "mail", "--yes"),
    ("deploy-site", "www", "--yes"),
    ("outputs",),
    ("tail", "app", "--no-follow"),
    ("run-task", "app", "--", "env"),
    ("sandbox", "status"),
    ("record", "show"),
    ("record", "set", "app", "HEAD", "--yes"),
    ("record", "repair"),
]
"""Without an account, and so as far as each goes without one."""


WITHOUT_FILTERS = (
    "-c filter.deeper.process= -c filter.long.process= -c filter.Worktree.clean= -c"
    " filter.Worktree.required=false"
)
"""Git dies of those that do not answer before it would run a hook."""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Hostile:
    return Hostile(tmp_path_factory.mktemp("hostile"))


def plain(repo: Repo, *args: str) -> None:
    """Git as everybody runs it, in an environment of its own. It may well fail."""
    env = {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
    }
    subprocess.run(
        ["git", *args], cwd=repo.path, env=env, capture_output=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("command", "mark"),
    [
        ("status -- sub", "program fsmonitor-worktree"),
        ("status -- sub", "program submodule fsmonitor-worktree"),
        (f"{WITHOUT_FILTERS} update-index -- rules.toml", "hooks/post-index-change"),
        ("diff HEAD -- backend/src/app.py", "program clean"),
        ("diff HEAD -- backend/src/app.py", "program driver"),
        ("diff HEAD -- backend/src/a.long", "program process"),
        ("diff HEAD -- backend/src/a.included", "program clean-included"),
        ("diff HEAD -- backend/src/a.deeper", "program process-deeper"),
        ("diff HEAD -- backend/src/z.worktree", "program clean-worktree"),
        ("log -p -1 -- backend/src/app.py", "program textconv"),
        ("fetch", "program remote"),
    ],
)
def test_the_trap_works_plain_git_runs_the_program(
    hostile: Hostile, command: str, mark: str
) -> None:
    """S4: if this fails, the tests below prove nothing."""
    os.utime(hostile.repo.path / "rules.toml", (1, len(mark)))
    plain(hostile.repo, *command.split())
    assert mark in "\n".join(hostile.ran)


@pytest.mark.slow("hostile input", keep=12)
@pytest.mark.parametrize("args", VERBS, ids=" ".join)
def test_no_command_runs_a_program_of_the_repository(
    hostile: Hostile, toolkit: Toolkit, args: tuple[str, ...]
) -> None:
    """S4."""
    actual = toolkit(hostile.repo.path, *args)
    assert actual.code in (0, 1, 2, 7, 10), actual.err
    assert hostile.ran == []


def test_every_command_is_tried_on_the_hostile_repository() -> None:
    tried = {args[0] for args in VERBS} | {" ".join(args[:2]) for args in VERBS}
    assert set(COMMANDS) | {f"rules {name}" for name in RulesGroup.commands_by_name} <= tried


def test_the_answer_about_a_hostile_repository_is_right(hostile: Hostile, toolkit: Toolkit) -> None:
    """S4: to run nothing is no excuse to see nothing, filters or not."""
    document = {
        item["path"]: item["origin"]
        for item in toolkit(hostile.repo.path, "diff", "--json", "HEAD").json["changes"]
    }
    names = ("app.py", "a.long", "a.included", "a.deeper", "z.worktree")
    assert document == {
        **{f"backend/src/{name}": "unstaged" for name in names},
        "backend/src/new.py": "untracked",
        "sub": "unstaged",
    }


def test_no_command_runs_a_program_of_the_repository_from_a_folder_or_a_submodule(
    hostile: Hostile, toolkit: Toolkit
) -> None:
    """S4: the submodule is a repository with a configuration of its own."""
    for folder in ("backend/src", "sub"):
        for args in (
            ("diff", "HEAD"),
            ("diff", "-v", "HEAD"),
            ("explain", "inside.txt"),
            ("rules", "check"),
        ):
            toolkit(
                hostile.repo.path / folder, "--rules", str(hostile.repo.path / "rules.toml"), *args
            )
            assert hostile.ran == []


def test_no_command_runs_a_program_of_a_linked_worktree(tmp_path: Path, toolkit: Toolkit) -> None:
    """S4: a worktree has a configuration of its own besides the common one."""
    repo = Repo.make(tmp_path / "repo", {"a.x": "one\n", ".gitattributes": "*.x filter=evil\n"})
    repo.git("worktree", "add", "-q", str(tmp_path / "linked"))
    mark = tmp_path / "mark"
    repo.git("config", "extensions.worktreeConfig", "true")
    linked = Repo(tmp_path / "linked")
    linked.git("config", "--worktree", "filter.evil.clean", f"touch {mark};cat")
    linked.git("config", "--worktree", "core.fsmonitor", f"touch {mark};false")
    (linked.path / "a.x").write_text("two\n")
    assert [
        item["path"] for item in toolkit(linked.path, "diff", "--json", "HEAD").json["changes"]
    ] == ["a.x"]
    assert not mark.exists()
    plain(linked, "status")
    assert mark.exists()


def test_replay_runs_no_program_of_a_bare_repository(tmp_path: Path, toolkit: Toolkit) -> None:
    """S4."""
    hostile = Hostile(tmp_path)
    bare = tmp_path / "bare.git"
    shutil.copytree(hostile.repo.path / ".git", bare)
    Repo(bare).git("config", "core.bare", "true")
    (tmp_path / "rules.toml").write_text(RULES)
    assert hostile.ran == []
    for args in (("rules", "replay"), ("diff", "HEAD~1..HEAD"), ("diff", "-v", "HEAD~1..HEAD")):
        assert toolkit(bare, *args, "--rules", str(tmp_path / "rules.toml")).code in (0, 2)
        assert hostile.ran == []


@pytest.mark.parametrize(
    "args",
    [
        ("diff", "HEAD"),
        ("diff", "-v", "HEAD~1"),
        ("explain", "a"),
        ("rules", "check"),
        ("rules", "replay"),
    ],
    ids=" ".join,
)
def test_a_committed_bare_repository_is_refused_from_inside(
    repo: Repo, toolkit: Toolkit, tmp_path: Path, args: tuple[str, ...]
) -> None:
    """S5: CVE-2022-24765's cousin; whoever steps into the folder would run its monitor."""
    mark = tmp_path / "mark"
    inner = Repo.make(tmp_path / "inner", {"a": "x"})
    shutil.copytree(inner.path / ".git", repo.path / "docs/evil")
    Repo(repo.path / "docs/evil").git("config", "core.bare", "true")
    with (repo.path / "docs/evil/config").open("a") as file:
        file.write(
            f'[core]\n\tfsmonitor = "touch {mark};false"\n\tworktree = "."\n[filter "x"]\n\tclean ='
            f' "touch {mark};cat"\n'
        )
    actual = toolkit(repo.path / "docs/evil", "--rules", str(repo.path / "rules.toml"), *args)
    assert actual.code == 2
    assert "has no working tree" in actual.err
    assert not mark.exists()


def test_a_local_filter_is_not_run_and_a_global_one_is(
    repo: Repo, toolkit: Toolkit, tmp_path: Path
) -> None:
    """S6: git-lfs is the person's own, and without it every large file would look changed."""
    repo.commit(
        "attributes",
        {
            ".gitattributes": "*.bin filter=own\n*.loc filter=local\n",
            "a.bin": "stored\n",
            "a.loc": "stored\n",
        },
    )
    Path(os.environ["HOME"], ".gitconfig").write_text(
        f'[filter "own"]\n\tclean = "touch {tmp_path}/own; echo stored"\n\trequired = true\n'
    )
    repo.git("config", "filter.local.clean", f"touch {tmp_path}/local; echo stored")
    repo.write({"a.bin": "edited\n", "a.loc": "edited\n"})
    actual = toolkit(repo.path, "diff", "--json", "HEAD").json["changes"]
    assert [item["path"] for item in actual] == ["a.loc"]
    assert (tmp_path / "own").exists()
    assert not (tmp_path / "local").exists()


def test_a_global_filter_runs_for_what_the_persons_own_attributes_say(
    repo: Repo, toolkit: Toolkit
) -> None:
    """S6: `git lfs` and `git-crypt` can be set up for every repository of a person."""
    repo.commit("stored", {"a.bin": "stored\n"})
    home = Path(os.environ["HOME"])
    (home / ".gitconfig").write_text('[filter "own"]\n\tclean = "echo stored"\n')
    (home / ".config/git").mkdir(parents=True)
    (home / ".config/git/attributes").write_text("*.bin filter=own\n")
    repo.write({"a.bin": "edited\n"})
    assert repo.git("diff", "--name-only", "HEAD") != ""
    assert toolkit(repo.path, "diff", "--json", "HEAD").json["changes"] == []


def test_a_local_filter_does_not_run_under_the_name_of_a_global_one(
    repo: Repo, toolkit: Toolkit, tmp_path: Path
) -> None:
    """S6."""
    repo.commit("attributes", {".gitattributes": "*.bin filter=lfs\n", "a.bin": "stored\n"})
    Path(os.environ["HOME"], ".gitconfig").write_text('[filter "lfs"]\n\tclean = "cat"\n')
    repo.git("config", "filter.lfs.clean", f"touch {tmp_path}/local; cat")
    repo.write({"a.bin": "edited\n"})
    assert [
        item["path"] for item in toolkit(repo.path, "diff", "--json", "HEAD").json["changes"]
    ] == ["a.bin"]
    assert not (tmp_path / "local").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository away")
@pytest.mark.parametrize(
    "args",
    [("diff", "HEAD"), ("explain", "a"), ("rules", "check"), ("rules", "replay"), ("doctor",)],
    ids=" ".join,
)
def test_a_repository_of_another_user_is_refused_with_gits_words(
    repo: Repo, toolkit: Toolkit, args: tuple[str, ...]
) -> None:
    """S7: CVE-2022-24765. Nothing is written to trust it."""
    for folder, folders, files in os.walk(repo.path):
        for name in (".", *folders, *files):
            os.chown(os.path.join(folder, name), 12345, 12345)
    actual = toolkit(repo.path, *args)
    assert actual.code == 2
    assert "dubious ownership" in actual.err
    assert not Path(os.environ["HOME"], ".gitconfig").exists()


@pytest.mark.parametrize("filtered", ["blob:none", "tree:0"])
def test_a_missing_object_is_not_fetched_through_a_remote_that_is_a_program(
    repo: Repo, toolkit: Toolkit, tmp_path: Path, filtered: str
) -> None:
    """S8: a partial clone fetches what it lacks from `ext::sh -c …` without being asked."""
    repo.git("config", "uploadpack.allowFilter", "true")
    repo.commit("second", {"backend/src/app.py": "new\n", "rules.toml": RULES + "# new\n"})
    clone = repo.clone(tmp_path / "clone", f"--filter={filtered}")
    clone.git("config", "protocol.ext.allow", "always")
    clone.git("config", "protocol.allow", "always")
    clone.git("config", "remote.origin.url", f"ext::sh -c touch% {tmp_path}/mark")
    for args in (
        ("diff", "HEAD~1"),
        ("diff", "-v", "HEAD~1..HEAD"),
        ("explain", "rules.toml"),
        ("rules", "replay"),
        ("rules", "check"),
    ):
        assert toolkit(clone.path, *args).code in (0, 2)
        assert not (tmp_path / "mark").exists()
    plain(clone, "cat-file", "-p", "HEAD~1:rules.toml")
    assert (tmp_path / "mark").exists(), "the trap does not work"


def test_a_submodule_path_that_ends_in_a_carriage_return_is_one_path(
    repo: Repo, toolkit: Toolkit, tmp_path: Path
) -> None:
    """S10: CVE-2025-48384."""
    inner = Repo.make(tmp_path / "inner", {"a": "x"}, rules=None)
    commit = inner.git("rev-parse", "HEAD")
    repo.write(
        {
            ".gitmodules": (
                '[submodule "s"]\n\tpath = "sub\r"\n\turl = ext::sh -c touch% mark\n\tupdate ='
                " !touch mark\n"
            )
        }
    )
    repo.git("add", "-A")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{commit},sub\r")
    repo.git("commit", "-q", "-m", "submodule")
    shutil.copytree(inner.path, repo.path / "sub")
    with (repo.path / "sub/.git/config").open("a") as file:
        file.write(f'[core]\n\tfsmonitor = "touch {tmp_path}/mark;false"\n')
    for base, status in (("HEAD~1..HEAD", "added"), ("HEAD", "deleted")):
        changes = {
            item["path"]: item["status"]
            for item in toolkit(repo.path, "diff", "--json", base).json["changes"]
        }
        assert changes["sub\r"] == status
    assert not (tmp_path / "mark").exists()
    assert not (repo.path / "mark").exists()


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "fifo"])
def test_what_gitmodules_includes_is_not_read(repo: Repo, tmp_path: Path, target: str) -> None:
    """S10: git itself ignores includes there; one that was followed would wait for ever, fail, or
    show a line of the file.
    """
    (tmp_path / "secret").write_text("hunter2\n")
    os.mkfifo(repo.path / "fifo")
    repo.commit(
        "includes",
        {".gitmodules": f'[include]\n\tpath = {target}\n[submodule "s"]\n\tpath = s\n\turl = u\n'},
    )
    for args in (
        ("diff", "-v", "HEAD~1"),
        ("diff", "HEAD~1..HEAD"),
        ("explain", ".gitmodules"),
        ("rules", "check"),
    ):
        result = process(repo.path, *args)
        assert result.code == 0, result.err
        assert "hunter2" not in result.out + result.err
        assert "root:" not in result.out + result.err


def test_a_configuration_that_git_cannot_read_is_told(repo: Repo, toolkit: Toolkit) -> None:
    """P10: also where GitPython reads it by itself."""
    (repo.path / ".git/config").write_text("[core\n")
    for args in (
        ("diff", "HEAD"),
        ("diff", "-v", "HEAD"),
        ("explain", "a"),
        ("rules", "check"),
        ("rules", "replay"),
    ):
        assert toolkit(repo.path, *args).code == 2


@pytest.mark.parametrize(
    "config",
    [
        "[core]\n\tbare\n",
        "[include]\n\tpath = no-such-file\n",
        "[include]\n\tpath = config\n" * 3,
        '[a "b\nc"]\n',
        '[core]\n\tx = "a\\\nb" ; c\n\ty\n',
        "[user]\n\tname = \xff\n",
        "[core]\n\tworktree = /no/such/folder\n",
        "[extensions]\n\tunknown = true\n[core]\n\trepositoryFormatVersion = 1\n",
        "[i18n]\n\tcommitEncoding = bogus\n\tlogOutputEncoding = bogus\n",
        "[core]\n\tabbrev = 4\n\tquotePath = true\n\tprecomposeUnicode = true\n",
        '[blob]\n[core]\n[core "x"]\n',
    ],
    ids=ascii,
)
def test_an_odd_configuration_is_read_as_git_reads_it_or_refused(
    repo: Repo, toolkit: Toolkit, config: str
) -> None:
    """P10: GitPython has a reader of its own."""
    repo.commit("second", {"backend/src/app.py": "new\n"})
    with (repo.path / ".git/config").open("ab") as file:
        file.write(config.encode("latin-1"))
    for args in (("diff", "-v", "HEAD~1"), ("explain", "backend/src/app.py")):
        actual = toolkit(repo.path, *args)
        assert actual.code in (0, 2), actual.err
        assert actual.code == 2 or "Ada" in actual.out


@pytest.mark.parametrize(
    "people",
    [
        "author A <a@b> 99999999999999 +0000\ncommitter A <a@b> 99999999999999 +0000\n",
        "author A <a@b> 1700000000 +9999\ncommitter A <a@b> 1700000000 +9999\n",
        "author A <a@b> -5 +0000\ncommitter A <a@b> -99999999999 +0000\n",
        "author A <a@b>\ncommitter A <a@b>\n",
        "author \ncommitter \n",
        "author A\ncommitter A\n",
        "author A <a@b> 1700000000 +0000\ncommitter A <a@b> 1700000000 +0000\nencoding bogus\n",
        "author A <a@b> 1700000000 +0000\ncommitter A <a@b> 1700000000 +0000\nencoding rot13\n",
        "author A <a@b> 1700000000 +0000\ncommitter A <a@b> 1700000000 +0000\ngpgsig x\n",
        "author " + "A" * 100_000 + " <a@b> 1700000000 +0000\ncommitter A <a@b> 1700000000 +0000\n",
    ],
    ids=lambda people: ascii(people[:60]),
)
def test_an_odd_commit_is_told_or_refused(repo: Repo, toolkit: Toolkit, people: str) -> None:
    """P10: anybody can write such a commit with `git hash-object`."""
    parent = repo.git("rev-parse", "HEAD")
    repo.write({"backend/src/app.py": "new\n"})
    repo.git("add", "-A")
    text = f"tree {repo.git('write-tree')}\nparent {parent}\n{people}\n\xe9 message\n"
    commit = repo.git(
        "hash-object", "-w", "-t", "commit", "--literally", "--stdin", given=text.encode("latin-1")
    )
    repo.git("update-ref", "HEAD", commit)
    for args in (
        ("diff", "-v", "HEAD~1"),
        ("explain", "backend/src/app.py"),
        ("explain", "--json", "backend/src/app.py"),
        ("rules", "replay"),
    ):
        actual = toolkit(repo.path, *args)
        assert actual.code == 0, actual.err
        assert "deploy-app app" in actual.out or args[0] != "diff"
