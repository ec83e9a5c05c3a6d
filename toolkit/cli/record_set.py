"""`toolkit record set`: a person says what is live."""

import click

from toolkit.cli import options, output, ports
from toolkit.cli.deploying import confirm_name
from toolkit.cli.record import begin, request
from toolkit.errors import Declined, NotAgreed
from toolkit.flow import record as flow
from toolkit.ports.git import Git
from toolkit.show import record as show

EPILOG = """\b
Examples:
  toolkit record set web 3f2c9d1          this commit of web is live
  toolkit record set web api HEAD --yes   of both, without being asked

From then on `toolkit diff` compares with that commit. It is your word: nothing is asked of AWS.
To ask, run `toolkit diff live`."""


@click.command("set", epilog=EPILOG)
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@click.argument("commit")
@options.common
@options.environment
@options.allowed
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--confirm",
    metavar="NAME",
    help="A protected environment's name, instead of typing it when asked.",
)
@options.as_json
@click.pass_context
def record_set(
    ctx: click.Context,
    targets: tuple[str, ...],
    commit: str,
    folder: str | None,
    rules: str | None,
    env: str | None,
    yes: bool,
    confirm: str | None,
    as_json: bool,
    allowed: bool,
) -> int:
    """Record that COMMIT is live of each TARGET.

    For what was deployed in another way, and for what this version of toolkit cannot deploy itself.
    """
    asked = request(ctx, folder, rules, env, allowed)
    git = Git.open(asked.folder)
    there = ports.around(git, asked.folder)
    begin(asked, git, there, silent=as_json, shared=False)
    at = git.resolve(commit)
    where = flow.where_of(asked, git)
    asking = output.interactive() and not as_json
    if where.protected:
        confirm_name(str(where.environment), confirm, asking)
    elif not yes:
        if not asking:
            raise NotAgreed("confirmation needed, but this is not a terminal", "add --yes")
        from toolkit.cli.prompt import confirm as agreed

        location = (
            f"{where.environment or 'this project'}"
            f" ({where.account or 'the account of these credentials'})"
        )
        if not agreed(
            f"Record {', '.join(targets)} as live at {at[:12]} in {location}?", default=False
        ):
            raise Declined()
    records = flow.set_(asked, targets, commit, git, there)
    if as_json:
        return output.document(show.set_document(records))
    output.say("\n".join(show.recorded(records)))
    return 0
