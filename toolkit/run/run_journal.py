"""What outlives the process that carries out a run: its journal, a log per step, and the record of
what is live.
"""

from collections.abc import Callable, Mapping
from itertools import chain
from threading import Lock

from msgspec.structs import replace

from toolkit import targets
from toolkit.errors import AnotherProject, Refused, StateDamaged, ToolkitError
from toolkit.model import Resource
from toolkit.operations import GOOD, Job, JobAction, LiveVersion, Location, Outcome, Verdict
from toolkit.ports import processes
from toolkit.ports.clock import Clock
from toolkit.record.history import StepLog
from toolkit.record.journal import EntryState, Journal
from toolkit.record.ledger import ACTION, BEGUN, IN_RECORD, FailedDeploy, Ledger, Record
from toolkit.record.state import Store

BAD = (Verdict.FAILED, Verdict.UNHEALTHY, Verdict.ROLLED_BACK)
"""The verdicts that say something against the version that was to be deployed."""


class StoredRunJournal:
    """The RunJournal of one run. `ledgers` has the record for each step, `locations` where each
    step really acts: with the account and region that rules.toml may leave to AWS's own settings.
    """

    def __init__(
        self,
        store: Store,
        journal: Journal,
        ledgers: Mapping[str, Ledger],
        locations: Mapping[str, Location],
        clock: Clock,
        redact: Callable[[str], str],
    ) -> None:
        self._store, self.journal, self._ledgers, self._clock, self._redact = (
            store,
            journal,
            ledgers,
            clock,
            redact,
        )
        self._locations = locations
        self.wholes: Mapping[str, Job] = {}
        """The jobs that stand for targets with parts, by step."""
        self._announcing = Lock()
        self._announced = set[str]()
        """The steps of whole targets of which this process has changed a part."""
        self.message = ""
        """Why, in the words of who began the run: for the record."""

    def log(self, step: str) -> StepLog:
        """The log of one step; a later process appends to it."""
        return StepLog(self._store, self.journal.run, step, self._redact)

    def announce(self, job: Job) -> None:
        """Record that what is live is about to change. Raises FileProblem, CloudError.

        A record that cannot be read is no obstacle: its target is unknown to everybody until it is
        repaired. What one part changes puts the whole target in doubt.
        """
        if not job.part:
            self._announce(job)
            return
        with self._announcing:
            if job.whole not in self._announced:
                self._announce(self.wholes[job.whole])
                self._announced.add(job.whole)

    def _announce(self, job: Job) -> None:
        begun = self._entry(job, BEGUN, _version_of(job))
        try:
            self._ledgers[job.step].begin(begun)
        except AnotherProject:
            raise
        except (StateDamaged, Refused):
            self.journal.append(
                EntryState.NOTE, job.step, **{IN_RECORD: False}
            )  # so that this machine does not rely on it

    def has_announced(self, job: Job) -> bool:
        """Whether the newest record is the announcement of an earlier process of this run, or
        nobody can read it.
        """
        if job.step in self._announced:
            return True
        if not self.journal.entries:
            return False  # this process has begun the run
        try:
            newest = self._ledgers[job.step].get(job.target)[:1]
        except ToolkitError:
            return True
        return any((record.run, record.verdict) == (job.run, BEGUN) for record in newest)

    def record(self, job: Job, outcome: Outcome) -> None:
        """Record how it ended and what was seen to be live. Raises ToolkitError.

        The end of a part is in the journal only: the record is of whole targets.
        """
        if job.part:
            return
        verdict = outcome.verdict
        if verdict is Verdict.SKIPPED and job.parts is not None:
            verdict = Verdict.FAILED  # a part of it has been changed, and another failed
        good = verdict in GOOD
        live = LiveVersion(None) if outcome.live is None else outcome.live
        version = _version_of(job) if good or outcome.live is None else live
        entry = self._entry(job, verdict, version)
        # The provider itself has put the version before back: it is sure what is live.
        gave_way = verdict is Verdict.ROLLED_BACK and not job.undoes
        tried = None
        if verdict in BAD and not job.undoes:
            tried = FailedDeploy(
                job.version.name, job.version.fingerprint, job.version.settings, job.run
            )
        self._ledgers[job.step].put(
            replace(
                entry,
                detail={**live.detail, **entry.detail, **_size_details(outcome)},
                unsure=not good and not gave_way,
                deployed=live.deployed,
                tried=tried,
            )
        )

    def _entry(self, job: Job, verdict: str, live: LiveVersion) -> Record:
        """What all records of a job have in common; `live` is what may be live by now."""
        location, version = self._locations[job.step], live.version or ""
        if len(version.split()) != 1:
            version = ""  # others may write the tags that name it
        return Record(
            target=job.target,
            environment=location.environment,
            region=location.region,
            version=version,
            commit=live.commit,
            fingerprint=live.fingerprint or "",
            run=job.run,
            when=self._clock.now().isoformat(timespec="seconds"),
            verdict=verdict,
            detail={ACTION: job.action} if job.action == JobAction.ROLLBACK else {},
            provider=location.provider,
            endpoint=self._store.endpoint,
            account=location.account,
            settings=live.settings or "",
            inputs=job.inputs,
            who=f"{processes.user()}@{processes.current_process().host}",
            writes=_writes(job),
            message=self.message,
        )


def _writes(job: Job) -> tuple[Resource, ...]:
    """What a job changes: of a target with parts, what all of these do."""
    kind = targets.kind(job.kind)
    every = [job.settings]
    if job.parts is not None:
        every = [kind.part(job.settings, name) for name in job.parts]
    return tuple(chain.from_iterable(kind.writes(settings) for settings in every))


def _version_of(job: Job) -> LiveVersion:
    version = job.version
    return LiveVersion(version.name, version.commit, version.fingerprint, settings=version.settings)


def _size_details(outcome: Outcome) -> dict[str, str]:
    """How large what is live now is, and by how much it has grown, in bytes."""
    size = outcome.size
    if size is None or outcome.verdict not in GOOD:
        return {}
    facts = {"size": size.bytes, "growth": size.growth}
    return {
        f"{size.what} {name}": "unknown" if value is None else str(value)
        for name, value in facts.items()
    }
