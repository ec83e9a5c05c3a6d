"""What has to be done so that a bucket has the files of a release: what is uploaded, copied inside
the bucket, invalidated and deleted, in which order. Pure.
"""

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

from toolkit.targets.site import headers as site_headers
from toolkit.targets.site.manifest import (
    OWN,
    RELEASES,
    ClaimOnly,
    Invalidation,
    Release,
    SiteFile,
    SiteManifest,
    SiteState,
    Stale,
    archive_key,
    archived_key,
    release_key,
)
from toolkit.targets.site.settings import Keep

MOST_PATHS = 15
"""So many paths are invalidated one by one; of more, the folder that has them all: CloudFront
counts each path, and a folder as one.
"""
MOST_NAMED = 3
"""So many files are named in a line."""


class Copy(Struct, frozen=True):
    """A copy inside the bucket: `source` still has to have this etag. The new object has the
    headers of `file`.
    """

    source: str
    etag: str
    key: str
    file: SiteFile


class SitePlan(Struct, frozen=True, kw_only=True):
    """What a deploy does. Nothing that is shown changes before `pages`.

    `assets` and `pages` are keys to upload; pages come in the order in which they are put there,
    the first page last. `archives` are copies of files that are about to be replaced, `copies`
    those that change a file: other headers, or the content of an earlier release. `invalidate` are
    keys and folders below the prefix. `foreign` exist and were never put there by toolkit,
    `drifted` were changed since. `gone` is what a rollback needs and nobody has any more.
    """

    files: Mapping[str, SiteFile]
    assets: tuple[str, ...] = ()
    archives: tuple[Copy, ...] = ()
    copies: tuple[Copy, ...] = ()
    pages: tuple[str, ...] = ()
    stale: Mapping[str, Stale] = {}
    releases: tuple[Release, ...] = ()
    deletes: tuple[str, ...] = ()
    invalidate: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    drifted: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    seq: int = 1

    @property
    def changes_files(self) -> bool:
        """Whether anything of what is served becomes another."""
        return bool(self.assets or self.copies or self.pages or self.deletes)


class SiteBucket(Struct, frozen=True):
    """What the bucket has: the manifest, and key -> etag of all objects below the prefix."""

    manifest: SiteManifest | ClaimOnly | None
    etags: Mapping[str, str]

    @property
    def live(self) -> SiteManifest | None:
        """The manifest, if anything has ever been live."""
        if isinstance(self.manifest, SiteManifest):
            return self.manifest
        return None

    def recorded(self, key: str) -> SiteFile | None:
        """What we have put under a key, whatever has become of it."""
        live = self.live
        if live is None:
            return None
        if key in live.files:
            return live.files[key]
        stale = live.stale.get(key)
        return None if stale is None else stale.file

    def known(self, key: str) -> SiteFile | None:
        """What we have put under a key, if it is still that."""
        recorded = self.recorded(key)
        if recorded is not None and recorded.etag and recorded.etag == self.etags.get(key):
            return recorded
        return None

    @property
    def differing(self) -> tuple[str, ...]:
        """The files of the live release that somebody else has changed or deleted, sorted. None of
        a switch that has not come to its end: nobody knows which of its files are there.
        """
        live = self.live
        if live is None or live.state is not SiteState.LIVE:
            return ()
        return tuple(sorted(key for key in live.files if self.known(key) is None))

    def is_ours(self, key: str) -> bool:
        """Whether we have put something under a key."""
        return self.live is not None and (key in self.live.files or key in self.live.stale)

    def is_claimed(self, key: str) -> bool:
        """Whether a deploy that has not come to its end was about to put a new file there, which
        nothing shows yet.
        """
        claim = self.manifest.claim if self.manifest is not None else None
        return claim is not None and key in claim.keys and not self.is_ours(key)

    @property
    def left_by_claim(self) -> tuple[str, ...]:
        """What such a deploy has put there."""
        if self.manifest is None or self.manifest.claim is None:
            return ()
        keys = self.manifest.claim.keys
        return tuple(key for key in keys if key in self.etags and not self.is_ours(key))

    def is_unsure(self, key: str) -> bool:
        """Whether a switch that has not come to its end was to change a file: its headers may be
        those of before.
        """
        live = self.live
        return live is not None and live.state is SiteState.SWITCHING and key in live.pages

    def last_seq(self, key: str) -> int:
        """The `seq` of the last release that had a key of ours."""
        if self.live is None:
            return 0
        if key in self.live.files:
            return self.live.release.seq
        return self.live.stale[key].seq


