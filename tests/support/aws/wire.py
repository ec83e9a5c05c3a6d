"""Requests and answers in the bytes of each protocol, by botocore's models: a test of these is
boto3 itself.
"""

import base64
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote
from xml.etree import ElementTree as Xml
from xml.sax.saxutils import escape

from botocore.loaders import Loader  # type: ignore[import-untyped]
from botocore.model import OperationModel, ServiceModel, Shape  # type: ignore[import-untyped]

SIGNED_AS = {
    "elasticloadbalancing": "elbv2",
    "monitoring": "cloudwatch",
    "sts": "sts",
    "iam": "iam",
    "cloudformation": "cloudformation",
    "s3": "s3",
    "ecs": "ecs",
    "ecr": "ecr",
    "logs": "logs",
    "secretsmanager": "secretsmanager",
    "ssm": "ssm",
    "lambda": "lambda",
    "rds": "rds",
    "cloudfront": "cloudfront",
    "application-autoscaling": "application-autoscaling",
    "codebuild": "codebuild",
    "states": "stepfunctions",
    "acm": "acm",
}
"""The service of a signature's scope, where a request does not name it otherwise."""
BEYOND = frozenset(
    (
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        "PRE_PRODUCTION_TRAFFIC_SHIFT",
        "REVIEW_IN_PROGRESS",
    )
)
"""Words that AWS says though its model does not have them: in stack events, and as a stage of a
deployment.
"""
_SCOPE = re.compile(
    r"Credential=(?P<key>[^/]+)/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request"
)


