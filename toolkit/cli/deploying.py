"""What `deploy`, `deploy-app`, `deploy-stack`, `rollback` and `resume` have in common: options,
consent, progress, and the end.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import click
from msgspec import Struct
from msgspec.structs import replace

from toolkit.cli import account, options, output, ports, progress, signals
from toolkit.cli.main import COMMAND_LINE
from toolkit.cli.redaction import redactor
from toolkit.errors import Declined, Refused, Stopped, UsageError
from toolkit.flow import deploy as flow
from toolkit.flow import runs, verified
from toolkit.flow.advice import advised, same_location
from toolkit.flow.recorded import reader
from toolkit.flow.rulebook import environment
from toolkit.flow.trusted import agree, told
from toolkit.impact.reading import seconds
from toolkit.model import Job, Rules, RunResult
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
    """The options of Common."""
    for option in reversed(
        (
            options.common,
            options.environment,
            options.profile,
            options.region,
            click.option("-y", "--yes", is_flag=True, help="Do not ask."),
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
                "--fail-fast", is_flag=True, help="Begin no other step once one has failed."
            ),
            click.option(
                "--allow-backwards",
                is_flag=True,
                help="Deploy even where that takes live commits out.",
            ),
            click.option(
                "--no-checks",
                is_flag=True,
                help="Do not ask health addresses and checks afterwards.",
            ),
            options.allowed,
            click.option(
                "--lock-timeout",
                metavar="TIME",
                default="0s",
                help="How long to wait for somebody else's run, such as 15m.",
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
        "Keep what was changed outside of toolkit: base the new task definition on the running one."
    ),
)


def app_options(command: Command) -> Command:
    """What can be wished for where an app is deployed."""
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
                    "What to do about somebody else's deployment of the same service; the default"
                    " is to wait."
                ),
            ),
        )
    ):
        command = option(command)
    return command


def stack_options(command: Command) -> Command:
    """What can be consented to in advance where a stack is deployed."""
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
                help="Stacks: delete one that was never created, and create it anew.",
            ),
            click.option(
                "--continue-rollback",
                is_flag=True,
                help="Stacks: first finish a rollback that got stuck.",
            ),
        )
    ):
        command = option(command)
    return command


CONSENTS = ("allow_replace", "allow_delete", "allow_broadening", "recreate", "continue_rollback")
"""The wishes that say yes in advance. Nobody says it for a colleague."""


def wishes(given: dict[str, Any]) -> dict[str, Any]:
    """The options of app_options and stack_options that were really said."""
    return {name: value for name, value in given.items() if value not in (None, False)}


class PlanFile(Struct, frozen=True):
    """What a plan file says: the targets to deploy, and what it was drawn from."""

    targets: tuple[str, ...]
    source: dict[str, Any]


def read_plan(path: str) -> PlanFile:
    """The plan of `toolkit diff --out`. Raises UsageError for what is none, FileProblem."""
    import json

    try:
        found = json.loads(files.read(path, 1 << 26))
        names = tuple(str(step["target"]) for step in found["plan"]["steps"])
        return PlanFile(names, dict(found["source"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(f"{path} is no plan", "write one with: toolkit diff --out FILE") from None


def common(ctx: click.Context, given: dict[str, Any]) -> DeployOptions:
    """The common options out of a command's parameters, which lose them."""
    folder = options.enter(ctx, given.pop("folder"))
    waits = given.pop("lock_timeout")
    timeout = 0 if waits == "0" else seconds(waits)
    if timeout is None:
        raise UsageError(f"--lock-timeout {waits!r} is no time", "write it as 90s, 15m or 1h30m")
    return DeployOptions(
        folder=folder,
        rules=options.inherited(ctx, "rules", given.pop("rules")),
        env=options.inherited(ctx, "env", given.pop("env")),
        lock_timeout=timeout,
        **{
            name: given.pop(name)
            for name in (
                "profile",
                "region",
                "as_json",
                "yes",
                "confirm",
                "dry_run",
                "quiet",
                "verbose",
                "parallel",
                "fail_fast",
                "no_checks",
                "allow_backwards",
                "allowed",
            )
        },
    )


def order(asked: DeployOptions, **wanted: Any) -> flow.DeployRequest:
    """What is to be done, where the common options say."""
    return flow.DeployRequest(
        folder=asked.folder,
        rules=asked.rules,
        environment=asked.env,
        profile=asked.profile,
        region=asked.region,
        checked=not asked.no_checks,
        allowed=asked.allowed,
        **wanted,
    )


def begin(asked: DeployOptions, git: Git | None, there: Ports) -> None:
    """Say where AWS is, if that is elsewhere, and ask what credentials need. Raises CloudError."""
    silent = asked.quiet or asked.as_json
    account.begin(
        there,
        git,
        asked.folder,
        asked.rules,
        asked.env,
        asked.profile,
        asked.region,
        silent=silent,
        allowed=asked.allowed,
    )


