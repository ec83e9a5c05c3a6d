"""Small systems of every shape: groups in groups, needs across them, rules that overlap; and a
slow, plain account of each.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations

from hypothesis import reject
from hypothesis import strategies as st
from msgspec import Struct

from toolkit import flow
from toolkit.errors import RulesError
from toolkit.impact.touch import RuleBook, touch
from toolkit.model import Change, ChangeStatus, Plan, Rules, Target
from toolkit.plan import build
from toolkit.plan.graph import Graph

FOLDERS = tuple("pqrs")
NAMES = ("b", "e", "a", "g", "d", "c", "f")
"""In no order, so that none comes out right by accident."""


def target(
    name: str, needs: Sequence[str] = (), members: Sequence[str] = (), estimate: int = 60
) -> str:
    kind = (
        f'kind = "group"\nmembers = {list(members)}'
        if members
        else f'kind = "stack"\nstack = "{name}"\ntemplate = "s"\nestimate = "{estimate}s"'
    )
    return f"[targets.{name}]\n{kind}\nneeds = {list(needs)}\n"


def rule(name: str, paths: Sequence[str], deploy: Sequence[str], run: Sequence[str] = ()) -> str:
    return (
        f'[[rules]]\nname = "{name}"\npaths = {list(paths)}\ndeploy = {list(deploy)}\nrun ='
        f" {list(run)}\n"
    )


def load(*parts: str, unmatched: str = "warn") -> Rules:
    return flow.read_rules(
        f'version = 1\nunmatched = "{unmatched}"\n{"".join(parts)}'.encode(), "rules.toml"
    )


def plan(rules: Rules, changes: Sequence[Change], old: Rules | None = None) -> Plan:
    """All of stages 2 and 3."""
    graph = Graph(rules.targets)
    impact = touch(
        changes,
        RuleBook(rules, graph.covered),
        () if old is None else (flow.rule_book(old),),
        ("rules.toml",),
    )
    return build.build(impact, rules, graph, flow.deploy_command)


@st.composite
def crossed(draw: st.DrawFn) -> list[str]:
    """Groups that share members, whose members need each other across: what makes whole groups wait
    for each other.
    """
    names = draw(st.permutations(NAMES))
    groups, single = names[:3], names[3:]
    members = st.lists(st.sampled_from(single), unique=True, min_size=2, max_size=3)
    parts = [target(name, (), draw(members)) for name in groups[: draw(st.integers(2, 3))]]
    for position, name in enumerate(single):
        needs = (
            draw(st.lists(st.sampled_from(single[position + 1 :]), unique=True, max_size=2))
            if single[position + 1 :]
            else []
        )
        parts.append(target(name, needs, (), draw(st.integers(1, 9)) * 10))
    return parts


@st.composite
def targets(draw: st.DrawFn) -> list[str]:
    """Targets that need and hold only later ones, which is every shape there is. A group may need
    its own member.
    """
    names = NAMES[: draw(st.sampled_from((1, 3, 4, 5, 6, 7)))]
    parts: list[str] = []
    for position, name in enumerate(names):
        later = names[position + 1 :]
        group = bool(later) and draw(
            st.sampled_from(
                (True, True, False) if position < len(names) // 2 else (False, False, False, True)
            )
        )
        members = (
            draw(st.lists(st.sampled_from(later), unique=True, min_size=1, max_size=3))
            if group
            else []
        )
        needing = bool(later) and draw(st.sampled_from((True, False, False)))
        needs = (
            draw(st.lists(st.sampled_from(later), unique=True, min_size=1, max_size=2))
            if needing
            else []
        )
        parts.append(target(name, needs, members, draw(st.integers(1, 9)) * 10))
    return parts


@st.composite
def systems(draw: st.DrawFn) -> Rules:
    """Targets, some rules for them, and what to do about unmatched paths."""
    parts = draw(st.one_of(targets(), targets(), crossed()))
    names = [part[len("[targets.")] for part in parts]
    for position in range(draw(st.sampled_from((0, 1, 2, 3, 4, 5, 6)))):
        paths = [
            f"{folder}/**"
            for folder in draw(
                st.lists(st.sampled_from(FOLDERS), min_size=1, max_size=3, unique=True)
            )
        ]
        deploy = draw(
            st.lists(
                st.sampled_from(names),
                min_size=draw(st.sampled_from((0, 1, 1))),
                max_size=2,
                unique=True,
            )
        )
        run = draw(
            st.lists(
                st.sampled_from(("smoke-test", "health-check")),
                min_size=0 if deploy else 1,
                max_size=1,
            )
        )
        parts.append(rule(str(position), paths, deploy, run))
    return without_problems(parts, draw(st.sampled_from(("warn", "warn", "fail", *names))))


def without_problems(parts: list[str], unmatched: str = "warn") -> Rules:
    """The rules; another example is asked for where they have a circle, or a rule for a group and
    for a part of it.
    """
    try:
        return load(*parts, unmatched=unmatched)
    except RulesError:
        reject()


CHANGES = (
    st.sampled_from((0, 1, 2, 3, 4))
    .flatmap(lambda number: st.permutations(FOLDERS).map(lambda folders: folders[:number]))
    .map(lambda folders: [Change(f"{folder}/x", ChangeStatus.MODIFIED) for folder in folders])
)


# The plain account. It knows nothing of toolkit's own: members, needs and reachability are followed
# one by one.


def covers(targets: Mapping[str, Target], name: str) -> set[str]:
    """Everything in a group, at any depth."""
    return {
        inner for member in targets[name].members for inner in (member, *covers(targets, member))
    }


def leaves(targets: Mapping[str, Target], *names: str) -> set[str]:
    """What is really deployed."""
    return {
        leaf
        for name in names
        for leaf in (
            {name} if not targets[name].members else leaves(targets, *targets[name].members)
        )
    }


def direct(targets: Mapping[str, Target]) -> dict[str, set[str]]:
    """For each leaf the leaves that it needs by itself or by a group that it is in."""
    above = {
        leaf: [name for name in targets if leaf in leaves(targets, name)]
        for leaf in leaves(targets, *targets)
    }
    return {
        leaf: {
            leave
            for name in names
            for need in targets[name].needs
            for leave in leaves(targets, need.target)
        }
        for leaf, names in above.items()
    }


def reach(targets: Mapping[str, Target], leaf: str) -> set[str]:
    """The leaves that have to be done before one."""
    needs = direct(targets)

    @cache
    def below(text: str) -> frozenset[str]:
        return frozenset(needs[text]).union(*(below(second) for second in needs[text]))

    return set(below(leaf))


def longest(targets: Mapping[str, Target], names: Collection[str]) -> int:
    """The longest chain through the leaves of some targets, of all chains there are."""
    counted, needs = leaves(targets, *names), direct(targets)

    def chains(leaf: str) -> Iterator[int]:
        local = targets[leaf].estimate_s if leaf in counted else 0
        yield local
        for second in needs[leaf]:
            yield from (local + rest for rest in chains(second))

    return max((length for leaf in needs for length in chains(leaf)), default=0)


class Called(Struct):
    """What some changes call for, by the letter of the design."""

    targets: set[str]
    checks: set[str]


def called(rules: Rules, changes: Sequence[Change]) -> Called:
    """(a) the targets of all rules that match, (b) without those that cover another one, (c) over
    all paths.
    """
    result = Called(set(), set())
    for change in changes:
        matching = [item for item in rules.rules if f"{change.path.split('/')[0]}/**" in item.paths]
        candidates = {name for item in matching for name in item.deploy}
        if not matching and rules.unmatched not in ("warn", "fail"):
            candidates = {rules.unmatched}
        result.targets |= {
            name for name in candidates if candidates.isdisjoint(covers(rules.targets, name))
        }
        result.checks |= {check for item in matching for check in item.run}
    return result


def smaller(names: Collection[str]) -> Iterator[tuple[str, ...]]:
    """Every set of fewer of these targets."""
    for size in range(len(names)):
        yield from combinations(sorted(names), size)
