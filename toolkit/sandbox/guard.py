"""Who may use the sandbox, which runs programs as the person who started it. It runs in the
emulator's process, so it uses the standard library only.

Every user of this machine can connect to its loopback, and so can every web page. So whatever acts
or reveals something needs a signature or a password that only the owner can make; unclear requests
are refused. Only the person's own services, which listen on the loopback anyway, are open, and such
requests reach nothing else.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import unquote

MIRROR = "mirror/"
"""Repositories that everybody may read, and that belong to no account of a person: the empty bases
of images.
"""

_OURS = re.compile(
    r"(?:127\.0\.0\.1|localhost|(?:[\w-]+\.)+(?:localhost|amazonaws\.com|cloudfront\.net|on\.aws))(?::\d+)?",
    re.IGNORECASE,
)
_PASSWORD = re.compile(r"AWS:(sandbox-([0-9]{12})-([a-z0-9-]+)-[0-9a-f]{64})")


def refusal(headers: Mapping[str, str]) -> str | None:
    """Why a request is refused before it is read, None if it is not. No web page can sign, so none
    is let in.
    """
    if "origin" in headers or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return "web pages may not use the sandbox"
    if not _OURS.fullmatch(headers.get("host", "127.0.0.1")):
        return "the sandbox is not known by this name"
    return None


def host_name(headers: Mapping[str, str]) -> str:
    """The host that a request is for, without its port."""
    return headers.get("host", "").partition(":")[0].lower()


def proof(secret: str, nonce: str) -> str:
    """An answer that only a server with the secret can give, and that does not reveal it."""
    return hmac.digest(secret.encode(), f"toolkit sandbox {nonce}".encode(), "sha256").hex()


def password(secret: str, account: str, region: str) -> str:
    """The registry's password of an account and region, as `aws ecr get-login-password` has it."""
    digest = hmac.new(
        secret.encode(), f"registry {account} {region}".encode(), hashlib.sha256
    ).hexdigest()
    return f"sandbox-{account}-{region}-{digest}"


def registry_scope(secret: str, login: str | None) -> tuple[str, str] | None:
    """The account and region whose registry a login may use, None if it is not valid. `login` is
    USER:PASSWORD.
    """
    parts = _PASSWORD.fullmatch(login or "")
    if parts and hmac.compare_digest(parts[1], password(secret, parts[2], parts[3])):
        return parts[2], parts[3]
    return None


def is_public(method: str, path: str) -> bool:
    """Whether everybody may read this from the registry: builders have no password for
    base images.
    """
    plain = unquote(path)
    return method in ("GET", "HEAD") and plain.startswith(f"/v2/{MIRROR}") and ".." not in plain
