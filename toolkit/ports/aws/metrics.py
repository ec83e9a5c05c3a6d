"""CloudWatch metrics: how much was counted in a stretch of time."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from toolkit.errors import CloudError
from toolkit.ports.aws.client import Aws

MOST = 500
"""How many metrics one call takes."""
PERIOD_S = 60
"""Points of a minute are added up: longer ones begin at full hours, and the first would be left
out.
"""
_CALL = "cloudwatch:GetMetricData"


def sums(
    aws: Aws,
    namespace: str,
    names: tuple[str, ...],
    dimension: str,
    value: str,
    start: datetime,
    end: datetime,
) -> tuple[float, ...]:
    """The sum of each metric of one thing (its `dimension` has this `value`) from start to end, 0
    where nothing was counted.

    Several things that are asked for at one moment are one call, for the stretch of the first.
    Raises CloudError.
    """

    def read(values: Sequence[str]) -> Mapping[str, tuple[float, ...]]:
        wanted = {
            f"m{at}_{n}": (each, name)
            for at, each in enumerate(values)
            for n, name in enumerate(names)
        }
        found = _read(
            aws,
            [_query(key, namespace, name, dimension, each) for key, (each, name) in wanted.items()],
            start,
            end,
        )
        return {
            each: tuple(found[f"m{at}_{n}"] for n in range(len(names)))
            for at, each in enumerate(values)
        }

    answer: tuple[float, ...] = aws.gathered(
        (_CALL, namespace, names, dimension), value, MOST // len(names), read
    )
    return answer


def _query(key: str, namespace: str, name: str, dimension: str, value: str) -> dict[str, Any]:
    metric = {
        "Namespace": namespace,
        "MetricName": name,
        "Dimensions": [{"Name": dimension, "Value": value}],
    }
    return {"Id": key, "MetricStat": {"Metric": metric, "Period": PERIOD_S, "Stat": "Sum"}}


def _read(
    aws: Aws, queries: list[dict[str, Any]], start: datetime, end: datetime
) -> dict[str, float]:
    """The sum of each query. What CloudWatch could not answer, or left out, is an error and not
    0.
    """
    found: dict[str, float] = {}
    pages = aws.pages(
        "cloudwatch",
        "get_metric_data",
        "MetricDataResults",
        MetricDataQueries=queries,
        StartTime=start,
        EndTime=end,
    )
    for one in pages:
        if one.get("StatusCode") not in (None, "Complete", "PartialData"):
            said = [str(each.get("Value")) for each in one.get("Messages") or ()]
            raise CloudError(call=_CALL, reason=": ".join([str(one["StatusCode"]), *said]))
        found[one["Id"]] = found.get(one["Id"], 0.0) + sum(one.get("Values") or ())
    if left := [each["Id"] for each in queries if each["Id"] not in found]:
        raise CloudError(
            call=_CALL, reason=f"its answer lacks {len(left)} of {len(queries)} metrics"
        )
    return found
