"""`toolkit sandbox`: an AWS on this machine, so that every command can be tried without an
account.

The room `sandbox` may be left out of an installation: this file loads when it is missing, and its
commands say so.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from toolkit import flow, targets
from toolkit.advice import ShellCommand
from toolkit.cli import options, output
from toolkit.errors import NoRules, Refused, Unreachable
from toolkit.exits import Exit
from toolkit.flow import checks, rulebook
from toolkit.formats.variables import fill_settings
from toolkit.model import Rules, Target
from toolkit.operations import Provision
from toolkit.ports import files
from toolkit.show import sandbox as show

if TYPE_CHECKING:
    from toolkit.sandbox.box import Box, ProjectNeeds


class _OptionalRoom(click.Group):
    """A group whose commands need the room."""

    def invoke(self, ctx: click.Context) -> Any:
        """As click does. Raises Refused where the room is missing."""
        try:
            return super().invoke(ctx)
        except ImportError as error:
            if error.name != "toolkit.sandbox":
                raise
            raise Refused(
                "this installation of toolkit has no sandbox", "install the whole package again"
            ) from None


@click.group(
    "sandbox",
    cls=_OptionalRoom,
    epilog="\b\nExamples:\n  toolkit sandbox example car-rental   write a project to try it on\n"
    '  eval "$(toolkit sandbox up)"         start it, for this shell\n'
    '  eval "$(toolkit sandbox down)"       stop it\n',
)
def sandbox() -> None:
    """Try every command without an AWS account.

    The sandbox is an AWS emulator that only this machine can reach. It contains what the targets
    in rules.toml need: clusters, services, repositories, buckets, functions. Images really run, as
    plain processes. See docs/sandbox.md for what it cannot show.
    """


bare = click.option(
    "--bare", is_flag=True, help="Create no services and functions; stacks will create them."
)


@sandbox.command("up")
@options.common
@options.environment
@bare
@options.as_json
@click.pass_context
def up(
    ctx: click.Context,
    folder: str | None,
    rules: str | None,
    env: str | None,
    bare: bool,
    as_json: bool,
) -> int:
    """Start the sandbox, and print the lines to export."""
    from toolkit.sandbox import box

    project, name = _project(ctx, folder, rules, env)
    home = box.location(project, name)
    with box.exclusive():
        sandbox, started = box.start_sandbox(home.region, output.note)
        if not started:
            output.note(f"the sandbox is already up at {sandbox.server.url}")
        sandbox = _fill(sandbox, project, bare)
    status = "started" if started else "running"
    return _report("up", status, sandbox, box.variables(sandbox, home), as_json)


@sandbox.command("down")
@options.as_json
def down(as_json: bool) -> int:
    """Stop the sandbox, delete everything in it, and print the lines that undo those of `up`."""
    from toolkit.sandbox import box

    with box.exclusive():
        sandbox = box.load()
        was_running = box.stop_sandbox()
        if sandbox is not None:
            _forget(sandbox)
    names: Sequence[str] = ()
    if sandbox is not None or box.is_in_shell():
        names = box.VARIABLES
    output.note("the sandbox is down" if was_running else "the sandbox was not running")
    if as_json:
        status = "stopped" if was_running else "not-running"
        return output.document(show.document("down", status, Exit.OK, unset=names))
    if names:
        output.say(show.unsets(names))
    return Exit.OK


@sandbox.command("example")
@click.argument("directory", default="car-rental", metavar="[DIR]")
@options.as_json
def example(directory: str, as_json: bool) -> int:
    """Write the example project to DIR (car-rental), as a git repository.

    It has an image on ECS, three CDK stacks, a Lambda function and a web page.
    """
    from toolkit.sandbox import box

    box.write_example(directory)
    if as_json:
        return output.document(show.document("example", "ok", Exit.OK, folder=directory))
    output.say(show.example(directory))
    return Exit.OK


@sandbox.command("status")
@options.as_json
def status(as_json: bool) -> int:
    """Show whether the sandbox runs, where, and what is in it.

    Exits with 1 if it does not run.
    """
    from toolkit.sandbox import box

    sandbox = box.load()
    if sandbox is None or not box.is_running(sandbox):
        problem = "the sandbox is not running"
        if sandbox is not None:
            problem += f"; it has crashed, see {sandbox.server.log}"
        output.note(problem)
        if as_json:
            return output.document(show.document("status", "not-running", Exit.FAILED))
        return Exit.FAILED
    if as_json:
        details = {
            "url": sandbox.server.url,
            "since": sandbox.since,
            "log": sandbox.server.log,
            "provisioned": show.rows(sandbox.made),
        }
        return output.document(show.document("status", "running", Exit.OK, **details))
    output.say(show.state(sandbox.server.url, sandbox.since, sandbox.made))
    return Exit.OK


@sandbox.command("reset")
@options.common
@options.environment
@bare
@options.as_json
@click.pass_context
def reset(
    ctx: click.Context,
    folder: str | None,
    rules: str | None,
    env: str | None,
    bare: bool,
    as_json: bool,
) -> int:
    """Empty the sandbox and recreate what the targets need. Its address stays."""
    from toolkit.sandbox import box

    project, name = _project(ctx, folder, rules, env)
    home = box.location(project, name)
    with box.exclusive():
        sandbox = box.load()
        if sandbox is None or not box.is_running(sandbox):
            start = ("start it with", ShellCommand('eval "$(toolkit sandbox up)"'))
            raise Refused("the sandbox is not running", start)
        _forget(sandbox)
        sandbox = _fill(box.empty_sandbox(sandbox), project, bare)
    return _report("reset", "running", sandbox, box.variables(sandbox, home), as_json)


def _forget(sandbox: "Box") -> None:
    """Forget what was recorded of a sandbox that is empty now, or gone."""
    from toolkit.record.state import delete_endpoint

    delete_endpoint(sandbox.server.url)


def project_of(rules: Rules, root: str) -> "ProjectNeeds":
    """What the sandbox has to know of a rules.toml and of the repository that it is for. Raises
    RulesError.
    """
    from toolkit.sandbox.box import ProjectNeeds

    every = checks.load_checks(rules)

    def provisions(target: Target, variables: Mapping[str, str]) -> Iterable[Provision]:
        settings = fill_settings(target.settings, variables)
        return targets.kind(target.kind).provisions(settings)

    def dockerfile(target: Target) -> str:
        image = targets.kind(target.kind).dockerfile(target.settings)
        return (files.text_inside(root, image[1]) or "") if image else ""

    return ProjectNeeds(rules, provisions, dockerfile, partial(checks.sandbox_provisions, every))


def _project(
    ctx: click.Context, folder: str | None, rules_file: str | None, env: str | None
) -> tuple["ProjectNeeds | None", str | None]:
    """The project here, and the environment to use; without rules.toml the sandbox stays empty.
    Raises UsageError for an unknown environment.
    """
    folder = options.enter(ctx, folder)
    git = options.location(folder)
    try:
        rules = flow.load_rules(folder, options.inherited(ctx, "rules", rules_file), git)
    except NoRules:
        output.note("there is no rules.toml here: the sandbox stays empty")
        return None, None
    name = rulebook.environment_name(options.inherited(ctx, "env", env), rules)
    return project_of(rules, git.root if git else folder), name


def _fill(sandbox: "Box", project: "ProjectNeeds | None", bare: bool) -> "Box":
    from toolkit.sandbox import box

    try:
        return box.fill_sandbox(sandbox, project, bare, output.note)
    except Unreachable as problem:
        raise Refused(
            f"the sandbox does not answer: {problem}", f"see {sandbox.server.log}"
        ) from None


def _report(verb: str, status: str, sandbox: "Box", env: dict[str, str], as_json: bool) -> int:
    if as_json:
        details: dict[str, Any] = {"env": env, "provisioned": show.rows(sandbox.made)}
        return output.document(show.document(verb, status, Exit.OK, **details))
    output.say(show.exports(env))
    return Exit.OK
