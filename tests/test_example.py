"""The example application works, and both of its decision tables say the same."""

import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.run import ROOT
from toolkit import flow
from toolkit.model import ChangeStatus, Rule, Rules

EXAMPLE = ROOT / "examples" / "car-rental"
PREFIX = "examples/car-rental/"


def rules(path: Path) -> Rules:
    return flow.read_rules(path.read_bytes(), path.name)


def in_place(pattern: str) -> str:
    return f"!{PREFIX}{pattern[1:]}" if pattern.startswith("!") else PREFIX + pattern


def moved(rule: Rule) -> Rule:
    return replace(rule, paths=tuple(in_place(pattern) for pattern in rule.paths))


def test_the_top_level_table_is_the_example_in_place() -> None:
    ours, example = rules(ROOT / "rules.toml"), rules(EXAMPLE / "rules.toml")
    assert ours.rules == tuple(moved(rule) for rule in example.rules)
    assert ours.targets.keys() == example.targets.keys()
    for name, target in ours.targets.items():
        second = example.targets[name]
        assert (target.kind, target.needs, target.members, target.estimate_s) == (
            second.kind,
            second.needs,
            second.members,
            second.estimate_s,
        )


@pytest.mark.parametrize(
    ("path", "targets"),
    [
        ("backend/src/car_rental/api.py", ("app",)),
        ("backend/Dockerfile", ("app",)),
        ("lambda/login_handler/handler.py", ("login",)),
        ("lambda/tests/test_login.py", ()),
        ("cdk/stacks/api_stack.py", ("api", "login")),
        ("cdk/stacks/fargate_stack.py", ("fargate",)),
        ("cdk/stacks/network_stack.py", ("infra", "login")),
        ("cdk/app.py", ("infra", "login")),
        ("frontend/src/app.js", ("web",)),
        ("smoke/checks.toml", ()),
        ("backend/tests/test_rental_api.py", ()),
        ("README.md", ()),
    ],
)
def test_a_file_of_the_example_goes_where_its_readme_says(
    path: str, targets: tuple[str, ...]
) -> None:
    assert (EXAMPLE / path).is_file()
    assert (
        flow.rule_book(rules(EXAMPLE / "rules.toml")).impact_of(path, ChangeStatus.MODIFIED).targets
        == targets
    )
    assert (
        flow.rule_book(rules(ROOT / "rules.toml"))
        .impact_of(PREFIX + path, ChangeStatus.MODIFIED)
        .targets
        == targets
    )


@pytest.mark.parametrize("folder", ["backend/tests", "lambda/tests", "frontend"])
def test_the_examples_own_tests_pass(folder: str) -> None:
    alone = ["-p", "no:cacheprovider", "-p", "no:xdist", "-c", "/dev/null", f"--rootdir={EXAMPLE}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *alone, folder],
        cwd=EXAMPLE,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
