"""Who may talk to the sandbox: attacks by others on this machine, and by web pages."""

from __future__ import annotations

import base64
import http.client
import io
import json
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from botocore.config import Config  # type: ignore[import-untyped]

from tests.sandbox.test_engine import REPOSITORY, create, define, eventually
from tests.support.sandbox import ACCOUNT, REGION, Cloud, Emulator
from toolkit.operations import Location, Provision, ProvisionKind
from toolkit.ports.aws.client import Aws
from toolkit.sandbox import guard, images, provision, server, signature

S3: dict[str, Any] = {"CreateBucketConfiguration": {"LocationConstraint": REGION}}


class Stranger:
    """Somebody else on this machine: knows the address, and no secret."""

    def __init__(self, emulator: Emulator) -> None:
        self.port = emulator.process.port

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        to: str = "127.0.0.1",
    ) -> tuple[int, bytes]:
        """Status and content of the answer."""
        connection = http.client.HTTPConnection(to, self.port, timeout=10)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@pytest.fixture
def stranger(cloud: Cloud) -> Stranger:
    return Stranger(cloud.emulator)


@pytest.fixture
def aws(cloud: Cloud) -> Aws:
    return cloud.aws()


def buckets(aws: Aws) -> list[str]:
    return [item["Name"] for item in aws.read("s3", "list_buckets")["Buckets"]]


def signed(
    method: str, host: str, path: str, body: bytes, secret: str, when: datetime, service: str = "s3"
) -> dict[str, str]:
    return signature.sign(
        signature.Signer(ACCOUNT, secret, REGION, service), method, host, path, body, when
    )


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/", {}),
        ("PUT", "/stolen", {}),
        ("POST", "/2015-03-31/functions", {"content-type": "application/json"}),
        ("POST", "/2015-03-31/functions/f/invocations", {}),
        (
            "POST",
            "/",
            {"x-amz-target": "AmazonEC2ContainerServiceV20141113.RegisterTaskDefinition"},
        ),
        ("POST", "/", {"content-type": "application/x-www-form-urlencoded"}),
        ("POST", "/_ministack/reset", {}),
        ("POST", "/_ministack/config", {}),
        ("GET", "/_ministack/health", {}),
        ("GET", "/_ministack/lambda-code/111111111111/eu-west-1/f", {}),
        ("POST", "/_toolkit/hosts", {}),
        ("GET", "/_toolkit", {}),
        ("OPTIONS", "/", {}),
        ("GET", "/v4/a-token-that-nobody-has", {}),
        ("GET", "/v2/credentials/x", {}),
        ("GET", "/latest/meta-data/iam/security-credentials/x", {}),
        ("PUT", "/latest/api/token", {"x-aws-ec2-metadata-token-ttl-seconds": "60"}),
        ("PUT", "/_ministack/cfn-response/nobody-has-it", {}),
        ("PUT", "/_ministack/cfn-signal/nobody-has-it", {}),
        (
            "GET",
            "/",
            {
                "authorization": (
                    "AWS4-HMAC-SHA256 Credential=111111111111/20260101/eu-west-1/s3/aws4_request"
                )
            },
        ),
        ("GET", "/", {"authorization": "AWS 111111111111:abc="}),
        ("GET", "/", {"authorization": "Basic QVdTOnNhbmRib3g="}),
        ("GET", "/?X-Amz-Signature=0", {}),
        ("GET", "/?AWSAccessKeyId=111111111111&Signature=x&Expires=9999999999", {}),
        ("PUT", "/stolen", {"host": "stolen.s3.eu-west-1.amazonaws.com"}),
        ("GET", "/", {"host": "abcdefgh.execute-api.localhost"}),
        ("GET", "/", {"host": f"{'a' * 32}.lambda-url.eu-west-1.on.aws"}),
    ],
)
def test_a_request_that_nobody_has_signed_is_refused(
    stranger: Stranger, aws: Aws, method: str, path: str, headers: dict[str, str]
) -> None:
    aws.write("s3", "create_bucket", Bucket="mine", **S3)
    assert stranger.ask(method, path, headers)[0] == 403
    assert buckets(aws) == ["mine"]


