"""CI path filters become a draft of rules that says the same, and what cannot be said is told."""

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from toolkit import flow
from toolkit.impact.matcher import Matcher
from toolkit.impact.touch import RuleBook, touch
from toolkit.init.draft import draft_to_toml
from toolkit.init.filters.picomatch import from_picomatch, negates
from toolkit.init.filters.workflows import ImportedFilters, import_filters
from toolkit.model import STATUSES, Change, ChangeStatus

_WORKFLOW = """
name: CI
on:
  push:
    branches: [main]
    paths: ["api/**", "!api/docs/**", "api/docs/keep/**"]
  pull_request:
    paths-ignore: ["docs/**"]
jobs:
  changes:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: Dorny/Paths-Filter@v3
        with:
          filters: |
            shared: &shared
              - common/**
              - config/**
            src:
              - *shared
              - src/**
              - added|modified: 'db/**'
            single: go.*
"""


def _book(result: ImportedFilters) -> RuleBook:
    return flow.rule_book(flow.read_rules(draft_to_toml(result.draft).encode(), "rules.toml"))


def _due(result: ImportedFilters, path: str, status: str = "modified") -> set[str]:
    return set(touch([Change(path, ChangeStatus(status))], _book(result)).targets)


def _dorny(filters: str, quantifier: str = "") -> ImportedFilters:
    """What is imported of one step of dorny/paths-filter."""
    step = {
        "uses": "dorny/paths-filter@v4",
        "with": {"filters": filters} | ({"predicate-quantifier": quantifier} if quantifier else {}),
    }
    return import_filters(
        [("ci.yml", yaml.safe_dump({"on": "push", "jobs": {"changes": {"steps": [step]}}}))]
    )


def _on(text: str) -> ImportedFilters:
    return import_filters([(".github/workflows/ci.yml", f"on:\n{text}\njobs: {{}}\n")])


def test_every_filter_of_a_workflow_becomes_a_manual_target() -> None:
    result = import_filters([(".github/workflows/ci.yml", _WORKFLOW)])
    assert [target.name for target in result.draft.targets] == [
        "ci-push",
        "ci-pull_request",
        "shared",
        "src",
        "single",
    ]
    assert {target.kind for target in result.draft.targets} == {"manual"}
    assert (result.count, result.inexact) == (5, ())


@pytest.mark.parametrize(
    ("path", "status", "due"),
    [
        ("api/x.py", "modified", {"ci-push", "ci-pull_request"}),
        ("api/docs/x.md", "modified", {"ci-pull_request"}),
        ("api/docs/keep/x.md", "modified", {"ci-push", "ci-pull_request"}),
        ("docs/x.md", "modified", set()),
        ("common/x", "modified", {"ci-pull_request", "shared", "src"}),
        ("db/x", "added", {"ci-pull_request", "src"}),
        ("db/x", "deleted", {"ci-pull_request"}),
        ("go.mod", "type-changed", {"ci-pull_request", "single"}),
    ],
)
def test_a_path_calls_for_the_targets_whose_filters_match_it(
    path: str, status: str, due: set[str]
) -> None:
    assert _due(import_filters([(".github/workflows/ci.yml", _WORKFLOW)]), path, status) == due


def test_rules_and_comments_say_where_they_come_from() -> None:
    text = draft_to_toml(import_filters([(".github/workflows/ci.yml", _WORKFLOW)]).draft)
    assert (
        "# .github/workflows/ci.yml: on.push.paths\n# its patterns there: api/**  !api/docs/** "
        " api/docs/keep/**\n[targets.ci-push]" in text
    )
    assert 'name = "ci-push (2)"\npaths = ["api/docs/keep/**/*"]' in text
    assert "# .github/workflows/ci.yml: filter `shared`\n[targets.shared]" in text


# --- dorny/paths-filter


def test_an_exclamation_mark_alone_stands_for_everything_else() -> None:
    result = _dorny("a: ['src/**', '!docs/**']")
    assert [rule.paths for rule in result.draft.rules] == [("src/**",), ("!docs/**",)]


def test_an_exclusion_of_what_no_path_is_matches_everything() -> None:
    assert [rule.paths for rule in _dorny("a: ['!/docs']").draft.rules] == [("**",)]


