"""What is expected of an answer, and what of that does not hold. Pure."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from toolkit.errors import ProbeError
from toolkit.model import Mismatch

Found = Any
LONGEST = 300
"""Characters of a JSON path."""
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
_LIST = re.compile(r"\[[^\[\]]*,[^\[\]]*\]")
_TYPES = {
    "null": type(None),
    "boolean": bool,
    "number": (int, float),
    "string": str,
    "array": list,
    "object": dict,
}


class Condition(Struct, frozen=True, forbid_unknown_fields=True):
    """A condition. All that is given must hold; a plain value instead of such a table is
    `equals`.
    """

    equals: Any = UNSET
    not_: Any = msgspec.field(default=UNSET, name="not")
    min: int | float | UnsetType = UNSET
    max: int | float | UnsetType = UNSET
    length: int | UnsetType = UNSET
    contains: Any = UNSET
    like: str | UnsetType = UNSET
    exists: bool = True
    type: str | UnsetType = UNSET


class Expect(Struct, frozen=True, forbid_unknown_fields=True):
    """What an answer must be like."""

    status: Annotated[
        int | tuple[int, ...] | None,
        Meta(description="The status, or one of several; any 2xx if not given."),
    ] = None
    headers: Annotated[
        Mapping[str, Any],
        Meta(description='Header -> a value, or a condition such as `{ like = "text/*" }`.'),
    ] = {}
    json: Annotated[
        Mapping[str, Any],
        Meta(
            description=(
                "JSON path -> a value, or a table of conditions: equals, not, min, max, length,"
                " contains, like, exists, type."
            )
        ),
    ] = {}
    body: Annotated[Any, Meta(description="Text that the body must hold, or a condition.")] = None
    within: Annotated[
        str | None, Meta(description='How long it may take at most, such as `"800ms"` or `"2s"`.')
    ] = None


def milliseconds(text: str) -> int | None:
    """`800ms`, `2s` in milliseconds, None if it is neither."""
    number, unit = (
        (text[:-2], 1)
        if text.endswith("ms")
        else (text[:-1], 1000)
        if text.endswith("s")
        else ("", 0)
    )
    return int(number) * unit if number.isascii() and number.isdigit() and len(number) < 7 else None


def problem(expect: Expect) -> str | None:
    """What is wrong with it, None if nothing is."""
    if expect.within is not None and milliseconds(expect.within) is None:
        return f'`within` is {expect.within!r}; expected a time such as "800ms" or "2s"'
    for where, one in (*expect.headers.items(), *expect.json.items(), ("body", expect.body)):
        wrong = _wrong_want(one)
        if wrong:
            return f"{where}: {wrong}"
    return next((wrong for wrong in map(wrong_path, expect.json) if wrong), None)


def _wrong_want(one: Any) -> str | None:
    try:
        found = want(one)
    except msgspec.ValidationError as error:
        known = ", ".join(field.encode_name for field in msgspec.structs.fields(Condition))
        return (
            f"{str(error).partition(' - at')[0]} (a condition may have {known}; to expect a table,"
            " write { equals = … })"
        )
    if found.type is not UNSET and found.type not in _TYPES:
        return f"{found.type!r} is no type of JSON; there are {', '.join(_TYPES)}"
    return None


def want(one: Any) -> Condition:
    """The condition that a value of rules.toml stands for. Raises msgspec.ValidationError."""
    return msgspec.convert(one, Condition) if isinstance(one, Mapping) else Condition(equals=one)


def wrong_path(path: str) -> str | None:
    """What is wrong with a JSON path, None if nothing is."""
    from jsonpath.exceptions import JSONPathError

    if _endless(path):
        return (
            f"{path!r} could take for ever on a hostile answer: only one `..` and one list, and"
            " neither `..` nor `$` in a filter"
        )
    try:
        _compiled(path)
    except (JSONPathError, RecursionError) as error:
        hint = "; it begins with `$`: `$.status`" if not path.startswith("$") else ""
        return (
            f"{path!r} is no JSON path: {str(error).splitlines()[0] or type(error).__name__}{hint}"
        )
    return None


def _endless(path: str) -> bool:
    """Whether there are answers of a few kilobytes on which a path takes more than a few steps for
    each value in them.
    """
    bare = _QUOTED.sub("''", path)
    before, _, inside = bare.partition("?")
    return (
        len(path) > LONGEST
        or before.count("..") > 1
        or ".." in inside
        or "$" in inside
        or len(_LIST.findall(bare)) > 1
    )


def _compiled(path: str) -> Any:
    """By RFC 9535, but without its regular expressions: they could keep us busy for ever."""
    from jsonpath import JSONPathEnvironment

    environment = JSONPathEnvironment(strict=True)
    for name in ("match", "search"):
        environment.function_extensions.pop(name, None)
    return environment.compile(path)


def at(content: Found, path: str) -> Any:
    """What is at a JSON path: the value, a list of all if there may be several, or UNSET if there
    is none, or nobody can tell.

    Raises ProbeError for what is no path with the values that were put into it.
    """
    from jsonpath.exceptions import JSONPathError

    wrong = wrong_path(path)
    if wrong:
        raise ProbeError(f"with the values that stand in it, {wrong}")
    compiled = _compiled(path)
    try:
        found = [match.value for match in compiled.finditer(content)]
    except (JSONPathError, RecursionError):  # the answer is nested without end
        return UNSET
    return (found[0] if compiled.singular_query() else found) if found else UNSET


def of_json(content: Found, wanted: Mapping[str, Any]) -> Iterator[Mismatch]:
    """The JSON conditions that do not hold."""
    for path, one in wanted.items():
        yield from of_value(path, at(content, path), want(one))


def of_value(what: str, value: Any, wanted: Condition) -> Iterator[Mismatch]:
    """The parts of a condition that do not hold for a value; UNSET is one that is not there."""
    if value is UNSET or not wanted.exists:
        if (value is not UNSET) != wanted.exists:
            yield Mismatch(
                what, shown_want(wanted), "nothing is there" if value is UNSET else shown(value)
            )
        return
    if not all(_holds(wanted, value)):
        yield Mismatch(what, shown_want(wanted), shown(value))


def _holds(wanted: Condition, value: Any) -> Iterator[bool]:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if wanted.equals is not UNSET:
        yield _same(value, wanted.equals)
    if wanted.not_ is not UNSET:
        yield not _same(value, wanted.not_)
    if wanted.min is not UNSET:
        yield number and value >= wanted.min
    if wanted.max is not UNSET:
        yield number and value <= wanted.max
    if wanted.length is not UNSET:
        yield isinstance(value, (str, list, dict)) and len(value) == wanted.length
    if wanted.contains is not UNSET:
        yield _contains(value, wanted.contains)
    if wanted.like is not UNSET:
        yield isinstance(value, str) and fnmatchcase(value, str(wanted.like))
    if wanted.type is not UNSET:
        right = isinstance(value, _TYPES[str(wanted.type)])  # type: ignore[arg-type]
        yield right and not (wanted.type == "number" and isinstance(value, bool))


def _same(value: Any, other: Any) -> bool:
    """Equal as JSON has it: `1` is `1.0`, but not `true`."""
    if isinstance(value, bool) or isinstance(other, bool):
        return value is other
    if isinstance(value, list) and isinstance(other, (list, tuple)):
        return len(value) == len(other) and all(map(_same, value, other))
    if isinstance(value, dict) and isinstance(other, Mapping):
        return value.keys() == other.keys() and all(_same(value[key], other[key]) for key in value)
    return bool(value == other)


def _contains(value: Any, part: Any) -> bool:
    if isinstance(value, str):
        return isinstance(part, str) and part in value
    return isinstance(value, (list, dict)) and any(_same(one, part) for one in value)


def of_headers(headers: Sequence[tuple[str, str]], wanted: Mapping[str, Any]) -> Iterator[Mismatch]:
    """The header conditions that do not hold; of several headers of one name one has to fit."""
    for name, one in wanted.items():
        values: list[Any] = [value for key, value in headers if key.lower() == name.lower()] or [
            UNSET
        ]
        misses = [list(of_value(f"header {name}", value, want(one))) for value in values]
        if all(misses):
            yield misses[0][0]


def of_body(text: str, wanted: Any) -> Iterator[Mismatch]:
    """The conditions on a body's text; a plain text is one that it must hold."""
    if wanted is not None:
        yield from of_value(
            "body", text, Condition(contains=wanted) if isinstance(wanted, str) else want(wanted)
        )


