"""What `deploy`, `deploy-app`, `deploy-stack`, `rollback` and `resume` have in common: consent,
progress, and the end.
"""

import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any

import click
from msgspec import Struct
from msgspec.structs import replace

from toolkit import targets
from toolkit.advice import (
    Advice,
    NextCommand,
    SameOptions,
    ShellCommand,
    advice_parts,
    changed_advice,
)
from toolkit.cli import account, hooks, kind_options, options, output, progress, signals
from toolkit.cli.deploy_options import DeployOptions, common_options
from toolkit.cli.main import COMMAND_LINE
from toolkit.cli.ports import open_ports
from toolkit.cli.redaction import redactor
from toolkit.errors import Declined, Refused, Stopped, UsageError
from toolkit.flow import deploy as flow
from toolkit.flow import deploy_gates as gates
from toolkit.flow import runs
from toolkit.flow.aws_options import located_options
from toolkit.flow.hooks import Hook, hooks_of
from toolkit.flow.recorded_bases import records_reader
from toolkit.flow.rulebook import find_environment
from toolkit.flow.selection import BuildMode, DeployRequest, environments_of, only_target
from toolkit.flow.trusted import OPTION as RULES_OPTION
from toolkit.flow.trusted import require_rules_consent, rules_refusal, trust_notice
from toolkit.gates.base import GateSetup
from toolkit.gates.judge import Judge
from toolkit.model import BaseKind, Rules, Standing
from toolkit.operations import Job, JobAction, Outcome, Preview, RunResult, Verdict
from toolkit.ports import files
from toolkit.ports.git import Git
from toolkit.ports.ports import Ports
from toolkit.record.history import MESSAGE
from toolkit.run.events import Events, Notice
from toolkit.run.request import RunRequest
from toolkit.run.stop import Stop
from toolkit.show import run as show
from toolkit.show.diff import behind
from toolkit.show.text import line
from toolkit.targets.base import flag


class PlanFile(Struct, frozen=True):
    """What a plan file holds: the targets to deploy, what the plan was made from, and whether it
    says what is due by the record.
    """

    targets: tuple[str, ...]
    source: dict[str, Any]
    is_due: bool


def read_plan(path: str) -> PlanFile:
    """The plan of `toolkit diff --out`. Raises UsageError for an invalid one, FileProblem."""
    import json

    try:
        document = json.loads(files.read(path, 1 << 26))
        names = tuple(str(step["target"]) for step in document["plan"]["steps"])
        base = document.get("base", {}).get("kind")
        is_due = base in (BaseKind.LAST, BaseKind.LIVE)
        source = dict(document["source"])
        if "regions" in source:
            source["regions"] = [str(region) for region in source["regions"]]
        if "targets" in source:
            contents = dict(source["targets"])
            source["targets"] = {str(name): dict(contents[name]) for name in contents}
        return PlanFile(names, source, is_due)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        again = NextCommand("diff", options=("--out", "FILE"))
        raise UsageError(f"{path} is not a plan", ("write one with:", again)) from None


def deploy_request(common: DeployOptions, **details: Any) -> DeployRequest:
    """What is to be deployed (`details`), where the common options say."""
    builds = BuildMode.MISSING
    if common.only_build:
        builds = BuildMode.ONLY
    elif common.skip_build:
        builds = BuildMode.SKIP
    return DeployRequest(
        folder=common.folder,
        rules=common.rules,
        environments=common.environments,
        profile=common.profile,
        region=common.region,
        builds=builds,
        checked=not common.no_checks,
        allowed=common.allowed,
        **details,
    )


def target_request(
    ctx: click.Context, target: str | None, arguments: dict[str, Any]
) -> tuple[DeployOptions, DeployRequest, Git | None]:
    """What a command for targets of one kind is to deploy, how, and from which repository. Raises
    UsageError, Refused.
    """
    command = str(ctx.command.name)
    common = common_options(ctx, arguments)
    kinds = kind_options.take(ctx, arguments)
    for name, own in kinds.items():
        if problem := targets.kind(name).options_problem(own):
            raise UsageError(*problem)
    git = options.repository(common.folder)
    request = deploy_request(
        common,
        targets=(target or only_target(command, common.folder, common.rules, git),),
        kind=command,
        options=kinds,
    )
    return common, confirmed(common, request, git), git


def sign_in(common: DeployOptions, git: Git | None, ports: Ports) -> None:
    """Say where AWS is, if that is elsewhere, and ask what credentials need. Raises CloudError."""
    request = _sign_in_request(common)
    account.sign_in(request, ports, git, common.folder, common.rules, common.allowed)


