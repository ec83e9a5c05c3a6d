"""A one-off task, from the call that starts it to its end.

Its call is on disk before it is made. Where the answer is lost, the task is looked for by its token
before the call is made again. How it ended is what was observed, else it is in doubt; what of its
output could not be read is said.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum

from msgspec import Struct

from toolkit.advice import Advice, Command, NextCommand
from toolkit.errors import (
    CloudError,
    CredentialsProblem,
    FileProblem,
    Throttled,
    ToolkitError,
    Unreachable,
)
from toolkit.exits import Exit
from toolkit.operations import LogEvent, TaskState
from toolkit.ports.clock import Clock
from toolkit.record.journal import EntryState, Journal, JournalEntry
from toolkit.run.stop import Stop
from toolkit.targets.base import LogReader, TaskRunner

LOOK_S = 1.0
"""How long it waits between two looks."""
SHOWN_S = 15.0
"""How long the provider may take to show what it has accepted."""
TRIES = 5
"""How often the task is started where the provider is throttling, or nobody knows whether it was.
"""
THROTTLED_S = 5.0
UNKNOWN_S = 60.0
"""After how long a task that nothing is known of counts as unknown."""
DRAIN_S = 5.0
"""For how long an ended task's log has to be silent before it counts as read."""
DRAIN_MOST_S = 60.0
"""For how long it is read after that end at most."""
PAGES_A_LOOK = 20
"""How much of a log is read before the task is looked at again."""


class TaskStatus(StrEnum):
    """How a one-off task ended, as far as it was observed."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    CANCELLED = "cancelled"
    IN_DOUBT = "in-doubt"


class TaskOutcome(Struct, frozen=True):
    """How a task ended. `task` is empty where none was started. `exit` is the exit code of toolkit,
    `exit_code` that of the command, if it has one. `output_problem` says why part of what it wrote
    is missing; empty if nothing is.
    """

    name: str
    task: str
    status: TaskStatus
    exit: int
    exit_code: int | None = None
    cause: str = ""
    next: Advice = ""
    output_problem: str = ""


class TaskListener(Struct, frozen=True):
    """Whom a task's story is told to: what the command writes (raises FileProblem where that cannot
    be kept); what another container of the task writes, with its name; what a person should know.
    """

    line: Callable[[str], None]
    other: Callable[[str, str], None]
    note: Callable[[str], None]


class _InDoubt(Exception):
    """Nobody can say how the task is; the text says why."""


class _Notes:
    """What a person is told, each thing once until what it is about has gone well."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._told: dict[str, set[str]] = {}

    def tell(self, about: str, words: str) -> None:
        """Tell it, unless it was."""
        told = self._told.setdefault(about, set())
        if words not in told:
            told.add(words)
            self._note(words)

    def went_well(self, about: str) -> None:
        """What goes wrong from now on is news."""
        self._told.pop(about, None)


