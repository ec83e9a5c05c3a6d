"""What runs on this machine before a deploy: real programs, with the kind `command`, so that no AWS
is needed.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.town import eventually
from tests.support.repo import Repo
from tests.support.run import ROOT, Result

RULES = """\
version = 1
project = "hooks"

[targets.web]
kind = "command"
deploy = ["./deploy.sh", "web"]
hooks = { before = [["./test.sh"], ["./copy.sh", "two words"]], deadline = "20s", env = ["FROM"] }

[targets.api]
kind = "command"
deploy = ["./deploy.sh", "api"]

[targets.all]
kind = "group"
members = ["web", "api"]

[[rules]]
name = "Web"
paths = ["web/**"]
deploy = ["web"]

[[rules]]
name = "Api"
paths = ["api/**"]
deploy = ["api"]
"""

FILES = {
    "deploy.sh": '#!/bin/sh\necho "$1 $(cat web/page)" >>"$HOME/deployed"\n',
    "test.sh": '#!/bin/sh\necho "testing $TOOLKIT_TARGET"\necho test >>"$HOME/hooks"\n',
    "copy.sh": '#!/bin/sh\necho "copy $1" >>"$HOME/hooks"\n',
    "web/page": "one\n",
    "api/page": "one\n",
}


class Project:
    """A repository whose targets are deployed by programs of its own."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.repo = Repo.make(folder / "repo", FILES, RULES)
        for name in FILES:
            if name.endswith(".sh"):
                (self.repo.path / name).chmod(0o755)
        self.repo.git("add", "-A")
        self.repo.git("commit", "-q", "--amend", "--no-edit")
        self.env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.home),
            "TOOLKIT_STATE_DIR": str(folder / "state"),
            "TOOLKIT_CACHE_DIR": str(folder / "cache"),
            "FROM": "vm1",
        }

    def program(self, name: str, text: str) -> None:
        """Another program in place of one of the repository's, committed."""
        (self.repo.path / name).write_text(f"#!/bin/sh\n{text}\n")
        self.repo.git("commit", "-qam", f"another {name}")

    def __call__(self, *args: str) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "toolkit", *args],
            cwd=self.repo.path,
            env=self.env,
            capture_output=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    def lines(self, name: str) -> list[str]:
        """What the programs have written."""
        path = self.home / name
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_hooks_run_in_order_before_their_target_is_deployed(project: Project) -> None:
    done = project("deploy", "web", "--yes")
    assert done.code == 0, done.err
    assert project.lines("hooks") == ["test", "copy two words"]
    assert project.lines("deployed") == ["web one"]
    assert "Before that, on this machine:\n  web:before  ./test.sh, then ./copy.sh" in done.err
    assert "[web:before] done" in done.err
    run = project("history", "--json").json["runs"][0]["run"]
    assert project("logs", run).out.splitlines()[:3] == [
        "[web:before] -- ./test.sh",
        "[web:before] testing web",
        "[web:before] -- ./copy.sh 'two words'",
    ]
    assert "testing web" in project("logs", run, "web:before").out


def test_what_has_no_hooks_runs_none(project: Project) -> None:
    assert project("deploy", "api", "--yes").code == 0
    assert project.lines("hooks") == []


def test_a_hook_that_fails_keeps_everything_from_being_deployed(project: Project) -> None:
    project.program("test.sh", "echo 1 of 7 failed; exit 3")
    done = project("deploy", "--all", "--yes")
    assert done.code == 1
    assert "error: web:before failed: `./test.sh` ended with exit code 3: 1 of 7 failed" in done.err
    assert project.lines("deployed") == project.lines("hooks") == []
    [path] = [word for word in done.err.split() if word.startswith(str(project.home.parent))]
    assert "1 of 7 failed" in Path(path).read_text()
    assert project("history").out.count("web") == 0


def test_a_hook_that_brings_new_sources_gets_these_deployed(project: Project) -> None:
    project.program("copy.sh", 'echo "from $FROM" >web/page')
    done = project("deploy", "web", "--yes", "--json")
    assert done.code == 0, done.err
    assert project.lines("deployed") == ["web from vm1"]
    assert project.lines("hooks") == ["test"]
    assert "-dirty-" in done.json["steps"][0]["version"]
    # the record holds what was deployed: only what never was is due
    due = project("diff", "--json").json["plan"]["steps"]
    assert [step["target"] for step in due] == ["api"]


