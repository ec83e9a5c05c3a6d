"""Who may talk to the sandbox: it runs programs as the person who started it. Standard library only, for it runs in the emulator's process.

A web page can send requests to the loopback, and so can everybody else who is logged in.
"""

import os
import re
from collections.abc import Container, Iterable, Mapping

OPEN = ("/_service/", "/_alb/")
"""What a browser is for: the person's own services behind their load balancers."""

_OURS = re.compile(r"(?:127\.0\.0\.1|localhost|(?:[\w-]+\.)+(?:localhost|amazonaws\.com|cloudfront\.net|on\.aws))(?::\d+)?", re.IGNORECASE)
_TABLE = "/proc/net/tcp"


def refusal(path: str, headers: Mapping[str, str], client: tuple[str, int] | None, hosts: Container[str] = ()) -> str | None:
    """Why a request is not answered, None if it is. `hosts` are names of the person's own services."""
    if not path.startswith(OPEN) and host(headers) not in hosts:
        if "origin" in headers or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return "web pages may not use the sandbox"
        if not _OURS.fullmatch(headers.get("host", "127.0.0.1")):
            return "the sandbox is not known by this name"
    owner = _owner(client)
    if owner not in (None, 0, os.getuid()):
        return "the sandbox belongs to somebody else on this machine"
    return None


def host(headers: Mapping[str, str]) -> str:
    """The name that a request means, without its port."""
    return headers.get("host", "").partition(":")[0].lower()


def _owner(client: tuple[str, int] | None) -> int | None:
    """The user id at the other end of a connection, None where the system does not tell."""
    if client is None:
        return None
    try:
        with open(_TABLE, encoding="ascii") as table:
            return owner(table, *client)
    except OSError:
        return None


def owner(table: Iterable[str], address: str, port: int) -> int | None:
    """Whose the socket with this address is, by Linux's table of sockets; None if it is not there."""
    wanted = f"{bytes(reversed([int(part) for part in address.split('.')])).hex().upper()}:{port:04X}"
    for line in table:
        fields = line.split()
        if len(fields) > 7 and fields[1] == wanted:
            return int(fields[7])
    return None
