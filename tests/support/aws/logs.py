"""CloudWatch Logs: what the test put into its streams."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tests.support.aws.wire import AwsError

if TYPE_CHECKING:
    from tests.support.aws.server import Endpoint


@dataclass
class Stream:
    """Events in the order of their times (milliseconds)."""

    created: int
    events: list[tuple[int, str]] = field(default_factory=list)


class Logs:
    """Log groups by name."""

    def __init__(self, endpoint: "Endpoint", region: str) -> None:
        self._endpoint, self._region = endpoint, region
        self.groups: dict[str, dict[str, Stream]] = {}

    def put(self, group: str, stream: str, *lines: str, moment: datetime | None = None) -> None:
        """Append lines to a stream, which is made if need be."""
        now = int((moment or self._endpoint.clock.now()).timestamp() * 1000)
        setdefault = self.groups.setdefault(group, {}).setdefault(stream, Stream(now))
        setdefault.events += [(now, line) for line in lines]

    def get_log_events(self, params: dict[str, Any]) -> dict[str, Any]:
        """GetLogEvents: the tokens say where a page began and ended."""
        events = self._between(self._stream(params), params)
        limit = int(params.get("limit", 10000))
        side, _, source = params.get("nextToken", "").partition("/")
        if side == "f":
            start = int(source)
        elif side == "b":
            start = max(int(source) - limit, 0)
        else:
            start = 0 if params.get("startFromHead") else max(len(events) - limit, 0)
        end = min(start + limit, len(events))
        if side == "b":
            end = min(int(source), len(events))
        page = [
            {"timestamp": position, "message": line, "ingestionTime": position}
            for position, line in events[start:end]
        ]
        return {
            "events": page,
            "nextForwardToken": f"f/{end:020d}",
            "nextBackwardToken": f"b/{start:020d}",
        }

    def filter_log_events(self, params: dict[str, Any]) -> dict[str, Any]:
        """FilterLogEvents with a plain word or a quoted text as pattern."""
        group = self._group(params)
        names = [
            name
            for name in sorted(group)
            if name in params.get("logStreamNames", [name])
            and name.startswith(params.get("logStreamNamePrefix", ""))
        ]
        pattern = params.get("filterPattern", "").strip('"')
        documents: list[dict[str, Any]] = [
            {
                "logStreamName": name,
                "timestamp": position,
                "message": line,
                "ingestionTime": position,
                "eventId": f"{n:056d}",
            }
            for name in names
            for n, (position, line) in enumerate(group[name].events)
            if pattern in line and (position, line) in self._between(group[name], params)
        ]
        documents.sort(key=lambda event: event["timestamp"])
        start, limit = int(params.get("nextToken", 0)), int(params.get("limit", 10000))
        answer: dict[str, Any] = {"events": documents[start : start + limit]}
        return answer | (
            {"nextToken": str(start + limit)} if start + limit < len(documents) else {}
        )

    def describe_log_streams(self, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeLogStreams by name, or by the time of the last event."""
        group = self._group(params)
        names = [
            name for name in sorted(group) if name.startswith(params.get("logStreamNamePrefix", ""))
        ]
        if params.get("orderBy") == "LastEventTime":
            names.sort(key=lambda name: group[name].events[-1][0] if group[name].events else 0)
        if params.get("descending"):
            names.reverse()
        start, limit = int(params.get("nextToken", 0)), int(params.get("limit", 50))
        page = [self._described(params, name, group[name]) for name in names[start : start + limit]]
        return {"logStreams": page} | (
            {"nextToken": str(start + limit)} if start + limit < len(names) else {}
        )

    def describe_log_groups(self, params: dict[str, Any]) -> dict[str, Any]:
        """DescribeLogGroups."""
        names = [
            name
            for name in sorted(self.groups)
            if name.startswith(params.get("logGroupNamePrefix", ""))
        ]
        arns = {
            name: self._endpoint.arn("logs", f"log-group:{name}:*", self._region) for name in names
        }
        return {"logGroups": [{"logGroupName": name, "arn": arns[name]} for name in names]}

    def _described(self, params: dict[str, Any], name: str, stream: Stream) -> dict[str, Any]:
        document: dict[str, Any] = {
            "logStreamName": name,
            "creationTime": stream.created,
            "storedBytes": 0,
        }
        if stream.events:
            document |= {
                "firstEventTimestamp": stream.events[0][0],
                "lastEventTimestamp": stream.events[-1][0],
            }
            document["lastIngestionTime"] = stream.events[-1][0]
        return document

    def _group(self, params: dict[str, Any]) -> dict[str, Stream]:
        name = params.get("logGroupName") or params.get("logGroupIdentifier", "").partition(
            "log-group:"
        )[2].removesuffix(":*")
        if name not in self.groups:
            raise AwsError("ResourceNotFoundException", "The specified log group does not exist.")
        return self.groups[name]

    def _stream(self, params: dict[str, Any]) -> Stream:
        group = self._group(params)
        if params["logStreamName"] not in group:
            raise AwsError("ResourceNotFoundException", "The specified log stream does not exist.")
        return group[params["logStreamName"]]

    def _between(self, stream: Stream, params: dict[str, Any]) -> list[tuple[int, str]]:
        start, end = params.get("startTime", 0), params.get("endTime", 1 << 62)
        return [(position, line) for position, line in stream.events if start <= position < end]
