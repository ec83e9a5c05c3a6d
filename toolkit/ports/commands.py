"""Programs of the team that rules.toml names: no shell, known variables, a deadline, a log."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from shlex import join

from msgspec import Struct

from toolkit.errors import ProgramFailed, Refused
from toolkit.formats.redaction import hidden_parts, without
from toolkit.operations import Job
from toolkit.ports import causes, files, process
from toolkit.ports.clock import Clock
from toolkit.ports.disk import exclusive

LAST = 15
"""So many of the last lines are kept of what a program writes."""
SHORTEST = 4
"""A value of fewer characters is not hidden: it would take out half of every text."""


class Command(Struct, frozen=True):
    """An existing program, with everything that it is started with. `words` is the command as
    rules.toml has it; `hidden` are the values of the variables that it passes on, each with the
    variable's name.
    """

    words: tuple[str, ...]
    argv: tuple[str, ...]
    folder: str
    env: Mapping[str, str]
    hidden: Mapping[str, str]


class Ended(Struct, frozen=True):
    """How a program ended: its exit code (negative: by a signal), None where its time was over; and
    its last lines.
    """

    code: int | None
    last: tuple[str, ...] = ()


class Surroundings(Struct, frozen=True):
    """Where the programs of a target run, and with what: `folder` is relative to the repository's
    root, `passed` are variables of our environment, whose values are hidden, `facts` are others.
    """

    target: str
    folder: str
    passed: Mapping[str, str]
    facts: Mapping[str, str]


def find(around: Surroundings, words: Sequence[str], root: str) -> Command:
    """The command that these words stand for; nothing is started. Raises Refused where the program
    does not exist or leads out of the repository.
    """
    folder = os.path.join(root, around.folder)
    if os.path.realpath(folder) != os.path.realpath(root) and not files.is_inside(folder, root):
        raise Refused(
            f"`folder` of {around.target} leads out of the repository",
            "correct `folder` in rules.toml",
        )
    path, passed = _path(around, words[0], folder, root), around.passed
    env = process.child_environment(**{**around.facts, **passed})
    hidden: dict[str, str] = {}
    for name, value in passed.items():
        hidden |= dict.fromkeys(hidden_parts(value, SHORTEST), f"{{{name}}}")
    return Command(tuple(words), (path, *words[1:]), folder, env, hidden)


def _path(around: Surroundings, word: str, folder: str, root: str) -> str:
    if word.startswith(("./", "../")):
        path: str | None = os.path.join(folder, word)
        if not files.is_inside(os.path.join(folder, word), root):
            raise Refused(
                f"{word} of {around.target} leads out of the repository",
                "name a program on PATH, or one in the repository",
            )
        where = f"in {around.folder}"
    else:
        path = word if os.path.isabs(word) else process.which(word)
        where = "on PATH"
    if path is None or not os.path.isfile(path):
        fix = f"install {word}"
        if os.path.isfile(os.path.join(folder, word)):
            here = os.path.join(around.folder, word)
            fix = f"to run {here} of the repository, write ./{word} in rules.toml"
        raise Refused(f"there is no program {word} {where}", fix)
    return path


def required_variables(target: str, names: Sequence[str]) -> dict[str, str]:
    """The variables of our environment that rules.toml names. Raises Refused if one is not set."""
    passed: dict[str, str] = {}
    for name in names:
        if name not in os.environ:
            raise Refused(
                f"{name} is not set, and {target} needs it",
                f"set {name} where toolkit is started, or take it out of rules.toml",
            )
        passed[name] = os.environ[name]
    return passed


def job_facts(job: Job) -> dict[str, str]:
    """What is deployed, as variables for a program; what is not known is left out."""
    facts = {
        "TOOLKIT_TARGET": job.target,
        "TOOLKIT_ENVIRONMENT": job.location.environment,
        "TOOLKIT_REGION": job.location.region,
        "TOOLKIT_ACCOUNT": job.location.account,
        "TOOLKIT_VERSION": job.version.name,
        "TOOLKIT_COMMIT": job.version.commit,
        "TOOLKIT_RUN": job.run,
    }
    return {name: value for name, value in facts.items() if value}


def start(
    command: Command, kept_open: Sequence[int] = (), only_out: bool = False
) -> process.LineProgram:
    """Start it; `only_out` drops what it writes to standard error. Raises Refused where that is not
    possible: nothing has run then.
    """
    try:
        return process.LineProgram(
            command.argv,
            command.folder,
            command.env,
            kept_open=kept_open,
            only_out=only_out,
        )
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise Refused(
            f"{command.words[0]} could not be started: {reason}",
            "check that it is executable, and that `folder` is correct",
        ) from None


def run(
    command: Command,
    program: process.LineProgram,
    clock: Clock,
    seconds: float,
    log: Callable[[str], None],
    check: Callable[[], None],
) -> Ended:
    """Let it run to its end, or to the end of its time. Where `check` raises, it is ended, too."""
    until = clock.elapsed() + seconds
    last = deque[str](maxlen=LAST)
    lines = program.lines()
    try:
        for line in lines:
            if line is not None:
                text = without(line.decode("utf-8", "replace"), command.hidden)
                last.append(text)
                log(text)
            check()
            if clock.elapsed() >= until:
                return Ended(None, tuple(last))
    finally:
        lines.close()  # type: ignore[attr-defined]  # ends it where it still runs
    return Ended(program.code, tuple(last))


def run_well(
    command: Command,
    clock: Clock,
    seconds: float,
    log: Callable[[str], None],
    check: Callable[[], None],
) -> None:
    """Start it, and let it run to its end. Raises ProgramFailed unless that is a good one, in time;
    Refused where it cannot be started, and what `check` raises.
    """
    _refuse_bad_end(command, run(command, start(command), clock, seconds, log, check))


def run_alone(
    command: Command,
    cache: str,
    clock: Clock,
    seconds: float,
    log: Callable[[str], None],
    check: Callable[[], None],
) -> None:
    """The same, but never beside the same command in the same folder: they write the same files.
    One whose toolkit was killed still runs, and is waited for. Raises ProgramFailed also where that
    one does not end in time, StateDamaged, FileProblem.
    """
    until = clock.elapsed() + seconds
    what = f"an earlier `{join(command.words)}` in the same folder"
    is_told = False

    def wait() -> None:
        nonlocal is_told
        check()
        if not is_told:
            log(f"waiting for {what}, which is still running")
            is_told = True
        if clock.elapsed() >= until:
            raise ProgramFailed(program=command.words[0], reason=f"{what} is still running")

    with exclusive(_lock_path(command, cache), wait) as lock:
        program = start(command, (lock,))
        left_s = until - clock.elapsed()
        _refuse_bad_end(command, run(command, program, clock, left_s, log, check))


def _lock_path(command: Command, cache: str) -> str:
    parts = (os.path.realpath(command.folder), *command.words)
    name = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return os.path.join(files.own_cache(cache, "builds"), f"{name}.lock")


def _refuse_bad_end(command: Command, ended: Ended) -> None:
    if ended.code == 0:
        return
    reason = f"`{join(command.words)}` {describe(ended)}"
    cause = causes.cause(ended.last, ended.code)
    if cause not in reason:
        reason += f": {cause}"
    fix = f"fix what `{join(command.words)}` reports, and run this again"
    raise ProgramFailed(fix, program=command.words[0], reason=reason)


def describe(ended: Ended) -> str:
    """How it ended, in a few words."""
    if ended.code is None:
        return "did not end before its deadline"
    if ended.code < 0:
        return f"was ended by signal {-ended.code}"
    return f"ended with exit code {ended.code}"


def never_stopped() -> None:
    """The `check` of what runs outside of a run: Ctrl-C ends toolkit itself, and that with it."""
