"""Next commands with the same rules.toml, environment and region as the command that prints them.
Pure.
"""

import re
from collections.abc import Sequence
from shlex import quote

from msgspec import Struct
from msgspec.structs import replace

from toolkit.model import Rules

COMMANDS = {
    ("rules", "env", "region"): (
        "deploy-app",
        "deploy-stack",
        "deploy",
        "rollback",
        "health",
        "smoke-test",
        "permissions",
    ),
    ("rules", "env"): (
        "diff",
        "lock show",
        "lock release",
        "record show",
        "record set",
        "record repair",
    ),
    ("rules",): ("resume", "history", "show", "logs", "explain", "rules check"),
}
"""Which options the commands have; a resumed run knows its environment itself."""
# Patterns are not compiled until they are needed: `diff` seldom advises.
_UNSAID = r"(?![^`,;:]* --(?:rules|env|region)\b)"
_TYPED = r"(?s:--(?P<name>rules|env|region)(?:=(?P<value>.*))?|-e(?P<joined>.+)?)"


class SameOptions(Struct, frozen=True):
    """The options, each after a space, that a command needs to act on the same rules, environment
    and region; empty where it does so without.
    """

    rules: str = ""
    env: str = ""
    region: str = ""

    def __str__(self) -> str:
        return self.rules + self.env + self.region


def same_options(
    rules: Rules, named: str | None, environment: str | None, region: str | None = None
) -> SameOptions:
    """The options for these rules (`named` is the value of --rules), this environment, and this
    region where the environment has several.
    """
    same = SameOptions()
    if named:
        same = replace(same, rules=f" --rules {quote(named)}")
    if environment not in (None, rules.environment):
        same = replace(same, env=f" --env {environment}")
    settings = rules.environments.get(environment or "")
    if region and settings is not None and len(settings.regions) > 1:
        same = replace(same, region=f" --region {region}")
    return same


def typed_options(args: Sequence[str]) -> SameOptions:
    """The options as they stand on a command line: for an error that came before rules.toml was
    read.
    """
    options: dict[str, str] = {}
    words = iter(args)
    for word in words:
        if word == "--":
            break
        match = re.fullmatch(_TYPED, word)
        if match is None:
            continue
        value = match["value"]
        if value is None:
            value = match["joined"]
        if value is None:  # `--env dev` and `-e dev`: the value is the next word
            value = next(words, "")
        options[match["name"] or "env"] = value
    return SameOptions(
        **{name: f" --{name} {quote(value)}" for name, value in options.items() if value}
    )


def with_options(text: str, same: SameOptions) -> str:
    """A text in which every command of ours has these options."""
    for names, commands in COMMANDS.items():
        options = "".join(getattr(same, name) for name in names)
        if options:
            pattern = rf"\btoolkit (?:{'|'.join(commands)})\b{_UNSAID}"
            # The options may hold backslashes: they are no template of `re`'s.
            text = re.sub(pattern, rf"\g<0>{options.replace(chr(92), chr(92) * 2)}", text)
    return text
