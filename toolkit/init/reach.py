"""What a folder's code takes from beyond it: workspace packages, paths that lead out, modules, and
the lock files and configurations above it.

Sources only ever widen here: a path or a name that stands in a file is taken for one that is used.
"""

import ast
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from posixpath import basename, dirname, normpath
from posixpath import join as joined

from msgspec import Struct

from toolkit.formats import toml
from toolkit.formats.documents import as_mapping
from toolkit.formats.patterns import everything_in, literal
from toolkit.init.tree import TrackedFiles, clean_path, is_in

_MANIFESTS = {
    "package.json",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
    "bun.lock",
    "bun.lockb",
    "lerna.json",
    "nx.json",
    "turbo.json",
    ".npmrc",
    ".yarnrc",
    ".yarnrc.yml",
    ".nvmrc",
    ".node-version",
    ".python-version",
    ".tool-versions",
    ".babelrc",
    ".browserslistrc",
    ".swcrc",
    "go.mod",
    "go.sum",
    "go.work",
    "poetry.lock",
    "uv.lock",
    "pyproject.toml",
    "Pipfile",
    "Pipfile.lock",
    "setup.py",
    "setup.cfg",
    "Gemfile",
    "Gemfile.lock",
    "composer.json",
    "composer.lock",
    "Cargo.toml",
    "Cargo.lock",
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
    "settings.gradle",
    "settings.gradle.kts",
    "gradle.properties",
    "Directory.Build.props",
    "global.json",
    "Makefile",
}
"""Files above a folder that decide what is built in it."""

_MANIFEST = re.compile(
    r"(?:requirements[\w.-]*\.(?:txt|in)|[jt]sconfig[\w.-]*\.json|[\w.-]+\.config\.(?:[cm]?[jt]s|json)"
    r"|.*\.sln|\.env[\w.]*|babel\.config\.\w+)\Z"
)
_BUILD_ROOTS = {
    "go.mod",
    "go.work",
    "settings.gradle",
    "settings.gradle.kts",
    "pom.xml",
    "Cargo.toml",
}
"""In languages whose packages name each other by modules, not by paths, all of the folder with such
a file may be a part of what is built below it.
"""
_LEADS_OUT = re.compile(
    r"((?:\.\.[/\\])+[\w@.\-/\\]*|(?<![\w.])\.\.(?=[\"'`\s)]))(?:[\"'`]\s*(,))?"
)
"""A path that leads out of its folder; the comma behind it says that more parts of it follow."""
_OF_PATHS = re.compile(r"\.\.|join|resolve|asset|path|dir|root|folder|cwd", re.IGNORECASE)
_WORD = re.compile(r"[\w-]+")
_QUOTED = re.compile(r"[\"'`>]([@~#\w][\w./@~-]*)")
_MOST_STEPS = 400
_LONGEST_PYTHON = 200_000
_NOT_CODE = (".md", ".svg", ".lock", ".csv", ".map", ".snap", ".po", ".ipynb")


class Outside(Struct, frozen=True):
    """What a folder uses from beyond it: patterns, and whether it may use anything (`root`)."""

    patterns: tuple[str, ...]
    root: bool = False


