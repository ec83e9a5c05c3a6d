"""What is live compared with the record and with HEAD: whether it was changed outside toolkit, and
whether it is due.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.advice import Advice, Command, NextCommand, advice_parts
from toolkit.errors import ToolkitError
from toolkit.flow import declared_inputs as inputs
from toolkit.flow.compare import DiffRequest, RecordedBase, diff
from toolkit.flow.declared_inputs import InputComparison, InputReading, RecordedInputs
from toolkit.flow.health_questions import Board, Subject
from toolkit.flow.recorded_bases import (
    contradiction,
    good_record,
    live_base,
    unfinished_deploys,
    with_input_changes,
    work_check,
)
from toolkit.flow.shared_resources import parse_time
from toolkit.flow.stores import existing_store, store_for
from toolkit.model import DeclaredInput, Rules, TargetState
from toolkit.operations import (
    GOOD,
    DeployedBy,
    DeployedState,
    Finding,
    HealthReport,
    HealthStatus,
    LiveVersion,
    Location,
)
from toolkit.ports.git import Git
from toolkit.ports.ports import Ports
from toolkit.record.ledger import Record, open_ledger
from toolkit.record.state import Store
from toolkit.targets.base import Kind

SLACK = timedelta(minutes=2)
"""How far two machines' clocks may differ, and how long a record takes to be written."""


class RecordedVersions(Struct, frozen=True):
    """What is recorded in each location, by target, with notes on what could not be read."""

    records: Mapping[Location, Mapping[str, tuple[Record, ...]]] = {}
    notes: tuple[Advice, ...] = ()
    unended: Mapping[Location, Mapping[str, Advice]] = {}
    """The targets whose deploy has begun and has no recorded end, each with the reason."""


def read_recorded_versions(
    rules: Rules, subjects: Sequence[Subject], ports: Ports
) -> RecordedVersions:
    """The record of all locations. A record that cannot be read raises nothing: it is a note."""
    locations = {subject.location for subject in subjects if subject.job}
    stores: dict[Location, Store] = {}
    try:
        shared = any(location.store for location in locations)
        find = store_for if shared else existing_store
        for location in locations:
            store = find(rules, ports, location.profile)
            if store is not None:
                stores[location] = store
        ledgers = {
            location: open_ledger(store, location, ports) for location, store in stores.items()
        }
        contents = {location: ledger.all() for location, ledger in ledgers.items()}
    except ToolkitError as problem:
        return RecordedVersions(notes=(f"the record of what is live cannot be read: {problem}",))
    # A dict keeps the order and drops what several locations say alike.
    notes: dict[Advice, None] = {}
    for location, content in contents.items():
        for name, why in content.damaged.items():
            if name not in content.foreign or name in rules.targets:
                notes[_in_environment(why, location.environment, rules)] = None
    for ledger in ledgers.values():
        if ledger.behind:
            copy = f"this machine's copy is used: {ledger.behind}"
            notes[f"the shared record cannot be read, so {copy}"] = None
    names = {subject.name for subject in subjects if subject.job}
    unended: dict[Location, Mapping[str, Advice]] = {}
    for location, content in contents.items():
        records = {name: content.records[name] for name in content.records if name in names}
        unended[location] = unfinished_deploys(
            records, work_check(stores[location], location, rules, ports)
        )
    records_by_location = {location: content.records for location, content in contents.items()}
    return RecordedVersions(records_by_location, tuple(notes), unended)


def _in_environment(advice: Advice, environment: str | None, rules: Rules) -> Advice:
    """An advice whose commands name the environment, where that is not the default one: what shows
    it may be about several.
    """
    if environment in (None, rules.environment):
        return advice
    parts: list[str | Command] = []
    for part in advice_parts(advice):
        if isinstance(part, NextCommand):
            part = replace(part, options=(*part.options, "--env", str(environment)))
        parts.append(part)
    return tuple(parts)


def with_record_findings(
    reports: Sequence[HealthReport], subjects: Sequence[Subject], recorded: RecordedVersions
) -> list[HealthReport]:
    """The reports, with a finding where what is live is in no recorded deploy, or where a deploy
    has no recorded end.
    """
    checked: list[HealthReport] = []
    for report, subject in zip(reports, subjects, strict=True):
        records = recorded.records.get(subject.location, {}).get(subject.name, ())
        if subject.job is not None and report.live is not None:
            report = replace(report, deployed=_deployed_by(report.live, records))
        why = recorded.unended.get(subject.location, {}).get(subject.name)
        if subject.job is not None and why:
            finding = Finding(
                "record",
                HealthStatus.WARNING,
                "a deploy has not ended",
                cause=str(advice_parts(why)[0]),
                next=("see what it did:", NextCommand("history"), *_go_on(why)),
            )
            checked.append(replace(report, findings=(*report.findings, finding)))
        else:
            checked.append(_with_change_finding(report, subject, records))
    return checked


def _deployed_by(live: LiveVersion, records: Sequence[Record]) -> DeployedBy | None:
    """Who deployed what is live; None where no recorded run did."""
    for record in records:
        if live.run and record.run == live.run:
            return DeployedBy(record.who, record.when, record.run)
    return None


def _go_on(why: Advice) -> tuple[str | Command, ...]:
    """How to continue a deploy whose end is not known."""
    commands = [part for part in advice_parts(why) if not isinstance(part, str)]
    return ("; continue it:", *commands) if commands else ()


