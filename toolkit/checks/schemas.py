"""JSON Schema over what a stranger answers: nothing is fetched, regular expressions are RE2's, and
it ends within a time.

jsonschema does the work. Two things of it are replaced: Python's regular expressions, which a
hostile answer can keep busy for ever, and `uniqueItems`, which compares each item with each other.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from time import monotonic
from typing import Any

from toolkit.checks import patterns
from toolkit.errors import ProbeRefused
from toolkit.operations import Mismatch

SECONDS = 5.0
"""How long a schema may take over one answer."""
MOST_SHOWN = 5
"""So many mismatches are shown."""
MOST_UNEVALUATED = 5000
"""So many keys or items may be in what an `unevaluated…` is about: jsonschema compares each with
each of them, without a look at the time.
"""
_DEPTH = 60
"""How deep a schema may be nested."""
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")

Keyword = Callable[..., "Iterator[Any] | None"]


class _TooLong(Exception):
    """The time for one answer is over."""


def problem(name: str, data: bytes) -> str | None:
    """What is wrong with the schema in a file, None if nothing is."""
    try:
        schema = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return f"{name} is not JSON"
    if not isinstance(schema, (dict, bool)):
        return f"{name} is not a JSON Schema: it holds neither a table nor true or false"
    if isinstance(schema, dict) and not isinstance(schema.get("$schema", ""), str):
        return f"{name} is not a JSON Schema: its $schema is not a text"
    wrong = next(_wrong_parts(schema, 0), None)
    if wrong is None:
        wrong = _unlike_its_dialect(schema)
    return None if wrong is None else f"{name} is not a schema that can be used: {wrong}"


def mismatches(data: bytes, content: Any) -> Iterator[Mismatch]:
    """Where an answer is not as the schema in `data` says. Raises ProbeRefused where that cannot be
    decided.
    """
    try:
        errors = _errors(json.loads(data.decode("utf-8-sig")), content)
    except RecursionError:
        raise ProbeRefused("the answer is nested too deeply for its schema") from None
    for error in errors[:MOST_SHOWN]:
        yield _mismatch(error)
    if len(errors) > MOST_SHOWN:
        yield Mismatch("schema", "a body as the schema says", "more mismatches")


def _mismatch(error: Any) -> Mismatch:
    rule = json.dumps({error.validator: error.validator_value}, ensure_ascii=False)
    found = json.dumps(error.instance, ensure_ascii=False, default=str)
    return Mismatch(f"schema: {error.json_path}", rule, found)


def _wrong_parts(schema: Any, depth: int) -> Iterator[str]:
    """What is in a schema that is not allowed here."""
    if depth > _DEPTH:
        yield f"it is nested more than {_DEPTH} deep"
        return
    if isinstance(schema, list):
        for element in schema:
            yield from _wrong_parts(element, depth + 1)
    if not isinstance(schema, dict):
        return
    for key, value in schema.items():
        if key in _REFERENCES and isinstance(value, str) and not value.startswith("#"):
            yield f"{key} {value!r} leads out of the file; put what it means under `$defs`"
        for pattern in _regular_expressions(key, value):
            wrong = patterns.plain_problem(pattern)
            if wrong:
                yield wrong
        yield from _wrong_parts(value, depth + 1)
    if "unevaluatedProperties" in schema and _uses(schema, "patternProperties"):
        yield "`unevaluatedProperties` beside `patternProperties`; use `additionalProperties`"


def _regular_expressions(key: str, value: Any) -> tuple[str, ...]:
    if key == "pattern" and isinstance(value, str):
        return (value,)
    if key == "patternProperties" and isinstance(value, dict):
        return tuple(value)
    return ()


def _uses(schema: Any, key: str) -> bool:
    return key in schema or any(key in part for part in _parts(schema, schema))


def _unlike_its_dialect(schema: Any) -> str | None:
    """What the dialect of a schema says against it, references to what it does not have, and such
    to itself without end.
    """
    from jsonschema.exceptions import SchemaError

    try:
        _dialect(schema).check_schema(schema)
        unresolved = next(_unresolved(schema), None)
        if unresolved is None:
            instances: tuple[Any, ...] = (None, {}, [])
            for instance in instances:
                _errors(schema, instance)
    except SchemaError as error:
        return f"{error.json_path}: {error.message[:200]}"
    except RecursionError:
        return "it refers to itself without end, or is nested too deeply"
    except ProbeRefused as refused:
        return str(refused)
    return unresolved


def _unresolved(schema: Any) -> Iterator[str]:
    """The references of a schema that lead to nothing. Where a part has a name of its own, they
    depend on it, and are only found out later.
    """
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    if not isinstance(schema, dict) or any("$id" in part for part in _parts(schema, schema)):
        return
    resource = DRAFT202012.create_resource({**schema, "$id": ""})
    resolver = Registry().with_resource("", resource).crawl().resolver("")
    for part in (schema, *_parts(schema, schema)):
        reference = part.get("$ref")
        if isinstance(reference, str):
            try:
                resolver.lookup(reference)
            except Unresolvable:
                yield f"$ref {reference!r} leads to nothing"


def _parts(root: Any, part: Any) -> Iterator[dict[str, Any]]:
    """All tables in a schema, but for itself."""
    if isinstance(part, dict):
        if part is not root:
            yield part
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from _parts(root, inner)


def _errors(schema: Any, content: Any) -> list[Any]:
    """The first errors. Raises ProbeRefused where a reference leads to nothing, or it takes too
    long; RecursionError.
    """
    from referencing.exceptions import Unresolvable

    validator = _validator(schema, monotonic() + SECONDS)
    try:
        return list(islice(validator.iter_errors(content), MOST_SHOWN + 1))
    except OverflowError:
        raise ProbeRefused("the answer has a number that is too large for its schema") from None
    except _TooLong:
        reason = f"the schema takes longer than {SECONDS:g} s on this answer"
        raise ProbeRefused(reason, "simplify the schema") from None
    except Unresolvable as error:
        raise ProbeRefused(f"the schema refers to nothing: {error.ref!r}") from None


def _dialect(schema: Any) -> Any:
    """The validator of a schema's own `$schema`, else of draft 2020-12."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for

    return validator_for(schema, default=Draft202012Validator)


