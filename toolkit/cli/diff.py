"""`toolkit diff`: what is out of date, why, and the narrowest plan."""

import os
from collections.abc import Callable

import click

from toolkit import flow
from toolkit.changes import detect
from toolkit.cli import options, output
from toolkit.errors import UsageError
from toolkit.model import Change, DiffResult, Rules
from toolkit.ports import files
from toolkit.ports.git import Git
from toolkit.show import answer as show
from toolkit.show.text import line, listing

EPILOG = """\b
Examples:
  toolkit diff                     against what was deployed last
  toolkit diff live                against what AWS says that runs
  toolkit diff change              what this branch or pull request calls for
  toolkit diff v1.4.2              against what was tagged
  toolkit diff --committed HEAD~3  the last three commits, as committed
  toolkit diff A..B                two commits; A...B from where they part
  git diff --name-only -z X | toolkit diff -z --paths-from -

Uncommitted and untracked files count unless --committed or a range is given. Exit codes: 0,
with --exit-code 10 if something is to be deployed; 2 for a wrong rules.toml, an unknown ref,
or unmatched paths where rules.toml says "fail"."""


@click.command(epilog=EPILOG)
@click.argument("base", required=False)
@options.common
@options.environment
@click.option(
    "--committed", is_flag=True, help="Compare HEAD as committed; do not look at the working tree."
)
@click.option(
    "--paths-from",
    metavar="FILE",
    help="Take the changed paths from FILE (- for standard input) instead of git.",
)
@click.option("-z", "nul", is_flag=True, help="The paths of --paths-from are separated by NUL.")
@click.option(
    "--out",
    metavar="FILE",
    help="Also write the plan to FILE, for a later `toolkit deploy --plan`.",
)
@click.option("--exit-code", is_flag=True, help="Exit with 10 if something is to be deployed.")
@options.allowed
@options.as_json
@options.quiet
@options.verbose
@options.no_color
@click.pass_context
def diff(
    ctx: click.Context,
    base: str | None,
    folder: str | None,
    rules: str | None,
    env: str | None,
    committed: bool,
    paths_from: str | None,
    nul: bool,
    out: str | None,
    exit_code: bool,
    allowed: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> int:
    """What is out of date, why, and the narrowest deploy that mends it.

    Without BASE: what is out of date, against each target's last recorded deploy (`last`), or
    against what AWS says is running (`live`). A target of which no deploy is recorded is unknown,
    and so due.

    With BASE, any commit, `A..B` or `A...B`: what that change calls for, whatever is deployed.
    `change` is where this branch parted from the one that it goes into.
    """
    folder = options.enter(ctx, folder)
    if base is not None and paths_from is not None:
        raise UsageError("a base and --paths-from exclude each other", "leave one of them out")
    if nul and paths_from is None:
        raise UsageError("-z only goes with --paths-from", "add --paths-from FILE, or leave -z out")
    git = (
        options.location(folder)
        if paths_from is not None
        else Git.open(folder, bare=base is not None and ".." in base)
    )
    request = flow.DiffRequest(
        folder=folder,
        base=base,
        rules=options.inherited(ctx, "rules", rules),
        environment=options.inherited(ctx, "env", env),
        committed=committed,
        given=None if paths_from is None else _given(paths_from, nul),
        given_name="standard input" if paths_from == "-" else paths_from or "",
        allowed=allowed,
    )
    found = flow.diff(request, git, _reader(request, git, silent=quiet or as_json))
    word, code = show.status(found, exit_code)
    if out and not found.refusal:
        _write_plan(out, found, git)
    if as_json:
        return output.document(show.document(found, exit_code))
    if quiet and not found.refusal:
        _warn(found)
        output.say(found.plan.recommendation)
        return code
    if not quiet:
        output.say(
            show.text(
                found, output.width(), verbose, _people(found, git) if verbose and git else ()
            )
        )
    if word == "refused":
        output.note(
            f"error: {found.refusal}, and no rule matches"
            f" {', '.join(listing(found.impact.unmatched, 3))}"
        )
        output.note("hint: add a rule for them, or add them to `ignore`")
    elif output.interactive() and not exit_code and found.plan.steps:
        return _offered(found) or code
    return code


def _reader(
    request: flow.DiffRequest, git: Git | None, silent: bool
) -> Callable[[str, Rules, str | None], flow.Points]:
    """What is recorded as deployed, or live, read once it is asked for."""

    def read(how: str, rules: Rules, environment: str | None) -> flow.Points:
        return _recorded(how, rules, environment, request, git, silent)

    return read


def _recorded(
    how: str,
    rules: Rules,
    environment: str | None,
    request: flow.DiffRequest,
    git: Git | None,
    silent: bool,
) -> flow.Points:
    """The same. Where nothing can be recorded, nothing is loaded to find that out."""
    shared = any(one.store for one in rules.environments.values())
    if how == "last" and not shared and not os.path.isdir(files.state_folder()):
        return {}
    from toolkit.cli import account, ports
    from toolkit.flow.recorded import reader

    there = ports.around(Git.open(os.getcwd()), os.getcwd())
    account.begin(
        there if how == "live" or shared else None,
        git,
        request.folder,
        request.rules,
        environment,
        silent=silent,
        allowed=request.allowed,
    )
    return reader(there, lambda words: output.note(f"note: {words}"))(how, rules, environment)


def _offered(found: DiffResult) -> int:
    """What is recommended is offered, and what was chosen is run: choosing it is the consent, but
    for a protected environment.
    """
    from shlex import split

    from toolkit.cli.main import run
    from toolkit.cli.prompt import offer

    chosen = offer(found)
    if chosen is None:
        return 0
    for command in chosen.split(" && "):  # several checks, each only if the one before was well
        output.say(f"$ {command}")
        code = run([*split(command)[1:], *(["--yes"] if "deploy" in command else [])])
        if code:
            return code
    return 0


def _warn(found: DiffResult) -> None:
    """What has to be known even of an answer that is only a command."""
    for remark in found.told_first:
        output.note(f"note: {line(remark)}")
    if found.impact.unmatched:
        output.note(f"warning: no rule matches {', '.join(listing(found.impact.unmatched, 3))}")
    for remark in (*found.notes, *show.by_hand(found)):
        output.note(f"note: {line(remark)}")


def _given(paths_from: str, nul: bool) -> tuple[Change, ...]:
    data = files.read_input() if paths_from == "-" else files.read(paths_from)
    return tuple(detect.listed(data, b"\0" if nul else b"\n"))


def _write_plan(path: str, found: DiffResult, git: Git | None) -> None:
    """The answer, and what it was drawn from, so that a stale plan can be told."""
    from toolkit.changes import source
    from toolkit.show.document import dumps

    own = None if git is None else files.relative(path, git.root)
    document = show.document(found, exit_code=False)
    document["source"] = source.of(found, None if git is None else git.root, own)
    files.write(path, dumps(document).encode())


def _people(found: DiffResult, git: Git) -> list[str]:
    """Who changed the files of each step, and since when."""
    from toolkit.show.people import lines

    said: list[str] = []
    for step in found.plan.steps:
        reasons = (*found.reasons.get(step.target, ()), *found.impact.targets.get(step.target, ()))
        paths = sorted({reason.path for reason in reasons if reason.path})
        base = found.base.each.get(step.target) or found.base.commits
        if paths and base and found.head.commit and all(git.has(commit) for commit in base):
            commits = git.commits(base, found.head.commit, paths[:200], 20)
            said += lines(step.target, commits)
    return said
