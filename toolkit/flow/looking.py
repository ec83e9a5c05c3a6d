"""The questions that `health` asks, all at the same time, and the board on which the answers are
written.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from threading import Condition
from time import monotonic

from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets, verify
from toolkit.errors import CredentialsProblem, ToolkitError
from toolkit.model import Check, Job, Live, Place, Result, Rules, Sign
from toolkit.ports.aside import Spare
from toolkit.ports.aws.client import same_account
from toolkit.ports.net.policy import Policy
from toolkit.ports.world import World
from toolkit.run.jobs import may_answer_for
from toolkit.targets.signs import unknown
from toolkit.verify import addresses
from toolkit.verify.base import Around
from toolkit.verify.tries import carry_out
from toolkit.verify.values import Veil

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
    place: Place
    job: Job | None = None
    check: Check | None = None


class Board:
    """Where everybody writes what they see, until it is closed."""

    def __init__(self, subjects: Sequence[Subject]) -> None:
        self._changed = Condition()
        self._signs: list[list[Sign]] = [[] for _ in subjects]
        self._live: dict[int, Live | None] = {}
        self._open = dict.fromkeys(range(len(subjects)), 0)
        self._closed = False
        self._refused: dict[Place, ToolkitError] = {}

    def begin(self, at: int) -> None:
        """One more question about a subject is asked."""
        with self._changed:
            self._open[at] += 1

    def tell(self, at: int, sign: Sign) -> None:
        """Something was seen; too late is not at all."""
        with self._changed:
            if not self._closed:
                self._signs[at].append(sign)

    def end(self, at: int, live: Live | None = None, lives: bool = False) -> None:
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

    def refuse(self, place: Place, problem: ToolkitError) -> None:
        """Nothing that is seen in a place counts: its credentials are none, or another
        account's.
        """
        with self._changed:
            if not self._closed:
                self._refused[place] = problem

    def refusal(self, place: Place) -> ToolkitError | None:
        """Why nothing that was seen in a place counts."""
        return self._refused.get(place)

    def signs(self, at: int) -> tuple[Sign, ...]:
        """What was seen of a subject."""
        return tuple(self._signs[at])

    def live(self, at: int) -> Live | None:
        """What runs of it."""
        return self._live.get(at)


def warm(subjects: Sequence[Subject], world: World) -> None:
    """Make the AWS clients that will be needed: they are read from large files. What is wrong with
    them is told later.
    """
    wanted: dict[int, tuple[Place, set[str]]] = {}
    for subject in subjects:
        _, services = wanted.setdefault(id(world.aws(subject.place)), (subject.place, {"sts"}))
        if subject.job is not None:
            services.update(targets.kind(subject.kind).services(), ("cloudwatch",))
    for place, services in wanted.values():
        try:
            world.aws(place).warm(*sorted(services))
        except ToolkitError:
            continue


def more_coming(subjects: Iterable[Subject], world: World) -> ExitStack:
    """While questions are still being started, what is read for many of them at once waits for the
    others.
    """
    clouds = {id(aws): aws for aws in (world.aws(subject.place) for subject in subjects)}
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
    world: World,
) -> None:
    """Start all questions about one subject."""
    around = _around(policy, subject, seconds, world)
    if subject.job is not None:
        _start(board, at, lambda: _of_kind(board, at, subject, world))
    elif subject.check is not None:
        _start(board, at, lambda: _of_check(board, at, subject, around, rules))
    else:
        _start(board, at, lambda: _of_credentials(board, at, subject.place, world))


def ask_addresses(
    board: Board, at: int, subject: Subject, policy: Policy, seconds: float, world: World
) -> None:
    """Start what needs no credentials: they are asked before AWS is, so that nothing that hangs
    there is in their way.
    """
    around = _around(policy, subject, seconds, world)
    for url in subject.job.settings.health if subject.job is not None else ():
        _start(board, at, lambda url=url: _of_address(board, at, url, around))  # type: ignore[misc]


def addresses_of(subject: Subject) -> frozenset[str]:
    """What the signs of its health addresses are called."""
    return (
        frozenset(map(addresses.shown, subject.job.settings.health))
        if subject.job is not None
        else frozenset()
    )


def _around(policy: Policy, subject: Subject, seconds: float, world: World) -> Around:
    return Around(policy, world.aws, subject.place, min(ANSWER_S, SHARE * seconds))


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
                Sign(
                    "toolkit", "unknown", "a bug in toolkit", cause=cause, next="please report it"
                ),
            )
        finally:
            board.end(at)

    Spare(ask).start()


def _of_kind(board: Board, at: int, subject: Subject, world: World) -> None:
    assert subject.job is not None  # noqa: S101 (for the type checker)
    live = targets.kind(subject.kind).health(subject.job, world, lambda sign: board.tell(at, sign))
    board.begin(at)
    board.end(at, live, lives=True)


def _of_address(board: Board, at: int, url: str, around: Around) -> None:
    found, said = addresses.sign(url, around)
    board.tell(
        at,
        (
            replace(found, detail=f"{found.detail}{SAYS}{said}")
            if said and found.status != "failing"
            else found
        ),
    )


def _of_check(board: Board, at: int, subject: Subject, around: Around, rules: Rules) -> None:
    check = subject.check
    assert check is not None  # noqa: S101 (for the type checker)
    there = rules.environments.get(subject.place.environment or "")
    known = {
        **(there.vars if there else {}),
        "region": subject.place.region or "",
        "environment": subject.place.environment or "",
    }
    once = replace(check, retry_s=0.0)
    found = carry_out(
        once,
        verify.sort(check.sort),
        known,
        around,
        Veil(),
        monotonic() + around.seconds,
        lambda seconds: None,
    ).result
    status = {"passed": "ok", "failed": "failing"}.get(found.status, "unknown")
    next_ = found.next or (f"toolkit smoke-test --only {check.name}" if status != "ok" else "")
    detail = found.detail if status == "ok" else _in_short(found)
    cause = "" if status == "ok" else f"{found.asks}: {found.cause}"
    board.tell(
        at,
        Sign(
            found.asks,
            status,
            detail,
            cause=cause,
            next=next_,
            unasked=status == "unknown" and check.sort == "aws",
        ),
    )


def _in_short(found: Result) -> str:
    """What is wrong with a check, in a few words; the cause says it whole."""
    if found.status != "failed":
        return "could not be seen"
    if found.misses:
        return f"{found.misses[0].what}: {found.misses[0].found}"
    return "not there" if found.cause.startswith("there is no ") else "no good answer"


def _of_credentials(board: Board, at: int, place: Place, world: World) -> None:
    """Whose they are, and for how long."""
    aws = world.aws(place)
    try:
        account = aws.account()
        same_account(account, place)
    except CredentialsProblem as problem:
        board.refuse(place, problem)
        board.tell(
            at, replace(unknown("credentials", problem), status="failing", detail="cannot be used")
        )
        return
    left = aws.expiry()
    if left is not None and left < SOON_S:
        cause = f"the credentials end in {max(left, 0) / 60:.0f} min"
        option = f" --profile {place.profile}" if place.profile else ""
        board.tell(
            at,
            Sign(
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
            Sign(
                "credentials",
                "ok",
                f"account {account}" + ("" if left is None else f", end in {left / 3600:.1f} h"),
            ),
        )


def compared(sign: Sign, live: Live | None, others: Iterable[Live | None] = ()) -> Sign:
    """A sign of an address, with what it says of itself held against what runs; `others` may answer
    there just as well.
    """
    words, _, said = sign.detail.partition(SAYS)
    if (
        live is not None
        and addresses.is_another(said, live)
        and not any(addresses.is_of(said, other) for other in others)
    ):
        return addresses.another(sign.what, said, live.version or live.commit or "")
    return replace(sign, detail=words)


def elsewhere(subjects: Sequence[Subject], subject: Subject, address: str) -> list[int]:
    """Where among the subjects those are whose program may answer at this address instead. Pure."""
    job = subject.job
    return [
        at
        for at, other in enumerate(subjects)
        if job is not None
        and other.job is not None
        and address in map(addresses.shown, other.job.settings.health)
        and other.place.environment == subject.place.environment
        and may_answer_for(job, other.job)
    ]
