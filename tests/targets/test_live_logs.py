"""What runs now writes this: across pages, streams, failures and deploys nothing is lost, and
nothing comes twice.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.aws import Endpoint
from tests.support.stacks import Stacks, template
from tests.targets.apps import AppStage
from toolkit.errors import Missing, NotAllowed, Throttled
from toolkit.operations import LogEvent, LogLook
from toolkit.ports.aws import logs
from toolkit.ports.aws.client import Aws
from toolkit.targets.app import live_logs
from toolkit.targets.app.kind import kind as app
from toolkit.targets.app.live_logs import DRAIN_S, TASKS_EVERY_S, LogStream, MergedStreams
from toolkit.targets.base import LogReader
from toolkit.targets.stack.kind import kind as stack

GROUP = "/ecs/web"


class Tailed:
    """Reads a service's logs on the stage's clock."""

    def __init__(self, stage: AppStage, since_s: float = 600) -> None:
        self.stage = stage
        self.since = stage.clock.now() - timedelta(seconds=since_s)
        self.reader: LogReader = app.logs(stage.job(), stage.ports, self.since)
        self.notes: list[str] = []

    def texts(self, after_s: float = 0) -> list[str]:
        """What is new after a while: the texts of all looks until there is no more."""
        self.stage.clock.advance(after_s)
        return [event.text for event in self.events()]

    def events(self) -> list[LogEvent]:
        events: list[LogEvent] = []
        while True:
            look = self.reader.read()
            events += look.events
            self.notes += look.notes
            if not look.more:
                return events


def task_ids(stage: AppStage, status: str = "RUNNING") -> list[str]:
    tasks = stage.service.cluster.tasks.values()
    arns = [str(task["taskArn"]) for task in tasks if task["desiredStatus"] == status]
    return [arn.rpartition("/")[2] for arn in arns]


def put(stage: AppStage, task: str, *texts: str, after_s: float = 0) -> None:
    moment = stage.clock.now() + timedelta(seconds=after_s)
    stage.endpoint.logs.put(GROUP, f"ecs/app/{task}", *texts, moment=moment)


def replaced(stage: AppStage, definition: str = "") -> None:
    """Somebody else deploys, and other tasks run."""
    stage.endpoint.ecs.foreign_update(stage.service, definition)
    for _ in range(5):
        stage.clock.advance(60)
        stage.endpoint.ecs.describe_services({"cluster": "main", "services": ["web"]})


def small_pages(endpoint: Endpoint, limit: int) -> None:
    """Let AWS answer with so many events at a time."""
    plain = endpoint.logs.get_log_events
    endpoint.on("logs", "GetLogEvents", lambda params: plain({**params, "limit": limit}))


def test_the_lines_of_what_runs_come_with_their_task_and_revision(stage: AppStage) -> None:
    [task] = task_ids(stage)
    put(stage, task, "one", "two")
    [one, two] = Tailed(stage).events()
    assert (one.text, two.text) == ("one", "two")
    assert one.source == f"web:1/{task[:8]}"
    assert one.when.tzinfo is not None


def test_what_was_written_before_is_left_out(stage: AppStage) -> None:
    [task] = task_ids(stage)
    put(stage, task, "long ago", after_s=-700)
    put(stage, task, "lately", after_s=-500)
    assert Tailed(stage).texts() == ["lately"]


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_no_event_is_lost_or_repeated_where_a_page_ends(stage: AppStage, limit: int) -> None:
    [task] = task_ids(stage)
    small_pages(stage.endpoint, limit)
    tailed = Tailed(stage)
    expected = [f"line {number}" for number in range(7)]
    put(stage, task, *expected)
    assert tailed.texts() == expected
    assert tailed.texts() == []
    put(stage, task, "more")
    assert tailed.texts() == ["more"]


def test_a_stream_that_does_not_exist_yet_is_read_from_its_first_line(stage: AppStage) -> None:
    tailed = Tailed(stage)
    assert tailed.texts() == []
    [task] = task_ids(stage)
    put(stage, task, "first words")
    assert tailed.texts(1) == ["first words"]


def test_a_deploy_is_followed_from_the_old_task_to_the_new_one(stage: AppStage) -> None:
    [old] = task_ids(stage)
    tailed = Tailed(stage)
    assert tailed.texts() == []
    stage.deployed()
    [new] = task_ids(stage)
    put(stage, old, "shutting down")
    put(stage, new, "hello")
    assert sorted(tailed.texts(TASKS_EVERY_S)) == ["hello", "shutting down"]
    assert f"task {new[:8]} of web:2 has started" in tailed.notes
    assert any(
        note.startswith(f"task {old[:8]} of web:1 has stopped: Scaling") for note in tailed.notes
    )
    put(stage, old, "last words")
    assert tailed.texts(TASKS_EVERY_S) == ["last words"]
    tailed.texts(DRAIN_S)
    stage.endpoint.calls.clear()
    tailed.texts(1)
    read = [call.params["logStreamName"] for call in stage.endpoint.calls.of("GetLogEvents")]
    assert set(read) == {f"ecs/app/{new}"}  # the old one costs no more calls
    assert len(tailed.notes) == len(set(tailed.notes))


def test_a_task_that_is_still_stopping_is_read_until_it_has_stopped(stage: AppStage) -> None:
    """ECS waits for its connections and its command's end, for minutes."""
    [old] = task_ids(stage)
    tailed = Tailed(stage)
    tailed.texts()
    stage.deployed()
    [task] = [task for arn, task in stage.service.cluster.tasks.items() if arn.endswith(old)]
    task["lastStatus"] = "DEACTIVATING"
    for _ in range(4):
        assert tailed.texts(DRAIN_S) == []
    assert not any("has stopped" in note for note in tailed.notes)
    put(stage, old, "last words")
    assert tailed.texts(1) == ["last words"]
    task["lastStatus"] = "STOPPED"
    put(stage, old, "very last words")
    assert tailed.texts(TASKS_EVERY_S) == ["very last words"]
    assert any(note.startswith(f"task {old[:8]} of web:1 has stopped") for note in tailed.notes)


