"""The folder on this machine for one project's runs, locks and records, which nobody else can write
to.
"""

import hashlib
import os
from functools import lru_cache
from urllib.parse import quote, unquote

from msgspec import Struct

from toolkit.errors import FileProblem
from toolkit.ports import disk, files
from toolkit.record.places import endpoint_suffix, folder_name

_LONG = 180
NONE = "-"
"""What stands in a name for an environment or a region that is not set."""


class Store(Struct, frozen=True):
    """One project's state for one endpoint (None: AWS's own). `folder` exists and belongs to us
    alone.

    `project` is the name in rules.toml, empty if there is none.
    """

    folder: str
    endpoint: str | None = None
    project: str = ""

    def path(self, *names: str) -> str:
        """The path of a file in it, which may not be there."""
        return os.path.join(self.folder, *names)

    def subfolder(self, name: str) -> str:
        """A folder in it, created if needed. Raises StateDamaged, FileProblem."""
        return own_folder(os.path.join(self.folder, name))


def open_store(project: str | None, root: str, endpoint: str | None = None) -> Store:
    """The state of the project with that name, or of the repository at `root` if it has none; it is
    created if needed. Each endpoint other than AWS's own has a state of its own. Raises
    StateDamaged, FileProblem.
    """
    folder = files.own_state(folder_name(project, root, endpoint))
    return Store(folder, endpoint, project or "")


def find_store(project: str | None, root: str, endpoint: str | None = None) -> Store | None:
    """The state of a project, None if there is none yet. Raises StateDamaged, FileProblem."""
    path = os.path.join(files.state_folder(), folder_name(project, root, endpoint))
    return open_store(project, root, endpoint) if os.path.lexists(path) else None


def delete_endpoint(endpoint: str) -> None:
    """Delete the state of every project for an endpoint that no longer exists, such as a sandbox's.
    Raises StateDamaged, FileProblem.
    """
    import shutil

    parent = os.path.abspath(files.state_folder())
    if not os.path.lexists(parent):
        return
    own_folder(parent)
    try:
        for name in os.listdir(parent):
            if name.endswith(endpoint_suffix(endpoint)):
                shutil.rmtree(own_folder(os.path.join(parent, name)))
    except OSError as error:
        raise FileProblem(path=parent, reason=disk.error_text(error)) from None


@lru_cache(maxsize=10_000)  # of each record's name most parts are the same
def file_name(*parts: str | None) -> str:
    """A file name for these words: different for different words, and `decode_file_name` gives them
    back.
    """
    words = "/".join(NONE if part is None else part for part in parts)
    name = quote(words, safe="@", errors="surrogateescape")
    if len(name) <= _LONG:
        return name
    # File systems take no longer names: the digest keeps two long ones apart.
    return f"{name[:_LONG]}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def decode_file_name(name: str) -> str:
    """The words that `file_name` was given, joined by `/`."""
    return unquote(name, errors="surrogateescape")


def own_folder(path: str) -> str:
    """Create a folder if needed, and make sure that it is ours and that nobody else can write to
    it.
    """
    return files.own_folder(path, "toolkit's state", "TOOLKIT_STATE_DIR")
