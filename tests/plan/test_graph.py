"""Who covers whom, who waits for whom, how long it takes: against a plain account of small
systems.
"""

import os
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from tests.plan.strategies import (
    NAMES,
    covers,
    crossed,
    leaves,
    load,
    longest,
    reach,
    target,
    targets,
    without_problems,
)
from tests.support.run import ROOT
from toolkit.model import Rules
from toolkit.plan.graph import Graph

GRAPHS = st.one_of(targets(), crossed()).map(without_problems)


def graph(*parts: str) -> Graph:
    return Graph(load(*parts).targets)


def some(rules: Rules) -> st.SearchStrategy[list[str]]:
    return st.lists(
        st.sampled_from(sorted(rules.targets)), unique=True, min_size=min(3, len(rules.targets))
    )


def test_a_group_covers_its_members_at_any_depth() -> None:
    actual = graph(
        target("world", members=["infra", "web"]),
        target("infra", members=["api"]),
        target("api"),
        target("web"),
    )
    assert actual.covered == {"world": {"infra", "web", "api"}, "infra": {"api"}}
    assert [set(actual.leaves(name)) for name in ("world", "api")] == [{"web", "api"}, {"api"}]


def test_what_another_one_covers_is_dropped() -> None:
    actual = graph(
        target("infra", members=["api", "net"]), target("api"), target("net"), target("web")
    )
    assert actual.narrow(["web", "net", "infra", "api"]) == ["infra", "web"]


def test_a_group_is_dropped_for_another_one_with_the_same_targets_and_more() -> None:
    actual = graph(
        target("all", members=["a", "b", "c"]),
        target("some", members=["a", "b"]),
        *map(target, "abc"),
    )
    assert actual.narrow(["some", "all"]) == ["all"]


def test_of_two_groups_with_the_same_targets_one_stays() -> None:
    actual = graph(
        target("x", members=["y"]),
        target("y", members=["a"]),
        target("n", members=["a"]),
        target("a"),
    )
    assert actual.narrow(["n", "x", "y"]) == ["x"]
    assert actual.narrow(["n", "y"]) == ["n"]


def test_groups_that_only_share_members_both_stay() -> None:
    assert graph(
        target("x", members=["a", "b"]), target("y", members=["b", "c"]), *map(target, "abc")
    ).narrow("xy") == ["x", "y"]


def test_order_holds_through_a_target_that_is_not_asked_for() -> None:
    assert graph(target("a", needs=["m"]), target("m", needs=["z"]), target("z")).order(
        ["a", "z"]
    ) == ["z", "a"]


def test_what_needs_a_group_waits_for_all_that_is_in_it() -> None:
    actual = graph(
        target("app", needs=["infra"]),
        target("infra", members=["net", "sub"]),
        target("sub", members=["db"]),
        target("net"),
        target("db"),
    )
    assert actual.order(["app", "db", "net"])[-1] == "app"
    assert actual.waits_for("app", ["db", "net", "infra"]) == {"db", "net", "infra"}


def test_what_a_group_needs_comes_before_all_that_is_in_it() -> None:
    actual = graph(
        target("infra", ["net"], ["sub"]),
        target("sub", members=["db"]),
        target("db"),
        target("net"),
    )
    assert actual.order(["db", "net"]) == ["net", "db"]


REGIONS = ("eu-west-1", "us-east-1")


def before(graph: Graph, leaf: str, region: str) -> set[str]:
    return {f"{name}@{where}" for name, where in graph.instances_before(leaf, region, REGIONS)}


def needing(**needs: list[str]) -> Graph:
    regions = "\n".join(("[environments.dev]", f"regions = {list(REGIONS)}\n"))
    return graph(*(target(name, needs=needed) for name, needed in needs.items()), regions)


def test_a_need_without_a_region_is_one_in_the_own_region() -> None:
    system = needing(net=[], api=["net"])
    assert before(system, "api", "eu-west-1") == {"net@eu-west-1"}
    assert before(system, "net", "eu-west-1") == set()


def test_a_need_in_a_region_is_waited_for_from_every_region_and_so_is_what_that_one_needs() -> None:
    system = needing(zone=[], net=["zone"], api=["net@us-east-1"])
    for region in REGIONS:
        assert before(system, "api", region) == {"net@us-east-1", "zone@us-east-1"}


def test_a_need_in_a_region_that_the_environment_lacks_is_one_in_the_own_region() -> None:
    system = needing(net=[], api=["net@us-east-1"])
    assert system.instances_before("api", "eu-west-1", ["eu-west-1"]) == {("net", "eu-west-1")}


def test_a_need_in_both_the_own_and_another_region_waits_for_both_in_any_order_of_words() -> None:
    for needs in (["net", "net@us-east-1"], ["net@us-east-1", "net"]):
        system = needing(net=[], api=needs)
        assert before(system, "api", "eu-west-1") == {"net@eu-west-1", "net@us-east-1"}


@given(GRAPHS)
def test_without_regions_instances_wait_as_their_targets_do(rules: Rules) -> None:
    graph = Graph(rules.targets)
    every = leaves(rules.targets, *rules.targets)
    for leaf in every:
        names = {name for name, _ in graph.instances_before(leaf, None, ())}
        assert names == graph.waits_for(leaf, every)


