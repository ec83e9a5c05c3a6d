"""CloudFront: distributions and what they were told to forget."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.support.aws.wire import AwsError

if TYPE_CHECKING:
    from tests.support.aws.server import Endpoint


class CloudFront:
    """Distributions by id, and invalidations by theirs. `too_many` is how many of the next
    invalidations are one too many; `slow` how many looks an invalidation takes.
    """

    def __init__(self, endpoint: "Endpoint", region: str) -> None:
        self.distributions: dict[str, dict[str, Any]] = {}
        self.invalidations: dict[str, dict[str, Any]] = {}
        self.too_many = self.slow = 0

    # For tests

    def distribution(self, name: str, bucket: str, path: str = "") -> None:
        """A distribution in front of a bucket."""
        origin = {"Id": "o", "DomainName": f"{bucket}.s3.amazonaws.com", "OriginPath": path}
        config = {
            "CallerReference": "1",
            "Comment": "",
            "Enabled": True,
            "Origins": {"Quantity": 1, "Items": [origin]},
            "DefaultCacheBehavior": {"TargetOriginId": "o", "ViewerProtocolPolicy": "allow-all"},
        }
        self.distributions[name] = {
            "Id": name,
            "ARN": f"arn:aws:cloudfront::111111111111:distribution/{name}",
            "Status": "Deployed",
            "LastModifiedTime": datetime.now(UTC),
            "InProgressInvalidationBatches": 0,
            "DomainName": f"{name.lower()}.cloudfront.net",
            "DistributionConfig": config,
        }

    @property
    def paths(self) -> list[list[str]]:
        """What was to be forgotten, one list an invalidation."""
        return [
            list(found["InvalidationBatch"]["Paths"]["Items"])
            for found in self.invalidations.values()
        ]

    # Operations

    def get_distribution(self, params: dict[str, Any]) -> dict[str, Any]:
        """GetDistribution."""
        return {"Distribution": self._distribution(params["Id"])}

    def create_invalidation(self, params: dict[str, Any]) -> dict[str, Any]:
        """CreateInvalidation: one reference is one invalidation, and has one set of paths."""
        self._distribution(params["DistributionId"])
        batch = params["InvalidationBatch"]
        for found in self.invalidations.values():
            if found["InvalidationBatch"]["CallerReference"] == batch["CallerReference"]:
                if found["InvalidationBatch"]["Paths"] != batch["Paths"]:
                    raise AwsError("InvalidArgument", "The caller reference was used before.", 400)
                return {"Location": "/", "Invalidation": found}
        if self.too_many:
            self.too_many -= 1
            raise AwsError("TooManyInvalidationsInProgress", "Too many in progress.", 400)
        name = f"I{len(self.invalidations) + 1}"
        self.invalidations[name] = {
            "Id": name,
            "Status": "InProgress",
            "CreateTime": datetime.now(UTC),
            "InvalidationBatch": batch,
        }
        return {"Location": "/", "Invalidation": self.invalidations[name]}

    def get_invalidation(self, params: dict[str, Any]) -> dict[str, Any]:
        """GetInvalidation."""
        found = self.invalidations.get(params["Id"])
        if found is None:
            raise AwsError("NoSuchInvalidation", "The invalidation does not exist.", 404)
        if self.slow:
            self.slow -= 1
        else:
            found["Status"] = "Completed"
        return {"Invalidation": found}

    def _distribution(self, name: str) -> dict[str, Any]:
        if name not in self.distributions:
            words = "The specified distribution does not exist."
            raise AwsError("NoSuchDistribution", words, 404)
        return self.distributions[name]
