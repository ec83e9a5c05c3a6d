"""Names in the settings of checks, such as `{token}`, and what they stand for. Pure."""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

import msgspec

from toolkit.ports import debug

_NAME = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)(?:\+(\d{1,6}))?\}")

_QUOTES = re.compile(r"""[\x00-\x1f"'\\]""")

_SMALL_HEX = re.compile(r"\\u[0-9a-f]{4}")
_PERCENT = re.compile("%[0-9A-F]{2}")
_AS_GO = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&"})

DATES = ("today", "day")
"""The values that days can be added to: `{day+2}`."""
BUILT_IN = (*DATES, "now", "unix", "random", "uuid", "url", "region", "environment")
"""What every check knows besides the environment's variables."""
LEAST_INSIDE = 8
"""So many letters of base64 are looked for at least: fewer stand in other words, too."""
SHORTEST = 4
"""A captured value that is shorter is not hidden: hiding every `1` would leave no text to read."""


def _in_base64(raw: bytes) -> set[str]:
    """How bytes look in base64: by themselves, and behind others (`user:password`), there without
    what shares a group with those.
    """
    from base64 import b64encode

    forms = {b64encode(raw).decode().rstrip("=")}
    for skip in range(3):
        part = raw[skip : len(raw) - (len(raw) - skip) % 3]
        inside = b64encode(part).decode()
        if len(inside) >= LEAST_INSIDE:
            forms.add(inside)
    return forms


def names(value: Any) -> frozenset[str]:
    """The names that stand anywhere in a value. Doubled braces are plain ones."""
    if isinstance(value, str):
        return frozenset(match[1] for match in _NAME.finditer(value) if match[1])
    if isinstance(value, Mapping):
        return names(list(value.values())) | names(list(value.keys()))
    if isinstance(value, (list, tuple)):
        return frozenset[str]().union(*map(names, value))
    if isinstance(value, msgspec.Struct):
        return names(msgspec.to_builtins(value))
    return frozenset()


def misused(value: Any) -> frozenset[str]:
    """The names that days are added to and that are no days."""
    text = msgspec.json.encode(value).decode()
    matches = _NAME.finditer(text)
    return frozenset(
        match[1] for match in matches if match[1] and match[2] and match[1] not in DATES
    )


def filled(settings: Any, variables: Mapping[str, str]) -> Any:
    """The settings with every name replaced; in a JSON path so that no value ends the text that it
    stands in. Raises KeyError for an unknown name, ValueError or OverflowError for a value that
    does not fit.
    """

    def put(match: re.Match[str]) -> str:
        if not match[1]:
            return match[0][0]  # a doubled brace
        value = variables[match[1]]
        if match[2]:
            return (date.fromisoformat(value) + timedelta(days=int(match[2]))).isoformat()
        return value

    def put_into_path(match: re.Match[str]) -> str:
        return _QUOTES.sub(lambda char: f"\\u{ord(char[0]):04x}", put(match))

    def fill(value: Any) -> Any:
        if isinstance(value, str):
            return _NAME.sub(put, value)
        if isinstance(value, (list, tuple)):
            return [fill(element) for element in value]
        if not isinstance(value, dict):
            return value
        table: dict[str, Any] = {}
        for key, inner in value.items():
            insert = put_into_path if key.startswith("$") else put
            table[_NAME.sub(insert, key)] = fill(inner)
        return table

    return msgspec.convert(fill(msgspec.to_builtins(settings)), type(settings))


def generated(now: datetime, chance: Random) -> dict[str, str]:
    """The built-in values of one run. `day` is some day far ahead, so that two runs hardly ever
    want the same one.
    """
    return {
        "today": now.date().isoformat(),
        "day": (now.date() + timedelta(days=chance.randint(1_000, 100_000))).isoformat(),
        "now": now.isoformat(timespec="seconds"),
        "unix": str(int(now.timestamp())),
        "random": str(chance.randint(100_000, 999_999)),
        "uuid": (
            f"{chance.getrandbits(32):08x}-{chance.getrandbits(16):04x}-4{chance.getrandbits(12):03x}"
            f"-{chance.choice('89ab')}{chance.getrandbits(12):03x}-{chance.getrandbits(48):012x}"
        ),
    }


class Redactor:
    """Takes secret values out of texts, and puts their names in: `Bearer {token}`. Only ever
    grows.
    """

    def __init__(
        self, secrets: Mapping[str, str] | None = None, also: Callable[[str], str] = str
    ) -> None:
        """`also` takes out of a text what looks like a secret that nobody named."""
        self._values: dict[str, str] = {}
        self._also = also
        for name, value in (secrets or {}).items():
            self.hide(name, value, 1)

    def hide(self, name: str, value: str, shortest: int = SHORTEST) -> None:
        """From now on this value is written as its name, also as it stands in JSON, in a URL, in a
        page, in the name of a host, in base64, and line by line.
        """
        from html import escape
        from urllib.parse import quote, quote_plus

        plain = value.encode("utf-8", "replace").decode()
        try:
            # A variable of the environment may hold bytes that are no text.
            raw = value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raw = plain.encode()
        escaped = {quote(raw, safe=""), quote(raw), quote_plus(raw), quote(raw, safe="!'()*")}
        escaped |= {_PERCENT.sub(lambda match: match[0].lower(), form) for form in escaped}
        written = {json.dumps(plain, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
        by_php = {form.replace("/", "\\/") for form in written}
        by_go = {form.translate(_AS_GO) for form in written}
        written |= by_php | by_go
        by_java = {
            _SMALL_HEX.sub(lambda match: match[0][:2] + match[0][2:].upper(), form)
            for form in written
        }
        written |= by_java
        written |= {repr(plain)[1:-1], plain.replace("\\", "\\\\").replace("'", "\\'")}
        in_pages = {
            escape(plain),
            escape(plain, quote=False),
            escape(plain).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
        }
        forms = {
            value,
            *value.splitlines(),
            value.lower(),
            value.upper(),
            *_in_base64(raw),
            *escaped,
            *written,
            *in_pages,
        }
        with suppress(UnicodeEncodeError):
            forms.add(plain.encode("latin-1").decode("utf-8", "replace"))
        for form in forms:
            if len(form) >= shortest:
                self._values.setdefault(form, name)
                debug.hide(form)

    def over(self, text: str) -> str:
        """The text without them; longer ones first, for one may hold another."""
        for value in sorted(self._values, key=len, reverse=True):
            text = text.replace(value, f"{{{self._values[value]}}}")
        return self._also(text)
