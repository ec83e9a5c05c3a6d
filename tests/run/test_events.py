"""Whoever is told of a run: everything, in order, and whatever is wrong with one of them, neither
the run nor the others notice more than a second.
"""

import time
from collections.abc import Callable, Iterator
from threading import Event, Thread

import pytest

from tests.run.test_execute import RunStage, words
from toolkit.run import events
from toolkit.run.events import (
    Events,
    LogLine,
    Notice,
    RunEnded,
    RunEvent,
    RunPlanned,
    StepBegan,
    StepEnded,
)

SOON_S = 10.0


class Heard:
    """A listener that keeps what it is told. `on_take` is called with each event before."""

    def __init__(self, on_take: Callable[[RunEvent], object] = lambda event: None) -> None:
        self.events: list[RunEvent] = []
        self.closed = Event()
        self._on_take = on_take

    def take(self, event: RunEvent) -> None:
        self._on_take(event)
        self.events.append(event)

    def close(self) -> None:
        self.closed.set()


def lines(count: int) -> list[RunEvent]:
    return [LogLine("app", str(number)) for number in range(count)]


@pytest.fixture
def gate() -> Iterator[Event]:
    """What a stuck listener waits for: until the test is over at the latest."""
    event = Event()
    yield event
    event.set()


def elapsed(do: Callable[[], object]) -> float:
    began = time.monotonic()
    do()
    return time.monotonic() - began


def test_every_listener_gets_everything_in_order_also_what_came_right_before_the_end() -> None:
    first, second = Heard(), Heard()
    stream = Events([first, second])
    for event in lines(2000):
        stream.publish(event)
    stream.close()
    assert first.events == second.events == lines(2000)
    assert first.closed.is_set()
    assert second.closed.is_set()


def test_the_events_of_a_step_stay_in_order_whatever_others_say() -> None:
    heard = Heard()
    stream = Events([heard])

    def talk(step: str) -> None:
        for number in range(500):
            stream.publish(LogLine(step, str(number)))

    threads = [Thread(target=talk, args=(step,)) for step in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stream.close()
    for step in "abcd":
        texts = [
            event.text
            for event in heard.events
            if isinstance(event, LogLine) and event.step == step
        ]
        assert texts == [str(number) for number in range(500)]


def test_a_listener_that_is_slow_but_moves_is_waited_for_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "MOST", 10)
    monkeypatch.setattr(events, "PATIENCE_S", 0.4)
    heard = Heard(lambda event: time.sleep(0.02))
    stream = Events([heard])
    for event in lines(60):
        stream.publish(event)
    stream.close()
    assert heard.events == lines(60)


def test_a_listener_that_hangs_costs_a_second_in_all_and_the_others_hear_everything(
    monkeypatch: pytest.MonkeyPatch, gate: Event
) -> None:
    monkeypatch.setattr(events, "MOST", 10)
    stuck, healthy = Heard(lambda event: gate.wait()), Heard()
    stream = Events([stuck, healthy])

    def run() -> None:
        for event in lines(100):
            stream.publish(event)
        stream.close()

    assert elapsed(run) < events.PATIENCE_S + 0.8
    assert (healthy.events, stuck.events) == (lines(100), [])


def test_a_listener_that_moves_again_says_how_much_is_missing_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, gate: Event
) -> None:
    monkeypatch.setattr(events, "MOST", 3)
    monkeypatch.setattr(events, "PATIENCE_S", 0.2)
    heard = Heard(lambda event: gate.wait())
    stream = Events([heard])
    for event in lines(10):
        stream.publish(event)
    gate.set()
    until = time.monotonic() + SOON_S
    while len(heard.events) < 4 and time.monotonic() < until:
        time.sleep(0.005)
    stream.publish(Notice("app", "on it goes"))
    stream.close()
    assert heard.events == [
        *lines(4),
        Notice("toolkit", "6 messages were not shown"),
        Notice("app", "on it goes"),
    ]


