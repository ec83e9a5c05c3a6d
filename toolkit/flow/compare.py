"""`diff`: what is out of date, why, and the narrowest plan."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain, product

from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.advice import Advice, NextCommand, ShellCommand, advice_parts
from toolkit.changes import base as bases
from toolkit.changes import detect
from toolkit.errors import GitError, RulesError, UsageError
from toolkit.flow.advice import same_options
from toolkit.flow.build_inputs import input_targets
from toolkit.flow.consumers import consumers
from toolkit.flow.decisions import debugged
from toolkit.flow.rulebook import (
    deploy_command,
    environment_name,
    fallback_targets,
    instructions,
    load_rules,
    own_paths,
    path_owners,
    read_rules,
    rule_book,
    rules_path,
    settings_digest,
    target_settings,
    uncounted_plan,
)
from toolkit.flow.trusted import load_trusted, trust_notice
from toolkit.impact.touch import RuleBook, SharedTouch, Users, merge_impacts, touch
from toolkit.model import (
    Base,
    BaseChoice,
    BaseKind,
    Change,
    DiffResult,
    Direction,
    FileCounts,
    Head,
    Impact,
    Plan,
    Reason,
    ReasonOrigin,
    Rules,
    Standing,
    TargetState,
    UnmatchedPolicy,
    Version,
)
from toolkit.plan import build
from toolkit.plan.graph import Graph
from toolkit.ports import files
from toolkit.ports.git import Git, TreeChange


class DiffRequest(Struct, frozen=True):
    """What a person asked `diff` for. `changes` are paths that stand in for git's answer, and
    `changes_name` is where they were read from.
    """

    folder: str
    base: str | None = None
    rules: str | None = None
    environment: str | None = None
    committed: bool = False
    changes: tuple[Change, ...] | None = None
    changes_name: str = ""
    allowed: bool = False
    """Whether this rules.toml may decide by itself, whatever the trusted base says."""
    plan: str | None = None
    """A plan's own file, as git names it: no change, unless a rule matches it."""


class FormerRules(Struct, frozen=True):
    """The rules that were in force at other points, where they differ. `unknown` says why every
    target has to count as due.

    `paths` are those of rules.toml, today's and those at the base.
    """

    books: tuple[RuleBook, ...] = ()
    paths: frozenset[str] = frozenset()
    notes: tuple[Advice, ...] = ()
    unknown: Advice | None = None


class FailedRun(Struct, frozen=True):
    """What a run was to deploy, and how that ended."""

    run: str
    ended: str
    version: str
    fingerprint: str
    settings: str


class RecordedBase(Struct, frozen=True):
    """What is recorded of one target in one region. `unknown` says why nothing can be compared
    with it; `since`, what came after it and was not good, so that something else may be live. One
    that is `dirty` is not just its commit. `unrecorded`: nothing was ever recorded of it there.
    `failed` is what the last run deployed, if that was not good or was rolled back.
    """

    commit: str | None
    fingerprint: str
    dirty: bool = False
    unknown: Advice | None = None
    since: Advice | None = None
    settings: str = ""
    run: str = ""
    unrecorded: bool = False
    generated: str | None = ""
    """What its version's name says of the files that git ignores and its build takes; None where
    nobody knows.
    """
    failed: FailedRun | None = None
    notes: tuple[str, ...] = ()
    """What else there is to say of what is live."""
    due_for: tuple[Advice, ...] = ()
    """What makes it due whatever the files say: inputs outside git that have changed, drift."""
    unsure_of: tuple[Advice, ...] = ()
    """Why nobody knows whether something else does."""


UNRECORDED = RecordedBase(None, "", unknown="no deploy is recorded", unrecorded=True)

MOST_FORMER_RULES = 16
"""How many versions of rules.toml, each with what it makes of the changes, are held at a time."""

Points = Mapping[str, tuple[RecordedBase, ...]]
"""Target -> its record in each region; targets that are left out have none."""

Records = Callable[[str, Rules, str | None], Points]
"""What is recorded as deployed (`last`), or what the cloud says (`live`), in an environment."""


class Comparison(Struct, frozen=True):
    """What is compared with one base, for some of the targets (None: for all).

    `because` says why they are due whatever changed, `short` the same without the target's name,
    where it is for one; `doubtful`, that it is unknown what is live of them.
    """

    changes: Sequence[Change]
    before: FormerRules
    leaves: frozenset[str] | None = None
    because: Advice | None = None
    short: Advice = ""
    doubtful: bool = False


class _DiffInputs(Struct, frozen=True):
    """What every part of one answer is made from. `tree` is a look at the working tree, None where
    only commits are compared.
    """

    request: DiffRequest
    rules: Rules
    graph: Graph
    book: RuleBook
    tree: detect.WorkingTree | None = None


