"""`rules observe`: run a command, see what it looks up, hold that against the rules, and keep what
was proven.
"""

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from shlex import join

from msgspec import Struct
from msgspec.structs import replace

from toolkit.changes.inputs import WorkTree, follow
from toolkit.errors import FileProblem, GitError, RulesError, StateDamaged, UsageError
from toolkit.flow.build_inputs import input_targets
from toolkit.flow.rulebook import (
    evidence_name,
    own_paths,
    read_rules,
    rule_book,
    rules_path,
)
from toolkit.formats import toml
from toolkit.model import LintCode, LintFinding, ProjectRequest, Rules
from toolkit.observed import evidence as evidence_file
from toolkit.observed.classes import (
    KnownFiles,
    Surroundings,
    classified,
    is_package_folder,
    known_files,
)
from toolkit.observed.evidence import Evidence
from toolkit.observed.hook_log import HookLog, moment
from toolkit.observed.missed import Judge, missed_inputs, proposals
from toolkit.observed.reads import Reads
from toolkit.observed.strace import CALLS, Strace
from toolkit.operations import (
    EvidenceProblem,
    Lookup,
    LookupKind,
    MissedInput,
    ObservedCommand,
    ObservedInputs,
    ObservedPatterns,
)
from toolkit.ports import disk, files
from toolkit.ports.git import GITLINK, Git
from toolkit.ports.tracing import watch

_HOOKED = ("node", "python", "sh", "bash", "dash")
"""Programs that a hook is in, and shells, which mostly only start others."""
_CLIENTS = (
    "docker",
    "docker-compose",
    "buildctl",
    "nix",
    "bazel",
    "bazelisk",
    "gradle",
    "watchman",
)
"""Programs that let a process read for them that was running before."""


class ObserveRequest(ProjectRequest, frozen=True, kw_only=True):
    """A command to observe, and for which target (None: any). `out` is the descriptor that its
    standard output goes to, None for ours.
    """

    target: str | None
    command: tuple[str, ...]
    out: int | None = None


class ObservedTarget(Struct, frozen=True):
    """What was observed, held against the rules for one target."""

    target: str
    inputs: ObservedInputs
    missed: tuple[MissedInput, ...]
    patterns: tuple[ObservedPatterns, ...]
    is_whole: bool
    """Whether all that was looked up was seen."""


def observe(request: ObserveRequest, git: Git) -> ObservedCommand:
    """Run the command where we are, in the person's terminal, and see what it looks up. Raises
    UsageError and ProgramFailed where it cannot be started, StateDamaged, FileProblem.
    """
    root, folder = os.path.realpath(git.root), os.path.realpath(request.folder)
    reads = Reads({git.root, root, *_other_names(git.root)})
    path = watch.input_file()
    if path is not None:  # opened by the shell, before the command began
        reads.take(Lookup(LookupKind.OPENED, path, 0, 0))
    tracked = tracked_files(git)

    def is_installed(path: str) -> bool:
        return is_package_folder(path) and path not in tracked.folders

    means = watch.means(CALLS)
    with (
        watch.scratch() as scratch,
        watch.byte_code(files.cache_folder(), root, is_installed) as byte_code,
    ):
        command = watch.Command(request.command, folder, byte_code, request.out)
        if means.name == watch.STRACE:
            ended, hidden = _by_strace(command, means, scratch, reads)
        else:
            ended, hidden = _by_hooks(command, means, scratch, reads)
    inputs = _classified(reads, git)
    if inputs.warm:
        caches = ", ".join(inputs.warm[:5])
        hidden.append(f"what is behind caches that were there before: {caches}")
    inside = os.path.relpath(folder, root)
    return ObservedCommand(
        request.command,
        "" if inside == "." else inside,
        ended.code,
        means.name,
        inputs,
        tuple(hidden),
    )


def _other_names(root: str) -> list[str]:
    """The name by which a shell has come to a repository, through a link."""
    shown = os.environ.get("PWD", "")
    inside = os.path.relpath(os.getcwd(), os.path.realpath(root))
    if not os.path.isabs(shown) or os.path.realpath(shown) != os.getcwd():
        return []
    if inside == ".":
        return [shown]
    return [shown.removesuffix(f"/{inside}")] if shown.endswith(f"/{inside}") else []


