"""rules.toml becomes rules, or a list of everything that is wrong with it: each with its line, the
key, and what was expected.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

from toolkit.config.graph import MOST_PAIRS, connections, covered_by, target_cycle
from toolkit.config.reader import (
    FileReader,
    TooMany,
    base_url_problem,
    list_words,
    nearest,
    type_of,
)
from toolkit.config.schema import EnvironmentTable, HooksTable, RulesFile, RuleTable
from toolkit.errors import Problem, RulesError
from toolkit.formats import toml
from toolkit.formats.glob import PatternError, alternatives
from toolkit.formats.variables import dated_in_check, fill, names, names_in_check
from toolkit.model import (
    CHECKS,
    STATUSES,
    Accept,
    Backwards,
    BuiltImage,
    Checks,
    DeclaredInput,
    Environment,
    Hooks,
    Need,
    Resource,
    Rule,
    Rules,
    Target,
    TemplatePolicy,
)

if TYPE_CHECKING:  # most commands ask nothing of the live system
    from toolkit.config.checks import CheckTypes

MOST_WRITTEN = 1_000_000
"""The most characters of all patterns with their braces written out, a short one counting as
SHORTEST.
"""
SHORTEST = 32
MOST_FILLED = 100_000
"""How many names of targets are filled in with the variables of all environments, to see that they
can be used and differ.
"""

COMMON = ("kind", "needs", "estimate", "deadline", "hooks", "inputs")
"""The keys of every target, whatever its kind."""

VARIABLES = frozenset(("commit", "version"))
"""The variables that stand for what is deployed, in every environment."""
REGION = "region"
"""The variable that stands for the region, in an environment that names any."""


class KindSchema(Protocol):
    """What this stage needs to know of a kind (targets/base.py has all of it)."""

    action: str
    estimate_s: int
    deadline_s: int
    Settings: Any

    def problem(self, settings: Any) -> str | None: ...
    def runnable(self, settings: Any) -> str | None: ...
    def members(self, settings: Any) -> tuple[str, ...]: ...
    def writes(self, settings: Any) -> tuple[Resource, ...]: ...
    def builds(self, settings: Any) -> BuiltImage | None: ...
    def consumes(self, settings: Any) -> tuple[str, ...]: ...


def load(
    data: bytes,
    file: str,
    kinds: Mapping[str, KindSchema] | Callable[[str], KindSchema],
    kind_names: Collection[str],
    check_types: "Callable[[], CheckTypes] | None" = None,
    draft: bool = False,
) -> Rules:
    """The rules of one file. `kinds(name)` gives a kind for each of `kind_names`; `check_types` the
    types of checks, without which those are not read. In a draft variables may be empty still.
    Raises RulesError with every problem.
    """
    try:
        text, tables = toml.parse(data)
    except toml.TomlError as error:
        raise RulesError(file, [Problem(error.line, "", str(error))]) from None
    get_kind = kinds if callable(kinds) else kinds.__getitem__
    loader = _Loader(text, file, get_kind, kind_names, check_types)
    try:
        rules = loader.load(tables, draft)
    # More problems than anybody reads at once: those found so far are enough.
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
        kind_names: Collection[str],
        check_types: "Callable[[], CheckTypes] | None",
    ) -> None:
        super().__init__(text, file)
        self.kinds, self._kind_names, self._check_types = kinds, kind_names, check_types
        self._written = 0

    def load(self, tables: dict[str, Any], draft: bool) -> Rules | None:
        self.refuse_credentials()
        top = self.convert(tables, RulesFile)
        if top is None:
            return None
        environments = dict(self._environments(top.environments))
        targets = dict(self._targets(top.targets))
        rules = tuple(self._rules(top.rules))
        loaded = Rules(
            file=self.file,
            text=self.text,
            project=top.project,
            environment=top.environment or _only(environments),
            environments=environments,
            ignore=top.ignore,
            unmatched=top.unmatched,
            targets=targets,
            rules=rules,
            accept=tuple(Accept(entry.path, entry.reason) for entry in top.accept),
            include=top.include,
            checks=self._checks(top),
            templates=TemplatePolicy(top.templates),
        )
        # All of these collect problems, so that a person sees them in one go.
        self._check_patterns(loaded)
        self._check_names(loaded, tables)
        # What follows relies on names that exist, and each next step on what the last one found.
        if not self.problems:
            self._check_cycles(targets)
            self._check_size(targets)
            self._check_addresses(environments)
            self._check_variables(loaded)
            self._check_covering(loaded)
        if not self.problems:
            self._check_names_in_use(loaded, draft)
        return loaded

    def _environments(self, tables: Mapping[str, object]) -> Iterator[tuple[str, Environment]]:
        for name, table in tables.items():
            settings = self.convert_named(name, table, EnvironmentTable, "environments")
            if settings:
                environment = Environment(
                    name,
                    settings.account,
                    settings.regions,
                    settings.profile,
                    settings.protected,
                    settings.vars,
                    settings.store,
                    settings.urls,
                    settings.hosts,
                    settings.private,
                    settings.rollback,
                    Backwards(settings.backwards),
                    self.duration(settings.budget, 0, "environments", name, "budget"),
                )
                yield name, environment

    def _checks(self, top: RulesFile) -> Checks:
        """Loaded only where there are any."""
        if self._check_types is None or not (top.checks or top.secrets):
            return Checks()
        from toolkit.config import checks

        return checks.read(self, top.checks, top.secrets, self._check_types())

    def _targets(self, tables: Mapping[str, object]) -> Iterator[tuple[str, Target]]:
        for name, table in tables.items():
            target = self._target(name, table, tables)
            if target:
                yield name, target

    def _target(self, name: str, table: object, names: Collection[str]) -> Target | None:
        if not isinstance(table, dict):
            self.add_problem(f"expected a table, got {type_of(table)}", "targets", name)
            return None
        kind_name = table.get("kind")
        if not isinstance(kind_name, str) or kind_name not in self._kind_names:
            self._add_kind_problem(name, kind_name)
            return None
        kind = self.kinds(kind_name)
        # The kind's own struct knows nothing of the keys that all targets have.
        own = {key: value for key, value in table.items() if key not in COMMON}
        settings = self.convert_named(name, own, kind.Settings, "targets", COMMON)
        if settings is None:
            return None
        problem = kind.problem(settings)
        if problem:
            self.add_problem(problem, "targets", name)
        estimate = self._target_duration(name, table, "estimate", kind.estimate_s)
        deadline = self._target_duration(name, table, "deadline", kind.deadline_s)
        return Target(
            name,
            kind_name,
            settings,
            kind.action,
            estimate,
            self._needs(name, table, names),
            kind.members(settings),
            deadline,
            self._hooks(name, table),
            self._declared_inputs(name, table, kind, settings),
        )

    def _add_kind_problem(self, name: str, kind_name: object) -> None:
        message = "its `kind` is missing" if kind_name is None else f"unknown kind {kind_name!r}"
        names = tuple(self._kind_names)
        hint = nearest(str(kind_name), names)
        keys = ["targets", name]
        if kind_name:
            keys.append("kind")
        self.add_problem(f"{message}; {hint or 'there are ' + list_words(names)}", *keys)

    def _target_duration(self, name: str, table: dict[str, Any], key: str, default: int) -> int:
        return self.duration(table.get(key), default, "targets", name, key)

    def _hooks(self, name: str, table: dict[str, Any]) -> Hooks:
        """The programs that run before a target is deployed."""
        if "hooks" not in table:
            return Hooks()
        read = self.convert(table["hooks"], HooksTable, "targets", name, "hooks")
        if read is None:
            return Hooks()
        for index, words in enumerate(read.before):
            if "\0" in "".join(words):
                keys = ("targets", name, "hooks", "before", index)
                self.add_problem("it holds a NUL character", *keys)
        default = Hooks().deadline_s
        deadline = self.duration(read.deadline, default, "targets", name, "hooks", "deadline")
        return Hooks(read.before, read.env, deadline)

    def _declared_inputs(
        self, name: str, table: dict[str, Any], kind: KindSchema, settings: Any
    ) -> tuple[DeclaredInput, ...]:
        """What a target is made of, or runs with, outside git."""
        if "inputs" not in table:
            return ()
        from toolkit.config import declared

        keys = ("targets", name, "inputs")
        texts = self.convert(table["inputs"], tuple[str, ...], *keys) or ()
        if texts and kind.members(settings):
            self.add_problem(
                "a group has no inputs of its own: declare them for its targets", *keys
            )
        elif texts and kind.runnable(settings) is not None:
            self.add_problem("toolkit does not deploy it, so nothing records its inputs", *keys)
        inputs: dict[DeclaredInput, None] = {}
        for index, text in enumerate(texts):
            problem = declared.problem(text)
            if problem is None and declared.parse(text) in inputs:
                problem = f"{text!r} stands there twice"
            if problem is None:
                inputs[declared.parse(text)] = None
            else:
                self.add_problem(problem, *keys, index)
        return tuple(inputs)

    def _needs(self, name: str, table: dict[str, Any], names: Collection[str]) -> tuple[Need, ...]:
        """What a target needs: another one's name, or `name@region`."""
        words = self.convert(table.get("needs", ()), tuple[str, ...], "targets", name, "needs")
        needs: list[Need] = []
        for word in words or ():
            target, _, region = word.rpartition("@")
            is_whole = word in names or not target
            needs.append(Need(word) if is_whole else Need(target, region))
        return tuple(needs)

    def _check_need(
        self, need: Need, loaded: Rules, targets: Collection[str], keys: tuple[str | int, ...]
    ) -> None:
        self.check_word(need.target, targets, "target", *keys)
        if need.region is None:
            return
        regions: dict[str, None] = {}
        for environment in loaded.environments.values():
            regions |= dict.fromkeys(environment.regions)
        self.check_word(need.region, regions, "region", *keys)

    def _rules(self, tables: tuple[object, ...]) -> Iterator[Rule]:
        first_uses: dict[str, int] = {}
        for index, table in enumerate(tables):
            rule = self.convert(table, RuleTable, "rules", index)
            if rule is None:
                continue
            if not (rule.deploy or rule.run):
                self.add_problem(
                    "it calls for nothing; give it `deploy` or `run`, or move its paths to"
                    " `ignore`",
                    "rules",
                    index,
                )
            if first_uses.setdefault(rule.name, index) != index:
                message = f"there is another rule named {rule.name!r}"
                self.add_problem(message, "rules", index, "name")
            yield Rule(rule.name, rule.paths, rule.deploy, rule.run, rule.changes)

    def _check_patterns(self, loaded: Rules) -> None:
        self._check_list(loaded.ignore, "ignore")
        for index, rule in enumerate(loaded.rules):
            self._check_list(rule.paths, "rules", index, "paths")
        for index, accept in enumerate(loaded.accept):
            self._check_pattern(accept.path, "accept", index, "path")

    def _check_list(self, patterns: tuple[str, ...], *keys: str | int) -> None:
        for index, pattern in enumerate(patterns):
            self._check_pattern(pattern, *keys, index)

    def _check_pattern(self, pattern: str, *keys: str | int) -> None:
        try:
            count = len(alternatives(pattern.removeprefix("!")))
            self._written += count * max(len(pattern), SHORTEST)
        except PatternError as error:
            self.add_problem(f"the pattern {pattern!r} cannot be used: {error}", *keys)
        if self._written > MOST_WRITTEN:
            self.add_problem(
                "up to here all patterns, with their braces written out, have more than"
                f" {MOST_WRITTEN:,} characters",
                *keys,
            )
            raise TooMany

    def _check_names(self, loaded: Rules, tables: dict[str, Any]) -> None:
        """Dangling names. A target that exists but is broken counts: its own problem has been
        reported.
        """
        targets = dict.fromkeys(tables.get("targets", {}))
        environment = loaded.environment
        if environment is not None and environment not in tables.get("environments", {}):
            names = tuple(loaded.environments)
            self.add_unknown_word(environment, names, "environment", "environment")
        policies = ("warn", "fail", *targets)
        self.check_word(loaded.unmatched, policies, "policy or target", "unmatched")
        for name, target in loaded.targets.items():
            for index, need in enumerate(target.needs):
                self._check_need(need, loaded, targets, ("targets", name, "needs", index))
            for index, member in enumerate(target.members):
                self.check_word(member, targets, "target", "targets", name, "members", index)
            needed = {need.target for need in target.needs}
            for source in self.kinds(target.kind).consumes(target.settings):
                if source not in needed:
                    message = f"it uses an output of {source!r}, which is not among its `needs`"
                    self.add_problem(message, "targets", name)
        for index, rule in enumerate(loaded.rules):
            for key, words, valid, what in (
                ("deploy", rule.deploy, targets, "target"),
                ("run", rule.run, CHECKS, "check"),
                ("changes", rule.changes, STATUSES, "status"),
            ):
                for number, word in enumerate(words):
                    self.check_word(word, valid, what, "rules", index, key, number)

    def _check_cycles(self, targets: Mapping[str, Target]) -> None:
        cycle = target_cycle(targets)
        if cycle:
            self.add_problem(
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
        total = 0
        for key, name, count in connections(targets):
            total += count
            if total > MOST_PAIRS:
                message = (
                    f"up to here, groups and `needs` connect targets in more than {MOST_PAIRS:,}"
                    " ways"
                )
                self.add_problem(message, "targets", name, key)
                raise TooMany

    def _check_covering(self, loaded: Rules) -> None:
        """A rule that deploys a group and a part of it would be narrowed to the part: surely not
        what was meant.
        """
        covered = {
            name: covered_by(name, loaded.targets)
            for name, target in loaded.targets.items()
            if target.members
        }
        for index, rule in enumerate(loaded.rules):
            for name in sorted(covered.keys() & set(rule.deploy)):
                part = min(covered[name].intersection(rule.deploy), default=None)
                if part:
                    message = f"{name!r} covers {part!r} already; name only one of them"
                    self.add_problem(message, "rules", index, "deploy", rule.deploy.index(name))

    def _check_addresses(self, environments: Mapping[str, Environment]) -> None:
        """`urls` and `hosts`: their variables exist, and paths can be put behind the addresses."""
        for environment in environments.values():
            name, variables = environment.name, environment.vars
            for key, words in (("urls", environment.urls), ("hosts", environment.hosts)):
                dated = dated_in_check(words)
                unknown = names_in_check(words) - variables.keys() - dated.keys()
                for variable in sorted((*unknown, *dated.values())):
                    hint = _variable_hint(variable, environment)
                    message = f"`{{{variable}}}` is not a variable; {hint}"
                    self.add_problem(message, "environments", name, key)
            for index, url in enumerate(environment.urls):
                # An unknown variable is a problem of its own: here it must not hide another.
                known = {**dict.fromkeys(names(url), "x"), **variables}
                problem = base_url_problem(fill(url, known))
                if problem:
                    self.add_problem(f"{url!r} {problem}", "environments", name, "urls", index)

    def _check_variables(self, loaded: Rules) -> None:
        """Every `{name}` in a setting must stand for something in every environment."""
        if not loaded.environments:
            return
        everywhere = _everywhere(loaded.environments)
        for name, target in loaded.targets.items():
            texts = repr((target.settings, target.declared_inputs))
            for variable in sorted(names(texts) - everywhere):
                for environment in loaded.environments.values():
                    if _has_variable(environment, variable):
                        continue
                    hint = _variable_hint(variable, environment)
                    self.add_problem(
                        f"`{{{variable}}}` is not a variable of environment {environment.name!r};"
                        f" {hint}",
                        "targets",
                        name,
                    )

    def _check_names_in_use(self, loaded: Rules, draft: bool) -> None:
        """What only shows when variables are filled in: names that are empty, or have a hole; two
        targets that change the same thing, or test the images of one repository in other ways.
        """
        from toolkit.config import variables

        writes: dict[str, tuple[Resource, ...]] = {}
        images: dict[str, BuiltImage] = {}
        for name, target in loaded.targets.items():
            kind = self.kinds(target.kind)
            writes[name] = kind.writes(target.settings)
            if (image := kind.builds(target.settings)) is not None:
                images[name] = image
        holes = () if draft else variables.find_holes(loaded)
        shared = variables.find_shared(writes, loaded, draft)
        unlike = variables.find_unlike_tests(images, loaded)
        filled = 0
        for problem in chain(holes, shared, unlike):
            if problem is not None:
                message, keys = problem
                self.add_problem(message, *keys)
                continue
            filled += 1
            if filled > MOST_FILLED:
                message = (
                    f"there are more than {MOST_FILLED:,} names of targets to fill in for all"
                    " environments and regions"
                )
                self.add_problem(message, "environments")
                raise TooMany


def _has_variable(environment: Environment, name: str) -> bool:
    return name in environment.vars or (name == REGION and bool(environment.regions))


def _variable_hint(name: str, environment: Environment) -> str:
    suggestion = nearest(name, tuple(environment.vars))
    return suggestion or f"add it to [environments.{environment.name}] vars"


def _everywhere(environments: Mapping[str, Environment]) -> frozenset[str]:
    """The variables that every environment has."""
    first, *others = (frozenset(environment.vars) for environment in environments.values())
    shared = VARIABLES | first.intersection(*others)
    if all(environment.regions for environment in environments.values()):
        shared |= {REGION}
    return shared


def _only(environments: Mapping[str, Environment]) -> str | None:
    """The one environment that there is; None where there are several, or none."""
    return next(iter(environments)) if len(environments) == 1 else None
