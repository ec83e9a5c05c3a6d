"""What rules.toml says of a target of the kind `command`."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from toolkit.targets import base

Words = Annotated[
    tuple[base.Text, ...],
    Meta(min_length=1, description='A program and its arguments: `["terraform", "apply"]`.'),
]
Duration = base.Duration


class CommandSettings(base.JudgedSettings, frozen=True, kw_only=True):
    """Something that your own program deploys: terraform, helm, serverless, a script."""

    deploy: Annotated[
        Words, Meta(description="The command that deploys it. Exit code 0 is success.")
    ]
    plan: Annotated[
        tuple[base.Text, ...],
        Meta(description="The command that shows what `deploy` would change, without changing it."),
    ] = ()
    changes: Annotated[
        Annotated[int, Meta(ge=1, le=255)] | None,
        Meta(
            description=(
                "The exit code of `plan` that means that there are changes (with terraform's "
                "`-detailed-exitcode`: 2). Exit code 0 then means that there are none, and "
                "nothing is deployed."
            ),
        ),
    ] = None
    live: Annotated[
        tuple[base.Text, ...],
        Meta(
            description="The command that prints the running version (`{version}`) in its first"
            " line, to standard output."
        ),
    ] = ()
    rollback: Annotated[
        tuple[base.Text, ...],
        Meta(
            description="The command that restores an older version, with its `{version}` and "
            "`{commit}`."
        ),
    ] = ()
    health: Annotated[
        tuple[base.Text, ...],
        Meta(
            description="The command that checks its health, for `toolkit health`. Exit code 0 "
            "is healthy."
        ),
    ] = ()
    folder: Annotated[
        str,
        Meta(
            pattern=r"^(?!/)(?!.*(?:^|/)\.\.(?:/|$))[^\x00-\x1f]*$(?!\n)",
            description="Where the commands run, relative to the repository's root.",
        ),
    ] = "."
    env: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$(?!\n)")], ...],
        Meta(
            description=(
                "The variables of your environment that the commands get, in addition to "
                "those that every program needs, and to TOOLKIT_TARGET, TOOLKIT_VERSION and "
                "so on."
            )
        ),
    ] = ()


NAMES = ("deploy", "plan", "live", "rollback", "health")
"""The settings that are commands."""


def commands(settings: CommandSettings) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The commands that it has: the setting's name, and the words."""
    for name in NAMES:
        words = getattr(settings, name)
        if words:
            yield name, words
