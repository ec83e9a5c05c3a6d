"""The contract of a gate, and what it is given."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from toolkit.advice import Advice
from toolkit.operations import Job, Observation, Outcome, Result, Verdict
from toolkit.ports.ports import Ports
from toolkit.run.request import StepReport
from toolkit.targets.base import JudgedSettings

if TYPE_CHECKING:
    from toolkit.ports.net.policy import Policy

CONFIRM_S = 2.0
"""How long something that was good before is retried while it bakes, before it counts as failed."""


class GateFailure(Struct, frozen=True):
    """Why something that is live is not good. `check` is the name of the check that failed, `shown`
    the lines that show it.

    `unknown`: it could not be checked, so it may be good all the same. `may_pass`: it counts only
    if it is still so at the end of the bake.
    """

    cause: str
    unknown: bool = False
    may_pass: bool = False
    check: str = ""
    shown: tuple[str, ...] = ()
    next: Advice = ""
    verdict: Verdict = Verdict.UNHEALTHY


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


class GateSetup(Struct, frozen=True):
    """What the gates of one step work with; everything that is missing for them shows before a
    deploy. `redact` hides the values of secrets; `ask_checks` asks the checks that decide, each for
    so many seconds at least. `others` are the jobs whose program may answer at an address instead
    of this one's, by address. `grace_s` is the grace period; times are in seconds.

    `can_go_back` is whether a good version could be put back, None where nobody knows, and
    `rolls_back` whether the environment wants that.
    """

    policy: "Policy"
    redact: Callable[[str], str]
    ask_checks: Callable[[StepReport, float], Sequence[Result]]
    grace_s: float
    bake_s: float
    others: Mapping[str, tuple[Job, ...]]
    alarms: AlarmBaseline
    can_go_back: Callable[[Job], bool | None]
    rolls_back: bool


class GateContext:
    """One step that went well, and is asked by its gates. They have it from here what they have
    seen so far: the alarms that count, and the last observation.
    """

    def __init__(
        self, job: Job, setup: GateSetup, outcome: Outcome, step: StepReport, ports: Ports
    ) -> None:
        self.job, self.setup, self.outcome = job, setup, outcome
        self.step, self.ports, self.clock = step, ports, ports.clock
        self.settled_at = self.clock.elapsed() + setup.grace_s
        self.alarms = setup.alarms.counted
        self.observation: Observation | None = None
        self.repeated: Sequence[Gate] = ()
        """The gates that are asked again and again while it bakes."""

    @property
    def is_changed(self) -> bool:
        """Whether this run has changed what runs. What only runs as it did before has nothing to
        settle.
        """
        return self.outcome.verdict is Verdict.SUCCEEDED


class Gate:
    """The contract of a gate, with a default for everything."""

    name: str = ""
    every_s: float | None = None
    """The interval at which `look` is repeated while a step bakes; None: it is not."""
    first_s: float = 0.0
    """How many seconds after the bake's start it is looked at first."""

    def asked_for(self, settings: JudgedSettings) -> bool:
        """Whether these settings name something for it, so that a deploy can be judged."""
        return False

    def before(self, job: Job, ports: Ports) -> None:
        """Whether a step may begin, asked right before its first effect. Raises Refused or another
        ToolkitError where it may not.
        """

    def after(self, context: GateContext) -> GateFailure | None:
        """Whether a step that went well counts as good: what is wrong with it, None if nothing is.
        Waits as long as the grace period lets it. Raises Stopped.
        """
        return None

    def look(self, context: GateContext) -> GateFailure | None:
        """The same at one moment, for what was good a moment ago. Raises Stopped."""
        return None