def test_an_ipv6_socket_to_the_mapped_loopback_is_refused(stranger: Stranger, aws: Aws) -> None:
    assert stranger.ask("PUT", "/stolen", to="::ffff:127.0.0.1")[0] == 403
    assert buckets(aws) == []


SENDER = """\
import os, socket, sys
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.socket(family) as sender:
    sender.connect((sys.argv[1], int(sys.argv[2])))
    sender.sendall(b"PUT /stolen HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nContent-Length: 0\\r\\n\\r\\n")
    if len(sys.argv) > 3:
        sender.shutdown(socket.SHUT_WR)
        sys.stdout.buffer.write(sender.recv(4096))
"""
"""Somebody else's program, where we may become somebody else."""


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1"])
def test_another_user_who_sends_and_closes_at_once_has_done_nothing(
    stranger: Stranger, aws: Aws, address: str
) -> None:
    for _ in range(20):
        subprocess.run(
            [sys.executable, "-I", "-c", SENDER, address, str(stranger.port)], check=True
        )
    assert buckets(aws) == []


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1"])
def test_another_user_is_told_no(stranger: Stranger, aws: Aws, address: str) -> None:
    command = [sys.executable, "-I", "-c", SENDER, address, str(stranger.port), "listen"]
    done = subprocess.run(command, check=True, capture_output=True)
    assert done.stdout.startswith(b"HTTP/1.1 403")
    assert buckets(aws) == []


