"""`toolkit resume`: go on with a run that was stopped, killed, or lost sight of."""

from typing import Any

import click
from msgspec.structs import replace

from toolkit.cli import deploying, options, output, world
from toolkit.cli.redaction import redactor
from toolkit.errors import Refused
from toolkit.flow import runs, verified
from toolkit.flow.deploy import Order, files_of
from toolkit.flow.stores import store_with, stores_around
from toolkit.flow.trusted import load_trusted
from toolkit.model import Ran
from toolkit.record.history import unfinished
from toolkit.record.state import Store
from toolkit.show import run as show
from toolkit.show.text import line

EPILOG = """\b
Examples:
  toolkit resume                       the newest run that was left open
  toolkit resume 20261120-193742-x7k2  this one
  toolkit resume --dry-run             what is open of it

What was begun is first looked for in AWS: what is done is only written down, what still runs is watched, what never arrived is done
now. Nothing is done twice."""


@click.command(epilog=EPILOG)
@click.argument("run", required=False)
@deploying.deploy_options
@click.pass_context
def resume(ctx: click.Context, /, run: str | None, **given: Any) -> int:
    """Go on with a run that was left open.

    A run is open while a step of it may still be at work, or was never begun.
    """
    asked = deploying.common(ctx, given)
    git = options.repository(asked.folder)
    there = world.around(git, asked.folder)
    deploying.begin(asked, git, there)
    stores = stores_around(asked.folder, asked.rules, git)
    name = run or _newest(stores)
    store = store_with(name, stores)
    left = runs.left_of(store, name, there)
    if left.ended:
        raise Refused(f"run {name} has ended", f"see `toolkit show {name}`")
    if asked.dry_run:
        if asked.as_json:
            steps = show.open_steps(left.jobs, left.done, left.begun)
            return output.document({"toolkit": 1, "command": "resume", "status": "dry-run", "exit": 0, "run": name, "steps": steps})
        output.say(show.still_open(name, left.jobs, left.done, left.begun))
        return 0
    rules = load_trusted(asked.folder, asked.rules, git, asked.allowed)
    where = left.facts.get("environment")
    allowed = deploying.may_decide(rules, where, asked)
    if allowed and not asked.allowed:
        rules = load_trusted(asked.folder, asked.rules, git, allowed)
    order = Order(folder=asked.folder, rules=asked.rules, environment=where, allowed=allowed)
    request = deploying.request(name, "resume", asked, rules, files_of(order, rules, git))
    standby = [job for job in left.jobs if job.undoes]
    unchecked = asked.no_checks or left.facts.get("checked") is False
    baselines = verified.read_baselines(left.facts, f"run {name}")
    proofs = {} if unchecked else verified.proofs(rules, left.open, there, redactor(), baselines)

    def go_on(told: deploying.Told) -> Ran:
        return runs.resume(replace(request, verify=verified.Verifier(rules, proofs, there, told.stop, standby)), there, store, told)

    return deploying.carried_out("resume", asked, left.jobs, go_on)


def _newest(stores: list[Store]) -> str:
    """The newest run that is open. Raises Refused if there is none."""
    found = sorted((run for store in stores for run in unfinished(store)), key=lambda run: run.run, reverse=True)
    if not found:
        raise Refused("no run is open", "see `toolkit history`")
    for other in found[1:]:
        output.note(f"note: run {line(other.run)} is open, too: toolkit resume {line(other.run)}")
    return found[0].run
