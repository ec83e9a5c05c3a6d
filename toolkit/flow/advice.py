"""What to do next, as a command that means what this one meant: the same rules.toml, environment and region. Pure."""

import re
from collections.abc import Sequence
from shlex import quote

from msgspec import Struct

from toolkit.model import Rules

# Not compiled until they are needed: `diff` seldom advises.
_ACTING = (
    r"\btoolkit (?:deploy-app|deploy-stack|deploy|rollback|health|smoke-test|diff|permissions|lock show|lock release)\b"
    r"(?![^`,;:]* --(?:rules|env|region)\b)"
)
_FINDING = r"\btoolkit (?:resume|history|show|logs|explain|rules check)\b(?![^`,;:]* --rules\b)"
"""A run knows its environment; what has to be found is the project that it belongs to."""
_TYPED = r"(?s:--(?P<name>rules|env|region)(?:=(?P<value>.*))?|-e(?P<joined>.+)?)"


class Same(Struct, frozen=True):
    """The options, each behind a space, that make a command mean the same; empty where it does so anyway."""

    rules: str = ""
    place: str = ""

    def __str__(self) -> str:
        return self.rules + self.place


def same_place(rules: Rules, named: str | None, environment: str | None, region: str | None = None) -> Same:
    """What has to be said for these rules (`named` is what --rules said), this environment, and this region where that has several."""
    there = rules.environments.get(environment) if environment else None
    return Same(
        f" --rules {quote(named)}" if named else "",
        (f" --env {environment}" if environment not in (None, rules.environment) else "")
        + (f" --region {region}" if region and there is not None and len(there.regions) > 1 else ""),
    )


def as_typed(args: Sequence[str]) -> Same:
    """What a command line said itself: for an error that came before anything was known of the rules."""
    said: dict[str, str] = {}
    words = iter(args)
    for word in words:
        if word == "--":
            break
        if found := re.fullmatch(_TYPED, word):
            value = found["joined"] if found["value"] is None else found["value"]
            said[found["name"] or "env"] = next(words, "") if value is None else value
    place = "".join(f" --{name} {quote(said[name])}" for name in ("env", "region") if said.get(name))
    return Same(f" --rules {quote(said['rules'])}" if said.get("rules") else "", place)


def advised(text: str, same: Same) -> str:
    """A text in which every command of ours means the same."""
    text = re.sub(_ACTING, lambda found: f"{found[0]}{same}", text) if str(same) else text
    return re.sub(_FINDING, lambda found: found[0] + same.rules, text) if same.rules else text
