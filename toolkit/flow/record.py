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
from toolkit.model import GOOD, Place, Rules, Verdict, Version
from toolkit.plan.graph import Graph
from toolkit.ports.git import Git
from toolkit.ports.world import World
from toolkit.record import who
from toolkit.record.journal import new_run_id
from toolkit.record.ledger import SET, Record, open_ledger
from toolkit.record.state import Store
from toolkit.run import jobs as making


class Request(Struct, frozen=True):
    """Whose record is meant."""

    folder: str
    rules: str | None = None
    environment: str | None = None
    profile: str | None = None
    region: str | None = None
    allowed: bool = False
    """Whether this rules.toml may say where the record is, whatever the trusted base says."""


class Line(Struct, frozen=True):
    """What is recorded of one target in one place: its last good deploy, and the last one if that
    was another.
    """

    target: str
    place: Place
    good: Record | None = None
    last: Record | None = None
    problem: str = ""
    earlier: bool = False
    several: bool = False
    """Whether the environment has several regions."""

    @property
    def name(self) -> str:
        """The target, with its region where there are several."""
        return f"{self.target}@{self.place.region}" if self.several else self.target


def _around(
    request: Request, git: Git | None, changes: bool = True
) -> tuple[Rules, tuple[Place, ...]]:
    rules = load_trusted(request.folder, request.rules, git, request.allowed)
    name = environment(request.environment, rules)
    if changes:
        agree(rules, name)
    found = rules.environments.get(name) if name else None
    return rules, making.places(found, request.profile, request.region)


def show(request: Request, git: Git | None, world: World) -> tuple[list[Line], list[str]]:
    """What is recorded of every target, and notes. Raises ToolkitError."""
    rules, where = _around(request, git, changes=False)
    lines: list[Line] = []
    notes = list(told(rules, where[0].environment))
    for place in where:
        ledger = open_ledger(store_for(rules, world, place.profile), place, world)
        contents, before = ledger.all(), ledger.before()
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
                Line(
                    name, place, good, last, contents.damaged.get(name, ""), earlier, len(where) > 1
                )
            )
    return lines, notes


def where_of(request: Request, git: Git | None) -> Place:
    """The place that is meant, the first of its regions. Raises RulesError, UsageError, GitError,
    Refused.
    """
    return _around(request, git)[1][0]


def set_(
    request: Request, targets: Sequence[str], commit: str, git: Git, world: World
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
    for place in where:
        there = really(place, world)
        store = store_for(rules, world, place.profile)
        ledger = open_ledger(store, there, world)
        for name in names:  # all of them can be read before any is written
            ledger.get(name)
        ledgers.append((there, store, ledger))
    records: list[Record] = []
    for there, store, ledger in ledgers:
        for name in names:
            record = _said(name, versions[name], there, store, world)
            ledger.put(record)
            records.append(record)
    return records


def _said(name: str, version: Version, there: Place, store: Store, world: World) -> Record:
    return Record(
        target=name,
        environment=there.environment,
        region=there.region,
        version=version.name,
        commit=version.commit,
        fingerprint=version.fingerprint,
        run=new_run_id(world.clock.now()),
        when=world.clock.now().isoformat(timespec="seconds"),
        verdict=Verdict.SUCCEEDED,
        endpoint=store.endpoint,
        account=there.account,
        who=f"{who.user()}@{who.this().host}",
        origin=SET,
    )


def repair(
    request: Request, targets: Sequence[str], git: Git | None, world: World
) -> list[tuple[str, str]]:
    """Put aside what is damaged of these targets (none named: of all), target -> what was done.
    Raises ToolkitError.
    """
    rules, where = _around(request, git)
    for name in targets:
        known(name, rules)
    done: list[tuple[str, str]] = []
    for place in where:
        ledger = open_ledger(store_for(rules, world, place.profile), place, world)
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
