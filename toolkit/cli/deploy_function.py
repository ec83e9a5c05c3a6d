"""`toolkit deploy-function`: the code of one Lambda function."""

from typing import Any

import click

from toolkit.cli import deploy_options
from toolkit.cli.kind_options import KindCommand

EPILOG = """\b
Examples:
  toolkit deploy-function                 the only function in rules.toml
  toolkit deploy-function mail            pack, publish, and move the alias
  toolkit deploy-function mail --adopt    one that toolkit never deployed
  toolkit deploy-function mail --dry-run  every call that would be made

Code that is live is not deployed again, whichever machine packs it. Layers, memory, variables and
all other configuration stay as the function's stack sets them."""


@click.command("deploy-function", cls=KindCommand, epilog=EPILOG)
@click.argument("target", required=False)
@deploy_options.add
@click.pass_context
def deploy_function(ctx: click.Context, /, target: str | None, **arguments: Any) -> int:
    """Publish the code of a Lambda function, and move its alias.

    It succeeds only once the alias leads to the new version, and that can be called.
    """
    from toolkit.cli import deploying

    common, request, git = deploying.target_request(ctx, target, arguments)
    return deploying.run("deploy-function", common, request, git)
