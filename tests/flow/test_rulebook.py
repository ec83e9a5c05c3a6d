"""What has to be said so that a command acts where this one did."""

import pytest

from toolkit.flow.rulebook import advised, read_rules, same_place

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
    ("named", "environment", "region", "said"),
    [
        (None, None, None, ""),
        (None, "dev", None, ""),
        (None, "stage", "eu-west-1", " --env stage"),
        (None, "prod", "us-east-1", " --env prod --region us-east-1"),
        ("other rules.toml", "dev", None, " --rules 'other rules.toml'"),
    ],
)
def test_only_what_is_not_meant_anyway_is_said(named: str | None, environment: str | None, region: str | None, said: str) -> None:
    assert same_place(RULES, named, environment, region) == said


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("toolkit deploy-app app", "toolkit deploy-app --env prod app"),
        ("see what it is; to put yours back: toolkit deploy app", "see what it is; to put yours back: toolkit deploy --env prod app"),
        (
            "toolkit rollback app, or look: toolkit smoke-test --only up",
            "toolkit rollback --env prod app, or look: toolkit smoke-test --env prod --only up",
        ),
        ("toolkit deploy-stack network --continue-rollback", "toolkit deploy-stack --env prod network --continue-rollback"),
        ("toolkit resume", "toolkit resume"),
        ("toolkit deploy --env stage app", "toolkit deploy --env stage app"),
        ("aws s3 sync dist s3://web", "aws s3 sync dist s3://web"),
        ("", ""),
    ],
)
def test_every_command_of_ours_that_acts_on_an_environment_names_it(text: str, wanted: str) -> None:
    assert advised(text, " --env prod") == wanted
    assert advised(text, "") == text
