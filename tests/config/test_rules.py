"""rules.toml becomes rules, or a list of everything that is wrong with it."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.config.wrong_rules import APP, HEAD, MANUAL, RULE, STACK, WRONG
from tests.support.repo import RULES
from tests.support.run import ROOT
from toolkit import flow
from toolkit.cli.rules_schema import schema
from toolkit.config import rules as rules_file
from toolkit.config.reader import MOST_PROBLEMS
from toolkit.config.schema import MOST_RULES
from toolkit.errors import Problem, RulesError
from toolkit.formats.durations import seconds
from toolkit.model import Accept, ChangeStatus, Environment, Need, Rule, Rules, Target
from toolkit.targets import base
from toolkit.targets.app.kind import kind as app
from toolkit.targets.app.settings import Build
from toolkit.targets.group.kind import kind as group
from toolkit.targets.stack.kind import kind as stack


def load(text: str) -> Rules:
    return flow.read_rules(text.encode(), "rules.toml")


def problems(text: str) -> list[Problem]:
    with pytest.raises(RulesError) as refused:
        load(text)
    return refused.value.problems


def test_a_file_that_is_right_becomes_the_model() -> None:
    text = """\
version = 1
project = "car-rental"
environment = "dev"
ignore = ["**/*.md"]
unmatched = "app"

[environments.dev]
account = "111111111111"
regions = ["eu-west-1"]
profile = "car-rental-dev"
protected = true
vars = { suffix = "-dev" }

[targets.app]
kind = "app"
cluster = "c{suffix}"
service = "s"
repository = "r"
build = { context = "backend", dockerfile = "backend/Dockerfile", platform = "linux/amd64" }
health = ["http://example.com/health"]
estimate = "1h2m3s"
needs = ["team/api"]

[targets."team/api"]
kind = "stack"
stack = "Api"
cdk = "cdk"

[targets.all]
kind = "group"
members = ["app", "team/api"]

[[rules]]
name = "App"
paths = ["backend/**", "!**/*.test.ts"]
deploy = ["app"]
run = ["smoke-test"]
changes = ["added", "deleted"]

