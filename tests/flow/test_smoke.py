"""Checks of every sort against real servers on this machine: what passes, what fails and why, in
which order, by which deadline.
"""

import base64
import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.server import ServerConnection, serve

from tests.ports.net.servers import Authority, Raw, answer, answering
from tests.support.aws import Endpoint
from toolkit.errors import Refused, RulesError, Unreachable, UsageError, WrongAccount
from toolkit.flow import smoke as flow
from toolkit.flow.smoke import SmokeTestRequest, SmokeTestResult
from toolkit.operations import Result
from toolkit.ports.aws.client import Aws
from toolkit.ports.clock import SystemClock
from toolkit.ports.ports import Ports
from toolkit.run.stop import Stop
from toolkit.show import smoke as show
from toolkit.show import style
from toolkit.show.advice import sentence

HEAD = """\
version = 1
project = "smoke"
environment = "dev"
[environments.dev]
urls = ["{url}"]
private = true
hosts = ["127.0.0.1", "localhost", "nothing.invalid"]
vars = {{ port = "{port}" }}
"""


SESSION = "s3ss10n-" + "x7" * 300


class ShopHandler(BaseHTTPRequestHandler):
    """A login, a basket that a cookie opens, and whatever a test asks for."""

    calls: list[str]

    def do_GET(self) -> None:
        self._said()
        if self.path == "/basket":
            good = "session=s1" in (self.headers["Cookie"] or "")
            self._say(200 if good else 401, {"items": [1, 2]} if good else {"error": "no cookie"})
        elif self.path == "/account":
            good = self.headers["Authorization"] == "Bearer t0ken-of-ada"
            self._say(200 if good else 401, {"user": "ada", "seen": self.headers["Authorization"]})
        elif self.path == "/echo":
            self._say(500, {"cookies": self.headers["Cookie"]})
        elif self.path == "/moved":
            self._say(302, {}, Location="http://169.254.169.254/latest/meta-data/")
        elif self.path == "/slow":
            time.sleep(0.3)
            self._say(200, {})
        elif self.path == "/odd":
            self._say(200, {"half": "\ud800abcd", "nul": "ab\0cdef", "list": ["\ud800abcd"]})
        elif self.path == "/session":
            self._say(200, {"sid": SESSION})
        elif self.path == "/typed":
            self._say(200, {"n": 5, "yes": True, "list": [1, "secret-in-a-list"], "none": None})
        elif self.path.startswith("/large/"):
            self._say(200, {"pad": "x" * int(self.path.rpartition("/")[2]), "end": "the-end"})
        elif self.path.startswith("/status/"):
            self._say(int(self.path.rpartition("/")[2]), {"status": "down"})
        elif self.path == "/every-third":
            self._say(503 if self.calls.count("GET /every-third") % 3 else 200, {})
        elif self.path == "/third":
            self._say(200 if self.calls.count("GET /third") >= 3 else 503, {})
        else:
            self._say(200, {"path": self.path, "status": "ok"})

    def do_POST(self) -> None:
        self._said()
        document = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        if self.path == "/login" and document.get("password") == "open-sesame":
            self._say(200, {"token": "t0ken-of-ada"}, **{"Set-Cookie": "session=s1-of-ada; Path=/"})
        elif self.path == "/reflect":
            self._say(200, {"sent": document})
        else:
            self._say(401, {"error": f"wrong: {document}"})

    do_DELETE = do_GET  # noqa: N815 (as the server wants it)

    def _said(self) -> None:
        self.calls.append(f"{self.command} {self.path}")

    def _say(self, status: int, content: Any, **headers: str) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Site:
    """The shop, and smoke tests of it."""

    def __init__(self, folder: Path, server: ThreadingHTTPServer, calls: list[str]) -> None:
        self.folder, self.calls = folder, calls
        self.port = server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def smoke(
        self,
        checks: str,
        stop: Stop | None = None,
        account: str = "[environments.dev]\n",
        **value: Any,
    ) -> SmokeTestResult:
        head = HEAD.format(url=self.url, port=self.port).replace("[environments.dev]\n", account)
        (self.folder / "rules.toml").write_text(head + checks)
        request = SmokeTestRequest(folder=str(self.folder), **value)
        ports = Ports(
            str(self.folder),
            str(self.folder),
            SystemClock(),
            lambda profile, region: Aws(profile, region or "eu-west-1"),
        )
        stage = flow.prepare(request, None, ports)
        return flow.run_smoke_test(request, stage, ports, stop or Stop(), lambda result: None)

    def one(self, checks: str, **value: Any) -> Result:
        """The result of the last check."""
        return self.smoke(checks, **value).results[-1]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    folder = tmp_path / "repo"
    folder.mkdir()
    monkeypatch.setenv("TOOLKIT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("TOOLKIT_CONNECT_TO", raising=False)
    calls: list[str] = []
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Handler", (ShopHandler,), {"calls": calls})
    ) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield Site(folder, server, calls)
        server.shutdown()
        thread.join()


