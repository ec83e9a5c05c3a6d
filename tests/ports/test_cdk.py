"""CDK apps become assemblies: with the real CDK where it is installed, and always with an app that writes one by itself."""

import io
import json
import os
import sys
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.run import ROOT
from toolkit.errors import FileProblem, ProgramFailed, Refused, Stopped
from toolkit.model import Place
from toolkit.ports import cdk, process

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
(out / "asset.abc" / "handler.py").write_text((pathlib.Path.cwd().parent / "lambda" / "handler.py").read_text())
(out / "t.json").write_text(json.dumps({"Resources": {}, "Metadata": {
    "context": context,
    "env": {key: os.environ.get(key) for key in ("CDK_DEFAULT_ACCOUNT", "CDK_DEFAULT_REGION", "AWS_REGION", "PYTHONPATH")}}}))
(out / "a.json").write_text(json.dumps({"files": {"abc": {"displayName": "Code", "source": {"path": "asset.abc", "packaging": "zip"},
    "destinations": {"here": {"bucketName": "assets-${AWS::AccountId}-${AWS::Region}", "objectKey": "abc.zip"}}}},
    "dockerImages": {"i": {"displayName": "Image"}} if context.get("image") else {}}))
stack = {"type": "aws:cloudformation:stack", "environment": context.get("environment", "aws://unknown-account/unknown-region"),
    "dependencies": ["A"], "displayName": name, "properties": {"templateFile": "t.json", "stackName": name, "tags": {"team": "x"},
    "terminationProtection": True, "cloudFormationExecutionRoleArn": "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/exec",
    "requiresBootstrapStackVersion": 6, "bootstrapStackVersionSsmParameter": "/cdk-bootstrap/x/version",
    "stackTemplateAssetObjectUrl": "s3://assets-${AWS::AccountId}-${AWS::Region}/t.json"}}
missing = [{"key": "vpc-provider:x", "provider": "vpc", "props": {}}] if context.get("lookup") else []
(out / "manifest.json").write_text(json.dumps({"version": "55.0.0", "missing": missing, "artifacts": {
    "S": stack, "A": {"type": "cdk:asset-manifest", "properties": {"file": "a.json"}}}}))
