"""A one-off task, from the call that starts it to its end.

Its call is on disk before it is made. Where the answer is lost, the task is looked for by its token
before the call is made again. How it ended is what was observed, else it is in doubt.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum

from msgspec import Struct

from toolkit.advice import Advice, NextCommand
from toolkit.errors import (
    CloudError,
    CredentialsProblem,
    FileProblem,
    Throttled,
    ToolkitError,
    Unreachable,
)
from toolkit.exits import Exit
from toolkit.operations import TaskState
from toolkit.ports.clock import Clock
from toolkit.record.journal import EntryState, Journal, JournalEntry
from toolkit.run.stop import Stop
from toolkit.targets.base import LogReader, TaskRunner

LOOK_S = 1.0
"""How long it waits between two looks."""
SHOWN_S = 15.0
"""How long AWS may take to show what it has accepted."""
TRIES = 5
"""How often the task is started where AWS is throttling, or nobody knows whether it was."""
THROTTLED_S = 5.0
UNKNOWN_S = 60.0
"""After how long a task that AWS does not know counts as unknown."""
DRAIN_S, DRAIN_MOST_S = 5.0, 60.0
"""For how long an ended task's log has to be silent before it counts as read, and at most."""
STOP_S = 180.0
"""How long a stopped task may take to end: ECS kills it after at most two minutes."""


