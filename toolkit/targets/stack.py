"""One CloudFormation stack, from a CDK app or from a plain template."""

import posixpath
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from toolkit.model import (
    Inputs,
    Job,
    LiveVersion,
    Observation,
    Preview,
    Provision,
    Resource,
    Statement,
)
from toolkit.targets import base

if TYPE_CHECKING:
    from toolkit.ports.ports import Ports

action = "deploy-stack"
estimate_s = 300
deadline_s = 5400
program = False
by_image = False
restores_with = " --force"
members = base.no_members
instructions = base.no_instructions
irreversible = base.not_reversible
kept = base.never_kept
runnable = base.can_run
dockerfile = base.no_dockerfile


Variable = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*\*?$")]


class Settings(base.WatchSettings, frozen=True, kw_only=True):
    """One CloudFormation stack, from a CDK app or from a plain template."""

    stack: Annotated[base.Text, Meta(description="The stack's name.")]
    cdk: Annotated[
        base.Folder | None, Meta(description="The folder with cdk.json. Either this or `template`.")
    ] = None
    template: Annotated[
        base.Folder | None, Meta(description="The template's file. Either this or `cdk`.")
    ] = None
    context: Annotated[
        Mapping[str, str],
        Meta(description="Context values for the CDK app, as `cdk -c name=value` gives them."),
    ] = {}
    parameters: Annotated[
        Mapping[str, str],
        Meta(description="Template parameters. No secrets: use a dynamic reference."),
    ] = {}
    pass_env: Annotated[
        tuple[Variable, ...],
        Meta(
            description=(
                "Variables of your environment that the CDK app is given: names, or beginnings of"
                ' names such as "TEAM_*".'
            )
        ),
    ] = ()
    outputs: Annotated[
        tuple[str, ...], Meta(description="The outputs that may be shown after a deploy.")
    ] = ()


def problem(settings: Settings) -> str | None:
    """Where the template comes from must be said once."""
    if (settings.cdk is None) == (settings.template is None):
        return "needs either `cdk` (the folder with cdk.json) or `template` (a file), and not both"
    if settings.context and settings.cdk is None:
        return "`context` is for CDK apps: a template has `parameters`"
    if settings.pass_env and settings.cdk is None:
        return "`pass_env` is for CDK apps: a template reads no environment"
    return None


def inputs(settings: Settings) -> Inputs:
    """Its template; a CDK app is a program, so it may read anything."""
    if settings.cdk is not None:
        own = (f"{settings.cdk}/cdk.json", f"{settings.cdk}/cdk.context.json")
        return Inputs(files=tuple(posixpath.normpath(path) for path in own), everything=True)
    return Inputs(files=(settings.template,) if settings.template else ())


def linked(path: str, text: str) -> tuple[str, ...]:
    """The local files and folders that a template names: code, nested templates, what it
    includes.
    """
    from toolkit.targets.cloudformation import references

    return references.local(path, text)


def wanted(settings: Settings) -> tuple[Provision, ...]:
    """A bootstrapped account, for a CDK app; the stack itself is what a deploy brings."""
    return () if settings.cdk is None else (Provision("bootstrap", "hnb659fds"),)


def writes(settings: Settings) -> tuple[Resource, ...]:
    """The stack, by its name; that is the second part of what an ARN has behind `stack/`."""
    name = settings.stack
    return (
        Resource("stack", name.split("/")[1] if name.startswith("arn:") and "/" in name else name),
    )


def sources(settings: Settings) -> tuple[str, ...]:
    """Its CDK app or template."""
    return tuple(source for source in (settings.cdk, settings.template) if source)


def aliases(settings: Settings) -> tuple[str, ...]:
    """The stack's name."""
    return (settings.stack,)


def command(target: str, settings: Settings) -> str | None:
    """The command that deploys it."""
    return f"toolkit deploy-stack {target}"


def services() -> tuple[str, ...]:
    """CloudFormation; the others are called by some stacks only."""
    return ("cloudformation",)


def preview(job: Job, ports: "Ports") -> Preview:
    """What would be done: the template is read or synthesized, and compared with what the stack
    has.
    """
    from toolkit.targets.cloudformation import preview

    return preview.preview(job, ports)


def apply(job: Job, ports: "Ports", report: base.Report) -> None:
    """Make the change set, show it, and execute it."""
    from toolkit.targets.cloudformation import deploy

    deploy.apply(job, ports, report)


def observe(
    job: Job, receipt: Mapping[str, Any], ports: "Ports", before: Observation | None = None
) -> Observation:
    """How it stands, by the stack's events that bear our token."""
    from toolkit.targets.cloudformation import watch

    return watch.observe(job, receipt, ports, before)


def abandon(job: Job, receipt: Mapping[str, Any], ports: "Ports", report: base.Report) -> None:
    """Cancel an update that is still running. CloudFormation rolls a creation back by itself."""
    from toolkit.targets.cloudformation import deploy

    deploy.abandon(job, receipt, ports, report)


def live(job: Job, ports: "Ports") -> LiveVersion | None:
    """What the stack's tags say."""
    from toolkit.targets.cloudformation import watch

    return watch.live(job, ports)


def permissions(job: Job) -> tuple[Statement, ...]:
    """For CloudFormation, the CDK's bucket and role, and the look at running images."""
    from toolkit.targets.cloudformation import policy

    return policy.statements(job)


def health(job: Job, ports: "Ports", tell: base.Tell) -> LiveVersion | None:
    """Its state, what it failed at, drift if anybody has looked for it, and alarms."""
    from toolkit.targets.cloudformation import health

    return health.look(job, ports, tell)
