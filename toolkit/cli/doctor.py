"""`toolkit doctor`: is everything there, and do the rules know what goes into the images?"""

import os
import platform

import click

from toolkit import __version__, flow, targets
from toolkit.changes.completeness import describe
from toolkit.changes.detect import look
from toolkit.cli import options, output
from toolkit.errors import Exit, GitMissing, Refused
from toolkit.flow.contents import gaps_of, generated_of
from toolkit.init.coverage import UncoveredSource, uncovered_sources
from toolkit.init.images.contexts import contexts, is_compose, is_dockerfile
from toolkit.init.survey import images_of_stacks
from toolkit.model import Rules
from toolkit.plan.graph import Graph
from toolkit.ports import cdk_packages, files, programs
from toolkit.ports.git import Git
from toolkit.show import diagnosis as show


@click.command()
@options.common
@options.as_json
@click.pass_context
def doctor(ctx: click.Context, folder: str | None, rules: str | None, as_json: bool) -> int:
    """Look for programs and their versions, and hold the rules against what every Dockerfile
    copies.

    A source of an image that no rule sends to its app would be a missed deploy: exit code 1.
    Silence one that needs no rule with `accept = [{ path = "…", reason = "…" }]` in rules.toml.
    """
    folder = options.enter(ctx, folder)
    try:
        git = options.repository(folder)
    except GitMissing:
        git = None
    found = [
        show.ProgramRow("toolkit", __version__),
        show.ProgramRow("python", platform.python_version()),
        *_programs(),
        _builder(),
    ]
    loaded = flow.load_rules(folder, options.inherited(ctx, "rules", rules), git) if git else None
    if loaded is not None:
        options.known_environment(ctx, loaded)
    images = _images(loaded, git) if loaded and git else None
    bad = (images and (images.uncovered or images.incomplete)) or any(
        program.problem for program in found
    )
    code = Exit.FAILED if bad else Exit.OK
    if as_json:
        return output.document(show.document(found, images, code))
    output.say(show.text(found, images, loaded.file if loaded else None))
    return code


def _programs() -> list[show.ProgramRow]:
    return [show.program(name, version, needed) for name, version, needed in programs.versions()]


def _builder() -> show.ProgramRow:
    """What would build images here."""
    from toolkit.ports import images

    try:
        name = images.builder().name
    except Refused as problem:
        return show.ProgramRow("builder", None, str(problem), True)
    limits = (
        "Dockerfiles that only copy; docker, podman or buildah would build all"
        if name == images.BUILT_IN
        else ""
    )
    return show.ProgramRow("builder", name, limits)


def _images(rules: Rules, git: Git) -> show.DockerfileRows:
    """Each Dockerfile with the targets that are built from it, and the sources, tracked or new,
    that their rules forget.
    """
    paths = [*git.files(), *(state.path for state in git.status() if state.index == "?")]
    texts = {
        path: files.text_inside(git.root, path) or ""
        for path in paths
        if is_dockerfile(path) or is_compose(path)
    }
    ours = _built(rules)
    texts |= {path: files.text_inside(git.root, path) or "" for path in ours if path in paths}
    dockerfiles = {
        path: text for path, text in texts.items() if is_dockerfile(path) or path in ours
    }
    guessed = contexts(
        dockerfiles, paths, {path: text for path, text in texts.items() if is_compose(path)}
    )
    built = {**_built_by_stacks(rules, paths, git), **ours}
    for group, inside in Graph(rules.targets).covered.items():
        for _, names in built.values():
            names.update([] if inside.isdisjoint(names) else [group])
    owners = {
        path: frozenset(at for at, rule in enumerate(rules.rules) if names & set(rule.deploy))
        for path, (_, names) in built.items()
    }
    missed: tuple[UncoveredSource, ...] = uncovered_sources(
        dockerfiles,
        [rule.paths for rule in rules.rules],
        rules.ignore,
        paths,
        [one.path for one in rules.accept],
        {**guessed, **{path: context for path, (context, _) in built.items()}},
        owners,
        {
            path: files.text_inside(git.root, path) or ""
            for path in paths
            if path.endswith(".dockerignore")
        },
    )
    named = {path: tuple(sorted(built[path][1])) if path in built else () for path in dockerfiles}
    seen = look(git)
    return show.DockerfileRows(
        named,
        tuple(sorted(set(built) - set(dockerfiles))),
        missed,
        generated_of(rules, rules.environment, git, seen),
        {
            name: describe(gaps)
            for name, gaps in gaps_of(rules, rules.environment, git, seen).items()
        },
        _unprepared(rules, git),
    )


def _unprepared(rules: Rules, git: Git) -> dict[str, tuple[str, str]]:
    """The CDK apps whose own packages are not installed here, each with what is missing and what
    installs it.
    """
    found: dict[str, tuple[str, str]] = {}
    for target in rules.targets.values():
        for source in targets.kind(target.kind).sources(target.settings):
            folder = os.path.normpath(source)
            if folder in found or not os.path.isfile(os.path.join(git.root, folder, "cdk.json")):
                continue
            if what := cdk_packages.missing(git.root, folder):
                found[folder] = (what, cdk_packages.install(git.root, folder))
    return found


def _built(rules: Rules) -> dict[str, tuple[str, set[str]]]:
    """Dockerfile -> its context, and the targets that are built from it."""
    found: dict[str, tuple[str, set[str]]] = {}
    for name, target in rules.targets.items():
        image = targets.kind(target.kind).dockerfile(target.settings)
        if image is not None:
            context, dockerfile = image
            found.setdefault(os.path.normpath(dockerfile), (context, set()))[1].add(name)
    return found


def _built_by_stacks(rules: Rules, paths: list[str], git: Git) -> dict[str, tuple[str, set[str]]]:
    """The same for the images that stacks build by themselves. A stack that goes by another name
    there is any of its app's.
    """
    sources: dict[str, list[tuple[str, str]]] = {}
    for name, target in rules.targets.items():
        kind = targets.kind(target.kind)
        for source in kind.sources(target.settings):
            called = kind.aliases(target.settings)
            sources.setdefault(os.path.normpath(source), []).append(
                (name, called[0] if called else name)
            )
    found: dict[str, tuple[str, set[str]]] = {}
    for dockerfile, context, source, stack in (
        images_of_stacks(paths, lambda path: files.text_inside(git.root, path)) if sources else ()
    ):
        ours = sources.get(source, [])
        names = [name for name, called in ours if called == stack] or [name for name, _ in ours]
        if names:
            found.setdefault(dockerfile, (context, set()))[1].update(names)
    return found
