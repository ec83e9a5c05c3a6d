"""CloudFormation and SAM templates: a stack each, and what it deploys."""

import json
from time import process_time

import pytest

from tests.init.drafted import DraftedRepository

SAM = """
AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
Globals:
  Function:
    CodeUri: common/
Resources:
  Login:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: login/
      Role: !GetAtt Role.Arn
  Logout:
    Type: AWS::Serverless::Function
    Properties: {Handler: x}
  Layer:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: layers/base/python}
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties: {DefinitionUri: machine.asl.json}
  Picture:
    Type: AWS::Serverless::Function
    Properties: {PackageType: Image}
    Metadata: {DockerContext: picture, Dockerfile: Dockerfile}
"""
TREE = {
    "sam/template.yaml": SAM,
    "sam/samconfig.toml": "version = 0.1\n[default.deploy.parameters]\nstack_name = 'shop-login'\n",
    "sam/login/app.py": "",
    "sam/login/tests/test_app.py": "import unittest",
    "sam/common/app.py": "",
    "sam/layers/base/requirements.txt": "",
    "sam/machine.asl.json": "{}",
    "sam/picture/Dockerfile": "FROM x\nCOPY app.py .\n",
    "sam/picture/app.py": "",
    "sam/picture/notes.txt": "",
    "sam/other.py": "",
}


@pytest.mark.parametrize(
    ("path", "due"),
    [
        ("sam/template.yaml", ["login"]),
        ("sam/samconfig.toml", ["login"]),
        ("sam/login/app.py", ["login"]),
        ("sam/login/tests/test_app.py", "ignored"),
        ("sam/common/app.py", ["login"]),
        ("sam/layers/base/requirements.txt", ["login"]),
        ("sam/machine.asl.json", ["login"]),
        ("sam/picture/app.py", ["login"]),
        ("sam/picture/Dockerfile", ["login"]),
        ("sam/picture/notes.txt", "unmatched"),
        ("sam/other.py", "unmatched"),
    ],
)
def test_a_sam_template_deploys_what_its_resources_name(path: str, due: object) -> None:
    assert DraftedRepository(TREE).due(path) == due


def test_a_sam_template_is_one_stack_with_the_name_of_its_configuration() -> None:
    drafted = DraftedRepository(TREE)
    assert drafted.targets == {"login": "stack"}
    assert drafted.setting("login", "stack") == "shop-login"
    assert drafted.setting("login", "template") == "sam/template.yaml"
    assert "stack" not in drafted.questions


def test_without_a_configuration_the_name_is_asked_for() -> None:
    drafted = DraftedRepository(
        {path: text for path, text in TREE.items() if not path.endswith(".toml")}
    )
    assert (
        "targets.sam.stack: the name of the stack of sam/template.yaml (drafted as `shop`)"
        in drafted.questions
    )


def test_parameters_without_a_default_are_asked_for_by_name() -> None:
    template = (
        "AWSTemplateFormatVersion: '2010-09-09'\nParameters:\n  Size: {Type: String}\n  Age: {Type:"
        " Number, Default: 1}\n"
    )
    template += "  Vpc: {Type: 'AWS::EC2::VPC::Id'}\nResources:\n  Q: {Type: AWS::SQS::Queue}\n"
    text = (
        "targets.queues.parameters: infra/queues.yaml needs values for Size, Vpc, which have no"
        " default"
    )
    assert text in DraftedRepository({"infra/queues.yaml": template}).questions
    plain = template.replace("Size: {Type: String}", "Size: {Type: String, Default: ''}").replace(
        "Vpc:", "X: {Type: String, Default: ''}\n  Y:"
    )
    plain = plain.replace("'AWS::EC2::VPC::Id'}", "String, Default: a}")
    assert ".parameters" not in DraftedRepository({"infra/queues.yaml": plain}).questions


def test_code_that_is_not_in_git_is_asked_for() -> None:
    drafted = DraftedRepository({"template.yaml": SAM, "machine.asl.json": ""})
    assert (
        "template.yaml deploys login, which is not in git: which rule should name its source?"
        in drafted.questions
    )


