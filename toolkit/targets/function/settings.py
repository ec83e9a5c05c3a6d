"""The settings of a function in rules.toml."""

from typing import Annotated

from msgspec import Meta

from toolkit.targets import base


class FunctionSettings(base.WatchSettings, frozen=True, kw_only=True):
    """The code of one Lambda function, without its stack."""

    function: Annotated[base.Text, Meta(description="The function's name.")]
    source: Annotated[base.Folder, Meta(description="The folder that is packed.")]
    alias: Annotated[base.Text, Meta(description="The alias that is moved to the new version.")] = (
        "live"
    )
