"""The plan by what templates say of its targets: without those that do not change, and with those
that change though no rule says so. Pure.
"""

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.advice import NextCommand
from toolkit.flow.compare import states_of
from toolkit.flow.rulebook import deploy_command, find_environment, variables_of
from toolkit.formats.variables import fill
from toolkit.model import DiffResult, Plan, Reason, ReasonOrigin, Resource, TargetState
from toolkit.plan import build
from toolkit.plan.build import reasons_of
from toolkit.plan.graph import Graph
from toolkit.templates.refinement import RefinedDiff, RefinedState, Refinement

CHANGES = "its templates change"
UNKNOWN = "its templates cannot be known"


class _Called(Struct, frozen=True):
    """The targets that are called for, with their reasons, and what templates changed in that."""

    reasons: Mapping[str, tuple[Reason, ...]]
    dropped: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    @property
    def is_changed(self) -> bool:
        """Whether templates made a difference."""
        return bool(self.dropped or self.added)


def with_refinements(answer: DiffResult, refinements: Mapping[str, Refinement]) -> RefinedDiff:
    """The answer with a plan by what templates say of its targets. Pure."""
    rules, graph = answer.rules, Graph(answer.rules.targets)
    doubtful = frozenset(
        name
        for name, state in answer.states.items()
        if state is TargetState.UNKNOWN and not rules.targets[name].members
    )
    unknown = {name for name, part in refinements.items() if part.state is RefinedState.UNKNOWN}
    called = _called(answer.plan, answer.impact.targets, refinements, doubtful, graph, rules.file)
    plan = answer.plan
    if called.is_changed:
        plan = _plan(called, answer, answer.plan.checks, graph)
    first, reasons = answer.first, answer.reasons
    changed = called
    if first is not None:
        # What nothing is recorded of is compared with the default base: it is due all the same, but
        # the smaller step is for what has changed since.
        changed = _called(first, answer.reasons, refinements, frozenset(), graph, rules.file)
        if changed.is_changed:
            first, reasons = _plan(changed, answer, first.checks, graph), changed.reasons
    result = replace(
        answer,
        plan=plan,
        first=first,
        reasons=reasons,
        impact=replace(answer.impact, targets=called.reasons),
        states=states_of(rules, plan, graph, doubtful | unknown),
    )
    added = {
        name: _without_rule(answer, name, graph)
        for name in changed.added
        if _state_of(name, refinements) is RefinedState.CHANGED
    }
    narrower = {
        name: commands
        for name, part in refinements.items()
        if part.code and (commands := _commands(part.code, answer))
    }
    return RefinedDiff(result, refinements, changed.dropped, added, narrower)


def _commands(code: Sequence[Resource], answer: DiffResult) -> tuple[NextCommand, ...]:
    """The commands that deploy just this code, as far as there are targets for all of it; none if
    one has none.
    """
    variables = variables_of(find_environment(answer.environment, answer.rules))
    commands: dict[NextCommand, None] = {}
    for resource in code:
        owners = [
            target
            for target in answer.rules.targets.values()
            if any(
                resource.meets(replace(own, name=fill(own.name, variables), part=None))
                for own in targets.kind(target.kind).writes(target.settings)
            )
        ]
        command = deploy_command(owners[0]) if len(owners) == 1 else None
        if command is None:
            return ()
        commands[command] = None
    return tuple(commands)


def _called(
    plan: Plan,
    targets_: Mapping[str, tuple[Reason, ...]],
    refinements: Mapping[str, Refinement],
    doubtful: Collection[str],
    graph: Graph,
    file: str,
) -> _Called:
    """What a plan calls for, without what does not change, and with what does though no rule says
    so. What is in doubt is never dropped, and nothing that is due for more than changed files.
    """
    due = set[str]().union(*(graph.leaves(step.target) for step in plan.steps))
    reasons: dict[str, tuple[Reason, ...]] = {}
    dropped: list[str] = []
    for name in sorted(due):
        every = reasons_of(name, targets_, graph)
        is_same = _state_of(name, refinements) is RefinedState.UNCHANGED
        by_files = bool(every) and all(_is_of_file(reason, file) for reason in every)
        if is_same and name not in doubtful and by_files:
            dropped.append(name)
        else:
            reasons[name] = every
    added: list[str] = []
    for name in refinements.keys() - due:
        state = _state_of(name, refinements)
        if state in (RefinedState.CHANGED, RefinedState.UNKNOWN):
            words = CHANGES if state is RefinedState.CHANGED else UNKNOWN
            reason = Reason("", f"{name}: {words}", "", None, ReasonOrigin.WORDS, words)
            reasons[name] = (reason,)
            added.append(name)
    if not dropped and not added:
        return _Called(targets_)
    return _Called(reasons, tuple(dropped), tuple(sorted(added)))


def _is_of_file(reason: Reason, rules_file: str) -> bool:
    """Whether a reason is a changed file. That the settings in rules.toml have changed is another:
    both sides are synthesized with today's.
    """
    is_settings = reason.origin is ReasonOrigin.WORDS and reason.path == rules_file
    return bool(reason.path) and not is_settings


def _state_of(name: str, refinements: Mapping[str, Refinement]) -> RefinedState:
    refinement = refinements.get(name)
    return RefinedState.NOT_COMPARED if refinement is None else refinement.state


def _plan(called: _Called, answer: DiffResult, checks: tuple[str, ...], graph: Graph) -> Plan:
    impact = replace(answer.impact, targets=called.reasons)
    return replace(build.build(impact, answer.rules, graph, deploy_command), checks=checks)


def _without_rule(answer: DiffResult, name: str, graph: Graph) -> tuple[str, ...]:
    """The changed paths that no rule sends to a target: a rule for one of them is missing."""
    paths: list[str] = []
    for match in answer.impact.touched:
        leaves = set[str]().union(*(graph.leaves(target) for target in match.targets))
        if name not in leaves:
            paths.append(match.change.path)
    return tuple(sorted(set(paths)))
