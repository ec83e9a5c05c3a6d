"""The nouns are data: they compare by value, cannot be changed, and answer only what they hold."""

import inspect
from enum import Enum

import msgspec
import pytest

from toolkit import model
from toolkit.model import Change, ChangeMatch, Impact

CLASSES = [
    one for _, one in inspect.getmembers(model, inspect.isclass) if one.__module__ == model.__name__
]
NOUNS = [one for one in CLASSES if not issubclass(one, Enum)]


@pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: noun.__name__)
def test_a_noun_is_a_frozen_struct_with_a_sentence_about_it(noun: type[msgspec.Struct]) -> None:
    assert issubclass(noun, msgspec.Struct)
    assert noun.__struct_config__.frozen
    assert (noun.__doc__ or "")[:1].isupper()


@pytest.mark.parametrize("noun", NOUNS, ids=lambda noun: noun.__name__)
def test_a_noun_holds_no_list_that_could_grow(noun: type[msgspec.Struct]) -> None:
    assert not [
        field.name
        for field in msgspec.structs.fields(noun)
        if str(field.type).startswith(("list", "dict", "set"))
    ]


def test_two_changes_of_the_same_path_are_equal() -> None:
    assert Change("a", "added") == Change("a", "added", None, "committed")
    assert Change("a", "added") != Change("a", "deleted")


def test_an_impact_lists_its_paths_by_verdict() -> None:
    verdicts = ("matched", "unmatched", "ignored", "rules", "unmatched")
    impact = Impact(
        tuple(
            ChangeMatch(Change(str(at), "added"), (), (), one) for at, one in enumerate(verdicts)
        ),
        {},
        {},
    )
    assert (impact.unmatched, impact.ignored) == (["1", "4"], ["2"])
