"""Static front ends: package.json with a bundler in it, or a folder called `frontend` or `web` with
something that builds it.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from posixpath import basename, dirname, normpath
from posixpath import join as joined

from msgspec import Struct

from toolkit.impact.matcher import Matcher
from toolkit.init.draft import DraftRule, DraftTarget
from toolkit.init.parts import Stack, SurveyPart, TargetNames, slug, together
from toolkit.init.patterns import below, simplest
from toolkit.init.quiet import tests_in
from toolkit.init.stacks.bundles import manifests, outside
from toolkit.init.tree import TrackedFiles

_OUTPUT = {
    "react-scripts": "build",
    "@angular/cli": "dist",
    "astro": "dist",
    "gatsby": "public",
    "@vue/cli-service": "dist",
    "@docusaurus/core": "build",
    "@11ty/eleventy": "_site",
    "vitepress": ".vitepress/dist",
    "@sveltejs/adapter-static": "build",
    "vite": "dist",
    "parcel": "dist",
}
"""A dependency that makes a static site -> the folder it writes."""

_NEED_PAGE = {"vite", "parcel"}
"""Bundlers that libraries use, too: only a folder with an index.html is a site."""

_SERVERS = {
    "express",
    "fastify",
    "koa",
    "@nestjs/core",
    "next",
    "nuxt",
    "hono",
    "@remix-run/node",
    "@sveltejs/adapter-node",
}
_FOLDERS = {
    "frontend",
    "front-end",
    "front",
    "web",
    "website",
    "site",
    "ui",
    "www",
    "webapp",
    "client",
    "static-site",
}
_OF_WEB = {
    "web",
    "website",
    "site",
    "front",
    "frontend",
    "ui",
    "www",
    "static",
    "client",
    "webapp",
    "spa",
}
_BUILDERS = ("build.py", "build.sh", "build.js", "build.mjs", "build.ts", "Makefile")
_PAGES = ("index.html", "public/index.html", "src/index.html")
_CONFIGS = (
    "vite.config.ts",
    "vite.config.js",
    "vite.config.mjs",
    "angular.json",
    "astro.config.mjs",
    "vue.config.js",
    "next.config.js",
)
_OUT = re.compile(
    r"""\b(?:outDir|outputPath|outputDir)["']?\s*:\s*["'](?:\./)?([\w./-]{1,100})["']"""
)
_EXPORTS = re.compile(r"""\boutput\s*:\s*["']export["']""")
_AT_ROOT = (
    *(
        f"{name}/**"
        for name in (
            "src",
            "public",
            "static",
            "app",
            "pages",
            "components",
            "content",
            "assets",
            "styles",
            "lib",
        )
    ),
    "*.html",
    "*.config.*",
    "tsconfig*.json",
    "angular.json",
    "gatsby-*.*",
    ".env*",
    ".npmrc",
)
"""What a front end in the repository's root is made of."""


class Site(Struct, frozen=True):
    """A static front end: its folder, where its files are after a build, what told so, and the
    packages that it uses.
    """

    folder: str
    output: str
    told: str
    uses: frozenset[str] = frozenset()


def sites(
    tree: TrackedFiles,
    names: TargetNames,
    stacks: Sequence[Stack],
    taken: Set[str],
    rules: Sequence[Sequence[str]],
) -> SurveyPart:
    """A site for each static front end that no stack or image takes with it; `rules` are the
    patterns of all that they are made of.
    """
    packages, unread = _packages(tree)
    elsewhere = Matcher(_by_name(patterns) for patterns in rules)
    buckets = [name for stack in stacks for name in stack.values.get("bucket", ())]
    local = {
        name: folder
        for folder, package in packages.items()
        if isinstance(name := package.get("name"), str)
    }
    parts = [SurveyPart(found=unread)]
    for one in _sites(tree, packages):
        if _is_taken(one.folder, taken) or elsewhere.match(one.told):
            parts.append(
                SurveyPart(found=(f"{one.told}: a front end that is deployed with something else",))
            )
        else:
            parts.append(_part(tree, one, names, buckets, _reached(one, packages, local)))
    return together(parts)


def _by_name(patterns: Sequence[str]) -> Sequence[str]:
    """The patterns of a rule; for one that takes everything, those that name something besides."""
    return (
        [one for one in patterns if one != "**" and not one.startswith("!")]
        if "**" in patterns
        else patterns
    )


def _part(
    tree: TrackedFiles,
    one: Site,
    names: TargetNames,
    buckets: Sequence[str],
    reached: Sequence[str],
) -> SurveyPart:
    name = names.new(basename(one.folder) or "site")
    fitting = sorted(
        {bucket for bucket in buckets if {*slug(bucket).split("-")} & {*_OF_WEB, name}}
    )
    bucket = fitting[0] if len(fitting) == 1 else f"{names.project}-{name}"
    source = normpath(joined(one.folder, one.output))
    tests = tests_in(tree, one.folder)
    own = (below(one.folder),) if one.folder else _present(tree)
    imported = outside(tree, one.folder) if one.folder and one.output else ()
    paths = simplest(
        (
            *own,
            *map(below, reached),
            *imported,
            *(manifests(tree, one.folder) if one.output else ()),
        )
    )
    return SurveyPart(
        targets=(
            DraftTarget(
                name,
                "site",
                {"source": source, "bucket": bucket},
                comment=(f"The static site of {one.told}.",),
            ),
        ),
        rules=(DraftRule(f"Site {name}", (*paths, *(f"!{test}" for test in tests)), (name,)),),
        found=(f"{one.told}: a static site; site `{name}`",),
        questions=(
            *(
                ()
                if fitting[:1] == [bucket]
                else (f"targets.{name}.bucket: the name of the S3 bucket (drafted as `{bucket}`)",)
            ),
            *(
                (
                    (
                        f"targets.{name}.source: where a build of it writes its files (drafted as"
                        f" `{source}`)"
                    ),
                )
                if one.output
                else ()
            ),
        ),
        tests=tests,
    )


def _packages(tree: TrackedFiles) -> tuple[dict[str, Mapping[str, object]], tuple[str, ...]]:
    """Folder -> what its package.json says, and what could not be read."""
    packages: dict[str, Mapping[str, object]] = {}
    unread = []
    for path in tree.candidates:
        if basename(path) != "package.json":
            continue
        try:
            package = json.loads(tree.read(path) or "")
        except (ValueError, RecursionError):
            package = None
        if isinstance(package, dict):
            packages[dirname(path)] = package
        else:
            unread.append(f"{path}: could not be read")
    return packages, tuple(unread)


def _sites(tree: TrackedFiles, packages: Mapping[str, Mapping[str, object]]) -> Iterator[Site]:
    for folder, package in packages.items():
        uses = _uses(package)
        output = _output(tree, folder, package, uses)
        if output:
            yield Site(folder, output, joined(folder, "package.json"), uses)
    for folder in sorted(
        {"/".join(path.split("/")[:deep]) for path in tree.candidates for deep in (1, 2)}
    ):
        if (
            basename(folder) in _FOLDERS
            and tree.is_folder(folder)
            and not any(_is_in(folder, one) for one in packages if one)
        ):
            yield from _without_package(tree, folder)


def _without_package(tree: TrackedFiles, folder: str) -> Iterator[Site]:
    builder = next((path for name in _BUILDERS if (path := joined(folder, name)) in tree), None)
    page = next((path for name in _PAGES if (path := joined(folder, name)) in tree), None)
    if page and builder:
        yield Site(folder, "dist", builder)
    elif page:
        yield Site(
            folder, "" if dirname(page) == folder else dirname(page)[len(folder) + 1 :], page
        )


def _output(
    tree: TrackedFiles, folder: str, package: Mapping[str, object], uses: frozenset[str]
) -> str | None:
    """Where a package's build writes a static site; None if it makes none."""
    configs = "\n".join(
        tree.read(joined(folder, name)) or "" for name in _CONFIGS if joined(folder, name) in tree
    )
    has_page = any(joined(folder, name) in tree for name in _PAGES)
    found = next(
        (
            out
            for name, out in _OUTPUT.items()
            if name in uses and (has_page or name not in _NEED_PAGE)
        ),
        None,
    )
    scripts = package.get("scripts")
    commands = " ".join(str(one) for one in scripts.values()) if isinstance(scripts, dict) else ""
    if "next" in uses and (_EXPORTS.search(configs) or "next export" in commands):
        return "out"
    if "nuxt" in uses and "nuxt generate" in commands:
        return ".output/public"
    if (
        found is None
        and basename(folder) in _FOLDERS
        and isinstance(scripts, dict)
        and "build" in scripts
    ):
        found = "dist"
    if found is None or uses & _SERVERS:
        return None
    told = _OUT.search(configs)
    return (told[1] if told else found) + (
        "/browser" if ":application" in configs and "@angular/cli" in uses else ""
    )


def _uses(package: Mapping[str, object]) -> frozenset[str]:
    listed = (package.get(key) for key in ("dependencies", "devDependencies", "peerDependencies"))
    return frozenset(str(name) for one in listed if isinstance(one, dict) for name in one)


def _reached(
    one: Site, packages: Mapping[str, Mapping[str, object]], local: Mapping[str, str]
) -> list[str]:
    """The folders of the repository's own packages that a site uses, near and far."""
    found: list[str] = []
    waiting = [one.uses]
    while waiting:
        for name in sorted(waiting.pop()):
            folder = local.get(name)
            if folder and folder != one.folder and folder not in found:
                found.append(folder)
                waiting.append(_uses(packages[folder]))
    return found


def _is_taken(folder: str, taken: Set[str]) -> bool:
    """Whether a stack deploys the folder, a part of it (its build), or a folder above."""
    return any(_is_in(folder, one) or (one and folder and _is_in(one, folder)) for one in taken)


def _is_in(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(f"{folder}/")


def _present(tree: TrackedFiles) -> tuple[str, ...]:
    matcher = Matcher((one,) for one in _AT_ROOT)
    present = {rule for path in tree.paths for rule, _ in matcher.match(path)}
    return tuple(one for at, one in enumerate(_AT_ROOT) if at in present)
