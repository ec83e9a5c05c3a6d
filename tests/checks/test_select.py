"""Which checks are done, where, and after which others."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.checks.select import Task, closure, for_environment, tasks
from toolkit.config.checks import capturing_checks, predecessors
from toolkit.errors import Refused
from toolkit.model import Check, CheckTypeName
from toolkit.operations import Location
from toolkit.show.advice import sentence

PLACES = (Location("dev", "eu-west-1"), Location("dev", "us-east-1"))
ONE = ("http://a",)


def check(name: str, asks: str = "GET /", sort: str = "http", **more: Any) -> Check:
    return Check(name, CheckTypeName(sort), None, asks, **{"based": sort == "http", **more})


def made(
    *checks: Check, urls: tuple[str, ...] = ONE, locations: tuple[Location, ...] = PLACES[:1]
) -> dict[str, Task]:
    named = {item.name: item for item in checks}
    return {
        task.name: task
        for task in tasks(list(named), named, capturing_checks(named), urls, locations)
    }


LOGIN = check("login", captures=("token",))
BOOK = check("book", uses=frozenset({"token"}), captures=("booking",))
CANCEL = check("cancel", uses=frozenset({"token", "booking"}), needs=("book", "look"), always=True)
LOOK = check("look", uses=frozenset({"booking"}))


def test_a_captured_value_comes_before_what_uses_it() -> None:
    by_name = made(LOGIN, BOOK, LOOK)
    assert [set(by_name[name].waits) for name in ("login", "book", "look")] == [
        set(),
        {"login"},
        {"book"},
    ]


def test_what_cleans_up_needs_its_values_and_only_comes_after_the_rest() -> None:
    task = made(LOGIN, BOOK, LOOK, CANCEL)["cancel"]
    assert [set(item) for item in (task.needs, task.after, task.gives)] == [
        set(),
        {"book", "look"},
        {"login", "book"},
    ]


def test_a_path_is_asked_at_every_base_address_and_values_stay_there() -> None:
    by_name = made(LOGIN, BOOK, urls=("http://a", "http://b"))
    assert by_name.keys() == {
        "login at http://a",
        "login at http://b",
        "book at http://a",
        "book at http://b",
    }
    assert by_name["book at http://b"].gives == {"login at http://b"}


def test_a_full_address_that_uses_a_value_of_a_path_is_asked_for_each_base() -> None:
    second = check("other", "GET https://c/", based=False, uses=frozenset({"token"}))
    assert {
        name
        for name in made(LOGIN, second, urls=("http://a", "http://b"))
        if name.startswith("other")
    } == {
        "other at http://a",
        "other at http://b",
    }


def test_what_needs_a_path_waits_for_it_at_all_bases() -> None:
    last = check("last", "TCP db:1", sort="tcp", needs=("login",))
    assert made(LOGIN, last, urls=("http://a", "http://b"))["last"].needs == {
        "login at http://a",
        "login at http://b",
    }


def test_aws_is_asked_in_every_region_and_anything_else_once() -> None:
    by_name = made(
        check("table", "AWS table:t", sort="aws"),
        check("name", "DNS x", sort="dns"),
        locations=PLACES,
    )
    assert by_name.keys() == {"table at eu-west-1", "table at us-east-1", "name"}
    assert by_name["table at us-east-1"].location.region == "us-east-1"


def test_a_path_without_a_base_address_is_refused_with_what_to_do() -> None:
    with pytest.raises(
        Refused, match="check login asks 'GET /', and the environment has no `urls`"
    ):
        made(LOGIN, urls=())


def test_choosing_one_takes_what_gives_it_values_and_what_cleans_up_after_it() -> None:
    named = {item.name: item for item in (LOGIN, BOOK, LOOK, CANCEL)}
    givers = capturing_checks(named)
    waiting = {
        name: predecessors(item, givers)
        if not item.always
        else predecessors(check("x", uses=item.uses), givers)
        for name, item in named.items()
    }
    assert closure(["book"], named, waiting) == ("login", "book", "cancel")
    assert closure(["login"], named, waiting) == ("login",)


def test_what_waits_for_a_check_of_another_environment_is_refused() -> None:
    named = {
        "login": check("login", environments=("dev",)),
        "book": check("book", needs=("login",)),
    }
    waiting = {"login": frozenset[str](), "book": frozenset({"login"})}
    assert for_environment(["login", "book"], named, waiting, "dev") == ("login", "book")
    with pytest.raises(
        Refused, match="check book waits for login, which is not for environment prod"
    ):
        for_environment(["login", "book"], named, waiting, "prod")


@given(
    st.lists(st.sets(st.integers(0, 7), max_size=3), min_size=1, max_size=8),
    st.sets(st.integers(0, 7), min_size=1),
)
def test_a_closure_has_all_that_it_needs_and_more_wanted_is_never_less(
    edges: list[set[int]], expected: set[int]
) -> None:
    """Whatever is asked for besides, nothing falls out."""
    names = [f"c{number}" for number in range(len(edges))]
    named = {name: check(name) for name in names}
    waiting = {
        names[position]: frozenset(names[second] for second in result if second < position)
        for position, result in enumerate(edges)
    }
    request = [names[number] for number in sorted(expected) if number < len(names)]
    lines = closure(request, named, waiting)
    assert set(request) <= set(lines)
    assert all(waiting[name] <= set(lines) for name in lines)
    assert set(closure(request[:1], named, waiting)) <= set(lines)


@pytest.mark.parametrize(
    ("unchosen", "text", "hint"),
    [
        (
            ("dev", "prod"),
            "no environment was chosen",
            "choose one with --env (dev, prod), or use --url ADDRESS",
        ),
        ((), "rules.toml has no environment with `urls`", "add one, or use --url ADDRESS"),
        (None, "the environment has no `urls`", "add them, or use --url ADDRESS"),
    ],
)
def test_without_an_address_it_is_told_whether_an_environment_was_chosen(
    unchosen: tuple[str, ...] | None, text: str, hint: str
) -> None:
    with pytest.raises(Refused) as refused:
        tasks(["login"], {"login": LOGIN}, {}, (), (), unchosen)
    assert str(refused.value) == f"check login asks 'GET /', and {text}"
    assert sentence(refused.value.next) == hint