class TaskStatus(StrEnum):
    """How a one-off task ended, as far as it was observed."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    CANCELLED = "cancelled"
    IN_DOUBT = "in-doubt"


class TaskOutcome(Struct, frozen=True):
    """How a task ended. `task` is empty where none was started. `exit` is the exit code of toolkit,
    `exit_code` that of the command, if it has one.
    """

    name: str
    task: str
    status: TaskStatus
    exit: int
    exit_code: int | None = None
    cause: str = ""
    next: Advice = ""


class TaskListener(Struct, frozen=True):
    """Whom a task's story is told to: what the command writes; what another container of the task
    writes, with its name; what a person should know.
    """

    line: Callable[[str], None]
    other: Callable[[str, str], None]
    note: Callable[[str], None]


class _InDoubt(Exception):
    """Nobody can say how the task is; the text says why."""


class OneOffTask:
    """One task. Its journal is open for as long as this works."""

    def __init__(
        self,
        runner: TaskRunner,
        journal: Journal,
        token: str,
        clock: Clock,
        stop: Stop,
        listener: TaskListener,
    ) -> None:
        self._runner, self._journal, self._token = runner, journal, token
        self._clock, self._stop, self._listener = clock, stop, listener
        self._task = ""
        self._log: LogReader | None = None
        self._told: set[str] = set()
        """What was noted since the last call that went well."""
        self._unknown_since_s: float | None = None
        self._ending: TaskStatus | None = None
        """Why it is being stopped."""
        self._ending_since_s = 0.0
        self._is_stop_sent = False

    def carried_out(self, command: Sequence[str], timeout_s: float) -> TaskOutcome:
        """Start it, and watch it to its end. Raises Refused, CloudError, FileProblem where nothing
        was started.
        """
        if self._stop.asked:
            return self._end(TaskStatus.CANCELLED, 128 + (self._stop.signal or 2))
        try:
            self._start(command)
            return self._watch(timeout_s)
        except _InDoubt as doubt:
            return self._in_doubt(str(doubt))

    def attached(self, entries: Sequence[JournalEntry], timeout_s: float) -> TaskOutcome:
        """Watch one that was started before, as the journal's `entries` say."""
        states = [entry.state for entry in entries]
        accepted = [entry for entry in entries if entry.state == EntryState.ACCEPTED]
        if accepted:
            self._task = str(accepted[-1].facts.get("task", ""))
        elif EntryState.INTENT not in states:
            return self._end(TaskStatus.CANCELLED, Exit.FAILED, cause="it was never started")
        try:
            if not self._task and not self._find():
                raise _InDoubt(
                    "AWS knows no task of it: it was never started, or ended more than an hour ago"
                )
            return self._watch(timeout_s)
        except _InDoubt as doubt:
            return self._in_doubt(str(doubt))

    def _start(self, command: Sequence[str]) -> None:
        """Start it at most once. Raises _InDoubt where that is not known."""
        is_lost = False
        for tried in range(TRIES):
            self._journal.append(EntryState.INTENT, call="ecs:RunTask", token=self._token)
            try:
                self._accept(self._runner.start(self._token, command))
                return
            except Throttled as problem:  # this call had no effect
                if tried + 1 == TRIES and not is_lost:
                    self._end(TaskStatus.FAILED, Exit.FAILED, cause=str(problem))
                    raise
                self._listener.note(f"{problem}; starting it again in {THROTTLED_S:g} s")
                self._clock.wait(THROTTLED_S)
            except Unreachable as problem:
                is_lost = True
                self._listener.note(f"{problem}; checking whether it has started")
                if self._find():
                    return
            except ToolkitError as problem:
                if not is_lost:
                    self._end(TaskStatus.FAILED, Exit.FAILED, cause=str(problem))
                    raise
                raise _InDoubt(str(problem)) from None
        raise _InDoubt("no answer said whether it was started")

    def _find(self) -> bool:
        """Look for it by its token, as long as AWS may not show it yet; whether it is there."""
        until = self._clock.elapsed() + SHOWN_S
        while self._clock.elapsed() < until:
            try:
                task = self._runner.find(self._token)
            except CredentialsProblem as problem:
                raise _InDoubt(str(problem)) from None
            except CloudError as problem:
                self._note_once(str(problem))
                task = None
            if task is not None:
                self._accept(task)
                return True
            self._clock.wait(LOOK_S)
        return False

    def _accept(self, task: str) -> None:
        self._task = task
        try:
            self._journal.append(EntryState.ACCEPTED, task=task)
        except FileProblem as problem:  # it is found by its token
            self._listener.note(str(problem))

    def _watch(self, timeout_s: float) -> TaskOutcome:
        """Follow it to its end. Raises _InDoubt."""
        self._listener.note(f"task {self._task.rpartition('/')[2]} started")
        deadline = self._clock.elapsed() + timeout_s
        self._open_log()
        while True:
            state = self._look()
            self._tell_log()
            if state is not None and state.ended:
                self._drain_log()
                return self._ended(state)
            now = self._clock.elapsed()
            if self._ending is None and self._stop.asked:
                self._begin_to_end(TaskStatus.CANCELLED, now)
            elif self._ending is None and now >= deadline:
                self._listener.note(f"it has run for {timeout_s:g} s: stopping it")
                self._begin_to_end(TaskStatus.TIMED_OUT, now)
            self._send_stop(now)
            wake = None
            if self._ending is None:
                wake = self._stop.event
            self._clock.wait(LOOK_S, wake)

    def _look(self) -> TaskState | None:
        """How it stands, None if that is not known now. Raises _InDoubt if nobody will know."""
        try:
            state = self._runner.look(self._task)
        except CredentialsProblem as problem:
            raise _InDoubt(str(problem)) from None
        except CloudError as problem:
            self._note_once(f"{problem}; looking again")
            return None
        self._told.clear()
        if state is not None:
            self._unknown_since_s = None
            return state
        now = self._clock.elapsed()
        if self._unknown_since_s is None:
            self._unknown_since_s = now
        if now - self._unknown_since_s >= UNKNOWN_S:
            raise _InDoubt("AWS does not know the task any more")
        return None

    def _begin_to_end(self, why: TaskStatus, now: float) -> None:
        self._ending, self._ending_since_s = why, now

    def _send_stop(self, now: float) -> None:
        """Stop the task where it is to end. Raises _InDoubt where that is not possible."""
        if self._ending is None:
            return
        if now - self._ending_since_s >= STOP_S:
            raise _InDoubt(f"it was to be stopped, and has not ended within {STOP_S:g} s")
        if self._is_stop_sent:
            return
        try:
            self._journal.append(EntryState.INTENT, call="ecs:StopTask", task=self._task)
            self._runner.stop(self._task, f"stopped by toolkit ({self._ending})")
        except (CredentialsProblem, FileProblem) as problem:
            raise _InDoubt(f"it cannot be stopped: {problem}") from None
        except CloudError as problem:
            self._note_once(f"{problem}; stopping it again")
        else:
            self._is_stop_sent = True

    def _open_log(self) -> None:
        try:
            self._log = self._runner.logs(self._task)
        except CloudError as problem:
            self._listener.note(f"its log cannot be read: {problem}")

    def _tell_log(self) -> bool:
        """Tell what it has written since; whether that was anything. A log that cannot be read says
        nothing of the task.
        """
        is_more, has_told = True, False
        while self._log is not None and is_more:
            try:
                look = self._log.read()
            except CredentialsProblem as problem:
                self._listener.note(f"its log cannot be read: {problem}")
                self._log = None
                break
            except CloudError as problem:
                self._note_once(f"{problem}; reading its log again")
                break
            for event in look.events:
                for text in event.text.splitlines() or [""]:
                    if event.source:
                        self._listener.other(event.source, text)
                    else:
                        self._listener.line(text)
            has_told = has_told or bool(look.events)
            is_more = look.more
        return has_told

    def _drain_log(self) -> None:
        """Its last lines arrive some seconds after its end."""
        begun = silent_since = self._clock.elapsed()
        while self._log is not None:
            now = self._clock.elapsed()
            if self._tell_log():
                silent_since = now
            if now - silent_since >= DRAIN_S or now - begun >= DRAIN_MOST_S:
                break
            self._clock.wait(LOOK_S)

    def _ended(self, state: TaskState) -> TaskOutcome:
        """What its end means. It may have ended by itself before it could be stopped, and one that
        was stopped has not succeeded, whatever its exit code.
        """
        code = state.exit_code
        is_ours = self._is_stop_sent and state.was_stopped
        if is_ours and self._ending is TaskStatus.CANCELLED:
            exit_code = 128 + (self._stop.signal or 2)
            return self._end(TaskStatus.CANCELLED, exit_code, code, "it was stopped")
        if is_ours and self._ending is TaskStatus.TIMED_OUT:
            cause = "it was stopped after its --timeout"
            return self._end(TaskStatus.TIMED_OUT, Exit.FAILED, code, cause)
        if code == 0 and not state.was_stopped:
            return self._end(TaskStatus.SUCCEEDED, Exit.OK, code)
        own = int(Exit.FAILED)
        if code is not None and 0 < code < 256:
            own = code
        return self._end(TaskStatus.FAILED, own, code, state.cause or "it ended without a reason")

    def _end(
        self, status: TaskStatus, exit_code: int, code: int | None = None, cause: str = ""
    ) -> TaskOutcome:
        """Write the end down: nobody looks for it any more."""
        try:
            self._journal.append(EntryState.END, status=status, exit=int(exit_code), exit_code=code)
        except FileProblem as problem:  # how it ended is known all the same
            self._listener.note(str(problem))
        return TaskOutcome(self._journal.run, self._task, status, int(exit_code), code, cause)

    def _in_doubt(self, cause: str) -> TaskOutcome:
        """Leave it open: `--attach` may find out more."""
        attach = NextCommand("run-task", options=("--attach", self._journal.run))
        return TaskOutcome(
            self._journal.run,
            self._task,
            TaskStatus.IN_DOUBT,
            int(Exit.IN_DOUBT),
            cause=cause,
            next=("it may still be running; to check its result:", attach),
        )

    def _note_once(self, words: str) -> None:
        if words not in self._told:
            self._told.add(words)
            self._listener.note(words)
