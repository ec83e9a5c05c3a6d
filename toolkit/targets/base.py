"""What a kind must offer. A kind is a module; its settings are a struct, so that they are checked when rules.toml is loaded."""

from typing import Annotated, Any, Protocol

from msgspec import Meta, Struct

Text = Annotated[str, Meta(min_length=1)]
Url = Annotated[str, Meta(pattern=r"^https?://[^\s@]+$", description="An http or https address, without a user name.")]
Folder = Annotated[str, Meta(min_length=1, pattern=r"^(?!/)(?!.*(?:^|/)\.\.(?:/|$))", description="A path from the repository's root.")]


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings of one kind; `kind`, `needs` and `estimate` are common to all and read apart."""


class Kind(Protocol):
    """The contract of a kind's module."""

    action: str
    """The verb of its step, which is the command that runs it."""
    estimate_s: int
    """How long a deploy takes where rules.toml does not say, in seconds."""
    Settings: Any
    """The struct that its settings are checked with."""

    def problem(self, settings: Any) -> str | None:
        """What is wrong with settings whose types are right, None if nothing is."""

    def members(self, settings: Any) -> tuple[str, ...]:
        """The targets that a target of this kind covers."""

    def dockerfile(self, settings: Any) -> tuple[str, str] | None:
        """The build context and the Dockerfile that it is built from, from the repository's root; None if it is built otherwise."""

    def command(self, target: str, settings: Any) -> str | None:
        """The command that deploys it, None where only a person can."""


def no_problem(settings: Settings) -> str | None:
    """For a kind whose types say everything."""
    return None


def no_members(settings: Settings) -> tuple[str, ...]:
    """For a kind that covers nothing but itself."""
    return ()


def no_dockerfile(settings: Settings) -> tuple[str, str] | None:
    """For a kind that is no image."""
    return None


def deploy_command(target: str, settings: Settings) -> str | None:
    """For a kind without a verb of its own."""
    return f"toolkit deploy {target}"
