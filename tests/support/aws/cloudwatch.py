"""CloudWatch: the alarms that a test has set. No metric has counted anything."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from tests.support.aws.wire import AwsError

if TYPE_CHECKING:
    from tests.support.aws.server import Endpoint


class CloudWatch:
    """Alarms by name, metric ones and composite ones."""

    def __init__(self, endpoint: "Endpoint", region: str) -> None:
        self._endpoint, self._region = endpoint, region
        self.alarms: dict[str, dict[str, Any]] = {}
        self.composites: dict[str, dict[str, Any]] = {}

    def alarm(
        self,
        name: str,
        state: str = "OK",
        reason: str = "",
        dimensions: dict[str, str] | None = None,
        composite: bool = False,
        since: datetime | None = None,
        **more: Any,
    ) -> None:
        """Set an alarm; `more` are members of MetricAlarm or CompositeAlarm."""
        now = since or self._endpoint.clock.now()
        document: dict[str, Any] = {
            "AlarmName": name,
            "AlarmArn": self._endpoint.arn("cloudwatch", f"alarm:{name}", self._region),
            "StateValue": state,
            "StateReason": reason or f"Threshold crossed: {name}",
            "StateUpdatedTimestamp": now,
            "StateTransitionedTimestamp": now,
        }
        if not composite and "Metrics" not in more:
            document["Dimensions"] = [
                {"Name": key, "Value": value} for key, value in (dimensions or {}).items()
            ]
        (self.composites if composite else self.alarms)[name] = document | more

    def describe_alarms(self, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeAlarms by state or by names, page by page; composite ones are told only if they
        are asked for.
        """
        if len(params.get("AlarmNames", ())) > 100:
            raise AwsError("ValidationError", "AlarmNames must not have more than 100 elements.")
        types = params.get("AlarmTypes") or ["MetricAlarm"]
        every = [
            ("MetricAlarms", value) for value in self.alarms.values() if "MetricAlarm" in types
        ]
        every += [
            ("CompositeAlarms", value)
            for value in self.composites.values()
            if "CompositeAlarm" in types
        ]
        names, state = params.get("AlarmNames"), params.get("StateValue")
        result = [
            (kind, item)
            for kind, item in every
            if state in (None, item["StateValue"]) and (not names or item["AlarmName"] in names)
        ]
        start, most = int(params.get("NextToken") or 0), params.get("MaxRecords", 50)
        page = result[start : start + most]
        answer: dict[str, Any] = {
            key: [item for kind, item in page if kind == key]
            for key in ("MetricAlarms", "CompositeAlarms")
        }
        return answer | ({"NextToken": str(start + most)} if start + most < len(result) else {})

    def get_metric_data(self, params: dict[str, Any]) -> dict[str, Any]:
        """GetMetricData."""
        results = [
            {"Id": query["Id"], "Values": [], "StatusCode": "Complete"}
            for query in params["MetricDataQueries"]
        ]
        return {"MetricDataResults": results}
