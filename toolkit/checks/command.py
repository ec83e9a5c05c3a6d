"""An existing suite, run as a child process: newman, pytest, anything that exits with 0 where all
is well.
"""

import os
from collections import deque
from collections.abc import Mapping
from shlex import join
from time import monotonic
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from toolkit.checks import base
from toolkit.errors import ProbeError, ProbeRefused, Stopped
from toolkit.operations import Mismatch

if TYPE_CHECKING:
    from toolkit.ports.process import LineProgram

LAST = 15
"""So many of its last lines are shown if it fails."""


class CommandCheckSettings(base.CheckSettings, frozen=True, kw_only=True):
    """A program that has to end with exit code 0."""

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
            pattern=r"^(?!/)(?!.*(?:^|/)\.\.(?:/|$))[^\x00-\x1f]*$(?!\n)",
            description="Where it runs, relative to the folder of rules.toml.",
        ),
    ] = "."
    env: Annotated[
        Mapping[str, str],
        Meta(description='Environment variables for it, such as `{ BASE_URL = "{url}" }`.'),
    ] = {}


Settings = CommandCheckSettings


problem = base.no_problem
files = base.no_files
wrong_contents = base.any_contents
based = base.never_needs_base_url
host = base.no_host


def asks(settings: CommandCheckSettings) -> str:
    """`npx newman run x.json`."""
    return join(settings.command)


def ask(settings: CommandCheckSettings, context: base.CheckContext) -> base.CheckAnswer:
    """Run it to its end, or to the end of its time. No shell is used: `command` is run exactly as
    it is written.
    """
    began, last = monotonic(), deque[str](maxlen=LAST)
    child = _start(settings, context.root)
    for line in child.lines():
        if line is not None:
            text = line.decode("utf-8", "replace")
            context.log(text)
            last.append(text)
        # `lines` gives None now and then, so that a silent child is stopped in time as well.
        if context.stopped():
            child.stop()
            raise Stopped()
        if monotonic() - began > context.seconds:
            child.stop()
            raise ProbeError(f"it did not end within {context.seconds:.3g} s")
    took_s, detail = monotonic() - began, f"exit code {child.code}"
    if child.code == 0:
        return base.CheckAnswer(took_s, detail=detail)
    mismatch = Mismatch("exit code", "0", str(child.code))
    return base.CheckAnswer(took_s, (mismatch,), shown=tuple(last), detail=detail)


def _start(settings: CommandCheckSettings, root: str) -> "LineProgram":
    """Start the program in its folder below `root`. Raises ProbeRefused."""
    from toolkit.ports import files, process

    folder = os.path.join(root, settings.folder)
    # A link may lead out of the repository, however harmless the path looks.
    is_root = os.path.realpath(folder) == os.path.realpath(root)
    if not is_root and not files.is_inside(os.path.join(folder, ""), root):
        raise ProbeRefused(
            "`folder` leads out of the folder of rules.toml", "correct `folder` of the check"
        )
    program = settings.command[0]
    if program.startswith(("./", "../")):
        path: str | None = os.path.join(folder, program)
    else:
        path = process.which(program)
    if path is None or not os.path.exists(path):
        raise ProbeRefused(f"{program} is not on PATH", "install it where toolkit runs")
    words = [path, *settings.command[1:]]
    try:
        return process.LineProgram(words, folder, process.child_environment(**settings.env))
    except OSError as problem:
        reason = problem.strerror or problem
        raise ProbeRefused(f"{program} could not be started: {reason}") from None
