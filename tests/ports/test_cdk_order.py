"""Which stacks an assembly has deployed before which: from manifests as the CDK writes them."""

import json
from pathlib import Path
from typing import Any

import pytest

from toolkit.errors import FileProblem
from toolkit.formats.cdk_manifest import DEEPEST, STACK, STAGE
from toolkit.ports import cdk_assembly
from toolkit.ports.cdk_order import StackPlace, stacks_before

ANYWHERE = "aws://unknown-account/unknown-region"


def stack(*needs: str, name: str | None = None, environment: str = ANYWHERE) -> dict[str, Any]:
    """A stack in a manifest."""
    properties = {"templateFile": "t.json"} | ({"stackName": name} if name else {})
    return {
        "type": "aws:cloudformation:stack",
        "environment": environment,
        "properties": properties,
        "dependencies": list(needs),
    }


def stage(folder: str, *needs: str) -> dict[str, Any]:
    """A stage in a manifest."""
    return {
        "type": "cdk:cloud-assembly",
        "properties": {"directoryName": folder},
        "dependencies": list(needs),
    }


def write(folder: Path, **artifacts: Any) -> str:
    """An assembly of these artifacts."""
    folder.mkdir(parents=True, exist_ok=True)
    assets = {"type": "cdk:asset-manifest", "properties": {"file": "a.json"}}
    document = {"version": "48.0.0", "artifacts": {"Some.assets": assets, **artifacts}}
    (folder / "manifest.json").write_text(json.dumps(document))
    return str(folder)


def names(assembly: str, name: str) -> list[str]:
    """The names of the stacks before a stack."""
    return [place.name for place in stacks_before(assembly, name)]


def test_a_stack_comes_after_what_it_depends_on_also_through_others(tmp_path: Path) -> None:
    assembly = write(
        tmp_path,
        Net=stack("Some.assets"),
        Data=stack("Net", "Some.assets", name="shop-data"),
        Api=stack("Data"),
        Alone=stack(),
    )
    assert names(assembly, "Api") == ["Net", "shop-data"]
    assert names(assembly, "shop-data") == ["Net"]
    assert names(assembly, "Net") == names(assembly, "Alone") == []


def test_each_stack_of_a_stage_comes_after_all_of_the_stage_before(tmp_path: Path) -> None:
    write(tmp_path / "assembly-A", Net=stack(name="A-Net"), Data=stack("Net", name="A-Data"))
    write(tmp_path / "assembly-B", Net=stack(name="B-Net"), Data=stack("Net", name="B-Data"))
    assembly = write(
        tmp_path,
        First=stack(),
        A=stage("assembly-A", "First"),
        B=stage("assembly-B", "A"),
        Last=stack("B"),
    )
    assert names(assembly, "A-Net") == ["First"]
    assert names(assembly, "A-Data") == ["A-Net", "First"]
    assert names(assembly, "B-Net") == ["A-Data", "A-Net", "First"]
    assert names(assembly, "Last") == ["A-Data", "A-Net", "B-Data", "B-Net", "First"]


def test_a_stack_that_the_app_puts_into_a_region_is_meant_there(tmp_path: Path) -> None:
    there = stack(environment="aws://111111111111/us-east-1")
    assembly = write(tmp_path, Cert=there, Site=stack("Cert"))
    assert stacks_before(assembly, "Site") == (StackPlace("Cert", "us-east-1"),)


def test_a_circle_and_a_name_that_is_not_there_end_nothing(tmp_path: Path) -> None:
    assembly = write(tmp_path, A=stack("B"), B=stack("A", "Gone"))
    assert names(assembly, "A") == ["B"]
    assert names(assembly, "Nobody") == []


def test_a_stage_without_its_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileProblem):
        stacks_before(write(tmp_path, A=stage("assembly-A")), "A")


@pytest.mark.parametrize("folder", [".", "..", "../beside", "link", "/"])
def test_a_stage_outside_of_its_assembly_is_an_error(tmp_path: Path, folder: str) -> None:
    write(tmp_path / "beside")
    assembly = write(tmp_path / "assembly", A=stage(folder))
    (tmp_path / "assembly/link").symlink_to(tmp_path / "beside")
    with pytest.raises(FileProblem, match="outside of it"):
        stacks_before(assembly, "A")
    with pytest.raises(FileProblem, match="outside of it"):
        cdk_assembly.artifact(assembly, "A", "111111111111", "eu-west-1")


