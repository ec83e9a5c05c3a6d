"""A target that stands for several stacks of a CDK app: which ones, how they stand together, and
what is recorded of them. Each stack is deployed by a step of its own, as a target of one stack is.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from toolkit.advice import Advice, NextCommand, ShellCommand
from toolkit.errors import CloudError, FileProblem, ProgramFailed, Refused, StateDamaged
from toolkit.operations import (
    DeployedState,
    Drift,
    Finding,
    HealthStatus,
    Job,
    LiveVersion,
    LogEvent,
    LogLook,
    Observation,
    Preview,
    StepState,
    Uncovered,
    Verdict,
)
from toolkit.ports import cdk
from toolkit.ports.aws import cloudformation as cfn
from toolkit.ports.aws.client import Aws, same_account
from toolkit.ports.ports import Ports
from toolkit.ports.program_runs import ProgramLog, SilentLog
from toolkit.targets import alarms, findings
from toolkit.targets.base import Report, Tell
from toolkit.targets.stack import (
    deployed,
    drift,
    events,
    health,
    kept_stacks,
    observe,
    patterns,
    sources,
)
from toolkit.targets.stack.live_events import StackLogs
from toolkit.targets.stack.live_synthesis import compared_with_record
from toolkit.targets.stack.settings import StackSettings
from toolkit.targets.stack.stack_status import Stack
from toolkit.targets.stack.synthesis import matching_all, stacks_of
from toolkit.targets.stack.template import RUN
from toolkit.targets.times import iso_utc
from toolkit.templates.model import SynthesizedStack
from toolkit.templates.refinement import Synthesis, encode, not_synthesized

STACKS = "stacks"
"""The detail of a record that says how many stacks it lists."""
STACK, GONE = "stack ", "gone "
"""How the details begin that name a stack with the run that its tags named, and one that is no
longer in the app, and is still there.
"""
NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")
DIGITS = 16
"""How many digits of a stack's digest are recorded, to name what differs."""
MOST_AT_ONCE = 8
"""How many stacks are looked at together."""


class RecordedStacks(Struct, frozen=True):
    """What the record says: each stack with the run that deployed it last (empty: no tag said so),
    and the stacks that it has had, that the app no longer has, and that still exist.
    """

    runs: Mapping[str, str]
    gone: tuple[str, ...] = ()


def recorded_stacks(job: Job) -> RecordedStacks | None:
    """The stacks that the record of a job's target lists; None where it lists none."""
    detail: Mapping[str, str] = {} if job.recorded is None else job.recorded.detail
    if STACKS not in detail:
        return None
    # Others may write the record.
    runs = {name: detail[f"{STACK}{name}"] for name in _names_in(detail, STACK)}
    return RecordedStacks(runs, _names_in(detail, GONE))


def _names_in(detail: Mapping[str, str], beginning: str) -> tuple[str, ...]:
    names = [key.removeprefix(beginning) for key in detail if key.startswith(beginning)]
    return tuple(sorted(filter(NAME.fullmatch, names)))


def require_stacks(job: Job) -> tuple[str, ...]:
    """The stacks of a job's target, as its run or the record lists them. Raises Refused."""
    if job.parts is not None:
        return job.parts
    recorded = recorded_stacks(job)
    if recorded is None:
        raise Refused(_unrecorded(job), ("deploy it:", _deploy(job)))
    return tuple(recorded.runs)


def _unrecorded(job: Job) -> str:
    if job.recorded is not None and job.recorded.problem:
        return f"which stacks {job.target} has is not known: {job.recorded.problem}"
    return f"which stacks {job.target} has is not known: no deploy of it is recorded"


def _deploy(job: Job) -> NextCommand:
    return NextCommand("deploy-stack", (job.target,))


# --- what the app has


