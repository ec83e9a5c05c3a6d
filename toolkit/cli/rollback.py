"""`toolkit rollback`: a version that was good goes live again."""

from typing import Any

import click
from msgspec.structs import replace

from toolkit.cli import deploying, options, output, world
from toolkit.flow import rollback as flow
from toolkit.record.ledger import Record
from toolkit.show import history as display

EPILOG = """\b
Examples:
  toolkit rollback app                   the last good version that is not live (on a terminal: choose)
  toolkit rollback app --to 3f2c9d1      this one; the beginning of its name is enough
  toolkit rollback app --list            the versions that were good

A version is good if a deploy of it succeeded and was recorded. Its image has to be in the repository still. A deployment that is in
progress is stopped."""


@click.command(epilog=EPILOG)
@click.argument("target")
@click.option("--to", "version", metavar="VERSION", help="The version, or the run that deployed it.")
@click.option("--list", "as_list", is_flag=True, help="Only print the versions that were good.")
@deploying.deploy_options
@click.pass_context
def rollback(ctx: click.Context, /, target: str, version: str | None, as_list: bool, **given: Any) -> int:
    """Put the last good version of a target back."""
    asked = deploying.common(ctx, given)
    git = options.repository(asked.folder)
    order = deploying.order(
        asked,
        targets=(target,),
        action="rollback",
    )
    there = world.around(git, asked.folder)
    deploying.begin(asked, git, there)
    found = flow.candidates(order, git, there, look=version is None and not as_list)
    if as_list:
        return _listed([one.record for one in found], asked.as_json)
    return deploying.go("rollback", asked, replace(order, **flow.orders(_chosen(found, version, asked))), git)


def _chosen(found: list[flow.Candidate], version: str | None, asked: deploying.Common) -> flow.Candidate:
    """What was asked for, what a person picks from the list, or the last good one that is not live."""
    if version is None and output.interactive() and not asked.yes and not asked.as_json and len(found) > 1:
        from toolkit.cli.prompt import pick

        version = pick("Which version?", [(display.good(one.record, one.live), one.record.run) for one in found])
    return flow.pick(found, version)


def _listed(found: list[Record], as_json: bool) -> int:
    if as_json:
        return output.document({"toolkit": 1, "command": "rollback", "status": "ok", "exit": 0, "versions": display.goods(found)})
    output.say(display.good_table(found))
    return 0
