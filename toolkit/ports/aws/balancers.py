"""Load balancers: whether what is behind them answers."""

from msgspec import Struct

from toolkit.errors import CloudError
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.ecs import part


class TargetHealth(Struct, frozen=True):
    """What a target group says of one target. `state` is initial, healthy, unhealthy, draining,
    unused or unavailable.
    """

    id: str
    port: int
    state: str
    reason: str = ""
    words: str = ""

    @property
    def answers(self) -> bool:
        """Whether it is well, or nobody is to ask it."""
        return self.state == "healthy" or self.reason == "Target.HealthCheckDisabled"


def health(aws: Aws, group: str) -> list[TargetHealth]:
    """The targets of a target group; none if the group is gone."""
    try:
        answer = aws.read("elbv2", "describe_target_health", TargetGroupArn=group)
    except CloudError as problem:
        if problem.aws_code == "TargetGroupNotFound":
            return []
        raise
    found = part(answer, "TargetHealthDescriptions", "elasticloadbalancing:DescribeTargetHealth")
    return [
        TargetHealth(
            one["Target"]["Id"],
            int(one["Target"].get("Port", 0)),
            one["TargetHealth"]["State"],
            one["TargetHealth"].get("Reason", ""),
            one["TargetHealth"].get("Description", ""),
        )
        for one in found
    ]
