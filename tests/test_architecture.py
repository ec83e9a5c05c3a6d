"""Who may import whom (docs/architecture.md): the layout is only worth something while it is
true.
"""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "toolkit"
FILES = sorted(ROOT.rglob("*.py"))

MAY_IMPORT = {
    "errors": set[str](),
    "model": set[str](),
    "impact": {"model", "errors"},
    "plan": {"model", "errors"},
    "show": {"model", "errors"},
    "ports": {"model", "errors"},
    "changes": {"model", "errors", "ports"},
    "targets": {"model", "errors", "ports"},
    "init": {"model", "errors", "impact"},
    "record": {"model", "errors", "ports"},
    "run": {"model", "errors", "ports", "record", "targets"},
    "sandbox": {"model", "errors", "ports"},
    "checks": {"model", "errors", "ports"},
    "flow": {
        "model",
        "errors",
        "changes",
        "impact",
        "plan",
        "ports",
        "targets",
        "record",
        "run",
        "checks",
    },
    "cli": {
        "model",
        "errors",
        "changes",
        "impact",
        "plan",
        "ports",
        "targets",
        "show",
        "init",
        "record",
        "run",
        "sandbox",
        "flow",
        "",
    },
    "__main__": {"cli"},
    "": set[str](),
}
"""Room -> the rooms that it may import besides itself; the empty name is the package's own __init__
(its version).
"""

PURE = ("impact", "plan", "show", "init")
EFFECTS = {
    "os",
    "sys",
    "time",
    "random",
    "socket",
    "subprocess",
    "pathlib",
    "shutil",
    "tempfile",
    "threading",
    "urllib",
    "http",
    "io",
}
ONE_FILE = {"git": "ports/git.py", "questionary": "cli/prompt.py", "tabulate": "show/table.py"}
ONE_FILE |= {
    "platformdirs": "ports/files.py",
    "subprocess": "ports/process.py",
    "boto3": "ports/aws/client.py",
}
ONE_FILE |= {
    "rich": "cli/progress.py",
    "botocore": "ports/aws/client.py",
    "jsonpath": "checks/expect.py",
    "locust": "ports/load/user.py",
}
ONE_FILE |= {"websockets": "ports/net/websocket.py"}


YAML = {"init/documents.py", "targets/stack/document.py"}
"""One reads data, the other where it stands."""


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def room(module: str) -> str:
    """`toolkit.impact.glob` -> `impact`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports(file: Path) -> Iterator[tuple[str, bool]]:
    """Every module that a file imports, and whether it does so when it is loaded itself."""
    tree = ast.parse(file.read_text())
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(file)}: relative import"
            yield node.module or "", id(node) in top
            if node.module == "toolkit" or (node.module or "").startswith("toolkit."):
                found = ((f"{node.module}.{alias.name}", id(node) in top) for alias in node.names)
                yield from (
                    one
                    for one in found
                    if (ROOT.parent / one[0].replace(".", "/")).with_suffix(".py").exists()
                )


def own(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return parts[0] if parts[0] != "__init__" else ""


@pytest.mark.parametrize("file", FILES, ids=name)
def test_a_room_is_entered_by_its_own_doors_only(file: Path) -> None:
    here = own(file)
    wanted = {room(module) for module, _ in imports(file) if module.split(".")[0] == "toolkit"} - {
        here
    }
    if here != "cli":
        wanted -= {""}
    assert wanted <= MAY_IMPORT[here]


@pytest.mark.parametrize("file", [file for file in FILES if own(file) in PURE], ids=name)
def test_a_pure_room_imports_nothing_that_has_an_effect(file: Path) -> None:
    assert not {module.split(".")[0] for module, _ in imports(file)} & EFFECTS


def test_yaml_is_read_in_two_files() -> None:
    assert {
        name(file) for file in FILES if "yaml" in {module for module, _ in imports(file)}
    } == YAML


@pytest.mark.parametrize(("package", "only"), ONE_FILE.items())
def test_a_package_with_one_door_is_imported_in_one_file(package: str, only: str) -> None:
    assert {
        name(file)
        for file in FILES
        if package in {module.split(".")[0] for module, _ in imports(file)}
    } == {only}


@pytest.mark.parametrize(
    "package", ["git", "yaml", "tabulate", "boto3", "botocore", "platformdirs", "urllib3"]
)
def test_a_heavy_package_is_imported_when_it_is_used(package: str) -> None:
    assert not [
        name(file)
        for file in FILES
        for module, at_top in imports(file)
        if at_top and module.split(".")[0] == package
    ]


def test_no_module_imports_itself_through_others() -> None:
    def module(file: Path) -> str:
        return ".".join(("toolkit", *file.relative_to(ROOT).with_suffix("").parts)).removesuffix(
            ".__init__"
        )

    modules = {module(file) for file in FILES}
    graph = {
        module(file): (
            {
                found
                for found, at_top in imports(file)
                if at_top and found in modules and found != module(file)
            }
            - {"toolkit"}
        )
        for file in FILES
    }
    TopologicalSorter(graph).prepare()


def test_no_kind_is_told_apart_by_name_outside_of_its_own_file() -> None:
    compared = [
        f"{name(file)}:{node.lineno}"
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Compare)
        and any(
            isinstance(part, ast.Attribute) and part.attr == "kind" for part in ast.walk(node.left)
        )
        and own(file)
        not in ("show", "changes", "flow", "ports")  # of a base, or of a file: another word
    ]
    assert not compared


def test_nothing_starts_a_shell_or_catches_everything() -> None:
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            assert not (isinstance(node, ast.keyword) and node.arg == "shell"), name(file)
            assert not (isinstance(node, ast.ExceptHandler) and node.type is None), name(file)
            assert not (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "print"
            ), name(file)
