"""`health`: everything that rules.toml names, looked at side by side, by one deadline; what did not answer by then is unknown."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from threading import Condition, Thread
from time import monotonic

from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets, verify
from toolkit.errors import CredentialsProblem, Exit, Refused, ToolkitError, WrongAccount
from toolkit.flow import checks as checking
from toolkit.flow.compare import Point, diff
from toolkit.flow.compare import Request as Comparison
from toolkit.flow.recorded import point_of
from toolkit.flow.rulebook import environment, load_rules
from toolkit.model import Check, Checks, Checkup, Environment, Job, Live, Place, Rules, Sign, Target
from toolkit.ports.git import Git
from toolkit.ports.net.policy import Policy
from toolkit.ports.world import World
from toolkit.record.ledger import Record, open_ledger
from toolkit.record.state import Store, existing, open_store
from toolkit.run import jobs as making
from toolkit.targets.base import Watched
from toolkit.targets.signs import unknown
from toolkit.verify import addresses
from toolkit.verify.base import Around
from toolkit.verify.tries import carry_out
from toolkit.verify.values import Veil

LOOKED_AT = ("aws", "tls", "dns")
"""The sorts of checks that only look, and so are part of it."""
SOON_S = 1800.0
"""Credentials that end sooner are worth a warning."""
SLACK = timedelta(minutes=2)
"""Two machines' clocks, and the time that a record takes to be written."""
CONTENT = ("task definition", "sha256")
"""What names the very content that runs, among the details of what is live."""


class Request(Struct, frozen=True, kw_only=True):
    """What a person asked for. `timeout_s` is the deadline for everything; `redact` takes what looks like a secret out of what is told."""

    folder: str
    rules: str | None = None
    environment: str | None = None
    everywhere: bool = False
    profile: str | None = None
    region: str | None = None
    targets: tuple[str, ...] = ()
    timeout_s: float = 20.0
    redact: Callable[[str], str] = str


class Looked(Struct, frozen=True):
    """What was found. `status` is the worst word of all; `exit` 0 where that is ok or warning."""

    environments: tuple[str, ...]
    status: str
    exit: int
    checkups: tuple[Checkup, ...]
    took_s: float
    notes: tuple[str, ...] = ()


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
        """Nothing that is seen in a place counts: its credentials are none, or another account's."""
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


def look(request: Request, git: Git | None, world: World) -> Looked:
    """Look at everything once. Raises RulesError, UsageError, Refused; never for what is not well."""
    began = monotonic()
    rules = load_rules(request.folder, request.rules, git)
    found = checking.load(rules)
    names = list(rules.environments) if request.everywhere else [environment(request.environment, rules)]
    subjects = tuple(subject for name in names or [None] for subject in _subjects(request, rules, found, name))
    if not any(subject.kind != "credentials" for subject in subjects):
        raise Refused("rules.toml names nothing that can be looked at", "targets of kind app, stack, function or site, or checks")
    board = Board(subjects)
    policies = {name: checking.policy(rules, found, rules.environments.get(name) if name else None) for name in names}
    _warm(subjects, world)
    for at, subject in enumerate(subjects):
        _ask_about(board, at, subject, policies[subject.place.environment], request, rules, world)
    answered = board.close(began + request.timeout_s)
    checkups = [_checkup(board, at, subject, answered[at], request) for at, subject in enumerate(subjects)]
    notes: list[str] = []
    checkups = _against_record(checkups, rules, subjects, world, notes)
    checkups = _against_head(checkups, rules, request, git)
    told = tuple(_redacted(checkup, request.redact) for checkup in checkups)
    return _looked(names, subjects, told, board, round(monotonic() - began, 2), notes)


