"""CloudWatch alarms: which ones ring, and how those of given names are."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from toolkit.ports.aws.client import Aws

NAMES_A_CALL = 100
_CALL = "cloudwatch:DescribeAlarms"
_TYPES = ("MetricAlarm", "CompositeAlarm")
"""Without them AWS tells of metric alarms only."""
_SCALING = ":scalingPolicy:"


class Alarm(Struct, frozen=True):
    """An alarm. `state` is OK, ALARM or INSUFFICIENT_DATA, `since` when it came to be that.

    `dimensions` are those of all its metrics together; `metrics` has them one by one, for two
    metrics may differ in one. A composite alarm has none. `scales` says that all it does is to call
    for more or fewer tasks: it rings in the best of times.
    """

    name: str
    state: str
    reason: str = ""
    since: str | None = None
    dimensions: Mapping[str, str] = {}
    metrics: tuple[Mapping[str, str], ...] = ()
    scales: bool = False

    def about(self, dimensions: Mapping[str, str]) -> bool:
        """Whether one of its metrics is of that: it has all of these dimensions."""
        return any(dimensions.items() <= one.items() for one in self.metrics)


def in_alarm(aws: Aws) -> list[Alarm]:
    """All alarms of the region that ring. All who ask at one moment cost one call (a page). Raises
    CloudError.
    """
    found: list[Alarm] = aws.gathered(
        (_CALL, "ALARM"), "ALARM", NAMES_A_CALL, lambda _: {"ALARM": _read(aws, StateValue="ALARM")}
    )
    return found


def named(aws: Aws, names: Sequence[str]) -> dict[str, Alarm]:
    """The alarms of these names, without those that are not there. A hundred names at one moment
    are one call. Raises CloudError.
    """
    wanted = sorted(set(names))

    def read(keys: Sequence[str]) -> Mapping[str, Alarm]:
        return {one.name: one for one in _read(aws, AlarmNames=list(keys))}

    found = aws.gathered_all((_CALL, "names"), wanted, NAMES_A_CALL, read)
    return {name: one for name, one in found.items() if one is not None}


def _read(aws: Aws, **params: Any) -> list[Alarm]:
    found: list[Alarm] = []
    token: dict[str, str] = {}
    while True:
        answer = aws.read(
            "cloudwatch",
            "describe_alarms",
            AlarmTypes=list(_TYPES),
            MaxRecords=NAMES_A_CALL,
            **params,
            **token,
        )
        found += [
            _alarm(one)
            for kind in ("MetricAlarms", "CompositeAlarms")
            for one in answer.get(kind) or ()
        ]
        if not answer.get("NextToken"):
            return found
        token = {"NextToken": answer["NextToken"]}


def _alarm(found: Mapping[str, Any]) -> Alarm:
    metrics = [
        found,
        *((one.get("MetricStat") or {}).get("Metric") or {} for one in found.get("Metrics") or ()),
    ]
    each = tuple(
        {str(part["Name"]): str(part["Value"]) for part in one["Dimensions"]}
        for one in metrics
        if one.get("Dimensions")
    )
    merged = {name: value for one in reversed(each) for name, value in one.items()}
    actions = found.get("AlarmActions") or ()
    when: datetime | None = found.get("StateTransitionedTimestamp") or found.get(
        "StateUpdatedTimestamp"
    )
    return Alarm(
        str(found["AlarmName"]),
        str(found.get("StateValue", "")),
        " ".join(str(found.get("StateReason") or "").split()),
        when.astimezone(UTC).isoformat() if when is not None else None,
        merged,
        each,
        bool(actions) and all(_SCALING in str(one) for one in actions),
    )
