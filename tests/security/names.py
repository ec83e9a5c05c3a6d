"""Names that did harm somewhere, and that a repository may well hold."""

import os
import subprocess

from tests.support.repo import Repo

NAMES: dict[str, bytes] = {
    "newline": b"a\nb",
    "leading newline": b"\n::error::x",
    "carriage return": b"a\rb",
    "tab": b"a\tb",
    "quote": b'a"b',
    "backslash": b"a\\nb",
    "leading space": b" a",
    "trailing space": b"a ",
    "only a space": b" ",
    "option": b"-x",
    "long option": b"--output=x",
    "escape sequence": b"\x1b[2Kgone",
    "title sequence": b"\x1b]0;pwn\x07",
    "bell and delete": b"\x07\x7f",
    "eight-bit control": "\x9b2J".encode(),
    "right to left": "\u202egpj.exe".encode(),
    "line separator": "a\u2028b".encode(),
    "255 bytes": b"n" * 255,
    "substitution": b"$(touch x)",
    "backticks": b"`touch x`",
    "semicolon": b";touch x",
    "percent": b"%0A::error::x",
    "workflow command": b"::error::x",
    "old workflow command": b"a##[error]x",
    "pipelines command": b"##vso[task.setvariable variable=x]y",
    "here document": b"name<<EOF",
    "latin-1": b"caf\xe9.txt",
    "format": b"{path} {0} %s",
    "glob": b"[a]*?{b,c}",
    "magic": b":(top)x",
}
"""S2, by what is odd about each."""


def everywhere(content: str) -> dict[str | bytes, str | bytes]:
    """A file of each name at the root, below a folder that a rule has, and in a folder of that very
    name.
    """
    return {
        location: content
        for name in NAMES.values()
        for location in (name, b"backend/src/" + name, b"in/" + name + b"/file")
    }


def repository(repo: Repo) -> Repo:
    """Two commits that each touch every name, and the same again uncommitted and untracked."""
    repo.commit("names", everywhere("one\n"))
    repo.commit("more", everywhere("two\n"))
    repo.write({b"backend/src/" + name: b"three\n" for name in NAMES.values()})
    repo.write({b"new/" + name: b"new\n" for name in NAMES.values()})
    return repo


def oracle(repo: Repo, *command: str) -> list[str]:
    """What git itself tells behind -z, record by record."""
    done = subprocess.run(["git", *command], cwd=repo.path, check=True, capture_output=True)
    return os.fsdecode(done.stdout).split("\0")[:-1]


def is_inert(text: str) -> bool:
    """No control character but line ends, none that turns the writing, and no line that a CI system
    takes for a command.
    """
    plain = all(
        char == "\n"
        or (char.isprintable() and char not in "\u202a\u202b\u202d\u202e\u2066\u2067\u2068")
        for char in text
    )
    return plain and not any(line.strip().startswith("::") for line in text.split("\n"))


def has_command(text: str) -> bool:
    """Whether a CI system that looks for commands anywhere in a line finds one."""
    return "##[" in text or "##vso[" in text


def made(folder: os.PathLike[str], name: str) -> bool:
    """Whether there is a file of this name anywhere below: somebody took a name for a command."""
    return any(name in files for _, _, files in os.walk(folder))
