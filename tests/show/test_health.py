"""The table of `health`: what is said of each thing, each problem once, and nothing that moves a
cursor.
"""

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.screen_reader import assert_in_order
from toolkit.advice import Advice, NextCommand, SameOptions, ShellCommand
from toolkit.model import TargetState
from toolkit.operations import (
    DeployedBy,
    Depth,
    Finding,
    HealthLocation,
    HealthReport,
    HealthResult,
    HealthStatus,
    LiveVersion,
)
from toolkit.ports.aws.alarms import Alarm
from toolkit.show import health as show
from toolkit.show.health_rows import HealthView, WatchedRows, age
from toolkit.show.style import Role, pieces, plain
from toolkit.targets import alarms

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
COMMIT = "3e8a51c47b02d9f6a1c85e40b7d3926f18ce5a04"
DEV = HealthLocation("dev", "111111111111", "eu-west-1", None, "ada", "111111111111")
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


def result(*checkups: HealthReport, notes: tuple[Advice, ...] = ()) -> HealthResult:
    worst = HealthStatus.worst(report.status for report in checkups)
    return HealthResult(("dev",), worst, int(worst.is_bad), checkups, 0.5, notes, (), (DEV,))


def told(*checkups: HealthReport, width: int = 80, **view: Any) -> str:
    return plain(show.text(result(*checkups), HealthView(now=NOW, width=width, **view)))


def rows(text: str) -> list[str]:
    """The rows of the table."""
    return text.partition("\n\n")[2].partition("\n\n")[0].splitlines()[2:]


def problems(text: str) -> str:
    """What stands between the table and the last line."""
    return text.partition("\n\n")[2].partition("\n\n")[2].rpartition("\n\n")[0]


def test_the_status_of_a_row_has_a_colour_beside_its_word() -> None:
    roles = {HealthStatus.FAILING: "b", HealthStatus.UNKNOWN: "w", HealthStatus.WARNING: "w"}
    for status, role in roles.items():
        report = up("a", Finding("x", status, "d", cause="c"))
        text = show.text(result(report), HealthView(now=NOW))
        assert (str(status), Role(role)) in list(pieces(text))


def test_where_all_is_well_one_line_says_where_and_one_how_many() -> None:
    text = told(*(up(f"a{number}", OK) for number in range(47)))
    assert text == "dev (account 111111111111, eu-west-1) as ada\n\n47 ok in 500ms."


def test_what_is_healthy_has_a_row_only_where_somebody_asked_for_it_or_with_v() -> None:
    bad = Finding("service", HealthStatus.FAILING, "x", cause="gone")
    reports = (up("good", OK), up("bad", bad))
    assert [row.split()[0] for row in rows(told(*reports))] == ["bad"]
    assert [row.split()[0] for row in rows(told(*reports, named=True))] == ["bad", "good"]
    assert [row.split()[0] for row in rows(told(*reports, verbose=True))] == ["bad", "good"]


def test_the_worst_rows_come_first_and_of_these_the_credentials() -> None:
    def with_status(name: str, status: HealthStatus, kind: str = "app") -> HealthReport:
        return HealthReport(name, kind, "dev", None, (Finding("x", status, "d", cause="c"),))

    text = told(
        with_status("w", HealthStatus.WARNING),
        with_status("u", HealthStatus.UNKNOWN),
        with_status("f", HealthStatus.FAILING),
        with_status("credentials", HealthStatus.FAILING, "credentials"),
    )
    assert [row.split()[0] for row in rows(text)] == ["credentials", "f", "u", "w"]


@pytest.mark.parametrize(
    ("locations", "text"),
    [
        ((DEV, DEV), "dev (account 111111111111, eu-west-1) as ada"),
        (
            (DEV, replace(DEV, region="us-east-1")),
            "dev (account 111111111111, eu-west-1, us-east-1) as ada",
        ),
        (
            (replace(DEV, caller="", caller_account="", profile="admin"),),
            "dev (account 111111111111, eu-west-1), profile admin",
        ),
        (
            (replace(DEV, caller_account="999999999999"),),
            "dev (account 111111111111, eu-west-1) as ada of account 999999999999",
        ),
        (
            (HealthLocation(None, None, "eu-west-1", None, "ada", "1"),),
            "account 1, eu-west-1 as ada",
        ),
        ((HealthLocation("dev", None, None),), "dev"),
        ((HealthLocation(None, None, None),), "no environment"),
        ((replace(DEV, caller="\x1b[2Ja"),), None),
    ],
)
def test_the_first_line_says_where_it_was_checked_and_as_whom(
    locations: tuple[HealthLocation, ...], text: str | None
) -> None:
    [shown] = show.location_lines(locations)
    assert shown == text if text else shown.isprintable()


