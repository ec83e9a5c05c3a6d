"""What a journal says of a run that its process left: which steps ended, which are open, which were
never begun. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from graphlib import TopologicalSorter
from typing import Any

import msgspec
from msgspec import Struct

from toolkit.errors import Refused, StateDamaged
from toolkit.model import GOOD, Job, LiveVersion, Outcome, Verdict
from toolkit.record.journal import JournalEntry
from toolkit.run.execute import BAD, BegunStep
from toolkit.run.jobs import unpack

ENDS = (*GOOD, *BAD, Verdict.SKIPPED)
"""With which words a step is over."""


class RunState(Struct, frozen=True):
    """The state of a run on disk."""

    jobs: tuple[Job, ...]
    facts: Mapping[str, Any]
    done: Mapping[str, Outcome]
    begun: Mapping[str, BegunStep]
    ended: bool

    @property
    def open(self) -> tuple[Job, ...]:
        """The jobs that are not over. One that undoes another is no part of it before that is known
        to be wanted.
        """
        return tuple(job for job in self.jobs if job.step not in self.done and self._wanted(job))

    def _wanted(self, job: Job) -> bool:
        other = self.done.get(job.undoes)
        return (
            not job.undoes
            or job.step in self.begun
            or (other is not None and other.has_to_give_way)
        )


def left(entries: Sequence[JournalEntry], now: datetime, path: str) -> RunState:
    """What is left of a run. Raises StateDamaged for a journal that is whole, but makes no sense;
    Refused where nothing was ever begun.
    """
    if not entries:
        raise Refused(
            "its process ended before anything was begun",
            "nothing was changed: run the command itself again",
        )
    try:
        return _left(entries, now, path)
    except (TypeError, ValueError, AttributeError, KeyError, msgspec.ValidationError) as problem:
        raise StateDamaged(path=path, reason=f"it makes no sense: {problem}") from None


def _left(entries: Iterable[JournalEntry], now: datetime, path: str) -> RunState:
    facts: Mapping[str, Any] = {}
    jobs: dict[str, Job] = {}
    done: dict[str, Outcome] = {}
    receipts: dict[str, dict[str, Any]] = {}
    since: dict[str, datetime] = {}
    acted = set[str]()
    ended = False
    for entry in entries:
        step = entry.step or ""
        if entry.state == "run":
            facts, jobs = entry.facts, _jobs(entry.facts, path)
            continue
        if entry.state in ("intent", "accepted", "outcome") and (step not in jobs or step in done):
            raise ValueError(
                f"line {entry.n} is of a step that {'is over' if step in done else 'is not there'}"
            )
        if entry.state == "intent":
            if entry.facts.get("token") != jobs[step].token:
                raise ValueError(f"line {entry.n} has the token of another step")
            since.setdefault(step, datetime.fromisoformat(entry.at))
            if entry.facts.get("prepares") is not True:
                acted.add(step)
            receipts.setdefault(step, {})
        elif entry.state == "accepted":
            receipts.setdefault(step, {}).update(entry.facts["receipt"])
        elif entry.state == "outcome":
            done[step] = _outcome(jobs[step], entry)
        elif entry.state == "end":
            ended = True
    begun = {
        step: BegunStep(
            receipt,
            max((now - since[step]).total_seconds(), 0.0) if step in since else 0.0,
            step in acted,
        )
        for step, receipt in receipts.items()
        if step not in done
    }
    return RunState(tuple(jobs.values()), facts, done, begun, ended)


def _jobs(facts: Mapping[str, Any], path: str) -> dict[str, Job]:
    """The steps of a run, each once, and none that waits for itself or for one that is not there.
    Raises ValueError, StateDamaged.
    """
    found = [unpack(one, path) for one in facts["jobs"]]
    jobs = {job.step: job for job in found}
    if (
        not found
        or len(jobs) < len(found)
        or any(need not in jobs for job in found for need in job.needs)
    ):
        raise ValueError("its steps do not fit together")
    TopologicalSorter({job.step: job.needs for job in found}).prepare()
    return jobs


def _outcome(job: Job, entry: JournalEntry) -> Outcome:
    word, took = entry.facts["verdict"], entry.facts.get("took_s", 0.0)
    if word not in ENDS or not isinstance(took, (int, float)):
        raise ValueError(f"line {entry.n} is no end of a step")
    # Journals of the version before say of what is live and not good that it has failed, and is
    # `unverified`.
    verdict = Verdict.UNHEALTHY if entry.facts.get("unverified") is True else Verdict(word)
    untouched, live = entry.facts.get("untouched") is True, entry.facts.get("live")
    return Outcome(
        job.step,
        job.target,
        verdict,
        str(entry.facts.get("cause", "")),
        str(entry.facts.get("next", "")),
        took_s=took,
        untouched=untouched,
        live=None if live is None else msgspec.convert(live, LiveVersion),
    )
