"""Health addresses: whether they answer, for how long their certificate is good, and whether what
answers is what was deployed.
"""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from toolkit.checks.base import CheckContext
from toolkit.checks.http import reachable
from toolkit.errors import ErrorClass, ToolkitError
from toolkit.model import Finding, LiveVersion, Version

SOON_DAYS = 14
"""A certificate that ends sooner is worth a warning."""

NOT_ASKED = "not asked"
"""What is said of an address that our own settings keep us from asking: it will be no better in a
moment.
"""

_HEX = re.compile(r"[0-9a-f]{7,40}(?:-dirty-[0-9a-f]+)?")
_SAID = {"commit": _HEX, "version": re.compile(rf"(?=[0-9]*[a-f]){_HEX.pattern}")}
"""Where an answer in JSON says what it is, and how that looks: a version of digits alone may be a
date, or a build's number.
"""


def sign(url: str, around: CheckContext) -> tuple[Finding, str]:
    """How an address is, and the commit or version that it says of itself (empty if it says none
    that can be compared).
    """
    what = shown(url)
    try:
        answered, content = reachable(url, around)
    except ToolkitError as problem:
        if not problem.is_observed:
            detail = (
                NOT_ASKED if problem.error_class is ErrorClass.REFUSED else "could not be asked"
            )
            return Finding(
                what, "unknown", detail, cause=f"{what}: {problem}", next=problem.next
            ), ""
        return (
            Finding(
                what,
                "failing",
                "no good answer",
                cause=f"{what}: {problem}",
                next=problem.next or f"curl -i {what}",
            ),
            "",
        )
    words = f"answers in {answered.took_s * 1000:.0f}ms"
    days = (
        None
        if answered.certificate_ends is None
        else (answered.certificate_ends - datetime.now(UTC)).days
    )
    if days is not None and days < SOON_DAYS:
        cause = f"the certificate of {what} ends in {days} days"
        return Finding(
            what, "warning", f"certificate: {days} days left", cause=cause, next="renew it"
        ), says(content)
    return Finding(what, "ok", words), says(content)


def shown(url: str) -> str:
    """An address without what follows a question mark."""
    return url.partition("?")[0]


def says(content: Any) -> str:
    """The commit (or the version, if it looks like one) that an answer says of itself; empty if
    there is none.
    """
    if isinstance(content, dict):
        for key, form in _SAID.items():
            value = content.get(key)
            if isinstance(value, str) and form.fullmatch(value):
                return value
    return ""


def is_another(said: str, deployed: LiveVersion | Version | None) -> bool:
    """Whether what answers says to be another version than what is deployed. What cannot be
    compared is none.
    """
    return bool(said) and bool(_known(deployed)) and not is_of(said, deployed)


def is_of(said: str, deployed: LiveVersion | Version | None) -> bool:
    """Whether what answers says to be this version."""
    return bool(said) and any(
        one.startswith(said) or said.startswith(one) for one in _known(deployed)
    )


def _known(deployed: LiveVersion | Version | None) -> list[str]:
    """What can be compared of a version."""
    if deployed is None:
        return []
    name = deployed.version if isinstance(deployed, LiveVersion) else deployed.name
    return [one for one in (name, deployed.commit) if one and _HEX.fullmatch(one)]


def another(url: str, said: str, deployed: str) -> Finding:
    """What to tell then."""
    cause = f"{shown(url)} says that it is {said[:12]}, but {deployed[:12]} is deployed"
    return Finding(
        shown(url),
        "failing",
        f"answers as {said[:12]}",
        cause=cause,
        next="see which tasks serve: a cache, or an older task, may be in front",
    )


def wait_until_well(
    url: str,
    ask: Callable[[], tuple[Finding, str]],
    wanted: Version,
    again: Callable[[str], bool],
    others: Callable[[], Iterable[LiveVersion | None]],
) -> Finding | None:
    """Ask (what `sign` says of the address) until it answers well and as this version; what is not
    well, None if all is. `again` waits, and says whether to go on; `others` are what else may
    answer at this address, and does no less well.
    """
    while True:
        found, said = ask()
        well = found.status in ("ok", "warning")
        if well and (not is_another(said, wanted) or any(is_of(said, other) for other in others())):
            return None
        wrong = another(url, said, wanted.name) if well else found
        if found.detail == NOT_ASKED or not again(wrong.cause):
            return wrong
