"""What the alarms that are about a thing say of it."""

from collections.abc import Callable, Mapping, Sequence

from toolkit.advice import Advice, ShellCommand
from toolkit.operations import Depth, Finding, HealthStatus, Statement
from toolkit.ports.aws import alarms
from toolkit.ports.aws.alarms import Alarm
from toolkit.ports.aws.client import Aws

LONGEST = 200
"""The most characters of an alarm's reason that are shown."""
STATEMENT = Statement(
    "see which alarms are in ALARM; for composite ones AWS has no narrower resource",
    ("cloudwatch:DescribeAlarms",),
)
"""What a kind that looks at alarms needs."""

About = Callable[[Alarm], bool] | Mapping[str, str]
"""Whether an alarm that nobody has named is about the thing: by dimensions, of which one of its
metrics must have all.
"""


def read_findings(aws: Aws, named: Sequence[str], about: About) -> list[Finding]:
    """A finding for each alarm that rings and is `named` or about the thing, and for each named one
    that tells nothing; one `ok` if there are named ones and all are well. None for somebody who has
    named none, where none rings. Raises CloudError.
    """
    ringing = alarms.in_alarm(aws)
    return findings_about(named, alarms.named(aws, named) if named else {}, ringing, about)


def findings_about(
    named: Sequence[str],
    existing: Mapping[str, Alarm],
    ringing: Sequence[Alarm],
    about: About,
    also: Sequence[str] = (),
) -> list[Finding]:
    """The same, of what was read; `known` are those of the `named` ones, and of those that AWS
    itself names (`also`), that are there.
    """
    watched = dict.fromkeys((*named, *also))
    rings = {
        alarm.name: alarm for alarm in ringing if alarm.name in watched or _is_about(alarm, about)
    }
    rings |= {name: alarm for name, alarm in existing.items() if alarm.rings}
    findings = [_rings(alarm) for alarm in rings.values()]
    for name in watched:
        if name not in rings and name not in existing:
            fix = "create it, or remove its name from the service"
            if name in named:
                fix = "correct `alarms` in rules.toml"
            findings.append(_absent(name, fix))
        elif name not in rings and existing[name].state != "OK":
            findings.append(_silent(existing[name]))
    if watched and not findings:
        plural = "" if len(watched) == 1 else "s"
        findings.append(Finding("alarms", HealthStatus.OK, f"{len(watched)} alarm{plural} OK"))
    return findings


def _is_about(alarm: Alarm, about: About) -> bool:
    """One that only scales is nobody's trouble: a service that has little to do rings for fewer
    tasks.
    """
    if alarm.scales:
        return False
    if isinstance(about, Mapping):
        return alarm.about(about)
    return about(alarm)


def _rings(alarm: Alarm) -> Finding:
    return Finding(
        f"alarm {alarm.name}",
        HealthStatus.FAILING,
        "ALARM",
        alarm.since,
        _named(alarm, _clipped(alarm.reason) or "it is in ALARM"),
        ("fix what it measures, then it ends by itself; its history:", _history(alarm)),
        depth=Depth.ALARM,
    )


def _silent(alarm: Alarm) -> Finding:
    cause = _clipped(alarm.reason) or "it does not have enough data"
    return Finding(
        f"alarm {alarm.name}",
        HealthStatus.WARNING,
        "insufficient data",
        alarm.since,
        _named(alarm, cause),
        ("correct its metric, or send it data; its history:", _history(alarm)),
    )


def _absent(name: str, command: Advice) -> Finding:
    return Finding(
        f"alarm {name}",
        HealthStatus.FAILING,
        "missing",
        cause=f"there is no alarm {name}",
        next=command,
        depth=None,
    )


def _history(alarm: Alarm) -> ShellCommand:
    region = ("--region", alarm.region) if alarm.region else ()
    return ShellCommand("aws cloudwatch describe-alarm-history --alarm-name", (alarm.name, *region))


def _named(alarm: Alarm, why: str) -> str:
    return f"alarm {alarm.name}: {why}"


def _clipped(reason: str) -> str:
    if len(reason) <= LONGEST:
        return reason
    return f"{reason[: LONGEST - 1].rstrip()}…"
