"""Other programs: found only on the user's PATH, started without a shell, with an environment of
chosen variables.
"""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from threading import Lock, Thread
from typing import Any

from msgspec import Struct

from toolkit.ports import debug, usage

CHUNK = 1 << 18
LONGEST = 1 << 20
"""Bytes after which a line without an end is given out."""
_PASSED_ON = ("HOME", "PATH", "TMPDIR", "USER", "LOGNAME", "SSH_AUTH_SOCK", "XDG_CONFIG_HOME")
"""The variables that a child gets from our environment. No GIT_*, LD_*, PYTHON*: they change what
programs do.
"""


LOST = -signal.SIGCHLD
"""The code of a program that somebody else has collected: like a signal, it says neither that it
went well nor that it failed.
"""


class _Popen(subprocess.Popen[bytes]):
    """A process whose end says what it has taken, for whoever's work it does. Thread-safe like its
    base: whoever waits for its end does not stop the others' `poll`.
    """

    def __init__(self, *words: Any, **options: Any) -> None:
        self._meter, self._collecting = usage.current(), Lock()
        super().__init__(*words, **options)
        self._floor_bytes = usage.own_peak_bytes()

    def poll(self) -> int | None:
        """Its code, None while it runs."""
        if self.returncode is None and self._collecting.acquire(blocking=False):
            try:
                self._collect(os.WNOHANG)
            finally:
                self._collecting.release()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its code, once it has ended. Raises TimeoutExpired."""
        until = None if timeout is None else time.monotonic() + timeout
        pause_s = 0.0005
        while self.returncode is None:
            if until is None:
                with self._collecting:
                    self._collect(0)
            elif self.poll() is None:
                left_s = until - time.monotonic()
                if left_s <= 0:
                    raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
                pause_s = min(2 * pause_s, left_s, 0.05)
                time.sleep(pause_s)
        return self.returncode

    def _collect(self, options: int) -> None:
        if self.returncode is not None:
            return  # another thread was faster
        try:
            pid, status, spent = os.wait4(self.pid, options)
        except ChildProcessError:
            self.returncode = LOST
            if self._meter is not None:
                self._meter.add_program(None, 0)
            return
        if pid == self.pid:
            self.returncode = os.waitstatus_to_exitcode(status)
            if self._meter is not None:
                self._meter.add_program(spent, self._floor_bytes)


class CompletedProgram(Struct, frozen=True):
    """How a program ended, and all that it wrote."""

    code: int
    out: bytes
    err: bytes


class StreamedProgram:
    """A started program whose output is read as it comes. Iterate once; then `code` and `err` are
    known.
    """

    def __init__(
        self, argv: Sequence[str], folder: str, env: Mapping[str, str], stdin: bytes | None = None
    ) -> None:
        self._command, self._began = (argv, folder), debug.now()
        self._process = _Popen(
            argv,
            cwd=folder,
            env=dict(env),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # In a session of its own, so that a Ctrl-C reaches us first and not the child.
            start_new_session=True,
        )
        self.code: int | None = None
        self.err = b""
        self._complaints = Thread(target=self._drain, daemon=True)
        self._complaints.start()
        if stdin is not None:
            # From a thread of its own: a program may answer before it has read everything.
            Thread(target=self._feed, args=(stdin,), daemon=True).start()

    def __iter__(self) -> Iterator[bytes]:
        """The output in chunks of any size."""
        process = self._process
        assert process.stdout is not None  # noqa: S101 (for the type checker: it is a pipe)
        try:
            # `read1` returns what is there; `read` would wait for a whole chunk.
            while chunk := process.stdout.read1(CHUNK):  # type: ignore[attr-defined]
                yield chunk
            self._complaints.join()
        finally:
            self.stop()

    def _feed(self, stdin: bytes) -> None:
        pipe = self._process.stdin
        assert pipe is not None  # noqa: S101
        with suppress(BrokenPipeError), pipe:  # it ended early; its exit code tells why
            pipe.write(stdin)

    def _drain(self) -> None:
        """Keep the start of stderr and discard the rest: a full pipe would stop the program."""
        pipe = self._process.stderr
        assert pipe is not None  # noqa: S101
        while chunk := pipe.read(1 << 16):
            self.err = (self.err + chunk)[: 1 << 16]

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def stop(self, patience_s: float = 0.2) -> None:
        """End it if it still runs (nobody reads its output any more), and collect it. Most programs
        end by themselves when their output is closed.
        """
        process = self._process
        if process.stdout is not None:
            process.stdout.close()
        if process.poll() is None:
            try:
                process.wait(patience_s)
            except subprocess.TimeoutExpired:
                process.kill()
        if self.code is None:
            debug.program_ended(*self._command, process.wait(), self._began)
        self.code = process.wait()
        self._complaints.join()
        if process.stderr is not None:
            process.stderr.close()


class LineProgram:
    """A started program whose output and complaints come line by line, together. It is in a session
    of its own, which `stop` ends. The descriptors in `kept_open` stay open in it: a lock that it
    holds outlives this process. `only_out` drops the complaints.
    """

    def __init__(
        self,
        argv: Sequence[str],
        folder: str,
        env: Mapping[str, str],
        stdin: bytes | None = None,
        kept_open: Sequence[int] = (),
        only_out: bool = False,
    ) -> None:
        self._command, self._began = (argv, folder), debug.now()
        debug.program_started(argv, folder)
        self._process = _Popen(
            argv,
            cwd=folder,
            env=dict(env),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if only_out else subprocess.STDOUT,
            start_new_session=True,
            pass_fds=kept_open,
        )
        self.code: int | None = None
        if self._process.stdin is not None:
            try:
                with self._process.stdin as pipe:
                    pipe.write(stdin or b"")
            except BrokenPipeError:
                pass  # it ended early; its exit code tells why

    @property
    def pid(self) -> int:
        """The number of the process, and of the session that it leads."""
        return self._process.pid

    def lines(self, tick_s: float = 0.2) -> Iterator[bytes | None]:
        """Each line as it comes, without its end, and None whenever none came for `tick_s` seconds
        or sooner. Then `code` is known.

        A line is also ended by a carriage return: that is how programs draw their progress. `stdin`
        is for a few bytes, such as a password. Whoever stops iterating stops the program.
        """
        output = self._process.stdout
        assert output is not None  # noqa: S101 (for the type checker: it is a pipe)
        rest, wait_s = b"", tick_s
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(output, selectors.EVENT_READ)
                while True:
                    if not selector.select(wait_s):
                        if wait_s == 0:
                            break  # a child that it left behind keeps the pipe open
                        if self._process.poll() is None:
                            yield None
                        else:
                            wait_s = 0  # it may have written since the look: that is read first
                        continue
                    chunk = os.read(output.fileno(), CHUNK)
                    if not chunk:
                        break
                    text = (rest + chunk).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
                    *lines, rest = text.split(b"\n")
                    yield from lines
                    if len(rest) > LONGEST:  # a line without end
                        yield rest
                        rest = b""
                    elif not lines:
                        yield None
            if rest:
                yield rest
            while self._process.poll() is None:
                yield None
                time.sleep(0.01)
        finally:
            self.stop()

    def stop(self, patience_s: Sequence[float] = (5.0, 2.0)) -> None:
        """End it if it still runs: INT to all of its session, TERM after the first patience, KILL
        after the second.
        """
        process = self._process
        for number, patience in zip(
            (signal.SIGINT, signal.SIGTERM, signal.SIGKILL), (*patience_s, None), strict=True
        ):
            if process.poll() is not None:
                break
            self._signal(number)
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                continue
        if process.wait() != 0:
            self._signal(signal.SIGKILL)  # what it started and did not end
        if self.code is None:
            debug.program_ended(*self._command, process.returncode, self._began)
        self.code = process.returncode
        if process.stdout is not None:
            process.stdout.close()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):  # all of them have ended
            os.killpg(self._process.pid, number)


class AttachedProgram:
    """A program of the person's own: it has their terminal, their whole environment and our place
    in the session, so that Ctrl-C and Ctrl-Z reach it as they would without us. What ends us ends
    it. With `out` its standard output goes to that descriptor.
    """

    def __init__(
        self, argv: Sequence[str], folder: str, more: Mapping[str, str], out: int | None = None
    ) -> None:
        # the program's name only: its arguments may hold secrets
        self._command, self._began = argv[:1], debug.now()
        debug.program_started(self._command, folder)
        self._before: dict[int, object] = {}
        self._process: subprocess.Popen[bytes] | None = None
        try:
            for number in (signal.SIGINT, signal.SIGQUIT):
                self._handle(number, _nothing)
            for number in (signal.SIGTERM, signal.SIGHUP):
                self._handle(number, self._pass_on)
            environment = {**os.environ, **more}
            self._process = subprocess.Popen(argv, cwd=folder, env=environment, stdout=out)
        except BaseException:
            self._restore()
            raise

    def _handle(self, number: int, handler: Callable[[int, object], None]) -> None:
        # What is ignored already (nohup) has to stay so in the program; a handler does not.
        if signal.getsignal(number) != signal.SIG_IGN:
            self._before[number] = signal.signal(number, handler)

    def _pass_on(self, number: int, frame: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # as `signal` gave it

    def wait(self) -> int:
        """Its exit code once it has ended, negative for a signal."""
        assert self._process is not None  # noqa: S101 (for the type checker)
        try:
            code = self._process.wait()
        finally:
            self._restore()
        debug.program_ended(self._command, "", code, self._began)
        return code


def _nothing(number: int, frame: object) -> None:
    """A signal that the terminal has sent to the program as well, which decides what it means."""


class ProgramTimeout(Exception):
    """A program has not ended in its time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class BoundedProgram:
    """A program that botocore starts and waits for like a `subprocess.Popen`, but with a deadline.

    With `asks` it may ask a person on this terminal, so it stays in our session. It gets our whole
    environment: credential programs are written for that.
    """

    def __init__(self, argv: Sequence[str], seconds: float, asks: bool) -> None:
        self._seconds, self._alone = seconds, not asks
        stdin = None if asks else subprocess.DEVNULL
        # no arguments: they may hold what it signs in with
        self._command, self._began = argv[:1], debug.now()
        debug.program_started(self._command)
        self._process = _Popen(
            argv,
            stdin=stdin,
            start_new_session=not asks,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    @property
    def returncode(self) -> int | None:
        """How it ended."""
        return self._process.returncode

    def communicate(self) -> tuple[bytes, bytes]:
        """All that it writes. Raises ProgramTimeout, after it was ended."""
        try:
            written = self._process.communicate(timeout=self._seconds)
            debug.program_ended(self._command, "", self._process.returncode, self._began)
            return written
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError, PermissionError):
                if self._alone:
                    os.killpg(self._process.pid, signal.SIGKILL)  # and what it started
                else:
                    self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdout, self._process.stderr):
                if pipe is not None:
                    pipe.close()
            debug.program_ended(self._command, "", self._process.returncode, self._began)
            raise ProgramTimeout(self._seconds) from None