def test_a_wrong_secret_is_refused_with_what_to_do(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.enter()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sandbox")
    for service, call in (
        ("s3", "list_buckets"),
        ("sts", "get_caller_identity"),
        ("ecs", "list_clusters"),
        ("lambda", "list_functions"),
    ):
        with pytest.raises(Exception, match=r"SignatureDoesNotMatch[\s\S]*toolkit sandbox up"):
            getattr(
                boto3.Session().client(service, endpoint_url=cloud.url, region_name=REGION), call
            )()


def test_an_access_key_that_nobody_has_handed_out_is_refused(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.enter()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    with pytest.raises(Exception, match="InvalidClientTokenId"):
        boto3.Session().client(
            "sts", endpoint_url=cloud.url, region_name=REGION
        ).get_caller_identity()


@pytest.mark.parametrize(
    "age", [timedelta(minutes=16), timedelta(days=400), timedelta(minutes=-16)]
)
def test_a_request_that_was_signed_at_another_time_is_refused(
    stranger: Stranger, cloud: Cloud, aws: Aws, age: timedelta
) -> None:
    host = f"127.0.0.1:{stranger.port}"
    headers = signed("PUT", host, "/again", b"", cloud.emulator.secret, datetime.now(UTC) - age)
    status, data = stranger.ask("PUT", "/again", headers)
    assert (status, b"RequestExpired" in data) == (403, True)
    assert buckets(aws) == []


@pytest.mark.parametrize(
    "change",
    [
        {"method": "DELETE"},
        {"path": "/other"},
        {"path": "/signed?acl"},
        {"body": b"other"},
        {"headers": {"host": "127.0.0.1:1"}},
        {"headers": {"x-amz-target": "DynamoDB_20120810.ListTables"}},
        {"headers": {"x-amz-date": "20260101T000000Z"}},
    ],
)
def test_a_signature_holds_for_one_request_only(
    stranger: Stranger, cloud: Cloud, aws: Aws, change: dict[str, Any]
) -> None:
    headers = signed(
        "PUT",
        f"127.0.0.1:{stranger.port}",
        "/signed",
        b"",
        cloud.emulator.secret,
        datetime.now(UTC),
    )
    headers |= change.get("headers", {})
    request = (
        change.get("method", "PUT"),
        change.get("path", "/signed"),
        headers,
        change.get("body", b""),
    )
    assert stranger.ask(*request)[0] == 403
    assert buckets(aws) == []


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_an_address_that_was_signed_beforehand_is_answered_and_nothing_else_by_it(
    stranger: Stranger, cloud: Cloud, aws: Aws, version: str
) -> None:
    aws.write("s3", "create_bucket", Bucket="mine", **S3)
    aws.write("s3", "put_object", Bucket="mine", Key="a b+c/é", Body=b"text")
    client = boto3.Session().client(
        "s3", endpoint_url=cloud.url, region_name=REGION, config=Config(signature_version=version)
    )
    url = client.generate_presigned_url(
        "get_object", Params={"Bucket": "mine", "Key": "a b+c/é"}, ExpiresIn=60
    )
    path = url.removeprefix(cloud.url)
    assert stranger.ask("GET", path) == (200, b"text")
    assert stranger.ask("GET", path, {"x-amz-target": "DynamoDB_20120810.ListTables"})[0] == 403
    assert stranger.ask("GET", path, {"host": "127.0.0.1.nip.io"})[0] == 403
    assert stranger.ask("GET", path, {"host": "mine.s3.localhost"})[0] == 403
    assert stranger.ask("DELETE", path)[0] == 403
    assert stranger.ask("GET", path.replace("/mine/", "/other/"))[0] == 403
    assert stranger.ask("GET", f"{path}&Action=ListUsers")[0] == 403
    assert stranger.ask("GET", path.replace("Signature=", "Signature=0"))[0] == 403
    put = client.generate_presigned_url(
        "put_object", Params={"Bucket": "mine", "Key": "k"}, ExpiresIn=60
    ).removeprefix(cloud.url)
    assert stranger.ask("PUT", put, body=b"new")[0] == 200
    assert aws.read("s3", "get_object", Bucket="mine", Key="k")["Body"].read() == b"new"
    old = client.generate_presigned_url(
        "get_object", Params={"Bucket": "mine", "Key": "k"}, ExpiresIn=-5
    ).removeprefix(cloud.url)
    assert stranger.ask("GET", old)[0] == 403


def test_an_address_of_another_service_may_be_signed_beforehand_too(
    stranger: Stranger, cloud: Cloud
) -> None:
    cloud.enter()
    client = boto3.Session().client("sts", endpoint_url=cloud.url, region_name=REGION)
    url = client.generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET")
    status, data = stranger.ask("GET", url.removeprefix(cloud.url))
    assert (status, ACCOUNT.encode() in data) == (200, True)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/_alb/x/_ministack/reset", {}),
        ("/_service/1/2/3/4/_ministack/reset", {}),
        ("/_service/../_ministack/reset", {}),
        ("/_service/%2e%2e/_ministack/reset", {}),
        ("/_alb/x", {"host": "mine.s3.localhost"}),
        ("/_alb/x", {"host": "mine.s3.eu-west-1.amazonaws.com"}),
        ("/_alb/x", {"x-amz-target": "DynamoDB_20120810.ListTables"}),
        ("/_service/1/2/3/4/", {"host": "abcdefgh.execute-api.localhost"}),
        (
            "/_service/1/2/3/4/",
            {
                "authorization": (
                    "AWS4-HMAC-SHA256 Credential=111111111111/20260101/eu-west-1/s3/aws4_request"
                )
            },
        ),
        ("/_service", {}),
        ("//_service/1/2/3/4/", {}),
        ("/_ministack/reset", {"host": "x.elb.amazonaws.com"}),
        ("/_ministack/reset", {"host": "x.eu-west-1.elb.amazonaws.com"}),
    ],
)
def test_what_is_open_for_services_opens_nothing_else(
    stranger: Stranger, aws: Aws, path: str, headers: dict[str, str]
) -> None:
    aws.write("s3", "create_bucket", Bucket="mine", **S3)
    for method in ("GET", "PUT", "POST", "DELETE", "OPTIONS"):
        assert stranger.ask(method, path, headers)[0] in (403, 503)
    assert buckets(aws) == ["mine"]


