"""What runs inside of the emulator's own environment: the standard library, ministack, and the
files beside this one that need nothing.

This is the one file that uses names of ministack that are not meant for others. NAMES lists them,
and a test fails when one is gone.
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
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import import_module
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

# Our own folder is not on the path of this environment, and nothing else of toolkit's is wanted
# there.
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
from toolkit.sandbox import containers, guard, signature

sys.path.pop()

NAMES = {
    "ministack.services.ecs": (
        "_docker",
        "_ImagePullError",
        "_ACTION_MAP",
        "_services",
        "_task_defs",
        "_make_deployment",
        "_create_service",
        "_update_service",
        "_delete_service",
        "_resolve_td_key",
        "_resolve_cluster_name",
        "_reconcile_service_tasks",
        "_circuit_breaker_threshold",
        "_iso",
        "_schedule_service_deployment_completion",
        "_tags",
        "_tasks",
    ),
    "ministack.services.ecr": (
        "_resolve_manifest",
        "_layer_blobs",
        "_get_authorization_token",
        "_describe_images",
        "_find_image",
        "_repositories",
    ),
    "ministack.services.secretsmanager": ("_resolve",),
    "ministack.services.alb": (
        "_lbs",
        "_tgs",
        "find_lb_for_host",
        "_find_lb_by_name",
        "dispatch_request",
        "_proxy_http_target",
    ),
    "ministack.services.iam": ("_access_keys",),
    "ministack.services.sts": ("_sessions",),
    "ministack.services.ecs_metadata": ("_TOKEN_TO_TASK",),
    "ministack.services.cloudformation.custom_resource": ("_pending",),
    "ministack.services.cloudformation.wait_conditions": ("SIGNAL_PATH", "has_handle"),
    "ministack.app": ("app", "_send_if_handled"),
    "ministack.services.ec2": ("_security_groups",),
    "ministack.services.cloudformation.provisioners": (
        "_RESOURCE_HANDLERS",
        "_ec2_sg_permissions",
        "_normalize_container_defs",
        "_ecs_task_def_create",
    ),
    "ministack.core.iam_actions": ("extract_resource_arn",),
    "ministack.core.responses": (
        "request_scope",
        "get_account_id",
        "get_region",
        "error_response_json",
        "json_response",
        "set_request_account_id",
        "set_request_region",
    ),
}

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


def missing() -> list[str]:
    """Which of the names are gone."""
    return [
        f"{module}.{name}"
        for module, names in NAMES.items()
        for name in names
        if not hasattr(import_module(module), name)
    ]


def main() -> None:
    """Serve on a loopback port until TERM; the port is written to a file once it is ours."""
    if sys.argv[1:] == ["--names"]:
        sys.stdout.write("\n".join(missing()))
        return
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", int(os.environ.get("TOOLKIT_SANDBOX_PORT", "0"))))
        except OSError:  # somebody else has the port of before
            listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
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
        correct_registry(port, secret)
        correct_services()
        correct_balancers()
        correct_policies()
        if os.environ.pop("TOOLKIT_SANDBOX_TIED", ""):
            Thread(target=end_with_starter, daemon=True).start()
        serve(listener, os.path.join(sys.argv[1], "port"), secret)


def end_with_starter() -> None:
    """Whoever started us holds the other end of our standard input, and is gone when it closes."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def serve(listener: socket.socket, path: str, secret: str) -> None:
    """Run ministack's application on this socket, for those who know the secret."""
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
    os.replace(path + ".new", path)
    asyncio.run(hypercorn(in_front_of(app, secret), config))


