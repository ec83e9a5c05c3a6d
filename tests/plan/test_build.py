"""The narrowest plan: it covers what changed, nothing else, in an order that works, and says
why.
"""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.plan.strategies import (
    CHANGES,
    called,
    covers,
    leaves,
    load,
    longest,
    plan,
    reach,
    rule,
    smaller,
    systems,
    target,
)
from tests.support.repo import RULES
from toolkit import flow
from toolkit.advice import SameOptions
from toolkit.model import Change, ChangeStatus, Plan, Reason, Rules
from toolkit.plan import build
from toolkit.plan.graph import Graph
from toolkit.show.advice import NO_OPTIONS, command_line, sentence
from toolkit.show.diff import recommendation


def on(rules: Rules, *paths: str) -> Plan:
    return plan(rules, [Change(path, ChangeStatus.MODIFIED) for path in paths])


def covered(result: Plan, rules: Rules) -> set[str]:
    """The leaves that a plan deploys."""
    return leaves(rules.targets, *(step.target for step in result.steps))


def shown(result: Plan, same: SameOptions = NO_OPTIONS) -> str:
    """What a plan recommends, as people read it."""
    return recommendation(result, same)


def without_reasons(result: Plan) -> Plan:
    """Reasons come in the order of the changes."""
    return replace(result, steps=tuple(replace(step, because=()) for step in result.steps))


# The decision table of the design.

TABLE = {
    "App code": (("backend/src/a.py",), "toolkit deploy-app app"),
    "Lambda": (("lambda/login/handler.py",), "toolkit deploy-stack api"),
    "Environment": (("cdk/stacks/fargate_stack.py",), "toolkit deploy-stack fargate"),
    "Infrastructure": (("cdk/app.py",), "toolkit deploy infra"),
    "Infrastructure, also what one stack would have done": (
        ("cdk/app.py", "cdk/stacks/fargate_stack.py", "lambda/a"),
        "toolkit deploy infra",
    ),
    "App code and environment": (
        ("backend/src/a.py", "cdk/stacks/fargate_stack.py"),
        "toolkit deploy fargate app",
    ),
    "App code and infrastructure": (("backend/src/a.py", "cdk/app.py"), "toolkit deploy infra app"),
    "Lambda and environment": (
        ("lambda/a", "cdk/stacks/fargate_stack.py"),
        "toolkit deploy api fargate",
    ),
    "Smoke tests": (("smoke/test.py",), "toolkit smoke-test"),
    "Smoke tests and app code": (("smoke/test.py", "backend/src/a.py"), "toolkit deploy-app app"),
    "App tests": (("backend/src/a.test.ts",), "toolkit health-check"),
    "Documentation": (("README.md", "lambda/README.md", "cdk/docs/a.md"), "toolkit health-check"),
    "Something else": (("Makefile",), "toolkit health-check"),
    "Nothing": ((), "toolkit health-check"),
}


@pytest.mark.parametrize("row", TABLE)
def test_a_row_of_the_decision_table_leads_to_its_command(row: str) -> None:
    paths, expected = TABLE[row]
    assert shown(on(flow.read_rules(RULES.encode(), "rules.toml"), *paths)) == expected


def test_the_times_of_the_decision_table_are_those_of_its_longest_chains() -> None:
    rules = flow.read_rules(RULES.encode(), "rules.toml")
    actual = on(rules, "backend/src/a.py", "cdk/stacks/fargate_stack.py")
    assert [(step.target, step.needs, step.estimate_s) for step in actual.steps] == [
        ("fargate", (), 540),
        ("app", ("fargate",), 150),
    ]
    assert (actual.estimate_s, actual.full_estimate_s) == (690, 690)


# What is recommended.


def test_the_options_are_said_again_in_every_command() -> None:
    rules = load(
        target("a"),
        target("b"),
        rule("1", ["p/**"], ["a"]),
        rule("2", ["q/**"], ["b"]),
        rule("3", ["r/**"], [], ["smoke-test"]),
    )

    def recommended(*paths: str) -> str:
        result = plan(rules, [Change(path, ChangeStatus.MODIFIED) for path in paths])
        return shown(result, SameOptions(env="prod"))

    assert recommended("p/x") == "toolkit deploy-stack a --env prod"
    assert recommended("p/x", "q/x") == "toolkit deploy a b --env prod"
    assert recommended("r/x") == "toolkit smoke-test --env prod"
    assert recommended() == "toolkit health-check --env prod"


