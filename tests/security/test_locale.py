"""Names that are not ASCII, where the locale is not UTF-8: they stay the same name on their way
through.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repo import Repo
from tests.support.run import ROOT, process

PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
RULES = """\
version = 1
[targets.app]
kind = "manual"
instructions = "by hand"
[targets.rest]
kind = "manual"
instructions = "by hand"
[[rules]]
name = "accents"
paths = ["é*"]
deploy = ["app"]
[[rules]]
name = "rest"
paths = ["**", "!é*"]
deploy = ["rest"]
"""
NAMES = ("é".encode(), b"\xff", "\u202e\u0430".encode(), "é.É=".encode(), "é.x\u00a0".encode())


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo.make(tmp_path / "repo", {"élan.txt": "one\n", "b.txt": "one\n"}, RULES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("key", ["clean", "process"])
def test_a_filter_of_any_name_is_not_run(repo: Repo, tmp_path: Path, name: bytes, key: str) -> None:
    mark = tmp_path / "ran"
    (repo.path / ".gitattributes").write_bytes(b"*.txt filter=" + name + b"\n")
    with open(repo.path / ".git/config", "ab") as file:
        file.write(
            b'[filter "'
            + name
            + b'"]\n\t'
            + key.encode()
            + b" = touch "
            + os.fsencode(mark)
            + b"; cat\n"
        )
    (repo.path / "b.txt").write_text("two\n")
    (repo.path / "élan.txt").write_text("two\n")
    result = process(repo.path, "diff", "HEAD", given=b"", **PLAIN)
    assert result.code == 0, result.err
    assert not mark.exists()
    script = (
        "import sys; from toolkit.ports.git import Git; print(len(Git.open(sys.argv[1]).status()))"
    )
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), **PLAIN}
    command = [sys.executable, "-X", "utf8=0", "-c", script, str(repo.path)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "3"), done.stderr
    assert not mark.exists()


def test_the_filter_would_have_run(repo: Repo, tmp_path: Path) -> None:
    """What the tests above watch for does happen with git alone."""
    mark = tmp_path / "ran"
    with open(repo.path / ".git/config", "ab") as file:
        file.write(f'[filter "é"]\n\tclean = touch {mark}; cat\n'.encode())
    (repo.path / ".gitattributes").write_bytes("*.txt filter=é\n".encode())
    (repo.path / "b.txt").write_text("two\n")
    subprocess.run(
        ["git", "status"],
        cwd=repo.path,
        check=True,
        capture_output=True,
        env={**os.environ, **PLAIN},
    )
    assert mark.exists()


@pytest.mark.parametrize(
    "locale", [PLAIN, {"LC_ALL": "C", "PYTHONUTF8": "0"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0"}]
)
@pytest.mark.parametrize("command", [("explain", "élan.txt"), ("rules", "match", "élan.txt")])
def test_a_name_goes_where_its_pattern_says_whatever_the_locale(
    repo: Repo, command: tuple[str, ...], locale: dict[str, str]
) -> None:
    plain, usual = (
        process(repo.path, *command, "--json", given=b"", **locale),
        process(repo.path, *command, "--json", LC_ALL="C.UTF-8"),
    )
    assert (plain.code, plain.json) == (usual.code, usual.json)
    assert '"app"' in plain.out
    assert '"rest"' not in str(plain.json.get("targets"))


@pytest.mark.parametrize(
    "command",
    [
        ("diff", "HEAD"),
        ("diff", "-v", "HEAD"),
        ("diff", "--json", "HEAD"),
        ("explain", "élan.txt", "\udcff"),
        ("rules", "check"),
        ("rules", "replay"),
        ("doctor",),
        ("init", "--out", "-"),
        ("deploy", "--all", "--dry-run"),
        ("-C", "é", "diff", "HEAD"),
        ("rules", "match", "é/x"),
        ("diff", "--paths-from", "é/list"),
    ],
)
def test_no_command_fails_for_a_name_or_the_locale(repo: Repo, command: tuple[str, ...]) -> None:
    (repo.path / "élan.txt").write_text("two\n")
    (repo.path / "é").mkdir()
    (repo.path / "é/list").write_bytes("élan.txt\n".encode())
    with open(os.fsencode(repo.path) + b"/\xff.txt", "wb") as file:
        file.write(b"text\n")
    result = process(repo.path, *command, given=b"", **PLAIN)
    assert result.code != 3, result.err
    assert "Traceback" not in result.err
    assert result.code == process(repo.path, *command, LC_ALL="C.UTF-8").code
    assert (result.out + result.err).isascii() or "--json" in command


def test_it_begins_again_only_once(repo: Repo) -> None:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **PLAIN}
    command = [sys.executable, "-X", "utf8=0", "-m", "toolkit", "--version"]
    done = subprocess.run(command, env=env, cwd=repo.path, capture_output=True, timeout=30)
    assert done.returncode == 0
    assert done.stdout.startswith(b"toolkit ")