class PlanRequest(Struct, frozen=True, kw_only=True):
    """What is to be live: `files` by key, without etags. `release` names it; a release that was
    live before keeps its name. `restore`: files come from inside the bucket only.
    """

    release: str
    token: str
    files: Mapping[str, SiteFile]
    keep: Keep
    now: datetime
    index: str = "index.html"
    restore: bool = False


def never_immutable(files: Mapping[str, SiteFile], bucket: SiteBucket) -> tuple[str, ...]:
    """The keys that had other content under the same name: whatever the bundler says, their names
    do not say what is in them.
    """
    known = set[str]()
    if bucket.live is not None:
        known = set(bucket.live.changing)
    for key, file in files.items():
        recorded = bucket.recorded(key)
        if not file.mutable and recorded is not None and recorded.digest != file.digest:
            known.add(key)
    return tuple(sorted(known))


def plan(request: PlanRequest, bucket: SiteBucket) -> SitePlan:
    """What has to be done. A release that this job has begun to switch to is continued."""
    return _Planner(request, bucket).plan()


def continues(token: str, bucket: SiteBucket) -> bool:
    """Whether the job with this token has begun to switch, so that the manifest is its own."""
    return bucket.live is not None and bucket.live.token == token


def waves(keys: Iterable[str], index: str) -> list[list[str]]:
    """Keys in the order in which they are changed: scripts and the like, then pages, then the first
    page. None of a wave is begun before the one before it is over.
    """
    by_order: dict[tuple[bool, bool], list[str]] = {}
    for key in sorted(keys):
        by_order.setdefault((key == index, site_headers.is_page(key)), []).append(key)
    return [by_order[order] for order in sorted(by_order)]


