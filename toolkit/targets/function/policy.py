"""The IAM statements that a look at a Lambda function needs. Pure."""

from toolkit.model import Job, Statement
from toolkit.ports.aws.partition import partition
from toolkit.targets import alarms


def statements(job: Job) -> tuple[Statement, ...]:
    """See targets/base.py."""
    region, account, name = (
        job.location.region or "*",
        job.location.account or "*",
        job.settings.function,
    )
    function = f"arn:{partition(region)}:lambda:{region}:{account}:function:{name}"
    return (
        Statement(
            f"see the state of function {name}, and which version runs",
            ("lambda:GetAlias", "lambda:GetFunctionConfiguration"),
            (function, f"{function}:*"),
        ),
        Statement(
            "count its calls and errors: metrics cannot be narrowed", ("cloudwatch:GetMetricData",)
        ),
        alarms.STATEMENT,
    )
