"""`toolkit diff`: what is out of date, why, and the narrowest plan."""

import os
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from msgspec import Struct
from msgspec.structs import replace

from toolkit.advice import NextCommand
from toolkit.changes import base as bases
from toolkit.changes import detect
from toolkit.cli import options, output
from toolkit.errors import UsageError
from toolkit.model import BaseKind, Change, DiffResult, Rules, TemplatePolicy
from toolkit.ports import files
from toolkit.ports.git import Git

if TYPE_CHECKING:  # loaded while git is at work
    from toolkit import flow
    from toolkit.cli.prompt import TemplateChoice
    from toolkit.flow.compare import Records
    from toolkit.templates.refinement import RefinedDiff

EPILOG = """\b
Examples:
  toolkit diff                     what changed since the last deploy
  toolkit diff live                what changed since what AWS says is running
  toolkit diff live --drift        also what somebody has changed by hand
  toolkit diff change              what this branch or pull request calls for
  toolkit diff v1.4.2              what changed since a tag
  toolkit diff --committed HEAD~3  the last three commits, as committed
  toolkit diff A..B                between two commits
  toolkit diff A...B               what B changed since it left A
  git diff --name-only -z X | toolkit diff -z --paths-from -
  toolkit diff --templates         exactly: what do the templates become?

Uncommitted and untracked files count, unless you give --committed or a range. Exit codes: 0; with
--exit-code, 10 if something is due; 2 for a wrong rules.toml, an unknown ref, or unmatched paths
if rules.toml says "fail"."""


TEMPLATES = "TOOLKIT_TEMPLATES"
"""The variable with which a person always compares templates: `true`."""


