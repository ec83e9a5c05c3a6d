"""The emulator's own names that engine.py uses stand in one table, and are all there."""

import ast
import subprocess
from pathlib import Path

from tests.support.sandbox import CACHE
from toolkit.sandbox import environment, server
from toolkit.sandbox.emulator_names import NAMES


def missing(*names: str) -> list[str]:
    """Which of these names (none: those of the table) the installed emulator lacks."""
    python = environment.python(str(CACHE), print)
    done = subprocess.run(
        [python, "-I", server.ENGINE, "--names", *names], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def used_names() -> set[str]:
    """The names of the emulator in engine.py's source: what it imports from a module of it, and the
    attributes of the modules that it imports.
    """
    tree = ast.parse(Path(server.ENGINE).read_text())
    imported: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ministack"):
            for alias in node.names:
                imported[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    attributes: set[str] = set()
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = imported.get(node.value.id)
            # A function of theirs may have attributes as well, but we use none.
            if module is not None and (module not in NAMES):
                attributes.add(f"{module}.{node.attr}")
                modules.add(module)
    return attributes | {name for name in imported.values() if name not in modules}


def test_every_name_in_the_table_is_in_the_installed_emulator() -> None:
    assert missing() == []


def test_a_name_that_is_gone_is_found() -> None:
    gone = (
        "ministack.services.ecs._no_such_name",
        "ministack.services.no_such_module.name",
        "ministack.services.cloudformation.provisioners._RESOURCE_HANDLERS[AWS::No::Type]",
    )
    assert missing("ministack.services.ecs._services", *gone) == list(gone)


def test_the_table_has_just_the_names_that_are_used() -> None:
    assert used_names() == {name.partition("[")[0] for name in NAMES}
    assert all(reason.strip() for reason in NAMES.values())
