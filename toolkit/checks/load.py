"""A small load with a check's request: the figures, held against the last good run. The judging is
pure.
"""

import json
from collections.abc import Iterator

from msgspec import Struct

from toolkit.model import Load, Mismatch
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


def described(
    asked: HttpRequest, policy: Policy, status: int | tuple[int, ...] | None, seconds: float
) -> bytes:
    """What the child reads (ports/load/user.py). It holds secrets: it goes through a pipe, never
    into a file or an argument.
    """
    wanted = () if status is None else (status,) if isinstance(status, int) else status
    instead = {host: list(there) for host, there in policy.instead.items()}
    return json.dumps(
        {
            "method": asked.method,
            "url": asked.url,
            "headers": dict(asked.headers),
            "secret_headers": sorted(asked.secret_headers),
            "body": None if asked.body is None else asked.body.decode("latin-1"),
            "status": wanted,
            "seconds": seconds,
            "policy": {"hosts": policy.hosts, "private": policy.private, "instead": instead},
        }
    ).encode()


def misses(found: LoadFigures, load: Load, before: LastLoad | None) -> Iterator[Mismatch]:
    """What is not good about it: too many errors, or slower than in the last good run by more than
    the factor.
    """
    if found.share > load.errors:
        yield Mismatch(
            "errors", f"at most {load.errors:.1%}", f"{found.share:.1%}, the first: {found.first}"
        )
    for name in (
        ("p50", "p95", "p99") if before is not None and found.errors < found.requests else ()
    ):
        now, then = getattr(found, name), getattr(before, name)
        if now > then * load.worse and now - then > NOISE_MS:
            yield Mismatch(
                name,
                f"at most {then * load.worse:.0f}ms ({load.worse:g} times the last good run's"
                f" {then:.0f}ms)",
                f"{now:.0f}ms",
            )


def words(found: LoadFigures, before: LastLoad | None) -> str:
    """The figures in a line."""
    was = "" if before is None else f" (was {before.p50:.0f}/{before.p95:.0f}/{before.p99:.0f})"
    return (
        f"{found.requests} requests, {found.rate:.1f}/s, p50/p95/p99"
        f" {found.p50:.0f}/{found.p95:.0f}/{found.p99:.0f}ms{was}, {found.errors} errors"
    )
