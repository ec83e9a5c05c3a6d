"""The problems of `health`, each once: its cause, with all rows that have it, what follows from it,
and what to do.
"""

from collections.abc import Iterator, Sequence, Set

from msgspec import Struct
from msgspec.structs import replace

from toolkit.advice import Advice, Command, NextCommand, SameOptions, advice_parts
from toolkit.operations import Finding, HealthReport, HealthStatus
from toolkit.show.advice import advice_lines, sentence, shown_command
from toolkit.show.health_rows import (
    BAD,
    HealthView,
    RowKey,
    RowNames,
    cause_of,
    deploy_line,
    duration,
    earliest,
    ordered,
    row_key,
)
from toolkit.show.text import line, wrapped

MOST_COMMANDS, MOST_SYMPTOMS, LOG_LINES = 6, 2, 5
"""How many different commands, symptoms and log lines of one problem are shown without -v."""


class _Problem(Struct):
    """One cause, with all that have it, and what may just follow from it."""

    status: HealthStatus
    cause: str
    reports: dict[RowKey, HealthReport] = {}
    findings: list[tuple[HealthReport, Finding]] = []
    symptoms: list[Finding] = []

    @property
    def since(self) -> str | None:
        """Since when the first of them has it, as far as that is known."""
        return earliest(finding.since for _, finding in self.findings)

    @property
    def logged(self) -> tuple[HealthReport, Finding] | None:
        """The first of them that has the last lines of a log."""
        return next((item for item in self.findings if item[1].log), None)


def problem_lines(checkups: Sequence[HealthReport], names: RowNames, view: HealthView) -> list[str]:
    """Each problem once, the worst first, and a cause before what follows from it."""
    lines: list[str] = []
    explained = dict[str, set[RowKey]]()
    described = set[RowKey]()
    for status in BAD:
        for problem in _problems(status, checkups):
            if problem.cause in explained:
                paragraph = _same_reason(problem, names, view, explained[problem.cause])
            else:
                paragraph = _explanation(problem, names, view)
                paragraph += _deploy_lines(problem, view, described)
                paragraph += _next_lines(problem, view)
            if paragraph:
                lines += [*paragraph, ""]
            explained.setdefault(problem.cause, set()).update(problem.reports)
    return lines


def _problems(status: HealthStatus, checkups: Sequence[HealthReport]) -> list[_Problem]:
    """The problems of one status, each once."""
    problems: dict[str, _Problem] = {}
    for report in checkups:
        leading = lead(report)
        for finding in ordered(report.findings):
            if finding.status != status:
                continue
            if leading is not None and follows(finding, leading):
                cause = _common(leading)
                problem = problems.setdefault(cause, _Problem(status, cause))
                problem.symptoms.append(finding)
                continue
            cause = _common(finding)
            problem = problems.setdefault(cause, _Problem(status, cause))
            problem.reports[row_key(report)] = report
            problem.findings.append((report, finding))
    return list(problems.values())


def lead(report: HealthReport) -> Finding | None:
    """What is failing about a thing, before all else that is."""
    for finding in ordered(report.findings):
        if finding.status == HealthStatus.FAILING and finding.depth is not None:
            return finding
    return None


def follows(finding: Finding, leading: Finding) -> bool:
    """Whether a finding may just be a symptom of another one about the same thing."""
    if finding.status != HealthStatus.FAILING or finding.depth is None or leading.depth is None:
        return False
    return finding.depth > leading.depth


def _common(finding: Finding) -> str:
    return finding.common or cause_of(finding)


def _same_reason(
    problem: _Problem, names: RowNames, view: HealthView, told: Set[RowKey]
) -> list[str]:
    """The rows that have a cause that was explained before, with a worse status. Those that are
    `told` there are not named again.
    """
    wholly, partly = list[str](), list[str]()
    for key, report in problem.reports.items():
        if key in told:
            continue
        if problem.status == HealthStatus.UNKNOWN and report.status != HealthStatus.UNKNOWN:
            partly.append(names.of(report))
        else:
            wholly.append(names.of(report))
    lines = list[str]()
    for rows, status in ((wholly, str(problem.status)), (partly, f"partly {problem.status}")):
        if rows:
            text = f"{', '.join(rows)}: {status}, for the same reason"
            lines += wrapped(line(text), view.width)
    return lines


