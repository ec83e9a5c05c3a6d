"""Whether an update replaces a resource, predicted from two sources, since each misses some: the
schemas that cfn-lint brings (createOnlyProperties, conditionalCreateOnlyProperties) and the
specification that the CDK is made from. `scripts/replacements` writes both into
replacements.json.gz.

It is "no" only where both say so; what one of them does not know is "maybe". What CloudFormation
itself says in a change set is the last word.
"""

import gzip
import json
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import resources
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from toolkit.formats.documents import as_mapping
from toolkit.templates.clean import NESTED
from toolkit.templates.differences import local_id, scope_of, templates_of
from toolkit.templates.model import (
    Change,
    Part,
    Path,
    Prediction,
    Replacement,
    ResourceDifference,
    StackComparison,
    SynthesizedStack,
    Verdict,
)
from toolkit.templates.references import before_intrinsic, is_intrinsic, references
from toolkit.templates.values import NOTHING, differing, same

_ORDER = (Replacement.NEVER, Replacement.MAYBE, Replacement.ALWAYS)
_LETTERS = {"n": Replacement.NEVER, "m": Replacement.MAYBE, "a": Replacement.ALWAYS}
_NO_UPDATE = frozenset(
    (
        "Condition",
        "CreationPolicy",
        "DeletionPolicy",
        "DependsOn",
        "Description",
        "Metadata",
        "UpdatePolicy",
        "UpdateReplacePolicy",
    )
)
"""What of a resource never replaces it by itself."""
UNCERTAIN_PARTS = (Part.PARAMETER, Part.VALUE, Part.CONDITION, Part.MAPPING)
"""The parts to which resources refer: where they differ, so may what refers to them."""

Words = tuple[Replacement | None, Replacement | None]
"""What cfn-lint and the CDK say, None for what one does not know."""
Name = tuple[str, str]
"""The nested stacks around a name, and the name."""


def predict(
    comparison: StackComparison,
    after: SynthesizedStack | None = None,
    change_set: Mapping[str, Replacement] | None = None,
) -> dict[str, Prediction]:
    """Logical id -> whether the resource is replaced, for each that changes. With `after`, the
    newer stack, also for those that only refer to something that is replaced or has another value.

    `change_set` is what CloudFormation says, by the same logical ids, as far as it is known.
    """
    predictions = {
        difference.logical_id: _prediction(difference)
        for difference in comparison.resources
        if difference.change is Change.CHANGED
    }
    if after is not None:
        _follow_references(predictions, comparison, after)
    for name, word in (change_set or {}).items():
        old = predictions.get(name, Prediction(name, "", word))
        predictions[name] = replace(old, replacement=word, by_change_set=True)
    return predictions


def _prediction(difference: ResourceDifference) -> Prediction:
    if difference.previous_type:
        always = Replacement.ALWAYS
        verdict = Verdict(("Type",), always, always, "its type changes")
        return Prediction(difference.logical_id, difference.type, always, (verdict,))
    own = table(difference.type)
    before, after = difference.old.get("Properties", {}), difference.new.get("Properties", {})
    verdicts = [
        _verdict(own, path, (was, now)) for path, was, now, _ in differing(before, after, ())
    ]
    others = {*difference.old, *difference.new} - {"Type", "Properties"} - _NO_UPDATE
    for key in sorted(others):  # what neither source speaks of
        if not same(difference.old.get(key, NOTHING), difference.new.get(key, NOTHING)):
            verdicts.append(Verdict((key,), None, None))
    return _worst(difference.logical_id, difference.type, verdicts)


def _worst(name: str, type: str, verdicts: list[Verdict]) -> Prediction:
    words = [combined(verdict.cfn_lint, verdict.cdk) for verdict in verdicts]
    worst = max((*words, Replacement.NEVER), key=_ORDER.index)
    deciding = [
        verdict
        for verdict, word in zip(verdicts, words, strict=True)
        if word is worst and worst is not Replacement.NEVER
    ]
    return Prediction(name, type, worst, tuple(dict.fromkeys(deciding)))


