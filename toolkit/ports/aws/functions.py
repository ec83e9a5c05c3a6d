"""Lambda: functions, their versions and aliases. Their environment is left out, since it may be
secret.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from toolkit.errors import CloudError
from toolkit.ports import usage
from toolkit.ports.aws.client import Aws

LAMBDA = "lambda"
ZIP, IMAGE = "Zip", "Image"
"""What a function's code can be: it never changes from one to the other."""
LATEST = "$LATEST"
OUTDATED = ("PreconditionFailedException",)
"""How Lambda refuses a write that names an older revision."""
BUSY = ("ResourceConflictException",)
"""How it refuses one while an earlier change is in progress."""
OTHER_CODE = ("InvalidParameterValueException",)
"""How it refuses to publish code that has another digest."""


_CONFIGURED = (
    "Runtime",
    "Role",
    "Handler",
    "Timeout",
    "MemorySize",
    "Environment",
    "Architectures",
    "EphemeralStorage",
    "FileSystemConfigs",
    "DeadLetterConfig",
    "KMSKeyArn",
    "TracingConfig",
    "LoggingConfig",
    "VpcConfig",
    "ImageConfigResponse",
)


class Function(Struct, frozen=True):
    """A function, or one version of it. `modified` is Lambda's time, None if that cannot be read.

    `state` is Pending, Active, Inactive or Failed, `update` (the result of the last change)
    Successful, InProgress or Failed; empty if Lambda does not say.
    """

    name: str
    version: str
    description: str
    sha256: str
    modified: datetime | None
    state: str
    reason: str
    update: str
    update_reason: str
    revision: str = ""
    """Changes with each change of it, so that a write can be refused that does not know of one."""
    arn: str = ""
    package: str = ZIP
    handler: str = ""
    runtime: str = ""
    architecture: str = ""
    """Its processor, as Lambda names it: `x86_64` or `arm64`; empty if Lambda does not say."""
    has_layers: bool = False
    log_group: str = ""
    configuration: str = ""
    """A digest of all that says how the code runs: equal for two versions that differ in code
    alone. Empty where Lambda could not read all of it.
    """
    code_size: int = 0
    """Bytes of its package; 0 of an image, and where Lambda does not say."""


class PublishedVersion(Struct, frozen=True):
    """A version as the list of versions has it."""

    number: str
    description: str
    sha256: str


class Alias(Struct, frozen=True):
    """An alias, the version that it points to, and the share (0 to 1) of its calls that goes to
    other versions.
    """

    name: str
    version: str
    others: Mapping[str, float]
    description: str = ""
    revision: str = ""

    @property
    def shares(self) -> dict[str, float]:
        """The other versions that do get calls."""
        return {number: share for number, share in self.others.items() if share}


def function(aws: Aws, name: str, qualifier: str = "") -> Function | None:
    """A function, or the version that an alias points to; None if there is none. Raises
    CloudError.
    """
    params = {"Qualifier": qualifier} if qualifier else {}
    answer = _read(aws, "get_function_configuration", FunctionName=name, **params)
    if answer is None:
        return None
    return _function(name, answer)


def alias(aws: Aws, function_name: str, name: str) -> Alias | None:
    """An alias; None if there is none, or no such function. Raises CloudError."""
    answer = _read(aws, "get_alias", FunctionName=function_name, Name=name)
    return None if answer is None else _alias(answer)


def aliases(aws: Aws, function_name: str) -> Iterator[Alias]:
    """All aliases of a function. Raises CloudError."""
    for answer in aws.pages(LAMBDA, "list_aliases", "Aliases", FunctionName=function_name):
        yield _alias(answer)


def versions(aws: Aws, function_name: str) -> Iterator[PublishedVersion]:
    """The published versions of a function, oldest first. Raises CloudError."""
    for answer in aws.pages(
        LAMBDA, "list_versions_by_function", "Versions", FunctionName=function_name
    ):
        if answer["Version"] != LATEST:
            yield PublishedVersion(
                str(answer["Version"]),
                str(answer.get("Description", "")),
                str(answer.get("CodeSha256", "")),
            )


def stack_of(aws: Aws, function_arn: str) -> str:
    """The stack that a function belongs to; empty if it belongs to none. Raises CloudError."""
    answer = aws.read(LAMBDA, "list_tags", Resource=function_arn)
    return str((answer.get("Tags") or {}).get("aws:cloudformation:stack-name", ""))


def event_sources(aws: Aws, function_name: str) -> Iterator[Mapping[str, Any]]:
    """The event source mappings of a function. Raises CloudError."""
    return aws.pages(
        LAMBDA, "list_event_source_mappings", "EventSourceMappings", FunctionName=function_name
    )


def addresses(aws: Aws, function_name: str) -> Iterator[Mapping[str, Any]]:
    """The URLs of a function and of its aliases. Raises CloudError."""
    return aws.pages(
        LAMBDA, "list_function_url_configs", "FunctionUrlConfigs", FunctionName=function_name
    )


