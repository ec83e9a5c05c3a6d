"""The command-line options of sites, and what a rollback of one puts back."""

from typing import Annotated

from msgspec import Struct

from toolkit.targets.base import KindOptions, option


class SiteOptions(KindOptions, frozen=True, kw_only=True):
    """The options of a deploy of a site: consents in advance."""

    adopt: Annotated[
        bool,
        option("Take over what exists already and toolkit never deployed.", consent=True),
    ] = False
    force: Annotated[bool, option("Deploy even if nothing changes.", consent=True)] = False
    allow_empty: Annotated[bool, option("Sites: deploy a build without files.", consent=True)] = (
        False
    )
    allow_no_index: Annotated[
        bool, option("Sites: deploy a build without its first page.", consent=True)
    ] = False
    allow_shrink: Annotated[
        bool, option("Sites: deploy a build that lacks a third of the live files.", consent=True)
    ] = False
    allow_source_maps: Annotated[bool, option("Sites: publish source maps.", consent=True)] = False
    allow_dotenv: Annotated[bool, option("Sites: publish .env files.", consent=True)] = False
    allow_links_out: Annotated[
        bool, option("Sites: publish files that links lead to outside the build.", consent=True)
    ] = False
    allow_broken_references: Annotated[
        bool, option("Sites: deploy pages that refer to missing files.", consent=True)
    ] = False


class SiteRestore(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The release that a good deploy put there; None where its record does not say."""

    release: str | None = None