def _inputs(request: DiffRequest, rules: Rules) -> _DiffInputs:
    """Made ready while git is at work: the look at the working tree is still to come."""
    graph = Graph(rules.targets)
    return _DiffInputs(request, rules, graph, RuleBook(rules, graph.covered))


@debugged
def diff(
    request: DiffRequest,
    git: Git | None,
    records: Records | None = None,
    look: detect.Look | None = None,
) -> DiffResult:
    """What is out of date, why, and the narrowest plan. Without `records`, `last` and `live` are
    refused. `look` is one at the working tree that has begun already; where the cloud is asked for
    the records, it is ended, and another one begun after that.
    """
    if request.changes is not None:
        return _diff_of_paths(request, request.changes, git)
    if git is None:
        raise UsageError(
            "this is not a repository, and there is no --paths-from", "run it in a git repository"
        )
    git.require_head()
    reads_tree = not request.committed and not bases.is_range(request.base)
    with ExitStack() as started:
        if records is not None and request.base in (None, *bases.RECORDED):
            rules = _rules(request, git)
            name = environment_name(request.environment, rules)
            if look is not None and _takes_seconds(request, rules):
                look.stop()  # somebody may save a file while the cloud is asked
                look = None
            points = records(request.base or "last", rules, name)
            if reads_tree and look is None:
                look = started.enter_context(detect.Look(git))
            return _diff_of_records(request, rules, points, git, look)
        if reads_tree and look is None:
            look = started.enter_context(detect.Look(git))
        return _diff_of_commits(request, git, look)


def _takes_seconds(request: DiffRequest, rules: Rules) -> bool:
    """Whether the cloud is asked for the records, also those of other environments."""
    has_store = any(environment.store for environment in rules.environments.values())
    return request.base == BaseKind.LIVE or has_store


def _diff_of_commits(request: DiffRequest, git: Git, look: detect.Look | None) -> DiffResult:
    """What the change since a base calls for, whatever is deployed."""
    base, end = bases.choose(request.base, git)
    commit = end or git.require_head()
    with ExitStack() as started:
        diffs = [started.enter_context(git.diff_trees(start, commit)) for start in base.commits]
        rules = _rules(request, git)  # while git is at work
        before = RulesBefore(request, rules, git, commit if look is None else None)
        before.read(base.commits)
        inputs = _inputs(request, rules)
        changes = detect.between(diffs)
    if look is not None:
        inputs = replace(inputs, tree=look.finish())
    part = _part(inputs, base, changes, before, git)
    judge = _Judge(inputs, _users(inputs, git, commit))
    return _answer(judge, base, _head(git, end, inputs.tree), [judge.impact_of([part])])


def _rules(request: DiffRequest, git: Git) -> Rules:
    """The rules for a request. What is out of date is judged as the trusted base says; what a
    change between two points calls for is not judged.
    """
    if request.base in (None, *bases.RECORDED):
        return load_trusted(request.folder, request.rules, git, request.allowed)
    return load_rules(request.folder, request.rules, git)


def _head(git: Git, end: str | None, tree: detect.WorkingTree | None) -> Head:
    dirty = None if tree is None else bool(tree.paths)
    return Head(end, None, dirty) if end else Head(git.head, git.branch, dirty)


def _part(
    inputs: _DiffInputs, base: Base, committed: Sequence[Change], before: "RulesBefore", git: Git
) -> Comparison:
    """The comparison with one base: up to the working tree where that was read."""
    tree = inputs.tree
    if tree is None:
        return Comparison(committed, before.at(base))
    if base.commits:
        changes = detect.in_work_tree(committed, git, base.commits, tree)
    else:
        changes = detect.uncommitted(git, tree)
    return Comparison(changes, before.at(base))


