"""The command-line options of functions, and what a rollback of one puts back."""

from typing import Annotated

from msgspec import Struct

from toolkit.targets.base import KindOptions, option
from toolkit.targets.container_test import FAST


class FunctionOptions(KindOptions, frozen=True, kw_only=True):
    """The options of a deploy of a function: mostly consents in advance."""

    adopt: Annotated[
        bool, option("Deploy onto what toolkit has never deployed before.", consent=True)
    ] = False
    builder: Annotated[
        str | None,
        option(
            "docker, podman, buildah or built-in; the default is the first one found.",
            "NAME",
            consent=True,
        ),
    ] = None
    fast: Annotated[bool, FAST] = False
    reset_weights: Annotated[
        bool,
        option(
            "Functions: send all calls to one version, even if the alias shares them now.",
            consent=True,
            rollback=True,
        ),
    ] = False


class FunctionRestore(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The version that a good deploy put there, and the digest of its code; None where its record
    does not say.
    """

    function_version: str | None = None
    function_sha256: str | None = None
