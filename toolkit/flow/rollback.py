"""`rollback`: which versions of a target were good, and the order that puts one of them back."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from toolkit import targets as kinds
from toolkit.errors import Refused, ToolkitError, UsageError
from toolkit.flow.deploy import DeployRequest, known
from toolkit.flow.previous import newest, previous, runs, wishes
from toolkit.flow.rulebook import environment
from toolkit.flow.stores import store_for
from toolkit.flow.trusted import load_trusted
from toolkit.model import GOOD, Job, LiveVersion, Rules
from toolkit.ports.git import Git
from toolkit.ports.ports import Ports
from toolkit.record.ledger import Record
from toolkit.record.locks import ROLLBACK, Holder, lock_name, open_locks
from toolkit.run.jobs import jobs_without_run, locations
from toolkit.targets.base import Kind


class Candidate(Struct, frozen=True):
    """A version that was good everywhere where it is to be put back, with its newest good deploy in
    each region, and where it runs.

    `gone`: what it needs is not there any more, such as its image; None where nobody could tell, or
    has asked. One that is `older` is a deploy of that version before the newest: it may have run in
    another way, and is put back where somebody names its run.
    """

    each: Mapping[str | None, Record]
    runs_in: tuple[str | None, ...] = ()
    gone: bool | None = None
    older: bool = False

    @property
    def live(self) -> bool:
        """Whether it runs everywhere."""
        return len(self.runs_in) == len(self.each)

    @property
    def record(self) -> Record:
        """Its deploy in the first region."""
        return next(iter(self.each.values()))


class RollbackChoice(Struct, frozen=True):
    """The versions that can be put back, newest first by the order of the record, which no clock
    can upset.

    `back` says why what runs is the last good version already, empty if it is not.
    """

    target: str
    found: tuple[Candidate, ...]
    back: str = ""


def candidates(order: DeployRequest, git: Git | None, ports: Ports, look: bool) -> list[Candidate]:
    """The good versions of the order's one target, newest first; with `look`, the cloud is asked
    which of them run. Raises ToolkitError.
    """
    return list(choices(order, git, ports, look).found)


def choices(
    order: DeployRequest, git: Git | None, ports: Ports, look: bool = True, busy: bool = False
) -> RollbackChoice:
    """The same with what there is to say of them. `busy`: a run that will be undone is at work;
    what it found running is gone back to.

    Raises ToolkitError.
    """
    rules, jobs = _jobs(order, git)
    [target] = order.targets
    kind = kinds.kind(rules.targets[target].kind)
    every = {job.location.region: previous(job, rules, ports) for job in jobs}
    found = {region: _good(records) for region, records in every.items()}
    live = {
        job.location.region: None
        if busy or not look
        else _live(job, ports, found[job.location.region])
        for job in jobs
    }
    gone = {
        job.location.region: _gone(job, kind, found[job.location.region], ports) for job in jobs
    }
    first, *rest = found.values()
    made: list[Candidate] = []
    for key in first:
        if all(key[0] in {version for version, _ in other} for other in rest):
            each = {region: _of(key, records) for region, records in found.items()}
            runs_in = tuple(region for region, record in each.items() if live[region] is record)
            words = [gone[region].get(_key(record)) for region, record in each.items()]
            made.append(
                Candidate(
                    each, runs_in, True if True in words else None if None in words else False
                )
            )
    back = _back(jobs, rules, ports, made) if look and not busy else ""
    return RollbackChoice(target, (*made, *_older(every, made)), back)


def _jobs(order: DeployRequest, git: Git | None) -> tuple[Rules, tuple[Job, ...]]:
    """The order's one target in each of its places. Raises Refused where it cannot be rolled
    back.
    """
    rules = load_trusted(order.folder, order.rules, git, order.allowed)
    name = environment(order.environment, rules)
    [target] = order.targets
    known(target, rules)
    reason = kinds.kind(rules.targets[target].kind).irreversible(rules.targets[target].settings)
    if reason:
        raise Refused(f"{target} cannot be rolled back: {reason[0]}", reason[1])
    there = rules.environments.get(name) if name else None
    return rules, jobs_without_run(
        [rules.targets[target]],
        locations(there, order.profile, order.region),
        there.vars if there else {},
    )


def at_work(order: DeployRequest, git: Git | None, ports: Ports) -> Holder | None:
    """The run that deploys the order's target right now, None if nobody does. Raises
    ToolkitError.
    """
    rules, jobs = _jobs(order, git)
    store = store_for(rules, ports, jobs[0].location.profile)
    names = {lock_name(job.location, job.target) for job in jobs}
    for name, by, _ in open_locks(store, jobs[0].location, ports).show():
        if (
            name in names
            and by is not None
            and not by.problem
            and not by.ended
            and by.action != ROLLBACK
        ):
            return by
    return None


def _back(jobs: Sequence[Job], rules: Rules, ports: Ports, found: Sequence[Candidate]) -> str:
    """Why what runs is the last good version already: the newest deploy was no good one and gave
    way to it, or has put it back.
    """
    if not found or not found[0].live:
        return ""
    version = _short(found[0].record)
    for job in jobs:
        last = newest(job, rules, ports)
        if last is not None and last.verdict not in GOOD:
            what = (
                _short(last)
                if last.version and last.version != found[0].record.version
                else "what it put there"
            )
            return (
                f"{job.target} runs {version}, the last good version: run {last.run} has ended as"
                f" {last.verdict}, and {what} is not live"
            )
        if last is not None and last.is_rollback:
            return f"{job.target} runs {version}, which run {last.run} has put back"
    return ""


def _short(record: Record) -> str:
    commit = record.commit or ""
    return record.version.replace(commit, commit[:12]) if commit else record.version


def _gone(
    job: Job, kind: Kind, good: Mapping["Key", Record], ports: Ports
) -> Mapping["Key", bool | None]:
    """Of each version whether what it needs is gone."""
    try:
        there = kind.restorable(job, [record.detail for record in good.values()], ports)
    except ToolkitError:
        return {}
    return {key: None if kept is None else not kept for key, kept in zip(good, there, strict=True)}


def _older(
    every: Mapping[str | None, Sequence[Record]], newest: Sequence[Candidate]
) -> list[Candidate]:
    """The good deploys that a newer one of the same version hides, run by run."""
    shown = {record.run for one in newest for record in one.each.values()}
    by_run: dict[str, dict[str | None, Record]] = {}
    for region, records in every.items():
        for record in records:
            if record.run not in shown:
                by_run.setdefault(record.run, {})[region] = record
    return [Candidate(each, older=True) for each in by_run.values() if len(each) == len(every)]


Key = tuple[str, str]
"""A version and its image: a tag may have meant several."""


def _good(records: Sequence[Record]) -> dict[Key, Record]:
    """The newest good deploy of each version in one place, newest first."""
    found: dict[Key, Record] = {}
    for record in records:
        found.setdefault(_key(record), record)
    return found


def _key(record: Record) -> Key:
    return record.version, record.detail.get("digest", "")


def _of(key: Key, records: Mapping[Key, Record]) -> Record:
    """The version's deploy in a region: with the same image, else the newest of that name, for
    images may differ by region.
    """
    return records.get(key) or next(
        record for (version, _), record in records.items() if version == key[0]
    )


def _live(job: Job, ports: Ports, good: Mapping[Key, Record]) -> Record | None:
    """The good deploy that runs, as the cloud says; where it does not say, the newest one. None if
    what runs is none of them, or is being replaced: the end of that is what brings it back.
    """
    try:
        live: LiveVersion | None = kinds.kind(job.kind).live(job, ports)
    except ToolkitError:
        return next(iter(good.values()), None)
    if live is not None and live.moving:
        return None
    return next((record for record in good.values() if runs(record, live)), None)


def pick(
    found: Sequence[Candidate], wanted: str | None, back: str = "", target: str = "TARGET"
) -> Candidate:
    """The version that was asked for, else the one that runs in some regions only, else the newest
    one that runs in none.

    What cannot be put back any more is skipped. Where what runs is the last good one already
    (`back` says why), nobody is taken further back without having said so. Raises Refused,
    UsageError.
    """
    if wanted is not None:
        return _named(found, wanted)
    found = [one for one in found if not one.older]
    partly = [one for one in found if one.runs_in and not one.live]
    if len(partly) > 1:
        run = ", ".join(f"{one.record.version[:12]} in {one.runs_in[0]}" for one in partly)
        raise Refused(
            f"the regions run different versions ({run})",
            "name the version with --to, or one region with --region",
        )
    if partly:
        return partly[0]
    others = [one for one in found if not one.live]
    if not others:
        raise Refused(
            "no other good deploy is recorded",
            "deploy what is wanted: toolkit deploy-app --no-build --image TAG",
        )
    kept = [one for one in others if not one.gone]
    if back:
        further = (
            f"toolkit rollback {target} --to {kept[0].record.run}"
            if kept
            else f"toolkit rollback {target} --list"
        )
        raise Refused(back, f"to go further back, say to which version: {further}")
    if not kept:
        raise Refused(
            "the images of all other good versions are gone",
            f"see them: toolkit rollback {target} --list",
        )
    return kept[0]


def _named(found: Sequence[Candidate], wanted: str) -> Candidate:
    by_run = [one for one in found if wanted in {record.run for record in one.each.values()}]
    versions = [one for one in found if not one.older]
    exact = by_run or [one for one in versions if wanted == one.record.version]
    close = exact or [one for one in versions if one.record.version.startswith(wanted)]
    if len({one.record.version for one in close}) > 1:
        raise UsageError(
            f"{wanted!r} is the beginning of several versions",
            f"name a run: {', '.join(one.record.run for one in close[:4])}",
        )
    if not close:
        raise Refused(
            f"no good deploy of {wanted!r} is recorded",
            "see them with: toolkit rollback TARGET --list",
        )
    return close[0]


def orders(chosen: Candidate) -> dict[str, Any]:
    """What an order has to say so that this version is put back, in each region as it was there."""
    return {
        "wishes": wishes(chosen.record),
        "each": {region: wishes(record) for region, record in chosen.each.items()},
    }
