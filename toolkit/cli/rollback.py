"""`toolkit rollback`: a version that was good goes live again."""

from typing import Any

import click
from msgspec.structs import replace

from toolkit.cli import deploying, options, output, ports
from toolkit.errors import Refused
from toolkit.flow import rollback as flow
from toolkit.flow.deploy import check
from toolkit.flow.rulebook import environment
from toolkit.show import history as display
from toolkit.show.text import line

EPILOG = """\b
Examples:
  toolkit rollback app                   the last good version (on a terminal: choose)
  toolkit rollback app --to 3f2c9d1      this one; the beginning of its name is enough
  toolkit rollback app --list            the versions that were good

A version is good if a deploy of it succeeded and was recorded. Its image has to be in the
repository still. A deployment that is in progress is stopped."""


@click.command(epilog=EPILOG)
@click.argument("target")
@click.option(
    "--to", "version", metavar="VERSION", help="The version, or the run that deployed it."
)
@click.option("--list", "as_list", is_flag=True, help="Only print the versions that were good.")
@deploying.take_over
@deploying.deploy_options
@click.pass_context
def rollback(
    ctx: click.Context,
    /,
    target: str,
    version: str | None,
    as_list: bool,
    take_over: bool,
    **given: Any,
) -> int:
    """Put the last good version of a target back."""
    asked = deploying.common(ctx, given)
    git = options.repository(asked.folder)
    order = deploying.order(
        asked,
        targets=(target,),
        action="rollback",
    )
    rules = check(order, git)
    where = environment(order.environment, rules)
    changes = not (asked.dry_run or as_list)
    order = replace(order, allowed=deploying.may_decide(rules, where, asked, changes))
    there = ports.around(git, asked.folder)
    deploying.begin(asked, git, there)
    by = None if as_list else flow.at_work(order, git, there)
    choice = flow.choices(
        order, git, there, look=version is None and not as_list, busy=by is not None
    )
    if as_list:
        return _listed(choice, asked.as_json)
    if not (asked.dry_run or asked.yes or output.interactive()):
        raise Refused("nobody is here to say yes", "add --yes")
    if by is not None and not asked.quiet:
        output.note(
            f"note: run {line(by.run)} of {line(by.who)} deploys {target} right now"
            f" ({line(by.command)}): it is asked to stop"
        )
    said = flow.orders(_chosen(choice, version, asked))
    wishes = {**said["wishes"], **deploying.wishes({"take_over": take_over})}
    return deploying.go_agreed(
        "rollback", asked, replace(order, wishes=wishes, each=said["each"]), git
    )


def _chosen(
    choice: flow.RollbackChoice, version: str | None, asked: deploying.DeployOptions
) -> flow.Candidate:
    """What was asked for, what a person picks from the list, or the last good one that is not
    live.
    """
    found = [one for one in choice.found if not one.older]
    if (
        version is None
        and output.interactive()
        and not asked.yes
        and not asked.as_json
        and len(found) > 1
    ):
        from toolkit.cli.prompt import pick

        if choice.back:
            output.note(f"note: {line(choice.back)}")
        version = pick(
            "Which version?",
            [(display.good(one.record, one.live, one.gone), one.record.run) for one in found],
        )
    chosen = flow.pick(choice.found, version, choice.back, choice.target)
    if version is None and not asked.quiet:
        for one in found[: found.index(chosen)]:
            if one.gone and not one.live:
                output.note(f"note: {line(one.record.version)} is left out: its image is gone")
    return chosen


def _listed(choice: flow.RollbackChoice, as_json: bool) -> int:
    found = [one for one in choice.found if not one.older]
    records, gone = [one.record for one in found], [one.gone for one in found]
    if as_json:
        versions = display.goods(records, gone)
        return output.document(
            {"toolkit": 1, "command": "rollback", "status": "ok", "exit": 0, "versions": versions}
        )
    output.say(display.good_table(records, gone))
    return 0