def _diff_of_records(
    request: DiffRequest, rules: Rules, points: Points, git: Git, look: detect.Look | None
) -> DiffResult:
    """Each target against its own record. One without a record is unknown, and so due."""
    head = git.require_head()
    commits = [str(point.commit) for point in chain.from_iterable(points.values()) if point.commit]
    in_clone = git.held(commits)  # asked while `git status` is at work
    inputs = _inputs(request, rules)
    if look is not None:
        tree = look.finish(uncounted_plan(request.plan, rules, git))
        inputs = replace(inputs, tree=tree)
    leaves = sorted(name for name, target in rules.targets.items() if not target.members)
    recorded = {name: points.get(name) or (UNRECORDED,) for name in leaves}
    content = _Content(inputs, git, in_clone)
    unrecorded = frozenset(
        name for name in leaves if any(point.unrecorded for point in recorded[name])
    )
    failed = {
        name: words for name in leaves if (words := _failed_before(name, recorded[name], content))
    }
    parts: list[Comparison] = []
    # Target -> the commits that it is compared with; none where its content is as deployed.
    compared: dict[str, tuple[str, ...]] = {}
    for name in leaves:
        if name in unrecorded:
            continue
        parts += _due_besides(name, recorded[name])
        part = _without_comparison(name, recorded[name], content)
        if part is not None:
            parts.append(part)
        elif content.same(name, recorded[name]):
            compared[name] = ()
        else:
            parts += _due_anyway(name, recorded[name], content)
            compared[name] = tuple(sorted({str(point.commit) for point in recorded[name]}))
    judge = _Judge(inputs, _users(inputs, git, head))
    without_record = judge.impact_of(_unrecorded_parts(unrecorded, recorded))
    with _ComparedParts(inputs, compared, git) as compared_parts:
        with_record = judge.impact_of(chain(parts, compared_parts))
    chosen = BaseChoice.LAST_RECORDED
    if len(unrecorded) == len(leaves):
        chosen = BaseChoice.NOT_RECORDED
    base = _base_of_records(request, chosen, {name: compared.get(name, ()) for name in leaves})
    answer = _answer(judge, base, _head(git, None, inputs.tree), [without_record, with_record])
    if unrecorded:
        answer = _with_first_step(answer, judge, with_record, unrecorded, git)
    due = _covered(answer, rules)
    failed = {name: words for name, words in failed.items() if name in due}
    return replace(
        answer,
        standings=_standings(answer, points, rules, content, git),
        failed_before=failed,
        notes=(*answer.notes, *_record_notes(recorded, failed)),
    )


class _ComparedParts:
    """The parts of the targets that are compared with commits, one after the other as git gives
    them: all differences at once may be more than fits into memory. Iterate once, as a context
    manager.
    """

    def __init__(
        self, inputs: _DiffInputs, compared: Mapping[str, tuple[str, ...]], git: Git
    ) -> None:
        self._inputs = inputs
        # Targets of the same commits are compared at once.
        self._groups: dict[tuple[str, ...], set[str]] = {}
        for name, commits in compared.items():
            if commits:
                self._groups.setdefault(commits, set()).add(name)
        self._commits = list(chain.from_iterable(self._groups))
        self._git = git
        self._started = ExitStack()

    def __enter__(self) -> Iterator[Comparison]:
        if not self._commits:
            return iter(())
        head = self._git.require_head()
        return self._parts(self._started.enter_context(self._git.diffs(self._commits, head)))

    def __exit__(self, *_: object) -> None:
        self._started.close()

    def _parts(self, diffs: Iterable[list[TreeChange]]) -> Iterator[Comparison]:
        inputs, tree = self._inputs, self._inputs.tree
        head = self._git.require_head()
        end = head if tree is None else None
        before = RulesBefore(inputs.request, inputs.rules, self._git, end)
        before.read(self._commits)
        trees = None if tree is None else detect.TreeComparisons(self._git, tree)
        each = iter(diffs)
        for commits, names in self._groups.items():
            differences = {commit: next(each) for commit in commits}
            if trees is None:
                changes = detect.between(differences.values())
            else:
                changes = trees.changes(differences)
            base = Base(BaseKind.LAST, None, commits, BaseChoice.RECORDED)
            yield _of_targets(Comparison(changes, before.at(base)), names)


def _base_of_records(
    request: DiffRequest, chosen: BaseChoice, compared: Mapping[str, tuple[str, ...]]
) -> Base:
    commits: dict[str, None] = {}
    for name in sorted(compared):
        commits |= dict.fromkeys(compared[name])
    if request.base == BaseKind.LIVE:
        return Base(BaseKind.LIVE, None, tuple(commits), BaseChoice.LIVE, compared)
    return Base(BaseKind.LAST, None, tuple(commits), chosen, compared)


def _record_notes(
    recorded: Mapping[str, Sequence[RecordedBase]], failed: Mapping[str, str]
) -> Iterator[str]:
    """What there is to say of what is live, and of deploys that have failed before."""
    for name, points in recorded.items():
        notes: dict[str, None] = {}
        for point in points:
            notes |= dict.fromkeys(point.notes)
        for note in notes:
            yield f"{name}: {note}"
    for name, words in failed.items():
        yield f"{name}: {words}; deploying it again may end the same way"


def _unrecorded_parts(
    unrecorded: frozenset[str], recorded: Mapping[str, Sequence[RecordedBase]]
) -> list[Comparison]:
    """A part for each reason why nothing is recorded, with its targets."""
    by_reason: dict[str, set[str]] = {}
    for name in unrecorded:
        why = next(str(point.unknown) for point in recorded[name] if point.unrecorded)
        by_reason.setdefault(why, set()).add(name)
    return [
        Comparison((), FormerRules(), frozenset(names), why, doubtful=True)
        for why, names in sorted(by_reason.items())
    ]


