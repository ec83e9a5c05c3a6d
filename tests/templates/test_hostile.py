"""Templates that somebody wrote to harm whoever compares them: refused, or answered in bounded time
and memory.
"""

import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from tests.templates.parts import BUCKET, resource, stack
from toolkit.errors import FileProblem
from toolkit.templates.assembly import plain_stack
from toolkit.templates.compare import compare
from toolkit.templates.consequences import examine
from toolkit.templates.model import Replacement, StackState, SynthesizedStack
from toolkit.templates.refinement import decode, encode

MOST_S = 5
"""Of the processor: some ten times as long as it takes."""


def read(text: str) -> SynthesizedStack:
    """A template's stack."""
    return plain_stack(SynthesizedStack("Shop", "Shop", None, None, {}), text)


def template(**resources: Any) -> str:
    """The text of a template with these resources."""
    return json.dumps({"Resources": resources})


def bucket(name: Any) -> str:
    """The text of a template with a bucket of that name."""
    return template(A=resource(BUCKET, BucketName=name))


def nested(depth: int, value: Any, key: str = "a") -> Any:
    """A value inside of mappings in each other."""
    for _ in range(depth):
        value = {key: value}
    return value


def raw(value: str) -> str:
    """The text of a template with a value as it is written."""
    return bucket("VALUE").replace('"VALUE"', value)


REFUSED: dict[str, Callable[[], str]] = {
    "mappings in each other": lambda: raw('{"a":' * 200_000 + "1" + "}" * 200_000),
    "lists in each other": lambda: raw("[" * 200_000 + "]" * 200_000),
    "deeper than is allowed": lambda: bucket(nested(120, 1)),
    "a number without end": lambda: raw("9" * 900_000),
    "a number that Python would not write": lambda: raw("9" * 4_200),
    "a hexadecimal number": lambda: f"Resources:\n  A: {{Type: x, a: 0x{'f' * 9_000}}}",
    "an octal number": lambda: f"Resources:\n  A: {{Type: x, a: 0{'7' * 9_000}}}",
    "an infinite number": lambda: raw("1e999"),
    "no number": lambda: raw("NaN"),
    "a list for a key": lambda: "Resources:\n  ? [a]\n  : {Type: x}",
    "a type that is no text": lambda: template(A={"Type": {"a": 1}}),
    "a list for a type": lambda: template(A={"Type": []}),
    "too many values": lambda: bucket(list(range(300_001))),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_a_template_is_refused(case: str) -> None:
    text = REFUSED[case]()
    began = time.process_time()
    with pytest.raises(FileProblem):
        read(text)
    assert time.process_time() - began < MOST_S


def test_ten_megabytes_are_refused_before_they_are_parsed() -> None:
    text = bucket("x" * 10_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(FileProblem, match="more than 4,000 kB"):
            read(text)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def cycle(value: int) -> str:
    """Resources that refer to each other and to themselves."""
    return template(
        A=resource(BUCKET, BucketName={"Ref": "B"}, Other=value),
        B=resource(BUCKET, BucketName={"Fn::GetAtt": ["A", "Arn"]}) | {"DependsOn": ["A", "B"]},
        C=resource(BUCKET, BucketName={"Fn::Sub": "${C}${A}${"}),
    )


def conditions(value: int) -> str:
    """Conditions that depend on each other."""
    inner = {"Fn::If": ["Y", "a", {"Fn::If": ["X", "b", "c"]}]}
    return json.dumps(
        {
            "Conditions": {
                "X": {"Fn::Not": [{"Condition": "Y"}]},
                "Y": {"Fn::Not": [{"Condition": "X"}], "v": value},
            },
            "Resources": {"A": resource(BUCKET, BucketName={"Fn::If": ["X", inner, "d"]})},
        }
    )


ODD: tuple[Any, ...] = (5, None, [], {}, [{}, 5], [[], {}], "x", {"a": 1})
FUNCTIONS = ("Fn::GetAtt", "Fn::Join", "Fn::Sub", "Ref", "Fn::If", "Fn::FindInMap", "Condition")


def odd(turn: int) -> str:
    """Functions of things that they are not made of."""
    values = {
        f"P{number}{name}": {name: ODD[(number + turn) % len(ODD)]}
        for name in FUNCTIONS
        for number in range(len(ODD))
    }
    return template(A=resource(BUCKET, **values), B=ODD[turn], C={"Type": BUCKET, "Properties": 5})


COMPARED: dict[str, Callable[[int], str]] = {
    "as deep as is allowed": lambda n: bucket(nested(90, n)),
    "functions in each other": lambda n: bucket(nested(90, f"{n}", "Fn::Sub")),
    "references in a circle": cycle,
    "conditions in a circle": conditions,
    "odd arguments": odd,
    "keys that are no texts": lambda n: (
        f"Resources:\n  1: {{Type: x, Properties: {{2: {n}, null: 4, true: {n}, 1.5: a}}}}"
    ),
    "a long text": lambda n: bucket(f"{'${a.' * 900_000}{n}"),
    "many properties": lambda n: template(
        A=resource("AWS::EC2::Instance", **{f"P{number}": number + n for number in range(140_000)})
    ),
    "many resources": lambda n: template(
        **{f"A{number}{n}": {"Type": BUCKET} for number in range(60_000)}
    ),
    "many statements": lambda n: template(
        A=resource(
            "AWS::IAM::Policy",
            PolicyDocument={
                "Statement": [
                    {"Effect": "Allow", "Action": "s3:*", "Resource": f"arn:{number + n}"}
                    for number in range(30_000)
                ]
            },
        )
    ),
}
HEAVY = ("many properties", "many resources", "many statements", "a long text")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[pytest.mark.slow("sizes")] if case in HEAVY else [])
        for case in COMPARED
    ],
)
def test_what_may_be_a_template_is_compared_in_bounded_time(case: str) -> None:
    before, after = (read(COMPARED[case](number)) for number in (1, 2))
    began = time.process_time()
    [examined] = examine(compare([before], [after], [after]), [after])
    assert time.process_time() - began < MOST_S * (3 if case in HEAVY else 1)
    assert examined.comparison.state is StackState.CHANGED
    words = {each.replacement for each in examined.predictions.values()}
    if not case.startswith(("many resources", "many statements", "conditions")):
        assert words & {Replacement.MAYBE, Replacement.ALWAYS}


@pytest.mark.parametrize("depth", [150, 400, 900, 100_000])
def test_a_recorded_stack_that_is_too_deep_is_none(depth: int) -> None:
    good = encode([stack({"A": resource(BUCKET, BucketName="VALUE")})])
    assert decode(good) is not None
    assert decode(good.replace('"VALUE"', '{"a":' * depth + "1" + "}" * depth)) is None
