"""Inputs against rules: what would be missed, and what would fix it."""

from collections.abc import Collection

from tests.support.repo import RULES
from toolkit.flow.rulebook import read_rules, rule_book
from toolkit.impact.touch import no_users
from toolkit.observed.classes import known_files
from toolkit.observed.missed import Judge, missed_inputs, proposals
from toolkit.operations import InputUse, MissedInput, ObservedInputs

FILES = (
    "backend/src/app.py",
    "backend/src/app.test.ts",
    "backend/src/deep/x.py",
    "lambda/a/handler.py",
    "lambda/b/handler.py",
    "lib/one.py",
    "lib/two.py",
    "config/queues.json",
    "config/new.topic",
    "topics/x.topic",
    "README.md",
    "poetry.lock",
)


def users(path: str) -> Collection[str]:
    return ["app"] if path == "lib/two.py" else no_users(path)


def judge(more: str = "", rules: str = RULES) -> Judge:
    book = rule_book(read_rules((rules + more).encode(), "rules.toml"))
    return Judge(book, users, frozenset(("rules.toml",)))


def missed(target: str, inputs: ObservedInputs, by: Judge) -> list[MissedInput]:
    return list(missed_inputs(inputs, target, by, known_files(FILES, ())))


def certain(target: str, by: Judge, **inputs: tuple[str, ...]) -> list[str]:
    """The paths that are missed for sure; of a folder with what would be new."""
    found = missed(target, ObservedInputs(**inputs), by)  # type: ignore[arg-type]
    return [each.example for each in found if not each.in_doubt]


def test_what_a_rule_matches_or_the_target_is_built_from_is_not_missed() -> None:
    read = ("backend/src/app.py", "lib/one.py", "lib/two.py", "rules.toml")
    assert certain("app", judge(), read=read) == ["lib/one.py"]


def test_why_and_the_line_that_decides_are_told() -> None:
    read = ("README.md", "backend/src/app.test.ts", "cdk/x", "lambda/a/handler.py", "lib/one.py")
    found = missed("app", ObservedInputs(read=read), judge())
    assert [(each.path, each.why) for each in found] == [
        ("README.md", "`ignore` covers it: **/*.md"),
        ("backend/src/app.test.ts", "rule App code excludes it: !backend/**/*.test.ts"),
        ("cdk/x", "it only belongs to rule Infrastructure"),
        ("lambda/a/handler.py", "it only belongs to rule Lambda"),
        ("lib/one.py", "no rule matches it"),
    ]
    lines = RULES.splitlines()
    assert lines[(found[0].line or 0) - 1] == 'ignore = ["**/*.md"]'
    assert "!backend/**/*.test.ts" in lines[(found[1].line or 0) - 1]
    assert found[0].pattern == ""  # no rule can help


def test_a_rule_that_does_not_count_a_change_or_a_deletion_is_no_rule() -> None:
    only_new = (
        '[[rules]]\nname = "New"\npaths = ["lib/**"]\nchanges = ["added"]\ndeploy = ["app"]\n'
    )
    assert certain("app", judge(only_new), read=("lib/one.py",)) == ["lib/one.py"]
    assert certain("app", judge(only_new), missing=("lib/three.py",)) == []


def test_a_group_is_due_when_all_in_it_are() -> None:
    read = ("cdk/app.py", "cdk/stacks/fargate_stack.py", "lambda/a/handler.py")
    assert certain("infra", judge(), read=read) == [
        "cdk/stacks/fargate_stack.py",
        "lambda/a/handler.py",
    ]
    assert certain("fargate", judge(), read=read) == ["lambda/a/handler.py"]


def test_unmatched_paths_count_where_a_target_takes_them() -> None:
    falls_back = RULES.replace("version = 1\n", 'version = 1\nunmatched = "infra"\n')
    assert certain("infra", judge(rules=falls_back), read=("lib/one.py",)) == []