def say_endpoint(common: DeployOptions, rules: Rules) -> None:
    """Say where AWS is, if that is elsewhere, before anything else is said. Raises UsageError."""
    account.sign_in_with(_sign_in_request(common), rules, None)


def _sign_in_request(common: DeployOptions) -> account.SignIn:
    return account.SignIn(
        environments=common.environments or (None,),
        profile=common.profile,
        region=common.region,
        silent=common.quiet or common.as_json,
    )


def confirmed(common: DeployOptions, request: DeployRequest, git: Git | None) -> DeployRequest:
    """The request, once it is clear whose rules.toml decides. Raises Refused."""
    rules = flow.validate(request, git)
    say_endpoint(common, rules)
    names = environments_of(request, rules)
    if not common.dry_run:
        require_flags(common, rules, names)
    return replace(request, allowed=confirm_trust(rules, names, common, changes=not common.dry_run))


def require_flags(common: DeployOptions, rules: Rules, environments: Sequence[str | None]) -> None:
    """Where nobody can be asked, require every consent that rules.toml calls for, all in one error.
    Raises Refused.
    """
    if can_ask(common):
        return
    problems, flags, first = list[str](), list[str](), ""
    if not common.yes:
        problems.append("confirmation needed, but this is not a terminal")
        flags.append("--yes")
    protected: list[str] = []
    for environment in environments:
        settings = find_environment(environment, rules)
        if settings is not None and settings.protected:
            protected.append(settings.name)
    every = {str(name) for name in environments}
    for name in protected:
        if typed := _confirmations(common, name, every):
            confirm_name(name, typed, asking=False)  # a wrong one is no reason to repeat it
    for name in unconfirmed(common, protected, every):
        problems.append(f"environment {name} is protected")
        flags += ("--confirm", name)
    if not flags:
        return  # whose rules.toml decides is asked for later
    refusals = [rules_refusal(rules, name) for name in environments]
    refusal = next((refusal for refusal in refusals if refusal is not None), None)
    if refusal is not None and not common.allowed:
        problems.append(refusal[0])
        flags.append(RULES_OPTION)
        first = f"{refusal[1]} first, or "
    _note_trust(rules, environments)
    add = f"{first}add {shlex.join(flags)}:"
    raise Refused("; ".join(problems), (add, typed_command(flags)))


def typed_command(flags: Sequence[str]) -> ShellCommand:
    """The command that was typed, with more flags."""
    words = list(click.get_current_context().meta[COMMAND_LINE])
    end = words.index("--") if "--" in words else len(words)
    return ShellCommand("toolkit", (*words[:end], *flags, *words[end:]))


def _note_trust(rules: Rules, environments: Sequence[str | None]) -> None:
    remarks = [remark for name in environments for remark in trust_notice(rules, name)]
    for remark in dict.fromkeys(remarks):
        output.note(f"note: {line(remark)}")


def confirm_trust(
    rules: Rules,
    environments: Sequence[str | None],
    common: DeployOptions,
    changes: bool = True,
) -> bool:
    """Report where what judges a deploy differs from the trusted base; whether this rules.toml may
    decide all the same. Raises Refused.

    `changes`: something is to be changed. Where only this rules.toml says where, a person has to
    agree to that.
    """
    _note_trust(rules, environments)
    refused = [name for name in environments if rules.trust.is_refused(name)]
    if not changes or not refused:
        return common.allowed
    if not can_ask(common):
        require_rules_consent(rules, refused[0])
    from toolkit.cli.prompt import confirm

    if not confirm(f"Let this {rules.file} decide?", default=False):
        raise Declined
    return True


def run(command: str, common: DeployOptions, request: DeployRequest, git: Git | None) -> int:
    """Prepare what was `confirmed`, ask for consent, deploy and report. The exit code."""
    ports = open_ports(git, common.folder)
    sign_in(common, git, ports)
    agreed = _agreed(command, common, request, git, ports)
    if isinstance(agreed, int):
        return agreed
    prepared = agreed.prepared
    still = flow.freshness_check(request, prepared, git, ports)
    with terminal(command, common, (*prepared.jobs, *prepared.standby)) as control:
        judge = Judge(agreed.proofs, ports, prepared.standby)
        facts = {"alarms": gates.pack_baselines(agreed.proofs), "plan": request.plan}
        if common.message is not None:
            facts[MESSAGE] = redactor()(common.message)
        started = replace(
            control.request(agreed.run, prepared.rules, ports, still, judge),
            facts=facts,
            preempts=request.action == JobAction.ROLLBACK,
            unasked=agreed.unasked,
        )
        with runs.start(started, prepared) as execution:
            control.result = with_redeploy_advice(execution.carry_out(), prepared.previews)
    return control.exit


