"""What is the least to do? The impact becomes the narrowest steps, in order, each with its reasons
and its time.
"""

from collections.abc import Callable, Collection, Sequence

from toolkit.model import CHECKS, Impact, Plan, Reason, Rules, Step, Target
from toolkit.plan.graph import Graph

SHOWN = 3
"""How many of a step's reasons are written out."""

FALLBACK = "unmatched"
"""The rule of a reason that no rule gave: the path fell back to a target."""

Command = Callable[[Target], str | None]
"""The command that deploys a target, None where only a person can."""


def build(impact: Impact, rules: Rules, graph: Graph, command: Command, options: str = "") -> Plan:
    """The narrowest plan for an impact. `options` are added to every command."""
    names = graph.order(graph.narrow(impact.targets))
    reasons = {name: _because(_reasons(name, impact, graph), rules.file) for name in names}
    checks = tuple(check for check in CHECKS if check in impact.checks)
    return _plan(names, reasons, checks, rules, graph, command, options)


def everything(rules: Rules, graph: Graph, command: Command, options: str, because: str) -> Plan:
    """The plan for when nothing is known: all targets, for one and the same reason."""
    names = graph.order(graph.narrow(rules.targets))
    return _plan(names, dict.fromkeys(names, (because,)), (), rules, graph, command, options)


def without(leaves: frozenset[str], by_hand: frozenset[str], graph: Graph) -> str:
    """What a command that deploys these leaves has to say where some of them wait for what only a
    person can deploy.
    """
    hands = leaves & by_hand
    waited = set[str]()
    for leaf in leaves - hands if hands else ():
        waited |= graph.waits_for(leaf, leaves) & hands
    return "".join(f" --without {name}" for name in sorted(waited))


def because(reason: Reason, file: str) -> str:
    """One reason in words; one without a path is in words already. The path is as git has it:
    whoever shows it has to quote it.
    """
    if not reason.path:
        return reason.rule
    where = f"{file}:{reason.line}" if reason.line else file
    if not reason.pattern and reason.rule != FALLBACK:
        return f"{reason.rule} ({where})"
    if not reason.pattern:
        return f"{reason.path} matches no rule, and such paths fall back to this target ({where})"
    return f'{reason.path} matches {reason.pattern} of rule "{reason.rule}" ({where})'


def _reasons(name: str, impact: Impact, graph: Graph) -> list[Reason]:
    """Its own reasons first, then those of the targets that it covers, and of the groups that were
    written out as it and others.
    """
    own = graph.leaves(name)
    others = (
        one
        for one in sorted(impact.targets)
        if one != name and (own >= graph.leaves(one) or own <= graph.leaves(one))
    )
    return [reason for one in (name, *others) for reason in impact.targets.get(one, ())]


def _because(reasons: Sequence[Reason], file: str) -> tuple[str, ...]:
    lines = tuple(because(reason, file) for reason in reasons[:SHOWN])
    rest = len({reason.path for reason in reasons} - {reason.path for reason in reasons[:SHOWN]})
    return (*lines, f"and {rest} more") if rest else lines


def _plan(
    names: Sequence[str],
    reasons: dict[str, tuple[str, ...]],
    checks: tuple[str, ...],
    rules: Rules,
    graph: Graph,
    command: Command,
    options: str,
) -> Plan:
    leaves = frozenset[str]().union(*(graph.leaves(name) for name in names))
    by_hand = frozenset(leaf for leaf in leaves if command(rules.targets[leaf]) is None)

    def said(target: Target) -> str | None:
        """The command of a step with all that it has to say; None where toolkit can deploy nothing
        of it.
        """
        inside = graph.leaves(target.name)
        found = None if inside <= by_hand else command(target)
        return found + without(inside, by_hand, graph) + options if found else None

    steps = tuple(
        _step(rules.targets[name], names, reasons.get(name, ()), graph, said) for name in names
    )
    runnable = frozenset[str]().union(
        *(graph.leaves(step.target) for step in steps if step.command)
    )
    return Plan(
        steps=steps,
        by_hand=tuple(sorted(by_hand)),
        checks=checks,
        estimate_s=graph.estimate(names),
        full_estimate_s=graph.estimate(rules.targets),
        recommendation=_recommendation(steps, checks, without(runnable, by_hand, graph), options),
    )


def _step(
    target: Target, names: Collection[str], because: tuple[str, ...], graph: Graph, command: Command
) -> Step:
    waits = graph.waits_for(target.name, names)
    return Step(
        target=target.name,
        action=target.action,
        command=command(target),
        needs=tuple(name for name in names if name in waits),
        estimate_s=graph.estimate([target.name]),
        because=because,
    )


def _recommendation(
    steps: Sequence[Step], checks: Sequence[str], without: str, options: str
) -> str:
    """The one line to run: the narrowest deploy, or where there is nothing to deploy, the narrowest
    check.
    """
    runnable = [step for step in steps if step.command]
    if len(runnable) == 1:
        return str(runnable[0].command)
    if runnable:
        return f"toolkit deploy {' '.join(step.target for step in runnable)}{without}{options}"
    if steps:
        return f"by hand: {', '.join(step.target for step in steps)}"
    return " && ".join(f"toolkit {check}{options}" for check in checks or ("health-check",))