def test_every_pattern_has_to_match_under_every() -> None:
    result = _dorny("a: ['**', 'src/**', '!**/*.md', '!src/gen/**']", "every")
    assert [rule.paths for rule in result.draft.rules] == [("src/**", "!**/*.md", "!src/gen/**")]


def test_two_patterns_that_include_cannot_be_said_under_every() -> None:
    result = _dorny("a: ['src/**', '**/*.ts', '!x']", "every")
    assert result.draft.targets == ()
    assert result.inexact == (
        (
            "ci.yml: filter `a`: pattern `**/*.ts`: it has to match together with another pattern"
            " (predicate-quantifier: every)"
        ),
    )


def test_a_filter_whose_only_inclusion_cannot_be_said_is_not_widened_under_every() -> None:
    assert _dorny("a: ['+(x)', '!y']", "every").draft.rules == ()


def test_an_exclusion_that_cannot_be_said_is_told_to_widen_the_filter() -> None:
    assert _dorny("a: ['src/**', '!+(x)']", "every").inexact[0].endswith("more matches than there")
    assert _dorny("a: ['src/**', '!+(x)']").inexact[0].endswith("cannot be expressed")
    assert (
        _on("  push: {paths-ignore: ['v[0-9]+', 'a']}")
        .inexact[0]
        .endswith("more matches than there")
    )


def test_an_exclusion_is_final_under_some_with_excludes() -> None:
    result = _dorny(
        "a: ['src/**', '!**/*.md', 'docs/x.md', '**/!(*.txt)']\nb: ['!x']", "some-with-excludes"
    )
    assert [rule.paths for rule in result.draft.rules] == [
        ("src/**", "docs/x.md", "!**/*.md"),
        ("**/*", "!**/*.txt", "!**/*.md"),
    ]
    assert result.inexact == ("ci.yml: filter `b`: no path can match it",)


def test_a_status_limits_its_own_patterns_only() -> None:
    rules = _dorny("a: [x, {added|renamed: [y, z]}, {deleted: y}]").draft.rules
    assert [(rule.paths, rule.changes) for rule in rules] == [
        (("x",), ()),
        (("y",), ("added", "deleted")),
        (("z",), ("added",)),
    ]


def test_a_status_that_never_occurs_is_told_and_matches_nothing() -> None:
    result = _dorny("a: [{copied: x}, {changed: y}]")
    assert result.draft.rules == ()
    assert "`copied` is left out" in draft_to_toml(result.draft)
    assert "`changed` is left out" in draft_to_toml(result.draft)


def test_a_pattern_that_cannot_be_said_is_a_comment_and_the_rest_is_imported() -> None:
    result = _dorny("a: ['src/**', '+(x)']")
    assert [rule.paths for rule in result.draft.rules] == [("src/**",)]
    assert (
        "# not imported: pattern `+(x)`: `+(…)` cannot be expressed\n[targets.a]"
        in draft_to_toml(result.draft)
    )
    assert "incomplete" in str(result.draft.targets[0].settings["instructions"])
    assert result.inexact == ("ci.yml: filter `a`: pattern `+(x)`: `+(…)` cannot be expressed",)


@pytest.mark.parametrize("patterns", ["['/x', 'a//b']", "[]"])
def test_a_filter_that_no_path_can_match_is_only_a_comment(patterns: str) -> None:
    result = _dorny(f"a: {patterns}")
    assert result.draft.targets == ()
    assert result.inexact == ("ci.yml: filter `a`: no path can match it",)
    assert "filter `a`: nothing is imported" in draft_to_toml(result.draft)


