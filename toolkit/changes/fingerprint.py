"""What exactly would be deployed: a digest of the files behind each target, another of its
settings, and a name for both.
"""

import hashlib
import heapq
import os
from collections.abc import Callable, Collection, Iterable, Mapping

from msgspec import Struct

from toolkit.changes import names
from toolkit.changes.source import content
from toolkit.model import Version
from toolkit.ports import files
from toolkit.ports.git import Git

Owners = Callable[[str], Collection[str] | None]
"""The targets that a path belongs to, None if no rule says."""


def _nobody(path: str) -> Collection[str]:
    return ()


class PathOwners(Struct, frozen=True):
    """Which targets a path belongs to: by `rules`, and whatever rules say as an input (`users`).
    `fallback` are those that are due for a path that no rule knows.
    """

    rules: Owners
    users: Callable[[str], Collection[str]] = _nobody
    fallback: Collection[str] = ()


def versions(
    settings: Mapping[str, bytes],
    owners: PathOwners,
    git: Git,
    uncommitted: Iterable[str],
    commit: str | None = None,
) -> dict[str, Version]:
    """The version of each target as its files are now: at HEAD (or `commit`), but for the paths
    that are `uncommitted`. `settings` has those of each target, as bytes.

    A file that is not as committed makes its targets dirty; one that no rule knows, all of them: a
    build may well take it.

    A file counts by its path, mode and content. So the digest stays the same when what is
    uncommitted now is committed as it is.
    """
    commit = commit or git.require_head()
    dirty = frozenset(uncommitted)
    digests = {name: hashlib.sha256() for name in settings}
    dirty_targets: set[str] = set()
    committed = ((path, meta) for path, meta in git.tree(commit) if path not in dirty)
    changed = (
        (path, _as_it_is(os.path.join(git.root, path), len(commit)))
        for path in sorted(dirty, key=_bytes)
    )
    # In git's order, which is by bytes: a digest does not depend on what is committed yet.
    merged = heapq.merge(committed, changed, key=lambda entry: _bytes(entry[0]))
    for path, meta in merged if dirty else committed:
        owned = owners.rules(path)
        targets = {*(owners.fallback if owned is None else owned), *owners.users(path)}
        if path in dirty:
            targets = {*digests} if owned is None else targets & digests.keys()
            dirty_targets.update(targets)
        if meta is not None:
            _add(digests, targets, path, meta)
    return {
        name: _version(commit, digest.hexdigest(), settings[name], name in dirty_targets)
        for name, digest in digests.items()
    }


def _as_it_is(path: str, length: int) -> str | None:
    """What a commit would say of a path in the working tree, None where it is gone. Of a repository
    inside, what is in it.
    """
    entry = files.tree_entry(path, length)
    if entry == "" or (entry is None and os.path.lexists(os.path.join(path, ".git"))):
        return content(path)
    return entry


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _add(
    digests: "dict[str, hashlib._Hash]", owners: Collection[str], path: str, meta: str
) -> None:
    record = f"{path}\0{meta}\0".encode("utf-8", "surrogateescape")
    for name in owners:
        if name in digests:
            digests[name].update(record)


def _version(commit: str, fingerprint: str, settings: bytes, dirty: bool) -> Version:
    digest = hashlib.sha256(settings).hexdigest()
    both = hashlib.sha256(f"{fingerprint} {digest}".encode()).hexdigest()
    name = names.name(commit, names.DIRTY if dirty else "", both)
    return Version(name, commit, fingerprint, dirty, digest)
