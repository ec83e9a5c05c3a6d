"""The text and the JSON in an answer, by what it says of its characters. Pure."""

import json
import re
from typing import Any

from msgspec import UNSET

_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
"""Byte order marks, the longer ones first where one begins as another does."""
_PARAMETER = re.compile(r""";\s*charset\s*=\s*["']?([A-Za-z0-9._:-]{1,40})""", re.IGNORECASE)
_CHARSETS = {
    "utf8": "utf-8",
    "utf16": "utf-16-le",
    "utf16le": "utf-16-le",
    "utf16be": "utf-16-be",
    "usascii": "cp1252",
    "ascii": "cp1252",
    "iso88591": "cp1252",
    "latin1": "cp1252",
    "iso88599": "cp1254",
    "koi8r": "koi8-r",
    "koi8u": "koi8-u",
    "macintosh": "mac-roman",
    "ibm866": "cp866",
    "windows874": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "gb18030": "gb18030",
    "big5": "big5hkscs",
    "eucjp": "euc-jp",
    "iso2022jp": "iso2022-jp",
    "shiftjis": "cp932",
    "euckr": "cp949",
}
"""The charsets of the web, read as browsers do; no other codec of Python's is used, for some of
them are not about characters, and some take long.
"""
_NUMBERED = re.compile(r"(?:iso8859(\d{1,2})|(?:windows|cp)(125[0-8]))")


def text(body: bytes, content_type: str = "") -> str:
    """A body as text: by its byte order mark, else its charset, else UTF-8."""
    for mark, charset in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(charset, "replace")
    return body.decode(_charset(content_type), "replace")


def parsed(body: bytes, content_type: str = "") -> Any:
    """The JSON in a body, UNSET if it is none (or nested without end). JSON is UTF-8; what is not
    goes by its charset.
    """
    try:
        return json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(text(body, content_type))
    except (ValueError, RecursionError):
        return UNSET


def _charset(content_type: str) -> str:
    match = _PARAMETER.search(content_type)
    if match is None:
        return "utf-8"
    name = re.sub("[^a-z0-9]", "", match[1].lower())
    numbered = _NUMBERED.fullmatch(name)
    if numbered is None:
        return _CHARSETS.get(name, "utf-8")
    if name in _CHARSETS:
        return _CHARSETS[name]
    iso, windows = numbered.groups()
    if windows:
        return f"cp{windows}"
    return f"iso8859-{iso}" if 2 <= int(iso) <= 16 and iso != "12" else "utf-8"
