"""The endpoint: sockets, threads, and the way of a request through faults and handlers."""

import contextlib
import hashlib
import socket
import struct
import traceback
from collections.abc import Callable, Mapping
from email.utils import format_datetime
from threading import Event, RLock, Thread, current_thread
from types import TracebackType
from typing import Any, Self

from tests.support.aws import registry, wire
from tests.support.aws.clock import Clock
from tests.support.aws.cloudformation import CloudFormation
from tests.support.aws.cloudfront import CloudFront
from tests.support.aws.cloudwatch import CloudWatch
from tests.support.aws.ecr import Ecr
from tests.support.aws.ecs import Ecs
from tests.support.aws.elbv2 import Elbv2
from tests.support.aws.faults import Call, Calls, Fault, Faults, as_error
from tests.support.aws.functions import Lambda
from tests.support.aws.iam import Sts
from tests.support.aws.logs import Logs
from tests.support.aws.s3 import S3
from tests.support.aws.wire import Answer, AwsError, AwsRequest, Misuse

Handler = Callable[[dict[str, Any]], Mapping[str, Any]]
SERVICES = {
    "ecs": Ecs,
    "ecr": Ecr,
    "sts": Sts,
    "elbv2": Elbv2,
    "logs": Logs,
    "s3": S3,
    "cloudformation": CloudFormation,
    "cloudwatch": CloudWatch,
    "lambda": Lambda,
    "cloudfront": CloudFront,
}
GLOBAL = frozenset(("s3", "cloudfront"))
"""Services whose state is the same in all regions."""


