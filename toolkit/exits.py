"""The exit codes, and what they mean. Apart from the errors: a page of help loads none of them."""

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of toolkit."""

    OK = 0
    FAILED = 1
    USAGE = 2
    BUG = 3
    PARTLY = 4
    IN_DOUBT = 5
    LOCKED = 6
    CREDENTIALS = 7
    PENDING = 10
    HANGUP = 129
    INTERRUPTED = 130
    TERMINATED = 143


EXIT_MEANINGS = {
    Exit.OK: "done or nothing to do",
    Exit.FAILED: "failed",
    Exit.USAGE: "usage, rules.toml or refused",
    Exit.BUG: "a bug in toolkit",
    Exit.PARTLY: "partly done",
    Exit.IN_DOUBT: "in doubt (run `toolkit resume`)",
    Exit.LOCKED: "locked by someone else",
    Exit.CREDENTIALS: "credentials or no answer from AWS",
    Exit.PENDING: "changes are pending (only with --exit-code)",
    Exit.INTERRUPTED: "Ctrl-C",
}
"""What the exit codes mean, in the words of every --help. Those of other signals are 128 and the
signal's number.
"""


def exit_codes(*codes: Exit) -> str:
    """A sentence for --help: these codes, or all of them, with their meanings."""
    return "Exit codes: " + ", ".join(
        f"{int(code)} {EXIT_MEANINGS[code]}" for code in codes or EXIT_MEANINGS
    )
