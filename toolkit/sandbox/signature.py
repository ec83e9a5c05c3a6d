"""AWS signatures, version 4: made and verified. It runs in the emulator's process as well, so it
uses the standard library only.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

ALGORITHM = "AWS4-HMAC-SHA256"
SKEW = timedelta(minutes=15)
"""How far the time of a request may lie from now: what was recorded is of no use later."""
LONGEST = timedelta(days=7)
"""How long an address that was signed beforehand may be valid, as in AWS."""

UNSIGNED = "UNSIGNED-PAYLOAD"
_PLAIN = "-_.~"
_TIME = "%Y%m%dT%H%M%SZ"
_AS_SENT = ("s3", "s3express")
"""Services that sign a path as it is sent. All others normalize it and encode it once more."""

_OLD_PARTS = {
    "accelerate",
    "acl",
    "analytics",
    "cors",
    "defaultObjectAcl",
    "delete",
    "inventory",
    "lifecycle",
    "location",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "partNumber",
    "policy",
    "replication",
    "requestPayment",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "select",
    "select-type",
    "storageClass",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
}
"""Parts of a query that an S3 address of the old kind (signature version 2) signs."""
_OLD_OWN = {"AWSAccessKeyId", "Signature", "Expires", "x-amz-security-token"}


class SignatureFault(StrEnum):
    """Why a request is refused, by AWS's own codes."""

    UNSIGNED = "MissingAuthenticationToken"
    INCOMPLETE = "IncompleteSignature"
    UNKNOWN = "InvalidClientTokenId"
    WRONG = "SignatureDoesNotMatch"
    STALE = "RequestExpired"


class SignedRequest(NamedTuple):
    """The signed parts of a request. `path` and `query` are as sent; names of headers are in lower
    case.
    """

    method: str
    path: bytes
    query: bytes
    headers: Sequence[tuple[str, str]]


class _Claim(NamedTuple):
    """What a request says of its signature. `lasts` is how long it is valid."""

    key: str
    date: str
    region: str
    service: str
    signed: tuple[str, ...]
    signature: str
    time: str
    lasts: timedelta | None


def find_fault(
    request: SignedRequest, secret: Callable[[str], str | None], body: bytes, now: datetime
) -> SignatureFault | None:
    """What is wrong with a request's signature, None if the signer knows the secret of the key that
    it names.

    `secret` gives the secret of an access key, None for an unknown key. Unclear requests are
    refused.
    """
    headers = dict(request.headers)
    listed = [*_parts(request.query)]
    query = dict(listed)
    if "authorization" not in headers and len(query) < len(listed):
        return SignatureFault.INCOMPLETE
    if "authorization" not in headers and {"AWSAccessKeyId", "Signature"} <= query.keys():
        return _old_fault(request, query, secret, now)
    claim = _from_header(headers) if "authorization" in headers else _from_query(query)
    if not isinstance(claim, _Claim):
        return claim
    named = {name for name, _ in request.headers}
    # As in AWS, the host and whatever may change what a request means has to be signed, above all
    # where an address is handed on.
    must = {"host", *(name for name in named if name.startswith("x-amz-"))}
    if (
        not must <= set(claim.signed)
        or not set(claim.signed) <= named
        or claim.date != claim.time[:8]
    ):
        return SignatureFault.INCOMPLETE
    key = secret(claim.key)
    if key is None:
        return SignatureFault.UNKNOWN
    presigned = claim.lasts is not None
    content = headers.get("x-amz-content-sha256")
    if content is None:
        content = hashlib.sha256(body).hexdigest()
        if presigned and claim.service in _AS_SENT:
            content = UNSIGNED
    elif re.fullmatch(r"[0-9a-f]{64}", content) and content != hashlib.sha256(body).hexdigest():
        return SignatureFault.WRONG
    expected = _signature(request, claim, key, content)
    # In constant time: how long it takes must not tell how much of it is right.
    if not hmac.compare_digest(expected.encode(), claim.signature.encode("utf-8", "replace")):
        return SignatureFault.WRONG
    return _time_fault(claim, now)


class Signer(NamedTuple):
    """Who signs: an access key with its secret, for one service in one region."""

    key: str
    secret: str
    region: str = "us-east-1"
    service: str = "execute-api"


def sign(
    signer: Signer, method: str, host: str, path: str, body: bytes, now: datetime
) -> dict[str, str]:
    """The headers of a signed request; the path has no query."""
    time = now.astimezone(UTC).strftime(_TIME)
    content = hashlib.sha256(body).hexdigest()
    headers = {"host": host, "x-amz-content-sha256": content, "x-amz-date": time}
    signed = tuple(sorted(headers))
    claim = _Claim(signer.key, time[:8], signer.region, signer.service, signed, "", time, None)
    request = SignedRequest(method, path.encode(), b"", [*headers.items()])
    scope = f"{signer.key}/{claim.date}/{signer.region}/{signer.service}/aws4_request"
    signature = _signature(request, claim, signer.secret, content)
    authorization = (
        f"{ALGORITHM} Credential={scope}, SignedHeaders={';'.join(signed)}, Signature={signature}"
    )
    return {**headers, "authorization": authorization}


def _from_header(headers: Mapping[str, str]) -> _Claim | SignatureFault:
    algorithm, _, rest = headers["authorization"].partition(" ")
    if algorithm != ALGORITHM:
        return SignatureFault.UNSIGNED
    fields: dict[str, str] = {}
    for part in rest.split(","):
        name, _, value = part.partition("=")
        fields[name.strip()] = value
    claim = _claim(
        fields.get("Credential", ""),
        fields.get("SignedHeaders", ""),
        fields.get("Signature", ""),
        headers.get("x-amz-date", ""),
        None,
    )
    if isinstance(claim, _Claim) and "x-amz-date" not in claim.signed:
        return SignatureFault.INCOMPLETE  # a time that is not signed could be anybody's
    return claim


