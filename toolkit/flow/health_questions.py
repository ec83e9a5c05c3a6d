"""The questions that `health` asks, all at the same time, and the board that collects answers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from threading import Condition
from time import monotonic
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.advice import NextCommand, ShellCommand
from toolkit.checks import addresses
from toolkit.checks.base import CheckContext
from toolkit.checks.tries import carry_out
from toolkit.checks.values import Redactor
from toolkit.errors import CredentialsProblem, ToolkitError
from toolkit.flow import declared_inputs
from toolkit.flow.declared_inputs import Readings
from toolkit.flow.rulebook import find_environment, variables_of
from toolkit.model import AWS, Check, CheckTypeName, Rules
from toolkit.operations import (
    CREDENTIALS,
    CheckStatus,
    Depth,
    Finding,
    HealthStatus,
    Job,
    LiveVersion,
    Location,
    Result,
)
from toolkit.ports.aws.client import same_account
from toolkit.ports.aws.in_flight import CallWatch
from toolkit.ports.background import DaemonThread
from toolkit.ports.net.policy import Policy
from toolkit.ports.ports import Ports
from toolkit.run.jobs import may_answer_for
from toolkit.targets.findings import unknown

SOON_S = 1800.0
"""Credentials that end sooner are worth a warning."""
ANSWER_S, SHARE = 10.0, 0.9
"""How long an address may take, in seconds and at most as a share of the deadline: an address that
does not answer is reported as that, and not only as unknown because time ran out.
"""


class Subject(Struct, frozen=True):
    """One thing to check: a target's job, a check, or the credentials of a location."""

    name: str
    kind: str
    location: Location
    job: Job | None = None
    check: Check | None = None
    row: Mapping[str, Any] = {}
    """The values of the check's row of data."""
    untrusted: str = ""
    """Why the programs that it would start must not be started."""


class Board:
    """Collects findings from all threads, by the subject's index, until it is closed."""

    def __init__(self, subjects: Sequence[Subject]) -> None:
        self._changed = Condition()
        self._findings: list[list[Finding]] = [[] for _ in subjects]
        self._live: dict[int, LiveVersion | None] = {}
        self._inputs: dict[int, Readings] = {}
        self._open = dict.fromkeys(range(len(subjects)), 0)
        self._closed = False
        self._refused: dict[Location, ToolkitError] = {}
        self._callers: dict[Location, tuple[str, str]] = {}
        self._watches = [CallWatch() for _ in subjects]
        self._silent: dict[int, tuple[str, ...]] = {}

    def watch(self, index: int) -> CallWatch:
        """What knows the calls about a subject that have no answer yet."""
        return self._watches[index]

    def begin(self, index: int) -> None:
        """One more question about a subject is asked."""
        with self._changed:
            self._open[index] += 1

    def tell(self, index: int, finding: Finding) -> None:
        """Add a finding; one that comes after the board was closed is dropped."""
        with self._changed:
            if not self._closed:
                self._findings[index].append(finding)

    def end(self, index: int, live: LiveVersion | None = None, lives: bool = False) -> None:
        """A question has its answer. With `lives`, that is what is live of the subject."""
        with self._changed:
            self._open[index] -= 1
            if lives and not self._closed:
                self._live[index] = live
            self._changed.notify_all()

    def keep_inputs(self, index: int, readings: Readings) -> None:
        """What the inputs outside git that a subject declares are now."""
        with self._changed:
            if not self._closed:
                self._inputs[index] = readings

    def close(self, until: float) -> list[bool]:
        """Wait until all is answered, but not longer; for each subject whether it is."""
        with self._changed:
            while any(self._open.values()):
                remaining = until - monotonic()
                if remaining <= 0:
                    break
                self._changed.wait(remaining)
            self._closed = True
            for index, number in self._open.items():
                if number:
                    self._silent[index] = self._watches[index].names()
            return [not number for number in self._open.values()]

    def silent_calls(self, index: int) -> tuple[str, ...]:
        """The calls about a subject that had no answer when it was closed."""
        return self._silent.get(index, ())

    def identify(self, location: Location, caller: tuple[str, str]) -> None:
        """The account of a location's credentials, and whose they are."""
        with self._changed:
            if not self._closed:
                self._callers[location] = caller

    def caller(self, location: Location) -> tuple[str, str]:
        """The same; empty where it is not known."""
        return self._callers.get(location, ("", ""))

    def refuse(self, location: Location, problem: ToolkitError) -> None:
        """No finding in a location counts: its credentials are missing, or another account's."""
        with self._changed:
            if not self._closed:
                self._refused[location] = problem

    def refusal(self, location: Location) -> ToolkitError | None:
        """Why no finding in a location counts, None if they do."""
        return self._refused.get(location)

    def findings(self, index: int) -> tuple[Finding, ...]:
        """The findings about a subject."""
        return tuple(self._findings[index])

    def live(self, index: int) -> LiveVersion | None:
        """What is live of a subject."""
        return self._live.get(index)

    def inputs(self, index: int) -> Readings:
        """What its inputs outside git are now, as far as they have been read."""
        return self._inputs.get(index, {})


