"""Every source of credentials that botocore has, with whatever it may answer: an error of exit code
7 that says what to do, never a bug.

The sources are real: files, variables, programs and addresses on this machine.
"""

import ast
import inspect
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import botocore.credentials  # type: ignore[import-untyped]
import botocore.exceptions as boto  # type: ignore[import-untyped]
import botocore.tokens  # type: ignore[import-untyped]
import pytest

from tests.support.aws import Endpoint
from toolkit.errors import (
    BadConfig,
    CloudError,
    CredentialsProblem,
    Expired,
    NeedsCode,
    NoCredentials,
    SourceProblem,
    ToolkitError,
    Unreachable,
)
from toolkit.exits import Exit
from toolkit.ports.aws import client, sources
from toolkit.ports.aws.client import Aws, MfaPrompt
from toolkit.show.advice import sentence

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI0123456789bPxRfiCYEXAMPLEKEY"
KEYS = f"aws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
ROLE = "role_arn = arn:aws:iam::111111111111:role/deploy\n"


def stamp(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


class AwsMachine:
    """A machine with AWS's files and variables as a test wants them, and an AWS that the calls go
    to.
    """

    def __init__(self, endpoint: Endpoint, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.endpoint, self.folder, self.patch = endpoint, folder, monkeypatch
        endpoint.ecs.cluster("main")
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint.url)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))

    def config(self, text: str) -> None:
        (self.folder / "config").write_text(text)

    def env(self, **variables: str) -> None:
        for name, value in variables.items():
            self.patch.setenv(name, value)

    def program(self, text: str) -> str:
        """A shell script, as credential_process has it."""
        path = self.folder / "gives"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    def read(self, profile: str | None = None, person: MfaPrompt | None = None) -> dict[str, Any]:
        return Aws(profile, "eu-west-1", person).read("ecs", "describe_clusters", clusters=["main"])

    def refused(self, profile: str | None = None, person: MfaPrompt | None = None) -> ToolkitError:
        with pytest.raises(ToolkitError) as refused:
            self.read(profile, person)
        assert refused.value.exit == Exit.CREDENTIALS
        assert SECRET not in str(refused.value)
        assert next_of(refused.value)
        return refused.value


def next_of(problem: ToolkitError) -> str:
    return sentence(problem.next)


