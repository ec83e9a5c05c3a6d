"""The CI that a command runs in, as far as it says which branch is the repository's default one.

Only what the service itself takes from the repository's settings counts. What whoever opens a pull
request chooses (its base: GITHUB_BASE_REF, CI_MERGE_REQUEST_TARGET_BRANCH_NAME, CHANGE_TARGET and
the like) never does.
"""

import json
import os

from toolkit.errors import FileProblem
from toolkit.ports import files

MOST_BYTES = 32 << 20
"""GitHub's events have at most 25 MB."""


def default_branch() -> str | None:
    """The repository's default branch by its short name; None where no CI says so."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        return _of_github()
    if os.environ.get("GITLAB_CI") == "true":
        return os.environ.get("CI_DEFAULT_BRANCH") or None
    if os.environ.get("BUILDKITE") == "true":
        return os.environ.get("BUILDKITE_PIPELINE_DEFAULT_BRANCH") or None
    return None


def _of_github() -> str | None:
    """No variable says so: it stands in the event, of the repository that the workflow belongs to.
    What runs on a schedule runs on that branch."""
    if os.environ.get("GITHUB_EVENT_NAME") == "schedule":
        return os.environ.get("GITHUB_REF_NAME") or None
    try:
        event = json.loads(files.read(os.environ.get("GITHUB_EVENT_PATH", ""), MOST_BYTES))
        name = event["repository"]["default_branch"]
    except (FileProblem, ValueError, KeyError, TypeError, RecursionError):
        return None
    return name if isinstance(name, str) and name else None
