"""Turns targets into jobs: one per region, with the environment's variables filled in. Pure."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.errors import Refused, StateDamaged
from toolkit.formats.variables import fill_settings
from toolkit.model import Environment, Target, Version
from toolkit.operations import DeployedState, Job, JobAction, Location, OutputSource

LONGEST_S = 10**8
"""Longer than any step takes: three years, in seconds."""


def locations(
    environment: Environment | None, profile: str | None, region: str | None
) -> tuple[Location, ...]:
    """The locations of an environment: all of its regions, or the requested one. Raises Refused."""
    if environment is None:
        return (Location(profile=profile, region=region),)
    if region and environment.regions and region not in environment.regions:
        raise Refused(
            f"environment {environment.name} is not in {region}",
            f"it is in {', '.join(environment.regions)}; add it to rules.toml, or leave it out",
        )
    regions: tuple[str | None, ...] = environment.regions or (None,)
    if region:
        regions = (region,)
    return tuple(
        Location(
            environment.name,
            name,
            environment.account,
            profile or environment.profile,
            environment.protected,
            environment.store,
        )
        for name in regions
    )


def by_location(
    chosen: Sequence[Target], locations: Sequence[Location]
) -> dict[Location, list[str]]:
    """The targets' names by location: one for each provider in each of these locations."""
    names: dict[Location, list[str]] = {}
    for location in locations:
        for target in chosen:
            names.setdefault(at_provider(location, target.kind), []).append(target.name)
    return names


def at_provider(location: Location, kind: str) -> Location:
    """The location as one of a kind's provider."""
    return replace(location, provider=targets.kind(kind).provider)


def version_variables(version: Version) -> dict[str, str]:
    """The variables of the version that is deployed, which every target has; none if it
    is unknown.
    """
    variables = {"commit": version.commit, "version": version.name}
    return {name: text for name, text in variables.items() if text}


def step_name(target: str, location: Location, among: Sequence[Location]) -> str:
    """The name of a step in a run in all these locations: the target's, with its environment and
    its region where the run has several of them: `api@staging@eu-west-1`.
    """
    environments = {other.environment for other in among}
    regions = {other.region for other in among if other.environment == location.environment}
    name = target
    if len(environments) > 1:
        name += f"@{location.environment}"
    if len(regions) > 1:
        name += f"@{location.region}"
    return name


def step_names(target: str, location: Location) -> frozenset[str]:
    """All names that a step of a target in a location may have, whatever else its run deploys."""
    environment, region = f"@{location.environment}", f"@{location.region}"
    ends = ("", environment, region, environment + region)
    return frozenset(f"{target}{end}" for end in ends)


def step_token(run: str, step: str, fingerprint: str) -> str:
    """The token by which AWS recognizes a step's calls: letters and digits, always the same for a
    run, step and content.
    """
    # AWS limits the length of such tokens, some services to 36 characters.
    return hashlib.sha256(f"{run}\0{step}\0{fingerprint}".encode()).hexdigest()[:24]


class JobRequest(Struct, frozen=True):
    """What the jobs of a run are made from."""

    run: str
    targets: Sequence[Target]
    locations: Sequence[Location]
    variables: Mapping[str, str]
    versions: Mapping[str, Version]
    action: JobAction = JobAction.DEPLOY
    options: Mapping[str, Any] = {}
    """Kind -> its options, as the command line has them."""
    restored: Mapping[str | None, Mapping[str, str]] | None = None
    """Of a rollback, what the record says of the good deploy in each region."""
    among: Sequence[Location] = ()
    """All locations of the run, where it has others besides these."""
    known: Mapping[str, Target] = {}
    """All targets that there are, for those whose outputs are used."""
    conditional: Collection[str] = ()
    """Those of `targets` that are deployed only if the outputs that they use have changed."""


def make_jobs(request: JobRequest) -> tuple[Job, ...]:
    """A job for each target in each location."""
    return tuple(
        _make_job(request, target, location)
        for location in request.locations
        for target in request.targets
    )


def _make_job(request: JobRequest, target: Target, location: Location) -> Job:
    step = step_name(target.name, location, request.among or request.locations)
    version = request.versions[target.name]
    kind = targets.kind(target.kind)
    restore = None
    if request.restored is not None:
        restore = kind.rollback(request.restored.get(location.region, {}))
    variables = {
        "region": location.region or "",
        **request.variables,
        **version_variables(version),
    }
    return Job(
        step=step,
        target=target.name,
        kind=target.kind,
        action=request.action,
        location=at_provider(location, target.kind),
        settings=own_settings(target, request.known, variables),
        version=version,
        run=request.run,
        token=step_token(request.run, step, version.fingerprint),
        estimate_s=target.estimate_s,
        deadline_s=target.deadline_s,
        options=request.options.get(target.kind) or kind.Options(),
        restore=restore,
        consumed=consumed_sources(target, request.known, variables),
        conditional=target.name in request.conditional,
    )


