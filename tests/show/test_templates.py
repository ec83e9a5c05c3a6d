"""Differences of stacks in words: nothing moves a cursor, and no line is too long."""

from typing import Any

import pytest

from tests.templates.parts import BUCKET, TABLE, compared, resource, stack
from toolkit.show.style import plain
from toolkit.show.templates import document, text
from toolkit.templates.consequences import examine
from toolkit.templates.model import SynthesizedStack

POLICY = {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}


def shown(before: SynthesizedStack, after: SynthesizedStack, **more: Any) -> str:
    return plain(text(examine([compared(before, after)], [after]), **more))


def test_a_stack_is_told_with_what_cannot_be_undone_first() -> None:
    before = stack(
        {
            "Data": resource(BUCKET, BucketName="a"),
            "Gone": resource(TABLE, TableName="t"),
            "Same": resource("AWS::IAM::Policy", PolicyDocument={}),
            "Kept": {**resource(TABLE, TableName="k"), "UpdateReplacePolicy": "Retain"},
        },
        Description="a shop",
    )
    after = stack(
        {
            "Data": resource(BUCKET, BucketName="b"),
            "Fresh": resource("AWS::SNS::Topic"),
            "Same": resource("AWS::IAM::Policy", PolicyDocument=POLICY),
            "Kept": {**resource(TABLE, TableName="l"), "UpdateReplacePolicy": "Retain"},
        },
        Description="the shop",
    )
    assert (
        shown(before, after)
        == """\
Shop: changes (111111111111, eu-west-1)
  Data is replaced: LOSES ITS DATA
  Gone is deleted: LOSES ITS DATA
  Same: GRANTS PERMISSIONS
  ~ Data  AWS::S3::Bucket  BucketName: a -> b  replaced, loses its data
  ~ Kept  AWS::DynamoDB::Table  replaced, its data is kept (Retain)
      TableName: k -> l
  - Gone  AWS::DynamoDB::Table  loses its data
  ~ Same  AWS::IAM::Policy
      PolicyDocument.Statement: [{Effect: Allow, Action: s3:*... (new)
  + Fresh  AWS::SNS::Topic
  ~ description  a shop -> the shop"""
    )


def test_unchanged_stacks_are_folded() -> None:
    assert shown(stack(), stack()) == "Unchanged: Shop"


HOSTILE = "\x1b[2J\u202e::error::x" + "y" * 300


def test_hostile_names_and_values_are_harmless_and_no_line_is_wider() -> None:
    before = stack({HOSTILE: resource(BUCKET, BucketName="a")}, Outputs={HOSTILE: {"Value": "1"}})
    after = stack(
        {HOSTILE: resource(BUCKET, **{"BucketName": HOSTILE, HOSTILE: HOSTILE})},
        Outputs={HOSTILE: {"Value": HOSTILE}},
        Description=HOSTILE,
    )
    result = shown(before, after)
    assert "\x1b" not in result
    assert "\u202e" not in result
    assert not any(line.lstrip().startswith("::") for line in result.splitlines())
    assert max(map(len, result.splitlines())) <= 80


@pytest.mark.parametrize("verbose", [False, True])
def test_many_resources_are_folded_unless_asked_for(verbose: bool) -> None:
    after = stack({f"R{number}": resource("AWS::SNS::Topic") for number in range(50)})
    lines = shown(stack(), after, verbose=verbose).splitlines()
    assert len(lines) == (51 if verbose else 32)


def test_the_document_says_the_same() -> None:
    sides = [stack({"Data": resource(BUCKET, BucketName=name)}) for name in "ab"]
    [stack_document] = document(examine([compared(*sides)], [sides[1]]))
    assert stack_document["state"] == "changed"
    [bucket] = stack_document["resources"]
    assert bucket["replaced"] == "yes"
    assert bucket["values"] == [{"path": ["Properties", "BucketName"], "before": "a", "after": "b"}]
    assert stack_document["losses"][0]["cause"] == "replaced"
