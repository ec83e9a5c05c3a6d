"""`[checks]` and `[secrets]` become checks, or problems. Loaded only where a rules.toml, or a file
that it includes, has any.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Protocol

from msgspec import Meta, Struct

from toolkit.errors import RulesError
from toolkit.impact import toml
from toolkit.impact.reading import FileReader, TooMany, listed, nearest, type_of
from toolkit.model import Check, Checks, Load, Secret

COMMON = ("tags", "needs", "always", "environments", "timeout", "retry", "load")
"""The keys of every check, whatever its sort."""
MOST_CHECKS = 500
TIMEOUT_S, COMMAND_S = 10, 300
"""How long one try may take where the file does not say: a child usually needs longer."""

Text = Annotated[str, Meta(min_length=1)]
Word = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$",
        description="A word of letters, digits, `_`, `-` and `.`.",
    ),
]


class CheckTypeSchema(Protocol):
    """What this stage needs to know of a sort (verify/base.py has all of it)."""

    Settings: Any

    def problem(self, settings: Any) -> str | None: ...
    def asks(self, settings: Any) -> str: ...
    def based(self, settings: Any) -> bool: ...


class CheckTypes(Struct, frozen=True):
    """The sorts that there are: their names, and one by its name. `names` and `misused` say which
    names stand in settings.
    """

    known: tuple[str, ...]
    sort: Callable[[str], CheckTypeSchema]
    names: Callable[[Any], frozenset[str]]
    misused: Callable[[Any], frozenset[str]]
    built_in: tuple[str, ...]


class LoadTable(Struct, frozen=True, forbid_unknown_fields=True):
    """A small load with this request (`smoke-test --load`)."""

    users: Annotated[int, Meta(ge=1, le=200, description="So many at the same time.")] = 5
    time: Annotated[str, Meta(description="How long, such as `20s`.")] = "20s"
    worse: Annotated[
        float,
        Meta(
            gt=1,
            description=(
                "From which factor on, over the last good run, p50, p95 and p99 count as worse."
            ),
        ),
    ] = 1.5
    errors: Annotated[
        float, Meta(ge=0, le=1, description="The share of failed requests that is still good.")
    ] = 0.0


class CommonTable(Struct, frozen=True):
    """What every check may have."""

    tags: Annotated[
        tuple[Word, ...],
        Meta(description="Words to choose it by: `--tag`, and `checks` of a target."),
    ] = ()
    needs: Annotated[
        tuple[str, ...],
        Meta(
            description=(
                "Checks that have to have passed before. What captured values need comes by itself."
            )
        ),
    ] = ()
    always: Annotated[
        bool,
        Meta(
            description=(
                "It cleans up: it is done as soon as its values are known, also if its `needs`"
                " failed."
            )
        ),
    ] = False
    environments: Annotated[tuple[str, ...], Meta(description="Only in these environments.")] = ()
    timeout: Annotated[
        str | None,
        Meta(description="How long one try may take: `10s`, for a command `5m`, if not given."),
    ] = None
    retry: Annotated[
        str | None, Meta(description="For how long it is tried again until it passes.")
    ] = None
    load: Annotated[
        LoadTable | None, Meta(description="A small load with this request, for `--load`.")
    ] = None


class SecretTable(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a secret comes from. Its value is never shown; `{name}` stands for it in checks."""

    env: Annotated[Text | None, Meta(description="A variable of the environment.")] = None
    ssm: Annotated[Text | None, Meta(description="A parameter of the Parameter Store.")] = None
    secret: Annotated[Text | None, Meta(description="A secret of Secrets Manager.")] = None
    key: Annotated[Text | None, Meta(description="The key in the secret's JSON.")] = None


class ChecksFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What an included file may hold."""

    checks: dict[str, Any] = {}
    secrets: dict[str, Any] = {}


def load_file(data: bytes, file: str, sorts: CheckTypes) -> Checks:
    """The checks of an included file. Raises RulesError with every problem."""
    try:
        text, tables = toml.parse(data)
    except toml.TomlError as error:
        from toolkit.errors import Problem

        raise RulesError(file, [Problem(error.line, "", str(error))]) from None
    reader = FileReader(text, file, COMMON)
    reader.refuse_credentials()
    found = Checks()
    try:
        top = reader.convert(tables, ChecksFile)
        if top is not None:
            found = read(reader, top.checks, top.secrets, sorts)
    except TooMany:
        pass
    if reader.problems:
        raise RulesError(file, reader.problems)
    return found


def read(
    reader: FileReader,
    checks: Mapping[str, object],
    secrets: Mapping[str, object],
    sorts: CheckTypes,
) -> Checks:
    """The checks and secrets of these tables; what is wrong with them is a problem of the reader's.
    Raises TooMany.
    """
    if len(checks) > MOST_CHECKS:
        reader.wrong(f"there are {len(checks)} checks; {MOST_CHECKS} are the most", "checks")
        return Checks()
    kept = {secret.name: secret for secret in _secrets(reader, secrets, sorts)}
    made = {
        check.name: check
        for name, table in checks.items()
        if (check := _check(reader, name, table, sorts)) is not None
    }
    return Checks(made, kept)


def _secrets(
    reader: FileReader, tables: Mapping[str, object], sorts: CheckTypes
) -> Iterator[Secret]:
    for name, table in tables.items():
        one = reader.named(name, table, SecretTable, "secrets")
        if one is None:
            continue
        if not name.replace("_", "a").isalnum() or name[0].isdigit():
            reader.wrong(
                "the name of a secret is made of letters, digits and `_`, for it is written"
                " `{name}`",
                "secrets",
                name,
            )
        if name in sorts.built_in:
            reader.wrong(f"every check knows `{{{name}}}` already", "secrets", name)
        if sum(location is not None for location in (one.env, one.ssm, one.secret)) != 1:
            reader.wrong("needs one of `env`, `ssm` and `secret`", "secrets", name)
        elif one.key is not None and one.secret is None:
            reader.wrong("`key` is for `secret`", "secrets", name, "key")
        words = [one.env or "", one.ssm or "", one.secret or ""]
        for word in sorted(sorts.misused(words)):
            reader.wrong(f"days cannot be added to `{{{word}}}`", "secrets", name)
        yield Secret(name, one.env, one.ssm, one.secret, one.key, sorts.names(words))


def _check(reader: FileReader, name: str, table: object, sorts: CheckTypes) -> Check | None:
    if not isinstance(table, dict):
        reader.wrong(f"expected a table, got {type_of(table)}", "checks", name)
        return None
    found = [key for key in sorts.known if key in table]
    if len(found) != 1:
        reader.wrong(_which(found, table, sorts), "checks", name)
        return None
    sort = sorts.sort(found[0])
    settings = reader.named(
        name,
        {key: value for key, value in table.items() if key not in COMMON},
        sort.Settings,
        "checks",
    )
    common = reader.convert(
        {key: table[key] for key in COMMON if key in table}, CommonTable, "checks", name
    )
    if settings is None or common is None:
        return None
    wrong = sort.problem(settings)
    if wrong:
        reader.wrong(wrong, "checks", name)
    for word in sorted(sorts.misused(settings)):
        reader.wrong(
            f"days can be added to `{{today}}` and `{{day}}`, not to `{{{word}}}`", "checks", name
        )
    if common.load is not None and found[0] != "http":
        reader.wrong("`load` is for `http`", "checks", name, "load")
    return Check(
        name=name,
        check_type=found[0],
        settings=settings,
        asks=sort.asks(settings),
        tags=common.tags,
        needs=common.needs,
        always=common.always,
        environments=common.environments,
        timeout_s=float(
            reader.duration(
                common.timeout,
                COMMAND_S if found[0] == "command" else TIMEOUT_S,
                "checks",
                name,
                "timeout",
            )
        ),
        retry_s=float(reader.duration(common.retry, 0, "checks", name, "retry")),
        captures=tuple(getattr(settings, "capture", ())),
        uses=(uses := sorts.names(settings)),
        based=sort.based(settings) or "url" in uses,
        load=_load(reader, name, common.load),
        where=f"{reader.file}:{reader.line('checks', name) or 1}",
    )


def _load(reader: FileReader, name: str, table: LoadTable | None) -> Load | None:
    if table is None:
        return None
    seconds = reader.duration(table.time, 20, "checks", name, "load")
    if not 1 <= seconds <= 600:
        reader.wrong("a load lasts from 1s to 10m", "checks", name, "load")
    return Load(table.users, seconds, table.worse, table.errors)


def _which(found: list[str], table: Mapping[str, object], sorts: CheckTypes) -> str:
    """What is wrong with a check that is of no sort, or of several."""
    if found:
        return f"a check asks one thing; it has {' and '.join(f'`{key}`' for key in found)}"
    near = next(
        (word for key in table if key not in COMMON and (word := nearest(key, sorts.known))), ""
    )
    return f"it asks nothing; {near or 'give it one of ' + listed(sorts.known)}"


def together(parts: Mapping[str, Checks]) -> Checks:
    """The checks of several files as one. Raises RulesError for a name that two of them have."""
    from toolkit.errors import Problem

    checks: dict[str, Check] = {}
    secrets: dict[str, Secret] = {}
    for file, part in parts.items():
        for name, check in part.checks.items():
            if name in checks:
                raise RulesError(
                    file,
                    [
                        Problem(
                            _line(check.where),
                            f"checks.{name}",
                            f"it is in {checks[name].where}, too",
                        )
                    ],
                )
            checks[name] = check
        for name, secret in part.secrets.items():
            if secrets.setdefault(name, secret) != secret:
                raise RulesError(
                    file,
                    [Problem(None, f"secrets.{name}", "another file has it, too, and differently")],
                )
    return Checks(checks, secrets)


def problems(
    found: Checks, variables: Mapping[str, Mapping[str, str]], built_in: tuple[str, ...]
) -> Iterator[tuple[str, str, str]]:
    """What is wrong between the checks of all files, as file:line, key and message. `variables` are
    those of each environment.
    """
    givers: dict[str, str] = {}
    for check in found.checks.values():
        for name in check.captures:
            if (
                name in found.secrets
                or name in built_in
                or any(name in known for known in variables.values())
            ):
                yield (
                    check.where,
                    f"checks.{check.name}",
                    f"it captures `{{{name}}}`, which is a variable or a secret already",
                )
            elif name in givers:
                yield (
                    check.where,
                    f"checks.{check.name}",
                    f"it captures `{{{name}}}`, as {givers[name]!r} does already",
                )
            givers.setdefault(name, check.name)
    for check in found.checks.values():
        yield from _dangling(check, found, givers, variables, built_in)
    cycle = _cycle({name: waits(check, givers) for name, check in found.checks.items()})
    if cycle:
        first = found.checks[cycle[0]]
        yield (
            first.where,
            f"checks.{first.name}",
            f"the checks wait for each other in a cycle: {' -> '.join(cycle)}",
        )


def _dangling(
    check: Check,
    found: Checks,
    givers: Mapping[str, str],
    variables: Mapping[str, Mapping[str, str]],
    built_in: tuple[str, ...],
) -> Iterator[tuple[str, str, str]]:
    key = f"checks.{check.name}"
    names = tuple(found.checks)
    for other in check.needs:
        if other not in found.checks:
            yield (
                check.where,
                key,
                f"unknown check {other!r}; {nearest(other, names) or 'there are ' + listed(names)}",
            )
    for name in check.environments:
        if name not in variables:
            yield (
                check.where,
                key,
                (
                    f"unknown environment {name!r};"
                    f" {nearest(name, tuple(variables)) or 'there are ' + listed(tuple(variables))}"
                ),
            )
    wanted = check.environments or tuple(variables) or ("",)
    for secret in sorted(check.uses & found.secrets.keys()):
        for name in sorted(found.secrets[secret].uses):
            lacking = [one for one in wanted if name not in variables.get(one, {})]
            if lacking:
                of = f" of environment {lacking[0]!r}" if lacking[0] else ""
                near = (
                    nearest(name, tuple(variables.get(lacking[0], {})))
                    or "a secret's name can only hold variables of `vars`"
                )
                yield (
                    check.where,
                    key,
                    (
                        f"the name of secret `{{{secret}}}` holds `{{{name}}}`, which is not"
                        f" a variable{of}; {near}"
                    ),
                )
    for name in sorted(check.uses - found.secrets.keys() - givers.keys() - set(built_in)):
        lacking = [one for one in wanted if name not in variables.get(one, {})]
        if lacking:
            near = nearest(
                name, (*found.secrets, *givers, *built_in, *variables.get(lacking[0], {}))
            )
            of = f" of environment {lacking[0]!r}" if lacking[0] else ""
            hint = near or "to mean the braces themselves, write each of them twice"
            yield (
                check.where,
                key,
                f"`{{{name}}}` is not a variable{of}, secret or captured value; {hint}",
            )


def waits(check: Check, givers: Mapping[str, str]) -> frozenset[str]:
    """The checks that a check comes after: what it needs, and what gives it values."""
    return frozenset((*check.needs, *(givers[name] for name in check.uses if name in givers)))


def givers_of(checks: Mapping[str, Check]) -> dict[str, str]:
    """Captured name -> the check that gives it its value."""
    return {name: check.name for check in checks.values() for name in check.captures}


def _cycle(waiting: Mapping[str, frozenset[str]]) -> list[str] | None:
    from graphlib import CycleError, TopologicalSorter

    try:
        TopologicalSorter(
            {name: sorted(others & waiting.keys()) for name, others in waiting.items()}
        ).prepare()
    except CycleError as error:
        return [str(name) for name in error.args[1]]
    return None


def _line(where: str) -> int | None:
    number = where.rpartition(":")[2]
    return int(number) if number.isdigit() else None


def resolved(words: tuple[str, ...], found: Checks) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The checks that names and tags mean, in the file's order, and the words that mean none."""
    tags = {tag for check in found.checks.values() for tag in check.tags}
    unknown = tuple(word for word in words if word not in found.checks and word not in tags)
    wanted = set(words)
    return (
        tuple(
            name
            for name, check in found.checks.items()
            if name in wanted or wanted & set(check.tags)
        ),
        unknown,
    )
