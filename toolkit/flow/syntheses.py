"""What commits say that targets have to be: each is put into toolkit's own checkout, with the
packages of its own lock files, and synthesized there. What came of it is kept.
"""

import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.errors import FileProblem, StateDamaged, ToolkitError
from toolkit.flow.template_offer import FOLDER
from toolkit.model import Rules, Target
from toolkit.operations import Job
from toolkit.ports import cdk_environment, disk, files, package_install
from toolkit.ports.checkout import Checkout, checkout
from toolkit.ports.git import GITLINK, Git
from toolkit.ports.ports import Ports
from toolkit.ports.program_runs import ProgramLog
from toolkit.templates.model import StackComparison, StackState, SynthesizedStack
from toolkit.templates.refinement import Synthesis, SynthesisSource, not_synthesized

SCHEME = "1"
BRANCH = "main"
"""The branch that is checked out where the person's own HEAD is on none."""
HOOKS = "its `hooks` run before a deploy, and may change what is synthesized"
MOST_BYTES = 64 << 20
UNUSED_S = 30 * 24 * 3600
"""After this long without use, what came of a commit is forgotten."""


class _CommitFacts(Struct, frozen=True):
    """What a commit's files say: the key of its packages, and its submodules with their commits."""

    packages: str
    submodules: Mapping[str, str]


class CommitSyntheses:
    """Synthesizes the commits of a repository, and keeps what comes of each."""

    def __init__(self, git: Git, ports: Ports, log: ProgramLog) -> None:
        self._git, self._ports, self._log = git, ports, log
        self._facts: dict[str, _CommitFacts] = {}

    def at(self, commit: str, jobs: Sequence[Job], again: bool = False) -> tuple[Synthesis, ...]:
        """What each of these jobs' targets would be at a commit; `again`: of a second run. What
        cannot be known is said in the answers. Raises what the log raises.
        """
        if not jobs:
            return ()
        try:
            packages = self._facts_of(commit).packages
            paths = [self._path(commit, packages, job, again) for job in jobs]
        except ToolkitError as problem:
            return (not_synthesized(problem),) * len(jobs)
        kept = [_read(path) for path in paths]
        lacking = [job for job, stacks in zip(jobs, kept, strict=True) if stacks is None]
        if not lacking:
            return tuple(Synthesis(stacks) for stacks in kept if stacks is not None)
        try:
            with checkout(self._git, self._ports.cache, self._log.check) as held:
                held.switch(commit, self._git.branch or BRANCH)
                fresh = iter(self._made(held, packages, lacking, again))
        except ToolkitError as problem:
            fresh = iter([not_synthesized(problem)] * len(lacking))
        answers: list[Synthesis] = []
        for path, stacks in zip(paths, kept, strict=True):
            answer = next(fresh) if stacks is None else Synthesis(stacks)
            if stacks is None and not answer.unknown:
                _write(path, answer.stacks)
            answers.append(answer)
        return tuple(answers)

    def moved_submodule(self, commits: Collection[str]) -> str:
        """In words, a submodule that is not the same at all of these commits, empty if there is
        none. Their folders are empty in the checkout, so that nothing can be said of what is made
        of them. Of a commit that cannot be read nothing is known anyway.
        """
        links: list[Mapping[str, str]] = []
        for commit in dict.fromkeys(commits):
            with suppress(ToolkitError):
                links.append(self._facts_of(commit).submodules)
        for several in links[1:]:
            for path in sorted(links[0].keys() | several.keys()):
                if links[0].get(path) != several.get(path):
                    return f"the submodule {path} has changed, and toolkit checks out none"
        return ""

    def of_files(self) -> str:
        """A commit of what lies in the working tree, in the checkout only. Raises GitError,
        FileProblem.
        """
        head = self._git.require_head()
        with checkout(self._git, self._ports.cache, self._log.check) as held:
            return held.commit_of_files(self._git.root, head)

    def _made(
        self, held: Checkout, packages: str, jobs: Sequence[Job], again: bool
    ) -> tuple[Synthesis, ...]:
        folders: dict[str, None] = {}
        for job in jobs:
            folders |= dict.fromkeys(synthesis_source(job).programs)
        if folders:
            package_install.prepare(held, packages, list(folders), self._log)
        return synthesize(jobs, replace(self._ports, root=held.path, fresh=True), self._log, again)

    def _facts_of(self, commit: str) -> _CommitFacts:
        facts = self._facts.get(commit)
        if facts is None:
            tree = self._tree(commit)
            submodules = {path: own for path, own in tree if own.startswith(GITLINK)}
            facts = _CommitFacts(package_install.key(tree), submodules)
            self._facts[commit] = facts
        return facts

    def _tree(self, commit: str) -> list[tuple[str, str]]:
        """The files of a commit. That of uncommitted files is only in the checkout."""
        if self._git.held([commit]):
            return list(self._git.tree(commit))
        with checkout(self._git, self._ports.cache, self._log.check) as held:
            return held.tree(commit)

    def _path(self, commit: str, packages: str, job: Job, again: bool) -> str:
        """The file for what becomes of a job at a commit: its name holds all that decides it."""
        location = job.location
        variables = cdk_environment.handed_on(synthesis_source(job).variables, os.environ)
        parts = [
            SCHEME,
            commit,
            self._git.branch or BRANCH,
            packages,
            job.kind,
            msgspec.json.encode(job.settings, order="sorted").decode(),
            location.account or "",
            location.region or "",
            location.profile or "",
            *(f"{name}={value}" for name, value in sorted(variables.items())),
            "again" if again else "",
        ]
        name = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
        return os.path.join(files.own_cache(self._ports.cache, FOLDER), name)


