"""What the three shells complete, each driven as a person drives it: keys on a terminal."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pexpect
import pytest

from tests.support import completions
from tests.support.repo import Repo
from tests.support.run import ROOT, process
from toolkit.cli import suggestions
from toolkit.cli.completion_table import COMMANDS
from toolkit.cli.main import cli
from toolkit.ports import files
from toolkit.record import places

RULES = """
version = 1
environment = "dev"
include = ["more.toml"]

[environments.dev]
account = "111111111111"
regions = ["eu-west-1", "us-east-1"]
[environments.prod-eu]

[targets.app]
kind = "app"
cluster = "main"
service = "app"
repository = "app"
build = { context = "." }
[targets."jobs/night"]
kind = "stack"
stack = "Night"
template = "night.yaml"
[targets.network]
kind = "stack"
stack = "Network"
template = "network.yaml"
[targets.infra]
kind = "group"
members = ["network", "jobs/night"]

[checks.front]
http = "https://example.com"
tags = ["fast", "public"]
"""
MORE = """
[checks.fetch-orders]
http = "https://example.com/orders"
tags = ["slow"]
"""
RUN, OLD_RUN = "20261130-101500-abcd", "20261129-090000-wxyz"
GOOD, BAD = "3f2c9d1aa", "77aa00bb1"


@pytest.fixture
def project(tmp_path: Path) -> Repo:
    """A project with rules, checks in another file, runs, and a record."""
    folder = tmp_path / "shop"
    repo = Repo.make(folder, {"more.toml": MORE, "src/app.py": "", "other.toml": ""}, RULES)
    own = Path(places.state_folder()) / places.folder_name(None, str(repo.path), None)
    own.joinpath("runs").mkdir(parents=True)
    for run, step in ((RUN, "app"), (OLD_RUN, "network")):
        first = {"v": 1, "n": 1, "facts": {"jobs": [{"step": step}, {"step": f"{step}@us-east-1"}]}}
        own.joinpath("runs", f"{run}.jsonl").write_text(json.dumps(first) + "\n")
    record = own / "record" / "aws" / "-" / "111111111111" / "eu-west-1" / "dev" / "app.json"
    record.parent.mkdir(parents=True)
    deploys = [
        {"n": 1, "version": "0ld000000", "verdict": "succeeded", "when": "2026-11-28T10:00:00Z"},
        {"n": 2, "version": GOOD, "verdict": "succeeded", "when": "2026-11-29T10:00:00Z"},
        {"n": 3, "version": BAD, "verdict": "failed", "when": "2026-11-30T10:00:00Z"},
    ]
    record.write_text(json.dumps({"v": 2, "records": deploys}))
    return repo


OPTIONS = {
    "bash": ["--norc", "--noprofile", "-i"],
    "zsh": ["-f", "-i"],
    "fish": ["--no-config", "-i"],
}
SETUP = {
    "bash": 'bind "set enable-bracketed-paste off"; PS1="> "; eval "$(toolkit completion bash)"',
    "zsh": 'autoload -U compinit; compinit -D -u; PS1="> "; eval "$(toolkit completion zsh)"',
    "fish": "function fish_prompt; echo '> '; end; toolkit completion fish | source",
}


class Shell:
    """A shell on a terminal, with toolkit's completion."""

    def __init__(self, name: str, folder: Path, programs: Path) -> None:
        program = shutil.which(name)
        if program is None:
            pytest.skip(f"{name} is not installed")
        toolkit = programs / "toolkit"
        if not toolkit.exists():
            programs.mkdir()
            toolkit.write_text(f'#!/bin/sh\nexec {sys.executable} -m toolkit "$@"\n')
            toolkit.chmod(0o755)
        variables = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PATH": f"{programs}:{os.environ['PATH']}",
            "TERM": "xterm",
        }
        self._child = pexpect.spawn(
            program,
            OPTIONS[name],
            cwd=str(folder),
            env=variables,
            dimensions=(24, 200),
            encoding="utf-8",
            timeout=20,
        )
        # A word that the command itself does not hold, so that its echo is not taken for it.
        self._child.sendline(f"{SETUP[name]}; printf 'rea''dy\\n'")
        self._child.expect_exact("ready\r\n")

    def complete(self, typed: str) -> str:
        """The command line after these keys and a tab, as the shell then has it."""
        self._child.send(f"{typed}\t")
        # To the line's beginning, and to its end: what stands there is printed and not run.
        self._child.send("\x01printf 'LI''NE:%s\\n' \"\x05\"\r")
        self._child.expect(r"LINE:([^\r\n]*)\r\n")
        assert isinstance(self._child.match, re.Match)
        return str(self._child.match[1])

    def close(self) -> None:
        self._child.close(force=True)


