"""The settings of a stack in rules.toml."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from toolkit.targets import base


class StackSettings(base.WatchSettings, frozen=True, kw_only=True):
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
        Meta(description="Context values for the CDK app, as with `cdk -c name=value`."),
    ] = {}
    parameters: Annotated[
        Mapping[str, str],
        Meta(description="Template parameters. No secrets: use a dynamic reference."),
    ] = {}
    pass_env: Annotated[
        tuple[base.Variables, ...],
        Meta(
            description=(
                "Variables of your environment that the CDK app gets: names, or beginnings of "
                'names such as "TEAM_*".'
            )
        ),
    ] = ()
    outputs: Annotated[
        tuple[str, ...], Meta(description="The outputs that may be shown after a deploy.")
    ] = ()
