"""What of a bucket is ours, as `.toolkit/site.json` in it says: which release is live, which files
it has, and which files of earlier releases are kept. Pure.

All keys are below the site's prefix.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec
from msgspec import Struct

from toolkit.errors import Refused

OWN = ".toolkit/"
"""Below this a site's own files never are."""
KEY = f"{OWN}site.json"
RELEASES = f"{OWN}releases/"
MOST = 256 << 20
"""Bytes of a manifest at most: some 800,000 files."""
FORMAT = 1
HEADER_NAMES = frozenset(("CacheControl", "ContentDisposition", "ContentEncoding", "ContentType"))
"""The parameters of PutObject that files have."""
_TEXT = re.compile(r"[\x20-\x7e]*")
"""What a header can hold."""

Headers = tuple[tuple[str, str], ...]
"""Parameters of PutObject, such as ContentType, each with its value, sorted."""


class SiteState(StrEnum):
    """SWITCHING: the pages of the release are being put there; nobody knows which of them are."""

    SWITCHING = "switching"
    LIVE = "live"


class SiteFile(Struct, frozen=True, array_like=True):
    """One file: the SHA-256 of its content in hexadecimal, and its headers. `mutable`: another
    release may have other content under that name.

    `etag` is how S3 calls what we have put there, empty while that is not known. `origin` is the
    release that put it there.
    """

    digest: str
    headers: Headers
    size: int
    mutable: bool
    etag: str = ""
    origin: str = ""

    def same(self, other: "SiteFile") -> bool:
        """Whether both have one content and one set of headers."""
        return (self.digest, self.headers) == (other.digest, other.headers)


class Stale(Struct, frozen=True, array_like=True):
    """A file that the live release does not have. `seq` is that of the last release that had it;
    `file` is None for what an interrupted deploy may have left.
    """

    seq: int
    file: SiteFile | None = None


class Release(Struct, frozen=True, omit_defaults=True):
    """One version of the site. `seq` counts switches. Times are ISO 8601 in UTC; `until` is empty
    while it is live. `inputs` is the digest of the outputs of other targets in its build, `target`
    what was deployed; an earlier version of toolkit did not write that down.
    """

    id: str
    seq: int
    run: str
    version: str
    commit: str | None
    fingerprint: str
    settings: str
    inputs: str
    content: str
    since: str
    until: str = ""
    target: str = ""


class Claim(Struct, frozen=True):
    """A deploy that has begun: the new keys that it puts there before anything shows them."""

    token: str
    run: str
    keys: tuple[str, ...]


class Invalidation(Struct, frozen=True):
    """What CloudFront has to forget; `id` is empty until it has been asked to."""

    reference: str
    paths: tuple[str, ...]
    id: str = ""


class SiteManifest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The manifest of a site. `stale` has files of earlier releases: keys, and copies of pages
    below RELEASES. `changing` are the keys that had other content once under the same name.
    `pages` are the keys that its switch has changed, `deletes` those that it is still to delete.
    `beats` counts the signs of life of a switch.
    """

    format: int
    state: SiteState
    token: str
    release: Release
    files: dict[str, SiteFile]
    stale: dict[str, Stale] = {}
    releases: tuple[Release, ...] = ()
    changing: tuple[str, ...] = ()
    pages: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    invalidation: Invalidation | None = None
    claim: Claim | None = None
    beats: int = 0


class ClaimOnly(Struct, frozen=True, kw_only=True):
    """The manifest while the first deploy puts its files there: nothing is live."""

    format: int
    claim: Claim


class ReleaseFiles(Struct, frozen=True):
    """The files of one release, so that it can be put back."""

    format: int
    release: Release
    files: dict[str, SiteFile]


def encode(document: SiteManifest | ClaimOnly | ReleaseFiles) -> bytes:
    """A document as it stands in the bucket."""
    return msgspec.json.encode(document)


def decode_manifest(data: bytes, address: str) -> SiteManifest | ClaimOnly:
    """The manifest. Raises Refused for what toolkit has not written."""
    try:
        try:
            document: SiteManifest | ClaimOnly = msgspec.json.decode(data, type=SiteManifest)
        except msgspec.ValidationError:
            document = msgspec.json.decode(data, type=ClaimOnly)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise damaged(address) from None
    _check_format(document.format, address)
    if document.claim is not None:
        _check_keys(document.claim.keys, "", address)
    if isinstance(document, SiteManifest):
        _check_files(document.files, address)
        _check_keys((*document.stale, *document.deletes), RELEASES, address)
        for entry in document.stale.values():
            if entry.file is not None:
                _check_file(entry.file, address)
    return document


def decode_release(data: bytes, address: str) -> ReleaseFiles:
    """The files of a release. Raises Refused for what toolkit has not written."""
    try:
        document = msgspec.json.decode(data, type=ReleaseFiles)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise damaged(address) from None
    _check_format(document.format, address)
    _check_files(document.files, address)
    return document


def _check_files(files: Mapping[str, SiteFile], address: str) -> None:
    _check_keys(files, "", address)
    for file in files.values():
        _check_file(file, address)


def _check_keys(keys: Iterable[str], own: str, address: str) -> None:
    """Raises Refused for a key of the tool's own, but for those below `own`: a manifest that lists
    itself would be deleted with its release.
    """
    for key in keys:
        if key.startswith(OWN) and not (own and key.startswith(own)):
            raise damaged(address)


def _check_file(file: SiteFile, address: str) -> None:
    """Raises Refused for what no request can be made of."""
    if not _TEXT.fullmatch(file.etag) or file.size < 0:
        raise damaged(address)
    for name, value in file.headers:
        if name not in HEADER_NAMES or not _TEXT.fullmatch(value):
            raise damaged(address)


def _check_format(number: int, address: str) -> None:
    if number != FORMAT:
        raise Refused(f"{address} was written by a newer toolkit", "update toolkit")


def damaged(address: str) -> Refused:
    """The error for a manifest that cannot be used."""
    return Refused(
        f"{address} is damaged, or was not written by toolkit",
        "restore it from the bucket's versions, or move it away and deploy with --adopt",
    )


def release_key(release: str) -> str:
    """Where the files of a release are listed."""
    return f"{RELEASES}{release}/site.json"


def archive_key(origin: str, key: str) -> str:
    """Where the content of a page is kept once another one has taken its place."""
    return f"{RELEASES}{origin}/files/{key}"


def archived_key(path: str) -> str:
    """The key that a kept file had: the other way round."""
    return path.removeprefix(RELEASES).partition("/files/")[2]


def content_digest(files: Mapping[str, SiteFile]) -> str:
    """The digest of all files: names, content, headers."""
    import hashlib

    whole = hashlib.sha256()
    for key in sorted(files):
        file = files[key]
        whole.update(msgspec.json.encode((key, file.digest, file.headers)))
    return whole.hexdigest()