def _failed_before(name: str, recorded: Sequence[RecordedBase], content: "_Content") -> str:
    """The run that deployed exactly what would be deployed now, but was not good, and how it
    ended; empty if there is none.
    """
    for point in recorded:
        failed = point.failed
        if failed is None:
            continue
        tried = (failed.fingerprint, failed.settings)
        if tried == (point.fingerprint, point.settings):
            continue  # it was good another time
        now = content.version(name)
        if tried == (now.fingerprint, content.settings(name)):
            what = "the same content"
            if failed.version == now.name or failed.version.startswith(f"{now.name}-generated-"):
                what = "this commit"
            return f"run {failed.run} of {what} {failed.ended}"
    return ""


def _covered(answer: DiffResult, rules: Rules) -> set[str]:
    """The targets that the plan deploys, groups written out."""
    graph = Graph(rules.targets)
    return set[str]().union(*(graph.leaves(step.target) for step in answer.plan.steps))


def _without_comparison(
    name: str, recorded: Sequence[RecordedBase], content: "_Content"
) -> Comparison | None:
    """The part of a target whose record cannot be compared with any commit; None if it can."""
    unknown = next((point.unknown for point in recorded if point.unknown), None)
    if unknown:
        return _due_because(name, unknown, doubtful=True)
    missing = next(
        (str(point.commit) for point in recorded if not content.holds(str(point.commit))), None
    )
    if missing is None or content.same(name, recorded):
        return None
    if all(point.fingerprint for point in recorded):
        why = f"its content differs from what was deployed at {missing[:12]}"
        return _due_because(name, f"{why}, which is not in this clone")
    absent = f"its last deploy was of commit {missing[:12]}, which is not in this clone ("
    return _due_because(name, (absent, content.fetch_all(), ")"), doubtful=True)


def _due_because(name: str, why: Advice, doubtful: bool = False) -> Comparison:
    """The part of a target that is due whatever changed."""
    because, only = (f"{name}:", *advice_parts(why)), frozenset((name,))
    return Comparison((), FormerRules(), only, because, why, doubtful)


def _due_anyway(
    name: str, recorded: Sequence[RecordedBase], content: "_Content"
) -> Iterator[Comparison]:
    """The parts of a target that is due whatever changed since the commit of its last deploy."""
    only = frozenset((name,))
    if any(point.dirty for point in recorded):
        because = f"{name} was deployed with uncommitted files that have changed since"
        yield Comparison((), FormerRules(), only, because)
    since = next((point.since for point in recorded if point.since), None)
    if since:
        part = _due_because(name, since)
        yield replace(part, before=FormerRules(notes=(part.because or "",)))
    if any(point.settings and point.settings != content.settings(name) for point in recorded):
        because = f"the settings of {name} differ from those that it was deployed with"
        yield Comparison((), FormerRules(), only, because)


def _due_besides(name: str, recorded: Sequence[RecordedBase]) -> Iterator[Comparison]:
    """The parts of a target that is due, or may be, for what is not in its files."""
    reasons: dict[tuple[Advice, bool], None] = {}
    for point in recorded:
        reasons |= dict.fromkeys((words, False) for words in point.due_for)
        reasons |= dict.fromkeys((words, True) for words in point.unsure_of)
    for words, doubtful in reasons:
        part = _due_because(name, words, doubtful)
        # A table has room for its beginning only.
        yield replace(part, before=FormerRules(notes=(part.because or "",)))


class _Content:
    """The content of the targets as it is now. It is digested only when it is needed: mostly the
    commits say enough.
    """

    def __init__(self, inputs: _DiffInputs, git: Git, in_clone: frozenset[str]) -> None:
        self._rules, self._git = inputs.rules, git
        self._environment = environment_name(inputs.request.environment, inputs.rules)
        self._tree = inputs.tree or detect.WorkingTree((), ())
        self._settings = target_settings(inputs.rules, self._environment)
        self._versions: Mapping[str, Version] | None = None
        self._in_clone = in_clone
        self._fetch: ShellCommand | None = None

    def holds(self, commit: str) -> bool:
        """Whether this clone has a recorded commit."""
        return commit in self._in_clone

    def fetch_all(self) -> ShellCommand:
        """The command that gets every commit. Git is asked once: many targets may need it."""
        if self._fetch is None:
            self._fetch = self._git.fetch_all()
        return self._fetch

    def settings(self, name: str) -> str:
        """The digest of a target's settings."""
        return settings_digest(self._settings[name])

    def same(self, name: str, recorded: Sequence[RecordedBase]) -> bool:
        """Whether content and settings are the very same as deployed everywhere, whatever the
        commits. Content is only compared where that says more than the commits do: where one is not
        in this clone, or what was deployed is not what it holds.
        """
        if any(point.unknown or point.since or not point.fingerprint for point in recorded):
            return False
        if all(not point.dirty and self.holds(str(point.commit)) for point in recorded):
            return False
        if any(point.settings != self.settings(name) for point in recorded):
            return False  # also where nobody knows them: rules.toml as it was cannot be asked
        return {point.fingerprint for point in recorded} == {self.version(name).fingerprint}

    def version(self, name: str) -> Version:
        """What would be deployed of a target."""
        if self._versions is None:
            from toolkit.flow.versions import target_versions

            self._versions = target_versions(
                self._settings,
                self._rules,
                self._environment,
                self._git,
                self._tree,
                without_generated=True,
            ).versions
        return self._versions[name]


