"""The question at the end of `diff`: do what is recommended, something wider, or nothing."""

import sys
from base64 import b64encode

import questionary
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent, merge_key_bindings

from toolkit.cli import output
from toolkit.model import Answer
from toolkit.plan.graph import Graph
from toolkit.show import answer as show
from toolkit.show.text import duration, line

WHY, COPY, NOTHING = "why", "copy", "nothing"


def choices(found: Answer) -> list[tuple[str, str]]:
    """What can be chosen, as label and value: commands stand for themselves, the recommended one first."""
    plan = found.plan
    commands = {plan.recommendation: plan.estimate_s} if not plan.recommendation.startswith("by hand") else {}
    if plan.steps:
        commands |= {command: estimate for command, estimate in wider(found) if command not in commands}
    width = max((len(command) for command in commands), default=0)
    labels = [(f"{command:<{width}}  {_about(estimate)}".rstrip(), command) for command, estimate in commands.items()]
    more = [("show why", WHY), ("copy the command", COPY)] if plan.steps else []
    return [*labels, *more, ("nothing", NOTHING)]


def wider(found: Answer) -> list[tuple[str, int]]:
    """The groups that cover every step, and everything: command and seconds."""
    due = {step.target for step in found.plan.steps}
    groups = [name for name, inside in found.covered.items() if due < inside]
    graph = Graph(found.rules.targets)
    options = found.options
    return [
        *((f"toolkit deploy {name}{options}", graph.estimate([name])) for name in groups),
        (f"toolkit deploy --all{options}", found.plan.full_estimate_s),
    ]


def offer(found: Answer) -> int:
    """Ask, and do what was chosen. The exit code. Ctrl-C raises KeyboardInterrupt."""
    while True:
        chosen = _ask([questionary.Choice(line(label), value) for label, value in choices(found)])
        if chosen == NOTHING:
            return 0
        if chosen == WHY:
            output.say("\n".join(show.why(found)))
        elif chosen == COPY:
            _copy(found.plan.recommendation)
            return 0
        else:
            output.say(chosen)
            output.note("toolkit cannot deploy yet; run this once it can, or do by hand what it names")
            return 0


def _ask(offered: list[questionary.Choice]) -> str:
    """What was chosen. Ctrl-C, Ctrl-D and Escape raise KeyboardInterrupt."""
    question = questionary.select("What now?", offered, instruction="(arrow keys, Enter)")
    leave = KeyBindings()

    @leave.add("c-d", eager=True)
    @leave.add("escape")
    def _(event: KeyPressEvent) -> None:
        event.app.exit(exception=KeyboardInterrupt, style="class:aborting")

    bindings = question.application.key_bindings
    question.application.key_bindings = merge_key_bindings([bindings, leave] if bindings else [leave])
    return str(question.unsafe_ask())


def _copy(command: str) -> None:
    """Hand the command to the terminal's clipboard (OSC 52), and show it for terminals that have none."""
    sys.stdout.write(f"\x1b]52;c;{b64encode(command.encode()).decode()}\x07")
    output.say(command)


def _about(estimate: int) -> str:
    return f"about {duration(estimate)}" if estimate else ""
