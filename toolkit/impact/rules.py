"""rules.toml becomes rules, or a list of everything that is wrong with it: each with its line, the key, and what was expected."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import Meta, Struct

from toolkit.errors import Problem, RulesError
from toolkit.impact import toml
from toolkit.impact.glob import PatternError, alternatives
from toolkit.model import CHECKS, STATUSES, Accept, Environment, Rule, Rules, Target

MOST_RULES = 2000
MOST_TARGETS = 1000
MOST_PROBLEMS = 20

MOST_WRITTEN = 1_000_000
"""The most characters of all patterns with their braces written out, a short one counting as SHORTEST."""
SHORTEST = 32

MOST_COMPARED = 500
LONGEST_COMPARED = 40
"""How many words, and how long ones, are looked at for the nearest one."""

NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*"
DURATION = r"(?:\d+h)?(?:\d+m)?(?:\d+s)?"

COMMON = ("kind", "needs", "estimate", "deadline")
"""The keys of every target, whatever its kind."""

VARIABLES = frozenset(("commit", "version"))
"""The variables that stand for what is deployed, in every environment."""

_NAME = re.compile(NAME)
_DURATION = re.compile(r"(?:(\d{1,3})h)?(?:(\d{1,4})m)?(?:(\d{1,5})s)?")
_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_CREDENTIAL = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|hooks\.slack\.com/services/|api\.render\.com/deploy/|-----BEGIN [A-Z ]*PRIVATE KEY"
)
_CREDENTIAL_MARKS = ("AKIA", "ASIA", "hooks.slack.com", "api.render.com", "PRIVATE KEY")

Account = Annotated[str, Meta(pattern=r"^[0-9]{12}$", description="The twelve digits of an AWS account, in quotes.")]
Store = Annotated[
    str,
    Meta(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[A-Za-z0-9_.-]+)*/?$", description="A bucket, as `s3://bucket/prefix`."),
]
Pattern = Annotated[str, Meta(min_length=1, max_length=1024)]


class Kind(Protocol):
    """What this stage needs to know of a kind (targets/base.py has all of it)."""

    action: str
    estimate_s: int
    deadline_s: int
    Settings: Any

    def problem(self, settings: Any) -> str | None: ...
    def members(self, settings: Any) -> tuple[str, ...]: ...


class EnvironmentTable(Struct, frozen=True, forbid_unknown_fields=True):
    """Where targets live."""

    account: Annotated[Account | None, Meta(description="The AWS account.")] = None
    regions: Annotated[tuple[str, ...], Meta(description="AWS regions, the first one first.")] = ()
    profile: Annotated[str | None, Meta(description="The AWS profile to use.")] = None
    protected: Annotated[bool, Meta(description="Ask for the environment's name before anything is changed.")] = False
    store: Annotated[
        Store | None, Meta(description="`s3://bucket/prefix` where locks and the record of what is live are shared; local if not given.")
    ] = None
    vars: Annotated[dict[str, str], Meta(description="What `{name}` in a target's settings stands for.")] = {}


class RuleTable(Struct, frozen=True, forbid_unknown_fields=True):
    """A named set of path patterns, and what a match calls for."""

    name: Annotated[str, Meta(min_length=1, max_length=100, description="Shown as the reason of a deploy.")]
    paths: Annotated[tuple[Pattern, ...], Meta(min_length=1, description="Patterns from the root; `!` excludes, in any order.")]
    deploy: Annotated[tuple[str, ...], Meta(description="The targets that a match makes due.")] = ()
    run: Annotated[tuple[str, ...], Meta(description="The checks to run where nothing is to be deployed.")] = ()
    changes: Annotated[tuple[str, ...], Meta(description="Only count changes of these statuses.")] = ()


class AcceptTable(Struct, frozen=True, forbid_unknown_fields=True):
    """Something that `toolkit doctor` shall not warn about."""

    path: Annotated[Pattern, Meta(description="A pattern of the paths that need no rule.")]
    reason: Annotated[str, Meta(min_length=1, description="Why they need none.")]


class FileTable(Struct, frozen=True, forbid_unknown_fields=True):
    """What rules.toml holds at its top."""

    version: Annotated[int, Meta(ge=1, le=1, description="The version of this format.")]
    project: Annotated[str | None, Meta(description="The project's name.")] = None
    environment: Annotated[str | None, Meta(description="The environment that is meant when none is named.")] = None
    ignore: Annotated[tuple[Pattern, ...], Meta(description="A change here never calls for anything.")] = ()
    unmatched: Annotated[
        str, Meta(description="What to do about a path that no rule matches: `warn`, `fail`, or the target to deploy then.")
    ] = "warn"
    environments: Annotated[dict[str, Any], Meta(description="Where targets live, by name.")] = {}
    targets: Annotated[dict[str, Any], Meta(max_length=MOST_TARGETS, description="What is deployed, by name.")] = {}
    rules: Annotated[tuple[Any, ...], Meta(max_length=MOST_RULES, description="Which paths call for what.")] = ()
    accept: Annotated[tuple[AcceptTable, ...], Meta(description="What `toolkit doctor` shall not warn about.")] = ()


def load(data: bytes, file: str, kinds: Mapping[str, Kind] | Callable[[str], Kind], known: tuple[str, ...]) -> Rules:
    """The rules of one file. `kinds(name)` gives a kind for each of the names in `known`. Raises RulesError with every problem."""
    try:
        text, tables = toml.parse(data)
    except toml.TomlError as error:
        raise RulesError(file, [Problem(error.line, "", str(error))]) from None
    loader = _Loader(text, file, kinds if callable(kinds) else kinds.__getitem__, known)
    try:
        rules = loader.load(tables)
    except _TooMany:
        rules = None
    if rules is None or loader.problems:
        raise RulesError(file, loader.problems)
    return rules


def seconds(duration: str) -> int | None:
    """`2m30s` in seconds, None if it is no duration."""
    found = _DURATION.fullmatch(duration)
    if not found or not duration:
        return None
    hours, minutes, rest = (int(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + rest


class _TooMany(Exception):
    """There are more problems than anybody reads at once, and finding the nearest word for each takes time."""


class _Loader:
    """Collects problems while it turns tables into the model."""

    def __init__(self, text: str, file: str, kinds: Callable[[str], Kind], known: tuple[str, ...]) -> None:
        self.text, self.file, self.kinds, self.known = text, file, kinds, known
        self.problems: list[Problem] = []
        self._written = 0
        self._lines: toml.Lines | None = None

    def load(self, tables: dict[str, Any]) -> Rules | None:
        self._refuse_credentials()
        top = self._convert(tables, FileTable)
        if top is None:
            return None
        environments = dict(self._environments(top.environments))
        targets = dict(self._targets(top.targets))
        rules = tuple(self._rules(top.rules))
        accept = tuple(Accept(one.path, one.reason) for one in top.accept)
        loaded = Rules(
            file=self.file, text=self.text, project=top.project, environment=top.environment, environments=environments,
            ignore=top.ignore, unmatched=top.unmatched, targets=targets, rules=rules, accept=accept,
        )  # fmt: skip
        self._check_patterns(loaded)
        self._check_names(loaded, tables)
        if not self.problems:
            self._check_cycles(targets)
            self._check_variables(loaded)
            self._check_covering(loaded)
        return loaded

    def _wrong(self, message: str, *keys: str | int) -> None:
        if self._lines is None:
            self._lines = toml.Lines(self.text)
        self.problems.append(Problem(self._lines.of(*keys), _dotted(keys), message))
        if len(self.problems) == MOST_PROBLEMS:
            raise _TooMany

    def _refuse_credentials(self) -> None:
        found = _CREDENTIAL.search(self.text) if any(mark in self.text for mark in _CREDENTIAL_MARKS) else None
        if found:
            line = self.text.count("\n", 0, found.start()) + 1
            message = "this looks like a credential; keep it in the environment or in a secret store"
            self.problems.append(Problem(line, "", message))

    def _convert(self, table: object, into: type[Any], *keys: str | int) -> Any:
        """The table as a struct, None (and a problem) if it does not fit."""
        try:
            return msgspec.convert(table, into)
        except msgspec.ValidationError as error:
            path, message = _explain(str(error), table, into)
            self._wrong(message, *keys, *path)
            return None

    def _environments(self, tables: Mapping[str, object]) -> Iterator[tuple[str, Environment]]:
        for name, table in tables.items():
            one = self._named(name, table, EnvironmentTable, "environments")
            if one:
                yield name, Environment(name, one.account, one.regions, one.profile, one.protected, one.vars, one.store)

    def _named(self, name: str, table: object, into: type[Any], section: str) -> Any:
        if not _NAME.fullmatch(name):
            self._wrong("a name is made of letters, digits, `_`, `-` and `.`, with `/` between parts", section, name)
            return None
        return self._convert(table, into, section, name)

    def _targets(self, tables: Mapping[str, object]) -> Iterator[tuple[str, Target]]:
        for name, table in tables.items():
            target = self._target(name, table)
            if target:
                yield name, target

    def _target(self, name: str, table: object) -> Target | None:
        if not isinstance(table, dict):
            self._wrong(f"expected a table, got {_type(table)}", "targets", name)
            return None
        kind_name = table.get("kind")
        if kind_name not in self.known:
            said = "its `kind` is missing" if kind_name is None else f"{kind_name!r} is no kind"
            nearest = _nearest(str(kind_name), self.known)
            self._wrong(f"{said}; {nearest or 'there are ' + _words(self.known)}", "targets", name, *(["kind"] if kind_name else []))
            return None
        kind = self.kinds(kind_name)
        own = {key: value for key, value in table.items() if key not in COMMON}
        settings = self._named(name, own, kind.Settings, "targets")
        if settings is None:
            return None
        problem = kind.problem(settings)
        if problem:
            self._wrong(problem, "targets", name)
        return Target(
            name, kind_name, settings, kind.action, self._duration(name, table, "estimate", kind.estimate_s), self._needs(name, table),
            kind.members(settings), self._duration(name, table, "deadline", kind.deadline_s),
        )  # fmt: skip

    def _duration(self, name: str, table: dict[str, Any], key: str, default: int) -> int:
        given = table.get(key)
        if given is None:
            return default
        found = seconds(given) if isinstance(given, str) else None
        if found is None:
            self._wrong('expected a duration such as "2m30s"', "targets", name, key)
        return found or 0

    def _needs(self, name: str, table: dict[str, Any]) -> tuple[str, ...]:
        found = self._convert(table.get("needs", ()), tuple[str, ...], "targets", name, "needs")
        return found or ()

    def _rules(self, tables: tuple[object, ...]) -> Iterator[Rule]:
        seen: dict[str, int] = {}
        for index, table in enumerate(tables):
            one = self._convert(table, RuleTable, "rules", index)
            if one is None:
                continue
            if not (one.deploy or one.run):
                self._wrong("it calls for nothing; give it `deploy` or `run`, or move its paths to `ignore`", "rules", index)
            if seen.setdefault(one.name, index) != index:
                self._wrong(f"there is another rule named {one.name!r}", "rules", index, "name")
            yield Rule(one.name, one.paths, one.deploy, one.run, one.changes)

    def _check_patterns(self, loaded: Rules) -> None:
        self._check_list(loaded.ignore, "ignore")
        for index, rule in enumerate(loaded.rules):
            self._check_list(rule.paths, "rules", index, "paths")
        for index, one in enumerate(loaded.accept):
            self._check_pattern(one.path, "accept", index, "path")

    def _check_list(self, patterns: tuple[str, ...], *keys: str | int) -> None:
        for index, pattern in enumerate(patterns):
            self._check_pattern(pattern, *keys, index)

    def _check_pattern(self, pattern: str, *keys: str | int) -> None:
        try:
            self._written += len(alternatives(pattern.removeprefix("!"))) * max(len(pattern), SHORTEST)
        except PatternError as error:
            self._wrong(f"the pattern {pattern!r} cannot be used: {error}", *keys)
        if self._written > MOST_WRITTEN:
            self._wrong(f"up to here all patterns, with their braces written out, have more than {MOST_WRITTEN:,} characters", *keys)
            raise _TooMany

    def _check_names(self, loaded: Rules, tables: dict[str, Any]) -> None:
        """Dangling names. A target that is there but broken counts: its own problem has been told."""
        targets = tuple(tables.get("targets", {}))
        if loaded.environment is not None and loaded.environment not in tables.get("environments", {}):
            self._unknown(loaded.environment, tuple(loaded.environments), "environment", "environment")
        if loaded.unmatched not in ("warn", "fail", *targets):
            self._unknown(loaded.unmatched, ("warn", "fail", *targets), "policy or target", "unmatched")
        for name, target in loaded.targets.items():
            for key, others in (("needs", target.needs), ("members", target.members)):
                for index, other in enumerate(others):
                    self._known(other, targets, "target", "targets", name, key, index)
        for index, rule in enumerate(loaded.rules):
            for at, name in enumerate(rule.deploy):
                self._known(name, targets, "target", "rules", index, "deploy", at)
            for at, check in enumerate(rule.run):
                self._known(check, CHECKS, "check", "rules", index, "run", at)
            for at, status in enumerate(rule.changes):
                self._known(status, STATUSES, "status", "rules", index, "changes", at)

    def _known(self, word: str, words: tuple[str, ...], what: str, *keys: str | int) -> None:
        if word not in words:
            self._unknown(word, words, what, *keys)

    def _unknown(self, word: str, words: tuple[str, ...], what: str, *keys: str | int) -> None:
        there = f"there are {_words(words)}" if words else "there is none"
        self._wrong(f"{word!r} is no {what}; {_nearest(word, words) or there}", *keys)

    def _check_cycles(self, targets: Mapping[str, Target]) -> None:
        cycle = _cycle(targets)
        if cycle:
            self._wrong(f"the targets need each other in a circle: {' -> '.join(cycle)}", "targets", cycle[0])

    def _check_covering(self, loaded: Rules) -> None:
        """A rule that deploys a group and a part of it would be narrowed to the part: surely not what was meant."""
        covered = {name: _inside(name, loaded.targets) for name, target in loaded.targets.items() if target.members}
        for index, rule in enumerate(loaded.rules):
            for name in sorted(covered.keys() & set(rule.deploy)):
                part = min(covered[name].intersection(rule.deploy), default=None)
                if part:
                    message = f"{name!r} covers {part!r} already; name only one of them"
                    self._wrong(message, "rules", index, "deploy", rule.deploy.index(name))

    def _check_variables(self, loaded: Rules) -> None:
        """Every `{name}` in a setting must stand for something in every environment."""
        if not loaded.environments:
            return
        for name, target in loaded.targets.items():
            wanted = set(_VARIABLE.findall(repr(target.settings))) - VARIABLES if "{" in repr(target.settings) else set()
            for variable in sorted(wanted):
                for environment in loaded.environments.values():
                    if variable not in environment.vars:
                        nearest = _nearest(variable, tuple(environment.vars))
                        message = f"`{{{variable}}}` is no variable of environment {environment.name!r}; "
                        self._wrong(message + (nearest or f"add it to [environments.{environment.name}] vars"), "targets", name)


def _inside(name: str, targets: Mapping[str, Target]) -> set[str]:
    """Everything that a group covers, at any depth."""
    found, waiting = set[str](), [*targets[name].members]
    while waiting:
        member = waiting.pop()
        if member not in found:
            found.add(member)
            waiting += targets[member].members
    return found


def _cycle(targets: Mapping[str, Target]) -> list[str] | None:
    """Targets that need each other in a circle. A group is done when its members are, which start when its own needs are done."""
    from graphlib import CycleError, TopologicalSorter

    waits: dict[str, set[str]] = {}
    for name, target in targets.items():
        waits.setdefault(f"{name} starts", set()).update(f"{need} is done" for need in target.needs)
        waits.setdefault(f"{name} is done", set()).add(f"{name} starts")
        for member in target.members:
            waits.setdefault(f"{member} starts", set()).add(f"{name} starts")
            waits[f"{name} is done"].add(f"{member} is done")
    try:
        TopologicalSorter({node: sorted(others) for node, others in waits.items()}).prepare()
    except CycleError as error:
        names = [node.rsplit(" ", 2 if node.endswith("is done") else 1)[0] for node in reversed(error.args[1])]
        circle = [name for at, name in enumerate(names) if at == 0 or name != names[at - 1]]
        return circle if len(circle) > 1 else circle * 2
    return None


def _explain(message: str, table: object, into: type[Any]) -> tuple[list[str | int], str]:
    """msgspec's words in ours: the path of the value below the table, and what was expected, with the nearest valid key."""
    path = [int(index) if index else key for key, index in re.findall(r"\.(\w+)|\[(\d+)\]", message.partition(" - at `")[2])]
    said = message.partition(" - at `")[0]
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", said, re.DOTALL)
    if unknown:
        words = tuple(_fields(into, path))
        return [*path, unknown[1]], f"unknown key; {_nearest(unknown[1], words) or 'there are ' + _words(words)}"
    missing = re.fullmatch(r"Object missing required field `(.*)`", said)
    if missing:
        return path, f"`{missing[1]}` is missing"
    if " matching regex " in said:
        described = _described(into, path)
        return path, f"expected {described[:1].lower()}{described[1:].rstrip('.')}"
    for ours, theirs in (("an array", "array"), ("a table", "object"), ("text", "str"), ("a number", "int"), ("true or false", "bool")):
        said = re.sub(rf"`{theirs}(?: \| null)?`", ours, said)
    return path, said[:1].lower() + said[1:]