def policy(aws: Aws, function_name: str) -> str:
    """The JSON that says who may call a function without naming an alias; empty if there is none.
    Raises CloudError.
    """
    answer = _read(aws, "get_policy", FunctionName=function_name)
    return str((answer or {}).get("Policy", ""))


def signing_policy(aws: Aws, name: str) -> str:
    """What happens to code that no trusted profile has signed: Enforce, Warn, or empty where it
    need not be signed. Raises CloudError.
    """
    answer = _read(aws, "get_function_code_signing_config", FunctionName=name)
    config = (answer or {}).get("CodeSigningConfigArn")
    if not config:
        return ""
    described = aws.read(LAMBDA, "get_code_signing_config", CodeSigningConfigArn=config)
    policies = described["CodeSigningConfig"].get("CodeSigningPolicies") or {}
    return str(policies.get("UntrustedArtifactOnDeployment") or "Warn")


def update_code(aws: Aws, name: str, code: Mapping[str, Any], revision: str) -> Function:
    """Give $LATEST other code, if the function is still at this revision. Raises CloudError."""
    answer = aws.write(
        LAMBDA, "update_function_code", FunctionName=name, RevisionId=revision, **code
    )
    usage.sent(len(code.get("ZipFile", b"")))
    return _function(name, answer)


def publish(aws: Aws, name: str, sha256: str, description: str) -> Function:
    """Make a version of $LATEST, if its code has this digest. Code that is equal to the newest
    version's becomes no version of its own: that one is the answer. Raises CloudError.
    """
    answer = aws.write(
        LAMBDA,
        "publish_version",
        FunctionName=name,
        CodeSha256=sha256,
        Description=description,
    )
    return _function(name, answer)


def create_alias(aws: Aws, function_name: str, name: str, version: str, description: str) -> Alias:
    """Make an alias. Raises CloudError."""
    answer = aws.write(
        LAMBDA,
        "create_alias",
        FunctionName=function_name,
        Name=name,
        FunctionVersion=version,
        Description=description,
    )
    return _alias(answer)


def move_alias(aws: Aws, function_name: str, alias: Alias, version: str, description: str) -> Alias:
    """Send all calls of an alias to a version, if the alias is as it was read. Raises
    CloudError.
    """
    answer = aws.write(
        LAMBDA,
        "update_alias",
        FunctionName=function_name,
        Name=alias.name,
        FunctionVersion=version,
        Description=description,
        RoutingConfig={"AdditionalVersionWeights": {}},
        RevisionId=alias.revision,
    )
    return _alias(answer)


def _function(name: str, answer: Mapping[str, Any]) -> Function:
    return Function(
        name,
        str(answer.get("Version", "")),
        str(answer.get("Description", "")),
        str(answer.get("CodeSha256", "")),
        _moment(str(answer.get("LastModified", ""))),
        str(answer.get("State", "")),
        _reason(answer, "StateReason"),
        str(answer.get("LastUpdateStatus", "")),
        _reason(answer, "LastUpdateStatusReason"),
        str(answer.get("RevisionId", "")),
        str(answer.get("FunctionArn", "")),
        str(answer.get("PackageType") or ZIP),
        str(answer.get("Handler", "")),
        str(answer.get("Runtime", "")),
        str(next(iter(answer.get("Architectures") or ()), "")),
        bool(answer.get("Layers")),
        _log_group(answer),
        _configuration(answer),
        code_size=int(answer.get("CodeSize") or 0),
    )


def _log_group(answer: Mapping[str, Any]) -> str:
    """Where it writes its log: by default a group of its own name."""
    named = (answer.get("LoggingConfig") or {}).get("LogGroup")
    return str(named or f"/aws/lambda/{answer.get('FunctionName', '')}")


def _configuration(answer: Mapping[str, Any]) -> str:
    """What a stack configures, as a digest, for the environment may be secret; empty where Lambda
    answers with an error in place of a part.
    """
    layers = [str(layer.get("Arn")) for layer in answer.get("Layers") or ()]
    # How far its snapshots are is another matter: $LATEST has none.
    snapshots = (answer.get("SnapStart") or {}).get("ApplyOn")
    parts: list[Any] = [layers, snapshots]
    for name in _CONFIGURED:
        part = answer.get(name) or None
        if isinstance(part, Mapping) and "Error" in part:
            return ""
        parts.append(part)
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _alias(answer: Mapping[str, Any]) -> Alias:
    return Alias(
        str(answer["Name"]),
        str(answer["FunctionVersion"]),
        (answer.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {},
        str(answer.get("Description", "")),
        str(answer.get("RevisionId", "")),
    )


def _read(aws: Aws, operation: str, **params: str) -> dict[str, Any] | None:
    try:
        return aws.read(LAMBDA, operation, **params)
    except CloudError as problem:
        if problem.aws_code == "ResourceNotFoundException":
            return None
        raise


def _reason(answer: Mapping[str, Any], name: str) -> str:
    """`the words (TheCode)`."""
    words = " ".join(str(answer.get(name) or "").split())
    code = str(answer.get(f"{name}Code") or "")
    if words and code:
        return f"{words} ({code})"
    return words or code


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
