"""Runs the command that builds a site, with the outputs of other targets in its environment."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Mapping
from shlex import join

import msgspec
from msgspec import Struct

from toolkit.advice import NextCommand
from toolkit.errors import ProgramFailed, Refused
from toolkit.formats.redaction import without
from toolkit.operations import Job
from toolkit.ports import files, process
from toolkit.ports.clock import Clock
from toolkit.ports.ports import Ports
from toolkit.targets.outputs import read_outputs
from toolkit.targets.site.settings import OUTPUT, SiteBuild, consumed

LAST = 15
"""So many of the last lines are kept of what a build writes."""
SHORTEST = 4
"""A value of fewer characters is not hidden: it would take out half of every text."""


class BuildInputs(Struct, frozen=True):
    """The outputs of other targets that a build is told; `missing` are those that do not exist.
    `digest` is that of all of them, empty where there are none.
    """

    values: Mapping[tuple[str, str], str] = {}
    missing: tuple[tuple[str, str], ...] = ()
    digest: str = ""


def read_inputs(job: Job, ports: Ports) -> BuildInputs:
    """What the build of a job is told. Raises CloudError, Refused."""
    wanted = consumed(job.settings)
    if not wanted:
        return BuildInputs()
    outputs = read_outputs(job, wanted, ports)
    values = {place: value for place, value in outputs.items() if value is not None}
    missing = tuple(sorted(outputs.keys() - values.keys()))
    listed = [(*place, value) for place, value in sorted(values.items())]
    digest = hashlib.sha256(msgspec.json.encode(listed)).hexdigest()
    return BuildInputs(values, missing, digest)


def refuse_missing(inputs: BuildInputs) -> None:
    """Raises Refused where the build would lack an output."""
    if inputs.missing:
        target, name = inputs.missing[0]
        raise Refused(
            f"{target} has no output {name}, which the build needs",
            (f"check `outputs` of {target} in rules.toml; deploy it first:", _deploy(target)),
        )


def _deploy(target: str) -> NextCommand:
    return NextCommand("deploy", (target,))


class BuildProgram(Struct, frozen=True):
    """What is started. `hidden` are values that must not be shown, each with its variable's
    name.
    """

    argv: tuple[str, ...]
    folder: str
    env: Mapping[str, str]
    hidden: Mapping[str, str]


def words(job: Job) -> str:
    """The command that builds the site, for people."""
    return join(job.settings.build.command)


def find(job: Job, inputs: BuildInputs, root: str) -> BuildProgram:
    """The program, with its environment; nothing is started. Raises Refused where it does not
    exist, leads out of the repository, or a variable is not set.
    """
    build: SiteBuild = job.settings.build
    folder = os.path.join(root, build.folder)
    if os.path.realpath(folder) != os.path.realpath(root) and not files.is_inside(folder, root):
        raise Refused(
            f"`build.folder` of {job.target} leads out of the repository",
            "correct it in rules.toml",
        )
    passed: dict[str, str] = {}
    for name in build.pass_env:
        if name not in os.environ:
            raise Refused(
                f"{name} is not set, and the build of {job.target} needs it",
                "set it where toolkit is started, or take it out of `pass_env` in rules.toml",
            )
        passed[name] = os.environ[name]
    env = {name: _filled(value, inputs) for name, value in build.env.items()}
    hidden = {value: f"{{{name}}}" for name, value in passed.items() if len(value) >= SHORTEST}
    environment = process.child_environment(**{**_facts(job), **passed, **env})
    return BuildProgram(
        (_path(job, build, folder, root), *build.command[1:]), folder, environment, hidden
    )


def _filled(value: str, inputs: BuildInputs) -> str:
    return OUTPUT.sub(lambda match: inputs.values[match["target"], match["name"]], value)


def _facts(job: Job) -> dict[str, str]:
    facts = {
        "TOOLKIT_TARGET": job.target,
        "TOOLKIT_ENVIRONMENT": job.location.environment,
        "TOOLKIT_REGION": job.location.region,
        "TOOLKIT_VERSION": job.version.name,
        "TOOLKIT_COMMIT": job.version.commit,
    }
    return {name: value for name, value in facts.items() if value}


def _path(job: Job, build: SiteBuild, folder: str, root: str) -> str:
    word = build.command[0]
    if word.startswith(("./", "../")):
        path: str | None = os.path.join(folder, word)
        if not files.is_inside(os.path.join(folder, word), root):
            raise Refused(
                f"{word} of {job.target} leads out of the repository",
                "name a program on PATH, or one in the repository",
            )
    elif os.path.isabs(word):
        path = word
    else:
        path = process.which(word)
    if path is None or not os.path.isfile(path):
        raise Refused(f"there is no program {word}, which builds {job.target}", f"install {word}")
    return path


def run(
    program: BuildProgram,
    clock: Clock,
    seconds: float,
    log: Callable[[str], None],
    check: Callable[[], None],
) -> None:
    """Build, to the end. Where `check` raises, it is ended, too. Raises ProgramFailed, Refused."""
    name = os.path.basename(program.argv[0])
    command = join((name, *program.argv[1:]))
    try:
        child = process.LineProgram(program.argv, program.folder, program.env)
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise Refused(f"{name} could not be started: {reason}", "check `build`") from None
    until = clock.elapsed() + seconds
    last = deque[str](maxlen=LAST)
    lines = child.lines()
    try:
        for line in lines:
            if line is not None:
                text = without(line.decode("utf-8", "replace"), program.hidden)
                last.append(text)
                log(text)
            check()
            if clock.elapsed() >= until:
                raise ProgramFailed(program=name, reason=f"`{command}` did not end in time")
    finally:
        lines.close()  # type: ignore[attr-defined]  # ends it where it still runs
    if child.code != 0:
        reason = f"`{command}` ended with exit code {child.code}"
        if last:
            reason += f": {last[-1].strip()}"
        raise ProgramFailed(program=name, reason=reason)
