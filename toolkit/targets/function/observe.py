"""How a deploy of a function goes: by its alias, which bears our token once it leads to our
version.
"""

from collections.abc import Mapping
from typing import Any

from toolkit.advice import ShellCommand
from toolkit.errors import Missing
from toolkit.operations import Job, LiveVersion, Observation, StepState, Verdict
from toolkit.ports.aws import functions
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.functions import Alias
from toolkit.ports.ports import Ports
from toolkit.targets.function import marks
from toolkit.targets.function.sizes import code_size
from toolkit.targets.function.state import (
    ROLLBACK,
    alias_marks,
    failure_of,
    is_busy,
    live_version,
    shares_words,
)

Receipt = Mapping[str, Any]


def observe(job: Job, receipt: Receipt, ports: Ports) -> Observation:
    """How it stands. Raises CloudError for a look that failed."""
    aws, name = ports.aws(job.location), str(job.settings.function)
    alias = functions.alias(aws, name, job.settings.alias)
    if receipt.get("unchanged"):
        return _unchanged(job, receipt, aws, alias)
    if alias is not None and alias_marks(alias).get(marks.TOKEN) == job.token:
        return _moved(job, receipt, aws, alias)
    now = alias.version if alias else ""
    if receipt.get("moved") or now != str(receipt.get("before", now)):
        return _superseded(job, alias)
    return Observation(StepState.ABSENT, phase=f"alias {job.settings.alias} was not moved")


def _unchanged(job: Job, receipt: Receipt, aws: Aws, alias: Alias | None) -> Observation:
    """Nothing had to be done, if that is still true: someone may resume this later."""
    if alias is None or alias.version != receipt.get("version") or alias.shares:
        return _superseded(job, alias)
    version = functions.function(aws, job.settings.function, alias.version)
    live = live_version(job.settings.function, alias, version)
    return Observation(
        StepState.DONE, Verdict.UNCHANGED, "this version is already running", live=live
    )


def _superseded(job: Job, alias: Alias | None) -> Observation:
    name = job.settings.alias
    if alias is None:
        cause = f"alias {name} does not exist any more"
    elif alias.shares:
        cause = f"{shares_words(alias)}: someone else has changed alias {name}"
    else:
        cause = f"alias {name} leads to version {alias.version}: someone else has moved it"
    return Observation(StepState.FAILED, Verdict.SUPERSEDED, cause=cause, next=_ask_aws(job))


def _moved(job: Job, receipt: Receipt, aws: Aws, alias: Alias) -> Observation:
    """The alias leads to our version: is that what was deployed, and can it be called?"""
    if alias.shares:
        return _superseded(job, alias)
    name = str(job.settings.function)
    version = functions.function(aws, name, alias.version)
    expected = receipt.get("sha256")
    if version is None:
        cause = f"there is no version {alias.version} of {name}"
    elif expected and version.sha256 != expected:
        cause = f"version {alias.version} has the code {version.sha256}, not {expected}"
    elif failure := failure_of(version):
        cause = f"version {alias.version} {failure}"
    elif is_busy(version):
        return Observation(StepState.RUNNING, phase=f"version {alias.version} is being created")
    else:
        size = None
        if job.action != ROLLBACK:
            size = code_size(job, receipt, aws, version)
        return Observation(
            StepState.DONE,
            Verdict.SUCCEEDED,
            f"alias {alias.name} leads to version {alias.version}",
            live=live_version(name, alias, version),
            size=size,
        )
    return Observation(StepState.FAILED, Verdict.FAILED, cause=cause, next=_ask_aws(job))


def _ask_aws(job: Job) -> ShellCommand:
    options = ("--name", job.settings.alias)
    return ShellCommand("aws lambda get-alias --function-name", (job.settings.function, *options))


def live(job: Job, ports: Ports) -> LiveVersion | None:
    """What runs; None where there is no alias. Raises Missing."""
    aws, name = ports.aws(job.location), str(job.settings.function)
    alias = functions.alias(aws, name, job.settings.alias)
    if alias is None:
        if functions.function(aws, name) is None:
            raise Missing(what="Lambda function", name=name, where=f" in {aws.region_name}")
        return None
    return live_version(name, alias, functions.function(aws, name, alias.version))