@click.command(epilog=EPILOG)
@click.argument("base", required=False)
@options.common
@options.environment
@click.option(
    "--committed", is_flag=True, help="Compare HEAD as committed, ignoring the working tree."
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
@click.option(
    "--templates/--no-templates",
    envvar=TEMPLATES,
    default=False,
    help="Also compare what the stacks' templates become. This runs the repository's CDK apps.",
)
@click.option(
    "--drift",
    is_flag=True,
    help="With `live`: also have AWS look at each resource for changes made outside toolkit.",
)
@click.option("--exit-code", is_flag=True, help="Exit with 10 if something is due.")
@options.allowed
@options.as_json
@options.quiet
@options.verbose
@options.color
@click.pass_context
def diff(ctx: click.Context, /, **values: Any) -> int:
    """Show what is out of date, why, and the smallest deploy that fixes it.

    Without BASE, it compares with each target's last recorded deploy (`last`), or with what AWS
    says is running (`live`). A target without a recorded deploy is unknown, and so it is due.

    With BASE, which is any commit, `A..B` or `A...B`, it shows what that change calls for,
    whatever is deployed. `change` is where this branch left the branch that it will be merged
    into.

    A rule says that a changed file may change a stack. With --templates, each stack is synthesized
    and compared: those that do not change are left out, those that no rule called for are added.
    """
    arguments = DiffArguments(**values)
    if arguments.paths_from is not None and _is_given(ctx, "templates"):
        raise UsageError(
            "--templates and --paths-from cannot be combined: templates are made of whole commits",
            "leave one of them out",
        )
    if arguments.drift and arguments.base != BaseKind.LIVE:
        raise UsageError(
            "--drift is about what is live", ("use", NextCommand("diff", ("live",), ("--drift",)))
        )
    folder = options.enter(ctx, arguments.folder)
    git = _repository(folder, arguments)
    with ExitStack() as started:
        look: detect.Look | None = None
        if git is not None and git.head is not None and _begins_with_work_tree(arguments):
            look = started.enter_context(detect.Look(git, lambda: _load_output(arguments)))
        from toolkit import flow

        request = _request(ctx, folder, arguments)
        silent = arguments.quiet or arguments.as_json
        result = flow.diff(request, git, records_for(request, git, silent, arguments.drift), look)
    refined = None
    if arguments.templates and git is not None and arguments.paths_from is None:
        refined = _refined(request, result, git, silent)
        result = refined.result
    if arguments.out and not result.refusal:
        _write_plan(arguments.out, result, git)
    return _report(result, git, arguments, refined)


def _is_given(ctx: click.Context, option: str) -> bool:
    """Whether an option stands on the command line, and is not only a person's default."""
    return ctx.get_parameter_source(option) is ParameterSource.COMMANDLINE


class DiffArguments(Struct, frozen=True):
    """The arguments and options of `diff`, as click gives them."""

    base: str | None
    folder: str | None
    rules: str | None
    env: str | None
    committed: bool
    paths_from: str | None
    nul: bool
    out: str | None
    templates: bool
    drift: bool
    exit_code: bool
    allowed: bool
    as_json: bool
    quiet: bool
    verbose: bool


def _repository(folder: str, arguments: DiffArguments) -> Git | None:
    """The repository; paths from a file need none. Raises UsageError, GitError."""
    base, paths_from = arguments.base, arguments.paths_from
    if base is not None and paths_from is not None:
        raise UsageError("a base and --paths-from cannot be combined", "leave one of them out")
    if arguments.nul and paths_from is None:
        raise UsageError("-z needs --paths-from", "add --paths-from FILE, or leave -z out")
    if paths_from is not None:
        return options.location(folder)
    return Git.open(folder, bare=base is not None and ".." in base)


def _begins_with_work_tree(arguments: DiffArguments) -> bool:
    """Whether the answer goes up to the working tree, and nobody else is asked before."""
    from_git = arguments.paths_from is None and not arguments.committed
    return from_git and arguments.base != BaseKind.LIVE and not bases.is_range(arguments.base)


def _load_output(arguments: DiffArguments) -> None:
    """Load what the output needs."""
    from toolkit.show import diff as diff  # loaded while git is at work

    if not arguments.as_json and not arguments.quiet:
        from toolkit.cli import table_loading

        table_loading.load()


def _request(ctx: click.Context, folder: str, arguments: DiffArguments) -> "flow.DiffRequest":
    from toolkit import flow

    paths_from = arguments.paths_from
    paths: tuple[Change, ...] | None = None
    if paths_from is not None:
        paths = _listed_paths(paths_from, arguments.nul)
    return flow.DiffRequest(
        folder=folder,
        base=arguments.base,
        rules=options.inherited(ctx, "rules", arguments.rules),
        environment=options.inherited(ctx, "env", arguments.env),
        committed=arguments.committed,
        changes=paths,
        changes_name="standard input" if paths_from == "-" else paths_from or "",
        allowed=arguments.allowed,
    )


def _refined(
    request: "flow.DiffRequest", result: DiffResult, git: Git, silent: bool
) -> "RefinedDiff":
    """The answer with what the templates say."""
    from toolkit.cli.ports import open_ports
    from toolkit.cli.redaction import redactor
    from toolkit.cli.synthesis_progress import SynthesisProgress
    from toolkit.flow.refine import refine
    from toolkit.flow.template_offer import last_duration_s

    ports = open_ports(git, request.folder)
    with SynthesisProgress(silent, last_duration_s(ports.root, ports.cache)) as progress:
        return refine(request, result, git, ports, progress).redacted(redactor())


def _report(
    result: DiffResult,
    git: Git | None,
    arguments: DiffArguments,
    refined: "RefinedDiff | None",
) -> int:
    """Print the answer; on a terminal, offer to run what it recommends. The exit code."""
    from toolkit.show import diff as show
    from toolkit.show.text import listing

    _, code = show.status(result, arguments.exit_code)
    if arguments.as_json:
        return output.document(_document(result, refined, arguments))
    if arguments.quiet and not result.refusal:
        _warn(result)
        output.say(show.recommendation(result.plan, result.same))
        return code
    if not arguments.quiet:
        if threading.active_count() == 1:
            _load_output(arguments)
        people = _people(result, git) if arguments.verbose and git else ()
        more: tuple[str, ...] = ()
        if refined is not None:
            from toolkit.show import refined as show_refined

            more = tuple(show_refined.lines(refined, output.width(), arguments.verbose))
        output.say(show.text(result, output.width(), arguments.verbose, people, more))
    if result.refusal:
        output.note(
            f"error: {result.refusal}, and no rule matches"
            f" {', '.join(listing(result.impact.unmatched, 3))}"
        )
        output.note("hint: add a rule for them, or add them to `ignore`")
    elif output.interactive() and not arguments.exit_code and result.plan.steps:
        templates = None if refined is not None else _template_choice(result, git, arguments)
        return _offer(result, templates) or code
    return code


def _document(
    result: DiffResult, refined: "RefinedDiff | None", arguments: DiffArguments
) -> dict[str, Any]:
    from toolkit.show import diff as show

    document = show.document(result, arguments.exit_code)
    document["templates"] = None
    if refined is not None:
        from toolkit.show import refined as show_refined

        document["templates"] = show_refined.document(refined)
    return document


def _template_choice(
    result: DiffResult, git: Git | None, arguments: DiffArguments
) -> "TemplateChoice | None":
    """What offers to compare templates first; None where that could not narrow anything, or
    rules.toml says that it is not offered.
    """
    from toolkit.flow.template_offer import can_narrow, last_duration_s

    if git is None or arguments.paths_from is not None or not can_narrow(result):
        return None
    if result.rules.templates is TemplatePolicy.NEVER:
        return None
    from toolkit.cli.prompt import TemplateChoice

    base = () if arguments.base is None else (arguments.base,)
    options_ = ("--templates", *(("--committed",) if arguments.committed else ()))
    command = NextCommand("diff", base, options_)
    return TemplateChoice(command, last_duration_s(git.root, files.cache_folder()))


def records_for(
    request: "flow.DiffRequest", git: Git | None, silent: bool, drift: bool = False
) -> "Records":
    """What reads what is recorded as deployed (`last`), or is live, when it is needed."""

    def read(how: str, rules: Rules, environment: str | None) -> "flow.Points":
        shared = any(settings.store for settings in rules.environments.values())
        # Where nothing can be recorded, nothing is loaded to find that out: boto3 alone takes
        # longer than a whole `diff`.
        if how == BaseKind.LAST and not shared and not os.path.isdir(files.state_folder()):
            return {}
        from toolkit.cli import account
        from toolkit.cli.ports import open_ports
        from toolkit.flow.advice import same_options
        from toolkit.flow.recorded_bases import records_reader

        ports = open_ports(git, request.folder)
        called = ports if how == BaseKind.LIVE or shared else None
        sign_in = account.SignIn(environments=(environment,), silent=silent)
        account.sign_in(sign_in, called, git, request.folder, request.rules, request.allowed)
        same = same_options(rules, request.rules, environment)
        read_records = records_reader(
            ports, lambda note: output.note_advice(note, same, before="note: "), drift=drift
        )
        return read_records(how, rules, environment)

    return read


def _offer(result: DiffResult, templates: "TemplateChoice | None") -> int:
    """Offer what is recommended, and run what is chosen: choosing it is the consent, but for a
    protected environment.
    """
    from toolkit.cli.main import run
    from toolkit.cli.prompt import offer
    from toolkit.show.advice import command_words, shown_command

    for command in offer(result, templates):
        output.say(f"$ {shown_command(command, result.same)}")
        if result.plan.steps and command.command != "diff":
            command = replace(command, options=(*command.options, "--yes"))
        code = run(command_words(command, result.same))
        if code:
            return code
    return 0


def _warn(result: DiffResult) -> None:
    """Print what a person has to know even where the answer is only a command."""
    from toolkit.show import diff as show
    from toolkit.show.text import line, listing

    for remark in result.told_first:
        output.note(f"note: {line(remark)}")
    if result.impact.unmatched:
        output.note(f"warning: no rule matches {', '.join(listing(result.impact.unmatched, 3))}")
    for note in result.notes:
        output.note_advice(note, result.same, "note: ")
    for remark in show.by_hand(result):
        output.note(f"note: {line(remark)}")


def _listed_paths(paths_from: str, nul: bool) -> tuple[Change, ...]:
    listing = files.read_input() if paths_from == "-" else files.read(paths_from)
    return tuple(detect.listed(listing, b"\0" if nul else b"\n"))


def _write_plan(path: str, result: DiffResult, git: Git | None) -> None:
    """Write the answer, and what it was made from, so that a stale plan is recognized."""
    from toolkit.flow.plan_file import plan_source
    from toolkit.ports import disk
    from toolkit.show import diff as show
    from toolkit.show.document import dumps

    document = show.document(result, exit_code=False)
    # The plan's own file would make each plan stale as soon as it is written.
    plan = None if git is None else files.relative(path, git.root)
    document["source"] = plan_source(result, git, plan)
    disk.write(path, dumps(document).encode(), mode=0o666)


def _people(result: DiffResult, git: Git) -> list[str]:
    """Who changed the files of each step, and since when."""
    from toolkit.show.people import lines

    people: list[str] = []
    head, targets = result.head.commit, result.impact.targets
    for step in result.plan.steps:
        reasons = (*result.reasons.get(step.target, ()), *targets.get(step.target, ()))
        paths = sorted({reason.path for reason in reasons if reason.path})
        base = result.base.each.get(step.target) or result.base.commits
        if paths and base and head and all(git.has(commit) for commit in base):
            people += lines(step.target, git.commits(base, head, paths[:200], 20))
    return people
