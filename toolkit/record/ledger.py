"""What is live where: for each target the deploys that went well, and the last one whatever it was.

A record belongs to one place: provider, endpoint, account, region, environment. Where a bucket is
configured it is the truth; the files on this machine are then a copy for when it cannot be reached.
What earlier versions of toolkit recorded is read, and never written.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from shlex import quote
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from toolkit.errors import AnotherProject, FileProblem, Refused, StateDamaged, Unreachable
from toolkit.model import GOOD, DeployedState, Location, Resource
from toolkit.ports.aws.s3 import Bucket
from toolkit.ports.ports import Ports
from toolkit.record import disk, legacy, state
from toolkit.record.disk import Disk
from toolkit.record.legacy import Text
from toolkit.record.locks import ROLLBACK
from toolkit.record.state import Store

ROOM = "record"
DEPLOYED, SET, SEEN = "deploy", "set", "seen"
"""Where a record comes from: a deploy, a person's word, or what runs, which an earlier version of
toolkit had recorded.
"""
ACTION = "action"
"""Under which detail a record says that the version was put back."""
BEGUN = "begun"
"""The verdict of a deploy whose end is not recorded yet. It is written down before anything that
runs is changed: so who reads the record sees every deploy that may have changed something, in the
order of the record, whatever the clocks of all the machines say.
"""
IN_RECORD = "in_record"
"""What the first line of a journal says of a run that writes down in the record what it begins; a
note takes it back where it could not.
"""
BODIES = "bodies"
KEPT = 50
"""How many good deploys of a target are kept."""
FILE_MOST = 1 << 20
BODY_MOST = 1 << 21
_TRIES = 20
_VERSION = 2


class FailedDeploy(Struct, frozen=True):
    """What a run was to deploy, where that did not go well or was taken back."""

    version: Text
    fingerprint: Text = ""
    settings: Text = ""
    run: Text = ""


class Record(legacy.LegacyEntry, frozen=True):
    """One deploy of one target: what earlier versions recorded, and more. `when` is ISO 8601 in
    UTC, by the bucket's clock where there is one; `n` is its place among the target's deploys,
    which no clock can upset.

    `unsure` says that it was no good one, nor seen to give way to what ran before: something else
    than the last good one may be live. `doubted` says of one that has begun that this was so
    before. `deployed` is what was put there, its `body` left out: that is kept under `body`, its
    digest. `version` is what was seen to run; `tried`, what the same run was to deploy, where that
    is not it.
    """

    provider: Text = "aws"
    endpoint: Text | None = None
    account: Text | None = None
    settings: Text = ""
    deployed: DeployedState = DeployedState()
    body: Text = ""
    who: Text = ""
    promoted_from: Text = ""
    origin: Text = DEPLOYED
    writes: tuple[Resource, ...] = ()
    """What it has changed: a target of another name may have changed the same thing since."""
    tried: FailedDeploy | None = None
    doubted: bool = False
    seen: Text = ""
    """When a later deploy found that it still is what runs; empty: none has since `when`."""
    project: Text = ""
    """The project's name in rules.toml, where a bucket is shared: two projects may have put their
    records into one place.
    """

    @property
    def is_rollback(self) -> bool:
        """Whether it put an earlier version back."""
        return self.detail.get(ACTION) == ROLLBACK


class Scope(Struct, frozen=True):
    """Whose record it is. Where rules.toml names no account or no region it is None, and means
    any.
    """

    provider: str = "aws"
    endpoint: str | None = None
    account: str | None = None
    region: str | None = None
    environment: str | None = None


class _File(Struct):
    v: int
    records: Annotated[tuple[Record, ...], Meta(max_length=1000)]
    store: Text = ""
    """The bucket that it is a copy of, empty where it is the record itself."""


Read = tuple[tuple[Record, ...], str]
"""Records, and what else came with them: the bucket of a copy, or the etag of an object."""


Change = Callable[[Sequence[Record], str], tuple[Record, ...]]
"""From what was recorded, and the bucket that it is a copy of, to what is recorded from now on."""


class LedgerContents(Struct, frozen=True):
    """The records of a place by target, newest first, and of the targets whose record cannot be
    read or told apart the reason.
    """

    records: Mapping[str, tuple[Record, ...]] = {}
    damaged: Mapping[str, str] = {}
    foreign: frozenset[str] = frozenset()
    """Those of `damaged` that are another project's."""


