"""Units become a draft: targets with the evidence above each, rules with wide paths, environments
with the variables that names need.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from posixpath import basename

from msgspec import Struct
from msgspec.structs import replace

from toolkit.formats.patterns import is_valid_pattern, simplify
from toolkit.impact.matcher import Matcher
from toolkit.init.draft import Draft, DraftRule, DraftTarget, printable
from toolkit.init.evidence import UNKNOWN, Place
from toolkit.init.names import slug
from toolkit.init.reach import Reach
from toolkit.init.stages import PROTECTED
from toolkit.init.tree import TrackedFiles
from toolkit.init.units import Unit

EVERYTHING = "everything"
"""The group of all targets, that a path calls for which no rule matches."""

_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+){1,3}-[0-9]\Z")
_ACCOUNT = re.compile(r"[0-9]{12}\Z")
_VARIABLE = re.compile(r"\{(\w+)\}")
_MOST_PLACES = 3
_IDENTITY = {
    "app": ("cluster", "service", "container"),
    "stack": ("stack",),
    "function": ("function",),
    "site": ("bucket", "prefix"),
    "command": ("deploy", "folder"),
}
"""For each kind the settings that name what it deploys."""
_NAMED_BY = {"app": "service", "stack": "stack", "function": "function", "site": "bucket"}
_OF_THE_STEP = {"commit", "version"}
_FOR_PEOPLE = (
    "README*",
    "LICENSE*",
    "CHANGELOG*",
    "CONTRIBUTING*",
    "CODE_OF_CONDUCT*",
    "SECURITY.md",
    ".github/**",
    ".gitignore",
    ".gitattributes",
    ".editorconfig",
    ".pre-commit-config.yaml",
    ".vscode/**",
    ".idea/**",
    "CODEOWNERS",
    "renovate.json",
)
"""Files of the root that no build reads, and no program."""


class Question(Struct, frozen=True):
    """What only a person knows. The answer is the value of a `variable` of an `environment`, its
    `account` or `regions`, or (`ignore`) whether a pattern is for files that nothing deployed uses.
    """

    text: str
    environment: str = ""
    variable: str = ""
    setting: str = ""
    ignore: str = ""


class BuiltDraft(Struct, frozen=True):
    """The draft, and what only a person can fill in, the most important first."""

    draft: Draft
    questions: tuple[Question, ...]


def build_draft(
    tree: TrackedFiles, project: str, units: Sequence[Unit], places: Sequence[Place]
) -> BuiltDraft:
    """The draft of all units. `places` are those of all evidence, for accounts and regions."""
    named = _with_own_variables(_with_unique_names(units))
    reach = Reach(tree)
    folders = {folder for unit in named for folder in unit.folders}
    rules = [_rule(tree, reach, unit, folders) for unit in named]
    if tree.capped:
        # What is not followed to its end may use anything.
        rules = [replace(rule, paths=("**",)) for rule in rules]
    targets = [_target(unit) for unit in named]
    if len(targets) > 1:
        names = [target.name for target in targets]
        targets.append(
            DraftTarget(
                EVERYTHING,
                "group",
                {"members": names},
                comment=("All of it: for files that no rule matches, until the rules are proven.",),
            )
        )
    ignored = _ignored(tree, rules)
    excluded = tuple(f"!{pattern}" for pattern in ignored)
    for index, rule in enumerate(rules):
        # What nobody deploys stays out of a rule for everything, so that `doctor` knows it.
        if "**" in rule.paths:
            rules[index] = replace(rule, paths=(*rule.paths, *excluded))
    rules = _merged(rules)
    environments, questions = _environments(named, targets, places)
    draft = Draft(
        project,
        tuple(targets),
        tuple(rules),
        ignored,
        environments,
        (
            "Drafted by `toolkit init`. Above each target stands what proves that it is deployed.",
            "The paths are wide on purpose: narrow them when you know that nothing else is used.",
        ),
        targets[-1].name if targets else "warn",
    )
    told = {question.text for question in questions}
    own = [Question(text) for unit in named for text in unit.questions if text not in told]
    # What can be answered in a word comes first: without it a target cannot be deployed.
    return BuiltDraft(draft, tuple(dict.fromkeys((*questions, *own))))


def answered(draft: Draft, question: Question, answer: str) -> Draft:
    """The draft with a person's answer in it; an empty answer changes nothing."""
    if not answer:
        return draft
    if question.ignore:
        return replace(draft, ignore=(*draft.ignore, question.ignore))
    environments = {name: dict(settings) for name, settings in draft.environments.items()}
    settings = environments[question.environment]
    if question.variable:
        variables = settings.get("vars")
        known = dict(variables) if isinstance(variables, Mapping) else {}
        settings["vars"] = {**known, question.variable: answer}
    elif question.setting == "regions":
        settings["regions"] = answer.replace(",", " ").split()
    else:
        settings[question.setting] = answer
    return replace(draft, environments=environments)


