"""CloudWatch metrics: their sums over a period."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from toolkit.errors import CloudError
from toolkit.ports.aws.client import Aws

MOST = 500
"""How many metrics one call takes."""
PERIOD_S = 60
"""Points of a minute are added up: longer ones begin at full hours, and the first would be left
out.
"""
_CALL = "cloudwatch:GetMetricData"


class MetricNames(Struct, frozen=True):
    """Some metrics of a namespace that have the same dimension."""

    namespace: str
    names: tuple[str, ...]
    dimension: str


def sums(
    aws: Aws, metrics: MetricNames, value: str, start: datetime, end: datetime
) -> tuple[float, ...]:
    """The sum of each metric whose dimension has this value, from start to end; 0 where nothing was
    counted.

    Several values at one moment become one call, for the period of the first. Raises CloudError.
    """

    def read(values: Sequence[str]) -> Mapping[str, tuple[float, ...]]:
        return _sums(aws, metrics, values, start, end)

    result: tuple[float, ...] = aws.gathered(
        (_CALL, metrics), value, MOST // len(metrics.names), read
    )
    return result


def _sums(
    aws: Aws, metrics: MetricNames, values: Sequence[str], start: datetime, end: datetime
) -> dict[str, tuple[float, ...]]:
    queries: list[dict[str, Any]] = []
    for value in values:
        for name in metrics.names:
            metric = {
                "Namespace": metrics.namespace,
                "MetricName": name,
                "Dimensions": [{"Name": metrics.dimension, "Value": value}],
            }
            stat = {"Metric": metric, "Period": PERIOD_S, "Stat": "Sum"}
            queries.append({"Id": f"m{len(queries)}", "MetricStat": stat})
    results = _read(aws, queries, start, end)
    in_order = [results[query["Id"]] for query in queries]
    count = len(metrics.names)
    by_value = {}
    for index, value in enumerate(values):
        by_value[value] = tuple(in_order[index * count : (index + 1) * count])
    return by_value


def _read(
    aws: Aws, queries: list[dict[str, Any]], start: datetime, end: datetime
) -> dict[str, float]:
    """The sum of each query by its id. What CloudWatch could not answer, or left out, is an error
    and not 0.
    """
    results: dict[str, float] = {}
    pages = aws.pages(
        "cloudwatch",
        "get_metric_data",
        "MetricDataResults",
        MetricDataQueries=queries,
        StartTime=start,
        EndTime=end,
    )
    for result in pages:
        if result.get("StatusCode") not in (None, "Complete", "PartialData"):
            messages = [str(message.get("Value")) for message in result.get("Messages") or ()]
            raise CloudError(call=_CALL, reason=": ".join([str(result["StatusCode"]), *messages]))
        key = result["Id"]
        results[key] = results.get(key, 0.0) + sum(result.get("Values") or ())
    missing = [query["Id"] for query in queries if query["Id"] not in results]
    if missing:
        raise CloudError(
            call=_CALL, reason=f"its answer lacks {len(missing)} of {len(queries)} metrics"
        )
    return results