def words(smoked: SmokeTestResult) -> dict[str, str]:
    return {result.check: result.status for result in smoked.results}


LOGIN = """
[secrets.password]
env = "SHOP_PASSWORD"
[checks.login]
http = "POST /login"
json = { user = "ada", password = "{password}" }
capture = { token = "$.token" }
[checks.account]
http = "GET /account"
headers = { Authorization = "Bearer {token}" }
expect.json = { "$.user" = "ada" }
[checks.basket]
http = "GET /basket"
needs = ["login"]
expect.json = { "$.items" = { length = 2 } }
"""


def test_a_token_and_a_cookie_of_one_answer_open_the_next(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "open-sesame")
    smoked = site.smoke(LOGIN)
    assert (smoked.status, smoked.exit, words(smoked)) == (
        "passed",
        0,
        dict.fromkeys(("login", "account", "basket"), "passed"),
    )
    assert site.calls[0] == "POST /login"


def test_no_secret_and_no_captured_value_is_in_what_is_told(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "open-sesame")
    smoked = site.smoke(LOGIN.replace('"$.user" = "ada"', '"$.user" = "bob"'))
    account = smoked.results[1]
    assert account.cause == '$.user: expected "bob", got "ada"'
    assert account.shown == ('{"user": "ada", "seen": "Bearer {token}"}',)
    monkeypatch.setenv("SHOP_PASSWORD", "hunter2-hunter2")
    wrong = site.smoke(LOGIN)
    assert (wrong.results[0].shown[0], words(wrong)["account"]) == (
        "{\"error\": \"wrong: {'user': 'ada', 'password': '{password}'}\"}",
        "skipped",
    )


@pytest.mark.parametrize(
    "expected",
    [
        'capture = { sid = "$.sid", other = "$.other" }',
        'capture = { sid = "$.sid" }\nexpect.json = { "$.sid" = "no" }',
        'capture = { sid = "$.sid" }\nexpect.body = "no"',
        'capture = { sid = "$.sid" }\nexpect.status = 404',
    ],
)
def test_a_long_captured_value_does_not_show_in_part_whatever_fails(
    site: Site, expected: str
) -> None:
    result = site.one(f'[checks.session]\nhttp = "GET /session"\n{expected}\n')
    assert result.status == "failed"
    assert SESSION[:8] not in repr(result)
    assert "{sid}" in repr(result)


def test_a_long_secret_does_not_show_in_part(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "hunter2-" * 100)
    text = (
        'json = { password = "{password}" }\nexpect.json = { "$.error" = "{password}"'
        " }\nexpect.status = 401\n"
    )
    result = site.one(
        f'[secrets.password]\nenv = "SHOP_PASSWORD"\n[checks.login]\nhttp = "POST /login"\n{text}'
    )
    assert (result.status, result.misses[0].wanted) == ("failed", '"{password}"')
    assert "hunter2" not in repr(result)
    assert max(map(len, (result.misses[0].found, *result.shown))) <= 200


def test_a_secret_shows_nowhere_in_what_was_expected(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "hunter2hunter2")
    expected = """
expect.json = { "$.users[?@.id=='{password}'].n" = "x" }
expect.headers = { "X-{password}" = "1" }
capture = { user = "$['{password}']" }
"""
    result = site.one(
        f'[secrets.password]\nenv = "SHOP_PASSWORD"\n[checks.up]\nhttp = "GET /"\n{expected}'
    )
    assert [miss.what for miss in result.misses] == [
        "header X-{password}",
        "$.users[?@.id=='{password}'].n",
        "$['{password}']",
    ]
    assert "hunter2" not in repr(result)


