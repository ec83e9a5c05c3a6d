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
from toolkit.init.evidence import Evidence, Stack, TargetNames, merge_evidence, slug
from toolkit.init.patterns import everything_in, simplify
from toolkit.init.stacks.bundles import manifest_patterns, patterns_outside
from toolkit.init.tests_and_docs import test_patterns
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
    """A static front end: its folder, where its files are after a build, the file that shows that
    it is one, and the packages that it uses.
    """

    folder: str
    output: str
    source_file: str
    dependencies: frozenset[str] = frozenset()


def find_sites(
    tree: TrackedFiles,
    names: TargetNames,
    stacks: Sequence[Stack],
    taken: Set[str],
    rules: Sequence[Sequence[str]],
) -> Evidence:
    """A site for each static front end that no stack or image takes with it; `rules` are the
    patterns of all that they are made of.
    """
    packages, unread = _read_packages(tree)
    deployed_elsewhere = Matcher(_specific_patterns(patterns) for patterns in rules)
    buckets: list[str] = []
    for stack in stacks:
        buckets += stack.values.get("bucket", ())
    local_packages: dict[str, str] = {}
    for folder, package in packages.items():
        package_name = package.get("name")
        if isinstance(package_name, str):
            local_packages[package_name] = folder
    parts = [Evidence(notes=unread)]
    for site in _site_candidates(tree, packages):
        if _is_taken(site.folder, taken) or deployed_elsewhere.match(site.source_file):
            note = f"{site.source_file}: a front end that is deployed with something else"
            parts.append(Evidence(notes=(note,)))
        else:
            used_folders = _local_dependencies(site, packages, local_packages)
            parts.append(_site_evidence(tree, site, names, buckets, used_folders))
    return merge_evidence(parts)


def _specific_patterns(patterns: Sequence[str]) -> Sequence[str]:
    """The patterns of a rule; for one that takes everything, those that name something besides."""
    if "**" not in patterns:
        return patterns
    return [pattern for pattern in patterns if pattern != "**" and not pattern.startswith("!")]


def _site_evidence(
    tree: TrackedFiles,
    site: Site,
    names: TargetNames,
    buckets: Sequence[str],
    used_folders: Sequence[str],
) -> Evidence:
    name = names.new(basename(site.folder) or "site")
    web_words = {*_OF_WEB, name}
    fitting = sorted({bucket for bucket in buckets if web_words & {*slug(bucket).split("-")}})
    bucket = fitting[0] if len(fitting) == 1 else f"{names.project}-{name}"
    source = normpath(joined(site.folder, site.output))
    tests = test_patterns(tree, site.folder)
    questions = []
    if fitting[:1] != [bucket]:
        questions.append(
            f"targets.{name}.bucket: the name of the S3 bucket (drafted as `{bucket}`)"
        )
    if site.output:
        questions.append(
            f"targets.{name}.source: where a build of it writes its files (drafted as `{source}`)"
        )
    target = DraftTarget(
        name,
        "site",
        {"source": source, "bucket": bucket},
        comment=(f"The static site of {site.source_file}.",),
    )
    patterns = _site_patterns(tree, site, used_folders)
    exclusions = [f"!{test}" for test in tests]
    return Evidence(
        targets=(target,),
        rules=(DraftRule(f"Site {name}", (*patterns, *exclusions), (name,)),),
        notes=(f"{site.source_file}: a static site; site `{name}`",),
        questions=tuple(questions),
        tests=tests,
    )


def _site_patterns(tree: TrackedFiles, site: Site, used_folders: Sequence[str]) -> tuple[str, ...]:
    """What the site is made of: its folder and the local packages that it uses; for one that is
    built, also what its code imports and what pins its libraries.
    """
    patterns: list[str] = []
    if site.folder:
        patterns.append(everything_in(site.folder))
    else:
        patterns += _existing_root_patterns(tree)
    patterns += map(everything_in, used_folders)
    if site.output:
        if site.folder:
            patterns += patterns_outside(tree, site.folder)
        patterns += manifest_patterns(tree, site.folder)
    return simplify(patterns)


def _read_packages(tree: TrackedFiles) -> tuple[dict[str, Mapping[str, object]], tuple[str, ...]]:
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


