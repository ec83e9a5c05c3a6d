"""Whether what was deployed runs still."""

import pytest

from toolkit.model import Live
from toolkit.run.overtaken import named, same

WEB = {"task definition": "arn:aws:ecs:eu-west-1:111111111111:task-definition/web:7"}
AT = "2026-11-20T19:37:42+00:00"


@pytest.mark.parametrize(
    ("before", "now", "still"),
    [
        (Live("v1", detail=WEB), Live("v1", detail=WEB), True),
        (
            Live("v1", since=AT, detail=WEB),
            Live("v1", since="later", detail=WEB),
            True,
        ),  # started anew
        (Live("v1", detail=WEB), Live("v1", detail={"task definition": "web:8"}), False),
        (Live("v1", run="r1", since=AT), Live("v1", run="r1", since=AT), True),
        (
            Live("v1", run="r1", since=AT),
            Live("v1", run="r1", since="later"),
            False,
        ),  # a console keeps our tags
        (Live("v1", run="r1"), Live("v1", run="r2"), False),
        (Live("v1", run="r1"), Live(None), False),  # an operation is at work on it
        (Live("v1", detail={"sha256": "a"}), Live("v1", detail={"sha256": "b"}), False),
    ],
)
def test_it_is_told_by_content_where_that_is_known_else_by_what_was_written_on_it(
    before: Live, now: Live, still: bool
) -> None:
    assert same(before, now) is still


@pytest.mark.parametrize(
    ("live", "word"),
    [(Live("v1", detail=WEB), "web:7"), (Live("v1"), "v1"), (Live(None), "something else")],
)
def test_what_runs_has_a_short_name(live: Live, word: str) -> None:
    assert named(live, "something else") == word
