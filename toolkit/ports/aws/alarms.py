"""CloudWatch alarms: those in ALARM, and the state of those with certain names."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from toolkit.ports.aws.client import Aws

NAMES_A_CALL = 100
_CALL = "cloudwatch:DescribeAlarms"
_TYPES = ("MetricAlarm", "CompositeAlarm")
"""Without them AWS lists metric alarms only."""
_RINGS = "ALARM"
_SCALING = ":scalingPolicy:"


class Alarm(Struct, frozen=True):
    """An alarm. `state` is OK, ALARM or INSUFFICIENT_DATA, `since` the time of its last change.

    `dimensions` are those of all its metrics together; `metrics` has them one by one, since two
    metrics may differ in one. A composite alarm has none. `scales` says that its only action is to
    scale: such alarms are in ALARM when all is well. `region` is its region, where that is another
    than that of the thing it is about.
    """

    name: str
    state: str
    reason: str = ""
    since: str | None = None
    dimensions: Mapping[str, str] = {}
    metrics: tuple[Mapping[str, str], ...] = ()
    scales: bool = False
    region: str | None = None

    @property
    def rings(self) -> bool:
        """Whether it is in ALARM."""
        return self.state == _RINGS

    def about(self, dimensions: Mapping[str, str]) -> bool:
        """Whether one of its metrics has all of these dimensions."""
        return any(dimensions.items() <= metric.items() for metric in self.metrics)


def in_alarm(aws: Aws) -> Sequence[Alarm]:
    """All alarms of the region in ALARM. Calls at the same moment become one. Raises CloudError."""

    def read(_: Sequence[str]) -> Mapping[str, Sequence[Alarm]]:
        return {_RINGS: tuple(_read(aws, StateValue=_RINGS))}

    # All who have asked get the same ones.
    alarms: Sequence[Alarm] = aws.gathered((_CALL, _RINGS), _RINGS, NAMES_A_CALL, read)
    return alarms


def named(aws: Aws, names: Sequence[str]) -> dict[str, Alarm]:
    """The alarms with these names that exist. Up to a hundred names at one moment become one call.
    Raises CloudError.
    """

    def read(keys: Sequence[str]) -> Mapping[str, Alarm]:
        return {alarm.name: alarm for alarm in _read(aws, AlarmNames=list(keys))}

    alarms = aws.gathered_all((_CALL, "names"), sorted(set(names)), NAMES_A_CALL, read)
    return {name: alarm for name, alarm in alarms.items() if alarm is not None}


def _read(aws: Aws, **params: Any) -> list[Alarm]:
    alarms: list[Alarm] = []
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
        for kind in ("MetricAlarms", "CompositeAlarms"):
            alarms += [_alarm(description) for description in answer.get(kind) or ()]
        if not answer.get("NextToken"):
            return alarms
        token = {"NextToken": answer["NextToken"]}


def _alarm(description: Mapping[str, Any]) -> Alarm:
    metrics = _metrics(description)
    merged: dict[str, str] = {}
    for metric in reversed(metrics):  # where two differ, the first one counts
        merged |= metric
    actions = description.get("AlarmActions") or ()
    when: datetime | None = description.get("StateTransitionedTimestamp")
    when = when or description.get("StateUpdatedTimestamp")
    return Alarm(
        str(description["AlarmName"]),
        str(description.get("StateValue", "")),
        " ".join(str(description.get("StateReason") or "").split()),
        None if when is None else when.astimezone(UTC).isoformat(),
        merged,
        metrics,
        bool(actions) and all(_SCALING in str(action) for action in actions),
    )


def _metrics(description: Mapping[str, Any]) -> tuple[dict[str, str], ...]:
    """The dimensions of each metric: an alarm has one itself, or a list of them."""
    metrics = [description]
    for query in description.get("Metrics") or ():
        metrics.append((query.get("MetricStat") or {}).get("Metric") or {})
    dimensions = []
    for metric in metrics:
        if metric.get("Dimensions"):
            dimensions.append(
                {str(part["Name"]): str(part["Value"]) for part in metric["Dimensions"]}
            )
    return tuple(dimensions)
