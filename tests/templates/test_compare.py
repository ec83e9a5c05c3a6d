"""How stacks differ: states, resources, renames, what is unstable, and where only code differs."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.templates.parts import (
    BUCKET,
    NEW,
    OLD,
    TABLE,
    compared,
    resource,
    stack,
    values,
)
from toolkit.templates.assembly import plain_stack
from toolkit.templates.clean import digest
from toolkit.templates.compare import compare, differs
from toolkit.templates.model import Change, Part, StackComparison, StackState, SynthesizedStack

FUNCTION, TASK = "AWS::Lambda::Function", "AWS::ECS::TaskDefinition"


def changes(comparison: StackComparison) -> list[tuple[Change, str, str]]:
    """What happens to which resource, with its id before."""
    return [(each.change, each.logical_id, each.previous_id) for each in comparison.resources]


def test_stacks_are_told_apart_by_name_account_and_region() -> None:
    one = stack({"Data": resource(BUCKET)})
    moved = replace(one, region="us-east-1")
    before = [one, stack(id="Gone")]
    after = [moved, stack(id="New"), replace(one, id="Prod/Shop")]
    states = [
        (each.id, each.region, each.state, each.previous_id) for each in compare(before, after)
    ]
    assert states == [
        ("Shop", "us-east-1", StackState.ADDED, ""),
        ("New", "eu-west-1", StackState.ADDED, ""),
        ("Prod/Shop", "eu-west-1", StackState.UNCHANGED, "Shop"),
        ("Gone", "eu-west-1", StackState.REMOVED, ""),
    ]


def test_two_stacks_of_one_name_are_told_apart_by_their_ids() -> None:
    names = [replace(stack({"Data": resource(BUCKET, N=n)}), id=f"{n}", account=None) for n in "ab"]
    assert not differs(names, reversed(names))


@pytest.mark.parametrize("side", [0, 1])
def test_a_stack_of_which_something_is_missing_is_unknown_even_if_it_is_the_same(side: int) -> None:
    sides = [stack(), stack()]
    sides[side] = replace(sides[side], missing=("the app has to look up a",))
    comparison = compared(*sides)
    assert comparison.state is StackState.UNKNOWN
    assert comparison.why == ("the app has to look up a",)
    assert comparison.is_due


def test_differences_are_told_by_their_paths() -> None:
    before = {
        "Data": resource(BUCKET, BucketName="a", Tags=[{"Key": "a", "Value": "b"}]),
        "Gone": resource(TABLE),
    }
    after = {
        "Data": {**resource(BUCKET, BucketName="b", Tags=[]), "DeletionPolicy": "Retain"},
        "Fresh": resource(TABLE, TableName="t"),
    }
    comparison = compared(stack(before), stack(after))
    assert changes(comparison) == [
        (Change.CHANGED, "Data", ""),
        (Change.ADDED, "Fresh", ""),
        (Change.REMOVED, "Gone", ""),
    ]
    assert values(comparison) == {
        ("Data", ("Properties", "BucketName")): ("a", "b"),
        ("Data", ("Properties", "Tags")): ("[{Key: a, Value: b}]", "[]"),
        ("Data", ("DeletionPolicy",)): (None, "Retain"),
    }


PARTS: dict[str, tuple[Part, str]] = {
    "Description": (Part.DESCRIPTION, ""),
    "Metadata": (Part.METADATA, ""),
    "Transform": (Part.TRANSFORM, ""),
    "Outputs": (Part.OUTPUT, "Key"),
    "Parameters": (Part.PARAMETER, "Key"),
    "Conditions": (Part.CONDITION, "Key"),
    "Mappings": (Part.MAPPING, "Key"),
    "Rules": (Part.RULE, "Key"),
    "Globals": (Part.OTHER, "Globals"),
}


@pytest.mark.parametrize("section", PARTS)
def test_each_section_that_differs_is_told(section: str) -> None:
    sections: dict[str, Any] = {section: {"Key": {"Value": "a"}}}
    comparison = compared(stack(), stack({}, **sections))
    [part] = comparison.parts
    assert (part.part, part.name, part.change) == (*PARTS[section], Change.ADDED)


def test_what_is_said_beside_the_template_is_told() -> None:
    other = replace(
        stack(),
        tags={"a": "b"},
        parameters={"c": "d"},
        protected=True,
        role="r",
        notifications=("n",),
    )
    assert [(part.part, part.name) for part in compared(stack(), other).parts] == [
        (Part.VALUE, "c"),
        (Part.TAG, "a"),
        (Part.PROTECTION, ""),
        (Part.ROLE, ""),
        (Part.NOTIFICATIONS, ""),
    ]


SECRET = "correct horse battery"
HIDDEN: dict[str, dict[str, Any]] = {
    "a property": resource(BUCKET, MasterUserPassword=SECRET),
    "a variable": resource(FUNCTION, Environment={"Variables": {"API_TOKEN": SECRET}}),
    "a pair": resource(TASK, Environment=[{"Name": "DB_PASSWORD", "Value": SECRET}]),
    "inside a new part": {"Metadata": {"a": [{"Name": "PASSWORD", "Value": SECRET}]}},
    "an address": resource(BUCKET, Url=f"postgres://ada:{SECRET.replace(' ', '-')}@db/shop"),
}


@pytest.mark.parametrize("after", HIDDEN.values(), ids=HIDDEN.keys())
def test_no_secret_is_shown(after: dict[str, Any]) -> None:
    comparison = compared(stack({"A": {"Type": after.get("Type", "")}}), stack({"A": after}))
    assert comparison.resources[0].values
    for value in comparison.resources[0].values:
        assert "correct" not in f"{value.before}{value.after}"


def test_the_value_of_a_parameter_without_echo_is_not_shown() -> None:
    declared: dict[str, Any] = {"Parameters": {"Pin": {"Type": "String", "NoEcho": "true"}}}
    sides = [replace(stack({}, **declared), parameters={"Pin": pin}) for pin in ("1234", "5678")]
    [part] = compared(*sides).parts
    assert {(value.before, value.after) for value in part.values} == {("(hidden)", "(hidden)")}


def test_long_values_are_cut_around_what_differs() -> None:
    long = "x" * 500
    comparison = compared(
        stack({"A": resource(BUCKET, P=f"{long}old{long}")}),
        stack({"A": resource(BUCKET, P=f"{long}new{long}")}),
    )
    [(before, after)] = values(comparison).values()
    assert "old" in str(before)
    assert "new" in str(after)
    assert len(str(before)) < 70


def test_a_number_that_becomes_a_text_can_be_told_apart() -> None:
    sides = [stack({"A": resource(BUCKET, P=value)}) for value in (80, "80")]
    assert list(values(compared(*sides)).values()) == [("80 (number)", "80 (text)")]


# --- renames


def test_a_resource_under_another_name_is_renamed() -> None:
    before = {"Old": resource(BUCKET, BucketName="a"), "Same": resource(TABLE)}
    after = {"New": resource(BUCKET, BucketName="a"), "Same": resource(TABLE)}
    assert changes(compared(stack(before), stack(after))) == [(Change.RENAMED, "New", "Old")]


def test_what_refers_to_each_other_is_renamed_together() -> None:
    def named(role: str, policy: str, user: str) -> SynthesizedStack:
        return stack(
            {
                role: resource("AWS::IAM::Role", A=1),
                policy: resource(
                    "AWS::IAM::Policy", Roles=[{"Ref": role}], B={"Fn::Sub": f"${{{role}.Arn}}"}
                ),
                user: {
                    **resource(FUNCTION, Role={"Fn::GetAtt": [role, "Arn"]}),
                    "DependsOn": [policy],
                },
            }
        )

    comparison = compared(named("R1", "P1", "F1"), named("R2", "P2", "F2"))
    assert changes(comparison) == [
        (Change.RENAMED, "R2", "R1"),
        (Change.RENAMED, "P2", "P1"),
        (Change.RENAMED, "F2", "F1"),
    ]


def test_another_type_or_other_properties_are_no_rename() -> None:
    for after in (resource(TABLE, A=1), resource(BUCKET, A=2)):
        comparison = compared(stack({"Old": resource(BUCKET, A=1)}), stack({"New": after}))
        assert {change for change, _, _ in changes(comparison)} == {Change.ADDED, Change.REMOVED}


def test_many_equal_resources_are_compared_in_a_moment() -> None:
    before, after = (
        stack({f"{side}{number}": resource(BUCKET) for number in range(3000)}) for side in "ab"
    )
    began = time.process_time()
    assert len(compared(before, after).resources) == 6000
    assert time.process_time() - began < 3


# --- what is unstable


def three(*texts: str) -> list[SynthesizedStack]:
    """The base, the head, and the head again; each says what `Dash` is, and `Data`."""
    return [
        stack(
            {
                "Dash": resource(TABLE, P=text.split()[0]),
                "Data": resource(BUCKET, P=text.split()[1]),
            }
        )
        for text in texts
    ]


def controlled(
    before: SynthesizedStack, after: SynthesizedStack, again: SynthesizedStack
) -> StackComparison:
    [comparison] = compare([before], [after], [again])
    return comparison


def test_what_differs_between_two_syntheses_alone_is_unknown_by_name() -> None:
    comparison = controlled(*three("1 x", "2 x", "3 x"))
    assert comparison.state is StackState.UNKNOWN
    assert comparison.unstable == ("Dash",)
    assert "Dash" in comparison.why[0]


def test_what_differs_beside_it_is_a_change() -> None:
    comparison = controlled(*three("1 x", "2 y", "3 y"))
    assert comparison.state is StackState.CHANGED
    assert changes(comparison) == [(Change.CHANGED, "Data", "")]
    assert comparison.unstable == ("Dash",)


def test_what_is_unstable_is_not_unchanged_because_it_is_equal_once() -> None:
    assert controlled(*three("1 x", "1 x", "2 x")).state is StackState.UNKNOWN


def test_a_stable_stack_is_what_it_is() -> None:
    assert controlled(*three("1 x", "2 x", "2 x")).state is StackState.CHANGED
    assert controlled(*three("1 x", "1 x", "1 x")).state is StackState.UNCHANGED


def test_a_name_that_holds_a_token_is_unstable_under_each_of_its_names() -> None:
    stacks = [
        stack({f"AlarmTOKEN{token}": resource("AWS::CloudWatch::Alarm", P=token)})
        for token in (58, 56, 53)
    ]
    comparison = controlled(*stacks)
    assert comparison.state is StackState.UNKNOWN
    assert not comparison.resources


def test_a_stack_that_a_second_synthesis_does_not_have_is_unknown() -> None:
    [comparison] = compare([stack()], [stack()], [stack(id="Other")])
    assert comparison.state is StackState.UNKNOWN


# --- only code


def function(key: str, memory: int = 128) -> dict[str, Any]:
    return resource(FUNCTION, Code={"S3Bucket": "b", "S3Key": f"{key}.zip"}, MemorySize=memory)


def task(image: str, sidecar: str = "envoy:1", cpu: int = 256) -> dict[str, Any]:
    containers = [{"Name": "web", "Image": image, "Cpu": cpu}, {"Name": "proxy", "Image": sidecar}]
    return resource(TASK, Family="web", ContainerDefinitions=containers)


def code(before: dict[str, Any], after: dict[str, Any]) -> tuple[bool, list[str]]:
    comparison = compared(stack(before), stack(after))
    return comparison.only_code, [
        f"{each.logical_id} {each.container}".strip() for each in comparison.code
    ]


def test_only_code_is_told_with_whose_it_is() -> None:
    assert code({"Api": function("a")}, {"Api": function("b")}) == (True, ["Api"])
    assert code({"Web": task("a:1")}, {"Web": task("a:2")}) == (True, ["Web web"])
    assert code({"Web": task("a:1", "b:1")}, {"Web": task("a:2", "b:2")})[1] == [
        "Web web",
        "Web proxy",
    ]


def test_code_beside_anything_else_is_not_only_code() -> None:
    assert code({"Api": function("a")}, {"Api": function("b", 256)}) == (False, ["Api"])
    assert code({"Web": task("a:1")}, {"Web": task("a:2", cpu=512)}) == (False, ["Web web"])
    other = {"Data": resource(BUCKET)}
    assert code({"Api": function("a")}, {"Api": function("b"), **other}) == (False, ["Api"])
    assert code({"Api": function("a", 128)}, {"Api": function("a", 256)}) == (False, [])
    assert not compared(
        stack({"Api": function("a")}), stack({"Api": function("b")}, Description="d")
    ).only_code


def test_new_versions_of_the_function_follow_from_its_code() -> None:
    def versioned(key: str) -> dict[str, Any]:
        return {
            "Api": function(key),
            f"ApiVersion{key}": resource("AWS::Lambda::Version", FunctionName={"Ref": "Api"}),
            "Live": resource(
                "AWS::Lambda::Alias",
                FunctionVersion={"Fn::GetAtt": [f"ApiVersion{key}", "Version"]},
            ),
        }

    assert code(versioned(OLD), versioned(NEW)) == (True, ["Api"])


def test_local_code_is_code_and_other_local_files_are_not() -> None:
    text = json.dumps(
        {
            "Resources": {
                "Api": resource("AWS::Serverless::Function", CodeUri="api/"),
                "Rest": resource("AWS::Serverless::Api", DefinitionUri="a.yaml"),
            }
        }
    )

    def built(api: str, rest: str) -> SynthesizedStack:
        return plain_stack(stack(), text, {"Api.CodeUri": api, "Rest.DefinitionUri": rest})

    comparison = compared(built("1", "1"), built("2", "1"))
    assert comparison.only_code
    assert [each.logical_id for each in comparison.code] == ["Api"]
    for after in (built("1", "2"), built("2", "2")):
        assert not compared(built("1", "1"), after).only_code


TEMPLATES = st.dictionaries(
    st.sampled_from(["A", "B", "C"]),
    st.builds(
        lambda kind, value: resource(kind, P=value),
        st.sampled_from([BUCKET, TABLE, FUNCTION]),
        st.recursive(
            st.sampled_from([1, "1", True, None]),
            lambda inner: (
                st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner)
            ),
            max_leaves=4,
        ),
    ),
)


@given(TEMPLATES, TEMPLATES)
def test_a_difference_is_shown_if_and_only_if_there_is_one(before: Any, after: Any) -> None:
    old, new = stack(before), stack(after)
    comparison = compared(old, new)
    assert (comparison.state is StackState.UNCHANGED) is (digest(old) == digest(new))
    assert bool(comparison.resources) is (digest(old) != digest(new))