def of_status(status: int, wanted: int | tuple[int, ...] | None) -> Iterator[Mismatch]:
    """Whether the status is the right one."""
    if wanted is None:
        if not 200 <= status < 300:
            yield Mismatch("status", "2xx", str(status))
    elif status not in ((wanted,) if isinstance(wanted, int) else wanted):
        yield Mismatch(
            "status",
            str(wanted) if isinstance(wanted, int) else " or ".join(map(str, wanted)),
            str(status),
        )


def of_time(took_s: float, within: str | None) -> Iterator[Mismatch]:
    """Whether it took too long."""
    most = None if within is None else milliseconds(within)
    if most is not None and took_s * 1000 > most:
        yield Mismatch("time", f"at most {within}", f"{took_s * 1000:.0f}ms")


def parsed(body: bytes) -> Any:
    """The JSON in a body, UNSET if it is none (or nested without end)."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return UNSET


def text(body: bytes) -> str:
    """A body as text."""
    return body.decode("utf-8", "replace")


def shown(value: Any) -> str:
    """A value for people, in one line. It is cut where nothing in it is secret any more
    (`verify.tries`).
    """
    return json.dumps(value, ensure_ascii=False, default=str)


def shown_want(wanted: Condition) -> str:
    """A condition for people: `at least 1`."""
    if not wanted.exists:
        return "nothing"
    words = {
        "equals": (wanted.equals, "{}"),
        "not": (wanted.not_, "not {}"),
        "min": (wanted.min, "at least {}"),
        "max": (wanted.max, "at most {}"),
        "length": (wanted.length, "{} items"),
        "contains": (wanted.contains, "{} in it"),
        "like": (wanted.like, "like {}"),
        "type": (wanted.type, "a value of type {}"),
    }
    said = [form.format(shown(value)) for value, form in words.values() if value is not UNSET]
    return ", ".join(said) or "something"
