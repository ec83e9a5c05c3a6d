"""Runs in retrospect: what a journal tells of one, and where a team shares them. Apart from
runs.py, so that a list of runs needs nothing of what carries them out.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from toolkit.operations import Location, Usage
from toolkit.ports.aws.s3 import Bucket
from toolkit.ports.ports import Ports
from toolkit.record import history
from toolkit.record.history import Summary
from toolkit.record.journal import EntryState, JournalEntry, read, usage_of
from toolkit.record.shared_runs import SharedRuns
from toolkit.record.state import Store


def shared_runs(location: Location, ports: Ports) -> SharedRuns | None:
    """Where the runs of a location are shared, None where they are not."""
    if not location.store:
        return None
    return SharedRuns(Bucket(ports.aws(location), location.store, location.account))


class RunStory(Struct, frozen=True):
    """A run in retrospect: its line in the history, for each step its verdict (empty: open) and
    the cause, and what the steps and the process that ended the run have taken on its machine,
    where their ends say that.
    """

    summary: Summary
    steps: tuple[tuple[str, str, str], ...]
    step_usage: Mapping[str, Usage]
    usage: Usage | None


def story_of(summary: Summary, entries: Sequence[JournalEntry]) -> RunStory:
    """The story of a run with this journal. Pure."""
    causes: dict[str, str] = {}
    step_usage: dict[str, Usage] = {}
    whole: Usage | None = None
    for entry in entries:
        usage = usage_of(entry)
        if entry.state == EntryState.OUTCOME and entry.step is not None:
            causes[entry.step] = str(entry.facts.get("cause", ""))
            if usage is not None:
                step_usage[entry.step] = usage
        elif entry.state == EntryState.END:
            whole = usage
    steps = tuple((step, verdict or "", causes.get(step, "")) for step, _, verdict in summary.steps)
    return RunStory(summary, steps, step_usage, whole)


def run_story(store: Store, run: str) -> RunStory:
    """One run. Raises Refused, StateDamaged, FileProblem."""
    entries = read(store, run)
    return story_of(history.run_summary(store, run), entries)