def merged(*lists: Iterable[Record]) -> tuple[Record, ...]:
    """One target's records from several places, each run once, newest first; what `kept` leaves out
    is left out. Pure.
    """
    newest: dict[str, Record] = {}
    for records in lists:
        for record in records:
            other = newest.get(record.run)
            if other is None or _order(record) > _order(other):
                newest[record.run] = record
    return kept(
        sorted(
            newest.values(), key=lambda record: (record.n, record.when, record.run), reverse=True
        )
    )


def _order(record: Record) -> tuple[int, bool, str, str, str]:
    """The end of a deploy counts more than its beginning, whatever time it was."""
    return record.n, record.verdict != BEGUN, record.when, record.verdict, record.seen


def kept(records: Sequence[Record]) -> tuple[Record, ...]:
    """Of records with the newest first: the newest, and the last good ones. Pure."""
    good = [record for record in records if record.verdict in GOOD][:KEPT]
    return tuple(good) if not records or records[0].verdict in GOOD else (records[0], *good)


def added(records: Sequence[Record], record: Record) -> tuple[Record, ...]:
    """The records with a new one on top; one of the same run is corrected where it stands.

    A run that ended as `unchanged` deployed nothing: it only says when what is recorded was seen,
    and ends a doubt about what is live. What gave way to what nobody was sure of leaves that as it
    was. Pure.
    """
    same = next((other for other in records if other.run == record.run), None)
    if record.verdict == "unchanged" and same is None and _says_nothing_new(record, records):
        newest, *others = records
        if newest.verdict in GOOD and newest.deployed.same(record.deployed) is not False:
            newest = replace(newest, seen=record.when)
        return merged([newest], others)
    record = _with_tried(record, same or next(iter(records), None))
    n = same.n if same is not None else _next(records)
    unsure = record.verdict not in GOOD and (record.unsure or _in_doubt(records, record.run))
    return merged(
        [other for other in records if other is not same], [replace(record, n=n, unsure=unsure)]
    )


def begun(records: Sequence[Record], record: Record, doubted: bool = False) -> tuple[Record, ...]:
    """The records with a deploy on top that is about to change what runs. A good one that comes
    later takes its place, wherever that was made; the end of this one corrects it. `doubted`:
    nobody knew what is live, whatever the records say. Pure.
    """
    if records and records[0].run == record.run and records[0].unsure:
        return merged(records)  # it says so already
    doubted = doubted or _in_doubt(records, record.run)
    others = [other for other in records if other.run != record.run]
    record = _with_tried(record, next(iter(records), None))
    return merged(
        others, [replace(record, n=_next(records), verdict=BEGUN, unsure=True, doubted=doubted)]
    )


def _with_tried(record: Record, before: Record | None) -> Record:
    """What puts an earlier version back keeps in mind what it takes away, where that was not good:
    it is recorded nowhere else then.
    """
    return (
        replace(record, tried=before.tried) if record.is_rollback and before is not None else record
    )


def _next(records: Iterable[Record]) -> int:
    return max((record.n for record in records), default=0) + 1


def _in_doubt(records: Sequence[Record], run: str) -> bool:
    """Whether something else than the last good deploy may be live, but for what this run has begun
    itself.
    """
    if not records:
        return False
    top = records[0]
    return top.doubted if top.run == run and top.verdict == BEGUN else top.unsure


def _says_nothing_new(record: Record, records: Sequence[Record]) -> bool:
    """Whether what was found unchanged is what the newest good record says already, or the same
    version with something in it that nobody deployed.
    """
    good = next((other for other in records if other.verdict in GOOD), None)
    if good is None or good.version != record.version:
        return False
    same = good.deployed.same(record.deployed)
    if same is False:
        return True
    told = (good.fingerprint, good.settings) == (record.fingerprint, record.settings)
    return told and good is records[0]


