"""The committed file that says what was proven of each target, by which command and at which lock
files: readable, and one line per path, so that git can merge it.
"""

import json
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from toolkit.operations import EvidenceProblem, ObservedCommand, ObservedInputs

MOST_BYTES = 16 * 1024 * 1024
_FORMAT = 1


class Evidence(Struct, frozen=True):
    """What a target's command was observed to look up. `locks` are the digests of the lock files
    at that time, empty for one that could not be read; `hidden` says what could not be seen.
    """

    command: tuple[str, ...]
    folder: str
    means: str
    locks: Mapping[str, str] = {}
    hidden: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def inputs(self) -> ObservedInputs:
        """What rules are compared with."""
        return ObservedInputs(
            read=self.read, listed=self.listed, missing=self.missing, locks=self.locks
        )


class _File(Struct, frozen=True):
    """The whole file."""

    toolkit: int
    observed: dict[str, Evidence]


class EvidenceError(ValueError):
    """The file is not one of these; the message says why."""


def read(data: bytes) -> dict[str, Evidence]:
    """What a file holds, by target. Raises EvidenceError."""
    if len(data) > MOST_BYTES:
        raise EvidenceError(f"it has more than {MOST_BYTES:,} bytes")
    try:
        # json, since msgspec refuses names that are not UTF-8
        content = msgspec.convert(json.loads(data), _File)
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise EvidenceError(str(error)) from None
    if content.toolkit != _FORMAT:
        raise EvidenceError(f"it was written by another version of toolkit ({content.toolkit})")
    return content.observed


def written(observed: Mapping[str, Evidence]) -> bytes:
    """The file for some evidence."""
    targets = {
        name: {
            "command": list(evidence.command),
            "folder": evidence.folder,
            "means": evidence.means,
            "locks": dict(sorted(evidence.locks.items())),
            "hidden": list(evidence.hidden),
            "read": sorted(evidence.read),
            "listed": sorted(evidence.listed),
            "missing": sorted(evidence.missing),
        }
        for name, evidence in sorted(observed.items())
    }
    text = json.dumps({"toolkit": _FORMAT, "observed": targets}, indent=1)
    return f"{text}\n".encode()


def evidence_of(observation: ObservedCommand) -> Evidence:
    """What is kept of an observation."""
    inputs = observation.inputs
    return Evidence(
        command=observation.command,
        folder=observation.folder,
        means=observation.means,
        locks=inputs.locks,
        hidden=observation.hidden,
        read=inputs.read,
        listed=inputs.listed,
        missing=inputs.missing,
    )


def expired(target: str, evidence: Evidence, digests: Mapping[str, str]) -> EvidenceProblem | None:
    """Whether lock files differ from those that a command was observed with, or nobody knows; None
    if they do not. `digests` has those of today, empty where a file cannot be read.
    """
    unread = [path for path, digest in evidence.locks.items() if not digest]
    if unread:
        words = f"{', '.join(unread)} could not be read when it was observed"
        return EvidenceProblem(target, words)
    changed = [path for path, digest in evidence.locks.items() if digests.get(path) != digest]
    if not changed:
        return None
    verb = "has" if len(changed) == 1 else "have"
    return EvidenceProblem(target, f"{', '.join(changed)} {verb} changed since")


def other_command(
    target: str, evidence: Evidence | None, observation: ObservedCommand
) -> EvidenceProblem | None:
    """Whether what is recorded is about another command, or nothing is; None if it is this one."""
    if evidence is None:
        return EvidenceProblem(target, "nothing is recorded")
    if (evidence.command, evidence.folder) != (observation.command, observation.folder):
        return EvidenceProblem(target, "it was recorded for another command")
    return None