class _AgreedRun(Struct, frozen=True):
    """A run that may begin, by its name, and what each step has to pass afterwards."""

    run: str
    prepared: flow.PreparedRun
    proofs: Mapping[str, GateSetup]
    unasked: frozenset[str]
    """The steps that nobody was asked about, because nothing would change."""


def _agreed(
    command: str,
    common: DeployOptions,
    request: DeployRequest,
    git: Git | None,
    ports: Ports,
    ran: frozenset[str] = frozenset(),
) -> _AgreedRun | int:
    """What a person has agreed to, after the programs that run before it, without those that `ran`
    already; the exit code where there is no run. Raises ToolkitError.
    """
    name = runs.new_id(ports)
    prepared, proofs = _prepare(common, request, name, git, ports)
    _tell_left_out(prepared)
    _warn_backwards(common, prepared)
    if not prepared.jobs:
        return report_nothing(command, common, prepared.excluded)
    before: tuple[Hook, ...] = ()
    if not common.no_hooks:
        every = hooks_of(prepared.jobs, prepared.rules, ports)
        before = tuple(hook for hook in every if hook.step not in ran)
    if common.dry_run:
        return _report_dry_run(command, common, prepared, before)
    unasked = frozenset[str]()
    if can_ask(common) and not common.yes and not before:
        unasked = _unchanged_steps(prepared)
    if unasked:
        _show_intention(common, prepared, before)
    else:
        _require_run_consent(command, common, request, prepared, git, before)
        prepared = _with_consents(common, prepared)
    if before:
        stopped = hooks.run(common, name, before, prepared.rules, ports)
        if stopped is not None:
            return report_stopped(command, common, stopped)
        if flow.is_stale(prepared, request, git):
            output.note("note: what ran before the deploy has changed the files")
            # What they have made due may have programs of its own.
            ran |= {hook.step for hook in before}
            return _agreed(command, common, request, git, ports, ran)
    return _AgreedRun(name, prepared, proofs, unasked)


def _with_consents(common: DeployOptions, prepared: flow.PreparedRun) -> flow.PreparedRun:
    """The run with what several of its steps need consent to, each asked once for all of them, and
    not by each when it is its turn. Where nobody can be asked, each step says what it lacks. Raises
    Declined.
    """
    if not can_ask(common):
        return prepared
    steps: dict[str, list[str]] = {}
    for step, preview in prepared.previews.items():
        for option in preview.consents:
            steps.setdefault(option, []).append(step)
    jobs = {job.step: job for job in prepared.jobs}
    for option, asking in steps.items():
        if len(asking) < 2:
            continue
        from toolkit.cli.prompt import confirm

        question = f"Agree to {flag(option)} for {', '.join(asking)}, as said above?"
        if not confirm(question, default=False):
            raise Declined()
        for step in asking:
            options = replace(jobs[step].options, **{option: True})
            jobs[step] = replace(jobs[step], options=options)
    return replace(prepared, jobs=tuple(jobs.values()))


def _tell_left_out(prepared: flow.PreparedRun) -> None:
    for environment in prepared.up_to_date:
        output.note(f"note: {environment}: nothing to deploy")
    for target, reason in prepared.left:
        output.note(f"note: {target} is left out: {line(reason)}")


def with_redeploy_advice(result: RunResult, previews: Mapping[str, Preview]) -> RunResult:
    """How a run ended, with what has to be deployed again after its steps."""
    outcomes: list[Outcome] = []
    for outcome in result.outcomes:
        preview = previews.get(outcome.step)
        if preview is not None and outcome.verdict is Verdict.SUCCEEDED:
            outcome = replace(outcome, next=show.redeploy_advice(preview) or outcome.next)
        outcomes.append(outcome)
    return replace(result, outcomes=tuple(outcomes))


def _unchanged_steps(prepared: flow.PreparedRun) -> frozenset[str]:
    """All steps of a run that would change nothing, so that there is nothing to ask; none of one
    that may change something.
    """
    previews = [prepared.previews.get(job.step) for job in prepared.jobs]
    if prepared.standby or not all(preview and preview.unchanged for preview in previews):
        return frozenset()
    return frozenset(job.step for job in prepared.jobs)


