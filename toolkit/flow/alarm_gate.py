"""The alarms of a target, as a gate of its deploys: one that goes into ALARM after a deploy counts
like a check that fails.
"""

from collections.abc import Sequence

from msgspec import Struct

from toolkit.errors import CloudError, Expired
from toolkit.flow.bake import BakeFailure
from toolkit.model import Job
from toolkit.ports.aws import alarms as cloudwatch
from toolkit.ports.ports import Ports
from toolkit.run.step_journal import StepJournal

EVERY_S = 5.0
"""The pause between two looks at the alarms, in seconds."""


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


def take_baseline(job: Job, ports: Ports) -> AlarmBaseline:
    """The state of a job's alarms before anything is changed. Raises CloudError."""
    names = tuple(dict.fromkeys(job.settings.alarms))
    if not names:
        return AlarmBaseline()
    alarms = cloudwatch.named(ports.aws(job.location), names)
    red = frozenset(name for name, alarm in alarms.items() if alarm.rings)
    return AlarmBaseline(names, red, frozenset(names) - alarms.keys())


def warnings(baseline: AlarmBaseline) -> list[str]:
    """What a person should know of the alarms before agreeing to a deploy."""
    red = [f"alarm {name} is red already: it does not count" for name in sorted(baseline.red)]
    return red + [
        f"there is no alarm {name}: it does not count as long" for name in sorted(baseline.missing)
    ]


def red_alarms(job: Job, names: Sequence[str], ports: Ports) -> list[cloudwatch.Alarm]:
    """Which of these alarms are red now. Raises CloudError."""
    if not names:
        return []
    alarms = cloudwatch.named(ports.aws(job.location), names)
    return [alarms[name] for name in names if name in alarms and alarms[name].rings]


def alarm_failure(
    job: Job, names: Sequence[str], ports: Ports, desk: StepJournal
) -> BakeFailure | None:
    """The failure that these alarms show, None if none is red. Raises Stopped as soon as the run is
    to stop.
    """
    try:
        red = desk.ask(lambda: red_alarms(job, names, ports))
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


def wait_for_grace_period(
    job: Job, names: Sequence[str], ports: Ports, desk: StepJournal, until: float
) -> BakeFailure | None:
    """Wait until the grace period is over, at `until` of the clock port, and return what is red
    then. It is never cut short: alarms take their time to go red and to recover.
    """
    while names:
        failure = alarm_failure(job, names, ports, desk)
        remaining = until - ports.clock.elapsed()
        if remaining <= 0:
            return failure
        if failure is None:
            desk.phase("watching its alarms")
        else:
            desk.phase(f"waiting for it to settle: {failure.cause}")
        desk.wait(min(EVERY_S, remaining))
    return None
