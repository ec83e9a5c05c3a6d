"""`rules replay`: what history would have deployed under today's rules."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from toolkit.changes import detect
from toolkit.flow.build_inputs import input_targets
from toolkit.flow.rulebook import own_paths, rules_path
from toolkit.impact.touch import RuleBook
from toolkit.model import Replayed, Rules, Tally
from toolkit.plan.graph import Graph
from toolkit.ports.git import Git, TreeChange


class PathCall(Struct, frozen=True):
    """What a changed path calls for under today's rules: targets as rules name them, and checks.
    `unmatched`: no rule matches it.
    """

    targets: frozenset[str] = frozenset()
    checks: frozenset[str] = frozenset()
    unmatched: bool = False


class TodaysRules:
    """Judges the changes of history by the rules as they are today."""

    def __init__(self, git: Git, rules: Rules) -> None:
        self.graph = Graph(rules.targets)
        self._book = RuleBook(rules, self.graph.covered)
        self._own = own_paths("rules.toml" if git.bare else rules_path(rules, git))
        self._users = input_targets(rules, rules.environment, git, None)

    def call(self, change: TreeChange) -> PathCall:
        """What a change calls for; rules.toml itself is never unmatched."""
        path = change.path
        called = self._book.impact_of(path, detect.status(change.letter))
        if called.unmatched and path in self._own:
            return PathCall()
        targets = {*called.targets}
        if not self._book.ignores(path):
            targets.update(self._users.by(path))
        return PathCall(frozenset(targets), frozenset(called.run), bool(called.unmatched))

    def called_by_path(self, changes: Iterable[TreeChange]) -> dict[str, set[str]]:
        """Changed path -> the targets that it calls for, groups as their members."""
        return {
            change.path: set[str]().union(*map(self.graph.leaves, self.call(change).targets))
            for change in changes
        }


def replay(
    git: Git, rules: Rules, revisions: Sequence[str], limit: int | None
) -> Iterator[Replayed]:
    """What each commit of a first-parent history would have deployed under today's rules, newest
    first.
    """
    today = TodaysRules(git, rules)
    for commit, changes in git.log(revisions, limit):
        targets, checks = set[str](), set[str]()
        unmatched: list[str] = []
        for change in changes:
            call = today.call(change)
            targets.update(call.targets)
            checks.update(call.checks)
            if call.unmatched:
                unmatched.append(change.path)
        narrowed = today.graph.narrow(targets)
        yield Replayed(commit, tuple(narrowed), tuple(sorted(checks)), tuple(unmatched))


def tally(replayed: Iterable[Replayed], rules: Rules) -> Tally:
    """The sums of a replay."""
    graph = Graph(rules.targets)
    # The same few sets of targets come again and again.
    estimates: dict[tuple[str, ...], int] = {}
    commits = deploying = narrow_s = 0
    ends: tuple[str, ...] = ()
    targets, checks, unmatched = Counter[str](), Counter[str](), Counter[str]()
    for row in replayed:
        commits += 1
        ends = (*ends[:1], row.commit)
        checks.update(row.run)
        unmatched.update(path.rpartition("/")[0] or path for path in row.unmatched)
        if row.targets:
            deploying += 1
            targets.update(row.targets)
            if row.targets not in estimates:
                estimates[row.targets] = graph.estimate(row.targets)
            narrow_s += estimates[row.targets]
    full_s = deploying * graph.estimate(rules.targets)
    rows = tuple((name, number, graph.estimate([name])) for name, number in targets.most_common())
    return Tally(
        commits,
        ends,
        deploying,
        narrow_s,
        full_s,
        rows,
        tuple(checks.most_common()),
        tuple(unmatched.most_common(10)),
    )