def test_the_row_says_the_cause_and_how_many_more_there_are_even_where_it_is_cut() -> None:
    one = Finding("service", HealthStatus.FAILING, "0 of 1", cause="the desired count is 0")
    two = Finding("image", HealthStatus.FAILING, "missing", cause="its image is gone " * 9)
    assert rows(told(up("a", one)))[0].endswith("  the desired count is 0")
    assert rows(told(up("a", one, two)))[0].endswith("  the desired count is 0 (+1)")
    [row] = rows(told(up("a", two, replace(two, cause="x"))))
    assert row.endswith("... (+1)")
    assert len(row) <= 80


def test_what_only_follows_from_another_failure_stands_in_its_paragraph() -> None:
    scaled = Finding("service", HealthStatus.FAILING, "0 of 0", cause="the desired count is 0")
    targets = Finding(
        "targets", HealthStatus.FAILING, "none", cause="no target", depth=Depth.BEHIND
    )
    answer = Finding(
        "http://a/", HealthStatus.FAILING, "x", cause="it returned 503", depth=Depth.ADDRESS
    )
    text = told(up("a", answer, targets, scaled))
    assert problems(text) == (
        "a: failing\n  the desired count is 0\n  also: no target\n  also: it returned 503"
    )
    assert "(+1)" not in text
    assert "  also: it returned 503" in problems(told(up("a", answer, targets)))
    assert problems(told(up("a", answer))) == "a: failing\n  it returned 503"


def test_an_alarm_follows_from_what_fails_and_hides_no_advice() -> None:
    logs = ("fix what its log says:", ShellCommand("aws logs tail", ("/app",)))
    answer = Finding("http://a/", HealthStatus.FAILING, "503", next=logs, depth=Depth.ADDRESS)
    rings = alarms.findings_about(["5xx"], {}, [Alarm("5xx", "ALARM", "over 5")], {})
    assert problems(told(up("a", *rings, answer))) == (
        "a: failing\n  503\n  also: alarm 5xx: over 5\n"
        "  next: fix what its log says:\n    aws logs tail /app"
    )
    assert "describe-alarm-history --alarm-name 5xx" in problems(told(up("a", *rings)))


def test_a_missing_alarm_is_a_problem_of_its_own_beside_what_fails() -> None:
    answer = Finding("http://a/", HealthStatus.FAILING, "503", next="x", depth=Depth.ADDRESS)
    missing = alarms.findings_about(["5xx"], {}, [], {})
    assert problems(told(up("a", *missing, answer))) == (
        "a: failing\n  503\n  next: x\n\n"
        "a: failing\n  there is no alarm 5xx\n  next: correct `alarms` in rules.toml"
    )


def test_advice_of_several_commands_is_told_whole_for_each_that_has_the_cause() -> None:
    def crashed(name: str) -> Finding:
        log = ShellCommand("aws logs tail", (f"/{name}",))
        fix = ("fix what its log says:", log, "; then", NextCommand("deploy-app", (name,)))
        last = (f"{name} has no database",)
        return Finding("service", HealthStatus.FAILING, "x", cause="exited", next=fix, log=last)

    assert problems(told(up("a", crashed("a")), up("b", crashed("b")))) == (
        "a, b: failing\n  exited\n  the log of a:\n    | a has no database\n"
        "  next: fix what its log says:\n    aws logs tail /a\n"
        "  then:\n    toolkit deploy-app a\n"
        "  next: fix what its log says:\n    aws logs tail /b\n"
        "  then:\n    toolkit deploy-app b"
    )


