"""What next commands repeat to act in a location, for toolkit and for the AWS CLI."""

import pytest

from toolkit.advice import SameOptions
from toolkit.flow.aws_options import located_options
from toolkit.flow.rulebook import read_rules
from toolkit.flow.smoke import SmokeTestRequest, _same_options
from toolkit.operations import Location

RULES = read_rules(
    b'version = 1\nenvironment = "dev"\n[environments.dev]\n[environments.prod]\n', "rules.toml"
)


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")


@pytest.mark.parametrize(
    ("location", "options"),
    [
        (Location("dev"), SameOptions()),
        (Location("dev", region="eu-west-1"), SameOptions(region="eu-west-1")),
        (
            Location("prod", region="us-east-1", profile="team"),
            SameOptions(
                env="prod",
                region="us-east-1",
                aws=("--region", "us-east-1", "--profile", "team"),
            ),
        ),
        (Location("dev", region="r", profile="p", provider="ours"), SameOptions(region="r")),
    ],
)
def test_only_what_is_not_settled_elsewhere_is_repeated(
    location: Location, options: SameOptions
) -> None:
    assert located_options(RULES, None, location) == options


def test_a_profile_that_a_variable_names_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "team")
    assert located_options(RULES, None, Location("dev", profile="team")).aws == ()


def test_a_smoke_test_in_several_regions_repeats_the_profile_and_no_region() -> None:
    places = [Location("dev", region=region, profile="team") for region in ("a", "b")]
    options = _same_options(RULES, SmokeTestRequest(folder="."), places)
    assert options == SameOptions(aws=("--profile", "team"))
