"""Targets become jobs: one for each region, with the environment's variables filled in. Pure."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from toolkit import targets
from toolkit.errors import Refused, StateDamaged
from toolkit.model import Environment, Job, Place, Target, Version

_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def places(environment: Environment | None, profile: str | None, region: str | None) -> tuple[Place, ...]:
    """Where an environment's targets are deployed: each of its regions, or the one that was asked for. Raises Refused."""
    if environment is None:
        return (Place(profile=profile, region=region),)
    if region and environment.regions and region not in environment.regions:
        raise Refused(
            f"environment {environment.name} is not in {region}",
            f"it is in {', '.join(environment.regions)}; add it to rules.toml, or leave it out",
        )
    regions: tuple[str | None, ...] = (region,) if region else environment.regions or (None,)
    return tuple(
        Place(environment.name, one, environment.account, profile or environment.profile, environment.protected, environment.store)
        for one in regions
    )


def filled(settings: Any, variables: Mapping[str, str]) -> Any:
    """The settings with every `{name}` of a known variable replaced."""

    def fill(value: Any) -> Any:
        if isinstance(value, str):
            return _VARIABLE.sub(lambda found: variables.get(found[1], found[0]), value)
        if isinstance(value, dict):
            return {key: fill(one) for key, one in value.items()}
        return [fill(one) for one in value] if isinstance(value, (list, tuple)) else value

    return msgspec.convert(fill(msgspec.to_builtins(settings)), type(settings))


def known(version: Version) -> dict[str, str]:
    """The variables that every target has, whatever its environment: what is deployed."""
    return {"commit": version.commit or "", "version": version.name}


def name(target: str, place: Place, several: bool) -> str:
    """A step's name: the target's, with its region if there is more than one."""
    return f"{target}@{place.region}" if several else target


def token(run: str, step: str, fingerprint: str) -> str:
    """What AWS knows a step's calls by: letters and digits, the same for the same run, step and content."""
    return hashlib.sha256(f"{run}\0{step}\0{fingerprint}".encode()).hexdigest()[:24]


def make(
    run: str, wanted: Sequence[Target], where: Sequence[Place], variables: Mapping[str, str], versions: Mapping[str, Version],
    needs: Mapping[str, Sequence[str]], action: str, wishes: Mapping[str, Any],
) -> tuple[Job, ...]:  # fmt: skip
    """The jobs of these targets in these places. `needs` names, for each target, those of the others that it waits for, in one region."""
    several = len(where) > 1
    return tuple(
        Job(
            step=name(target.name, place, several),
            target=target.name,
            kind=target.kind,
            action=action,
            place=place,
            settings=filled(target.settings, {"region": place.region or "", **variables, **known(versions[target.name])}),
            version=versions[target.name],
            run=run,
            token=token(run, name(target.name, place, several), versions[target.name].fingerprint),
            needs=tuple(name(other, place, several) for other in needs[target.name]),
            estimate_s=target.estimate_s,
            deadline_s=target.deadline_s,
            wishes=wishes,
        )
        for place in where
        for target in wanted
    )


def imagined(wanted: Sequence[Target], where: Sequence[Place], variables: Mapping[str, str]) -> tuple[Job, ...]:
    """Jobs of no run and of no version: to ask kinds what is live of these targets, or what they may need."""
    names = [target.name for target in wanted]
    return make("", wanted, where, variables, dict.fromkeys(names, Version("", None, "")), dict.fromkeys(names, ()), "deploy", {})


def may_answer_for(job: Job, other: Job) -> bool:
    """Whether, at an address that both name, the other one's program may answer just as well: it is the same target in another region, or
    the first has no program of its own. Pure."""
    if other.target == job.target:
        return other.place.region != job.place.region
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
