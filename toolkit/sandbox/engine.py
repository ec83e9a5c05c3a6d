"""Runs in the emulator's own environment, which has the standard library, ministack, and those
files of this folder that need nothing else.

This is the only file that uses internal names of ministack; emulator_names.py lists them.
"""

import asyncio
import base64
import binascii
import json
import os
import random
import re
import signal
import socket
import sys
import time
import types
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from importlib import import_module
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

# Our own folder is not on the path of this environment, and nothing else of toolkit's is wanted
# there.
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
from toolkit.sandbox import containers, emulator_names, guard, signature

sys.path.pop()

MIRROR = guard.MIRROR
MIRROR_SCOPE = ("000000000000", "us-east-1")

PROVISIONAL = {"key": "toolkit:sandbox", "value": "provisional"}
"""The tag of what the sandbox made because a target names it. A stack that brings it takes its
place.
"""

_ECR_IMAGE = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[^/]+/(?P<rest>.+)"
)
_BALANCER = re.compile(r"(?P<account>\d{12})\.(?P<region>[a-z0-9-]+)\.(?P<name>[A-Za-z0-9-]+)")

MOST_BYTES = 256 << 20
"""What one request may hold: it is kept in memory, also before it is known who sends it."""

CONNECT_S = 2.0
"""How long a task that is one of several may take to accept a connection."""

REFUSED = {
    signature.SignatureFault.UNSIGNED: "the sandbox answers signed requests only",
    signature.SignatureFault.INCOMPLETE: "the request has no complete signature of version 4",
    signature.SignatureFault.UNKNOWN: "the sandbox has no such access key",
    signature.SignatureFault.WRONG: (
        "this is not the secret key of this sandbox: run `toolkit sandbox up` again, and export"
        " what it prints"
    ),
    signature.SignatureFault.STALE: "the request was signed too long ago, or for later",
}


def missing(names: Iterable[str]) -> list[str]:
    """Which of these names are gone in the installed emulator."""
    return [name for name in names if not _exists(name)]


def _exists(name: str) -> bool:
    path, _, key = name.partition("[")
    module, _, attribute = path.rpartition(".")
    try:
        value = getattr(import_module(module), attribute)
    except (ImportError, AttributeError):
        return False
    return not key or key.removesuffix("]") in value


def main() -> None:
    """Serve on a loopback port until TERM; the port is written to a file once it is ours."""
    if sys.argv[1:2] == ["--names"]:
        sys.stdout.write("\n".join(missing(sys.argv[2:] or emulator_names.NAMES)))
        return
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            # The port of last time, so that what was exported in other shells still works.
            listener.bind(("127.0.0.1", int(os.environ.get("TOOLKIT_SANDBOX_PORT", "0"))))
        except OSError:  # somebody else has the port of before
            listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        # Not left in the environment, which programs that are started from here could inherit.
        secret = os.environ.pop("TOOLKIT_SANDBOX_SECRET")
        os.environ |= {
            "GATEWAY_PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
            "IOT_MTLS_ENABLED": "0",
        }
        os.environ["AWS_SECRET_ACCESS_KEY"] = secret  # what functions sign their own calls with
        run_images(f"127.{port >> 8}.{port & 255}", secret)
        add_resource_types()
        correct_definitions()
        correct_secrets()
        correct_buckets()
        correct_functions()
        correct_registry(port, secret)
        correct_services()
        correct_balancers()
        correct_policies()
        if os.environ.pop("TOOLKIT_SANDBOX_TIED", ""):
            Thread(target=end_with_starter, daemon=True).start()
        serve(listener, os.path.join(sys.argv[1], "port"), secret)


def end_with_starter() -> None:
    """End when the process that started us ends: it holds the other end of our standard input."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def serve(listener: socket.socket, path: str, secret: str) -> None:
    """Serve ministack's application on this socket, behind the guard."""
    from hypercorn.asyncio import serve as hypercorn  # type: ignore[import-not-found]
    from hypercorn.config import Config  # type: ignore[import-not-found]
    from ministack.app import app  # type: ignore[import-not-found]

    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 1
    config.loglevel = "WARNING"
    with open(path + ".new", "w") as file:
        file.write(os.environ["GATEWAY_PORT"])
    # Whoever waits for the file must not read half a number. (toolkit's own writer is not here.)
    os.replace(path + ".new", path)
    asyncio.run(hypercorn(guarded(app, secret), config))


def guarded(app: Any, secret: str) -> Any:
    """The application behind its guard: it is asked only for what somebody has signed who knows the
    secret of an access key.

    Before that stand the few things that ask for something else. Its registry asks who is there, as
    ECR does: the password names the account, which a loopback address cannot. And every service has
    an address that stays the same, whichever load balancer it is behind:
    `/_service/ACCOUNT/REGION/CLUSTER/SERVICE/`; and the hosts that rules.toml names for it, once
    they were told to `/_toolkit/hosts`. Those are open, so they go to the load balancer itself, or
    where there is none to a task: nothing in such a request chooses another part of the
    application.
    """
    guarded_app = _GuardedApp(app, secret)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await app(scope, receive, send)
        elif scope["type"] == "http" and (route := guarded_app.route(scope)):
            await _forward(route, scope, receive, send)
        else:
            await guarded_app.answer(scope, receive, send)

    return answer


