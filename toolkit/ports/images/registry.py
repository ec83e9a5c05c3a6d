"""An image registry over HTTP, as the OCI distribution specification has it. Nothing of an address
but its host is ever told.
"""

import base64
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urljoin, urlsplit

from msgspec import Struct

from toolkit.errors import CredentialsProblem, NotAllowed, Refused, RegistryError, TagTaken
from toolkit.ports.images.types import RegistryAddress, SecretText

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
INDEXES = (INDEX, _DOCKER_INDEX)
_ACCEPT = ", ".join((MANIFEST, INDEX, _DOCKER_MANIFEST, _DOCKER_INDEX))

CONNECT_S, READ_S = 5.0, 60.0
RETRIES = 3
PAUSES_S = (0.5, 1.0, 2.0)
"""Waited before the first, second and third try again."""
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
        """What it says."""
        found = json.loads(self.body)
        return found if isinstance(found, dict) else {}


class _Again(Exception):
    """A failure that may be over in a moment."""

    def __init__(self, error: RegistryError) -> None:
        self.error = error


def digest_of(data: bytes) -> str:
    """The name that a registry knows these bytes by."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class RegistryClient:
    """One registry. `check` raises when the run is to stop; it is asked before each request and
    while bytes flow.
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
        self._credentials = (
            SecretText(base64.b64encode(f"{user}:{password.reveal()}".encode()).decode())
            if password
            else None
        )
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
        return self._tried(lambda: self._has(repository, digest))

    def manifest(self, repository: str, reference: str) -> Manifest | None:
        """What a tag or digest stands for, checked against its digest; None if there is no such
        image.
        """

        def get() -> Manifest | None:
            url = f"{self._url(repository)}/manifests/{reference}"
            answer = self._ask(
                "GET",
                url,
                "say what an image is made of",
                headers={"Accept": _ACCEPT},
                streamed=True,
            )
            try:
                if answer.status == 404:
                    return None
                body = self._document(answer)
            finally:
                answer.close()
            said = answer.headers.get("Docker-Content-Digest") or digest_of(body)
            wanted = reference if reference.startswith("sha256:") else said
            if digest_of(body) != wanted:
                raise Refused(
                    f"the registry {self.host} has answered with another manifest than the one of"
                    " its digest"
                )
            media_type = answer.headers.get("Content-Type", "").partition(";")[0] or json.loads(
                body
            ).get("mediaType", MANIFEST)
            return Manifest(body, media_type, wanted)

        return self._tried(get)

    def digest(self, repository: str, reference: str) -> str | None:
        """The digest that a tag stands for now, None if the tag is not there."""

        def head() -> str | None:
            url = f"{self._url(repository)}/manifests/{reference}"
            answer = self._ask(
                "HEAD", url, "say what a tag stands for", headers={"Accept": _ACCEPT}
            )
            if answer.status == 404:
                return None
            return answer.headers.get("Docker-Content-Digest")

        said = self._tried(head)
        if said is None:
            found = self.manifest(repository, reference)
            return found.digest if found else None
        return said

    def document(self, repository: str, digest: str) -> dict[str, Any]:
        """A small blob of JSON, checked against its digest."""

        def get() -> dict[str, Any]:
            with self._blob(repository, digest) as answer:
                body = self._document(answer)
            if digest_of(body) != digest:
                raise Refused(
                    f"the registry {self.host} has answered with other bytes than those of their"
                    " digest"
                )
            found = json.loads(body)
            return found if isinstance(found, dict) else {}

        return self._tried(get)

    def download(self, repository: str, digest: str, path: str) -> int:
        """A blob into a file, checked against its digest; its size in bytes."""

        def get() -> int:
            found = hashlib.sha256()
            with self._blob(repository, digest) as answer, open(path, "wb") as file:
                for chunk in self._flow(answer):
                    self._check()
                    found.update(chunk)
                    file.write(chunk)
                size = file.tell()
            if f"sha256:{found.hexdigest()}" != digest:
                raise _Again(self._failed("give a layer", "its bytes are not those of its digest"))
            return size

        return self._tried(get)

    def mount(self, repository: str, digest: str, origin: str) -> bool:
        """Have a blob of another repository of the same registry without sending it; False if the
        registry does not want to.
        """
        url = f"{self._url(repository)}/blobs/uploads/?mount={digest}&from={quote(origin, safe='')}"
        return self._tried(
            lambda: (
                self._ask(
                    "POST", url, "take a layer from another repository", (400, 403, 404, 405)
                ).status
                == 201
            )
        )

    def upload(self, repository: str, digest: str, path: str) -> bool:
        """Send a file as a blob unless it is there already; whether it was sent."""

        def send() -> bool:
            if self._has(repository, digest):
                return False
            answer = self._ask(
                "POST", f"{self._url(repository)}/blobs/uploads/", "take a layer", (404,)
            )
            if answer.status == 404:
                raise Refused(
                    f"there is no repository `{repository}` in {self.host}",
                    "create it, or correct `repository` in rules.toml",
                )
            where = self._location(answer)
            size = os.path.getsize(path)
            with open(path, "rb") as file:
                start = 0
                while size > MONOLITHIC and start < size:
                    count = min(PART, size - start)
                    range_ = f"{start}-{start + count - 1}"
                    headers = {
                        "Content-Length": str(count),
                        "Content-Type": "application/octet-stream",
                        "Content-Range": range_,
                    }
                    where = self._location(
                        self._ask(
                            "PATCH", where, "take a layer", (), self._body(file, count), headers
                        )
                    )
                    start += count
                headers = {
                    "Content-Length": str(size - start),
                    "Content-Type": "application/octet-stream",
                }
                last = (
                    f"{where}{'&' if urlsplit(where).query else '?'}digest={quote(digest, safe='')}"
                )
                answer = self._ask(
                    "PUT", last, "take a layer", (), self._body(file, size - start), headers
                )
            if answer.headers.get("Docker-Content-Digest", digest) != digest:
                raise Refused(
                    f"the registry {self.host} has kept a layer under another digest than it was"
                    " sent with"
                )
            return True

        return self._tried(send)

    def put_manifest(self, repository: str, tag: str, body: bytes) -> None:
        """Give an image its tag. Raises Refused if the tag stands for another image already and may
        not be moved.
        """
        headers = {"Content-Type": MANIFEST, "Content-Length": str(len(body))}
        self._tried(
            lambda: self._ask(
                "PUT",
                f"{self._url(repository)}/manifests/{tag}",
                "take the image",
                (),
                iter([body]),
                headers,
            )
        )

    def _url(self, repository: str) -> str:
        return f"{self._address}/v2/{repository}"

    def _has(self, repository: str, digest: str) -> bool:
        return (
            self._ask("HEAD", f"{self._url(repository)}/blobs/{digest}", "say what it has").status
            == 200
        )

    def _tried(self, do: Callable[[], T]) -> T:
        """Content is known by its digest, so that any of these may be done again."""
        for pause in PAUSES_S[:RETRIES]:
            try:
                return do()
            except _Again:
                self._check()
                time.sleep(pause)
        try:
            return do()
        except _Again as last:
            raise last.error from None

    @contextmanager
    def _blob(self, repository: str, digest: str) -> Iterator["BaseHTTPResponse"]:
        """A blob as it comes. Registries send the asker elsewhere for it: there without
        credentials.
        """
        url = f"{self._url(repository)}/blobs/{digest}"
        for _ in range(_REDIRECTS + 1):
            answer = self._ask("GET", url, "give a layer", streamed=True)
            try:
                if answer.status in (301, 302, 303, 307, 308):
                    url = self._location(answer)
                    continue
                if answer.status == 404:
                    raise self._failed("give a layer", "it is not there")
                yield answer
                return
            finally:
                answer.close()
        raise self._failed("give a layer", "it sends from one address to the next")

    def _flow(self, answer: "BaseHTTPResponse") -> Iterator[bytes]:
        import urllib3

        try:
            yield from answer.stream(_CHUNK, decode_content=False)
        except urllib3.exceptions.HTTPError as error:
            raise _Again(self._failed("give a layer", _words(error))) from None

    def _document(self, answer: "BaseHTTPResponse") -> bytes:
        body = b""
        for chunk in self._flow(answer):
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

    def _location(self, answer: "BaseHTTPResponse") -> str:
        """Where an upload goes on, or a download is. Never from https to http, and never said
        aloud: such addresses are signed.
        """
        said = answer.headers.get("Location")
        if not said:
            raise self._failed("take a layer", "it does not say where to")
        url = urlsplit(urljoin(f"{self._address}/", said))
        if url.netloc in self._hosts:
            return f"{self._address}{url.path}{f'?{url.query}' if url.query else ''}"
        if url.scheme != "https":
            raise Refused(f"the registry {self.host} sends to an address without encryption")
        return url.geturl()

    def _ask(
        self,
        method: str,
        url: str,
        call: str,
        fine: tuple[int, ...] = (),
        body: Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        streamed: bool = False,
    ) -> "BaseHTTPResponse":
        """One request. An answer of 404 to a question (not to a change) is an answer."""
        import urllib3

        self._check()
        ours = url.startswith(f"{self._address}/")
        sent = {
            **(headers or {}),
            **(
                {"Authorization": f"Basic {self._credentials.reveal()}"}
                if ours and self._credentials
                else {}
            ),
        }
        try:
            answer = self._pool.request(
                method,
                url,
                headers=sent,
                body=body,
                redirect=False,
                retries=False,
                preload_content=not streamed,
            )
        except urllib3.exceptions.HTTPError as error:
            raise _Again(self._failed(call, _words(error))) from None
        if (
            answer.status < 400
            or answer.status in fine
            or (answer.status == 404 and method in ("GET", "HEAD"))
        ):
            return answer
        try:
            raise self._problem(answer, call)
        finally:
            answer.close()

    def _problem(self, answer: "BaseHTTPResponse", call: str) -> Exception:
        """What an answer above 400 means."""
        code, message = _told(answer)
        reason = message or f"{answer.status} {answer.reason or ''}".strip()
        if answer.status == 429 or answer.status >= 500:
            return _Again(self._failed(call, reason))
        if denied := _DENIED.search(message):
            return NotAllowed(action=denied[1], resource=denied[2])
        if answer.status in (401, 403):
            return CredentialsProblem(call=f"the image registry {self.host}", reason=reason)
        if code == "TAG_INVALID" and "immutable" in message:
            return taken()
        return self._failed(call, reason)

    def _failed(self, call: str, reason: str) -> RegistryError:
        return RegistryError(host=self.host, call=call, reason=reason)


