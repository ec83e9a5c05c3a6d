"""`toolkit completion`: the script that teaches a shell to complete toolkit's commands."""

import click
from click.shell_completion import get_completion_class

from toolkit.cli import output


@click.command(epilog='Example: eval "$(toolkit completion bash)"')
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print the shell completion script."""
    completer = get_completion_class(shell)
    assert completer is not None  # noqa: S101 (click knows all three)
    output.say(completer(ctx.find_root().command, {}, "toolkit", "_TOOLKIT_COMPLETE").source())
    return 0
