"""Which process did it, and whether it is still there: a number alone may belong to another one
after a restart.
"""

import getpass
import os
import socket
from typing import Any

from msgspec import Struct


class Process(Struct, frozen=True):
    """One process of one machine. `boot` and `started` are opaque, and empty where the system does
    not tell.
    """

    host: str
    boot: str
    pid: int
    started: str


def this() -> Process:
    """The process that asks."""
    return of(os.getpid())


def of(pid: int) -> Process:
    """A process of this machine."""
    return Process(socket.gethostname(), _boot(), pid, _state(pid)[0])


def alive(process: Process) -> bool | None:
    """Whether a process still runs; None if that cannot be known from here.

    Two machines may have one name: only the same start of the same machine, and the same container
    of it, counts as here.
    """
    boot = _boot()
    if process.pid <= 0 or not boot or (process.host, process.boot) != (socket.gethostname(), boot):
        return None
    try:
        os.kill(process.pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it is there, and somebody else's
    started, state = _state(process.pid)
    if state in ("Z", "X"):
        return False
    return started == process.started if started and process.started else True


def facts() -> dict[str, Any]:
    """The facts by which a journal's line tells who wrote it."""
    process = this()
    return {
        "user": user(),
        "host": process.host,
        "pid": process.pid,
        "boot": process.boot,
        "started": process.started,
    }


def user() -> str:
    """The name of the person, or of their number where it has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())


def _boot() -> str:
    """Since when this machine runs, and which of its containers this is."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _state(pid: int) -> tuple[str, str]:
    """When a process was started, and its state's letter; empty where nobody tells."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return fields[19].decode(), fields[0].decode()
    except (OSError, IndexError):
        return "", ""