@pytest.fixture
def machine(aws_endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AwsMachine:
    monkeypatch.setattr(client, "ATTEMPTS", 1)
    monkeypatch.setattr(sources, "SIGN_IN_S", 1.5)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    return AwsMachine(aws_endpoint, tmp_path, monkeypatch)


GOOD = {"Version": 1, "AccessKeyId": KEY, "SecretAccessKey": SECRET}


def printed(**changed: Any) -> str:
    """A program that prints credentials, changed; None leaves a field out."""
    document = {name: value for name, value in {**GOOD, **changed}.items() if value is not None}
    return f"cat <<'END'\n{json.dumps(document)}\nEND"


PROGRAMS = {
    "greets": ("echo hello", SourceProblem, "credential_process gives something that is not JSON"),
    "prints-nothing": ("true", SourceProblem, "is not JSON"),
    "prints-bytes": (r"printf '\377\376'", SourceProblem, "is not JSON"),
    "prints-a-list": ("echo '[1]'", SourceProblem, "gives something that cannot be used"),
    "prints-null": ("echo null", SourceProblem, "gives something that cannot be used"),
    "prints-a-number": ("echo 7", SourceProblem, "gives something that cannot be used"),
    "fails": (f"echo {SECRET} >&2; exit 3", SourceProblem, r"credential_process failed\)$"),
    "fails-with-bytes": (r"printf '\377' >&2; exit 3", SourceProblem, "credential_process"),
    "is-killed": ("kill -9 $$", SourceProblem, r"credential_process failed\)$"),
    "hangs": ("sleep 60", SourceProblem, r"credential_process gave nothing within 1\.5 s"),
    "closes-its-output-and-hangs": (
        "exec >&- 2>&-; sleep 60",
        SourceProblem,
        "gave nothing within",
    ),
    "another-version": (printed(Version=2), SourceProblem, "Version is not 1"),
    "no-version": (printed(Version=None), SourceProblem, "Version is not 1"),
    "no-key": (printed(AccessKeyId=None), SourceProblem, "AccessKeyId is missing"),
    "no-secret": (printed(SecretAccessKey=None), SourceProblem, "SecretAccessKey is missing"),
    "key-null": (
        'echo \'{"Version": 1, "AccessKeyId": null, "SecretAccessKey": "x"}\'',
        SourceProblem,
        "the access key is missing",
    ),
    "key-a-number": (
        printed(AccessKeyId=5),
        SourceProblem,
        "cannot be used|the access key is not a text",
    ),
    "key-a-list": (
        printed(SecretAccessKey=["x"]),
        SourceProblem,
        "cannot be used|secret access key is not a text",
    ),
    "key-empty": (printed(AccessKeyId=""), SourceProblem, "the access key is empty"),
    "key-with-line-end": (
        printed(AccessKeyId=f"{KEY}\n"),
        SourceProblem,
        "the access key has a line end before or after it",
    ),
    "token-with-space": (
        printed(SessionToken="a b"),
        SourceProblem,
        "the session token has a space in it",
    ),
    "expiry-past": (
        printed(SessionToken="t", Expiration="2020-01-01T00:00:00Z"),
        Expired,
        "have expired",
    ),
    "expiry-nonsense": (
        printed(SessionToken="t", Expiration="soon"),
        SourceProblem,
        "its time of expiry is not a time",
    ),
    "expiry-empty": (
        printed(SessionToken="t", Expiration=""),
        SourceProblem,
        "time of expiry|cannot be used",
    ),
    "expiry-a-number": (printed(SessionToken="t", Expiration=7), SourceProblem, "cannot be used"),
    "expiry-far": (
        printed(SessionToken="t", Expiration="99999999999999999999"),
        SourceProblem,
        "time of expiry|cannot be used",
    ),
    "expiry-without-zone": (
        printed(SessionToken="t", Expiration="2020-01-01T00:00:00"),
        SourceProblem,
        "has no time zone",
    ),
}


@pytest.mark.slow("sweeps", keep=4)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_that_gives_no_credentials_is_told_with_what_to_do(
    machine: AwsMachine, name: str
) -> None:
    text, kind, message = PROGRAMS[name]
    machine.config(f"[profile x]\ncredential_process = {machine.program(text)}\n")
    problem = machine.refused("x")
    assert type(problem) is kind
    assert re.search(message, str(problem)), str(problem)
    assert "aws sts get-caller-identity --profile x" in next_of(problem)


def test_a_program_that_hangs_is_ended_with_what_it_started(machine: AwsMachine) -> None:
    machine.config(
        "[profile x]\ncredential_process ="
        f" {machine.program(f'sleep 61 & echo $! > {machine.folder}/pid; sleep 62')}\n"
    )
    machine.refused("x")
    pid = int((machine.folder / "pid").read_text())
    deadline = time.monotonic() + 5
    while _runs(pid) and time.monotonic() < deadline:
        pass
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return "sleep" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


def test_a_program_that_is_not_there_is_named(machine: AwsMachine) -> None:
    machine.config("[profile x]\ncredential_process = /nowhere/gives --token hunter2\n")
    problem = machine.refused("x")
    assert "/nowhere/gives: No such file" in str(problem)
    assert "hunter2" not in str(problem) + next_of(problem)


def test_a_program_that_may_not_be_started_is_named(machine: AwsMachine) -> None:
    Path(machine.program("true")).chmod(0o644)
    machine.config(f"[profile x]\ncredential_process = {machine.folder}/gives\n")
    assert "Permission denied" in str(machine.refused("x"))


def test_a_command_line_that_no_shell_reads_is_told(machine: AwsMachine) -> None:
    machine.config("[profile x]\ncredential_process = gives 'open\n")
    assert "credential_process" in str(machine.refused("x"))


def test_a_program_that_gives_credentials_is_believed(machine: AwsMachine) -> None:
    machine.config(
        "[profile x]\ncredential_process ="
        f" {machine.program(printed(SessionToken='t', Expiration=stamp(1)))}\n"
    )
    assert machine.read("x")["clusters"]


def test_a_source_that_is_mended_is_asked_again(machine: AwsMachine) -> None:
    machine.config(f"[profile x]\ncredential_process = {machine.program('exit 1')}\n")
    aws = Aws("x", "eu-west-1")
    with pytest.raises(SourceProblem):
        aws.account()
    machine.program(printed())
    assert aws.read("ecs", "describe_clusters", clusters=["main"])["clusters"]


VARIABLES: dict[str, tuple[dict[str, str], type[ToolkitError], str, str]] = {
    "no-secret": ({"AWS_ACCESS_KEY_ID": KEY}, BadConfig, "AWS_SECRET_ACCESS_KEY is missing", ""),
    "line-end": (
        {"AWS_ACCESS_KEY_ID": f"{KEY}\n", "AWS_SECRET_ACCESS_KEY": SECRET},
        SourceProblem,
        "the access key has a line end before or after it",
        "set AWS_ACCESS_KEY_ID",
    ),
    "line-end-secret": (
        {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": f"{SECRET}\r\n"},
        SourceProblem,
        "the secret access key has a line end",
        "set AWS_ACCESS_KEY_ID",
    ),
    "space-before": (
        {"AWS_ACCESS_KEY_ID": f" {KEY}", "AWS_SECRET_ACCESS_KEY": SECRET},
        SourceProblem,
        "has a space before or after it",
        "",
    ),
    "line-end-token": (
        {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": "tok\nen"},
        SourceProblem,
        "the session token has a line end in it",
        "",
    ),
    "no-ascii": (
        {"AWS_ACCESS_KEY_ID": "AKIA\u2026", "AWS_SECRET_ACCESS_KEY": SECRET},
        SourceProblem,
        "a character that no key has",
        "",
    ),
    "expired": (
        {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_CREDENTIAL_EXPIRATION": "2020-01-01T00:00:00Z",
        },
        Expired,
        "have expired",
        "set AWS_ACCESS_KEY_ID",
    ),
    "expiry": (
        {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_CREDENTIAL_EXPIRATION": "later",
        },
        SourceProblem,
        "time of expiry is not a time",
        "",
    ),
    "no-profile": (
        {"AWS_PROFILE": "nobody"},
        BadConfig,
        "no profile nobody",
        "check AWS_ENDPOINT_URL and AWS_CONFIG_FILE",
    ),
    "profile-line-end": (
        {"AWS_PROFILE": "nobody\n"},
        BadConfig,
        "no profile nobody",
        "check AWS_ENDPOINT_URL and AWS_CONFIG_FILE",
    ),
    "nothing": ({}, NoCredentials, "there are no AWS credentials", "aws sso login"),
    "metadata-timeout": ({"AWS_METADATA_SERVICE_TIMEOUT": "soon"}, BadConfig, "soon", ""),
    "web-identity-file": (
        {
            "AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere/token",
            "AWS_ROLE_ARN": "arn:aws:iam::111111111111:role/ci",
        },
        SourceProblem,
        "the web identity cannot be used: /nowhere/token: No such file",
        "check AWS_WEB_IDENTITY_TOKEN_FILE",
    ),
    "web-identity-folder": (
        {"AWS_WEB_IDENTITY_TOKEN_FILE": "/", "AWS_ROLE_ARN": "arn:aws:iam::111111111111:role/ci"},
        SourceProblem,
        "Is a directory",
        "check AWS_WEB_IDENTITY_TOKEN_FILE",
    ),
    "web-identity-role": (
        {"AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere/token"},
        BadConfig,
        "no role ARN",
        "",
    ),
    "container-host": (
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.1/x"},
        SourceProblem,
        "container's credentials address",
        "check AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ),
    "container-no-address": (
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "what"},
        SourceProblem,
        "container's credentials address",
        "check AWS",
    ),
    "container-nobody": (
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/x"},
        SourceProblem,
        "container's credentials address",
        "check AWS",
    ),
    "container-token": (
        {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/x",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/nowhere/t",
        },
        SourceProblem,
        "/nowhere/t: No such file",
        "check AWS",
    ),
    "container-header": (
        {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/x",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "a\nb",
        },
        SourceProblem,
        "container's credentials address",
        "check AWS",
    ),
    "ca-bundle": (
        {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_CA_BUNDLE": "/nowhere.pem",
            "AWS_ENDPOINT_URL": "https://localhost:9",
        },
        CloudError,
        "",
        "",
    ),
    "proxy": (
        {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "HTTPS_PROXY": "what",
            "AWS_ENDPOINT_URL": "https://192.0.2.1",
        },
        CloudError,
        "",
        "",
    ),
    "endpoint": (
        {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_ENDPOINT_URL": "what"},
        BadConfig,
        "not an address",
        "",
    ),
    "endpoint-port": (
        {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": "http://localhost:port",
        },
        BadConfig,
        "not an address",
        "",
    ),
}


@pytest.mark.slow("sweeps", keep=6)
@pytest.mark.parametrize("name", VARIABLES)
def test_variables_that_give_no_credentials_are_told_with_what_to_do(
    machine: AwsMachine, name: str
) -> None:
    variables, kind, message, next_ = VARIABLES[name]
    machine.env(**variables)
    problem = machine.refused()
    assert isinstance(problem, kind)
    assert message in str(problem), str(problem)
    assert next_ in next_of(problem), next_of(problem)


FILES: dict[str, tuple[str, type[ToolkitError], str, str]] = {
    "damaged": ("[profile x\nnonsense", BadConfig, "config cannot be read", "aws configure"),
    "no-sections": ("region = eu-west-1\n", BadConfig, "config cannot be read", "aws configure"),
    "twice": (
        f"[profile x]\n{KEYS}[profile x]\n{KEYS}",
        BadConfig,
        "config cannot be read",
        "aws configure",
    ),
    "nested": (
        "[profile x]\ns3 =\n  nonsense\n",
        BadConfig,
        "config cannot be read",
        "aws configure",
    ),
    "no-profile": (
        f"[profile y]\n{KEYS}",
        BadConfig,
        "no profile x",
        "aws configure list-profiles",
    ),
    "no-keys": (
        "[profile x]\nregion = eu-west-1\n",
        NoCredentials,
        "no AWS credentials of profile x",
        "aws sso login --profile x",
    ),
    "no-secret": (
        f"[profile x]\naws_access_key_id = {KEY}\n",
        BadConfig,
        "aws_secret_access_key is missing",
        "aws configure",
    ),
    "space": (
        f"[profile x]\naws_access_key_id = A B\naws_secret_access_key = {SECRET}\n",
        SourceProblem,
        "the access key has a space in it: it was not copied exactly (the config file)",
        "aws configure --profile x",
    ),
    "role-without-source": (
        f"[profile x]\n{ROLE}",
        BadConfig,
        "source_profile",
        "aws configure list",
    ),
    "role-with-two-sources": (
        f"[profile x]\n{ROLE}source_profile = y\ncredential_source = Environment\n",
        BadConfig,
        "both",
        "",
    ),
    "role-of-nobody": (f"[profile x]\n{ROLE}source_profile = nobody\n", BadConfig, "nobody", ""),
    "role-in-a-circle": (
        f"[profile x]\n{ROLE}source_profile = y\n[profile y]\n{ROLE}source_profile = x\n",
        BadConfig,
        "Infinite loop",
        "",
    ),
    "role-of-empty-source": (
        f"[profile x]\n{ROLE}source_profile = y\n[profile y]\nregion = eu-west-1\n",
        BadConfig,
        "y",
        "",
    ),
    "role-of-nothing": (
        f"[profile x]\n{ROLE}credential_source = Environment\n",
        SourceProblem,
        "the role to assume",
        "get-caller-identity",
    ),
    "role-of-unknown": (f"[profile x]\n{ROLE}credential_source = Moon\n", BadConfig, "Moon", ""),
    "role-empty": (
        f"[profile x]\nrole_arn =\nsource_profile = y\n[profile y]\n{KEYS}",
        SourceProblem,
        "RoleArn is not valid",
        "",
    ),
    "role-of-a-program": (
        f"[profile x]\n{ROLE}source_profile = y\n[profile y]\ncredential_process = echo hello\n",
        SourceProblem,
        "credential_process gives something that is not JSON",
        "",
    ),
    "role-of-bad-keys": (
        (
            f"[profile x]\n{ROLE}source_profile = y\n[profile y]\naws_access_key_id = A\n "
            f" B\naws_secret_access_key = {SECRET}\n"
        ),
        SourceProblem,
        "the access key has a line end in it",
        "",
    ),
    "sso-half": (
        (
            "[profile x]\nsso_account_id = 111111111111\nsso_role_name = r\nsso_start_url ="
            " https://s\n"
        ),
        BadConfig,
        "sso_region",
        "",
    ),
    "sso-no-session": (
        "[profile x]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n",
        BadConfig,
        "sso-session",
        "",
    ),
    "sso-no-login": (
        (
            "[profile x]\nsso_account_id = 1\nsso_role_name = r\nsso_start_url ="
            " https://s\nsso_region = eu-west-1\n"
        ),
        NoCredentials,
        "no AWS credentials of profile x",
        "aws sso login --profile x",
    ),
    "sso-session-no-login": (
        (
            "[profile x]\nsso_session = s\nsso_account_id = 1\nsso_role_name = r\n"
            "[sso-session s]\nsso_start_url = https://s\nsso_region = eu-west-1\n"
        ),
        CredentialsProblem,
        "profile x",
        "aws sso login --profile x",
    ),
    "services": (f"[profile x]\n{KEYS}services = none\n", BadConfig, "services", ""),
}


@pytest.mark.slow("sweeps", keep=6)
@pytest.mark.parametrize("name", FILES)
def test_files_that_give_no_credentials_are_told_with_what_to_do(
    machine: AwsMachine, name: str
) -> None:
    text, kind, message, next_ = FILES[name]
    machine.config(text)
    if name == "services":
        machine.patch.delenv("AWS_ENDPOINT_URL")
    problem = machine.refused("x")
    assert isinstance(problem, kind)
    assert message in str(problem), str(problem)
    assert next_ in next_of(problem), next_of(problem)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read_is_named(machine: AwsMachine) -> None:
    machine.config(f"[profile x]\n{KEYS}")
    (machine.folder / "config").chmod(0)
    assert "config" in str(machine.refused("x"))


def test_a_file_in_another_encoding_is_named(machine: AwsMachine) -> None:
    (machine.folder / "config").write_bytes(b"[profile x]\nregion = \xff\xfe\n")
    assert "config cannot be read" in str(machine.refused("x"))


def token_file(home: Path, url: str, text: str) -> None:
    folder = home / ".aws" / "sso" / "cache"
    folder.mkdir(parents=True)
    (folder / f"{sha1(url.encode()).hexdigest()}.json").write_text(text)  # noqa: S324 (as botocore names them)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "[]",
        "{}",
        "null",
        '{"accessToken": "t"}',
        '{"accessToken": "t", "expiresAt": "soon"}',
        '{"accessToken": "t", "expiresAt": 7}',
        '{"accessToken": "t", "expiresAt": "2020-01-01T00:00:00Z"}',
        '{"accessToken": null, "expiresAt": "2999-01-01T00:00:00Z"}',
    ],
)
@pytest.mark.parametrize("session", [False, True])
def test_a_login_that_is_damaged_or_over_says_to_sign_in(
    machine: AwsMachine, text: str, session: bool
) -> None:
    where = "sso_start_url = https://s\nsso_region = eu-west-1\n"
    account = "sso_account_id = 111111111111\nsso_role_name = r\n"
    machine.config(
        f"[profile x]\n{account}sso_session = s\n[sso-session s]\n{where}"
        if session
        else f"[profile x]\n{account}{where}"
    )
    home = machine.folder / "home"
    machine.patch.setenv("HOME", str(home))
    token_file(home, "s" if session else "https://s", text)
    for location in (botocore.credentials.SSOProvider, botocore.tokens.SSOTokenProvider):
        machine.patch.setattr(
            location, "_SSO_TOKEN_CACHE_DIR", str(home / ".aws" / "sso" / "cache")
        )
    problem = machine.refused("x")
    assert isinstance(problem, CredentialsProblem)
    assert "aws sso login --profile x" in next_of(problem)


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """An address that answers every question alike."""

    class SameAnswer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), SameAnswer)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


