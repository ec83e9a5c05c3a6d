"""The gates of a deploy: what is live has to answer, to pass its checks and to raise no alarm
before the deploy counts as good.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.checks import addresses
from toolkit.checks.base import CheckContext
from toolkit.checks.select import Task
from toolkit.checks.values import Redactor
from toolkit.errors import CloudError, Expired, Refused, StateDamaged, ToolkitError
from toolkit.flow import alarm_gate
from toolkit.flow import checks as flow
from toolkit.flow.bake import BakeCheck, BakeFailure, bake
from toolkit.flow.check_run import CheckOptions, CheckRun
from toolkit.flow.good_deploys import good_deploys, last_good_before, rollback_wishes
from toolkit.flow.rulebook import find_environment, variables_of
from toolkit.impact.reading import seconds
from toolkit.model import (
    Checks,
    CheckStatus,
    Finding,
    HealthStatus,
    Job,
    JobAction,
    LiveVersion,
    Observation,
    Outcome,
    Preview,
    Result,
    RollbackPolicy,
    Rules,
    StepState,
    Verdict,
    Version,
)
from toolkit.ports.ports import Ports
from toolkit.record.ledger import Record
from toolkit.run import superseded
from toolkit.run.jobs import (
    JobRequest,
    jobs_without_run,
    locations,
    make_jobs,
    may_answer_for,
    step_token,
)
from toolkit.run.step_journal import StepJournal
from toolkit.run.stop import Stop
from toolkit.targets.base import JudgedSettings

TRY_S = 10.0
"""How long one try of a health address may take."""
CONFIRM_S = 2.0
"""How long something that was good before is retried while it bakes, before it counts as failed."""
RUNS_EVERY_S, ADDRESSES_EVERY_S, CHECKS_EVERY_S = 5.0, 5.0, 30.0
"""The intervals of the bake for what is live, addresses and checks. Checks may leave something
behind, such as an order: they are repeated seldom.
"""
PAUSES_S = (0.5, 1.0, 2.0)
"""The pauses between tries; the last one from then on."""


class Gate(Struct, frozen=True):
    """What a step has to pass besides its health addresses: checks, with all that they need, and
    alarms that do not go red. `others` are the jobs whose program may answer at an address instead
    of this one's, by address. `settle_s` is the grace period; times are in seconds.
    """

    setup: flow.CheckSetup
    names: tuple[str, ...]
    settle_s: float
    others: Mapping[str, tuple[Job, ...]] = {}
    alarms: alarm_gate.AlarmBaseline = alarm_gate.AlarmBaseline()
    bake_s: float = 0.0


Baselines = Mapping[str, alarm_gate.AlarmBaseline]
"""Step -> how its alarms were before the deploy."""


def step_gates(
    rules: Rules,
    jobs: Sequence[Job],
    ports: Ports,
    redact: Callable[[str], str] = str,
    baselines: Baselines | None = None,
) -> dict[str, Gate]:
    """The gate of each step that has one. Everything that is missing shows here, before a deploy.

    `baselines` are those of the process that began the run: an alarm that is red by now may be red
    because of the run. Raises RulesError, Refused, CloudError.
    """
    gated = {job.undoes or job.step: job for job in jobs if has_gate(job)}
    if not gated:
        return {}
    checks = flow.load_checks(rules)
    gates: dict[str, Gate] = {}
    for step, job in gated.items():
        deciding = flow.deciding_checks(job.settings, checks)
        names = flow.deploy_checks(checks, deciding, job.location.environment)
        environment = find_environment(job.location.environment, rules)
        selection = flow.CheckSelection(
            rules, checks, names, environment, [job.location], redact=redact
        )
        try:
            setup = flow.check_setup(selection, ports)
            flow.check_tasks(checks, names, setup)
        except Refused as problem:
            next_ = f"{problem.facts['next']}; without any check: --no-checks"
            raise Refused(str(problem), next_) from None
        if baselines is None:
            alarms = _baseline(job, ports)
        else:
            alarms = baselines.get(step, alarm_gate.AlarmBaseline())
        grace_s = float(seconds(job.settings.settle) or 0)
        bake_s = float(seconds(job.settings.bake) or 0)
        gates[step] = Gate(setup, names, grace_s, _others(job, rules), alarms, bake_s)
    return gates


def _baseline(job: Job, ports: Ports) -> alarm_gate.AlarmBaseline:
    """The alarms of a job before its deploy. Credentials that may not read them could not read them
    afterwards either: raises Refused.
    """
    try:
        return alarm_gate.take_baseline(job, ports)
    except CloudError as problem:
        why = f"the alarms of {job.target} could not be checked: {problem}"
        raise Refused(why, f"{problem.next}; without checks and alarms: --no-checks") from None


def pack_baselines(gates: Mapping[str, Gate]) -> dict[str, Any]:
    """The alarms' state before the deploy, for the journal."""
    return {
        step: msgspec.to_builtins(gate.alarms) for step, gate in gates.items() if gate.alarms.names
    }