def test_code_that_a_parameter_names_is_elsewhere() -> None:
    drafted = DraftedRepository(
        {
            **TREE,
            "sam/template.yaml": (
                SAM.replace("login/", "!Ref Where") + "Parameters: {Where: {Type: String}}\n"
            ),
        }
    )
    assert "not in git" not in drafted.questions


def test_code_in_the_folder_of_the_template_is_the_whole_folder() -> None:
    drafted = DraftedRepository(
        {"sam/template.yaml": SAM.replace("login/", "."), "sam/any.py": "", "b.py": ""}
    )
    assert drafted.due("sam/any.py") == ["sam"]
    assert drafted.due("b.py") == "unmatched"


def plain(**properties: object) -> str:
    kinds = {
        "ClusterName": "AWS::ECS::Cluster",
        "ServiceName": "AWS::ECS::Service",
        "RepositoryName": "AWS::ECR::Repository",
    }
    resources = {
        key: {"Type": kinds[key], "Properties": {key: value}} for key, value in properties.items()
    }
    parameters = {"Env": {"Type": "String"}, "Given": {"Type": "String", "Default": "given"}}
    return json.dumps({"Parameters": parameters, "Resources": resources})


BACKEND = {"backend/Dockerfile": "FROM x\nCOPY a .\n", "backend/a": ""}


def test_a_plain_template_names_what_the_app_runs_in() -> None:
    template = plain(ClusterName="shop-${Env}", ServiceName="Given", RepositoryName="shop")
    drafted = DraftedRepository({"infra/ecs.json": template, **BACKEND})
    app = [drafted.setting("backend", key) for key in ("cluster", "service", "repository", "needs")]
    assert app == ["shop-{env}", "given", "shop", ("ecs",)]
    assert drafted.rules.environments["dev"].vars == {"env": "dev"}


@pytest.mark.parametrize("value", [{"Ref": "Env"}, "${AWS::StackName}-x", "Env", 5, "a{b}"])
def test_a_name_that_cannot_be_known_is_asked_for(value: object) -> None:
    drafted = DraftedRepository({"infra/ecs.json": plain(ServiceName=value), **BACKEND})
    assert "targets.backend.service" in drafted.questions


NESTED = {
    "infra/root.yaml": (
        "AWSTemplateFormatVersion: x\nResources:\n  A:\n    Type: AWS::CloudFormation::Stack\n"
        "    Properties: {TemplateURL: parts/a.yaml}\n"
    ),
    "infra/parts/a.yaml": (
        "Resources:\n  B:\n    Type: AWS::CloudFormation::Stack\n    Properties: {TemplateURL:"
        " ../root.yaml}\n"
    ),
}


def test_templates_that_nest_each_other_come_to_an_end() -> None:
    assert DraftedRepository(NESTED).targets == {}


def test_a_nested_template_is_a_part_of_the_stack_that_nests_it() -> None:
    leaf = "Resources:\n  B:\n    Type: AWS::SNS::Topic\n"
    drafted = DraftedRepository({**NESTED, "infra/parts/a.yaml": leaf})
    assert drafted.targets == {"root": "stack"}
    assert drafted.due("infra/parts/a.yaml") == ["root"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.yaml", "kind: Deployment\nmetadata: {}\n"),
        ("a.yaml", "note: see AWS::S3::Bucket\n"),
        ("a.json", '{"Resources": "AWS::S3::Bucket"}'),
        ("a.json", '{"Resources": {"A": {"Type": "Mine", "x": "AWS::"}}}'),
        (".github/workflows/a.yml", SAM),
        ("package.json", '{"x": "AWS::S3"}'),
        ("tests/template.py", SAM),
    ],
)
def test_other_documents_are_no_templates(path: str, text: str) -> None:
    assert DraftedRepository({path: text}).targets == {}


