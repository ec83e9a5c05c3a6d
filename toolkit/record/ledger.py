"""What is live where: for each target the deploys that went well, and the last one whatever it was.

Where a bucket is configured it is the truth; the files on this machine are then a copy for when it cannot be reached.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from toolkit.errors import FileProblem, StateDamaged, Unreachable
from toolkit.model import GOOD, Place
from toolkit.ports.aws.s3 import Bucket
from toolkit.ports.world import World
from toolkit.record import disk, state
from toolkit.record.disk import Disk
from toolkit.record.state import Store

ROOM = "live"
KEPT = 50
"""How many good deploys of a target are kept."""
FILE_MOST = 1 << 20
_TRIES = 20
_VERSION = 1


class Record(Struct, frozen=True):
    """One deploy of one target. `when` is ISO 8601 in UTC; `n` is its place among the target's deploys, which no clock can upset.

    `unsure` says that it was no good one, nor seen to give way to what ran before: something else than the last good one may be live.
    """

    target: str
    environment: str | None
    region: str | None
    version: str
    commit: str | None
    fingerprint: str
    run: str
    when: str
    verdict: str
    detail: Mapping[str, str] = {}
    n: int = 0
    unsure: bool = False


class _File(Struct, forbid_unknown_fields=True):
    v: int
    records: Annotated[tuple[Record, ...], Meta(max_length=1000)]


Name = tuple[str | None, str | None, str]
"""Environment, region, target."""


def merged(*lists: Iterable[Record]) -> tuple[Record, ...]:
    """One target's records from several places, each run once, newest first; what `kept` leaves out is left out. Pure."""
    found: dict[str, Record] = {}
    for record in (record for records in lists for record in records):
        other = found.get(record.run)
        if other is None or (record.n, record.when, record.verdict) > (other.n, other.when, other.verdict):
            found[record.run] = record
    return kept(sorted(found.values(), key=lambda one: (one.n, one.when, one.run), reverse=True))


def kept(records: Sequence[Record]) -> tuple[Record, ...]:
    """Of records with the newest first: the newest, and the last good ones. Pure."""
    good = [record for record in records if record.verdict in GOOD][:KEPT]
    return tuple(good) if not records or records[0].verdict in GOOD else (records[0], *good)


def added(records: Sequence[Record], record: Record) -> tuple[Record, ...]:
    """The records with a new one on top; one of the same run is corrected where it stands. What gave way to what nobody was sure of leaves
    that as it was. Pure."""
    same = next((one for one in records if one.run == record.run), None)
    n = same.n if same is not None else max((one.n for one in records), default=0) + 1
    unsure = record.verdict not in GOOD and (record.unsure or (bool(records) and records[0].unsure))
    return merged([one for one in records if one is not same], [replace(record, n=n, unsure=unsure)])


def encoded(records: Sequence[Record]) -> bytes:
    """The bytes of a target's file."""
    return json.dumps({"v": _VERSION, "records": msgspec.to_builtins(records)}, indent=1).encode("ascii") + b"\n"


def decoded(data: bytes, path: str, name: Name | None = None) -> tuple[Record, ...]:
    """The records in a file, of the target `name` if that is known. Raises StateDamaged."""
    if len(data) > FILE_MOST:
        raise StateDamaged(path=path, reason=f"it is larger than {FILE_MOST >> 20} MB")
    try:
        found = msgspec.convert(json.loads(data), _File)
    except (ValueError, RecursionError) as problem:
        raise StateDamaged(path=path, reason=f"it is no record of what is live ({type(problem).__name__})") from None
    if found.v != _VERSION:
        raise StateDamaged(path=path, reason=f"it was written by another version of toolkit (format {found.v})")
    names = {(one.environment, one.region, one.target) for one in found.records}
    if len(names | ({name} if name else set())) > 1:
        raise StateDamaged(path=path, reason="it has records of another target")
    return merged(found.records)


class Ledger(Protocol):
    """The record of what is live. `behind` says why answers come from a copy, None if they do not."""

    @property
    def behind(self) -> str | None: ...

    def get(self, environment: str | None, region: str | None, target: str) -> tuple[Record, ...]:
        """A target's records, newest first; none if it was never deployed. Raises StateDamaged, FileProblem, CloudError."""

    def put(self, record: Record) -> None:
        """Add one, or correct the one of the same run. Raises StateDamaged, FileProblem, CloudError."""

    def all(self) -> Mapping[Name, tuple[Record, ...]]:
        """The records of every target. Raises StateDamaged, FileProblem, CloudError."""


