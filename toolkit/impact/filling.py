"""What names become when an environment's variables are filled in: which are left with a hole, and
which targets then change one thing.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import Meta

from toolkit.impact.reading import annotation, annotations
from toolkit.model import Environment, Resource, Rules

Found = tuple[str, tuple[str | int, ...]]
"""A problem: what is wrong, and the keys where it is to be fixed."""

_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_BORDERS = "-_/.:@ "
"""What separates the parts of a name: an empty part between two of them, or at an end, was meant to
be filled in.
"""


def fill(text: str, variables: Mapping[str, str]) -> str:
    """The text with every `{name}` of a known variable replaced."""
    return _VARIABLE.sub(lambda found: variables.get(found[1], found[0]), text)


def holes(rules: Rules) -> Iterator[Found | None]:
    """The empty variables that leave a hole in a name, each at its place in `vars`; None for each
    name that was looked at.

    A variable may be empty where that makes a name all the same, as in `api{suffix}`, and in what
    is no name: a value of `env` or of `parameters` may be empty, too.
    """
    empty: dict[str, list[Environment]] = {}
    for environment in rules.environments.values():
        for variable, value in environment.vars.items():
            if not value.strip():
                empty.setdefault(variable, []).append(environment)
    if not empty:
        return
    told = set[tuple[str, str]]()
    for name, target in rules.targets.items():
        for keys, text in _names(target.settings, empty):
            for variable in sorted(empty.keys() & set(_VARIABLE.findall(text))):
                for environment in empty[variable]:
                    yield None
                    if (environment.name, variable) in told or not is_hole(
                        text, variable, environment.vars
                    ):
                        continue
                    told.add((environment.name, variable))
                    setting = ".".join(map(str, ("targets", name, *keys)))
                    message = f"it is empty, and {setting} ({text!r}) needs it; fill it in"
                    yield message, ("environments", environment.name, "vars", variable)


def is_hole(text: str, variable: str, variables: Mapping[str, str]) -> bool:
    """Whether a name is none without the value of an empty variable: that would be all of it, or a
    whole part of it.
    """
    mark = f"{{{variable}}}"
    others = {name: value.strip() for name, value in variables.items() if name != variable}
    parts = fill(text, others).split(mark)
    return any(_ends(before[-1:]) and _ends(behind[:1]) for before, behind in pairwise(parts))


def _ends(char: str) -> bool:
    return not char or char in _BORDERS


def _names(
    settings: Any, empty: Mapping[str, object]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Each setting that must not be empty, or has to look like something, and holds one of these
    variables.
    """
    if not any(f"{{{variable}}}" in repr(settings) for variable in empty):
        return
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), msgspec.to_builtins(settings))]
    while waiting:
        keys, value = waiting.pop(0)
        if isinstance(value, dict):
            waiting += [((*keys, key), inside) for key, inside in value.items()]
        elif isinstance(value, (list, tuple)):
            waiting += [((*keys, at), inside) for at, inside in enumerate(value)]
        elif isinstance(value, str) and _is_name(type(settings), keys):
            yield keys, value


def _is_name(settings: type[Any], keys: Sequence[str | int]) -> bool:
    metas = [
        part for part in annotations(annotation(settings, list(keys))) if isinstance(part, Meta)
    ]
    return any(meta.min_length or meta.pattern for meta in metas)


def shared(writes: Mapping[str, Sequence[Resource]], rules: Rules) -> Iterator[Found | None]:
    """The targets that change what another one changes, in any environment; None for each name that
    was filled in.
    """
    fixed = _Writers()
    open_: list[tuple[str, Resource]] = []
    for target, things in writes.items():
        for thing in things:
            other = fixed.add(target, thing)
            if other is not None:
                yield _both(target, other, thing, ""), ("targets", target)
            elif "{" in thing.name or "{" in (thing.part or ""):
                open_.append((target, thing))
    if not open_:
        return
    told = set[tuple[str, str]]()
    for environment in rules.environments.values():
        for region in (
            environment.regions
            if any("{region}" in repr(thing) for _, thing in open_)
            else environment.regions[:1] or ("",)
        ):
            here = _Writers(fixed)
            variables = {"region": region, **environment.vars}
            for target, thing in open_:
                yield None
                name = Resource(
                    thing.what,
                    fill(thing.name, variables),
                    thing.part and fill(thing.part, variables),
                )
                other = here.add(target, name)
                if other is not None and (target, other) not in told:
                    told.add((target, other))
                    where = f" in environment {environment.name!r}"
                    yield _both(target, other, name, where), ("targets", target)


class _Writers:
    """Who changes what, as far as that is known; `also` are those of everywhere."""

    def __init__(self, also: "_Writers | None" = None) -> None:
        self._also = also
        self._parts: dict[tuple[str, str], dict[str | None, str]] = {}

    def add(self, target: str, thing: Resource) -> str | None:
        """Whoever else changes it, and None if nobody does."""
        other = self.of(target, thing)
        self._parts.setdefault((thing.what, thing.name), {}).setdefault(thing.part, target)
        return other

    def of(self, target: str, thing: Resource) -> str | None:
        """Whoever changes that part of it, or all of it."""
        parts = self._parts.get((thing.what, thing.name), {})
        meant = (
            parts if thing.part is None else [part for part in (thing.part, None) if part in parts]
        )
        other = next((parts[part] for part in meant if parts[part] != target), None)
        return other if other is not None or self._also is None else self._also.of(target, thing)


def _both(target: str, other: str, thing: Resource, where: str) -> str:
    part = f" ({thing.part})" if thing.part else ""
    return (
        f"it changes the {thing.what} {thing.name!r}{part}{where}, as target {other!r} does; each"
        " needs its own"
    )
