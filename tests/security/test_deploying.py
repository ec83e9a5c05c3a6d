"""Deploying when somebody means ill, or is careless: S15, S23 to S34 of the security tests, through
the command line.
"""

import os
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from tests.cli.test_deploy_errors import APP, STACK, Deploys
from tests.cli.test_deploy_errors import shop as shop
from tests.support.run import ROOT, process

WRITES = (
    "RegisterTaskDefinition",
    "UpdateService",
    "CreateChangeSet",
    "ExecuteChangeSet",
    "PutImage",
)
COMMANDS = [
    APP,
    STACK,
    ("deploy", "--all", "--yes"),
    ("rollback", "web", "--yes"),
    ("resume", "--yes"),
    ("permissions",),
    ("history",),
]


def written(folder: Path) -> str:
    """Everything in the files below a folder."""
    return "\n".join(
        path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file()
    )


def state(shop: Deploys) -> Path:
    """Where the runs are kept."""
    return Path(os.environ["XDG_STATE_HOME"]) / "toolkit"


def configure(shop: Deploys, line: str) -> None:
    """One more line for the environment, committed."""
    shop.rules('account = "111111111111"', f'account = "111111111111"\n{line}')
    shop.endpoint.ecr.image("backend", shop.repo.commit())


@pytest.mark.slow("hostile input", keep=5)
@pytest.mark.parametrize("args", COMMANDS, ids=lambda args: args[0])
@pytest.mark.parametrize(
    ("before", "wrong", "line"),
    [
        ('repository = "backend"', 'repository = "backend"\ncmd = "touch mark"', 14),
        ("[targets.web]", '[hooks]\nbefore = "touch mark"\n\n[targets.web]', 9),
        ('stack = "Jobs"', 'stack = "Jobs"\nhook = "touch mark"', 18),
    ],
    ids=["cmd", "hooks", "unknown"],
)
def test_rules_cannot_name_programs(
    shop: Deploys, args: tuple[str, ...], before: str, wrong: str, line: int
) -> None:
    """S15."""
    shop.rules(before, wrong)
    refused = shop(*args)
    assert (refused.code, f"rules.toml:{line}: " in refused.err, shop.endpoint.calls) == (
        2,
        True,
        [],
    )
    assert not (shop.repo.path / "mark").exists()


def test_no_secret_leaves_the_process(shop: Deploys) -> None:
    """S23: values of the environment, of the running task definition, and of a stack's
    parameters.
    """
    canaries = [f"canary{number:02}-{'k' * 24}" for number in range(50)]
    for number, value in enumerate(canaries[:20]):
        shop.patch.setenv(
            ("GITHUB_TOKEN", "NPM_PASSWORD", "API_KEY", "MY_SECRET")[number % 4] + f"_{number}",
            value,
        )
    family = shop.endpoint.ecs.definitions[shop.endpoint.ecs.find("web").definition].body
    container = family["containerDefinitions"][0]
    container["environment"] = [
        {"name": f"PLAIN_{value[6:8]}", "value": value} for value in canaries[20:40]
    ]
    shop.endpoint.cloudformation.stack(
        "Jobs",
        "CREATE_COMPLETE",
        {"Jobs": "AWS::SQS::Queue"},
        parameters=dict.fromkeys(["Pass"], canaries[40]),
    )
    deploys = [
        shop(*args, *more)
        for args in (APP, STACK)
        for more in (("--dry-run",), ("-v",), ("--json",))
    ]
    assert shop.endpoint.calls.applied("UpdateService") == 1
    shop.endpoint.fault(
        "*",
        times=None,
        kind="error",
        code="Weird",
        message=f"token={canaries[41]} at https://x.test/?{canaries[42]}",
    )
    deploys.append(shop("deploy", "--all", "--yes"))
    text = written(state(shop)) + "".join(item.out + item.err for item in deploys)
    assert [value for value in canaries if value in text] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Password", "hunter2hunter2"),
        ("Key", "AKIAABCDEFGHIJKLMNOP"),
        ("ApiToken", "0123456789abcdef0123"),
    ],
    ids=["password", "key", "token"],
)
def test_a_parameter_that_looks_like_a_credential_is_refused(
    shop: Deploys, name: str, value: str
) -> None:
    """S25."""
    shop.rules(
        'template = "infra/jobs.json"',
        f'template = "infra/jobs.json"\nparameters = {{ {name} = "{value}" }}',
    )
    refused = shop(*STACK)
    assert (refused.code, value in refused.err, "secret" in refused.err) == (
        2,
        False,
        True,
    ), refused.err
    assert not shop.endpoint.calls.count(*WRITES)


