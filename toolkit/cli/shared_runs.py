"""A run that colleagues may have continued on another machine."""

from toolkit.cli import output
from toolkit.flow import colleagues
from toolkit.model import Rules
from toolkit.ports.ports import Ports
from toolkit.record.state import Store
from toolkit.show.text import line


def newer_run(
    run: str, store: Store, rules: Rules, ports: Ports, profile: str | None = None
) -> colleagues.ColleagueRun | None:
    """The run in the team's bucket, where that is newer than what this machine knows of it."""
    shared, problem = colleagues.newer_copy(run, store, rules, ports, profile)
    if problem:
        output.note(
            f"note: could not check whether another machine has continued it: {line(problem)}"
        )
    return shared
