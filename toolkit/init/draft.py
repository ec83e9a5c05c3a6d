"""A rules.toml before anybody has agreed to it, and how it is written down, with comments."""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from toolkit.formats import toml


class DraftTarget(Struct, frozen=True):
    """A proposed target. `comment` lines stand above it and say what it was drawn from."""

    name: str
    kind: str
    settings: Mapping[str, object] = {}
    needs: tuple[str, ...] = ()
    comment: tuple[str, ...] = ()


class DraftRule(Struct, frozen=True):
    """A proposed rule. `comment` lines stand above it."""

    name: str
    paths: tuple[str, ...]
    deploy: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    comment: tuple[str, ...] = ()


class Draft(Struct, frozen=True):
    """A whole proposed rules.toml. `comment` lines open the file. `unmatched` is what a path calls
    for that no rule matches: a target, or `warn`.
    """

    project: str
    targets: tuple[DraftTarget, ...] = ()
    rules: tuple[DraftRule, ...] = ()
    ignore: tuple[str, ...] = ()
    environments: Mapping[str, Mapping[str, object]] = {}
    comment: tuple[str, ...] = ()
    unmatched: str = "warn"


def draft_to_toml(draft: Draft) -> str:
    """The draft as the text of a rules.toml. Raises ValueError for a value that TOML cannot
    hold.
    """
    return "\n".join(_lines(draft)) + "\n"


def printable(text: str) -> str:
    """Somebody else's words on one line of ours."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _lines(draft: Draft) -> Iterator[str]:
    yield from _comment(draft.comment)
    yield "version = 1"
    yield f"project = {_value(draft.project)}"
    if draft.environments:
        yield f"environment = {_value(next(iter(draft.environments)))}"
    if draft.ignore:
        yield f"ignore = {_value(list(draft.ignore))}"
    yield f"unmatched = {_value(draft.unmatched)}"
    for name, settings in draft.environments.items():
        yield from ("", f"[environments.{_key(name)}]", *_pairs(settings))
    for target in draft.targets:
        yield from _target(target)
    for rule in draft.rules:
        yield from _rule(rule)


def _target(target: DraftTarget) -> Iterator[str]:
    yield ""
    yield from _comment(target.comment)
    yield f"[targets.{_key(target.name)}]"
    yield f"kind = {_value(target.kind)}"
    yield from _pairs(target.settings)
    if target.needs:
        yield f"needs = {_value(list(target.needs))}"


def _rule(rule: DraftRule) -> Iterator[str]:
    yield ""
    yield from _comment(rule.comment)
    yield "[[rules]]"
    yield f"name = {_value(rule.name)}"
    yield f"paths = {_value(list(rule.paths))}"
    for key, words in (("changes", rule.changes), ("deploy", rule.deploy), ("run", rule.run)):
        if words:
            yield f"{key} = {_value(list(words))}"


def _comment(lines: tuple[str, ...]) -> Iterator[str]:
    for line in lines:
        for part in line.splitlines() or [""]:
            # A control character would end the comment, or the file.
            yield f"# {printable(part)}".rstrip()


def _pairs(settings: Mapping[str, object]) -> Iterator[str]:
    for key, value in settings.items():
        yield f"{_key(key)} = {_value(value)}"


def _key(name: str) -> str:
    bare = name and all(char.isascii() and (char.isalnum() or char in "-_") for char in name)
    if bare:
        return name
    return _value(name)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return toml.string(value)
    if isinstance(value, list | tuple):
        return _array([_value(element) for element in value])
    if isinstance(value, Mapping):
        pairs = [f"{_key(str(key))} = {_value(inner)}" for key, inner in value.items()]
        if pairs:
            return f"{{ {', '.join(pairs)} }}"
        return "{}"
    raise ValueError(f"TOML has no word for {type(value).__name__}")


def _array(values: list[str]) -> str:
    line = f"[{', '.join(values)}]"
    if len(line) <= 100:
        return line
    return "[\n" + "".join(f"  {value},\n" for value in values) + "]"