def test_what_a_person_accepts_is_not_missed() -> None:
    accept = '[[accept]]\npath = "lib/**"\nreason = "comments"\n'
    assert certain("app", judge(accept), read=("lib/one.py",), listed=("lib",)) == []


def test_a_lock_file_counts_as_an_input() -> None:
    inputs = ObservedInputs(locks={"poetry.lock": "1"})
    found = missed("app", inputs, judge())
    assert [(each.use, each.path) for each in found] == [(InputUse.LOCKED, "poetry.lock")]


def test_of_a_folder_in_which_nothing_was_read_every_new_name_counts() -> None:
    assert certain("app", judge(), listed=("topics",)) == ["topics/toolkit-new"]


def test_of_a_folder_a_new_file_of_each_of_its_types_counts() -> None:
    """Names are an input, too: the topics were never opened."""
    config = '[[rules]]\nname = "C"\npaths = ["config/*.json"]\ndeploy = ["app"]\n'
    inputs = {"read": ("config/queues.json",), "listed": ("config",)}
    assert certain("app", judge(config), **inputs) == ["config/toolkit-new.topic"]
    wide = config.replace("*.json", "**")
    assert certain("app", judge(wide), **inputs) == []


def test_a_new_folder_counts_where_all_of_them_were_entered() -> None:
    narrow = '[[rules]]\nname = "L"\npaths = ["lambda/{a,b}/**"]\ndeploy = ["app"]\n'
    both = ("lambda/a/handler.py", "lambda/b/handler.py")
    listed = ("lambda",)
    assert certain("app", judge(narrow), read=both, listed=listed) == [
        "lambda/toolkit-new/toolkit-new.py"
    ]
    assert certain("app", judge(narrow), read=both[:1], listed=listed) == []


def test_a_new_file_of_another_type_is_in_doubt_and_so_is_one_in_the_root() -> None:
    narrow = '[[rules]]\nname = "L"\npaths = ["lib/*.py"]\ndeploy = ["app"]\n'
    inputs = ObservedInputs(read=("lib/one.py",), listed=("", "lib"))
    found = missed("app", inputs, judge(narrow))
    assert [(each.path, each.in_doubt) for each in found] == [("", True), ("lib", True)]


def test_patterns_go_to_the_rule_of_the_target_and_are_wide() -> None:
    inputs = ObservedInputs(
        read=("backend/src/app.py", "lib/one.py", "lib/three.py", "odd[1].txt"), listed=("topics",)
    )
    by = judge()
    (proposed,) = proposals(missed("app", inputs, by), "app", by, inputs)
    assert (proposed.rule, proposed.patterns) == (
        "App code",
        ("lib/**", r"odd\[1].txt", "topics/**"),
    )
    assert RULES.splitlines()[(proposed.line or 0) - 1].startswith("paths = ")


def test_what_the_rule_excludes_goes_to_a_rule_of_its_own() -> None:
    inputs = ObservedInputs(read=("backend/src/app.test.ts", "lib/one.py"))
    by = judge()
    first, second = proposals(missed("app", inputs, by), "app", by, inputs)
    assert (first.rule, first.patterns) == ("App code", ("lib/one.py",))
    assert (second.line, second.patterns) == (None, ("backend/src/app.test.ts",))


def test_a_rule_that_deploys_more_is_not_widened() -> None:
    inputs = ObservedInputs(read=("lib/one.py",))
    by = judge()
    (proposed,) = proposals(missed("fargate", inputs, by), "fargate", by, inputs)
    assert proposed.rule == "Environment"
    more = '[targets.other]\nkind = "manual"\ninstructions = "x"\n'
    by = judge(rules=RULES.replace("[[rules]]", f"{more}\n[[rules]]", 1))
    (proposed,) = proposals(missed("other", inputs, by), "other", by, inputs)
    assert (proposed.rule, proposed.line) == ("other: observed", None)