def test_what_a_person_deploys_is_no_part_of_the_command() -> None:
    manual = '[targets.m]\nkind = "manual"\ninstructions = "x"\n'
    rules = load(
        manual, target("a"), target("z"), *(rule(name, [f"{name}/**"], [name]) for name in "maz")
    )
    assert shown(on(rules, "m/x")) == "by hand: m"
    assert shown(on(rules, "m/x", "a/x")) == "toolkit deploy-stack a"
    assert shown(on(rules, "m/x", "a/x", "z/x")) == "toolkit deploy a z"
    commands = {step.target: step.command for step in on(rules, "m/x", "a/x").steps}
    assert {name: command and command_line(command) for name, command in commands.items()} == {
        "m": None,
        "a": "toolkit deploy-stack a",
    }


BY_HAND = '[targets.web]\nkind = "manual"\ninstructions = "call Ada"\nneeds = {needs}\n'


def test_what_only_a_person_can_deploy_is_no_part_of_the_command() -> None:
    rules = load(
        BY_HAND.format(needs=[]),
        target("a"),
        target("z"),
        *(rule(name, [f"{name}/**"], [name]) for name in ("web", "a", "z")),
    )
    alone = on(rules, "web/x")
    assert (shown(alone), alone.by_hand, alone.steps[0].command) == (
        "by hand: web",
        ("web",),
        None,
    )
    assert shown(on(rules, "web/x", "a/x")) == "toolkit deploy-stack a"
    assert shown(on(rules, "web/x", "a/x", "z/x")) == "toolkit deploy a z"


def test_a_group_is_no_command_where_nothing_in_it_can_be_deployed() -> None:
    rules = load(
        BY_HAND.format(needs=[]),
        target("g", members=["web"]),
        target("a"),
        rule("1", ["g/**"], ["g"]),
        rule("2", ["a/**"], ["a"]),
    )
    assert shown(on(rules, "g/x")) == "by hand: g"
    assert shown(on(rules, "g/x", "a/x")) == "toolkit deploy-stack a"


def test_a_command_leaves_out_what_a_person_deploys_where_another_one_in_it_waits_for_that() -> (
    None
):
    parts = [
        target("g", members=["web", "a"]),
        BY_HAND.format(needs=[]),
        target("a", ["web"]),
        target("b", ["a"]),
    ]
    rules = load(*parts, rule("1", ["g/**"], ["g"]), rule("2", ["b/**"], ["b"]))
    assert shown(on(rules, "g/x")) == "toolkit deploy g --without web"
    assert shown(on(rules, "g/x", "b/x")) == "toolkit deploy g b --without web"
    assert shown(on(rules, "b/x")) == "toolkit deploy-stack b"


def test_a_command_needs_no_exception_for_what_nothing_in_it_waits_for() -> None:
    rules = load(
        target("g", members=["web", "a"]),
        BY_HAND.format(needs=["a"]),
        target("a"),
        rule("1", ["g/**"], ["g"]),
    )
    assert shown(on(rules, "g/x")) == "toolkit deploy g"


def test_every_check_that_is_called_for_is_recommended_the_narrower_first() -> None:
    rules = load(rule("1", ["p/**"], [], ["health-check"]), rule("2", ["q/**"], [], ["smoke-test"]))
    assert shown(on(rules, "p/x", "q/x")) == "toolkit smoke-test && toolkit health-check"


def test_a_check_that_a_deploying_rule_calls_for_is_kept_in_the_plan() -> None:
    actual = on(load(target("a"), rule("1", ["p/**"], ["a"], ["smoke-test"])), "p/x")
    assert (shown(actual), actual.checks) == ("toolkit deploy-stack a", ("smoke-test",))


# The reasons.


def test_a_step_says_which_path_matches_which_pattern_where() -> None:
    text = f"version = 1\n{target('a')}{rule('one', ['p/**'], ['a'])}"
    line = next(number for number, item in enumerate(text.splitlines(), 1) if "p/**" in item)
    assert on(flow.read_rules(text.encode(), "r.toml"), "p/x").steps[0].because == (
        f'p/x matches p/** of rule "one" (r.toml:{line})',
    )


