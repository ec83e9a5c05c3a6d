"""Everything outside of the tool that a deploy touches, in one place: built in cli/ for real, in
tests/support for tests.
"""

from collections.abc import Callable

from msgspec import Struct, field

from toolkit.model import Place
from toolkit.ports.aws.client import Aws
from toolkit.ports.aws.endpoint import endpoint
from toolkit.ports.clock import Clock
from toolkit.ports.sharing import Shared


class World(Struct, frozen=True):
    """The ports. `root` is the folder that rules.toml's paths start from, `cache` one that may be
    deleted at any time; `shared` has what one step does for several.
    """

    root: str
    cache: str
    clock: Clock
    clouds: Callable[[str | None, str | None], Aws]
    shared: Shared = field(default_factory=Shared)

    def endpoint(self, profile: str | None) -> str | None:
        """The address that calls with a profile go to, None for AWS's own."""
        return endpoint(profile)

    def aws(self, place: Place) -> Aws:
        """The calls of one place; always the same object for the same profile and region."""
        return self.clouds(place.profile, place.region)
