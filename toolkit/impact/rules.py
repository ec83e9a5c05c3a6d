"""rules.toml becomes rules, or a list of everything that is wrong with it: each with its line, the
key, and what was expected.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from msgspec import Meta, Struct

from toolkit.errors import Problem, RulesError
from toolkit.impact import toml
from toolkit.impact.glob import PatternError, alternatives
from toolkit.impact.reading import FileReader, TooMany, listed, nearest, type_of, wrong_base
from toolkit.model import (
    CHECKS,
    STATUSES,
    Accept,
    Backwards,
    Checks,
    Environment,
    Resource,
    Rule,
    Rules,
    Target,
)

if TYPE_CHECKING:  # most commands ask nothing of the live system
    from toolkit.impact.checks import CheckTypes

MOST_RULES = 10_000
MOST_TARGETS = 10_000
MOST_WRITTEN = 1_000_000
"""The most characters of all patterns with their braces written out, a short one counting as
SHORTEST.
"""
SHORTEST = 32
MOST_FILLED = 200_000
"""How many names of targets are filled in with the variables of all environments, to see that they
can be used and differ.
"""
MOST_PAIRS = 250_000
"""In how many ways all groups and `needs` together may connect two targets: what a plan costs."""

DURATION = r"(?:\d+h)?(?:\d+m)?(?:\d+s)?"

COMMON = ("kind", "needs", "estimate", "deadline")
"""The keys of every target, whatever its kind."""

VARIABLES = frozenset(("commit", "version"))
"""The variables that stand for what is deployed, in every environment."""
REGION = "region"
"""The variable that stands for the region, in an environment that names any."""

_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_NAMED = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*(?:\+\d+)?)\}")
"""With the days that could be added in a check, and not here."""

Account = Annotated[
    str, Meta(pattern=r"^[0-9]{12}$", description="The twelve digits of an AWS account, in quotes.")
]
Store = Annotated[
    str,
    Meta(
        pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[A-Za-z0-9_.-]+)*/?$",
        description="A bucket, as `s3://bucket/prefix`.",
    ),
]
Pattern = Annotated[str, Meta(min_length=1, max_length=1024)]
Host = Annotated[
    str,
    Meta(
        pattern=r"^(?:\*\.)?[A-Za-z0-9_{][A-Za-z0-9_.:{}-]*$",
        description="A host's name, or `*.` and the end of names.",
    ),
]
Included = Annotated[
    str,
    Meta(
        pattern=r"^(?!/)(?!.*(?:^|/)\.\.(?:/|$))[^\x00-\x1f]+\.toml$",
        description="A `.toml` file, as a path from the folder of this one.",
    ),
]


class KindSchema(Protocol):
    """What this stage needs to know of a kind (targets/base.py has all of it)."""

    action: str
    estimate_s: int
    deadline_s: int
    Settings: Any

    def problem(self, settings: Any) -> str | None: ...
    def members(self, settings: Any) -> tuple[str, ...]: ...
    def writes(self, settings: Any) -> tuple[Resource, ...]: ...


class EnvironmentTable(Struct, frozen=True, forbid_unknown_fields=True):
    """Where targets live."""

    account: Annotated[Account | None, Meta(description="The AWS account.")] = None
    regions: Annotated[tuple[str, ...], Meta(description="AWS regions, the first one first.")] = ()
    profile: Annotated[str | None, Meta(description="The AWS profile to use.")] = None
    protected: Annotated[
        bool, Meta(description="Ask for the environment's name before anything is changed.")
    ] = False
    store: Annotated[
        Store | None,
        Meta(
            description=(
                "`s3://bucket/prefix` where locks and the record of what is live are shared; local"
                " if not given."
            )
        ),
    ] = None
    vars: Annotated[
        dict[str, str],
        Meta(description="What `{name}` in the settings of targets and checks stands for."),
    ] = {}
    urls: Annotated[
        tuple[str, ...],
        Meta(
            description=(
                "The base addresses of the system, without `?` and `#`: a check of a path asks each"
                " of them."
            )
        ),
    ] = ()
    hosts: Annotated[
        tuple[Host, ...],
        Meta(
            description=(
                "The hosts that probes may ask, such as `*.example.com`; those that rules.toml"
                " names itself if not given."
            )
        ),
    ] = ()
    private: Annotated[
        bool, Meta(description="Probes may ask this machine and private networks.")
    ] = False
    rollback: Annotated[
        Literal["never", "on-failure"],
        Meta(
            description=(
                "`on-failure`: what does not pass its checks after a deploy gives way to the last"
                " good version."
            )
        ),
    ] = "never"
    backwards: Annotated[
        Literal["ask", "allow"],
        Meta(description="`allow`: what would take live commits out needs no consent of its own."),
    ] = "ask"


class RuleTable(Struct, frozen=True, forbid_unknown_fields=True):
    """A named set of path patterns, and what a match calls for."""

    name: Annotated[
        str, Meta(min_length=1, max_length=100, description="Shown as the reason of a deploy.")
    ]
    paths: Annotated[
        tuple[Pattern, ...],
        Meta(min_length=1, description="Patterns from the root; `!` excludes, in any order."),
    ]
    deploy: Annotated[tuple[str, ...], Meta(description="The targets that a match makes due.")] = ()
    run: Annotated[
        tuple[str, ...], Meta(description="The checks to run where nothing is to be deployed.")
    ] = ()
    changes: Annotated[
        tuple[str, ...], Meta(description="Only count changes of these statuses.")
    ] = ()


class AcceptTable(Struct, frozen=True, forbid_unknown_fields=True):
    """Something that `toolkit doctor` shall not warn about."""

    path: Annotated[Pattern, Meta(description="A pattern of the paths that need no rule.")]
    reason: Annotated[str, Meta(min_length=1, description="Why they need none.")]


class RulesFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What rules.toml holds at its top."""

    version: Annotated[int, Meta(ge=1, le=1, description="The version of this format.")]
    project: Annotated[
        str | None,
        Meta(
            description=(
                "The project's name. Projects that share a bucket each need a `store` prefix of"
                " their own."
            )
        ),
    ] = None
    environment: Annotated[
        str | None, Meta(description="The environment to use when none is named.")
    ] = None
    ignore: Annotated[
        tuple[Pattern, ...], Meta(description="A change here never calls for anything.")
    ] = ()
    unmatched: Annotated[
        str,
        Meta(
            description=(
                "What to do about a path that no rule matches: `warn`, `fail`, or the target to"
                " deploy then."
            )
        ),
    ] = "warn"
    environments: Annotated[dict[str, Any], Meta(description="Where targets live, by name.")] = {}
    targets: Annotated[
        dict[str, Any], Meta(max_length=MOST_TARGETS, description="What is deployed, by name.")
    ] = {}
    rules: Annotated[
        tuple[Any, ...], Meta(max_length=MOST_RULES, description="Which paths call for what.")
    ] = ()
    include: Annotated[
        tuple[Included, ...],
        Meta(
            max_length=20,
            description="Files with more `checks` and `secrets`, from the folder of this file.",
        ),
    ] = ()
    checks: Annotated[
        dict[str, Any], Meta(description="What smoke-test asks the live system, by name.")
    ] = {}
    secrets: Annotated[
        dict[str, Any], Meta(description="Where the secrets of checks come from, by name.")
    ] = {}
    accept: Annotated[
        tuple[AcceptTable, ...], Meta(description="What `toolkit doctor` shall not warn about.")
    ] = ()