def test_a_step_for_an_unmatched_path_says_so() -> None:
    [step] = on(load(target("a"), unmatched="a"), "z").steps
    assert step.because == (
        "z matches no rule, and such paths fall back to this target (rules.toml:2)",
    )


def test_only_some_reasons_are_written_out_and_the_other_paths_counted() -> None:
    [step] = on(
        load(target("a"), rule("one", ["p/**"], ["a"])), *(f"p/{position}" for position in range(9))
    ).steps
    assert len(step.because) == build.SHOWN + 1
    assert step.because[-1] == "and 6 more"


def test_a_reason_without_a_line_names_the_file() -> None:
    assert (
        build.reason_text(Reason("p", "one", "p/**", None), "rules.toml")
        == 'p matches p/** of rule "one" (rules.toml)'
    )


def test_a_group_gives_its_own_reasons_first_and_those_of_what_it_covers() -> None:
    rules = load(
        target("g", members=["a", "b"]),
        target("a"),
        target("b"),
        rule("1", ["p/**"], ["a"]),
        rule("2", ["q/**"], ["g"]),
    )
    [step] = on(rules, "p/x", "q/x").steps
    assert [sentence(line).split()[0] for line in step.because] == ["q/x", "p/x"]


def test_a_group_that_is_written_out_gives_its_reasons_to_its_members() -> None:
    parts = [
        target("x", members=["a", "b"]),
        target("y", members=["c", "d"]),
        target("a", ["c"]),
        target("b"),
        target("c"),
        target("d", ["b"]),
    ]
    actual = on(load(*parts, rule("1", ["p/**"], ["x"]), rule("2", ["q/**"], ["y"])), "p/x", "q/x")
    assert {
        step.target: [sentence(line).split()[0] for line in step.because] for step in actual.steps
    } == {
        "a": ["p/x"],
        "b": ["p/x"],
        "c": ["q/x"],
        "d": ["q/x"],
    }


def test_everything_is_every_target_for_one_reason() -> None:
    rules = load(target("g", members=["a"]), target("a"), target("b", ["a"]))
    actual = build.plan_everything(rules, Graph(rules.targets), flow.deploy_command, "nobody knows")
    assert [(step.target, step.because) for step in actual.steps] == [
        ("g", ("nobody knows",)),
        ("b", ("nobody knows",)),
    ]
    assert shown(actual) == "toolkit deploy g b"
    assert actual.estimate_s == actual.full_estimate_s


# What holds for every system and every change.


@given(systems(), CHANGES, CHANGES)
def test_more_changes_never_cover_less(
    rules: Rules, some: Sequence[Change], more: Sequence[Change]
) -> None:
    assert covered(plan(rules, some), rules) <= covered(plan(rules, [*some, *more]), rules)


@given(systems(), systems(), CHANGES)
def test_a_change_of_the_rules_besides_never_covers_less(
    rules: Rules, old: Rules, changes: Sequence[Change]
) -> None:
    assert covered(plan(rules, changes), rules) <= covered(plan(rules, changes, old), rules)


@given(systems(), CHANGES, st.data())
def test_the_order_of_changes_does_not_matter(
    rules: Rules, changes: Sequence[Change], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(changes))
    assert without_reasons(plan(rules, shuffled)) == without_reasons(plan(rules, changes))


@given(systems(), CHANGES, st.data())
def test_the_order_of_rules_and_targets_does_not_matter(
    rules: Rules, changes: Sequence[Change], data: st.DataObject
) -> None:
    shuffled = replace(
        rules,
        rules=tuple(data.draw(st.permutations(rules.rules))),
        targets={
            name: rules.targets[name] for name in data.draw(st.permutations(sorted(rules.targets)))
        },
    )
    assert without_reasons(plan(shuffled, changes)) == without_reasons(plan(rules, changes))


@given(systems(), CHANGES)
def test_saying_a_change_twice_changes_nothing(rules: Rules, changes: Sequence[Change]) -> None:
    assert without_reasons(plan(rules, [*changes, *changes])) == without_reasons(
        plan(rules, changes)
    )


