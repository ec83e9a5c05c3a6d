"""Local code and nested templates of a template are packaged by content, as the AWS CLI does it, or
refused where that would not run.
"""

import io
import json
import os
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.sandbox import Cloud
from tests.support.stacks import ACCOUNT, REGION, Stacks, template
from toolkit.errors import NoTemplate, Refused
from toolkit.formats.template import read_template
from toolkit.ports import cdk
from toolkit.show.advice import sentence
from toolkit.targets.stack.packaging import (
    PROPERTIES,
    PackageBucket,
    PackagedTemplate,
    package_template,
)

WHERE = PackageBucket("b", "pre/", f"https://s3.{REGION}.amazonaws.com/b/")
SAM = """\
Transform: AWS::Serverless-2016-10-31
Resources:
  Api:  # the one
    Type: AWS::Serverless::Function
    Properties: {CodeUri: src/api, Handler: !Sub "${AWS::StackName}.x", Runtime: python3.12}
"""
ROLE = f"arn:aws:iam::{ACCOUNT}:role/x"


class PackagedFolder:
    """A folder with files, packaged for bucket `b`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, name: str, text: str = "x") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def packaged(self, name: str = "template.yaml", text: str | None = None) -> PackagedTemplate:
        if text is not None:
            self.write(name, text)
        return package_template(str(self.root), name, (self.root / name).read_text(), lambda: WHERE)

    def refusal(self, name: str = "template.yaml", text: str | None = None) -> tuple[str, str]:
        with pytest.raises(Refused) as refused:
            self.packaged(name, text)
        return str(refused.value), sentence(refused.value.next)


@pytest.fixture
def repo(tmp_path: Path) -> PackagedFolder:
    return PackagedFolder(tmp_path / "repo")


def resource(kind: str, path: tuple[str, ...], value: Any) -> dict[str, Any]:
    for step in reversed(path):
        value = {step: value}
    return {"Resources": {"One": {"Type": kind, "Properties": value}}}


def at(text: str, path: tuple[str, ...]) -> Any:
    result = read_template(text).data["Resources"]["One"]["Properties"]
    for step in path:
        result = result[step]
    return result


# --- the table


@pytest.mark.parametrize("form", ["json", "yaml"])
@pytest.mark.parametrize(
    "known", PROPERTIES, ids=lambda known_names: f"{known_names.type}.{'.'.join(known_names.path)}"
)
def test_every_property_of_the_table_is_given_the_address_of_its_package(
    repo: PackagedFolder, known: Any, form: str
) -> None:
    repo.write("infra/part.json", '{"Resources": {}}')
    text = json.dumps(resource(known.type, known.path, "part.json"))
    if form == "yaml":
        import yaml

        text = yaml.safe_dump(json.loads(text))
    packaged = repo.packaged("infra/template.txt", text)
    [asset] = packaged.assets
    value = at(packaged.text, known.path)
    if known.form.name == "TEMPLATE":
        assert value == f"{WHERE.address}{asset.key}"
        assert asset.key.startswith("pre/templates/")
    elif known.form.name == "PARTS":
        assert value == {known.bucket: "b", known.key: asset.key}
    else:
        assert value == f"s3://b/{asset.key}"
    assert asset.key.endswith(
        ".zip" if known.zipped else ".template" if known.form.name == "TEMPLATE" else ".json"
    )


@pytest.mark.parametrize(
    "value",
    [
        "s3://bucket/key",
        "https://bucket.s3.amazonaws.com/x",
        "http://x/y",
        {"Bucket": "b", "Key": "k"},
        {"S3Bucket": "b", "S3Key": "k"},
        {"ZipFile": "x"},
        {"ImageUri": "x"},
        {"Ref": "Code"},
        {"Fn::Sub": "s3://${B}/k"},
        "",
        None,
    ],
    ids=str,
)
def test_what_is_no_local_path_is_left_as_it_is_and_asks_for_no_bucket(
    repo: PackagedFolder, value: Any
) -> None:
    for known_names in PROPERTIES:
        text = json.dumps(resource(known_names.type, known_names.path, value))
        repo.write("t.json", text)

        def nobody() -> PackageBucket:
            raise AssertionError("no bucket is needed")

        assert package_template(str(repo.root), "t.json", text, nobody) == PackagedTemplate(
            text, ()
        )


def test_a_yaml_template_keeps_every_other_letter_of_it(repo: PackagedFolder) -> None:
    repo.write("src/api/app.py")
    packaged = repo.packaged(text=SAM)
    assert packaged.text == SAM.replace("src/api", f'"s3://b/{packaged.assets[0].key}"')


@pytest.mark.parametrize("text", ["!Sub src/api", "!Ref Code", "!ImportValue src/api"])
def test_a_short_function_is_no_path(repo: PackagedFolder, text: str) -> None:
    repo.write("src/api/app.py")
    whole = SAM.replace("src/api,", f"{text},")
    assert repo.packaged(text=whole) == PackagedTemplate(whole, ())


def test_crlf_and_letters_beyond_ascii_do_not_move_what_is_replaced(repo: PackagedFolder) -> None:
    repo.write("src/api/app.py")
    text = SAM.replace("the one", "die \u00dcbersicht \U0001f600").replace("\n", "\r\n")
    packaged = package_template(str(repo.root), "template.yaml", text, lambda: WHERE)
    assert packaged.text == text.replace("src/api", f'"s3://b/{packaged.assets[0].key}"')


def test_code_of_all_functions_loops_and_includes_are_packaged(repo: PackagedFolder) -> None:
    repo.write("src/api/app.py")
    repo.write("part.yaml")
    packaged = repo.packaged(
        text="""\
