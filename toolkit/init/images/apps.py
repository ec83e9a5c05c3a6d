"""Dockerfiles become apps: what each image takes from the repository, and the ECS service that it
most likely belongs to.
"""

from collections.abc import Iterable, Iterator, Sequence, Set
from posixpath import basename, dirname
from posixpath import join as joined

from msgspec import Struct

from toolkit.impact.matcher import Matcher
from toolkit.init.draft import DraftRule, DraftTarget
from toolkit.init.images.contexts import contexts, ignore_file, is_compose, is_dockerfile
from toolkit.init.images.dockerfile import CopySource, sources
from toolkit.init.images.dockerignore import allowed, excluded
from toolkit.init.parts import Stack, SurveyPart, TargetNames, slug, together
from toolkit.init.patterns import below, literal, one_of, plain_lead, simplest, within
from toolkit.init.quiet import tests_in
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
_ALONE = "app"
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
    built: tuple[str, ...] = ()

    @property
    def positive(self) -> tuple[str, ...]:
        """The patterns of what goes in, whatever is left out again."""
        return tuple(one for one in self.patterns if not one.startswith("!"))


def image(tree: TrackedFiles, dockerfile: str, context: str) -> AppImage:
    """The patterns of all that goes into an image: its sources, its Dockerfile, and the two files
    that may be its .dockerignore.
    """
    ignore = ignore_file(dockerfile, context, tree)
    ignored = (tree.read(ignore) if ignore else None) or ""
    taken = [
        (source, *_in_git(tree, context, source, allowed(ignored)))
        for source in sources(tree.read(dockerfile) or "")
    ]
    always = one_of(
        (dockerfile, f"{dockerfile}.dockerignore", joined(context, ".dockerignore"))
    )  # there or not: they count once made
    positive = simplest([*(pattern for _, patterns, _ in taken for pattern in patterns), *always])
    tests = tests_in(tree, context)
    out = [within(context, one) for one in excluded(ignored)]
    negative = _that_matter(tree.below(context), positive, dict.fromkeys((*out, *tests)), always)
    built = tuple(dict.fromkeys(source.source for source, _, is_built in taken if is_built))
    return AppImage(
        dockerfile, context, (*positive, *(f"!{one}" for one in negative)), tests, built
    )


def apps(
    tree: TrackedFiles, names: TargetNames, stacks: Sequence[Stack], taken: Set[str]
) -> SurveyPart:
    """An app for each Dockerfile that no stack builds by itself."""
    mine = [path for path in tree.candidates if is_dockerfile(path) and path not in taken]
    texts = {path: text for path in mine if (text := tree.read(path)) is not None}
    deployed = [path for path in texts if not _is_aside(path)] or list(texts)
    composes = {path: tree.read(path) or "" for path in tree.paths if is_compose(path)}
    folders = contexts({path: texts[path] for path in deployed}, tree.paths, composes)
    several = len(deployed) > 1
    parts = [_app(image(tree, path, folders[path]), names, stacks, several) for path in deployed]
    return together(
        (
            *parts,
            SurveyPart(
                found=tuple(
                    f"{path}: an image for development or tests, left out"
                    for path in texts
                    if path not in deployed
                )
            ),
            SurveyPart(
                found=tuple(f"{path}: could not be read" for path in mine if path not in texts)
            ),
        )
    )


def _app(made: AppImage, names: TargetNames, stacks: Sequence[Stack], several: bool) -> SurveyPart:
    name = names.new(_name(made))
    home = _home(name, [stack for stack in stacks if stack.containers])
    known = {
        word: _named(home, word, name, several) for word in ("cluster", "service", "repository")
    }
    guesses = {"cluster": names.project, "service": name, "repository": f"{names.project}-{name}"}
    if made.context == "" and name == _ALONE:
        guesses |= {"service": names.project, "repository": names.project}
    settings = {word: known[word] or guesses[word] for word in guesses}
    build = {"context": made.context or ".", "dockerfile": made.dockerfile}
    return SurveyPart(
        targets=(
            DraftTarget(
                name,
                "app",
                {**settings, "build": build},
                (home.target.name,) if home else (),
                (f"The image of {made.dockerfile}.",),
            ),
        ),
        rules=(
            DraftRule(
                f"App code ({name})" if several else "App code",
                made.patterns,
                (name,),
                comment=_comment(made),
            ),
        ),
        found=(f"{made.dockerfile}: an image; app `{name}`",),
        questions=(
            *(
                f"targets.{name}.{word}: {_ASKED[word]} (drafted as `{settings[word]}`)"
                for word in guesses
                if not known[word]
            ),
            *_about(made, name),
        ),
        tests=made.tests,
    )