def test_a_service_is_open_to_everybody_under_each_of_its_names(
    stranger: Stranger, cloud: Cloud, aws: Aws
) -> None:
    location, detail = (
        Location("dev", REGION, ACCOUNT),
        {
            "cluster": "c",
            "repository": "app",
            "container": "main",
        },
    )
    provision.make_parts(
        [provision.PlannedPart(location, Provision(ProvisionKind.SERVICE, "s", detail))],
        lambda _: aws,
        cloud.emulator.registry,
        lambda _: None,
    )
    path = f"/_service/{ACCOUNT}/{REGION}/c/s/"
    answer = (200, b"sandbox: nothing deployed\n")
    eventually(lambda: stranger.ask("GET", path) == answer)
    server.name_hosts(cloud.emulator.process, {"api.example.com": path.rstrip("/")})
    name = aws.read("elbv2", "describe_load_balancers")["LoadBalancers"][0]
    page = {"origin": "https://example.com"}
    assert stranger.ask("GET", path, page) == answer
    assert stranger.ask("GET", "/_ministack/reset", {"host": "api.example.com", **page}) == answer
    assert stranger.ask("GET", f"/_alb/{name['LoadBalancerName']}/") == answer
    assert stranger.ask("GET", "/any/path?x=1", {"host": name["DNSName"]}) == answer
    login = {
        "authorization": "Bearer of-the-app",
        "x-amz-target": "AmazonEC2ContainerServiceV20141113.DeleteService",
    }
    assert stranger.ask("GET", path, login) == answer
    server.name_hosts(cloud.emulator.process, {})
    assert stranger.ask("GET", "/", {"host": "api.example.com"})[0] == 403


@pytest.mark.parametrize(
    "password",
    [None, "AWS:sandbox-{account}-{region}", "AWS:", "AWS:sandbox-{account}-{region}-{zeros}"],
)
@pytest.mark.parametrize("repository", ["app", "mirror/library/python"])
def test_nobody_without_the_registrys_password_pushes(
    cloud: Cloud, stranger: Stranger, aws: Aws, repository: str, password: str | None
) -> None:
    aws.write("ecr", "create_repository", repositoryName="app")
    text = (password or "").format(account=ACCOUNT, region=REGION, zeros="0" * 64)
    headers = (
        {"authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}
        if password is not None
        else {}
    )
    for method, path in (
        ("POST", "blobs/uploads/?digest=sha256:0"),
        ("PUT", "manifests/latest"),
        ("DELETE", "manifests/latest"),
    ):
        assert stranger.ask(method, f"/v2/{repository}/{path}", headers, b"{}")[0] == 401
    if repository == "app":
        assert stranger.ask("GET", "/v2/app/manifests/latest", headers)[0] == 401
    assert aws.read("ecr", "describe_images", repositoryName="app")["imageDetails"] == []


def test_the_empty_bases_are_read_without_a_password_and_nothing_through_them(
    stranger: Stranger,
) -> None:
    assert stranger.ask("GET", "/v2/mirror/library/python/manifests/3")[0] == 404
    for path in (
        "mirror/../app/manifests/v1",
        "mirror/%2e%2e/app/manifests/v1",
        "mirror%2f..%2fapp/manifests/v1",
        "app/manifests/v1",
    ):
        assert stranger.ask("GET", f"/v2/{path}")[0] in (401, 403)


def test_a_password_of_one_account_is_none_for_another(cloud: Cloud) -> None:
    secret = cloud.emulator.secret
    mine = guard.password(secret, ACCOUNT, REGION)
    assert guard.registry_scope(secret, f"AWS:{mine}") == (ACCOUNT, REGION)
    assert guard.registry_scope(secret, f"AWS:{mine.replace(ACCOUNT, '222222222222')}") is None
    assert guard.registry_scope(secret, f"AWS:{mine.replace(REGION, 'us-east-1')}") is None
    assert guard.registry_scope("other", f"AWS:{mine}") is None
    assert secret not in mine


def test_keys_that_a_role_or_a_user_was_given_are_answered(cloud: Cloud, aws: Aws) -> None:
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
    }
    aws.write("iam", "create_role", RoleName="r", AssumeRolePolicyDocument=json.dumps(trust))
    sts = boto3.Session().client("sts", endpoint_url=cloud.url, region_name=REGION)
    source = sts.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/r", RoleSessionName="session")[
        "Credentials"
    ]
    keys = {
        "aws_access_key_id": source["AccessKeyId"],
        "aws_secret_access_key": source["SecretAccessKey"],
        "aws_session_token": source["SessionToken"],
    }
    where: dict[str, Any] = {"endpoint_url": cloud.url, "region_name": REGION}
    assert (
        boto3.Session().client("sts", **where, **keys).get_caller_identity()["Account"] == ACCOUNT
    )
    with pytest.raises(Exception, match="SignatureDoesNotMatch"):
        boto3.Session().client(
            "sts", **where, **{**keys, "aws_secret_access_key": "x" * 40}
        ).get_caller_identity()
    aws.write("iam", "create_user", UserName="ada")
    key = aws.write("iam", "create_access_key", UserName="ada")["AccessKey"]
    document = {
        "aws_access_key_id": key["AccessKeyId"],
        "aws_secret_access_key": key["SecretAccessKey"],
    }
    assert boto3.Session().client("sts", **where, **document).get_caller_identity()["Arn"]
    aws.write(
        "iam",
        "update_access_key",
        UserName="ada",
        AccessKeyId=key["AccessKeyId"],
        Status="Inactive",
    )
    with pytest.raises(Exception, match="InvalidClientTokenId"):
        boto3.Session().client("sts", **where, **document).get_caller_identity()