def _show_intention(
    common: DeployOptions, prepared: flow.PreparedRun, before: Sequence[Hook]
) -> None:
    if not common.quiet:
        width = output.width()
        intention = show.intention(prepared.jobs, prepared.previews, width, prepared.standby)
        output.note("\n".join([*intention, *show.hooks(_words(before), width)]))


def _require_run_consent(
    command: str,
    common: DeployOptions,
    request: DeployRequest,
    prepared: flow.PreparedRun,
    git: Git | None,
    before: Sequence[Hook],
) -> None:
    """Show what would be done, and what runs `before`, and ask for consent to it. Raises
    Refused.
    """
    _show_intention(common, prepared, before)
    _ask_consent(common, prepared.jobs)
    _ask_consent_backwards(common, prepared)
    # A person may have thought about the questions for an hour: what was agreed to must still be
    # what is deployed.
    if flow.is_stale(prepared, request, git):
        raise Refused(
            "the files have changed since they were checked",
            ("run it again:", NextCommand(command)),
        )


def _prepare(
    common: DeployOptions, request: DeployRequest, run: str, git: Git | None, ports: Ports
) -> tuple[flow.PreparedRun, Mapping[str, GateSetup]]:
    """What would be done, and what each step has to pass afterwards. Asks AWS, changes nothing."""
    only = common.environments[0] if len(common.environments) == 1 else None
    typed = SameOptions(common.rules, only, common.region)
    with progress.checking(common.quiet or common.as_json):
        records = records_reader(
            ports,
            lambda note: output.note_advice(note, typed, "note: "),
            look=True,
            profile=common.profile,
            region=common.region,
        )
        prepared = flow.prepare(request, run, git, ports, records)
        proofs: Mapping[str, GateSetup] = {}
        if not common.no_checks:
            proofs = gates.step_gates(prepared.rules, prepared.jobs, ports, redactor())
    previews = gates.with_alarm_warnings(prepared.previews, proofs)
    same = _same_by_step(prepared.jobs, prepared.rules, common.rules)
    shown = {
        step: _for_people(preview, same.get(step, SameOptions()))
        for step, preview in previews.items()
    }
    return replace(prepared, previews=shown), proofs


def _for_people(preview: Preview, same: SameOptions) -> Preview:
    """Without secrets, and with what its commands repeat."""
    redact = redactor()
    warnings = tuple(changed_advice(warning, redact) for warning in preview.warnings)
    plan = tuple(map(redact, preview.plan))
    return replace(preview, warnings=warnings, plan=plan, same=same)


def require_consent(common: DeployOptions, jobs: tuple[Job, ...]) -> None:
    """Consent to what is about to be done with these jobs. Raises Refused."""
    if not can_ask(common):
        flags = [] if common.yes else ["--yes"]
        names = {str(job.location.environment) for job in jobs}
        for name in unconfirmed(common, protected_environments(jobs), names):
            flags += ("--confirm", name)
        if flags:
            problem = "confirmation needed, but this is not a terminal"
            raise Refused(problem, (f"add {shlex.join(flags)}:", typed_command(flags)))
    _ask_consent(common, jobs)


