"""`deploy`, `resume` and `rollback`: from the command line to the jobs of a run that is ready to
begin.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.advice import Advice, NextCommand, advice_parts
from toolkit.changes import completeness, detect
from toolkit.changes.direction import standing, unanswered
from toolkit.changes.names import without_inputs
from toolkit.errors import GitError, Missing, Refused, StalePlan, ToolkitError, UsageError
from toolkit.flow.aws_options import cli_options
from toolkit.flow.build_inputs import input_targets
from toolkit.flow.builds import only_builds, refuse_unbuilt, with_builds
from toolkit.flow.compare import Records, owns
from toolkit.flow.decisions import tell_jobs
from toolkit.flow.declared_inputs import (
    Readings,
    compare_inputs,
    input_versions,
    inputs_of,
    last_inputs,
    named_version,
    read_inputs,
    remember,
)
from toolkit.flow.deploy_versions import deploy_versions, is_named, targets_from_files
from toolkit.flow.good_deploys import (
    good_deploys,
    last_good_before,
    last_recorded,
    recorded_deploy_of,
    records_of,
)
from toolkit.flow.parts import with_parts, with_shares, with_uncovered
from toolkit.flow.plan_file import check_empty_plan, check_plan
from toolkit.flow.rulebook import find_environment, path_owners, rules_path, variables_of
from toolkit.flow.selection import (
    BuildMode,
    DeployRequest,
    TargetSelection,
    environments_of,
    resolve_target,
    select,
)
from toolkit.flow.shared_resources import with_redeploys
from toolkit.flow.step_order import with_needs, with_prerequisites
from toolkit.flow.trusted import load_trusted
from toolkit.flow.versions import TargetVersions
from toolkit.model import (
    AWS,
    Backwards,
    DeclaredInput,
    RollbackPolicy,
    Rules,
    Standing,
    Target,
    Version,
)
from toolkit.operations import GOOD, Job, JobAction, LiveVersion, Location, Preview
from toolkit.plan.graph import Graph
from toolkit.ports.git import Git
from toolkit.ports.ports import Ports
from toolkit.record.ledger import Record
from toolkit.run import jobs as run_jobs
from toolkit.targets.base import Kind

MOST_PREVIEWS = 16
"""How many jobs are previewed at the same time."""


class PreparedRun(Struct, frozen=True):
    """A run that is ready to begin, with a step for each artifact that it builds. `left` are
    targets that it cannot deploy, each with the reason; `standby` are the jobs that put the last
    good version back where a step is live and does not pass its checks.
    """

    rules: Rules
    jobs: tuple[Job, ...]
    previews: Mapping[str, Preview]
    left: tuple[tuple[str, str], ...] = ()
    standby: tuple[Job, ...] = ()
    backwards: tuple[tuple[str, Standing], ...] = ()
    """The steps that would take live commits out, or of which nobody can say that they do not."""
    backwards_allowed: frozenset[str] = frozenset()
    """Those of them whose environment allows that."""
    newest: Mapping[str, str] = {}
    """The run of the newest good deploy of each step's target, as it was recorded when this was
    prepared.
    """
    excluded: tuple[str, ...] = ()
    """What would be deployed, but for `--without`."""
    up_to_date: tuple[str, ...] = ()
    """The environments that were asked for, and in which nothing is to be deployed."""


class _Part(Struct, frozen=True):
    """What is to be deployed to one environment, and what the versions hold."""

    environment: str | None
    locations: tuple[Location, ...]
    selection: TargetSelection
    content: TargetVersions = TargetVersions({})


def validate(request: DeployRequest, git: Git | None) -> Rules:
    """Refuse what is wrong by the command line and rules.toml alone. Raises RulesError,
    UsageError, GitError.
    """
    rules = load_trusted(request.folder, request.rules, git, request.allowed)
    environments_of(request, rules)
    for name in (*request.targets, *request.without):
        resolve_target(name, request.kind if name in request.targets else None, rules)
    return rules


def prepare(
    request: DeployRequest, run: str, git: Git | None, ports: Ports, records: Records | None = None
) -> PreparedRun:
    """The jobs of a request, each previewed by its kind: everything that can be known to fail is
    refused here, before anything is changed.

    Raises ToolkitError.
    """
    rules = load_trusted(request.folder, request.rules, git, request.allowed)
    parts = _parts(request, rules, git, ports, records)
    left = tuple(dict.fromkeys(pair for part in parts for pair in part.selection.left))
    excluded = sorted({name for part in parts for name in part.selection.excluded})
    readings = _read_inputs(request, parts, rules, ports)
    jobs = _jobs(request, run, rules, parts, readings)
    if not jobs:
        return PreparedRun(rules, (), {}, left, excluded=tuple(excluded))
    # Git alone can tell, so this comes before the questions to AWS.
    contents = {part.environment: part.content for part in parts}
    _refuse_incomplete_commits(jobs, contents, rules, git)
    jobs = tuple(replace(job, recorded=recorded_deploy_of(job, rules, ports)) for job in jobs)
    jobs, renewed = _with_renewals(request, jobs, readings, rules, ports)
    jobs = with_parts(jobs, ports)
    standby: tuple[Job, ...] = ()
    if request.checked and request.action == JobAction.DEPLOY:
        standby = standby_jobs(jobs, rules, ports)
    previews = with_redeploys(_previews(jobs, ports), jobs, rules)
    previews = _with_warnings(previews, jobs, parts, renewed)
    previews = with_uncovered(previews, jobs, rules, ports)
    jobs = with_shares(with_prerequisites(jobs, previews), previews)
    if request.builds is BuildMode.ONLY:
        planned, previews = only_builds(jobs, previews)
        return PreparedRun(rules, planned, previews, left, excluded=tuple(excluded))
    if request.builds is BuildMode.SKIP:
        refuse_unbuilt(jobs, previews)
    planned, previews = with_builds(jobs, previews)
    tell_jobs((*planned, *standby), previews, left)
    back: tuple[tuple[str, Standing], ...] = ()
    if request.action == JobAction.DEPLOY:
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
        left,
        standby,
        back,
        backwards_allowed=frozenset(
            job.step for job in jobs if job.step in dict(back) and _may_go_back(job, rules)
        ),
        newest=newest,
        excluded=tuple(excluded),
        up_to_date=tuple(
            str(part.environment)
            for part in parts
            if len(parts) > 1 and not part.selection.targets and not part.selection.left
        ),
    )


def _parts(
    request: DeployRequest, rules: Rules, git: Git | None, ports: Ports, records: Records | None
) -> list[_Part]:
    """What is to be deployed to each environment. Raises Refused, StalePlan, UsageError."""
    names = environments_of(request, rules)
    if request.source is not None and len(names) > 1:
        raise UsageError("a plan is for one environment", "give only one --env")
    locations: dict[str | None, tuple[Location, ...]] = {}
    for name in names:
        environment = find_environment(name, rules)
        locations[name] = run_jobs.locations(environment, request.profile, request.region)
    _refuse_several_stores([places[0] for places in locations.values()], ports)
    parts: list[_Part] = []
    for name, places in locations.items():
        selection = select(request, name, rules, git, records)
        part = _Part(name, places, selection)
        chosen = selection.targets
        if request.source is not None and not request.targets:
            check_empty_plan(request, rules, name, git, records)
        elif request.source is not None:
            planned = [target for target in chosen if target.name not in selection.joining]
            check_plan(request, planned, rules, name, git)
        if chosen:
            part = replace(part, content=deploy_versions(request, chosen, rules, name, git))
        parts.append(part)
    left = [pair for part in parts for pair in part.selection.left]
    if left and not any(part.selection.targets for part in parts):
        name, reason = left[0]
        raise Refused(f"{name}: {reason}", "there is nothing else to deploy")
    return parts


def _refuse_several_stores(locations: Sequence[Location], ports: Ports) -> None:
    """A run has one journal, which lies where all of its locks and records are. What may be written
    into one bucket must not decide about a deploy that is recorded in another. Raises Refused.
    """
    stores: dict[tuple[str | None, str | None, str | None], str | None] = {}
    for location in locations:
        account = location.account if location.store else None
        place = ports.endpoint(location.profile), location.store, account
        stores.setdefault(place, location.environment)
    if len(stores) > 1:
        first, second, *_ = stores.values()
        raise Refused(
            f"environments {first} and {second} keep their runs in different places (`store`, "
            "account, endpoint), and one run has one place",
            "deploy to one after the other",
        )


def _read_inputs(
    request: DeployRequest, parts: Sequence[_Part], rules: Rules, ports: Ports
) -> Readings:
    """What the inputs outside git are now, before anything is begun. A rollback brings what was
    deployed with others, and a version that a person named was built with unknown ones.
    """
    asked: list[tuple[Location, DeclaredInput]] = []
    for part in parts:
        variables = variables_of(find_environment(part.environment, rules))
        for target in _with_read_inputs(request, part.selection.targets):
            for location in part.locations:
                place = run_jobs.at_provider(location, target.kind)
                asked += [(place, each) for each in inputs_of(target, place, variables)]
    readings = read_inputs(asked, ports)
    remember(readings, ports)
    return readings


def _with_read_inputs(request: DeployRequest, chosen: Sequence[Target]) -> list[Target]:
    """Those of the targets whose inputs are read."""
    if request.action != JobAction.DEPLOY:
        return []
    return targets_from_files(request, chosen)


def _with_renewals(
    request: DeployRequest, jobs: Sequence[Job], readings: Readings, rules: Rules, ports: Ports
) -> tuple[tuple[Job, ...], dict[str, tuple[str, ...]]]:
    """The jobs, each with whether an input outside git makes it due; and in words why, by step."""
    renewed: dict[str, tuple[str, ...]] = {}
    checked: list[Job] = []
    targets_ = [rules.targets[name] for name in {job.target for job in jobs}]
    read = {target.name for target in _with_read_inputs(request, targets_)}
    for job in jobs:
        variables = variables_of(find_environment(job.location.environment, rules))
        declared = inputs_of(rules.targets[job.target], job.location, variables)
        if job.action == JobAction.ROLLBACK and declared:
            job = replace(job, inputs=_restored_inputs(job, rules, ports))
        elif declared and job.target in read:
            now = {str(each): readings[job.location, str(each)] for each in declared}
            recorded = last_inputs(_readable_records(job, rules, ports))
            moment = ports.clock.now()
            comparison = compare_inputs(declared, recorded, now, {}, moment)
            renewed[job.step] = (*comparison.changed, *comparison.unknown)
            job = replace(job, renews=bool(renewed[job.step]))
        checked.append(job)
    return tuple(checked), renewed


def _restored_inputs(job: Job, rules: Rules, ports: Ports) -> Mapping[str, str]:
    """What the good deploy that is put back was deployed with."""
    for record in _readable_records(job, rules, ports):
        if record.verdict in GOOD and record.version == job.version.name:
            return record.inputs
    return {}


def _readable_records(job: Job, rules: Rules, ports: Ports) -> Sequence[Record]:
    """The records of a job's target; none where they cannot be read, which `recorded_deploy_of`
    has told: then nothing is known of its inputs.
    """
    try:
        return records_of(job, rules, ports)
    except ToolkitError:
        return ()


def _jobs(
    request: DeployRequest, run: str, rules: Rules, parts: Sequence[_Part], readings: Readings
) -> tuple[Job, ...]:
    """A job for each target in each location of its environment."""
    graph = Graph(rules.targets)
    among = [location for part in parts for location in part.locations]
    jobs: list[Job] = []
    for part in parts:
        environment = find_environment(part.environment, rules)
        names = graph.order([target.name for target in part.selection.targets])
        regions = environment.regions if environment else ()
        made: list[Job] = []
        for location in part.locations:
            read = _with_read_inputs(request, part.selection.targets)
            inputs = _inputs_at(location, read, variables_of(environment), readings)
            job_request = run_jobs.JobRequest(
                run,
                [rules.targets[name] for name in names],
                (location,),
                variables_of(environment),
                _named_versions(part, inputs, run),
                request.action,
                request.options,
                request.restored,
                among,
                rules.targets,
                part.selection.joining,
            )
            for job in run_jobs.make_jobs(job_request):
                made.append(replace(job, inputs=inputs.get(job.target, {})))
        jobs += with_needs(made, graph, regions)
    return tuple(jobs)


def _inputs_at(
    location: Location,
    chosen: Sequence[Target],
    variables: Mapping[str, str],
    readings: Readings,
) -> dict[str, dict[str, str]]:
    """The versions of the inputs of each of these targets that has any, in a location."""
    versions: dict[str, dict[str, str]] = {}
    for target in chosen:
        place = run_jobs.at_provider(location, target.kind)
        declared = inputs_of(target, place, variables)
        if declared:
            versions[target.name] = input_versions(declared, place, readings)
    return versions


def _named_versions(
    part: _Part, inputs: Mapping[str, Mapping[str, str]], run: str
) -> dict[str, Version]:
    """The versions, under names that tell of inputs where something is built under them."""
    versions = dict(part.content.versions)
    for target in part.selection.targets:
        if target.name in inputs:
            version = versions[target.name]
            versions[target.name] = named_version(version, target, inputs[target.name], run)
    return versions


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
    environments = {job.location.environment for job in jobs}
    users = {name: input_targets(rules, name, git, None).by for name in environments}
    backwards: list[tuple[str, Standing]] = []
    for job in jobs:
        preview, commit = previews.get(job.step), job.version.commit
        if preview is None or preview.live is None or is_named(job):
            continue
        live = preview.live.commit
        # An image that was named by its tag has no commit to compare.
        if live is None or commit is None:
            continue
        try:
            stands = standing(
                live, commit, owns(rules, owned, users[job.location.environment], job.target), git
            )
        except GitError as problem:
            stands = unanswered(problem, live)
        # Equal content removes nothing, whatever the commits are.
        if stands.backwards and preview.live.fingerprint != job.version.fingerprint:
            backwards.append((job.step, stands))
    return tuple(backwards)


def _may_go_back(job: Job, rules: Rules) -> bool:
    """Whether the job's environment allows live commits to be taken out."""
    environment = find_environment(job.location.environment, rules)
    return environment is not None and environment.backwards is Backwards.ALLOW


