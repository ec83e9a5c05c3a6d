"""Lambda: functions with their versions and aliases. A change of code takes as many looks as a test
wants, and goes wrong if it wants that.
"""

import base64
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.aws.wire import AwsError

if TYPE_CHECKING:
    from tests.support.aws.server import Endpoint


def digest_of(content: bytes) -> str:
    """The digest of code, as Lambda writes it."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


@dataclass
class Outcome:
    """What the next change of code comes to: InProgress for `looks` reads, then Successful, or
    Failed with a `code`.
    """

    looks: int = 0
    code: str = ""
    reason: str = ""


@dataclass
class Code:
    """A function's $LATEST, or one version."""

    version: str
    sha256: str
    revision: str
    description: str = ""
    state: str = "Active"
    looks: int = 0
    """For how many more reads it is not at rest."""
    update: str = "Successful"
    after: Outcome = field(default_factory=Outcome)
    settings: str = ""
    """What stands for all of its configuration."""
    more: dict[str, Any] = field(default_factory=dict)
    """Members of the answer about it, in place of the usual ones."""
    size: int = 0
    """Bytes of its package; 0 of an image."""


@dataclass
class Function:
    """$LATEST, versions by number, aliases by name, as the API has them."""

    name: str
    latest: Code
    package: str = "Zip"
    versions: dict[str, Code] = field(default_factory=dict)
    aliases: dict[str, dict[str, Any]] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    pending: int = 0
    """For how many reads a new version is Pending."""
    tags: dict[str, str] = field(default_factory=dict)
    signing: str = ""
    sources: list[str] = field(default_factory=list)
    """The qualifiers (empty: none) that event sources call."""
    urls: list[str] = field(default_factory=list)
    policy: str = ""
    more: dict[str, Any] = field(default_factory=dict)


