"""What the statements of a policy allow."""

from collections.abc import Iterable

from toolkit.operations import Statement


def by_action(statements: Iterable[Statement]) -> dict[str, Statement]:
    """Each allowed action, with its statement."""
    allowed: dict[str, Statement] = {}
    for statement in statements:
        allowed |= dict.fromkeys(statement.actions, statement)
    return allowed
