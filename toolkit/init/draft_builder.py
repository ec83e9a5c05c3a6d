"""The parts that were found, put together as one draft: checks, `ignore`, environments and their
variables.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

from msgspec.structs import replace

from toolkit.impact.matcher import Matcher
from toolkit.init.draft import Draft, DraftRule, DraftTarget
from toolkit.init.evidence import Evidence
from toolkit.init.patterns import everything_in, is_valid_pattern, simplify
from toolkit.init.stacks.code import VARIABLE
from toolkit.init.tests_and_docs import documentation_patterns, leftover_test_patterns
from toolkit.init.tree import TrackedFiles

_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+){1,3}-[0-9]\Z")
_ACCOUNT = re.compile(r"[0-9]{12}\Z")
_STAGES = {
    "env",
    "environment",
    "stage",
    "env_name",
    "envname",
    "environment_name",
    "environmentname",
    "stage_name",
    "stagename",
}
_LONGEST_NAME = 80
_PROTECTED = {"prod", "production", "live"}


def build_draft(
    tree: TrackedFiles, project: str, evidence: Evidence, checks: Sequence[str]
) -> tuple[Draft, tuple[str, ...]]:
    """The draft, and all that a person has to fill in. `checks` are the folders of checks of the
    live system.
    """
    check_rule = DraftRule(
        "Smoke tests", tuple(everything_in(folder) for folder in checks), run=("smoke-test",)
    )
    rules = []
    for rule in _with_valid_patterns(tree, evidence.rules, check_rule.paths):
        if any(not pattern.startswith("!") for pattern in rule.paths):
            rules.append(rule)
    environments, questions = _environments(evidence)
    documentation = documentation_patterns(
        tree, [rule.paths for rule in rules if rule.deploy and rule.ships]
    )
    excluded = [f"!{pattern}" for pattern in documentation]
    # A rule for the whole repository would deploy for a changed README, too.
    for index, rule in enumerate(rules):
        if "**" in rule.paths:
            rules[index] = replace(rule, paths=(*rule.paths, *excluded))
    all_rules = [*rules, check_rule] if checks else rules
    ignored = _ignore_patterns(tree, evidence, rules, check_rule.paths)
    draft = Draft(
        project,
        tuple(evidence.targets),
        tuple(_with_unique_names(all_rules)),
        tuple(dict.fromkeys((*documentation, *ignored))),
        environments,
        (
            (
                "Drafted by `toolkit init` from what is in the repository. Names that exist "
                "only in AWS are guesses: check each of them."
            ),
            (
                "A change counts for every rule that matches its path; of a group and one of "
                "its members, only the member is deployed."
            ),
        ),
    )
    return draft, (*evidence.questions, *questions)


def _with_valid_patterns(
    tree: TrackedFiles, rules: Sequence[DraftRule], checks: Sequence[str]
) -> list[DraftRule]:
    """The rules with valid patterns only, and with those `!` patterns (checks among them) that take
    something away.
    """
    included = [_included_patterns(rule) for rule in rules]
    exclusions: list[tuple[int, str]] = []
    for index, rule in enumerate(rules):
        candidates = _excluded_patterns(rule)
        if rule.deploy:
            candidates += [pattern for pattern in checks if pattern not in included[index]]
        exclusions += [(index, pattern) for pattern in dict.fromkeys(candidates)]
    # One matcher for both: the rules come first, the exclusions after them.
    matcher = Matcher([*included, *([pattern] for _, pattern in exclusions)])
    # An exclusion is useful where its own rule would match the path without it.
    useful: set[int] = set()
    for path in tree.paths:
        hits = {hit for hit, _ in matcher.match(path)}
        for hit in hits:
            number = hit - len(rules)
            if number >= 0 and exclusions[number][0] in hits:
                useful.add(number)
    useful_exclusions: list[list[str]] = [[] for _ in rules]
    for number, (index, pattern) in enumerate(exclusions):
        if number in useful:
            useful_exclusions[index].append(f"!{pattern}")
    return [
        replace(rule, paths=(*patterns, *excluded))
        for rule, patterns, excluded in zip(rules, included, useful_exclusions, strict=True)
    ]


def _included_patterns(rule: DraftRule) -> list[str]:
    """The patterns without `!`; one that rules.toml cannot hold is widened to everything."""
    patterns = []
    for pattern in rule.paths:
        if not pattern.startswith("!"):
            patterns.append(pattern if is_valid_pattern(pattern) else "**")
    return patterns


def _excluded_patterns(rule: DraftRule) -> list[str]:
    """The valid `!` patterns, without the `!`."""
    patterns = [pattern[1:] for pattern in rule.paths if pattern.startswith("!")]
    return [pattern for pattern in patterns if is_valid_pattern(pattern)]


def _ignore_patterns(
    tree: TrackedFiles, evidence: Evidence, rules: Sequence[DraftRule], checks: Sequence[str]
) -> tuple[str, ...]:
    """The tests that no rule is to match, for `ignore`; the checks of the live system are taken out
    of it again.
    """
    tests = [*evidence.ignore, *evidence.tests]
    if evidence.targets:
        tests += leftover_test_patterns(tree, [rule.paths for rule in rules])
    ignored = simplify([pattern for pattern in tests if is_valid_pattern(pattern)])
    matcher = Matcher([pattern] for pattern in (*ignored, *checks))
    useful: set[int] = set()
    for path in tree.paths:
        hits = {hit for hit, _ in matcher.match(path)}
        if not hits.isdisjoint(range(len(ignored))):
            useful |= hits
    patterns = (*ignored, *(f"!{pattern}" for pattern in checks))
    return tuple(pattern for index, pattern in enumerate(patterns) if index in useful)


def _with_unique_names(rules: Iterable[DraftRule]) -> Iterator[DraftRule]:
    taken: set[str] = set()
    for rule in rules:
        name, count = rule.name[:_LONGEST_NAME], 1
        while name in taken:
            count += 1
            name = f"{rule.name[:_LONGEST_NAME]} ({count})"
        taken.add(name)
        yield replace(rule, name=name)


def _environments(evidence: Evidence) -> tuple[dict[str, dict[str, object]], tuple[str, ...]]:
    """Each environment with its settings as far as the repository has them, and questions for the
    others.
    """
    if not evidence.targets:
        return {}, ()
    variables = sorted(_variables(evidence.targets))
    accounts = _single_value(evidence.accounts, _ACCOUNT)
    regions = _single_value(evidence.regions, _REGION)
    environments: dict[str, dict[str, object]] = {}
    stages = evidence.stages or {"dev": {}}
    # Protected ones go last, since the first environment is the default one.
    for name in sorted(stages, key=lambda stage: (stage in _PROTECTED, stage)):
        settings: dict[str, object] = {}
        if accounts and len(stages) == 1:
            settings["account"] = accounts[0]
        if regions:
            settings["regions"] = regions
        if name in _PROTECTED:
            settings["protected"] = True
        if variables:
            settings["vars"] = {
                variable: _variable_value(variable, name, stages[name], evidence.variables)
                for variable in variables
            }
        environments[name] = settings
    first, settings = next(iter(environments.items()))
    questions = []
    missing = [key for key in ("account", "regions") if key not in settings]
    if missing:
        questions.append(
            f"environments.{first}: its AWS {' and '.join(missing)}, and the profile to use"
        )
    for variable in variables:
        if not _has_value(variable, evidence):
            questions.append(f"environments.{first}.vars.{variable}: what `{variable}` is there")
    return environments, tuple(questions)


def _single_value(values: Set[str], pattern: re.Pattern[str]) -> list[str]:
    """The value that all stacks have in common, as a list of one; an empty list if they differ or
    if it is computed.
    """
    if len(values) != 1:
        return []
    return [value for value in values if pattern.match(value)]


def _variables(targets: Sequence[DraftTarget]) -> set[str]:
    names: set[str] = set()
    for target in targets:
        for setting in target.settings.values():
            if isinstance(setting, str):
                names.update(VARIABLE.findall(setting))
    return names


def _has_value(name: str, evidence: Evidence) -> bool:
    return (
        name in evidence.variables
        or name in _STAGES
        or any(name in variables for variables in evidence.stages.values())
    )


def _variable_value(
    name: str, environment: str, stage: Mapping[str, str], context: Mapping[str, str]
) -> str:
    """What a variable most likely is: what the stacks' names say, what cdk.json says, the
    environment's name, or nothing.
    """
    if name in stage:
        return stage[name]
    if context.get(name):
        return context[name]
    return environment if name in _STAGES else ""