def _validator(schema: Any, until: float) -> Any:
    from jsonschema.validators import extend
    from referencing import Registry

    dialect = _dialect(schema)
    keywords: dict[str, Keyword] = {**dialect.VALIDATORS, **_own_keywords(dialect.VALIDATORS)}
    for name in keywords.keys() & {"unevaluatedItems", "unevaluatedProperties"}:
        keywords[name] = _of_few(name, keywords[name])
    timed = {name: _timed(keyword, until) for name, keyword in keywords.items()}
    # An empty registry of one's own: the default would fetch what `$ref` names.
    timed_dialect: Any = extend(dialect, timed)  # type: ignore[no-untyped-call]
    return timed_dialect(schema, registry=Registry())


def _timed(keyword: Keyword, until: float) -> Keyword:
    def run(validator: Any, value: Any, instance: Any, schema: Any) -> "Iterator[Any] | None":
        if monotonic() > until:
            raise _TooLong
        return keyword(validator, value, instance, schema)

    return run


def _of_few(name: str, keyword: Keyword) -> Keyword:
    def run(validator: Any, value: Any, instance: Any, schema: Any) -> "Iterator[Any] | None":
        if isinstance(instance, (dict, list)) and len(instance) > MOST_UNEVALUATED:
            reason = f"the answer has more than {MOST_UNEVALUATED:,} keys or items for `{name}`"
            raise ProbeRefused(reason, "simplify the schema")
        return keyword(validator, value, instance, schema)

    return run


def _own_keywords(keywords: Mapping[str, Keyword]) -> dict[str, Keyword]:
    own: dict[str, Keyword] = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
    }
    return {name: keyword for name, keyword in own.items() if name in keywords}


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if isinstance(instance, str) and not patterns.is_match(pattern, instance):
        yield ValidationError("it does not match")


def _pattern_properties(
    validator: Any, properties: Mapping[str, Any], instance: Any, schema: Any
) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    for pattern, inner in properties.items():
        for key, value in instance.items():
            if patterns.is_match(pattern, key):
                yield from validator.descend(value, inner, path=key, schema_path=pattern)


def _additional_properties(
    validator: Any, additional: Any, instance: Any, schema: Mapping[str, Any]
) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not isinstance(instance, dict):
        return
    known = schema.get("properties", {})
    expressions = tuple(schema.get("patternProperties", {}))
    for key, value in instance.items():
        if key in known or any(patterns.is_match(pattern, key) for pattern in expressions):
            continue
        if isinstance(additional, dict):
            yield from validator.descend(value, additional, path=key)
        elif not additional:
            yield ValidationError("it has more keys", path=(key,))


def _unique_items(validator: Any, unique: Any, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not unique or not isinstance(instance, list):
        return
    texts = {json.dumps(_with_whole_numbers(item), sort_keys=True) for item in instance}
    if len(texts) < len(instance):
        yield ValidationError("an item is there twice")


def _with_whole_numbers(value: Any) -> Any:
    """A value whose equal numbers look equal: `1.0` is `1` in JSON Schema."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_with_whole_numbers(element) for element in value]
    if isinstance(value, dict):
        return {key: _with_whole_numbers(inner) for key, inner in value.items()}
    return value