def in_front_of(app: Any, secret: str) -> Any:
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
    hosts: dict[str, str] = {}

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await app(scope, receive, send)
            return
        web = scope["type"] == "http"
        path, raw = scope["path"], scope["raw_path"]
        listed = [
            (name.decode("latin-1").lower(), _text(value)) for name, value in scope["headers"]
        ]
        headers = dict(listed)
        name = guard.host(headers)
        if web and name in hosts:
            path, raw = hosts[name] + path, hosts[name].encode() + raw
        if web and (way := _way(path, raw, name)):
            await _through(way, scope, receive, send)
            return
        refused = guard.refusal(headers)
        if refused is not None:
            await _refuse(send, web, 403, {"message": refused})
            return
        if web and path.startswith("/_toolkit/proof/"):
            await _say(
                send, 200, {"proof": guard.proof(secret, path.removeprefix("/_toolkit/proof/"))}, []
            )
            return
        if web and _is_open(scope["method"], path):
            await app(scope, receive, send)
            return
        if web and _is_registry(path):
            host = _registry_host(secret, scope["method"], path, headers.get("authorization", ""))
            if host is None:
                challenge = (b"www-authenticate", b'Basic realm="sandbox"')
                await _say(
                    send,
                    401,
                    {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]},
                    [challenge],
                )
            else:
                kept = [
                    (name, value)
                    for name, value in scope["headers"]
                    if name.lower() not in (b"host", b"authorization")
                ]
                await app({**scope, "headers": [*kept, (b"host", host.encode())]}, receive, send)
            return
        body = await _body(receive) if web else b""
        signed = signature.SignedRequest(
            scope.get("method", "GET"), raw, scope.get("query_string", b""), listed
        )
        fault = (
            signature.SignatureFault.INCOMPLETE
            if body is None
            else signature.fault(
                signed, lambda key: _secret_of(key, secret), body, datetime.now(UTC)
            )
        )
        if fault is not None:
            await _refuse(send, web, 403, {}, fault, headers)
        elif web and path == "/_toolkit/hosts":
            hosts.clear()
            hosts.update(json.loads(body or b""))
            await _say(send, 200, {"hosts": len(hosts)}, [])
        else:
            await app(scope, _again(body or b"", receive) if web else receive, send)

    return answer


def _way(path: str, raw: bytes, host: str) -> tuple[Any, str, bytes] | None:
    """Who a request is for, with the path that it is to have; None if it is for no service.

    That is a load balancer, or the addresses of a service's tasks, or in words why there is nobody.
    """
    from ministack.services import alb  # type: ignore[import-not-found]

    if path.startswith("/_service/"):
        *names, rest = [*path.split("/", 6)[2:], "", "", "", "", ""][:5]
        balancer = _balancer_of(*names)
        behind = alb._find_lb_by_name(balancer) if balancer else _tasks_of(*names)
        return behind, f"/{rest}", b"/" + b"".join(raw.split(b"/", 6)[6:])
    if path.startswith("/_alb/"):
        name, _, rest = path.removeprefix("/_alb/").partition("/")
        return (
            alb._find_lb_by_name(name),
            f"/{rest}",
            b"/" + raw.removeprefix(b"/_alb/").partition(b"/")[2],
        )
    found = alb.find_lb_for_host(host) if host.endswith(".elb.amazonaws.com") else None
    return (found, path, raw) if found else None


async def _through(way: tuple[Any, str, bytes], scope: Any, receive: Any, send: Any) -> None:
    """Hand a request to the load balancer or to a task, and to nothing else."""
    from ministack import app as gateway  # type: ignore[import-not-found]
    from ministack.services import alb

    behind, path, raw = way
    if behind is None or isinstance(behind, str):
        await _say(send, 503, {"message": behind or "there is no such load balancer"}, [])
        return
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        headers[key] = (
            f"{headers[key]}{'; ' if key == 'cookie' else ', '}{_text(value)}"
            if key in headers
            else _text(value)
        )
    query = scope.get("query_string", b"").decode("utf-8", "replace")
    body = await _body(receive)
    if body is None:
        await _say(send, 413, {"message": "this is more than the sandbox takes"}, [])
        return
    asked = parse_qs(query, keep_blank_values=True)
    if isinstance(behind, list):
        address, port = await _listening(behind)
        answer = await alb._proxy_http_target(
            {"Id": address, "Port": port},
            {},
            scope["method"],
            raw.decode("latin-1"),
            headers,
            body,
            asked,
            query,
        )
    else:
        port = (
            int(headers.get("host", "").rpartition(":")[2])
            if re.search(r":[0-9]{1,5}$", headers.get("host", ""))
            else 80
        )
        answer = await alb.dispatch_request(
            behind,
            scope["method"],
            path,
            headers,
            body,
            asked,
            port,
            raw_query_string=query,
            raw_path=raw.decode("latin-1"),
        )
    await gateway._send_if_handled(send, answer, receive)


async def _listening(addresses: list[tuple[str, int]]) -> tuple[str, int]:
    """One of these that takes connections: a task that has just started may not yet. The last one
    if none does.
    """
    shuffled = random.sample(addresses, len(addresses))
    for address, port in shuffled[:-1]:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(address, port), CONNECT_S)
        except OSError:
            continue
        writer.close()
        return address, port
    return shuffled[-1]


