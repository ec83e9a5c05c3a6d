"""The question at the end of `diff`: do what is recommended, something wider, or nothing."""

import sys
import termios
from base64 import b64encode
from collections.abc import Iterable
from contextlib import suppress

import questionary
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent, merge_key_bindings

from toolkit.cli import output
from toolkit.model import DiffResult
from toolkit.plan.build import without
from toolkit.plan.graph import Graph
from toolkit.show import answer as show
from toolkit.show.text import duration, line

WHY, COPY, NOTHING = "why", "copy", "nothing"


def choices(found: DiffResult) -> list[tuple[str, str]]:
    """What can be chosen, as label and value: commands stand for themselves, the recommended one
    first. What deploys the same is offered once.
    """
    plan, graph = found.plan, Graph(found.rules.targets)
    by_hand = frozenset(found.instructions)
    commands: dict[str, int] = {}
    known = [frozenset[str]()]
    first = found.first if found.first is not None and found.first.steps else plan
    for offered in (first, plan):
        deploys = _leaves((step.target for step in offered.steps), graph) - by_hand
        if not offered.steps or deploys not in known:
            commands[offered.recommendation] = offered.estimate_s
            known.append(deploys)
    is_due = any(known)  # what only a person can do is not done by deploying more
    for command, names, estimate in wider(found, graph) if is_due else ():
        deploys = _leaves(names, graph) - by_hand
        if deploys not in known:
            commands[command] = estimate
            known.append(deploys)
    width = max((len(command) for command in commands), default=0)
    labels = [
        (f"{command:<{width}}  {_about(estimate)}".rstrip(), command)
        for command, estimate in commands.items()
    ]
    more = [("show why", WHY), ("copy the command", COPY)] if plan.steps else []
    return [*labels, *more, ("nothing", NOTHING)]


def wider(found: DiffResult, graph: Graph) -> list[tuple[str, list[str], int]]:
    """The groups that cover every step, and everything: command, targets and seconds."""
    due = {step.target for step in found.plan.steps}
    groups = [name for name, inside in found.covered.items() if due < inside]
    everything = list(found.rules.targets)
    by_hand, options = frozenset(found.instructions), found.options
    return [
        *(
            (
                f"toolkit deploy {name}{without(graph.leaves(name), by_hand, graph)}{options}",
                [name],
                graph.estimate([name]),
            )
            for name in groups
        ),
        (
            f"toolkit deploy --all{without(_leaves(everything, graph), by_hand, graph)}{options}",
            everything,
            found.plan.full_estimate_s,
        ),
    ]


def _leaves(names: Iterable[str], graph: Graph) -> frozenset[str]:
    """These targets, groups written out."""
    return frozenset[str]().union(*(graph.leaves(name) for name in names))


def offer(found: DiffResult) -> str | None:
    """Ask, and return the command that is to be run, None for none. Ctrl-C raises
    KeyboardInterrupt.
    """
    plan = found.plan
    while True:
        chosen = pick("What now?", choices(found))
        if chosen == NOTHING:
            return None
        if chosen == WHY:
            output.say("\n".join(show.why(found)))
        elif chosen == COPY:
            _copy((found.first if found.first and found.first.steps else plan).recommendation)
            return None
        else:
            return chosen


def confirm(question: str, default: bool) -> bool:
    """Yes or no; anything else is asked again. Ctrl-C, Ctrl-D and Escape raise KeyboardInterrupt.

    What was typed before the question could be read is no answer to it.
    """
    with suppress(OSError, termios.error):
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
    text = f"{line(question)} ({'Y/n' if default else 'y/N'})"
    while True:
        answer = str(_answered(questionary.text(text))).strip().lower()
        if answer in ("y", "yes"):
            return True
        if answer in ("n", "no"):
            return False
        if not answer:
            return default


def typed(question: str, word: str) -> bool:
    """Whether the person types this very word. Ctrl-C, Ctrl-D and Escape raise
    KeyboardInterrupt.
    """
    return str(_answered(questionary.text(line(question)))).strip() == word


def pick(question: str, labels: list[tuple[str, str]]) -> str:
    """One of the values, by its label. Ctrl-C, Ctrl-D and Escape raise KeyboardInterrupt."""
    return _ask(question, [questionary.Choice(line(label), value) for label, value in labels])


def _ask(question: str, offered: list[questionary.Choice]) -> str:
    """What was chosen. Ctrl-C, Ctrl-D and Escape raise KeyboardInterrupt."""
    return str(_answered(questionary.select(question, offered, instruction="(arrow keys, Enter)")))


def _answered(asked: questionary.Question) -> object:
    """The answer. Every question can be left in the same ways."""
    leave = KeyBindings()

    @leave.add("c-d", eager=True)
    @leave.add("escape")
    def _(event: KeyPressEvent) -> None:
        event.app.exit(exception=KeyboardInterrupt, style="class:aborting")

    bindings = asked.application.key_bindings
    asked.application.key_bindings = merge_key_bindings([bindings, leave] if bindings else [leave])
    return asked.unsafe_ask()


def _copy(command: str) -> None:
    """Hand the command to the terminal's clipboard (OSC 52), and show it for terminals that have
    none.
    """
    sys.stdout.write(f"\x1b]52;c;{b64encode(command.encode()).decode()}\x07")
    output.say(command)


def _about(estimate: int) -> str:
    return f"about {duration(estimate)}" if estimate else ""
