"""What becomes of a deployment of an ECS service: its state, and the scripts by which it changes
over looks or seconds.
"""

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.support.aws.clock import Step
from tests.support.aws.wire import Misuse

if TYPE_CHECKING:
    from tests.support.aws.ecs import Ecs, Service

STAGES = (
    "RECONCILE_SERVICE",
    "PRE_SCALE_UP",
    "SCALE_UP",
    "POST_SCALE_UP",
    "TEST_TRAFFIC_SHIFT",
    "POST_TEST_TRAFFIC_SHIFT",
    "PRODUCTION_TRAFFIC_SHIFT",
    "POST_PRODUCTION_TRAFFIC_SHIFT",
    "BAKE_TIME",
    "CLEAN_UP",
)
OPEN = frozenset(
    ("PENDING", "IN_PROGRESS", "STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS")
)
KINDS = (
    "success",
    "fail",
    "breaker",
    "alarm",
    "stopped",
    "superseded",
    "pause",
    "blue_green",
    "canary",
    "linear",
    "never",
)
CAUSES = (
    "pull",
    "pull_denied",
    "exit",
    "oom",
    "exec_format",
    "secret",
    "log_group",
    "unhealthy",
    "container_unhealthy",
    "spot",
    "place",
)


@dataclass
class Outcome:
    """What shall happen to a deployment; `ecs.next` describes the fields."""

    kind: str = "success"
    seconds: float = 0.0
    looks: int = 0
    cause: str = "exit"
    exit_code: int = 3
    failures: int | None = None
    reason: str = ""
    log: tuple[str, ...] = ()
    hidden: int = 0
    rollback: str = "successful"
    stage: str = "POST_TEST_TRAFFIC_SHIFT"
    timeout_minutes: int = 1440
    timeout_action: str = "ROLLBACK"
    foreign: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise Misuse(f"there is no outcome {self.kind}: {', '.join(KINDS)}")
        if self.cause not in CAUSES:
            raise Misuse(f"there is no cause {self.cause}: {', '.join(CAUSES)}")
        if self.rollback not in ("successful", "failed"):
            raise Misuse("a rollback is `successful` or `failed`")
        if self.stage not in STAGES:
            raise Misuse(f"there is no stage {self.stage}: {', '.join(STAGES)}")
        self.log = tuple(self.log)


@dataclass
class Rollout:
    """A deployment: an entry of `deployments` and a ServiceDeployment in one. `place` is PRIMARY,
    ACTIVE, or empty once it is gone.
    """

    id: str
    arn: str
    revision: str
    definition: str
    created: datetime
    desired: int
    outcome: Outcome
    configuration: dict[str, Any]
    source: "Rollout | None" = None
    place: str = "PRIMARY"
    state: str = "IN_PROGRESS"
    reason: str = ""
    pending: int = 0
    running: int = 0
    failed: int = 0
    status: str = "PENDING"
    status_reason: str = ""
    stage: str = ""
    hooks: list[dict[str, Any]] = field(default_factory=list)
    rolled: dict[str, Any] = field(default_factory=dict)
    breaker: str = "MONITORING"
    alarms: str = "MONITORING"
    weight: float = 100.0
    group: str = ""
    images: list[dict[str, str]] = field(default_factory=list)
    started: datetime | None = None
    finished: datetime | None = None
    stopped: datetime | None = None
    updated: datetime | None = None
    steps: list[Step] = field(default_factory=list)
    looks: int = 0
    since: datetime | None = None
    hidden: int = 0
    waiting: bool = False

    @property
    def open(self) -> bool:
        """Whether it still goes on."""
        return self.status in OPEN

    @property
    def threshold(self) -> int:
        """After how many failed tasks the circuit breaker acts."""
        message = self.configuration.get("deploymentCircuitBreaker", {}).get(
            "thresholdConfiguration"
        )
        if message is None:
            return min(max(math.ceil(self.desired / 2), 3), 200)
        if message["type"] == "COUNT":
            return int(message["value"])
        share = math.ceil(self.desired * int(message["value"]) / 100)
        return min(max(share, 3), 200) if message["type"] == "BOUNDED_PERCENT" else share


