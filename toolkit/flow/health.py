"""`health`: everything in rules.toml, checked at the same time and by one deadline; what has not
answered by then is unknown.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from time import monotonic

from msgspec.structs import replace

from toolkit import targets
from toolkit.advice import Advice, NextCommand, SameOptions, changed_advice
from toolkit.config.reader import nearest
from toolkit.errors import Refused, UsageError
from toolkit.exits import Exit
from toolkit.flow import checks as checking
from toolkit.flow.aws_options import located_options
from toolkit.flow.compare import DiffRequest
from toolkit.flow.decisions import tell_health
from toolkit.flow.drift import (
    RecordedVersions,
    input_comparisons,
    read_recorded_versions,
    with_head_state,
    with_record_findings,
)
from toolkit.flow.health_questions import (
    Board,
    Questions,
    Subject,
    address_names,
    batch_reads,
    compare_address,
    others_at_address,
    start_address_questions,
    start_questions,
    warm_clients,
)
from toolkit.flow.parts import with_recorded
from toolkit.flow.rulebook import (
    environment_name,
    find_environment,
    variables_of,
)
from toolkit.flow.selection import writer_hint
from toolkit.flow.trusted import load_trusted, trust_notice
from toolkit.flow.trusted_programs import read_trusted_state
from toolkit.model import (
    AWS,
    Check,
    Checks,
    CheckTypeName,
    Environment,
    ProjectRequest,
    Rules,
    Target,
)
from toolkit.operations import (
    CHECK,
    CREDENTIALS,
    Finding,
    HealthLocation,
    HealthReport,
    HealthResult,
    HealthStatus,
    Location,
)
from toolkit.plan.graph import Graph
from toolkit.ports.aws import endpoint
from toolkit.ports.background import BackgroundTask, Timeout
from toolkit.ports.git import Git
from toolkit.ports.ports import Ports
from toolkit.run import jobs as run_jobs
from toolkit.targets.base import JudgedSettings
from toolkit.targets.findings import unknown

LOOKED_AT = (CheckTypeName.AWS, CheckTypeName.TLS, CheckTypeName.DNS)
"""The types of checks that only read, and so are part of it."""


class HealthRequest(ProjectRequest, frozen=True, kw_only=True):
    """What a person asked for. `timeout_s` is the deadline for everything; `redact` hides what
    looks like a secret in what is shown.
    """

    everywhere: bool = False
    targets: tuple[str, ...] = ()
    timeout_s: float = 20.0
    redact: Callable[[str], str] = str


def check_health(request: HealthRequest, git: Git | None, ports: Ports) -> HealthResult:
    """Check everything once. Raises RulesError, UsageError, Refused; never for what is not well."""
    began = monotonic()
    rules = load_trusted(request.folder, request.rules, git, request.allowed)
    checks = checking.load_checks(rules)
    names: list[str | None] = [*rules.environments] or [None]
    if not request.everywhere:
        names = [environment_name(request.environment, rules)]
    subjects: list[Subject] = []
    for name in names:
        subjects += _subjects(request, rules, checks, name, ports)
    if not any(subject.kind != CREDENTIALS for subject in subjects):
        able = targets.names_of(lambda kind: issubclass(kind.Settings, JudgedSettings))
        raise Refused("rules.toml has nothing to check", f"add a target of kind {able}, or a check")
    if request.targets:
        subjects = named_subjects(request.targets, subjects, rules, checks)
    subjects = _with_trust(subjects, rules, git)
    policies = {
        name: checking.host_policy(rules, checks, find_environment(name, rules)) for name in names
    }
    board = Board(subjects)
    questions = Questions(board, policies, request.timeout_s, rules, ports)
    until = began + request.timeout_s
    for index, subject in enumerate(subjects):
        start_address_questions(questions, index, subject)
    with suppress(Timeout):  # what gives credentials may hang
        BackgroundTask(lambda: warm_clients(subjects, ports)).within(until - monotonic())
    record = BackgroundTask(lambda: read_recorded_versions(rules, subjects, ports))
    with batch_reads(subjects, ports):
        for index, subject in enumerate(subjects):
            start_questions(questions, index, subject)
    answered = board.close(until)
    try:
        recorded = record.within(until - monotonic())
    except Timeout:
        late = f"the record of what is live was not read within {request.timeout_s:g} s"
        recorded = RecordedVersions(notes=(late,))
    notes = list(recorded.notes)
    reports = [
        _report(board, index, subjects, request, is_answered)
        for index, is_answered in enumerate(answered)
    ]
    reports = with_record_findings(reports, subjects, recorded)
    versions = DiffRequest(request.folder, rules=request.rules, allowed=request.allowed)
    comparisons = input_comparisons(reports, subjects, recorded, board, rules, ports.clock.now())
    reports = with_head_state(reports, comparisons, versions, git, notes)
    same = {
        location: located_options(rules, request.rules, location)
        for location in _locations(subjects)
    }
    reports = [
        _for_people(report, request.redact, same[subject.location])
        for report, subject in zip(reports, subjects, strict=True)
    ]
    tell_health(reports)
    took_s = round(monotonic() - began, 2)
    notes = [changed_advice(note, request.redact) for note in notes]
    first: dict[str, None] = {}
    for name in names:
        first |= dict.fromkeys(request.redact(line) for line in trust_notice(rules, name))
    result = _result(names, tuple(reports), took_s, notes)
    locations = [_checked_location(location, board) for location in _locations(subjects)]
    return replace(result, first=tuple(first), locations=tuple(locations))


def _locations(subjects: Sequence[Subject]) -> list[Location]:
    return list(dict.fromkeys(subject.location for subject in subjects))


def _checked_location(location: Location, board: Board) -> HealthLocation:
    """What the first line says of a location."""
    account, caller = board.caller(location)
    profile = None
    if location.provider == AWS:
        profile = location.profile or endpoint.profile_name()
    return HealthLocation(
        location.environment, location.account, location.region, profile, caller, account
    )


def _result(
    names: Sequence[str | None],
    reports: tuple[HealthReport, ...],
    took_s: float,
    notes: Sequence[Advice],
) -> HealthResult:
    worst = HealthStatus.worst(report.status for report in reports)
    wrong: list[Finding] = []
    for report in reports:
        wrong += [finding for finding in report.findings if finding.status.is_bad]
    # Where AWS could not be asked, and nothing else is wrong, that is what has to be fixed.
    code = Exit.FAILED if worst.is_bad else Exit.OK
    if wrong and all(finding.unasked for finding in wrong):
        code = Exit.CREDENTIALS
    return HealthResult(
        tuple(name for name in names if name), worst, code, reports, took_s, tuple(notes)
    )


def _subjects(
    request: HealthRequest, rules: Rules, checks: Checks, name: str | None, ports: Ports
) -> Iterable[Subject]:
    """What there is to check in one environment."""
    environment = find_environment(name, rules)
    locations = run_jobs.locations(environment, request.profile, request.region)
    watched = _watched_targets(rules)
    jobs = run_jobs.jobs_without_run(watched, locations, variables_of(environment))
    jobs = with_recorded(jobs, rules, ports, request.timeout_s)
    asks_aws = bool(checks.checks) or any(job.location.provider == AWS for job in jobs)
    for location in locations:
        if asks_aws:
            yield Subject(CREDENTIALS, CREDENTIALS, location)
    for job in jobs:
        yield Subject(job.target, job.kind, job.location, job=job)
    yield from _check_subjects(checks, environment, locations)


def named_subjects(
    names: Sequence[str], subjects: Sequence[Subject], rules: Rules, checks: Checks
) -> list[Subject]:
    """The subjects that are called like this in the table, and the targets of groups; with the
    credentials of their locations. Raises UsageError for a name that there is not.
    """
    graph = Graph(rules.targets)
    by_name: dict[str, list[int]] = {}
    for index, subject in enumerate(subjects):
        for name in _row_names(subject):
            by_name.setdefault(name, []).append(index)
    chosen = set[int]()
    for name in names:
        leaves = graph.leaves(name) if name in rules.targets else (name,)
        indexes = [index for leaf in leaves for index in by_name.get(leaf, ())]
        if not indexes:
            raise _without_row(name, subjects, rules, checks)
        chosen.update(indexes)
    needed = {subjects[index].location for index in chosen if needs_credentials(subjects[index])}
    return [
        subject
        for index, subject in enumerate(subjects)
        if index in chosen or (subject.kind == CREDENTIALS and subject.location in needed)
    ]


def _row_names(subject: Subject) -> Iterable[str]:
    """All that it may be called in the table: `app`, `app@eu-west-1`, `prod app`, `prod app@…`."""
    location = subject.location
    named = [subject.name]
    if location.region:
        named.append(f"{subject.name}@{location.region}")
    yield from named
    if location.environment:
        for name in named:
            yield f"{location.environment} {name}"


def _without_row(
    name: str, subjects: Sequence[Subject], rules: Rules, checks: Checks
) -> UsageError:
    """The error for a name that has no row."""
    if check := checks.checks.get(name):
        environments = {subject.location.environment for subject in subjects}
        return _check_without_row(check, environments, rules)
    if name in rules.targets:
        leaves = Graph(rules.targets).leaves(name)
        kinds = ", ".join(sorted({rules.targets[leaf].kind for leaf in leaves}))
        problem = f"the health of target {name!r} cannot be checked"
        return UsageError(problem, f"toolkit cannot ask for the health of kind {kinds}")
    existing = tuple(dict.fromkeys(subject.name for subject in subjects))
    names = tuple(dict.fromkeys((*existing, *rules.targets)))
    hint = writer_hint(name, rules) or nearest(name, names) or f"it has {', '.join(existing[:8])}"
    return UsageError(f"{rules.file} has no target or check {name!r}", hint)


def _check_without_row(
    check: Check, environments: Collection[str | None], rules: Rules
) -> UsageError:
    """The error for a check that is not asked in these environments, though there is one of that
    name.
    """
    others = () if set(check.environments) & set(environments) else check.environments
    for name in others:
        if check.check_type in LOOKED_AT and not _lacks_values(check, rules.environments.get(name)):
            there = NextCommand("health", (check.name,), ("--env", name))
            problem = f"check {check.name!r} is only for {', '.join(others)}"
            return UsageError(problem, ("ask it there:", there))
    where = ("--env", others[0]) if others else ()
    smoke_test = NextCommand("smoke-test", options=("--only", check.name, *where))
    return UsageError(f"health does not ask check {check.name!r}", ("use", smoke_test))


def _with_trust(subjects: list[Subject], rules: Rules, git: Git | None) -> list[Subject]:
    """The subjects, each with why its programs must not be started. Git is asked only where there
    is a program.
    """
    programs: dict[int, tuple[str, ...]] = {}
    for index, subject in enumerate(subjects):
        if subject.job is not None:
            paths = targets.kind(subject.kind).programs(subject.job.settings)
            if paths:
                programs[index] = paths
    if not programs:
        return subjects
    state = read_trusted_state(rules, git)
    checked = list(subjects)
    for index, paths in programs.items():
        checked[index] = replace(subjects[index], untrusted=state.difference(paths))
    return checked


def _watched_targets(rules: Rules) -> list[Target]:
    """The targets whose health can be checked."""
    return [
        target for target in rules.targets.values() if isinstance(target.settings, JudgedSettings)
    ]


def _check_subjects(
    checks: Checks, environment: Environment | None, locations: Sequence[Location]
) -> Iterable[Subject]:
    name = environment.name if environment else None
    for check in checks.checks.values():
        fits = not check.environments or name in check.environments
        if fits and check.check_type in LOOKED_AT and not _lacks_values(check, environment):
            for location in locations if check.check_type == CheckTypeName.AWS else locations[:1]:
                for row in check.rows or ({},):
                    yield Subject(check.name, CHECK, location, check=check, row=row)


def _lacks_values(check: Check, environment: Environment | None) -> bool:
    """Whether a check uses what only a smoke test knows: secrets and captured values."""
    variables = {"region", "environment"}
    if environment is not None:
        variables |= environment.vars.keys()
    return not check.uses <= variables.union(*check.rows)


def _report(
    board: Board, index: int, subjects: Sequence[Subject], request: HealthRequest, answered: bool
) -> HealthReport:
    """The report on a subject. In an account that is not the right one, or cannot be asked, all is
    unknown but what its addresses answer.
    """
    subject = subjects[index]
    location, live = subject.location, board.live(index)
    report = HealthReport(subject.name, subject.kind, location.environment, location.region, ())
    problem = board.refusal(location) if subject.kind != CREDENTIALS else None
    if problem is not None and needs_credentials(subject):
        of_addresses = [
            finding for finding in board.findings(index) if finding.what in address_names(subject)
        ]
        not_checked = replace(unknown(subject.name, problem), detail="not checked")
        return replace(report, findings=(not_checked, *of_addresses))
    findings: list[Finding] = []
    for finding in board.findings(index):
        others = others_at_address(subjects, subject, finding.what)
        findings.append(compare_address(finding, live, map(board.live, others)))
    if not answered:
        findings.append(_late(subject, request.timeout_s, board.silent_calls(index)))
    return replace(report, findings=tuple(findings), live=live)


def _late(subject: Subject, timeout_s: float, silent: Sequence[str]) -> Finding:
    """What the deadline has left open, with the calls that are silent."""
    late = f"no answer within {timeout_s:g} s"
    more_time = NextCommand("health", (subject.name,), ("--timeout", f"{2 * timeout_s:.0f}s"))
    return Finding(
        subject.name,
        HealthStatus.UNKNOWN,
        late,
        cause=f"{late} from {', '.join(silent)}" if silent else late,
        next=("give it more time:", more_time),
        unasked=needs_credentials(subject),
    )


def needs_credentials(subject: Subject) -> bool:
    """Whether it cannot be checked without AWS credentials."""
    if subject.check is None:
        return subject.location.provider == AWS
    return subject.check.check_type == CheckTypeName.AWS


def _for_people(
    report: HealthReport, redact: Callable[[str], str], same: SameOptions
) -> HealthReport:
    """Without secrets, and with what its commands repeat for its environment and region."""
    findings = tuple(
        replace(
            finding,
            detail=redact(finding.detail),
            cause=redact(finding.cause),
            common=redact(finding.common),
            next=changed_advice(finding.next, redact),
            log=tuple(map(redact, finding.log)),
        )
        for finding in report.findings
    )
    return replace(report, findings=findings, same=same)
