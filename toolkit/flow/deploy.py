"""`deploy`, `resume` and `rollback`: from the command line to the jobs of a run that is ready to
begin.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.changes import completeness, detect, source
from toolkit.changes.direction import standing, unanswered
from toolkit.changes.names import LETTERS
from toolkit.errors import Exit, GitError, Missing, Refused, StalePlan, ToolkitError, UsageError
from toolkit.flow.build_inputs import input_targets
from toolkit.flow.builds import with_builds
from toolkit.flow.compare import DiffRequest, Points, Records, diff, owns
from toolkit.flow.decisions import tell_jobs
from toolkit.flow.good_deploys import (
    good_deploys,
    last_good_before,
    last_recorded,
    recorded_deploy,
    records_of,
)
from toolkit.flow.rulebook import (
    environment_name,
    find_environment,
    load_rules,
    path_owners,
    rules_path,
    target_settings,
    uncounted_plan,
    variables_of,
)
from toolkit.flow.trusted import load_trusted
from toolkit.flow.versions import (
    TargetVersions,
    generated_digests,
    generated_files,
    target_versions,
    versions_at_commit,
)
from toolkit.formats.variables import fill
from toolkit.model import (
    AWS,
    Advice,
    Backwards,
    DiffResult,
    Job,
    JobAction,
    LiveVersion,
    NextCommand,
    Preview,
    RecordedDeploy,
    RollbackPolicy,
    Rules,
    Standing,
    Target,
    Version,
    advice_parts,
    named_image,
)
from toolkit.plan.graph import Graph
from toolkit.ports.git import Git
from toolkit.ports.ports import Ports
from toolkit.record.ledger import Record
from toolkit.run import jobs as making
from toolkit.targets.base import Kind, KindOptions

MOST_PREVIEWS = 16
"""How many jobs are previewed at the same time."""


class DeployRequest(Struct, frozen=True, kw_only=True):
    """What a person asked for. Without `targets` and `everything` it is what `diff` finds."""

    folder: str
    rules: str | None = None
    environment: str | None = None
    profile: str | None = None
    region: str | None = None
    targets: tuple[str, ...] = ()
    everything: bool = False
    without: tuple[str, ...] = ()
    action: JobAction = JobAction.DEPLOY
    kind: str | None = None
    options: Mapping[str, KindOptions] = {}
    """Kind -> its own options."""
    version: Version | None = None
    """The version that a rollback puts back."""
    restored: Mapping[str | None, Mapping[str, str]] | None = None
    """Of a rollback, what the record says of the good deploy in each region."""
    checked: bool = True
    """Whether what is live afterwards is asked and checked."""
    plan: str | None = None
    """The plan file, as git names it: it does not count as a change."""
    source: Mapping[str, Any] | None = None
    """What the plan file was drawn from; it must still be so."""
    allowed: bool = False
    """Whether this rules.toml may decide by itself, whatever the trusted base says."""


class PreparedRun(Struct, frozen=True):
    """A run that is ready to begin, with a step for each artifact that it builds. `left` are
    targets that it cannot deploy, each with the reason; `standby` are the jobs that put the last
    good version back where a step is live and does not pass its checks.
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


class _Selection(Struct, frozen=True):
    """The targets to deploy, groups written out. `left` are those that this run cannot deploy, each
    with the reason; `changed` those that are due only by files that git ignores, with these;
    `excluded` those that `--without` leaves out.
    """

    targets: tuple[Target, ...]
    left: tuple[tuple[str, str], ...]
    changed: Mapping[str, tuple[str, ...]]
    excluded: tuple[str, ...]


def validate(order: DeployRequest, git: Git | None) -> Rules:
    """Refuse what is wrong by the command line and rules.toml alone. Raises RulesError,
    UsageError, GitError.
    """
    rules = load_trusted(order.folder, order.rules, git, order.allowed)
    environment_name(order.environment, rules)
    for name in (*order.targets, *order.without):
        _resolved(name, order.kind if name in order.targets else None, rules)
    return rules


