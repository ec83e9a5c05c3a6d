"""Where a stack's template comes from: a file of the repository, or a CDK app; and what has to lie
in S3 before it is deployed.
"""

import functools
import hashlib
import tempfile
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from toolkit.errors import CloudError, Missing, NoTemplate, Refused, Unexpected
from toolkit.operations import Job
from toolkit.ports import cdk, cdk_assembly, cdk_order, files, usage
from toolkit.ports.aws.client import Aws, same_account
from toolkit.ports.aws.names import bucket_and_prefix, suffix
from toolkit.ports.ports import Ports
from toolkit.ports.program_runs import ProgramLog
from toolkit.targets.base import Report
from toolkit.targets.stack import packaging
from toolkit.targets.stack import template as templates
from toolkit.targets.stack.observe import stack_name

BOOTSTRAP = "cdk-hnb659fds-assets-{account}-{region}"
"""The bucket that `cdk bootstrap` makes where nobody chose another name."""


class ChangeSetSource(Struct, frozen=True):
    """Everything that a change set is made of. `template` is the parsed text if it is JSON; `url`
    is there if it is too long to be sent.
    """

    name: str
    account: str
    region: str
    text: str
    template: Mapping[str, Any] | None
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    role: str | None
    protected: bool
    assets: tuple[cdk_assembly.CdkAsset, ...]
    stored: cdk_assembly.CdkAsset | None
    warnings: tuple[str, ...] = ()
    """What a person has to know of it before it is deployed."""
    before: tuple[cdk_order.StackPlace, ...] = ()
    """The stacks that have to be deployed first, as the CDK app says."""
    assembly: str = ""
    """The folder that the CDK app's stacks are in; empty for a plain template."""

    @property
    def template_argument(self) -> dict[str, str]:
        """How CloudFormation is given the template."""
        if self.stored is None:
            return {"TemplateBody": self.text}
        return {
            "TemplateURL": (
                f"https://s3.{self.region}.{suffix(self.region)}/{self.stored.bucket}/{self.stored.key}"
            )
        }


def load_source(job: Job, ports: Ports, log: ProgramLog) -> ChangeSetSource:
    """Read the template, or have the CDK app make it. Raises a ToolkitError for what is known to
    fail.
    """
    aws = ports.aws(job.location)
    account, region = aws.account(), aws.region_name
    same_account(account, job.location)
    if job.settings.cdk:
        source = _from_cdk(job, ports, aws, account, region, log)
    else:
        source = _from_file(job, ports, aws, account, region)
    if len(source.text.encode()) > templates.LONGEST:
        raise Refused(
            f"the template of {source.name} is longer than 1 MB", "split it into nested stacks"
        )
    return source


def _from_cdk(
    job: Job, ports: Ports, aws: Aws, account: str, region: str, log: ProgramLog
) -> ChangeSetSource:
    settings = job.settings
    app = cdk.CdkApp(
        ports.root, settings.cdk, job.location, account, region, settings.context, settings.pass_env
    )
    assembly = cdk.synthesized(app, ports.cache, log)
    artifact = cdk_assembly.artifact(assembly, stack_name(job), account, region, cdk.is_strict(app))
    _refuse_without_bootstrap(aws, artifact, job, account, region)
    text = artifact.template
    stored = None
    if len(text.encode()) > templates.INLINE:
        if artifact.stored is None:
            problem = f"the template of {artifact.name} is too long to be sent"
            raise Refused(problem, "use the CDK's default synthesizer: it stores templates in S3")
        stored = cdk_assembly.CdkAsset("template", "", "text", *artifact.stored, text)
    return ChangeSetSource(
        artifact.name,
        account,
        region,
        text,
        templates.parse_json(text),
        {**artifact.parameters, **settings.parameters},
        artifact.tags,
        artifact.role,
        artifact.protected,
        artifact.assets,
        stored,
        artifact.warnings,
        cdk_order.stacks_before(assembly, artifact.name),
        assembly,
    )


def _from_file(job: Job, ports: Ports, aws: Aws, account: str, region: str) -> ChangeSetSource:
    settings = job.settings
    text = template_text(ports.root, settings.template)
    where = functools.cache(lambda: _store(job, aws, account, region))
    packaged = packaging.package_template(ports.root, settings.template, text, where)
    stored = None
    if len(packaged.text.encode()) > templates.INLINE:
        bucket = where()
        digest = hashlib.sha256(packaged.text.encode()).hexdigest()
        key = f"{bucket.prefix}templates/{digest}.template"
        stored = cdk_assembly.CdkAsset("template", "", "text", bucket.name, key, packaged.text)
    return ChangeSetSource(
        stack_name(job),
        account,
        region,
        packaged.text,
        templates.parse_json(packaged.text),
        settings.parameters,
        {},
        None,
        False,
        packaged.assets,
        stored,
        packaged.notes,
    )


