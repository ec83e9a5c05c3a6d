"""The stacks of assemblies as the CDK writes them, and of templates that people write."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from tests.templates.parts import BUCKET, OLD, assembly, file_asset, reader, resource, stack
from toolkit.errors import FileProblem
from toolkit.formats.cdk_manifest import DEEPEST, STACK, STAGE
from toolkit.templates.assembly import plain_stack, stacks
from toolkit.templates.clean import digest

LOOKUP = {
    "key": "availability-zones:account=111111111111:region=eu-west-1",
    "provider": "availability-zones",
    "props": {"account": "111111111111", "region": "eu-west-1"},
}


def one_stack(
    *needs: str, name: str | None = None, environment: str = "aws://111111111111/eu-west-1"
) -> dict[str, Any]:
    """A stack of a manifest."""
    properties = {"templateFile": "t.json"} | ({"stackName": name} if name else {})
    return {
        "type": STACK,
        "environment": environment,
        "properties": properties,
        "dependencies": list(needs),
    }


def stage(folder: str, *needs: str) -> dict[str, Any]:
    """A stage of a manifest."""
    return {"type": STAGE, "properties": {"directoryName": folder}, "dependencies": list(needs)}


EMPTY = {"Resources": {"Data": resource(BUCKET)}}


def test_stages_are_read_and_wait_for_what_is_before_them() -> None:
    inner = {"B": one_stack(name="Prod-B") | {"displayName": "Prod/B"}, "C": one_stack("B")}
    files = {
        "manifest.json": {
            "artifacts": {
                "A": one_stack(),
                "Prod": stage("assembly-Prod", "A"),
                "D": one_stack("Prod"),
            }
        },
        "t.json": EMPTY,
        "assembly-Prod/manifest.json": {"artifacts": inner},
        "assembly-Prod/t.json": EMPTY,
    }
    read = {each.id: each for each in stacks(reader(files))}
    assert list(read) == ["A", "Prod/B", "C", "D"]
    assert read["Prod/B"].name == "Prod-B"
    assert read["Prod/B"].dependencies == ("A",)
    assert read["C"].dependencies == ("A", "Prod/B")
    assert read["D"].dependencies == ("C", "Prod/B")


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ("aws://111111111111/eu-west-1", ("111111111111", "eu-west-1")),
        ("aws://unknown-account/unknown-region", (None, None)),
        ("aws://unknown-account/eu-west-1", (None, "eu-west-1")),
        ("", (None, None)),
    ],
)
def test_what_the_app_leaves_open_is_none(environment: str, place: tuple[str | None, ...]) -> None:
    [read] = stacks(reader(assembly(EMPTY, environment=environment)))
    assert (read.account, read.region) == place


def test_a_lookup_without_an_answer_makes_its_environment_unknown_and_what_depends_on_it() -> None:
    files = {
        "manifest.json": {
            "artifacts": {
                "Here": one_stack(),
                "There": one_stack(environment="aws://111111111111/us-east-1"),
                "After": one_stack("Here", environment="aws://111111111111/us-east-1"),
            },
            "missing": [LOOKUP],
        },
        "t.json": EMPTY,
    }
    missing = {each.id: each.missing for each in stacks(reader(files))}
    assert missing["Here"] == missing["After"] == (f"the app has to look up {LOOKUP['key']}",)
    assert missing["There"] == ()


def test_a_lookup_that_names_no_environment_makes_all_unknown() -> None:
    [read] = stacks(reader(assembly(EMPTY, missing=[{"key": "plugin:a", "props": {}}])))
    assert read.missing == ("the app has to look up plugin:a",)


def test_a_made_up_value_makes_a_stack_of_another_environment_unknown() -> None:
    template = {"Resources": {"Net": resource("AWS::EC2::Subnet", AvailabilityZone="dummy1a")}}
    away = assembly(template, environment="aws://1/us-east-1", missing=[LOOKUP])
    [read] = stacks(reader(away))
    assert read.missing


def test_assets_of_the_old_synthesis_are_read_from_metadata_in_either_place() -> None:
    entry = {
        "type": "aws:cdk:asset",
        "data": {"path": "asset.1", "packaging": "zip", "sourceHash": OLD, "id": "x"},
    }
    within = assembly(EMPTY, dependencies=[], metadata={"/Shop": [entry]})
    beside = assembly(
        EMPTY,
        dependencies=[],
        additionalMetadataFile="Shop.metadata.json",
        **{"Shop.metadata.json": {"/Shop": [entry]}},
    )
    for files in (within, beside):
        [read] = stacks(reader(files))
        assert [(each.content, dict(each.options)) for each in read.assets] == [
            (OLD, {"packaging": "zip"})
        ]


def test_tags_are_read_where_the_cdk_wrote_them_before() -> None:
    entry = {"type": "aws:cdk:stack-tags", "data": [{"key": "team", "value": "a"}]}
    [read] = stacks(reader(assembly(EMPTY, metadata={"/Shop": [entry]})))
    assert read.tags == {"team": "a"}


def test_what_is_remarked_about_a_stack_and_the_stages_around_it_is_read() -> None:
    def said(level: str, text: str) -> dict[str, Any]:
        return {"/Prod": [{"type": f"aws:cdk:{level}", "data": text}, 5], "/None": None}

    files = {
        "manifest.json": {"artifacts": {"Prod": {**stage("in"), "metadata": said("error", "a")}}},
        "in/manifest.json": {
            "artifacts": {
                "A": one_stack("B", "X") | {"additionalMetadataFile": "a.json"},
                "B": one_stack() | {"metadata": said("info", "of another stack")},
                "X": {"type": "x", "metadata": said("info", "d")},
            }
        },
        "in/a.json": said("warning", "b\n c")
        | {"/Q": [{"type": "aws:cdk:info", "data": {"e": 1}}]},
        "in/t.json": EMPTY,
    }
    [read, _] = stacks(reader(files))
    assert [(each.level.name, each.text) for each in read.remarks] == [
        ("ERROR", "/Prod: a"),
        ("WARNING", "/Prod: b c"),
        ("INFO", '/Q: {"e": 1}'),
        ("INFO", "/Prod: d"),
    ]
    assert digest(read) == digest(replace(read, remarks=()))


def deep(number: int) -> dict[str, Any]:
    """An assembly with stages in each other."""
    files: dict[str, Any] = {}
    folder = ""
    for level in range(number):
        files[f"{folder}manifest.json"] = {"artifacts": {"S": stage(f"s{level}")}}
        folder = f"{folder}s{level}/"
    files[f"{folder}manifest.json"] = {"artifacts": {}}
    return files


NESTS_ITSELF = {
    "Resources": {"In": resource("AWS::CloudFormation::Stack", TemplateURL=f"https://a/{OLD}.json")}
}
WRONG: dict[str, dict[str, Any]] = {
    "nothing": {},
    "no JSON": {"manifest.json": "{"},
    "no object": {"manifest.json": "[]"},
    "artifacts of another form": {"manifest.json": {"artifacts": []}},
    "no template": {"manifest.json": {"artifacts": {"A": {"type": STACK}}}},
    "a stage outside": {"manifest.json": {"artifacts": {"A": stage("../other")}}},
    "an absolute stage": {"manifest.json": {"artifacts": {"A": stage("/etc")}}},
    "a stage in itself": {"manifest.json": {"artifacts": {"A": stage(".")}}},
    "too many stages in each other": deep(DEEPEST + 1),
    "a template outside": assembly(EMPTY, properties={"templateFile": "../../etc/passwd"}),
    "a template that is none": assembly("- 1"),
    "a template without end": assembly('{"a":' * 100_000),
    "a template that holds itself": assembly("a: &a [*a]"),
    "a template of half characters": assembly('{"Resources": {"\\ud800": {}}}'),
    "a nested template in itself": assembly(
        EMPTY,
        files={OLD: file_asset("in.json")},
        **{"in.json": NESTS_ITSELF, "Shop.template.json": NESTS_ITSELF},
    ),
}


@pytest.mark.parametrize("files", WRONG.values(), ids=WRONG.keys())
def test_what_is_not_as_the_cdk_writes_it_is_a_declared_error(files: dict[str, Any]) -> None:
    with pytest.raises(FileProblem):
        stacks(reader(files))


def test_a_nested_template_without_its_file_is_a_declared_error() -> None:
    files = assembly(NESTS_ITSELF, files={OLD: file_asset("in.json")})
    with pytest.raises(FileProblem):
        stacks(reader(files))


def test_stages_as_deep_as_is_allowed_are_read() -> None:
    assert stacks(reader(deep(DEEPEST))) == ()


SAM = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Api:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: api/
      MemorySize: 128
      Role: !GetAtt Role.Arn
"""


def test_yaml_and_json_are_the_same_template() -> None:
    data = {
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": {
            "Api": resource(
                "AWS::Serverless::Function",
                CodeUri="api/",
                MemorySize=128,
                Role={"Fn::GetAtt": "Role.Arn"},
            )
        },
    }
    assert digest(plain_stack(stack(), SAM)) == digest(plain_stack(stack(), json.dumps(data)))


def test_quotes_that_change_a_type_are_a_change() -> None:
    quoted = SAM.replace("128", '"128"')
    assert digest(plain_stack(stack(), SAM)) != digest(plain_stack(stack(), quoted))


def test_comments_and_layout_are_none() -> None:
    other = "# a shop\n" + SAM.replace("api/", "'api/'  # the code")
    assert digest(plain_stack(stack(), SAM)) == digest(plain_stack(stack(), other))
