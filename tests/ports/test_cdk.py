"""CDK apps become assemblies: with the real CDK where it is installed, and always with an app that
writes one by itself.
"""

import io
import json
import os
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.run import ROOT
from toolkit.errors import FileProblem, ProgramFailed, Refused, Stopped
from toolkit.operations import Location
from toolkit.ports import cdk, cdk_assembly, process
from toolkit.ports.program_runs import SilentLog
from toolkit.show.advice import sentence

ACCOUNT, REGION = "111111111111", "eu-west-1"

APP = """
import json, os, pathlib, sys, time
out = pathlib.Path(os.environ["CDK_OUTDIR"])
context = json.loads(os.environ["CDK_CONTEXT_JSON"])
with open(os.environ["HOME"] + "/count", "a") as file:
    file.write("x")
if context.get("slow"):
    print("synthesizing", flush=True)
    time.sleep(30)
if context.get("broken"):
    print("warning: one", file=sys.stderr)
    sys.exit("NameError: name 'bucket' is not defined")
out.mkdir(parents=True)
suffix = context.get("suffix", "")
name = "Shop" + suffix
(out / "asset.abc").mkdir()
code = (pathlib.Path.cwd().parent / "lambda" / "handler.py").read_text()
(out / "asset.abc" / "handler.py").write_text(code)
(out / "t.json").write_text(json.dumps({"Resources": {}, "Metadata": {
    "context": context,
    "env": {key: os.environ.get(key) for key in ("CDK_DEFAULT_ACCOUNT", "CDK_DEFAULT_REGION",
        "AWS_REGION", "PYTHONPATH",
        *context.get("asked", "").split())}}}))
(out / "a.json").write_text(json.dumps({"files": {"abc": {"displayName": "Code",
     "source": {"path": "asset.abc", "packaging": "zip"},
    "destinations": {"here": {"bucketName": "assets-${AWS::AccountId}-${AWS::Region}",
     "objectKey": "abc.zip"}}}},
    "dockerImages": {"i": {"displayName": "Image"}} if context.get("image") else {}}))
stack = {"type": "aws:cloudformation:stack", "environment": context.get("environment", "aws://unknown-account/unknown-region"),
    "dependencies": ["A"], "displayName": name,
    "properties": {"templateFile": "t.json", "stackName": name, "tags": {"team": "x"},
    "terminationProtection": True,
     "cloudFormationExecutionRoleArn": "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/exec",
    "requiresBootstrapStackVersion": 6,
     "bootstrapStackVersionSsmParameter": "/cdk-bootstrap/x/version",
    "stackTemplateAssetObjectUrl": "s3://assets-${AWS::AccountId}-${AWS::Region}/t.json"}}
where = context.get("remarks", "")
if where:
    said = {"/" + name: [{"type": "aws:cdk:error", "data": "must be encrypted"},
         {"type": "aws:cdk:warning", "data": "old\\nruntime"}],
        "/" + name + "/Q": [{"type": "aws:cdk:error", "data": "must be private"},
         {"type": "aws:cdk:creationStack", "data": ["x"]}]}
    if where == "warning":
        said = {"/" + name: said["/" + name][1:]}
    if where == "file":
        (out / "more.json").write_text(json.dumps(said))
        stack["additionalMetadataFile"] = "more.json"
    else:
        stack["metadata"] = said
missing = []
if context.get("lookup"):
    missing = [{"key": "vpc-provider:x", "provider": "vpc", "props": {}}]
artifacts = {"S": stack, "A": {"type": "cdk:asset-manifest", "properties": {"file": "a.json"}}}
if context.get("stage"):
    inner = {"type": "cdk:cloud-assembly", "properties": {"directoryName": "assembly-Prod"}}
    if context["stage"] == "bad":
        inner["metadata"] = {"/Prod": [{"type": "aws:cdk:error", "data": "not in this stage"}]}
    (out / "assembly-Prod").mkdir()
    for each in ("t.json", "a.json", "more.json"):
        if (out / each).exists():
            (out / "assembly-Prod" / each).write_text((out / each).read_text())
    (out / "assembly-Prod" / "asset.abc").mkdir()
    listed = json.dumps({"version": "55.0.0", "artifacts": artifacts})
    (out / "assembly-Prod" / "manifest.json").write_text(listed)
    artifacts = {"assembly-Prod": inner}
outer = json.dumps({"version": "55.0.0", "missing": missing, "artifacts": artifacts})
(out / "manifest.json").write_text(outer)
"""


