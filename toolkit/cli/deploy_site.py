"""`toolkit deploy-site`: one static site on S3 and CloudFront."""

from typing import Any

import click

from toolkit.cli import deploy_options
from toolkit.cli.kind_options import KindCommand

EPILOG = """\b
Examples:
  toolkit deploy-site                the only site in rules.toml
  toolkit deploy-site www            build, upload, and switch its pages
  toolkit deploy-site www --dry-run  every call that would be made
  toolkit deploy-site www --adopt    over files that toolkit never deployed

Files are compared by content. What pages need is uploaded before them, and the first page is
replaced last. Files of earlier releases stay for a while, so that open tabs keep working, and
`toolkit rollback` takes seconds."""


@click.command("deploy-site", cls=KindCommand, epilog=EPILOG)
@click.argument("target", required=False)
@deploy_options.add
@click.pass_context
def deploy_site(ctx: click.Context, /, target: str | None, **arguments: Any) -> int:
    """Build a static site, upload it to S3, and invalidate what has changed.

    It succeeds only once the changed pages are served.
    """
    from toolkit.cli import deploying

    common, request, git = deploying.target_request(ctx, target, arguments)
    return deploying.run("deploy-site", common, request, git)
