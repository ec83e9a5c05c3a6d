"""What a deploy would change in stacks, by their templates: text for people, a document for
programs.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from toolkit.formats.words import count
from toolkit.show.style import Role, marked
from toolkit.show.text import clipped, line, quote, shortened, wrapped
from toolkit.templates.consequences import REVISIONS
from toolkit.templates.model import (
    Change,
    ExaminedStack,
    Part,
    PartDifference,
    Prediction,
    Replacement,
    ResourceDifference,
    StackComparison,
    StackState,
    ValueDifference,
)

WIDTH = 80
MOST_RESOURCES, MOST_VALUES = 30, 5
"""How many resources of a stack and values of a resource are shown without `verbose`."""

_SIGNS = {Change.ADDED: "+", Change.REMOVED: "-", Change.CHANGED: "~", Change.RENAMED: ">"}
_ORDER = (Change.REMOVED, Change.RENAMED, Change.CHANGED, Change.ADDED)
LONGEST_NAME = 36
"""The most characters of a name or type: two of them and their marks fit into a line."""
NEW, REMOVED = " (new)", " (removed)"

_HASH = re.compile(r"[0-9a-f]{64}")
_STATES = {
    StackState.ADDED: "new",
    StackState.REMOVED: "no longer in the app; a deploy leaves it as it is",
    StackState.CHANGED: "changes",
    StackState.UNKNOWN: "unknown, so due",
}


def text(stacks: Sequence[ExaminedStack], width: int = WIDTH, verbose: bool = False) -> str:
    """Each stack that is not unchanged, with what differs; then the others in one line. With
    `verbose`, all of their resources and values.
    """
    return "\n".join(stacks_lines(stacks, width, verbose))


def stacks_lines(
    stacks: Sequence[ExaminedStack], width: int = WIDTH, verbose: bool = False
) -> Iterator[str]:
    """The same, line by line."""
    same = []
    for stack in stacks:
        if stack.comparison.state is StackState.UNCHANGED:
            same.append(stack.comparison)
        else:
            yield from stack_lines(stack, width, verbose)
    if same:
        names = ", ".join(_clipped(stack.id) for stack in same)
        yield from wrapped(f"Unchanged: {names}", width)
    undeployed = [stack for stack in same if stack.undeployed]
    if undeployed:
        parts = {name.rpartition("/")[2] for stack in undeployed for name in stack.undeployed}
        what = " and ".join(map(_clipped, sorted(parts)))
        told = f"Only {what} differs in {count(len(undeployed), 'stack')}: nothing is deployed."
        yield from wrapped(told, width)


def stack_lines(stack: ExaminedStack, width: int = WIDTH, verbose: bool = False) -> Iterator[str]:
    """One stack: its state, what is lost and what is let in, then all that differs."""
    comparison = stack.comparison
    yield from wrapped(f"{_clipped(comparison.id)}: {_state(comparison)}", width)
    for why in comparison.why:
        yield from wrapped(f"  because {line(why)}", width, "    ")
    yield from _dangers(stack, width)
    if comparison.only_code:
        names = ", ".join(_code_names(comparison))
        yield from wrapped(f"  only code differs: {names}", width, "    ")
    if comparison.state is StackState.REMOVED or (comparison.only_code and not verbose):
        return
    resources = sorted(comparison.resources, key=lambda each: _rank(stack, each))
    most = len(resources) if verbose else MOST_RESOURCES
    for difference in resources[:most]:
        yield from _resource(stack, difference, width, verbose)
    if len(resources) > most:
        yield f"  and {count(len(resources) - most, 'more resource')}"
    seen = {difference.logical_id for difference in resources}
    for name, prediction in stack.predictions.items():
        if name not in seen and prediction.replacement is not Replacement.NEVER:
            told = f"  ~ {_name('', name)}  {_clipped(prediction.type)}  {_replacement(prediction)}"
            yield from wrapped(told, width, "      ")
    parts = list(_parts(comparison))
    for part in parts if verbose else parts[:MOST_RESOURCES]:
        yield from _part(part, width)


def _dangers(stack: ExaminedStack, width: int) -> Iterator[str]:
    """What is lost, and who is let in."""
    for loss in stack.losses:
        if not loss.kept:
            told = f"  {_name(loss.label, loss.logical_id)} is {loss.cause}"
            certain = "LOSES ITS DATA" if loss.certain else "MAY LOSE ITS DATA"
            yield from wrapped(f"{told}: {marked(certain, Role.BAD)}", width, "    ")
    for broad in stack.broadenings:
        name = _name(broad.label, broad.logical_id)
        yield from wrapped(f"  {name}: {marked(broad.what.upper(), Role.WARNING)}", width, "    ")


def _state(comparison: StackComparison) -> str:
    words = _STATES[comparison.state]
    place = ", ".join(
        _clipped(place) for place in (comparison.account, comparison.region) if place is not None
    )
    name = f" as {_clipped(comparison.name)}" if comparison.name != comparison.id else ""
    return f"{words}{name}{f' ({place})' if place else ''}"


def _code_names(comparison: StackComparison) -> list[str]:
    """The functions and containers with other code: `Api`, `Web.app`."""
    return [
        _name(code.label, code.logical_id)
        + (f".{_clipped(code.container)}" if code.container else "")
        for code in comparison.code
    ]


def _name(label: str, logical_id: str) -> str:
    return _clipped(_HASH.sub(lambda match: f"{match[0][:12]}…", label or logical_id))


def _clipped(name: str) -> str:
    """A foreign name, so short that a line has room for more."""
    return clipped(quote(name), LONGEST_NAME)


def _rank(stack: ExaminedStack, difference: ResourceDifference) -> tuple[int, int]:
    """What cannot be undone comes first."""
    prediction = stack.predictions.get(difference.logical_id)
    replaced = prediction is not None and prediction.replacement is not Replacement.NEVER
    return (0 if replaced else 1, _ORDER.index(difference.change))


def _resource(
    stack: ExaminedStack, difference: ResourceDifference, width: int, verbose: bool
) -> Iterator[str]:
    """A resource in one line if it fits, else with a line for each of its values."""
    head = f"  {_SIGNS[difference.change]} {_name(difference.label, difference.logical_id)}"
    head += f"  {_clipped(difference.type)}"
    notes = _notes(stack, difference)
    values = [_value(value) for value in difference.values]
    if len(values) == 1 and len(f"{head}  {values[0]}  {notes}".rstrip()) <= width:
        yield f"{head}  {values[0]}  {notes}".rstrip()
        return
    yield from wrapped(f"{head}  {notes}".rstrip(), width, "      ")
    most = len(values) if verbose else MOST_VALUES
    for value in values[:most]:
        yield from _below(value, width)
    if len(values) > most:
        yield f"      and {len(values) - most} more"


def _below(value: str, width: int) -> Iterator[str]:
    """A value below its resource, the new one in a line of its own if both do not fit."""
    if len(value) <= width - 6:
        yield f"      {value}"
        return
    was, arrow, now = value.partition(" -> ")
    if arrow:
        yield f"      {shortened(was, width - 6)}"
        yield f"        -> {shortened(now, width - 11)}"
        return
    end = next((end for end in (NEW, REMOVED) if value.endswith(end)), "")
    yield f"      {shortened(value.removesuffix(end), width - 6 - len(end))}{end}"


def _notes(stack: ExaminedStack, difference: ResourceDifference) -> str:
    if difference.type in REVISIONS and difference.change is not Change.REMOVED:
        return "a new revision" if difference.change is not Change.ADDED else ""
    notes = []
    if difference.previous_type:
        notes.append(f"was {_clipped(difference.previous_type)}")
    if difference.change is Change.RENAMED:
        old = _clipped(difference.previous_id.rpartition("/")[2])
        notes.append(f"renamed from {old}: the old one is deleted")
    prediction = stack.predictions.get(difference.logical_id)
    if prediction is not None and prediction.replacement is not Replacement.NEVER:
        notes.append(_replacement(prediction))
    for loss in stack.losses:
        if loss.logical_id == difference.logical_id:
            lost = "loses its data" if loss.certain else "may lose its data"
            notes.append(f"its data is kept ({loss.kept})" if loss.kept else lost)
    return ", ".join(notes)


def _replacement(prediction: Prediction) -> str:
    words = "replaced" if prediction.replacement is Replacement.ALWAYS else "may be replaced"
    reasons = dict.fromkeys(verdict.reason for verdict in prediction.verdicts if verdict.reason)
    return f"{words} ({line(', '.join(reasons))})" if reasons else words


def _value(value: ValueDifference) -> str:
    steps = value.path[1:] if value.path[:1] == ("Properties",) else value.path
    place = _clipped(".".join(map(str, steps))) if steps else ""
    if value.before is None:
        told = f"{quote(value.after or '')}{NEW}"
    elif value.after is None:
        told = f"{quote(value.before)}{REMOVED}"
    else:
        told = f"{quote(value.before)} -> {quote(value.after)}"
    return f"{place}: {told}" if place else told


def _parts(comparison: StackComparison) -> Iterator[PartDifference]:
    """What differs beside the resources, without assets where their resources are shown."""
    for part in comparison.parts:
        if part.part is not Part.ASSET or not comparison.resources:
            yield part


def _part(part: PartDifference, width: int) -> Iterator[str]:
    head = f"  {_SIGNS[part.change]} {part.part}"
    if part.name:
        head += f" {_name('', part.name)}"
    values = [_value(value) for value in part.values]
    if len(values) == 1 and len(f"{head}  {values[0]}") <= width:
        yield f"{head}  {values[0]}"
        return
    yield from wrapped(head, width, "      ")
    for value in values[:MOST_VALUES]:
        yield from _below(value, width)


def document(stacks: Iterable[ExaminedStack]) -> list[dict[str, Any]]:
    """The same for programs."""
    return [_document(stack) for stack in stacks]


def _document(stack: ExaminedStack) -> dict[str, Any]:
    comparison = stack.comparison
    return {
        "id": comparison.id,
        "name": comparison.name,
        "account": comparison.account,
        "region": comparison.region,
        "state": comparison.state.value,
        "why": list(comparison.why),
        "unstable": list(comparison.unstable),
        "undeployed": list(comparison.undeployed),
        "only_code": comparison.only_code,
        "code": _code_names(comparison),
        "resources": [
            {
                "id": difference.logical_id,
                "label": difference.label,
                "type": difference.type,
                "change": difference.change.value,
                "previous_id": difference.previous_id or None,
                "replaced": _word(stack, difference.logical_id),
                "values": _document_values(difference.values),
            }
            for difference in comparison.resources
        ],
        "parts": [
            {
                "part": part.part.value,
                "name": part.name,
                "change": part.change.value,
                "values": _document_values(part.values),
            }
            for part in comparison.parts
        ],
        "losses": [
            {"id": loss.logical_id, "cause": loss.cause, "kept": loss.kept, "certain": loss.certain}
            for loss in stack.losses
        ],
        "broadenings": [
            {"id": broad.logical_id, "what": broad.what, "details": list(broad.details)}
            for broad in stack.broadenings
        ],
    }


def _word(stack: ExaminedStack, name: str) -> str | None:
    prediction = stack.predictions.get(name)
    return None if prediction is None else prediction.replacement.value


def _document_values(values: Iterable[ValueDifference]) -> list[dict[str, Any]]:
    return [
        {"path": list(value.path), "before": value.before, "after": value.after} for value in values
    ]
