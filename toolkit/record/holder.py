"""Who holds a lock: the body of a lock. It comes from other machines, so nothing in it is
trusted.
"""

import json
import secrets
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from toolkit.errors import LockHeld
from toolkit.ports import processes

BODY_MOST = 1 << 16
_Word = Annotated[str, Meta(max_length=4096)]


class Holder(Struct, frozen=True):
    """A run that holds locks. `id` is new each time that it takes some; `since` is ISO 8601;
    `tokens` are those of its calls.

    `boot` and `started` tell its process from a later one with the same number. `problem` says why
    a body could not be read, or that its process is known to have ended.
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
        """Whether its process is known to have ended."""
        return (
            processes.is_running(processes.Process(self.host, self.boot, self.pid, self.started))
            is False
        )


class StopRequest(Struct, frozen=True):
    """A request to the holder of a lock to stop: who asks, and for which run. It is written into
    the lock itself, so that it reaches the holder on any machine.
    """

    who: _Word
    host: _Word
    run: _Word
    command: _Word


def holder(
    run: str, command: str, now: datetime, tokens: tuple[str, ...] = (), action: str = ""
) -> Holder:
    """This process as a holder."""
    me = processes.current_process()
    since = now.isoformat(timespec="seconds")
    return Holder(
        processes.user(),
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


def stop_request_of(by: Holder) -> StopRequest:
    """The stop request that a run makes of the holder of a lock that it needs."""
    return StopRequest(by.who, by.host, by.run, by.command)


def encode(by: Holder, name: str, beat: int = 0, stop: StopRequest | None = None) -> bytes:
    """A lock's body. `beat` makes the body of each renewal different: an object's etag may be a
    digest of it, and has to tell renewals apart. `stop` asks the holder to stop.
    """
    fields: dict[str, Any] = {"v": 1, "name": name, "beat": beat, **msgspec.to_builtins(by)}
    del fields["problem"]
    if stop is not None:
        fields["stop"] = msgspec.to_builtins(stop)
    return json.dumps(fields).encode("ascii") + b"\n"


def with_stop_request(body: bytes, stop: StopRequest) -> bytes | None:
    """The body with a stop request added, everything else unchanged; None if it cannot be read."""
    fields = _fields(body)
    if fields is None:
        return None
    return json.dumps({**fields, "stop": msgspec.to_builtins(stop)}).encode("ascii") + b"\n"


def stop_request_in(body: bytes) -> StopRequest | None:
    """The stop request in a lock's body, None if there is none. It can be written by anybody who
    may write to the store, and the holder does nothing but stop.
    """
    fields = _fields(body)
    if fields is None or "stop" not in fields:
        return None
    try:
        return msgspec.convert(fields["stop"], StopRequest)
    except msgspec.ValidationError:
        return None


def _fields(body: bytes) -> dict[str, Any] | None:
    """The JSON object in a body's first line, None if there is none."""
    try:
        fields = json.loads(body.partition(b"\n")[0])
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def decode(body: bytes, fallback: str) -> Holder:
    """The holder in a lock's body. One that cannot be read has a `problem`, and `fallback` as its
    id.
    """
    line = body.partition(b"\n")[0]
    if len(line) > BODY_MOST:
        return _unreadable(fallback, f"its content is larger than {BODY_MOST >> 10} kB")
    try:
        fields = json.loads(line)
        if isinstance(fields, dict):
            fields.pop("problem", None)
        return msgspec.convert(fields, Holder)
    except (ValueError, RecursionError):
        return _unreadable(fallback, "its content cannot be read")


def _unreadable(id: str, problem: str) -> Holder:
    return Holder("somebody", "", 0, "", "", "", id, problem=problem)


def lock_held_error(name: str, by: Holder) -> LockHeld:
    """The error for a target that is locked by another holder."""
    owner = f"{by.who}@{by.host}" if by.host else by.who
    return LockHeld(
        target=name,
        owner=owner,
        since=by.since or "an unknown time",
        command=by.command or by.problem or "unknown",
    )