def prepare(
    order: DeployRequest, run: str, git: Git | None, ports: Ports, records: Records | None = None
) -> PreparedRun:
    """The jobs of an order, each previewed by its kind: everything that can be known to fail is
    refused here, before anything is changed.

    Raises ToolkitError.
    """
    rules = load_trusted(order.folder, order.rules, git, order.allowed)
    name = environment_name(order.environment, rules)
    environment = find_environment(name, rules)
    selection = _select(order, rules, git, records)
    if order.source is not None and not order.targets:
        _refuse_an_empty_plan(order, rules, name, git, records)
    if not selection.targets:
        return PreparedRun(rules, (), {}, selection.left, {}, excluded=selection.excluded)
    content = _versions(order, selection.targets, rules, name, git)
    drawn_from = _source(order, selection.targets, rules, name, git)
    graph = Graph(rules.targets)
    names = [target.name for target in selection.targets]
    jobs = making.make_jobs(
        making.JobRequest(
            run,
            [rules.targets[target] for target in graph.order(names)],
            making.locations(environment, order.profile, order.region),
            variables_of(environment),
            content.versions,
            order.action,
            order.options,
            order.restored,
        )
    )
    jobs = with_needs(jobs, graph, environment.regions if environment else ())
    # Git alone can tell, so this comes before the questions to AWS.
    _refuse_incomplete_commits(jobs, content, rules, git)
    jobs = tuple(replace(job, recorded=recorded_deploy_of(job, rules, ports)) for job in jobs)
    standby: tuple[Job, ...] = ()
    if order.checked and order.action == JobAction.DEPLOY:
        standby = standby_jobs(jobs, rules, ports)
    previews = _with_warnings(_previews(jobs, ports), jobs, content, selection.changed)
    planned, previews = with_builds(jobs, previews)
    tell_jobs((*planned, *standby), previews, selection.left)
    back: tuple[tuple[str, Standing], ...] = ()
    if order.action == JobAction.DEPLOY:
        back = _backwards(jobs, previews, rules, git)
    # Compared again in `freshness_check`, once the locks are held.
    newest: dict[str, str] = {}
    for job in jobs:
        record = last_recorded(job, rules, ports)
        if record is not None:
            newest[job.step] = record.run
    return PreparedRun(
        rules,
        planned,
        previews,
        selection.left,
        drawn_from,
        standby,
        back,
        backwards_allowed=environment is not None and environment.backwards is Backwards.ALLOW,
        newest=newest,
        excluded=selection.excluded,
    )


def with_needs(
    jobs: Sequence[Job], graph: Graph, regions: Collection[str | None]
) -> tuple[Job, ...]:
    """The jobs, each with the steps of this run that it waits for; `regions` are the environment's.
    Pure.
    """
    steps = {(job.target, job.location.region): job.step for job in jobs}
    waiting: list[Job] = []
    for job in jobs:
        before = graph.instances_before(job.target, job.location.region, regions)
        needs = sorted(steps[instance] for instance in before & steps.keys())
        waiting.append(replace(job, needs=tuple(needs)))
    return tuple(waiting)


def _is_named(job: Job) -> bool:
    """Whether a person has named the version to deploy, such as an image's tag."""
    return targets.kind(job.kind).version_named(job.options) is not None


def _can_be_deployed(target: Target) -> bool:
    return targets.kind(target.kind).runnable(target.settings) is None


def _refuse_an_empty_plan(
    order: DeployRequest, rules: Rules, name: str | None, git: Git | None, records: Records | None
) -> None:
    """A plan without steps has to be true still, like any other plan. Raises StalePlan where
    something is due by now.
    """
    _source(order, (), rules, name, git)
    due, _ = _named_targets(replace(order, source=None), rules, git, records)
    graph = Graph(rules.targets)
    without = set[str]().union(*(graph.leaves(target) for target in order.without))
    leaves = set[str]().union(*(graph.leaves(target) for target in due)) - without
    names = sorted(leaf for leaf in leaves if _can_be_deployed(rules.targets[leaf]))
    if names:
        verb = "is" if len(names) == 1 else "are"
        raise StalePlan(
            f"the plan has no steps, and {', '.join(names)} {verb} due",
            ("see what is due:", NextCommand("diff")),
        )


