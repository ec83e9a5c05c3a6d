"""How targets and checks depend on each other, as far as rules.toml has to be right about it."""

from collections.abc import Collection, Hashable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from toolkit.model import Target

MOST_PAIRS = 250_000
"""In how many ways all groups and `needs` together may connect two targets: what a plan costs."""

_Node = TypeVar("_Node", bound=Hashable)


def connections(targets: Mapping[str, Target]) -> Iterator[tuple[str, str, int]]:
    """Of each target the steps that it takes to find what it covers, then of each leaf those to
    find what it waits for. No circles.
    """
    leaves: dict[str, frozenset[str]] = {}
    for name, target in targets.items():
        if target.members:
            yield "members", name, _steps(name, targets)
            inside = covered_by(name, targets)
            leaves[name] = frozenset(member for member in inside if not targets[member].members)
    direct: dict[str, set[str]] = {}
    for name, target in targets.items():
        needed: set[str] = set()
        for need in target.needs:
            needed.update(leaves.get(need.target, (need.target,)))
        waiting_leaves = leaves.get(name, (name,)) if needed else ()
        yield "needs", name, len(waiting_leaves) * len(needed)
        for leaf in waiting_leaves:
            direct.setdefault(leaf, set()).update(needed)
    for leaf, needed in direct.items():
        reached, waiting = set(needed), [*needed]
        while waiting and len(reached) <= MOST_PAIRS:
            fresh = direct.get(waiting.pop(), set()) - reached
            reached |= fresh
            waiting += fresh
        yield "needs", leaf, len(reached)


def _steps(name: str, targets: Mapping[str, Target]) -> int:
    """How many members are looked at to find all that a group covers; it stops counting where that
    is too much.
    """
    reached, waiting, steps = {name}, [name], 0
    while waiting and steps <= MOST_PAIRS:
        members = targets[waiting.pop()].members
        steps += len(members)
        fresh = set(members) - reached
        reached |= fresh
        waiting += fresh
    return steps


def covered_by(name: str, targets: Mapping[str, Target]) -> set[str]:
    """Everything that a group covers, at any depth."""
    covered, waiting = set[str](), [*targets[name].members]
    while waiting:
        member = waiting.pop()
        if member not in covered:
            covered.add(member)
            waiting += targets[member].members
    return covered


class _Moment(NamedTuple):
    """The start or the end of a target's deploy."""

    target: str
    event: str


def target_cycle(targets: Mapping[str, Target]) -> list[str] | None:
    """Targets that need each other in a cycle. A group is done when its members are, which start
    when its own needs are done.
    """
    waits: dict[_Moment, set[_Moment]] = {}
    for name, target in targets.items():
        starts, is_done = _Moment(name, "starts"), _Moment(name, "is done")
        waits.setdefault(starts, set()).update(
            _Moment(need.target, "is done") for need in target.needs
        )
        waits.setdefault(is_done, set()).add(starts)
        for member in target.members:
            waits.setdefault(_Moment(member, "starts"), set()).add(starts)
            waits[is_done].add(_Moment(member, "is done"))
    circle = find_cycle({moment: sorted(before) for moment, before in waits.items()})
    names: list[str] = []
    for moment in reversed(circle or ()):
        if names[-1:] != [moment.target]:
            names.append(moment.target)
    return names * 2 if len(names) == 1 else names or None


def find_cycle(waits: Mapping[_Node, Collection[_Node]]) -> list[_Node] | None:
    """Some of these that wait for each other in a cycle, None if none do."""
    from graphlib import CycleError, TopologicalSorter

    try:
        TopologicalSorter(waits).prepare()
    except CycleError as error:
        circle: list[_Node] = error.args[1]
        return circle
    return None
