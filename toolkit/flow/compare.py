"""`diff`: what is out of date, why, and the narrowest plan."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack

from msgspec import Struct
from msgspec.structs import replace

from toolkit.changes import base as bases
from toolkit.changes import detect
from toolkit.errors import GitError, RulesError, UsageError
from toolkit.flow.advice import same_location
from toolkit.flow.decisions import debugged
from toolkit.flow.rulebook import (
    book,
    command,
    environment,
    fallback,
    instructions,
    load_rules,
    owners,
    read_rules,
    rules_path,
    settings_digest,
    settled,
    uncounted,
)
from toolkit.flow.sources import used
from toolkit.flow.trusted import load_trusted, told
from toolkit.impact.touch import RuleBook, Users, limit_to, merge_impacts, no_users, touch
from toolkit.model import (
    Base,
    Change,
    DiffResult,
    Direction,
    Head,
    Impact,
    Plan,
    Reason,
    Rules,
    Standing,
    Version,
)
from toolkit.plan import build
from toolkit.plan.graph import Graph
from toolkit.ports import files
from toolkit.ports.git import Git


class DiffRequest(Struct, frozen=True):
    """What a person asked `diff` for. `given` are paths that stand in for git's answer."""

    folder: str
    base: str | None = None
    rules: str | None = None
    environment: str | None = None
    committed: bool = False
    given: tuple[Change, ...] | None = None
    given_name: str = ""
    allowed: bool = False
    """Whether this rules.toml may decide by itself, whatever the trusted base says."""
    plan: str | None = None
    """A plan's own file, as git names it: it is no change, unless a rule knows it."""


class FormerRules(Struct, frozen=True):
    """The rules that were in force at other points, where they differ. `unknown` says why every
    target has to count as due.

    `own` are the paths of rules.toml, today's and those of then.
    """

    books: tuple[RuleBook, ...] = ()
    own: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    unknown: str | None = None


class FailedRun(Struct, frozen=True):
    """What a run was to deploy, and how that ended."""

    run: str
    ended: str
    version: str
    fingerprint: str
    settings: str


class RecordedBase(Struct, frozen=True):
    """What is recorded of one target in one region. `unknown` says why nothing can be compared with
    it; `since`, what came after it and did not go well, so that something else may be live. One
    that is `dirty` is not just its commit. `unrecorded`: nothing was ever recorded of it there.
    `failed` is what the last run deployed, if that was not good or was taken back.
    """

    commit: str | None
    fingerprint: str
    dirty: bool = False
    unknown: str | None = None
    since: str | None = None
    settings: str = ""
    run: str = ""
    unrecorded: bool = False
    generated: str = ""
    """What its version's name says of the files that git ignores and its build takes."""
    failed: FailedRun | None = None
    notes: tuple[str, ...] = ()
    """What else there is to say of what is live."""


RECORDED, NOT_RECORDED = "last recorded deploy", "nothing is recorded as deployed"
"""What the targets are compared with by `last`."""

UNRECORDED = RecordedBase(None, "", unknown="no deploy is recorded", unrecorded=True)

Points = Mapping[str, tuple[RecordedBase, ...]]
"""Target -> its record in each region; targets that are left out have none."""

Records = Callable[[str, Rules, str | None], Points]
"""What is recorded as deployed (`last`), or what the cloud says (`live`), in an environment."""


class Comparison(Struct, frozen=True):
    """What is compared with one base, for some of the targets (None: for all).

    `because` says why they are due whatever changed; `doubtful`, that nothing can be said of what
    is live of them; `unrecorded`, that this is so because no deploy is recorded.
    """

    changes: Sequence[Change]
    before: FormerRules
    leaves: frozenset[str] | None = None
    because: str | None = None
    doubtful: bool = False
    unrecorded: bool = False


