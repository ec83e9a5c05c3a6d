"""Health addresses: whether they answer, for how long their certificate is good, and whether what
answers is what was deployed.
"""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from toolkit.advice import ShellCommand
from toolkit.checks.base import CheckContext
from toolkit.checks.http import reachable
from toolkit.errors import ErrorClass, ToolkitError
from toolkit.model import Version
from toolkit.operations import Finding, HealthStatus, LiveVersion

if TYPE_CHECKING:
    from toolkit.ports.net.http import HttpResponse

SOON_DAYS = 14
"""A certificate that ends sooner is worth a warning."""

_HEX = re.compile(r"[0-9a-f]{7,40}(?:-dirty-[0-9a-f]+)?")
_REPORTED = {"commit": _HEX, "version": re.compile(rf"(?=[0-9]*[a-f]){_HEX.pattern}")}
"""Where an answer in JSON reports its version, and how that looks: a version of digits alone may be
a date, or a build's number.
"""


def check_address(url: str, context: CheckContext) -> Finding:
    """How an address is, with the commit or version that it reports."""
    try:
        response, content = reachable(url, context)
    except ToolkitError as problem:
        return _without_answer(without_query(url), problem)
    return replace(_answered(without_query(url), response), version=reported_version(content))


def _without_answer(address: str, problem: ToolkitError) -> Finding:
    cause = f"{address}: {problem}"
    if problem.is_observed:
        see = ShellCommand("curl -i", (address,))
        next_ = problem.next or ("fix what answers there; its answer:", see)
        return Finding(
            address,
            HealthStatus.FAILING,
            "unexpected answer",
            cause=cause,
            next=next_,
            common=str(problem) if address not in str(problem) else "",
        )
    # What kept us from asking says nothing about the address.
    refused = problem.error_class is ErrorClass.REFUSED
    detail = "not asked" if refused else "could not be checked"
    return Finding(
        address, HealthStatus.UNKNOWN, detail, cause=cause, next=problem.next, refused=refused
    )


def _answered(address: str, response: "HttpResponse") -> Finding:
    if response.certificate_ends is not None:
        days = (response.certificate_ends - datetime.now(UTC)).days
        if days < SOON_DAYS:
            detail = f"certificate: {days} days left"
            cause = f"the certificate of {address} expires in {days} days"
            return Finding(address, HealthStatus.WARNING, detail, cause=cause, next="renew it")
    return Finding(address, HealthStatus.OK, f"answers in {response.took_s * 1000:.0f}ms")


def without_query(url: str) -> str:
    """An address without what follows a question mark."""
    return url.partition("?")[0]


def reported_version(content: Any) -> str:
    """The commit (or the version, if it looks like one) that an answer reports; empty if there is
    none.
    """
    if isinstance(content, dict):
        for key, form in _REPORTED.items():
            value = content.get(key)
            if isinstance(value, str) and form.fullmatch(value):
                return value
    return ""


def is_other_version(reported: str, deployed: LiveVersion | Version | None) -> bool:
    """Whether the reported version is another one than what is deployed. What cannot be compared
    is not.
    """
    return bool(reported) and bool(_names(deployed)) and not is_same_version(reported, deployed)


def is_same_version(reported: str, deployed: LiveVersion | Version | None) -> bool:
    """Whether the reported version is this one. Services often report a shortened commit."""
    if not reported:
        return False
    names = _names(deployed)
    return any(name.startswith(reported) or reported.startswith(name) for name in names)


def _names(deployed: LiveVersion | Version | None) -> list[str]:
    """What a version can be compared by: its own name and its commit's."""
    if deployed is None:
        return []
    version = deployed.version if isinstance(deployed, LiveVersion) else deployed.name
    return [name for name in (version, deployed.commit) if name and _HEX.fullmatch(name)]


def wrong_version(url: str, reported: str, deployed: str) -> Finding:
    """The finding for an address that reports another version than what is deployed."""
    cause = f"{without_query(url)} reports version {reported[:12]}, but {deployed[:12]} is deployed"
    return Finding(
        without_query(url),
        HealthStatus.FAILING,
        f"answers as {reported[:12]}",
        cause=cause,
        next="check which tasks serve: a cache, or an older task, may answer instead",
    )


def wait_until_healthy(
    url: str,
    ask: Callable[[], Finding],
    expected: Version,
    again: Callable[[str], bool],
    others: Callable[[], Iterable[LiveVersion | None]],
) -> Finding | None:
    """Ask (what `ask` says of the address) until it answers well and as this version; what is not
    well, None if all is. `again` waits, and says whether to go on; `others` are what else may
    answer at this address, and does no less well.
    """
    while True:
        problem = finding = ask()
        reported = finding.version
        if finding.status in (HealthStatus.OK, HealthStatus.WARNING):
            if not is_other_version(reported, expected):
                return None
            if any(is_same_version(reported, version) for version in others()):
                return None
            problem = wrong_version(url, reported, expected.name)
        if finding.refused or not again(problem.cause):
            return problem
