"""`diff`: what is out of date, why, and the narrowest plan."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack

from msgspec import Struct
from msgspec.structs import replace

from toolkit.changes import base as bases
from toolkit.changes import detect
from toolkit.errors import GitError, RulesError, UsageError
from toolkit.flow.advice import same_place
from toolkit.flow.rulebook import book, command, environment, instructions, load_rules, owners, read_rules, rules_path, settled
from toolkit.impact.touch import RuleBook, limited, merged, touch
from toolkit.model import Answer, Base, Change, Head, Impact, Plan, Reason, Rules
from toolkit.plan import build
from toolkit.plan.graph import Graph
from toolkit.ports import files
from toolkit.ports.git import Git


class Request(Struct, frozen=True):
    """What a person asked `diff` for. `given` are paths that stand in for git's answer."""

    folder: str
    base: str | None = None
    rules: str | None = None
    environment: str | None = None
    committed: bool = False
    given: tuple[Change, ...] | None = None
    given_name: str = ""


class Before(Struct, frozen=True):
    """The rules that were in force at other points, where they differ. `unknown` says why every target has to count as due.

    `own` are the paths of rules.toml, today's and those of then.
    """

    books: tuple[RuleBook, ...] = ()
    own: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    unknown: str | None = None


class Point(Struct, frozen=True):
    """What is recorded of one target in one region. `unknown` says why nothing can be compared with it; `since`, what came after it and
    did not go well, so that something else may be live."""

    commit: str | None
    fingerprint: str
    dirty: bool = False
    unknown: str | None = None
    since: str | None = None


Points = Mapping[str, tuple[Point, ...]]
"""Target -> its record in each region; targets without any are left out."""

Records = Callable[[str, Rules, str | None], Points]
"""What is recorded as deployed (`last`), or what the cloud says (`live`), in an environment."""


class Part(Struct, frozen=True):
    """What is compared with one base, for some of the targets (None: for all).

    `because` says why they are due whatever changed; `doubtful`, that nothing can be said of what is live of them.
    """

    changes: Sequence[Change]
    before: Before
    leaves: frozenset[str] | None = None
    because: str | None = None
    doubtful: bool = False


def diff(request: Request, git: Git | None, records: Records | None = None) -> Answer:
    """What is out of date, why, and the narrowest plan. Without `records`, `last` and `live` are refused."""
    if request.given is not None:
        return _diff_of_paths(request, request.given, git)
    if git is None:
        raise UsageError("there is no repository and no --paths-from", "run it in a git repository")
    git.require_head()
    if records is not None and request.base in (None, *bases.RECORDED):
        rules = load_rules(request.folder, request.rules, git)
        points = records(request.base or "last", rules, environment(request.environment, rules))
        if points:
            return _diff_of_records(request, rules, points, git)
    base, end = bases.choose(request.base, git)
    with ExitStack() as started:
        diffs = [started.enter_context(git.diff_trees(start, end or git.require_head())) for start in base.commits]
        rules = load_rules(request.folder, request.rules, git)  # while git is at work
        changes = detect.between(diffs)
    seen = detect.look(git) if end is None and not request.committed else None
    part = _part(request, rules, base, changes, git, end or git.require_head(), seen)
    return _answer(request, base, _head(git, end, seen), rules, [part], seen)


def _head(git: Git, end: str | None, seen: detect.Look | None) -> Head:
    return Head(end or git.head, None if end else git.branch, None if seen is None else bool(seen.paths))


def _part(
    request: Request, rules: Rules, base: Base, committed: Sequence[Change], git: Git, end: str, seen: detect.Look | None
) -> Part:  # fmt: skip
    """The comparison with one base: with the working tree where somebody looked at it."""
    changes = committed
    if seen is not None:
        changes = detect.in_work_tree(committed, git, base.commits, seen) if base.commits else detect.uncommitted(git, seen)
    points = base.commits if seen is not None else (*base.commits, end)
    return Part(changes, _before(request, rules, base, points, git))


