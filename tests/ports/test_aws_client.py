"""Calls to AWS whose answers are cut off, late or byte by byte, and answers that only look so."""

import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event, Thread

import boto3  # type: ignore[import-untyped]
import pytest
from botocore.exceptions import UnknownServiceError  # type: ignore[import-untyped]

from tests.support.aws import Endpoint
from toolkit.errors import (
    CloudError,
    NotAllowed,
    SourceProblem,
    Throttled,
    Unreachable,
    Unwell,
    WrongClock,
)
from toolkit.ports.aws import client, in_flight
from toolkit.ports.aws.client import Aws
from toolkit.ports.background import BackgroundTask, DaemonThread


@pytest.fixture
def aws(aws_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Aws:
    monkeypatch.setattr(client, "ATTEMPTS", 1)
    aws_endpoint.ecs.cluster("main")
    aws_endpoint.cloudformation.stack("Shop")
    return Aws(None, "eu-west-1")


@pytest.mark.parametrize(
    ("service", "operation", "params"),
    [
        ("ecs", "describe_clusters", {"clusters": ["main"]}),
        ("cloudformation", "describe_stacks", {"StackName": "Shop"}),
    ],
    ids=["json", "xml"],
)
def test_an_answer_that_was_cut_off_is_no_answer(
    aws: Aws, aws_endpoint: Endpoint, service: str, operation: str, params: dict[str, object]
) -> None:
    aws_endpoint.fault("*", times=1, kind="truncated")
    with pytest.raises(Unreachable, match="the answer was cut off"):
        aws.read(service, operation, **params)
    assert aws.read(service, operation, **params)


def test_answers_without_a_body_or_with_a_streamed_one_are_whole(
    aws: Aws, aws_endpoint: Endpoint
) -> None:
    aws_endpoint.s3.bucket("state")
    aws_endpoint.s3.put("state", "full", b"0123456789")
    aws_endpoint.s3.put("state", "empty", b"")
    assert aws.read("s3", "head_object", Bucket="state", Key="full")["ContentLength"] == 10
    assert aws.streamed("s3", "get_object", 4, Bucket="state", Key="full")[1] == b"0123"
    assert aws.streamed("s3", "get_object", 4, Bucket="state", Key="empty")[1] == b""
    assert [
        page["Key"] for page in aws.pages("s3", "list_objects_v2", "Contents", Bucket="state")
    ] == ["empty", "full"]
    aws.write("s3", "delete_object", Bucket="state", Key="full")
    with pytest.raises(CloudError):
        aws.read("s3", "head_object", Bucket="state", Key="full")


@pytest.mark.parametrize("pages", [False, True], ids=["call", "pages"])
def test_an_answer_that_drips_is_late_after_the_time_of_a_call(
    aws: Aws, aws_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, pages: bool
) -> None:
    """Each byte comes in time, so that no time-out of a socket ever ends it."""
    monkeypatch.setattr(client, "CALL_S", 0.6)
    aws_endpoint.fault("DescribeStacks", times=None, kind="drip", seconds=0.1)
    began = time.monotonic()
    with pytest.raises(Unreachable, match=r"longer than 0\.6 s"):
        (
            list(aws.pages("cloudformation", "describe_stacks", "Stacks"))
            if pages
            else aws.read("cloudformation", "describe_stacks")
        )
    assert 0.5 < time.monotonic() - began < 3


def test_a_call_of_a_thread_that_is_left_to_itself_anyway_takes_no_other_thread(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[Thread] = []
    start = Thread.start

    def counted(thread: Thread) -> None:
        began.append(thread)
        start(thread)

    aws.warm("ecs")
    monkeypatch.setattr(DaemonThread, "start", counted)
    within = BackgroundTask(lambda: aws.read("ecs", "describe_clusters", clusters=["main"])).within(
        20
    )
    assert (len(within["clusters"]), len(began)) == (1, 1), "the one that was left to itself"
    aws.read("ecs", "describe_clusters", clusters=["main"])
    assert len(began) == 2


@pytest.mark.parametrize(
    "service",
    ["cloudformation", "cloudwatch", "ecr", "ecs", "elbv2", "lambda", "logs", "s3", "sts"],
)
def test_the_models_are_botocores_own(service: str) -> None:
    ours, theirs = client._session(None, "eu-west-1"), boto3.Session(region_name="eu-west-1")
    model, second = (created._session.get_service_model(service) for created in (ours, theirs))
    assert model.operation_names == second.operation_names
    assert model.api_version == second.api_version
    paged, also = (created.client(service) for created in (ours, theirs))
    assert [paged.can_paginate(name) for name in paged.meta.method_to_api_mapping] == [
        also.can_paginate(name) for name in also.meta.method_to_api_mapping
    ]


def test_a_service_that_there_is_not_is_refused_as_by_botocore() -> None:
    with pytest.raises(UnknownServiceError, match="'nothing'"):
        client._session(None, "eu-west-1").client("nothing")


def test_models_of_ones_own_are_found_as_botocore_finds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    local = tmp_path / "ecs" / "2999-01-01"
    local.mkdir(parents=True)
    about = {"apiVersion": "2999-01-01", "serviceId": "ECS", "endpointPrefix": "ecs"}
    (local / "service-2.json").write_text(
        json.dumps({"metadata": about, "operations": {}, "shapes": {}})
    )
    assert (
        client._session(None, "eu-west-1")._session.get_service_model("ecs").api_version
        == "2999-01-01"
    )


def test_aws_is_told_who_asks(aws: Aws) -> None:
    assert re.fullmatch(
        r"toolkit/\S+ Boto3/\S+ Python/.*", aws._client("ecs", once=False).meta.config.user_agent
    )


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        ({"kind": "throttle"}, Throttled, "AWS is throttling"),
        ({"kind": "503"}, Unwell, "is having problems"),
        (
            {"kind": "error", "code": "RequestTimeTooSkewed", "message": "x", "status": 403},
            WrongClock,
            "clock",
        ),
        (
            {"kind": "denied", "resource": "arn:aws:ecs:::x"},
            NotAllowed,
            "ecs:DescribeClusters on arn:aws:ecs:::x$",
        ),
    ],
    ids=["throttle", "503", "clock", "denied"],
)
def test_refusals_become_what_they_mean(
    aws: Aws, aws_endpoint: Endpoint, fault: dict[str, object], kind: type[CloudError], text: str
) -> None:
    aws_endpoint.fault("*", times=None, **fault)  # type: ignore[arg-type]
    with pytest.raises(kind, match=text):
        aws.read("ecs", "describe_clusters")