def test_the_words_over_commands_are_left_out_only_as_a_whole() -> None:
    long = "wait until the deployment which somebody else has begun is at its end, and ask"

    def waits(name: str, words: str) -> Finding:
        command = ShellCommand("aws ecs wait --services", (name,))
        return Finding("service", HealthStatus.WARNING, "x", cause="y", next=(words, command))

    text = problems(told(up("a", waits("a", f"{long} a")), up("b", waits("b", f"{long} b"))))
    assert (text.count("next: wait until"), text.count("ask a:"), text.count("ask b:")) == (2, 1, 1)
    text = problems(told(up("a", waits("a", long)), up("b", waits("b", long))))
    assert (text.count("next: wait until"), text.count("ask:")) == (1, 1)


def test_a_warning_explains_no_failure() -> None:
    drift = Finding("drift", HealthStatus.WARNING, "drifted", cause="changed by hand")
    answer = Finding(
        "http://a/", HealthStatus.FAILING, "x", cause="it returned 503", depth=Depth.ADDRESS
    )
    assert problems(told(up("a", answer, drift))) == (
        "a: failing\n  it returned 503\n\na: warning\n  changed by hand"
    )


def test_fifty_services_without_an_image_are_one_paragraph_with_one_command() -> None:
    def gone(name: str) -> Finding:
        again = NextCommand("deploy-app", (name,))
        cause = "its image is no longer in ECR"
        return Finding("image", HealthStatus.FAILING, "missing", cause=cause, next=again)

    names = [f"app{number}" for number in range(50)]
    text = problems(told(*(up(name, gone(name)) for name in names)))
    assert text.count("failing") == 1
    assert all(name in text.partition(": failing")[0] for name in names)
    assert text.splitlines()[-2:] == ["  next:", f"    toolkit deploy {' '.join(names)}"]


def test_commands_that_cannot_be_joined_stand_below_each_other_and_a_few_are_enough() -> None:
    def full(name: str) -> Finding:
        scale = ShellCommand("aws ecs update-service --service", (name,))
        return Finding("service", HealthStatus.FAILING, "x", cause="too few", next=scale)

    reports = [up(f"a{number}", full(f"a{number}")) for number in range(9)]
    shown = problems(told(*reports)).splitlines()[-8:]
    assert shown[0] == "  next:"
    assert shown[1:7] == [f"    aws ecs update-service --service a{number}" for number in range(6)]
    assert shown[7] == "  and 3 more like it; -v shows them"
    assert problems(told(*reports, verbose=True)).count("update-service") == 9


def test_commands_for_different_environments_are_not_joined() -> None:
    def report(name: str, env: str | None) -> HealthReport:
        again = NextCommand("deploy-app", (name,))
        finding = Finding("image", HealthStatus.FAILING, "x", cause="gone", next=again)
        return replace(up(name, finding), same=SameOptions(env=env))

    text = problems(told(report("a", None), report("b", "prod"), report("c", "prod")))
    assert text.splitlines()[-2:] == [
        "    toolkit deploy-app a",
        "    toolkit deploy b c --env prod",
    ]


def test_no_command_is_wrapped_however_narrow_the_terminal_is() -> None:
    command = ShellCommand("aws ecs update-service", ("--cluster", "c" * 90, "--service", "s"))
    finding = Finding("service", HealthStatus.FAILING, "x", cause="gone", next=command)
    assert f"\n    aws ecs update-service --cluster {'c' * 90} --service s\n" in told(
        up("a", finding), width=60
    )


def test_a_row_is_as_old_as_its_first_failure_and_never_as_its_deploy() -> None:
    live = LiveVersion(COMMIT, COMMIT, since="2026-11-20T12:00:00+00:00")
    late, early = "2026-11-27T11:40:00+00:00", "2026-11-27T10:00:00+00:00"
    one = Finding("service", HealthStatus.FAILING, "x", late, "one")
    two = Finding("tasks", HealthStatus.FAILING, "x", early, "two")
    assert "  2h ago  " in rows(told(up("a", one, two, live=live)))[0]
    [row] = rows(told(up("a", replace(one, since=None), live=live)))
    assert "ago" not in row
    [row] = rows(told(up("a", OK, live=live), named=True))
    assert "  7d ago  " in row


