"""The commands of a target: found, and asked for what they print."""

import re
from collections.abc import Sequence
from shlex import join

from toolkit.errors import ProgramFailed
from toolkit.operations import Job
from toolkit.ports import commands
from toolkit.ports.clock import Clock
from toolkit.ports.commands import Command, Ended, Surroundings

LOOK_S = 60.0
"""How long a look (`live`, `health`) may take, in seconds."""
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")
"""What a printed version may be: it is shown, compared and recorded."""


def find(job: Job, words: Sequence[str], root: str) -> Command:
    """The command that these words stand for; nothing is started. Raises Refused."""
    settings = job.settings
    passed = commands.required_variables(job.target, settings.env)
    around = Surroundings(job.target, settings.folder, passed, commands.job_facts(job))
    return commands.find(around, words, root)


def look(
    job: Job, words: Sequence[str], root: str, clock: Clock, only_out: bool = False
) -> tuple[Ended, list[str]]:
    """Run a command that only looks: how it ended, and its lines, without its complaints if
    `only_out`. Raises Refused.
    """
    command = find(job, words, root)
    program = commands.start(command, only_out=only_out)
    lines: list[str] = []
    return commands.run(
        command, program, clock, LOOK_S, lines.append, commands.never_stopped
    ), lines


def read_version(job: Job, root: str, clock: Clock) -> str | None:
    """The version that runs, as `live` prints it in its first line; None where it prints nothing.
    Warnings of terraform, helm or npm come on standard error, and are none.

    Raises Refused, and ProgramFailed where it does not end well, or prints what is not a version.
    """
    words = job.settings.live
    ended, lines = look(job, words, root, clock, only_out=True)
    if ended.code != 0:
        raise ProgramFailed(program=words[0], reason=f"`{join(words)}` {commands.describe(ended)}")
    first = next((line.strip() for line in lines if line.strip()), "")
    if not first:
        return None
    if not _VERSION.fullmatch(first):
        raise ProgramFailed(program=words[0], reason="its first line is not a version")
    return first