@debugged
def diff(request: DiffRequest, git: Git | None, records: Records | None = None) -> DiffResult:
    """What is out of date, why, and the narrowest plan. Without `records`, `last` and `live` are
    refused.
    """
    if request.given is not None:
        return _diff_of_paths(request, request.given, git)
    if git is None:
        raise UsageError("there is no repository and no --paths-from", "run it in a git repository")
    git.require_head()
    if records is not None and request.base in (None, *bases.RECORDED):
        rules = _rules(request, git)
        points = records(request.base or "last", rules, environment(request.environment, rules))
        return _diff_of_records(request, rules, points, git)
    base, end = bases.choose(request.base, git)
    with ExitStack() as started:
        diffs = [
            started.enter_context(git.diff_trees(start, end or git.require_head()))
            for start in base.commits
        ]
        rules = _rules(request, git)  # while git is at work
        changes = detect.between(diffs)
    seen = detect.look(git) if end is None and not request.committed else None
    part = _part(request, rules, base, changes, git, end or git.require_head(), seen)
    users = _users(request, rules, git, end or git.require_head(), seen)
    return _answer(request, base, _head(git, end, seen), rules, [part], seen, users=users)


def _rules(request: DiffRequest, git: Git) -> Rules:
    """What is out of date is judged as the trusted base says; what a change calls for is not
    judged.
    """
    if request.base in (None, *bases.RECORDED):
        return load_trusted(request.folder, request.rules, git, request.allowed)
    return load_rules(request.folder, request.rules, git)


def _head(git: Git, end: str | None, seen: detect.WorkingTree | None) -> Head:
    return Head(
        end or git.head, None if end else git.branch, None if seen is None else bool(seen.paths)
    )


def _part(
    request: DiffRequest,
    rules: Rules,
    base: Base,
    committed: Sequence[Change],
    git: Git,
    end: str,
    seen: detect.WorkingTree | None,
) -> Comparison:
    """The comparison with one base: with the working tree where somebody looked at it."""
    changes = committed
    if seen is not None:
        changes = (
            detect.in_work_tree(committed, git, base.commits, seen)
            if base.commits
            else detect.uncommitted(git, seen)
        )
    points = base.commits if seen is not None else (*base.commits, end)
    return Comparison(changes, _before(request, rules, base, points, git))


def _diff_of_records(request: DiffRequest, rules: Rules, points: Points, git: Git) -> DiffResult:
    """Each target against what is recorded of it. One without a record is unknown, and so due."""
    head = git.require_head()
    seen = None if request.committed else detect.look(git, uncounted(request.plan, rules, git))
    leaves = sorted(name for name, target in rules.targets.items() if not target.members)
    content = _Content(request, rules, git, seen)
    groups: dict[tuple[str, ...], set[str]] = {}
    each = {name: points.get(name) or (UNRECORDED,) for name in leaves}
    unrecorded = frozenset(name for name in leaves if any(point.unrecorded for point in each[name]))
    parts: list[Comparison] = []
    failed = {
        name: words for name in leaves if (words := _failed_before(name, each[name], content))
    }
    for why in sorted({_unrecorded(each[name]) for name in unrecorded}):
        alike = frozenset(name for name in unrecorded if _unrecorded(each[name]) == why)
        parts.append(Comparison((), FormerRules(), alike, why, doubtful=True, unrecorded=True))
    for name in leaves:
        recorded = each[name]
        if name in unrecorded:
            continue
        part = _without_comparison(name, recorded, content, git)
        if part is not None:
            parts.append(part)
            continue
        if content.same(name, recorded):
            groups.setdefault((), set()).add(name)
            continue
        parts += _besides(name, recorded, content)
        groups.setdefault(tuple(sorted({str(point.commit) for point in recorded})), set()).add(name)
    named = {name: commits for commits, names in groups.items() for name in names}
    for commits, names in groups.items():
        if commits:
            parts.append(
                _against(
                    request, rules, Base("last", None, commits, "recorded"), names, git, head, seen
                )
            )
    how = "live" if request.base == "live" else "last"
    chosen = (
        "what is live"
        if how == "live"
        else RECORDED
        if len(unrecorded) < len(leaves)
        else NOT_RECORDED
    )
    commits = tuple(dict.fromkeys(commit for name in sorted(named) for commit in named[name]))
    base = Base(how, None, commits, chosen, {name: named.get(name, ()) for name in leaves})
    users = _users(request, rules, git, head, seen)
    answer = _answer(request, base, _head(git, None, seen), rules, parts, seen, users)
    if unrecorded:
        answer = _with_first_step(answer, request, rules, parts, unrecorded, git, seen)
    due = _covered(answer, rules)
    failed = {name: words for name, words in failed.items() if name in due}
    besides = [
        f"{name}: {words}"
        for name in leaves
        for words in dict.fromkeys(note for point in each[name] for note in point.notes)
    ]
    again = (
        f"{name}: {words}; deployed again, it may end the same way"
        for name, words in failed.items()
    )
    notes = (*answer.notes, *besides, *again)
    return replace(
        answer, standings=_standings(answer, points, rules, git), failed_before=failed, notes=notes
    )


