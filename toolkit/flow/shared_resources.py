"""Resources that several targets or environments write: who else has changed one."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.advice import NextCommand
from toolkit.errors import Refused, ToolkitError
from toolkit.flow.rulebook import deploy_command, find_environment, variables_of
from toolkit.model import Environment, Resource, Rules
from toolkit.operations import GOOD, Job, Location, Preview
from toolkit.ports.ports import Ports
from toolkit.record.ledger import Record, open_ledger
from toolkit.record.state import Store
from toolkit.run import jobs as run_jobs

ResourceId = tuple[str, str]
"""The type of a resource ("stack"), and its name."""
Writers = Mapping[ResourceId, Sequence[tuple[Resource, Record]]]
"""The deploys that have changed a resource, or a part of it."""


class OtherEnvironments(Struct, frozen=True):
    """What other environments have recorded. `unread`: what they share with this one, where that
    cannot be read, with the reason.
    """

    records: tuple[Record, ...] = ()
    unread: Mapping[ResourceId, str] = {}


def other_environments(
    location: Location, rules: Rules, names: Sequence[str], store: Store, ports: Ports
) -> OtherEnvironments:
    """What is recorded in other environments whose targets write the same resources as these.

    Only those are read: an environment mostly has resources of its own. Raises Refused.
    """
    if location.account is None:
        return OtherEnvironments()
    others = [
        environment
        for name, environment in rules.environments.items()
        if name != location.environment and environment.account == location.account
    ]
    if not others:
        return OtherEnvironments()
    mine = _resources(rules, names, location, find_environment(location.environment, rules))
    records: list[Record] = []
    unread: dict[ResourceId, str] = {}
    for environment in others:
        for place in run_jobs.locations(environment, location.profile, None):
            place = replace(place, provider=location.provider)
            if place.region not in (None, location.region):
                continue
            theirs = _resources(rules, names, place, environment)
            if mine is None or theirs is None:
                shared = mine or theirs or set()  # all that is known may be shared
            else:
                shared = mine & theirs
                if not shared:
                    continue
            try:
                for entries in open_ledger(store, place, ports).all().records.values():
                    records += entries
            except ToolkitError as problem:
                why = f"the deploys of environment {place.environment} cannot be read: {problem}"
                unread |= dict.fromkeys(shared, why)
    return OtherEnvironments(tuple(records), unread)


def _resources(
    rules: Rules, names: Sequence[str], location: Location, environment: Environment | None
) -> set[ResourceId] | None:
    """What the targets of an environment write; None where a name cannot be filled in."""
    variables = variables_of(environment)
    try:
        jobs = run_jobs.jobs_without_run(
            [rules.targets[name] for name in names], [location], variables
        )
    except Refused:
        return None
    resources = set[ResourceId]()
    for job in jobs:
        for resource in targets.kind(job.kind).writes(job.settings):
            resources.add((resource.what, resource.name))
    return resources


def writers_by_resource(records: Iterable[Record]) -> Writers:
    """The deploys that may be live, by the resources that they have changed. Pure."""
    writers: dict[ResourceId, list[tuple[Resource, Record]]] = {}
    for record in records:
        if record.verdict in GOOD or record.unsure:
            for resource in record.writes:
                key = (resource.what, resource.name)
                writers.setdefault(key, []).append((resource, record))
    return writers


def rival_deploy(good: Record, writes: Sequence[Resource], writers: Writers) -> Record | None:
    """The deploy of another target that has changed what this one writes, since its last good
    deploy. Pure.
    """
    for resource in writes:
        for theirs, record in writers.get((resource.what, resource.name), ()):
            if (record.target, record.environment) == (good.target, good.environment):
                continue
            if (record.account, record.region) != (good.account, good.region):
                continue
            if resource.meets(theirs) and not _is_before(record.when, good.seen or good.when):
                return record
    return None


def writes_of(
    name: str, rules: Rules, location: Location, variables: Mapping[str, str]
) -> tuple[Resource, ...]:
    """What a target writes under today's rules. Raises Refused."""
    [job] = run_jobs.jobs_without_run([rules.targets[name]], [location], variables)
    return targets.kind(job.kind).writes(job.settings)


def with_redeploys(
    previews: Mapping[str, Preview], jobs: Sequence[Job], rules: Rules
) -> dict[str, Preview]:
    """The previews, with the commands that deploy again what a step takes out of other targets,
    where no later step of the run does so. Raises Refused.
    """
    completed = dict(previews)
    for job in jobs:
        preview = previews.get(job.step)
        if preview is None or not preview.displaces:
            continue
        later = {other.target for other in jobs if job.step in other.needs}
        commands: list[NextCommand] = []
        for target in rules.targets.values():
            command = deploy_command(target)
            if target.members or target.name in (job.target, *later) or command is None:
                continue
            environment = find_environment(job.location.environment, rules)
            writes = writes_of(target.name, rules, job.location, variables_of(environment))
            if any(mine.meets(theirs) for mine in preview.displaces for theirs in writes):
                commands.append(command)
        completed[job.step] = replace(preview, redeploys=tuple(commands))
    return completed


def _is_before(earlier: str, later: str) -> bool:
    """Whether one time is before another, both by the store's clock; an invalid time is not."""
    first, second = parse_time(earlier), parse_time(later)
    return first is not None and second is not None and first < second


def parse_time(text: str) -> datetime | None:
    """A time of the record, or of the cloud; None if it is invalid: others may write there."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return when if when.tzinfo is not None else None
