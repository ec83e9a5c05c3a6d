"""What names become when an environment's variables are filled in: which are left with a hole, and
which targets then change one thing.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import Meta

from toolkit.config.reader import annotation, annotations
from toolkit.formats.variables import fill, fill_all, names
from toolkit.model import BuiltImage, Environment, Resource, Rules

KeyedProblem = tuple[str, tuple[str | int, ...]]
"""A problem: what is wrong, and the keys where it is to be fixed."""

_BORDERS = "-_/.:@ "
"""What separates the parts of a name: an empty part between two of them, or at an end, was meant to
be filled in.
"""


def find_holes(rules: Rules) -> Iterator[KeyedProblem | None]:
    """The empty variables that leave a hole in a name, each at its place in `vars`; None for each
    name that was filled in, so that the caller can stop.

    A variable may be empty where that makes a name all the same, as in `api{suffix}`, and in what
    is not a name: a value of `env` or of `parameters` may be empty, too.
    """
    empty: dict[str, list[Environment]] = {}
    for environment in rules.environments.values():
        for variable, value in environment.vars.items():
            if not value.strip():
                empty.setdefault(variable, []).append(environment)
    if not empty:
        return
    reported = set[tuple[str, str]]()
    for name, target in rules.targets.items():
        for keys, text in _names(target.settings, empty):
            for variable in sorted(empty.keys() & names(text)):
                for environment in empty[variable]:
                    yield None
                    key = (environment.name, variable)
                    if key not in reported and is_hole(text, variable, environment.vars):
                        reported.add(key)
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
    # A quick look at all of it first: most settings hold none of the variables.
    if not any(f"{{{variable}}}" in repr(settings) for variable in empty):
        return
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), msgspec.to_builtins(settings))]
    while waiting:
        keys, value = waiting.pop(0)
        if isinstance(value, dict):
            waiting += [((*keys, key), inside) for key, inside in value.items()]
        elif isinstance(value, (list, tuple)):
            waiting += [((*keys, index), inside) for index, inside in enumerate(value)]
        elif isinstance(value, str) and _is_name(type(settings), keys):
            yield keys, value


def _is_name(settings: type[Any], keys: Sequence[str | int]) -> bool:
    for part in annotations(annotation(settings, list(keys))):
        if isinstance(part, Meta) and (part.min_length or part.pattern):
            return True
    return False


def find_shared(
    writes: Mapping[str, Sequence[Resource]], rules: Rules, draft: bool = False
) -> Iterator[KeyedProblem | None]:
    """The targets that change what another one changes, in any environment; None for each name that
    was filled in, so that the caller can stop. In a draft an empty variable stands for a name that
    nobody has said yet.
    """
    fixed = _Writers()
    with_variables: list[tuple[str, Resource]] = []
    for target, resources in writes.items():
        for resource in resources:
            rival = fixed.add(target, resource)
            if rival is not None:
                yield _conflict(rival, resource, ""), ("targets", target)
            elif "{" in resource.name or "{" in (resource.part or ""):
                with_variables.append((target, resource))
    if not with_variables:
        return
    reported = set[tuple[str, str]]()
    for environment, region in _places(rules, with_variables):
        writers = _Writers(fixed)
        variables = {"region": region, **environment.vars}
        if draft:
            variables = {name: value for name, value in variables.items() if value}
        for target, resource in with_variables:
            yield None
            part = resource.part and fill(resource.part, variables)
            filled = Resource(resource.what, fill(resource.name, variables), part)
            rival = writers.add(target, filled)
            if rival is not None and (target, rival) not in reported:
                reported.add((target, rival))
                where = f" in environment {environment.name!r}"
                yield _conflict(rival, filled, where), ("targets", target)


def find_unlike_tests(
    images: Mapping[str, BuiltImage], rules: Rules
) -> Iterator[KeyedProblem | None]:
    """The targets that push images to the repository of another one, but test a container of them
    in another way, in any environment: the image that the first of them has built is used by all.
    None for each that was filled in, so that the caller can stop.
    """
    if all(image.test is None for image in images.values()):
        return
    words = {
        target: (image.repository, msgspec.to_builtins(image.test))
        for target, image in images.items()
    }
    reported = set[tuple[str, str]]()
    filled_in = names(repr(words)) and rules.environments
    for environment, region in _places(rules, words) if filled_in else ((None, ""),):
        variables = {"region": region, **environment.vars} if environment else {}
        first: dict[str, tuple[str, Any]] = {}
        for target, its_words in words.items():
            yield None
            repository, test = fill_all(its_words, variables)
            rival, its_test = first.setdefault(repository, (target, test))
            if test != its_test and (target, rival) not in reported:
                reported.add((target, rival))
                where = f" in environment {environment.name!r}" if environment else ""
                message = (
                    f"it uses repository {repository!r}{where}, as target {rival!r} does, but not "
                    "with the same `container_test`; give both the same, or each its own repository"
                )
                yield message, ("targets", target)


def _places(rules: Rules, named: object) -> Iterator[tuple[Environment, str]]:
    """The environments, each with its regions; with one only, if no name depends on the region."""
    by_region = "{region}" in repr(named)
    for environment in rules.environments.values():
        regions = environment.regions
        if not by_region:
            regions = regions[:1] or ("",)
        for region in regions:
            yield environment, region


class _Writers:
    """Which target changes what; `everywhere` are those of all environments."""

    def __init__(self, everywhere: "_Writers | None" = None) -> None:
        self._everywhere = everywhere
        self._parts: dict[tuple[str, str], dict[str | None, str]] = {}

    def add(self, target: str, resource: Resource) -> str | None:
        """Another target that changes it; None if there is none."""
        rival = self._other_writer(target, resource)
        parts = self._parts.setdefault((resource.what, resource.name), {})
        parts.setdefault(resource.part, target)
        return rival

    def _other_writer(self, target: str, resource: Resource) -> str | None:
        parts = self._parts.get((resource.what, resource.name), {})
        # Part None is all of it, so it collides with every part.
        colliding = list(parts) if resource.part is None else [resource.part, None]
        for part in colliding:
            if part in parts and parts[part] != target:
                return parts[part]
        if self._everywhere is None:
            return None
        return self._everywhere._other_writer(target, resource)


def _conflict(rival: str, resource: Resource, where: str) -> str:
    part = f" ({resource.part})" if resource.part else ""
    return (
        f"it changes the {resource.what} {resource.name!r}{part}{where}, as target {rival!r} does;"
        " each needs its own"
    )
