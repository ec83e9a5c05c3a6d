"""What is expected of an answer, and what of that does not hold. Pure."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import chain, islice
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from toolkit.checks import patterns
from toolkit.checks.base import FileName
from toolkit.errors import ProbeError
from toolkit.formats.durations import milliseconds
from toolkit.formats.variables import FILL, NAME, Fill, as_text
from toolkit.operations import Mismatch

LONGEST = 300
"""Characters of a JSON path."""
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
_LIST = re.compile(r"\[[^\[\]]*,[^\[\]]*\]")
_TYPES = {
    "null": type(None),
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "string": str,
    "array": list,
    "object": dict,
}
_STATUS = re.compile(r"([1-5])xx|([1-5]\d\d)-([1-5]\d\d)|([1-5]\d\d)")
_NUMBER = re.compile(rf"\{{{NAME}\}}|-?[0-9]+(?:\.[0-9]+)?")
_DECIMAL = re.compile(r"-?[0-9]{1,300}(?:\.[0-9]{1,300})?")
Number = int | float | str
"""A number, or a name that stands for one; once it is filled in, maybe a number's text."""


class Condition(Struct, frozen=True, forbid_unknown_fields=True):
    """A condition. All that is given must hold; a plain value instead of such a table is
    `equals`.
    """

    equals: Any = UNSET
    not_: Any = msgspec.field(default=UNSET, name="not")
    min: Number | UnsetType = UNSET
    max: Number | UnsetType = UNSET
    length: Number | Mapping[str, Any] | UnsetType = UNSET
    contains: Any = UNSET
    excludes: Any = UNSET
    like: str | UnsetType = UNSET
    matches: str | UnsetType = UNSET
    exists: bool = True
    type: str | UnsetType = UNSET
    every: Any = UNSET


Conditions = Annotated[Mapping[str, Any], Meta(extra={FILL: Fill.CONDITIONS})]
OneCondition = Annotated[Any, Meta(extra={FILL: Fill.CONDITION})]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{64}$(?!\n)|^\{[A-Za-z_][A-Za-z0-9_]*\}$(?!\n)")]
Status = int | str | tuple[int | str, ...]


class Expect(Struct, frozen=True, forbid_unknown_fields=True):
    """What the answer has to be like."""

    status: Annotated[
        Status | None,
        Meta(
            description=(
                'The status, a range such as `"2xx"` or `"200-204"`, or a list of them; by default'
                " any 2xx."
            )
        ),
    ] = None
    headers: Annotated[
        Conditions,
        Meta(description='Header -> a value, or a condition such as `{ like = "text/*" }`.'),
    ] = {}
    json: Annotated[
        Conditions,
        Meta(
            description=(
                "JSON path -> a value, or a table of conditions: equals, not, min, max, length,"
                " contains, excludes, like, matches, exists, type, every."
            )
        ),
    ] = {}
    body: Annotated[
        OneCondition, Meta(description="Text that the body has to contain, or a condition.")
    ] = None
    sha256: Annotated[
        Digest | None, Meta(description="The SHA-256 of the body, in hexadecimal digits.")
    ] = None
    schema: Annotated[
        FileName | None,
        Meta(description="A file with the JSON Schema that the body has to be valid for."),
    ] = None
    within: Annotated[
        str | None, Meta(description='The maximum time, such as `"800ms"` or `"2s"`.')
    ] = None


def problem(expect: Expect) -> str | None:
    """What is wrong with it, None if nothing is."""
    if expect.within is not None and milliseconds(expect.within) is None:
        return f'`within` is {expect.within!r}; expected a time such as "800ms" or "2s"'
    for status in _each(expect.status):
        if not isinstance(status, str) or "{" in status:
            continue  # a name is filled in later
        if _range(status) is None:
            return f'{status!r} is not a status; write 200, "2xx" or "200-204"'
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
    for number in (condition.min, condition.max, condition.length):
        if isinstance(number, str) and not _NUMBER.fullmatch(number):
            return f"{number!r} is not a number"
    if condition.type is not UNSET and condition.type not in _TYPES:
        return f"{condition.type!r} is not a type of JSON; there are {', '.join(_TYPES)}"
    if condition.matches is not UNSET:
        wrong = patterns.problem(condition.matches)
        if wrong:
            return wrong
    for inner in (condition.length, condition.every):
        wrong = _wrong_condition(inner) if isinstance(inner, Mapping) else None
        if wrong:
            return wrong
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


