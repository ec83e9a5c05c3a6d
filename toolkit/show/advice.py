"""Next commands as text. All that is printed about what to do next is rendered here, once: quoted
for a shell, and with the options that make it act where the command that prints it did.
"""

from collections.abc import Callable
from shlex import quote
from typing import Final

from toolkit.advice import Advice, Command, NextCommand, SameOptions, ShellCommand, advice_parts
from toolkit.show.text import line, wrapped

_EVERYWHERE: Final = ("rules", "env", "region")
_ONE_RECORD: Final = ("rules", "env")

SAME_OPTIONS: dict[str, tuple[str, ...]] = {
    "deploy": _EVERYWHERE,
    "deploy-app": _EVERYWHERE,
    "deploy-stack": _EVERYWHERE,
    "deploy-function": _EVERYWHERE,
    "deploy-site": _EVERYWHERE,
    "rollback": _EVERYWHERE,
    "health": _EVERYWHERE,
    "health-check": _EVERYWHERE,
    "smoke-test": _EVERYWHERE,
    "permissions": _EVERYWHERE,
    "outputs": _EVERYWHERE,
    "tail": _EVERYWHERE,
    "run-task": _EVERYWHERE,
    "diff": _ONE_RECORD,
    "lock show": _ONE_RECORD,
    "lock release": _ONE_RECORD,
    "record show": _ONE_RECORD,
    "record set": _ONE_RECORD,
    "record repair": _ONE_RECORD,
    "resume": ("rules",),
    "history": ("rules",),
    "show": ("rules",),
    "logs": ("rules",),
    "explain": _ONE_RECORD,
    "rules check": ("rules",),
    "rules match": ("rules",),
    "rules observe": _ONE_RECORD,
    "rules replay": ("rules",),
    "doctor": _EVERYWHERE,
}
"""Which options of SameOptions a command is told. A run knows its environment and region itself,
and history is shown of all of them.
"""

NO_OPTIONS = SameOptions()

_WITHOUT_REGION = (["sso"], ["login"], ["configure"])
"""Commands of the AWS CLI that sign in or set it up: they act in no region, and their advice says
the profile.
"""


_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 %+,-./=@_{}()~")


def command_line(command: Command, same: SameOptions = NO_OPTIONS) -> str:
    """A command as a shell reads it."""
    return _rendered(command, same, quote)


def commands_line(commands: tuple[NextCommand, ...], same: SameOptions = NO_OPTIONS) -> str:
    """Several commands, each of which runs only if the one before it went well."""
    return " && ".join(command_line(command, same) for command in commands)


def shown_command(command: Command, same: SameOptions = NO_OPTIONS) -> str:
    """The same for a terminal: no word of it moves a cursor or forges a line."""
    return line(_rendered(command, same, _shown_word))


def sentence(advice: Advice, same: SameOptions = NO_OPTIONS) -> str:
    """An advice in one line, for programs."""
    text = ""
    for part in advice_parts(advice):
        if not isinstance(part, str):
            command = command_line(part, same)
            # Where words lead to it without a colon, it would read as one of them.
            part = f"`{command}`" if text and not text.endswith((":", ";", "(")) else command
        text = _continued(text, part)
    return text


def advice_lines(
    advice: Advice, same: SameOptions = NO_OPTIONS, width: int = 0, before: str = "hint: "
) -> list[str]:
    """An advice for a terminal. Each command stands whole on a line of its own, so that it can be
    pasted; words are wrapped where there is a `width`.
    """
    indent = " " * (len(before) - len(before.lstrip(" ")))
    parts, shown = _joined_words(advice), list[str]()
    for index, part in enumerate(parts):
        if not isinstance(part, str):
            if not shown and before.strip():
                shown.append(before.rstrip())
            shown.append(f"{indent}  {shown_command(part, same)}")
        elif words := line(part).strip(" ,;.?()"):
            if words == "and":  # the next command stands right below
                continue
            leads = index + 1 < len(parts) and words != "or" and words[-1] != ":"
            text = f"{indent if shown else before}{words if index else line(part)}"
            text = f"{text.rstrip(' (')}:" if leads else text
            shown += wrapped(text, width, f"{indent}  ") if width else [text]
    return shown


def _continued(text: str, part: str) -> str:
    if not text or text.endswith("(") or part[:1] in (",", ";", ".", "?", ")"):
        return text + part
    return f"{text} {part}"


def _joined_words(advice: Advice) -> list[str | Command]:
    """The parts of an advice, no two of which are words."""
    parts = list[str | Command]()
    for part in advice_parts(advice):
        if parts and isinstance(part, str) and isinstance(parts[-1], str):
            parts[-1] = _continued(parts[-1], part)
        else:
            parts.append(part)
    return parts


def command_words(command: NextCommand, same: SameOptions = NO_OPTIONS) -> list[str]:
    """The words of a command, as a program is given them."""
    options = list(command.options)
    for name in SAME_OPTIONS.get(command.command, ()):
        value = getattr(same, name)
        if value is not None and f"--{name}" not in options:
            options += (f"--{name}", value)
    beginning = command.command.split()
    if any(argument.startswith("-") for argument in command.arguments):
        return [*beginning, *options, "--", *command.arguments]
    return [*beginning, *command.arguments, *options]


def _aws_options(command: ShellCommand, same: SameOptions) -> list[str]:
    """The options that make a command of the AWS CLI act where the command that prints it did."""
    beginning = command.line.split()
    if beginning[:1] != ["aws"] or beginning[1:2] in _WITHOUT_REGION:
        return []
    options = list[str]()
    for name, value in zip(same.aws[::2], same.aws[1::2], strict=True):
        if name not in beginning and name not in command.words:
            options += (name, value)
    return options


def _rendered(command: Command, same: SameOptions, quoted: Callable[[str], str]) -> str:
    if isinstance(command, ShellCommand):
        words = [*map(quoted, command.words), *map(quoted, _aws_options(command, same))]
        text, *rest = command.line.split("{}")
        for part in rest:
            text += (words.pop(0) if words else "{}") + part
        return " ".join((text, *words))
    return " ".join(("toolkit", *map(quoted, command_words(command, same))))


def _shown_word(word: str) -> str:
    if line(word) == word:
        return quote(word)
    return "$'" + "".join(map(_escaped, word)) + "'"


def _escaped(char: str) -> str:
    """A character between `$'` and `'`, as bash, ksh and zsh read it."""
    code = ord(char)
    if char in _PLAIN:
        return char
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
