"""`toolkit rules replay`: what would today's rules have made of history?"""

import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import click

from toolkit import flow
from toolkit.changes.base import split
from toolkit.cli import options, output
from toolkit.errors import GitError, UsageError
from toolkit.model import Commit, Replayed, Rules
from toolkit.ports.git import Git
from toolkit.show import replay as show
from toolkit.templates.refinement import ReplayedTemplates

MOST_SYNTHESIZED = 50
"""How many commits are synthesized where nobody says how many: each takes seconds."""
LONG = 2000
"""From how many commits on a progress bar is worth a look."""


EPILOG = """\b
Examples:
  toolkit rules replay v1.0..HEAD
  toolkit rules replay --templates -n 20  are the rules right?
  toolkit rules replay --snapshots        the same, by snapshots of your tests"""


@click.command("replay", epilog=EPILOG)
@click.argument("revisions", metavar="[RANGE]", required=False)
@options.common
@click.option(
    "-n",
    "limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Show at most the N newest commits.",
)
@click.option(
    "--templates",
    is_flag=True,
    help="Compare with what the stacks' templates became. This runs the CDK apps of each commit.",
)
@click.option(
    "--snapshots",
    is_flag=True,
    help="Compare with committed template snapshots (Jest, syrupy). This runs nothing.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object per commit, newest first."
)
@click.pass_context
def rules_replay(ctx: click.Context, /, **values: Any) -> int:
    """Run today's rules over history (first parents) and show what each commit would have deployed.

    RANGE is a commit (its whole history; default HEAD) or A..B. Works in a bare
    repository with --rules FILE.

    With --templates, each commit's stacks are synthesized and compared with its parent's: which
    changes would the rules have missed, and which deploys were not needed? With --snapshots, the
    templates that your tests have committed say what changed.
    """
    folder, limit, as_json = (
        options.enter(ctx, values["folder"]),
        values["limit"],
        values["as_json"],
    )
    git = Git.open(folder, bare=True)
    revisions: str | None = values["revisions"]
    commits = _resolve(revisions, git)
    loaded = flow.load_rules(folder, options.inherited(ctx, "rules", values["rules"]), git)
    options.known_environment(ctx, loaded)
    if values["templates"] and values["snapshots"]:
        raise UsageError("--templates runs the apps, --snapshots runs nothing", "use one of them")
    if values["templates"]:
        return _replay_templates(git, loaded, commits, limit, as_json)
    if values["snapshots"]:
        return _replay_snapshots(git, loaded, commits, limit, as_json)
    replayed = _with_progress(flow.replay(git, loaded, commits, limit), git, commits, limit)
    if as_json:
        for commit in replayed:
            output.say(show.json_line(commit))
        return 0
    tally = flow.tally(replayed, loaded)
    ends: list[Commit] = []
    with suppress(GitError):  # who and when is a courtesy
        ends = [git.commit(end) for end in tally.ends]
    output.say(show.text(tally, revisions or "HEAD", ends))
    return 0


def _replay_templates(
    git: Git, rules: Rules, revisions: list[str], limit: int | None, as_json: bool
) -> int:
    from toolkit.cli.ports import open_ports
    from toolkit.cli.redaction import redactor
    from toolkit.cli.synthesis_progress import SynthesisProgress
    from toolkit.flow.template_replays import replay_templates
    from toolkit.show import template_replay

    if git.bare:
        raise UsageError(
            "--templates needs a repository with a working tree", "clone it, then try again"
        )
    if limit is None and len(revisions) == 1:
        limit = MOST_SYNTHESIZED
    rows: list[ReplayedTemplates] = []
    redact = redactor()
    with SynthesisProgress(silent=as_json, estimate_s=0) as progress:
        ports = open_ports(git, git.root)
        for row in replay_templates(git, rules, revisions, limit, ports, progress):
            row = row.redacted(redact)
            rows.append(row)
            if as_json:
                output.say(template_replay.json_line(row))
                output.push()
    if not as_json:
        output.say(template_replay.text(rows, output.width()))
    return 0


def _replay_snapshots(
    git: Git, rules: Rules, revisions: list[str], limit: int | None, as_json: bool
) -> int:
    from toolkit.flow.snapshot_replays import replay_snapshots
    from toolkit.show import template_replay

    rows = [*replay_snapshots(git, rules, revisions, limit)]
    if as_json:
        for row in rows:
            output.say(template_replay.json_line(row))
    elif rows:
        output.say(template_replay.text(rows, output.width()))
    else:
        output.say("No commit changes a template snapshot and something besides tests.")
    return 0


def _resolve(revisions: str | None, git: Git) -> list[str]:
    """The commits as git log takes them, each resolved first."""
    if revisions is None:
        return [git.require_head()]
    if "..." in revisions:
        raise UsageError(
            f"{revisions} has no history of its own",
            "use A..B, or a commit for its whole history",
        )
    start, end = split(revisions)
    commits = [git.resolve(end)]
    if start:
        commits.append(f"^{git.resolve(start)}")
    return commits


def _with_progress(
    replayed: Iterator[Replayed], git: Git, revisions: list[str], limit: int | None
) -> Iterator[Replayed]:
    """The same, with a progress bar on a terminal if there is much to do."""
    if not sys.stderr.isatty():
        return replayed
    length = min(git.count(revisions), limit or sys.maxsize)
    return replayed if length < LONG else _with_bar(replayed, length)


def _with_bar(replayed: Iterator[Replayed], length: int) -> Iterator[Replayed]:
    with click.progressbar(
        replayed, length=length, label="commits", file=sys.stderr, update_min_steps=200
    ) as bar:
        yield from bar