def parts(job: Job, ports: Ports) -> tuple[str, ...]:
    """See targets/base.py."""
    app, stacks = _app_stacks(job, ports)
    names = _names_of(job, app, stacks)
    if not names and not any(
        patterns.matches(job.settings.patterns, stack.name, stack.id) for stack in stacks
    ):
        others = ", ".join(sorted({stack.name for stack in stacks})) or "none"
        raise Refused(
            f"the CDK app has no stack for {job.target} that no other target deploys",
            f"it has {others}; correct `stacks` or `context`",
        )
    return names


def _app_stacks(job: Job, ports: Ports) -> tuple[cdk.CdkApp, tuple[SynthesizedStack, ...]]:
    """The app of a job for the account and region of its credentials, and all of its stacks."""
    aws = ports.aws(job.location)
    account = aws.account()
    same_account(account, job.location)
    app = app_of(job, ports, account, aws.region_name)
    return app, stacks_of(cdk.synthesized(app, ports.cache, SilentLog()))


def app_of(job: Job, ports: Ports, account: str, region: str) -> cdk.CdkApp:
    """The CDK app of a job, for an account and region."""
    settings = job.settings
    return cdk.CdkApp(
        ports.root,
        settings.cdk,
        job.location,
        account,
        region,
        settings.context,
        settings.pass_env,
    )


def _names_of(job: Job, app: cdk.CdkApp, stacks: Sequence[SynthesizedStack]) -> tuple[str, ...]:
    matched = matching_all(stacks, job.settings.patterns, app.account, app.region)
    names = sorted({stack.name for stack in matched})
    for name in names:
        if not NAME.fullmatch(name):
            raise Refused(f"the CDK app has a stack of the invalid name {name!r}", "rename it")
    return tuple(names)


def _gone(job: Job, app: cdk.CdkApp, stacks: Sequence[SynthesizedStack], aws: Aws) -> list[str]:
    """The stacks that were deployed for the target, that exist, and that the app no longer has."""
    recorded = recorded_stacks(job)
    if recorded is None:
        return []
    there = {stack.name for stack in matching_all(stacks, ("*",), app.account, app.region)}
    former = sorted({*recorded.runs, *recorded.gone} - there)
    return [name for name in former if cfn.stack(aws, name) is not None]


def uncovered(
    jobs: Sequence[Job], every: Sequence[Job], ports: Ports, log: ProgramLog
) -> tuple[Uncovered, ...]:
    """See targets/base.py."""
    apps: dict[cdk.CdkApp, None] = {}
    things: list[Uncovered] = []
    for job in jobs:
        if not job.settings.cdk:
            continue
        location = job.location
        try:
            account = location.account or ports.aws(location).account()
            region = location.region or ports.aws(location).region_name
            app = app_of(job, ports, account, region)
            if app in apps:
                continue
            apps[app] = None
            stacks = stacks_of(cdk.synthesized(app, ports.cache, log))
        except (CloudError, FileProblem, ProgramFailed, Refused, StateDamaged) as problem:
            things.append(Uncovered("stack", "", job.settings.cdk, unknown=problem.in_words))
            continue
        for stack in stacks:
            if not any(_covers(other, job.settings, stack) for other in every):
                things.append(
                    Uncovered("stack", stack.name, job.settings.cdk, _where(stack, account, region))
                )
    return tuple(dict.fromkeys(things))


def _where(stack: SynthesizedStack, account: str, region: str) -> str:
    """In words, where a stack belongs, if that is another place than the one asked about."""
    elsewhere = [
        theirs
        for theirs, ours in ((stack.account, account), (stack.region, region))
        if theirs not in (None, ours)
    ]
    return f" in {', '.join(map(str, elsewhere))}" if elsewhere else ""


def _covers(job: Job, app: StackSettings, stack: SynthesizedStack) -> bool:
    """Whether a job's target deploys a stack of an app."""
    location, settings = job.location, job.settings
    if not patterns.same_app(settings, app):
        return False
    if None not in (stack.account, location.account) and stack.account != location.account:
        return False
    if None not in (stack.region, location.region) and stack.region != location.region:
        return False
    if settings.stack is not None:
        return stack.name == observe.stack_name(job)
    return patterns.matches(settings.patterns, stack.name, stack.id)


# --- the step of the whole target


