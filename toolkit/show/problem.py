"""A foreseen error, as people read it."""

from toolkit.advice import SameOptions
from toolkit.errors import Declined, RulesError, ToolkitError
from toolkit.show.advice import NO_OPTIONS, advice_lines
from toolkit.show.text import line, quote


def error(problem: ToolkitError, same: SameOptions = NO_OPTIONS) -> list[str]:
    """An error in one line (a wrong rules.toml: one for each problem) and the next thing to do."""
    if isinstance(problem, Declined):
        return [str(problem)]  # not an error: a person has decided
    if isinstance(problem, RulesError):
        problems = [line(str(RulesError(problem.file, [wrong]))) for wrong in problem.problems]
        if len(problems) > 10:
            problems = [*problems[:10], f"and {len(problems) - 10} more"]
    else:
        problems = [line(problem.template.format(**_facts(problem)))]
    lines = [f"error: {problems[0]}"]
    lines += [f"       {further}" for further in problems[1:]]
    return [*lines, *advice_lines(problem.next, same)]


_SENTENCES = frozenset(
    (
        "problem",
        "reason",
        "profile",
        "where",
        "what",
        "call",
        "owner",
        "since",
        "command",
        "denied",
        "off",
    )
)


def _facts(problem: ToolkitError) -> dict[str, str]:
    """Names are quoted; sentences of our own or of git's are only made harmless."""
    facts: dict[str, str] = {}
    for name, fact in problem.facts.items():
        facts[name] = line(fact) if name in _SENTENCES else quote(fact)
    return facts
