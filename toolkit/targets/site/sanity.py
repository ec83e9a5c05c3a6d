"""Does a build look like the site? What is most likely a mistake is refused, each with the option
that allows it. Pure, but for the function that reads a page.
"""

import re
from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from toolkit.errors import Refused
from toolkit.targets.base import flag
from toolkit.targets.site.headers import is_page
from toolkit.targets.site.manifest import SiteManifest
from toolkit.targets.site.options import SiteOptions
from toolkit.targets.site.plan import lost_files
from toolkit.targets.site.references import referred_keys
from toolkit.targets.site.settings import SiteSettings, folder_prefix
from toolkit.targets.site.source import SourceFile

SHRUNK = 3
"""With more than one of so many files gone, a build is hardly the whole site."""
FEW = 5
"""Of fewer files than that, some may well go."""
MOST_SHOWN = 3
_DOTENV = re.compile(r"(?:.*/)?\.env(?:\.[^/]*)?", re.DOTALL)


class Doubt(Struct, frozen=True):
    """What is odd about a build, and the option that allows it."""

    option: str
    problem: str
    fix: str


Read = Callable[[SourceFile], str]
"""The text of a page or a style."""


def doubts(
    files: Mapping[str, SourceFile], live: SiteManifest | None, settings: SiteSettings, read: Read
) -> Iterator[Doubt]:
    """All that is odd about a build, the worst first."""
    source = settings.source
    if not files:
        yield Doubt("allow_empty", f"{source} has no files", "build the site first")
        return
    if settings.index not in files:
        problem = f"{source} has no {settings.index}"
        yield Doubt("allow_no_index", problem, "build the site first, or correct `index`")
    yield from _listed(
        "allow_dotenv",
        "is a file with settings, which may be secret",
        # By the name that a link leads to, too.
        [
            key
            for key, file in files.items()
            if _DOTENV.fullmatch(key) or _DOTENV.fullmatch(file.path)
        ],
    )
    yield from _listed(
        "allow_links_out",
        f"is a link that leads out of {source}",
        [key for key, file in files.items() if file.leads_out],
    )
    yield from _listed(
        "allow_source_maps",
        "is a source map: it shows everybody the source",
        [key for key in files if key.lower().endswith((".js.map", ".mjs.map", ".css.map"))],
    )
    if live is not None and (shrunk := _shrunk(live, files, source)):
        yield Doubt("allow_shrink", shrunk, "see whether the build is complete")
    yield from _broken(files, live, settings, read)


def _shrunk(live: SiteManifest, files: Mapping[str, SourceFile], source: str) -> str:
    """What says that a third of the site is gone; empty if it is not. A file whose name holds a
    hash goes with every build and another one comes: only pages are known by their names.
    """
    pages = {key for key in live.files if is_page(key)}
    lost = pages - files.keys()
    if len(pages) >= FEW and len(lost) * SHRUNK > len(pages):
        return f"{len(lost)} of the {len(pages)} live pages are not in {source}"
    fewer = len(live.files) - len(files)
    if len(live.files) >= FEW and fewer * SHRUNK > len(live.files):
        return f"{source} has {len(files)} files, and {len(live.files)} are live"
    return ""


def _listed(option: str, what: str, keys: list[str]) -> Iterator[Doubt]:
    if not keys:
        return
    more = ""
    if len(keys) > 1:
        more = f", and {len(keys) - 1} more"
    yield Doubt(option, f"{min(keys)}{more} {what}", "take it out of the build")


def _broken(
    files: Mapping[str, SourceFile], live: SiteManifest | None, settings: SiteSettings, read: Read
) -> Iterator[Doubt]:
    """References to files that the build does not have. A page that is live as it is was looked at
    before, and what it refers to stays in the bucket.
    """
    prefix = folder_prefix(settings.prefix)
    broken: list[tuple[str, str]] = []
    for page in settings.error_pages:
        if page not in files:
            broken.append(("`error_pages`", page))
    lost = bool(lost_files(live, files))
    for key, file in sorted(files.items()):
        if not (is_page(key) or key.lower().endswith(".css")):
            continue
        recorded = live.files.get(key) if live is not None else None
        if recorded is not None and recorded.digest == file.digest and not lost:
            continue
        for referred in referred_keys(key, read(file), prefix):
            if referred not in files:
                broken.append((key, referred))
    if broken:
        key, referred = broken[0]
        more = ""
        if len(broken) > 1:
            more = f", and there are {len(broken) - 1} more such references"
        problem = f"{key} refers to {referred}, which is not in {settings.source}{more}"
        yield Doubt("allow_broken_references", problem, "see whether the build is complete")


def refuse_doubtful(doubts: Iterator[Doubt], options: SiteOptions) -> None:
    """Raises Refused for the first doubt that no option allows."""
    for doubt in doubts:
        if not getattr(options, doubt.option):
            raise Refused(
                doubt.problem, f"{doubt.fix}; to deploy it as it is, {flag(doubt.option)}"
            )
