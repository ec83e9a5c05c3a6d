"""The IAM statements that a deploy of a function needs. Pure."""

from toolkit.operations import Job, Statement
from toolkit.ports.aws import ecr
from toolkit.ports.aws.names import arn, bucket_and_prefix
from toolkit.targets import alarms
from toolkit.targets.function.settings import FunctionSettings

_PUSH = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:CompleteLayerUpload",
    "ecr:DescribeImages",
    "ecr:DescribeRepositories",
    "ecr:GetDownloadUrlForLayer",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
)


def statements(job: Job) -> tuple[Statement, ...]:
    """See targets/base.py."""
    settings: FunctionSettings = job.settings
    name = settings.function
    function = arn(job.location, "lambda", f"function:{name}")
    needed = [
        Statement(
            f"see the state of function {name}, and which version runs",
            ("lambda:GetAlias", "lambda:GetFunctionConfiguration"),
            (function, f"{function}:*"),
        ),
        Statement(
            "change its code, publish a version, and move the alias to it",
            (
                "lambda:CreateAlias",
                "lambda:ListVersionsByFunction",
                "lambda:PublishVersion",
                "lambda:UpdateAlias",
                "lambda:UpdateFunctionCode",
            ),
            (function,),
        ),
        Statement(
            "follow its log (tail), and see whether there is one (health)",
            ("logs:DescribeLogGroups", "logs:FilterLogEvents"),
            (arn(job.location, "logs", "log-group:*"),),
        ),
        Statement("see which stack it belongs to", ("lambda:ListTags",), (function,)),
        Statement(
            "see who calls it past its alias (doctor --aws)",
            ("lambda:GetPolicy", "lambda:ListFunctionUrlConfigs"),
            (function,),
        ),
        Statement(
            "the same: event sources cannot be narrowed", ("lambda:ListEventSourceMappings",)
        ),
        Statement(
            "count its calls and errors: metrics cannot be narrowed", ("cloudwatch:GetMetricData",)
        ),
        alarms.STATEMENT,
    ]
    if settings.image is None:  # images are not signed
        configs = arn(job.location, "lambda", "code-signing-config:*")
        needed += [
            Statement(
                "see whether its code has to be signed",
                ("lambda:GetFunctionCodeSigningConfig",),
                (function,),
            ),
            Statement(
                "see what happens to code that is not signed",
                ("lambda:GetCodeSigningConfig",),
                (configs,),
            ),
        ]
    return (*needed, *_of_code(job, settings))


def _of_code(job: Job, settings: FunctionSettings) -> list[Statement]:
    """What its code needs, by what it comes from."""
    if settings.image is not None:
        repository = ecr.named(settings.image.repository).name
        return [
            Statement(
                "sign in to the registry; AWS has no narrower resource",
                ("ecr:GetAuthorizationToken",),
            ),
            Statement(
                "push the image, and let Lambda read it",
                (*_PUSH, "ecr:GetRepositoryPolicy", "ecr:SetRepositoryPolicy"),
                (arn(job.location, "ecr", f"repository/{repository}"),),
            ),
        ]
    if settings.s3 is not None:
        place = arn(job.location, "s3", f"{settings.s3.bucket}/{settings.s3.key}")
        return [
            # What the key means today is deployed by its version, where the bucket has versions.
            Statement(
                "read the package from its bucket, in the version that is deployed",
                ("s3:GetObject", "s3:GetObjectVersion"),
                (place,),
            )
        ]
    if not job.location.store:
        return []
    bucket, prefix = bucket_and_prefix(job.location.store)
    place = arn(job.location, "s3", f"{bucket}/{prefix}functions/*")
    return [
        Statement(
            "put a package of more than 50 MB into the bucket, and let Lambda read it",
            ("s3:GetObject", "s3:PutObject"),
            (place,),
        )
    ]