def encoded(records: Sequence[Record], store: str = "") -> bytes:
    """The bytes of a target's file."""
    file = {"v": _VERSION, "store": store, "records": msgspec.to_builtins(records)}
    return json.dumps(file, indent=1).encode("ascii") + b"\n"


def decoded(data: bytes, path: str, key: str | None = None) -> Read:
    """The records in a file, which have to be those of its `key`, and the bucket that they were
    copied from. Raises StateDamaged.
    """
    if len(data) > FILE_MOST:
        raise StateDamaged(path=path, reason=f"it is larger than {FILE_MOST >> 20} MB")
    try:
        document = json.loads(data)
        if isinstance(document, dict) and document.get("v") not in (None, _VERSION):
            raise StateDamaged(
                path=path,
                reason=f"it was written by another version of toolkit (format {document['v']})",
            )
        file = msgspec.convert(document, _File)
    except (ValueError, RecursionError) as problem:
        reason = f"it is not a valid record of what is live ({type(problem).__name__}){_fix(key)}"
        raise StateDamaged(path=path, reason=reason) from None
    if any(_has_blanks(record) for record in file.records):
        raise StateDamaged(
            path=path,
            reason=f"it is not a valid record of what is live (a name has blanks){_fix(key)}",
        )
    if len({key_of(record) for record in file.records} | ({key} if key else set())) > 1:
        raise StateDamaged(
            path=path, reason=f"it has records of another target or place{_fix(key)}"
        )
    return merged(file.records), file.store


def _has_blanks(record: Record) -> bool:
    """Whether a name in it is more than a word: in a sentence it could read as a command."""
    names = (
        record.target,
        record.run,
        record.verdict,
        record.version,
        record.tried.run if record.tried else "",
    )
    return any(letter.isspace() for name in names for letter in name)


def _fix(key: str | None) -> str:
    """The command that puts a damaged record aside."""
    if key is None:
        return ""
    return (
        "; put it aside: toolkit record repair"
        f" {quote(state.words(key.rpartition('/')[2].removesuffix('.json')))}"
    )


class Ledger(Protocol):
    """The record of what is live in one place. `behind` says why answers come from a copy, None if
    they do not.
    """

    @property
    def behind(self) -> str | None: ...

    def get(self, target: str) -> tuple[Record, ...]:
        """A target's records, newest first; none if it was never deployed.

        Raises StateDamaged, FileProblem, CloudError; Refused where they are of several accounts or
        regions, and rules.toml names none.
        """

    def put(self, record: Record) -> None:
        """Add one, or correct the one of the same run. Raises StateDamaged, FileProblem,
        CloudError.
        """

    def begin(self, record: Record) -> None:
        """Say that a deploy is about to change what runs. Raises StateDamaged, FileProblem,
        CloudError.
        """

    def all(self) -> LedgerContents:
        """The records of every target. A damaged one costs only itself. Raises FileProblem,
        CloudError.
        """

    def body(self, record: Record) -> str | None:
        """The template that was deployed, None if it is not kept. Raises StateDamaged, FileProblem,
        CloudError.
        """

    def before(self) -> Mapping[str, tuple[Record, ...]]:
        """What an earlier version of toolkit recorded of this place: nothing that says what is
        live, for it may be of another account or endpoint. What cannot be read is left out. Raises
        FileProblem, CloudError.
        """

    def repair(self, target: str) -> str:
        """Put aside what cannot be read, and take what is known elsewhere in its place; in words
        what was done.

        Raises StateDamaged, FileProblem, CloudError.
        """


def scope_of(store: Store, location: Location) -> Scope:
    """Whose record is meant."""
    return Scope("aws", store.endpoint, location.account, location.region, location.environment)


