"""`toolkit rules`: the commands about rules.toml itself."""

from typing import ClassVar

import click

from toolkit.cli.main import LazyGroup


class RulesGroup(LazyGroup):
    """The commands of `toolkit rules`."""

    commands_by_name: ClassVar[dict[str, tuple[str, str]]] = {
        "check": (
            "toolkit.cli.rules_check",
            "Find dead, shadowed and overlapping rules, and files that no rule owns.",
        ),
        "match": (
            "toolkit.cli.rules_match",
            "Show which targets paths belong to; needs no repository.",
        ),
        "replay": (
            "toolkit.cli.rules_replay",
            "Show what today's rules would have deployed over history.",
        ),
        "observe": (
            "toolkit.cli.rules_observe",
            "Run a build and find the files that it reads and no rule matches.",
        ),
        "import": ("toolkit.cli.rules_import", "Convert CI path filters into rules."),
        "schema": ("toolkit.cli.rules_schema", "Print the JSON Schema of rules.toml."),
    }


@click.group("rules", cls=RulesGroup)
def rules() -> None:
    """Check, try out, replay, prove, import and describe rules."""
