"""Loaded into every Python by PYTHONPATH: writes down which paths it looks up. It has to run in any
Python from 3.8 on. A line: the moment in ns, a word of LookupKind, the paths as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import Any


class _Log:
    """One file a process, in the folder that TOOLKIT_OBSERVE_LOG names."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._process = 0
        self._file = -1
        self._is_busy = False
        self._events: Any = {
            "open": self._opened,
            "os.listdir": self._listed,
            "os.scandir": self._listed,
            "os.rename": lambda args: self._write("moved", args[0], args[1]),
            "os.link": lambda args: self._write("linked", args[0], args[1]),
            "os.symlink": lambda args: self._write("written", args[1]),
            "os.mkdir": self._made,
            "subprocess.Popen": self._started,
            "os.exec": self._started,
            "os.posix_spawn": self._started,
            "os.system": lambda _: self._started(("sh",)),
        }

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        """Take an audit event. The program must not notice, whatever happens here."""
        take = self._events.get(event)
        if take is None or self._is_busy:
            return
        self._is_busy = True
        try:
            take(args)
        except Exception as problem:
            self._line("failed", [str(problem)])
        finally:
            self._is_busy = False

    def _opened(self, args: tuple[Any, ...]) -> None:
        path, flags = args[0], args[2] or 0
        if not isinstance(path, (str, bytes, os.PathLike)):
            return
        access = flags & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR)
        is_new = bool(flags & os.O_TRUNC) or bool(flags & os.O_CREAT and flags & os.O_EXCL)
        if access != os.O_WRONLY and not (access and is_new):
            self._read("opened", path)
        if access:
            self._write("written" if is_new else "appended", path)

    def _listed(self, args: tuple[Any, ...]) -> None:
        path = "." if args[0] is None else args[0]
        if not isinstance(path, int):
            self._read("listed", path)

    def _made(self, args: tuple[Any, ...]) -> None:
        if not os.path.lexists(args[0]):
            self._write("folder", args[0])

    def _started(self, args: tuple[Any, ...]) -> None:
        self._line("program", [os.fsdecode(args[0])])

    def _read(self, word: str, path: Any) -> None:
        self._write(word if os.path.lexists(path) else "missing", path)

    def _write(self, word: str, *paths: Any) -> None:
        self._line(word, [os.path.abspath(os.fsdecode(path)) for path in paths])

    def _line(self, word: str, texts: list[str]) -> None:
        if self._process != os.getpid():  # a new process, also by fork
            self._process = os.getpid()
            name = f"{os.getpid()}-python-{time.monotonic_ns()}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._file = os.open(os.path.join(self._folder, name), flags, 0o600)
        line = f"{time.monotonic_ns()} {word} {json.dumps(texts)}\n"
        os.write(self._file, line.encode("ascii"))


def _chain() -> None:
    """Run the sitecustomize that this one stands before."""
    own = os.path.dirname(os.path.abspath(__file__))
    others = [path for path in sys.path if os.path.abspath(path or os.curdir) != own]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


if os.environ.get("TOOLKIT_OBSERVE_LOG"):
    sys.addaudithook(_Log(os.environ["TOOLKIT_OBSERVE_LOG"]).hook)
_chain()
