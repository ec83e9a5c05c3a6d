"""What is odd about rules, seen against the files that there are."""

import time

import pytest

from tests.impact.test_touch import HEAD, book, rule
from toolkit.impact.lint import MOST_COMPARED, MOST_HINTS, lint
from toolkit.model import Lint

FILES = ("lib/a.py", "lib/b.py", "lib/sub/c.py", "docs/a.md", "docs/b.md", "Makefile")


def on(*rules: str, files: tuple[str, ...] = FILES, head: str = HEAD) -> Lint:
    return lint(book(head + "".join(rules)), files, ("both",))


def found(lint: Lint) -> list[tuple[str, str]]:
    return [(finding.code, finding.message) for finding in lint.findings]


def test_rules_that_match_files_are_no_finding() -> None:
    assert (
        on(
            rule("one", '["lib/**"]', 'deploy = ["a"]'),
            rule("two", '["docs/**"]', 'deploy = ["b"]'),
        ).findings
        == ()
    )


def test_a_rule_that_matches_nothing_is_dead() -> None:
    assert found(on(rule("one", '["zzz/**", "yyy"]', 'deploy = ["a"]'))) == [
        ("dead-rule", "rule 'one' matches no tracked file")
    ]


def test_a_rule_whose_exclusions_leave_nothing_is_dead() -> None:
    assert found(on(rule("one", '["lib/**", "!**/*.py"]', 'deploy = ["a"]'))) == [
        ("dead-rule", "rule 'one' matches no tracked file")
    ]


def test_a_pattern_that_matches_nothing_is_dead_with_its_line() -> None:
    [finding] = on(rule("one", '[\n"lib/**",\n"zzz/**"]', 'deploy = ["a"]')).findings
    assert (finding.code, finding.message) == ("dead-pattern", "'zzz/**' matches no tracked file")
    assert finding.line == HEAD.count("\n") + 5


def test_an_exclusion_that_excludes_nothing_is_a_finding_of_its_own() -> None:
    assert [
        code for code, _ in found(on(rule("one", '["lib/**", "!lib/*.ts"]', 'deploy = ["a"]')))
    ] == ["dead-exclusion"]


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("lib", "it is a folder; did you mean 'lib/**'?"),
        ("Lib/**", "did you mean 'lib/**'?"),
        ("sub/**", "did you mean 'lib/sub/**'?"),
        ("libs/**", "did you mean 'lib/**'?"),
        ("makefile", "did you mean 'Makefile'?"),
        ("sub/c.py", "did you mean 'lib/sub/c.py'?"),
        ("LIB", "did you mean 'lib/**'?"),
        ("qqqq/**", ""),
        ("l[x]b/**", ""),
    ],
)
def test_a_dead_pattern_is_told_with_what_it_may_have_meant(pattern: str, hint: str) -> None:
    [finding] = on(rule("one", f'["{pattern}"]', 'deploy = ["a"]')).findings
    assert finding.hint == hint


def test_a_rule_whose_files_are_all_ignored_never_calls_for_anything() -> None:
    head = HEAD.replace("1\n", '1\nignore = ["docs/**"]\n', 1)
    assert [
        code for code, _ in found(on(rule("one", '["docs/*.md"]', 'deploy = ["a"]'), head=head))
    ] == ["ignored-rule"]


def test_a_rule_that_is_narrowed_away_for_every_file_is_shadowed() -> None:
    rules = (
        rule("wide", '["lib/**"]', 'deploy = ["both"]'),
        rule("narrow", '["lib/**"]', 'deploy = ["a"]'),
    )
    assert [code for code, _ in found(on(*rules))] == ["shadowed-rule"]


def test_a_wide_rule_that_has_some_file_of_its_own_is_none() -> None:
    rules = (
        rule("wide", '["lib/**"]', 'deploy = ["both"]'),
        rule("narrow", '["lib/sub/**"]', 'deploy = ["a"]'),
    )
    assert on(*rules).findings == ()