def _diff_of_records(request: Request, rules: Rules, points: Points, git: Git) -> Answer:
    """Each target against what is recorded of it; the others against the upstream branch."""
    head = git.require_head()
    seen = None if request.committed else detect.look(git)
    leaves = {name for name, target in rules.targets.items() if not target.members}
    same = _as_deployed(request, rules, points, git, seen)
    groups: dict[tuple[str, ...], set[str]] = {}
    parts: list[Part] = []
    for name in sorted(leaves & points.keys() - same):
        unknown = next((point.unknown for point in points[name] if point.unknown), None) or _missing(points[name], git)
        if unknown:
            parts.append(Part((), Before(), frozenset((name,)), f"{name}: {unknown}", doubtful=True))
            continue
        if any(point.dirty for point in points[name]):
            parts.append(Part((), Before(), frozenset((name,)), f"{name} was deployed with uncommitted files that are others now"))
        since = next((point.since for point in points[name] if point.since), None)
        if since:
            parts.append(Part((), Before(notes=(f"{name}: {since}",)), frozenset((name,)), f"{name}: {since}"))
        groups.setdefault(tuple(sorted({str(point.commit) for point in points[name]})), set()).add(name)
    rest = leaves - points.keys()
    default = bases.choose(None, git)[0] if rest else None
    named = {name: commits for commits, names in groups.items() for name in names}
    for commits, names in groups.items():
        parts.append(_against(request, rules, Base("last", None, commits, "recorded"), names, git, head, seen))
    if default is not None:
        parts.append(_against(request, rules, default, rest, git, head, seen))
    how = "live" if request.base == "live" else "last"
    chosen = "what is live" if how == "live" else "last recorded deploy"
    commits = tuple(dict.fromkeys(str(point.commit) for name in sorted(points) for point in points[name] if point.commit))
    base = Base(how, None, commits, chosen, {**{name: named.get(name, ()) for name in points.keys() & leaves}})
    return _answer(request, base, _head(git, None, seen), rules, parts, seen, default)


def _against(request: Request, rules: Rules, base: Base, names: Collection[str], git: Git, head: str, seen: detect.Look | None) -> Part:
    with ExitStack() as started:
        committed = detect.between([started.enter_context(git.diff_trees(start, head)) for start in base.commits])
    part = _part(request, rules, base, committed, git, head, seen)
    return replace(part, leaves=frozenset(names), because=part.before.unknown, doubtful=part.before.unknown is not None)


def _missing(points: Sequence[Point], git: Git) -> str | None:
    """Why a record cannot be compared with: its commit is not here."""
    for point in points:
        try:
            git.resolve(str(point.commit))
        except GitError:
            return f"its last deploy was of commit {str(point.commit)[:12]}, which is not in this clone"
    return None


def _as_deployed(request: Request, rules: Rules, points: Points, git: Git, seen: detect.Look | None) -> set[str]:
    """The targets that were deployed with uncommitted files, and whose files and settings are the very same now."""
    names = [
        name
        for name, found in points.items()
        if any(point.dirty for point in found) and not any(point.unknown or point.since for point in found)
    ]
    if not names:
        return set()
    from toolkit.changes.fingerprint import versions

    settings = settled(rules, environment(request.environment, rules))
    wanted = {name: settings[name] for name in names if name in settings}
    now = versions(wanted, owners(rules, rules_path(rules, git)), git, () if seen is None else seen.paths)
    return {name for name in wanted if {point.fingerprint for point in points[name]} == {now[name].fingerprint}}


def _diff_of_paths(request: Request, given: Sequence[Change], git: Git | None) -> Answer:
    """The answer for a list of paths. What rules.toml was before is not known then, which counts if it is on the list."""
    rules = load_rules(request.folder, request.rules, git)
    path = rules_path(rules, git)
    changed = any(change.path == path for change in given)
    unknown = f"{rules.file} is among the paths, and what it was before is not known" if changed else None
    before = Before(own=frozenset((path,) if path else ()), unknown=unknown, notes=() if given else ("the list of paths is empty",))
    return _answer(request, Base("paths", request.given_name, (), "--paths-from"), Head(), rules, [Part(given, before)], None)


def _before(request: Request, rules: Rules, base: Base, points: Sequence[str], git: Git) -> Before:
    """The rules as they were at these commits, if they were others. What cannot be read there makes everything due.

    They are looked for where they would have been found then: rules.toml may have been moved, or be a link.
    """
    if base.kind == "none":
        return Before(unknown=base.chosen)
    path = rules_path(rules, git)
    if path is None:
        return Before()
    places = [path] if request.rules else files.places_of_rules(path, files.relative(request.folder, git.root) or "")
    found = git.blobs([(commit, place) for commit in points for place in places])
    texts: dict[bytes, str] = {}
    missing: list[str] = []
    for at, commit in enumerate(points):
        there = [(place, data) for place, data in zip(places, found[at * len(places) :], strict=False) if data is not None]
        if there:
            texts.setdefault(there[0][1].replace(b"\r\n", b"\n"), f"{there[0][0]} at {commit[:12]}")
        elif commit in base.commits:
            missing += [commit for place in places if git.blob(commit, place) is None][:1]
    texts.pop(rules.text.encode().replace(b"\r\n", b"\n"), None)
    own = frozenset((path, *(name.rpartition(" at ")[0] for name in texts.values())))
    return _books(rules, texts, own, (f"{rules.file} is new: there were no rules at the base",) if missing else ())


