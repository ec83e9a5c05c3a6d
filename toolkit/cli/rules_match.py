"""`toolkit rules match`: where do these paths go? Needs no repository."""

import sys

import click

from toolkit import flow
from toolkit.changes import detect
from toolkit.cli import options, output
from toolkit.impact.touch import touch
from toolkit.model import Change, ChangeStatus
from toolkit.ports import files
from toolkit.show import matches as show


@click.command("match", epilog="Example: git ls-files -z | toolkit rules match -z -")
@click.argument("paths", nargs=-1)
@options.common
@click.option("-z", "nul", is_flag=True, help="The paths on standard input are separated by NUL.")
@options.as_json
@click.pass_context
def rules_match(
    ctx: click.Context,
    paths: tuple[str, ...],
    folder: str | None,
    rules: str | None,
    nul: bool,
    as_json: bool,
) -> int:
    """Show the targets and rules of each PATH, one line per path. `-` (or no PATH) reads
    them from standard input.

    Paths are relative to the repository's root.
    """
    folder = options.enter(ctx, folder)
    book = flow.rule_book(flow.load_rules(folder, options.inherited(ctx, "rules", rules), None))
    options.known_environment(ctx, book.rules)
    if sys.stdin.isatty() and (not paths or "-" in paths):
        output.note("reading one path per line; end with Ctrl-D")
    changes: list[Change] = []
    for path in paths or ("-",):
        if path == "-":
            changes += detect.listed(files.read_input(), b"\0" if nul else b"\n")
        else:
            changes.append(Change(detect.relative(path), ChangeStatus.UNKNOWN))
    touched = touch(changes, book).touched
    if as_json:
        return output.document(show.document(touched))
    for path_match in touched:
        output.say(show.text(path_match))
    return 0
