"""The values that every check knows, and those that nobody may see."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import islice
from random import Random
from typing import Any

from toolkit.formats.redaction import without
from toolkit.formats.variables import as_text
from toolkit.ports import debug

_SMALL_HEX = re.compile(r"\\u[0-9a-f]{4}")
_PERCENT = re.compile("%[0-9A-F]{2}")
_AS_GO = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&"})

BUILT_IN = ("today", "day", "now", "unix", "random", "uuid", "url", "region", "environment")
"""What every check knows besides the environment's variables."""
LEAST_INSIDE = 8
"""So many letters of base64 are looked for at least: fewer stand in other words, too."""
MOST_PARTS = 1000
"""So many parts of a captured list or table are hidden each for itself."""
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


def _leaves(value: Any) -> Iterator[str]:
    """The texts and numbers in a list or a table that are long enough to be hidden, each once."""
    waiting, known = [value], set[str]()
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            part = list(part.values())
        if isinstance(part, list):
            waiting += reversed(part)
        elif not isinstance(part, bool) and part is not None:
            text = as_text(part)
            if len(text) >= SHORTEST and text not in known:
                known.add(text)
                yield text


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
                self._values.setdefault(form, f"{{{name}}}")
                debug.hide(form)

    def hide_value(self, name: str, value: Any) -> None:
        """The same for a captured value, whatever its type: as JSON writes it, and of a list or a
        table each text and number in it, for an answer may show it in another way.
        """
        self.hide(name, as_text(value))
        if isinstance(value, (list, dict)):
            self.hide(name, json.dumps(value))
            self.hide(name, json.dumps(value, ensure_ascii=False))
            for part in islice(_leaves(value), MOST_PARTS):
                self.hide(name, part)

    def over(self, text: str) -> str:
        """The text without them."""
        return self._also(without(text, self._values))
