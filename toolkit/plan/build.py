"""What is the least to do? The impact becomes the narrowest steps, in order, each with its reasons
and its time.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from toolkit.advice import Advice, NextCommand
from toolkit.model import CHECKS, Impact, Plan, Reason, ReasonOrigin, Rules, Step, Target
from toolkit.plan.graph import Graph

SHOWN = 3
"""How many of a step's reasons are written out."""

Command = Callable[[Target], NextCommand | None]
"""The command that deploys a target, None where only a person can."""


class _PlanInputs(Struct, frozen=True):
    """What the steps of every plan are made from."""

    rules: Rules
    graph: Graph
    command: Command


def build(impact: Impact, rules: Rules, graph: Graph, command: Command) -> Plan:
    """The narrowest plan for an impact."""
    names = graph.order(graph.narrow(impact.targets))
    reasons = {name: _because(_reasons(name, impact, graph), rules.file) for name in names}
    checks = tuple(check for check in CHECKS if check in impact.checks)
    return _plan(names, reasons, checks, _PlanInputs(rules, graph, command))


def plan_everything(rules: Rules, graph: Graph, command: Command, because: Advice) -> Plan:
    """The plan for when nothing is known: all targets, each for the same reason."""
    names = graph.order(graph.narrow(rules.targets))
    reasons: dict[str, tuple[Advice, ...]] = dict.fromkeys(names, (because,))
    return _plan(names, reasons, (), _PlanInputs(rules, graph, command))


def without_options(
    leaves: frozenset[str], by_hand: frozenset[str], graph: Graph
) -> tuple[str, ...]:
    """The `--without` options that a command for these leaves needs where some of them wait for a
    target that only a person can deploy.
    """
    manual = leaves & by_hand
    if not manual:
        return ()
    blocking = set[str]()
    for leaf in leaves - manual:
        blocking |= graph.waits_for(leaf, leaves) & manual
    options: tuple[str, ...] = ()
    for name in sorted(blocking):
        options += ("--without", name)
    return options


def reason_text(reason: Reason, file: str) -> Advice:
    """One reason in words; one without a path is in words already. The path is as git has it:
    whoever shows it has to quote it.
    """
    if not reason.path:
        return reason.rule
    where = f"{file}:{reason.line}" if reason.line else file
    if reason.origin == ReasonOrigin.WORDS:
        return f"{reason.rule} ({where})"
    if reason.origin == ReasonOrigin.UNMATCHED:
        return f"{reason.path} matches no rule, and such paths fall back to this target ({where})"
    return f'{reason.path} matches {reason.pattern} of rule "{reason.rule}" ({where})'


def reasons_of(
    name: str, reasons: Mapping[str, tuple[Reason, ...]], graph: Graph
) -> tuple[Reason, ...]:
    """Why a target that is no group is called for: its own reasons, and those of the groups that it
    is part of.
    """
    own: list[Reason] = []
    for called, why in reasons.items():
        if name in graph.leaves(called):
            own += why
    return tuple(own)


def _reasons(name: str, impact: Impact, graph: Graph) -> list[Reason]:
    """A step's own reasons first, then those of the targets that it covers, and of the groups that
    were written out as it and others.
    """
    leaves = graph.leaves(name)
    reasons = list(impact.targets.get(name, ()))
    for target in sorted(impact.targets):
        covers = leaves >= graph.leaves(target) or leaves <= graph.leaves(target)
        if target != name and covers:
            reasons += impact.targets[target]
    return reasons


def _because(reasons: Sequence[Reason], file: str) -> tuple[Advice, ...]:
    lines = tuple(reason_text(reason, file) for reason in reasons[:SHOWN])
    rest = len({reason.path for reason in reasons} - {reason.path for reason in reasons[:SHOWN]})
    return (*lines, f"and {rest} more") if rest else lines


def _plan(
    names: Sequence[str],
    reasons: dict[str, tuple[Advice, ...]],
    checks: tuple[str, ...],
    inputs: _PlanInputs,
) -> Plan:
    rules, graph = inputs.rules, inputs.graph
    leaves = frozenset[str]().union(*(graph.leaves(name) for name in names))
    by_hand = frozenset(leaf for leaf in leaves if inputs.command(rules.targets[leaf]) is None)
    steps = tuple(
        _step(rules.targets[name], names, reasons.get(name, ()), by_hand, inputs) for name in names
    )
    runnable = frozenset[str]().union(
        *(graph.leaves(step.target) for step in steps if step.command)
    )
    without = without_options(runnable, by_hand, graph)
    return Plan(
        steps=steps,
        by_hand=tuple(sorted(by_hand)),
        checks=checks,
        estimate_s=graph.estimate(names),
        full_estimate_s=graph.estimate(rules.targets),
        commands=_commands(steps, checks, without),
    )


def _step(
    target: Target,
    names: Collection[str],
    because: tuple[Advice, ...],
    by_hand: frozenset[str],
    inputs: _PlanInputs,
) -> Step:
    waits = inputs.graph.waits_for(target.name, names)
    return Step(
        target=target.name,
        action=target.action,
        command=_step_command(target, by_hand, inputs),
        needs=tuple(name for name in names if name in waits),
        estimate_s=inputs.graph.estimate([target.name]),
        because=because,
    )


def _step_command(
    target: Target, by_hand: frozenset[str], inputs: _PlanInputs
) -> NextCommand | None:
    """A step's command; None where toolkit can deploy no part of the target."""
    leaves = inputs.graph.leaves(target.name)
    if leaves <= by_hand:
        return None
    command = inputs.command(target)
    if not command:
        return None
    without = without_options(leaves, by_hand, inputs.graph)
    return replace(command, options=(*command.options, *without))


def _commands(
    steps: Sequence[Step], checks: Sequence[str], without: tuple[str, ...]
) -> tuple[NextCommand, ...]:
    """What to run: the narrowest deploy, or where there is nothing to deploy, the narrowest checks.
    Nothing where only a person can deploy.
    """
    runnable = [step for step in steps if step.command]
    if len(runnable) == 1 and runnable[0].command:
        return (runnable[0].command,)
    if runnable:
        return (NextCommand("deploy", tuple(step.target for step in runnable), without),)
    if steps:
        return ()
    return tuple(NextCommand(check) for check in checks or ("health-check",))
