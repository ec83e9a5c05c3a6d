"""Which few files make a plan as wide as it is? Without them it would be a smaller one. Pure."""

from collections.abc import Iterable, Mapping
from itertools import combinations

from msgspec.structs import replace

from toolkit.model import FEW_FILES, Counterfactual, DiffResult, Reason
from toolkit.plan import build
from toolkit.plan.build import Command, reasons_of
from toolkit.plan.graph import Graph

MOST_SETS = 60
"""The most sets of files that are combined with each other."""
MOST = 5
"""The most answers."""


def counterfactuals(answer: DiffResult, command: Command) -> tuple[Counterfactual, ...]:
    """The smallest sets of files without which the plan would be quicker: those of the fewest files
    first, then those that save the most time. Without any file there would be no plan: that says
    nothing.
    """
    graph = Graph(answer.rules.targets)
    due = set[str]().union(*(graph.leaves(step.target) for step in answer.plan.steps))
    paths = _paths(due, answer.impact.targets, graph)
    smallest: dict[frozenset[str], Counterfactual] = {}
    for without in _candidates(paths.values()):
        dropped = frozenset(name for name, needed in paths.items() if needed <= without)
        if dropped == due:
            continue
        known = smallest.get(dropped)
        if known is None or len(without) < len(known.paths):
            smallest[dropped] = _without(without, dropped, due, answer, graph, command)
    now_s = answer.plan.estimate_s
    quicker = [candidate for candidate in smallest.values() if candidate.plan.estimate_s < now_s]
    ranked = sorted(quicker, key=_rank)
    return tuple(candidate for candidate in ranked if _is_worth_it(candidate, ranked))[:MOST]


def _paths(
    due: Iterable[str], reasons: Mapping[str, tuple[Reason, ...]], graph: Graph
) -> dict[str, frozenset[str]]:
    """The files that call for each target, for those that nothing else calls for."""
    paths: dict[str, frozenset[str]] = {}
    for name in sorted(due):
        every = reasons_of(name, reasons, graph)
        if every and all(reason.path for reason in every):
            paths[name] = frozenset(reason.path for reason in every)
    return paths


def _candidates(sets: Iterable[frozenset[str]]) -> list[frozenset[str]]:
    """The sets of few files that drop a target, and what two of them are together."""
    few = sorted({paths for paths in sets if len(paths) <= FEW_FILES}, key=_size)[:MOST_SETS]
    both = {first | second for first, second in combinations(few, 2)}
    return [*few, *sorted((paths for paths in both if len(paths) <= FEW_FILES), key=_size)]


def _size(paths: frozenset[str]) -> tuple[int, list[str]]:
    return len(paths), sorted(paths)


def _rank(candidate: Counterfactual) -> tuple[int, int, tuple[str, ...]]:
    return len(candidate.paths), candidate.plan.estimate_s, candidate.paths


def _without(
    paths: frozenset[str],
    dropped: frozenset[str],
    due: Iterable[str],
    answer: DiffResult,
    graph: Graph,
    command: Command,
) -> Counterfactual:
    reasons = answer.impact.targets
    names = sorted(name for name in due if name not in dropped)
    targets = {name: reasons_of(name, reasons, graph) for name in names}
    impact = replace(answer.impact, targets=targets)
    plan = build.build(impact, answer.rules, graph, command)
    return Counterfactual(tuple(sorted(paths)), tuple(sorted(dropped)), plan)


def _is_worth_it(candidate: Counterfactual, ranked: Iterable[Counterfactual]) -> bool:
    """Whether it is quicker than with fewer of its files left out, and nothing with as few files
    drops all that it drops, and more.
    """
    for rival in ranked:
        drops_more = set(candidate.dropped) < set(rival.dropped)
        if drops_more and len(rival.paths) <= len(candidate.paths):
            return False
        has_more = set(candidate.paths) > set(rival.paths)
        if has_more and candidate.plan.estimate_s >= rival.plan.estimate_s:
            return False
    return True
