"""Which stacks does the code of a CDK app make, what do they need of each other, and which code is
whose?
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from toolkit.init.stacks.code import CodeFile, CreatedObject, plain_name

_NO_TARGET = {"NestedStack", "CfnStack", "CfnStackSet", "StackSet", "ProductStack"}
_RUNS_CONTAINERS = re.compile(r"(?:Fargate|Ec2|External)Service\Z")
_NAMED_FOR_CONTAINERS = re.compile(r"fargate|ecs", re.IGNORECASE)
_STAGE = re.compile(
    r"(?:(?<=[-_/])|\A)(?:dev|development|test|testing|qa|uat|int|stage|staging|preprod|prod|production|live)(?=[-_/]|\Z)"
    r"|(?:(?<=[a-z0-9])|\A)(?:Dev|Development|Test|Qa|QA|Uat|UAT|Stage|Staging|Preprod|Prod|Production|Live)(?=[A-Z]|\Z|[-_/])"
)


class StackSource(Struct, frozen=True):
    """A stack: its name (`sure` or a guess), its class, the object in the code, the files that make
    it and define its class.
    """

    name: str
    sure: bool
    class_name: str
    made: CreatedObject
    maker: str
    home: str


class AppProgram:
    """All files of one app, looked at together."""

    def __init__(self, files: Sequence[CodeFile]) -> None:
        self.files = files
        self.bases = {name: bases for one in files for name, bases in one.bases.items()}
        self.homes = {name: one.path for one in files for name in one.bases}
        self.calls: dict[str, set[str]] = {}
        for one in files:
            for within, called in one.calls.items():
                self.calls.setdefault(within, set()).update(called)
        self._reach: dict[str, frozenset[str]] = {}

    def stacks(self) -> list[StackSource]:
        """The stacks in the order in which the files make them, each name once."""
        found: dict[str, StackSource] = {}
        for file in self.files:
            for made in file.made:
                for one in self._named(made, file.path):
                    found.setdefault(one.name, one)
        return list(found.values())

    def reach(self, kind: str) -> frozenset[str]:
        """A class, those that it extends, and those whose objects they make."""
        if kind not in self._reach:
            found, waiting = {kind}, [kind]
            while waiting:
                one = waiting.pop()
                near = {
                    name
                    for name in (*self.bases.get(one, ()), *self.calls.get(one, ()))
                    if name in self.bases
                } - found
                found |= near
                waiting += near
            self._reach[kind] = frozenset(found)
        return self._reach[kind]

    def runs_containers(self, one: StackSource) -> bool:
        """Whether a stack makes an ECS service, by what it calls."""
        return any(
            _RUNS_CONTAINERS.search(name)
            for kind in self.reach(one.class_name)
            for name in self.calls.get(kind, ())
        )

    def values(self, one: StackSource) -> dict[str, tuple[str, ...]]:
        """What a stack names: cluster, service, repository, bucket."""
        reached, found = self.reach(one.class_name), dict[str, list[str]]()
        for file in self.files:
            for within, word, name in file.values:
                beside = not within and file.path == one.home != one.maker
                if (within in reached or beside) and plain_name(name):
                    found.setdefault(word, []).append(name)
        return {word: tuple(dict.fromkeys(names)) for word, names in found.items()}

    def needs(self, stacks: Sequence[StackSource]) -> dict[str, tuple[str, ...]]:
        """Stack name -> the names of those that it is given something of, or comes after. Without
        circles.
        """
        needs: dict[str, list[str]] = {one.name: [] for one in stacks}
        held: dict[tuple[str, str], str] = {}
        for one in stacks:
            needs[one.name] = sorted(
                {name for use in one.made.uses if (name := held.get((one.maker, use)))}
            )
            if one.made.variable:
                held[one.maker, one.made.variable] = one.name
        for file in self.files:
            for later, earlier in file.after:
                a, b = held.get((file.path, later)), held.get((file.path, earlier))
                if a and b and b not in needs[a] and a not in closure(b, needs):
                    needs[a].append(b)
        return {name: tuple(names) for name, names in needs.items()}

    def is_stack(self, kind: str) -> bool:
        """Whether a class is a stack: by what it extends, or by its name where its source is
        elsewhere.
        """
        return self._extends(kind, "Stack", set())

    def _extends(self, kind: str, root: str, seen: set[str]) -> bool:
        if kind in _NO_TARGET or kind in seen:
            return False
        if kind not in self.bases:
            return kind == root or (root == "Stack" and kind.endswith(root))
        return any(self._extends(base, root, seen | {kind}) for base in self.bases[kind][:5])

    def _named(self, made: CreatedObject, maker: str) -> Iterator[StackSource]:
        known = made.class_name in self.bases
        if not self.is_stack(made.class_name) or (not known and not plain_name(made.name)):
            return
        name, sure = plain_name(made.name) or made.class_name, bool(plain_name(made.name))
        one = StackSource(
            name, sure, made.class_name, made, maker, self.homes.get(made.class_name, maker)
        )
        if not (made.inside and made.within):
            yield one
        elif self._extends(made.within, "Stage", set()):
            stages = [
                plain_name(stage.name)
                for file in self.files
                for stage in file.made
                if stage.class_name == made.within
            ]
            yield from (replace(one, name=f"{stage}-{name}") for stage in stages if stage)
            yield from [] if any(stages) else [replace(one, sure=False)]
        else:
            yield replace(one, sure=False)


def closure(name: str, needs: Mapping[str, Sequence[str]]) -> set[str]:
    """A name and all that it needs, near and far."""
    found, waiting = {name}, [name]
    while waiting:
        near = set(needs.get(waiting.pop(), ())) - found
        found |= near
        waiting += near
    return found


def is_named_for_containers(name: str) -> bool:
    """Whether a stack is called like one that runs containers."""
    return bool(_NAMED_FOR_CONTAINERS.search(name))


def merge_stages(
    stacks: Sequence[StackSource],
) -> tuple[list[StackSource], dict[str, dict[str, str]]]:
    """`Api-dev` and `Api-prod` of one class are one stack, `Api-{stage}`, in two environments:
    environment -> its variables.
    """
    groups: dict[tuple[str, str], dict[str, StackSource]] = {}
    for one in stacks:
        words = _STAGE.findall(one.name)
        if one.sure and len(words) == 1 and "{" not in one.name:
            groups.setdefault((one.class_name, _STAGE.sub("{stage}", one.name)), {})[words[0]] = one
    merged = {key: group for key, group in groups.items() if len(group) > 1}
    spelt = {word for group in merged.values() for word in group}
    if len({word.lower() for word in spelt}) < len(
        spelt
    ):  # `Dev` here and `dev` there: one variable cannot be both
        return list(stacks), {}
    names = {one.name: name for (_, name), group in merged.items() for one in group.values()}
    found: dict[str, StackSource] = {}
    for one in stacks:
        name = names.get(one.name, one.name)
        found.setdefault(name, replace(one, name=name))
    return list(found.values()), {word.lower(): {"stage": word} for word in sorted(spelt)}