def read_baselines(facts: Mapping[str, Any], path: str) -> Baselines:
    """The same out of a journal; in one of an earlier version of toolkit, no alarm counts. Raises
    StateDamaged.
    """
    try:
        return msgspec.convert(facts.get("alarms") or {}, dict[str, alarm_gate.AlarmBaseline])
    except msgspec.ValidationError as problem:
        reason = f"what it says of alarms cannot be read: {problem}"
        raise StateDamaged(path=path, reason=reason) from None


def with_alarm_warnings(
    previews: Mapping[str, Preview], gates: Mapping[str, Gate]
) -> dict[str, Preview]:
    """The previews with the warnings about alarms that a person sees before agreeing."""
    warned = dict(previews)
    for step, preview in previews.items():
        if step in gates and not preview.unchanged:
            warnings = alarm_gate.warnings(gates[step].alarms)
            warned[step] = replace(preview, warnings=(*preview.warnings, *warnings))
    return warned


def has_gate(job: Job) -> bool:
    """Whether something says if a deploy of it is good."""
    settings = job.settings
    if not isinstance(settings, JudgedSettings):
        return False
    return bool(settings.addresses or settings.checks or settings.alarms or seconds(settings.bake))


def _others(job: Job, rules: Rules) -> dict[str, tuple[Job, ...]]:
    """For each address, the jobs of those whose program may answer there instead."""
    environment = find_environment(job.location.environment, rules)
    watched = [
        target for target in rules.targets.values() if isinstance(target.settings, JudgedSettings)
    ]
    everywhere = locations(environment, job.location.profile, None)
    jobs = jobs_without_run(watched, everywhere, variables_of(environment))
    may_answer = [other for other in jobs if may_answer_for(job, other)]
    others: dict[str, tuple[Job, ...]] = {}
    for url in job.settings.addresses:
        others[url] = tuple(other for other in may_answer if url in other.settings.addresses)
    return others


