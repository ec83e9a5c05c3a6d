"""The settings of a stack, or of the stacks of an app, in rules.toml."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from toolkit.targets import base


class StackSettings(base.WatchSettings, frozen=True, kw_only=True):
    """One CloudFormation stack, from a CDK app or from a plain template."""

    stack: Annotated[
        base.Text | None, Meta(description="The stack's name. Either this or `stacks`.")
    ] = None
    stacks: Annotated[
        # Without a pattern: msgspec 0.22 frees one twice that is in a union with an array.
        tuple[base.Text, ...] | base.Text | None,
        Meta(
            description=(
                "Instead of `stack`: all stacks of the CDK app that these patterns match, by their"
                ' names or their paths in the app, as it is when it is deployed. `"*"` stands for'
                " all that no other target names or matches; a pattern with a `!` before it takes"
                " stacks out."
            )
        ),
    ] = None
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

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns of `stacks`; none where the target is one stack."""
        if self.stacks is None:
            return ()
        return (self.stacks,) if isinstance(self.stacks, str) else self.stacks