class Control:
    """Where a run's progress is shown, how asking it to stop, and how it has ended: `result` is
    None as long as it has not begun.
    """

    def __init__(self, command: str, common: DeployOptions, jobs: Sequence[Job]) -> None:
        self._command, self._common = command, common
        several = sum(not job.undoes for job in jobs) > 1
        self._progress = progress.listener([job.step for job in jobs], common.detail, several)
        self.events = Events((self._progress,))
        self.stop = Stop()
        self._asking = Lock()
        self.result: RunResult | None = None
        self._rules: Rules
        self._resume_command = NextCommand("resume")

    @property
    def exit(self) -> int:
        """The exit code."""
        if self.result is None:  # it was stopped while it waited for a lock
            return 128 + (self.stop.signal or 2)
        return int(self.result.exit)

    def request(
        self, run: str, rules: Rules, ports: Ports, still: Callable[[Job], None], judge: Judge
    ) -> RunRequest:
        """How the run is to be carried out. Its command line is kept in the journal, without what
        looks like a secret.
        """

        def may_begin(job: Job) -> None:
            still(job)
            judge.before(job)

        common = self._common
        redact = redactor()
        words = click.get_current_context().meta.get(COMMAND_LINE, [self._command])
        self._rules, self._resume_command = rules, NextCommand("resume", (run,))
        return RunRequest(
            run=run,
            ports=ports,
            events=self.events,
            ask=self.ask,
            stop=self.stop,
            command=["toolkit", *map(redact, words)],
            parallel=common.parallel,
            fail_fast=common.fail_fast,
            lock_timeout_s=common.lock_timeout,
            redact=redact,
            still=may_begin,
            verify=judge.after,
            checked=not common.no_checks,
        )

    def ask(self, step: str, question: str) -> bool | None:
        """Ask a person, one question at a time, each after all that was said before it. None if
        nobody can answer.
        """
        with self._asking, self.events.paused():
            return self._progress.asked(step, question)

    def say_stopping(self, number: int) -> None:
        """The first signal came."""
        self._say(
            "stopping: nothing new is started, and what runs in AWS continues; again to exit "
            "at once"
        )

    def say_left(self, number: int) -> None:
        """The second one came."""
        self._say(
            ("exited; what runs in AWS continues; to check its result:", self._resume_command)
        )
        self.events.close()

    def _say(self, words: Advice) -> None:
        self.events.publish(Notice("toolkit", words))

    def report(self, jobs: tuple[Job, ...]) -> None:
        """Say how it ended. A reader that has closed our output changes nothing about that."""
        common = self._common
        if self.result is None:
            report_stopped(self._command, common, self.exit)
            return
        result = replace(
            self.result,
            same=_same_by_step(jobs, self._rules, common.rules),
            over=_exceeded_budgets(jobs, self._rules, self.result.took_s),
        )
        with suppress(output.ReaderGone):
            if common.as_json:
                output.document(show.document(self._command, result, jobs))
            else:
                output.say(show.text(result, jobs, output.width(), common.verbose))


def _exceeded_budgets(jobs: Sequence[Job], rules: Rules, took_s: float) -> dict[str, int]:
    """The environments of these jobs in which a run should not take so long, with their budgets."""
    exceeded: dict[str, int] = {}
    for name in dict.fromkeys(job.location.environment for job in jobs):
        environment = find_environment(name, rules)
        if environment is not None and 0 < environment.budget_s < took_s:
            exceeded[environment.name] = environment.budget_s
    return exceeded


def _same_by_step(jobs: Sequence[Job], rules: Rules, named: str | None) -> dict[str, SameOptions]:
    """What the next commands for each step have to repeat."""
    options = {
        location: located_options(rules, named, location)
        for location in {job.location for job in jobs}
    }
    return {job.step: options[job.location] for job in jobs}


@contextmanager
def terminal(command: str, common: DeployOptions, jobs: tuple[Job, ...]) -> Iterator[Control]:
    """While a run goes on inside, its progress is shown, and signals ask it to stop. Then its end
    is told.
    """
    control = Control(command, common, jobs)
    # Signals are handled until the last word is written: one that came during it would be taken
    # for one before the run, and the exit code would say that nothing has begun.
    with signals.handled(control.stop, control.say_stopping, control.say_left):
        try:
            with suppress(Stopped):  # while it waited for a lock
                yield control
        finally:
            problems = control.events.close()
        for problem in problems:
            output.note(f"note: a bug in toolkit: progress is missing ({type(problem).__name__})")
        control.report(jobs)


def report_stopped(command: str, common: DeployOptions, code: int) -> int:
    """Say that it was stopped before the run began. The exit code."""
    output.note("stopped; nothing was started")
    if common.as_json:
        output.document(_without_run(command, "cancelled", code))
    return code


def _words(before: Sequence[Hook]) -> dict[str, Sequence[Sequence[str]]]:
    """What the hooks run."""
    return {hook.step: [command.words for command in hook.commands] for hook in before}


def report_nothing(command: str, common: DeployOptions, excluded: Sequence[str] = ()) -> int:
    """Nothing is to be deployed. `excluded` would be, but for `--without`."""
    if common.as_json:
        return output.document(_without_run(command, "unchanged", 0))
    if common.only_build:
        output.say("Nothing to build.")
    elif excluded:
        output.say(f"Nothing else to deploy: --without leaves out {', '.join(excluded)}.")
    else:
        output.say("Nothing to deploy.")
    return 0


def _without_run(command: str, status: str, code: int) -> dict[str, Any]:
    """The document of a command that started no run."""
    head = {"toolkit": 1, "command": command, "status": status, "exit": code}
    return {**head, "run": None, "steps": []}