def _refuse_going_back(job: Job, prepared: PreparedRun, git: Git | None, ports: Ports) -> None:
    """A colleague may have deployed while we waited for the lock: that is not taken out unseen.
    Raises StalePlan.
    """
    if git is None or git.bare:
        return
    record = last_recorded(job, prepared.rules, ports)
    if record is None or record.run == prepared.newest.get(job.step) or not record.commit:
        return
    live = Preview((), live=LiveVersion(record.version, record.commit, record.fingerprint))
    for _, stands in _backwards((job,), {job.step: live}, prepared.rules, git):
        raise StalePlan(
            f"run {record.run} has deployed {job.target} at {stands.live[:7]} since this was "
            "planned, and this deploy would remove that",
            ("see what is due now:", NextCommand("diff")),
        )


def _backwards(
    jobs: Sequence[Job], previews: Mapping[str, Preview], rules: Rules, git: Git | None
) -> tuple[tuple[str, Standing], ...]:
    """The steps whose live version holds commits that what is to be deployed does not. An image
    that a person named is deployed as they want it.
    """
    if git is None or git.bare or not jobs:
        return ()
    owned = path_owners(rules, rules_path(rules, git))
    users = input_targets(rules, jobs[0].location.environment, git, None).by
    backwards: list[tuple[str, Standing]] = []
    for job in jobs:
        preview, commit = previews.get(job.step), job.version.commit
        if preview is None or preview.live is None or _is_named(job):
            continue
        live = preview.live.commit
        # An image that was named by its tag has no commit to compare.
        if live is None or commit is None:
            continue
        try:
            stands = standing(live, commit, owns(rules, owned, users, job.target), git)
        except GitError as problem:
            stands = unanswered(problem, live)
        # Equal content removes nothing, whatever the commits are.
        if stands.backwards and preview.live.fingerprint != job.version.fingerprint:
            backwards.append((job.step, stands))
    return tuple(backwards)


def recorded_deploy_of(job: Job, rules: Rules, ports: Ports) -> RecordedDeploy | None:
    """The recorded deploys of a job's target, so that its kind can tell whether somebody else has
    changed it since.
    """
    try:
        return recorded_deploy(records_of(job, rules, ports))
    except ToolkitError as problem:
        if problem.exit == Exit.CREDENTIALS:
            raise  # the locks are in the same bucket
        return RecordedDeploy(problem=str(problem))


def standby_jobs(jobs: Sequence[Job], rules: Rules, ports: Ports) -> tuple[Job, ...]:
    """The jobs that put the last good versions back, where the environment wants that and a gate
    says whether it is needed.

    Raises ToolkitError.
    """
    from toolkit.flow.deploy_gates import rollback_job
    from toolkit.gates import has_gate

    if not jobs:
        return ()
    environment = find_environment(jobs[0].location.environment, rules)
    if environment is None or environment.rollback != RollbackPolicy.ON_FAILURE:
        return ()
    standby: list[Job] = []
    for job in jobs:
        kind = targets.kind(job.kind)
        if not has_gate(job) or kind.irreversible(job.settings) is not None:
            continue

        def can_be_put_back(record: Record, job: Job = job, kind: Kind = kind) -> bool:
            # Also where the kind cannot tell: then the rollback itself says what is wrong.
            return kind.restorable(job, [record.detail], ports) != (False,)

        good = good_deploys(job, rules, ports)
        record = last_good_before(good, job.version, can_be_put_back)
        if record is not None:
            standby.append(rollback_job(job, record, rules))
    return tuple(standby)