def open_ledger(store: Store, location: Location, ports: Ports) -> Ledger:
    """The record of a place, in its bucket if it has one."""
    here = LocalLedger(store, scope_of(store, location))
    if not location.store:
        return here
    return SharedLedger(
        here, Bucket(ports.aws(location), location.store, location.account), store.project
    )


def key_of(record: Record) -> str:
    """Where a record lies: `record/PROVIDER/ENDPOINT/ACCOUNT/REGION/ENVIRONMENT/TARGET.json`, `-`
    for what is not set.
    """
    parts = (
        record.provider,
        record.endpoint,
        record.account,
        record.region,
        record.environment,
        record.target,
    )
    return f"{ROOM}/{'/'.join(state.file_name(part) for part in parts)}.json"


class KeyFilter(Struct, frozen=True):
    """Which of all keys are of a scope: below `prefix`, and with the same words where the scope
    names them.
    """

    scope: Scope

    @property
    def _words(self) -> tuple[str | None, ...]:
        scope = self.scope
        any_or = [
            None if part is None else state.file_name(part)
            for part in (scope.account, scope.region)
        ]
        first = (state.file_name(scope.provider), state.file_name(scope.endpoint))
        return (*first, *any_or, state.file_name(scope.environment))

    @property
    def prefix(self) -> str:
        """What all of its keys begin with."""
        known: list[str] = []
        for word in self._words:
            if word is None:
                break
            known.append(word)
        return f"{ROOM}/{'/'.join(known)}/"

    def target(self, key: str) -> str | None:
        """The target that a key is of, None where it is of another scope. One whose name was too
        long is shortened.
        """
        words = key.removeprefix(f"{ROOM}/").removesuffix(".json").split("/")
        if not key.endswith(".json") or len(words) != 6:
            return None
        for mine, word in zip(self._words, words, strict=False):
            if mine is not None and mine != word:
                return None
        return state.words(words[5])


def contents(files: Iterable[tuple[str, Callable[[], Read]]]) -> LedgerContents:
    """Read the files of a scope, each with the target that its name says; a damaged one costs only
    its target.
    """
    records: dict[str, tuple[Record, ...]] = {}
    damaged: dict[str, str] = {}
    foreign = set[str]()
    for name, read in files:
        try:
            entries, _ = read()
        except AnotherProject as problem:
            foreign.add(name)
            damaged[name] = (
                f"its record is that of {problem.facts['project']}: each project needs a `store`"
                " prefix of its own"
            )
            continue
        except StateDamaged as problem:
            damaged[name] = f"its record is damaged: {problem}"
            continue
        target = entries[0].target if entries else name
        if target in records:
            damaged[target] = ambiguous(target, (*records[target], *entries))
        elif entries:
            records[target] = entries
    kept_records = {target: entries for target, entries in records.items() if target not in damaged}
    return LedgerContents(kept_records, damaged, frozenset(foreign))


def ambiguous(target: str, records: Iterable[Record]) -> str:
    """Why nothing can be said of a target of which several places have records."""
    locations = sorted({f"{record.account or '-'} {record.region or '-'}" for record in records})
    where = ", ".join(locations)
    return f"{target} is recorded in {where}, and rules.toml does not say which is meant"


def stripped(record: Record) -> Record:
    """The record as it is kept: its template lies apart, under its digest."""
    if not record.deployed.body:
        return record
    body = digest(record.deployed.body)
    return replace(record, body=body, deployed=replace(record.deployed, body=""))


def digest(body: str) -> str:
    """The name of a template's text."""
    return hashlib.sha256(body.encode("utf-8", "surrogateescape")).hexdigest()


def _checked_body(data: bytes | None, record: Record, path: str) -> str | None:
    if data is None:
        return None
    if hashlib.sha256(data).hexdigest() != record.body:
        raise StateDamaged(path=path, reason="it is not the template that was recorded")
    return data.decode("utf-8", "surrogateescape")