def _by_strace(
    command: watch.Command, means: watch.Means, scratch: str, reads: Reads
) -> tuple[watch.Watched, list[str]]:
    strace = Strace(command.folder)
    count = 0

    def take(line: bytes) -> None:
        nonlocal count
        count += 1
        for lookup in strace.lookups(line):
            reads.take(lookup)

    ended = watch.by_strace(command, means, CALLS, scratch, take, lambda: list(strace.processes))
    hidden: list[str] = []
    if ended.left:
        names = ", ".join(ended.left)
        hidden.append(f"what programs read later that it left running: they were ended ({names})")
    elif strace.processes or not count:
        hidden.append("all that came after strace had ended, before the command")
    for lookup in strace.rest():
        reads.take(lookup)
    if strace.unread:
        hidden.append(f"{strace.unread:,} lines of strace that toolkit does not know")
    if strace.rings:
        hidden.append("files that were opened by io_uring, which strace does not see")
    clients = {os.path.basename(path) for path in reads.programs}.intersection(_CLIENTS)
    for name in sorted(clients):
        hidden.append(f"what {name} lets a process read that was running before")
    return ended, hidden


def _by_hooks(
    command: watch.Command, means: watch.Means, scratch: str, reads: Reads
) -> tuple[watch.Watched, list[str]]:
    log = HookLog()

    def take(line: bytes) -> None:
        for lookup in log.lookups(line):
            reads.take(lookup)

    ended = watch.by_hooks(command, scratch, take, moment)
    hidden = [
        f"what other programs than node and Python read, and most names looked for in vain:"
        f" {means.why}, so hooks in these two watched"
    ]
    started = {os.path.basename(name) for name in (command.words[0], *log.programs)}
    native = sorted(name for name in started if not name.startswith(_HOOKED))
    if native:
        hidden.append(f"what these programs read: {', '.join(native)}")
    if log.unread:
        hidden.append(f"{log.unread:,} lines of the hooks that were cut off")
    return ended, hidden


def _classified(reads: Reads, git: Git) -> ObservedInputs:
    root = os.path.realpath(git.root)
    tree = WorkTree(root)

    @cache
    def real(folder: str) -> str:
        return os.path.realpath(folder)

    def relative(path: str) -> str | None:
        folder, name = os.path.split(path)
        if name in ("", ".", ".."):
            path = os.path.realpath(path)
        else:
            path = os.path.join(real(folder), name)
        if path == root:
            return ""
        return path[len(root) + 1 :] if path.startswith(f"{root}/") else None

    def links(path: str) -> Collection[str]:
        for name in {git.root, root, *_other_names(git.root)}:
            if path.startswith(f"{name}/"):
                steps, _ = follow(path[len(name) + 1 :], tree)
                return [step for step in steps if tree.link(step) is not None]
        return ()

    def ignored(paths: Sequence[str]) -> Collection[str]:
        try:
            return git.ignored(paths)
        except GitError:  # one of them cannot be asked for; the wider answer is that none is
            return ()

    around = Surroundings(
        relative, links, lambda path: files.is_folder(os.path.join(root, path)), ignored
    )
    inputs = classified(reads, tracked_files(git), around)
    return replace(inputs, locks=lock_digests(inputs.locks, git))


def tracked_files(git: Git) -> KnownFiles:
    """What git tracks."""
    entries = list(git.entries())
    submodules = (entry.path for entry in entries if entry.mode == GITLINK)
    return known_files((entry.path for entry in entries), submodules)


def lock_digests(paths: Collection[str], git: Git) -> dict[str, str]:
    """The digests of lock files as they are on disk; empty for one that cannot be read."""
    digests: dict[str, str] = {}
    for path in sorted(paths):
        try:
            data = files.read_inside(git.root, path, evidence_file.MOST_BYTES)
            digests[path] = hashlib.sha256(data).hexdigest()
        except FileProblem:
            digests[path] = ""
    return digests


def judge(rules: Rules, git: Git, environment: str | None) -> Judge:
    """What makes targets due today."""
    path = rules_path(rules, git)
    users = input_targets(rules, environment, git, None).by
    return Judge(rule_book(rules), users, own_paths(path))


def held_against(
    seen: ObservedCommand | Evidence, target: str, judge: Judge, tracked: KnownFiles, strict: bool
) -> ObservedTarget:
    """What was looked up against the rules of a target. With `strict` also what is in doubt is
    missed.
    """
    inputs = seen.inputs
    missed = missed_inputs(inputs, target, judge, tracked)
    if strict:
        missed = tuple(replace(each, in_doubt=False) for each in missed)
    certain = [each for each in missed if not each.in_doubt]
    patterns = proposals(certain, target, judge, inputs)
    return ObservedTarget(target, inputs, missed, patterns, not seen.hidden)


def recorded(rules: Rules, git: Git) -> Mapping[str, Evidence]:
    """The evidence that is recorded beside rules.toml; none where there is no such file. Raises
    FileProblem, StateDamaged.
    """
    path = _evidence_path(rules, git)
    if path is None or not os.path.lexists(path):
        return {}
    root = os.path.realpath(git.root)
    name = os.path.relpath(os.path.realpath(path), root)
    data = files.read_inside(git.root, name, evidence_file.MOST_BYTES)
    try:
        return evidence_file.read(data)
    except evidence_file.EvidenceError as error:
        raise StateDamaged(
            "delete it, and observe its commands again", path=path, reason=str(error)
        ) from None