"""


class App:
    """An app in `repo/cdk` that reads `repo/lambda`."""

    def __init__(self, folder: Path) -> None:
        self.root, self.cache = folder / "repo", folder / "cache"
        for name, text in {"cdk/app.py": APP, "lambda/handler.py": "one", "README.md": "x"}.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)
        self.settings(app=f"{sys.executable} app.py")

    def settings(self, **said: Any) -> None:
        (self.root / "cdk/cdk.json").write_text(json.dumps(said))

    def synth(self, attend: Any = lambda: None, **context: str) -> str:
        app = cdk.App(str(self.root), "cdk", Place("dev", REGION, ACCOUNT), ACCOUNT, REGION, context)
        return cdk.synthesized(app, str(self.cache), attend)

    def artifact(self, name: str = "Shop", **context: str) -> cdk.Artifact:
        return cdk.artifact(self.synth(**context), name, ACCOUNT, REGION)

    def runs(self) -> int:
        """How often the app was started."""
        path = Path(os.environ["HOME"]) / "count"
        return len(path.read_text()) if path.exists() else 0


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    monkeypatch.setattr(process, "which", lambda name: None)
    return App(tmp_path)


def test_an_app_is_started_as_the_cli_would_start_it(app: App) -> None:
    app.settings(app=f"{sys.executable} app.py", context={"suffix": "", "kept": [1]})
    (app.root / "cdk/cdk.context.json").write_text('{"zones": ["a"], "kept": 2}')
    said = json.loads(app.artifact("Shop-prod", suffix="-prod").template)["Metadata"]
    assert said["context"] == {
        "suffix": "-prod", "kept": [1], "zones": ["a"], "aws:cdk:enable-path-metadata": True, "aws:cdk:enable-asset-metadata": True,
        "aws:cdk:version-reporting": True, "aws:cdk:bundling-stacks": ["**"],
    }  # fmt: skip
    assert said["env"] == {"CDK_DEFAULT_ACCOUNT": ACCOUNT, "CDK_DEFAULT_REGION": REGION, "AWS_REGION": REGION, "PYTHONPATH": None}


def test_the_stack_of_an_assembly_is_read_with_its_places_filled_in(app: App) -> None:
    found = app.artifact()
    assert found.role == f"arn:aws:iam::{ACCOUNT}:role/exec"
    assert found.stored == (f"assets-{ACCOUNT}-{REGION}", "t.json")
    assert [(one.name, one.bucket, one.key, one.packaging) for one in found.assets] == [
        ("Code", f"assets-{ACCOUNT}-{REGION}", "abc.zip", "zip")
    ]
    assert (found.tags, found.protected, found.bootstrap) == ({"team": "x"}, True, ("/cdk-bootstrap/x/version", 6))


def test_the_same_files_are_synthesized_once(app: App) -> None:
    assert app.synth() == app.synth()
    assert app.runs() == 1


@pytest.mark.parametrize("change", ["cdk/app.py", "lambda/handler.py", "lambda/new.py", "cdk/cdk.json", "context", "how"])
def test_whatever_the_app_may_have_read_makes_it_run_again(app: App, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_file_of_the_same_size_and_time_makes_it_run_again(app: App) -> None:
    path = app.root / "lambda/handler.py"
    app.synth()
    was = path.stat()
    path.write_text("two")
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert path.stat().st_size == was.st_size
    app.synth()
    assert app.runs() == 2


def test_what_a_tool_leaves_behind_does_not_make_it_run_again(app: App) -> None:
    app.synth()
    for name in ("cdk/cdk.out/manifest.json", "cdk/__pycache__/app.pyc", ".git/index", "cdk/.venv/lib/x.py"):
        (app.root / name).parent.mkdir(parents=True, exist_ok=True)
        (app.root / name).write_text("x")
        if ".venv" not in name:
            app.synth()
            assert app.runs() == 1
    app.synth()
    (app.root / "cdk/.venv/lib/x.py").write_text("y")
    app.synth()
    assert app.runs() == 2  # the .venv itself is new; what is inside of it counts by its installer's stamps


def test_two_steps_at_one_moment_share_one_synth(app: App) -> None:
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.append(app.synth())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(set(made)), app.runs()) == (4, 1, 1)


def test_a_synth_can_be_stopped_and_leaves_nothing(app: App) -> None:
    looks = 0

    def attend() -> None:
        nonlocal looks
        looks += 1
        if looks > 2:
            raise Stopped

    with pytest.raises(Stopped):
        app.synth(attend, slow="yes")
    assert not [one for one in (app.cache / "cdk").iterdir() if one.is_dir()]
    assert app.synth()


def test_an_app_that_fails_says_why_in_its_own_last_line(app: App) -> None:
    with pytest.raises(ProgramFailed, match="the CDK app failed: NameError: name 'bucket' is not defined"):
        app.synth(broken="yes")
    assert not [one for one in (app.cache / "cdk").iterdir() if one.is_dir()]


@pytest.mark.parametrize(
    "line", ["npm run build && node app.js", "node $APP", "python app.py; rm -rf x", "A=1 python app.py", "`x`", "a | b"]
)
def test_an_app_that_needs_a_shell_is_left_to_the_cli(app: App, line: str) -> None:
    app.settings(app=line)
    with pytest.raises(Refused) as refused:
        app.synth()
    assert "aws-cdk@2.1148.1" in refused.value.facts["next"]
    assert app.runs() == 0


def test_a_program_that_is_not_there_is_named(app: App) -> None:
    app.settings(app="no-such-program app.py")
    with pytest.raises(Refused, match="no program no-such-program"):
        app.synth()


@pytest.mark.parametrize("text", ["[1]", "{", '{"app": 5}'])
def test_a_broken_cdk_json_is_named(app: App, text: str) -> None:
    (app.root / "cdk/cdk.json").write_text(text)
    with pytest.raises(FileProblem, match=r"cdk\.json"):
        app.synth()


def test_a_stack_that_is_not_in_the_app_is_refused_with_those_that_are(app: App) -> None:
    with pytest.raises(Refused) as refused:
        app.artifact("Shop-prod")
    assert refused.value.facts["next"].startswith("it has Shop;")


def test_what_has_to_be_looked_up_is_refused_by_name(app: App) -> None:
    with pytest.raises(Refused, match="vpc-provider:x"):
        app.artifact(lookup="yes")


def test_an_image_asset_is_refused_with_the_command_that_can(app: App) -> None:
    with pytest.raises(Refused) as refused:
        app.artifact(image="yes")
    assert refused.value.facts["next"].endswith("npx cdk deploy Shop")


@pytest.mark.parametrize("place", ["aws://222222222222/eu-west-1", "aws://111111111111/us-east-1"])
def test_a_stack_of_another_place_is_refused(app: App, place: str) -> None:
    assert app.artifact(environment=f"aws://{ACCOUNT}/{REGION}").name == "Shop"
    with pytest.raises(Refused, match="puts stack Shop into account"):
        app.artifact(environment=place)


def packed(folder: Path) -> bytes:
    body = io.BytesIO()
    cdk.pack(cdk.Asset("code", str(folder), "zip", "b", "k"), body)
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
    cdk.pack(cdk.Asset("t", str(tmp_path / "t.json"), "file", "b", "k"), body)
    assert body.getvalue() == b"{}"


# --- the real CDK: set TOOLKIT_TEST_CDK to a folder with `python/bin/python` that has aws-cdk-lib, and `node_modules/.bin/cdk`

REAL = os.environ.get("TOOLKIT_TEST_CDK", "")


@pytest.mark.skipif(not REAL, reason="TOOLKIT_TEST_CDK names no folder with the CDK")
def test_the_example_is_the_same_by_the_cli_and_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    shutil.copytree(ROOT / "examples/car-rental", tmp_path / "repo")
    monkeypatch.setenv("PATH", f"{REAL}/python/bin:{os.environ['PATH']}")
    app = cdk.App(str(tmp_path / "repo"), "cdk", Place(), ACCOUNT, REGION, {"suffix": "-prod"})
    found = []
    for cli in (None, f"{REAL}/node_modules/.bin/cdk"):
        monkeypatch.setattr(process, "which", lambda name, cli=cli: cli)
        assembly = cdk.synthesized(app, str(tmp_path / "cache"), lambda: None)
        found.append([cdk.artifact(assembly, f"CarRental{name}Stack-prod", ACCOUNT, REGION) for name in ("Network", "Api", "Fargate")])
    plain, by_cli = ([json.loads(one.template) for one in each] for each in found)
    assert plain == by_cli
    assert [len(one.assets) for one in found[0]] == [0, 1, 0]
