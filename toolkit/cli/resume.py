"""`toolkit resume`: go on with a run that was stopped, killed, or lost sight of."""

from typing import Any

import click
from msgspec.structs import replace

from toolkit.cli import deploying, options, output, ports
from toolkit.cli.redaction import redactor
from toolkit.errors import Refused
from toolkit.flow import colleagues, runs, verified
from toolkit.flow.deploy import DeployRequest, files_of
from toolkit.flow.rulebook import load_rules
from toolkit.flow.stores import store_for, store_with, stores_around
from toolkit.flow.trusted import load_trusted
from toolkit.model import RunResult
from toolkit.record import processes
from toolkit.record.history import unfinished
from toolkit.record.state import Store
from toolkit.run.recover import RunState
from toolkit.show import run as show
from toolkit.show.text import line

EPILOG = """\b
Examples:
  toolkit resume                       the newest run that was left open
  toolkit resume 20261120-193742-x7k2  this one
  toolkit resume --dry-run             what is open of it

What was begun is first looked for in AWS: what is done is only written down, what still runs is
watched, what never arrived is done now. Nothing is done twice."""


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
    options.known_environment(ctx, load_rules(asked.folder, asked.rules, git))
    there = ports.around(git, asked.folder)
    deploying.begin(asked, git, there)
    stores = stores_around(asked.folder, asked.rules, git)
    name = run or _newest(stores)
    store = store_with(name, stores)
    rules = load_trusted(asked.folder, asked.rules, git, asked.allowed)
    shared, problem = colleagues.newer(name, store, rules, there, asked.profile)
    if problem:
        output.note(
            "note: whether another machine has gone on with it could not be checked:"
            f" {line(problem)}"
        )
    if shared is not None:
        store = store_for(rules, there, shared.room.location.profile)
    left = (
        runs.left_of(store, name, there)
        if shared is None
        else colleagues.left_of(shared, rules, there, asked.profile)
    )
    if left.ended and shared is not None:
        colleagues.settle(store, shared)
    if left.ended:
        raise Refused(f"run {name} has ended", f"see `toolkit show {name}`")
    if asked.dry_run:
        if asked.as_json:
            steps = show.open_steps(left.jobs, left.done, left.begun)
            return output.document(
                {
                    "toolkit": 1,
                    "command": "resume",
                    "status": "dry-run",
                    "exit": 0,
                    "run": name,
                    "steps": steps,
                }
            )
        output.say(show.still_open(name, left.jobs, left.done, left.begun))
        return 0
    where = left.facts.get("environment")
    allowed = deploying.may_decide(rules, where, asked)
    if allowed and not asked.allowed:
        rules = load_trusted(asked.folder, asked.rules, git, allowed)
    theirs = shared is not None and not colleagues.is_ours(shared.run.entries)
    if shared is not None and theirs:
        _agreed(asked, name, shared.run.writer, left)
    order = DeployRequest(
        folder=asked.folder, rules=asked.rules, environment=where, allowed=allowed
    )
    request = deploying.request(name, "resume", asked, rules, files_of(order, rules, git))
    standby = [job for job in left.jobs if job.undoes]
    unchecked = asked.no_checks or left.facts.get("checked") is False
    baselines = verified.read_baselines(left.facts, f"run {name}")
    proofs = {} if unchecked else verified.proofs(rules, left.open, there, redactor(), baselines)

    def go_on(told: deploying.TerminalControl) -> RunResult:
        verify = verified.Verifier(rules, proofs, there, told.stop, standby)
        placed = colleagues.placed(rules, asked.profile, deploying.CONSENTS if theirs else ())
        here = request if shared is None else replace(request, placed=placed)
        return runs.resume(
            replace(here, verify=verify), there, store, told, None if shared is None else shared.run
        )

    return deploying.carried_out("resume", asked, left.jobs, go_on)


def _agreed(asked: deploying.DeployOptions, name: str, writer: str, left: RunState) -> None:
    """Somebody else's run is only gone on with if that is agreed to. Raises Refused."""
    if not asked.quiet:
        output.note(f"Run {name} was begun by {line(writer)}.")
        output.note(show.still_open(name, left.jobs, left.done, left.begun))
    deploying.agreed(asked, left.open or left.jobs)


def _newest(stores: list[Store]) -> str:
    """The newest run of this machine that is open. Raises Refused if there is none."""
    here = processes.current_process().host
    mine = (run for store in stores for run in unfinished(store) if run.host in ("", here))
    found = sorted(mine, key=lambda run: run.run, reverse=True)
    if not found:
        raise Refused("no run is open", "see `toolkit history`")
    for other in found[1:]:
        output.note(f"note: run {line(other.run)} is open, too: toolkit resume {line(other.run)}")
    return found[0].run