def go(command: str, asked: DeployOptions, order: flow.DeployRequest, git: Git | None) -> int:
    """Prepare, ask, carry out and tell. The exit code."""
    rules = flow.check(order, git)
    if not (asked.dry_run or asked.yes or _asking(asked)):
        raise Refused("nobody is here to say yes", "add --yes")
    allowed = may_decide(
        rules, environment(order.environment, rules), asked, changes=not asked.dry_run
    )
    return go_agreed(command, asked, replace(order, allowed=allowed), git)


def may_decide(
    rules: Rules, environment: str | None, asked: DeployOptions, changes: bool = True
) -> bool:
    """Tell what of the judges is not as at the trusted base. Whether this rules.toml may decide all
    the same; `changes`: something is to be changed, and where only this rules.toml says where,
    somebody has to agree to that. Raises Refused.
    """
    for remark in told(rules, environment):
        output.note(f"note: {line(remark)}")
    if not changes or not rules.trust.is_refused(environment):
        return asked.allowed
    if not _asking(asked):
        agree(rules, environment)
    from toolkit.cli.prompt import confirm

    if not confirm(f"Let this {rules.file} decide?", default=False):
        raise Refused("you said no", "nothing was changed")
    return True


def go_agreed(
    command: str, asked: DeployOptions, order: flow.DeployRequest, git: Git | None
) -> int:
    """The same once it is clear whose rules.toml decides."""
    there = ports.around(git, asked.folder)
    begin(asked, git, there)
    run = runs.new_id(there)
    with progress.checking(asked.quiet or asked.as_json):
        records = reader(
            there,
            lambda words: output.note(f"note: {words}"),
            look=True,
            profile=asked.profile,
            region=asked.region,
        )
        prepared = flow.prepare(order, run, git, there, records)
        proofs = (
            {}
            if asked.no_checks
            else verified.proofs(prepared.rules, prepared.jobs, there, redactor())
        )
    prepared = replace(prepared, previews=verified.with_warnings(prepared.previews, proofs))
    for name, reason in prepared.left:
        output.note(f"note: {name} is left out: {line(reason)}")
    _tell_backwards(asked, prepared)
    if not prepared.jobs:
        return nothing(command, asked, prepared.excluded)
    if asked.dry_run:
        return _dry(command, asked, prepared)
    if not asked.quiet:
        output.note(
            "\n".join(
                show.intention(prepared.jobs, prepared.previews, output.width(), prepared.standby)
            )
        )
    _consent(asked, prepared.jobs)
    _consent_backwards(asked, prepared)
    if flow.is_stale(prepared, order, git):
        raise Refused(
            "the files have changed since they were looked at", f"run it again: toolkit {command}"
        )
    journalled = request(
        run, command, asked, prepared.rules, flow.still_of(order, prepared, git, there)
    )

    def start(told: TerminalControl) -> RunResult:
        verify = verified.Verifier(prepared.rules, proofs, there, told.stop, prepared.standby)
        facts = {"alarms": verified.baselines(proofs)}
        undoes = order.action == "rollback"
        return runs.start(
            replace(journalled, verify=verify, facts=facts, preempts=undoes), prepared, there, told
        )

    return carried_out(command, asked, (*prepared.jobs, *prepared.standby), start)


def agreed(asked: DeployOptions, jobs: tuple[Job, ...]) -> None:
    """Consent to what is about to be done with these jobs. Raises Refused."""
    if not (asked.yes or _asking(asked)):
        raise Refused("nobody is here to say yes", "add --yes")
    _consent(asked, jobs)


def request(
    run: str, command: str, asked: DeployOptions, rules: Rules, still: Callable[[Job], None]
) -> runs.RunRequest:
    """How the run is to be carried out. Its command line is kept in the journal: nothing secret is
    ever given there.
    """
    words = click.get_current_context().meta.get(COMMAND_LINE, [command])

    def advise(job: Job, next: str) -> str:
        return advised(
            next, same_location(rules, asked.rules, job.location.environment, job.location.region)
        )

    return runs.RunRequest(
        run,
        ["toolkit", *words],
        asked.parallel,
        asked.fail_fast,
        asked.lock_timeout,
        redactor(),
        still,
        checked=not asked.no_checks,
        advise=advise,
    )


class TerminalControl(Struct, frozen=True):
    """Whom a run speaks to, and how it is asked to stop."""

    listener: "progress.PlainProgress | progress.ScreenProgress"
    stop: Stop


