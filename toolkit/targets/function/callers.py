"""Who calls a function past the alias that deploys move: they get $LATEST, whatever is live."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from toolkit.operations import Job
from toolkit.ports.aws import functions
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.names import parse_arn
from toolkit.ports.ports import Ports


def bypasses(job: Job, ports: Ports) -> tuple[str, ...]:
    """A line for each caller that AWS knows of. Raises CloudError."""
    aws, name, alias = ports.aws(job.location), str(job.settings.function), job.settings.alias
    found = dict.fromkeys(
        (*_event_sources(aws, name), *_addresses(aws, name), *_allowed(aws, name))
    )
    return tuple(f"{caller} $LATEST of {name}, past alias {alias}" for caller in found)


def _is_latest(arn: str) -> bool:
    """Whether a function's ARN names no version and no alias."""
    parsed = parse_arn(arn)
    qualifier = parsed.resource.split(":")[2:] if parsed else []
    return qualifier in ([], [functions.LATEST])


def _event_sources(aws: Aws, name: str) -> Iterator[str]:
    """Queues, streams and tables whose records are sent to it."""
    for mapping in functions.event_sources(aws, name):
        if _is_latest(str(mapping.get("FunctionArn", ""))):
            yield f"event source {mapping.get('EventSourceArn') or mapping.get('UUID')} calls"


def _addresses(aws: Aws, name: str) -> Iterator[str]:
    for url in functions.addresses(aws, name):
        if _is_latest(str(url.get("FunctionArn", ""))):
            yield "its function URL calls"


def _allowed(aws: Aws, name: str) -> Iterator[str]:
    """Services that its policy lets call it, such as API Gateway: the policy of an alias is
    another one.
    """
    text = functions.policy(aws, name)
    statements: Any = []
    if text:
        try:
            policy = json.loads(text)
        except ValueError:
            policy = None
        statements = policy.get("Statement") if isinstance(policy, dict) else None
    if not isinstance(statements, list):
        yield "its policy, which cannot be read, may let others call"
        return
    for statement in statements:
        if isinstance(statement, dict) and statement.get("Effect") == "Allow":
            principal = statement.get("Principal")
            service = principal.get("Service") if isinstance(principal, dict) else None
            if isinstance(service, str):
                yield f"{service}{_source(statement)} may call"


def _source(statement: Mapping[str, Any]) -> str:
    """` (ARN)` of what the service may call it for."""
    condition = statement.get("Condition")
    conditions = condition.values() if isinstance(condition, dict) else ()
    for each in conditions:
        if isinstance(each, dict):
            for key, value in each.items():
                if str(key).lower() == "aws:sourcearn" and isinstance(value, str):
                    return f" ({value})"
    return ""