@pytest.fixture(params=["bash", "zsh", "fish"])
def shell(request: pytest.FixtureRequest, project: Repo, tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(request.param, project.path, tmp_path / "bin")
    yield shell
    shell.close()


LINES = {
    "toolkit heal": "toolkit health",
    "toolkit deploy ap": "toolkit deploy app ",
    "toolkit deploy app inf": "toolkit deploy app infra ",
    "toolkit deploy --without jo": "toolkit deploy --without jobs/night ",
    "toolkit deploy-stack net": "toolkit deploy-stack network ",
    "toolkit -e pro": "toolkit -e prod-eu ",
    "toolkit diff --env pro": "toolkit diff --env prod-eu ",
    "toolkit diff --env=pro": "toolkit diff --env=prod-eu ",
    "toolkit deploy 'net": "toolkit deploy 'network'",
    "toolkit -C src -e pro": "toolkit -C src -e prod-eu ",
    "toolkit smoke-test --only fe": "toolkit smoke-test --only fetch-orders ",
    "toolkit smoke-test --tag pub": "toolkit smoke-test --tag public ",
    "toolkit show 20261130": f"toolkit show {RUN} ",
    "toolkit resume 20261129": f"toolkit resume {OLD_RUN} ",
    f"toolkit logs {OLD_RUN} netw": f"toolkit logs {OLD_RUN} network",
    "toolkit rollback app --to 3": f"toolkit rollback app --to {GOOD} ",
    "toolkit health --region us": "toolkit health --region us-east-1 ",
    "toolkit --rules oth": "toolkit --rules other.toml ",
    "toolkit diff --out oth": "toolkit diff --out other.toml ",
    "toolkit -C sr": "toolkit -C src/",
    "toolkit deploy-app app --buil": "toolkit deploy-app app --builder ",
    "toolkit deploy-app app --in-progress ref": "toolkit deploy-app app --in-progress refuse ",
    "toolkit --color nev": "toolkit --color never ",
    "toolkit rules ch": "toolkit rules check ",
}


def test_each_shell_completes_names_and_files(shell: Shell) -> None:
    # A blank or a slash that the next key takes away again is not there in every shell.
    completed = {typed: shell.complete(typed).rstrip(" /") for typed in LINES}
    assert completed == {typed: line.rstrip(" /") for typed, line in LINES.items()}


def test_each_shell_is_silent_where_rules_toml_cannot_be_read(shell: Shell, project: Repo) -> None:
    (project.path / "rules.toml").write_text("[targets.app\n")
    assert shell.complete("toolkit deploy ap") == "toolkit deploy ap"


def complete(folder: Path, line: str, shell: str = "zsh") -> list[str]:
    """What toolkit itself answers for the last word of a line."""
    words = line.split(" ")
    result = process(
        folder,
        _TOOLKIT_COMPLETE=shell,
        _TOOLKIT_WORDS="\n".join(words),
        _TOOLKIT_CURRENT=str(len(words) - 1),
    )
    assert (result.code, result.err) == (0, "")
    return result.out.splitlines()


def names(folder: Path, line: str, shell: str = "zsh") -> list[str]:
    """The same without what each is."""
    return [answer.split("\t")[1] for answer in complete(folder, line, shell)]


DEPLOYS = ["deploy-app", "deploy-stack", "deploy-function", "deploy-site"]


@pytest.mark.parametrize(
    ("line", "answers"),
    [
        ("toolkit d", ["diff", "deploy", *DEPLOYS, "doctor"]),
        ("toolkit deploy-", DEPLOYS),
        ("toolkit deploy ", ["app", "jobs/night", "network", "infra"]),
        ("toolkit deploy app ", ["jobs/night", "network", "infra"]),
        ("toolkit deploy-app ", ["app"]),
        ("toolkit deploy-app app ", []),
        ("toolkit deploy-stack ", ["jobs/night", "network"]),
        ("toolkit run-task ", ["app"]),
        ("toolkit rollback ", ["app", "jobs/night", "network"]),
        ("toolkit rollback app --to ", [GOOD, "0ld000000"]),
        ("toolkit rollback network --to ", []),
        ("toolkit rollback app -e prod-eu --to ", []),
        ("toolkit diff ", ["last", "live", "change"]),
        ("toolkit deploy --confirm ", ["dev", "prod-eu"]),
        ("toolkit smoke-test --only ", ["front", "fetch-orders"]),
        ("toolkit smoke-test --tag ", ["fast", "public", "slow"]),
        ("toolkit show ", [RUN, OLD_RUN]),
        (f"toolkit logs {RUN} ", ["app", "app@us-east-1"]),
        ("toolkit logs 20261130-101500-none ", []),
        ("toolkit logs ../../x ", []),
        ("toolkit -e dev health --region ", ["eu-west-1", "us-east-1"]),
        ("toolkit -e prod-eu health --region ", []),
        ("toolkit record ", ["show", "set", "repair"]),
        ("toolkit record set n", ["network"]),
        ("toolkit deploy --allow-untrusted-rules --allow-u", []),
        ("toolkit deploy --without app --with", ["--without"]),
        ("toolkit deploy -- --with", []),
        ("toolkit deploy --parallel ", []),
        ("toolkit deploy --no-such ", ["app", "jobs/night", "network", "infra"]),
        ("toolkit no-such-command ", []),
        ("toolkit completion z", ["zsh"]),
    ],
)
def test_what_is_suggested(project: Repo, line: str, answers: list[str]) -> None:
    assert names(project.path, line) == answers


@pytest.mark.parametrize("command", DEPLOYS)
def test_a_command_of_a_kind_is_suggested_the_targets_of_that_kind(
    project: Repo, command: str
) -> None:
    kinds = [name.removeprefix("deploy-") for name in DEPLOYS]
    tables = [f'[targets.my-{kind}]\nkind = "{kind}"\n' for kind in kinds]
    (project.path / "rules.toml").write_text("".join(tables))
    kind = command.removeprefix("deploy-")
    assert names(project.path, f"toolkit {command} ") == [f"my-{kind}"]


def test_a_suggestion_says_what_it_is(project: Repo) -> None:
    assert complete(project.path, "toolkit deploy ap") == ["plain\tapp\tapp"]
    assert complete(project.path, "toolkit rollback app --to 3") == [
        f"plain\t{GOOD}\t2026-11-29 10:00"
    ]


def test_bash_gets_the_value_alone_where_it_takes_the_equals_sign_for_a_word(
    project: Repo,
) -> None:
    assert names(project.path, "toolkit diff --env = pr", "bash") == ["prod-eu"]
    assert names(project.path, "toolkit diff --env =", "bash") == ["dev", "prod-eu"]
    assert names(project.path, "toolkit diff --env=pr", "zsh") == ["--env=prod-eu"]


@pytest.mark.parametrize(
    "line",
    ["toolkit --rules ", "toolkit diff --out ", "toolkit deploy --plan ", "toolkit explain "],
)
def test_the_shell_completes_files_itself(project: Repo, line: str) -> None:
    assert complete(project.path, line) == ["file"]


def test_rules_of_another_folder_and_another_file_are_read(project: Repo, tmp_path: Path) -> None:
    assert names(tmp_path, "toolkit deploy ") == []
    assert names(tmp_path, "toolkit -C shop deploy ap") == ["app"]
    assert names(tmp_path, "toolkit -C shop --rules more.toml smoke-test --only ") == [
        "fetch-orders"
    ]
    assert names(project.path / "src", "toolkit deploy ap") == ["app"]


HOSTILE = [
    "$(touch pwned)",
    "`touch pwned`",
    "a;touch pwned",
    "--yes",
    "-e",
    "a b",
    "a\tb",
    "a\nplain\tb",
    "\x1b[31mred",
    "*",
    "~root",
    "'quoted'",
    "a:b",
    "",
    "ä",
    "x" * 300,
]


def test_only_names_that_no_shell_could_misread_are_suggested(project: Repo) -> None:
    tables = [f"[targets.{json.dumps(name)}]\nkind = 'manual'\n" for name in HOSTILE]
    about = '[targets.good]\nkind = "\\u001b[31m\\nplain\\tevil"\n'
    (project.path / "rules.toml").write_text("".join(tables) + about)
    assert complete(project.path, "toolkit deploy ") == ["plain\tgood"]


def test_no_more_than_a_screen_can_take_is_suggested(project: Repo) -> None:
    tables = [f"[targets.t{number}]\nkind = 'manual'\n" for number in range(500)]
    (project.path / "rules.toml").write_text("".join(tables))
    assert len(names(project.path, "toolkit deploy ")) == suggestions.MOST


def test_a_large_file_that_is_included_thousands_of_times_is_read_once(project: Repo) -> None:
    large = "# x\n" * 240_000 + "[checks.large]\n"
    (project.path / "more.toml").write_text(large)
    others = [f'"{"./" * number}more.toml"' for number in range(1, 200)]
    again = ",\n".join(['"more.toml"'] * 20_000 + others)
    (project.path / "rules.toml").write_text(f"include = [{again}]\n[checks.own]\n")
    assert names(project.path, "toolkit smoke-test --only ") == ["own", "large"]


def test_thousands_of_environments_are_looked_through_once(project: Repo) -> None:
    tables = "".join(f"[environments.e{number}]\n" for number in range(20_000))
    last = '[environments.last]\nregions = ["eu-north-1"]\n'
    (project.path / "rules.toml").write_text(f'environment = "last"\n{tables}{last}')
    assert names(project.path, "toolkit deploy --region ") == ["eu-north-1"]


def test_what_a_name_is_called_is_shown_no_longer_than_a_line(project: Repo) -> None:
    kind = "k" * 5000
    (project.path / "rules.toml").write_text(f'[targets.t]\nkind = "{kind}"\n')
    assert complete(project.path, "toolkit deploy ") == [
        f"plain\tt\t{'k' * suggestions.ABOUT_MOST}"
    ]


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _directory(path: Path) -> None:
    path.mkdir()


def _huge(path: Path) -> None:
    path.write_text("# x\n" * 300_000 + "[targets.app]\n")


def _link(path: Path) -> None:
    outside = path.parent.parent / "outside.toml"
    outside.write_text("[targets.outside]\n")
    path.symlink_to(outside)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    "damage",
    [
        _pipe,
        _directory,
        _huge,
        _link,
        _device,
        lambda path: path.write_bytes(b"[targets.app\n"),
        lambda path: path.write_bytes(b"\xff\xfe"),
        lambda path: path.write_text("targets = 1\nenvironments = [1]\nenvironment = 3"),
        lambda path: path.write_text("a = " + "[" * 5000),
        lambda path: None,
    ],
)
def test_rules_that_cannot_be_read_give_no_name_and_no_word(
    project: Repo, damage: Callable[[Path], None]
) -> None:
    (project.path / "rules.toml").unlink()
    damage(project.path / "rules.toml")
    for line in ("toolkit deploy ", "toolkit -e ", "toolkit smoke-test --only "):
        assert names(project.path, line) == []


