"""`toolkit deploy-stack`: one CloudFormation stack."""

from typing import Any

import click

from toolkit.cli import deploy_options
from toolkit.cli.kind_options import KindCommand

EPILOG = """\b
Examples:
  toolkit deploy-stack api                       by the target's name
  toolkit deploy-stack CarRentalApiStack         or by the stack's name
  toolkit deploy-stack api --dry-run             every call that would be made
  toolkit deploy-stack api --yes --allow-replace consent in advance

The changes are always shown before they are executed. Anything that replaces, deletes or widens
access needs confirmation."""


@click.command("deploy-stack", cls=KindCommand, epilog=EPILOG)
@click.argument("target", required=False, metavar="TARGET|STACK")
@deploy_options.add
@click.pass_context
def deploy_stack(ctx: click.Context, /, target: str | None, **arguments: Any) -> int:
    """Deploy one stack by change set.

    It deploys only that stack, from its CDK app or its template.
    """
    from toolkit.cli import deploying

    common, request, git = deploying.target_request(ctx, target, arguments)
    return deploying.run("deploy-stack", common, request, git)
