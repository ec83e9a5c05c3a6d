"""`toolkit deploy-app`: one image on ECS."""

from typing import Any

import click

from toolkit.cli import deploy_options
from toolkit.cli.kind_options import KindCommand

EPILOG = """\b
Examples:
  toolkit deploy-app                            the only app in rules.toml
  toolkit deploy-app app                        build, push, and roll out
  toolkit deploy-app app --no-build --image v1  an image that exists
  toolkit deploy-app app --dry-run              every call that would be made

The image is tagged with the commit, or with a longer name if what is built is not exactly that
commit (COMMIT-dirty-DIGEST and others). An image that exists is not built again, and one that is
live is not deployed again. Ctrl-C leaves the deployment running in AWS; `toolkit resume` watches
it again."""


@click.command("deploy-app", cls=KindCommand, epilog=EPILOG)
@click.argument("target", required=False)
@deploy_options.add
@click.pass_context
def deploy_app(ctx: click.Context, /, target: str | None, **arguments: Any) -> int:
    """Build an image, push it, and roll it out on ECS.

    It succeeds only once the service is running the image.
    """
    from toolkit.cli import deploying

    common, request, git = deploying.target_request(ctx, target, arguments)
    return deploying.run("deploy-app", common, request, git)