def test_a_task_that_starts_and_ends_between_two_looks_is_read(stage: AppStage) -> None:
    tailed = Tailed(stage)
    tailed.texts()
    stage.deployed()
    [short] = task_ids(stage)
    replaced(stage)
    put(stage, short, "here and gone")
    assert tailed.texts(TASKS_EVERY_S) == ["here and gone"]


def test_a_task_that_ended_before_is_not_read(stage: AppStage) -> None:
    [old] = task_ids(stage)
    put(stage, old, "old words")
    stage.deployed()
    stage.clock.advance(900)
    assert Tailed(stage, since_s=600).texts() == []
    assert Tailed(stage, since_s=3000).texts() == ["old words"]


def test_two_tasks_are_merged_by_time(endpoint: Endpoint, tmp_path: Path) -> None:
    stage = AppStage(endpoint, tmp_path, desired=2)
    one, two = task_ids(stage)
    for second in range(0, 10, 2):
        put(stage, one, f"{second}", after_s=second)
        put(stage, two, f"{second + 1}", after_s=second + 1)
    small_pages(endpoint, 2)
    assert Tailed(stage).texts() == [str(number) for number in range(10)]


def test_what_was_read_before_a_failure_comes_with_the_next_look(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    stage = AppStage(endpoint, tmp_path, desired=2)
    one, two = task_ids(stage)
    put(stage, one, "a")
    put(stage, two, "b")
    tailed = Tailed(stage)
    endpoint.fault("GetLogEvents", 5, "throttle", skip=1)
    with pytest.raises(Throttled):
        tailed.reader.read()
    assert tailed.texts() == ["a", "b"]
    assert tailed.texts() == []


def test_a_failed_search_for_tasks_loses_nothing(stage: AppStage) -> None:
    [task] = task_ids(stage)
    tailed = Tailed(stage)
    put(stage, task, "a")
    stage.endpoint.fault("DescribeTasks", 5, "throttle")
    with pytest.raises(Throttled):
        tailed.reader.read()
    assert tailed.texts() == ["a"]


def test_no_permission_is_an_error_and_never_silence(stage: AppStage) -> None:
    stage.endpoint.fault("GetLogEvents", None, "denied")
    tailed = Tailed(stage)
    with pytest.raises(NotAllowed, match="logs:GetLogEvents"):
        tailed.reader.read()


def test_more_than_a_hundred_tasks_are_all_read(endpoint: Endpoint, tmp_path: Path) -> None:
    stage = AppStage(endpoint, tmp_path, desired=120)
    tasks = task_ids(stage)
    for task in tasks:
        put(stage, task, task)
    assert sorted(Tailed(stage).texts()) == sorted(tasks)


def test_too_many_logs_are_said(stage: AppStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_logs, "STREAMS_MOST", 0)
    tailed = Tailed(stage)
    tailed.texts()
    assert tailed.notes == ["only 0 logs are followed; there are more"]


def test_a_container_without_a_cloudwatch_log_is_said_once(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    stage = AppStage(endpoint, tmp_path)
    containers = [
        {"name": "app", "image": "web:1", "essential": True},
        {"name": "router", "image": "r", "logConfiguration": {"logDriver": "awsfirelens"}},
    ]
    definition = endpoint.ecs.definition("web", "web:1", containerDefinitions=containers)
    endpoint.ecs.foreign_update(stage.service, definition.arn)
    stage.clock.advance(60)
    tailed = Tailed(stage)
    for _ in range(3):
        tailed.texts(TASKS_EVERY_S)
    said = [note for note in tailed.notes if "writes no CloudWatch log" in note]
    assert said == [
        "container app of web:2 writes no CloudWatch log",
        "container router of web:2 writes no CloudWatch log",
    ]


def test_a_service_without_tasks_is_said_and_its_first_task_is_followed(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    stage = AppStage(endpoint, tmp_path, desired=0)
    tailed = Tailed(stage)
    assert tailed.texts() == []
    assert tailed.notes == ["no task of web is running"]
    stage.service.desired = 1
    endpoint.ecs.foreign_update(stage.service)
    stage.clock.advance(60)
    assert tailed.texts() == []
    [task] = task_ids(stage)
    put(stage, task, "up")
    assert tailed.texts(1) == ["up"]


def test_a_log_in_another_region_is_read_there(endpoint: Endpoint, tmp_path: Path) -> None:
    stage = AppStage(endpoint, tmp_path)
    regions: list[str | None] = []

    def cloud(profile: str | None, region: str | None) -> Aws:
        regions.append(region)
        return Aws(profile, region)

    options = {
        "awslogs-group": GROUP,
        "awslogs-region": "us-east-1",
        "awslogs-stream-prefix": "ecs",
    }
    container = {
        "name": "app",
        "image": "web:1",
        "logConfiguration": {"logDriver": "awslogs", "options": options},
    }
    definition = endpoint.ecs.definition("web", "web:1", containerDefinitions=[container])
    replaced(stage, definition.arn)
    [task] = task_ids(stage)
    endpoint.at("us-east-1", "logs").put(GROUP, f"ecs/app/{task}", "far", moment=stage.clock.now())
    stage.ports = type(stage.ports)(str(tmp_path), str(tmp_path), stage.clock, cloud)
    assert "far" in Tailed(stage).texts()
    assert "us-east-1" in regions


def test_a_service_that_does_not_exist_is_missing(stage: AppStage) -> None:
    job = stage.job({"service": "nothing"})
    with pytest.raises(Missing, match="nothing"):
        app.logs(job, stage.ports, datetime.now(UTC))


Pages = list[list[list[int]]]


@given(
    st.lists(
        st.lists(st.lists(st.integers(0, 50), max_size=4), min_size=1, max_size=5),
        min_size=1,
        max_size=4,
    )
)
def test_any_streams_in_any_pages_come_out_whole_and_in_order(streams: Pages) -> None:
    """Of each stream its pages, of each page the times of its events."""
    every: list[str] = []
    merged = MergedStreams(datetime.fromtimestamp(0, UTC))
    answers: dict[str, list[logs.LogPage]] = {}
    for number, pages in enumerate(streams):
        times = sorted(time for page in pages for time in page)
        name, begun = f"stream {number}", 0
        answers[name] = []
        for index, page in enumerate(pages):
            answered = tuple(
                {"timestamp": time * 1000, "message": f"{number}.{begun + position}"}
                for position, time in enumerate(times[begun : begun + len(page)])
            )
            begun += len(page)
            every += [str(event["message"]) for event in answered]
            answers[name].append(logs.LogPage(answered, f"{index + 1}", False))
        merged.add(_Scripted(name, answers[name]))
    events: list[LogEvent] = []
    for _ in range(100):
        events += merged.read()
        if not merged.has_more:
            break
    assert not merged.has_more
    assert sorted(event.text for event in events) == sorted(every)
    assert [event.when for event in events] == sorted(event.when for event in events)


class _Scripted(LogStream):
    """A stream whose pages are known."""

    def __init__(self, name: str, pages: list[logs.LogPage]) -> None:
        super().__init__(Aws(), "group", name, name)
        self._pages = pages

    def read_page(self, since_ms: int) -> list[LogEvent]:
        self.is_at_end = not self._pages
        if not self._pages:
            return []
        page = self._pages.pop(0)
        events = []
        for event in page.events:
            self.read_until = max(self.read_until, event["timestamp"])
            when = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
            events.append(LogEvent(when, self.source, event["message"]))
        return events


@pytest.fixture
def stacks(aws_endpoint: Endpoint, tmp_path: Path) -> Stacks:
    folder = tmp_path / "repo"
    folder.mkdir()
    created = Stacks(folder, Aws(None, "eu-west-1"))
    created.write(template({"Service": {"Type": "AWS::ECS::Service", "Properties": {}}}))
    return created


def stack_reader(stacks: Stacks, endpoint: Endpoint, since_s: float = 600) -> Callable[[], LogLook]:
    since = endpoint.clock.now() - timedelta(seconds=since_s)
    return stack.logs(stacks.job(), stacks.ports, since).read


def update(endpoint: Endpoint, name: str = "Shop") -> None:
    """Somebody else deploys the stack to its end."""
    cloud = endpoint.cloudformation
    cloud.next("success")
    params: dict[str, Any] = {"StackName": name, "ChangeSetName": "theirs"}
    cloud.next_change_set("complete")
    cloud.create_change_set({**params, "TemplateBody": "{}"})
    cloud.describe_change_set(params)
    cloud.execute_change_set(params)
    for _ in range(5):
        cloud.describe_stacks({"StackName": name})


def test_the_events_of_a_stack_come_once_whoever_deploys_it(
    stacks: Stacks, aws_endpoint: Endpoint
) -> None:
    aws_endpoint.cloudformation.stack("Shop", resources={"Service": "AWS::ECS::Service"})
    read = stack_reader(stacks, aws_endpoint)
    before = [event.text for event in read().events]
    assert read().events == ()
    update(aws_endpoint)
    looks = [read(), read()]
    texts = [event.text for look in looks for event in look.events]
    assert texts
    assert texts[-1] == "AWS::CloudFormation::Stack Shop UPDATE_COMPLETE"
    assert "AWS::CloudFormation::Stack Shop UPDATE_IN_PROGRESS" in texts
    assert not looks[1].events
    assert not set(before) & set(texts)


def test_events_from_before_are_left_out(stacks: Stacks, aws_endpoint: Endpoint) -> None:
    aws_endpoint.cloudformation.stack("Shop", resources={"Service": "AWS::ECS::Service"})
    update(aws_endpoint)
    aws_endpoint.clock.advance(700)
    assert stack_reader(stacks, aws_endpoint, 600)().events == ()
    assert stack_reader(stacks, aws_endpoint, 6000)().events != ()


def test_a_stack_that_does_not_exist_is_said_once_and_its_creation_is_followed(
    stacks: Stacks, aws_endpoint: Endpoint
) -> None:
    read = stack_reader(stacks, aws_endpoint)
    assert read() == LogLook(notes=("stack Shop has no events: it does not exist",))
    assert read() == LogLook()
    aws_endpoint.cloudformation.stack("Shop", resources={"Service": "AWS::ECS::Service"})
    update(aws_endpoint)
    assert read().events


def test_throttled_events_are_read_again(stacks: Stacks, aws_endpoint: Endpoint) -> None:
    aws_endpoint.cloudformation.stack("Shop", resources={"Service": "AWS::ECS::Service"})
    update(aws_endpoint)
    read = stack_reader(stacks, aws_endpoint)
    aws_endpoint.fault("DescribeStackEvents", 5, "throttle")
    with pytest.raises(Throttled):
        read()
    assert read().events


def test_a_stack_that_is_deleted_is_followed_to_its_end_and_the_next_one_too(
    stacks: Stacks, aws_endpoint: Endpoint
) -> None:
    cloud = aws_endpoint.cloudformation
    cloud.stack("Shop", resources={"Service": "AWS::ECS::Service"})
    update(aws_endpoint)
    read = stack_reader(stacks, aws_endpoint)
    read()
    arn = cloud.stacks["Shop"].arn
    cloud.next("success")
    cloud.delete_stack({"StackName": "Shop"})
    for _ in range(5):
        cloud.describe_stacks({"StackName": arn})
    texts = [event.text for event in read().events]
    assert texts[-1] == "AWS::CloudFormation::Stack Shop DELETE_COMPLETE"
    aws_endpoint.clock.advance(10)
    cloud.stack("Shop", resources={"Service": "AWS::ECS::Service"})
    update(aws_endpoint)
    assert read().events
