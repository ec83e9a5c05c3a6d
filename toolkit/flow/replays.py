"""`rules replay`: what history would have deployed under today's rules."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from toolkit.changes import detect
from toolkit.flow.rulebook import rules_path
from toolkit.flow.sources import used
from toolkit.impact.touch import RuleBook
from toolkit.model import Replayed, Rules, Tally
from toolkit.plan.graph import Graph
from toolkit.ports.git import Git


def replay(
    git: Git, rules: Rules, revisions: Sequence[str], limit: int | None
) -> Iterator[Replayed]:
    """What each commit of a first-parent history would have deployed under today's rules, newest
    first.
    """
    graph = Graph(rules.targets)
    asked = RuleBook(rules, graph.covered)
    own = "rules.toml" if git.bare else rules_path(rules, git)
    users = used(rules, rules.environment, git, None)
    for commit, changes in git.log(revisions, limit):
        called = [
            (change.path, asked.impact_of(change.path, detect.status(change.letter)))
            for change in changes
        ]
        called = [
            (path, one) for path, one in called if not (one.unmatched and path == own)
        ]  # rules.toml itself is never unmatched
        wanted = {name for _, one in called for name in one.targets}
        wanted |= {name for path, _ in called if not asked.ignores(path) for name in users.by(path)}
        run = {check for _, one in called for check in one.run}
        unmatched = tuple(path for path, one in called if one.unmatched)
        yield Replayed(commit, tuple(graph.narrow(wanted)), tuple(sorted(run)), unmatched)


def tally(replayed: Iterable[Replayed], rules: Rules) -> Tally:
    """The sums of a replay."""
    graph = Graph(rules.targets)
    estimates: dict[tuple[str, ...], int] = {}
    commits = deploying = narrow_s = 0
    ends: tuple[str, ...] = ()
    targets, checks, unmatched = Counter[str](), Counter[str](), Counter[str]()
    for one in replayed:
        commits += 1
        ends = (*ends[:1], one.commit)
        checks.update(one.run)
        unmatched.update(path.rpartition("/")[0] or path for path in one.unmatched)
        if one.targets:
            deploying += 1
            targets.update(one.targets)
            if one.targets not in estimates:
                estimates[one.targets] = graph.estimate(one.targets)
            narrow_s += estimates[one.targets]
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
