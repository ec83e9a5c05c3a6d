"""Settings, read once from the environment: the image is the same everywhere, only these differ."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Config:
    host: str = "127.0.0.1"
    port: int = 8080
    version: str = "dev"
    commit: str = "unknown"
    allowed_origin: str = "*"
    demo_user: str = "demo"
    demo_password: str = field(default="demo", repr=False)
    token_secret: bytes = field(default=b"", repr=False)
    crash_on_start: bool = False


def from_environment(env: Mapping[str, str]) -> Config:
    """Take what is set, and a default for the rest; an empty variable counts as not set.

    Without TOKEN_SECRET every start makes up its own: safe, and enough as long as this process
    alone issues tokens.
    """
    return Config(
        host=env.get("HOST") or Config.host,
        port=_port(env.get("PORT") or str(Config.port)),
        version=env.get("APP_VERSION") or Config.version,
        commit=env.get("APP_COMMIT") or Config.commit,
        allowed_origin=env.get("ALLOWED_ORIGIN") or Config.allowed_origin,
        demo_user=env.get("DEMO_USER") or Config.demo_user,
        demo_password=env.get("DEMO_PASSWORD") or Config.demo_password,
        token_secret=(env.get("TOKEN_SECRET") or secrets.token_hex()).encode(),
        crash_on_start=env.get("CRASH_ON_START") == "1",
    )


def _port(text: str) -> int:
    """0 is allowed and means any free port."""
    if text.isascii() and text.isdigit() and int(text) < 65536:
        return int(text)
    raise ValueError(f"PORT must be a number from 0 to 65535, not {text!r}")
