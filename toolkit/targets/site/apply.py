"""The calls that change a site. What is served changes only once everything that the new pages need
is there, and the first page changes last.

The manifest is written under a condition each time: whoever finds another one than it has read has
been overtaken, and stops.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import Lock

from msgspec.structs import replace

from toolkit.advice import NextCommand
from toolkit.errors import CloudError, Refused, Superseded
from toolkit.formats.words import count
from toolkit.operations import Job
from toolkit.ports import commands, parallel
from toolkit.ports.aws import distributions, objects
from toolkit.ports.aws.client import Aws, check_account
from toolkit.ports.aws.distributions import Distribution
from toolkit.ports.ports import Ports
from toolkit.targets.base import Report
from toolkit.targets.site import build, preview, state
from toolkit.targets.site import plan as plans
from toolkit.targets.site.manifest import (
    FORMAT,
    KEY,
    Claim,
    ClaimOnly,
    Invalidation,
    ReleaseFiles,
    SiteFile,
    SiteManifest,
    SiteState,
    Stale,
    encode,
    release_key,
)
from toolkit.targets.site.plan import Copy
from toolkit.targets.site.state import Prepared, SiteContents

BUSY_PAUSE_S = 2.0
BEAT_S = 10.0
"""How often a deploy that changes pages says that it is alive, in seconds."""
INVALIDATION_PAUSE_S = 10.0


def apply(job: Job, ports: Ports, report: Report) -> None:
    """See targets/base.py."""
    aws = ports.aws(job.location)
    check_account(aws, job.location)
    _SiteDeploy(job, ports, report, aws).run()


class _SiteDeploy:
    """One deploy of one site."""

    def __init__(self, job: Job, ports: Ports, report: Report, aws: Aws) -> None:
        self.job, self.ports, self.report, self.aws = job, ports, report, aws
        self.objects = state.objects_of(job, aws)
        self.distribution: Distribution | None = None
        """The site's own, once it was looked for."""
        self._until = ports.clock.elapsed() + job.deadline_s
        self.etag: str | None = None
        """The etag of the manifest as it was read or written last."""
        self._lock = Lock()
        """Held while the manifest is written or compared during a switch."""
        self._switching: SiteManifest
        """The manifest as it was written last, once pages are changed."""
        self._written_at = 0.0
        """When it was, by `clock.elapsed()`."""

    def run(self) -> None:
        """All of it."""
        self.report.phase("checking the bucket")
        contents = self._contents()
        self.etag = contents.etag
        if self._is_done(contents):
            return
        self.distribution = preview.required_distribution(self.job, self.aws)
        prepared = self._prepared(contents)
        if prepared is None or (prepared.unchanged and not self.job.options.force):
            self.report.keep(unchanged=True)
            return
        self._ask_to_adopt(prepared)
        # Only now, and not with what is read: nothing was changed before.
        replaces = state.live_token(contents.bucket.live)
        self.report.keep(release=prepared.release.id, replaces=replaces)
        # Also where a switch is continued: a build may have other files each time.
        self._switch(self._archives(self._assets(prepared)))

    # --- what is there

    def _contents(self) -> SiteContents:
        """What the bucket has, once no other deploy is changing its pages."""
        clock = self.ports.clock
        until = clock.elapsed() + state.BUSY_S
        seen: str | None = None
        while True:
            contents = state.read_contents(self.objects)
            live = contents.bucket.live
            busy = live is not None and live.state is SiteState.SWITCHING
            if not busy or live is None or live.token == self.job.token:
                return contents
            if contents.etag != seen:
                seen, until = contents.etag, clock.elapsed() + state.BUSY_S
            run = live.release.run
            if clock.elapsed() >= until:
                self.report.tell(f"run {run} never finished; replacing its pages")
                return contents
            self._wait(BUSY_PAUSE_S, f"run {run} is still replacing the site's pages")

    def _wait(self, seconds: float, why: str) -> None:
        """Wait for what somebody else has to end. Raises Refused at the step's deadline."""
        if self.ports.clock.elapsed() >= self._until:
            again = NextCommand("deploy-site", (self.job.target,))
            raise Refused(why, ("once that is over:", again))
        self.report.phase(f"waiting: {why}")
        self.report.wait(seconds)

    def _is_done(self, contents: SiteContents) -> bool:
        """Whether an earlier process has done all of it. Raises Superseded where somebody else has
        deployed since it has begun.
        """
        live = contents.bucket.live
        if live is not None and live.token == self.job.token:
            if live.state is SiteState.LIVE:
                self.report.keep(release=live.release.id, switched=True)
                return True
        elif state.is_superseded(self.report.receipt, live):
            raise self._superseded(live)
        return False

    def _prepared(self, contents: SiteContents) -> Prepared | None:
        """What is to be done; None where the live release was built from the very same."""
        if state.is_rollback(self.job):
            return state.prepare_rollback(self.job, self.ports, self.objects, contents)
        inputs = build.read_inputs(self.job, self.ports)
        build.refuse_missing(inputs)
        settings = self.job.settings
        if settings.build is not None:
            if preview.is_built(self.job, self.ports, contents, inputs.digest):
                return None
            command = build.find(self.job, inputs, self.ports.root)
            self.report.phase(f"running {build.words(self.job)}")
            clock, deadline_s = self.ports.clock, self.job.deadline_s
            commands.run_alone(
                command,
                self.ports.cache,
                clock,
                deadline_s,
                self.report.log,
                self.report.check,
            )
        self.report.phase(f"reading {settings.source}")
        return state.prepare_deploy(
            self.job, self.ports, contents, inputs.digest, self.report.check
        )

    def _ask_to_adopt(self, prepared: Prepared) -> None:
        question = preview.adoption_question(self.job, prepared)
        if question and not self.job.options.adopt:
            self.report.consent(question, "--adopt")
        for line in preview.drift_warnings(prepared):
            self.report.tell(f"warning: {line}")

    # --- before anything is shown

    def _assets(self, prepared: Prepared) -> Prepared:
        """Put everything new there that nothing refers to yet."""
        plan = prepared.plan
        if not plan.assets:
            return prepared
        bucket = prepared.contents.bucket
        # What another deploy has left before it died stays known as left by one.
        left = (key for key in bucket.left_by_claim if key not in plan.files)
        claimed = Claim(self.job.token, self.job.run, (*plan.assets, *left))
        live = bucket.live
        document: SiteManifest | ClaimOnly = ClaimOnly(format=FORMAT, claim=claimed)
        if live is not None:
            document = replace(live, claim=claimed)
        self._write(document, self.report.prepare, "what is about to be uploaded")
        etags = self._uploaded_before(prepared)
        missing = [key for key in plan.assets if key not in etags]
        if missing:
            etags |= self._upload(prepared, missing, self.report.prepare)
        files = _with_etags(plan.files, etags)
        return replace(prepared, plan=replace(plan, files=files))

    def _uploaded_before(self, prepared: Prepared) -> dict[str, str]:
        """Key -> etag of what an earlier process of this deploy has put there. The etag of anything
        else would be another digest than that of the content.
        """
        bucket = prepared.contents.bucket
        claim = bucket.manifest.claim if bucket.manifest is not None else None
        if claim is None or claim.token != self.job.token:
            return {}
        etags: dict[str, str] = {}
        for key in prepared.plan.assets:
            self.report.check()
            etag = bucket.etags.get(key)
            if etag is not None and etag.strip('"') == _md5(prepared.sources[key].path):
                etags[key] = etag
        return etags

    def _release_list(self, prepared: Prepared) -> None:
        """Write down which files the release has, so that it can be put back."""
        release = prepared.release
        if state.is_rollback(self.job):
            return
        document = ReleaseFiles(FORMAT, release, dict(prepared.plan.files))
        key = release_key(release.id)
        self.report.prepare("s3:PutObject", **self._what(key))
        self.objects.write(key, encode(document))

    def _archives(self, prepared: Prepared) -> Prepared:
        """Keep the files that are about to be replaced."""
        copies = prepared.plan.archives
        if not copies:
            return prepared
        self.report.phase(f"keeping {count(len(copies), 'file')} of the live release")
        self.report.prepare("s3:CopyObject", **self._many(copies[0].key, len(copies)))
        etags = self._copy(copies)
        stale = dict(prepared.plan.stale)
        for copy in copies:
            kept = stale[copy.key]
            etag = etags[copy]
            if etag is None or kept.file is None:
                raise Refused(
                    f"{self.objects.address(copy.source)} was changed while it was being deployed",
                    "see who else writes into the bucket, then try again",
                )
            stale[copy.key] = Stale(kept.seq, replace(kept.file, etag=etag))
        return replace(prepared, plan=replace(prepared.plan, stale=stale))

    # --- the switch

    def _switch(self, prepared: Prepared) -> None:
        plan = prepared.plan
        manifest = self._manifest(prepared)
        self._write(manifest, self.report.intend, "the release that comes")
        self._switching = manifest
        self.report.keep(switched=True)
        self._release_list(prepared)
        etags = self._change_pages(prepared)
        files = _with_etags(manifest.files, etags)
        invalidation = manifest.invalidation
        if invalidation is not None:
            invalidation = replace(invalidation, id=self._invalidate(invalidation))
        self._delete(plan.deletes)
        live = replace(
            manifest,
            state=SiteState.LIVE,
            files=files,
            deletes=(),
            invalidation=invalidation,
        )
        self._write(live, self.report.intend, "the release that is live")

    def _manifest(self, prepared: Prepared) -> SiteManifest:
        """The manifest while pages are changed."""
        plan = prepared.plan
        changed = (*plan.pages, *(copy.key for copy in plan.copies))
        invalidation: Invalidation | None = None
        if plan.invalidate and self.distribution is not None:
            invalidation = Invalidation(self._reference(plan.invalidate), plan.invalidate)
        return SiteManifest(
            format=FORMAT,
            state=SiteState.SWITCHING,
            token=self.job.token,
            release=prepared.release,
            files=dict(plan.files),
            stale=dict(plan.stale),
            releases=plan.releases,
            changing=prepared.changing,
            pages=tuple(sorted(set(changed))),
            deletes=plan.deletes,
            invalidation=invalidation,
        )

    def _reference(self, paths: Sequence[str]) -> str:
        """How CloudFront knows the invalidation: it takes no other paths under the same name."""
        digest = hashlib.sha256("\n".join(paths).encode()).hexdigest()
        return f"toolkit-{self.job.token}-{digest[:12]}"

    def _change_pages(self, prepared: Prepared) -> dict[str, str]:
        """Upload and copy what is served from now on, in order: scripts and the like, pages, the
        first page. Returns key -> etag.
        """
        plan, index = prepared.plan, self.job.settings.index
        copies = {copy.key: copy for copy in plan.copies}
        if plan.pages:
            self.report.intend("s3:PutObject", **self._many(plan.pages[-1], len(plan.pages)))
        if copies:
            self.report.intend("s3:CopyObject", **self._many(min(copies), len(copies)))
        etags: dict[str, str] = {}
        for keys in plans.waves((*plan.pages, *copies), index):
            self.report.phase(f"replacing {count(len(keys), 'file')}")
            self._check_ours()
            change = partial(self._change, prepared, copies)
            etags |= parallel.run(keys, change, self._beat)
        return etags

    def _change(self, prepared: Prepared, copies: Mapping[str, Copy], key: str) -> str:
        if self.ports.clock.elapsed() >= self._written_at + state.BUSY_S / 2:
            self._check_ours()  # a machine that has slept may have been overtaken
        copy = copies.get(key)
        if copy is None:
            return self._put(prepared, key)
        etag = self.objects.copy(copy.source, copy.etag, key, dict(copy.file.headers))
        if etag is not None:
            return etag
        # Somebody has changed it since it was listed.
        if key in prepared.sources:
            return self._put(prepared, key)
        raise state.gone(self.job)

    def _invalidate(self, invalidation: Invalidation) -> str:
        """Have CloudFront forget what has changed."""
        assert self.distribution is not None  # noqa: S101 (else nothing is to be forgotten)
        name = self.distribution.id
        begin = preview.served_below(self.job.settings, self.distribution)
        paths = plans.invalidation_paths(invalidation.paths, begin)
        while True:
            self.report.phase("invalidating the distribution")
            self._beat()
            self._check_ours()
            self.report.intend(
                "cloudfront:CreateInvalidation", distribution=name, paths=" ".join(paths)
            )
            try:
                return distributions.invalidate(self.aws, name, invalidation.reference, paths)
            except distributions.TooManyInvalidations:
                why = "CloudFront has too many invalidations in progress"
                self._wait(INVALIDATION_PAUSE_S, why)

    def _delete(self, keys: Sequence[str]) -> None:
        """Delete what no release that is kept has."""
        for batch in objects.batches(keys):
            self.report.phase(f"deleting {count(len(batch), 'file')} of old releases")
            self._beat()
            self._check_ours()
            self.report.intend("s3:DeleteObjects", **self._many(batch[0], len(batch)))
            for key, code in self.objects.delete(batch):
                raise CloudError(call="s3:DeleteObjects", reason=f"{code} for {key}")

    # --- calls

    def _upload(
        self, prepared: Prepared, keys: Sequence[str], intend: Callable[..., None]
    ) -> dict[str, str]:
        total = len(keys)
        intend("s3:PutObject", **self._many(keys[0], total))
        self.report.phase(f"uploading {count(total, 'file')}")

        def progress(done: int) -> None:
            self.report.phase(f"uploading {done} of {count(total, 'file')}")

        return parallel.run(keys, partial(self._put, prepared), self.report.check, progress)

    def _put(self, prepared: Prepared, key: str) -> str:
        file, source = prepared.plan.files[key], prepared.sources[key]
        try:
            with open(source.path, "rb") as opened:
                body = opened.read() if file.size <= objects.IN_MEMORY else opened
                return self.objects.put(key, body, file.size, file.digest, dict(file.headers))
        except OSError as problem:
            raise _changed(key) from problem
        except CloudError as problem:
            if problem.aws_code in ("BadDigest", "XAmzContentChecksumMismatch"):
                raise _changed(key) from None
            raise

    def _copy(self, copies: Sequence[Copy]) -> dict[Copy, str | None]:
        def copied(copy: Copy) -> str | None:
            return self.objects.copy(copy.source, copy.etag, copy.key, dict(copy.file.headers))

        return parallel.run(copies, copied, self.report.check)

    def _write(
        self, document: SiteManifest | ClaimOnly, intend: Callable[..., None], what: str
    ) -> None:
        """Write the manifest over the one that was read. Raises Superseded, Refused where somebody
        else has written it since.
        """
        body = encode(document)
        intend("s3:PutObject", **self._what(KEY), content=what)
        etag = self.objects.replace(KEY, body, self.etag)
        if etag is None:
            # Perhaps it was ours, and only the answer to it was lost.
            present = self.objects.body(KEY, len(body))
            if present is None or present[0] != body:
                raise self._overtaken()
            etag = present[1]
        self.etag = etag
        self._written_at = self.ports.clock.elapsed()

    def _beat(self) -> None:
        """Say from time to time that the switch goes on, so that nobody takes over: to be called
        again and again while it does. Raises Superseded, Refused where somebody has.
        """
        self.report.check()
        if self.ports.clock.elapsed() < self._written_at + BEAT_S:
            return
        with self._lock:
            self._switching = replace(self._switching, beats=self._switching.beats + 1)
            self._write(self._switching, self.report.intend, "that its switch goes on")

    def _check_ours(self) -> None:
        """Raises Superseded, Refused where somebody has taken over since the last sign of life."""
        with self._lock:
            present = self.objects.body(KEY, 0)
            if present is None or present[1] != self.etag:
                raise self._overtaken()

    def _overtaken(self) -> Exception:
        manifest, _ = state.read_manifest(self.objects)
        live = manifest if isinstance(manifest, SiteManifest) else None
        claim = manifest.claim if manifest is not None else None
        if claim is None and live is not None:
            return self._superseded(live)
        who = f"run {claim.run}" if claim is not None else "someone else"
        return Refused(
            f"{who} is deploying this site too, and started after this run",
            "wait for it to end, then deploy again",
        )

    def _superseded(self, live: SiteManifest | None) -> Superseded:
        what = live.release.version if live is not None else "another release"
        return Superseded(what=what, target=self.job.target)

    def _what(self, key: str) -> dict[str, str]:
        return {"bucket": self.objects.bucket, "key": f"{self.objects.prefix}{key}"}

    def _many(self, key: str, number: int) -> dict[str, str]:
        """The parameters of calls that only differ by the key."""
        return {**self._what(key), "objects": str(number)}


def _with_etags(files: Mapping[str, SiteFile], etags: Mapping[str, str]) -> dict[str, SiteFile]:
    return {
        key: replace(file, etag=etags[key]) if key in etags else file for key, file in files.items()
    }


def _md5(path: str) -> str:
    """How S3 calls the content of a file that was put there in one call, without a key of KMS."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()


def _changed(key: str) -> Refused:
    return Refused(
        f"{key} was changed while it was being deployed", "deploy again once the build is over"
    )
