"""The code of one Lambda function, without its stack."""

from typing import TYPE_CHECKING

from toolkit.model import Inputs, Resource
from toolkit.ports.aws.names import parse_arn
from toolkit.targets import base
from toolkit.targets.function.settings import FunctionSettings

if TYPE_CHECKING:  # `diff` loads every kind, and deploys none
    from toolkit.operations import Job, LiveVersion, Provision, Statement
    from toolkit.ports.ports import Ports


class FunctionKind(base.Kind):
    """The code of one Lambda function, without its stack."""

    estimate_s = 30
    content_details = ("sha256",)
    Settings = FunctionSettings

    def runnable(self, settings: FunctionSettings) -> str | None:
        """Why it cannot be deployed by itself."""
        return "toolkit cannot deploy a function by itself yet; deploy its stack"

    def inputs(self, settings: FunctionSettings) -> Inputs:
        """Its folder."""
        return Inputs(folders=(settings.source,))

    def provisions(self, settings: FunctionSettings) -> "tuple[Provision, ...]":
        """The function, and the alias that a deploy moves."""
        from toolkit.operations import Provision, ProvisionKind

        return (Provision(ProvisionKind.FUNCTION, settings.function, {"alias": settings.alias}),)

    def writes(self, settings: FunctionSettings) -> tuple[Resource, ...]:
        """The function's code, whichever alias is moved to it."""
        named = parse_arn(settings.function)
        resource = named.resource.removeprefix("function:") if named else settings.function
        return (Resource("function", resource.partition(":")[0]),)

    def services(self) -> tuple[str, ...]:
        """Lambda, and CloudWatch for its errors and alarms."""
        return ("lambda", "cloudwatch")

    def permissions(self, job: "Job") -> "tuple[Statement, ...]":
        """For a look at it: nothing is deployed."""
        from toolkit.targets.function import policy

        return policy.statements(job)

    def health(self, job: "Job", ports: "Ports", tell: base.Tell) -> "LiveVersion | None":
        """Its state, the version behind its alias, its errors and alarms."""
        from toolkit.targets.function import health

        return health.report_health(job, ports, tell)


kind = FunctionKind()
