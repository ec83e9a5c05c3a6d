"""`deploy`, `resume` and `rollback`: from what somebody asked for to a run that has ended, was
stopped, or is in doubt.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.changes import completeness, detect, source
from toolkit.changes.direction import standing, unanswered
from toolkit.changes.names import LETTERS
from toolkit.errors import Exit, GitError, Missing, Refused, StalePlan, ToolkitError, UsageError
from toolkit.flow.compare import DiffRequest, Points, Records, diff, owns
from toolkit.flow.contents import TargetVersions, at_commit, contents, digests, generated_of
from toolkit.flow.decisions import tell_jobs
from toolkit.flow.previous import good_before, last_recorded, previous, recorded_of, records_of
from toolkit.flow.rulebook import environment, load_rules, owners, rules_path, settled, uncounted
from toolkit.flow.sources import used
from toolkit.flow.trusted import load_trusted
from toolkit.model import (
    Backwards,
    DiffResult,
    Job,
    LiveVersion,
    Preview,
    RecordedDeploy,
    Rules,
    Standing,
    Target,
    Version,
)
from toolkit.plan.graph import Graph
from toolkit.ports.git import Git
from toolkit.ports.ports import Ports
from toolkit.record.ledger import Record
from toolkit.run import jobs as making

MOST_PREVIEWS = 16
"""How many kinds are asked side by side."""


class DeployRequest(Struct, frozen=True, kw_only=True):
    """What a person asked for. Without `targets` and `everything` it is what `diff` finds; `wishes`
    are for the kinds.
    """

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
    allowed: bool = False
    """Whether this rules.toml may decide by itself, whatever the trusted base says."""


class PreparedRun(Struct, frozen=True):
    """What is about to be done. `left` are targets that this run cannot deploy, each with the
    reason; `standby` what puts the last good version back where a step is live and does not pass
    its checks.
    """

    rules: Rules
    jobs: tuple[Job, ...]
    previews: Mapping[str, Preview]
    left: tuple[tuple[str, str], ...]
    source: Mapping[str, Any]
    standby: tuple[Job, ...] = ()
    backwards: tuple[tuple[str, Standing], ...] = ()
    """The steps that would take live commits out, or of which nobody can say that they do not."""
    backwards_allowed: bool = False
    newest: Mapping[str, str] = {}
    """The run of the newest good deploy of each step's target, as it was recorded when this was
    prepared.
    """
    excluded: tuple[str, ...] = ()
    """What would be deployed, but for `--without`."""


def check(order: DeployRequest, git: Git | None) -> Rules:
    """What can be known to be wrong from the command line and rules.toml alone. Raises RulesError,
    UsageError, GitError.
    """
    rules = load_trusted(order.folder, order.rules, git, order.allowed)
    environment(order.environment, rules)
    for name in (*order.targets, *order.without):
        _resolved(name, order.kind if name in order.targets else None, rules)
    return rules


def prepare(
    order: DeployRequest, run: str, git: Git | None, ports: Ports, records: Records | None = None
) -> PreparedRun:
    """The jobs of an order, each looked at by its kind: everything that can be known to fail is
    refused here, before anything is changed.

    Raises ToolkitError.
    """
    rules = load_trusted(order.folder, order.rules, git, order.allowed)
    name = environment(order.environment, rules)
    found = rules.environments.get(name) if name else None
    wanted, left, changed, excluded = _wanted(order, rules, git, records)
    if order.source is not None and not order.targets:
        _refuse_an_empty_plan(order, rules, name, git, records)
    if not wanted:
        return PreparedRun(rules, (), {}, left, {}, excluded=excluded)
    holds, drawn_from = (
        _contents(order, wanted, rules, name, git),
        _source(order, wanted, rules, name, git),
    )
    versions = holds.versions
    graph = Graph(rules.targets)
    names = [target.name for target in wanted]
    jobs = making.make_jobs(
        making.JobRequest(
            run,
            [rules.targets[one] for one in graph.order(names)],
            making.locations(found, order.profile, order.region),
            found.vars if found else {},
            versions,
            {one: sorted(graph.waits_for(one, names)) for one in names},
            order.action,
            order.wishes,
        )
    )
    jobs = tuple(replace(job, wishes=_wishes_of(job, order)) for job in jobs)
    _refuse_what_its_name_does_not_say(jobs, holds, rules, git)
    jobs = tuple(replace(job, recorded=recorded(job, rules, ports)) for job in jobs)
    standby = undoing(jobs, rules, ports) if order.checked and order.action == "deploy" else ()
    previews = _warned(_previews(jobs, ports), jobs, holds, changed)
    tell_jobs((*jobs, *standby), previews, left)
    back = _backwards(jobs, previews, rules, git) if order.action == "deploy" else ()
    may_go_back = found is not None and found.backwards is Backwards.ALLOW
    newest = {
        job.step: record.run
        for job in jobs
        if (record := last_recorded(job, rules, ports)) is not None
    }
    return PreparedRun(rules, jobs, previews, left, drawn_from, standby, back, may_go_back, newest)


def _wishes_of(job: Job, order: DeployRequest) -> dict[str, Any]:
    """What is wished for a job. An image that a person named is none of what other kinds deploy."""
    wishes = {**job.wishes, **order.each.get(job.location.region, {})}
    if order.action == "deploy" and not targets.kind(job.kind).by_image:
        wishes.pop("image", None)
    return wishes


def _can_be_deployed(target: Target) -> bool:
    return targets.kind(target.kind).runnable(target.settings) is None


def _refuse_an_empty_plan(
    order: DeployRequest, rules: Rules, name: str | None, git: Git | None, records: Records | None
) -> None:
    """That nothing is to be deployed has to be true still, like the steps of any other plan. Raises
    StalePlan.
    """
    _source(order, (), rules, name, git)
    named, _ = _named(replace(order, source=None), rules, git, records)
    graph = Graph(rules.targets)
    left_out = set[str]().union(*(graph.leaves(name) for name in order.without))
    leaves = set[str]().union(*(graph.leaves(name) for name in named)) - left_out
    names = sorted(name for name in leaves if _can_be_deployed(rules.targets[name]))
    if names:
        due_now = ", ".join(names)
        raise StalePlan(
            f"the plan has no steps, and {due_now} {'is' if len(names) == 1 else 'are'} due",
            "see what is due: toolkit diff",
        )


def _refuse_going_back(job: Job, prepared: PreparedRun, git: Git | None, ports: Ports) -> None:
    """A colleague may have deployed while we waited for the lock: what they put there is not taken
    out unseen. Raises StalePlan.
    """
    record = last_recorded(job, prepared.rules, ports)
    if (
        record is None
        or record.run == prepared.newest.get(job.step)
        or not record.commit
        or git is None
        or git.bare
    ):
        return
    live = Preview((), live=LiveVersion(record.version, record.commit, record.fingerprint))
    for _, stands in _backwards((job,), {job.step: live}, prepared.rules, git):
        raise StalePlan(
            f"run {record.run} has deployed {job.target} at {stands.live[:7]} since this was"
            " planned, which this would take out",
            "see what is due now: toolkit diff",
        )


def _backwards(
    jobs: Sequence[Job], previews: Mapping[str, Preview], rules: Rules, git: Git | None
) -> tuple[tuple[str, Standing], ...]:
    """The steps whose live version holds commits that what is to be deployed does not. An image
    that a person named is what they want.
    """
    if git is None or git.bare:
        return ()
    owned = owners(rules, rules_path(rules, git))
    users = used(rules, jobs[0].location.environment if jobs else None, git, None).by
    found = []
    for job in jobs:
        preview, wanted = previews.get(job.step), job.version.commit
        live = preview.live.commit if preview is not None and preview.live is not None else None
        if live is None or wanted is None or job.wishes.get("image"):
            continue
        try:
            stands = standing(live, wanted, owns(rules, owned, users, job.target), git)
        except GitError as problem:
            stands = unanswered(problem, live)
        content = (
            preview.live.fingerprint if preview is not None and preview.live is not None else None
        )
        if stands.backwards and content != job.version.fingerprint:
            found.append((job.step, stands))
    return tuple(found)


def recorded(job: Job, rules: Rules, ports: Ports) -> RecordedDeploy | None:
    """What the record says of a job's target, so that its kind can tell whether somebody else has
    changed it since.
    """
    try:
        return recorded_of(records_of(job, rules, ports))
    except ToolkitError as problem:
        if problem.exit == Exit.CREDENTIALS:
            raise  # the locks are in the same bucket
        return RecordedDeploy(problem=str(problem))


def undoing(jobs: Sequence[Job], rules: Rules, ports: Ports) -> tuple[Job, ...]:
    """What puts the last good versions back, where the environment wants that and something says
    whether it is needed.

    Raises ToolkitError.
    """
    from toolkit.flow.verified import is_proved, undoing_of

    found = rules.environments.get(jobs[0].location.environment or "") if jobs else None
    if found is None or found.rollback != "on-failure":
        return ()
    wanted = [
        job
        for job in jobs
        if is_proved(job) and targets.kind(job.kind).irreversible(job.settings) is None
    ]
    made: list[Job] = []
    for job in wanted:

        def kept(record: Record, job: Job = job) -> bool:
            """Whether it can be put back still; also where nobody could tell."""
            return targets.kind(job.kind).restorable(job, [record.detail], ports) != (False,)

        record = good_before(previous(job, rules, ports), job.version, kept)
        if record is not None:
            made.append(undoing_of(job, record, rules))
    return tuple(made)


def files_of(order: DeployRequest, rules: Rules, git: Git | None) -> Callable[[Job], None]:
    """What says, right before a job is begun, whether its files are still what it is to deploy. It
    raises StalePlan.
    """

    def still(job: Job) -> None:
        if job.action != "deploy" or job.wishes.get("image"):
            return
        if job.target not in rules.targets:
            raise StalePlan(
                f"{job.target} is no longer in {rules.file}", "see what is due: toolkit diff"
            )
        name = environment(order.environment, rules)
        now = _contents(order, [rules.targets[job.target]], rules, name, git).versions[job.target]
        content = (now.name, now.fingerprint, now.settings)
        if content != (job.version.name, job.version.fingerprint, job.version.settings):
            raise StalePlan(
                f"the files or settings of {job.target} are no longer those of"
                f" {job.version.name[:20]}",
                "deploy what they are now: toolkit deploy",
            )

    return still


def still_of(
    order: DeployRequest, prepared: PreparedRun, git: Git | None, ports: Ports
) -> Callable[[Job], None]:
    """The same of a run that is about to begin, whose locks were not yet its own when it was
    prepared: what is recorded, and what would be put back, have to be the same still.
    """
    files = files_of(order, prepared.rules, git)
    back = {job.undoes: job.version.name for job in prepared.standby}

    def still(job: Job) -> None:
        files(job)
        if job.action == "deploy" and not prepared.backwards_allowed:
            _refuse_going_back(job, prepared, git, ports)
        if job.step in back and [
            one.version.name for one in undoing((job,), prepared.rules, ports)
        ] != [back[job.step]]:
            raise StalePlan(
                f"the last good version of {job.target} is another one by now: somebody has"
                " deployed it",
                "run it again",
            )
        known, now = job.recorded, None if job.undoes else recorded(job, prepared.rules, ports)
        if now is None or now.problem or (known is not None and known.run == now.run):
            return
        if not _is_recorded_by(now.run, job, prepared.rules, ports):
            raise StalePlan(
                f"run {now.run} has deployed {job.target} since this was prepared", "run it again"
            )

    return still


def _is_recorded_by(run: str, job: Job, rules: Rules, ports: Ports) -> bool:
    """Whether that run has deployed the very version of the job: whoever waited for it finds done
    what they agreed to.

    The name of an image may mean another one by now.
    """
    ours = job.version
    if ours.fingerprint.startswith("image "):
        return False
    for record in records_of(job, rules, ports):
        if record.run == run:
            return (record.version, record.fingerprint, record.settings) == (
                ours.name,
                ours.fingerprint,
                ours.settings,
            )
    return False


def is_stale(prepared: PreparedRun, order: DeployRequest, git: Git | None) -> bool:
    """Whether the files have changed since: a person may have thought about a question for an
    hour.
    """
    wanted = [prepared.rules.targets[job.target] for job in prepared.jobs]
    name = environment(order.environment, prepared.rules)
    return bool(wanted) and _source(order, wanted, prepared.rules, name, git) != prepared.source


def only_one(action: str, folder: str, named: str | None, git: Git | None) -> str:
    """The one target of that action, where nobody said which. Raises UsageError if there are
    several, or none.
    """
    rules = load_rules(folder, named, git)
    found = [target.name for target in rules.targets.values() if target.action == action]
    if len(found) == 1:
        return found[0]
    there = f"it is one of {', '.join(found[:8])}" if found else f"{rules.file} has none"
    raise UsageError(f"`{action}` needs to know which target", there)


def _wanted(
    order: DeployRequest, rules: Rules, git: Git | None, records: Records | None
) -> tuple[
    list[Target], tuple[tuple[str, str], ...], Mapping[str, tuple[str, ...]], tuple[str, ...]
]:
    """The targets to deploy, groups written out, those that this run has to leave, those that only
    files that git ignores make due, with these, and those that `--without` leaves out. Raises
    Refused where a named one cannot be done."""
    graph = Graph(rules.targets)
    names, changed = _named(order, rules, git, records)
    without = set[str]().union(*(graph.leaves(name) for name in order.without))
    every = set[str]().union(*(graph.leaves(name) for name in names))
    leaves = every - without
    reasons = {
        name: targets.kind(rules.targets[name].kind).runnable(rules.targets[name].settings)
        for name in sorted(leaves)
    }
    left = tuple((name, reason) for name, reason in reasons.items() if reason)
    for name, reason in left:
        if len(left) == len(leaves):
            raise Refused(f"{name}: {reason}", "there is nothing else to deploy")
    blocked = {
        name: other
        for name, _ in left
        for other in leaves
        if name in graph.waits_for(other, leaves)
    }
    for name, other in blocked.items():
        raise Refused(
            f"{other} waits for {name}: {reasons[name]}",
            f"once that is done, add --without {name}; --without {other} leaves {other} out",
        )
    wanted = [rules.targets[name] for name in sorted(leaves) if reasons[name] is None]
    return wanted, left, changed, tuple(sorted(every & without))


def _named(
    order: DeployRequest, rules: Rules, git: Git | None, records: Records | None
) -> tuple[list[str], Mapping[str, tuple[str, ...]]]:
    """The targets by name: as said, all of them, or what is due. What only files that git ignores
    make due comes with these.
    """
    for name in order.without:
        known(name, rules)
    if order.everything:
        return list(rules.targets), {}
    if order.targets or order.source is not None:
        return [_resolved(name, order.kind, rules) for name in order.targets], {}
    once: dict[tuple[str, str | None], Points] = {}

    def recorded(how: str, rules: Rules, named: str | None) -> Points:
        if (how, named) not in once and records is not None:
            once[how, named] = records(how, rules, named)
        return once[how, named]

    answer = due(order, git, None if records is None else recorded)
    steps = [step.target for step in answer.plan.steps]
    changed = {} if records is None else _regenerated(order, rules, git, recorded, steps)
    return [*steps, *changed], changed


def _regenerated(
    order: DeployRequest, rules: Rules, git: Git | None, records: Records, steps: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """The targets that are up to date by git, but whose builds take other files that git ignores
    than what is recorded as deployed.

    `diff` does not ask for that: all such files would have to be read.
    """
    if git is None or git.bare:
        return {}
    name = environment(order.environment, rules)
    graph = Graph(rules.targets)
    due_already = set[str]().union(*(graph.leaves(step) for step in steps))
    points = records("last", rules, name)
    rest = [target for target in points if target not in due_already and target in rules.targets]
    if not rest:
        return {}
    found = generated_of(rules, name, git, detect.look(git))
    now = digests(found, git)
    return {
        target: found.get(target, ())
        for target in rest
        if {point.generated for point in points[target]} != {now.get(target, "")[:LETTERS]}
    }


def due(order: DeployRequest, git: Git | None, records: Records | None) -> DiffResult:
    """What `diff` says for this order. Raises Refused where it recommends nothing because
    rules.toml says so.
    """
    request = DiffRequest(
        folder=order.folder,
        rules=order.rules,
        environment=order.environment,
        allowed=order.allowed,
        plan=order.plan,
    )
    answer = diff(request, git, records)
    if answer.refusal:
        raise Refused(
            f"{answer.refusal}, and no rule matches {answer.impact.unmatched[0]!r}",
            "see `toolkit diff`, or name the targets",
        )
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
        {"region": region, **environment.vars}
        for environment in rules.environments.values()
        for region in environment.regions or ("",)
    ] or [{}]
    return any(making.fill_text(one, variables) == name for one in called for variables in several)


def known(name: str, rules: Rules) -> None:
    """Raises UsageError, with the nearest name, for what is no target."""
    if name not in rules.targets:
        from difflib import get_close_matches

        close = get_close_matches(name, rules.targets, 1)
        there = ", ".join(list(rules.targets)[:8]) or "none"
        raise UsageError(
            f"{rules.file} has no target {name!r}",
            f"did you mean {close[0]!r}?" if close else f"it has {there}",
        )


def _contents(
    order: DeployRequest, wanted: Sequence[Target], rules: Rules, name: str | None, git: Git | None
) -> TargetVersions:
    """What would be deployed of each target: the image that a person named, or what lies in the
    working tree.
    """
    others = _from_files(order, wanted)
    by_image = [target for target in wanted if target not in others]
    parts = [_of_files(order, others, rules, name, git)] if others else []
    parts += [_of_image(order, by_image, rules, name, git)] if by_image else []
    return TargetVersions(
        {name: version for part in parts for name, version in part.versions.items()},
        {name: gaps for part in parts for name, gaps in part.gaps.items()},
        {name: paths for part in parts for name, paths in part.generated.items()},
    )


def _from_files(order: DeployRequest, wanted: Sequence[Target]) -> list[Target]:
    """Those of the targets that are deployed from the working tree."""
    if order.wishes.get("version"):
        return []
    named = bool(order.wishes.get("image"))
    return [
        target
        for target in wanted
        if not named or (order.action == "deploy" and not targets.kind(target.kind).by_image)
    ]


def _of_image(
    order: DeployRequest, wanted: Sequence[Target], rules: Rules, name: str | None, git: Git | None
) -> TargetVersions:
    image = order.wishes.get("version") or order.wishes.get("image")
    if order.action == "deploy" and git is not None and not git.bare and git.has(str(image)):
        settings = settled(rules, name)
        return at_commit(
            {target.name: settings[target.name] for target in wanted}, rules, name, git, str(image)
        )
    content = order.wishes.get("fingerprint") or f"image {image}"
    version = Version(
        str(image),
        order.wishes.get("commit"),
        content,
        settings=str(order.wishes.get("settings") or ""),
    )
    return TargetVersions(dict.fromkeys((target.name for target in wanted), version))


def _of_files(
    order: DeployRequest, wanted: Sequence[Target], rules: Rules, name: str | None, git: Git | None
) -> TargetVersions:
    there = _working_tree(git)
    seen = detect.look(there, uncounted(order.plan, rules, there))
    settings = settled(rules, name)
    own = {target.name: settings[target.name] for target in wanted}
    return contents(own, rules, name, there, seen, seen.paths)


def _source(
    order: DeployRequest, wanted: Sequence[Target], rules: Rules, name: str | None, git: Git | None
) -> dict[str, Any]:
    """The digests that say whether what would be deployed is still the same; none where only images
    that are there already are. Raises StalePlan where it is not what a plan was made of.
    """
    if order.source is None and not _from_files(order, wanted):
        return {}
    found = _working_tree(git)
    paths = [
        path for path in detect.look(found).paths if path != order.plan
    ]  # it cannot hold its own digest
    now = source.digests(found.require_head(), rules, paths, found.root, name)
    stale = [] if order.source is None else [key for key in now if _differs(key, order.source, now)]
    if stale:
        raise StalePlan(
            f"the plan is stale: {', '.join(_SOURCES.get(key, key) for key in stale)}",
            "create it again: toolkit diff --out FILE",
        )
    return now


def _differs(key: str, planned: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a plan was drawn from something else. One of a list of paths, or of a bare
    repository, looked at no commit or no files.
    """
    unasked = key in ("head", "tree") and planned.get(key, "") is None
    return not unasked and (key not in planned or planned[key] != now[key])