def _with_first_step(
    answer: DiffResult,
    judge: "_Judge",
    recorded: "_Judgement",
    unrecorded: frozenset[str],
    git: Git,
) -> DiffResult:
    """The answer with what the changes since the default base call for, which a newcomer wants to
    see first. The plan still holds every target without a record.
    """
    inputs = judge.inputs
    not_asked = []
    for name in sorted(unrecorded):
        target = inputs.rules.targets[name]
        kind = targets.kind(target.kind)
        if kind.live_starts_programs or kind.runnable(target.settings) is not None:
            not_asked.append(name)
    answer = replace(answer, unrecorded=tuple(sorted(unrecorded)), live_not_asked=tuple(not_asked))
    head = git.require_head()
    try:
        base = bases.choose(None, git)[0]
    except GitError:  # nothing in common with the mainline
        return answer
    if not base.commits:
        return answer
    change = _against(inputs, base, unrecorded, git, head)
    if change.because:
        return answer
    without = judge.impact_of([change])
    small = _answer(judge, base, answer.head, [recorded, without])
    impact = merge_impacts([answer.impact, replace(small.impact, targets={}, checks={})])
    impact = replace(impact, checks=small.impact.checks)
    shown_base = answer.base
    counts = None
    if shown_base.chosen == BaseChoice.NOT_RECORDED:
        shown_base = replace(shown_base, name=base.name, commits=base.commits)
    elif without.impact is not None:
        counts = FileCounts(answer.impact.touched, len(without.impact.touched))
    return replace(
        answer,
        base=shown_base,
        first=small.plan,
        first_base=base,
        counts=counts,
        impact=impact,
        plan=replace(answer.plan, checks=small.plan.checks),
        refusal=_refusal(inputs.rules, impact),
        reasons=small.impact.targets,
    )


def _standings(
    answer: DiffResult, points: Points, rules: Rules, content: "_Content", git: Git
) -> dict[str, Standing]:
    """How HEAD stands to what is live of each target that is due, where it is not simply ahead."""
    from toolkit.changes.direction import standing, unanswered

    head = git.require_head()
    live = set[tuple[str, str]]()
    for name in _covered(answer, rules):
        for point in points.get(name, ()):
            if point.commit and point.commit != head:
                live.add((name, str(point.commit)))
    present = {commit for _, commit in live if content.holds(commit)}
    # One call of git for all of them: mostly each is in the history of HEAD.
    outside = git.outside(present, head) if present else frozenset[str]()
    live = {(name, commit) for name, commit in live if commit in outside or commit not in present}
    if not live:
        return {}
    owned = path_owners(rules, rules_path(rules, git))
    users = input_targets(rules, answer.environment, git, head if git.bare else None).by
    standings: dict[str, Standing] = {}
    for name, commit in sorted(live):
        if commit not in present:
            current = Standing(Direction.UNKNOWN, commit, fetch=content.fetch_all())
        else:
            try:
                current = standing(commit, head, owns(rules, owned, users, name), git)
            except GitError as problem:
                current = unanswered(problem, commit)
        # Of several regions the one that would go backwards counts.
        if current.direction is not Direction.AHEAD and (
            name not in standings or current.backwards
        ):
            standings[name] = current
    return standings


def owns(
    rules: Rules, owned: Callable[[str], Collection[str] | None], users: Users, name: str
) -> Callable[[str], bool]:
    """Whether a path can make a target due."""
    falls_back = name in fallback_targets(rules)

    def owns_path(path: str) -> bool:
        owners = owned(path)
        by_rules = falls_back if owners is None else name in owners
        return by_rules or name in users(path)

    return owns_path


def _against(
    inputs: _DiffInputs, base: Base, names: Collection[str], git: Git, head: str
) -> Comparison:
    """The comparison of some targets with one base."""
    with ExitStack() as started:
        committed = detect.between(
            [started.enter_context(git.diff_trees(start, head)) for start in base.commits]
        )
    before = RulesBefore(inputs.request, inputs.rules, git, head if inputs.tree is None else None)
    return _of_targets(_part(inputs, base, committed, before, git), names)


