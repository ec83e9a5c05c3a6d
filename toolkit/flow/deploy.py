"""`deploy`, `resume` and `rollback`: from what somebody asked for to a run that has ended, was stopped, or is in doubt."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.changes import detect, fingerprint, source
from toolkit.errors import Missing, Refused, StalePlan, ToolkitError, UsageError
from toolkit.flow.compare import Records, Request, diff
from toolkit.flow.previous import good_before, previous
from toolkit.flow.rulebook import environment, load_rules, owners, rules_path, settled
from toolkit.model import Answer, Job, Preview, Rules, Target, Version
from toolkit.plan.graph import Graph
from toolkit.ports.git import Git
from toolkit.ports.world import World
from toolkit.run import jobs as making

MOST_PREVIEWS = 16
"""How many kinds are asked side by side."""


class Order(Struct, frozen=True, kw_only=True):
    """What a person asked for. Without `targets` and `everything` it is what `diff` finds; `wishes` are for the kinds."""

    folder: str
    rules: str | None = None
    environment: str | None = None
    profile: str | None = None
    region: str | None = None
    targets: tuple[str, ...] = ()
    everything: bool = False
    without: tuple[str, ...] = ()
    action: str = "deploy"
    kind: str | None = None
    wishes: Mapping[str, Any] = {}
    each: Mapping[str | None, Mapping[str, Any]] = {}
    """What is wished for in a region besides."""
    checked: bool = True
    """Whether what is live afterwards is asked and checked."""
    plan: str | None = None
    """The plan file, as git names it: it is no change itself."""
    source: Mapping[str, Any] | None = None
    """What the plan file was drawn from; it must still be so."""


class Prepared(Struct, frozen=True):
    """What is about to be done. `left` are targets that this run cannot deploy, each with the reason; `standby` what puts the last good
    version back where a step is live and does not pass its checks."""

    rules: Rules
    jobs: tuple[Job, ...]
    previews: Mapping[str, Preview]
    left: tuple[tuple[str, str], ...]
    source: Mapping[str, Any]
    standby: tuple[Job, ...] = ()


def check(order: Order, git: Git | None) -> None:
    """What can be known to be wrong from the command line and rules.toml alone. Raises RulesError, UsageError."""
    rules = load_rules(order.folder, order.rules, git)
    environment(order.environment, rules)
    for name in (*order.targets, *order.without):
        _resolved(name, order.kind if name in order.targets else None, rules)


def prepare(order: Order, run: str, git: Git | None, world: World, records: Records | None = None) -> Prepared:
    """The jobs of an order, each looked at by its kind: everything that can be known to fail is refused here, before anything is changed.

    Raises ToolkitError.
    """
    rules = load_rules(order.folder, order.rules, git)
    name = environment(order.environment, rules)
    found = rules.environments.get(name) if name else None
    wanted, left = _wanted(order, rules, git, records)
    if not wanted:
        return Prepared(rules, (), {}, left, {})
    versions, digests = _versions(order, wanted, rules, name, git)
    graph = Graph(rules.targets)
    names = [target.name for target in wanted]
    jobs = making.make(
        run,
        [rules.targets[one] for one in graph.order(names)],
        making.places(found, order.profile, order.region),
        found.vars if found else {},
        versions,
        {one: sorted(graph.waits_for(one, names)) for one in names},
        order.action,
        order.wishes,
    )
    jobs = tuple(replace(job, wishes={**job.wishes, **order.each.get(job.place.region, {})}) for job in jobs)
    standby = undoing(jobs, rules, world) if order.checked and order.action == "deploy" else ()
    return Prepared(rules, jobs, _previews(jobs, world), left, digests, standby)


def undoing(jobs: Sequence[Job], rules: Rules, world: World) -> tuple[Job, ...]:
    """What puts the last good versions back, where the environment wants that and something says whether it is needed.

    Raises ToolkitError.
    """
    from toolkit.flow.verified import is_proved, undoing_of

    found = rules.environments.get(jobs[0].place.environment or "") if jobs else None
    if found is None or found.rollback != "on-failure":
        return ()
    wanted = [job for job in jobs if is_proved(job) and targets.kind(job.kind).irreversible(job.settings) is None]
    records = [(job, good_before(previous(job, rules, world), job.version)) for job in wanted]
    return tuple(undoing_of(job, record, rules) for job, record in records if record is not None)


def files_of(order: Order, rules: Rules, git: Git | None) -> Callable[[Job], None]:
    """What says, right before a job is begun, whether its files are still what it is to deploy. It raises StalePlan."""

    def still(job: Job) -> None:
        if job.action != "deploy" or job.wishes.get("image"):
            return
        if job.target not in rules.targets:
            raise StalePlan(f"{job.target} is no longer in {rules.file}", "see what is due: toolkit diff")
        name = environment(order.environment, rules)
        now = _versions(replace(order, source=None), [rules.targets[job.target]], rules, name, git)[0][job.target]
        if now.name != job.version.name or now.fingerprint != job.version.fingerprint:
            raise StalePlan(
                f"the files or settings of {job.target} are no longer those of {job.version.name[:20]}",
                "deploy what they are now: toolkit deploy",
            )

    return still


def still_of(order: Order, prepared: Prepared, git: Git | None, world: World) -> Callable[[Job], None]:
    """The same of a run that is about to begin, whose locks were not yet its own when it was prepared: what would be put back has to be the
    last good version still."""
    files = files_of(order, prepared.rules, git)
    back = {job.undoes: job.version.name for job in prepared.standby}

    def still(job: Job) -> None:
        files(job)
        if job.step in back and [one.version.name for one in undoing((job,), prepared.rules, world)] != [back[job.step]]:
            raise StalePlan(f"the last good version of {job.target} is another one by now: somebody has deployed it", "run it again")

    return still


def is_stale(prepared: Prepared, order: Order, git: Git | None) -> bool:
    """Whether the files have changed since: a person may have thought about a question for an hour."""
    wanted = [prepared.rules.targets[job.target] for job in prepared.jobs]
    name = environment(order.environment, prepared.rules)
    return bool(wanted) and _versions(order, wanted, prepared.rules, name, git)[1] != prepared.source


def only_one(action: str, folder: str, named: str | None, git: Git | None) -> str:
    """The one target of that action, where nobody said which. Raises UsageError if there are several, or none."""
    rules = load_rules(folder, named, git)
    found = [target.name for target in rules.targets.values() if target.action == action]
    if len(found) == 1:
        return found[0]
    there = f"it is one of {', '.join(found[:8])}" if found else f"{rules.file} has none"
    raise UsageError(f"`{action}` needs to know which target", there)


def _wanted(order: Order, rules: Rules, git: Git | None, records: Records | None) -> tuple[list[Target], tuple[tuple[str, str], ...]]:
    """The targets to deploy, groups written out, and those that this run has to leave. Raises Refused where a named one cannot be done."""
    graph = Graph(rules.targets)
    names = _named(order, rules, git, records)
    leaves = set[str]().union(*(graph.leaves(name) for name in names)) - set(order.without)
    reasons = {name: targets.kind(rules.targets[name].kind).runnable(rules.targets[name].settings) for name in sorted(leaves)}
    left = tuple((name, reason) for name, reason in reasons.items() if reason)
    for name, reason in left:
        if len(left) == len(leaves):
            raise Refused(f"{name}: {reason}", "there is nothing else to deploy")
    blocked = {name: other for name, _ in left for other in leaves if name in graph.waits_for(other, leaves)}
    for name, other in blocked.items():
        raise Refused(
            f"{other} waits for {name}: {reasons[name]}", f"once that is done, add --without {name}; --without {other} leaves {other} out"
        )
    return [rules.targets[name] for name in sorted(leaves) if reasons[name] is None], left


def _named(order: Order, rules: Rules, git: Git | None, records: Records | None) -> list[str]:
    """The targets by name: as said, all of them, or what is due."""
    for name in order.without:
        known(name, rules)
    if order.everything:
        return list(rules.targets)
    if order.targets:
        return [_resolved(name, order.kind, rules) for name in order.targets]
    answer = due(order, git, records)
    return [step.target for step in answer.plan.steps]


def due(order: Order, git: Git | None, records: Records | None) -> Answer:
    """What `diff` says for this order. Raises Refused where it recommends nothing because rules.toml says so."""
    answer = diff(Request(folder=order.folder, rules=order.rules, environment=order.environment), git, records)
    if answer.refusal:
        raise Refused(f"{answer.refusal}, and no rule matches {answer.impact.unmatched[0]!r}", "see `toolkit diff`, or name the targets")
    return answer


def _resolved(name: str, kind: str | None, rules: Rules) -> str:
    """A target by its own name, or by what it is called in AWS (a stack's name)."""
    if name not in rules.targets:
        meant = [target.name for target in rules.targets.values() if _is(target, name, rules)]
        if len(meant) == 1:
            name = meant[0]
    known(name, rules)
    action = rules.targets[name].action
    if kind is not None and action != kind:
        raise UsageError(f"{name} is not deployed by {kind}", f"use: toolkit {action} {name}")
    return name


def _is(target: Target, name: str, rules: Rules) -> bool:
    """Whether it is called so where it is deployed, in any environment, in any region."""
    called = targets.kind(target.kind).aliases(target.settings)
    several = [
        {"region": region, **environment.vars} for environment in rules.environments.values() for region in environment.regions or ("",)
    ] or [{}]
    return any(making.fill(one, variables) == name for one in called for variables in several)


def known(name: str, rules: Rules) -> None:
    """Raises UsageError, with the nearest name, for what is no target."""
    if name not in rules.targets:
        from difflib import get_close_matches

        close = get_close_matches(name, rules.targets, 1)
        there = ", ".join(list(rules.targets)[:8]) or "none"
        raise UsageError(f"{rules.file} has no target {name!r}", f"did you mean {close[0]!r}?" if close else f"it has {there}")


def _versions(
    order: Order, wanted: Sequence[Target], rules: Rules, name: str | None, git: Git | None
) -> tuple[dict[str, Version], dict[str, Any]]:
    """What would be deployed of each target, and the digests that say whether that is still so."""
    image = order.wishes.get("version") or order.wishes.get("image")
    if image:
        version = Version(str(image), order.wishes.get("commit"), order.wishes.get("fingerprint") or f"image {image}")
        return dict.fromkeys((target.name for target in wanted), version), {}
    if git is None or git.bare:
        raise Refused("there is no working tree to deploy from", "run it in a git repository, or name an image: --no-build --image TAG")
    seen = detect.look(git)
    paths = [path for path in seen.paths if path != order.plan]
    digests = source.digests(git.require_head(), rules, paths, git.root, name)
    stale = [key for key, one in (order.source or {}).items() if one is not None and digests.get(key) != one]
    if stale:
        raise StalePlan(f"the plan is stale: {', '.join(_SOURCES.get(key, key) for key in stale)}", "make it anew: toolkit diff --out FILE")
    settings = settled(rules, name)
    own = {target.name: settings[target.name] for target in wanted}
    return fingerprint.versions(own, owners(rules, rules_path(rules, git)), git, paths), digests


_SOURCES = {
    "head": "HEAD is another commit", "rules": "rules.toml has changed", "tree": "uncommitted files have changed",
    "environment": "it was made for another environment",
}  # fmt: skip


def _previews(jobs: Sequence[Job], world: World) -> dict[str, Preview]:
    """What each kind says of its job, side by side. What is missing may come from a step that goes before: that is looked at again then."""

    def ask(job: Job) -> Preview | ToolkitError:
        try:
            return targets.kind(job.kind).preview(job, world)
        except ToolkitError as problem:
            return problem

    with ThreadPoolExecutor(min(len(jobs), MOST_PREVIEWS)) as pool:
        found = dict(zip((job.step for job in jobs), pool.map(ask, jobs), strict=True))
    previews: dict[str, Preview] = {}
    for job in jobs:
        one = found[job.step]
        if isinstance(one, Preview):
            previews[job.step] = one
        elif not (isinstance(one, Missing) and job.needs):
            raise one
    return previews


def warm(jobs: Iterable[Job], world: World) -> None:
    """Make the AWS clients that these jobs need, before the first of them is begun."""
    wanted: dict[Any, set[str]] = {}
    for job in jobs:
        wanted.setdefault(world.aws(job.place), set()).update(targets.kind(job.kind).services())
    for aws, services in wanted.items():
        aws.warm(*sorted(services))