def test_two_groups_that_wait_for_each_other_are_written_out() -> None:
    actual = graph(
        target("x", members=["a", "b"]),
        target("y", members=["c", "d"]),
        target("a", ["c"]),
        target("b"),
        target("c"),
        target("d", ["b"]),
    )
    assert set(actual.order(["x", "y"])) == set("abcd")


def test_only_the_groups_in_a_circle_are_written_out() -> None:
    parts = [
        target("x", members=["a", "b"]),
        target("y", members=["c", "d"]),
        target("a", ["c"]),
        target("b"),
        target("c"),
        target("d", ["b"]),
    ]
    actual = graph(*parts, target("z", members=["e", "f"]), target("e"), target("f", ["a"]))
    assert set(actual.order(["x", "y", "z"])) == {*"abcd", "z"}


def test_what_a_third_group_covers_is_not_written_out() -> None:
    parts = [
        target("x", members=["a", "b"]),
        target("y", members=["c", "d"]),
        target("a", ["c"]),
        target("b"),
        target("c"),
        target("d", ["b"]),
    ]
    actual = graph(*parts, target("z", members=["b", "e"]), target("e"))
    assert set(actual.order(["x", "y", "z"])) == {"a", "c", "d", "z"}


def test_the_time_is_that_of_the_longest_chain() -> None:
    actual = graph(
        target("a", ["b"], estimate=10),
        target("b", estimate=20),
        target("c", estimate=25),
        target("g", members=["a", "c"]),
    )
    assert [actual.estimate(names) for names in ("a", "ab", "abc", "g", "gb", "c", "")] == [
        10,
        30,
        30,
        25,
        30,
        25,
        0,
    ]


def test_what_is_not_deployed_takes_no_time_though_others_wait_for_each_other_through_it() -> None:
    assert (
        graph(
            target("a", ["b"], estimate=10),
            target("b", ["c"], estimate=500),
            target("c", estimate=20),
        ).estimate("ac")
        == 30
    )


@given(GRAPHS)
def test_covering_is_membership_at_any_depth(rules: Rules) -> None:
    actual = Graph(rules.targets)
    assert actual.covered == {
        name: covers(rules.targets, name) for name in rules.targets if rules.targets[name].members
    }
    assert all(actual.leaves(name) == leaves(rules.targets, name) for name in rules.targets)


@given(GRAPHS.flatmap(lambda rules: st.tuples(st.just(rules), some(rules))))
def test_narrowing_loses_no_leaf_and_keeps_nothing_that_one_other_covers(
    pair: tuple[Rules, list[str]],
) -> None:
    rules, names = pair
    narrow = Graph(rules.targets).narrow(names)
    assert leaves(rules.targets, *narrow) == leaves(rules.targets, *names)
    assert not [
        (first, second)
        for first in narrow
        for second in narrow
        if first != second and leaves(rules.targets, first) <= leaves(rules.targets, second)
    ]


@given(GRAPHS.flatmap(lambda rules: st.tuples(st.just(rules), some(rules))))
def test_narrowing_twice_is_narrowing_once(pair: tuple[Rules, list[str]]) -> None:
    actual = Graph(pair[0].targets)
    narrow = actual.narrow(pair[1])
    assert actual.narrow(narrow) == narrow == actual.narrow(reversed(pair[1]))


@given(GRAPHS.flatmap(lambda rules: st.tuples(st.just(rules), some(rules))))
def test_nothing_comes_before_what_it_waits_for(pair: tuple[Rules, list[str]]) -> None:
    rules, names = pair
    actual = Graph(rules.targets)
    narrow = actual.narrow(names)
    order = actual.order(narrow)
    assert leaves(rules.targets, *order) == leaves(rules.targets, *narrow)
    for position, name in enumerate(order):
        later = leaves(rules.targets, *order[position + 1 :]) - leaves(
            rules.targets, *order[: position + 1]
        )
        assert all(
            later.isdisjoint(reach(rules.targets, leaf)) for leaf in leaves(rules.targets, name)
        )


@given(GRAPHS.flatmap(lambda rules: st.tuples(st.just(rules), some(rules))))
def test_the_estimate_is_the_longest_of_all_chains(pair: tuple[Rules, list[str]]) -> None:
    rules, names = pair
    assert Graph(rules.targets).estimate(names) == longest(rules.targets, names)


@given(GRAPHS)
def test_a_target_waits_for_those_that_hold_something_that_it_reaches(rules: Rules) -> None:
    actual = Graph(rules.targets)
    for name in rules.targets:
        reached = set[str]().union(
            *(reach(rules.targets, leaf) for leaf in leaves(rules.targets, name))
        )
        expected = {
            second
            for second in rules.targets
            if second != name and not reached.isdisjoint(leaves(rules.targets, second))
        }
        assert actual.waits_for(name, list(rules.targets)) == expected


def test_the_order_is_the_same_in_every_process() -> None:
    text = "version = 1\n" + target("A", needs=list(NAMES)) + "".join(map(target, NAMES))
    program = "import sys; from toolkit import flow; from toolkit.plan.graph import Graph\n"
    program += (
        "t = flow.read_rules(sys.stdin.buffer.read(), 'r').targets; print(Graph(t).order(list(t)))"
    )
    orders = set()
    for seed in "1234":
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed}
        orders.add(
            subprocess.run(
                [sys.executable, "-c", program],
                input=text.encode(),
                env=environment,
                capture_output=True,
                check=True,
            ).stdout
        )
    assert len(orders) == 1
