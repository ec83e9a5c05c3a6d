"""`[checks]` and `[secrets]` become checks, or problems. Loaded only where a rules.toml, or a file
that it includes, has any.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from toolkit.config.graph import find_cycle
from toolkit.config.reader import FileReader, TooMany, list_words, nearest, type_of
from toolkit.config.rows import Row, read_rows, wrong_rows
from toolkit.config.schema import ChecksFile, CommonTable, LoadTable, SecretTable
from toolkit.errors import Problem, RulesError
from toolkit.formats import toml
from toolkit.formats.variables import DATES, dated_in_check, names_in_check
from toolkit.model import Check, Checks, CheckTypeName, FileLine, Load, Secret

COMMON = ("tags", "needs", "always", "environments", "timeout", "retry", "load", "rows")
"""The keys of every check, whatever its type."""
MOST_CHECKS = 500
MOST_FILE = 1 << 20
"""Bytes of a file that a check names."""
TIMEOUT_S, COMMAND_S = 10, 300
"""How long one try may take where the file does not say: a child usually needs longer."""


class CheckTypeSchema(Protocol):
    """What this stage needs to know of a check type (checks/base.py has all of it)."""

    Settings: Any

    def problem(self, settings: Any) -> str | None: ...
    def asks(self, settings: Any) -> str: ...
    def based(self, settings: Any) -> bool: ...
    def files(self, settings: Any) -> tuple[str, ...]: ...
    def wrong_contents(self, settings: Any, contents: Mapping[str, bytes]) -> str | None: ...


class CheckTypes(Struct, frozen=True):
    """The check types that there are: their names, and one by its name; and the variables that
    every check knows.
    """

    known: tuple[str, ...]
    by_name: Callable[[str], CheckTypeSchema]
    built_in: tuple[str, ...]


def load_file(data: bytes, file: str, check_types: CheckTypes) -> Checks:
    """The checks of an included file. Raises RulesError with every problem."""
    try:
        text, tables = toml.parse(data)
    except toml.TomlError as error:
        raise RulesError(file, [Problem(error.line, "", str(error))]) from None
    reader = FileReader(text, file)
    reader.refuse_credentials()
    checks = Checks()
    try:
        top = reader.convert(tables, ChecksFile)
        if top is not None:
            checks = read(reader, top.checks, top.secrets, check_types)
    except TooMany:
        pass
    if reader.problems:
        raise RulesError(file, reader.problems)
    return checks


def read(
    reader: FileReader,
    checks: Mapping[str, object],
    secrets: Mapping[str, object],
    check_types: CheckTypes,
) -> Checks:
    """The checks and secrets of these tables; what is wrong with them is a problem of the reader's.
    Raises TooMany.
    """
    if len(checks) > MOST_CHECKS:
        reader.add_problem(f"there are {len(checks)} checks; {MOST_CHECKS} are the most", "checks")
        return Checks()
    secrets_by_name = {secret.name: secret for secret in _secrets(reader, secrets, check_types)}
    checks_by_name: dict[str, Check] = {}
    for name, table in checks.items():
        check = _check(reader, name, table, check_types)
        if check is not None:
            checks_by_name[name] = check
    return Checks(checks_by_name, secrets_by_name)


def _secrets(
    reader: FileReader, tables: Mapping[str, object], check_types: CheckTypes
) -> Iterator[Secret]:
    for name, table in tables.items():
        secret = reader.convert_named(name, table, SecretTable, "secrets")
        if secret is None:
            continue
        if not name.replace("_", "a").isalnum() or name[0].isdigit():
            reader.add_problem(
                "the name of a secret is made of letters, digits and `_`, for it is written"
                " `{name}`",
                "secrets",
                name,
            )
        if name in check_types.built_in:
            reader.add_problem(f"every check knows `{{{name}}}` already", "secrets", name)
        locations = (secret.env, secret.ssm, secret.secret)
        if sum(location is not None for location in locations) != 1:
            reader.add_problem("needs one of `env`, `ssm` and `secret`", "secrets", name)
        elif secret.key is not None and secret.secret is None:
            reader.add_problem("`key` is for `secret`", "secrets", name, "key")
        words = [location or "" for location in locations]
        for word in sorted(dated_in_check(words).keys() - DATES):
            reader.add_problem(f"days cannot be added to `{{{word}}}`", "secrets", name)
        yield Secret(name, *locations, secret.key, names_in_check(words))


def _check(reader: FileReader, name: str, table: object, check_types: CheckTypes) -> Check | None:
    if not isinstance(table, dict):
        reader.add_problem(f"expected a table, got {type_of(table)}", "checks", name)
        return None
    # The key of a check's type says what it asks: `http = …`, `tcp = …`.
    type_names = [key for key in check_types.known if key in table]
    if len(type_names) != 1:
        reader.add_problem(_type_problem(type_names, table, check_types), "checks", name)
        return None
    type_name = type_names[0]
    check_type = check_types.by_name(type_name)
    own = {key: value for key, value in table.items() if key not in COMMON}
    settings = reader.convert_named(name, own, check_type.Settings, "checks", COMMON)
    shared = {key: table[key] for key in COMMON if key in table}
    common = reader.convert(shared, CommonTable, "checks", name)
    if settings is None or common is None:
        return None
    problem = check_type.problem(settings)
    if problem:
        reader.add_problem(problem, "checks", name)
    for word in sorted(dated_in_check(settings).keys() - DATES):
        reader.add_problem(
            f"days can be added to `{{today}}` and `{{day}}`, not to `{{{word}}}`", "checks", name
        )
    if common.load is not None and type_name != CheckTypeName.HTTP:
        reader.add_problem("`load` is for `http`", "checks", name, "load")
    rows = _rows(reader, name, common, own)
    # A child process usually needs longer than a request.
    default_timeout = COMMAND_S if type_name == CheckTypeName.COMMAND else TIMEOUT_S
    timeout = reader.duration(common.timeout, default_timeout, "checks", name, "timeout")
    uses = names_in_check(settings)
    return Check(
        name=name,
        check_type=CheckTypeName(type_name),
        settings=settings,
        asks=check_type.asks(settings),
        tags=common.tags,
        needs=common.needs,
        always=common.always,
        environments=common.environments,
        timeout_s=float(timeout),
        retry_s=float(reader.duration(common.retry, 0, "checks", name, "retry")),
        captures=tuple(own.get("capture", ())),
        files=(*check_type.files(settings), *([rows] if isinstance(rows, str) else [])),
        rows=rows if isinstance(rows, tuple) else (),
        uses=uses,
        based=check_type.based(settings) or "url" in uses,
        has_data=isinstance(rows, str),
        load=_load(reader, name, common.load),
        where=FileLine(reader.file, reader.line("checks", name) or 1),
    )


def _rows(
    reader: FileReader, name: str, common: CommonTable, own: Mapping[str, object]
) -> tuple[Row, ...] | str:
    """The rows of a check, or the name of the file that has them."""
    if common.rows is None:
        return ()
    for key in ("capture", "load"):
        if key in own or (key == "load" and common.load is not None):
            message = f"`{key}` is for a check without `rows`"
            reader.add_problem(message, "checks", name, key)
    problem = wrong_rows(common.rows)
    if problem:
        reader.add_problem(problem, "checks", name, "rows")
        return ()
    if isinstance(common.rows, str):
        return common.rows
    rows: tuple[Row, ...] = tuple(msgspec.to_builtins(row) for row in common.rows)
    return rows


def file_names(checks: Checks) -> tuple[str, ...]:
    """The files that checks name, each once."""
    names: dict[str, None] = {}
    for check in checks.checks.values():
        names |= dict.fromkeys(check.files)
    return tuple(names)


def with_contents(
    checks: Checks, contents: Mapping[str, bytes], check_types: CheckTypes, file: str
) -> Checks:
    """These checks with what the files hold that they name, and with the rows of their data.
    Raises RulesError, for `file`, with what is wrong with these.
    """
    by_name: dict[str, Check] = {}
    problems: list[Problem] = []
    for name, check in checks.checks.items():
        if check.files:
            held = {path: contents[path] for path in check.files}
            wrong = check_types.by_name(check.check_type).wrong_contents(check.settings, held)
            try:
                check = _with_rows(replace(check, contents=held))
            except ValueError as error:
                wrong = wrong or str(error)
            if wrong:
                problems.append(_problem(check, wrong))
        by_name[name] = check
    if problems:
        raise RulesError(file, problems)
    return Checks(by_name, checks.secrets)


def _with_rows(check: Check) -> Check:
    """With the rows of its data file, which is the last of its files. Raises ValueError."""
    if not check.has_data:
        return check
    name = check.files[-1]
    return replace(check, rows=read_rows(name, check.contents[name]))


def _load(reader: FileReader, name: str, table: LoadTable | None) -> Load | None:
    if table is None:
        return None
    seconds = reader.duration(table.time, 20, "checks", name, "load")
    if not 1 <= seconds <= 600:
        reader.add_problem("a load lasts from 1s to 10m", "checks", name, "load")
    return Load(table.users, seconds, table.worse, table.errors)


def _type_problem(
    type_names: list[str], table: Mapping[str, object], check_types: CheckTypes
) -> str:
    """What is wrong with a check that is of no type, or of several."""
    if type_names:
        keys = " and ".join(f"`{key}`" for key in type_names)
        return f"a check asks one thing; it has {keys}"
    for key in table:
        suggestion = ""
        if key not in COMMON:
            suggestion = nearest(key, check_types.known)
        if suggestion:
            return f"it asks nothing; {suggestion}"
    return f"it asks nothing; give it one of {list_words(check_types.known)}"


def merge_checks(parts: Mapping[str, Checks]) -> Checks:
    """The checks of several files as one. Raises RulesError for a name that two of them have."""
    checks: dict[str, Check] = {}
    secrets: dict[str, Secret] = {}
    for file, part in parts.items():
        for name, check in part.checks.items():
            if name in checks:
                message = f"it is in {checks[name].where}, too"
                raise RulesError(file, [Problem(check.where.line, f"checks.{name}", message)])
            checks[name] = check
        for name, secret in part.secrets.items():
            if secrets.setdefault(name, secret) != secret:
                message = "another file has it, too, and differently"
                raise RulesError(file, [Problem(None, f"secrets.{name}", message)])
    return Checks(checks, secrets)


def find_problems(
    checks: Checks, variables: Mapping[str, Mapping[str, str]], built_in: tuple[str, ...]
) -> Iterator[Problem]:
    """What is wrong between the checks of all files. `variables` are those of each environment."""
    capturing: dict[str, str] = {}
    reserved = {*checks.secrets, *built_in}.union(*variables.values())
    for check in checks.checks.values():
        for name in check.captures:
            message = ""
            if name in reserved:
                message = f"it captures `{{{name}}}`, which is a variable or a secret already"
            elif name in capturing:
                message = f"it captures `{{{name}}}`, as {capturing[name]!r} does already"
            if message:
                yield _problem(check, message)
            capturing.setdefault(name, check.name)
    yield from _rows_that_clash(checks, {*reserved, *capturing})
    names = _Names(checks, variables, (*checks.secrets, *capturing, *built_in))
    for check in checks.checks.values():
        for message in (
            *_dangling_names(check, checks, variables),
            *names.in_secrets(check),
            *names.in_check(check),
        ):
            yield _problem(check, message)
    waits = {
        name: sorted(predecessors(check, capturing) & checks.checks.keys())
        for name, check in checks.checks.items()
    }
    cycle = find_cycle(waits)
    if cycle:
        first = checks.checks[cycle[0]]
        message = f"the checks wait for each other in a cycle: {' -> '.join(cycle)}"
        yield _problem(first, message)


def _rows_that_clash(checks: Checks, names: set[str]) -> Iterator[Problem]:
    """Rows with a name that stands for something else."""
    for check in checks.checks.values():
        for name in sorted(set[str]().union(*check.rows) & names):
            yield _problem(check, f"its rows have `{name}`, which stands for something already")


def find_missing_checks(checks: Checks, environments: Collection[str]) -> Iterator[Problem]:
    """Checks that wait for one that does not run in an environment that they run in: there neither
    its values are known nor can it pass.
    """
    capturing = capturing_checks(checks.checks)
    for check in checks.checks.values():
        if check.always:
            check = replace(check, needs=())
        for name in sorted(predecessors(check, capturing) & checks.checks.keys()):
            only = checks.checks[name].environments
            for environment in check.environments or environments:
                if only and environment not in only:
                    message = f"it waits for {name!r}, which is not for environment {environment!r}"
                    yield _problem(check, f"{message}; give both the same `environments`")
                    break


def _dangling_names(
    check: Check, checks: Checks, variables: Mapping[str, Mapping[str, str]]
) -> Iterator[str]:
    """Checks and environments that do not exist."""
    names = tuple(checks.checks)
    for needed in check.needs:
        if needed not in names:
            hint = nearest(needed, names) or f"there are {list_words(names)}"
            yield f"unknown check {needed!r}; {hint}"
    environments = tuple(variables)
    for name in check.environments:
        if name not in environments:
            hint = nearest(name, environments) or f"there are {list_words(environments)}"
            yield f"unknown environment {name!r}; {hint}"


class _Names(Struct, frozen=True):
    """What `{name}` may stand for. `everywhere` are those that each environment has."""

    checks: Checks
    variables: Mapping[str, Mapping[str, str]]
    everywhere: tuple[str, ...]

    def in_secrets(self, check: Check) -> Iterator[str]:
        """Unknown variables in the names of the secrets that a check uses."""
        secrets = self.checks.secrets
        for secret in sorted(check.uses & secrets.keys()):
            for name in sorted(secrets[secret].uses):
                environment = self._environment_without(name, check)
                if environment is not None:
                    hint = (
                        nearest(name, self._variables(environment))
                        or "a secret's name can only hold variables of `vars`"
                    )
                    yield (
                        f"the name of secret `{{{secret}}}` holds `{{{name}}}`, which is not"
                        f" a variable{_of(environment)}; {hint}"
                    )

    def in_check(self, check: Check) -> Iterator[str]:
        """Unknown names in a check itself."""
        for name in sorted(check.uses - set(self.everywhere)):
            missing = [number for number, row in enumerate(check.rows, 1) if name not in row]
            if len(missing) < len(check.rows):
                if missing:
                    yield f"row {missing[0]} of its data has no `{name}`"
                continue
            environment = self._environment_without(name, check)
            if environment is not None:
                words = (*self.everywhere, *self._variables(environment))
                hint = (
                    nearest(name, words)
                    or "to mean the braces themselves, write each of them twice"
                )
                yield (
                    f"`{{{name}}}` is not a variable{_of(environment)}, secret or captured value;"
                    f" {hint}"
                )

    def _environment_without(self, name: str, check: Check) -> str | None:
        """The first of the check's environments that has no such variable."""
        for environment in check.environments or tuple(self.variables) or ("",):
            if name not in self.variables.get(environment, {}):
                return environment
        return None

    def _variables(self, environment: str) -> tuple[str, ...]:
        return tuple(self.variables.get(environment, {}))


def _of(environment: str) -> str:
    if environment:
        return f" of environment {environment!r}"
    return ""


def predecessors(check: Check, capturing: Mapping[str, str]) -> frozenset[str]:
    """The checks that a check comes after: what it needs, and what captures its values."""
    sources = {capturing[name] for name in check.uses if name in capturing}
    return frozenset(sources.union(check.needs))


def capturing_checks(checks: Mapping[str, Check]) -> dict[str, str]:
    """Captured name -> the check that captures it."""
    names: dict[str, str] = {}
    for check in checks.values():
        for name in check.captures:
            names[name] = check.name
    return names


def _problem(check: Check, message: str) -> Problem:
    return Problem(check.where.line, f"checks.{check.name}", message, check.where.file)


def resolve_words(
    words: tuple[str, ...], checks: Checks
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The checks that names and tags mean, in the file's order, and the words that mean none."""
    chosen = set(words)
    names: list[str] = []
    meanings: set[str] = set()
    for name, check in checks.checks.items():
        meanings.update((name, *check.tags))
        if name in chosen or chosen & set(check.tags):
            names.append(name)
    return tuple(names), tuple(word for word in words if word not in meanings)