def _working_tree(git: Git | None) -> Git:
    if git is None or git.bare:
        raise Refused(
            "there is no working tree to deploy from",
            "run it in a git repository, or name an image: --no-build --image TAG",
        )
    return git


def _refuse_what_its_name_does_not_say(
    jobs: Sequence[Job], holds: TargetVersions, rules: Rules, git: Git | None
) -> None:
    """In a protected environment only commits are deployed, and each of them whole. An image that a
    person names is what it is, but its settings are those of rules.toml. Raises Refused."""
    for job in jobs:
        if not job.location.protected or job.action != "deploy":
            continue
        if job.wishes.get("image"):
            if (
                git is not None
                and not git.bare
                and rules_path(rules, git) in detect.look(git).paths
            ):
                why = (
                    f"{rules.file} is not as committed, and environment"
                    f" {job.location.environment} is protected"
                )
                raise Refused(why, "commit it first")
            continue
        if gaps := holds.gaps.get(job.target):
            what, fix = completeness.describe(gaps)
            raise Refused(f"{what}, and environment {job.location.environment} is protected", fix)
        if job.version.dirty:
            raise Refused(
                f"the files are not as committed, and environment {job.location.environment} is"
                " protected",
                "commit them first",
            )


def _warned(
    previews: dict[str, Preview],
    jobs: Sequence[Job],
    holds: TargetVersions,
    changed: Mapping[str, tuple[str, ...]],
) -> dict[str, Preview]:
    """The previews, with what a version lacks of its commit, and why it is deployed though git sees
    no change.
    """
    for job in jobs:
        preview = previews.get(job.step)
        if preview is None:
            continue
        said: list[str] = []
        if gaps := holds.gaps.get(job.target):
            what, fix = completeness.describe(gaps)
            said.append(f"{what}: what is deployed is not the whole commit; fix: {fix}")
        if job.target in changed:
            said.append(
                "files that git ignores are others than at the last deploy:"
                f" {_some(changed[job.target])}"
            )
        previews[job.step] = replace(preview, warnings=(*said, *preview.warnings))
    return previews


def _some(paths: Sequence[str]) -> str:
    first = ", ".join(repr(path) for path in paths[:3])
    return (
        f"{first} and {len(paths) - 3} more"
        if len(paths) > 3
        else first or "there are none any more"
    )


_SOURCES = {
    "head": "HEAD is another commit",
    "rules": "rules.toml has changed",
    "tree": "uncommitted files have changed",
    "environment": "it was made for another environment",
    "endpoint": "it was made for another endpoint",
}


def _previews(jobs: Sequence[Job], ports: Ports) -> dict[str, Preview]:
    """What each kind says of its job, side by side. What is missing may come from a step that goes
    before: that is looked at again then.
    """

    def ask(job: Job) -> Preview | ToolkitError:
        try:
            return targets.kind(job.kind).preview(job, ports)
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


def warm(jobs: Iterable[Job], ports: Ports) -> None:
    """Make the AWS clients that these jobs need, before the first of them is begun."""
    wanted: dict[Any, set[str]] = {}
    for job in jobs:
        if job.location.provider == "aws":
            called = targets.kind(job.kind).services()
            wanted.setdefault(ports.aws(job.location), set()).update(called)
    for aws, services in wanted.items():
        aws.warm(*sorted(services))
