"""Jobs of steps become evidence: which of their commands deploy what."""

import re
from collections.abc import Iterator, Mapping, Sequence
from posixpath import basename

from toolkit.init.command_words import Options, Program, program_of
from toolkit.init.deploy_steps.cdk import CdkSteps
from toolkit.init.deploy_steps.context import BuildStep, JobContext, StepReader
from toolkit.init.deploy_steps.functions import FunctionSteps
from toolkit.init.deploy_steps.images import ImageSteps
from toolkit.init.deploy_steps.services import ServiceSteps
from toolkit.init.deploy_steps.sites import SiteSteps
from toolkit.init.deploy_steps.stacks import StackSteps
from toolkit.init.deploy_steps.tools import ToolSteps
from toolkit.init.evidence import UNKNOWN, Evidence
from toolkit.init.shell import Shell, ShellCommand
from toolkit.init.steps import Job, Step
from toolkit.init.tools import ACTIONS_SEEN, DEPLOY_WORD, DEPLOYS, SEEN
from toolkit.init.tree import TrackedFiles

_AWS_FLAGS = (
    "--delete",
    "--recursive",
    "--no-progress",
    "--only-show-errors",
    "--quiet",
    "--force-new-deployment",
    "--publish",
    "--no-fail-on-empty-changeset",
    "--no-cli-pager",
    "--size-only",
    "--exact-timestamps",
    "--follow-symlinks",
    "--force-upload",
)
_BUILDS = {
    "npm": ("run", "run-script"),
    "yarn": ("",),
    "pnpm": ("",),
    "bun": ("run",),
    "make": ("",),
    "hugo": ("",),
    "mkdocs": ("build",),
    "ng": ("build",),
    "vite": ("build",),
    "next": ("build",),
    "gatsby": ("build",),
    "astro": ("build",),
    "jekyll": ("build",),
    "gradlew": ("",),
    "mvn": ("package",),
    "sphinx-build": ("",),
    "zola": ("build",),
    "tsc": ("",),
    "esbuild": ("",),
    "webpack": ("",),
    "rollup": ("",),
    "go": ("build",),
    "cargo": ("build", "lambda"),
    "dotnet": ("publish",),
    "pip": ("install",),
    "pip3": ("install",),
}
_NO_DEPLOYERS = {"bash", "cat", "cd", "chmod", "cp", "echo", "find", "git", "grep", "ls", "mkdir"}
_NO_DEPLOYERS |= {"make", "mv", "printf", "rm", "sed", "sh", "tar", "touch", "zip"}
"""Programs for which `deploy` is a file or a text, or that start what is read elsewhere."""
_NO_BUILD = {"install", "ci", "test", "lint", "i", "add", "audit", "typecheck", "format"}


def read_evidence(tree: TrackedFiles, job: Job, packages: Mapping[str, str]) -> Iterator[Evidence]:
    """What a job deploys. `packages` are the folders of the repository's own packages by name."""
    if not any(step.uses or DEPLOY_WORD.search(step.text) for step in job.steps):
        return
    reader = _JobReader(tree, job, packages)
    reader.read()
    yield from reader.evidence()


