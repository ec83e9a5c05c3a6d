"""Build the site: python build.py [--api-base URL] [--login-base URL]

The addresses come from API_BASE and LOGIN_BASE, if these variables are set.

Every asset gets a name with a digest of its content, so that a browser may keep it for ever and an
old page never meets a new script. A reference is part of the content of the file that holds it: a
new picture renames the style sheet that shows it. The pages keep their names and come last, so that
none ever names an asset that is not there yet.
"""

from __future__ import annotations

import argparse
import hashlib
import html
import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCAL_API = "http://127.0.0.1:8080"
MANIFEST = "asset-manifest.json"
TEXT = {".css", ".html", ".js", ".svg"}
REFERENCE = re.compile(r"""(?<=["'(])(?:\./)?([\w.-]+)(?=["')])""")


class Site:
    """The files of a flat source folder, and the names under which they are published."""

    def __init__(self, source: Path, values: dict[str, str]) -> None:
        self._sources = {path.name: path for path in sorted(source.iterdir()) if _is_published(path)}
        self._values = values
        self._under_way: list[str] = []

    def build(self) -> dict[str, bytes]:
        """Name and content of every published file, in the order in which they are to be
        written.
        """
        pages = [name for name in self._sources if name.endswith(".html")]
        assets = [self._asset(name) for name in self._sources if name not in pages]
        return dict(assets) | {page: self._page(page) for page in pages}

    def _asset(self, name: str) -> tuple[str, bytes]:
        if name in self._under_way:
            raise ValueError("no digest for files that refer to each other: " + " -> ".join([*self._under_way, name]))
        self._under_way.append(name)
        content = self._linked(name, "./")
        self._under_way.remove(name)
        stem, suffix = Path(name).stem, Path(name).suffix
        return f"assets/{stem}.{hashlib.sha256(content).hexdigest()[:10]}{suffix}", content

    def _page(self, name: str) -> bytes:
        text = self._linked(name, "assets/").decode()
        for key, value in self._values.items():
            text = text.replace(f"%{key}%", html.escape(value))
        return text.encode()

    def _linked(self, name: str, prefix: str) -> bytes:
        """The content of a file, with every reference to an asset leading to its published name."""
        content = self._sources[name].read_bytes()
        if Path(name).suffix not in TEXT:
            return content

        def published(reference: re.Match[str]) -> str:
            target = reference[1]
            if target not in self._sources or target.endswith(".html"):
                return reference[0]
            return prefix + Path(self._asset(target)[0]).name

        return REFERENCE.sub(published, content.decode()).encode()


def _is_published(path: Path) -> bool:
    """Notes and hidden files are for those who work on the site."""
    return path.suffix != ".md" and not path.name.startswith(".")


def manifest(names: Iterable[str]) -> bytes:
    """Which names have a digest, so that a browser may keep them, in create-react-app's form: name
    of the source -> published name.
    """
    hashed = [Path(name) for name in names if name.startswith("assets/")]
    return json.dumps({"files": {Path(path.stem).stem + path.suffix: str(path) for path in hashed}}, indent=2).encode()


def write(files: dict[str, bytes], target: Path) -> None:
    """Replace the target folder; the whole site is built by now, so a defect in a source cannot
    cost the old one.
    """
    shutil.rmtree(target, ignore_errors=True)
    for name, content in files.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def main(arguments: list[str] | None = None) -> None:
    api, login = os.environ.get("API_BASE") or LOCAL_API, os.environ.get("LOGIN_BASE", "")
    parser = argparse.ArgumentParser(description="Build the site from src into dist.")
    parser.add_argument("--api-base", default=api, help="address of the API (default: %(default)s)")
    parser.add_argument("--login-base", default=login, help="address of the login function, if it is not the API")
    parser.add_argument("--out", type=Path, default=HERE / "dist", help="folder to write (default: dist)")
    options = parser.parse_args(arguments)
    values = {"API_BASE": options.api_base, "LOGIN_BASE": options.login_base}
    built = Site(HERE / "src", values).build()
    files = {MANIFEST: manifest(built), **built}
    write(files, options.out)
    print(f"{len(files)} files in {os.path.relpath(options.out)}")


if __name__ == "__main__":
    main()
