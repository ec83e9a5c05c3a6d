"""What tables need is loaded in short, and what they then lack where they need it."""

import importlib.metadata
import sys
from types import SimpleNamespace

import pytest

from toolkit.cli import table_loading
from toolkit.show.table import table


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no table had been shown yet."""
    for name in [*sys.modules]:
        if name.partition(".")[0] in ("tabulate", "wcwidth") or name == "importlib.metadata":
            monkeypatch.delitem(sys.modules, name)


@pytest.mark.usefixtures("unloaded")
def test_what_tables_hardly_ever_need_is_loaded_where_they_need_it() -> None:
    table_loading.load()
    assert "tabulate" in sys.modules
    assert not sys.modules.keys() & {"importlib.metadata", "wcwidth"}
    rows = [("日本", 1), ("app", 2)]
    assert table(("name", "files"), rows).splitlines()[2:] == ["日本  1", "app   2"]
    assert importlib.metadata.version("tabulate")


@pytest.mark.usefixtures("unloaded")
def test_a_tabulate_that_needs_what_is_kept_from_it_is_loaded_as_usual(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(table_loading, "ModuleType", lambda name: SimpleNamespace())
    table_loading.load()
    assert table(("a",), [("b",)]) == "a\n-\nb"
