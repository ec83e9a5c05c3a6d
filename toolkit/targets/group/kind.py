"""Several targets under one name, such as the full infrastructure. A group covers its members."""

from typing import Annotated

from msgspec import Meta

from toolkit.targets import base


class GroupSettings(base.KindSettings, frozen=True, kw_only=True):
    """Several targets under one name, such as the full infrastructure."""

    members: Annotated[
        tuple[base.Text, ...], Meta(min_length=1, description="The targets that it covers.")
    ]


class GroupKind(base.Kind):
    """Several targets under one name, such as the full infrastructure. A group covers its
    members.
    """

    estimate_s = 0
    program = False
    Settings = GroupSettings

    def members(self, settings: GroupSettings) -> tuple[str, ...]:
        """What it is for."""
        return settings.members

    def runnable(self, settings: GroupSettings) -> str | None:
        """Why it cannot be deployed by itself."""
        return "a group is deployed as its members"


kind = GroupKind()
