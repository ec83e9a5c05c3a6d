"""The texts of stacks from the moment when they are synthesized to the end of their deploy, which
puts them into the record.
"""

import hashlib
import os
from contextlib import suppress

from toolkit.errors import FileProblem
from toolkit.ports import disk, files

FOLDER = "stacks"
UNUSED_S = 7 * 24 * 3600
"""After this long the text of a stack is deleted, whatever became of its deploy."""
MOST_BYTES = 8 << 20
LONGEST_RECORDED = 1 << 21
"""The most characters that the record keeps of one deploy."""


def keep(text: str, cache: str) -> str:
    """Keep a text; the digest under which it is kept. Raises FileProblem, StateDamaged."""
    data = text.encode()
    digest = hashlib.sha256(data).hexdigest()
    folder = files.own_cache(cache, FOLDER)
    disk.forget_unused(folder, UNUSED_S)
    disk.write(os.path.join(folder, digest), data)
    return digest


def kept(digest: str, cache: str) -> str:
    """The text under a digest; empty where it is not kept, or is not what it was."""
    with suppress(FileProblem, UnicodeDecodeError):
        path = os.path.join(files.own_cache(cache, FOLDER), os.path.basename(digest))
        data = files.read(path, MOST_BYTES) if digest else b""
        if hashlib.sha256(data).hexdigest() == digest:
            return data.decode()
    return ""