class AwsError(Exception):
    """What a service answers instead of a result; `members` are further fields of the error, for S3
    its headers.
    """

    def __init__(self, code: str, message: str, status: int = 400, **members: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status, self.members = code, message, status, members


class Misuse(Exception):
    """A handler of the endpoint answered what the real service cannot say, or a test asked for what
    is not there.
    """


@cache
def model(service: str) -> Any:
    """botocore's model of a service."""
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


@cache
def operations(service: str) -> Mapping[str, str]:
    """Operation by its name in lower case without underscores: `describe_services` and
    `DescribeServices` are the same.
    """
    return {name.lower(): name for name in model(service).operation_names}


def named(service: str, name: str) -> str:
    """The operation's own name. Raises Misuse."""
    outcome = operations(service).get(name.replace("_", "").lower())
    if outcome is None:
        raise Misuse(f"{service} has no operation {name}")
    return outcome


@cache
def protocol(service: str) -> str:
    """What the installed boto3 speaks to this service: json to CloudWatch too, though its model
    names CBOR first.
    """
    return str(model(service).resolved_protocol)


@cache
def _targets() -> Mapping[str, str]:
    """Services by the prefix of X-Amz-Target."""
    document = {
        "AmazonEC2ContainerServiceV20141113": "ecs",
        "AmazonEC2ContainerRegistry_V20150921": "ecr",
        "Logs_20140328": "logs",
    }
    document |= {
        "secretsmanager": "secretsmanager",
        "AmazonSSM": "ssm",
        "GraniteServiceVersion20100801": "cloudwatch",
    }
    return document


class AwsRequest:
    """A request: what is wanted, of whom, by whom."""

    def __init__(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> None:
        self.method, self.headers, self.body = method, headers, body
        path, _, query = target.partition("?")
        self.raw_path, self.path = path, unquote(path)
        self.query = dict(parse_qsl(query, keep_blank_values=True))
        scope = _SCOPE.search(headers.get("authorization", ""))
        self.key = scope["key"] if scope else ""
        self.region = scope["region"] if scope else ""
        self.service, self.operation = "", ""
        self.params: dict[str, Any] = {}
        self._signed = scope["service"] if scope else ""

    def understand(self) -> None:
        """Find service, operation and parameters. Raises AwsError."""
        target = self.headers.get("x-amz-target", "")
        if target:
            prefix, _, self.operation = target.rpartition(".")
            self.service = _targets().get(prefix) or SIGNED_AS.get(self._signed, "")
            self._known()
            shape = self._operation().input_shape
            document = json.loads(self.body or b"{}")
            self.params = _from_json(shape, document) if shape is not None else {}
        elif self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            form = dict(parse_qsl(self.body.decode(), keep_blank_values=True))
            self.service, self.operation = SIGNED_AS.get(self._signed, ""), form.pop("Action", "")
            form.pop("Version", None)
            self._known()
            shape = self._operation().input_shape
            self.params = _from_form(shape, "", form) if shape is not None else {}
        else:
            self.service = SIGNED_AS.get(self._signed, "s3")
            self._rest()

    def _known(self) -> None:
        if not self.service or self.operation not in model(self.service).operation_names:
            raise AwsError(
                "UnknownOperationException",
                f"nobody here knows {self.service or self._signed} {self.operation}",
            )

    def _operation(self) -> Any:
        return model(self.service).operation_model(self.operation)

    def _rest(self) -> None:
        for route in _routes(self.service):
            values = route.match(self.method, self.raw_path, self.query, self.headers)
            if values is not None:
                self.operation = route.name
                break
        else:
            raise AwsError(
                "MethodNotAllowed",
                f"{self.method} {self.path} is not an operation of {self.service}",
                405,
            )
        shape = self._operation().input_shape
        self.params = (
            _from_rest(shape, values, self.query, self.headers, self.body)
            if shape is not None
            else {}
        )


class _Route:
    """Method and address of a REST operation."""

    def __init__(self, operation: Any) -> None:
        self.name, self.method = str(operation.name), str(operation.http["method"])
        path, _, query = str(operation.http["requestUri"]).partition("?")
        self.fixed = dict(parse_qsl(query, keep_blank_values=True))
        shape = operation.input_shape
        members = shape.members.items() if shape is not None else ()
        places = {
            name: (m.serialization.get("location"), m.serialization.get("name", name))
            for name, m in members
        }
        required = shape.required_members if shape is not None else ()
        self.needs_query = [
            places[name][1] for name in required if places[name][0] == "querystring"
        ]
        self.needs_headers = [
            places[name][1].lower() for name in required if places[name][0] == "header"
        ]
        pattern = re.sub(
            r"\\\{(\w+)(\\\+)?\\\}",
            lambda m: f"(?P<{m[1]}>{'.+' if m[2] else '[^/]+'})",
            re.escape(path),
        )
        self._path = re.compile(f"{pattern}/?$" if "+" not in path else f"{pattern}$")
        self.weight = (
            len(self.fixed) + len(self.needs_query) + len(self.needs_headers),
            path.count("{"),
        )

    def match(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> dict[str, str] | None:
        """The values in the path, None if the request is for another operation."""
        if method != self.method or any(
            query.get(key) != value for key, value in self.fixed.items()
        ):
            return None
        if any(key not in query for key in self.needs_query) or any(
            key not in headers for key in self.needs_headers
        ):
            return None
        by_name = self._path.match(path)
        return (
            {key: unquote(value) for key, value in by_name.groupdict().items()} if by_name else None
        )


@cache
def _routes(service: str) -> list[_Route]:
    every = [
        _Route(model(service).operation_model(name)) for name in model(service).operation_names
    ]
    return sorted(every, key=lambda route: route.weight, reverse=True)


# What comes in


def _moment(value: Any) -> datetime:
    if isinstance(value, (int, float)):
        return datetime.fromtimestamp(value, UTC)
    text = str(value)
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return datetime.fromtimestamp(float(text), UTC)
    return (
        parsedate_to_datetime(text)
        if "," in text
        else datetime.fromisoformat(text.replace("Z", "+00:00"))
    )


def _scalar(shape: Any, text: str) -> Any:
    kind = shape.type_name
    if kind in ("integer", "long"):
        return int(text)
    if kind in ("float", "double"):
        return float(text)
    if kind == "boolean":
        return text.lower() == "true"
    if kind == "timestamp":
        return _moment(text)
    if kind == "blob":
        return base64.b64decode(text)
    return text


def _from_json(shape: Any, document: Any) -> Any:
    kind = shape.type_name
    if document is None:
        return None
    if kind == "structure" and not getattr(shape, "is_document_type", False):
        members = shape.members
        table = {members[name].serialization.get("name", name): name for name in members}
        return {
            table.get(key, key): _from_json(members[table[key]], value) if key in table else value
            for key, value in document.items()
            if value is not None
        }
    if kind == "list":
        return [_from_json(shape.member, item) for item in document]
    if kind == "map":
        return {key: _from_json(shape.value, value) for key, value in document.items()}
    if kind == "timestamp":
        return _moment(document)
    return base64.b64decode(document) if kind == "blob" else document


def _from_form(shape: Any, prefix: str, form: Mapping[str, str]) -> Any:
    kind = shape.type_name
    if kind == "structure":
        document = {}
        for name, member in shape.members.items():
            local = member.serialization.get("name", name)
            position = f"{prefix}.{local}" if prefix else local
            if _given(member, position, form):
                document[name] = _from_form(member, position, form)
        return document
    if kind == "list":
        return [
            _from_form(shape.member, f"{_items(shape, prefix)}.{n}", form)
            for n in _numbers(_items(shape, prefix), form)
        ]
    if kind == "map":
        start = prefix if shape.serialization.get("flattened") else f"{prefix}.entry"
        key, value = (
            shape.key.serialization.get("name", "key"),
            shape.value.serialization.get("name", "value"),
        )
        return {
            form[f"{start}.{n}.{key}"]: _from_form(shape.value, f"{start}.{n}.{value}", form)
            for n in _numbers(start, form)
        }
    return _scalar(shape, form[prefix])


def _items(shape: Any, prefix: str) -> str:
    local = shape.member.serialization.get("name")
    if not shape.serialization.get("flattened"):
        return f"{prefix}.{local or 'member'}"
    return ".".join([*prefix.split(".")[:-1], local]) if local else prefix


def _numbers(prefix: str, form: Mapping[str, str]) -> list[int]:
    start = prefix + "."
    return sorted(
        {
            int(rest.split(".")[0])
            for key in form
            if key.startswith(start) and (rest := key[len(start) :])[:1].isdigit()
        }
    )


def _given(shape: Any, text: str, form: Mapping[str, str]) -> bool:
    if text in form:
        return True
    start = (_items(shape, text) if shape.type_name == "list" else text) + "."
    return any(key.startswith(start) for key in form)


def _from_rest(
    shape: Any,
    uri: Mapping[str, str],
    query: Mapping[str, str],
    headers: Mapping[str, str],
    body: bytes,
) -> dict[str, Any]:
    document: dict[str, Any] = {}
    payload = shape.serialization.get("payload")
    inside = []
    for name, member in shape.members.items():
        place, local = member.serialization.get("location"), member.serialization.get("name", name)
        if place == "uri" and name in uri:
            document[name] = _scalar(member, uri[name])
        elif place == "uri" and local in uri:
            document[name] = _scalar(member, uri[local])
        elif place == "querystring" and local in query:
            document[name] = _scalar(member, query[local])
        elif place == "header" and local.lower() in headers:
            text = headers[local.lower()]
            document[name] = (
                text.split(",") if member.type_name == "list" else _scalar(member, text)
            )
        elif place == "headers":
            start = local.lower()
            document[name] = {
                key[len(start) :]: value for key, value in headers.items() if key.startswith(start)
            }
        elif place is None and name == payload and member.type_name == "blob":
            document[name] = body
        elif place is None and name == payload and body:
            document[name] = _from_xml(member, Xml.fromstring(body))  # noqa: S314
        elif place is None and not payload:
            inside.append(name)
    if inside and body and headers.get("content-type", "").startswith("application/json"):
        document |= {
            name: value
            for name, value in _from_json(shape, json.loads(body)).items()
            if name in inside
        }
    elif inside and body:
        read = _from_xml(shape, Xml.fromstring(body))  # noqa: S314 (the client is ours)
        document |= {name: value for name, value in read.items() if name in inside}
    return document


def _from_xml(shape: Any, node: Any) -> Any:
    if shape.type_name == "structure":
        children: dict[str, list[Any]] = {}
        for child in node:
            children.setdefault(child.tag.rpartition("}")[2], []).append(child)
        document = {}
        for name, member in shape.members.items():
            nodes = children.get(_tag(member, name), [])
            if nodes and member.type_name == "list" and member.serialization.get("flattened"):
                document[name] = [_from_xml(member.member, each) for each in nodes]
            elif nodes:
                document[name] = _from_xml(member, nodes[0])
        return document
    if shape.type_name == "list":
        return [_from_xml(shape.member, child) for child in node]
    return _scalar(shape, node.text or "")


def _tag(member: Any, name: str) -> str:
    if (
        member.type_name == "list"
        and member.serialization.get("flattened")
        and member.member.serialization.get("name")
    ):
        return str(member.member.serialization["name"])
    return str(member.serialization.get("name", name))


def faults_of(shape: Any, document: Any, text: str = "") -> str | None:
    """What a value has that its shape does not allow, None if nothing: unknown and missing members,
    wrong types, unknown words.
    """
    kind = shape.type_name
    if kind == "structure":
        if getattr(shape, "is_document_type", False):
            return None
        if not isinstance(document, Mapping):
            return f"{text or 'the input'} is not a structure"
        for name in shape.required_members:
            if document.get(name) is None:
                return f"{f'{text}.' if text else ''}{name} is missing"
        for name, value in document.items():
            if name not in shape.members:
                return f"{f'{text}.' if text else ''}{name} is unknown"
            if value is not None and (
                output := faults_of(shape.members[name], value, f"{text}.{name}" if text else name)
            ):
                return output
        return None
    if kind == "list":
        if not isinstance(document, (list, tuple)):
            return f"{text} is not a list"
        return next(
            (
                output
                for n, item in enumerate(document)
                if (output := faults_of(shape.member, item, f"{text}[{n}]"))
            ),
            None,
        )
    if kind == "map":
        if not isinstance(document, Mapping):
            return f"{text} is not a map"
        return next(
            (
                output
                for key, item in document.items()
                if (output := faults_of(shape.value, item, f"{text}.{key}"))
            ),
            None,
        )
    right: Any = {
        "string": str,
        "integer": int,
        "long": int,
        "double": (int, float),
        "float": (int, float),
        "boolean": bool,
        "timestamp": datetime,
        "blob": (bytes, bytearray),
    }[kind]
    if not isinstance(document, right) or (isinstance(document, bool) and kind != "boolean"):
        return f"{text} is no {kind}"
    if kind == "string" and shape.enum and document not in shape.enum and document not in BEYOND:
        return (
            f"Value '{document}' at '{text}' failed to satisfy constraint: Member must satisfy enum"
            f" value set: [{', '.join(shape.enum)}]"
        )
    return None


# What goes out


class Answer:
    """Status, headers and body; `code` is an error's code, empty for a result."""

    def __init__(
        self, status: int, headers: Mapping[str, str], body: bytes = b"", code: str = ""
    ) -> None:
        self.status, self.headers, self.body, self.code = status, dict(headers), body, code


def result(service: str, operation: str, document: Mapping[str, Any], request_id: str) -> Answer:
    """A handler's answer in the service's protocol. Raises Misuse for what the model does not
    have.
    """
    operation_model: OperationModel = model(service).operation_model(operation)
    shape: Shape = operation_model.output_shape
    if shape is not None and (output := faults_of(shape, document)):
        raise Misuse(f"the answer of {service} {operation}: {output}")
    spoken = protocol(service)
    headers = {"x-amzn-RequestId": request_id}
    if spoken == "json":
        headers["Content-Type"] = (
            f"application/x-amz-json-{model(service).metadata.get('jsonVersion', '1.1')}"
        )
        return Answer(
            200,
            headers,
            json.dumps(_to_json(shape, document) if shape is not None else {}).encode(),
        )
    if spoken == "rest-json" and (
        shape is None or not any(m.serialization.get("location") for m in shape.members.values())
    ):
        status = int(operation_model.http.get("responseCode", 200))
        return Answer(
            status,
            headers | {"Content-Type": "application/json"},
            json.dumps(_to_json(shape, document) if shape else {}).encode(),
        )
    if spoken == "query":
        wrapper = (
            shape.serialization.get("resultWrapper", f"{operation}Result")
            if shape is not None
            else f"{operation}Result"
        )
        inner = "".join(_to_xml(shape, document)) if shape is not None else ""
        namespace = model(service).metadata.get("xmlNamespace", "")
        text = (
            f'<{operation}Response xmlns="{namespace}"><{wrapper}>{inner}</{wrapper}>'
            f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{operation}Response>"
        )
        return Answer(200, {**headers, "Content-Type": "text/xml"}, text.encode())
    if spoken == "rest-xml":
        return _rest_answer(
            shape,
            document,
            {**headers, "x-amz-request-id": request_id},
            int(operation_model.http.get("responseCode", 200)),
            operation,
        )
    raise Misuse(f"{spoken}, which {service} speaks, is not spoken here")


def error(service: str, problem: AwsError, request_id: str, method: str = "POST") -> Answer:
    """An error in the service's protocol; json for a service that nobody knows."""
    spoken = protocol(service) if service else "json"
    headers = {"x-amzn-RequestId": request_id, "x-amz-request-id": request_id}
    if spoken == "query":
        kind = "Sender" if problem.status < 500 else "Receiver"
        text = (
            f"<ErrorResponse><Error><Type>{kind}</Type><Code>{escape(problem.code)}</Code>"
            f"<Message>{escape(problem.message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
        )
        return Answer(
            problem.status, {**headers, "Content-Type": "text/xml"}, text.encode(), problem.code
        )
    if spoken == "rest-xml":
        text = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{escape(problem.code)}</Code>'
            f"<Message>{escape(problem.message)}</Message><RequestId>{request_id}</RequestId><HostId>host</HostId></Error>"
        )
        content = b"" if method == "HEAD" else text.encode()
        return Answer(
            problem.status,
            {**headers, "Content-Type": "application/xml", **problem.members},
            content,
            problem.code,
        )
    body = {"__type": problem.code, "message": problem.message, **problem.members}
    return Answer(
        problem.status,
        {**headers, "Content-Type": "application/x-amz-json-1.1"},
        json.dumps(body).encode(),
        problem.code,
    )


def _written(shape: Any, moment: datetime, default: str) -> Any:
    form = shape.serialization.get("timestampFormat", default)
    if form == "unixTimestamp":
        return round(moment.timestamp(), 3)
    if form == "rfc822":
        return format_datetime(moment.astimezone(UTC), usegmt=True)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _to_json(shape: Any, document: Any) -> Any:
    kind = shape.type_name
    if kind == "structure" and not getattr(shape, "is_document_type", False):
        members = shape.members
        return {
            members[name].serialization.get("name", name): _to_json(members[name], value)
            for name, value in document.items()
            if value is not None
        }
    if kind == "list":
        return [_to_json(shape.member, item) for item in document]
    if kind == "map":
        return {key: _to_json(shape.value, value) for key, value in document.items()}
    if kind == "timestamp":
        return _written(shape, document, "unixTimestamp")
    return base64.b64encode(document).decode() if kind == "blob" else document


def _text(shape: Any, value: Any, times: str = "iso8601") -> str:
    kind = shape.type_name
    if kind == "timestamp":
        return str(_written(shape, value, times))
    if kind == "boolean":
        return "true" if value else "false"
    return base64.b64encode(value).decode() if kind == "blob" else str(value)


def _to_xml(shape: Any, document: Mapping[str, Any]) -> list[str]:
    """The members of a structure."""
    lines: list[str] = []
    for name, value in document.items():
        if value is None:
            continue
        member = shape.members[name]
        tag = _tag(member, name)
        if member.type_name == "list" and member.serialization.get("flattened"):
            lines += [_element(member.member, tag, item) for item in value]
        else:
            lines.append(_element(member, tag, value))
    return lines


def _element(shape: Any, tag: str, value: Any) -> str:
    kind = shape.type_name
    if kind == "structure":
        inner = "".join(_to_xml(shape, value))
    elif kind == "list":
        inner = "".join(
            _element(shape.member, shape.member.serialization.get("name", "member"), item)
            for item in value
        )
    elif kind == "map":
        key, local = (
            shape.key.serialization.get("name", "key"),
            shape.value.serialization.get("name", "value"),
        )
        inner = "".join(
            f"<entry>{_element(shape.key, key, k)}{_element(shape.value, local, v)}</entry>"
            for k, v in value.items()
        )
    else:
        inner = escape(_text(shape, value))
    return f"<{tag}>{inner}</{tag}>"


def _rest_answer(
    shape: Any, document: Mapping[str, Any], headers: dict[str, str], status: int, operation: str
) -> Answer:
    if shape is None:
        return Answer(status, headers)
    payload = shape.serialization.get("payload")
    inside: dict[str, Any] = {}
    body = b""
    for name, value in document.items():
        member = shape.members[name]
        place = member.serialization.get("location")
        if value is None:
            continue
        if place == "header":
            headers[member.serialization.get("name", name)] = _text(member, value, "rfc822")
        elif place == "headers":
            headers |= {
                member.serialization.get("name", "") + key: str(item) for key, item in value.items()
            }
        elif name == payload and member.type_name == "blob":
            body = bytes(value)
            headers.setdefault("Content-Type", "binary/octet-stream")
        elif name == payload:
            body = _document(_tag(member, name), "".join(_to_xml(member, value)))
        else:
            inside[name] = value
    if inside or (
        not payload and any("location" not in m.serialization for m in shape.members.values())
    ):
        root = (
            shape.serialization.get("resultWrapper")
            or shape.serialization.get("name")
            or _ROOTS.get(operation)
            or f"{operation}Result"
        )
        body = _document(root, "".join(_to_xml(shape, inside)))
        headers["Content-Type"] = "application/xml"
    return Answer(status, headers, body)


_ROOTS = {"ListObjectsV2": "ListBucketResult"}
"""Documents that S3 calls otherwise than the model does."""


def _document(root: str, inner: str) -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}'
        f' xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inner}</{root}>'.encode()
    )