def preview(job: Job, ports: Ports) -> Preview:
    """See targets/base.py: it changes nothing, and says what nobody removes."""
    app, stacks = _app_stacks(job, ports)
    warnings: list[Advice] = [*sources.environment_warnings(job, ports)]
    warnings += [
        (
            f"stack {name} is no longer in the app, and nothing removes it; to delete it:",
            ShellCommand("aws cloudformation delete-stack --stack-name", (name,)),
        )
        for name in _gone(job, app, stacks, ports.aws(job.location))
    ]
    if not job.parts:
        warnings.append(f"the app has no stack for {job.target} in {app.region}")
    return Preview((), tuple(warnings), unchanged=True)


def apply(job: Job, ports: Ports, report: Report) -> None:
    """See targets/base.py: what the app says of its stacks is kept, to be compared later."""
    report.phase("reading the app's stacks")
    kept, gone = "", list[str]()
    try:
        app, stacks = _app_stacks(job, ports)
        gone = _gone(job, app, stacks, ports.aws(job.location))
        wanted = set(job.parts or ())
        ours = matching_all(stacks, ("*",), app.account, app.region)
        chosen = [stack for stack in ours if stack.name in wanted]
        text = encode(chosen)
        if not any(stack.missing for stack in chosen) and len(text) <= kept_stacks.LONGEST_RECORDED:
            kept = kept_stacks.keep(text, ports.cache)
    except (FileProblem, ProgramFailed, Refused, StateDamaged) as problem:
        report.log(f"later templates cannot be compared with these: {problem}")
    report.keep(stack=kept, gone=gone)


def observe_whole(job: Job, receipt: Mapping[str, Any], ports: Ports) -> Observation:
    """See targets/base.py: good once all stacks are there."""
    if "stack" not in receipt:
        return Observation(StepState.ABSENT)
    looks = _looks(job.parts or (), ports.aws(job.location))
    missing = [name for name, look in looks.items() if look is None]
    if missing:
        return Observation(
            StepState.FAILED,
            Verdict.FAILED,
            cause=f"there is no stack {', '.join(missing)} any more",
            next=("deploy it again:", _deploy(job)),
        )
    seen = {name: look for name, look in looks.items() if look is not None}
    runs = {name: _run_of(look.stack) for name, look in seen.items()}
    state = _combined(seen)
    text = kept_stacks.kept(str(receipt.get("stack") or ""), ports.cache)
    detail = {STACKS: str(len(runs))}
    detail |= {f"{STACK}{name}": run for name, run in sorted(runs.items())}
    detail |= {f"{GONE}{name}": "" for name in receipt.get("gone") or ()}
    version = job.version
    live = LiveVersion(
        version.name,
        version.commit,
        version.fingerprint,
        job.run,
        _since(seen),
        detail,
        version.settings,
        replace(state, stack=text),
    )
    changed = job.run in runs.values()
    verdict = Verdict.SUCCEEDED if changed else Verdict.UNCHANGED
    shown = _outputs({name: look.stack for name, look in seen.items()}, job.settings.outputs)
    return Observation(StepState.DONE, verdict, phase=verdict, live=live, outputs=shown)


class _Look(Struct, frozen=True):
    """A stack, its template as GetTemplate says it, and the digest of that with its parameters;
    empty where it is not known.
    """

    stack: Stack
    template: Any
    digest: str


def _looks(names: Sequence[str], aws: Aws) -> dict[str, _Look | None]:
    """Each stack as it is now, None for one that does not exist. Raises CloudError."""

    def look(name: str) -> _Look | None:
        stack = cfn.watched_stack(aws, name)
        if stack is None:
            return None
        body = cfn.template(aws, str(stack["StackId"]))
        return _Look(stack, body, deployed.state_of(body, stack, {}).template)

    with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        return dict(zip(names, pool.map(look, names), strict=True))