class _Planner:
    def __init__(self, request: PlanRequest, bucket: SiteBucket) -> None:
        self._request, self._bucket = request, bucket
        self._live = bucket.live
        self._continued = continues(request.token, bucket)
        self._files: dict[str, SiteFile] = {}
        self._assets: list[str] = []
        self._pages: list[str] = []
        self._copies: list[Copy] = []
        self._archives: list[Copy] = []
        self._foreign: list[str] = []
        self._drifted: list[str] = []
        self._gone: list[str] = []
        self._changed: set[str] = set()
        """Keys under which other content or headers are served afterwards."""
        self._stale: dict[str, Stale] = {}
        self._seq = self._oldest = 0

    def plan(self) -> SitePlan:
        self._seq, releases = self._history()
        self._oldest = min([self._seq, *(release.seq for release in releases)])
        self._stale = self._left_behind()
        for key, wanted in self._request.files.items():
            self._decide(key, wanted)
        kept, pruned = self._pruned()
        deletes = sorted({*pruned, *self._dropped(releases), *self._undeleted(kept)})
        for key in pruned:
            recorded = self._bucket.recorded(key)
            if recorded is not None and recorded.mutable and not key.startswith(OWN):
                self._changed.add(key)
        return SitePlan(
            files=self._files,
            assets=tuple(sorted(self._assets)),
            archives=tuple(self._archives),
            copies=tuple(sorted(self._copies, key=lambda copy: self.order(copy.key))),
            pages=tuple(sorted(self._pages, key=self.order)),
            stale=kept,
            releases=releases,
            deletes=tuple(key for key in deletes if key in self._bucket.etags),
            invalidate=self._addresses(),
            foreign=tuple(sorted(self._foreign)),
            drifted=tuple(sorted(self._drifted)),
            gone=tuple(sorted(self._gone)),
            seq=self._seq,
        )

    def _history(self) -> tuple[int, tuple[Release, ...]]:
        """The number of this switch, and the earlier releases that are kept."""
        live, request = self._live, self._request
        if live is None:
            return 1, ()
        if self._continued:
            return live.release.seq, live.releases
        earlier = list(live.releases)
        # What an interrupted deploy has left was never live as a whole: nobody goes back to it.
        if live.state is SiteState.LIVE:
            until = request.now.isoformat()
            earlier.insert(0, replace(live.release, until=until))
        earlier = [release for release in earlier if release.id != request.release]
        limit = request.now - timedelta(days=request.keep.days)
        kept: list[Release] = []
        for release in earlier:
            if len(kept) < request.keep.releases or not _is_before(release.until, limit):
                kept.append(release)
            else:
                break
        return live.release.seq + 1, tuple(kept)

    def _left_behind(self) -> dict[str, Stale]:
        """What is there besides the files of the release, before anything is archived."""
        stale: dict[str, Stale] = {}
        if self._bucket.manifest is not None and self._bucket.manifest.claim is not None:
            # What an interrupted deploy has put there, or not: no release ever had it.
            for key in self._bucket.manifest.claim.keys:
                stale[key] = Stale(0)
        if self._live is not None:
            stale |= self._live.stale
            for key, file in self._live.files.items():
                stale[key] = Stale(self._live.release.seq, file)
        for key in self._request.files:
            stale.pop(key, None)
        return stale

    def _decide(self, key: str, wanted: SiteFile) -> None:
        """What is done so that a key has what it has to have."""
        bucket = self._bucket
        present = key in bucket.etags and not bucket.is_claimed(key)
        known = bucket.known(key)
        if known is not None and known.digest == wanted.digest:
            # The bundler may say today what it did not say then.
            self._files[key] = replace(wanted, etag=known.etag, origin=known.origin)
            if known.headers != wanted.headers or bucket.is_unsure(key):
                self._copies.append(Copy(key, known.etag, key, self._files[key]))
                self._changed.add(key)
            return
        if present and not bucket.is_ours(key):
            self._foreign.append(key)
        elif self._has_drifted(key):
            self._drifted.append(key)
        self._files[key] = replace(wanted, etag="", origin=self._request.release)
        if present and not self._is_begun(key, wanted):
            self._changed.add(key)
        if known is not None:
            self._archive(key, known)
        if self._request.restore:
            self._restore(key, wanted)
        elif present or site_headers.is_page(key):
            self._pages.append(key)
        else:
            self._assets.append(key)

    def _is_begun(self, key: str, wanted: SiteFile) -> bool:
        """Whether the switch that is continued was to put the very same there: what caches have to
        forget of it, its manifest says.
        """
        if not self._continued or self._live is None or key not in self._live.files:
            return False
        return self._live.files[key].same(wanted)

    def _has_drifted(self, key: str) -> bool:
        """Whether somebody else has changed or deleted what the live release has."""
        live = self._live
        if live is None or live.state is not SiteState.LIVE or key not in live.files:
            return False
        return self._bucket.known(key) is None

    def _archive(self, key: str, known: SiteFile) -> None:
        """Keep what is about to be replaced, if a kept release has it."""
        seq = self._bucket.last_seq(key)
        if seq < self._oldest:
            return
        path = archive_key(known.origin or "0", key)
        entry = self._stale.get(path)
        if (
            entry is not None
            and entry.file is not None
            and entry.file.digest == known.digest
            and entry.file.etag == self._bucket.etags.get(path)
        ):
            self._stale[path] = replace(entry, seq=max(seq, entry.seq))
            return
        self._archives.append(Copy(key, known.etag, path, known))
        self._stale[path] = Stale(seq, known)

    def _restore(self, key: str, wanted: SiteFile) -> None:
        """Take the content from where it is kept."""
        source = self._kept_content(key, wanted.digest)
        if source is None:
            self._gone.append(key)
            return
        path, file = source
        # A step that is done again needs it again.
        self._stale[path] = Stale(self._seq, file)
        self._files[key] = replace(wanted, etag="", origin=file.origin)
        self._copies.append(Copy(path, file.etag, key, self._files[key]))

    def _kept_content(self, key: str, digest: str) -> tuple[str, SiteFile] | None:
        for path, file in self._kept_by_key.get(key, ()):
            if file.digest == digest and file.etag == self._bucket.etags.get(path):
                return path, file
        return None

    @cached_property
    def _kept_by_key(self) -> dict[str, list[tuple[str, SiteFile]]]:
        """The copies of replaced files by the key that they had."""
        by_key: dict[str, list[tuple[str, SiteFile]]] = {}
        for path, entry in (self._live.stale if self._live else {}).items():
            if entry.file is not None and path.startswith(RELEASES):
                by_key.setdefault(archived_key(path), []).append((path, entry.file))
        return by_key

    def _pruned(self) -> tuple[dict[str, Stale], tuple[str, ...]]:
        """What stays of earlier releases, and what is deleted: only what no kept release had."""
        kept: dict[str, Stale] = {}
        deletes: list[str] = []
        for key, entry in self._stale.items():
            if entry.seq >= self._oldest:
                kept[key] = entry
            else:
                deletes.append(key)
        return kept, tuple(sorted(deletes))

    def _dropped(self, kept: Iterable[Release]) -> tuple[str, ...]:
        """The lists of files of releases that are not kept any more."""
        if self._live is None or self._continued:
            return ()
        staying = {self._request.release, *(release.id for release in kept)}
        known = {self._live.release.id, *(release.id for release in self._live.releases)}
        return tuple(sorted(release_key(release) for release in known - staying))

    def _undeleted(self, kept: Mapping[str, Stale]) -> Iterable[str]:
        """What an interrupted deploy was to delete."""
        if self._live is None:
            return ()
        return set(self._live.deletes) - kept.keys() - self._request.files.keys()

    def order(self, key: str) -> tuple[bool, bool, str]:
        """Scripts and the like before pages, the first page last."""
        return key == self._request.index, site_headers.is_page(key), key

    def _addresses(self) -> tuple[str, ...]:
        """What caches have to forget."""
        interrupted: Invalidation | None = None
        if self._live is not None and self._live.state is SiteState.SWITCHING:
            interrupted = self._live.invalidation
        addresses = set[str]()
        for key in self._changed:
            addresses |= addresses_of(key, self._request.index)
        if interrupted is not None:
            addresses |= set(interrupted.paths)
        return tuple(sorted(addresses))


