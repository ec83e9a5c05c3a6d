"""`rules replay --templates`: which stacks each commit really changed, beside what today's rules
would have called for.
"""

from collections.abc import Iterator, Mapping, Sequence

from toolkit import targets
from toolkit.advice import Advice
from toolkit.changes import detect
from toolkit.flow.build_inputs import input_targets
from toolkit.flow.rulebook import environment_name, find_environment, variables_of
from toolkit.flow.syntheses import Commits
from toolkit.impact.touch import RuleBook
from toolkit.model import Rules
from toolkit.operations import Job
from toolkit.plan.graph import Graph
from toolkit.ports.cdk import SynthLog
from toolkit.ports.git import Git, TreeChange
from toolkit.ports.ports import Ports
from toolkit.run import jobs as run_jobs
from toolkit.templates.compare import differs
from toolkit.templates.refinement import ReplayedTemplates, Synthesis

NO_PARENT = "there is nothing before the first commit"


def replay_templates(
    git: Git,
    rules: Rules,
    revisions: Sequence[str],
    limit: int | None,
    ports: Ports,
    log: SynthLog,
) -> Iterator[ReplayedTemplates]:
    """Each commit of a first-parent history, newest first. Every commit is synthesized, which runs
    its programs: a person has asked for that. What a commit becomes is kept: a second replay runs
    nothing.
    """
    jobs = _jobs(rules)
    commits = Commits(git, ports, log)
    history = list(git.log(revisions, limit))
    calls = _Calls(git, rules)
    parents = [commit for commit, _ in history[1:]]
    after: tuple[Synthesis, ...] | None = None
    for place, (commit, changes) in enumerate(history):
        parent = parents[place] if place < len(parents) else git.first_parent(commit)
        if after is None:
            after = commits.at(commit, jobs)
        before = None if parent is None else commits.at(parent, jobs)
        moved = "" if parent is None else commits.submodule_between([commit, parent])
        shown = after
        if moved:
            why = f"the submodule {moved} has changed, and toolkit checks out none"
            shown = (Synthesis(unknown=why),) * len(jobs)
        yield _compared(commit, changes, jobs, before, shown, calls)
        after = before


def _jobs(rules: Rules) -> tuple[Job, ...]:
    """A job for each target of a kind that synthesizes, in the default environment's first region:
    what differs between regions is no matter of the rules.
    """
    environment = find_environment(environment_name(None, rules), rules)
    chosen = [
        target
        for target in rules.targets.values()
        if not target.members
        and targets.kind(target.kind).synthesis_source(target.settings) is not None
    ]
    location = run_jobs.locations(environment, None, None)[0]
    return run_jobs.jobs_without_run(chosen, [location], variables_of(environment), rules.targets)


class _Calls:
    """What today's rules call for."""

    def __init__(self, git: Git, rules: Rules) -> None:
        self.graph = Graph(rules.targets)
        self._book = RuleBook(rules, self.graph.covered)
        self._users = input_targets(rules, rules.environment, git, None)

    def of(self, change: TreeChange) -> set[str]:
        """The targets that a change calls for, groups written out."""
        called = self._book.impact_of(change.path, detect.status(change.letter))
        names = set(called.targets)
        if not self._book.ignores(change.path):
            names |= set(self._users.by(change.path))
        return set[str]().union(*(self.graph.leaves(name) for name in names))


def _compared(
    commit: str,
    changes: Sequence[TreeChange],
    jobs: Sequence[Job],
    before: Sequence[Synthesis] | None,
    after: Sequence[Synthesis],
    calls: _Calls,
) -> ReplayedTemplates:
    known = {job.target for job in jobs}
    by_path = {change.path: calls.of(change) for change in changes}
    planned = set[str]().union(*by_path.values()) & known
    changed: set[str] = set()
    unknown: dict[str, Advice] = {}
    for place, job in enumerate(jobs):
        now, then = after[place], None if before is None else before[place]
        if then is None:
            unknown[job.target] = NO_PARENT
        elif now.unknown or then.unknown:
            unknown[job.target] = now.unknown or then.unknown
        elif differs(then.stacks, now.stacks):
            changed.add(job.target)
    without_rule = {name: _without_rule(name, by_path) for name in sorted(changed - planned)}
    return ReplayedTemplates(commit, frozenset(planned), frozenset(changed), unknown, without_rule)


def _without_rule(name: str, by_path: Mapping[str, set[str]]) -> tuple[str, ...]:
    return tuple(sorted(path for path, called in by_path.items() if name not in called))
