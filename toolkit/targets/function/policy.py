"""The IAM statements that a look at a Lambda function needs. Pure."""

from toolkit.operations import Job, Statement
from toolkit.ports.aws.names import arn, parse_arn
from toolkit.targets import alarms


def statements(job: Job) -> tuple[Statement, ...]:
    """See targets/base.py."""
    name = job.settings.function
    function = name if parse_arn(name) else arn(job.location, "lambda", f"function:{name}")
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
