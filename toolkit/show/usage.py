"""What runs and steps have taken on this machine, as people and programs read it."""

from collections.abc import Mapping
from typing import Any

from toolkit.formats.words import size
from toolkit.operations import Usage
from toolkit.show.table import table
from toolkit.show.text import line, wrapped

UNKNOWN = "unknown"


def lines(steps: Mapping[str, Usage], whole: Usage | None, width: int) -> list[str]:
    """What each step has taken here, and the run as a whole; nothing where nothing was measured."""
    rows = [_row(line(step), usage) for step, usage in steps.items()]
    if whole is not None:
        rows.append(_row("in all, with toolkit", whole))
    if not rows:
        return []
    shown = table(("on this machine", "processor", "memory", "sent"), rows).splitlines()
    for step, usage in steps.items():
        for what in usage.unmeasured:
            shown += wrapped(f"not measured: {line(what)} ({line(step)})", width, "  ")
    return shown


def _row(name: str, usage: Usage) -> tuple[str, str, str, str]:
    cpu, memory, sent = UNKNOWN, UNKNOWN, UNKNOWN
    if usage.cpu_s is not None:
        cpu = f"{usage.cpu_s:.1f}s"
    if usage.memory_bytes is not None:
        memory = size(usage.memory_bytes)
    if usage.sent_bytes is not None:
        sent = size(usage.sent_bytes)
    return name, cpu, memory, sent


def document(usage: Usage | None) -> dict[str, Any] | None:
    """The same for programs, None where nothing was measured."""
    if usage is None:
        return None
    return {
        "cpu_s": usage.cpu_s,
        "memory_bytes": usage.memory_bytes,
        "sent_bytes": usage.sent_bytes,
        "unmeasured": list(usage.unmeasured),
    }