def _from_query(query: Mapping[str, str]) -> _Claim | SignatureFault:
    if "X-Amz-Signature" not in query:
        return SignatureFault.UNSIGNED
    seconds = query.get("X-Amz-Expires", "")
    if query.get("X-Amz-Algorithm") != ALGORITHM or not re.fullmatch(r"[0-9]{1,7}", seconds):
        return SignatureFault.INCOMPLETE
    lasts = timedelta(seconds=int(seconds))
    if lasts > LONGEST:
        return SignatureFault.INCOMPLETE
    signed = query.get("X-Amz-SignedHeaders", "")
    return _claim(
        query.get("X-Amz-Credential", ""),
        signed,
        query["X-Amz-Signature"],
        query.get("X-Amz-Date", ""),
        lasts,
    )


def _claim(
    credential: str, signed: str, signature: str, time: str, lasts: timedelta | None
) -> _Claim | SignatureFault:
    scope = credential.split("/")
    if (
        len(scope) != 5
        or scope[4] != "aws4_request"
        or not all(scope)
        or not re.fullmatch(r"[0-9a-f]{64}", signature)
    ):
        return SignatureFault.INCOMPLETE
    if _moment(time) is None:
        return SignatureFault.INCOMPLETE
    return _Claim(
        scope[0], scope[1], scope[2], scope[3], tuple(signed.split(";")), signature, time, lasts
    )


def _time_fault(claim: _Claim, now: datetime) -> SignatureFault | None:
    signed_at = _moment(claim.time)
    if signed_at is None or signed_at > now + SKEW:
        return SignatureFault.STALE
    lasts = SKEW if claim.lasts is None else claim.lasts
    return SignatureFault.STALE if now > signed_at + lasts else None


def _moment(time: str) -> datetime | None:
    if not re.fullmatch(r"[0-9]{8}T[0-9]{6}Z", time, re.ASCII):
        return None
    try:
        return datetime.strptime(time, _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None


def _signature(request: SignedRequest, claim: _Claim, secret: str, content: str) -> str:
    """The signature that belongs to a request."""
    lines = [
        request.method,
        _path(request.path, claim.service),
        _query(request.query),
        *(f"{name}:{_header(request.headers, name)}" for name in claim.signed),
        "",
        ";".join(claim.signed),
        content,
    ]
    scope = f"{claim.date}/{claim.region}/{claim.service}/aws4_request"
    digest = hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in (claim.date, claim.region, claim.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(
        key, "\n".join([ALGORITHM, claim.time, scope, digest]).encode(), "sha256"
    ).hex()


def _path(sent: bytes, service: str) -> str:
    path = sent.decode("latin-1") or "/"
    if service in _AS_SENT:
        return path
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    end = "/" if path.endswith("/") and parts else ""
    return quote(f"/{'/'.join(parts)}{end}", safe="/~")


def _parts(query: bytes) -> Iterable[tuple[str, str]]:
    """Names and values of a query, decoded."""
    for part in query.split(b"&"):
        if part:
            name, _, value = part.partition(b"=")
            yield (
                unquote_to_bytes(name).decode("utf-8", "surrogateescape"),
                unquote_to_bytes(value).decode("utf-8", "surrogateescape"),
            )


def _query(query: bytes) -> str:
    pairs: list[tuple[str, str]] = []
    for name, value in _parts(query):
        if name != "X-Amz-Signature":
            pairs.append((_quoted(name), _quoted(value)))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _quoted(text: str) -> str:
    return quote(text, safe=_PLAIN, errors="surrogateescape")


def _header(headers: Iterable[tuple[str, str]], name: str) -> str:
    return ",".join(" ".join(value.split()) for header, value in headers if header == name)


def _old_fault(
    request: SignedRequest,
    query: Mapping[str, str],
    secret: Callable[[str], str | None],
    now: datetime,
) -> SignatureFault | None:
    """The same for an S3 address with the old signature (version 2), which boto3 still makes in
    older regions. It does not sign the host, so only the sandbox's own is accepted.
    """
    headers = dict(request.headers)
    host = headers.get("host", "").rpartition(":")[0] or headers.get("host", "")
    if not query.keys() <= _OLD_PARTS | _OLD_OWN or host not in ("127.0.0.1", "localhost"):
        return SignatureFault.INCOMPLETE
    key = secret(query["AWSAccessKeyId"])
    if key is None:
        return SignatureFault.UNKNOWN
    amz = {name: _header(request.headers, name) for name in headers if name.startswith("x-amz-")}
    amz |= {name: query[name] for name in ("x-amz-security-token",) if name in query}
    parts = sorted((name, value) for name, value in query.items() if name in _OLD_PARTS)
    resource = request.path.decode("latin-1")
    if parts:
        resource += "?" + "&".join(f"{name}={value}" if value else name for name, value in parts)
    expires = query.get("Expires", "")
    lines = [
        request.method,
        headers.get("content-md5", ""),
        headers.get("content-type", ""),
        expires,
    ]
    lines += [*(f"{name}:{value}" for name, value in sorted(amz.items())), resource]
    expected = base64.b64encode(
        hmac.digest(key.encode(), "\n".join(lines).encode("utf-8", "surrogateescape"), "sha1")
    )
    if not hmac.compare_digest(expected, query["Signature"].encode("utf-8", "replace")):
        return SignatureFault.WRONG
    if not re.fullmatch(r"[0-9]{1,11}", expires, re.ASCII) or int(expires) < now.timestamp():
        return SignatureFault.STALE
    return None
