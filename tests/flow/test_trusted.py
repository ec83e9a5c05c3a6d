"""What is judged never chooses its judge: what is taken from rules.toml at the trusted base, and
what is told of what differs.
"""

import hashlib
import importlib
import pkgutil
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from tests.support.repo import Repo
from toolkit import checks as check_types
from toolkit.checks.base import FileName
from toolkit.errors import FileProblem, MissingCommit, NoTrustedBase, UsageError
from toolkit.flow import checks, trusted
from toolkit.flow.rulebook import environment_name
from toolkit.flow.trusted import load_trusted
from toolkit.model import Backwards, JudgeEffect, Rules
from toolkit.ports.git import Git

pytestmark = pytest.mark.slow("trusted base", keep=30, of="file")

RULES = """\
version = 1
project = "shop"
environment = "dev"
include = ["checks/more.toml"]

[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]
profile = "shop"
protected = true
store = "s3://good/record"
urls = ["https://{host}"]
hosts = ["{host}", "api.example.com"]
rollback = "on-failure"
vars = { host = "example.com", size = "2" }

[environments.prod]
account = "222222222222"
vars = { host = "prod.example.com", size = "9" }

[targets.app]
kind = "app"
cluster = "c"
service = "s"
repository = "r"
health = ["https://api.example.com/up"]
checks = ["up", "smoke"]
settle = "30s"
build = {}
container_test = { port = 80 }

[targets.old]
kind = "stack"
stack = "Old-{size}"
template = "old.json"

[checks.up]
http = "GET /up"
"""
MORE = """\
[checks.login]
http = "GET /login"
headers = { Authorization = "Bearer {token}" }
tags = ["smoke"]

[secrets.token]
env = "TOKEN"
"""


