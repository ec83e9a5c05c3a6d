"""`[checks]` and `[secrets]`: what they may say, and what is told of what they may not."""

import os
from pathlib import Path

import pytest

from toolkit.errors import RulesError
from toolkit.flow import checks as flow
from toolkit.flow.rulebook import read_rules
from toolkit.model import Checks, Secret

HEAD = (
    'version = 1\n[environments.dev]\nvars = { host = "api.example.com"'
    ' }\n[environments.prod]\nvars = { host = "b.example.com" }\n'
)
UP = '[checks.up]\nhttp = "GET /health"\n'


def read(text: str, folder: Path, **files: str) -> Checks:
    """The checks of a rules.toml and the files beside it."""
    for name, content in files.items():
        (folder / f"{name}.toml").write_text(content)
    path = folder / "rules.toml"
    path.write_text(HEAD + text)
    return flow.load_checks(read_rules(path.read_bytes(), str(path)))


def problem(text: str, folder: Path, **files: str) -> str:
    with pytest.raises(RulesError) as caught:
        read(text, folder, **files)
    return str(caught.value).replace(f"{folder}/", "")


def test_a_check_has_what_the_file_says(tmp_path: Path) -> None:
    text = """
[checks.login]
http = "POST https://{host}/login"
tags = ["auth"]
json = { user = "demo", password = "{password}" }
timeout = "3s"
retry = "30s"
expect = { status = 201, json = { "$.token" = { type = "string" } } }
capture = { token = "$.token" }
[secrets.password]
secret = "demo{host}"
key = "password"
"""
    checks = read(text, tmp_path)
    check = checks.checks["login"]
    assert (check.check_type, check.asks, check.tags, check.timeout_s, check.retry_s) == (
        "http",
        "POST https://{host}/login",
        ("auth",),
        3.0,
        30.0,
    )
    assert (check.captures, set(check.uses), check.based) == (
        ("token",),
        {"host", "password"},
        False,
    )
    assert checks.secrets == {
        "password": Secret(
            "password", secret="demo{host}", key="password", uses=frozenset({"host"})
        )
    }


@pytest.mark.parametrize(
    ("text", "sort"),
    [
        ('http = "GET /"', "http"),
        ('websocket = "/live"', "websocket"),
        ('tcp = "{host}:5432"', "tcp"),
        ('tls = "{host}:443"', "tls"),
        ('dns = "{host}"', "dns"),
        ('aws = "table:t"', "aws"),
        ('command = ["pytest", "-q"]', "command"),
    ],
)
def test_its_key_says_what_sort_a_check_is(text: str, sort: str, tmp_path: Path) -> None:
    assert read(f"[checks.one]\n{text}\n", tmp_path).checks["one"].check_type == sort


def test_a_command_may_take_longer_than_a_request(tmp_path: Path) -> None:
    checks = read(f'{UP}[checks.suite]\ncommand = ["x"]\n', tmp_path).checks
    assert (checks["up"].timeout_s, checks["suite"].timeout_s) == (10.0, 300.0)


def test_files_that_are_included_add_to_it(tmp_path: Path) -> None:
    (tmp_path / "smoke").mkdir()
    (tmp_path / "smoke" / "more.toml").write_text('[checks.more]\nhttp = "GET /{token}"\n')
    checks = read('[checks.login]\nhttp = "GET /"\ncapture = { token = "body" }\n', tmp_path)
    assert checks.checks.keys() == {"login"}
    (tmp_path / "rules.toml").write_text(
        f'include = ["smoke/more.toml"]\n{(tmp_path / "rules.toml").read_text()}'
    )
    both = flow.load_checks(
        read_rules((tmp_path / "rules.toml").read_bytes(), str(tmp_path / "rules.toml"))
    )
    assert list(both.checks) == ["login", "more"]
    assert str(both.checks["more"].where).endswith("smoke/more.toml:1")


def test_a_rules_toml_without_checks_has_none(tmp_path: Path) -> None:
    assert read("", tmp_path) == Checks()