class _GuardedApp:
    """The application behind the guard, the owner's secret, and the hosts of services."""

    def __init__(self, app: Any, secret: str) -> None:
        self._app, self._secret = app, secret
        self._hosts: dict[str, str] = {}

    def route(self, scope: Any) -> tuple[Any, str, bytes] | None:
        """Which service a request is for, None if it is for no service: see `_find_route`."""
        path, raw = scope["path"], scope["raw_path"]
        name = guard.host_name(dict(_headers(scope)))
        if name in self._hosts:
            prefix = self._hosts[name]
            path, raw = prefix + path, prefix.encode() + raw
        return _find_route(path, raw, name)

    async def answer(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer what is for no service, if whoever asks may ask it."""
        is_http, path = scope["type"] == "http", scope["path"]
        headers = dict(_headers(scope))
        refusal = guard.refusal(headers)
        if refusal is not None:
            await _refuse(send, is_http, 403, {"message": refusal})
        elif is_http and path.startswith("/_toolkit/proof/"):
            proof = guard.proof(self._secret, path.removeprefix("/_toolkit/proof/"))
            await _send_json(send, 200, {"proof": proof}, [])
        elif is_http and _is_open(scope["method"], path):
            await self._app(scope, receive, send)
        elif is_http and _is_registry(path):
            await self._answer_registry(headers.get("authorization", ""), scope, receive, send)
        else:
            await self._answer_signed(scope, receive, send)

    async def _answer_registry(
        self, authorization: str, scope: Any, receive: Any, send: Any
    ) -> None:
        host = _registry_host(self._secret, scope["method"], scope["path"], authorization)
        if host is None:
            errors = [{"code": "UNAUTHORIZED", "message": "authentication required"}]
            challenge = (b"www-authenticate", b'Basic realm="sandbox"')
            await _send_json(send, 401, {"errors": errors}, [challenge])
            return
        # The emulator takes the account and the region from the host's name.
        headers = [
            (name, value)
            for name, value in scope["headers"]
            if name.lower() not in (b"host", b"authorization")
        ]
        headers.append((b"host", host.encode()))
        await self._app({**scope, "headers": headers}, receive, send)

    async def _answer_signed(self, scope: Any, receive: Any, send: Any) -> None:
        is_http = scope["type"] == "http"
        body = await _body(receive) if is_http else b""
        headers = _headers(scope)
        signed = signature.SignedRequest(
            scope.get("method", "GET"), scope["raw_path"], scope.get("query_string", b""), headers
        )
        if body is None:
            fault: signature.SignatureFault | None = signature.SignatureFault.INCOMPLETE
        else:
            fault = signature.find_fault(
                signed, lambda key: _secret_of(key, self._secret), body, datetime.now(UTC)
            )
        if fault is not None:
            await _refuse(send, is_http, 403, {}, fault, dict(headers))
        elif is_http and scope["path"] == "/_toolkit/hosts":
            self._hosts = dict(json.loads(body or b""))
            await _send_json(send, 200, {"hosts": len(self._hosts)}, [])
        else:
            await self._app(scope, _replay(body or b"", receive) if is_http else receive, send)


def _headers(scope: Any) -> list[tuple[str, str]]:
    """The headers of a request, their names in lower case."""
    return [(name.decode("latin-1").lower(), _text(value)) for name, value in scope["headers"]]


def _find_route(path: str, raw: bytes, host: str) -> tuple[Any, str, bytes] | None:
    """The service that a request is for, and the path for it; None if it is for no service.

    The service is a load balancer, the addresses of its tasks, or in words why there is none.
    """
    from ministack.services import alb  # type: ignore[import-not-found]

    if path.startswith("/_service/"):
        *names, rest = [*path.split("/", 6)[2:], "", "", "", "", ""][:5]
        balancer = _balancer_of(*names)
        behind = alb._find_lb_by_name(balancer) if balancer else _tasks_of(*names)
        return behind, f"/{rest}", b"/" + b"".join(raw.split(b"/", 6)[6:])
    if path.startswith("/_alb/"):
        name, _, rest = path.removeprefix("/_alb/").partition("/")
        raw_rest = raw.removeprefix(b"/_alb/").partition(b"/")[2]
        return alb._find_lb_by_name(name), f"/{rest}", b"/" + raw_rest
    if host.endswith(".elb.amazonaws.com"):
        balancer = alb.find_lb_for_host(host)
        if balancer:
            return balancer, path, raw
    return None


async def _forward(route: tuple[Any, str, bytes], scope: Any, receive: Any, send: Any) -> None:
    """Hand a request to the load balancer or to a task, and to nothing else."""
    from ministack import app as gateway  # type: ignore[import-not-found]
    from ministack.services import alb

    behind, path, raw = route
    if behind is None or isinstance(behind, str):
        await _send_json(send, 503, {"message": behind or "there is no such load balancer"}, [])
        return
    headers = _joined_headers(scope)
    query = scope.get("query_string", b"").decode("utf-8", "replace")
    body = await _body(receive)
    if body is None:
        await _send_json(send, 413, {"message": "this is more than the sandbox takes"}, [])
        return
    parameters = parse_qs(query, keep_blank_values=True)
    raw_path = raw.decode("latin-1")
    if isinstance(behind, list):
        address, port = await _listening_address(behind)
        answer = await alb._proxy_http_target(
            {"Id": address, "Port": port},
            {},
            scope["method"],
            raw_path,
            headers,
            body,
            parameters,
            query,
        )
    else:
        port_match = re.search(r":([0-9]{1,5})$", headers.get("host", ""))
        answer = await alb.dispatch_request(
            behind,
            scope["method"],
            path,
            headers,
            body,
            parameters,
            int(port_match[1]) if port_match else 80,
            raw_query_string=query,
            raw_path=raw_path,
        )
    await gateway._send_if_handled(send, answer, receive)


def _joined_headers(scope: Any) -> dict[str, str]:
    """The headers by name: those of one name become one line, as a proxy may do."""
    headers: dict[str, str] = {}
    for name, value in _headers(scope):
        if name in headers:
            value = f"{headers[name]}{'; ' if name == 'cookie' else ', '}{value}"
        headers[name] = value
    return headers


async def _listening_address(addresses: list[tuple[str, int]]) -> tuple[str, int]:
    """One of these addresses that accepts connections, since a task that has just started may not
    yet; the last one if none does.
    """
    # As a load balancer does: each task gets requests.
    shuffled = random.sample(addresses, len(addresses))
    for address in shuffled[:-1]:
        if await _listens(address):
            return address
    return shuffled[-1]


async def _listens(address: tuple[str, int]) -> bool:
    """Whether something accepts connections there."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(*address), CONNECT_S)
    except OSError:
        return False
    writer.close()
    return True


def _is_open(method: str, path: str) -> bool:
    """Whether the path itself is a secret: one that a task, a custom resource or a wait condition
    was given, long and random.
    """
    from ministack.services import ecs_metadata
    from ministack.services.cloudformation import custom_resource, wait_conditions  # type: ignore[import-not-found]

    token = path.rpartition("/")[2]
    if method == "PUT" and path == f"/_ministack/cfn-response/{token}":
        return token in custom_resource._pending
    if method == "PUT" and path == f"{wait_conditions.SIGNAL_PATH}{token}":
        return bool(wait_conditions.has_handle(token))
    return (
        method == "GET"
        and path.startswith("/v4/")
        and path.split("/")[2] in ecs_metadata._TOKEN_TO_TASK
    )


def _secret_of(key: str, secret: str) -> str | None:
    """The secret of an access key, None if there is no such key. An account's number is the key of
    its owner.
    """
    from ministack.services import iam, sts

    if re.fullmatch(r"[0-9]{12}", key) or key == "test":
        return secret
    session = sts._sessions.get(key)
    if session is not None:
        expires = session.get("Expiration")
        if isinstance(expires, int | float) and time.time() >= expires:
            return None
        return session.get("SecretAccessKey") or None
    # The same key in two accounts says nothing: it cannot be told whose it is.
    keys = [
        entry
        for (_, name), entry in iam._access_keys.to_dict().items()
        if name == key and entry.get("Status") == "Active"
    ]
    if len(keys) != 1:
        return None
    return keys[0].get("SecretAccessKey") or None


def _balancer_of(account: str, region: str, cluster: str, service: str) -> str | None:
    """The name of the load balancer that a service is behind, None if there is none."""
    from ministack.core.responses import request_scope  # type: ignore[import-not-found]
    from ministack.services import alb, ecs

    with request_scope(account, region):
        stored = ecs._services.get(f"{cluster}/{service}") or {}
        for entry in stored.get("loadBalancers") or ():
            group = alb._tgs.get(entry.get("targetGroupArn")) or {}
            for arn in group.get("LoadBalancerArns", ()):
                balancer = alb._lbs.get(arn)
                if balancer:
                    return f"{account}.{region}.{balancer['LoadBalancerName']}"
    return None


def _tasks_of(account: str, region: str, cluster: str, service: str) -> list[tuple[str, int]] | str:
    """Where the running tasks of a service listen; in words why there are none."""
    from ministack.core.responses import request_scope
    from ministack.services import ecs

    with request_scope(account, region):
        stored = ecs._services.get(f"{cluster}/{service}") or {}
        if stored.get("status") != "ACTIVE":
            return "there is no such service"
        running: dict[str, tuple[str, int] | None] = {}
        """By the task's ARN: the container that listens, and its port."""
        for task in list(ecs._tasks.values()):
            is_own = task.get("group") == f"service:{service}"
            is_own = is_own and task.get("clusterArn") == stored["clusterArn"]
            if is_own and task.get("lastStatus") == "RUNNING":
                key = ecs._resolve_td_key(task["taskDefinitionArn"])
                running[task["taskArn"]] = _first_port(ecs._task_defs.get(key) or {})
        if running and not any(running.values()):
            return (
                "this service is behind no load balancer, and its task definition has no"
                " portMappings"
            )
        addresses = []
        for container in ecs._docker.containers.list():
            listener = running.get(container.labels.get("com.amazonaws.ecs.task-arn"))
            name = container.labels.get("com.amazonaws.ecs.container-name")
            if listener and listener[0] == name and container.is_running:
                addresses.append((container.address, listener[1]))
        return addresses or "no task of this service runs"


def _first_port(definition: dict[str, Any]) -> tuple[str, int] | None:
    """The first container that listens, and its port; None if none does."""
    for container in definition.get("containerDefinitions") or ():
        for mapping in container.get("portMappings") or ():
            if mapping.get("containerPort"):
                return container["name"], int(mapping["containerPort"])
    return None


def _text(value: bytes) -> str:
    """A header's value, decoded as UTF-8 if possible."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


async def _body(receive: Any) -> bytes | None:
    """The body of a request; None if it is too large or its sender has gone."""
    parts, size, more = [], 0, True
    while more:
        event = await receive()
        if event["type"] != "http.request":
            return None
        parts.append(event.get("body", b""))
        size, more = size + len(parts[-1]), event.get("more_body", False)
        if size > MOST_BYTES:
            return None
    return b"".join(parts)


def _replay(body: bytes, receive: Any) -> Any:
    """A `receive` that gives the application the body that was read already, then what follows."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_event() -> Any:
        return waiting.pop() if waiting else await receive()

    return next_event


async def _refuse(
    send: Any,
    is_http: bool,
    status: int,
    body: dict[str, Any],
    fault: signature.SignatureFault | None = None,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Refuse a request; for a bad signature in the words and format that AWS's clients
    understand.
    """
    if not is_http:
        await send({"type": "websocket.close", "code": 1008})
        return
    if fault is None or headers is None:
        await _send_json(send, status, body, [])
        return
    words = REFUSED[fault]
    error_header = [(b"x-amzn-errortype", fault.encode())]
    service = re.search(r"/([a-z0-9-]+)/aws4_request", headers.get("authorization", ""))
    form = "urlencoded" in headers.get("content-type", "") and "x-amz-target" not in headers
    if form or (service and service[1] in ("s3", "cloudfront", "route53")):
        text = (
            f"<ErrorResponse><Error><Code>{fault}</Code><Message>{words}</Message></Error>"
            "<RequestId>sandbox</RequestId></ErrorResponse>"
        )
        if service and service[1] == "s3":
            text = f"<Error><Code>{fault}</Code><Message>{words}</Message></Error>"
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(b"content-type", b"text/xml"), *error_header],
            }
        )
        await send({"type": "http.response.body", "body": text.encode()})
    else:
        await _send_json(send, status, {"__type": str(fault), "message": words}, error_header)


async def _send_json(
    send: Any, status: int, body: dict[str, Any], headers: list[tuple[bytes, bytes]]
) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", b"application/json"), *headers],
        }
    )
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


def _is_registry(path: str) -> bool:
    """Whether a path is the registry's: others, such as API Gateway, use `/v2/` as well."""
    return path in ("/v2", "/v2/", "/v2/_catalog") or (
        path.startswith("/v2/")
        and ("/blobs/" in path or "/manifests/" in path or path.endswith("/tags/list"))
    )


def _registry_host(secret: str, method: str, path: str, authorization: str) -> str | None:
    """The ECR host that a request is for, None if it is not allowed."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        login = base64.b64decode(encoded).decode() if scheme.lower() == "basic" else None
    except (binascii.Error, UnicodeDecodeError):
        return None
    scope = guard.registry_scope(secret, login)
    if guard.is_public(method, path) or (scope and path.startswith(f"/v2/{MIRROR}")):
        return _host(*MIRROR_SCOPE)
    return _host(*scope) if scope else None


def _host(account: str, region: str) -> str:
    return f"{account}.dkr.ecr.{region}.amazonaws.com"


def run_images(network: str, secret: str) -> None:
    """Run tasks from the images in the registry. Only ECS gets this engine; anything else that
    asks for Docker gets the answer that there is none.
    """
    from ministack.services import ecs

    class MissingImage(ecs._ImagePullError, containers.ImageNotFound):  # type: ignore[misc]
        """What ECS calls CannotPullContainerError."""

    def no_engine(*_: Any, **__: Any) -> None:
        raise containers.DockerException("there is no Docker engine in the sandbox")

    docker, errors = types.ModuleType("docker"), types.ModuleType("docker.errors")
    kinds = (
        containers.DockerException,
        containers.APIError,
        containers.NotFound,
        containers.ImageNotFound,
    )
    vars(errors).update({kind.__name__: kind for kind in kinds})
    vars(docker).update(errors=errors, from_env=no_engine, DockerClient=no_engine)
    sys.modules |= {"docker": docker, "docker.errors": errors}
    ecs._docker = containers.EngineClient(
        lambda name: _find_image(name, MissingImage), network, secret
    )


def _find_image(name: str, missing_error: type[Exception]) -> containers.StoredImage:
    """An image of the registry by its name. Raises `missing_error`."""
    from ministack.services import ecr

    with _scope_of(name) as (repository, reference):
        digest, manifest, _ = ecr._resolve_manifest(repository, reference)
        if digest is None or manifest is None:
            raise missing_error(
                f"pull image manifest has been retried 1 time(s): failed to resolve ref {name}:"
                f" {name}: not found"
            )
        described = json.loads(manifest)
        if "manifests" in described:
            inner = ecr._resolve_manifest(repository, _platform_digest(described["manifests"]))[1]
            described = json.loads(inner or b"{}")
        blobs = ecr._layer_blobs.get(repository, {})
    if "layers" not in described:
        raise missing_error(
            f"no matching manifest for linux/amd64 in the manifest list entries of {name}"
        )
    digests = [described["config"]["digest"], *(layer["digest"] for layer in described["layers"])]
    for blob in digests:
        if blob not in blobs:
            raise missing_error(f"failed to fetch {blob} of {name}: not found")
    config = json.loads(blobs[digests[0]]).get("config") or {}
    return containers.StoredImage(digest, config, [bytes(blobs[blob]) for blob in digests[1:]])


def _platform_digest(manifests: list[dict[str, Any]]) -> str:
    """The digest of the image to run out of several: programs are this machine's, so amd64 is only
    the usual one.
    """
    linux = [entry for entry in manifests if (entry.get("platform") or {}).get("os") == "linux"]
    for entry in linux:
        if entry["platform"].get("architecture") == "amd64":
            return str(entry["digest"])
    return str(linux[0]["digest"]) if linux else ""


class _scope_of:  # noqa: N801 (used as a function)
    """Within the account and region that an image's name means: its repository, and its tag or
    digest.
    """

    def __init__(self, name: str) -> None:
        from ministack.core.responses import get_account_id, get_region, request_scope

        scope = (get_account_id(), get_region())
        ecr_image = _ECR_IMAGE.fullmatch(name)
        if ecr_image:
            scope, name = (ecr_image["account"], ecr_image["region"]), ecr_image["rest"]
        elif re.match(r"127\.0\.0\.1:\d+/", name):
            name = name.partition("/")[2]
        repository, _, digest = name.partition("@")
        repository, _, tag = repository.partition(":")
        if repository.startswith(MIRROR):
            scope = MIRROR_SCOPE  # the bases are everybody's
        self._scope = request_scope(*scope)
        self._parts = (repository, digest or tag or "latest")

    def __enter__(self) -> tuple[str, str]:
        self._scope.__enter__()
        return self._parts

    def __exit__(self, *problem: object) -> None:
        self._scope.__exit__(*problem)


def add_resource_types() -> None:
    """CloudFormation types that a CDK service with a load balancer and scaling has. Those of no
    effect here are only remembered.
    """
    from ministack.services.cloudformation import provisioners

    handlers = provisioners._RESOURCE_HANDLERS

    def address(suffix: str, props: dict[str, Any]) -> tuple[str, dict[str, str]]:
        ip = "192.0.2.1"
        return ip, {"AllocationId": f"eipalloc-{suffix}", "PublicIp": ip}

    def gateway(suffix: str, props: dict[str, Any]) -> tuple[str, dict[str, str]]:
        return f"nat-{suffix}", {"NatGatewayId": f"nat-{suffix}"}

    def policy(suffix: str, props: dict[str, Any]) -> tuple[str, dict[str, str]]:
        return f"policy-{suffix}", {"Arn": f"policy-{suffix}"}

    def scalable(suffix: str, props: dict[str, Any]) -> tuple[str, dict[str, str]]:
        parts = (props.get(key) for key in ("ResourceId", "ScalableDimension", "ServiceNamespace"))
        name = "|".join(str(part) for part in parts)
        return name, {"Id": name}

    additions = {
        "AWS::EC2::SecurityGroupIngress": _security_rule("IpPermissions"),
        "AWS::EC2::SecurityGroupEgress": _security_rule("IpPermissionsEgress"),
        "AWS::EC2::EIP": _inert(address),
        "AWS::EC2::NatGateway": _inert(gateway),
        "AWS::ApplicationAutoScaling::ScalableTarget": _inert(scalable),
        "AWS::ApplicationAutoScaling::ScalingPolicy": _inert(policy),
    }
    for name, handler in additions.items():
        handlers.setdefault(name, handler)  # what the emulator has itself is better
    _replace_provisional(handlers["AWS::ECS::Service"])


def _security_rule(key: str) -> dict[str, Any]:
    """The handler of a rule that stands on its own: it is added to its group's list `key`."""
    from ministack.services import ec2
    from ministack.services.cloudformation import provisioners

    def create(logical_id: str, props: dict[str, Any], stack: str) -> tuple[str, dict[str, str]]:
        group = ec2._security_groups[props["GroupId"]]
        group[key] = [*group.get(key, []), *provisioners._ec2_sg_permissions([props])]
        name = f"sgr-{uuid.uuid4().hex[:17]}"
        return name, {"Id": name}

    def delete(physical_id: str, props: dict[str, Any]) -> None:
        group = ec2._security_groups.get(props["GroupId"], {})
        removed = provisioners._ec2_sg_permissions([props])
        group[key] = [permission for permission in group.get(key, []) if permission not in removed]

    return {"create": create, "delete": delete}


def _inert(name: Callable[[str, dict[str, Any]], tuple[str, dict[str, str]]]) -> dict[str, Any]:
    """The handler of a type that has no effect: `name` gives its physical id and attributes."""

    def create(logical_id: str, props: dict[str, Any], stack: str) -> tuple[str, dict[str, str]]:
        return name(uuid.uuid4().hex[:17], props)

    def update(
        physical_id: str, old: dict[str, Any], new: dict[str, Any], stack: str
    ) -> tuple[str, dict[str, str]]:
        return physical_id, name(uuid.uuid4().hex[:17], new)[1]

    return {"create": create, "update": update, "delete": lambda physical_id, props: None}


_OWN_KEYS = frozenset(("DockerLabels", "DriverOpts", "Labels", "Options"))
"""Members whose keys are the user's own."""
_ABBREVIATED = {
    "EFSVolumeConfiguration": "efsVolumeConfiguration",
    "FSxWindowsFileServerVolumeConfiguration": "fsxWindowsFileServerVolumeConfiguration",
    "IAM": "iam",
}
_MORE_OF_A_DEFINITION = (
    "EphemeralStorage",
    "PlacementConstraints",
    "ProxyConfiguration",
    "RuntimePlatform",
    "Volumes",
)


def correct_definitions() -> None:
    """Make a stack's task definition complete: all that its template says (secrets, health checks,
    volumes, dependencies), named as in the ECS API, without empty values, and tagged with the stack
    as CloudFormation does.
    """
    from ministack.services import ecs
    from ministack.services.cloudformation import provisioners

    plain = provisioners._ecs_task_def_create

    def create(logical_id: str, props: dict[str, Any], stack: str) -> Any:
        created = plain(logical_id, props, stack)
        arn = created[0]
        definition = ecs._task_defs[arn.rpartition("/")[2]]
        for name in _MORE_OF_A_DEFINITION:
            if name in props:
                definition[_as_api_name(name)] = as_api(props[name])
        for name in [name for name, value in definition.items() if value == ""]:
            del definition[name]
        tags = {"aws:cloudformation:stack-name": stack, "aws:cloudformation:logical-id": logical_id}
        ecs._tags[arn] = [*ecs._tags.get(arn, ()), *_tag_list(tags)]
        return created

    provisioners._normalize_container_defs = as_api
    provisioners._ecs_task_def_create = create
    provisioners._RESOURCE_HANDLERS["AWS::ECS::TaskDefinition"]["create"] = create


def _tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


def as_api(value: Any) -> Any:
    """A part of a template's task definition, with the names of the ECS API."""
    if isinstance(value, list):
        return [as_api(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    named: dict[str, Any] = {}
    for name, inner in value.items():
        named[_as_api_name(name)] = inner if name in _OWN_KEYS else as_api(inner)
    return named


def _as_api_name(name: str) -> str:
    return _ABBREVIATED.get(name, name[:1].lower() + name[1:])


def correct_secrets() -> None:
    """Make a template's `Ref` of a secret its ARN. With its name, a task would look for a
    parameter.
    """
    from ministack.services import secretsmanager
    from ministack.services.cloudformation import provisioners

    handler = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]
    create, update, delete = handler["create"], handler["update"], handler["delete"]

    def named(physical_id: str) -> str:
        return str(secretsmanager._resolve(physical_id)[0] or physical_id)

    def by_arn(created: tuple[str, dict[str, str]]) -> tuple[str, dict[str, str]]:
        return created[1].get("Arn", created[0]), created[1]

    handler["create"] = lambda logical_id, props, stack: by_arn(create(logical_id, props, stack))
    handler["update"] = lambda physical_id, *more, **named_more: by_arn(
        update(named(physical_id), *more, **named_more)
    )
    handler["delete"] = lambda physical_id, props: delete(named(physical_id), props)


def correct_buckets() -> None:
    """Refuse to delete a stack's bucket that is not empty, as S3 does."""
    from ministack.services import s3
    from ministack.services.cloudformation import provisioners

    handler = provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]
    delete = handler["delete"]

    def delete_empty(physical_id: str, props: dict[str, Any]) -> Any:
        status, _, body = s3._delete_bucket(physical_id)
        if status == 409:
            message = re.search(rb"<Message>(.*?)</Message>", body)
            raise RuntimeError(message[1].decode() if message else "the bucket is not empty")
        return delete(physical_id, props)

    handler["delete"] = delete_empty


def correct_functions() -> None:
    """Let the weights of an alias route its calls; publish no version of other code than was asked
    for, and none while an update is in progress. A stack waits for the end of that, as in AWS, and
    does not take the name of a function that is there, unless the sandbox has made that.
    """
    from ministack.core.responses import error_response_json
    from ministack.services import lambda_svc
    from ministack.services.cloudformation import provisioners

    plain_invoke, plain_publish = lambda_svc._invoke, lambda_svc._publish_version
    handler = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Version"]
    plain_create = handler["create"]
    is_waited_for = ContextVar("is_waited_for", default=False)

    async def invoke(
        name: str,
        event: Any,
        headers: Any,
        path_qualifier: str | None = None,
        query_params: Any = None,
    ) -> Any:
        qualifier = lambda_svc._qualifier_from_path_or_query(path_qualifier, query_params)
        function = lambda_svc._functions.get(name)
        alias = ((function or {}).get("aliases") or {}).get(qualifier)
        if alias is not None:
            path_qualifier = _routed_version(alias)
        return await plain_invoke(name, event, headers, path_qualifier, query_params)

    def publish(name: str, data: dict[str, Any]) -> Any:
        config = (lambda_svc._functions.get(name) or {}).get("config") or {}
        if config.get("LastUpdateStatus") == "InProgress" and not is_waited_for.get():
            message = (
                "The operation cannot be performed at this time. An update is in progress for"
                f" resource: {config.get('FunctionArn')}"
            )
            return error_response_json("ResourceConflictException", message, 409)
        wanted, actual = data.get("CodeSha256"), config.get("CodeSha256")
        if config and wanted and wanted != actual:
            message = (
                f"CodeSHA256 ({wanted}) is different from current CodeSHA256 in $LATEST"
                f" ({actual}). Please try again with the CodeSHA256 in $LATEST."
            )
            return error_response_json("InvalidParameterValueException", message, 400)
        return plain_publish(name, data)

    def create(*args: Any) -> Any:
        token = is_waited_for.set(True)
        try:
            return plain_create(*args)
        finally:
            is_waited_for.reset(token)

    function_handler = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    plain_function = function_handler["create"]

    def create_function(logical_id: str, props: dict[str, Any], stack: str) -> Any:
        name = str(props.get("FunctionName", ""))
        existing = lambda_svc._functions.get(name)
        tags = (existing or {}).get("tags") or {}
        if existing is not None and tags.get(PROVISIONAL["key"]) != PROVISIONAL["value"]:
            message = f"Function already exist: {name} (Service: Lambda, Status Code: 409)"
            raise ValueError(
                f'Resource handler returned message: "{message}" (HandlerErrorCode: AlreadyExists)'
            )
        return plain_function(logical_id, props, stack)

    lambda_svc._invoke, lambda_svc._publish_version = invoke, publish
    handler["create"], function_handler["create"] = create, create_function


def _routed_version(alias: dict[str, Any]) -> str:
    """The version that the next call of an alias goes to, by its weights."""
    weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    chance = random.random()  # noqa: S311 (no secret)
    for version, weight in weights.items():
        if chance < weight:
            return str(version)
        chance -= weight
    return str(alias["FunctionVersion"])


def _replace_provisional(handler: dict[str, Any]) -> None:
    """Let a stack create a service that the sandbox has created provisionally."""
    from ministack.services import ecs

    plain = handler["create"]

    def create(logical_id: str, props: dict[str, Any], stack: str) -> Any:
        cluster, name = props.get("Cluster", "default"), props.get("ServiceName", "")
        existing = ecs._services.get(f"{ecs._resolve_cluster_name(cluster)}/{name}")
        if (
            existing
            and existing["status"] == "ACTIVE"
            and PROVISIONAL in ecs._tags.get(existing["serviceArn"], [])
        ):
            ecs._delete_service({"cluster": cluster, "service": name, "force": True})
            ecs._tags.pop(existing["serviceArn"], None)
        return plain(logical_id, props, stack)

    handler["create"] = create


def correct_registry(port: int, secret: str) -> None:
    """Put the registry on the loopback, name the account in its password, make a missing image an
    error, and an image as large as its layers, as in AWS.
    """
    from ministack.core.responses import error_response_json, get_account_id, get_region
    from ministack.services import ecr

    plain_token, plain_images = ecr._get_authorization_token, ecr._describe_images

    def token(data: dict[str, Any]) -> Any:
        status, headers, body = plain_token(data)
        answer = json.loads(body)
        login = f"AWS:{guard.password(secret, get_account_id(), get_region())}"
        for entry in answer["authorizationData"]:
            entry["authorizationToken"] = base64.b64encode(login.encode()).decode()
            entry["proxyEndpoint"] = f"http://127.0.0.1:{port}"
        return status, headers, json.dumps(answer).encode()

    def images(data: dict[str, Any]) -> Any:
        name = data.get("repositoryName", "")
        if name not in ecr._repositories:
            return plain_images(data)
        for image in data.get("imageIds") or ():
            if ecr._find_image(name, image) is None:
                shown = ", ".join(f"{key}:'{value}'" for key, value in image.items())
                message = (
                    f"The image with imageId {{{shown}}} does not exist within the repository with"
                    f" name '{name}'"
                )
                return error_response_json("ImageNotFoundException", message, 400)
        status, headers, body = plain_images(data)
        answer = json.loads(body)
        for details in answer.get("imageDetails") or ():
            details["imageSizeInBytes"] = size_of(name, str(details["imageDigest"]))
        return status, headers, json.dumps(answer).encode()

    def size_of(name: str, digest: str) -> int:
        """Bytes of the layers and the configuration; of several images in one, the largest."""
        record = ecr._find_image(name, {"imageDigest": digest})
        if record is None:
            return 0
        manifest = json.loads(record["imageManifest"])
        inner = [size_of(name, str(each["digest"])) for each in manifest.get("manifests") or ()]
        parts = [*(manifest.get("layers") or ()), manifest.get("config") or {}]
        return max(inner, default=sum(int(part.get("size") or 0) for part in parts))

    ecr._get_authorization_token, ecr._describe_images = token, images


def correct_balancers() -> None:
    """Find a load balancer in whichever account it is: a browser does not name an account. What it
    asks can be asked already, and still.
    """
    from ministack.services import alb

    alb.find_lb_for_host = _in_all_accounts(alb.find_lb_for_host)
    alb._find_lb_by_name = _in_all_accounts(alb._find_lb_by_name)
    alb._proxy_http_target = _only_to_healthy(alb._proxy_http_target)


def _only_to_healthy(proxy: Callable[..., Any]) -> Callable[..., Any]:
    """Requests go to those targets that accept connections, and are not about to be stopped: at
    AWS, a task that has just started gets none before it has passed its health check, and one that
    is stopped is drained first.
    """
    from ministack.services import alb, ecs

    async def forward(target: dict[str, Any], group: dict[str, Any], *request: Any) -> Any:
        registered = alb._targets.get(group.get("TargetGroupArn"), [])
        if not registered or group.get("TargetType") != "ip":
            return await proxy(target, group, *request)
        tasks = ecs._docker.containers
        by_address = {
            (str(each["Id"]), int(each.get("Port") or group.get("Port") or 80)): each
            for each in registered
        }
        until = time.monotonic() + CONNECT_S
        while True:
            serving = [address for address in by_address if not tasks.is_draining(address[0])]
            address = await _listening_address(serving or list(by_address))
            with tasks.asking(address[0]):
                # The emulator stops the old task before the new one listens; ECS never does.
                stopped = bool(serving) and tasks.is_draining(address[0])
                if time.monotonic() < until and (stopped or not await _listens(address)):
                    await asyncio.sleep(0.02)
                    continue
                return await proxy(by_address[address], group, *request)

    return forward


def _in_all_accounts(find: Callable[[str], Any]) -> Callable[[str], Any]:
    """The same search, in each account and region. `ACCOUNT.REGION.NAME` means just one of them."""
    from ministack.core.responses import request_scope, set_request_account_id, set_request_region
    from ministack.services import alb

    def search(name: str) -> Any:
        exact = _BALANCER.fullmatch(name)
        if exact:
            name, scopes = exact["name"], [exact.group("account", "region")]
        else:
            scopes = [(account, region) for (account, region, _), _ in alb._lbs.all_items()]
        for account, region in dict.fromkeys(scopes):
            with request_scope(account, region):
                balancer = find(name)
            if balancer is not None:
                # What follows in this request reads its rules and targets in the same scope.
                set_request_account_id(account)
                set_request_region(region)
                return balancer
        return None

    return search


def correct_services() -> None:
    """Make a first deployment take its time, refuse task definitions as ECS does, and remember each
    deployment.
    """
    from ministack.services import ecs

    plain, run_task = ecs._make_deployment, ecs._run_task

    def make_deployment(*args: Any, **options: Any) -> Any:
        return {
            **plain(*args, **options),
            "rolloutState": "IN_PROGRESS",
            "rolloutStateReason": "",
        }

    def run_known_task(data: dict[str, Any]) -> Any:
        return _definition_refusal(data.get("taskDefinition", "")) or run_task(data)

    deployments = _ServiceDeployments()
    ecs._make_deployment = make_deployment
    ecs._create_service = deployments.recording(ecs._create_service)
    ecs._update_service = deployments.recording(ecs._update_service)
    ecs._ACTION_MAP |= {
        "CreateService": ecs._create_service,
        "UpdateService": ecs._update_service,
        # Only the call: a service goes on with a task definition that is inactive by now.
        "RunTask": run_known_task,
        "ListServiceDeployments": deployments.list,
        "DescribeServiceDeployments": deployments.describe,
        "DescribeServiceRevisions": deployments.describe_revisions,
        "StopServiceDeployment": deployments.stop,
    }


def _definition_refusal(named: str) -> Any:
    """What ECS answers where a task definition is unknown or inactive; None for one that it
    takes.
    """
    from ministack.core.responses import error_response_json
    from ministack.services import ecs

    definition = ecs._task_defs.get(ecs._resolve_td_key(named))
    if definition is None:
        return error_response_json("ClientException", "TaskDefinition not found.", 400)
    if definition.get("status") != "ACTIVE":
        return error_response_json("ClientException", "TaskDefinition is inactive", 400)
    return None


class _Deployment:
    """One deployment of a service and the one before it, as the emulator stores them."""

    def __init__(
        self, service: dict[str, Any], deployment: dict[str, Any], before: dict[str, Any] | None
    ) -> None:
        self.service, self.deployment, self.before = service, deployment, before
        self.stopped = False

    @property
    def arn(self) -> str:
        """Its own ARN."""
        return _deployment_arn(self.service, self.deployment)

    @property
    def revision_arn(self) -> str:
        """The ARN of what it puts live."""
        return _revision_arn(self.service, self.deployment)

    @property
    def can_be_stopped(self) -> bool:
        """Whether it goes on, and there is one to go back to."""
        return (
            self.deployment["rolloutState"] == "IN_PROGRESS"
            and self.deployment is _primary(self.service)
            and self.before is not None
            and self.before in self.service["deployments"]
        )

    @property
    def status(self) -> str:
        """A service deployment's status, from the state of the deployment that it is."""
        state, primary = self.deployment["rolloutState"], _primary(self.service)
        if state == "COMPLETED":
            return "SUCCESSFUL"
        if state == "FAILED" and self.before is not None and primary is self.before:
            is_back = primary["rolloutState"] == "COMPLETED"
            return "ROLLBACK_SUCCESSFUL" if is_back else "ROLLBACK_IN_PROGRESS"
        if state == "IN_PROGRESS" and self.deployment is primary:
            return "IN_PROGRESS"
        return "STOPPED"

    def described(self) -> dict[str, Any]:
        """What DescribeServiceDeployments says of it."""
        service, deployment, before = self.service, self.deployment, self.before
        status = self.status
        rolled_back = status.startswith("ROLLBACK") and before is not None
        facts = {
            "serviceDeploymentArn": self.arn,
            "serviceArn": service["serviceArn"],
            "clusterArn": service["clusterArn"],
            "status": status,
            "createdAt": deployment["createdAt"],
            "startedAt": deployment["createdAt"],
            "updatedAt": deployment["updatedAt"],
            "statusReason": deployment["rolloutStateReason"],
            "deploymentConfiguration": service["deploymentConfiguration"],
            "targetServiceRevision": _counts(service, deployment),
            "sourceServiceRevisions": [_counts(service, before)] if before else [],
        }
        if status not in ("IN_PROGRESS", "ROLLBACK_IN_PROGRESS"):
            last = before if rolled_back and before else deployment
            facts["finishedAt"] = last["updatedAt"]
        breaker = service["deploymentConfiguration"].get("deploymentCircuitBreaker") or {}
        if breaker.get("enable"):
            facts["deploymentCircuitBreaker"] = self._circuit_breaker(status)
        if rolled_back and before:
            facts["rollback"] = {
                "reason": deployment["rolloutStateReason"],
                "startedAt": deployment["updatedAt"],
                "serviceRevisionArn": _revision_arn(service, before),
            }
        return facts

    def _circuit_breaker(self, status: str) -> dict[str, Any]:
        from ministack.services import ecs

        watch = "MONITORING"
        has_failed = status.startswith("ROLLBACK") or status == "STOPPED"
        if status == "SUCCESSFUL":
            watch = "MONITORING_COMPLETE"
        elif has_failed and self.deployment["rolloutState"] == "FAILED" and not self.stopped:
            watch = "TRIGGERED"
        return {
            "status": watch,
            "failureCount": self.deployment["failedTasks"],
            "threshold": ecs._circuit_breaker_threshold(self.service),
        }


_LISTED = (
    "serviceDeploymentArn",
    "serviceArn",
    "clusterArn",
    "startedAt",
    "createdAt",
    "finishedAt",
    "status",
    "statusReason",
)
"""What ListServiceDeployments says of each."""


class _ServiceDeployments:
    """The calls of ECS about service deployments, which the emulator lacks."""

    def __init__(self) -> None:
        self._recorded: dict[str, _Deployment] = {}
        """By ARN, the newest last."""

    def recording(
        self, handler: Callable[[dict[str, Any]], Any]
    ) -> Callable[[dict[str, Any]], Any]:
        """The handler of a call that may begin a deployment, which is remembered."""

        def handle(data: dict[str, Any]) -> Any:
            refusal = None
            if data.get("taskDefinition"):
                refusal = _definition_refusal(data["taskDefinition"])
            if refusal is not None:
                return refusal
            before = _primary(_service(data))
            answer = handler(data)
            service = _service(data)
            deployment = _primary(service)
            if answer[0] >= 400 or service is None or deployment is None or deployment is before:
                return answer
            entry = _Deployment(service, deployment, before)
            self._recorded[entry.arn] = entry
            service["currentServiceDeployment"] = entry.arn
            return answer

        return handle

    def list(self, data: dict[str, Any]) -> Any:
        """ListServiceDeployments."""
        from ministack.core.responses import json_response

        service, statuses = _service(data), data.get("status") or []
        rows = []
        for entry in reversed(self._recorded.values()):
            if not service or entry.service is not service:
                continue
            facts = entry.described()
            if not statuses or facts["status"] in statuses:
                row = {key: facts[key] for key in _LISTED if key in facts}
                row["targetServiceRevisionArn"] = facts["targetServiceRevision"]["arn"]
                rows.append(row)
        return json_response({"serviceDeployments": rows})

    def describe(self, data: dict[str, Any]) -> Any:
        """DescribeServiceDeployments."""
        from ministack.core.responses import json_response

        arns = data.get("serviceDeploymentArns") or []
        described = [self._recorded[arn].described() for arn in arns if arn in self._recorded]
        failures = _failures(arn for arn in arns if arn not in self._recorded)
        return json_response({"serviceDeployments": described, "failures": failures})

    def describe_revisions(self, data: dict[str, Any]) -> Any:
        """DescribeServiceRevisions."""
        from ministack.core.responses import json_response

        entries = {entry.revision_arn: entry for entry in self._recorded.values()}
        arns = data.get("serviceRevisionArns") or []
        described = [
            _revision(arn, entries[arn].service, entries[arn].deployment)
            for arn in arns
            if arn in entries
        ]
        failures = _failures(arn for arn in arns if arn not in entries)
        return json_response({"serviceRevisions": described, "failures": failures})

    def stop(self, data: dict[str, Any]) -> Any:
        """StopServiceDeployment: the deployment before becomes the primary one again."""
        from ministack.core.responses import (
            error_response_json,
            get_account_id,
            get_region,
            json_response,
        )
        from ministack.services import ecs

        arn = data.get("serviceDeploymentArn", "")
        entry = self._recorded.get(arn)
        if entry is None:
            return error_response_json(
                "ServiceDeploymentNotFoundException", "Service deployment not found.", 400
            )
        service, before = entry.service, entry.before
        if not entry.can_be_stopped or before is None:
            return error_response_json(
                "ConflictException", "The service deployment cannot be stopped.", 400
            )
        entry.stopped = True
        entry.deployment.update(
            status="ACTIVE",
            rolloutState="FAILED",
            rolloutStateReason="ECS deployment was stopped by user.",
            desiredCount=0,
            updatedAt=ecs._iso(),
        )
        before.update(
            status="PRIMARY",
            rolloutState="IN_PROGRESS",
            desiredCount=service["desiredCount"],
            updatedAt=ecs._iso(),
        )
        service["taskDefinition"] = before["taskDefinition"]
        cluster = service["clusterArn"].rpartition("/")[2]
        key = f"{cluster}/{service['serviceName']}"
        ecs._reconcile_service_tasks(cluster, key)
        ecs._schedule_service_deployment_completion(cluster, key, get_account_id(), get_region())
        return json_response({"serviceDeploymentArn": arn})


def _failures(arns: Iterable[str]) -> list[dict[str, str]]:
    return [{"arn": arn, "reason": "MISSING"} for arn in arns]


def _service(data: dict[str, Any]) -> dict[str, Any] | None:
    """The service that a call of ECS means, None if there is none."""
    from ministack.services import ecs

    name = str(data.get("service") or data.get("serviceName") or "").rpartition("/")[2]
    cluster = ecs._resolve_cluster_name(data.get("cluster", "default"))
    service: dict[str, Any] | None = ecs._services.get(f"{cluster}/{name}")
    return service


def _primary(service: dict[str, Any] | None) -> dict[str, Any] | None:
    deployments: list[dict[str, Any]] = (service or {}).get("deployments", [])
    for deployment in deployments:
        if deployment["status"] == "PRIMARY":
            return deployment
    return None


def _deployment_arn(service: dict[str, Any], deployment: dict[str, Any]) -> str:
    arn = service["serviceArn"].replace(":service/", ":service-deployment/")
    return f"{arn}/{deployment['id'].rpartition('/')[2]}"


def _revision_arn(service: dict[str, Any], deployment: dict[str, Any]) -> str:
    number = int(deployment["id"].rpartition("/")[2], 16) % 10**19
    return f"{service['serviceArn'].replace(':service/', ':service-revision/')}/{number:019}"


def _counts(service: dict[str, Any], deployment: dict[str, Any]) -> dict[str, Any]:
    return {
        "arn": _revision_arn(service, deployment),
        "requestedTaskCount": deployment["desiredCount"],
        "runningTaskCount": deployment["runningCount"],
        "pendingTaskCount": deployment["pendingCount"],
    }


def _revision(arn: str, service: dict[str, Any], deployment: dict[str, Any]) -> dict[str, Any]:
    from ministack.services import ecs

    definition = ecs._task_defs.get(ecs._resolve_td_key(deployment["taskDefinition"])) or {}
    digests = deployment.get("_image_digests", {})
    images = []
    for container in definition.get("containerDefinitions", []):
        name, image = container["name"], container["image"]
        digest = digests.get(name) or image.partition("@")[2]
        images.append({"containerName": name, "image": image, "imageDigest": digest})
    return {
        "serviceRevisionArn": arn,
        "serviceArn": service["serviceArn"],
        "clusterArn": service["clusterArn"],
        "taskDefinition": deployment["taskDefinition"],
        "createdAt": deployment["createdAt"],
        "containerImages": images,
    }


def correct_policies() -> None:
    """Make IAM judge calls by the resource that they are about: for ECS a service, task or
    definition instead of its cluster, for ECR's calls with several names a repository, for logs a
    stream.
    """
    from ministack.core import iam_actions  # type: ignore[import-not-found]

    plain = iam_actions.extract_resource_arn

    def resource(service: str, *request: Any) -> Any:
        _, _, _, body, query, region, account = request
        change_set = query.get("ChangeSetName") if service == "cloudformation" else None
        if change_set and not query.get("StackName"):
            return change_set[0] if isinstance(change_set, list) else change_set
        arn = None
        if service in NARROWER:
            arn = NARROWER[service](body, f"arn:aws:{service}:{region}:{account}")
        return arn or plain(service, *request)

    iam_actions.extract_resource_arn = resource


def ecs_resource(body: bytes, start: str) -> str | None:
    """The ARN that a call of ECS is about, None if it is the cluster or everything."""
    data = _object(body)
    candidates = [
        data.get("resourceArn"),
        data.get("serviceDeploymentArn"),
        _first(data.get("serviceDeploymentArns")),
        _first(data.get("serviceRevisionArns")),
    ]
    cluster = str(data.get("cluster") or "default").rpartition("/")[2]
    service = data.get("service") or data.get("serviceName") or _first(data.get("services"))
    task = data.get("task") or _first(data.get("tasks"))
    for kind, name in (("service", service), ("task", task)):
        if isinstance(name, str) and name.startswith("arn:"):
            candidates.append(name)
        elif isinstance(name, str) and name:
            candidates.append(f"{start}:{kind}/{cluster}/{name}")
    if isinstance(data.get("family"), str) and "containerDefinitions" in data:
        candidates.append(f"{start}:task-definition/{data['family']}:*")
    if "overrides" in data:  # of RunTask
        named = str(data.get("taskDefinition", ""))
        candidates.append(f"{start}:task-definition/{named.rpartition('/')[2]}")
    for arn in candidates:
        if isinstance(arn, str) and arn:
            return arn
    return None


def _first(values: Any) -> Any:
    return values[0] if values else None


def ecr_resource(body: bytes, start: str) -> str | None:
    """The repository of a call that could name several, None if the emulator knows it anyway."""
    names = _object(body).get("repositoryNames")
    return f"{start}:repository/{names[0]}" if isinstance(names, list) and names else None


def logs_resource(body: bytes, start: str) -> str | None:
    """The stream that a call is about, None if it is about a group or none."""
    data = _object(body)
    stream = data.get("logStreamName")
    return f"{start}:log-group:{data.get('logGroupName')}:log-stream:{stream}" if stream else None


def _object(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


NARROWER = {"ecs": ecs_resource, "ecr": ecr_resource, "logs": logs_resource}


if __name__ == "__main__":
    main()