def test_a_template_that_cannot_be_read_is_said() -> None:
    assert DraftedRepository({"a.yaml": "AWSTemplateFormatVersion: x\n\t- :\n"}).notes.startswith(
        "a.yaml: could not be read ("
    )


def test_two_templates_are_told_apart_by_their_files() -> None:
    topic = "Resources:\n  B:\n    Type: AWS::SNS::Topic\n"
    drafted = DraftedRepository({"infra/network.yaml": topic, "infra/data/template.yaml": topic})
    assert [target.settings["stack"] for target in drafted.survey.draft.targets] == [
        "shop-data",
        "shop-network",
    ]
    assert list(drafted.targets) == ["data", "network"]


@pytest.mark.parametrize(
    ("path", "due"),
    [
        ("cf/site.params.json", ["site"]),
        ("cf/site-parameters.yaml", ["site"]),
        ("cf/prod.parameters.json", ["net", "site"]),
        ("cf/parameters.json", ["net", "site"]),
        ("cf/params/prod.json", ["net", "site"]),
        ("cf/parameters/net-prod.json", ["net"]),
        ("cf/other.json", "unmatched"),
    ],
)
def test_parameters_belong_to_the_stack_of_the_template_beside_them(path: str, due: object) -> None:
    bucket = '{"Resources": {"A": {"Type": "AWS::S3::Bucket"}}}'
    assert (
        DraftedRepository({"cf/site.json": bucket, "cf/net.json": bucket, path: "[]"}).due(path)
        == due
    )


PLAIN = "AWSTemplateFormatVersion: '2010-09-09'\nResources: {Topic: {Type: AWS::SNS::Topic}}\n"


def test_templates_that_would_be_called_the_same_are_called_after_their_paths() -> None:
    drafted = DraftedRepository(
        {"a/x/cfn.yaml": PLAIN, "b/x/cfn.yaml": PLAIN, "c/other.yaml": PLAIN}
    )
    names = {
        target.settings["template"]: target.settings["stack"]
        for target in drafted.survey.draft.targets
    }
    assert names == {
        "a/x/cfn.yaml": "shop-a-x-cfn",
        "b/x/cfn.yaml": "shop-b-x-cfn",
        "c/other.yaml": "shop-other",
    }


def test_templates_whose_configuration_says_the_same_name_are_asked_about() -> None:
    config = "version = 0.1\n[default.deploy.parameters]\nstack_name = 'shop-login'\n"
    drafted = DraftedRepository(
        {
            "a/template.yaml": SAM,
            "a/samconfig.toml": config,
            "b/template.yaml": SAM,
            "b/samconfig.toml": config,
        }
    )
    first, second = (target.settings["stack"] for target in drafted.survey.draft.targets)
    assert (first, second != first) == ("shop-login", True)
    assert "`shop-login` is what login deploys" in drafted.questions


@pytest.mark.parametrize("config", ["a = " + "9" * 5000, "a" + ".a" * 50_000 + " = 1", "["])
def test_a_configuration_that_cannot_be_read_in_time_says_no_name(config: str) -> None:
    began = process_time()
    drafted = DraftedRepository({"a/template.yaml": SAM, "a/samconfig.toml": config})
    [target] = drafted.survey.draft.targets
    assert target.settings["stack"] != "shop-login"
    assert process_time() - began < 2


def test_a_template_and_a_cdk_stack_of_one_name_are_drafted_apart() -> None:
    program = (
        "import * as cdk from 'aws-cdk-lib';\nconst app = new cdk.App();\nnew cdk.Stack(app,"
        " 'shop-queue');\n"
    )
    drafted = DraftedRepository(
        {
            "cdk.json": '{"app": "npx ts-node bin/app.ts"}',
            "bin/app.ts": program,
            "queue.yaml": PLAIN,
            "other.yaml": PLAIN,
        }
    )
    names = [
        target.settings["stack"]
        for target in drafted.survey.draft.targets
        if target.kind == "stack"
    ]
    assert len(names) == len(set(names))
    assert "shop-queue" in names