@given(systems(), CHANGES)
def test_a_plan_deploys_what_the_changes_call_for_and_nothing_else(
    rules: Rules, changes: Sequence[Change]
) -> None:
    assert covered(plan(rules, changes), rules) == leaves(
        rules.targets, *called(rules, changes).targets
    )


@given(systems(), CHANGES)
def test_every_change_alone_is_covered_by_the_plan_for_all(
    rules: Rules, changes: Sequence[Change]
) -> None:
    whole = covered(plan(rules, changes), rules)
    for change in changes:
        assert leaves(rules.targets, *called(rules, [change]).targets) <= whole


@given(systems(), CHANGES)
def test_no_step_is_covered_by_another_one(rules: Rules, changes: Sequence[Change]) -> None:
    steps = [step.target for step in plan(rules, changes).steps]
    assert len(steps) == len(set(steps))
    assert not [
        (first, step)
        for first in steps
        for step in steps
        if first != step and leaves(rules.targets, first) <= leaves(rules.targets, step)
    ]


@given(systems(), CHANGES)
def test_fewer_of_the_targets_that_are_called_for_would_not_do(
    rules: Rules, changes: Sequence[Change]
) -> None:
    expected = called(rules, changes).targets
    steps = {step.target for step in plan(rules, changes).steps}
    needed = leaves(rules.targets, *expected)
    if steps <= expected and all(
        leaves(rules.targets, first).isdisjoint(leaves(rules.targets, second))
        for first in steps
        for second in steps - {first}
    ):
        # but for groups that share members, of which three can cover what two would
        assert not [
            fewer
            for fewer in smaller(expected)
            if leaves(rules.targets, *fewer) == needed and len(fewer) < len(steps)
        ]


@given(systems(), CHANGES)
def test_a_step_waits_for_every_other_one_that_holds_what_it_needs(
    rules: Rules, changes: Sequence[Change]
) -> None:
    steps = plan(rules, changes).steps
    for position, step in enumerate(steps):
        reached = set[str]().union(
            *(reach(rules.targets, leaf) for leaf in leaves(rules.targets, step.target))
        )
        expected = {
            item.target
            for item in steps
            if item is not step and not reached.isdisjoint(leaves(rules.targets, item.target))
        }
        assert set(step.needs) == expected
        assert expected <= {item.target for item in steps[:position]}


@given(systems(), CHANGES)
def test_the_estimates_are_the_longest_chains(rules: Rules, changes: Sequence[Change]) -> None:
    actual = plan(rules, changes)
    assert [step.estimate_s for step in actual.steps] == [
        longest(rules.targets, [step.target]) for step in actual.steps
    ]
    assert actual.estimate_s == longest(rules.targets, [step.target for step in actual.steps])
    assert actual.full_estimate_s == longest(rules.targets, rules.targets)


@given(systems(), CHANGES)
def test_checks_are_recommended_where_nothing_is_deployed_and_only_there(
    rules: Rules, changes: Sequence[Change]
) -> None:
    actual = plan(rules, changes)
    assert set(actual.checks) == called(rules, changes).checks
    assert ("-test" in shown(actual) or "-check" in shown(actual)) == (not actual.steps)


@given(systems(), CHANGES)
def test_every_step_has_a_reason_and_every_path_that_calls_for_it_is_counted(
    rules: Rules, changes: Sequence[Change]
) -> None:
    for step in plan(rules, changes).steps:
        paths = {change.path for change in changes if _concerns(rules, change, step.target)}
        shown, more = (
            [line for line in map(sentence, step.because) if not line.startswith("and ")],
            sentence(step.because[-1]),
        )
        counted = int(more.split()[1]) if more.startswith("and ") else 0
        assert len({line.split()[0] for line in shown}) + counted == len(paths)
        assert {line.split()[0] for line in shown} <= paths


def _concerns(rules: Rules, change: Change, step: str) -> bool:
    """Whether a change calls for a step: for the target, for something in it, or for a group that
    it is a part of.
    """
    expected = called(rules, [change]).targets
    return any(
        leaves(rules.targets, item) <= leaves(rules.targets, step)
        or step in covers(rules.targets, item)
        for item in expected
    )
