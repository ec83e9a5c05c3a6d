"""The versions of a target that were good before: what can be put back."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from toolkit.errors import ToolkitError, Unreachable
from toolkit.flow.stores import store_for
from toolkit.model import GOOD, Job, LiveVersion, RecordedDeploy, Rules, Version
from toolkit.ports.ports import Ports
from toolkit.record.history import good_deploys
from toolkit.record.ledger import BEGUN, SET, Record, open_ledger, scope_of
from toolkit.run.superseded import CONTENT


def previous(job: Job, rules: Rules, ports: Ports) -> list[Record]:
    """The good deploys of a job's target in its place, newest first, as all that is kept here and
    in the shared record knows them.

    Raises StateDamaged, FileProblem, CloudError; Unreachable where the shared record cannot be
    read: a copy may be older than what is live.
    """
    store, location = store_for(rules, ports, job.location.profile), job.location
    ledger = open_ledger(store, location, ports)
    recorded = ledger.get(job.target)
    if ledger.behind:
        raise Unreachable(call="the shared record", reason=ledger.behind)
    known = [record for record in recorded if record.origin != SET]
    earlier = [
        record for record in ledger.legacy_records().get(job.target, ()) if record.verdict in GOOD
    ]
    runs = {record.run for record in known}
    return [
        *good_deploys(store, job.target, scope_of(store, location), known),
        *(record for record in earlier if record.run not in runs),
    ]


def last_recorded(job: Job, rules: Rules, ports: Ports) -> Record | None:
    """The newest good deploy of a job's target that is recorded; None if none is, or the record
    cannot be read. Raises nothing: what is live is looked at, too.
    """
    with suppress(ToolkitError):
        store = store_for(rules, ports, job.location.profile)
        for record in open_ledger(store, job.location, ports).get(job.target):
            if record.verdict in GOOD:
                return record
    return None


def newest(job: Job, rules: Rules, ports: Ports) -> Record | None:
    """The newest deploy of a job's target in its place, however it ended; None if no end is
    recorded. Raises as `previous` does.
    """
    records = open_ledger(store_for(rules, ports, job.location.profile), job.location, ports).get(
        job.target
    )
    return next((record for record in records if record.verdict != BEGUN), None)


def records_of(job: Job, rules: Rules, ports: Ports) -> tuple[Record, ...]:
    """All that is recorded of a job's target in its place, newest first; this machine's copy where
    the shared record cannot be reached.

    Raises StateDamaged, FileProblem, CloudError, Refused.
    """
    return tuple(
        open_ledger(store_for(rules, ports, job.location.profile), job.location, ports).get(
            job.target
        )
    )


def recorded_of(records: Sequence[Record]) -> RecordedDeploy | None:
    """What records, newest first, say to a kind: the newest good deploy, and what the others have
    put there. Pure.

    None if none is good, or that one does not say what it has put there: a person said what is
    live.
    """
    at = next((at for at, record in enumerate(records) if record.verdict in GOOD), None)
    if at is None or not _contents(records[at]):
        return None
    good = records[at]
    earlier = tuple(key for record in records[at + 1 :] for key in _contents(record))
    later = tuple(key for record in records[:at] for key in _contents(record))
    deployed = replace(good.deployed, body="", parameters={})  # it goes into the journal
    return RecordedDeploy(
        good.run,
        good.version,
        deployed,
        good.detail,
        tuple(dict.fromkeys(earlier)),
        tuple(dict.fromkeys(later)),
    )


def _contents(record: Record) -> list[str]:
    """What names the content that a deploy has put there."""
    named = [
        *(record.detail.get(key, "") for key in CONTENT),
        record.deployed.definition,
        record.deployed.template,
    ]
    return [key for key in named if key]


def good_before(
    records: Sequence[Record],
    version: Version,
    may_be_put_back: Callable[[Record], bool] = lambda record: True,
) -> Record | None:
    """The newest good deploy of another version that may be put back, None if there is none.
    `records` are the newest first.

    Where the version is only the name of an image, which may mean another one by now, every deploy
    is of another.
    """
    only_a_name = version.fingerprint.startswith("image ")
    others = (
        record
        for record in records
        if record.version and (only_a_name or record.version != version.name)
    )
    return next(
        (record for record in others if record.verdict in GOOD and may_be_put_back(record)), None
    )


def runs(record: Record, live: LiveVersion | None) -> bool:
    """Whether what is live is what this deploy put there: the same version and, where both are
    known, the same image and definition.
    """
    if (
        live is None
        or record.version != live.version
        or record.deployed.same(live.deployed) is False
    ):
        return False
    ours, theirs = record.detail.get("digest"), live.detail.get("digest")
    return not (ours and theirs) or ours == theirs


def wishes(record: Record) -> dict[str, Any]:
    """What the kind has to know to put this version back."""
    detail = {name.replace(" ", "_"): value for name, value in record.detail.items()}
    return {
        "version": record.version,
        "commit": record.commit,
        "fingerprint": record.fingerprint,
        "settings": record.settings,
        "image_digest": detail.get("digest"),
        "task_definition": detail.get("task_definition"),
    }
