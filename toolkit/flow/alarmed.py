"""The alarms that a target names, as a gate of its deploys: one that goes red after a deploy counts
like a check that fails.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from toolkit.errors import CloudError, Expired
from toolkit.flow.baked import BakeFailure
from toolkit.model import Job
from toolkit.ports.aws import alarms as cloudwatch
from toolkit.ports.ports import Ports
from toolkit.run.step_journal import StepJournal

RED = "ALARM"
EVERY_S = 5.0
"""How often they are looked at."""


class AlarmBaseline(Struct, frozen=True):
    """The alarms of one target before its deploy: all that it names, those that are red already,
    and those that are not there.
    """

    names: tuple[str, ...] = ()
    red: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()

    @property
    def counted(self) -> tuple[str, ...]:
        """Those that decide about the deploy."""
        return tuple(name for name in self.names if name not in self.red)


def before(job: Job, ports: Ports) -> AlarmBaseline:
    """How its alarms are now, before anything is changed. Raises CloudError."""
    names = tuple(dict.fromkeys(job.settings.alarms))
    known = cloudwatch.named(ports.aws(job.location), names) if names else {}
    red = frozenset(name for name, alarm in known.items() if alarm.state == RED)
    return AlarmBaseline(names, red, frozenset(names) - known.keys())


def warnings(baseline: AlarmBaseline) -> list[str]:
    """What has to be said of them before a deploy is agreed to."""
    said = [f"alarm {name} is red already: it does not count" for name in sorted(baseline.red)]
    return said + [
        f"there is no alarm {name}: it does not count as long" for name in sorted(baseline.missing)
    ]


def ringing(job: Job, names: Sequence[str], ports: Ports) -> list[cloudwatch.Alarm]:
    """Which of these alarms are red now. Raises CloudError."""
    known: Mapping[str, cloudwatch.Alarm] = (
        cloudwatch.named(ports.aws(job.location), names) if names else {}
    )
    return [known[name] for name in names if name in known and known[name].state == RED]


def look(job: Job, names: Sequence[str], ports: Ports, desk: StepJournal) -> BakeFailure | None:
    """What one look at these alarms says. Raises Stopped as soon as the run is to stop."""
    try:
        red = desk.ask(lambda: ringing(job, names, ports))
    except Expired:
        raise
    except CloudError as problem:
        return BakeFailure(
            f"its alarms could not be checked: {problem}", unknown=True, next=problem.next
        )
    if not red:
        return None
    more = f" (and {len(red) - 1} more)" if len(red) > 1 else ""
    reason = f": {red[0].reason}" if red[0].reason else ""
    return BakeFailure(f"alarm {red[0].name} went red{more}{reason}")


def settled(
    job: Job, names: Sequence[str], ports: Ports, desk: StepJournal, until: float
) -> BakeFailure | None:
    """What is red when the grace period is over, at `until` of the world's clock. All of it is
    waited for: alarms take their time.
    """
    while names:
        wrong, left = look(job, names, ports, desk), until - ports.clock.elapsed()
        if left <= 0:
            return wrong
        desk.phase(
            f"waiting for it to settle: {wrong.cause}"
            if wrong is not None
            else "watching its alarms"
        )
        desk.wait(min(EVERY_S, left))
    return None
