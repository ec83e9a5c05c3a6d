"""Runs one command of a target: no shell, known variables, a deadline, a log of its own."""

import os
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from shlex import join

from msgspec import Struct

from toolkit.errors import ProgramFailed, Refused
from toolkit.formats.redaction import without
from toolkit.operations import Job
from toolkit.ports import files, process
from toolkit.ports.clock import Clock

LAST = 15
"""So many of the last lines are kept of what a program writes."""
LOOK_S = 60.0
"""How long a look (`live`, `health`) may take, in seconds."""
SHORTEST = 4
"""A value of fewer characters is not hidden: it would take out half of every text."""
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")
"""What a printed version may be: it is shown, compared and recorded."""


class Command(Struct, frozen=True):
    """An existing program, with everything that it is started with. `hidden` are the values of the
    variables that rules.toml passes on, each with the variable's name.
    """

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


def find(job: Job, words: Sequence[str], root: str) -> Command:
    """The command that these words stand for; nothing is started. Raises Refused where the program
    does not exist or leads out of the repository, or a variable is not set.
    """
    folder = os.path.join(root, job.settings.folder)
    if os.path.realpath(folder) != os.path.realpath(root) and not files.is_inside(folder, root):
        raise Refused(
            f"`folder` of {job.target} leads out of the repository",
            "correct `folder` in rules.toml",
        )
    path = _path(job, words[0], folder, root)
    passed = _passed_on(job)
    env = process.child_environment(**{**_facts(job), **passed})
    hidden = {value: f"{{{name}}}" for name, value in passed.items() if len(value) >= SHORTEST}
    return Command((path, *words[1:]), folder, env, hidden)


def _path(job: Job, word: str, folder: str, root: str) -> str:
    if word.startswith(("./", "../")):
        path: str | None = os.path.join(folder, word)
        if not files.is_inside(os.path.join(folder, word), root):
            raise Refused(
                f"{word} of {job.target} leads out of the repository",
                "name a program on PATH, or one in the repository",
            )
        where = f"in {job.settings.folder}"
    else:
        path = word if os.path.isabs(word) else process.which(word)
        where = "on PATH"
    if path is None or not os.path.isfile(path):
        fix = f"install {word}"
        if os.path.isfile(os.path.join(folder, word)):
            here = os.path.join(job.settings.folder, word)
            fix = f"to run {here} of the repository, write ./{word} in rules.toml"
        raise Refused(f"there is no program {word} {where}", fix)
    return path


def _passed_on(job: Job) -> dict[str, str]:
    """The variables of our environment that rules.toml names."""
    passed: dict[str, str] = {}
    for name in job.settings.env:
        if name not in os.environ:
            raise Refused(
                f"{name} is not set, and {job.target} needs it",
                f"set {name} where toolkit is started, or take it out of `env` in rules.toml",
            )
        passed[name] = os.environ[name]
    return passed


def _facts(job: Job) -> dict[str, str]:
    """What is deployed, as variables; what is not known is left out."""
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


def start(command: Command) -> process.LineProgram:
    """Start it. Raises Refused where that is not possible: nothing has run then."""
    try:
        return process.LineProgram(command.argv, command.folder, command.env)
    except OSError as problem:
        name, reason = os.path.basename(command.argv[0]), problem.strerror or str(problem)
        raise Refused(
            f"{name} could not be started: {reason}",
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


def look(job: Job, words: Sequence[str], root: str, clock: Clock) -> tuple[Ended, list[str]]:
    """Run a command that only looks: how it ended, and its lines. Raises Refused."""
    command = find(job, words, root)
    lines: list[str] = []
    return run(command, start(command), clock, LOOK_S, lines.append, never_stopped), lines


def read_version(job: Job, root: str, clock: Clock) -> str | None:
    """The version that runs, as `live` prints it in its first line; None where it prints nothing.

    Raises Refused, and ProgramFailed where it does not end well, or prints what is not a version.
    """
    words = job.settings.live
    ended, lines = look(job, words, root, clock)
    if ended.code != 0:
        raise ProgramFailed(program=words[0], reason=f"`{join(words)}` {describe(ended)}")
    first = next((line.strip() for line in lines if line.strip()), "")
    if not first:
        return None
    if not _VERSION.fullmatch(first):
        raise ProgramFailed(program=words[0], reason="its first line is not a version")
    return first


def describe(ended: Ended) -> str:
    """How it ended, in a few words."""
    if ended.code is None:
        return "did not end before its deadline"
    if ended.code < 0:
        return f"was ended by signal {-ended.code}"
    return f"ended with exit code {ended.code}"


def never_stopped() -> None:
    """The `check` of what runs outside of a run: Ctrl-C ends toolkit itself, and that with it."""