def standby_jobs(jobs: Sequence[Job], rules: Rules, ports: Ports) -> tuple[Job, ...]:
    """The jobs that put the last good versions back, where the environment wants that and a gate
    says whether it is needed.

    Raises ToolkitError.
    """
    from toolkit.flow.deploy_gates import rollback_job
    from toolkit.gates import has_gate

    standby: list[Job] = []
    for job in jobs:
        environment = find_environment(job.location.environment, rules)
        if environment is None or environment.rollback != RollbackPolicy.ON_FAILURE:
            continue
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


def files_check(request: DeployRequest, rules: Rules, git: Git | None) -> Callable[[Job], None]:
    """Returns a check for right before a job is begun: it raises StalePlan where the job's files
    are no longer those that it is to deploy.
    """

    def check_files(job: Job) -> None:
        if job.action == JobAction.ROLLBACK or is_named(job):
            return
        if job.target not in rules.targets:
            raise StalePlan(
                f"{job.target} is no longer in {rules.file}",
                ("see what is due:", NextCommand("diff")),
            )
        if _has_changed([job], request, rules, git):
            raise StalePlan(
                f"the files or settings of {job.target} have changed since {job.version.name[:20]}",
                ("deploy their current state:", NextCommand("deploy")),
            )

    return check_files