def _fields(into: type[Any], path: list[str | int]) -> Iterator[str]:
    """The keys of the struct that stands at a path below another one."""
    for part in _parts(_hint(into, path)):
        if hasattr(part, "__struct_fields__"):
            yield from part.__struct_fields__
            if part.__name__ == "Settings":
                yield from COMMON


def _described(into: type[Any], path: list[str | int]) -> str:
    """In words, what the pattern of the text at a path wants."""
    metas = [part for part in _parts(_hint(into, path)) if isinstance(part, Meta) and part.pattern]
    return next((meta.description for meta in metas if meta.description), "something else")


def _hint(into: Any, path: list[str | int]) -> Any:
    """The annotation of the value that stands at a path below a struct."""
    from typing import get_type_hints

    for key in path:
        struct = next((part for part in _parts(into) if hasattr(part, "__struct_fields__")), None)
        if isinstance(key, str) and struct is not None:
            into = get_type_hints(struct, include_extras=True).get(key, into)
    return into


def _parts(hint: Any) -> Iterator[Any]:
    """An annotation and everything inside it."""
    from typing import get_args

    yield hint
    for part in (*get_args(hint), *getattr(hint, "__metadata__", ())):
        yield from _parts(part)


def _nearest(word: str, words: tuple[str, ...]) -> str:
    from difflib import get_close_matches

    if len(word) > LONGEST_COMPARED or len(words) > MOST_COMPARED:
        return ""
    close = get_close_matches(word.lower(), [one.lower() for one in words if len(one) <= LONGEST_COMPARED], 1, 0.6)
    return next((f"did you mean {one!r}?" for one in words if close and one.lower() == close[0]), "")


def _words(words: tuple[str, ...]) -> str:
    shown = ", ".join(words[:8])
    return f"{shown} and {len(words) - 8} more" if len(words) > 8 else shown


def _type(value: object) -> str:
    return {str: "text", int: "a number", bool: "true or false", list: "an array", dict: "a table"}.get(type(value), type(value).__name__)


def _dotted(keys: tuple[str | int, ...]) -> str:
    """`rules[3].paths[0]` for ("rules", 3, "paths", 0)."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")
