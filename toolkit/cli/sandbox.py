"""`toolkit sandbox`: an AWS on this machine, so that every command can be tried without an
account.
"""

from typing import Any

import click

from toolkit import flow, targets
from toolkit.cli import options, output
from toolkit.errors import Exit, NoRules, Refused, Unreachable
from toolkit.flow import checks, rulebook
from toolkit.model import Location, Rules
from toolkit.ports import files
from toolkit.run import jobs
from toolkit.sandbox import box, provision, server
from toolkit.show import sandbox as show


@click.group(
    "sandbox",
    epilog=(
        'Example: eval "$(toolkit sandbox up)"; toolkit deploy-app; eval "$(toolkit sandbox down)"'
    ),
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
    folder = options.enter(ctx, folder)
    loaded, root = _rules(folder, options.inherited(ctx, "rules", rules))
    home = _home(loaded, options.inherited(ctx, "env", env))
    with box.exclusive():
        sandbox, started = box.start_sandbox(home.region or provision.REGION, output.note)
        if not started:
            output.note(f"the sandbox is already up at {sandbox.server.url}")
        sandbox = _fill(sandbox, loaded, root, bare)
    return _report("up", "started" if started else "running", sandbox, home, as_json)


@sandbox.command("down")
@options.as_json
def down(as_json: bool) -> int:
    """Stop the sandbox, delete everything in it, and print the lines that undo those of `up`."""
    names: list[str] = []
    with box.exclusive():
        sandbox = box.load()
        was_running = box.stop_sandbox()
        if sandbox is not None:
            _forget(sandbox)
            names = list(box.variables(sandbox))
    output.note("the sandbox is down" if was_running else "the sandbox was not running")
    if as_json:
        status = "stopped" if was_running else "not-running"
        return output.document(show.document("down", status, Exit.OK, unset=names))
    if names:
        output.say(show.unsets(names))
    return Exit.OK


@sandbox.command("status")
@options.as_json
def status(as_json: bool) -> int:
    """Show whether the sandbox runs, where, and what is in it.

    Exits with 1 if it does not run.
    """
    sandbox = box.load()
    if sandbox is None or not (
        server.is_running(sandbox.server) and server.is_answering(sandbox.server)
    ):
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
    folder = options.enter(ctx, folder)
    loaded, root = _rules(folder, options.inherited(ctx, "rules", rules))
    home = _home(loaded, options.inherited(ctx, "env", env))
    with box.exclusive():
        sandbox = box.load()
        if sandbox is None or not server.is_answering(sandbox.server):
            raise Refused("the sandbox is not running", "start it with `toolkit sandbox up`")
        _forget(sandbox)
        sandbox = _fill(box.empty_sandbox(sandbox), loaded, root, bare)
    return _report("reset", "running", sandbox, home, as_json)


def _forget(sandbox: box.Box) -> None:
    """Forget what was recorded of a sandbox that is empty now, or gone."""
    from toolkit.record.state import delete_endpoint

    delete_endpoint(sandbox.server.url)


def _rules(folder: str, rules_file: str | None) -> tuple[Rules | None, str]:
    """The rules and the repository's root; without rules.toml the sandbox stays empty."""
    git = options.location(folder)
    try:
        loaded = flow.load_rules(folder, rules_file, git)
    except NoRules:
        output.note("there is no rules.toml here: the sandbox stays empty")
        return None, folder
    return loaded, git.root if git else folder


def _home(rules: Rules | None, environment: str | None) -> Location:
    """The location that the exported variables are for. Raises UsageError for an unknown
    environment.
    """
    if rules is None:
        return Location(account=provision.ACCOUNT, region=provision.REGION)
    name, locations = rulebook.environment_name(environment, rules), provision.locations(rules)
    for location in locations:
        if location.environment == name:
            return location
    return locations[0]


def _fill(sandbox: box.Box, rules: Rules | None, root: str, bare: bool) -> box.Box:
    if rules is None:
        return box.provision_parts(sandbox, (), (), output.note)
    every = checks.load_checks(rules)

    def read(path: str) -> str | None:
        return files.text_inside(root, path)

    parts = provision.planned_parts(
        rules,
        targets.kind,
        jobs.fill_settings,
        read,
        bare,
        lambda location: checks.sandbox_provisions(every, location),
    )
    try:
        return box.provision_parts(
            sandbox, parts, provision.base_images(rules, targets.kind, read), output.note
        )
    except Unreachable as problem:
        raise Refused(
            f"the sandbox does not answer: {problem}", f"see {sandbox.server.log}"
        ) from None


def _report(verb: str, status: str, sandbox: box.Box, home: Location, as_json: bool) -> int:
    env = box.variables(sandbox, home)
    if as_json:
        details: dict[str, Any] = {"env": env, "provisioned": show.rows(sandbox.made)}
        return output.document(show.document(verb, status, Exit.OK, **details))
    output.say(show.exports(env))
    return Exit.OK
