"""Finds the cause in the output of a failed program. Pure."""

import re
from collections.abc import Sequence

LONGEST = 600
"""The most characters of a cause."""
_WIDEST = 2000
"""Only this much of a longer line is read."""

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_SAYS_NOTHING = re.compile(
    r"Node\.js v\d+[\d.]*$"
    r"|.{0,1500}[Ss]ubprocess (?:exited with error|was killed with signal) \w+$"
    r"|Found errors?$|Synthesis finished with errors$"
    r"|\s*at \S"
    r"|\s+\(no user code in \d+ frames"
    r"|[\s^~{}\[\]()=!*-]*$"
    r"|npm (?:ERR!|error) (?:code|errno|path|command|lifecycle|A complete log)"
    r"|\d+ feature flags? (?:is|are) not configured"
)
"""Lines that stand below the cause in what the CDK, Node and npm write: the last line is one of
them, so it is never the cause.
"""

_ANNOTATION = re.compile(r"\[Error at (/[^\]]*)\] (.+)")
"""`[Error at /Shop/Bucket] must be encrypted`, as many CLIs of the CDK write what
`Annotations.addError` said.
"""

_EXCEPTION = re.compile(
    r"(?:Exception in thread \"[^\"]*\" |Unhandled exception\. |Uncaught )?"
    r"(?:[A-Za-z_][\w.$]*(?:Error|Exception|Exit|Interrupt|Failure)(?:"
    r" \[\w+\])?(?::|$)|Error:|panic:|SystemExit:)"
    r"|\[?\u00ab\w+\u00bb "
)
"""The first line of an uncaught exception: Python, Node, the JVM, .NET, Go, and the CDK's own with
their names in quotes.
"""

_COMPILER = re.compile(
    r"(?:.{0,500}\berror(?: TS\d+)?: |.{0,500}\berror TS\d+: |\W*\[ERROR\]:? |error(?:\[\w+\])?: )",
    re.IGNORECASE,
)
"""A line of a compiler. The first one counts: the others often follow from it."""


def cause(written: Sequence[str], code: int | None) -> str:
    """Why a program failed, in one line, from the last lines that it wrote; its exit code where
    they say nothing.
    """
    lines = [_COLOURS.sub("", line[:_WIDEST]).rstrip() for line in written]
    lines = [line for line in lines if not _SAYS_NOTHING.match(line)]
    annotations = [
        f"{match[1]}: {match[2]}" for line in lines if (match := _ANNOTATION.match(line))
    ]
    if annotations:
        return _short("; ".join(annotations))
    exceptions = [number for number, line in enumerate(lines) if _EXCEPTION.match(line)]
    if exceptions:
        return _short(_whole(lines, exceptions[-1]))
    compiler = [number for number, line in enumerate(lines) if _COMPILER.match(line)]
    if compiler:
        return _short(_whole(lines, compiler[0]))
    words = [line for line in lines if re.search(r"\w", line)]
    return _short(words[-1].strip()) if words else f"exit code {code}"


def _whole(lines: Sequence[str], number: int) -> str:
    """A line with what it announces: one that ends with a colon says it in the indented lines below
    it.
    """
    text = lines[number].strip()
    if not text.endswith(":"):
        return text
    below: list[str] = []
    for line in lines[number + 1 : number + 6]:
        if below and not line.startswith((" ", "\t")):
            break
        below.append(line.strip())
    return f"{text} {'; '.join(below)}".strip()


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
