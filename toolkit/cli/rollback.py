"""`toolkit rollback`: a version that was good goes live again."""

from typing import Any

import click
from msgspec.structs import replace

from toolkit.cli import deploy_options, deploying, kind_options, options, output
from toolkit.cli.deploy_options import DeployOptions
from toolkit.cli.kind_options import KindCommand
from toolkit.cli.ports import open_ports
from toolkit.flow import rollback as flow
from toolkit.flow.deploy import validate
from toolkit.flow.selection import environments_of
from toolkit.operations import JobAction
from toolkit.show import history as display
from toolkit.show.text import line

EPILOG = """\b
Examples:
  toolkit rollback app               restore the last good version
  toolkit rollback app --to 3f2c9d1  restore this version
  toolkit rollback app --list        list the good versions

A version is good if a deploy of it succeeded and was recorded. Its image still has to be in the
repository. A deployment in progress is stopped."""


@click.command("rollback", cls=KindCommand, epilog=EPILOG)
@click.argument("target")
@click.option(
    "--to",
    "version",
    metavar="VERSION",
    help="The version to restore, or the run that deployed it.",
)
@click.option("--list", "as_list", is_flag=True, help="Only list the good versions.")
@deploy_options.message_option
@deploy_options.add_with(options.environment)
@click.pass_context
def rollback(
    ctx: click.Context,
    /,
    target: str,
    version: str | None,
    as_list: bool,
    **arguments: Any,
) -> int:
    """Restore the last good version of a target."""
    common = deploy_options.common_options(ctx, arguments)
    git = options.repository(common.folder)
    request = deploying.deploy_request(
        common,
        targets=(target,),
        action=JobAction.ROLLBACK,
        options=kind_options.take(ctx, arguments),
    )
    rules = validate(request, git)
    deploying.say_endpoint(common, rules)
    names = environments_of(request, rules)
    changes = not (common.dry_run or as_list)
    if changes:
        flow.require_reversible(target, rules)
        deploying.require_flags(common, rules, names)
    allowed = deploying.confirm_trust(rules, names, common, changes)
    request = replace(request, allowed=allowed)
    ports = open_ports(git, common.folder)
    deploying.sign_in(common, git, ports)
    holder = None if as_list else flow.deploying_run(request, git, ports)
    choice = flow.rollback_choice(
        request, git, ports, look=version is None and not as_list, busy=holder is not None
    )
    if as_list:
        return _list(choice, common.as_json)
    if holder is not None and not common.quiet:
        output.note(
            f"note: run {line(holder.run)} of {line(holder.who)} deploys {target} right now "
            f"({line(holder.command)}): asking it to stop"
        )
    request = replace(request, **flow.request_fields(_choose(choice, version, common)))
    return deploying.run("rollback", common, request, git)


def _choose(
    choice: flow.RollbackChoice, version: str | None, common: DeployOptions
) -> flow.Candidate:
    """The version of the command line, the one that a person picks from the list, or the last good
    one that is not live.
    """
    candidates = [candidate for candidate in choice.candidates if not candidate.older]
    can_ask = output.interactive() and not common.yes and not common.as_json
    if version is None and can_ask and len(candidates) > 1:
        from toolkit.cli.prompt import pick

        if choice.back:
            output.note(f"note: {line(choice.back)}")
        offered = flow.offered(choice)
        labels = display.deploy_labels(
            [candidate.record for candidate in offered],
            [_where_live(candidate) for candidate in offered],
            [candidate.gone for candidate in offered],
            choice.needs,
        )
        runs = [candidate.record.run for candidate in offered]
        version = pick("Which version?", list(zip(labels, runs, strict=True)))
    chosen = flow.pick_candidate(choice, version)
    if version is None and not common.quiet:
        for candidate in candidates[: candidates.index(chosen)]:
            if candidate.gone and not candidate.live:
                name = line(candidate.record.version)
                output.note(f"note: {name} is left out: its {choice.needs} is gone")
    return chosen


def _where_live(candidate: flow.Candidate) -> list[str]:
    if candidate.live:
        return [""]
    return [region or "" for region in candidate.runs_in]


def _list(choice: flow.RollbackChoice, as_json: bool) -> int:
    candidates = [candidate for candidate in choice.candidates if not candidate.older]
    records = [candidate.record for candidate in candidates]
    gone = [candidate.gone for candidate in candidates]
    if as_json:
        versions = display.deploys_document(records, gone)
        return output.document(
            {"toolkit": 1, "command": "rollback", "status": "ok", "exit": 0, "versions": versions}
        )
    output.say(display.deploys(records, gone, choice.needs))
    return 0
