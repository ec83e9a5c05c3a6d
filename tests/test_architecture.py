"""Who may import whom (docs/architecture.md): the layout is only worth something while it is
true. The code is parsed once for the whole file.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from msgspec import Struct

from toolkit import targets
from toolkit.targets.base import flag

ROOT = Path(__file__).parents[1] / "toolkit"
FILES = sorted(ROOT.rglob("*.py"))

MAY_IMPORT = {
    "advice": set[str](),
    "model": {"advice"},
    "operations": {"advice", "model"},
    "exits": set[str](),
    "errors": {"advice", "exits"},
    "formats": {"advice", "model", "errors"},
    "config": {"advice", "model", "errors", "formats"},
    "impact": {"advice", "model", "errors", "formats"},
    "plan": {"advice", "model", "errors", "formats"},
    "show": {"advice", "model", "errors", "exits", "operations", "formats", "templates"},
    "ports": {"advice", "model", "errors", "operations", "formats"},
    "artifacts": {"advice", "model", "errors", "formats", "ports"},
    "changes": {"advice", "model", "errors", "formats", "ports", "artifacts"},
    "targets": {
        "advice",
        "model",
        "errors",
        "exits",
        "operations",
        "formats",
        "ports",
        "artifacts",
        "templates",
    },
    "templates": {"advice", "model", "errors", "formats"},
    "init": {"advice", "model", "errors", "formats", "impact"},
    "observed": {"advice", "model", "operations", "errors", "formats", "impact"},
    "record": {"advice", "model", "errors", "exits", "operations", "formats", "ports"},
    "run": {
        "advice",
        "model",
        "errors",
        "exits",
        "operations",
        "formats",
        "ports",
        "record",
        "targets",
    },
    "sandbox": {"advice", "model", "errors", "operations", "formats", "ports", "artifacts"},
    "checks": {"advice", "model", "errors", "operations", "formats", "ports"},
    "gates": {
        "advice",
        "model",
        "errors",
        "operations",
        "formats",
        "ports",
        "checks",
        "targets",
        "run",
    },
    "flow": {
        "advice",
        "model",
        "errors",
        "exits",
        "operations",
        "formats",
        "config",
        "changes",
        "impact",
        "plan",
        "ports",
        "artifacts",
        "templates",
        "targets",
        "record",
        "run",
        "checks",
        "gates",
        "observed",
        "init",
    },
    "cli": {
        "advice",
        "model",
        "errors",
        "exits",
        "operations",
        "formats",
        "config",
        "changes",
        "impact",
        "plan",
        "ports",
        "artifacts",
        "templates",
        "targets",
        "show",
        "init",
        "record",
        "run",
        "sandbox",
        "flow",
        "checks",
        "gates",
        "observed",
        "",
    },
    "__main__": {"cli"},
    "": set[str](),
}
"""Room -> the rooms that it may import besides itself; the empty name is the package's own __init__
(its version).
"""

PURE = ("formats", "config", "impact", "plan", "templates", "show", "init", "observed")
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
    "re2": "checks/patterns.py",
    "jsonschema": "checks/schemas.py",
    "referencing": "checks/schemas.py",
    "locust": "ports/load/user.py",
}
ONE_FILE |= {"websockets": "ports/net/websocket.py", "yaml": "formats/documents.py"}
ONE_FILE |= {"tomli": "formats/toml.py"}

GENERATED = ("cli/completion_table.py",)
"""Files that `scripts/docs` writes, from what the kinds say."""

HEAVY = {"git", "yaml", "tabulate", "boto3", "botocore", "platformdirs", "urllib3"}


class Import(Struct, frozen=True):
    """A module that a file imports."""

    module: str
    at_top: bool
    """Whether it is imported when the file is loaded itself."""

    @property
    def package(self) -> str:
        return self.module.split(".")[0]


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def room(module: str) -> str:
    """`toolkit.formats.glob` -> `formats`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def own(file: Path) -> str:
    """The room that a file is in."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return parts[0] if parts[0] != "__init__" else ""


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(("toolkit", *parts)).removesuffix(".__init__")


@cache
def tree(file: Path) -> ast.Module:
    """What stands in a file; each is read once."""
    return ast.parse(file.read_text())


@cache
def imports(file: Path) -> tuple[Import, ...]:
    """Every module that a file imports; of `from package import module`, the module."""
    observed = []
    top = {id(node) for node in tree(file).body}
    for node in ast.walk(tree(file)):
        at_top = id(node) in top
        if isinstance(node, ast.Import):
            observed += [Import(alias.name, at_top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                observed.append(Import(inside if inside in MODULES else str(node.module), at_top))
    return tuple(observed)


MODULES = {module_of(file) for file in FILES}


def all_imports() -> Iterator[tuple[Path, Import]]:
    """Every import of every file."""
    for file in FILES:
        for each in imports(file):
            yield file, each


def all_nodes(*rooms: str) -> Iterator[tuple[Path, ast.AST]]:
    """Every node of every file, or of those in some rooms."""
    for file in FILES:
        if not rooms or own(file) in rooms:
            for node in ast.walk(tree(file)):
                yield file, node


def test_a_room_is_entered_by_its_own_doors_only() -> None:
    wrong = []
    for file in FILES:
        text = own(file)
        entered = {room(result.module) for result in imports(file) if result.package == "toolkit"}
        entered.discard(text)
        if text != "cli":
            entered.discard("")
        wrong += [f"{name(file)} imports {second}" for second in sorted(entered - MAY_IMPORT[text])]
    assert not wrong


def test_a_pure_room_imports_nothing_that_has_an_effect() -> None:
    assert not [
        f"{name(file)} imports {result.module}"
        for file, result in all_imports()
        if own(file) in PURE and result.package in EFFECTS
    ]


def importers(package: str) -> set[str]:
    """The files that import a package."""
    return {name(file) for file, result in all_imports() if result.package == package}


@pytest.mark.sandbox
def test_the_sandbox_has_one_door_and_it_is_opened_when_it_is_used() -> None:
    """The folder may be deleted, and all else works: tests/test_without_sandbox.py."""
    entered = [
        (name(file), result.module, result.at_top)
        for file, result in all_imports()
        if own(file) != "sandbox" and room(result.module) == "sandbox"
    ]
    assert {*entered} == {("cli/sandbox.py", "toolkit.sandbox.box", False)}


def test_tests_enter_the_sandbox_by_their_own_door() -> None:
    tests = ROOT.parent / "tests"
    entered = {
        file.relative_to(tests).as_posix()
        for file in tests.rglob("*.py")
        if any(room(result.module) == "sandbox" for result in imports(file))
    }
    elsewhere = {path for path in entered if not path.startswith("sandbox/")}
    assert elsewhere == {"support/sandbox.py"}


def test_a_package_with_one_door_is_imported_in_one_file() -> None:
    assert {package: importers(package) for package in ONE_FILE} == {
        package: {only} for package, only in ONE_FILE.items()
    }


def test_a_heavy_package_is_imported_when_it_is_used() -> None:
    assert not [
        f"{name(file)} imports {result.module}"
        for file, result in all_imports()
        if result.at_top and result.package in HEAVY
    ]


def circles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """The sets of modules that can all be reached from each other (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    result = set()

    def visit(module: str) -> None:
        index[module] = lowest[module] = len(index)
        stack.append(module)
        for text in sorted(graph[module]):
            if text not in index:
                visit(text)
                lowest[module] = min(lowest[module], lowest[text])
            elif text in stack:
                lowest[module] = min(lowest[module], index[text])
        if lowest[module] == index[module]:
            circle = set(stack[stack.index(module) :])
            del stack[stack.index(module) :]
            if len(circle) > 1:
                result.add(frozenset(circle))

    for module in sorted(graph):
        if module not in index:
            visit(module)
    return result


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set[str](), "e": {"d", "a"}}
    assert circles(graph) == {frozenset({"b", "c"})}