def freshness_check(
    request: DeployRequest, prepared: PreparedRun, git: Git | None, ports: Ports
) -> Callable[[Job], None]:
    """The same for a run that is about to begin. It did not hold its locks yet when it was
    prepared: what is recorded, and what would be put back, must not have changed since.
    """
    check_files = files_check(request, prepared.rules, git)
    standby = {job.undoes: job.version.name for job in prepared.standby}

    def check(job: Job) -> None:
        check_files(job)
        if job.action == JobAction.DEPLOY and not _may_go_back(job, prepared.rules):
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


def is_stale(prepared: PreparedRun, request: DeployRequest, git: Git | None) -> bool:
    """Whether what would be deployed has changed since: a person may have thought about a question
    for an hour.
    """
    by_environment: dict[str | None, list[Job]] = {}
    for job in prepared.jobs:
        by_environment.setdefault(job.location.environment, []).append(job)
    return any(_has_changed(jobs, request, prepared.rules, git) for jobs in by_environment.values())


def _has_changed(
    jobs: Sequence[Job], request: DeployRequest, rules: Rules, git: Git | None
) -> bool:
    """Whether the files or settings of these jobs, all in one environment, are no longer those that
    they are to deploy.
    """
    if git is not None and not git.bare:
        git = Git.open(git.root)  # somebody may have committed since: the files are what counts
    environment = jobs[0].location.environment
    chosen = {job.target: rules.targets[job.target] for job in jobs}
    now = deploy_versions(request, list(chosen.values()), rules, environment, git).versions
    return any(_content(job.version) != _content(now[job.target]) for job in jobs)


