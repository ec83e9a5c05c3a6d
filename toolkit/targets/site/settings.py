"""The settings of a site in rules.toml."""

import re
from typing import Annotated

from msgspec import Meta, Struct

from toolkit.targets import base

OUTPUT = re.compile(r"\{outputs\.(?P<target>[^{}.\s]+)\.(?P<name>[^{}\s]+)\}")
"""An output of another target in a value of `build.env`."""


class SiteBuild(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The command that builds the site into `source`."""

    command: Annotated[
        tuple[base.Text, ...],
        Meta(
            min_length=1,
            description='A program and its arguments, without a shell: `["npm", "run", "build"]`.',
        ),
    ]
    folder: Annotated[
        base.Folder,
        Meta(description="Where the command runs, relative to the repository's root."),
    ] = "."
    env: Annotated[
        dict[
            Annotated[
                str,
                Meta(
                    pattern=r"^[^=\x00]+$(?!\n)",
                    description="The name of a variable, without `=`.",
                ),
            ],
            str,
        ],
        Meta(
            description="Variables for the command. `{outputs.TARGET.NAME}` is an output of a "
            "target in `needs`, as it is when the build begins."
        ),
    ] = {}
    pass_env: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$(?!\n)")], ...],
        Meta(
            description="The variables of your environment that the command gets besides those "
            "that every program needs. Their values are not part of the version."
        ),
    ] = ()


class Keep(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long files of earlier releases stay: for the last `releases`, and those of the last
    `days`, whichever is more.
    """

    releases: Annotated[int, Meta(ge=1, le=1000, description="How many earlier releases.")] = 10
    days: Annotated[int, Meta(ge=0, le=3650, description="For how many days.")] = 30


HeaderText = Annotated[
    str, Meta(pattern=r"^[\x21-\x7e][\x20-\x7e]*$(?!\n)", description="A header's value.")
]


class HeaderRule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Headers of the files that a pattern matches; what is None stays as toolkit chooses it."""

    match: Annotated[
        base.Text, Meta(description='A pattern for paths below `source`: `"downloads/**"`.')
    ]
    cache: Annotated[HeaderText | None, Meta(description="The Cache-Control header.")] = None
    type: Annotated[HeaderText | None, Meta(description="The Content-Type header.")] = None
    encoding: Annotated[HeaderText | None, Meta(description="The Content-Encoding header.")] = None
    disposition: Annotated[
        HeaderText | None, Meta(description="The Content-Disposition header.")
    ] = None


class SiteSettings(base.WatchSettings, frozen=True, kw_only=True):
    """A static site in an S3 bucket, perhaps behind CloudFront."""

    source: Annotated[
        base.Folder,
        Meta(description="The folder with the built site; what `build` writes, if there is one."),
    ]
    build: Annotated[
        SiteBuild | None, Meta(description="How the site is built; otherwise `source` has it.")
    ] = None
    bucket: Annotated[base.Text, Meta(description="The bucket's name.")]
    prefix: Annotated[
        str,
        Meta(
            pattern=r"^(?!/)(?!.*//)(?!.*(?:^|/)\.\.?(?:/|$))(?!\.toolkit(?:/|$))[^\x00-\x1f]*$(?!\n)",
            description="The folder of the bucket that the site has for itself; all of it by "
            "default.",
        ),
    ] = ""
    distribution: Annotated[
        base.Text | None, Meta(description="The CloudFront distribution's id.")
    ] = None
    url: Annotated[
        base.Url | None,
        Meta(
            description="The site's address, where changed pages are checked after a deploy. The "
            "default is the distribution's own."
        ),
    ] = None
    index: Annotated[
        base.Folder, Meta(description="The first page; it is replaced after all others.")
    ] = "index.html"
    error_pages: Annotated[
        tuple[base.Folder, ...],
        Meta(
            description="Pages that the bucket or the distribution shows for errors: they have to "
            "be in the site."
        ),
    ] = ()
    manifest: Annotated[
        base.Folder | None,
        Meta(
            description="The bundler's manifest, which says whose names hold a hash; by default "
            "vite's, esbuild's or create-react-app's in `source`."
        ),
    ] = None
    headers: Annotated[
        tuple[HeaderRule, ...],
        Meta(description="Other headers than toolkit's own choice; the last match counts."),
    ] = ()
    keep: Annotated[
        Keep, Meta(description="How long the files of earlier releases stay in the bucket.")
    ] = Keep()


def folder_prefix(prefix: str) -> str:
    """What all keys of the site begin with: empty, or with a slash at the end."""
    stripped = prefix.strip("/")
    if stripped:
        return f"{stripped}/"
    return ""


def consumed(settings: SiteSettings) -> dict[str, set[str]]:
    """Target -> names of its outputs that the build is told."""
    by_target: dict[str, set[str]] = {}
    if settings.build is not None:
        for value in settings.build.env.values():
            for output in OUTPUT.finditer(value):
                by_target.setdefault(output["target"], set()).add(output["name"])
    return by_target
