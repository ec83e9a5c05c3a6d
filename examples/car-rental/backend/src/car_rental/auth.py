"""Bearer tokens: the claims and an HMAC over them, so that a token needs no store to be checked.

The login Lambda issues the same tokens (lambda/login_handler/handler.py); a test there holds the
two together.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

LIFETIME = 3600  # seconds


def issue(user: str, secret: bytes, now: float) -> str:
    claims = json.dumps({"sub": user, "exp": int(now) + LIFETIME}, separators=(",", ":")).encode()
    return f"{_encode(claims)}.{_encode(_sign(claims, secret))}"


def verify(token: str, secret: bytes, now: float) -> str | None:
    """The user that the token speaks for, or None when it is forged, malformed or expired."""
    try:
        claims, signature = map(_decode, token.split("."))
    except ValueError:
        return None
    if not hmac.compare_digest(signature, _sign(claims, secret)):
        return None
    content = json.loads(claims)
    return content["sub"] if now < content["exp"] else None


def same(given: object, expected: str) -> bool:
    """Compare in constant time, so that the time taken does not tell how much of a guess was
    right.
    """
    return isinstance(given, str) and hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _sign(claims: bytes, secret: bytes) -> bytes:
    return hmac.new(secret, claims, hashlib.sha256).digest()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