def test_a_listener_that_was_left_behind_says_so_if_it_ever_moves_again(
    monkeypatch: pytest.MonkeyPatch, gate: Event
) -> None:
    monkeypatch.setattr(events, "PATIENCE_S", 0.2)
    heard = Heard(lambda event: gate.wait())
    stream = Events([heard])
    for event in lines(5):
        stream.publish(event)
    stream.close()
    gate.set()
    assert heard.closed.wait(SOON_S)
    assert heard.events == [*lines(1), Notice("toolkit", "4 messages were not shown")]


def test_a_listener_that_raises_is_told_nothing_more_and_the_others_hear_everything() -> None:
    def broken(event: RunEvent) -> None:
        raise ValueError("no such column")

    bad, healthy = Heard(broken), Heard()
    stream = Events([bad, healthy])

    def run() -> None:
        for event in lines(100):
            stream.publish(event)
        [problem] = stream.close()
        assert str(problem) == "no such column"

    assert elapsed(run) < events.PATIENCE_S
    assert (bad.events, healthy.events) == ([], lines(100))


def test_a_question_is_asked_after_what_was_said_before_and_nothing_is_shown_meanwhile() -> None:
    heard = Heard(lambda event: time.sleep(0.005))
    stream = Events([heard])
    for event in lines(20):
        stream.publish(event)
    with stream.paused():
        assert heard.events == lines(20)
        stream.publish(Notice("other", "goes on"))
        time.sleep(0.05)
        assert heard.events == lines(20)
    stream.close()
    assert heard.events == [*lines(20), Notice("other", "goes on")]


def test_a_question_keeps_no_other_step_waiting_however_much_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "MOST", 10)
    heard = Heard()
    stream = Events([heard])
    with stream.paused():
        began = time.monotonic()
        for event in lines(1000):
            stream.publish(event)
        assert time.monotonic() - began < 0.5
    stream.close()
    assert heard.events == [*lines(10), Notice("toolkit", "990 messages were not shown")]


def test_a_stuck_listener_keeps_no_question_from_being_asked(
    monkeypatch: pytest.MonkeyPatch, gate: Event
) -> None:
    monkeypatch.setattr(events, "PATIENCE_S", 0.2)
    stream = Events([Heard(lambda event: gate.wait())])
    stream.publish(Notice("app", "it would be deleted"))

    def ask() -> None:
        with stream.paused():
            pass

    assert elapsed(ask) < 1


@pytest.mark.parametrize("trouble", ["raises", "hangs"])
def test_whatever_is_wrong_with_a_listener_the_run_ends_as_it_would(
    monkeypatch: pytest.MonkeyPatch, gate: Event, trouble: str
) -> None:
    def wrong(event: RunEvent) -> None:
        if trouble == "raises":
            raise ValueError("no such column")
        gate.wait()

    healthy = Heard()
    stream = Events([Heard(wrong), healthy])
    stage = RunStage(monkeypatch)
    monkeypatch.setattr(stage.listener, "publish", stream.publish)

    def run() -> None:
        ran = stage.run()
        stream.close()
        assert (ran.exit, words(ran)) == (0, dict.fromkeys("abcd", "succeeded"))

    assert elapsed(run) < events.PATIENCE_S + 1.5
    assert stage.book.ended
    ended = [event.outcome.step for event in healthy.events if isinstance(event, StepEnded)]
    assert sorted(ended) == list("abcd")


def test_a_run_is_planned_its_steps_begin_and_end_and_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard = Heard()
    stream = Events([heard])
    stage = RunStage(monkeypatch)
    monkeypatch.setattr(stage.listener, "publish", stream.publish)
    ran = stage.run({"a": (), "b": ("a",)})
    stream.close()
    kinds = [type(event) for event in heard.events]
    assert kinds == [RunPlanned, StepBegan, StepEnded, StepBegan, StepEnded, RunEnded]
    [planned, *_, ended] = heard.events
    assert isinstance(planned, RunPlanned)
    assert isinstance(ended, RunEnded)
    assert ([job.step for job in planned.jobs], ended.result) == (["a", "b"], ran)
