"""The real ports, for the commands. A file of its own: `diff` and `health` need them, and not all
that a deploy needs.
"""

from toolkit.cli import account
from toolkit.ports import files
from toolkit.ports.aws.client import Aws, MfaPrompt
from toolkit.ports.clock import SystemClock
from toolkit.ports.git import Git
from toolkit.ports.ports import Ports


def open_ports(git: Git | None, folder: str) -> Ports:
    """Those of a repository, else of a folder. One client set for each profile and region."""
    prompt = MfaPrompt(account.ask if account.can_ask() else None)
    clouds: dict[tuple[str | None, str | None], Aws] = {}

    def cloud(profile: str | None, region: str | None) -> Aws:
        return clouds.setdefault((profile, region), Aws(profile, region, prompt))

    root = git.root if git and not git.bare else folder
    return Ports(root=root, cache=files.cache_folder(), clock=SystemClock(), clouds=cloud)