def _books(rules: Rules, texts: Mapping[bytes, str], own: frozenset[str], notes: tuple[str, ...]) -> Before:
    try:
        old = tuple(book(read_rules(data, name)) for data, name in texts.items())
    except RulesError:
        return Before(own=own, unknown=f"{rules.file} changed, and what it was before cannot be read")
    changed = (f"{rules.file} changed: its old and its new rules both count",) if old else ()
    return Before(old, own, (*notes, *changed))


def _answer(
    request: Request, base: Base, head: Head, rules: Rules, parts: Sequence[Part], seen: detect.Look | None, default: Base | None = None
) -> Answer:
    named = environment(request.environment, rules)
    graph = Graph(rules.targets)
    today = RuleBook(rules, graph.covered)
    impact = merged([_impact(part, today, graph, named) for part in parts])
    said = str(same_place(rules, request.rules, request.environment))
    unknown = next((part.before.unknown for part in parts if part.leaves is None and part.before.unknown), None)
    plan = build.everything(rules, graph, command, said, unknown) if unknown else build.build(impact, rules, graph, command, said)
    doubtful = frozenset[str]().union(*(part.leaves or () for part in parts if part.doubtful))
    notes = (*(note for part in parts for note in part.before.notes), *_notes(base, head, rules, impact, seen, default))
    return Answer(
        base=base,
        head=head,
        environment=named,
        rules=rules,
        impact=impact,
        plan=plan,
        states=dict.fromkeys(rules.targets, "unknown") if unknown else _states(rules, plan, graph, doubtful),
        refusal=_refusal(rules, impact),
        options=said,
        covered=graph.covered,
        uncommitted=() if seen is None else seen.paths,
        notes=tuple(dict.fromkeys(notes)),
        instructions={name: instructions(rules.targets[name]) for name in plan.by_hand},
    )


def _impact(part: Part, today: RuleBook, graph: Graph, named: str | None) -> Impact:
    """What one comparison calls for, of the targets that it is for."""
    impact = touch(part.changes, today, part.before.books, part.before.own)
    if part.before.books:
        impact = merged([impact, Impact((), _resettled(today, part.before.books, named), {})])
    if part.leaves is None:
        return impact
    if part.because:
        reason = (Reason("", part.because, "", None),)
        return replace(impact, targets=dict.fromkeys(sorted(part.leaves), reason))
    return limited(impact, part.leaves, graph)


def _resettled(today: RuleBook, old: Sequence[RuleBook], named: str | None) -> dict[str, tuple[Reason, ...]]:
    """The targets whose settings are others than they were: where they are deployed, and with what, is part of what is live."""
    before = [settled(one.rules, named) for one in old]
    return {
        name: (Reason(today.rules.file, f"the settings of {name} changed", "", today.line("targets", name)),)
        for name, settings in settled(today.rules, named).items()
        if any(one.get(name) != settings for one in before)
    }


def _notes(base: Base, head: Head, rules: Rules, impact: Impact, seen: detect.Look | None, default: Base | None) -> Iterator[str]:
    if default is not None:
        unrecorded = [name for name, target in rules.targets.items() if not target.members and name not in base.each]
        yield f"of {', '.join(unrecorded)} no deploy is recorded: compared with {default.name or 'nothing'}"
    if base.kind == "none":
        yield "every target counts as due; to compare with what is live, name it: toolkit diff COMMIT"
    if base.chosen == "upstream merge base" and base.commits == (head.commit,):
        yield f"HEAD has nothing that {base.name} has not; to compare with what is live, name it: toolkit diff COMMIT"
    if len(base.commits) > 1:
        yield f"there are {len(base.commits)} merge bases; what differs from any of them counts"
    if seen is not None and seen.hidden:
        first, rest = seen.hidden[0], len(seen.hidden) - 1
        others = f" and {rest} more" if rest else ""
        yield f"changes of {first!r}{others} cannot be seen: assume-unchanged or skip-worktree hides them from git"
    if impact.removed:
        yield f"no longer in {rules.file}, and nothing takes them down: {', '.join(impact.removed)}"


def _refusal(rules: Rules, impact: Impact) -> str | None:
    return f'{rules.file} says unmatched = "fail"' if rules.unmatched == "fail" and impact.unmatched else None


def _states(rules: Rules, plan: Plan, graph: Graph, doubtful: frozenset[str] = frozenset()) -> dict[str, str]:
    """A group is due when any part of it is, and unknown when nothing is known of a part of it."""
    due = set[str]().union(*(graph.leaves(step.target) for step in plan.steps))
    known = {name: "clean" if due.isdisjoint(graph.leaves(name)) else "due" for name in rules.targets}
    return {name: state if doubtful.isdisjoint(graph.leaves(name)) else "unknown" for name, state in known.items()}
