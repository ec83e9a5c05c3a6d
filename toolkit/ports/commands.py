"""Programs of the team that rules.toml names: no shell, known variables, a deadline, a log."""

import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from toolkit.errors import Refused
from toolkit.formats.redaction import without
from toolkit.operations import Job
from toolkit.ports import files, process
from toolkit.ports.clock import Clock

LAST = 15
"""So many of the last lines are kept of what a program writes."""
SHORTEST = 4
"""A value of fewer characters is not hidden: it would take out half of every text."""


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


class Surroundings(Struct, frozen=True):
    """Where the programs of a target run, and with what: `folder` is relative to the repository's
    root, `env` names the variables of our environment that they get, `facts` says what is deployed.
    """

    target: str
    folder: str
    env: tuple[str, ...]
    facts: Mapping[str, str]


def find(around: Surroundings, words: Sequence[str], root: str) -> Command:
    """The command that these words stand for; nothing is started. Raises Refused where the program
    does not exist or leads out of the repository, or a variable is not set.
    """
    folder = os.path.join(root, around.folder)
    if os.path.realpath(folder) != os.path.realpath(root) and not files.is_inside(folder, root):
        raise Refused(
            f"`folder` of {around.target} leads out of the repository",
            "correct `folder` in rules.toml",
        )
    path = _path(around, words[0], folder, root)
    passed = _passed_on(around)
    env = process.child_environment(**{**around.facts, **passed})
    hidden = {value: f"{{{name}}}" for name, value in passed.items() if len(value) >= SHORTEST}
    return Command((path, *words[1:]), folder, env, hidden)


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


def _passed_on(around: Surroundings) -> dict[str, str]:
    """The variables of our environment that rules.toml names."""
    passed: dict[str, str] = {}
    for name in around.env:
        if name not in os.environ:
            raise Refused(
                f"{name} is not set, and {around.target} needs it",
                f"set {name} where toolkit is started, or take it out of `env` in rules.toml",
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


def describe(ended: Ended) -> str:
    """How it ended, in a few words."""
    if ended.code is None:
        return "did not end before its deadline"
    if ended.code < 0:
        return f"was ended by signal {-ended.code}"
    return f"ended with exit code {ended.code}"


def never_stopped() -> None:
    """The `check` of what runs outside of a run: Ctrl-C ends toolkit itself, and that with it."""
