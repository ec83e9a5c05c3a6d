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
    """All files of one app, read together."""

    def __init__(self, files: Sequence[CodeFile]) -> None:
        self.files = files
        self.bases: dict[str, tuple[str, ...]] = {}
        self.homes: dict[str, str] = {}
        self.calls: dict[str, set[str]] = {}
        self._reach: dict[str, frozenset[str]] = {}
        for file in files:
            for class_name, bases in file.bases.items():
                self.bases[class_name] = bases
                self.homes[class_name] = file.path
            for within, called in file.calls.items():
                self.calls.setdefault(within, set()).update(called)

    def stacks(self) -> list[StackSource]:
        """The stacks in the order in which the files make them, each name once."""
        stacks: dict[str, StackSource] = {}
        for file in self.files:
            for created in file.made:
                for stack in self._stacks_of(created, file.path):
                    stacks.setdefault(stack.name, stack)
        return list(stacks.values())

    def reach(self, class_name: str) -> frozenset[str]:
        """A class, those that it extends, and those whose objects they make."""
        if class_name not in self._reach:
            reached, waiting = {class_name}, [class_name]
            while waiting:
                current = waiting.pop()
                names = (*self.bases.get(current, ()), *self.calls.get(current, ()))
                fresh = {name for name in names if name in self.bases} - reached
                reached |= fresh
                waiting += fresh
            self._reach[class_name] = frozenset(reached)
        return self._reach[class_name]

    def runs_containers(self, stack: StackSource) -> bool:
        """Whether a stack makes an ECS service, by what it calls."""
        calls: set[str] = set()
        for class_name in self.reach(stack.class_name):
            calls |= self.calls.get(class_name, set())
        return any(map(_RUNS_CONTAINERS.search, calls))

    def values(self, stack: StackSource) -> dict[str, tuple[str, ...]]:
        """What a stack names: cluster, service, repository, bucket."""
        classes = self.reach(stack.class_name)
        names: dict[str, list[str]] = {}
        for file in self.files:
            for within, word, name in file.values:
                # Code outside of classes counts in a file that only defines the stack.
                is_beside = not within and file.path == stack.home != stack.maker
                if (within in classes or is_beside) and plain_name(name):
                    names.setdefault(word, []).append(name)
        return {word: tuple(dict.fromkeys(listed)) for word, listed in names.items()}

    def needs(self, stacks: Sequence[StackSource]) -> dict[str, tuple[str, ...]]:
        """Stack name -> the names of those that it gets something from, or comes after. Without
        circles.
        """
        needs: dict[str, list[str]] = {stack.name: [] for stack in stacks}
        by_variable: dict[tuple[str, str], str] = {}
        for stack in stacks:
            used: set[str] = set()
            for variable in stack.made.uses:
                name = by_variable.get((stack.maker, variable))
                if name:
                    used.add(name)
            needs[stack.name] = sorted(used)
            if stack.made.variable:
                by_variable[stack.maker, stack.made.variable] = stack.name
        for file in self.files:
            for later, earlier in file.after:
                follower = by_variable.get((file.path, later))
                needed = by_variable.get((file.path, earlier))
                if not follower or not needed or needed in needs[follower]:
                    continue
                if follower not in closure(needed, needs):  # else it would be a circle
                    needs[follower].append(needed)
        return {name: tuple(needed_names) for name, needed_names in needs.items()}

    def is_stack(self, class_name: str) -> bool:
        """Whether a class is a stack: by what it extends, or by its name where its source is
        elsewhere.
        """
        return self._extends(class_name, "Stack", set())

    def _extends(self, class_name: str, root: str, below: set[str]) -> bool:
        """`below` are the classes on the way here: a class that extends itself is broken code."""
        if class_name in _NO_TARGET or class_name in below:
            return False
        if class_name not in self.bases:
            return class_name == root or (root == "Stack" and class_name.endswith(root))
        bases = self.bases[class_name][:5]
        return any(self._extends(base, root, below | {class_name}) for base in bases)

    def _stacks_of(self, created: CreatedObject, maker: str) -> Iterator[StackSource]:
        """The stacks that an object is: none, one, or one for each stage that contains it."""
        has_source = created.class_name in self.bases
        plain = plain_name(created.name)
        if not self.is_stack(created.class_name) or (not has_source and not plain):
            return
        home = self.homes.get(created.class_name, maker)
        name = plain or created.class_name
        stack = StackSource(name, bool(plain), created.class_name, created, maker, home)
        if not (created.inside and created.within):
            yield stack
            return
        stages = self._stage_names(created.within)
        if not stages:
            yield replace(stack, sure=False)
        for stage in stages:
            yield replace(stack, name=f"{stage}-{name}")

    def _stage_names(self, class_name: str) -> list[str]:
        """The names of the stages that are objects of a class; CDK puts them before the names of
        the stacks inside.
        """
        names: list[str] = []
        if not self._extends(class_name, "Stage", set()):
            return names
        for file in self.files:
            for created in file.made:
                name = plain_name(created.name)
                if created.class_name == class_name and name:
                    names.append(name)
        return names


def closure(name: str, needs: Mapping[str, Sequence[str]]) -> set[str]:
    """A name and all that it needs, directly or through others."""
    names, waiting = {name}, [name]
    while waiting:
        fresh = set(needs.get(waiting.pop(), ())) - names
        names |= fresh
        waiting += fresh
    return names


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
    for stack in stacks:
        words = _STAGE.findall(stack.name)
        if stack.sure and len(words) == 1 and "{" not in stack.name:
            key = (stack.class_name, _STAGE.sub("{stage}", stack.name))
            groups.setdefault(key, {})[words[0]] = stack
    new_names: dict[str, str] = {}
    stages: set[str] = set()
    for (_, new_name), group in groups.items():
        if len(group) > 1:
            stages.update(group)
            for stack in group.values():
                new_names[stack.name] = new_name
    # `Dev` here and `dev` there: one variable cannot be both.
    if len({stage.lower() for stage in stages}) < len(stages):
        return list(stacks), {}
    merged: dict[str, StackSource] = {}
    for stack in stacks:
        name = new_names.get(stack.name, stack.name)
        merged.setdefault(name, replace(stack, name=name))
    return list(merged.values()), {stage.lower(): {"stage": stage} for stage in sorted(stages)}
