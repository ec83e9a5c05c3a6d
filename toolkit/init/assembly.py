"""The parts that were found, put together as one draft: checks, `ignore`, environments and their
variables.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

from msgspec.structs import replace

from toolkit.impact.matcher import Matcher
from toolkit.init.draft import Draft, DraftRule, DraftTarget
from toolkit.init.parts import SurveyPart
from toolkit.init.patterns import below, sayable, simplest
from toolkit.init.quiet import for_people, left_over
from toolkit.init.stacks.code import VARIABLE
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


def assembled(
    tree: TrackedFiles, project: str, part: SurveyPart, checks: Sequence[str]
) -> tuple[Draft, tuple[str, ...]]:
    """The draft, and all that a person has to fill in. `checks` are the folders of checks of the
    live system.
    """
    checking = DraftRule("Smoke tests", tuple(map(below, checks)), run=("smoke-test",))
    rules = _sound(tree, part.rules, checking.paths)
    deploying = [rule for rule in rules if any(not one.startswith("!") for one in rule.paths)]
    environments, questions = _environments(part)
    people = for_people(tree, [rule.paths for rule in deploying if rule.deploy and rule.ships])
    deploying = [
        (
            replace(one, paths=(*one.paths, *(f"!{each}" for each in people)))
            if "**" in one.paths
            else one
        )
        for one in deploying
    ]
    draft = Draft(
        project,
        tuple(part.targets),
        tuple(_named_once((*deploying, *((checking,) if checks else ())))),
        tuple(dict.fromkeys((*people, *_unseen(tree, part, deploying, checking.paths)))),
        environments,
        (
            (
                "Drafted by `toolkit init` from what the repository says. Names that stand only in"
                " AWS are guesses: look at each."
            ),
            (
                "A change goes to every rule that matches its path; of a group and a member of it,"
                " the member alone is deployed."
            ),
        ),
    )
    return draft, (*part.questions, *questions)


def _sound(
    tree: TrackedFiles, rules: Sequence[DraftRule], checks: Sequence[str]
) -> list[DraftRule]:
    """The rules with patterns that can all be said, and with those `!` patterns (checks among them)
    that take something away.
    """
    positive = [
        [one if sayable(one) else "**" for one in rule.paths if not one.startswith("!")]
        for rule in rules
    ]
    negative = [
        [one[1:] for one in rule.paths if one.startswith("!") and sayable(one[1:])]
        for rule in rules
    ]
    for rule, taken, left in zip(rules, positive, negative, strict=True):
        left += [one for one in checks if rule.deploy and one not in taken]
    asked = [(at, one) for at, left in enumerate(negative) for one in dict.fromkeys(left)]
    matcher = Matcher([*positive, *((one,) for _, one in asked)])
    useful: set[int] = set()
    for path in tree.paths:
        hits = {rule for rule, _ in matcher.match(path)}
        useful |= {hit for hit in hits if hit >= len(rules) and asked[hit - len(rules)][0] in hits}
    kept = [
        [f"!{one}" for at, (of, one) in enumerate(asked, len(rules)) if of == rule and at in useful]
        for rule in range(len(rules))
    ]
    return [
        replace(rule, paths=(*taken, *left))
        for rule, taken, left in zip(rules, positive, kept, strict=True)
    ]


def _unseen(
    tree: TrackedFiles, part: SurveyPart, rules: Sequence[DraftRule], checks: Sequence[str]
) -> tuple[str, ...]:
    """The tests that no rule is to see; but the checks of the live system are seen."""
    others = left_over(tree, [rule.paths for rule in rules]) if part.targets else ()
    asked = list(simplest([one for one in (*part.ignore, *part.tests, *others) if sayable(one)]))
    matcher = Matcher([*((one,) for one in asked), *((one,) for one in checks)])
    useful: set[int] = set()
    for path in tree.paths:
        hits = {rule for rule, _ in matcher.match(path)}
        useful |= hits if not hits.isdisjoint(range(len(asked))) else set()
    return tuple(
        one for at, one in enumerate((*asked, *(f"!{one}" for one in checks))) if at in useful
    )


def _named_once(rules: Iterable[DraftRule]) -> Iterator[DraftRule]:
    taken: set[str] = set()
    for rule in rules:
        name, count = rule.name[:_LONGEST_NAME], 1
        while name in taken:
            count += 1
            name = f"{rule.name[:_LONGEST_NAME]} ({count})"
        taken.add(name)
        yield replace(rule, name=name)


def _environments(part: SurveyPart) -> tuple[dict[str, dict[str, object]], tuple[str, ...]]:
    """Each environment with what is known of it, and what is not."""
    if not part.targets:
        return {}, ()
    used = sorted(_variables(part.targets))
    accounts, regions = _only(part.accounts, _ACCOUNT), _only(part.regions, _REGION)
    environments: dict[str, dict[str, object]] = {}
    stages = part.stages or {"dev": {}}
    for name in sorted(
        stages, key=lambda one: (one in _PROTECTED, one)
    ):  # the first is the one that is meant by default
        known: dict[str, object] = {"account": accounts[0]} if accounts and len(stages) == 1 else {}
        known |= {"regions": regions} if regions else {}
        known |= {"protected": True} if name in _PROTECTED else {}
        known |= (
            {"vars": {one: _value(one, name, stages[name], part.variables) for one in used}}
            if used
            else {}
        )
        environments[name] = known
    first, values = next(iter(environments.items()))
    missing = [word for word in ("account", "regions") if word not in values]
    return environments, (
        *(
            (f"environments.{first}: its AWS {' and '.join(missing)}, and the profile to use",)
            if missing
            else ()
        ),
        *(
            f"environments.{first}.vars.{one}: what `{one}` is there"
            for one in used
            if not _is_told(one, part)
        ),
    )


def _only(values: Set[str], pattern: re.Pattern[str]) -> list[str]:
    """The one value that all stacks are given, if there is one and it is no computed one."""
    return [one for one in values if len(values) == 1 and pattern.match(one)]


def _variables(targets: Sequence[DraftTarget]) -> set[str]:
    values = [
        str(value)
        for target in targets
        for value in target.settings.values()
        if isinstance(value, str)
    ]
    return {name for value in values for name in VARIABLE.findall(value)}


def _is_told(name: str, part: SurveyPart) -> bool:
    return (
        name in part.variables
        or name in _STAGES
        or any(name in told for told in part.stages.values())
    )


def _value(name: str, environment: str, told: Mapping[str, str], context: Mapping[str, str]) -> str:
    """What a variable most likely is: what the stacks' names told, what cdk.json says, the
    environment's name, or nothing.
    """
    if name in told:
        return told[name]
    return context.get(name) or (environment if name in _STAGES else "")