def _of_before(entry: legacy.LegacyEntry) -> Record:
    known = {name: getattr(entry, name) for name in legacy.LegacyEntry.__struct_fields__}
    return Record(
        **{**known, "fingerprint": "", "origin": SEEN}
    )  # an earlier version digested other things


def earlier(
    lists: Iterable[Sequence[legacy.LegacyEntry]], scope: Scope
) -> Mapping[str, tuple[Record, ...]]:
    """What an earlier version recorded, as far as it may be of this scope."""
    records: dict[str, tuple[Record, ...]] = {}
    for entries in lists:
        for entry in entries:
            if entry.environment == scope.environment and scope.region in (None, entry.region):
                records[entry.target] = (*records.get(entry.target, ()), _of_before(entry))
    return {target: merged(entries) for target, entries in records.items()}


class LocalLedger:
    """The record on this machine, one file a target."""

    behind: str | None = None

    def __init__(self, store: Store, scope: Scope, disk: Disk | None = None) -> None:
        self._store, self._disk = store, disk or Disk()
        self._parts = KeyFilter(scope)
        self.scope = scope

    def get(self, target: str) -> tuple[Record, ...]:
        """A target's records."""
        return self.copy(target)[0]

    def copy(self, target: str) -> Read:
        """A target's records, and the bucket that they are a copy of (empty: none)."""
        files = [self._read(key) for key in self._keys_of(target)]
        full = [file for file in files if file[0]]
        if len(full) > 1:
            records = [record for file in full for record in file[0]]
            raise Refused(
                ambiguous(target, records),
                "name `account` and `regions` of the environment in rules.toml",
            )
        return full[0] if full else ((), "")

    def put(self, record: Record) -> None:
        """Add one. From now on it is this machine's record, also where it was a copy before."""
        self._put(record, "")

    def put_copy(self, record: Record) -> None:
        """Add one to what may be a copy of a bucket's."""
        self._put(record, None)

    def begin(self, record: Record) -> None:
        """Say that a deploy is about to change what runs. What a copy of a bucket said before is in
        doubt: others go on writing there.
        """
        self._change(
            key_of(record),
            lambda records, copied_from: begun(records, stripped(record), bool(copied_from)),
            "",
        )

    def _put(self, record: Record, store: str | None) -> None:
        self.keep_body(record.deployed.body)
        self._change(key_of(record), lambda records, _: added(records, stripped(record)), store)

    def keep(self, records: Sequence[Record], store: str) -> None:
        """Take over what a bucket knows of one target. What this machine had of another one, or of
        its own, is no part of that history.
        """

        def taken(own: Sequence[Record], copied_from: str) -> tuple[Record, ...]:
            return merged(own, records) if copied_from == store else merged(records)

        self._change(key_of(records[0]), taken, store)

    def keep_body(self, body: str) -> None:
        """Keep a template."""
        if body:
            self._store.room(BODIES)
            path = self._store.path(BODIES, digest(body))
            if not os.path.exists(path):
                disk.replace(path, body.encode("utf-8", "surrogateescape"), self._disk)

    def all(self) -> LedgerContents:
        """The records of every target. A copy of a bucket that rules.toml does not name any more
        says nothing of what is live.
        """
        known = self.copies()
        damaged = dict(known.damaged)
        for target in known.records:
            _, store = self.copy(target)
            if store:
                damaged[target] = (
                    f"this machine only has a copy of {store}, which rules.toml does not name any"
                    " more"
                )
        return LedgerContents(
            {target: found for target, found in known.records.items() if target not in damaged},
            damaged,
        )

    def copies(self) -> LedgerContents:
        """The same, for who names that bucket."""
        return contents(
            (self._parts.target(key) or key, partial(self._read, key)) for key in self._keys()
        )

    def body(self, record: Record) -> str | None:
        """The template."""
        path = self._store.path(BODIES, record.body)
        return _checked_body(disk.read(path, BODY_MOST), record, path) if record.body else None

    def before(self) -> Mapping[str, tuple[Record, ...]]:
        """What an earlier version recorded here, which did not know of endpoints."""
        lists: list[Sequence[legacy.LegacyEntry]] = []
        if self.scope.endpoint is None:
            for path in _files(self._store.path(legacy.ROOM)):
                data = disk.read(path, FILE_MOST)
                with suppress(StateDamaged):
                    lists.append(legacy.decoded(data or b"", path))
        return earlier(lists, self.scope)

    def repair(self, target: str) -> str:
        """Put a damaged file aside."""
        done: list[str] = []
        for key in self._keys_of(target):
            try:
                self._read(key)
            except StateDamaged:
                path = self._path(key)
                aside = f"{path}.damaged"
                number = 1
                while os.path.lexists(aside):  # what was put aside before is kept, too
                    number += 1
                    aside = f"{path}.damaged{number}"
                try:
                    os.replace(path, aside)
                except OSError as error:
                    raise FileProblem(path=path, reason=disk.why(error)) from None
                done.append(f"put aside as {aside}")
        return "; ".join(done) or "nothing on this machine is damaged"

    def _change(self, key: str, how: Change, store: str | None) -> None:
        """Read, change, write, with no other process in between."""
        path = self._path(key)
        room = self._store.room(ROOM)
        for folder in key.split("/")[1:-1]:
            room = state.own_folder(os.path.join(room, folder))
        lock = self._locked(self._store.path(ROOM, ".lock"))
        try:
            before, copied_from = self._read(key)
            after = how(before, copied_from)
            if after != before or store not in (None, copied_from):
                disk.replace(
                    path, encoded(after, copied_from if store is None else store), self._disk
                )
        finally:
            disk.unlock(lock)

    def _keys(self) -> list[str]:
        return [
            key
            for key in _keys_below(self._store.folder, self._parts.prefix)
            if self._parts.target(key) is not None
        ]

    def _keys_of(self, target: str) -> list[str]:
        name = f"/{state.file_name(target)}.json"
        return [key for key in self._keys() if key.endswith(name)]

    def _read(self, key: str) -> Read:
        data = disk.read(self._path(key), FILE_MOST)
        return ((), "") if data is None else decoded(data, self._path(key), key)

    def _path(self, key: str) -> str:
        return self._store.path(*key.split("/"))

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


