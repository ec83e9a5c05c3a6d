"""Text for the clipboard of whoever sits at the terminal, also over ssh and in tmux.

A terminal takes it by an escape sequence (OSC 52), which reaches the person's own machine, but no
terminal says whether it did. So where a program for the clipboard is here, and so is the person, it
gets the text, too; and only where neither can be tried has nothing been copied.
"""

import os
import sys
from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import StrEnum

from toolkit.ports import process

PATIENCE_S = 2.0
WITHOUT = ("dumb", "linux", "")
"""Terminals that show no clipboard, as TERM has them."""


class Copied(StrEnum):
    """What became of a text. SENT: the terminal got it, and does not say what it did with it."""

    YES = "yes"
    SENT = "sent"
    NO = "no"


def copy(text: str) -> Copied:
    """Copy a text, as far as anything here takes it."""
    if os.environ.get("TMUX") and _piped(["tmux", "load-buffer", "-w", "-"], text):
        return Copied.SENT  # tmux hands it on to the terminal that it is shown in
    sequence = osc_52(text, os.environ)
    if sequence:
        with suppress(OSError):
            sys.stdout.write(sequence)
            sys.stdout.flush()
    if any(_piped(program, text) for program in programs(os.environ)[:1]):
        return Copied.YES
    return Copied.SENT if sequence else Copied.NO


def osc_52(text: str, variables: Mapping[str, str]) -> str:
    """The sequence that makes a terminal copy; empty where it is known to have none."""
    term = variables.get("TERM", "")
    lacks_it = variables.get("VTE_VERSION") or variables.get("TERM_PROGRAM") == "Apple_Terminal"
    if term in WITHOUT or lacks_it:
        return ""
    sequence = f"\x1b]52;c;{b64encode(text.encode()).decode()}\x07"
    if variables.get("TMUX"):  # for itself, and through to the terminal around it
        doubled = sequence.replace("\x1b", "\x1b\x1b")
        return f"{sequence}\x1bPtmux;{doubled}\x1b\\"
    if variables.get("STY"):  # GNU screen
        return f"\x1bP{sequence}\x1b\\"
    return sequence


def programs(variables: Mapping[str, str]) -> list[list[str]]:
    """The programs that are here for the clipboard of this machine, the best first; none over ssh,
    where nobody sees that.
    """
    if variables.get("SSH_CONNECTION") or variables.get("SSH_TTY"):
        return []
    known: list[tuple[bool, list[str]]] = [
        (sys.platform == "darwin", ["pbcopy"]),
        (bool(variables.get("WAYLAND_DISPLAY")), ["wl-copy"]),
        (bool(variables.get("DISPLAY")), ["xclip", "-selection", "clipboard"]),
    ]
    return [words for is_meant, words in known if is_meant and process.which(words[0])]


def _piped(words: Sequence[str], text: str) -> bool:
    """Whether a program has taken a text."""
    path = process.which(words[0])
    if path is None:
        return False
    passed = ("TMUX", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR")
    more = {name: os.environ[name] for name in passed if name in os.environ}
    env = process.child_environment(**more)
    return process.fed([path, *words[1:]], text.encode(), env, PATIENCE_S)
