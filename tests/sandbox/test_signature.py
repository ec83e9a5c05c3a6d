"""Signatures: what AWS's own clients sign is verified, anything else is not."""

from __future__ import annotations

import string
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.sandbox.signature import SignatureFault, SignedRequest, Signer, find_fault, sign

KEY, SECRET = "111111111111", "the-secret-of-this-sandbox"
HOST = "127.0.0.1:4566"

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PART = st.text(string.ascii_letters + string.digits + "-_.~ +%/é:@$&=;,'()*!", max_size=12)


def known(key: str) -> str | None:
    return SECRET if key == KEY else None


def sent(request: AWSRequest) -> SignedRequest:
    """What a server sees of what a client has signed."""
    prepared = request.prepare()
    _, _, rest = prepared.url.removeprefix("http://").partition("/")
    path, _, query = f"/{rest}".partition("?")
    headers = [
        (name.lower(), value.decode() if isinstance(value, bytes) else str(value))
        for name, value in prepared.headers.items()
    ]
    if not any(name == "host" for name, _ in headers):
        headers.append(("host", HOST))
    return SignedRequest(prepared.method, path.encode(), query.encode(), headers)


def now() -> datetime:
    return datetime.now(UTC)


SIGNERS = {
    "s3": lambda: S3SigV4Auth(Credentials(KEY, SECRET), "s3", "eu-west-1"),
    "sts": lambda: SigV4Auth(Credentials(KEY, SECRET), "sts", "eu-west-1"),
    "lambda": lambda: SigV4Auth(Credentials(KEY, SECRET, "token"), "lambda", "eu-west-1"),
    "s3 address": lambda: S3SigV4QueryAuth(Credentials(KEY, SECRET), "s3", "eu-west-1", expires=60),
    "sts address": lambda: SigV4QueryAuth(
        Credentials(KEY, SECRET, "token"), "sts", "eu-west-1", expires=60
    ),
}


@settings(max_examples=60, deadline=None)
@given(
    signer=st.sampled_from(sorted(SIGNERS)),
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD"]),
    parts=st.lists(PART, max_size=4),
    query=st.dictionaries(TEXT.filter(bool), TEXT, max_size=4),
    body=st.binary(max_size=40),
    header=st.text(string.printable.strip(), max_size=20),
)
def test_what_botocore_signs_is_verified_and_a_change_of_it_is_not(
    signer: str, method: str, parts: list[str], query: dict[str, str], body: bytes, header: str
) -> None:
    path = "/".join(quote(part, safe="") for part in parts)
    words = "&".join(
        f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query.items()
    )
    address = signer.endswith("address")
    headers = {} if address else {"x-amz-meta-x": header, "content-type": "text/plain"}
    requests = AWSRequest(
        method,
        f"http://{HOST}/{path}{'?' if words else ''}{words}",
        headers,
        b"" if address else body,
    )
    SIGNERS[signer]().add_auth(requests)
    request, content = sent(requests), b"" if address else body
    assert find_fault(request, known, content, now()) is None
    assert find_fault(request, lambda key: "another", content, now()) == SignatureFault.WRONG
    assert find_fault(request, lambda key: None, content, now()) == SignatureFault.UNKNOWN
    for changed in changes(request):
        assert find_fault(changed, known, content, now()) is not None
    if not address:
        assert find_fault(request, known, content + b"x", now()) == SignatureFault.WRONG
    assert (
        find_fault(request, known, content, now() + timedelta(minutes=16)) == SignatureFault.STALE
    )
    assert (
        find_fault(request, known, content, now() - timedelta(minutes=16)) == SignatureFault.STALE
    )


def changes(request: SignedRequest) -> Iterator[SignedRequest]:
    yield request._replace(method="PATCH")
    yield request._replace(path=request.path + b"x")
    yield request._replace(query=request.query + b"&x=y" if request.query else b"x=y")
    yield request._replace(
        headers=[(name, "other" if name == "host" else value) for name, value in request.headers]
    )
    yield request._replace(headers=[*request.headers, ("x-amz-target", "Other.Call")])
    yield request._replace(
        headers=[(name, value) for name, value in request.headers if name != "host"]
    )


