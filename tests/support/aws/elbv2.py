"""Target groups and the health of their targets. A service of ECS registers its tasks here by
itself.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.aws.wire import AwsError

if TYPE_CHECKING:
    from tests.support.aws.server import Endpoint

WORDS = {
    "Elb.RegistrationInProgress": "Target registration is in progress",
    "Elb.InitialHealthChecking": "Initial health checks in progress",
    "Target.ResponseCodeMismatch": "Health checks failed with these codes: [500]",
    "Target.Timeout": "Request timed out",
    "Target.FailedHealthChecks": "Health checks failed",
    "Target.NotRegistered": "Target is not registered to the target group",
    "Target.NotInUse": "Target group is not configured to receive traffic from the load balancer",
    "Target.DeregistrationInProgress": "Target deregistration is in progress",
    "Target.InvalidState": "Target is in the stopped state",
}


@dataclass
class Target:
    """State and reason, as DescribeTargetHealth has them."""

    state: str = "healthy"
    reason: str = ""


@dataclass
class Group:
    """A target group; targets by address and port."""

    name: str
    arn: str
    port: int = 8080
    target_type: str = "ip"
    path: str = "/"
    balancers: list[str] = field(default_factory=list)
    targets: dict[tuple[str, int], Target] = field(default_factory=dict)


class Elbv2:
    """Target groups by ARN."""

    def __init__(self, endpoint: "Endpoint", region: str) -> None:
        self._endpoint, self._region = endpoint, region
        self.groups: dict[str, Group] = {}

    def group(self, name: str, port: int = 8080, target_type: str = "ip") -> Group:
        """A target group, made on first use."""
        course = next((group for group in self.groups.values() if group.name == name), None)
        if course is None:
            arn = self._endpoint.arn(
                "elasticloadbalancing",
                f"targetgroup/{name}/{self._endpoint.token('group', 16)}",
                self._region,
            )
            balancer = self._endpoint.arn(
                "elasticloadbalancing",
                f"loadbalancer/app/{name}/{self._endpoint.token('lb', 16)}",
                self._region,
            )
            course = self.groups[arn] = Group(name, arn, port, target_type, balancers=[balancer])
        return course

    def health(self, group: str, address: str, state: str, reason: str = "") -> None:
        """Set the health of one target: initial, healthy, unhealthy, unused, draining,
        unavailable.
        """
        result = self.group(group) if group not in self.groups else self.groups[group]
        result.targets[address, result.port] = Target(state, reason)

    def describe_target_health(self, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeTargetHealth; a target that is asked for and not there is `unused`."""
        group = self._found(params["TargetGroupArn"])
        request = params.get("Targets") or [
            {"Id": address, "Port": port} for address, port in group.targets
        ]
        keys = [(each["Id"], each.get("Port", group.port)) for each in request]
        return {"TargetHealthDescriptions": [self._described(group, key) for key in keys]}

    def describe_target_groups(self, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeTargetGroups by ARN or by name."""
        groups = [self._found(arn) for arn in params.get("TargetGroupArns", self.groups)]
        if "Names" in params:
            groups = [group for group in groups if group.name in params["Names"]]
            if len(groups) < len(params["Names"]):
                raise AwsError("TargetGroupNotFound", "One or more target groups not found")
        return {
            "TargetGroups": [
                {
                    "TargetGroupArn": group.arn,
                    "TargetGroupName": group.name,
                    "Protocol": "HTTP",
                    "Port": group.port,
                    "TargetType": group.target_type,
                    "LoadBalancerArns": group.balancers,
                    "HealthCheckPath": group.path,
                    "HealthCheckIntervalSeconds": 30,
                    "HealthCheckTimeoutSeconds": 5,
                    "HealthyThresholdCount": 5,
                    "UnhealthyThresholdCount": 2,
                    "Matcher": {"HttpCode": "200"},
                }
                for group in groups
            ]
        }

    def _found(self, arn: str) -> Group:
        if arn not in self.groups:
            raise AwsError("TargetGroupNotFound", "One or more target groups not found")
        return self.groups[arn]

    def _described(self, group: Group, key: tuple[str, int]) -> dict[str, Any]:
        target = group.targets.get(key, Target("unused", "Target.NotRegistered"))
        health = {"State": target.state}
        if target.reason:
            health |= {"Reason": target.reason, "Description": WORDS.get(target.reason, "")}
        return {
            "Target": {"Id": key[0], "Port": key[1]},
            "HealthCheckPort": "traffic-port",
            "TargetHealth": health,
        }
