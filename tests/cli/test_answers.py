"""Answers of AWS that are not of AWS's own form: null, a list, a missing field, another type. They
are unknown, or in doubt: no bug of ours, and nothing that is well.
"""

import copy
import json
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.cli.test_deploy_errors import Deploys
from tests.cli.test_deploy_errors import shop as shop
from tests.support.aws import Endpoint
from tests.support.modes import by_mode
from toolkit.errors import Unexpected
from toolkit.ports.aws import answers, client
from toolkit.ports.aws.client import Aws

AT_ONCE, SEEDS = by_mode(10, 60, 1 << 32), by_mode(1, 4, 40)
INSTEAD: tuple[Any, ...] = (None, [], {}, "x", -1, 7.5, True, [None], ["x"], [[]], "MISSING")


class Spoiler:
    """Changes the body of the answers to one operation, for so many calls of it; keeps the last
    whole one.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.operation, self.left = "", 0
        self.change: Callable[[bytes], bytes] = bytes
        self.seen: dict[str, bytes] = {}
        self._whole = client._refuse_cut_off
        patch.setattr(client, "_refuse_cut_off", self)

    def spoil(self, operation: str, change: Callable[[bytes], bytes], times: int = 1000) -> None:
        self.operation, self.change, self.left = operation, change, times

    def __call__(self, response_dict: dict[str, Any], operation_model: Any, **more: Any) -> None:
        self._whole(response_dict, operation_model, **more)
        body = response_dict["body"]
        if response_dict["status_code"] >= 300 or not isinstance(body, bytes):
            return
        self.seen[operation_model.name] = body
        if operation_model.name == self.operation and self.left > 0:
            self.left -= 1
            response_dict["body"] = self.change(body)


@pytest.fixture(autouse=True)
def _patient(shop: Deploys, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine's answers are late, and that is not what is meant here."""
    monkeypatch.setattr(client, "READ_S", 10)
    monkeypatch.setattr(client, "CALL_S", 30.0)


@pytest.fixture
def spoiler(monkeypatch: pytest.MonkeyPatch) -> Spoiler:
    return Spoiler(monkeypatch)