def test_who_deployed_what_is_live_is_said_once_and_in_a_column_where_there_is_room() -> None:
    deployed = DeployedBy("ada@laptop", "2026-11-27T09:00:00+00:00", "r1")
    one = Finding("service", HealthStatus.FAILING, "x", cause="one")
    two = Finding("tasks", HealthStatus.FAILING, "x", cause="two")
    live = LiveVersion(COMMIT, COMMIT)
    report = replace(up("a", one, two, live=live), deployed=deployed)
    assert problems(told(report)) == (
        "a: failing\n  one\n  live: 3e8a51c, deployed 3h ago by ada (run r1)\n\na: failing\n  two"
    )
    assert "  3h ago by ada  " in rows(told(report, width=120))[0]


def test_the_last_log_lines_of_what_failed_stand_below_its_cause() -> None:
    log = tuple(f"line {number}" for number in range(20))
    crash = Finding("tasks", HealthStatus.FAILING, "x", cause="it crashed", log=log)
    text = problems(told(up("a", crash)))
    assert text.splitlines()[2:] == [f"    | line {number}" for number in range(15, 20)]
    assert "    | line 0\n" in told(up("a", crash), verbose=True)


def test_q_names_what_is_not_well() -> None:
    bad = Finding("service", HealthStatus.FAILING, "x", cause="c")
    warned = Finding("drift", HealthStatus.WARNING, "x", cause="c")
    checked = result(up("w", warned), up("good", OK), up("b", bad))
    last = "1 ok, 1 failing, 1 warning in 500ms."
    assert show.names_text(checked, HealthView(now=NOW)) == f"b: failing\nw: warning\n{last}"
    assert (
        show.names_text(checked, HealthView(now=NOW, height=2)) == f"... and 2 more names\n{last}"
    )


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (80, 6), (60, 3)])
def test_a_screen_holds_the_worst_rows_and_the_last_line_whatever_its_size(
    width: int, height: int
) -> None:
    def report(number: int) -> HealthReport:
        status = HealthStatus.FAILING if number % 5 == 0 else HealthStatus.WARNING
        return up(f"a{number}", Finding("service", status, "x", cause=f"cause {number} " * 9))

    lines = told(*(report(n) for n in range(50)), width=width, height=height).splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert lines[-1] == "0 ok, 10 failing, 40 warning in 500ms."
    if height >= 24:
        assert sum("  failing  " in text for text in lines) == 10
        assert any(text.startswith("... and ") for text in lines)


def test_a_command_that_a_screen_cuts_does_not_look_whole() -> None:
    command = ShellCommand("aws ecs update-service", ("--cluster", "c" * 90, "--service", "s"))
    finding = Finding("service", HealthStatus.FAILING, "x", cause="gone", next=command)
    [shown] = [text for text in told(up("a", finding), height=24).splitlines() if "update-" in text]
    assert shown.endswith(" ...")


def test_while_it_is_watched_a_row_says_how_it_was_before() -> None:
    bad = Finding("service", HealthStatus.FAILING, "x", cause="c")
    watched = WatchedRows()
    for finding in (OK, bad):
        watched.update([up("a", finding), up("b", OK)])
    text = told(up("a", bad), up("b", OK), changes=watched.changes)
    assert ["failing (was ok)" in row for row in rows(text)] == [True]
    for _ in range(2):
        watched.update([up("a", OK), up("b", OK)])
    text = told(up("a", OK), up("b", OK), changes=watched.changes)
    assert ["ok (was failing)" in row for row in rows(text)] == [True]


def test_a_problem_that_many_have_is_told_once_with_all_of_them() -> None:
    bad = Finding(
        "credentials",
        HealthStatus.UNKNOWN,
        "no answer",
        cause="there are no AWS credentials",
        next="sign in: aws sso login",
    )
    text = told(*(up(f"a{number}", bad) for number in range(9)))
    assert text.count("  there are no AWS credentials\n  next:") == 1
    assert "a0, a1, a2, a3, a4, a5, a6, a7, a8: unknown\n" in text
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
    problems = text.partition("\n\n")[2].partition("\n\n")[2]
    assert (problems.count("another account"), problems.count("aws sso login")) == (1, 1)
    assert "app: unknown, for the same reason\n" in text


def test_the_worst_problems_are_told_first() -> None:
    text = told(
        up("a", Finding("drift", HealthStatus.WARNING, "w", cause="warned")),
        up("b", Finding("service", HealthStatus.FAILING, "f", cause="failed")),
    )
    assert text.index("failed") < text.index("warned")


