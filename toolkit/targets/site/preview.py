"""What a deploy of a site would do, and what is known to fail before it is begun."""

from collections.abc import Sequence

from toolkit.errors import Missing
from toolkit.operations import Job, PlannedCall, Preview
from toolkit.ports import commands
from toolkit.ports.aws import distributions
from toolkit.ports.aws.client import Aws, check_account
from toolkit.ports.aws.distributions import Distribution
from toolkit.ports.ports import Ports
from toolkit.targets.site import build, state
from toolkit.targets.site import plan as plans
from toolkit.targets.site.manifest import KEY, OWN, SiteState, release_key
from toolkit.targets.site.settings import SiteSettings, folder_prefix
from toolkit.targets.site.state import Prepared, SiteContents


def preview(job: Job, ports: Ports) -> Preview:
    """See targets/base.py."""
    aws = ports.aws(job.location)
    check_account(aws, job.location)
    distribution = required_distribution(job, aws)
    objects = state.objects_of(job, aws)
    contents = state.read_contents(objects)
    live = state.live_version(contents.bucket.manifest)
    if state.is_rollback(job):
        prepared = state.prepare_rollback(job, ports, objects, contents)
    elif job.settings.build is not None:
        return _preview_of_build(job, ports, contents)
    else:
        prepared = state.prepare_deploy(job, ports, contents, "", commands.never_stopped)
    if prepared.unchanged and not job.options.force:
        return Preview((), unchanged=True, live=live)
    warnings = [*drift_warnings(prepared)]
    if job.version.dirty and not state.is_rollback(job):
        warnings.append(f"the files are not as committed: the version is {job.version.name}")
    if question := adoption_question(job, prepared):
        warnings.append(_adoption_warning(job, question))
    return Preview(_calls(job, distribution, prepared), tuple(warnings), live=live)


def _preview_of_build(job: Job, ports: Ports, contents: SiteContents) -> Preview:
    """What is uploaded shows after the build only."""
    settings: SiteSettings = job.settings
    live = state.live_version(contents.bucket.manifest)
    inputs = build.read_inputs(job, ports)
    if not inputs.missing:
        build.find(job, inputs, ports.root)
        if is_built(job, ports, contents, inputs.digest):
            return Preview((), unchanged=True, live=live)
    calls = [
        PlannedCall("run", {"command": build.words(job)}),
        PlannedCall("s3:PutObject", {"bucket": settings.bucket, "files": "what has changed"}),
    ]
    if settings.distribution:
        what = {"distribution": settings.distribution, "paths": "those of changed pages"}
        calls.append(PlannedCall("cloudfront:CreateInvalidation", what))
    warnings = [
        f"{target} has no output {name} yet, which the build needs"
        for target, name in inputs.missing
    ]
    if question := _bucket_question(job, contents):
        warnings.append(_adoption_warning(job, question))
    return Preview(tuple(calls), tuple(warnings), live=live, builds=True)


def is_built(job: Job, ports: Ports, contents: SiteContents, inputs: str) -> bool:
    """Whether what is live was built from the very same, and all of it is still there."""
    live = contents.bucket.live
    if live is None or live.state is not SiteState.LIVE or job.options.force:
        return False
    wanted = state.release_of(job, ports, 0, inputs, "")
    if not job.version.fingerprint or not state.is_version(live.release, wanted):
        return False
    return not contents.bucket.differing


def _bucket_question(job: Job, contents: SiteContents) -> str:
    """What a person is asked where the bucket is not this target's; empty if it is."""
    bucket = contents.bucket
    where = f"s3://{job.settings.bucket}/{folder_prefix(job.settings.prefix)}"
    if bucket.manifest is None and any(not key.startswith(OWN) for key in bucket.etags):
        return f"{where} has files that toolkit never deployed; deploy over them?"
    owner = bucket.live.release.target if bucket.live is not None else ""
    if owner not in ("", job.target):
        return f"{where} has target {owner[:50]}; replace it by {job.target}?"
    return ""


def adoption_question(job: Job, prepared: Prepared) -> str:
    """What a person is asked before files are replaced, or joined, that this target never put
    there; empty if there are none.
    """
    if question := _bucket_question(job, prepared.contents):
        return question
    if foreign := prepared.plan.foreign:
        return f"replace {plans.named_keys(foreign)}, which toolkit never deployed?"
    return ""


def _adoption_warning(job: Job, question: str) -> str:
    answer = "confirm it with --adopt"
    if job.options.adopt:
        answer = "--adopt confirms it"
    return f"{question.rstrip('?')}: {answer}"


def drift_warnings(prepared: Prepared) -> list[str]:
    """What was changed outside of toolkit, and gives way."""
    drifted = prepared.plan.drifted
    if not drifted:
        return []
    return [
        f"changed or deleted outside toolkit, and will be replaced: {plans.named_keys(drifted)}"
    ]


def required_distribution(job: Job, aws: Aws) -> Distribution | None:
    """The site's distribution; None where rules.toml names none. Raises Missing where there is no
    such distribution, CloudError.
    """
    name: str | None = job.settings.distribution
    if not name:
        return None
    distribution = distributions.distribution(aws, name)
    if distribution is None:
        raise Missing(what="distribution", name=name, where="")
    return distribution


def served_below(settings: SiteSettings, distribution: Distribution) -> str:
    """What is between the address of a distribution and a key of the site: `/`, or `/app/`."""
    begin = f"/{folder_prefix(settings.prefix)}"
    for origin in distribution.origins:
        # Where the origin has a path, addresses are without it.
        path = f"{origin.path.rstrip('/')}/"
        if origin.domain.startswith(f"{settings.bucket}.s3") and begin.startswith(path):
            return begin.removeprefix(path.rstrip("/"))
    return begin


def _calls(
    job: Job, distribution: Distribution | None, prepared: Prepared
) -> tuple[PlannedCall, ...]:
    """The calls of a deploy, in order; those that differ by the key only are one."""
    settings, plan = job.settings, prepared.plan
    calls: list[PlannedCall] = []

    def add(name: str, keys: Sequence[str]) -> None:
        what = {"bucket": settings.bucket, "key": f"{folder_prefix(settings.prefix)}{keys[-1]}"}
        if len(keys) > 1:
            what["objects"] = str(len(keys))
        calls.append(PlannedCall(name, what))

    if plan.assets:
        add("s3:PutObject", (KEY,))
        add("s3:PutObject", plan.assets)
    if plan.archives:
        add("s3:CopyObject", [copy.key for copy in plan.archives])
    add("s3:PutObject", (KEY,))
    if not state.is_rollback(job):
        add("s3:PutObject", (release_key(prepared.release.id),))
    if plan.pages:
        add("s3:PutObject", plan.pages)
    if plan.copies:
        add("s3:CopyObject", [copy.key for copy in plan.copies])
    if plan.invalidate and distribution is not None:
        paths = plans.invalidation_paths(plan.invalidate, served_below(settings, distribution))
        what = {"distribution": distribution.id, "paths": " ".join(paths)}
        calls.append(PlannedCall("cloudfront:CreateInvalidation", what))
    if plan.deletes:
        add("s3:DeleteObjects", plan.deletes)
    add("s3:PutObject", (KEY,))
    return tuple(calls)
