"""The events of a stack and of the stacks in it, as they happen, whoever deploys it."""

from datetime import UTC, datetime
from typing import Any

from toolkit.operations import Job, LogEvent, LogLook
from toolkit.ports.aws import cloudformation as cfn
from toolkit.ports.ports import Ports
from toolkit.targets.stack.events import SLACK, event_line, is_own, nested_stacks
from toolkit.targets.stack.observe import stack_name

NESTED_MOST = 100
"""How many stacks are followed."""


class _FollowedStack:
    """One stack, and what of it was read. It is searched back to the newest event that is known, or
    to `since`.
    """

    def __init__(self, name: str, source: str, since: datetime) -> None:
        self.name, self.source, self.since = name, source, since
        self.id = ""
        """Its id while it exists: a stack that is being deleted is found by nothing else."""
        self.last = ""
        self.is_there = False


class StackLogs:
    """What happens to a stack: see `base.LogReader`."""

    def __init__(self, job: Job, ports: Ports, since: datetime) -> None:
        self._aws = ports.aws(job.location)
        name = stack_name(job)
        self._stacks = {name: _FollowedStack(name, name, since)}
        self._waiting: list[LogEvent] = []
        self._turn: list[_FollowedStack] = []
        self._told_missing = False

    def read(self) -> LogLook:
        """See `base.LogReader`. What was read before a call failed comes with the next look."""
        self._turn = self._turn or list(self._stacks.values())
        while self._turn:
            self._read_stack(self._turn[0])
            self._turn.pop(0)
        notes: tuple[str, ...] = ()
        first = next(iter(self._stacks.values()))
        if not first.is_there and not self._told_missing:
            self._told_missing = True
            notes = (f"stack {first.name} has no events: it does not exist",)
        self._waiting.sort(key=lambda event: event.when)
        events, self._waiting = tuple(self._waiting), []
        return LogLook(events, notes)

    def _read_stack(self, stack: _FollowedStack) -> None:
        """Read what is new in one stack, newest first as AWS has it. A stack that was created again
        has other events, so that the time ends the search as well.
        """
        new: list[dict[str, Any]] = []
        for event in cfn.events(self._aws, stack.id or stack.name):
            stack.is_there = True
            if event["EventId"] == stack.last or event["Timestamp"] < stack.since:
                break
            new.append(event)
        if not new:
            return
        newest = new[0]
        new.reverse()
        stack.last, stack.since = str(newest["EventId"]), newest["Timestamp"]
        stack.id = str(newest["StackId"])
        for event in new:
            when = event["Timestamp"].astimezone(UTC)
            self._waiting.append(LogEvent(when, stack.source, event_line(event)))
        for inner in nested_stacks(new, stack.id, None):
            if inner.id not in self._stacks and len(self._stacks) < NESTED_MOST:
                nested = _FollowedStack(inner.id, inner.id.split("/")[1], inner.began - SLACK)
                self._stacks[inner.id] = nested
                self._turn.append(nested)
        if is_own(newest, stack.id) and newest.get("ResourceStatus") == "DELETE_COMPLETE":
            stack.id = ""  # another one may be created under its name
