"""What is expected of an answer, and what of that does not hold. Pure."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from toolkit.errors import ProbeError
from toolkit.formats.durations import milliseconds
from toolkit.operations import Mismatch

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
    """What the answer has to be like."""

    status: Annotated[
        int | tuple[int, ...] | None,
        Meta(description="The status, or a list of them; by default any 2xx."),
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
    body: Annotated[Any, Meta(description="Text that the body has to contain, or a condition.")] = (
        None
    )
    within: Annotated[
        str | None, Meta(description='The maximum time, such as `"800ms"` or `"2s"`.')
    ] = None


def problem(expect: Expect) -> str | None:
    """What is wrong with it, None if nothing is."""
    if expect.within is not None and milliseconds(expect.within) is None:
        return f'`within` is {expect.within!r}; expected a time such as "800ms" or "2s"'
    for where, setting in (*expect.headers.items(), *expect.json.items(), ("body", expect.body)):
        wrong = _wrong_condition(setting)
        if wrong:
            return f"{where}: {wrong}"
    return next((wrong for wrong in map(wrong_path, expect.json) if wrong), None)


def _wrong_condition(setting: Any) -> str | None:
    try:
        condition = to_condition(setting)
    except msgspec.ValidationError as error:
        keys = ", ".join(field.encode_name for field in msgspec.structs.fields(Condition))
        return (
            f"{str(error).partition(' - at')[0]} (a condition may have {keys}; to expect a table,"
            " write { equals = … })"
        )
    if condition.type is not UNSET and condition.type not in _TYPES:
        return f"{condition.type!r} is not a type of JSON; there are {', '.join(_TYPES)}"
    return None


def to_condition(setting: Any) -> Condition:
    """The condition that a value of rules.toml stands for. Raises msgspec.ValidationError."""
    if isinstance(setting, Mapping):
        return msgspec.convert(setting, Condition)
    return Condition(equals=setting)


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
        words = str(error).splitlines()[0] or type(error).__name__
        if not path.startswith("$"):
            words += "; start it with `$`, as in `$.status`"
        return f"{path!r} is not a JSON path: {words}"
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


def value_at(content: Any, path: str) -> Any:
    """What is at a JSON path: the value, a list of all if there may be several, or UNSET if there
    is none or that cannot be decided.

    Raises ProbeError for what is not a path once its values are filled in.
    """
    from jsonpath.exceptions import JSONPathError

    wrong = wrong_path(path)
    if wrong:
        raise ProbeError(f"with its values filled in, {wrong}")
    compiled = _compiled(path)
    try:
        values = [match.value for match in compiled.finditer(content)]
    except (JSONPathError, RecursionError):  # the answer is nested without end
        return UNSET
    if not values:
        return UNSET
    return values[0] if compiled.singular_query() else values


def json_mismatches(content: Any, conditions: Mapping[str, Any]) -> Iterator[Mismatch]:
    """The JSON conditions that do not hold."""
    for path, setting in conditions.items():
        yield from value_mismatches(path, value_at(content, path), to_condition(setting))


def value_mismatches(what: str, value: Any, condition: Condition) -> Iterator[Mismatch]:
    """The parts of a condition that do not hold for a value; UNSET is a value that is missing."""
    exists = value is not UNSET
    if exists and condition.exists:
        holds = all(_holds(condition, value))
    else:
        holds = exists == condition.exists
    if not holds:
        yield Mismatch(what, shown_condition(condition), shown(value) if exists else "nothing")


def _holds(condition: Condition, value: Any) -> Iterator[bool]:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if condition.equals is not UNSET:
        yield _same(value, condition.equals)
    if condition.not_ is not UNSET:
        yield not _same(value, condition.not_)
    if condition.min is not UNSET:
        yield number and value >= condition.min
    if condition.max is not UNSET:
        yield number and value <= condition.max
    if condition.length is not UNSET:
        yield isinstance(value, (str, list, dict)) and len(value) == condition.length
    if condition.contains is not UNSET:
        yield _contains(value, condition.contains)
    if condition.like is not UNSET:
        yield isinstance(value, str) and fnmatchcase(value, str(condition.like))
    if condition.type is not UNSET:
        right = isinstance(value, _TYPES[str(condition.type)])  # type: ignore[arg-type]
        yield right and not (condition.type == "number" and isinstance(value, bool))


def _same(value: Any, expected: Any) -> bool:
    """Equal as JSON has it: `1` is `1.0`, but not `true`."""
    if isinstance(value, bool) or isinstance(expected, bool):
        return value is expected
    if isinstance(value, list) and isinstance(expected, (list, tuple)):
        return len(value) == len(expected) and all(map(_same, value, expected))
    if isinstance(value, dict) and isinstance(expected, Mapping):
        return value.keys() == expected.keys() and all(
            _same(value[key], expected[key]) for key in value
        )
    return bool(value == expected)


def _contains(value: Any, part: Any) -> bool:
    if isinstance(value, str):
        return isinstance(part, str) and part in value
    return isinstance(value, (list, dict)) and any(_same(element, part) for element in value)


def header_mismatches(
    headers: Sequence[tuple[str, str]], conditions: Mapping[str, Any]
) -> Iterator[Mismatch]:
    """The header conditions that do not hold; of several headers of one name one has to fit."""
    for name, setting in conditions.items():
        values: list[Any] = [value for key, value in headers if key.lower() == name.lower()]
        misses: list[Mismatch] = []
        for value in values or [UNSET]:
            mismatch = next(value_mismatches(f"header {name}", value, to_condition(setting)), None)
            if mismatch is None:
                break
            misses.append(mismatch)
        else:
            yield misses[0]


def body_mismatches(text: str, setting: Any) -> Iterator[Mismatch]:
    """The conditions on a body's text; a plain text is one that it must hold."""
    if isinstance(setting, str):
        yield from value_mismatches("body", text, Condition(contains=setting))
    elif setting is not None:
        yield from value_mismatches("body", text, to_condition(setting))


def status_mismatches(status: int, expected: int | tuple[int, ...] | None) -> Iterator[Mismatch]:
    """Whether the status is the right one; without an expected one, any 2xx is."""
    if expected is None:
        if not 200 <= status < 300:
            yield Mismatch("status", "2xx", str(status))
        return
    choices = (expected,) if isinstance(expected, int) else expected
    if status not in choices:
        yield Mismatch("status", " or ".join(map(str, choices)), str(status))


def time_mismatches(took_s: float, within: str | None) -> Iterator[Mismatch]:
    """Whether it took too long."""
    limit_ms = None if within is None else milliseconds(within)
    if limit_ms is not None and took_s * 1000 > limit_ms:
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
    """A value for people, in one line. It is shortened only after secrets were removed
    (`checks.tries`): half a secret would not be recognized.
    """
    return json.dumps(value, ensure_ascii=False, default=str)


def shown_condition(condition: Condition) -> str:
    """A condition for people: `at least 1`."""
    if not condition.exists:
        return "nothing"
    words = (
        (condition.equals, "{}"),
        (condition.not_, "not {}"),
        (condition.min, "at least {}"),
        (condition.max, "at most {}"),
        (condition.length, "{} items"),
        (condition.contains, "contains {}"),
        (condition.like, "like {}"),
        (condition.type, "a value of type {}"),
    )
    parts = [form.format(shown(value)) for value, form in words if value is not UNSET]
    return ", ".join(parts) or "something"
