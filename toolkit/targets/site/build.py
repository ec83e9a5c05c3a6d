"""Runs the command that builds a site, with the outputs of other targets in its environment."""

import hashlib
from collections.abc import Mapping
from shlex import join

import msgspec
from msgspec import Struct

from toolkit.advice import NextCommand
from toolkit.errors import Refused
from toolkit.operations import Job
from toolkit.ports import commands
from toolkit.ports.commands import Command, Surroundings
from toolkit.ports.ports import Ports
from toolkit.targets.outputs import read_outputs
from toolkit.targets.site.settings import OUTPUT, SiteBuild, consumed


class ConsumedOutputs(Struct, frozen=True):
    """The outputs of other targets that a build is told; `missing` are those that do not exist.
    `digest` is that of all of them, empty where there are none.
    """

    values: Mapping[tuple[str, str], str] = {}
    missing: tuple[tuple[str, str], ...] = ()
    digest: str = ""


def read_inputs(job: Job, ports: Ports) -> ConsumedOutputs:
    """What the build of a job is told. Raises CloudError, Refused."""
    wanted = consumed(job.settings)
    if not wanted:
        return ConsumedOutputs()
    outputs = read_outputs(job, wanted, ports)
    values = {place: value for place, value in outputs.items() if value is not None}
    missing = tuple(sorted(outputs.keys() - values.keys()))
    listed = [(*place, value) for place, value in sorted(values.items())]
    digest = hashlib.sha256(msgspec.json.encode(listed)).hexdigest()
    return ConsumedOutputs(values, missing, digest)


def refuse_missing(inputs: ConsumedOutputs) -> None:
    """Raises Refused where the build would lack an output."""
    if inputs.missing:
        target, name = inputs.missing[0]
        raise Refused(
            f"{target} has no output {name}, which the build needs",
            (f"check `outputs` of {target} in rules.toml; deploy it first:", _deploy(target)),
        )


def _deploy(target: str) -> NextCommand:
    return NextCommand("deploy", (target,))


def words(job: Job) -> str:
    """The command that builds the site, for people."""
    return join(job.settings.build.command)


def find(job: Job, inputs: ConsumedOutputs, root: str) -> Command:
    """The command, with its environment; nothing is started. Raises Refused where it does not
    exist, leads out of the repository, or a variable is not set.
    """
    build: SiteBuild = job.settings.build
    env = {name: _filled(value, inputs) for name, value in build.env.items()}
    passed = commands.required_variables(job.target, build.pass_env)
    facts = {**commands.job_facts(job), **env}
    around = Surroundings(job.target, build.folder, passed, facts)
    return commands.find(around, build.command, root)


def _filled(value: str, inputs: ConsumedOutputs) -> str:
    return OUTPUT.sub(lambda match: inputs.values[match["target"], match["name"]], value)