def test_our_own_signature_is_the_one_of_botocore() -> None:
    request = AWSRequest("POST", f"http://{HOST}/_toolkit/hosts", {}, b"{}")
    SigV4Auth(Credentials(KEY, SECRET), "execute-api", "us-east-1").add_auth(request)
    ours = sign(Signer(KEY, SECRET), "POST", HOST, "/_toolkit/hosts", b"{}", now())
    assert (
        find_fault(
            SignedRequest("POST", b"/_toolkit/hosts", b"", [*ours.items()]), known, b"{}", now()
        )
        is None
    )


def address(**changed: str | None) -> SignedRequest:
    requests = AWSRequest("GET", f"http://{HOST}/mine/key", {})
    S3SigV4QueryAuth(Credentials(KEY, SECRET), "s3", "eu-west-1", expires=60).add_auth(requests)
    request = sent(requests)
    fields: dict[str, Any] = dict(part.split("=") for part in request.query.decode().split("&"))
    fields |= changed
    return request._replace(
        query="&".join(
            f"{name}={value}" for name, value in fields.items() if value is not None
        ).encode()
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"X-Amz-Expires": "604801"},
        {"X-Amz-Expires": "-1"},
        {"X-Amz-Expires": ""},
        {"X-Amz-Expires": None},
        {"X-Amz-Expires": "%D9%A3"},
        {"X-Amz-Date": None},
        {"X-Amz-Date": "20261301T000000Z"},
        {"X-Amz-Algorithm": None},
        {"X-Amz-Algorithm": "AWS4-ECDSA-P256-SHA256"},
        {"X-Amz-SignedHeaders": ""},
        {"X-Amz-SignedHeaders": "date"},
        {"X-Amz-Credential": "111111111111"},
        {"X-Amz-Credential": "111111111111%2F%2F%2F%2F"},
        {"X-Amz-Signature": ""},
        {"X-Amz-Signature": "%F0%9F%92%A9"},
        {"X-Amz-Signature": None},
    ],
)
def test_an_address_that_says_less_or_more_than_it_must_is_refused(
    changed: dict[str, str | None],
) -> None:
    assert find_fault(address(), known, b"", now()) is None
    assert find_fault(address(**changed), known, b"", now()) is not None


def test_a_name_that_stands_twice_in_an_address_is_refused() -> None:
    request = address()
    assert (
        find_fault(request._replace(query=request.query + b"&X-Amz-Expires=60"), known, b"", now())
        == SignatureFault.INCOMPLETE
    )


def test_a_date_that_is_not_the_one_of_the_scope_is_refused() -> None:
    headers = sign(Signer(KEY, SECRET), "GET", HOST, "/", b"", now())
    headers["authorization"] = headers["authorization"].replace(
        f"/{headers['x-amz-date'][:8]}/", "/20200101/"
    )
    assert (
        find_fault(SignedRequest("GET", b"/", b"", [*headers.items()]), known, b"", now())
        == SignatureFault.INCOMPLETE
    )


@settings(max_examples=200, deadline=None)
@given(
    headers=st.lists(
        st.tuples(
            st.sampled_from(["authorization", "host", "x-amz-date", "x-amz-content-sha256"]), TEXT
        ),
        max_size=4,
    ),
    query=st.binary(max_size=60),
    path=st.binary(max_size=20),
)
def test_garbage_is_refused_without_an_error(
    headers: list[tuple[str, str]], query: bytes, path: bytes
) -> None:
    assert (
        find_fault(SignedRequest("GET", path, query, headers), lambda key: SECRET, b"", now())
        is not None
    )


@settings(max_examples=200, deadline=None)
@given(rest=st.text("ABCDEFabcdef0123456789/=, CredentialSignedHeadersSignature;-", max_size=120))
def test_a_garbled_header_is_refused_without_an_error(rest: str) -> None:
    headers = [
        ("host", HOST),
        ("x-amz-date", "20260101T000000Z"),
        ("authorization", f"AWS4-HMAC-SHA256 {rest}"),
    ]
    assert (
        find_fault(SignedRequest("GET", b"/", b"", headers), lambda key: SECRET, b"", now())
        is not None
    )