def test_what_a_credential_process_says_is_not_repeated(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    config = f"{tmp_path}/config"
    with open(config, "w") as file:
        file.write("[profile broken]\ncredential_process = sh -c 'echo hunter2 >&2; exit 1'\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", config)
    with pytest.raises(SourceProblem, match="credential_process failed") as refused:
        Aws("broken", "eu-west-1").read("ecs", "describe_clusters")
    assert "hunter2" not in str(refused.value)


class Reads:
    """What was read together, and when; every key is its own answer."""

    def __init__(self, aws: Aws) -> None:
        self.aws, self.made, self.answers = aws, list[list[str]](), dict[str, object]()
        self.began = time.monotonic()
        self.after: list[float] = []

    def ask(self, keys: Sequence[str], every: float, most: int = 100) -> None:
        """Ask for each key in a thread of its own, the next one after that many seconds; wait for
        all.
        """
        threads = []
        for key in keys:
            threads.append(Thread(target=self._one, args=(key, most)))
            threads[-1].start()
            time.sleep(every)
        for thread in threads:
            thread.join()

    def _one(self, key: str, most: int) -> None:
        self.answers[key] = self.aws.gathered("reads", key, most, self.read)

    def read(self, keys: Sequence[str]) -> Mapping[str, str]:
        """One call."""
        self.made.append(list(keys))
        self.after.append(time.monotonic() - self.began)
        return {key: key for key in keys}


def test_reads_wait_for_the_next_as_long_as_another_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "WINDOW_S", 0.2)
    reads, keys = Reads(Aws()), [f"k{number}" for number in range(8)]
    reads.ask(keys, every=0.05)  # in all longer than the window of the first
    assert reads.made == [keys]
    assert reads.answers == {key: key for key in keys}


