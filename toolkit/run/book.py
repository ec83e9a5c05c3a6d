"""What outlives the process that carries out a run: its journal, a log for each step, and what is live from now on."""

from collections.abc import Callable, Mapping
from contextlib import suppress

from toolkit.errors import Refused, StateDamaged
from toolkit.model import GOOD, Deployed, Job, Live, Outcome, Place, Verdict
from toolkit.ports.clock import Clock
from toolkit.record import who
from toolkit.record.history import StepLog
from toolkit.record.journal import Journal
from toolkit.record.ledger import BEGUN, Ledger, Record
from toolkit.record.locks import ROLLBACK
from toolkit.record.state import Store

ACTION = "action"
"""Under which detail a record says that the version was put back."""


class Papers:
    """The book of one run (`run.execute.Book`). `ledgers` has the record of each step's place, `places` where that really is: with the
    account and region that rules.toml may have left to AWS's own settings."""

    def __init__(
        self, store: Store, journal: Journal, ledgers: Mapping[str, Ledger], places: Mapping[str, Place], clock: Clock,
        redact: Callable[[str], str],
    ) -> None:  # fmt: skip
        self._store, self.journal, self._ledgers, self._clock, self._redact = store, journal, ledgers, clock, redact
        self._places = places

    def log(self, step: str) -> StepLog:
        """The log of one step; a later process writes on behind what is there."""
        return StepLog(self._store, self.journal.run, step, self._redact)

    def begins(self, job: Job) -> None:
        """Write down that what is live is about to change. Raises FileProblem, CloudError.

        A record that cannot be read leaves its target unknown to everybody anyway, until it is repaired.
        """
        place = self._places[job.step]
        with suppress(StateDamaged, Refused):
            self._ledgers[job.step].begin(
                Record(
                    target=job.target,
                    environment=place.environment,
                    region=place.region,
                    version=job.version.name,
                    commit=job.version.commit,
                    fingerprint=job.version.fingerprint,
                    run=job.run,
                    when=self._clock.now().isoformat(timespec="seconds"),
                    verdict=BEGUN,
                    detail=self._action(job),
                    endpoint=self._store.endpoint,
                    account=place.account,
                    settings=job.version.settings,
                    who=_who(),
                )
            )

    @staticmethod
    def _action(job: Job) -> dict[str, str]:
        return {ACTION: job.action} if job.action == ROLLBACK else {}

    def record(self, job: Job, outcome: Outcome) -> None:
        """Write down how it ended, and what was seen to be live. Raises ToolkitError."""
        live, place = outcome.live, self._places[job.step]
        gave_way = outcome.verdict is Verdict.ROLLED_BACK and not job.undoes
        ours = Live(job.version.name, job.version.commit, job.version.fingerprint, settings=job.version.settings)
        runs = ours if live is None or outcome.verdict in GOOD else live
        self._ledgers[job.step].put(
            Record(
                target=job.target,
                environment=place.environment,
                region=place.region,
                version=runs.version or "",
                commit=runs.commit,
                fingerprint=runs.fingerprint or "",
                run=job.run,
                when=self._clock.now().isoformat(timespec="seconds"),
                verdict=outcome.verdict,
                detail={**(live.detail if live else {}), **self._action(job)},
                unsure=outcome.verdict not in GOOD and not gave_way,
                endpoint=self._store.endpoint,
                account=place.account,
                settings=runs.settings or "",
                deployed=live.deployed if live else Deployed(),
                who=_who(),
            )
        )


def _who() -> str:
    return f"{who.user()}@{who.this().host}"