def _content(version: Version) -> tuple[str, str, str]:
    """What is equal for equal files and settings, whatever the commit. Where the digest of the
    files is not known, the commit has to be the same.
    """
    name = without_inputs(version.name)
    if version.fingerprint and version.commit:
        name = name.removeprefix(version.commit)
    return name, version.fingerprint, version.settings


def _refuse_incomplete_commits(
    jobs: Sequence[Job],
    contents: Mapping[str | None, TargetVersions],
    rules: Rules,
    git: Git | None,
) -> None:
    """In a protected environment only commits are deployed, and each of them whole. An image that a
    person names is deployed as it is, but its settings are those of rules.toml. Raises Refused.
    """
    for job in jobs:
        if not job.location.protected or job.action != JobAction.DEPLOY:
            continue
        protected = f"environment {job.location.environment} is protected"
        if is_named(job):
            if git is None or git.bare or rules_path(rules, git) not in detect.look(git).paths:
                continue
            raise Refused(f"{rules.file} is not as committed, and {protected}", "commit it first")
        if gaps := contents[job.location.environment].gaps.get(job.target):
            what, fix = completeness.describe(gaps)
            raise Refused(f"{what}, and {protected}", fix)
        if job.version.dirty:
            raise Refused(f"the files are not as committed, and {protected}", "commit them first")


