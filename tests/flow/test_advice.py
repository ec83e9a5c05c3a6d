"""What has to be said so that a command acts where this one did."""

import click
import pytest

from toolkit.cli.main import cli
from toolkit.flow.advice import COMMANDS, SameOptions, same_options, typed_options, with_options
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
    ("named", "environment", "region", "said"),
    [
        (None, None, None, ""),
        (None, "dev", None, ""),
        (None, "stage", "eu-west-1", " --env stage"),
        (None, "prod", "us-east-1", " --env prod --region us-east-1"),
        ("other rules.toml", "dev", None, " --rules 'other rules.toml'"),
    ],
)
def test_only_what_is_not_meant_anyway_is_said(
    named: str | None, environment: str | None, region: str | None, said: str
) -> None:
    assert str(same_options(RULES, named, environment, region)) == said


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("toolkit deploy-app app", "toolkit deploy-app --env prod app"),
        (
            "see what it is; to restore yours: toolkit deploy app",
            "see what it is; to restore yours: toolkit deploy --env prod app",
        ),
        (
            "toolkit rollback app, or look: toolkit smoke-test --only up",
            "toolkit rollback --env prod app, or look: toolkit smoke-test --env prod --only up",
        ),
        (
            "toolkit deploy-stack network --continue-rollback",
            "toolkit deploy-stack --env prod network --continue-rollback",
        ),
        ("toolkit resume", "toolkit resume"),
        ("see `toolkit lock show app`", "see `toolkit lock show --env prod app`"),
        ("toolkit deploy --env stage app", "toolkit deploy --env stage app"),
        ("aws s3 sync dist s3://web", "aws s3 sync dist s3://web"),
        ("", ""),
    ],
)
def test_every_command_of_ours_that_acts_on_an_environment_names_it(text: str, wanted: str) -> None:
    assert with_options(text, SameOptions(env=" --env prod")) == wanted
    assert with_options(text, SameOptions()) == text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("continue with `toolkit resume`", "continue with `toolkit resume --rules r.toml`"),
        (
            "see `toolkit show 20261120-100000-aaaa`",
            "see `toolkit show --rules r.toml 20261120-100000-aaaa`",
        ),
        (
            "fix it, then run `toolkit rules check`",
            "fix it, then run `toolkit rules check --rules r.toml`",
        ),
        (
            "see what runs: toolkit health app",
            "see what runs: toolkit health --rules r.toml --env prod --region us-east-1 app",
        ),
        ("`toolkit diff A..B --rules FILE`", "`toolkit diff A..B --rules FILE`"),
        ("see `toolkit lock show app`", "see `toolkit lock show --rules r.toml --env prod app`"),
        ("toolkit sandbox up", "toolkit sandbox up"),
    ],
)
def test_every_command_is_given_the_options_that_it_has(text: str, wanted: str) -> None:
    assert (
        with_options(text, SameOptions(" --rules r.toml", " --env prod", " --region us-east-1"))
        == wanted
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("health", ""),
        ("health --env prod app", " --env prod"),
        ("-e stage health --env=prod", " --env prod"),
        ("deploy -eprod --region=us-east-1 app", " --env prod --region us-east-1"),
        ("--rules other.toml diff --env", " --rules other.toml"),
        ("deploy app -- --env prod", ""),
        ("deploy app --env=", ""),
        ("health --env $(reboot)", " --env '$(reboot)'"),
    ],
)
def test_what_a_command_line_said_is_said_again(line: str, said: str) -> None:
    assert str(typed_options(line.split())) == said


@pytest.mark.parametrize(
    ("options", "command"),
    [(options, name) for options, names in COMMANDS.items() for name in names],
)
def test_the_commands_have_these_options(options: tuple[str, ...], command: str) -> None:
    found: click.Command = cli
    for word in command.split():
        assert isinstance(found, click.Group)
        made = found.get_command(click.Context(found), word)
        assert made is not None
        found = made
    params = found.get_params(click.Context(found))
    assert set(options) <= {name.removeprefix("--") for param in params for name in param.opts}
