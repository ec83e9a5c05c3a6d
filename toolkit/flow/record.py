"""`toolkit record`: what is recorded as live, said by a person, and put right where it is
damaged.
"""

from collections.abc import Sequence

from msgspec import Struct

from toolkit.errors import Refused
from toolkit.flow.contents import at_commit
from toolkit.flow.deploy import known
from toolkit.flow.rulebook import environment, settled
from toolkit.flow.stores import really, store_for
from toolkit.flow.trusted import agree, load_trusted, told
from toolkit.model import GOOD, Location, Rules, Verdict, Version
from toolkit.plan.graph import Graph
from toolkit.ports import processes
from toolkit.ports.git import Git
from toolkit.ports.ports import Ports
from toolkit.record.journal import new_run_id
from toolkit.record.ledger import SET, Record, open_ledger
from toolkit.record.state import Store
from toolkit.run import jobs as making


class RecordRequest(Struct, frozen=True):
    """Whose record is meant."""

    folder: str
    rules: str | None = None
    environment: str | None = None
    profile: str | None = None
    region: str | None = None
    allowed: bool = False
    """Whether this rules.toml may say where the record is, whatever the trusted base says."""


class RecordLine(Struct, frozen=True):
    """What is recorded of one target in one place: its last good deploy, and the last one if that
    was another.
    """

    target: str
    location: Location
    good: Record | None = None
    last: Record | None = None
    problem: str = ""
    earlier: bool = False
    several: bool = False
    """Whether the environment has several regions."""

    @property
    def name(self) -> str:
        """The target, with its region where there are several."""
        return f"{self.target}@{self.location.region}" if self.several else self.target


def _around(
    request: RecordRequest, git: Git | None, changes: bool = True
) -> tuple[Rules, tuple[Location, ...]]:
    rules = load_trusted(request.folder, request.rules, git, request.allowed)
    name = environment(request.environment, rules)
    if changes:
        agree(rules, name)
    found = rules.environments.get(name) if name else None
    return rules, making.locations(found, request.profile, request.region)


def show(
    request: RecordRequest, git: Git | None, ports: Ports
) -> tuple[list[RecordLine], list[str]]:
    """What is recorded of every target, and notes. Raises ToolkitError."""
    rules, where = _around(request, git, changes=False)
    lines: list[RecordLine] = []
    notes = list(told(rules, where[0].environment))
    for location in where:
        ledger = open_ledger(store_for(rules, ports, location.profile), location, ports)
        contents, before = ledger.all(), ledger.legacy_records()
        if ledger.behind:
            notes.append(
                f"the shared record cannot be read, so this machine's own is used: {ledger.behind}"
            )
        for name, target in rules.targets.items():
            if target.members:
                continue
            records = contents.records.get(name, ())
            good = next((record for record in records if record.verdict in GOOD), None)
            last = records[0] if records and records[0] is not good else None
            earlier = not records and name in before
            lines.append(
                RecordLine(
                    name,
                    location,
                    good,
                    last,
                    contents.damaged.get(name, ""),
                    earlier,
                    len(where) > 1,
                )
            )
    return lines, notes


def where_of(request: RecordRequest, git: Git | None) -> Location:
    """The place that is meant, the first of its regions. Raises RulesError, UsageError, GitError,
    Refused.
    """
    return _around(request, git)[1][0]


def set_(
    request: RecordRequest, targets: Sequence[str], commit: str, git: Git, ports: Ports
) -> list[Record]:
    """Record that a commit is live of these targets, because a person says so. Groups are written
    out. Raises ToolkitError.
    """
    rules, where = _around(request, git)
    for name in targets:
        known(name, rules)
    at = git.resolve(commit)
    graph = Graph(rules.targets)
    names = sorted(set[str]().union(*(graph.leaves(name) for name in targets)))
    settings = settled(rules, where[0].environment)
    own = {name: settings[name] for name in names}
    versions = at_commit(own, rules, where[0].environment, git, at).versions
    ledgers = []
    for location in where:
        there = really(location, ports)
        store = store_for(rules, ports, location.profile)
        ledger = open_ledger(store, there, ports)
        for name in names:  # all of them can be read before any is written
            ledger.get(name)
        ledgers.append((there, store, ledger))
    records: list[Record] = []
    for there, store, ledger in ledgers:
        for name in names:
            record = _said(name, versions[name], there, store, ports)
            ledger.put(record)
            records.append(record)
    return records


def _said(name: str, version: Version, there: Location, store: Store, ports: Ports) -> Record:
    return Record(
        target=name,
        environment=there.environment,
        region=there.region,
        version=version.name,
        commit=version.commit,
        fingerprint=version.fingerprint,
        run=new_run_id(ports.clock.now()),
        when=ports.clock.now().isoformat(timespec="seconds"),
        verdict=Verdict.SUCCEEDED,
        endpoint=store.endpoint,
        account=there.account,
        who=f"{processes.user()}@{processes.current_process().host}",
        origin=SET,
    )


def repair(
    request: RecordRequest, targets: Sequence[str], git: Git | None, ports: Ports
) -> list[tuple[str, str]]:
    """Put aside what is damaged of these targets (none named: of all), target -> what was done.
    Raises ToolkitError.
    """
    rules, where = _around(request, git)
    for name in targets:
        known(name, rules)
    done: list[tuple[str, str]] = []
    for location in where:
        ledger = open_ledger(store_for(rules, ports, location.profile), location, ports)
        contents = ledger.all()
        damaged = [
            name for name in contents.damaged if name in targets or name not in contents.foreign
        ]
        if ledger.behind:
            raise Refused(
                f"the shared record cannot be read: {ledger.behind}",
                "run it again when it can be reached",
            )
        for name in targets or damaged:
            if name in damaged:
                done.append((name, ledger.repair(name)))
    return done
