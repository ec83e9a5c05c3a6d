"""`toolkit deploy-stack`: one CloudFormation stack."""

from typing import Any

import click

from toolkit.cli import deploying, options
from toolkit.flow.deploy import only_target

EPILOG = """\b
Examples:
  toolkit deploy-stack api                       by the target's name
  toolkit deploy-stack CarRentalApiStack         or by the stack's name name
  toolkit deploy-stack api --dry-run             every call that would be made
  toolkit deploy-stack api --yes --allow-replace confirm replacements in advance

The changes are always shown before they are executed. Anything that replaces, deletes or widens
access needs confirmation."""


@click.command("deploy-stack", epilog=EPILOG)
@click.argument("target", required=False, metavar="TARGET|STACK")
@deploying.stack_options
@click.option(
    "--force", is_flag=True, help="Deploy even if nothing changes; this restores toolkit's tags."
)
@deploying.deploy_options
@click.pass_context
def deploy_stack(ctx: click.Context, /, target: str | None, **arguments: Any) -> int:
    """Deploy one stack by change set.

    It deploys only that stack, from its CDK app or its template.
    """
    common = deploying.common_options(ctx, arguments)
    git = options.repository(common.folder)
    request = deploying.deploy_request(
        common,
        targets=(target or only_target("deploy-stack", common.folder, common.rules, git),),
        kind="deploy-stack",
        wishes=deploying.kind_options(arguments),
    )
    request = deploying.confirmed(common, request, git)
    return deploying.run("deploy-stack", common, request, git)
