"""Which targets a deploy is for: those that are named, all of them, or what is due."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.advice import NextCommand
from toolkit.changes import detect
from toolkit.changes.names import LETTERS
from toolkit.errors import Refused, UsageError
from toolkit.flow.compare import DiffRequest, Points, Records, diff
from toolkit.flow.consumers import consumers
from toolkit.flow.rulebook import chosen_environment, load_rules
from toolkit.flow.versions import generated_digests, generated_files
from toolkit.formats.variables import fill
from toolkit.model import DiffResult, Rules, Target, Version
from toolkit.operations import JobAction
from toolkit.plan.graph import Graph
from toolkit.ports.git import Git
from toolkit.targets.base import KindOptions


class BuildMode(StrEnum):
    """Whether a deploy builds: what is missing, only that, or nothing."""

    MISSING = "missing"
    ONLY = "only"
    SKIP = "skip"


class DeployRequest(Struct, frozen=True, kw_only=True):
    """What a person asked for. Without `targets` and `everything` it is what `diff` finds."""

    folder: str
    rules: str | None = None
    environments: tuple[str, ...] = ()
    """Where; none is named: in the default environment."""
    profile: str | None = None
    region: str | None = None
    targets: tuple[str, ...] = ()
    everything: bool = False
    without: tuple[str, ...] = ()
    action: JobAction = JobAction.DEPLOY
    kind: str | None = None
    options: Mapping[str, KindOptions] = {}
    """Kind -> its own options."""
    version: Version | None = None
    """The version that a rollback puts back."""
    restored: Mapping[str | None, Mapping[str, str]] | None = None
    """Of a rollback, what the record says of the good deploy in each region."""
    builds: BuildMode = BuildMode.MISSING
    checked: bool = True
    """Whether what is live afterwards is asked and checked."""
    plan: str | None = None
    """The plan file, as git names it: it does not count as a change."""
    source: Mapping[str, Any] | None = None
    """What the plan file was drawn from; it must still be so."""
    is_due: bool = False
    """Whether the plan file holds what was due by the record: only what still is gets deployed."""
    allowed: bool = False
    """Whether this rules.toml may decide by itself, whatever the trusted base says."""


def environments_of(request: DeployRequest, rules: Rules) -> tuple[str | None, ...]:
    """The environments of an request, each once: those that are named, else the default one, None
    where rules.toml has none. Raises UsageError.
    """
    named: Sequence[str | None] = request.environments or (None,)
    return tuple(dict.fromkeys(chosen_environment(name, rules) for name in named))


class TargetSelection(Struct, frozen=True):
    """The targets to deploy, groups written out. `left` are those that this run cannot deploy, each
    with the reason; `changed` those that are due only by files that git ignores, with these;
    `excluded` those that `--without` leaves out. `joining` are those of the targets that are only
    deployed if outputs of others change that they use.
    """

    targets: tuple[Target, ...]
    left: tuple[tuple[str, str], ...]
    changed: Mapping[str, tuple[str, ...]]
    excluded: tuple[str, ...]
    joining: frozenset[str] = frozenset()


def select(
    request: DeployRequest,
    environment: str | None,
    rules: Rules,
    git: Git | None,
    records: Records | None,
) -> TargetSelection:
    """The targets of a request in an environment. Raises Refused where a named one cannot be
    deployed.
    """
    graph = Graph(rules.targets)
    names, changed = named_targets(request, environment, rules, git, records)
    without = set[str]().union(*(graph.leaves(name) for name in request.without))
    every = set[str]().union(*(graph.leaves(name) for name in names))
    among = frozenset(every - without)
    leaves = sorted(among)
    chosen: list[Target] = []
    left: list[tuple[str, str]] = []
    for name in leaves:
        target = rules.targets[name]
        reason = targets.kind(target.kind).runnable(target.settings)
        if reason is None:
            chosen.append(target)
        else:
            left.append((name, reason))
    for name, reason in left:
        for other in leaves:
            if name in graph.waits_for(other, among):
                raise Refused(
                    f"{other} waits for {name}: {reason}",
                    f"once that is done, add --without {name}; --without {other} leaves {other}"
                    " out",
                )
    joining = frozenset[str]()
    if request.action == JobAction.DEPLOY:
        joining = consumers({target.name for target in chosen}, rules) - without
        chosen += [rules.targets[name] for name in sorted(joining)]
    excluded = tuple(sorted(every & without))
    return TargetSelection(tuple(chosen), tuple(left), changed, excluded, joining)


def named_targets(
    request: DeployRequest,
    environment: str | None,
    rules: Rules,
    git: Git | None,
    records: Records | None,
) -> tuple[list[str], Mapping[str, tuple[str, ...]]]:
    """The targets by name: as named, all of them, or what is due; with those that are due only by
    files that git ignores, and these files.
    """
    for name in request.without:
        require_target(name, rules)
    if request.everything:
        return list(rules.targets), {}
    # A plan file may hold no step: then nothing is deployed, rather than everything.
    named = [resolve_target(name, request.kind, rules) for name in request.targets]
    if named and request.is_due:
        without_plan = replace(request, targets=(), source=None)
        due, changed = named_targets(without_plan, environment, rules, git, records)
        leaves = Graph(rules.targets).leaves
        due_leaves = set[str]().union(*map(leaves, due))
        return [name for name in named if leaves(name) & due_leaves], changed
    if named or request.source is not None:
        return named, {}
    if records is None:
        return due_targets(request, environment, git, None), {}
    read = records
    cache: dict[tuple[str, str | None], Points] = {}

    def read_once(how: str, rules: Rules, environment: str | None) -> Points:
        if (how, environment) not in cache:
            cache[how, environment] = read(how, rules, environment)
        return cache[how, environment]

    # The records are read once for both questions below.
    due = due_targets(request, environment, git, read_once)
    generated: dict[str, tuple[str, ...]] = {}
    if git is not None and not git.bare:
        points = read_once("last", rules, environment)
        generated = _regenerated(environment, rules, git, points, due)
    return [*due, *generated], generated


def _regenerated(
    environment: str | None, rules: Rules, git: Git, points: Points, due: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """The targets that are up to date by git, but whose builds take other files that git ignores
    than what is recorded as deployed.

    `diff` does not look for them: all such files would have to be read.
    """
    graph = Graph(rules.targets)
    leaves = set[str]().union(*(graph.leaves(name) for name in due))
    rest = [target for target in points if target not in leaves and target in rules.targets]
    if not rest:
        return {}
    files = generated_files(rules, environment, git, detect.look(git))
    digests = generated_digests(files, git)
    changed: dict[str, tuple[str, ...]] = {}
    for target in rest:
        # Several regions may have been deployed with different files.
        recorded = {point.generated for point in points[target]} - {None}
        if recorded and recorded != {digests.get(target, "")[:LETTERS]}:
            changed[target] = files.get(target, ())
    return changed


def due_targets(
    request: DeployRequest, environment: str | None, git: Git | None, records: Records | None
) -> list[str]:
    """What `diff` says is due in an environment. Raises Refused where it recommends nothing because
    rules.toml says so.
    """
    question = DiffRequest(
        folder=request.folder,
        rules=request.rules,
        environment=environment,
        allowed=request.allowed,
        plan=request.plan,
    )
    answer: DiffResult = diff(question, git, records)
    if answer.refusal:
        raise Refused(
            f"{answer.refusal}, and no rule matches {answer.impact.unmatched[0]!r}",
            ("see", NextCommand("diff"), ", or name the targets"),
        )
    return [step.target for step in answer.plan.steps]


def resolve_target(name: str, kind: str | None, rules: Rules) -> str:
    """A target by its own name, or by what it is called in AWS (a stack's name); with `kind`, one
    that this command deploys. Raises UsageError.
    """
    if name not in rules.targets:
        matches = [
            target.name for target in rules.targets.values() if _is_called(target, name, rules)
        ]
        # Of several, none is chosen: the error below lists the targets.
        if len(matches) == 1:
            name = matches[0]
    require_target(name, rules)
    action = rules.targets[name].action
    if kind is not None and action != kind:
        use = ("use:", NextCommand(action, (name,)))
        raise UsageError(f"{name} is not deployed by {kind}", use)
    return name


def _is_called(target: Target, name: str, rules: Rules) -> bool:
    """Whether AWS knows it by that name, in any environment and region."""
    aliases = targets.kind(target.kind).aliases(target.settings)
    for variables in _all_variables(rules):
        if name in [fill(alias, variables) for alias in aliases]:
            return True
    return False


def _all_variables(rules: Rules) -> list[Mapping[str, str]]:
    """The variables of each environment and region."""
    variables: list[Mapping[str, str]] = []
    for environment in rules.environments.values():
        for region in environment.regions or ("",):
            variables.append({"region": region, **environment.vars})
    return variables or [{}]


def writer_hint(name: str, rules: Rules) -> str:
    """The target that a person means who names what it deploys, such as its service; empty if
    there is none.
    """
    for target in rules.targets.values():
        for resource in targets.kind(target.kind).writes(target.settings):
            for variables in _all_variables(rules):
                filled = fill(resource.name, variables)
                if name in (filled, filled.rpartition("/")[2]):
                    return f"did you mean {target.name!r}? It deploys the {resource.what} {name!r}"
    return ""


def only_target(action: str, folder: str, named: str | None, git: Git | None) -> str:
    """The one target of that action, for a command without a target. Raises UsageError if there
    are several, or none.
    """
    rules = load_rules(folder, named, git)
    names = [target.name for target in rules.targets.values() if target.action == action]
    if len(names) == 1:
        return names[0]
    hint = f"it is one of {', '.join(names[:8])}" if names else f"{rules.file} has none"
    raise UsageError(f"`{action}` needs a target", hint)


def require_target(name: str, rules: Rules) -> None:
    """Raises UsageError, with the nearest name, for a target that rules.toml does not have."""
    if name in rules.targets:
        return
    from difflib import get_close_matches

    close = get_close_matches(name, rules.targets, 1)
    names = ", ".join(list(rules.targets)[:8]) or "none"
    hint = f"it has {names}"
    if close:
        hint = f"did you mean {close[0]!r}?"
    hint = writer_hint(name, rules) or hint
    raise UsageError(f"{rules.file} has no target {name!r}", hint)
