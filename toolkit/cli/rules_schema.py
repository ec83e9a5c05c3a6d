"""`toolkit rules schema`: what rules.toml may hold, for editors, drawn from the very types that
check it.
"""

import json
from typing import Any

import click
from msgspec.json import schema_components

from toolkit import checks, targets
from toolkit.cli import output
from toolkit.config.reader import NAME
from toolkit.config.schema import (
    CommonTable,
    EnvironmentTable,
    HooksTable,
    RulesFile,
    RuleTable,
    SecretTable,
)
from toolkit.formats import durations
from toolkit.model import CHECKS, STATUSES, CheckTypeName

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


@click.command("schema")
def rules_schema() -> int:
    """Print the JSON Schema of rules.toml."""
    output.say(json.dumps(schema(), indent=2))
    return 0


def schema() -> dict[str, Any]:
    """The whole file as one JSON Schema document."""
    kinds = {name: targets.kind(name).Settings for name in targets.NAMES}
    _, tables = schema_components(
        [RulesFile, EnvironmentTable, RuleTable], ref_template="#/$defs/{name}"
    )
    definitions: dict[str, Any] = {
        "Rule": _rule(tables.pop("RuleTable")),
        "Environment": tables.pop("EnvironmentTable"),
        **tables,
    }
    top = definitions.pop("RulesFile")
    for name, settings in kinds.items():
        definitions |= _kind(name, settings)
    top["properties"]["environments"] |= {
        "type": "object",
        "additionalProperties": {"$ref": "#/$defs/Environment"},
    }
    top["properties"]["targets"] |= {
        "type": "object",
        "propertyNames": {"pattern": f"^{NAME}$"},
        "additionalProperties": {"oneOf": [{"$ref": f"#/$defs/{name}"} for name in kinds]},
    }
    for name in CheckTypeName:
        definitions |= _check_type(name)
    hooks = schema_components([HooksTable], ref_template="#/$defs/{name}")[1]["HooksTable"]
    definitions["Hooks"] = {**hooks, "title": "Hooks"}
    definitions["Secret"] = schema_components([SecretTable], ref_template="#/$defs/{name}")[1][
        "SecretTable"
    ]
    top["properties"]["checks"] |= {
        "type": "object",
        "propertyNames": {"pattern": f"^{NAME}$"},
        "additionalProperties": {
            "oneOf": [{"$ref": f"#/$defs/check-{name}"} for name in CheckTypeName]
        },
    }
    top["properties"]["secrets"] |= {
        "type": "object",
        "additionalProperties": {"$ref": "#/$defs/Secret"},
    }
    top["properties"]["rules"] |= {"type": "array", "items": {"$ref": "#/$defs/Rule"}}
    return {
        "$schema": _DRAFT,
        "title": "rules.toml",
        **{key: value for key, value in top.items() if key != "title"},
        "$defs": definitions,
    }


def _rule(table: dict[str, Any]) -> dict[str, Any]:
    table["properties"]["run"]["items"] = {"enum": list(CHECKS)}
    table["properties"]["changes"]["items"] = {"enum": list(STATUSES)}
    return {**table, "title": "Rule", "anyOf": [{"required": ["deploy"]}, {"required": ["run"]}]}


def _check_type(name: str) -> dict[str, Any]:
    """The definition of one check type, with what all checks have in common, and those that it
    refers to.
    """
    own = checks.check_type(name).Settings
    _, definitions = schema_components([own, CommonTable], ref_template="#/$defs/{name}")
    settings, common = definitions.pop(own.__name__), definitions.pop("CommonTable")
    settings["properties"] = {**settings["properties"], **common["properties"]}
    return {f"check-{name}": {**settings, "title": name}, **definitions}


def _kind(name: str, settings: type) -> dict[str, Any]:
    """The definition of one kind, with what all kinds have in common, and those that it refers
    to.
    """
    _, definitions = schema_components([settings], ref_template="#/$defs/{name}")
    table = definitions.pop(settings.__name__)
    common = {
        "kind": {"const": name, "description": "The kind of the target."},
        "needs": {
            "type": "array",
            "items": {"type": "string"},
            "description": (
                "Targets that have to be up to date before this one: `network` in the same"
                " region, `network@us-east-1` in another one."
            ),
        },
        "estimate": {
            "type": "string",
            "pattern": durations.PATTERN,
            "description": 'How long a deploy takes, such as "2m30s".',
        },
        "deadline": {
            "type": "string",
            "pattern": durations.PATTERN,
            "description": "How long to wait for a deploy.",
        },
        "inputs": {
            "type": "array",
            "items": {"type": "string", "pattern": r"^(ssm|secret|env):.+$(?!\n)"},
            "description": (
                "What it is made of, or runs with, outside git: `ssm:NAME` (a parameter),"
                " `secret:NAME` (a secret) and `env:NAME` (a variable that is not a secret). It is"
                " due when the version of one changes."
            ),
        },
        "hooks": {
            "$ref": "#/$defs/Hooks",
            "description": "Programs of your own that run before it is deployed.",
        },
    }
    table["properties"] = {**common, **table["properties"]}
    table["required"] = ["kind", *table.get("required", [])]
    return {name: {**table, "title": name}, **definitions}
