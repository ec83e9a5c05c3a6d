"""With which headers does a file of a site stand in the bucket? Pure."""

import posixpath
import re
from collections.abc import Mapping, Sequence

from toolkit.errors import Refused
from toolkit.formats import glob
from toolkit.targets.site.manifest import Headers
from toolkit.targets.site.settings import HeaderRule

IMMUTABLE = "public, max-age=31536000, immutable"
SHORT = "public, max-age=60"
"""Of a file whose name says nothing of its content. A bad one is in browsers for that long."""
REVALIDATED = "no-cache"
"""Of what leads to everything else: pages, service workers, web manifests."""

_TYPES = {
    "7z": "application/x-7z-compressed",
    "aac": "audio/aac",
    "apng": "image/apng",
    "atom": "application/atom+xml",
    "avif": "image/avif",
    "bmp": "image/bmp",
    "cjs": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "eot": "application/vnd.ms-fontobject",
    "flac": "audio/flac",
    "gif": "image/gif",
    "glb": "model/gltf-binary",
    "gltf": "model/gltf+json",
    "gz": "application/gzip",
    "htm": "text/html; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "ico": "image/x-icon",
    "ics": "text/calendar; charset=utf-8",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "jsonld": "application/ld+json",
    "jxl": "image/jxl",
    "map": "application/json",
    "md": "text/markdown; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "mov": "video/quicktime",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "oga": "audio/ogg",
    "ogg": "audio/ogg",
    "ogv": "video/ogg",
    "opus": "audio/ogg",
    "otf": "font/otf",
    "pdf": "application/pdf",
    "png": "image/png",
    "rss": "application/rss+xml",
    "svg": "image/svg+xml",
    "tar": "application/x-tar",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "ttf": "font/ttf",
    "txt": "text/plain; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
    "wasm": "application/wasm",
    "wav": "audio/wav",
    "weba": "audio/webm",
    "webm": "video/webm",
    "webmanifest": "application/manifest+json",
    "webp": "image/webp",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "xhtml": "application/xhtml+xml",
    "xml": "application/xml",
    "zip": "application/zip",
}
_ALWAYS_ASKED = re.compile(
    r"(?:.*/)?(?:manifest\.json|[^/]*\.webmanifest|"
    r"(?:[\w.-]*-)?(?:sw|service-?worker)(?:[.-][\w-]+)?\.m?js|"
    r"(?:firebase-messaging-sw|ngsw|ngsw-worker|safety-worker|worker-basic\.min)\.js(?:on)?|"
    r"version\.json|robots\.txt|sitemap[\w.-]*\.xml)",
    re.IGNORECASE,
)
"""What browsers ask for by a fixed name, to find out whether there is something new."""


def is_page(key: str) -> bool:
    """Whether a file is a page of HTML."""
    return key.lower().endswith((".html", ".htm", ".xhtml"))


def is_always_asked(key: str) -> bool:
    """Whether no cache may keep a file without asking, whatever its name and the bundler say."""
    return is_page(key) or _ALWAYS_ASKED.fullmatch(key) is not None


def content_type(key: str) -> str:
    """The Content-Type of a file by the end of its name."""
    extension = posixpath.splitext(key)[1][1:].lower()
    if extension in _TYPES:
        return _TYPES[extension]
    if key.startswith(".well-known/") and not extension:
        return "application/json"
    return "application/octet-stream"


class HeaderChooser:
    """Chooses headers. `hashed` are the keys whose names hold a hash of their content."""

    def __init__(self, rules: Sequence[HeaderRule], hashed: frozenset[str]) -> None:
        self._rules = [(re.compile(_pattern(rule.match)), rule) for rule in rules]
        self._hashed = hashed

    def is_immutable(self, key: str) -> bool:
        """Whether no other content is ever put under that name."""
        return key in self._hashed and not is_always_asked(key)

    def headers(self, key: str) -> Headers:
        """The headers of a file. Raises Refused where rules.toml wants a page kept for ever."""
        is_asked = is_always_asked(key)
        cache = SHORT
        if is_asked:
            cache = REVALIDATED
        elif key in self._hashed:
            cache = IMMUTABLE
        chosen: dict[str, str] = {"ContentType": content_type(key), "CacheControl": cache}
        for pattern, rule in self._rules:
            if pattern.fullmatch(key):
                chosen |= _fields(rule)
        if is_asked and "immutable" in chosen["CacheControl"]:
            raise Refused(
                f"{key} must not be immutable: browsers would never ask for a new one",
                "correct `headers` of the target in rules.toml",
            )
        return tuple(sorted(chosen.items()))


def _fields(rule: HeaderRule) -> Mapping[str, str]:
    named = {
        "CacheControl": rule.cache,
        "ContentType": rule.type,
        "ContentEncoding": rule.encoding,
        "ContentDisposition": rule.disposition,
    }
    return {name: value for name, value in named.items() if value is not None}


def _pattern(text: str) -> str:
    return "|".join(glob.regex(plain) for plain in glob.alternatives(text))


def pattern_problem(text: str) -> str | None:
    """What is wrong with a pattern, None if nothing is."""
    try:
        glob.alternatives(text)
    except glob.PatternError as problem:
        return str(problem)
    return None