def test_what_a_hook_makes_due_has_its_own_hooks_run_before(project: Project) -> None:
    assert project("deploy", "web", "api", "--yes").code == 0
    rules = (project.repo.path / "rules.toml").read_text()
    failing = rules.replace('"api"]\n\n[', '"api"]\nhooks = { before = [["false"]] }\n\n[', 1)
    assert failing != rules
    project.repo.commit("hooks of api", {"rules.toml": failing, "web/page": "two"})
    project.program("copy.sh", "echo new >api/page; echo new >web/page")
    before = project.lines("deployed")
    done = project("deploy", "--yes")
    assert done.code == 1
    assert "api:before failed: `false` ended with exit code 1" in done.err
    assert project.lines("deployed") == before


def test_no_line_of_a_variable_is_shown_or_logged(project: Project) -> None:
    project.env["FROM"] = "first-of-the-key\nsecond-of-the-key\n"
    project.program("test.sh", 'echo "$FROM"; exit 1')
    done = project("deploy", "web", "--yes", "-v")
    assert done.code == 1
    logs = [path.read_text() for path in project.home.parent.rglob("*.log")]
    assert any("{FROM}" in log for log in logs)
    assert not [text for text in (*logs, done.out, done.err) if "-of-the-key" in text]


def test_a_dry_run_shows_the_hooks_and_runs_none(project: Project) -> None:
    done = project("deploy", "web", "--dry-run")
    assert "  web:before  ./test.sh, then ./copy.sh 'two words'" in done.out
    document = json.loads(project("deploy", "web", "--test", "--json").out)
    assert document["hooks"] == {"web:before": [["./test.sh"], ["./copy.sh", "two words"]]}
    assert project.lines("hooks") == project.lines("deployed") == []


def test_no_hooks_leaves_them_out(project: Project) -> None:
    assert project("deploy", "web", "--yes", "--no-hooks").code == 0
    assert project.lines("hooks") == []


def test_a_hook_that_takes_too_long_is_ended(project: Project) -> None:
    rules = (project.repo.path / "rules.toml").read_text()
    project.repo.commit("quick", {"rules.toml": rules.replace('"20s"', '"1s"')})
    project.program("test.sh", "sleep 50")
    began = time.monotonic()
    done = project("deploy", "web", "--yes")
    assert done.code == 1
    assert "did not end before its deadline" in done.err
    assert time.monotonic() - began < 20


def test_a_hook_that_does_not_exist_is_refused_before_anything_is_asked(project: Project) -> None:
    project.repo.git("rm", "-q", "copy.sh")
    project.repo.git("commit", "-qm", "gone")
    done = project("deploy", "web", "--yes")
    assert done.code == 2
    assert "there is no program ./copy.sh" in done.err
    assert project.lines("hooks") == []


def test_ctrl_c_ends_the_hooks_and_deploys_nothing(project: Project) -> None:
    project.program("test.sh", 'echo $$ >"$HOME/hooks"; exec sleep 50')
    with subprocess.Popen(
        [sys.executable, "-m", "toolkit", "deploy", "web", "--yes"],
        cwd=project.repo.path,
        env=project.env,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as child:
        eventually(lambda: len(project.lines("hooks")) == 1)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=20)
    assert child.returncode == 130
    assert b"stopped; nothing was started" in err
    pid = int(project.lines("hooks")[0])
    eventually(lambda: not Path(f"/proc/{pid}").exists())
    assert project.lines("deployed") == []


def test_a_branch_that_drops_a_hook_does_not_get_rid_of_it(project: Project) -> None:
    project.repo.git("branch", "trusted")
    rules = (project.repo.path / "rules.toml").read_text()
    bare = "".join(line for line in rules.splitlines(True) if not line.startswith("hooks"))
    project.repo.commit("no hooks", {"rules.toml": bare})
    project.env["TOOLKIT_TRUSTED_REF"] = "trusted"
    done = project("deploy", "web", "--yes")
    assert done.code == 0, done.err
    assert "targets.web.hooks is [] here" in done.err
    assert project.lines("hooks") == ["test", "copy two words"]
