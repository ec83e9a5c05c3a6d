"""The contract of a check type. A check type is a module; its settings are a struct, so that they
are checked when rules.toml is loaded.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Protocol
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from toolkit.formats.variables import FILL, Fill
from toolkit.operations import Location, Mismatch

if TYPE_CHECKING:  # what it takes to ask is not loaded to read rules.toml
    from http.cookiejar import CookieJar

    from toolkit.ports.aws.client import Aws
    from toolkit.ports.net.policy import Policy

Text = Annotated[str, Meta(min_length=1)]
Captures = Annotated[
    Mapping[Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$(?!\n)")], Text],
    Meta(
        description=(
            "Name -> where in the answer its value is: a JSON path such as `$.token`,"
            " `header:NAME`, `cookie:NAME`, `regex:PATTERN`, `url` or `body`."
        ),
        extra={FILL: Fill.PLACE},
    ),
]


FileName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=300,
        pattern=r"^(?!/)(?!.*(?:^|/)\.{1,2}(?:/|$))(?!.*//)[^\x00-\x1f{}\\]*[^\x00-\x1f{}\\/]$(?!\n)",
        description="A file, as a path from the folder of rules.toml.",
    ),
]


class CheckSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings of one check type; `tags`, `needs`, `timeout` and the like are common to all and
    read apart.
    """


class CheckContext(Struct, frozen=True):
    """What a check runs with. `base` is the address that a path is put behind, `seconds` the time
    for one try; `stopped` says that nobody waits any more. `root` is the folder of rules.toml,
    `log` where a child's output goes.
    """

    policy: "Policy"
    aws: "Callable[[Location], Aws]"
    location: Location
    seconds: float
    base: str = ""
    jar: "CookieJar | None" = None
    root: str = ""
    log: Callable[[str], None] = lambda line: None
    stopped: Callable[[], bool] = lambda: False
    contents: Mapping[str, bytes] = {}
    """The files that its settings name, as `Check.contents` has them."""


class CheckAnswer(Struct, frozen=True):
    """What came back: the conditions that do not hold, the values that were captured, the answer's
    first lines for people, and what to do where the check itself is to blame.
    """

    took_s: float
    misses: tuple[Mismatch, ...] = ()
    values: Mapping[str, Any] = {}
    shown: tuple[str, ...] = ()
    detail: str = ""
    next: str = ""


class CheckType(Protocol):
    """What the module of a check type has."""

    Settings: Any
    """The struct that its settings are checked with; it has a field of the check type's name."""

    def problem(self, settings: Any) -> str | None:
        """What is wrong with settings whose types are right, None if nothing is."""

    def asks(self, settings: Any) -> str:
        """What it asks, in a few words: `GET /health`."""

    def based(self, settings: Any) -> bool:
        """Whether it asks a path, and so each of an environment's `urls`."""

    def host(self, settings: Any) -> str:
        """The host that it asks, as far as its settings say so; empty if they do not, or nothing is
        asked over the network.
        """

    def files(self, settings: Any) -> tuple[str, ...]:
        """The files that it needs, relative to the folder of rules.toml."""

    def wrong_contents(self, settings: Any, contents: Mapping[str, bytes]) -> str | None:
        """What is wrong with these files, None if nothing is."""

    def ask(self, settings: Any, context: CheckContext) -> CheckAnswer:
        """Ask once; every name in the settings stands for its value by now. Raises ProbeError,
        CloudError, ProgramFailed for no answer.
        """


def no_problem(settings: Any) -> str | None:
    """For a check type whose settings cannot be wrong once their types are right."""
    return None


def never_needs_base_url(settings: Any) -> bool:
    """For a check type that asks no path."""
    return False


def no_host(settings: Any) -> str:
    """For a check type that asks no host."""
    return ""


def no_files(settings: Any) -> tuple[str, ...]:
    """For a check type that needs no files."""
    return ()


def any_contents(settings: Any, contents: Mapping[str, bytes]) -> str | None:
    """For a check type that takes files as they are."""
    return None


def host_of(url: str) -> str:
    """The host in an address, empty if there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_path(address: str) -> bool:
    """Whether an address is only a path, to be put behind each of an environment's `urls`."""
    return address.startswith("/")