def _explanation(problem: _Problem, names: RowNames, view: HealthView) -> list[str]:
    """The rows that have it, its cause, and what shows it."""
    rows = ", ".join(names.of(report) for report in problem.reports.values())
    heading, lasted = f"{rows}: {problem.status}", duration(problem.since, view.now)
    if lasted:
        heading += f" {lasted}"
    causes = dict.fromkeys(cause_of(finding) for _, finding in problem.findings)
    cause = next(iter(causes)) if len(causes) == 1 else problem.cause
    lines = wrapped(line(heading), view.width)
    lines += wrapped(f"  {line(cause)}", view.width, "  ")
    symptoms = list(dict.fromkeys(map(cause_of, problem.symptoms)))
    most = len(symptoms) if view.verbose else MOST_SYMPTOMS
    for symptom in symptoms[:most]:
        lines += wrapped(f"  also: {line(symptom)}", view.width, "    ")
    if len(symptoms) > most:
        lines.append(f"  and {len(symptoms) - most} more like it")
    if problem.logged is not None:
        lines += _log_lines(*problem.logged, names, view, len(problem.reports) > 1)
    return lines


def _log_lines(
    report: HealthReport, finding: Finding, names: RowNames, view: HealthView, is_shared: bool
) -> list[str]:
    """The last lines of a log, with whose it is where several have the problem."""
    log = finding.log if view.verbose else finding.log[-LOG_LINES:]
    whose = [f"  the log of {line(names.of(report))}:"] if is_shared else []
    return whose + [f"    | {line(text)}" for text in log]


def _deploy_lines(problem: _Problem, view: HealthView, described: set[RowKey]) -> list[str]:
    """Who deployed the only one that has it, unless that was said before."""
    if len(problem.reports) != 1 or view.verbose:
        return []
    [(key, report)] = problem.reports.items()
    if report.deployed is None or key in described:
        return []
    described.add(key)
    return wrapped(f"  {deploy_line(report, view.now)}", view.width, "    ")


def _next_lines(problem: _Problem, view: HealthView) -> list[str]:
    """What to do: one command for all where one can do it, else one for each."""
    advices: dict[tuple[str, SameOptions], tuple[Advice, SameOptions]] = {}
    for report, finding in problem.findings:
        if finding.next:
            key = sentence(finding.next, report.same), report.same
            advices.setdefault(key, (finding.next, report.same))
    shown = joined_advices(list(advices.values()))
    most = len(shown) if view.verbose else MOST_COMMANDS
    lines, heading = list[str](), list[str]()
    for advice, same in shown[:most]:
        told = advice_lines(advice, same, view.width, "  next: ")
        words = _words_before_command(advice, same, told)
        # The same words stand above once, over all commands.
        lines += told[len(words) :] if words == heading else told
        heading = words
    if len(shown) > most:
        lines.append(f"  and {len(shown) - most} more like it; -v shows them")
    return lines


def _words_before_command(advice: Advice, same: SameOptions, told: list[str]) -> list[str]:
    """The lines before the only command of an advice; none where it has several."""
    commands = [part for part in advice_parts(advice) if not isinstance(part, str)]
    if len(commands) != 1:
        return []
    return told[: told.index(f"    {shown_command(commands[0], same)}")]


def joined_advices(
    advices: Sequence[tuple[Advice, SameOptions]],
) -> list[tuple[Advice, SameOptions]]:
    """Advices that differ only in the target of their one command become one for all of them."""
    targets: dict[tuple[object, SameOptions], list[str]] = {}
    first: dict[tuple[object, SameOptions], tuple[Advice, SameOptions]] = {}
    for advice, same in advices:
        commands = [part for part in advice_parts(advice) if isinstance(part, NextCommand)]
        key: tuple[object, SameOptions] = (advice, same)
        if len(commands) == 1 and _takes_several(commands[0]):
            without = replace(commands[0], arguments=())
            key = (tuple(_with_command(advice, without)), same)
            targets.setdefault(key, []).extend(commands[0].arguments)
        first.setdefault(key, (advice, same))
    joined: list[tuple[Advice, SameOptions]] = []
    for key, (advice, same) in first.items():
        names = tuple(dict.fromkeys(targets.get(key, ())))
        if len(names) > 1:
            [command] = [part for part in advice_parts(advice) if isinstance(part, NextCommand)]
            name = "deploy" if command.command.startswith("deploy") else command.command
            command = replace(command, command=name, arguments=names)
            advice = tuple(_with_command(advice, command))
        joined.append((advice, same))
    return joined


def _takes_several(command: NextCommand) -> bool:
    """Whether it is about targets, and can be about several of them."""
    return command.command.startswith("deploy") or command.command == "health"


def _with_command(advice: Advice, command: NextCommand) -> Iterator[str | Command]:
    """The advice with another command of toolkit in it."""
    for part in advice_parts(advice):
        yield command if isinstance(part, NextCommand) else part
