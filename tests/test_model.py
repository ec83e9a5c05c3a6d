"""The nouns are data: they compare by value, cannot be changed, and answer only what they hold."""

import inspect
from enum import Enum

import msgspec

from toolkit import advice, model, operations
from toolkit.model import Change, ChangeMatch, ChangeOrigin, ChangeStatus, Impact, MatchVerdict

CLASSES = [
    item
    for module in (advice, model, operations)
    for _, item in inspect.getmembers(module, inspect.isclass)
    if item.__module__ == module.__name__
]
NOUNS = [item for item in CLASSES if not issubclass(item, Enum)]


def test_a_noun_is_a_frozen_struct_with_a_sentence_about_it() -> None:
    for noun in NOUNS:
        assert issubclass(noun, msgspec.Struct), noun
        assert noun.__struct_config__.frozen, noun
        assert (noun.__doc__ or "")[:1].isupper(), noun


def test_a_noun_holds_no_list_that_could_grow() -> None:
    assert not [
        f"{noun.__name__}.{field.name}"
        for noun in NOUNS
        if issubclass(noun, msgspec.Struct)
        for field in msgspec.structs.fields(noun)
        if str(field.type).startswith(("list", "dict", "set"))
    ]


def test_two_changes_of_the_same_path_are_equal() -> None:
    assert Change("a", ChangeStatus.ADDED) == Change(
        "a", ChangeStatus.ADDED, None, ChangeOrigin.COMMITTED
    )
    assert Change("a", ChangeStatus.ADDED) != Change("a", ChangeStatus.DELETED)


def test_an_impact_lists_its_paths_by_verdict() -> None:
    verdicts = [
        MatchVerdict(word) for word in ("matched", "unmatched", "ignored", "rules", "unmatched")
    ]
    impact = Impact(
        tuple(
            ChangeMatch(Change(str(position), ChangeStatus.ADDED), (), (), item)
            for position, item in enumerate(verdicts)
        ),
        {},
        {},
    )
    assert (impact.unmatched, impact.ignored) == (["1", "4"], ["2"])
