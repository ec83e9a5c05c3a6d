"""The IAM statements that deploying a stack needs. Pure."""

import re

from toolkit.operations import Job, Location, Statement
from toolkit.ports.aws.names import arn, bucket_and_prefix, suffix
from toolkit.targets import alarms
from toolkit.targets.stack import patterns
from toolkit.targets.stack.observe import stack_name

_STACK = (
    "DescribeStacks",
    "DescribeStackEvents",
    "DescribeStackResources",
    "DescribeEvents",
    "GetTemplate",
    "CreateChangeSet",
    "DescribeChangeSet",
    "ExecuteChangeSet",
    "DeleteChangeSet",
    "DeleteStack",
    "RollbackStack",
    "ContinueUpdateRollback",
    "CancelUpdateStack",
    "TagResource",
)

_NESTED = (
    "cloudformation:DescribeStackEvents",
    "cloudformation:DescribeEvents",
    "cloudformation:DescribeStackResources",
)
QUALIFIER, USUAL = "@aws-cdk/core:bootstrapQualifier", "hnb659fds"
"""The context key by which a CDK app names another bootstrap, and the default one."""


def statements(job: Job) -> tuple[Statement, ...]:
    """See targets/base.py."""
    several = job.settings.stacks is not None
    names = patterns.iam_names(job.settings) if several else (stack_name(job),)
    what = "stacks" if several else "stack"
    stack_arn = arn(job.location, "cloudformation", "")
    if job.settings.cdk:
        whose = "its resources are created by the CDK's execution role"
    else:
        whose = (
            "its resources are created with the caller's own permissions, which have to be added"
        )
    actions = (*_STACK, "UpdateTerminationProtection") if job.settings.cdk else _STACK
    needed = [
        Statement(
            f"deploy {what} {', '.join(names)}; {whose}",
            tuple(f"cloudformation:{action}" for action in actions),
            (*(f"{stack_arn}stack/{name}/*" for name in names), f"{stack_arn}changeSet/tk-*"),
        ),
        Statement(
            "read its nested stacks; AWS chooses the end of their names",
            _NESTED,
            tuple(f"{stack_arn}stack/{name}-*/*" for name in names),
        ),
        Statement(
            "read a template's parameters before there is a stack, and watch several stacks with"
            " one call",
            ("cloudformation:GetTemplateSummary", "cloudformation:DescribeStacks"),
        ),
    ]
    needed += [
        Statement(
            "`diff live --drift`, which also needs to read the stack's resources",
            (
                "cloudformation:DetectStackDrift",
                "cloudformation:ListStackResources",
                "cloudformation:DescribeStackResourceDrifts",
            ),
            tuple(f"{stack_arn}stack/{name}{end}/*" for name in names for end in ("", "-*")),
        ),
        Statement(
            "the same, by the id of a detection",
            ("cloudformation:DescribeStackDriftDetectionStatus",),
        ),
    ]
    named = job.settings.context.get(QUALIFIER, USUAL)
    qualifier = named if re.fullmatch(r"[A-Za-z0-9_-]{1,10}", named) else USUAL
    needed += _cdk(job.location, qualifier) if job.settings.cdk else _store(job.location)
    needed += _images(job.location)
    if job.settings.alarms:
        needed.append(alarms.STATEMENT)
    return tuple(needed)


def _cdk(location: Location, qualifier: str) -> list[Statement]:
    region, account = location.region or "*", location.account or "*"
    bucket = arn(location, "s3", f"cdk-{qualifier}-assets-{account}-{region}")
    role = arn(location, "iam", f"role/cdk-{qualifier}-cfn-exec-role-{account}-{region}")
    version = arn(location, "ssm", f"parameter/cdk-bootstrap/{qualifier}/version")
    if region.startswith("cn-"):
        service = f"cloudformation.{suffix(region)}"
    else:
        service = "cloudformation.amazonaws.com"
    return [
        Statement(
            f"check that the CDK is bootstrapped (for another qualifier than {qualifier} set "
            f"{QUALIFIER} in `context`)",
            ("ssm:GetParameter",),
            (version,),
        ),
        Statement(
            "upload assets and templates",
            ("s3:GetObject", "s3:ListBucket", "s3:PutObject"),
            (bucket, f"{bucket}/*"),
        ),
        Statement(
            "have CloudFormation use the CDK's execution role",
            ("iam:PassRole",),
            (role,),
            {"StringEquals": {"iam:PassedToService": service}},
        ),
    ]


def _store(location: Location) -> list[Statement]:
    """A long template, nested ones and local code go through the environment's store."""
    if not location.store:
        return []
    bucket, prefix = bucket_and_prefix(location.store)
    whole = arn(location, "s3", bucket)
    keys = (f"{whole}/{prefix}templates/*", f"{whole}/{prefix}artifacts/*")
    why = f"store local code, nested templates, and a template that is longer than {51_200} bytes"
    return [Statement(why, ("s3:GetObject", "s3:ListBucket", "s3:PutObject"), (whole, *keys))]


def _images(location: Location) -> list[Statement]:
    return [
        Statement(
            "warn before a stack replaces the running image by an older one",
            ("ecs:DescribeServices", "ecr:DescribeImages"),
            (
                arn(location, "ecs", "service/*"),
                arn(location, "ecr", "repository/*"),
            ),
        ),
        Statement("the same: task definitions cannot be narrowed", ("ecs:DescribeTaskDefinition",)),
        Statement(
            "warn before a stack replaces the code that deploy-function has deployed",
            ("lambda:ListAliases",),
            (arn(location, "lambda", "function:*"),),
        ),
    ]