class TaskOutput:
    """What a task writes, told page by page. `problem` says why what comes next cannot be read;
    empty where everything was read so far.
    """

    def __init__(
        self, runner: TaskRunner, task: str, listener: TaskListener, notes: _Notes
    ) -> None:
        self._runner, self._task = runner, task
        self._listener, self._notes = listener, notes
        self._reader: LogReader | None = None
        self.problem = ""
        self.has_more = True
        """Whether there is more to read at once."""
        self.is_over = False
        """Whether it is not read any more."""

    def tell_page(self) -> bool:
        """Tell the next page; whether there was anything. A log that cannot be read says nothing of
        the task: `problem` says so, and the next call reads the same page.
        """
        self.has_more = False
        if self.is_over:
            return False
        try:
            if self._reader is None:
                self._reader = self._runner.logs(self._task)
            if self._reader is None:
                self.is_over = True  # it writes to nothing that can be read: that was said before
                return False
            look = self._reader.read()
        except CredentialsProblem as problem:
            self._give_up(f"its log cannot be read: {problem}")
            return False
        except CloudError as problem:
            self.problem = f"its log cannot be read: {problem}"
            self._notes.tell("log", f"{problem}; reading its log again")
            return False
        self.problem, self.has_more = "", look.more
        self._notes.went_well("log")
        try:
            for event in look.events:
                self._tell(event)
        except FileProblem as problem:
            self._give_up(f"its output cannot be written: {problem}")
        return bool(look.events)

    def _tell(self, event: LogEvent) -> None:
        for text in event.text.splitlines() or [""]:
            if event.source:
                self._listener.other(event.source, text)
            else:
                self._listener.line(text)

    def _give_up(self, problem: str) -> None:
        self.problem, self.is_over, self.has_more = problem, True, False
        self._notes.tell("log", problem)


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
        self._notes = _Notes(listener.note)
        self._task = ""
        self._unknown_since_s: float | None = None
        self._ending: TaskStatus | None = None
        """Why it is being stopped."""
        self._ending_since_s = 0.0
        self._is_stop_sent = False

    def start_and_watch(self, command: Sequence[str], timeout_s: float) -> TaskOutcome:
        """Start it, and watch it to its end. Raises Refused, CloudError, FileProblem where nothing
        was started.
        """
        try:
            if not self._start(command):
                return self._end(
                    TaskStatus.CANCELLED, self._stopped_exit, cause="it was not started"
                )
            return self._watch(timeout_s)
        except _InDoubt as doubt:
            return self._in_doubt(str(doubt))

    def watch_started(self, entries: Sequence[JournalEntry], timeout_s: float) -> TaskOutcome:
        """Watch one that was started before, as the journal's `entries` say."""
        accepted = [entry for entry in entries if entry.state == EntryState.ACCEPTED]
        if accepted:
            self._task = str(accepted[-1].facts.get("task", ""))
        elif not was_begun(entries):
            return self._end(TaskStatus.CANCELLED, Exit.FAILED, cause="it was never started")
        try:
            if not self._task and not self._find():
                raise _InDoubt(
                    "no task of it is known: it was never started, or ended more than"
                    f" {self._runner.remembered} ago"
                )
            return self._watch(timeout_s)
        except _InDoubt as doubt:
            return self._in_doubt(str(doubt))

    def _start(self, command: Sequence[str]) -> bool:
        """Start it at most once; False where it was not, since it is to stop. Raises _InDoubt where
        that is not known.
        """
        is_lost = False
        for tried in range(TRIES):
            if self._stop.asked:
                break
            try:
                self._journal.append(
                    EntryState.INTENT, call=self._runner.call.name, token=self._token
                )
                self._accept(self._runner.start(self._token, command))
                return True
            except Throttled as problem:  # this call had no effect
                if tried + 1 == TRIES and not is_lost:
                    self._end(TaskStatus.FAILED, Exit.FAILED, cause=str(problem))
                    raise
                self._listener.note(f"{problem}; starting it again in {THROTTLED_S:g} s")
                self._clock.wait(THROTTLED_S, self._stop.event)
            except Unreachable as problem:
                is_lost = True
                self._listener.note(f"{problem}; checking whether it has started")
                if self._find():
                    return True
            except ToolkitError as problem:  # an intent that is not on disk, too: no call was made
                if not is_lost:
                    self._end(TaskStatus.FAILED, Exit.FAILED, cause=str(problem))
                    raise
                raise _InDoubt(str(problem)) from None
        if is_lost:
            raise _InDoubt("no answer said whether it was started")
        return False

    def _find(self) -> bool:
        """Look for it by its token, as long as it may not be shown yet; whether it is there."""
        until = self._clock.elapsed() + SHOWN_S
        while self._clock.elapsed() < until:
            try:
                task = self._runner.find(self._token)
            except CredentialsProblem as problem:
                raise _InDoubt(str(problem)) from None
            except CloudError as problem:
                self._notes.tell("search", str(problem))
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
        output = TaskOutput(self._runner, self._task, self._listener, self._notes)
        while True:
            self._tell_pages(output, deadline)
            state = self._look()
            if state is not None and state.ended:
                self._read_rest(output)
                return self._judge(state, output.problem)
            now = self._clock.elapsed()
            if self._ending is None and self._stop.asked:
                self._begin_to_end(TaskStatus.CANCELLED, now)
            elif self._ending is None and now >= deadline:
                self._listener.note(f"it has run for {timeout_s:g} s: stopping it")
                self._begin_to_end(TaskStatus.TIMED_OUT, now)
            self._send_stop(now)
            if not output.has_more:
                self._clock.wait(LOOK_S, self._stop.event if self._ending is None else None)

    def _tell_pages(self, output: TaskOutput, deadline: float) -> None:
        """Tell what is new, some pages of it: a log that grows faster than it is read must not keep
        us from stopping its task.
        """
        for _ in range(PAGES_A_LOOK):
            output.tell_page()
            is_to_end = self._stop.asked or self._clock.elapsed() >= deadline
            if not output.has_more or (self._ending is None and is_to_end):
                break

    def _look(self) -> TaskState | None:
        """How it stands, None if that is not known now. Raises _InDoubt if nobody will know."""
        try:
            state = self._runner.look(self._task)
        except CredentialsProblem as problem:
            raise _InDoubt(str(problem)) from None
        except CloudError as problem:
            self._notes.tell("task", f"{problem}; looking again")
            return None
        self._notes.went_well("task")
        if state is not None:
            self._unknown_since_s = None
            return state
        now = self._clock.elapsed()
        if self._unknown_since_s is None:
            self._unknown_since_s = now
        if now - self._unknown_since_s >= UNKNOWN_S:
            raise _InDoubt("the task is not known any more where it ran")
        return None

    def _begin_to_end(self, why: TaskStatus, now: float) -> None:
        self._ending, self._ending_since_s = why, now

    def _send_stop(self, now: float) -> None:
        """Stop the task where it is to end. Raises _InDoubt where that is not possible."""
        if self._ending is None:
            return
        patience_s = self._runner.stops_within_s
        if now - self._ending_since_s >= patience_s:
            raise _InDoubt(f"it was to be stopped, and has not ended within {patience_s:g} s")
        if self._is_stop_sent:
            return
        try:
            self._journal.append(EntryState.INTENT, call=self._runner.stop_call, task=self._task)
            self._runner.stop(self._task, f"stopped by toolkit ({self._ending})")
        except (CredentialsProblem, FileProblem) as problem:
            raise _InDoubt(f"it cannot be stopped: {problem}") from None
        except CloudError as problem:
            self._notes.tell("stop", f"{problem}; stopping it again")
        else:
            self._is_stop_sent = True

    def _read_rest(self, output: TaskOutput) -> None:
        """Its last lines arrive some seconds after its end. Only an answer is silence: where none
        came, or it was not read to its end, `output.problem` says so.
        """
        begun = silent_since = self._clock.elapsed()
        was_asked = self._stop.asked
        while not output.is_over:
            has_told = output.tell_page()
            now = self._clock.elapsed()
            if output.problem or has_told or output.has_more:
                silent_since = now
            if output.is_over or now - silent_since >= DRAIN_S:
                return
            if now - begun >= DRAIN_MOST_S:
                output.problem = output.problem or f"it was not read within {DRAIN_MOST_S:g} s"
                return
            if self._stop.asked and not was_asked:
                output.problem = output.problem or "you have stopped reading it"
                return
            if not output.has_more:
                self._clock.wait(LOOK_S, None if was_asked else self._stop.event)

    @property
    def _stopped_exit(self) -> int:
        """The exit code of a task that was stopped: that of the signal, or of `--stop`."""
        return 128 + self._stop.signal if self._stop.signal else int(Exit.OK)

    def _judge(self, state: TaskState, output_problem: str) -> TaskOutcome:
        """What its end means. It may have ended by itself before it could be stopped, and one that
        was stopped has not succeeded, whatever its exit code.
        """
        code = state.exit_code
        is_ours = self._is_stop_sent and state.was_stopped
        if is_ours and self._ending is TaskStatus.CANCELLED:
            status, own, cause = TaskStatus.CANCELLED, self._stopped_exit, "it was stopped"
        elif is_ours and self._ending is TaskStatus.TIMED_OUT:
            status, own = TaskStatus.TIMED_OUT, int(Exit.FAILED)
            cause = "it was stopped after its --timeout"
        elif code == 0 and not state.was_stopped:
            status, cause = TaskStatus.SUCCEEDED, ""
            own = int(Exit.PARTLY if output_problem else Exit.OK)
        else:
            status, cause = TaskStatus.FAILED, state.cause or "it ended without a reason"
            own = code if code is not None and 0 < code < 256 else int(Exit.FAILED)
        return self._end(status, own, code, cause, output_problem)

    def _end(
        self,
        status: TaskStatus,
        exit_code: int,
        code: int | None = None,
        cause: str = "",
        output_problem: str = "",
    ) -> TaskOutcome:
        """Write the end down: nobody looks for it any more."""
        try:
            self._journal.append(EntryState.END, status=status, exit=int(exit_code), exit_code=code)
        except FileProblem as problem:  # how it ended is known all the same
            self._listener.note(str(problem))
        return TaskOutcome(
            self._journal.run,
            self._task,
            status,
            int(exit_code),
            code,
            cause,
            output_problem=output_problem,
        )

    def _in_doubt(self, cause: str) -> TaskOutcome:
        """Leave it open: `--attach` may find out more."""
        return TaskOutcome(
            self._journal.run,
            self._task,
            TaskStatus.IN_DOUBT,
            int(Exit.IN_DOUBT),
            cause=cause,
            next=("it may still be running;", *what_to_do(self._journal.run)),
        )


def was_begun(entries: Sequence[JournalEntry]) -> bool:
    """Whether a call that starts the task may have been made, by its journal. Pure."""
    return any(entry.state in (EntryState.INTENT, EntryState.ACCEPTED) for entry in entries)


def what_to_do(name: str) -> tuple[str | Command, ...]:
    """What finds out how a task ends, and what stops it."""
    return (
        "to check its result:",
        NextCommand("run-task", options=("--attach", name)),
        "to stop it:",
        NextCommand("run-task", options=("--attach", name, "--stop")),
    )