def combined(cfn_lint: Replacement | None, cdk: Replacement | None) -> Replacement:
    """What two sources say together: "maybe" where they differ, and where one does not know."""
    return cfn_lint if cfn_lint is not None and cfn_lint is cdk else Replacement.MAYBE


Source = Mapping[str, Mapping[Path, Replacement]]
"""Property -> path, which begins with it -> word. A path that is not there has the word of the
nearest one above it.
"""


class _TypeTable(Struct, frozen=True):
    """The words of each source about a type's properties."""

    cfn_lint: Source | None = None
    cdk: Source | None = None


@lru_cache(maxsize=1)
def _data() -> Mapping[str, Mapping[str, list[str]]]:
    file = resources.files("toolkit.templates").joinpath("replacements.json.gz")
    data: dict[str, dict[str, list[str]]] = json.loads(gzip.decompress(file.read_bytes()))
    return data


@lru_cache(maxsize=1024)
def table(type: str) -> _TypeTable:
    """What both sources say of a type; None for one that does not know it."""
    own = _data().get(type, {})
    return _TypeTable(_source(own, 0), _source(own, 1))


def _source(own: Mapping[str, list[str]], number: int) -> Source | None:
    if all(letters[number] == "?" for letters in own):
        return None
    source: dict[str, dict[Path, Replacement]] = defaultdict(dict)
    for letters, paths in own.items():
        if letters[number] in _LETTERS:
            for path in paths:
                steps = tuple(path.split("/"))
                source[steps[0]][steps] = _LETTERS[letters[number]]
    return dict(source)


def _verdict(own: _TypeTable, path: Path, values: tuple[Any, ...], reason: str = "") -> Verdict:
    """What both sources say of a changed value of a resource's properties."""
    known, is_hidden = before_intrinsic(path)
    steps = tuple("*" if isinstance(step, int) else step for step in known)
    words = [
        _word(source, steps, () if is_hidden else values) for source in (own.cfn_lint, own.cdk)
    ]
    return Verdict(("Properties", *path), words[0], words[1], reason)


def _word(source: Source | None, steps: Path, values: tuple[Any, ...]) -> Replacement | None:
    """What a source says of a path. What it says of paths below counts where the values before and
    after have something there; without values it may.
    """
    if source is None or not steps:
        return None
    word = None
    below = []
    for path, own in source.get(str(steps[0]), {}).items():
        if len(path) <= len(steps):
            if _matches(path, steps[: len(path)]) and (word is None or len(path) > word[0]):
                word = (len(path), own)
        elif _matches(path[: len(steps)], steps):
            below.append((path[len(steps) :], own))
    if word is None:
        return None
    worst = word[1]
    for path, own in below:
        if not values:
            own = min(own, Replacement.MAYBE, key=_ORDER.index)
        elif not any(_reaches(value, path) for value in values):
            continue
        worst = max(worst, own, key=_ORDER.index)
    return worst


def _matches(path: Path, steps: Path) -> bool:
    return all(own in ("*", step) for own, step in zip(path, steps, strict=True))


def _reaches(value: Any, path: Path) -> bool:
    """Whether a value has something at a path below it, or may have."""
    if value is NOTHING:
        return False
    if not path or is_intrinsic(value):
        return True
    step, rest = path[0], path[1:]
    if step == "*":
        inner = value.values() if isinstance(value, Mapping) else value
        return isinstance(value, Mapping | list) and any(_reaches(one, rest) for one in inner)
    if not isinstance(value, Mapping):
        return False
    if any(str(key).startswith("Fn::") for key in value):
        return True
    return step in value and _reaches(value[step], rest)


class _Place(Struct, frozen=True):
    """Where a resource refers to something in a property that may replace it, or a nested stack in
    a parameter, or its outputs.
    """

    resource: str
    type: str
    path: Path


