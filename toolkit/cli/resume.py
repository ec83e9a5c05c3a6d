"""`toolkit resume`: continue a run that was stopped, killed or disconnected."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
from msgspec.structs import replace

from toolkit.advice import NextCommand
from toolkit.cli import deploy_options, deploying, options, output
from toolkit.cli.deploy_options import DeployOptions
from toolkit.cli.ports import open_ports
from toolkit.cli.redaction import redactor
from toolkit.cli.shared_runs import newer_run
from toolkit.errors import Declined, Refused
from toolkit.flow import colleagues, runs
from toolkit.flow import deploy_gates as gates
from toolkit.flow.deploy import files_check
from toolkit.flow.rulebook import environment_name, load_rules
from toolkit.flow.selection import DeployRequest
from toolkit.flow.stores import project_stores, store_for, store_of_run
from toolkit.flow.trusted import load_trusted
from toolkit.gates.base import GateSetup
from toolkit.gates.judge import Judge
from toolkit.model import Rules
from toolkit.operations import Job
from toolkit.ports import processes
from toolkit.ports.ports import Ports
from toolkit.record.history import unfinished
from toolkit.record.journal import has_foreign_lines, read, writer
from toolkit.record.state import Store
from toolkit.run.recover import RunState
from toolkit.run.request import same_job
from toolkit.show import run as show
from toolkit.show.text import line

EPILOG = """\b
Examples:
  toolkit resume                       the newest open run
  toolkit resume 20261120-193742-x7k2  this run
  toolkit resume --dry-run             show what is open

It first looks in AWS for what was started: it records what is done, watches what still runs, and
repeats what never arrived. It does nothing twice."""


@click.command(epilog=EPILOG)
@click.argument("run", required=False)
@deploy_options.add_with(options.environment)
@click.option(
    "--allow",
    "allowed_claims",
    metavar="STEP:NAME=VALUE",
    multiple=True,
    help="Allow what only a colleague's run says, such as web:image=v2.",
)
@click.pass_context
def resume(
    ctx: click.Context, /, run: str | None, allowed_claims: tuple[str, ...], **arguments: Any
) -> int:
    """Continue an interrupted run.

    A run is open while one of its steps may still be in progress, or was never started.
    """
    common = deploy_options.common_options(ctx, arguments)
    git = options.repository(common.folder)
    for environment in common.environments:
        environment_name(environment, load_rules(common.folder, common.rules, git))
    ports = open_ports(git, common.folder)
    deploying.sign_in(common, git, ports)
    stores = project_stores(common.folder, common.rules, git)
    name = run or _newest(stores, common.environments)
    store = store_of_run(name, stores)
    rules = load_trusted(common.folder, common.rules, git, common.allowed)
    shared = newer_run(name, store, rules, ports, common.profile)
    shared_run = None if shared is None else shared.run
    entries = read(store, name) if shared_run is None else shared_run.entries
    is_ours = colleagues.is_ours(store, name, entries)
    if is_ours:
        state = runs.run_state(store, name, ports)
    else:
        state = colleagues.run_state(name, entries, rules, ports, common.profile)
    if shared is not None:
        store = store_for(rules, ports, shared.store.location.profile)
        if state.ended:
            colleagues.record_claim(store, shared)
    if state.ended:
        raise Refused(f"run {name} has ended", ("see", NextCommand("show", (name,))))
    _refuse_other_environments(name, state, common.environments)
    claims = () if is_ours else colleagues.claims(state)
    if common.dry_run:
        return _report_dry_run(name, state, claims, common.as_json)
    environments = list(dict.fromkeys(job.location.environment for job in state.jobs))
    allowed = deploying.confirm_trust(rules, environments, common)
    if allowed and not common.allowed:
        rules = load_trusted(common.folder, common.rules, git, allowed)
    placed: Callable[[Job], Job] = same_job
    if not is_ours:
        _ask_consent(common, name, writer(entries[:1]), state)
        _ask_consent_to_claims(common, name, claims, allowed_claims)
        # Nobody consents for a colleague: what was allowed in advance held for their own run.
        placed = colleagues.relocation(rules, common.profile, with_consents=False)
    plan = state.facts.get("plan") if is_ours else None
    deploy_request = DeployRequest(
        folder=common.folder, rules=common.rules, allowed=allowed, plan=plan
    )
    still = files_check(deploy_request, rules, git)
    standby = [job for job in state.jobs if job.undoes]
    # Whether it is checked is not for somebody else's journal to say.
    unchecked = common.no_checks or (is_ours and state.facts.get("checked") is False)
    proofs = {} if unchecked else _proofs(name, state, rules, ports)

    with deploying.terminal("resume", common, state.jobs) as control:
        judge = Judge(proofs, ports, standby)
        request = replace(control.request(name, rules, ports, still, judge), placed=placed)
        with runs.resume(request, store, shared_run) as execution:
            control.result = execution.carry_out()
    return control.exit


def _proofs(name: str, state: RunState, rules: Rules, ports: Ports) -> Mapping[str, GateSetup]:
    """What each open step has to pass, with the alarms as they were when the run began."""
    baselines = gates.read_baselines(state.facts, f"run {name}")
    return gates.step_gates(rules, state.open, ports, redactor(), baselines)


def _report_dry_run(
    name: str, state: RunState, claims: Sequence[tuple[str, str]], as_json: bool
) -> int:
    if as_json:
        head = {"toolkit": 1, "command": "resume", "status": "dry-run", "exit": 0, "run": name}
        steps = show.open_steps(state.jobs, state.done, state.begun)
        return output.document(
            {**head, "steps": steps, "needs_allow": [":".join(claim) for claim in claims]}
        )
    output.say(show.still_open(name, state.jobs, state.done, state.begun))
    for text in show.claims(claims):
        output.say(text)
    return 0


def _ask_consent(common: DeployOptions, name: str, starter: str, state: RunState) -> None:
    """A colleague's run is only continued with consent. Raises Refused."""
    if not common.quiet:
        output.note(f"Run {name} was started by {line(starter)}, as its journal says.")
        output.note(show.still_open(name, state.jobs, state.done, state.begun))
    deploying.require_consent(common, state.open or state.jobs)


