"""The question at the end of `diff`: do what is recommended, something wider, or nothing."""

import shutil
import sys
import termios
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TypeVar, cast

import questionary
from msgspec import Struct
from prompt_toolkit.key_binding import (
    KeyBindings,
    KeyBindingsBase,
    KeyPressEvent,
    merge_key_bindings,
)

from toolkit.advice import NextCommand
from toolkit.cli import clipboard, output
from toolkit.cli.clipboard import Copied
from toolkit.model import DiffResult, Plan
from toolkit.plan.build import without_options
from toolkit.plan.graph import Graph
from toolkit.show import diff as show
from toolkit.show.advice import commands_line
from toolkit.show.text import duration, line, wrapped

Value = TypeVar("Value")

COPIED = {
    Copied.YES: "Copied to the clipboard:",
    Copied.SENT: "Sent to the terminal's clipboard; if that did not work, copy it from here:",
    Copied.NO: "No clipboard can be reached from here; copy it by hand:",
}
ANSWER = 8
"""The columns of the question mark before a question, and of the answer behind it."""
WHY, COPY, NOTHING = "why", "copy", "nothing"


Commands = tuple[NextCommand, ...]
"""What is run, each only if the one before went well."""

Choice = Commands | str


class TemplateChoice(Struct, frozen=True):
    """The offer to compare templates first: the command that does it, and how many seconds that
    took the last time, 0 where nobody knows.
    """

    command: NextCommand
    seconds: float = 0.0


def choices(
    result: DiffResult, templates: TemplateChoice | None = None
) -> list[tuple[str, Choice]]:
    """What can be chosen, as label and value: commands stand for themselves, the recommended one
    first. What deploys the same is offered once.
    """
    plan, graph = result.plan, Graph(result.rules.targets)
    by_hand = frozenset(result.instructions)
    commands: dict[Commands, int] = {}
    offered = [frozenset[str]()]
    for candidate in (_first_plan(result), plan):
        deploys = _leaves((step.target for step in candidate.steps), graph) - by_hand
        if not candidate.steps or deploys not in offered:
            commands[candidate.commands] = candidate.estimate_s
            offered.append(deploys)
    if any(offered):  # what only a person can do is not done by deploying more
        for command, names, estimate in wider(result, graph):
            deploys = _leaves(names, graph) - by_hand
            if deploys not in offered:
                commands[(command,)] = estimate
                offered.append(deploys)
    shown = {several: commands_line(several, result.same) for several in commands}
    width = max(map(len, shown.values()), default=0)
    labels: list[tuple[str, Choice]] = [
        (f"{shown[several]:<{width}}  {_about(estimate)}".rstrip(), several)
        for several, estimate in commands.items()
    ]
    if templates is not None:
        took = ""
        if templates.seconds:
            took = f" (took {duration(round(templates.seconds) or 1)})"
        labels.append((f"compare the templates first{took}", (templates.command,)))
    if plan.steps:
        labels += [("show why", WHY), ("copy the command", COPY)]
    return [*labels, ("nothing", NOTHING)]


def _first_plan(result: DiffResult) -> Plan:
    """What is recommended: where much is unknown, what the changes themselves call for."""
    if result.first is not None and result.first.steps:
        return result.first
    return result.plan


def wider(result: DiffResult, graph: Graph) -> list[tuple[NextCommand, list[str], int]]:
    """The groups that cover every step, and everything: command, targets and seconds."""
    due = {step.target for step in result.plan.steps}
    by_hand = frozenset(result.instructions)
    commands: list[tuple[NextCommand, list[str], int]] = []
    for name, members in result.covered.items():
        if due < members:
            without = without_options(graph.leaves(name), by_hand, graph)
            command = NextCommand("deploy", (name,), without)
            commands.append((command, [name], graph.estimate([name])))
    everything = list(result.rules.targets)
    without = without_options(_leaves(everything, graph), by_hand, graph)
    command = NextCommand("deploy", options=("--all", *without))
    return [*commands, (command, everything, result.plan.full_estimate_s)]


def _leaves(names: Iterable[str], graph: Graph) -> frozenset[str]:
    """These targets, groups written out."""
    return frozenset[str]().union(*(graph.leaves(name) for name in names))


def offer(result: DiffResult, templates: TemplateChoice | None = None) -> Commands:
    """Ask, and return the commands that are to be run, if any. Ctrl-C raises KeyboardInterrupt."""
    while True:
        chosen = pick("What now?", choices(result, templates))
        if not isinstance(chosen, str):
            return chosen
        if chosen == NOTHING:
            return ()
        if chosen == COPY:
            _copy(show.recommendation(_first_plan(result), result.same))
            return ()
        output.say("\n".join(show.why(result)))


def confirm(question: str, default: bool) -> bool:
    """Yes or no; anything else is asked again. Ctrl-C, Ctrl-D and Escape raise KeyboardInterrupt.

    What was typed before the question could be read does not count as an answer.
    """
    with suppress(OSError, termios.error):
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
    text = _wrapped(question + (" (Y/n)" if default else " (y/N)"))
    while True:
        answer = str(_answer(questionary.text(text))).strip().lower()
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
    return str(_answer(questionary.text(_wrapped(question)))).strip() == word


def text(question: str) -> str:
    """What the person types, perhaps nothing. Ctrl-C, Ctrl-D and Escape raise KeyboardInterrupt."""
    return str(_answer(questionary.text(_wrapped(question)))).strip()


def _wrapped(question: str) -> str:
    """A question in lines that end between words, with room for the answer behind the last one."""
    return "\n".join(wrapped(line(question), shutil.get_terminal_size().columns - ANSWER))


def pick(question: str, labels: Sequence[tuple[str, Value]], preset: Value | None = None) -> Value:
    """One of the values, by its label; `preset` is chosen by Enter alone, else the first one.
    Ctrl-C, Ctrl-D and Escape raise KeyboardInterrupt.
    """
    offered = [questionary.Choice(line(label), value) for label, value in labels]
    first = next((choice for choice in offered if choice.value == preset), None)
    select = questionary.select(question, offered, first, instruction="(arrow keys, Enter)")
    return cast(Value, _answer(select))


def _answer(question: questionary.Question) -> object:
    """The answer. Every question can be left in the same ways."""
    leave = KeyBindings()

    @leave.add("c-d", eager=True)
    @leave.add("escape")
    def _(event: KeyPressEvent) -> None:
        event.app.exit(exception=KeyboardInterrupt, style="class:aborting")

    bindings: list[KeyBindingsBase] = [leave]
    if question.application.key_bindings:
        bindings.insert(0, question.application.key_bindings)
    question.application.key_bindings = merge_key_bindings(bindings)
    return question.unsafe_ask()


def _copy(command: str) -> None:
    """Copy the command, and show it, or say that it has to be copied by hand."""
    output.note(COPIED[clipboard.copy(command)])
    output.say(command)


def _about(estimate: int) -> str:
    return f"about {duration(estimate)}" if estimate else ""