def _site_candidates(
    tree: TrackedFiles, packages: Mapping[str, Mapping[str, object]]
) -> Iterator[Site]:
    for folder, package in packages.items():
        dependencies = _dependencies(package)
        output = _output_folder(tree, folder, package, dependencies)
        if output:
            yield Site(folder, output, joined(folder, "package.json"), dependencies)
    folders: set[str] = set()
    for path in tree.candidates:
        segments = path.split("/")
        folders.update((segments[0], "/".join(segments[:2])))
    for folder in sorted(folders):
        if (
            basename(folder) in _FOLDERS
            and tree.is_folder(folder)
            and not any(_is_in(folder, package) for package in packages if package)
        ):
            yield from _site_without_package(tree, folder)


def _first_existing(tree: TrackedFiles, folder: str, names: Sequence[str]) -> str | None:
    for name in names:
        path = joined(folder, name)
        if path in tree:
            return path
    return None


def _site_without_package(tree: TrackedFiles, folder: str) -> Iterator[Site]:
    builder = _first_existing(tree, folder, _BUILDERS)
    page = _first_existing(tree, folder, _PAGES)
    if page and builder:
        yield Site(folder, "dist", builder)
    elif page:
        yield Site(folder, dirname(page)[len(folder) + 1 :], page)


def _output_folder(
    tree: TrackedFiles, folder: str, package: Mapping[str, object], dependencies: frozenset[str]
) -> str | None:
    """Where a package's build writes a static site; None if it makes none."""
    configs = [tree.read(joined(folder, name)) or "" for name in _CONFIGS]
    config = "\n".join(configs)
    scripts = package.get("scripts")
    if not isinstance(scripts, dict):
        scripts = {}
    commands = " ".join(str(command) for command in scripts.values())
    # Next and Nuxt are servers, unless they are told to write a static site.
    if "next" in dependencies and (_EXPORTS.search(config) or "next export" in commands):
        return "out"
    if "nuxt" in dependencies and "nuxt generate" in commands:
        return ".output/public"
    # A build script in a folder called like a front end is one, whatever bundler it uses.
    output = _default_output(tree, folder, dependencies)
    if output is None and basename(folder) in _FOLDERS and "build" in scripts:
        output = "dist"
    if output is None or dependencies & _SERVERS:
        return None
    configured = _OUT.search(config)
    if configured:
        output = configured[1]
    # Angular's `application` builder puts the pages into a folder of its own.
    if ":application" in config and "@angular/cli" in dependencies:
        output += "/browser"
    return output


def _default_output(tree: TrackedFiles, folder: str, dependencies: frozenset[str]) -> str | None:
    """The folder that the package's bundler writes if it is not configured."""
    has_page = _first_existing(tree, folder, _PAGES) is not None
    for name, output in _OUTPUT.items():
        if name in dependencies and (has_page or name not in _NEED_PAGE):
            return output
    return None


def _dependencies(package: Mapping[str, object]) -> frozenset[str]:
    names: set[str] = set()
    for key in ("dependencies", "devDependencies", "peerDependencies"):
        listed = package.get(key)
        if isinstance(listed, dict):
            names.update(map(str, listed))
    return frozenset(names)


def _local_dependencies(
    site: Site,
    packages: Mapping[str, Mapping[str, object]],
    local_packages: Mapping[str, str],
) -> list[str]:
    """The folders of the repository's own packages that a site uses, directly or through others."""
    folders: list[str] = []
    waiting = [site.dependencies]
    while waiting:
        for name in sorted(waiting.pop()):
            folder = local_packages.get(name)
            if folder and folder != site.folder and folder not in folders:
                folders.append(folder)
                waiting.append(_dependencies(packages[folder]))
    return folders


def _is_taken(folder: str, taken: Set[str]) -> bool:
    """Whether a stack deploys the folder, a part of it (its build), or a folder above."""
    return any(_is_in(folder, path) or (path and folder and _is_in(path, folder)) for path in taken)


def _is_in(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(f"{folder}/")


def _existing_root_patterns(tree: TrackedFiles) -> tuple[str, ...]:
    matcher = Matcher([pattern] for pattern in _AT_ROOT)
    present: set[int] = set()
    for path in tree.paths:
        present.update(index for index, _ in matcher.match(path))
    return tuple(pattern for index, pattern in enumerate(_AT_ROOT) if index in present)