def _ask_consent_to_claims(
    common: DeployOptions,
    name: str,
    claims: Sequence[tuple[str, str]],
    allowed: Sequence[str],
) -> None:
    """What only a colleague's journal says is deployed once a person has allowed each part of it by
    name: `--yes` alone is no consent to it. Raises Refused, Declined.
    """
    missing = [claim for claim in claims if ":".join(claim) not in allowed]
    if not missing:
        return
    for text in show.claims(missing):
        output.note(text)
    if common.yes or not deploying.can_ask(common):
        words = ["--yes"]
        for confirmed in common.confirm:
            words += ("--confirm", confirmed)
        for claim in claims:
            words += ("--allow", ":".join(claim))
        raise Refused(
            f"only the journal of run {name} says what it deploys",
            ("if that is right, allow it by name:", NextCommand("resume", (name,), tuple(words))),
        )
    from toolkit.cli.prompt import confirm

    if not confirm("Deploy that?", default=False):
        raise Declined


def _refuse_other_environments(name: str, state: RunState, environments: tuple[str, ...]) -> None:
    """A run is not continued in other environments than those that were named. Raises Refused."""
    others = {str(job.location.environment) for job in state.jobs} - set(environments)
    if environments and others:
        raise Refused(
            f"run {name} deploys to {', '.join(sorted(others))}", "leave --env out to continue it"
        )


def _newest(stores: list[Store], environments: tuple[str, ...]) -> str:
    """The newest run of this machine that is open, in these environments if any are named. Raises
    Refused if there is none.
    """
    host = processes.current_process().host
    names: list[str] = []
    for store in stores:
        for run in unfinished(store):
            is_meant = not environments or set(run.environments) <= set(environments)
            is_local = run.host in ("", host) and not has_foreign_lines(store, run.run)
            if is_local and is_meant:
                names.append(run.run)
    if not names:
        raise Refused("no run is open", ("see", NextCommand("history")))
    newest, *others = sorted(names, reverse=True)
    for name in others:
        too = (f"run {name} is open, too:", NextCommand("resume", (name,)))
        output.note_advice(too, before="note: ")
    return newest