def locations(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a JSON value something can be changed."""
    yield path
    inside = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document[:1])
        if isinstance(document, list)
        else ()
    )
    for key, value in inside:
        yield from locations(value, (*path, key))


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    whole = copy.deepcopy(document)
    inner = whole
    for key in path[:-1]:
        inner = inner[key]
    if value == "MISSING":
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return whole


def mutants(body: bytes) -> list[Callable[[bytes], bytes]]:
    """Every change of one field of a body."""
    if body.lstrip().startswith(b"<"):
        return [
            _xml(position, how)
            for position in range(body.count(b"</"))
            for how in ("gone", "", "x", "-1")
        ]
    document = json.loads(body)
    return [
        (lambda _, path=path, value=value: json.dumps(changed(document, path, value)).encode())  # type: ignore[misc]
        for path in locations(document)
        for value in INSTEAD
        if path or value != "MISSING"
    ]


def _xml(number: int, how: str) -> Callable[[bytes], bytes]:
    def change(body: bytes) -> bytes:
        root = ElementTree.fromstring(body)  # noqa: S314 (our own endpoint's)
        every = list(root.iter())
        element = every[number % len(every)]
        if how == "gone":
            for parent in every:
                if element in list(parent):
                    parent.remove(element)
        else:
            for child in list(element):
                element.remove(child)
            element.text = how
        return ElementTree.tostring(root)

    return change


COMMANDS: Mapping[str, tuple[str, ...]] = {
    "diff": ("diff", "live"),
    "health": ("health", "--timeout", "30s"),
    "app": ("deploy-app", "--dry-run"),
    "stack": ("deploy-stack", "jobs", "--dry-run"),
}


@pytest.mark.slow("faults", keep=1)
@pytest.mark.parametrize("name", COMMANDS)
def test_no_answer_of_another_form_is_a_bug(shop: Deploys, spoiler: Spoiler, name: str) -> None:
    """One field of one answer at a time, in as many ways as there is time for (NIGHT=1: all)."""
    shop.endpoint.cloudformation.stack("Jobs", template=json.dumps({"Resources": {}}))
    before = shop(*COMMANDS[name])
    assert before.code in (0, 1), before.err
    every = [
        (operation, change)
        for operation, body in sorted(spoiler.seen.items())
        for change in mutants(body)
    ]
    assert len(every) > 50
    expected = random.Random(7).sample(every, min(AT_ONCE, len(every)))
    for operation, change in expected:
        spoiler.spoil(operation, change)
        result = shop(*COMMANDS[name])
        text = f"{operation}: {change(spoiler.seen[operation])!r}\n{result.out}{result.err}"
        assert result.code != 3, text
        assert "bug in toolkit" not in result.out + result.err, text


COUNTS = ("runningCount", "desiredCount")


@pytest.mark.slow("faults", keep=3)
@pytest.mark.parametrize("value", INSTEAD, ids=str)
@pytest.mark.parametrize("where", ["service", "deployment"])
@pytest.mark.parametrize("count", COUNTS)
def test_a_count_that_is_none_never_reads_ok(
    shop: Deploys, spoiler: Spoiler, count: str, where: str, value: Any
) -> None:
    path = (
        ("services", 0, count) if where == "service" else ("services", 0, "deployments", 0, count)
    )
    spoiler.spoil(
        "DescribeServices", lambda body: json.dumps(changed(json.loads(body), path, value)).encode()
    )
    result = shop("health", "web", "--json").json
    web = next(item for item in result["checkups"] if item["name"] == "web")
    assert web["status"] == "unknown", web
    assert any(
        "ecs:DescribeServices" in (sign["cause"] or "") and count in sign["cause"]
        for sign in web["signs"]
    )


@pytest.mark.slow("faults", keep=3)
@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b"null",
        b"",
        b"hello",
        b"<html>",
        b'{"services": []}',
        b'{"services": null}',
        b'{"services": [], "failures": []}',
        b'{"services": [null]}',
        b'{"services": [{}]}',
        b'{"services": "web"}',
        b'{"services": {}}',
    ],
)
def test_an_answer_that_says_nothing_of_a_service_is_not_its_absence(
    shop: Deploys, spoiler: Spoiler, body: bytes
) -> None:
    spoiler.spoil("DescribeServices", lambda _: body)
    health = shop("health", "web", "--json").json
    assert {item["name"]: item["status"] for item in health["checkups"]}["web"] == "unknown"
    refused = shop("deploy-app", "--dry-run")
    assert refused.code == 7
    assert "unexpected answer to ecs:DescribeServices" in refused.err
    live = shop("diff", "live", "--json").json
    assert live["states"]["web"] == "unknown"


@pytest.mark.slow("faults", keep=1)
@pytest.mark.parametrize(
    "body",
    [
        b'{"services": [], "failures": []}',
        b"{}",
        b'{"services": [null]}',
        b'{"services": [{"status": "INACTIVE"}]}',
    ],
)
def test_a_service_that_answers_nothing_in_the_middle_of_a_deploy_is_not_deleted(
    shop: Deploys, spoiler: Spoiler, body: bytes
) -> None:
    """It answers as it should again after a while, and nobody has said that the deploy failed."""
    begun: list[bool] = []

    def change(whole: bytes) -> bytes:
        begun.append("UpdateService" in spoiler.seen)
        return body if begun[-1] and sum(begun) <= 3 else whole

    spoiler.spoil("DescribeServices", change)
    result = shop("deploy-app", "--yes")
    assert sum(begun) > 1
    assert result.code in (0, 5), result.out + result.err
    assert "delete" not in result.out + result.err


WRITES = ("RegisterTaskDefinition", "UpdateService")
READS = (
    "DescribeServices",
    "DescribeTaskDefinition",
    "DescribeServiceDeployments",
    "ListServiceDeployments",
    "DescribeImages",
)


@pytest.mark.slow("faults", keep=2)
@pytest.mark.parametrize("operation", [*WRITES, *READS])
@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_answer_in_the_middle_of_a_deploy_is_a_bug_or_a_failure(
    shop: Deploys, spoiler: Spoiler, operation: str, seed: int
) -> None:
    once = random.Random(seed)

    def change(body: bytes) -> bytes:
        if operation not in WRITES and "RegisterTaskDefinition" not in spoiler.seen:
            spoiler.left += 1
            return body
        return once.choice(mutants(body))(body)

    spoiler.spoil(operation, change, times=2)
    result = shop("deploy-app", "--yes")
    assert result.code in (0, 1, 5, 7), result.out + result.err
    if result.code == 1:  # the preparations got no answer twice, and nothing that runs was changed
        assert "UpdateService" not in spoiler.seen
    if result.code == 5:
        assert "toolkit resume" in result.out


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"services": 5}, "services is a number, not a list"),
        ({"services": [{"serviceName": 5}]}, r"services\[0\]\.serviceName is a number, not a text"),
        ({"services": [None]}, r"services\[0\] is null, not an object"),
        ({"services": [{"desiredCount": "2"}]}, "desiredCount is a text, not a number"),
        ({"services": [{"desiredCount": True}]}, "desiredCount is true or false, not a number"),
        ({}, "services is missing"),
    ],
)
def test_what_is_wrong_with_an_answer_is_told(
    aws_endpoint: Endpoint, spoiler: Spoiler, answer: Any, text: str
) -> None:
    aws_endpoint.ecs.cluster("main")
    spoiler.spoil("DescribeServices", lambda body: json.dumps(answer).encode())
    with pytest.raises(Unexpected, match=text):
        Aws(None, "eu-west-1").read("ecs", "describe_services", cluster="main", services=["web"])


def test_what_is_asked_for_by_name_and_not_in_an_answer_is_unexpected() -> None:
    actual = answers.read({"a": [{"b": {}}]}, "ecs:X")
    with pytest.raises(Unexpected, match=r"unexpected answer to ecs:X: a\[0\]\.b\.c is missing"):
        actual["a"][0]["b"]["c"]
    with pytest.raises(Unexpected, match="d is missing"):
        (actual | {"c": 1})["d"]
    assert actual.get("d") is None


def test_a_field_that_a_later_aws_adds_is_no_matter(
    aws_endpoint: Endpoint, spoiler: Spoiler
) -> None:
    aws_endpoint.ecs.cluster("main")
    spoiler.spoil(
        "DescribeClusters",
        lambda body: json.dumps({**json.loads(body), "later": [None, 7]}).encode(),
    )
    assert Aws(None, "eu-west-1").read("ecs", "describe_clusters", clusters=["main"])["clusters"]
