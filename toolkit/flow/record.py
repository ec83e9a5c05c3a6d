"""`toolkit record`: show what is recorded as live, set it by hand, and repair damaged records."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from toolkit.advice import Advice, SameOptions
from toolkit.errors import Refused
from toolkit.flow.aws_options import located_options
from toolkit.flow.rulebook import (
    chosen_environment,
    environment_name,
    find_environment,
    target_settings,
)
from toolkit.flow.selection import require_target
from toolkit.flow.stores import resolved_location, store_for
from toolkit.flow.trusted import load_trusted, require_rules_consent, trust_notice
from toolkit.flow.versions import versions_at_commit
from toolkit.model import ProjectRequest, Rules, Version
from toolkit.operations import GOOD, Location, RecordOrigin, Verdict
from toolkit.plan.graph import Graph
from toolkit.ports import processes
from toolkit.ports.git import Git
from toolkit.ports.ports import Ports
from toolkit.record.journal import new_run_id
from toolkit.record.ledger import Record, open_ledger
from toolkit.record.state import Store
from toolkit.run import jobs as run_jobs


class RecordLine(Struct, frozen=True):
    """What is recorded of one target in one place: its last good deploy, and the last one if that
    was another.
    """

    target: str
    location: Location
    good: Record | None = None
    last: Record | None = None
    problem: Advice = ""
    earlier: bool = False
    several: bool = False
    """Whether the environment has several regions."""
    same: SameOptions = SameOptions()
    """What its next commands have to repeat."""

    @property
    def name(self) -> str:
        """The target, with its region where there are several."""
        return f"{self.target}@{self.location.region}" if self.several else self.target


def _load(
    request: ProjectRequest, git: Git | None, changes: bool = True
) -> tuple[Rules, tuple[Location, ...]]:
    """The rules, and the locations whose record is meant. Where that is to be changed, consent is
    required.
    """
    rules = load_trusted(request.folder, request.rules, git, request.allowed)
    name = environment_name(request.environment, rules)
    if changes:
        name = chosen_environment(request.environment, rules)
        require_rules_consent(rules, name)
    environment = find_environment(name, rules)
    return rules, run_jobs.locations(environment, request.profile, request.region)


def show(
    request: ProjectRequest, git: Git | None, ports: Ports
) -> tuple[list[RecordLine], list[str]]:
    """What is recorded of every target, and notes. Raises ToolkitError."""
    rules, locations = _load(request, git, changes=False)
    lines: list[RecordLine] = []
    notes = list(trust_notice(rules, locations[0].environment))
    leaves = [target for target in rules.targets.values() if not target.members]
    for location, names in run_jobs.by_location(leaves, locations).items():
        same = located_options(rules, request.rules, location)
        ledger = open_ledger(store_for(rules, ports, location.profile), location, ports)
        contents, before = ledger.all(), ledger.legacy_records()
        if ledger.behind:
            notes.append(
                f"the shared record cannot be read, so this machine's copy is used: {ledger.behind}"
            )
        for name in names:
            records = contents.records.get(name, ())
            good = next((record for record in records if record.verdict in GOOD), None)
            line = RecordLine(
                name,
                location,
                good,
                problem=contents.damaged.get(name, ""),
                earlier=not records and name in before,
                several=len(locations) > 1,
                same=same,
            )
            if records and records[0] is not good:
                line = replace(line, last=records[0])
            lines.append(line)
    return lines, notes


def first_location(
    request: ProjectRequest, git: Git | None, targets: Sequence[str] = ()
) -> Location:
    """The location of the record, the first of its regions. Raises RulesError, UsageError (for an
    unknown target, too), GitError, Refused.
    """
    rules, locations = _load(request, git)
    for name in targets:
        require_target(name, rules)
    return locations[0]


def set_(
    request: ProjectRequest, targets: Sequence[str], commit: str, git: Git, ports: Ports
) -> list[Record]:
    """Record that a commit is live of these targets, because a person says so. Groups are written
    out. Raises ToolkitError.
    """
    rules, locations = _load(request, git)
    for name in targets:
        require_target(name, rules)
    environment = locations[0].environment
    graph = Graph(rules.targets)
    names = sorted(set[str]().union(*(graph.leaves(name) for name in targets)))
    settings = target_settings(rules, environment)
    own = {name: settings[name] for name in names}
    versions = versions_at_commit(own, rules, environment, git, git.resolve(commit)).versions
    ledgers = []
    leaves = [rules.targets[name] for name in names]
    for location, placed in run_jobs.by_location(leaves, locations).items():
        resolved = resolved_location(location, ports)
        store = store_for(rules, ports, location.profile)
        ledger = open_ledger(store, resolved, ports)
        for name in placed:  # all of them can be read before any is written
            ledger.get(name)
        ledgers.append((resolved, placed, store, ledger))
    records: list[Record] = []
    for location, placed, store, ledger in ledgers:
        for name in placed:
            record = _record_by_hand(name, versions[name], location, store, ports)
            ledger.put(record)
            records.append(record)
    return records


def _record_by_hand(
    name: str, version: Version, location: Location, store: Store, ports: Ports
) -> Record:
    return Record(
        target=name,
        environment=location.environment,
        region=location.region,
        version=version.name,
        commit=version.commit,
        fingerprint=version.fingerprint,
        run=new_run_id(ports.clock.now()),
        when=ports.clock.now().isoformat(timespec="seconds"),
        verdict=Verdict.SUCCEEDED,
        provider=location.provider,
        endpoint=store.endpoint,
        account=location.account,
        who=f"{processes.user()}@{processes.current_process().host}",
        origin=RecordOrigin.SET,
    )


def repair(
    request: ProjectRequest, targets: Sequence[str], git: Git | None, ports: Ports
) -> list[tuple[str, str]]:
    """Put aside the damaged records of these targets (none named: of all); returns each target and
    what was done. Raises ToolkitError.
    """
    rules, locations = _load(request, git)
    for name in targets:
        require_target(name, rules)
    done: list[tuple[str, str]] = []
    leaves = [target for target in rules.targets.values() if not target.members]
    for location in run_jobs.by_location(leaves, locations):
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
