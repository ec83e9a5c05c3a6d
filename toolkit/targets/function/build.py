"""The command that makes a package's files: no shell, known variables, a deadline, its lines in the
step's log.
"""

import os
import shlex
from collections import deque
from collections.abc import Mapping

from toolkit.errors import ProgramFailed, Refused
from toolkit.formats.redaction import without
from toolkit.operations import Job
from toolkit.ports import files, process
from toolkit.ports.cdk_environment import handed_on
from toolkit.ports.ports import Ports
from toolkit.targets.base import Report
from toolkit.targets.function.settings import Build

SHORTEST = 4
"""A value of fewer characters is not hidden: it would take out half of every text."""
LAST = 5
"""So many of its last lines are in the error."""


def run(job: Job, ports: Ports, report: Report) -> None:
    """Run it to its end. Raises Refused where it cannot be started, ProgramFailed where it does not
    end well.
    """
    settings: Build = job.settings.build
    words = shlex.join(settings.command)
    path = _program(job, settings, ports.root)
    folder = os.path.join(ports.root, files.within(ports.root, settings.folder))
    passed = handed_on(settings.pass_env, os.environ)
    hidden = {value: f"{{{name}}}" for name, value in passed.items() if len(value) >= SHORTEST}
    report.phase(f"running {words}")
    argv = (path, *settings.command[1:])
    try:
        program = process.LineProgram(argv, folder, process.child_environment(**passed))
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise Refused(
            f"{settings.command[0]} could not be started: {reason}",
            "check that it is executable, and that `folder` is correct",
        ) from None
    _follow(job, ports, report, program, hidden)


def _follow(
    job: Job, ports: Ports, report: Report, program: process.LineProgram, hidden: Mapping[str, str]
) -> None:
    """Log what it writes until it ends. Raises ProgramFailed."""
    name, until = job.settings.build.command[0], ports.clock.elapsed() + job.deadline_s
    last = deque[str](maxlen=LAST)
    lines = program.lines()
    try:
        for line in lines:
            if line is not None:
                text = without(line.decode("utf-8", "replace"), hidden)
                last.append(text)
                report.log(text)
            report.check()
            if ports.clock.elapsed() >= until:
                raise ProgramFailed(program=name, reason="it did not end before its deadline")
    finally:
        lines.close()  # type: ignore[attr-defined]  # ends it where it still runs
    if program.code != 0:
        reason = f"it ended with exit code {program.code}"
        if last:
            reason += f": {' | '.join(last)}"
        raise ProgramFailed(program=name, reason=reason)


def _program(job: Job, settings: Build, root: str) -> str:
    """The path of the program: on PATH, or in the repository. Raises Refused."""
    word = settings.command[0]
    if not word.startswith(("./", "../")):
        path = word if os.path.isabs(word) else process.which(word)
        if path is None or not os.path.isfile(path):
            raise Refused(f"there is no program {word} on PATH", f"install {word}")
        return path
    path = os.path.join(root, settings.folder, word)
    if not files.is_inside(path, root):
        raise Refused(
            f"{word} of {job.target} leads out of the repository",
            "name a program on PATH, or one in the repository",
        )
    if not os.path.isfile(path):
        raise Refused(f"there is no program {word} in {settings.folder}", "correct `build.command`")
    return path
