"""The code of one Lambda function, without its stack."""

from typing import Annotated

from msgspec import Meta

from toolkit.targets import base

action = "deploy"
estimate_s = 30
problem = base.no_problem
members = base.no_members
command = base.deploy_command
dockerfile = base.no_dockerfile


class Settings(base.Settings, frozen=True, kw_only=True):
    """The code of one Lambda function, without its stack."""

    function: Annotated[base.Text, Meta(description="The function's name.")]
    source: Annotated[base.Folder, Meta(description="The folder that is packed.")]
    alias: Annotated[base.Text, Meta(description="The alias that is moved to the new version.")] = "live"
