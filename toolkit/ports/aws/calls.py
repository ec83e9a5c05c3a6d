"""Every call to AWS as a line of the debug log, also those that botocore makes by itself for
credentials. Loaded when somebody wants that log. No parameters, no headers, no answers.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from toolkit.ports import debug

BEGAN, HOST = "toolkit_began", "toolkit_host"
"""Where a call's context has when it began, and where it went."""


def watch(core: Any, profile: str | None) -> None:
    """Tell of all calls that clients of this botocore session make from now on."""
    known = {"account": ""}

    def begins(params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
        context[BEGAN] = debug.now()
        context[HOST] = _host(str(params.get("url", "")))

    def answered(
        model: Any, context: Mapping[str, Any], parsed: Mapping[str, Any], **_: Any
    ) -> None:
        metadata = parsed.get("ResponseMetadata", {})
        if model.name == "GetCallerIdentity":
            known["account"] = str(parsed.get("Account", known["account"]))
        debug.tell(
            "aws",
            _call(model),
            region=context.get("client_region"),
            host=context.get(HOST),
            profile=profile,
            account=known["account"],
            attempts=int(metadata.get("RetryAttempts", 0)) + 1,
            status=metadata.get("HTTPStatusCode"),
            error=parsed.get("Error", {}).get("Code"),
            request=metadata.get("RequestId"),
            ms=debug.since(context.get(BEGAN, 0.0)),
        )

    def unanswered(
        exception: BaseException, context: Mapping[str, Any], event_name: str, **_: Any
    ) -> None:
        service, operation = event_name.split(".", 2)[1:]
        debug.tell(
            "aws",
            f"{service}:{operation}",
            region=context.get("client_region"),
            host=context.get(HOST),
            profile=profile,
            account=known["account"],
            attempts=context.get("retries", {}).get("attempt"),
            error=type(exception).__name__,
            ms=debug.since(context.get(BEGAN, 0.0)),
        )

    core.register("before-call", begins)
    core.register("after-call", answered)
    core.register("after-call-error", unanswered)


def _call(model: Any) -> str:
    return f"{model.service_model.endpoint_prefix}:{model.name}"


def _host(url: str) -> str:
    """The host and port of an address: whatever else stands in it may be a secret."""
    try:
        split = urlsplit(url)
        return f"{split.hostname}:{split.port}" if split.port else split.hostname or ""
    except ValueError:
        return ""