class _JobReader:
    """Follows one job from its first step to its last."""

    def __init__(self, tree: TrackedFiles, job: Job, packages: Mapping[str, str]) -> None:
        self._context = context = JobContext(tree, job)
        self._packages = packages
        self._variables: dict[str, str] = {}
        self._images, self._sites, self._cdk = (
            ImageSteps(context),
            SiteSteps(context),
            CdkSteps(context),
        )
        self._readers: tuple[StepReader, ...] = (
            self._images,
            self._sites,
            self._cdk,
            ServiceSteps(context),
            FunctionSteps(context),
            StackSteps(context),
            ToolSteps(context),
        )

    def read(self) -> None:
        """Read all steps."""
        job = self._context.job
        shell: Shell | None = None
        for step in job.steps:
            self._context.note_variables(step.variables)
            if step.uses:
                self._read_action(step)
                continue
            if shell is None or not job.shared:
                variables = {**step.variables, **self._variables}
                shell = Shell(step.folder, variables, job.home)
            for command in shell.read(step.text, step.line):
                self._read_command(command)
                if "GITHUB_ENV" in step.text and command.words[0] == "echo" and command.words[1:]:
                    name, equals, value = command.words[1].partition("=")
                    if equals and UNKNOWN not in value:
                        self._variables[name] = value

    def evidence(self) -> Iterator[Evidence]:
        """What was read, images first."""
        yield from self._images.pushes()
        yield from map(self._sites.completed, self._context.evidence)

    def _read_command(self, command: ShellCommand) -> None:
        program = program_of(command.words)
        if program is None:
            return
        context = self._context
        context.line, context.words = command.line, command.source
        context.folder = self._start_folder(command.folder, program)
        name, words = program.name, program.words
        handlers = [reader.programs[name] for reader in self._readers if name in reader.programs]
        for handler in handlers:
            handler(words)
        if name == "aws":
            self._read_aws(words)
        elif not handlers and (
            name in _BUILDS or name.startswith("gradlew") or _builds(command.words)
        ):
            self._read_build(command, program)
        if not handlers and "deploy" in words[:2] and name not in _NO_DEPLOYERS:
            known = " ".join((name, *words[: words.index("deploy")]))
            context.see(f"deploys with {known}, which toolkit does not know")
        for start, where in SEEN.items():
            if basename(command.words[0]) == start[0] and _follows(command.words, start[1:]):
                context.see(f"deploys to {where}, for which toolkit has no target")

    def _start_folder(self, folder: str | None, program: Program) -> str | None:
        if program.package and program.package in self._packages:
            return self._packages[program.package]
        if program.folder and folder is not None:
            return self._context.path(program.folder, folder)
        return folder

    def _read_build(self, command: ShellCommand, program: Program) -> None:
        """A command that makes files, unless it only installs or checks."""
        subcommands = _BUILDS.get(program.name, ("",))
        first = program.words[0] if program.words else ""
        if program.name in ("pip", "pip3"):
            if not {"-t", "--target"} & set(program.words):
                return
        elif first in _NO_BUILD or (first and "" not in subcommands and first not in subcommands):
            return
        if UNKNOWN not in "".join(command.words) and self._context.folder is not None:
            self._context.builds.append(BuildStep(self._context.folder, command.words))

    def _read_aws(self, words: tuple[str, ...]) -> None:
        if "--dry-run" in words or "--dryrun" in words or "--endpoint-url" in words:
            return
        service = next((at for at, word in enumerate(words) if _is_service(words, at)), None)
        if service is None or service + 1 >= len(words):
            return
        options = Options((*words[:service], *words[service + 2 :]), _AWS_FLAGS)
        self._context.note_region(options.first("--region"))
        operation = (words[service], words[service + 1])
        for reader in self._readers:
            if operation in reader.operations:
                reader.operations[operation](options)

    def _read_action(self, step: Step) -> None:
        context = self._context
        context.line, context.words = step.line, f"uses: {step.uses}"
        context.folder = step.folder
        name = step.uses.partition("@")[0].lower()
        handlers = [reader.actions[name] for reader in self._readers if name in reader.actions]
        for handler in handlers:
            handler(step)
        if name == "aws-actions/configure-aws-credentials":
            context.note_variables({"AWS_REGION": step.inputs.get("aws-region", "")})
            context.note_role(step.inputs.get("role-to-assume", ""))
        elif name in ACTIONS_SEEN:
            context.see(f"deploys to {ACTIONS_SEEN[name]}, for which toolkit has no target")
        elif "cdk" in name:
            self._cdk.read_action(step)
        elif not handlers and DEPLOYS.search(name):
            context.see(f"deploys with {name}, which toolkit does not know")


def _is_service(words: Sequence[str], at: int) -> bool:
    """Whether the word is the service behind `aws`, and no option or an option's value."""
    if words[at].startswith("-"):
        return False
    before = words[at - 1] if at else ""
    return not before.startswith("--") or before in ("--no-cli-pager", "--debug", "--no-paginate")


def _follows(words: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether the words stand there in this order, options and others between them."""
    rest = iter(words[1:])
    return all(word in rest for word in wanted)


def _builds(words: Sequence[str]) -> bool:
    """Whether a script is started that is called after what it does: `python3 build.py`."""
    return any(re.match(r"build\b", basename(word)) for word in words[:3])
