"""The story in a page: read this first.

What changed (changes/) meets what the rules say (impact/) and becomes the least to do (plan/). Each stage hands plain data
(model.py) to the next; the ports are the only ones that touch the world.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
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
    """What is known of the rules that were in force at the base. `unknown` says why every target has to count as due."""

    book: RuleBook | None = None
    notes: tuple[str, ...] = ()
    unknown: str | None = None


def diff(request: Request, git: Git | None) -> Answer:
    """What is out of date, why, and the narrowest plan."""
    if request.given is not None:
        rules = load_rules(request.folder, request.rules, git)
        base = Base("paths", request.given_name, (), "--paths-from")
        return _answer(request, base, Head(), rules, request.given, Before(), rules_path(rules, git))
    if git is None:
        raise UsageError("there is no repository and no --paths-from", "run it in a git repository")
    base, end = bases.choose(request.base, git)
    with ExitStack() as started:
        diffs = [started.enter_context(git.diff_trees(start, end or git.require_head())) for start in base.commits]
        rules = load_rules(request.folder, request.rules, git)  # while git is at work
        changes = detect.between(diffs)
    dirty = None
    if end is None and not request.committed:
        changes = detect.in_work_tree(changes, git, base.commits) if base.commits else detect.uncommitted(git)
        dirty = any(change.origin != "committed" for change in changes)
    head = Head(end or git.head, None if end else git.branch, dirty)
    return _answer(request, base, head, rules, changes, _before(rules, changes, base, git), rules_path(rules, git))


def replay(git: Git, rules: Rules, revisions: Sequence[str], limit: int | None) -> Iterator[Replayed]:
    """What each commit of a first-parent history would have deployed under today's rules, newest first."""
    graph = Graph(rules.targets)
    asked = RuleBook(rules, graph.covered)
    own = rules_path(rules, git)
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
    targets, checks, unmatched = Counter[str](), Counter[str](), Counter[str]()
    for one in replayed:
        commits += 1
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
    return Tally(commits, deploying, narrow_s, full_s, rows, tuple(checks.most_common()), tuple(unmatched.most_common(10)))


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


def _before(rules: Rules, changes: Sequence[Change], base: Base, git: Git) -> Before:
    """The rules that were in force at the base, if rules.toml itself changed. What cannot be read there makes everything due."""
    if base.kind == "none":
        return Before(unknown=base.chosen)
    path = rules_path(rules, git)
    if path is None or not any(change.path == path for change in changes):
        return Before()
    data = _rules_at(base.commits[0], path, rules, git)
    if data is None:
        return Before(notes=(f"{rules.file} is new: there were no rules at the base",))
    try:
        old = read_rules(data, f"{path} at {base.commits[0][:12]}")
    except RulesError:
        return Before(unknown=f"{rules.file} changed, and what it was at the base cannot be read")
    return Before(book(old), (f"{rules.file} changed: its old and its new rules both count",))


def _rules_at(commit: str, path: str, rules: Rules, git: Git) -> bytes | None:
    """What rules.toml was at a commit: under its name of today, or (it may have been moved) where it would have been found then."""
    found = git.blob(commit, path)
    for candidate in files.rules_above(path):
        if found is not None:
            break
        found = git.blob(commit, candidate)
    return found


def _answer(
    request: Request, base: Base, head: Head, rules: Rules, changes: Sequence[Change], before: Before, path: str | None = None
) -> Answer:
    environment = _environment(request.environment, rules)
    graph = Graph(rules.targets)
    impact = touch(changes, RuleBook(rules, graph.covered), before.book, path)
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
        notes=(*before.notes, *_notes(base, head, rules, impact)),
    )


def _environment(asked: str | None, rules: Rules) -> str | None:
    if asked and asked not in rules.environments:
        raise UsageError(f"{rules.file} has no environment {asked!r}", f"it has {', '.join(rules.environments) or 'none'}")
    return asked or rules.environment


def _options(request: Request, rules: Rules) -> str:
    """What has to be said again so that a command means the same rules and environment."""
    named = f" --rules {quote(request.rules)}" if request.rules else ""
    return named + (f" --env {request.environment}" if request.environment not in (None, rules.environment) else "")


def _notes(base: Base, head: Head, rules: Rules, impact: Impact) -> Iterator[str]:
    if base.kind == "none":
        yield "every target counts as due; to compare with what is live, name it: toolkit diff COMMIT"
    if base.chosen == "upstream merge base" and base.commits == (head.commit,):
        yield f"HEAD has nothing that {base.name} has not; to compare with what is live, name it: toolkit diff COMMIT"
    if len(base.commits) > 1:
        yield f"there are {len(base.commits)} merge bases; what differs from any of them counts"
    if impact.removed:
        yield f"no longer in {rules.file}, and nothing takes them down: {', '.join(impact.removed)}"


def _refusal(rules: Rules, impact: Impact) -> str | None:
    return f'{rules.file} says unmatched = "fail"' if rules.unmatched == "fail" and impact.unmatched else None


def _states(rules: Rules, plan: Plan, graph: Graph) -> dict[str, str]:
    """A group is due when any part of it is."""
    due = set[str]().union(*(graph.leaves(step.target) for step in plan.steps))
    return {name: "clean" if due.isdisjoint(graph.leaves(name)) else "due" for name in rules.targets}