def synthesizing_targets(rules: Rules) -> list[Target]:
    """The targets of which can be synthesized what they would be."""
    return [
        target
        for target in rules.targets.values()
        if not target.members
        and targets.kind(target.kind).synthesis_source(target.settings) is not None
    ]


def synthesis_folders(rules: Rules) -> dict[str, tuple[str, ...]]:
    """Of each target whose templates a program makes, the folders of programs."""
    folders: dict[str, tuple[str, ...]] = {}
    for target in synthesizing_targets(rules):
        source = targets.kind(target.kind).synthesis_source(target.settings)
        if source is not None and source.programs:
            folders[target.name] = source.programs
    return folders


def why_unknown(comparisons: Sequence[StackComparison]) -> str:
    """Why the state of a stack is unknown, in words; empty if none is."""
    words: dict[str, None] = {}
    for comparison in comparisons:
        if comparison.state is StackState.UNKNOWN:
            words |= dict.fromkeys(comparison.why)
    return "; ".join(words)


def synthesis_source(job: Job) -> SynthesisSource:
    """What a job of a kind that synthesizes is synthesized from."""
    source: SynthesisSource | None = targets.kind(job.kind).synthesis_source(job.settings)
    return source or SynthesisSource()


def synthesize(
    jobs: Sequence[Job], ports: Ports, log: ProgramLog, again: bool = False
) -> tuple[Synthesis, ...]:
    """What each of these jobs' targets would be, by the files at `ports.root`. Raises what the log
    raises.
    """
    answers: dict[int, Synthesis] = {}
    for kind in dict.fromkeys(job.kind for job in jobs):
        places = [place for place, job in enumerate(jobs) if job.kind == kind]
        made = targets.kind(kind).synthesize([jobs[place] for place in places], ports, log, again)
        answers |= zip(places, made, strict=True)
    return tuple(answers[place] for place in range(len(jobs)))


def _read(path: str) -> tuple[SynthesizedStack, ...] | None:
    """The stacks in a file of the cache; None where there is none, or it cannot be read."""
    with suppress(FileProblem, msgspec.DecodeError, RecursionError):
        if os.path.exists(path):
            stacks = msgspec.json.decode(
                files.read(path, MOST_BYTES), type=tuple[SynthesizedStack, ...]
            )
            os.utime(path)
            return stacks
    return None


def _write(path: str, stacks: Sequence[SynthesizedStack]) -> None:
    """Keep them: the cache is only for speed."""
    with suppress(FileProblem, StateDamaged):
        disk.forget_unused(os.path.dirname(path), UNUSED_S)
        disk.write(path, msgspec.json.encode(stacks))
