"""Where one project's runs, locks and records lie on this machine: a folder that nobody else can
write to.
"""

import hashlib
import os
import re
import shutil
from urllib.parse import quote, unquote

from msgspec import Struct

from toolkit.errors import FileProblem
from toolkit.ports import files
from toolkit.record import disk

_LONG = 180
NONE = "-"
"""What stands in a name for an environment or a region that is not set."""


class Store(Struct, frozen=True):
    """One project's state for one endpoint (None: AWS's own). `folder` is there, and ours alone.

    `project` is its name as rules.toml has it, empty if it has none.
    """

    folder: str
    endpoint: str | None = None
    project: str = ""

    def path(self, *names: str) -> str:
        """The path of a file in it, which may not be there."""
        return os.path.join(self.folder, *names)

    def subfolder(self, name: str) -> str:
        """A folder in it, made if need be. Raises StateDamaged, FileProblem."""
        return own_folder(os.path.join(self.folder, name))


def open_store(project: str | None, root: str, endpoint: str | None = None) -> Store:
    """The state of the project of that name; if it has none, of the repository at `root`. Runs,
    locks and records of another endpoint than AWS's own are kept apart. Raises StateDamaged,
    FileProblem.
    """
    parent, name = _location(project, root, endpoint)
    try:
        os.makedirs(os.path.dirname(parent), exist_ok=True)
    except OSError as error:
        raise FileProblem(path=parent, reason=disk.error_text(error)) from None
    return Store(own_folder(os.path.join(own_folder(parent), name)), endpoint, project or "")


def find_store(project: str | None, root: str, endpoint: str | None = None) -> Store | None:
    """The same where there is one already; nothing is made. Raises StateDamaged, FileProblem."""
    parent, name = _location(project, root, endpoint)
    path = os.path.join(parent, name)
    return open_store(project, root, endpoint) if os.path.lexists(path) else None


def delete_endpoint(endpoint: str) -> None:
    """Delete all that is kept of an endpoint that is no more, of every project: a sandbox's. Raises
    StateDamaged, FileProblem.
    """
    parent = os.path.abspath(files.state_folder())
    if not os.path.lexists(parent):
        return
    own_folder(parent)
    try:
        for name in os.listdir(parent):
            if name.endswith(_endpoint_suffix(endpoint)):
                shutil.rmtree(own_folder(os.path.join(parent, name)))
    except OSError as error:
        raise FileProblem(path=parent, reason=disk.error_text(error)) from None


def _location(project: str | None, root: str, endpoint: str | None) -> tuple[str, str]:
    """The folder of all projects, and the name of this one's."""
    real = os.path.realpath(root)
    named = project or os.path.basename(real) or "root"
    identity = f"project {project}" if project else f"root {real}"
    digest = hashlib.sha256(os.fsencode(identity)).hexdigest()[:8]
    key = re.sub(r"[^A-Za-z0-9_-]+", "-", named)[:40].strip("-") or "project"
    return os.path.abspath(files.state_folder()), f"{key}-{digest}{_endpoint_suffix(endpoint)}"


def _endpoint_suffix(endpoint: str | None) -> str:
    """How a folder's name says which endpoint it is of: nothing for AWS's own. What stands before
    the @ never has one.
    """
    if endpoint is None:
        return ""
    return f"@{hashlib.sha256(endpoint.encode()).hexdigest()[:16]}"


def file_name(*parts: str | None) -> str:
    """Any words as the name of a file: those of other words have another one, and the words can be
    told from it.
    """
    words = "/".join(NONE if part is None else part for part in parts)
    name = quote(words, safe="@", errors="surrogateescape")
    if len(name) <= _LONG:
        return name
    # File systems take no longer names: the digest keeps two long ones apart.
    return f"{name[:_LONG]}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def decode_file_name(name: str) -> str:
    """What `file_name` was given, joined by `/`."""
    return unquote(name, errors="surrogateescape")


def own_folder(path: str) -> str:
    """Make a folder, and be sure that it is a folder, ours, and not for others to write to."""
    return files.own_folder(path, "toolkit's state", "TOOLKIT_STATE_DIR")