def _merged(rules: Sequence[DraftRule]) -> list[DraftRule]:
    """The rules, those with the same paths as one."""
    by_paths: dict[tuple[str, ...], list[DraftRule]] = {}
    for rule in rules:
        by_paths.setdefault(rule.paths, []).append(rule)
    merged = []
    for alike in by_paths.values():
        deploy = tuple(name for rule in alike for name in rule.deploy)
        name = alike[0].name if len(alike) == 1 else f"{alike[0].name} and {len(alike) - 1} more"
        merged.append(replace(alike[0], name=name, deploy=deploy))
    return merged


def _target(unit: Unit) -> DraftTarget:
    lines = []
    for place in unit.places[:_MOST_PLACES]:
        verb = "deployed by" if place.line else "seen in"
        words = f": {_shown(place.words)}" if place.words else ""
        lines.append(f"{verb} {place.where}{words}")
    if len(unit.places) > _MOST_PLACES:
        lines.append(f"and {len(unit.places) - _MOST_PLACES} more")
    return DraftTarget(unit.name, unit.kind, unit.settings, comment=(*lines, *unit.comment))


def _rule(tree: TrackedFiles, reach: Reach, unit: Unit, folders: set[str]) -> DraftRule:
    patterns = list(unit.patterns)
    if "**" not in patterns and unit.folders:
        words: set[str] = set()
        if unit.composes:
            top = {path.partition("/")[0] for path in tree.paths if "/" in path}
            words = {folder for folder in folders | top if len(basename(folder)) > 2}
        outside = reach.beyond(unit.folders, sorted(words - {".github"}))
        patterns += outside.patterns
        if outside.root and unit.composes:
            patterns.append("**")
    included = [pattern if is_valid_pattern(pattern) else "**" for pattern in patterns]
    simple = simplify(included)
    exclusions = [pattern for pattern in unit.exclusions if is_valid_pattern(pattern)]
    outside_patterns = set(simple) - set(unit.patterns)
    if outside_patterns:
        exclusions = []
    return DraftRule(unit.name, (*simple, *(f"!{pattern}" for pattern in exclusions)), (unit.name,))


def _with_unique_names(units: Sequence[Unit]) -> list[Unit]:
    """The units with names that no two of them share: of those that would, each is called after
    all that identifies it.
    """
    counts: dict[str, int] = {EVERYTHING: 2}
    for unit in units:
        counts[unit.name] = counts.get(unit.name, 0) + 1
    taken: set[str] = set()
    named = []
    for unit in units:
        name = unit.name
        if counts[name] > 1:
            kinds = {other.kind for other in units if other.name == name}
            parts = [str(unit.settings.get(key) or "") for key in _IDENTITY[unit.kind]]
            plain = slug(" ".join(parts).replace("{", " ").replace("}", " "))
            name = f"{name}-{unit.kind}" if len(kinds) == counts[name] else unit.long_name or plain
        stem, count = name, 1
        while name in taken or name == EVERYTHING:
            count += 1
            name = f"{stem}-{count}"
        taken.add(name)
        if name != unit.name:
            questions = tuple(
                question.replace(f"targets.{unit.name}.", f"targets.{name}.")
                for question in unit.questions
            )
            unit = replace(unit, name=name, questions=questions)
        named.append(unit)
    return named


def _with_own_variables(units: Sequence[Unit]) -> list[Unit]:
    """Two units whose names come from the same variables are two things: each has variables of its
    own.
    """
    holders = Counter(identity for unit in units for identity in _identities(unit))
    own = []
    for unit in units:
        shared = [identity for identity in _identities(unit) if holders[identity] > 1]
        key = _NAMED_BY.get(unit.kind, "")
        if shared and key in unit.settings:
            unit = _with_own(unit, key)
        elif shared and isinstance(listed := unit.settings.get("stacks"), list):
            variable = f"{{{unit.name.replace('-', '_')}_stacks}}"
            names = [variable if _stack_identity(name) in shared else name for name in listed]
            settings = {**unit.settings, "stacks": list(dict.fromkeys(names))}
            unit = replace(unit, settings=settings)
        own.append(unit)
    return own


def _with_own(unit: Unit, key: str) -> Unit:
    """The unit with a variable of its own for the setting that names it. What other settings take
    from the same variables is its own, too.
    """
    start = unit.name.replace("-", "_")
    old, new = str(unit.settings.get(key)), f"{{{start}_{key}}}"
    names = {name: f"{{{start}_{name}}}" for name in _VARIABLE.findall(old)}
    if old[1:-1] in names:
        names = {old[1:-1]: new}
    settings: dict[str, object] = {}
    for other, value in unit.settings.items():
        if isinstance(value, str):
            value = _VARIABLE.sub(lambda match: names.get(match[1], match[0]), value)
        settings[other] = value
    return replace(unit, settings={**settings, key: new})


