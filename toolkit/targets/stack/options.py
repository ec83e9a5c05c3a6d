"""The command-line options of stacks."""

from typing import Annotated

from toolkit.targets.base import KindOptions, option


class StackOptions(KindOptions, frozen=True, kw_only=True):
    """The options of a deploy of a stack: mostly consents in advance."""

    allow_replace: Annotated[
        bool, option("Stacks: allow resources to be replaced.", consent=True)
    ] = False
    allow_delete: Annotated[
        bool, option("Stacks: allow resources to be deleted.", consent=True)
    ] = False
    allow_broadening: Annotated[
        bool, option("Stacks: allow permissions and security groups to be widened.", consent=True)
    ] = False
    recreate: Annotated[
        bool,
        option("Stacks: delete a stack whose creation failed, and create it again.", consent=True),
    ] = False
    continue_rollback: Annotated[
        bool,
        option("Stacks: first continue a stuck rollback (UPDATE_ROLLBACK_FAILED).", consent=True),
    ] = False
    force: Annotated[
        bool,
        option("Deploy even if nothing changes; this restores toolkit's tags.", consent=True),
    ] = False