class Questions(Struct, frozen=True):
    """What all questions are asked with. `policies` are by environment; `seconds` is the deadline
    of all of it.
    """

    board: Board
    policies: Mapping[str | None, Policy]
    seconds: float
    rules: Rules
    ports: Ports

    def check_context(self, subject: Subject) -> CheckContext:
        """What a check of this subject is made with."""
        location = subject.location
        seconds = min(ANSWER_S, SHARE * self.seconds)
        return CheckContext(self.policies[location.environment], self.ports.aws, location, seconds)


def warm_clients(subjects: Sequence[Subject], ports: Ports) -> None:
    """Make the AWS clients that will be needed: they are read from large files. A problem with them
    is left to the question that meets it.
    """
    needed: dict[int, tuple[Location, set[str]]] = {}
    for subject in subjects:
        if subject.location.provider != AWS:
            continue
        client = id(ports.aws(subject.location))
        _, services = needed.setdefault(client, (subject.location, {"sts"}))
        if subject.job is not None:
            services.update(targets.kind(subject.kind).services(), ("cloudwatch",))
    for location, services in needed.values():
        try:
            ports.aws(location).warm(*sorted(services))
        except ToolkitError:
            continue


def batch_reads(subjects: Iterable[Subject], ports: Ports) -> ExitStack:
    """While questions are still being started, a read that serves many of them waits for the others
    to join it.
    """
    ours = (subject for subject in subjects if subject.location.provider == AWS)
    clients = [ports.aws(subject.location) for subject in ours]
    waiting = ExitStack()
    for aws in {id(aws): aws for aws in clients}.values():
        waiting.enter_context(aws.more_coming())
    return waiting


def start_questions(questions: Questions, index: int, subject: Subject) -> None:
    """Start all questions about one subject but those that `start_address_questions` starts."""
    board, ports = questions.board, questions.ports
    if subject.job is not None:
        job = subject.job
        untrusted = subject.untrusted
        _start(board, index, lambda: _of_kind(board, index, job, ports, untrusted))
        if questions.rules.targets[job.target].declared_inputs:
            _start(board, index, lambda: _of_inputs(questions, index, job))
    elif subject.check is not None:
        check = subject.check
        _start(board, index, lambda: _of_check(questions, index, subject, check))
    else:
        _start(board, index, lambda: _of_credentials(board, index, subject.location, ports))


def start_address_questions(questions: Questions, index: int, subject: Subject) -> None:
    """Start what needs no credentials. It goes before AWS is asked, so that nothing that hangs
    there is in its way.
    """
    if subject.job is None:
        return
    board, context = questions.board, questions.check_context(subject)
    for url in subject.job.settings.addresses:
        _start(board, index, partial(_ask_address, board, index, url, context))


def address_names(subject: Subject) -> frozenset[str]:
    """What the findings about its health addresses are called."""
    if subject.job is None:
        return frozenset()
    return frozenset(map(addresses.without_query, subject.job.settings.addresses))


def _start(board: Board, index: int, question: Callable[[], None]) -> None:
    board.begin(index)

    def ask() -> None:
        try:
            with board.watch(index).active():
                question()
        except ToolkitError as problem:
            board.tell(index, unknown("toolkit", problem))
        except Exception as bug:
            cause = f"a bug in toolkit: {type(bug).__name__}: {bug}"
            finding = Finding(
                "toolkit",
                HealthStatus.UNKNOWN,
                "a bug in toolkit",
                cause=cause,
                next="please report it",
            )
            board.tell(index, finding)
        finally:
            board.end(index)

    DaemonThread(ask).start()


