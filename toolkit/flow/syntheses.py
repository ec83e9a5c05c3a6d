"""What commits say that targets have to be: each is put into toolkit's own checkout, with the
packages of its own lock files, and synthesized there. What came of it is kept.
"""

import hashlib
import os
from collections.abc import Collection, Sequence
from contextlib import suppress

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.errors import FileProblem, StateDamaged, ToolkitError
from toolkit.flow.template_offer import FOLDER
from toolkit.operations import Job
from toolkit.ports import cdk_environment, disk, files, package_install
from toolkit.ports.cdk import SynthLog
from toolkit.ports.checkout import Checkout, checkout
from toolkit.ports.git import GITLINK, Git
from toolkit.ports.ports import Ports
from toolkit.templates.model import SynthesizedStack
from toolkit.templates.refinement import Synthesis, SynthesisSource

SCHEME = "1"
BRANCH = "main"
"""The branch that is checked out where the person's own HEAD is on none."""
MOST_BYTES = 64 << 20


class Commits(Struct, frozen=True):
    """Synthesizes the commits of a repository."""

    git: Git
    ports: Ports
    log: SynthLog

    def at(self, commit: str, jobs: Sequence[Job], again: bool = False) -> tuple[Synthesis, ...]:
        """What each of these jobs' targets would be at a commit; `again`: of a second run. What
        cannot be known is said in the answers. Raises what the log raises.
        """
        try:
            packages = package_install.key(self._tree(commit))
        except ToolkitError as problem:
            return (Synthesis(unknown=problem.in_words),) * len(jobs)
        paths = [self._path(commit, packages, job, again) for job in jobs]
        kept = [_read(path) for path in paths]
        lacking = [job for job, stacks in zip(jobs, kept, strict=True) if stacks is None]
        if not lacking:
            return tuple(Synthesis(stacks) for stacks in kept if stacks is not None)
        try:
            with checkout(self.git, self.ports.cache, self.log.check) as held:
                held.switch(commit, self.git.branch or BRANCH)
                fresh = iter(self._made(held, packages, lacking, again))
        except ToolkitError as problem:
            why = problem.in_words
            fresh = iter([Synthesis(unknown=why)] * len(lacking))
        answers: list[Synthesis] = []
        for path, stacks in zip(paths, kept, strict=True):
            answer = next(fresh) if stacks is None else Synthesis(stacks)
            if stacks is None and not answer.unknown:
                _write(path, answer.stacks)
            answers.append(answer)
        return tuple(answers)

    def submodule_between(self, commits: Collection[str]) -> str:
        """A submodule that is not the same at all of these commits, empty if there is none. Their
        folders are empty in the checkout, so that nothing can be said of what is made of them. Of a
        commit that cannot be read nothing is known anyway.
        """
        links: list[dict[str, str]] = []
        for commit in dict.fromkeys(commits):
            with suppress(ToolkitError):
                tree = self._tree(commit)
                links.append({path: own for path, own in tree if own.startswith(GITLINK)})
        for several in links[1:]:
            for path in sorted(links[0].keys() | several.keys()):
                if links[0].get(path) != several.get(path):
                    return path
        return ""

    def of_files(self) -> str:
        """A commit of what lies in the working tree: HEAD itself where nothing differs from it.
        Raises GitError, FileProblem.
        """
        head = self.git.require_head()
        with checkout(self.git, self.ports.cache, self.log.check) as held:
            return held.commit_of_files(self.git.root, head)

    def _made(
        self, held: Checkout, packages: str, jobs: Sequence[Job], again: bool
    ) -> tuple[Synthesis, ...]:
        folders: dict[str, None] = {}
        for job in jobs:
            folders |= dict.fromkeys(synthesis_source(job).programs)
        if folders:
            package_install.prepare(held, packages, list(folders), self.log)
        return synthesize(jobs, replace(self.ports, root=held.path, fresh=True), self.log, again)

    def _tree(self, commit: str) -> list[tuple[str, str]]:
        """The files of a commit. That of uncommitted files is only in the checkout."""
        if self.git.held([commit]):
            return list(self.git.tree(commit))
        with checkout(self.git, self.ports.cache, self.log.check) as held:
            return held.tree(commit)

    def _path(self, commit: str, packages: str, job: Job, again: bool) -> str:
        """The file for what becomes of a job at a commit: its name holds all that decides it."""
        location = job.location
        variables = cdk_environment.handed_on(synthesis_source(job).variables, os.environ)
        parts = [
            SCHEME,
            commit,
            self.git.branch or BRANCH,
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
        return os.path.join(files.own_cache(self.ports.cache, FOLDER), name)


def synthesis_source(job: Job) -> SynthesisSource:
    """What a job of a kind that synthesizes is synthesized from."""
    source: SynthesisSource | None = targets.kind(job.kind).synthesis_source(job.settings)
    return source or SynthesisSource()


def synthesize(
    jobs: Sequence[Job], ports: Ports, log: SynthLog, again: bool = False
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
        disk.write(path, msgspec.json.encode(stacks))