class Verifier:
    """Makes each step that went well pass its gate (`run.step.Verify`). `standby` are the steps
    that put others back.
    """

    def __init__(
        self,
        rules: Rules,
        gates: Mapping[str, Gate],
        ports: Ports,
        stop: Stop,
        standby: Sequence[Job] = (),
    ) -> None:
        self._rules, self._gates, self._ports, self._stop = rules, gates, ports, stop
        self._undone = {job.undoes for job in standby}
        self._checks = flow.load_checks(rules) if gates else Checks()

    def __call__(self, job: Job, outcome: Outcome, desk: StepJournal) -> Outcome:
        """The outcome, which is no longer good if something does not answer as it should. Raises
        Stopped, Superseded, LockLost.
        """
        gate = self._gates.get(job.undoes or job.step)
        if gate is None:
            return outcome
        failure = self._failure(job, gate, outcome, desk)
        desk.check()
        self._refuse_superseded(job, outcome, desk)
        if failure is None:
            return outcome
        if failure.unknown:
            return _in_doubt(outcome, failure)
        if failure.verdict is not Verdict.UNHEALTHY:  # it is not live any more
            return replace(
                outcome,
                verdict=failure.verdict,
                cause=failure.cause,
                next=failure.next,
                log=failure.shown,
                live=None,
            )
        return self._unhealthy(job, outcome, failure)

    def _failure(
        self, job: Job, gate: Gate, outcome: Outcome, desk: StepJournal
    ) -> BakeFailure | None:
        """What is wrong with it: first by its addresses and checks, then by its alarms for the
        grace period, and then by all of them while it bakes.
        """
        clock = self._ports.clock
        settled_at = clock.elapsed() + gate.settle_s
        failure = _address_failure(job, gate, self._ports, desk, gate.settle_s)
        if failure is None:
            failure = self._check_failure(gate, desk, gate.settle_s)
        if failure is not None or outcome.verdict is not Verdict.SUCCEEDED:
            return failure  # what only runs as it did before has nothing to settle
        alarms = gate.alarms.counted
        # What a rollback undoes may have made the alarms red: then they say nothing about it.
        if job.undoes and alarm_gate.alarm_failure(job, alarms, self._ports, desk) is not None:
            alarms = ()
        failure = alarm_gate.wait_for_grace_period(job, alarms, self._ports, desk, settled_at)
        if failure is not None or job.undoes or not gate.bake_s:
            return failure

        def alarm_failure() -> BakeFailure | None:
            if not alarms:
                return None
            return alarm_gate.alarm_failure(job, alarms, self._ports, desk)

        def address_failure() -> BakeFailure | None:
            return _address_failure(job, gate, self._ports, desk, CONFIRM_S)

        def check_failure() -> BakeFailure | None:
            return self._check_failure(gate, desk, CONFIRM_S)

        looks = [
            BakeCheck(_LiveCheck(job, self._ports, desk), RUNS_EVERY_S),
            BakeCheck(alarm_failure, alarm_gate.EVERY_S),
            # Both were good a moment ago.
            BakeCheck(address_failure, ADDRESSES_EVERY_S, ADDRESSES_EVERY_S),
            BakeCheck(check_failure, CHECKS_EVERY_S, CHECKS_EVERY_S),
        ]
        return bake(gate.bake_s, looks, desk, clock)

    def _check_failure(self, gate: Gate, desk: StepJournal, settle_s: float) -> BakeFailure | None:
        """The failure that its checks show: one that failed, else one that could not be asked."""
        bad = self._bad_results(gate, desk, settle_s)
        for result in bad:
            if result.status == CheckStatus.FAILED:
                cause = f"check {result.check} did not pass: {result.cause}"
                return BakeFailure(cause, check=result.check, shown=result.shown)
        for result in bad:
            if result.status == CheckStatus.UNKNOWN:
                cause = f"check {result.check} could not be asked: {result.cause}"
                return BakeFailure(cause, unknown=True, check=result.check)
        return None

    def _bad_results(self, gate: Gate, desk: StepJournal, settle_s: float) -> Sequence[Result]:
        """The checks that did not pass."""
        tasks = flow.check_tasks(self._checks, gate.names, gate.setup)
        if not tasks:
            return ()
        noun = "check" if len(tasks) == 1 else "checks"
        desk.phase(f"asking {len(tasks)} {noun}")
        # No sooner than if each waited for the one before it: every check has its own time, however
        # long the others took.
        longest = sum(max(task.check.retry_s, settle_s) + task.check.timeout_s for task in tasks)
        options = CheckOptions(
            monotonic() + longest,
            self._stop,
            settle_s,
            on_result=lambda result: desk.log(_line(result)),
            log=lambda task: _StepLines(task, desk, gate.setup.redactor),
        )
        results = CheckRun(tasks, gate.setup, self._ports, options).carry_out()
        return [result for result in results if result.status != CheckStatus.PASSED]

    def _refuse_superseded(self, job: Job, outcome: Outcome, desk: StepJournal) -> None:
        """What was checked has to be what was deployed: somebody else may have deployed meanwhile,
        with our lock or without.
        """
        desk.check_fence()
        if outcome.live is None:
            return
        try:
            superseded.check_still_live(job, targets.kind(job.kind), outcome.live, self._ports)
        except CloudError as problem:
            desk.log(f"whether it still runs could not be checked: {problem}")

    def _unhealthy(self, job: Job, outcome: Outcome, failure: BakeFailure) -> Outcome:
        """The outcome for what is live and not good. What only runs as it did before is left alone:
        nothing of this run has made it so.
        """
        cause = f"it is live, but {failure.cause}"
        next_ = failure.next
        if not next_ and failure.check:
            next_ = f"toolkit smoke-test --only {failure.check}"
        elif not next_:
            next_ = f"toolkit health {job.target}"
        changed = outcome.verdict is Verdict.SUCCEEDED
        is_rollback = job.undoes or job.action == JobAction.ROLLBACK
        # Where a step stands by that puts it back, nothing is left for a person to roll back.
        if not is_rollback and not (changed and job.step in self._undone):
            can_go_back = self._has_previous(job)
            if can_go_back:
                next_ = f"toolkit rollback {job.target}, or look: {next_}"
            elif can_go_back is False and changed and self._rolls_back(job):
                cause = f"{cause}; no good version is recorded that could be put back"
        return replace(
            outcome,
            verdict=Verdict.UNHEALTHY,
            cause=cause,
            next=next_,
            log=failure.shown,
            untouched=not changed,
        )

    def _has_previous(self, job: Job) -> bool | None:
        """Whether there is a version to go back to; None where that is impossible, or unknown."""
        if targets.kind(job.kind).irreversible(job.settings) is not None:
            return None
        try:
            good = good_deploys(job, self._rules, self._ports)
            return last_good_before(good, job.version) is not None
        except ToolkitError:
            return None

    def _rolls_back(self, job: Job) -> bool:
        environment = find_environment(job.location.environment, self._rules)
        return environment is not None and environment.rollback == RollbackPolicy.ON_FAILURE


