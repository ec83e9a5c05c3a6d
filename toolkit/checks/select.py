"""Which checks are done, where, and in which order. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from msgspec import Struct

from toolkit.errors import Refused
from toolkit.model import Check, Location

Spot = tuple[str, Location, str]
"""Where a check is done: its base address, the place, and what to call that where there are
several.
"""


class Task(Struct, frozen=True):
    """One check at one place. `needs` are tasks that have to have passed, `after` such that only
    come first; `gives` are those of them that give it values.
    """

    name: str
    check: Check
    location: Location
    base: str = ""
    needs: frozenset[str] = frozenset()
    after: frozenset[str] = frozenset()
    gives: frozenset[str] = frozenset()
    at: str = ""

    @property
    def waits(self) -> frozenset[str]:
        """All tasks that come before it."""
        return self.needs | self.after | self.gives


def closure(
    wanted: Collection[str], checks: Mapping[str, Check], waits: Mapping[str, Collection[str]]
) -> tuple[str, ...]:
    """The wanted checks, and all that they need, in the file's order; with what cleans up after
    them.

    `waits` has what each check needs; of what cleans up only what gives it values.
    """
    found, waiting = set[str](), list(wanted)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += waits[name]
    for name, check in checks.items():
        if check.always and waits[name] and found.issuperset(waits[name]):
            found.add(name)
    return tuple(name for name in checks if name in found)


def here(
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
        for other in sorted(set(waits[name]) - fit):
            if other in names:
                raise Refused(
                    f"check {name} waits for {other}, which is not for environment {environment}",
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
    for name in names:
        if name in based and not urls:
            raise Refused(
                f"check {name} asks {checks[name].asks!r}, and {_no_address(unchosen)[0]}",
                _no_address(unchosen)[1],
            )
    made: dict[str, list[Spot]] = {
        name: list(_spots(checks[name], name in based, urls, locations)) for name in names
    }

    def task(name: str, base: str, location: Location, at: str) -> Task:
        needs, after, gives = (
            frozenset(_of(one, base, made, based)) for one in _groups(checks[name], givers, names)
        )
        return Task(_name(name, at), checks[name], location, base, needs, after, gives, at)

    return tuple(task(name, *spot) for name in names for spot in made[name])


def _groups(
    check: Check, givers: Mapping[str, str], names: Collection[str]
) -> tuple[list[str], list[str], list[str]]:
    """What it needs, what only comes before it, and what gives it values."""
    needed = [other for other in check.needs if other in names]
    giving = sorted({givers[name] for name in check.uses if givers.get(name) in names})
    return ([], needed, giving) if check.always else (needed, [], giving)


def _of(
    others: Sequence[str], base: str, made: Mapping[str, list[Spot]], based: Collection[str]
) -> Iterator[str]:
    """The tasks of these checks that a task at `base` has to do with: those at the same address,
    all of them if it has none.
    """
    for other in others:
        for there, _, at in made[other]:
            if not base or other not in based or there == base:
                yield _name(other, at)


def _based(
    names: Sequence[str], checks: Mapping[str, Check], givers: Mapping[str, str]
) -> set[str]:
    found = {name for name in names if checks[name].based}
    while True:
        more = {
            name for name in names if any(givers.get(used) in found for used in checks[name].uses)
        } - found
        if not more:
            return found
        found |= more


def _no_address(unchosen: Sequence[str] | None) -> tuple[str, str]:
    """Why there is no base address, and what to do."""
    if unchosen is None:
        return "the environment has no `urls`", "add them to it, or say --url ADDRESS"
    if not unchosen:
        return "rules.toml has no environment with `urls`", "add one, or say --url ADDRESS"
    return (
        "no environment was chosen",
        f"choose one with --env ({', '.join(unchosen[:8])}), or say --url ADDRESS",
    )


def _spots(
    check: Check, based: bool, urls: Sequence[str], locations: Sequence[Location]
) -> Iterator[Spot]:
    """Base address, place, and what to call it where there are several."""
    if based:
        for url in urls:
            yield url, locations[0], url if len(urls) > 1 else ""
    elif check.sort == "aws" or "region" in check.uses:
        for location in locations:
            yield "", location, location.region or "" if len(locations) > 1 else ""
    else:
        yield "", locations[0], ""


def _name(check: str, at: str) -> str:
    return f"{check} at {at}" if at else check
