"""The record of what is live: for each target its successful deploys, and its last deploy however
it ended.

A record belongs to one place: provider, endpoint, account, region, environment. If a bucket is
configured, that is the truth, and the files on this machine are a copy for when it cannot be
reached. What earlier versions of toolkit recorded is read, but never written.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from toolkit.advice import Advice, NextCommand, advice_parts
from toolkit.errors import AnotherProject, FileProblem, Refused, StateDamaged, Unreachable
from toolkit.model import AWS, Resource
from toolkit.operations import GOOD, DeployedState, JobAction, Location, RecordOrigin, Verdict
from toolkit.ports import disk
from toolkit.ports.aws.s3 import Bucket
from toolkit.ports.disk import Disk
from toolkit.ports.ports import Ports
from toolkit.record import legacy, state
from toolkit.record.legacy import Text
from toolkit.record.state import Store

FOLDER = "record"
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
MAX_GOOD_DEPLOYS = 50
"""How many good deploys of a target are kept."""
FEWEST = 2
"""How many records are kept in any case: the newest, and the last good one."""
FILE_MOST = 1 << 20
BODY_MOST = 1 << 21
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TRIES = 20
"""How often a record is read and written again when others write to it at the same time."""
_VERSION = 2


class FailedDeploy(Struct, frozen=True):
    """What a run tried to deploy, if that failed or was rolled back."""

    version: Text
    fingerprint: Text = ""
    settings: Text = ""
    run: Text = ""


class Record(legacy.LegacyEntry, frozen=True):
    """One deploy of one target. `when` is ISO 8601 in UTC, by the bucket's clock if there is one;
    `n` gives the order of a target's deploys, independent of any clock.

    `unsure`: it did not succeed, and nobody saw the earlier version come back, so something else
    than the last good deploy may be live. `doubted`: that was so already when it began. `deployed`
    is what was deployed without its `body` and `stack`, which are kept apart under their digests,
    the `body` and `stack` here.
    `version` is what was seen running; `tried` is what the run tried to deploy, if that differs.
    """

    provider: Text = "aws"
    endpoint: Text | None = None
    account: Text | None = None
    settings: Text = ""
    deployed: DeployedState = DeployedState()
    body: Text = ""
    stack: Text = ""
    who: Text = ""
    promoted_from: Text = ""
    origin: Text = RecordOrigin.DEPLOYED
    inputs: Mapping[Text, Text] = {}
    """The version of each input outside git that rules.toml declared, as read before it began."""
    writes: tuple[Resource, ...] = ()
    """What it has changed: a target of another name may have changed the same thing since."""
    tried: FailedDeploy | None = None
    doubted: bool = False
    seen: Text = ""
    """When a later deploy found that it still is what runs; empty: none has since `when`."""
    message: Text = ""
    """Why, in the words of who began its run."""
    project: Text = ""
    """The project's name in rules.toml, where a bucket is shared: two projects may have put their
    records into one place.
    """

    @property
    def is_rollback(self) -> bool:
        """Whether it put an earlier version back."""
        return self.detail.get(ACTION) == JobAction.ROLLBACK


class Scope(Struct, frozen=True):
    """The place that a record belongs to. An account or region that rules.toml does not name is
    None, and matches any.
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


LedgerFile = tuple[tuple[Record, ...], str]
"""Records, and what else came with them: the bucket of a copy, or the etag of an object."""


RecordsUpdate = Callable[[Sequence[Record], str], tuple[Record, ...]]
"""From what was recorded, and the bucket that it is a copy of, to what is recorded from now on."""


class LedgerContents(Struct, frozen=True):
    """The records of a place by target, newest first; and why the records of some targets cannot be
    used.
    """

    records: Mapping[str, tuple[Record, ...]] = {}
    damaged: Mapping[str, Advice] = {}
    foreign: frozenset[str] = frozenset()
    """Those of `damaged` that are another project's."""


def merge(*lists: Iterable[Record]) -> tuple[Record, ...]:
    """One target's records from several sources: one per run, newest first, trimmed. Pure."""
    latest: dict[str, Record] = {}
    for records in lists:
        for record in records:
            current = latest.get(record.run)
            if current is None or _precedence(record) > _precedence(current):
                latest[record.run] = record
    order = sorted(latest.values(), key=lambda record: (record.n, record.when, record.run))
    return trim(order[::-1])


