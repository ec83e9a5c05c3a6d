"""What is compared, line by line as reference/truth.md A5 has it, and the digest of it."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json as msgspec_json
from msgspec.structs import replace

from tests.templates.parts import (
    BUCKET,
    NEW,
    OLD,
    assembly,
    compared,
    file_asset,
    reader,
    resource,
    stack,
)
from toolkit.templates.assembly import plain_stack, stacks
from toolkit.templates.clean import canonical, digest
from toolkit.templates.model import Asset, AssetKind, StackState, SynthesizedStack

VERSION: dict[str, Any] = {
    "Type": "AWS::SSM::Parameter::Value<String>",
    "Default": "/cdk-bootstrap/hnb659fds/version",
    "Description": "Version of the CDK Bootstrap resources. [cdk:skip]",
}
CHECK = {"Assertions": [{"Assert": {"Fn::Not": [{"Ref": "BootstrapVersion"}]}}]}
ANALYTICS = {
    "Type": "AWS::CDK::Metadata",
    "Properties": {"Analytics": "v2:1"},
    "Condition": "CDKMetadataAvailable",
}
BARE = {"Resources": {"Data": resource(BUCKET)}}


def only(files: dict[str, Any]) -> SynthesizedStack:
    """The one stack of an assembly."""
    [result] = stacks(reader(files))
    return result


def with_metadata(**metadata: Any) -> dict[str, Any]:
    return {"Resources": {"Data": {**resource(BUCKET), "Metadata": metadata}}}


WRITTEN_BY_THE_CDK = {
    "path of the construct": with_metadata(**{"aws:cdk:path": "Shop/Data/Resource"}),
    "asset": with_metadata(**{"aws:asset:path": "asset.1", "aws:asset:is-bundled": True}),
    "analytics": {
        "Resources": {**BARE["Resources"], "CDKMetadata": ANALYTICS},
        "Conditions": {"CDKMetadataAvailable": {"Fn::Equals": [{"Ref": "AWS::Region"}, "a"]}},
    },
    "bootstrap": {
        **BARE,
        "Parameters": {"BootstrapVersion": VERSION},
        "Rules": {"CheckBootstrapVersion": CHECK},
    },
}


@pytest.mark.parametrize("template", WRITTEN_BY_THE_CDK.values(), ids=WRITTEN_BY_THE_CDK.keys())
def test_what_the_cdk_writes_for_itself_decides_nothing(template: dict[str, Any]) -> None:
    assert digest(only(assembly(template))) == digest(only(assembly(BARE)))
    assert only(assembly(template)).template == BARE


def test_what_only_the_cdk_needs_is_told_where_it_alone_differs() -> None:
    newer = {**VERSION, "Default": "/cdk-bootstrap/other/version"}
    before = only(assembly({**BARE, "Parameters": {"BootstrapVersion": VERSION}}))
    after = only(assembly({**BARE, "Parameters": {"BootstrapVersion": newer}}))
    comparison = compared(before, after)
    assert comparison.state is StackState.UNCHANGED
    assert comparison.undeployed == ("BootstrapVersion",)


KEPT = {
    "metadata of a person": with_metadata(**{"AWS::CloudFormation::Init": {}}),
    "metadata of the template": {**BARE, "Metadata": {"AWS::CloudFormation::Interface": {}}},
    "description": {**BARE, "Description": "a shop"},
    "parameter": {**BARE, "Parameters": {"Name": {"Type": "String"}}},
    "a parameter of that name of a person": {
        **BARE,
        "Parameters": {"BootstrapVersion": {"Type": "String"}},
    },
    "the bootstrap's version, where somebody uses it": {
        "Resources": {"Data": resource(BUCKET, BucketName={"Ref": "BootstrapVersion"})},
        "Parameters": {"BootstrapVersion": VERSION},
    },
    "a resource of that name of a person": {
        "Resources": {**BARE["Resources"], "CDKMetadata": resource(BUCKET)}
    },
    "the condition of the analytics, where somebody uses it": {
        "Resources": {
            "Data": {**resource(BUCKET), "Condition": "CDKMetadataAvailable"},
            "CDKMetadata": ANALYTICS,
        },
        "Conditions": {"CDKMetadataAvailable": {"Fn::Equals": ["a", "a"]}},
    },
    "output": {**BARE, "Outputs": {"Name": {"Value": "1"}}},
}


@pytest.mark.parametrize("template", KEPT.values(), ids=KEPT.keys())
def test_all_else_is_kept(template: dict[str, Any]) -> None:
    kept = only(assembly(template))
    assert digest(kept) != digest(only(assembly(BARE)))
    used = {"CDKMetadata": ANALYTICS} in [template["Resources"]]
    assert used or kept.template.keys() == template.keys()


OF_THE_STACK: dict[str, dict[str, Any]] = {
    "tags": {"properties": {"tags": {"team": "a"}}},
    "parameters": {"properties": {"parameters": {"Name": "a"}}},
    "name": {"properties": {"stackName": "other"}},
    "protection": {"properties": {"terminationProtection": True}},
    "notifications": {"properties": {"notificationArns": ["arn:aws:sns:::a"]}},
    "role": {"properties": {"cloudFormationExecutionRoleArn": "arn:aws:iam::1:role/a"}},
    "account": {"environment": "aws://222222222222/eu-west-1"},
    "region": {"environment": "aws://111111111111/us-east-1"},
    "file": {"files": {OLD: file_asset("asset.1", "zip")}},
    "image": {"images": {OLD: {"source": {"directory": "asset.1"}}}},
}


@pytest.mark.parametrize("more", OF_THE_STACK.values(), ids=OF_THE_STACK.keys())
def test_what_is_said_of_the_stack_beside_its_template_is_kept(more: dict[str, Any]) -> None:
    assert digest(only(assembly(BARE, **more))) != digest(only(assembly(BARE)))


@pytest.mark.parametrize(
    "more", [{"displayName": "Other"}, {"files": {OLD: file_asset("Shop.template.json")}}]
)
def test_names_for_people_and_the_stacks_own_template_are_not(more: dict[str, Any]) -> None:
    assert digest(only(assembly(BARE, **more))) == digest(only(assembly(BARE)))


@pytest.mark.parametrize("option", ["dockerFile", "dockerBuildTarget", "platform", "networkMode"])
def test_the_options_of_a_build_are_kept_but_not_where_it_lies(option: str) -> None:
    def image(**source: Any) -> str:
        return digest(only(assembly(BARE, images={OLD: {"source": source}})))

    assert image(directory="asset.1") == image(directory="/elsewhere")
    assert image(directory="asset.1", **{option: "a"}) != image(directory="asset.1")
    arguments = [image(dockerBuildArgs={"A": value}) for value in "12"]
    assert arguments[0] != arguments[1]


def nesting(inner: dict[str, Any], key: str, path_in_url: bool = True) -> SynthesizedStack:
    url = {"Fn::Join": ["", ["https://s3.", {"Ref": "AWS::URLSuffix"}, f"/bucket/{key}.json"]]}
    outer = {"Resources": {"In": resource("AWS::CloudFormation::Stack", TemplateURL=url)}}
    files = {key: file_asset("In.nested.template.json")}
    return only(assembly(outer, files=files, **{"In.nested.template.json": inner}))


def test_a_nested_template_is_compared_by_its_cleaned_content() -> None:
    before = nesting(with_metadata(**{"aws:cdk:path": "Shop/In/Data/Resource"}), OLD)
    assert digest(before) == digest(nesting(BARE, NEW))
    assert digest(before) != digest(nesting({"Resources": {"Data": resource(BUCKET, A=1)}}, OLD))
    assert before.labels == {"In/Data": "In/Data"}
    assert not before.assets


def test_the_digest_of_a_stack_of_which_something_is_missing_is_refused() -> None:
    with pytest.raises(ValueError, match="look up"):
        digest(replace(stack(), missing=("the app has to look up a",)))


def test_two_functions_that_exchange_their_code_differ() -> None:
    bare = stack()
    contents = [{"A.CodeUri": "1", "B.CodeUri": "2"}, {"A.CodeUri": "2", "B.CodeUri": "1"}]
    one, other = (plain_stack(bare, "Resources: {}", each) for each in contents)
    assert digest(one) != digest(other)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3) | st.floats(0, 1),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=15,
)


def shuffled(value: Any, order: random.Random) -> Any:
    """The same value with the keys of all mappings in another order."""
    if isinstance(value, dict):
        keys = list(value)
        order.shuffle(keys)
        return {key: shuffled(value[key], order) for key in keys}
    if isinstance(value, list):
        return [shuffled(inner, order) for inner in value]
    return value


@given(JSON, st.randoms(use_true_random=False))
def test_the_order_of_keys_never_matters(value: Any, order: random.Random) -> None:
    bare = replace(stack(), template={"Outputs": value})
    assert digest(bare) == digest(replace(bare, template={"Outputs": shuffled(value, order)}))


def exactly(value: Any) -> str:
    """A value as text, with the types of everything in it."""
    if isinstance(value, dict):
        return f"{{{sorted((key, exactly(inner)) for key, inner in value.items())}}}"
    if isinstance(value, list):
        return f"[{[exactly(inner) for inner in value]}]"
    return f"{type(value).__name__} {value!r}"


@given(JSON, JSON)
def test_any_other_content_has_another_digest(one: Any, other: Any) -> None:
    assert (canonical(one) == canonical(other)) is (exactly(one) == exactly(other))


@pytest.mark.parametrize(("one", "other"), [([1, 2], [2, 1]), (1, "1"), (True, 1), (1, 1.0)])
def test_order_in_lists_and_types_of_values_matter(one: Any, other: Any) -> None:
    assert canonical(one) != canonical(other)


def test_a_stack_is_written_and_read_again() -> None:
    asset = Asset(AssetKind.IMAGE, OLD, {"platform": "linux/amd64"}, "web")
    before = replace(stack({"Data": resource(BUCKET)}), assets=(asset,), tags={"a": "b"})
    text = msgspec_json.encode(before)
    again = msgspec_json.decode(text, type=SynthesizedStack)
    assert again == before
    assert digest(again) == digest(before)