def _in_doubt(outcome: Outcome, failure: BakeFailure) -> Outcome:
    """It could not be checked: that is no reason to put anything back, and none to call it good."""
    return replace(
        outcome,
        verdict="in-doubt",
        cause=f"it is live, but {failure.cause}",
        next="toolkit resume, or without its checks: toolkit resume --no-checks",
        open=True,
    )


class _StepLines:
    """The output of a check that is a suite of its own goes into the log of the step that it
    decides about.
    """

    path = ""

    def __init__(self, task: Task, desk: StepJournal, redactor: Redactor) -> None:
        self._name, self._desk, self._redactor = task.name, desk, redactor

    def write(self, line: str) -> None:
        """Add a line."""
        self._desk.log(f"check {self._name}: {self._redactor.over(line)}")

    def close(self) -> None:
        """The step's log goes on."""


class _LiveCheck:
    """What the kind itself says of its step. Each observation starts from the one before."""

    def __init__(self, job: Job, ports: Ports, desk: StepJournal) -> None:
        self._job, self._ports, self._desk = job, ports, desk
        self._last: Observation | None = None

    def __call__(self) -> BakeFailure | None:
        """What is wrong with what is live."""
        job, desk, kind = self._job, self._desk, targets.kind(self._job.kind)
        try:
            state = desk.ask(lambda: kind.observe(job, desk.receipt, self._ports, self._last))
        except Expired:
            raise
        except CloudError as problem:
            return BakeFailure(f"what runs could not be checked: {problem}", unknown=True)
        self._last = state
        for line in state.lines:
            desk.log(line)
        if state.state == StepState.DONE:
            return None
        if state.state == StepState.FAILED:
            verdict = Verdict.UNHEALTHY
            if state.verdict in (Verdict.ROLLED_BACK, Verdict.SUPERSEDED):
                verdict = state.verdict
            cause = state.cause or "it does not run any more"
            return BakeFailure(cause, shown=state.log, next=state.next, verdict=verdict)
        cause = state.cause or state.phase or "AWS does not say how it is"
        running = state.state == StepState.RUNNING
        return BakeFailure(cause, unknown=not running, may_pass=running)


def _address_failure(
    job: Job, gate: Gate, ports: Ports, desk: StepJournal, settle_s: float
) -> BakeFailure | None:
    """An address that does not answer as it should, None if all do. They are retried for `settle_s`
    seconds in all.
    """
    until = monotonic() + settle_s
    context = CheckContext(gate.setup.policy, ports.aws, job.location, TRY_S)
    for url in job.settings.addresses:
        tries = 0

        def again(why: str) -> bool:
            nonlocal tries
            remaining = until - monotonic()
            if remaining <= 0:
                return False
            desk.phase(f"waiting: {why}")
            desk.wait(min(PAUSES_S[min(tries, len(PAUSES_S) - 1)], remaining))
            tries += 1
            return True

        def others(url: str = url) -> Iterator[LiveVersion | None]:
            for neighbour in gate.others.get(url, ()):
                with suppress(ToolkitError):
                    yield targets.kind(neighbour.kind).live(neighbour, ports)

        def ask(url: str = url) -> Finding:
            return desk.ask(lambda: addresses.check_address(url, context))

        desk.phase(f"asking {addresses.without_query(url)}")
        finding = addresses.wait_until_healthy(url, ask, job.version, again, others)
        if finding is not None:
            unknown = finding.status == HealthStatus.UNKNOWN
            hint = f" ({finding.next})" if unknown and finding.next else ""
            cause = gate.setup.redactor.over(finding.cause)
            return BakeFailure(cause + hint, unknown=unknown)
    return None


def _line(result: Result) -> str:
    """One check for the step's log."""
    line = f"check {result.check}: {result.status}"
    return f"{line}: {result.cause}" if result.cause else line


def rollback_job(job: Job, record: Record, rules: Rules) -> Job:
    """The step that puts a version back."""
    step = f"{job.step}:rollback"
    version = Version(record.version, record.commit, record.fingerprint, settings=record.settings)
    environment = find_environment(job.location.environment, rules)
    # Made anew only for its settings, as they are filled in for that version.
    [former] = make_jobs(
        JobRequest(
            "",
            [rules.targets[job.target]],
            [job.location],
            variables_of(environment),
            {job.target: version},
            {job.target: ()},
        )
    )
    return replace(
        job,
        step=step,
        action=JobAction.ROLLBACK,
        settings=former.settings,
        version=version,
        wishes=rollback_wishes(record),
        needs=(),
        undoes=job.step,
        token=step_token(job.run, step, record.fingerprint),
    )