def _precedence(record: Record) -> tuple[int, bool, str, str, str]:
    """Which of two records of one run counts: its end counts more than its beginning, whatever the
    clocks say.
    """
    return record.n, record.verdict != BEGUN, record.when, record.verdict, record.seen


def trim(records: Sequence[Record]) -> tuple[Record, ...]:
    """Keep the newest record and the last good ones, of records with the newest first. Pure."""
    good = [record for record in records if record.verdict in GOOD][:MAX_GOOD_DEPLOYS]
    if records and records[0].verdict not in GOOD:
        return (records[0], *good)
    return tuple(good)


def add(records: Sequence[Record], record: Record) -> tuple[Record, ...]:
    """The records with a new one on top. A record of a run that has one already replaces it in its
    place.

    A run that ended as `unchanged` deployed nothing: it only confirms what is recorded, and ends a
    doubt about what is live. A rollback to something that was in doubt leaves it in doubt. Pure.
    """
    same = next((entry for entry in records if entry.run == record.run), None)
    if record.verdict == Verdict.UNCHANGED and same is None and _says_nothing_new(record, records):
        # The record stays that of the deploy: only when it was seen is new.
        newest, *others = records
        if newest.verdict in GOOD and newest.deployed.same(record.deployed) is not False:
            newest = replace(
                newest,
                seen=record.when,
                stack=record.stack or newest.stack,
                inputs={**newest.inputs, **record.inputs},
            )
        return merge([newest], others)
    record = _with_tried(record, same or next(iter(records), None))
    n = same.n if same is not None else _next_number(records)
    # What failed and was undone is as sure as what ran before it.
    unsure = record.verdict not in GOOD and (record.unsure or _in_doubt(records, record.run))
    return merge(
        [entry for entry in records if entry is not same], [replace(record, n=n, unsure=unsure)]
    )


def add_begun(
    records: Sequence[Record], record: Record, doubted: bool = False
) -> tuple[Record, ...]:
    """The records with a deploy on top that is about to change what runs. A later successful deploy
    replaces it, from whatever machine; its own end corrects it. `doubted`: what is live is unknown,
    whatever the records say. Pure.
    """
    if records and records[0].run == record.run and records[0].unsure:
        return merge(records)  # it says so already
    doubted = doubted or _in_doubt(records, record.run)
    others = [entry for entry in records if entry.run != record.run]
    record = _with_tried(record, next(iter(records), None))
    return merge(
        others,
        [replace(record, n=_next_number(records), verdict=BEGUN, unsure=True, doubted=doubted)],
    )


def _with_tried(record: Record, before: Record | None) -> Record:
    """A rollback remembers the failed version that it replaces, which is recorded nowhere else."""
    if record.is_rollback and before is not None:
        return replace(record, tried=before.tried)
    return record


def _next_number(records: Iterable[Record]) -> int:
    return max((record.n for record in records), default=0) + 1


def _in_doubt(records: Sequence[Record], run: str) -> bool:
    """Whether something else than the last good deploy may be live, not counting what this run
    itself has begun.
    """
    if not records:
        return False
    newest = records[0]
    if newest.run == run and newest.verdict == BEGUN:
        return newest.doubted
    return newest.unsure


def _says_nothing_new(record: Record, records: Sequence[Record]) -> bool:
    """Whether an unchanged target is just as the newest good record says, or the same version with
    changes that nobody deployed.
    """
    good = next((entry for entry in records if entry.verdict in GOOD), None)
    if good is None or good.version != record.version:
        return False
    if good.deployed.same(record.deployed) is False:
        return True
    same_inputs = (good.fingerprint, good.settings) == (record.fingerprint, record.settings)
    return same_inputs and good is records[0]


