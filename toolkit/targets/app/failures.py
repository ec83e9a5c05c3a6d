"""Why tasks stopped: what will never work, and what may work at another try."""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct

from toolkit.advice import Advice, NextCommand, ShellCommand

Shape = Mapping[str, Any]

CRASHES, UNHEALTHY = 2, 3
"""So many tasks may exit, or fail their health checks, without a healthy one beside them, before it
counts as never going to work.
"""


class FailureSort(StrEnum):
    """What made a task stop."""

    IMAGE = "image"
    SECRET = "secret"  # noqa: S105 (the name of a cause)
    CONFIGURATION = "configuration"
    CRASH = "crash"
    UNHEALTHY = "unhealthy"
    TRANSIENT = "transient"
    """Another try may succeed."""
    OTHER = "other"


_TRANSIENT_CODES = (
    "SpotInterruption",
    "TerminationNotice",
    "InfrastructureHealth",
    "UserInitiated",
)
_TRANSIENT = re.compile(
    r"throttl|rate exceeded|too ?many ?requests|capacity|timed? ?out|i/o timeout|deadline"
    r" exceeded|connection (?:reset|refused)"
    r"|temporar|unexpected EOF|50[0-4] |internal server error|no space left",
    re.IGNORECASE,
)
_FOR_GOOD = re.compile(
    r"CannotPull(?:Container|ECRContainer|Image)\w*|ImageNotFound|pull access denied|manifest"
    r" unknown",
    re.IGNORECASE,
)
_KINDS = (
    (FailureSort.IMAGE, _FOR_GOOD),
    (
        FailureSort.CONFIGURATION,
        re.compile(
            r"exec format error|CannotStartContainer|CannotCreateContainer|executable file not"
            r" found|invalid reference"
        ),
    ),
    (FailureSort.SECRET, re.compile(r"secrets? |secretsmanager|ssm[: ]|parameter", re.IGNORECASE)),
    (FailureSort.CONFIGURATION, re.compile(r"ResourceInitializationError")),
)
_NOT_A_FAILURE = ("Scaling activity initiated by",)


class Failure(Struct, frozen=True):
    """One stopped task; `cause` is one line."""

    task: str
    sort: FailureSort
    cause: str
    container: str | None = None

    @property
    def id(self) -> str:
        """The task's own part of its ARN."""
        return self.task.rpartition("/")[2]


def failure_of(task: Shape) -> Failure | None:
    """What went wrong with a stopped task; None if it was stopped in good order."""
    code, why = str(task.get("stopCode", "")), _line(task.get("stoppedReason"))
    if why.startswith(_NOT_A_FAILURE):
        return None
    guilty = _guilty_container(task.get("containers") or ())
    words = " ".join(
        (why, *(_line(container.get("reason")) for container in task.get("containers") or ()))
    )
    kind = _kind(code, words)
    if kind is None:
        return None
    if guilty is None:
        return Failure(str(task["taskArn"]), kind, why or "a task stopped without a reason")
    cause = _cause(kind, why, guilty)
    return Failure(str(task["taskArn"]), kind, cause, str(guilty["name"]))


def _kind(code: str, words: str) -> FailureSort | None:
    if code in _TRANSIENT_CODES:
        return FailureSort.TRANSIENT
    if (
        "failed ELB health checks" in words
        or "failed container health checks" in words
        or "failed health checks" in words
    ):
        return FailureSort.UNHEALTHY
    if code == "EssentialContainerExited" and "exec format error" not in words:
        return FailureSort.CRASH
    if code == "ServiceSchedulerInitiated":
        return None
    if _TRANSIENT.search(words):
        return FailureSort.TRANSIENT
    initialization = "ResourceInitializationError" in words
    for kind, pattern in _KINDS:
        if pattern.search(words) and (kind != FailureSort.SECRET or initialization):
            return kind
    return FailureSort.OTHER


def _guilty_container(containers: Iterable[Shape]) -> Shape | None:
    """The container to blame: one that says why, else one that ended badly, else one that ended at
    all.
    """
    ended = [
        container
        for container in containers
        if container.get("reason") or container.get("exitCode") is not None
    ]
    return max(
        ended,
        key=lambda container: (
            bool(container.get("reason")),
            container.get("exitCode") not in (None, 0),
        ),
        default=None,
    )


def _cause(kind: FailureSort, why: str, guilty: Shape) -> str:
    """Why the task stopped, in ECS's words (`why`) and the container's own, none twice."""
    reason = _line(guilty.get("reason"))
    if kind == FailureSort.CRASH:
        code = guilty.get("exitCode")
        how = "ended without an exit code" if code is None else f"exited with code {code}"
        cause = f"container {guilty['name']} {how}"
        return f"{cause}: {reason}" if reason else cause
    if not why:
        return reason or "a task stopped without a reason"
    if reason in why:
        return why
    if why in reason:
        return reason
    return f"{why}: {reason}"


def _line(text: object) -> str:
    return " ".join(str(text or "").split())


def permanent_failure(failures: Iterable[Failure], healthy: bool) -> Failure | None:
    """The failure that says that the deployment cannot succeed; None while it still may. `healthy`:
    a task of it serves.
    """
    listed = list(failures)
    for failure in listed:
        if failure.sort in (FailureSort.IMAGE, FailureSort.SECRET, FailureSort.CONFIGURATION):
            return failure
    if healthy:
        return None
    for kind, most in ((FailureSort.CRASH, CRASHES), (FailureSort.UNHEALTHY, UNHEALTHY)):
        alike = [failure for failure in listed if failure.sort == kind]
        if len(alike) >= most:
            return alike[0]
    return None


def worst_failure(failures: Iterable[Failure]) -> Failure | None:
    """The failure that tells most."""
    order = (
        FailureSort.IMAGE,
        FailureSort.SECRET,
        FailureSort.CONFIGURATION,
        FailureSort.CRASH,
        FailureSort.UNHEALTHY,
        FailureSort.OTHER,
        FailureSort.TRANSIENT,
    )
    return min(failures, key=lambda failure: order.index(failure.sort), default=None)


def remedy(
    failure: Failure | None, target: str, log: ShellCommand | None, otherwise: Advice
) -> Advice:
    """What to do about tasks that fail: by the failure that tells most, else what its log says,
    which the command `log` shows.
    """
    again = NextCommand("deploy-app", (target,))
    if failure is not None and failure.sort == FailureSort.IMAGE:
        check = "check that the image exists and the task's execution role may pull it, then"
        return check, again
    if failure is not None and failure.sort == FailureSort.SECRET:
        return "create the secret, or let the task's execution role read it, then", again
    if log is not None:
        return "fix what its log says:", log, "; then", again
    return otherwise