def open_ledger(store: Store, place: Place, world: World) -> Ledger:
    """The record of a project, in the place's bucket if it has one."""
    here = Local(store)
    return Shared(here, Bucket(world.aws(place), place.store, place.account)) if place.store else here


class Local:
    """The record on this machine, one file a target."""

    behind: str | None = None

    def __init__(self, store: Store, disk: Disk | None = None) -> None:
        self._store, self._disk = store, disk or Disk()

    def get(self, environment: str | None, region: str | None, target: str) -> tuple[Record, ...]:
        """A target's records."""
        name = (environment, region, target)
        return self._read(self._path(name), name)

    def put(self, record: Record) -> None:
        """Add one."""
        name = (record.environment, record.region, record.target)
        self.change(name, lambda records: added(records, record))

    def keep(self, name: Name, records: Sequence[Record]) -> None:
        """Take over what another place knows."""
        self.change(name, lambda own: merged(own, records))

    def change(self, name: Name, how: Callable[[Sequence[Record]], tuple[Record, ...]]) -> tuple[Record, ...]:
        """Read, change, write, with no other process in between."""
        path = self._path(name)
        lock = self._locked(os.path.join(self._store.room(ROOM), ".lock"))
        try:
            before = self._read(path, name)
            after: tuple[Record, ...] = how(before)
            if after != before:
                disk.replace(path, encoded(after), self._disk)
            return after
        finally:
            disk.unlock(lock)

    def all(self) -> Mapping[Name, tuple[Record, ...]]:
        """The records of every target."""
        try:
            files = sorted(os.listdir(self._store.path(ROOM)))
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise FileProblem(path=self._store.path(ROOM), reason=disk.why(error)) from None
        found = [self._read(self._store.path(ROOM, file), None) for file in files if file.endswith(".json")]
        return {(one[0].environment, one[0].region, one[0].target): one for one in found if one}

    def _read(self, path: str, name: Name | None) -> tuple[Record, ...]:
        data = disk.read(path, FILE_MOST)
        return () if data is None else decoded(data, path, name)

    def _path(self, name: Name) -> str:
        return self._store.path(ROOM, f"{state.file_name(*name)}.json")

    def _locked(self, path: str) -> int:
        try:
            descriptor = disk.open_own(path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise disk.bad_file(path, error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            os.close(descriptor)
            raise disk.unlockable(path, error) from None
        return descriptor


class Shared:
    """The record in a bucket, with a copy here."""

    def __init__(self, here: Local, bucket: Bucket) -> None:
        self._here, self._bucket = here, bucket
        self.behind: str | None = None

    def get(self, environment: str | None, region: str | None, target: str) -> tuple[Record, ...]:
        """A target's records; those of the copy if the bucket cannot be reached."""
        name = (environment, region, target)
        try:
            found, _ = self._read(_key(name), name)
        except Unreachable as problem:
            self.behind = str(problem)
            return self._here.get(environment, region, target)
        self._copy(name, found)
        return found

    def put(self, record: Record) -> None:
        """Add one, with what could only be put into the copy before. When this raises for the bucket, the copy has it."""
        name = (record.environment, record.region, record.target)
        own: tuple[Record, ...] = ()
        with suppress(StateDamaged, FileProblem):  # the copy is no more than that
            own = self._here.get(*name)
            self._here.put(record)
        key = _key(name)
        for _ in range(_TRIES):
            there, etag = self._read(key, name)
            wanted = added(merged(there, own), record)
            if wanted == there or self._bucket.put(key, encoded(wanted), etag) is not None:
                self._copy(name, wanted)
                return
        raise StateDamaged(path=self._bucket.address(key), reason="others write to it all the time")

    def all(self) -> Mapping[Name, tuple[Record, ...]]:
        """The records of every target; those of the copy if the bucket cannot be reached."""
        try:
            keys = [key for key in self._bucket.keys(f"{ROOM}/") if key.endswith(".json")]
            with ThreadPoolExecutor(8) as pool:
                found = [records for records, _ in pool.map(lambda key: self._read(key, None), keys) if records]
        except Unreachable as problem:
            self.behind = str(problem)
            return self._here.all()
        return {(one[0].environment, one[0].region, one[0].target): one for one in found}

    def _copy(self, name: Name, records: tuple[Record, ...]) -> None:
        with suppress(StateDamaged, FileProblem):
            if records:
                self._here.keep(name, records)

    def _read(self, key: str, name: Name | None) -> tuple[tuple[Record, ...], str | None]:
        found = self._bucket.get(key, FILE_MOST)
        return ((), None) if found is None else (decoded(found.body, self._bucket.address(key), name), found.etag)


def _key(name: Name) -> str:
    return f"{ROOM}/{'/'.join(state.file_name(part) for part in name)}.json"
