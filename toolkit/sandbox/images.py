"""The images that the sandbox brings: stubs of base images, and the one that runs before the first
deploy.
"""

import base64
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException

from msgspec import Struct

from toolkit.errors import ProgramFailed
from toolkit.sandbox import guard

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
PATIENCE_S = 30.0

ANSWER = """\
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "26")
        self.end_headers()
        self.wfile.write(b"sandbox: nothing deployed\\n")

address = (os.environ["HOST"], int(os.environ["PORT"]))
http.server.ThreadingHTTPServer(address, Handler).serve_forever()
"""
"""What the first image answers to everything."""


class SandboxRegistry(Struct, frozen=True):
    """The sandbox's registry: its port, and the secret that its passwords are made of."""

    port: int
    secret: str


class SandboxImage(Struct, frozen=True):
    """An image as it is pushed: its blobs by digest, and the manifest that names them."""

    blobs: Mapping[str, bytes]
    manifest: bytes

    @property
    def digest(self) -> str:
        """What it is called by."""
        return _digest(self.manifest)


def image(
    files: Mapping[str, str],
    command: Sequence[str],
    env: Mapping[str, str],
    labels: Mapping[str, str] | None = None,
    architecture: str = "amd64",
) -> SandboxImage:
    """An image of these files (path -> text) that runs this command; the same every time."""
    layer = _tar(files)
    # Without a time in it the digest is the same every time.
    packed = gzip.compress(layer, mtime=0)
    config = {
        "architecture": architecture,
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        "config": {
            "Cmd": [*command],
            "Env": [f"{name}={value}" for name, value in env.items()],
            "Labels": {**(labels or {})},
        },
    }
    described = json.dumps(config, sort_keys=True).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _descriptor("application/vnd.oci.image.config.v1+json", described),
        "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar+gzip", packed)],
    }
    return SandboxImage(
        {_digest(packed): packed, _digest(described): described},
        json.dumps(manifest, sort_keys=True).encode(),
    )


def first_image(port: int) -> SandboxImage:
    """The image that a service runs until something is deployed: it answers on `port`."""
    everywhere = "0.0.0.0"  # noqa: S104 (the engine gives each task an address)
    env = {"HOST": everywhere, "PORT": str(port), "PYTHONUNBUFFERED": "1"}
    return image({"app/first.py": ANSWER}, ["python", "/app/first.py"], env)


def stub_image(name: str, architecture: str) -> SandboxImage:
    """An empty base image: the sandbox runs programs with this machine's interpreters."""
    env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    return image({}, [], env, {"toolkit.sandbox.stub": name}, architecture)


def push_image(
    to: SandboxRegistry, repository: str, tag: str, pushed: SandboxImage, account: str, region: str
) -> str:
    """Push to the sandbox's registry, into a repository that exists; returns the digest. Raises
    ProgramFailed.
    """
    headers = _login(to, account, region)
    for digest, blob in pushed.blobs.items():
        _send(to.port, "POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", blob, headers)
    _send(
        to.port,
        "PUT",
        f"/v2/{repository}/manifests/{tag}",
        pushed.manifest,
        {**headers, "Content-Type": MANIFEST},
    )
    return pushed.digest


def push_stub(
    to: SandboxRegistry, repository: str, tag: str, name: str, account: str, region: str
) -> None:
    """Push a base image for each architecture that a Dockerfile may ask for. Raises
    ProgramFailed.
    """
    listed = []
    for architecture in ("amd64", "arm64"):
        pushed = stub_image(name, architecture)
        digest = push_image(to, repository, pushed.digest, pushed, account, region)
        platform = {"os": "linux", "architecture": architecture}
        listed.append(
            {
                "mediaType": MANIFEST,
                "digest": digest,
                "size": len(pushed.manifest),
                "platform": platform,
            }
        )
    index = json.dumps(
        {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}, sort_keys=True
    ).encode()
    _send(
        to.port,
        "PUT",
        f"/v2/{repository}/manifests/{tag}",
        index,
        {**_login(to, account, region), "Content-Type": INDEX},
    )


def _login(to: SandboxRegistry, account: str, region: str) -> dict[str, str]:
    login = f"AWS:{guard.password(to.secret, account, region)}"
    return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}


def _send(port: int, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, HTTPException) as problem:
        raise ProgramFailed(program="the sandbox's registry", reason=str(problem)) from None
    finally:
        connection.close()
    if answer.status != 201:
        raise ProgramFailed(
            program="the sandbox's registry",
            reason=f"{answer.status} {content.decode('utf-8', 'replace')[:200]}",
        )


def _tar(files: Mapping[str, str]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, text in sorted(files.items()):
            member = tarfile.TarInfo(name)
            data = text.encode()
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))
    return raw.getvalue()


def _descriptor(kind: str, data: bytes) -> dict[str, object]:
    return {"mediaType": kind, "digest": _digest(data), "size": len(data)}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
