"""POST /login behind API Gateway: checks the demo user and issues a token that the backend accepts.

It repeats the few lines of car_rental.auth that make a token, because the function and the image
are deployed apart: shared code would make every change of it a deploy of both. A test in
lambda/tests checks that the backend agrees.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from typing import Any

LIFETIME = 3600  # seconds


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    secret = os.environ.get("TOKEN_SECRET", "")
    if not secret:
        print("TOKEN_SECRET is not set: no token can be signed")
        return _response(500, {"error": "login is not set up"})
    form = _form(event)
    if form is None:
        return _response(400, {"error": "the body must be a JSON object"})
    if not _is_demo_user(form):
        return _response(401, {"error": "wrong user or password"})
    return _response(200, {"token": _issue(form["user"], secret.encode(), time.time()), "expires_in": LIFETIME})


def _form(event: dict[str, Any]) -> dict[str, Any] | None:
    """The JSON object in the body, which API Gateway hands over as text or in base64."""
    body = event.get("body") or ""
    try:
        content = json.loads(base64.b64decode(body) if event.get("isBase64Encoded") else body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _is_demo_user(form: dict[str, Any]) -> bool:
    user_fits = _same(form.get("user"), os.environ.get("DEMO_USER") or "demo")
    password_fits = _same(form.get("password"), os.environ.get("DEMO_PASSWORD") or "demo")
    return user_fits and password_fits


def _same(given: object, expected: str) -> bool:
    """Compare in constant time, so that the time taken does not tell how much of a guess was
    right.
    """
    return isinstance(given, str) and hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _issue(user: str, secret: bytes, now: float) -> str:
    claims = json.dumps({"sub": user, "exp": int(now) + LIFETIME}, separators=(",", ":")).encode()
    signature = hmac.new(secret, claims, hashlib.sha256).digest()
    return f"{_encode(claims)}.{_encode(signature)}"


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _response(status: int, content: dict[str, Any]) -> dict[str, Any]:
    headers = {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "Access-Control-Allow-Origin": os.environ.get("ALLOWED_ORIGIN") or "*",
    }
    return {"statusCode": status, "headers": headers, "body": json.dumps(content)}
