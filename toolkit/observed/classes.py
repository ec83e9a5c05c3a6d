"""Which of the paths that a command looked up can a rule see? Source, generated, dependency,
ignored by git, or outside.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from posixpath import basename, dirname

from msgspec import Struct

from toolkit.observed.reads import Reads
from toolkit.operations import ObservedInputs

_PACKAGES = frozenset(
    (
        *("node_modules", "bower_components", "jspm_packages", ".yarn", ".pnpm-store"),
        *(".venv", "venv", "site-packages", ".tox", ".nox", "vendor", ".bundle", ".terraform"),
        *("Pods", ".m2"),
    )
)
"""Folders that a package manager fills, where git does not track what is in them."""
_CACHES = frozenset(
    (
        *(".cache", ".turbo", ".nx", ".next", ".nuxt", ".svelte-kit", ".parcel-cache", ".vite"),
        *(".angular", ".docusaurus", ".swc", ".webpack", ".serverless", ".aws-sam", ".gradle"),
        *("cdk.out", "target", "__pycache__", ".mypy_cache", ".ruff_cache", ".eslintcache"),
    )
)
_CACHE_ENDS = (".tsbuildinfo", ".pyc")
LOCKS = {
    "node_modules": (
        *("package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml"),
        *("bun.lock", "bun.lockb", "package.json"),
    ),
    ".yarn": ("yarn.lock", "package.json"),
    ".pnpm-store": ("pnpm-lock.yaml", "package.json"),
    ".venv": (
        *("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pylock.toml"),
        *("requirements.txt", "pyproject.toml"),
    ),
    "vendor": ("Gemfile.lock", "composer.lock", "go.sum", "Gemfile", "composer.json", "go.mod"),
    ".terraform": (".terraform.lock.hcl",),
    "Pods": ("Podfile.lock", "Podfile"),
    "bower_components": ("bower.json",),
}
"""The files that decide what is in a folder of packages. The last ones say it less exactly, and
only count where there is none of the others.
"""
LOCKS |= dict.fromkeys(("venv", "site-packages", ".tox", ".nox"), LOCKS[".venv"])
LOCKS[".bundle"] = ("Gemfile.lock", "Gemfile")
LOCKS["jspm_packages"] = ("package.json",)
LOCKS[".m2"] = ("pom.xml",)
LOOSE = frozenset(
    (
        *("package.json", "requirements.txt", "pyproject.toml", "Gemfile", "composer.json"),
        *("go.mod", "Podfile", "bower.json", "pom.xml"),
    )
)
LOCK_NAMES = frozenset(name for names in LOCKS.values() for name in names) - LOOSE | {
    "Cargo.lock",
    "gradle.lockfile",
    "mix.lock",
    "pubspec.lock",
    "deno.lock",
    "requirements.txt",
}
_OF_GIT = frozenset((".gitattributes", ".gitignore", ".gitmodules", ".git", "RCS", "SCCS"))
"""Names that programs look for to know about version control."""


class KnownFiles(Struct, frozen=True):
    """The files that git tracks, the submodules among them, and the folders of them all (the empty
    name is the root).
    """

    tracked: frozenset[str]
    submodules: frozenset[str]
    folders: frozenset[str]


def known_files(tracked: Iterable[str], submodules: Iterable[str]) -> KnownFiles:
    """The files, with their folders."""
    paths = frozenset(tracked)
    folders = {""}
    for path in paths:
        while (path := dirname(path)) not in folders:
            folders.add(path)
    return KnownFiles(paths, frozenset(submodules), frozenset(folders))


class Surroundings(Struct, frozen=True):
    """What the disk and git say. `relative` is the real path of an absolute one from the
    repository's root, None outside; `links` are the links that lead to a path, by their own
    paths. `is_folder` asks the disk, `ignored` which of some paths git ignores.
    """

    relative: Callable[[str], str | None]
    links: Callable[[str], Collection[str]]
    is_folder: Callable[[str], bool]
    ignored: Callable[[Sequence[str]], Collection[str]]


def classified(reads: Reads, files: KnownFiles, around: Surroundings) -> ObservedInputs:
    """All that a command looked up, by class; without the digests of the lock files."""
    sorter = _Sorter(files, around, reads)
    return sorter.inputs(reads)


class _Sorter:
    """Paths of one observation on their way to their classes."""

    def __init__(self, files: KnownFiles, around: Surroundings, reads: Reads) -> None:
        self._files, self._around = files, around
        self._made = {path for path in map(around.relative, reads.made) if path is not None}
        self.read: set[str] = set()
        self.unknown: set[str] = set()
        self.packages: dict[str, str] = {}
        self.outside = len(reads.outside)
        self.generated = len(reads.generated)
        self.uses_git = False

    def inputs(self, reads: Reads) -> ObservedInputs:
        around, files = self._around, self._files
        for path, names in reads.opened.items():
            self._add(around.relative(path))
            for name in names:
                self.read.update(link for link in around.links(name) if link in files.tracked)
        for path in reads.programs:
            self._add(around.relative(path))
        listed = set(self._counted(reads.listed))
        missing = {path for path in self._counted(reads.missing) if basename(path) not in _OF_GIT}
        self.read |= {path for path in missing if path in files.tracked}
        asked = {*self.unknown, *listed, *missing} - files.tracked - files.folders
        ignored = set(around.ignored(sorted(asked)))
        checked = {path for path in map(around.relative, reads.checked) if path in files.tracked}
        unseen = {path for path in self.unknown if path in ignored}
        warm = _warm(filter(None, map(around.relative, (*reads.opened, *reads.checked))))
        return ObservedInputs(
            read=_sorted(self.read | (self.unknown - ignored)),
            listed=_sorted(listed - ignored - files.tracked),
            missing=_sorted(missing - ignored - files.tracked - files.folders - self._made),
            checked=_sorted(checked - self.read),
            ignored=_sorted(unseen - set(warm)),
            dependencies=_sorted(self.packages),
            locks=dict.fromkeys(self._locks(), ""),
            warm=_sorted(_shortened(warm)),
            generated=self.generated,
            outside=self.outside,
            uses_git=self.uses_git,
        )

    def _counted(self, names: Iterable[str]) -> Iterator[str]:
        """Of folders that were listed, or names that were missing, those that may concern a
        rule.
        """
        for path in map(self._around.relative, names):
            if path is None:
                continue
            if _is_git(path):
                self.uses_git = True
            elif self._submodule(path):
                continue  # it is read, or nothing in it is
            elif path in self._files.folders or _package_folder(path) is None:
                yield path

    def _add(self, path: str | None) -> None:
        """A file that was read, or run."""
        if path is None:
            self.outside += 1
            return
        if path in self._files.tracked:
            self.read.add(path)
            return
        submodule = self._submodule(path)
        packages = _package_folder(path)
        if submodule:
            self.read.add(submodule)
        elif _is_git(path):
            self.uses_git = True
        elif packages is not None:
            self.packages.setdefault(*packages)
        elif path in self._made:
            self.generated += 1
        elif not self._around.is_folder(path):
            self.unknown.add(path)

    def _submodule(self, path: str) -> str:
        if self._files.submodules:
            while path:
                if path in self._files.submodules:
                    return path
                path = dirname(path)
        return ""

    def _locks(self) -> set[str]:
        """The lock files of the packages that were read, and those that were read themselves."""
        tracked = self._files.tracked
        locks = {path for path in self.read if basename(path) in LOCK_NAMES}
        for folder, name in self.packages.items():
            loose: str | None = None
            around, at = dirname(folder), True
            while at:
                at = around != ""
                here = [path for lock in LOCKS[name] if (path := _join(around, lock)) in tracked]
                exact = [path for path in here if basename(path) not in LOOSE]
                if exact:
                    locks.update(exact)
                    break
                loose = loose or next(iter(here), None)
                around = dirname(around)
            else:
                locks.update(() if loose is None else (loose,))
        return locks


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _is_git(path: str) -> bool:
    return ".git" in path.split("/")


def _package_folder(path: str) -> tuple[str, str] | None:
    """The outermost folder of packages around a path, and its name."""
    parts = path.split("/")
    for number, part in enumerate(parts, 1):
        if part in _PACKAGES:
            return "/".join(parts[:number]), part
    return None


def is_package_folder(path: str) -> bool:
    """Whether a folder is one that package managers fill."""
    return basename(path) in _PACKAGES


def _warm(paths: Iterable[str]) -> set[str]:
    """The caches among paths that were there before the run."""
    return {
        path
        for path in paths
        if path.endswith(_CACHE_ENDS) or not _CACHES.isdisjoint(path.split("/"))
    }


def _shortened(paths: Collection[str]) -> set[str]:
    """Caches by their folders."""
    short: set[str] = set()
    for path in paths:
        parts = path.split("/")
        cut = next((at for at, part in enumerate(parts, 1) if part in _CACHES), len(parts))
        short.add("/".join(parts[:cut]))
    return short


def _sorted(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(paths))
