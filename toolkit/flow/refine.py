"""`diff --templates`: the answer of `diff`, made exact by what the templates really become.

What would be deployed is synthesized, and compared with what the record says was synthesized for
the last deploy; where that is not recorded, or a commit is named, the base is synthesized, too. A
target whose files changed and whose templates did not is dropped; one whose templates changed
though no rule says so is added. What cannot be known is due.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.advice import Advice
from toolkit.errors import ToolkitError
from toolkit.flow.compare import DiffRequest
from toolkit.flow.good_deploys import recorded_deploy
from toolkit.flow.refined_plan import with_refinements
from toolkit.flow.rulebook import find_environment, variables_of
from toolkit.flow.stores import existing_store, store_for
from toolkit.flow.syntheses import (
    HOOKS,
    CommitSyntheses,
    synthesize,
    synthesizing_targets,
    why_unknown,
)
from toolkit.flow.template_offer import note_duration
from toolkit.model import (
    AWS,
    Base,
    BaseKind,
    DiffResult,
    Resource,
)
from toolkit.operations import GOOD, Job, Location
from toolkit.ports.aws.endpoint import region as default_region
from toolkit.ports.git import Git
from toolkit.ports.ports import Ports
from toolkit.ports.program_runs import ProgramLog
from toolkit.record.ledger import Ledger, Record, open_ledger
from toolkit.run import jobs as run_jobs
from toolkit.templates.compare import compare, differs
from toolkit.templates.consequences import examine
from toolkit.templates.model import StackComparison, StackState, SynthesizedStack
from toolkit.templates.refinement import (
    RefinedDiff,
    RefinedState,
    Refinement,
    Synthesis,
    decode,
    not_synthesized,
)

WORTH_SAYING_S = 1.0
NOT_RECORDED = "nothing is recorded to compare its templates with"


class TemplateQuestion(Struct, frozen=True):
    """What is asked of one target in one location: what it would be (`job`), and what that is
    compared with: what is recorded or live, commits, or why there is nothing.
    """

    job: Job
    deployed: Synthesis | None = None
    commits: tuple[str, ...] = ()
    nothing: Advice = ""


class _Sides(Struct, frozen=True):
    """Both sides of a comparison, and how what would be deployed is synthesized once more."""

    question: TemplateQuestion
    before: tuple[Synthesis, ...]
    after: Synthesis
    again: Callable[[Sequence[Job]], tuple[Synthesis, ...]]


def refine(
    request: DiffRequest, answer: DiffResult, git: Git, ports: Ports, log: ProgramLog
) -> RefinedDiff:
    """The answer with what templates say of its targets. Programs of the repository are run for it:
    a person has asked for that.
    """
    began = ports.clock.elapsed()
    questions = _questions(answer, ports)
    sides = list(_sides(request, answer, questions, git, ports, log))
    refinements = _refinements(questions, sides)
    refined = with_refinements(answer, refinements)
    took = ports.clock.elapsed() - began
    if took >= WORTH_SAYING_S:  # else everything was known already
        note_duration(took, ports.root, ports.cache)
    return replace(refined, seconds=took)


def _questions(answer: DiffResult, ports: Ports) -> list[TemplateQuestion]:
    """A question for each target of a kind that synthesizes, in each location."""
    rules = answer.rules
    environment = find_environment(answer.environment, rules)
    chosen = synthesizing_targets(rules)
    questions: list[TemplateQuestion] = []
    for location in run_jobs.locations(environment, None, None):
        if location.provider == AWS and not location.region:
            location = replace(location, region=default_region(location.profile))
        jobs = run_jobs.jobs_without_run(
            chosen, [location], variables_of(environment), rules.targets
        )
        if answer.base.kind in (BaseKind.LAST, BaseKind.LIVE):
            questions += _against_record(jobs, location, answer, ports)
        else:
            commits = answer.base.commits
            nothing = "" if commits else NOT_RECORDED
            questions += [TemplateQuestion(job, commits=commits, nothing=nothing) for job in jobs]
    return [
        TemplateQuestion(question.job, nothing=HOOKS)
        if rules.targets[question.job.target].hooks.before
        else question
        for question in questions
    ]


def _against_record(
    jobs: Sequence[Job], location: Location, answer: DiffResult, ports: Ports
) -> Iterator[TemplateQuestion]:
    """The questions whose other side is the last good deploy, as far as that is certain."""
    first = answer.first_base
    find = store_for if location.store else existing_store
    try:
        store = find(answer.rules, ports, location.profile)
        ledger = None if store is None else open_ledger(store, location, ports)
        contents = None if ledger is None else ledger.all()
    except ToolkitError as problem:
        for job in jobs:
            yield TemplateQuestion(job, nothing=problem.in_words)
        return
    for job in jobs:
        if ledger is None or contents is None:
            yield _unrecorded(job, first)
        elif job.target in contents.damaged:
            yield TemplateQuestion(job, nothing=contents.damaged[job.target])
        else:
            records = contents.records.get(job.target, ())
            if not records:
                yield _unrecorded(job, first)
                continue
            question = _against_deploy(job, records, ledger)
            if answer.base.kind is BaseKind.LIVE:
                question = _against_live(question, records, ledger, ports)
            yield question


def _unrecorded(job: Job, first: Base | None) -> TemplateQuestion:
    """The question about a target without a record: what changes since the default base."""
    if first is None or not first.commits:
        return TemplateQuestion(job, nothing=NOT_RECORDED)
    return TemplateQuestion(job, commits=first.commits)


def _against_deploy(job: Job, records: Sequence[Record], ledger: Ledger) -> TemplateQuestion:
    newest = records[0]
    if newest.verdict not in GOOD or newest.unsure:
        return TemplateQuestion(job, nothing=f"its last deploy (run {newest.run}) did not end well")
    location = replace(
        job.location,
        account=job.location.account or newest.account,
        region=job.location.region or newest.region,
    )
    job = replace(job, location=location)
    try:
        text = ledger.body(newest.stack)
    except ToolkitError as problem:
        return TemplateQuestion(job, nothing=problem.in_words)
    if text:
        return TemplateQuestion(job, _recorded(text))
    if newest.commit and newest.version == newest.commit:
        return TemplateQuestion(job, commits=(newest.commit,))
    return TemplateQuestion(job, nothing=NOT_RECORDED)


def _against_live(
    question: TemplateQuestion, records: Sequence[Record], ledger: Ledger, ports: Ports
) -> TemplateQuestion:
    """The question whose other side is what the provider says is deployed, as far as that can be
    compared: the record does not know what somebody has changed by hand.
    """
    if question.deployed is None or question.deployed.unknown:
        return question
    kind = targets.kind(question.job.kind)
    try:
        body = ledger.body(records[0].body) or ""
    except ToolkitError as problem:
        return replace(question, deployed=not_synthesized(problem))
    job = replace(question.job, recorded=recorded_deploy(records, kind))
    live: Synthesis = kind.live_synthesis(job, ports, question.deployed.stacks, body)
    return replace(question, deployed=live)


def _sides(
    request: DiffRequest,
    answer: DiffResult,
    questions: Sequence[TemplateQuestion],
    git: Git,
    ports: Ports,
    log: ProgramLog,
) -> Iterator[_Sides]:
    """Both sides of each question that can be asked."""
    recorded = [question for question in questions if question.deployed is not None]
    by_commit = [question for question in questions if question.commits]
    if recorded and not request.committed:
        jobs = [question.job for question in recorded]

        def again(jobs: Sequence[Job]) -> tuple[Synthesis, ...]:
            return synthesize(jobs, ports, log, again=True)

        # The very folder that a deploy synthesizes, too: the assembly is the same.
        for question, after in zip(recorded, synthesize(jobs, ports, log), strict=True):
            yield _Sides(question, _deployed(question), after, again)
        recorded = []
    asked = [*recorded, *by_commit]
    if not asked:
        return
    commits = CommitSyntheses(git, ports, log)
    try:
        head = _head(request, answer, git, commits)
    except ToolkitError as problem:  # a file that cannot be read, for example
        for question in asked:
            yield _Sides(question, (), not_synthesized(problem), lambda jobs: ())
    else:
        yield from _sides_of_commits(asked, head, commits)


def _sides_of_commits(
    asked: Sequence[TemplateQuestion], head: str, commits: CommitSyntheses
) -> Iterator[_Sides]:
    """Both sides of each question, where what would be deployed is the commit `head`."""

    def head_again(jobs: Sequence[Job]) -> tuple[Synthesis, ...]:
        return commits.at(head, jobs, again=True)

    afters = commits.at(head, [question.job for question in asked])
    befores: dict[tuple[str, int], Synthesis] = {}
    for commit in dict.fromkeys(chain.from_iterable(question.commits for question in asked)):
        places = [i for i, question in enumerate(asked) if commit in question.commits]
        made = commits.at(commit, [asked[i].job for i in places])
        befores |= zip([(commit, i) for i in places], made, strict=True)
    moved = commits.moved_submodule([head, *(commit for commit, _ in befores)])
    if moved:
        afters = (Synthesis(unknown=moved),) * len(asked)
    for i, (question, after) in enumerate(zip(asked, afters, strict=True)):
        before = tuple(befores[commit, i] for commit in question.commits)
        yield _Sides(question, before or _deployed(question), after, head_again)


def _head(request: DiffRequest, answer: DiffResult, git: Git, commits: CommitSyntheses) -> str:
    """The commit that holds what would be deployed, uncommitted files included."""
    commit = answer.head.commit or git.require_head()
    if request.committed or not answer.head.dirty:
        return commit
    return commits.of_files()


def _deployed(question: TemplateQuestion) -> tuple[Synthesis, ...]:
    return () if question.deployed is None else (question.deployed,)


def _recorded(text: str) -> Synthesis:
    stacks = decode(text)
    if stacks is None:
        return Synthesis(unknown="another version of toolkit has recorded its templates")
    return Synthesis(stacks)


def _refinements(
    questions: Sequence[TemplateQuestion], sides: Sequence[_Sides]
) -> dict[str, Refinement]:
    """What is said of each target: of several locations and bases all count."""
    parts: dict[str, list[Refinement]] = {}
    for question in questions:
        if question.nothing:
            nothing = Refinement(RefinedState.NOT_COMPARED, why=question.nothing)
            parts.setdefault(question.job.target, []).append(nothing)
    differing: dict[Callable[..., tuple[Synthesis, ...]], list[_Sides]] = {}
    for side in sides:
        target = parts.setdefault(side.question.job.target, [])
        unknown = next((before for before in side.before if before.unknown), None)
        if side.after.unknown:
            target.append(_without_answer(RefinedState.UNKNOWN, side.after, side.after))
        elif unknown is not None:
            target.append(_without_answer(RefinedState.NOT_COMPARED, unknown, side.after))
        elif any(differs(before.stacks, side.after.stacks) for before in side.before):
            differing.setdefault(side.again, []).append(side)
        else:
            target.append(_compared(side, None))
    # Only where something differs is it synthesized once more: what is different each time says
    # nothing.
    for again, several in differing.items():
        twice = again([side.question.job for side in several])
        for side, second in zip(several, twice, strict=True):
            parts[side.question.job.target].append(_compared(side, second))
    return {name: _merged(several) for name, several in parts.items()}


def _compared(side: _Sides, second: Synthesis | None) -> Refinement:
    """A target in one location. A second synthesis that failed where the first did not leaves its
    target unknown.
    """
    if second is not None and second.unknown:
        return _without_answer(RefinedState.UNKNOWN, second, side.after)
    comparisons: list[StackComparison] = []
    for before in side.before:
        again = None if second is None else second.stacks
        comparisons += compare(before.stacks, side.after.stacks, again)
    return Refinement(
        _state(comparisons),
        examine(comparisons, side.after.stacks),
        why_unknown(comparisons),
        _code_owners(side.question.job.kind, comparisons, side.after.stacks),
        side.after.remarks,
    )


def _without_answer(state: RefinedState, unknown: Synthesis, after: Synthesis) -> Refinement:
    """What is said of a target of which one synthesis is unknown."""
    return Refinement(state, why=unknown.unknown, remarks=after.remarks, output=unknown.output)


def _code_owners(
    kind: str, comparisons: Sequence[StackComparison], stacks: Sequence[SynthesizedStack]
) -> tuple[Resource, ...] | None:
    """Whose code is all that differs; None where more does, or nothing is known by name."""
    code_owners = targets.kind(kind).code_owners
    by_id = {stack.id: stack for stack in stacks}
    every: dict[Resource, None] = {}
    for comparison in comparisons:
        if comparison.state is StackState.UNCHANGED:
            continue
        stack = by_id.get(comparison.id)
        owners = None if stack is None else code_owners(comparison, stack)
        if owners is None:
            return None
        every |= dict.fromkeys(owners)
    return tuple(every) or None


def _state(comparisons: Sequence[StackComparison]) -> RefinedState:
    states = {comparison.state for comparison in comparisons}
    if StackState.UNKNOWN in states or not states:
        return RefinedState.UNKNOWN
    return RefinedState.UNCHANGED if states == {StackState.UNCHANGED} else RefinedState.CHANGED


def _merged(several: Sequence[Refinement]) -> Refinement:
    """The worst of all locations counts."""
    order = (
        RefinedState.UNKNOWN,
        RefinedState.CHANGED,
        RefinedState.NOT_COMPARED,
        RefinedState.UNCHANGED,
    )
    state = next(state for state in order if any(part.state is state for part in several))
    stacks = tuple(chain.from_iterable(part.stacks for part in several))
    told = next((part for part in several if part.state is state and part.why), Refinement(state))
    changed = [part.code for part in several if part.state is RefinedState.CHANGED]
    code = None
    if state is RefinedState.CHANGED and None not in changed:
        code = tuple(dict.fromkeys(chain.from_iterable(owners or () for owners in changed)))
    remarks = tuple(dict.fromkeys(chain.from_iterable(part.remarks for part in several)))
    return Refinement(state, stacks, told.why, code, remarks, told.output)
