"""The settings of a site in rules.toml."""

from typing import Annotated

from msgspec import Meta

from toolkit.targets import base


class SiteSettings(base.WatchSettings, frozen=True, kw_only=True):
    """A static site in an S3 bucket, perhaps behind CloudFront."""

    source: Annotated[base.Folder, Meta(description="The folder with the built site.")]
    bucket: Annotated[base.Text, Meta(description="The bucket's name.")]
    distribution: Annotated[
        base.Text | None, Meta(description="The CloudFront distribution's id.")
    ] = None