def _is_open(method: str, path: str) -> bool:
    """Whether the path is a secret itself: one that a task, a custom resource or a wait condition
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
        ends = session.get("Expiration")
        return (
            session.get("SecretAccessKey") or None
            if not isinstance(ends, int | float) or time.time() < ends
            else None
        )
    found = [
        one
        for (_, name), one in iam._access_keys.to_dict().items()
        if name == key and one.get("Status") == "Active"
    ]
    return found[0].get("SecretAccessKey") or None if len(found) == 1 else None


def _balancer_of(account: str, region: str, cluster: str, service: str) -> str | None:
    """The name of the load balancer that a service is behind, None if there is none."""
    from ministack.core.responses import request_scope  # type: ignore[import-not-found]
    from ministack.services import alb, ecs

    with request_scope(account, region):
        found = ecs._services.get(f"{cluster}/{service}") or {}
        groups = [
            alb._tgs.get(one.get("targetGroupArn")) or {}
            for one in found.get("loadBalancers") or ()
        ]
        balancers = [
            alb._lbs.get(arn) or {} for group in groups for arn in group.get("LoadBalancerArns", ())
        ]
        return next(
            (f"{account}.{region}.{one['LoadBalancerName']}" for one in balancers if one), None
        )


def _tasks_of(account: str, region: str, cluster: str, service: str) -> list[tuple[str, int]] | str:
    """Where the running tasks of a service listen; in words why there are none."""
    from ministack.core.responses import request_scope
    from ministack.services import ecs

    with request_scope(account, region):
        known = ecs._services.get(f"{cluster}/{service}") or {}
        if known.get("status") != "ACTIVE":
            return "there is no such service"
        running: dict[
            str, tuple[str, int] | None
        ] = {}  # by the task's ARN: the container that listens, and its port
        for task in list(ecs._tasks.values()):
            own = (
                task.get("group") == f"service:{service}"
                and task.get("clusterArn") == known["clusterArn"]
            )
            if own and task.get("lastStatus") == "RUNNING":
                definition = (
                    ecs._task_defs.get(ecs._resolve_td_key(task["taskDefinitionArn"])) or {}
                )
                running[task["taskArn"]] = _first_port(definition)
        if running and not any(running.values()):
            return (
                "this service is behind no load balancer, and its task definition has no"
                " portMappings"
            )
        addresses = []
        for container in ecs._docker.containers.list():
            listens = running.get(container.labels.get("com.amazonaws.ecs.task-arn"))
            is_it = listens and listens[0] == container.labels.get(
                "com.amazonaws.ecs.container-name"
            )
            if listens and is_it and container.status == "running":
                addresses.append((container.address, listens[1]))
        return addresses or "no task of this service runs"


def _first_port(definition: dict[str, Any]) -> tuple[str, int] | None:
    """The first container that listens, and its port; None if none does."""
    for container in definition.get("containerDefinitions") or ():
        for mapping in container.get("portMappings") or ():
            if mapping.get("containerPort"):
                return container["name"], int(mapping["containerPort"])
    return None


def _text(value: bytes) -> str:
    """The value of a header: UTF-8 where it is that."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


async def _body(receive: Any) -> bytes | None:
    """All of a request's content, None if it is too much, or its sender has gone."""
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


def _again(body: bytes, receive: Any) -> Any:
    """What gives the application the content that was read already, and then what comes."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_event() -> Any:
        return waiting.pop() if waiting else await receive()

    return next_event


async def _refuse(
    send: Any,
    web: bool,
    status: int,
    body: dict[str, Any],
    fault: signature.SignatureFault | None = None,
    asked: Mapping[str, str] | None = None,
) -> None:
    """Say no; for a signature in the words and the form that AWS's own clients understand."""
    if not web:
        await send({"type": "websocket.close", "code": 1008})
        return
    if fault is None or asked is None:
        await _say(send, status, body, [])
        return
    words = REFUSED[fault]
    head = [(b"x-amzn-errortype", fault.encode())]
    service = re.search(r"/([a-z0-9-]+)/aws4_request", asked.get("authorization", ""))
    form = "urlencoded" in asked.get("content-type", "") and "x-amz-target" not in asked
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
                "headers": [(b"content-type", b"text/xml"), *head],
            }
        )
        await send({"type": "http.response.body", "body": text.encode()})
    else:
        await _say(send, status, {"__type": str(fault), "message": words}, head)