def _of_targets(part: Comparison, names: Collection[str]) -> Comparison:
    """A comparison that is for some targets only."""
    unknown = part.before.unknown
    return replace(part, leaves=frozenset(names), because=unknown, doubtful=unknown is not None)


def _diff_of_paths(request: DiffRequest, changes: Sequence[Change], git: Git | None) -> DiffResult:
    """The answer for a list of paths. What rules.toml was before is not known then, which counts if
    it is on the list.
    """
    rules = load_rules(request.folder, request.rules, git)
    path = rules_path(rules, git)
    unknown = None
    if any(change.path == path for change in changes):
        unknown = f"{rules.file} is among the paths, and its previous content is not known"
    before = FormerRules(
        paths=own_paths(path),
        unknown=unknown,
        notes=() if changes else ("the list of paths is empty",),
    )
    users = input_targets(rules, environment_name(request.environment, rules), git, None).by
    base = Base(BaseKind.PATHS, request.changes_name, (), BaseChoice.PATHS_FROM)
    judge = _Judge(_inputs(request, rules), users)
    return _answer(judge, base, Head(), [judge.impact_of([Comparison(changes, before)])])


def _users(inputs: _DiffInputs, git: Git, commit: str) -> Users:
    """The targets that are built from a path, as the files are that would be deployed. The files
    are read at the first call: without a change there is none.
    """
    by_path: Users | None = None

    def users(path: str) -> Collection[str]:
        nonlocal by_path
        if by_path is None:
            named = environment_name(inputs.request.environment, inputs.rules)
            point = commit if inputs.tree is None else None
            by_path = input_targets(inputs.rules, named, git, point).by
        return by_path(path)

    return users


class RulesBefore:
    """The rules as they were at other commits, where they differ from today's. What cannot be read
    there makes everything due.

    They are looked for where they would have been found then: rules.toml may have been moved, or be
    a link.
    """

    def __init__(self, request: DiffRequest, rules: Rules, git: Git, end: str | None) -> None:
        """`end` is what a base is compared with, None for the working tree: its rules count,
        too.
        """
        self._rules, self._git = rules, git
        self._ends = () if end is None else (end,)
        self._path = rules_path(rules, git)
        self._locations: list[str] = []
        if self._path is not None:
            near = files.relative(request.folder, git.root) or ""
            locations = files.locations_of_rules(self._path, near)
            if request.rules:  # where that file is new, the rules that were in force count
                others = [location for location in locations if location != self._path]
                locations = [self._path, *others]
            self._locations = list(locations)
        self._commits: set[str] = set()
        self._texts: dict[tuple[str, str], bytes | None] = {}
        self._named: set[tuple[str, str]] = set()
        self._former: dict[tuple[object, ...], FormerRules] = {}

    def read(self, commits: Iterable[str]) -> None:
        """Read the files of many commits at once, for `at`."""
        commits = [commit for commit in dict.fromkeys(commits) if commit not in self._commits]
        if not commits or not self._locations:
            return
        commits += [end for end in self._ends if end not in {*commits, *self._commits}]
        self._commits.update(commits)
        keys = list(product(commits, self._locations))
        self._texts |= zip(keys, self._git.blobs(keys), strict=True)
        without = [commit for commit in commits if self._location(commit) is None]
        if without:
            self._named |= self._git.holding(without, self._locations)

    def at(self, base: Base) -> FormerRules:
        """The rules at a base and at the end, where they differ from today's."""
        if base.kind == BaseKind.NONE:
            return FormerRules(unknown=base.chosen)
        if self._path is None:
            return FormerRules()
        self.read(base.commits)
        # A text of rules.toml -> where it stands: the path and the commit.
        texts: dict[bytes, tuple[str, str]] = {}
        is_new = False
        for commit in (*base.commits, *self._ends):
            location = self._location(commit)
            if location is not None:
                text = _with_plain_newlines(self._texts[commit, location] or b"")
                texts.setdefault(text, (location, commit))
            elif commit in base.commits:
                is_new = is_new or self._is_missing(commit)
        texts.pop(_with_plain_newlines(self._rules.text.encode()), None)
        locations = (self._path, *(location for location, _ in texts.values()))
        paths = frozenset[str]().union(*map(own_paths, locations))
        key = (*texts, paths, is_new)
        former = self._former.get(key)
        if former is None:
            notes = (f"{self._rules.file} is new: there were no rules at the base",)
            former = _former_rules(self._rules, texts, paths, notes if is_new else ())
            if len(self._former) >= MOST_FORMER_RULES:
                self._former.clear()
            self._former[key] = former
        return former

    def _location(self, commit: str) -> str | None:
        """Where rules.toml stood at a commit."""
        for location in self._locations:
            if self._texts[commit, location] is not None:
                return location
        return None

    def _is_missing(self, commit: str) -> bool:
        """Whether a commit has no rules.toml. Raises MissingCommit where a partial clone has not
        fetched the file: then it is not missing.
        """
        named = [place for place in self._locations if (commit, place) in self._named]
        return None in [
            *(self._git.blob(commit, place) for place in named),
            *(None for place in self._locations if place not in named),
        ]