def _report_dry_run(
    command: str, common: DeployOptions, prepared: flow.PreparedRun, before: Sequence[Hook]
) -> int:
    if common.as_json:
        head = {"toolkit": 1, "command": command, "status": "dry-run", "exit": 0}
        calls = show.calls(prepared.jobs, prepared.previews)
        return output.document({**head, "hooks": _words(before), "steps": calls})
    width = output.width()
    output.say(show.dry_run(prepared.jobs, prepared.previews, width, prepared.standby))
    for text in show.hooks(_words(before), width):
        output.say(text)
    return 0


def can_ask(common: DeployOptions) -> bool:
    """Whether a person can be asked: on a terminal, and not while a program reads the answer."""
    return output.interactive() and not common.as_json


def protected_environments(jobs: Sequence[Job]) -> list[str]:
    """The protected environments of these jobs, each once."""
    protected = [str(job.location.environment) for job in jobs if job.location.protected]
    return list(dict.fromkeys(protected))


def unconfirmed(
    common: DeployOptions, protected: Sequence[str], environments: Collection[str]
) -> list[str]:
    """Those protected environments for which nobody has typed any name; `environments` are all
    that the command acts in.
    """
    return [name for name in protected if not _confirmations(common, name, environments)]


def _confirmations(common: DeployOptions, name: str, environments: Collection[str]) -> list[str]:
    """What was typed to confirm an environment: its name, or one that is nobody's and so wrong."""
    others = {*environments, *common.environments}
    return [word for word in common.confirm if word == name or word not in others]


def _ask_consent(common: DeployOptions, jobs: tuple[Job, ...]) -> None:
    """Ask for consent that was not given in advance. Raises Refused."""
    protected = protected_environments(jobs)
    names = {str(job.location.environment) for job in jobs}
    for name in protected:
        confirm_name(name, _confirmations(common, name, names), can_ask(common))
    if not protected and not common.yes:
        from toolkit.cli.prompt import confirm

        if not confirm("Continue?", default=True):
            raise Declined()


def _needs_backwards_consent(
    common: DeployOptions, prepared: flow.PreparedRun
) -> list[tuple[str, Standing]]:
    """The steps that go back and that nobody has agreed to."""
    if common.allow_backwards:
        return []
    return [pair for pair in prepared.backwards if pair[0] not in prepared.backwards_allowed]


def _warn_backwards(common: DeployOptions, prepared: flow.PreparedRun) -> None:
    """Warn once of what takes live commits out. That has a consent of its own: --yes alone is none.
    Raises Refused where nobody can be asked for it; a dry run says so.
    """
    warnings = [behind(step, standing) for step, standing in prepared.backwards]
    missing = _needs_backwards_consent(common, prepared)
    refused = missing and not common.dry_run and (common.yes or not can_ask(common))
    error = behind(*missing[0]) if refused else None
    for warning in warnings:
        if warning != error:
            output.note(f"warning: {line(warning)}")
    if not missing:
        return
    fix = missing[0][1].fetch or "merge or rebase onto what is live"
    flag = "--allow-backwards"
    if error is not None:
        raise Refused(error, (*advice_parts(fix), f"; or add {flag}:", typed_command([flag])))
    if common.dry_run:
        would = "with --yes this deploy would be refused (exit 2):"
        output.note_advice((would, *advice_parts(fix), f"; or add {flag}"), before="note: ")


def _ask_consent_backwards(common: DeployOptions, prepared: flow.PreparedRun) -> None:
    """Ask for the consent to take live commits out, which was warned of before. Raises Declined."""
    missing = _needs_backwards_consent(common, prepared)
    if not missing:
        return
    from toolkit.cli.prompt import confirm

    steps = ", ".join(step for step, _ in missing)
    if not confirm(f"{steps} would go back. Deploy anyway?", default=False):
        raise Declined()


def confirm_name(name: str, confirmed: Sequence[str], asking: bool) -> None:
    """Require a protected environment's name: in advance, or typed now. Raises Refused."""
    for word in confirmed:
        if word != name:
            raise Refused(
                f"{word!r} is not the name of the environment",
                f"the environment is {name}: --confirm {name}",
            )
    if confirmed:
        return
    if not asking:
        raise Refused(f"environment {name} is protected", f"add --yes --confirm {name}")
    from toolkit.cli.prompt import typed

    if not typed(f"{name} is protected. Type its name to continue:", name):
        raise Refused("that is not its name", "nothing was changed")