NONSENSE = [
    b"",
    b"hello",
    b"[]",
    b"null",
    b"7",
    b'"x"',
    b"{}",
    b'{"AccessKeyId": null}',
    b"\xff\xfe",
    b"<html>",
    b'{"Code": "Success", "AccessKeyId": 1, "SecretAccessKey": 2, "Token": 3, "Expiration": 4}',
    json.dumps(
        {"AccessKeyId": KEY, "SecretAccessKey": SECRET, "Token": "t", "Expiration": "soon"}
    ).encode(),
    json.dumps({"AccessKeyId": KEY, "SecretAccessKey": SECRET, "Token": "t"}).encode(),
    json.dumps(
        {
            "AccessKeyId": KEY,
            "SecretAccessKey": SECRET,
            "Token": "t",
            "Expiration": "2020-01-01T00:00:00Z",
        }
    ).encode(),
    json.dumps(
        {
            "AccessKeyId": f"{KEY}\n",
            "SecretAccessKey": SECRET,
            "Token": "t",
            "Expiration": "2999-01-01T00:00:00Z",
        }
    ).encode(),
]


@pytest.mark.slow("sweeps", keep=3)
@pytest.mark.parametrize("status", [200, 404, 500])
@pytest.mark.parametrize("body", NONSENSE)
def test_a_container_address_that_answers_nonsense_is_told(
    machine: AwsMachine, status: int, body: bytes
) -> None:
    with answering(status, body) as url:
        machine.env(AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{url}/x")
        problem = machine.refused()
    assert isinstance(problem, (SourceProblem, Expired))
    assert "AWS_CONTAINER_CREDENTIALS_FULL_URI" in next_of(problem)


@pytest.mark.slow("sweeps", keep=3)
@pytest.mark.parametrize("status", [200, 404, 500])
@pytest.mark.parametrize("body", NONSENSE)
def test_metadata_that_is_nonsense_is_told(machine: AwsMachine, status: int, body: bytes) -> None:
    machine.patch.delenv("AWS_EC2_METADATA_DISABLED")
    with answering(status, body) as url:
        machine.env(AWS_EC2_METADATA_SERVICE_ENDPOINT=url)
        if (
            status == 200 and b"2020-01-01" in body
        ):  # botocore lets these live on, so that an outage of the address stops nobody
            assert machine.read()["clusters"]
            return
        problem = machine.refused()
    assert isinstance(problem, (SourceProblem, NoCredentials))


@pytest.mark.parametrize(
    ("fault", "text", "next_"),
    [
        (
            {"kind": "denied", "resource": "arn:aws:iam::111111111111:role/deploy"},
            "AssumeRole was refused",
            "--profile x",
        ),
        (
            {"kind": "error", "code": "ValidationError", "message": "m is invalid", "status": 400},
            "m is invalid",
            "get-caller-identity",
        ),
        (
            {"kind": "error", "code": "RegionDisabledException", "message": "m", "status": 403},
            "RegionDisabledException",
            "",
        ),
        (
            {"kind": "error", "code": "ExpiredToken", "message": "m", "status": 403},
            "have expired",
            "get-caller-identity --profile x",
        ),
        (
            {"kind": "error", "code": "InvalidClientTokenId", "message": "m", "status": 403},
            "InvalidClientTokenId",
            "",
        ),
        ({"kind": "throttle"}, "AssumeRole was refused", ""),
        ({"kind": "503"}, "", ""),
        ({"kind": "truncated"}, "", ""),
        ({"kind": "garbage"}, "", ""),
    ],
    ids=lambda value: str(value.get("code", value["kind"])) if isinstance(value, dict) else "",
)
def test_a_role_that_cannot_be_assumed_is_told(
    machine: AwsMachine, fault: dict[str, Any], text: str, next_: str
) -> None:
    machine.config(f"[profile x]\n{ROLE}source_profile = y\n[profile y]\n{KEYS}")
    role_is_given(machine)
    if fault["kind"] == "garbage":
        with answering(200, b"<nonsense/>") as url:
            machine.env(AWS_ENDPOINT_URL_STS=url)
            problem = machine.refused("x")
    else:
        machine.endpoint.fault("AssumeRole", times=None, **fault)
        problem = machine.refused("x")
    assert text in str(problem), str(problem)
    assert next_ in next_of(problem), next_of(problem)


def role_is_given(machine: AwsMachine) -> list[Mapping[str, Any]]:
    """STS gives a role from now on; the requests for it."""
    documents: list[Mapping[str, Any]] = []

    def answer(params: Mapping[str, Any]) -> Mapping[str, Any]:
        documents.append(params)
        keys = {
            "AccessKeyId": KEY,
            "SecretAccessKey": SECRET,
            "SessionToken": f"token{len(documents)}",
            "Expiration": datetime.now(UTC) + timedelta(hours=1),
        }
        return {"Credentials": keys}

    machine.endpoint.on("sts", "AssumeRole", answer)
    return documents


MFA = (
    f"[profile x]\n{ROLE}source_profile = y\nmfa_serial ="
    f" arn:aws:iam::111111111111:mfa/ada\n[profile y]\n{KEYS}"
)


def test_a_code_that_nobody_can_be_asked_for_is_told(machine: AwsMachine) -> None:
    machine.config(MFA)
    problem = machine.refused("x")
    assert isinstance(problem, NeedsCode)
    assert str(problem) == "profile x needs an MFA code, and this is not a terminal"
    assert (
        next_of(problem) == "sign in first, in a terminal: aws sts get-caller-identity --profile x"
    )


def test_a_code_is_asked_for_once_for_all_regions(machine: AwsMachine) -> None:
    machine.config(MFA)
    roles, request = role_is_given(machine), list[str]()

    def ask(question: str) -> str:
        request.append(question)
        return "123456"

    person = MfaPrompt(ask)
    for region in ("eu-west-1", "us-east-1"):
        aws = Aws("x", region, person)
        aws.sign_in()
        assert aws.account()
    assert [len(request), len(roles), roles[0]["TokenCode"]] == [1, 1, "123456"]
    assert "mfa/ada" in request[0]
    assert not (Path.home() / ".aws" / "cli").exists(), "what an emulator gave is kept"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("", "TokenCode is not valid"),
        ("1", "TokenCode is not valid"),
        (None, "the question was not answered"),
    ],
)
def test_a_code_that_is_none_is_told(machine: AwsMachine, answer: str | None, text: str) -> None:
    machine.config(MFA)

    def ask(question: str) -> str:
        if answer is None:
            raise EOFError
        return answer

    aws = Aws("x", "eu-west-1", MfaPrompt(ask))
    with pytest.raises(SourceProblem, match=text):
        aws.sign_in()