class Reach:
    """Answers for all folders of a repository what each uses from beyond it."""

    def __init__(self, tree: TrackedFiles) -> None:
        self._tree = tree
        self.packages = _package_folders(tree)
        self._words_of: dict[str, frozenset[str]] = {}
        self._direct: dict[str, tuple[frozenset[str], bool]] = {}

    def beyond(self, folders: Iterable[str], words: Collection[str] = ()) -> Outside:
        """What the code of some folders uses from beyond them, directly or through others. `words`
        are folders that count as used where their name stands somewhere in the code.
        """
        start = list(dict.fromkeys(folders))
        reached = dict.fromkeys(start)
        waiting = list(reached)
        patterns: dict[str, None] = {}
        root = False
        for folder in waiting:  # grows while it is read
            if len(reached) > _MOST_STEPS:
                return Outside(("**",), True)
            used, leads_to_root = self._used(folder)
            root = root or (leads_to_root and folder in start)
            for path in sorted(used):
                if any(is_in(path, other) for other in reached):
                    continue
                if path in self._tree:
                    patterns[literal(path)] = None
                else:
                    reached[path] = None
                    waiting.append(path)
                    patterns[everything_in(path)] = None
            patterns.update(dict.fromkeys(self._above(folder)))
        for folder in words:
            is_beyond = not any(is_in(folder, other) for other in reached)
            if is_beyond and any(basename(folder) in self._words(own) for own in start):
                patterns[everything_in(folder)] = None
        return Outside(tuple(patterns), root)

    def _above(self, folder: str) -> Iterator[str]:
        """The manifests of all folders above, and whole folders that are one build."""
        while folder:
            folder = dirname(folder)
            for path in self._tree.files_in(folder):
                name = basename(path)
                if self._is_build_root(path):
                    yield everything_in(folder)
                if name in _MANIFESTS or _MANIFEST.match(name):
                    yield literal(path)

    def _used(self, folder: str) -> tuple[frozenset[str], bool]:
        """The paths beyond a folder that its files name, and whether one of them is the root."""
        if folder not in self._direct:
            used: set[str] = set()
            root = False
            for path in self._tree.below(folder):
                if path.endswith(_NOT_CODE):
                    continue
                text = self._tree.read(path)
                if not text:
                    continue
                if ".." in text:
                    for outside in self._leading_out(folder, path, text):
                        root = root or not outside
                        used.add(outside)
                if self.packages:
                    used.update(self._packages_in(text))
                if path.endswith(".py"):
                    used.update(self._modules(folder, text))
            outside_only = frozenset(path for path in used if path and not is_in(path, folder))
            self._direct[folder] = outside_only, root
        return self._direct[folder]

    def _packages_in(self, text: str) -> Iterator[str]:
        """The folders of the packages whose names stand in quotes, alone or before a slash."""
        for quoted in set(_QUOTED.findall(text)):
            parts = quoted.split("/")
            for length in range(1, min(len(parts), 4) + 1):
                folder = self.packages.get("/".join(parts[:length]))
                if folder is not None:
                    yield folder

    def _leading_out(self, folder: str, path: str, text: str) -> Iterator[str]:
        """The tracked paths behind each `../` of a file; the empty one is the root itself."""
        for word, continued in set(_LEADS_OUT.findall(text)):
            plain = word.replace("\\", "/").rstrip(".") if word.strip("./\\") else word
            for home in {dirname(path), folder}:
                target = clean_path(joined(home, plain or word))
                if target.startswith(("..", "/")) or is_in(target, folder):
                    continue
                if not target:
                    # `join("..", "web")`: the other parts are words that are looked for.
                    if not continued:
                        yield ""
                    continue
                nearest = self._tree.nearest(target)
                # A folder above this one is where the path begins, not what is used.
                if nearest and (not is_in(folder, nearest) or nearest == target):
                    yield nearest
                    continue
                # `../config` may be ../config.ts.
                start = basename(target)
                for other in self._tree.files_in(dirname(target)):
                    if basename(other).startswith(f"{start}."):
                        yield other

    def _is_build_root(self, path: str) -> bool:
        name = basename(path)
        if name == "Cargo.toml":
            return "[workspace]" in (self._tree.read(path) or "")
        return name in _BUILD_ROOTS or name.endswith(".sln")

    def _modules(self, folder: str, text: str) -> Iterator[str]:
        """The folders and files beyond this one that Python's own parser says are imported."""
        if len(text) > _LONGEST_PYTHON or "import" not in text:
            return
        homes = [""]
        current = folder
        while current:
            current = dirname(current)
            homes.append(current)
        sources = [source for home in homes for source in (home, joined(home, "src"))]
        for name in _imported(text):
            for source in sources:
                first = joined(source, name.partition(".")[0])
                # A package around this folder: what it takes of it is next to it.
                inner = joined(source, name.replace(".", "/"))
                wanted = inner if is_in(folder, first) else first
                path = wanted if self._tree.is_folder(wanted) else f"{wanted}.py"
                is_beyond = not is_in(path, folder) and not is_in(folder, path)
                if is_beyond and (path in self._tree or self._tree.is_folder(path)):
                    yield path

    def _words(self, folder: str) -> frozenset[str]:
        """All words that stand in a folder's files where something is said of paths."""
        if folder not in self._words_of:
            words: set[str] = set()
            for path in self._tree.below(folder):
                if path.endswith(_NOT_CODE):
                    continue
                # A path may be put together over a few lines.
                before = ""
                for line in (self._tree.read(path) or "").split("\n"):
                    if _OF_PATHS.search(line) or _OF_PATHS.search(before):
                        words.update(_WORD.findall(line))
                    before = line
            self._words_of[folder] = frozenset(words)
        return self._words_of[folder]


def _imported(text: str) -> set[str]:
    """The modules that a Python file imports by their full names."""
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    names: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def _package_folders(tree: TrackedFiles) -> dict[str, str]:
    """The names by which the repository's own packages import each other, and their folders."""
    folders: dict[str, str] = {}
    for path in tree.paths:
        name = basename(path)
        if name == "package.json":
            package = _json(tree.read(path))
            _add(folders, package.get("name"), dirname(path))
        elif name == "pyproject.toml":
            try:
                tables = toml.tables(tree.read(path) or "")
            except toml.TomlError:
                continue
            tool = as_mapping(as_mapping(tables.get("tool")).get("poetry"))
            for holder in (as_mapping(tables.get("project")), tool):
                named = holder.get("name")
                _add(folders, named, dirname(path))
                if isinstance(named, str):
                    _add(folders, named.replace("-", "_"), dirname(path))
        elif name.startswith("tsconfig") and name.endswith(".json"):
            for alias, folder in _aliases(path, tree.read(path) or ""):
                if tree.is_folder(folder):
                    folders.setdefault(alias, folder)
    return folders


def _add(folders: dict[str, str], name: object, folder: str) -> None:
    if isinstance(name, str) and 1 < len(name) < 200 and folder:
        folders.setdefault(name, folder)


def _json(text: str | None) -> Mapping[str, object]:
    try:
        return as_mapping(json.loads(text or ""))
    except (ValueError, RecursionError):
        return {}


def _aliases(path: str, text: str) -> Iterator[tuple[str, str]]:
    """The aliases of a tsconfig's `paths`, and the folders that they stand for."""
    options = as_mapping(_json(_without_comments(text)).get("compilerOptions"))
    base = options.get("baseUrl")
    home = joined(dirname(path), base if isinstance(base, str) else ".")
    for alias, targets in as_mapping(options.get("paths")).items():
        name = str(alias).removesuffix("/*").removesuffix("*")
        for target in targets if isinstance(targets, list) else []:
            if isinstance(target, str) and len(name) > 1:
                folder = target.removesuffix("*").rstrip("/")
                if "." in basename(folder):
                    folder = dirname(folder)
                clean = normpath(joined(home, folder))
                yield name, "" if clean == "." else clean


def _without_comments(text: str) -> str:
    """JSON with comments and trailing commas, as tsconfig.json may have them, as JSON."""
    parts = re.findall(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/|[^"/]+|/|"', text, re.DOTALL)
    plain = "".join(part for part in parts if not part.startswith(("//", "/*")))
    return re.sub(r",(\s*[}\]])", r"\1", plain)