def own_settings(target: Target, known: Mapping[str, Target], variables: Mapping[str, str]) -> Any:
    """The settings of a target with the variables filled in. One that stands for several things
    leaves to the other known targets of its kind what these deploy. Raises Refused.
    """
    kind = targets.kind(target.kind)
    settings = fill_settings(target.settings, variables)
    if not kind.has_parts(settings):
        return settings
    earlier: list[Any] = []
    later: list[Any] = []
    beside = earlier
    for other in known.values():
        if other.name == target.name:
            beside = later
        elif isinstance(other.settings, kind.Settings):
            beside.append(fill_settings(other.settings, variables))
    return kind.without_others(settings, earlier, later)


def part_job(whole: Job, name: str) -> Job:
    """The job of one part of a target. Raises Refused for a name that none can have."""
    settings = targets.kind(whole.kind).part(whole.settings, name)
    if settings is None:
        raise Refused(f"{whole.target} has no part {name!r}", "correct its settings in rules.toml")
    step = f"{whole.target}:{name}{whole.step.removeprefix(whole.target)}"
    recorded = whole.recorded
    if recorded is not None:  # of the content of all parts, none has to know
        recorded = replace(recorded, deployed=DeployedState(), detail={}, earlier=(), later=())
    return replace(
        whole,
        recorded=recorded,
        step=step,
        part=name,
        settings=settings,
        token=step_token(whole.run, step, whole.version.fingerprint),
    )


def consumed_sources(
    target: Target, known: Mapping[str, Target], variables: Mapping[str, str]
) -> tuple[OutputSource, ...]:
    """Those of the known targets whose outputs a target uses, with the variables filled in. Raises
    Refused.
    """
    sources: list[OutputSource] = []
    for name in targets.kind(target.kind).consumes(target.settings):
        source = known.get(name)
        if source is not None:
            settings = fill_settings(source.settings, variables)
            sources.append(OutputSource(name, source.kind, settings))
    return tuple(sources)


def outdated_outputs(job: Job, are_current: bool | None) -> str:
    """Why a job is due for the outputs of others, by whether its target uses them as they are now;
    empty if it does. What nobody can tell (None) is due, and said to be unknown.
    """
    sources = ", ".join(source.target for source in job.consumed)
    if are_current is None:
        return f"whether outputs of {sources} that it uses have changed is unknown"
    return "" if are_current else f"outputs of {sources} that it uses have changed"


def jobs_without_run(
    targets: Sequence[Target],
    locations: Sequence[Location],
    variables: Mapping[str, str],
    known: Mapping[str, Target] | None = None,
) -> tuple[Job, ...]:
    """Jobs without a run or a version: to ask kinds what is live, or which permissions
    they need. `known` are all targets, where outputs of others count.
    """
    versions = {target.name: Version("", None, "") for target in targets}
    return make_jobs(JobRequest("", targets, locations, variables, versions, known=known or {}))


def may_answer_for(job: Job, neighbour: Job) -> bool:
    """Whether `neighbour` may be what answers at an address that both jobs name: the same target in
    another region, or a target with a program where this one has none. Pure.
    """
    if neighbour.target == job.target:
        return neighbour.location.region != job.location.region
    return targets.kind(neighbour.kind).program and not targets.kind(job.kind).program


def pack(job: Job) -> dict[str, Any]:
    """A job as the journal keeps it."""
    packed: dict[str, Any] = msgspec.to_builtins(job)
    # As earlier versions wrote it: what the command line says, and what is put back, in one.
    packed["wishes"] |= packed.pop("restore") or {}
    return packed


def unpack(packed: Any, path: str) -> Job:
    """A job from a journal, with the structs of its kind. Raises StateDamaged."""
    from toolkit.targets.options import names_in_journals  # `diff` reads no journal

    try:
        job = msgspec.convert(packed, Job)
        kind = targets.kind(job.kind)
        settings = msgspec.convert(job.settings, kind.Settings)
        wishes = msgspec.convert(job.options, dict[str, Any])
        options = _unpack_fields(wishes, kind.Options)
        restore = None
        if job.action == JobAction.ROLLBACK and kind.Restore is not None:
            restore = _unpack_fields(wishes, kind.Restore)
        if not (0 <= job.estimate_s <= LONGEST_S and 0 <= job.deadline_s <= LONGEST_S):
            raise msgspec.ValidationError("its times make no sense")
        unknown = wishes.keys() - kind.Options.__struct_fields__
        if unknown and (unknown := unknown - names_in_journals()):
            raise msgspec.ValidationError(f"no kind has the option {min(unknown)!r}")
        consumed = tuple(
            replace(
                source,
                settings=msgspec.convert(source.settings, targets.kind(source.kind).Settings),
            )
            for source in job.consumed
        )
        return replace(job, settings=settings, options=options, restore=restore, consumed=consumed)
    except (msgspec.ValidationError, KeyError) as problem:
        raise StateDamaged(path=path, reason=f"a step in it cannot be read: {problem}") from None


def _unpack_fields(wishes: Mapping[str, Any], struct: Any) -> Any:
    """The fields of a struct. Earlier versions wrote the options of all kinds into each step."""
    return msgspec.convert(
        {name: wishes[name] for name in struct.__struct_fields__ if name in wishes}, struct
    )
