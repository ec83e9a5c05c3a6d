"""What `deploy`, `deploy-app`, `deploy-stack`, `rollback` and `resume` have in common: options,
consent, progress, and the end.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import click
from msgspec import Struct
from msgspec.structs import replace

from toolkit.cli import account, options, output, progress, signals
from toolkit.cli.main import COMMAND_LINE
from toolkit.cli.ports import open_ports
from toolkit.cli.redaction import redactor
from toolkit.errors import Declined, Refused, Stopped, UsageError
from toolkit.flow import deploy as flow
from toolkit.flow import gates, runs
from toolkit.flow.advice import same_options, with_options
from toolkit.flow.recorded_bases import records_reader
from toolkit.flow.rulebook import environment_name
from toolkit.flow.trusted import require_rules_consent, trust_notice
from toolkit.impact.reading import seconds
from toolkit.model import Job, JobAction, Preview, Rules, RunResult
from toolkit.ports import files
from toolkit.ports.git import Git
from toolkit.ports.ports import Ports
from toolkit.run.stop import Stop
from toolkit.show import run as show
from toolkit.show.answer import behind
from toolkit.show.text import line

Command = TypeVar("Command", bound=Callable[..., Any])

PARALLEL = 8


class DeployOptions(Struct, frozen=True):
    """The options of every command that changes something."""

    folder: str
    rules: str | None
    env: str | None
    profile: str | None
    region: str | None
    as_json: bool
    yes: bool
    confirm: str | None
    dry_run: bool
    quiet: bool
    verbose: bool
    parallel: int
    fail_fast: bool
    lock_timeout: int
    no_checks: bool
    allow_backwards: bool
    allowed: bool


def deploy_options(command: Command) -> Command:
    """Add the options that `common_options` reads."""
    for option in reversed(
        (
            options.common,
            options.environment,
            options.profile,
            options.region,
            click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation."),
            click.option(
                "--confirm",
                metavar="NAME",
                help="A protected environment's name, instead of typing it when asked.",
            ),
            click.option(
                "--dry-run",
                is_flag=True,
                help="Print every call that would change something, and make none.",
            ),
            click.option(
                "--parallel",
                type=click.IntRange(1, 64),
                default=PARALLEL,
                show_default=True,
                help="Steps at the same time.",
            ),
            click.option(
                "--fail-fast", is_flag=True, help="Start no further steps after a failure."
            ),
            click.option(
                "--allow-backwards",
                is_flag=True,
                help="Deploy even if that removes commits that are live.",
            ),
            click.option(
                "--no-checks",
                is_flag=True,
                help="Skip health addresses and checks afterwards.",
            ),
            options.allowed,
            click.option(
                "--lock-timeout",
                metavar="TIME",
                default="0s",
                help="How long to wait for another run's lock, such as 15m.",
            ),
            options.as_json,
            options.quiet,
            options.verbose,
            options.no_color,
        )
    ):
        command = option(command)
    return command


take_over = click.option(
    "--take-over",
    is_flag=True,
    help=(
        "Keep what was changed outside toolkit: base the new task definition on the running one."
    ),
)


def app_options(command: Command) -> Command:
    """Add the options of apps."""
    for option in reversed(
        (
            click.option(
                "--no-build", is_flag=True, help="Build nothing; deploy the image of --image."
            ),
            click.option(
                "--image",
                metavar="TAG",
                help="The tag or digest of an image that is in the repository.",
            ),
            click.option(
                "--builder",
                metavar="NAME",
                help="docker, podman, buildah or built-in, instead of the first one found.",
            ),
            click.option("--force", is_flag=True, help="Deploy even where nothing changes."),
            click.option(
                "--create", is_flag=True, help="Create the ECR repository if it does not exist."
            ),
            take_over,
            click.option(
                "--in-progress",
                type=click.Choice(["wait", "refuse", "replace"]),
                help=(
                    "What to do if another deployment of the service is in progress; the default"
                    " is to wait."
                ),
            ),
        )
    ):
        command = option(command)
    return command


def stack_options(command: Command) -> Command:
    """Add the options of stacks: consents in advance."""
    for option in reversed(
        (
            click.option(
                "--allow-replace", is_flag=True, help="Stacks: resources may be replaced."
            ),
            click.option("--allow-delete", is_flag=True, help="Stacks: resources may be deleted."),
            click.option(
                "--allow-broadening",
                is_flag=True,
                help="Stacks: permissions and security groups may be widened.",
            ),
            click.option(
                "--recreate",
                is_flag=True,
                help="Stacks: delete one whose creation failed, and create it again.",
            ),
            click.option(
                "--continue-rollback",
                is_flag=True,
                help="Stacks: first continue a stuck rollback (UPDATE_ROLLBACK_FAILED).",
            ),
        )
    ):
        command = option(command)
    return command


CONSENTS = ("allow_replace", "allow_delete", "allow_broadening", "recreate", "continue_rollback")
"""The options that consent in advance. They do not hold for a colleague's run that is resumed."""