def test_reads_that_never_end_are_made_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "WINDOW_S", 0.1)
    monkeypatch.setattr(client, "WINDOWS", 3)
    reads = Reads(Aws())
    reads.ask([f"k{number}" for number in range(20)], every=0.04)
    assert 0.25 < reads.after[0] < 0.6
    assert sorted(key for keys in reads.made for key in keys) == sorted(reads.answers)
    assert len(reads.made) > 1


def test_reads_wait_for_those_that_are_known_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "WINDOW_S", 0.05)
    reads = Reads(Aws())
    with reads.aws.more_coming():
        first = Thread(target=reads.ask, args=(["k0"], 0))
        first.start()
        time.sleep(0.4)  # the window, eight times over
        second = Thread(target=reads.ask, args=(["k1"], 0))
        second.start()
        time.sleep(0.1)
        assert reads.made == []
    first.join()
    second.join()
    assert reads.made == [["k0", "k1"]]


def test_reads_do_not_wait_for_ever_for_those_that_are_known_to_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "COMING_S", 0.2)
    reads = Reads(Aws())
    with reads.aws.more_coming():
        reads.ask(["k0"], 0)
    assert reads.made == [["k0"]]


def test_reads_that_are_full_are_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "WINDOW_S", 5.0)
    reads = Reads(Aws())
    reads.ask([f"k{number}" for number in range(6)], every=0.01, most=3)
    assert reads.made == [["k0", "k1", "k2"], ["k3", "k4", "k5"]]
    assert reads.after[1] < 2


def test_several_keys_of_one_who_asks_are_split_by_what_a_call_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "WINDOW_S", 0.05)
    reads, keys = Reads(Aws()), [f"k{number}" for number in range(7)]
    assert reads.aws.gathered_all("reads", keys, 3, reads.read) == {key: key for key in keys}
    assert [len(keys) for keys in reads.made] == [3, 3, 1]


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        ("arn:aws:iam::111111111111:user/ada", "ada"),
        ("arn:aws:iam::111111111111:user/team/ada", "team/ada"),
        ("arn:aws:sts::111111111111:assumed-role/Admin/ada@example.com", "Admin/ada@example.com"),
        ("arn:aws:iam::111111111111:root", "root"),
        ("nonsense", "nonsense"),
    ],
)
def test_whose_the_credentials_are_is_read_from_their_arn(
    aws: Aws, aws_endpoint: Endpoint, arn: str, name: str
) -> None:
    identity = {"Account": "111111111111", "Arn": arn, "UserId": "u"}
    aws_endpoint.on("sts", "GetCallerIdentity", identity)
    assert aws.caller() == ("111111111111", name)
    assert aws.account() == "111111111111"


def test_a_watch_knows_the_calls_of_its_threads_that_have_no_answer_and_no_others() -> None:
    mine, theirs, release = in_flight.CallWatch(), in_flight.CallWatch(), Event()
    begun = Event()

    def call() -> None:
        with in_flight.waiting("ecs:ListTasks"):
            begun.set()
            release.wait(10)

    with in_flight.waiting("sts:GetCallerIdentity"), mine.active():
        thread = DaemonThread(call)
        thread.start()
        assert begun.wait(10)
        with in_flight.waiting(theirs), theirs.active(), in_flight.waiting("ecr:DescribeImages"):
            assert mine.names() == ("ecr:DescribeImages", "ecs:ListTasks")
            assert theirs.names() == ("ecr:DescribeImages",)
    release.set()
    thread.join()
    assert mine.names() == theirs.names() == ()
