"""A suite that is there already, run as a child: newman, pytest, anything that exits with 0 where
all is well.
"""

import os
from collections import deque
from collections.abc import Mapping
from shlex import join
from time import monotonic
from typing import Annotated

from msgspec import Meta

from toolkit.checks import base
from toolkit.errors import ProbeError, ProbeRefused, Stopped
from toolkit.model import Mismatch

LAST = 15
"""So many of its last lines are shown if it fails."""


class Settings(base.Settings, frozen=True, kw_only=True):
    """A program that must end with exit code 0."""

    command: Annotated[
        tuple[base.Text, ...],
        Meta(
            min_length=1,
            description='The program and its arguments: `["npx", "newman", "run", "x.json"]`.',
        ),
    ]
    folder: Annotated[
        str,
        Meta(
            pattern=r"^(?!/)(?!.*(?:^|/)\.\.(?:/|$))[^\x00-\x1f]*$",
            description="Where it runs, from the folder of rules.toml.",
        ),
    ] = "."
    env: Annotated[
        Mapping[str, str],
        Meta(description='Environment variables for it, such as `{ BASE_URL = "{url}" }`.'),
    ] = {}


problem = base.no_problem
based = base.never_based
host = base.no_host


def asks(settings: Settings) -> str:
    """`npx newman run x.json`."""
    return join(settings.command)


def ask(settings: Settings, around: base.CheckContext) -> base.CheckAnswer:
    """Run it to its end, or to the end of its time. It is no shell: what is written in `command` is
    what is run.
    """
    from toolkit.ports import files, process

    folder = os.path.join(around.root, settings.folder)
    if not files.is_inside(os.path.join(folder, ""), around.root) and os.path.realpath(
        folder
    ) != os.path.realpath(around.root):
        raise ProbeRefused(
            "`folder` leads out of the folder of rules.toml", "correct `folder` of the check"
        )
    program = settings.command[0]
    found = (
        os.path.join(folder, program)
        if program.startswith(("./", "../"))
        else process.which(program)
    )
    if found is None or not os.path.exists(found):
        raise ProbeRefused(f"{program} is not on PATH", "install it where toolkit runs")
    began, last = monotonic(), deque[str](maxlen=LAST)
    try:
        child = process.LineProgram(
            [found, *settings.command[1:]], folder, process.child_environment(**settings.env)
        )
    except OSError as problem:
        raise ProbeRefused(
            f"{program} could not be started: {problem.strerror or problem}"
        ) from None
    for line in child.lines():
        if line is not None:
            text = line.decode("utf-8", "replace")
            around.log(text)
            last.append(text)
        if around.stopped():
            child.stop()
            raise Stopped()
        if monotonic() - began > around.seconds:
            child.stop()
            raise ProbeError(f"it did not end within {around.seconds:.3g} s")
    misses = () if child.code == 0 else (Mismatch("exit code", "0", str(child.code)),)
    return base.CheckAnswer(
        monotonic() - began,
        misses,
        shown=tuple(last) if misses else (),
        detail=f"exit code {child.code}",
    )
