"""Which folder is a Dockerfile built in? Compose files say it; else it is where the sources of its
COPY lines are.
"""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from posixpath import basename, dirname, normpath
from posixpath import join as joined

from toolkit.impact.matcher import Matcher
from toolkit.init.documents import load_yaml
from toolkit.init.images.dockerfile import sources
from toolkit.init.images.instructions import expanded
from toolkit.init.patterns import UNKNOWN, within

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


def contexts(
    dockerfiles: Mapping[str, str], paths: Iterable[str], composes: Mapping[str, str]
) -> dict[str, str]:
    """The likely build context of each Dockerfile, as a folder from the repository's root (which is
    the empty one).

    `dockerfiles` and `composes` are path -> text. In this order: what a compose file says; the
    Dockerfile's folder, if all its sources are there; the root, if they are there; the nearest
    folder above that has more of them than the Dockerfile's own.
    """
    said: dict[str, str] = {}
    for path, folder in _said(composes):
        said.setdefault(path, folder)
    guesses = {path: list(_candidates(path)) for path in dockerfiles if path not in said}
    found = _found(dockerfiles, guesses, paths)
    return {
        path: (
            said[path]
            if path in said
            else max(guesses[path], key=lambda folder: found[path, folder])
        )
        for path in dockerfiles
    }


def ignore_file(dockerfile: str, context: str, tracked: Container[str]) -> str | None:
    """The .dockerignore that counts for a Dockerfile: the one of its own name, else the one of its
    context.
    """
    own, shared = f"{dockerfile}.dockerignore", joined(context, ".dockerignore")
    return own if own in tracked else shared if shared in tracked else None


def _candidates(dockerfile: str) -> Iterator[str]:
    """Its folder, the root, and the folders between, nearest first: of equals, `max` takes the
    first.
    """
    folder = dirname(dockerfile)
    yield folder
    yield from [""] if folder else []
    for _ in range(_FARTHEST):
        if folder := dirname(folder):
            yield folder


def _found(
    dockerfiles: Mapping[str, str], guesses: Mapping[str, list[str]], paths: Iterable[str]
) -> Counter[tuple[str, str]]:
    """How many of a Dockerfile's sources are in each folder that may be its context.

    Dockerfiles and their like are no source: a folder that holds nothing else is not what `COPY .
    .` means.
    """
    asked = [
        (path, folder, [within(folder, pattern) for pattern in source.patterns])
        for path, folders in guesses.items()
        for source in sources(dockerfiles[path])
        for folder in folders
    ]
    matcher = Matcher(patterns for _, _, patterns in asked)
    seen: set[int] = set()
    for path in paths:
        if not (is_dockerfile(path) or is_compose(path) or path.endswith(".dockerignore")):
            seen.update(rule for rule, _ in matcher.match(path))
    return Counter((asked[rule][0], asked[rule][1]) for rule in seen)


def _said(composes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for path, text in composes.items():
        for build in _builds(text):
            context, dockerfile = (
                _word(build.get("context", ".")),
                _word(build.get("dockerfile", "Dockerfile")),
            )
            if context is None or dockerfile is None or "://" in context or context.startswith("/"):
                continue
            folder = normpath(joined(dirname(path), context))
            if folder.split("/")[0] != "..":
                folder = "" if folder == "." else folder
                yield normpath(joined(folder, dockerfile)), folder


def _builds(text: str) -> Iterator[dict[str, object]]:
    try:
        document = load_yaml(text)
    except ValueError:
        return
    services = document.get("services") if isinstance(document, dict) else None
    for service in services.values() if isinstance(services, dict) else ():
        build = service.get("build") if isinstance(service, dict) else None
        if isinstance(build, str):
            yield {"context": build}
        elif isinstance(build, dict):
            yield build


def _word(value: object) -> str | None:
    """A compose value with the defaults of its variables, if that makes it known."""
    if not isinstance(value, str):
        return None
    word = expanded(value.replace("$$", ""), lambda name: None)
    return None if UNKNOWN in word else word
