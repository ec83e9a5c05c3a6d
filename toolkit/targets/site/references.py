"""Which files of the site does a page or a style refer to? Pure, for any text."""

import posixpath
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

_LINKED = frozenset(
    ("stylesheet", "modulepreload", "preload", "icon", "manifest", "apple-touch-icon")
)
_SOURCES = frozenset(("script", "img", "source", "video", "audio", "track", "embed", "input"))
_URL = re.compile(r"""url\(\s*+(?:"([^"]*+)"|'([^']*+)'|([^()"'\s]*+))\s*+\)""")
"""Takes back nothing that it has read, and ends at the next `url(`: the text is a stranger's."""


class _Parser(HTMLParser):
    """Collects what a page cannot do without: scripts, styles, pictures, other pages."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.references: list[str] = []
        self.base = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value}
        if tag == "base":
            self.base = self.base or values.get("href", "")
        elif tag == "link":
            rels = (values.get("rel") or "").lower().split()
            if _LINKED.intersection(rels):
                self.references.append(values.get("href", ""))
        elif tag == "a":
            # Other paths may be a program's own in the browser: only a page's name is a file's.
            if urlsplit_path(values.get("href", "")).endswith((".html", ".htm", ".pdf")):
                self.references.append(values["href"])
        elif tag in _SOURCES:
            self.references += [values.get("src", ""), values.get("poster", "")]
            self.references += _candidates(values.get("srcset", ""))


def _candidates(srcset: str) -> list[str]:
    """The addresses of a `srcset`."""
    return [part.split()[0] for part in srcset.split(",") if part.split()]


def urlsplit_path(address: str) -> str:
    """The path of an address, empty where it has none, or cannot be read."""
    try:
        return urlsplit(address).path
    except ValueError:
        return ""


def referred_keys(key: str, text: str, prefix: str) -> Iterator[str]:
    """The keys that a page or a style refers to, itself below `prefix` of the bucket. What is on
    other hosts, or outside of the site, is left out.
    """
    base = ""
    if key.lower().endswith(".css"):
        references = [
            quoted or single or plain
            for quoted, single, plain in _URL.findall(_without_comments(text))
        ]
    else:
        parser = _Parser()
        parser.feed(text)
        references, base = parser.references, parser.base
    for reference in dict.fromkeys(references):
        referred = _resolved(key, base, reference.strip(), prefix)
        if referred is not None:
            yield referred


def _without_comments(style: str) -> str:
    """A style without its comments. One that does not end goes to the end, as in browsers."""
    parts: list[str] = []
    end = 0
    while end >= 0:
        begin = style.find("/*", end)
        if begin < 0:
            parts.append(style[end:])
            break
        parts.append(style[end:begin])
        end = style.find("*/", begin + 2)
        if end >= 0:
            end += 2
    return "".join(parts)


def _resolved(key: str, base: str, reference: str, prefix: str) -> str | None:
    """The key that a reference leads to, None if it leads elsewhere."""
    try:
        parts, base_parts = urlsplit(reference), urlsplit(base)
    except ValueError:
        return None
    if parts.scheme or parts.netloc or not parts.path or base_parts.scheme or base_parts.netloc:
        return None
    path = unquote(parts.path)
    folder = posixpath.dirname(f"/{prefix}{key}")
    if base_parts.path:
        folder = posixpath.dirname(posixpath.join(folder, unquote(base_parts.path)))
    whole = posixpath.normpath(posixpath.join(folder, path)).lstrip("/")
    if path.endswith("/"):
        return None  # a folder: what answers there is the distribution's choice
    if prefix and not whole.startswith(prefix):
        # The distribution may have the folder as its root.
        if not reference.startswith("/"):
            return None
        return posixpath.normpath(path).lstrip("/")
    return whole.removeprefix(prefix)