WRONG = {
    "an unknown key": (
        UP + "expcet = {}\n",
        "rules.toml:8: checks.up.expcet: unknown key; did you mean 'expect'?",
    ),
    "an unknown condition": (
        UP + "[checks.up.expect]\nstaus = 200\n",
        "checks.up.expect.staus: unknown key; did you mean 'status'?",
    ),
    "a common key of the wrong type": (
        UP + "tags = 5\n",
        "rules.toml:8: checks.up.tags: expected an array, got a number",
    ),
    "nothing asked": (
        '[checks.up]\nget = "/"\n',
        "checks.up: it asks nothing; give it one of http, websocket, tcp",
    ),
    "a misspelled sort": (
        '[checks.up]\nhtp = "GET /"\n',
        "checks.up: it asks nothing; did you mean 'http'?",
    ),
    "two things asked": (
        UP + 'tcp = "a:1"\n',
        "checks.up: a check asks one thing; it has `http` and `tcp`",
    ),
    "no method": (
        '[checks.up]\nhttp = "/health"\n',
        "checks.up.http: expected a method and an address",
    ),
    "another scheme": (
        '[checks.up]\nhttp = "GET file:///etc/passwd"\n',
        "checks.up.http: expected a method and an address",
    ),
    "a wrong time": (
        UP + 'timeout = "soon"\n',
        'checks.up.timeout: expected a duration such as "2m30s"',
    ),
    "an unknown check": (
        UP + 'needs = ["dwon"]\n[checks.down]\nhttp = "GET /"\n',
        "checks.up: unknown check 'dwon'; did you mean 'down'?",
    ),
    "an unknown environment": (
        UP + 'environments = ["pord"]\n',
        "checks.up: unknown environment 'pord'; did you mean 'prod'?",
    ),
    "an unknown name": (
        '[checks.up]\nhttp = "GET /{hots}"\n',
        "`{hots}` is not a variable of environment 'dev', secret or captured value",
    ),
    "braces in a path": (
        '[checks.up]\nhttp = "GET /"\nbody = "{x}"\n',
        "to mean the braces themselves, write each of them twice",
    ),
    "a value captured twice": (
        (
            f'{UP}capture = {{ a = "body" }}\n[checks.two]\nhttp = "GET /"\ncapture = {{ a = "body"'
            " }\n"
        ),
        "checks.two: it captures `{a}`, as 'up' does already",
    ),
    "a captured variable": (
        UP + 'capture = { host = "body" }\n',
        "it captures `{host}`, which is a variable or a secret already",
    ),
    "a captured built-in": (
        UP + 'capture = { day = "body" }\n',
        "it captures `{day}`, which is a variable or a secret already",
    ),
    "a circle": (
        (
            '[checks.a]\nhttp = "GET /{y}"\ncapture = { x = "body" }\n[checks.b]\nhttp = "GET'
            ' /{x}"\ncapture = { y = "body" }\n'
        ),
        "the checks wait for each other in a cycle",
    ),
    "no place in an answer": (
        UP + 'capture = { a = "token" }\n',
        "capture.a: 'token' is not a place in an answer",
    ),
    "rows and a captured value": (
        UP + 'rows = [{ a = 1 }]\ncapture = { b = "body" }\n',
        "checks.up.capture: `capture` is for a check without `rows`",
    ),
    "rows and a load": (
        UP + "rows = [{ a = 1 }]\nload = {}\n",
        "checks.up.load: `load` is for a check without `rows`",
    ),
    "no rows": (UP + "rows = []\n", "checks.up.rows: there are no rows"),
    "a row without a name": (
        '[checks.up]\nhttp = "GET /{a}"\nrows = [{ a = 1 }, { b = 2 }]\n',
        "checks.up: row 2 of its data has no `a`",
    ),
    "rows without a name": (
        '[checks.up]\nhttp = "GET /{a}"\nrows = [{ b = 2 }]\n',
        "`{a}` is not a variable of environment 'dev', secret or captured value",
    ),
    "rows with a variable": (
        UP + "rows = [{ host = 1 }]\n",
        "checks.up: its rows have `host`, which stands for something already",
    ),
    "rows with what another check captures": (
        UP + 'rows = [{ a = 1 }]\n[checks.b]\nhttp = "GET /"\ncapture = { a = "body" }\n',
        "checks.up: its rows have `a`, which stands for something already",
    ),
    "rows of a file elsewhere": (
        UP + 'rows = "../a.csv"\n',
        "expected a `.csv` or `.json` file below the folder of rules.toml",
    ),
    "a file that is not there": (
        UP + 'body_file = "gone.json"\n',
        "rules.toml:6: checks.up: gone.json: No such file or directory",
    ),
    "a file outside of the folder": (
        UP + 'body_file = "../gone.json"\n',
        "checks.up.body_file: expected",
    ),
    "a limit of the body": (UP + 'body_limit = "5"\n', "`body_limit` is '5'; expected a size"),
    "a large limit of the body": (UP + 'body_limit = "11MB"\n', "it can be up to 10MB"),
    "two ways to log in": (
        UP + 'basic = { user = "a", password = "b" }\nheaders = { authorization = "x" }\n',
        "`basic` sets Authorization, and so does `headers`",
    ),
    "a wrong status": (UP + 'expect.status = "2x"\n', "'2x' is not a status"),
    "a wrong regular expression": (
        UP + 'expect.body = { matches = "(" }\n',
        "is not a regular expression of RE2",
    ),
    "a captured regular expression": (
        UP + 'capture = { a = "regex:(" }\n',
        "capture.a: '(' is not a regular expression of RE2",
    ),
    "the type of a multipart form": (
        UP + 'multipart = { a = "b" }\nheaders = { content-type = "x" }\n',
        "`multipart` sets Content-Type",
    ),
    "two contents": (
        UP + 'body = "x"\nform = { a = "b" }\n',
        "only one of `json`, `form`, `multipart`, `body` and `body_file` can be sent",
    ),
    "days after no day": (
        '[checks.up]\nhttp = "GET /{host+1}"\n',
        "days can be added to `{today}` and `{day}`, not to `{host}`",
    ),
    "a secret of nowhere": ("[secrets.p]\n", "secrets.p: needs one of `env`, `ssm` and `secret`"),
    "a secret of two places": (
        '[secrets.p]\nenv = "P"\nssm = "/p"\n',
        "secrets.p: needs one of `env`, `ssm` and `secret`",
    ),
    "a key of a variable": (
        '[secrets.p]\nenv = "P"\nkey = "x"\n',
        "secrets.p.key: `key` is for `secret`",
    ),
    "a secret that cannot be written": (
        '[secrets.p-w]\nenv = "P"\n',
        "secrets.p-w: the name of a secret is made of letters, digits",
    ),
    "a value for a secret": ('[secrets.p]\nvalue = "hunter2"\n', "secrets.p.value: unknown key"),
    "a load on a port": (
        '[checks.up]\ntcp = "a:1"\nload = {}\n',
        "checks.up.load: `load` is for `http`",
    ),
    "a load without end": (
        UP + 'load = { time = "2h" }\n',
        "checks.up.load: a load lasts from 1s to 10m",
    ),
    "a file above": ('include = ["../x.toml"]\n', "include"),
    "an unknown check of a target": (
        '[targets.app]\nkind = "app"\ncluster = "c"\nservice = "s"\nrepository = "r"\nchecks ='
        ' ["pu"]\n' + UP,
        "rules.toml:11: targets.app.checks: 'pu' is neither a check nor a tag; there are up",
    ),
    "a base address with an unknown name": (
        '[environments.x]\nurls = ["{nope}"]\n',
        "environments.x.urls: `{nope}` is not a variable; add",
    ),
    "a secret that every check knows": (
        '[secrets.today]\nenv = "P"\n',
        "secrets.today: every check knows `{today}` already",
    ),
    "a host with an unknown name": (
        '[environments.x]\nhosts = ["{nope}.example.com"]\n',
        "environments.x.hosts: `{nope}` is not a variable",
    ),
    "a base address with days": (
        '[environments.x]\nvars = { h = "a" }\nurls = ["https://{h+1}"]\n',
        "environments.x.urls: `{h+1}` is not a variable",
    ),
    "a secret of an unknown name": (
        '[secrets.p]\nssm = "/{hots}/p"\n[checks.up]\nhttp = "GET /{p}"\n',
        (
            "checks.up: the name of secret `{p}` holds `{hots}`, which is not a variable of"
            " environment 'dev'; did you mean 'host'?"
        ),
    ),
    "a secret of days": (
        '[secrets.p]\nenv = "P{host+1}"\n',
        "secrets.p: days cannot be added to `{host}`",
    ),
    "a file with a NUL": ('include = ["a\\u0000.toml"]\n', "include[0]"),
    "a wrong rollback": ('[environments.x]\nrollback = "always"\n', "environments.x.rollback"),
    "a host with a path": (
        '[environments.x]\nhosts = ["a.example.com/x"]\n',
        "environments.x.hosts[0]: expected a host's name",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told_with_its_line_and_what_was_expected(
    what: str, tmp_path: Path
) -> None:
    text, words = WRONG[what]
    top, rest = (text, "") if text.startswith("include") else ("", text)
    (tmp_path / "rules.toml").write_text(top + HEAD + rest)
    with pytest.raises(RulesError) as caught:
        flow.load_checks(
            read_rules((tmp_path / "rules.toml").read_bytes(), str(tmp_path / "rules.toml"))
        )
    assert words in str(caught.value)


def test_what_is_wrong_in_an_included_file_is_told_with_that_file(tmp_path: Path) -> None:
    (tmp_path / "smoke.toml").write_text('[checks.a]\nhttp = "GET /"\nexpect = 1\n[targets]\n')
    (tmp_path / "rules.toml").write_text('include = ["smoke.toml"]\n' + HEAD)
    with pytest.raises(RulesError, match=r"smoke\.toml:4: targets: unknown key"):
        flow.load_checks(
            read_rules((tmp_path / "rules.toml").read_bytes(), str(tmp_path / "rules.toml"))
        )


def test_a_check_in_two_files_is_told_with_both(tmp_path: Path) -> None:
    (tmp_path / "smoke.toml").write_text(UP)
    (tmp_path / "rules.toml").write_text('include = ["smoke.toml"]\n' + HEAD + UP)
    with pytest.raises(
        RulesError, match=r"smoke\.toml:1: checks\.up: it is in .*rules\.toml:7, too"
    ):
        flow.load_checks(
            read_rules((tmp_path / "rules.toml").read_bytes(), str(tmp_path / "rules.toml"))
        )


def test_an_included_file_that_is_a_link_out_is_not_read(tmp_path: Path) -> None:
    outside = tmp_path / "outside.toml"
    outside.write_text(UP)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "smoke.toml").symlink_to(outside)
    (inside / "rules.toml").write_text('include = ["smoke.toml"]\n' + HEAD)
    from toolkit.errors import FileProblem

    with pytest.raises(FileProblem, match="a link leads out of the folder"):
        flow.load_checks(
            read_rules((inside / "rules.toml").read_bytes(), str(inside / "rules.toml"))
        )


def test_what_looks_like_a_credential_is_refused_in_an_included_file_too(tmp_path: Path) -> None:
    key = "AKIA" + "A" * 16
    (tmp_path / "smoke.toml").write_text(f'[checks.a]\nhttp = "GET /"\nbody = "{key}"\n')
    (tmp_path / "rules.toml").write_text('include = ["smoke.toml"]\n' + HEAD)
    with pytest.raises(RulesError, match="this looks like a credential") as caught:
        flow.load_checks(
            read_rules((tmp_path / "rules.toml").read_bytes(), str(tmp_path / "rules.toml"))
        )
    assert key not in str(caught.value)


def test_rows_and_files_are_part_of_a_check(tmp_path: Path) -> None:
    (tmp_path / "users.json").write_text('[{"user": "ada", "n": 1}, {"user": "bob", "n": 2}]')
    (tmp_path / "body.bin").write_bytes(b"\x00\xff")
    text = UP.replace("/health", "/{user}") + 'rows = "users.json"\nbody_file = "body.bin"\n'
    check = read(text, tmp_path).checks["up"]
    assert check.rows == ({"user": "ada", "n": 1}, {"user": "bob", "n": 2})
    assert check.contents["body.bin"] == b"\x00\xff"
    assert check.files == ("body.bin", "users.json")


def test_a_linked_or_large_file_of_a_check_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("{}")
    (tmp_path / "body.json").symlink_to("real.json")
    text = UP + 'body_file = "body.json"\n'
    assert "body.json: it is a link, or lies behind one" in problem(text, tmp_path)
    (tmp_path / "body.json").unlink()
    (tmp_path / "body.json").symlink_to("/etc/hostname")
    assert "body.json: it is outside of the repository" in problem(text, tmp_path)
    (tmp_path / "body.json").unlink()
    (tmp_path / "body.json").write_bytes(bytes((1 << 20) + 1))
    assert "body.json: it has more than 1,048,576 bytes" in problem(text, tmp_path)


def test_a_fifo_as_a_file_of_a_check_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "body.json")
    assert "not a regular file" in problem(UP + 'body_file = "body.json"\n', tmp_path)


def test_a_wrong_schema_of_a_check_is_told(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"$ref": "https://example.com/s.json"}')
    text = UP + 'expect.schema = "s.json"\n'
    assert "checks.up: s.json is not a schema that can be used" in problem(text, tmp_path)


def test_a_value_that_is_not_captured_where_it_is_used_is_told_by_an_inspection(
    tmp_path: Path,
) -> None:
    """F9: `health` and `smoke-test` would only say so in that environment."""
    text = """
[checks.login]
http = "GET /login"
environments = ["prod"]
capture = { token = "$.token" }
[checks.use]
http = "GET /{token}"
"""
    assert set(read(text, tmp_path).checks) == {"login", "use"}
    path = tmp_path / "rules.toml"
    with pytest.raises(RulesError) as caught:
        flow.inspect_checks(read_rules(path.read_bytes(), str(path)))
    assert (
        "checks.use: it waits for 'login', which is not for environment 'dev'; give both the same"
        " `environments`" in str(caught.value)
    )
    path.write_text(path.read_text() + 'environments = ["prod"]\n')
    flow.inspect_checks(read_rules(path.read_bytes(), str(path)))