Globals: {Function: {CodeUri: src/api}}
Resources:
  Fn::ForEach::All:
    - Name
    - [A, B]
    - "${Name}Fn": {Type: AWS::Lambda::Function, Properties: {Code: ./src/api/}}
  Fn::Transform: {Name: AWS::Include, Parameters: {Location: part.yaml}}
  Role: !Transform {Name: AWS::Include, Parameters: {Location: ./part.yaml}}
"""
    )
    code, same, *parts = sorted(packaged.assets, key=lambda asset: asset.name, reverse=True)
    assert [asset.name for asset in packaged.assets] == [
        "${Name}Fn.Code",
        "Globals.Function.CodeUri",
        "AWS::Include.Location",
    ]
    assert {code.key.rpartition(".")[2], same.key.rpartition(".")[2]} >= {"zip"}
    assert "src/api" not in packaged.text
    assert "part.yaml" not in packaged.text
    assert parts


# --- content


def test_the_key_is_the_content_and_nothing_else(repo: PackagedFolder) -> None:
    first = repo.write("src/api/app.py")
    before = repo.packaged(text=SAM).assets[0].key
    os.utime(first, (1, 1))
    repo.write("src/api/__pycache__/app.pyc")
    repo.write("src/api/.git/HEAD")
    assert repo.packaged().assets[0].key == before
    keys = {before}
    for change in (
        lambda: first.write_text("y"),
        lambda: first.chmod(0o755),
        lambda: first.rename(first.with_name("b.py")),
        lambda: repo.write("src/api/new.py"),
    ):
        change()
        keys.add(repo.packaged().assets[0].key)
    assert len(keys) == 5


def test_a_folder_is_packed_alike_each_time_without_caches(repo: PackagedFolder) -> None:
    repo.write("src/api/app.py")
    repo.write("src/api/sub/x.sh").chmod(0o755)
    repo.write("src/api/__pycache__/app.pyc")
    bodies = []
    for _ in range(2):
        body = io.BytesIO()
        cdk.pack(repo.packaged(text=SAM).assets[0], body)
        bodies.append(body.getvalue())
        os.utime(repo.root / "src/api/app.py", (1, 1))
    assert bodies[0] == bodies[1]
    with zipfile.ZipFile(io.BytesIO(bodies[0])) as archive:
        assert archive.namelist() == ["app.py", "sub/x.sh"]


def test_a_single_file_of_code_is_put_into_an_archive_and_an_archive_is_not(
    repo: PackagedFolder,
) -> None:
    repo.write("src/api", "print()")
    body = io.BytesIO()
    cdk.pack(repo.packaged(text=SAM).assets[0], body)
    with zipfile.ZipFile(body) as archive:
        assert archive.namelist() == ["api"]
    (repo.root / "src/api").write_bytes(body.getvalue())
    asset = repo.packaged().assets[0]
    assert asset.packaging == "file"
    again = io.BytesIO()
    cdk.pack(asset, again)
    assert again.getvalue() == body.getvalue()


# --- nested templates


def test_nested_templates_are_packaged_from_the_inside_relative_to_themselves(
    repo: PackagedFolder,
) -> None:
    repo.write("infra/fn/index.py")
    repo.write(
        "infra/inner.yaml",
        "Resources: {Fn: {Type: AWS::Lambda::Function, Properties: {Code: fn}}}\n",
    )
    outer = (
        "Resources: {In: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL:"
        " infra/inner.yaml}}}\n"
    )
    packaged = repo.packaged(text=outer)
    code, inner = packaged.assets
    assert (code.name, inner.name) == ("Fn.Code", "In.TemplateURL")
    assert (
        inner.text
        == 'Resources: {Fn: {Type: AWS::Lambda::Function, Properties: {Code: {"S3Bucket": "b",'
        f' "S3Key": "{code.key}"}}}}}}}}\n'
    )
    assert packaged.text == outer.replace("infra/inner.yaml", f'"{WHERE.address}{inner.key}"')
    body = io.BytesIO()
    body.write(inner.text.encode())
    repo.write("infra/fn/index.py", "other")
    assert (
        repo.packaged().text != packaged.text
    )  # the change of the code reaches the outermost template


def test_templates_that_nest_each_other_are_refused(repo: PackagedFolder) -> None:
    nested = (
        "Resources: {{In: {{Type: AWS::CloudFormation::Stack, Properties: {{TemplateURL: {}}}}}}}"
    )
    repo.write("b.yaml", nested.format("template.yaml"))
    assert (
        repo.refusal(text=nested.format("b.yaml"))[0]
        == "b.yaml: In.TemplateURL nests template.yaml in itself"
    )
    for number in range(12):
        repo.write(f"n{number}.yaml", nested.format(f"n{number + 1}.yaml"))
    assert "nests n" in repo.refusal("n0.yaml")[0]


def test_a_nested_template_that_cannot_be_read_is_named(repo: PackagedFolder) -> None:
    repo.write("b.yaml", "a: [")
    with pytest.raises(NoTemplate, match=r"b\.yaml"):
        repo.packaged(
            text=(
                "Resources: {In: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL:"
                " b.yaml}}}"
            )
        )


# --- what cannot be packaged


@pytest.mark.parametrize("value", ["nowhere", "../outside", "/etc", "link", "../repo2/x"])
def test_a_path_that_is_not_there_or_leaves_the_repository_is_refused_by_name(
    repo: PackagedFolder, value: str
) -> None:
    repo.write("../outside/secret")
    repo.write("../repo2/x")
    repo.root.mkdir(exist_ok=True)
    (repo.root / "link").symlink_to("../outside")
    problem, _ = repo.refusal(text=SAM.replace("src/api", value))
    why = "does not exist" if value == "nowhere" else "is "
    assert problem.startswith(f"template.yaml: Api.CodeUri names {value}, which {why}")


def test_a_link_in_the_code_that_leaves_it_is_refused(repo: PackagedFolder) -> None:
    repo.write("src/api/app.py")
    (repo.root / "src/api/passwd").symlink_to("/etc/passwd")
    assert "link that leaves" in repo.refusal(text=SAM)[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("requirements.txt", "# tools\n\nrequests==2.32.0\n"),
        ("package.json", '{"dependencies": {"axios": "1"}}'),
        ("package.json", "{"),
        ("pyproject.toml", '[project]\ndependencies = ["requests"]\n'),
        ("pyproject.toml", "a = " + "9" * 5000),
        ("pom.xml", ""),
        ("build.gradle.kts", ""),
        ("go.mod", ""),
        ("Gemfile", ""),
        ("Cargo.toml", ""),
    ],
)
def test_a_program_whose_packages_are_not_installed_is_refused_with_sam_build(
    repo: PackagedFolder, name: str, text: str
) -> None:
    repo.write(f"src/api/{name}", text)
    assert repo.refusal(text=SAM) == (
        (
            f"template.yaml: Api.CodeUri needs what src/api/{name} names, and that is not installed"
            " in it"
        ),
        "run: sam build",
    )
    repo.write(f"infra/src/api/{name}", text)
    assert (
        repo.refusal("infra/t.yaml", SAM)[1]
        == "run: sam build --template-file infra/t.yaml --build-dir infra/.aws-sam/build"
    )
    assert repo.refusal("t.yaml", SAM)[1] == "run: sam build --template-file t.yaml"


@pytest.mark.parametrize(
    ("name", "text", "beside"),
    [
        ("requirements.txt", "# none\n\n", ""),
        ("requirements.txt", "requests\n", "requests-2.32.0.dist-info/METADATA"),
        ("package.json", '{"devDependencies": {"jest": "1"}}', ""),
        ("package.json", '{"dependencies": {}}', ""),
        ("package.json", '{"dependencies": {"axios": "1"}}', "node_modules/axios/index.js"),
        ("pyproject.toml", "[tool.ruff]\n", ""),
    ],
)
def test_a_program_that_has_all_that_it_needs_is_packaged(
    repo: PackagedFolder, name: str, text: str, beside: str
) -> None:
    repo.write(f"src/api/{name}", text)
    if beside:
        repo.write(f"src/api/{beside}")
    assert len(repo.packaged(text=SAM).assets) == 1


def test_a_program_with_a_build_method_has_to_be_built(repo: PackagedFolder) -> None:
    repo.write("src/api/app.ts")
    text = SAM + "    Metadata: {BuildMethod: esbuild}\n"
    assert repo.refusal(text=text) == (
        "template.yaml: Api.CodeUri has to be built: its BuildMethod is esbuild",
        "run: sam build",
    )


def test_what_sam_build_made_is_used_while_it_is_newer_than_its_sources(
    repo: PackagedFolder,
) -> None:
    repo.write("src/api/requirements.txt", "requests\n")
    repo.write("template.yaml", SAM)
    time.sleep(0.02)
    repo.write(".aws-sam/build/Api/requests/__init__.py")
    repo.write(".aws-sam/build/Api/requirements.txt", "requests\n")
    repo.write(".aws-sam/build/template.yaml", SAM.replace("src/api", "Api"))
    packaged = repo.packaged()
    body = io.BytesIO()
    cdk.pack(packaged.assets[0], body)
    with zipfile.ZipFile(body) as archive:
        assert "requests/__init__.py" in archive.namelist()
    assert packaged.notes == (
        "template.yaml is deployed from the output of `sam build`: .aws-sam/build/template.yaml",
    )
    time.sleep(0.02)
    for name in ("template.yaml", "src/api/new.py", "src/api/requirements.txt"):
        time.sleep(0.02)
        repo.write(name, (repo.root / name).read_text() if (repo.root / name).exists() else "x")
        assert repo.refusal() == (
            f"{name} has changed since `sam build` made .aws-sam/build/template.yaml",
            "run: sam build",
        )
        os.utime(
            repo.root / name, (1, 1)
        )  # an old date does not make it older: it was put there now
        assert repo.refusal()[1] == "run: sam build"
        time.sleep(0.02)
        repo.write(".aws-sam/build/template.yaml", SAM.replace("src/api", "Api"))
        assert repo.packaged().notes


def test_a_template_of_sam_build_that_rules_toml_names_itself_is_packaged(
    repo: PackagedFolder,
) -> None:
    repo.write("a/.aws-sam/build/Api/requirements.txt", "requests\n")
    assert (
        len(repo.packaged("a/.aws-sam/build/template.yaml", SAM.replace("src/api", "Api")).assets)
        == 1
    )


def test_a_function_that_sam_would_build_as_an_image_is_refused_by_name(
    repo: PackagedFolder,
) -> None:
    image = (
        "Resources: {Pic: {Type: AWS::Serverless::Function, Properties: {PackageType: Image%s},"
        " Metadata: {Dockerfile: Dockerfile}}}"
    )
    problem, next_ = repo.refusal(text=image % "")
    assert problem == "template.yaml: Pic is an image, which toolkit does not build for a stack"
    assert next_ == "deploy it with SAM's own CLI: sam build, then sam deploy --guided"
    built = image % ", ImageUri: 111111111111.dkr.ecr.eu-west-1.amazonaws.com/x@sha256:0"
    assert repo.packaged(text=built) == PackagedTemplate(built, ())


# --- hostile texts


ALIASES = "a: &a [x, x]\n" + "".join(
    f"{chr(n + 1)}: &{chr(n + 1)} [*{chr(n)}, *{chr(n)}]\n" for n in range(97, 118)
)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000,
        "{a: " * 5000,
        "a: &a [*a]",
        ALIASES,
        "- 1",
        "",
        "a: 'x",
        "\x00",
        "Resources: [1, {Type: x}]",
        "Resources: {A: 1, B: {Type: AWS::Lambda::Function, Properties: [Code]}}",
        "Globals: x\nResources: {Fn::ForEach::A: [1]}",
        "? [a]\n: b",
        "Resources: {A: {Type: [x], Properties: {Code: x}}}",
    ],
    ids=range(13),
)
def test_a_hostile_template_is_left_to_cloudformation_at_once(
    repo: PackagedFolder, text: str
) -> None:
    began = time.process_time()
    repo.root.mkdir()
    assert package_template(
        str(repo.root), "template.yaml", text, lambda: WHERE
    ) == PackagedTemplate(text, ())
    assert time.process_time() - began < 5


# --- in the emulator


@pytest.fixture
def stacks(cloud: Cloud, tmp_path: Path) -> Stacks:
    (tmp_path / "repo").mkdir()
    return Stacks(tmp_path / "repo", cloud.aws())


FUNCTION = {
    "Type": "AWS::Lambda::Function",
    "Properties": {
        "FunctionName": "local",
        "Runtime": "python3.11",
        "Handler": "index.handler",
        "Role": ROLE,
        "Code": "fn",
    },
}


def code(stacks: Stacks) -> str:
    """The uploaded code's digest, as Lambda has it."""
    result = stacks.aws.read("lambda", "get_function", FunctionName="local")["Configuration"]
    return str(result["CodeSha256"])


