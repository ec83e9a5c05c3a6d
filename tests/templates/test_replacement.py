"""Whether a resource is replaced: "no" only where both sources say so."""

import gzip
import json
from collections.abc import Iterable
from typing import Any

import pytest

from tests.support.modes import by_mode
from tests.support.run import ROOT
from tests.templates import raw_sources
from tests.templates.parts import BUCKET, compared, resource, stack
from tests.templates.raw_sources import Mutation
from toolkit.templates.model import Prediction, Replacement, SynthesizedStack
from toolkit.templates.replacement import combined, predict

NEVER, MAYBE, ALWAYS = Replacement.NEVER, Replacement.MAYBE, Replacement.ALWAYS
DATABASE, INSTANCE = "AWS::RDS::DBInstance", "AWS::EC2::Instance"


DATA = json.loads(gzip.decompress((ROOT / "toolkit/templates/replacements.json.gz").read_bytes()))


def predictions(before: SynthesizedStack, after: SynthesizedStack) -> dict[str, Prediction]:
    return predict(compared(before, after), after)


def word(before: dict[str, Any], after: dict[str, Any]) -> Replacement:
    return predictions(stack({"It": before}), stack({"It": after}))["It"].replacement


def changed(type: str, before: dict[str, Any], after: dict[str, Any]) -> Replacement:
    return word(resource(type, **before), resource(type, **after))


def check(mutations: Iterable[Mutation]) -> None:
    """That a prediction is what the sources say in their own words."""
    counted = dict.fromkeys(Replacement, 0)
    for mutation in mutations:
        old, new = (stack(each["Resources"]) for each in (mutation.before, mutation.after))
        result = predictions(old, new)["It"].replacement
        counted[result] += 1
        words = {mutation.cfn_lint, mutation.cdk}
        if words != {raw_sources.NO}:
            assert result is not NEVER, mutation
        elif not isinstance(mutation.values[1], dict):  # which may hold more below
            assert result is NEVER, mutation
        if words == {raw_sources.YES}:
            assert result is ALWAYS, mutation
    assert all(number > 20 for number in counted.values())


def test_of_600_mutated_templates_none_is_called_kept_where_a_source_says_otherwise() -> None:
    check(raw_sources.samples())


@pytest.mark.slow("real CDK")
@pytest.mark.skipif(
    not raw_sources.SOURCES, reason="TOOLKIT_TEST_CDK names no folder with the sources"
)
def test_what_the_sources_say_themselves_is_never_missed() -> None:
    assert raw_sources.SOURCES is not None
    check(raw_sources.mutations(*raw_sources.SOURCES, by_mode(5000, 5000, 50_000), seed=1))


@pytest.mark.parametrize(
    ("cfn_lint", "cdk", "both"),
    [
        (NEVER, NEVER, NEVER),
        (ALWAYS, ALWAYS, ALWAYS),
        (MAYBE, MAYBE, MAYBE),
        (NEVER, ALWAYS, MAYBE),
        (ALWAYS, NEVER, MAYBE),
        (ALWAYS, None, MAYBE),
        (NEVER, None, MAYBE),
        (None, None, MAYBE),
    ],
)
def test_it_is_maybe_where_they_differ(
    cfn_lint: Replacement | None, cdk: Replacement | None, both: Replacement
) -> None:
    assert combined(cfn_lint, cdk) is both


def test_what_cfn_lint_alone_misses_is_not_missed() -> None:
    """The pairs of capabilities.md 0.10c."""
    assert changed(DATABASE, {"Port": 1}, {"Port": 2}) is MAYBE
    assert changed(DATABASE, {"StorageType": "a"}, {"StorageType": "b"}) is MAYBE
    assert changed(BUCKET, {"ObjectLockEnabled": False}, {"ObjectLockEnabled": True}) is not NEVER
    assert changed("AWS::EC2::EIP", {"Domain": "a"}, {"Domain": "b"}) is not NEVER


def test_what_neither_knows_is_maybe() -> None:
    assert changed("Custom::Thing", {"A": 1}, {"A": 2}) is MAYBE
    assert changed("AWS::Made::Up", {"A": 1}, {"A": 2}) is MAYBE
    assert changed(BUCKET, {"MadeUp": 1}, {"MadeUp": 2}) is MAYBE
    assert changed("AWS::Serverless::Function", {"MemorySize": 1}, {"MemorySize": 2}) is MAYBE


