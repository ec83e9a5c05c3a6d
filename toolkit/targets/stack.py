"""One CloudFormation stack, from a CDK app or from a plain template."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from toolkit.targets import base

action = "deploy-stack"
estimate_s = 300
deadline_s = 5400
members = base.no_members
runnable = base.can_run
dockerfile = base.no_dockerfile


class Settings(base.Settings, frozen=True, kw_only=True):
    """One CloudFormation stack, from a CDK app or from a plain template."""

    stack: Annotated[base.Text, Meta(description="The stack's name.")]
    cdk: Annotated[base.Folder | None, Meta(description="The folder with cdk.json. Either this or `template`.")] = None
    template: Annotated[base.Folder | None, Meta(description="The template's file. Either this or `cdk`.")] = None
    parameters: Annotated[Mapping[str, str], Meta(description="Template parameters. No secrets: use a dynamic reference.")] = {}
    outputs: Annotated[tuple[str, ...], Meta(description="The outputs that may be shown after a deploy.")] = ()


def problem(settings: Settings) -> str | None:
    """Where the template comes from must be said once."""
    if (settings.cdk is None) == (settings.template is None):
        return "needs either `cdk` (the folder with cdk.json) or `template` (a file), and not both"
    return None


def command(target: str, settings: Settings) -> str | None:
    """The command that deploys it."""
    return f"toolkit deploy-stack {target}"
