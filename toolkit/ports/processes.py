"""Which process wrote something, and whether it still runs. A pid alone may belong to another
process by now.
"""

import getpass
import os
from typing import Any

from msgspec import Struct


class Process(Struct, frozen=True):
    """One process on one machine. `boot` and `started` are opaque, and empty if the system does not
    tell them.
    """

    host: str
    boot: str
    pid: int
    started: str


def current_process() -> Process:
    """This process."""
    return process_of(os.getpid())


def process_of(pid: int) -> Process:
    """The process that has this number on this machine."""
    return Process(os.uname().nodename, _boot_id(), pid, _start_and_state(pid)[0])


def is_running(process: Process) -> bool | None:
    """Whether a process still runs; None if that cannot be known from here.

    Two machines may have the same name: only the same boot of the machine, in the same container,
    counts as here.
    """
    boot = _boot_id()
    if process.pid <= 0 or not boot or (process.host, process.boot) != (os.uname().nodename, boot):
        return None
    try:
        # Signal 0 only asks whether the process exists.
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
    """What a journal's line says of the process that wrote it."""
    process = current_process()
    return {
        "user": user(),
        "host": process.host,
        "pid": process.pid,
        "boot": process.boot,
        "started": process.started,
    }


def user() -> str:
    """The user's name, or their number if there is no name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())


def _boot_id() -> str:
    """Identifies this boot of the machine and the container we are in; empty if the system does not
    tell.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _start_and_state(pid: int) -> tuple[str, str]:
    """When a process was started, and the letter of its state; empty if the system does
    not tell.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The program's name, in parentheses, may contain blanks and parentheses itself.
            fields = file.read().rpartition(b")")[2].split()
        return fields[19].decode(), fields[0].decode()
    except (OSError, IndexError):
        return "", ""