def _with_warnings(
    previews: Mapping[str, Preview],
    jobs: Sequence[Job],
    parts: Sequence[_Part],
    renewed: Mapping[str, Sequence[str]],
) -> dict[str, Preview]:
    """The previews, with what a version lacks of its commit, and why it is deployed though git sees
    no change.
    """
    by_environment = {part.environment: part for part in parts}
    warned: dict[str, Preview] = {}
    for job in jobs:
        part = by_environment[job.location.environment]
        preview = previews.get(job.step)
        if preview is None:
            continue
        warnings: list[Advice] = []
        if gaps := part.content.gaps.get(job.target):
            what, fix = completeness.describe(gaps)
            lacks = f"{what}: this deploy does not contain the whole commit; fix:"
            warnings.append((lacks, *advice_parts(fix)))
        if job.target in part.selection.changed:
            warnings.append(
                "files that git ignores differ from those of the last deploy: "
                f"{_some(part.selection.changed[job.target])}"
            )
        why = renewed.get(job.step, ())
        warnings += why
        if why and preview.unchanged:
            warnings.append(
                "nothing of what is deployed changes: what reads these inputs itself may still"
                " hold what they were"
            )
        warned[job.step] = replace(preview, warnings=(*warnings, *preview.warnings))
    return warned


def _some(paths: Sequence[str]) -> str:
    if not paths:
        return "there are none any more"
    first = ", ".join(repr(path) for path in paths[:3])
    return f"{first} and {len(paths) - 3} more" if len(paths) > 3 else first


def _previews(jobs: Sequence[Job], ports: Ports) -> dict[str, Preview]:
    """What each job would do, asked in parallel. What a job lacks may be created by an earlier
    step: such a job has no preview yet.
    """

    def ask(job: Job) -> Preview | ToolkitError:
        try:
            return targets.kind(job.kind).preview(job, ports)
        except ToolkitError as problem:
            problem.aws_options = cli_options(job.location)
            return problem

    with ThreadPoolExecutor(min(len(jobs), MOST_PREVIEWS)) as pool:
        answers = list(pool.map(ask, jobs))
    previews: dict[str, Preview] = {}
    for job, answer in zip(jobs, answers, strict=True):
        if isinstance(answer, Preview):
            previews[job.step] = answer
        elif not job.conditional and not (isinstance(answer, Missing) and job.needs):
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