[[accept]]
path = "LICENSE"
reason = "no code"
"""
    build = Build(context="backend", dockerfile="backend/Dockerfile", platform="linux/amd64")
    app_settings = app.Settings(
        cluster="c{suffix}",
        service="s",
        repository="r",
        build=build,
        health=("http://example.com/health",),
    )
    assert load(text) == Rules(
        file="rules.toml",
        text=text,
        project="car-rental",
        environment="dev",
        environments={
            "dev": Environment(
                "dev", "111111111111", ("eu-west-1",), "car-rental-dev", True, {"suffix": "-dev"}
            )
        },
        ignore=("**/*.md",),
        unmatched="app",
        targets={
            "app": Target(
                "app", "app", app_settings, "deploy-app", 3723, (Need("team/api"),), deadline_s=1800
            ),
            "team/api": Target(
                "team/api",
                "stack",
                stack.Settings(stack="Api", cdk="cdk"),
                "deploy-stack",
                300,
                deadline_s=5400,
            ),
            "all": Target(
                "all",
                "group",
                group.Settings(members=("app", "team/api")),
                "deploy",
                0,
                (),
                ("app", "team/api"),
            ),
        },
        rules=(
            Rule(
                "App",
                ("backend/**", "!**/*.test.ts"),
                ("app",),
                ("smoke-test",),
                ("added", "deleted"),
            ),
        ),
        accept=(Accept("LICENSE", "no code"),),
    )


def test_a_version_is_enough() -> None:
    rules = load(HEAD)
    assert (rules.unmatched, rules.rules, dict(rules.targets), rules.environment) == (
        "warn",
        (),
        {},
        None,
    )


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_with_its_line_and_what_was_expected(case: str) -> None:
    text, *messages = WRONG[case]
    with pytest.raises(RulesError) as refused:
        load(text)
    assert [line.removeprefix("rules.toml") for line in str(refused.value).split("\n")] == messages


def test_every_problem_is_told_at_once() -> None:
    keys = [
        problem.key
        for problem in problems(
            HEAD + 'unmatched = "x"\n' + STACK + 'estimate = "x"\n' + RULE.replace("a/**", "/a")
        )
    ]
    assert keys == ["targets.api.estimate", "rules[0].paths[0]", "unmatched"]


def test_a_target_that_is_broken_is_not_told_as_missing_besides() -> None:
    assert [problem.key for problem in problems(HEAD + "[targets.api]\nkind = 'x'\n" + RULE)] == [
        "targets.api.kind"
    ]


class Lorry(base.KindSettings, frozen=True, kw_only=True):
    """Settings of a kind, under a name that does not say so."""

    plate: str


class LorryKind(base.Kind):
    """What an installed package may bring."""

    name = "lorry"
    Settings = Lorry


def test_a_misspelt_key_of_all_targets_is_found_whatever_the_settings_of_a_kind_are_called() -> (
    None
):
    text = f'{HEAD}\n[targets.one]\nkind = "lorry"\nplate = "B-X 1"\nneds = []\n'
    with pytest.raises(RulesError) as refused:
        rules_file.load(text.encode(), "rules.toml", {"lorry": LorryKind()}, ("lorry",))
    assert "did you mean 'needs'?" in refused.value.problems[0].message


def test_a_long_list_of_problems_is_cut() -> None:
    assert len(problems(HEAD + "ignore = [\n" + '"/a",\n' * 100 + "]\n")) == MOST_PROBLEMS


def test_a_path_that_is_no_utf8_has_its_line() -> None:
    with pytest.raises(RulesError) as refused:
        flow.read_rules(b"version = 1\nproject = '\xff'\n", "rules.toml")
    assert str(refused.value) == "rules.toml:2: it is not UTF-8"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0s", 0),
        ("45s", 45),
        ("2m", 120),
        ("2m30s", 150),
        ("1h", 3600),
        ("1h1s", 3601),
        ("999h", 3596400),
        ("90m", 5400),
        ("90s", 90),
        ("0h0m0s", 0),
    ],
)
def test_a_duration_is_hours_minutes_and_seconds(text: str, expected: int) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "5", "m", "2m ", " 2m", "2s1m", "1d", "-1s", "1.5m", "1m1m", "1000h", "2 m", "2m\n", "h1"],
)
def test_what_is_no_duration_is_none(text: str) -> None:
    assert seconds(text) is None


@pytest.mark.parametrize("name", ["a", "_", "A.b-c_d", "team/api", "a/b/c.d", "0", "targets"])
def test_a_name_may_be_a_path_of_words(name: str) -> None:
    assert set(load(f'{HEAD}[targets."{name}"]\n{MANUAL}').targets) == {name}


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-a",
        ".a",
        "a b",
        "a;b",
        "$(a)",
        "a//b",
        "/a",
        "a/",
        "a\\nb",
        "--yes",
        "é",
        "a/-b",
        "a/../b",
    ],
)
def test_a_name_that_a_shell_or_a_command_line_could_take_for_something_else_is_refused(
    name: str,
) -> None:
    assert "a name is made of" in problems(f'{HEAD}[targets."{name}"]\n{MANUAL}')[0].message


def test_a_deploy_may_take_no_time() -> None:
    assert load(HEAD + STACK + 'estimate = "0s"\n').targets["api"].estimate_s == 0


def test_a_variable_must_be_known_in_every_environment() -> None:
    good = (
        '[environments.dev]\nvars = { suffix = "" }\n[environments.prod]\nvars = { suffix ='
        ' "-prod" }\n'
    )
    assert load(HEAD + good + STACK.replace("Api", "Api{suffix}"))
    assert (
        len(problems(HEAD + good + "[environments.test]\n" + STACK.replace("Api", "Api{suffix}")))
        == 1
    )


def test_braces_that_name_no_variable_are_left_alone() -> None:
    assert load(HEAD + "[environments.dev]\n" + STACK.replace("Api", "Api{} {1} { a }"))


@pytest.mark.parametrize(
    "key",
    [
        "AKIAABCDEFGHIJKLMNO",
        "akiaabcdefghijklmnop",
        "XAKIAABCDEFGHIJKLMNOP",
        "hooks.slack.com/apps",
        "PUBLIC KEY",
    ],
)
def test_what_only_resembles_a_credential_is_no_reason_to_refuse(key: str) -> None:
    assert load(f'{HEAD}project = "{key}"\n')


def test_groups_may_share_members_and_hold_groups() -> None:
    groups = "".join(
        f'[targets.{name}]\nkind = "group"\nmembers = {members}\n'
        for name, members in (("a", "['api', 'app']"), ("b", "['a']"))
    )
    assert load(
        HEAD
        + STACK
        + APP
        + groups
        + '[targets.c]\nkind = "group"\nmembers = ["app"]\nneeds = ["api"]\n'
    )


@cache
def hostile_rules() -> dict[str, str]:
    def rule(name: str, deploy: list[str]) -> str:
        return (
            f'[[rules]]\nname = "{name}"\npaths = ["a"]\ndeploy = [\n'
            + "".join(f'"{word}",\n' for word in deploy)
            + "]\n"
        )

    def a_group(name: str, member: str) -> str:
        return f'[targets.{name}]\nkind = "group"\nmembers = ["{member}"]\n'

    def near(length: int, number: int) -> str:
        targets, deploy = (
            [f"{half * length}{position}" for position in range(number)] for half in ("ab", "ba")
        )
        return "".join(f"[targets.{name}]\n{MANUAL}" for name in targets) + rule("x", deploy)

    text = f"[targets.m]\n{MANUAL}"
    chain = ["m", *(f"g{position}" for position in range(9_000))]
    half = chain[: len(chain) // 2]
    return {
        "names that are nearly right": near(18, 490),
        "long names that are nearly right": near(48, 900),
        "many names that are nearly right": near(18, 999),
        "one name again and again": text + a_group("g", "m") + rule("x", ["g"] * 20_000),
        "braces": "ignore = [\n"
        + "".join(f'"{position}{"{a,b}" * 9}",\n' for position in range(4000))
        + "]\n",
        "stars in names": (
            "ignore = [\n"
            + "".join(f'"{"**/a" * 200}{position}",\n' for position in range(300))
            + "]\n"
        ),
        "wrong patterns": "ignore = [\n"
        + "".join(f'"/{position}",\n' for position in range(20_000))
        + "]\n",
        "environments": (
            "".join(f"[environments.e{position}]\n" for position in range(3000))
            + STACK.replace("Api", "{a}{b}{c}")
        ),
        "a long chain of groups": (
            text
            + "".join(a_group(name, member) for member, name in pairwise(half))
            + "".join(rule(name, [name]) for name in half)
        ),
        "a longer chain of groups": (
            text + "".join(a_group(name, member) for member, name in pairwise(chain))
        ),
        "groups of all that came before": (
            text
            + "".join(
                a_group(f"g{position}", '", "'.join(chain[: position + 1]))
                for position in range(400)
            )
        ),
        "a group that needs a group": (
            "".join(f"[targets.{name}]\n{MANUAL}" for name in half)
            + a_group("one", '",\n"'.join(half[:2000]))
            + a_group("two", '",\n"'.join(half[2000:]))
            + 'needs = ["one"]\n'
        ),
        "all need the same one": (
            text + "".join(f"[targets.{name}]\n{MANUAL}needs = ['m']\n" for name in chain[1:])
        ),
        "a long chain of needs": (
            "".join(
                f"[targets.{name}]\n{MANUAL}needs = ['{need}']\n" for need, name in pairwise(half)
            )
            + text
            + "".join(rule(name, [name]) for name in half)
        ),
        "many small targets": "".join(f"[targets.{name}]\n{MANUAL}" for name in chain),
        "targets that each have a rule": (
            "".join(f"[targets.{name}]\n{MANUAL}" for name in half)
            + "".join(rule(name, [name]) for name in half)
        ),
        "many targets in many environments": (
            "".join(
                f'[targets.{name}]\nkind="stack"\ncdk="c"\nstack="{name}{{a}}"\n' for name in half
            )
            + "".join(
                f'[environments.e{position}]\nvars.a="{position}"\n' for position in range(10_000)
            )
        ),
        "many empty variables": (
            "".join(
                f'[targets.{name}]\nkind="stack"\ncdk="c"\nstack="{name}{{a}}"\n' for name in half
            )
            + "".join(f'[environments.e{position}]\nvars.a=""\n' for position in range(10_000))
        ),
        "rules": "[[rules]]\n" * MOST_RULES,
    }


@pytest.mark.slow("bombs", keep=5)
@pytest.mark.parametrize("case", hostile_rules())
def test_hostile_rules_are_loaded_or_refused_within_a_second(case: str) -> None:
    text = HEAD + hostile_rules()[case]
    start = time.process_time()
    with suppress(RulesError):
        flow.rule_book(load(text)).impact_of("a", ChangeStatus.ADDED)
    # At the limits it takes half of a second on a quiet machine; coverage makes it several.
    assert time.process_time() - start < (8 if sys.gettrace() else 2)


@given(st.data())
def test_a_damaged_file_is_loaded_or_refused_with_lines_that_are_there(data: st.DataObject) -> None:
    lines = RULES.split("\n")
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(lines) - 1))
        how = data.draw(st.sampled_from(("drop", "repeat", "cut", "swap", "word")))
        second = data.draw(st.integers(0, len(lines) - 1))
        if how == "drop":
            lines[position] = ""
        elif how == "repeat":
            lines.insert(second, lines[position])
        elif how == "cut":
            lines[position] = lines[position][: data.draw(st.integers(0, len(lines[position])))]
        elif how == "swap":
            lines[position], lines[second] = lines[second], lines[position]
        else:
            lines[position] = lines[position].replace(
                '"', data.draw(st.sampled_from(("", "'", '"x', "[", "5"))), 1
            )
    try:
        load("\n".join(lines))
    except RulesError as refused:
        names = refused.problems
    else:
        names = []
    assert all(problem.line is None or 1 <= problem.line <= len(lines) for problem in names)


def test_a_circle_is_told_in_the_same_words_every_time() -> None:
    names = [f"t{position}" for position in range(8)]
    text = (
        HEAD
        + f"[targets.A]\n{MANUAL}needs = {names}\n"
        + "".join(f"[targets.{name}]\n{MANUAL}needs = ['{name}']\n" for name in names)
    )
    program = "import sys; from toolkit import flow; flow.read_rules(sys.stdin.buffer.read(), 'r')"
    message = set()
    for seed in "123":
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", program],
            input=text.encode(),
            env=environment,
            capture_output=True,
            check=False,
        )
        message.add(done.stderr.splitlines()[-1])
    assert len(message) == 1


def test_no_pattern_of_a_text_allows_a_line_break_at_its_end() -> None:
    """Python's `$` is also before a last line break: a header or a path would keep it."""
    patterns = set(_patterns(schema()))
    assert len(patterns) > 15
    open_ended = {text for text in patterns if re.search(r"\$(\||\Z)", text)}
    assert open_ended == set()


def _patterns(part: object) -> Iterator[str]:
    """The patterns of all values in a JSON Schema. Names of keys have their own check."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "pattern" and isinstance(value, str):
                yield value
            elif key != "propertyNames":
                yield from _patterns(value)
    elif isinstance(part, list):
        for value in part:
            yield from _patterns(value)