def _looked(
    names: Sequence[str | None], subjects: Sequence[Subject], checkups: tuple[Checkup, ...], board: Board, took_s: float,
    notes: Sequence[str],
) -> Looked:  # fmt: skip
    words = {checkup.status for checkup in checkups}
    worst = next(word for word in ("failing", "unknown", "warning", "ok") if word in words)
    well = [checkup.status in ("ok", "warning") for checkup in checkups]
    blind = [board.refusal(subject.place) is not None for subject in subjects]
    # Where all that is not well is not known for want of credentials, that is what has to be mended.
    blamed = all(one or other for one, other in zip(well, blind, strict=True))
    code = Exit.OK if all(well) else Exit.CREDENTIALS if blamed else Exit.FAILED
    return Looked(tuple(name for name in names if name), worst, code, checkups, took_s, tuple(notes))


def _subjects(request: Request, rules: Rules, found: Checks, name: str | None) -> Iterable[Subject]:
    """What there is to look at in one environment."""
    there = rules.environments.get(name) if name else None
    places = making.places(there, request.profile, request.region)
    wanted = _wanted(request, rules)
    jobs = making.imagined(wanted, places, there.vars if there else {})
    for place in places:
        if wanted or found.checks:
            yield Subject("credentials", "credentials", place)
    for job in jobs:
        yield Subject(job.target, job.kind, job.place, job=job)
    if not request.targets:
        yield from _checks(found, there, places)


def _wanted(request: Request, rules: Rules) -> list[Target]:
    """The targets that can be looked at, groups written out. Raises UsageError for one that is not there."""
    from toolkit.flow.deploy import known
    from toolkit.plan.graph import Graph

    for name in request.targets:
        known(name, rules)
    graph = Graph(rules.targets)
    leaves = set[str]().union(*(graph.leaves(name) for name in request.targets or rules.targets))
    return [target for name, target in rules.targets.items() if name in leaves and isinstance(target.settings, Watched)]


def _checks(found: Checks, there: Environment | None, places: Sequence[Place]) -> Iterable[Subject]:
    name = there.name if there else None
    for check in found.checks.values():
        fits = not check.environments or name in check.environments
        if fits and check.sort in LOOKED_AT and not _lacks(check, there):
            for place in places if check.sort == "aws" else places[:1]:
                yield Subject(check.name, "check", place, check=check)


def _lacks(check: Check, there: Environment | None) -> bool:
    """Whether a check uses what only a smoke test knows: secrets and captured values."""
    return bool(check.uses - (there.vars.keys() if there else set()) - {"region", "environment"})


def _warm(subjects: Sequence[Subject], world: World) -> None:
    """Make the AWS clients that will be needed side by side: they are read from large files. What is wrong with them is told later."""
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


def _ask_about(board: Board, at: int, subject: Subject, policy: Policy, request: Request, rules: Rules, world: World) -> None:
    """Start all questions about one subject."""
    around = Around(policy, world.aws, subject.place, request.timeout_s)
    if subject.job is not None:
        _start(board, at, lambda: _of_kind(board, at, subject, world))
        for url in subject.job.settings.health:
            _start(board, at, lambda url=url: _of_address(board, at, url, around))  # type: ignore[misc]
    elif subject.check is not None:
        _start(board, at, lambda: _of_check(board, at, subject, around, rules))
    else:
        _start(board, at, lambda: _of_credentials(board, at, subject.place, world))


def _start(board: Board, at: int, question: Callable[[], None]) -> None:
    board.begin(at)

    def ask() -> None:
        try:
            question()
        except ToolkitError as problem:
            board.tell(at, unknown("toolkit", problem))
        except Exception as bug:
            board.tell(
                at,
                Sign(
                    "toolkit",
                    "unknown",
                    "a bug in toolkit",
                    cause=f"a bug in toolkit: {type(bug).__name__}: {bug}",
                    next="please report it",
                ),
            )
        finally:
            board.end(at)

    Thread(target=ask, daemon=True).start()