@pytest.mark.slow("hostile input", keep=4)
@pytest.mark.parametrize(
    "args", [("deploy-app",), ("deploy-stack", "jobs"), ("deploy", "--all")], ids=" ".join
)
@pytest.mark.parametrize("data", [b"", b"\n", b"y\n" * 100], ids=["null", "newline", "yes"])
def test_a_pipe_says_nothing_and_so_nothing_is_deployed(
    shop: Deploys, args: tuple[str, ...], data: bytes
) -> None:
    """S26."""
    refused = process(shop.repo.path, *args, given=data, CI="1")
    assert (refused.code, "confirmation needed, but this is not a terminal" in refused.err) == (
        2,
        True,
    ), refused.err
    assert not shop.endpoint.calls


@pytest.mark.parametrize("text", ["<&-", "</dev/null"], ids=["closed", "null"])
def test_without_an_input_nothing_is_deployed(shop: Deploys, text: str) -> None:
    """S26."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = ["sh", "-c", f'exec "$0" -m toolkit deploy-app {text}', sys.executable]
    refused = subprocess.run(
        command, cwd=shop.repo.path, env=env, capture_output=True, text=True, timeout=60
    )
    assert (
        refused.returncode,
        "confirmation needed, but this is not a terminal" in refused.stderr,
    ) == (
        2,
        True,
    ), refused.stderr
    assert not shop.endpoint.calls


def test_a_lone_enter_at_a_terminal_does_not_confirm_a_protected_environment(shop: Deploys) -> None:
    """S26: the default of what is protected is no."""
    configure(shop, "protected = true")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    child = pexpect.spawn(
        sys.executable,
        ["-m", "toolkit", "deploy-app"],
        cwd=str(shop.repo.path),
        env=env,
        encoding="utf-8",
        timeout=20,
    )
    child.expect_exact("Type its name")
    child.send("\r")
    child.expect_exact("that is not its name")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 2
    assert not shop.endpoint.calls.count(*WRITES)


@pytest.mark.slow("hostile input", keep=3)
@pytest.mark.parametrize("key", ["\x03", "\x04", "\x1b"], ids=["ctrl-c", "ctrl-d", "escape"])
@pytest.mark.parametrize("output", ["consent", "name", "list"])
def test_leaving_a_question_records_nothing(shop: Deploys, output: str, key: str) -> None:
    """S27."""
    args, question = ["deploy-app"], "Continue?"
    if output == "name":
        configure(shop, "protected = true")
        question = "Type its name"
    runs = 0
    if output == "list":
        for text in ("one", "two"):
            shop.endpoint.ecr.image("backend", shop.repo.commit(files={"app/main.py": text}))
            assert shop(*APP).code == 0
        args, question, runs = ["rollback", "web"], "Which version?", 2
    shop.endpoint.calls.clear()
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    child = pexpect.spawn(
        sys.executable,
        ["-m", "toolkit", *args],
        cwd=str(shop.repo.path),
        env=env,
        encoding="utf-8",
        timeout=20,
    )
    child.expect_exact(question)
    child.send(key)
    child.expect(pexpect.EOF)
    child.close()
    assert (child.exitstatus, shop.endpoint.calls.count(*WRITES)) == (130, 0)
    assert len(shop("history", "--json").json["runs"]) == runs


@pytest.mark.parametrize("protected", [True, False])
def test_where_nothing_would_change_nobody_is_asked_and_nothing_is_changed(
    shop: Deploys, protected: bool
) -> None:
    assert shop(*APP).code == 0
    if protected:
        configure(shop, "protected = true")
        assert shop(*APP, "--confirm", "dev").code == 0
    shop.endpoint.calls.clear()
    child = pexpect.spawn(
        sys.executable,
        ["-m", "toolkit", "deploy-app"],
        cwd=str(shop.repo.path),
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
        encoding="utf-8",
        timeout=20,
    )
    child.expect(pexpect.EOF)
    child.close()
    shown = str(child.before)
    assert "nothing to do" in shown
    assert "Continue?" not in shown
    assert "Type its name" not in shown
    assert (child.exitstatus, shop.endpoint.calls.count(*WRITES)) == (0, 0)


def test_a_bucket_of_another_account_gets_nothing(shop: Deploys) -> None:
    """S29."""
    shop.endpoint.s3.bucket("state", owner="999999999999")
    configure(shop, 'store = "s3://state/team"')
    refused = shop(*APP)
    assert (
        refused.code,
        "s3://state/team" in refused.err,
        shop.endpoint.calls.applied("PutObject", *WRITES),
    ) == (7, True, 0), refused.err


@pytest.mark.slow("hostile input", keep=2)
@pytest.mark.parametrize(
    "damage",
    [b'{"n": 1}\n', b"\x1b[2J\n", b"x" * 10_000_000 + b"\n", b"{}\r\n"],
    ids=["forged", "escape", "long", "crlf"],
)
def test_a_damaged_journal_is_told_in_a_line(shop: Deploys, damage: bytes) -> None:
    """S30."""
    assert shop(*APP).code == 0
    run = shop("history", "--json").json["runs"][0]["run"]
    [journal] = [
        path
        for path in state(shop).rglob("*")
        if path.is_file() and run in str(path) and path.suffix == ".jsonl"
    ]
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0] + damage + b"".join(lines[1:]))
    for args in (("show", run), ("resume", run, "--yes"), ("history",)):
        deploys = shop(*args)
        assert deploys.code in ((0, 2) if args[0] == "history" else (2,)), deploys.err
        assert "\x1b" not in deploys.out + deploys.err
        assert all(len(line) < 500 for line in (deploys.out + deploys.err).splitlines())
        assert deploys.code == 0 or "\nhint: " in deploys.err, deploys.err


def test_a_state_folder_that_is_a_link_is_refused(shop: Deploys) -> None:
    """S31."""
    where = state(shop)
    where.parent.mkdir(parents=True, exist_ok=True)
    where.symlink_to("/")
    refused = shop(*APP)
    assert (refused.code, refused.err.splitlines()[-2][:7], shop.endpoint.calls.count(*WRITES)) == (
        2,
        "error: ",
        0,
    )


@pytest.mark.slow("hostile input", keep=2)
@pytest.mark.parametrize(
    "body",
    [b'{"who": "\x1b[2J"}', b"x" * 10_000_000, b"{", b'{"who": 1}'],
    ids=["escape", "long", "torn", "typed"],
)
def test_a_forged_lock_is_told_in_a_line(shop: Deploys, body: bytes) -> None:
    """S34."""
    shop.endpoint.s3.bucket("state")
    configure(shop, 'store = "s3://state/team"')
    assert shop(*APP).code == 0
    [key] = {
        call.params["Key"]
        for call in shop.endpoint.calls.of("PutObject")
        if "lock" in call.params["Key"]
    }
    shop.endpoint.s3.put("state", key, body)
    for args in (("lock", "show"), ("deploy-app", "--yes", "--force")):
        deploys = shop(*args)
        assert deploys.code in (0, 6), deploys.err
        assert "\x1b" not in deploys.out + deploys.err
        assert all(len(line) < 500 for line in (deploys.out + deploys.err).splitlines())


def test_only_the_documented_variables_reach_a_child(shop: Deploys, tmp_path: Path) -> None:
    """S32: git is a child of every command."""
    mark = tmp_path / "mark"
    env = {
        "GIT_SSH_COMMAND": f"touch {mark}",
        "GIT_EXTERNAL_DIFF": f"touch {mark}",
        "GIT_DIR": str(tmp_path),
        "GIT_CONFIG_COUNT": "1",
    }
    env |= {
        "GIT_CONFIG_KEY_0": "core.fsmonitor",
        "GIT_CONFIG_VALUE_0": f"touch {mark};false",
        "GIT_TRACE": str(mark),
    }
    done = process(shop.repo.path, "deploy-app", "--dry-run", given=b"", **env)
    assert (done.code, mark.exists()) == (0, False), done.err
