"""Runs one command of a target: no shell, known variables, a deadline, a log of its own."""

import os
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from shlex import join

from msgspec import Struct

from toolkit.errors import ProgramFailed, Refused
from toolkit.model import Job
from toolkit.ports import files, process
from toolkit.ports.clock import Clock
from toolkit.targets.command.settings import CommandSettings

LAST = 15
"""So many of the last lines are kept of what a program writes."""
LOOK_S = 60.0
"""How long a look (`live`, `health`) may take, in seconds."""
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")
"""What a printed version may be: it is shown, compared and recorded."""


class Ended(Struct, frozen=True):
    """How a program ended: its exit code (negative: by a signal), None where its time was over; and
    its last lines.
    """

    code: int | None
    last: tuple[str, ...]


def repository_program(settings: CommandSettings, words: Sequence[str]) -> str | None:
    """The program's path from the repository's root, None if it is one of the machine's."""
    if not words[0].startswith(("./", "../")):
        return None
    return os.path.normpath(os.path.join(settings.folder, words[0]))


def possible_file(settings: CommandSettings, word: str) -> str:
    """The path from the repository's root that a word stands for, if it names a file at all."""
    return os.path.normpath(os.path.join(settings.folder, word))


def start(job: Job, words: Sequence[str], root: str, env: Mapping[str, str]) -> process.LineProgram:
    """The program, started in its folder. Raises Refused where it is not there, or leads out of the
    repository.
    """
    folder = os.path.join(root, job.settings.folder)
    if os.path.realpath(folder) != os.path.realpath(root) and not files.is_inside(folder, root):
        raise Refused(
            f"`folder` of {job.target} leads out of the repository",
            "correct `folder` in rules.toml",
        )
    try:
        return process.LineProgram([_path(job, words, folder, root), *words[1:]], folder, env)
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise Refused(
            f"{words[0]} could not be started: {reason}", "correct it, or `folder`"
        ) from None


def _path(job: Job, words: Sequence[str], folder: str, root: str) -> str:
    own = repository_program(job.settings, words)
    if own is None:
        path = words[0] if os.path.isabs(words[0]) else process.which(words[0])
    else:
        path = os.path.join(folder, words[0])
        if not files.is_inside(path, root):
            raise Refused(
                f"{words[0]} of {job.target} leads out of the repository",
                "name a program on PATH, or one in the repository",
            )
    if path is None or not os.path.isfile(path):
        where = f"in {job.settings.folder}" if own else "on PATH"
        raise Refused(f"there is no program {words[0]} {where}", f"install {words[0]}")
    return path


def environment(job: Job) -> dict[str, str]:
    """The environment of every command of a target. Raises Refused where a variable is not set."""
    passed: dict[str, str] = {}
    for name in job.settings.env:
        if name not in os.environ:
            raise Refused(f"{name} is not set, and {job.target} needs it", f"export {name}=…")
        passed[name] = os.environ[name]
    facts = {
        "TOOLKIT_TARGET": job.target,
        "TOOLKIT_ENVIRONMENT": job.location.environment,
        "TOOLKIT_REGION": job.location.region,
        "TOOLKIT_ACCOUNT": job.location.account,
        "TOOLKIT_VERSION": job.version.name,
        "TOOLKIT_COMMIT": job.version.commit,
        "TOOLKIT_RUN": job.run,
    }
    known = {name: value for name, value in facts.items() if value}
    return process.child_environment(**{**known, **passed})


def run(
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
                text = line.decode("utf-8", "replace")
                last.append(text)
                log(text)
            check()
            if clock.elapsed() >= until:
                return Ended(None, tuple(last))
    finally:
        lines.close()  # type: ignore[attr-defined]  # ends it where it still runs
    return Ended(program.code, tuple(last))


def look(job: Job, words: Sequence[str], root: str, clock: Clock) -> Ended:
    """Run a command that only looks."""
    program = start(job, words, root, environment(job))
    return run(program, clock, LOOK_S, _nothing, _never)


def version(job: Job, root: str, clock: Clock) -> str | None:
    """The version that runs, as `live` prints it in its first line; None where it prints nothing.

    Raises Refused, and ProgramFailed where it does not end well, or prints what is no version.
    """
    words = job.settings.live
    program = start(job, words, root, environment(job))
    lines: list[str] = []
    ended = run(program, clock, LOOK_S, lines.append, _never)
    if ended.code != 0:
        raise ProgramFailed(program=words[0], reason=f"`{join(words)}` {how(ended)}")
    first = next((line.strip() for line in lines if line.strip()), "")
    if not first:
        return None
    if not _VERSION.fullmatch(first):
        raise ProgramFailed(program=words[0], reason="its first line is not a version")
    return first


def how(ended: Ended) -> str:
    """How it ended, in a few words."""
    if ended.code is None:
        return "did not end in its time"
    if ended.code < 0:
        return f"was ended by signal {-ended.code}"
    return f"ended with exit code {ended.code}"


def _nothing(line: str) -> None:
    """For a look whose lines nobody needs."""


def _never() -> None:
    """For a look that nobody stops."""