def template_text(root: str, path: str) -> str:
    """The text of a template in the repository. Raises NoTemplate."""
    text = files.text_inside(root, path, templates.LONGEST)
    if text is None:
        raise NoTemplate(
            path=path,
            reason="it is missing, longer than 1 MB, no text, or a link that leaves the repository",
        )
    return text


def _store(job: Job, aws: Aws, account: str, region: str) -> packaging.PackageBucket:
    """Where long templates and packages go: the environment's store, else what `cdk bootstrap`
    made. Raises Refused.
    """
    if job.location.store:
        return _bucket(*bucket_and_prefix(job.location.store), region)
    name = BOOTSTRAP.format(account=account, region=region)
    try:
        aws.read("s3", "head_bucket", Bucket=name, ExpectedBucketOwner=account)
    except CloudError:
        why = f"is longer than {templates.INLINE} bytes, or names local files"
        raise Refused(
            f"the template {job.settings.template} {why}, and there is no bucket for them",
            'add `store = "s3://bucket/prefix"` to the environment in rules.toml',
        ) from None
    return _bucket(name, "toolkit/", region)


def _bucket(name: str, prefix: str, region: str) -> packaging.PackageBucket:
    return packaging.PackageBucket(name, prefix, f"https://s3.{region}.{suffix(region)}/{name}/")


def environment_warnings(job: Job, ports: Ports) -> list[str]:
    """What a CDK app is not given of our environment, where it is seen to read it. Of several
    stacks the step of all together says it.
    """
    if not job.settings.cdk or job.part:
        return []
    location, settings = job.location, job.settings
    app = cdk.CdkApp(
        ports.root,
        settings.cdk,
        location,
        location.account or "",
        location.region or "",
        settings.context,
        settings.pass_env,
    )
    return cdk.not_handed_on(app)


def _refuse_without_bootstrap(
    aws: Aws, artifact: cdk_assembly.StackArtifact, job: Job, account: str, region: str
) -> None:
    """The roles and the bucket that a CDK app counts on are there if the version of their stack
    is.
    """
    if artifact.bootstrap is None:
        return
    parameter, required = artifact.bootstrap
    try:
        version = int(aws.read("ssm", "get_parameter", Name=parameter)["Parameter"]["Value"])
    except CloudError as problem:
        if problem.aws_code == "ParameterNotFound":
            raise cdk_assembly.not_bootstrapped(
                account, region, job.location.profile, parameter
            ) from None
        raise
    except ValueError:
        raise Unexpected(
            call="ssm:GetParameter", reason=f"the version in {parameter} is not a number"
        ) from None
    if version < required:
        raise Refused(
            f"the CDK bootstrap of account {account} in {region} has version {version}, the app"
            f" needs {required}",
            (
                "run:",
                cdk_assembly.bootstrap_command(account, region, job.location.profile, parameter),
            ),
        )


def artifacts(source: ChangeSetSource) -> dict[str, str]:
    """What was built for a stack: the name of each asset and its key, which holds its content's
    digest.
    """
    by_name: dict[str, str] = {}
    for asset in source.assets:
        # two assets may be called the same
        name = asset.key if asset.name in by_name else asset.name
        by_name[name] = asset.key
    return by_name


def missing_assets(aws: Aws, source: ChangeSetSource) -> list[cdk_assembly.CdkAsset]:
    """What is not in its bucket yet. A key holds its content's digest, so that what is there is
    right. Raises CloudError.
    """
    assets = list(source.assets)
    if source.stored is not None:
        assets.append(source.stored)
    return [asset for asset in assets if not _exists(aws, asset, source.account)]


def _exists(aws: Aws, asset: cdk_assembly.CdkAsset, account: str) -> bool:
    try:
        aws.read(
            "s3", "head_object", Bucket=asset.bucket, Key=asset.key, ExpectedBucketOwner=account
        )
    except CloudError as problem:
        if problem.aws_code in ("404", "NoSuchKey", "NotFound"):
            return False
        raise
    return True


def upload(aws: Aws, source: ChangeSetSource, asset: cdk_assembly.CdkAsset, report: Report) -> None:
    """Put one asset into its bucket, if that bucket belongs to the account. Raises CloudError,
    Stopped.
    """
    with tempfile.TemporaryFile() as body:
        if asset.packaging == "text":
            body.write(asset.text.encode())
        else:
            cdk.pack(asset, body)
        size = body.tell()
        body.seek(0)
        report.phase(f"uploading {asset.name}")
        report.prepare("s3:PutObject", bucket=asset.bucket, key=asset.key)
        try:
            aws.write(
                "s3",
                "put_object",
                tokened=True,
                Bucket=asset.bucket,
                Key=asset.key,
                Body=body,
                ContentLength=size,
                ExpectedBucketOwner=source.account,
            )
        except CloudError as problem:
            if problem.aws_code == "NoSuchBucket":
                raise Missing(what="bucket", name=asset.bucket, where="") from None
            raise
        usage.sent(size)