def _of_kind(board: Board, index: int, job: Job, ports: Ports, untrusted: str) -> None:
    if untrusted:
        cause = f"its programs are not started: {untrusted}"
        board.tell(index, Finding("health", HealthStatus.UNKNOWN, "not run", cause=cause))
        return

    def tell(finding: Finding) -> None:
        # A kind of a package may have written the status as a word.
        board.tell(index, replace(finding, status=HealthStatus(finding.status)))

    live = targets.kind(job.kind).health(job, ports, tell)
    board.begin(index)
    board.end(index, live, lives=True)


def _of_inputs(questions: Questions, index: int, job: Job) -> None:
    """Whether the inputs outside git that it declares are still there, and which versions."""
    declared = declared_inputs.inputs_of_job(job, questions.rules)
    asked = [(job.location, each) for each in declared]
    readings = declared_inputs.read_inputs(asked, questions.ports)
    declared_inputs.remember(readings, questions.ports)
    questions.board.keep_inputs(index, readings)
    for finding in declared_inputs.findings(readings):
        questions.board.tell(index, finding)


def _ask_address(board: Board, index: int, url: str, context: CheckContext) -> None:
    finding = addresses.check_address(url, context)
    board.tell(index, replace(finding, depth=Depth.ADDRESS))


def _of_check(questions: Questions, index: int, subject: Subject, check: Check) -> None:
    location, context = subject.location, questions.check_context(subject)
    environment = find_environment(location.environment, questions.rules)
    values = {
        **variables_of(environment),
        "region": location.region or "",
        "environment": location.environment or "",
        **subject.row,
    }
    result = carry_out(
        replace(check, retry_s=0.0),
        values,
        context,
        Redactor(),
        monotonic() + context.seconds,
        lambda seconds: None,
    ).result
    if result.status == CheckStatus.PASSED:
        finding = Finding(result.asks, HealthStatus.OK, result.detail, next=result.next)
    else:
        has_failed = result.status == CheckStatus.FAILED
        status = HealthStatus.FAILING if has_failed else HealthStatus.UNKNOWN
        finding = Finding(
            result.asks,
            status,
            _in_short(result),
            cause=f"{result.asks}: {result.cause}",
            next=result.next or NextCommand("smoke-test", options=("--only", check.name)),
            unasked=not has_failed and check.check_type == CheckTypeName.AWS,
        )
    questions.board.tell(index, finding)


def _in_short(result: Result) -> str:
    """What is wrong with a check, in a few words; the cause has all of it."""
    if result.status != CheckStatus.FAILED:
        return "could not be checked"
    if result.misses:
        return f"{result.misses[0].what}: {result.misses[0].found}"
    return "not there" if result.absent else "unexpected answer"


def _of_credentials(board: Board, index: int, location: Location, ports: Ports) -> None:
    """Whose they are, and for how long."""
    aws = ports.aws(location)
    try:
        account, who = aws.caller()
        board.identify(location, (account, who))
        same_account(account, location)
    except CredentialsProblem as problem:
        board.refuse(location, problem)
        finding = unknown(CREDENTIALS, problem)
        board.tell(index, replace(finding, status=HealthStatus.FAILING, detail="cannot be used"))
        return
    remaining = aws.expiry()
    if remaining is not None and remaining < SOON_S:
        option = ("--profile", location.profile) if location.profile else ()
        end = f"end in {max(remaining, 0) / 60:.0f} min"
        finding = Finding(
            CREDENTIALS,
            HealthStatus.WARNING,
            end,
            cause=f"the credentials {end}",
            next=ShellCommand("aws sso login", option),
        )
    else:
        end = "" if remaining is None else f", end in {remaining / 3600:.1f} h"
        finding = Finding(CREDENTIALS, HealthStatus.OK, f"account {account}{end}")
    board.tell(index, finding)


def compare_address(
    finding: Finding, live: LiveVersion | None, others: Iterable[LiveVersion | None] = ()
) -> Finding:
    """The finding about an address, with the version that it reports compared with what is live;
    `others` are live versions that may answer there just as well.
    """
    if live is None or not addresses.is_other_version(finding.version, live):
        return finding
    if any(addresses.is_same_version(finding.version, other) for other in others):
        return finding
    return addresses.wrong_version(finding.what, finding.version, live.version or live.commit or "")


def others_at_address(subjects: Sequence[Subject], subject: Subject, address: str) -> list[int]:
    """The indexes of the subjects whose program may answer at this address instead. Pure."""
    if subject.job is None:
        return []
    indexes: list[int] = []
    for index, other in enumerate(subjects):
        if other.job is None or other.location.environment != subject.location.environment:
            continue
        if address in address_names(other) and may_answer_for(subject.job, other.job):
            indexes.append(index)
    return indexes