def _follow_references(
    predictions: dict[str, Prediction], comparison: StackComparison, after: SynthesizedStack
) -> None:
    """Add what may be replaced because it refers to something that is, or that has another value:
    a parameter, a mapping, a condition.
    """
    new = {
        difference.logical_id
        for difference in comparison.resources
        if difference.change in (Change.ADDED, Change.RENAMED)
    }
    index = _index(after)
    waiting = deque(_uncertain_names(predictions, comparison))
    seen: set[Name] = set()
    while waiting:
        name = waiting.popleft()
        if name in seen:
            continue
        seen.add(name)
        for place in index.get(name, ()):
            if place.type in ("", NESTED):
                waiting += _passed_on(place)
            if place.type == "" or place.resource in new:
                continue
            verdict = _verdict(table(place.type), place.path, (), f"refers to {name[1]}")
            if combined(verdict.cfn_lint, verdict.cdk) is Replacement.NEVER:
                continue
            old = predictions.get(place.resource)
            if old is None or old.replacement is Replacement.NEVER:
                predictions[place.resource] = Prediction(
                    place.resource, place.type, Replacement.MAYBE, (verdict,)
                )
                waiting.append((scope_of(place.resource), local_id(place.resource)))


def _uncertain_names(
    predictions: Mapping[str, Prediction], comparison: StackComparison
) -> Iterator[Name]:
    """What has, or may have, another value than before."""
    for name, prediction in predictions.items():
        kind = prediction.type
        is_custom = kind.startswith("Custom::") or kind == "AWS::CloudFormation::CustomResource"
        if prediction.replacement is not Replacement.NEVER or is_custom:
            yield scope_of(name), local_id(name)
    for part in comparison.parts:
        if part.part in UNCERTAIN_PARTS:
            yield scope_of(part.name), local_id(part.name)
    for difference in comparison.resources:
        if difference.type == NESTED and difference.change is Change.CHANGED:
            old = as_mapping(as_mapping(difference.old.get("Properties")).get("Parameters"))
            new = as_mapping(as_mapping(difference.new.get("Properties")).get("Parameters"))
            for name in {*old, *new}:
                if old.get(name, NOTHING) != new.get(name, NOTHING):
                    yield difference.logical_id, name


def _passed_on(place: _Place) -> Iterator[Name]:
    """What has another value because of a place where a nested stack's parameter, or one of its
    outputs, refers to what has.
    """
    if place.type == NESTED and len(place.path) > 1 and place.path[0] == "Parameters":
        yield place.resource, str(place.path[1])
    elif place.type == "":
        scope, name = scope_of(place.resource), local_id(place.resource)
        yield scope, f"{name}.Outputs.{place.path[0]}"


def _index(stack: SynthesizedStack) -> Mapping[Name, list[_Place]]:
    """Everything that a stack's templates refer to -> where."""
    index: dict[Name, list[_Place]] = defaultdict(list)
    for prefix, template in templates_of(stack):
        scope = prefix.rstrip("/")
        for name, resource in as_mapping(template.get("Resources")).items():
            kind = str(as_mapping(resource).get("Type", ""))
            for path, value in _functions(as_mapping(resource).get("Properties"), ()):
                for target in _targets(value):
                    index[scope, target].append(_Place(f"{prefix}{name}", kind, path))
        for output, entry in as_mapping(template.get("Outputs")).items():
            if scope:
                for target in _targets(as_mapping(entry).get("Value")):
                    index[scope, target].append(_Place(scope, "", (output,)))
    return index


def _targets(value: Any) -> set[str]:
    """The names that a value refers to; an output of a nested stack by its whole name."""
    return {
        f"{name}.{attribute}" if attribute.startswith("Outputs.") else name
        for name, attribute in references(value)
    }


def _functions(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Each outermost function of CloudFormation in a value."""
    if is_intrinsic(value):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _functions(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _functions(inner, (*path, number))
