"""Reads what the hooks in node and Python write (ports/tracing): lines -> lookups of paths."""

import json
from collections.abc import Iterator
from typing import Any

from toolkit.operations import Lookup, LookupKind

PROGRAM = "program"
"""The word of a line about a program that was started, in which no hook may be."""


class HookLog:
    """Takes the lines of all processes in the order of their moments. `unread` counts those that
    were cut off; `programs` are those that were started.
    """

    def __init__(self) -> None:
        self.unread = 0
        self.programs: set[str] = set()

    def lookups(self, line: bytes) -> Iterator[Lookup]:
        """The lookups of a line: a moment, what happened, and the path or paths as JSON."""
        try:
            moment, word, *paths = _parts(line)
            began = int(moment)
            if word == PROGRAM:
                self.programs.add(paths[0])
                return
            to = paths[1] if len(paths) > 1 else ""
            yield Lookup(LookupKind(word), paths[0], began, began, paths[0], to)
        except (ValueError, IndexError, TypeError):
            self.unread += 1


def moment(line: bytes) -> int:
    """The moment of a line, to put those of several processes in order; 0 for none."""
    word = line.partition(b" ")[0]
    return int(word) if word.isdigit() else 0


def _parts(line: bytes) -> list[Any]:
    moment, word, paths = line.decode("ascii").split(" ", 2)
    return [moment, word, *json.loads(paths)]