@pytest.mark.parametrize(
    ("filters", "quantifier", "text"),
    [
        (
            ".github/filters.yml",
            "",
            "its filters are in the file .github/filters.yml: import that file",
        ),
        ("", "", "it has no `filters`"),
        ("a: [x", "", "its `filters` cannot be read: line 2"),
        ("- a: x\n- b", "", "its `filters` are no mapping"),
        ("a: [x]", "none", "its `predicate-quantifier` is `none`"),
        ("a: 3", "", "`3` is not a pattern"),
        ("a:", "", "`null` is not a pattern"),
        ("a: [{added: {x: y}}]", "", "neither a pattern nor a list"),
        ("a: ['']", "", "it is empty"),
        ("a: ['${{ inputs.x }}/**']", "", "only GitHub knows"),
        ("a: &a [*a]", "", "holds itself"),
    ],
)
def test_a_filter_that_cannot_be_read_is_reported(filters: str, quantifier: str, text: str) -> None:
    result = _dorny(filters, quantifier)
    assert result.draft.targets == ()
    assert len(result.inexact) == 1
    assert text in result.inexact[0]


def test_a_file_of_its_own_is_read_as_filters() -> None:
    result = import_filters([(".github/filters.yml", "jobs: ['jobs/**']\non: x\napi: api/**")])
    assert [(rule.name, rule.paths) for rule in result.draft.rules] == [
        ("jobs", ("jobs/**",)),
        ("on", ("x",)),
        ("api", ("api/**",)),
    ]


def test_the_steps_of_a_composite_action_count() -> None:
    step = {"uses": "dorny/paths-filter@v3", "with": {"filters": "a: x"}}
    result = import_filters(
        [
            (
                "action.yml",
                yaml.safe_dump({"name": "x", "runs": {"using": "composite", "steps": [step]}}),
            )
        ]
    )
    assert [rule.paths for rule in result.draft.rules] == [("x",)]


# --- names


def test_one_name_in_two_files_is_one_target_only_if_they_say_the_same() -> None:
    result = import_filters(
        [
            ("a.yml", "app: x\nweb: w"),
            ("b.yml", "app: x\nweb: v"),
            ("c/b.yml", "web: u"),
            ("d/b.yml", "web: t"),
        ]
    )
    assert [target.name for target in result.draft.targets] == [
        "app",
        "web",
        "b-web",
        "b-web-2",
        "b-web-3",
    ]
    assert result.draft.targets[0].comment == ("a.yml: filter `app`", "b.yml: filter `app`")


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("module/a", "module/a"),
        ("a b!", "a-b"),
        (".x", "x"),
        ("a//b", "a-b"),
        ("é", "filter"),
        ("x" * 200, "x" * 80),
        ("null", "null"),
        ("1", "1"),
    ],
)
def test_a_name_that_no_target_can_have_is_mended(name: str, target: str) -> None:
    result = import_filters([("f.yml", yaml.safe_dump({name: "a/**"}))])
    assert [item.name for item in result.draft.targets] == [target]
    assert _due(result, "a/b") == {target}


# --- on.<event>.paths


def test_events_that_say_the_same_are_one_target() -> None:
    result = _on("  push: {paths: [a/**]}\n  pull_request: {paths: [a/**]}")
    assert [target.name for target in result.draft.targets] == ["ci"]
    assert (
        result.draft.targets[0].comment[0]
        == ".github/workflows/ci.yml: on.push.paths, on.pull_request.paths"
    )


@pytest.mark.parametrize(
    ("text", "output"),
    [
        (
            "  push: {paths: [a], paths-ignore: [b]}",
            "GitHub refuses `paths` and `paths-ignore` together",
        ),
        ("  push: {paths: 3}", "it is not a list of patterns"),
        ("  push: {paths: ['v[0-9]+']}", "pattern `v[0-9]+`: `+` repeats a character"),
        ("  push: {paths: ['!a']}", "no path can match it"),
    ],
)
def test_paths_that_cannot_be_said_are_reported(text: str, output: str) -> None:
    result = _on(text)
    assert (result.count, result.draft.targets) == (1, ())
    assert output in result.inexact[0]


@pytest.mark.parametrize(
    "text",
    [
        "  push:",
        "  push: {branches: [main]}",
        "  - push",
        "  workflow_call: {inputs: {paths: {type: string}}}",
    ],
)
def test_events_without_paths_are_no_filters(text: str) -> None:
    assert _on(text).count == 0


# --- whatever comes