def _failed_before(name: str, recorded: Sequence[RecordedBase], content: "_Content") -> str:
    """Which run has deployed just what would be deployed now, and how that ended; empty where none
    has that did not go well.
    """
    for point in recorded:
        failed = point.failed
        if failed is None or (failed.fingerprint, failed.settings) == (
            point.fingerprint,
            point.settings,
        ):
            continue
        now = content.version(name)
        if (failed.fingerprint, failed.settings) == (now.fingerprint, content.settings(name)):
            same = failed.version == now.name or failed.version.startswith(f"{now.name}-generated-")
            return (
                f"run {failed.run} of {'this commit' if same else 'the same content'}"
                f" {failed.ended}"
            )
    return ""


def _covered(answer: DiffResult, rules: Rules) -> set[str]:
    """The targets that the plan deploys, groups written out."""
    graph = Graph(rules.targets)
    return set[str]().union(*(graph.leaves(step.target) for step in answer.plan.steps))


def _unrecorded(recorded: Sequence[RecordedBase]) -> str:
    return next(str(point.unknown) for point in recorded if point.unrecorded)


def _without_comparison(
    name: str, recorded: Sequence[RecordedBase], content: "_Content", git: Git
) -> Comparison | None:
    """What there is to say of a target whose record no commit can be compared with; None if there
    is such a commit.
    """
    only = frozenset((name,))
    unknown = next((point.unknown for point in recorded if point.unknown), None)
    if unknown:
        return Comparison((), FormerRules(), only, f"{name}: {unknown}", doubtful=True)
    missing = next(
        (str(point.commit) for point in recorded if not content.holds(str(point.commit))), None
    )
    if missing is None or content.same(name, recorded):
        return None
    if all(point.fingerprint for point in recorded):
        because = (
            f"{name}: its content is not what was deployed at {missing[:12]}, which is not in this"
            " clone"
        )
        return Comparison((), FormerRules(), only, because)
    because = (
        f"{name}: its last deploy was of commit {missing[:12]}, which is not in this clone"
        f" ({git.fetch_all()})"
    )
    return Comparison((), FormerRules(), only, because, doubtful=True)


def _besides(
    name: str, recorded: Sequence[RecordedBase], content: "_Content"
) -> Iterator[Comparison]:
    """Why a target is due whatever changed since the commit of its last deploy."""
    only = frozenset((name,))
    if any(point.dirty for point in recorded):
        yield Comparison(
            (),
            FormerRules(),
            only,
            f"{name} was deployed with files that are not as committed, and are others now",
        )
    since = next((point.since for point in recorded if point.since), None)
    if since:
        yield Comparison((), FormerRules(notes=(f"{name}: {since}",)), only, f"{name}: {since}")
    if any(point.settings and point.settings != content.settings(name) for point in recorded):
        yield Comparison(
            (),
            FormerRules(),
            only,
            f"the settings of {name} are not those that it was deployed with",
        )


class _Content:
    """The content of the targets as it is now, digested when somebody asks."""

    def __init__(
        self, request: DiffRequest, rules: Rules, git: Git, seen: detect.WorkingTree | None
    ) -> None:
        self._rules, self._git = rules, git
        self._named = environment(request.environment, rules)
        self._look = seen or detect.WorkingTree((), ())
        self._settings = settled(rules, self._named)
        self._versions: Mapping[str, Version] | None = None
        self._here: dict[str, bool] = {}

    def holds(self, commit: str) -> bool:
        """Whether this clone has a commit. Git is asked once: many targets were deployed at one."""
        if commit not in self._here:
            self._here[commit] = self._git.has(commit)
        return self._here[commit]

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
            from toolkit.flow.contents import contents

            look = self._look
            found = contents(
                self._settings,
                self._rules,
                self._named,
                self._git,
                look,
                look.paths,
                without_generated=True,
            )
            self._versions = found.versions
        return self._versions[name]