def files_check(order: DeployRequest, rules: Rules, git: Git | None) -> Callable[[Job], None]:
    """Returns a check for right before a job is begun: it raises StalePlan where the job's files
    are no longer those that it is to deploy.
    """

    def check_files(job: Job) -> None:
        if job.action == JobAction.ROLLBACK or _is_named(job):
            return
        if job.target not in rules.targets:
            raise StalePlan(
                f"{job.target} is no longer in {rules.file}",
                ("see what is due:", NextCommand("diff")),
            )
        name = environment_name(order.environment, rules)
        now = _versions(order, [rules.targets[job.target]], rules, name, git).versions[job.target]
        content = (now.name, now.fingerprint, now.settings)
        if content != (job.version.name, job.version.fingerprint, job.version.settings):
            raise StalePlan(
                f"the files or settings of {job.target} have changed since {job.version.name[:20]}",
                ("deploy their current state:", NextCommand("deploy")),
            )

    return check_files


def freshness_check(
    order: DeployRequest, prepared: PreparedRun, git: Git | None, ports: Ports
) -> Callable[[Job], None]:
    """The same for a run that is about to begin. It did not hold its locks yet when it was
    prepared: what is recorded, and what would be put back, must not have changed since.
    """
    check_files = files_check(order, prepared.rules, git)
    standby = {job.undoes: job.version.name for job in prepared.standby}

    def check(job: Job) -> None:
        check_files(job)
        if job.action == JobAction.DEPLOY and not prepared.backwards_allowed:
            _refuse_going_back(job, prepared, git, ports)
        if job.step in standby:
            now = [other.version.name for other in standby_jobs((job,), prepared.rules, ports)]
            if now != [standby[job.step]]:
                raise StalePlan(
                    f"the last good version of {job.target} has changed: someone has deployed "
                    "another one",
                    "run it again",
                )
        if not job.undoes and not job.is_build:
            _refuse_another_deploy(job, prepared.rules, ports)

    return check


def _refuse_another_deploy(job: Job, rules: Rules, ports: Ports) -> None:
    """Raises StalePlan where another run has deployed the job's target since it was prepared."""
    before, now = job.recorded, recorded_deploy_of(job, rules, ports)
    # What cannot be read is no evidence of another deploy.
    if now is None or now.problem or (before is not None and before.run == now.run):
        return
    if not _is_recorded_by(now.run, job, rules, ports):
        raise StalePlan(
            f"run {now.run} has deployed {job.target} since this was prepared", "run it again"
        )


def _is_recorded_by(run: str, job: Job, rules: Rules, ports: Ports) -> bool:
    """Whether that run has deployed the very version of the job: whoever waited for it finds done
    what they agreed to.

    The name of an image may mean another one by now.
    """
    version = job.version
    if version.has_only_a_name:
        return False
    for record in records_of(job, rules, ports):
        if record.run == run:
            deployed = (record.version, record.fingerprint, record.settings)
            return deployed == (version.name, version.fingerprint, version.settings)
    return False


def is_stale(prepared: PreparedRun, order: DeployRequest, git: Git | None) -> bool:
    """Whether the files have changed since: a person may have thought about a question for an
    hour.
    """
    deployed = [prepared.rules.targets[job.target] for job in prepared.jobs]
    name = environment_name(order.environment, prepared.rules)
    return bool(deployed) and _source(order, deployed, prepared.rules, name, git) != prepared.source


def only_target(action: str, folder: str, named: str | None, git: Git | None) -> str:
    """The one target of that action, for a command without a target. Raises UsageError if there
    are several, or none.
    """
    rules = load_rules(folder, named, git)
    names = [target.name for target in rules.targets.values() if target.action == action]
    if len(names) == 1:
        return names[0]
    hint = f"it is one of {', '.join(names[:8])}" if names else f"{rules.file} has none"
    raise UsageError(f"`{action}` needs a target", hint)