def _evidence_path(rules: Rules, git: Git) -> str | None:
    path = rules_path(rules, git)
    return None if path is None else os.path.join(git.root, evidence_name(path))


def evidence_problems(
    target: str, observation: ObservedCommand | None, rules: Rules, git: Git
) -> tuple[EvidenceProblem, ...]:
    """Why what is recorded of a target does not hold for this observation, or for today's lock
    files.
    """
    evidence = recorded(rules, git).get(target)
    if evidence is None:
        return (EvidenceProblem(target, "nothing is recorded"),)
    digests = lock_digests(evidence.locks, git)
    problems = [evidence_file.expired(target, evidence, digests)]
    if observation is not None:
        problems.append(evidence_file.other_command(target, evidence, observation))
    return tuple(problem for problem in problems if problem is not None)


def awaited(rules: Rules, git: Git) -> set[str]:
    """The paths that do not exist, and that commands were observed to look for. Raises FileProblem,
    StateDamaged.
    """
    return {path for entry in recorded(rules, git).values() for path in entry.missing}


def findings(rules: Rules, git: Git) -> Iterator[LintFinding]:
    """What `rules check` says of the evidence: where it has expired, and what no rule matches that
    it has proven. Raises FileProblem, StateDamaged.
    """
    evidence = recorded(rules, git)
    if not evidence:
        return
    today, tracked = judge(rules, git, rules.environment), tracked_files(git)
    for name, entry in evidence.items():
        line = today.book.line("targets", name)
        if name not in rules.targets:
            message = f"{name} is observed, and is not a target"
            yield LintFinding(LintCode.EXPIRED_EVIDENCE, None, message)
            continue
        again = f"observe `{join(entry.command)}` again, with --write"
        for problem in evidence_problems(name, None, rules, git):
            message = f"what {name} reads was observed, but {problem.problem}"
            yield LintFinding(LintCode.EXPIRED_EVIDENCE, line, message, again)
        for each in missed_inputs(entry.inputs, name, today, tracked):
            if not each.in_doubt:
                message = f"{name} was observed to use {each.path or 'the root'}: {each.why}"
                hint = f"add {each.pattern!r} to a rule of {name}" if each.pattern else ""
                yield LintFinding(LintCode.MISSED_INPUT, each.line or line, message, hint)


def record(target: str, observation: ObservedCommand, rules: Rules, git: Git) -> str:
    """Write down what was proven; the path of the file. Raises UsageError where rules.toml is not
    in the repository, FileProblem.
    """
    path = _evidence_path(rules, git)
    if path is None:
        raise UsageError(
            f"{rules.file} is not in this repository",
            "what was observed is written beside rules.toml; move it there",
        )
    observed = {**recorded(rules, git), target: evidence_file.evidence_of(observation)}
    known = {name: each for name, each in observed.items() if name in rules.targets}
    disk.write(path, evidence_file.written(known), mode=0o666)
    return path


def write_patterns(observed: ObservedTarget, rules: Rules) -> Rules | None:
    """Add the proposed patterns to rules.toml, all else as it is written, and give the rules as
    they are then. None where that cannot be done for sure: nothing is written. Raises FileProblem.
    """
    text = rules.text
    try:
        for proposed in observed.patterns:
            changed = _with_patterns(text, proposed, observed.target, rules)
            if changed is None:
                return None
            text = changed
        changed_rules = read_rules(text.encode(), rules.file)
    except (ValueError, RulesError):  # a name that no TOML can hold
        return None
    if os.path.islink(rules.file) or files.read(rules.file).decode() != rules.text:
        return None
    mode = os.stat(rules.file).st_mode & 0o777
    disk.write(rules.file, text.encode(), mode=mode)
    return changed_rules


def _with_patterns(text: str, proposed: ObservedPatterns, target: str, rules: Rules) -> str | None:
    if proposed.line is None:
        return f"{text.rstrip()}\n\n{new_rule(proposed, target)}"
    index = next(at for at, rule in enumerate(rules.rules) if rule.name == proposed.rule)
    return toml.with_elements(text, ("rules", index, "paths"), proposed.patterns)


def new_rule(proposed: ObservedPatterns, target: str) -> str:
    """A new rule as TOML."""
    paths = "".join(f"  {toml.string(pattern)},\n" for pattern in proposed.patterns)
    name, deploy = toml.string(proposed.rule), toml.string(target)
    return f"[[rules]]\nname = {name}\npaths = [\n{paths}]\ndeploy = [{deploy}]\n"
