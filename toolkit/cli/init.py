"""`toolkit init`: look at the repository and draft rules.toml."""

import os

import click

from toolkit import flow
from toolkit.advice import ShellCommand
from toolkit.cli import debugging, options, output
from toolkit.errors import FileIsThere, UsageError
from toolkit.init.coverage import measure_coverage
from toolkit.init.draft import draft_to_toml
from toolkit.init.repository_draft import draft_repository
from toolkit.ports import disk, files
from toolkit.ports.git import Git
from toolkit.show import survey as show

MOST_BYTES = 1024 * 1024
"""The most bytes of one file that are read."""


@click.command(epilog="Then: toolkit rules check, toolkit diff")
@click.option("-C", "folder", metavar="DIR", help="Run as if started in DIR.")
@click.option(
    "--out",
    metavar="FILE",
    help=(
        "Where to write the draft; the default is `rules.toml` at the repository's root, - is "
        "the screen."
    ),
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
@options.as_json
@debugging.debug_option
@click.pass_context
def init(
    ctx: click.Context, folder: str | None, out: str | None, force: bool, as_json: bool
) -> int:
    """Look at the repository and draft rules.toml.

    It drafts what something proves to be deployed: a step of CI, a script, a Makefile, a
    package.json, cdk.json, samconfig.toml and the like. It lists what else it saw. It runs
    nothing, and replaces an existing file only with --force.
    """
    git = Git.open(options.enter(ctx, folder))
    path = out or os.path.join(git.root, "rules.toml")
    if path != "-" and not force and os.path.lexists(path):
        raise FileIsThere(path=flow.display_path(path))
    paths = [name for name in git.files() if name != "rules.toml"]
    if not paths:
        raise UsageError("git tracks no file here", ("add some first:", ShellCommand("git add .")))
    result = draft_repository(
        paths,
        lambda name: files.text_inside(git.root, name, MOST_BYTES),
        os.path.basename(git.root),
    )
    text = draft_to_toml(result.draft)
    rules = flow.read_rules(text.encode(), "the draft", draft=True)
    if path != "-":
        disk.write(path, text.encode(), replace=force, mode=0o666)
    covered = measure_coverage([rule.paths for rule in rules.rules], paths, rules.ignore)
    written = None if path == "-" else flow.display_path(path)
    if as_json:
        return output.document(show.document(result, covered, rules, text, written))
    remarks = show.text(result, covered, rules, written)
    if written is None:  # the draft itself is the answer, so the remarks must not be part of it
        output.say(text.rstrip("\n"))
        output.note(remarks)
    else:
        output.say(remarks)
    return 0