def _with_first_step(
    answer: DiffResult,
    request: DiffRequest,
    rules: Rules,
    parts: Sequence[Comparison],
    unrecorded: frozenset[str],
    git: Git,
    seen: detect.WorkingTree | None,
) -> DiffResult:
    """The answer with what the changes since the default base call for, which a newcomer wants to
    see first. The plan holds all the same what nothing is known of.
    """
    answer = replace(answer, unrecorded=tuple(sorted(unrecorded)))
    try:
        base = bases.choose(None, git)[0]
    except GitError:  # nothing in common with the mainline
        return answer
    if not base.commits:
        return answer
    known = [part for part in parts if not part.unrecorded]
    alone = answer.base.chosen == NOT_RECORDED
    change = _against(request, rules, base, unrecorded, git, git.require_head(), seen)
    if change.because:
        return answer
    users = _users(request, rules, git, git.require_head(), seen)
    small = _answer(request, base, answer.head, rules, [*known, change], seen, users)
    impact = merge_impacts([answer.impact, replace(small.impact, targets={}, checks={})])
    impact = replace(impact, checks=small.impact.checks)
    plan = replace(answer.plan, checks=small.plan.checks)
    return replace(
        answer,
        base=replace(answer.base, name=base.name, commits=base.commits) if alone else answer.base,
        first=small.plan,
        impact=impact,
        plan=plan,
        refusal=_refusal(rules, impact),
        reasons=small.impact.targets,
    )


def _standings(answer: DiffResult, points: Points, rules: Rules, git: Git) -> dict[str, Standing]:
    """How HEAD stands to what is live of each target that is due, where it is not simply ahead."""
    from toolkit.changes.direction import standing, unanswered

    head, due = git.require_head(), _covered(answer, rules)
    live = {
        (name, str(point.commit))
        for name in due
        for point in points.get(name, ())
        if point.commit and point.commit != head
    }
    commits = {commit for _, commit in live}
    here = [commit for commit in commits if git.has(commit)]
    if not commits or (len(here) == len(commits) and git.behind(here, head)):
        return {}
    owned = owners(rules, rules_path(rules, git))
    users = used(rules, answer.environment, git, None if not git.bare else head).by
    found: dict[str, Standing] = {}
    for name, commit in sorted(live):
        try:
            one = standing(commit, head, owns(rules, owned, users, name), git)
        except GitError as problem:
            one = unanswered(problem, commit)
        if one.direction is not Direction.AHEAD and (name not in found or one.backwards):
            found[name] = one
    return found


def owns(
    rules: Rules, owned: Callable[[str], Collection[str] | None], users: Users, name: str
) -> Callable[[str], bool]:
    """Whether a path can make a target due."""
    falls_back = name in fallback(rules)

    def owns_path(path: str) -> bool:
        owners_of_it = owned(path)
        return (falls_back if owners_of_it is None else name in owners_of_it) or name in users(path)

    return owns_path


def _against(
    request: DiffRequest,
    rules: Rules,
    base: Base,
    names: Collection[str],
    git: Git,
    head: str,
    seen: detect.WorkingTree | None,
) -> Comparison:
    with ExitStack() as started:
        committed = detect.between(
            [started.enter_context(git.diff_trees(start, head)) for start in base.commits]
        )
    part = _part(request, rules, base, committed, git, head, seen)
    return replace(
        part,
        leaves=frozenset(names),
        because=part.before.unknown,
        doubtful=part.before.unknown is not None,
    )


def _diff_of_paths(request: DiffRequest, given: Sequence[Change], git: Git | None) -> DiffResult:
    """The answer for a list of paths. What rules.toml was before is not known then, which counts if
    it is on the list.
    """
    rules = load_rules(request.folder, request.rules, git)
    path = rules_path(rules, git)
    changed = any(change.path == path for change in given)
    unknown = (
        f"{rules.file} is among the paths, and what it was before is not known" if changed else None
    )
    before = FormerRules(
        own=frozenset((path,) if path else ()),
        unknown=unknown,
        notes=() if given else ("the list of paths is empty",),
    )
    users = used(rules, environment(request.environment, rules), git, None).by
    base = Base("paths", request.given_name, (), "--paths-from")
    return _answer(request, base, Head(), rules, [Comparison(given, before)], None, users=users)


