"""The last good load of each check, which the next one is compared with."""

import json

import msgspec
from msgspec import Struct

from toolkit.errors import StateDamaged
from toolkit.ports import disk
from toolkit.record import state
from toolkit.record.state import Store

FOLDER = "loads"
MOST = 1 << 16


class LoadRecord(Struct, frozen=True):
    """One good load. `asks` is the request and the number of users: loads with other ones cannot be
    compared.
    """

    asks: str
    when: str
    p50: float
    p95: float
    p99: float
    rate: float


def read(store: Store, environment: str | None, task: str) -> LoadRecord | None:
    """The last good load, None if there is none. Raises StateDamaged, FileProblem."""
    path = _path(store, environment, task)
    data = disk.read(path, MOST)
    if data is None:
        return None
    try:
        return msgspec.convert(json.loads(data), LoadRecord)
    except (ValueError, RecursionError):
        raise StateDamaged(
            path=path, reason="it is not the record of a load; delete it to start again"
        ) from None


def save(store: Store, environment: str | None, task: str, record: LoadRecord) -> None:
    """Replace the stored load. Raises FileProblem, StateDamaged."""
    store.subfolder(FOLDER)
    line = json.dumps(msgspec.to_builtins(record)).encode("ascii") + b"\n"
    disk.write(_path(store, environment, task), line)


def _path(store: Store, environment: str | None, task: str) -> str:
    return store.path(FOLDER, f"{state.file_name(environment, None, task)}.json")
