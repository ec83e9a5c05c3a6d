"""Everything outside of the tool that a deploy touches, in one place: built in cli/ for real, in
tests/support for tests.
"""

from collections.abc import Callable

from msgspec import Struct, field

from toolkit.operations import Location
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.endpoint import endpoint
from toolkit.ports.clock import Clock
from toolkit.ports.sharing import SharedWork


class Ports(Struct, frozen=True):
    """The ports. `root` is the folder that rules.toml's paths start from, `cache` one that may be
    deleted at any time; `shared` has what one step does for several.
    """

    root: str
    cache: str
    clock: Clock
    clouds: Callable[[str | None, str | None], Aws]
    shared: SharedWork = field(default_factory=SharedWork)
    fresh: bool = False
    """Whether `root` is toolkit's own checkout of a commit: nothing in it is worth keeping, and
    what is made of it is cached by its commit.
    """

    def endpoint(self, profile: str | None) -> str | None:
        """The address that calls with a profile go to, None for AWS's own."""
        return endpoint(profile)

    def aws(self, location: Location) -> Aws:
        """The calls of one place; always the same object for the same profile and region."""
        return self.clouds(location.profile, location.region)
