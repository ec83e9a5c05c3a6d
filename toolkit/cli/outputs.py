"""`toolkit outputs`: the addresses and other outputs of what runs."""

from typing import Any

import click
from msgspec.structs import replace

from toolkit.cli import account, options, output, progress
from toolkit.cli.ports import open_ports
from toolkit.cli.redaction import redactor
from toolkit.errors import Refused
from toolkit.exits import EXIT_MEANINGS, Exit
from toolkit.flow import outputs as flow
from toolkit.operations import TargetOutputs
from toolkit.show import outputs as show
from toolkit.show.text import line

EPILOG = f"""\b
Examples:
  toolkit outputs                   the outputs of all targets
  toolkit outputs api web           of these
  API=$(toolkit outputs -q api.Url) just a value, for a script

A stack shows the outputs that its `outputs` in rules.toml names, an app its health addresses, a
site its address. It changes nothing. Exit codes: 0 all were read, 1 something is unknown,
7 {EXIT_MEANINGS[Exit.CREDENTIALS]}, and nothing else is wrong. With -q, either all values are
printed or none."""


@click.command("outputs", epilog=EPILOG)
@click.argument("names", nargs=-1, metavar="[TARGET[.OUTPUT]]...")
@click.option(
    "--timeout", metavar="TIME", default="20s", show_default=True, help="Overall deadline."
)
@options.common
@options.environment
@options.profile
@options.region
@options.allowed
@options.as_json
@click.option("-q", "--quiet", is_flag=True, help="Print only the values, one per line.")
@options.color
@click.pass_context
def outputs(
    ctx: click.Context,
    /,
    names: tuple[str, ...],
    timeout: str,
    as_json: bool,
    quiet: bool,
    **values: Any,
) -> int:
    """Show the addresses and other outputs of what runs.

    They are read from what is deployed now, not from the record.
    """
    redact = redactor()
    request = flow.OutputsRequest(
        **options.project_fields(ctx, values),
        names=names,
        timeout_s=options.time("--timeout", timeout),
        redact=redact,
    )
    git = options.repository(request.folder)
    ports = open_ports(git, request.folder)
    rules = account.trusted_rules(request, git, ports, silent=quiet or as_json)
    with progress.checking(quiet or as_json):
        result = flow.read_outputs(request, rules, ports)
    if quiet:
        return _say_values(result)
    answers = [_redacted(answer) for answer in result.answers]
    if as_json:
        return output.document(show.document(result.environment, answers, result.exit, result.same))
    output.say(show.text(result.jobs, answers, result.same, output.width()))
    return int(result.exit)


def _redacted(answer: TargetOutputs) -> TargetOutputs:
    redact = redactor()
    return replace(answer, outputs={name: redact(value) for name, value in answer.outputs.items()})


def _say_values(result: flow.OutputsResult) -> int:
    """Print the values for a script: all of them as they are, or none. Raises Refused."""
    for answer in result.answers:
        if answer.problem:
            output.note(f"error: {line(answer.name)} is unknown: {line(answer.problem)}")
            output.note_advice(answer.next, result.same)
    if result.exit:
        return int(result.exit)
    values: list[str] = []
    for answer in result.answers:
        shown = _redacted(answer).outputs
        for name, value in answer.outputs.items():
            if line(shown[name]) != value:
                # A script must not take what was replaced for the value.
                raise Refused(
                    f"{answer.name}.{name} is not printed: it looks like a secret, or has"
                    " characters that no terminal should get",
                    "read it with the AWS CLI",
                )
            values.append(value)
    for value in values:
        output.say(value)
    return 0
