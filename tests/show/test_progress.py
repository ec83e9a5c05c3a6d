"""The rows of the steps in progress: what they say, and that they fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.show.progress import RunningStep, running_lines, waiting_lines
from toolkit.show.style import Role, marked, plain


def rows(*steps: tuple[RunningStep, float], width: int = 80, most: int = 20) -> list[str]:
    return [plain(row) for row in running_lines(steps, width, most)]


def test_a_step_has_a_bar_against_its_estimate_its_phase_and_its_last_log_line() -> None:
    step = RunningStep("jobs", 150, phase="3 of 12 resources", last="AWS::SQS::Queue Jobs CREATED")
    assert rows((step, 75)) == [
        "- jobs  [#####-----] 1m15s of ~2m30s  3 of 12 resources",
        "  | AWS::SQS::Queue Jobs CREATED",
    ]
    assert rows((step, 75), width=120) == [
        "- jobs  [##########----------] 1m15s of ~2m30s  3 of 12 resources"
        "  AWS::SQS::Queue Jobs CREATED",
    ]


def test_a_step_that_takes_longer_than_its_estimate_has_no_bar_and_says_by_how_much() -> None:
    step = RunningStep("jobs", 60, phase="deleting")
    assert rows((step, 59)) == ["- jobs  [#########-]   59s of ~1m  deleting"]
    row = running_lines([(step, 120)], 80, 9)[0]
    assert plain(row) == "- jobs     2m, over by 1m  deleting"
    assert marked("   2m, over by 1m", Role.WARNING) in row
    assert rows((step, 61)) == ["- jobs   1m1s, over by 1s  deleting"]


def test_a_step_without_an_estimate_has_no_bar() -> None:
    assert rows((RunningStep("jobs", phase="comparing"), 12)) == ["- jobs    12s  comparing"]


def test_an_estimate_with_builds_counts_what_they_took() -> None:
    step = RunningStep("web", 100, built_s=40, phase="moving")
    assert rows((step, 10)) == ["- web  [#####-----]   10s of ~1m  moving"]
    assert rows((RunningStep("web", 150, built_s=1.2, phase="moving"), 15)) == [
        "- web  [#---------]   15s of ~2m30s  moving"
    ]
    assert rows((RunningStep("web", 100, built_s=130, phase="moving"), 10)) == [
        "- web    10s, over by 40s  moving"
    ]


def test_columns_of_all_rows_stand_below_each_other_also_where_one_has_no_bar() -> None:
    first, second = RunningStep("web", 100, phase="moving"), RunningStep("web:build", phase="one")
    texts = rows((first, 10), (second, 3))
    assert texts[0].index("moving") == texts[1].index("one")


def test_the_rows_fit_the_screen_and_say_how_many_are_hidden() -> None:
    steps = [(RunningStep(f"step{number}", last="a line"), 1.0) for number in range(9)]
    assert len(rows(*steps, most=18)) == 18
    assert len(rows(*steps, most=17)) == 9
    shown = rows(*steps, most=4)
    assert (len(shown), shown[-1]) == (4, "  6 more steps in progress")
    assert rows(*steps, most=0) == ["  9 more steps in progress"]
    assert rows() == []


def test_foreign_words_move_no_cursor() -> None:
    step = RunningStep("web", phase="a\x1b[2J", last="b\rc")
    assert rows((step, 1)) == ["- web     1s  a\\x1b[2J", "  | b\\rc"]


@given(
    st.lists(
        st.tuples(
            st.builds(
                RunningStep,
                st.text(min_size=1),
                st.floats(0, 1e5),
                st.floats(0, 1e5),
                st.text(),
                st.text(),
            ),
            st.floats(0, 1e5),
        ),
        max_size=5,
    ),
    st.integers(20, 200),
    st.integers(1, 12),
)
def test_no_row_is_wider_than_the_terminal_and_there_are_no_more_of_them(
    steps: list[tuple[RunningStep, float]], width: int, most: int
) -> None:
    shown = rows(*steps, width=width, most=most)
    assert len(shown) <= most
    widest = max(width, 44)  # how long it takes is never cut: the terminal itself does that
    assert all(len(row) <= widest for row in shown)
    assert not any("\n" in row or "\x1b" in row for row in shown)


def test_a_step_that_has_not_begun_says_what_it_waits_for() -> None:
    waiting = {"web": ["network", "data"], "jobs": list[str](), "x" * 90: ["web"]}
    lines = waiting_lines(waiting, 60, 9)
    assert lines[:2] == [
        "  web  waits for network, data",
        "  jobs  waits for another step to end (--parallel)",
    ]
    assert len(lines[2]) <= 60


@pytest.mark.parametrize("most", [3, 1, 0, -5])
def test_the_steps_that_wait_fit_the_screen(most: int) -> None:
    lines = waiting_lines({f"step{number}": ["a"] for number in range(9)}, 80, most)
    assert len(lines) == max(most, 1)
    assert lines[-1] == f"  {9 - len(lines) + 1} more steps waiting"