def _users(
    request: DiffRequest, rules: Rules, git: Git, commit: str, seen: detect.WorkingTree | None
) -> Users:
    """The targets that are built from a path, as the files are that would be deployed. They are
    looked at when somebody asks: without a change nobody does.
    """
    known: list[Users] = []

    def users(path: str) -> Collection[str]:
        if not known:
            named = environment(request.environment, rules)
            known.append(used(rules, named, git, commit if seen is None else None).by)
        return known[0](path)

    return users


def _before(
    request: DiffRequest, rules: Rules, base: Base, points: Sequence[str], git: Git
) -> FormerRules:
    """The rules as they were at these commits, if they were others. What cannot be read there makes
    everything due.

    They are looked for where they would have been found then: rules.toml may have been moved, or be
    a link.
    """
    if base.kind == "none":
        return FormerRules(unknown=base.chosen)
    path = rules_path(rules, git)
    if path is None:
        return FormerRules()
    locations = files.locations_of_rules(path, files.relative(request.folder, git.root) or "")
    if request.rules:  # where that file is new, the rules that were in force count
        locations = [path, *(location for location in locations if location != path)]
    found = git.blobs([(commit, location) for commit in points for location in locations])
    texts: dict[bytes, str] = {}
    missing: list[str] = []
    for at, commit in enumerate(points):
        there = [
            (location, data)
            for location, data in zip(locations, found[at * len(locations) :], strict=False)
            if data is not None
        ]
        if there:
            texts.setdefault(there[0][1].replace(b"\r\n", b"\n"), f"{there[0][0]} at {commit[:12]}")
        elif commit in base.commits:
            missing += [commit for location in locations if git.blob(commit, location) is None][:1]
    texts.pop(rules.text.encode().replace(b"\r\n", b"\n"), None)
    own = frozenset((path, *(name.rpartition(" at ")[0] for name in texts.values())))
    return _books(
        rules,
        texts,
        own,
        (f"{rules.file} is new: there were no rules at the base",) if missing else (),
    )


def _books(
    rules: Rules, texts: Mapping[bytes, str], own: frozenset[str], notes: tuple[str, ...]
) -> FormerRules:
    try:
        old = tuple(book(read_rules(data, name)) for data, name in texts.items())
    except RulesError:
        return FormerRules(
            own=own, unknown=f"{rules.file} changed, and what it was before cannot be read"
        )
    changed = (f"{rules.file} changed: its old and its new rules both count",) if old else ()
    return FormerRules(old, own, (*notes, *changed))


def _answer(
    request: DiffRequest,
    base: Base,
    head: Head,
    rules: Rules,
    parts: Sequence[Comparison],
    seen: detect.WorkingTree | None,
    users: Users = no_users,
) -> DiffResult:
    named = environment(request.environment, rules)
    graph = Graph(rules.targets)
    today = RuleBook(rules, graph.covered)
    if rules.trust.is_due(named):
        leaves = frozenset(name for name, target in rules.targets.items() if not target.members)
        parts = (
            *parts,
            Comparison(
                (), FormerRules(), leaves, f"what judges a deploy differs from {rules.trust.ref}"
            ),
        )
    impact = merge_impacts([_impact(part, today, graph, named, users) for part in parts])
    said = str(same_location(rules, request.rules, request.environment))
    unknown = next(
        (part.before.unknown for part in parts if part.leaves is None and part.before.unknown), None
    )
    plan = (
        build.everything(rules, graph, command, said, unknown)
        if unknown
        else build.build(impact, rules, graph, command, said)
    )
    doubtful = frozenset[str]().union(*(part.leaves or () for part in parts if part.doubtful))
    notes = (
        *(note for part in parts for note in part.before.notes),
        *_notes(base, head, rules, impact, seen),
    )
    return DiffResult(
        base=base,
        head=head,
        environment=named,
        rules=rules,
        impact=impact,
        plan=plan,
        states=(
            dict.fromkeys(rules.targets, "unknown")
            if unknown
            else _states(rules, plan, graph, doubtful)
        ),
        refusal=_refusal(rules, impact),
        options=said,
        covered=graph.covered,
        uncommitted=() if seen is None else seen.paths,
        notes=tuple(dict.fromkeys(notes)),
        told_first=told(rules, named),
        instructions=instructions(rules),
    )