def _combined(looks: Mapping[str, _Look]) -> DeployedState:
    """The digests of all stacks, and one of all together; nothing where one is not known."""
    digests = {name: look.digest for name, look in sorted(looks.items())}
    if not all(digests.values()):
        return DeployedState()
    whole = hashlib.sha256(repr(sorted(digests.items())).encode())
    short = {name: digest[:DIGITS] for name, digest in digests.items()}
    return DeployedState(template=whole.hexdigest(), artifacts=short)


def _run_of(stack: Stack) -> str:
    """The run that a stack's tags name; empty where they name none that can be recorded."""
    for tag in stack.get("Tags") or ():
        if tag["Key"] == RUN and len(str(tag["Value"]).split()) == 1:
            return str(tag["Value"])
    return ""


def _since(looks: Mapping[str, _Look]) -> str | None:
    """When the last of the stacks was changed."""
    moments = (
        iso_utc(look.stack.get("LastUpdatedTime") or look.stack["CreationTime"])
        for look in looks.values()
    )
    return max(filter(None, moments), default=None)


# --- what runs now


def live(job: Job, ports: Ports) -> LiveVersion | None:
    """See targets/base.py. What all stacks are together is known by the record only: tags name the
    deploys that have changed each of them.
    """
    recorded, record = recorded_stacks(job), job.recorded
    if recorded is None or record is None:
        return LiveVersion(None, doubt=_unrecorded(job))
    looks = _looks(tuple(recorded.runs), ports.aws(job.location))
    missing = [name for name, look in looks.items() if look is None]
    if looks and len(missing) == len(looks):
        return None
    if missing:
        return LiveVersion(None, doubt=f"there is no stack {', '.join(missing)} any more")
    seen = {name: look for name, look in looks.items() if look is not None}
    for name, look in seen.items():
        status = str(look.stack["StackStatus"])
        if not events.is_at_rest(status):
            return LiveVersion(None, doubt=f"stack {name} is {status}")
    state = _combined(seen)
    if state.same(record.deployed) is not True:
        before = record.deployed.artifacts
        others = [name for name in seen if before.get(name) != state.artifacts.get(name)]
        return LiveVersion(None, doubt=f"{', '.join(others)}: not what run {record.run} left there")
    return LiveVersion(
        record.version,
        record.commit,
        record.fingerprint,
        record.run,
        _since(seen),
        record.detail,
        record.settings,
        state,
    )


def live_synthesis(job: Job, ports: Ports, recorded: Sequence[SynthesizedStack]) -> Synthesis:
    """See targets/base.py: of each stack. Of the templates that were sent only digests are
    recorded: one without code has to be the synthesized one.
    """
    digests: Mapping[str, str] = {}
    if job.recorded is not None:
        digests = job.recorded.deployed.artifacts
    try:
        looks = _looks([stack.name for stack in recorded], ports.aws(job.location))
    except CloudError as problem:
        return not_synthesized(problem)
    stacks: list[SynthesizedStack] = []
    for stack in recorded:
        look, digest = looks[stack.name], digests.get(stack.name)
        if look is None:
            continue  # it would be created
        status = str(look.stack["StackStatus"])
        if not events.is_at_rest(status):
            return Synthesis(unknown=f"stack {stack.name} is {status}")
        if not digest or not look.digest:
            return Synthesis(unknown=f"the template of stack {stack.name} is not known")
        is_same, is_plain = look.digest[:DIGITS] == digest, not stack.assets
        live = compared_with_record(stack, look.template, look.stack, is_same, is_plain)
        if live.unknown and is_same:
            return Synthesis(unknown=f"stack {stack.name}: {live.unknown}")
        # What was changed outside and cannot be compared leaves the other stacks comparable.
        stacks += live.stacks or (replace(stack, missing=(str(live.unknown),)),)
    return Synthesis(tuple(stacks))


def outputs(job: Job, ports: Ports) -> dict[str, str]:
    """See targets/base.py: `Stack.Output`."""
    aws, allowed = ports.aws(job.location), job.settings.outputs
    if not allowed:
        return {}
    stacks = {name: cfn.watched_stack(aws, name) for name in require_stacks(job)}
    return _outputs({name: stack for name, stack in stacks.items() if stack}, allowed)


