"""Dockerfiles become apps: what each image takes from the repository, and the ECS service that it
most likely belongs to.
"""

from collections.abc import Iterable, Iterator, Sequence, Set
from posixpath import basename, dirname
from posixpath import join as joined

from msgspec import Struct

from toolkit.impact.matcher import Matcher
from toolkit.init.draft import DraftRule, DraftTarget
from toolkit.init.evidence import Evidence, Stack, TargetNames, merge_evidence, slug
from toolkit.init.images.contexts import build_contexts, ignore_file, is_compose, is_dockerfile
from toolkit.init.images.dockerignore import allowed_patterns, excluded_patterns
from toolkit.init.images.sources import CopySource, copy_sources
from toolkit.init.patterns import (
    everything_in,
    literal,
    literal_prefix,
    patterns_for_paths,
    simplify,
    within,
)
from toolkit.init.tests_and_docs import test_patterns
from toolkit.init.tree import TrackedFiles

_NOT_DEPLOYED = {
    "dev",
    "devel",
    "development",
    "local",
    "test",
    "tests",
    "testing",
    "ci",
    "debug",
    "lint",
    "e2e",
    "devcontainer",
}
_ONLY_APP_NAME = "app"
"""What the image of a repository that is one app is called."""

_SAYS_NOTHING = {
    "docker",
    ".docker",
    "deploy",
    "deployment",
    "build",
    "container",
    "image",
    "prod",
    "production",
}


class AppImage(Struct, frozen=True):
    """What one Dockerfile is built from: patterns (`!` for what stays out), the tests beside it,
    and sources that are not in git.
    """

    dockerfile: str
    context: str
    patterns: tuple[str, ...]
    tests: tuple[str, ...] = ()
    missing_sources: tuple[str, ...] = ()

    @property
    def positive(self) -> tuple[str, ...]:
        """The patterns of what goes in, whatever is left out again."""
        return tuple(pattern for pattern in self.patterns if not pattern.startswith("!"))


def read_image(tree: TrackedFiles, dockerfile: str, context: str) -> AppImage:
    """The patterns of all that goes into an image: its sources, its Dockerfile, and the two files
    that may be its .dockerignore.
    """
    ignore = ignore_file(dockerfile, context, tree)
    ignored = (tree.read(ignore) if ignore else None) or ""
    source_patterns: list[str] = []
    missing: list[str] = []
    for source in copy_sources(tree.read(dockerfile) or ""):
        patterns, is_missing = _source_patterns(tree, context, source, allowed_patterns(ignored))
        source_patterns += patterns
        if is_missing:
            missing.append(source.source)
    # In git or not: each of the three counts as soon as it exists.
    always = patterns_for_paths(
        (dockerfile, f"{dockerfile}.dockerignore", joined(context, ".dockerignore"))
    )
    included = simplify([*source_patterns, *always])
    tests = test_patterns(tree, context)
    excluded = [within(context, pattern) for pattern in excluded_patterns(ignored)]
    exclusions = _useful_exclusions(
        tree.below(context), included, dict.fromkeys((*excluded, *tests)), always
    )
    patterns = (*included, *(f"!{pattern}" for pattern in exclusions))
    return AppImage(dockerfile, context, patterns, tests, tuple(dict.fromkeys(missing)))


def find_apps(
    tree: TrackedFiles, names: TargetNames, stacks: Sequence[Stack], taken: Set[str]
) -> Evidence:
    """An app for each Dockerfile that no stack builds by itself."""
    texts: dict[str, str] = {}
    unreadable: list[str] = []
    for path in tree.candidates:
        if is_dockerfile(path) and path not in taken:
            text = tree.read(path)
            if text is None:
                unreadable.append(path)
            else:
                texts[path] = text
    deployed = [path for path in texts if not _is_for_development(path)] or list(texts)
    composes = {path: tree.read(path) or "" for path in tree.paths if is_compose(path)}
    folders = build_contexts({path: texts[path] for path in deployed}, tree.paths, composes)
    # The names of services in a stack are only certain where there is one app.
    several = len(deployed) > 1
    parts = []
    for path in deployed:
        image = read_image(tree, path, folders[path])
        parts.append(_app_evidence(image, names, stacks, several))
    notes = []
    for path in texts:
        if path not in deployed:
            notes.append(f"{path}: an image for development or tests, left out")
    notes += [f"{path}: could not be read" for path in unreadable]
    return merge_evidence((*parts, Evidence(notes=tuple(notes))))


def _app_evidence(
    image: AppImage, names: TargetNames, stacks: Sequence[Stack], several: bool
) -> Evidence:
    name = names.new(_app_name(image))
    stack = _stack_of_app(name, [stack for stack in stacks if stack.containers])
    settings = {
        "cluster": names.project,
        "service": name,
        "repository": f"{names.project}-{name}",
    }
    if image.context == "" and name == _ONLY_APP_NAME:
        settings |= {"service": names.project, "repository": names.project}
    questions: list[str] = []
    for key, guess in settings.items():
        name_in_stack = _name_in_stack(stack, key, name, several)
        if name_in_stack:
            settings[key] = name_in_stack
        else:
            questions.append(f"targets.{name}.{key}: {_MEANINGS[key]} (drafted as `{guess}`)")
    target = DraftTarget(
        name,
        "app",
        {**settings, "build": {"context": image.context or ".", "dockerfile": image.dockerfile}},
        (stack.target.name,) if stack else (),
        (f"The image of {image.dockerfile}.",),
    )
    rule = DraftRule(
        f"App code ({name})" if several else "App code",
        image.patterns,
        (name,),
        comment=_comment(image),
    )
    return Evidence(
        targets=(target,),
        rules=(rule,),
        notes=(f"{image.dockerfile}: an image; app `{name}`",),
        questions=(*questions, *_image_questions(image, name)),
        tests=image.tests,
    )


