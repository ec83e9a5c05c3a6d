"""What toolkit writes on a version and on an alias: in their descriptions, for a version has no
tags. Pure.

A version's description never changes: it says what is in it. An alias's says which deploy has moved
it, and to which version: it counts only as long as the alias leads there.
"""

import base64
import re
from collections.abc import Mapping

from toolkit.model import Version
from toolkit.operations import Job

LONGEST = 256
"""Characters of a description."""
_WORD = "toolkit"
_PAIR = re.compile(r"(?P<key>[a-z]+)=(?P<value>[A-Za-z0-9._/+-]{1,200})")
_COMMIT = re.compile(r"(?P<commit>[0-9a-f]{64}|[0-9a-f]{40})(?:-[a-z]+-[0-9a-f]+)*")
"""A commit, or a name of a version that begins with one."""
_DIGEST = re.compile(r"[0-9a-f]{64}")

VERSION, CONTENT, CODE, TOKEN = "v", "c", "sha", "t"
RUN, FINGERPRINT, SETTINGS, NUMBER = "run", "f", "s", "n"
"""The keys, which are short, so that all of them fit."""
CONTENT_LETTERS = 24
"""Letters of the digest of a package that are written down."""

Marks = Mapping[str, str]


def of_version(job: Job, content: str, code: str) -> str:
    """The description of a version with this content; `code` is the digest that Lambda has of
    it.
    """
    return _written(
        {VERSION: job.version.name, TOKEN: job.token, CONTENT: content, CODE: _short(code)}
    )


def of_alias(job: Job, number: str, content: str, code: str) -> str:
    """The description of an alias that a job moves to a version. `content` and the digest of its
    `code` are empty where the version says them itself. What does not fit is left out, the least
    needed first.
    """
    version: Version = job.version
    marks = {
        VERSION: version.name,
        NUMBER: number,
        RUN: job.run,
        TOKEN: job.token,
        CONTENT: content,
        CODE: _short(code),
        FINGERPRINT: _packed(version.fingerprint),
        SETTINGS: _packed(version.settings),
    }
    for key in (SETTINGS, FINGERPRINT, CONTENT):
        text = _written(marks)
        if len(text) <= LONGEST:
            return text
        del marks[key]
    return _written(marks)


def read(description: str) -> dict[str, str]:
    """What a description of ours says; empty for anybody else's."""
    word, *pairs = description.split(" ")
    if word != _WORD:
        return {}
    marks: dict[str, str] = {}
    for pair in pairs:
        match = _PAIR.fullmatch(pair)
        if match is None or match["key"] in marks:
            return {}
        marks[match["key"]] = match["value"]
    for key in (FINGERPRINT, SETTINGS):
        if key in marks:
            marks[key] = _unpacked(marks[key])
    return marks


def is_of(marks: Marks, code: str) -> bool:
    """Whether a version's marks were written for the code that it has: a copy of a description says
    nothing of other code.
    """
    return bool(code) and marks.get(CODE) == _short(code)


def content_mark(digest: str) -> str:
    """A digest of a package's content as it is written down."""
    return digest[:CONTENT_LETTERS]


def commit_of(version: str) -> str | None:
    """The commit that a version's name begins with; None if it is another sort of name."""
    match = _COMMIT.fullmatch(version)
    return match["commit"] if match else None


def _short(code: str) -> str:
    """A digest as Lambda writes it, so that it can be in a mark."""
    return code[:CONTENT_LETTERS].replace("=", "")


def _written(marks: Marks) -> str:
    pairs = [f"{key}={value}" for key, value in marks.items() if value]
    return " ".join((_WORD, *pairs))


def _packed(digest: str) -> str:
    """A digest in fewer letters, so that all of it fits."""
    if not _DIGEST.fullmatch(digest):
        return digest
    return base64.urlsafe_b64encode(bytes.fromhex(digest)).decode().rstrip("=")


def _unpacked(text: str) -> str:
    """The digest again; what is not one of ours stays as it is."""
    try:
        digest = base64.urlsafe_b64decode(text + "=").hex()
    except ValueError:
        return text
    return digest if len(digest) == 64 else text
