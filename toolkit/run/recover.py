"""What the journal of an interrupted run says: which steps ended, which are open, which never
began. Pure.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from graphlib import TopologicalSorter
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from toolkit.advice import Advice, NextCommand, advice_parts
from toolkit.errors import Refused, StateDamaged
from toolkit.operations import GOOD, Job, LiveVersion, Outcome, Verdict
from toolkit.record.journal import EntryState, JournalEntry, usage_of
from toolkit.run.jobs import unpack
from toolkit.run.outcomes import BAD
from toolkit.run.request import BegunStep

# In doubt is not among them: such a step is open.
ENDS = (*GOOD, *BAD, Verdict.SKIPPED)
"""The verdicts with which a step is over."""


class RunState(Struct, frozen=True):
    """The state of a run on disk."""

    jobs: tuple[Job, ...]
    facts: Mapping[str, Any]
    done: Mapping[str, Outcome]
    begun: Mapping[str, BegunStep]
    ended: bool

    @property
    def open(self) -> tuple[Job, ...]:
        """The jobs that are not over. A job that undoes another counts only once it is clear that
        it has to.
        """
        return tuple(job for job in self.jobs if job.step not in self.done and self._may_begin(job))

    def _may_begin(self, job: Job) -> bool:
        if not job.undoes or job.step in self.begun:
            return True
        undone = self.done.get(job.undoes)
        return undone is not None and undone.has_to_give_way


def recover_state(entries: Sequence[JournalEntry], now: datetime, path: str) -> RunState:
    """The state of an interrupted run. Raises StateDamaged for a journal that is complete but
    contradicts itself, Refused if nothing was ever begun.
    """
    if not entries:
        raise Refused(
            "its process ended before anything was started",
            "nothing was changed: run the command itself again",
        )
    try:
        reader = _Reader(path)
        for entry in entries:
            reader.read(entry)
        return reader.state(now)
    except (TypeError, ValueError, AttributeError, KeyError, msgspec.ValidationError) as problem:
        raise StateDamaged(path=path, reason=f"it makes no sense: {problem}") from None


_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,99}")
"""The names that a command of somebody else's journal may be shown with."""


def with_quoted_advice(state: RunState) -> RunState:
    """The state of a run whose journal others could write: its advice is not shown as ours. Only
    commands of ours with plain names and no options stay; other commands are left out.
    """
    done = {
        step: replace(outcome, next=_quoted_advice(outcome.next))
        for step, outcome in state.done.items()
    }
    return replace(state, done=done)


def _quoted_advice(advice: Advice) -> Advice:
    parts = advice_parts(advice)
    if all(isinstance(part, NextCommand) and _is_plain(part) for part in parts):
        return advice
    words = " ".join(part for part in parts if isinstance(part, str))
    return f"its journal says: {words!r}" if words else ""


def _is_plain(command: NextCommand) -> bool:
    names = (*command.command.split(" "), *command.arguments)
    return not command.options and all(map(_PLAIN.fullmatch, names))


class _Reader:
    """Reads a journal's lines in order. Raises ValueError and the like if one contradicts those
    before it.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._facts: Mapping[str, Any] = {}
        self._jobs: dict[str, Job] = {}
        self._done: dict[str, Outcome] = {}
        self._receipts: dict[str, dict[str, Any]] = {}
        self._since: dict[str, datetime] = {}
        self._acted = set[str]()
        self._ended = False

    def read(self, entry: JournalEntry) -> None:
        """Read the next line."""
        if entry.state == EntryState.RUN:
            self._facts, self._jobs = entry.facts, _jobs(entry.facts, self._path)
        elif entry.state == EntryState.END:
            self._ended = True
        elif entry.state in (EntryState.INTENT, EntryState.ACCEPTED, EntryState.OUTCOME):
            self._read_step(entry, entry.step or "")

    def _read_step(self, entry: JournalEntry, step: str) -> None:
        if step in self._done:
            raise ValueError(f"line {entry.n} is of a step that is over")
        if step not in self._jobs:
            raise ValueError(f"line {entry.n} is of a step that does not exist")
        if entry.state == EntryState.INTENT:
            if entry.facts.get("token") != self._jobs[step].token:
                raise ValueError(f"line {entry.n} has the token of another step")
            # The first intent: from there on the deadline counts.
            self._since.setdefault(step, datetime.fromisoformat(entry.at))
            if entry.facts.get("prepares") is not True:
                self._acted.add(step)
            self._receipts.setdefault(step, {})
        elif entry.state == EntryState.ACCEPTED:
            self._receipts.setdefault(step, {}).update(entry.facts["receipt"])
        else:
            self._done[step] = _outcome(self._jobs[step], entry)

    def state(self, now: datetime) -> RunState:
        """What the lines say together."""
        begun: dict[str, BegunStep] = {}
        for step, receipt in self._receipts.items():
            if step not in self._done:
                # The clock may have been set back since: nothing was begun in the future.
                waited_s = max((now - self._since.get(step, now)).total_seconds(), 0.0)
                begun[step] = BegunStep(receipt, waited_s, step in self._acted)
        jobs = tuple(self._jobs.values())
        return RunState(jobs, self._facts, self._done, begun, self._ended)


def _jobs(facts: Mapping[str, Any], path: str) -> dict[str, Job]:
    """The steps of a run: each once, none that needs itself or a step that does not exist. Raises
    ValueError, StateDamaged.
    """
    unpacked = [unpack(packed, path) for packed in facts["jobs"]]
    jobs = {job.step: job for job in unpacked}
    needs = set[str]()
    for job in unpacked:
        needs.update(job.needs)
    if not unpacked or len(jobs) < len(unpacked) or not needs <= jobs.keys():
        raise ValueError("its steps do not fit together")
    # It raises CycleError, a ValueError.
    TopologicalSorter({job.step: job.needs for job in unpacked}).prepare()
    return jobs


def _outcome(job: Job, entry: JournalEntry) -> Outcome:
    facts = entry.facts
    word, took = facts["verdict"], facts.get("took_s", 0.0)
    if word not in ENDS or not isinstance(took, (int, float)):
        raise ValueError(f"line {entry.n} is not an end of a step")
    verdict = Verdict(word)
    if facts.get("unverified") is True:
        # Journals of the version before say so of what is live and not good, and that it failed.
        verdict = Verdict.UNHEALTHY
    live = facts.get("live")
    return Outcome(
        job.step,
        job.target,
        verdict,
        str(facts.get("cause", "")),
        msgspec.convert(facts.get("next", ""), Advice),
        took_s=took,
        untouched=facts.get("untouched") is True,
        live=None if live is None else msgspec.convert(live, LiveVersion),
        usage=usage_of(entry),
    )