HANDLER = """\
import os
def handler(event, context):
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL")
    return {name: os.environ.get(name) for name in names}
"""


def test_a_function_can_sign_its_own_calls(cloud: Cloud, aws: Aws) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("handler.py", HANDLER)
    aws.write(
        "lambda",
        "create_function",
        FunctionName="f",
        Runtime="python3.12",
        Role=f"arn:aws:iam::{ACCOUNT}:role/r",
        Handler="handler.handler",
        Code={"ZipFile": packed.getvalue()},
    )
    answer = json.loads(aws.write("lambda", "invoke", FunctionName="f")["Payload"].read())
    assert answer == {
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": cloud.emulator.secret,
        "AWS_ENDPOINT_URL": cloud.url,
    }


TASK = """\
import os, time
names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL")
print(*(os.environ[name] for name in names), flush=True)
print(os.environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"), flush=True)
import urllib.request
print(urllib.request.urlopen(os.environ["ECS_CONTAINER_METADATA_URI_V4"]).status, flush=True)
time.sleep(60)
"""


def test_a_task_can_sign_its_own_calls_and_read_its_own_metadata(cloud: Cloud, aws: Aws) -> None:
    aws.write("ecr", "create_repository", repositoryName="app")
    cloud.emulator.push(
        "app", "v1", images.image({"app/main.py": TASK}, ["python", "/app/main.py"], {})
    )
    create(aws, define(aws, f"{REPOSITORY}:v1"))

    def lines() -> list[str]:
        if not aws.read("logs", "describe_log_groups")["logGroups"]:
            return []
        streams = aws.read("logs", "describe_log_streams", logGroupName="/app")["logStreams"]
        events = [
            aws.read(
                "logs", "get_log_events", logGroupName="/app", logStreamName=stream["logStreamName"]
            )["events"]
            for stream in streams
        ]
        names = [event["message"].strip() for group in events for event in group]
        return names if len(names) > 2 else []

    assert eventually(lines)[:3] == [
        f"{ACCOUNT} {cloud.emulator.secret} {cloud.url}",
        "None",
        "200",
    ]


