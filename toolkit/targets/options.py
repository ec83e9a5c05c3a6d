"""The command-line options of the kinds: which a command takes, as their structs declare them."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, cast

import msgspec
from msgspec import Struct, inspect
from msgspec.structs import replace

from toolkit import targets
from toolkit.errors import Refused, UsageError
from toolkit.targets.base import Kind, KindOptions, flag

ROLLBACK = "rollback"
OF_ALL = ("deploy", ROLLBACK)
"""The commands that take the options of every kind; another one those of the kinds whose action it
is.
"""
_VALUES = {inspect.BoolType: bool, inspect.StrType: str, inspect.IntType: int}


class Option(Struct, frozen=True):
    """An option as a field of a kind's struct declares it. `value` is what it takes, `bool` for a
    flag; `choices` are all that it may be.
    """

    field: str
    help: str
    value: type
    choices: tuple[str, ...] = ()
    metavar: str | None = None
    consent: bool = False
    rollback: bool = False

    @property
    def flag(self) -> str:
        """How it is written."""
        return flag(self.field)


def declared(options: type[KindOptions]) -> Iterator[Option]:
    """The options that a kind's struct declares. Raises TypeError for a field that cannot be given
    on a command line.
    """
    if not (isinstance(options, type) and issubclass(options, KindOptions)):
        raise TypeError("its `Options` is not a toolkit.targets.base.KindOptions")
    for field in cast(inspect.StructType, inspect.type_info(options)).fields:
        annotated = field.type
        if not isinstance(annotated, inspect.Metadata) or not annotated.extra or field.required:
            raise TypeError(f"option {field.name} needs `option` and a default")
        help = str((annotated.extra_json_schema or {}).get("description", ""))
        value, choices = _value(annotated.type, field.name)
        yield Option(field.name, help, value, choices, **annotated.extra)


def _value(found: inspect.Type, name: str) -> tuple[type, tuple[str, ...]]:
    alternatives = found.types if isinstance(found, inspect.UnionType) else (found,)
    types = [type for type in alternatives if not isinstance(type, inspect.NoneType)]
    if len(types) == 1:
        if isinstance(types[0], inspect.EnumType):
            return str, tuple(str(member.value) for member in types[0].cls)
        if type(types[0]) in _VALUES:
            return _VALUES[type(types[0])], ()
    raise TypeError(f"option {name} is neither a flag, a text, a number nor a StrEnum")


def options_of(command: str, reserved: Collection[str] = ()) -> list[Option]:
    """The options that the kinds add to a command, each once. Raises Refused where a package
    declares one that is `reserved`, or that another kind declares with other values.
    """
    options: dict[str, Option] = {}
    for name, kind in _kinds(command):
        try:
            own = list(declared(kind.Options))
        except TypeError as problem:
            raise targets.fault(name, f"cannot be used: {problem}") from None
        for option in own:
            if command == ROLLBACK and not option.rollback:
                continue
            if {option.field, option.flag} & {*reserved}:
                raise targets.fault(name, f"has {option.flag}, which is `toolkit {command}`'s own")
            first = options.setdefault(option.field, option)
            if (first.value, first.choices) != (option.value, option.choices):
                raise targets.fault(name, f"has {option.flag}, which another kind means otherwise")
    return list(options.values())


def typed(command: str, arguments: Mapping[str, Any]) -> dict[str, KindOptions]:
    """What a command's arguments say for each kind. Raises UsageError."""
    by_kind: dict[str, KindOptions] = {}
    for name, kind in _kinds(command):
        fields = {
            field: arguments[field]
            for field in kind.Options.__struct_fields__
            if arguments.get(field) is not None and arguments[field] is not False
        }
        try:
            by_kind[name] = msgspec.convert(fields, kind.Options)
        except msgspec.ValidationError as problem:
            raise UsageError(f"invalid options: {problem}") from None
    return by_kind


def names_in_journals() -> set[str]:
    """What the journals of any version have as options of a step: what a kind has as options, or to
    restore, and the version of a rollback, which a job has by itself now.
    """
    names = {"version", "commit", "fingerprint", "settings"}
    for _, kind in _kinds("deploy"):
        names |= {*kind.Options.__struct_fields__}
        if kind.Restore is not None:
            names |= {*kind.Restore.__struct_fields__}
    return names


def deciding(options: KindOptions) -> Iterator[tuple[str, Any]]:
    """The options that decide what is deployed, and are not at their default: name and value."""
    default = type(options)()
    for option in declared(type(options)):
        value = getattr(options, option.field)
        if not option.consent and value != getattr(default, option.field):
            yield option.field, value


def without_consents(options: KindOptions) -> KindOptions:
    """The options without those that consent in advance."""
    default = type(options)()
    consents = [option.field for option in declared(type(options)) if option.consent]
    return replace(options, **{field: getattr(default, field) for field in consents})


def _kinds(command: str) -> Iterator[tuple[str, Kind]]:
    """The kinds whose options a command takes. One that its package does not bring has none: it is
    told where a target needs it.
    """
    for name in targets.NAMES:
        try:
            kind = targets.kind(name)
        except Refused:
            continue
        if command in OF_ALL or kind.action == command:
            yield name, kind
