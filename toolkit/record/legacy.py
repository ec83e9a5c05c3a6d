"""What the first version of toolkit recorded as live: by environment and region only, so it may be
of another account or endpoint.

It is read, never written.
"""

import json
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from toolkit.errors import StateDamaged
from toolkit.record import state

FOLDER = "live"

Text = Annotated[str, Meta(max_length=4096)]


class LegacyEntry(Struct, frozen=True):
    """One deploy of one target, as it was recorded then."""

    target: Text
    environment: Text | None
    region: Text | None
    version: Text
    commit: Text | None
    fingerprint: Text
    run: Text
    when: Text
    verdict: Text
    detail: Mapping[Text, Text] = {}
    n: int = 0
    unsure: bool = False


class _File(Struct):
    v: int
    records: Annotated[tuple[LegacyEntry, ...], Meta(max_length=1000)]


def decode(data: bytes, path: str) -> tuple[LegacyEntry, ...]:
    """The entries of a file. Raises StateDamaged."""
    try:
        return msgspec.convert(json.loads(data), _File).records
    except (ValueError, RecursionError) as problem:
        raise StateDamaged(
            path=path, reason=f"it is not a valid record ({type(problem).__name__})"
        ) from None


def prefix(environment: str | None) -> str:
    """The prefix of the keys of an environment's entries in a bucket."""
    return f"{FOLDER}/{state.file_name(environment)}/"