def _identities(unit: Unit) -> list[tuple[str, ...]]:
    """What a unit deploys: one thing, or the stacks that it lists. The same pattern may stand for
    stacks of two apps.
    """
    if "stacks" in unit.settings:
        listed = unit.settings["stacks"]
        names = listed if isinstance(listed, list) else []
        return [_stack_identity(name) for name in names if not set(name) & set("*?[")]
    return [(unit.kind, *(repr(unit.settings.get(key)) for key in _IDENTITY[unit.kind]))]


def _stack_identity(name: str) -> tuple[str, ...]:
    """A stack by its name, or by its path in an app, which CloudFormation gets with dashes."""
    return ("stack", repr(name.replace("/", "-")))


def _ignored(tree: TrackedFiles, rules: Sequence[DraftRule]) -> tuple[str, ...]:
    """Files for people alone that are there, unless a rule names them."""
    shipped = Matcher(
        [pattern for pattern in rule.paths if pattern != "**" and pattern[0] != "!"]
        for rule in rules
    )
    matcher = Matcher([pattern] for pattern in _FOR_PEOPLE)
    present: set[int] = set()
    named: set[int] = set()
    for path in tree.paths:
        hits = {index for index, _ in matcher.match(path)}
        present |= hits
        if hits and shipped.match(path):
            named |= hits
    return tuple(pattern for index, pattern in enumerate(_FOR_PEOPLE) if index in present - named)


def _environments(
    units: Sequence[Unit], targets: Sequence[DraftTarget], places: Sequence[Place]
) -> tuple[dict[str, dict[str, object]], list[Question]]:
    """Each environment with what the evidence says of it, and questions for the rest."""
    if not targets:
        return {}, []
    stages = list(dict.fromkeys(stage for unit in units for stage in unit.stages))
    if not stages:
        own = [place for unit in units for place in unit.places]
        stages = list(dict.fromkeys(place.environment for place in own if place.environment))
    stages = stages or ["dev"]
    variables = sorted(
        {name for target in targets for name in _variables(target.settings)} - _OF_THE_STEP
    )
    environments: dict[str, dict[str, object]] = {}
    # Protected ones go last, since the first environment is the default one.
    for stage in sorted(stages, key=lambda name: (name.lower() in PROTECTED, name.lower())):
        settings = _of_environment(stage, places, len(stages) > 1)
        if variables:
            settings["vars"] = {
                variable: stage if variable == "stage" else "" for variable in variables
            }
        environments[slug(stage) or "dev"] = settings
    questions: list[Question] = []
    first = next(iter(environments))
    asked = {name: text for unit in units for name, text in _asked(unit)}
    for variable in variables:
        if variable != "stage":
            text = asked.get(variable) or (
                f"environments.{first}.vars.{variable}: what {_users(variable, targets)} there"
            )
            questions.append(Question(text, first, variable))
    missing = [key for key in ("account", "regions") if key not in environments[first]]
    if {unit.kind for unit in units} & _NAMED_BY.keys():
        for key in missing:
            what = "the number of its AWS account" if key == "account" else "its AWS regions"
            questions.append(Question(f"environments.{first}.{key}: {what}", first, "", key))
    return environments, questions


def _of_environment(stage: str, places: Sequence[Place], several: bool) -> dict[str, object]:
    """What the evidence says of one environment: its account and region, and whether its name
    wants protection.
    """
    own = [place for place in places if place.environment.lower() == stage.lower()]
    settings: dict[str, object] = {}
    accounts = {place.account for place in own} - {""}
    regions = {place.region for place in own} - {""}
    if not accounts and not several:
        accounts = {place.account for place in places} - {""}
    regions = regions or {place.region for place in places} - {""}
    if len(accounts) == 1 and _ACCOUNT.match(account := accounts.pop()):
        settings["account"] = account
    if len(regions) == 1 and _REGION.match(region := regions.pop()):
        settings["regions"] = [region]
    if stage.lower() in PROTECTED:
        settings["protected"] = True
    return settings


def _asked(unit: Unit) -> Iterator[tuple[str, str]]:
    """The variables of a unit that a question of its own is about, each with that question."""
    for question in unit.questions:
        key = question.partition(":")[0].rpartition(".")[2]
        for variable in _variables(unit.settings.get(key)):
            yield variable, question


def _users(variable: str, targets: Iterable[DraftTarget]) -> str:
    for target in targets:
        for key, value in target.settings.items():
            if variable in _variables({key: value}):
                return f"targets.{target.name}.{key} is"
    return "it is"


def _variables(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield from _VARIABLE.findall(value)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _variables(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _variables(inner)


def _shown(text: str) -> str:
    return printable(text.replace(UNKNOWN, "…"))