def _select(
    order: DeployRequest, rules: Rules, git: Git | None, records: Records | None
) -> _Selection:
    """The targets that the order is for. Raises Refused where a named one cannot be deployed."""
    graph = Graph(rules.targets)
    names, changed = _named_targets(order, rules, git, records)
    without = set[str]().union(*(graph.leaves(name) for name in order.without))
    every = set[str]().union(*(graph.leaves(name) for name in names))
    among = frozenset(every - without)
    leaves = sorted(among)
    chosen: list[Target] = []
    left: list[tuple[str, str]] = []
    for name in leaves:
        target = rules.targets[name]
        reason = targets.kind(target.kind).runnable(target.settings)
        if reason is None:
            chosen.append(target)
        else:
            left.append((name, reason))
    if left and not chosen:
        name, reason = left[0]
        raise Refused(f"{name}: {reason}", "there is nothing else to deploy")
    for name, reason in left:
        for other in leaves:
            if name in graph.waits_for(other, among):
                raise Refused(
                    f"{other} waits for {name}: {reason}",
                    f"once that is done, add --without {name}; --without {other} leaves {other}"
                    " out",
                )
    return _Selection(tuple(chosen), tuple(left), changed, tuple(sorted(every & without)))


def _named_targets(
    order: DeployRequest, rules: Rules, git: Git | None, records: Records | None
) -> tuple[list[str], Mapping[str, tuple[str, ...]]]:
    """The targets by name: as named, all of them, or what is due; with those that are due only by
    files that git ignores, and these files.
    """
    for name in order.without:
        require_target(name, rules)
    if order.everything:
        return list(rules.targets), {}
    # A plan file may hold no step: then nothing is deployed, rather than everything.
    if order.targets or order.source is not None:
        return [_resolved(name, order.kind, rules) for name in order.targets], {}
    if records is None:
        answer = due_now(order, git, None)
        return [step.target for step in answer.plan.steps], {}
    read = records
    cache: dict[tuple[str, str | None], Points] = {}

    def read_once(how: str, rules: Rules, environment: str | None) -> Points:
        if (how, environment) not in cache:
            cache[how, environment] = read(how, rules, environment)
        return cache[how, environment]

    # The records are read once for both questions below.
    answer = due_now(order, git, read_once)
    steps = [step.target for step in answer.plan.steps]
    changed = _regenerated(order, rules, git, read_once, steps)
    return [*steps, *changed], changed


def _regenerated(
    order: DeployRequest, rules: Rules, git: Git | None, records: Records, steps: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """The targets that are up to date by git, but whose builds take other files that git ignores
    than what is recorded as deployed.

    `diff` does not look for them: all such files would have to be read.
    """
    if git is None or git.bare:
        return {}
    name = environment_name(order.environment, rules)
    graph = Graph(rules.targets)
    due = set[str]().union(*(graph.leaves(step) for step in steps))
    points = records("last", rules, name)
    rest = [target for target in points if target not in due and target in rules.targets]
    if not rest:
        return {}
    files = generated_files(rules, name, git, detect.look(git))
    digests = generated_digests(files, git)
    changed: dict[str, tuple[str, ...]] = {}
    for target in rest:
        # Several regions may have been deployed with different files.
        recorded = {point.generated for point in points[target]}
        if recorded != {digests.get(target, "")[:LETTERS]}:
            changed[target] = files.get(target, ())
    return changed


def due_now(order: DeployRequest, git: Git | None, records: Records | None) -> DiffResult:
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
            ("see", NextCommand("diff"), ", or name the targets"),
        )
    return answer


def _resolved(name: str, kind: str | None, rules: Rules) -> str:
    """A target by its own name, or by what it is called in AWS (a stack's name)."""
    if name not in rules.targets:
        matches = [
            target.name for target in rules.targets.values() if _is_called(target, name, rules)
        ]
        # Of several, none is chosen: the error below lists the targets.
        if len(matches) == 1:
            name = matches[0]
    require_target(name, rules)
    action = rules.targets[name].action
    if kind is not None and action != kind:
        use = ("use:", NextCommand(action, (name,)))
        raise UsageError(f"{name} is not deployed by {kind}", use)
    return name


