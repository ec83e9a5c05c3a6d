"""What to do next, as a command that means what this one meant: the same rules.toml, environment
and region. Pure.
"""

import re
from collections.abc import Sequence
from shlex import quote

from msgspec import Struct

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
"""Which options the commands have; a run that is gone on with knows its environment itself."""
# Patterns are not compiled until they are needed: `diff` seldom advises.
_UNSAID = r"(?![^`,;:]* --(?:rules|env|region)\b)"
_TYPED = r"(?s:--(?P<name>rules|env|region)(?:=(?P<value>.*))?|-e(?P<joined>.+)?)"


class SameOptions(Struct, frozen=True):
    """The options, each behind a space, that make a command mean the same; empty where it does so
    anyway.
    """

    rules: str = ""
    env: str = ""
    region: str = ""

    def __str__(self) -> str:
        return self.rules + self.env + self.region


def same_location(
    rules: Rules, named: str | None, environment: str | None, region: str | None = None
) -> SameOptions:
    """What has to be said for these rules (`named` is what --rules said), this environment, and
    this region where that has several.
    """
    there = rules.environments.get(environment) if environment else None
    return SameOptions(
        f" --rules {quote(named)}" if named else "",
        f" --env {environment}" if environment not in (None, rules.environment) else "",
        f" --region {region}" if region and there is not None and len(there.regions) > 1 else "",
    )


def as_typed(args: Sequence[str]) -> SameOptions:
    """What a command line said itself: for an error that came before anything was known of the
    rules.
    """
    said: dict[str, str] = {}
    words = iter(args)
    for word in words:
        if word == "--":
            break
        if found := re.fullmatch(_TYPED, word):
            value = found["joined"] if found["value"] is None else found["value"]
            said[found["name"] or "env"] = next(words, "") if value is None else value
    return SameOptions(
        **{name: f" --{name} {quote(value)}" for name, value in said.items() if value}
    )


def advised(text: str, same: SameOptions) -> str:
    """A text in which every command of ours means the same."""
    for names, commands in COMMANDS.items():
        said = "".join(getattr(same, name) for name in names)
        if said:
            pattern = rf"\btoolkit (?:{'|'.join(commands)})\b{_UNSAID}"
            # The options may hold backslashes: they are no template of `re`'s.
            text = re.sub(pattern, rf"\g<0>{said.replace(chr(92), chr(92) * 2)}", text)
    return text
