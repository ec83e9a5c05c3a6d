"""Which stacks an assembly has deployed before which: from manifests as the CDK writes them."""

import json
from pathlib import Path
from typing import Any

import pytest

from toolkit.errors import FileProblem
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


def write(folder: Path, **artifacts: dict[str, Any]) -> str:
    """An assembly of these artifacts."""
    folder.mkdir(parents=True, exist_ok=True)
    assets = {"type": "cdk:asset-manifest", "properties": {"file": "a.json"}}
    document = {"version": "48.0.0", "artifacts": {**artifacts, "Some.assets": assets}}
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