def _is_called(target: Target, name: str, rules: Rules) -> bool:
    """Whether AWS knows it by that name, in any environment and region."""
    aliases = targets.kind(target.kind).aliases(target.settings)
    places: list[Mapping[str, str]] = []
    for environment in rules.environments.values():
        for region in environment.regions or ("",):
            places.append({"region": region, **environment.vars})
    for variables in places or [{}]:
        if name in [fill(alias, variables) for alias in aliases]:
            return True
    return False


def require_target(name: str, rules: Rules) -> None:
    """Raises UsageError, with the nearest name, for a target that rules.toml does not have."""
    if name in rules.targets:
        return
    from difflib import get_close_matches

    close = get_close_matches(name, rules.targets, 1)
    names = ", ".join(list(rules.targets)[:8]) or "none"
    hint = f"did you mean {close[0]!r}?" if close else f"it has {names}"
    raise UsageError(f"{rules.file} has no target {name!r}", hint)


def _versions(
    order: DeployRequest, chosen: Sequence[Target], rules: Rules, name: str | None, git: Git | None
) -> TargetVersions:
    """What would be deployed of each target: what is put back, the version that a person named, or
    what is in the working tree.
    """
    if order.version is not None:
        return TargetVersions(dict.fromkeys((target.name for target in chosen), order.version))
    named, from_files = _named_versions(order, chosen), _from_files(order, chosen)
    content = TargetVersions({})
    if from_files:
        content = _versions_of_files(order, from_files, rules, name, git)
    settings = target_settings(rules, name) if named else {}
    versions = dict(content.versions)
    for version in set(named.values()):
        own = {target: settings[target] for target in named if named[target] == version}
        if git is not None and not git.bare and git.has(version):
            versions |= versions_at_commit(own, rules, name, git, version).versions
        else:
            versions |= dict.fromkeys(own, Version(version, None, named_image(version)))
    return replace(content, versions=versions)


def _from_files(order: DeployRequest, chosen: Sequence[Target]) -> list[Target]:
    """Those of the targets that are deployed from the working tree."""
    if order.version is not None:
        return []
    named = _named_versions(order, chosen)
    return [target for target in chosen if target.name not in named]


def _named_versions(order: DeployRequest, chosen: Sequence[Target]) -> dict[str, str]:
    """The versions that a person named, by target."""
    named: dict[str, str] = {}
    for target in chosen:
        kind = targets.kind(target.kind)
        version = kind.version_named(order.options.get(target.kind) or kind.Options())
        if version is not None:
            named[target.name] = version
    return named


def _versions_of_files(
    order: DeployRequest, chosen: Sequence[Target], rules: Rules, name: str | None, git: Git | None
) -> TargetVersions:
    repository = _working_tree(git, chosen)
    tree = detect.look(repository, uncounted_plan(order.plan, rules, repository))
    settings = target_settings(rules, name)
    own = {target.name: settings[target.name] for target in chosen}
    return target_versions(own, rules, name, repository, tree)


def _source(
    order: DeployRequest, chosen: Sequence[Target], rules: Rules, name: str | None, git: Git | None
) -> dict[str, Any]:
    """The digests that say whether what would be deployed is still the same; empty where only
    existing images are deployed. Raises StalePlan where it is not what a plan was made from.
    """
    if order.source is None and not _from_files(order, chosen):
        return {}
    repository = _working_tree(git, chosen)
    # A plan file cannot hold its own digest.
    paths = [path for path in detect.look(repository).paths if path != order.plan]
    now = source.digests(repository.require_head(), rules, paths, repository.root, name)
    if order.source is None:
        return now
    stale = [_SOURCES.get(key, key) for key in now if _differs(key, order.source, now)]
    if stale:
        raise StalePlan(
            f"the plan is stale: {', '.join(stale)}",
            ("create it again:", NextCommand("diff", options=("--out", "FILE"))),
        )
    return now


