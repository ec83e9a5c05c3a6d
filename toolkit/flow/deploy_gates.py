"""The gates of a deploy: what each step has to pass, by rules.toml, and what stood before."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.advice import advice_parts
from toolkit.checks.select import Task
from toolkit.checks.values import Redactor
from toolkit.errors import CloudError, Refused, StateDamaged, ToolkitError
from toolkit.flow import checks as flow
from toolkit.flow.check_run import CheckOptions, CheckRun
from toolkit.flow.good_deploys import good_deploys, last_good_before
from toolkit.flow.rulebook import find_environment, variables_of
from toolkit.formats.durations import seconds
from toolkit.gates import alarms, has_gate
from toolkit.gates.base import AlarmBaseline, GateSetup
from toolkit.model import Checks, RollbackPolicy, Rules, Version
from toolkit.operations import CheckStatus, Job, JobAction, Preview, Result
from toolkit.ports.ports import Ports
from toolkit.record.ledger import Record
from toolkit.run.jobs import (
    JobRequest,
    jobs_without_run,
    locations,
    make_jobs,
    may_answer_for,
    step_token,
)
from toolkit.run.request import StepReport
from toolkit.targets.base import JudgedSettings

Baselines = Mapping[str, AlarmBaseline]
"""Step -> how its alarms were before the deploy."""


def step_gates(
    rules: Rules,
    jobs: Sequence[Job],
    ports: Ports,
    redact: Callable[[str], str] = str,
    baselines: Baselines | None = None,
) -> dict[str, GateSetup]:
    """The gate of each step that has one. Everything that is missing shows here, before a deploy.

    `baselines` are those of the process that began the run: an alarm that is red by now may be red
    because of the run. Raises RulesError, Refused, CloudError.
    """
    gated = {job.undoes or job.step: job for job in jobs if has_gate(job)}
    if not gated:
        return {}
    checks = flow.load_checks(rules)
    setups: dict[str, GateSetup] = {}
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
            next_ = (*advice_parts(problem.next), "; without any check: --no-checks")
            raise Refused(str(problem), next_) from None
        if baselines is None:
            baseline = _baseline(job, ports)
        else:
            baseline = baselines.get(step, AlarmBaseline())
        setups[step] = GateSetup(
            policy=setup.policy,
            redact=setup.redactor.over,
            ask_checks=_DecidingChecks(checks, names, setup, ports).ask,
            grace_s=float(seconds(job.settings.settle) or 0),
            bake_s=float(seconds(job.settings.bake) or 0),
            others=_others(job, rules),
            alarms=baseline,
            can_go_back=partial(_can_go_back, rules, ports),
            rolls_back=environment is not None
            and environment.rollback == RollbackPolicy.ON_FAILURE,
        )
    return setups


def _baseline(job: Job, ports: Ports) -> AlarmBaseline:
    """The alarms of a job before its deploy. Credentials that may not read them could not read them
    afterwards either: raises Refused.
    """
    try:
        return alarms.take_baseline(job, ports)
    except CloudError as problem:
        why = f"the alarms of {job.target} could not be checked: {problem}"
        next_ = (*advice_parts(problem.next), "; without checks and alarms: --no-checks")
        raise Refused(why, next_) from None


def pack_baselines(gates: Mapping[str, GateSetup]) -> dict[str, Any]:
    """The alarms' state before the deploy, for the journal."""
    return {
        step: msgspec.to_builtins(gate.alarms) for step, gate in gates.items() if gate.alarms.names
    }


def read_baselines(facts: Mapping[str, Any], path: str) -> Baselines:
    """The same out of a journal; in one of an earlier version of toolkit, no alarm counts. Raises
    StateDamaged.
    """
    try:
        return msgspec.convert(facts.get("alarms") or {}, dict[str, AlarmBaseline])
    except msgspec.ValidationError as problem:
        reason = f"its settings for alarms cannot be read: {problem}"
        raise StateDamaged(path=path, reason=reason) from None


def with_alarm_warnings(
    previews: Mapping[str, Preview], gates: Mapping[str, GateSetup]
) -> dict[str, Preview]:
    """The previews with the warnings about alarms that a person sees before agreeing."""
    warned = dict(previews)
    for step, preview in previews.items():
        if step in gates and not preview.unchanged:
            warnings = alarms.warnings(gates[step].alarms)
            warned[step] = replace(preview, warnings=(*preview.warnings, *warnings))
    return warned


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


class _DecidingChecks(Struct, frozen=True):
    """The checks that decide about a step, with all that they need."""

    checks: Checks
    names: tuple[str, ...]
    setup: flow.CheckSetup
    ports: Ports

    def ask(self, step: StepReport, patience_s: float) -> Sequence[Result]:
        """Those that do not pass."""
        tasks = flow.check_tasks(self.checks, self.names, self.setup)
        if not tasks:
            return ()
        noun = "check" if len(tasks) == 1 else "checks"
        step.phase(f"asking {len(tasks)} {noun}")
        # No sooner than if each waited for the one before it: every check has its own time, however
        # long the others took.
        longest = sum(max(task.check.retry_s, patience_s) + task.check.timeout_s for task in tasks)
        options = CheckOptions(
            monotonic() + longest,
            step.stop,
            patience_s,
            on_result=lambda result: step.log(_line(result)),
            log=lambda task: _StepLines(task, step, self.setup.redactor),
        )
        results = CheckRun(tasks, self.setup, self.ports, options).carry_out()
        return [result for result in results if result.status != CheckStatus.PASSED]


class _StepLines:
    """The output of a check that is a suite of its own goes into the log of the step that it
    decides about.
    """

    path = ""

    def __init__(self, task: Task, step: StepReport, redactor: Redactor) -> None:
        self._name, self._step, self._redactor = task.name, step, redactor

    def write(self, line: str) -> None:
        """Add a line."""
        self._step.log(f"check {self._name}: {self._redactor.over(line)}")

    def close(self) -> None:
        """The step's log goes on."""


def _line(result: Result) -> str:
    """One check for the step's log."""
    line = f"check {result.check}: {result.status}"
    return f"{line}: {result.cause}" if result.cause else line


def _can_go_back(rules: Rules, ports: Ports, job: Job) -> bool | None:
    """Whether there is a version to go back to; None where that is impossible, or unknown."""
    if targets.kind(job.kind).irreversible(job.settings) is not None:
        return None
    try:
        return last_good_before(good_deploys(job, rules, ports), job.version) is not None
    except ToolkitError:
        return None


def rollback_job(job: Job, record: Record, rules: Rules) -> Job:
    """The step that puts a version back."""
    step = f"{job.step}:rollback"
    version = Version(record.version, record.commit, record.fingerprint, settings=record.settings)
    environment = find_environment(job.location.environment, rules)
    # Made anew for its settings, as they are filled in for that version, and what is put back.
    [former] = make_jobs(
        JobRequest(
            "",
            [rules.targets[job.target]],
            [job.location],
            variables_of(environment),
            {job.target: version},
            restored={job.location.region: record.detail},
            known=rules.targets,
        )
    )
    return replace(
        job,
        step=step,
        action=JobAction.ROLLBACK,
        settings=former.settings,
        version=version,
        options=former.options,
        restore=former.restore,
        consumed=former.consumed,
        conditional=former.conditional,
        inputs=record.inputs,
        renews=False,
        needs=(),
        undoes=job.step,
        token=step_token(job.run, step, record.fingerprint),
    )
