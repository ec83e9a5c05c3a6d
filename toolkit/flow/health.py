"""`health`: everything that rules.toml names, looked at side by side, by one deadline; what did not
answer by then is unknown.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from time import monotonic

from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.errors import Exit, Refused
from toolkit.flow import checks as checking
from toolkit.flow import trusted_programs
from toolkit.flow.advice import advised, same_location
from toolkit.flow.behind import RecordedVersions, against_head, against_record, recorded
from toolkit.flow.decisions import tell_health
from toolkit.flow.looking import (
    SAYS,
    Board,
    Subject,
    addresses_of,
    ask_about,
    ask_addresses,
    compared,
    elsewhere,
    more_coming,
    warm,
)
from toolkit.flow.rulebook import environment
from toolkit.flow.trusted import load_trusted, told
from toolkit.model import Check, Checks, Environment, Finding, HealthReport, Location, Rules, Target
from toolkit.ports.background import BackgroundTask, Timeout
from toolkit.ports.git import Git
from toolkit.ports.ports import Ports
from toolkit.run import jobs as making
from toolkit.targets.base import JudgedSettings
from toolkit.targets.findings import unknown

LOOKED_AT = ("aws", "tls", "dns")
"""The sorts of checks that only look, and so are part of it."""


class HealthRequest(Struct, frozen=True, kw_only=True):
    """What a person asked for. `timeout_s` is the deadline for everything; `redact` takes what
    looks like a secret out of what is told.
    """

    folder: str
    rules: str | None = None
    environment: str | None = None
    everywhere: bool = False
    profile: str | None = None
    region: str | None = None
    targets: tuple[str, ...] = ()
    timeout_s: float = 20.0
    allowed: bool = False
    redact: Callable[[str], str] = str


class HealthResult(Struct, frozen=True):
    """What was found. `status` is the worst word of all; `exit` 0 where that is ok or warning."""

    environments: tuple[str, ...]
    status: str
    exit: int
    checkups: tuple[HealthReport, ...]
    took_s: float
    notes: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    """What is told before anything else."""


def look(request: HealthRequest, git: Git | None, ports: Ports) -> HealthResult:
    """Look at everything once. Raises RulesError, UsageError, Refused; never for what is not
    well.
    """
    began = monotonic()
    rules = load_trusted(request.folder, request.rules, git, request.allowed)
    found = checking.load(rules)
    everywhere: list[str | None] = [*rules.environments] or [None]
    names = everywhere if request.everywhere else [environment(request.environment, rules)]
    subjects = tuple(
        subject for name in names for subject in _subjects(request, rules, found, name, git)
    )
    if not any(subject.kind != "credentials" for subject in subjects):
        raise Refused(
            "rules.toml has nothing to check",
            "targets of kind app, stack, function or site, or checks",
        )
    board = Board(subjects)
    policies = {
        name: checking.policy(rules, found, rules.environments.get(name) if name else None)
        for name in names
    }
    until = began + request.timeout_s
    for at, subject in enumerate(subjects):
        ask_addresses(
            board, at, subject, policies[subject.location.environment], request.timeout_s, ports
        )
    with suppress(Timeout):  # what gives credentials may hang
        BackgroundTask(lambda: warm(subjects, ports)).within(until - monotonic())
    record = BackgroundTask(lambda: recorded(rules, subjects, ports))
    with more_coming(subjects, ports):
        for at, subject in enumerate(subjects):
            ask_about(
                board,
                at,
                subject,
                policies[subject.location.environment],
                request.timeout_s,
                rules,
                ports,
            )
    answered = board.close(until)
    try:
        known = record.within(until - monotonic())
    except Timeout:
        known = RecordedVersions(
            notes=(f"the record of what is live was not read within {request.timeout_s:g} s",)
        )
    notes = list(known.notes)
    checkups = [_checkup(board, at, subjects, answered[at], request) for at in range(len(subjects))]
    checkups = against_record(checkups, subjects, known)
    checkups = against_head(checkups, request.folder, request.rules, git, notes, request.allowed)
    checkups = [_told(checkup, rules, request) for checkup in checkups]
    took_s, notes = round(monotonic() - began, 2), [request.redact(note) for note in notes]
    tell_health(checkups)
    looked = _looked(names, tuple(checkups), took_s, notes)
    first = dict.fromkeys(request.redact(words) for name in names for words in told(rules, name))
    return replace(looked, first=tuple(first))


def _looked(
    names: Sequence[str | None],
    checkups: tuple[HealthReport, ...],
    took_s: float,
    notes: Sequence[str],
) -> HealthResult:
    words = {checkup.status for checkup in checkups}
    worst = next(word for word in ("failing", "unknown", "warning", "ok") if word in words)
    wrong = [
        sign
        for checkup in checkups
        for sign in checkup.signs
        if sign.status in ("failing", "unknown")
    ]
    # Where AWS could not be asked, and nothing else is wrong, that is what has to be fixed.
    code = Exit.FAILED if worst in ("failing", "unknown") else Exit.OK
    if wrong and all(sign.unasked for sign in wrong):
        code = Exit.CREDENTIALS
    return HealthResult(
        tuple(name for name in names if name), worst, code, checkups, took_s, tuple(notes)
    )


def _subjects(
    request: HealthRequest, rules: Rules, found: Checks, name: str | None, git: Git | None
) -> Iterable[Subject]:
    """What there is to look at in one environment."""
    there = rules.environments.get(name) if name else None
    locations = making.locations(there, request.profile, request.region)
    wanted = _wanted(request, rules)
    jobs = making.jobs_without_run(wanted, locations, there.vars if there else {})
    asks_aws = bool(found.checks) or any(job.location.provider == "aws" for job in jobs)
    for location in locations:
        if asks_aws:
            yield Subject("credentials", "credentials", location)
    for job in jobs:
        programs = targets.kind(job.kind).programs(job.settings)
        untrusted = trusted_programs.difference(programs, git) if programs else ""
        yield Subject(job.target, job.kind, job.location, job=job, untrusted=untrusted)
    if not request.targets:
        yield from _checks(found, there, locations)


def _wanted(request: HealthRequest, rules: Rules) -> list[Target]:
    """The targets that can be looked at, groups written out. Raises UsageError for one that is not
    there.
    """
    from toolkit.flow.deploy import known
    from toolkit.plan.graph import Graph

    for name in request.targets:
        known(name, rules)
    graph = Graph(rules.targets)
    leaves = set[str]().union(*(graph.leaves(name) for name in request.targets or rules.targets))
    return [
        target
        for name, target in rules.targets.items()
        if name in leaves and isinstance(target.settings, JudgedSettings)
    ]


def _checks(
    found: Checks, there: Environment | None, locations: Sequence[Location]
) -> Iterable[Subject]:
    name = there.name if there else None
    for check in found.checks.values():
        fits = not check.environments or name in check.environments
        if fits and check.check_type in LOOKED_AT and not _lacks(check, there):
            for location in locations if check.check_type == "aws" else locations[:1]:
                yield Subject(check.name, "check", location, check=check)


def _lacks(check: Check, there: Environment | None) -> bool:
    """Whether a check uses what only a smoke test knows: secrets and captured values."""
    return bool(check.uses - (there.vars.keys() if there else set()) - {"region", "environment"})


def _checkup(
    board: Board, at: int, subjects: Sequence[Subject], answered: bool, request: HealthRequest
) -> HealthReport:
    """What is known of a subject. In an account that is not the right one, or cannot be asked,
    nothing is.
    """
    subject = subjects[at]
    location, live = subject.location, board.live(at)
    problem = board.refusal(location) if subject.kind != "credentials" else None
    if problem is not None and _needs_credentials(subject):
        sign = replace(unknown(subject.name, problem), detail="not checked")
        seen = tuple(
            replace(one, detail=one.detail.partition(SAYS)[0])
            for one in board.signs(at)
            if one.what in addresses_of(subject)
        )
        return HealthReport(
            subject.name, subject.kind, location.environment, location.region, (sign, *seen)
        )
    signs = tuple(
        compared(
            sign, live, (board.live(other) for other in elsewhere(subjects, subject, sign.what))
        )
        for sign in board.signs(at)
    )
    if not answered:
        late = f"no answer within {request.timeout_s:g} s"
        next_ = f"try again with --timeout {2 * request.timeout_s:.0f}s"
        signs = (
            *signs,
            Finding(
                subject.name,
                "unknown",
                late,
                cause=late,
                next=next_,
                unasked=_needs_credentials(subject),
            ),
        )
    return HealthReport(
        subject.name, subject.kind, location.environment, location.region, signs, live
    )


def _needs_credentials(subject: Subject) -> bool:
    if subject.check is None:
        return subject.location.provider == "aws"
    return subject.check.check_type == "aws"


def _told(checkup: HealthReport, rules: Rules, request: HealthRequest) -> HealthReport:
    """Without secrets, and with commands that mean the environment and the region that it is in."""
    redact, said = (
        request.redact,
        same_location(rules, request.rules, checkup.environment, checkup.region),
    )
    signs = tuple(
        replace(
            sign,
            detail=redact(sign.detail),
            cause=redact(sign.cause),
            next=redact(advised(sign.next, said)),
        )
        for sign in checkup.signs
    )
    return replace(checkup, signs=signs)