def test_a_pipe_that_is_named_as_rules_or_included_is_not_waited_for(project: Repo) -> None:
    _pipe(project.path / "pipe.toml")
    assert names(project.path, "toolkit --rules pipe.toml deploy ") == []
    (project.path / "rules.toml").write_text('include = ["pipe.toml"]\n[checks.own]\n')
    assert names(project.path, "toolkit smoke-test --only ") == ["own"]


def test_damaged_records_and_journals_give_no_name_and_no_word(project: Repo) -> None:
    folder = Path(places.state_folder())
    for path in [*folder.rglob("*.json"), *folder.rglob("*.jsonl")]:
        path.write_bytes(b'{"records": 1, "facts": [')
    assert names(project.path, "toolkit rollback app --to ") == []
    assert names(project.path, f"toolkit logs {RUN} ") == []


def test_nothing_is_asked_started_or_written(project: Repo) -> None:
    before = sorted(Path(os.environ["HOME"]).rglob("*"))
    program = """
import os, sys
def watch(event, args):
    if event.startswith(("subprocess", "os.posix_spawn", "os.fork", "os.exec", "socket")):
        os.write(2, event.encode())
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        os.write(2, str(args).encode())
sys.addaudithook(watch)
sys.dont_write_bytecode = True
from toolkit.__main__ import start
start()
"""
    for words in ("deploy ", "rollback app --to ", "show ", "smoke-test --only ", "diff --"):
        variables = {
            "_TOOLKIT_COMPLETE": "zsh",
            "_TOOLKIT_WORDS": "\n".join(("toolkit", *words.split(" "))),
            "_TOOLKIT_CURRENT": str(len(words.split(" "))),
        }
        child = subprocess.run(
            [sys.executable, "-c", program],
            cwd=project.path,
            env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
            capture_output=True,
            check=True,
        )
        assert child.stdout
        assert child.stderr == b""
    assert sorted(Path(os.environ["HOME"]).rglob("*")) == before


