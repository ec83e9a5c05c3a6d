"""What a bundler takes besides the file that it starts from: the files that it imports, near and
far, and what pins their libraries.
"""

import re
from collections.abc import Iterable, Iterator
from posixpath import dirname, normpath
from posixpath import join as joined

from toolkit.init.patterns import everything_in, literal, simplify
from toolkit.init.tree import TrackedFiles

MOST_FOLLOWED = 300
"""The most files that one entry is followed through."""

MOST_SOURCES = 1000
"""The most files of one site whose imports are looked at."""

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
    seen = reachable_files(tree, [entry], dirname(entry))
    folders = sorted({dirname(path) for path in seen})
    files = [literal(path) for path in sorted(seen) if not dirname(path)]
    return simplify(
        [
            *(everything_in(folder) for folder in folders if folder),
            *files,
            *manifest_patterns(tree, dirname(entry)),
        ]
    )


def reachable_files(tree: TrackedFiles, entries: Iterable[str], root: str) -> list[str]:
    """The files that are imported from the entries, near ones first; `root` is the folder that
    Python's modules are looked for in.
    """
    found = dict.fromkeys(entries)
    waiting = list(found)
    for path in waiting:
        if len(found) < MOST_FOLLOWED:
            fresh = [one for one in _imported_files(tree, path, root) if one not in found]
            found |= dict.fromkeys(fresh)
            waiting += dict.fromkeys(fresh)
    return list(found)


def patterns_outside(tree: TrackedFiles, folder: str) -> tuple[str, ...]:
    """Patterns for what the scripts of a folder import from beyond it: the folders of all files
    that they reach there.
    """
    sources = [path for path in tree.below(folder) if path.endswith(_SOURCES)]
    near = sorted(sources, key=lambda path: (path.count("/"), path))[:MOST_SOURCES]
    beyond = {
        one
        for path in near
        for one in _imported_files(tree, path, folder)
        if not one.startswith(f"{folder}/")
    }
    found = [
        path
        for path in reachable_files(tree, sorted(beyond), folder)
        if not path.startswith(f"{folder}/")
    ]
    return simplify(
        [
            *(everything_in(dirname(path)) for path in found if dirname(path)),
            *(literal(path) for path in found if not dirname(path)),
        ]
    )


def _imported_files(tree: TrackedFiles, path: str, root: str) -> Iterator[str]:
    text = tree.read(path) or ""
    if not path.endswith(".py"):
        modules = _SCRIPT_IMPORT.findall(text)[:MOST_FOLLOWED]
        yield from (
            found
            for one in modules
            if (found := _resolve_script(tree, normpath(joined(dirname(path), one))))
        )
        return
    for module, names, plain in _PYTHON_IMPORT.findall(text)[:MOST_FOLLOWED]:
        inner = (module or plain).lstrip(".").replace(".", "/")
        for folder in dict.fromkeys((root, dirname(path))):
            base = joined(folder, inner).strip("/")
            options = (
                base,
                *(joined(base, name.split()[0]) for name in names.split(",") if name.strip()),
            )
            yield from (
                found
                for one in options
                for ending in (".py", "/__init__.py")
                if (found := f"{one}{ending}") in tree
            )


def _resolve_script(tree: TrackedFiles, module: str) -> str | None:
    stem = re.sub(r"\.[cm]?js\Z", "", module)
    return next(
        (
            path
            for base in (module, stem)
            for ending in _ENDINGS
            if (path := f"{base}{ending}") in tree
        ),
        None,
    )


def manifest_patterns(tree: TrackedFiles, folder: str) -> tuple[str, ...]:
    """The manifests that count for a folder: its own, and those of the folders above."""
    found: list[str] = []
    while True:
        found += [literal(path) for name in MANIFESTS if (path := joined(folder, name)) in tree]
        if not folder:
            return tuple(found)
        folder = dirname(folder)