def _is_before(moment: str, limit: datetime) -> bool:
    try:
        return datetime.fromisoformat(moment) < limit
    except (ValueError, TypeError):
        return False  # a time that cannot be read keeps what it is about


def addresses_of(key: str, index: str) -> set[str]:
    """The keys under which a file is asked for: one that is called like the site's first page also
    by its folder, with and without the slash, and the first page itself by the site's address.
    """
    addresses = {key}
    folder, slash, name = key.rpartition("/")
    if name in ("index.html", "index.htm", posixpath.basename(index)):
        addresses.add(folder + slash)
        if folder:
            addresses.add(folder)
    if key == index:
        addresses.add("")
    return addresses


def invalidation_paths(keys: Iterable[str], begin: str) -> tuple[str, ...]:
    """The paths that CloudFront has to forget, of keys and folders. `begin` is what is between the
    address and the key: `/`, or `/app/`, which is asked for as `/app`, too.
    """
    listed = sorted(set(keys))
    folder = begin.rstrip("/") if "" in listed else ""
    if len(listed) > MOST_PATHS:
        common = f"{begin}{_common_folder(listed)}"
        return (f"{quote(folder or common, safe='/~')}*",)
    paths = [f"{begin}{key}" for key in listed]
    if folder:
        paths.insert(1, folder)
    return tuple(quote(path, safe="/~") for path in paths)


def _common_folder(keys: list[str]) -> str:
    first, last = keys[0], keys[-1]
    length = 0
    while length < min(len(first), len(last)) and first[length] == last[length]:
        length += 1
    return first[: first.rfind("/", 0, length) + 1]


def lost_files(live: SiteManifest | None, files: Mapping[str, object]) -> tuple[str, ...]:
    """The keys of the live release that a new one does not have."""
    if live is None:
        return ()
    return tuple(sorted(live.files.keys() - files.keys()))


def named_keys(keys: Sequence[str]) -> str:
    """A few keys, and how many more there are."""
    names = ", ".join(keys[:MOST_NAMED])
    if len(keys) > MOST_NAMED:
        names += f" and {len(keys) - MOST_NAMED} more"
    return names
