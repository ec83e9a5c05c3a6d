"""Which targets use outputs of others, and so follow where these are deployed."""

from collections.abc import Collection

from toolkit import targets
from toolkit.model import Rules


def consumers(changing: Collection[str], rules: Rules) -> frozenset[str]:
    """The targets that use outputs of these, also through others, and are none of them. Only such
    as toolkit can deploy.
    """
    following = set[str]()
    while True:
        sources = {*changing, *following}
        more: set[str] = set()
        for name, target in rules.targets.items():
            kind = targets.kind(target.kind)
            uses = not sources.isdisjoint(kind.consumes(target.settings))
            if uses and name not in sources and kind.runnable(target.settings) is None:
                more.add(name)
        if not more:
            return frozenset(following)
        following |= more
