"""Whether what was deployed runs still."""

import pytest

from toolkit.operations import LiveVersion
from toolkit.run.superseded import is_same_deploy
from toolkit.targets import kind

WEB = {"task definition": "arn:aws:ecs:eu-west-1:111111111111:task-definition/web:7"}
AT = "2026-11-20T19:37:42+00:00"


@pytest.mark.parametrize(
    ("before", "now", "still"),
    [
        (LiveVersion("v1", detail=WEB), LiveVersion("v1", detail=WEB), True),
        (
            LiveVersion("v1", since=AT, detail=WEB),
            LiveVersion("v1", since="later", detail=WEB),
            True,
        ),  # started anew
        (
            LiveVersion("v1", detail=WEB),
            LiveVersion("v1", detail={"task definition": "web:8"}),
            False,
        ),
        (LiveVersion("v1", run="r1", since=AT), LiveVersion("v1", run="r1", since=AT), True),
        (
            LiveVersion("v1", run="r1", since=AT),
            LiveVersion("v1", run="r1", since="later"),
            False,
        ),  # a console keeps our tags
        (LiveVersion("v1", run="r1"), LiveVersion("v1", run="r2"), False),
        (LiveVersion("v1", run="r1"), LiveVersion(None), False),  # an operation is at work on it
        (
            LiveVersion("v1", detail={"sha256": "a"}),
            LiveVersion("v1", detail={"sha256": "b"}),
            False,
        ),
    ],
)
def test_it_is_told_by_content_where_that_is_known_else_by_what_was_written_on_it(
    before: LiveVersion, now: LiveVersion, still: bool
) -> None:
    name = "function" if "sha256" in now.detail else "app"
    assert is_same_deploy(kind(name), before, now) is still


@pytest.mark.parametrize(
    ("live", "word"),
    [
        (LiveVersion("v1", detail=WEB), "web:7"),
        (LiveVersion("v1"), "v1"),
        (LiveVersion(None), ""),
    ],
)
def test_what_runs_has_a_short_name(live: LiveVersion, word: str) -> None:
    assert kind("app").live_name(live) == word
