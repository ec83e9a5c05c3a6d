"""`toolkit doctor`: is everything there, and do the rules know what goes into the images?"""

import os
import platform
from typing import Any

import click
from msgspec.structs import replace

from toolkit import DISTRIBUTION, __version__, flow, targets
from toolkit.advice import Advice
from toolkit.changes.completeness import describe
from toolkit.changes.detect import look
from toolkit.cli import options, output
from toolkit.errors import GitMissing, Refused
from toolkit.exits import Exit
from toolkit.flow.versions import commit_gaps, generated_files
from toolkit.init.built_images import template_images
from toolkit.init.coverage import ImageFiles, UncoveredSource, uncovered_sources
from toolkit.init.images.contexts import build_contexts, is_compose, is_dockerfile
from toolkit.model import AWS, ProjectRequest, Rules
from toolkit.plan.graph import Graph
from toolkit.ports import cdk_packages, files, programs
from toolkit.ports.git import Git
from toolkit.show import diagnosis as show

AWS_CLI = "commands that `health` prints need version 2 of the AWS CLI"


@click.command()
@click.option(
    "--aws",
    "ask_aws",
    is_flag=True,
    help="Also ask AWS what uses targets in ways that deploys do not reach.",
)
@options.common
@options.environment
@options.profile
@options.region
@options.allowed
@options.color
@options.as_json
@click.pass_context
def doctor(ctx: click.Context, /, **values: Any) -> int:
    """Check programs and their versions, and whether rules cover what every Dockerfile copies.

    If a Dockerfile copies a file and no rule makes its app due, a deploy would be missed: exit
    code 1. For a file that needs no rule, write `accept = [{ path = "…", reason = "…" }]` in
    rules.toml. Without --aws, nothing outside this machine is asked.
    """
    project = options.project(ctx, values)
    folder = project.folder
    try:
        git = options.repository(folder)
    except GitMissing:
        git = None
    images, rules_file = None, None
    uses_aws = False
    if git is not None:
        loaded = flow.load_rules(folder, project.rules, git)
        options.known_environment(ctx, loaded)
        images, rules_file = image_rows(loaded, git), loaded.file
        leaves = [target for target in loaded.targets.values() if not target.members]
        uses_aws = AWS in {targets.kind(target.kind).provider for target in leaves}
    rows = [
        show.ProgramRow("toolkit", __version__),
        show.ProgramRow("python", platform.python_version()),
        *_programs(uses_aws),
        _builder(),
    ]
    bad = any(row.problem for row in rows)
    if images is not None:
        bad = bad or bool(images.uncovered or images.incomplete)
    bypassed = None
    if values["ask_aws"]:
        bypassed = _bypassed(project, git, values["as_json"])
    bad = bad or bool(bypassed and bypassed.targets)
    code = Exit.FAILED if bad else Exit.OK
    if values["as_json"]:
        return output.document(show.document(rows, images, bypassed, code))
    output.say(show.text(rows, images, bypassed, rules_file))
    return code


def _bypassed(project: ProjectRequest, git: Git | None, silent: bool) -> show.BypassRows:
    """What uses targets in ways that their deploys do not reach. `silent`: the answer is for a
    program.
    """
    from toolkit.cli import account  # only where AWS is asked
    from toolkit.cli.ports import open_ports
    from toolkit.flow.bypasses import find_bypasses

    ports = open_ports(git, project.folder)
    account.sign_in_for(project, git, ports, silent=silent)
    return show.BypassRows(*find_bypasses(project, git, ports))


def _programs(uses_aws: bool) -> list[show.ProgramRow]:
    rows: list[show.ProgramRow] = []
    for name, version, needed in programs.versions():
        row = show.program(name, version, needed)
        if name == "aws" and uses_aws and not (version or "").startswith("2."):
            row = replace(row, remark=f"{row.remark or 'too old'}; {AWS_CLI}")
        elif version is not None and _is_silent(name):
            row = replace(row, remark=f"it does not answer, so it builds nothing: {name} info")
        rows.append(row)
    return [*rows, *_namesakes()]


def _is_silent(name: str) -> bool:
    """Whether it is an engine that builds images, and does not work."""
    from toolkit.artifacts.images import ENGINES
    from toolkit.artifacts.images.probes import engine

    if name not in ENGINES:
        return False
    installed = engine(name)
    return installed is not None and not installed.usable()