def test_what_aws_does_not_answer_in_time_is_unknown(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        result = site.one('[checks.queue]\naws = "queue:x"\ntimeout = "1s"\n')
        assert (result.status, result.cause) == (
            "unknown",
            "no answer from AWS for queue x: it took longer than 1 s",
        )
        with pytest.raises(
            Unreachable, match="the secrets of the checks could not be read within 1 s"
        ):
            site.one('[secrets.p]\nssm = "/p"\n[checks.up]\nhttp = "GET /{p}"\n', timeout_s=1)
    assert time.monotonic() - began < 5


def test_a_long_value_is_told_short(site: Site) -> None:
    result = site.one('[checks.session]\nhttp = "GET /session"\nexpect.json = { "$.sid" = 1 }\n')
    assert (result.status, len(result.misses[0].found)) == ("failed", 200)


def test_a_captured_value_that_cannot_be_used_fails_its_check_and_what_cleans_up_is_done(
    site: Site,
) -> None:
    smoked = site.smoke("""
[checks.odd]
http = "GET /odd"
capture = { half = "$.half", nul = "$.nul", list = "$.list" }
[checks.texts]
http = "GET /{half}/{list}"
[checks.child]
command = ["true", "{nul}"]
[checks.clean]
http = "DELETE /odd"
needs = ["child"]
always = true
""")
    assert words(smoked) == {
        "odd": "passed",
        "texts": "passed",
        "child": "failed",
        "clean": "passed",
    }
    assert (
        smoked.results[2].cause == "with its values filled in, it cannot be requested (ValueError)"
    )
    assert "DELETE /odd" in site.calls


def test_a_bug_leaves_its_check_unknown_and_what_cleans_up_is_done(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolkit.checks import tcp

    monkeypatch.setattr(tcp, "split", lambda address: 1 / 0)
    checks = (
        '[checks.port]\ntcp = "127.0.0.1:1"\n[checks.clean]\nhttp = "DELETE /x"\nneeds ='
        ' ["port"]\nalways = true\n'
    )
    smoked = site.smoke(checks)
    assert (words(smoked), smoked.exit) == ({"port": "unknown", "clean": "passed"}, 1)
    assert smoked.results[0].cause == "a bug in toolkit: ZeroDivisionError"


def test_a_secret_that_is_not_there_stops_everything_before_the_first_request(site: Site) -> None:
    with pytest.raises(Refused, match="the variable SHOP_PASSWORD of secret 'password' is not set"):
        site.smoke(LOGIN)
    assert site.calls == []


def test_what_cleans_up_is_done_after_a_failure_and_the_rest_is_skipped(site: Site) -> None:
    smoked = site.smoke(
        """
[checks.make]
http = "GET /thing"
capture = { thing = "$.path" }
[checks.look]
http = "GET /status/500"
needs = ["make"]
[checks.again]
http = "GET /again"
needs = ["look"]
[checks.clean]
http = "DELETE {thing}"
needs = ["look"]
always = true
""".replace("DELETE {thing}", "DELETE /clean{thing}")
    )
    assert words(smoked) == {
        "make": "passed",
        "look": "failed",
        "again": "skipped",
        "clean": "passed",
    }
    assert site.calls[-1] == "DELETE /clean/thing"
    assert smoked.exit == 1


def test_checks_that_do_not_need_each_other_go_side_by_side(site: Site) -> None:
    began = time.monotonic()
    smoked = site.smoke("".join(f'[checks.c{number}]\nhttp = "GET /slow"\n' for number in range(8)))
    assert (smoked.status, time.monotonic() - began < 2) == ("passed", True)


def test_one_is_tried_again_until_it_passes(site: Site) -> None:
    result = site.one('[checks.up]\nhttp = "GET /third"\nretry = "20s"\n')
    assert (result.status, result.tries) == ("passed", 3)


def test_one_that_never_passes_is_tried_until_its_time_is_over(site: Site) -> None:
    result = site.one('[checks.up]\nhttp = "GET /status/503"\n', retry_s=1.2)
    assert (result.status, result.tries >= 3, result.cause) == (
        "failed",
        True,
        "status: expected 2xx, got 503",
    )


def test_where_the_deadline_ends_the_tries_the_last_real_answer_is_the_cause(site: Site) -> None:
    result = site.one('[checks.up]\nhttp = "GET /status/503"\n', retry_s=30, timeout_s=1.5)
    assert (result.status, result.tries >= 2, result.cause) == (
        "failed",
        True,
        "status: expected 2xx, got 503",
    )


def test_what_there_was_no_time_left_for_is_unknown_and_not_passed(site: Site) -> None:
    smoked = site.smoke(
        '[checks.a]\nhttp = "GET /slow"\n[checks.b]\nhttp = "GET /"\nneeds = ["a"]\n',
        timeout_s=0.35,
        parallel=1,
    )
    assert words(smoked)["a"] == "passed"
    late = site.smoke(
        '[checks.a]\nhttp = "GET /slow"\n[checks.b]\nhttp = "GET /"\n', timeout_s=0.1, parallel=1
    )
    assert (late.status, late.exit, sorted(words(late).values())) == (
        "unknown",
        1,
        ["unknown", "unknown"],
    )
    assert {result.cause for result in late.results} == {
        "the time for all checks was up before it answered",
        "the time was up before it could run",
    }


def test_its_own_time_that_is_over_is_a_failure(site: Site) -> None:
    with Raw(lambda peer: peer.hang()) as server:
        result = site.one(f'[checks.a]\nhttp = "GET {server.url}/"\ntimeout = "1s"\n')
        cut = site.one(f'[checks.a]\nhttp = "GET {server.url}/"\ntimeout = "60s"\n', timeout_s=0.5)
    assert (result.status, result.cause) == ("failed", "no answer within 1 s")
    assert (cut.status, cut.cause) == (
        "unknown",
        "the time for all checks was up before it answered",
    )


def test_a_stop_ends_a_command_and_leaves_it_unknown(site: Site) -> None:
    stop = Stop()
    threading.Timer(0.5, stop.ask, [2]).start()
    result = site.one('[checks.a]\ncommand = ["sleep", "30"]\n', stop=stop)
    assert (result.status, result.cause) == ("unknown", "it was stopped")


def test_repeated_it_passes_only_if_it_does_so_every_time(site: Site) -> None:
    result = site.one('[checks.up]\nhttp = "GET /third"\n', repeat=4)
    assert (result.status, show.detail(result)) == ("failed", "2 of 4 passed")
    again = site.one('[checks.up]\nhttp = "GET /"\n', repeat=3)
    assert show.detail(again) == "3 of 3 passed"


def test_an_answer_that_takes_too_long_is_told_with_both_times(site: Site) -> None:
    result = site.one('[checks.up]\nhttp = "GET /slow"\nexpect.within = "100ms"\n')
    assert (result.misses[0].what, result.misses[0].wanted) == ("time", "at most 100ms")


def test_a_redirect_to_where_clouds_keep_credentials_is_not_followed(site: Site) -> None:
    result = site.one('[checks.up]\nhttp = "GET /moved"\n')
    assert (result.status, "169.254.169.254" in result.cause) == ("failed", True)


@pytest.mark.parametrize("more", ["#/", "?a=b", "/#"])
def test_a_base_address_behind_which_no_path_can_be_put_is_refused(site: Site, more: str) -> None:
    """A path behind `#` is never sent: such a check would pass for the start page."""
    with pytest.raises(RulesError, match="a path behind that would not be asked"):
        site.smoke(
            '[environments.other]\nurls = ["https://a.example.com'
            + more
            + '"]\n[checks.up]\nhttp = "GET /health"\n'
        )


def test_in_another_account_nothing_of_aws_is_asked_and_no_secret_is_read(
    site: Site, aws_endpoint: Endpoint
) -> None:
    """What is there tells nothing about this account's, and another account's secret is not for
    this one's hosts.
    """
    aws_endpoint.account = "222222222222"
    account = '[environments.dev]\naccount = "111111111111"\n'
    of_secret = '[secrets.pw]\nssm = "/pw"\n[checks.login]\nhttp = "POST /login"\nbody = "{pw}"\n'
    for checks in ('[checks.there]\naws = "table:bookings"\n', of_secret):
        with pytest.raises(WrongAccount, match="222222222222"):
            site.smoke(checks, account=account)
    assert site.calls == []
    assert set(aws_endpoint.calls.names()) == {"sts:GetCallerIdentity"}


def test_a_cookie_that_opens_a_session_is_not_told_when_it_is_echoed(site: Site) -> None:
    login = '[checks.login]\nhttp = "POST /login"\njson = { password = "open-sesame" }\n'
    result = site.one(login + '[checks.echo]\nhttp = "GET /echo"\nneeds = ["login"]\n')
    assert (result.status, "s1-of-ada" in repr(result), "{session}" in repr(result.shown)) == (
        "failed",
        False,
        True,
    )


def test_an_address_that_is_not_allowed_is_not_asked(site: Site) -> None:
    result = site.one('[checks.up]\nhttp = "GET http://127.0.0.2:{port}/"\n')
    assert (result.status, site.calls) == ("unknown", [])
    assert "127.0.0.2 is not allowed" in result.cause
    assert "hosts" in sentence(result.next)


def test_what_is_said_outside_of_the_repository_is_the_only_host_that_may_be_asked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLKIT_PROBE_HOSTS", "api.example.com")
    assert "127.0.0.1 is not allowed" in site.one('[checks.up]\nhttp = "GET /"\n').cause
    assert site.calls == []


@pytest.mark.parametrize("text", ["", " ", ","])
def test_hosts_that_are_said_outside_and_are_none_are_a_mistake(
    site: Site, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLKIT_PROBE_HOSTS", text)
    with pytest.raises(UsageError, match="TOOLKIT_PROBE_HOSTS is set, but empty"):
        site.one('[checks.up]\nhttp = "GET /"\n')


def test_a_host_is_asked_where_the_person_says_that_it_is(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLKIT_CONNECT_TO", f"shop.example.com=127.0.0.1:{site.port}")
    assert site.one('[checks.up]\nhttp = "GET http://shop.example.com/"\n').status == "passed"


def test_an_address_of_the_command_line_is_asked_instead_of_the_environments(site: Site) -> None:
    smoked = site.smoke('[checks.up]\nhttp = "GET /"\n', url=f"http://localhost:{site.port}")
    assert smoked.status == "passed"


def test_several_base_addresses_are_asked_each_for_itself(site: Site) -> None:
    (site.folder / "rules.toml").write_text("")
    text = (
        '[checks.up]\nhttp = "GET /x"\ncapture = { p = "$.path" }\n[checks.next]\nhttp = "GET'
        ' {p}/y"\n'
    )
    rules = HEAD.format(url=site.url, port=site.port).replace(
        f'["{site.url}"]', f'["{site.url}", "http://localhost:{site.port}"]'
    )
    request = SmokeTestRequest(folder=str(site.folder))
    (site.folder / "rules.toml").write_text(rules + text)
    ports = Ports(
        str(site.folder),
        str(site.folder),
        SystemClock(),
        lambda profile, region: Aws(profile, region),
    )
    smoked = flow.run_smoke_test(
        request, flow.prepare(request, None, ports), ports, Stop(), lambda result: None
    )
    assert {
        (result.check, result.at.partition("//")[2].partition(":")[0], result.status)
        for result in smoked.results
    } == {
        (check, host, "passed") for check in ("up", "next") for host in ("127.0.0.1", "localhost")
    }


@contextmanager
def socketed(handler: Callable[[ServerConnection], None]) -> Iterator[int]:
    """A WebSocket server on a free port."""
    with serve(handler, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()
            thread.join()


def test_a_websocket_is_sent_to_until_the_message_comes(site: Site) -> None:
    def echo(connection: ServerConnection) -> None:
        connection.send('{"type": "welcome"}')
        for message in connection:
            connection.send(json.dumps({"type": "echo", "of": message}))

    with socketed(echo) as port:
        check = f'[checks.live]\nwebsocket = "ws://127.0.0.1:{port}/live"\nsend = ["hi"]\n'
        good = site.one(check + 'expect.json = { "$.type" = "echo", "$.of" = "hi" }\n')
        assert (good.status, good.cause) == ("passed", "")
        bad = site.one(check + 'timeout = "1s"\nexpect.json = { "$.type" = "goodbye" }\n')
        assert (bad.status, bad.cause) == ("failed", '$.type: expected "goodbye", got "echo"')
        silent = site.one(f'[checks.live]\nwebsocket = "ws://127.0.0.1:{port}/live"\n')
        assert (silent.status, silent.detail) == ("passed", "connected")


def test_an_open_port_passes_and_what_it_says_can_be_expected(site: Site) -> None:
    with answering(lambda head: b"+PONG\r\n") as server:
        check = f'[checks.redis]\ntcp = "127.0.0.1:{server.port}"\n'
        assert site.one(check).status == "passed"
        assert (
            site.one(check + 'send = "PING\\r\\n\\r\\n"\nexpect.body = "+PONG"\n').status
            == "passed"
        )
        bad = site.one(check + 'send = "PING\\r\\n\\r\\n"\ntimeout = "1s"\nexpect.body = "+OK"\n')
        assert (bad.status, bad.misses[0].wanted) == ("failed", 'contains "+OK"')
    assert (
        "nothing listens at" in site.one(f'[checks.redis]\ntcp = "127.0.0.1:{server.port}"\n').cause
    )


def test_a_certificate_that_ends_soon_is_told_with_its_day(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    authority.trust(monkeypatch)
    with answering(
        lambda head: answer(b"{}"), authority.context("localhost", ends=timedelta(days=5, hours=1))
    ) as server:
        check = f'[checks.cert]\ntls = "localhost:{server.port}"\n'
        soon = site.one(check)
        assert (soon.status, soon.misses[0].what) == ("failed", "certificate")
        assert soon.misses[0].found.startswith("expires in 5 days, on ")
        assert site.one(check + "expect.days = 3\n").status == "passed"
    with answering(
        lambda head: answer(b"{}"), authority.context("localhost", ends=timedelta(days=-1))
    ) as server:
        assert "expired" in site.one(f'[checks.cert]\ntls = "localhost:{server.port}"\n').cause


def test_a_name_is_known_and_for_the_right_addresses(site: Site) -> None:
    assert site.one('[checks.name]\ndns = "localhost"\n').status == "passed"
    bad = site.one('[checks.name]\ndns = "127.0.0.1"\nexpect.addresses = ["192.0.2.1"]\n')
    assert (bad.status, bad.misses[0].found) == ("failed", "127.0.0.1")
    assert site.one('[checks.name]\ndns = "nothing.invalid"\n').status == "failed"


SUITE = (
    "import os, sys; print('asked', os.environ['BASE_URL']); print('secret', os.environ['WORD']);"
    " sys.exit({code})"
)


def test_a_suite_of_ones_own_passes_with_exit_code_0_and_leaves_a_log_without_secrets(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUITE_WORD", "open-sesame-42")

    def suite(code: int) -> str:
        program = (
            json.dumps([sys.executable, "-c", SUITE.format(code=code)])
            .replace("{", "{{")
            .replace("}", "}}")
        )
        env = 'env = { BASE_URL = "{url}", WORD = "{word}" }'
        return f'[secrets.word]\nenv = "SUITE_WORD"\n[checks.suite]\ncommand = {program}\n{env}\n'

    good = site.one(suite(0))
    assert (good.status, Path(good.log).read_text()) == (
        "passed",
        f"asked {site.url}\nsecret {{word}}\n",
    )
    bad = site.one(suite(3))
    assert (bad.status, bad.cause, bad.shown) == (
        "failed",
        "exit code: expected 0, got 3",
        (f"asked {site.url}", "secret {word}"),
    )


def runs(pid: int) -> bool:
    """Whether a process is there; one that has ended and is only not yet collected is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_suite_that_does_not_end_is_ended_with_all_that_it_started(
    site: Site, tmp_path: Path
) -> None:
    marker = tmp_path / "pid"
    program = json.dumps(["sh", "-c", f"sleep 60 & echo $! > {marker}; wait"])
    began = time.monotonic()
    result = site.one(f'[checks.suite]\ncommand = {program}\ntimeout = "1s"\n')
    assert (result.status, result.cause) == ("failed", "it did not end within 1 s")
    assert time.monotonic() - began < 15
    until = time.monotonic() + 10
    while runs(int(marker.read_text())) and time.monotonic() < until:
        time.sleep(0.02)  # it was killed, and is not gone yet
    assert not runs(int(marker.read_text()))


def test_a_suite_that_a_link_leads_out_of_the_repository_is_not_started(
    site: Site, tmp_path: Path
) -> None:
    (site.folder / "suite").symlink_to(tmp_path)
    result = site.one('[checks.suite]\ncommand = ["touch", "ran"]\nfolder = "suite"\n')
    assert (result.status, result.cause) == (
        "unknown",
        "`folder` leads out of the folder of rules.toml",
    )
    assert not (tmp_path / "ran").exists()


def test_a_suite_that_writes_a_line_without_end_is_ended_in_time(site: Site) -> None:
    endless = (
        "import sys, time\nwhile True: sys.stdout.write('.' * 999); sys.stdout.flush();"
        " time.sleep(0.01)"
    )
    began = time.monotonic()
    result = site.one(
        f'[checks.suite]\ncommand = {json.dumps([sys.executable, "-c", endless])}\ntimeout = "1s"\n'
    )
    assert (result.status, result.cause) == ("failed", "it did not end within 1 s")
    assert time.monotonic() - began < 10


def test_a_program_that_is_not_there_is_told_as_that(site: Site) -> None:
    result = site.one('[checks.suite]\ncommand = ["no-such-program"]\n')
    assert (result.status, result.cause) == ("unknown", "no-such-program is not on PATH")


def test_after_ctrl_c_nothing_new_is_asked_but_what_cleans_up(site: Site) -> None:
    stop = Stop()
    stop.ask(signal.SIGINT)
    smoked = site.smoke(
        '[checks.a]\nhttp = "GET /a"\n[checks.clean]\nhttp = "DELETE /clean"\nneeds = ["a"]\nalways'
        " = true\n",
        stop=stop,
    )
    assert (words(smoked), smoked.exit, site.calls) == (
        {"a": "unknown", "clean": "passed"},
        130,
        ["DELETE /clean"],
    )


def test_a_tag_takes_what_is_needed_along(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "open-sesame")
    smoked = site.smoke(
        LOGIN.replace("[checks.account]\n", '[checks.account]\ntags = ["me"]\n'), tags=("me",)
    )
    assert words(smoked) == {"login": "passed", "account": "passed"}


def test_a_captured_value_keeps_its_type(site: Site) -> None:
    """F3."""
    smoked = site.smoke("""
[checks.first]
http = "GET /typed"
capture = { n = "$.n", yes = "$.yes", list = "$.list" }
[checks.same]
http = "GET /typed"
expect.json = { "$.n" = "{n}", "$.yes" = "{yes}", "$.list" = "{list}" }
[checks.sent]
http = "POST /reflect"
json = { n = "{n}", text = "n{n}", list = "{list}" }
[checks.sent.expect.json]
"$.sent.n" = { equals = 5, min = "{n}" }
"$.sent.text" = "n5"
"$.sent.list[0]" = 1
""")
    assert words(smoked) == {"first": "passed", "same": "passed", "sent": "passed"}


def test_null_is_no_captured_value(site: Site) -> None:
    result = site.one('[checks.x]\nhttp = "GET /typed"\ncapture = { none = "$.none" }\n')
    assert (result.status, result.cause) == (
        "failed",
        "$.none: expected a value for {none}, got nothing",
    )


def test_what_is_in_a_captured_list_is_hidden_however_it_is_shown(site: Site) -> None:
    smoked = site.smoke("""
[checks.first]
http = "GET /typed"
capture = { list = "$.list" }
[checks.sent]
http = "POST /reflect"
json = { list = "{list}" }
expect.json = { "$.sent.list[1]" = "no" }
""")
    assert smoked.results[1].status == "failed"
    assert "secret-in-a-list" not in repr(smoked)


LARGE = '[checks.large]\nhttp = "GET /large/100000"\n'


def test_a_body_that_was_cut_is_told_with_what_to_do(site: Site) -> None:
    """F8."""
    text = site.one(LARGE + 'expect.body = "the-end"\n')
    assert (text.status, text.misses[0].what, sentence(text.next)) == (
        "failed",
        "the first 64 kB of the body",
        'raise `body_limit` of the check, as in body_limit = "5MB"',
    )
    assert text.detail.endswith("the first 64 kB read")
    content = site.one(LARGE + 'expect.json = { "$.end" = "the-end" }\n')
    assert content.cause == "body: expected JSON, got larger than 64 kB, not parsed"
    captured = site.one(LARGE + 'capture = { end = "$.end" }\n')
    assert captured.misses[0].found == "nothing in the 64 kB that were read"


@pytest.mark.parametrize(
    "condition",
    [
        '{ excludes = "gone" }',
        "{ length = 65536 }",
        '{ matches = "^x*" }',
        '{ not = "x" }',
        '{ like = "*x" }',
    ],
)
def test_what_cannot_be_known_of_a_cut_body_does_not_pass(site: Site, condition: str) -> None:
    result = site.one(f"{LARGE}expect.body = {condition}\n")
    assert (result.status, result.misses[0].found) == (
        "failed",
        "more than the 64 kB that were read",
    )


def test_a_check_may_read_more_of_a_body(site: Site) -> None:
    limit = LARGE + 'body_limit = "200kB"\n'
    assert site.one(limit + 'expect.json = { "$.end" = "the-end" }\n').status == "passed"
    assert site.one(limit + 'expect.body = { excludes = "gone" }\n').status == "passed"
    small = site.one(LARGE + 'body_limit = "1kB"\nexpect.body = "the-end"\n')
    assert small.misses[0].what == "the first 1 kB of the body"


def test_each_row_is_a_check_of_its_own(site: Site) -> None:
    smoked = site.smoke("""
[checks.pages]
http = "GET /{page}"
rows = [{ page = "a", want = "ok" }, { page = "b", want = "bad" }]
expect.json = { "$.path" = "/{page}", "$.status" = "{want}" }
[checks.after]
http = "GET /after"
needs = ["pages"]
""")
    assert [(result.check, result.row, result.status) for result in smoked.results] == [
        ("pages", 1, "passed"),
        ("pages", 2, "failed"),
        ("after", 0, "skipped"),
    ]
    text = style.plain(show.text(smoked.results, "dev", 0.1))
    assert "pages (row 1)  ok" in text
    assert "pages (row 2)  FAILED   GET /b" in text
    assert [row["row"] for row in show.document(smoked)["checks"]] == [1, 2, None]


def test_a_status_may_stand_in_a_row(site: Site) -> None:
    (site.folder / "rows.json").write_text('[{"code": 404}, {"code": "4xx"}, {"code": 503}]')
    smoked = site.smoke("""
[checks.pages]
http = "GET /status/404"
rows = "rows.json"
expect.status = "{code}"
""")
    assert [result.status for result in smoked.results] == ["passed", "passed", "failed"]


def test_a_status_in_a_row_that_is_none_fails_with_its_reason(site: Site) -> None:
    checks = 'rows = [{ code = "ok" }]\nexpect.status = "{code}"\n'
    result = site.one(f'[checks.x]\nhttp = "GET /"\n{checks}')
    assert result.cause == "with its values filled in, 'ok' is not a status"


def test_a_password_of_basic_is_hidden_and_a_colon_in_its_user_refused(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "open-sesame-1")
    secret = '[secrets.password]\nenv = "SHOP_PASSWORD"\n[checks.x]\nhttp = "GET /account"\n'
    result = site.one(secret + 'basic = { user = "ada", password = "{password}" }\n')
    assert result.status == "failed"
    assert "open-sesame-1" not in repr(result)
    assert base64.b64encode(b"ada:open-sesame-1").decode() not in repr(result)
    refused = site.one(secret + 'basic = { user = "a:da", password = "{password}" }\n')
    assert (refused.status, refused.cause) == (
        "unknown",
        "the user of `basic` has a colon, where its password would begin",
    )


def test_an_answer_is_held_against_a_schema(site: Site) -> None:
    (site.folder / "typed.json").write_text(
        '{"properties": {"n": {"type": "integer", "maximum": 4}}, "required": ["yes"]}'
    )
    checks = '[checks.x]\nhttp = "GET /typed"\nexpect.schema = "typed.json"\n'
    result = site.one(checks)
    assert (result.status, result.cause) == (
        "failed",
        'schema: $.n: expected {"maximum": 4}, got 5',
    )
    (site.folder / "typed.json").write_text('{"required": ["yes"]}')
    assert site.one(checks).status == "passed"


def test_a_value_that_is_too_long_to_be_hidden_is_not_captured(site: Site) -> None:
    limit = 'body_limit = "1MB"\ncapture = { pad = "$.pad" }\n'
    result = site.one(LARGE + limit)
    assert (result.status, result.cause) == (
        "failed",
        "$.pad: expected a value for {pad} of at most 65,536 characters, got 100,000",
    )