class Endpoint:
    """All of AWS that a deploy of ours needs, on one port of this machine. A context manager."""

    def __init__(self, account: str = "111111111111", region: str = "eu-west-1") -> None:
        self.account, self.region = account, region
        self.clock, self.calls, self.faults = Clock(), Calls(), Faults()
        self.problems: list[str] = []
        self.lock = RLock()
        self._numbers: dict[str, int] = {}
        self._state: dict[tuple[str, str], Any] = {}
        self._handlers: dict[tuple[str, str], Handler] = {}
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"http://{self.host}"
        self._closing, self._released = Event(), Event()
        self._open: set[socket.socket] = set()
        self._threads: set[Thread] = set()
        self._accepting = Thread(target=self._accept, name="aws-endpoint", daemon=True)
        self._accepting.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if self.problems and kind is None:
            raise Misuse("; ".join(self.problems))

    # For tests

    @property
    def ecs(self) -> Ecs:
        """ECS in the endpoint's own region."""
        result: Ecs = self.at(self.region, "ecs")
        return result

    @property
    def ecr(self) -> Ecr:
        """ECR in the endpoint's own region."""
        result: Ecr = self.at(self.region, "ecr")
        return result

    @property
    def elbv2(self) -> Elbv2:
        """Load balancing in the endpoint's own region."""
        result: Elbv2 = self.at(self.region, "elbv2")
        return result

    @property
    def logs(self) -> Logs:
        """CloudWatch Logs in the endpoint's own region."""
        result: Logs = self.at(self.region, "logs")
        return result

    @property
    def s3(self) -> S3:
        """S3, the same in all regions."""
        result: S3 = self.at(self.region, "s3")
        return result

    @property
    def cloudformation(self) -> CloudFormation:
        """CloudFormation in the endpoint's own region."""
        cloud_formation: CloudFormation = self.at(self.region, "cloudformation")
        return cloud_formation

    @property
    def cloudwatch(self) -> CloudWatch:
        """CloudWatch in the endpoint's own region."""
        cloud_watch: CloudWatch = self.at(self.region, "cloudwatch")
        return cloud_watch

    @property
    def functions(self) -> Lambda:
        """Lambda in the endpoint's own region."""
        result: Lambda = self.at(self.region, "lambda")
        return result

    @property
    def cloudfront(self) -> CloudFront:
        """CloudFront, the same in all regions."""
        cloud_front: CloudFront = self.at(self.region, "cloudfront")
        return cloud_front

    def at(self, region: str, service: str) -> Any:
        """The state of a service in a region, made on first use. Raises Misuse for a service
        without one.
        """
        if service not in SERVICES:
            raise Misuse(f"{service} has no state here; answer it with `on`")
        where = "" if service in GLOBAL else region
        with self.lock:
            if (where, service) not in self._state:
                self._state[where, service] = SERVICES[service](self, region)
            return self._state[where, service]

    def regions(self, service: str) -> list[str]:
        """Where a service has a state by now."""
        with self.lock:
            return [region for region, name in self._state if name == service]

    def on(
        self, service: str, operation: str, answer: Mapping[str, Any] | AwsError | Handler
    ) -> None:
        """Answer an operation of any service of botocore: always so, with this error, or by a
        function of the parameters.
        """
        name = wire.named(service, operation)
        self._handlers[service, name] = answer if callable(answer) else lambda params: _said(answer)

    def fault(
        self,
        operation: str,
        times: int | None = 1,
        kind: str = "500",
        when: str = "before",
        **more: Any,
    ) -> Fault:
        """Spoil the next `times` calls (None: all) of an operation; see the package's docstring.
        Returns it, for `.hits`.
        """
        return self.faults.add(Fault(operation, kind, times, when, **more))

    def latency(self, seconds: float, operation: str = "*") -> None:
        """Answer that much later from now on."""
        self.faults.slow(seconds, operation)

    def release(self) -> None:
        """End all silent and dripping answers."""
        self._released.set()
        self._released = Event()

    # For the services

    def number(self, kind: str) -> int:
        """1, 2, 3 …: the same in every run of a test."""
        with self.lock:
            self._numbers[kind] = self._numbers.get(kind, 0) + 1
            return self._numbers[kind]

    def token(self, kind: str, length: int = 32) -> str:
        """A name that looks random and is not."""
        return hashlib.sha256(f"{kind} {self.number(kind)}".encode()).hexdigest()[:length]

    def arn(self, service: str, rest: str, region: str | None = None) -> str:
        """`arn:aws:ecs:eu-west-1:111111111111:…`."""
        return f"arn:aws:{service}:{region or self.region}:{self.account}:{rest}"

    # Sockets

    def close(self) -> None:
        """End everything: connections, waiting answers, threads."""
        self._closing.set()
        self._released.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = Thread(target=self._serve, args=(connection,), daemon=True)
            self._open.add(connection)
            self._threads.add(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as incoming, contextlib.suppress(OSError):
                if self._closing.is_set():
                    return
                while (aws_request := _read(connection, incoming)) is not None and self._answer(
                    connection, aws_request
                ):
                    pass
        finally:
            self._open.discard(connection)
            self._threads.discard(current_thread())

    def _answer(self, connection: socket.socket, aws_request: AwsRequest) -> bool:
        """Whether the connection goes on."""
        if aws_request.path.startswith("/_script/"):
            from tests.support.aws import control

            return _write(connection, control.answer(self, aws_request), aws_request, self.clock)
        answer, broken = self._considered(aws_request)
        if broken is None:
            return _write(connection, answer, aws_request, self.clock)
        self._spoil(connection, answer, broken)
        return False

    def _considered(self, aws_request: AwsRequest) -> tuple[Answer, Fault | None]:
        """The answer, and the fault that eats it on its way back."""
        request_id = self.token("request")
        try:
            if registry.is_ours(aws_request):
                registry.understand(aws_request)
            else:
                aws_request.understand()
        except AwsError as problem:
            self.calls.append(
                Call(
                    aws_request.service,
                    aws_request.operation,
                    {},
                    self.clock.now(),
                    aws_request.key,
                    aws_request.region,
                    outcome=problem.code,
                )
            )
            return wire.error(aws_request.service, problem, request_id, aws_request.method), None
        except Exception:
            return self._own_fault(aws_request, request_id), None
        call = Call(
            aws_request.service,
            aws_request.operation,
            aws_request.params,
            self.clock.now(),
            aws_request.key,
            aws_request.region,
        )
        with self.lock:
            self.calls.append(call)
        fault = self.faults.hit(call.service, call.operation)
        if late := self.faults.latency(call.service, call.operation):
            self._closing.wait(late)
        if fault is None:
            return self._applied(aws_request, call, request_id), None
        call.fault = fault.kind
        instead = as_error(fault, aws_request, self.account)
        if fault.when == "after" or fault.kind in ("duplicate", "drip", "truncated"):
            answer = self._applied(aws_request, call, request_id)
            if fault.kind == "duplicate":
                self._applied(aws_request, call, request_id)
        else:
            answer = Answer(500, {})
        if instead is not None:
            call.outcome = instead.code
            created = (
                registry.error(instead)
                if call.service == "registry"
                else wire.error(call.service, instead, request_id, aws_request.method)
            )
            return created, None
        if fault.kind == "duplicate":
            return answer, None
        call.outcome = fault.kind
        return answer, fault

    def _applied(self, aws_request: AwsRequest, call: Call, request_id: str) -> Answer:
        try:
            if call.service == "registry":
                with self.lock:
                    answer = registry.answer(self, aws_request)
            else:
                answer = wire.result(
                    call.service, call.operation, self._handled(aws_request), request_id
                )
            call.applied += answer.status < 400
            call.outcome = "ok" if answer.status < 400 else answer.code or str(answer.status)
            return answer
        except AwsError as problem:
            call.outcome = problem.code
            if call.service == "registry":
                return registry.error(problem)
            return wire.error(call.service, problem, request_id, aws_request.method)
        except Exception:
            call.outcome = "Misuse"
            return self._own_fault(aws_request, request_id)

    def _handled(self, aws_request: AwsRequest) -> Mapping[str, Any]:
        local = self._handlers.get((aws_request.service, aws_request.operation))
        shape = wire.model(aws_request.service).operation_model(aws_request.operation).input_shape
        if shape is not None and (text := wire.faults_of(shape, aws_request.params)):
            codes = {
                "ecs": "InvalidParameterException",
                "ecr": "InvalidParameterException",
                "logs": "InvalidParameterException",
            }
            codes |= {
                "cloudformation": "ValidationError",
                "elbv2": "ValidationError",
                "sts": "ValidationError",
                "s3": "InvalidRequest",
            }
            raise AwsError(codes.get(aws_request.service, "ValidationException"), text)
        if local is not None:
            return local(aws_request.params)
        from botocore import xform_name  # type: ignore[import-untyped]

        name = xform_name(aws_request.operation)
        if aws_request.service not in SERVICES or not hasattr(SERVICES[aws_request.service], name):
            raise Misuse(
                f"{aws_request.service} {aws_request.operation} is not offered here;"
                " answer it with `on`"
            )
        with self.lock:
            handler: Handler = getattr(
                self.at(aws_request.region or self.region, aws_request.service), name
            )
            return handler(aws_request.params)

    def _own_fault(self, aws_request: AwsRequest, request_id: str) -> Answer:
        """A bug of the endpoint or of the test: told to the client, and raised when the endpoint is
        left.
        """
        lines = traceback.format_exc().strip().splitlines()
        self.problems.append(
            f"{aws_request.service} {aws_request.operation}: {lines[-1]}"
            f" ({lines[-3].strip() if len(lines) > 2 else ''})"
        )
        problem = AwsError("ScriptedEndpointMisuse", lines[-1], 501)
        return wire.error(
            aws_request.service if aws_request.service != "registry" else "",
            problem,
            request_id,
            aws_request.method,
        )

    def _spoil(self, connection: socket.socket, answer: Answer, fault: Fault) -> None:
        released = self._released
        if fault.kind == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif fault.kind == "silent":
            released.wait()
        else:
            connection.sendall(_head(answer, self.clock, close=True))
            if fault.kind == "truncated":
                connection.sendall(answer.body[: len(answer.body) // 2])
                return
            for byte in answer.body:
                if released.wait(fault.seconds):
                    return
                connection.sendall(bytes((byte,)))


def _said(answer: Any) -> Mapping[str, Any]:
    if isinstance(answer, AwsError):
        raise answer
    document: Mapping[str, Any] = answer
    return document


def _read(connection: socket.socket, incoming: Any) -> AwsRequest | None:
    """The next request, None when the client has gone."""
    line = incoming.readline(65536)
    if not line.strip():
        return None
    method, target, _ = line.decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while (line := incoming.readline(65536)) not in (b"\r\n", b"\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    if headers.get("expect", "").lower() == "100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body = b""
        while (size := int(incoming.readline().split(b";")[0] or b"0", 16)) > 0:
            body += incoming.read(size)
            incoming.readline()
        incoming.readline()
    else:
        length = int(headers.get("content-length", 0))
        body = incoming.read(length)
        if len(body) < length:
            return None
    return AwsRequest(method, target, headers, body)


def _head(answer: Answer, clock: Clock, close: bool = False) -> bytes:
    words = {
        200: "OK",
        201: "Created",
        202: "Accepted",
        204: "No Content",
        304: "Not Modified",
        400: "Bad Request",
        403: "Forbidden",
    }
    headers = {
        "Date": format_datetime(clock.now(), usegmt=True),
        "Content-Length": str(len(answer.body)),
        **answer.headers,
    }
    headers["Connection"] = "close" if close else "keep-alive"
    lines = [
        f"HTTP/1.1 {answer.status} {words.get(answer.status, 'Status')}",
        *(f"{key}: {value}" for key, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def _write(
    connection: socket.socket, answer: Answer, aws_request: AwsRequest, clock: Clock
) -> bool:
    close = aws_request.headers.get("connection", "").lower() == "close"
    body = b"" if aws_request.method == "HEAD" else answer.body
    connection.sendall(_head(answer, clock, close) + body)
    return not close