_ASKED = {
    "cluster": "the name of the ECS cluster",
    "service": "the name of the ECS service",
    "repository": "the name of the ECR repository",
}


def _about(made: AppImage, name: str) -> Iterator[str]:
    for source in made.built:
        yield (
            f"{made.dockerfile} copies `{source}`, which is not in git: which files is it built"
            f" from? Until the rule says so, more files call for `{name}` than need be"
        )
    if "**" in made.patterns:
        yield (
            f"{made.dockerfile} copies the whole repository, so nearly every change calls for"
            f" `{name}`: narrow the rule or .dockerignore"
        )


def _comment(made: AppImage) -> tuple[str, ...]:
    return (
        f"What {made.dockerfile} copies.",
        *(f"`{one}` is not in git; this stands for what it is built from." for one in made.built),
    )


def _home(name: str, stacks: Sequence[Stack]) -> Stack | None:
    """The one stack that runs containers, or the one among several that is called like the app."""
    alike = (
        stacks
        if len(stacks) == 1
        else [one for one in stacks if name in one.target.name or one.target.name in name]
    )
    return alike[0] if len(alike) == 1 else None


def _named(home: Stack | None, word: str, name: str, several: bool) -> str | None:
    """What the stack calls it, if there is no doubt which of its names is meant."""
    found = sorted(set(home.values.get(word, ()))) if home else []
    if len(found) > 1 or (several and word != "cluster"):
        found = [one for one in found if name in slug(one)]
    return found[0] if len(found) == 1 else None


def _name(made: AppImage) -> str:
    """After `Dockerfile.worker`, else after the folder, unless that says nothing."""
    words = [
        word
        for word in basename(made.dockerfile).split(".")
        if word and word.lower() not in ("dockerfile", "containerfile")
    ]
    told = [word for word in words if word.lower() not in _SAYS_NOTHING | _NOT_DEPLOYED]
    folders = [
        one
        for one in (*reversed(dirname(made.dockerfile).split("/")), basename(made.context))
        if one.lower() not in _SAYS_NOTHING
    ]
    return next((one for one in (*told, *folders) if slug(one)), _ALONE)


def _is_aside(dockerfile: str) -> bool:
    return bool(_NOT_DEPLOYED & set(basename(dockerfile).lower().split(".")))


def _in_git(
    tree: TrackedFiles, context: str, source: CopySource, let_in: tuple[str, ...] | None
) -> tuple[tuple[str, ...], bool]:
    """A source as patterns from the root, and whether it has to be built first: then the nearest
    folder that is there counts.
    """
    if source.patterns == ("**",):
        wanted = [within(context, one) for one in (("**",) if let_in is None else let_in)]
        return (
            tuple(literal(lead) if (lead := plain_lead(one)) in tree else one for one in wanted),
            False,
        )
    path = within(context, source.patterns[0].removesuffix("/**"))
    lead = plain_lead(path)
    if lead != path:
        wild = (
            (path,)
            if _names_files(tree, path)
            else tuple(within(context, one) for one in source.patterns)
        )
        return (wild, False) if tree.is_folder(lead) else ((below(tree.nearest(lead)),), True)
    if path in tree:
        return (literal(path),), False
    return (below(tree.nearest(path)),), not tree.is_folder(path)


def _names_files(tree: TrackedFiles, pattern: str) -> bool:
    """Whether a pattern like `package*.json` is one for files: it ends in an extension, and no
    folder here is called so.
    """
    _, dot, extension = pattern.rpartition("/")[2].rpartition(".")
    if not dot or not extension.isalnum():
        return False
    files, inside = Matcher([[pattern]]), Matcher([[f"{pattern}/**"]])
    return not any(
        inside.match(path) and not files.match(path) for path in tree.below(plain_lead(pattern))
    )


def _that_matter(
    paths: Iterable[str], positive: Sequence[str], negative: Iterable[str], always: Sequence[str]
) -> list[str]:
    """The exclusions that take something away from these paths, and nothing that has to stay."""
    asked = list(negative)
    kept = Matcher([always])
    matcher = Matcher([positive, *((one,) for one in asked)])
    useful: set[int] = set()
    needed: set[int] = set()
    for path in paths:
        hits = [rule for rule, _ in matcher.match(path)]
        if len(hits) > 1 and hits[0] == 0:
            (needed if kept.match(path) else useful).update(hits[1:])
    return [one for at, one in enumerate(asked, 1) if at in useful - needed]