def _with_change_finding(
    report: HealthReport, subject: Subject, records: Sequence[Record]
) -> HealthReport:
    live = report.live
    if subject.job is None or live is None or not records:
        return report
    kind = targets.kind(subject.kind)
    why = outside_change(kind, live, records)
    if not why:
        return report
    settings = subject.job.settings
    command = NextCommand("history")
    if kind.runnable(settings) is None:
        deploy = kind.command(subject.name, settings)
        if deploy:
            command = replace(deploy, options=(*deploy.options, *kind.restores_with))
    what = "changed outside toolkit"
    if live.by and live.run is None:
        what = f"changed by {live.by}"
    finding = Finding(
        "record",
        HealthStatus.WARNING,
        what,
        live.since,
        f"{what}: {why}",
        ("see what it is; to restore yours:", command),
    )
    return replace(report, findings=(*report.findings, finding))


def outside_change(kind: Kind, live: LiveVersion, records: Sequence[Record]) -> str:
    """Why what is live is nothing that the record knows of, empty if it is. Pure."""
    what = kind.live_name(live) or "what runs"
    content = [key for key in kind.content_details if key in live.detail]
    if live.run is None and live.version and live.deployed == DeployedState() and not content:
        return _other_version(live.version, records)
    if live.run is None:
        return _untagged(live, records, what, content)
    ours = [record for record in records if record.run == live.run]
    good = next((record for record in records if record.verdict in GOOD), None)
    if good is not None and good.deployed.same(live.deployed):
        ours.append(good)  # the newest one has seen just this, whoever deployed it
    if not ours:
        return f"{what} comes from run {live.run}, which is not recorded here"
    detailed = [record for record in ours if record.detail]
    same = any(_has_content(record, live, content) for record in detailed)
    if content and detailed and not same:
        return f"{what} comes from no recorded deploy"
    why = contradiction(live, records)
    if why or content:
        return why
    times = [when for record in records if (when := parse_time(record.when)) is not None]
    since = parse_time(live.since or "")
    if since is not None and times and since - max(times) > SLACK:
        moment = f"{since:%Y-%m-%d %H:%M} UTC"
        return f"it was changed at {moment}, but no deploy is recorded for that time"
    return ""


def _other_version(version: str, records: Sequence[Record]) -> str:
    """Why a version is live that the last good deploy did not bring, where the version is all that
    is known: a program prints it, and no run.
    """
    good = next((record for record in records if record.verdict in GOOD), None)
    if good is None:
        return f"{version} runs, but no good deploy is recorded"
    if good.version == version:
        return ""
    return f"{version} runs, and run {good.run} deployed {good.version}"


def _untagged(
    live: LiveVersion, records: Sequence[Record], what: str, content: Sequence[str]
) -> str:
    """Why something that has no tags of toolkit's is live."""
    same = [record for record in records if record.deployed.same(live.deployed)]
    for record in same:
        if _has_content(record, live, content):
            return (
                "another tool has removed toolkit's tags; what runs is still what run "
                f"{record.run} deployed"
            )
    why = f"{what} was not deployed by toolkit"
    if live.by:
        why = f"{what} comes from its template, and replaces what was deployed since"
    if same:
        return f"{why}; it is the same as what run {same[0].run} deployed"
    return why


def _has_content(record: Record, live: LiveVersion, content: Sequence[str]) -> bool:
    return all(record.detail.get(key) == live.detail[key] for key in content)


def input_comparisons(
    reports: Sequence[HealthReport],
    subjects: Sequence[Subject],
    recorded: RecordedVersions,
    board: Board,
    rules: Rules,
    moment: datetime,
) -> list[InputComparison]:
    """How the inputs outside git of each report's target stand to the deploy that is live."""
    comparisons: list[InputComparison] = []
    for index, (report, subject) in enumerate(zip(reports, subjects, strict=True)):
        declared: Sequence[DeclaredInput] = ()
        if subject.job is not None and report.live is not None:
            declared = inputs.inputs_of_job(subject.job, rules)
        if not declared:
            comparisons.append(InputComparison())
            continue
        records = recorded.records.get(subject.location, {}).get(subject.name, ())
        good = good_record(records, "" if report.live is None else report.live.run or "")
        versions = RecordedInputs() if good is None else inputs.recorded_inputs(good)
        readings = {text: reading for (_, text), reading in board.inputs(index).items()}
        for each in declared:
            late = InputReading(problem=f"{inputs.words(each)} was not read in time")
            readings.setdefault(str(each), late)
        comparisons.append(inputs.compare_inputs(declared, versions, readings, {}, moment))
    return comparisons


def with_head_state(
    reports: Sequence[HealthReport],
    comparisons: Sequence[InputComparison],
    request: DiffRequest,
    git: Git | None,
    notes: list[Advice],
) -> list[HealthReport]:
    """The reports, each with the state of its live version against HEAD; None where there is no
    repository. `request` says which rules.toml; its environment is that of each report.
    `comparisons` are those of the reports' inputs outside git.
    """
    if git is None or git.bare:
        return list(reports)
    states: dict[tuple[str | None, str], TargetState | None] = {}
    for environment in dict.fromkeys(report.environment for report in reports):
        points: dict[str, tuple[RecordedBase, ...]] = {}
        for report, comparison in zip(reports, comparisons, strict=True):
            if report.environment == environment and report.live is not None:
                point = with_input_changes(live_base(report.live), comparison)
                points[report.name] = (*points.get(report.name, ()), point)
        if not points:
            continue
        live = replace(request, environment=environment, base="live", committed=True)
        try:
            answer = diff(live, git, lambda how, rules, environment, points=points: points)  # type: ignore[misc]
        except ToolkitError as problem:
            notes.append(f"what is live cannot be compared with HEAD: {problem}")
            continue
        states |= {(environment, target): answer.states.get(target) for target in points}
    compared: list[HealthReport] = []
    for report in reports:
        if report.live is not None:
            state = states.get((report.environment, report.name))
            report = replace(report, state=state)
        compared.append(report)
    return compared