class AppLog:
    """Keeps what an app writes; `attend` is called all the time and may raise."""

    def __init__(self, lines: list[str], attend: Callable[[], None]) -> None:
        self._lines, self.check = lines, attend

    def log(self, line: str) -> None:
        self._lines.append(line)


class CdkProject:
    """An app in `repo/cdk` that reads `repo/lambda`."""

    def __init__(self, folder: Path) -> None:
        self.root, self.cache = folder / "repo", folder / "cache"
        self.pass_env: tuple[str, ...] = ()
        self.lines: list[str] = []
        for name, text in {"cdk/app.py": APP, "lambda/handler.py": "one", "README.md": "x"}.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)
        self.settings(app=f"{sys.executable} app.py")

    def settings(self, **value: Any) -> None:
        (self.root / "cdk/cdk.json").write_text(json.dumps(value))

    def app(self, **context: str) -> cdk.CdkApp:
        return cdk.CdkApp(
            str(self.root),
            "cdk",
            Location("dev", REGION, ACCOUNT),
            ACCOUNT,
            REGION,
            context,
            self.pass_env,
        )

    def synth(self, attend: Any = lambda: None, **context: str) -> str:
        return cdk.synthesized(self.app(**context), str(self.cache), AppLog(self.lines, attend))

    def artifact(self, name: str = "Shop", **context: str) -> cdk_assembly.StackArtifact:
        return cdk_assembly.artifact(
            self.synth(**context), name, ACCOUNT, REGION, cdk.is_strict(self.app())
        )

    def runs(self) -> int:
        """How often the app was started."""
        path = Path(os.environ["HOME"]) / "count"
        return len(path.read_text()) if path.exists() else 0


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CdkProject:
    monkeypatch.setattr(process, "which", lambda name: None)
    return CdkProject(tmp_path)


def test_an_app_is_started_as_the_cli_would_start_it(app: CdkProject) -> None:
    app.settings(app=f"{sys.executable} app.py", context={"suffix": "", "kept": [1]})
    (app.root / "cdk/cdk.context.json").write_text('{"zones": ["a"], "kept": 2}')
    value = json.loads(app.artifact("Shop-prod", suffix="-prod").template)["Metadata"]
    assert value["context"] == {
        "suffix": "-prod",
        "kept": [1],
        "zones": ["a"],
        "aws:cdk:enable-path-metadata": True,
        "aws:cdk:enable-asset-metadata": True,
        "aws:cdk:version-reporting": True,
        "aws:cdk:bundling-stacks": ["**"],
    }
    assert value["env"] == {
        "CDK_DEFAULT_ACCOUNT": ACCOUNT,
        "CDK_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "PYTHONPATH": None,
    }


# --- the build of cdk.json


def compiled(app: CdkProject, build: str = "compile.py") -> None:
    """An app whose program is written by a build step, as tsc does it."""
    (app.root / "cdk/compile.py").write_text(
        "import os, pathlib\n"
        "open(os.environ['HOME'] + '/builds', 'a').write('x')\n"
        "pathlib.Path('built.py').write_text(pathlib.Path('app.py').read_text())\n"
        "assert os.environ['CDK_DEFAULT_REGION'] and 'CDK_OUTDIR' not in os.environ\n"
    )
    app.settings(app=f"{sys.executable} built.py", build=f"{sys.executable} {build}")


def builds() -> int:
    path = Path(os.environ["HOME"]) / "builds"
    return len(path.read_text()) if path.exists() else 0


def test_the_build_of_cdk_json_is_run_before_the_app(app: CdkProject) -> None:
    compiled(app)
    assert json.loads(app.artifact().template)["Resources"] == {}
    changed = (
        (app.root / "cdk/app.py").read_text().replace('"Resources": {}', '"Resources": {"New": {}}')
    )
    (app.root / "cdk/app.py").write_text(changed)
    assert json.loads(app.artifact().template)["Resources"] == {"New": {}}
    assert (builds(), app.runs()) == (2, 2)


def test_a_build_is_not_run_again_while_no_file_has_changed_since(app: CdkProject) -> None:
    compiled(app)
    assert app.synth() == app.synth() == app.synth()
    assert (builds(), app.runs()) == (1, 1)
    (app.root / "cdk/built.py").unlink()
    app.synth()
    assert builds() == 2


