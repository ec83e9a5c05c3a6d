"""The alarms of a target, as a gate of its deploys: one that goes into ALARM after a deploy counts
like a check that fails.
"""

from toolkit.errors import CloudError, Expired
from toolkit.gates.base import AlarmBaseline, Gate, GateContext, GateFailure
from toolkit.operations import Job
from toolkit.ports.aws import alarms as cloudwatch
from toolkit.ports.ports import Ports
from toolkit.targets.base import JudgedSettings

RED = "ALARM"
EVERY_S = 5.0
"""The pause between two looks at the alarms, in seconds."""


class AlarmGate(Gate):
    """The alarms that a target names, and that were not red before."""

    name = "alarms"
    every_s = EVERY_S

    def asked_for(self, settings: JudgedSettings) -> bool:
        """Whether it names alarms."""
        return bool(settings.alarms)

    def after(self, context: GateContext) -> GateFailure | None:
        """What is red at the end of the grace period. It is never cut short: alarms take their time
        to go red and to recover.
        """
        if not context.is_changed:
            return None
        # What a rollback undoes may have made the alarms red: then they say nothing about it.
        if context.job.undoes and self.look(context) is not None:
            context.alarms = ()
        while context.alarms:
            failure = self.look(context)
            remaining = context.settled_at - context.clock.elapsed()
            if remaining <= 0:
                return failure
            phase = "watching its alarms"
            if failure is not None:
                phase = f"waiting for it to settle: {failure.cause}"
            context.step.phase(phase)
            context.step.wait(min(EVERY_S, remaining))
        return None

    def look(self, context: GateContext) -> GateFailure | None:
        """The failure that the alarms show, None if none is red."""
        names, ports, job = context.alarms, context.ports, context.job
        if not names:
            return None
        try:
            alarms = context.step.ask(lambda: cloudwatch.named(ports.aws(job.location), names))
        except Expired:
            raise
        except CloudError as problem:
            return GateFailure(
                f"its alarms could not be checked: {problem}", unknown=True, next=problem.next
            )
        red = [alarms[name] for name in names if name in alarms and alarms[name].state == RED]
        if not red:
            return None
        more = f" (and {len(red) - 1} more)" if len(red) > 1 else ""
        reason = f": {red[0].reason}" if red[0].reason else ""
        return GateFailure(f"alarm {red[0].name} went into ALARM{more}{reason}")


def take_baseline(job: Job, ports: Ports) -> AlarmBaseline:
    """The state of a job's alarms before anything is changed. Raises CloudError."""
    names = tuple(dict.fromkeys(job.settings.alarms))
    if not names:
        return AlarmBaseline()
    alarms = cloudwatch.named(ports.aws(job.location), names)
    red = frozenset(name for name, alarm in alarms.items() if alarm.state == RED)
    return AlarmBaseline(names, red, frozenset(names) - alarms.keys())


def warnings(baseline: AlarmBaseline) -> list[str]:
    """What a person should know of the alarms before agreeing to a deploy."""
    red = [
        f"alarm {name} is in ALARM already, so it does not count" for name in sorted(baseline.red)
    ]
    return red + [
        f"there is no alarm {name}, so it does not count" for name in sorted(baseline.missing)
    ]
