"""The story in a page: read this first.

What changed (changes/) meets what the rules say (impact/) and becomes the least to do (plan/). Each stage hands plain data
(model.py) to the next; the ports are the only ones that touch the world.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from shlex import quote

from msgspec import Struct

from toolkit import targets
from toolkit.changes import base as bases
from toolkit.changes import detect
from toolkit.errors import RulesError, UsageError
from toolkit.impact import rules as rules_file
from toolkit.impact import toml
from toolkit.impact.touch import RuleBook, touch
from toolkit.model import Answer, Base, Change, Head, Impact, Plan, Replayed, Rules, Tally, Target
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


def diff(request: Request, git: Git | None) -> Answer:
    """What is out of date, why, and the narrowest plan."""
    if request.given is not None:
        return _diff_of_paths(request, request.given, git)
    if git is None:
        raise UsageError("there is no repository and no --paths-from", "run it in a git repository")
    base, end = bases.choose(request.base, git)
    with ExitStack() as started:
        diffs = [started.enter_context(git.diff_trees(start, end or git.require_head())) for start in base.commits]
        rules = load_rules(request.folder, request.rules, git)  # while git is at work
        changes = detect.between(diffs)
    seen = detect.look(git) if end is None and not request.committed else None
    if seen is not None:
        changes = detect.in_work_tree(changes, git, base.commits, seen) if base.commits else detect.uncommitted(git, seen)
    head = Head(end or git.head, None if end else git.branch, None if seen is None else bool(seen.paths))
    points = base.commits if seen is not None else (*base.commits, end or git.require_head())
    before = _before(request, rules, base, points, git)
    return _answer(request, base, head, rules, changes, before, seen)


def _diff_of_paths(request: Request, given: Sequence[Change], git: Git | None) -> Answer:
    """The answer for a list of paths. What rules.toml was before is not known then, which counts if it is on the list."""
    rules = load_rules(request.folder, request.rules, git)
    path = rules_path(rules, git)
    changed = any(change.path == path for change in given)
    unknown = f"{rules.file} is among the paths, and what it was before is not known" if changed else None
    before = Before(own=frozenset((path,) if path else ()), unknown=unknown, notes=() if given else ("the list of paths is empty",))
    return _answer(request, Base("paths", request.given_name, (), "--paths-from"), Head(), rules, given, before, None)


def replay(git: Git, rules: Rules, revisions: Sequence[str], limit: int | None) -> Iterator[Replayed]:
    """What each commit of a first-parent history would have deployed under today's rules, newest first."""
    graph = Graph(rules.targets)
    asked = RuleBook(rules, graph.covered)
    own = "rules.toml" if git.bare else rules_path(rules, git)
    for commit, changes in git.log(revisions, limit):
        called = [(change.path, asked.called(change.path, detect.status(change.letter))) for change in changes]
        called = [(path, one) for path, one in called if not (one.unmatched and path == own)]  # rules.toml itself is never unmatched
        wanted = {name for _, one in called for name in one.targets}
        run = {check for _, one in called for check in one.run}
        unmatched = tuple(path for path, one in called if one.unmatched)
        yield Replayed(commit, tuple(graph.narrow(wanted)), tuple(sorted(run)), unmatched)


def tally(replayed: Iterable[Replayed], rules: Rules) -> Tally:
    """The sums of a replay."""
    graph = Graph(rules.targets)
    estimates: dict[tuple[str, ...], int] = {}
    commits = deploying = narrow_s = 0
    ends: tuple[str, ...] = ()
    targets, checks, unmatched = Counter[str](), Counter[str](), Counter[str]()
    for one in replayed:
        commits += 1
        ends = (*ends[:1], one.commit)
        checks.update(one.run)
        unmatched.update(path.rpartition("/")[0] or path for path in one.unmatched)
        if one.targets:
            deploying += 1
            targets.update(one.targets)
            if one.targets not in estimates:
                estimates[one.targets] = graph.estimate(one.targets)
            narrow_s += estimates[one.targets]
    full_s = deploying * graph.estimate(rules.targets)
    rows = tuple((name, number, graph.estimate([name])) for name, number in targets.most_common())
    return Tally(commits, ends, deploying, narrow_s, full_s, rows, tuple(checks.most_common()), tuple(unmatched.most_common(10)))


def load_rules(folder: str, named: str | None, git: Git | None) -> Rules:
    """The rules.toml that was named, or the nearest one. Raises RulesError, NoRules, FileProblem."""
    path = named or files.find_rules(folder, git.root if git and not git.bare else None)
    return read_rules(files.read(path, toml.MOST_BYTES), shown(path))


def read_rules(data: bytes, name: str) -> Rules:
    """The rules in these bytes. Raises RulesError."""
    return rules_file.load(data, name, targets.kind, tuple(targets.KINDS))


def shown(path: str) -> str:
    """A file's name as a person would write it from where they stand."""
    near = os.path.relpath(path)
    return path if near.startswith(os.path.join("..", "..", "..", "..")) else near


def rules_path(rules: Rules, git: Git | None) -> str | None:
    """rules.toml as git names it, None if it is not in the repository."""
    return None if git is None or git.bare else files.relative(rules.file, git.root)


def command(target: Target) -> str | None:
    """The command that deploys a target, None where only a person can."""
    found = targets.kind(target.kind).command(target.name, target.settings)
    return None if found is None else str(found)


def book(rules: Rules) -> RuleBook:
    """The rules, ready to be asked."""
    return RuleBook(rules, Graph(rules.targets).covered)


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
    request: Request, base: Base, head: Head, rules: Rules, changes: Sequence[Change], before: Before, seen: detect.Look | None
) -> Answer:
    environment = _environment(request.environment, rules)
    graph = Graph(rules.targets)
    impact = touch(changes, RuleBook(rules, graph.covered), before.books, before.own)
    options = _options(request, rules)
    if before.unknown:
        plan = build.everything(rules, graph, command, options, before.unknown)
    else:
        plan = build.build(impact, rules, graph, command, options)
    return Answer(
        base=base,
        head=head,
        environment=environment,
        rules=rules,
        impact=impact,
        plan=plan,
        states=dict.fromkeys(rules.targets, "unknown") if before.unknown else _states(rules, plan, graph),
        refusal=_refusal(rules, impact),
        options=options,
        covered=graph.covered,
        uncommitted=() if seen is None else seen.paths,
        notes=(*before.notes, *_notes(base, head, rules, impact, seen)),
    )


def _environment(asked: str | None, rules: Rules) -> str | None:
    if asked is not None and asked not in rules.environments:
        raise UsageError(f"{rules.file} has no environment {asked!r}", f"it has {', '.join(rules.environments) or 'none'}")
    return asked or rules.environment


def _options(request: Request, rules: Rules) -> str:
    """What has to be said again so that a command means the same rules and environment."""
    named = f" --rules {quote(request.rules)}" if request.rules else ""
    return named + (f" --env {request.environment}" if request.environment not in (None, rules.environment) else "")


def _notes(base: Base, head: Head, rules: Rules, impact: Impact, seen: detect.Look | None) -> Iterator[str]:
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


def _states(rules: Rules, plan: Plan, graph: Graph) -> dict[str, str]:
    """A group is due when any part of it is."""
    due = set[str]().union(*(graph.leaves(step.target) for step in plan.steps))
    return {name: "clean" if due.isdisjoint(graph.leaves(name)) else "due" for name in rules.targets}