async def _say(
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
    """`/v2/` is also API Gateway's and others'."""
    return path in ("/v2", "/v2/", "/v2/_catalog") or (
        path.startswith("/v2/")
        and ("/blobs/" in path or "/manifests/" in path or path.endswith("/tags/list"))
    )


def _registry_host(secret: str, method: str, path: str, authorization: str) -> str | None:
    """The ECR host that a request means, None if it may not be made."""
    scheme, _, given = authorization.partition(" ")
    try:
        login = base64.b64decode(given).decode() if scheme.lower() == "basic" else None
    except (binascii.Error, UnicodeDecodeError):
        return None
    known = guard.registry(secret, login)
    if guard.readable(method, path) or (known and path.startswith(f"/v2/{MIRROR}")):
        return _host(*MIRROR_SCOPE)
    return _host(*known) if known else None


def _host(account: str, region: str) -> str:
    return f"{account}.dkr.ecr.{region}.amazonaws.com"


def run_images(network: str, secret: str) -> None:
    """Tasks run the images that are in the registry. Only ECS gets this engine; what else asks for
    Docker hears that there is none.
    """
    from ministack.services import ecr, ecs

    class Missing(ecs._ImagePullError, containers.ImageNotFound):  # type: ignore[misc]
        """What ECS calls CannotPullContainerError."""

    def find(name: str) -> containers.StoredImage:
        with _scope_of(name) as (repository, reference):
            digest, manifest, _ = ecr._resolve_manifest(repository, reference)
            if digest is None or manifest is None:
                raise Missing(
                    f"pull image manifest has been retried 1 time(s): failed to resolve ref {name}:"
                    f" {name}: not found"
                )
            described = json.loads(manifest)
            if "manifests" in described:
                inner = ecr._resolve_manifest(
                    repository, _for_this_machine(described["manifests"])
                )[1]
                described = json.loads(inner or b"{}")
            return _image(digest, described, ecr._layer_blobs.get(repository, {}), name, Missing)

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
    ecs._docker = containers.EngineClient(find, network, secret)


def _for_this_machine(listed: list[dict[str, Any]]) -> str:
    """The digest of the image to run out of several: programs are this machine's, so amd64 is only
    the usual one.
    """
    fit = [one for one in listed if (one.get("platform") or {}).get("os") == "linux"]
    usual = [one for one in fit if one["platform"].get("architecture") == "amd64"]
    return next((str(one["digest"]) for one in (*usual, *fit)), "")


def _image(
    digest: str,
    manifest: dict[str, Any],
    blobs: dict[str, bytes],
    name: str,
    missing: type[Exception],
) -> containers.StoredImage:
    if "layers" not in manifest:
        raise missing(
            f"no matching manifest for linux/amd64 in the manifest list entries of {name}"
        )
    wanted = [manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]
    gone = [one for one in wanted if one not in blobs]
    if gone:
        raise missing(f"failed to fetch {gone[0]} of {name}: not found")
    config = json.loads(blobs[wanted[0]]).get("config") or {}
    return containers.StoredImage(digest, config, [bytes(blobs[one]) for one in wanted[1:]])


class _scope_of:  # noqa: N801 (used as a function)
    """Within the account and region that an image's name means: its repository, and its tag or
    digest.
    """

    def __init__(self, name: str) -> None:
        from ministack.core.responses import get_account_id, get_region, request_scope

        found = _ECR_IMAGE.fullmatch(name)
        rest = (
            found["rest"]
            if found
            else name.partition("/")[2]
            if re.match(r"127\.0\.0\.1:\d+/", name)
            else name
        )
        repository, _, digest = rest.partition("@")
        repository, _, tag = repository.partition(":")
        scope = (found["account"], found["region"]) if found else (get_account_id(), get_region())
        self._scope = request_scope(*(MIRROR_SCOPE if repository.startswith(MIRROR) else scope))
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
    from ministack.services import ec2
    from ministack.services.cloudformation import provisioners

    handlers = provisioners._RESOURCE_HANDLERS

    def rule(key: str) -> dict[str, Any]:
        def create(
            logical_id: str, props: dict[str, Any], stack: str
        ) -> tuple[str, dict[str, str]]:
            group = ec2._security_groups[props["GroupId"]]
            group[key] = [*group.get(key, []), *provisioners._ec2_sg_permissions([props])]
            made = f"sgr-{uuid.uuid4().hex[:17]}"
            return made, {"Id": made}

        def delete(physical_id: str, props: dict[str, Any]) -> None:
            group, gone = (
                ec2._security_groups.get(props["GroupId"], {}),
                provisioners._ec2_sg_permissions([props]),
            )
            group[key] = [one for one in group.get(key, []) if one not in gone]

        return {"create": create, "delete": delete}

    def inert(name: Callable[[str, dict[str, Any]], tuple[str, dict[str, str]]]) -> dict[str, Any]:
        def create(
            logical_id: str, props: dict[str, Any], stack: str
        ) -> tuple[str, dict[str, str]]:
            return name(uuid.uuid4().hex[:17], props)

        def update(
            physical_id: str, old: dict[str, Any], new: dict[str, Any], stack: str
        ) -> tuple[str, dict[str, str]]:
            return physical_id, name(uuid.uuid4().hex[:17], new)[1]

        return {"create": create, "update": update, "delete": lambda physical_id, props: None}

    def scalable(made: str, props: dict[str, Any]) -> tuple[str, dict[str, str]]:
        parts = (props.get(key) for key in ("ResourceId", "ScalableDimension", "ServiceNamespace"))
        name = "|".join(str(part) for part in parts)
        return name, {"Id": name}

    more = {
        "AWS::EC2::SecurityGroupIngress": rule("IpPermissions"),
        "AWS::EC2::SecurityGroupEgress": rule("IpPermissionsEgress"),
        "AWS::EC2::EIP": inert(
            lambda made, props: (
                "192.0.2.1",
                {"AllocationId": f"eipalloc-{made}", "PublicIp": "192.0.2.1"},
            )
        ),
        "AWS::EC2::NatGateway": inert(
            lambda made, props: (f"nat-{made}", {"NatGatewayId": f"nat-{made}"})
        ),
        "AWS::ApplicationAutoScaling::ScalableTarget": inert(scalable),
        "AWS::ApplicationAutoScaling::ScalingPolicy": inert(
            lambda made, props: (f"policy-{made}", {"Arn": f"policy-{made}"})
        ),
    }
    for name, handler in more.items():
        handlers.setdefault(name, handler)
    _give_way(handlers["AWS::ECS::Service"])


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
    """A task definition of a stack has all that its template says (secrets, health checks, volumes,
    what waits for what), named as in the API of ECS, and nothing that is empty; its tags name the
    stack, as CloudFormation's do.
    """
    from ministack.services import ecs
    from ministack.services.cloudformation import provisioners

    plain = provisioners._ecs_task_def_create

    def create(logical_id: str, props: dict[str, Any], stack: str) -> Any:
        made = plain(logical_id, props, stack)
        definition = ecs._task_defs[made[0].rpartition("/")[2]]
        definition.update(
            {
                _as_api_name(name): as_api(props[name])
                for name in _MORE_OF_A_DEFINITION
                if name in props
            }
        )
        for name in [name for name, value in definition.items() if value == ""]:
            del definition[name]
        tags = {"aws:cloudformation:stack-name": stack, "aws:cloudformation:logical-id": logical_id}
        ecs._tags[made[0]] = [
            *ecs._tags.get(made[0], ()),
            *({"key": key, "value": value} for key, value in tags.items()),
        ]
        return made

    provisioners._normalize_container_defs = as_api
    provisioners._ecs_task_def_create = create
    provisioners._RESOURCE_HANDLERS["AWS::ECS::TaskDefinition"]["create"] = create


def as_api(value: Any) -> Any:
    """What a template says of a task definition, with the names of the API of ECS."""
    if isinstance(value, dict):
        return {
            _as_api_name(name): inner if name in _OWN_KEYS else as_api(inner)
            for name, inner in value.items()
        }
    return [as_api(inner) for inner in value] if isinstance(value, list) else value


def _as_api_name(name: str) -> str:
    return _ABBREVIATED.get(name, name[:1].lower() + name[1:])


def correct_secrets() -> None:
    """What a template's `Ref` of a secret means is its ARN: a task that reads a secret by its name
    would be looking for a parameter.
    """
    from ministack.services import secretsmanager
    from ministack.services.cloudformation import provisioners

    handler = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]
    create, update, delete = handler["create"], handler["update"], handler["delete"]

    def named(physical_id: str) -> str:
        return str(secretsmanager._resolve(physical_id)[0] or physical_id)

    def by_arn(made: tuple[str, dict[str, str]]) -> tuple[str, dict[str, str]]:
        return made[1].get("Arn", made[0]), made[1]

    handler["create"] = lambda logical_id, props, stack: by_arn(create(logical_id, props, stack))
    handler["update"] = lambda physical_id, *more, **named_more: by_arn(
        update(named(physical_id), *more, **named_more)
    )
    handler["delete"] = lambda physical_id, props: delete(named(physical_id), props)


