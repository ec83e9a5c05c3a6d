"""The questions that `health` asks, all at the same time, and the board on which the answers are
written.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from threading import Condition
from time import monotonic

from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.checks import addresses
from toolkit.checks.base import CheckContext
from toolkit.checks.tries import carry_out
from toolkit.checks.values import Redactor
from toolkit.errors import CredentialsProblem, ToolkitError
from toolkit.model import Check, Finding, Job, LiveVersion, Location, Result, Rules
from toolkit.ports.aws.client import same_account
from toolkit.ports.background import DaemonThread
from toolkit.ports.net.policy import Policy
from toolkit.ports.ports import Ports
from toolkit.run.jobs import may_answer_for
from toolkit.targets.findings import unknown

SOON_S = 1800.0
"""Credentials that end sooner are worth a warning."""
ANSWER_S, SHARE = 10.0, 0.9
"""How long an address may take, and at most which share of the deadline: that it does not answer
shall be told, not only be unknown.
"""
SAYS = "\0"
"""Between the words of a sign and what an address says of itself, until both it and what runs are
known.
"""


class Subject(Struct, frozen=True):
    """One thing to be looked at: a target's job, a check, or the credentials of a place."""

    name: str
    kind: str
    location: Location
    job: Job | None = None
    check: Check | None = None
    untrusted: str = ""
    """Why the programs that it would start must not be started."""


class Board:
    """Where everybody writes what they see, until it is closed."""

    def __init__(self, subjects: Sequence[Subject]) -> None:
        self._changed = Condition()
        self._signs: list[list[Finding]] = [[] for _ in subjects]
        self._live: dict[int, LiveVersion | None] = {}
        self._open = dict.fromkeys(range(len(subjects)), 0)
        self._closed = False
        self._refused: dict[Location, ToolkitError] = {}

    def begin(self, at: int) -> None:
        """One more question about a subject is asked."""
        with self._changed:
            self._open[at] += 1

    def tell(self, at: int, sign: Finding) -> None:
        """Something was seen; too late is not at all."""
        with self._changed:
            if not self._closed:
                self._signs[at].append(sign)

    def end(self, at: int, live: LiveVersion | None = None, lives: bool = False) -> None:
        """A question has its answer."""
        with self._changed:
            self._open[at] -= 1
            if lives and not self._closed:
                self._live[at] = live
            self._changed.notify_all()

    def close(self, until: float) -> list[bool]:
        """Wait until all is answered, but not longer; for each subject whether it is."""
        with self._changed:
            while any(self._open.values()) and (left := until - monotonic()) > 0:
                self._changed.wait(left)
            self._closed = True
            return [not number for number in self._open.values()]

    def refuse(self, location: Location, problem: ToolkitError) -> None:
        """Nothing that is seen in a place counts: its credentials are none, or another
        account's.
        """
        with self._changed:
            if not self._closed:
                self._refused[location] = problem

    def refusal(self, location: Location) -> ToolkitError | None:
        """Why nothing that was seen in a place counts."""
        return self._refused.get(location)

    def signs(self, at: int) -> tuple[Finding, ...]:
        """What was seen of a subject."""
        return tuple(self._signs[at])

    def live(self, at: int) -> LiveVersion | None:
        """What runs of it."""
        return self._live.get(at)


def warm(subjects: Sequence[Subject], ports: Ports) -> None:
    """Make the AWS clients that will be needed: they are read from large files. What is wrong with
    them is told later.
    """
    wanted: dict[int, tuple[Location, set[str]]] = {}
    for subject in subjects:
        if subject.location.provider != "aws":
            continue
        _, services = wanted.setdefault(
            id(ports.aws(subject.location)), (subject.location, {"sts"})
        )
        if subject.job is not None:
            services.update(targets.kind(subject.kind).services(), ("cloudwatch",))
    for location, services in wanted.values():
        try:
            ports.aws(location).warm(*sorted(services))
        except ToolkitError:
            continue


def more_coming(subjects: Iterable[Subject], ports: Ports) -> ExitStack:
    """While questions are still being started, what is read for many of them at once waits for the
    others.
    """
    ours = (subject for subject in subjects if subject.location.provider == "aws")
    clouds = {id(aws): aws for aws in (ports.aws(subject.location) for subject in ours)}
    waiting = ExitStack()
    for aws in clouds.values():
        waiting.enter_context(aws.more_coming())
    return waiting


def ask_about(
    board: Board,
    at: int,
    subject: Subject,
    policy: Policy,
    seconds: float,
    rules: Rules,
    ports: Ports,
) -> None:
    """Start all questions about one subject."""
    around = _around(policy, subject, seconds, ports)
    if subject.job is not None:
        _start(board, at, lambda: _of_kind(board, at, subject, ports))
    elif subject.check is not None:
        _start(board, at, lambda: _of_check(board, at, subject, around, rules))
    else:
        _start(board, at, lambda: _of_credentials(board, at, subject.location, ports))


def ask_addresses(
    board: Board, at: int, subject: Subject, policy: Policy, seconds: float, ports: Ports
) -> None:
    """Start what needs no credentials: they are asked before AWS is, so that nothing that hangs
    there is in their way.
    """
    around = _around(policy, subject, seconds, ports)
    for url in subject.job.settings.addresses if subject.job is not None else ():
        _start(board, at, lambda url=url: _of_address(board, at, url, around))  # type: ignore[misc]


