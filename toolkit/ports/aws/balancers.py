"""Load balancers: the health of their targets."""

from msgspec import Struct

from toolkit.errors import CloudError
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.ecs import part


class TargetHealth(Struct, frozen=True):
    """The health of one target in a target group. `state` is initial, healthy, unhealthy, draining,
    unused or unavailable.
    """

    id: str
    port: int
    state: str
    reason: str = ""
    words: str = ""

    @property
    def answers(self) -> bool:
        """Whether it is healthy, or has no health check."""
        return self.state == "healthy" or self.reason == "Target.HealthCheckDisabled"


def health(aws: Aws, group: str) -> list[TargetHealth]:
    """The targets of a target group; none if the group is gone."""
    try:
        answer = aws.read("elbv2", "describe_target_health", TargetGroupArn=group)
    except CloudError as problem:
        if problem.aws_code == "TargetGroupNotFound":
            return []
        raise
    targets = []
    for description in part(
        answer, "TargetHealthDescriptions", "elasticloadbalancing:DescribeTargetHealth"
    ):
        target, state = description["Target"], description["TargetHealth"]
        targets.append(
            TargetHealth(
                target["Id"],
                int(target.get("Port", 0)),
                state["State"],
                state.get("Reason", ""),
                state.get("Description", ""),
            )
        )
    return targets