def test_a_code_that_aws_does_not_accept_is_told(machine: AwsMachine) -> None:
    machine.config(MFA)
    message = "MultiFactorAuthentication failed with invalid MFA one time pass code."
    machine.endpoint.fault(
        "AssumeRole", times=None, kind="error", code="AccessDenied", message=message, status=403
    )
    with pytest.raises(SourceProblem, match="the MFA code was not accepted"):
        Aws("x", "eu-west-1", MfaPrompt(lambda question: "123456")).sign_in()


def test_a_role_that_ran_out_in_the_middle_needs_a_new_code(machine: AwsMachine) -> None:
    machine.config(MFA)
    role_is_given(machine)
    aws = Aws("x", "eu-west-1", MfaPrompt(lambda question: "123456"))
    aws.sign_in()
    keys = aws._locked_session().get_credentials()
    keys._expiry_time = datetime.now(UTC) - timedelta(minutes=1)
    with pytest.raises(Expired) as refused:
        aws.account()
    assert "a new MFA code" in next_of(refused.value)
    assert "toolkit resume" in next_of(refused.value)


def test_a_role_of_aws_itself_is_kept_where_the_cli_keeps_it(machine: AwsMachine) -> None:
    machine.config(MFA)
    role_is_given(machine)
    shared = Path.home() / ".aws" / "cli" / "cache"
    with monkey_aws(machine):
        receipt = client._session(
            "x", "eu-west-1", MfaPrompt(lambda question: "123456", allowed=True)
        )
    assert receipt.get_credentials().get_frozen_credentials().token == "token1"
    assert [path.stat().st_mode & 0o777 for path in shared.iterdir()] == [0o600]
    with monkey_aws(machine):
        again = client._session("x", "eu-west-1")  # nobody to ask
    assert again.get_credentials().get_frozen_credentials().token == "token1"
    assert isinstance(machine.refused("x"), NeedsCode), "an emulator is sent what AWS gave"


