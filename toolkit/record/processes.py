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


def current_process() -> Process:
    """The process that asks."""
    return Process(socket.gethostname(), _boot_id(), os.getpid(), _start_and_state(os.getpid())[0])


def is_running(process: Process) -> bool | None:
    """Whether a process still runs; None if that cannot be known from here.

    Two machines may have one name: only the same start of the same machine, and the same container
    of it, counts as here.
    """
    boot = _boot_id()
    if process.pid <= 0 or not boot or (process.host, process.boot) != (socket.gethostname(), boot):
        return None
    try:
        os.kill(process.pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it is there, and somebody else's
    started, state = _start_and_state(process.pid)
    if state in ("Z", "X"):
        return False
    # A process of this number that was started at another time is another one.
    return not started or not process.started or started == process.started


def facts() -> dict[str, Any]:
    """The facts by which a journal's line tells who wrote it."""
    process = current_process()
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


def _boot_id() -> str:
    """Since when this machine runs, and which of its containers this is."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _start_and_state(pid: int) -> tuple[str, str]:
    """When a process was started, and its state's letter; empty where nobody tells."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return fields[19].decode(), fields[0].decode()
    except (OSError, IndexError):
        return "", ""
