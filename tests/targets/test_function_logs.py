"""What a function writes is read once each, whichever of its instances wrote it, and when."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.aws import Endpoint
from tests.targets.functions import FunctionStage
from toolkit.errors import Missing
from toolkit.operations import LogEvent
from toolkit.targets.base import LogReader
from toolkit.targets.function import live_logs
from toolkit.targets.function.kind import kind as function

GROUP = "/aws/lambda/mail"
OLD, NEW = "2026/11/30/[1]aaaa", "2026/11/30/[2]bbbb"
START = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture
def stage(aws_endpoint: Endpoint, tmp_path: Path) -> FunctionStage:
    return FunctionStage(aws_endpoint, tmp_path)


def put(stage: FunctionStage, stream: str, text: str, at_s: float) -> None:
    """An event of an instance."""
    moment = START + timedelta(seconds=at_s)
    stage.endpoint.logs.put(GROUP, stream, text, moment=moment)


def reader(stage: FunctionStage) -> LogReader:
    """A reader from the start on."""
    reading = function.logs(stage.job(), stage.ports, START)
    assert reading is not None
    return reading


def texts(events: tuple[LogEvent, ...]) -> list[str]:
    """Who wrote what."""
    return [f"{event.source} {event.text}" for event in events]


def test_events_of_all_instances_come_once_with_their_version(stage: FunctionStage) -> None:
    put(stage, OLD, "before", -60)
    put(stage, OLD, "first", 1)
    put(stage, NEW, "second", 2)
    reading = reader(stage)
    assert texts(reading.read().events) == ["mail:1 first", "mail:2 second"]
    assert reading.read().events == ()
    put(stage, NEW, "third", 3)
    assert texts(reading.read().events) == ["mail:2 third"]


def test_an_event_that_arrives_late_is_still_shown(stage: FunctionStage) -> None:
    put(stage, NEW, "young", 40)
    reading = reader(stage)
    assert texts(reading.read().events) == ["mail:2 young"]
    put(stage, OLD, "late", 15)
    assert texts(reading.read().events) == ["mail:1 late"]
    put(stage, OLD, "too late", 1)
    assert reading.read().events == ()


def test_a_log_that_nobody_has_written_to_is_said_once(stage: FunctionStage) -> None:
    reading = reader(stage)
    [note] = reading.read().notes
    assert GROUP in note
    assert reading.read().notes == ()
    put(stage, NEW, "now", 1)
    assert texts(reading.read().events) == ["mail:2 now"]


def test_pages_are_read_to_their_end_and_only_so_much_is_remembered(
    stage: FunctionStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_logs, "REMEMBERED", 3)
    for number in range(5):
        put(stage, NEW, f"line {number}", number * 60)
    reading = reader(stage)
    shown: list[str] = []
    while True:
        look = reading.read()
        shown += texts(look.events)
        if not look.more:
            break
    assert shown == [f"mail:2 line {number}" for number in range(5)]
    assert reading.read().events == ()


def test_a_function_that_does_not_exist_has_no_log(stage: FunctionStage) -> None:
    stage.lambdas.functions.clear()
    with pytest.raises(Missing):
        reader(stage)
