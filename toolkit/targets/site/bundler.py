"""Which names hold a hash of the content? Only what the bundler's own manifest says counts: a rule
about names alone takes `bootstrap-datepicker.js` for hashed (and a script that is kept for a year
cannot be rolled back). Pure.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

MANIFESTS = (".vite/manifest.json", "asset-manifest.json", "meta.json", "metafile.json")
"""Where bundlers write their manifest, below the build's folder."""
MOST = 64 << 20
"""Bytes of a manifest that are read."""
_VITE_HASH = re.compile(r"[-.][A-Za-z0-9_-]{8,}")
_ESBUILD_HASH = re.compile(r"[-.][A-Z2-7]{8}$")
_UP = re.compile(r"^(?:\.{1,2}/)+")
_CRA_HASH = re.compile(r"\.[0-9a-f]{8,32}$")


def hashed_keys(data: bytes, source: str) -> frozenset[str]:
    """The keys of a build whose names hold a hash, from a bundler's manifest; none where it is of
    no known form. `source` is the build's folder, for manifests that name files from elsewhere.
    """
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return frozenset()
    if not isinstance(document, dict):
        return frozenset()
    if isinstance(document.get("outputs"), dict):
        return frozenset(_esbuild(document["outputs"], source))
    if isinstance(document.get("files"), dict):
        return frozenset(_create_react_app(document["files"]))
    return frozenset(_vite(document))


def _vite(entries: Mapping[str, Any]) -> Iterator[str]:
    """vite: name of a source -> its file, and the styles and assets that it brings."""
    names: dict[str, str] = {}
    for source, entry in entries.items():
        if not isinstance(entry, dict):
            continue
        name = _stem(source)
        for text in _texts([entry.get("name")]):
            name = posixpath.basename(text)
        for file in _texts([entry.get("file")]):
            names[file] = name
        for brought in (*_texts(entry.get("css")), *_texts(entry.get("assets"))):
            names.setdefault(brought, name)
    for file, name in names.items():
        stem = _stem(file)
        begins = stem.startswith(name) and _VITE_HASH.fullmatch(stem[len(name) :])
        if begins or _ends_like_a_hash(stem):
            yield file


def _ends_like_a_hash(stem: str) -> bool:
    """Whether a name ends with eight characters that are no word: styles have the name of a file
    that the manifest may not tell.
    """
    match = re.search(r"[-.]([A-Za-z0-9_-]{8})$", stem)
    if match is None:
        return False
    end = match[1]
    return any(map(str.isdigit, end)) and any(map(str.isalpha, end)) and end.lower() != end


def _esbuild(outputs: Mapping[str, Any], source: str) -> Iterator[str]:
    start = f"{source.strip('/')}/"
    folder = f"{posixpath.basename(source.rstrip('/'))}/"
    for output in outputs:
        # A metafile names its outputs from where esbuild ran: above the build's folder, or beside.
        path = _UP.sub("", output)
        for begin in (start, folder):
            if path.startswith(begin):
                key = path[len(begin) :]
                if _ESBUILD_HASH.search(_stem(key)):
                    yield key
                break


def _create_react_app(files: Mapping[str, Any]) -> Iterator[str]:
    for name, path in files.items():
        if not isinstance(path, str):
            continue
        key = path.lstrip("/").removeprefix("./")
        hashed = _CRA_HASH.search(_stem(key))
        if hashed and _stem(name) == _stem(key)[: hashed.start()]:
            yield key


def _stem(path: str) -> str:
    """A file's name without its last ending."""
    return posixpath.splitext(posixpath.basename(path))[0]


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list):
        return []
    return [text for text in value if isinstance(text, str) and text]
