"""`toolkit record set`: a person says what is live."""

from typing import Any

import click

from toolkit.cli import account, options, output
from toolkit.cli.deploying import confirm_name
from toolkit.cli.ports import open_ports
from toolkit.errors import Declined, NotAgreed
from toolkit.flow import record as flow
from toolkit.ports.git import Git
from toolkit.show import record as show
from toolkit.show.text import line

EPILOG = """\b
Examples:
  toolkit record set web 3f2c9d1          record this commit of web as live
  toolkit record set web api HEAD --yes   record both, without confirmation

After this, `toolkit diff` compares with that commit. toolkit does not check it in AWS; to see what
AWS says is running, use `toolkit diff live`."""


@click.command("set", epilog=EPILOG)
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@click.argument("commit")
@options.common
@options.environment
@options.allowed
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option(
    "--confirm",
    metavar="NAME",
    help="Confirm a protected environment by its name, instead of typing it at the prompt.",
)
@options.as_json
@click.pass_context
def record_set(
    ctx: click.Context, /, targets: tuple[str, ...], commit: str, as_json: bool, **values: Any
) -> int:
    """Record that COMMIT is live for each TARGET.

    Use it for targets that were deployed by other means, and for those that toolkit cannot deploy.
    """
    request = options.project(ctx, values)
    git = Git.open(request.folder)
    ports = open_ports(git, request.folder)
    account.sign_in_for(request, git, ports, silent=as_json)
    commit_id = git.resolve(commit)
    location = flow.first_location(request, git, targets)
    can_ask = output.interactive() and not as_json
    environment = location.environment or "this project"
    owner = location.account or "the account of these credentials"
    what = f"Record {', '.join(targets)} as live at {commit_id[:12]} in {environment} ({owner})"
    if location.protected:
        confirmed = [values["confirm"]] if values["confirm"] is not None else []
        if not confirmed:
            output.note(line(f"{what}."))
        confirm_name(environment, confirmed, can_ask)
    elif not values["yes"]:
        if not can_ask:
            raise NotAgreed("confirmation needed, but this is not a terminal", "add --yes")
        from toolkit.cli.prompt import confirm

        if not confirm(f"{what}?", default=False):
            raise Declined()
    records = flow.set_(request, targets, commit, git, ports)
    if as_json:
        return output.document(show.set_document(records))
    output.say("\n".join(show.recorded(records)))
    return 0
