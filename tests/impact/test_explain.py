"""The story of a path agrees with what a change of it would do."""

from hypothesis import given
from hypothesis import strategies as st

from tests.impact.test_touch import HEAD, PATHS, book, books, rule
from tests.support.repo import RULES
from toolkit.impact.explain import explain
from toolkit.impact.touch import RuleBook
from toolkit.model import ChangeStatus, Reason


def test_a_hit_names_the_pattern_and_what_it_calls_for() -> None:
    [hit] = [verdict for verdict in explain("lambda/a", book(RULES)).verdicts if verdict.hit]
    assert (hit.rule, hit.pattern, hit.why, hit.deploy) == (
        "Lambda",
        "lambda/**",
        "matches lambda/**",
        ("api",),
    )
    assert hit.line == RULES.splitlines().index('paths = ["lambda/**"]') + 1


def test_a_miss_says_whether_a_pattern_excludes_or_none_matches() -> None:
    rules = book(HEAD + rule("one", '["x/**", "!**/y"]', 'deploy = ["a"]'))
    whys = [explain(path, rules).verdicts[0] for path in ("x/y", "z/y", "z")]
    assert [(why.hit, why.pattern, why.why) for why in whys] == [
        (False, "!**/y", "excluded by !**/y"),
        (False, None, "no pattern matches"),
        (False, None, "no pattern matches"),
    ]


def test_a_rule_of_exclusions_matches_because_nothing_excludes() -> None:
    rules = book(HEAD + rule("one", '["!x/**", "!*.md"]', 'deploy = ["a"]'))
    assert explain("y", rules).verdicts[0].why == "matches: nothing excludes it"
    assert explain("a.md", rules).verdicts[0].why == "excluded by !*.md"


def test_a_rule_for_some_statuses_says_so() -> None:
    rules = book(HEAD + rule("one", '["x"]', 'deploy = ["a"]', 'changes = ["added", "deleted"]'))
    assert explain("x", rules).verdicts[0].why == "matches x, if it is added or deleted"


def test_a_dropped_group_is_named_with_what_was_narrower() -> None:
    number = explain("cdk/stacks/fargate_stack.py", book(RULES))
    assert (number.targets, number.dropped) == (("fargate",), (("infra", "fargate"),))


def test_an_ignored_path_goes_nowhere_and_names_the_pattern() -> None:
    number = explain("lambda/a.md", book(RULES))
    assert number.ignored == Reason("lambda/a.md", "ignore", "**/*.md", 2)
    assert (number.targets, number.dropped, number.fallback) == ((), (), None)


def test_an_unmatched_path_names_what_it_falls_back_to() -> None:
    assert explain("z", book(RULES)).fallback is None
    assert (
        explain("z", book('version = 1\nunmatched = "infra"\n' + RULES.split("\n", 1)[1])).fallback
        == "infra"
    )


@given(books(), st.sampled_from(PATHS))
def test_the_story_ends_where_a_change_of_any_status_goes(rules: RuleBook, path: str) -> None:
    number, calls = explain(path, rules), rules.impact_of(path, ChangeStatus.UNKNOWN)
    expected = (number.fallback,) if number.fallback else number.targets
    assert set(expected) == set(calls.targets)
    assert {
        name
        for verdict in number.verdicts
        if verdict.hit and not number.ignored
        for name in verdict.run
    } == set(calls.run)


@given(books(), st.sampled_from(PATHS))
def test_what_is_dropped_covers_the_target_that_it_is_dropped_for(
    rules: RuleBook, path: str
) -> None:
    number = explain(path, rules)
    for name, narrower in number.dropped:
        assert narrower in number.targets
        assert narrower in rules.rules.targets[name].members
