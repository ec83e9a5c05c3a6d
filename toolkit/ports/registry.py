"""An image registry over HTTP, by the OCI distribution specification. Errors and logs show only the
host of an address, since paths and queries may be signed.
"""

import base64
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urljoin, urlsplit

from msgspec import Struct

from toolkit.errors import CredentialsProblem, NotAllowed, Refused, RegistryError, TagTaken
from toolkit.ports import usage
from toolkit.ports.background import BackgroundTask, items_until
from toolkit.ports.registry_address import RegistryAddress, SecretText

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
INDEXES = (INDEX, _DOCKER_INDEX)
IMAGES = (MANIFEST, _DOCKER_MANIFEST)
_ACCEPT = ", ".join((MANIFEST, INDEX, _DOCKER_MANIFEST, _DOCKER_INDEX))

CONNECT_S, READ_S = 5.0, 60.0
RETRIES = 3
PAUSES_S = (0.5, 1.0, 2.0)
"""The pauses before the first, second and third retry."""
MONOLITHIC = 64 << 20
"""Bytes up to which a blob is sent in one request."""
PART = 32 << 20
_CHUNK = 1 << 18
_LARGEST_DOCUMENT = 8 << 20
_REDIRECTS = 3
_DENIED = re.compile(r"not authorized to perform: (\S+) on resource: (\S+)")

T = TypeVar("T")


class Manifest(Struct, frozen=True):
    """A manifest, or an index of several, as the registry has it."""

    body: bytes
    media_type: str
    digest: str

    @property
    def document(self) -> dict[str, Any]:
        """Its JSON."""
        return _json_object(self.body)


class _Request(Struct, frozen=True):
    """A request. `call` says in error messages what was asked of the registry; a status in
    `accepted` is not an error.
    """

    method: str
    url: str
    call: str
    accepted: tuple[int, ...] = ()
    body: Iterator[bytes] | None = None
    headers: Mapping[str, str] = {}
    streamed: bool = False


class _Retryable(Exception):
    """A failure that a retry may overcome."""

    def __init__(self, error: RegistryError) -> None:
        self.error = error