def test_a_build_that_fails_is_the_cause_and_nothing_of_it_counts(app: CdkProject) -> None:
    compiled(app, "broken.py")
    (app.root / "cdk/broken.py").write_text(
        "print('lib/shop.ts:3:1 - error TS2304: Cannot find name Bukket.')\nraise SystemExit(2)\n"
    )
    with pytest.raises(ProgramFailed) as failed:
        app.synth()
    assert (
        str(failed.value)
        == "the `build` in cdk.json failed: lib/shop.ts:3:1 - error TS2304: Cannot find name"
        " Bukket."
    )
    assert (builds(), app.runs()) == (0, 0)
    compiled(app)
    assert app.synth()


@pytest.mark.parametrize("line", ["npm run build && true", "tsc; x", "make 'x"])
def test_a_build_that_needs_a_shell_is_left_to_the_cli(app: CdkProject, line: str) -> None:
    app.settings(app=f"{sys.executable} app.py", build=line)
    with pytest.raises(Refused, match=r"the `build` in cdk\.json needs a shell"):
        app.synth()
    assert app.runs() == 0


def test_an_app_that_is_a_ready_assembly_is_read_as_it_is_each_time(app: CdkProject) -> None:
    import shutil

    shutil.copytree(app.synth(), app.root / "cdk/cdk.out")
    app.settings(app="cdk.out")
    assert app.artifact().name == "Shop"
    path = app.root / "cdk/cdk.out/t.json"
    path.write_text(path.read_text().replace('"Resources": {}', '"Resources": {"New": {}}'))
    assert json.loads(app.artifact().template)["Resources"] == {"New": {}}
    (app.root / "cdk/cdk.out/manifest.json").unlink()
    with pytest.raises(FileProblem, match=r"no manifest\.json"):
        app.artifact()


@pytest.mark.parametrize("folder", ["cdk/node_modules", "node_modules", "cdk/.venv"])
def test_an_app_is_started_by_a_program_of_its_own_packages(app: CdkProject, folder: str) -> None:
    programs = app.root / folder / ("bin" if folder.endswith(".venv") else ".bin")
    programs.mkdir(parents=True)
    (programs / "tsx").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (programs / "tsx").chmod(0o755)
    app.settings(app="tsx app.py")
    assert app.artifact().name == "Shop"


def test_an_app_that_is_a_list_of_words_is_started_like_a_line(app: CdkProject) -> None:
    app.settings(app=[sys.executable, "app.py"])
    assert app.artifact().name == "Shop"


def test_a_script_that_is_not_executable_is_given_to_node(app: CdkProject) -> None:
    (app.root / "cdk/app.js").write_text("throw new ReferenceError('reached Node')\n")
    app.settings(app="app.js")
    with pytest.raises(ProgramFailed, match="reached Node"):
        app.synth()


# --- what an app says about its stacks


@pytest.mark.parametrize("where", ["metadata", "file"])
@pytest.mark.parametrize("stage", ["", "yes"])
def test_an_error_that_the_app_notes_refuses_the_deploy_with_every_error(
    app: CdkProject, where: str, stage: str
) -> None:
    with pytest.raises(Refused) as refused:
        app.artifact(remarks=where, stage=stage)
    assert (
        str(refused.value)
        == "the CDK app says that Shop must not be deployed: /Shop: must be encrypted; /Shop/Q:"
        " must be private"
    )


def test_an_error_about_a_stage_refuses_the_stacks_in_it(app: CdkProject) -> None:
    assert app.artifact(stage="yes").name == "Shop"
    with pytest.raises(Refused, match="/Prod: not in this stage"):
        app.artifact(stage="bad")


def test_a_warning_is_told_and_refuses_only_where_cdk_json_is_strict(app: CdkProject) -> None:
    assert app.artifact().warnings == ()
    assert app.artifact(remarks="warning").warnings == ("/Shop: old runtime",)
    app.settings(app=f"{sys.executable} app.py", strict=True)
    assert app.artifact().warnings == ()
    with pytest.raises(
        Refused, match=r"warns about Shop, and cdk\.json is `strict`: /Shop: old runtime"
    ):
        app.artifact(remarks="warning")


