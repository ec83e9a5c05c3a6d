"""`toolkit permissions`: what IAM has to allow."""

from typing import Any

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
@click.option("--region", metavar="NAME", help="Only this region of the environment.")
@options.as_json
@click.pass_context
def permissions(
    ctx: click.Context, /, targets: tuple[str, ...], region: str | None, **values: Any
) -> int:
    """Print the IAM policy that the targets need; by default, that of all targets.

    With --json, it prints only the policy document, ready for `aws iam create-policy`.
    """
    folder = options.enter(ctx, values["folder"])
    rules_file = options.inherited(ctx, "rules", values["rules"])
    environment = options.inherited(ctx, "env", values["env"])
    git = options.repository(folder)
    sign_in = account.SignIn(environments=(environment,), region=region)
    account.sign_in_with(sign_in, load_rules(folder, rules_file, git), None)
    statements = flow.permissions(folder, rules_file, environment, region, targets, git)
    if values["as_json"]:
        output.note_endpoint()
        output.say(show.policy(statements))
    else:
        output.say(show.text(statements, output.width()))
    return 0
