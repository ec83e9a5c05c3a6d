"""Which folder is a Dockerfile built in? Compose files say it; else it is where the sources of its
COPY lines are.
"""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from posixpath import basename, dirname, normpath
from posixpath import join as joined

from toolkit.formats.dockerfile import UNKNOWN, expand
from toolkit.formats.documents import as_mapping, load_yaml
from toolkit.formats.patterns import within
from toolkit.impact.matcher import Matcher
from toolkit.init.images.sources import copy_sources
from toolkit.init.tree import clean_path

_COMPOSE = ("compose", "docker-compose")
_FARTHEST = 4
_NOT_BUILT = (
    ".dockerignore",
    ".md",
    ".txt",
    ".j2",
    ".jinja",
    ".jinja2",
    ".tmpl",
    ".tpl",
    ".template",
    ".example",
    ".bak",
    ".old",
    ".orig",
)


def is_dockerfile(path: str) -> bool:
    """Whether a file's name is that of a Dockerfile: Dockerfile, api.Dockerfile, Dockerfile.api (or
    Containerfile).
    """
    name = basename(path).lower()
    return not name.endswith(_NOT_BUILT) and any(
        name == word or name.startswith(f"{word}.") or name.endswith(f".{word}")
        for word in ("dockerfile", "containerfile")
    )


def is_compose(path: str) -> bool:
    """Whether a file's name is one that `docker compose` reads: compose.yaml,
    docker-compose.prod.yml.
    """
    name = basename(path).lower()
    return name.endswith((".yml", ".yaml")) and name.split(".")[0] in _COMPOSE


def build_contexts(
    dockerfiles: Mapping[str, str], paths: Iterable[str], composes: Mapping[str, str]
) -> dict[str, str]:
    """The likely build context of each Dockerfile, as a folder from the repository's root (which is
    the empty one).

    `dockerfiles` and `composes` are path -> text. In this order: what a compose file says; the
    Dockerfile's folder, if all its sources are there; the root, if they are there; the nearest
    folder above that has more of them than the Dockerfile's own.
    """
    from_compose: dict[str, str] = {}
    for path, folder in _compose_contexts(composes):
        from_compose.setdefault(path, folder)
    guesses = {path: list(_candidates(path)) for path in dockerfiles if path not in from_compose}
    counts = _count_sources(dockerfiles, guesses, paths)
    contexts: dict[str, str] = {}
    for path in dockerfiles:
        if path in from_compose:
            contexts[path] = from_compose[path]
            continue
        best, *others = guesses[path]
        for folder in others:
            if counts[path, folder] > counts[path, best]:
                best = folder
        contexts[path] = best
    return contexts


def ignore_file(dockerfile: str, context: str, tracked: Container[str]) -> str | None:
    """The .dockerignore that counts for a Dockerfile: the one of its own name, else the one of its
    context.
    """
    for path in (f"{dockerfile}.dockerignore", joined(context, ".dockerignore")):
        if path in tracked:
            return path
    return None


def _candidates(dockerfile: str) -> Iterator[str]:
    """Its folder, the root, and the folders between, nearest first: of equals, the first one is
    taken.
    """
    folder = dirname(dockerfile)
    yield folder
    if folder:
        yield ""
    # Farther up than that, the root is the better guess.
    for _ in range(_FARTHEST):
        folder = dirname(folder)
        if folder:
            yield folder


def _count_sources(
    dockerfiles: Mapping[str, str], guesses: Mapping[str, list[str]], paths: Iterable[str]
) -> Counter[tuple[str, str]]:
    """How many of a Dockerfile's sources are in each folder that may be its context.

    Dockerfiles and their like are no source: a folder that holds nothing else is not what `COPY .
    .` means.
    """
    origins: list[tuple[str, str]] = []
    lists: list[list[str]] = []
    for dockerfile, folders in guesses.items():
        for source in copy_sources(dockerfiles[dockerfile]):
            for folder in folders:
                origins.append((dockerfile, folder))
                lists.append([within(folder, pattern) for pattern in source.patterns])
    matcher = Matcher(lists)
    present: set[int] = set()
    for path in paths:
        if not (is_dockerfile(path) or is_compose(path) or path.endswith(".dockerignore")):
            present.update(index for index, _ in matcher.match(path))
    return Counter(origins[index] for index in present)


def _compose_contexts(composes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each Dockerfile that compose files name, with its build context."""
    for path, text in composes.items():
        for build in _builds(text):
            context = _compose_value(build.get("context", "."))
            dockerfile = _compose_value(build.get("dockerfile", "Dockerfile"))
            if context is None or dockerfile is None or "://" in context or context.startswith("/"):
                continue
            folder = clean_path(joined(dirname(path), context))
            if folder.split("/")[0] != "..":
                yield normpath(joined(folder, dockerfile)), folder


def _builds(text: str) -> Iterator[Mapping[str, object]]:
    try:
        document = load_yaml(text)
    except ValueError:
        return
    for service in as_mapping(as_mapping(document).get("services")).values():
        build = as_mapping(service).get("build")
        if isinstance(build, str):
            yield {"context": build}
        elif isinstance(build, dict):
            yield build


def _compose_value(value: object) -> str | None:
    """A compose value with the defaults of its variables, if that makes it known."""
    if not isinstance(value, str):
        return None
    word = expand(value.replace("$$", ""), lambda name: None, guess=True)
    return None if UNKNOWN in word else word