def test_no_module_imports_itself_through_others() -> None:
    """Imports inside functions count: they only hide a circle from the interpreter."""
    graph = {}
    for file in FILES:
        text = module_of(file)
        actual = {result.module for result in imports(file)} & MODULES
        graph[text] = actual - {text, "toolkit"}
    assert not circles(graph)


def test_no_kind_is_told_apart_by_name_outside_of_its_own_file() -> None:
    elsewhere = ("show", "changes", "flow", "ports")  # of a base, or of a file: another word
    compared = []
    for file in FILES:
        if own(file) in elsewhere:
            continue
        for node in ast.walk(tree(file)):
            if not isinstance(node, ast.Compare):
                continue
            parts = [part for part in ast.walk(node.left) if isinstance(part, ast.Attribute)]
            if any(part.attr == "kind" for part in parts):
                compared.append(f"{name(file)}:{node.lineno}")
    assert not compared


def option_names() -> dict[str, bool]:
    """The names of all options of the kinds, and of what their rollbacks restore: whether one is a
    word of its own, which means nothing else anywhere.
    """
    structs = [targets.kind(name).Options for name in targets.KINDS]
    structs += [targets.kind(name).Restore for name in targets.KINDS if targets.kind(name).Restore]
    return {field: "_" in field for struct in structs for field in struct.__struct_fields__}


