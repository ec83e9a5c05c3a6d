"""Who covers whom, who needs whom, and how long that takes: the targets of one rules.toml as a
graph.
"""

from collections.abc import Collection, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from toolkit.model import Target

Instance = tuple[str, str | None]
"""A target in a region; None: in the only one."""
OWN_REGION: frozenset[str | None] = frozenset((None,))


class Graph:
    """The targets as leaves (what is really deployed) and groups. `needs` must have no circle:
    rules.toml is checked for that.
    """

    def __init__(self, targets: Mapping[str, Target]) -> None:
        self._targets = targets
        self.covered = {
            name: frozenset(self._inside(name))
            for name, target in targets.items()
            if target.members
        }
        self._leaves = {
            name: self.covered.get(name, frozenset((name,))) - self.covered.keys()
            for name in targets
        }
        self._direct: dict[str, set[str]] = {}
        self._regions: dict[tuple[str, str], set[str | None]] = {}
        """Of a leaf and what it needs, in which regions; None, and where nothing is said: in its
        own.
        """
        for name, target in targets.items():
            for need in target.needs:
                self._add_need(self.leaves(name), self.leaves(need.target), need.region)
        self._reached: dict[str, set[str]] = {}
        self._sorted: list[str] | None = None

    def _add_need(self, waiting: Iterable[str], needed: frozenset[str], region: str | None) -> None:
        for leaf in waiting:
            direct = self._direct.setdefault(leaf, set())
            # Regions are rare, and there may be a million pairs.
            if region or self._regions:
                for need in needed:
                    before = set(OWN_REGION) if need in direct else set[str | None]()
                    self._regions.setdefault((leaf, need), before).add(region)
            direct.update(needed)

    def _inside(self, name: str) -> set[str]:
        inside, waiting = set[str](), list(self._targets[name].members)
        while waiting:
            member = waiting.pop()
            if member not in inside:
                inside.add(member)
                waiting += self._targets[member].members
        return inside

    def leaves(self, name: str) -> frozenset[str]:
        """A target itself, or the targets in a group that are no groups."""
        return self._leaves[name]

    def narrow(self, names: Iterable[str]) -> list[str]:
        """The targets without those whose leaves are all among those of another one of them,
        sorted.
        """

        def widest_first(name: str) -> tuple[int, int, str]:
            return -len(self._leaves[name]), -len(self.covered.get(name, ())), name

        narrowed: list[str] = []
        wide: list[frozenset[str]] = []
        within = set[str]()
        for name in sorted(set(names), key=widest_first):
            leaves = self._leaves[name]
            # A single leaf is covered by whatever holds it. Several have to lie within one group:
            # two groups that hold half of them each do not replace this one.
            if leaves <= within and (len(leaves) < 2 or any(leaves <= wider for wider in wide)):
                continue
            narrowed.append(name)
            within |= leaves
            if len(leaves) > 1:
                wide.append(leaves)
        return sorted(narrowed)

    def waits_for(self, name: str, others: Collection[str]) -> set[str]:
        """Those of the others that have to be done first, also where what stands between them is
        not among them.
        """
        reached = set[str]().union(*(self._reach(leaf) for leaf in self.leaves(name)))
        if not reached:
            return set()
        among = others if isinstance(others, frozenset) else frozenset(others)
        groups = {
            group
            for group in self.covered.keys() & among
            if not reached.isdisjoint(self.leaves(group))
        }
        return ((reached & among) | groups) - {name}

    def instances_before(
        self, leaf: str, region: str | None, regions: Collection[str | None]
    ) -> set[Instance]:
        """All that has to be deployed before a leaf in one of these regions, also through what is
        up to date. A need in a region that is not among them is one in the leaf's own.
        """
        before, waiting = set[Instance](), [(leaf, region)]
        while waiting:
            name, here = waiting.pop()
            for need in self._direct.get(name, ()):
                for named in self._regions.get((name, need), OWN_REGION):
                    instance = (need, named if named in regions else here)
                    if instance not in before:
                        before.add(instance)
                        waiting.append(instance)
        return before

    def _reach(self, leaf: str) -> set[str]:
        reached = self._reached.get(leaf)
        if reached is None:
            reached, waiting = set(), [leaf]
            while waiting:
                new = self._direct.get(waiting.pop(), set()) - reached
                reached |= new
                waiting += new
            self._reached[leaf] = reached
        return reached

    def order(self, names: Collection[str]) -> list[str]:
        """The targets, each after those that it waits for.

        Taken as one each, two groups can come to wait for each other though their members do not;
        such groups are written out.
        """
        among = frozenset(names)
        waits = {name: sorted(self.waits_for(name, among)) for name in sorted(names)}
        try:
            return list(TopologicalSorter(waits).static_order())
        except CycleError as error:
            groups = {name for name in error.args[1] if name in self.covered}
            members = set[str]().union(*(self._targets[name].members for name in groups))
            return self.order(self.narrow((set(names) - groups) | members))

    def estimate(self, names: Iterable[str]) -> int:
        """The critical path through these targets in seconds: steps that do not wait for each
        other run in parallel.
        """
        counted = set[str]().union(*(self.leaves(name) for name in names))
        if len(counted) < 2:
            return sum(self._targets[leaf].estimate_s for leaf in counted)
        if self._sorted is None:
            self._sorted = list(TopologicalSorter(self._direct).static_order())
        ready: dict[str, int] = {}
        for leaf in self._sorted:
            ready[leaf] = max((ready[need] for need in self._direct.get(leaf, ())), default=0)
            # A leaf that is not deployed takes no time, but what it needs still comes first.
            if leaf in counted:
                ready[leaf] += self._targets[leaf].estimate_s
        alone = (self._targets[leaf].estimate_s for leaf in counted if leaf not in ready)
        return max((*ready.values(), *alone), default=0)