def _with_plain_newlines(text: bytes) -> bytes:
    return text.replace(b"\r\n", b"\n")


def _former_rules(
    rules: Rules,
    texts: Mapping[bytes, tuple[str, str]],
    paths: frozenset[str],
    notes: tuple[str, ...],
) -> FormerRules:
    try:
        books = tuple(
            rule_book(read_rules(text, f"{location} at {commit[:12]}"))
            for text, (location, commit) in texts.items()
        )
    except RulesError:
        unknown = f"{rules.file} changed, and its previous content cannot be read"
        return FormerRules(paths=paths, unknown=unknown)
    if books:
        notes = (*notes, f"{rules.file} changed: its old and its new rules both count")
    return FormerRules(books, paths, notes)


class _Judgement(Struct, frozen=True):
    """What some comparisons call for. `unknown` says why every target is due; `doubtful` are those
    of which it is unknown what is live. Without any comparison there is no impact.
    """

    impact: Impact | None
    unknown: Advice | None = None
    doubtful: frozenset[str] = frozenset()
    notes: tuple[Advice, ...] = ()


class _Judge:
    """Judges comparisons by the rules of today, and those before. Each comparison is taken, judged
    and dropped, for there may be many, and with many changes.
    """

    def __init__(self, inputs: _DiffInputs, users: Users) -> None:
        self.inputs, self._users = inputs, users
        rules = inputs.rules
        self.environment = environment_name(inputs.request.environment, rules)
        self.graph, self._today = inputs.graph, inputs.book
        self._shared: dict[tuple[object, ...], SharedTouch] = {}

    def impact_of(self, parts: Iterable[Comparison]) -> _Judgement:
        """What these comparisons call for together."""
        unknown: list[Advice] = []
        doubtful: set[str] = set()
        notes: dict[Advice, None] = {}

        def impacts() -> Iterator[Impact]:
            for part in parts:
                if part.leaves is None and part.before.unknown:
                    unknown.append(part.before.unknown)
                if part.doubtful:
                    doubtful.update(part.leaves or ())
                notes.update(dict.fromkeys(part.before.notes))
                yield self._impact(part)

        each = impacts()
        first = next(each, None)
        impact = None if first is None else merge_impacts(chain((first,), each))
        return _Judgement(impact, next(iter(unknown), None), frozenset(doubtful), tuple(notes))

    def _impact(self, part: Comparison) -> Impact:
        """What one comparison calls for, of the targets that it is for."""
        before, changed = part.before, dict[str, tuple[Reason, ...]]()
        if before.books:
            changed = _changed_settings(self._today, before.books, self.environment)
        if part.leaves is not None and not part.because:
            return self._touch(before).limited(part.changes, changed, part.leaves, self.graph)
        impact = touch(part.changes, self._today, before.books, before.paths, self._users)
        if before.books:
            impact = merge_impacts([impact, Impact((), changed, {})])
        if part.leaves is None:
            return impact
        why = part.because or ""
        reason = (Reason("", why, "", None, ReasonOrigin.WORDS, part.short),)
        names = _in_groups(part.leaves, self.graph, self._today.rules)
        return replace(impact, targets=dict.fromkeys(names, reason))

    def _touch(self, before: FormerRules) -> SharedTouch:
        key = (before.books, before.paths)
        shared = self._shared.get(key)
        if shared is None:
            shared = SharedTouch(self._today, before.books, before.paths, self._users)
            if len(self._shared) >= MOST_FORMER_RULES:
                self._shared.clear()
            self._shared[key] = shared
        return shared