def test_no_option_of_a_kind_is_named_outside_of_targets() -> None:
    """Neither where it is read (`job.options.image`), nor by its name, nor as it is written."""
    names = option_names()
    assert {"no_build", "allow_delete", "task_definition"} <= names.keys()
    flags = tuple(flag(name) for name, distinct in names.items() if distinct)
    wrong = []
    for file in FILES:
        if own(file) in ("targets", "sandbox") or name(file) in GENERATED:
            continue
        body = [part for part in tree(file).body if "EPILOG" not in ast.unparse(part)[:6]]
        for node in (node for part in body for node in ast.walk(part)):
            if isinstance(node, ast.Attribute) and node.attr in names:
                read = ast.unparse(node.value).rpartition(".")[2] in ("options", "restore")
                named = read or names[node.attr]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                named = names.get(node.value, False) or any(text in node.value for text in flags)
            else:
                continue
            if named:
                wrong.append(f"{name(file)}:{node.lineno}")
    assert not wrong


def test_no_detail_of_what_is_live_is_named_outside_of_targets() -> None:
    """The rooms that handle any kind ask it which details name content, and what it is called."""
    details = set[str]()
    for kind in map(targets.kind, targets.KINDS):
        details |= {*kind.content_details, kind.artifact_detail}
    assert {"task definition", "digest"} <= details
    assert not [
        f"{name(file)}:{node.lineno}: {node.value}"
        for file, node in all_nodes("run", "flow", "gates", "record", "show", "cli")
        if isinstance(node, ast.Constant) and node.value in details - {""}
    ]


def test_nothing_starts_a_shell_or_catches_everything() -> None:
    wrong = []
    for file in FILES:
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.keyword) and node.arg == "shell":
                wrong.append(f"{name(file)}:{node.lineno}: a shell")
            elif isinstance(node, ast.ExceptHandler) and node.type is None:
                wrong.append(f"{name(file)}:{node.lineno}: catches everything")
            elif isinstance(node, ast.Name) and node.id == "print":
                wrong.append(f"{name(file)}:{node.lineno}: prints")
    assert not wrong


FOREIGN = {"scheme": "of a URL"}
"""Attributes that hold words of others, which happen to be ours as well."""


@cache
def vocabulary() -> dict[str, str]:
    """Each word of our enums, with the name of one that has it."""
    words: dict[str, str] = {}
    for file in FILES:
        for node in ast.walk(tree(file)):
            if not isinstance(node, ast.ClassDef) or "StrEnum" not in map(ast.unparse, node.bases):
                continue
            for line in node.body:
                if isinstance(line, ast.Assign) and isinstance(line.value, ast.Constant):
                    words[str(line.value.value)] = node.name
    return words


def bare_words(compared: ast.Compare, words: dict[str, str]) -> list[str]:
    """The words of enums that are compared with an attribute as strings."""
    sides = [compared.left, *compared.comparators]
    attributes = {side.attr for side in sides if isinstance(side, ast.Attribute)}
    if not attributes - FOREIGN.keys():
        return []
    parts = [part for side in sides for part in getattr(side, "elts", (side,))]
    texts = [part.value for part in parts if isinstance(part, ast.Constant)]
    return [text for text in texts if isinstance(text, str) and text in words]


@pytest.mark.parametrize(
    ("code", "bare"),
    [
        ("report.status == 'failing'", ["failing"]),
        ("'failing' != report.status", ["failing"]),
        ("report.status in ('ok', HealthStatus.WARNING)", ["ok"]),
        ("report.status == HealthStatus.FAILING", []),
        ("report.name == 'failing today'", []),
        ("url.scheme == 'http'", []),
        ("word == 'failing'", []),
    ],
)
def test_a_word_of_an_enum_beside_an_attribute_is_found(code: str, bare: list[str]) -> None:
    compared = ast.parse(code, mode="eval").body
    assert isinstance(compared, ast.Compare)
    assert bare_words(compared, vocabulary()) == bare


FIELDS = {"verdict", "status", "state", "action", "origin"}
"""The fields of our structs whose type is an enum: `replace` does not check what they are given."""


def test_no_field_of_an_enum_is_given_a_bare_string() -> None:
    words = vocabulary()
    assert not [
        f"{name(file)}:{node.value.lineno}: {node.arg}={node.value.value!r}"
        for file, node in all_nodes()
        if isinstance(node, ast.keyword) and node.arg in FIELDS
        if isinstance(node.value, ast.Constant) and node.value.value in words
    ]


def test_no_word_of_an_enum_is_compared_as_a_bare_string() -> None:
    words, wrong = vocabulary(), []
    for file in FILES:
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Compare):
                bare = bare_words(node, words)
                wrong += [f"{name(file)}:{node.lineno}: {word!r} of {words[word]}" for word in bare]
    assert not wrong