def _differs(key: str, planned: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a plan was made from something else. A plan from a list of paths, or from a bare
    repository, was made from no commit or no files, and says so with null.
    """
    if key in ("head", "tree") and planned.get(key, "") is None:
        return False
    return key not in planned or planned[key] != now[key]


def _working_tree(git: Git | None, chosen: Sequence[Target]) -> Git:
    if git is not None and not git.bare:
        return git
    hint = "run it in a git repository"
    for words in {targets.kind(target.kind).by_name: None for target in chosen}:
        if words:
            hint += f", or name what is to be deployed: {' '.join(words)}"
    raise Refused("there is no working tree to deploy from", hint)


def _refuse_incomplete_commits(
    jobs: Sequence[Job], content: TargetVersions, rules: Rules, git: Git | None
) -> None:
    """In a protected environment only commits are deployed, and each of them whole. An image that a
    person names is deployed as it is, but its settings are those of rules.toml. Raises Refused.
    """
    for job in jobs:
        if not job.location.protected or job.action != JobAction.DEPLOY:
            continue
        protected = f"environment {job.location.environment} is protected"
        if _is_named(job):
            if git is None or git.bare or rules_path(rules, git) not in detect.look(git).paths:
                continue
            raise Refused(f"{rules.file} is not as committed, and {protected}", "commit it first")
        if gaps := content.gaps.get(job.target):
            what, fix = completeness.describe(gaps)
            raise Refused(f"{what}, and {protected}", fix)
        if job.version.dirty:
            raise Refused(f"the files are not as committed, and {protected}", "commit them first")


def _with_warnings(
    previews: Mapping[str, Preview],
    jobs: Sequence[Job],
    content: TargetVersions,
    changed: Mapping[str, tuple[str, ...]],
) -> dict[str, Preview]:
    """The previews, with what a version lacks of its commit, and why it is deployed though git sees
    no change.
    """
    warned: dict[str, Preview] = {}
    for job in jobs:
        preview = previews.get(job.step)
        if preview is None:
            continue
        warnings: list[Advice] = []
        if gaps := content.gaps.get(job.target):
            what, fix = completeness.describe(gaps)
            lacks = f"{what}: this deploy does not contain the whole commit; fix:"
            warnings.append((lacks, *advice_parts(fix)))
        if job.target in changed:
            warnings.append(
                "files that git ignores differ from those of the last deploy: "
                f"{_some(changed[job.target])}"
            )
        warned[job.step] = replace(preview, warnings=(*warnings, *preview.warnings))
    return warned


def _some(paths: Sequence[str]) -> str:
    if not paths:
        return "there are none any more"
    first = ", ".join(repr(path) for path in paths[:3])
    return f"{first} and {len(paths) - 3} more" if len(paths) > 3 else first


_SOURCES = {
    "head": "HEAD is another commit",
    "rules": "rules.toml has changed",
    "tree": "uncommitted files have changed",
    "environment": "it was made for another environment",
    "endpoint": "it was made for another endpoint",
}


def _previews(jobs: Sequence[Job], ports: Ports) -> dict[str, Preview]:
    """What each job would do, asked in parallel. What a job lacks may be created by an earlier
    step: such a job has no preview yet.
    """

    def ask(job: Job) -> Preview | ToolkitError:
        try:
            return targets.kind(job.kind).preview(job, ports)
        except ToolkitError as problem:
            return problem

    with ThreadPoolExecutor(min(len(jobs), MOST_PREVIEWS)) as pool:
        answers = list(pool.map(ask, jobs))
    previews: dict[str, Preview] = {}
    for job, answer in zip(jobs, answers, strict=True):
        if isinstance(answer, Preview):
            previews[job.step] = answer
        elif not (isinstance(answer, Missing) and job.needs):
            raise answer
    return previews


def warm_clients(jobs: Iterable[Job], ports: Ports) -> None:
    """Make the AWS clients that these jobs need, before the first of them is begun."""
    services_by_client: dict[Any, set[str]] = {}
    for job in jobs:
        if job.location.provider != AWS:
            continue
        services = services_by_client.setdefault(ports.aws(job.location), set())
        services.update(targets.kind(job.kind).services())
    for aws, services in services_by_client.items():
        aws.warm(*sorted(services))
