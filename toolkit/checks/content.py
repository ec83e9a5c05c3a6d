"""What an HTTP check sends: its address with the query, headers, and content. Pure."""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

from msgspec import Meta, Struct

from toolkit.checks.base import FileName
from toolkit.errors import ProbeRefused

ContentType = Annotated[str, Meta(pattern=r"^[\w.+-]+/[\w.+-]+(?:; ?[\w.+-]+=[\w.+-]+)*$(?!\n)")]
Fields = Mapping[str, str | tuple[str, ...]]
_TYPES = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".pdf": "application/pdf",
    ".txt": "text/plain; charset=utf-8",
    ".xml": "application/xml",
}
"""The types of files by how their names end. Python's own list depends on the machine."""
_ENDING = re.compile(r"\.[A-Za-z0-9]+$")


class Basic(Struct, frozen=True, forbid_unknown_fields=True):
    """A user and a password, sent as HTTP's basic authentication."""

    user: Annotated[str, Meta(description="The name of the user.")]
    password: Annotated[
        str, Meta(description="The password, such as `{password}`, the name of a secret.")
    ]


class FilePart(Struct, frozen=True, forbid_unknown_fields=True):
    """A file of a multipart form."""

    file: Annotated[FileName, Meta(description="The file to send.")]
    name: Annotated[
        str | None, Meta(description="What it is called in the form; by default as the file is.")
    ] = None
    type: Annotated[
        ContentType | None, Meta(description="Its type; by default by how its name ends.")
    ] = None


Parts = Mapping[str, str | FilePart]


def form(fields: Fields) -> str:
    """Fields as a form or a query writes them; a list gives its field several values."""
    return urlencode(dict(fields), doseq=True)


def with_query(url: str, query: Fields) -> str:
    """An address with more fields in its query."""
    if not query:
        return url
    address, hash_, fragment = url.partition("#")
    return f"{address}{'&' if '?' in address else '?'}{form(query)}{hash_}{fragment}"


def authorization(basic: Basic) -> str:
    """The header's value. Raises ProbeRefused for a user that cannot be sent so."""
    from base64 import b64encode

    if ":" in basic.user:
        raise ProbeRefused("the user of `basic` has a colon, where its password would begin")
    pair = f"{basic.user}:{basic.password}".encode()
    return f"Basic {b64encode(pair).decode()}"


def encoded_json(value: Any) -> bytes:
    """A value as JSON, without anything that JSON does not have. Raises ValueError."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode()


def type_of(name: str) -> str:
    """The type of a file by how its name ends."""
    ending = _ENDING.search(name)
    return _TYPES.get(ending[0].lower() if ending else "", "application/octet-stream")


def multipart(parts: Parts, contents: Mapping[str, bytes]) -> tuple[bytes, str]:
    """The parts of a form as content, and its type. `contents` are those of its files."""
    from urllib3.fields import RequestField
    from urllib3.filepost import encode_multipart_formdata

    fields: list[RequestField] = []
    for name, part in parts.items():
        if isinstance(part, str):
            field = RequestField(name, part)
            field.make_multipart()
        else:
            called = part.name or part.file.rpartition("/")[2]
            field = RequestField(name, contents[part.file], called)
            field.make_multipart(content_type=part.type or type_of(part.file))
        fields.append(field)
    return encode_multipart_formdata(fields)
