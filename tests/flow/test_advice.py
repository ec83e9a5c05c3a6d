"""What has to be said so that a command acts where this one did."""

import pytest

from toolkit.advice import SameOptions
from toolkit.flow.advice import same_options
from toolkit.flow.rulebook import read_rules

RULES = read_rules(
    b"""\
version = 1
environment = "dev"
[environments.dev]
[environments.prod]
regions = ["eu-west-1", "us-east-1"]
[environments.stage]
regions = ["eu-west-1"]
""",
    "rules.toml",
)


@pytest.mark.parametrize(
    ("named", "environment", "region", "same"),
    [
        (None, None, None, SameOptions()),
        ("", "dev", None, SameOptions()),
        (None, "stage", "eu-west-1", SameOptions(env="stage")),
        (None, "prod", "us-east-1", SameOptions(env="prod", region="us-east-1")),
        (None, "dev", "us-east-1", SameOptions(region="us-east-1")),
        (None, None, "us-east-1", SameOptions(region="us-east-1")),
        (None, "stage", "us-east-1", SameOptions(env="stage", region="us-east-1")),
        ("other rules.toml", "dev", None, SameOptions(rules="other rules.toml")),
    ],
)
def test_only_what_is_not_meant_anyway_is_said(
    named: str | None, environment: str | None, region: str | None, same: SameOptions
) -> None:
    assert same_options(RULES, named, environment, region) == same