class RolloutScript:
    """Plays a rollout."""

    def __init__(self, ecs: "Ecs", service: "Service", rollout: Rollout) -> None:
        self._ecs, self._service, self._rollout = ecs, service, rollout
        self._outcome = rollout.outcome

    def begin(self) -> None:
        """Write its steps."""
        outcome, rollout = self._outcome, self._rollout
        rollout.since = rollout.created
        gap: dict[str, Any] = {"seconds": outcome.seconds, "looks": outcome.looks}
        strategy = {"blue_green": "BLUE_GREEN", "canary": "CANARY", "linear": "LINEAR"}.get(
            outcome.kind
        )
        if (
            outcome.kind == "pause"
            and rollout.configuration.get("strategy", "ROLLING") == "ROLLING"
        ):
            strategy = "BLUE_GREEN"
        if strategy:
            rollout.configuration = {**rollout.configuration, "strategy": strategy}
        if outcome.kind in ("breaker", "fail"):
            rollout.steps = [Step(self._start), *self._failing(gap)]
        elif outcome.kind == "never":
            rollout.steps = [Step(self._start)]
        elif outcome.kind == "alarm":
            rollout.steps = [Step(self._start), Step(self._serve, **gap), Step(self._alarm, **gap)]
        elif outcome.kind == "stopped":
            rollout.steps = [
                Step(self._start),
                Step(self._stop_asked, **gap),
                Step(self._stop, **gap),
            ]
        elif outcome.kind == "superseded":
            rollout.steps = [Step(self._start), Step(self._overtaken, **gap)]
        elif rollout.configuration.get("strategy", "ROLLING") != "ROLLING":
            rollout.steps = self._staged(gap)
        else:
            first, rest = outcome.looks // 2, outcome.looks - outcome.looks // 2
            rollout.steps = [
                Step(self._start),
                Step(self._serve, outcome.seconds / 2, first),
                Step(self._succeed, outcome.seconds / 2, rest),
            ]

    def play(self) -> None:
        """Do what is due."""
        rollout = self._rollout
        now = self._ecs.now()
        self._expire(now)
        while rollout.steps and not rollout.waiting:
            step = rollout.steps[0]
            due = (rollout.since or now) + timedelta(seconds=step.seconds)
            if rollout.looks < step.looks or now < due:
                return
            rollout.steps.pop(0)
            rollout.looks, rollout.since = 0, due if step.seconds else now
            rollout.updated = rollout.since
            step.do()

    def roll_back(self, reason: str) -> None:
        """Stop what goes on and return to the revision before."""
        rollout, outcome = self._rollout, self._outcome
        rollout.waiting = False
        rollout.since, rollout.looks = self._ecs.now(), 0
        rollout.steps = [
            Step(lambda: self._rolling_back(reason)),
            Step(self._rolled_back, outcome.seconds, outcome.looks),
        ]
        rollout.status, rollout.status_reason = "ROLLBACK_REQUESTED", reason

    def abort(self) -> None:
        """Stop, and leave everything as it is."""
        rollout, outcome = self._rollout, self._outcome
        rollout.waiting = False
        rollout.since, rollout.looks = self._ecs.now(), 0
        self._stop_asked()
        rollout.steps = [Step(self._stop, outcome.seconds, outcome.looks)]

    def overtake(self) -> None:
        """Another deployment has begun."""
        rollout = self._rollout
        rollout.steps, rollout.waiting, rollout.place = [], False, "ACTIVE"
        if rollout.open:
            rollout.status, rollout.status_reason = (
                "STOPPED",
                "Service deployment was stopped because a newer one was started.",
            )
            rollout.stopped = rollout.finished = self._ecs.now()

    # Steps

    def _start(self) -> None:
        rollout = self._rollout
        rollout.status, rollout.started = "IN_PROGRESS", rollout.since
        rollout.pending = rollout.desired
        if self._outcome.kind not in ("fail", "breaker"):
            self._ecs.launch(self._service, rollout)
            if rollout.desired:
                self._ecs.event(
                    self._service,
                    f"has started {rollout.desired} tasks:"
                    f" {self._ecs.task_words(self._service, rollout)}.",
                )

    def _serve(self) -> None:
        """The new tasks run and are healthy."""
        self._ecs.settle(self._service, self._rollout)

    def _succeed(self) -> None:
        rollout = self._rollout
        self._ecs.settle(self._service, rollout)
        self._ecs.retire(self._service, rollout)
        rollout.state, rollout.reason = "COMPLETED", f"ECS deployment {rollout.id} completed."
        rollout.status, rollout.stage, rollout.finished = "SUCCESSFUL", "", rollout.since
        rollout.breaker = rollout.alarms = "MONITORING_COMPLETE"
        rollout.weight = 100.0
        self._ecs.event(self._service, f"(deployment {rollout.id}) deployment completed.")
        self._ecs.event(self._service, "has reached a steady state.")

    def _failing(self, gap: dict[str, Any]) -> list[Step]:
        """Tasks that fail, until the circuit breaker acts if there is one."""
        outcome, rollout = self._outcome, self._rollout
        breaker = rollout.configuration.get("deploymentCircuitBreaker", {})
        armed = outcome.kind == "breaker" or bool(breaker.get("enable"))
        if outcome.kind == "breaker" and not breaker.get("enable"):
            rollout.configuration = {
                **rollout.configuration,
                "deploymentCircuitBreaker": {**breaker, "enable": True, "rollback": True},
            }
        if rollout.desired == 0:
            return [Step(self._succeed, **gap)]
        failures = outcome.failures if outcome.failures is not None else rollout.threshold
        first = (
            [Step(self._sicken, **gap)]
            if outcome.cause in ("unhealthy", "container_unhealthy")
            else []
        )
        steps = [*first, *(Step(self._fail_one, **gap) for _ in range(failures))]
        return (
            [*steps, Step(self._trip, **gap)] if armed and failures >= rollout.threshold else steps
        )

    def _sicken(self) -> None:
        """The tasks run, and are not healthy."""
        self._rollout.pending, self._rollout.running = 0, self._rollout.desired
        self._ecs.sicken(self._service, self._rollout)

    def _fail_one(self) -> None:
        rollout = self._rollout
        rollout.failed += 1
        self._ecs.fail_task(self._service, rollout, self._outcome)

    def _trip(self) -> None:
        rollout = self._rollout
        rollout.breaker = "TRIGGERED"
        self._ecs.event(
            self._service, f"(deployment {rollout.id}) deployment failed: tasks failed to start."
        )
        if (
            rollout.configuration["deploymentCircuitBreaker"].get("rollback")
            and rollout.source is not None
        ):
            self._rolling_back(
                "Service deployment rolled back because the circuit breaker threshold was exceeded."
            )
            rollout.steps = [Step(self._rolled_back, self._outcome.seconds, self._outcome.looks)]
            return
        rollout.state, rollout.reason = (
            "FAILED",
            "ECS deployment circuit breaker: tasks failed to start.",
        )
        rollout.status, rollout.status_reason = (
            "STOPPED",
            "Service deployment stopped because the circuit breaker threshold was exceeded.",
        )
        rollout.stopped = rollout.finished = rollout.since

    def _alarm(self) -> None:
        self._rollout.alarms = "TRIGGERED"
        self._rolling_back(
            "Service deployment rolled back because one or more CloudWatch alarms were triggered."
        )
        self._rollout.steps = [Step(self._rolled_back, self._outcome.seconds, self._outcome.looks)]

    def _rolling_back(self, reason: str) -> None:
        rollout, source = self._rollout, self._rollout.source
        message = self._outcome.reason or reason
        rollout.status, rollout.status_reason = "ROLLBACK_IN_PROGRESS", message
        rollout.rolled = {"reason": message, "startedAt": rollout.since}
        rollout.state, rollout.pending = "FAILED", 0
        rollout.reason = (
            "ECS deployment circuit breaker: tasks failed to start."
            if rollout.breaker == "TRIGGERED"
            else message
        )
        if source is None:
            return
        rollout.rolled["serviceRevisionArn"] = source.revision
        rollout.place, source.place = "ACTIVE", "PRIMARY"
        source.state, source.updated = "IN_PROGRESS", rollout.since
        words = "ECS deployment circuit breaker: " if rollout.breaker == "TRIGGERED" else ""
        source.reason = f"{words}rolling back to deploymentId {source.id}."
        self._service.definition = source.definition
        self._ecs.event(self._service, f"rolling back to deployment {source.id}.")

    def _rolled_back(self) -> None:
        rollout, source = self._rollout, self._rollout.source
        if self._outcome.rollback == "failed":
            rollout.status, rollout.finished = "ROLLBACK_FAILED", rollout.since
            rollout.status_reason = "Service deployment rollback failed."
            return
        rollout.status, rollout.stage = "ROLLBACK_SUCCESSFUL", ""
        rollout.finished = rollout.since
        rollout.place, rollout.running = "", 0
        self._ecs.stop_tasks(
            self._service,
            rollout.id,
            "Scaling activity initiated by (deployment " + rollout.id + ")",
        )
        if source is not None:
            self._ecs.settle(self._service, source)
            source.state, source.reason = "COMPLETED", f"ECS deployment {source.id} completed."
        self._ecs.event(self._service, "has reached a steady state.")

    def _stop_asked(self) -> None:
        self._rollout.status, self._rollout.status_reason = (
            "STOP_REQUESTED",
            "Service deployment stop requested by the user.",
        )

    def _stop(self) -> None:
        rollout = self._rollout
        rollout.status, rollout.status_reason = "STOPPED", "Service deployment stopped by the user."
        rollout.stopped = rollout.finished = rollout.since
        rollout.stage = ""

    def _overtaken(self) -> None:
        self._ecs.foreign_update(self._service, self._outcome.foreign)

    def _staged(self, gap: dict[str, Any]) -> list[Step]:
        """Blue/green and its relatives: stage by stage, with a pause where a hook wants one."""
        outcome, rollout = self._outcome, self._rollout
        rollout.weight = 0.0
        hooks = [
            hook
            for hook in rollout.configuration.get("lifecycleHooks", ())
            if hook.get("targetType") == "PAUSE"
        ]
        pauses = {stage for hook in hooks for stage in hook.get("lifecycleStages", ())}
        if outcome.kind == "pause":
            pauses.add(outcome.stage)
        steps = [Step(self._start)]
        for number, stage in enumerate(STAGES):
            steps.append(Step(partial(self._enter, stage), **gap if number else {}))
            if stage == "PRODUCTION_TRAFFIC_SHIFT":
                steps += [Step(partial(self._shift, weight), **gap) for weight in self._weights()]
            if stage in pauses:
                steps.append(Step(self._pause))
        return [*steps, Step(self._succeed, **gap)]

    def _weights(self) -> list[float]:
        configuration = self._rollout.configuration
        if configuration["strategy"] == "CANARY":
            return [configuration.get("canaryConfiguration", {}).get("canaryPercent", 5.0), 100.0]
        if configuration["strategy"] == "LINEAR":
            step = configuration.get("linearConfiguration", {}).get("stepPercent", 10.0)
            return [min(step * n, 100.0) for n in range(1, math.ceil(100 / step) + 1)]
        return [100.0]

    def _enter(self, stage: str) -> None:
        self._rollout.stage = stage
        if stage == "POST_SCALE_UP":
            self._serve()

    def _shift(self, weight: float) -> None:
        self._rollout.weight = weight

    def _pause(self) -> None:
        rollout, outcome = self._rollout, self._outcome
        timeouts = [
            hook["timeoutConfiguration"]
            for hook in rollout.configuration.get("lifecycleHooks", ())
            if "timeoutConfiguration" in hook and rollout.stage in hook.get("lifecycleStages", ())
        ]
        message = timeouts[0] if timeouts else {}
        minutes = message.get("timeoutInMinutes", outcome.timeout_minutes)
        rollout.waiting = True
        rollout.hooks.append(
            {
                "hookId": self._ecs.token("hook", 32),
                "targetType": "PAUSE",
                "status": "AWAITING_ACTION",
                "expiresAt": (rollout.since or self._ecs.now()) + timedelta(minutes=minutes),
                "timeoutAction": message.get("action", outcome.timeout_action),
            }
        )

    def answer_hook(self, hook: dict[str, Any], action: str, timed_out: bool = False) -> None:
        """Go on after a pause, or back."""
        rollout = self._rollout
        hook["status"] = "TIMED_OUT" if timed_out else "SUCCEEDED"
        rollout.waiting = False
        rollout.since, rollout.looks = self._ecs.now(), 0
        if action == "ROLLBACK":
            self.roll_back("Service deployment rolled back because of a lifecycle hook.")

    def _expire(self, now: datetime) -> None:
        for hook in self._rollout.hooks:
            if hook["status"] == "AWAITING_ACTION" and now >= hook["expiresAt"]:
                self.answer_hook(hook, hook["timeoutAction"], timed_out=True)