def _give_way(handler: dict[str, Any]) -> None:
    """A service that the sandbox made beforehand is no reason for a stack that brings it to
    fail.
    """
    from ministack.services import ecs

    plain = handler["create"]

    def create(logical_id: str, props: dict[str, Any], stack: str) -> Any:
        cluster, name = props.get("Cluster", "default"), props.get("ServiceName", "")
        there = ecs._services.get(f"{ecs._resolve_cluster_name(cluster)}/{name}")
        if (
            there
            and there["status"] == "ACTIVE"
            and PROVISIONAL in ecs._tags.get(there["serviceArn"], [])
        ):
            ecs._delete_service({"cluster": cluster, "service": name, "force": True})
            ecs._tags.pop(there["serviceArn"], None)
        return plain(logical_id, props, stack)

    handler["create"] = create


def correct_registry(port: int, secret: str) -> None:
    """The registry is on the loopback, its password names the account, and an image that is not
    there is an error as in AWS.
    """
    from ministack.core.responses import error_response_json, get_account_id, get_region
    from ministack.services import ecr

    plain_token, plain_images = ecr._get_authorization_token, ecr._describe_images

    def token(data: dict[str, Any]) -> Any:
        status, headers, body = plain_token(data)
        answer = json.loads(body)
        login = f"AWS:{guard.password(secret, get_account_id(), get_region())}"
        for one in answer["authorizationData"]:
            one["authorizationToken"] = base64.b64encode(login.encode()).decode()
            one["proxyEndpoint"] = f"http://127.0.0.1:{port}"
        return status, headers, json.dumps(answer).encode()

    def images(data: dict[str, Any]) -> Any:
        name = data.get("repositoryName", "")
        for one in data.get("imageIds") or () if name in ecr._repositories else ():
            if ecr._find_image(name, one) is None:
                asked = ", ".join(f"{key}:'{value}'" for key, value in one.items())
                message = (
                    f"The image with imageId {{{asked}}} does not exist within the repository with"
                    f" name '{name}'"
                )
                return error_response_json("ImageNotFoundException", message, 400)
        return plain_images(data)

    ecr._get_authorization_token, ecr._describe_images = token, images