def test_an_error_about_another_stack_does_not_refuse_this_one(
    app: CdkProject, tmp_path: Path
) -> None:
    assembly = tmp_path / "made"
    assembly.mkdir()
    (assembly / "t.json").write_text("{}")
    document = {
        "Other": {"type": "aws:cloudformation:stack", "properties": {"templateFile": "t.json"}}
    }
    document["Other"]["metadata"] = {"/Other": [{"type": "aws:cdk:error", "data": "bad"}]}
    mine = {
        "type": "aws:cloudformation:stack",
        "properties": {"templateFile": "t.json"},
        "dependencies": ["Other"],
    }
    (assembly / "manifest.json").write_text(json.dumps({"artifacts": {**document, "Shop": mine}}))
    assert cdk_assembly.artifact(str(assembly), "Shop", ACCOUNT, REGION).name == "Shop"
    with pytest.raises(Refused, match="/Other: bad"):
        cdk_assembly.artifact(str(assembly), "Other", ACCOUNT, REGION)


# --- the environment of an app


def asked(app: CdkProject, names: str, **more: str) -> dict[str, str | None]:
    by_name: dict[str, str | None] = json.loads(app.artifact(asked=names, **more).template)[
        "Metadata"
    ]["env"]
    return {name: by_name[name] for name in names.split()}


def test_an_app_is_given_the_variables_that_are_named_and_no_others(
    app: CdkProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "STAGE": "prod",
        "TEAM_NAME": "a",
        "TEAM_ID": "7",
        "TEAMS": "b",
        "OTHER": "c",
    }.items():
        monkeypatch.setenv(name, value)
    names = "STAGE TEAM_NAME TEAM_ID TEAMS OTHER"
    assert set(asked(app, names).values()) == {None}
    app.pass_env = ("STAGE", "TEAM_*", "UNSET")
    assert asked(app, names) == {
        "STAGE": "prod",
        "TEAM_NAME": "a",
        "TEAM_ID": "7",
        "TEAMS": None,
        "OTHER": None,
    }