def test_two_stages_in_one_folder_are_an_error_and_read_once(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(25):  # each doubles what there would be to read
        write(folder, A=stage("in"), B=stage("in"))
        folder /= "in"
    write(folder, Net=stack())
    with pytest.raises(FileProblem, match="two stages"):
        stacks_before(str(tmp_path), "Net")


@pytest.mark.parametrize(("depth", "is_read"), [(DEEPEST, True), (DEEPEST + 1, False)])
def test_stages_in_stages_are_read_up_to_a_limit(tmp_path: Path, depth: int, is_read: bool) -> None:
    folder = tmp_path
    for _ in range(depth):
        write(folder, First=stack(name="First"), A=stage("a", "First"))
        folder /= "a"
    write(folder, Net=stack())
    if is_read:
        assert names(str(tmp_path), "Net") == ["First"]
    else:
        with pytest.raises(FileProblem, match="more than"):
            stacks_before(str(tmp_path), "Net")


MALFORMED: dict[str, Any] = {
    "a text": "text",
    "no properties": {"type": STAGE},
    "null for properties": {"type": STACK, "properties": None},
    "a list for a name": {"type": STACK, "properties": {"stackName": ["x"]}},
    "a number for dependencies": {"type": STACK, "dependencies": 5},
    "a list in dependencies": {"type": STACK, "dependencies": [["x"]]},
    "a list for an address": {"type": STACK, "environment": ["aws://x/y"]},
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_manifest_that_the_cdk_would_not_write_is_an_error(tmp_path: Path, case: str) -> None:
    assembly = write(tmp_path, A=MALFORMED[case])
    with pytest.raises(FileProblem, match=r"manifest\.json"):
        stacks_before(assembly, "A")
    with pytest.raises(FileProblem, match=r"manifest\.json"):
        cdk_assembly.artifact(assembly, "A", "111111111111", "eu-west-1")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"artifacts": ["x"]}', '{"missing": {"key": 1}}'])
def test_a_manifest_that_is_none_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(FileProblem, match=r"manifest\.json"):
        stacks_before(str(tmp_path), "A")


def test_a_manifest_that_is_too_large_is_an_error_and_not_read_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cdk_assembly, "MOST_BYTES", 1 << 20)
    assembly = write(tmp_path, A=stack())
    with (tmp_path / "manifest.json").open("a") as file:
        file.write(" " * (1 << 20))
    with pytest.raises(FileProblem, match="larger than 1 MB"):
        stacks_before(assembly, "A")


ASSETS: dict[str, Any] = {
    "no source": {"files": {"k": {}}},
    "a text for a destination": {"files": {"k": {"source": {"path": "."}, "destinations": ["x"]}}},
    "a text for an image": {"dockerImages": {"k": "image"}},
    "a list": {"files": []},
}


@pytest.mark.parametrize("case", ASSETS)
def test_an_asset_manifest_that_the_cdk_would_not_write_is_an_error(
    tmp_path: Path, case: str
) -> None:
    assembly = write(tmp_path, A=stack("Some.assets"))
    (tmp_path / "a.json").write_text(json.dumps(ASSETS[case]))
    with pytest.raises(FileProblem, match=r"a\.json"):
        cdk_assembly.artifact(assembly, "A", "111111111111", "eu-west-1")


@pytest.mark.parametrize("name", ["templateFile", "file", "additionalMetadataFile"])
def test_a_file_of_a_stack_outside_of_the_assembly_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "beside.json").write_text("{}")
    files = {"templateFile": "t.json", "file": "a.json", "additionalMetadataFile": "m.json"}
    files[name] = "../beside.json"
    assets = {"type": "cdk:asset-manifest", "properties": {"file": files["file"]}}
    entry = stack("Some.assets")
    entry["properties"]["templateFile"] = files["templateFile"]
    entry["additionalMetadataFile"] = files["additionalMetadataFile"]
    assembly = write(tmp_path / "assembly", A=entry, **{"Some.assets": assets})
    for inside in ("t.json", "a.json", "m.json"):
        (tmp_path / "assembly" / inside).write_text("{}")
    with pytest.raises(FileProblem, match=r"beside\.json.*outside"):
        cdk_assembly.artifact(assembly, "A", "111111111111", "eu-west-1")
