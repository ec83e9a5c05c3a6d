"""Who calls a function past the alias that deploys move: they get $LATEST, whatever is live."""

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from toolkit.operations import Job
from toolkit.ports.aws import functions
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.names import parse_arn
from toolkit.ports.ports import Ports

_CALLS = ("lambda:invokefunction", "lambda:invokefunctionurl", "lambda:invokeasync")
"""The actions that call a function, in lower case: IAM does not tell the difference."""


def bypasses(job: Job, ports: Ports) -> tuple[str, ...]:
    """A line for each caller that AWS knows of. Raises CloudError."""
    aws, name, alias = ports.aws(job.location), str(job.settings.function), job.settings.alias
    found = dict.fromkeys(
        (
            *_event_sources(aws, name),
            *_addresses(aws, name),
            *allowed_callers(functions.policy(aws, name)),
        )
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


def allowed_callers(policy_text: str) -> Iterator[str]:
    """Whom a function's policy lets call it, such as API Gateway; the policy of an alias is another
    one. Empty where there is none.
    """
    if not policy_text:
        return
    try:
        policy = json.loads(policy_text)
    except ValueError:
        policy = None
    statements = policy.get("Statement") if isinstance(policy, dict) else None
    for statement in _listed(statements):
        if not isinstance(statement, dict) or statement.get("Effect") not in ("Allow", "Deny"):
            statement = None
        elif statement["Effect"] == "Deny" or not _may_call(statement):
            continue
        callers = _principals(statement.get("Principal")) if statement else ()
        for caller in callers:
            yield f"{caller}{_source(statement)} may call"
        if not callers:
            yield "its policy, which cannot be read, may let others call"


def _listed(value: Any) -> list[Any]:
    """A part of a policy, which may be a list or its only element."""
    return value if isinstance(value, list) else [value]


def _may_call(statement: Mapping[str, Any]) -> bool:
    """Whether a statement may be about calls: one that cannot be read may."""
    actions = _listed(statement.get("Action"))
    if not all(isinstance(action, str) for action in actions):
        return True
    return any(fnmatchcase(call, action.lower()) for action in actions for call in _CALLS)


def _principals(principal: Any) -> tuple[str, ...]:
    """Who is meant, a name each; none if that cannot be read."""
    if principal == "*":
        return ("everybody",)
    if not isinstance(principal, dict):
        return ()
    named = [each for value in principal.values() for each in _listed(value)]
    if not all(isinstance(each, str) and each for each in named):
        return ()
    return tuple("everybody" if each == "*" else each for each in named)


def _source(statement: Mapping[str, Any]) -> str:
    """` (ARN)` of what the caller may call it for; several are separated by commas."""
    condition = statement.get("Condition")
    conditions = condition.values() if isinstance(condition, dict) else ()
    for each in conditions:
        for key, value in each.items() if isinstance(each, dict) else ():
            sources = [source for source in _listed(value) if isinstance(source, str)]
            if str(key).lower() == "aws:sourcearn" and sources:
                return f" ({', '.join(sources)})"
    return ""