_MEANINGS = {
    "cluster": "the name of the ECS cluster",
    "service": "the name of the ECS service",
    "repository": "the name of the ECR repository",
}


def _image_questions(image: AppImage, name: str) -> Iterator[str]:
    for source in image.missing_sources:
        yield (
            f"{image.dockerfile} copies `{source}`, which is not in git: which files is it built"
            f" from? Until the rule says so, more files call for `{name}` than need be"
        )
    if "**" in image.patterns:
        yield (
            f"{image.dockerfile} copies the whole repository, so nearly every change calls for"
            f" `{name}`: narrow the rule or .dockerignore"
        )


def _comment(image: AppImage) -> tuple[str, ...]:
    lines = [f"What {image.dockerfile} copies."]
    for source in image.missing_sources:
        lines.append(f"`{source}` is not in git; this stands for what it is built from.")
    return tuple(lines)


def _stack_of_app(name: str, stacks: Sequence[Stack]) -> Stack | None:
    """The one stack that runs containers, or the only one among several whose name is like the
    app's.
    """
    if len(stacks) == 1:
        return stacks[0]
    alike = []
    for stack in stacks:
        if name in stack.target.name or stack.target.name in name:
            alike.append(stack)
    if len(alike) == 1:
        return alike[0]
    return None


def _name_in_stack(stack: Stack | None, key: str, app: str, several: bool) -> str | None:
    """The stack's name for the app's cluster, service or repository, if there is no doubt which of
    its names is meant.
    """
    if stack is None:
        return None
    names = sorted(set(stack.values.get(key, ())))
    if len(names) > 1 or (several and key != "cluster"):
        names = [name for name in names if app in slug(name)]
    if len(names) == 1:
        return names[0]
    return None


def _app_name(image: AppImage) -> str:
    """After `Dockerfile.worker`, else after the folder, unless that says nothing."""
    candidates = []
    for word in basename(image.dockerfile).split("."):
        if word.lower() not in {"dockerfile", "containerfile"} | _SAYS_NOTHING | _NOT_DEPLOYED:
            candidates.append(word)
    folders = [*reversed(dirname(image.dockerfile).split("/")), basename(image.context)]
    candidates += [folder for folder in folders if folder.lower() not in _SAYS_NOTHING]
    for candidate in candidates:
        if slug(candidate):
            return candidate
    return _ONLY_APP_NAME


def _is_for_development(dockerfile: str) -> bool:
    return bool(_NOT_DEPLOYED & set(basename(dockerfile).lower().split(".")))


def _source_patterns(
    tree: TrackedFiles, context: str, source: CopySource, allowed: tuple[str, ...] | None
) -> tuple[tuple[str, ...], bool]:
    """A source as patterns from the root, and whether it has to be built first: then the nearest
    existing folder counts. `allowed` is what the .dockerignore lets in again (None: everything).
    """
    if source.patterns == ("**",):
        return _whole_context(tree, context, ("**",) if allowed is None else allowed), False
    path = within(context, source.patterns[0].removesuffix("/**"))
    prefix = literal_prefix(path)
    if prefix != path:
        if not tree.is_folder(prefix):
            return (everything_in(tree.nearest(prefix)),), True
        if _names_files(tree, path):
            return (path,), False
        return tuple(within(context, pattern) for pattern in source.patterns), False
    if path in tree:
        return (literal(path),), False
    return (everything_in(tree.nearest(path)),), not tree.is_folder(path)


def _whole_context(tree: TrackedFiles, context: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    patterns = []
    for pattern in allowed:
        path = within(context, pattern)
        prefix = literal_prefix(path)
        # `file/**`, as .dockerignore has it, would not match the file itself.
        patterns.append(literal(prefix) if prefix in tree else path)
    return tuple(patterns)


def _names_files(tree: TrackedFiles, pattern: str) -> bool:
    """Whether a pattern like `package*.json` is one for files: it ends in an extension, and no
    folder here has such a name.
    """
    _, dot, extension = pattern.rpartition("/")[2].rpartition(".")
    if not dot or not extension.isalnum():
        return False
    # `COPY *.json` may also mean folders of such names, with all that is in them.
    files, inside = Matcher([[pattern]]), Matcher([[f"{pattern}/**"]])
    return not any(
        inside.match(path) and not files.match(path) for path in tree.below(literal_prefix(pattern))
    )


def _useful_exclusions(
    paths: Iterable[str],
    included: Sequence[str],
    exclusions: Iterable[str],
    always: Sequence[str],
) -> list[str]:
    """The exclusions that take something away from these paths, and nothing that has to stay."""
    listed = list(exclusions)
    stays = Matcher([always])
    matcher = Matcher([included, *([pattern] for pattern in listed)])
    useful: set[int] = set()
    harmful: set[int] = set()
    for path in paths:
        hits = [index for index, _ in matcher.match(path)]
        # Index 0 is what is included; the exclusions follow.
        if len(hits) > 1 and hits[0] == 0:
            if stays.match(path):
                harmful.update(hits[1:])
            else:
                useful.update(hits[1:])
    return [pattern for index, pattern in enumerate(listed, 1) if index in useful - harmful]