def test_local_code_is_uploaded_shown_before_and_deployed_again_only_when_it_changes(
    stacks: Stacks,
) -> None:
    (stacks.folder / "fn").mkdir()
    (stacks.folder / "fn/index.py").write_text("def handler(event, context):\n    return 1\n")
    stacks.aws.write(
        "s3",
        "create_bucket",
        Bucket="store",
        CreateBucketConfiguration={"LocationConstraint": REGION},
    )
    stacks.write(template({"Fn": FUNCTION}))
    job = stacks.job(store="s3://store/tk")
    uploads = [call for call in stacks.preview(job).calls if call.name == "s3:PutObject"]
    assert [
        (call.what["bucket"], call.what["key"].startswith("tk/artifacts/")) for call in uploads
    ] == [("store", True)]
    report = stacks.apply(job)
    assert report.intents == [
        "s3:PutObject",
        "cloudformation:CreateChangeSet",
        "cloudformation:ExecuteChangeSet",
    ]
    observed, _ = stacks.follow(job, report)
    assert observed.verdict == "succeeded", observed
    assert observed.live is not None
    assert observed.live.deployed.artifacts == {"Fn.Code": uploads[0].what["key"]}
    before = code(stacks)
    assert stacks.preview(stacks.job(store="s3://store/tk")).unchanged

    (stacks.folder / "fn/index.py").write_text("def handler(event, context):\n    return 2\n")
    job = stacks.job(store="s3://store/tk")
    assert not stacks.preview(job).unchanged
    assert stacks.follow(job, stacks.apply(job))[0].verdict == "succeeded"
    assert code(stacks) != before