def test_environments_and_regions_are_named_where_there_are_several() -> None:
    text = told(
        up("a", OK), up("a", OK, environment="prod"), up("a", OK, region="us-east-1"), named=True
    )
    assert [row.split("  ")[0] for row in rows(text)] == [
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
        (LiveVersion(None), None, "unknown"),
    ],
)
def test_what_is_live_is_said_short_and_whether_it_is_due(
    live: LiveVersion | None, state: TargetState | None, text: str
) -> None:
    [row] = rows(told(up("a", OK, live=live, state=state), named=True))
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
    assert age(since, NOW) == text


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
    assert show.detail(up("a", *signs))[0] == "2 of 2 tasks running, web:2 is deployed"


def test_a_row_that_fails_with_a_cause_is_not_called_unknown_for_the_same_reason() -> None:
    why: dict[str, Any] = {"cause": "the credentials have expired", "next": "sign in"}
    answer = Finding("http://a/", HealthStatus.FAILING, "503", cause="it returned 503")
    unknown = Finding("service", HealthStatus.UNKNOWN, "x", **why)
    expired = Finding("credentials", HealthStatus.FAILING, "x", **why)
    text = told(up("login", expired, replace(unknown, what="profile")), up("app", answer, unknown))
    assert problems(text).endswith("\n\napp: partly unknown, for the same reason")
    assert problems(told(up("login", expired, replace(unknown, what="profile")))) == (
        "login: failing\n  the credentials have expired\n  next: sign in"
    )
    text = told(up("login", expired), up("app", answer, unknown), up("queue", unknown))
    reason = ", for the same reason\n"
    assert text.count(reason) == 2
    assert f"\nqueue: unknown{reason}app: partly unknown{reason}" in text


def test_a_screen_reader_hears_the_place_the_worst_its_cause_the_command_and_the_sum() -> None:
    fix = ("fix what its log says:", ShellCommand("aws logs tail", ("/app",)))
    crash = Finding(
        "service",
        HealthStatus.FAILING,
        "0 of 2 tasks running",
        "2026-11-27T11:57:00+00:00",
        "exited with code 1",
        fix,
        log=("no database", "bye"),
        depth=Depth.ITSELF,
    )
    answer = Finding("http://a/", HealthStatus.FAILING, "503", depth=Depth.ADDRESS)
    expired = Finding(
        "stack", HealthStatus.UNKNOWN, "x", cause="expired", next="ask for a new login"
    )
    drift = Finding("drift", HealthStatus.WARNING, "drifted", cause="someone changed it by hand")
    deployed = DeployedBy("ada@laptop", "2026-11-27T09:00:00+00:00", "r1")
    reports = (
        up("queue", OK),
        up("topic", drift),
        up("jobs", expired),
        replace(up("app", answer, crash, live=LiveVersion(COMMIT, COMMIT)), deployed=deployed),
    )
    shown = show.text(result(*reports), HealthView(now=NOW))
    assert plain(shown) == (
        "dev (account 111111111111, eu-west-1) as ada\n"
        "\n"
        "target  status   live     since   detail\n"
        "------  -------  -------  ------  --------------------------\n"
        "app     failing  3e8a51c  3m ago  exited with code 1\n"
        "jobs    unknown  -                expired\n"
        "topic   warning  -                someone changed it by hand\n"
        "\n"
        "app: failing for 3m\n"
        "  exited with code 1\n"
        "  also: 503\n"
        "    | no database\n"
        "    | bye\n"
        "  live: 3e8a51c, deployed 3h ago by ada (run r1)\n"
        "  next: fix what its log says:\n"
        "    aws logs tail /app\n"
        "\n"
        "jobs: unknown\n"
        "  expired\n"
        "  next: ask for a new login\n"
        "\n"
        "topic: warning\n"
        "  someone changed it by hand\n"
        "\n"
        "1 ok, 1 failing, 1 unknown, 1 warning in 500ms."
    )
    assert_in_order(plain(shown))
    # What has a colour is a word that says the same.
    assert {text for text, role in pieces(shown) if role} <= set(HealthStatus)
    assert_in_order(told(*reports, width=120))
