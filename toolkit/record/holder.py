"""Who is at work on a target: the body of a lock. Whoever comes next reads it, so nothing in it is
trusted.
"""

import json
import secrets
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from toolkit.errors import LockHeld
from toolkit.ports import who

BODY_MOST = 1 << 16
_Word = Annotated[str, Meta(max_length=4096)]


class Holder(Struct, frozen=True):
    """A run that holds locks. `id` is its own for each time that it takes some; `since` is ISO
    8601; `tokens` are those of its calls.

    `boot` and `started` tell its process from a later one of the same number. `problem` says what
    is wrong with a body that could not be read, or that it is known to have ended.
    """

    who: _Word
    host: _Word
    pid: int
    run: _Word
    command: _Word
    since: _Word
    id: _Word
    tokens: Annotated[tuple[_Word, ...], Meta(max_length=1000)] = ()
    boot: _Word = ""
    started: _Word = ""
    action: _Word = ""
    """What the run does: deploy or rollback; empty for one of the version before."""
    problem: str = ""

    @property
    def ended(self) -> bool:
        """Whether its process is known not to run any more."""
        return who.alive(who.Process(self.host, self.boot, self.pid, self.started)) is False


class StopRequest(Struct, frozen=True):
    """That a holder stops: who asks for it, and for what. It stands in the lock itself, so that it
    reaches the holder wherever that is.
    """

    who: _Word
    host: _Word
    run: _Word
    command: _Word


def holder(
    run: str, command: str, now: datetime, tokens: tuple[str, ...] = (), action: str = ""
) -> Holder:
    """This process as a holder."""
    me = who.this()
    since = now.isoformat(timespec="seconds")
    return Holder(
        who.user(),
        me.host,
        me.pid,
        run,
        command[:1000],
        since,
        secrets.token_hex(8),
        tokens,
        me.boot,
        me.started,
        action,
    )


def wish(by: Holder) -> StopRequest:
    """What a run asks the holder of a lock that it needs."""
    return StopRequest(by.who, by.host, by.run, by.command)


def encoded(one: Holder, name: str, beat: int = 0, stop: StopRequest | None = None) -> bytes:
    """A lock's body. `beat` makes each renewal's body another one: an object's etag may be its
    digest, and must tell them apart.

    `stop` says that the holder is to stop.
    """
    found: dict[str, Any] = msgspec.to_builtins(one)
    del found["problem"]
    asked = {} if stop is None else {"stop": msgspec.to_builtins(stop)}
    return (
        json.dumps({"v": 1, "name": name, "beat": beat, **found, **asked}).encode("ascii") + b"\n"
    )


def asking(body: bytes, stop: StopRequest) -> bytes | None:
    """Somebody else's body with the wish in it; None for one that cannot be read. All else that
    stands in it is kept.
    """
    try:
        found = json.loads(body.partition(b"\n")[0])
    except (ValueError, RecursionError):
        return None
    return (
        json.dumps({**found, "stop": msgspec.to_builtins(stop)}).encode("ascii") + b"\n"
        if isinstance(found, dict)
        else None
    )


def wish_in(body: bytes) -> StopRequest | None:
    """The wish in a lock's body, None if there is none. Whoever may write to the store may write
    it, so nothing else is done about it.
    """
    try:
        found = json.loads(body.partition(b"\n")[0])
        return (
            msgspec.convert(found["stop"], StopRequest)
            if isinstance(found, dict) and "stop" in found
            else None
        )
    except (ValueError, RecursionError):
        return None


def decoded(body: bytes, fallback: str) -> Holder:
    """Who wrote a lock's first line. One that cannot be read has a `problem`, and `fallback` as its
    id.
    """
    line = body.partition(b"\n")[0]
    if len(line) > BODY_MOST:
        return _unreadable(fallback, f"its body is larger than {BODY_MOST >> 10} kB")
    try:
        found = json.loads(line)
        if isinstance(found, dict):
            found.pop("problem", None)
        return msgspec.convert(found, Holder)
    except (ValueError, RecursionError):
        return _unreadable(fallback, "its body cannot be read")


def _unreadable(id: str, problem: str) -> Holder:
    return Holder("somebody", "", 0, "", "", "", id, problem=problem)


def held(name: str, by: Holder) -> LockHeld:
    """The error for a target that somebody else is at work on."""
    owner = f"{by.who}@{by.host}" if by.host else by.who
    return LockHeld(
        target=name,
        owner=owner,
        since=by.since or "an unknown time",
        command=by.command or by.problem or "unknown",
    )