class Selection(Struct, frozen=True):
    """What is at a JSON path. `several`: the path can match more than one value."""

    values: Sequence[Any]
    several: bool

    @property
    def value(self) -> Any:
        """The value, a list of all if there may be several, or UNSET if there is none."""
        if not self.values:
            return UNSET
        return list(self.values) if self.several else self.values[0]


def select(content: Any, path: str) -> Selection | None:
    """What is at a JSON path, None if that cannot be decided.

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
        return None
    return Selection(values, not compiled.singular_query())


def value_at(content: Any, path: str) -> Any:
    """What is at a JSON path: the value, a list of all if there may be several, or UNSET if there
    is none or that cannot be decided. Raises ProbeError as `select` does.
    """
    selection = select(content, path)
    return UNSET if selection is None else selection.value


def json_mismatches(content: Any, conditions: Mapping[str, Any]) -> Iterator[Mismatch]:
    """The JSON conditions that do not hold."""
    for path, setting in conditions.items():
        condition, selection = to_condition(setting), select(content, path)
        if selection is None:
            yield Mismatch(path, shown_condition(condition), "unknown: it is nested too deeply")
            continue
        value = selection.value
        # Who asks how many there are, or which, may expect none.
        counts = condition.length is not UNSET or condition.equals is not UNSET
        if value is UNSET and selection.several and counts and condition.exists:
            value = []
        yield from value_mismatches(path, value, condition)


def value_mismatches(
    what: str, value: Any, condition: Condition, is_text: bool = False
) -> Iterator[Mismatch]:
    """The parts of a condition that do not hold for a value; UNSET is a value that is missing.
    `is_text`: it has no type, as headers have none, so that `5` is "5".
    """
    exists = value is not UNSET
    if is_text:
        condition = _of_text(condition)
    if exists and condition.exists:
        holds = all(_holds(condition, value, is_text))
    else:
        holds = exists == condition.exists
    if not holds:
        yield Mismatch(what, shown_condition(condition), shown(value) if exists else "nothing")


def _of_text(condition: Condition) -> Condition:
    texts = {}
    for name in ("equals", "not_", "contains", "excludes"):
        expected = getattr(condition, name)
        if expected is not UNSET:
            texts[name] = as_text(expected)
    return replace(condition, **texts)


def _holds(condition: Condition, value: Any, is_text: bool) -> Iterator[bool]:
    if condition.equals is not UNSET:
        yield _same(value, condition.equals)
    if condition.not_ is not UNSET:
        yield not _same(value, condition.not_)
    yield from _numbers_hold(condition, value, is_text)
    if condition.contains is not UNSET:
        yield _contains(value, condition.contains)
    if condition.excludes is not UNSET:
        # What can hold nothing at all says nothing about what it does not hold.
        yield isinstance(value, (str, list, dict)) and not _contains(value, condition.excludes)
    if condition.like is not UNSET:
        yield isinstance(value, str) and fnmatchcase(value, str(condition.like))
    if condition.matches is not UNSET:
        yield isinstance(value, str) and patterns.is_match(condition.matches, value)
    if condition.type is not UNSET:
        yield _is_of_type(value, condition.type)
    if condition.every is not UNSET:
        yield _every(value, to_condition(condition.every))


def _numbers_hold(condition: Condition, value: Any, is_text: bool) -> Iterator[bool]:
    number = _number(value) if is_text else value
    is_number = _is_number(number)
    if condition.min is not UNSET:
        yield is_number and _is_number(least := _number(condition.min)) and number >= least
    if condition.max is not UNSET:
        yield is_number and _is_number(most := _number(condition.max)) and number <= most
    if condition.length is not UNSET:
        expected = condition.length
        if not isinstance(expected, Mapping):
            expected = {"equals": _number(expected)}
        countable = isinstance(value, (str, list, dict))
        yield countable and all(_holds(to_condition(expected), len(value), False))


def _number(value: Any) -> Any:
    """The number that a text is, anything else as it is."""
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        return value
    return float(value) if "." in value else int(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_of_type(value: Any, type_: str) -> bool:
    if isinstance(value, bool):
        return type_ == "boolean"
    if type_ == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[type_])  # type: ignore[arg-type]


def _every(value: Any, condition: Condition) -> bool:
    """Whether a condition holds for each of at least one item: a path that matches nothing any more
    must not pass.
    """
    if not isinstance(value, list) or not value:
        return False
    return not any(any(value_mismatches("", item, condition)) for item in value)


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
    """The header conditions that do not hold. Of several headers of one name, one has to fit, and
    none may have what is forbidden.
    """
    for name, setting in conditions.items():
        what, condition = f"header {name}", to_condition(setting)
        values = [value for key, value in headers if key.lower() == name.lower()]
        if len(values) < 2:
            value = values[0] if values else UNSET
            yield from value_mismatches(what, value, condition, True)
            continue
        forbidden = Condition(not_=condition.not_, excludes=condition.excludes)
        required = replace(condition, not_=UNSET, excludes=UNSET)
        misses = [list(value_mismatches(what, value, required, True)) for value in values]
        if all(misses):
            yield misses[0][0]
        else:
            wrong = (value_mismatches(what, value, forbidden, True) for value in values)
            yield from islice(chain.from_iterable(wrong), 1)


def body_mismatches(text: str, setting: Any) -> Iterator[Mismatch]:
    """The conditions on a body's text; a plain value is one that it must hold."""
    if isinstance(setting, Mapping):
        yield from value_mismatches("body", text, to_condition(setting), True)
    elif setting is not None:
        yield from value_mismatches("body", text, Condition(contains=setting), True)


