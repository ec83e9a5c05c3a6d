"""How the stacks of two syntheses differ.

What cannot be known is unknown, and never unchanged: what is made of a lookup that nobody has
answered, and what differs between two syntheses of the same commit.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from toolkit.templates.clean import digest
from toolkit.templates.code import code_differences
from toolkit.templates.differences import comparable, part_differences, resource_differences
from toolkit.templates.model import (
    Change,
    PartDifference,
    StackComparison,
    StackState,
    SynthesizedStack,
)

_DIGITS = re.compile(r"\d+|[0-9A-F]{8}\b")


def compare(
    before: Iterable[SynthesizedStack],
    after: Iterable[SynthesizedStack],
    again: Iterable[SynthesizedStack] | None = None,
) -> tuple[StackComparison, ...]:
    """How each stack differs from what it was, in the order of `after`, with the removed ones at
    the end. `again` is a second synthesis of `after`'s commit, None if there is none.

    A stack is the same if CloudFormation takes it for the same: by its name, account and region.
    One that was renamed is removed and added.
    """
    olds, news = list(before), list(after)
    pairs = _pairs(olds, news)
    control = None if again is None else list(again)
    seconds = _pairs(news, control) if control is not None else {}
    second_of = {number: control[other] for other, number in seconds.items()} if control else {}
    comparisons = []
    for number, new in enumerate(news):
        old = olds[pairs[number]] if number in pairs else None
        if control is None:
            comparisons.append(_compared(old, new))
        else:
            comparisons.append(_controlled(_compared(old, new), new, second_of.get(number)))
    used = set(pairs.values())
    removed = [old for number, old in enumerate(olds) if number not in used]
    return (*comparisons, *(_removed(old) for old in removed))


def differs(before: Iterable[SynthesizedStack], after: Iterable[SynthesizedStack]) -> bool:
    """Whether any stack is not known to be unchanged, so that a second synthesis is worth while."""
    return any(comparison.is_due for comparison in compare(before, after))


def _pairs(olds: Sequence[SynthesizedStack], news: Sequence[SynthesizedStack]) -> dict[int, int]:
    """The place of a newer stack -> that of the older one that is the same."""
    pairs: dict[int, int] = {}
    for with_id in (True, False):
        free: dict[tuple[str | None, ...], list[int]] = defaultdict(list)
        used = set(pairs.values())
        for number, old in enumerate(olds):
            if number not in used:
                free[_identity(old, with_id)].append(number)
        for number, new in enumerate(news):
            waiting = free[_identity(new, with_id)]
            if number not in pairs and waiting:
                pairs[number] = waiting.pop(0)
    return pairs


def _identity(stack: SynthesizedStack, with_id: bool) -> tuple[str | None, ...]:
    return (stack.name, stack.account, stack.region, stack.id if with_id else None)


def _compared(old: SynthesizedStack | None, new: SynthesizedStack) -> StackComparison:
    base = StackComparison(new.id, new.name, new.account, new.region, StackState.UNCHANGED)
    why = (*(old.missing if old else ()), *new.missing)
    if why:
        return replace(base, state=StackState.UNKNOWN, why=tuple(dict.fromkeys(why)))
    if old is None:
        resources = resource_differences(_nothing(new), new)
        return replace(base, state=StackState.ADDED, resources=resources)
    if old.id != new.id:
        base = replace(base, previous_id=old.id)
    names = {*old.undeployed, *new.undeployed}
    undeployed = sorted(
        name for name in names if old.undeployed.get(name) != new.undeployed.get(name)
    )
    base = replace(base, undeployed=tuple(undeployed))
    if digest(old) == digest(new):
        return base
    was, now = comparable(old, new), comparable(new, old)
    resources = resource_differences(was, now)
    parts = part_differences(was, now)
    code, only_code = code_differences(was, now, resources, parts)
    return replace(
        base,
        state=StackState.CHANGED,
        resources=resources,
        parts=parts,
        code=code,
        only_code=only_code,
    )


def _removed(old: SynthesizedStack) -> StackComparison:
    base = StackComparison(old.id, old.name, old.account, old.region, StackState.REMOVED)
    if old.missing:
        return replace(base, state=StackState.UNKNOWN, why=old.missing)
    return replace(base, resources=resource_differences(old, _nothing(old)))


def _nothing(stack: SynthesizedStack) -> SynthesizedStack:
    return SynthesizedStack(stack.id, stack.name, stack.account, stack.region, {})


def _controlled(
    comparison: StackComparison, new: SynthesizedStack, second: SynthesizedStack | None
) -> StackComparison:
    """A comparison with the second synthesis of the same commit taken into account."""
    if comparison.state is StackState.UNKNOWN:
        return comparison
    if second is None:
        why = "a second synthesis of the same commit does not have this stack"
        return replace(comparison, state=StackState.UNKNOWN, why=(why,), only_code=False)
    control = _compared(new, second)
    if control.state is StackState.UNKNOWN:
        return replace(comparison, state=StackState.UNKNOWN, why=control.why, only_code=False)
    if control.state is StackState.UNCHANGED:
        return comparison
    unstable, shapes = _unstable(control)
    resources = tuple(
        difference
        for difference in comparison.resources
        if difference.logical_id not in unstable
        and difference.previous_id not in unstable
        and _shape(difference.type, difference.logical_id) not in shapes
    )
    parts = tuple(part for part in comparison.parts if _part_name(part) not in unstable)
    why = f"two syntheses of the same commit differ in {', '.join(sorted(unstable))}"
    known = resources or parts or comparison.state is not StackState.CHANGED
    return replace(
        comparison,
        state=comparison.state if known and comparison.is_due else StackState.UNKNOWN,
        resources=resources,
        parts=parts,
        unstable=tuple(sorted(unstable)),
        why=(why,),
        only_code=False,
    )


def _unstable(control: StackComparison) -> tuple[set[str], set[tuple[str, str]]]:
    """The names of what differs between two syntheses; and where a name itself does, its type and
    form: a third one has another name again.
    """
    names: set[str] = set()
    shapes: set[tuple[str, str]] = set()
    for difference in control.resources:
        names |= {difference.logical_id, difference.previous_id} - {""}
        if difference.change is not Change.CHANGED:
            shapes.add(_shape(difference.type, difference.logical_id))
    return names | {_part_name(part) for part in control.parts}, shapes


def _shape(type: str, name: str) -> tuple[str, str]:
    return type, _DIGITS.sub("0", name)


def _part_name(part: PartDifference) -> str:
    return f"{part.part} {part.name}".rstrip()