def _of_kind(board: Board, at: int, subject: Subject, world: World) -> None:
    assert subject.job is not None  # noqa: S101 (for the type checker)
    live = targets.kind(subject.kind).health(subject.job, world, lambda sign: board.tell(at, sign))
    board.begin(at)
    board.end(at, live, lives=True)


def _of_address(board: Board, at: int, url: str, around: Around) -> None:
    found, said = addresses.sign(url, around)
    board.tell(at, replace(found, detail=f"{found.detail}{SAYS}{said}") if said and found.status != "failing" else found)


SAYS = "\0"
"""Between the words of a sign and what an address says of itself, until both it and what runs are known."""


def _of_check(board: Board, at: int, subject: Subject, around: Around, rules: Rules) -> None:
    check = subject.check
    assert check is not None  # noqa: S101 (for the type checker)
    there = rules.environments.get(subject.place.environment or "")
    known = {**(there.vars if there else {}), "region": subject.place.region or "", "environment": subject.place.environment or ""}
    once = replace(check, retry_s=0.0)
    found = carry_out(once, verify.sort(check.sort), known, around, Veil(), monotonic() + around.seconds, lambda seconds: None).result
    status = {"passed": "ok", "failed": "failing"}.get(found.status, "unknown")
    next_ = found.next or (f"toolkit smoke-test --only {check.name}" if status != "ok" else "")
    detail = found.detail if status == "ok" else (f"{found.misses[0].what}: {found.misses[0].found}" if found.misses else "not there")
    board.tell(at, Sign(found.asks, status, detail, cause="" if status == "ok" else f"{found.asks}: {found.cause}", next=next_))


def _of_credentials(board: Board, at: int, place: Place, world: World) -> None:
    """Whose they are, and for how long."""
    aws = world.aws(place)
    try:
        account = aws.account()
        if place.account and account != place.account:
            raise WrongAccount(found=account, environment=place.environment or "", wanted=place.account)
    except CredentialsProblem as problem:
        board.refuse(place, problem)
        board.tell(at, replace(unknown("credentials", problem), status="failing", detail="cannot be used"))
        return
    left = aws.expiry()
    if left is not None and left < SOON_S:
        cause = f"the credentials end in {max(left, 0) / 60:.0f} min"
        option = f" --profile {place.profile}" if place.profile else ""
        board.tell(at, Sign("credentials", "warning", f"end in {max(left, 0) / 60:.0f} min", cause=cause, next=f"aws sso login{option}"))
    else:
        board.tell(at, Sign("credentials", "ok", f"account {account}" + ("" if left is None else f", end in {left / 3600:.1f} h")))


def _checkup(board: Board, at: int, subject: Subject, answered: bool, request: Request) -> Checkup:
    """What is known of a subject. In an account that is not the right one, or cannot be asked, nothing is."""
    place, live = subject.place, board.live(at)
    problem = board.refusal(place) if subject.kind != "credentials" else None
    of_aws = subject.check is None or subject.check.sort == "aws"
    if problem is not None and of_aws:
        sign = replace(unknown(subject.name, problem), detail="not looked at")
        return Checkup(subject.name, subject.kind, place.environment, place.region, (sign,))
    signs = tuple(_compared(sign, live) for sign in board.signs(at))
    if not answered:
        late = f"no answer within {request.timeout_s:g} s"
        signs = (*signs, Sign(subject.name, "unknown", late, cause=late, next=f"try again with --timeout {2 * request.timeout_s:.0f}s"))
    return Checkup(subject.name, subject.kind, place.environment, place.region, signs, live)


def _compared(sign: Sign, live: Live | None) -> Sign:
    """A sign of an address, with what it says of itself held against what runs."""
    words, _, said = sign.detail.partition(SAYS)
    if addresses.is_another(said, live) and live is not None:
        return addresses.another(sign.what, said, live.version or live.commit or "")
    return replace(sign, detail=words)


