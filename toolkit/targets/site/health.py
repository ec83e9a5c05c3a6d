"""How a static site is now: its bucket, its first page, its distribution with its certificate, and
its alarms.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from toolkit.advice import Advice, NextCommand, ShellCommand
from toolkit.errors import CloudError, Missing, NotAllowed, ToolkitError
from toolkit.operations import Finding, HealthStatus, Job, LiveVersion
from toolkit.ports.aws import alarms as port
from toolkit.ports.aws import distributions, s3
from toolkit.ports.aws.distributions import AcmCertificate, Distribution
from toolkit.ports.aws.names import partition
from toolkit.ports.ports import Ports
from toolkit.targets import alarms, findings
from toolkit.targets.base import Tell
from toolkit.targets.site import state
from toolkit.targets.site.settings import folder_prefix
from toolkit.targets.site.state import SiteChange

SOON = timedelta(days=30)
"""ACM begins to renew a certificate 45 days or more before its end: with less left than this, that
does not go by itself.
"""
_PERMISSIONS = ("see what is needed:", NextCommand("permissions", options=("--json",)))


def report_health(job: Job, ports: Ports, tell: Tell) -> LiveVersion | None:
    """See targets/base.py."""
    live: list[LiveVersion] = []
    questions: list[tuple[str, findings.Question]] = [
        ("bucket", lambda: _bucket_findings(job, ports)),
        ("index", lambda: _page_findings(job, ports)),
        ("release", lambda: _release_findings(job, ports, live)),
        ("alarms", lambda: _alarm_findings(job, ports)),
    ]
    if job.settings.distribution:
        questions.append(("distribution", lambda: _distribution_findings(job, ports)))
    findings.ask(tell, questions)
    return next(iter(live), None)


def _bucket_findings(job: Job, ports: Ports) -> Iterator[Finding]:
    bucket = str(job.settings.bucket)
    try:
        region = s3.region(ports.aws(job.location), bucket, job.location.account)
        yield bucket_finding(bucket, region)
    except CloudError as problem:
        yield unreadable("bucket", bucket, problem, "s3:ListBucket")


def _page_findings(job: Job, ports: Ports) -> Iterator[Finding]:
    aws, bucket, owner = ports.aws(job.location), str(job.settings.bucket), job.location.account
    first = f"{folder_prefix(job.settings.prefix)}{job.settings.index}"
    try:
        when = s3.modified(aws, bucket, owner, first)
        # without a bucket, the other question says so
        if when is not None or s3.region(aws, bucket, owner) is not None:
            yield index_finding(job, first, when)
    except CloudError as problem:
        yield unreadable("index", bucket, problem, "s3:GetObject")


def _release_findings(job: Job, ports: Ports, live: list[LiveVersion]) -> Iterator[Finding]:
    """Which release is live; nothing before toolkit has deployed any."""
    bucket, objects = str(job.settings.bucket), state.objects_of(job, ports.aws(job.location))
    try:
        manifest, etag = state.read_manifest(objects)
        version = state.live_version(manifest, state.is_at_work(objects, manifest))
    except Missing:
        return  # without a bucket, the other question says so
    except CloudError as problem:
        yield unreadable("release", bucket, problem, "s3:GetObject")
        return
    if version is None:
        return
    yield release_finding(job, version)
    try:
        change = state.changed_outside(objects, manifest, etag)
    except CloudError as problem:
        live.append(version)
        yield unreadable("files", bucket, problem, "s3:ListBucket")
        return
    live.append(replace(version, outdated=str(change or "")))
    if not version.doubt:
        yield files_finding(job, change)


def _distribution_findings(job: Job, ports: Ports) -> Iterator[Finding]:
    """The distribution, and then its certificate, which is in a region of its own."""
    name = str(job.settings.distribution)
    distribution = distributions.distribution(ports.aws(job.location), name)
    yield distribution_finding(name, distribution)
    if distribution is None or not distribution.certificate:
        return
    try:
        shown = distributions.certificate(
            ports.clouds(job.location.profile, distributions.region(distribution.certificate)),
            distribution.certificate,
        )
        yield certificate_finding(distribution.certificate, shown, ports.clock.now())
    except ToolkitError as problem:
        yield findings.unknown("certificate", problem)


def _alarm_findings(job: Job, ports: Ports) -> list[Finding]:
    """The alarms of the bucket, and those of the distribution, which CloudFront has in one region
    only.
    """
    aws, named, name = ports.aws(job.location), job.settings.alarms, job.settings.distribution
    bucket = {"BucketName": str(job.settings.bucket)}
    # CloudFront writes its metrics to one region of a partition, wherever the bucket is.
    home = "us-east-1"
    if partition(aws.region_name) == "aws-cn":
        home = "cn-northwest-1"
    existing = port.named(aws, named) if named else {}
    rings = [*port.in_alarm(aws)]
    if name and home != aws.region_name:
        far = ports.clouds(job.location.profile, home)
        for alarm in port.named(far, named).values() if named else ():
            existing[alarm.name] = replace(alarm, region=home)
        rings += [replace(alarm, region=home) for alarm in port.in_alarm(far)]
    return alarms.findings_about(
        named,
        existing,
        rings,
        lambda alarm: (
            alarm.about(bucket) or bool(name and alarm.about({"DistributionId": str(name)}))
        ),
    )


def bucket_finding(bucket: str, region: str | None) -> Finding:
    """Whether there is a bucket."""
    if region is None:
        create = ShellCommand("aws s3 mb", (f"s3://{bucket}",))
        return Finding(
            "bucket",
            HealthStatus.FAILING,
            "missing",
            cause=f"there is no bucket {bucket}",
            next=("correct `bucket` in rules.toml, or create it:", create),
            common="the bucket does not exist",
        )
    return Finding("bucket", HealthStatus.OK, f"{bucket} in {region}")


def unreadable(what: str, bucket: str, problem: CloudError, action: str) -> Finding:
    """It could not be checked. S3 does not say to a HEAD whether a bucket is somebody else's or
    its policy is too narrow.
    """
    if isinstance(problem, NotAllowed):
        cause = (
            f"bucket {bucket} belongs to another account, or these credentials are not allowed to"
            f" call {action} on it"
        )
        return Finding(what, HealthStatus.UNKNOWN, "not allowed", cause=cause, next=_PERMISSIONS)
    if problem.aws_code in ("301", "PermanentRedirect"):
        locate = ShellCommand("aws s3api get-bucket-location --bucket", (bucket,))
        return Finding(
            what,
            HealthStatus.UNKNOWN,
            "in another region",
            cause=f"bucket {bucket} is in another region, and S3 does not say where",
            next=("set `regions` of the environment to its region:", locate),
        )
    return findings.unknown(what, problem)


def index_finding(job: Job, key: str, modified: datetime | None) -> Finding:
    """Whether the site has a first page."""
    if modified is None:
        return Finding(
            "index",
            HealthStatus.FAILING,
            "missing",
            cause=f"it has no {key}",
            next=("deploy it:", NextCommand("deploy-site", (job.target,))),
        )
    since = modified.astimezone(UTC).isoformat()
    return Finding("index", HealthStatus.OK, f"{key} is there", since)


def files_finding(job: Job, change: SiteChange | None) -> Finding:
    """Whether the files of the live release are as they were deployed. Without one of them
    something is not served; what has other content may be what somebody wanted.
    """
    if change is None:
        return Finding("files", HealthStatus.OK, "as deployed")
    return Finding(
        "files",
        HealthStatus.FAILING if change.missing else HealthStatus.WARNING,
        "changed outside toolkit",
        cause=str(change),
        next=("restore them:", NextCommand("deploy-site", (job.target,))),
    )


def release_finding(job: Job, version: LiveVersion) -> Finding:
    """Whether one release is live, whole."""
    if version.moving:
        watch = NextCommand("health", (job.target,), ("--watch",))
        return Finding(
            "release",
            HealthStatus.WARNING,
            "being deployed",
            cause=version.doubt,
            next=("wait for it:", watch),
        )
    if version.doubt:
        return Finding(
            "release",
            HealthStatus.FAILING,
            "incomplete",
            cause=version.doubt,
            next=("continue it:", NextCommand("resume")),
        )
    return Finding("release", HealthStatus.OK, f"deployed by run {version.run}", version.since)


def distribution_finding(name: str, distribution: Distribution | None) -> Finding:
    """Whether CloudFront serves the site."""
    if distribution is None:
        listing = ShellCommand("aws cloudfront list-distributions")
        return Finding(
            "distribution",
            HealthStatus.FAILING,
            "missing",
            cause=f"there is no distribution {name}",
            next=("correct `distribution` in rules.toml:", listing),
        )
    if distribution.changed is not None:
        since = distribution.changed.astimezone(UTC).isoformat()
    else:
        since = None
    if not distribution.enabled:
        config = ShellCommand("aws cloudfront get-distribution-config --id", (name,))
        return Finding(
            "distribution",
            HealthStatus.FAILING,
            "disabled",
            since,
            "it is disabled: CloudFront answers no requests",
            ("enable it where it is defined; how it is set now:", config),
        )
    if distribution.status != "Deployed":
        return Finding(
            "distribution",
            HealthStatus.WARNING,
            distribution.status,
            since,
            "it is being changed",
            (
                "wait for it:",
                ShellCommand("aws cloudfront wait distribution-deployed --id", (name,)),
            ),
        )
    return Finding("distribution", HealthStatus.OK, f"{distribution.domain} deployed", since)


def certificate_finding(arn: str, certificate: AcmCertificate | None, now: datetime) -> Finding:
    """For how long browsers accept its certificate. One that ends soon is still a good one: only
    its end is a failure.
    """
    where = ("--certificate-arn", arn, "--region", distributions.region(arn))
    if certificate is None:
        return Finding(
            "certificate",
            HealthStatus.FAILING,
            "missing",
            cause=f"there is no certificate {arn}",
            next="use another certificate for the distribution",
        )
    details = ShellCommand("aws acm describe-certificate", where)
    command: Advice = ("create the DNS records that ACM checks; they are listed here:", details)
    if certificate.imported:
        command = ("import a new certificate into the same ARN; how it is now:", details)
    what = f"the certificate of {certificate.domain}"
    ends = certificate.expires.astimezone(UTC) if certificate.expires is not None else None
    if ends is not None and ends <= now:
        return Finding(
            "certificate",
            HealthStatus.FAILING,
            "expired",
            ends.isoformat(),
            f"{what} expired on {ends:%Y-%m-%d}{_renewal(certificate)}",
            command,
        )
    if certificate.status != "ISSUED":
        return Finding(
            "certificate",
            HealthStatus.FAILING,
            certificate.status,
            None,
            f"{what} is {certificate.status}",
            command,
        )
    if ends is None:
        return Finding("certificate", HealthStatus.OK, "issued")
    remaining = _days(ends - now)
    detail = f"until {ends:%Y-%m-%d}, {remaining} left"
    if ends - now >= SOON:
        return Finding("certificate", HealthStatus.OK, detail)
    return Finding(
        "certificate",
        HealthStatus.WARNING,
        detail,
        None,
        f"{what} expires in {remaining}{_renewal(certificate)}",
        command,
    )


def _renewal(certificate: AcmCertificate) -> str:
    if certificate.imported:
        return "; it was imported, so ACM does not renew it"
    if certificate.renewal:
        return f"; its renewal: {certificate.renewal}"
    return "; no renewal has started"


def _days(remaining: timedelta) -> str:
    if remaining.days == 1:
        return "1 day"
    return f"{remaining.days} days"
