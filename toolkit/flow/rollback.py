"""`rollback`: which versions of a target were good, and the order that puts one of them back."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from toolkit import targets as kinds
from toolkit.errors import Refused, ToolkitError, UsageError
from toolkit.flow.deploy import Order, known
from toolkit.flow.previous import previous, runs, wishes
from toolkit.flow.rulebook import environment
from toolkit.flow.trusted import load_trusted
from toolkit.model import Job, Live
from toolkit.ports.git import Git
from toolkit.ports.world import World
from toolkit.record.ledger import Record
from toolkit.run.jobs import imagined, places


class Candidate(Struct, frozen=True):
    """A version that was good everywhere where it is to be put back, with its newest good deploy in each region, and where it runs."""

    each: Mapping[str | None, Record]
    runs_in: tuple[str | None, ...] = ()

    @property
    def live(self) -> bool:
        """Whether it runs everywhere."""
        return len(self.runs_in) == len(self.each)

    @property
    def record(self) -> Record:
        """The newest of its deploys."""
        return max(self.each.values(), key=lambda record: record.when)


def candidates(order: Order, git: Git | None, world: World, look: bool) -> list[Candidate]:
    """The good versions of the order's one target, newest first; with `look`, the cloud is asked which of them run. Raises ToolkitError."""
    rules = load_trusted(order.folder, order.rules, git, order.allowed)
    name = environment(order.environment, rules)
    [target] = order.targets
    known(target, rules)
    reason = kinds.kind(rules.targets[target].kind).irreversible(rules.targets[target].settings)
    if reason:
        raise Refused(f"{target} cannot be rolled back: {reason[0]}", reason[1])
    there = rules.environments.get(name) if name else None
    jobs = imagined([rules.targets[target]], places(there, order.profile, order.region), there.vars if there else {})
    found = {job.place.region: _good(previous(job, rules, world)) for job in jobs}
    live = {job.place.region: _live(job, world, found[job.place.region]) if look else None for job in jobs}
    first, *rest = found.values()
    made: list[Candidate] = []
    for key in first:
        if all(key[0] in {version for version, _ in other} for other in rest):
            each = {region: _of(key, records) for region, records in found.items()}
            made.append(Candidate(each, tuple(region for region, record in each.items() if live[region] is record)))
    return sorted(made, key=lambda one: one.record.when, reverse=True)


Key = tuple[str, str]
"""A version and its image: a tag may have meant several."""


def _good(records: Sequence[Record]) -> dict[Key, Record]:
    """The newest good deploy of each version in one place, newest first."""
    found: dict[Key, Record] = {}
    for record in records:
        found.setdefault((record.version, record.detail.get("digest", "")), record)
    return found


def _of(key: Key, records: Mapping[Key, Record]) -> Record:
    """The version's deploy in a region: with the same image, else the newest of that name, for images may differ by region."""
    return records.get(key) or next(record for (version, _), record in records.items() if version == key[0])


def _live(job: Job, world: World, good: Mapping[Key, Record]) -> Record | None:
    """The good deploy that runs, as the cloud says; where it does not say, the newest one. None if what runs is none of them."""
    try:
        live: Live | None = kinds.kind(job.kind).live(job, world)
    except ToolkitError:
        return next(iter(good.values()), None)
    return next((record for record in good.values() if runs(record, live)), None)


def pick(found: Sequence[Candidate], wanted: str | None) -> Candidate:
    """The version that was asked for, else the one that runs in some regions only, else the newest one that runs in none.

    Raises Refused, UsageError.
    """
    if wanted is not None:
        return _named(found, wanted)
    partly = [one for one in found if one.runs_in and not one.live]
    if len(partly) > 1:
        run = ", ".join(f"{one.record.version[:12]} in {one.runs_in[0]}" for one in partly)
        raise Refused(f"the regions run different versions ({run})", "name the version with --to, or one region with --region")
    if partly:
        return partly[0]
    others = [one for one in found if not one.live]
    if not others:
        raise Refused("no other good deploy is recorded", "deploy what is wanted: toolkit deploy-app --no-build --image TAG")
    return others[0]


def _named(found: Sequence[Candidate], wanted: str) -> Candidate:
    exact = [one for one in found if wanted == one.record.version or wanted in {record.run for record in one.each.values()}]
    close = exact or [one for one in found if one.record.version.startswith(wanted)]
    if len({one.record.version for one in close}) > 1:
        raise UsageError(
            f"{wanted!r} is the beginning of several versions", f"name a run: {', '.join(one.record.run for one in close[:4])}"
        )
    if not close:
        raise Refused(f"no good deploy of {wanted!r} is recorded", "see them with: toolkit rollback TARGET --list")
    return close[0]


def orders(chosen: Candidate) -> dict[str, Any]:
    """What an order has to say so that this version is put back, in each region as it was there."""
    return {"wishes": wishes(chosen.record), "each": {region: wishes(record) for region, record in chosen.each.items()}}
