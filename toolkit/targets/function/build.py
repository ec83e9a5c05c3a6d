"""The command that makes a package's files."""

import os
import shlex

from toolkit.operations import Job
from toolkit.ports import commands
from toolkit.ports.cdk_environment import handed_on
from toolkit.ports.commands import Command, Surroundings
from toolkit.ports.ports import Ports
from toolkit.targets.base import Report
from toolkit.targets.function.settings import FunctionBuild


def find(job: Job, root: str) -> Command:
    """The command; nothing is started. Raises Refused where it does not exist."""
    settings: FunctionBuild = job.settings.build
    passed = handed_on(settings.pass_env, os.environ)
    around = Surroundings(job.target, settings.folder, passed, commands.job_facts(job))
    return commands.find(around, settings.command, root)


def run(job: Job, ports: Ports, report: Report, seconds: float) -> None:
    """Run it to its end, for at most so long. Raises Refused where it cannot be started,
    ProgramFailed where it does not end well.
    """
    command = find(job, ports.root)
    report.phase(f"running {shlex.join(job.settings.build.command)}")
    commands.run_alone(command, ports.cache, ports.clock, seconds, report.log, report.check)
