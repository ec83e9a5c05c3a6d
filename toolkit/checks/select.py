"""Which checks run, where, and in which order. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from toolkit.errors import Refused
from toolkit.model import Check, CheckTypeName
from toolkit.operations import Location

Spot = tuple[str, Location, str, int]
"""Where a check runs: its base address, the location, and a label where there are several; and with
which row, counted from 1, or 0 if it has none.
"""


class Task(Struct, frozen=True):
    """One check at one spot, which `at` names where there are several, and with one row of data.

    Rows are counted from 1; 0 is a check without. `needs` are tasks that have to have passed,
    `after` such that only come first; `gives` are those that give it values.
    """

    name: str
    check: Check
    location: Location
    base: str = ""
    needs: frozenset[str] = frozenset()
    after: frozenset[str] = frozenset()
    gives: frozenset[str] = frozenset()
    at: str = ""
    row: int = 0

    @property
    def row_values(self) -> Mapping[str, Any]:
        """The values of its row."""
        return self.check.rows[self.row - 1] if self.row else {}

    @property
    def waits(self) -> frozenset[str]:
        """All tasks that come before it."""
        return self.needs | self.after | self.gives


def closure(
    chosen: Collection[str], checks: Mapping[str, Check], waits: Mapping[str, Collection[str]]
) -> tuple[str, ...]:
    """The chosen checks, and all that they need, in the file's order; with what cleans up after
    them.

    `waits` has what each check needs; of what cleans up only what gives it values.
    """
    selected, waiting = set[str](), list(chosen)
    while waiting:
        name = waiting.pop()
        if name not in selected:
            selected.add(name)
            waiting += waits[name]
    for name, check in checks.items():
        if check.always and waits[name] and selected.issuperset(waits[name]):
            selected.add(name)
    return tuple(name for name in checks if name in selected)


def for_environment(
    names: Sequence[str],
    checks: Mapping[str, Check],
    waits: Mapping[str, Collection[str]],
    environment: str | None,
) -> tuple[str, ...]:
    """Those that are for an environment. Raises Refused if one of them waits for one that is
    not.
    """
    fit = {
        name
        for name in names
        if not checks[name].environments or environment in checks[name].environments
    }
    for name in fit:
        for missing in sorted(set(waits[name]) - fit):
            if missing in names:
                raise Refused(
                    f"check {name} waits for {missing}, which is not for environment {environment}",
                    "give both the same `environments`",
                )
    return tuple(name for name in names if name in fit)


def tasks(
    names: Sequence[str],
    checks: Mapping[str, Check],
    givers: Mapping[str, str],
    urls: Sequence[str],
    locations: Sequence[Location],
    unchosen: Sequence[str] | None = None,
) -> tuple[Task, ...]:
    """Each check at each base address (what asks a path, or uses what such a check has captured),
    or in each region (what asks AWS), or once. `unchosen` are the environments that there are, if
    none of them was chosen. Raises Refused where there is no base address.
    """
    based = _based(names, checks, givers)
    if not urls:
        for name in names:
            if name in based:
                reason, fix = _no_address(unchosen)
                raise Refused(f"check {name} asks {checks[name].asks!r}, and {reason}", fix)
    spots: dict[str, list[Spot]] = {
        name: list(_with_rows(checks[name], name in based, urls, locations)) for name in names
    }
    planned: list[Task] = []
    for name in names:
        check = checks[name]
        needed = [need for need in check.needs if need in names]
        givers_of = sorted({givers[used] for used in check.uses if givers.get(used) in names})
        for base, location, label, row in spots[name]:
            # What cleans up runs also where what comes before it has failed.
            before = frozenset(_related(needed, base, spots, based))
            needs, after = (
                (frozenset[str](), before) if check.always else (before, frozenset[str]())
            )
            gives = frozenset(_related(givers_of, base, spots, based))
            planned.append(
                Task(
                    _name(name, label, row),
                    check,
                    location,
                    base,
                    needs,
                    after,
                    gives,
                    label,
                    row,
                )
            )
    return tuple(planned)


def _related(
    names: Sequence[str], base: str, spots: Mapping[str, list[Spot]], based: Collection[str]
) -> Iterator[str]:
    """The tasks of these checks that a task at `base` depends on: those at the same address, all of
    them if it has none.
    """
    for name in names:
        for address, _, label, row in spots[name]:
            if not base or name not in based or address == base:
                yield _name(name, label, row)


def _based(
    names: Sequence[str], checks: Mapping[str, Check], givers: Mapping[str, str]
) -> set[str]:
    """The checks that ask each base address: by themselves, or with a value that was captured
    there.
    """
    based = {name for name in names if checks[name].based}
    while True:
        before = len(based)
        for name in names:
            if any(givers.get(used) in based for used in checks[name].uses):
                based.add(name)
        if len(based) == before:
            return based


def _no_address(unchosen: Sequence[str] | None) -> tuple[str, str]:
    """Why there is no base address, and what to do."""
    if unchosen is None:
        return "the environment has no `urls`", "add them, or use --url ADDRESS"
    if not unchosen:
        return "rules.toml has no environment with `urls`", "add one, or use --url ADDRESS"
    return (
        "no environment was chosen",
        f"choose one with --env ({', '.join(unchosen[:8])}), or use --url ADDRESS",
    )


def _with_rows(
    check: Check, based: bool, urls: Sequence[str], locations: Sequence[Location]
) -> Iterator[Spot]:
    """Each spot of a check with each of its rows."""
    for address, location, label in _spots(check, based, urls, locations):
        for row in range(1, len(check.rows) + 1) if check.rows else (0,):
            yield address, location, label, row


def _spots(
    check: Check, based: bool, urls: Sequence[str], locations: Sequence[Location]
) -> Iterator[tuple[str, Location, str]]:
    if based:
        for url in urls:
            yield url, locations[0], url if len(urls) > 1 else ""
    elif check.check_type == CheckTypeName.AWS or "region" in check.uses:
        several = len(locations) > 1
        for location in locations:
            yield "", location, (location.region or "") if several else ""
    else:
        yield "", locations[0], ""


def _name(check: str, label: str, row: int) -> str:
    name = f"{check} row {row}" if row else check
    return f"{name} at {label}" if label else name