_ITEMS = st.lists(
    st.tuples(
        st.sampled_from([None, None, "added", "modified|deleted"]),
        st.lists(
            st.sampled_from(
                ["a/**", "!a/b/**", "**/*.ts", "!**/*.ts", "**", "!/x", "/x", "b/*", "**/!(*.md)"]
            ),
            min_size=1,
            max_size=2,
        ),
    ),
    min_size=1,
    max_size=4,
)
_PATHS = ("a", "a/x.ts", "a/b/x.ts", "a/b/y", "b/x.ts", "b/c.md", "c/d/x.md", "x")


@given(_ITEMS, st.sampled_from(["some", "every", "some-with-excludes"]))
def test_statuses_lists_and_quantifiers_mean_what_they_mean_to_the_action(
    items: list[tuple[str | None, list[str]]], quantifier: str
) -> None:
    items = [(words, patterns if words else patterns[:1]) for words, patterns in items]
    result = _dorny(
        yaml.safe_dump(
            {"f": [{words: patterns} if words else patterns[0] for words, patterns in items]}
        ),
        quantifier,
    )
    assume(
        not result.inexact
        or (result.draft.rules == () and "no path can match" in result.inexact[0])
    )
    due = {(path, status) for path in _PATHS for status in STATUSES if _due(result, path, status)}
    assert due == {
        (path, status)
        for path in _PATHS
        for status in STATUSES
        if _action(items, quantifier, path, status)
    }


def _action(
    items: list[tuple[str | None, list[str]]], quantifier: str, path: str, status: str
) -> bool:
    """What the action says of one changed path, from what its single patterns say."""
    counting = [
        patterns for words, patterns in items if words is None or status in words.split("|")
    ]
    if quantifier == "every":
        return len(counting) == len(items) and all(
            any(_single(pattern, path) for pattern in patterns) for patterns in counting
        )
    flat = [pattern for patterns in counting for pattern in patterns]
    if quantifier == "some":
        return any(_single(item, path) for item in flat)
    return any(_single(item, path) for item in flat if not negates(item)) and all(
        _single(item, path) for item in flat if negates(item)
    )


def _single(pattern: str, path: str) -> bool:
    lines = from_picomatch(pattern)
    return bool(Matcher([lines]).match(path)) if lines else negates(pattern)


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("[a]", "it is neither a workflow nor a list of filters"),
        ("a: [", "line 2"),
        ("", "neither"),
    ],
)
def test_a_file_that_is_something_else_is_reported(text: str, output: str) -> None:
    result = import_filters([("x.yml", text), ("f.yml", "a: b")])
    assert output in result.inexact[0]
    assert [rule.paths for rule in result.draft.rules] == [("b",)]


_PATTERNS = st.sampled_from(
    [
        "a/**",
        "!a/b/**",
        "**/*.ts",
        "{a,b}/*",
        "!(a)/**",
        "+(a)",
        "/x",
        "",
        "[!a]",
        "a",
        "**",
        "${{ x }}",
    ]
)
_VALUES = st.recursive(
    _PATTERNS
    | st.dictionaries(
        st.sampled_from(["added", "added|deleted", "renamed", "x", ""]),
        _PATTERNS | st.lists(_PATTERNS, max_size=3),
        max_size=2,
    ),
    lambda inner: st.lists(inner, max_size=3),
)


@given(
    st.dictionaries(st.text("ab/. !é", max_size=4), _VALUES, max_size=4),
    st.sampled_from(["", "every", "some-with-excludes"]),
)
def test_whatever_the_filters_are_the_draft_is_a_valid_rules_file(
    filters: dict[str, object], quantifier: str
) -> None:
    result = _dorny(yaml.safe_dump(filters), quantifier)
    book = _book(result)
    assert len(book.rules.targets) <= max(result.count, 1)
    for status in STATUSES:
        touch([Change("a/b/c.ts", ChangeStatus(status))], book)


def test_a_rule_that_only_excludes_says_what_it_means() -> None:
    (rule,) = import_filters([("f.yml", "code: ['!docs/**']")]).draft.rules
    assert rule.comment == (
        (
            "Everything but what these patterns name; in dorny/paths-filter a `!` pattern matches"
            " all other files."
        ),
    )
    assert all(
        item.comment == () for item in import_filters([("f.yml", "code: ['src/**']")]).draft.rules
    )