def digest_of(content: bytes) -> str:
    """The name of these bytes in a registry."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused("what the registry has under that name is not an image") from None
    return document if isinstance(document, dict) else {}


class RegistryClient:
    """One registry. `check` raises when the run is to stop; it is called before each request and
    during transfers.
    """

    def __init__(
        self,
        address: str,
        host: str,
        user: str,
        password: SecretText | None,
        check: Callable[[], None],
    ) -> None:
        import urllib3

        self._address, self._hosts = address.rstrip("/"), {host, urlsplit(address).netloc}
        self.host = host
        self._check = check
        self._credentials: SecretText | None = None
        if password:
            pair = f"{user}:{password.reveal()}"
            self._credentials = SecretText(base64.b64encode(pair.encode()).decode())
        self._pool: urllib3.PoolManager = _pool(
            self._address, urllib3.Timeout(connect=CONNECT_S, read=READ_S)
        )

    @property
    def address(self) -> str:
        """Where it connects to."""
        return self._address

    def close(self) -> None:
        """Let go of its connections."""
        self._pool.clear()

    def has_blob(self, repository: str, digest: str) -> bool:
        """Whether the repository has these bytes."""
        return self._retry(lambda: self._has(repository, digest))

    def manifest(self, repository: str, reference: str) -> Manifest | None:
        """The manifest of a tag or digest, checked against its digest; None if there is no such
        image.
        """

        def get() -> Manifest | None:
            response = self._send(
                _Request(
                    "GET",
                    f"{self._url(repository)}/manifests/{reference}",
                    "say what an image is made of",
                    headers={"Accept": _ACCEPT},
                    streamed=True,
                )
            )
            try:
                if response.status == 404:
                    return None
                body = self._document(response)
            finally:
                _close(response)
            digest = response.headers.get("Docker-Content-Digest") or digest_of(body)
            if reference.startswith("sha256:"):
                digest = reference
            if digest_of(body) != digest:
                raise Refused(
                    f"the registry {self.host} has answered with another manifest than the one of"
                    " its digest"
                )
            media_type = response.headers.get("Content-Type", "").partition(";")[0]
            if not media_type:
                media_type = str(_json_object(body).get("mediaType", MANIFEST))
            return Manifest(body, media_type, digest)

        return self._retry(get)

    def digest(self, repository: str, reference: str) -> str | None:
        """The digest that a tag stands for now, None if there is no such tag."""

        def head() -> str | None:
            url = f"{self._url(repository)}/manifests/{reference}"
            response = self._send(
                _Request("HEAD", url, "say what a tag stands for", headers={"Accept": _ACCEPT})
            )
            if response.status == 404:
                return None
            return response.headers.get("Docker-Content-Digest")

        digest = self._retry(head)
        if digest is not None:
            return digest
        # Some registries leave the header out: then the manifest itself has to be read.
        manifest = self.manifest(repository, reference)
        return manifest.digest if manifest else None

    def document(self, repository: str, digest: str) -> dict[str, Any]:
        """A small blob of JSON, checked against its digest."""

        def get() -> dict[str, Any]:
            with self._blob(repository, digest) as response:
                body = self._document(response)
            if digest_of(body) != digest:
                raise Refused(
                    f"the registry {self.host} has answered with other bytes than those of their"
                    " digest"
                )
            return _json_object(body)

        return self._retry(get)

    def download(self, repository: str, digest: str, path: str, most: int | None = None) -> int:
        """A blob of `most` bytes at most into a file, checked against its digest; its size in
        bytes.
        """

        def get() -> int:
            received = hashlib.sha256()
            with self._blob(repository, digest) as response, open(path, "wb") as file:
                for chunk in self._stream(response):
                    self._check()
                    received.update(chunk)
                    file.write(chunk)
                    if most is not None and file.tell() > most:
                        raise self._failed("give a layer", "it is larger than the image says")
                size = file.tell()
            if f"sha256:{received.hexdigest()}" != digest:
                raise _Retryable(
                    self._failed("give a layer", "its bytes are not those of its digest")
                )
            return size

        return self._retry(get)

    def mount(self, repository: str, digest: str, origin: str) -> bool:
        """Have a blob of another repository of the same registry without sending it; False if the
        registry does not want to.
        """
        url = f"{self._url(repository)}/blobs/uploads/?mount={digest}&from={quote(origin, safe='')}"
        call = "take a layer from another repository"

        def mount() -> bool:
            # Not every registry mounts, and not every base may be read: then it is sent instead.
            request = _Request("POST", url, call, accepted=(400, 403, 404, 405))
            return self._send(request).status == 201

        return self._retry(mount)

    def upload(self, repository: str, digest: str, path: str) -> bool:
        """Send a file as a blob unless the registry has it; whether it was sent."""

        def send() -> bool:
            if self._has(repository, digest):
                return False
            url = f"{self._url(repository)}/blobs/uploads/"
            response = self._send(_Request("POST", url, "take a layer", accepted=(404,)))
            if response.status == 404:
                raise Refused(
                    f"there is no repository `{repository}` in {self.host}",
                    "create it, or correct `repository` in rules.toml",
                )
            response = self._upload_to(self._location(response), digest, path)
            if response.headers.get("Docker-Content-Digest", digest) != digest:
                raise Refused(
                    f"the registry {self.host} has kept a layer under another digest than it was"
                    " sent with"
                )
            usage.sent(os.path.getsize(path))
            return True

        return self._retry(send)

    def _upload_to(self, url: str, digest: str, path: str) -> "BaseHTTPResponse":
        """Send a file to the address of an upload: a large one in parts, whose last has the
        digest.
        """
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            start = 0
            while size > MONOLITHIC and start < size:
                count = min(PART, size - start)
                headers = {
                    "Content-Length": str(count),
                    "Content-Type": "application/octet-stream",
                    "Content-Range": f"{start}-{start + count - 1}",
                }
                body = self._body(file, count)
                part = _Request("PATCH", url, "take a layer", body=body, headers=headers)
                url = self._location(self._send(part))
                start += count
            headers = {
                "Content-Length": str(size - start),
                "Content-Type": "application/octet-stream",
            }
            separator = "&" if urlsplit(url).query else "?"
            url = f"{url}{separator}digest={quote(digest, safe='')}"
            body = self._body(file, size - start)
            return self._send(_Request("PUT", url, "take a layer", body=body, headers=headers))

    def put_manifest(
        self, repository: str, tag: str, body: bytes, media_type: str = MANIFEST
    ) -> None:
        """Give an image its tag, or put one of an index there under its digest. Raises Refused if
        the tag stands for another image already and may not be moved.
        """
        url = f"{self._url(repository)}/manifests/{tag}"
        headers = {"Content-Type": media_type, "Content-Length": str(len(body))}
        self._retry(
            lambda: self._send(
                _Request("PUT", url, "take the image", body=iter([body]), headers=headers)
            )
        )

    def _url(self, repository: str) -> str:
        return f"{self._address}/v2/{repository}"

    def _has(self, repository: str, digest: str) -> bool:
        url = f"{self._url(repository)}/blobs/{digest}"
        return self._send(_Request("HEAD", url, "say what it has")).status == 200

    def _retry(self, call: Callable[[], T]) -> T:
        """Call, and again after failures that may pass. Content is addressed by its digest, so
        repeating a call is safe.
        """
        for pause in PAUSES_S[:RETRIES]:
            try:
                return call()
            except _Retryable:
                self._check()
                time.sleep(pause)
        try:
            return call()
        except _Retryable as last:
            raise last.error from None

    @contextmanager
    def _blob(self, repository: str, digest: str) -> Iterator["BaseHTTPResponse"]:
        """A blob as a stream. Registries redirect to their storage for it, which never gets our
        credentials.
        """
        url = f"{self._url(repository)}/blobs/{digest}"
        for _ in range(_REDIRECTS + 1):
            response = self._send(_Request("GET", url, "give a layer", streamed=True))
            try:
                if response.status in (301, 302, 303, 307, 308):
                    url = self._location(response)
                    continue
                if response.status == 404:
                    raise self._failed("give a layer", "it does not exist")
                yield response
                return
            finally:
                _close(response)
        raise self._failed("give a layer", "it sends from one address to the next")

    def _stream(self, response: "BaseHTTPResponse") -> Iterator[bytes]:
        import urllib3

        try:
            yield from items_until(response.stream(_CHUNK, decode_content=False), self._check)
        except urllib3.exceptions.HTTPError as error:
            raise _Retryable(self._failed("give a layer", _connection_problem(error))) from None

    def _document(self, response: "BaseHTTPResponse") -> bytes:
        body = b""
        for chunk in self._stream(response):
            body += chunk
            if len(body) > _LARGEST_DOCUMENT:
                raise self._failed(
                    "say what an image is made of",
                    f"its answer is larger than {_LARGEST_DOCUMENT >> 20} MiB",
                )
        return body

    def _body(self, file: Any, count: int) -> Iterator[bytes]:
        while count > 0 and (chunk := file.read(min(_CHUNK, count))):
            self._check()
            count -= len(chunk)
            yield chunk

    def _location(self, response: "BaseHTTPResponse") -> str:
        """The address where an upload continues or a download is. Never from https to http, and
        never shown: such addresses are signed.
        """
        location = response.headers.get("Location")
        if not location:
            raise self._failed("take a layer", "it does not say where to")
        url = urlsplit(urljoin(f"{self._address}/", location))
        if url.netloc in self._hosts:
            # The registry may know itself by another address than the one that we reach it by.
            query = f"?{url.query}" if url.query else ""
            return f"{self._address}{url.path}{query}"
        if url.scheme != "https":
            raise Refused(f"the registry {self.host} sends to an address without encryption")
        return url.geturl()

    def _send(self, request: _Request) -> "BaseHTTPResponse":
        """Send one request. A 404 is an error only when changing something."""
        import urllib3

        self._check()
        headers = dict(request.headers)
        # Storage that a download is redirected to must not get the registry's credentials.
        if self._credentials and request.url.startswith(f"{self._address}/"):
            headers["Authorization"] = f"Basic {self._credentials.reveal()}"

        def answered() -> "BaseHTTPResponse":
            # Redirects and retries are ours: the pool does not know who may see the credentials
            # and what may be repeated.
            return self._pool.request(
                request.method,
                request.url,
                headers=headers,
                body=request.body,
                redirect=False,
                retries=False,
                preload_content=not request.streamed,
            )

        try:
            if request.method in ("GET", "HEAD"):
                # Nothing is lost where nobody waits for the answer any more.
                response = BackgroundTask(answered).until(self._check)
            else:
                response = answered()
        except urllib3.exceptions.HTTPError as error:
            raise _Retryable(self._failed(request.call, _connection_problem(error))) from None
        if response.status < 400 or response.status in request.accepted:
            return response
        if response.status == 404 and request.method in ("GET", "HEAD"):
            return response
        try:
            raise self._problem(response, request.call)
        finally:
            response.close()

    def _problem(self, response: "BaseHTTPResponse", call: str) -> Exception:
        """The error that a status of 400 or more means."""
        code, message = _error_of(response)
        reason = message or f"{response.status} {response.reason or ''}".strip()
        if response.status == 429 or response.status >= 500:
            return _Retryable(self._failed(call, reason))
        if denied := _DENIED.search(message):
            return NotAllowed(action=denied[1], resource=denied[2])
        if response.status in (401, 403):
            return CredentialsProblem(call=f"the image registry {self.host}", reason=reason)
        if code == "TAG_INVALID" and "immutable" in message:
            return tag_taken()
        return self._failed(call, reason)

    def _failed(self, call: str, reason: str) -> RegistryError:
        return RegistryError(host=self.host, call=call, reason=reason)


def _close(response: "BaseHTTPResponse") -> None:
    """Close an answer that another thread may still be reading: it holds a lock on it until its
    read ends.
    """
    with suppress(OSError, ValueError, RuntimeError):  # it was read to its end
        response.shutdown()
    response.close()


def tag_taken() -> TagTaken:
    """The error for a tag that stands for another image."""
    return TagTaken(
        "someone has pushed another image under this tag, and a tag is not moved",
        "see what it is with `aws ecr describe-images`; deploy that image by its tag, or commit and"
        " deploy again",
    )


def connected(registry: RegistryAddress, check: Callable[[], None]) -> RegistryClient:
    """A client for the registry that images are pushed to."""
    return RegistryClient(registry.address, registry.host, registry.user, registry.password, check)


def _error_of(response: "BaseHTTPResponse") -> tuple[str, str]:
    """The registry's own code and message, without what follows a question mark: signatures of
    addresses stand there.
    """
    import urllib3

    try:
        first = json.loads(response.data)["errors"][0]
        return str(first.get("code", "")), re.sub(r"\?\S*", "", str(first.get("message", "")))[:500]
    except (ValueError, LookupError, TypeError, AttributeError, urllib3.exceptions.HTTPError):
        return "", ""


def _connection_problem(error: Exception) -> str:
    """The reason in words of our own: those of urllib3 contain the whole address."""
    from urllib3 import exceptions

    reasons: Mapping[type[Exception], str] = {
        exceptions.SSLError: "its certificate is not trusted",
        exceptions.NameResolutionError: "its name is not known here",
        exceptions.ReadTimeoutError: f"no answer within {READ_S:g} s",
        exceptions.NewConnectionError: "no connection",
        exceptions.ConnectTimeoutError: f"no connection within {CONNECT_S:g} s",
        exceptions.ProxyError: "the proxy does not let it through",
    }
    for kind, reason in reasons.items():
        if isinstance(error, kind):
            return reason
    return "the connection broke"


def _pool(address: str, timeout: Any) -> Any:
    """A connection pool that honours the proxy variables of the environment and AWS_CA_BUNDLE."""
    from urllib.request import getproxies, proxy_bypass

    import urllib3

    split = urlsplit(address)
    options: dict[str, Any] = {
        "timeout": timeout,
        "ca_certs": os.environ.get("AWS_CA_BUNDLE"),
        "maxsize": 2,
    }
    proxy = getproxies().get(split.scheme)
    if proxy and not is_loopback(split.hostname or "") and not proxy_bypass(split.netloc):
        return urllib3.ProxyManager(proxy, **options)
    return urllib3.PoolManager(**options)


def is_loopback(host: str) -> bool:
    """Whether a name is this machine's own."""
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None