def _answer(judge: _Judge, base: Base, head: Head, judgements: Sequence[_Judgement]) -> DiffResult:
    inputs, named, graph = judge.inputs, judge.environment, judge.graph
    request, rules, tree = inputs.request, inputs.rules, inputs.tree
    if rules.trust.is_due(named):
        leaves = frozenset(name for name, target in rules.targets.items() if not target.members)
        because = f"the rules that judge a deploy differ from {rules.trust.ref}"
        due = judge.impact_of([Comparison((), FormerRules(), leaves, because)])
        judgements = (*judgements, due)
    impact = merge_impacts(part.impact for part in judgements if part.impact is not None)
    unknown = next((part.unknown for part in judgements if part.unknown), None)
    if unknown:
        plan = build.plan_everything(rules, graph, deploy_command, unknown)
        states = dict.fromkeys(rules.targets, TargetState.UNKNOWN)
    else:
        plan = build.build(impact, rules, graph, deploy_command)
        doubtful = frozenset[str]().union(*(part.doubtful for part in judgements))
        states = states_of(rules, plan, graph, doubtful)
    notes: dict[Advice, None] = {}
    for part in judgements:
        notes |= dict.fromkeys(part.notes)
    notes |= dict.fromkeys(_notes(base, head, rules, impact, tree))
    notes |= dict.fromkeys(_following(plan, graph, rules))
    return DiffResult(
        base=base,
        head=head,
        environment=named,
        rules=rules,
        impact=impact,
        plan=plan,
        states=states,
        refusal=_refusal(rules, impact),
        same=same_options(rules, request.rules, request.environment),
        covered=graph.covered,
        uncommitted=() if tree is None else tree.paths,
        notes=tuple(notes),
        told_first=trust_notice(rules, named),
        instructions=instructions(rules),
    )


def _in_groups(leaves: frozenset[str], graph: Graph, rules: Rules) -> list[str]:
    """These targets, and in place of all that a group covers the group itself."""
    groups = [
        name
        for name, target in rules.targets.items()
        if target.members and graph.leaves(name) <= leaves
    ]
    return graph.narrow([*groups, *leaves])


def _changed_settings(
    today: RuleBook, old: Sequence[RuleBook], named: str | None
) -> dict[str, tuple[Reason, ...]]:
    """The targets whose settings have changed: where they are deployed, and with what, is part of
    what is live.
    """
    before = [target_settings(book.rules, named) for book in old]
    changed: dict[str, tuple[Reason, ...]] = {}
    for name, settings in target_settings(today.rules, named).items():
        if any(former.get(name) != settings for former in before):
            line = today.line("targets", name)
            words = f"the settings of {name} changed"
            reason = Reason(today.rules.file, words, "", line, ReasonOrigin.WORDS)
            changed[name] = (reason,)
    return changed


def _notes(
    base: Base, head: Head, rules: Rules, impact: Impact, tree: detect.WorkingTree | None
) -> Iterator[Advice]:
    compare_with_live = "to compare with what is live, run:"
    compare = NextCommand("diff", ("live",))
    if base.kind == BaseKind.NONE:
        yield f"every target counts as due; {compare_with_live}", compare
    if base.chosen == BaseChoice.UPSTREAM and base.commits == (head.commit,):
        yield f"HEAD has nothing that {base.name} does not have; {compare_with_live}", compare
    if len(base.commits) > 1 and base.kind in (BaseKind.REF, BaseKind.RANGE):
        yield f"there are {len(base.commits)} merge bases; a difference from any of them counts"
    if tree is not None and tree.hidden:
        yield (
            f"{_some([state.path for state in tree.hidden])} changed, though assume-unchanged or"
            " skip-worktree hides it from git"
        )
    if tree is not None and tree.unmerged:
        yield f"{_some(tree.unmerged)} in conflict: a merge, rebase or cherry-pick is not finished"
    if impact.removed:
        yield f"no longer in {rules.file}, but nothing removes them: {', '.join(impact.removed)}"


def _following(plan: Plan, graph: Graph, rules: Rules) -> Iterator[Advice]:
    """What a deploy of the plan deploys, too, if outputs change."""
    due = set[str]().union(*(graph.leaves(step.target) for step in plan.steps))
    for name in sorted(consumers(due, rules)):
        target = rules.targets[name]
        used = targets.kind(target.kind).consumes(target.settings)
        yield f"{name} uses outputs of {', '.join(used)}: if they change, it is deployed, too"


def _some(paths: Sequence[str]) -> str:
    """The first of several paths, and how many more there are, with the verb `is` or `are`."""
    if len(paths) == 1:
        return f"{paths[0]!r} is"
    return f"{paths[0]!r} and {len(paths) - 1} more are"


def _refusal(rules: Rules, impact: Impact) -> str | None:
    if rules.unmatched == UnmatchedPolicy.FAIL and impact.unmatched:
        return f'{rules.file} says unmatched = "fail"'
    return None


def states_of(
    rules: Rules, plan: Plan, graph: Graph, doubtful: frozenset[str]
) -> dict[str, TargetState]:
    """A group is due when any part of it is, and unknown when any part of it is."""
    due = set[str]().union(*(graph.leaves(step.target) for step in plan.steps))
    states: dict[str, TargetState] = {}
    for name in rules.targets:
        leaves = graph.leaves(name)
        if not doubtful.isdisjoint(leaves):
            states[name] = TargetState.UNKNOWN
        elif due.isdisjoint(leaves):
            states[name] = TargetState.CLEAN
        else:
            states[name] = TargetState.DUE
    return states
