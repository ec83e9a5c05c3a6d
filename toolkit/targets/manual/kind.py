"""Something that a person deploys: toolkit only reports that it is due."""

from typing import Annotated

from msgspec import Meta

from toolkit.advice import NextCommand
from toolkit.targets import base


class ManualSettings(base.KindSettings, frozen=True, kw_only=True):
    """Something that a person deploys: toolkit only reports that it is due."""

    instructions: Annotated[base.Text, Meta(description="What to do, in a sentence.")]


class ManualKind(base.Kind):
    """Something that a person deploys: toolkit only reports that it is due."""

    action = "by hand"
    estimate_s = 0
    program = False
    Settings = ManualSettings

    def command(self, target: str, settings: ManualSettings) -> NextCommand | None:
        """There is none."""
        return None

    def instructions(self, settings: ManualSettings) -> str | None:
        """What a person has to do."""
        return settings.instructions

    def runnable(self, settings: ManualSettings) -> str | None:
        """What a person has to do."""
        return f"only a person can: {settings.instructions}"


kind = ManualKind()
