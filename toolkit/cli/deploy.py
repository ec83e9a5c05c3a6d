"""`toolkit deploy`: the plan of `diff`, the targets that are named, or everything."""

from typing import Any

import click
from msgspec.structs import replace

from toolkit.cli import deploy_options, kind_options, options
from toolkit.cli.kind_options import KindCommand
from toolkit.errors import UsageError
from toolkit.exits import Exit, exit_codes
from toolkit.ports import files

EPILOG = """\b
Examples:
  toolkit deploy                        what `toolkit diff` finds
  toolkit deploy app api                these two, each after what it needs
  toolkit deploy --all --env staging    everything
  toolkit deploy --plan plan.json       the plan of `diff --out plan.json`
  toolkit deploy --dry-run              every call that would be made

If a step fails, only the steps that wait for it are skipped. """
EPILOG += (
    exit_codes(
        Exit.OK,
        Exit.FAILED,
        Exit.USAGE,
        Exit.PARTLY,
        Exit.IN_DOUBT,
        Exit.LOCKED,
        Exit.CREDENTIALS,
        Exit.INTERRUPTED,
    )
    + "."
)


@click.command("deploy", cls=KindCommand, epilog=EPILOG)
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option("--all", "everything", is_flag=True, help="Deploy every target in rules.toml.")
@click.option(
    "--without", multiple=True, metavar="TARGET", help="Leave TARGET out; it counts as done."
)
@click.option(
    "--plan", metavar="FILE", help="Deploy the plan that `toolkit diff --out FILE` wrote."
)
@deploy_options.add
@click.pass_context
def deploy(
    ctx: click.Context,
    /,
    targets: tuple[str, ...],
    everything: bool,
    without: tuple[str, ...],
    plan: str | None,
    **arguments: Any,
) -> int:
    """Deploy what is due, what is named, or everything.

    Steps that do not wait for each other run in parallel.
    """
    if sum((bool(targets), everything, plan is not None)) > 1:
        raise UsageError("targets, --all and --plan cannot be combined", "give only one of them")
    from toolkit.cli import deploying

    common = deploy_options.common_options(ctx, arguments)
    git = options.repository(common.folder)
    request = deploying.deploy_request(
        common,
        targets=targets,
        everything=everything,
        without=without,
        options=kind_options.take(ctx, arguments),
    )
    if plan is not None:
        planned = deploying.read_plan(plan)
        path = files.relative(plan, git.root) if git else None
        request = replace(
            request,
            targets=planned.targets,
            plan=path,
            source=planned.source,
            is_due=planned.is_due,
        )
    request = deploying.confirmed(common, request, git)
    return deploying.run("deploy", common, request, git)