def _outputs(stacks: Mapping[str, Stack], allowed: tuple[str, ...]) -> dict[str, str]:
    shown: dict[str, str] = {}
    for name, stack in sorted(stacks.items()):
        for output, value in observe.allowed_outputs(stack, allowed).items():
            shown[f"{name}.{output}"] = value
    return shown


def report_health(job: Job, ports: Ports, tell: Tell) -> LiveVersion | None:
    """See targets/base.py: the findings about each stack, with its name."""
    recorded, record = recorded_stacks(job), job.recorded
    if recorded is None or record is None:
        why, next_ = _unrecorded(job), ("deploy it:", _deploy(job))
        tell(Finding(STACKS, HealthStatus.UNKNOWN, "not known", cause=why, next=next_))
        return None
    unsure: list[str] = []
    since: list[str] = []

    def of_stack(name: str, run: str) -> Iterator[Finding]:
        told: list[Finding] = []
        part = replace(job, settings=part_settings(job.settings, name), part=name)
        seen = health.report_health(part, ports, told.append)
        for finding in told:
            what = name if finding.what == health.ITSELF else f"{name} {finding.what}"
            yield replace(finding, what=what)
        if seen is None or (seen.run or "") != run:
            unsure.append(name)
        elif seen.since:
            since.append(seen.since)
        if seen is not None and (seen.run or "") != run and seen.version is not None:
            yield Finding(
                name,
                HealthStatus.WARNING,
                "not as recorded",
                cause=f"run {seen.run} has deployed it, and no deploy of"
                f" {job.target} as a whole has ended well since",
                next=("deploy all of it:", _deploy(job)),
            )

    questions: list[tuple[str, findings.Question]] = [
        (name, partial(of_stack, name, run)) for name, run in recorded.runs.items()
    ]
    aws = ports.aws(job.location)
    if named := job.settings.alarms:
        questions.append(("alarms", lambda: alarms.read_findings(aws, named, lambda alarm: False)))
    if not questions:
        tell(Finding(STACKS, HealthStatus.OK, "there are none here"))
        return None
    findings.ask(tell, questions)
    if unsure:
        return None
    return LiveVersion(
        record.version,
        record.commit,
        record.fingerprint,
        record.run,
        max(since, default=None),
        record.detail,
        record.settings,
    )


def drift_of_all(job: Job, ports: Ports, until: float) -> Drift | None:
    """See targets/base.py: that of each recorded stack, with its name."""
    recorded = recorded_stacks(job)
    if recorded is None:
        return Drift(unknown=_unrecorded(job))

    def look(name: str) -> dict[str, drift.StackDrift]:
        part = replace(job, settings=part_settings(job.settings, name))
        drifts = drift.stack_drifts(part, ports, until)
        return {f"{name}/{path}" if path else name: each for path, each in drifts.items()}

    with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        return drift.together(dict(chain(*map(dict.items, pool.map(look, recorded.runs)))))


class SeveralLogs:
    """The events of all stacks of a target: see `base.LogReader`."""

    def __init__(self, job: Job, ports: Ports, since: datetime) -> None:
        self._readers = [
            StackLogs(replace(job, settings=part_settings(job.settings, name)), ports, since)
            for name in require_stacks(job)
        ]
        self._events: list[LogEvent] = []
        self._notes: list[str] = []

    def read(self) -> LogLook:
        """See `base.LogReader`. What was read before a call failed comes with the next look."""
        for reader in self._readers:
            look = reader.read()
            self._events += look.events
            self._notes += look.notes
        events_, self._events = self._events, []
        notes, self._notes = self._notes, []
        return LogLook(tuple(sorted(events_, key=lambda event: event.when)), tuple(notes))


def part_settings(settings: StackSettings, name: str) -> StackSettings:
    """The settings of one stack of the target: what judges it is asked for all together."""
    return StackSettings(
        stack=name,
        cdk=settings.cdk,
        context=settings.context,
        pass_env=settings.pass_env,
        outputs=settings.outputs,
    )
