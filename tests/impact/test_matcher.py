"""All patterns at once give the same answer as one after the other."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.formats.strategies import any_of, paths, questions
from tests.formats.test_glob import EXAMPLES
from toolkit.formats.glob import PatternError, alternatives, regex
from toolkit.impact.matcher import Hit, Matcher


def plainly(rules: list[list[str]], path: str) -> tuple[Hit, ...]:
    """The hits, by a regular expression for each pattern and no look-up at all."""

    def match(pattern: str) -> bool:
        return any(re.fullmatch(regex(plain), path) for plain in alternatives(pattern))

    hits: list[Hit] = []
    for index, patterns in enumerate(rules):
        positive = [
            position for position, pattern in enumerate(patterns) if not pattern.startswith("!")
        ]
        matching = [position for position in positive if match(patterns[position])]
        excluded = any(match(pattern[1:]) for pattern in patterns if pattern.startswith("!"))
        if patterns and not excluded and (matching or not positive):
            hits.append((index, matching[0] if matching else -1))
    return tuple(hits)


def test_looking_up_gives_what_the_table_says() -> None:
    wrong = []
    for pattern, path in [(pattern, path) for pattern, them in EXAMPLES.items() for path in them]:
        negated = path.startswith("!") and not pattern.startswith("\\!")
        answer = Matcher([["x"], [pattern]]).match(path.removeprefix("!") if negated else path)
        if ((1, 0) in answer) == negated:
            wrong.append((pattern, path))
    assert not wrong


@given(questions())
def test_looking_up_agrees_with_trying_every_pattern(
    question: tuple[list[str], list[list[str]]],
) -> None:
    lines, rules = question
    matcher = Matcher(rules)
    for path in lines:
        assert matcher.match(path) == plainly(rules, path)


@given(questions(), st.data())
def test_what_was_asked_before_changes_no_answer(
    question: tuple[list[str], list[list[str]]], data: st.DataObject
) -> None:
    lines, rules = question
    used = Matcher(rules)
    for path in data.draw(st.permutations(lines)):
        used.match(path)
    assert [used.match(path) for path in lines] == [Matcher(rules).match(path) for path in lines]


@given(questions(), questions())
def test_another_rule_changes_no_other_rules_hits(
    question: tuple[list[str], list[list[str]]], pair: tuple[list[str], list[list[str]]]
) -> None:
    lines, rules = question
    alone, more = Matcher(rules), Matcher([*rules, *pair[1]])
    for path in lines:
        assert tuple(hit for hit in more.match(path) if hit[0] < len(rules)) == alone.match(path)


@given(questions(), st.data())
def test_the_order_of_a_rules_patterns_does_not_matter(
    question: tuple[list[str], list[list[str]]], data: st.DataObject
) -> None:
    lines, rules = question
    shuffled = [data.draw(st.permutations(patterns)) for patterns in rules]
    for path in lines:
        assert [rule for rule, _ in Matcher(shuffled).match(path)] == [
            rule for rule, _ in Matcher(rules).match(path)
        ]


@given(questions(most=1), st.data())
def test_one_more_positive_pattern_never_takes_a_match_away(
    question: tuple[list[str], list[list[str]]], data: st.DataObject
) -> None:
    lines, [patterns] = question
    positive = [pattern for pattern in patterns if not pattern.startswith("!")]
    fewer = data.draw(any_of(positive)) if positive else []
    excluding = [pattern for pattern in patterns if pattern.startswith("!")]
    for path in lines:
        if fewer and Matcher([[*fewer, *excluding]]).match(path):
            assert Matcher([[*positive, *excluding]]).match(path)


@given(st.lists(paths("ab."), min_size=1, max_size=8), paths("ab."))
def test_a_path_is_matched_by_all_that_is_above_it_and_nothing_beside_it(
    folders: list[str], path: str
) -> None:
    hits = Matcher([[f"{folder}/**"] for folder in folders]).match(path)
    above = [
        position
        for position, folder in enumerate(folders)
        if path == folder or path.startswith(f"{folder}/")
    ]
    assert [rule for rule, _ in hits] == above


def test_a_hit_names_the_rule_and_the_first_of_its_patterns_that_matches() -> None:
    matcher = Matcher([["b", "*", "a"], ["b"], ["**/a", "a"]])
    assert matcher.match("a") == ((0, 1), (2, 0))


def test_an_exclusion_wins_wherever_it_stands() -> None:
    matcher = Matcher([["!a/x*", "a/**"], ["a/**", "!a/x*"]])
    assert matcher.match("a/b") == ((0, 1), (1, 0))
    assert matcher.match("a/xb") == ()


def test_only_exclusions_match_everything_else() -> None:
    matcher = Matcher([["!a/**", "!*.md"]])
    assert matcher.match("b/a") == ((0, -1),)
    assert matcher.match("a/b") == matcher.match("a") == matcher.match("b.md") == ()


def test_an_exclusion_of_one_rule_leaves_the_others_alone() -> None:
    assert Matcher([["a", "!a"], ["a"]]).match("a") == ((1, 0),)


def test_a_rule_without_patterns_matches_nothing() -> None:
    assert Matcher([[], ["a"]]).match("a") == ((1, 0),)
    assert Matcher([]).match("a") == ()


@pytest.mark.parametrize(
    "pattern",
    [
        "libs/core/**",
        "libs/*",
        "**/core/**",
        "libs/core",
        "l*s/c[o]re/**",
        "**/core",
        "{libs,x}/core/**",
    ],
)
def test_a_submodule_is_a_path_that_the_patterns_of_its_folder_match(pattern: str) -> None:
    assert Matcher([[pattern]]).match("libs/core")


@pytest.mark.parametrize(
    "path", ["a\nb", "a/b\n", "\n", "caf\udce9/x", "é/\udcff\n.ts", "a/**", "-x", " a", "a\tb/c"]
)
def test_any_name_is_matched_by_everything_and_by_its_folder(path: str) -> None:
    assert Matcher([["**"], ["**/*"], ["!x"]]).match(path) == ((0, 0), (1, 0), (2, -1))


@pytest.mark.parametrize("last", ["a.py", "*.py", "*.test.py", "x*", "[ax]*"])
def test_what_a_file_is_called_counts_for_every_folder_that_asks_for_it(last: str) -> None:
    name = {"a.py": "a.py", "*.py": "a.py", "*.test.py": "a.test.py", "x*": "xa", "[ax]*": "ab"}[
        last
    ]
    patterns = [
        last,
        f"**/{last}",
        f"src/{last}",
        f"src/**/{last}",
        f"src/lib/{last}",
        f"src/lib/**/{last}",
        f"*/lib/{last}",
    ]
    rules = [[pattern] for pattern in patterns]
    assert [patterns[rule] for rule, _ in Matcher(rules).match(f"src/lib/{name}")] == [
        patterns[1],
        *patterns[3:],
    ]
    assert [patterns[rule] for rule, _ in Matcher(rules).match(f"src/{name}")] == [
        patterns[1],
        patterns[2],
        patterns[3],
    ]
    assert [patterns[rule] for rule, _ in Matcher(rules).match(name)] == patterns[:2]


@pytest.mark.parametrize(
    ("path", "hits"),
    [("apps/web/a", [0]), ("apps/web-admin/a", [1]), ("apps/web", [0]), ("apps/webs", [])],
)
def test_siblings_with_a_common_beginning_are_told_apart(path: str, hits: list[int]) -> None:
    assert [
        rule for rule, _ in Matcher([["apps/web/**"], ["apps/web-admin/**"]]).match(path)
    ] == hits


def test_a_wrong_pattern_is_named_by_rule_and_place() -> None:
    with pytest.raises(PatternError) as refused:
        Matcher([["a"], ["b", "c", "!/d"]])
    assert (refused.value.rule, refused.value.pattern) == (1, 2)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "pattern",
    [
        "*a" * 300 + "b",
        "**/*a*/**/*b*/**/c",
        "**/a/" * 200 + "b",
        "a/**/*b",
        "!**/*.test.ts",
        "{*a,*b}" * 5 + "c",
    ],
)
def test_a_long_path_is_matched_in_linear_time(pattern: str) -> None:
    matcher = Matcher([[pattern]])
    matcher.match("x")
    start = time.process_time()
    for path in (
        "a" * 4000,
        "a/" * 2000 + "b",
        "/".join(["ab"] * 1300),
        "a" * 200_000,
        "a/" * 100_000 + "ab",
    ):
        matcher.match(path)
    assert time.process_time() - start < 2


def test_a_hundred_rules_are_matched_a_hundred_thousand_times_in_seconds() -> None:
    matcher = Matcher(
        [
            f"folder{position}/**",
            f"**/name{position}.py",
            f"folder{position}/**/*.ext{position}",
            f"x{position}*",
        ]
        for position in range(100)
    )
    lines = [
        f"folder{position % 100}/sub{position % 17}/file{position}.ext{position % 100}"
        for position in range(100_000)
    ]
    start = time.process_time()
    actual = sum(len(matcher.match(path)) for path in lines)
    assert actual == 100_000
    assert time.process_time() - start < 5  # it takes 0.2 s