@contextmanager
def monkey_aws(machine: AwsMachine) -> Iterator[None]:
    """While it lasts, no variable says that AWS is elsewhere."""
    url = os.environ.pop("AWS_ENDPOINT_URL")
    yield
    machine.env(AWS_ENDPOINT_URL=url)


def raised_by_sources() -> list[type[Exception]]:
    """Every exception of botocore that its sources mention, and the plain ones that their code may
    end in.
    """
    names: set[str] = set()
    for module in (botocore.credentials, botocore.tokens, botocore.utils):
        tree = ast.parse(inspect.getsource(module))
        names.update(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
        names.update(node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    result = [
        getattr(boto, name) for name in sorted(names) if inspect.isclass(getattr(boto, name, None))
    ]
    assert len(result) > 15
    plain: list[type[Exception]] = [
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        IndexError,
        RuntimeError,
        OSError,
        RecursionError,
        UnicodeError,
        ArithmeticError,
        EOFError,
        LookupError,
        MemoryError,
        StopIteration,
        AssertionError,
        ImportError,
        NotImplementedError,
    ]
    return [item for item in result if issubclass(item, Exception)] + plain


def made(kind: type[Exception]) -> Exception:
    if issubclass(kind, boto.ClientError):
        return kind({"Error": {"Code": "X", "Message": "m"}}, "GetRoleCredentials")
    if issubclass(kind, boto.BotoCoreError):
        return kind(**dict.fromkeys(re.findall(r"{(\w+)}", str(getattr(kind, "fmt", ""))), "x"))
    return kind()


@pytest.mark.slow("sweeps", keep=12)
@pytest.mark.parametrize("kind", raised_by_sources(), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("when", ["load", "use"])
@pytest.mark.parametrize("source", ["env", "custom-process", "assume-role", "of-a-later-botocore"])
def test_whatever_a_source_raises_is_an_error_of_credentials(
    machine: AwsMachine, kind: type[Exception], when: str, source: str
) -> None:
    class Keys:
        method = source

        def get_frozen_credentials(self) -> object:
            raise made(kind)

        def get_deferred_property(self, name: str) -> object:
            raise made(kind)

    class Source:
        METHOD = CANONICAL_NAME = source

        def load(self) -> object:
            if when == "load":
                raise made(kind)
            return Keys()

    aws = Aws(None, "eu-west-1")
    resolver = aws._locked_session()._session.get_component("credential_provider")
    resolver.providers[:] = [Source()]
    sources.guard(resolver, print)
    with pytest.raises(ToolkitError) as refused:
        aws.account()
    assert refused.value.exit == Exit.CREDENTIALS
    assert isinstance(refused.value, (CredentialsProblem, Unreachable))
    assert next_of(refused.value)