def _impact(
    part: Comparison, today: RuleBook, graph: Graph, named: str | None, users: Users
) -> Impact:
    """What one comparison calls for, of the targets that it is for."""
    impact = touch(part.changes, today, part.before.books, part.before.own, users)
    if part.before.books:
        impact = merge_impacts(
            [impact, Impact((), _resettled(today, part.before.books, named), {})]
        )
    if part.leaves is None:
        return impact
    if part.because:
        reason = (Reason("", part.because, "", None),)
        return replace(
            impact, targets=dict.fromkeys(_in_groups(part.leaves, graph, today.rules), reason)
        )
    return limit_to(impact, part.leaves, graph)


def _in_groups(leaves: frozenset[str], graph: Graph, rules: Rules) -> list[str]:
    """These targets, and in place of all that a group covers the group itself."""
    groups = [
        name
        for name, target in rules.targets.items()
        if target.members and graph.leaves(name) <= leaves
    ]
    return graph.narrow([*groups, *leaves])


def _resettled(
    today: RuleBook, old: Sequence[RuleBook], named: str | None
) -> dict[str, tuple[Reason, ...]]:
    """The targets whose settings are others than they were: where they are deployed, and with what,
    is part of what is live.
    """
    before = [settled(one.rules, named) for one in old]
    return {
        name: (
            Reason(
                today.rules.file, f"the settings of {name} changed", "", today.line("targets", name)
            ),
        )
        for name, settings in settled(today.rules, named).items()
        if any(one.get(name) != settings for one in before)
    }


def _notes(
    base: Base, head: Head, rules: Rules, impact: Impact, seen: detect.WorkingTree | None
) -> Iterator[str]:
    if base.kind == "none":
        yield (
            "every target counts as due; to compare with what is live, name it: toolkit diff COMMIT"
        )
    if base.chosen == "upstream merge base" and base.commits == (head.commit,):
        yield (
            f"HEAD has nothing that {base.name} has not; to compare with what is live, name it:"
            " toolkit diff COMMIT"
        )
    if len(base.commits) > 1 and base.kind in ("ref", "range"):
        yield f"there are {len(base.commits)} merge bases; what differs from any of them counts"
    if seen is not None and seen.hidden:
        yield (
            f"{_some([state.path for state in seen.hidden])} changed, though assume-unchanged or"
            " skip-worktree hides it from git"
        )
    if seen is not None and seen.unmerged:
        yield f"{_some(seen.unmerged)} in conflict: a merge, rebase or cherry-pick is not finished"
    if impact.removed:
        yield f"no longer in {rules.file}, and nothing takes them down: {', '.join(impact.removed)}"


def _some(paths: Sequence[str]) -> str:
    """The first of several paths, and how many more there are, with the verb `is` or `are`."""
    rest = len(paths) - 1
    return f"{paths[0]!r} and {rest} more are" if rest else f"{paths[0]!r} is"


def _refusal(rules: Rules, impact: Impact) -> str | None:
    return (
        f'{rules.file} says unmatched = "fail"'
        if rules.unmatched == "fail" and impact.unmatched
        else None
    )


def _states(
    rules: Rules, plan: Plan, graph: Graph, doubtful: frozenset[str] = frozenset()
) -> dict[str, str]:
    """A group is due when any part of it is, and unknown when nothing is known of a part of it."""
    due = set[str]().union(*(graph.leaves(step.target) for step in plan.steps))
    known = {
        name: "clean" if due.isdisjoint(graph.leaves(name)) else "due" for name in rules.targets
    }
    return {
        name: state if doubtful.isdisjoint(graph.leaves(name)) else "unknown"
        for name, state in known.items()
    }