class Lambda:
    """Functions by name."""

    def __init__(self, endpoint: "Endpoint", region: str) -> None:
        self._endpoint, self._region = endpoint, region
        self.functions: dict[str, Function] = {}

    # For tests

    def function(
        self, name: str, code: bytes | str = b"old", alias: str = "live", **more: Any
    ) -> Function:
        """A function whose alias leads to its version 1, which somebody has published."""
        content = code.encode() if isinstance(code, str) else code
        latest = Code("$LATEST", digest_of(content), self._revision())
        created = Function(name, latest, **more)
        self.functions[name] = created
        if alias:
            self.publish(name)
            self.point(name, "1", alias)
        return created

    def publish(self, name: str, description: str = "") -> Code:
        """Somebody publishes a version."""
        function = self.functions[name]
        number = str(len(function.versions) + 1)
        created = Code(number, function.latest.sha256, self._revision(), description)
        created.settings, created.size = function.latest.settings, function.latest.size
        function.versions[number] = created
        return created

    def point(
        self,
        name: str,
        version: str,
        alias: str = "live",
        weights: dict[str, float] | None = None,
        description: str | None = None,
    ) -> None:
        """Somebody moves the alias; its description stays unless there is another one."""
        aliases = self.functions[name].aliases
        before = aliases.get(alias, {}).get("Description", "")
        aliases[alias] = {
            "Name": alias,
            "AliasArn": self._arn(name, alias),
            "FunctionVersion": version,
            "Description": before if description is None else description,
            "RevisionId": self._revision(),
            "RoutingConfig": {"AdditionalVersionWeights": weights or {}},
        }

    def change(self, name: str, code: bytes | str) -> None:
        """Somebody changes the code of $LATEST."""
        content = code.encode() if isinstance(code, str) else code
        latest = self.functions[name].latest
        latest.sha256, latest.revision = digest_of(content), self._revision()

    def configure(self, name: str, settings: str) -> None:
        """Somebody changes the configuration."""
        latest = self.functions[name].latest
        latest.settings, latest.revision = settings, self._revision()

    def next(self, name: str, looks: int = 0, code: str = "", reason: str = "") -> None:
        """What the next change of code comes to."""
        self.functions[name].outcomes.append(Outcome(looks, code, reason))

    # Operations

    def get_function_configuration(self, params: dict[str, Any]) -> dict[str, Any]:
        """GetFunctionConfiguration."""
        function = self._found(params)
        code = self._code(function, params.get("Qualifier", "$LATEST"))
        self._pass(function, code)
        return self._described(function, code)

    def get_alias(self, params: dict[str, Any]) -> dict[str, Any]:
        """GetAlias."""
        function = self._found(params)
        if params["Name"] not in function.aliases:
            raise self._missing(function.name, params["Name"])
        return function.aliases[params["Name"]]

    def list_aliases(self, params: dict[str, Any]) -> dict[str, Any]:
        """ListAliases."""
        return {"Aliases": list(self._found(params).aliases.values())}

    def list_versions_by_function(self, params: dict[str, Any]) -> dict[str, Any]:
        """ListVersionsByFunction, page by page."""
        function = self._found(params)
        every = [function.latest, *function.versions.values()]
        start, most = int(params.get("Marker") or 0), params.get("MaxItems", 50)
        page = [self._described(function, code) for code in every[start : start + most]]
        answer: dict[str, Any] = {"Versions": page}
        if start + most < len(every):
            answer["NextMarker"] = str(start + most)
        return answer

    def list_tags(self, params: dict[str, Any]) -> dict[str, Any]:
        """ListTags."""
        return {"Tags": self.functions[params["Resource"].rpartition(":")[2]].tags}

    def list_event_source_mappings(self, params: dict[str, Any]) -> dict[str, Any]:
        """ListEventSourceMappings."""
        function = self._found(params)
        mappings = [
            {
                "UUID": f"0000000{number}",
                "EventSourceArn": self._endpoint.arn("sqs", f"queue{number}", self._region),
                "FunctionArn": self._arn(*filter(None, (function.name, qualifier))),
            }
            for number, qualifier in enumerate(function.sources)
        ]
        return {"EventSourceMappings": mappings}

    def list_function_url_configs(self, params: dict[str, Any]) -> dict[str, Any]:
        """ListFunctionUrlConfigs."""
        function = self._found(params)
        urls = [
            {
                "FunctionUrl": "https://x.lambda-url.invalid/",
                "FunctionArn": self._arn(*filter(None, (function.name, qualifier))),
                "CreationTime": "2026-11-01T10:00:00Z",
                "LastModifiedTime": "2026-11-01T10:00:00Z",
                "AuthType": "NONE",
            }
            for qualifier in function.urls
        ]
        return {"FunctionUrlConfigs": urls}

    def get_policy(self, params: dict[str, Any]) -> dict[str, Any]:
        """GetPolicy, of the function without a qualifier."""
        function = self._found(params)
        if not function.policy:
            raise AwsError("ResourceNotFoundException", "The resource you requested is gone", 404)
        return {"Policy": function.policy, "RevisionId": "r"}

    def get_function_code_signing_config(self, params: dict[str, Any]) -> dict[str, Any]:
        """GetFunctionCodeSigningConfig: without one, only the name."""
        function = self._found(params)
        config = self._endpoint.arn(
            "lambda", f"code-signing-config:csc-{function.name[:17]:0<17}", self._region
        )
        return {
            "FunctionName": function.name,
            "CodeSigningConfigArn": config if function.signing else "",
        }

    def get_code_signing_config(self, params: dict[str, Any]) -> dict[str, Any]:
        """GetCodeSigningConfig: all functions that have one have the same."""
        policy = next(each.signing for each in self.functions.values() if each.signing)
        return {
            "CodeSigningConfig": {
                "CodeSigningConfigId": "csc-00000000000000000",
                "CodeSigningConfigArn": params["CodeSigningConfigArn"],
                "AllowedPublishers": {"SigningProfileVersionArns": []},
                "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": policy},
                "LastModified": "2026-11-01T10:00:00.000+0000",
            }
        }

    def update_function_code(self, params: dict[str, Any]) -> dict[str, Any]:
        """UpdateFunctionCode: refused while another change is in progress, and for a revision that
        is no longer the newest.
        """
        function = self._found(params)
        latest = function.latest
        self._refuse_busy(function)
        self._refuse_outdated(params, latest.revision)
        if "ZipFile" in params:
            latest.sha256 = digest_of(bytes(params["ZipFile"]))
            latest.size = len(params["ZipFile"])
        elif "ImageUri" in params:
            latest.sha256 = str(params["ImageUri"]).rpartition("sha256:")[2]
        else:
            stored = self._endpoint.s3.buckets[params["S3Bucket"]].objects[params["S3Key"]]
            latest.sha256, latest.size = digest_of(stored.body), len(stored.body)
        latest.revision = self._revision()
        latest.after = function.outcomes.pop(0) if function.outcomes else Outcome()
        latest.update, latest.looks = "InProgress", latest.after.looks
        return self._described(function, latest)

    def publish_version(self, params: dict[str, Any]) -> dict[str, Any]:
        """PublishVersion: nothing new where neither code nor configuration have changed."""
        function = self._found(params)
        latest = function.latest
        self._refuse_busy(function)
        self._refuse_outdated(params, latest.revision)
        if params.get("CodeSha256", latest.sha256) != latest.sha256:
            raise AwsError(
                "InvalidParameterValueException",
                f"CodeSHA256 ({params['CodeSha256']}) is different from current CodeSHA256 in"
                f" $LATEST ({latest.sha256}). Please try again with the CodeSHA256 in $LATEST.",
            )
        newest = function.versions.get(str(len(function.versions)))
        if newest is None or (newest.sha256, newest.settings) != (latest.sha256, latest.settings):
            newest = self.publish(function.name, params.get("Description", ""))
            if function.pending:
                newest.state, newest.looks = "Pending", function.pending
        return self._described(function, newest)

    def create_alias(self, params: dict[str, Any]) -> dict[str, Any]:
        """CreateAlias."""
        function = self._found(params)
        if params["Name"] in function.aliases:
            raise AwsError("ResourceConflictException", "Alias already exists", 409)
        self._code(function, params["FunctionVersion"])
        self.point(
            function.name,
            params["FunctionVersion"],
            params["Name"],
            description=params.get("Description", ""),
        )
        return function.aliases[params["Name"]]

    def update_alias(self, params: dict[str, Any]) -> dict[str, Any]:
        """UpdateAlias."""
        function = self._found(params)
        before = self.get_alias(params)
        self._refuse_outdated(params, before["RevisionId"])
        self._code(function, params["FunctionVersion"])
        weights = (params.get("RoutingConfig") or before["RoutingConfig"]).get(
            "AdditionalVersionWeights"
        )
        self.point(
            function.name,
            params["FunctionVersion"],
            params["Name"],
            weights,
            params.get("Description"),
        )
        return function.aliases[params["Name"]]

    # Inner

    def _found(self, params: dict[str, Any]) -> Function:
        name = params["FunctionName"].rpartition("function:")[2]
        if name not in self.functions:
            raise self._missing(name)
        return self.functions[name]

    def _code(self, function: Function, qualifier: str) -> Code:
        if qualifier == "$LATEST":
            return function.latest
        number = function.aliases.get(qualifier, {}).get("FunctionVersion", qualifier)
        if number not in function.versions:
            raise self._missing(function.name, qualifier)
        return function.versions[number]

    def _missing(self, *names: str) -> AwsError:
        return AwsError(
            "ResourceNotFoundException", f"Function not found: {self._arn(*names)}", 404
        )

    def _refuse_busy(self, function: Function) -> None:
        if function.latest.update == "InProgress":
            raise AwsError(
                "ResourceConflictException",
                "The operation cannot be performed at this time. An update is in progress for"
                f" resource: {self._arn(function.name)}",
                409,
            )

    def _refuse_outdated(self, params: dict[str, Any], revision: str) -> None:
        if params.get("RevisionId", revision) != revision:
            raise AwsError(
                "PreconditionFailedException",
                "The Revision Id provided does not match the latest Revision Id. Call the"
                " GetFunction/GetAlias API to retrieve the latest Revision Id",
                412,
            )

    def _pass(self, function: Function, code: Code) -> None:
        """A look: what goes on comes nearer to its end."""
        if code.looks > 0:
            code.looks -= 1
        elif code.update == "InProgress":
            code.update = "Failed" if code.after.code else "Successful"
            code.revision = self._revision()
        elif code.state == "Pending":
            code.state = "Active"

    def _described(self, function: Function, code: Code) -> dict[str, Any]:
        arn = self._arn(function.name)
        described = {
            "FunctionName": function.name,
            "FunctionArn": arn if code.version == "$LATEST" else f"{arn}:{code.version}",
            "Version": code.version,
            "Description": code.description,
            "CodeSha256": code.sha256,
            "CodeSize": code.size,
            "RevisionId": code.revision,
            "State": code.state,
            "LastUpdateStatus": code.update,
            "LastModified": self._endpoint.clock.now().strftime("%Y-%m-%dT%H:%M:%S.000+0000"),
            "PackageType": function.package,
            "Handler": "index.handler",
            "Runtime": "python3.12",
            "Architectures": ["x86_64"],
            "Environment": {"Variables": {"SETTINGS": code.settings}},
            **function.more,
            **code.more,
        }
        if code.update == "Failed":
            described["LastUpdateStatusReasonCode"] = code.after.code
            described["LastUpdateStatusReason"] = code.after.reason
        if code.state == "Pending":
            described["StateReasonCode"], described["StateReason"] = (
                "Creating",
                "The function is being created.",
            )
        return described

    def _arn(self, *names: str) -> str:
        return self._endpoint.arn("lambda", ":".join(("function", *names)), self._region)

    def _revision(self) -> str:
        return self._endpoint.token("revision", 36)
