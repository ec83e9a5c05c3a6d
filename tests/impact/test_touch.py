"""Changes meet rules: what each change calls for, and why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.repo import RULES
from toolkit import flow
from toolkit.impact.touch import RuleBook, touch
from toolkit.model import (
    STATUSES,
    Change,
    ChangeMatch,
    ChangeStatus,
    Impact,
    MatchVerdict,
    Reason,
    ReasonOrigin,
)

HEAD = """\
version = 1
[targets.a]
kind = "manual"
instructions = "x"
[targets.b]
kind = "manual"
instructions = "x"
[targets.both]
kind = "group"
members = ["a", "b"]
"""


def book(text: str) -> RuleBook:
    return flow.rule_book(flow.read_rules(text.encode(), "rules.toml"))


def rule(name: str, paths: str, calls: str, more: str = "") -> str:
    return f'[[rules]]\nname = "{name}"\npaths = {paths}\n{calls}\n{more}\n'


def called(impact: Impact) -> dict[str, list[str]]:
    """Target -> the paths that call for it."""
    return {name: [reason.path for reason in reasons] for name, reasons in impact.targets.items()}


def on(
    rules: RuleBook, *paths: str, old: RuleBook | None = None, status: str = "modified"
) -> Impact:
    return touch(
        [Change(path, ChangeStatus(status)) for path in paths],
        rules,
        () if old is None else (old,),
        ("rules.toml",),
    )


def test_a_path_calls_for_the_targets_of_every_rule_that_matches_it() -> None:
    rules = book(
        HEAD
        + rule("one", '["x/**"]', 'deploy = ["a"]')
        + rule("two", '["**/*.py"]', 'deploy = ["b"]\nrun = ["smoke-test"]')
    )
    impact = on(rules, "x/m.py")
    assert called(impact) == {"a": ["x/m.py"], "b": ["x/m.py"]}
    assert impact.touched == (
        ChangeMatch(
            Change("x/m.py", ChangeStatus.MODIFIED),
            ("one", "two"),
            ("a", "b"),
            MatchVerdict.MATCHED,
        ),
    )


def test_a_reason_is_the_path_the_rule_and_its_pattern_on_its_line() -> None:
    impact = on(book(RULES), "lambda/login.py")
    line = RULES.splitlines().index('paths = ["lambda/**"]') + 1
    assert impact.targets == {"api": (Reason("lambda/login.py", "Lambda", "lambda/**", line),)}


def test_the_narrower_of_two_candidates_stays() -> None:
    assert called(on(book(RULES), "cdk/stacks/fargate_stack.py")) == {
        "fargate": ["cdk/stacks/fargate_stack.py"]
    }


def test_narrowing_is_done_for_each_path_by_itself() -> None:
    both = called(on(book(RULES), "cdk/app.py", "cdk/stacks/fargate_stack.py"))
    assert both == {"infra": ["cdk/app.py"], "fargate": ["cdk/stacks/fargate_stack.py"]}


def test_a_group_is_dropped_for_what_it_covers_at_any_depth() -> None:
    text = HEAD + '[targets.world]\nkind = "group"\nmembers = ["both"]\n'
    rules = book(
        text
        + rule("one", '["x/**"]', 'deploy = ["world"]')
        + rule("two", '["x/y/**"]', 'deploy = ["a"]')
    )
    assert called(on(rules, "x/y/z")) == {"a": ["x/y/z"]}
    assert called(on(rules, "x/z")) == {"world": ["x/z"]}


def test_a_second_rule_for_the_same_path_and_target_adds_no_reason() -> None:
    rules = book(
        HEAD + rule("one", '["x/**"]', 'deploy = ["a"]') + rule("two", '["**/y"]', 'deploy = ["a"]')
    )
    assert [reason.rule for reason in on(rules, "x/y").targets["a"]] == ["one"]


def test_what_is_ignored_calls_for_nothing_whatever_else_matches() -> None:
    impact = on(book(RULES), "lambda/README.md")
    assert (impact.ignored, impact.unmatched, called(impact)) == (["lambda/README.md"], [], {})


def test_a_rule_may_call_for_a_check_alone() -> None:
    impact = on(book(RULES), "smoke/x", "smoke/y")
    assert (
        called(impact),
        {name: [reason.path for reason in reasons] for name, reasons in impact.checks.items()},
    ) == (
        {},
        {"smoke-test": ["smoke/x", "smoke/y"]},
    )
    assert impact.touched[0].verdict == "matched"


@pytest.mark.parametrize("status", [*STATUSES, "conflicted", "unknown"])
def test_a_rule_for_some_statuses_counts_for_those_and_for_what_nobody_knows(status: str) -> None:
    rules = book(HEAD + rule("one", '["**"]', 'deploy = ["a"]', 'changes = ["deleted", "added"]'))
    impact = on(rules, "x", status=status)
    counts = status not in ("modified", "type-changed")
    assert called(impact) == ({"a": ["x"]} if counts else {})
    assert impact.unmatched == ([] if counts else ["x"])


@pytest.mark.parametrize(("policy", "targets"), [("warn", ()), ("fail", ()), ("both", ("both",))])
def test_an_unmatched_path_is_listed_and_falls_back_if_the_rules_say_so(
    policy: str, targets: tuple[str, ...]
) -> None:
    impact = on(book(HEAD.replace("1\n", f'1\nunmatched = "{policy}"\n', 1)), "x")
    assert impact.touched == (
        ChangeMatch(Change("x", ChangeStatus.MODIFIED), (), targets, MatchVerdict.UNMATCHED),
    )
    assert impact.unmatched == ["x"]
    assert impact.targets == {
        name: (Reason("x", "unmatched", "", 2, ReasonOrigin.UNMATCHED),) for name in targets
    }


def test_a_change_of_the_rules_themselves_is_shown_and_calls_for_nothing() -> None:
    impact = on(book(HEAD.replace("1\n", '1\nunmatched = "both"\n', 1)), "rules.toml")
    assert (impact.touched[0].verdict, called(impact), impact.unmatched) == ("rules", {}, [])


def test_a_rule_may_match_the_rules_themselves() -> None:
    assert called(
        on(book(HEAD + rule("one", '["rules.toml"]', 'deploy = ["a"]')), "rules.toml")
    ) == {"a": ["rules.toml"]}


def test_old_rules_count_besides_the_new_ones() -> None:
    old = book(HEAD + rule("old", '["x/**"]', 'deploy = ["a"]\nrun = ["smoke-test"]'))
    impact = on(book(HEAD + rule("new", '["x/**"]', 'deploy = ["b"]')), "x/y", old=old)
    assert called(impact) == {"b": ["x/y"], "a": ["x/y"]}
    assert set(impact.checks) == {"smoke-test"}
    assert impact.touched[0].rules == ("new", "old")


def test_what_only_old_rules_match_calls_for_the_fallback_of_today_too() -> None:
    old = book(HEAD + rule("old", '["x/**"]', 'deploy = ["a"]'))
    new = book(HEAD.replace("1\n", '1\nunmatched = "both"\n', 1))
    impact = on(new, "x/y", old=old)
    assert called(impact) == {"a": ["x/y"], "both": ["x/y"]}
    assert impact.touched[0].targets == ("both", "a")


def test_what_no_old_rule_matched_calls_for_the_fallback_of_then_too() -> None:
    old = book(HEAD.replace("1\n", '1\nunmatched = "both"\n', 1))
    impact = on(book(HEAD + rule("new", '["x/**"]', 'deploy = ["a"]')), "x/y", old=old)
    assert called(impact) == {"a": ["x/y"], "both": ["x/y"]}
    assert impact.unmatched == []


def test_what_is_ignored_today_calls_for_the_fallback_of_then() -> None:
    old = book(HEAD.replace("1\n", '1\nunmatched = "both"\n', 1))
    impact = on(book(HEAD.replace("1\n", '1\nignore = ["**"]\n', 1)), "x/y", old=old)
    assert (called(impact), impact.touched[0].targets) == ({"both": ["x/y"]}, ("both",))


def test_the_rules_of_every_base_count() -> None:
    olds = [book(HEAD + rule("old", '["x/**"]', f'deploy = ["{name}"]')) for name in "ab"]
    assert called(touch([Change("x/y", ChangeStatus.MODIFIED)], book(HEAD), olds)) == {
        "a": ["x/y"],
        "b": ["x/y"],
    }


def test_a_group_of_the_old_rules_means_what_it_held_then() -> None:
    old = book(HEAD + rule("old", '["x/**"]', 'deploy = ["both"]'))
    held = HEAD.replace('members = ["a", "b"]', 'members = ["b"]')
    gone = HEAD.split("[targets.both]")[0]
    same = HEAD.replace('members = ["a", "b"]', 'members = ["b", "a"]')
    assert [set(called(on(book(new), "x/y", old=old))) for new in (held, gone, same)] == [
        {"a", "b"},
        {"a", "b"},
        {"both"},
    ]


def test_what_only_old_rules_ignore_still_counts() -> None:
    text = HEAD + rule("one", '["x/**"]', 'deploy = ["a"]')
    assert called(
        on(book(text), "x/y", old=book(text.replace("1\n", '1\nignore = ["**"]\n', 1)))
    ) == {"a": ["x/y"]}


def test_what_the_new_rules_ignore_still_counts_for_the_old_ones() -> None:
    text = HEAD + rule("one", '["x/**"]', 'deploy = ["a"]')
    assert called(
        on(book(text.replace("1\n", '1\nignore = ["**"]\n', 1)), "x/y", old=book(text))
    ) == {"a": ["x/y"]}


def test_a_target_that_only_old_rules_know_is_told_apart() -> None:
    old = book(
        HEAD.replace("[targets.a]", "[targets.gone]").replace('"a"', '"gone"')
        + rule("old", '["x/**"]', 'deploy = ["gone"]')
    )
    impact = on(book(HEAD + rule("new", '["y/**"]', 'deploy = ["a"]')), "x/y", old=old)
    assert (impact.removed, called(impact)) == (("gone",), {})


PATHS = [f"{folder}/{name}" for folder in ("x", "y", "x/y", "z") for name in ("m.py", "n.md", "\n")]
PATTERNS = ("x/**", "y/**", "**/*.py", "x/*", "!**/m.*", "**/n.md", "z/n.md")


@st.composite
def books(draw: st.DrawFn) -> RuleBook:
    policy = draw(st.sampled_from(("warn", "fail", "a", "both")))
    text = HEAD.replace(
        "1\n",
        f"1\nunmatched = '{policy}'\nignore ="
        f" {draw(st.lists(st.sampled_from(PATTERNS), max_size=1))}\n",
        1,
    )
    for position in range(draw(st.integers(0, 4))):
        paths = draw(st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2))
        calls = draw(
            st.sampled_from(
                (
                    'deploy = ["a"]',
                    'deploy = ["b"]',
                    'deploy = ["a", "b"]',
                    'deploy = ["both"]',
                    'run = ["smoke-test"]',
                )
            )
        )
        changes = draw(st.lists(st.sampled_from(STATUSES), max_size=2))
        text += rule(str(position), str(paths), calls, f"changes = {changes}")
    return book(text)


CHANGES = st.lists(
    st.builds(Change, st.sampled_from(PATHS), st.sampled_from(tuple(ChangeStatus))),
    max_size=6,
)


@given(books(), CHANGES)
def test_asking_for_the_calls_alone_gives_the_same_as_asking_for_the_reasons(
    rules: RuleBook, changes: list[Change]
) -> None:
    for change in changes:
        impact, calls = touch([change], rules), rules.impact_of(change.path, change.status)
        assert (tuple(impact.targets), calls.unmatched) == (
            tuple(dict.fromkeys(calls.targets)),
            bool(impact.unmatched),
        )
        assert set(impact.checks) == set(calls.run)


@given(books(), CHANGES, CHANGES)
def test_more_changes_never_call_for_less(
    rules: RuleBook, some: list[Change], more: list[Change]
) -> None:
    fewer, all_of_them = called(touch(some, rules)), called(touch([*some, *more], rules))
    assert all(set(paths) <= set(all_of_them[name]) for name, paths in fewer.items())


@given(books(), books(), CHANGES)
def test_old_rules_never_make_it_less(
    rules: RuleBook, old: RuleBook, changes: list[Change]
) -> None:
    alone, together = called(touch(changes, rules)), called(touch(changes, rules, (old,)))
    assert all(set(paths) <= set(together[name]) for name, paths in alone.items())


@given(books(), CHANGES)
def test_every_change_is_matched_ignored_or_unmatched(
    rules: RuleBook, changes: list[Change]
) -> None:
    impact = touch(changes, rules)
    assert [match.change for match in impact.touched] == changes
    for change_match in impact.touched:
        hits = bool(rules.matching(change_match.change))
        assert change_match.verdict == (
            "ignored"
            if rules.ignores(change_match.change.path)
            else "matched"
            if hits
            else "unmatched"
        )


@given(books(), CHANGES)
def test_every_reason_names_a_line_with_its_pattern(rules: RuleBook, changes: list[Change]) -> None:
    lines = rules.rules.text.splitlines()
    for reasons in touch(changes, rules).targets.values():
        for reason in reasons:
            assert reason.line
            assert (reason.pattern or "unmatched") in lines[reason.line - 1]