def test_a_nested_local_template_is_deployed_with_its_parent(stacks: Stacks) -> None:
    stacks.aws.write(
        "s3",
        "create_bucket",
        Bucket="store",
        CreateBucketConfiguration={"LocationConstraint": REGION},
    )
    (stacks.folder / "inner.json").write_text(
        template({"Q": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "inner"}}})
    )
    stacks.write(
        template(
            {
                "In": {
                    "Type": "AWS::CloudFormation::Stack",
                    "Properties": {"TemplateURL": "inner.json"},
                }
            }
        )
    )
    job = stacks.job(store="s3://store")
    assert [
        call.what["key"][:10] for call in stacks.preview(job).calls if call.name == "s3:PutObject"
    ] == ["templates/"]
    assert stacks.follow(job, stacks.apply(job))[0].verdict == "succeeded"
    assert stacks.aws.read("sqs", "get_queue_url", QueueName="inner")["QueueUrl"]


def test_local_code_without_a_bucket_is_refused_before_anything_is_made(stacks: Stacks) -> None:
    (stacks.folder / "fn").mkdir()
    (stacks.folder / "fn/index.py").write_text("x")
    stacks.write(template({"Fn": FUNCTION}))
    with pytest.raises(Refused) as refused:
        stacks.preview(stacks.job())
    assert "names local files, and there is no bucket" in str(refused.value)
    assert sentence(refused.value.next).startswith("add `store")


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("form", ["json", "yaml"])
def test_a_required_parameter_without_a_value_is_refused_before_with_its_name(
    stacks: Stacks, form: str, long: bool
) -> None:
    filler = "x" * 52_000 if long else "x"
    if form == "json":
        text = template(
            {},
            Parameters={"Size": {"Type": "String"}, "Age": {"Type": "Number", "Default": 1}},
            Description=filler,
        )
    else:
        text = (
            f"# {filler}\nParameters:\n  Size: {{Type: String}}\n  Age: {{Type: Number, Default:"
            " 1}\nResources: {}\n"
        )
    stacks.aws.write(
        "s3",
        "create_bucket",
        Bucket="store",
        CreateBucketConfiguration={"LocationConstraint": REGION},
    )
    stacks.write(text)
    with pytest.raises(Refused, match="parameter Size has no value"):
        stacks.preview(stacks.job(store="s3://store"))
    assert stacks.preview(stacks.job(store="s3://store", parameters={"Size": "1"})).calls
