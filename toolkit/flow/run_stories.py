"""Runs in retrospect: what a journal tells of one, and where a team shares them. Apart from
runs.py, so that a list of runs needs nothing of what carries them out.
"""

from collections.abc import Sequence

from msgspec import Struct

from toolkit.operations import Location
from toolkit.ports.aws.s3 import Bucket
from toolkit.ports.ports import Ports
from toolkit.record import history
from toolkit.record.history import Summary
from toolkit.record.journal import EntryState, JournalEntry, read
from toolkit.record.shared_runs import SharedRuns
from toolkit.record.state import Store


def shared_runs(location: Location, ports: Ports) -> SharedRuns | None:
    """Where the runs of a location are shared, None where they are not."""
    if not location.store:
        return None
    return SharedRuns(Bucket(ports.aws(location), location.store, location.account))


class RunStory(Struct, frozen=True):
    """A run in retrospect: its line in the history, and for each step its verdict (empty: open) and
    the cause.
    """

    summary: Summary
    steps: tuple[tuple[str, str, str], ...]


def story_of(summary: Summary, entries: Sequence[JournalEntry]) -> RunStory:
    """The story of a run with this journal. Pure."""
    causes: dict[str, str] = {}
    for entry in entries:
        if entry.state == EntryState.OUTCOME and entry.step is not None:
            causes[entry.step] = str(entry.facts.get("cause", ""))
    return RunStory(
        summary,
        tuple((step, verdict or "", causes.get(step, "")) for step, _, verdict in summary.steps),
    )


def run_story(store: Store, run: str) -> RunStory:
    """One run. Raises Refused, StateDamaged, FileProblem."""
    entries = read(store, run)
    return story_of(history.run_summary(store, run), entries)