def _keys_below(root: str, prefix: str) -> list[str]:
    """The keys of all files below a prefix, sorted. Raises FileProblem."""
    keys: list[str] = []

    def failed(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise FileProblem(path=str(error.filename), reason=disk.why(error))

    for folder, _, names in os.walk(os.path.join(root, prefix), onerror=failed):
        for name in names:
            keys.append(os.path.relpath(os.path.join(folder, name), root))
    return sorted(keys)


def _files(folder: str) -> list[str]:
    """The files of a folder that may not be there. Raises FileProblem."""
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise FileProblem(path=folder, reason=disk.why(error)) from None
    return [os.path.join(folder, name) for name in names if name.endswith(".json")]


class SharedLedger:
    """The record in a bucket, with a copy here. What another project has put there is refused."""

    def __init__(self, here: LocalLedger, bucket: Bucket, project: str = "") -> None:
        self._project = project
        self._here, self._bucket, self._parts = here, bucket, KeyFilter(here.scope)
        self._store = bucket.address("")
        self.behind: str | None = None

    def get(self, target: str) -> tuple[Record, ...]:
        """A target's records; those of the copy if the bucket cannot be reached, or has none and
        the copy was never a copy of it.
        """
        try:
            records = self._get(target)
        except Unreachable as problem:
            self.behind = str(problem)
            return self._here.get(target)
        if records:
            self._copy(records)
            return records
        return self._own(target)

    def _get(self, target: str) -> tuple[Record, ...]:
        scope = self._here.scope
        if None not in (scope.account, scope.region):
            return self._read(key_of(_blank(target, scope)))[0]
        name = f"/{state.file_name(target)}.json"
        lists = [self._read(key)[0] for key in self._keys() if key.endswith(name)]
        full = [records for records in lists if records]
        if len(full) > 1:
            records = [record for entries in full for record in entries]
            raise Refused(
                ambiguous(target, records),
                "name `account` and `regions` of the environment in rules.toml",
            )
        return full[0] if full else ()

    def put(self, record: Record) -> None:
        """Add one, with what could only be put into the copy before. When this raises for the
        bucket, the copy has it.
        """
        own, ours = self._here_of(record)
        record = replace(record, project=self._project)
        with suppress(StateDamaged, FileProblem, Refused):  # the copy is no more than that
            self._here.put_copy(record)
        body = record.deployed.body
        if body and self._bucket.get(f"{BODIES}/{digest(body)}", 1) is None:
            self._bucket.put(
                f"{BODIES}/{digest(body)}", body.encode("utf-8", "surrogateescape"), None
            )
        key = key_of(record)
        timed = stripped(replace(record, when=self._bucket.now().isoformat(timespec="seconds")))
        for _ in range(_TRIES):
            known, etag = self._read(key)
            wanted = added(_of_both(known, own, ours), timed)
            if wanted == known or self._bucket.put(key, encoded(wanted), etag or None) is not None:
                self._copy(wanted)
                return
        raise StateDamaged(path=self._bucket.address(key), reason="others write to it all the time")

    def begin(self, record: Record) -> None:
        """Say to all who share the bucket that a deploy is about to change what runs. When this
        raises, nobody was told.
        """
        own, ours = self._here_of(record)
        record = replace(record, project=self._project)
        key = key_of(record)
        for _ in range(_TRIES):
            item = self._bucket.get(key, FILE_MOST)
            known = self._decoded(item.body, key) if item else ()
            timed = replace(record, when=item.now.isoformat(timespec="seconds")) if item else record
            wanted = begun(_of_both(known, own, ours), stripped(timed))
            if (
                wanted == known
                or self._bucket.put(key, encoded(wanted), item.etag if item else None) is not None
            ):
                self._copy(wanted)
                return
        raise StateDamaged(path=self._bucket.address(key), reason="others write to it all the time")

    def _here_of(self, record: Record) -> tuple[tuple[Record, ...], bool]:
        """What this machine has of the record's target, and whether that is a copy of this
        bucket's; nothing where it cannot be read.
        """
        try:
            kept, copied_from = self._here.copy(record.target)
        except (StateDamaged, FileProblem, Refused):  # the copy is no more than that
            return (), False
        return (
            tuple(other for other in kept if key_of(other) == key_of(record)),
            copied_from == self._store,
        )

    def all(self) -> LedgerContents:
        """The records of every target; those of the copy if the bucket cannot be reached."""
        try:
            keys = self._keys()
            with ThreadPoolExecutor(8) as pool:
                reads = list(pool.map(self._tried, keys))
        except Unreachable as problem:
            self.behind = str(problem)
            return self._here.copies()
        named = [self._parts.target(key) or key for key in keys]
        found = contents(zip(named, reads, strict=True))
        own = self._unshared({*found.records, *found.damaged})
        return LedgerContents({**own, **found.records}, found.damaged, found.foreign)

    def body(self, record: Record) -> str | None:
        """The template."""
        with suppress(StateDamaged, FileProblem):
            kept_here = self._here.body(record)
            if kept_here is not None:
                return kept_here
        if not record.body:
            return None
        key = f"{BODIES}/{record.body}"
        item = self._bucket.get(key, BODY_MOST)
        return None if item is None else _checked_body(item.body, record, self._bucket.address(key))

    def before(self) -> Mapping[str, tuple[Record, ...]]:
        """What an earlier version recorded in the bucket, and here."""
        scope = self._here.scope
        lists: list[Sequence[legacy.LegacyEntry]] = []
        for key in self._bucket.keys(legacy.prefix(scope.environment)):
            item = self._bucket.get(key, FILE_MOST) if key.endswith(".json") else None
            with suppress(StateDamaged):
                lists.append(legacy.decoded(item.body if item else b"", key))
        here = {} if lists else self._here.before()
        return {**here, **earlier(lists, scope)}

    def repair(self, target: str) -> str:
        """Put a damaged object aside; what this machine knows of the target takes its place."""
        done = []
        name = f"/{state.file_name(target)}.json"
        with suppress(StateDamaged, FileProblem):
            self._here.repair(target)
        for key in self._keys():
            if not key.endswith(name):
                continue
            try:
                self._read(key)
            except StateDamaged:
                done.append(self._put_aside(key, target))
        return "; ".join(done) or "nothing in the store is damaged"

    def _put_aside(self, key: str, target: str) -> str:
        item = self._bucket.get(key, FILE_MOST)
        if item is None:
            return "it is gone"
        aside = f"damaged/{key}.{item.modified:%Y%m%dT%H%M%SZ}"
        self._bucket.put(aside, item.body, None)
        own: tuple[Record, ...] = ()
        with suppress(StateDamaged, FileProblem, Refused):
            own = tuple(record for record in self._here.get(target) if key_of(record) == key)
        written = bool(
            self._bucket.put(key, encoded(own), item.etag)
            if own
            else self._bucket.delete(key, item.etag)
        )
        if not written:
            raise StateDamaged(
                path=self._bucket.address(key),
                reason="somebody else writes to it; run the repair again",
            )
        what = (
            f"this machine's copy ({len(own)} deploys) took its place"
            if own
            else "nothing is recorded of it now"
        )
        return f"put aside as {self._bucket.address(aside)}; {what}"

    def _keys(self) -> list[str]:
        return [
            key
            for key in self._bucket.keys(self._parts.prefix)
            if self._parts.target(key) is not None
        ]

    def _tried(self, key: str) -> Callable[[], Read]:
        """Read now, raise later: one damaged object must not cost the others."""
        try:
            read = self._read(key)
        except StateDamaged as problem:
            return _raising(problem)
        return lambda: read

    def _own(self, target: str) -> tuple[Record, ...]:
        """What this machine recorded of a target before there was a bucket."""
        records, copied_from = self._here.copy(target)
        return records if not copied_from else ()

    def _unshared(self, known: Collection[str]) -> dict[str, tuple[Record, ...]]:
        own: dict[str, tuple[Record, ...]] = {}
        with suppress(StateDamaged, FileProblem):
            for target in self._here.copies().records.keys() - known:
                with suppress(StateDamaged, FileProblem, Refused):
                    own[target] = self._own(target)
        return {target: records for target, records in own.items() if records}

    def _copy(self, records: tuple[Record, ...]) -> None:
        with suppress(StateDamaged, FileProblem):
            self._here.keep(records, self._store)

    def _read(self, key: str) -> Read:
        item = self._bucket.get(key, FILE_MOST)
        if item is None:
            return (), ""
        return self._decoded(item.body, key), item.etag

    def _decoded(self, body: bytes, key: str) -> tuple[Record, ...]:
        """The records of an object, if they are this project's. Raises StateDamaged."""
        path = self._bucket.address(key)
        records, _ = decoded(body, path, key)
        for record in records[:1]:  # what came last says whose it is
            if record.project and self._project and record.project != self._project:
                raise AnotherProject(
                    path=path, project=f"project {record.project}", target=quote(record.target)
                )
        return records


def _of_both(known: Sequence[Record], own: Sequence[Record], ours: bool) -> Sequence[Record]:
    """What the bucket knows, with what only this machine's copy of it has (`ours`): its end could
    not be sent.

    The order of two histories is not comparable: this machine's own counts where the bucket has
    none.
    """
    return merged(known, own) if ours or not known else known


def _raising(problem: StateDamaged) -> Callable[[], Read]:
    def read() -> Read:
        raise problem

    return read


def _blank(target: str, scope: Scope) -> Record:
    """A record of a target of which only the place matters."""
    return Record(
        target,
        scope.environment,
        scope.region,
        "",
        None,
        "",
        "",
        "",
        "",
        provider=scope.provider,
        endpoint=scope.endpoint,
        account=scope.account,
    )
