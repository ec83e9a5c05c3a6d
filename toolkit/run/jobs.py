"""Targets become jobs: one for each region, with the environment's variables filled in. Pure."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from toolkit import targets
from toolkit.errors import Refused, StateDamaged
from toolkit.model import Environment, Job, Location, Target, Version

_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def locations(
    environment: Environment | None, profile: str | None, region: str | None
) -> tuple[Location, ...]:
    """Where an environment's targets are deployed: each of its regions, or the one that was asked
    for. Raises Refused.
    """
    if environment is None:
        return (Location(profile=profile, region=region),)
    if region and environment.regions and region not in environment.regions:
        raise Refused(
            f"environment {environment.name} is not in {region}",
            f"it is in {', '.join(environment.regions)}; add it to rules.toml, or leave it out",
        )
    regions: tuple[str | None, ...] = (region,) if region else environment.regions or (None,)
    return tuple(
        Location(
            environment.name,
            one,
            environment.account,
            profile or environment.profile,
            environment.protected,
            environment.store,
        )
        for one in regions
    )


def fill(text: str, variables: Mapping[str, str]) -> str:
    """A text with every `{name}` of a known variable replaced."""
    return _VARIABLE.sub(lambda found: variables.get(found[1], found[0]), text)


def filled(settings: Any, variables: Mapping[str, str]) -> Any:
    """The settings with every `{name}` of a known variable replaced. Raises Refused where a name is
    none then.
    """

    def within(value: Any) -> Any:
        if isinstance(value, str):
            return fill(value, variables)
        if isinstance(value, dict):
            return {key: within(inside) for key, inside in value.items()}
        return [within(inside) for inside in value] if isinstance(value, (list, tuple)) else value

    try:
        return msgspec.convert(within(msgspec.to_builtins(settings)), type(settings))
    except msgspec.ValidationError as problem:
        used = set(_VARIABLE.findall(repr(settings)))
        empty = sorted(name for name in used & variables.keys() if not variables[name].strip())
        what = (
            f"`{{{empty[0]}}}` is empty, and a name needs it"
            if empty
            else f"a setting is not valid: {problem}"
        )
        raise Refused(
            f"{what}, once the variables are filled in",
            "fill it in in rules.toml, under `vars` of the environment",
        ) from None


def known(version: Version) -> dict[str, str]:
    """The variables that every target has, whatever its environment: what is deployed; none where
    that is not known.
    """
    return {
        name: value
        for name, value in (("commit", version.commit), ("version", version.name))
        if value
    }


def name(target: str, location: Location, several: bool) -> str:
    """A step's name: the target's, with its region if there is more than one."""
    return f"{target}@{location.region}" if several else target


def token(run: str, step: str, fingerprint: str) -> str:
    """What AWS knows a step's calls by: letters and digits, the same for the same run, step and
    content.
    """
    return hashlib.sha256(f"{run}\0{step}\0{fingerprint}".encode()).hexdigest()[:24]


def make(
    run: str,
    wanted: Sequence[Target],
    where: Sequence[Location],
    variables: Mapping[str, str],
    versions: Mapping[str, Version],
    needs: Mapping[str, Sequence[str]],
    action: str,
    wishes: Mapping[str, Any],
) -> tuple[Job, ...]:
    """The jobs of these targets in these places. `needs` names, for each target, those of the
    others that it waits for, in one region.
    """
    several = len(where) > 1
    return tuple(
        Job(
            step=name(target.name, location, several),
            target=target.name,
            kind=target.kind,
            action=action,
            location=_of_provider(location, target),
            settings=filled(
                target.settings,
                {"region": location.region or "", **variables, **known(versions[target.name])},
            ),
            version=versions[target.name],
            run=run,
            token=token(
                run, name(target.name, location, several), versions[target.name].fingerprint
            ),
            needs=tuple(name(other, location, several) for other in needs[target.name]),
            estimate_s=target.estimate_s,
            deadline_s=target.deadline_s,
            wishes=wishes,
        )
        for location in where
        for target in wanted
    )


def _of_provider(location: Location, target: Target) -> Location:
    """The location as the target's provider has it."""
    provider = targets.kind(target.kind).provider
    return location if provider == location.provider else replace(location, provider=provider)


def imagined(
    wanted: Sequence[Target], where: Sequence[Location], variables: Mapping[str, str]
) -> tuple[Job, ...]:
    """Jobs of no run and of no version: to ask kinds what is live of these targets, or what they
    may need.
    """
    names = [target.name for target in wanted]
    return make(
        "",
        wanted,
        where,
        variables,
        dict.fromkeys(names, Version("", None, "")),
        dict.fromkeys(names, ()),
        "deploy",
        {},
    )


def may_answer_for(job: Job, other: Job) -> bool:
    """Whether, at an address that both name, the other one's program may answer just as well: it is
    the same target in another region, or the first has no program of its own. Pure.
    """
    if other.target == job.target:
        return other.location.region != job.location.region
    return targets.kind(other.kind).program and not targets.kind(job.kind).program


def pack(job: Job) -> dict[str, Any]:
    """A job as the journal keeps it."""
    packed: dict[str, Any] = msgspec.to_builtins(job)
    return packed


def unpack(packed: Any, path: str) -> Job:
    """A job from a journal, with its settings as its kind's struct. Raises StateDamaged."""
    try:
        job = msgspec.convert(packed, Job)
        return replace(job, settings=msgspec.convert(job.settings, targets.kind(job.kind).Settings))
    except (msgspec.ValidationError, KeyError) as problem:
        raise StateDamaged(path=path, reason=f"a step in it cannot be read: {problem}") from None