def kind_options(arguments: dict[str, Any]) -> dict[str, Any]:
    """The options of app_options and stack_options that stand on the command line."""
    return {name: value for name, value in arguments.items() if value not in (None, False)}


class PlanFile(Struct, frozen=True):
    """What a plan file holds: the targets to deploy, and what the plan was made from."""

    targets: tuple[str, ...]
    source: dict[str, Any]


def read_plan(path: str) -> PlanFile:
    """The plan of `toolkit diff --out`. Raises UsageError for an invalid one, FileProblem."""
    import json

    try:
        document = json.loads(files.read(path, 1 << 26))
        names = tuple(str(step["target"]) for step in document["plan"]["steps"])
        return PlanFile(names, dict(document["source"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(
            f"{path} is not a plan", "write one with: toolkit diff --out FILE"
        ) from None


def common_options(ctx: click.Context, arguments: dict[str, Any]) -> DeployOptions:
    """The common options, taken out of a command's arguments."""
    folder = options.enter(ctx, arguments.pop("folder"))
    time = arguments.pop("lock_timeout")
    timeout = 0 if time == "0" else seconds(time)
    if timeout is None:
        raise UsageError(f"--lock-timeout {time!r} is not a time", "write it as 90s, 15m or 1h30m")
    fields: dict[str, Any] = {
        "folder": folder,
        "lock_timeout": timeout,
        "rules": options.inherited(ctx, "rules", arguments.pop("rules")),
        "env": options.inherited(ctx, "env", arguments.pop("env")),
    }
    for name in DeployOptions.__struct_fields__:
        if name not in fields:
            fields[name] = arguments.pop(name)
    return DeployOptions(**fields)


def deploy_request(common: DeployOptions, **details: Any) -> flow.DeployRequest:
    """What is to be deployed (`details`), where the common options say."""
    return flow.DeployRequest(
        folder=common.folder,
        rules=common.rules,
        environment=common.env,
        profile=common.profile,
        region=common.region,
        checked=not common.no_checks,
        allowed=common.allowed,
        **details,
    )


def sign_in(common: DeployOptions, git: Git | None, ports: Ports) -> None:
    """Say where AWS is, if that is elsewhere, and ask what credentials need. Raises CloudError."""
    request = account.SignIn(
        environment=common.env,
        profile=common.profile,
        region=common.region,
        silent=common.quiet or common.as_json,
    )
    account.sign_in(request, ports, git, common.folder, common.rules, common.allowed)


def run(command: str, common: DeployOptions, request: flow.DeployRequest, git: Git | None) -> int:
    """Prepare, ask for consent, deploy and report. The exit code."""
    rules = flow.validate(request, git)
    if not (common.dry_run or common.yes or _can_ask(common)):
        raise Refused("confirmation needed, but this is not a terminal", "add --yes")
    name = environment_name(request.environment, rules)
    allowed = confirm_trust(rules, name, common, changes=not common.dry_run)
    return run_trusted(command, common, replace(request, allowed=allowed), git)


def confirm_trust(
    rules: Rules, environment: str | None, common: DeployOptions, changes: bool = True
) -> bool:
    """Report where what judges a deploy differs from the trusted base; whether this rules.toml may
    decide all the same. Raises Refused.

    `changes`: something is to be changed. Where only this rules.toml says where, a person has to
    agree to that.
    """
    for remark in trust_notice(rules, environment):
        output.note(f"note: {line(remark)}")
    if not changes or not rules.trust.is_refused(environment):
        return common.allowed
    if not _can_ask(common):
        require_rules_consent(rules, environment)
    from toolkit.cli.prompt import confirm

    if not confirm(f"Let this {rules.file} decide?", default=False):
        raise Refused("you said no", "nothing was changed")
    return True


def run_trusted(
    command: str, common: DeployOptions, request: flow.DeployRequest, git: Git | None
) -> int:
    """The same once it is clear whose rules.toml decides."""
    ports = open_ports(git, common.folder)
    sign_in(common, git, ports)
    run = runs.new_id(ports)
    prepared, proofs = _prepare(common, request, run, git, ports)
    for name, reason in prepared.left:
        output.note(f"note: {name} is left out: {line(reason)}")
    _warn_backwards(common, prepared)
    if not prepared.jobs:
        return report_nothing(command, common, prepared.excluded)
    if common.dry_run:
        return _report_dry_run(command, common, prepared)
    if not common.quiet:
        intention = show.intention(
            prepared.jobs, prepared.previews, output.width(), prepared.standby
        )
        output.note("\n".join(intention))
    _ask_consent(common, prepared.jobs)
    _ask_consent_backwards(common, prepared)
    # A person may have thought about the questions for an hour: what was agreed to must still be
    # what is deployed.
    if flow.is_stale(prepared, request, git):
        raise Refused(
            "the files have changed since they were checked", f"run it again: toolkit {command}"
        )
    still = flow.freshness_check(request, prepared, git, ports)
    run_options = run_request(run, command, common, prepared.rules, still)

    def start(control: TerminalControl) -> RunResult:
        verify = gates.Verifier(prepared.rules, proofs, ports, control.stop, prepared.standby)
        facts = {"alarms": gates.pack_baselines(proofs)}
        is_rollback = request.action == JobAction.ROLLBACK
        started = replace(run_options, verify=verify, facts=facts, preempts=is_rollback)
        return runs.start(started, prepared, ports, control)

    return run_with_progress(command, common, (*prepared.jobs, *prepared.standby), start)


def _prepare(
    common: DeployOptions, request: flow.DeployRequest, run: str, git: Git | None, ports: Ports
) -> tuple[flow.PreparedRun, Mapping[str, gates.Gate]]:
    """What would be done, and what each step has to pass afterwards. Asks AWS, changes nothing."""
    with progress.checking(common.quiet or common.as_json):
        records = records_reader(
            ports,
            lambda words: output.note(f"note: {words}"),
            look=True,
            profile=common.profile,
            region=common.region,
        )
        prepared = flow.prepare(request, run, git, ports, records)
        proofs: Mapping[str, gates.Gate] = {}
        if not common.no_checks:
            proofs = gates.step_gates(prepared.rules, prepared.jobs, ports, redactor())
    previews = gates.with_alarm_warnings(prepared.previews, proofs)
    shown = {step: _without_secrets(preview) for step, preview in previews.items()}
    return replace(prepared, previews=shown), proofs


def _without_secrets(preview: Preview) -> Preview:
    redact = redactor()
    warnings, plan = map(redact, preview.warnings), map(redact, preview.plan)
    return replace(preview, warnings=tuple(warnings), plan=tuple(plan))


def require_consent(common: DeployOptions, jobs: tuple[Job, ...]) -> None:
    """Consent to what is about to be done with these jobs. Raises Refused."""
    if not (common.yes or _can_ask(common)):
        raise Refused("confirmation needed, but this is not a terminal", "add --yes")
    _ask_consent(common, jobs)


def run_request(
    run: str, command: str, common: DeployOptions, rules: Rules, still: Callable[[Job], None]
) -> runs.RunRequest:
    """How the run is to be carried out. Its command line is kept in the journal: nothing secret is
    ever given there.
    """
    words = click.get_current_context().meta.get(COMMAND_LINE, [command])

    def advise(job: Job, next: str) -> str:
        location = job.location
        same = same_options(rules, common.rules, location.environment, location.region)
        return with_options(next, same)

    return runs.RunRequest(
        run,
        ["toolkit", *words],
        common.parallel,
        common.fail_fast,
        common.lock_timeout,
        redactor(),
        still,
        checked=not common.no_checks,
        advise=advise,
    )


class TerminalControl(Struct, frozen=True):
    """Where a run's progress is shown, and how it is asked to stop."""

    listener: "progress.PlainProgress | progress.ScreenProgress"
    stop: Stop


def run_with_progress(
    command: str,
    common: DeployOptions,
    jobs: tuple[Job, ...],
    run: Callable[[TerminalControl], RunResult],
) -> int:
    """The run itself, with progress and signals. The exit code."""
    stop = Stop()
    several = sum(not job.undoes for job in jobs) > 1
    listener = progress.listener(several, common.quiet, common.verbose)

    def say_stopping(number: int) -> None:
        listener.told(
            "toolkit",
            "stopping: nothing new is begun, what runs in AWS goes on; once more to leave at once",
        )

    def say_left(number: int) -> None:
        listener.told(
            "toolkit",
            "left; what runs in AWS goes on, and `toolkit resume` looks what became of it",
        )
        listener.close()

    # Signals are handled until the last word is written: one that came during it would be taken
    # for one before the run, and the exit code would say that nothing was changed.
    with signals.handled(stop, say_stopping, say_left):
        result: RunResult | None = None
        try:
            with suppress(Stopped):  # while it waited for a lock
                result = run(TerminalControl(listener, stop))
        finally:
            listener.close()
        if result is None:
            return _report_not_started(command, common, 128 + (stop.signal or 2))
        # A reader that has closed our output changes nothing about how the run has ended.
        with suppress(output.ReaderGone):
            if common.as_json:
                output.document(show.document(command, result, jobs))
            else:
                output.say(show.text(result, jobs, output.width()))
    return int(result.exit)


def _report_not_started(command: str, common: DeployOptions, code: int) -> int:
    """It was stopped while it waited for a lock."""
    output.note("stopped; nothing was begun")
    if common.as_json:
        return output.document(_without_run(command, "cancelled", code))
    return code


def report_nothing(command: str, common: DeployOptions, excluded: Sequence[str] = ()) -> int:
    """Nothing is to be deployed. `excluded` would be, but for `--without`."""
    if common.as_json:
        return output.document(_without_run(command, "unchanged", 0))
    if excluded:
        output.say(f"Nothing else to deploy: --without leaves out {', '.join(excluded)}.")
    else:
        output.say("Nothing to deploy.")
    return 0


def _without_run(command: str, status: str, code: int) -> dict[str, Any]:
    """The document of a command that started no run."""
    head = {"toolkit": 1, "command": command, "status": status, "exit": code}
    return {**head, "run": None, "steps": []}


def _report_dry_run(command: str, common: DeployOptions, prepared: flow.PreparedRun) -> int:
    if common.as_json:
        calls = show.calls(prepared.jobs, prepared.previews)
        return output.document(
            {"toolkit": 1, "command": command, "status": "dry-run", "exit": 0, "steps": calls}
        )
    output.say(show.dry_run(prepared.jobs, prepared.previews, output.width(), prepared.standby))
    return 0


def _can_ask(common: DeployOptions) -> bool:
    """Whether a person can be asked: on a terminal, and not while a program reads the answer."""
    return output.interactive() and not common.as_json


def _ask_consent(common: DeployOptions, jobs: tuple[Job, ...]) -> None:
    """Ask for consent that was not given in advance. Raises Refused."""
    location = jobs[0].location
    if location.protected:
        confirm_name(str(location.environment), common.confirm, _can_ask(common))
    elif not common.yes:
        from toolkit.cli.prompt import confirm

        if not confirm("Continue?", default=True):
            raise Declined()


def _warn_backwards(common: DeployOptions, prepared: flow.PreparedRun) -> None:
    """Warn once of what takes live commits out. That has a consent of its own: --yes alone is none.
    Raises Refused where nobody can be asked for it; a dry run says so.
    """
    warnings = [behind(step, standing) for step, standing in prepared.backwards]
    allowed = prepared.backwards_allowed or common.allow_backwards
    missing = bool(warnings) and not allowed
    refused = missing and not common.dry_run and (common.yes or not _can_ask(common))
    # The first one is the error itself where it is refused.
    for warning in warnings[1:] if refused else warnings:
        output.note(f"warning: {line(warning)}")
    if not missing:
        return
    fix = prepared.backwards[0][1].fetch or "merge or rebase onto what is live"
    if refused:
        raise Refused(warnings[0], f"{fix}; or add --allow-backwards")
    if common.dry_run:
        output.note(
            f"note: with --yes this deploy would be refused (exit 2): {fix}; or add"
            " --allow-backwards"
        )


def _ask_consent_backwards(common: DeployOptions, prepared: flow.PreparedRun) -> None:
    """Ask for the consent to take live commits out, which was warned of before. Raises Declined."""
    if not prepared.backwards or prepared.backwards_allowed or common.allow_backwards:
        return
    from toolkit.cli.prompt import confirm

    steps = ", ".join(step for step, _ in prepared.backwards)
    if not confirm(f"{steps} would go back. Deploy all the same?", default=False):
        raise Declined()


def confirm_name(name: str, confirm: str | None, asking: bool) -> None:
    """Require a protected environment's name: in advance, or typed now. Raises Refused."""
    if confirm is not None:
        if confirm != name:
            raise Refused(
                f"{confirm!r} is not the environment's name",
                f"this is about {name}: --confirm {name}",
            )
        return
    if not asking:
        raise Refused(f"environment {name} is protected", f"add --yes --confirm {name}")
    from toolkit.cli.prompt import typed

    if not typed(f"{name} is protected. Type its name to go on:", name):
        raise Refused("that is not its name", "nothing was changed")
