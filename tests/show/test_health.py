"""The table of `health`: what is said of each thing, each problem once, and nothing that moves a
cursor.
"""

from datetime import UTC, datetime
from typing import Any

import pytest

from toolkit.model import TargetState
from toolkit.operations import Finding, HealthReport, HealthStatus, LiveVersion
from toolkit.show import health as show

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
COMMIT = "3e8a51c47b02d9f6a1c85e40b7d3926f18ce5a04"
OK = Finding("service", HealthStatus.OK, "2 of 2 tasks running")


def up(
    name: str,
    *signs: Finding,
    environment: str | None = "dev",
    region: str | None = "eu-west-1",
    live: LiveVersion | None = None,
    state: TargetState | None = None,
) -> HealthReport:
    return HealthReport(name, "app", environment, region, signs, live, state)


def told(*checkups: HealthReport, width: int = 80, verbose: bool = False) -> str:
    return show.text(checkups, (), 0.5, NOW, width, verbose)


def test_a_problem_that_many_have_is_told_once_with_all_of_them() -> None:
    bad = Finding(
        "credentials",
        HealthStatus.UNKNOWN,
        "no answer",
        cause="there are no AWS credentials",
        next="sign in: aws sso login",
    )
    text = told(*(up(f"a{number}", bad) for number in range(9)))
    assert text.count("there are no AWS credentials") == 1
    assert "a0, a1, a2, a3, a4, a5 and 3 more: unknown" in text
    assert text.endswith("0 ok, 9 unknown in 500ms.")


def test_a_problem_that_some_fail_with_and_others_are_unknown_for_is_told_once() -> None:
    why: dict[str, Any] = {
        "cause": "these credentials are for another account",
        "next": "sign in: aws sso login",
    }
    text = told(
        up("credentials", Finding("credentials", HealthStatus.FAILING, "x", **why)),
        up("app", Finding("app", HealthStatus.UNKNOWN, "y", **why)),
    )
    assert (text.count("another account"), text.count("aws sso login")) == (1, 1)
    assert "app: unknown, for the same reason\n" in text


def test_the_worst_problems_are_told_first() -> None:
    text = told(
        up("a", Finding("drift", HealthStatus.WARNING, "w", cause="warned")),
        up("b", Finding("service", HealthStatus.FAILING, "f", cause="failed")),
    )
    assert text.index("failed") < text.index("warned")


def test_environments_and_regions_are_named_where_there_are_several() -> None:
    text = told(up("a", OK), up("a", OK, environment="prod"), up("a", OK, region="us-east-1"))
    assert [row.split("  ")[0] for row in text.splitlines()[2:5]] == [
        "dev a@eu-west-1",
        "prod a@eu-west-1",
        "dev a@us-east-1",
    ]


@pytest.mark.parametrize(
    ("live", "state", "text"),
    [
        (None, None, "-"),
        (LiveVersion(COMMIT, COMMIT), TargetState.CLEAN, "3e8a51c"),
        (LiveVersion(COMMIT, COMMIT), TargetState.DUE, "3e8a51c due"),
        (LiveVersion(f"{COMMIT}-dirty-5f0c2a9e7d31", COMMIT), TargetState.DUE, "3e8a51c+ due"),
        (LiveVersion("v1.4"), TargetState.UNKNOWN, "v1.4"),
        (LiveVersion(None), None, "?"),
    ],
)
def test_what_is_live_is_said_short_and_whether_it_is_due(
    live: LiveVersion | None, state: TargetState | None, text: str
) -> None:
    row = told(up("a", OK, live=live, state=state)).splitlines()[2]
    assert row.split("  ")[2:3] == [text] or f"  {text}  " in row


def test_what_is_due_is_told_with_the_command_that_says_why() -> None:
    assert told(up("a", OK, live=LiveVersion(COMMIT, COMMIT), state=TargetState.DUE)).endswith(
        "; 1 target is due.\nSee what is due:\n  toolkit diff live"
    )


@pytest.mark.parametrize(
    ("since", "text"),
    [
        ("2026-11-27T11:59:30+00:00", "just now"),
        ("2026-11-27T11:00:00+00:00", "1h ago"),
        ("2026-11-24T12:00:00+00:00", "3d ago"),
        ("2026-11-27T11:15:00+00:00", "45m ago"),
        ("nonsense", ""),
        (None, ""),
        ("2026-11-27T11:00:00", ""),
    ],
)
def test_since_when_is_told_as_people_say_it(since: str | None, text: str) -> None:
    assert show.age(since, NOW) == text


def test_no_word_of_aws_moves_a_cursor() -> None:
    text = told(
        up(
            "a",
            Finding(
                "service", HealthStatus.FAILING, "\x1b[2Jgone", cause="\x1b]0;x\x07", next="\u202ex"
            ),
        ),
        verbose=True,
    )
    assert not [char for char in text if not char.isprintable() and char != "\n"]
    assert "\u202e" not in text


def test_no_line_of_the_table_is_wider_than_the_terminal() -> None:
    long = Finding(
        "service",
        HealthStatus.FAILING,
        "many words " * 20,
        cause="one cause " * 30,
        next="a command " * 20,
    )
    assert max(len(line) for line in told(up("a-target-with-a-long-name", long)).splitlines()) <= 80


def test_details_are_those_of_the_thing_itself_whatever_came_first() -> None:
    signs = (
        Finding("http://a/health", HealthStatus.OK, "answers in 9ms"),
        Finding("image", HealthStatus.OK, "in ECR"),
        OK,
        Finding("deployment", HealthStatus.OK, "web:2 is deployed"),
    )
    assert show.detail(up("a", *signs)) == "2 of 2 tasks running, web:2 is deployed"
