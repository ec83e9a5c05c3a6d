"""What a deploy of a site starts from: what the bucket has, what is to be live, and so what has to
be done. Reads only.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from toolkit.errors import FileProblem, Refused, Unreachable
from toolkit.formats.words import count
from toolkit.operations import Job, JobAction, LiveVersion
from toolkit.ports import files
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.objects import Objects
from toolkit.ports.background import BackgroundTask, Timeout
from toolkit.ports.ports import Ports
from toolkit.targets.site import bundler, sanity
from toolkit.targets.site import plan as plans
from toolkit.targets.site.headers import HeaderChooser
from toolkit.targets.site.manifest import (
    KEY,
    MOST,
    ClaimOnly,
    Release,
    SiteFile,
    SiteManifest,
    SiteState,
    content_digest,
    decode_manifest,
    decode_release,
    release_key,
)
from toolkit.targets.site.plan import PlanRequest, SiteBucket, SitePlan
from toolkit.targets.site.settings import SiteSettings, folder_prefix
from toolkit.targets.site.source import SourceFile, read_source

LISTING_S = 600.0
"""How long listing a bucket may take, in seconds."""
BUSY_S = 30.0
"""How long after its last sign of life a deploy that changes pages counts as dead, in seconds."""
MOST_PAGE = 4 << 20
"""Bytes of a page or a style that are looked at."""


class SiteContents(Struct, frozen=True):
    """What the bucket has. `etag` is that of the manifest, None if there is none."""

    bucket: SiteBucket
    etag: str | None


class SiteChange(Struct, frozen=True):
    """What somebody else has changed of the live release. `release` is its number, `files` are all
    that differ, `missing` those of them that are gone.
    """

    release: int
    files: tuple[str, ...]
    missing: tuple[str, ...]

    def __str__(self) -> str:
        keys = [f"{key} (deleted)" if key in self.missing else key for key in self.files]
        differ = "differs" if len(keys) == 1 else "differ"
        files, names = count(len(keys), "file"), plans.named_keys(keys)
        return f"{files} {differ} from release {self.release}: {names}"


class Prepared(Struct, frozen=True):
    """A deploy that is ready. `sources` are the files to upload from, `release` is how all that is
    to be live is called.
    """

    contents: SiteContents
    plan: SitePlan
    release: Release
    sources: Mapping[str, SourceFile] = {}
    changing: tuple[str, ...] = ()

    @property
    def unchanged(self) -> bool:
        """Whether all of that is live, under this very version."""
        live = self.contents.bucket.live
        if live is None or live.state is not SiteState.LIVE or self.plan.changes_files:
            return False
        return (
            is_version(live.release, self.release) and live.release.content == self.release.content
        )


def is_version(live: Release, wanted: Release) -> bool:
    """Whether both were made from the same."""
    return (live.version, live.commit, live.fingerprint, live.settings, live.inputs) == (
        wanted.version,
        wanted.commit,
        wanted.fingerprint,
        wanted.settings,
        wanted.inputs,
    )


def objects_of(job: Job, aws: Aws) -> Objects:
    """The part of the bucket that the site has for itself."""
    settings: SiteSettings = job.settings
    return Objects(aws, settings.bucket, folder_prefix(settings.prefix), job.location.account)


def read_manifest(objects: Objects) -> tuple[SiteManifest | ClaimOnly | None, str | None]:
    """The manifest and its etag; None where there is none. Raises CloudError, Refused."""
    document = objects.body(KEY, MOST)
    if document is None:
        return None, None
    body, etag = document
    return decode_manifest(body, objects.address(KEY)), etag


def read_contents(objects: Objects) -> SiteContents:
    """What the bucket has. Raises CloudError, Refused."""
    listing = BackgroundTask(objects.etags)
    manifest, etag = read_manifest(objects)
    return SiteContents(SiteBucket(manifest, _ended(listing, objects)), etag)


def _ended(listing: BackgroundTask[dict[str, str]], objects: Objects) -> dict[str, str]:
    try:
        return listing.within(LISTING_S)
    except Timeout:
        reason = f"{objects.address('')} was not listed within {LISTING_S:g} s"
        raise Unreachable(call="s3:ListObjectsV2", reason=reason) from None


def changed_outside(
    objects: Objects, manifest: SiteManifest | ClaimOnly | None, etag: str | None
) -> SiteChange | None:
    """What somebody else has changed of the live release since the manifest, which has this etag,
    was written; None if nothing. Raises CloudError, and Refused where a deploy came in between.
    """
    if not isinstance(manifest, SiteManifest) or manifest.state is not SiteState.LIVE:
        return None
    bucket = SiteBucket(manifest, _ended(BackgroundTask(objects.etags), objects))
    if not bucket.differing:
        return None
    present = objects.body(KEY, 0)
    if present is None or present[1] != etag:
        where = objects.address("")
        raise Refused(f"{where} was deployed to while it was checked", "check it again")
    missing = tuple(key for key in bucket.differing if key not in bucket.etags)
    return SiteChange(manifest.release.seq, bucket.differing, missing)


def wanted_files(
    job: Job, sources: Mapping[str, SourceFile], bucket: SiteBucket, root: str
) -> tuple[dict[str, SiteFile], tuple[str, ...]]:
    """What each file is to be in the bucket, and which keys must not count as hashed although the
    bundler says so.
    """
    settings: SiteSettings = job.settings
    hashed = _hashed(settings, root)
    first = _with_headers(settings, sources, hashed)
    changing = plans.never_immutable(first, bucket)
    if hashed.intersection(changing):
        return _with_headers(settings, sources, hashed.difference(changing)), changing
    return first, changing


def _with_headers(
    settings: SiteSettings, sources: Mapping[str, SourceFile], hashed: frozenset[str]
) -> dict[str, SiteFile]:
    chooser = HeaderChooser(settings.headers, hashed)
    return {
        key: SiteFile(file.digest, chooser.headers(key), file.size, not chooser.is_immutable(key))
        for key, file in sources.items()
    }


def _hashed(settings: SiteSettings, root: str) -> frozenset[str]:
    """The keys whose names hold a hash, as the bundler's manifest says. Raises FileProblem where
    rules.toml names one that cannot be read.
    """
    if settings.manifest is not None:
        path = settings.manifest
        return bundler.hashed_keys(files.read_inside(root, path, bundler.MOST), settings.source)
    for name in bundler.MANIFESTS:
        path = f"{settings.source}/{name}"
        try:
            data = files.read_inside(root, path, bundler.MOST)
        except FileProblem:
            continue
        if hashed := bundler.hashed_keys(data, settings.source):
            return hashed
    return frozenset()


def release_of(job: Job, ports: Ports, seq: int, inputs: str, content: str) -> Release:
    """How the release of a deploy is called."""
    version = job.version
    return Release(
        id=job.token,
        seq=seq,
        run=job.run,
        version=version.name,
        commit=version.commit,
        fingerprint=version.fingerprint,
        settings=version.settings,
        inputs=inputs,
        content=content,
        since=ports.clock.now().isoformat(),
        target=job.target,
    )


def prepare_deploy(
    job: Job, ports: Ports, contents: SiteContents, inputs: str, check: Callable[[], None]
) -> Prepared:
    """What a deploy of the files in `source` does. Raises Refused for a build that is doubtful,
    FileProblem.
    """
    settings: SiteSettings = job.settings
    bucket = contents.bucket
    if not os.path.isdir(os.path.join(ports.root, settings.source)):
        raise Refused(
            f"there is no folder {settings.source}",
            "build the site first, or add `build` to the target in rules.toml",
        )
    sources = read_source(ports.root, settings.source, check)
    compared = bucket.live
    if compared is not None and compared.token == job.token:
        compared = None  # it is this very deploy that is continued
    sanity.refuse_doubtful(sanity.doubts(sources, compared, settings, read_text), job.options)
    wanted, changing = wanted_files(job, sources, bucket, ports.root)
    content = content_digest(wanted)
    request = PlanRequest(
        release=job.token,
        token=job.token,
        files=wanted,
        keep=settings.keep,
        now=ports.clock.now(),
        index=settings.index,
    )
    plan = plans.plan(request, bucket)
    release = release_of(job, ports, plan.seq, inputs, content)
    return Prepared(contents, plan, release, sources, changing)


def read_text(file: SourceFile) -> str:
    """The text of a page or a style; empty for one that is too large to be looked at."""
    if file.size > MOST_PAGE:
        return ""
    return files.read(file.path, MOST_PAGE).decode("utf-8", "replace")


def prepare_rollback(job: Job, ports: Ports, objects: Objects, contents: SiteContents) -> Prepared:
    """What it takes to put an earlier release back. Raises Refused where that is not possible."""
    settings: SiteSettings = job.settings
    name = job.restore.release if job.restore is not None else None
    if name is None:
        raise Refused(
            f"the record of {job.version.name[:20]} does not say which release it is",
            "check out the commit that was good, and deploy it",
        )
    document = objects.body(release_key(name), MOST)
    if document is None or contents.bucket.live is None:
        raise gone(job)
    stored = decode_release(document[0], objects.address(release_key(name)))
    request = PlanRequest(
        release=name,
        token=job.token,
        files=stored.files,
        keep=settings.keep,
        now=ports.clock.now(),
        index=settings.index,
        restore=True,
    )
    plan = plans.plan(request, contents.bucket)
    if plan.gone:
        raise gone(job)
    now = release_of(job, ports, plan.seq, stored.release.inputs, stored.release.content)
    release = replace(now, id=name)
    changing = contents.bucket.live.changing
    return Prepared(contents, plan, release, changing=changing)


def gone(job: Job) -> Refused:
    """The error for a release whose files are gone."""
    return Refused(
        f"the files of {job.version.name[:20]} are gone from the bucket",
        "check out the commit that was good, and deploy it",
    )


def is_rollback(job: Job) -> bool:
    """Whether an earlier release is put back."""
    return job.action == JobAction.ROLLBACK


def live_token(live: SiteManifest | None) -> str:
    """The token of the deploy that has written what is live; empty if nothing is."""
    if live is None:
        return ""
    return live.token


def is_superseded(receipt: Mapping[str, Any], manifest: SiteManifest | ClaimOnly | None) -> bool:
    """Whether somebody else has deployed since a deploy has begun; the manifest is not its own.
    What it has found is kept before it changes anything: its own switch may have come or not.
    """
    if receipt.get("switched"):
        return True
    replaces: str | None = receipt.get("replaces")
    if replaces is None or not isinstance(manifest, SiteManifest):
        return False
    return manifest.token != replaces


def is_at_work(objects: Objects, manifest: SiteManifest | ClaimOnly | None) -> bool:
    """Whether a deploy is changing pages right now: it says so in the manifest all the time. Raises
    CloudError.
    """
    if not isinstance(manifest, SiteManifest) or manifest.state is SiteState.LIVE:
        return False
    age_s = objects.age_s(KEY)
    return age_s is not None and age_s < BUSY_S


def live_version(
    manifest: SiteManifest | ClaimOnly | None, at_work: bool = False
) -> LiveVersion | None:
    """What the manifest says is live; None if nothing is. `at_work`: the deploy that is changing
    pages is known to be alive.
    """
    if not isinstance(manifest, SiteManifest):
        return None
    release = manifest.release
    detail = {"release": release.id, "content": release.content}
    if manifest.state is not SiteState.LIVE:
        doubt = f"run {release.run} replaced some of its pages and never finished"
        if at_work:
            doubt = f"run {release.run} is replacing its pages"
        return LiveVersion(None, run=release.run, detail={}, doubt=doubt, moving=at_work)
    return LiveVersion(
        release.version,
        release.commit,
        release.fingerprint,
        release.run,
        release.since,
        detail,
        settings=release.settings or None,
    )
