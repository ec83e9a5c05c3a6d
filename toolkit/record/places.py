"""What the folders and files of a project's state are called. Completion loads this at each
keystroke, so it loads next to nothing itself.
"""

import hashlib
import os
import re
import sys

RUNS = "runs"
JOURNAL = ".jsonl"
RECORD = "record"


def folder_name(project: str | None, root: str, endpoint: str | None) -> str:
    """The name of a project's folder in that of all projects."""
    real = os.path.realpath(root)
    named = project or os.path.basename(real) or "root"
    identity = f"project {project}" if project else f"root {real}"
    # Two projects may have names that become the same key.
    digest = hashlib.sha256(os.fsencode(identity)).hexdigest()[:8]
    key = re.sub(r"[^A-Za-z0-9_-]+", "-", named)[:40].strip("-") or "project"
    return f"{key}-{digest}{endpoint_suffix(endpoint)}"


def endpoint_suffix(endpoint: str | None) -> str:
    """The part of a folder's name that says its endpoint: nothing for AWS's own. The part before
    the @ never contains one.
    """
    if endpoint is None:
        return ""
    return f"@{hashlib.sha256(endpoint.encode()).hexdigest()[:16]}"


def state_folder() -> str:
    """The same as `ports.files.state_folder`, which loads a library that takes far longer than all
    that completion does.
    """
    folder = os.environ.get("TOOLKIT_STATE_DIR")
    if folder:
        return folder
    if sys.platform != "linux":
        from toolkit.ports import files

        return files.state_folder()
    parent = os.environ.get("XDG_STATE_HOME", "").strip()
    if not os.path.isabs(parent):  # as the specification says
        parent = os.path.expanduser("~/.local/state")
    return os.path.join(parent, "toolkit")


def record_files(folder: str, environment: str, target: str) -> list[str]:
    """The record's files of a target in a project's folder, of one environment or (empty) of all;
    only for a name of letters, digits and `/_.-`, which needs no other escapes.
    """
    name = f"{target.replace('/', '%2F')}.json"
    folders = [os.path.join(folder, RECORD)]
    for _ in ("provider", "endpoint", "account", "region", "environment"):
        inner: list[str] = []
        for parent in folders:
            if os.path.isdir(parent):
                inner += [os.path.join(parent, child) for child in sorted(os.listdir(parent))]
        folders = inner
    files = [
        os.path.join(parent, name)
        for parent in folders
        if not environment or os.path.basename(parent) == environment
    ]
    return [path for path in files if os.path.isfile(path)]