def encode(records: Sequence[Record], store: str = "") -> bytes:
    """The bytes of a target's file: without the oldest records where those of a target with very
    many parts would make it too long to be read again.
    """
    packed = msgspec.to_builtins(records)
    while True:
        file = {"v": _VERSION, "store": store, "records": packed}
        data = json.dumps(file, indent=1).encode("ascii") + b"\n"
        if len(data) <= FILE_MOST or len(packed) <= FEWEST:
            return data
        packed = packed[: max(len(packed) // 2, FEWEST)]


def decode(data: bytes, path: str, key: str | None = None) -> LedgerFile:
    """The records in a file, and the bucket that they were copied from. They have to belong to the
    file's `key`. Raises StateDamaged.
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
        reason = f"it is not a valid record of what is live ({type(problem).__name__})"
        raise StateDamaged(_repair(key), path=path, reason=reason) from None
    if any(_has_blanks(record) for record in file.records):
        reason = "it is not a valid record of what is live (a name has blanks)"
        raise StateDamaged(_repair(key), path=path, reason=reason)
    keys = {record_key(record) for record in file.records}
    if key:
        keys.add(key)
    if len(keys) > 1:
        reason = "it has records of another target or location"
        raise StateDamaged(_repair(key), path=path, reason=reason)
    return merge(file.records), file.store


def _has_blanks(record: Record) -> bool:
    """Whether one of its names is more than a word: in a message it could read as a command."""
    names = [record.target, record.run, record.verdict, record.version]
    if record.tried:
        names.append(record.tried.run)
    return any(character.isspace() for character in "".join(names))


def _repair(key: str | None) -> Advice:
    """What puts a damaged record aside."""
    if key is None:
        return ""
    target = state.decode_file_name(key.rpartition("/")[2].removesuffix(".json"))
    return "set it aside:", NextCommand("record repair", (target,))


class Ledger(Protocol):
    """The record of one place. `behind` says why answers come from the copy, None if they
    do not.
    """

    @property
    def behind(self) -> str | None: ...

    def get(self, target: str) -> tuple[Record, ...]:
        """A target's records, newest first; empty if it was never deployed.

        Raises StateDamaged, FileProblem, CloudError; Refused if several accounts or regions have
        records and rules.toml does not say which is meant.
        """

    def put(self, record: Record) -> None:
        """Add a record, or correct the one of the same run. Raises StateDamaged, FileProblem,
        CloudError.
        """

    def begin(self, record: Record) -> None:
        """Record that a deploy is about to change what runs. Raises StateDamaged, FileProblem,
        CloudError.
        """

    def all(self) -> LedgerContents:
        """The records of every target. A damaged file affects only its own target. Raises
        FileProblem, CloudError.
        """

    def body(self, digest: str) -> str | None:
        """What is stored under the digest of a record's `body` or `stack`, None if it is not, or
        the digest is empty. Raises StateDamaged, FileProblem, CloudError.
        """

    def legacy_records(self) -> Mapping[str, tuple[Record, ...]]:
        """What an earlier version of toolkit recorded of this environment. It does not say what is
        live: it may be of another account or endpoint. What cannot be read is left out. Raises
        FileProblem, CloudError.
        """

    def repair(self, target: str) -> str:
        """Put an unreadable record aside and use what is known elsewhere instead; returns what was
        done, in words.

        Raises StateDamaged, FileProblem, CloudError.
        """


def scope_of(store: Store, location: Location) -> Scope:
    """The scope of a location's record."""
    return Scope(
        location.provider, store.endpoint, location.account, location.region, location.environment
    )


def open_ledger(store: Store, location: Location, ports: Ports) -> Ledger:
    """The record of a location: in its bucket if it has one, else on this machine."""
    local = LocalLedger(store, scope_of(store, location))
    if not location.store:
        return local
    return SharedLedger(
        local, Bucket(ports.aws(location), location.store, location.account), store.project
    )


def record_key(record: Record) -> str:
    """The key of a record: `record/PROVIDER/ENDPOINT/ACCOUNT/REGION/ENVIRONMENT/TARGET.json`, with
    `-` for what is not set.
    """
    parts = (
        record.provider,
        record.endpoint,
        record.account,
        record.region,
        record.environment,
        record.target,
    )
    return f"{FOLDER}/{'/'.join(state.file_name(part) for part in parts)}.json"


class KeyFilter(Struct, frozen=True):
    """Tells which keys belong to a scope: those below `prefix` that agree with all that the scope
    names.
    """

    scope: Scope

    @property
    def _words(self) -> tuple[str | None, ...]:
        scope = self.scope
        # Only AWS's own settings may say what rules.toml leaves open.
        is_open = scope.provider == AWS
        account_and_region = [
            None if part is None and is_open else state.file_name(part)
            for part in (scope.account, scope.region)
        ]
        first = (state.file_name(scope.provider), state.file_name(scope.endpoint))
        return (*first, *account_and_region, state.file_name(scope.environment))

    @property
    def prefix(self) -> str:
        """What all of its keys begin with."""
        words: list[str] = []
        for word in self._words:
            if word is None:
                break
            words.append(word)
        return f"{FOLDER}/{'/'.join(words)}/"

    def target(self, key: str) -> str | None:
        """The target that a key belongs to, None if it is of another scope. A long name comes back
        shortened.
        """
        words = key.removeprefix(f"{FOLDER}/").removesuffix(".json").split("/")
        # Files that were put aside, or that others have put there.
        if not key.endswith(".json") or len(words) != 6:
            return None
        # What the scope leaves open (None) agrees with every key.
        for mine, word in zip(self._words, words, strict=False):
            if mine is not None and mine != word:
                return None
        return state.decode_file_name(words[5])


def read_contents(files: Iterable[tuple[str, Callable[[], LedgerFile]]]) -> LedgerContents:
    """Read the files of a scope, each with the target that its key names. A damaged file affects
    only its own target.
    """
    records: dict[str, tuple[Record, ...]] = {}
    damaged: dict[str, Advice] = {}
    foreign = set[str]()
    for name, read in files:
        try:
            entries, _ = read()
        except AnotherProject as problem:
            foreign.add(name)
            damaged[name] = (
                f"its record belongs to {problem.facts['project']}: each project needs its "
                "own `store` prefix"
            )
            continue
        except StateDamaged as problem:
            damaged[name] = (f"its record is damaged: {problem};", *advice_parts(problem.next))
            continue
        # A long name is cut in the file's name: the whole one stands in the records.
        target = entries[0].target if entries else name
        if target in records:
            damaged[target] = ambiguous_reason(target, (*records[target], *entries))
        elif entries:
            records[target] = entries
    readable = {target: entries for target, entries in records.items() if target not in damaged}
    return LedgerContents(readable, damaged, frozenset(foreign))


def ambiguous_reason(target: str, records: Iterable[Record]) -> str:
    """Why a target that is recorded in several places cannot be judged."""
    locations = sorted({f"{record.account or '-'} {record.region or '-'}" for record in records})
    where = ", ".join(locations)
    return f"{target} is recorded in {where}, and rules.toml does not say which one"


def without_bodies(record: Record) -> Record:
    """The record as it is stored: its template, and what was synthesized, are stored apart, under
    their digests.
    """
    deployed = record.deployed
    if not deployed.body and not deployed.stack:
        return record
    return replace(
        record,
        body=digest(deployed.body),
        stack=digest(deployed.stack),
        deployed=replace(deployed, body="", stack=""),
    )


def digest(body: str) -> str:
    """The name under which a text is stored; empty where there is none."""
    return hashlib.sha256(body.encode("utf-8", "surrogateescape")).hexdigest() if body else ""


def _bodies(record: Record) -> list[str]:
    """The texts of a record that are stored apart."""
    return [body for body in (record.deployed.body, record.deployed.stack) if body]


def _checked_body(data: bytes | None, name: str, path: str) -> str | None:
    if data is None:
        return None
    if hashlib.sha256(data).hexdigest() != name:
        raise StateDamaged(path=path, reason="it is not what was recorded")
    return data.decode("utf-8", "surrogateescape")


def _from_legacy(entry: legacy.LegacyEntry) -> Record:
    fields = {name: getattr(entry, name) for name in legacy.LegacyEntry.__struct_fields__}
    fields["fingerprint"] = ""  # an earlier version digested other things
    return Record(**fields, origin=RecordOrigin.OBSERVED)


def convert_legacy(
    lists: Iterable[Sequence[legacy.LegacyEntry]], scope: Scope
) -> Mapping[str, tuple[Record, ...]]:
    """What an earlier version recorded, as far as it may belong to this scope."""
    records: dict[str, tuple[Record, ...]] = {}
    for entries in lists:
        for entry in entries:
            if entry.environment == scope.environment and scope.region in (None, entry.region):
                records[entry.target] = (*records.get(entry.target, ()), _from_legacy(entry))
    return {target: merge(entries) for target, entries in records.items()}


class LocalLedger:
    """The record on this machine, one file per target."""

    behind: str | None = None

    def __init__(self, store: Store, scope: Scope, disk: Disk | None = None) -> None:
        self._store, self._disk = store, disk or Disk()
        self._parts = KeyFilter(scope)
        self.scope = scope

    def get(self, target: str) -> tuple[Record, ...]:
        """A target's records."""
        return self.copy(target)[0]

    def copy(self, target: str) -> LedgerFile:
        """A target's records, and the bucket that they are a copy of (empty: none)."""
        files = [self._read(key) for key in self._keys_of(target)]
        return _only_file(target, files)

    def put(self, record: Record) -> None:
        """Add a record. From then on the file is this machine's own record, even if it was a copy
        before.
        """
        self._put(record, "")

    def put_copy(self, record: Record) -> None:
        """Add a record to a file that may be a copy of a bucket's, and stays one."""
        self._put(record, None)

    def begin(self, record: Record) -> None:
        """Record that a deploy is about to change what runs. What a copy of a bucket said before is
        in doubt: others continue to write to the bucket.
        """
        self._change(
            record_key(record),
            lambda records, copied_from: add_begun(
                records, without_bodies(record), bool(copied_from)
            ),
            "",
        )

    def _put(self, record: Record, store: str | None) -> None:
        for body in _bodies(record):
            self.keep_body(body)
        self._change(
            record_key(record), lambda records, _: add(records, without_bodies(record)), store
        )

    def save_copy(self, records: Sequence[Record], store: str) -> None:
        """Copy what a bucket has of one target. Records of this machine's own, or copied from
        another bucket, are no part of that history and are dropped.
        """

        def taken(local: Sequence[Record], copied_from: str) -> tuple[Record, ...]:
            return merge(local, records) if copied_from == store else merge(records)

        self._change(record_key(records[0]), taken, store)

    def keep_body(self, body: str) -> None:
        """Store a text under its digest."""
        self._store.subfolder(BODIES)
        path = self._store.path(BODIES, digest(body))
        if not os.path.exists(path):
            disk.write(path, body.encode("utf-8", "surrogateescape"), disk=self._disk)

    def all(self) -> LedgerContents:
        """The records of every target. A copy of a bucket that rules.toml no longer names does not
        say what is live.
        """
        copied_from: dict[str, str] = {}
        copies = self._contents(copied_from)
        damaged = dict(copies.damaged)
        records: dict[str, tuple[Record, ...]] = {}
        for target, entries in copies.records.items():
            store = copied_from[target]
            if store:
                damaged[target] = (
                    f"this machine only has a copy of {store}, which rules.toml no longer names"
                )
            else:
                records[target] = entries
        return LedgerContents(records, damaged)

    def copies(self) -> LedgerContents:
        """The records of every target, copies included: for callers that know the bucket."""
        return self._contents({})

    def _contents(self, copied_from: dict[str, str]) -> LedgerContents:
        """The records of every target; the bucket that each is a copy of goes into
        `copied_from`.
        """

        def read(key: str) -> LedgerFile:
            records, store = self._read(key)
            for record in records[:1]:
                copied_from[record.target] = store
            return records, store

        return read_contents((target, partial(read, key)) for key, target in self._targets())

    def body(self, digest: str) -> str | None:
        """See Ledger."""
        if not _DIGEST.fullmatch(digest):
            return None
        path = self._store.path(BODIES, digest)
        return _checked_body(disk.read(path, BODY_MOST), digest, path)

    def legacy_records(self) -> Mapping[str, tuple[Record, ...]]:
        """What an earlier version recorded here. It did not know endpoints, so all of it was AWS's
        own.
        """
        lists: list[Sequence[legacy.LegacyEntry]] = []
        if self.scope.endpoint is None:
            for path in _files(self._store.path(legacy.FOLDER)):
                data = disk.read(path, FILE_MOST)
                with suppress(StateDamaged):
                    lists.append(legacy.decode(data or b"", path))
        return convert_legacy(lists, self.scope)

    def repair(self, target: str) -> str:
        """Put a damaged file aside."""
        done: list[str] = []
        for key in self._keys_of(target):
            try:
                self._read(key)
            except StateDamaged:
                done.append(f"set aside as {self._put_aside(self._path(key))}")
        return "; ".join(done) or "nothing on this machine is damaged"

    def _put_aside(self, path: str) -> str:
        """Rename a damaged file; its new path."""
        aside = f"{path}.damaged"
        number = 1
        while os.path.lexists(aside):  # what was put aside before is kept, too
            number += 1
            aside = f"{path}.damaged{number}"
        try:
            os.replace(path, aside)
        except OSError as error:
            raise FileProblem(path=path, reason=disk.error_text(error)) from None
        return aside

    def _change(self, key: str, update: RecordsUpdate, store: str | None) -> None:
        """Read, change, write, with no other process in between."""
        path = self._path(key)
        folder = self._store.subfolder(FOLDER)
        for name in key.split("/")[1:-1]:
            folder = state.own_folder(os.path.join(folder, name))
        with disk.exclusive(self._store.path(FOLDER, ".lock")):
            before, copied_from = self._read(key)
            after = update(before, copied_from)
            if store is None:
                store = copied_from
            if after != before or store != copied_from:
                disk.write(path, encode(after, store), disk=self._disk)

    def _targets(self) -> Iterator[tuple[str, str]]:
        """The keys of this scope, each with its target."""
        for key in _keys_below(self._store.folder, self._parts.prefix):
            target = self._parts.target(key)
            if target is not None:
                yield key, target

    def _keys_of(self, target: str) -> list[str]:
        name = f"/{state.file_name(target)}.json"
        return [key for key, _ in self._targets() if key.endswith(name)]

    def _read(self, key: str) -> LedgerFile:
        data = disk.read(self._path(key), FILE_MOST)
        return ((), "") if data is None else decode(data, self._path(key), key)

    def _path(self, key: str) -> str:
        return self._store.path(*key.split("/"))


def _keys_below(root: str, prefix: str) -> list[str]:
    """The keys of all files below a prefix, sorted. Raises FileProblem."""
    keys: list[str] = []

    def failed(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise FileProblem(path=str(error.filename), reason=disk.error_text(error))

    for folder, _, names in os.walk(os.path.join(root, prefix), onerror=failed):
        if names:
            relative = os.path.relpath(folder, root)
            keys += [f"{relative}/{name}" for name in names]
    return sorted(keys)


def _files(folder: str) -> list[str]:
    """The files of a folder that may not be there. Raises FileProblem."""
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise FileProblem(path=folder, reason=disk.error_text(error)) from None
    return [os.path.join(folder, name) for name in names if name.endswith(".json")]


class SharedLedger:
    """The record in a bucket, with a copy on this machine. Records of another project are
    refused.
    """

    def __init__(self, local: LocalLedger, bucket: Bucket, project: str = "") -> None:
        self._project = project
        self._local, self._bucket, self._parts = local, bucket, KeyFilter(local.scope)
        self._store = bucket.address("")
        self.behind: str | None = None

    def get(self, target: str) -> tuple[Record, ...]:
        """A target's records; from the copy if the bucket cannot be reached. If the bucket has
        none, this machine's own records from before there was a bucket.
        """
        try:
            records = self._get(target)
        except Unreachable as problem:
            self.behind = str(problem)
            return self._local.get(target)
        if records:
            self._copy(records)
            return records
        return self._local_only(target)

    def _get(self, target: str) -> tuple[Record, ...]:
        scope = self._local.scope
        if None not in (scope.account, scope.region):
            return self._read(record_key(_blank(target, scope)))[0]
        name = f"/{state.file_name(target)}.json"
        return _only_file(target, [self._read(key) for key in self._keys() if key.endswith(name)])[
            0
        ]

    def put(self, record: Record) -> None:
        """Add a record, together with earlier ones that only reached the copy. If this raises for
        the bucket, the copy has it.
        """
        local, is_copy = self._local_records(record)
        record = replace(record, project=self._project)
        with suppress(StateDamaged, FileProblem, Refused):  # the copy is no more than that
            self._local.put_copy(record)
        for body in _bodies(record):
            # Their names are their digests: one that exists needs no second upload.
            if self._bucket.get(f"{BODIES}/{digest(body)}", 1) is None:
                data = body.encode("utf-8", "surrogateescape")
                self._bucket.put(f"{BODIES}/{digest(body)}", data, None)
        key = record_key(record)
        timed = without_bodies(replace(record, when=_timestamp(self._bucket.now())))
        for _ in range(_TRIES):
            stored, etag = self._read(key)
            updated = add(_combine(stored, local, is_copy), timed)
            if updated == stored or self._write(key, updated, etag or None):
                self._copy(updated)
                return
        raise self._contended(key)

    def begin(self, record: Record) -> None:
        """Record for all who share the bucket that a deploy is about to change what runs. If this
        raises, nothing was recorded.
        """
        local, is_copy = self._local_records(record)
        timed = replace(record, project=self._project)
        key = record_key(record)
        for _ in range(_TRIES):
            stored: tuple[Record, ...] = ()
            etag: str | None = None
            # The object's own answer carries the bucket's time: no call of its own is made for it.
            existing = self._bucket.get(key, FILE_MOST)
            if existing:
                stored, etag = self._decode(existing.body, key), existing.etag
                timed = replace(timed, when=_timestamp(existing.now))
            # What only this machine's copy has is sent along, so that the order is complete.
            updated = add_begun(_combine(stored, local, is_copy), without_bodies(timed))
            if updated == stored or self._write(key, updated, etag):
                self._copy(updated)
                return
        raise self._contended(key)

    def _write(self, key: str, records: tuple[Record, ...], etag: str | None) -> bool:
        """Replace the object with this etag (None: there is none); False if another writer was
        faster.
        """
        return self._bucket.put(key, encode(records), etag) is not None

    def _contended(self, key: str) -> StateDamaged:
        return StateDamaged(
            path=self._bucket.address(key), reason="others write to it all the time"
        )

    def _local_records(self, record: Record) -> tuple[tuple[Record, ...], bool]:
        """This machine's records of the record's target, and whether they are a copy of this
        bucket's; none if they cannot be read.
        """
        try:
            records, copied_from = self._local.copy(record.target)
        except (StateDamaged, FileProblem, Refused):  # the copy is no more than that
            return (), False
        key = record_key(record)
        same_place = tuple(entry for entry in records if record_key(entry) == key)
        return same_place, copied_from == self._store

    def all(self) -> LedgerContents:
        """The records of every target; from the copy if the bucket cannot be reached."""
        from concurrent.futures import ThreadPoolExecutor

        try:
            keys = self._keys()
            # One call per target: one after the other they would take seconds.
            with ThreadPoolExecutor(8) as pool:
                reads = list(pool.map(self._read_or_defer, keys))
        except Unreachable as problem:
            self.behind = str(problem)
            return self._local.copies()
        named = [self._parts.target(key) or key for key in keys]
        shared = read_contents(zip(named, reads, strict=True))
        local = self._all_local_only({*shared.records, *shared.damaged})
        return LedgerContents({**local, **shared.records}, shared.damaged, shared.foreign)

    def body(self, digest: str) -> str | None:
        """See Ledger. What came from the bucket is kept on this machine."""
        with suppress(StateDamaged, FileProblem):
            body = self._local.body(digest)
            if body is not None:
                return body
        if not _DIGEST.fullmatch(digest):
            return None
        key = f"{BODIES}/{digest}"
        stored = self._bucket.get(key, BODY_MOST)
        body = _checked_body(stored.body if stored else None, digest, self._bucket.address(key))
        if body:
            with suppress(StateDamaged, FileProblem):
                self._local.keep_body(body)
        return body

    def legacy_records(self) -> Mapping[str, tuple[Record, ...]]:
        """What an earlier version recorded in the bucket, and here."""
        scope = self._local.scope
        lists: list[Sequence[legacy.LegacyEntry]] = []
        for key in self._bucket.keys(legacy.prefix(scope.environment)):
            stored = self._bucket.get(key, FILE_MOST) if key.endswith(".json") else None
            if stored:
                with suppress(StateDamaged):
                    lists.append(legacy.decode(stored.body, key))
        # Where a shared record exists, this machine's own is not consulted.
        local = {} if lists else self._local.legacy_records()
        return {**local, **convert_legacy(lists, scope)}

    def repair(self, target: str) -> str:
        """Put a damaged object aside and replace it with what this machine has of the target."""
        done = []
        name = f"/{state.file_name(target)}.json"
        with suppress(StateDamaged, FileProblem):
            self._local.repair(target)
        for key in self._keys():
            if not key.endswith(name):
                continue
            try:
                self._read(key)
            except StateDamaged:
                done.append(self._put_aside(key, target))
        return "; ".join(done) or "nothing in the store is damaged"

    def _put_aside(self, key: str, target: str) -> str:
        stored = self._bucket.get(key, FILE_MOST)
        if stored is None:
            return "it is gone"
        aside = f"damaged/{key}.{stored.modified:%Y%m%dT%H%M%SZ}"
        # First the copy, then the change: a crash in between loses nothing.
        self._bucket.put(aside, stored.body, None)
        local: tuple[Record, ...] = ()
        with suppress(StateDamaged, FileProblem, Refused):
            local = tuple(record for record in self._local.get(target) if record_key(record) == key)
        if local:
            written = self._write(key, local, stored.etag)
            what = f"this machine's copy ({len(local)} deploys) took its place"
        else:
            written = bool(self._bucket.delete(key, stored.etag))
            what = "it has no record now"
        if not written:
            raise StateDamaged(
                path=self._bucket.address(key),
                reason="someone else writes to it; run the repair again",
            )
        return f"set aside as {self._bucket.address(aside)}; {what}"

    def _keys(self) -> list[str]:
        keys = self._bucket.keys(self._parts.prefix)
        return [key for key in keys if self._parts.target(key) is not None]

    def _read_or_defer(self, key: str) -> Callable[[], LedgerFile]:
        """Read now, raise when the result is used: one damaged object must not affect the
        others.
        """
        try:
            read = self._read(key)
        except StateDamaged as problem:
            return _raising(problem)
        return lambda: read

    def _local_only(self, target: str) -> tuple[Record, ...]:
        """What this machine recorded of a target before there was a bucket."""
        records, copied_from = self._local.copy(target)
        return () if copied_from else records

    def _all_local_only(self, shared: Collection[str]) -> dict[str, tuple[Record, ...]]:
        """The same for every target that is not among `shared`."""
        local: dict[str, tuple[Record, ...]] = {}
        with suppress(StateDamaged, FileProblem):
            for target in self._local.copies().records.keys() - shared:
                with suppress(StateDamaged, FileProblem, Refused):
                    records = self._local_only(target)
                    if records:
                        local[target] = records
        return local

    def _copy(self, records: tuple[Record, ...]) -> None:
        with suppress(StateDamaged, FileProblem):
            self._local.save_copy(records, self._store)

    def _read(self, key: str) -> LedgerFile:
        item = self._bucket.get(key, FILE_MOST)
        if item is None:
            return (), ""
        return self._decode(item.body, key), item.etag

    def _decode(self, body: bytes, key: str) -> tuple[Record, ...]:
        """The records of an object, if they are this project's. Raises StateDamaged."""
        path = self._bucket.address(key)
        records, _ = decode(body, path, key)
        for record in records[:1]:  # what came last says whose it is
            if record.project and self._project and record.project != self._project:
                raise AnotherProject(
                    path=path, project=f"project {record.project}", target=record.target
                )
        return records


def _only_file(target: str, files: Iterable[LedgerFile]) -> LedgerFile:
    """The one file of a target that has records. Raises Refused if several places have some and the
    scope does not say which is meant.
    """
    filled = [file for file in files if file[0]]
    if not filled:
        return (), ""
    if len(filled) > 1:
        records: list[Record] = []
        for entries, _ in filled:
            records.extend(entries)
        raise Refused(
            ambiguous_reason(target, records),
            "set `account` and `regions` of the environment in rules.toml",
        )
    return filled[0]


def _timestamp(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _combine(shared: Sequence[Record], local: Sequence[Record], is_copy: bool) -> Sequence[Record]:
    """What the bucket has, with what only this machine's copy of it has (`is_copy`) because its end
    could not be sent.

    Two independent histories cannot be put in one order: this machine's own counts only if the
    bucket has none.
    """
    return merge(shared, local) if is_copy or not shared else shared


def _raising(problem: StateDamaged) -> Callable[[], LedgerFile]:
    def read() -> LedgerFile:
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
