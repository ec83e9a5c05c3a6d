"""How a deploy of a site stands: by the manifest, by CloudFront's invalidation, and by what is
served at the changed addresses.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from toolkit.advice import NextCommand, ShellCommand
from toolkit.errors import CloudError, Missing, ProbeError, ProbeRefused, Refused
from toolkit.operations import Job, LiveVersion, Observation, StepState, Verdict
from toolkit.ports.aws import distributions
from toolkit.ports.aws.objects import Objects
from toolkit.ports.background import BackgroundTask, Timeout
from toolkit.ports.net import http
from toolkit.ports.net.policy import CONNECT_TO, Policy, parse_instead
from toolkit.ports.ports import Ports
from toolkit.targets.site import build, preview, state
from toolkit.targets.site.headers import is_page
from toolkit.targets.site.manifest import (
    MOST,
    SiteFile,
    SiteManifest,
    SiteState,
    decode_release,
    release_key,
)
from toolkit.targets.site.plan import PlanRequest, plan
from toolkit.targets.site.settings import SiteSettings

MOST_PAGES = 20
"""So many changed pages are asked for, the first page first."""
LARGEST_PAGE = 16 << 20
LAG_S = 30.0
"""How long other content may be served after the invalidation, in seconds."""
ASK_S = 10.0
RESTORABLE_S = 60.0
"""How long the lists of all earlier releases may take to be read, in seconds."""


class _Mark(Struct, frozen=True):
    """What the next look has to know: since when another content is served, by our clock, and how
    many pages were seen as they have to be.
    """

    since: float | None = None
    seen: int = 0


def observe(
    job: Job, receipt: Mapping[str, Any], ports: Ports, before: Observation | None
) -> Observation:
    """See targets/base.py."""
    aws = ports.aws(job.location)
    objects = state.objects_of(job, aws)
    manifest, _ = state.read_manifest(objects)
    now = state.live_version(manifest)
    if receipt.get("unchanged"):
        return Observation(StepState.DONE, Verdict.UNCHANGED, phase="unchanged", live=now)
    if not isinstance(manifest, SiteManifest) or manifest.token != job.token:
        if state.is_superseded(receipt, manifest):
            what = "another release" if now is None else now.version or "another release"
            return Observation(
                StepState.FAILED,
                Verdict.SUPERSEDED,
                cause=f"someone else has deployed {what} since",
                next=NextCommand("health", (job.target,)),
            )
        # S3 shows what it has accepted at once.
        return Observation(StepState.ABSENT, sure=True)
    if manifest.state is not SiteState.LIVE:
        return Observation(StepState.ABSENT, phase="some pages are replaced", sure=True)
    invalidation = manifest.invalidation
    try:
        if invalidation is not None and not distributions.is_invalidated(
            aws, job.settings.distribution, invalidation.id
        ):
            return Observation(StepState.RUNNING, phase="CloudFront is forgetting the old pages")
        base = address_of(job, ports)
    except Missing as problem:
        cause = f"the release is in the bucket, but {problem}"
        return Observation(StepState.FAILED, Verdict.FAILED, cause=cause, next=problem.next)
    return _verified(job, ports, objects, manifest, before, base)


def _verified(
    job: Job,
    ports: Ports,
    objects: Objects,
    manifest: SiteManifest,
    before: Observation | None,
    base: str,
) -> Observation:
    """Whether the changed pages are served as they were deployed: at `base`, or, where that is
    empty, as far as the bucket says.
    """
    mark = _Mark()
    if before is not None and isinstance(before.mark, _Mark):
        mark = before.mark
    pages = _changed_pages(job, manifest)
    seen = mark.seen
    for key in pages[seen:]:
        problem = _mismatch(job, base, objects, key, manifest.files[key])
        if problem:
            return _mismatched(job, ports, mark, seen, problem)
        seen += 1
    phase = "the release is in the bucket"
    if pages:
        phase = f"the changed pages are {'served' if base else 'in the bucket'} as deployed"
    now = state.live_version(manifest)
    return Observation(StepState.DONE, Verdict.SUCCEEDED, phase=phase, live=now)


def _mismatched(job: Job, ports: Ports, mark: _Mark, seen: int, problem: str) -> Observation:
    clock = ports.clock.elapsed()
    since = mark.since
    if since is None or seen > mark.seen:
        since = clock
    if clock - since < LAG_S:
        return Observation(StepState.RUNNING, phase=f"waiting: {problem}", mark=_Mark(since, seen))
    name = job.settings.distribution
    advice: Any = "see what serves the site, and whether it reads this bucket and prefix"
    if name:
        look = ShellCommand("aws cloudfront get-distribution-config --id", (name,))
        advice = ("see what the distribution serves, and how long it may keep it:", look)
    return Observation(
        StepState.FAILED,
        Verdict.FAILED,
        cause=f"the release is in the bucket, but {problem}",
        next=advice,
        mark=_Mark(since, seen),
    )


def _changed_pages(job: Job, manifest: SiteManifest) -> Sequence[str]:
    """The pages to look at, the first page first; that alone where none has changed."""
    index = job.settings.index
    pages = [key for key in manifest.pages if is_page(key) and key in manifest.files]
    if index in manifest.files and index not in pages:
        pages.append(index)
    pages.sort(key=lambda key: (key != index, key))
    small = [key for key in pages if manifest.files[key].size <= LARGEST_PAGE]
    return small[:MOST_PAGES]


def _mismatch(job: Job, base: str, objects: Objects, key: str, file: SiteFile) -> str:
    """How what is served differs from what was deployed; empty if it does not."""
    if base:
        url = f"{base}{quote(key, safe='/~')}"
        try:
            answer = http.ask(_page_request(url, file), _policy(url), ASK_S)
        except (ProbeError, ProbeRefused) as problem:
            return f"{url} could not be checked: {problem}"
        if answer.status != 200:
            return f"{url} answers {answer.status}"
        if hashlib.sha256(answer.body).hexdigest() != file.digest:
            return f"{url} has different content"
        return ""
    stored = objects.body(key, file.size)
    if stored is None:
        return f"{objects.address(key)} is gone"
    if hashlib.sha256(stored[0]).hexdigest() != file.digest:
        return f"{objects.address(key)} has different content"
    return ""


def _page_request(url: str, file: SiteFile) -> http.HttpRequest:
    """What asks for a page as it lies in the bucket, where it may be packed."""
    most, encoding = file.size + 1, dict(file.headers).get("ContentEncoding")
    if encoding is None:
        return http.HttpRequest("GET", url, most_body=most)
    accept = {"Accept-Encoding": encoding}
    return http.HttpRequest("GET", url, accept, most_body=most, unpacks=False)


def _policy(url: str) -> Policy:
    """Only the site's own host is asked; what stands in its place is the person's choice."""
    host = urlsplit(url).hostname or ""
    return Policy((host,), instead=parse_instead(os.environ.get(CONNECT_TO, "")))


def address_of(job: Job, ports: Ports) -> str:
    """Where the files of the site are served, with a slash at the end; empty where that is only
    known of AWS's own endpoint.
    """
    settings: SiteSettings = job.settings
    aws = ports.aws(job.location)
    if settings.url is not None:
        return f"{settings.url.rstrip('/')}/"
    distribution = preview.required_distribution(job, aws)
    if distribution is None or ports.endpoint(job.location.profile) is not None:
        return ""
    path = quote(preview.served_below(settings, distribution), safe="/~")
    return f"https://{distribution.domain}{path}"


def live(job: Job, ports: Ports) -> LiveVersion | None:
    """See targets/base.py. What was changed outside toolkit makes it outdated."""
    objects = state.objects_of(job, ports.aws(job.location))
    manifest, etag = state.read_manifest(objects)
    version = state.live_version(manifest, state.is_at_work(objects, manifest))
    change = state.changed_outside(objects, manifest, etag)
    if version is None or change is None:
        return version
    return replace(version, outdated=str(change))


def uses_current_outputs(job: Job, ports: Ports) -> bool | None:
    """See targets/base.py."""
    manifest, _ = state.read_manifest(state.objects_of(job, ports.aws(job.location)))
    if not isinstance(manifest, SiteManifest) or manifest.state is not SiteState.LIVE:
        return None
    inputs = build.read_inputs(job, ports)
    if inputs.missing:
        return None
    return manifest.release.inputs == inputs.digest


def outputs(job: Job, ports: Ports) -> dict[str, str]:
    """See targets/base.py."""
    address = address_of(job, ports)
    if not address:
        return {}
    return {"Url": address}


def restorable(
    job: Job, details: Sequence[Mapping[str, str]], ports: Ports
) -> tuple[bool | None, ...]:
    """See targets/base.py."""
    objects = state.objects_of(job, ports.aws(job.location))
    try:
        contents = state.read_contents(objects)
    except Refused:
        return tuple(None for _ in details)
    names = {detail.get("release", "") for detail in details} - {""}
    listed = {name for name in names if release_key(name) in contents.bucket.etags}
    tasks = {
        name: BackgroundTask(partial(_is_whole, job, ports, objects, contents, name))
        for name in listed
    }
    until = ports.clock.elapsed() + RESTORABLE_S
    whole: dict[str, bool | None] = dict.fromkeys(names, False)
    for name, task in tasks.items():
        try:
            whole[name] = task.within(until - ports.clock.elapsed())
        except (CloudError, Refused, Timeout):
            whole[name] = None
    return tuple(whole.get(detail.get("release", ""), False) for detail in details)


def _is_whole(
    job: Job, ports: Ports, objects: Objects, contents: state.SiteContents, release: str
) -> bool:
    """Whether everything that a release needs is in the bucket."""
    document = objects.body(release_key(release), MOST)
    if document is None:
        return False
    stored = decode_release(document[0], objects.address(release_key(release)))
    request = PlanRequest(
        release=release,
        token=job.token,
        files=stored.files,
        keep=job.settings.keep,
        now=ports.clock.now(),
        index=job.settings.index,
        restore=True,
    )
    return not plan(request, contents.bucket).gone