def load(
    data: bytes,
    file: str,
    kinds: Mapping[str, KindSchema] | Callable[[str], KindSchema],
    known: tuple[str, ...],
    sorts: "Callable[[], CheckTypes] | None" = None,
    draft: bool = False,
) -> Rules:
    """The rules of one file. `kinds(name)` gives a kind for each of the names in `known`; `sorts`
    the sorts of checks, without which those are not read. In a draft variables may be empty still.
    Raises RulesError with every problem.
    """
    try:
        text, tables = toml.parse(data)
    except toml.TomlError as error:
        raise RulesError(file, [Problem(error.line, "", str(error))]) from None
    loader = _Loader(
        text, file, kinds if callable(kinds) else kinds.__getitem__, known, sorts, draft
    )
    try:
        rules = loader.load(tables)
    except TooMany:
        rules = None
    if rules is None or loader.problems:
        raise RulesError(file, loader.problems)
    return rules


class _Loader(FileReader):
    """Collects problems while it turns tables into the model."""

    def __init__(
        self,
        text: str,
        file: str,
        kinds: Callable[[str], KindSchema],
        known: tuple[str, ...],
        sorts: "Callable[[], CheckTypes] | None",
        draft: bool,
    ) -> None:
        super().__init__(text, file, COMMON)
        self.kinds, self._kind_names, self._sorts, self._draft = kinds, known, sorts, draft
        self._written = 0

    def load(self, tables: dict[str, Any]) -> Rules | None:
        self.refuse_credentials()
        top = self.convert(tables, RulesFile)
        if top is None:
            return None
        environments = dict(self._environments(top.environments))
        targets = dict(self._targets(top.targets))
        rules = tuple(self._rules(top.rules))
        accept = tuple(Accept(one.path, one.reason) for one in top.accept)
        loaded = Rules(
            file=self.file,
            text=self.text,
            project=top.project,
            environment=top.environment,
            environments=environments,
            ignore=top.ignore,
            unmatched=top.unmatched,
            targets=targets,
            rules=rules,
            accept=accept,
            include=top.include,
            checks=self._checks(top),
        )
        self._check_patterns(loaded)
        self._check_names(loaded, tables)
        if not self.problems:
            self._check_cycles(targets)
            self._check_size(targets)
            self._check_variables(loaded)
            self._check_covering(loaded)
        if not self.problems:
            self._check_names_in_use(loaded)
        return loaded

    def _environments(self, tables: Mapping[str, object]) -> Iterator[tuple[str, Environment]]:
        for name, table in tables.items():
            one = self.named(name, table, EnvironmentTable, "environments")
            if one:
                yield (
                    name,
                    Environment(
                        name,
                        one.account,
                        one.regions,
                        one.profile,
                        one.protected,
                        one.vars,
                        one.store,
                        one.urls,
                        one.hosts,
                        one.private,
                        one.rollback,
                        Backwards(one.backwards),
                    ),
                )

    def _checks(self, top: RulesFile) -> Checks:
        """Loaded only where there are any."""
        if self._sorts is None or not (top.checks or top.secrets):
            return Checks()
        from toolkit.impact import checks

        reader = FileReader(self.text, self.file, checks.COMMON)
        reader.problems = self.problems
        return checks.read(reader, top.checks, top.secrets, self._sorts())

    def _targets(self, tables: Mapping[str, object]) -> Iterator[tuple[str, Target]]:
        for name, table in tables.items():
            target = self._target(name, table)
            if target:
                yield name, target

    def _target(self, name: str, table: object) -> Target | None:
        if not isinstance(table, dict):
            self.wrong(f"expected a table, got {type_of(table)}", "targets", name)
            return None
        kind_name = table.get("kind")
        if kind_name not in self._kind_names:
            said = "its `kind` is missing" if kind_name is None else f"unknown kind {kind_name!r}"
            near = nearest(str(kind_name), self._kind_names)
            self.wrong(
                f"{said}; {near or 'there are ' + listed(self._kind_names)}",
                "targets",
                name,
                *(["kind"] if kind_name else []),
            )
            return None
        kind = self.kinds(kind_name)
        own = {key: value for key, value in table.items() if key not in COMMON}
        settings = self.named(name, own, kind.Settings, "targets")
        if settings is None:
            return None
        problem = kind.problem(settings)
        if problem:
            self.wrong(problem, "targets", name)
        estimate, deadline = (
            self.duration(table.get(key), default, "targets", name, key)
            for key, default in (
                ("estimate", kind.estimate_s),
                ("deadline", kind.deadline_s),
            )
        )
        return Target(
            name,
            kind_name,
            settings,
            kind.action,
            estimate,
            self._needs(name, table),
            kind.members(settings),
            deadline,
        )

    def _needs(self, name: str, table: dict[str, Any]) -> tuple[str, ...]:
        found = self.convert(table.get("needs", ()), tuple[str, ...], "targets", name, "needs")
        return found or ()

    def _rules(self, tables: tuple[object, ...]) -> Iterator[Rule]:
        seen: dict[str, int] = {}
        for index, table in enumerate(tables):
            one = self.convert(table, RuleTable, "rules", index)
            if one is None:
                continue
            if not (one.deploy or one.run):
                self.wrong(
                    "it calls for nothing; give it `deploy` or `run`, or move its paths to"
                    " `ignore`",
                    "rules",
                    index,
                )
            if seen.setdefault(one.name, index) != index:
                self.wrong(f"there is another rule named {one.name!r}", "rules", index, "name")
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
            self._written += len(alternatives(pattern.removeprefix("!"))) * max(
                len(pattern), SHORTEST
            )
        except PatternError as error:
            self.wrong(f"the pattern {pattern!r} cannot be used: {error}", *keys)
        if self._written > MOST_WRITTEN:
            self.wrong(
                "up to here all patterns, with their braces written out, have more than"
                f" {MOST_WRITTEN:,} characters",
                *keys,
            )
            raise TooMany

    def _check_names(self, loaded: Rules, tables: dict[str, Any]) -> None:
        """Dangling names. A target that is there but broken counts: its own problem has been
        told.
        """
        targets = tuple(tables.get("targets", {}))
        if loaded.environment is not None and loaded.environment not in tables.get(
            "environments", {}
        ):
            self.unknown(
                loaded.environment, tuple(loaded.environments), "environment", "environment"
            )
        if loaded.unmatched not in ("warn", "fail", *targets):
            self.unknown(
                loaded.unmatched, ("warn", "fail", *targets), "policy or target", "unmatched"
            )
        for name, target in loaded.targets.items():
            for key, others in (("needs", target.needs), ("members", target.members)):
                for index, other in enumerate(others):
                    self.known(other, targets, "target", "targets", name, key, index)
        for index, rule in enumerate(loaded.rules):
            for at, name in enumerate(rule.deploy):
                self.known(name, targets, "target", "rules", index, "deploy", at)
            for at, check in enumerate(rule.run):
                self.known(check, CHECKS, "check", "rules", index, "run", at)
            for at, status in enumerate(rule.changes):
                self.known(status, STATUSES, "status", "rules", index, "changes", at)

    def _check_cycles(self, targets: Mapping[str, Target]) -> None:
        cycle = _cycle(targets)
        if cycle:
            self.wrong(
                f"the targets need each other in a cycle: {' -> '.join(cycle)}",
                "targets",
                cycle[0],
            )

    def _check_size(self, targets: Mapping[str, Target]) -> None:
        """Groups of groups and chains of `needs` cost by what is reached through them, which a
        short text can make any number.
        """
        if self.problems:
            return
        left = MOST_PAIRS
        for key, name, reached in _reached(targets):
            left -= reached
            if left < 0:
                message = (
                    f"up to here, groups and `needs` connect targets in more than {MOST_PAIRS:,}"
                    " ways"
                )
                self.wrong(message, "targets", name, key)
                raise TooMany

    def _check_covering(self, loaded: Rules) -> None:
        """A rule that deploys a group and a part of it would be narrowed to the part: surely not
        what was meant.
        """
        covered = {
            name: _inside(name, loaded.targets)
            for name, target in loaded.targets.items()
            if target.members
        }
        for index, rule in enumerate(loaded.rules):
            for name in sorted(covered.keys() & set(rule.deploy)):
                part = min(covered[name].intersection(rule.deploy), default=None)
                if part:
                    message = f"{name!r} covers {part!r} already; name only one of them"
                    self.wrong(message, "rules", index, "deploy", rule.deploy.index(name))

    def _check_variables(self, loaded: Rules) -> None:
        """Every `{name}` in a setting must stand for something in every environment, and in what an
        environment itself says.
        """
        for environment in loaded.environments.values():
            for key, words in (("urls", environment.urls), ("hosts", environment.hosts)):
                for variable in sorted(
                    set(_NAMED.findall(" ".join(words))) - environment.vars.keys()
                ):
                    near = (
                        nearest(variable, tuple(environment.vars))
                        or f"add it to [environments.{environment.name}] vars"
                    )
                    self.wrong(
                        f"`{{{variable}}}` is not a variable; {near}",
                        "environments",
                        environment.name,
                        key,
                    )
            for index, url in enumerate(environment.urls):
                filled = url
                for variable in _NAMED.findall(url):
                    value = environment.vars.get(variable, "x")
                    filled = filled.replace(f"{{{variable}}}", value)
                wrong = wrong_base(filled)
                if wrong:
                    self.wrong(f"{url!r} {wrong}", "environments", environment.name, "urls", index)
        if not loaded.environments:
            return
        everywhere = _everywhere(loaded.environments)
        for name, target in loaded.targets.items():
            for variable in sorted(_used(target.settings) - everywhere):
                for environment in loaded.environments.values():
                    if variable not in environment.vars and not (
                        variable == REGION and environment.regions
                    ):
                        near = nearest(variable, tuple(environment.vars))
                        message = (
                            f"`{{{variable}}}` is not a variable of environment"
                            f" {environment.name!r}; "
                        )
                        self.wrong(
                            message + (near or f"add it to [environments.{environment.name}] vars"),
                            "targets",
                            name,
                        )

    def _check_names_in_use(self, loaded: Rules) -> None:
        """What only shows when variables are filled in: names that are empty, or have a hole; two
        targets that change the same thing.
        """
        from toolkit.impact import filling

        left = MOST_FILLED
        holes = () if self._draft else filling.holes(loaded)
        shared = filling.shared(
            {
                name: self.kinds(one.kind).writes(one.settings)
                for name, one in loaded.targets.items()
            },
            loaded,
        )
        for looks in (holes, shared):
            for problem in looks:
                if problem is not None:
                    self.wrong(problem[0], *problem[1])
                    continue
                left -= 1
                if left < 0:
                    most = (
                        f"{MOST_FILLED:,} names of targets to fill in for all environments and"
                        " regions"
                    )
                    self.wrong(f"there are more than {most}", "environments")
                    raise TooMany


