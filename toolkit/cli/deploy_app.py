"""`toolkit deploy-app`: one image on ECS."""

from typing import Any

import click

from toolkit.cli import deploying, options
from toolkit.errors import UsageError
from toolkit.flow.deploy import only_target

EPILOG = """\b
Examples:
  toolkit deploy-app                              the only app of rules.toml
  toolkit deploy-app app                          build, push, and roll out
  toolkit deploy-app app --no-build --image v1.4  an image that is in the repository already
  toolkit deploy-app app --dry-run                every call that would be made

The image is tagged with the commit; where what is built is not just that commit, whole, the tag
says so (COMMIT-dirty-DIGEST and others). Nothing is built or deployed where that image
is there, or live, already. Ctrl-C leaves the deployment running in AWS; `toolkit resume`
watches it again."""


@click.command("deploy-app", epilog=EPILOG)
@click.argument("target", required=False)
@deploying.app_options
@deploying.deploy_options
@click.pass_context
def deploy_app(ctx: click.Context, /, target: str | None, **arguments: Any) -> int:
    """Build an image, push it, and roll it out on ECS.

    Succeeds only once the service is running it.
    """
    common = deploying.common_options(ctx, arguments)
    if arguments["no_build"] and not arguments["image"]:
        raise UsageError("--no-build needs to know which image", "add --image TAG")
    git = options.repository(common.folder)
    request = deploying.deploy_request(
        common,
        targets=(target or only_target("deploy-app", common.folder, common.rules, git),),
        kind="deploy-app",
        wishes=deploying.kind_options(arguments),
    )
    request = deploying.confirmed(common, request, git)
    return deploying.run("deploy-app", common, request, git)