def carried_out(
    command: str,
    asked: DeployOptions,
    jobs: tuple[Job, ...],
    run: Callable[[TerminalControl], RunResult],
) -> int:
    """The run itself, with progress and signals. The exit code."""
    stop = Stop()
    listener = progress.listener(
        sum(not job.undoes for job in jobs) > 1, asked.quiet, asked.verbose
    )

    def told(number: int) -> None:
        listener.told(
            "toolkit",
            "stopping: nothing new is begun, what runs in AWS goes on; once more to leave at once",
        )

    def leave(number: int) -> None:
        listener.told(
            "toolkit",
            "left; what runs in AWS goes on, and `toolkit resume` looks what became of it",
        )
        listener.close()

    with signals.handled(
        stop, told, leave
    ):  # to the last word: a signal during it must not be taken for one before the run
        ran: RunResult | None = None
        try:
            with suppress(Stopped):  # while it waited for a lock
                ran = run(TerminalControl(listener, stop))
        finally:
            listener.close()
        if ran is None:
            return _never_begun(command, asked, 128 + (stop.signal or 2))
        with suppress(
            output.ReaderGone
        ):  # whoever reads our output has enough of it; the run has ended as it has all the same
            if asked.as_json:
                output.document(show.document(command, ran, jobs))
            else:
                output.say(show.text(ran, jobs, output.width()))
    return int(ran.exit)


def _never_begun(command: str, asked: DeployOptions, code: int) -> int:
    """It was stopped while it waited for a lock."""
    output.note("stopped; nothing was begun")
    if asked.as_json:
        return output.document(
            {
                "toolkit": 1,
                "command": command,
                "status": "cancelled",
                "exit": code,
                "run": None,
                "steps": [],
            }
        )
    return code


def nothing(command: str, asked: DeployOptions, excluded: Sequence[str] = ()) -> int:
    """There is nothing that this run could do. `excluded` would be deployed, but for
    `--without`.
    """
    if asked.as_json:
        return output.document(
            {
                "toolkit": 1,
                "command": command,
                "status": "unchanged",
                "exit": 0,
                "run": None,
                "steps": [],
            }
        )
    output.say(
        f"Nothing else to deploy: --without leaves out {', '.join(excluded)}."
        if excluded
        else "Nothing to deploy."
    )
    return 0


def _dry(command: str, asked: DeployOptions, prepared: flow.PreparedRun) -> int:
    if asked.as_json:
        calls = show.calls(prepared.jobs, prepared.previews)
        return output.document(
            {"toolkit": 1, "command": command, "status": "dry-run", "exit": 0, "steps": calls}
        )
    output.say(show.dry_run(prepared.jobs, prepared.previews, output.width(), prepared.standby))
    return 0


def _asking(asked: DeployOptions) -> bool:
    """Whether somebody is there to be asked."""
    return output.interactive() and not asked.as_json


def _consent(asked: DeployOptions, jobs: tuple[Job, ...]) -> None:
    """Ask for what was not said in advance. Raises Refused."""
    location = jobs[0].location
    if location.protected:
        confirm_name(str(location.environment), asked.confirm, _asking(asked))
    elif not asked.yes:
        from toolkit.cli.prompt import confirm

        if not confirm("Go on?", default=True):
            raise Declined()


def _tell_backwards(asked: DeployOptions, prepared: flow.PreparedRun) -> None:
    """Tell what takes live commits out, once. That has a consent of its own: --yes alone is none.
    Raises Refused where nobody can be asked for it; a dry run says so.
    """
    told = [(behind(step, standing), standing) for step, standing in prepared.backwards]
    missing = bool(told) and not (prepared.backwards_allowed or asked.allow_backwards)
    refused = missing and not asked.dry_run and (asked.yes or not _asking(asked))
    for words, _ in told[1:] if refused else told:
        output.note(f"warning: {line(words)}")
    if not missing:
        return
    words, standing = told[0]
    way = standing.fetch or "merge or rebase onto what is live"
    if refused:
        raise Refused(words, f"{way}; or say that it is meant: --allow-backwards")
    if asked.dry_run:
        output.note(
            f"note: with --yes this deploy would be refused (exit 2): {way}; or add"
            " --allow-backwards"
        )


def _consent_backwards(asked: DeployOptions, prepared: flow.PreparedRun) -> None:
    """Ask for the consent to take live commits out, which was told before. Raises Declined."""
    if not prepared.backwards or prepared.backwards_allowed or asked.allow_backwards:
        return
    from toolkit.cli.prompt import confirm

    steps = ", ".join(step for step, _ in prepared.backwards)
    if not confirm(f"{steps} would go back. Deploy all the same?", default=False):
        raise Declined()


def confirm_name(name: str, confirm: str | None, asking: bool) -> None:
    """A protected environment's name has to be said: in advance, or now. Raises Refused."""
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