def test_a_stranger_who_has_the_port_by_now_is_not_taken_for_the_sandbox(
    emulator: Emulator,
) -> None:
    class Impostor(BaseHTTPRequestHandler):
        seen: list[str] = []  # noqa: RUF012

        def do_GET(self) -> None:
            self.seen.append(f"{self.path} {self.headers}")
            body = json.dumps({"proof": "0" * 64, "token": emulator.secret}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Impostor) as second:
        thread = threading.Thread(target=second.serve_forever)
        thread.start()
        process = emulator.process
        moved = server.Server(
            process.pid, process.born, second.server_port, process.token, process.folder
        )
        assert not server.is_answering(moved)
        second.shutdown()
        thread.join()
    assert Impostor.seen
    assert not any(emulator.secret in item for item in Impostor.seen)
    assert server.is_answering(emulator.process)


def test_neither_proof_nor_password_can_be_had_for_the_asking(
    stranger: Stranger, cloud: Cloud
) -> None:
    status, data = stranger.ask(
        "GET", "/_toolkit/proof/registry 111111111111 eu-west-1".replace(" ", "%20")
    )
    proof = json.loads(data)["proof"]
    assert status == 200
    assert proof not in guard.password(cloud.emulator.secret, ACCOUNT, REGION)
    assert cloud.emulator.secret not in data.decode()


def test_nobody_reads_the_secret_in_the_processes_environment_or_arguments(
    emulator: Emulator,
) -> None:
    entry = Path(f"/proc/{emulator.process.pid}")
    assert emulator.secret.encode() not in (entry / "cmdline").read_bytes()
    assert (entry / "environ").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://example.com"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}],
)
def test_a_web_page_is_refused_even_with_a_signature(
    stranger: Stranger, cloud: Cloud, headers: dict[str, str]
) -> None:
    by_name = signed(
        "GET", f"127.0.0.1:{stranger.port}", "/", b"", cloud.emulator.secret, datetime.now(UTC)
    )
    assert stranger.ask("GET", "/", by_name)[0] == 200
    status, data = stranger.ask("GET", "/", {**by_name, **headers})
    assert (status, b"web pages" in data) == (403, True)


@pytest.mark.parametrize("host", ["rebound.example.com:4566", "127.0.0.1.example.com", "[::1]"])
def test_a_name_that_is_not_the_sandboxs_is_refused(host: str) -> None:
    assert guard.refusal({"host": host})


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:4566",
        "localhost",
        "bucket.s3.eu-west-1.amazonaws.com",
        "abc.execute-api.localhost:4566",
    ],
)
def test_the_sandboxs_own_names_are_not_refused(host: str) -> None:
    assert guard.refusal({"host": host, "sec-fetch-site": "none"}) is None


def test_a_websocket_that_nobody_has_signed_is_closed(stranger: Stranger) -> None:
    upgrade = {
        "upgrade": "websocket",
        "connection": "upgrade",
        "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "sec-websocket-version": "13",
    }
    for path in ("/", "/_aws/execute-api/abcdefgh/prod", "/_alb/x", "/_toolkit/hosts"):
        assert stranger.ask("GET", path, upgrade)[0] == 403


def test_a_request_without_end_ends(stranger: Stranger, cloud: Cloud) -> None:
    with socket.create_connection(("127.0.0.1", stranger.port), timeout=60) as sender:
        sender.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + bytes(0x100000) + b"\r\n"
        try:
            for _ in range(400):
                sender.sendall(chunk)
            sender.sendall(b"0\r\n\r\n")
            recv = sender.recv(4096)
        except (ConnectionError, TimeoutError):
            recv = b"HTTP/1.1 403"
    assert recv.startswith(b"HTTP/1.1 403")
    assert stranger.ask("GET", "/")[0] == 403
