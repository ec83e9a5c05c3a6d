"""What next commands have to repeat to act in a location, for toolkit and for the AWS CLI."""

from msgspec.structs import replace

from toolkit.advice import SameOptions
from toolkit.errors import CredentialsProblem
from toolkit.flow.advice import same_options
from toolkit.model import AWS, Rules
from toolkit.operations import Location
from toolkit.ports.aws import endpoint


def located_options(rules: Rules, named: str | None, location: Location) -> SameOptions:
    """The options for these rules (`named` is the value of --rules) and this location. Reads AWS's
    own settings.
    """
    same = same_options(rules, named, location.environment, location.region)
    return replace(same, aws=cli_options(location))


def cli_options(location: Location) -> tuple[str, ...]:
    """The options with which the AWS CLI acts in a location: those that it does not know from its
    own settings.
    """
    if location.provider != AWS:
        return ()
    options: tuple[str, ...] = ()
    if location.region:
        try:
            settled = endpoint.region(location.profile)
        except CredentialsProblem:
            settled = None
        if settled != location.region:
            options += ("--region", location.region)
    if location.profile and location.profile != endpoint.profile_name():
        options += ("--profile", location.profile)
    return options
