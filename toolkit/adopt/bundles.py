"""What a bundler takes besides the file that it starts from: the files that it imports, near and far, and what pins their libraries."""

import re
from posixpath import dirname, normpath
from posixpath import join as joined

from toolkit.adopt.patterns import below, literal, simplest
from toolkit.adopt.tree import Tree

MOST_FOLLOWED = 300
"""The most files that one entry is followed through."""

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

_IMPORT = re.compile(r"""(?:\bfrom|\brequire\s*\(|\bimport\s*\(?)\s*['"](\.[^'"\n]{0,300})['"]""")
_ENDINGS = ("", ".ts", ".tsx", ".js", ".mjs", ".jsx", ".json", "/index.ts", "/index.js", "/index.tsx", "/index.mjs")


def bundle(tree: Tree, entry: str) -> tuple[str, ...]:
    """Patterns for a function that is bundled from one file: the folders of all files that it reaches, and their manifests."""
    seen, waiting = {entry}, [entry]
    while waiting and len(seen) < MOST_FOLLOWED:
        path = waiting.pop()
        for module in _IMPORT.findall(tree.read(path) or "")[:MOST_FOLLOWED]:
            found = _file(tree, normpath(joined(dirname(path), module)))
            if found and found not in seen:
                seen.add(found)
                waiting.append(found)
    folders = sorted({dirname(path) for path in seen})
    files = [literal(path) for path in sorted(seen) if not dirname(path)]
    return simplest([*(below(folder) for folder in folders if folder), *files, *manifests(tree, dirname(entry))])


def manifests(tree: Tree, folder: str) -> tuple[str, ...]:
    """The manifests that count for a folder: its own, and those of the folders above."""
    found: list[str] = []
    while True:
        found += [literal(path) for name in MANIFESTS if (path := joined(folder, name)) in tree]
        if not folder:
            return tuple(found)
        folder = dirname(folder)


def _file(tree: Tree, module: str) -> str | None:
    stem = re.sub(r"\.[cm]?js\Z", "", module)
    return next((path for base in (module, stem) for ending in _ENDINGS if (path := f"{base}{ending}") in tree), None)
