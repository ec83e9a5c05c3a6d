"""A pull request that changes its own judge, as whoever runs the commands on it meets that."""

import json
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.support.repo import Repo
from tests.support.run import ROOT, Toolkit
from toolkit.flow.compare import DiffRequest, Points, RecordedBase, diff
from toolkit.model import DiffResult, Rules
from toolkit.ports.git import Git

pytestmark = pytest.mark.slow("trusted base", keep=30, of="file")

RULES = """\
version = 1
project = "shop"
environment = "dev"

[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]
store = "s3://good/record"

[environments.prod]
account = "222222222222"
regions = ["eu-west-1"]
protected = true

[targets.app]
kind = "app"
cluster = "c"
service = "s"
repository = "r"
checks = ["up"]

[targets.net]
kind = "stack"
stack = "Net"
template = "net.json"

[checks.up]
http = "GET https://example.com/up"

[[rules]]
name = "App"
paths = ["src/**"]
deploy = ["app"]

[[rules]]
name = "Net"
paths = ["net.json"]
deploy = ["net"]
"""
QA = '[environments.qa]\naccount = "333333333333"\nregions = ["eu-west-1"]\n\n[environments.prod]'
EVIL = ("s3://good", "s3://evil")


@pytest.fixture(autouse=True)
def _no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests may run in a CI themselves."""
    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hub(tmp_path: Path) -> Repo:
    return Repo.make(tmp_path / "hub", {"src/a": "1\n", "net.json": "{}\n"}, rules=RULES)


@pytest.fixture
def clone(hub: Repo, tmp_path: Path) -> Repo:
    """A pull request that has changed nothing yet."""
    created = hub.clone(tmp_path / "clone")
    created.git("checkout", "-q", "-b", "pull")
    return created


def changed(repo: Repo, old: str, new: str) -> None:
    assert old in RULES
    repo.commit("pull request", {"rules.toml": RULES.replace(old, new)})


def clean_everywhere(repo: Repo, texts: list[str | None], **options: Any) -> DiffResult:
    """The answer of `diff` where every record there is says that HEAD is live: it may be forged."""

    def records(how: str, rules: Rules, environment: str | None) -> Points:
        texts.append(rules.environments[environment or ""].store)
        return {name: (RecordedBase(repo.head, ""),) for name in rules.targets}

    folder = str(repo.path)
    return diff(DiffRequest(folder, **options), Git.open(folder), records)


def due(answer: DiffResult) -> list[str]:
    return sorted(step.target for step in answer.plan.steps)


def test_the_record_that_a_pull_request_names_is_not_read_and_all_is_due(clone: Repo) -> None:
    changed(clone, *EVIL)
    texts: list[str | None] = []
    answer = clean_everywhere(clone, texts)
    assert (due(answer), texts) == (["app", "net"], ["s3://good/record"])


@pytest.mark.parametrize("base", [None, "last", "live"])
def test_a_pull_request_that_changes_no_judge_is_clean_as_recorded(
    clone: Repo, base: str | None
) -> None:
    assert due(clean_everywhere(clone, [], base=base)) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('account = "111111111111"', 'account = "999999999999"'),
        ('store = "s3://good/record"\n', ""),
        ('store = "s3://good/record"', 'store = "s3://good/record"\nprotected = true'),
        ('checks = ["up"]', "checks = []"),
        ("example.com/up", "example.com/"),
        ('project = "shop"', 'project = "other"'),
    ],
)
def test_every_target_is_due_where_a_judge_is_another_one(clone: Repo, old: str, new: str) -> None:
    changed(clone, old, new)
    assert due(clean_everywhere(clone, [])) == ["app", "net"]


def test_a_difference_in_another_environment_is_none_here(clone: Repo) -> None:
    changed(clone, "protected = true\n", "")
    answer = clean_everywhere(clone, [])
    assert (due(answer), answer.told_first) == ([], ())
    assert due(clean_everywhere(clone, [], environment="prod")) == ["app", "net"]


def test_somebody_may_let_this_rules_toml_decide(clone: Repo) -> None:
    changed(clone, *EVIL)
    texts: list[str | None] = []
    answer = clean_everywhere(clone, texts, allowed=True)
    assert (due(answer), texts) == ([], ["s3://evil/record"])
    assert answer.told_first[-1].endswith("rules.toml decides: --allow-untrusted-rules")


def test_what_differs_is_told_before_anything_else(clone: Repo, toolkit: Toolkit) -> None:
    changed(clone, *EVIL)
    message = toolkit(clone.path, "diff")
    assert message.out.splitlines()[:4] == [
        "note: the rules that judge a deploy differ from origin/main",
        'note:   environments.dev.store is "s3://evil/record" here, and',
        '  "s3://good/record" at origin/main',
        "note: the rules of origin/main are used, and every target of dev counts as due;",
    ]
    assert "the rules that judge a deploy differ" in toolkit(clone.path, "diff", "-q").err


def test_what_differs_is_told_to_programs(clone: Repo, hub: Repo, toolkit: Toolkit) -> None:
    changed(clone, *EVIL)
    assert toolkit(clone.path, "diff", "--json").json["trusted"] == {
        "ref": "origin/main",
        "commit": hub.head,
        "allowed": False,
        "differences": [
            {
                "what": "environments.dev.store",
                "here": '"s3://evil/record"',
                "trusted": '"s3://good/record"',
                "effect": "consent",
            }
        ],
    }


def test_a_name_that_moves_the_cursor_is_told_harmlessly(clone: Repo, toolkit: Toolkit) -> None:
    changed(
        clone,
        'regions = ["eu-west-1"]\nstore',
        'profile = "\\u001b[2Jx"\nregions = ["eu-west-1"]\nstore',
    )
    assert "\x1b" not in toolkit(clone.path, "diff").out


def test_what_a_change_calls_for_needs_no_trusted_base(clone: Repo, toolkit: Toolkit) -> None:
    changed(clone, *EVIL)
    clone.git("remote", "set-head", "origin", "--delete")
    assert toolkit(clone.path, "diff").code == 2
    for arguments in (
        ["diff", "HEAD~1"],
        ["diff", "HEAD~1..HEAD"],
        ["explain", "src/a"],
        ["rules", "check"],
        ["doctor"],
    ):
        message = toolkit(clone.path, *arguments, "--json")
        assert (arguments, message.code) in ((arguments, 0), (["doctor"], 1))
        assert message.json.get("trusted") is None


@pytest.mark.parametrize(
    "arguments",
    [
        ["diff"],
        ["diff", "last"],
        ["diff", "live"],
        ["deploy", "--yes"],
        ["deploy-app", "--yes"],
        ["deploy-stack", "--yes"],
        ["rollback", "app", "--yes"],
        ["rollback", "app", "--list"],
        ["health"],
        ["smoke-test"],
        ["smoke-test", "--list"],
        ["lock", "show"],
        ["lock", "release", "dev/eu-west-1/app", "--id", "x"],
        ["record", "show"],
        ["record", "set", "app", "HEAD", "--yes"],
        ["record", "repair"],
    ],
)
def test_where_the_trusted_base_cannot_be_read_nothing_is_judged(
    clone: Repo, toolkit: Toolkit, arguments: list[str]
) -> None:
    clone.git("remote", "set-head", "origin", "--delete")
    message = toolkit(clone.path, *arguments)
    assert message.code == 2
    assert (
        "the default branch of origin, whose rules.toml decides how a deploy is judged"
        in message.err
    )
    assert (
        "hint: get it with:\n  git fetch origin '+refs/heads/*:refs/remotes/origin/*' && git remote"
        " set-head origin --auto\n" in message.err
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["deploy", "--all", "--yes"],
        ["deploy-app", "--yes"],
        ["deploy-stack", "--yes"],
        ["rollback", "app", "--yes"],
        ["smoke-test"],
        ["lock", "release", "dev/eu-west-1/app", "--id", "x"],
        ["record", "set", "app", "HEAD", "--yes"],
        ["record", "repair"],
    ],
)
def test_yes_alone_does_not_agree_to_another_place(
    clone: Repo, toolkit: Toolkit, arguments: list[str]
) -> None:
    changed(clone, *EVIL)
    message = toolkit(clone.path, *arguments)
    assert message.code == 2
    assert message.err.splitlines()[-2:] == [
        "error: environments.dev.store is not what origin/main says, and this was not confirmed",
        "hint: merge it into origin/main first, or add --allow-untrusted-rules",
    ]


@pytest.mark.parametrize("command", [["deploy-stack"], ["rollback", "app"]])
def test_where_the_calls_go_is_the_first_line_before_what_judges(
    clone: Repo, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    changed(clone, *EVIL)
    first, second, *_ = toolkit(clone.path, *command, "--yes").err.splitlines()
    assert (first, second[:5]) == ("endpoint: http://127.0.0.1:9 (not AWS)", "note:")


def test_a_new_environment_is_told_and_needs_consent(clone: Repo, toolkit: Toolkit) -> None:
    changed(clone, "[environments.prod]", QA)
    refused = toolkit(clone.path, "deploy", "--all", "--yes", "--env", "qa")
    assert refused.code == 2
    assert "note:   environments.qa is new" in refused.err.splitlines()
    assert "error: environments.qa is not what origin/main says" in refused.err
    observed = toolkit(clone.path, "diff", "--env", "qa", "--json").json
    assert (observed["status"], len(observed["plan"]["steps"])) == ("unknown", 2)


@pytest.mark.parametrize("consent", [["--allow-untrusted-rules"], []])
def test_who_has_agreed_gets_further(
    clone: Repo, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch, consent: list[str]
) -> None:
    """As far as to AWS, where nobody answers here."""
    changed(clone, "[environments.prod]", QA)
    if not consent:
        monkeypatch.setenv("TOOLKIT_TRUSTED_REF", "HEAD")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    message = toolkit(clone.path, "deploy-stack", "--yes", "--env", "qa", *consent)
    assert "environments.qa is not what" not in message.err
    assert message.code == 7


def test_a_dry_run_changes_nothing_and_needs_no_consent(clone: Repo, toolkit: Toolkit) -> None:
    changed(clone, "[environments.prod]", QA)
    message = toolkit(clone.path, "deploy-stack", "--dry-run", "--env", "qa")
    assert "environments.qa is new" in message.err
    assert message.code == 7


def test_a_gate_that_differs_is_told_and_the_trusted_one_used_without_consent(
    clone: Repo, toolkit: Toolkit
) -> None:
    changed(clone, "protected = true\n", "")
    message = toolkit(clone.path, "deploy-stack", "--yes", "--env", "prod")
    assert (
        "note:   environments.prod.protected is false here, and true at origin/main" in message.err
    )
    assert "was not confirmed" not in message.err


def test_rules_that_are_not_committed_yet_are_told_with_what_helps(
    tmp_path: Path, toolkit: Toolkit
) -> None:
    repo = Repo.make(tmp_path / "new", {"src/a": "1\n", "net.json": "{}\n"}, rules=None)
    repo.write({"rules.toml": RULES})
    message = toolkit(repo.path, "deploy", "--all", "--yes")
    assert (message.code, message.err.splitlines()[0]) == (2, "note: HEAD has no rules.toml")
    assert message.err.splitlines()[-1] == "hint: commit it first, or add --allow-untrusted-rules"
    repo.commit("rules")
    assert "rules.toml is not what" not in toolkit(repo.path, "deploy", "--all", "--yes").err


@pytest.mark.parametrize(("answer", "code"), [("n", 2), ("y", 7)])
def test_on_a_terminal_somebody_is_asked_and_no_is_the_default(
    clone: Repo, answer: str, code: int
) -> None:
    changed(clone, "[environments.prod]", QA)
    command = ["-m", "toolkit", "deploy-stack", "--yes", "--env", "qa"]
    env = {**_environment(), "TERM": "xterm"}
    child = pexpect.spawn(
        sys.executable, command, cwd=str(clone.path), env=env, encoding="utf-8", timeout=60
    )
    child.expect("environments.qa is new")
    child.expect("Let this rules.toml decide")
    child.send(f"{answer}\r")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == code


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_what_github_checks_out_of_a_pull_request_is_judged_by_its_default_branch(
    hub: Repo, clone: Repo, tmp_path: Path, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(clone, *EVIL)
    clone.git("push", "-q", "origin", "HEAD:refs/pull/1/merge")
    ci = Repo.make(tmp_path / "ci", rules=None)
    ci.git("remote", "add", "origin", f"file://{hub.path}")
    ci.git("fetch", "-q", "--depth=1", "origin", "+refs/pull/1/merge:refs/remotes/pull/1/merge")
    ci.git("checkout", "-q", "--detach", "refs/remotes/pull/1/merge")
    (tmp_path / "event.json").write_text(json.dumps({"repository": {"default_branch": "main"}}))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(tmp_path / "event.json"))
    monkeypatch.setenv("GITHUB_BASE_REF", "pull")
    refused = toolkit(ci.path, "deploy", "--yes")
    fetch = "git fetch --depth=1 origin +refs/heads/main:refs/remotes/origin/main"
    assert (refused.code, refused.err.splitlines()[-2:]) == (
        2,
        ["hint: get it with:", f"  {fetch}"],
    )
    ci.git(*fetch.split()[1:])
    assert due(clean_everywhere(ci, [])) == ["app", "net"]