def test_another_value_of_a_variable_makes_the_app_run_again(
    app: CdkProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.pass_env = ("STAGE",)
    actual = []
    for value in ("dev", "prod", "dev"):
        monkeypatch.setenv("STAGE", value)
        actual.append(asked(app, "STAGE")["STAGE"])
    monkeypatch.delenv("STAGE")
    assert [*actual, asked(app, "STAGE")["STAGE"]] == ["dev", "prod", "dev", None]
    assert app.runs() == 3


def test_where_an_app_is_deployed_to_cannot_be_handed_on_differently(
    app: CdkProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CDK_DEFAULT_ACCOUNT", "999999999999")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    app.pass_env = ("CDK_DEFAULT_ACCOUNT", "AWS_*")
    message = json.loads(app.artifact().template)["Metadata"]["env"]
    assert (message["CDK_DEFAULT_ACCOUNT"], message["AWS_REGION"]) == (ACCOUNT, REGION)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("app.ts", "const s = process.env.STAGE ?? 'dev';"),
        ("app.ts", "process.env['STAGE']"),
        ("lib/x.mjs", "process.env?.[`STAGE`]"),
        ("app.ts", "const { TEAM: team = 'x', STAGE } = process.env;"),
        ("app.py", "os.environ.get('STAGE', 'dev')"),
        ("app.py", 'environ["STAGE"]'),
        ("app.py", "os.getenv( 'STAGE')"),
        ("App.java", 'System.getenv("STAGE")'),
        ("App.cs", 'Environment.GetEnvironmentVariable("STAGE")'),
        ("main.go", 'os.Getenv("STAGE")'),
        ("main.go", 'os.LookupEnv("STAGE")'),
    ],
)
def test_a_variable_that_is_set_and_read_but_not_handed_on_is_told(
    app: CdkProject, name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (app.root / "cdk" / name).parent.mkdir(exist_ok=True)
    (app.root / "cdk" / "app.py").write_text("")
    (app.root / "cdk" / name).write_text(text)
    monkeypatch.delenv("STAGE", raising=False)
    assert cdk.not_handed_on(app.app()) == []
    monkeypatch.setenv("STAGE", "hunter2-prod")
    assert cdk.not_handed_on(app.app()) == [
        "the CDK app reads STAGE, which is set here and not handed on to it; to hand it on:"
        ' pass_env = ["STAGE"] in rules.toml'
    ]
    app.pass_env = ("ST*",)
    assert cdk.not_handed_on(app.app()) == []


@pytest.mark.parametrize(
    ("name", "text", "answer"),
    [
        ("app.ts", "const all = { ...process.env };", True),
        ("app.ts", "process.env[name]", True),
        ("app.py", "os.environ[name]", True),
        ("app.py", "for name in os.environ.items(): pass", True),
        ("app.go", "os.Getenv(key)", True),
        (
            "app.ts",
            (
                "env: { account: process.env.CDK_DEFAULT_ACCOUNT, region:"
                " process.env.CDK_DEFAULT_REGION }"
            ),
            False,
        ),
        ("node_modules/x/index.js", "process.env[name]", False),
        ("app.py", "environment = {}", False),
    ],
)
def test_reads_whose_names_cannot_be_told_are_told_as_such(
    app: CdkProject, name: str, text: str, answer: bool
) -> None:
    (app.root / "cdk" / name).parent.mkdir(parents=True, exist_ok=True)
    (app.root / "cdk" / "app.py").write_text("")
    (app.root / "cdk" / name).write_text(text)
    not_handed_on = cdk.not_handed_on(app.app())
    assert len(not_handed_on) == answer
    assert not answer or not_handed_on[0].endswith("of those set here it is given none (pass_env)")


def test_the_stack_of_an_assembly_is_read_with_its_places_filled_in(app: CdkProject) -> None:
    artifact = app.artifact()
    assert artifact.role == f"arn:aws:iam::{ACCOUNT}:role/exec"
    assert artifact.stored == (f"assets-{ACCOUNT}-{REGION}", "t.json")
    assert [
        (asset.name, asset.bucket, asset.key, asset.packaging) for asset in artifact.assets
    ] == [("Code", f"assets-{ACCOUNT}-{REGION}", "abc.zip", "zip")]
    assert (artifact.tags, artifact.protected, artifact.bootstrap) == (
        {"team": "x"},
        True,
        ("/cdk-bootstrap/x/version", 6),
    )


def test_the_same_files_are_synthesized_once(app: CdkProject) -> None:
    assert app.synth() == app.synth()
    assert app.runs() == 1


@pytest.mark.parametrize(
    "change", ["cdk/app.py", "lambda/handler.py", "lambda/new.py", "cdk/cdk.json", "context", "how"]
)
def test_whatever_the_app_may_have_read_makes_it_run_again(
    app: CdkProject, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = app.synth()
    if change == "context":
        after = app.synth(suffix="-b")
    elif change == "how":
        app.settings(app=f"{sys.executable} ./app.py")
        after = app.synth()
    else:
        path = app.root / change
        path.write_text((path.read_text() if path.exists() else "") + "\n")
        after = app.synth()
    assert before != after
    assert app.runs() == 2


def test_a_file_of_the_same_size_and_time_makes_it_run_again(app: CdkProject) -> None:
    path = app.root / "lambda/handler.py"
    app.synth()
    was = path.stat()
    path.write_text("two")
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert path.stat().st_size == was.st_size
    app.synth()
    assert app.runs() == 2


def test_what_a_tool_leaves_behind_does_not_make_it_run_again(app: CdkProject) -> None:
    app.synth()
    for name in (
        "cdk/cdk.out/manifest.json",
        "cdk/__pycache__/app.pyc",
        ".git/index",
        "cdk/.venv/lib/x.py",
    ):
        (app.root / name).parent.mkdir(parents=True, exist_ok=True)
        (app.root / name).write_text("x")
        if ".venv" not in name:
            app.synth()
            assert app.runs() == 1
    app.synth()
    (app.root / "cdk/.venv/lib/x.py").write_text("y")
    app.synth()
    assert (
        app.runs() == 2
    )  # the .venv itself is new; what is inside of it counts by its installer's stamps


def test_two_steps_at_one_moment_share_one_synth(app: CdkProject) -> None:
    lines: list[str] = []
    threads = [threading.Thread(target=lambda: lines.append(app.synth())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(lines), len(set(lines)), app.runs()) == (4, 1, 1)


def test_a_synth_can_be_stopped_and_leaves_nothing(app: CdkProject) -> None:
    looks = 0

    def attend() -> None:
        nonlocal looks
        looks += 1
        if looks > 2:
            raise Stopped

    with pytest.raises(Stopped):
        app.synth(attend, slow="yes")
    assert not [item for item in (app.cache / "cdk").iterdir() if item.is_dir()]
    assert app.synth()


def test_what_an_app_writes_goes_to_the_log(app: CdkProject) -> None:
    with pytest.raises(ProgramFailed):
        app.synth(broken="yes")
    assert app.lines == ["warning: one", "NameError: name 'bucket' is not defined"]


def test_the_command_to_try_means_the_same_context_and_folder(app: CdkProject) -> None:
    with pytest.raises(ProgramFailed) as failed:
        app.synth(broken="yes", names="{a} b")
    assert (
        sentence(failed.value.next)
        == "try it in cdk: npx cdk synth --context broken=yes --context 'names={a} b'"
    )


def test_an_app_that_fails_says_why_in_its_own_last_line(app: CdkProject) -> None:
    with pytest.raises(
        ProgramFailed, match="the CDK app failed: NameError: name 'bucket' is not defined"
    ):
        app.synth(broken="yes")
    assert not [item for item in (app.cache / "cdk").iterdir() if item.is_dir()]


@pytest.mark.parametrize(
    "line",
    [
        "npm run build && node app.js",
        "node $APP",
        "python app.py; rm -rf x",
        "A=1 python app.py",
        "`x`",
        "a | b",
    ],
)
def test_an_app_that_needs_a_shell_is_left_to_the_cli(app: CdkProject, line: str) -> None:
    app.settings(app=line)
    with pytest.raises(Refused) as refused:
        app.synth()
    assert "aws-cdk@2.1148.1" in sentence(refused.value.next)
    assert app.runs() == 0


def test_a_program_that_is_not_there_is_named(app: CdkProject) -> None:
    app.settings(app="no-such-program app.py")
    with pytest.raises(Refused, match="no program no-such-program"):
        app.synth()


@pytest.mark.parametrize("text", ["[1]", "{", '{"app": 5}'])
def test_a_broken_cdk_json_is_named(app: CdkProject, text: str) -> None:
    (app.root / "cdk/cdk.json").write_text(text)
    with pytest.raises(FileProblem, match=r"cdk\.json"):
        app.synth()


def test_a_stack_that_is_not_in_the_app_is_refused_with_those_that_are(app: CdkProject) -> None:
    with pytest.raises(Refused) as refused:
        app.artifact("Shop-prod")
    assert sentence(refused.value.next).startswith("it has Shop;")


def test_what_has_to_be_looked_up_is_refused_by_name(app: CdkProject) -> None:
    with pytest.raises(Refused, match="vpc-provider:x"):
        app.artifact(lookup="yes")


def test_an_image_asset_is_refused_with_the_command_that_can(app: CdkProject) -> None:
    with pytest.raises(Refused) as refused:
        app.artifact(image="yes")
    assert sentence(refused.value.next).endswith("npx cdk deploy Shop")


@pytest.mark.parametrize(
    "location", ["aws://222222222222/eu-west-1", "aws://111111111111/us-east-1"]
)
def test_a_stack_of_another_place_is_refused(app: CdkProject, location: str) -> None:
    assert app.artifact(environment=f"aws://{ACCOUNT}/{REGION}").name == "Shop"
    with pytest.raises(Refused, match="puts stack Shop into account"):
        app.artifact(environment=location)


def packed(folder: Path) -> bytes:
    body = io.BytesIO()
    cdk.pack(cdk_assembly.CdkAsset("code", str(folder), "zip", "b", "k"), body)
    return body.getvalue()


def test_a_folder_is_zipped_by_names_modes_and_contents_only(tmp_path: Path) -> None:
    for name in ("one", "two"):
        folder = tmp_path / name
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / "b.py").write_text("b")
        (folder / "run.sh").write_text("#!/bin/sh")
        (folder / "run.sh").chmod(0o755 if name == "one" else 0o750)
        (folder / "link").symlink_to("run.sh")
        os.utime(folder / "run.sh", (1, 1) if name == "one" else None)
    assert packed(tmp_path / "one") == packed(tmp_path / "two")
    with zipfile.ZipFile(io.BytesIO(packed(tmp_path / "one"))) as archive:
        assert archive.namelist() == ["link", "run.sh", "sub/b.py"]
        assert archive.getinfo("run.sh").external_attr >> 16 == 0o100755
        assert archive.getinfo("sub/b.py").external_attr >> 16 == 0o100644


@pytest.mark.parametrize("target", ["/etc", "/etc/hostname", "../outside", "nowhere"])
def test_a_link_that_leaves_an_asset_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "outside").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(target)
    with pytest.raises(Refused, match="link that leaves"):
        packed(tmp_path / "folder")


def test_a_file_is_uploaded_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text("{}")
    body = io.BytesIO()
    cdk.pack(cdk_assembly.CdkAsset("t", str(tmp_path / "t.json"), "file", "b", "k"), body)
    assert body.getvalue() == b"{}"


# --- the real CDK: set TOOLKIT_TEST_CDK to a folder with `python/bin/python` that has aws-cdk-lib,
# and `node_modules/.bin/cdk`

REAL = os.environ.get("TOOLKIT_TEST_CDK", "")


@pytest.mark.skipif(not REAL, reason="TOOLKIT_TEST_CDK names no folder with the CDK")
def test_the_example_is_the_same_by_the_cli_and_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    shutil.copytree(ROOT / "examples/car-rental", tmp_path / "repo")
    monkeypatch.setenv("PATH", f"{REAL}/python/bin:{os.environ['PATH']}")
    app = cdk.CdkApp(
        str(tmp_path / "repo"), "cdk", Location(), ACCOUNT, REGION, {"suffix": "-prod"}
    )
    actual = []
    for cli in (None, f"{REAL}/node_modules/.bin/cdk"):
        monkeypatch.setattr(process, "which", lambda name, cli=cli: cli)
        assembly = cdk.synthesized(app, str(tmp_path / "cache"), SilentLog())
        actual.append(
            [
                cdk_assembly.artifact(assembly, f"CarRental{name}Stack-prod", ACCOUNT, REGION)
                for name in ("Network", "Api", "Fargate")
            ]
        )
    plain, by_cli = ([json.loads(item.template) for item in each] for each in actual)
    assert plain == by_cli
    assert [len(item.assets) for item in actual[0]] == [0, 1, 0]


REFUSING = """
const cdk = require('aws-cdk-lib');
const app = new cdk.App();
const mode = app.node.tryGetContext('mode');
class Shop extends cdk.Stack {
  constructor(scope, id) {
    super(scope, id);
    const queue = new cdk.aws_sqs.Queue(this, 'Queue');
    if (mode === 'errors') {
      cdk.Annotations.of(this).addError('must be encrypted');
      cdk.Annotations.of(queue).addError('must be private');
    }
  }
}
class Prod extends cdk.Stage {
  constructor(scope, id) {
    super(scope, id);
    new Shop(this, 'Shop');
  }
}
new Shop(app, 'Shop');
new Prod(app, 'Prod');
if (mode === 'broken') new DataStackk(app);
"""


@pytest.mark.skipif(not REAL, reason="TOOLKIT_TEST_CDK names no folder with the CDK")
@pytest.mark.parametrize("by_cli", [True, False])
def test_the_real_cdk_refuses_and_fails_as_it_says_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_cli: bool
) -> None:
    """Needs aws-cdk-lib beside the CLI in `node_modules`, too."""
    folder = tmp_path / "repo/cdk"
    folder.mkdir(parents=True)
    (folder / "app.js").write_text(REFUSING)
    (folder / "cdk.json").write_text('{"app": "node app.js"}')
    monkeypatch.setattr(
        process, "which", lambda name: f"{REAL}/node_modules/.bin/cdk" if by_cli else None
    )
    (folder / "node_modules").mkdir()
    for package in ("aws-cdk-lib", "constructs"):
        (folder / "node_modules" / package).symlink_to(f"{REAL}/node_modules/{package}")

    def artifact(name: str, mode: str) -> cdk_assembly.StackArtifact:
        app = cdk.CdkApp(str(tmp_path / "repo"), "cdk", Location(), ACCOUNT, REGION, {"mode": mode})
        return cdk_assembly.artifact(
            cdk.synthesized(app, str(tmp_path / "cache"), SilentLog()), name, ACCOUNT, REGION
        )

    assert [artifact(name, "plain").name for name in ("Shop", "Prod-Shop")] == ["Shop", "Prod-Shop"]
    for name, path in (("Shop", "/Shop"), ("Prod-Shop", "/Prod/Shop")):
        with pytest.raises(
            Refused, match=f"{path}: must be encrypted; {path}/Queue: must be private"
        ):
            artifact(name, "errors")
    with pytest.raises(ProgramFailed, match="failed: ReferenceError: DataStackk is not defined"):
        artifact("Shop", "broken")