def run(
    argv: Sequence[str], folder: str, env: Mapping[str, str], patience_s: float | None = None
) -> CompletedProgram:
    """Run a program to its end. One that is still running after `patience_s` is killed; its code is
    then -9.
    """
    began = debug.now()
    done = _run(argv, folder, env, patience_s)
    debug.program_ended(argv, folder, done.code, began)
    return done


def _run(
    argv: Sequence[str], folder: str, env: Mapping[str, str], patience_s: float | None
) -> CompletedProgram:
    try:
        program = _Popen(
            argv,
            cwd=folder,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        return CompletedProgram(127, b"", (error.strerror or str(error)).encode())
    with program:
        try:
            out, err = program.communicate(timeout=patience_s)
        except subprocess.TimeoutExpired as error:
            program.kill()
            program.wait()
            return CompletedProgram(-9, error.stdout or b"", error.stderr or b"")
        except BaseException:
            program.kill()  # nobody waits for it any more
            raise
        return CompletedProgram(program.wait(), out, err)


def fed(argv: Sequence[str], text: bytes, env: Mapping[str, str], patience_s: float) -> bool:
    """Whether a program has taken this text and ended well. What it writes is dropped: programs for
    the clipboard stay in the background, and would keep a pipe open.
    """
    try:
        done = subprocess.run(
            argv,
            cwd="/",
            env=dict(env),
            input=text,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            timeout=patience_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def which(name: str) -> str | None:
    """The absolute path of a program on PATH. Relative entries, and so the working directory, are
    never searched.
    """
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        if os.path.isabs(folder):
            path = os.path.join(folder, name)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                return path
    return None


def child_environment(**more: str) -> dict[str, str]:
    """The environment of a child: what it needs to find its files, plain English messages, and
    `more`.
    """
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {**passed, "LC_ALL": "C", **more}
