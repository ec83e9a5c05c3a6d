"""What a next command has to repeat to act where the command that prints it does. Pure."""

from toolkit.advice import SameOptions
from toolkit.model import Rules


def same_options(
    rules: Rules, named: str | None, environment: str | None, region: str | None = None
) -> SameOptions:
    """The options for these rules (`named` is the value of --rules), this environment, and this
    region where the environment has several.
    """
    settings = rules.environments.get(environment or "")
    has_regions = settings is not None and len(settings.regions) > 1
    return SameOptions(
        rules=named or None,
        env=None if environment == rules.environment else environment,
        region=region if region and has_regions else None,
    )
