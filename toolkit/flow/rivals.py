"""Who else has changed what a target is: a target of another name, or of another environment."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from toolkit import targets
from toolkit.errors import Refused, ToolkitError
from toolkit.model import GOOD, Environment, Location, Resource, Rules
from toolkit.ports.ports import Ports
from toolkit.record.ledger import Record, open_ledger
from toolkit.record.state import Store
from toolkit.run import jobs as making

Thing = tuple[str, str]
"""What it is ("stack"), and its name."""
Changed = Mapping[Thing, Sequence[tuple[Resource, Record]]]
"""Who has changed a thing, or a part of it."""


class OtherEnvironments(Struct, frozen=True):
    """What other environments have recorded. `unread`: what they share with this one, where that
    cannot be read, with the reason.
    """

    records: tuple[Record, ...] = ()
    unread: Mapping[Thing, str] = {}


def beside(
    location: Location, rules: Rules, names: Sequence[str], store: Store, ports: Ports
) -> OtherEnvironments:
    """What is recorded in other environments whose targets change the same things as these.

    Only those are read: an environment mostly has things of its own. Raises Refused.
    """
    others = [
        environment
        for name, environment in rules.environments.items()
        if name != location.environment
        and location.account is not None
        and environment.account == location.account
    ]
    if not others:
        return OtherEnvironments()
    mine = _things(rules, names, location, rules.environments.get(location.environment or ""))
    records: list[Record] = []
    unread: dict[Thing, str] = {}
    for environment in others:
        for other in making.locations(environment, location.profile, None):
            if other.region not in (None, location.region):
                continue
            theirs = _things(rules, names, other, environment)
            if mine is not None and theirs is not None and not mine & theirs:
                continue
            try:
                for entries in open_ledger(store, other, ports).all().records.values():
                    records += entries
            except ToolkitError as problem:
                why = f"what environment {other.environment} has deployed cannot be read: {problem}"
                shared = (
                    mine & theirs
                    if mine is not None and theirs is not None
                    else mine or theirs or set()
                )
                unread |= dict.fromkeys(shared, why)
    return OtherEnvironments(tuple(records), unread)


def _things(
    rules: Rules, names: Sequence[str], location: Location, environment: Environment | None
) -> set[Thing] | None:
    """What the targets of an environment change; None where a name cannot be filled in."""
    variables = environment.vars if environment else {}
    try:
        jobs = making.jobs_without_run(
            [rules.targets[name] for name in names], [location], variables
        )
    except Refused:
        return None
    things = set[Thing]()
    for job in jobs:
        things.update(
            (thing.what, thing.name) for thing in targets.kind(job.kind).writes(job.settings)
        )
    return things


def changed(records: Iterable[Record]) -> Changed:
    """Who has changed what, of those deploys that may be live. Pure."""
    by: dict[Thing, list[tuple[Resource, Record]]] = {}
    for record in records:
        if record.verdict in GOOD or record.unsure:
            for thing in record.writes:
                by.setdefault((thing.what, thing.name), []).append((thing, record))
    return by


def rival(good: Record, mine: Sequence[Resource], by: Changed) -> Record | None:
    """The deploy of another target that has changed what this one is, since its last good deploy.
    Pure.
    """
    for thing in mine:
        for theirs, other in by.get((thing.what, thing.name), ()):
            if (other.target, other.environment) == (good.target, good.environment):
                continue
            if (other.account, other.region) != (good.account, good.region):
                continue
            if thing.meets(theirs) and not _is_before(other.when, good.seen or good.when):
                return other
    return None


def writes_of(
    name: str, rules: Rules, location: Location, variables: Mapping[str, str]
) -> tuple[Resource, ...]:
    """What a target changes today. Raises Refused."""
    [job] = making.jobs_without_run([rules.targets[name]], [location], variables)
    return targets.kind(job.kind).writes(job.settings)


def _is_before(earlier: str, later: str) -> bool:
    """Whether one time is before another, both by the store's clock. What is no time is not."""
    first, second = moment(earlier), moment(later)
    return first is not None and second is not None and first < second


def moment(text: str) -> datetime | None:
    """A time of the record, or of the cloud; None for what is none: others may write there."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return when if when.tzinfo is not None else None