def status_mismatches(status: int, expected: Status | None) -> Iterator[Mismatch]:
    """Whether the status is the right one; without an expected one, any 2xx is."""
    choices = _each("2xx" if expected is None else expected)
    if not any(status in choice for choice in ranges(expected)):
        yield Mismatch("status", " or ".join(map(str, choices)), str(status))


def ranges(expected: Status | None) -> tuple[range, ...]:
    """The statuses that are expected. Raises ProbeError for what is no status once its value is
    filled in.
    """
    choices: list[range] = []
    for choice in _each("2xx" if expected is None else expected):
        statuses = _range(choice)
        if statuses is None:
            raise ProbeError(f"with its values filled in, {choice!r} is not a status")
        choices.append(statuses)
    return tuple(choices)


def _each(expected: Status | None) -> tuple[int | str, ...]:
    if expected is None:
        return ()
    return expected if isinstance(expected, tuple) else (expected,)


def _range(status: int | str) -> range | None:
    """`2xx`, `200-204` and `200` as the statuses that they stand for."""
    if isinstance(status, int):
        return range(status, status + 1)
    match = _STATUS.fullmatch(status)
    if match is None:
        return None
    hundreds, first, last, single = match.groups()
    if hundreds:
        return range(int(hundreds) * 100, int(hundreds) * 100 + 100)
    return range(int(first or single), int(last or single) + 1)


def time_mismatches(took_s: float, within: str | None) -> Iterator[Mismatch]:
    """Whether it took too long."""
    limit_ms = None if within is None else milliseconds(within)
    if limit_ms is not None and took_s * 1000 > limit_ms:
        yield Mismatch("time", f"at most {within}", f"{took_s * 1000:.0f}ms")


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
        (UNSET if isinstance(condition.length, Mapping) else condition.length, "{} items"),
        (condition.contains, "contains {}"),
        (condition.excludes, "without {}"),
        (condition.like, "like {}"),
        (condition.matches, "matches {}"),
        (condition.type, "a value of type {}"),
    )
    parts = [form.format(shown(value)) for value, form in words if value is not UNSET]
    if isinstance(condition.length, Mapping):
        parts.append(f"a length of {shown_condition(to_condition(condition.length))}")
    if condition.every is not UNSET:
        parts.append(f"every item {shown_condition(to_condition(condition.every))}")
    return ", ".join(parts) or "something"