def test_what_is_no_property_replaces_nothing() -> None:
    for name in ("Metadata", "DeletionPolicy", "DependsOn", "UpdateReplacePolicy"):
        assert word(resource(BUCKET), {**resource(BUCKET), name: "a"}) is NEVER


def test_another_type_replaces() -> None:
    assert word(resource(BUCKET), resource(DATABASE)) is ALWAYS


def disks(**ebs: Any) -> dict[str, Any]:
    return {"BlockDeviceMappings": [{"DeviceName": "a", "Ebs": ebs}]}


def test_nested_properties_count_by_their_own_word() -> None:
    table = "AWS::Cognito::UserPool"
    assert "UsernameConfiguration" in json.dumps(DATA[table])
    found = predictions(
        stack({"It": resource(INSTANCE, **disks(KmsKeyId="1"))}),
        stack({"It": resource(INSTANCE, **disks(KmsKeyId="2"))}),
    )["It"]
    assert [(each.cfn_lint, each.cdk) for each in found.verdicts] == [(MAYBE, ALWAYS)]


def test_a_function_may_stand_for_anything_below_it() -> None:
    type, path = next(
        (type, path)
        for type, words in DATA.items()
        for letters, paths in words.items()
        for path in paths
        if letters == "aa" and path.count("/") == 1 and "*" not in path
    )
    outer, inner = path.split("/")
    assert changed(type, {outer: {"Other": 1}}, {outer: {"Other": 1, inner: 2}}) is ALWAYS
    hidden = {outer: {"Fn::If": ["IsProd", {inner: 1}, {"Ref": "AWS::NoValue"}]}}
    assert changed(type, {outer: {"Other": 1}}, hidden) is not NEVER


POLICY = "AWS::S3::BucketPolicy"


def test_what_refers_to_something_that_is_replaced_may_be() -> None:
    def shop(name: str) -> SynthesizedStack:
        return stack(
            {
                "Data": resource(BUCKET, BucketName=name),
                "Policy": resource(POLICY, Bucket={"Ref": "Data"}),
                "Same": resource(POLICY, Bucket="other", PolicyDocument={"Ref": "Data"}),
            }
        )

    found = predictions(shop("a"), shop("b"))
    assert {name: each.replacement for name, each in found.items()} == {
        "Data": ALWAYS,
        "Policy": MAYBE,
    }
    assert found["Policy"].verdicts[0].reason == "refers to Data"


@pytest.mark.parametrize("section", ["Parameters", "Mappings", "Conditions"])
def test_what_refers_to_another_value_may_be(section: str) -> None:
    value = {
        "Parameters": {"Ref": "Name"},
        "Mappings": {"Fn::FindInMap": ["Name", "a", "b"]},
        "Conditions": {"Fn::If": ["Name", "a", "b"]},
    }[section]
    data = {"Data": resource(BUCKET, BucketName=value)}
    sides: list[dict[str, Any]] = [{section: {"Name": {"a": number}}} for number in (1, 2)]
    before, after = (stack(data, **sections) for sections in sides)
    assert predictions(before, after)["Data"].replacement is MAYBE
    assert predict(compared(before, after)) == {}


def test_it_is_followed_into_nested_stacks_and_out_of_them() -> None:
    from msgspec.structs import replace

    def shop(name: str) -> SynthesizedStack:
        outer = stack(
            {
                "Data": resource(BUCKET, BucketName=name),
                "In": resource(
                    "AWS::CloudFormation::Stack", Parameters={"Bucket": {"Ref": "Data"}}
                ),
                "Last": resource(POLICY, Bucket={"Fn::GetAtt": ["In", "Outputs.Name"]}),
            }
        )
        inner = {
            "Resources": {"Policy": resource(POLICY, Bucket={"Ref": "Bucket"})},
            "Outputs": {"Name": {"Value": {"Ref": "Policy"}}},
        }
        return replace(outer, nested={"In": inner})

    found = predictions(shop("a"), shop("b"))
    assert found["In/Policy"].replacement is MAYBE
    assert found["Last"].replacement is MAYBE


def test_the_change_set_has_the_last_word() -> None:
    sides = [stack({"It": resource(DATABASE, Port=port)}) for port in (1, 2)]
    found = predict(compared(*sides), sides[1], {"It": NEVER, "Other": ALWAYS})
    assert (found["It"].replacement, found["It"].by_change_set) == (NEVER, True)
    assert found["Other"].replacement is ALWAYS
