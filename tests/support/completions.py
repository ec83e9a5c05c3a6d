"""Writes `toolkit/cli/completion_table.py`: the commands and options as completion needs them."""

from collections.abc import Iterator
from pprint import pformat

import click

from tests.support.run import ROOT
from toolkit import targets
from toolkit.artifacts.images import BUILT_IN, ENGINES
from toolkit.cli.main import LazyGroup, cli
from toolkit.targets.base import Kind

FILE = ROOT / "toolkit" / "cli" / "completion_table.py"

HEAD = '''"""The commands and options, for completion. Written by scripts/docs: do not edit it.

For each command, under its words: the options (names, what its value is, whether it may be
repeated, what it is), the arguments (what it is, whether there may be several), the commands in it.
None stands for no value, an empty text for one of which no names are known.
"""

Value = str | tuple[str, ...] | None
COMMANDS: dict[
    str,
    tuple[
        list[tuple[tuple[str, ...], Value, bool, str]],
        list[tuple[str | tuple[str, ...], bool]],
        dict[str, str],
    ],
] = '''

BY_METAVAR = {"FILE": "file", "FILE...": "file", "DIR": "dir", "[DIR]": "dir"}
BY_NAME: dict[str, str | tuple[str, ...]] = {
    "env": "environments",
    "confirm": "environments",
    "region": "regions",
    "without": "targets",
    "only": "checks",
    "tags": "tags",
    "version": "versions",
    "run": "runs",
    "step": "steps",
    "targets": "targets",
    "target": "targets",
    "paths": "file",
    "builder": (*ENGINES, BUILT_IN),
    "base": ("last", "live", "change"),
}
BY_COMMAND = {
    ("rollback", "target"): "targets but groups",
    ("run-task", "target"): "targets that run tasks",
    ("outputs", "names"): "targets",
}
UNNAMED = {
    "allowed_claims",
    "attach",
    "commit",
    "container",
    "id_",
    "image",
    "interval",
    "lock_timeout",
    "message",
    "name",
    "profile",
    "retry",
    "revisions",
    "since",
    "text",
    "timeout",
    "url",
    "words",
}
"""Values that nobody has names for on this machine, or that are short to type."""


def value(parameter: click.Parameter, command: str) -> str | tuple[str, ...] | None:
    """What a parameter's value is."""
    if isinstance(parameter, click.Option) and (parameter.is_flag or parameter.count):
        return None
    if isinstance(parameter.type, click.Choice):
        return tuple(map(str, parameter.type.choices))
    name = str(parameter.name)
    if name == "target" and command.startswith("deploy-"):
        return "targets of the kind"
    of_command = BY_COMMAND.get((command, name)) or BY_METAVAR.get(parameter.metavar or "")
    return of_command or BY_NAME.get(name, "")


def commands(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, click.Command, click.Context]]:
    """Every command with its words."""
    context = click.Context(
        command, info_name=(path or ("toolkit",))[-1], help_option_names=["-h", "--help"]
    )
    command._help_option = None  # click keeps that of the first context, of whatever test
    yield " ".join(path), command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from commands(inner, (*path, name))


def table_text() -> str:
    """The whole file."""
    table = {}
    for path, command, context in commands(cli):
        options, arguments = [], []
        for parameter in command.get_params(context):
            kind = value(parameter, path)
            if isinstance(parameter, click.Option):
                names = (*parameter.opts, *parameter.secondary_opts)
                about = (parameter.help or "").replace("\n", " ").partition(". ")[0]
                options.append((names, kind, parameter.multiple, about))
            else:
                arguments.append((kind, parameter.nargs != 1))
        inner = {}
        if isinstance(command, LazyGroup):
            inner = {name: about for name, (_, about) in command.commands_by_name.items()}
        table[path] = (options, arguments, inner)
    runners = tuple(
        name
        for name in targets.KINDS
        if type(targets.kind(name)).task_runner is not Kind.task_runner
    )
    return (
        f"{HEAD}{pformat(table, width=100, sort_dicts=False)}\n\n"
        f"TASK_KINDS = {runners!r}\n"
        '"""The kinds of targets that can run a command once."""\n'
    )