def _everywhere(environments: Mapping[str, Environment]) -> frozenset[str]:
    """The variables that every environment has."""
    known = [frozenset(one.vars) for one in environments.values()]
    region = [REGION] if all(one.regions for one in environments.values()) else []
    return VARIABLES.union(known[0].intersection(*known[1:]), region)


def _used(settings: Any) -> set[str]:
    """The variables in a target's settings."""
    text = repr(settings)
    return set(_VARIABLE.findall(text)) if "{" in text else set()


def _reached(targets: Mapping[str, Target]) -> Iterator[tuple[str, str, int]]:
    """Of each target the steps that it takes to find what it covers, then of each leaf those to
    find what it waits for. No circles.
    """
    leaves: dict[str, frozenset[str]] = {}
    for name, target in targets.items():
        if target.members:
            steps = _steps(name, targets)
            yield "members", name, steps
            leaves[name] = frozenset(
                one for one in _inside(name, targets) if not targets[one].members
            )
    direct: dict[str, set[str]] = {}
    for name, target in targets.items():
        needed = (
            set[str]().union(*(leaves.get(need, (need,)) for need in target.needs))
            if target.needs
            else ()
        )
        own = leaves.get(name, (name,)) if needed else ()
        yield "needs", name, len(own) * len(needed)
        for leaf in own:
            direct.setdefault(leaf, set()).update(needed)
    for leaf, needed in direct.items():
        found, waiting = set(needed), [*needed]
        while waiting and len(found) <= MOST_PAIRS:
            new = direct.get(waiting.pop(), set()) - found
            found |= new
            waiting += new
        yield "needs", leaf, len(found)


def _steps(name: str, targets: Mapping[str, Target]) -> int:
    """How many members are looked at to find all that a group covers; it stops counting where that
    is too much.
    """
    found, waiting, steps = {name}, [name], 0
    while waiting and steps <= MOST_PAIRS:
        members = targets[waiting.pop()].members
        steps += len(members)
        new = set(members) - found
        found |= new
        waiting += new
    return steps


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
    """Targets that need each other in a circle. A group is done when its members are, which start
    when its own needs are done.
    """
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
        names = [
            node.rsplit(" ", 2 if node.endswith("is done") else 1)[0]
            for node in reversed(error.args[1])
        ]
        circle = [name for at, name in enumerate(names) if at == 0 or name != names[at - 1]]
        return circle if len(circle) > 1 else circle * 2
    return None
