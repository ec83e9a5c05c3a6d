"""`toolkit sandbox`: an AWS on this machine, so that every command can be tried without an
account.
"""

from collections.abc import Callable
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

    The sandbox is an emulator on the loopback of this machine. It holds what the targets of
    rules.toml need: clusters, services, repositories, buckets, functions. Images really run, as
    plain processes. See docs/sandbox.md for what it cannot show.
    """


bare = click.option(
    "--bare", is_flag=True, help="Make no services and functions: stacks will bring them."
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
    """Start it, and print the lines to export."""
    folder = options.enter(ctx, folder)
    loaded, root = _rules(folder, options.inherited(ctx, "rules", rules))
    wanted = _home(loaded, options.inherited(ctx, "env", env))
    with box.exclusive():
        found, started = box.start_sandbox(wanted.region or provision.REGION, output.note)
        if not started:
            output.note(f"the sandbox is already up at {found.server.url}")
        found = _filled(found, loaded, root, bare)
    return _told("up", "started" if started else "running", found, wanted, as_json)


@sandbox.command("down")
@options.as_json
def down(as_json: bool) -> int:
    """End it with everything in it, and print the lines that undo those of `up`."""
    with box.exclusive():
        known = box.load()
        ran = box.stop_sandbox()
        if known is not None:
            _forget(known)
    output.note("the sandbox is down" if ran else "the sandbox was not running")
    names = list(box.variables(known)) if known else []
    if as_json:
        return output.document(
            show.document("down", "stopped" if ran else "not-running", Exit.OK, unset=names)
        )
    if names:
        output.say(show.unsets(names))
    return Exit.OK


@sandbox.command("status")
@options.as_json
def status(as_json: bool) -> int:
    """Say whether it runs, where, and what is in it. Exits with 1 if it does not run."""
    found = box.load()
    if found is None or not (server.is_running(found.server) and server.is_answering(found.server)):
        said = "the sandbox is not running" + (
            f"; it ended by itself, see {found.server.log}" if found else ""
        )
        output.note(said)
        return (
            output.document(show.document("status", "not-running", Exit.FAILED))
            if as_json
            else Exit.FAILED
        )
    if as_json:
        more = {
            "url": found.server.url,
            "since": found.since,
            "log": found.server.log,
            "provisioned": show.rows(found.made),
        }
        return output.document(show.document("status", "running", Exit.OK, **more))
    output.say(show.state(found.server.url, found.since, found.made))
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
    """Empty it, and make anew what the targets need. Its address stays."""
    folder = options.enter(ctx, folder)
    loaded, root = _rules(folder, options.inherited(ctx, "rules", rules))
    wanted = _home(loaded, options.inherited(ctx, "env", env))
    with box.exclusive():
        found = box.load()
        if found is None or not server.is_answering(found.server):
            raise Refused("the sandbox is not running", "start it with `toolkit sandbox up`")
        _forget(found)
        found = _filled(box.empty_sandbox(found), loaded, root, bare)
    return _told("reset", "running", found, wanted, as_json)


def _forget(known: box.Box) -> None:
    """What was recorded of a sandbox that is empty now, or gone."""
    from toolkit.record.state import delete_endpoint

    delete_endpoint(known.server.url)


def _rules(folder: str, named: str | None) -> tuple[Rules | None, str]:
    """The rules and the repository's root; without rules.toml the sandbox stays empty."""
    git = options.location(folder)
    try:
        loaded = flow.load_rules(folder, named, git)
    except NoRules:
        output.note("there is no rules.toml here: the sandbox stays empty")
        return None, folder
    return loaded, git.root if git else folder


def _home(rules: Rules | None, named: str | None) -> Location:
    """The place that is meant where nothing is said. Raises UsageError for an environment that
    there is not.
    """
    if rules is None:
        return Location(account=provision.ACCOUNT, region=provision.REGION)
    wanted, found = rulebook.environment(named, rules), provision.locations(rules)
    return next((location for location in found if location.environment == wanted), found[0])


def _filled(found: box.Box, rules: Rules | None, root: str, bare: bool) -> box.Box:
    if rules is None:
        return box.provision_parts(found, (), (), output.note)
    found_checks = checks.load(rules)
    parts = provision.planned_parts(
        rules,
        targets.kind,
        jobs.fill_settings,
        _text(root),
        bare,
        lambda there: checks.wanted(found_checks, there),
    )
    try:
        return box.provision_parts(
            found, parts, provision.base_images(rules, targets.kind, _text(root)), output.note
        )
    except Unreachable as problem:
        raise Refused(
            f"the sandbox does not answer: {problem}", f"see {found.server.log}"
        ) from None


def _text(root: str) -> Callable[[str], str | None]:
    return lambda path: files.text_inside(root, path)


def _told(verb: str, status: str, found: box.Box, home: Location, as_json: bool) -> int:
    env = box.variables(found, home)
    if as_json:
        more: dict[str, Any] = {"env": env, "provisioned": show.rows(found.made)}
        return output.document(show.document(verb, status, Exit.OK, **more))
    output.say(show.exports(env))
    return Exit.OK