@pytest.fixture(autouse=True)
def _no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests may run in a CI themselves."""
    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hub(tmp_path: Path) -> Repo:
    return Repo.make(tmp_path / "hub", {"rules.toml": RULES, "checks/more.toml": MORE}, rules=None)


@pytest.fixture
def clone(hub: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    created = hub.clone(tmp_path / "clone")
    created.git("checkout", "-q", "-b", "pull")
    monkeypatch.chdir(created.path)
    return created


def loaded(repo: Repo, named: str | None = None, allowed: bool = False, folder: str = "") -> Rules:
    return load_trusted(str(repo.path / folder), named, Git.open(str(repo.path)), allowed)


def changed(repo: Repo, old: str, new: str, file: str = "rules.toml") -> Rules:
    """What a pull request makes of it."""
    path = repo.path / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    repo.commit("pull request")
    return loaded(repo)


def differences(rules: Rules) -> list[tuple[str, JudgeEffect]]:
    return [(difference.what, difference.effect) for difference in rules.trust.differences]


def test_where_nothing_differs_the_rules_are_as_they_are(clone: Repo, hub: Repo) -> None:
    rules = loaded(clone)
    assert (rules.trust.ref, rules.trust.commit, rules.trust.differences) == (
        "origin/main",
        hub.head,
        (),
    )
    assert not rules.trust.is_due("dev")
    assert rules.trust.checks is None


def test_rules_that_say_the_same_in_other_words_judge_the_same(clone: Repo) -> None:
    rules = changed(clone, "[environments.prod]", "# nothing\n\n[environments.prod]")
    rules = changed(clone, "[checks.login]", "# here\n[checks.login]", "checks/more.toml")
    assert differences(rules) == []
    assert rules.trust.checks is None


def test_line_ends_are_no_difference(clone: Repo) -> None:
    (clone.path / "rules.toml").write_bytes(RULES.replace("\n", "\r\n").encode())
    assert differences(loaded(clone)) == []


@pytest.mark.slow("sweeps", keep=4)
@pytest.mark.parametrize(
    ("field", "old", "new", "effect"),
    [
        ("store", '"s3://good/record"', '"s3://evil/record"', JudgeEffect.CONSENT),
        ("account", '"111111111111"', '"999999999999"', JudgeEffect.CONSENT),
        ("regions", '["eu-west-1"]', '["us-east-1"]', JudgeEffect.CONSENT),
        ("profile", 'profile = "shop"', 'profile = "evil"', JudgeEffect.CONSENT),
        ("protected", "protected = true", "protected = false", JudgeEffect.DUE),
        ("rollback", '"on-failure"', '"never"', JudgeEffect.DUE),
        ("backwards", "protected = true", 'protected = true\nbackwards = "allow"', JudgeEffect.DUE),
        ("urls", '["https://{host}"]', '["https://evil.example"]', JudgeEffect.DUE),
        ("hosts", '"api.example.com"]', '"evil.example"]', JudgeEffect.DUE),
        ("private", "protected = true", "protected = true\nprivate = true", JudgeEffect.DUE),
    ],
)
def test_what_an_environment_judges_by_is_that_of_the_trusted_base(
    clone: Repo, field: str, old: str, new: str, effect: JudgeEffect
) -> None:
    trusted = loaded(clone).environments["dev"]
    rules = changed(clone, old, new)
    assert differences(rules) == [(f"environments.dev.{field}", effect)]
    assert rules.environments["dev"] == trusted
    assert rules.trust.is_due("dev")
    assert rules.trust.is_refused("dev") == (effect is JudgeEffect.CONSENT)
    assert not rules.trust.is_due("prod")


def test_a_difference_names_both_values(clone: Repo) -> None:
    [difference] = changed(clone, "s3://good", "s3://evil").trust.differences
    assert (difference.here, difference.trusted) == ('"s3://evil/record"', '"s3://good/record"')


def test_backwards_is_asked_for_unless_the_environment_allows_it(clone: Repo, hub: Repo) -> None:
    assert loaded(clone).environments["dev"].backwards is Backwards.ASK
    assert loaded(hub).environments["dev"].backwards is Backwards.ASK
    hub.write({"rules.toml": RULES.replace("protected = true", 'backwards = "allow"')})
    hub.commit("allow")
    assert loaded(hub).environments["dev"].backwards is Backwards.ALLOW


@pytest.mark.parametrize(
    ("field", "old", "new"),
    [
        ("health", '["https://api.example.com/up"]', "[]"),
        ("checks", '["up", "smoke"]', "[]"),
        ("settle", 'settle = "30s"', 'settle = "0s"'),
        ("min_tasks", 'settle = "30s"', 'settle = "30s"\nmin_tasks = 0'),
        ("alarms", 'settle = "30s"', 'settle = "30s"\nalarms = ["other"]'),
        ("container_test", "container_test = { port = 80 }", "container_test = { port = 81 }"),
        ("container_test", "container_test = { port = 80 }\n", ""),
    ],
)
def test_the_gates_of_a_target_are_those_of_the_trusted_base(
    clone: Repo, field: str, old: str, new: str
) -> None:
    trusted = loaded(clone).targets["app"]
    rules = changed(clone, old, new)
    assert differences(rules) == [(f"targets.app.{field}", JudgeEffect.DUE)]
    assert rules.targets["app"] == trusted


def test_what_is_deployed_is_what_this_rules_toml_says(clone: Repo) -> None:
    rules = changed(clone, 'cluster = "c"', 'cluster = "d"')
    assert differences(rules) == []
    assert rules.targets["app"].settings.cluster == "d"


def test_a_target_that_gives_up_its_gates_by_another_name_needs_consent(clone: Repo) -> None:
    rules = changed(clone, "[targets.app]", "[targets.web]")
    assert ("targets.app", JudgeEffect.CONSENT) in differences(rules)


def test_a_target_that_gives_up_its_container_test_by_another_name_needs_consent(hub: Repo) -> None:
    app = RULES[RULES.index("[targets.app]") : RULES.index("[targets.old]")]
    gates = [line for line in app.splitlines() if line.startswith(("health", "checks", "settle"))]
    only_tested = RULES
    for line in gates:
        only_tested = only_tested.replace(f"{line}\n", "")
    hub.write({"rules.toml": only_tested})
    hub.commit("no other gate")
    hub.write({"rules.toml": only_tested.replace("[targets.app]", "[targets.web]")})
    assert ("targets.app", JudgeEffect.CONSENT) in differences(loaded(hub))


def test_a_variable_in_a_container_test_is_a_judge(hub: Repo) -> None:
    tested = RULES.replace("{ port = 80 }", '{ port = 80, path = "/{size}" }')
    hub.write({"rules.toml": tested})
    hub.commit("a variable")
    hub.write({"rules.toml": tested.replace('size = "2"', 'size = "3"')})
    assert differences(loaded(hub)) == [("environments.dev.vars.size", JudgeEffect.CONSENT)]


def test_a_target_that_is_only_gone_is_no_difference(clone: Repo) -> None:
    """As on every branch that is older than the target."""
    start = RULES.index("[targets.app]")
    rules = changed(clone, RULES[start : RULES.index("[targets.old]")], "")
    assert differences(rules) == []


def test_a_target_that_gives_up_its_gates_by_another_kind_needs_consent(clone: Repo) -> None:
    start, end = RULES.index("[targets.app]"), RULES.index("[targets.old]")
    manual = '[targets.app]\nkind = "manual"\ninstructions = "by hand"\n\n'
    rules = changed(clone, RULES[start:end], manual)
    assert differences(rules) == [("targets.app.kind", JudgeEffect.CONSENT)]


def test_a_new_target_has_its_own_gates(clone: Repo) -> None:
    web = '[targets.web]\nkind = "app"\ncluster = "c"\nservice = "w"\nrepository = "w"\n'
    health = 'health = ["https://w"]\n\n'
    rules = changed(clone, "[checks.up]", f"{web}{health}[checks.up]")
    assert differences(rules) == []
    assert rules.targets["web"].settings.health == ("https://w",)


def test_a_changed_check_is_not_used_and_makes_all_due(clone: Repo) -> None:
    rules = changed(clone, "GET /up", "GET /")
    assert differences(rules) == [("checks.up", JudgeEffect.DUE)]
    assert checks.load_checks(rules).checks["up"].asks == "GET /up"
    assert rules.trust.is_due("dev")
    assert rules.trust.is_due("prod")


def test_a_changed_check_of_an_included_file_is_not_used(clone: Repo) -> None:
    rules = changed(clone, "GET /login", "GET /logout", "checks/more.toml")
    assert differences(rules) == [("checks.login", JudgeEffect.DUE)]
    assert checks.load_checks(rules).checks["login"].asks == "GET /login"


def test_a_check_that_is_gone_is_asked_all_the_same(clone: Repo) -> None:
    rules = changed(clone, 'include = ["checks/more.toml"]\n', "")
    assert differences(rules)[0] == ("checks.login", JudgeEffect.DUE)
    assert ("secrets.token", JudgeEffect.DUE) in differences(rules)
    assert set(checks.load_checks(rules).checks) == {"up", "login"}


def test_where_a_secret_comes_from_is_what_the_trusted_base_says(clone: Repo) -> None:
    rules = changed(clone, 'env = "TOKEN"', 'env = "AWS_SECRET_ACCESS_KEY"', "checks/more.toml")
    assert differences(rules) == [("secrets.token", JudgeEffect.DUE)]
    assert checks.load_checks(rules).secrets["token"].env == "TOKEN"


def test_a_new_check_is_told_and_not_asked(clone: Repo) -> None:
    """It could hand a secret to anybody."""
    evil = '[checks.evil]\nhttp = "GET https://evil.example/{token}"\ntags = ["smoke"]\n\n'
    rules = changed(clone, "[secrets.token]", f"{evil}[secrets.token]", "checks/more.toml")
    assert differences(rules) == [("checks.evil", JudgeEffect.TOLD)]
    assert set(checks.load_checks(rules).checks) == {"up", "login"}
    assert not rules.trust.is_due("dev")


def test_a_new_included_file_is_not_used(clone: Repo) -> None:
    clone.write({"checks/evil.toml": '[checks.evil]\nhttp = "GET /"\n'})
    rules = changed(clone, '["checks/more.toml"]', '["checks/more.toml", "checks/evil.toml"]')
    assert differences(rules) == [("checks.evil", JudgeEffect.TOLD)]
    assert "evil" not in checks.load_checks(rules).checks


def test_an_included_file_that_is_gone_or_wrong_here_changes_no_judge(clone: Repo) -> None:
    (clone.path / "checks/more.toml").unlink()
    assert set(checks.load_checks(loaded(clone)).checks) == {"up", "login"}
    (clone.path / "checks/more.toml").write_text("[checks.login\n")
    rules = loaded(clone)
    assert set(checks.load_checks(rules).checks) == {"up", "login"}
    assert rules.trust.is_due("dev")


def test_a_new_targets_own_new_check_needs_consent(clone: Repo) -> None:
    """Else it would go live without it."""
    new = '[checks.mine]\nhttp = "GET /mine"\n\n'
    web = (
        '[targets.web]\nkind = "app"\ncluster = "c"\nservice = "w"\nrepository = "w"\nchecks ='
        ' ["mine", "up"]\n\n'
    )
    rules = changed(clone, "[checks.up]", f"{new}{web}[checks.up]")
    assert differences(rules) == [
        ("targets.web.checks", JudgeEffect.CONSENT),
        ("checks.mine", JudgeEffect.TOLD),
    ]
    assert rules.targets["web"].settings.checks == ("up",)


def test_a_variable_in_an_address_that_judges_is_a_judge(clone: Repo) -> None:
    rules = changed(clone, 'host = "example.com"', 'host = "evil.example"')
    assert differences(rules) == [("environments.dev.vars.host", JudgeEffect.CONSENT)]
    assert rules.environments["dev"].urls == ("https://example.com",)
    assert rules.environments["dev"].hosts == ("example.com", "api.example.com")


def test_a_variable_that_only_says_what_is_deployed_is_none(clone: Repo) -> None:
    rules = changed(clone, 'size = "2"', 'size = "3"')
    assert differences(rules) == []
    assert rules.environments["dev"].vars["size"] == "3"


def test_a_new_environment_needs_consent_and_is_as_it_is_here(clone: Repo) -> None:
    new = '[environments.qa]\naccount = "333333333333"\nstore = "s3://qa-record"\n'
    rules = changed(
        clone,
        "[environments.prod]",
        f"{new}vars = {{ size = '1', host = 'h' }}\n\n[environments.prod]",
    )
    assert differences(rules) == [("environments.qa", JudgeEffect.CONSENT)]
    assert rules.environments["qa"].store == "s3://qa-record"
    assert (rules.trust.is_refused("qa"), rules.trust.is_due("qa")) == (True, True)
    assert (rules.trust.is_refused("dev"), rules.trust.is_due("dev")) == (False, False)


def test_the_default_environment_is_that_of_the_trusted_base(clone: Repo) -> None:
    rules = changed(clone, 'environment = "dev"', 'environment = "prod"')
    assert differences(rules) == [("environment", JudgeEffect.TOLD)]
    assert environment_name(None, rules) == "dev"


def test_a_default_environment_that_is_gone_is_not_replaced_by_another(clone: Repo) -> None:
    """Least of all by none, which has no account and no protection."""
    text = (clone.path / "rules.toml").read_text().replace('environment = "dev"\n', "")
    start = text.index("[environments.dev]")
    bare = text[:start] + text[text.index("[targets.app]") :]
    (clone.path / "rules.toml").write_text(bare.replace("Old-{size}", "Old"))
    with pytest.raises(
        UsageError, match="the default environment is 'dev' at origin/main"
    ) as raised:
        environment_name(None, loaded(clone))
    assert raised.value.exit == 2


def test_a_default_environment_where_none_was_meant_needs_consent(clone: Repo, hub: Repo) -> None:
    hub.write({"rules.toml": RULES.replace('environment = "dev"\n', "")})
    hub.commit("none")
    clone.git("fetch", "-q")
    assert differences(loaded(clone)) == [("environment", JudgeEffect.CONSENT)]


def test_another_project_would_be_another_record(clone: Repo) -> None:
    assert differences(changed(clone, 'project = "shop"', 'project = "other"')) == [
        ("project", JudgeEffect.DUE)
    ]


def test_rules_that_the_trusted_base_has_not_need_consent(hub: Repo, tmp_path: Path) -> None:
    hub.git("rm", "-q", "-r", "--cached", ".")
    hub.git("commit", "-q", "-m", "none")
    clone = hub.clone(tmp_path / "clone")
    clone.write({"rules.toml": RULES, "checks/more.toml": MORE})
    rules = loaded(clone)
    assert rules.trust.is_refused("dev")
    assert rules.trust.is_refused(None)
    assert checks.load_checks(rules).checks == {}


def test_rules_that_are_not_committed_yet_need_consent_where_nothing_else_is_trusted(
    tmp_path: Path,
) -> None:
    repo = Repo.make(tmp_path / "new", rules=None)
    repo.write({"rules.toml": RULES, "checks/more.toml": MORE})
    assert loaded(repo).trust.is_refused("dev")
    repo.commit()
    assert loaded(repo).trust.differences == ()


def test_rules_that_have_moved_are_compared_with_where_they_were(clone: Repo) -> None:
    (clone.path / ".toolkit").mkdir()
    text = RULES.replace("s3://good", "s3://evil").replace("checks/more.toml", "more.toml")
    clone.git("rm", "-q", "rules.toml")
    clone.write({".toolkit/rules.toml": text, ".toolkit/more.toml": MORE})
    rules = loaded(clone)
    assert differences(rules) == [("environments.dev.store", JudgeEffect.CONSENT)]
    assert rules.environments["dev"].store == "s3://good/record"


def test_rules_nearer_to_where_somebody_works_are_compared_with_those_above(clone: Repo) -> None:
    clone.write(
        {
            "backend/rules.toml": RULES.replace("s3://good", "s3://evil"),
            "backend/checks/more.toml": MORE,
        }
    )
    rules = loaded(clone, folder="backend")
    assert rules.environments["dev"].store == "s3://good/record"


def test_a_file_that_somebody_names_is_compared_with_that_file(clone: Repo, hub: Repo) -> None:
    clone.write({"other.toml": RULES})
    assert loaded(clone, "other.toml").trust.is_refused("dev")
    hub.commit("other", {"other.toml": RULES})
    clone.git("fetch", "-q")
    assert loaded(clone, "other.toml").trust.differences == ()


def test_a_file_from_outside_that_somebody_names_is_trusted(clone: Repo, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/rules.toml").write_text(
        RULES.replace('include = ["checks/more.toml"]', "").replace(', "smoke"', "")
    )
    assert loaded(clone, str(tmp_path / "own/rules.toml")).trust.ref == ""


def test_a_link_that_leads_out_of_the_repository_is_not(clone: Repo, tmp_path: Path) -> None:
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil/rules.toml").write_text(RULES.replace("s3://good", "s3://evil"))
    (tmp_path / "evil/checks").mkdir()
    (tmp_path / "evil/checks/more.toml").write_text(MORE)
    (clone.path / "rules.toml").unlink()
    (clone.path / ".toolkit").symlink_to(tmp_path / "evil")
    with pytest.raises(FileProblem, match="outside of the repository"):
        loaded(clone)
    (clone.path / ".toolkit").unlink()
    (clone.path / "rules.toml").symlink_to(tmp_path / "evil/rules.toml")
    with pytest.raises(FileProblem, match="outside of the repository"):
        loaded(clone)


def test_a_link_inside_of_the_repository_is_followed_there_too(hub: Repo, tmp_path: Path) -> None:
    hub.git("mv", "rules.toml", "real.toml")
    (hub.path / "rules.toml").symlink_to("real.toml")
    hub.commit("link")
    clone = hub.clone(tmp_path / "clone")
    assert (
        differences(changed(clone, "s3://good", "s3://evil", "real.toml"))[0][0]
        == "environments.dev.store"
    )


def test_rules_there_that_cannot_be_used_are_no_judge(clone: Repo, hub: Repo) -> None:
    hub.commit("broken", {"rules.toml": "version = 1\nx = 2\n"})
    clone.git("fetch", "-q")
    with pytest.raises(NoTrustedBase, match=r"rules\.toml at origin/main:2: x: ") as raised:
        loaded(clone)
    assert raised.value.exit == 2


def test_an_included_file_that_is_not_there_is_no_judge(clone: Repo, hub: Repo) -> None:
    hub.git("rm", "-q", "checks/more.toml")
    hub.commit("gone")
    clone.git("fetch", "-q")
    with pytest.raises(NoTrustedBase, match=r"origin/main has no checks/more\.toml"):
        loaded(clone)


def test_an_included_file_that_is_wrong_there_is_no_judge(clone: Repo, hub: Repo) -> None:
    hub.commit("wrong", {"checks/more.toml": "[checks.login]\nhttp = 3\n"})
    clone.git("fetch", "-q")
    with pytest.raises(NoTrustedBase, match=r"checks/more.toml at origin/main:2"):
        loaded(clone)


def test_a_partial_clone_without_the_file_is_told_how_to_get_it(hub: Repo, tmp_path: Path) -> None:
    hub.git("config", "uploadpack.allowFilter", "true")
    hub.commit("next", {"rules.toml": RULES.replace("s3://good", "s3://next")})
    hub.git("branch", "old", "HEAD~1")
    clone = hub.clone(tmp_path / "clone", "--filter=blob:none", "--branch=old")
    with pytest.raises(MissingCommit, match="object"):
        loaded(clone)


def test_somebody_may_let_this_rules_toml_decide(clone: Repo) -> None:
    changed(clone, "s3://good", "s3://mine")
    changed(clone, "GET /up", "GET /")
    rules = loaded(clone, allowed=True)
    assert rules.environments["dev"].store == "s3://mine/record"
    assert checks.load_checks(rules).checks["up"].asks == "GET /"
    assert len(rules.trust.differences) == 2  # and is told what differs
    assert (rules.trust.is_due("dev"), rules.trust.is_refused("dev")) == (False, False)


def test_who_lets_it_decide_needs_no_trusted_base(hub: Repo, tmp_path: Path) -> None:
    clone = hub.clone(tmp_path / "clone")
    clone.git("remote", "set-head", "origin", "--delete")
    with pytest.raises(NoTrustedBase):
        loaded(clone)
    assert loaded(clone, allowed=True).environments["dev"].store == "s3://good/record"


def test_somebody_may_name_another_trusted_base(
    clone: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(clone, "s3://good", "s3://mine")
    monkeypatch.setenv("TOOLKIT_TRUSTED_REF", "HEAD")
    rules = loaded(clone)
    assert (rules.trust.ref, rules.trust.differences) == ("HEAD", ())
    assert rules.environments["dev"].store == "s3://mine/record"


def test_what_is_not_committed_is_not_trusted_where_head_is(hub: Repo) -> None:
    (hub.path / "rules.toml").write_text(RULES.replace("s3://good", "s3://mine"))
    assert differences(loaded(hub)) == [("environments.dev.store", JudgeEffect.CONSENT)]


def test_the_gravest_difference_is_told_first(clone: Repo) -> None:
    changed(clone, 'environment = "dev"', 'environment = "prod"')
    changed(clone, "protected = true", "protected = false")
    rules = changed(clone, '"111111111111"', '"999999999999"')
    effects = [effect for _, effect in differences(rules)]
    assert effects == [JudgeEffect.CONSENT, JudgeEffect.DUE, JudgeEffect.TOLD]


def test_outside_of_a_repository_rules_toml_is_what_somebody_has_made(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text("version = 1\n[environments.dev]\nstore = 's3://mine'\n")
    rules = load_trusted(str(tmp_path), None, None)
    assert rules.trust == replace(rules.trust, ref="", differences=())


def test_a_missing_file_here_is_told_as_that(tmp_path: Path) -> None:
    with pytest.raises(FileProblem):
        load_trusted(str(tmp_path), str(tmp_path / "none.toml"), None)


FILED = """
[checks.filed]
http = "POST /filed"
body_file = "checks/body.json"
rows = "checks/rows.csv"
expect.schema = "checks/schema.json"
tags = ["smoke"]
"""
HELD = {
    "checks/body.json": '{"a": 1}\n',
    "checks/rows.csv": "x\n1\n2\n",
    "checks/schema.json": '{"type": "object"}\n',
}


@pytest.fixture
def filed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    """A clone whose checks have files."""
    texts = {"rules.toml": RULES + FILED, "checks/more.toml": MORE, **HELD}
    hub = Repo.make(tmp_path / "filed-hub", texts, rules=None)
    created = hub.clone(tmp_path / "filed")
    created.git("checkout", "-q", "-b", "pull")
    monkeypatch.chdir(created.path)
    return created


def test_files_of_checks_that_are_the_same_are_no_difference(filed: Repo) -> None:
    rules = loaded(filed)
    assert (differences(rules), rules.trust.checks) == ([], None)
    check = checks.load_checks(rules).checks["filed"]
    assert check.contents["checks/body.json"] == b'{"a": 1}\n'
    assert check.rows == ({"x": "1"}, {"x": "2"})
    for name, text in HELD.items():
        (filed.path / name).write_bytes(text.replace("\n", "\r\n").encode())
    assert differences(loaded(filed)) == []


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("checks/body.json", '{"a": 2}'),
        ("checks/rows.csv", "x\n1\n"),
        ("checks/schema.json", "{}"),
    ],
)
def test_a_changed_file_of_a_check_is_not_used_and_makes_all_due(
    filed: Repo, file: str, text: str
) -> None:
    (filed.path / file).write_text(text)
    for _ in range(2):  # not committed, and committed
        rules = loaded(filed)
        assert differences(rules) == [("checks.filed", JudgeEffect.DUE)]
        check = checks.load_checks(rules).checks["filed"]
        assert check.contents == {name: held.encode() for name, held in HELD.items()}
        assert check.rows == ({"x": "1"}, {"x": "2"})
        assert rules.trust.is_due("dev")
        filed.commit("pull request")


@pytest.mark.parametrize("file", HELD)
def test_a_file_of_a_check_that_is_gone_or_a_link_here_changes_no_judge(
    filed: Repo, file: str, tmp_path: Path
) -> None:
    (filed.path / file).unlink()
    assert checks.load_checks(loaded(filed)).checks["filed"].contents[file] == HELD[file].encode()
    (tmp_path / "secret").write_text('{"mine": 1}')
    (filed.path / file).symlink_to(tmp_path / "secret")
    rules = loaded(filed)
    assert checks.load_checks(rules).checks["filed"].contents[file] == HELD[file].encode()
    assert rules.trust.is_due("dev")


def test_a_file_of_a_check_that_the_trusted_base_lacks_is_no_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {"rules.toml": RULES + FILED, "checks/more.toml": MORE, **HELD}
    del texts["checks/body.json"]
    hub = Repo.make(tmp_path / "lacking", texts, rules=None)
    clone = hub.clone(tmp_path / "lacking-clone")
    monkeypatch.chdir(clone.path)
    (clone.path / "checks/body.json").write_text("{}")
    with pytest.raises(NoTrustedBase, match=r"has no checks/body\.json, which a check needs"):
        loaded(clone)


def test_a_file_in_git_lfs_is_held_against_its_pointer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b"large"
    pointer = (
        "version https://git-lfs.github.com/spec/v1\n"
        f"oid sha256:{hashlib.sha256(body).hexdigest()}\nsize {len(body)}\n"
    )
    texts = {"rules.toml": RULES + FILED, "checks/more.toml": MORE, **HELD}
    hub = Repo.make(tmp_path / "lfs", texts | {"checks/body.json": pointer}, rules=None)
    clone = hub.clone(tmp_path / "lfs-clone")
    monkeypatch.chdir(clone.path)
    (clone.path / "checks/body.json").write_bytes(body)
    assert differences(loaded(clone)) == []
    changed(clone, "GET /up", "GET /")
    assert checks.load_checks(loaded(clone)).checks["filed"].contents["checks/body.json"] == body
    (clone.path / "checks/body.json").write_bytes(b"other")
    with pytest.raises(NoTrustedBase, match="is in Git LFS, and differs from"):
        loaded(clone)


def _names_of_files() -> Iterator[str]:
    """The settings of all check types that name a file."""
    [mark] = FileName.__metadata__  # type: ignore[attr-defined]

    def names_file(type_: Any) -> bool:
        inside = map(names_file, typing.get_args(type_))
        return mark in getattr(type_, "__metadata__", ()) or any(inside)

    for module in pkgutil.iter_modules(check_types.__path__, "toolkit.checks."):
        for struct in vars(importlib.import_module(module.name)).values():
            if not (isinstance(struct, type) and issubclass(struct, msgspec.Struct)):
                continue
            if struct.__struct_config__.forbid_unknown_fields:  # as what people write is read
                hints = typing.get_type_hints(struct, include_extras=True)
                for field in msgspec.structs.fields(struct):
                    if names_file(hints[field.name]):
                        yield field.encode_name


def test_each_setting_that_names_a_file_has_the_trusted_base_compared() -> None:
    names = {*_names_of_files(), "rows"}
    assert names >= {"file", "body_file", "schema"}
    for name in names:
        assert re.search(trusted._NAMES_FILE, f'{name} = "x"'.encode()), name