def test_a_call_that_makes_no_sense_is_not_answered(project: Repo) -> None:
    for result in (
        process(project.path, "diff", _TOOLKIT_COMPLETE="bash"),
        process(project.path, _TOOLKIT_WORDS="toolkit", _TOOLKIT_COMPLETE="bash"),
        process(
            project.path,
            _TOOLKIT_WORDS="toolkit",
            _TOOLKIT_CURRENT="x",
            _TOOLKIT_COMPLETE="bash",
        ),
    ):
        assert (result.code, result.out, result.err) == (0, "", "")


def test_the_state_is_where_the_commands_have_it(
    project: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("XDG_STATE_HOME", "/x/state"), ("XDG_STATE_HOME", "relative")):
        monkeypatch.setenv(name, value)
        assert places.state_folder() == files.state_folder()
    monkeypatch.delenv("XDG_STATE_HOME")
    assert places.state_folder() == files.state_folder()
    monkeypatch.setenv("TOOLKIT_STATE_DIR", "/y")
    assert places.state_folder() == files.state_folder()


def test_every_value_of_the_command_line_has_a_source_or_is_known_to_have_none() -> None:
    for path, command, context in completions.commands(cli):
        for parameter in command.get_params(context):
            if completions.value(parameter, path) == "" and not _is_number(parameter):
                assert parameter.name in completions.UNNAMED, (path, parameter.name)


def test_every_source_of_the_table_exists() -> None:
    sources = {value for options, _, _ in COMMANDS.values() for _, value, _, _ in options}
    sources |= {value for _, arguments, _ in COMMANDS.values() for value, _ in arguments}
    texts = {source for source in sources if isinstance(source, str)}
    assert texts == {"", "file", "dir", *suggestions.SOURCES}


def _is_number(parameter: click.Parameter) -> bool:
    return isinstance(parameter.type, click.types.IntParamType | click.types.FloatParamType)
