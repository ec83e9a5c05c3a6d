"""STS: who the caller is."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.aws.server import Endpoint


class Sts:
    """The account is the endpoint's: set `endpoint.account` to be somebody else."""

    def __init__(self, endpoint: "Endpoint", region: str) -> None:
        self._endpoint = endpoint

    def get_caller_identity(self, params: dict[str, Any]) -> dict[str, Any]:
        """GetCallerIdentity."""
        account = self._endpoint.account
        return {
            "UserId": "AIDASCRIPTEDENDPOINT1",
            "Account": account,
            "Arn": f"arn:aws:iam::{account}:user/deployer",
        }
