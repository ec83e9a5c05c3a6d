"""What goes wrong between a client and a service, in the order in which a test scripted it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Any

from tests.support.aws.wire import AwsError, AwsRequest, Misuse

BROKEN = ("reset", "silent", "drip", "truncated")
"""Kinds that spoil the connection, not the answer."""
KINDS = ("throttle", "500", "502", "503", "504", "expired", "denied", "error", "duplicate", *BROKEN)


@dataclass
class Call:
    """A request that arrived. `outcome` is ok, the error's code, or the kind of fault that ate the
    answer; `applied` how often the operation had its effect.
    """

    service: str
    operation: str
    params: dict[str, Any]
    at: datetime
    key: str = ""
    region: str = ""
    fault: str = ""
    outcome: str = ""
    applied: int = 0

    @property
    def name(self) -> str:
        """`ecs:UpdateService`."""
        return f"{self.service}:{self.operation}"


class Calls(list[Call]):
    """All requests in the order in which they arrived."""

    def of(self, *names: str) -> list[Call]:
        """Those of these operations: `UpdateService`, `update_service`, `ecs:UpdateService` or
        `ecs:*`.
        """
        return [
            call
            for call in list(self)
            if any(matches(name, call.service, call.operation) for name in names)
        ]

    def count(self, *names: str) -> int:  # type: ignore[override]
        """How many arrived."""
        return len(self.of(*names))

    def applied(self, *names: str) -> int:
        """How often they had their effect."""
        return sum(call.applied for call in self.of(*names))

    def names(self) -> list[str]:
        """`ecs:UpdateService` of each."""
        return [call.name for call in list(self)]


@dataclass
class Fault:
    """One kind of trouble for the next `times` calls of an operation (None: for ever), after `skip`
    that pass.
    """

    operation: str
    kind: str
    times: int | None = 1
    when: str = "before"
    skip: int = 0
    code: str = ""
    message: str = ""
    status: int = 400
    seconds: float = 0.2
    resource: str = ""
    seen: int = field(default=0, init=False)
    hits: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise Misuse(f"there is no fault {self.kind}: {', '.join(KINDS)}")
        if self.when not in ("before", "after"):
            raise Misuse("a fault comes `before` or `after` the effect")

    def due(self) -> bool:
        """Count one call; whether it is hit."""
        self.seen += 1
        if self.seen <= self.skip or (self.times is not None and self.hits >= self.times):
            return False
        self.hits += 1
        return True


class Faults:
    """The faults of a test; safe to use from several threads."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._latencies: list[tuple[str, float]] = []
        self._lock = Lock()

    def add(self, fault: Fault) -> Fault:
        """One more."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """No more trouble."""
        with self._lock:
            self._faults.clear()
            self._latencies.clear()

    def slow(self, seconds: float, operation: str) -> None:
        """Every answer of this operation is late."""
        with self._lock:
            self._latencies.append((operation, seconds))

    def hit(self, service: str, operation: str) -> Fault | None:
        """The fault for this call, if any: the first that was scripted and is not used up."""
        with self._lock:
            return next(
                (f for f in self._faults if matches(f.operation, service, operation) and f.due()),
                None,
            )

    def latency(self, service: str, operation: str) -> float:
        """By how many seconds this answer is late; what was said last counts."""
        with self._lock:
            result = [
                seconds for name, seconds in self._latencies if matches(name, service, operation)
            ]
        return result[-1] if result else 0.0


def matches(pattern: str, service: str, operation: str) -> bool:
    """Whether `ecs:UpdateService`, `UpdateService`, `update_service`, `ecs:*` or `*` means this
    operation.
    """
    expected, _, name = pattern.rpartition(":")
    return expected in ("", service) and name.replace("_", "").lower() in ("*", operation.lower())


def as_error(fault: Fault, aws_request: AwsRequest, account: str) -> AwsError | None:
    """The answer that a fault stands for, None if it is none that spoils the answer."""
    service, operation = aws_request.service, aws_request.operation
    if fault.kind == "throttle":
        if service == "s3":
            return AwsError("SlowDown", "Please reduce your request rate.", 503)
        code = (
            "Throttling"
            if service in ("cloudformation", "elbv2", "sts", "iam")
            else "ThrottlingException"
        )
        return AwsError(code, "Rate exceeded")
    if fault.kind in ("500", "502", "503", "504"):
        names = {
            "500": "InternalFailure",
            "502": "BadGateway",
            "503": "ServiceUnavailable",
            "504": "GatewayTimeout",
        }
        names |= {"500": "ServerException"} if service in ("ecs", "ecr") else {}
        return AwsError(
            names[fault.kind], "Service Unavailable. Please try again later.", int(fault.kind)
        )
    if fault.kind == "expired":
        code = (
            "ExpiredToken"
            if service in ("s3", "sts", "cloudformation", "elbv2", "iam")
            else "ExpiredTokenException"
        )
        return AwsError(
            code,
            "The security token included in the request is expired",
            403 if code == "ExpiredToken" else 400,
        )
    if fault.kind == "denied":
        return denied(service, operation, account, fault.resource or resources(aws_request.params))
    if fault.kind == "error":
        return AwsError(fault.code, fault.message, fault.status)
    return None


def denied(service: str, operation: str, account: str, resource: str = "*") -> AwsError:
    """Access denied, in AWS's words."""
    prefix = {"elbv2": "elasticloadbalancing"}.get(service, service)
    action = {
        "ListObjectsV2": "ListBucket",
        "HeadObject": "GetObject",
        "HeadBucket": "ListBucket",
    }.get(operation, operation)
    sentence = (
        f"User: arn:aws:iam::{account}:user/deployer is not authorized to perform:"
        f" {prefix}:{action} on resource: {resource} because no identity-based policy allows the"
        f" {prefix}:{action} action"
    )
    if service in ("s3", "sts", "cloudformation", "elbv2", "iam"):
        return AwsError("AccessDenied", sentence, 403)
    return AwsError("AccessDeniedException", sentence, 400)


def resources(params: dict[str, Any]) -> str:
    """The first ARN among the parameters, else `*`."""
    return next((value for value in _strings(params.values()) if value.startswith("arn:")), "*")


def _strings(values: Iterable[Any]) -> list[str]:
    lines: list[str] = []
    for value in values:
        if isinstance(value, str):
            lines.append(value)
        elif isinstance(value, (list, tuple)):
            lines += _strings(value)
    return lines
