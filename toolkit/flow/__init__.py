"""The story: read this first.

What changed (changes/) meets what the rules say (impact/) and becomes the least to do (plan/): that
is `diff`, in compare.py. A deploy takes that plan, or the targets that somebody named, asks their
kinds (targets/) what they would do, and carries it out step by step (run/), written down before and
after (record/): that is deploy.py. Each stage hands plain data (model.py) to the next; the ports
are the only ones that touch the world.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolkit.flow.compare import DiffRequest, Points, diff
    from toolkit.flow.replays import replay, tally
    from toolkit.flow.rulebook import (
        deploy_command,
        display_path,
        load_rules,
        read_rules,
        rule_book,
        rules_path,
    )

__all__ = [
    "DiffRequest",
    "Points",
    "deploy_command",
    "diff",
    "display_path",
    "load_rules",
    "read_rules",
    "replay",
    "rule_book",
    "rules_path",
    "tally",
]

_FILES = {
    "DiffRequest": "compare",
    "Points": "compare",
    "diff": "compare",
    "replay": "replays",
    "tally": "replays",
}
"""Where names stand that are not in rulebook.py. Each is loaded when it is used: most commands need
few of them.
"""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILES.get(name, 'rulebook')}"), name)
