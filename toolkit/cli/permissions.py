"""`toolkit permissions`: what IAM has to allow."""

import click

from toolkit.cli import account, options, output
from toolkit.flow import permissions as flow
from toolkit.flow.rulebook import load_rules
from toolkit.show import policy as show


@click.command(
    epilog="\b\nExamples:\n  toolkit permissions\n  toolkit permissions app --json > policy.json"
)
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@options.common
@options.environment
@click.option("--region", metavar="NAME", help="Only this one of the environment's regions.")
@options.as_json
@click.pass_context
def permissions(
    ctx: click.Context,
    targets: tuple[str, ...],
    folder: str | None,
    rules: str | None,
    env: str | None,
    region: str | None,
    as_json: bool,
) -> int:
    """The IAM policy that these targets need, or all of rules.toml.

    With --json it is the policy document itself, ready for `aws iam create-policy`.
    """
    folder = options.enter(ctx, folder)
    git, named, environment = (
        options.repository(folder),
        options.inherited(ctx, "rules", rules),
        options.inherited(ctx, "env", env),
    )
    account.begin_with(load_rules(folder, named, git), None, environment, region=region)
    found = flow.permissions(folder, named, environment, region, targets, git)
    if as_json:
        output.location()
    output.say(show.policy(found) if as_json else show.text(found, output.width()))
    return 0
