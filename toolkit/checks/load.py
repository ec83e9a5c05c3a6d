"""A small load with a check's request: the figures, held against the last good run. The judging is
pure.
"""

import json
from collections.abc import Iterator

from msgspec import Struct

from toolkit.checks.expect import Status, ranges
from toolkit.model import Load
from toolkit.operations import Mismatch
from toolkit.ports.load import LoadFigures
from toolkit.ports.net.http import HttpRequest
from toolkit.ports.net.policy import Policy

NOISE_MS = 5.0
"""By less than that nothing is worse: at a few milliseconds a factor says little."""


class LastLoad(Struct, frozen=True):
    """The last good run, as far as it is compared."""

    p50: float
    p95: float
    p99: float


def encode_job(
    request: HttpRequest, policy: Policy, status: Status | None, seconds: float
) -> bytes:
    """What the child reads (ports/load/user.py). It holds secrets: it goes through a pipe, never
    into a file or an argument.
    """
    statuses: list[int] = []
    for choice in ranges(status):
        statuses += choice
    instead = {host: list(addresses) for host, addresses in policy.instead.items()}
    return json.dumps(
        {
            "method": request.method,
            "url": request.url,
            "headers": dict(request.headers),
            "secret_headers": sorted(request.secret_headers),
            "body": None if request.body is None else request.body.decode("latin-1"),
            "status": statuses,
            "seconds": seconds,
            "policy": {"hosts": policy.hosts, "private": policy.private, "instead": instead},
        }
    ).encode()


def load_mismatches(
    figures: LoadFigures, load: Load, before: LastLoad | None
) -> Iterator[Mismatch]:
    """What is not good about it: too many errors, or slower than in the last good run by more than
    the factor.
    """
    if figures.share > load.errors:
        got = f"{figures.share:.1%}, the first: {figures.first}"
        yield Mismatch("errors", f"at most {load.errors:.1%}", got)
    if before is None or figures.errors >= figures.requests:
        return  # where nothing succeeded, no time says anything
    for name in ("p50", "p95", "p99"):
        now, then = getattr(figures, name), getattr(before, name)
        if now > then * load.worse and now - then > NOISE_MS:
            limit = f"at most {then * load.worse:.0f}ms"
            factor = f"{load.worse:g} times the last good run's {then:.0f}ms"
            yield Mismatch(name, f"{limit} ({factor})", f"{now:.0f}ms")


def words(figures: LoadFigures, before: LastLoad | None) -> str:
    """The figures in a line."""
    was = ""
    if before is not None:
        was = f" (was {before.p50:.0f}/{before.p95:.0f}/{before.p99:.0f})"
    return (
        f"{figures.requests} requests, {figures.rate:.1f}/s, p50/p95/p99"
        f" {figures.p50:.0f}/{figures.p95:.0f}/{figures.p99:.0f}ms{was}, {figures.errors} errors"
    )