def test_a_shadowed_rule_with_a_check_still_counts() -> None:
    rules = (
        rule("wide", '["lib/**"]', 'deploy = ["both"]\nrun = ["smoke-test"]'),
        rule("narrow", '["lib/**"]', 'deploy = ["a"]'),
    )
    assert on(*rules).findings == ()


def test_rules_that_share_files_and_deploy_different_targets_overlap() -> None:
    rules = (
        rule("one", '["lib/**"]', 'deploy = ["a"]'),
        rule("two", '["**/c.py"]', 'deploy = ["b"]'),
    )
    assert found(on(*rules)) == [
        ("overlap", "'one' and 'two' share 1 file; each makes both deploy")
    ]


def test_rules_that_share_files_and_deploy_the_same_do_not_overlap() -> None:
    assert (
        on(
            rule("one", '["lib/**"]', 'deploy = ["a"]'),
            rule("two", '["**/c.py"]', 'deploy = ["a"]'),
        ).findings
        == ()
    )


def test_files_that_no_rule_owns_are_counted_by_folder() -> None:
    result = on(rule("one", '["lib/sub/**"]', 'deploy = ["a"]'))
    assert (result.files, result.unowned) == (6, (("docs/", 2), ("lib/", 2), ("Makefile", 1)))


def test_an_ignored_file_is_owned() -> None:
    head = HEAD.replace("1\n", '1\nignore = ["**/*.md", "Makefile"]\n', 1)
    assert on(rule("one", '["lib/**"]', 'deploy = ["a"]'), head=head).unowned == ()


def test_findings_come_in_the_order_of_their_lines() -> None:
    shadowed = (
        rule("wide", '["lib/**"]', 'deploy = ["both"]'),
        rule("narrow", '["lib/**"]', 'deploy = ["a"]'),
    )
    findings = on(*shadowed, rule("dead", '["zzz"]', 'deploy = ["a"]')).findings
    assert [finding.code for finding in findings] == ["shadowed-rule", "dead-rule"]
    assert [finding.line for finding in findings] == sorted(
        finding.line or 0 for finding in findings
    )


def test_only_the_first_dead_patterns_are_told_with_what_they_may_have_meant() -> None:
    patterns = ", ".join(['"Lib/**"'] * (MOST_HINTS + 5))
    hints = [
        finding.hint
        for finding in on(rule("one", f'["lib/**", {patterns}]', 'deploy = ["a"]')).findings
    ]
    assert hints == ["did you mean 'lib/**'?"] * MOST_HINTS + [""] * 5


def test_among_many_names_only_the_same_one_is_told() -> None:
    files = (*FILES, *(f"other/{position}/x" for position in range(MOST_COMPARED)))
    hints = [
        finding.hint
        for finding in on(
            rule("one", '["docs/**", "libs/**", "Lib/**"]', 'deploy = ["a"]'), files=files
        ).findings
    ]
    assert hints == ["", "did you mean 'lib/**'?"]


def test_a_thousand_dead_patterns_beside_a_thousand_files_are_told_in_seconds() -> None:
    patterns = "".join(f'"src/components/widget{position}/indx.ts",\n' for position in range(1000))
    files = tuple(f"src/components/thing{position}/index.ts" for position in range(1000))
    start = time.process_time()
    assert (
        len(on(rule("one", f'["src/**",\n{patterns}]', 'deploy = ["a"]'), files=files).findings)
        == 1000
    )
    assert time.process_time() - start < 5  # it takes 1 s


def test_a_pattern_for_a_path_that_is_awaited_is_not_dead() -> None:
    rules = HEAD + rule("one", '["lib/**", "new.txt", "no.txt"]', 'deploy = ["a"]')
    rules += rule("two", '["later/**"]', 'deploy = ["b"]')
    result = lint(book(rules), FILES, ("both",), awaited=("new.txt", "later/x"))
    assert found(result) == [("dead-pattern", "'no.txt' matches no tracked file")]
