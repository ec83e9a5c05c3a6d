"""`toolkit rules import`: CI path filters become rules, as far as they can be said exactly."""

import os

import click
from msgspec.structs import replace

from toolkit import flow
from toolkit.cli import debugging, options, output
from toolkit.errors import UsageError
from toolkit.exits import Exit
from toolkit.formats.documents import LONGEST
from toolkit.init.draft import draft_to_toml
from toolkit.init.filters.workflows import import_filters
from toolkit.ports import disk, files
from toolkit.show.text import line


@click.command(
    "import", epilog="Example: toolkit rules import .github/workflows/*.yml --out rules.toml"
)
@click.argument("sources", metavar="FILE...", nargs=-1, required=True)
@click.option("-C", "folder", metavar="DIR", help="Run as if started in DIR.")
@click.option(
    "--out",
    metavar="FILE",
    help="Write the rules to FILE; an existing file is only replaced with --force.",
)
@click.option("--force", is_flag=True, help="Replace the file of --out.")
@options.as_json
@debugging.debug_option
@click.pass_context
def rules_import(
    ctx: click.Context,
    sources: tuple[str, ...],
    folder: str | None,
    out: str | None,
    force: bool,
    as_json: bool,
) -> int:
    """Convert CI path filters into a commented rules.toml: dorny/paths-filter (in a workflow, or a
    file of filters) and on.EVENT.paths.

    Each filter becomes a `manual` target; give it its real kind. A filter that cannot be expressed
    exactly is reported and left out, and the exit code is 4.
    """
    project = os.path.basename(options.enter(ctx, folder))
    result = import_filters([(source, _text(source)) for source in sources])
    if not result.count:
        problem = f"no path filter found in {', '.join(sources)}"
        if result.inexact:
            problem = result.inexact[0]
        raise UsageError(problem, "name workflows, or files of dorny/paths-filter filters")
    text = draft_to_toml(replace(result.draft, project=project or result.draft.project))
    flow.read_rules(text.encode(), "the imported rules")
    if out:
        disk.write(out, text.encode(), replace=force, mode=0o666)
    status, code = ("partly", Exit.PARTLY) if result.inexact else ("done", Exit.OK)
    if as_json:
        head = {"toolkit": 1, "command": "rules import", "status": status, "exit": int(code)}
        return output.document(
            {**head, "filters": result.count, "inexact": result.inexact, "rules": text}
        )
    if not out:
        output.say(text.rstrip("\n"))
    for remark in result.inexact:
        output.note(f"not imported: {line(remark)}")
    return code


def _text(path: str) -> str:
    content = files.read(path, LONGEST)
    if len(content) > LONGEST:
        size = files.size(path)
        has = f"more than {LONGEST:,}" if size is None else f"{size:,}"
        raise UsageError(
            f"{path!r} has {has} bytes; {LONGEST:,} are the most", "split it, or name another file"
        )
    return content.decode("utf-8", "replace")
