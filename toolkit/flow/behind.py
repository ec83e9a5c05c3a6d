"""What runs against what was recorded, and against HEAD: whether somebody changed it behind our
back, and whether it is due.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.errors import ToolkitError
from toolkit.flow.compare import DiffRequest, RecordedBase, diff
from toolkit.flow.looking import Subject
from toolkit.flow.recorded import contradiction, point_of, unended, worker
from toolkit.flow.rivals import moment
from toolkit.flow.stores import existing_store, store_for
from toolkit.model import Finding, HealthReport, LiveVersion, Location, Rules
from toolkit.ports.git import Git
from toolkit.ports.ports import Ports
from toolkit.record.ledger import Record, open_ledger
from toolkit.run.superseded import CONTENT, live_name

SLACK = timedelta(minutes=2)
"""Two machines' clocks, and the time that a record takes to be written."""


class RecordedVersions(Struct, frozen=True):
    """What was recorded in each place, by target, and what there is to say of that."""

    records: Mapping[Location, Mapping[str, tuple[Record, ...]]] = {}
    notes: tuple[str, ...] = ()
    unended: Mapping[Location, Mapping[str, str]] = {}
    """The targets that a run has begun to deploy, and whose end is not recorded, each in words."""


def recorded(rules: Rules, subjects: Sequence[Subject], ports: Ports) -> RecordedVersions:
    """The record of all places. Never raises for a record that cannot be read: that is a note."""
    locations = {one.location for one in subjects if one.job}
    try:
        shared = any(location.store for location in locations)
        find = store_for if shared else existing_store
        each = {location: find(rules, ports, location.profile) for location in locations}
        stores = {location: store for location, store in each.items() if store is not None}
        ledgers = {
            location: open_ledger(store, location, ports) for location, store in stores.items()
        }
        contents = {location: ledger.all() for location, ledger in ledgers.items()}
    except ToolkitError as problem:
        return RecordedVersions(notes=(f"the record of what is live cannot be read: {problem}",))
    copies = dict.fromkeys(ledger.behind for ledger in ledgers.values() if ledger.behind)
    damaged: dict[str, None] = {}
    for content in contents.values():
        for name, why in content.damaged.items():
            if name not in content.foreign or name in rules.targets:
                damaged[why] = None
    found = {location: content.records for location, content in contents.items()}
    notes = (
        *damaged,
        *(
            f"the shared record cannot be read, so this machine's own is used: {why}"
            for why in copies
        ),
    )
    looked_at = {one.name for one in subjects if one.job}
    left: dict[Location, Mapping[str, str]] = {}
    for location, records in found.items():
        wanted = {name: known for name, known in records.items() if name in looked_at}
        left[location] = unended(wanted, worker(stores[location], location, rules, ports))
    return RecordedVersions(found, notes, left)


def against_record(
    checkups: Sequence[HealthReport], subjects: Sequence[Subject], known: RecordedVersions
) -> list[HealthReport]:
    """With a sign where what runs is in no deploy that is recorded, or where the end of a deploy is
    not.
    """
    signed: list[HealthReport] = []
    for checkup, subject in zip(checkups, subjects, strict=True):
        why = (
            known.unended.get(subject.location, {}).get(subject.name)
            if subject.job is not None
            else None
        )
        if why:
            sign = Finding(
                "record",
                "warning",
                "a deploy has not ended",
                cause=why,
                next="see what it did: toolkit history",
            )
            signed.append(replace(checkup, signs=(*checkup.signs, sign)))
        else:
            signed.append(_recorded(checkup, subject, known.records.get(subject.location, {})))
    return signed


def _recorded(
    checkup: HealthReport, subject: Subject, known: Mapping[str, tuple[Record, ...]]
) -> HealthReport:
    records, live = known.get(subject.name, ()), checkup.live
    if subject.job is None or live is None or not records:
        return checkup
    why = foreign(live, records)
    if not why:
        return checkup
    kind = targets.kind(subject.kind)
    settings = subject.job.settings
    deploys = kind.command(subject.name, settings) if kind.runnable(settings) is None else None
    command = f"{deploys}{kind.restores_with}" if deploys else "toolkit history"
    sign = Finding(
        "record",
        "warning",
        "changed outside toolkit",
        live.since,
        why,
        f"see what it is; to put yours back: {command}",
    )
    return replace(checkup, signs=(*checkup.signs, sign))


def foreign(live: LiveVersion, records: Sequence[Record]) -> str:
    """Why what runs is nothing that the record knows of, empty if it is. Pure."""
    what, content = live_name(live, "what runs"), [key for key in CONTENT if key in live.detail]
    ours = [record for record in records if record.run == live.run]
    if live.run is None:
        kept = [record for record in records if record.deployed.same(live.deployed)]
        for record in kept:
            if all(record.detail.get(key) == live.detail[key] for key in content):
                return (
                    "another tool has taken toolkit's tags away; what runs is still what run"
                    f" {record.run} deployed"
                )
        why = f"{what} was not deployed by toolkit"
        return f"{why}; it is the same as what run {kept[0].run} deployed" if kept else why
    if not ours:
        return f"{what} is of run {live.run}, which is not recorded here"
    if content and any(record.detail for record in ours):
        same = any(
            all(record.detail.get(key) == live.detail[key] for key in content)
            for record in ours
            if record.detail
        )
        if not same:
            return f"{what} is in no deploy that is recorded"
    why = contradiction(live, records)
    if why or content:
        return why
    times = [when for record in records if (when := moment(record.when)) is not None]
    since = moment(live.since or "")
    if since is not None and times and since - max(times) > SLACK:
        return (
            f"it was changed at {since:%Y-%m-%d %H:%M} UTC, but no deploy is recorded for that time"
        )
    return ""


def against_head(
    checkups: Sequence[HealthReport],
    folder: str,
    rules: str | None,
    git: Git | None,
    notes: list[str],
    allowed: bool = False,
) -> list[HealthReport]:
    """With what the live version of each target is against HEAD; empty where there is no repository
    to tell.
    """
    if git is None or git.bare:
        return list(checkups)
    states: dict[tuple[str | None, str], str] = {}
    for name in dict.fromkeys(checkup.environment for checkup in checkups):
        points: dict[str, tuple[RecordedBase, ...]] = {}
        for checkup in checkups:
            if checkup.environment == name and checkup.live is not None:
                points[checkup.name] = (*points.get(checkup.name, ()), point_of(checkup.live))
        if not points:
            continue
        try:
            asked = DiffRequest(
                folder=folder,
                rules=rules,
                environment=name,
                base="live",
                committed=True,
                allowed=allowed,
            )
            answer = diff(asked, git, lambda how, rules, environment, points=points: points)  # type: ignore[misc]
        except ToolkitError as problem:
            notes.append(f"what is live cannot be compared with HEAD: {problem}")
            continue
        states |= {(name, target): answer.states.get(target, "") for target in points}
    return [
        (
            replace(checkup, state=states.get((checkup.environment, checkup.name), ""))
            if checkup.live is not None
            else checkup
        )
        for checkup in checkups
    ]