def correct_balancers() -> None:
    """A person's browser says nothing of accounts: a load balancer is found in whichever it is."""
    from ministack.core.responses import request_scope, set_request_account_id, set_request_region
    from ministack.services import alb

    def anywhere(find: Callable[[str], Any]) -> Callable[[str], Any]:
        def look(name: str) -> Any:
            exact = _BALANCER.fullmatch(name)
            plain = exact["name"] if exact else name
            scopes = (
                [exact.group("account", "region")]
                if exact
                else [(account, region) for (account, region, _), _ in alb._lbs.all_items()]
            )
            for account, region in dict.fromkeys(scopes):
                with request_scope(account, region):
                    found = find(plain)
                if found is not None:
                    set_request_account_id(account)
                    set_request_region(region)
                    return found
            return None

        return look

    alb.find_lb_for_host, alb._find_lb_by_name = (
        anywhere(alb.find_lb_for_host),
        anywhere(alb._find_lb_by_name),
    )


def correct_services() -> None:
    """A first deployment takes its time, a task definition has to exist, and each deployment can be
    looked at afterwards.
    """
    from ministack.core.responses import (
        error_response_json,
        get_account_id,
        get_region,
        json_response,
    )
    from ministack.services import ecs

    plain = ecs._make_deployment
    recorded: dict[
        str, dict[str, Any]
    ] = {}  # service deployment's ARN -> what is known of it, the newest last

    def make_deployment(*given: Any, **more: Any) -> Any:
        made = plain(*given, **more)
        return {**made, "rolloutState": "IN_PROGRESS", "rolloutStateReason": ""}

    def checked(handler: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
        def handle(data: dict[str, Any]) -> Any:
            wanted = data.get("taskDefinition")
            if wanted and ecs._resolve_td_key(wanted) not in ecs._task_defs:
                return error_response_json(
                    "ClientException", "Unable to describe task definition.", 400
                )
            before = _primary(_service(data))
            answer = handler(data)
            service = _service(data)
            made = _primary(service)
            if answer[0] < 400 and service is not None and made is not None and made is not before:
                _record(service, made, before)
            return answer

        return handle

    def _service(data: dict[str, Any]) -> dict[str, Any] | None:
        name = str(data.get("service") or data.get("serviceName") or "").rpartition("/")[2]
        found: dict[str, Any] | None = ecs._services.get(
            f"{ecs._resolve_cluster_name(data.get('cluster', 'default'))}/{name}"
        )
        return found

    def _record(
        service: dict[str, Any], made: dict[str, Any], before: dict[str, Any] | None
    ) -> None:
        arn = _deployment_arn(service, made)
        recorded[arn] = {"service": service, "deployment": made, "before": before, "stopped": False}
        service["currentServiceDeployment"] = arn

    def listed(data: dict[str, Any]) -> Any:
        service = _service(data)
        found = [
            _described(arn, one)
            for arn, one in reversed(recorded.items())
            if service and one["service"] is service
        ]
        wanted = data.get("status") or []
        short = (
            "serviceDeploymentArn",
            "serviceArn",
            "clusterArn",
            "startedAt",
            "createdAt",
            "finishedAt",
            "status",
            "statusReason",
        )
        rows = [
            {
                **{key: one[key] for key in short if key in one},
                "targetServiceRevisionArn": one["targetServiceRevision"]["arn"],
            }
            for one in found
            if not wanted or one["status"] in wanted
        ]
        return json_response({"serviceDeployments": rows})

    def described(data: dict[str, Any]) -> Any:
        arns = data.get("serviceDeploymentArns") or []
        found = [_described(arn, recorded[arn]) for arn in arns if arn in recorded]
        failures = [{"arn": arn, "reason": "MISSING"} for arn in arns if arn not in recorded]
        return json_response({"serviceDeployments": found, "failures": failures})

    def revisions(data: dict[str, Any]) -> Any:
        known = {_revision_arn(one["service"], one["deployment"]): one for one in recorded.values()}
        arns = data.get("serviceRevisionArns") or []
        found = [
            _revision(arn, known[arn]["service"], known[arn]["deployment"])
            for arn in arns
            if arn in known
        ]
        failures = [{"arn": arn, "reason": "MISSING"} for arn in arns if arn not in known]
        return json_response({"serviceRevisions": found, "failures": failures})

    def stopped(data: dict[str, Any]) -> Any:
        arn = data.get("serviceDeploymentArn", "")
        one = recorded.get(arn)
        if one is None:
            return error_response_json(
                "ServiceDeploymentNotFoundException", "Service deployment not found.", 400
            )
        service, made, before = one["service"], one["deployment"], one["before"]
        current: Any = _primary(service)
        if (
            made["rolloutState"] != "IN_PROGRESS"
            or made is not current
            or before is None
            or before not in service["deployments"]
        ):
            return error_response_json(
                "ConflictException", "The service deployment cannot be stopped.", 400
            )
        one["stopped"] = True
        reason = "ECS deployment was stopped by user."
        made.update(
            status="ACTIVE",
            rolloutState="FAILED",
            rolloutStateReason=reason,
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

    def _described(arn: str, one: dict[str, Any]) -> dict[str, Any]:
        service, made, before = one["service"], one["deployment"], one["before"]
        status = _status(one)
        found = {
            "serviceDeploymentArn": arn,
            "serviceArn": service["serviceArn"],
            "clusterArn": service["clusterArn"],
            "status": status,
            "createdAt": made["createdAt"],
            "startedAt": made["createdAt"],
            "updatedAt": made["updatedAt"],
            "statusReason": made["rolloutStateReason"],
            "deploymentConfiguration": service["deploymentConfiguration"],
            "targetServiceRevision": _counts(service, made),
            "sourceServiceRevisions": [_counts(service, before)] if before else [],
        }
        breaker = (service["deploymentConfiguration"].get("deploymentCircuitBreaker") or {}).get(
            "enable"
        )
        failed = status.startswith("ROLLBACK") or status == "STOPPED"
        if status not in ("IN_PROGRESS", "ROLLBACK_IN_PROGRESS"):
            found["finishedAt"] = (before if status.startswith("ROLLBACK") and before else made)[
                "updatedAt"
            ]
        if breaker:
            watch = (
                "TRIGGERED"
                if failed and made["rolloutState"] == "FAILED" and not one["stopped"]
                else "MONITORING"
            )
            watch = "MONITORING_COMPLETE" if status == "SUCCESSFUL" else watch
            limit = ecs._circuit_breaker_threshold(service)
            found["deploymentCircuitBreaker"] = {
                "status": watch,
                "failureCount": made["failedTasks"],
                "threshold": limit,
            }
        if status.startswith("ROLLBACK") and before:
            found["rollback"] = {
                "reason": made["rolloutStateReason"],
                "startedAt": made["updatedAt"],
                "serviceRevisionArn": _revision_arn(service, before),
            }
        return found

    ecs._make_deployment = make_deployment
    ecs._create_service, ecs._update_service = (
        checked(ecs._create_service),
        checked(ecs._update_service),
    )
    ecs._ACTION_MAP |= {
        "CreateService": ecs._create_service,
        "UpdateService": ecs._update_service,
        "ListServiceDeployments": listed,
        "DescribeServiceDeployments": described,
        "DescribeServiceRevisions": revisions,
        "StopServiceDeployment": stopped,
    }


def _primary(service: dict[str, Any] | None) -> dict[str, Any] | None:
    return next(
        (one for one in (service or {}).get("deployments", []) if one["status"] == "PRIMARY"), None
    )


def _status(one: dict[str, Any]) -> str:
    """A service deployment's status, from the state of the deployment that it is."""
    made, primary = one["deployment"], _primary(one["service"])
    if made["rolloutState"] == "COMPLETED":
        return "SUCCESSFUL"
    if made["rolloutState"] == "FAILED" and one["before"] is not None and primary is one["before"]:
        return (
            "ROLLBACK_SUCCESSFUL"
            if primary["rolloutState"] == "COMPLETED"
            else "ROLLBACK_IN_PROGRESS"
        )
    return "IN_PROGRESS" if made["rolloutState"] == "IN_PROGRESS" and made is primary else "STOPPED"


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
    images = [(one["name"], one["image"]) for one in definition.get("containerDefinitions", [])]
    return {
        "serviceRevisionArn": arn,
        "serviceArn": service["serviceArn"],
        "clusterArn": service["clusterArn"],
        "taskDefinition": deployment["taskDefinition"],
        "createdAt": deployment["createdAt"],
        "containerImages": [
            {
                "containerName": name,
                "image": image,
                "imageDigest": digests.get(name) or image.partition("@")[2],
            }
            for name, image in images
        ],
    }


def correct_policies() -> None:
    """Under enforcement, ECS calls are about a service, a task or a definition, not about their
    cluster; and the one of ECR that takes several repositories is about a repository, that of logs
    about a stream.
    """
    from ministack.core import iam_actions  # type: ignore[import-not-found]

    plain = iam_actions.extract_resource_arn

    def resource(
        service: str,
        method: str,
        path: str,
        headers: Any,
        body: bytes,
        query: Any,
        region: str,
        account: str,
    ) -> Any:
        start = f"arn:aws:{service}:{region}:{account}"
        change_set = query.get("ChangeSetName") if service == "cloudformation" else None
        if change_set and not query.get("StackName"):
            return change_set[0] if isinstance(change_set, list) else change_set
        found = NARROWER[service](body, start) if service in NARROWER else None
        return found or plain(service, method, path, headers, body, query, region, account)

    iam_actions.extract_resource_arn = resource


def ecs_resource(body: bytes, start: str) -> str | None:
    """The ARN that a call of ECS is about, None if it is the cluster or everything."""
    data = _object(body)
    if not data:
        return None
    whole = [data.get(key) for key in ("resourceArn", "serviceDeploymentArn")]
    whole += [
        (data.get(key) or [None])[0] for key in ("serviceDeploymentArns", "serviceRevisionArns")
    ]
    cluster = str(data.get("cluster") or "default").rpartition("/")[2]
    service = data.get("service") or data.get("serviceName") or (data.get("services") or [None])[0]
    task = data.get("task") or (data.get("tasks") or [None])[0]
    named = [(f"service/{cluster}", service), (f"task/{cluster}", task)]
    whole += [
        one if one.startswith("arn:") else f"{start}:{what}/{one}"
        for what, one in named
        if isinstance(one, str) and one
    ]
    if isinstance(data.get("family"), str) and "containerDefinitions" in data:
        whole.append(f"{start}:task-definition/{data['family']}:*")
    return next((one for one in whole if isinstance(one, str) and one), None)


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
