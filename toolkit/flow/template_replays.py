"""`rules replay --templates`: which stacks each commit really changed, beside what today's rules
would have called for.
"""

from collections.abc import Iterator, Mapping, Sequence

from toolkit.advice import Advice
from toolkit.flow.replays import TodaysRules
from toolkit.flow.rulebook import environment_name, find_environment, variables_of
from toolkit.flow.syntheses import HOOKS, CommitSyntheses, synthesizing_targets, why_unknown
from toolkit.model import Rules
from toolkit.operations import Job
from toolkit.ports.git import Git, TreeChange
from toolkit.ports.ports import Ports
from toolkit.ports.program_runs import ProgramLog
from toolkit.run import jobs as run_jobs
from toolkit.templates.compare import compare, differs
from toolkit.templates.model import StackState
from toolkit.templates.refinement import ReplayedTemplates, Synthesis, beside_rules

NO_PARENT = "there is nothing before the first commit"


def replay_templates(
    git: Git,
    rules: Rules,
    revisions: Sequence[str],
    limit: int | None,
    ports: Ports,
    log: ProgramLog,
) -> Iterator[ReplayedTemplates]:
    """Each commit of a first-parent history, newest first. Every commit is synthesized, which runs
    its programs: a person has asked for that. What a commit becomes is kept: a second replay runs
    nothing.
    """
    jobs = _jobs(rules)
    commits = CommitSyntheses(git, ports, log)
    history = list(git.log(revisions, limit))
    today = TodaysRules(git, rules)
    parents = [commit for commit, _ in history[1:]]
    for place, (commit, changes) in enumerate(history):
        parent = parents[place] if place < len(parents) else git.first_parent(commit)
        states = _states(commit, parent, jobs, rules, commits)
        yield _replayed(commit, changes, states, today)


def _states(
    commit: str, parent: str | None, jobs: Sequence[Job], rules: Rules, commits: CommitSyntheses
) -> dict[str, StackState | Advice]:
    """Of each target, whether a commit has changed it; in words why that is not known."""
    if parent is None:
        return dict.fromkeys((job.target for job in jobs), NO_PARENT)
    states: dict[str, StackState | Advice] = {}
    befores, afters = commits.at(parent, jobs), commits.at(commit, jobs)
    moved = commits.moved_submodule([parent, commit])
    differing: list[tuple[Job, Synthesis, Synthesis]] = []
    for job, before, after in zip(jobs, befores, afters, strict=True):
        why = after.unknown or before.unknown or moved
        if rules.targets[job.target].hooks.before:
            why = HOOKS
        if why:
            states[job.target] = why
        elif differs(before.stacks, after.stacks):
            differing.append((job, before, after))
        else:
            states[job.target] = StackState.UNCHANGED
    # What is different each time that it is synthesized says nothing.
    twice = commits.at(commit, [job for job, _, _ in differing], again=True)
    for (job, before, after), second in zip(differing, twice, strict=True):
        states[job.target] = _state(before, after, second)
    return states


def _state(before: Synthesis, after: Synthesis, second: Synthesis) -> StackState | Advice:
    if second.unknown:
        return second.unknown
    comparisons = compare(before.stacks, after.stacks, second.stacks)
    unsure = why_unknown(comparisons)
    if unsure:
        return unsure
    same = all(comparison.state is StackState.UNCHANGED for comparison in comparisons)
    return StackState.UNCHANGED if same else StackState.CHANGED


def _jobs(rules: Rules) -> tuple[Job, ...]:
    """A job for each target of a kind that synthesizes, in the default environment's first region:
    what differs between regions is no matter of the rules.
    """
    environment = find_environment(environment_name(None, rules), rules)
    location = run_jobs.locations(environment, None, None)[0]
    return run_jobs.jobs_without_run(
        synthesizing_targets(rules), [location], variables_of(environment), rules.targets
    )


def _replayed(
    commit: str,
    changes: Sequence[TreeChange],
    states: Mapping[str, StackState | Advice],
    today: TodaysRules,
) -> ReplayedTemplates:
    changed = {name for name, state in states.items() if state is StackState.CHANGED}
    unknown = {name: why for name, why in states.items() if not isinstance(why, StackState)}
    return beside_rules(commit, today.called_by_path(changes), changed, unknown, states.keys())
