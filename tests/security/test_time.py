"""What a repository says is read in a time that grows with its length: nothing hangs, and Ctrl-C is
heard.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.repo import Repo
from tests.support.run import ROOT
from toolkit.artifacts.images.builtin import check
from toolkit.artifacts.images.context import matching
from toolkit.artifacts.images.types import Recipe
from toolkit.errors import Refused
from toolkit.formats import dockerignore as ignore
from toolkit.formats import glob
from toolkit.formats.dockerfile import parse
from toolkit.impact.matcher import Matcher
from toolkit.init.images.dockerignore import exclusion_check

BOUND_S = 2.0
"""CPU seconds that anything here may take: hundreds of times what it needs, and far less than going
back would.
"""

STARS = (
    "*a" * 30 + "b",
    "**a" * 30 + "b",
    "**/a" * 30 + "/b",
    "*?" * 30 + "b",
    "*[a]" * 30 + "b",
    "a**" * 30 + "b",
    "*/" * 30 + "b",
)


class BoundedTime:
    def __enter__(self) -> None:
        self._since = time.process_time()

    def __exit__(self, *problem: object) -> None:
        assert time.process_time() - self._since < BOUND_S


@pytest.mark.parametrize("pattern", STARS)
@pytest.mark.parametrize("path", ["a" * 250, "a/" * 200 + "a", ("a" * 50 + "/") * 30 + "c"])
def test_a_pattern_of_many_stars_takes_no_time(pattern: str, path: str) -> None:
    with BoundedTime():
        assert not ignore.parse(pattern).keeps_out(path)
        assert matching([path], pattern, lambda folder: folder) == []
        exclusion_check(pattern)(path)


@pytest.mark.parametrize(
    "pattern",
    [
        "(x**)" * 9,
        "(x**)" * 4,
        "{a,b}" * 9,
        "{a,b}*" * 7,
        "x**" * 300,
        "*x" * 300,
        "**/x*/" * 100 + "y",
    ],
)
def test_thirty_patterns_for_one_path_take_no_time(pattern: str) -> None:
    glob.alternatives.cache_clear()
    with BoundedTime(), suppress(glob.PatternError):
        Matcher([[f"{pattern}{number}"] for number in range(30)]).match("x" * 200)


def test_more_globstars_inside_of_names_than_anybody_means_are_refused_with_what_to_do() -> None:
    assert len(glob.alternatives("a**b**c**d**e")) == 16
    with pytest.raises(glob.PatternError, match=r"more than 4 `\*\*` inside of names.*split it"):
        glob.alternatives("a**b**c**d**e**f")


LONG = 100_000
DOCKERFILES = (
    "# x=" + " " * LONG + "y\nFROM scratch\n",
    "#" + " " * LONG + "\nFROM scratch\n",
    "\n" * LONG + "FROM scratch\n",
    "FROM scratch\n" + "EXPOSE" + " " * LONG + "x\n",
    "FROM scratch\nENV A=" + "$" * LONG + "\n",
    "FROM scratch\nRUN " + "<<" * LONG + "\n",
    "FROM scratch\nCOPY " + "-" * LONG + "\n",
    "FROM scratch\nENV " + "'" * LONG + "\n",
    "FROM " + "a-" * LONG + "\n",
    "FROM scratch\nLABEL " + '"\\' * LONG + "\n",
    "FROM scratch\n" + "COPY a b\n" * (LONG // 20),
    "FROM scratch\n" + "\\\n" * LONG,
)


@pytest.mark.parametrize("number", range(len(DOCKERFILES)))
def test_a_long_dockerfile_is_read_or_refused_in_time(tmp_path: Path, number: int) -> None:
    text = DOCKERFILES[number]
    (tmp_path / "Dockerfile").write_text(text)
    with BoundedTime(), suppress(Refused):
        parse(text)
        check(Recipe(str(tmp_path), ".", "Dockerfile"))


OLD = st.text("ab/.*?[]\\-^", max_size=9)
PATHS = st.lists(st.text("abc.", min_size=1, max_size=3), min_size=1, max_size=4).map("/".join)


@settings(max_examples=500, deadline=None)
@given(pattern=OLD, path=PATHS, deep=st.booleans())
def test_a_pattern_means_what_its_regular_expression_does(
    pattern: str, path: str, deep: bool
) -> None:
    try:
        wild = ignore.Wildcard(pattern, deep)
    except re.error:
        return
    expected = re.compile("".join(MEANING.get(part, part) for part in wild._parts), re.DOTALL)
    assert wild.matches(path) == bool(expected.fullmatch(path))
    above = [path[:position] for position, char in enumerate(path) if char == "/"]
    assert wild.covers(path) == any(expected.fullmatch(item) for item in [path, *above])


MEANING = {ignore.STAR: "[^/]*", ignore.DEEP: ".*", ignore.FOLDERS: "(?:.*/)?"}


RULES = """\
version = 1
[targets.app]
kind = "manual"
instructions = "by hand"
[[rules]]
name = "all"
paths = ["**"]
deploy = ["app"]
"""


@pytest.mark.parametrize(
    "name",
    [".gitignore", ".gitattributes", ".git/info/exclude", ".git/info/attributes", ".git/included"],
)
def test_a_pipe_that_git_would_wait_for_is_told(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = Repo.make(tmp_path / "repo", {"a": "one\n"}, RULES)
    (repo.path / "a").write_text("two\n")
    (repo.path / name).unlink(missing_ok=True)
    os.mkfifo(repo.path / name)
    if name == ".git/included":
        with open(repo.path / ".git/config", "a") as file:
            file.write("[include]\n\tpath = included\n")
    script = (
        "from toolkit.ports import git; git.PATIENCE_S = 1.0; from toolkit.__main__ import start;"
        " start()"
    )
    command = [sys.executable, "-c", script, "diff", "HEAD"]
    done = subprocess.run(
        command,
        cwd=repo.path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=50,
    )
    assert done.returncode == 2
    assert name.rpartition("/")[2].encode() in done.stderr or b"did not answer" in done.stderr


def test_ctrl_c_is_heard_while_git_waits(tmp_path: Path) -> None:
    repo = Repo.make(tmp_path / "repo", {"a": "one\n"}, RULES)
    (repo.path / "folder").mkdir()
    os.mkfifo(repo.path / "folder/.gitignore")
    command = [sys.executable, "-m", "toolkit", "diff", "HEAD"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=repo.path, env=environment, stderr=subprocess.PIPE, start_new_session=True
    ) as running:
        until = time.monotonic() + 60
        while time.monotonic() < until and not _children(running.pid):
            time.sleep(0.05)
        time.sleep(1)
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 130


def _children(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().strip()
    except OSError:
        return ""
