"""The order of lookups decides what is generated."""

import pytest

from toolkit.observed.reads import Reads
from toolkit.operations import Lookup, LookupKind

OPENED, WRITTEN, FOLDER = LookupKind.OPENED, LookupKind.WRITTEN, LookupKind.FOLDER
MOVED, LINKED, MISSING = LookupKind.MOVED, LookupKind.LINKED, LookupKind.MISSING
APPENDED = LookupKind.APPENDED


def reads(*steps: tuple[LookupKind, str] | tuple[LookupKind, str, str]) -> Reads:
    """One after the other; a third word is where it goes to."""
    result = Reads(["/repo"])
    for moment, step in enumerate(steps, 1):
        kind, path, *to = step
        result.take(
            Lookup(kind, f"/repo/{path}", moment, moment, to=f"/repo/{to[0]}" if to else "")
        )
    return result


@pytest.mark.parametrize(
    ("steps", "sources"),
    [
        ([(WRITTEN, "a"), (OPENED, "a")], set()),
        ([(OPENED, "a"), (WRITTEN, "a"), (OPENED, "a")], {"a"}),
        ([(APPENDED, "a"), (OPENED, "a")], {"a"}),
        ([(FOLDER, "out"), (OPENED, "out/deep/a")], set()),
        ([(OPENED, "out/a"), (FOLDER, "out")], {"out/a"}),
        ([(MOVED, "a", "b"), (OPENED, "b")], {"a", "b"}),
        ([(WRITTEN, "a"), (MOVED, "a", "b"), (OPENED, "b")], set()),
        ([(FOLDER, "new"), (MOVED, "new", "out"), (OPENED, "out/a")], set()),
        (
            [(MOVED, "src", "old"), (MOVED, "old", "src"), (OPENED, "src/a")],
            {"src", "old", "src/a"},
        ),
        ([(LINKED, "a", "b"), (OPENED, "b")], {"a", "b"}),
    ],
)
def test_what_was_there_before_the_run_is_a_source(
    steps: list[tuple[LookupKind, str]], sources: set[str]
) -> None:
    assert {path.removeprefix("/repo/") for path in reads(*steps).opened} == sources


def test_a_read_that_overlaps_with_the_write_is_a_source() -> None:
    result = Reads(["/repo"])
    result.take(Lookup(WRITTEN, "/repo/a", 1, 5))
    result.take(Lookup(OPENED, "/repo/a", 4, 6))
    assert set(result.opened) == {"/repo/a"}


def test_a_name_that_was_looked_for_before_it_was_made_is_kept() -> None:
    result = reads((MISSING, "a"), (WRITTEN, "a"), (OPENED, "a"), (MISSING, "b"))
    assert result.missing == {"/repo/a", "/repo/b"}
    assert result.made == {"/repo/a"}
    assert not result.opened


def test_a_path_outside_is_counted_and_one_that_leads_in_is_kept() -> None:
    result = Reads(["/repo", "/link-to-repo"])
    result.take(Lookup(OPENED, "/usr/x", 1, 1))
    result.take(Lookup(OPENED, "/repository/x", 1, 1))
    result.take(Lookup(MISSING, "/work/../repo/x", 1, 1))
    result.take(Lookup(MISSING, "/link-to-repo/y", 1, 1))
    assert result.outside == {"/usr/x", "/repository/x"}
    assert result.missing == {"/work/../repo/x", "/link-to-repo/y"}
