"""What exactly would be deployed: a digest of the files behind each target, another of its settings, and a name for both."""

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Mapping

from toolkit.changes import names
from toolkit.changes.source import content
from toolkit.model import Version
from toolkit.ports.git import Git

Owners = Callable[[str], Collection[str] | None]
"""The targets that a path belongs to, None if no rule says."""


def _nobody(path: str) -> Collection[str]:
    return ()


def versions(
    settled: Mapping[str, bytes],
    owners: Owners,
    git: Git,
    uncommitted: Iterable[str],
    users: Callable[[str], Collection[str]] = _nobody,
    fallback: Collection[str] = (),
    at: str | None = None,
) -> dict[str, Version]:
    """The version of each target as its files are now: at HEAD (or the commit `at`), but for the paths that are `uncommitted`.
    `settled` has its settings.

    A file that is not as committed makes its targets dirty; one that no rule knows, all of them: a build may well take it. `users` are the
    targets that a path is an input of, whatever rules say; `fallback`, those that are due for a path that no rule knows.
    """
    commit = at or git.require_head()
    dirty = frozenset(uncommitted)
    digests = {name: hashlib.sha256() for name in settled}
    stained: set[str] = set()
    for path, meta in git.tree(commit):
        if path not in dirty:
            owned = owners(path)
            _add(digests, {*(fallback if owned is None else owned), *users(path)}, path, meta)
    for path in sorted(dirty):
        owned = owners(path)
        named = digests.keys() if owned is None else digests.keys() & {*owned, *users(path)}
        stained.update(named)
        _add(digests, named, path, content(os.path.join(git.root, path)))
    return {name: _version(commit, digest.hexdigest(), settled[name], name in stained) for name, digest in digests.items()}


def _add(digests: "dict[str, hashlib._Hash]", owners: Collection[str], path: str, meta: str) -> None:
    record = f"{path}\0{meta}\0".encode("utf-8", "surrogateescape")
    for name in owners:
        if name in digests:
            digests[name].update(record)


def _version(commit: str, fingerprint: str, settings: bytes, dirty: bool) -> Version:
    digest = hashlib.sha256(settings).hexdigest()
    both = hashlib.sha256(f"{fingerprint} {digest}".encode()).hexdigest()
    return Version(names.name(commit, names.DIRTY if dirty else "", both), commit, fingerprint, dirty, digest)
