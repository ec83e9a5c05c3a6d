"""The versions of a target that were good before: what can be put back."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from msgspec.structs import replace

from toolkit import targets
from toolkit.errors import ToolkitError, Unreachable
from toolkit.exits import Exit
from toolkit.flow.stores import store_for
from toolkit.model import Rules, Version
from toolkit.operations import GOOD, Job, LiveVersion, RecordedDeploy, RecordOrigin
from toolkit.ports.ports import Ports
from toolkit.record import history
from toolkit.record.ledger import BEGUN, Record, open_ledger, scope_of
from toolkit.targets.base import Kind


def good_deploys(job: Job, rules: Rules, ports: Ports) -> list[Record]:
    """The good deploys of a job's target in its place, newest first, by this machine's history and
    the shared record.

    Raises StateDamaged, FileProblem, CloudError; Unreachable where the shared record cannot be
    read: a copy may be older than what is live.
    """
    store, location = store_for(rules, ports, job.location.profile), job.location
    ledger = open_ledger(store, location, ports)
    records = ledger.get(job.target)
    if ledger.behind:
        raise Unreachable(call="the shared record", reason=ledger.behind)
    # What a person only said is live was not deployed by a run: it cannot be put back.
    deployed = [record for record in records if record.origin != RecordOrigin.SET]
    runs = {record.run for record in deployed}
    good = history.good_deploys(store, job.target, scope_of(store, location), deployed)
    for record in ledger.legacy_records().get(job.target, ()):
        if record.verdict in GOOD and record.run not in runs:
            good.append(record)
    return good


def last_recorded(job: Job, rules: Rules, ports: Ports) -> Record | None:
    """The newest good deploy of a job's target that is recorded; None if none is, or the record
    cannot be read. Raises nothing: what is live is compared, too.
    """
    with suppress(ToolkitError):
        return next(
            (record for record in records_of(job, rules, ports) if record.verdict in GOOD), None
        )
    return None


def newest_deploy(job: Job, rules: Rules, ports: Ports) -> Record | None:
    """The newest deploy of a job's target in its place, however it ended; None if no end is
    recorded. Raises as `good_deploys` does.
    """
    records = records_of(job, rules, ports)
    return next((record for record in records if record.verdict != BEGUN), None)


def records_of(job: Job, rules: Rules, ports: Ports) -> tuple[Record, ...]:
    """All records of a job's target in its place, newest first; this machine's copy where the
    shared record cannot be reached.

    Raises StateDamaged, FileProblem, CloudError, Refused.
    """
    store = store_for(rules, ports, job.location.profile)
    return tuple(open_ledger(store, job.location, ports).get(job.target))


def recorded_deploy_of(job: Job, rules: Rules, ports: Ports) -> RecordedDeploy | None:
    """The recorded deploys of a job's target, so that its kind can tell whether somebody else has
    changed it since.
    """
    try:
        return recorded_deploy(records_of(job, rules, ports), targets.kind(job.kind))
    except ToolkitError as problem:
        if problem.exit == Exit.CREDENTIALS:
            raise  # the locks are in the same bucket
        return RecordedDeploy(problem=str(problem))


def recorded_deploy(records: Sequence[Record], kind: Kind) -> RecordedDeploy | None:
    """What a kind gets of the records, newest first: the newest good deploy, and what the others
    have put there. Pure.

    None if none is good, or that one does not say what it has put there: a person said what is
    live.
    """
    index = next((i for i, record in enumerate(records) if record.verdict in GOOD), None)
    if index is None or not _contents(records[index], kind):
        return None
    good = records[index]
    earlier: dict[str, None] = {}
    for record in records[index + 1 :]:
        earlier |= dict.fromkeys(_contents(record, kind))
    later: dict[str, None] = {}
    for record in records[:index]:
        later |= dict.fromkeys(_contents(record, kind))
    # It goes into the journal, where a whole template or definition is too long.
    deployed = replace(good.deployed, body="", stack="", parameters={})
    return RecordedDeploy(
        good.run,
        good.version,
        deployed,
        good.detail,
        tuple(earlier),
        tuple(later),
        commit=good.commit,
        fingerprint=good.fingerprint,
        settings=good.settings,
    )


def _contents(record: Record, kind: Kind) -> list[str]:
    """What names the content that a deploy has put there."""
    named = [
        *(record.detail.get(key, "") for key in kind.content_details),
        record.deployed.definition,
        record.deployed.template,
    ]
    return [key for key in named if key]


def last_good_before(
    records: Sequence[Record],
    version: Version,
    may_be_put_back: Callable[[Record], bool] = lambda record: True,
) -> Record | None:
    """The newest good deploy of another version that may be put back, None if there is none.
    `records` are the newest first.

    Where the version is only the name of an image, which may mean another one by now, every deploy
    is of another.
    """
    only_a_name = version.has_only_a_name
    for record in records:
        is_other = only_a_name or record.version != version.name
        # Last, since it asks the cloud.
        if record.version and is_other and record.verdict in GOOD and may_be_put_back(record):
            return record
    return None


def is_running(record: Record, live: LiveVersion | None, kind: Kind) -> bool:
    """Whether what is live is what this deploy put there: the same version and, where both are
    known, the same artifact and definition.
    """
    if live is None or record.version != live.version:
        return False
    if record.deployed.same(live.deployed) is False:
        return False
    recorded = record.detail.get(kind.artifact_detail)
    running = live.detail.get(kind.artifact_detail)
    return not (recorded and running) or recorded == running
