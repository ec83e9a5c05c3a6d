"""`rollback`: which versions of a target were good, and the request that puts one of them back."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from toolkit import targets as kinds
from toolkit.advice import NextCommand
from toolkit.errors import Refused, ToolkitError, UsageError
from toolkit.flow.good_deploys import good_deploys, is_running, newest_deploy
from toolkit.flow.rulebook import (
    find_environment,
    variables_of,
)
from toolkit.flow.selection import DeployRequest, environments_of, require_target
from toolkit.flow.stores import store_for
from toolkit.flow.trusted import load_trusted
from toolkit.model import Rules, Version, named_image
from toolkit.operations import GOOD, Job, JobAction, LiveVersion
from toolkit.ports.git import Git
from toolkit.ports.ports import Ports
from toolkit.record.ledger import Record
from toolkit.record.locks import Holder, lock_name, open_locks
from toolkit.run.jobs import jobs_without_run, locations
from toolkit.targets.base import Kind

Key = tuple[str, str]
"""A version and its image: a tag may have meant several."""


class Candidate(Struct, frozen=True):
    """A version that was good in every region where it is to be put back, with its newest good
    deploy in each region, and where it is live.

    `gone`: what it needs does not exist any more, such as its image; None where that is unknown, or
    was not asked. One that is `older` is a deploy of that version before the newest: it may have
    run in another way, and is put back only by the name of its run.
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

    `needs` is what has to be there still for them, in a word: `image`. `back` says why what is live
    is the last good version already, empty if it is not; `taken_out` are the runs whose deploys the
    rollback to it has taken out. `deploy` is the command for what is in no record.
    """

    target: str
    candidates: tuple[Candidate, ...]
    needs: str
    back: str
    taken_out: frozenset[str]
    deploy: NextCommand


def rollback_choice(
    request: DeployRequest, git: Git | None, ports: Ports, look: bool = True, busy: bool = False
) -> RollbackChoice:
    """The good versions of the request's one target, and whether the last one is live already.
    `busy`: a run that will be undone is running; the rollback goes to what was live before it.

    Raises ToolkitError.
    """
    rules, jobs = _jobs(request, git)
    [target] = request.targets
    kind = kinds.kind(rules.targets[target].kind)
    records: dict[str | None, Sequence[Record]] = {}
    good: dict[str | None, Mapping[Key, Record]] = {}
    live: dict[str | None, Record | None] = {}
    gone: dict[str | None, Mapping[Key, bool | None]] = {}
    for job in jobs:
        region = job.location.region
        records[region] = good_deploys(job, rules, ports)
        good[region] = _by_version(records[region], kind)
        live[region] = _live(job, kind, ports, good[region]) if look and not busy else None
        gone[region] = _gone(job, kind, good[region], ports)
    first, *rest = good.values()
    newest: list[Candidate] = []
    for key in first:
        if not all(_has_version(key, others) for others in rest):
            continue
        each = {region: _deploy_of(key, by_version) for region, by_version in good.items()}
        is_live = tuple(region for region, record in each.items() if live[region] is record)
        missing = [gone[region].get(_key(record, kind)) for region, record in each.items()]
        newest.append(Candidate(each, is_live, _any_gone(missing)))
    back = _already_back(jobs, rules, ports, newest) if look and not busy else ""
    deploy = NextCommand("deploy", (target,))
    candidates = (*newest, *_older(records, newest))
    taken_out = frozenset[str]()
    if back:
        for deploys in records.values():
            taken_out |= _taken_out(deploys, _key(newest[0].record, kind), kind)
    return RollbackChoice(target, candidates, kind.put_back, back, taken_out, deploy)


def _taken_out(deploys: Sequence[Record], live: Key, kind: Kind) -> frozenset[str]:
    """The runs of the good deploys, newest first, that came after the one that first put there what
    is live now, and so are what a rollback to it has taken out.
    """
    newer: list[str] = []
    for record in deploys:
        is_live = _key(record, kind) == live
        if is_live and not record.is_rollback:
            return frozenset(newer)
        if not is_live:
            newer.append(record.run)
    return frozenset()


def _any_gone(missing: Sequence[bool | None]) -> bool | None:
    """Whether anything is gone in any region; None where that is not known of all."""
    for answer in (True, None):
        if answer in missing:
            return answer
    return False


def require_reversible(target: str, rules: Rules) -> None:
    """Raises Refused where a target cannot be rolled back, UsageError where there is none of that
    name.
    """
    require_target(target, rules)
    settings = rules.targets[target].settings
    reason = kinds.kind(rules.targets[target].kind).irreversible(settings)
    if reason:
        raise Refused(f"{target} cannot be rolled back: {reason[0]}", reason[1])


def _jobs(request: DeployRequest, git: Git | None) -> tuple[Rules, tuple[Job, ...]]:
    """The request's one target in each of its locations. Raises Refused where it cannot be rolled
    back.
    """
    rules = load_trusted(request.folder, request.rules, git, request.allowed)
    [name] = environments_of(request, rules)
    [target] = request.targets
    require_reversible(target, rules)
    environment = find_environment(name, rules)
    return rules, jobs_without_run(
        [rules.targets[target]],
        locations(environment, request.profile, request.region),
        variables_of(environment),
    )


def deploying_run(request: DeployRequest, git: Git | None, ports: Ports) -> Holder | None:
    """The run that deploys the request's target right now, None if there is none. Raises
    ToolkitError.
    """
    rules, jobs = _jobs(request, git)
    store = store_for(rules, ports, jobs[0].location.profile)
    names = {lock_name(job.location, job.target) for job in jobs}
    for name, holder, _ in open_locks(store, jobs[0].location, ports).show():
        if name not in names or holder is None or holder.problem or holder.ended:
            continue
        if holder.action != JobAction.ROLLBACK:
            return holder
    return None


def _already_back(
    jobs: Sequence[Job], rules: Rules, ports: Ports, newest: Sequence[Candidate]
) -> str:
    """Why what is live is the last good version already: the newest deploy was not good and was
    rolled back to it, or has restored it. Empty if it is not.
    """
    if not newest or not newest[0].live:
        return ""
    good = newest[0].record
    for job in jobs:
        last = newest_deploy(job, rules, ports)
        if last is None:
            continue
        if last.verdict not in GOOD:
            what = "what it put there"
            if last.version and last.version != good.version:
                what = _short(last)
            return (
                f"{job.target} runs {_short(good)}, the last good version: run {last.run} has"
                f" ended as {last.verdict}, and {what} is not live"
            )
        if last.is_rollback:
            return f"{job.target} runs {_short(good)}, which run {last.run} has restored"
    return ""


def _short(record: Record) -> str:
    commit = record.commit or ""
    return record.version.replace(commit, commit[:12]) if commit else record.version


def _gone(
    job: Job, kind: Kind, good: Mapping["Key", Record], ports: Ports
) -> Mapping["Key", bool | None]:
    """Of each version whether what it needs is gone."""
    try:
        existing = kind.restorable(job, [record.detail for record in good.values()], ports)
    except ToolkitError:
        return {}
    return {
        key: None if exists is None else not exists
        for key, exists in zip(good, existing, strict=True)
    }


def _older(
    records: Mapping[str | None, Sequence[Record]], newest: Sequence[Candidate]
) -> list[Candidate]:
    """The good deploys that a newer one of the same version hides, run by run."""
    shown = set[str]()
    for candidate in newest:
        shown |= {record.run for record in candidate.each.values()}
    by_run: dict[str, dict[str | None, Record]] = {}
    for region, deploys in records.items():
        for record in deploys:
            if record.run not in shown:
                by_run.setdefault(record.run, {})[region] = record
    return [Candidate(each, older=True) for each in by_run.values() if len(each) == len(records)]


def _by_version(records: Sequence[Record], kind: Kind) -> dict[Key, Record]:
    """The newest good deploy of each version in one location, newest first."""
    by_version: dict[Key, Record] = {}
    for record in records:
        by_version.setdefault(_key(record, kind), record)
    return by_version


def _key(record: Record, kind: Kind) -> Key:
    return record.version, record.detail.get(kind.artifact_detail, "")


def _has_version(key: Key, by_version: Mapping[Key, Record]) -> bool:
    return any(version == key[0] for version, _ in by_version)


def _deploy_of(key: Key, by_version: Mapping[Key, Record]) -> Record:
    """The version's deploy in a region: with the same artifact, else the newest of that name, for
    artifacts may differ by region.
    """
    if key in by_version:
        return by_version[key]
    return next(record for (version, _), record in by_version.items() if version == key[0])


def _live(job: Job, kind: Kind, ports: Ports, good: Mapping[Key, Record]) -> Record | None:
    """The good deploy that is live, as the cloud says; where it does not say, the newest one. None
    if what is live is none of them, or is being replaced: only the end of that says what is live.
    """
    try:
        live: LiveVersion | None = kind.live(job, ports)
    except ToolkitError:
        return next(iter(good.values()), None)
    if live is not None and live.moving:
        return None
    return next((record for record in good.values() if is_running(record, live, kind)), None)


def pick_candidate(choice: RollbackChoice, named: str | None) -> Candidate:
    """The version that was named, else the one that is live in some regions only, else the newest
    one that is live in none.

    What cannot be put back any more is skipped. Where what is live is the last good one already
    (`choice.back` says why), a version further back has to be named. Raises Refused, UsageError.
    """
    if named is not None:
        return _named(choice, named)
    candidates = [candidate for candidate in choice.candidates if not candidate.older]
    others = [candidate for candidate in candidates if not candidate.live]
    partly = [candidate for candidate in others if candidate.runs_in]
    if len(partly) > 1:
        versions = ", ".join(
            f"{candidate.record.version[:12]} in {candidate.runs_in[0]}" for candidate in partly
        )
        raise Refused(
            f"the regions run different versions ({versions})",
            "choose the version with --to, or one region with --region",
        )
    if partly:
        return partly[0]
    if not others:
        raise Refused(
            "no other good deploy is recorded",
            ("check out the commit that you want, then:", choice.deploy),
        )
    complete = [candidate for candidate in others if not candidate.gone]
    if choice.back:
        further_back = [
            candidate
            for candidate in complete
            if choice.taken_out.isdisjoint(record.run for record in candidate.each.values())
        ]
        which = ("--to", further_back[0].record.run) if further_back else ("--list",)
        further = NextCommand("rollback", (choice.target,), which)
        raise Refused(choice.back, ("to go further back, choose the version:", further))
    if not complete:
        raise Refused(
            f"the {choice.needs}s of all other good versions are gone",
            ("see them:", NextCommand("rollback", (choice.target,), ("--list",))),
        )
    return complete[0]


def offered(choice: RollbackChoice) -> list[Candidate]:
    """What a menu offers, each version once: first the one that is restored where none is named,
    then those that can be restored, the newest first, then what cannot be any more.

    Where none is restored without being named, what is live comes first: Enter alone changes
    nothing then.
    """
    candidates = [candidate for candidate in choice.candidates if not candidate.older]
    try:
        first = pick_candidate(choice, None)
    except Refused:
        first = next((candidate for candidate in candidates if candidate.live), candidates[0])
    others = [candidate for candidate in candidates if candidate is not first]
    others.sort(key=lambda candidate: candidate.gone is True)
    offers: list[Candidate] = []
    versions = set[str]()
    for candidate in (first, *others):
        # Another image of the same version is restored by the name of its run.
        if candidate.record.version not in versions or candidate.runs_in:
            offers.append(candidate)
            versions.add(candidate.record.version)
    return offers


def _named(choice: RollbackChoice, name: str) -> Candidate:
    """The version by the name of a run, by its own name, or by the beginning of that."""
    matches = [
        candidate
        for candidate in choice.candidates
        if name in {record.run for record in candidate.each.values()}
    ]
    versions = [candidate for candidate in choice.candidates if not candidate.older]
    if not matches:
        matches = [candidate for candidate in versions if name == candidate.record.version]
    if not matches:
        matches = [candidate for candidate in versions if candidate.record.version.startswith(name)]
    if len({candidate.record.version for candidate in matches}) > 1:
        runs = ", ".join(candidate.record.run for candidate in matches[:4])
        raise UsageError(f"{name!r} matches several versions", f"use a run: {runs}")
    if not matches:
        raise Refused(
            f"no good deploy of {name!r} is recorded",
            ("see them with:", NextCommand("rollback", (choice.target,), ("--list",))),
        )
    return matches[0]


def request_fields(chosen: Candidate) -> dict[str, Any]:
    """The fields of a DeployRequest that puts this version back, in each region as it was there."""
    record = chosen.record
    return {
        "version": Version(
            record.version,
            record.commit,
            record.fingerprint or named_image(record.version),
            settings=record.settings,
        ),
        "restored": {region: record.detail for region, record in chosen.each.items()},
    }