def taken() -> TagTaken:
    """The error of a tag that stands for something else."""
    return TagTaken(
        "somebody has pushed another image under this tag, and a tag is not moved",
        "see what it is with `aws ecr describe-images`; deploy it with --no-build --image TAG, or"
        " commit and deploy again",
    )


def connected(registry: RegistryAddress, check: Callable[[], None]) -> RegistryClient:
    """A client for the registry that images are pushed to."""
    return RegistryClient(registry.address, registry.host, registry.user, registry.password, check)


def _told(answer: "BaseHTTPResponse") -> tuple[str, str]:
    """The registry's own code and words, without whatever follows a question mark: that is where
    signatures are.
    """
    import urllib3

    try:
        first = json.loads(answer.data)["errors"][0]
        return str(first.get("code", "")), re.sub(r"\?\S*", "", str(first.get("message", "")))[:500]
    except (ValueError, LookupError, TypeError, AttributeError, urllib3.exceptions.HTTPError):
        return "", ""


def _words(error: Exception) -> str:
    """urllib3's own words hold the whole address."""
    from urllib3 import exceptions as known

    told: Mapping[type[Exception], str] = {
        known.SSLError: "its certificate is not trusted",
        known.NameResolutionError: "its name is not known here",
        known.ReadTimeoutError: f"no answer within {READ_S:g} s",
        known.NewConnectionError: "no connection",
        known.ConnectTimeoutError: f"no connection within {CONNECT_S:g} s",
        known.ProxyError: "the proxy does not let it through",
    }
    return next(
        (words for kind, words in told.items() if isinstance(error, kind)), "the connection broke"
    )


def _pool(address: str, timeout: Any) -> Any:
    """Connections, through the proxy that the environment names; certificates as the system or
    AWS_CA_BUNDLE has them.
    """
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