def _namesakes() -> list[show.ProgramRow]:
    """The distribution that has the name `toolkit` on the package index, where it is installed
    beside ours: both write into the same folder.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        installed = version("toolkit")
    except PackageNotFoundError:
        return []
    remark = f"another package, which writes over this one ({DISTRIBUTION}): pip uninstall toolkit"
    return [show.ProgramRow("toolkit", installed, remark, True)]


def _builder() -> show.ProgramRow:
    """What would build images here."""
    from toolkit.artifacts import images

    try:
        engine = images.working_engine()
    except Refused as problem:
        return show.ProgramRow("builder", None, str(problem), True)
    if engine is None:
        limits = "Dockerfiles that only copy; docker, podman or buildah would build all"
        return show.ProgramRow("builder", images.BUILT_IN, limits)
    return show.ProgramRow("builder", engine.name)


def image_rows(rules: Rules, git: Git) -> show.DockerfileRows:
    """Each Dockerfile with the targets that are built from it, and the sources, tracked or new,
    that their rules forget.
    """
    paths = [*git.files(), *(state.path for state in git.status() if state.index == "?")]
    of_targets = _built(rules)
    dockerfiles = _texts(git, [path for path in paths if is_dockerfile(path)])
    dockerfiles |= _texts(git, [path for path in of_targets if path in paths])
    compose = _texts(git, [path for path in paths if is_compose(path)])
    ignores = _texts(git, [path for path in paths if path.endswith(".dockerignore")])
    built = {**_built_by_stacks(rules, paths, git), **of_targets}
    # A rule that deploys a group covers the images of its members, too.
    for group, members in Graph(rules.targets).covered.items():
        for _, names in built.values():
            if not members.isdisjoint(names):
                names.add(group)
    contexts = build_contexts(dockerfiles, paths, compose)
    contexts |= {path: context for path, (context, _) in built.items()}
    owners = {path: _rules_for(names, rules) for path, (_, names) in built.items()}
    uncovered: tuple[UncoveredSource, ...] = uncovered_sources(
        ImageFiles(dockerfiles, contexts, owners, ignores),
        [rule.paths for rule in rules.rules],
        rules.ignore,
        paths,
        [accepted.path for accepted in rules.accept],
    )
    targets_by_path: dict[str, tuple[str, ...]] = dict.fromkeys(dockerfiles, ())
    targets_by_path |= {
        path: tuple(sorted(built[path][1])) for path in dockerfiles if path in built
    }
    working_tree = look(git)
    gaps = commit_gaps(rules, rules.environment, git, working_tree)
    return show.DockerfileRows(
        targets_by_path,
        tuple(sorted(set(built) - set(dockerfiles))),
        uncovered,
        generated_files(rules, rules.environment, git, working_tree),
        {name: describe(incomplete) for name, incomplete in gaps.items()},
        _unprepared(rules, git),
    )


def _texts(git: Git, paths: list[str]) -> dict[str, str]:
    return {path: files.text_inside(git.root, path) or "" for path in paths}


def _rules_for(targets: set[str], rules: Rules) -> frozenset[int]:
    """The numbers of the rules that deploy one of these targets."""
    return frozenset(
        index for index, rule in enumerate(rules.rules) if not targets.isdisjoint(rule.deploy)
    )


def _unprepared(rules: Rules, git: Git) -> dict[str, tuple[str, Advice]]:
    """The CDK apps whose own packages are not installed here, each with what is missing and what
    installs it.
    """
    unprepared: dict[str, tuple[str, Advice]] = {}
    for target in rules.targets.values():
        for source in targets.kind(target.kind).sources(target.settings):
            folder = os.path.normpath(source)
            is_app = os.path.isfile(os.path.join(git.root, folder, "cdk.json"))
            if folder in unprepared or not is_app:
                continue
            if missing := cdk_packages.missing(git.root, folder):
                unprepared[folder] = (missing, cdk_packages.install(git.root, folder))
    return unprepared


def _built(rules: Rules) -> dict[str, tuple[str, set[str]]]:
    """Dockerfile -> its context, and the targets that are built from it."""
    built: dict[str, tuple[str, set[str]]] = {}
    for name, target in rules.targets.items():
        image = targets.kind(target.kind).dockerfile(target.settings)
        if image is not None:
            context, dockerfile = image
            built.setdefault(os.path.normpath(dockerfile), (context, set()))[1].add(name)
    return built


def _built_by_stacks(rules: Rules, paths: list[str], git: Git) -> dict[str, tuple[str, set[str]]]:
    """The same for the images that templates build by themselves. What a CDK app builds, only its
    assembly tells.
    """
    sources: dict[str, set[str]] = {}
    for name, target in rules.targets.items():
        for source in targets.kind(target.kind).sources(target.settings):
            sources.setdefault(os.path.normpath(source), set()).add(name)
    built: dict[str, tuple[str, set[str]]] = {}
    if not sources:
        return built
    images = template_images(paths, lambda path: files.text_inside(git.root, path))
    for dockerfile, context, template in images:
        if template in sources:
            built.setdefault(dockerfile, (context, set()))[1].update(sources[template])
    return built