def addresses_of(subject: Subject) -> frozenset[str]:
    """What the signs of its health addresses are called."""
    return (
        frozenset(map(addresses.without_query, subject.job.settings.addresses))
        if subject.job is not None
        else frozenset()
    )


def _around(policy: Policy, subject: Subject, seconds: float, ports: Ports) -> CheckContext:
    return CheckContext(policy, ports.aws, subject.location, min(ANSWER_S, SHARE * seconds))


def _start(board: Board, at: int, question: Callable[[], None]) -> None:
    board.begin(at)

    def ask() -> None:
        try:
            question()
        except ToolkitError as problem:
            board.tell(at, unknown("toolkit", problem))
        except Exception as bug:
            cause = f"a bug in toolkit: {type(bug).__name__}: {bug}"
            board.tell(
                at,
                Finding(
                    "toolkit", "unknown", "a bug in toolkit", cause=cause, next="please report it"
                ),
            )
        finally:
            board.end(at)

    DaemonThread(ask).start()


def _of_kind(board: Board, at: int, subject: Subject, ports: Ports) -> None:
    assert subject.job is not None  # noqa: S101 (for the type checker)
    if subject.untrusted:
        cause = f"its programs are not started: {subject.untrusted}"
        board.tell(at, Finding("health", "unknown", "not run", cause=cause))
        return
    live = targets.kind(subject.kind).health(subject.job, ports, lambda sign: board.tell(at, sign))
    board.begin(at)
    board.end(at, live, lives=True)


def _of_address(board: Board, at: int, url: str, around: CheckContext) -> None:
    found, said = addresses.check_address(url, around)
    board.tell(
        at,
        (
            replace(found, detail=f"{found.detail}{SAYS}{said}")
            if said and found.status != "failing"
            else found
        ),
    )


def _of_check(board: Board, at: int, subject: Subject, around: CheckContext, rules: Rules) -> None:
    check = subject.check
    assert check is not None  # noqa: S101 (for the type checker)
    there = rules.environments.get(subject.location.environment or "")
    known = {
        **(there.vars if there else {}),
        "region": subject.location.region or "",
        "environment": subject.location.environment or "",
    }
    once = replace(check, retry_s=0.0)
    found = carry_out(
        once,
        known,
        around,
        Redactor(),
        monotonic() + around.seconds,
        lambda seconds: None,
    ).result
    status = {"passed": "ok", "failed": "failing"}.get(found.status, "unknown")
    next_ = found.next or (f"toolkit smoke-test --only {check.name}" if status != "ok" else "")
    detail = found.detail if status == "ok" else _in_short(found)
    cause = "" if status == "ok" else f"{found.asks}: {found.cause}"
    board.tell(
        at,
        Finding(
            found.asks,
            status,
            detail,
            cause=cause,
            next=next_,
            unasked=status == "unknown" and check.check_type == "aws",
        ),
    )


def _in_short(found: Result) -> str:
    """What is wrong with a check, in a few words; the cause says it whole."""
    if found.status != "failed":
        return "could not be checked"
    if found.misses:
        return f"{found.misses[0].what}: {found.misses[0].found}"
    return "not there" if found.cause.startswith("there is no ") else "no good answer"


def _of_credentials(board: Board, at: int, location: Location, ports: Ports) -> None:
    """Whose they are, and for how long."""
    aws = ports.aws(location)
    try:
        account = aws.account()
        same_account(account, location)
    except CredentialsProblem as problem:
        board.refuse(location, problem)
        board.tell(
            at, replace(unknown("credentials", problem), status="failing", detail="cannot be used")
        )
        return
    left = aws.expiry()
    if left is not None and left < SOON_S:
        cause = f"the credentials end in {max(left, 0) / 60:.0f} min"
        option = f" --profile {location.profile}" if location.profile else ""
        board.tell(
            at,
            Finding(
                "credentials",
                "warning",
                f"end in {max(left, 0) / 60:.0f} min",
                cause=cause,
                next=f"aws sso login{option}",
            ),
        )
    else:
        board.tell(
            at,
            Finding(
                "credentials",
                "ok",
                f"account {account}" + ("" if left is None else f", end in {left / 3600:.1f} h"),
            ),
        )


def compared(
    sign: Finding, live: LiveVersion | None, others: Iterable[LiveVersion | None] = ()
) -> Finding:
    """A sign of an address, with what it says of itself held against what runs; `others` may answer
    there just as well.
    """
    words, _, said = sign.detail.partition(SAYS)
    if (
        live is not None
        and addresses.is_other_version(said, live)
        and not any(addresses.is_same_version(said, other) for other in others)
    ):
        return addresses.wrong_version(sign.what, said, live.version or live.commit or "")
    return replace(sign, detail=words)


def elsewhere(subjects: Sequence[Subject], subject: Subject, address: str) -> list[int]:
    """Where among the subjects those are whose program may answer at this address instead. Pure."""
    job = subject.job
    return [
        at
        for at, other in enumerate(subjects)
        if job is not None
        and other.job is not None
        and address in map(addresses.without_query, other.job.settings.addresses)
        and other.location.environment == subject.location.environment
        and may_answer_for(job, other.job)
    ]