def _against_record(checkups: list[Checkup], rules: Rules, subjects: Sequence[Subject], world: World, notes: list[str]) -> list[Checkup]:
    """With a sign where what runs is in no deploy that is recorded."""
    shared = any(subject.place.store for subject in subjects)
    try:
        store = open_store(rules.project, world.root) if shared else existing(rules.project, world.root)
        known = {place: _records(store, place, world) for place in {one.place for one in subjects if one.job}} if store else {}
    except ToolkitError as problem:
        notes.append(f"the record of what is live cannot be read: {problem}")
        return checkups
    return [_recorded(checkup, subject, known.get(subject.place, {})) for checkup, subject in zip(checkups, subjects, strict=True)]


def _records(store: Store, place: Place, world: World) -> Mapping[str, tuple[Record, ...]]:
    found = open_ledger(store, place, world).all()
    return {
        target: records
        for (environment, region, target), records in found.items()
        if (environment, region) == (place.environment, place.region)
    }


def _recorded(checkup: Checkup, subject: Subject, known: Mapping[str, tuple[Record, ...]]) -> Checkup:
    records, live = known.get(subject.name, ()), checkup.live
    if subject.job is None or live is None or not records:
        return checkup
    why = foreign(live, records)
    if not why:
        return checkup
    command = targets.kind(subject.kind).command(subject.name, subject.job.settings) or "toolkit history"
    sign = Sign("record", "warning", "changed behind toolkit's back", live.since, why, f"see what it is; to put yours back: {command}")
    return replace(checkup, signs=(*checkup.signs, sign))


def foreign(live: Live, records: Sequence[Record]) -> str:
    """Why what runs is nothing that the record knows of, empty if it is. Pure."""
    content = [key for key in CONTENT if key in live.detail]
    ours = [record for record in records if record.run == live.run]
    if live.run is None:
        return f"{_named(live)} was not put there by toolkit"
    if not ours:
        return f"{_named(live)} is of run {live.run}, which is not recorded here"
    if content:
        same = any(all(record.detail.get(key) == live.detail[key] for key in content) for record in ours if record.detail)
        return "" if same or not any(record.detail for record in ours) else f"{_named(live)} is in no deploy that is recorded"
    if live.since and datetime.fromisoformat(live.since) > max(datetime.fromisoformat(record.when) for record in records) + SLACK:
        return f"it was changed at {live.since[:16].replace('T', ' ')}, and no deploy of then is recorded"
    return ""


def _named(live: Live) -> str:
    """What runs, in a word: `web:7`."""
    arn = live.detail.get("task definition", "")
    return arn.rpartition("/")[2] or live.version or "what runs"


def _against_head(checkups: list[Checkup], rules: Rules, request: Request, git: Git | None) -> list[Checkup]:
    """With what the live version of each target is against HEAD; empty where there is no repository to tell."""
    if git is None or git.bare:
        return checkups
    states: dict[tuple[str | None, str], str] = {}
    for name in dict.fromkeys(checkup.environment for checkup in checkups):
        points: dict[str, tuple[Point, ...]] = {}
        for checkup in checkups:
            if checkup.environment == name and checkup.live is not None:
                points[checkup.name] = (*points.get(checkup.name, ()), point_of(checkup.live))
        if not points:
            continue
        try:
            asked = Comparison(folder=request.folder, rules=request.rules, environment=name, base="live", committed=True)
            answer = diff(asked, git, lambda how, rules, environment, points=points: points)  # type: ignore[misc]
        except ToolkitError:
            continue
        states |= {(name, target): answer.states.get(target, "") for target in points}
    return [
        replace(checkup, state=states.get((checkup.environment, checkup.name), "")) if checkup.live is not None else checkup
        for checkup in checkups
    ]


def _redacted(checkup: Checkup, redact: Callable[[str], str]) -> Checkup:
    signs = tuple(
        replace(sign, detail=redact(sign.detail), cause=redact(sign.cause), next=redact(sign.next)) for sign in checkup.signs
    )  # fmt: skip
    return replace(checkup, signs=signs)
