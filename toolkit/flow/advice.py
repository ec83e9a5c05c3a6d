"""What a next command has to repeat to act where the command that prints it does. Pure."""

from toolkit.advice import SameOptions
from toolkit.model import Rules


def same_options(
    rules: Rules, named: str | None, environment: str | None, region: str | None = None
) -> SameOptions:
    """The options for these rules (`named` is the value of --rules), this environment, and this
    region unless it is the environment's only one.
    """
    settings = rules.environments.get(environment or "")
    is_only = settings is not None and settings.regions == (region,)
    return SameOptions(
        rules=named or None,
        env=None if environment == rules.environment else environment,
        region=None if is_only else region or None,
    )
