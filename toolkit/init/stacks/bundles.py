"""What a bundler takes besides the file that it starts from: the files that it imports, near and
far, and what pins their libraries.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from posixpath import dirname, normpath
from posixpath import join as joined

from toolkit.init.patterns import everything_in, literal, simplify
from toolkit.init.tree import TrackedFiles

MOST_FOLLOWED = 300
"""The most files that one entry is followed through."""

MOST_SOURCES = 1000
"""The most files of one site whose imports are read."""

MANIFESTS = (
    "package.json",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "bun.lock",
    "bun.lockb",
    "go.mod",
    "go.sum",
    "requirements.txt",
    "poetry.lock",
    "uv.lock",
    "pyproject.toml",
    "Pipfile.lock",
)
"""Files that decide which libraries a bundle has."""

_SCRIPT_IMPORT = re.compile(
    r"""(?:\bfrom|\brequire\s*\(|\bimport\s*\(?)\s*['"](\.[^'"\n]{0,300})['"]"""
)
_PYTHON_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]+\(?([\w \t,]*)|import[ \t]+([\w.]+))",
    re.MULTILINE,
)
_SOURCES = (".ts", ".tsx", ".mts", ".js", ".jsx", ".mjs", ".cjs", ".vue", ".svelte", ".astro")
_ENDINGS = (
    "",
    ".ts",
    ".tsx",
    ".js",
    ".mjs",
    ".jsx",
    ".json",
    "/index.ts",
    "/index.js",
    "/index.tsx",
    "/index.mjs",
)


def bundle_patterns(tree: TrackedFiles, entry: str) -> tuple[str, ...]:
    """Patterns for a function that is bundled from one file: the folders of all files that it
    reaches, and their manifests.
    """
    files = reachable_files(tree, [entry], dirname(entry))
    patterns = _file_patterns(sorted(files, key=lambda path: (dirname(path), path)))
    return simplify([*patterns, *manifest_patterns(tree, dirname(entry))])


def _file_patterns(paths: Sequence[str]) -> list[str]:
    """The folders of the files, then those files that are in the root."""
    folders = [everything_in(dirname(path)) for path in paths if dirname(path)]
    root_files = [literal(path) for path in paths if not dirname(path)]
    return [*folders, *root_files]


def reachable_files(tree: TrackedFiles, entries: Iterable[str], root: str) -> list[str]:
    """The files that are imported from the entries, near ones first; `root` is the folder that
    Python's modules are looked for in.
    """
    reached = dict.fromkeys(entries)
    waiting = list(reached)
    for path in waiting:  # grows while it is read
        # One entry may reach every file of a large repository.
        if len(reached) < MOST_FOLLOWED:
            fresh = [file for file in _imported_files(tree, path, root) if file not in reached]
            reached |= dict.fromkeys(fresh)
            waiting += dict.fromkeys(fresh)
    return list(reached)


def patterns_outside(tree: TrackedFiles, folder: str) -> tuple[str, ...]:
    """Patterns for what the scripts of a folder import from beyond it: the folders of all files
    that they reach there.
    """
    inside = f"{folder}/"
    sources = [path for path in tree.below(folder) if path.endswith(_SOURCES)]
    near = sorted(sources, key=lambda path: (path.count("/"), path))[:MOST_SOURCES]
    outer: set[str] = set()
    for path in near:
        for imported in _imported_files(tree, path, folder):
            if not imported.startswith(inside):
                outer.add(imported)
    reached = reachable_files(tree, sorted(outer), folder)
    files = [path for path in reached if not path.startswith(inside)]
    return simplify(_file_patterns(files))


def _imported_files(tree: TrackedFiles, path: str, root: str) -> Iterator[str]:
    text = tree.read(path) or ""
    if path.endswith(".py"):
        yield from _python_imports(tree, path, text, root)
        return
    for module in _SCRIPT_IMPORT.findall(text)[:MOST_FOLLOWED]:
        file = _resolve_script(tree, normpath(joined(dirname(path), module)))
        if file:
            yield file


def _python_imports(tree: TrackedFiles, path: str, text: str, root: str) -> Iterator[str]:
    for module, names, plain in _PYTHON_IMPORT.findall(text)[:MOST_FOLLOWED]:
        inner = (module or plain).lstrip(".").replace(".", "/")
        for folder in dict.fromkeys((root, dirname(path))):
            base = joined(folder, inner).strip("/")
            modules = [base]
            for name in names.split(","):
                if name.strip():  # `from module import name`: the name may be a module, too
                    modules.append(joined(base, name.split()[0]))
            for stem in modules:
                for ending in (".py", "/__init__.py"):
                    if f"{stem}{ending}" in tree:
                        yield f"{stem}{ending}"


def _resolve_script(tree: TrackedFiles, module: str) -> str | None:
    # TypeScript imports `./file.js` where the source is file.ts.
    stem = re.sub(r"\.[cm]?js\Z", "", module)
    for base in (module, stem):
        for ending in _ENDINGS:
            if f"{base}{ending}" in tree:
                return f"{base}{ending}"
    return None


def manifest_patterns(tree: TrackedFiles, folder: str) -> tuple[str, ...]:
    """The manifests that count for a folder: its own, and those of the folders above."""
    patterns: list[str] = []
    while True:
        for name in MANIFESTS:
            path = joined(folder, name)
            if path in tree:
                patterns.append(literal(path))
        if not folder:
            return tuple(patterns)
        folder = dirname(folder)
