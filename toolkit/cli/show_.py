"""`toolkit show`: one run."""

import click

from toolkit.cli import options, output
from toolkit.cli.shared_runs import open_run
from toolkit.ports import processes
from toolkit.show import history as display


@click.command(
    "show",
    epilog=(
        "\b\nExamples:\n  toolkit show 20261120-193742-x7k2\n  toolkit show 20261120-193742-x7k2"
        " --json"
    ),
)
@click.argument("run")
@options.common
@options.color
@options.as_json
@click.pass_context
def show(ctx: click.Context, run: str, folder: str | None, rules: str | None, as_json: bool) -> int:
    """Show one run: its command, and how each step ended."""
    story = open_run(ctx, run, folder, rules, silent=as_json).story
    if as_json:
        return output.document(
            display.run_document(story.summary, story.steps, story.step_usage, story.usage)
        )
    host, width = processes.current_process().host, output.width()
    output.say(display.run(story.summary, story.steps, host, story.step_usage, story.usage, width))
    return 0
